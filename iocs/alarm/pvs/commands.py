"""What clients ask of the alarm server by a put, with who asks: done once it is kept, refused with the reason."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from iocs.alarm.files.checks import check_item
from iocs.alarm.item_forms import item_of
from iocs.alarm.keeper import Keeper
from iocs.alarm.pvs.documents import Breath
from iocs.alarm.pvs.shelving_text import parse_shelve, shelve_text
from iocs.alarm.tree.events import Person
from iocs.alarm.tree.items import ConfigError, Item
from iocs.alarm.tree.nodes import Area, Leaf, Node
from iocs.alarm.tree.structure import Structure
from iocs.alarm.tree.tree import AlarmTree
from owlshift.ioc import PutRefused
from owlshift.ioc.link import Client

log = logging.getLogger(__name__)

MOST_ITEMS = 60_000
"""Items of one put to `Config`."""
LARGE = 100_000
"""Bytes of a put to `Config` that is read on a thread."""
FEW = 1000
"""Items that are changed in one go; of more, others have their turn in between."""
SHOWN = 5
"""Problems that a refusal names."""


class Commands:
    """What is done to the tree: the `Actions` of its PVs.

    `keeper` is asked for once there are puts, `client` says who made the one that is carried out, `tell` takes a line.
    """

    def __init__(
        self,
        tree: AlarmTree,
        keeper: Callable[[], Keeper],
        client: Callable[[], Client],
        tell: Callable[[str, int], None],
        reload: Callable[[], Awaitable[None]],
        mode_pv: str = "",
    ) -> None:
        self._tree, self._keeper_now, self._client, self._tell = tree, keeper, client, tell
        self._reload, self._mode_pv = reload, mode_pv

    @property
    def _keeper(self) -> Keeper:
        return self._keeper_now()

    @property
    def _who(self) -> Person:
        client = self._client()
        return Person(client.user or "?", client.host or "?")

    async def _kept(self) -> None:
        """A put is done once the database has it; while there is none, it is done, and kept later."""
        if not await self._keeper.kept():
            reason = self._keeper.problem or "the database is slow"
            self._tell(f"done, but not kept for the next start yet: {reason}", logging.WARNING)

    def _alive(self, node: Node) -> str:
        """The path of a place that is still there."""
        if self._tree.find(node.path) is not node:
            raise PutRefused(f"{node.path} is no longer configured")
        return node.path

    async def acknowledge(self, node: Node, on: bool) -> None:
        """See `pvs.Actions`."""
        breath = Breath()
        with refusing():
            for _ in self._tree.acknowledging(self._alive(node), self._who, on):
                await breath.take()
        await self._kept()

    async def shelve(self, node: Node, text: str) -> str:
        """See `pvs.Actions`."""
        path, who = self._alive(node), self._who
        with refusing():
            wish = parse_shelve(text, self._tree.clock.now_ns())
            if wish is None:
                self._tree.unshelve(path, who)
            else:
                self._tree.shelve(path, who, wish.why, wish.until_ns, wish.one_shot)
        await self._kept()
        shelf = node.shelf if isinstance(node, Leaf) else None
        return "" if shelf is None else shelve_text(shelf.until_ns, shelf.why, shelf.one_shot)

    async def enable(self, node: Node, on: bool) -> None:
        """See `pvs.Actions`."""
        path, who = self._alive(node), self._who
        with refusing():
            if on:
                self._tree.enable(path, who)
            else:
                self._tree.disable(path, who)
        await self._kept()

    async def configure(self, text: str) -> str:
        """All items of the text, or none of them. What is shown afterwards is nothing: `Items` says what there is."""
        if not text.strip():
            return ""
        breath = Breath()
        with refusing():
            edits = await asyncio.to_thread(parse_edits, text) if len(text) > LARGE else parse_edits(text)
            if len(edits) > 1 and (problems := edit_problems(self._tree, edits)):
                raise ConfigError(problems)
            for edit in edits:
                if isinstance(edit, Item):
                    self._tree.put(edit, self._who)
                else:
                    self._tree.remove(edit, self._who)
                if len(edits) > FEW:
                    await breath.take()
        await self._kept()
        return ""

    async def maintenance(self, on: bool) -> None:
        """See `pvs.Actions`."""
        self._tree.maintenance(on, self._who)
        await self._kept()

    async def notify(self, on: bool) -> None:
        """See `pvs.Actions`."""
        self._tree.notify(on, self._who)
        await self._kept()

    async def mode(self, text: str) -> str:
        """See `pvs.Actions`."""
        if self._mode_pv:
            raise PutRefused(f"the operating mode is what {self._mode_pv} says")
        if any(not letter.isprintable() for letter in text):
            raise PutRefused("the mode has characters that cannot be shown")
        self._tree.set_mode(text.strip(), self._who)
        await self._kept()
        return text.strip()

    async def nag(self, seconds: float) -> None:
        """See `pvs.Actions`."""
        self._tree.announcer.nag_period = seconds
        self._keeper.more["nag_period"] = seconds
        self._keeper.server_changed()
        await self._kept()

    async def reload(self) -> None:
        """See `pvs.Actions`."""
        await self._reload()


@contextmanager
def refusing() -> Iterator[None]:
    """What cannot be done refuses the put, with the reason."""
    try:
        yield
    except ConfigError as error:
        more = len(error.problems) - SHOWN
        shown = error.problems[:SHOWN] + ([f"… and {more} more"] if more > 0 else [])
        raise PutRefused("; ".join(shown)) from None
    except ValueError as error:
        raise PutRefused(str(error)) from None


def parse_edits(text: str) -> list[Item | str]:
    """What a put to `Config` says: items, and the paths of those that are to be deleted. ConfigError."""
    try:
        found: Any = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ConfigError([f"it is no JSON: {error}"]) from None
    forms = found if isinstance(found, list) else [found]
    if len(forms) > MOST_ITEMS:
        raise ConfigError([f"{len(forms):,} items at once; {MOST_ITEMS:,} are taken"])
    edits: list[Item | str] = []
    problems: list[str] = []
    for number, form in enumerate(forms):
        place = f"[{number}] " if isinstance(found, list) else ""
        if isinstance(form, dict) and "delete" in form:
            path = form.get("path")
            if form["delete"] is not True or set(form) != {"path", "delete"} or not isinstance(path, str):
                problems.append(f'{place}to delete is {{"path": "/…", "delete": true}}')
            else:
                edits.append(path)
            continue
        try:
            item = item_of(form)
        except ConfigError as error:
            problems += [f"{place}{problem}" for problem in error.problems]
            continue
        problems += check_item(item).problems
        edits.append(item)
    if problems:
        raise ConfigError(problems)
    return edits


def edit_problems(tree: AlarmTree, edits: list[Item | str]) -> list[str]:
    """Why the tree would refuse any of them, one after the other; nothing is changed."""
    trial = Structure(tree.name)
    for node in (*tree.areas(), *tree.leaves()):
        trial.put(node.item)
    problems: list[str] = []
    for edit in edits:
        if isinstance(edit, Item):
            problem = trial.problem(edit)
            if problem:
                problems.append(problem)
            else:
                trial.put(edit)
            continue
        node = trial.find(edit)
        if node is None:  # also what has gone with an area above
            problems.append(f"{edit}: no such area or alarm")
        elif node.parent is None:
            problems.append(f"{edit}: the root stays")
        else:
            _remove(trial, node)
    return problems


def _remove(trial: Structure, node: Area | Leaf) -> None:
    if isinstance(node, Area):
        for child in node.children:
            _remove(trial, child)
    trial.remove(node)
