"""A Channel Access server that sends recorded events as fast as its client takes them.

It serves doubles and finds clients by its TCP port only (a name server): a client whose first subscription is to
`names`, in that order, gets events with the subscription ids 0, 1, 2, … of the recording.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from c_ioc import CIoc, counter_database, counter_names

HEADER = struct.Struct(">HHHHII")
EVENT = np.dtype(
    {
        "names": ["id", "seconds", "value"],
        "formats": [">u4", ">u4", ">f8"],
        "offsets": [12, 20, 32],
        "itemsize": 40,
    }
)
DOUBLE, TIME_DOUBLE = 6, 20


def message(command: int, payload: bytes = b"", dbr: int = 0, count: int = 0, p1: int = 0, p2: int = 0) -> bytes:
    payload += b"\0" * (-len(payload) % 8)
    return HEADER.pack(command, len(payload), dbr, count, p1, p2) + payload


def record(records: int, scans: int, prefix: str = "BENCH:") -> bytes:
    """Events (DBR_TIME_DOUBLE, 40 bytes each) of `scans` scans of a C IOC's counters, as they come over the wire."""
    with (
        CIoc(counter_database(prefix, records)) as ioc,
        socket.create_connection(("127.0.0.1", ioc.port), timeout=60) as connection,
    ):
        out = [message(0, count=13)]
        for number, name in enumerate(counter_names(prefix, records)):
            out.append(message(18, name.encode() + b"\0", p1=number, p2=13))
        connection.sendall(b"".join(out))
        answers = _receive(connection, 16 + 32 * records)
        event_mask = struct.pack(">fffHH", 0, 0, 0, 5, 0)
        subscribe = bytearray()
        for at in range(16, len(answers), 16):
            command, _, _, _, number, sid = HEADER.unpack_from(answers, at)
            if command == 18:
                subscribe += message(1, event_mask, TIME_DOUBLE, 1, sid, number)
        connection.sendall(subscribe)
        return _receive(connection, 40 * records * scans)


def _receive(connection: socket.socket, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        piece = connection.recv(min(1 << 20, size - len(received)))
        if not piece:
            raise ConnectionError("the IOC closed the connection")
        received += piece
    return bytes(received)


class ReplayServer:
    """The server in a process of its own, on 127.0.0.1:`port`, until the end of the `with` block.

    The recording is sent again and again; with each repetition its time stamps and values go on from where they were,
    so that time never goes back and counters keep counting. `repeat` ends it after so many repetitions (0: never).
    """

    def __init__(self, stream: bytes, names: list[str], repeat: int = 0) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="owl-replay-")
        folder = Path(self._folder.name)
        (folder / "stream").write_bytes(stream)
        (folder / "names").write_text("\n".join(names))
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(folder), str(repeat)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        if self._process.stdout is None:
            raise RuntimeError("no output to read")
        self.port = int(self._process.stdout.readline().split()[-1])

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._process.pid

    def __enter__(self) -> ReplayServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait(30)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._folder.cleanup()


def serve(folder: Path, repeat: int) -> None:
    """Serve one client after the other."""
    stream = (folder / "stream").read_bytes()
    names = (folder / "names").read_text().split("\n")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        print(f"ready {port}", flush=True)
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(ConnectionError):
                _greet(connection, names, port)
                _send(connection, stream, repeat)


def _greet(connection: socket.socket, names: list[str], port: int) -> None:
    """Answer until every name is subscribed to."""
    known = set(names)
    connection.sendall(message(0, count=13))
    pending, subscribed = bytearray(), 0
    while subscribed < len(names):
        piece = connection.recv(1 << 20)
        if not piece:
            raise ConnectionError
        pending += piece
        at, out = 0, bytearray()
        while at + 16 <= len(pending):
            command, size, dbr, count, p1, p2 = HEADER.unpack_from(pending, at)
            if at + 16 + size > len(pending):
                break
            body = bytes(pending[at + 16 : at + 16 + size])
            at += 16 + size
            if command == 6 and body.split(b"\0")[0].decode() in known:
                out += message(6, b"\0\x0d", port, 0, 0xFFFFFFFF, p1)
            elif command == 18:
                out += message(22, p1=p1, p2=1) + message(18, dbr=DOUBLE, count=1, p1=p1, p2=p1)
            elif command == 1 and dbr == TIME_DOUBLE:
                subscribed += 1
            elif command == 1:
                out += message(1, bytes(88), dbr, count, 1, p2)
        del pending[:at]
        connection.sendall(out)


def _send(connection: socket.socket, recorded: bytes, repeat: int) -> None:
    raw = bytearray(recorded)
    part = np.frombuffer(raw, EVENT)
    ids, seconds = part["id"].astype(np.intp), part["seconds"].astype(np.uint32)
    span = int(seconds.max() - seconds.min()) + 1
    # the how-manieth event of its channel each one is
    order = np.argsort(ids, kind="stable")
    first = np.searchsorted(ids[order], ids[order], side="left")
    number = np.empty(len(ids))
    number[order] = np.arange(len(ids)) - first
    each = np.bincount(ids)[ids]
    turn = 0
    while repeat == 0 or turn < repeat:
        part["seconds"] = seconds + np.uint32(turn * span)
        part["value"] = number + turn * each
        connection.sendall(raw)
        turn += 1
    connection.recv(1)  # until the client goes


if __name__ == "__main__":
    try:
        serve(Path(sys.argv[1]), int(sys.argv[2]))
    except KeyboardInterrupt:
        os._exit(130)
