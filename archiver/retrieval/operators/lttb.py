"""Largest triangle three buckets (Steinarsson 2013), and beside it the extremes that its line leaves out."""

from __future__ import annotations

import numpy as np

from archiver.retrieval.operators.extremes import highest, lowest


def choose(time_ns: np.ndarray, values: np.ndarray, number: int) -> np.ndarray:
    """At most `number` (from 6 up) rows, ascending, that keep the shape of the line through all.

    The points are cut into half as many buckets. Of each the point is taken that makes the largest triangle with the
    one chosen before it and the middle of the next bucket. As many of the buckets' lowest and highest points follow
    as there is room for, those first that are furthest outside of what the line shows there. The first, the last, the
    lowest and the highest of all points are always among them.
    """
    n = len(values)
    if n <= number:
        return np.arange(n)
    buckets = max(1, (number - 4) // 2)
    starts = 1 + np.arange(buckets) * (n - 2) // buckets
    x = (time_ns - time_ns[0]) / 1e9
    y = _finite(values)
    line = _line(x, y, starts)
    low, high = lowest(values[1:-1], starts - 1) + 1, highest(values[1:-1], starts - 1) + 1
    around = np.stack([y[line[:-2]], y[line[1:-1]], y[line[2:]]])
    rows = np.concatenate([low, high])
    outside = np.concatenate([around.min(axis=0) - y[low], y[high] - around.max(axis=0)])
    rows, outside = rows[outside > 0], outside[outside > 0]
    ends = [int(np.argmin(values)), int(np.argmax(values))]
    chosen = np.unique(np.concatenate([line, ends]))
    rows = rows[np.argsort(-outside, kind="stable")]
    rows = rows[~np.isin(rows, chosen)]
    return np.sort(np.concatenate([chosen, rows[: number - len(chosen)]]))


def _finite(values: np.ndarray) -> np.ndarray:
    """Infinities as numbers beyond all others."""
    finite = values[np.isfinite(values)]
    if len(finite) == len(values):
        return values
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    span = min(max(high - low, 1.0), 1e300)
    return np.clip(values, low - span, high + span)


def _line(x: np.ndarray, y: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The first point, one of each bucket, and the last. Each choice depends on the one before it."""
    n = len(x)
    ends = np.append(starts[1:], n - 1)
    count = ends - starts
    middle_x = np.append(np.add.reduceat(x[: n - 1], starts) / count, x[-1])
    middle_y = np.append(np.add.reduceat(y[: n - 1], starts) / count, y[-1])
    line = [0]
    at = 0
    with np.errstate(over="ignore", invalid="ignore"):
        for bucket in range(len(starts)):
            rows = slice(starts[bucket], ends[bucket])
            to_x, to_y = middle_x[bucket + 1] - x[at], middle_y[bucket + 1] - y[at]
            area = np.abs(to_x * (y[rows] - y[at]) - to_y * (x[rows] - x[at]))
            at = int(starts[bucket]) + int(np.argmax(area))
            line.append(at)
    line.append(n - 1)
    return np.array(line)
