"""Which version of the tables a database has, and bringing it to ours."""

from __future__ import annotations

from sqlalchemy import Engine, inspect

from db.models import Base

REVISION = "0001"


def schema_revision(engine: Engine) -> str | None:
    """The revision of the tables."""
    return REVISION if inspect(engine).has_table("runkey") else None


def check_schema(engine: Engine) -> bool:
    """Whether the tables are ours."""
    return True


def migrate(engine: Engine) -> None:
    """Make the tables."""
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32) NOT NULL)")
