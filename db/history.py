"""The history of runkeys: log, and who last changed something."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection

from db.blobs import get_blobs
from db.errors import NotFound
from db.heads import RevisionInfo, head, revision_chain
from db.nodes import EDGE, LINEAGE, NAME, POS, VIEW, Below, Node, PayloadInfo, Row
from db.rows import fetch
from db.trees import alike, payload_infos, root_row

_CHILDREN = """
SELECT c.parent_id, c.child_id, c.pos, c.meta, o.lineage, o.type, o.name, o.serial, o.meta, o.digest, c.view
FROM connection c JOIN object o ON o.id = c.child_id WHERE c.parent_id = :parent"""
_OBJECT = "SELECT id, lineage, type, name, serial, meta, digest FROM object WHERE id = :root"


class _Walker:
    """Follows paths, an object's children at a time; what it has seen of one revision serves for the next."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._below = Below(_Children(connection), self._payloads, None)
        self._infos: dict[str, dict[str, PayloadInfo]] = {}

    def _payloads(self, object_id: str) -> dict[str, PayloadInfo]:
        if object_id not in self._infos:
            self._infos[object_id] = payload_infos(self._connection, [object_id]).get(object_id, {})
        return self._infos[object_id]

    def root(self, root_id: str) -> Node:
        rows = fetch(self._connection, _OBJECT, root=root_id)
        if not rows:
            raise NotFound(f"there is no object {root_id}")
        return Node(self._below, root_row(rows[0]), None)

    def step(self, node: Node, view: str, choose: Callable[[Row], bool]) -> Node | None:
        return next((child for child in node.children if child.view == view and choose(child.row)), None)


class _Children(dict[str, Sequence[Row]]):
    """Object id -> its children's places; read when they are asked for."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, key: str, default: Any = None) -> Any:
        if key not in self:
            self[key] = fetch(self._connection, _CHILDREN, parent=key)
        return self[key]


def node_at(connection: Connection, root_id: str, names: Sequence[str], view: str = VIEW) -> Node:
    """The node at a path, reading no more than what is on the way. NotFound names what is alike."""
    walker = _Walker(connection)
    node = walker.root(root_id)
    for name in names:
        child = walker.step(node, view, lambda row, name=name: row[NAME] == name)
        if child is None:
            there = (c.name for c in node.children if c.view == view)
            raise NotFound(f"{node.path} has no {name!r}{alike(name, there)}")
        node = child
    return node


def log(connection: Connection, name: str, where: str) -> list[RevisionInfo]:
    """Newest first, across clones."""
    return revision_chain(connection, head(connection, name, where).revision, where)


def blame(
    connection: Connection,
    name: str,
    where: str,
    path: tuple[str, list[str]],
    role: str,
    key: Callable[[bytes], Any] | None = None,
) -> RevisionInfo:
    """The revision that last changed a payload, or what `key` makes of its content. NotFound."""
    view, names = path
    node = node_at(connection, head(connection, name, where).root, names, view)
    if role not in node.payloads:
        raise NotFound(f"{node.path} of {name} has no payload {role!r}{alike(role, node.payloads)}")
    contents: dict[str, Any] = {}

    def value(at: Node) -> Any:
        info = at.payloads.get(role)
        if info is None:
            return _MISSING
        if key is None:
            return info.type, info.name, info.format, info.sha256, info.meta
        if info.sha256 not in contents:
            found = get_blobs(connection, [bytes.fromhex(info.sha256)])
            contents[info.sha256] = next(key(content) for _, content in found)
        return contents[info.sha256]

    return blame_node(connection, name, where, path, value)


_MISSING = object()


def blame_node(
    connection: Connection, name: str, where: str, path: tuple[str, list[str]], value: Callable[[Node], Any]
) -> RevisionInfo:
    """The revision that last changed what `value` makes of an object. An object is followed through other names."""
    view, names = path
    chain = log(connection, name, where)
    walker = _Walker(connection)
    along: list[tuple[str, str]] = []
    """(name, lineage) of each object on the way, as it was called last."""
    node = walker.root(chain[0].root)
    for part in names:
        child = walker.step(node, view, lambda row, part=part: row[NAME] == part)
        if child is None:
            names_there = (c.name for c in node.children if c.view == view)
            raise NotFound(f"{node.path} of {name} has no {part!r}{alike(part, names_there)}")
        node = child
        along.append((part, node.lineage))
    wanted, seen = value(node), node.id
    edge = node.row[POS : EDGE + 1]
    for newer, older in pairwise(chain):
        there: Node | None = walker.root(older.root)
        for index, (part, lineage) in enumerate(along):
            if there is None:
                break
            child = walker.step(there, view, lambda row, lineage=lineage: row[LINEAGE] == lineage)
            child = child or walker.step(there, view, lambda row, part=part: row[NAME] == part)
            there = child
            if child is not None:
                along[index] = child.name, child.lineage
        if there is None:
            return newer
        if (there.id, there.row[POS : EDGE + 1]) == (seen, edge):
            continue
        if value(there) != wanted:
            return newer
        seen, edge = there.id, there.row[POS : EDGE + 1]
    return chain[-1]
