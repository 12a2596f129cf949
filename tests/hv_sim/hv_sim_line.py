"""A simulator in a process of its own, talked to over raw sockets."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Sequence
from typing import Any

from support import Process, start


def serve_argv(*options: str) -> list[str]:
    return [sys.executable, "-u", "-m", "iocs.hv.simulator_cli", "serve", *options]


def split(address: str) -> tuple[str, int]:
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    return host, int(port)


class Client:
    """A raw TCP connection to the line; every read has a time limit."""

    def __init__(self, address: str, timeout: float = 20.0) -> None:
        self.socket = socket.create_connection(split(address), timeout)
        self._buffer = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *requests: str) -> None:
        self.socket.sendall("".join(f"$BD:{r}\r\n" for r in requests).encode())

    def line(self) -> bytes:
        """The next line without its CR LF; EOFError at the end."""
        while b"\r\n" not in self._buffer:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError(self._buffer)
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\r\n", 1)
        return line

    def ask(self, request: str) -> str:
        self.send(request)
        return self.line().decode()

    def asks(self, *requests: str) -> list[str]:
        self.send(*requests)
        return [self.line().decode() for _ in requests]

    def silent(self, seconds: float = 0.3) -> bool:
        """Whether nothing at all comes for a while."""
        self.socket.settimeout(seconds)
        try:
            data = self.socket.recv(65536)
        except TimeoutError:
            return not self._buffer
        finally:
            self.socket.settimeout(20.0)
        self._buffer += data
        return False


class Sim:
    """The process, its addresses and its control port."""

    def __init__(self, *options: str) -> None:
        self.process: Process = start(serve_argv("--no-noise", *options), timeout=60)
        words = self.process.wait_for_line("ready").split()
        self.address, self.control_address = words[1], words[3]
        self._control = socket.create_connection(split(self.control_address), 20)
        self._replies = self._control.makefile("rb")

    def raw_control(self, line: bytes) -> dict[str, Any]:
        self._control.sendall(line + b"\n")
        return json.loads(self._replies.readline())

    def do(self, request: str, /, **arguments: object) -> dict[str, Any]:
        """Carry out a request that must succeed."""
        reply = self.raw_control(json.dumps({"do": request, **arguments}).encode())
        assert reply["ok"], reply
        return reply

    def channel(self, name: str) -> dict[str, Any]:
        for board in self.do("status")["boards"]:
            for channel in board["channels"]:
                if channel["name"] == name:
                    return channel
        raise KeyError(name)

    def wait_for_bits(self, name: str, bits: Sequence[str], timeout: float = 30.0) -> dict[str, Any]:
        deadline = time.monotonic() + timeout
        while True:
            channel = self.channel(name)
            if channel["bits"] == list(bits):
                return channel
            assert time.monotonic() < deadline, f"waited for {bits}: {channel}"
            time.sleep(0.01)

    def connect(self) -> Client:
        return Client(self.address)

    def close_control(self) -> None:
        self._replies.close()
        self._control.close()

    def stop(self) -> int:
        self.close_control()
        return self.process.stop()
