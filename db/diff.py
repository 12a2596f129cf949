"""What differs between two trees, level by level, and only where digests differ. They may be in two databases."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import Connection

from db.errors import NotFound
from db.nodes import (
    CHILD,
    DIGEST,
    EDGE,
    META,
    NAME,
    PARENT,
    POS,
    SERIAL,
    TYPE,
    VIEW,
    VIEW_,
    PayloadInfo,
    Row,
    parse_meta,
)
from db.rows import fetch, fetch_in, uncollected
from db.trees import payload_infos, root_row

_CHILDREN = """
SELECT c.parent_id, c.child_id, c.pos, c.meta, o.lineage, o.type, o.name, o.serial, o.meta, o.digest, c.view
FROM connection c JOIN object o ON o.id = c.child_id WHERE c.parent_id IN {ids}"""
_OBJECT = "SELECT id, lineage, type, name, serial, meta, digest FROM object WHERE id = :root"

What = Literal["payload", "meta", "edge", "serial", "type"]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs of an object that both trees have."""

    path: str
    what: What
    role: str
    """Of a payload; otherwise empty."""
    before: Any
    """PayloadInfo or None (payload), dict (meta; edge, with its `pos` when that differs), str (serial, type)."""
    after: Any
    view: str = VIEW
    """That the path goes along."""


@dataclass(frozen=True, slots=True)
class Place:
    """An object that only one of the trees has at this path; what is below it is not listed."""

    path: str
    type: str
    id: str
    edge: dict[str, Any]
    view: str = VIEW

    def __str__(self) -> str:
        return self.path


@dataclass
class TreeDiff:
    """What differs from tree a to tree b, by path."""

    added: list[Place] = field(default_factory=list[Place])
    removed: list[Place] = field(default_factory=list[Place])
    changed: list[Change] = field(default_factory=list[Change])

    def __bool__(self) -> bool:
        """Whether anything does."""
        return bool(self.added or self.removed or self.changed)


@dataclass(slots=True)
class _Pair:
    """An object that both have, at one path."""

    path: str
    view: str
    a: Row
    b: Row


@uncollected()
def diff_trees(a: tuple[Connection, str], b: tuple[Connection, str], view: str | None = None) -> TreeDiff:
    """What differs from tree a to tree b, each (connection, id of the root object); in all views, or in one.

    Objects are the same when their paths are. One that has several places is compared once. NotFound.
    """
    result = TreeDiff()
    pairs = [_Pair("", "", _root(*a), _root(*b))]
    seen: set[tuple[str, str]] = set()
    unequal: list[_Pair] = []
    while pairs:
        new: list[_Pair] = []
        for pair in pairs:
            key = pair.a[CHILD], pair.b[CHILD]
            if pair.a[DIGEST] != pair.b[DIGEST] and key not in seen:
                seen.add(key)
                new.append(pair)
        unequal += new
        of_a = _children(a[0], [pair.a[CHILD] for pair in new])
        of_b = _children(b[0], [pair.b[CHILD] for pair in new])
        pairs = []
        for pair in new:
            pairs += _match(pair, of_a[pair.a[CHILD]], of_b[pair.b[CHILD]], view, result)
    _compare(a[0], b[0], unequal, result)
    for found in (result.added, result.removed):
        found.sort(key=lambda place: (place.path, place.view))
    result.changed.sort(key=lambda change: (change.path, change.what, change.role, change.view))
    return result


def _root(connection: Connection, root_id: str) -> Row:
    rows = fetch(connection, _OBJECT, root=root_id)
    if not rows:
        raise NotFound(f"there is no object {root_id}")
    return root_row(rows[0])


def _children(connection: Connection, parents: Iterable[str]) -> defaultdict[str, list[Row]]:
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for row in fetch_in(connection, _CHILDREN, parents):
        found[row[PARENT]].append(row)
    return found


def _match(pair: _Pair, of_a: Sequence[Row], of_b: Sequence[Row], view: str | None, result: TreeDiff) -> list[_Pair]:
    """Children that both have; what only one has goes into the result."""
    known = {(row[VIEW_], row[NAME]): row for row in of_a if view in (None, row[VIEW_])}
    pairs: list[_Pair] = []
    for row in of_b:
        if view not in (None, row[VIEW_]):
            continue
        before = known.pop((row[VIEW_], row[NAME]), None)
        if before is None:
            result.added.append(_place(pair.path, row))
            continue
        if before[DIGEST] == row[DIGEST] and before[EDGE] == row[EDGE] and before[POS] == row[POS]:
            continue
        path = f"{pair.path}/{row[NAME]}"
        if before[EDGE] != row[EDGE] or before[POS] != row[POS]:
            said, says = parse_meta(before[EDGE]), parse_meta(row[EDGE])
            if before[POS] != row[POS]:
                said, says = {**said, "pos": before[POS]}, {**says, "pos": row[POS]}
            result.changed.append(Change(path, "edge", "", said, says, row[VIEW_]))
        if before[DIGEST] != row[DIGEST]:
            pairs.append(_Pair(path, row[VIEW_], before, row))
    result.removed += [_place(pair.path, row) for row in known.values()]
    return pairs


def _place(parent: str, row: Row) -> Place:
    return Place(f"{parent}/{row[NAME]}", row[TYPE], row[CHILD], parse_meta(row[EDGE]), row[VIEW_])


def _compare(a: Connection, b: Connection, pairs: Sequence[_Pair], result: TreeDiff) -> None:
    of_a = payload_infos(a, [pair.a[CHILD] for pair in pairs])
    of_b = payload_infos(b, [pair.b[CHILD] for pair in pairs])
    for pair in pairs:
        path, view = pair.path or "/", pair.view or VIEW
        if pair.a[TYPE] != pair.b[TYPE]:
            result.changed.append(Change(path, "type", "", pair.a[TYPE], pair.b[TYPE], view))
        if pair.a[SERIAL] != pair.b[SERIAL]:
            result.changed.append(Change(path, "serial", "", pair.a[SERIAL], pair.b[SERIAL], view))
        if pair.a[META] != pair.b[META]:
            result.changed.append(Change(path, "meta", "", parse_meta(pair.a[META]), parse_meta(pair.b[META]), view))
        before, after = of_a.get(pair.a[CHILD], {}), of_b.get(pair.b[CHILD], {})
        for role in sorted(before.keys() | after.keys()):
            old, new = before.get(role), after.get(role)
            if _said(old) != _said(new):
                result.changed.append(Change(path, "payload", role, old, new, view))


def _said(info: PayloadInfo | None) -> Any:
    return info and (info.type, info.name, info.format, info.sha256, info.meta)
