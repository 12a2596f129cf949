"""verify finds every kind of damage, and tells where it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from db_fill import ME, Thing, add_runkey, small_tree
from db_servers import KINDS, ready_url
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, select

from db import models, verify_rows
from db import verify as verify_module
from db.audit import record
from db.database import Database
from db.ids import new_id
from db.models import Base, Blob, Object, Payload
from db.verify import Problem, verify
from db.verify_rows import cycle

NOW = datetime.now(UTC)
NOWHERE = new_id()


@contextmanager
def unguarded(database: Database) -> Iterator[Connection]:
    """A connection for what the database would refuse: its triggers and foreign keys are out of the way."""
    with database.engine.connect() as connection:
        name = database.dialect
        if name == "postgresql":
            connection.exec_driver_sql("SET session_replication_role = replica")
        elif name == "sqlite":
            connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
            for trigger in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").all():
                connection.exec_driver_sql(f"DROP TRIGGER {trigger[0]}")
        else:
            connection.exec_driver_sql("SET foreign_key_checks = 0")
            query = "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = DATABASE()"
            for trigger in connection.exec_driver_sql(query).all():
                connection.exec_driver_sql(f"DROP TRIGGER {trigger[0]}")
        connection.commit()
        if name == "sqlite":
            connection.exec_driver_sql("BEGIN")
        yield connection
        connection.invalidate()  # its settings go with it


def corrupt(database: Database, *changes: Any) -> None:
    with unguarded(database) as connection:
        for change in changes:
            connection.execute(change)
        connection.commit()


def problems(database: Database, deep: bool = True) -> list[Problem]:
    return [p for p in verify(database, deep=deep) if p.where != "tables"]


def table(name: str) -> Any:
    return Base.metadata.tables[name]


def test_all_is_well(database):
    tree = add_runkey(database, "a")
    with database.write() as connection:
        record(connection, ME, "note", "a", text='"\\')
        tag = new_id()
        common = {"author": "ada", "created": NOW}
        connection.execute(insert(models.Tag).values(id=tag, type="VALIDITY", name="v", comment="", **common))
        connection.execute(insert(models.TagObject).values(tag_id=tag, object_id=tree.id))
        connection.execute(
            insert(models.Validity).values(id=new_id(), tag_id=tag, object_id=tree.id, valid_from=NOW, **common)
        )
    steps: list[tuple[Any, ...]] = []
    assert verify(database, progress=lambda *a: steps.append(a)) == []
    assert [s[2] for s in steps if s[2] != "file"] == [
        "tables",
        "references",
        "rows",
        "objects",
        "contents",
        "contents",
    ]
    assert steps[-1][0] == steps[-1][1] > 0


REVISION = table("revision").c.root_id

DAMAGE: dict[str, tuple[Callable[[Thing, str], Any], str]] = {
    "a size that is wrong": (
        lambda tree, payload: table("payload").update().values(size=1).where(Payload.id == payload),
        r"payload {payload}: size 1: its content has \d+ bytes",
    ),
    "a digest that is wrong": (
        lambda tree, payload: table("object").update().values(digest=bytes(32)).where(Object.id == tree.children[0].id),
        "object {felix}: it, its payloads or its connections are not what its digest says$",
    ),
    "a name that was changed": (
        lambda tree, payload: table("object").update().values(name="FELIX2").where(Object.id == tree.children[0].id),
        "object {felix}: it, its payloads",
    ),
    "a connection that is gone": (
        lambda tree, payload: table("connection").delete().where(table("connection").c.parent_id == tree.id),
        "object {root}: it, its payloads",
    ),
    "metadata of a connection": (
        lambda tree, payload: table("connection").update().values(meta='{"rx":99}'),
        "object {root}: it, its payloads",
    ),
    "a payload that was taken for another": (
        lambda tree, payload: table("object_payload").update().values(payload_id=payload),
        "object .*: it, its payloads",
    ),
    "metadata that is no JSON": (
        lambda tree, payload: table("object").update().values(meta="{not").where(Object.id == tree.id),
        "object {root}: meta {{not: it is no JSON",
    ),
    "metadata that is no JSON object": (
        lambda tree, payload: table("payload").update().values(meta="[]").where(Payload.id == payload),
        r"payload {payload}: meta \[\]: it is no JSON object",
    ),
    "a blob that is gone": (
        lambda tree, payload: table("blob").delete(),
        "payload {payload}: sha256 [0-9a-f]{{64}}: there is no such blob",
    ),
    "a payload that is gone": (
        lambda tree, payload: table("payload").delete().where(Payload.id == payload),
        "object_payload .*: payload_id {payload}: there is no such payload",
    ),
    "a child that is gone": (
        lambda tree, payload: table("object").delete().where(Object.id == tree.children[0].id),
        "connection {root} daq {felix}: child_id {felix}: there is no such object",
    ),
    "a root that is gone": (
        lambda tree, payload: table("object").delete().where(Object.id == tree.id),
        "revision .*: root_id {root}: there is no such object",
    ),
    "a head to nowhere": (
        lambda tree, payload: table("runkey").update().values(revision_id=NOWHERE),
        "runkey a: revision_id {nowhere}: there is no such revision",
    ),
    "a root that is no runkey": (
        lambda tree, payload: table("revision").update().values(root_id=tree.children[0].id),
        "revision .*: its root {felix} is felix 'FELIX1', not a runkey",
    ),
    "an object that contains itself": (
        lambda tree, payload: table("connection").insert().values(
            parent_id=tree.children[0].children[0].id, view="daq", child_id=tree.id, pos=0, meta="{}"
        ),
        "object {felix}: it contains itself",
    ),
    "two children of one name": (
        lambda tree, payload: table("object").update().values(name="FE0").where(Object.type == "frontend"),
        "object {felix}: 2 children have the name 'FE0' in the view daq",
    ),
    "connections of no object": (
        lambda tree, payload: table("connection").insert().values(
            parent_id=NOWHERE, view="daq", child_id=tree.id, pos=0, meta="{}"
        ),
        "connection {nowhere} daq {root}: parent_id {nowhere}: there is no such object",
    ),
    "a payload of no object": (
        lambda tree, payload: table("object_payload").insert().values(
            object_id=NOWHERE, role="config", payload_id=payload
        ),
        "object_payload {nowhere} config: object_id {nowhere}: there is no such object",
    ),
    "an id that is none": (
        lambda tree, payload: table("revision").update().values(id="f" * 32).where(REVISION == tree.id),
        "revision ffff.*: id f+: it is no id",
    ),
    "a runkey of a name that cannot be": (
        lambda tree, payload: table("runkey").update().values(name="a/b").where(table("runkey").c.name == "a"),
        "runkey a/b: name a/b: it is no name of a runkey",
    ),
    "a blob stored in an unknown way": (
        lambda tree, payload: table("blob").update().values(codec=9),
        "blob [0-9a-f]{{64}}: codec 9: content is stored in an unknown way",
    ),
    "an audit that is no JSON": (
        lambda tree, payload: table("audit").insert().values(
            id=new_id(), time=NOW, user="a", host="h", action="x", subject="y", detail="?"
        ),
        r"audit .*: detail \?: it is no JSON",
    ),
    "a role that does not exist": (
        lambda tree, payload: table("user_role").insert().values(user="eve", role="king"),
        "user_role eve king: role king: it is none of observer",
    ),
    "a user that is gone": (
        lambda tree, payload: table("user_role").insert().values(user="eve", role="admin"),
        "user_role eve admin: user eve: there is no such user",
    ),
    "a tag on nothing": (
        lambda tree, payload: table("tag_object").insert().values(tag_id=NOWHERE, object_id=tree.id),
        "tag_object {nowhere} {root}: tag_id {nowhere}: there is no such tag",
    ),
    "a validity of nothing": (
        lambda tree, payload: table("validity").insert().values(
            id=NOWHERE, tag_id=NOWHERE, valid_from=NOW, author="", created=NOW
        ),
        "validity {nowhere}: it must be of one object or of one payload",
    ),
    "a validity that ends before it begins": (
        lambda tree, payload: table("validity").insert().values(
            id=NOWHERE, tag_id=NOWHERE, object_id=tree.id, valid_from=NOW, valid_to=NOW, author="", created=NOW
        ),
        "validity {nowhere}: it ends before it begins",
    ),
    "a tag of no type": (
        lambda tree, payload: table("tag").insert().values(
            id=NOWHERE, type="STICKER", name="x", comment="", author="", created=NOW
        ),
        "tag {nowhere}: type STICKER: it is none of LABEL",
    ),
    "an alias of nothing": (
        lambda tree, payload: table("alias").insert().values(convention="x", alias="y", lineage=NOWHERE),
        "alias x y: lineage {nowhere}: there is no such object",
    ),
    "a link of no device": (
        lambda tree, payload: table("device_link").insert().values(
            id=NOWHERE, view="daq", parent_id=NOWHERE, child_id=NOWHERE, parent_port="", child_port="", cable="",
            valid_from=NOW,
        ),
        "device_link {nowhere}: child_id {nowhere}: there is no such device",
    ),
    "an item of no application": (
        lambda tree, payload: table("application_item").insert().values(
            application_id=NOWHERE, number=1, pv="X", old="1", new="nonsense", state="planned", message=""
        ),
        "application_item {nowhere} 1: application_id {nowhere}: there is no such application",
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=KINDS)
def victim(request: pytest.FixtureRequest) -> Iterator[tuple[Connection, dict[str, Any]]]:
    """One database for all damage, which is undone each time; and what is in it."""
    database = Database.open(ready_url(request.param))
    tree = add_runkey(database, "a")
    add_runkey(database, "sound", small_tree(b"other"))
    felix = tree.children[0].id
    with unguarded(database) as connection:
        query = select(models.ObjectPayload.payload_id).where(models.ObjectPayload.object_id == felix)
        payload = connection.execute(query).scalar_one()
        yield connection, {"tree": tree, "root": tree.id, "felix": felix, "payload": payload, "nowhere": NOWHERE}
        connection.rollback()
    database.close()


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_of_a_row(victim, damage):
    connection, names = victim
    change, expected = DAMAGE[damage]
    connection.rollback()
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN")
    connection.execute(change(names["tree"], names["payload"]))
    found = verify_module._all_problems(connection, False, lambda *args: None)
    told = [f"{p.where}: {p.what}" for p in found if p.where != "tables"]
    assert any(re.match(expected.format(**names), text) for text in told), told


def test_damage_of_one_object_is_told_of_that_object_alone(database):
    tree = add_runkey(database, "a")
    fe = tree.children[0].children[1]
    corrupt(database, table("object").update().values(serial="changed").where(Object.id == fe.id))
    assert [p.where for p in problems(database)] == [f"object {fe.id}"]


def test_every_content_is_read(database):
    add_runkey(database, "a", Thing("", "runkey", {f"r{i}": b"content %d " % i * 50 for i in range(20)}))
    with database.read() as connection:
        rows = connection.execute(select(Blob.sha256, Blob.data).order_by(Blob.sha256)).all()
    hit = [rows[3], rows[17]]
    changes = []
    for sha, data in hit:
        turned = bytearray(data)
        turned[len(turned) // 2] ^= 1
        changes.append(table("blob").update().values(data=bytes(turned)).where(Blob.sha256 == bytes(sha)))
    corrupt(database, *changes)
    assert problems(database, deep=False) == []
    found = problems(database)
    assert {p.where for p in found} == {f"blob {bytes(sha).hex()}" for sha, _ in hit}
    assert {p.severity for p in found} == {"error"}


def test_content_under_the_hash_of_another(database):
    add_runkey(database, "a", Thing("", "runkey", {"a": b"this", "b": b"that"}))
    with database.read() as connection:
        one, two = connection.execute(select(Blob.sha256, Blob.data)).all()
    corrupt(database, table("blob").update().values(data=bytes(two[1])).where(Blob.sha256 == bytes(one[0])))
    (problem,) = problems(database)
    assert problem.what == f"content {bytes(one[0]).hex()[:12]} does not fit its hash"


def test_a_damaged_file_is_told():
    database = Database.open(ready_url("sqlite"))
    for i in range(30):
        add_runkey(database, f"a{i}")
    path = str(database.engine.url.database)
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").all()
        page = connection.exec_driver_sql(
            "SELECT rootpage FROM sqlite_master WHERE name = 'ix_object_type'"
        ).scalar_one()
        size = connection.exec_driver_sql("PRAGMA page_size").scalar_one()
    database.close()
    with open(path, "r+b") as file:
        file.seek((page - 1) * size)
        file.write(bytes(size))
    database = Database.open(f"sqlite:///{path}")
    try:
        found = verify(database)
    finally:
        database.close()
    assert any(p.where == "file" and "the file is damaged" in p.what for p in found)


def test_there_is_an_end_to_problems(monkeypatch):
    monkeypatch.setattr(verify_module, "MOST", 5)
    database = Database.open(ready_url("sqlite"))
    add_runkey(database, "a", Thing("", "runkey", {}, [Thing(f"FE{i}") for i in range(20)]))
    corrupt(database, table("object").update().values(digest=bytes(32)))
    found = verify(database)
    database.close()
    assert len(found) == 6
    assert "more than 5 problems" in found[-1].what


def test_every_table_has_damage_that_is_found():
    """No table was forgotten: each has a row in DAMAGE, or is looked at by a test of its own."""
    named = {re.match(r"\w+", expected)[0] for _, expected in DAMAGE.values()}  # type: ignore[index]
    generic = {"tag_payload", "tag_group", "external_ref", "device", "user", "application"}
    assert named | generic == set(Base.metadata.tables)
    checked = {(t.name, c.name) for t in Base.metadata.tables.values() for c in t.columns if c.foreign_keys}
    assert {t for t, _ in checked} >= {"tag_payload", "tag_group"}
    assert {u[0] for u in verify_rows.UNDECLARED} >= {"external_ref"}


edges = st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef")), max_size=15)


@given(edges)
def test_cycles(edges):
    reach = set(edges)
    for _ in range(6):
        reach |= {(a, d) for a, b in reach for c, d in reach if b == c}
    on_cycle = {a for a, b in reach if a == b}
    between = {n for n in "abcdef" if any((c, n) in reach for c in on_cycle) and any((n, c) in reach for c in on_cycle)}
    assert set(cycle(edges)) == on_cycle | between
