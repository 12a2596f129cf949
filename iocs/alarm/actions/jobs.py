"""Work that blocks for a bounded time, on threads that do not keep the server from ending."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

AT_A_TIME = 4
"""Jobs of one kind."""


class Jobs:
    """Runs jobs by kind: those of one kind that take long keep no other kind waiting."""

    def __init__(self) -> None:
        self._free: dict[str, asyncio.Semaphore] = {}

    async def run(self, kind: str, job: Callable[[], str]) -> str:
        """`job()` on a thread of its own, what it raises included; when this is cancelled it goes on unheard."""
        async with self._free.setdefault(kind, asyncio.Semaphore(AT_A_TIME)):
            loop = asyncio.get_running_loop()
            future: asyncio.Future[str] = loop.create_future()

            def settle(result: str | Exception) -> None:
                if future.done():
                    return
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)

            def work() -> None:
                result: str | Exception
                try:
                    result = job()
                except Exception as error:
                    result = error
                try:
                    loop.call_soon_threadsafe(settle, result)
                except RuntimeError:  # the loop has ended meanwhile
                    return

            threading.Thread(target=work, name=f"alarm {kind}", daemon=True).start()
            return await future
