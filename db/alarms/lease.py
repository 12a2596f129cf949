"""Which of several alarm servers is the active one: a lease that ends by itself, by the database's clock."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, text

from db.alarms.event import storable
from db.alarms.rows import add
from db.database import Database
from db.ids import new_id
from db.who import Who

EXPIRY = 6.0
"""Seconds after which a holder that has not renewed has lost it. Renew every 2 s."""
_COLUMNS = ("name", "token", "person", "host", "pid", "since_us", "seen_us")
_NOW = {
    # that of the statement, where there is a choice: a transaction may have waited for a lock
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000",
    "postgresql": "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)",
    "mariadb": "CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)",
}


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a lease."""

    user: str
    host: str
    pid: int
    since: datetime
    """When it was taken, like `seen` in UTC by the database's clock."""
    seen: datetime
    """When it was last renewed."""
    mine: bool
    """It is that of the `Lease` that was asked."""


class Lease:
    """The lease `name`, for one process. Thread safe. Everything raises DbError: then nobody knows who has it.

    A holder whose `renew` fails, or was not called, for `expiry` seconds must do nothing any more: another may have it.
    """

    def __init__(self, database: Database, name: str, owner: Who, *, expiry: float = EXPIRY) -> None:
        self.database = database
        self.name = storable(name, 200)
        self.owner = owner
        self.expiry = expiry
        self.token = new_id()
        """Of this object: a process that starts again is another one."""
        self._now = _NOW[database.dialect]

    def try_take(self) -> bool:
        """Take it when nobody has it, or nobody has renewed it in time; whether it is this one's now."""
        with self.database.write() as connection:
            if self._take(connection):
                return True
            if self._read(connection) is not None:
                return False
        # in a transaction of its own: two that insert a row and then change it would wait for each other
        with self.database.write() as connection:
            add(connection, "alarm_lease", _COLUMNS, [(self.name, "", "", "", 0, 0, 0)])
        with self.database.write() as connection:
            return self._take(connection)

    def renew(self) -> bool:
        """Keep it; False when it is not this one's any more (or nobody's, since too long)."""
        sql = f"UPDATE alarm_lease SET seen_us = {self._now} WHERE name = :name AND token = :token AND {self._fresh}"
        with self.database.write() as connection:
            done = connection.execute(text(sql), {"name": self.name, "token": self.token, **self._expiry})
            return done.rowcount > 0

    def release(self) -> None:
        """Give it up, so that another may have it at once."""
        sql = "UPDATE alarm_lease SET token = '', seen_us = 0 WHERE name = :name AND token = :token"
        with self.database.write() as connection:
            connection.execute(text(sql), {"name": self.name, "token": self.token})

    def holder(self) -> Holder | None:
        """Who has it now; None when nobody has renewed it in time."""
        with self.database.read() as connection:
            row = self._read(connection)
        if row is None:
            return None
        token, person, host, pid, since, seen, fresh = row
        if not fresh:
            return None
        return Holder(person, host, pid, _time(since), _time(seen), token.strip() == self.token)

    def held(self, connection: Connection) -> bool:
        """Whether it is this one's, in a transaction: until that ends nobody takes it."""
        lock = "" if connection.dialect.name == "sqlite" else "FOR UPDATE"
        sql = f"SELECT token FROM alarm_lease WHERE name = :name {lock}"
        token = connection.execute(text(sql), {"name": self.name}).scalar()
        return token is not None and token.strip() == self.token

    @property
    def _fresh(self) -> str:
        """Renewed in time. A time that is yet to come is of a clock that was set back: it counts for nothing."""
        return f"token <> '' AND seen_us > {self._now} - :expiry AND seen_us <= {self._now} + :expiry"

    @property
    def _expiry(self) -> dict[str, int]:
        return {"expiry": round(self.expiry * 1_000_000)}

    def _take(self, connection: Connection) -> bool:
        sql = (
            "UPDATE alarm_lease "
            # before the others: MariaDB uses new values in what comes later
            f"SET since_us = CASE WHEN token = :token THEN since_us ELSE {self._now} END, "
            f"token = :token, person = :user, host = :host, pid = :pid, seen_us = {self._now} "
            f"WHERE name = :name AND (token = :token OR NOT ({self._fresh}))"
        )
        who = {"user": storable(self.owner.user, 200), "host": storable(self.owner.host, 200), "pid": os.getpid()}
        values = {"name": self.name, "token": self.token, **who, **self._expiry}
        return connection.execute(text(sql), values).rowcount > 0

    def _read(self, connection: Connection) -> tuple[str, str, str, int, int, int, bool] | None:
        sql = (
            f"SELECT token, person, host, pid, since_us, seen_us, CASE WHEN {self._fresh} THEN 1 ELSE 0 END "
            "FROM alarm_lease WHERE name = :name"
        )
        row = connection.execute(text(sql), {"name": self.name, **self._expiry}).one_or_none()
        return None if row is None else (row[0], row[1], row[2], row[3], row[4], row[5], bool(row[6]))


def _time(microseconds: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds)
