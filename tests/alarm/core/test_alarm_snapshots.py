"""What survives a restart, and that nothing is announced for it."""

from __future__ import annotations

import json

import pytest
from support_alarm_core import ANNA, FRED, Stand, leaf_item

from iocs.alarm.tree.items import Extras

MASKED = Extras(masked_by="/DEMO/HV/Source")
ITEMS = [
    leaf_item("Latched"), leaf_item("Acked"), leaf_item("Shelved"), leaf_item("Delayed", delay=10),
    leaf_item("OffDelayed", extras=Extras(off_delay=10)), leaf_item("Lost"), leaf_item("Disabled"),
    leaf_item("Filtered", filter="Beam > 0"), leaf_item("Source"), leaf_item("First", extras=MASKED),
    leaf_item("Masked", extras=MASKED), leaf_item("Moded", extras=Extras(modes=("beam",))),
    leaf_item("Counted", delay=100, count=3), leaf_item("Chatters", latching=False), leaf_item("Fine"),
    leaf_item("Unknown"),
]  # fmt: skip


def before() -> Stand:
    at = Stand(ITEMS)
    for item in ITEMS[:-2]:
        pv = item.path.rsplit("/", 1)[1]
        if pv in ("First", "Source", "Masked"):
            continue
        at.set(pv, "MAJOR")
    at.set("Latched", "OK")
    at.tree.acknowledge("/DEMO/HV/Acked", ANNA)
    at.lose("Lost")
    at.set("First", "MAJOR", seconds=-0.5)
    at.set("Source", "MAJOR")
    at.set("Masked", "MAJOR")
    at.tree.shelve("/DEMO/HV/Shelved", FRED, "known", at.after(600), one_shot=True)
    at.tree.disable("/DEMO/HV/Disabled", FRED, at.after(7200))
    at.tree.set_filter(at.leaf("Filtered"), False)
    at.set("Filtered", "OK")
    at.set("OffDelayed", "OK")
    at.tree.set_mode("access", FRED)
    for _ in range(4):
        at.set("Chatters", "OK")
        at.set("Chatters", "MAJOR")
    at.set("Fine", "OK", value="7")
    at.clock.advance(4)
    return at


def states(at: Stand) -> dict[str, tuple[str, str]]:
    return {leaf.pv: (at.alarm(leaf.pv), at.state(leaf.pv)) for leaf in at.tree.leaves()}


def restart(at: Stand) -> Stand:
    """Through JSON, as a store would."""
    found = Stand(at.items())
    found.clock.set(at.clock.now_ns())
    found.tree.restore(json.loads(json.dumps(at.tree.snapshot())))
    return found


def test_everything_is_as_before() -> None:
    old = before()
    new = restart(old)
    assert states(new) == states(old)
    assert new.tree.snapshot() == old.tree.snapshot()
    assert [old.counts(area.path) for area in old.tree.areas()] == [new.counts(area.path) for area in new.tree.areas()]
    assert new.tree.table() != []
    assert [leaf.pv for leaf in new.tree.table()] == [leaf.pv for leaf in old.tree.table()]
    assert new.leaf("Acked").acknowledged_by == ANNA
    assert new.leaf("Shelved").shelf == old.leaf("Shelved").shelf
    assert [leaf.pv for leaf in new.tree.chattering] == ["Chatters"]
    assert new.tree.mode == "access"
    assert new.record.order == []
    assert states(old)["First"] == ("MAJOR", "Active")
    assert states(old)["Masked"] == ("MAJOR", "NormalMasked")


def test_the_first_words_of_the_pvs_say_nothing_new() -> None:
    old = before()
    new = restart(old)
    for leaf in old.tree.leaves():
        if leaf.pv not in ("Disabled", "Unknown"):
            current = leaf.current
            epics = {"OK": 0, "MAJOR": 2, "UNDEFINED": 8}[current.severity.name]
            new.tree.update(new.leaf(leaf.pv), epics, current.message, "other", new.clock.now_ns())
    assert new.record.order == []
    assert states(new) == states(old)
    new.clock.advance(5.9)
    assert new.record.order == [], "delays go on where they were"
    new.clock.advance(0.2)
    assert new.record.texts == ["MAJOR Alarm: Delayed"]
    assert new.state("OffDelayed") == "ActiveLatched"


def test_a_delay_is_over_only_when_the_pv_says_that_it_lasted() -> None:
    old = before()
    new = restart(old)
    new.clock.advance(60)
    assert new.alarm("Delayed") == "OK"
    new.set("Delayed", "OK")
    new.clock.advance(60)
    assert new.record.texts == ["MAJOR Alarm: Chatters"], "it is calm, but was not announced when it came last"
    new = restart(old)
    new.clock.advance(60)
    new.set("Delayed", "MAJOR")
    new.clock.advance(0)
    assert new.record.texts[-1] == "MAJOR Alarm: Delayed"


