"""What people and the operating mode suppress: what is raised and announced, and when."""

from __future__ import annotations

from typing import Any

import pytest
from support_alarm_core import ANNA, FRED, Stand, leaf_item

from iocs.alarm.tree.clock import SECOND
from iocs.alarm.tree.items import ConfigError, Extras
from iocs.alarm.tree.tree import NoSuchPath

A, B = "/DEMO/HV/A", "/DEMO/HV/B"


def stand(**options: Any) -> Stand:
    return Stand([leaf_item("A"), leaf_item("B"), leaf_item("C", "TEMP")], **options)


# -- shelves -----------------------------------------------------------------------------------------------------------


def test_what_rises_while_shelved_and_is_there_at_the_end_is_raised_and_announced_then() -> None:
    at = stand()
    at.tree.shelve(A, FRED, "calibration", at.after(600))
    assert at.state("A") == "NormalContinuousShelved"
    at.set("A", "MAJOR")
    assert (at.alarm("A"), at.record.texts) == ("MAJOR", [])
    assert at.record.changes[-1] == (A, "MAJOR", False)
    assert at.counts() == ("OK", 0, 0, 1, 3)
    assert at.tree.table() == []
    at.clock.advance(599)
    assert at.record.texts == []
    at.clock.advance(1)
    assert at.record.changes[-1] == (A, "MAJOR", True)
    assert at.record.texts == ["MAJOR Alarm: A"]
    assert at.counts() == ("MAJOR", 1, 0, 0, 3)
    assert at.record.actions() == [("shelve", A, "fred"), ("unshelve", A, "alarm-server")]
    assert at.clock.pending == 1, "only what the announcer waits for"


def test_what_came_and_went_while_shelved_stays_unsaid() -> None:
    at = stand()
    at.tree.shelve(A, FRED, "calibration", at.after(600))
    at.set("A", "MAJOR")
    at.set("A", "OK")
    at.clock.advance(1000)
    assert (at.alarm("A"), at.state("A"), at.record.texts) == ("OK", "Normal", [])


def test_what_was_acknowledged_before_is_so_after_the_shelf_unless_it_became_worse() -> None:
    at = stand()
    for pv in ("A", "B"):
        at.set(pv, "MINOR")
    at.tree.acknowledge("/DEMO", ANNA)
    at.tree.shelve("/DEMO/HV", FRED, "work", at.after(60))
    at.set("B", "MAJOR")
    at.record.clear()
    at.clock.advance(60)
    assert at.alarm("A") == "MINOR_ACK"
    assert at.leaf("A").acknowledged_by == ANNA
    assert at.alarm("B") == "MAJOR"
    assert at.record.texts == ["MAJOR Alarm: B"]


def test_a_latched_alarm_that_is_shelved_is_over_once_its_pv_is_ok() -> None:
    at = stand()
    at.set("A", "MAJOR")
    at.tree.shelve(A, FRED, "known", at.after(600))
    at.set("A", "OK")
    at.clock.advance(600)
    assert at.alarm("A") == "OK"
    assert at.record.texts == ["MAJOR Alarm: A"]


@pytest.mark.parametrize("latching", [True, False])
def test_a_one_shot_shelf_ends_when_the_alarm_clears(latching: bool) -> None:
    at = Stand([leaf_item("A", latching=latching)])
    at.set("A", "MAJOR")
    at.tree.shelve(A, FRED, "known", one_shot=True)
    assert at.state("A") == "NormalOneShotShelved"
    at.set("A", "MINOR")
    assert at.leaf("A").shelf is not None
    at.set("A", "OK")
    assert at.leaf("A").shelf is None
    assert at.state("A") == "Normal"
    assert at.record.edits[-1].detail == "cleared"
    at.set("A", "MAJOR")
    assert at.record.texts == ["MAJOR Alarm: A", "MAJOR Alarm: A"]


def test_a_one_shot_shelf_before_the_alarm_is_for_the_next_one() -> None:
    at = stand()
    at.tree.shelve(A, FRED, "will trip", at.after(3600), one_shot=True)
    at.set("A", "OK", "OTHER")
    assert at.leaf("A").shelf is not None
    at.set("A", "MAJOR")
    at.set("A", "OK")
    assert at.leaf("A").shelf is None
    at.tree.shelve(A, FRED, "will trip", at.after(3600), one_shot=True)
    at.clock.advance(3600)
    assert at.leaf("A").shelf is None


