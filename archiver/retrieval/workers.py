"""Threads that read and encode, and whose turn it is.

Requests run in threads of their own but compute only while they have a turn. A request that has computed for long
shares the few turns of the long ones, slice by slice and in order of asking, and so holds up neither the short ones
nor its like.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, TypeVar, TypeVarTuple, Unpack

from anyio import CapacityLimiter, to_thread

A = TypeVarTuple("A")
T = TypeVar("T")

SHORT_S = 0.2
"""A request that has computed for longer is a long one."""
SLICE_S = 0.05
"""How long a request may compute before another one that waits has its turn."""
THREADS = 160
"""Requests that may be in work, or wait for a turn, at once; more wait for a thread."""


class Gone(Exception):  # noqa: N818
    """Nobody waits for this work any more."""


class Turns:
    """The turns of short and of long requests, each kind given in the order of asking."""

    def __init__(self, short: int = 4, long: int | None = None) -> None:
        self._lock = threading.Lock()
        self._free = [short, long or max(2, os.cpu_count() or 1)]
        self._waiting: tuple[deque[threading.Event], ...] = (deque(), deque())

    def take(self, kind: int) -> None:
        """Wait for a turn of this kind (0 short, 1 long)."""
        with self._lock:
            if self._free[kind]:
                self._free[kind] -= 1
                return
            mine = threading.Event()
            self._waiting[kind].append(mine)
        mine.wait()

    def give(self, kind: int) -> None:
        """Hand the turn to who has waited longest."""
        with self._lock:
            if self._waiting[kind]:
                self._waiting[kind].popleft().set()
            else:
                self._free[kind] += 1

    def wanted(self, kind: int) -> bool:
        """Whether somebody waits for a turn of this kind."""
        return bool(self._waiting[kind])


class Job:
    """The work of one request: at most one thread at a time is in it."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._kind = 0
        self._spent = 0.0
        self._since = 0.0
        self.gone = False
        """Nobody waits for it any more."""

    def __enter__(self) -> Job:
        self._turns.take(self._kind)
        self._since = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._spent += time.monotonic() - self._since
        self._turns.give(self._kind)

    def pause(self) -> None:
        """To be called now and then by the work itself: Gone when nobody waits for it, and others have their turn."""
        if self.gone:
            raise Gone
        now = time.monotonic() - self._since
        over = self._kind == 0 and self._spent + now > SHORT_S
        if not over and (now < SLICE_S or not self._turns.wanted(self._kind)):
            return
        self._spent += now
        self._turns.give(self._kind)
        if over:
            self._kind = 1
        self._turns.take(self._kind)
        self._since = time.monotonic()
        if self.gone:
            raise Gone

    def watch(self, source: Iterable[T]) -> Iterator[T]:
        """The source, with a pause after each of its items; it is closed at the end, however that comes."""
        try:
            for item in source:
                self.pause()
                yield item
        finally:
            close = getattr(source, "close", None)
            if close is not None:
                close()


class Workers:
    """Runs blocking calls in threads; one for the whole service."""

    def __init__(self, turns: Turns | None = None) -> None:
        self._turns = turns or Turns()
        self._limiter: CapacityLimiter | None = None

    def job(self) -> Job:
        """The work of a new request."""
        return Job(self._turns)

    async def run(self, function: Callable[[Unpack[A]], T], *args: *A) -> T:
        """The result of one blocking call."""
        return await self.run_in(self.job(), function, *args)

    async def run_in(self, job: Job, function: Callable[[Unpack[A]], T], *args: *A) -> T:
        """The result of a blocking call that belongs to a job."""
        return await self._in_thread(partial(_with_turn, job, function, *args))

    async def wait(self, function: Callable[[Unpack[A]], T], *args: *A) -> T:
        """The result of a call that waits (for a name server, for a disk) rather than computes: it needs no turn."""
        return await self._in_thread(partial(function, *args))

    async def _in_thread(self, call: Callable[[], T]) -> T:
        if self._limiter is None:  # it belongs to an event loop
            self._limiter = CapacityLimiter(THREADS)
        return await to_thread.run_sync(call, limiter=self._limiter)


def _with_turn(job: Job, function: Callable[..., T], *args: Any) -> T:
    with job:
        return function(*args)


class Watched:
    """A reader whose streams pause for the job between their pieces."""

    def __init__(self, reader: Any, job: Job) -> None:
        self._reader = reader
        self._job = job

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def read_many(self, *args: Any, **kwargs: Any) -> Any:
        """`StoreReader.read_many`."""
        self._job.pause()
        return self._reader.read_many(*args, **kwargs)

    def read(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """`StoreReader.read`."""
        return self._job.watch(self._reader.read(*args, **kwargs))

    def read_arrow(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """`StoreReader.read_arrow`."""
        return self._job.watch(self._reader.read_arrow(*args, **kwargs))

    def summaries(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """`StoreReader.summaries`."""
        return self._job.watch(self._reader.summaries(*args, **kwargs))


async def until_gone(receive: Callable[[], Any], job: Job) -> None:
    """Tell the job when its client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    job.gone = True
