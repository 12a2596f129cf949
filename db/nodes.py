"""What trees are made of: nodes and payload infos that are read, new objects and payloads that are to be stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

VIEW = "daq"
"""The view that paths go along unless another one is named."""


@dataclass(frozen=True, slots=True)
class PayloadInfo:
    """A stored payload without its content."""

    id: str
    role: str
    type: str
    name: str
    format: str
    sha256: str
    """Hexadecimal, of the content."""
    size: int
    """Bytes."""
    meta: dict[str, Any]


@dataclass(frozen=True, slots=True)
class NewPayload:
    """Content to be stored in a role of an object. `format`: json, pixels, text or raw."""

    role: str
    content: bytes
    type: str = "config"
    format: str = "json"
    name: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(slots=True)
class NewChild:
    """Where a child goes: a new object, or the id of one that is stored."""

    object: NewObject | str
    view: str = VIEW
    pos: int = 0
    meta: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(slots=True, eq=False)
class NewObject:
    """An object to be stored, with all below it. One that is a child in two views is one thing with two places."""

    type: str
    name: str
    serial: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict[str, Any])
    payloads: list[NewPayload] = field(default_factory=list[NewPayload])
    children: list[NewChild] = field(default_factory=list[NewChild])


Row = Sequence[Any]
"""A place in a tree as it is read: these columns. In trees of one view the last is not there."""
PARENT, CHILD, POS, EDGE, LINEAGE, TYPE, NAME, SERIAL, META, DIGEST, VIEW_ = range(11)


class Below:
    """What nodes ask their tree for."""

    __slots__ = ("payloads_of", "rows_of", "view")

    def __init__(
        self,
        rows_of: Mapping[str, Sequence[Row]],
        payloads_of: Callable[[str], dict[str, PayloadInfo]],
        view: str | None,
    ) -> None:
        self.rows_of = rows_of
        self.payloads_of = payloads_of
        self.view = view
        """That of all places; None: rows say it."""


def parse_meta(text: str) -> dict[str, Any]:
    """The JSON object of a `meta` column."""
    return {} if text == "{}" else orjson.loads(text)


class Node:
    """An object at one place of a tree. Made, like its children and payload infos, when somebody looks at it."""

    __slots__ = ("_below", "_children", "_payloads", "_row", "parent")

    def __init__(self, below: Below, row: Row, parent: Node | None) -> None:
        self._below = below
        self._row = row
        self.parent = parent
        """None: the root."""
        self._children: list[Node] | None = None
        self._payloads: dict[str, PayloadInfo] | None = None

    def __repr__(self) -> str:
        return f"<{self.type} {self.path}>"

    @property
    def id(self) -> str:
        """Of the object: another one after every change."""
        return self._row[CHILD]

    @property
    def lineage(self) -> str:
        """What stays the same of a thing that changes."""
        return self._row[LINEAGE]

    @property
    def type(self) -> str:
        """Such as felix, optoboard, frontend."""
        return self._row[TYPE]

    @property
    def name(self) -> str:
        """Unique among its siblings; empty for the root."""
        return self._row[NAME]

    @property
    def serial(self) -> str:
        """The maker's serial number, or empty."""
        return self._row[SERIAL]

    @property
    def meta(self) -> dict[str, Any]:
        """What the object says of itself."""
        return parse_meta(self._row[META])

    @property
    def digest(self) -> str:
        """Hexadecimal, of all that this object and those below it say."""
        return self._row[DIGEST].hex()

    @property
    def view(self) -> str:
        """Of the connection to the parent; empty for the root."""
        if self.parent is None:
            return ""
        return self._row[VIEW_] if self._below.view is None else self._below.view

    @property
    def pos(self) -> int:
        """Of the connection to the parent."""
        return self._row[POS]

    @property
    def edge(self) -> dict[str, Any]:
        """What belongs to the place rather than to the thing (rx, tx, enable, locked)."""
        return parse_meta(self._row[EDGE])

    @property
    def children(self) -> list[Node]:
        """In the order of `pos`, then of name."""
        if self._children is None:
            rows = sorted(self._below.rows_of.get(self._row[CHILD], ()), key=_order)
            self._children = [Node(self._below, row, self) for row in rows]
        return self._children

    def child(self, name: str, view: str | None = None) -> Node | None:
        """The child of that name; in the daq view if there is one."""
        found = [node for node in self.children if node.name == name and view in (None, node.view)]
        return next((node for node in found if node.view == VIEW), found[0] if found else None)

    @property
    def path(self) -> str:
        """`/FELIX1/OB1/FE3`; `/` for the root."""
        if self.parent is None:
            return "/"
        names = []
        node = self
        while node.parent is not None:
            names.append(node.name)
            node = node.parent
        return "/" + "/".join(reversed(names))

    @property
    def payloads(self) -> dict[str, PayloadInfo]:
        """By role, in the order of the roles."""
        if self._payloads is None:
            self._payloads = self._below.payloads_of(self.id)
        return self._payloads

    def know(self, payloads: dict[str, PayloadInfo]) -> None:
        """Its payload infos, read by somebody who needed those of many nodes."""
        self._payloads = payloads

    @property
    def payloads_known(self) -> bool:
        """Whether they need not be fetched any more."""
        return self._payloads is not None

    @property
    def row(self) -> Row:
        """As it was read."""
        return self._row

    def walk(self) -> Iterator[Node]:
        """This node and all below it, parents first."""
        waiting: list[Node] = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(reversed(node.children))


def _order(row: Row) -> tuple[Any, ...]:
    return row[POS], row[NAME], row[VIEW_:] != (VIEW,), row[VIEW_:]


def split_path(path: str) -> list[str]:
    """The names of a path; a leading `/` may lack, a trailing one does not count."""
    return [name for name in path.split("/") if name]
