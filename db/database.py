"""One database: SQLite, PostgreSQL or MariaDB by URL; consistent reads, one transaction a write."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from db import schema as tables
from db.engines import make_engine, shown_url
from db.errors import DbError, Unavailable
from db.translate import translate

PING_TIMEOUT = 5.0
"""Seconds that a server has to answer `ping`."""


class Database:
    """One database. Thread safe; connections are pooled, and noticed when they are stale."""

    def __init__(self, engine: Engine, name: str, dialect: str, schema: tables.Schema = tables.RUNKEYS) -> None:
        self.engine = engine
        self.schema = schema
        self.name = name
        """What messages call it, for example "staging"."""
        self.dialect = dialect
        """sqlite, postgresql or mariadb."""
        self.url = shown_url(engine.url)
        """Without the password."""

    @classmethod
    def open(cls, url: str, *, create: bool = True, name: str = "", schema: tables.Schema = tables.RUNKEYS) -> Database:
        """The database at an SQLAlchemy URL, for the tables of `schema`.

        `create`: make or upgrade its tables (SQLite: also the file and its folder). Otherwise NotMigrated, with the
        command to run, when they are not those of this program. Unavailable when it can't be reached; BadInput for a
        URL that can't be used.
        """
        engine, dialect = make_engine(url, create=create, name=name, maker=schema.maker)
        database = cls(engine, name, dialect, schema)
        try:
            with database.errors():
                with engine.connect() as connection:
                    revision = tables.current(connection, schema)
                    connection.rollback()
                    if create and revision != schema.migrations.REVISION:
                        tables.migrate(connection, dialect, database.label, schema)
                    else:
                        tables.check(revision, database.label, schema)
        except BaseException:
            engine.dispose()
            raise
        return database

    @property
    def label(self) -> str:
        """For messages: its name and where it is."""
        return f"the {self.name} database ({self.url})" if self.name else f"the database {self.url}"

    def __repr__(self) -> str:
        return f"Database({self.url!r}, name={self.name!r})"

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turns errors of SQLAlchemy and of its driver into ours."""
        try:
            yield
        except (SQLAlchemyError, self.engine.dialect.loaded_dbapi.Error) as error:
            raise translate(error, self.label, self.engine.url.password, self.schema.remedy) from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one state of the database, whoever writes meanwhile; it can't write."""
        with self.errors():
            engine = self.engine
            if self.dialect == "postgresql":
                engine = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with engine.connect() as connection:
                if self.dialect == "sqlite":
                    connection.exec_driver_sql("PRAGMA query_only = 1")
                    connection.exec_driver_sql("BEGIN")
                elif self.dialect == "mariadb":
                    connection.exec_driver_sql("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
                try:
                    yield connection
                finally:
                    if not connection.closed and not connection.invalidated:
                        connection.rollback()
                        if self.dialect == "sqlite":
                            connection.exec_driver_sql("PRAGMA query_only = 0")
                            connection.rollback()

    @contextmanager
    def write(self, *, alone: bool = False) -> Iterator[Connection]:
        """One transaction: committed at the end of the block, undone when it raises or when this process dies.

        SQLite has one writer at a time; servers let several work side by side and see what others commit meanwhile,
        so heads move by comparing their version. `alone`: no other writer at the same time (gc).
        Busy when another writer holds what is wanted for too long: the caller may try the whole block again.
        """
        with self.errors():
            engine = self.engine
            if self.dialect == "postgresql":
                engine = engine.execution_options(isolation_level="READ COMMITTED", postgresql_readonly=False)
            with engine.connect() as connection:
                if self.dialect == "sqlite":
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                elif self.dialect == "postgresql":
                    lock = "pg_advisory_xact_lock" if alone else "pg_advisory_xact_lock_shared"
                    connection.exec_driver_sql(f"SELECT {lock}({self.schema.write_lock})")
                else:
                    connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
                    connection.exec_driver_sql("START TRANSACTION")
                    lock = "FOR UPDATE" if alone else "LOCK IN SHARE MODE"
                    connection.exec_driver_sql(f"SELECT version_num FROM {self.schema.versions} {lock}")
                try:
                    yield connection
                except BaseException:
                    if not connection.closed and not connection.invalidated:
                        connection.rollback()
                    raise
                connection.commit()

    def ping(self) -> float:
        """Seconds that the database took for the smallest query; Unavailable when it fails or takes too long."""
        answer: list[float | DbError] = []

        def ask() -> None:
            try:
                with self.errors(), self.engine.connect() as connection:
                    start = time.perf_counter()
                    connection.execute(text("SELECT 1"))
                    answer.append(time.perf_counter() - start)
            except DbError as error:
                answer.append(error)

        # a server that is stopped or behind a dead network answers nothing for minutes: the caller does not wait
        asking = threading.Thread(target=ask, name="db-ping", daemon=True)
        asking.start()
        asking.join(PING_TIMEOUT)
        if not answer:
            raise Unavailable(f"{self.label} does not answer: nothing within {PING_TIMEOUT:g} s")
        if isinstance(answer[0], DbError):
            raise answer[0]
        return answer[0]

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()
