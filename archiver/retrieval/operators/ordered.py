"""Statistics that need all samples of a bin at once: the median, and a smooth curve's value at the bin's centre.

`linear` needs but two of them, those around the centre.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from archiver.retrieval.operators.bins import Bins
from archiver.retrieval.operators.loess import MAX_LOESS, smallest, smooth
from archiver.retrieval.operators.points import CHUNK, Grid, apart, points
from archiver.retrieval.operators.process import DEFAULT_INTERVAL, Process, whole_number
from archiver.retrieval.operators.source import NS, Source
from archiver.retrieval.operators.statistics import Statistic, answer
from archiver.retrieval.operators.whole import Whole, whole_bins
from archiver.retrieval.query import Operator, Refused
from archiver.store import Samples

Value = Callable[[Whole, int], np.ndarray]
"""`(bins, seconds of each)` -> the value of each."""

_VALUE = Statistic((), lambda b: b.columns["value"].copy())


def find(operator: Operator) -> Process | None:
    """The process of one of these operators, or None."""
    name = operator.name.removesuffix("Sample")
    value = VALUES.get(name)
    if value is None:
        return None
    interval = whole_number(operator, DEFAULT_INTERVAL)
    return Process(partial(_work, value=value, interval=interval, fill=name == operator.name), interval)


def _work(source: Source, value: Value, interval: int, fill: bool) -> Iterator[Samples]:
    return answer(_bins(source, value, interval), source, _VALUE, interval, fill)


def _bins(source: Source, value: Value, interval: int) -> Iterator[Bins]:
    grid = Grid.seconds(interval, source.start)
    for whole in whole_bins(points(source.samples(), source.end, 4 * CHUNK, nan=True), grid):
        found, starts = whole.points, whole.starts
        with np.errstate(invalid="ignore", over="ignore"):  # samples may be infinite
            values, severity = _of_numbers(whole, grid, value, interval)
        columns = {
            "count": whole.count,
            "severity": severity,
            "first_ns": found.time_ns[starts],
            "last_ns": found.time_ns[np.append(starts[1:], len(found)) - 1],
            "value": values,
        }
        yield Bins(whole.number, columns)


def _of_numbers(whole: Whole, grid: Grid, value: Value, interval: int) -> tuple[np.ndarray, np.ndarray]:
    """Values and severities of bins by samples that are numbers; NaN, and the severity of all, where there are none."""
    severity = np.maximum.reduceat(whole.points.severity, whole.starts)
    numbers, void = apart(whole.points)
    if not len(void):
        return value(whole, interval), severity
    result = np.full(len(whole.number), np.nan)
    if len(numbers):
        rest = Whole(numbers, *grid.cut(numbers.time_ns))
        rows = np.searchsorted(whole.number, rest.number)
        result[rows] = value(rest, interval)
        severity[rows] = np.maximum.reduceat(numbers.severity, rest.starts)
    return result, severity


def _median(whole: Whole, interval: int) -> np.ndarray:
    """The middle one, or the mean of the two in the middle."""
    values, starts, count = whole.points.values, whole.starts, whole.count
    result = np.empty(len(starts))
    # bins of about equal length are rows of one matrix, padded to a power of two, and sorted together
    size = np.ceil(np.log2(count)).astype(np.int64)
    for power in np.unique(size):
        rows = np.flatnonzero(size == power)
        width = int(count[rows].max())
        if len(rows) == 1:
            matrix = values[starts[rows[0]] :][:width].copy()[None]
        else:
            matrix = values[np.minimum(starts[rows, None] + np.arange(width), len(values) - 1)]
            if (count[rows] != width).any():
                matrix[np.arange(width) >= count[rows, None]] = np.inf
        matrix.sort(axis=1)
        low, high = (count[rows] - 1) // 2, count[rows] // 2
        each = np.arange(len(rows))
        a, b = matrix[each, low], matrix[each, high]
        result[rows] = np.where(a == b, a, a / 2 + b / 2)
    return result


def _middles(number: np.ndarray, interval: int) -> np.ndarray:
    """Where a curve is looked at, in ns: the middle's whole second, even if the answer's time is half a second on."""
    return (number * interval + interval // 2) * NS


def _linear(whole: Whole, interval: int) -> np.ndarray:
    """The straight line between the samples around the centre; the first sample when all are at one side of it."""
    time_ns, values, starts = whole.points.time_ns, whole.points.values, whole.starts
    ends = np.append(starts[1:], len(values))
    centre = _middles(whole.number, interval)
    after = np.searchsorted(time_ns, centre)
    within = (time_ns[starts] <= centre) & (centre <= time_ns[ends - 1])
    right = np.where(within, np.clip(after, starts, ends - 1), starts)
    left = np.where(within, np.clip(after - 1, starts, ends - 1), starts)
    x0, x1 = time_ns[left], time_ns[right]
    part = np.divide((centre - x0).astype(float), (x1 - x0).astype(float), out=np.zeros(len(starts)), where=x1 > x0)
    between = values[left] + (values[right] - values[left]) * part
    return np.where(values[left] == values[right], values[left], np.where(part == 0, values[left], between))


def _loess(whole: Whole, interval: int) -> np.ndarray:
    """Local regression's value at the centre, on a spline; the first sample where there are too few for that."""
    from scipy.interpolate import CubicSpline  # half a second to load, which the service's start need not wait for

    found, starts = whole.points, whole.starts
    result = found.values[starts]
    centre = _middles(whole.number, interval)
    for row in np.flatnonzero(whole.count >= smallest()):
        rows = slice(int(starts[row]), int(starts[row] + whole.count[row]))
        if rows.stop - rows.start > MAX_LOESS:
            raise Refused(400, f"A bin has more than {MAX_LOESS} samples, the most for loess. Use shorter bins.")
        time_ns = found.time_ns[rows]
        if time_ns[0] <= centre[row] <= time_ns[-1] and np.isfinite(found.values[rows]).all():
            x = (time_ns - centre[row]) / NS
            result[row] = CubicSpline(x, smooth(x, found.values[rows]), bc_type="natural")(0.0)
    return result


VALUES: dict[str, Value] = {"median": _median, "linear": _linear, "loess": _loess}
