"""The journal of an apply, in the database: what is about to be written is there before it is written.

A row of `application`, and one of `application_item` for each put. A process that dies leaves the state `running`, and
what it was doing: items in `writing` may or may not have been carried out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, bindparam, insert, select, update

from db import audit
from db.database import Database
from db.ids import new_id
from db.models import Application, ApplicationItem
from db.who import Who
from iocs.runkey.plan import Put
from iocs.runkey.settings import dump_value

T = TypeVar("T")
Write = Callable[[Callable[[Connection], Any]], Awaitable[Any]]
"""Runs a function in one write transaction, on a thread."""

RUNNING = "running"
INTERRUPTED = "interrupted"
UNFINISHED = ("planned", "writing", "rolling_back")
"""States of items that a process which dies may leave."""


@dataclass(frozen=True, slots=True)
class ItemState:
    """What came of one put."""

    number: int
    state: str
    """planned, writing, verified, failed, rolling_back, rolled_back or rollback_failed."""
    message: str = ""


class Journal(Protocol):
    """Where an apply writes down what it does. Everything raises DbError when that cannot be had."""

    async def begin(self, puts: Sequence[Put]) -> None:
        """The apply begins, with these puts planned."""
        ...

    async def add(self, puts: Sequence[Put]) -> None:
        """More puts are planned: a second round."""
        ...

    async def note(self, states: Sequence[ItemState]) -> None:
        """These puts are about to be written, or this is what came of them. Durable when it returns."""
        ...

    async def finish(self, state: str, report: str) -> None:
        """The apply has ended."""
        ...


class NoJournal:
    """Writes nothing down."""

    async def begin(self, puts: Sequence[Put]) -> None:
        """Nothing."""

    async def add(self, puts: Sequence[Put]) -> None:
        """Nothing."""

    async def note(self, states: Sequence[ItemState]) -> None:
        """Nothing."""

    async def finish(self, state: str, report: str) -> None:
        """Nothing."""


class Book:
    """A journal, and what it has been told: at the end it is told what has changed since."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._told: dict[int, ItemState] = {}

    async def begin(self, puts: Sequence[Put]) -> None:
        """As `Journal.begin`."""
        await self._journal.begin(puts)
        self._told.update({put.number: ItemState(put.number, "planned") for put in puts})

    async def add(self, puts: Sequence[Put]) -> None:
        """As `Journal.add`."""
        await self._journal.add(puts)
        self._told.update({put.number: ItemState(put.number, "planned") for put in puts})

    async def note(self, states: Iterable[ItemState]) -> None:
        """As `Journal.note`, of what is new in it; items that the journal does not have are left out."""
        news = [one for one in states if one.number in self._told and self._told[one.number] != one]
        if news:
            await self._journal.note(news)
            self._told.update({one.number: one for one in news})

    async def finish(self, state: str, report: str, states: Iterable[ItemState] = ()) -> None:
        """As `Journal.finish`, with the last states of all items."""
        await self.note(states)
        await self._journal.finish(state, report)


def on(database: Database) -> Write:
    """Transactions of this database, each on a thread."""

    def run(work: Callable[[Connection], T]) -> T:
        with database.write() as connection:
            return work(connection)

    return lambda work: asyncio.to_thread(run, work)


class SqlJournal:
    """The journal of one apply in a database; `id` is the application's."""

    def __init__(self, write: Write, runkey: str, root_id: str, digest: bytes, who: Who, comment: str = "") -> None:
        self.id = new_id()
        self._write = write
        self._runkey, self._root_id, self._digest = runkey, root_id, digest
        self._who, self._comment = who, comment

    async def begin(self, puts: Sequence[Put]) -> None:
        """The row of the application, and one for each put; an entry in the audit."""

        def work(connection: Connection) -> None:
            connection.execute(
                insert(Application).values(
                    id=self.id,
                    runkey=self._runkey,
                    root_id=self._root_id,
                    digest=self._digest,
                    state=RUNNING,
                    user=self._who.user,
                    host=self._who.host,
                    comment=self._comment,
                    started=datetime.now(UTC),
                )
            )
            self._insert(connection, puts)
            audit.record(connection, self._who, "apply", self._runkey, application=self.id, puts=len(puts))

        await self._write(work)

    async def add(self, puts: Sequence[Put]) -> None:
        """One row for each put."""
        await self._write(lambda connection: self._insert(connection, puts))

    def _insert(self, connection: Connection, puts: Sequence[Put]) -> None:
        rows = [
            {
                "application_id": self.id,
                "number": put.number,
                "pv": put.pv,
                "old": dump_value(put.old),
                "new": dump_value(put.new),
                "state": "planned",
                "message": "",
            }
            for put in puts
        ]
        if rows:
            connection.execute(insert(ApplicationItem), rows)

    async def note(self, states: Sequence[ItemState]) -> None:
        """The states of these items."""
        if states:
            await self._write(lambda connection: set_states(connection, self.id, states))

    async def finish(self, state: str, report: str) -> None:
        """State, time and report of the application; an entry in the audit."""
        await self._write(
            lambda connection: finish_application(connection, self.id, state, report, self._runkey, self._who)
        )


def set_states(connection: Connection, application: str, states: Iterable[ItemState]) -> None:
    """Set the states of items of an application."""
    table = ApplicationItem.__table__
    statement = (
        update(ApplicationItem)
        .where(table.c.application_id == bindparam("b_id"), table.c.number == bindparam("b_number"))
        .values(state=bindparam("b_state"), message=bindparam("b_message"))
    )
    connection.execute(
        statement,
        [
            {"b_id": application, "b_number": one.number, "b_state": one.state, "b_message": one.message}
            for one in states
        ],
    )


def finish_application(
    connection: Connection, application: str, state: str, report: str, runkey: str, who: Who
) -> None:
    """End an application: its row, and the audit."""
    connection.execute(
        update(Application)
        .where(Application.id == application)
        .values(state=state, finished=datetime.now(UTC), report=report)
    )
    audit.record(connection, who, "applied", runkey, application=application, result=state)


@dataclass(frozen=True, slots=True)
class ItemRow:
    """One put of an application, as it was left."""

    number: int
    pv: str
    old: str
    """JSON."""
    new: str
    state: str
    message: str


@dataclass(frozen=True, slots=True)
class ApplicationRow:
    """One apply."""

    id: str
    runkey: str
    root_id: str
    digest: bytes
    state: str
    user: str
    host: str
    comment: str
    started: datetime
    finished: datetime | None
    report: str


def applications(
    connection: Connection, *, state: str | None = None, runkey: str | None = None, limit: int = 100
) -> list[ApplicationRow]:
    """Applies, the newest first. `state="running"` of an IOC that has just started: those that were interrupted."""
    table = Application.__table__
    statement = select(*(table.c[name] for name in ApplicationRow.__slots__)).order_by(table.c.started.desc())
    if state is not None:
        statement = statement.where(table.c.state == state)
    if runkey is not None:
        statement = statement.where(table.c.runkey == runkey)
    return [ApplicationRow(*row) for row in connection.execute(statement.limit(limit))]


def items_of(connection: Connection, application: str) -> list[ItemRow]:
    """The puts of an application, in the order of writing."""
    table = ApplicationItem.__table__
    statement = (
        select(*(table.c[name] for name in ItemRow.__slots__))
        .where(table.c.application_id == application)
        .order_by(table.c.number)
    )
    return [ItemRow(*row) for row in connection.execute(statement)]
