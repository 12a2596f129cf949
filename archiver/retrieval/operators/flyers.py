"""Samples that are far from the others of their bin, and those that are not: `flyers` and `ignoreflyers`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from archiver.retrieval.operators.points import CHUNK, NUMERIC, Grid
from archiver.retrieval.operators.process import DEFAULT_INTERVAL, Process, real_number, whole_number
from archiver.retrieval.operators.source import EARLIEST, NS, Source, after_start, take
from archiver.retrieval.operators.whole import MAX_SAMPLES
from archiver.retrieval.query import Operator, Refused
from archiver.store import Samples

NAMES = ("flyers", "ignoreflyers")

DEFAULT_DEVIATIONS = 3.0


def find(operator: Operator) -> Process | None:
    """The process of one of these operators, or None."""
    if operator.name not in NAMES:
        return None
    interval = whole_number(operator, DEFAULT_INTERVAL)
    deviations = real_number(operator, 1, DEFAULT_DEVIATIONS)
    work = partial(_flyers, interval=interval, deviations=deviations, wanted=operator.name == "flyers")
    return Process(work, interval)


def _flyers(source: Source, interval: int, deviations: float, wanted: bool) -> Iterator[Samples]:
    """The samples that are flyers (or not): further than so many standard deviations from the mean of their bin.

    NaN is neither. What isn't a number, in a PV that changed its type, is no flyer. The sample before the start is in
    the bin of its time.
    """
    grid = Grid(interval * NS, EARLIEST)
    return after_start(_chosen(source, grid, deviations, wanted), source.start)


def _chosen(source: Source, grid: Grid, deviations: float, wanted: bool) -> Iterator[Samples]:
    for group in _complete(source, grid):
        flies, void = _flies(group, grid, deviations)
        start = 0
        for batch in group:
            part = slice(start, start + len(batch))
            rows = np.flatnonzero((flies[part] == wanted) & ~void[part])
            start += len(batch)
            if len(rows):
                yield take(batch, rows)


def _complete(source: Source, grid: Grid) -> Iterator[list[Samples]]:
    """Batches up to the end of a bin, again and again; 400 when a bin has more than `MAX_SAMPLES`."""
    held: list[Samples] = []
    size = 0
    for batch in source.samples():
        batch = batch[: int(np.searchsorted(batch.time_ns, source.end, "right"))]
        for start in range(0, len(batch), CHUNK):
            part = batch[start : start + CHUNK]
            number, starts = grid.cut(part.time_ns)
            if held and number[0] != grid.number(held[-1].time_ns[-1:])[0]:
                yield held
                held, size = [], 0
            if len(starts) > 1:
                yield [*held, part[: int(starts[-1])]]
                held, size = [], 0
            held.append(part[int(starts[-1]) :])
            size += len(held[-1])
            if size > MAX_SAMPLES:
                raise Refused(400, f"A bin has more than {MAX_SAMPLES} samples; all are needed. Use shorter bins.")
    if held:
        yield held


def _flies(group: list[Samples], grid: Grid, deviations: float) -> tuple[np.ndarray, np.ndarray]:
    """Of each sample of complete bins: whether it is a flyer, and whether it is NaN."""
    time_ns = np.concatenate([batch.time_ns for batch in group])
    values = np.concatenate([_values(batch) for batch in group])
    flies = np.zeros(len(values), bool)
    nan = np.isnan(values)
    void = nan & np.concatenate([np.full(len(batch), _is_numeric(batch)) for batch in group])
    good = np.flatnonzero(~nan)
    if not len(good):
        return flies, void
    values = values[good]
    _, starts = grid.cut(time_ns[good])
    count = np.diff(np.append(starts, len(values)))
    with np.errstate(invalid="ignore", over="ignore"):  # samples may be infinite
        away = np.abs(values - np.repeat(np.add.reduceat(values, starts) / count, count))
        variance = np.add.reduceat(away * away, starts) / np.maximum(count - 1, 1)
        flies[good] = away > np.repeat(deviations * np.sqrt(variance), count)
    return flies, void


def _is_numeric(batch: Samples) -> bool:
    return not batch.array and int(batch.dbr) in NUMERIC


def _values(batch: Samples) -> np.ndarray:
    if not _is_numeric(batch):
        return np.full(len(batch), np.nan)
    return batch.values.astype(np.float64, copy=False)
