"""A changed tree into the database: new objects from what was changed up to the root, everything else shared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from db.blobs import put_blobs
from db.digests import canonical, object_digest
from db.heads import now
from db.ids import new_id
from db.nodes import NewPayload, PayloadInfo
from db.rows import insert, moment, uncollected
from db.trees import payload_infos
from db.who import Who
from db.worktree import Item, WorkTree

_PAYLOAD = ("id", "type", "name", "format", "sha256", "size", "meta", "created", "author")
_OBJECT = ("id", "lineage", "type", "name", "serial", "meta", "digest", "created", "author")


@uncollected()
def write_tree(connection: Connection, work: WorkTree, who: Who) -> tuple[str, bytes]:
    """Store what was changed; (id, digest) of the root: those that it has when nothing differs."""
    order = _order(work)
    ids = {lineage: id_ for lineage in order if (id_ := work.stored_id(lineage)) is not None}
    stored = payload_infos(connection, ids.values())
    payloads = _Payloads(connection, [work.item(lineage) for lineage in order], who)
    digests: dict[str, bytes] = {}
    heights: dict[str, int] = {}
    objects: defaultdict[int, list[tuple[Any, ...]]] = defaultdict(list)
    connections: defaultdict[int, list[tuple[Any, ...]]] = defaultdict(list)
    links: defaultdict[int, list[tuple[Any, ...]]] = defaultdict(list)
    time = moment(connection, now())
    for lineage in order:
        item = work.item(lineage)
        infos = payloads.of(item, stored.get(ids.get(lineage, ""), {}))
        edges = [
            (
                edge,
                ids.get(edge.child) or _known(work, edge.child),
                digests.get(edge.child) or _digest(work, edge.child),
            )
            for edge in item.children.values()
        ]
        digest = object_digest(
            item.type,
            item.name,
            item.serial,
            item.meta,
            [(i.role, i.type, i.name, i.format, i.sha256, i.meta) for i in infos],
            [(edge.view, edge.pos, edge.meta, work.name(edge.child), below) for edge, _, below in edges],
        )
        digests[lineage] = digest
        if digest == work.stored_digest(lineage):
            continue
        id_ = ids[lineage] = new_id() if lineage in ids else lineage
        height = heights[lineage] = 1 + max((heights.get(edge.child, 0) for edge, _, _ in edges), default=0)
        meta = canonical(item.meta)
        objects[height].append((id_, lineage, item.type, item.name, item.serial, meta, digest, time, who.user))
        connections[height] += [(id_, edge.view, child, edge.pos, canonical(edge.meta)) for edge, child, _ in edges]
        links[height] += [(id_, info.role, info.id) for info in infos]
    payloads.write()
    for height in sorted(objects):
        insert(connection, "connection", ("parent_id", "view", "child_id", "pos", "meta"), connections[height])
        insert(connection, "object_payload", ("object_id", "role", "payload_id"), links[height])
        insert(connection, "object", _OBJECT, objects[height])
    return ids[work.root], digests[work.root]


def _known(work: WorkTree, lineage: str) -> str:
    id_ = work.stored_id(lineage)
    if id_ is None:
        raise ValueError(f"{lineage} was neither stored nor made")
    return id_


def _digest(work: WorkTree, lineage: str) -> bytes:
    digest = work.stored_digest(lineage)
    if digest is None:
        raise ValueError(f"{lineage} was neither stored nor made")
    return digest


def _order(work: WorkTree) -> list[str]:
    """What was changed and what is above it, children before their parents, as far as it is in the tree; the root."""
    dirty = {work.root}
    waiting = list(work.changed)
    while waiting:
        lineage = waiting.pop()
        if lineage not in dirty:
            dirty.add(lineage)
            waiting += work.parents(lineage)
    found: list[str] = []
    seen: set[str] = set()
    stack = [(work.root, False)]
    while stack:
        lineage, below_done = stack.pop()
        if below_done:
            found.append(lineage)
        elif lineage not in seen:
            seen.add(lineage)
            stack.append((lineage, True))
            stack += [(child, False) for _, child in work.item(lineage).children if child in dirty]
    return found


class _Payloads:
    """Payloads that are to be stored; equal ones once."""

    def __init__(self, connection: Connection, items: list[Item], who: Who) -> None:
        self._connection = connection
        self._who = who
        self._new: dict[tuple[Any, ...], str] = {}
        contents = {id(p.content): p.content for item in items for p in item.puts.values() if p is not None}
        self._hashes = dict(zip(contents, put_blobs(connection, contents.values()), strict=True))

    def of(self, item: Item, stored: Mapping[str, PayloadInfo]) -> list[PayloadInfo]:
        """Of an object as it is to be."""
        if not item.puts:
            return list(stored.values())
        infos = {role: info for role, info in stored.items() if role not in item.puts}
        for role, new in item.puts.items():
            if new is not None:
                infos[role] = self._info(new, stored.get(role))
        return [infos[role] for role in sorted(infos)]

    def _info(self, new: NewPayload, old: PayloadInfo | None) -> PayloadInfo:
        sha256 = self._hashes[id(new.content)]
        meta = canonical(new.meta)
        said = (new.type, new.name, new.format, sha256.hex(), meta)
        if old is not None and said == (old.type, old.name, old.format, old.sha256, canonical(old.meta)):
            return old
        key = (new.type, new.name, new.format, sha256, len(new.content), meta)
        id_ = self._new[key] = self._new.get(key) or new_id()
        size = len(new.content)
        return PayloadInfo(id_, new.role, new.type, new.name, new.format, sha256.hex(), size, dict(new.meta))

    def write(self) -> None:
        """Insert the new ones."""
        time = moment(self._connection, now())
        insert(
            self._connection,
            "payload",
            _PAYLOAD,
            [(id_, *key, time, self._who.user) for key, id_ in self._new.items()],
        )
