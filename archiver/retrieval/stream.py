"""Bytes made by an iterator in worker threads -> an HTTP answer, in bounded memory, until the client is gone."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

import anyio
from anyio import CapacityLimiter, to_thread
from starlette.types import Receive, Scope, Send

log = logging.getLogger(__name__)

PIECE = 1 << 16
WHOLE = 8 << 20
STALLED_S = 600
"""A client that takes nothing for so long is dropped."""


class Workers:
    """The threads that read and encode; a waiting answer holds none."""

    def __init__(self, number: int = 8) -> None:
        self._number = number
        self._limiter: CapacityLimiter | None = None

    async def run(self, function, *args):
        """The result of a blocking call in a worker thread."""
        if self._limiter is None:
            self._limiter = CapacityLimiter(self._number)
        return await to_thread.run_sync(function, *args, limiter=self._limiter)


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
                await self._send_all(send)
                group.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await self._workers.run(self._chunks.close)

    async def _until_gone(self, receive: Receive, scope: anyio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()

    async def _send_all(self, send: Send) -> None:
        piece = self._first
        while True:
            with anyio.fail_after(STALLED_S):
                await send({"type": "http.response.body", "body": piece, "more_body": not self._chunks.ended})
            if self._chunks.ended:
                return
            piece = await self._workers.run(self._chunks.take)
