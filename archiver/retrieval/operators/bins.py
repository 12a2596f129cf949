"""Statistics of bins: made of samples or of the archive's tables, put together where a bin comes in parts, and filled.

Only the columns that an operator needs are worked out. All of them can be put together from those of parts, so that a
bin of any length needs no memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from archiver.retrieval.operators.points import Grid, Points, apart, points
from archiver.retrieval.operators.source import NS, Source
from archiver.store.summary import Summary

ROWS = 16384
"""Bins in one piece of an answer."""

SUMMARY_UNITS = (3600, 60)
"""Lengths, in seconds, of the bins that the archive keeps."""

SUMMARY_MINIMUM = 600
"""Seconds of a window below which samples are read instead."""

MOMENTS = ("mean", "m2", "m3", "m4")

PROBES = 500
"""Stretches without bins in the archive's tables, of one window, that are searched for samples that are NaN."""


@dataclass(frozen=True)
class Bins:
    """Bins that have samples, in order. `number` i8: the bin's time since 1970 divided by its length.

    `columns`, of the same length: always count (i8), severity (u1, the highest), first_ns and last_ns (i8, the times
    of the first and the last sample); those asked for of mean, m2, m3, m4 (sums of powers of the deviations from the
    mean), low, high, last (f8). Samples that are NaN count for nothing where there are others. A bin that has no others
    has the count 0, and NaN in its columns.
    """

    number: np.ndarray
    columns: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.number)

    def __getitem__(self, rows: slice | np.ndarray) -> Bins:
        return Bins(self.number[rows], {name: column[rows] for name, column in self.columns.items()})

    @property
    def count(self) -> np.ndarray:
        """Samples in each bin."""
        return self.columns["count"]

    def variance(self, correction: int = 1) -> np.ndarray:
        """Variance with `count - correction` degrees of freedom; 0 for a bin of one sample."""
        return self.columns["m2"] / np.maximum(self.count - correction, 1)


def joined(parts: list[Bins]) -> Bins:
    """The bins of all parts; of those in a row with the same number, one."""
    bins = parts[0]
    if len(parts) > 1:
        columns = {name: np.concatenate([p.columns[name] for p in parts]) for name in bins.columns}
        bins = Bins(np.concatenate([p.number for p in parts]), columns)
    void = bins.count == 0
    if void.any():
        bins = bins[~void | ~np.isin(bins.number, bins.number[~void])]
    starts = np.concatenate([[0], np.flatnonzero(bins.number[1:] != bins.number[:-1]) + 1])
    return bins if len(starts) == len(bins) else _merged(bins, starts)


def _merged(bins: Bins, starts: np.ndarray) -> Bins:
    old = bins.columns
    lengths = np.diff(np.append(starts, len(bins)))
    ends = starts + lengths - 1
    new = {
        "count": np.add.reduceat(old["count"], starts),
        "severity": np.maximum.reduceat(old["severity"], starts),
        "first_ns": old["first_ns"][starts],
        "last_ns": old["last_ns"][ends],
    }
    with np.errstate(invalid="ignore", over="ignore"):  # samples may be infinite, and whole bins NaN
        if "mean" in old:
            # deviations from the first part's mean: a large offset cancels before it is multiplied
            base = old["mean"][starts]
            away = (old["mean"] - np.repeat(base, lengths)) * old["count"]
            new["mean"] = base + np.add.reduceat(away, starts) / new["count"]
            infinite = ~np.isfinite(base)
            if infinite.any():
                new["mean"][infinite] = np.add.reduceat(old["mean"], starts)[infinite]
        if "m2" in old:
            d = old["mean"] - np.repeat(new["mean"], lengths)
            n = old["count"]
            new["m2"] = np.add.reduceat(old["m2"] + n * d**2, starts)
            if "m3" in old:
                new["m3"] = np.add.reduceat(old["m3"] + 3 * d * old["m2"] + n * d**3, starts)
            if "m4" in old:
                four = old["m4"] + 4 * d * old["m3"] + 6 * d**2 * old["m2"] + n * d**4
                new["m4"] = np.add.reduceat(four, starts)
    if "low" in old:
        new["low"] = np.minimum.reduceat(old["low"], starts)
    if "high" in old:
        new["high"] = np.maximum.reduceat(old["high"], starts)
    if "last" in old:
        new["last"] = old["last"][ends]
    return Bins(bins.number[starts], new)


