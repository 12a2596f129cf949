"""Servers that come up say so by beacons; hearing one makes the client search again at once."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

from owlshift.ca import messages
from owlshift.ca.addresses import Address, CaAddresses
from owlshift.ca.protocol import Command
from owlshift.ca.stats import Stats

log = logging.getLogger(__name__)

_HEADER = struct.Struct(">HHHHII")
_REGISTER_WAIT = 0.5
_MAX_SERVERS = 65536
_GAP_FACTOR = 3.25
"""A silence of this many periods is a server that was away."""
_SHORT_FACTOR = 0.8


@dataclass(slots=True)
class _Server:
    number: int
    heard: float
    period: float = 0.0


class BeaconTable:
    """Which servers are heard, and whether a beacon is out of the ordinary."""

    def __init__(self) -> None:
        self._servers: dict[Address, _Server] = {}

    def anomaly(self, server: Address, number: int, now: float) -> bool:
        """Note a beacon; True for a server that is new, was restarted or was away."""
        known = self._servers.get(server)
        if known is None:
            if len(self._servers) >= _MAX_SERVERS:
                self._servers.clear()
            self._servers[server] = _Server(number, now)
            return True
        step = (number - known.number) & 0xFFFF_FFFF
        if step == 0:
            return False  # the same beacon by another way
        elapsed = now - known.heard
        restarted = step > 0x8000_0000
        usual = known.period
        odd = restarted or (usual > 0 and (elapsed > _GAP_FACTOR * usual or elapsed < _SHORT_FACTOR * usual / 2))
        known.period = 0.0 if restarted else elapsed if usual == 0 or odd else 0.75 * usual + 0.25 * elapsed
        known.number, known.heard = number, now
        return odd


class Beacons:
    """Listens for beacons: through a repeater where one runs, otherwise on the repeater's port itself."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, addresses: CaAddresses, stats: Stats, anomaly: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._addresses = addresses
        self._stats = stats
        self._anomaly = anomaly
        self._table = BeaconTable()
        self._sockets: list[socket.socket] = []
        self._timer: asyncio.TimerHandle | None = None
        self._registered = False

    def start(self) -> None:
        """Begin to listen; that it is not possible is logged and no error."""
        if self._addresses.repeater_port == 0:
            return
        try:
            client = self._open(("", 0))
            client.sendto(
                messages.message(Command.REPEATER_REGISTER, p2=0x7F000001), ("127.0.0.1", self._addresses.repeater_port)
            )
        except OSError as error:
            log.info("beacons: cannot ask for a repeater: %s", error)
        self._timer = self._loop.call_later(_REGISTER_WAIT, self._listen_directly)

    def _open(self, address: Address) -> socket.socket:
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            opened.setblocking(False)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind(address)
        except OSError:
            opened.close()
            raise
        self._sockets.append(opened)
        self._loop.add_reader(opened.fileno(), self._readable, opened)
        return opened

    def _listen_directly(self) -> None:
        self._timer = None
        if self._registered:
            return
        # the broadcast addresses only: a wildcard would keep a repeater from starting later
        places = {server[0] for server in self._addresses.servers if server[0].endswith(".255")} | {"127.255.255.255"}
        for place in sorted(places):
            try:
                self._open((place, self._addresses.repeater_port))
            except OSError as error:
                log.info(
                    "beacons: not heard at %s:%d: %s", place, self._addresses.repeater_port, error.strerror or error
                )

    def _readable(self, source: socket.socket) -> None:
        for _ in range(64):
            try:
                datagram, sender = source.recvfrom(65536)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                return  # nobody at the repeater's port
            self.take(datagram, sender[0])

    def take(self, datagram: bytes, sender: str) -> None:
        """Handle what came to the beacon port."""
        odd = False
        for position in range(0, len(datagram) - _HEADER.size + 1, _HEADER.size):
            command, payload, _, port, number, ip = _HEADER.unpack_from(datagram, position)
            if command == Command.REPEATER_CONFIRM:
                self._registered = True
            elif command == Command.RSRV_IS_UP and payload == 0:
                self._stats.beacons += 1
                host = sender if ip in (0, 0xFFFF_FFFF) else socket.inet_ntoa(struct.pack(">I", ip))
                odd |= self._table.anomaly((host, port), number, self._loop.time())
            elif payload:
                self._stats.ignored["malformed beacon"] += 1
                break
        if odd:
            self._stats.beacon_anomalies += 1
            self._anomaly()

    def close(self) -> None:
        """Stop listening."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for opened in self._sockets:
            self._loop.remove_reader(opened.fileno())
            opened.close()
        self._sockets.clear()
