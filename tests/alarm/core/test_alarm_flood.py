"""Alarms that chatter, floods, and which of several came first."""

from __future__ import annotations

from support_alarm_core import FRED, Stand, leaf_item

from iocs.alarm.tree.items import Extras, Priority
from iocs.alarm.tree.tree import Area


def flap(at: Stand, pv: str, times: int, every: float = 1.0, to: str = "MAJOR") -> None:
    for _ in range(times):
        at.set(pv, to)
        at.clock.advance(every / 2)
        at.set(pv, "OK")
        at.clock.advance(every / 2)


# -- chattering --------------------------------------------------------------------------------------------------------


def test_what_chatters_is_marked_and_not_announced_again_until_it_is_calm() -> None:
    at = Stand([leaf_item("A", latching=False)])
    flap(at, "A", 10)
    assert at.record.texts == ["MAJOR Alarm: A"] * 2
    assert at.leaf("A").chattering
    assert at.tree.chattering == [at.leaf("A")]
    assert sum(raised for _, _, raised in at.record.changes) == 10, "each is raised and logged all the same"
    at.clock.advance(60)
    assert not at.leaf("A").chattering
    assert at.tree.chattering == []
    assert at.record.texts == ["MAJOR Alarm: A"] * 2, "it is OK"
    at.set("A", "MAJOR")
    assert at.record.texts == ["MAJOR Alarm: A"] * 3
    at.clock.advance(1000)
    assert at.clock.pending == 0


def test_what_is_up_when_it_is_calm_is_announced_then() -> None:
    at = Stand([leaf_item("A", latching=False)])
    flap(at, "A", 10)
    at.set("A", "MAJOR")
    assert len(at.record.texts) == 2
    at.clock.advance(70)
    assert at.record.texts == ["MAJOR Alarm: A"] * 3
    assert not at.leaf("A").chattering


def test_what_was_acknowledged_meanwhile_is_not_announced_when_it_is_calm() -> None:
    at = Stand([leaf_item("A", latching=False)])
    flap(at, "A", 5)
    at.set("A", "MAJOR")
    at.tree.acknowledge("/DEMO", FRED)
    at.clock.advance(70)
    assert len(at.record.texts) == 2


def test_a_higher_severity_than_before_is_announced_even_then() -> None:
    at = Stand([leaf_item("A", latching=False)])
    flap(at, "A", 5, to="MINOR")
    at.set("A", "MAJOR")
    flap(at, "A", 2, to="MAJOR")
    assert at.record.texts == ["MINOR Alarm: A"] * 2 + ["MAJOR Alarm: A"]


def test_a_latched_alarm_whose_pv_comes_and_goes_chatters() -> None:
    at = Stand([leaf_item("A")])
    flap(at, "A", 3)
    assert at.record.texts == ["MAJOR Alarm: A"]
    assert at.leaf("A").chattering


def test_three_times_in_more_than_a_minute_are_no_chattering() -> None:
    at = Stand([leaf_item("A", latching=False)])
    flap(at, "A", 6, every=31)
    assert len(at.record.texts) == 6
    assert not at.leaf("A").chattering


def test_delays_keep_an_alarm_from_chattering() -> None:
    at = Stand([
        leaf_item("A", delay=2, latching=False),
        leaf_item("B", latching=False, extras=Extras(off_delay=5)),
    ])  # fmt: skip
    flap(at, "A", 10)
    flap(at, "B", 10)
    assert at.tree.chattering == []
    assert at.record.texts == ["MAJOR Alarm: B"]


def test_what_is_disabled_or_removed_chatters_no_more() -> None:
    at = Stand([leaf_item("A"), leaf_item("B")])
    flap(at, "A", 5)
    flap(at, "B", 5)
    at.tree.disable("/DEMO/HV/A", FRED)
    at.tree.remove("/DEMO/HV/B", FRED)
    assert at.tree.chattering == []
    at.clock.advance(100)
    assert at.clock.pending == 0


def test_compatible_everything_is_announced() -> None:
    at = Stand([leaf_item("A", latching=False)], compatible=True)
    flap(at, "A", 30)
    assert len(at.record.texts) == 30


# -- floods ------------------------------------------------------------------------------------------------------------


def many(count: int, priority: Priority = "medium") -> Stand:
    return Stand([leaf_item(f"A{n}", extras=Extras(priority=priority)) for n in range(count)])


def test_a_flood_begins_with_more_than_ten_in_ten_minutes_and_ends_below_five() -> None:
    at = many(20)
    for number in range(10):
        at.set(f"A{number}", "MAJOR")
        at.clock.advance(30)
    assert (at.tree.flood, at.tree.rate) == (False, 10)
    at.set("A10", "MAJOR")
    assert (at.tree.flood, at.tree.rate) == (True, 11)
    assert (at.record.edits[-1].action, at.record.edits[-1].path) == ("server", "/DEMO")
    assert at.record.modes == 1
    at.clock.advance(475)
    assert at.tree.rate == 5
    assert at.tree.flood
    at.clock.advance(30)
    assert (at.tree.flood, at.tree.rate) == (False, 4)
    assert at.record.edits[-1].detail.startswith("flood ends after ")
    assert at.record.modes == 2
    at.clock.advance(1000)
    assert (at.tree.rate, at.clock.pending) == (0, 0)


