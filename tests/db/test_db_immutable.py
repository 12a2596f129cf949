"""The databases themselves refuse to change what must never change."""

from __future__ import annotations

import pytest
from db_fill import ME, Thing, add_runkey, add_thing
from sqlalchemy import insert, text, update

from db import models, schema
from db.audit import record
from db.database import Database
from db.errors import DbError, Forbidden
from db.models import Base


def filled(database: Database) -> Thing:
    tree = add_runkey(database, "a")
    with database.write() as connection:
        record(connection, ME, "test", "a")
    return tree


def quoted(database: Database, name: str) -> str:
    return database.engine.dialect.identifier_preparer.quote(name)


@pytest.mark.parametrize("table", schema.IMMUTABLE)
def test_rows_are_neither_changed_nor_deleted(database, table):
    filled(database)
    column = next(c for c in Base.metadata.tables[table].columns if not c.primary_key)
    with pytest.raises(Forbidden, match=f"rows of {table} never change"), database.write() as connection:
        connection.execute(update(Base.metadata.tables[table]).values({column: column}))
    with pytest.raises(Forbidden, match=f"rows of {table} never change"), database.write() as connection:
        connection.execute(text(f"DELETE FROM {quoted(database, table)}"))
    name = quoted(database, table)
    if database.dialect != "postgresql":
        with pytest.raises(DbError), database.write() as connection:
            connection.execute(text(f"REPLACE INTO {name} SELECT * FROM {name}"))
    else:
        with pytest.raises(Forbidden), database.write() as connection:
            connection.execute(text(f"TRUNCATE TABLE {name} CASCADE"))
    with database.read() as connection:
        assert connection.execute(text(f"SELECT COUNT(*) FROM {name}")).scalar_one() > 0


def test_an_object_is_sealed_by_its_row(database):
    tree = filled(database)
    felix = tree.children[0]
    stranger = Thing("FE9")
    with database.write() as connection:
        add_thing(connection, stranger)
    with pytest.raises(Forbidden, match="the object is sealed: connection can't be added"), database.write() as c:
        c.execute(insert(models.Connection).values(parent_id=felix.id, view="daq", child_id=stranger.id, meta="{}"))
    with database.read() as connection:
        payload = connection.execute(text("SELECT id FROM payload")).scalar()
    with pytest.raises(Forbidden, match="the object is sealed: object_payload can't be added"), database.write() as c:
        c.execute(insert(models.ObjectPayload).values(object_id=felix.id, role="more", payload_id=payload))


def test_heads_and_tags_do_move(database):
    filled(database)
    with database.write() as connection:
        connection.execute(update(models.Runkey).values(version=2))
        connection.execute(text("DELETE FROM runkey"))
