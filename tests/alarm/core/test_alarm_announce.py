"""What is said, and when several things are said in one sentence."""

from __future__ import annotations

import pytest
from support_alarm_core import FRED, Stand, leaf_item

from iocs.alarm.tree.announce import spoken
from iocs.alarm.tree.severity import AlarmSeverity

MAJOR = AlarmSeverity.MAJOR


@pytest.mark.parametrize(("description", "text", "standout"), [
    ("Tank pressure high", "MAJOR Alarm: Tank pressure high", False),
    ("*Tank pressure high", "Tank pressure high", False),
    ("!Fire", "MAJOR Alarm: Fire", True),
    ("*!Fire", "Fire", True),
    ("!*Fire", "MAJOR Alarm: *Fire", True),
    ("* There are 2", " There are 2", False),
    ("", "MAJOR Alarm: ", False),
    ("*", "", False),
])  # fmt: skip
def test_texts(description: str, text: str, standout: bool) -> None:
    assert spoken(description, MAJOR) == (text, standout)


def stand(**options: bool) -> Stand:
    return Stand([*(leaf_item(f"A{n}") for n in range(10)), leaf_item("F", description="*!Fire")], **options)


def test_the_first_three_are_said_and_then_all_the_others_at_once() -> None:
    at = stand()
    for number in range(9):
        at.set(f"A{number}", "MAJOR" if number == 8 else "MINOR")
    assert at.record.texts == ["MINOR Alarm: A0", "MINOR Alarm: A1", "MINOR Alarm: A2"]
    at.clock.advance(5)
    last = at.record.annunciations[-1]
    assert (last.text, last.severity, last.path) == ("There are 6 Alarm messages", MAJOR, "/DEMO")
    at.clock.advance(100)
    assert len(at.record.texts) == 4
    assert at.clock.pending == 0


def test_a_few_that_wait_are_said_one_by_one() -> None:
    at = stand()
    for number in range(5):
        at.set(f"A{number}", "MINOR")
    at.clock.advance(5)
    assert at.record.texts[3:] == ["MINOR Alarm: A3", "MINOR Alarm: A4"]


def test_what_stands_out_is_said_in_a_flurry() -> None:
    at = stand()
    for number in range(5):
        at.set(f"A{number}", "MINOR")
    at.set("F", "MAJOR")
    last = at.record.annunciations[-1]
    assert (last.text, last.standout, last.path) == ("Fire", True, "/DEMO/HV/F")


def test_compatible_all_are_said_one_by_one() -> None:
    """There it is the annunciator of each desktop that makes one sentence of many."""
    at = stand(compatible=True)
    for number in range(9):
        at.set(f"A{number}", "MINOR")
    assert len(at.record.texts) == 9


def test_a_reminder_of_what_waits() -> None:
    at = stand()
    at.tree.announcer.nag_period = 900
    at.set("A0", "MINOR")
    at.clock.advance(899)
    assert len(at.record.texts) == 1
    at.clock.advance(1)
    assert at.record.texts[1:] == ["There is 1 active alarm"]
    assert at.record.annunciations[-1].severity is AlarmSeverity.MINOR
    at.set("A1", "MAJOR")
    at.clock.advance(600)
    at.set("A2", "MAJOR")
    at.clock.advance(600)
    assert at.record.texts[-1] == "MAJOR Alarm: A2", "whatever is said begins the time anew"
    at.clock.advance(300)
    assert at.record.texts[-1] == "There are 3 active alarms"
    at.tree.shelve("/DEMO/HV/A0", FRED, "known")
    at.tree.acknowledge("/DEMO/HV/A1", FRED)
    at.clock.advance(900)
    assert at.record.texts[-1] == "There is 1 active alarm"
    at.tree.acknowledge("/DEMO", FRED)
    said = len(at.record.texts)
    at.clock.advance(5000)
    assert len(at.record.texts) == said


def test_the_reminder_can_be_switched_off() -> None:
    at = stand()
    assert at.tree.announcer.nag_period == 0
    at.set("A0", "MAJOR")
    at.clock.advance(10_000)
    at.tree.announcer.nag_period = 60
    at.clock.advance(60)
    at.tree.announcer.nag_period = 0
    at.clock.advance(10_000)
    assert at.record.texts == ["MAJOR Alarm: A0", "There is 1 active alarm"]
    for wrong in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="no time between"):
            at.tree.announcer.nag_period = wrong


@pytest.mark.parametrize("compatible", [False, True])
def test_what_the_server_says_of_itself(compatible: bool) -> None:
    at = stand(compatible=compatible)
    at.tree.announcer.started()
    at.tree.announcer.reconnected()
    blank = " " if compatible else ""
    assert at.record.texts == [
        f"{blank}Alarm server started. Everything is going to be all right.", f"{blank}Alarm server re-connected"
    ]  # fmt: skip
    assert at.record.annunciations[0].severity is AlarmSeverity.OK
    assert at.record.annunciations[0].path == "/DEMO"


def test_nothing_is_said_after_the_end() -> None:
    at = stand()
    at.tree.announcer.nag_period = 60
    for number in range(9):
        at.set(f"A{number}", "MINOR")
    at.tree.stop()
    at.clock.advance(1000)
    assert len(at.record.texts) == 3
    assert at.clock.pending == 0
