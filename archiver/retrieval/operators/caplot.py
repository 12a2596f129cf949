"""`caplotbinning`: four points for each bin, its first, lowest, highest and last value, evenly spread over the bin."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from archiver.retrieval.operators.extremes import highest, lowest, reduced
from archiver.retrieval.operators.points import Grid, Points, points, samples_of
from archiver.retrieval.operators.process import DEFAULT_INTERVAL, Process, whole_number
from archiver.retrieval.operators.source import NS, Source, after_start
from archiver.retrieval.query import Operator
from archiver.store import Samples

FEW = 2
"""Samples of a bin that are given as they are."""


def find(operator: Operator) -> Process | None:
    """The process of the operator, or None."""
    if operator.name != "caplotbinning":
        return None
    interval = whole_number(operator, DEFAULT_INTERVAL)
    return Process(partial(_caplot, interval=interval), interval)


def _caplot(source: Source, interval: int) -> Iterator[Samples]:
    """All values become doubles. The severity is the highest of the bin, and there is no status.

    A sample before the start that is in the start's bin is one of that bin's.
    """
    grid = Grid.of_their_own(interval, source.start)
    # the first three tell a bin of two samples from one of more
    chosen = reduced(_rising(points(source.samples(), source.end, nan=True), grid), grid, ends=FEW + 1)
    return after_start((samples_of(_spread(part, grid)) for part in chosen), source.start)


def _rising(chunks: Iterable[Points], grid: Grid) -> Iterator[Points]:
    """The same samples, each with the highest severity of its bin so far."""
    last: int | None = None
    highest_yet = 0
    for found in chunks:
        number, starts = grid.cut(found.time_ns)
        count = np.diff(np.append(starts, len(found)))
        severity = found.severity.astype(np.int64)
        if number[0] == last:
            severity[0] = max(int(severity[0]), highest_yet)
        # a bin's own number above the severity: the maximum so far never crosses into the next bin
        severity = np.maximum.accumulate(np.repeat(np.arange(len(number)), count) * 256 + severity) & 255
        last, highest_yet = int(number[-1]), int(severity[-1])
        yield Points(found.time_ns, found.values, severity.astype(np.uint8), np.zeros_like(found.status))


def _spread(found: Points, grid: Grid) -> Points:
    number, starts = grid.cut(found.time_ns)
    ends = np.append(starts[1:], len(found))
    found = replace(found, severity=found.severity[np.repeat(ends - 1, ends - starts)])
    many = ends - starts > FEW
    few = np.repeat(~many, ends - starts)
    if not many.any():
        return found
    rows = np.stack([starts, lowest(found.values, starts), highest(found.values, starts), ends - 1], axis=1)[many]
    quarters = _quarters(grid.interval_ns)
    time_ns = np.concatenate([found.time_ns[few], (number[many, None] * grid.interval_ns + quarters).ravel()])
    rows = np.concatenate([np.flatnonzero(few), rows.ravel()])
    order = np.argsort(time_ns, kind="stable")
    chosen = found[rows[order]]
    return Points(time_ns[order], chosen.values, chosen.severity, chosen.status)


def _quarters(interval_ns: int) -> np.ndarray:
    """Where the four points stand in a bin, ns: at whole seconds, unless the bin is too short for that."""
    interval = interval_ns // NS
    if interval < 4:
        return np.arange(4) * (interval_ns // 4)
    return np.array([0, interval // 4, interval // 2, 3 * interval // 4]) * NS
