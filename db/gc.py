"""Throwing away what nothing needs any more.

Kept: what the heads of runkeys and the revisions that they descend from reach, what a tag (other than those that name
runkeys) or a validity is on, and whatever was applied to the stand. All else goes, in one transaction and with no
other writer beside it: a writer that shares an object, payload or blob is either before it, and keeps it, or after it,
and does not find it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass

from sqlalchemy import Column, Connection, MetaData, Select, Table, delete, exists, func, insert, select, union
from sqlalchemy.schema import CreateTable

from db.audit import record
from db.database import Database
from db.errors import Busy
from db.models import (
    MYSQL,
    Application,
    Blob,
    Id,
    Object,
    ObjectPayload,
    Payload,
    Revision,
    Runkey,
    Tag,
    TagObject,
    TagPayload,
    Validity,
)
from db.models import Connection as Edge
from db.users import require
from db.who import Who


@dataclass(frozen=True, slots=True)
class GcReport:
    """What went, or would go."""

    revisions: int
    objects: int
    payloads: int
    blobs: int
    bytes: int
    """Of the blobs, as they were stored."""


def _kept(name: str) -> Table:
    return Table(name, MetaData(), Column("id", Id, primary_key=True), prefixes=["TEMPORARY"])


REVISIONS, OBJECTS, PAYLOADS = _kept("gc_revision"), _kept("gc_object"), _kept("gc_payload")


def gc(database: Database, who: Who, dry_run: bool = False) -> GcReport:
    """Throw away for ever what nothing needs any more; `dry_run`: only say what would go.

    `who` must be an admin (Forbidden). Other writers wait meanwhile; readers do not. Busy when one does not end.
    """
    with database.write(alone=not dry_run) as connection:
        require(connection, who, "admin")
        with _marked(connection):
            report = _count(connection)
            if not dry_run and any(asdict(report).values()):
                with _deletion_allowed(connection):
                    _sweep(connection)
                record(connection, who, "gc", database.name, **asdict(report))
    if not dry_run and report.bytes and database.dialect == "sqlite":
        _shrink(database)
    return report


@contextmanager
def _marked(connection: Connection) -> Iterator[None]:
    """Temporary tables of what is kept."""
    tables = (REVISIONS, OBJECTS, PAYLOADS)
    for table in tables:
        connection.execute(CreateTable(table))
    try:
        parents = select(Runkey.revision_id.label("id")).cte("kept_revision", recursive=True)
        parents = parents.union(
            select(Revision.parent_id).join(parents, parents.c.id == Revision.id).where(Revision.parent_id.is_not(None))
        )
        _fill(connection, REVISIONS, select(parents.c.id))

        roots = union(
            select(Revision.root_id.label("id")).join(REVISIONS, REVISIONS.c.id == Revision.id),
            select(TagObject.object_id).join(Tag, Tag.id == TagObject.tag_id).where(Tag.type != "RUNKEY"),
            select(Validity.object_id).where(Validity.object_id.is_not(None)),
            select(Application.root_id),
        ).subquery("roots")
        tree = select(roots.c.id).cte("kept_object", recursive=True)
        tree = tree.union(select(Edge.child_id).join(tree, tree.c.id == Edge.parent_id))
        _fill(connection, OBJECTS, select(tree.c.id))

        used = union(
            select(ObjectPayload.payload_id.label("id")).join(OBJECTS, OBJECTS.c.id == ObjectPayload.object_id),
            select(TagPayload.payload_id),
            select(Validity.payload_id).where(Validity.payload_id.is_not(None)),
        ).subquery("used")
        _fill(connection, PAYLOADS, select(used.c.id))
        yield
    finally:
        if connection.in_transaction() and not connection.invalidated:
            temporary = "TEMPORARY " if connection.dialect.name in MYSQL else ""
            for table in tables:
                connection.exec_driver_sql(f"DROP {temporary}TABLE IF EXISTS {table.name}")


def _fill(connection: Connection, table: Table, ids: Select[tuple[str]]) -> None:
    connection.execute(insert(table).from_select(["id"], ids))


_NO_REVISION = ~exists().where(REVISIONS.c.id == Revision.id)
_NO_OBJECT = ~exists().where(OBJECTS.c.id == Object.id)
_NO_PAYLOAD = ~exists().where(PAYLOADS.c.id == Payload.id)


def _count(connection: Connection) -> GcReport:
    needed = select(Payload.sha256).join(PAYLOADS, PAYLOADS.c.id == Payload.id).where(Payload.sha256 == Blob.sha256)
    blobs, size = connection.execute(
        select(func.count(), func.coalesce(func.sum(func.length(Blob.data)), 0)).where(~needed.exists())
    ).one()
    return GcReport(
        revisions=connection.execute(select(func.count()).select_from(Revision).where(_NO_REVISION)).scalar_one(),
        objects=connection.execute(select(func.count()).select_from(Object).where(_NO_OBJECT)).scalar_one(),
        payloads=connection.execute(select(func.count()).select_from(Payload).where(_NO_PAYLOAD)).scalar_one(),
        blobs=blobs,
        bytes=int(size),
    )


def _sweep(connection: Connection) -> None:
    """From what refers to what is referred to."""
    connection.execute(delete(Revision).where(_NO_REVISION))
    connection.execute(delete(TagObject).where(~exists().where(OBJECTS.c.id == TagObject.object_id)))
    connection.execute(delete(Edge).where(~exists().where(OBJECTS.c.id == Edge.parent_id)))
    connection.execute(delete(ObjectPayload).where(~exists().where(OBJECTS.c.id == ObjectPayload.object_id)))
    connection.execute(delete(Object).where(_NO_OBJECT))
    connection.execute(delete(Payload).where(_NO_PAYLOAD))
    connection.execute(delete(Blob).where(~exists().where(Payload.sha256 == Blob.sha256)))


@contextmanager
def _deletion_allowed(connection: Connection) -> Iterator[None]:
    """The triggers against deletion give way to this transaction alone."""
    name = connection.dialect.name
    if name == "postgresql":
        connection.exec_driver_sql("SET LOCAL owlshift.gc = 'on'")
        yield
        connection.exec_driver_sql("SET LOCAL owlshift.gc = 'off'")
    elif name in MYSQL:
        connection.exec_driver_sql("SET @owlshift_gc = 1")
        try:
            yield
        finally:
            if not connection.invalidated:
                connection.exec_driver_sql("SET @owlshift_gc = NULL")
    else:
        # in a transaction, like everything: who reads sees them all the time
        found = connection.exec_driver_sql(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE '%\\_no\\_delete' ESCAPE '\\' "
            "AND tbl_name <> 'audit'"
        ).all()
        for trigger, _ in found:
            connection.exec_driver_sql(f"DROP TRIGGER {trigger}")
        yield
        for _, sql in found:
            connection.exec_driver_sql(sql)


def _shrink(database: Database) -> None:
    """Give free pages back to the disk, unless somebody reads or writes just now: then they are kept for use."""
    with suppress(Busy), database.errors(), database.engine.connect() as connection:
        # the driver steps through a script to its end; of a single PRAGMA it takes only the first page
        connection.connection.driver_connection.executescript("PRAGMA incremental_vacuum")  # type: ignore[union-attr]
        timeout = connection.exec_driver_sql("PRAGMA busy_timeout").scalar()
        connection.exec_driver_sql("PRAGMA busy_timeout = 0")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").all()
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {timeout}")
