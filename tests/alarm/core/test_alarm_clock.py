"""Clocks and appointments."""

from __future__ import annotations

import asyncio
import time

from iocs.alarm.tree.clock import LOOK, SECOND, Appointment, LoopClock, VirtualClock


def test_a_virtual_clock_does_what_is_due_in_order_and_at_its_time() -> None:
    clock, seen = VirtualClock(), []
    start = clock.now_ns()
    for seconds in (3, 1, 2):
        clock.call_later(seconds, lambda: seen.append((clock.now_ns() - start) // SECOND))
    clock.call_later(2, lambda: clock.call_later(0.5, lambda: seen.append("again")))
    dropped = clock.call_later(2, lambda: seen.append("dropped"))
    dropped.cancel()
    dropped.cancel()
    clock.advance(2.2)
    assert seen == [1, 2]
    clock.advance(10)
    assert seen == [1, 2, "again", 3]
    assert clock.pending == 0
    assert clock.now_ns() - start == 12.2 * SECOND


async def test_the_loops_clock() -> None:
    clock, done = LoopClock(), asyncio.Event()
    assert abs(clock.now_ns() - time.time_ns()) < 60 * SECOND
    clock.call_later(0, done.set)
    assert not done.is_set()
    clock.call_later(0, lambda: 1 / 0).cancel()
    await asyncio.wait_for(done.wait(), 60)


def test_an_appointment_goes_by_the_time_of_day() -> None:
    clock, seen = VirtualClock(), []
    appointment = Appointment(clock, clock.now_ns() + 3600 * SECOND, lambda: seen.append(1))
    assert appointment.at_ns == clock.now_ns() + 3600 * SECOND
    clock.advance(100)
    clock.set(clock.now_ns() + 3500 * SECOND)  # somebody sets the clock, or the computer slept
    assert seen == []
    clock.advance(LOOK)
    assert seen == [1]
    assert clock.pending == 0


def test_an_appointment_that_is_over_is_kept_soon_and_one_that_is_cancelled_never() -> None:
    clock, seen = VirtualClock(), []
    Appointment(clock, clock.now_ns() - SECOND, lambda: seen.append("past"))
    assert seen == []
    clock.advance(0)
    assert seen == ["past"]
    later = Appointment(clock, clock.now_ns() + 300 * SECOND, lambda: seen.append("never"))
    clock.advance(200)
    later.cancel()
    clock.advance(200)
    assert seen == ["past"]
    assert clock.pending == 0