def of_points(found: Points, grid: Grid, wanted: Iterable[str]) -> Bins:
    """The bins of these samples, of which there is at least one."""
    numbers, void = apart(found)
    if not len(void):
        return _of_numbers(found, grid, wanted)
    blank = _blank(_of_numbers(replace(void, values=np.zeros(len(void))), grid, wanted))
    if not len(numbers):
        return blank
    bins = _of_numbers(numbers, grid, wanted)
    return _sorted([bins, blank[~np.isin(blank.number, bins.number)]])


def _blank(bins: Bins) -> Bins:
    """These bins as those of samples that are NaN."""
    columns = {
        name: np.full(len(bins), np.nan) if column.dtype.kind == "f" else column
        for name, column in bins.columns.items()
    }
    return Bins(bins.number, {**columns, "count": np.zeros(len(bins), np.int64)})


def _sorted(parts: list[Bins]) -> Bins:
    columns = {name: np.concatenate([p.columns[name] for p in parts]) for name in parts[0].columns}
    number = np.concatenate([p.number for p in parts])
    return Bins(number, columns)[np.argsort(number, kind="stable")]


def _of_numbers(found: Points, grid: Grid, wanted: Iterable[str]) -> Bins:
    number, starts = grid.cut(found.time_ns)
    ends = np.append(starts[1:], len(found)) - 1
    count = ends - starts + 1
    values = found.values
    severity = found.severity
    columns: dict[str, np.ndarray] = {
        "count": count,
        "severity": np.maximum.reduceat(severity, starts) if severity.any() else np.zeros(len(starts), np.uint8),
        "first_ns": found.time_ns[starts],
        "last_ns": found.time_ns[ends],
    }
    wanted = set(wanted)
    with np.errstate(invalid="ignore", over="ignore"):  # samples may be infinite
        if wanted.intersection(MOMENTS):
            columns["mean"] = np.add.reduceat(values, starts) / count
        if wanted.intersection(MOMENTS[1:]):
            away = values - np.repeat(columns["mean"], count)
            square = away * away
            columns["m2"] = np.add.reduceat(square, starts)
            if wanted.intersection(MOMENTS[2:]):
                columns["m3"] = np.add.reduceat(square * away, starts)
            if "m4" in wanted:
                columns["m4"] = np.add.reduceat(square * square, starts)
    if "low" in wanted:
        columns["low"] = np.minimum.reduceat(values, starts)
    if "high" in wanted:
        columns["high"] = np.maximum.reduceat(values, starts)
    if "last" in wanted:
        columns["last"] = values[ends]
    return Bins(number, columns)


