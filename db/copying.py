"""Objects from one database into another: only what it lacks, under the ids that they have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select

from db.blobs import copy_blobs
from db.errors import NotFound
from db.models import Object, Payload
from db.rows import batches, fetch_in, moment, uncollected
from db.rows import insert as insert_rows

Progress = Callable[[int, int], None]
"""Called with how many blobs are there now, and how many there are to be."""


@dataclass
class Missing:
    """What a database lacks of a tree."""

    levels: list[list[str]] = field(default_factory=list[list[str]])
    """Object ids, the root's first; what is below an object that is there is there, too."""
    connections: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict[str, list[tuple[Any, ...]]])
    """Object id -> rows of its children's places."""
    payloads: list[str] = field(default_factory=list[str])
    """Ids."""
    links: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict[str, list[tuple[Any, ...]]])
    """Object id -> rows of its payloads' roles."""
    blobs: list[bytes] = field(default_factory=list[bytes])
    """Hashes of the content of those payloads, there or not."""


@uncollected()
def find_missing(source: Connection, target: Connection, root: str) -> Missing:
    """What `target` lacks of the tree below `root`, which `source` has."""
    found = Missing()
    seen: set[str] = set()
    level = _absent(target, "object", [root])
    while level:
        seen.update(level)
        found.levels.append(level)
        below: dict[str, None] = {}
        found.connections.update((id_, []) for id_ in level)
        for row in fetch_in(
            source, "SELECT parent_id, view, child_id, pos, meta FROM connection WHERE parent_id IN {ids}", level
        ):
            found.connections[row[0]].append(tuple(row))
            below[row[2]] = None
        level = _absent(target, "object", below)
        # an object with places at several depths is inserted before the highest of its parents
        for again in seen.intersection(level):
            found.levels = [[id_ for id_ in ids if id_ != again] for ids in found.levels]
    objects = [id_ for ids in found.levels for id_ in ids]
    payloads: dict[str, None] = {}
    for row in fetch_in(
        source, "SELECT object_id, role, payload_id FROM object_payload WHERE object_id IN {ids}", objects
    ):
        found.links.setdefault(row[0], []).append(tuple(row))
        payloads[row[2]] = None
    found.payloads = _absent(target, "payload", payloads)
    hashes = fetch_in(source, "SELECT sha256 FROM payload WHERE id IN {ids}", found.payloads)
    found.blobs = list(dict.fromkeys(bytes(row[0]) for row in hashes))
    return found


def _absent(target: Connection, table: str, ids: Iterable[str]) -> list[str]:
    wanted = list(ids)
    there = {row[0] for row in fetch_in(target, f"SELECT id FROM {table} WHERE id IN {{ids}}", wanted)}
    return [id_ for id_ in wanted if id_ not in there]


def copy_missing(source: Connection, target: Connection, missing: Missing) -> None:
    """Copy objects, payloads and what blobs are still lacking, in one transaction of `target`."""
    copy_blobs(source, target, missing.blobs)
    _copy(source, target, Payload, missing.payloads)
    for level in reversed(missing.levels):
        rows = [row for id_ in level for row in missing.connections.get(id_, ())]
        insert_rows(target, "connection", ("parent_id", "view", "child_id", "pos", "meta"), rows)
        links = [row for id_ in level for row in missing.links.get(id_, ())]
        insert_rows(target, "object_payload", ("object_id", "role", "payload_id"), links)
        _copy(source, target, Object, level)


def _copy(source: Connection, target: Connection, table: Any, ids: Sequence[str]) -> None:
    """Rows by id, as they are; times are told differently by different databases."""
    names = [column.key for column in table.__table__.columns]
    created = names.index("created")
    for some in batches(ids, 2000):
        found = source.execute(select(table.__table__).where(table.id.in_(some))).all()
        if len(found) != len(set(some)):
            raise NotFound(f"{len(set(some)) - len(found)} {table.__tablename__}s are gone")
        rows = [(*row[:created], moment(target, row[created]), *row[created + 1 :]) for row in found]
        insert_rows(target, table.__tablename__, names, rows)


def copy_in_parts(
    source: Connection, write: Callable[[], Any], hashes: Sequence[bytes], progress: Progress | None
) -> None:
    """Copy blobs a few hundred at a time, each in a transaction of its own, so that no other writer waits for long.

    They mean nothing until objects refer to them: should it end half way, gc takes them, or the next try uses them.
    """
    for start in range(0, len(hashes), _PART):
        some = hashes[start : start + _PART]
        with write() as target:
            copy_blobs(source, target, some)
        if progress:
            progress(min(start + _PART, len(hashes)), len(hashes))


_PART = 500