def test_delays_go_on_whatever_the_first_word_is() -> None:
    old = before()
    new = restart(old)
    new.set("Delayed", "MAJOR", "OTHER")
    new.set("OffDelayed", "OK", "OTHER")
    assert new.state("OffDelayed") == "ActiveOffDelayed"
    new.clock.advance(7)
    assert (new.alarm("Delayed"), new.state("OffDelayed")) == ("MAJOR", "ActiveLatched")


def test_what_happened_meanwhile_is_seen() -> None:
    new = restart(before())
    new.set("Fine", "MAJOR")
    new.set("Acked", "OK")
    new.set("Lost", "MINOR")
    assert [new.alarm(pv) for pv in ("Fine", "Acked", "Lost")] == ["MAJOR", "OK", "MAJOR"]
    new.set("Shelved", "OK")
    assert new.leaf("Shelved").shelf is None


def test_shelves_and_dates_that_ended_meanwhile() -> None:
    old = before()
    new = Stand(old.items())
    new.clock.set(old.after(8000))
    new.tree.restore(old.tree.snapshot())
    assert new.leaf("Shelved").shelf is not None, "it goes on until PVs had the time to say what they are"
    new.set("Shelved", "MAJOR")
    new.clock.advance(29)
    assert new.record.texts == []
    new.clock.advance(1)
    assert new.record.texts == ["MAJOR Alarm: Shelved"]
    new.clock.advance(1)
    assert new.record.texts == ["MAJOR Alarm: Shelved", "MAJOR Alarm: Chatters"]
    new.clock.advance(60)
    assert new.leaf("Disabled").enabled
    again = Stand([item for item in old.items() if not item.path.endswith("Disabled")])
    again.clock.set(old.clock.now_ns())
    again.tree.restore(old.tree.snapshot())
    assert again.tree.find("/DEMO/HV/Disabled") is None


def test_modes_of_the_server() -> None:
    at = Stand(ITEMS)
    at.tree.maintenance(True, FRED)
    at.tree.notify(False, FRED)
    at.tree.set_mode("beam", FRED)
    new = restart(at)
    assert (new.tree.in_maintenance, new.tree.notifying, new.tree.mode) == (True, False, "beam")


def test_a_flood_goes_on() -> None:
    at = Stand([leaf_item(f"A{n}") for n in range(20)])
    for number in range(20):
        at.set(f"A{number}", "MAJOR")
    new = restart(at)
    assert (new.tree.flood, new.tree.rate) == (True, 20)
    new.clock.advance(700)
    assert not new.tree.flood


def test_what_came_first_is_known() -> None:
    at = Stand([leaf_item(pv) for pv in "ABC"])
    at.set("B", "MAJOR", seconds=-0.1)
    at.set("A", "MAJOR", seconds=-0.5)
    at.set("C", "MAJOR")
    assert at.leaf("A").first_out
    new = restart(at)
    assert [new.leaf(pv).first_out for pv in "ABC"] == [True, False, False]


def test_what_cannot_be_read_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    at = Stand([leaf_item("A"), leaf_item("B"), leaf_item("C"), leaf_item("D")])
    good = {"alarm": ["MAJOR", "m", "1", 5], "current": ["MAJOR", "m", "1", 5]}
    at.tree.restore({
        "flood": "x",
        "leaves": {
            "/DEMO/HV/A": {"alarm": ["PURPLE", "", "", 0]}, "/DEMO/HV/B": {"shelf": {"by": 3}}, "/DEMO/HV/C": 7,
            "/DEMO/HV/D": good, "/DEMO/HV": good, "/DEMO/X": good,
        },
    })  # fmt: skip
    assert [at.alarm(pv) for pv in "ABCD"] == ["OK", "OK", "OK", "MAJOR"]
    assert len(caplog.records) == 3
    at.tree.restore({})
    at.tree.restore({"leaves": []})
    assert at.counts() == ("MAJOR", 1, 0, 0, 4)


def test_what_is_disabled_since_has_no_state() -> None:
    at = Stand([leaf_item("A"), leaf_item("B", enabled=False)])
    at.set("A", "MAJOR")
    new = Stand([leaf_item("A", enabled=False), leaf_item("B")])
    new.tree.restore(at.tree.snapshot())
    assert [new.state(pv) for pv in "AB"] == ["NormalDisabled", "Normal"]


def test_the_state_of_one_alarm() -> None:
    at = Stand([leaf_item("A"), leaf_item("B")])
    assert at.tree.state_of(at.leaf("A")) == {}
    at.set("A", "MAJOR")
    assert at.tree.snapshot()["leaves"] == {"/DEMO/HV/A": at.tree.state_of(at.leaf("A"))}
