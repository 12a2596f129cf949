"""Free ports for tests and benchmarks."""

from __future__ import annotations

import random
import socket

_FIRST, _LAST = 10_000, 30_000
"""Below what the kernel gives to outgoing connections (32768 and up), one of which would take a port before its use."""
_random = random.Random()
_given: set[int] = set()


def free_port() -> int:
    """A port number that is free for TCP and UDP on loopback right now, and was not given before."""
    for _ in range(1000):
        port = _random.randint(_FIRST, _LAST)
        with (
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        ):
            try:
                tcp.bind(("0.0.0.0", port))
                udp.bind(("0.0.0.0", port))
            except OSError:
                continue
        if port not in _given:
            _given.add(port)
            return port
    raise RuntimeError("no free port on loopback")
