"""The conformance vectors that Phoebus' own unit tests amount to, in both ways of the switch."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from support_alarm_vectors import LATCHING, UNLATCHED, VECTORS, steps_of

from iocs.alarm.tree.clock import SECOND, VirtualClock
from iocs.alarm.tree.events import State
from iocs.alarm.tree.items import LeafConfig
from iocs.alarm.tree.logic import AlarmLogic, Context
from iocs.alarm.tree.severity import AlarmSeverity


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


@pytest.mark.parametrize("compatible", [False, True], ids=["ours", "compatible"])
@pytest.mark.parametrize("name", VECTORS)
def test_vector(name: str, compatible: bool) -> None:
    config, steps = VECTORS[name]
    run = Run(config, compatible)
    for number, step in enumerate(steps_of(steps)):
        announced, published = len(run.announced), run.published
        run.step(step.what)
        where = f"step {number}: {step.text}"
        assert run.logic.alarm.severity.name == step.severity, where
        assert run.announced[announced:] == ([step.severity] if step.announced else []), where
        if step.published is not None:
            assert run.published == published + step.published, where


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