def of_summary(summary: Summary, unit_s: int, grid: Grid, wanted: Iterable[str]) -> Bins:
    """The bins of a table of the archive, of which each belongs to one bin of ours."""
    columns = {
        "count": summary.count.astype(np.int64),
        "severity": summary.severity,
        "first_ns": summary.first_ns,
        "last_ns": summary.last_ns,
    }
    wanted = set(wanted)
    if wanted.intersection(MOMENTS):
        columns["mean"] = summary.mean
    if "m2" in wanted:
        columns["m2"] = summary.m2
    for name in ("low", "high", "last"):
        if name in wanted:
            columns[name] = getattr(summary, name)
    return joined([Bins(summary.number * (unit_s * NS) // grid.interval_ns, columns)])


def bins(source: Source, grid: Grid, wanted: tuple[str, ...]) -> Iterator[Bins]:
    """The bins of a window that have samples, each once, in order.

    Where whole minutes or hours fit into the bins they come from the archive's tables, and only samples at the window's
    ends are read.
    """
    return _whole(_parts(source, grid, wanted))


def _parts(source: Source, grid: Grid, wanted: tuple[str, ...]) -> Iterator[Bins]:
    spans = summary_spans(source, grid) if not {"m3", "m4"}.intersection(wanted) else []
    if not spans:
        for found in points(source.samples(), source.end, nan=True):
            yield of_points(found, grid, wanted)
    search = _Search(source, grid, wanted)
    for place, (unit_s, low, high) in enumerate(spans):
        if unit_s:
            summaries = source.summaries(unit_s, low, high)
            known = (of_summary(summary, unit_s, grid, wanted) for summary in summaries if len(summary))
            yield from search.among(known, low, high)
        else:
            for found in points(source.part(low, high, held=not place), high, nan=True):
                yield of_points(found, grid, wanted)


class _Search:
    """Looks for samples where the archive's tables have none: the tables leave out those that are NaN.

    It gives up after `PROBES` stretches: bins that have nothing but NaN are then missing.
    """

    def __init__(self, source: Source, grid: Grid, wanted: tuple[str, ...]) -> None:
        self._source, self._grid, self._wanted = source, grid, wanted
        self._left = PROBES

    def among(self, parts: Iterable[Bins], low: int, high: int) -> Iterator[Bins]:
        """Bins of tables from `low` to `high` (excluded), with those of NaN alone between them."""
        interval = self._grid.interval_ns
        expected = low // interval
        for part in parts:
            number = part.number
            after = np.concatenate([[expected], number[:-1] + 1])
            done = 0
            for row in np.flatnonzero(number > after).tolist():
                if done < row:
                    yield part[done:row]
                done = row
                yield from self._between(max(low, int(after[row]) * interval), int(number[row]) * interval)
            yield part[done:]
            expected = int(number[-1]) + 1
        yield from self._between(max(low, expected * interval), high)

    def _between(self, low: int, high: int) -> Iterator[Bins]:
        if low >= high or not self._left:
            return
        self._left -= 1
        for found in points(self._source.part(low, high), high, nan=True):
            yield of_points(found, self._grid, self._wanted)


def summary_spans(source: Source, grid: Grid) -> list[tuple[int, int, int]]:
    """How to go through a window: `(unit, from, to)`, with unit 0 for samples; `to` is excluded.

    The first is always of samples, as the one before the window is among them. Empty when the archive's tables are of
    no use.
    """
    units = [unit for unit in SUMMARY_UNITS if grid.interval_ns % (unit * NS) == 0]
    if not units or not source.has_summaries:
        return []
    spans = _nested(0, grid.start, source.end + 1, units)
    if len(spans) == 1 or spans[-1][1] - spans[0][2] < SUMMARY_MINIMUM * NS:
        return []
    return [(0, source.start, spans[0][2]), *(span for span in spans[1:] if span[1] < span[2])]


def _nested(unit: int, low: int, high: int, longer: list[int]) -> list[tuple[int, int, int]]:
    """From `low` to `high` by units, but by those that are `longer` (the longest first) wherever they fit."""
    if not longer:
        return [(unit, low, high)]
    length = longer[-1] * NS
    begin, end = -(-low // length) * length, high // length * length
    if end <= begin:
        return [(unit, low, high)]
    return [(unit, low, begin), *_nested(longer[-1], begin, end, longer[:-1]), (unit, end, high)]


def _whole(parts: Iterable[Bins]) -> Iterator[Bins]:
    """The same bins, each once: what one part ends with may go on in the next."""
    held: Bins | None = None
    for part in parts:
        part = joined([part] if held is None else [held, part])
        if len(part) > 1:
            yield part[:-1]
        held = part[-1:]
    if held is not None:
        yield held


def filled(parts: Iterable[Bins], last: int) -> Iterator[tuple[Bins, np.ndarray]]:
    """Every bin from the first that has samples to number `last`, in pieces, and which repeat the one before."""
    previous: Bins | None = None
    for more in parts:
        whole = more if previous is None else joined([previous, more])
        yield from _stretch(whole, int(whole.number[-1]))
        previous = whole[-1:]
    if previous is not None:
        yield from _stretch(previous, last + 1)


def _stretch(known: Bins, stop: int) -> Iterator[tuple[Bins, np.ndarray]]:
    for low in range(int(known.number[0]), stop, ROWS):
        number = np.arange(low, min(low + ROWS, stop))
        place = np.searchsorted(known.number, number, "right") - 1
        yield Bins(number, known[place].columns), known.number[place] != number
