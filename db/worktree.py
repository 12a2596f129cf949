"""A tree that is being changed: what it says now, over the objects that are stored. Nothing is written here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from db.checks import name_problem, tree_problems
from db.errors import BadInput, NotFound
from db.ids import new_id
from db.nodes import (
    CHILD,
    DIGEST,
    EDGE,
    LINEAGE,
    META,
    NAME,
    POS,
    SERIAL,
    TYPE,
    VIEW,
    VIEW_,
    NewObject,
    NewPayload,
    Row,
    parse_meta,
)
from db.rows import uncollected
from db.trees import Tree, alike

Place = tuple[str, str, str]
"""(lineage of the parent, view, lineage of the child)"""


@dataclass(slots=True)
class Edge:
    """A child's place below its parent."""

    view: str
    child: str
    """Its lineage."""
    pos: int
    meta: Mapping[str, Any]


class Item:
    """An object as it is to be."""

    __slots__ = ("children", "id", "lineage", "meta", "name", "names", "puts", "serial", "type")

    def __init__(
        self, lineage: str, id_: str | None, type_: str, name: str, serial: str, meta: Mapping[str, Any]
    ) -> None:
        self.lineage = lineage
        self.id = id_
        """Of the stored object; None: there is none yet."""
        self.type = type_
        self.name = name
        self.serial = serial
        self.meta = meta
        self.puts: dict[str, NewPayload | None] = {}
        """What differs from the payloads that are stored: by role; None: dropped."""
        self.children: dict[tuple[str, str], Edge] = {}
        """(view, lineage of the child) -> its edge."""
        self.names: dict[tuple[str, str], str] = {}
        """(view, name) -> lineage of the child."""


