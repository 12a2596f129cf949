"""Searching the log of alarms: conditions to SQL, in the order of time, page after page by key."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from db.alarms.event import KINDS, SEVERITIES, Event, nanoseconds
from db.alarms.rows import EVENT, row_event
from db.errors import BadInput
from db.rows import fetch

FEW = 200
"""Places in the tree up to which each is looked up by itself: only as many rows are read as are wanted."""
MOST = 100_000
"""Events in one answer."""
_CURSOR = re.compile(r"(-?\d{1,19})-([0-9a-f]{32})")


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for; all conditions together. Patterns may hold `*` and `?`, and see capital letters as others."""

    since: datetime | None = None
    """Included."""
    until: datetime | None = None
    """Not included. Both with a time zone."""
    pv: str | None = None
    """A pattern."""
    path: str | None = None
    """A pattern."""
    area: str | None = None
    """A path: it and everything below it."""
    severity: str | None = None
    """MINOR, MAJOR, INVALID or UNDEFINED: the alarm is or was that bad or worse, acknowledged or not."""
    person: str | None = None
    """A pattern, of the user's name."""
    kind: Collection[str] | str | None = None
    """Some of `KINDS`."""
    text: str | None = None
    """A part of a message, of the value, of the detail or of the path, in capitals or not."""
    raised: bool | None = None
    """Only what raised an alarm, or (False) only what did not."""
    oldest_first: bool = False


def cursor(token: str) -> tuple[int, str]:
    """(time_ns, id) of where a search goes on; BadInput for what is no `Event.cursor`."""
    found = _CURSOR.fullmatch(token)
    if found is None or not -(2**63) <= int(found[1]) < 2**63:
        raise BadInput(f"{token[:80]!r} is not where a search of the log went on")
    return int(found[1]), found[2]


def find(connection: Connection, search: Search, limit: int, after: str | None = None) -> list[Event]:
    """At most `limit` events after the one with the cursor `after`; the newest first unless told otherwise.

    BadInput.
    """
    if not 1 <= limit <= MOST:
        raise BadInput(f"limit {limit}: should be 1 to {MOST}")
    query = _Query(connection.dialect.name)
    query.events(search, after)
    query.places(search)
    order = "ORDER BY e.time_ns, e.id" if search.oldest_first else "ORDER BY e.time_ns DESC, e.id DESC"
    names = ", ".join(f"e.{name}" for name in EVENT)
    sources: list[int] | None = None
    if query.of_sources:
        where = " AND ".join(query.of_sources)
        sql = f"SELECT id FROM alarm_source s WHERE {where} LIMIT {FEW + 1}"
        sources = [row[0] for row in fetch(connection, sql, **query.source_values)]
        if not sources:
            return []
    where = " AND ".join(query.of_events) or "1 = 1"
    values = query.event_values
    if sources is None or len(sources) > FEW:
        if sources is not None:
            # SQLite: the plus keeps it in the order of time
            plus = "+" if query.dialect == "sqlite" else ""
            where += f" AND {plus}e.source IN (SELECT s.id FROM alarm_source s WHERE {' AND '.join(query.of_sources)})"
            values = values | query.source_values
        rows = f"SELECT {names} FROM alarm_event e WHERE {where} {order} LIMIT {limit}"
    else:
        each = (
            f"SELECT * FROM (SELECT {names} FROM alarm_event e WHERE e.source = {source} AND {where} {order} "
            f"LIMIT {limit}) q{number}"
            for number, source in enumerate(sources)
        )
        rows = f"SELECT {names} FROM ({' UNION ALL '.join(each)}) e {order} LIMIT {limit}"
    sql = f"SELECT {names}, s.path, s.pv FROM ({rows}) e JOIN alarm_source s ON s.id = e.source {order}"
    return [row_event(row) for row in fetch(connection, sql, **values)]