def test_a_flood_goes_on_while_more_come() -> None:
    at = many(60)
    for number in range(60):
        at.set(f"A{number}", "MAJOR")
        at.clock.advance(30)
    assert at.tree.flood
    assert len([edit for edit in at.record.edits if edit.action == "server"]) == 1


def test_in_a_flood_few_things_are_said() -> None:
    at = many(200)
    for number in range(200):
        at.set(f"A{number}", "MAJOR")
    assert len(at.record.texts) <= 5
    at.clock.advance(60)
    assert at.record.texts[-1] == f"There are {200 - len(at.record.texts) + 1} Alarm messages"
    assert at.counts()[1] == 200


def test_in_a_flood_what_is_important_is_said() -> None:
    at = Stand([*(leaf_item(f"A{n}") for n in range(40)), leaf_item("High", extras=Extras(priority="high"))])
    for number in range(40):
        at.set(f"A{number}", "MINOR")
    at.set("High", "MINOR")
    assert at.record.texts[-1] == "MINOR Alarm: High"
    at.set("A7", "MAJOR")
    assert at.record.texts[-1] == "MAJOR Alarm: A7", "the first so severe"
    at.set("A8", "MAJOR")
    assert at.record.texts[-1] == "MAJOR Alarm: A7"


def test_what_is_not_annunciated_makes_no_flood() -> None:
    at = Stand([leaf_item(f"A{n}", annunciating=False) for n in range(20)])
    for number in range(20):
        at.set(f"A{number}", "MAJOR")
    assert (at.tree.rate, at.tree.flood, at.record.texts) == (0, False, [])
    assert at.counts()[0] == "MAJOR"


def test_a_clock_that_is_set_back_lengthens_nothing() -> None:
    at = many(20)
    flap(at, "A0", 5)
    for number in range(20):
        at.set(f"A{number}", "MAJOR")
    assert at.tree.flood
    assert at.leaf("A0").chattering
    at.clock.set(at.after(-3600))
    at.clock.advance(61)
    assert not at.leaf("A0").chattering
    at.clock.advance(600)
    assert not at.tree.flood


# -- first-out ---------------------------------------------------------------------------------------------------------


def test_which_came_first_goes_by_the_pvs_times() -> None:
    at = Stand([leaf_item(pv, area) for pv, area in (("A", "HV"), ("B", "HV"), ("C", "TEMP"))])
    at.set("B", "MAJOR", seconds=-0.2)
    at.set("C", "MAJOR", seconds=-0.9)
    at.set("A", "MAJOR", seconds=-0.4)
    area = at.tree.find("/DEMO/HV")
    assert isinstance(area, Area)
    assert area.first_out is at.leaf("A")
    assert at.tree.root.first_out is at.leaf("C")
    assert [at.leaf(pv).first_out for pv in "ABC"] == [True, False, True]
    assert set(at.tree.first_out()) == {at.leaf("A"), at.leaf("C")}
    assert [found.path for found in at.tree.bursts(at.leaf("B"))] == ["/DEMO/HV", "/DEMO"]
    assert [found.path for found in at.tree.bursts(at.leaf("C"))] == ["/DEMO"]


def test_one_alarm_alone_is_no_burst() -> None:
    at = Stand([leaf_item("A"), leaf_item("B")])
    at.set("A", "MAJOR")
    at.clock.advance(5)
    at.set("B", "MAJOR")
    assert not at.leaf("A").first_out
    assert not at.leaf("B").first_out
    assert at.tree.bursts(at.leaf("A")) == []
    assert at.tree.root.first_out is at.leaf("B"), "the latest"


def test_the_first_out_stays_until_it_is_acknowledged() -> None:
    at = Stand([leaf_item(pv) for pv in "ABCD"])
    at.set("A", "MAJOR")
    at.set("B", "MAJOR")
    at.clock.advance(60)
    at.set("C", "MAJOR")
    assert at.tree.root.first_out is at.leaf("A")
    at.tree.acknowledge("/DEMO", FRED)
    at.set("D", "MAJOR")
    assert at.tree.root.first_out is at.leaf("D")
    for pv in "ABCD":
        at.set(pv, "OK")
    at.tree.acknowledge("/DEMO", FRED)
    assert at.tree.root.first_out is None


def test_a_first_out_that_is_removed() -> None:
    at = Stand([leaf_item(pv) for pv in "AB"])
    at.set("A", "MAJOR")
    at.set("B", "MAJOR")
    at.tree.remove("/DEMO/HV/A", FRED)
    assert at.tree.root.first_out is None
    assert at.tree.bursts(at.leaf("B")) == []


def test_a_pv_whose_time_cannot_be_right() -> None:
    at = Stand([leaf_item("A"), leaf_item("B"), leaf_item("C")])
    for pv, seconds in (("A", 3600.0), ("B", -2e9), ("C", -100.0)):
        at.set(pv, "MAJOR", seconds=seconds)
    now = at.clock.now_ns()
    assert [at.leaf(pv).since_ns for pv in "ABC"] == [now, now, at.after(-100)]
