"""The large texts of JSON: made in slices, so that the server goes on meanwhile, and only when somebody wants them."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import time
from collections.abc import Callable

import orjson

from iocs.alarm.forms import Form, PrefixOf, active_form, node_form, shelves_form
from iocs.alarm.item_forms import item_form
from iocs.alarm.tree.items import AreaConfig
from iocs.alarm.tree.nodes import Area, Leaf, Node
from iocs.alarm.tree.tree import AlarmTree

SLICE = 0.01
"""Seconds of work until others in the event loop have their turn."""
MOST = 60_000
"""Items in one text."""


class Breath:
    """Lets others have their turn, now and then."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    async def take(self) -> None:
        """Go on at once, unless it has been long."""
        if time.perf_counter() - self._since > SLICE:
            await asyncio.sleep(0)
            self._since = time.perf_counter()


async def tree_json(tree: AlarmTree, prefix_of: PrefixOf, room: int) -> str:
    """The whole tree as `forms.tree_form` has it.

    Above `MOST` items, or when it does not fit into `room` bytes, the root without what is below, `truncated`.
    """
    # one piece that grows: many small ones, and then their sum, would be twice as much memory
    found = bytearray()
    if sum(1 for _ in tree.areas()) + tree.root.total <= MOST:
        await _add(tree.root, prefix_of, found, Breath())
    if not found or len(found) > room:
        return orjson.dumps({**node_form(tree.root, prefix_of), "truncated": True, "children": []}).decode()
    return found.decode()


async def _add(area: Area, prefix_of: PrefixOf, found: bytearray, breath: Breath) -> None:
    found += orjson.dumps(node_form(area, prefix_of))[:-1] + b',"children":['
    for number, child in enumerate(area.children):
        if number:
            found += b","
        if isinstance(child, Area):
            await _add(child, prefix_of, found, breath)
        else:
            found += orjson.dumps(node_form(child, prefix_of))
        await breath.take()
    found += b"]}"


async def items_json(node: Node) -> str:
    """What is configured at a place and below, parents first; areas of which nothing is said only when asked for."""
    parts = bytearray(b"[")
    breath = Breath()
    waiting: list[Node] = [node]
    while waiting:
        found = waiting.pop()
        if isinstance(found, Leaf) or found is node or found.config != AreaConfig():
            if len(parts) > 1:
                parts += b","
            parts += orjson.dumps(item_form(found.item))
        if isinstance(found, Area):
            waiting += reversed(found.children)
        await breath.take()
    parts += b"]"
    return parts.decode()


def fitting(make: Callable[[int], Form], room: int, rows: int) -> str:
    """JSON of at most `room` bytes: with half as many rows until it fits."""
    while True:
        text = orjson.dumps(make(rows)).decode()
        if len(text.encode()) <= room or not rows:
            return text
        rows //= 2


def active_json(tree: AlarmTree, prefix_of: PrefixOf, room: int, rows: int) -> str:
    """The table of alarms."""
    return fitting(lambda limit: active_form(tree, prefix_of, tree.clock.now_ns(), limit), room, rows)


def shelves_json(tree: AlarmTree, prefix_of: PrefixOf, room: int) -> str:
    """What is shelved; `truncated` when it does not fit."""

    def make(limit: int) -> Form:
        form = shelves_form(tree, prefix_of)
        rows = form["shelves"]
        return form if len(rows) <= limit else {"shelves": rows[:limit], "truncated": True}

    return fitting(make, room, tree.root.total)


def give_back() -> None:
    """Let the system have the memory of texts that are gone, where the C library can."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