class WorkTree:
    """The objects of a tree by lineage, made when they are looked at; which of them were changed."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        """Lineage -> one of its places."""
        self._rows_of: dict[str, list[Row]] = {}
        """Object id -> its children's places."""
        self._lineages: dict[str, str] = {}
        """Object id -> lineage."""
        self._parents: dict[str, list[str]] = {}
        """Lineage -> those of its parents, now or before."""
        self._names: dict[str, dict[str, str]] = {}
        """Lineage -> `view/name` of a child as it is stored -> its lineage."""
        self.items: dict[str, Item] = {}
        self.changed: set[str] = set()
        """Lineages."""
        self.root = ""
        self.grafted: list[str] = []
        """Lineages of the stored trees that were taken in."""

    @classmethod
    def of(cls, tree: Tree) -> WorkTree:
        """Over a stored tree of all views."""
        work = cls()
        work.root = tree.root.lineage
        work._take(tree)
        return work

    @uncollected()
    def _take(self, tree: Tree) -> None:
        self._names.clear()
        lineages, rows, parents = self._lineages, self._rows, self._parents
        rows[tree.root.lineage] = tree.root.row
        lineages[tree.root.id] = tree.root.lineage
        for row in tree.rows:
            rows[row[LINEAGE]] = row
            lineages[row[CHILD]] = row[LINEAGE]
        for parent, children in tree.rows_of.items():
            self._rows_of[parent] = children
            above = lineages[parent]
            for row in children:
                if (known := parents.get(row[LINEAGE])) is None:
                    parents[row[LINEAGE]] = [above]
                elif above not in known:
                    known.append(above)

    # looking

    def has(self, lineage: str) -> bool:
        """Whether it was ever in this tree."""
        return lineage in self.items or lineage in self._rows

    def stored_id(self, lineage: str) -> str | None:
        """The id of the object that is stored, whether or not it is changed."""
        row = self._rows.get(lineage)
        return None if row is None else row[CHILD]

    def stored_digest(self, lineage: str) -> bytes | None:
        """The digest of the object that is stored."""
        row = self._rows.get(lineage)
        return None if row is None else row[DIGEST]

    def name(self, lineage: str) -> str:
        """Now."""
        item = self.items.get(lineage)
        return item.name if item is not None else self._rows[lineage][NAME]

    def item(self, lineage: str) -> Item:
        """The object."""
        item = self.items.get(lineage)
        if item is None:
            row = self._rows[lineage]
            item = Item(lineage, row[CHILD], row[TYPE], row[NAME], row[SERIAL], parse_meta(row[META]))
            for edge in self._rows_of.get(row[CHILD], ()):
                child = edge[LINEAGE]
                item.children[edge[VIEW_], child] = Edge(edge[VIEW_], child, edge[POS], parse_meta(edge[EDGE]))
                item.names[edge[VIEW_], self.name(child)] = child
            self.items[lineage] = item
        return item

    def parents(self, lineage: str) -> set[str]:
        """Lineages of all that have it as a child."""
        known = self._parents.get(lineage, ())
        return {p for p in known if any(child == lineage for _, child in self.item(p).children)}

    def places(self, lineage: str) -> list[Place]:
        """Where it is."""
        return [
            (parent, view, child)
            for parent in sorted(self.parents(lineage))
            for view, child in self.item(parent).children
            if child == lineage
        ]

    def resolve(self, names: Iterable[str], view: str = VIEW) -> tuple[str, str | None]:
        """(lineage of the object at a path, lineage of its parent there). NotFound names what is alike."""
        above, here, path = None, self.root, ""
        for name in names:
            child = self._named(here, view, name)
            if child is None:
                there = (n for v, n in self.item(here).names if v == view)
                where = "" if view == VIEW else f" in view {view}"
                raise NotFound(f"{path or '/'} has no {name!r}{where}{alike(name, there)}")
            above, here, path = here, child, f"{path}/{name}"
        return here, above

    def _named(self, lineage: str, view: str, name: str) -> str | None:
        """The lineage of a child; without making the object with all its edges where nobody has changed it."""
        item = self.items.get(lineage)
        if item is not None:
            return item.names.get((view, name))
        names = self._names.get(lineage)
        if names is None:
            rows = self._rows_of.get(self._rows[lineage][CHILD], ())
            names = self._names[lineage] = {f"{row[VIEW_]}/{row[NAME]}": row[LINEAGE] for row in rows}
        return names.get(f"{view}/{name}")

    def path(self, lineage: str) -> str:
        """One of its paths, for messages."""
        names: list[str] = []
        seen: set[str] = set()
        while lineage != self.root and lineage not in seen:
            seen.add(lineage)
            names.append(self.name(lineage))
            places = self.places(lineage)
            if not places:
                break
            lineage = next((parent for parent, view, _ in places if view == VIEW), places[0][0])
        return "/" + "/".join(reversed(names))

    def below(self, lineage: str) -> Iterator[str]:
        """It, and all below it in any view, each once."""
        seen = {lineage}
        waiting = [lineage]
        while waiting:
            here = waiting.pop()
            yield here
            for _, child in self.item(here).children:
                if child not in seen:
                    seen.add(child)
                    waiting.append(child)

    # changing; every one of them leaves the tree as it was when it raises

    def touch(self, lineage: str) -> Item:
        """The object, to be changed."""
        item = self.item(lineage)
        self.changed.add(lineage)
        return item

    def known(self, id_: str) -> str | None:
        """The lineage of a stored object that is or was in this tree in just this version."""
        lineage = self._lineages.get(id_)
        return lineage if lineage is not None and self._rows[lineage][CHILD] == id_ else None

    def graft(self, tree: Tree) -> str:
        """Take in a stored tree of all views, to be attached; its lineage. BadInput when it clashes with this one."""
        rows = {row[LINEAGE]: row for row in (tree.root.row, *tree.rows)}
        others = [line for line, row in rows.items() if line in self._rows and self._rows[line][CHILD] != row[CHILD]]
        for lineage in others:
            if self.attached(lineage):
                raise BadInput(f"{self.path(lineage)}: is another version of what is to be added")
        for lineage in others:
            self.items.pop(lineage, None)
            self.changed.discard(lineage)
        self._take(tree)
        self.grafted.append(tree.root.lineage)
        return tree.root.lineage

    def make(self, new: NewObject, place: str, ids: dict[int, str], graft: Callable[[str], str]) -> str:
        """A new object and all below it, to be attached; its lineage. BadInput with all that is wrong in it.

        `ids`: id() of new objects -> their lineages, filled in here, so that the same can be made in another tree.
        `graft`: id of a stored child -> its lineage.
        """
        if problems := tree_problems(new, place):
            raise BadInput(problems)
        return self._make(new, place, ids, graft)

    def _make(self, new: NewObject, place: str, ids: dict[int, str], graft: Callable[[str], str]) -> str:
        lineage = ids.setdefault(id(new), new_id())
        if lineage in self.items:
            return lineage
        item = Item(lineage, None, new.type, new.name, new.serial, dict(new.meta))
        item.puts = {payload.role: payload for payload in new.payloads}
        self.items[lineage] = item
        self.changed.add(lineage)
        for child in new.children:
            if isinstance(child.object, str):
                below = graft(child.object)
            else:
                below = self._make(child.object, f"{place.rstrip('/')}/{child.object.name}", ids, graft)
            self.attach(lineage, Edge(child.view, below, child.pos, dict(child.meta)), place)
        return lineage

    def attach(self, parent: str, edge: Edge, place: str) -> None:
        """Give a parent a child. BadInput: a sibling of that name, or a name that can't be."""
        name = self.name(edge.child)
        item = self.item(parent)
        where = f"{place.rstrip('/')}/{name}"
        if (edge.view, name) in item.names:
            raise BadInput(f"{where}: there is one of that name already")
        if problem := name_problem(name):
            raise BadInput(f"{where}: {problem}")
        self.touch(parent)
        item.children[edge.view, edge.child] = edge
        item.names[edge.view, name] = edge.child
        self._parents.setdefault(edge.child, []).append(parent)

    def check_places(self, lineages: Iterable[str]) -> None:
        """BadInput when one of these has itself below it, or has several places in one view."""
        for lineage in lineages:
            above = {parent for parent in self.parents(lineage) if self.attached(parent)}
            if above & set(self.below(lineage)):
                raise BadInput(f"{self.name(lineage)}: has itself below it: a cycle")
            views = [view for parent, view, _ in self.places(lineage) if parent in above]
            if double := {view for view in views if views.count(view) > 1}:
                raise BadInput(f"{self.path(lineage)}: is also at another place of view {min(double)}")

    def attached(self, lineage: str) -> bool:
        """Whether it is in the tree now."""
        seen = {lineage}
        waiting = [lineage]
        while waiting:
            here = waiting.pop()
            if here == self.root:
                return True
            for parent in self.parents(here) - seen:
                seen.add(parent)
                waiting.append(parent)
        return False

    def detach(self, parent: str, view: str, child: str) -> None:
        """Take a child from a place."""
        item = self.touch(parent)
        del item.children[view, child]
        del item.names[view, self.name(child)]

    def rename(self, lineage: str, name: str) -> None:
        """BadInput: a name that a sibling has, or that can't be."""
        path = self.path(lineage)
        if lineage == self.root:
            raise BadInput("/: the root has no name of its own; rename the runkey")
        if problem := name_problem(name):
            raise BadInput(f"{path}: {problem}")
        places = self.places(lineage)
        for parent, view, _ in places:
            if self.item(parent).names.get((view, name), lineage) != lineage:
                raise BadInput(f"{path}: a sibling is called {name!r} already")
        item = self.touch(lineage)
        for parent, view, _ in places:
            names = self.touch(parent).names
            del names[view, item.name]
            names[view, name] = lineage
        item.name = name
