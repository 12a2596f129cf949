"""The catalogues of the site's IOCs, followed: what they declare as alarms comes into the tree, and goes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import orjson

from iocs.alarm.tree.events import Person
from iocs.alarm.tree.items import AreaConfig, ConfigError, Item
from iocs.alarm.tree.nodes import Area
from iocs.alarm.tree.paths import parent_path
from iocs.alarm.watch.catalogues import MAX_BYTES, PV, BadCatalogue, parse_catalogue, system_of
from iocs.alarm.watch.inputs import Heard, Inputs
from owlshift.ca import CaAddresses, Dbr

if TYPE_CHECKING:
    from iocs.alarm.tree.tree import AlarmTree

log = logging.getLogger(__name__)

CATALOGUE = "catalogue"
"""`Person.user` of what a catalogue changes; the host is the IOC's prefix."""
_SLICE = 200
"""Alarms that are put into the tree until others in the event loop have their turn."""


class Catalogues:
    """The alarms of all IOCs with these prefixes, from what they say and, before they do, from the last time.

    `cache`: a folder where the last catalogue of each is kept, so that an IOC that is gone keeps its alarms over a
    restart too. `claimed(pv)`: somebody else (a file, an operator) configures the alarm of this PV, and the
    catalogue does not. `told(system, problem)` is called after each catalogue; no problem is "".
    """

    def __init__(
        self,
        prefixes: Iterable[str],
        root: str,
        *,
        cache: Path | None = None,
        claimed: Callable[[str], bool] = lambda pv: False,
        told: Callable[[str, str], None] = lambda system, problem: None,
        addresses: CaAddresses | None = None,
    ) -> None:
        self.prefixes = tuple(dict.fromkeys(prefixes))
        self.inputs = Inputs(addresses)
        self.problems: dict[str, str] = {}
        """Prefix -> why its newest catalogue is not in use."""
        self.read: set[str] = set()
        """Prefixes whose catalogue was read since the start."""
        self._root, self._cache, self._claimed, self._told = root, cache, claimed, told
        self._items: dict[str, dict[str, Item]] = {prefix: {} for prefix in self.prefixes}
        """By prefix and PV, what the catalogue says."""
        self._newest: dict[str, bytes] = {}
        self._wake = asyncio.Event()

    def cached(self) -> list[Item]:
        """What the catalogues said last time, without what is claimed: for `AlarmTree.load`, before `follow`."""
        if self._cache is None:
            return []
        for prefix in self.prefixes:
            try:
                raw = self._file(prefix).read_bytes()
                self._items[prefix] = parse_catalogue(raw, prefix, self._root)
            except FileNotFoundError:
                continue
            except (OSError, BadCatalogue) as error:
                log.warning("%s: its alarms of the last time cannot be read: %s", prefix, error)
        return [item for items in self._items.values() for pv, item in items.items() if not self._claimed(pv)]

    def items(self) -> dict[str, Item]:
        """What the catalogues say now, by PV, claimed or not."""
        return {pv: item for items in self._items.values() for pv, item in items.items()}

    async def follow(self, tree: AlarmTree) -> None:
        """Keep the tree as the catalogues say, for ever; OSError when there is no network."""
        await self.inputs.start()
        try:
            for prefix in self.prefixes:
                self.inputs.follow(prefix + PV, partial(self._heard, prefix))
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._newest:
                    prefix = next(iter(self._newest))
                    await self._take(tree, prefix, self._newest.pop(prefix))
        finally:
            await self.inputs.close()

    def _heard(self, prefix: str, heard: Heard | None) -> None:
        if heard is None:
            return  # an IOC that is gone keeps its alarms
        if heard.dbr is not Dbr.CHAR or not isinstance(heard.value, np.ndarray):
            self._problem(prefix, f"{prefix}{PV} is no text")
        elif heard.value.size > MAX_BYTES:
            self._problem(prefix, f"it has {heard.value.size:,} bytes, {MAX_BYTES:,} are taken")
        else:
            self._newest[prefix] = heard.value.tobytes()
            self._wake.set()

    def _problem(self, prefix: str, problem: str) -> None:
        self.problems[prefix] = problem
        log.warning("%s: the catalogue is not used: %s", prefix, problem)
        self._told(system_of(prefix), problem)

    async def _take(self, tree: AlarmTree, prefix: str, raw: bytes) -> None:
        try:
            # a catalogue may be megabytes
            items = await asyncio.to_thread(parse_catalogue, raw, prefix, self._root)
        except BadCatalogue as error:
            self._problem(prefix, str(error))
            return
        before, self._items[prefix] = self._items[prefix], items
        refused = await apply_catalogue(tree, before, items, self._claimed, Person(CATALOGUE, prefix))
        self.read.add(prefix)
        if self._cache is not None:
            await asyncio.to_thread(self._keep, prefix, raw)
        if refused:
            self._problem(prefix, "; ".join(refused[:3]) + (f" … and {len(refused) - 3} more" if refused[3:] else ""))
            return
        self.problems.pop(prefix, None)
        self._told(system_of(prefix), "")

    def _file(self, prefix: str) -> Path:
        return (self._cache or Path()) / f"{prefix.rstrip(':').replace(':', '-')}.json"

    def _keep(self, prefix: str, raw: bytes) -> None:
        """Only what alarms are made of, so that the file stays small; whole or not at all."""
        document = orjson.loads(raw.partition(b"\0")[0])
        alarms = [entry for entry in document["pvs"] if entry.get("alarm_info")]
        keys = ("name", "doc", "alarm_info")
        document = {
            "objects": document.get("objects"),
            "pvs": [{key: entry[key] for key in keys if key in entry} for entry in alarms],
        }
        file = self._file(prefix)
        new = file.with_suffix(".new")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            new.write_bytes(orjson.dumps(document))
            new.replace(file)
        except OSError as error:
            log.warning("%s: its alarms cannot be kept for the next start: %s", prefix, error)


