"""Post-processors: statistics per bin, first and last of a bin, counts and thinning.

A bin is `interval` whole seconds, aligned to the epoch. Everything works on batches and keeps at most one unfinished
bin in memory, whatever the length of the request.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from archiver.retrieval.blocks import NS
from archiver.retrieval.query import Operator, Refused
from archiver.store import Dbr, Samples

DEFAULT_INTERVAL = 900
MAX_BINS = 20_000_000
"""In one answer; one of this length is several hundred megabytes."""
MAX_POINTS = 1_000_000
"""Of `optimized`, which must hold as many samples before it knows what to answer."""
_ROWS = 16384

Batches = Iterable[Samples]
Run = Callable[[Batches, int, int], Iterator[Samples]]
"""`(samples, with the newest at or before the start first; start; end)` -> samples; times are unix nanoseconds."""


@dataclass(frozen=True)
class Bins:
    """Statistics of finished bins; arrays of one length. `number` is the bin's second divided by the interval."""

    number: np.ndarray
    count: np.ndarray
    mean: np.ndarray
    m2: np.ndarray
    low: np.ndarray
    high: np.ndarray
    last: np.ndarray
    severity: np.ndarray

    def __getitem__(self, key: slice | np.ndarray) -> Bins:
        return Bins(*(getattr(self, f)[key] for f in _FIELDS))

    def variance(self, correction: int) -> np.ndarray:
        """Variance with `n - correction` degrees of freedom; 0 for a bin of one sample."""
        return self.m2 / np.maximum(self.count - correction, 1)


_FIELDS = ("number", "count", "mean", "m2", "low", "high", "last", "severity")

_SUMMARIES: dict[str, Callable[[Bins], np.ndarray]] = {
    "mean": lambda b: b.mean,
    "min": lambda b: b.low,
    "max": lambda b: b.high,
    "count": lambda b: b.count.astype(float),
    "std": lambda b: np.sqrt(b.variance(1)),
    "variance": lambda b: b.variance(1),
    "popvariance": lambda b: b.variance(0),
    "jitter": lambda b: np.divide(np.sqrt(b.variance(1)), b.mean, out=np.full(len(b.mean), np.nan), where=b.mean != 0),
    "stats": lambda b: np.stack([b.mean, np.sqrt(b.variance(1)), b.low, b.high, b.count.astype(float)], axis=1),
}
_KEEPERS = ("firstSample", "lastSample", "firstFill", "lastFill")
NUMERIC = frozenset({1, 2, 3, 4, 5, 6})


@dataclass(frozen=True)
class Process:
    """What an operator does with samples. `interval` is the length of its bins in seconds, None when it has none."""

    run: Run
    interval: int | None = None

    def check(self, start: int, end: int) -> None:
        """Refuse a request for more bins than anybody can use."""
        number = (end - start) // NS // self.interval if self.interval else 0
        if number > MAX_BINS:
            raise Refused(400, f"This asks for {number} bins; at most {MAX_BINS} are made. Use longer bins.")


def find(operator: Operator, dbr: int | None, array: bool) -> Process | None:
    """The process of an operator for a PV of this type; None when the operator is not known, or not for this type.

    404 when its argument is no number, as the appliance answers.
    """
    name = operator.name
    if name == "ncount":
        return Process(_ncount)
    if name == "nth":
        return Process(partial(_nth, step=_number(operator, 1)))
    if name in _KEEPERS:
        interval = _number(operator, DEFAULT_INTERVAL)
        return Process(partial(_kept, interval=interval, name=name), interval)
    if dbr not in NUMERIC or array:
        return None
    summary = name.removesuffix("Sample")
    if summary == "optimized":
        points = _number(operator, 1000)
        if points > MAX_POINTS:
            raise Refused(400, f"This asks for {points} points; at most {MAX_POINTS} are made.")
        return Process(partial(_optimized, points=points, fill=summary == name))
    if summary in _SUMMARIES:
        interval = _number(operator, DEFAULT_INTERVAL)
        return Process(partial(_summary, interval=interval, name=summary, fill=summary == name), interval)
    return None


def _number(operator: Operator, default: int) -> int:
    if not operator.arguments:
        return default
    text = operator.arguments[0]
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:12]) <= 2_147_483_647 and len(text) <= 12):
        raise Refused(404, f"The operator {operator.text[:80]!r} needs a whole number from 1 up after the underscore.")
    return int(text)


def after_start(batches: Batches, start_ns: int) -> Iterator[Samples]:
    """Of the samples at or before the start only the newest: the rule of every answer, also of a processed one."""
    held: Samples | None = None
    for batch in batches:
        late = int(np.searchsorted(batch.time_ns, start_ns, "right"))
        if late:
            held = batch[late - 1 : late]
        if late < len(batch):
            if held is not None:
                yield held
                held = None
            yield batch[late:]
            start_ns = np.iinfo(np.int64).min
    if held is not None:
        yield held


