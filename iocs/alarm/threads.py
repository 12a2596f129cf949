"""Work that blocks, on threads: no more than a few at a time, and none that keeps the server from ending."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from db.errors import Unavailable

T = TypeVar("T")

MAX_HANGING = 8
"""Threads that wait for a database which does not answer, until more is refused at once."""


class Threads:
    """Runs functions on daemon threads of their own."""

    def __init__(self) -> None:
        self._running = 0

    async def run(self, function: Callable[[], T], timeout: float, what: str) -> T:
        """`function()` on a thread; Unavailable when it takes longer, and then it goes on unheard."""
        if self._running >= MAX_HANGING:
            raise Unavailable(f"{what}: {self._running} others wait for a database that does not answer")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._running += 1

        def deliver(result: Any, error: BaseException | None) -> None:
            self._running -= 1
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        def work() -> None:
            result, failure = None, None
            try:
                result = function()
            except BaseException as error:
                failure = error
            try:
                loop.call_soon_threadsafe(deliver, result, failure)
            except RuntimeError:  # the loop has ended meanwhile: nobody waits any more
                return

        threading.Thread(target=work, name=what, daemon=True).start()
        try:
            # not wait_for: a cancellation that comes together with the answer would be lost in it, and nothing end
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError:
            raise Unavailable(f"{what}: the database has not answered within {timeout:g} s") from None
