"""Bytes made by an iterator in worker threads -> an HTTP answer, in bounded memory, until the client is gone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from starlette.types import Receive, Scope, Send

from archiver.retrieval.workers import Gone, Job, Workers, until_gone
from archiver.store import StoreError

log = logging.getLogger(__name__)

PIECE = 1 << 16
WHOLE = 8 << 20
STALLED_S = 600
"""A client that takes nothing for so long is dropped."""


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
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Let go of what the iterator holds."""
        close = getattr(self._source, "close", None)
        if close is not None:
            close()


@dataclass
class Opened:
    """An answer that can begin: its headers and its bytes."""

    chunks: Chunks
    headers: Mapping[str, str] = field(default_factory=dict)
    whole: bool = False
    """Whether an answer that is not too long should have a Content-Length."""


class StreamAnswer:
    """The ASGI answer of what `open_` opens; it and all that follows runs in threads, as one job.

    What fails before the first bytes is the caller's to answer; what fails half-way is cut off, not ended as if whole.
    """

    def __init__(self, open_: Callable[[Job], Opened], workers: Workers) -> None:
        self._open = open_
        self._workers = workers
        self._job = workers.job()
        self._opened: Opened | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer, or stop as soon as the client has gone."""
        watcher = asyncio.ensure_future(until_gone(receive, self._job))
        try:
            with contextlib.suppress(Gone):
                await self._answer(scope, send)
        finally:
            watcher.cancel()
            self._job.gone = True
            if self._opened is not None:
                await self._workers.run(self._opened.chunks.close)

    def _begin(self) -> tuple[Opened, bytes]:
        opened = self._opened = self._open(self._job)
        return opened, opened.chunks.take(WHOLE if opened.whole else 1)

    async def _answer(self, scope: Scope, send: Send) -> None:
        opened, first = await self._workers.run_in(self._job, self._begin)
        chunks = opened.chunks
        headers = [(k.lower().encode("latin-1"), v.encode("latin-1", "replace")) for k, v in opened.headers.items()]
        if chunks.ended:
            headers.append((b"content-length", str(len(first)).encode()))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if scope["method"] == "HEAD" or chunks.ended:
            await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else first})
            return
        await self._send_all(send, chunks, first, str(scope.get("path", "")))

    async def _send_all(self, send: Send, chunks: Chunks, piece: bytes, path: str) -> None:
        while not self._job.gone:
            ended = chunks.ended
            # the next piece is made while this one is sent
            making = None if ended else asyncio.ensure_future(self._workers.run_in(self._job, chunks.take))
            try:
                async with asyncio.timeout(STALLED_S):
                    await send({"type": "http.response.body", "body": piece, "more_body": not ended})
            except BaseException as error:
                self._job.gone = True
                if making is not None:
                    await asyncio.wait([making])
                if not isinstance(error, TimeoutError):
                    raise
                log.warning("a client of %s took nothing for %d s and is dropped", path, STALLED_S)
                return
            if making is None:
                return
            try:
                piece = await making
            except (StoreError, OSError) as error:
                log.error("an answer of %s is cut off: %s", path, error)
                return
