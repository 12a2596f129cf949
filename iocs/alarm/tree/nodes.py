"""The places of the alarm tree: areas, which count, and leaves, which are alarms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iocs.alarm.tree.events import Effective, Person, State
from iocs.alarm.tree.items import NO_EXTRAS, AreaConfig, Extras, Item, LeafConfig
from iocs.alarm.tree.logic import AlarmLogic
from iocs.alarm.tree.paths import natural
from iocs.alarm.tree.severity import AlarmSeverity

if TYPE_CHECKING:
    from iocs.alarm.tree.flood import Chatter

SUPPRESSED = len(AlarmSeverity)
"""What a leaf counts as when it is suppressed; else its severity."""

SEVERITIES = tuple(AlarmSeverity)

SHELVED, DISABLED, FILTERED, OUT_OF_MODE, MASKED = 1, 2, 4, 8, 16
"""Reasons (bits) why an alarm is suppressed."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """An alarm put aside by somebody for a time."""

    by: Person
    why: str
    since_ns: int
    until_ns: int
    one_shot: bool = False
    """It ends when the alarm clears, if that is earlier."""


class Node:
    """A place in the tree."""

    __slots__ = ("config", "extras", "name", "parent", "path")

    def __init__(
        self, path: str, name: str, parent: Area | None, config: AreaConfig | LeafConfig, extras: Extras = NO_EXTRAS
    ) -> None:
        self.path, self.name, self.parent, self.config, self.extras = path, name, parent, config, extras

    @property
    def item(self) -> Item:
        """What is configured here."""
        return Item(self.path, self.config, self.extras)

    def above(self) -> tuple[Area, ...]:
        """The areas above, the nearest first."""
        return self.parent.line if self.parent is not None else ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path}>"


class Area(Node):
    """A folder of alarms. Its severity is the worst of the alarms below it that are not suppressed."""

    __slots__ = ("_sorted", "burst", "config", "counts", "line", "live", "live_ns", "nodes", "severity", "total")

    config: AreaConfig

    def __init__(
        self, path: str, name: str, parent: Area | None, config: AreaConfig, extras: Extras = NO_EXTRAS
    ) -> None:
        super().__init__(path, name, parent, config, extras)
        self.line: tuple[Area, ...] = (self, *self.above())
        """This area and those above."""
        self.nodes: dict[str, Area | Leaf] = {}
        self._sorted: tuple[Area | Leaf, ...] | None = None
        self.counts = [0] * (len(AlarmSeverity) + 1)
        """Leaves below by severity, the suppressed ones last."""
        self.severity = AlarmSeverity.OK
        self.total = 0
        """Leaves below."""
        self.live = 0
        """Leaves below that count and whose PV is in alarm now."""
        self.live_ns = 0
        """Since when there is one (UTC ns)."""
        self.burst: Burst | None = None

    @property
    def children(self) -> tuple[Area | Leaf, ...]:
        """What is directly below, in natural order (L9 before L10)."""
        if self._sorted is None:
            self._sorted = tuple(sorted(self.nodes.values(), key=lambda node: natural(node.name)))
        return self._sorted

    @property
    def active(self) -> int:
        """Alarms below that are up, acknowledged or not."""
        return self.total - self.counts[0] - self.counts[SUPPRESSED]

    @property
    def unacknowledged(self) -> int:
        """Alarms below that wait for somebody."""
        return sum(self.counts[AlarmSeverity.MINOR : SUPPRESSED])

    @property
    def acknowledged(self) -> int:
        """Alarms below that are up, and somebody knows."""
        return sum(self.counts[AlarmSeverity.MINOR_ACK : AlarmSeverity.MINOR])

    @property
    def suppressed(self) -> int:
        """Alarms below that do not count, whether they are up or not."""
        return self.counts[SUPPRESSED]

    @property
    def first_out(self) -> Leaf | None:
        """Which alarm came first in the last burst below (one alarm alone is a burst, too); None: all are gone."""
        return self.burst.first if self.burst is not None else None

    def add(self, node: Area | Leaf) -> None:
        """Put a node directly below."""
        self.nodes[node.name] = node
        self._sorted = None

    def drop(self, node: Area | Leaf) -> None:
        """Take a node away from directly below."""
        del self.nodes[node.name]
        self._sorted = None

    def move(self, old: int, new: int) -> bool:
        """A leaf below counts as `new`, not as `old` any more; True if the area's severity is another for that."""
        counts = self.counts
        counts[old] -= 1
        counts[new] += 1
        return self._worst(old, new)

    def count(self, as_what: int, by: int) -> bool:
        """`by` more leaves are below, which count as `as_what`; True if the area's severity is another for that."""
        self.counts[as_what] += by
        self.total += by
        return self._worst(as_what, as_what)

    def _worst(self, old: int, new: int) -> bool:
        severity, counts = self.severity, self.counts
        if severity != old and severity != new and (new == SUPPRESSED or new < severity):
            return False
        for level in range(SUPPRESSED - 1, 0, -1):
            if counts[level]:
                break
        else:
            level = 0
        self.severity = SEVERITIES[level]
        return level != severity

    def leaves(self) -> Iterator[Leaf]:
        """All alarms below, in natural order."""
        stack: list[Area | Leaf] = list(reversed(self.children))
        while stack:
            node = stack.pop()
            if isinstance(node, Leaf):
                yield node
            else:
                stack.extend(reversed(node.children))

    def areas(self) -> Iterator[Area]:
        """This area and all below, parents before children, in natural order."""
        stack: list[Area] = [self]
        while stack:
            area = stack.pop()
            yield area
            stack.extend(reversed([node for node in area.children if isinstance(node, Area)]))


