"""What is imported, before it is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from db.digests import object_digest
from db.exchange.files import MAX_DEPTH, MAX_OBJECTS, Problems
from db.nodes import VIEW, NewObject


@dataclass
class Incoming:
    """An object with all below it, and where it was."""

    root: NewObject
    view: str = VIEW
    pos: int = 0
    edge: dict[str, Any] = field(default_factory=dict)
    """Of the connection to what was above it; empty for a whole runkey."""
    notes: list[str] = field(default_factory=list)
    """What a person should know of it, though it is no obstacle."""


def objects(root: NewObject) -> Iterator[NewObject]:
    """Each object once, children before their parents. A tree without circles only."""
    seen: set[int] = set()
    waiting: list[tuple[NewObject, bool]] = [(root, False)]
    while waiting:
        item, below_done = waiting.pop()
        if below_done:
            yield item
        elif id(item) not in seen:
            seen.add(id(item))
            waiting.append((item, True))
            waiting.extend((c.object, False) for c in reversed(item.children) if isinstance(c.object, NewObject))


def digests(root: NewObject) -> dict[int, bytes]:
    """id() of each object -> its digest, as the database will have it. BadInput for metadata that JSON can't say."""
    found: dict[int, bytes] = {}
    hashes: dict[int, str] = {}
    for item in objects(root):
        payloads = []
        for p in item.payloads:
            if id(p.content) not in hashes:
                hashes[id(p.content)] = sha256(p.content).hexdigest()
            payloads.append((p.role, p.type, p.name, p.format, hashes[id(p.content)], p.meta))
        children = [
            (c.view, c.pos, c.meta, c.object.name, found[id(c.object)])
            for c in item.children
            if isinstance(c.object, NewObject)
        ]
        found[id(item)] = object_digest(item.type, item.name, item.serial, item.meta, payloads, children)
    return found


def check_shape(root: NewObject, place: Callable[[NewObject], object], problems: Problems) -> None:
    """Note circles, too much depth, too many places, and siblings of one name. `place` says where an object is from."""
    depth: dict[int, int] = {}
    places: dict[int, int] = {}
    open_: set[int] = set()
    waiting: list[tuple[NewObject, bool]] = [(root, False)]
    while waiting:
        item, below_done = waiting.pop()
        key = id(item)
        below = [c.object for c in item.children if isinstance(c.object, NewObject)]
        if below_done:
            open_.discard(key)
            depth[key] = 1 + max((depth[id(c)] for c in below), default=0)
            places[key] = min(1 + sum(places[id(c)] for c in below), MAX_OBJECTS + 1)
        elif key not in depth and key not in open_:
            open_.add(key)
            waiting.append((item, True))
            names: set[tuple[str, str]] = set()
            for child in item.children:
                if not isinstance(child.object, NewObject):
                    continue
                if id(child.object) in open_:
                    problems.add(place(item), "", f"the child {child.object.name!r} has it below itself: a circle")
                    return
                if not child.object.name:
                    problems.add(place(child.object), "name", "is empty")
                if (child.view, child.object.name) in names:
                    problems.add(place(item), "", f"two children are called {child.object.name!r} in view {child.view}")
                names.add((child.view, child.object.name))
                waiting.append((child.object, False))
    if depth[id(root)] > MAX_DEPTH:
        problems.add(place(root), "", f"has objects {depth[id(root)]} deep; more than {MAX_DEPTH} are refused")
    if places[id(root)] > MAX_OBJECTS:
        problems.add(place(root), "", f"has more than {MAX_OBJECTS:,} objects")
