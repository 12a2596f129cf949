"""A stand-in for caRepeater, which pyepics' wheel does not bring.

libca starts that program, complains on the terminal when there is none, and complains again later that nobody answers.
All it needs is that somebody confirms its registration. Beacons are not passed on: none would come without us either.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import struct
import threading

REGISTER, CONFIRM = 24, 17
"""Commands of the repeater protocol, in a header of 16 bytes."""

_HEADER = struct.Struct(">HHHHII")


def provide() -> socket.socket | None:
    """Answer libca on a port of this process's own, and say so in EPICS_CA_REPEATER_PORT.

    Does nothing where a real repeater runs, can be started, or the user has said where it is. To be called before libca
    starts. Returns the socket, which lives as long as the process.
    """
    if "EPICS_CA_REPEATER_PORT" in os.environ or shutil.which("caRepeater") or _running():
        return None
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("0.0.0.0", 0))  # libca looks whether it can bind this very address
    os.environ["EPICS_CA_REPEATER_PORT"] = str(server.getsockname()[1])
    threading.Thread(target=_answer, args=(server,), name="ca-repeater", daemon=True).start()
    return server


def _running(port: int = 5065) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return True
    return False


def _answer(server: socket.socket) -> None:
    while True:
        try:
            message, client = server.recvfrom(2048)
        except OSError:
            return
        if client[0] != "127.0.0.1" and not _is_own(client[0]):
            continue
        if not message or (len(message) >= 2 and struct.unpack_from(">H", message)[0] == REGISTER):
            address = struct.unpack(">I", socket.inet_aton(client[0]))[0]
            with contextlib.suppress(OSError):
                server.sendto(_HEADER.pack(CONFIRM, 0, 0, 0, 0, address), client)


def _is_own(address: str) -> bool:
    """Whether a datagram from `address` comes from this host: only its own addresses can be bound."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
