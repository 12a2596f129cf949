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
    size = max(1, _CELLS // width)
    slices = [slice(start, min(start + size, n)) for start in range(0, n, size)]
    near = [_Near(x, y, left[rows], rows, width) for rows in slices] if len(slices) == 1 else []
    robust = np.ones(n)
    fit = y
    for iteration in range(ROBUSTNESS_ITERATIONS + 1):
        parts = near or (_Near(x, y, left[rows], rows, width) for rows in slices)  # again, to save memory
        fit = np.concatenate([part.regress(robust, fit) for part in parts])
        if iteration == ROBUSTNESS_ITERATIONS:
            break
        residuals = np.abs(y - fit)
        median = np.sort(residuals)[n // 2]
        if median < ACCURACY:
            break
        away = residuals / (6 * median)
        robust = np.where(away >= 1, 0.0, (1 - away**2) ** 2)
    return fit


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


class _Near:
    """Some points (`rows`), and of each the `width` neighbours from `left` on: matrices with a row for each point."""

    def __init__(self, x: np.ndarray, y: np.ndarray, left: np.ndarray, rows: slice, width: int) -> None:
        self._left, self._rows, self._width = left, rows, width
        self._away = sliding_window_view(x, width)[left] - x[rows, None]
        self._y = sliding_window_view(y, width)[left]
        reach = np.maximum(-self._away[:, :1], self._away[:, -1:])
        part = np.abs(self._away / reach)
        self._weight = 1 - part * part * part
        self._weight *= self._weight * self._weight

    def regress(self, robust: np.ndarray, fit: np.ndarray) -> np.ndarray:
        """The value at each point of the straight line through its neighbours, the near ones weighing more.

        Where all neighbours were weighted down to nothing (`robust`), it is that of the last `fit`.
        """
        weight = self._weight * sliding_window_view(robust, self._width)[self._left]
        total = weight.sum(axis=1)
        there = total > 0
        total = np.where(there, total, 1.0)
        weight /= total[:, None]
        mean_x = np.einsum("ij,ij->i", weight, self._away)
        mean_y = np.einsum("ij,ij->i", weight, self._y)
        weight *= self._away
        square = np.einsum("ij,ij->i", weight, self._away)
        product = np.einsum("ij,ij->i", weight, self._y)
        spread = square - mean_x**2
        # a single neighbour has no spread, but for rounding
        sloped = (spread > 1e-14 * square) & (np.sqrt(np.abs(spread)) >= ACCURACY)
        slope = np.divide(product - mean_x * mean_y, spread, out=np.zeros(len(spread)), where=sloped)
        return np.where(there, mean_y - slope * mean_x, fit[self._rows])
