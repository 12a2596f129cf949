"""Follows the ledger: what people have decided about PVs, within a fraction of a second, whatever its file is like."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from archiver.management.ledger import Job, Ledger, LedgerError, LedgerView, PvEntry

log = logging.getLogger(__name__)

PERIOD = 0.1
"""Seconds between two looks at the ledger's version."""
RETRY = 1.0
"""The same while it can't be read."""


class LedgerFollower:
    """Looks at the ledger for ever. While it can't be read, what was read last still holds.

    `remembered` is what the engine before this one archived: that holds until the ledger can be read for the first
    time. `do_job` carries out a job before the entries that came with it are told; `changed` gets all entries and the
    names of those that are new, changed or gone.
    """

    def __init__(
        self,
        path: Path,
        engine: str,
        do_job: Callable[[Job], Awaitable[None]],
        changed: Callable[[dict[str, PvEntry], set[str]], None],
        remembered: Callable[[], dict[str, PvEntry]] = dict,
    ) -> None:
        self.path = path
        self.problem = ""
        """Why the ledger can't be followed, if so."""
        self.version = -1
        self._engine = engine
        self._do_job, self._changed, self._remembered = do_job, changed, remembered
        self._thread = ThreadPoolExecutor(1, "ledger")
        self._ledger: Ledger | None = None
        self._view: LedgerView | None = None
        self._entries: dict[str, PvEntry] = {}
        self._guessed: set[str] = set()

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(RETRY if self.problem else PERIOD)

    async def look(self) -> None:
        """Take in what is new."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._thread, self._refresh)
            if found is not None:
                jobs, entries, names = found
                for job in jobs:
                    await self._do_job(job)
                # at once: a plan by the old entries would begin a renamed PV anew under its old name
                if names or jobs or self.version < 0:
                    self._changed(entries, names | self._guessed)
                    self._guessed = set()
                for job in jobs:
                    await loop.run_in_executor(self._thread, self._finish, job.id)
                view = self._view
                self.version = view.version if view is not None else -1
        except (LedgerError, sqlite3.Error, OSError) as error:
            if not self.problem:
                log.error("%s: what is archived stays as it is, trying on", error)
                if self.version < 0 and (entries := self._remembered()):
                    self._guessed = set(entries)
                    self._changed(entries, self._guessed)
            self.problem = str(error)
            # what was read but not told is read again
            self._view = None if self._view is None or self._view.version != self.version else self._view
            return
        if self.problem:
            log.warning("the ledger %s can be read again", self.path)
            self.problem = ""

    def _refresh(self) -> tuple[list[Job], dict[str, PvEntry], set[str]] | None:
        if self._ledger is None:
            self._ledger = Ledger(self.path)
        if self._view is None:
            self._view = LedgerView(self._ledger)
        view = self._view
        if not view.refresh() and view.version == self.version:
            return None
        jobs = self._ledger.jobs(self._engine)
        names = {name for name, entry in view.entries.items() if self._entries.get(name) != entry}
        # what is deleted stays in a ledger and says so: entries that are not there were lost with another file
        lost = self._entries.keys() - view.entries.keys()
        if lost:
            log.error("%s is another ledger: what it doesn't know of %d PVs stays as it was", self.path, len(lost))
        self._entries = {**self._entries, **view.entries}
        return jobs, self._entries, names

    def _finish(self, job: int) -> None:
        if self._ledger is not None:
            self._ledger.finish_job(job, self._engine)

    def close(self) -> None:
        """Close the ledger; `run` must have ended."""
        self._thread.submit(self._close).result()
        self._thread.shutdown()

    def _close(self) -> None:
        if self._ledger is not None:
            self._ledger.close()
