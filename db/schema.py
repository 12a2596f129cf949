"""Which version of the tables a database has, and bringing it to ours."""

from __future__ import annotations

import hashlib

from sqlalchemy import Connection, inspect
from sqlalchemy.exc import DatabaseError

from db import migrations
from db.errors import Busy, NotMigrated

MIGRATION_LOCK = 7_305_420_316_021_977_154
"""PostgreSQL: key of the advisory lock of whoever migrates."""
LOCK_TIMEOUT = 60
"""MariaDB: seconds to wait for another process that migrates."""

IMMUTABLE = ("blob", "payload", "object", "object_payload", "connection", "revision", "audit")
"""Tables whose rows never change."""
SEALED = ("object_payload", "connection")
"""Tables whose rows are inserted before the object that they belong to, and not after."""


def triggers(dialect: str) -> set[str]:
    """Names of the triggers that keep rows immutable."""
    kinds = ("update", "delete", "truncate") if dialect == "postgresql" else ("update", "delete")
    return {f"{table}_no_{kind}" for table in IMMUTABLE for kind in kinds} | {f"{table}_sealed" for table in SEALED}


def current(connection: Connection) -> str | None:
    """The revision of the tables, or None when there are none."""
    try:
        return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    except DatabaseError:
        connection.rollback()
        if inspect(connection).has_table("alembic_version"):
            raise  # it is not that the tables are missing
        return None


def check(revision: str | None, label: str) -> None:
    """NotMigrated unless the tables are those of this program."""
    if revision == migrations.REVISION:
        return
    if revision is None:
        raise NotMigrated(f"{label} has no tables yet: run `owl runkey init`")
    if revision > migrations.REVISION:
        raise NotMigrated(
            f"{label} was made by a newer owlshift (tables {revision}, this one knows {migrations.REVISION}): "
            "run `pip install --upgrade owlshift`"
        )
    raise NotMigrated(
        f"{label} has tables of an older owlshift ({revision}, wanted {migrations.REVISION}): run `owl runkey init`"
    )


def migrate(connection: Connection, dialect: str, label: str) -> None:
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
    if inspect(connection).has_table("alembic_version"):
        revision = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    if revision is not None and revision >= migrations.REVISION:
        check(revision, label)
    else:
        migrations.upgrade(connection)
    connection.commit()
    if dialect == "mariadb":
        connection.exec_driver_sql("SELECT RELEASE_ALL_LOCKS()")
        connection.rollback()
