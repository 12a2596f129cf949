"""One open connection to a line of boards: requests go out in order, replies are matched in order.

Requests come as jobs, each a sequence that is answered as a whole or not at all. Jobs of a lower `Priority` number go
first, also between two requests of a job that has begun. Up to `depth` requests are on the way at one time.

A reply names its board but not its question. After anything that is not the expected answer (silence, garbage, half a
line, somebody else's answer) it is no longer known which reply belongs to which request. Then nothing of what is on the
way is believed: the line is drained until it is quiet, a marker request whose answer is known must be answered as it
should, and only then goes the work on. Jobs with `retries` left start again; the others fail.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from iocs.hv.protocol import (
    BadReply,
    DeviceError,
    Disconnected,
    LineSplitter,
    Rejected,
    Reply,
    Request,
    Timeout,
    check,
    parse_reply,
)
from iocs.hv.stream import Stream, open_stream

log = logging.getLogger(__name__)

QUIET = 0.08
"""Seconds without a byte after which a line is quiet."""
DRAIN = 1.0
"""Seconds that a line may take to fall quiet."""
MARKERS = 3
"""Marker requests that may go wrong before the connection is given up."""


class Priority(enum.IntEnum):
    """Who goes first."""

    URGENT = 0
    WRITE = 1
    POLL = 2


@dataclass
class Counters:
    """What went wrong since the start of the IOC."""

    timeouts: int = 0
    bad_replies: int = 0
    reconnects: int = 0


class Complaints:
    """Counts complaints and logs them once a minute: the first at once, then how many there were and the last."""

    def __init__(self, period: float = 60.0) -> None:
        self._period = period
        self._next = 0.0
        self._count = 0

    def add(self, text: str) -> None:
        """Note one complaint."""
        self._count += 1
        now = time.monotonic()
        if now >= self._next:
            more = f" (and {self._count - 1} more since the last such line)" if self._count > 1 else ""
            log.warning("%s%s", text, more)
            self._next = now + self._period
            self._count = 0


@dataclass(eq=False)
class _Job:
    requests: Sequence[Request]
    priority: Priority
    retries: int
    done: asyncio.Future[list[Reply]]
    probe: bool = False
    sent: int = 0
    replies: list[Reply] = field(default_factory=list)


class Line:
    """A connection. Nothing is answered unless `run` is running; that ends, with Disconnected, with the connection."""

    def __init__(self, *, depth: int, timeout: float, counters: Counters, complaints: Complaints) -> None:
        self.marker: Callable[[int], tuple[tuple[Request, tuple[str, ...] | None], ...]] = lambda board: (
            (Request(board, "MON", "BDNAME"), None),
            (Request(board, "MON", "BDNCH"), None),
        )
        """Gives, for a board in doubt, different questions to a board that should answer; and the answers if known."""
        self._depth, self._timeout = depth, timeout
        self._counters, self._complaints = counters, complaints
        self._stream: Stream | None = None
        self._queues: tuple[deque[_Job], ...] = tuple(deque() for _ in Priority)
        self._flight: deque[_Job] = deque()
        self._splitter = LineSplitter()
        self._lines: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._deadline = 0.0
        self._end: str | None = None

    @classmethod
    async def connect(
        cls,
        address: str,
        *,
        depth: int,
        timeout: float,
        connect_timeout: float,
        baud: int,
        counters: Counters,
        complaints: Complaints,
    ) -> Line:
        """Open `address`. Timeout or Disconnected when that fails. A serial line gets one request at a time."""
        if address.startswith("serial:"):
            depth = 1
        line = cls(depth=depth, timeout=timeout, counters=counters, complaints=complaints)
        line._stream = await open_stream(address, line._on_data, line._on_closed, timeout=connect_timeout, baud=baud)
        return line

    # --- what the stream tells

    def _on_data(self, data: bytes) -> None:
        self._lines.extend(self._splitter.feed(data))
        self._wake.set()

    def _on_closed(self, reason: str) -> None:
        self._end = self._end or reason
        self._wake.set()

    # --- what the driver asks

    async def ask(
        self, requests: Sequence[Request], priority: Priority, retries: int = 0, probe: bool = False
    ) -> list[Reply]:
        """Send `requests` and return their replies, in order; a refusal is a reply with its `error`.

        `probe`: silence is an answer too, and no reason to doubt the line.
        BadReply, Timeout or Disconnected when they cannot all be had; Rejected when `drop_writes` came in between.
        """
        if self._end is not None:
            raise Disconnected(self._end)
        job = _Job(requests, priority, retries, asyncio.get_running_loop().create_future(), probe)
        self._queues[priority].append(job)
        self._wake.set()
        return await job.done

    def drop_writes(self, reason: str) -> None:
        """Writes fail with Rejected; those that have not gone out never will."""
        queue = self._queues[Priority.WRITE]
        for job in [*queue, *self._flight]:
            if job.priority is Priority.WRITE:
                _fail(job, Rejected(reason))  # the replies to what is on the way are still waited for
        queue.clear()

    def close(self) -> None:
        """End the connection; `run` ends with Disconnected."""
        self._on_closed("closed")

    # --- the exchange

    async def run(self) -> None:
        """Serve jobs until the connection ends: Disconnected."""
        if self._stream is None:
            raise Disconnected("not connected")
        try:
            while True:
                await self._step()
        except Disconnected as error:
            self._end = self._end or str(error)
            raise
        finally:
            self._end = self._end or "closed"
            self._stream.close()
            for job in [*self._flight, *(job for queue in self._queues for job in queue)]:
                _fail(job, Disconnected(self._end))
            self._flight.clear()
            for queue in self._queues:
                queue.clear()

    async def _step(self) -> None:
        try:
            while self._lines:
                self._take(self._lines.popleft())
            if self._end is not None:
                raise Disconnected(self._end)
            self._fill()
            await self._sleep(self._deadline if self._flight else None)
        except (BadReply, Timeout) as doubt:
            await self._resynchronise(doubt)

    async def _sleep(self, deadline: float | None) -> None:
        """Wait for news; Timeout at the loop's time `deadline`."""
        try:
            async with asyncio.timeout_at(deadline):
                await self._wake.wait()
        except TimeoutError:
            if not self._wake.is_set():  # it is, when this process has slept through both
                raise Timeout("no answer") from None
        self._wake.clear()

    def _fill(self) -> None:
        """Send what may be on the way."""
        out = []
        for queue in self._queues:
            while queue and len(self._flight) < self._depth:
                job = queue[0]
                if job.done.done():  # whoever asked has gone; what is on the way is still matched
                    queue.popleft()
                    continue
                out.append(job.requests[job.sent].encode())
                job.sent += 1
                if job.sent == len(job.requests):
                    queue.popleft()
                if not self._flight:
                    self._restart_clock()
                self._flight.append(job)
        if out and self._stream is not None:
            self._stream.write(b"".join(out))

    def _restart_clock(self) -> None:
        self._deadline = asyncio.get_running_loop().time() + self._timeout

    def _take(self, line: bytes) -> None:
        """Match a line with the oldest request on the way. BadReply when it is not the answer."""
        if not self._flight:
            raise BadReply(f"nobody asked for {line[:60]!r}")
        job = self._flight[0]
        reply = parse_reply(line)
        check(job.requests[len(job.replies)], reply)
        self._flight.popleft()
        self._restart_clock()
        job.replies.append(reply)
        if len(job.replies) == len(job.requests) and not job.done.done():
            job.done.set_result(job.replies)

    # --- after a doubt

    async def _resynchronise(self, doubt: DeviceError) -> None:
        suspect = self._flight[0].requests[len(self._flight[0].replies)] if self._flight else None
        if suspect is not None and isinstance(doubt, Timeout):
            half = self._splitter.take_rest()
            if half:
                doubt = BadReply(f"{suspect}: only half an answer, {half[:60]!r}")
            else:
                doubt = Timeout(f"{suspect}: no answer within {self._timeout:g} s")
        if isinstance(doubt, Timeout) and self._flight[0].probe:
            self._put_back(doubt)
            await self._drain()
            return
        self._note(doubt)
        self._put_back(doubt)
        board = 0 if suspect is None else suspect.board
        for _ in range(MARKERS):
            await self._drain()
            if await self._marker_answered(board):
                return
        raise Disconnected(f"{doubt}; and the line cannot be brought back in step")

    def _note(self, doubt: DeviceError) -> None:
        if isinstance(doubt, Timeout):
            self._counters.timeouts += 1
        else:
            self._counters.bad_replies += 1
        self._complaints.add(str(doubt))

    def _put_back(self, doubt: DeviceError) -> None:
        """Jobs on the way start again or fail; their order stays."""
        jobs = list(dict.fromkeys(self._flight))
        self._flight.clear()
        for job in reversed(jobs):
            queue = self._queues[job.priority]
            if job in queue:
                queue.remove(job)
            if job.done.done():
                continue
            if job.retries > 0:
                job.retries -= 1
                job.sent, job.replies = 0, []
                queue.appendleft(job)
            else:
                _fail(job, doubt)

    async def _drain(self) -> None:
        """Read and forget until the line is quiet; Disconnected when it does not fall quiet."""
        loop = asyncio.get_running_loop()
        limit = loop.time() + DRAIN
        while True:
            self._lines.clear()
            self._wake.clear()
            try:
                await self._sleep(loop.time() + QUIET)
            except Timeout:
                if self._end is None:
                    break
            if self._end is not None:
                raise Disconnected(self._end)
            if loop.time() > limit:
                raise Disconnected("the device does not stop sending")
        self._lines.clear()
        self._splitter.take_rest()

    async def _marker_answered(self, suspect: int) -> bool:
        """Ask different things, one by one, whose answers are known; True when exactly those come."""
        for request, expected in self.marker(suspect):
            if self._stream is not None:
                self._stream.write(request.encode())
            try:
                self._restart_clock()
                while not self._lines:
                    await self._sleep(self._deadline)
                    if self._end is not None:
                        raise Disconnected(self._end)
                reply = parse_reply(self._lines.popleft())
                check(request, reply)
                if self._lines or reply.error or (expected is not None and reply.values != expected):
                    raise BadReply(f"{request}: {reply}")
            except Timeout:
                self._counters.timeouts += 1
                raise Disconnected(f"nobody answers on the line (tried board {request.board})") from None
            except BadReply as error:
                self._note(error)
                return False
        return True


def _fail(job: _Job, error: DeviceError) -> None:
    if not job.done.done():
        job.done.set_exception(error)
