"""Runkeys put into a database row by row, in the order that is prescribed, without the code that edits trees."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, insert

from db.blobs import put_blobs
from db.database import Database
from db.digests import canonical, object_digest
from db.ids import new_id
from db.models import Connection as Edge
from db.models import Object, ObjectPayload, Payload, Revision, Runkey
from db.who import Who

ME = Who("ada", "desk")


@dataclass
class Thing:
    """An object to be."""

    name: str = ""
    type: str = "frontend"
    payloads: dict[str, bytes] = field(default_factory=dict)
    children: list[Thing] = field(default_factory=list)
    id: str = field(default_factory=new_id)
    digest: bytes = b""


def add_thing(connection: Connection, thing: Thing) -> str:
    """Insert it with all below it, unless it is there; its id."""
    now = datetime.now(UTC)
    if thing.digest:
        return thing.id
    for child in thing.children:
        add_thing(connection, child)
    said = []
    for role, content in thing.payloads.items():
        (sha,) = put_blobs(connection, [content])
        id_ = new_id()
        common: dict[str, Any] = {"type": "config", "name": "", "format": "raw", "meta": "{}"}
        connection.execute(
            insert(Payload).values(id=id_, sha256=sha, size=len(content), created=now, author=ME.user, **common)
        )
        connection.execute(insert(ObjectPayload).values(object_id=thing.id, role=role, payload_id=id_))
        said.append((role, "config", "", "raw", sha, {}))
    for pos, child in enumerate(thing.children):
        connection.execute(
            insert(Edge).values(parent_id=thing.id, view="daq", child_id=child.id, pos=pos, meta=canonical({"rx": pos}))
        )
    edges = [("daq", pos, {"rx": pos}, child.name, child.digest) for pos, child in enumerate(thing.children)]
    thing.digest = object_digest(thing.type, thing.name, "", {}, said, edges)
    common = {"lineage": thing.id, "type": thing.type, "name": thing.name, "serial": "", "meta": "{}"}
    connection.execute(insert(Object).values(id=thing.id, digest=thing.digest, created=now, author=ME.user, **common))
    return thing.id


def add_revision(connection: Connection, runkey: str, number: int, root: str, parent: str | None = None) -> str:
    id_ = new_id()
    values: dict[str, Any] = {"id": id_, "runkey": runkey, "number": number, "root_id": root, "parent_id": parent}
    connection.execute(
        insert(Revision).values(action="create", comment="", author=ME.user, created=datetime.now(UTC), **values)
    )
    return id_


def add_head(connection: Connection, name: str, revision: str) -> None:
    connection.execute(
        insert(Runkey).values(
            name=name, revision_id=revision, version=1, committed=False, author=ME.user, created=datetime.now(UTC)
        )
    )


def small_tree(tag: bytes = b"") -> Thing:
    """A root, a FELIX and two front-ends; `tag` makes its contents differ from those of another."""
    fes = [Thing(f"FE{i}", payloads={"config": b"config %d %s" % (i, tag)}) for i in range(2)]
    felix = Thing("FELIX1", "felix", {"config": b"felix " + tag}, fes)
    return Thing("", "runkey", {}, [felix])


def add_runkey(database: Database, name: str, tree: Thing | None = None) -> Thing:
    """A runkey with one revision."""
    tree = tree or small_tree(name.encode())
    with database.write() as connection:
        add_thing(connection, tree)
        add_head(connection, name, add_revision(connection, name, 1, tree.id))
    return tree
