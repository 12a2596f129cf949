"""An archive in memory that keeps count of the samples it was asked for, and the operators' rules in plain Python."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from archive_fill import NS, T0
from hypothesis import strategies as st

from archiver.retrieval import operators
from archiver.retrieval.query import Operator
from archiver.store import Dbr, Samples
from archiver.store.summary import Summary, summarise

Row = tuple[int, Any, int]
"""Time in ns, value, severity."""


def samples_of(rows: Sequence[Row], dbr: Dbr = Dbr.DOUBLE) -> Samples:
    dtype = {Dbr.DOUBLE: np.float64, Dbr.LONG: np.int32, Dbr.ENUM: np.uint16, Dbr.STRING: object}[dbr]
    return Samples(
        dbr,
        False,
        np.array([r[0] for r in rows], np.int64),
        np.array([r[2] for r in rows], np.uint8),
        np.zeros(len(rows), np.uint16),
        np.array([r[1] for r in rows], dtype),
    )


@dataclass
class MemoryArchive:
    """One PV, whatever name is asked for. `cuts`: where its samples are cut into batches."""

    samples: Samples
    cuts: Sequence[int] = ()
    events: list[tuple[int, str]] = field(default_factory=list)
    history: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    touched: int = 0
    """Samples given by `read`."""
    bins: int = 0
    """Bins given by `summaries`."""

    def read(self, name: str, from_ns: int, to_ns: int) -> Iterator[Samples]:
        times = self.samples.time_ns
        low = max(0, int(np.searchsorted(times, from_ns, "right")) - 1)
        high = int(np.searchsorted(times, to_ns, "right"))
        return self._pieces(low, high)

    def _pieces(self, low: int, high: int) -> Iterator[Samples]:
        edges = sorted({low, high, *(c for c in self.cuts if low < c < high)})
        for a, b in pairwise(edges):
            self.touched += b - a
            yield self.samples[a:b]

    def summaries(self, name: str, unit_s: int, from_ns: int, to_ns: int) -> Iterator[Summary]:
        assert from_ns % (unit_s * NS) == to_ns % (unit_s * NS) == 0
        low, high = np.searchsorted(self.samples.time_ns, [from_ns, to_ns]).tolist()
        part = self.samples[low:high]
        found = summarise(part.time_ns, part.values, part.severity, unit_s)
        self.bins += len(found)
        for start in range(0, len(found), 1000):
            yield found[start : start + 1000]

    def connections(self, name: str, from_ns: int, to_ns: int) -> list[tuple[int, str]]:
        return [e for e in self.events if from_ns <= e[0] <= to_ns]

    def metadata_history(self, name: str) -> list[tuple[int, dict[str, str]]]:
        return self.history


def process(text: str, dbr: Dbr = Dbr.DOUBLE) -> operators.Process:
    found = operators.find(Operator.parse(text), dbr, False)
    assert found is not None
    return found


def rows_of(batches: Iterator[Samples]) -> list[Row]:
    out: list[Row] = []
    last = None
    for batch in batches:
        assert len(batch) and len(batch) == len(batch.values) == len(batch.severity) == len(batch.status)
        values = [tuple(v) if isinstance(v, list) else v for v in batch.values.tolist()]
        out += zip(batch.time_ns.tolist(), values, batch.severity.tolist(), strict=True)
        assert (np.diff(batch.time_ns) > 0).all() and (last is None or batch.time_ns[0] > last)
        last = batch.time_ns[-1]
    return out


def notes_of(batches: Iterator[Samples]) -> dict[int, dict[str, str]]:
    """Notes by the time of their sample."""
    return {
        int(batch.time_ns[row]): dict(note) for batch in batches for row, note in sorted((batch.notes or {}).items())
    }


def run(text: str, rows: Sequence[Row], start: int, end: int, cuts: Sequence[int] = ()) -> list[Row]:
    """The answer for samples, cut into batches at these places, without an archive's tables."""
    archive = MemoryArchive(samples_of(rows), cuts)
    return rows_of(process(text).run(archive.read("", start, end), start, end))


def opened(text: str, rows: Sequence[Row], start: int, end: int, cuts: Sequence[int] = ()) -> list[Row]:
    """The same out of an archive."""
    return rows_of(process(text).open(MemoryArchive(samples_of(rows), cuts), "X", start, end))


