"""The conformance vectors that Phoebus' own unit tests amount to, in both ways of the switch.

A step is one of: `SEV` or `SEV/message` (the PV says so), `ack`, `unack`, `disable`, `enable`, `maintenance`, `+s`.
Then `->` what the alarm is, with `A` when it was announced by the step, `=` when nothing was published, `!n` for n
publications.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from iocs.alarm.tree.clock import SECOND, VirtualClock
from iocs.alarm.tree.events import State
from iocs.alarm.tree.items import LeafConfig
from iocs.alarm.tree.logic import AlarmLogic, Context
from iocs.alarm.tree.severity import AlarmSeverity

LATCHING, UNLATCHED = LeafConfig(), LeafConfig(latching=False)


@dataclass
class Run:
    config: LeafConfig
    compatible: bool
    announced: list[str] = field(default_factory=list)
    published: int = 0

    def __post_init__(self) -> None:
        self.clock = VirtualClock()
        self.context = Context(self.clock, self._changed, self.compatible)
        self.logic = AlarmLogic(self.context, self.config)
        self.values = iter(range(1000))

    def _changed(self, logic: AlarmLogic, before: State, raised: bool, came: bool) -> None:
        self.published += 1
        if raised:
            self.announced.append(logic.alarm.severity.name)

    def step(self, what: str) -> None:
        if what.startswith("+"):
            self.clock.advance(float(what[1:]))
        elif what in ("ack", "unack"):
            self.logic.acknowledge(what == "ack")
        elif what == "disable":
            self.logic.disable()
        elif what == "enable":
            self.logic.enable()
        elif what == "maintenance":
            self.logic.set_maintenance(True)
        else:
            name, _, message = what.partition("/")
            self.clock.advance(0.001)
            state = State(AlarmSeverity[name], message or f"{name}_ALARM", str(next(self.values)), self.clock.now_ns())
            self.logic.on_update(state)


VECTORS = {
    "1 latching": (LATCHING, """
        MINOR -> MINOR A; MAJOR -> MAJOR A; MAJOR/other -> MAJOR !1; ack -> MAJOR_ACK; MINOR -> MAJOR_ACK; OK -> OK"""),
    "2 latched": (LATCHING, """
        MINOR -> MINOR A; MAJOR -> MAJOR A; MINOR -> MAJOR; OK -> MAJOR; ack -> OK"""),
    "3 acknowledged and worse": (LATCHING, """
        MAJOR -> MAJOR A; ack -> MAJOR_ACK; INVALID -> INVALID A; MAJOR -> INVALID; ack -> MAJOR_ACK;
        UNDEFINED -> UNDEFINED A; ack -> UNDEFINED_ACK; MAJOR -> UNDEFINED_ACK; OK -> OK"""),
    "4 acknowledgement taken back": (LATCHING, """
        MAJOR -> MAJOR A; UNDEFINED -> UNDEFINED A; ack -> UNDEFINED_ACK; MAJOR -> UNDEFINED_ACK; unack -> MAJOR;
        ack -> MAJOR_ACK; OK -> OK"""),
    "5 acknowledged when better": (LATCHING, """
        MAJOR -> MAJOR A; MINOR -> MAJOR; ack -> MINOR_ACK; MAJOR -> MAJOR A; MINOR -> MAJOR; ack -> MINOR_ACK;
        OK -> OK"""),
    "6 unlatched": (UNLATCHED, """
        MAJOR -> MAJOR A; MINOR -> MINOR; MAJOR -> MAJOR A; ack -> MAJOR_ACK; MINOR -> MAJOR_ACK; OK -> OK"""),
    "7 over before the delay": (LeafConfig(delay=2), """
        MAJOR -> OK; +0.9 -> OK; OK -> OK; +10 -> OK ="""),
    "8 delay, latching": (LeafConfig(delay=2), """
        MINOR -> OK; MAJOR -> OK; MINOR -> OK; +3 -> MAJOR A"""),
    "9 delay, unlatched": (LeafConfig(latching=False, delay=2), """
        MAJOR -> OK; MINOR -> OK; +3 -> MINOR A"""),
    "10 ten short alarms": (
        LeafConfig(delay=2), "; ".join(["MAJOR -> OK; +0.998 -> OK; OK -> OK"] * 10) + "; +9 -> OK"),
    "11 count": (LeafConfig(delay=200, count=3), """
        MINOR -> OK; OK -> OK; MINOR -> OK; OK -> OK; MINOR -> MINOR A; OK -> MINOR; ack -> OK; +300 -> OK ="""),
    "12 messages": (LATCHING, """
        INVALID/Disconnected -> INVALID A; INVALID/Timeout -> INVALID !1; INVALID/Timeout -> INVALID ="""),
    "13 disabled": (LATCHING, """
        disable -> OK !1; MINOR -> OK =; enable -> MINOR A; MAJOR -> MAJOR A; disable -> OK !1; enable -> MAJOR A"""),
    "14 maintenance": (UNLATCHED, """
        maintenance -> OK; MINOR -> MINOR A; INVALID -> INVALID_ACK; MINOR -> MINOR A"""),
}  # fmt: skip


@pytest.mark.parametrize("compatible", [False, True], ids=["ours", "compatible"])
@pytest.mark.parametrize("name", VECTORS)
def test_vector(name: str, compatible: bool) -> None:
    config, steps = VECTORS[name]
    run = Run(config, compatible)
    for number, step in enumerate(steps.split(";")):
        what, _, expected = (part.strip() for part in step.partition("->"))
        severity, *marks = expected.split()
        announced, published = len(run.announced), run.published
        run.step(what)
        where = f"step {number}: {step.strip()}"
        assert run.logic.alarm.severity.name == severity, where
        assert run.announced[announced:] == ([severity] if "A" in marks else []), where
        for mark in marks:
            if mark == "=":
                assert run.published == published, where
            elif mark.startswith("!"):
                assert run.published == published + int(mark[1:]), where


@pytest.mark.parametrize("compatible", [False, True])
def test_what_an_alarm_shows_besides_its_severity(compatible: bool) -> None:
    run = Run(LATCHING, compatible)
    for step in ("MAJOR/first", "MINOR/second"):
        run.step(step)
    assert (run.logic.alarm.message, run.logic.alarm.value) == ("first", "0")
    run.step("ack")
    assert (run.logic.alarm.message, run.logic.alarm.value) == ("second", "1")

    run = Run(LeafConfig(delay=2), compatible)
    run.step("MINOR/low")
    run.step("MAJOR/high")
    highest = run.logic.current
    run.step("MINOR/low")
    run.step("+3")
    assert run.logic.alarm == highest

    run = Run(LATCHING, compatible)
    run.step("INVALID/Disconnected")
    run.step("INVALID/Timeout")
    assert run.logic.alarm.message == "Disconnected"
    assert run.logic.current.message == "Timeout"

    run = Run(LATCHING, compatible)
    run.step("disable")
    assert run.logic.alarm == State(AlarmSeverity.OK, "Disabled", "", run.clock.now_ns())


@pytest.mark.parametrize("compatible", [False, True])
def test_latch_is_said_with_the_rise_only(compatible: bool) -> None:
    run = Run(LATCHING, compatible)
    seen = []
    for step in ("MINOR", "MINOR/other", "MAJOR", "MINOR", "OK", "ack"):
        run.step(step)
        seen.append(run.logic.latch)
    assert seen == [True, False, True, False, False, False]
    run = Run(UNLATCHED, compatible)
    run.step("MAJOR")
    assert not run.logic.latch


@pytest.mark.parametrize("compatible", [False, True])
def test_a_count_is_of_changes_within_the_delay(compatible: bool) -> None:
    run = Run(LeafConfig(delay=5, count=3), compatible)
    for _ in range(4):
        for step in ("MINOR", "+2", "OK", "+2"):
            run.step(step)
        assert run.logic.alarm.severity is AlarmSeverity.OK
    assert run.clock.now_ns() > 10 * SECOND
    for step in ("MINOR", "OK", "MINOR", "OK", "MINOR"):
        run.step(step)
    assert run.announced == ["MINOR"]
