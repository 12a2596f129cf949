"""What an operator is: work on one PV's samples, and the reading of its arguments."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from archiver.retrieval.operators.source import NS, Archive, Batches, Given, Source, Stored
from archiver.retrieval.query import Operator, Refused, printable
from archiver.store import Samples

DEFAULT_INTERVAL = 900
"""Seconds."""

MAX_BINS = 20_000_000
"""In one answer; one of this length is several hundred megabytes."""

MAX_POINTS = 1_000_000
"""Of operators that take a number of points: they hold as many samples before they know what to answer."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class Process:
    """What an operator does with samples.

    `interval`: the length of its bins in seconds, None when it has none. `array`: whether it may answer arrays.
    """

    work: Callable[[Source], Iterator[Samples]]
    interval: int | None = None
    array: bool = False

    def run(self, batches: Batches, start: int, end: int) -> Iterator[Samples]:
        """Its answer for samples of a window (unix ns), the newest at or before the start first."""
        return self.work(Given(batches, start, end))

    def open(self, archive: Archive, name: str, start: int, end: int) -> Iterator[Samples]:
        """Its answer for a PV of an archive, out of the archive's tables where they serve; KeyError for no such PV."""
        return self.work(Stored(archive, name, start, end))

    def check(self, start: int, end: int) -> None:
        """Refuse a request for more bins than anybody can use."""
        number = (end - start) // NS // self.interval if self.interval else 0
        if number > MAX_BINS:
            raise Refused(400, f"This asks for {number} bins; at most {MAX_BINS} are made. Use longer bins.")


def whole_number(operator: Operator, default: int) -> int:
    """The first argument, from 1 up; 404 when it is none, as the appliance answers."""
    if not operator.arguments:
        return default
    text = operator.arguments[0]
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:12]) <= 2_147_483_647 and len(text) <= 12):
        raise Refused(404, f"The operator {printable(operator.text, 80)!r} needs a whole number from 1 up.")
    return int(text)


def number_of_points(operator: Operator, default: int) -> int:
    """The first argument as a number of points; 400 when it is too many."""
    points = whole_number(operator, default)
    if points > MAX_POINTS:
        raise Refused(400, f"This asks for {points} points; at most {MAX_POINTS} are made.")
    return points


def real_number(operator: Operator, place: int, default: float) -> float:
    """An argument that may have a fraction, from 0 up; 404 when it is none."""
    if len(operator.arguments) <= place:
        return default
    text = operator.arguments[place]
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not 0 <= value < math.inf:
        raise Refused(404, f"The operator {printable(operator.text, 80)!r} needs a number from 0 up.")
    return value
