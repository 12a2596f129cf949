"""Trees as they are stored: one recursive query for all places, one for all payload infos, content as a stream."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from fnmatch import fnmatchcase
from typing import Any

from sqlalchemy import Connection

from db.blobs import stream_blobs
from db.errors import NotFound
from db.nodes import CHILD, VIEW, Below, Node, PayloadInfo, Row, parse_meta, split_path
from db.rows import batches, fetch, fetch_in, uncollected


def reach(view: str | None) -> str:
    """SQL: `reach`, the ids of an object (`:root`) and of all below it, in a view (`:view`) or (None) in all."""
    if view is None:
        return """
WITH RECURSIVE reach(id) AS (
  SELECT id FROM object WHERE id = :root
  UNION
  SELECT c.child_id FROM reach JOIN connection c ON c.parent_id = reach.id
)"""
    # in one view an object has one place, so that nothing comes twice
    return """
WITH RECURSIVE reach(id) AS (
  SELECT id FROM object WHERE id = :root
  UNION ALL
  SELECT c.child_id FROM reach JOIN connection c ON c.parent_id = reach.id AND c.view = :view
)"""


def _places(view: str | None) -> str:
    # only what has children goes through the recursion: of 34,000 objects 1,200, which saves a third of the time
    along = "" if view is None else " AND {0}.view = :view"
    said = "o.lineage, o.type, o.name, o.serial, o.meta, o.digest" + (", c.view" if view is None else "")
    return f"""
WITH RECURSIVE parent(id) AS (
  SELECT id FROM object WHERE id = :root
  {"UNION" if view is None else "UNION ALL"}
  SELECT c.child_id FROM parent JOIN connection c ON c.parent_id = parent.id{along.format("c")}
  WHERE EXISTS (SELECT 1 FROM connection d WHERE d.parent_id = c.child_id{along.format("d")})
)
SELECT c.parent_id, c.child_id, c.pos, c.meta, {said}
FROM parent JOIN connection c ON c.parent_id = parent.id{along.format("c")} JOIN object o ON o.id = c.child_id"""


_PAYLOAD = "op.object_id, p.id, op.role, p.type, p.name, p.format, p.sha256, p.size, p.meta"
_SOME_PAYLOADS = f"""
SELECT {_PAYLOAD}
FROM object_payload op JOIN payload p ON p.id = op.payload_id WHERE op.object_id IN {{ids}}"""
_FEW = 3
"""Nodes whose payloads are asked for one by one; after that all of the tree are fetched."""
_TOGETHER = 64 << 20
"""Bytes of payloads that `load` holds at a time."""
_NODES = 2000
"""Of which `load` looks up the payloads at a time."""

Source = Callable[[], AbstractContextManager[Connection]]


def payload_infos(connection: Connection, object_ids: Iterable[str]) -> dict[str, dict[str, PayloadInfo]]:
    """Object id -> role -> payload; objects without any are absent."""
    with uncollected():
        found = _by_object(fetch_in(connection, _SOME_PAYLOADS, object_ids))
        return {key: _infos(rows) for key, rows in found.items()}


def _by_object(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        try:
            found[row[0]].append(row)
        except KeyError:
            found[row[0]] = [row]
    return found


def _infos(rows: Iterable[Row]) -> dict[str, PayloadInfo]:
    return {
        role: PayloadInfo(id_, role, type_, name, format_, sha256.hex(), size, parse_meta(meta))
        for _, id_, role, type_, name, format_, sha256, size, meta in sorted(rows, key=_role)
    }


def _role(row: Row) -> str:
    return row[2]


class Tree:
    """A runkey's tree in one view, or (view None) in all of them."""

    def __init__(self, root: Row, rows: Sequence[Row], view: str | None, source: Source) -> None:
        self.view = view
        self.rows = rows
        """All places except the root, as read."""
        self._source = source
        self.rows_of: dict[str, list[Row]] = _by_object(rows)
        """Object id -> the places of its children."""
        self._infos: dict[str, dict[str, PayloadInfo]] = {}
        self._payload_rows: dict[str, list[Row]] = {}
        self._complete = False
        self._asked = 0
        self.root = Node(Below(self.rows_of, self.payloads_of, view), root, None)

    def __len__(self) -> int:
        """Of one view: its places, with the root. Of all views: its objects."""
        return len(self.rows) + 1 if self.view is not None else len({row[CHILD] for row in self.rows}) + 1

    def node(self, path: str) -> Node:
        """NotFound names what is alike."""
        node = self.root
        for name in split_path(path):
            child = node.child(name)
            if child is None:
                raise NotFound(f"{node.path} has no {name!r}{alike(name, (c.name for c in node.children))}")
            node = child
        return node

    def walk(self) -> Iterator[Node]:
        """All nodes, parents before their children."""
        return self.root.walk()

    def find(self, type: str | None = None, name: str = "*") -> list[Node]:
        """Nodes of that type whose name fits a pattern like `FE*`."""
        return [node for node in self.walk() if type in (None, node.type) and fnmatchcase(node.name, name)]

    def load_payloads(self, connection: Connection | None = None) -> None:
        """All payload infos, in one query."""
        with self._source() if connection is None else nullcontext(connection) as source:
            sql = f"""{reach(self.view)}
SELECT {_PAYLOAD}
FROM reach JOIN object_payload op ON op.object_id = reach.id JOIN payload p ON p.id = op.payload_id"""
            with uncollected():
                self._payload_rows = _by_object(fetch(source, sql, root=self.root.id, **_values(self.view)))
        self._complete = True

    def payloads_of(self, object_id: str) -> dict[str, PayloadInfo]:
        """Those of an object of this tree, by role."""
        found = self._infos.get(object_id)
        if found is None:
            self._asked += 1
            if self._asked > _FEW and not self._complete:
                self.load_payloads()
            if self._complete:
                found = _infos(self._payload_rows.get(object_id, ()))
            else:
                with self._source() as connection:
                    found = payload_infos(connection, [object_id]).get(object_id, {})
            self._infos[object_id] = found
        return found


