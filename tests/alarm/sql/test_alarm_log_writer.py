"""What happens in a tree, as rows of the log."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from db.alarms.event import EFFECTIVE, Event
from db.alarms.writer import EventWriter
from iocs.alarm.log import LogWriter
from iocs.alarm.tree.clock import VirtualClock
from iocs.alarm.tree.events import Person
from iocs.alarm.tree.items import Extras, Item, LeafConfig
from iocs.alarm.tree.tree import AlarmTree

ADA = Person("ada", "console")
A, B = "/DEMO/HV/A", "/DEMO/HV/B"


class Rows(EventWriter):
    """Takes rows and keeps them."""

    def __init__(self) -> None:
        self.rows: list[Event] = []

    def put(self, events: Iterable[Event]) -> None:
        self.rows += events

    def new(self) -> list[Event]:
        """Since the last time."""
        taken, self.rows = self.rows, []
        return taken


class Stand:
    """A tree of two alarms with its log."""

    def __init__(self, snapshot: dict | None = None, begin_ns: int = 1_800_000_000_000_000_000) -> None:
        self.clock = VirtualClock(begin_ns)
        self.tree = AlarmTree("DEMO", self.clock)
        latching = LeafConfig(description="Voltage")
        self.tree.load([Item(A, latching, Extras(priority="high")), Item(B, LeafConfig(latching=False))])
        if snapshot is not None:
            self.tree.restore(snapshot)
        self.rows = Rows()
        self.log = LogWriter(self.tree, self.rows)
        self.tree.listeners.append(self.log)
        self.log.begin()

    def update(self, pv: str, severity: int, message: str = "HIHI_ALARM") -> None:
        leaf = self.tree.leaf_of(pv)
        assert leaf is not None
        self.tree.update(leaf, severity, message, "12.5 V", self.clock.now_ns() - 5)


@pytest.fixture
def stand() -> Stand:
    found = Stand()
    (begin,) = found.rows.new()
    assert (begin.kind, begin.path, begin.user, begin.detail) == (
        "server",
        "/DEMO",
        "alarm-server",
        "the server begins",
    )
    return found


def short(event: Event) -> tuple[str, str, str]:
    """(kind, path, what)."""
    what = f"{EFFECTIVE[event.effective_before]}-{EFFECTIVE[event.effective]}"
    return event.kind, event.path, what if event.kind == "transition" else event.user


def test_an_alarm_comes_is_acknowledged_and_goes(stand: Stand) -> None:
    stand.update("A", 2)
    rows = stand.rows.new()
    assert [short(row) for row in rows] == [("transition", A, "Normal-Active"), ("announce", A, "")]
    came, said = rows
    assert (came.pv, came.severity, came.before, came.current, came.raised, came.priority) == ("A", 6, 0, 6, True, 3)
    assert (came.message, came.current_message, came.value) == ("HIHI_ALARM", "HIHI_ALARM", "12.5 V")
    assert (came.time_ns, came.time_pv_ns) == (stand.clock.now_ns(), stand.clock.now_ns() - 5)
    assert came.first_out
    assert said.detail == "MAJOR Alarm: Voltage"
    stand.clock.advance(10)
    stand.tree.acknowledge(A, ADA)
    act, acked = stand.rows.new()
    assert (short(act), act.host, act.pv) == (("ack", A, "ada"), "console", "A")
    assert short(acked) == ("transition", A, "Active-Acknowledged")
    assert (acked.severity, acked.before, acked.user, acked.raised) == (2, 6, "ada", False)
    stand.update("A", 0, "NO_ALARM")
    (gone,) = stand.rows.new()
    assert (short(gone), gone.severity, gone.before) == (("transition", A, "Acknowledged-Normal"), 0, 2)


def test_the_second_of_a_burst_says_with_what_it_came(stand: Stand) -> None:
    stand.update("A", 2)
    stand.clock.advance(0.3)
    stand.update("B", 1)
    first, second = (row for row in stand.rows.new() if row.kind == "transition")
    assert first.burst == second.burst != ""
    assert (first.first_out, second.first_out) == (True, False)


def test_all_that_people_do_is_logged(stand: Stand) -> None:
    tree = stand.tree
    stand.update("A", 2)
    stand.rows.new()
    tree.shelve(A, ADA, "known", stand.clock.now_ns() + 60_000_000_000)
    shelve, shelved = stand.rows.new()
    assert short(shelve) == ("shelve", A, "ada")
    assert shelve.detail.endswith(": known")
    assert short(shelved) == ("transition", A, "Active-NormalContinuousShelved")
    stand.clock.advance(61)
    rows = stand.rows.new()
    assert [row.kind for row in rows] == ["unshelve", "transition", "announce"]
    assert short(rows[1]) == ("transition", A, "NormalContinuousShelved-Active")
    assert rows[1].raised
    tree.disable(B, ADA, why="no cable")
    tree.enable(B, ADA)
    tree.set_mode("beam", ADA)
    tree.maintenance(True, ADA)
    tree.notify(False, ADA)
    tree.put(Item("/DEMO/HV/C", LeafConfig()), ADA)
    tree.acknowledge("/DEMO", ADA)
    tree.acknowledge(A, ADA, False)
    acts = [(row.kind, row.path) for row in stand.rows.new() if row.kind not in ("transition", "announce")]
    assert acts == [
        *[("disable", B), ("enable", B), ("mode", "/DEMO"), ("mode", "/DEMO"), ("notify", "/DEMO")],
        *[("config", "/DEMO/HV/C"), ("ack", "/DEMO"), ("ack", A), ("unack", A)],
    ]
    tree.remove("/DEMO/HV", ADA)
    rows = stand.rows.new()
    assert ("delete", "/DEMO/HV", "ada") in [short(row) for row in rows]
    # it stands no longer, for the figures
    assert [short(row) for row in rows if row.kind == "transition"] == [("transition", A, "Active-Normal")]
    stand.log.note("action", A, ADA, "mail sent")
    stand.log.end()
    assert [row.kind for row in stand.rows.new()] == ["action", "server"]


def test_a_restart_is_no_news_and_the_chain_of_states_goes_on(stand: Stand) -> None:
    stand.update("A", 2)
    stand.update("A", 0, "NO_ALARM")
    assert short(stand.rows.new()[-1]) == ("transition", A, "Active-ActiveLatched")
    again = Stand(stand.tree.snapshot(), stand.clock.now_ns() + 1_000_000_000)
    assert [row.kind for row in again.rows.new()] == ["server"]
    again.update("A", 0, "NO_ALARM")
    assert again.rows.new() == []
    again.tree.acknowledge(A, ADA)
    assert [short(row) for row in again.rows.new()] == [
        ("ack", A, "ada"),
        ("transition", A, "ActiveLatched-Normal"),
    ]
