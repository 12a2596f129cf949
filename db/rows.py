"""Rows in bulk, in the three dialects: by many ids, and many inserts at once."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import orjson
from sqlalchemy import Connection, CursorResult, bindparam, text

BATCH = 5000
"""Ids in one query, rows in one insert."""
MANY = 10_000
"""New objects in memory from which it matters that the garbage collection would look at each."""


def batches(items: Iterable[Any], size: int = BATCH) -> Iterator[list[Any]]:
    """The items in lists of at most `size`."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage collection in the block: it would look at every row of a large answer again and again, in a process
    that has much in memory for longer than the answer takes. For blocks that make no circles."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            if gc.get_count()[0] > MANY and not gc.get_freeze_count():
                # what was made counts as old at once, without a look at each
                gc.freeze()
                gc.unfreeze()
            gc.enable()


def fetch(connection: Connection, sql: str, **values: Any) -> list[Sequence[Any]]:
    """All rows, as plain tuples of the driver: no types are converted, none of our queries with many rows needs it."""
    return _rows(connection.execute(text(sql), values))


def fetch_in(connection: Connection, sql: str, ids: Iterable[str], **values: Any) -> Iterator[Sequence[Any]]:
    """The rows for many ids; `{ids}` in the statement is where they go, as in `id IN {ids}`."""
    dialect = connection.dialect.name
    for batch in batches(dict.fromkeys(ids)):
        if dialect == "sqlite":
            where = "(SELECT value FROM json_each(:ids))"
            yield from fetch(connection, sql.format(ids=where), ids=orjson.dumps(batch).decode(), **values)
        elif dialect == "postgresql":
            where = "(SELECT unnest(CAST(string_to_array(:ids, ',') AS char(32)[])))"
            yield from fetch(connection, sql.format(ids=where), ids=",".join(batch), **values)
        else:
            statement = text(sql.format(ids=":ids")).bindparams(bindparam("ids", expanding=True))
            yield from _rows(connection.execute(statement, {"ids": batch, **values}))


def _rows(result: CursorResult[Any]) -> list[Sequence[Any]]:
    cursor = result.cursor
    if cursor is None:
        return []
    try:
        with uncollected():
            return list(cursor.fetchall())
    finally:
        result.close()


def moment(connection: Connection, time: datetime) -> Any:
    """A time as the driver wants it in `insert`."""
    utc = time.astimezone(UTC).replace(tzinfo=None)
    return utc.isoformat(" ", timespec="microseconds") if connection.dialect.name == "sqlite" else utc


_TYPES = {"pos": "integer", "size": "integer", "created": "timestamp"}
"""PostgreSQL: the types of columns that are neither text nor bytes."""
_BYTES = ("digest", "sha256")


def insert(connection: Connection, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Many rows at once. Values are as the driver wants them (times: without a zone, in UTC)."""
    quote = connection.dialect.identifier_preparer.quote
    into = f"INSERT INTO {quote(table)} ({', '.join(map(quote, columns))})"
    if connection.dialect.name == "postgresql":
        # one JSON text a batch: the driver is slow with thousands of small values
        said = ", ".join(f"{quote(name)} {_TYPES.get(name, 'text')}" for name in columns)
        taken = ", ".join(f"decode({name}, 'hex')" if name in _BYTES else quote(name) for name in columns)
        sql = text(f"{into} SELECT {taken} FROM json_to_recordset(CAST(:rows AS json)) AS given({said})")
        for batch in batches(rows):
            items = [dict(zip(columns, row, strict=True)) for row in batch]
            connection.execute(sql, {"rows": orjson.dumps(items, default=bytes.hex).decode()})
        return
    marks = ", ".join(["?" if connection.dialect.name == "sqlite" else "%s"] * len(columns))
    for batch in batches(rows):
        connection.exec_driver_sql(f"{into} VALUES ({marks})", batch)
