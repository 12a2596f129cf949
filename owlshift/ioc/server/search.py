"""UDP name searches: which sockets an IOC listens on, and the answers.

Several IOCs share one port on one host. Each binds the interface's broadcast address as well as its own, with
SO_REUSEADDR: a broadcast then reaches all, where a unicast search reaches only the one that bound last. On loopback the
broadcast address is 127.255.255.255. SO_REUSEPORT is not used: it would deal the searches out among the IOCs.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import socket
from collections.abc import Callable

import psutil

from . import wire
from .limited import LimitedLog
from .wire import Command, ProtocolError

log = logging.getLogger(__name__)

MAX_REPLY = 1472
"""Bytes of one answer datagram: what fits an Ethernet frame."""
DATAGRAMS_PER_TURN = 64


class AddressInUse(OSError):  # noqa: N818  an address in use is what it is
    """A port is taken by a program that does not share it; the text is one clear line."""


class AddressNotAvailable(OSError):  # noqa: N818
    """The interface is none of this host's; the text is one clear line."""


def broadcast_address(interface: str) -> str | None:
    """The broadcast address of the interface with this IPv4 address; None for 0.0.0.0 and where there is none."""
    wanted = ipaddress.IPv4Address(interface)
    if wanted.is_unspecified:
        return None
    if wanted.is_loopback:
        return "127.255.255.255"
    for addresses in psutil.net_if_addrs().values():
        for address in addresses:
            if address.family == socket.AF_INET and address.address == interface:
                if address.broadcast:
                    return address.broadcast
                if address.netmask and address.netmask != "255.255.255.255":
                    network = ipaddress.IPv4Network(f"{interface}/{address.netmask}", strict=False)
                    return str(network.broadcast_address)
    return None


def all_broadcast_addresses() -> list[str]:
    """The broadcast addresses of all IPv4 interfaces of this host that have one, and loopback's."""
    found = ["127.255.255.255"]
    for addresses in psutil.net_if_addrs().values():
        for address in addresses:
            if address.family == socket.AF_INET:
                broadcast = broadcast_address(address.address)
                if broadcast is not None and broadcast not in found:
                    found.append(broadcast)
    return found


def bind_udp(address: str, port: int) -> socket.socket:
    """A non-blocking UDP socket on `address:port` that other IOCs may share; AddressInUse, AddressNotAvailable."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setblocking(False)
        sock.bind((address, port))
    except OSError as error:
        sock.close()
        raise explain(error, "UDP", address, port) from None
    return sock


def explain(error: OSError, protocol: str, address: str, port: int) -> OSError:
    """A bind error with a text that says what to do."""
    if error.errno == errno.EADDRINUSE:
        return AddressInUse(
            error.errno, f"{protocol} port {port} on {address} is in use by a program that does not share it"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return AddressNotAvailable(error.errno, f"{address} is not an address of this host")
    if error.errno == errno.EACCES:
        return PermissionError(error.errno, f"no permission to use {protocol} port {port} on {address}")
    return OSError(error.errno, f"cannot use {protocol} {address}:{port}: {error.strerror}")


class SearchResponder:
    """Answers name searches on the sockets of one interface."""

    def __init__(
        self, interface: str, port: int, tcp_port: Callable[[], int], known: Callable[[str], bool], limited: LimitedLog
    ) -> None:
        self.searches = 0
        """Names asked for."""
        self.malformed = 0
        """Datagrams that made no sense."""
        self._tcp_port = tcp_port
        self._known = known
        self._limited = limited
        self._sockets = [bind_udp(interface, port)]
        broadcast = broadcast_address(interface)
        if broadcast is not None:
            try:
                self._sockets.append(bind_udp(broadcast, port))
            except AddressNotAvailable:
                log.warning("cannot listen on the broadcast address %s: only unicast searches are answered", broadcast)
            except OSError:
                self.close()
                raise

    @property
    def socket(self) -> socket.socket:
        """The socket that is bound to the interface's own address; answers and beacons leave from it."""
        return self._sockets[0]

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to answer."""
        for sock in self._sockets:
            loop.add_reader(sock, self._readable, sock)

    def stop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answer no more and close the sockets."""
        for sock in self._sockets:
            loop.remove_reader(sock)
        self.close()

    def close(self) -> None:
        """Close the sockets."""
        for sock in self._sockets:
            sock.close()

    def _readable(self, sock: socket.socket) -> None:
        for _ in range(DATAGRAMS_PER_TURN):
            try:
                data, address = sock.recvfrom(65536)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._limited(logging.WARNING, "udp", "receiving searches: %s", error)
                return
            for answer in self.answers(data, address):
                try:
                    self.socket.sendto(answer, address)
                except OSError as error:
                    # a lost answer costs the client one more search
                    self._limited(logging.DEBUG, "udp answer", "answering %s: %s", address, error)

    def answers(self, data: bytes, address: tuple[str, int]) -> list[bytes]:
        """The datagrams that answer `data`; none for what is nonsense or nobody here knows."""
        replies: list[bytes] = []
        version = wire.OLDEST_VERSION
        sequence, valid = 0, 0
        try:
            for message in wire.split_datagram(data):
                if message.command == Command.VERSION:
                    version = message.data_count
                    if message.data_type & wire.SEQUENCE_VALID:
                        sequence, valid = message.cid, wire.SEQUENCE_VALID
                elif message.command == Command.SEARCH:
                    version = max(version, message.data_count)
                    reply = self._search(message)
                    if reply:
                        replies.append(reply)
                elif message.command not in (Command.RSRV_IS_UP, Command.ECHO):
                    raise ProtocolError(f"command {message.command} in a search")
        except ProtocolError as error:
            self.malformed += 1
            self._limited(logging.INFO, "datagram", "a datagram of %s:%d makes no sense: %s", *address[:2], error)
        except Exception as error:  # whatever the PV list does, the next search is answered
            self._limited(logging.ERROR, "search", "a search could not be handled", exc_info=error)
        if not replies:
            return []
        head = b""
        if version >= 11:
            # the sequence number lets libca measure the round trip and search faster
            head = wire.message(Command.VERSION, valid, wire.MINOR_VERSION, sequence)
        datagrams, current = [], head
        for reply in replies:
            if len(current) + len(reply) > MAX_REPLY:
                datagrams.append(current)
                current = head
            current += reply
        return [*datagrams, current]

    def _search(self, message: wire.Message) -> bytes:
        self.searches += 1
        if message.data_count < wire.OLDEST_VERSION:
            return b""
        if self._known(wire.text(message.payload)):
            return wire.message(
                Command.SEARCH,
                self._tcp_port(),
                0,
                wire.ANY_ADDRESS,
                message.available,
                wire.MINOR_VERSION.to_bytes(2, "big"),
            )
        if message.data_type == wire.REPLY_WANTED:
            return wire.message(
                Command.NOT_FOUND, wire.REPLY_WANTED, message.data_count, message.cid, message.available
            )
        return b""
