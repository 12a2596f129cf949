"""Time as the alarm logic sees it: the event loop's, or one that tests and replays move by hand."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from typing import Protocol

SECOND = 1_000_000_000
"""Nanoseconds."""

LOOK = 60.0
"""Seconds after which an `Appointment` looks at the clock again: it may have been set meanwhile."""


class Timer(Protocol):
    """Something that will be done."""

    def cancel(self) -> object:
        """It will not be done; nothing happens when it was."""


class Clock(Protocol):
    """What the time is, and who is woken when."""

    def now_ns(self) -> int:
        """UTC nanoseconds since 1970."""
        ...

    def call_later(self, seconds: float, fn: Callable[[], object]) -> Timer:
        """Call `fn` once after so many seconds (at once, but not before this returns, when they are not above 0)."""
        ...


class LoopClock:
    """The computer's clock and the timers of an asyncio loop; the running loop's when none is given."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop

    def now_ns(self) -> int:
        """UTC nanoseconds since 1970."""
        return time.time_ns()

    def call_later(self, seconds: float, fn: Callable[[], object]) -> Timer:
        """See `Clock`; RuntimeError outside of a loop."""
        return (self._loop or asyncio.get_running_loop()).call_later(max(seconds, 0.0), fn)


class VirtualTimer:
    """A timer of a `VirtualClock`."""

    __slots__ = ("_clock", "_number")

    def __init__(self, clock: VirtualClock, number: int) -> None:
        self._clock, self._number = clock, number

    def cancel(self) -> None:
        """It will not be done."""
        self._clock.forget(self._number)


class VirtualClock:
    """A clock that stands still until `advance`; begins on 2026-11-20 at 00:00 UTC unless told."""

    def __init__(self, start_ns: int = 1_795_132_800 * SECOND) -> None:
        self._now = start_ns
        self._queue: list[tuple[int, int]] = []
        self._calls: dict[int, Callable[[], object]] = {}
        self._numbers = itertools.count()

    def now_ns(self) -> int:
        """UTC nanoseconds since 1970."""
        return self._now

    @property
    def pending(self) -> int:
        """How many timers wait."""
        return len(self._calls)

    def call_later(self, seconds: float, fn: Callable[[], object]) -> VirtualTimer:
        """See `Clock`."""
        number = next(self._numbers)
        self._calls[number] = fn
        heapq.heappush(self._queue, (self._now + max(round(seconds * SECOND), 0), number))
        return VirtualTimer(self, number)

    def forget(self, number: int) -> None:
        """Drop the timer of that number."""
        self._calls.pop(number, None)

    def advance(self, seconds: float) -> None:
        """Go on in time; what falls due is done in order, at its own time."""
        end = self._now + round(seconds * SECOND)
        while self._queue and self._queue[0][0] <= end:
            due, number = heapq.heappop(self._queue)
            fn = self._calls.pop(number, None)
            if fn is not None:
                self._now = max(self._now, due)
                fn()
        self._now = end

    def set(self, now_ns: int) -> None:
        """Somebody sets the clock: timers still run after as many seconds as before."""
        step = now_ns - self._now
        self._queue = [(due + step, number) for due, number in self._queue]
        self._now = now_ns


class Appointment:
    """Something that is to be done at a time of day, even if the clock is set or the computer sleeps meanwhile."""

    __slots__ = ("_clock", "_fn", "_timer", "at_ns")

    def __init__(self, clock: Clock, at_ns: int, fn: Callable[[], object]) -> None:
        """`fn` is called once when the clock shows `at_ns` or later, never before this returns."""
        self._clock, self._fn = clock, fn
        self.at_ns = at_ns
        self._timer = self._wait()

    def cancel(self) -> None:
        """It will not be done."""
        self._timer.cancel()

    def _wait(self) -> Timer:
        left = (self.at_ns - self._clock.now_ns()) / SECOND
        return self._clock.call_later(min(left, LOOK), self._look)

    def _look(self) -> None:
        if self._clock.now_ns() >= self.at_ns:
            self._fn()
        else:
            self._timer = self._wait()