def _values(view: str | None) -> dict[str, str]:
    return {} if view is None else {"view": view}


def root_row(said: Sequence[Any]) -> Row:
    """The place of a root, of its (id, lineage, type, name, serial, meta, digest)."""
    return (None, said[0], 0, "{}", *said[1:], "")


def alike(name: str, names: Iterable[str]) -> str:
    """The end of a message about a name that there is not: which ones are like it."""
    close = difflib.get_close_matches(name, list(names), n=3, cutoff=0.5)
    return f": is it {' or '.join(repr(n) for n in close)}?" if close else ""


def read_tree(
    connection: Connection,
    root_id: str,
    view: str | None = VIEW,
    *,
    payloads: bool = False,
    source: Source | None = None,
) -> Tree:
    """The tree below an object, by one query; in one view, or (None) in all.

    Payload infos are fetched at their first use, from `source`, or from the connection, which is then to stay open.
    NotFound: no such object.
    """
    rows = fetch(
        connection, "SELECT id, lineage, type, name, serial, meta, digest FROM object WHERE id = :root", root=root_id
    )
    if not rows:
        raise NotFound(f"there is no object {root_id}")
    root = root_row(rows[0])
    with uncollected():
        places = fetch(connection, _places(view), root=root_id, **_values(view))
        tree = Tree(root, places, view, source or (lambda: nullcontext(connection)))
    if payloads:
        tree.load_payloads(connection)
    return tree


def load(
    connection: Connection, what: Tree | Iterable[Node], roles: Iterable[str] | None = None
) -> Iterator[tuple[Node, PayloadInfo, bytes]]:
    """Nodes with the content of their payloads, some 64 MB of it at a time; of these roles only, or of all.

    Damaged: content that does not fit its hash.
    """
    nodes = what.walk() if isinstance(what, Tree) else what
    wanted = None if roles is None else set(roles)
    users: dict[bytes, list[tuple[Node, PayloadInfo]]] = {}

    def portions() -> Iterator[list[bytes]]:
        for chosen in _portions(connection, nodes, wanted):
            hashes = [bytes.fromhex(info.sha256) for _, info in chosen]
            for sha256, use in zip(hashes, chosen, strict=True):
                users.setdefault(sha256, []).append(use)
            yield hashes

    for sha256, content in stream_blobs(connection, portions()):
        # what two portions have is given away with the first of them, when the second has been taken already
        for node, info in users.pop(sha256, ()):
            yield node, info, content


def _portions(
    connection: Connection, nodes: Iterable[Node], roles: set[str] | None
) -> Iterator[list[tuple[Node, PayloadInfo]]]:
    chosen: list[tuple[Node, PayloadInfo]] = []
    size = 0
    for some in batches(nodes, _NODES):
        unknown = [node for node in some if not node.payloads_known]
        infos = payload_infos(connection, [node.id for node in unknown])
        for node in unknown:
            node.know(infos.get(node.id, {}))
        for node in some:
            for role, info in node.payloads.items():
                if roles is None or role in roles:
                    chosen.append((node, info))
                    size += info.size
            if size >= _TOGETHER:
                yield chosen
                chosen, size = [], 0
    if chosen:
        yield chosen
