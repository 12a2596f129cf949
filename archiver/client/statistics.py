"""Statistics of a PV over a window, gone through once, whatever its length."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from archiver.client.access import NS, Reading

KEPT_GAPS = 1000
"""The longest intervals that are remembered."""

FACTOR = 10.0
"""An interval so many times the median one is a gap, if nothing else is said."""


@dataclass
class Statistics:
    """What there is to say of a PV's samples from `start_ns` to `end_ns`, both included.

    `samples`: how many. `first_ns`, `last_ns`: times of the first and last, None without any. `numbers`: how many are
    finite numbers; of those `mean`, `std` (n-1), `low`, `high` and when these were. `severities`: samples of NO_ALARM,
    MINOR, MAJOR, INVALID. `states`: samples by value of an enum.
    `interval_s`: the median time between samples. `gaps`: begin and length (ns) of what is much longer, longest first.
    """

    name: str
    units: str
    start_ns: int
    end_ns: int
    samples: int = 0
    first_ns: int | None = None
    last_ns: int | None = None
    numbers: int = 0
    mean: float = math.nan
    std: float = math.nan
    low: float = math.nan
    high: float = math.nan
    low_ns: int | None = None
    high_ns: int | None = None
    severities: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    states: dict[int, int] = field(default_factory=dict)
    interval_s: float = math.nan
    gaps: list[tuple[int, int]] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Samples per second of the window; NaN when it has no length."""
        span = (self.end_ns - self.start_ns) / NS
        return self.samples / span if span > 0 else math.nan


def statistics(reading: Reading, start_ns: int, end_ns: int, gap_s: float | None = None) -> Statistics:
    """Go through a reading. `gap_s`: what is longer counts as a gap; None: ten times the median interval."""
    found = Statistics(reading.name, reading.metadata.get("EGU", ""), start_ns, end_ns)
    intervals = _Intervals()
    square = 0.0
    for batch in reading.batches:
        time_ns = batch.column("time").cast(pa.int64()).to_numpy()
        early = int(np.searchsorted(time_ns, start_ns))
        batch, time_ns = batch.slice(early), time_ns[early:]
        if not len(time_ns):
            continue
        intervals.add(time_ns, found.last_ns)
        found.samples += len(time_ns)
        found.first_ns = int(time_ns[0]) if found.first_ns is None else found.first_ns
        found.last_ns = int(time_ns[-1])
        for severity, count in enumerate(np.bincount(np.minimum(batch.column("severity").to_numpy(), 3), minlength=4)):
            found.severities[severity] += int(count)
        values = batch.column("value")
        if pa.types.is_uint16(values.type):
            for value, count in zip(*np.unique(values.to_numpy(), return_counts=True), strict=True):
                found.states[int(value)] = found.states.get(int(value), 0) + int(count)
        if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
            square = _add_numbers(found, square, time_ns, values.to_numpy().astype(np.float64))
    if found.numbers:
        found.std = math.sqrt(max(square, 0.0) / (found.numbers - 1)) if found.numbers > 1 else 0.0
    found.interval_s, found.gaps = intervals.result(gap_s)
    return found


def _add_numbers(found: Statistics, square: float, time_ns: np.ndarray, values: np.ndarray) -> float:
    """Take in numbers; returns the sum of squared deviations of all so far."""
    finite = np.isfinite(values)
    if not finite.all():
        time_ns, values = time_ns[finite], values[finite]
    if not len(values):
        return square
    count, mean = len(values), float(values.mean())
    with np.errstate(over="ignore"):
        square += float(((values - mean) ** 2).sum())
        if found.numbers:
            step = mean - found.mean
            total = found.numbers + count
            square += step * step * found.numbers * count / total
            mean = found.mean + step * count / total
    found.numbers += count
    found.mean = mean
    for place, better, name in ((values.argmin(), np.less, "low"), (values.argmax(), np.greater, "high")):
        value = float(values[place])
        if math.isnan(getattr(found, name)) or better(value, getattr(found, name)):
            setattr(found, name, value)
            setattr(found, f"{name}_ns", int(time_ns[place]))
    return square


class _Intervals:
    """Times between samples: their distribution, in steps of a quarter of an octave, and the longest."""

    def __init__(self) -> None:
        self._counts = np.zeros(256, np.int64)
        self._sums = np.zeros(256)
        self._begin = np.zeros(0, np.int64)
        self._length = np.zeros(0, np.int64)

    def add(self, time_ns: np.ndarray, before_ns: int | None) -> None:
        if before_ns is not None:
            time_ns = np.concatenate(([before_ns], time_ns))
        length = np.diff(time_ns)
        if not len(length):
            return
        steps = np.clip(np.round(np.log2(np.maximum(length, 1)) * 4), 0, 255).astype(np.int64)
        self._counts += np.bincount(steps, minlength=256)
        self._sums += np.bincount(steps, length, 256)
        begin = np.concatenate([self._begin, time_ns[:-1]])
        length = np.concatenate([self._length, length])
        if len(length) > KEPT_GAPS:
            longest = np.argpartition(length, -KEPT_GAPS)[-KEPT_GAPS:]
            begin, length = begin[longest], length[longest]
        self._begin, self._length = begin, length

    def result(self, gap_s: float | None) -> tuple[float, list[tuple[int, int]]]:
        total = int(self._counts.sum())
        if not total:
            return math.nan, []
        middle = int(np.searchsorted(np.cumsum(self._counts), (total + 1) // 2))
        # all that are as long as the median one, about, are on average as long as it, nearly
        exact = total <= KEPT_GAPS
        median_s = float(np.median(self._length) if exact else self._sums[middle] / self._counts[middle]) / NS
        limit = (gap_s if gap_s is not None else FACTOR * median_s) * NS
        order = np.argsort(-self._length, kind="stable")
        chosen = [n for n in order.tolist() if self._length[n] > limit]
        return median_s, [(int(self._begin[n]), int(self._length[n])) for n in chosen]


def plain(found: Statistics) -> dict[str, Any]:
    """Statistics for programs: times as text, numbers that are none as null."""
    from archiver.client.moments import iso_text

    def number(value: float) -> float | None:
        return value if math.isfinite(value) else None

    def moment(time_ns: int | None) -> str | None:
        return None if time_ns is None else iso_text(time_ns)

    return {
        "units": found.units,
        "from": iso_text(found.start_ns),
        "to": iso_text(found.end_ns),
        "samples": found.samples,
        "rate": number(found.rate),
        "first": moment(found.first_ns),
        "last": moment(found.last_ns),
        "numbers": found.numbers,
        "mean": number(found.mean),
        "std": number(found.std),
        "min": number(found.low),
        "min_time": moment(found.low_ns),
        "max": number(found.high),
        "max_time": moment(found.high_ns),
        "severities": dict(zip(("NO_ALARM", "MINOR", "MAJOR", "INVALID"), found.severities, strict=True)),
        "states": {str(k): v for k, v in sorted(found.states.items())},
        "interval": number(found.interval_s),
        "gaps": [{"from": iso_text(begin), "seconds": length / NS} for begin, length in found.gaps],
    }
