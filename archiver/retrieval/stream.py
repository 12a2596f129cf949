"""Bytes made by an iterator in worker threads -> an HTTP answer, in bounded memory, until the client is gone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar, TypeVarTuple, Unpack

import anyio
from anyio import CapacityLimiter, to_thread
from starlette.types import Receive, Scope, Send

from archiver.store import StoreError

log = logging.getLogger(__name__)

A = TypeVarTuple("A")
T = TypeVar("T")

PIECE = 1 << 16
WHOLE = 8 << 20
STALLED_S = 600
"""A client that takes nothing for so long is dropped."""


class Workers:
    """The threads that read and encode. Long answers go on in few of them, so that new requests find one free at once.

    An answer that waits for its client holds none.
    """

    def __init__(self, opening: int = 8, going_on: int = 2) -> None:
        self._numbers = opening, going_on
        self._limiters: tuple[CapacityLimiter, CapacityLimiter] | None = None

    async def run(self, function: Callable[[Unpack[A]], T], *args: *A) -> T:
        """The result of a blocking call."""
        return await to_thread.run_sync(function, *args, limiter=self._limiter(0))

    async def go_on(self, function: Callable[[Unpack[A]], T], *args: *A) -> T:
        """The same, for a further piece of an answer that has begun."""
        return await to_thread.run_sync(function, *args, limiter=self._limiter(1))

    def _limiter(self, which: int) -> CapacityLimiter:
        if self._limiters is None:  # a limiter belongs to an event loop
            self._limiters = CapacityLimiter(self._numbers[0]), CapacityLimiter(self._numbers[1])
        return self._limiters[which]


class Chunks:
    """An iterator of bytes, in larger pieces."""

    def __init__(self, source: Iterator[bytes]) -> None:
        self._source = source
        self.ended = False

    def take(self, least: int = PIECE) -> bytes:
        """At least `least` bytes, or all that is left (then `ended` is true)."""
        parts: list[bytes] = []
        length = 0
        while length < least:
            part = next(self._source, None)
            if part is None:
                self.ended = True
                break
            parts.append(part)
            length += len(part)
        return b"".join(parts)

    def close(self) -> None:
        """Let go of what the iterator holds."""
        close = getattr(self._source, "close", None)
        if close is not None:
            close()


class StreamAnswer:
    """The ASGI answer of `first` and then all of `chunks`. What fails half-way is cut off, not ended as if whole."""

    def __init__(self, chunks: Chunks, first: bytes, headers: Mapping[str, str], workers: Workers) -> None:
        self._chunks = chunks
        self._first = first
        self._headers = [(k.lower().encode("latin-1"), v.encode("latin-1", "replace")) for k, v in headers.items()]
        self._workers = workers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer, or stop as soon as the client has gone."""
        try:
            if self._chunks.ended:
                self._headers.append((b"content-length", str(len(self._first)).encode()))
            await send({"type": "http.response.start", "status": 200, "headers": self._headers})
            if scope["method"] == "HEAD" or self._chunks.ended:
                body = b"" if scope["method"] == "HEAD" else self._first
                await send({"type": "http.response.body", "body": body})
                return
            async with anyio.create_task_group() as group:
                group.start_soon(self._until_gone, receive, group.cancel_scope)
                await self._send_all(send, str(scope.get("path", "")))
                group.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await self._workers.run(self._chunks.close)

    async def _until_gone(self, receive: Receive, scope: anyio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()

    async def _send_all(self, send: Send, path: str) -> None:
        piece = self._first
        while True:
            with anyio.move_on_after(STALLED_S) as patience:
                await send({"type": "http.response.body", "body": piece, "more_body": not self._chunks.ended})
            if patience.cancelled_caught:
                log.warning("a client of %s took nothing for %d s and is dropped", path, STALLED_S)
                return
            if self._chunks.ended:
                return
            try:
                piece = await self._workers.go_on(self._chunks.take)
            except (StoreError, OSError) as error:
                log.error("an answer of %s is cut off: %s", path, error)
                return
