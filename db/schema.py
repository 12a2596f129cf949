"""Which version of the tables a database has, and bringing it to ours."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection, inspect
from sqlalchemy.exc import DatabaseError

from db import migrations
from db.errors import Busy, NotMigrated

MIGRATION_LOCK = 7_305_420_316_021_977_154
"""PostgreSQL: key of the advisory lock of whoever migrates."""
LOCK_TIMEOUT = 60
"""MariaDB: seconds to wait for another process that migrates."""


class Migrations(Protocol):
    """A package of migrations: `db.migrations` and its like."""

    @property
    def REVISION(self) -> str:
        """The newest."""
        ...

    def upgrade(self, connection: Connection, /) -> None:
        """Bring the tables to it, in the transaction of `connection`."""


@dataclass(frozen=True, slots=True)
class Schema:
    """Tables that belong together, with a history of their own. Several may be in one database, side by side."""

    migrations: Migrations
    versions: str
    """The table that holds the revision."""
    maker: str
    """Who makes the tables, for messages: "… makes it"."""
    remedy: str
    """What to do when they are missing or old."""
    write_lock: int
    """PostgreSQL: key of the advisory lock that writers share, and that whoever wants to be alone has for itself."""


RUNKEYS = Schema(migrations, "alembic_version", "`owl runkey init`", "run `owl runkey init`", 7_305_420_316_021_977_153)
"""The tables of `db.models`."""

IMMUTABLE = ("blob", "payload", "object", "object_payload", "connection", "revision", "audit")
"""Tables whose rows never change."""
SEALED = ("object_payload", "connection")
"""Tables whose rows are inserted before the object that they belong to, and not after."""


def triggers(dialect: str) -> set[str]:
    """Names of the triggers that keep rows immutable."""
    kinds = ("update", "delete", "truncate") if dialect == "postgresql" else ("update", "delete")
    return {f"{table}_no_{kind}" for table in IMMUTABLE for kind in kinds} | {f"{table}_sealed" for table in SEALED}


def current(connection: Connection, schema: Schema = RUNKEYS) -> str | None:
    """The revision of the tables, or None when there are none."""
    try:
        return connection.exec_driver_sql(f"SELECT version_num FROM {schema.versions}").scalar()
    except DatabaseError:
        connection.rollback()
        if inspect(connection).has_table(schema.versions):
            raise  # it is not that the tables are missing
        return None


def check(revision: str | None, label: str, schema: Schema = RUNKEYS) -> None:
    """NotMigrated unless the tables are those of this program."""
    wanted = schema.migrations.REVISION
    if revision == wanted:
        return
    if revision is None:
        raise NotMigrated(f"{label} has no tables yet: {schema.remedy}")
    if revision > wanted:
        raise NotMigrated(
            f"{label} was made by a newer owlshift (tables {revision}, this one knows {wanted}): "
            "run `pip install --upgrade owlshift`"
        )
    raise NotMigrated(f"{label} has tables of an older owlshift ({revision}, wanted {wanted}): {schema.remedy}")


def migrate(connection: Connection, dialect: str, label: str, schema: Schema = RUNKEYS) -> None:
    """Make or upgrade the tables, once even when several processes begin at the same time. Commits.

    SQLite and PostgreSQL do it whole or not at all; MariaDB commits each statement, and goes on from there the next
    time. NotMigrated for a database of a newer version.
    """
    if dialect == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    elif dialect == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
    else:
        name = connection.exec_driver_sql("SELECT DATABASE()").scalar_one()
        lock = "owlshift " + hashlib.sha256(name.encode()).hexdigest()[:32]
        if connection.exec_driver_sql(f"SELECT GET_LOCK('{lock}', {LOCK_TIMEOUT})").scalar() != 1:
            raise Busy(f"another process has been migrating {label} for {LOCK_TIMEOUT} s")
    revision = None
    if inspect(connection).has_table(schema.versions):
        revision = connection.exec_driver_sql(f"SELECT version_num FROM {schema.versions}").scalar()
    if revision is not None and revision >= schema.migrations.REVISION:
        check(revision, label, schema)
    else:
        schema.migrations.upgrade(connection)
    connection.commit()
    if dialect == "mariadb":
        connection.exec_driver_sql("SELECT RELEASE_ALL_LOCKS()")
        connection.rollback()
