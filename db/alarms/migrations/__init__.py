"""The versions of the tables of alarms; as `db.migrations`, of which they know nothing."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection

REVISION = "0001"
VERSIONS = "alarm_version"
"""The table that holds the one of a database: not Alembic's usual, which is that of runkeys."""


def upgrade(connection: Connection, revision: str = REVISION) -> None:
    """Bring the tables to `revision`, in the transaction of `connection`."""
    from db.alarms.models import Base
    from db.migrations import run

    run(connection, revision, Path(__file__).parent, Base.metadata, VERSIONS)
