"""`caplotbinning`: four points for each bin, its first, lowest, highest and last value, evenly spread over the bin."""

from __future__ import annotations

from collections.abc import Iterator
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
    """Values, severities and states are those of the samples; all values become doubles."""
    grid = Grid.seconds(interval, source.start)
    # the first three tell a bin of two samples from one of more
    chosen = reduced(points(source.samples(), source.end), grid, ends=FEW + 1)
    return after_start((samples_of(_spread(part, grid)) for part in chosen), source.start)


def _spread(found: Points, grid: Grid) -> Points:
    number, starts = grid.cut(found.time_ns)
    ends = np.append(starts[1:], len(found))
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