@dataclass(slots=True)
class _Query:
    dialect: str
    of_events: list[str] = field(default_factory=list)
    event_values: dict[str, Any] = field(default_factory=dict)
    of_sources: list[str] = field(default_factory=list)
    source_values: dict[str, Any] = field(default_factory=dict)

    def events(self, search: Search, after: str | None) -> None:
        """Conditions on events."""
        where, values = self.of_events, self.event_values
        for name, sign in (("since", ">="), ("until", "<")):
            time = getattr(search, name)
            if time is not None:
                where.append(f"e.time_ns {sign} :{name}")
                values[name] = _time(time)
        if after is not None:
            sign = ">" if search.oldest_first else "<"
            # the first condition finds the place in the index
            where.append(f"e.time_ns {sign}= :after_time AND (e.time_ns {sign} :after_time OR e.id {sign} :after_id)")
            values["after_time"], values["after_id"] = cursor(after)
        if search.severity is not None:
            level = SEVERITIES.index(search.severity) if search.severity in SEVERITIES else 0
            if not level:
                raise BadInput(f"severity {search.severity!r}: should be MINOR, MAJOR, INVALID or UNDEFINED")
            least = (level - 1) % 4
            some = ", ".join(str(n) for n in (*range(1 + least, 5), *range(5 + least, 9)))
            where.append(f"(e.severity IN ({some}) OR e.severity_before IN ({some}))")
        if search.kind is not None:
            kinds = {search.kind} if isinstance(search.kind, str) else set(search.kind)
            if unknown := sorted(kinds - set(KINDS)):
                raise BadInput(f"kind {unknown[0]!r}: should be some of {', '.join(KINDS)}")
            if "transition" not in kinds:
                where.append("e.kind <> 'transition'")
            where.append(f"e.kind IN ({', '.join(repr(kind) for kind in sorted(kinds))})" if kinds else "1 = 0")
        if search.person is not None:
            if search.person != "":
                where.append("e.person <> ''" if search.person.strip("*") else "1 = 1")
            where.append(self._like("e.person", "person", search.person, values))
        if search.raised is not None:
            where.append(f"e.raised = {int(search.raised)}")
        if search.text:
            columns = ("e.message", "e.message_pv", "e.value", "e.detail")
            each = [f"{self._lower(column)} LIKE :text ESCAPE '|'" for column in columns]
            each.append(
                f"e.source IN (SELECT t.id FROM alarm_source t WHERE {self._lower('t.path')} LIKE :text ESCAPE '|')"
            )
            where.append(f"({' OR '.join(each)})")
            text = search.text if self.dialect == "sqlite" else search.text.lower()
            values["text"] = f"%{_escaped(text)}%"

    def places(self, search: Search) -> None:
        """Conditions on where it was."""
        if search.pv is not None:
            self.of_sources.append(self._like("s.pv", "pv", search.pv, self.source_values))
        if search.path is not None:
            self.of_sources.append(self._like("s.path", "path", search.path, self.source_values))
        if search.area is not None:
            condition, values = area_condition(search.area, self.dialect)
            self.of_sources.append(condition)
            self.source_values |= values

    def _like(self, column: str, name: str, pattern: str, values: dict[str, Any]) -> str:
        if not set("*?") & set(pattern):
            values[name] = pattern
            return f"{column} = :{name}"
        if self.dialect == "sqlite":
            values[name] = pattern.replace("[", "[[]")
            return f"{column} GLOB :{name}"
        values[name] = _escaped(pattern).replace("*", "%").replace("?", "_")
        return f"{column} LIKE :{name} ESCAPE '|'"

    def _lower(self, column: str) -> str:
        return column if self.dialect == "sqlite" else f"LOWER({column})"


def area_condition(area: str, dialect: str) -> tuple[str, dict[str, str]]:
    """A condition on `alarm_source s`, and its values: the path `area`, and all below it."""
    path = area.rstrip("/")
    if dialect == "sqlite":
        pattern = re.sub(r"[*?\[]", lambda found: f"[{found[0]}]", path)
        return "(s.path = :area OR s.path GLOB :below)", {"area": path, "below": f"{pattern}/*"}
    return "(s.path = :area OR s.path LIKE :below ESCAPE '|')", {"area": path, "below": f"{_escaped(path)}/%"}


def _escaped(text: str) -> str:
    for special in "|%_":
        text = text.replace(special, "|" + special)
    return text


def _time(time: datetime) -> int:
    try:
        return nanoseconds(time)
    except ValueError as error:
        raise BadInput(str(error)) from None
