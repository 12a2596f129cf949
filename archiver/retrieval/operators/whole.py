"""Bins of which all samples are needed at once: those of a bin that isn't complete are kept until it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from archiver.retrieval.operators.points import Grid, Points, concat
from archiver.retrieval.query import Refused

MAX_SAMPLES = 1 << 24
"""Of one bin, for the operators that need all of them at once: 320 MB."""


@dataclass(frozen=True)
class Whole:
    """Samples of complete bins, and the number and first row of each bin."""

    points: Points
    number: np.ndarray
    starts: np.ndarray

    @property
    def count(self) -> np.ndarray:
        """Samples in each bin."""
        return np.diff(np.append(self.starts, len(self.points)))


def whole_bins(chunks: Iterator[Points], grid: Grid) -> Iterator[Whole]:
    """All bins that have samples, in order; 400 when one has more than `MAX_SAMPLES`."""
    held: list[Points] = []
    size = 0
    for chunk in chunks:
        number, starts = grid.cut(chunk.time_ns)
        new = bool(held) and number[0] != grid.number(held[-1].time_ns[-1:])[0]
        # the row at which the bins that are now complete end
        cut = int(starts[-1]) if len(starts) > 1 else 0
        if cut or new:
            whole = concat([*held, chunk[:cut]]) if held else chunk[:cut]
            yield Whole(whole, *grid.cut(whole.time_ns))
            held, size = [], 0
        held.append(chunk[cut:])
        size += len(held[-1])
        if size > MAX_SAMPLES:
            raise Refused(
                400,
                f"A bin has more than {MAX_SAMPLES} samples, which this operator needs all at once. Use shorter bins.",
            )
    if held:
        whole = concat(held)
        yield Whole(whole, *grid.cut(whole.time_ns))
