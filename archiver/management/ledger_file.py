"""The ledger's file: an SQLite database in WAL mode, opened by several processes, replaced when it is damaged.

One connection for each `LedgerFile`, behind a lock, so that threads may share it. Every write is one transaction that
takes the write lock first: what goes wrong (a full disk, a damaged page, a kill) leaves the old state.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
BUSY_S = 15.0
"""Seconds that a writer waits for another one."""

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE pv (
    name TEXT PRIMARY KEY, requested INTEGER NOT NULL, paused INTEGER NOT NULL, method TEXT, period REAL,
    deadband REAL, policy TEXT, controlling TEXT, engine TEXT, fields TEXT, created_ns INTEGER NOT NULL,
    modified_ns INTEGER NOT NULL, deleted INTEGER NOT NULL, revision INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX pv_revision ON pv (revision);
CREATE TABLE alias (alias TEXT PRIMARY KEY, pv TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE flag (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE job (id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, args TEXT NOT NULL,
    time_ns INTEGER NOT NULL);
CREATE TABLE job_done (job INTEGER NOT NULL, engine TEXT NOT NULL, PRIMARY KEY (job, engine)) WITHOUT ROWID;
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT, time_ns INTEGER NOT NULL, user TEXT NOT NULL, host TEXT NOT NULL,
    what TEXT NOT NULL, pv TEXT, before TEXT, after TEXT, refused TEXT
);
CREATE INDEX audit_pv ON audit (pv);
CREATE INDEX audit_refused ON audit (id) WHERE refused IS NOT NULL;
"""


class LedgerError(Exception):
    """The ledger can't be read or written; str() is one clear line, and nothing has changed."""


class LedgerConflict(LedgerError):  # noqa: N818
    """What is asked for does not go with what the ledger holds; nothing has changed."""


class LedgerDamaged(LedgerError):  # noqa: N818
    """The ledger's file is no database, or a broken one. `set_aside` is the way out."""


class LedgerFile:
    """The database, opened when it is first used. `read` and `write` give a connection inside a transaction."""

    def __init__(self, path: Path, writable: bool = True) -> None:
        self.path = path
        self.writable = writable
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._as_frozen = False

    def _open(self) -> sqlite3.Connection | None:
        """The connection to the file as it is now; None when a reader finds no file."""
        try:
            inode = os.stat(self.path).st_ino
        except FileNotFoundError:
            inode = 0
        except OSError as error:
            raise LedgerError(
                f"the ledger {self.path} can't be read: {(error.strerror or str(error)).lower()}"
            ) from error
        frozen = self._frozen()
        if self._connection is not None and inode == self._inode and inode and frozen == self._as_frozen:
            return self._connection
        self._close()
        if not inode and not self.writable:
            return None
        with _clear(self.path):
            if self.writable and not self._inode:
                self.path.parent.mkdir(parents=True, exist_ok=True)  # later a new folder would hide the old one's loss
            mode = "rwc" if self.writable else "ro&immutable=1" if frozen else "ro"
            connection = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode={mode}",
                uri=True,
                timeout=BUSY_S,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
        self._connection, self._inode, self._as_frozen = connection, os.stat(self.path).st_ino, frozen
        return connection

    def _frozen(self) -> bool:
        """Whether this is a copy on which nobody works, in a folder that is read-only to us (a backup, a snapshot).

        SQLite reads a file in WAL mode there only when it is told that nobody changes it.
        """
        if self.writable or os.access(self.path.parent, os.W_OK):
            return False
        return not any(self.path.with_name(self.path.name + suffix).exists() for suffix in ("-wal", "-shm"))

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA synchronous = FULL")
        if self.writable and _schema(connection) == 0:
            _wal(connection)
            connection.execute("BEGIN IMMEDIATE")
            try:
                if _schema(connection) == 0:
                    for statement in _TABLES.split(";\n"):
                        connection.execute(statement)
                    # a later ledger in the same place has larger numbers, so that followers see that it is another one
                    now = time.time_ns() // 1_000_000
                    connection.executemany("INSERT INTO meta VALUES (?, ?)", [("base", now), ("version", now)])
                    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                connection.execute("COMMIT")
            except BaseException:
                _rollback(connection)
                raise
        found = _schema(connection)
        if found > SCHEMA_VERSION:
            raise LedgerError(
                f"the ledger {self.path} was written by a later version (schema {found}); update owlshift"
            )
        if found < SCHEMA_VERSION:
            raise LedgerError(f"the ledger {self.path} isn't ready yet: it has no tables")

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection | None]:
        """A connection whose statements all see one state; None when there is no file yet (and this is a reader)."""
        with self._lock:
            connection = self._open()
            if connection is None:
                yield None
                return
            with _clear(self.path):
                connection.execute("BEGIN")
                try:
                    yield connection
                finally:
                    _rollback(connection)

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A connection in a transaction that is committed at the end, or rolled back when anything fails."""
        if not self.writable:
            raise LedgerError(f"the ledger {self.path} is open for reading only")
        with self._lock:
            connection = self._open()
            if connection is None:  # pragma: no cover (a writer makes the file)
                raise LedgerError(f"the ledger {self.path} is not there")
            with _clear(self.path):
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    _rollback(connection)
                    raise

    def _close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def close(self) -> None:
        """Close the file; it opens again by itself when it is used."""
        with self._lock:
            self._close()


def _schema(connection: sqlite3.Connection) -> int:
    return connection.execute("PRAGMA user_version").fetchone()[0]


def _wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL; the busy time-out does not hold for that, so try on."""
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def _rollback(connection: sqlite3.Connection) -> None:
    with contextlib.suppress(sqlite3.Error):
        if connection.in_transaction:
            connection.execute("ROLLBACK")


