"""Rows in bulk, in the three dialects: by many ids, and many inserts at once."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import orjson
from sqlalchemy import Connection, CursorResult, bindparam, text

BATCH = 5000
"""Ids in one query, rows in one insert."""


def batches(items: Iterable[Any], size: int = BATCH) -> Iterator[list[Any]]:
    """The items in lists of at most `size`."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


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
            where = "(SELECT unnest(CAST(:ids AS char(32)[])))"
            yield from fetch(connection, sql.format(ids=where), ids=batch, **values)
        else:
            statement = text(sql.format(ids=":ids")).bindparams(bindparam("ids", expanding=True))
            yield from _rows(connection.execute(statement, {"ids": batch, **values}))


def _rows(result: CursorResult[Any]) -> list[Sequence[Any]]:
    cursor = result.cursor
    if cursor is None:
        return []
    collecting = gc.isenabled()
    gc.disable()  # it would look at every row of a large answer again and again
    try:
        return list(cursor.fetchall())
    finally:
        if collecting:
            gc.enable()
        result.close()


def insert(connection: Connection, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Many rows at once. Values are as the driver wants them (times: without a zone, in UTC)."""
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    quote = connection.dialect.identifier_preparer.quote
    marks = ", ".join([mark] * len(columns))
    sql = f"INSERT INTO {quote(table)} ({', '.join(map(quote, columns))}) VALUES ({marks})"
    for batch in batches(rows):
        connection.exec_driver_sql(sql, batch)
