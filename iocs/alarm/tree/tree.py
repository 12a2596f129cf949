"""The alarm tree: every alarm of a site, what is known of it, and all that people can do to it. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from iocs.alarm.tree import bursts, edits, snapshot
from iocs.alarm.tree.announce import Announcer
from iocs.alarm.tree.clock import SECOND, Clock
from iocs.alarm.tree.core import Core
from iocs.alarm.tree.events import Listener, Person, State
from iocs.alarm.tree.flood import ChatterRule, FloodRule
from iocs.alarm.tree.items import ConfigError, Item, LeafConfig
from iocs.alarm.tree.judgement import INVALID
from iocs.alarm.tree.nodes import Area, Leaf, Node, Shelf
from iocs.alarm.tree.severity import from_epics
from iocs.alarm.tree.structure import NoSuchPath, Structure
from iocs.alarm.tree.suppression import Suppression, moment

__all__ = ["AlarmTree", "Area", "Leaf", "NoSuchPath", "Node", "Shelf"]

WEEK = 7 * 86400.0


class AlarmTree:
    """Alarms of one site. All happens in the clock's loop, and is told to `listeners` in the order in which it does.

    Paths that nothing is at raise NoSuchPath, which is a ConfigError and a KeyError.
    """

    def __init__(
        self,
        name: str,
        clock: Clock,
        *,
        compatible: bool = False,
        chatter: tuple[int, float] = (3, 60.0),
        flood: tuple[int, float, int] = (10, 600.0, 5),
        max_shelf: float = WEEK,
    ) -> None:
        """`name`: the root's; ConfigError when it cannot be one.

        `compatible`: with Phoebus' defects (see `logic`), and nothing that chatters or comes in a flood is held back.
        `chatter`: so many comings within so many seconds. `flood`: more than so many annunciated alarms within so many
        seconds; it ends below the third figure. `max_shelf`: seconds that an alarm is shelved at most.
        """
        self.clock, self.compatible = clock, compatible
        self._structure = Structure(name)
        self.root = self._structure.root
        self._core = Core(
            self.root, clock, self._structure.nodes.get, compatible, ChatterRule(*chatter), FloodRule(*flood)
        )
        self._suppression = Suppression(self._core, max_shelf)
        self.notifying = True
        """Mail and the like are sent (see `notify`)."""

    # -- what is there -----------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The root's."""
        return self.root.name

    @property
    def listeners(self) -> list[Listener]:
        """Those who follow the tree."""
        return self._core.tell.listeners

    @property
    def announcer(self) -> Announcer:
        """Says what operators are to hear."""
        return self._core.voice

    @property
    def in_maintenance(self) -> bool:
        """The whole server is in maintenance mode."""
        return self._core.context.maintenance

    @property
    def mode(self) -> str:
        """The operating mode; "" when none is known."""
        return self._suppression.mode

    @property
    def flood(self) -> bool:
        """Alarms are announced faster than anybody can follow."""
        return self._core.flood.on

    @property
    def rate(self) -> int:
        """Alarms that were announced (or only left out for the flood) in the last ten minutes."""
        return self._core.flood.rate

    @property
    def chattering(self) -> list[Leaf]:
        """Alarms that come and go so often that they are not announced again for now."""
        return list(self._core.chatter.leaves)

    def find(self, path: str) -> Area | Leaf | None:
        """What is at a path; None: nothing."""
        return self._structure.find(path)

    def leaf_of(self, pv: str) -> Leaf | None:
        """The alarm of a PV, named with `ca://` or without."""
        return self._structure.leaf_of(pv)

    def leaves(self, path: str = "") -> Iterator[Leaf]:
        """The alarms at or below a path (all of them without), in natural order."""
        node = self._structure.get(path) if path else self.root
        return iter((node,)) if isinstance(node, Leaf) else node.leaves()

    def areas(self) -> Iterator[Area]:
        """All areas, the root first, parents before children, in natural order."""
        return self.root.areas()

    def masks_others(self, path: str) -> bool:
        """Whether alarms are masked by what is, or would be, at that path."""
        return path in self._core.masks.masked_by

    def table(self) -> list[Leaf]:
        """Alarms that are up and not suppressed, acknowledged or not: worst first, newest first among equals."""
        return sorted(self._core.in_alarm, key=lambda leaf: (-leaf.alarm.severity, -leaf.alarm.time_ns, leaf.path))

    def first_out(self) -> list[Leaf]:
        """The alarms that came first in a burst of several that still is up in some area; no alarm twice."""
        found = {area.burst.first: None for area in self.areas() if area.burst is not None and area.burst.size > 1}
        return list(found)

    def bursts(self, leaf: Leaf) -> list[Area]:
        """The areas above, the nearest first, in which it came together with others; their `first_out` led."""
        return bursts.bursts(leaf)

    # -- what is configured --------------------------------------------------------------------------------------------

    def load(self, items: Iterable[Item]) -> None:
        """Take over items in bulk, before anything runs: nobody is told. An item that comes again replaces the earlier.

        ConfigError with all problems; the tree is of no use then.
        """
        problems: list[str] = []
        structure = self._structure
        with self._core.tell.silence():
            for item in items:
                problem = structure.problem(item)
                if problem:
                    problems.append(problem)
                    continue
                node, _ = structure.put(item)
                if isinstance(node, Leaf):
                    edits.begin(node, item, self._core, self._suppression)
                else:
                    node.config, node.extras = edits.area_config(item), item.extras
        if problems:
            raise ConfigError(problems)

    def put(self, item: Item, who: Person) -> None:
        """Configure one item; missing areas above it are made. What is the same already does nothing.

        An alarm keeps its state and whatever runs (in `compatible` it begins anew, as in Phoebus: that drops a latch).
        ConfigError with path and reason.
        """
        problem = self._structure.problem(item)
        if problem:
            raise ConfigError([problem])
        made = self._structure.missing(item.path)
        node, new = self._structure.put(item)
        for area in made:
            found = self._structure.get(area)
            self._core.tell.configured(found.item, who)
            if isinstance(found, Area):
                self._core.tell.area_changed(found)
        if isinstance(node, Leaf):
            edits.put_leaf(node, item, new, who, self._core, self._suppression)
        else:
            edits.put_area(node, item, new, who, self._core)

    def remove(self, path: str, who: Person) -> None:
        """Take an item away, and all that is below it; those are told first. ConfigError for the root."""
        node = self._structure.get(path)
        if node is self.root:
            raise ConfigError([f"{path}: the root stays"])
        self._core.edited("delete", node.path, who)
        self._remove(node, who)
        self._core.masks.check()

    def _remove(self, node: Area | Leaf, who: Person) -> None:
        if isinstance(node, Area):
            for child in node.children:
                self._remove(child, who)
        above = node.above()
        if isinstance(node, Leaf):
            edits.end(node, self._core, self._suppression)
        self._structure.remove(node)
        for area in above:
            bursts.forget(area, node if isinstance(node, Leaf) else None)
        self._core.tell.removed(node.path, who)
        if isinstance(node, Leaf):
            for area in above:
                self._core.tell.area_changed(area)

    # -- what PVs say --------------------------------------------------------------------------------------------------

    def update(self, leaf: Leaf, severity: int, message: str, value: str, time_ns: int) -> None:
        """A PV has a new state: its severity as in Channel Access (0 to 3, else UNDEFINED), and its time in UTC ns."""
        if self._core.losses.waiting:
            self._core.losses.forget(leaf)
        leaf.logic.on_update(State(from_epics(severity), message, value, time_ns))

    def disconnected(self, leaf: Leaf, time_ns: int) -> None:
        """A PV cannot be reached."""
        self._core.losses.lost(leaf, time_ns)

    def set_filter(self, leaf: Leaf, passes: bool) -> None:
        """The filter of an alarm says whether it is one."""
        self._suppression.set_filter(leaf, passes)

    # -- what people do ------------------------------------------------------------------------------------------------

    def acknowledge(self, path: str, who: Person, on: bool = True) -> int:
        """Somebody knows of an alarm, or of all that are visible below an area (or takes that back); how many changed.

        Of an area, suppressed alarms are left alone: nobody has seen them. Named by itself, each can be acknowledged.
        """
        return sum(1 for _ in self.acknowledging(path, who, on))

    def acknowledging(self, path: str, who: Person, on: bool = True) -> Iterator[Leaf]:
        """The same, one alarm after the other: what becomes another in between is left alone. Iterate to the end."""
        node = self._structure.get(path)
        action = "acknowledge" if on else "unacknowledge"
        if isinstance(node, Leaf):
            leaves = [node] if node.logic.can_acknowledge(on) else []
        else:
            below = [leaf for leaf in self._core.in_alarm if node is self.root or node in leaf.above()]
            leaves = [leaf for leaf in below if leaf.logic.can_acknowledge(on)]
            self._edited_area(action, node, who, len(leaves))
        for leaf, seen in [(leaf, leaf.alarm) for leaf in leaves]:
            gone = leaf.logic.owner is not leaf or (leaf is not node and leaf not in self._core.in_alarm)
            if gone or leaf.alarm is not seen or not leaf.logic.can_acknowledge(on):
                continue
            self._core.edited(action, leaf.path, who, "" if leaf is node else f"with {node.path}")
            leaf.acknowledged_by = who if on else None
            leaf.logic.acknowledge(on)
            yield leaf

    def shelve(self, path: str, who: Person, why: str, until_ns: int | None = None, one_shot: bool = False) -> int:
        """Put an alarm aside, or all below an area; how many. Until a time (UTC ns), at most for `max_shelf` seconds.

        `one_shot`: at most until the alarm clears. ConfigError when nothing is said of why, or the time cannot be.
        """
        node = self._structure.get(path)
        until = self._suppression.end_of_shelf(node.path, why, until_ns)
        shelf = Shelf(who, why.strip(), self.clock.now_ns(), until, one_shot)
        leaves = list(self.leaves(node.path))
        detail = f"{'once, at most ' if one_shot else ''}until {moment(until)}: {shelf.why}"
        self._edited_area("shelve", node, who, len(leaves), detail)
        for leaf in leaves:
            self._core.edited("shelve", leaf.path, who, detail)
            self._suppression.shelve(leaf, shelf)
        return len(leaves)

    def unshelve(self, path: str, who: Person) -> int:
        """Take an alarm off its shelf, or all below an area; how many lay on one."""
        node = self._structure.get(path)
        leaves = [leaf for leaf in self.leaves(node.path) if leaf.shelf is not None]
        self._edited_area("unshelve", node, who, len(leaves))
        for leaf in leaves:
            self._suppression.unshelve(leaf, who)
        return len(leaves)

    def enable(self, path: str, who: Person) -> int:
        """Enable an alarm, or all below an area; how many were disabled."""
        return self._configure_enabled(path, who, LeafConfig(), "enable", "")

    def disable(self, path: str, who: Person, until_ns: int | None = None, why: str = "") -> int:
        """Disable an alarm, or all below an area, for ever or until a time (UTC ns); how many it was new for.

        This is part of the configuration, as in Phoebus. ConfigError when the time is over.
        """
        until = None
        detail = why
        if until_ns is not None:
            if until_ns <= self.clock.now_ns():
                raise ConfigError([f"{path}: it cannot be disabled until {moment(until_ns)}: that is over"])
            until = datetime.fromtimestamp(until_ns // SECOND, UTC).replace(microsecond=until_ns % SECOND // 1000)
            detail = f"until {moment(until_ns)}{': ' if why else ''}{why}"
        return self._configure_enabled(path, who, LeafConfig(enabled=False, disabled_until=until), "disable", detail)

    def _configure_enabled(self, path: str, who: Person, like: LeafConfig, action: str, detail: str) -> int:
        node = self._structure.get(path)
        wanted = (like.enabled, like.disabled_until)
        leaves = [
            leaf for leaf in self.leaves(node.path) if (leaf.config.enabled, leaf.config.disabled_until) != wanted
        ]
        self._edited_area(action, node, who, len(leaves), detail)
        for leaf in leaves:
            self._core.edited(action, leaf.path, who, detail)
            config = replace(leaf.config, enabled=like.enabled, disabled_until=like.disabled_until)
            edits.take(leaf, replace(leaf.item, config=config), who, self._core, self._suppression)
        return len(leaves)

    def _edited_area(self, action: str, node: Area | Leaf, who: Person, count: int, detail: str = "") -> None:
        """An act on an area is told once for it, before each alarm that it concerns."""
        if isinstance(node, Area) and count:
            alarms = "1 alarm" if count == 1 else f"{count} alarms"
            self._core.edited(action, node.path, who, f"{alarms}, {detail}" if detail else alarms)

    # -- modes ---------------------------------------------------------------------------------------------------------

    def set_mode(self, text: str, who: Person) -> None:
        """Another operating mode: alarms that are none in it are suppressed. "" is none known: nothing is."""
        if text == self.mode:
            return
        self._core.edited("mode", self.root.path, who, f"operating mode {text or 'unknown'}")
        self._suppression.set_mode(text)
        self._core.tell.modes_changed()

    def maintenance(self, on: bool, who: Person) -> None:
        """Maintenance mode: what is INVALID or UNDEFINED, or becomes so, counts as acknowledged; nothing is said."""
        context = self._core.context
        if context.maintenance == on:
            return
        context.maintenance = on
        self._core.edited("mode", self.root.path, who, "maintenance" if on else "normal")
        self._core.tell.modes_changed()
        for leaf in list(self._structure.leaves()):
            if on and leaf.alarm.severity >= INVALID:
                leaf.acknowledged_by = who
                leaf.logic.set_maintenance(on)

    def notify(self, on: bool, who: Person) -> None:
        """Whether mail and the like are sent."""
        if self.notifying == on:
            return
        self.notifying = on
        self._core.edited("notify", self.root.path, who, "on" if on else "off")
        self._core.tell.modes_changed()

    # -- over restarts -------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """All that must survive a restart, as JSON has it."""
        return snapshot.of_tree(self, self._core)

    def restore(self, found: Mapping[str, Any]) -> None:
        """What `snapshot` gave, before anything runs. Unknown paths, and what is not understood, are left out."""
        snapshot.restore(self, found, self._core, self._suppression)

    def state_of(self, leaf: Leaf) -> dict[str, Any]:
        """What `snapshot` holds of one alarm below `leaves` and its path; {}: nothing is known of it yet."""
        return snapshot.of_leaf(leaf, self._core)

    def server_state(self) -> dict[str, Any]:
        """What `snapshot` holds besides alarms."""
        return snapshot.of_server(self, self._core)

    def stop(self) -> None:
        """No timer runs any more."""
        for leaf in self._structure.leaves():
            leaf.logic.stop()
            self._core.chatter.forget(leaf)
        self._suppression.stop()
        self._core.losses.stop()
        self._core.masks.stop()
        self._core.flood.stop()
        self._core.voice.stop()
