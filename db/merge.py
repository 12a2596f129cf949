"""Two edits of one runkey at a time: both are kept when they are of different objects, otherwise it is a conflict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from db.errors import BadInput, Conflict, Exists, NotFound
from db.heads import RunkeyInfo, revision_chain
from db.nodes import CHILD, EDGE, LINEAGE, META, NAME, PARENT, POS, SERIAL, TYPE, VIEW_, PayloadInfo, Row
from db.rows import uncollected
from db.trees import Tree, payload_infos, read_tree
from db.worktree import Place, WorkTree

SHOWN = 20
"""Conflicts that are looked into; of more, the number is told."""


@dataclass
class Touches:
    """What an edit is about, by lineage."""

    touched: set[str] = field(default_factory=set[str])
    """Objects whose payloads, metadata, serial, name or connection were changed."""
    below: set[str] = field(default_factory=set[str])
    """Objects that were removed, and those below them."""
    removed: set[Place] = field(default_factory=set[Place])
    added: set[Place] = field(default_factory=set[Place])


@dataclass
class Changes:
    """What differs between two states of a runkey, by lineage."""

    touched: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """Object -> what was changed of it."""
    removed: set[Place] = field(default_factory=set[Place])
    added: set[Place] = field(default_factory=set[Place])
    gone: set[str] = field(default_factory=set[str])
    """Objects that have no place any more."""


@uncollected()
def merge(
    connection: Connection,
    base_tree: Tree,
    base: RunkeyInfo,
    now: RunkeyInfo,
    touches: Touches,
    steps: Sequence[Callable[[WorkTree], None]],
) -> WorkTree:
    """The tree as it is now, with the steps of an edit that began from `base_tree`.

    Conflict, naming path, who, when and what, when others changed the same objects.
    """
    tree = read_tree(connection, now.root, None)
    changes = find_changes(connection, base_tree, tree)
    work = WorkTree.of(base_tree)
    head = WorkTree.of(tree)
    if clashes := _clashes(touches, changes, base_tree):
        raise Conflict(_explained(connection, clashes, changes, work, head, base, now))
    try:
        for step in steps:
            step(head)
    except (BadInput, Exists, NotFound, KeyError) as error:
        text = "something that is needed is gone" if isinstance(error, KeyError) else str(error)
        raise Conflict(f"{text}: changed by {now.author} at {now.created:%Y-%m-%d %H:%M:%S} UTC") from None
    return head


@uncollected()
def find_changes(connection: Connection, before: Tree, after: Tree) -> Changes:
    """What changed between two trees of all views."""
    changes = Changes()
    old, new = _rows(before), _rows(after)
    old_places, new_places = _places(before), _places(after)
    changes.gone = set(old) - set(new)
    changes.removed = set(old_places) - set(new_places)
    changes.added = set(new_places) - set(old_places)
    moved = [line for line in old.keys() & new.keys() if old[line][CHILD] != new[line][CHILD]]
    infos = payload_infos(connection, [rows[line][CHILD] for line in moved for rows in (old, new)])
    for line in moved:
        a, b = old[line], new[line]
        what = [name for name, column in _OWN if a[column] != b[column]]
        roles, now = infos.get(a[CHILD], {}), infos.get(b[CHILD], {})
        what += [
            f"payload {role}" for role in sorted(roles.keys() | now.keys()) if _said(roles, role) != _said(now, role)
        ]
        if what:
            changes.touched[line] = what
    for place in old_places.keys() & new_places.keys():
        if old_places[place] != new_places[place]:
            changes.touched.setdefault(place[2], []).append("connection")
    return changes


_OWN = (("type", TYPE), ("name", NAME), ("serial", SERIAL), ("metadata", META))


def _said(infos: dict[str, PayloadInfo], role: str) -> Any:
    info = infos.get(role)
    return info and (info.type, info.name, info.format, info.sha256, info.meta)


def _rows(tree: Tree) -> dict[str, Row]:
    return {row[LINEAGE]: row for row in (tree.root.row, *tree.rows)}


def _places(tree: Tree) -> dict[Place, tuple[int, str]]:
    lineages = {row[CHILD]: row[LINEAGE] for row in (tree.root.row, *tree.rows)}
    return {(lineages[row[PARENT]], row[VIEW_], row[LINEAGE]): (row[POS], row[EDGE]) for row in tree.rows}


def _clashes(ours: Touches, theirs: Changes, base: Tree) -> list[str]:
    """Lineages of what both changed."""
    there = {row[LINEAGE] for row in (base.root.row, *base.rows)}
    displaced = {child for _, _, child in theirs.removed | theirs.added if child in there}
    other = theirs.touched.keys() | displaced | theirs.gone
    found = (ours.touched | ours.below) & other
    found |= {child for _, _, child in ours.added if child in there} & other
    # a parent that is gone, and what they put below something that is removed here
    found |= {parent for parent, _, _ in ours.added | ours.removed if parent in theirs.gone}
    found |= {parent for parent, _, _ in theirs.added if parent in ours.below}
    return sorted(found)


def _explained(
    connection: Connection,
    clashes: Sequence[str],
    changes: Changes,
    base_work: WorkTree,
    head_work: WorkTree,
    base: RunkeyInfo,
    now: RunkeyInfo,
) -> list[str]:
    lines = []
    history = _History(connection, base, now)
    for lineage in clashes[:SHOWN]:
        path = base_work.path(lineage) if base_work.has(lineage) else head_work.path(lineage)
        if lineage in changes.gone:
            what = "removed it"
        elif lineage in changes.touched:
            what = f"changed its {', '.join(changes.touched[lineage])}"
        elif any(child == lineage for _, _, child in changes.removed):
            what = "took it from its place"
        elif any(child == lineage for _, _, child in changes.added):
            what = "gave it another place"
        else:
            what = "added something below it"
        author, when = history.who(lineage)
        lines.append(f"{path}: {author} {what} at {when:%Y-%m-%d %H:%M:%S} UTC")
    if len(clashes) > SHOWN:
        lines.append(f"… and {len(clashes) - SHOWN} more")
    return lines


class _History:
    """Who changed an object between two revisions."""

    def __init__(self, connection: Connection, base: RunkeyInfo, now: RunkeyInfo) -> None:
        self._connection = connection
        self._now = now
        self._steps: list[tuple[Any, Changes]] = []
        chain = []
        for revision in revision_chain(connection, now.revision):
            chain.append(revision)
            if revision.id == base.revision:
                break
        if not chain or chain[-1].id != base.revision or len(chain) > SHOWN:
            return  # deleted and made again, or too long ago to look
        trees = [read_tree(connection, revision.root, None) for revision in chain]
        for revision, after, before in zip(chain, trees, trees[1:], strict=False):
            self._steps.append((revision, find_changes(connection, before, after)))

    def who(self, lineage: str) -> tuple[str, Any]:
        """(author, time) of the last change."""
        for revision, changes in self._steps:
            places = {x for place in changes.removed | changes.added for x in (place[0], place[2])}
            if lineage in changes.touched or lineage in places or lineage in changes.gone:
                return revision.author, revision.created
        return self._now.author, self._now.created
