"""The first tables of alarms, and the triggers that keep the log as it was written.

Revision ID: 0001
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MYSQL = ("mysql", "mariadb")
UTF8: dict[str, str] = {"charset": "utf8mb4", "collation": "utf8mb4_bin"}
ASCII: dict[str, str] = {"charset": "ascii", "collation": "ascii_bin"}
ID = sa.CHAR(32).with_variant(mysql.CHAR(32, **ASCII), *MYSQL)
HASH = sa.LargeBinary(32).with_variant(mysql.BINARY(32), *MYSQL)
NAME = sa.String(200).with_variant(mysql.VARCHAR(200, **UTF8), *MYSQL)
TEXT = sa.String(500).with_variant(mysql.VARCHAR(500, **UTF8), *MYSQL)
PATH = sa.String(1000).with_variant(mysql.VARCHAR(1000, **UTF8), *MYSQL)
WORD = sa.String(40).with_variant(mysql.VARCHAR(40, **ASCII), *MYSQL)
LONG = sa.Text().with_variant(mysql.LONGTEXT(**UTF8), *MYSQL)

IMMUTABLE = ("alarm_event", "alarm_source")

metadata = sa.MetaData()


def table(name: str, *items: sa.schema.SchemaItem, **more: Any) -> None:
    """A table, with MariaDB's options: transactions, and all of Unicode."""
    options: dict[str, Any] = {"mariadb_engine": "InnoDB", "mariadb_charset": "utf8mb4"}
    options |= {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}
    sa.Table(name, metadata, *items, **options, **more)


def col(name: str, type_: Any, **options: Any) -> sa.Column[Any]:
    """A column that holds a value in every row."""
    return sa.Column(name, type_, nullable=False, **options)


def index(name: str, *columns: str, only: str = "") -> sa.Index:
    """An index; `only`: of these rows, where a database can do that."""
    if not only:
        return sa.Index(name, *columns)
    return sa.Index(name, *columns, sqlite_where=sa.text(only), postgresql_where=sa.text(only))


table(
    "alarm_source",
    col("id", sa.BigInteger, primary_key=True, autoincrement=False),
    col("path", PATH),
    col("area", PATH),
    col("pv", NAME, index=True),
)
table(
    "alarm_event",
    col("time_ns", sa.BigInteger, primary_key=True, autoincrement=False),
    col("id", ID, primary_key=True),
    col("time_pv_ns", sa.BigInteger),
    col("kind", WORD),
    col("source", sa.BigInteger),
    col("severity", sa.SmallInteger),
    col("severity_before", sa.SmallInteger),
    col("severity_pv", sa.SmallInteger),
    col("effective", sa.SmallInteger),
    col("effective_before", sa.SmallInteger),
    col("raised", sa.SmallInteger),
    col("priority", sa.SmallInteger),
    col("first_out", sa.SmallInteger),
    col("burst", WORD),
    col("message", TEXT),
    col("message_pv", TEXT),
    col("value", TEXT),
    col("person", NAME),
    col("host", NAME),
    col("detail", LONG),
    index("alarm_event_source", "source", "time_ns"),
    index("alarm_event_raised", "raised", "time_ns", "source", "priority", only="raised = 1"),
    index("alarm_event_kind", "kind", "time_ns", only="kind <> 'transition'"),
    index("alarm_event_person", "person", "time_ns", only="person <> ''"),
    sqlite_with_rowid=False,
)
table(
    "alarm_item",
    col("tree", NAME, primary_key=True),
    col("hash", HASH, primary_key=True),
    col("path", LONG),
    col("document", LONG),
    col("person", NAME),
    col("host", NAME),
    col("time_ns", sa.BigInteger),
)
table(
    "alarm_state",
    col("tree", NAME, primary_key=True),
    col("hash", HASH, primary_key=True),
    col("path", LONG),
    col("document", LONG),
)
table(
    "alarm_lease",
    col("name", NAME, primary_key=True),
    col("token", ID),
    col("person", NAME),
    col("host", NAME),
    col("pid", sa.Integer),
    col("since_us", sa.BigInteger),
    col("seen_us", sa.BigInteger),
)


def upgrade() -> None:
    """Make what is missing: MariaDB keeps the tables of a migration that was cut off, and can go on from there."""
    connection = op.get_bind()
    metadata.create_all(connection)
    for made in metadata.sorted_tables:
        for each in made.indexes:
            each.create(connection, checkfirst=True)
    if connection.dialect.name == "sqlite":
        sqlite_triggers()
    elif connection.dialect.name == "postgresql":
        postgresql_triggers()
    else:
        mariadb_triggers()


def sqlite_triggers() -> None:
    """Prune drops the trigger against deletion in its transaction, and makes it again."""
    for name in IMMUTABLE:
        for what in ("update", "delete"):
            op.execute(
                f"CREATE TRIGGER {name}_no_{what} BEFORE {what.upper()} ON {name} "
                f"BEGIN SELECT RAISE(ABORT, 'rows of {name} never change'); END"
            )


def postgresql_triggers() -> None:
    """Prune sets owlshift.prune for its transaction."""
    op.execute(
        """
        CREATE FUNCTION owlshift_alarm_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'alarm_event' AND current_setting('owlshift.prune', true) = 'on' THEN
            RETURN OLD;
          END IF;
          RAISE EXCEPTION 'rows of % never change', TG_TABLE_NAME;
        END $$
        """
    )
    for name in IMMUTABLE:
        for what in ("update", "delete"):
            op.execute(
                f"CREATE TRIGGER {name}_no_{what} BEFORE {what.upper()} ON {name} "
                "FOR EACH ROW EXECUTE FUNCTION owlshift_alarm_immutable()"
            )
        op.execute(
            f"CREATE TRIGGER {name}_no_truncate BEFORE TRUNCATE ON {name} "
            "FOR EACH STATEMENT EXECUTE FUNCTION owlshift_alarm_immutable()"
        )


def mariadb_triggers() -> None:
    """Prune sets @owlshift_prune for its connection."""
    for name in IMMUTABLE:
        refuse = f"SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'rows of {name} never change'"
        op.execute(f"CREATE OR REPLACE TRIGGER {name}_no_update BEFORE UPDATE ON `{name}` FOR EACH ROW {refuse}")
        if name == "alarm_event":
            refuse = f"BEGIN IF COALESCE(@owlshift_prune, 0) <> 1 THEN {refuse}; END IF; END"
        op.execute(f"CREATE OR REPLACE TRIGGER {name}_no_delete BEFORE DELETE ON `{name}` FOR EACH ROW {refuse}")
