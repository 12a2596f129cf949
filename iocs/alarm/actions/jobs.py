"""Work that blocks for a bounded time, on threads that do not keep the server from ending."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from owlshift.ioc.threads import on_thread

AT_A_TIME = 4
"""Jobs of one kind."""


class Jobs:
    """Runs jobs by kind: those of one kind that take long keep no other kind waiting."""

    def __init__(self) -> None:
        self._free: dict[str, asyncio.Semaphore] = {}

    async def run(self, kind: str, job: Callable[[], str]) -> str:
        """`job()` on a thread of its own, what it raises included; when this is cancelled it goes on unheard."""
        async with self._free.setdefault(kind, asyncio.Semaphore(AT_A_TIME)):
            return await on_thread(job, f"alarm {kind}")