class Leaf(Node):
    """An alarm: a PV that is watched."""

    __slots__ = (
        "acknowledged_by", "chatter", "config", "counted_live", "counts_as", "effective", "live", "logic", "reasons",
        "shelf", "since_ns",
    )  # fmt: skip

    config: LeafConfig
    parent: Area

    def __init__(self, path: str, name: str, parent: Area, config: LeafConfig, extras: Extras = NO_EXTRAS) -> None:
        super().__init__(path, name, parent, config, extras)
        self.logic: AlarmLogic
        """Set by the tree."""
        self.effective = Effective.Normal
        self.reasons = 0
        """Why it is suppressed: a sum of SHELVED, DISABLED, FILTERED, OUT_OF_MODE, MASKED."""
        self.shelf: Shelf | None = None
        self.acknowledged_by: Person | None = None
        """Who acknowledged it, while it is."""
        self.since_ns = 0
        """Since when the alarm is up (UTC ns), by the PV's clock where that is sane; 0 while it is not."""
        self.live = False
        """The alarm is up, and its PV is in alarm now."""
        self.chatter: Chatter | None = None
        self.counted_live = False
        """`live` as counted in the areas above."""
        self.counts_as = 0
        """What it was last counted as in the areas above: its severity, or SUPPRESSED."""

    @property
    def pv(self) -> str:
        """The PV's name as configured, with `ca://` or `pva://` where that is written."""
        return self.name

    @property
    def channel(self) -> str:
        """The PV's name as Channel Access has it."""
        return channel_of(self.name)

    @property
    def current(self) -> State:
        """What the PV says."""
        return self.logic.current

    @property
    def alarm(self) -> State:
        """What the alarm is, whether suppressed or not."""
        return self.logic.alarm

    @property
    def latch(self) -> bool:
        """It has just risen and latches: the PV has said nothing since."""
        return self.logic.latch

    @property
    def enabled(self) -> bool:
        """It is not disabled; filters, shelves and masks are another matter."""
        return not self.reasons & DISABLED

    @property
    def suppressed(self) -> bool:
        """It does not count and is not announced."""
        return self.reasons != 0

    @property
    def severity(self) -> AlarmSeverity:
        """What counts in the areas above: the alarm's severity, OK while it is suppressed."""
        return AlarmSeverity.OK if self.reasons else self.logic.alarm.severity

    @property
    def chattering(self) -> bool:
        """It comes and goes so often that it is not announced again for now."""
        return self.chatter is not None and self.chatter.on

    @property
    def first_out(self) -> bool:
        """It was the first of several that came together, in an area above it."""
        return any(area.burst is not None and area.burst.first is self and area.burst.size > 1 for area in self.above())


@dataclass(slots=True)
class Burst:
    """Alarms of an area that came together."""

    first: Leaf
    first_ns: int
    last_ns: int
    size: int = 1


def channel_of(name: str) -> str:
    """A PV's name without `ca://`."""
    return name.removeprefix("ca://")
