"""Operators of our own for plots, which never hide a spike and never bridge a gap: `minmax` and `lttb`.

Both answer doubles: samples at their own times with their own severities, at most as many as asked for. Where a gap
begins there is one more point, whose value is no number. NaN samples are left out.

From ten minutes on, or where there are millions of samples, an interval is rounded up to whole minutes, so that the
archive's tables answer; from ten hours on, to whole hours. A table doesn't tell the time of its lowest and highest
value: unless it is the first or the last of a minute (or hour), the time given is within that minute (or hour).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np

from archiver.retrieval.operators.bins import summary_spans
from archiver.retrieval.operators.extremes import highest, lowest, reduced
from archiver.retrieval.operators.gap_points import with_gaps
from archiver.retrieval.operators.lttb import choose
from archiver.retrieval.operators.optimized import MANY, ROUNDED_FROM, at_most
from archiver.retrieval.operators.points import Grid, Points, concat, points
from archiver.retrieval.operators.process import Process, number_of_points
from archiver.retrieval.operators.source import NS, Source
from archiver.retrieval.query import Operator
from archiver.store import Samples
from archiver.store.summary import Summary

DEFAULT_POINTS = 1000
FEWEST_POINTS = 6

CANDIDATES = 4
"""Points among which `lttb` chooses, for each that it gives."""

HOURS_FROM = 36000
"""Seconds from which an interval is rounded up to whole hours."""


def find(operator: Operator) -> Process | None:
    """The process of one of these operators, or None."""
    if operator.name not in ("minmax", "lttb"):
        return None
    number = max(FEWEST_POINTS, number_of_points(operator, DEFAULT_POINTS))
    return Process(partial(_plot, number=number, triangles=operator.name == "lttb"))


def extremes(source: Source, interval_ns: int) -> Iterator[Samples]:
    """The lowest and the highest sample of each bin of so many whole minutes, and gaps."""
    grid = _grid(interval_ns, source)
    found = _of_tables(source, grid)
    parts = _of_samples(source.samples(), source.end, grid) if found is None else [found[1]]
    yield from with_gaps(parts, source, grid.interval_ns)


def _plot(source: Source, number: int, triangles: bool) -> Iterator[Samples]:
    length_ns = source.end - source.start
    # beside the lowest and the highest of each interval, one of which may be cut in two by the alignment: the sample
    # before the window, and the newest
    intervals = (CANDIDATES * number if triangles else number - 4) // 2
    interval_ns = max(1, -(-length_ns // intervals))
    gap_ns = max(1, 2 * length_ns // number)

    def picked(parts: Iterable[Points]) -> Iterable[Points]:
        if not triangles:
            return parts
        found = concat(list(parts))
        return [found[choose(found.time_ns, found.values, number)]]

    if interval_ns >= 60 * NS:
        found = _of_tables(source, _grid(interval_ns, source))
        if found is not None and found[0] > number and (interval_ns >= ROUNDED_FROM * NS or found[0] > MANY):
            yield from with_gaps(picked([found[1]]), source, gap_ns)
            return
    few, rest = at_most(source.samples(), number)
    if rest is None:
        parts = points(few, source.end)
    else:
        parts = picked(_of_samples(itertools.chain(few, rest), source.end, Grid(interval_ns, source.start + 1)))
    yield from with_gaps(parts, source, gap_ns)


def _grid(interval_ns: int, source: Source) -> Grid:
    """Bins of whole minutes or hours. A sample at the start is in a bin of its own, as one before it is."""
    unit_ns = (3600 if interval_ns >= HOURS_FROM * NS else 60) * NS
    return Grid(-(-interval_ns // unit_ns) * unit_ns, source.start + 1)


def _of_samples(batches: Iterable[Samples], end: int, grid: Grid) -> Iterator[Points]:
    """The lowest and the highest of each bin, and the newest."""
    newest: list[Points] = []

    def watched() -> Iterator[Points]:
        for chunk in points(batches, end):
            newest[:] = [chunk[-1:]]
            yield chunk

    last_ns = None
    for part in reduced(watched(), grid, ends=0):
        last_ns = part.time_ns[-1]
        yield part
    if newest and newest[0].time_ns[0] != last_ns:
        yield newest[0]


def _of_tables(source: Source, grid: Grid) -> tuple[int, Points] | None:
    """How many samples there are, and the same as `_of_samples`; None where the tables don't serve."""
    spans = summary_spans(source, grid)
    if not spans:
        return None
    count = 0
    parts: list[Points] = []
    for place, (unit_s, low, high) in enumerate(spans):
        if unit_s:
            for summary in source.summaries(unit_s, low, high):
                if len(summary):
                    count += int(summary.count.sum(dtype=np.int64))
                    parts += _of_summary(summary, unit_s, grid)
        else:
            for chunk in points(source.part(low, high, held=not place), high):
                count += len(chunk)
                parts.append(chunk)
    if not parts:
        return None
    newest = parts[-1][-1:]
    found = [*reduced(iter([concat(parts)]), grid, ends=0)]
    if found[-1].time_ns[-1] != newest.time_ns[0]:
        found.append(newest)
    return count, concat(found)


def _of_summary(summary: Summary, unit_s: int, grid: Grid) -> list[Points]:
    """The lowest and the highest of each of our bins, and the newest of all."""
    number = summary.number * (unit_s * NS) // grid.interval_ns
    starts = np.concatenate([[0], np.flatnonzero(number[1:] != number[:-1]) + 1])
    rows = [lowest(summary.low, starts), highest(summary.high, starts)]
    span = summary.last_ns - summary.first_ns
    third = np.where(summary.first <= summary.last, span // 3, span - span // 3)
    times, values = [], []
    for column, row, inside in ((summary.low, rows[0], third), (summary.high, rows[1], span - third)):
        value = column[row]
        at = np.where(value == summary.last[row], summary.last_ns[row], summary.first_ns[row] + inside[row])
        times.append(np.where(value == summary.first[row], summary.first_ns[row], at))
        values.append(value)
    times.append(summary.last_ns[-1:])
    values.append(summary.last[-1:])
    rows.append(np.array([len(summary) - 1]))
    time_ns, first = np.unique(np.concatenate(times), return_index=True)
    severity = summary.severity[np.concatenate(rows)][first]
    return [Points(time_ns, np.concatenate(values)[first], severity, np.zeros(len(first), np.uint16))]
