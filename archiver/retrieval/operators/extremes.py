"""Which samples of each bin are its lowest, highest, first and last; in bounded memory, however long a bin is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from archiver.retrieval.operators.points import Grid, Points, concat


def lowest(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The row of the first lowest value of each bin; `starts` are the bins' first rows. NaN only where all are."""
    return _first_equal(values, np.fmin.reduceat(values, starts), starts)


def highest(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The row of the first highest value of each bin."""
    return _first_equal(values, np.fmax.reduceat(values, starts), starts)


def _first_equal(values: np.ndarray, wanted: np.ndarray, starts: np.ndarray) -> np.ndarray:
    count = np.diff(np.append(starts, len(values)))
    equal = values == np.repeat(wanted, count)
    equal[starts[np.isnan(wanted)]] = True
    rows = np.flatnonzero(equal)
    return rows[np.searchsorted(rows, starts)]


def reduced(chunks: Iterable[Points], grid: Grid, ends: int) -> Iterator[Points]:
    """Of each bin the lowest and the highest sample, and the first `ends` and the last; bins are complete.

    With `ends` 0 neither the first nor the last is kept for its own sake. Whatever is left out of a bin, the same is
    chosen again from what is left.
    """
    held: Points | None = None
    for chunk in chunks:
        if held is not None:
            chunk = concat([held, chunk])
        _, starts = grid.cut(chunk.time_ns)
        rows = _rows(chunk.values, starts, ends)
        cut = int(np.searchsorted(rows, starts[-1]))
        if cut:
            yield chunk[rows[:cut]]
        held = chunk[rows[cut:]]
    if held is not None:
        yield held


def _rows(values: np.ndarray, starts: np.ndarray, ends: int) -> np.ndarray:
    last = np.append(starts[1:], len(values)) - 1
    parts = [lowest(values, starts), highest(values, starts)]
    if ends:
        parts += [np.minimum(starts + i, last) for i in range(ends)]
        parts.append(last)
    return np.unique(np.concatenate(parts))