@contextlib.contextmanager
def _clear(path: Path) -> Iterator[None]:
    """SQLite's and the system's errors as one clear line each."""
    try:
        yield
    except sqlite3.OperationalError as error:
        text = str(error)
        if "disk image is malformed" in text:
            raise LedgerDamaged(_damaged(path, text)) from error
        why = "another process holds it for too long" if "locked" in text else text
        raise LedgerError(f"the ledger {path} can't be used ({why}); nothing was changed") from error
    except sqlite3.DatabaseError as error:
        if type(error) is not sqlite3.DatabaseError:
            raise  # a mistake of ours
        raise LedgerDamaged(_damaged(path, str(error))) from error
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise LedgerError(f"the ledger {path} can't be used ({why}); nothing was changed") from error


def _damaged(path: Path, why: str) -> str:
    aside = "archiver-retrieval sets it aside when it starts anew, and keeps what is readable of it"
    return f"the ledger {path} is damaged ({why}); {aside}"


def check(path: Path) -> None:
    """LedgerDamaged when the whole of the database at `path` isn't sound; a missing one is sound."""
    if not path.exists():
        return
    with _clear(path), contextlib.closing(sqlite3.connect(path, timeout=BUSY_S)) as connection:
        verdict = [row[0] for row in connection.execute("PRAGMA quick_check(1)")]
        if verdict != ["ok"]:
            raise LedgerDamaged(_damaged(path, verdict[0].splitlines()[-1] if verdict else "no verdict"))


def set_aside(path: Path) -> tuple[Path, dict[str, int]]:
    """Move a damaged ledger away and make a new one with all that can still be read of it.

    Returns where the damaged file lies now, and the number of rows saved of each table.
    """
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.damaged-{stamp}-{number}")
    try:
        for suffix in ("-wal", "-shm", ""):
            source = path.with_name(path.name + suffix)
            if source.exists():
                source.rename(aside.with_name(aside.name + suffix))
    except OSError as error:
        raise LedgerError(
            f"the damaged ledger {path} can't be moved: {(error.strerror or str(error)).lower()}"
        ) from error
    new = LedgerFile(path)
    saved: dict[str, int] = {}
    try:
        with new.write() as to:
            for table in ("pv", "alias", "flag", "audit", "job", "job_done"):
                saved[table] = _salvage(aside, table, to)
            to.execute("UPDATE pv SET revision = (SELECT value FROM meta WHERE key = 'version')")
    finally:
        new.close()
    log.error("the damaged ledger lies in %s; saved of it: %s", aside, saved)
    return aside, saved


def _salvage(aside: Path, table: str, to: sqlite3.Connection) -> int:
    columns = [row[1] for row in to.execute(f"PRAGMA table_info({table})")]
    marks = ", ".join("?" * len(columns))
    done = 0
    try:
        with contextlib.closing(sqlite3.connect(aside, timeout=1)) as old:
            for row in old.execute(f"SELECT {', '.join(columns)} FROM {table}"):
                to.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)
                done += 1
    except sqlite3.Error as error:
        log.warning("the rest of the table %s can't be read: %s", table, error)
    return done
