"""A bare Channel Access client on one socket, for benchmarks: subscribes to PVs and counts what comes."""

from __future__ import annotations

import socket
import struct

HEADER = struct.Struct(">HHHHII")
TIME_DOUBLE = 20
EVENT_BYTES = 40
"""A DBR_TIME_DOUBLE event of one element: 16 bytes of header, 24 of payload."""


def subscribe(port: int, names: list[str], mask: int = 5, timeout: float = 20.0) -> socket.socket:
    """A connected socket on which DBR_TIME_DOUBLE events of all `names` arrive from now on."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=timeout)
    requests = [HEADER.pack(0, 0, 0, 13, 0, 0)]
    for number, name in enumerate(names):
        body = name.encode() + b"\0"
        body += bytes(-len(body) % 8)
        requests.append(HEADER.pack(18, len(body), 0, 0, number, 13) + body)
    sock.sendall(b"".join(requests))
    sids: list[int] = []
    data = b""
    while len(sids) < len(names):
        received = sock.recv(65536)
        if not received:
            raise ConnectionError("the server closed the connection")
        data += received
        while len(data) >= 16:
            command, size, _, _, _, available = HEADER.unpack_from(data)
            if len(data) < 16 + size:
                break
            data = data[16 + size :]
            if command == 18:
                sids.append(available)
    adds = [
        HEADER.pack(1, 16, TIME_DOUBLE, 1, sid, n) + struct.pack(">fffHH", 0, 0, 0, mask, 0)
        for n, sid in enumerate(sids)
    ]
    sock.sendall(b"".join(adds))
    return sock


def count_events(sock: socket.socket, buffer: bytearray | None = None) -> int:
    """Read until the server closes; the number of events that came."""
    buffer = buffer or bytearray(1 << 20)
    total = 0
    while True:
        try:
            received = sock.recv_into(buffer)
        except ConnectionError:
            received = 0
        if not received:
            return total // EVENT_BYTES
        total += received
