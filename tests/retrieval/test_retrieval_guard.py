"""Clients that are slow, long-winded or many: a status and a sentence, and the others notice nothing."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest
from support import Process, free_port, start, wait_until

SMALL = """
import sys
from archiver.retrieval import guard
guard.HEAD_S, guard.BODY_S, guard.CONNECTIONS, guard.OF_ONE_PEER = 0.5, 0.5, 12, 8
from archiver.retrieval.__main__ import app
sys.argv = ["retrieval", *sys.argv[1:]]
app()
"""


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """A server with little patience; its address."""
    folder = tmp_path_factory.mktemp("strict") / "store"
    folder.mkdir()
    port = free_port()
    argv = [sys.executable, "-c", SMALL, "--folder", str(folder), "--http", f"127.0.0.1:{port}"]
    process: Process = start(argv, timeout=60)
    yield "127.0.0.1", port
    assert process.stop(30) == 0
    assert "Traceback" not in process.text(), process.text()


def answer(sock: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    sock.settimeout(60)
    parts = []
    try:
        while part := sock.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def test_a_head_that_trickles_in(strict: tuple[str, int]):
    with socket.create_connection(strict, timeout=60) as sock:
        sock.sendall(b"GET /retrieval/ping HTTP/1.1\r\nHost: x\r\n")
        began = time.monotonic()
        first = b""
        try:
            while time.monotonic() - began < 60:
                sock.sendall(b"X-More: 1\r\n")
                sock.settimeout(0.1)
                try:
                    first = sock.recv(65536)
                    break
                except TimeoutError:
                    continue
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert first.startswith(b"HTTP/1.1 408 ") or not first
        assert time.monotonic() - began < 30


def test_a_connection_that_says_nothing(strict: tuple[str, int]):
    with socket.create_connection(strict, timeout=60) as sock:
        assert answer(sock) == b""


def test_a_body_that_does_not_come(strict: tuple[str, int]):
    with socket.create_connection(strict, timeout=60) as sock:
        sock.sendall(b"POST /retrieval/data/getDataAtTime HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n[")
        reply = answer(sock)
    assert reply.startswith(b"HTTP/1.1 408 ") and b"The body of the request did not come in time." in reply


def test_a_second_request_that_trickles_in(strict: tuple[str, int]):
    with socket.create_connection(strict, timeout=60) as sock:
        sock.sendall(b"GET /retrieval/ping HTTP/1.1\r\nHost: x\r\n\r\nGET /retr")
        reply = answer(sock)
    assert reply.startswith(b"HTTP/1.1 200 ") and b"Pong" in reply and b"HTTP/1.1 408 " in reply


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 40_000 + b"\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 4_000_000, b"431"),
        (b"GET /" + b"x" * 4_000_000, b"414"),
    ],
)
def test_heads_that_are_too_long(strict: tuple[str, int], request_: bytes, status: bytes):
    with socket.create_connection(strict, timeout=60) as sock:
        try:
            sock.sendall(request_)
        except (BrokenPipeError, ConnectionResetError):
            return  # refused before it was all sent
        reply = answer(sock)
    assert reply.startswith(b"HTTP/1.1 " + status) or not reply  # a reset may come before what was said


def test_too_many_connections(strict: tuple[str, int]):
    url = f"http://127.0.0.1:{strict[1]}/retrieval/ping"

    keep = b"POST /retrieval/data/getDataAtTime HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
    with ExitStack() as stack:
        deadline = time.monotonic() + 60
        seen = b""
        while not seen and time.monotonic() < deadline:
            socks = [stack.enter_context(socket.create_connection(strict, timeout=60)) for _ in range(9)]
            for sock in socks:
                try:
                    sock.sendall(keep)
                except OSError:
                    pass
            replies = [answer(sock) for sock in socks]
            seen = b"".join(r for r in replies if r.startswith(b"HTTP/1.1 503 "))
        assert b"There are 8 connections of yours; try again when some are closed." in seen
    # all places are free again
    wait_until(lambda: httpx.get(url, timeout=60).text == "Pong", 60, "an answer")