async def apply_catalogue(
    tree: AlarmTree,
    before: dict[str, Item],
    after: dict[str, Item],
    claimed: Callable[[str], bool],
    who: Person,
) -> list[str]:
    """Change the tree from what a catalogue said before to what it says after; return what the tree refused.

    Alarms that are claimed, or that are in the tree at another place, are left alone. What the catalogue does not
    name any longer is removed, with the areas that are empty then.
    """
    refused: list[str] = []
    work = 0
    for pv in before.keys() - after.keys():
        leaf = tree.leaf_of(pv)
        if leaf is not None and leaf.path == before[pv].path and not claimed(pv):
            tree.remove(leaf.path, who)
            _prune(tree, parent_path(leaf.path), who)
            work += 1
            if work % _SLICE == 0:
                await asyncio.sleep(0)
    for pv, item in after.items():
        if claimed(pv):
            continue
        leaf = tree.leaf_of(pv)
        if leaf is not None and leaf.path == item.path and (leaf.config, leaf.extras) == (item.config, item.extras):
            continue
        try:
            if leaf is not None and leaf.path != item.path:
                if pv not in before or leaf.path != before[pv].path:
                    continue
                tree.remove(leaf.path, who)
                _prune(tree, parent_path(leaf.path), who)
            tree.put(item, who)
        except ConfigError as error:
            refused += error.problems
        work += 1
        if work % _SLICE == 0:
            await asyncio.sleep(0)
    return refused


def _prune(tree: AlarmTree, path: str, who: Person) -> None:
    """Remove areas that have nothing in them and of which nothing is configured, from here upwards."""
    while path and parent_path(path):
        area = tree.find(path)
        if not isinstance(area, Area) or area.children or area.config != AreaConfig():
            return
        tree.remove(path, who)
        path = parent_path(path)
