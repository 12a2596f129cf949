"""A Channel Access server that replays: counters as DBR_TIME_DOUBLE events at any rate, over real sockets.

It is no IOC: it knows just enough of the protocol to be searched for, connected to and subscribed to, and then sends
one event of every channel each period, so that a client's limit can be found and not the server's.
Run by `archive_ingest.py`; alone: `python benchmarks/ca_replay.py PORT PREFIX CHANNELS RATE SECONDS`.
"""

from __future__ import annotations

import selectors
import socket
import struct
import sys
import threading
import time

import numpy as np

HEADER = struct.Struct(">HHHHII")
EVENT = np.dtype(
    [
        ("command", ">u2"),
        ("size", ">u2"),
        ("type", ">u2"),
        ("count", ">u2"),
        ("code", ">u4"),
        ("id", ">u4"),
        ("status", ">u2"),
        ("severity", ">u2"),
        ("seconds", ">u4"),
        ("nanoseconds", ">u4"),
        ("pad", ">u4"),
        ("value", ">f8"),
    ]
)
EPICS_EPOCH = 631152000
TIME_DOUBLE, CTRL_DOUBLE, DOUBLE = 20, 34, 6
PIECE = 1 << 15
"""Events of one send at most: several pieces leave a period evenly."""


def header(command: int, size: int = 0, kind: int = 0, count: int = 0, first: int = 0, second: int = 0) -> bytes:
    return HEADER.pack(command, size, kind, count, first, second)


class Replay:
    """Serves channels `PREFIXC00000` … on 127.0.0.1:`port` and sends `rate` events/s in all once all are subscribed."""

    def __init__(self, port: int, prefix: str, channels: int, rate: float, seconds: float) -> None:
        self.prefix, self.channels, self.seconds = prefix, channels, seconds
        self.period = channels / rate
        self._names = {f"{prefix}C{i:05d}".encode(): i for i in range(channels)}
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._udp.bind(("127.0.0.1", port))
        self._tcp = socket.create_server(("127.0.0.1", port))
        self._port = port
        self._ids = np.zeros(channels, np.uint32)
        self._subscribed = 0
        self._lock = threading.Lock()
        self.paused = 0
        self.sent = 0
        self.lost_pace = 0.0

    def run(self) -> None:
        """Serve one client until it goes."""
        threading.Thread(target=self._answer_searches, daemon=True).start()
        self._tcp.setblocking(True)
        while True:
            peer, _ = self._tcp.accept()
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _answer_searches(self) -> None:
        while True:
            data, address = self._udp.recvfrom(65536)
            offset, found = 0, []
            while offset + 16 <= len(data):
                command, size, _, _, cid, _ = HEADER.unpack_from(data, offset)
                name = data[offset + 16 : offset + 16 + size].rstrip(b"\0")
                offset += 16 + size
                if command == 6 and name in self._names:
                    found.append(header(6, 8, self._port, 0, 0xFFFFFFFF, cid) + struct.pack(">HHI", 13, 0, 0))
            for start in range(0, len(found), 40):
                self._udp.sendto(header(0, 0, 0, 13) + b"".join(found[start : start + 40]), address)

    def _serve(self, peer: socket.socket) -> None:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.sendall(header(0, 0, 0, 13))
        buffer = b""
        control = np.zeros(1, [("h", "V16"), ("data", "V88")]).tobytes()[16:]
        selector = selectors.DefaultSelector()
        selector.register(peer, selectors.EVENT_READ)
        while True:
            data = peer.recv(1 << 20)
            if not data:
                return
            buffer += data
            offset, out = 0, []
            while offset + 16 <= len(buffer):
                command, size, kind, _, first, second = HEADER.unpack_from(buffer, offset)
                if offset + 16 + size > len(buffer):
                    break
                payload = buffer[offset + 16 : offset + 16 + size]
                offset += 16 + size
                if command == 18:
                    place = self._names[payload.rstrip(b"\0")]
                    out.append(header(22, 0, 0, 0, first, 3) + header(18, 0, DOUBLE, 1, first, place))
                elif command == 15:
                    out.append(header(15, 88, kind, 1, 1, second) + control)
                elif command == 23:
                    out.append(header(23))
                elif command == 1 and kind == TIME_DOUBLE:
                    self._ids[first] = second
                    self._subscribed += 1
                    if self._subscribed == self.channels:
                        threading.Thread(target=self._stream, args=(peer,), daemon=True).start()
                elif command == 1:
                    out.append(header(1, 88, kind, 1, 1, second) + control)
                elif command == 8:
                    self.paused += 1
            buffer = buffer[offset:]
            if out:
                with self._lock:
                    peer.sendall(b"".join(out))

    def _stream(self, peer: socket.socket) -> None:
        events = np.zeros(self.channels, EVENT)
        events["command"], events["size"], events["type"], events["count"], events["code"] = 1, 24, TIME_DOUBLE, 1, 1
        events["id"] = self._ids
        print("streaming", flush=True)
        start = time.monotonic()
        rounds = int(self.seconds / self.period)
        for number in range(rounds):
            ahead = start + number * self.period - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)
            else:
                self.lost_pace = max(self.lost_pace, -ahead)
            now = time.time_ns() - EPICS_EPOCH * 10**9
            events["seconds"], events["nanoseconds"] = now // 10**9, now % 10**9
            events["value"] = number + 1
            with self._lock:
                for piece in range(0, self.channels, PIECE):
                    peer.sendall(events[piece : piece + PIECE].tobytes())
            self.sent += self.channels
        seconds = time.monotonic() - start
        print(f"sent {self.sent} {seconds:.3f} {self.lost_pace:.3f} {self.paused}", flush=True)


def main() -> None:
    """Serve as the command line says."""
    port, prefix, channels, rate, seconds = sys.argv[1:6]
    replay = Replay(int(port), prefix, int(channels), float(rate), float(seconds))
    print("ready", flush=True)
    replay.run()


if __name__ == "__main__":
    main()
