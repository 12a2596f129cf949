"""Operators that choose among the samples and give them as they are: first or last of a bin, every n-th, flyers.

`firstFill` and `lastFill` put what they choose at the bin's centre and repeat it in empty bins; `ncount` only counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from archiver.retrieval.operators.bins import ROWS, bins
from archiver.retrieval.operators.points import NUMERIC, Grid
from archiver.retrieval.operators.process import DEFAULT_INTERVAL, Process, real_number, whole_number
from archiver.retrieval.operators.source import NS, Source, after_start, take
from archiver.retrieval.query import Operator
from archiver.store import Dbr, Samples

KEEPERS = ("firstSample", "lastSample", "firstFill", "lastFill")

DEFAULT_STEP = 900
"""Of `nth`."""

MANY_TO_COUNT = 50_000_000
"""Samples from which the archive's tables are taken at their word."""


def find(operator: Operator, numeric: bool = True) -> Process | None:
    """The process of one of these operators, or None; all but deadBand are for strings and arrays too."""
    name = operator.name
    if name == "ncount":
        return Process(_ncount)
    if name == "nth":
        return Process(partial(_nth, step=whole_number(operator, DEFAULT_STEP)))
    if name == "deadBand" and numeric:
        return Process(partial(_dead_band, band=real_number(operator, 0, 1.0)))
    if name in KEEPERS:
        interval = whole_number(operator, DEFAULT_INTERVAL)
        return Process(partial(kept, interval=interval, name=name), interval)
    return None


def kept(source: Source, interval: int, name: str) -> Iterator[Samples]:
    """First or last sample of each bin; the Fill forms put it at the bin's centre and repeat it over empty bins.

    A sample before the start that is in the start's bin is one of that bin's.
    """
    grid = Grid.of_their_own(interval, source.start)
    chosen = _ends_of_bins(source, grid, first=name.startswith("first"))
    if name.endswith("Fill"):
        chosen = _fill(chosen, grid, source.end // NS // interval)
    return after_start(chosen, source.start)


def _ends_of_bins(source: Source, grid: Grid, first: bool) -> Iterator[Samples]:
    """The first (or last) sample of each bin; a sample before the first bin stands for one of its own."""
    held: Samples | None = None  # last of the bin that may go on
    held_bin: int | None = None
    for batch in source.samples():
        batch = batch[: int(np.searchsorted(batch.time_ns, source.end, "right"))]
        if not len(batch):
            continue
        number, starts = grid.cut(batch.time_ns)
        goes_on = number[0] == held_bin
        held_bin = int(number[-1])
        if first:
            starts = starts[int(goes_on) :]
            if len(starts):
                yield take(batch, starts)
            continue
        if held is not None and not goes_on:
            yield held
        if len(starts) > 1:
            yield take(batch, starts[1:] - 1)
        held = batch[-1:]
    if held is not None:
        yield held


def _fill(chosen: Iterable[Samples], grid: Grid, last_bin: int) -> Iterator[Samples]:
    interval = grid.interval_ns // NS
    previous: Samples | None = None
    previous_bin = 0

    def stretch(samples: Samples, number: np.ndarray, stop: int) -> Iterator[Samples]:
        for low in range(int(number[0]), stop, ROWS):
            want = np.arange(low, min(low + ROWS, stop))
            rows = np.searchsorted(number, want, "right") - 1
            piece = take(samples, rows)
            if piece.notes:  # a repetition is not the event
                own = {row: note for row, note in piece.notes.items() if number[rows[row]] == want[row]}
                piece = replace(piece, notes=own or None)
            yield replace(piece, time_ns=(want * interval + interval // 2) * NS)

    for batch in chosen:
        number = grid.number(batch.time_ns)
        if previous is not None:
            yield from stretch(previous, np.array([previous_bin]), int(number[0]))
        yield from stretch(batch, number, int(number[-1]))
        previous = batch[-1:]
        previous_bin = int(number[-1])
    if previous is not None:
        yield from stretch(previous, np.array([previous_bin]), last_bin + 1)


def _ncount(source: Source) -> Iterator[Samples]:
    """One integer at the start: how many samples the time holds. Of very many, how many are not NaN."""
    number = _counted(source)
    if number <= MANY_TO_COUNT:
        number = 0
        for batch in source.samples():
            first, last = np.searchsorted(batch.time_ns, [source.start, source.end + 1]).tolist()
            number += max(0, last - first)
    yield Samples(
        dbr=Dbr.LONG,
        array=False,
        time_ns=np.array([source.start], np.int64),
        severity=np.zeros(1, np.uint8),
        status=np.zeros(1, np.uint16),
        values=np.array([min(number, 2**31 - 1)], np.int32),
    )


def _counted(source: Source) -> int:
    """How many samples the archive's tables of hours have, and the window's ends; 0 for a window of a day or less."""
    grid = Grid.seconds(3600, source.start)
    if not source.has_summaries or source.end - source.start < 86400 * NS:
        return 0
    number = grid.first
    return sum(int(part.count[part.number >= number].sum()) for part in bins(source, grid, ()))


def _nth(source: Source, step: int) -> Iterator[Samples]:
    """Every `step`-th sample of the window."""
    seen = 0
    for batch in source.samples():
        first, last = np.searchsorted(batch.time_ns, [source.start, source.end + 1]).tolist()
        chosen = np.arange(first + (-seen) % step, last, step)
        seen += max(0, last - first)
        if len(chosen):
            yield take(batch, chosen)


def _dead_band(source: Source, band: float) -> Iterator[Samples]:
    """Samples that differ by more than `band` from the last one kept, or in severity, and all that are not finite.

    So is the first one after those, the first one after the connection was lost, and the next one. Which ones are kept
    depends on those before, one by one.
    """
    return after_start(_outside(source, band), source.start)


def _outside(source: Source, band: float) -> Iterator[Samples]:
    kept = math.nan
    before: tuple[np.uint8, np.bool_, np.bool_] | None = None  # of the last sample: severity, not finite, reconnected
    for batch in source.samples():
        batch = batch[: int(np.searchsorted(batch.time_ns, source.end, "right"))]
        if not len(batch):
            continue
        if batch.array or int(batch.dbr) not in NUMERIC:
            before = None
            yield batch
            continue
        values = batch.values.astype(np.float64, copy=False)
        odd = ~np.isfinite(values)
        back = np.zeros(len(batch), bool)
        back[[row for row, note in (batch.notes or {}).items() if "cnxlostepsecs" in note]] = True
        severity = batch.severity
        changed = np.ones(len(batch), bool)
        changed[1:] = (severity[1:] != severity[:-1]) | odd[1:] | odd[:-1] | (back[1:] != back[:-1])
        if before is not None:
            changed[0] = before[0] != severity[0] or before[1] or odd[0] or before[2] != back[0]
        keep = changed.tolist()
        for row, value in enumerate(values.tolist()):
            if keep[row] or abs(value - kept) > band:
                keep[row] = True
                kept = value
        before = severity[-1], odd[-1], back[-1]
        rows = np.flatnonzero(keep)
        if len(rows):
            yield take(batch, rows)
