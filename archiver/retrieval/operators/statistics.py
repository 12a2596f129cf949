"""Statistics per bin: mean, std, min, max, count and so on, one number for each bin, or several.

A bin is `interval` whole seconds, aligned to 1970, and its answer stands at its centre. A bin without samples repeats
what the bin before it had (count: 0, no severity), up to the window's end; the forms whose names end with Sample leave
it out. Samples that are NaN count for nothing; of a bin that has no others every statistic is NaN (count: 0), with the
highest of their severities. The sample before the window stands with its severity, too, which the appliance drops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from archiver.retrieval.gaps import Gap
from archiver.retrieval.operators.bins import ROWS, Bins, bins, filled
from archiver.retrieval.operators.points import Grid
from archiver.retrieval.operators.process import DEFAULT_INTERVAL, Process, whole_number
from archiver.retrieval.operators.source import NS, Source, after_start
from archiver.retrieval.query import Operator
from archiver.store import Dbr, Samples

ROUNDING = 1e-15
"""A bin whose standard deviation is less than this part of its mean is constant."""

Values = Callable[[Bins], np.ndarray]
Notes = Callable[[Bins], list[dict[str, str]]]


@dataclass(frozen=True)
class Statistic:
    """What an operator says of a bin: from these columns these values, (n,) or (n, k).

    `empty` makes the values of bins without samples out of the bins they repeat, `calm` says that these have no
    severity. `notes` are of each bin.
    """

    wanted: tuple[str, ...]
    values: Values
    empty: Values | None = None
    notes: Notes | None = None
    array: bool = False
    calm: bool = False


def std(b: Bins) -> np.ndarray:
    """Standard deviation of the samples of each bin; 0 for one sample."""
    return np.sqrt(b.variance())


def _jitter(b: Bins) -> np.ndarray:
    mean = b.columns["mean"]
    return np.divide(std(b), mean, out=np.full(len(mean), np.nan), where=mean != 0)


def _rms(b: Bins) -> np.ndarray:
    return np.sqrt(b.columns["mean"] ** 2 + b.variance(0))


def _skewness(b: Bins) -> np.ndarray:
    """Unbiased; NaN for fewer than three samples, and for a constant, as the appliance's."""
    n = b.count.astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = n * b.columns["m3"] / ((n - 1) * (n - 2) * std(b) ** 3)
    return np.where((n < 3) | _constant(b), np.nan, value)


def _constant(b: Bins) -> np.ndarray:
    return std(b) <= ROUNDING * np.abs(b.columns["mean"])


def _kurtosis(b: Bins) -> np.ndarray:
    """Unbiased, 0 for a normal distribution; NaN for fewer than four samples, and for a constant."""
    n = b.count.astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        below = (n - 2) * (n - 3)
        fourth = n * (n + 1) * b.columns["m4"] / ((n - 1) * below * b.variance() ** 2)
        value = fourth - 3 * (n - 1) ** 2 / below
    return np.where((n < 4) | _constant(b), np.nan, value)


def _stats(b: Bins) -> np.ndarray:
    c = b.columns
    return np.stack([c["mean"], std(b), c["low"], c["high"], b.count.astype(float)], axis=1)


def _stats_last(b: Bins) -> np.ndarray:
    return np.concatenate([_stats(b), b.columns["last"][:, None]], axis=1)


def _last_alone(b: Bins) -> np.ndarray:
    last, zero = b.columns["last"], np.zeros(len(b))
    return np.stack([last, zero, last, last, zero, last], axis=1)


def _deviations(b: Bins) -> list[dict[str, str]]:
    return [{"stdz": _TEXTS.get(repr(value), repr(value))} for value in std(b).tolist()]


_TEXTS = {"nan": "NaN", "inf": "Infinity"}


STATS = Statistic(("mean", "m2", "low", "high"), _stats, array=True)
STATS_LAST = Statistic(("mean", "m2", "low", "high", "last"), _stats_last, empty=_last_alone, array=True)

STATISTICS: Mapping[str, Statistic] = {
    "mean": Statistic(("mean",), lambda b: b.columns["mean"]),
    "min": Statistic(("low",), lambda b: b.columns["low"]),
    "max": Statistic(("high",), lambda b: b.columns["high"]),
    "count": Statistic((), lambda b: b.count.astype(float), empty=lambda b: np.zeros(len(b)), calm=True),
    "std": Statistic(("mean", "m2"), std),
    "variance": Statistic(("mean", "m2"), lambda b: b.variance()),
    "popvariance": Statistic(("mean", "m2"), lambda b: b.variance(0)),
    "jitter": Statistic(("mean", "m2"), _jitter),
    "rms": Statistic(("mean", "m2"), _rms),
    "skewness": Statistic(("mean", "m2", "m3"), _skewness),
    "kurtosis": Statistic(("mean", "m2", "m3", "m4"), _kurtosis),
    "errorbar": Statistic(("mean", "m2"), lambda b: b.columns["mean"], notes=_deviations),
    "stats": STATS,
}


