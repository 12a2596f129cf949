"""What the alarm server must know again after a restart: what people configured, and the states of alarms."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, text

from db.alarms.event import storable
from db.alarms.lease import Lease
from db.database import Database
from db.errors import BadInput, Conflict, Damaged
from db.rows import batches, fetch
from db.who import Who

Document = Mapping[str, Any]
_ITEM = ("tree", "hash", "path", "document", "person", "host", "time_ns")
_STATE = ("tree", "hash", "path", "document")


@dataclass(frozen=True, slots=True)
class Stored:
    """All that is stored of a tree."""

    items: dict[str, dict[str, Any]]
    """By path: what was configured."""
    states: dict[str, dict[str, Any]]
    """By path: the state; "" is the server itself."""


class AlarmStore:
    """Documents (JSON objects) by path, of one tree. Thread safe. Everything raises DbError.

    `lease`: nothing is written while another server has it (Conflict), so that one that was stopped for a while and
    comes to again destroys nothing.
    """

    def __init__(self, database: Database, tree: str, lease: Lease | None = None) -> None:
        self.database = database
        self.tree = tree
        self._lease = lease

    def save_items(self, changed: Mapping[str, Document | None], who: Who | None = None) -> None:
        """Keep what was configured; None forgets it. One transaction: all or nothing. BadInput for what is no JSON."""
        user, host = (storable(who.user, 200), storable(who.host, 200)) if who else ("", "")
        self._save("alarm_item", _ITEM, changed, (user, host, time.time_ns()))

    def save_states(self, changed: Mapping[str, Document | None]) -> None:
        """Keep states; None forgets one. One transaction: all or nothing. BadInput for what is no JSON."""
        self._save("alarm_state", _STATE, changed, ())

    def load(self) -> Stored:
        """All of it, as it was at one moment. Damaged when something is not what was stored."""
        with self.database.read() as connection:
            return Stored(self._read(connection, "alarm_item"), self._read(connection, "alarm_state"))

    def _save(
        self, table: str, columns: tuple[str, ...], changed: Mapping[str, Document | None], more: tuple[Any, ...]
    ) -> None:
        if not changed:
            return
        kept, gone = [], []
        for path, document in changed.items():
            hash_ = _hash(path)
            if document is None:
                gone.append((self.tree, hash_))
            else:
                kept.append((self.tree, hash_, _text(path, path), _text(path, document), *more))
        # in the order of keys: two who write at once do not wait for each other in a circle
        kept.sort()
        with self.database.write() as connection:
            if self._lease is not None and not self._lease.held(connection):
                raise Conflict(f"another alarm server has {self._lease.name} now: nothing was stored")
            _put(connection, table, columns, kept)
            _forget(connection, table, gone)

    def _read(self, connection: Connection, table: str) -> dict[str, dict[str, Any]]:
        sql = f"SELECT path, document FROM {table} WHERE tree = :tree"
        try:
            found = {orjson.loads(path): orjson.loads(said) for path, said in fetch(connection, sql, tree=self.tree)}
        except orjson.JSONDecodeError as error:
            raise Damaged(f"{table} of {self.database.label}: a document is damaged: {error}") from None
        return found


def _hash(path: str) -> bytes:
    return hashlib.sha256(path.encode("utf-8", "replace")).digest()


def _text(path: str, what: Any) -> str:
    """JSON; orjson writes NUL as an escape, which any database takes."""
    try:
        return orjson.dumps(what, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError as error:  # also of half a surrogate pair
        raise BadInput(f"{path[:200]!r}: can't be stored: {error}") from None


def _put(connection: Connection, table: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    names = ", ".join(columns)
    changed = columns[2:]
    if connection.dialect.name == "postgresql":
        types = {"hash": "text", "time_ns": "bigint"}
        said = ", ".join(f"{name} {types.get(name, 'text')}" for name in columns)
        taken = ", ".join("decode(hash, 'hex')" if name == "hash" else name for name in columns)
        news = ", ".join(f"{name} = excluded.{name}" for name in changed)
        sql = text(
            f"INSERT INTO {table} ({names}) SELECT {taken} "
            f"FROM json_to_recordset(CAST(:rows AS json)) AS given({said}) ON CONFLICT (tree, hash) "
            f"DO UPDATE SET {news}"
        )
        for batch in batches(rows):
            items = [dict(zip(columns, row, strict=True)) for row in batch]
            connection.execute(sql, {"rows": orjson.dumps(items, default=bytes.hex).decode()})
        return
    if connection.dialect.name == "sqlite":
        mark, news = "?", "ON CONFLICT (tree, hash) DO UPDATE SET " + ", ".join(f"{n} = excluded.{n}" for n in changed)
    else:
        mark, news = "%s", "ON DUPLICATE KEY UPDATE " + ", ".join(f"{n} = VALUES({n})" for n in changed)
    sql = f"INSERT INTO {table} ({names}) VALUES ({', '.join([mark] * len(columns))}) {news}"
    for batch in batches(rows):
        connection.exec_driver_sql(sql, batch)


def _forget(connection: Connection, table: str, keys: list[tuple[str, bytes]]) -> None:
    statement = text(f"DELETE FROM {table} WHERE tree = :tree AND hash = :hash")
    for batch in batches(keys):
        connection.execute(statement, [{"tree": tree, "hash": hash_} for tree, hash_ in batch])