def test_a_shelf_has_a_reason_and_an_end() -> None:
    at = stand(max_shelf=3600)
    for why, until in ((" ", None), ("x", at.after(0)), ("x", at.after(3601))):
        with pytest.raises(ConfigError) as refused:
            at.tree.shelve(A, FRED, why, until)
        assert refused.value.problems[0].startswith(f"{A}: ")
    assert at.record.edits == []
    at.tree.shelve(A, FRED, " why ")
    shelf = at.leaf("A").shelf
    assert shelf is not None
    assert (shelf.by, shelf.why, shelf.until_ns) == (FRED, "why", at.after(3600))
    assert "why" in at.record.edits[-1].detail
    at.clock.advance(3600)
    assert at.leaf("A").shelf is None


def test_new_terms_of_a_shelf_and_its_end_by_hand() -> None:
    at = stand()
    assert at.tree.shelve("/DEMO/HV", FRED, "first", at.after(100)) == 2
    assert at.tree.shelve(A, ANNA, "longer", at.after(200)) == 1
    at.clock.advance(150)
    assert at.leaf("B").shelf is None
    shelf = at.leaf("A").shelf
    assert shelf is not None
    assert shelf.by == ANNA
    assert at.tree.unshelve("/DEMO", ANNA) == 1
    assert at.tree.unshelve("/DEMO", ANNA) == 0
    at.clock.advance(100)
    assert at.record.actions() == [
        ("shelve", "/DEMO/HV", "fred"), ("shelve", A, "fred"), ("shelve", B, "fred"), ("shelve", A, "anna"),
        ("unshelve", B, "alarm-server"), ("unshelve", "/DEMO", "anna"), ("unshelve", A, "anna"),
    ]  # fmt: skip
    assert at.clock.pending == 0


def test_a_delay_that_runs_while_shelved_runs_on() -> None:
    at = Stand([leaf_item("A", delay=10)])
    at.tree.shelve(A, FRED, "work", at.after(60))
    at.clock.advance(55)
    at.set("A", "MAJOR")
    at.clock.advance(6)
    assert (at.state("A"), at.record.texts) == ("NormalOnDelayed", [])
    at.clock.advance(5)
    assert at.record.texts == ["MAJOR Alarm: A"]


# -- acknowledging -----------------------------------------------------------------------------------------------------


def test_acknowledging_an_area_leaves_alone_what_nobody_sees() -> None:
    at = stand()
    for pv in ("A", "B", "C"):
        at.set(pv, "MAJOR")
    at.set("C", "OK")
    at.tree.shelve(B, FRED, "work", at.after(60))
    assert at.tree.acknowledge("/DEMO", ANNA) == 2
    assert [at.alarm(pv) for pv in ("A", "B", "C")] == ["MAJOR_ACK", "MAJOR", "OK"]
    assert at.leaf("A").acknowledged_by == ANNA
    assert at.leaf("C").acknowledged_by is None
    assert at.tree.acknowledge("/DEMO", ANNA) == 0
    assert at.tree.acknowledge(B, ANNA) == 1
    assert at.alarm("B") == "MAJOR_ACK"
    assert at.record.actions()[-4:] == [
        ("acknowledge", "/DEMO", "anna"), ("acknowledge", A, "anna"), ("acknowledge", "/DEMO/TEMP/C", "anna"),
        ("acknowledge", B, "anna"),
    ]  # fmt: skip
    at.clock.advance(60)
    assert at.alarm("B") == "MAJOR_ACK"
    assert at.tree.acknowledge("/DEMO", FRED, on=False) == 2
    assert at.leaf("A").acknowledged_by is None
    assert at.record.actions()[-3][0] == "unacknowledge"


def test_who_acknowledged_is_known_while_it_is() -> None:
    at = stand()
    at.set("A", "MINOR")
    at.tree.acknowledge(A, ANNA)
    assert at.state("A") == "Acknowledged"
    at.set("A", "MAJOR")
    assert at.leaf("A").acknowledged_by is None