# the rules, word by word


def window(rows: Sequence[Row], start: int, end: int) -> list[Row]:
    """The newest at or before the start, and all up to the end."""
    return [r for r in rows if r[0] <= start][-1:] + [r for r in rows if start < r[0] <= end]


def merged(rows: Sequence[Row], start: int) -> list[Row]:
    """Of the rows at or before the start only the last."""
    return [r for r in rows if r[0] <= start][-1:] + [r for r in rows if r[0] > start]


def bins(rows: Sequence[Row], start: int, end: int, n: int) -> dict[int, list[Row]]:
    """Samples by bin; one before the start is in a bin of its own before the first."""
    found: dict[int, list[Row]] = {}
    for row in window(rows, start, end):
        found.setdefault(row[0] // NS // n if row[0] >= start else start // NS // n - 1, []).append(row)
    return found


def centre(number: int, n: int) -> int:
    return (number * n + n // 2) * NS + (NS // 2 if n % 2 else 0)


def bins_of_their_own(rows: Sequence[Row], start: int, end: int, n: int) -> dict[int, list[Row]]:
    """Samples by the bin of their time; those of earlier bins than the start's are in the one before it."""
    found: dict[int, list[Row]] = {}
    for row in window(rows, start, end):
        found.setdefault(max(row[0] // NS // n, start // NS // n - 1), []).append(row)
    return found


def summary(
    value: Callable[[list[Row], int], Any],
    rows: Sequence[Row],
    start: int,
    end: int,
    n: int,
    fill: bool,
    empty: Callable[[Any], Any] = lambda v: v,
    void: Any = math.nan,
    calm: bool = False,
    into: Callable[[Sequence[Row], int, int, int], dict[int, list[Row]]] = bins,
) -> list[Row]:
    """A statistic of each bin; `value(rows, centre)`, and `empty(value before)` where there are none.

    Of rows that are NaN where there are others nothing counts; `void` is the value where there are no others. `calm`:
    bins without rows have no severity.
    """
    found = into(window(rows, start, end), start, end, n)
    out: list[Row] = []
    last: tuple[Any, int] | None = None
    for number in range(start // NS // n - 1, end // NS // n + 1):
        if number in found:
            numbers = [r for r in found[number] if not math.isnan(r[1])]
            severity = max(r[2] for r in numbers or found[number])
            last = value(numbers, centre(number, n)) if numbers else void, severity
        elif not fill or last is None:
            continue
        else:
            last = empty(last[0]), 0 if calm else last[1]
        out.append((centre(number, n), *last))
    return merged(out, start)


def near(one: Any, two: Any, tolerance: float = 1e-6) -> bool:
    if isinstance(one, tuple) and isinstance(two, tuple):
        return len(one) == len(two) and all(near(a, b, tolerance) for a, b in zip(one, two, strict=True))
    return bool(np.isclose(one, two, rtol=tolerance, atol=tolerance, equal_nan=True))


def same(got: Sequence[Row], expected: Sequence[Row], tolerance: float = 1e-6) -> bool:
    """Times and severities equal, values up to rounding."""
    assert [(r[0], r[2]) for r in got] == [(r[0], r[2]) for r in expected]
    for one, two in zip(got, expected, strict=True):
        assert near(one[1], two[1], tolerance), (one, two)
    return True


# what to try

numbers = st.floats(-1000, 1000) | st.just(math.nan) | st.integers(-3, 3).map(float)
moments = st.integers(T0 * NS - 30 * NS, T0 * NS + 120 * NS)


def series(values: st.SearchStrategy[Any] = numbers, max_size: int = 40) -> st.SearchStrategy[list[Row]]:
    times = moments | moments.map(lambda t: t // NS * NS)
    rows = st.dictionaries(times, st.tuples(values, st.integers(0, 3)), max_size=max_size)
    return rows.map(lambda d: [(t, *d[t]) for t in sorted(d)])


cuts = st.lists(st.integers(0, 40), max_size=4)
starts = st.integers(0, 60 * NS).map(lambda t: T0 * NS + t) | st.integers(0, 60).map(lambda t: (T0 + t) * NS)
lengths = st.just(0) | st.integers(0, 90 * NS)
intervals = st.integers(1, 40)
