"""SQLAlchemy engines for the three kinds of databases, from a URL."""

from __future__ import annotations

import importlib.util
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError, NoSuchModuleError

from db.errors import BadInput, NotFound, Unavailable

CONNECT_TIMEOUT = 5
"""Seconds until a server that can't be reached is Unavailable."""
BUSY_TIMEOUT = 30
"""Seconds that a writer waits for another one."""
STATEMENT_TIMEOUT = 300
"""Seconds that a MariaDB server may think about one statement until it counts as gone."""
PAGE_SIZE = 16384
"""Bytes of a page of a new SQLite file."""
CACHE_SIZE = 16000
"""KiB of pages that an SQLite connection keeps: a tree of 34,000 objects is read without coming back to a page."""

DRIVERS = {
    "sqlite": ("sqlite", (("pysqlite", "sqlite3"),), ""),
    "postgresql": ("postgresql", (("psycopg", "psycopg"),), "postgresql"),
    "mariadb": ("mariadb", (("pymysql", "pymysql"), ("mysqldb", "MySQLdb")), "mariadb"),
    "mysql": ("mariadb", (("pymysql", "pymysql"), ("mysqldb", "MySQLdb")), "mariadb"),
}
"""Name in a URL: (dialect, (driver, module) in the order of preference, extra of the package to install)."""


def shown_url(url: URL) -> str:
    """A URL that may be printed: the password is replaced by ***, wherever it stands."""
    secret = {"password", "passwd", "passphrase", "sslpassword", "ssl_key"}
    query = {key: ("***" if key.lower() in secret else value) for key, value in url.query.items()}
    return url.set(query=query).render_as_string(hide_password=True)


def parse_url(text: str) -> tuple[URL, str]:
    """A URL with its driver filled in, and its dialect: sqlite, postgresql or mariadb. BadInput says what is wrong."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # not the text itself: it may hold a password
        raise BadInput(
            "database URL: it can't be read; it looks like sqlite:////folder/file.sqlite, "
            "postgresql://user@host:5432/name or mariadb://user@host:3306/name"
        ) from None
    backend, _, driver = url.drivername.partition("+")
    if backend not in DRIVERS:
        raise BadInput(f"database URL {shown_url(url)}: {backend} is none of sqlite, postgresql, mariadb")
    dialect, drivers, extra = DRIVERS[backend]
    if not driver:
        found = [name for name, module in drivers if importlib.util.find_spec(module) is not None]
        if not found:
            raise BadInput(
                f"database URL {shown_url(url)}: the driver is not installed: pip install 'owlshift[{extra}]'"
            )
        url = url.set(drivername=f"{backend}+{found[0]}")
    elif driver not in dict(drivers):
        known = ", ".join(f"{backend}+{name}" for name, _ in drivers)
        raise BadInput(f"database URL {shown_url(url)}: {url.drivername} is not supported ({known})")
    if dialect == "sqlite":
        if not url.database or url.database == ":memory:" or url.query.get("mode") == "memory":
            raise BadInput(f"database URL {shown_url(url)}: it needs a file; one in memory can't be shared")
    elif not url.database:
        raise BadInput(f"database URL {shown_url(url)}: the name of the database is missing")
    if dialect == "mariadb" and "charset" not in url.query:
        url = url.update_query_dict({"charset": "utf8mb4"})
    return url, dialect


def make_engine(text: str, *, create: bool, name: str = "", maker: str = "`owl runkey init`") -> tuple[Engine, str]:
    """An engine for the URL, and its dialect. `create`: an SQLite file that is missing is made, with its folder.

    `maker`: what makes it otherwise, for the message.
    """
    url, dialect = parse_url(text)
    options: dict[str, Any] = {"hide_parameters": True, "pool_pre_ping": True}
    if dialect == "sqlite":
        path = Path(str(url.database))
        if create:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise Unavailable(f"{path.parent}: {error.strerror}") from None
        elif not path.is_file():
            raise NotFound(f"there is no database {path}: {maker} makes it")
        options["connect_args"] = {"timeout": BUSY_TIMEOUT}
    elif dialect == "postgresql":
        options |= {
            "pool_recycle": 1800,
            "connect_args": {
                "connect_timeout": int(str(url.query.get("connect_timeout", CONNECT_TIMEOUT))),
                "application_name": f"owlshift {name}".strip(),
                # a network that swallows everything is noticed within half a minute
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": 20_000,
                "options": f"-c lock_timeout={BUSY_TIMEOUT}s -c timezone=UTC",
            },
        }
    else:
        connect: dict[str, Any] = {"connect_timeout": CONNECT_TIMEOUT}
        if url.get_driver_name() == "pymysql":
            connect |= {"read_timeout": CONNECT_TIMEOUT, "write_timeout": STATEMENT_TIMEOUT}
        connect["init_command"] = (
            f"SET SESSION innodb_lock_wait_timeout = {BUSY_TIMEOUT}, time_zone = '+00:00', "
            "sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO'"
        )
        options |= {"pool_recycle": 1800, "isolation_level": "REPEATABLE READ", "connect_args": connect}
    try:
        engine = create_engine(url, **options)
    except (NoSuchModuleError, ImportError, ArgumentError) as error:
        raise BadInput(f"database URL {shown_url(url)}: {error}") from None
    if dialect == "sqlite":
        _prepare_sqlite(engine, str(url.database))
    elif url.get_driver_name() == "pymysql":
        _prepare_pymysql(engine)
    return engine, dialect


def _prepare_sqlite(engine: Engine, path: str) -> None:
    """WAL, foreign keys, transactions by our own BEGIN; a connection to a file that was replaced is given up."""

    @event.listens_for(engine, "connect")
    def connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        if not pages:  # a new file; for others these would wait for a writer
            connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # so that gc can give space back to the disk
        _use_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = -{CACHE_SIZE}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA recursive_triggers = ON")  # REPLACE is a deletion, too
        record.info["file"] = _identity(path)

    @event.listens_for(engine, "checkout")
    def checkout(connection: Any, record: Any, proxy: Any) -> None:
        if _identity(path) != record.info.get("file"):
            raise DisconnectionError("the file was replaced")


def _use_wal(connection: Any) -> None:
    """The file's journal is a write-ahead log, also when other processes open the new file at the same time.

    SQLite does not use its busy timeout for this change: it says at once that the file is locked.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break  # also where the file system can't have one
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _prepare_pymysql(engine: Engine) -> None:
    """Statements may take longer than the server's greeting, for which pymysql has the same setting."""

    @event.listens_for(engine, "connect")
    def connect(connection: Any, record: Any) -> None:
        connection._read_timeout = STATEMENT_TIMEOUT  # noqa: SLF001


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
