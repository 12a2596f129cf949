"""The site's databases for an IOC: every query on a thread, no server waited for longer than a time-out.

Threads are daemons: one that a hanging server holds keeps nobody from stopping the IOC.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection

from db.config import database_urls, db_config, shown
from db.database import Database
from db.errors import DbError, Unavailable
from db.store import Store
from db.who import Who
from owlshift.ioc.threads import on_thread
from owlshift.site import Site

T = TypeVar("T")

MYSELF = Who("runkey-ioc", Who.me().host)
"""Whom rows and the audit name where nobody asked."""
MAX_HANGING = 8
"""Threads that wait for a server which does not answer, until further queries are refused at once."""
TIMEOUT = 60.0
JOURNAL_TIMEOUT = 10.0
AWAY_TIMEOUT = 1.0
"""Seconds that a journal which was away may take: the stand does not wait for it any more."""


@dataclass(frozen=True)
class Health:
    """How the databases are."""

    ok: bool
    seconds: float = 0.0
    """What the slower of both took to answer."""
    reason: str = ""


async def in_time(function: Callable[[], T], timeout: float, what: str) -> T:
    """`function()` on a thread of its own; Unavailable when it takes longer, and then it goes on unheard."""
    try:
        # not wait_for: a cancellation that comes together with the answer would be lost in it, and nothing end
        async with asyncio.timeout(timeout):
            return await on_thread(function, what)
    except TimeoutError:
        raise Unavailable(f"{what}: the database has not answered within {timeout:g} s") from None


class Databases:
    """Staging area and backend of a site. Opened when first needed, and again after they were away."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._lock = threading.Lock()
        self._open: dict[str, Database] = {}
        self._counting = threading.Lock()
        self._hanging = 0
        self.places = {name: shown(place) for name, place in db_config(site).places(site.state).items()}

    def _databases(self) -> tuple[Database, Database]:
        with self._lock:
            opened = len(self._open)
            for name, url in database_urls(self._site).items():
                if name not in self._open:
                    self._open[name] = Database.open(url, name=name)
            staging, backend = self._open["staging"], self._open["backend"]
            if len(self._open) > opened:
                with contextlib.suppress(DbError):  # the next commit of those runkeys does it, too
                    Store(staging, backend, MYSELF).recover()
            return staging, backend

    async def run(self, who: Who, function: Callable[[Store], T], *, timeout: float = TIMEOUT, what: str = "") -> T:
        """What `function` makes of the databases, on a thread. DbError; Unavailable after `timeout` seconds."""

        def work() -> T:
            with self._counted():
                staging, backend = self._databases()
                return function(Store(staging, backend, who))

        if self._hanging >= MAX_HANGING:
            raise Unavailable(f"{self._hanging} queries wait for a database that does not answer")
        return await in_time(work, timeout, what or getattr(function, "__name__", "query").strip("_"))

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        with self._counting:
            self._hanging += 1
        try:
            yield
        finally:
            with self._counting:
                self._hanging -= 1

    async def look(self, timeout: float = 10.0) -> Health:
        """Whether both answer, and how fast."""

        def ping(store: Store) -> Health:
            return Health(True, max(store.staging.database.ping(), store.backend.database.ping()))

        began = time.monotonic()
        try:
            return await self.run(MYSELF, ping, timeout=timeout)
        except DbError as error:
            return Health(False, time.monotonic() - began, str(error))

    def close(self) -> None:
        """Close all connections, but for those that a thread uses."""
        with self._lock:
            for database in self._open.values():
                database.close()
            self._open.clear()


class JournalWrites:
    """Transactions of an apply's journal, in the staging area.

    Once one has failed, the next ones are given little time: what is to be taken back must not wait for a database.
    """

    def __init__(self, databases: Databases, who: Who) -> None:
        self._databases, self._who = databases, who
        self._away = False

    async def __call__(self, function: Callable[[Connection], Any]) -> Any:
        """Run it in one write transaction; DbError."""

        late = threading.Event()

        def write(store: Store) -> Any:
            with store.staging.database.write() as connection:
                result = function(connection)
                if late.is_set():  # something newer may be there already: it must not be written over
                    raise Unavailable("too late")
                return result

        timeout = AWAY_TIMEOUT if self._away else JOURNAL_TIMEOUT
        try:
            return await self._databases.run(self._who, write, timeout=timeout, what="journal")
        except Unavailable:
            late.set()
            self._away = True
            raise
