"""The database on threads: no more than a few at a time, none waited for longer than a time-out."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from db.errors import Unavailable
from owlshift.ioc.threads import on_thread

T = TypeVar("T")

MAX_HANGING = 8
"""Threads that wait for a database which does not answer, until more is refused at once."""


class Threads:
    """Runs functions on daemon threads of their own."""

    def __init__(self) -> None:
        self._counting = threading.Lock()
        self._running = 0

    async def run(self, function: Callable[[], T], timeout: float, what: str) -> T:
        """`function()` on a thread; Unavailable when it takes longer, and then it goes on unheard."""
        if self._running >= MAX_HANGING:
            raise Unavailable(f"{what}: {self._running} others wait for a database that does not answer")
        self._count(1)

        def counted() -> T:
            try:
                return function()
            finally:
                self._count(-1)

        try:
            # not wait_for: a cancellation that comes together with the answer would be lost in it, and nothing end
            async with asyncio.timeout(timeout):
                return await on_thread(counted, what)
        except TimeoutError:
            raise Unavailable(f"{what}: the database has not answered within {timeout:g} s") from None

    def _count(self, change: int) -> None:
        with self._counting:
            self._running += change
