"""An alarm tree that runs on a clock moved by hand, with everything that it tells kept in a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from iocs.alarm.tree.clock import SECOND, VirtualClock
from iocs.alarm.tree.events import Annunciation, Edit, Listener, Person, State
from iocs.alarm.tree.items import NO_EXTRAS, AreaConfig, Extras, Item, LeafConfig
from iocs.alarm.tree.paths import escaped
from iocs.alarm.tree.severity import AlarmSeverity
from iocs.alarm.tree.tree import AlarmTree, Area, Leaf

FRED = Person("fred", "cons1")
ANNA = Person("anna", "cons2")

START_NS = 1_795_132_800 * SECOND
CA = {"OK": 0, "MINOR": 1, "MAJOR": 2, "INVALID": 3, "UNDEFINED": 8}


class Record(Listener):
    """What was told."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, str, bool]] = []
        """Path, severity of the alarm, raised."""
        self.areas: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.annunciations: list[Annunciation] = []
        self.edits: list[Edit] = []
        self.items: list[Item] = []
        self.gone: list[str] = []
        self.modes = 0
        self.order: list[str] = []

    def leaf_changed(self, leaf: Leaf, before: State, raised: bool) -> None:
        self.changes.append((leaf.path, leaf.alarm.severity.name, raised))
        self.order.append("leaf")

    def area_changed(self, area: Area) -> None:
        self.areas.append((area.path, area.severity.name))
        self.order.append("area")

    def configured(self, item: Item, who: Person) -> None:
        self.items.append(item)
        self.order.append("configured")

    def removed(self, path: str, who: Person) -> None:
        self.gone.append(path)
        self.order.append("removed")

    def edited(self, edit: Edit) -> None:
        self.edits.append(edit)
        self.order.append(edit.action)

    def announced(self, annunciation: Annunciation) -> None:
        self.annunciations.append(annunciation)
        self.texts.append(annunciation.text)
        self.order.append("announced")

    def modes_changed(self) -> None:
        self.modes += 1

    def actions(self) -> list[tuple[str, str, str]]:
        """Edits: action, path, who."""
        return [(edit.action, edit.path, edit.who.user) for edit in self.edits]

    def clear(self) -> None:
        """Forget."""
        self.__init__()


class Stand:
    """A tree with its clock and record; `set(pv, "MAJOR")` is the PV's word."""

    def __init__(self, items: Sequence[Item] = (), start_ns: int = START_NS, **options: Any) -> None:
        self.clock = VirtualClock(start_ns)
        self.tree = AlarmTree("DEMO", self.clock, **options)
        self.tree.load(items)
        self.record = Record()
        self.tree.listeners.append(self.record)

    def leaf(self, pv: str) -> Leaf:
        leaf = self.tree.leaf_of(pv)
        assert leaf is not None
        return leaf

    def set(self, pv: str, severity: str, message: str = "", value: str = "1", seconds: float = 0.0) -> None:
        """The PV's severity, with a time that is `seconds` from now."""
        time_ns = self.clock.now_ns() + round(seconds * SECOND)
        self.tree.update(self.leaf(pv), CA[severity], message or f"{severity}_ALARM", value, time_ns)

    def lose(self, pv: str) -> None:
        self.tree.disconnected(self.leaf(pv), self.clock.now_ns())

    def alarm(self, pv: str) -> str:
        """The alarm's severity, suppressed or not."""
        return self.leaf(pv).alarm.severity.name

    def state(self, pv: str) -> str:
        return self.leaf(pv).effective.name

    def counts(self, path: str = "/DEMO") -> tuple[str, int, int, int, int]:
        """Severity, unacknowledged, acknowledged, suppressed, total."""
        area = self.tree.find(path)
        assert isinstance(area, Area)
        return area.severity.name, area.unacknowledged, area.acknowledged, area.suppressed, area.total

    def after(self, seconds: float) -> int:
        """The time in so many seconds."""
        return self.clock.now_ns() + round(seconds * SECOND)

    def restarted(self, **options: Any) -> Stand:
        """Another tree with the same items and state, as after a restart at the same time."""
        found = Stand([*self.items()], **options)
        found.clock.set(self.clock.now_ns())
        found.tree.restore(self.tree.snapshot())
        return found

    def items(self) -> list[Item]:
        return [node.item for node in (*self.tree.areas(), *self.tree.leaves())]


def leaf_item(pv: str, area: str = "HV", extras: Extras = NO_EXTRAS, **config: Any) -> Item:
    """An alarm in an area of the demo; it is not announced with its severity in front."""
    return Item(f"/DEMO/{area}/{escaped(pv)}", LeafConfig(**{"description": pv, **config}), extras)


def area_item(path: str, **config: Any) -> Item:
    return Item(path, AreaConfig(**config))


def severity(name: str) -> AlarmSeverity:
    return AlarmSeverity[name]
