"""Two servers on one tree: one has the lease in the database and serves, the other stands by until it is free.

The lease is renewed every two seconds and ends by itself six seconds after the last time, by the database's clock. A
server that ends gives it back, so that the other goes on at once. Who stands by has a second lease, so that the active
server can show it. While the event loop has much to do, a thread renews in its place: being busy is no reason to lose
the lease, but hanging is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable

from db.alarms.lease import EXPIRY, Holder, Lease
from db.database import Database
from db.errors import DbError
from db.who import Who
from iocs.alarm.threads import Threads

log = logging.getLogger(__name__)

PERIOD = 2.0
"""Seconds between two renewals."""
LOOK = 0.5
"""Seconds between two looks of a server that stands by."""
TIMEOUT = 4.0
"""Seconds that a query may take."""
BUSY = 30.0
"""Seconds for which the event loop may be busy without a break; one that is for longer hangs."""
AGAIN = 2.0
"""Seconds until a database that is gone is tried again."""


class LeaseLost(Exception):  # noqa: N818 (what has happened)
    """Another server has the lease: this one must not go on."""


class Seat:
    """The place of the active server. `open_database` connects, on a thread; DbError while there is none."""

    def __init__(
        self, name: str, open_database: Callable[[], Database], threads: Threads, say: Callable[[str, int], None]
    ) -> None:
        self._name, self._open, self._threads, self._say = name, open_database, threads, say
        self._lease: Lease | None = None
        self._second: Lease | None = None
        self.standby = ""
        """Who would take over, as the active server sees it."""
        self.away = ""
        """Why the database cannot be asked."""
        self._alive = 0.0
        """When the event loop last set out to renew (monotonic)."""

    @property
    def lease(self) -> Lease:
        """The lease; RuntimeError before the database was reached."""
        if self._lease is None:
            raise RuntimeError("the database has not been reached yet")
        return self._lease

    async def take(self, stands_by: Callable[[str], None]) -> Database:
        """Wait until this is the active server, and return the database. `stands_by(who)`: another one is, for now.

        Without a database nobody can say who is active: this waits for it.
        """
        database = await self._reach(stands_by)
        told = ""
        was_away = False
        patience = 0.0
        loop = asyncio.get_running_loop()
        while True:
            try:
                taken, holder = await self._threads.run(self._try, TIMEOUT, "lease")
                if was_away:
                    # the active server has not been able to renew either: it goes first
                    was_away, patience = False, loop.time() + EXPIRY
                    self._say("the database is there again", logging.INFO)
                self.away = ""
            except DbError as error:
                if not self.away:
                    self._say(f"nobody can say which server is active: {error}", logging.WARNING)
                self.away, was_away = str(error), bool(told)
                stands_by("nobody knows: there is no database")
                await asyncio.sleep(AGAIN)
                continue
            if taken and patience <= loop.time():
                if told:
                    self._say("takes over", logging.WARNING)
                await self._release(self._second)
                return database
            if taken:
                await self._release(self._lease)
            elif holder is not None and _text(holder) != told:
                told = _text(holder)
                self._say(f"stands by: {told} is the active server", logging.INFO)
                stands_by(told)
            await asyncio.sleep(LOOK)

    async def _reach(self, stands_by: Callable[[str], None]) -> Database:
        while True:
            try:
                database = await self._threads.run(self._open, 60.0, "alarm database")
                break
            except DbError as error:
                if self.away != str(error):
                    self._say(f"waits for the database: {error}", logging.WARNING)
                self.away = str(error)
                stands_by("nobody knows: there is no database")
                await asyncio.sleep(AGAIN)
        self.away = ""
        me = Who.me()
        self._lease = Lease(database, self._name, me)
        self._second = Lease(database, f"{self._name} (standby)", me)
        return database

    def _try(self) -> tuple[bool, Holder | None]:
        """On a thread: take the lease, or say who has it, and register as the one that stands by."""
        lease, second = self.lease, self._second
        if lease.try_take():
            return True, None
        holder = lease.holder()
        if second is not None:
            second.try_take()
        return False, holder

    async def keep(self) -> None:
        """Renew, for ever; LeaseLost when another server has the lease. Without a database this server goes on."""
        self._alive = time.monotonic()
        ended = threading.Event()
        threading.Thread(target=self._deputise, args=(ended,), name="lease", daemon=True).start()
        try:
            await self._keep()
        finally:
            ended.set()

    def _deputise(self, ended: threading.Event) -> None:
        """On a thread: renew while the event loop is busy. Whether another server has the lease it finds out itself."""
        while not ended.wait(PERIOD / 2):
            if 1.5 * PERIOD < time.monotonic() - self._alive < BUSY:
                with contextlib.suppress(DbError):
                    self.lease.renew()

    async def _keep(self) -> None:
        while True:
            self._alive = time.monotonic()
            try:
                kept, second = await self._threads.run(self._renew, TIMEOUT, "lease")
            except DbError as error:
                self.away = str(error)
            else:
                self.away = ""
                if not kept:
                    raise LeaseLost("another alarm server has taken over")
                self.standby = "" if second is None else _text(second)
            await asyncio.sleep(PERIOD)

    def _renew(self) -> tuple[bool, Holder | None]:
        lease = self.lease
        kept = lease.renew() or lease.try_take()  # nobody has taken it while the database was away
        return kept, self._second.holder() if self._second is not None else None

    async def leave(self) -> None:
        """Give the place up, so that another server takes it at once."""
        await self._release(self._lease)
        await self._release(self._second)

    async def _release(self, lease: Lease | None) -> None:
        if lease is None:
            return
        try:
            await self._threads.run(lease.release, 2.0, "lease")
        except DbError as error:
            log.info("the lease %s ends by itself: %s", lease.name, error)


def _text(holder: Holder) -> str:
    return f"{holder.user}@{holder.host} (process {holder.pid})"
