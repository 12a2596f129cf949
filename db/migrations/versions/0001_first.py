"""The first tables of the runkey database, and the triggers that keep rows immutable.

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
ID = sa.CHAR(32).with_variant(mysql.CHAR(32, charset="ascii", collation="ascii_bin"), *MYSQL)
HASH = sa.LargeBinary(32).with_variant(mysql.BINARY(32), *MYSQL)
NAME = sa.String(200).with_variant(mysql.VARCHAR(200, charset="utf8mb4", collation="utf8mb4_bin"), *MYSQL)
WORD = sa.String(40).with_variant(mysql.VARCHAR(40, charset="ascii", collation="ascii_bin"), *MYSQL)
LONG = sa.Text().with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), *MYSQL)
DATA = sa.LargeBinary().with_variant(mysql.LONGBLOB(), *MYSQL)
MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), *MYSQL)

IMMUTABLE = ("blob", "payload", "object", "object_payload", "connection", "revision", "audit")
SEALED = {"object_payload": "object_id", "connection": "parent_id"}
"""Rows that belong to an object, and which column says to which: none comes after the object's own row."""

metadata = sa.MetaData()


def table(name: str, *items: sa.schema.SchemaItem) -> None:
    """A table, with MariaDB's options: transactions, and all of Unicode."""
    options: dict[str, Any] = {"mariadb_engine": "InnoDB", "mariadb_charset": "utf8mb4"}
    options |= {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}
    sa.Table(name, metadata, *items, **options)


def col(name: str, type_: Any, *items: Any, **options: Any) -> sa.Column[Any]:
    """A column that holds a value in every row unless `nullable` says otherwise."""
    options.setdefault("nullable", False)
    return sa.Column(name, type_, *items, **options)


table(
    "blob",
    col("sha256", HASH, primary_key=True),
    col("codec", sa.SmallInteger),
    col("size", sa.Integer),
    col("data", DATA),
)
table(
    "payload",
    col("id", ID, primary_key=True),
    col("type", WORD, index=True),
    col("name", NAME),
    col("format", WORD),
    col("sha256", HASH, sa.ForeignKey("blob.sha256"), index=True),
    col("size", sa.Integer),
    col("meta", LONG),
    col("created", MOMENT),
    col("author", NAME),
)
table(
    "object",
    col("id", ID, primary_key=True),
    col("lineage", ID, index=True),
    col("type", WORD, index=True),
    col("name", NAME),
    col("serial", NAME, index=True),
    col("meta", LONG),
    col("digest", HASH),
    col("created", MOMENT),
    col("author", NAME),
)
table(
    "object_payload",
    col("object_id", ID, primary_key=True),
    col("role", WORD, primary_key=True),
    col("payload_id", ID, sa.ForeignKey("payload.id"), index=True),
)
table(
    "connection",
    col("parent_id", ID, primary_key=True),
    col("view", WORD, primary_key=True),
    col("child_id", ID, sa.ForeignKey("object.id"), primary_key=True, index=True),
    col("pos", sa.Integer),
    col("meta", LONG),
)
table(
    "revision",
    col("id", ID, primary_key=True),
    col("runkey", NAME),
    col("number", sa.Integer),
    col("root_id", ID, sa.ForeignKey("object.id"), index=True),
    col("parent_id", ID, nullable=True, index=True),
    col("action", WORD),
    col("comment", LONG),
    col("author", NAME),
    col("created", MOMENT),
    sa.UniqueConstraint("runkey", "number"),
)
table(
    "runkey",
    col("name", NAME, primary_key=True),
    col("revision_id", ID, sa.ForeignKey("revision.id")),
    col("version", sa.Integer),
    col("committed", sa.Boolean),
    col("author", NAME),
    col("created", MOMENT),
)
table(
    "tag",
    col("id", ID, primary_key=True),
    col("type", WORD),
    col("name", NAME),
    col("comment", LONG),
    col("author", NAME),
    col("created", MOMENT),
    sa.UniqueConstraint("type", "name"),
)
table(
    "tag_object",
    col("tag_id", ID, sa.ForeignKey("tag.id", ondelete="CASCADE"), primary_key=True),
    col("object_id", ID, sa.ForeignKey("object.id"), primary_key=True, index=True),
)
table(
    "tag_payload",
    col("tag_id", ID, sa.ForeignKey("tag.id", ondelete="CASCADE"), primary_key=True),
    col("payload_id", ID, sa.ForeignKey("payload.id"), primary_key=True, index=True),
)
table(
    "tag_group",
    col("parent_id", ID, sa.ForeignKey("tag.id", ondelete="CASCADE"), primary_key=True),
    col("child_id", ID, sa.ForeignKey("tag.id", ondelete="CASCADE"), primary_key=True, index=True),
)
table(
    "validity",
    col("id", ID, primary_key=True),
    col("tag_id", ID, sa.ForeignKey("tag.id", ondelete="CASCADE"), index=True),
    col("object_id", ID, sa.ForeignKey("object.id"), nullable=True, index=True),
    col("payload_id", ID, sa.ForeignKey("payload.id"), nullable=True, index=True),
    col("valid_from", MOMENT),
    col("valid_to", MOMENT, nullable=True),
    col("author", NAME),
    col("created", MOMENT),
)
table(
    "external_ref",
    col("lineage", ID, primary_key=True),
    col("system", WORD, primary_key=True),
    col("key", NAME, primary_key=True),
)
table(
    "alias",
    col("convention", WORD, primary_key=True),
    col("alias", NAME, primary_key=True),
    col("lineage", ID, index=True),
)
table(
    "device",
    col("id", ID, primary_key=True),
    col("kind", WORD, index=True),
    col("name", NAME, unique=True),
    col("serial", NAME, index=True),
    col("address", NAME),
    col("location", NAME),
    col("meta", LONG),
)
table(
    "device_link",
    col("id", ID, primary_key=True),
    col("view", WORD),
    col("parent_id", ID, sa.ForeignKey("device.id", ondelete="CASCADE"), index=True),
    col("child_id", ID, sa.ForeignKey("device.id", ondelete="CASCADE"), index=True),
    col("parent_port", NAME),
    col("child_port", NAME),
    col("cable", NAME),
    col("valid_from", MOMENT),
    col("valid_to", MOMENT, nullable=True),
)
table(
    "user",
    col("name", NAME, primary_key=True),
    col("full_name", NAME),
    col("disabled", sa.Boolean),
    col("created", MOMENT),
)
table(
    "user_role",
    col("user", NAME, sa.ForeignKey("user.name", ondelete="CASCADE"), primary_key=True),
    col("role", WORD, primary_key=True),
)
table(
    "audit",
    col("id", ID, primary_key=True),
    col("time", MOMENT, index=True),
    col("user", NAME),
    col("host", NAME),
    col("action", WORD),
    col("subject", NAME, index=True),
    col("detail", LONG),
)
table(
    "application",
    col("id", ID, primary_key=True),
    col("runkey", NAME, index=True),
    col("root_id", ID),
    col("digest", HASH),
    col("state", WORD),
    col("user", NAME),
    col("host", NAME),
    col("comment", LONG),
    col("started", MOMENT, index=True),
    col("finished", MOMENT, nullable=True),
    col("report", LONG),
)
table(
    "application_item",
    col("application_id", ID, sa.ForeignKey("application.id", ondelete="CASCADE"), primary_key=True),
    col("number", sa.Integer, primary_key=True),
    col("pv", NAME),
    col("old", LONG),
    col("new", LONG),
    col("state", WORD),
    col("message", LONG),
    sa.Index("application_item_state", "application_id", "state"),
)


