"""One command at a time: who runs what, how far it is, and whether somebody wants it to end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import TypeVar

from db.who import Who
from owlshift.ioc import PutRefused
from owlshift.ioc.link import Client

T = TypeVar("T")


class CommandFailed(PutRefused):
    """A command did not do what it should. The client's put fails with the text; `State` becomes Failed."""


@dataclass(eq=False)
class Work:
    """A command that is under way."""

    command: str
    client: Client
    runkey: str = ""
    began: float = field(default_factory=time.time)
    """Unix seconds."""
    abort: asyncio.Event = field(default_factory=asyncio.Event)
    """Somebody wants it to end; `aborted_by` says who."""
    aborted_by: str = ""
    done: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def who(self) -> Who:
        """Whom rows and the audit name."""
        return Who(str(self.client.user or "unknown")[:200], str(self.client.host or "unknown")[:200])

    def __str__(self) -> str:
        what = f"{self.command} of {self.runkey}" if self.runkey else self.command
        since = time.strftime("%H:%M:%S", time.localtime(self.began))
        return f"{what} by {self.client} is under way since {since}"

    def ask_to_end(self, client: Client) -> None:
        """Ask it to end; what it has done is undone."""
        self.aborted_by = self.aborted_by or str(client)
        self.abort.set()

    def unwanted(self) -> bool:
        """Nobody waits for it any more: it was aborted, or has been given up. For threads, before they write."""
        return self.abort.is_set() or self.done.is_set()

    async def unless_aborted(self, doing: Awaitable[T]) -> T:
        """What `doing` gives; InterruptedError, and `doing` is cancelled, when the work is to end."""
        task, end = asyncio.ensure_future(doing), asyncio.ensure_future(self.abort.wait())
        try:
            await asyncio.wait([task, end], return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise InterruptedError
            return task.result()
        finally:
            for one in (task, end):
                one.cancel()
            await asyncio.gather(task, end, return_exceptions=True)
