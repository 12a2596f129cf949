"""Runkeys with their history, tags and other names, from one database into another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, insert, select

from db.copying import copy_missing, find_missing
from db.heads import RevisionInfo, mark_root, next_number, revision_chain
from db.ids import new_id
from db.models import Alias, ExternalRef, Revision, Tag, TagObject, TagPayload, Validity
from db.rows import fetch, fetch_in
from db.trees import reach
from db.who import Who


def lacking(source: Connection, target: Connection, revision: str) -> list[RevisionInfo]:
    """Those revisions, of one and all that it descends from, that `target` lacks; oldest first."""
    chain = revision_chain(source, revision)
    there = {row[0] for row in fetch_in(target, "SELECT id FROM revision WHERE id IN {ids}", [r.id for r in chain])}
    return [info for info in reversed(chain) if info.id not in there]


def blobs_of(source: Connection, target: Connection, revisions: Sequence[RevisionInfo]) -> list[bytes]:
    """Hashes of the content that `target` may lack of these revisions."""
    found: dict[bytes, None] = {}
    for root in dict.fromkeys(info.root for info in revisions):
        found.update(dict.fromkeys(find_missing(source, target, root).blobs))
    return list(found)


def transfer(source: Connection, target: Connection, revision: str, who: Who) -> None:
    """Copy a revision, all that it descends from, and what is known of its objects. No head moves."""
    for info in lacking(source, target, revision):
        copy_missing(source, target, find_missing(source, target, info.root))
        _copy_revision(source, target, info, who)
    root = source.execute(select(Revision.root_id).where(Revision.id == revision)).scalar_one()
    _copy_tags(source, target, root)
    _copy_names(source, target, root)


def _copy_revision(source: Connection, target: Connection, info: RevisionInfo, who: Who) -> None:
    row = dict(source.execute(select(Revision.__table__).where(Revision.id == info.id)).mappings().one())
    taken = select(Revision.id).where(Revision.runkey == info.runkey, Revision.number == info.number)
    if target.execute(taken).first() is not None:
        # an earlier runkey of that name: numbers count within a database, ids are what is referred to
        row["number"] = next_number(target, info.runkey)
    target.execute(insert(Revision), [row])
    mark_root(target, info.runkey, info.root, who)


_TAGGED = """
SELECT t.id, x.object_id FROM reach JOIN tag_object x ON x.object_id = reach.id
JOIN tag t ON t.id = x.tag_id WHERE t.type <> 'RUNKEY'"""
_TAGGED_PAYLOADS = """
SELECT t.id, x.payload_id FROM reach JOIN object_payload op ON op.object_id = reach.id
JOIN tag_payload x ON x.payload_id = op.payload_id JOIN tag t ON t.id = x.tag_id"""
_VALID = """
SELECT v.id FROM reach JOIN validity v ON v.object_id = reach.id
UNION SELECT v.id FROM reach JOIN object_payload op ON op.object_id = reach.id
JOIN validity v ON v.payload_id = op.payload_id"""


def _copy_tags(source: Connection, target: Connection, root: str) -> None:
    """Labels, references and validities of the objects and payloads; tags of one type and name are one tag."""
    ids: dict[str, str] = {}

    def tag(id_: str) -> str:
        if id_ not in ids:
            row = dict(source.execute(select(Tag.__table__).where(Tag.id == id_)).mappings().one())
            same = select(Tag.id).where(Tag.type == row["type"], Tag.name == row["name"])
            known = target.execute(same).scalar()
            if known is None:
                if target.execute(select(Tag.id).where(Tag.id == id_)).first() is not None:
                    row["id"] = new_id()
                target.execute(insert(Tag), [row])
            ids[id_] = known or row["id"]
        return ids[id_]

    if source.execute(select(Tag.id).where(Tag.type != "RUNKEY").limit(1)).first() is None:
        return  # the usual case, and the queries below look at every object
    for sql, table, column in (
        (_TAGGED, TagObject, TagObject.object_id),
        (_TAGGED_PAYLOADS, TagPayload, TagPayload.payload_id),
    ):
        for id_, what in fetch(source, reach(None) + sql, root=root):
            there = select(column).where(table.tag_id == tag(id_), column == what)
            if target.execute(there).first() is None:
                target.execute(insert(table).values({"tag_id": tag(id_), column.key: what}))
    for (id_,) in fetch(source, reach(None) + _VALID, root=root):
        if target.execute(select(Validity.id).where(Validity.id == id_)).first() is None:
            row = dict(source.execute(select(Validity.__table__).where(Validity.id == id_)).mappings().one())
            target.execute(insert(Validity), [{**row, "tag_id": tag(row["tag_id"])}])


def _copy_names(source: Connection, target: Connection, root: str) -> None:
    """Aliases and keys in other databases; an alias that another thing has there stays that thing's."""
    tables: list[tuple[Any, tuple[Any, ...]]] = [
        (Alias, (Alias.convention, Alias.alias)),
        (ExternalRef, (ExternalRef.lineage, ExternalRef.system, ExternalRef.key)),
    ]
    for table, key in tables:
        if source.execute(select(key[0]).limit(1)).first() is None:
            continue
        name = table.__tablename__
        columns = [column.key for column in table.__table__.columns]
        said = ", ".join(f"x.{target.dialect.identifier_preparer.quote(column)}" for column in columns)
        sql = (
            f"{reach(None)} SELECT DISTINCT {said} FROM reach JOIN object o ON o.id = reach.id "
            f"JOIN {name} x ON x.lineage = o.lineage"
        )
        for values in fetch(source, sql, root=root):
            row = dict(zip(columns, values, strict=True))
            same = select(key[0])
            for column in key:
                same = same.where(column == row[column.key])
            if target.execute(same).first() is None:
                target.execute(insert(table), [row])