def upgrade() -> None:
    """Make what is missing: MariaDB keeps the tables of a migration that was cut off, and can go on from there."""
    connection = op.get_bind()
    metadata.create_all(connection)
    for made in metadata.sorted_tables:
        for index in made.indexes:
            index.create(connection, checkfirst=True)
    if connection.dialect.name == "sqlite":
        sqlite_triggers()
    elif connection.dialect.name == "postgresql":
        # content is compressed already; and plain storage is read without a second look
        op.execute("ALTER TABLE blob ALTER COLUMN data SET STORAGE EXTERNAL")
        postgresql_triggers()
    else:
        mariadb_triggers()


def sqlite_triggers() -> None:
    """gc drops the triggers against deletion in its transaction, and makes them again."""
    for name in IMMUTABLE:
        for what in ("update", "delete"):
            op.execute(
                f"CREATE TRIGGER {name}_no_{what} BEFORE {what.upper()} ON {name} "
                f"BEGIN SELECT RAISE(ABORT, 'rows of {name} never change'); END"
            )
    for name, column in SEALED.items():
        op.execute(
            f"CREATE TRIGGER {name}_sealed BEFORE INSERT ON {name} "
            f"WHEN EXISTS (SELECT 1 FROM object WHERE id = NEW.{column}) "
            f"BEGIN SELECT RAISE(ABORT, 'the object is sealed: {name} can''t be added'); END"
        )


def postgresql_triggers() -> None:
    """gc sets owlshift.gc for its transaction."""
    op.execute(
        """
        CREATE FUNCTION owlshift_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF TG_OP = 'DELETE' AND TG_TABLE_NAME <> 'audit' AND current_setting('owlshift.gc', true) = 'on' THEN
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
                "FOR EACH ROW EXECUTE FUNCTION owlshift_immutable()"
            )
        op.execute(
            f"CREATE TRIGGER {name}_no_truncate BEFORE TRUNCATE ON {name} "
            "FOR EACH STATEMENT EXECUTE FUNCTION owlshift_immutable()"
        )
    for name, column in SEALED.items():
        op.execute(
            f"""
            CREATE FUNCTION owlshift_{name}_sealed() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
              IF EXISTS (SELECT 1 FROM object WHERE id = NEW.{column}) THEN
                RAISE EXCEPTION 'the object is sealed: {name} can''t be added';
              END IF;
              RETURN NEW;
            END $$
            """
        )
        op.execute(
            f"CREATE TRIGGER {name}_sealed BEFORE INSERT ON {name} "
            f"FOR EACH ROW EXECUTE FUNCTION owlshift_{name}_sealed()"
        )


def mariadb_triggers() -> None:
    """gc sets @owlshift_gc for its connection."""
    for name in IMMUTABLE:
        refuse = f"SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'rows of {name} never change'"
        op.execute(f"CREATE OR REPLACE TRIGGER {name}_no_update BEFORE UPDATE ON `{name}` FOR EACH ROW {refuse}")
        if name != "audit":
            refuse = f"BEGIN IF COALESCE(@owlshift_gc, 0) <> 1 THEN {refuse}; END IF; END"
        op.execute(f"CREATE OR REPLACE TRIGGER {name}_no_delete BEFORE DELETE ON `{name}` FOR EACH ROW {refuse}")
    for name, column in SEALED.items():
        op.execute(
            f"CREATE OR REPLACE TRIGGER {name}_sealed BEFORE INSERT ON `{name}` FOR EACH ROW "
            f"BEGIN IF EXISTS (SELECT 1 FROM `object` WHERE id = NEW.{column}) THEN SIGNAL SQLSTATE '45000' "
            f"SET MESSAGE_TEXT = 'the object is sealed: {name} can''t be added'; END IF; END"
        )
