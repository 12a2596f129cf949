"""Filters at work, on a virtual clock and inputs of the test's own."""

from __future__ import annotations

from collections import defaultdict
from typing import cast

import numpy as np
import pytest

from iocs.alarm.tree.clock import VirtualClock
from iocs.alarm.watch.filterwatch import PERIOD, THROTTLE, FilterWatch
from iocs.alarm.watch.inputs import Heard, Inputs, OnValue
from owlshift.ca import Dbr, Metadata


class ByHand:
    """In the place of `Inputs`: the test says what PVs do."""

    def __init__(self) -> None:
        self.callbacks: defaultdict[str, list[OnValue]] = defaultdict(list)

    def follow(self, name: str, on_value: OnValue) -> None:
        self.callbacks[name].append(on_value)

    def leave(self, name: str, on_value: OnValue) -> None:
        self.callbacks[name].remove(on_value)

    def say(self, name: str, value: float | None, severity: int = 0) -> None:
        heard = None if value is None else Heard(np.float64(value), Dbr.DOUBLE, Metadata(), severity, 0)
        for callback in list(self.callbacks[name]):
            callback(heard)


class Bench:
    def __init__(self, compatible: bool = False) -> None:
        self.inputs = ByHand()
        self.clock = VirtualClock()
        self.said: list[tuple[str, bool]] = []
        self.watch = FilterWatch(
            cast(Inputs, self.inputs), self.clock, lambda path, ok: self.said.append((path, ok)), compatible=compatible
        )

    def heard(self) -> list[tuple[str, bool]]:
        self.clock.advance(THROTTLE + PERIOD)
        said, self.said = self.said, []
        return said


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_above_zero_lets_through(bench) -> None:
    bench.watch.set("/R/A", "'Mode:Beam' > 0 && X < 5")
    assert not bench.watch.known("/R/A")
    bench.inputs.say("Mode:Beam", 0)
    bench.inputs.say("X", 1)
    assert bench.heard() == [("/R/A", False)]
    assert bench.watch.known("/R/A")
    bench.inputs.say("Mode:Beam", 2)
    assert bench.heard() == [("/R/A", True)]
    bench.inputs.say("X", 4)
    assert bench.heard() == []


def test_an_input_that_is_gone_lets_through(bench) -> None:
    bench.watch.set("/R/A", "X")
    bench.inputs.say("X", 0)
    assert bench.heard() == [("/R/A", False)]
    bench.inputs.say("X", None)
    assert bench.heard() == [("/R/A", True)]
    assert bench.watch.missing() == ["X"]
    bench.inputs.say("X", 0)
    assert bench.heard() == [("/R/A", False)]
    bench.inputs.say("X", 0, severity=3)
    assert bench.heard() == [("/R/A", True)], "nobody can vouch for an INVALID input"


def test_as_phoebus_does(bench) -> None:
    bench = Bench(compatible=True)
    bench.watch.set("/R/A", "X + Y")
    assert bench.heard() == [], "nothing is known of an input that was never there"
    bench.inputs.say("Y", 0)
    assert bench.heard() == [("/R/A", False)]
    assert not bench.watch.known("/R/A")
    bench.inputs.say("X", 1, severity=3)
    assert bench.heard() == [("/R/A", True)]
    bench.inputs.say("X", None)
    assert bench.heard() == [("/R/A", False)]


def test_one_expression_of_many_alarms_is_evaluated_once(bench) -> None:
    for number in range(100):
        bench.watch.set(f"/R/{number}", "X > 1")
    assert len(bench.inputs.callbacks["X"]) == 1
    bench.inputs.say("X", 0)
    assert len(bench.heard()) == 100
    bench.watch.set("/R/new", "X > 1")
    assert bench.said == [("/R/new", False)]
    for number in range(100):
        bench.watch.drop(f"/R/{number}")
    assert bench.inputs.callbacks["X"]
    bench.watch.set("/R/new", "")
    assert not bench.inputs.callbacks["X"]
    assert bench.said[-1] == ("/R/new", True)


def test_fast_inputs_are_throttled(bench) -> None:
    bench.watch.set("/R/A", "X > 5")
    for number in range(100):
        bench.inputs.say("X", 10 * (number % 2))
        bench.clock.advance(0.02)
    assert 3 <= len(bench.said) <= 6, "every 0.5 s for 2 s"


def test_what_is_no_filter_lets_through_and_is_told(bench) -> None:
    bench.watch.set("/R/A", "X >")
    assert bench.said == [("/R/A", True)]
    assert "column" in bench.watch.problems["/R/A"]
    bench.watch.set("/R/B", "'pva://X' > 0")
    assert "cannot be watched" in bench.watch.problems["/R/B"]
    assert bench.watch.known("/R/B")
    bench.watch.set("/R/A", "X > 0")
    assert "/R/A" not in bench.watch.problems


def test_without_inputs(bench) -> None:
    bench.watch.set("/R/A", "0")
    bench.watch.set("/R/B", "1 < 2")
    assert sorted(bench.heard()) == [("/R/A", False), ("/R/B", True)]
    assert bench.watch.known("/R/A")


def test_closed_it_says_nothing(bench) -> None:
    bench.watch.set("/R/A", "X")
    bench.inputs.say("X", 0)
    bench.watch.close()
    assert bench.heard() == []
