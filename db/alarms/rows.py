"""Events to rows of the three dialects, many at once, and back. What is there already is left as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, text

from db.alarms.event import Event, parent, source_id, storable
from db.rows import batches

EVENT = (
    "time_ns", "id", "time_pv_ns", "kind", "source", "severity", "severity_before", "severity_pv", "effective",
    "effective_before", "raised", "priority", "first_out", "burst", "message", "message_pv", "value", "person", "host",
    "detail",
)  # fmt: skip
"""Columns of `alarm_event`."""
SOURCE = ("id", "path", "area", "pv")
_TYPES = {
    "alarm_event": dict.fromkeys(("time_ns", "time_pv_ns", "source"), "bigint")
    | dict.fromkeys(EVENT[5:13], "smallint"),
    "alarm_source": {"id": "bigint"},
    "alarm_lease": {"pid": "integer", "since_us": "bigint", "seen_us": "bigint"},
}
"""PostgreSQL: the types of columns that are no text."""
PATH, NAME, TEXT, WORD, LONG = 1000, 200, 500, 40, 100_000
"""Characters that columns hold."""


def event_row(event: Event, source: int) -> tuple[Any, ...]:
    """An event in the order of `EVENT`."""
    return (
        event.time_ns,
        event.id,
        event.time_pv_ns,
        event.kind,
        source,
        event.severity,
        event.before,
        event.current,
        event.effective,
        event.effective_before,
        int(event.raised),
        event.priority,
        int(event.first_out),
        storable(event.burst, WORD),
        storable(event.message, TEXT),
        storable(event.current_message, TEXT),
        storable(event.value, TEXT),
        storable(event.user, NAME),
        storable(event.host, NAME),
        storable(event.detail, LONG),
    )


def row_event(row: Sequence[Any]) -> Event:
    """The event of a row: `EVENT`, then path and PV."""
    time_ns, id_, time_pv_ns, kind, _, severity, before, current, *states = row[:13]
    effective, effective_before, raised, priority, first = states
    burst, message, message_pv, value, person, host, detail, path, pv = row[13:]
    return Event(
        *(time_ns, kind, path, pv, severity, before, current, message, message_pv, value, effective, effective_before),
        *(bool(raised), priority, burst, bool(first), person, host, detail, time_pv_ns, id_),
    )


def source_row(path: str, pv: str) -> tuple[Any, ...]:
    """A place in the tree in the order of `SOURCE`."""
    return source_id(path, pv), storable(path, PATH), storable(parent(path), PATH), storable(pv, NAME)


def add(connection: Connection, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows whose keys are not there yet."""
    dialect = connection.dialect.name
    names = ", ".join(columns)
    if dialect == "postgresql":
        # one JSON text a batch: the driver is slow with thousands of small values
        said = ", ".join(f"{name} {_TYPES[table].get(name, 'text')}" for name in columns)
        sql = text(
            f"INSERT INTO {table} ({names}) SELECT {names} "
            f"FROM json_to_recordset(CAST(:rows AS json)) AS given({said}) ON CONFLICT DO NOTHING"
        )
        for batch in batches(rows):
            items = [dict(zip(columns, row, strict=True)) for row in batch]
            connection.execute(sql, {"rows": orjson.dumps(items).decode()})
        return
    ignore, mark = ("OR IGNORE", "?") if dialect == "sqlite" else ("IGNORE", "%s")
    sql = f"INSERT {ignore} INTO {table} ({names}) VALUES ({', '.join([mark] * len(columns))})"
    for batch in batches(rows):
        connection.exec_driver_sql(sql, batch)
