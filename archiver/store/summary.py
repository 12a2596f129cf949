"""Summaries: what the samples of a minute, or of an hour, amount to.

Samples that are NaN count for nothing in them, as in every answer of the retrieval.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np

from archiver.store.samples import Dbr, Samples

NS = 1_000_000_000
UNITS = (60, 3600)
"""Seconds of the bins that are kept beside segments."""


@dataclass(frozen=True)
class Summary:
    """Bins that have samples, each once, ascending; all arrays are of one length.

    `number` i8: the bin's second since 1970 divided by its length. `count` u4: samples. `mean`, `m2` (sum of squared
    deviations from the mean), `low`, `high`, `first`, `last`: f8. `severity` u1: the highest. `first_ns`, `last_ns`
    i8: times of the first and the last sample, ns since 1970.
    """

    number: np.ndarray
    count: np.ndarray
    mean: np.ndarray
    m2: np.ndarray
    low: np.ndarray
    high: np.ndarray
    first: np.ndarray
    last: np.ndarray
    severity: np.ndarray
    first_ns: np.ndarray
    last_ns: np.ndarray

    def __len__(self) -> int:
        return len(self.number)

    def __getitem__(self, rows: slice | np.ndarray) -> Summary:
        return Summary(*(getattr(self, name)[rows] for name in FIELDS))

    def variance(self, correction: int = 1) -> np.ndarray:
        """Variance with `count - correction` degrees of freedom; 0 for a bin of one sample."""
        return self.m2 / np.maximum(self.count.astype(np.int64) - correction, 1)


FIELDS = tuple(field.name for field in fields(Summary))

_DTYPES = dict(zip(FIELDS, ("<i8", "<u4", "<f8", "<f8", "<f8", "<f8", "<f8", "<f8", "u1", "<i8", "<i8"), strict=True))

EMPTY = Summary(*(np.zeros(0, dtype) for dtype in _DTYPES.values()))
"""No bin."""


def summarise(time_ns: np.ndarray, values: np.ndarray, severity: np.ndarray, unit_s: int) -> Summary:
    """Bins of `unit_s` seconds (aligned to 1970 UTC) of samples whose times ascend.

    `time_ns`: i8[n]. `values`: numbers [n], NaN is left out. `severity`: u1[n].
    """
    return reduce_bins(time_ns, values, severity, unit_s)[1]


def reduce_bins(
    time_ns: np.ndarray, values: np.ndarray, severity: np.ndarray, unit_s: int, code: np.ndarray | None = None
) -> tuple[np.ndarray, Summary]:
    """As `summarise`, for many PVs at once: `code` (i8[n], ascending) says whose sample each is.

    Returns the code of each bin (all 0 without `code`) and the bins.
    """
    numbers = np.asarray(values)
    values = numbers.astype(np.float64)
    if numbers.dtype.kind == "f":
        good = ~np.isnan(values)
        if not good.all():
            time_ns, values, severity = time_ns[good], values[good], severity[good]
            code = None if code is None else code[good]
    if not len(values):
        return np.zeros(0, np.int64), EMPTY
    number = time_ns // (unit_s * NS)
    starts = starts_of(number, code)
    ends = np.append(starts[1:], len(number))
    count = ends - starts
    with np.errstate(invalid="ignore", over="ignore"):  # samples may be infinite
        mean = np.add.reduceat(values, starts) / count
        m2 = np.add.reduceat((values - np.repeat(mean, count)) ** 2, starts)
    bins = Summary(
        number[starts],
        count.astype(np.uint32),
        mean,
        m2,
        np.minimum.reduceat(values, starts),
        np.maximum.reduceat(values, starts),
        values[starts],
        values[ends - 1],
        np.maximum.reduceat(severity, starts),
        time_ns[starts],
        time_ns[ends - 1],
    )
    return np.zeros(len(starts), np.int64) if code is None else code[starts], bins


def regroup(summary: Summary, number: np.ndarray) -> Summary:
    """Longer bins out of shorter ones: those in a row that have the same `number` (i8, ascending) become one."""
    return regroup_at(summary, number, starts_of(number)) if len(summary) else summary


def starts_of(number: np.ndarray, code: np.ndarray | None = None) -> np.ndarray:
    """Where in `number` (not empty) another one begins, or another `code`."""
    new = number[1:] != number[:-1]
    if code is not None:
        new |= code[1:] != code[:-1]
    return np.concatenate(([0], np.flatnonzero(new) + 1))


def regroup_at(summary: Summary, number: np.ndarray, starts: np.ndarray) -> Summary:
    """As `regroup`, where it is known at which bins the longer ones begin."""
    if len(starts) == len(number):
        return Summary(number, *(getattr(summary, name) for name in FIELDS[1:]))
    lengths = np.diff(np.append(starts, len(number)))
    ends = starts + lengths - 1
    counts = summary.count.astype(np.float64)
    total = np.add.reduceat(summary.count.astype(np.int64), starts)
    with np.errstate(invalid="ignore", over="ignore"):
        # deviations from the first bin's mean: large offsets cancel before they are squared
        base = summary.mean[starts]
        shift = summary.mean - np.repeat(base, lengths)
        mean = base + np.add.reduceat(shift * counts, starts) / total
        endless = ~np.isfinite(mean)
        if endless.any():
            mean[endless] = (np.add.reduceat(summary.mean * counts, starts) / total)[endless]
        spread = (summary.mean - np.repeat(mean, lengths)) ** 2 * counts
        m2 = np.add.reduceat(summary.m2 + spread, starts)
    return Summary(
        number[starts],
        np.minimum(total, np.iinfo(np.uint32).max).astype(np.uint32),
        mean,
        m2,
        np.minimum.reduceat(summary.low, starts),
        np.maximum.reduceat(summary.high, starts),
        summary.first[starts],
        summary.last[ends],
        np.maximum.reduceat(summary.severity, starts),
        summary.first_ns[starts],
        summary.last_ns[ends],
    )


def combine(one: Summary, more: Summary) -> Summary:
    """The bins of both. All samples of `more` come after those of `one`; a bin that both have becomes one."""
    joined = concat([one, more])
    return regroup(joined, joined.number)


def concat(parts: Sequence[Summary]) -> Summary:
    """The bins of all parts, one after the other, as they are."""
    parts = [part for part in parts if len(part)]
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return EMPTY
    return Summary(*(np.concatenate([getattr(part, name) for part in parts]) for name in FIELDS))


def check_bins(unit_s: int, from_ns: int, to_ns: int) -> bool:
    """Whether there is a bin from `from_ns` to `to_ns` ; ValueError when these are no whole bins."""
    if unit_s not in UNITS:
        raise ValueError(f"summaries are of {' or '.join(map(str, UNITS))} seconds, not of {unit_s}")
    if from_ns % (unit_s * NS) or to_ns % (unit_s * NS):
        raise ValueError(f"from {from_ns} to {to_ns} are no whole bins of {unit_s} seconds")
    return to_ns > from_ns


def bins_of(pieces: Iterable[Samples], unit_s: int, from_ns: int) -> Iterator[Summary]:
    """The bins of the numbers among these samples from `from_ns` on; one that goes on in the next piece comes twice."""
    for piece in pieces:
        if piece.array or piece.dbr is Dbr.STRING:
            continue
        start = int(np.searchsorted(piece.time_ns, from_ns))
        yield summarise(piece.time_ns[start:], piece.values[start:], piece.severity[start:], unit_s)


def whole_bins(parts: Iterable[Summary]) -> Iterator[Summary]:
    """The same bins, each once: what one part ends with may go on in the next."""
    held = EMPTY
    for part in parts:
        if not len(part):
            continue
        if len(held) and held.number[-1] != part.number[0]:
            yield held
            held = part
        else:
            held = combine(held, part)
        if len(held) > 1:
            yield held[:-1]
            held = held[-1:]
    if len(held):
        yield held