def test_states_that_an_alarm_has() -> None:
    at = Stand([leaf_item("A", delay=2, extras=Extras(off_delay=2)), leaf_item("B")])
    seen = [at.state("A")]
    at.set("A", "MAJOR")
    seen.append(at.state("A"))
    at.clock.advance(2)
    seen.append(at.state("A"))
    at.set("A", "OK")
    seen.append(at.state("A"))
    at.clock.advance(2)
    seen.append(at.state("A"))
    assert seen == ["Normal", "NormalOnDelayed", "Active", "ActiveOffDelayed", "ActiveLatched"]


# -- disabled ----------------------------------------------------------------------------------------------------------


def test_disabled_until_a_time() -> None:
    at = stand()
    at.set("A", "MAJOR")
    assert at.tree.disable("/DEMO/HV", FRED, at.after(3600), "repair") == 2
    assert (at.alarm("A"), at.leaf("A").alarm.message, at.state("A")) == ("OK", "Disabled", "NormalDisabled")
    assert not at.leaf("A").enabled
    config = at.leaf("A").config
    assert config.disabled_until is not None
    assert (config.enabled, config.disabled_until.timestamp()) == (False, at.after(3600) / SECOND)
    assert [item.path for item in at.record.items] == [A, B]
    assert at.counts() == ("OK", 0, 0, 2, 3)
    at.set("A", "MINOR")
    at.record.clear()
    at.clock.advance(3600)
    assert (at.leaf("A").config.enabled, at.leaf("A").config.disabled_until) == (True, None)
    assert at.record.texts == ["MINOR Alarm: A"]
    assert at.record.actions() == [("enable", A, "alarm-server"), ("enable", B, "alarm-server")]
    assert [item.path for item in at.record.items] == [A, B]
    assert at.counts() == ("MINOR", 1, 0, 0, 3)


def test_disabled_for_ever_and_enabled() -> None:
    at = stand()
    assert at.tree.disable(A, FRED, why="broken sensor") == 1
    assert at.tree.disable(A, FRED) == 0
    assert at.record.edits[-1].detail == "broken sensor"
    at.tree.disable(A, FRED, at.after(10))
    assert at.tree.enable("/DEMO", ANNA) == 1
    at.clock.advance(20)
    assert at.record.actions()[-2:] == [("enable", "/DEMO", "anna"), ("enable", A, "anna")]
    with pytest.raises(ConfigError, match="that is over"):
        at.tree.disable(A, FRED, at.after(-1))
    assert at.clock.pending == 0


def test_two_reasons_at_once() -> None:
    at = stand()
    at.tree.shelve(A, FRED, "work", at.after(100))
    at.tree.disable(A, FRED, at.after(50))
    assert at.state("A") == "NormalDisabled"
    at.set("A", "MAJOR")
    at.clock.advance(50)
    assert (at.state("A"), at.record.texts) == ("NormalContinuousShelved", [])
    at.clock.advance(50)
    assert (at.state("A"), at.record.texts) == ("Active", ["MAJOR Alarm: A"])


# -- filters and modes -------------------------------------------------------------------------------------------------


def test_a_filter_does_not_lose_what_nobody_has_seen() -> None:
    """The alarm that dumped the beam must not go with the beam."""
    at = Stand([leaf_item("A", filter="Beam > 0")])
    at.set("A", "MAJOR")
    at.tree.set_filter(at.leaf("A"), False)
    assert (at.state("A"), at.counts()) == ("NormalFiltered", ("OK", 0, 0, 1, 1))
    at.set("A", "OK")
    at.tree.set_filter(at.leaf("A"), False)
    at.tree.set_filter(at.leaf("A"), True)
    assert (at.alarm("A"), at.state("A")) == ("MAJOR", "ActiveLatched")
    at.tree.acknowledge(A, FRED)
    at.tree.set_filter(at.leaf("A"), False)
    at.set("A", "MAJOR")
    at.set("A", "OK")
    at.tree.set_filter(at.leaf("A"), True)
    assert at.alarm("A") == "OK"


def test_what_a_flapping_filter_raises_again_and_again_chatters() -> None:
    at = Stand([leaf_item("A", filter="Beam > 0")])
    at.set("A", "MAJOR")
    for _ in range(10):
        at.clock.advance(3)
        at.tree.set_filter(at.leaf("A"), False)
        at.tree.set_filter(at.leaf("A"), True)
    assert at.record.texts == ["MAJOR Alarm: A"] * 2
    assert at.leaf("A").chattering