# Statistics


def _summary(batches: Batches, start: int, end: int, interval: int, name: str, fill: bool) -> Iterator[Samples]:
    value = _SUMMARIES[name]
    bins = _bins(batches, start, end, interval)
    if fill:
        bins = _filled(bins, end // NS // interval, zero_count=name == "count")
    return after_start((_bin_samples(b, value, interval) for b in bins), start)


def _bin_samples(bins: Bins, value: Callable[[Bins], np.ndarray], interval: int) -> Samples:
    with np.errstate(invalid="ignore", over="ignore"):  # samples may be infinite
        values = value(bins)
    time_ns = (bins.number * interval + interval // 2) * NS + (500_000_000 if interval % 2 else 0)
    return Samples(
        dbr=Dbr.DOUBLE,
        array=values.ndim > 1,
        time_ns=time_ns,
        severity=bins.severity.astype(np.uint8),
        status=np.zeros(len(time_ns), np.uint16),
        values=values,
    )


def _bins(batches: Batches, start: int, end: int, interval: int) -> Iterator[Bins]:
    """The bins that have samples, each once, in order. The sample before the start has the bin before the first."""
    first_bin = start // NS // interval
    pending: Bins | None = None
    for batch in batches:
        if int(batch.dbr) not in NUMERIC or batch.array:
            continue
        values = batch.values.astype(float)
        good = ~np.isnan(values) & (batch.time_ns <= end)
        number = np.where(batch.time_ns < start, first_bin - 1, batch.time_ns // NS // interval)
        if not good.any():
            continue
        bins = _reduce(number[good], values[good], batch.severity[good])
        if pending is not None:
            bins = _append(pending, bins)
        if len(bins.number) > 1:
            yield bins[:-1]
        pending = bins[-1:]
    if pending is not None:
        yield pending


def _reduce(number: np.ndarray, values: np.ndarray, severity: np.ndarray) -> Bins:
    edges = np.flatnonzero(np.diff(number)) + 1
    starts = np.concatenate([[0], edges])
    count = np.diff(np.concatenate([starts, [len(number)]]))
    with np.errstate(invalid="ignore", over="ignore"):
        mean = np.add.reduceat(values, starts) / count
        m2 = np.add.reduceat((values - np.repeat(mean, count)) ** 2, starts)
    return Bins(
        number[starts],
        count,
        mean,
        m2,
        np.minimum.reduceat(values, starts),
        np.maximum.reduceat(values, starts),
        values[starts + count - 1],
        np.maximum.reduceat(severity, starts),
    )


def _append(one: Bins, more: Bins) -> Bins:
    """`one` bin and those after it, merged where the bin goes on over two batches."""
    if one.number[0] != more.number[0]:
        return Bins(*(np.concatenate([getattr(one, f), getattr(more, f)]) for f in _FIELDS))
    a, b = one.count[0], more.count[0]
    with np.errstate(invalid="ignore", over="ignore"):
        delta = more.mean[0] - one.mean[0]
        more.mean[0] = one.mean[0] + delta * b / (a + b)
        more.m2[0] += one.m2[0] + delta * delta * a * b / (a + b)
    more.count[0] = a + b
    more.low[0] = min(one.low[0], more.low[0])
    more.high[0] = max(one.high[0], more.high[0])
    more.severity[0] = max(one.severity[0], more.severity[0])
    return more


def _filled(bins: Iterable[Bins], last_bin: int, zero_count: bool) -> Iterator[Bins]:
    """Every bin from the first that has a sample to `last_bin`; an empty one repeats the one before it."""
    previous: Bins | None = None
    for more in bins:
        joined = (
            more
            if previous is None
            else Bins(*(np.concatenate([getattr(previous, f), getattr(more, f)]) for f in _FIELDS))
        )
        yield from _stretch(joined, int(joined.number[-1]), zero_count)
        previous = joined[-1:]
    if previous is not None:
        yield from _stretch(previous, last_bin + 1, zero_count)


def _stretch(bins: Bins, stop: int, zero_count: bool) -> Iterator[Bins]:
    """The bins from the first of `bins` up to, not including, number `stop`, in pieces."""
    for low in range(int(bins.number[0]), stop, _ROWS):
        number = np.arange(low, min(low + _ROWS, stop))
        source = np.searchsorted(bins.number, number, "right") - 1
        piece = replace(bins[source], number=number)
        if zero_count:
            piece = replace(piece, count=np.where(bins.number[source] == number, piece.count, 0))
        yield piece


def _optimized(batches: Batches, start: int, end: int, points: int, fill: bool) -> Iterator[Samples]:
    """The samples themselves when they are at most `points`, else five statistics per interval."""
    held: list[Samples] = []
    number = 0
    source = iter(batches)
    for batch in source:
        held.append(batch)
        number += len(batch)
        if number > points:
            break
    if number <= points:
        yield from after_start(held, start)
        return
    interval = max(1, (end - start) // NS // points)
    yield from _summary(itertools.chain(held, source), start, end, interval, "stats", fill)


# Samples as they are


def _kept(batches: Batches, start: int, end: int, interval: int, name: str) -> Iterator[Samples]:
    """First or last sample of each bin; the Fill forms put it at the bin's centre and repeat it over empty bins."""
    chosen = _ends_of_bins(batches, start, end, interval, first=name.startswith("first"))
    if name.endswith("Fill"):
        chosen = _fill_samples(chosen, start, end, interval)
    return after_start(chosen, start)


def _ends_of_bins(batches: Batches, start: int, end: int, interval: int, first: bool) -> Iterator[Samples]:
    """The first (or last) sample of each bin; the sample before the start stands for a bin of its own."""
    first_bin = start // NS // interval
    held: Samples | None = None  # last of the bin that may go on; with `first`, only its number counts
    held_bin: int | None = None
    for batch in batches:
        batch = batch[: int(np.searchsorted(batch.time_ns, end, "right"))]
        if not len(batch):
            continue
        number = np.where(batch.time_ns < start, first_bin - 1, batch.time_ns // NS // interval)
        if first:
            new = np.concatenate([[number[0] != held_bin], np.diff(number) != 0])
            held_bin = int(number[-1])
            if new.any():
                yield take(batch, np.flatnonzero(new))
            continue
        if held is not None and number[0] != held_bin:
            yield held
        lasts = np.flatnonzero(np.diff(number))
        if len(lasts):
            yield take(batch, lasts)
        held, held_bin = batch[-1:], int(number[-1])
    if held is not None:
        yield held


def _fill_samples(chosen: Iterable[Samples], start: int, end: int, interval: int) -> Iterator[Samples]:
    first_bin, last_bin = start // NS // interval, end // NS // interval
    previous: Samples | None = None
    previous_bin = 0

    def stretch(samples: Samples, number: np.ndarray, stop: int) -> Iterator[Samples]:
        for low in range(int(number[0]), stop, _ROWS):
            want = np.arange(low, min(low + _ROWS, stop))
            piece = take(samples, np.searchsorted(number, want, "right") - 1)
            yield replace(piece, time_ns=(want * interval + interval // 2) * NS)

    for batch in chosen:
        number = np.where(batch.time_ns < start, first_bin - 1, batch.time_ns // NS // interval)
        if previous is not None:
            yield from stretch(previous, np.array([previous_bin]), int(number[0]))
        yield from stretch(batch, number, int(number[-1]))
        previous = batch[-1:]
        previous_bin = int(number[-1])
    if previous is not None:
        yield from stretch(previous, np.array([previous_bin]), last_bin + 1)


def _ncount(batches: Batches, start: int, end: int) -> Iterator[Samples]:
    """One integer at the start: how many samples the time holds."""
    number = sum(int(np.count_nonzero((b.time_ns >= start) & (b.time_ns <= end))) for b in batches)
    yield Samples(
        dbr=Dbr.LONG,
        array=False,
        time_ns=np.array([start], np.int64),
        severity=np.zeros(1, np.uint8),
        status=np.zeros(1, np.uint16),
        values=np.array([min(number, 2**31 - 1)], np.int32),
    )


def _nth(batches: Batches, start: int, end: int, step: int) -> Iterator[Samples]:
    """Every `step`-th sample of the window."""
    seen = 0
    for batch in batches:
        inside = np.flatnonzero((batch.time_ns >= start) & (batch.time_ns <= end))
        chosen = inside[(np.arange(len(inside)) + seen) % step == 0]
        seen += len(inside)
        if len(chosen):
            yield take(batch, chosen)


def take(samples: Samples, index: np.ndarray) -> Samples:
    """The samples at these positions."""
    return replace(
        samples,
        time_ns=samples.time_ns[index],
        severity=samples.severity[index],
        status=samples.status[index],
        values=samples.values[index],
    )


def is_known(operator: Operator) -> bool:
    """Whether there is such an operator, if not for every type."""
    name = operator.name
    return (
        name in ("ncount", "nth", "optimized", "optimizedSample", *_KEEPERS)
        or name.removesuffix("Sample") in _SUMMARIES
    )
