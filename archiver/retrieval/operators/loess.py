"""Locally weighted regression (Cleveland 1979), with the settings that the Archiver Appliance's operator has."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

BANDWIDTH = 0.3
"""Part of the points that the regression around each of them takes in."""

ROBUSTNESS_ITERATIONS = 2
"""How often outliers are weighted down and the regression is made again."""

ACCURACY = 1e-12
"""Below it a spread of the abscissas, or the median of the residuals, counts as none."""

MAX_LOESS = 10_000
"""Points at most: the work goes with their square."""

_CELLS = 1 << 20


def smallest() -> int:
    """The fewest points that can be smoothed: two must be in the bandwidth."""
    return int(np.ceil(2 / BANDWIDTH))


def smooth(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The smoothed ordinates of points with ascending abscissas, of which there are `smallest()` or more."""
    n = len(x)
    width = int(BANDWIDTH * n)
    left = _neighbours(x, width)
    robust = np.ones(n)
    fit = y
    for iteration in range(ROBUSTNESS_ITERATIONS + 1):
        fit = np.concatenate(
            [_regress(x, y, robust, left, width, rows) for rows in _slices(n, max(1, _CELLS // width))]
        )
        if iteration == ROBUSTNESS_ITERATIONS:
            break
        residuals = np.abs(y - fit)
        median = np.sort(residuals)[n // 2]
        if median < ACCURACY:
            break
        away = residuals / (6 * median)
        robust = np.where(away >= 1, 0.0, (1 - away**2) ** 2)
    return fit


def _slices(n: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def _neighbours(x: np.ndarray, width: int) -> np.ndarray:
    """The first of the `width` neighbours of each point; from one point to the next they move on by at most one."""
    left = np.zeros(len(x), np.int64)
    at, last = 0, len(x) - width
    positions = x.tolist()
    for i, here in enumerate(positions):
        if i and at < last and positions[at + width] - here < here - positions[at]:
            at += 1
        left[i] = at
    return left


def _regress(x: np.ndarray, y: np.ndarray, robust: np.ndarray, left: np.ndarray, width: int, rows: slice) -> np.ndarray:
    """The value at each of some points of the straight line through its neighbours, the near ones weighing more."""
    here, first = x[rows], left[rows]
    xs = sliding_window_view(x, width)[first]
    ys = sliding_window_view(y, width)[first]
    reach = np.maximum(here - x[first], x[first + width - 1] - here)
    distance = np.abs(xs - here[:, None]) / reach[:, None]
    weight = np.clip(1 - distance**3, 0, None) ** 3 * sliding_window_view(robust, width)[first]
    total = weight.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_x = (weight * xs).sum(axis=1) / total
        mean_y = (weight * ys).sum(axis=1) / total
        spread = (weight * xs * xs).sum(axis=1) / total - mean_x**2
        slope = ((weight * xs * ys).sum(axis=1) / total - mean_x * mean_y) / spread
    flat = np.sqrt(np.abs(spread)) < ACCURACY
    slope = np.where(flat, 0.0, slope)
    value = mean_y + slope * (here - mean_x)
    # where outliers were weighted down to nothing all around, there is nothing to fit
    return np.where(total > 0, value, y[rows])
