"""Whatever happens in whatever order: what must hold of the tree."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support_alarm_core import CA, FRED, Stand, leaf_item

from iocs.alarm.tree.core import effective
from iocs.alarm.tree.events import Annunciation, Listener, State
from iocs.alarm.tree.items import Extras, Item
from iocs.alarm.tree.judgement import lost
from iocs.alarm.tree.nodes import DISABLED, MASKED, SHELVED, SUPPRESSED, Leaf
from iocs.alarm.tree.severity import AlarmSeverity

PVS = ("A", "B", "C", "D", "E", "F")
AREAS = ("HV/L1", "HV/L2", "TEMP")
PATHS = ("/DEMO", "/DEMO/HV", "/DEMO/HV/L1", "/DEMO/TEMP")
SOURCES = ("", "", "/DEMO/HV/L1/A", "/DEMO/HV/L2/B", "/DEMO/TEMP/C", "/DEMO/HV", "/DEMO/TEMP", "/DEMO", "/DEMO/NONE")

pvs = st.sampled_from(PVS)
extras = st.builds(
    Extras,
    off_delay=st.sampled_from((0.0, 0.0, 3.0)),
    masked_by=st.sampled_from(SOURCES),
    modes=st.sampled_from(((), (), ("beam",))),
    priority=st.sampled_from(("low", "high")),
)
configs = st.fixed_dictionaries(
    {
        "latching": st.sampled_from((True, True, False)),
        "annunciating": st.booleans(),
        "delay": st.sampled_from((0, 0, 2)),
        "count": st.sampled_from((0, 2)),
        "enabled": st.sampled_from((True, True, True, False)),
        "filter": st.sampled_from(("", "Beam > 0")),
    }
)


class Guard(Listener):
    """Nothing that is suppressed is raised or announced; and what was seen is what is."""

    def __init__(self, at: Stand) -> None:
        self.at = at
        self.seen: dict[str, tuple[State, State, int]] = {}

    def leaf_changed(self, leaf: Leaf, before: State, raised: bool) -> None:
        assert not (raised and leaf.suppressed)
        assert leaf.counts_as == (SUPPRESSED if leaf.suppressed else leaf.alarm.severity)
        self.seen[leaf.path] = leaf.alarm, leaf.current, leaf.effective

    def announced(self, annunciation: Annunciation) -> None:
        leaf = self.at.tree.find(annunciation.path)
        if isinstance(leaf, Leaf):
            assert annunciation.text.endswith(leaf.config.description)

    def removed(self, path: str, who: object) -> None:
        self.seen.pop(path, None)


class AlarmMachine(RuleBasedStateMachine):
    """Six alarms in three areas, and everybody at once."""

    compatible = False

    @initialize(
        found=st.lists(st.tuples(st.sampled_from(AREAS), configs, extras), min_size=len(PVS), max_size=len(PVS))
    )
    def begin(self, found: list[tuple[str, dict[str, Any], Extras]]) -> None:
        items = [self.item(pv, *each) for pv, each in zip(PVS, found, strict=True)]
        self.at = Stand(items, compatible=self.compatible, chatter=(3, 20.0), flood=(6, 60.0, 3), max_shelf=300.0)
        self.guard = Guard(self.at)
        self.at.tree.listeners.append(self.guard)
        self.latched: set[str] = set()

    @staticmethod
    def item(pv: str, area: str, config: dict[str, Any], more: Extras) -> Item:
        found = leaf_item(pv, area, more, **config)
        return leaf_item(pv, area, **config) if more.masked_by == found.path else found

    def leaf(self, pv: str) -> Leaf | None:
        return self.at.tree.leaf_of(pv)

    # -- what happens ------------------------------------------------------------------------------------------------

    @rule(
        pv=pvs,
        severity=st.sampled_from(tuple(CA)),
        message=st.sampled_from(("x", "y")),
        early=st.sampled_from((0, 1.5)),
    )
    def says(self, pv: str, severity: str, message: str, early: float) -> None:
        if self.leaf(pv) is None:
            return
        if severity == "UNDEFINED":
            self.at.lose(pv)
        else:
            self.at.set(pv, severity, message, seconds=-early)

    @rule(seconds=st.sampled_from((0.0, 0.5, 1.0, 2.0, 3.0, 10.0, 60.0, 400.0)))
    def wait(self, seconds: float) -> None:
        self.at.clock.advance(seconds)

    @rule(pv=pvs, on=st.booleans())
    def acknowledge(self, pv: str, on: bool) -> None:
        leaf = self.leaf(pv)
        if leaf is not None:
            self.at.tree.acknowledge(leaf.path, FRED, on)
            if on:
                self.latched.discard(leaf.path)

    @rule(path=st.sampled_from(PATHS))
    def acknowledge_area(self, path: str) -> None:
        if self.at.tree.find(path) is not None:
            visible = [leaf.path for leaf in self.at.tree.leaves(path) if not leaf.suppressed]
            self.at.tree.acknowledge(path, FRED)
            self.latched.difference_update(visible)

    @rule(pv=pvs, seconds=st.sampled_from((1, 5, 100)), one_shot=st.booleans())
    def shelve(self, pv: str, seconds: int, one_shot: bool) -> None:
        leaf = self.leaf(pv)
        if leaf is not None:
            self.at.tree.shelve(leaf.path, FRED, "why", self.at.after(seconds), one_shot)
            self.latched.discard(leaf.path)

    @rule(path=st.sampled_from(PATHS))
    def unshelve(self, path: str) -> None:
        if self.at.tree.find(path) is not None:
            self.at.tree.unshelve(path, FRED)

    @rule(pv=pvs, seconds=st.sampled_from((None, 1, 100)))
    def disable(self, pv: str, seconds: int | None) -> None:
        leaf = self.leaf(pv)
        if leaf is not None:
            self.at.tree.disable(leaf.path, FRED, None if seconds is None else self.at.after(seconds))
            self.latched.discard(leaf.path)

    @rule(path=st.sampled_from(PATHS))
    def enable(self, path: str) -> None:
        if self.at.tree.find(path) is not None:
            self.at.tree.enable(path, FRED)

    @rule(pv=pvs, passes=st.booleans())
    def filters(self, pv: str, passes: bool) -> None:
        leaf = self.leaf(pv)
        if leaf is not None and leaf.config.filter:
            self.at.tree.set_filter(leaf, passes)

    @rule(mode=st.sampled_from(("", "beam", "access")))
    def mode(self, mode: str) -> None:
        self.at.tree.set_mode(mode, FRED)

    @rule(on=st.booleans())
    def maintenance(self, on: bool) -> None:
        self.at.tree.maintenance(on, FRED)
        self.latched.clear()

    @rule(pv=pvs, area=st.sampled_from(AREAS), config=configs, more=extras)
    def put(self, pv: str, area: str, config: dict[str, Any], more: Extras) -> None:
        leaf = self.leaf(pv)
        area = leaf.parent.path.removeprefix("/DEMO/") if leaf is not None else area
        item = self.item(pv, area, config, more)
        self.at.tree.put(item, FRED)
        if not (config["latching"] and config["enabled"]):
            self.latched.discard(item.path)

    @rule(pv=pvs)
    def remove(self, pv: str) -> None:
        leaf = self.leaf(pv)
        if leaf is not None:
            self.at.tree.remove(leaf.path, FRED)
            self.latched.discard(leaf.path)

    @precondition(lambda self: not self.compatible)
    @rule()
    def restart(self) -> None:
        """A snapshot says everything; and the tree goes on from it."""
        before = json.loads(json.dumps(self.at.tree.snapshot()))
        new = Stand(
            self.at.items(), start_ns=self.at.clock.now_ns(), chatter=(3, 20.0), flood=(6, 60.0, 3), max_shelf=300.0
        )
        new.tree.restore(before)
        assert new.tree.snapshot() == before
        for old in self.at.tree.leaves():
            leaf = new.leaf(old.pv)
            assert (leaf.effective, leaf.reasons, leaf.live) == (old.effective, old.reasons, old.live)
            if old.enabled:
                assert (leaf.alarm, leaf.current) == (old.alarm, old.current)
        assert new.record.order == []
        assert new.tree.announcer.flood == new.tree.flood
        self.at.tree.stop()
        assert self.at.clock.pending == 0
        self.at, self.guard = new, Guard(new)
        new.tree.listeners.append(self.guard)

    # -- what holds --------------------------------------------------------------------------------------------------

    @invariant()
    def counts_are_those_of_a_recount(self) -> None:
        if not hasattr(self, "at"):
            return
        for area in self.at.tree.areas():
            leaves = list(area.leaves())
            counted = [AlarmSeverity(leaf.alarm.severity) for leaf in leaves if not leaf.suppressed]
            assert area.severity == max(counted, default=AlarmSeverity.OK)
            assert area.total == len(leaves)
            assert area.suppressed == len(leaves) - len(counted)
            assert area.unacknowledged == sum(each.active for each in counted)
            assert area.active == sum(each is not AlarmSeverity.OK for each in counted)
            assert area.acknowledged == area.active - area.unacknowledged
            assert area.live == sum(leaf.live and not leaf.reasons & ~SHELVED for leaf in leaves)
            assert min(area.counts) >= 0
            first = area.first_out
            assert first is None or (first in leaves and area.active)
        up = {leaf for leaf in self.at.tree.leaves() if leaf.severity is not AlarmSeverity.OK}
        assert set(self.at.tree.table()) == up

    @invariant()
    def each_alarm_agrees_with_itself(self) -> None:
        if not hasattr(self, "at"):
            return
        for leaf in self.at.tree.leaves():
            logic = leaf.logic
            assert leaf.effective is effective(leaf)
            assert bool(leaf.reasons & DISABLED) == (not leaf.config.enabled)
            assert bool(leaf.reasons & SHELVED) == (leaf.shelf is not None)
            assert (leaf.since_ns > 0) == (leaf.alarm.severity is not AlarmSeverity.OK)
            acknowledged = AlarmSeverity.OK < leaf.alarm.severity < AlarmSeverity.MINOR
            assert leaf.acknowledged_by is None or acknowledged
            if not logic.enabled:
                assert logic.pending is logic.held is logic.kept is logic.hidden is None
                assert leaf.alarm.message == "Disabled"
            if logic.kept is not None:
                assert logic.suppressed
            if leaf.alarm.severity is AlarmSeverity.OK and not leaf.suppressed and logic.enabled:
                assert logic.counted.severity is AlarmSeverity.OK or logic.pending is not None
            told = self.guard.seen.get(leaf.path)
            if told is not None:
                alarm, current, state = told
                assert (alarm, current.severity, state) == (leaf.alarm, leaf.current.severity, leaf.effective)

    @invariant()
    def what_is_latched_is_not_lost(self) -> None:
        if not hasattr(self, "at") or self.compatible:
            return
        for leaf in self.at.tree.leaves():
            if self.at.tree.in_maintenance or leaf.shelf is not None or not leaf.enabled:
                self.latched.discard(leaf.path)
            elif leaf.path in self.latched:
                assert leaf.alarm.severity.active or (leaf.suppressed and leaf.logic.kept is not None)
            elif leaf.config.latching and not leaf.suppressed and leaf.alarm.severity.active:
                self.latched.add(leaf.path)

    @invariant()
    def masks_hide_consequences_only(self) -> None:
        if not hasattr(self, "at"):
            return
        leaves = list(self.at.tree.leaves())
        seen = any((leaf.live or leaf.logic.pending) and not leaf.reasons & ~SHELVED for leaf in leaves)
        for leaf in leaves:
            unknown = lost(leaf.logic.counted) or leaf.logic.counted.severity is AlarmSeverity.INVALID
            if leaf.reasons & MASKED and not unknown:
                assert leaf.extras.masked_by
                assert seen, "what masks others is never hidden itself"
                source = self.at.tree.find(leaf.extras.masked_by)
                assert source is not None
                assert source.live or (isinstance(source, Leaf) and source.logic.pending is not None)

    def teardown(self) -> None:
        """When all is over, nothing waits any more."""
        if not hasattr(self, "at"):
            return
        at = self.at
        at.tree.enable("/DEMO", FRED)
        at.tree.unshelve("/DEMO", FRED)
        at.tree.set_mode("", FRED)
        at.tree.maintenance(False, FRED)
        for leaf in list(at.tree.leaves()):
            at.tree.set_filter(leaf, True)
        for leaf in list(at.tree.leaves()):
            at.set(leaf.pv, "OK", "end")
        at.clock.advance(10)
        for _ in range(2):  # an acknowledged lost connection may uncover what it hid
            for leaf in list(at.tree.leaves()):
                at.tree.acknowledge(leaf.path, FRED)
        at.clock.advance(1000)
        assert at.counts()[:4] == ("OK", 0, 0, 0)
        assert at.clock.pending == 0


class CompatibleMachine(AlarmMachine):
    """The same with Phoebus' defects."""

    compatible = True


COMMON = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)
TestAlarms = AlarmMachine.TestCase
TestAlarms.settings = COMMON
TestCompatibleAlarms = CompatibleMachine.TestCase
TestCompatibleAlarms.settings = settings(COMMON, max_examples=25)