def find(operator: Operator) -> Process | None:
    """The process of one of these operators, or None."""
    name = operator.name.removesuffix("Sample")
    statistic = STATISTICS.get(name)
    if statistic is None:
        return None
    interval = whole_number(operator, DEFAULT_INTERVAL)
    work = partial(summary, statistic=statistic, interval=interval, fill=name == operator.name)
    return Process(work, interval, statistic.array)


def summary(
    source: Source, statistic: Statistic, interval: int, fill: bool, grid: Grid | None = None
) -> Iterator[Samples]:
    """The answer for a window; the `grid` is one of that interval."""
    grid = grid or Grid.seconds(interval, source.start)
    return answer(bins(source, grid, statistic.wanted), source, statistic, interval, fill)


def answer(found: Iterator[Bins], source: Source, statistic: Statistic, interval: int, fill: bool) -> Iterator[Samples]:
    """The answer for bins that are there already."""
    marks = Marks(source.gaps(), source.start)
    found = marks.watch(found)
    if fill:
        pieces = filled(found, source.end // NS // interval)
    else:
        pieces = ((part, np.zeros(len(part), bool)) for part in _pieces(found))
    return after_start((_samples(part, empty, statistic, interval, marks) for part, empty in pieces), source.start)


def _pieces(found: Iterator[Bins]) -> Iterator[Bins]:
    for part in found:
        for start in range(0, len(part), ROWS):
            yield part[start : start + ROWS]


def _samples(part: Bins, empty: np.ndarray, statistic: Statistic, interval: int, marks: Marks) -> Samples:
    severity = part.columns["severity"]
    if statistic.calm and empty.any():
        severity = np.where(empty, severity.dtype.type(0), severity)
    with np.errstate(invalid="ignore", over="ignore"):  # samples may be infinite
        values = statistic.values(part)
        if statistic.empty is not None and empty.any():
            values[empty] = statistic.empty(part[empty])
        notes = dict(enumerate(statistic.notes(part))) if statistic.notes is not None else {}
    for row in marks.rows(part.number):
        notes[row] = {**notes.get(row, {}), "connectionChange": "true"}
    return Samples(
        Dbr.DOUBLE,
        values.ndim > 1,
        centres(part.number, interval),
        severity,
        np.zeros(len(part), np.uint16),
        values,
        notes or None,
    )


def centres(number: np.ndarray, interval: int) -> np.ndarray:
    """The time of each bin's centre, in ns."""
    return (number * interval + interval // 2) * NS + (NS // 2 if interval % 2 else 0)


class Marks:
    """The bins in which a sample is the first after a gap, in a window from `start` on."""

    def __init__(self, gaps: list[Gap], start: int) -> None:
        earliest = int(np.iinfo(np.int64).min)
        ended = [gap for gap in gaps if gap.found_ns is not None]
        self._lost = np.array([earliest if g.lost_ns is None else g.lost_ns for g in ended], np.int64)
        self._start = start
        self._at: int | None = None
        self._bins: list[int] = []

    def watch(self, parts: Iterator[Bins]) -> Iterator[Bins]:
        """The same bins, looked at."""
        for part in parts:
            last = part.columns["last_ns"]
            if self._at is None:
                # whether a sample at or before the start was the first after a gap can't be told from here
                first = int(part.columns["first_ns"][0])
                self._at = int(np.searchsorted(self._lost, first)) if first <= self._start else 0
            due = int(np.searchsorted(self._lost, last[-1]))
            if due > self._at:
                # the first sample later than the loss is in the first bin that ends with a later one
                rows = np.unique(np.searchsorted(last, self._lost[self._at : due], "right"))
                self._bins += part.number[rows].tolist()
                self._at = due
            yield part

    def rows(self, number: np.ndarray) -> list[int]:
        """Where among these bins, which ascend, those are; they are then forgotten."""
        if not self._bins:
            return []
        wanted = np.array(self._bins)
        places = np.searchsorted(number, wanted)
        there = places < len(number)
        self._bins = wanted[~there].tolist()
        return [int(p) for p, n in zip(places[there], wanted[there], strict=True) if number[p] == n]
