"""The tree's configuration: loading, edits, removals, and what may not be."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta, timezone

import pytest
from support_alarm_core import ANNA, FRED, Stand, area_item, leaf_item

from iocs.alarm.tree.clock import VirtualClock
from iocs.alarm.tree.events import Effective, Listener, State
from iocs.alarm.tree.items import AreaConfig, ConfigError, Extras, Item, LeafConfig, Link
from iocs.alarm.tree.tree import AlarmTree, Area, Leaf

A = "/DEMO/HV/A"


def refused(at: Stand, item: Item) -> str:
    before = at.tree.snapshot(), at.items()
    with pytest.raises(ConfigError) as caught:
        at.tree.put(item, FRED)
    assert (at.tree.snapshot(), at.items()) == before
    assert at.record.order == []
    assert len(caught.value.problems) == 1
    return caught.value.problems[0]


@pytest.mark.parametrize(("item", "reason"), [
    (Item("/DEMO/TEMP/A", LeafConfig()), "/DEMO/TEMP/A: the PV is in the tree already, as /DEMO/HV/A"),
    (Item("/DEMO/TEMP/ca:\\/\\/A", LeafConfig()),
     "/DEMO/TEMP/ca:\\/\\/A: the PV is in the tree already, as /DEMO/HV/A"),
    (Item("/DEMO/HV", LeafConfig()), "/DEMO/HV: it is an area, not an alarm"),
    (Item("/DEMO", LeafConfig()), "/DEMO: it is an area, not an alarm"),
    (Item("/DEMO/HV/A", AreaConfig()), "/DEMO/HV/A: it is an alarm, not an area"),
    (Item("/DEMO/HV/A/B", LeafConfig()), "/DEMO/HV/A/B: /DEMO/HV/A is an alarm, nothing can be below it"),
    (Item("/DEMO/HV/A/B/C", AreaConfig()), "/DEMO/HV/A/B/C: /DEMO/HV/A is an alarm, nothing can be below it"),
    (Item("/OTHER/HV/B", LeafConfig()), "/OTHER/HV/B: the tree's root is /DEMO"),
    (Item("HV/B", LeafConfig()), "the path 'HV/B' does not begin with '/'"),
    (Item("//", LeafConfig()), "the path '//' names nothing"),
    (Item("/DEMO/B", LeafConfig(delay=-1)), "/DEMO/B: delay and count are between 0 and 1000000"),
    (Item("/DEMO/B", LeafConfig(count=10**9)), "/DEMO/B: delay and count are between 0 and 1000000"),
    (Item("/DEMO/B", LeafConfig(), Extras(off_delay=float("nan"))),
     "/DEMO/B: the off-delay is between 0 and 1000000 s"),
    (Item("/DEMO/B", LeafConfig(), Extras(masked_by="A")), "/DEMO/B: masked by 'A', which is no path"),
    (Item("/DEMO/B", LeafConfig(), Extras(masked_by="/DEMO/B")), "/DEMO/B: an alarm cannot mask itself"),
    (Item("/DEMO/B", LeafConfig(disabled_until=datetime(2031, 1, 1))),
     "/DEMO/B: the date until which it is disabled has no time zone"),
])  # fmt: skip
def test_what_is_refused(item: Item, reason: str) -> None:
    assert refused(Stand([leaf_item("A")]), item) == reason


def test_loading_tells_all_that_is_wrong() -> None:
    tree = AlarmTree("DEMO", VirtualClock())
    with pytest.raises(ConfigError) as caught:
        tree.load([leaf_item("A"), Item("/DEMO/B/A", LeafConfig()), Item("/X/C", LeafConfig()), leaf_item("D")])
    assert len(caught.value.problems) == 2
    for name in ("", "/", "//x"):
        with pytest.raises(ConfigError):
            AlarmTree(name, VirtualClock())


def test_loading_in_any_order_and_twice() -> None:
    guidance = (Link("Call", "1234"),)
    at = Stand([
        leaf_item("L10", "HV"), leaf_item("L9", "HV"), leaf_item("ca://L2", "HV"),
        area_item("/DEMO/HV", guidance=guidance), area_item("/DEMO/EMPTY"), area_item("/DEMO", guidance=guidance),
        leaf_item("L9", enabled=False), leaf_item("L9", delay=3), leaf_item("L10", enabled=False),
    ])  # fmt: skip
    assert at.record.order == []
    assert [leaf.pv for leaf in at.tree.leaves()] == ["ca://L2", "L9", "L10"]
    assert [area.path for area in at.tree.areas()] == ["/DEMO", "/DEMO/EMPTY", "/DEMO/HV"]
    assert at.tree.leaf_of("L2") is at.tree.leaf_of("ca://L2") is at.tree.find("/DEMO/HV/ca:\\/\\/L2")
    assert at.leaf("L2").channel == "L2"
    assert at.tree.find("//DEMO//HV//L9") is at.leaf("L9")
    assert at.leaf("L9").config.delay == 3
    assert at.counts() == ("OK", 0, 0, 1, 3)
    assert at.tree.root.config.guidance == guidance
    assert [leaf.pv for leaf in at.tree.leaves("/DEMO/HV/L9")] == ["L9"]
    assert at.tree.name == "DEMO"
    assert at.tree.find("/DEMO/HV/L9/X") is at.tree.find("/DEM") is at.tree.leaf_of("X") is None


def test_a_new_alarm_makes_its_areas() -> None:
    at = Stand()
    at.tree.put(leaf_item("A", "HV/L07"), FRED)
    assert [item.path for item in at.record.items] == ["/DEMO/HV", "/DEMO/HV/L07", "/DEMO/HV/L07/A"]
    assert at.record.actions() == [("configure", "/DEMO/HV/L07/A", "fred")]
    assert at.record.order[-4:] == ["leaf", "area", "area", "area"]
    assert at.counts() == ("OK", 0, 0, 0, 1)
    at.set("A", "MAJOR")
    assert at.counts() == ("MAJOR", 1, 0, 0, 1)
    at.tree.put(leaf_item("B", "HV/L07", enabled=False), FRED)
    assert at.counts() == ("MAJOR", 1, 0, 1, 2)


def test_what_is_the_same_does_nothing() -> None:
    at = Stand([leaf_item("A"), area_item("/DEMO/HV")])
    at.tree.put(leaf_item("A"), FRED)
    at.tree.put(area_item("/DEMO/HV"), FRED)
    assert at.record.order == []


def test_an_edit_keeps_what_is_known() -> None:
    at = Stand([leaf_item("A"), leaf_item("B"), leaf_item("C")])
    for pv in "ABC":
        at.set(pv, "MAJOR")
    at.set("A", "OK")
    at.tree.acknowledge("/DEMO/HV/B", ANNA)
    at.tree.shelve("/DEMO/HV/C", ANNA, "known", at.after(60))
    at.record.clear()
    for pv in "ABC":
        at.tree.put(leaf_item(pv, delay=2, description="other", extras=Extras(priority="high")), FRED)
    assert [at.state(pv) for pv in "ABC"] == ["ActiveLatched", "Acknowledged", "NormalContinuousShelved"]
    assert at.leaf("B").acknowledged_by == ANNA
    assert at.record.texts == []
    assert at.record.edits[0].detail == "description: A -> other, delay: 0 -> 2, priority: medium -> high"
    at.clock.advance(60)
    assert at.record.texts == ["MAJOR Alarm: other"]


def test_compatible_an_edit_of_the_logic_begins_anew() -> None:
    at = Stand([leaf_item("A")], compatible=True)
    at.set("A", "MAJOR")
    at.set("A", "OK")
    at.tree.put(leaf_item("A", guidance=(Link("a", "b"),)), FRED)
    assert at.alarm("A") == "MAJOR"
    at.tree.put(leaf_item("A", delay=1), FRED)
    assert at.alarm("A") == "OK"
    at.tree.put(leaf_item("A", delay=1, enabled=False), FRED)
    assert at.state("A") == "NormalDisabled"


def test_an_edit_that_disables_and_dates() -> None:
    at = Stand([leaf_item("A")])
    day = at.clock.now_ns() // 10**9
    later = datetime.fromtimestamp(day + 100, timezone(timedelta(hours=9)))
    at.set("A", "MAJOR")
    at.tree.put(leaf_item("A", disabled_until=later), FRED)
    assert (at.state("A"), at.leaf("A").config.enabled) == ("NormalDisabled", False)
    at.tree.put(leaf_item("A", disabled_until=later + timedelta(seconds=50)), FRED)
    at.clock.advance(120)
    assert at.state("A") == "NormalDisabled"
    at.clock.advance(30)
    assert at.state("A") == "Active"
    at.tree.put(leaf_item("A", enabled=False, disabled_until=datetime(2020, 1, 1, tzinfo=UTC)), FRED)
    assert (at.leaf("A").enabled, at.leaf("A").config.disabled_until) == (True, None)
    at = Stand([leaf_item("A", enabled=False, disabled_until=datetime(2020, 1, 1, tzinfo=UTC))])
    assert at.leaf("A").enabled


def test_an_edit_of_an_area() -> None:
    at = Stand([leaf_item("A")])
    item = area_item("/DEMO/HV", guidance=(Link("Call", "1234"),))
    at.tree.put(item, FRED)
    at.tree.put(area_item("/DEMO/NEW"), FRED)
    assert at.record.items == [item, area_item("/DEMO/NEW")]
    assert [edit.detail for edit in at.record.edits] == ["guidance", "new"]
    assert at.tree.root.children[1].item == area_item("/DEMO/NEW")


def test_removing_tells_children_first_and_counts_go() -> None:
    at = Stand([leaf_item("A", "HV/L1"), leaf_item("B", "HV/L1"), leaf_item("C", "TEMP")])
    for pv in "ABC":
        at.set(pv, "MAJOR")
    at.tree.shelve("/DEMO/HV/L1/B", FRED, "known")
    leaf = at.leaf("A")
    at.record.clear()
    at.tree.remove("/DEMO/HV", FRED)
    assert at.record.gone == ["/DEMO/HV/L1/A", "/DEMO/HV/L1/B", "/DEMO/HV/L1", "/DEMO/HV"]
    assert at.record.actions() == [("delete", "/DEMO/HV", "fred")]
    assert at.counts() == ("MAJOR", 1, 0, 0, 1)
    assert at.tree.table() == [at.leaf("C")]
    assert at.tree.find(leaf.path) is at.tree.leaf_of("A") is at.tree.find("/DEMO/HV") is None
    at.tree.put(leaf_item("A", "OTHER"), FRED)
    assert at.alarm("A") == "OK"
    at.tree.stop()
    assert at.clock.pending == 0
    with pytest.raises(ConfigError, match="/DEMO: the root stays"):
        at.tree.remove("/DEMO", FRED)


def test_a_removed_alarm_has_no_timers() -> None:
    at = Stand([leaf_item("A", delay=5), leaf_item("B", extras=Extras(off_delay=5)), leaf_item("C")])
    at.set("A", "MAJOR")
    at.set("B", "MAJOR")
    at.set("B", "OK")
    at.tree.disable("/DEMO/HV/C", FRED, at.after(5))
    at.clock.advance(4)
    at.tree.remove("/DEMO/HV", FRED)
    at.record.clear()
    at.clock.advance(100)
    assert at.record.order == []
    assert at.clock.pending == 0


def test_what_the_pv_of_a_removed_alarm_says_concerns_nobody() -> None:
    at = Stand([leaf_item("A", filter="Beam > 0"), leaf_item("B")])
    gone = at.leaf("A")
    at.tree.remove("/DEMO/HV/A", FRED)
    at.record.clear()
    at.tree.update(gone, 2, "HIHI_ALARM", "1", at.clock.now_ns())
    at.tree.disconnected(gone, at.clock.now_ns())
    at.tree.set_filter(gone, False)
    at.tree.set_filter(gone, True)
    assert at.record.order == []
    assert at.counts() == ("OK", 0, 0, 0, 1)


def test_the_table_has_the_worst_and_newest_first() -> None:
    at = Stand([leaf_item(pv) for pv in "ABCDE"])
    for number, (pv, severity) in enumerate((("A", "MAJOR"), ("B", "MINOR"), ("C", "MAJOR"), ("D", "INVALID"))):
        at.set(pv, severity, seconds=number)
    at.tree.acknowledge("/DEMO/HV/D", FRED)
    at.tree.disconnected(at.leaf("E"), at.clock.now_ns())
    assert [leaf.pv for leaf in at.tree.table()] == ["E", "C", "A", "B", "D"]


def test_the_order_in_which_things_are_told() -> None:
    at = Stand([leaf_item("A")])
    at.set("A", "MAJOR")
    assert at.record.order == ["leaf", "area", "area", "announced"]
    at.record.clear()
    at.tree.acknowledge(A, FRED)
    assert at.record.order == ["acknowledge", "leaf", "area", "area"]
    at.record.clear()
    at.set("A", "MAJOR", "OTHER")
    assert at.record.order == ["leaf"], "the counts are the same"
    at.record.clear()
    at.set("A", "MAJOR", "OTHER", "2")
    assert at.record.order == [], "only the value is another"


def test_a_listener_that_fails_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    class Bad(Listener):
        def leaf_changed(self, leaf: Leaf, before: State, raised: bool) -> None:
            raise OSError("disk full")

        def area_changed(self, area: Area) -> None:
            raise OSError("disk full")

    at = Stand([leaf_item("A")])
    at.tree.listeners.insert(0, Bad())
    with caplog.at_level(logging.CRITICAL):
        at.set("A", "MAJOR")
    assert at.record.texts == ["MAJOR Alarm: A"]
    assert at.leaf("A").effective is Effective.Active
    assert at.counts() == ("MAJOR", 1, 0, 0, 1)


def test_what_becomes_another_while_an_area_is_acknowledged_is_left_alone() -> None:
    at = Stand([leaf_item(name) for name in "ABCDE"])
    for name in "ABCDE":
        at.set(name, "MINOR")
    done = at.tree.acknowledging("/DEMO/HV", ANNA)
    assert next(done).pv == "A"
    at.set("B", "MAJOR")  # nobody has seen that one
    at.tree.shelve("/DEMO/HV/C", FRED, "tests", at.after(600))
    at.tree.remove("/DEMO/HV/D", FRED)
    assert [leaf.pv for leaf in done] == ["E"]
    assert [at.alarm(name) for name in "ABCE"] == ["MINOR_ACK", "MAJOR", "MINOR", "MINOR_ACK"]