def test_compatible_a_filter_disables_and_a_latch_is_gone() -> None:
    at = Stand([leaf_item("A", filter="Beam > 0")], compatible=True)
    at.set("A", "MAJOR")
    at.tree.set_filter(at.leaf("A"), False)
    assert (at.alarm("A"), at.leaf("A").alarm.message) == ("OK", "Disabled")
    assert at.leaf("A").enabled
    at.tree.shelve(A, FRED, "work", at.after(60))
    at.set("A", "MINOR")
    at.tree.set_filter(at.leaf("A"), True)
    assert (at.alarm("A"), at.record.texts) == ("MINOR", ["MAJOR Alarm: A"])
    at.clock.advance(60)
    assert at.record.texts == ["MAJOR Alarm: A", "MINOR Alarm: A"]


def test_a_filter_that_is_no_more_suppresses_nothing() -> None:
    at = Stand([leaf_item("A", filter="Beam > 0")])
    at.tree.set_filter(at.leaf("A"), False)
    at.set("A", "MAJOR")
    at.tree.put(leaf_item("A"), FRED)
    assert at.record.texts == ["MAJOR Alarm: A"]


def test_operating_modes() -> None:
    at = Stand([leaf_item("A", extras=Extras(modes=("beam", "cosmics"))), leaf_item("B")])
    at.set("A", "MAJOR")
    assert at.tree.mode == ""
    assert at.alarm("A") == "MAJOR", "no mode is known: nothing is suppressed"
    at.tree.set_mode("access", FRED)
    assert (at.state("A"), at.state("B")) == ("NormalFiltered", "Normal")
    assert at.counts() == ("OK", 0, 0, 1, 2)
    at.tree.set_mode("access", FRED)
    at.record.texts.clear()
    at.tree.set_mode("beam", FRED)
    assert (at.state("A"), at.record.texts) == ("Active", ["MAJOR Alarm: A"])
    assert [edit.detail for edit in at.record.edits] == ["operating mode access", "operating mode beam"]
    assert at.record.modes == 2
    at.tree.set_mode("access", FRED)
    at.tree.put(leaf_item("A"), FRED)
    assert at.state("A") == "Active", "it has no modes any more"


def test_maintenance_mode() -> None:
    at = stand()
    at.set("A", "INVALID")
    at.lose("B")
    at.set("C", "MAJOR")
    at.tree.maintenance(True, FRED)
    assert at.tree.in_maintenance
    assert [at.alarm(pv) for pv in "ABC"] == ["INVALID_ACK", "UNDEFINED_ACK", "MAJOR"]
    assert at.leaf("A").acknowledged_by == FRED
    at.clock.advance(60)
    at.record.texts.clear()
    at.set("A", "OK")
    at.set("A", "INVALID")
    assert (at.alarm("A"), at.record.texts) == ("INVALID_ACK", [])
    at.set("B", "MAJOR")
    assert (at.alarm("B"), at.record.texts) == ("MAJOR", ["MAJOR Alarm: B"])
    at.tree.maintenance(True, FRED)
    at.tree.maintenance(False, FRED)
    at.set("A", "OK")
    at.set("A", "INVALID")
    assert at.alarm("A") == "INVALID"
    assert [edit.detail for edit in at.record.edits] == ["maintenance", "normal"]


def test_notification() -> None:
    at = stand()
    at.tree.notify(False, FRED)
    at.tree.notify(False, FRED)
    assert (at.tree.notifying, at.record.modes, at.record.actions()) == (False, 1, [("notify", "/DEMO", "fred")])


@pytest.mark.parametrize("path", ["/DEMO/NONE", "/OTHER", "/OTHER/HV/A", "", "HV", "//", "/DEMO/HV/A/B"])
def test_a_path_that_nothing_is_at(path: str) -> None:
    at = stand()
    for act in (
        lambda: at.tree.acknowledge(path, FRED),
        lambda: at.tree.shelve(path, FRED, "why"),
        lambda: at.tree.unshelve(path, FRED),
        lambda: at.tree.enable(path, FRED),
        lambda: at.tree.disable(path, FRED),
        lambda: at.tree.remove(path, FRED),
    ):
        with pytest.raises(NoSuchPath) as refused:
            act()
        assert str(refused.value) == f"{path}: no such area or alarm"
    assert at.record.order == []
