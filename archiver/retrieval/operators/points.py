"""Numbers out of batches of samples, in chunks that fit the processor's cache, and where bins begin in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

from archiver.retrieval.operators.source import NS, Batches
from archiver.store import Dbr, Samples

NUMERIC = frozenset({1, 2, 3, 4, 5, 6})
"""Native type codes of numbers: short, float, enum, char, long, double."""

CHUNK = 1 << 16
"""Samples that are worked on at a time, unless batches are shorter and complete bins are waited for."""


@dataclass(frozen=True)
class Points:
    """Numeric samples: i8 times in ns, f8 values, u1 severities, u2 states; all of one length."""

    time_ns: np.ndarray
    values: np.ndarray
    severity: np.ndarray
    status: np.ndarray

    def __len__(self) -> int:
        return len(self.time_ns)

    def __getitem__(self, rows: slice | np.ndarray) -> Points:
        return Points(self.time_ns[rows], self.values[rows], self.severity[rows], self.status[rows])


def samples_of(points: Points) -> Samples:
    """These as samples of type double."""
    return Samples(Dbr.DOUBLE, False, points.time_ns, points.severity, points.status, points.values)


def concat(parts: list[Points]) -> Points:
    """All of these, one after the other."""
    if len(parts) == 1:
        return parts[0]
    return Points(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Points)))


EMPTY = Points(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.uint8), np.zeros(0, np.uint16))


def points(batches: Batches, end: int, chunk: int = CHUNK, nan: bool = False) -> Iterator[Points]:
    """The numbers among the samples up to the end, at most `chunk` at a time, and as near to that as is at hand.

    With `nan` those that are NaN, too. Strings and arrays, which a PV that changed its type may have, count for nothing
    here.
    """
    held: list[Points] = []
    size = 0
    for batch in batches:
        for start in range(0, len(batch), chunk):
            part = _numbers(batch, start, start + chunk, end, nan)
            if not len(part):
                continue
            if size + len(part) > chunk:
                yield concat(held)
                held, size = [], 0
            held.append(part)
            size += len(part)
    if held:
        yield concat(held)


def _numbers(batch: Samples, start: int, stop: int, end: int, nan: bool) -> Points:
    if batch.array or int(batch.dbr) not in NUMERIC:
        return EMPTY
    rows = slice(start, stop)
    found = Points(
        batch.time_ns[rows], batch.values[rows].astype(np.float64, copy=False), batch.severity[rows], batch.status[rows]
    )
    if found.time_ns[-1] > end:
        found = found[: int(np.searchsorted(found.time_ns, end, "right"))]
    return found if nan else apart(found)[0]


def apart(found: Points) -> tuple[Points, Points]:
    """Those that are numbers, and those that are NaN."""
    with np.errstate(invalid="ignore", over="ignore"):
        suspicious = np.isnan(found.values.sum())
    if not suspicious:
        return found, EMPTY
    nan = np.isnan(found.values)
    return found[~nan], found[nan]


@dataclass(frozen=True)
class Grid:
    """Bins of `interval_ns`, aligned to 1970. What comes before `start` is in a bin of its own before the first."""

    interval_ns: int
    start: int

    @classmethod
    def seconds(cls, interval: int, start: int) -> Grid:
        """Bins of whole seconds."""
        return cls(interval * NS, start)

    @classmethod
    def of_their_own(cls, interval: int, start: int) -> Grid:
        """The same, but a sample before the start that is in the start's bin is of that bin."""
        return cls(interval * NS, start // (interval * NS) * (interval * NS))

    @property
    def first(self) -> int:
        """The number of the bin in which the start is."""
        return self.start // self.interval_ns

    def number(self, time_ns: np.ndarray) -> np.ndarray:
        """The bin of each time."""
        number = time_ns // self.interval_ns
        early = int(np.searchsorted(time_ns, self.start))
        if early:
            number[:early] = self.first - 1
        return number

    def cut(self, time_ns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Number and first row of each bin that has samples; `time_ns` ascends and is not empty."""
        early = int(np.searchsorted(time_ns, self.start))
        late = time_ns[early:]
        if not len(late):
            return np.array([self.first - 1]), np.zeros(1, np.int64)
        low, high = int(late[0]) // self.interval_ns, int(late[-1]) // self.interval_ns
        if high - low < len(late) // 8:
            # few bins: look for their edges instead of dividing every time
            number = np.arange(low, high + 1)
            rows = np.searchsorted(late, number[1:] * self.interval_ns)
            rows = np.concatenate([[0], rows])
            filled = np.append(rows[1:] > rows[:-1], True)
            number, rows = number[filled], rows[filled]
        else:
            number = late // self.interval_ns
            rows = np.concatenate([[0], np.flatnonzero(number[1:] != number[:-1]) + 1])
            number = number[rows]
        if early:
            number, rows = np.insert(number, 0, self.first - 1), np.insert(rows + early, 0, 0)
        return number, rows
