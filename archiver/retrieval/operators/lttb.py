"""Largest triangle three buckets (Steinarsson 2013), and beside it the extremes that its line leaves out."""

from __future__ import annotations

import numpy as np

from archiver.retrieval.operators.extremes import highest, lowest

STANDS_OUT = 0.005
"""Part of the range of all values by which a point must be outside of the line for its sake to draw a coarser one."""


def choose(time_ns: np.ndarray, values: np.ndarray, number: int) -> np.ndarray:
    """At most `number` (from 6 up) rows, ascending, that keep the shape of the line through all.

    The points are cut into buckets. Of each the point is taken that makes the largest triangle with the one chosen
    before it and the middle of the next bucket. Then come the buckets' lowest and highest points, those first that are
    furthest outside of what the line shows there. The more of these stand out the fewer are the buckets, but at least
    half as many as points. The first, the last, the lowest and the highest of all points are always chosen.
    """
    n = len(values)
    if n <= number:
        return np.arange(n)
    x = (time_ns - time_ns[0]) / 1e9
    y = _finite(values)
    ends = [int(np.argmin(values)), int(np.argmax(values))]
    most, fewest = min(number, n - 1) - 4, (number - 4) // 2
    line, rows, outside = _line_and_rest(x, y, max(1, most))
    standing_out = int(np.count_nonzero(outside > STANDS_OUT * (y[ends[1]] - y[ends[0]])))
    if standing_out and most > 1:
        line, rows, outside = _line_and_rest(x, y, max(1, fewest, most - standing_out))
    chosen = np.unique(np.concatenate([line, ends]))
    rows = rows[np.argsort(-outside, kind="stable")]
    rows = rows[~np.isin(rows, chosen)]
    return np.sort(np.concatenate([chosen, rows[: number - len(chosen)]]))


def _line_and_rest(x: np.ndarray, y: np.ndarray, buckets: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows of a line with a point in each bucket; rows of extremes outside of it, and how far outside."""
    starts = 1 + np.arange(buckets) * (len(x) - 2) // buckets
    line = _line(x, y, starts)
    low, high = lowest(y[1:-1], starts - 1) + 1, highest(y[1:-1], starts - 1) + 1
    around = np.stack([y[line[:-2]], y[line[1:-1]], y[line[2:]]])
    rows = np.concatenate([low, high])
    outside = np.concatenate([around.min(axis=0) - y[low], y[high] - around.max(axis=0)])
    return line, rows[outside > 0], outside[outside > 0]


def _finite(values: np.ndarray) -> np.ndarray:
    """The values' shape in numbers that can be multiplied: infinities beyond all others, huge ones scaled down."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    scale = 2.0**-600 if max(-low, high) > 1e150 else 1.0
    if len(finite) == len(values):
        return values if scale == 1.0 else values * scale
    span = max(high * scale - low * scale, 1.0)
    return np.clip(values * scale, low * scale - span, high * scale + span)


def _line(x: np.ndarray, y: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The first point, one of each bucket, and the last. Each choice depends on the one before it."""
    n = len(x)
    ends = np.append(starts[1:], n - 1)
    count = ends - starts
    middle_x = np.append(np.add.reduceat(x[: n - 1], starts) / count, x[-1])
    middle_y = np.append(np.add.reduceat(y[: n - 1], starts) / count, y[-1])
    line = [0]
    at = 0
    for bucket in range(len(starts)):
        rows = slice(starts[bucket], ends[bucket])
        to_x, to_y = middle_x[bucket + 1] - x[at], middle_y[bucket + 1] - y[at]
        area = np.abs(to_x * (y[rows] - y[at]) - to_y * (x[rows] - x[at]))
        at = int(starts[bucket]) + int(np.argmax(area))
        line.append(at)
    line.append(n - 1)
    return np.array(line)
