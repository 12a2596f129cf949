"""An answer as a stream: in order, cut off when it fails, dropped when nobody takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

import pytest

from archiver.retrieval import stream
from archiver.retrieval.stream import Chunks, Opened, StreamAnswer
from archiver.retrieval.workers import Job, Workers
from archiver.store import StoreError

SCOPE = {"type": "http", "method": "GET", "path": "/x", "http_version": "1.1"}


class Client:
    """What an ASGI server is to an application."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.gone = asyncio.Event()
        self.takes = True

    async def receive(self) -> dict:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if not self.takes:
            await asyncio.Event().wait()
        self.sent.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(m.get("body", b"") for m in self.sent)

    @property
    def complete(self) -> bool:
        return any(m["type"] == "http.response.body" and not m.get("more_body") for m in self.sent)


class Source:
    """Pieces of 100 kB, and whether they were let go of."""

    def __init__(self, number: int, fault: BaseException | None = None) -> None:
        self.closed = False
        self.made = 0
        self.pieces = self._make(number, fault)

    def _make(self, number: int, fault: BaseException | None) -> Generator[bytes, None, None]:
        try:
            for self.made in range(1, number + 1):
                yield bytes([self.made % 256]) * 100_000
            if fault is not None:
                raise fault
        finally:
            self.closed = True


async def answer(source: Source, client: Client) -> None:
    def opened(job: Job) -> Opened:
        return Opened(Chunks(job.watch(source.pieces)), {"Content-Type": "a/b"})

    try:
        await StreamAnswer(opened, Workers())(SCOPE, client.receive, client.send)
    finally:
        source.pieces.close()


async def test_all_of_it_in_order():
    source, client = Source(20), Client()
    await answer(source, client)
    assert client.complete and source.closed
    assert client.body == b"".join(bytes([i]) * 100_000 for i in range(1, 21))


@pytest.mark.parametrize("fault", [StoreError("gone"), OSError(5, "Input/output error")])
async def test_what_fails_half_way_is_not_ended_as_if_whole(fault: Exception, caplog: pytest.LogCaptureFixture):
    source, client = Source(3, fault), Client()
    await answer(source, client)
    assert len(client.body) == 300_000 and not client.complete and source.closed
    assert [r.getMessage() for r in caplog.records] == [f"an answer of /x is cut off: {fault}"]


async def test_a_client_that_goes_ends_the_work():
    source, client = Source(10_000), Client()
    task = asyncio.create_task(answer(source, client))
    while len(client.sent) < 3:
        await asyncio.sleep(0)
    client.gone.set()
    await asyncio.wait_for(task, 30)
    assert source.closed and source.made < 10_000 and not client.complete


async def test_a_client_that_takes_nothing_is_dropped(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(stream, "STALLED_S", 0.1)
    source, client = Source(100), Client()
    start = client.send

    async def send(message: Any) -> None:
        await start(message)
        client.takes = False

    client.send = send
    await asyncio.wait_for(answer(source, client), 30)
    assert source.closed and source.made < 5 and "is dropped" in caplog.text
