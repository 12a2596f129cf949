"""What is exported, as it comes out of the database: objects once, with their content, a few at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from db.edit import parse_path
from db.errors import BadInput, NotFound
from db.exchange.files import MAX_DEPTH, MAX_FILE, MAX_OBJECTS
from db.nodes import VIEW, Node, PayloadInfo
from db.runkeys import Runkeys
from db.trees import Tree, alike, load, read_tree

if TYPE_CHECKING:
    from collections.abc import Callable

    from db.store import Store

_TOGETHER = 64
"""Objects whose content is in memory at one time."""

Contents = dict[str, tuple[PayloadInfo, bytes]]
"""By role."""


@dataclass
class Report:
    """What an import or export did: number of objects and payloads, bytes of their content, remarks for people."""

    objects: int = 0
    payloads: int = 0
    size: int = 0
    notes: list[str] = field(default_factory=list)


class Outgoing:
    """A tree or a part of one in all views, in one snapshot of the database."""

    def __init__(self, connection: Connection, runkey: str, top: Node) -> None:
        self.connection = connection
        self.runkey = runkey
        self.top = top
        self.nodes: list[Node] = []
        """Each object once, in the first of its places; parents first."""
        self.first: dict[str, Node] = {}
        """Object id -> the node in `nodes`."""
        waiting = [top]
        while waiting:
            node = waiting.pop()
            if node.id not in self.first:
                self.first[node.id] = node
                self.nodes.append(node)
                waiting.extend(reversed(node.children))

    def contents(self, progress: Callable[[int, int], None] | None, report: Report) -> Iterator[tuple[Node, Contents]]:
        """Each object with the content of its payloads."""
        nodes = iter(self.nodes)
        while some := list(islice(nodes, _TOGETHER)):
            found: dict[str, Contents] = {node.id: {} for node in some}
            for node, info, content in load(self.connection, some):
                found[node.id][info.role] = info, content
                report.payloads += 1
                report.size += len(content)
            for node in some:
                yield node, found.pop(node.id)
                report.objects += 1
            if progress:
                progress(report.objects, len(self.nodes))


@contextlib.contextmanager
def outgoing(store: Store | Runkeys, runkey: str, path: str) -> Iterator[Outgoing]:
    """What is at and below `path` of a runkey (a name, a digest or a root's id). NotFound."""
    runkeys = runkeys_of(store, runkey)
    root = runkeys.root(runkey)
    with runkeys.database.read() as connection:
        tree = read_tree(connection, root, None, payloads=True)
        yield Outgoing(connection, runkey, node_at(tree, path))


def node_at(tree: Tree, path: str) -> Node:
    """What is at a path (`/FELIX1/OB1`, `power:/PSU1`) of a tree of all views. NotFound."""
    view, names = parse_path(path)
    if view == VIEW:
        return tree.node(path)
    node = tree.root
    for name in names:
        child = node.child(name, view)
        if child is None:
            there = (c.name for c in node.children if c.view == view)
            raise NotFound(f"{node.path} has no {name!r} in view {view}{alike(name, there)}")
        node = child
    return node


def address(node: Node) -> str:
    """The path that an edit knows a node by. BadInput when several views lead to it."""
    views = set()
    here = node
    while here.parent is not None:
        views.add(here.view)
        here = here.parent
    if len(views) > 1:
        raise BadInput(f"{node.path}: no path of one view leads there ({', '.join(sorted(views))})")
    view = views.pop() if views else VIEW
    return node.path if view == VIEW else f"{view}:{node.path}"


def runkeys_of(store: Store | Runkeys, runkey: str) -> Runkeys:
    """The database of the two that has a runkey. NotFound."""
    return store if isinstance(store, Runkeys) else store.find(runkey)


def too_large(top: Outgoing) -> list[str]:
    """Why an export could not be read again: the limits of imports."""
    problems = []
    if len(top.nodes) > MAX_OBJECTS:
        problems.append(f"{len(top.nodes):,} objects; an import takes at most {MAX_OBJECTS:,}")
    for node in top.nodes:
        if node.path.count("/") > MAX_DEPTH:
            problems.append(f"{node.path}: lies more than {MAX_DEPTH} objects deep")
        problems += [
            f"{node.path}: {role}: has {info.size:,} bytes; an import takes at most {MAX_FILE:,}"
            for role, info in node.payloads.items()
            if info.size > MAX_FILE
        ]
    return problems
