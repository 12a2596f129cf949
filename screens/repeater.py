"""A stand-in for caRepeater, which pyepics' wheel does not bring.

libca starts that program, complains on the terminal when there is none, and complains again later that nobody answers.
Without a repeater it hears no beacons either, and then looks for an IOC that was down for long only every few minutes.
This one serves the process it runs in and no other: it confirms the registration and passes beacons on.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import socket
import struct
import threading

DEFAULT_PORT = 5065
REGISTER, CONFIRM, BEACON = 24, 17, 13
"""Commands of the repeater protocol."""
ANSWER_TIMEOUT = 0.3
"""Seconds that a real repeater on this host may take."""

_HEADER = struct.Struct(">HHHHII")
_LOOPBACK = 0x7F000001


class Repeater:
    """Serves libca on `port`, a port of its own, and listens for beacons on `beacon_port` of broadcast addresses."""

    def __init__(self, beacon_port: int, addresses: list[str]) -> None:
        self._server = _bound("", 0)  # libca looks whether it can bind this very address
        self.port: int = self._server.getsockname()[1]
        self._clients: set[tuple[str, int]] = set()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._server, selectors.EVENT_READ)
        for address in addresses:
            # not the wildcard, which would keep a real repeater from starting later
            with contextlib.suppress(OSError):
                self._selector.register(_bound(address, beacon_port), selectors.EVENT_READ)
        threading.Thread(target=self._run, name="ca-repeater", daemon=True).start()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                opened = key.fileobj
                with contextlib.suppress(OSError):
                    if isinstance(opened, socket.socket):
                        self._take(opened, *opened.recvfrom(65536))

    def _take(self, opened: socket.socket, message: bytes, sender: tuple[str, int]) -> None:
        if opened is self._server:
            if sender[0] == "127.0.0.1" and (not message or _command(message) == REGISTER):
                self._clients.add(sender)
                self._server.sendto(_HEADER.pack(CONFIRM, 0, 0, 0, 0, _LOOPBACK), sender)
        elif _command(message) == BEACON:
            for client in self._clients:
                self._server.sendto(with_address(message, sender[0]), client)


def with_address(beacon: bytes, host: str) -> bytes:
    """A beacon that names its server: one that leaves the address to the repeater (0) comes from `host`."""
    if len(beacon) < _HEADER.size:
        return beacon
    *head, address = _HEADER.unpack_from(beacon)
    if address == 0:
        address = int.from_bytes(socket.inet_aton(host), "big")
    return _HEADER.pack(*head, address) + beacon[_HEADER.size :]


def provide() -> Repeater | None:
    """Serve this process's libca, and say so in EPICS_CA_REPEATER_PORT; to be called before libca starts.

    Does nothing, and returns None, where a real repeater answers or can be started.
    """
    try:
        beacon_port = int(os.environ.get("EPICS_CA_REPEATER_PORT", DEFAULT_PORT))
    except ValueError:
        return None  # libca says what it thinks of it
    if shutil.which("caRepeater") or _answers(beacon_port):
        return None
    listed = os.environ.get("EPICS_CA_ADDR_LIST", "").split()
    addresses = {entry.partition(":")[0] for entry in listed if entry.partition(":")[0].endswith(".255")}
    repeater = Repeater(beacon_port, sorted(addresses | {"127.255.255.255"}))
    os.environ["EPICS_CA_REPEATER_PORT"] = str(repeater.port)
    return repeater


def _answers(port: int) -> bool:
    """Whether a repeater confirms a registration at `port` of this host."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(ANSWER_TIMEOUT)
        try:
            probe.connect(("127.0.0.1", port))
            probe.send(_HEADER.pack(REGISTER, 0, 0, 0, 0, _LOOPBACK))
            return _command(probe.recv(65536)) == CONFIRM
        except (OSError, OverflowError):
            return False


def _command(message: bytes) -> int:
    return int.from_bytes(message[:2], "big") if len(message) >= _HEADER.size else -1


def _bound(address: str, port: int) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        if port:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((address, port))
    except OSError:
        opened.close()
        raise
    return opened
