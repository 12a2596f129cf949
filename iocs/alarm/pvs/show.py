"""Keeps the PVs current: follows the tree, and publishes what of it somebody has connected to."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakValueDictionary

from caproto import AlarmStatus

from iocs.alarm.forms import ACTIVE_LIMIT
from iocs.alarm.pvs.documents import active_json, give_back, items_json, shelves_json, tree_json
from iocs.alarm.pvs.names import PvNames
from iocs.alarm.pvs.pvs import ACTIVE_BYTES, TREE_BYTES, Actions, AlarmPvs, AreaPvs, ItemPvs, RootPvs
from iocs.alarm.pvs.shown import area_enabled, values_of
from iocs.alarm.tree.events import Annunciation, Edit, Listener, Person, State
from iocs.alarm.tree.items import Item
from iocs.alarm.tree.nodes import Area, Leaf, Node
from iocs.alarm.tree.tree import AlarmTree
from owlshift.ioc import Pv, Severity
from owlshift.ioc.alarms import stamp

log = logging.getLogger(__name__)

AREA_PERIOD = 0.02
"""Seconds in which changes of an area make one."""
TEXT_PERIOD = 0.2
"""Seconds between two changes of a text of JSON, at least …"""
TEXT_SHARE = 15
"""… and so many times as long as making it takes."""
KEEP = 5.0
"""Seconds that a large text is kept which nobody monitors."""
LARGE = 1 << 20


class Show(Listener):
    """The PVs of a tree's items that are connected to, and those of the root."""

    def __init__(self, tree: AlarmTree, names: PvNames, actions: Actions) -> None:
        self._tree, self._names, self._actions = tree, names, actions
        self.root = RootPvs(self, actions, tree.root)
        self._devices: WeakValueDictionary[str, ItemPvs] = WeakValueDictionary()
        """By what their PVs begin with behind the IOC's prefix."""
        self._devices[""] = self.root
        self._areas: set[Area] = set()
        self._flush: asyncio.TimerHandle | None = None
        self._acknowledged_by: dict[str, str] = {}
        """By path of an area, who acknowledged it last."""
        self._makers: dict[str, Callable[[], Awaitable[str]]] = {
            "Active": self._active, "Shelves": self._shelves, "Tree": self._whole_tree,
        }  # fmt: skip
        self._making = {name: asyncio.Lock() for name in self._makers}
        self.dirty = dict.fromkeys(self._makers, True)
        self._wake = asyncio.Event()

    def begin(self, nag_period: float) -> None:
        """Show what is known at the start."""
        self.refresh(self.root)
        self.root.NagPeriod.preset(nag_period)
        self.root.Enable.take(True, stamp())
        self.modes_changed()

    # finding and making

    def find(self, name: str) -> Callable[[], Pv[Any]] | None:
        """For `Ioc.provide`: what gives the PV of this name."""
        place, _, attribute = name[len(self._names.prefix) :].rpartition(":")
        if not place or not name.startswith(self._names.prefix):
            return None
        node = self._names.node(place)
        if node is None or attribute not in (AreaPvs if isinstance(node, Area) else AlarmPvs).declarations:
            return None
        return lambda: self.device(node).pvs[attribute]

    def device(self, node: Node) -> ItemPvs:
        """The device of a place in the tree."""
        name = self._names.name(node)
        found = self._devices.get(name)
        if found is None:
            kind = AreaPvs if isinstance(node, Area) else AlarmPvs
            found = self._devices[name] = kind(self, self._actions, node)
        return found

    def _shown(self, node: Node) -> ItemPvs | None:
        """The device of a place, if somebody has it."""
        return self._devices.get(self._names.name(node)) if len(self._devices) > 1 or node.parent is None else None

    def first_value(self, device: ItemPvs, pv: Pv[Any]) -> None:
        """Give a new PV its value."""
        self._take(device, pv.declaration.attribute, pv)

    # publishing

    def _take(self, device: ItemPvs, attribute: str, pv: Pv[Any]) -> None:
        node = device.node
        value = values_of(node).get(attribute)
        if value is not None:
            pv.take(value(node), stamp())
        elif attribute == "Enable" and isinstance(node, Area):
            pv.take(area_enabled(node), stamp())
        elif attribute == "AckBy":
            pv.take(self._acknowledged_by.get(node.path, ""), stamp())

    def refresh(self, device: ItemPvs) -> None:
        """Publish what is new of an item."""
        values = values_of(device.node)
        node, when = device.node, stamp()
        for attribute, pv in device.pvs.items():
            value = values.get(attribute)
            if value is not None:
                pv.take(value(node), when)

    def _touch(self, *texts: str) -> None:
        for text in texts:
            self.dirty[text] = True
        self._wake.set()

    # what the tree tells

    def leaf_changed(self, leaf: Leaf, before: State, raised: bool) -> None:
        """See `Listener`."""
        device = self._shown(leaf)
        if device is not None:
            self.refresh(device)
        self._touch("Active", "Tree")

    def area_changed(self, area: Area) -> None:
        """Published a little later: of many alarms at once, an area shows the sum."""
        if area in self._areas or self._shown(area) is None:
            return
        self._areas.add(area)
        if self._flush is None:
            self._flush = asyncio.get_running_loop().call_later(AREA_PERIOD, self._flush_areas)

    def _flush_areas(self) -> None:
        self._flush = None
        areas, self._areas = self._areas, set()
        for area in areas:
            device = self._shown(area)
            if device is not None and device.node is area:
                self.refresh(device)

    def configured(self, item: Item, who: Person) -> None:
        """Name it, and show what is new."""
        node = self._tree.find(item.path)
        if node is None:
            return
        self._names.add(node)
        device = self._shown(node)
        if device is not None:
            if isinstance(device, AreaPvs) and isinstance(node, Area):
                device.node = node
                self.refresh(device)
            elif isinstance(device, AlarmPvs) and isinstance(node, Leaf):
                device.node = node
                self.refresh(device)
            else:  # an alarm was an area before: who has its PVs finds them invalid
                del self._devices[self._names.name(node)]
        self._touch("Active", "Tree")

    def removed(self, path: str, who: Person) -> None:
        """Nobody can vouch for its PVs any more."""
        name = self._names.drop(path)
        self._acknowledged_by.pop(path, None)
        device = None if name is None else self._devices.get(name)
        if device is not None:
            when = stamp()
            for pv in device.pvs.values():
                pv.mark(AlarmStatus.UDF, Severity.INVALID, when)
        self._touch("Active", "Shelves", "Tree")

    def edited(self, edit: Edit) -> None:
        """See `Listener`."""
        if edit.action in ("acknowledge", "unacknowledge"):
            if isinstance(self._tree.find(edit.path), Area):
                self._acknowledged_by[edit.path] = str(edit.who) if edit.action == "acknowledge" else ""
                self._show_others(edit.path, "AckBy")
        elif edit.action in ("enable", "disable"):
            node = self._tree.find(edit.path)
            for area in node.above() if node is not None else ():
                asyncio.get_running_loop().call_soon(self._show_others, area.path, "Enable")
        if edit.action in ("shelve", "unshelve"):
            self._touch("Shelves")
        self._touch("Active", "Tree")

    def _show_others(self, path: str, attribute: str) -> None:
        node = self._tree.find(path)
        device = None if node is None else self._shown(node)
        if device is not None and attribute in device.pvs:
            self._take(device, attribute, device.pvs[attribute])

    def announced(self, annunciation: Annunciation) -> None:
        """See `Listener`."""
        root, when = self.root, stamp()
        root.Talk.take(annunciation.text, when)
        root.TalkSevr.take(annunciation.severity, when)
        root.TalkCount.take((root.TalkCount.value + 1) & 0x7FFFFFFF, when)

    def modes_changed(self) -> None:
        """See `Listener`."""
        root, tree, when = self.root, self._tree, stamp()
        root.Maint.take(tree.in_maintenance, when)
        root.Notify.take(tree.notifying, when)
        root.Mode.take(tree.mode, when)
        root.Flood.take(tree.flood, when)
        root.Rate.take(tree.rate, when)

    # texts

    async def text(self, name: str) -> str:
        """A text of JSON of the root, made anew if anything in it has changed."""
        async with self._making[name]:
            pv = self.root.pvs[name]
            if self.dirty[name]:
                self.dirty[name] = False
                try:
                    return await self._makers[name]()
                except BaseException:
                    self.dirty[name] = True
                    raise
                finally:
                    if name == "Tree":
                        self._drop_later(pv, name)
            return pv.value

    async def items_text(self, device: ItemPvs) -> str:
        """What is configured at and below a place, as JSON."""
        self._drop_later(device.Items)
        return await items_json(device.node)

    def _drop_later(self, pv: Pv[Any], name: str = "") -> None:
        """A text as large as the tree is kept for a moment only, unless somebody monitors it."""

        def drop() -> None:
            if len(pv.value) > LARGE and not pv.monitored and not (name and self._making[name].locked()):
                if name:
                    self.dirty[name] = True
                pv.take("", stamp())
                give_back()

        asyncio.get_running_loop().call_later(KEEP, drop)

    async def _active(self) -> str:
        return active_json(self._tree, self._names.prefix_of, ACTIVE_BYTES, ACTIVE_LIMIT)

    async def _shelves(self) -> str:
        return shelves_json(self._tree, self._names.prefix_of, ACTIVE_BYTES)

    async def _whole_tree(self) -> str:
        return await tree_json(self._tree, self._names.prefix_of, TREE_BYTES)

    async def follow(self) -> None:
        """Post the texts of JSON that somebody monitors after something in them has changed, for ever."""
        due = dict.fromkeys(self._makers, 0.0)
        while True:
            await self._wake.wait()
            await asyncio.sleep(TEXT_PERIOD / 2)
            self._wake.clear()
            for name in self._makers:
                pv = self.root.pvs[name]
                now = time.monotonic()
                if not self.dirty[name] or not pv.monitored:
                    continue
                if now < due[name]:
                    asyncio.get_running_loop().call_later(due[name] - now, self._wake.set)
                    continue
                pv.take(await self.text(name), stamp())
                spent = time.monotonic() - now
                due[name] = now + max(TEXT_PERIOD, TEXT_SHARE * spent)
