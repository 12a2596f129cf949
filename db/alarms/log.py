"""The log of alarms: written in bulk, searched, read as CSV, and pruned."""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from sqlalchemy import Connection, text

from db.alarms.event import FIELDS, Event, nanoseconds
from db.alarms.rows import EVENT, SOURCE, add, event_row, source_row
from db.alarms.search import Search, find
from db.database import Database
from db.errors import BadInput
from db.rows import uncollected

PAGE = 5000
"""Events that are read at once for CSV."""
PRUNED = 20_000
"""Events that one transaction of `prune` removes: others who write wait for no more."""
COLUMNS = ("time", "time_pv", *(name for name in FIELDS if name not in ("time_ns", "time_pv_ns")))
"""Of CSV: the fields of an event, with the time as ISO 8601 in UTC and names instead of numbers."""


class AlarmLog:
    """The log in a database. Thread safe. Everything raises DbError."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._known: set[tuple[str, str]] = set()
        """(path, PV) of sources that are in the database."""
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close all connections of its database."""
        self.database.close()

    def write(self, rows: Sequence[Event]) -> None:
        """Add events, in one transaction. An event whose id is there already is left as it is."""
        if not rows:
            return
        with self._lock, uncollected():
            made = {(row.path, row.pv): source_row(row.path, row.pv) for row in rows}
            new = [source for key, source in made.items() if key not in self._known]
            events = [event_row(row, made[row.path, row.pv][0]) for row in rows]
            with self.database.write() as connection:
                if new:
                    # sorted: two servers that add the same ones do not wait for each other in a circle
                    add(connection, "alarm_source", SOURCE, sorted(new))
                add(connection, "alarm_event", EVENT, events)
            self._known.update(made)

    def search(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        pv: str | None = None,
        path: str | None = None,
        area: str | None = None,
        severity: str | None = None,
        person: str | None = None,
        kind: Collection[str] | str | None = None,
        text: str | None = None,
        raised: bool | None = None,
        oldest_first: bool = False,
        limit: int = 1000,
        after: str | None = None,
    ) -> list[Event]:
        """Events, the newest first; see `Search`. `after`: the `cursor` of the last one of the page before.

        BadInput.
        """
        search = Search(since, until, pv, path, area, severity, person, kind, text, raised, oldest_first)
        return self.find(search, limit=limit, after=after)

    def find(self, search: Search, *, limit: int = 1000, after: str | None = None) -> list[Event]:
        """As `search`."""
        with self.database.read() as connection:
            return find(connection, search, limit, after)

    def pages(self, search: Search, *, most: int | None = None) -> Iterator[list[Event]]:
        """All events that are found, or `most`, in pages. Nothing is held between pages, however slow the reader is."""
        after: str | None = None
        while most is None or most > 0:
            limit = PAGE if most is None else min(PAGE, most)
            events = self.find(search, limit=limit, after=after)
            if events:
                yield events
            if len(events) < limit:
                return
            after = events[-1].cursor
            most = None if most is None else most - limit

    def csv(self, search: Search, *, most: int | None = None) -> Iterator[str]:
        """As `pages`, as CSV (RFC 4180): the line of `COLUMNS`, then one an event."""
        out = io.StringIO()
        writer = csv.DictWriter(out, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        yield out.getvalue()
        for events in self.pages(search, most=most):
            out.seek(0)
            out.truncate()
            writer.writerows(_csv_row(event) for event in events)
            yield out.getvalue()

    def count(self) -> int:
        """Events in the log."""
        with self.database.read() as connection:
            return connection.execute(text("SELECT COUNT(*) FROM alarm_event")).scalar_one()

    def prune(self, older_than: datetime) -> int:
        """Remove for ever the events before a time; how many there were. Others may write meanwhile. BadInput."""
        try:
            limit = nanoseconds(older_than)
        except ValueError as error:
            raise BadInput(str(error)) from None
        removed = 0
        while True:
            with self.database.write() as connection:
                done = _prune(connection, limit)
            removed += done
            if done < PRUNED:
                return removed


def _csv_row(event: Event) -> dict[str, object]:
    row = event.as_dict()
    return row | {"effective": row["state"], "effective_before": row["state_before"]}


def _prune(connection: Connection, limit: int) -> int:
    """Remove at most `PRUNED` events, the oldest first."""
    dialect = connection.dialect.name
    edge = connection.execute(
        text(
            f"SELECT time_ns FROM alarm_event WHERE time_ns < :limit ORDER BY time_ns, id LIMIT 1 OFFSET {PRUNED - 1}"
        ),
        {"limit": limit},
    ).scalar()
    statement = text("DELETE FROM alarm_event WHERE time_ns < :limit")
    if edge is not None:
        # all of that moment, though they be some more
        statement = text("DELETE FROM alarm_event WHERE time_ns <= :limit")
        limit = edge
    if dialect == "sqlite":
        connection.exec_driver_sql("DROP TRIGGER IF EXISTS alarm_event_no_delete")
        done = connection.execute(statement, {"limit": limit}).rowcount
        connection.exec_driver_sql(
            "CREATE TRIGGER alarm_event_no_delete BEFORE DELETE ON alarm_event "
            "BEGIN SELECT RAISE(ABORT, 'rows of alarm_event never change'); END"
        )
        return done
    if dialect == "postgresql":
        connection.exec_driver_sql("SELECT set_config('owlshift.prune', 'on', true)")
        return connection.execute(statement, {"limit": limit}).rowcount
    connection.exec_driver_sql("SET @owlshift_prune = 1")
    try:
        return connection.execute(statement, {"limit": limit}).rowcount
    finally:
        connection.exec_driver_sql("SET @owlshift_prune = 0")
