"""Cutting batches of samples into blocks that are small enough to encode in one go, and at the turn of the year."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import numpy as np

from archiver.store import Samples

NS = 1_000_000_000
BLOCK_ROWS = 16384
BLOCK_BYTES = 1 << 20


def blocks(samples: Samples) -> Iterator[Samples]:
    """Pieces of at most `BLOCK_ROWS` samples and about `BLOCK_BYTES` bytes of values, but of at least one sample."""
    total = len(samples)
    rows = max(1, min(BLOCK_ROWS, BLOCK_BYTES // max(1, _row_bytes(samples))))
    for start in range(0, total, rows):
        yield samples[start : start + rows]


def _row_bytes(samples: Samples) -> int:
    values = samples.values
    if values.dtype == object:
        return 8 * max((len(v) for v in values), default=1)
    return values.dtype.itemsize * int(np.prod(values.shape[1:], dtype=np.int64))


def years(samples: Samples) -> Iterator[tuple[int, int, Samples]]:
    """`(year, its first second since 1970, samples of it)`, by UTC calendar year."""
    times = samples.time_ns
    start = 0
    while start < len(times):
        year = year_of(int(times[start]))
        end_s = year_start_s(year + 1)
        # beyond the int64 range of nanoseconds there is no further boundary to find
        stop = len(times) if end_s * NS > np.iinfo(np.int64).max else int(np.searchsorted(times, end_s * NS, "left"))
        stop = max(stop, start + 1)
        yield year, year_start_s(year), samples[start:stop]
        start = stop


def year_of(time_ns: int) -> int:
    """The UTC calendar year of a time in unix nanoseconds."""
    return (datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=time_ns // NS)).year


def year_start_s(year: int) -> int:
    """The first second of a UTC calendar year, since 1970."""
    return (datetime.date(year, 1, 1) - datetime.date(1970, 1, 1)).days * 86400
