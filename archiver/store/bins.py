"""Summaries of one PV over a window: those kept beside segments, and of everything else its samples' own."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from archiver.store.order import NEVER
from archiver.store.runs import pieces_of, read_segment, tail_of
from archiver.store.samples import Dbr
from archiver.store.segment import type_of
from archiver.store.segmentfile import samples_of_batch
from archiver.store.sidecar import ENDINGS
from archiver.store.summary import NS, Summary, bins_of, whole_bins
from archiver.store.view import ATTEMPTS, ChangedError, FolderView, Run

log = logging.getLogger(__name__)

FIELDS = {60: ("minute", "minutes"), 3600: ("hour", "hours")}

Zone = tuple[int, int]
"""From a time (ns) up to another, that one excluded."""


def read_bins(view: FolderView, pv: int, unit_s: int, from_ns: int, to_ns: int) -> Iterator[Summary]:
    """The bins of `unit_s` seconds of a window of whole bins, each once, ascending."""
    attempts = 0
    while True:
        try:
            for bins in whole_bins(_parts(view, pv, unit_s, from_ns, to_ns)):
                yield bins
                from_ns = (int(bins.number[-1]) + 1) * unit_s * NS
            return
        except (FileNotFoundError, ChangedError):
            attempts += 1
            if attempts > ATTEMPTS:
                raise view.restless() from None
            view.forget()


def _parts(view: FolderView, pv: int, unit_s: int, from_ns: int, to_ns: int) -> Iterator[Summary]:
    """Bins in order; one that two parts have something of comes in both."""
    if to_ns <= from_ns:
        return
    unit = unit_s * NS
    with view.lock:
        view.refresh()
        tail = tail_of(view, pv, from_ns, to_ns - 1)
        runs = [run for run in view.runs(pv, from_ns, to_ns - 1) if run.newest >= from_ns]
    spans = [(run.oldest, run.newest) for run in runs]
    if tail:
        spans.append((int(tail[0].time_ns[0]), int(tail[-1].time_ns[-1])))
    zones = _overlaps(spans, unit)
    if tail:
        zones = _joined([*zones, _grown(*spans[-1], unit)])
    jobs: list[tuple[int, int, Run | None]] = [(*zone, None) for zone in zones]
    for run in runs:
        jobs += [(*part, run) for part in _without((run.oldest, run.newest + 1), zones)]
    for start, end, run in sorted(jobs, key=lambda job: job[0]):
        start, end = max(start, from_ns), min(end, to_ns)
        if start >= end:
            continue
        if run is None:
            pieces = (piece.samples() for piece in pieces_of(view, pv, start, end - 1))
            yield from bins_of(pieces, unit_s, start)
        else:
            yield from _of_run(view, run, unit_s, start, end)


def _of_run(view: FolderView, run: Run, unit_s: int, start: int, end: int) -> Iterator[Summary]:
    """The bins of one run from a time up to another (excluded); where they cut a bin, the run has no more of it."""
    dbr, array = type_of(run.segment.kind)
    if array or dbr is Dbr.STRING:
        return
    unit = unit_s * NS
    bins = _kept(view, run, unit_s)
    if bins is None:
        batches = read_segment(view, run, start, end - 1)
        yield from bins_of((samples_of_batch(batch, dbr, array) for batch in batches), unit_s, start)
        return
    low, high = np.searchsorted(bins.number, (start // unit, -(-end // unit)))
    yield bins[int(low) : int(high)]


def _kept(view: FolderView, run: Run, unit_s: int) -> Summary | None:
    """The bins of a run that are kept beside its segment, None when there are none, or none that can be read."""
    first, count = (int(run.row[name]) for name in FIELDS[unit_s])
    if not count:
        return None
    try:
        with view.opened_summary(run.segment, unit_s) as file:
            bins = file.read(first, count)
        if run.oldest <= bins.first_ns[0] and bins.last_ns[-1] <= run.newest and (np.diff(bins.number) > 0).all():
            return bins
        error = "they are not of this segment"
    except (OSError, ValueError, pa.ArrowException) as why:
        error = str(why)
    key = run.segment.stem + ENDINGS[unit_s]
    if key not in view.unsummarised:
        view.unsummarised.add(key)
        log.warning("summaries %s can't be read (%s): they are made of samples", key, error)
    return None


def _overlaps(spans: list[tuple[int, int]], unit: int) -> list[Zone]:
    """Where at least two spans (both ends included) have something in common, in whole bins."""
    zones: list[Zone] = []
    newest = NEVER
    for low, high in sorted(spans):
        if low <= newest:
            zones.append(_grown(low, min(high, newest), unit))
        newest = max(newest, high)
    return _joined(zones)


def _grown(low: int, high: int, unit: int) -> Zone:
    """The bins of a span (both ends included)."""
    return low // unit * unit, (high // unit + 1) * unit


def _joined(zones: list[Zone]) -> list[Zone]:
    """Zones that touch or overlap as one, in order."""
    out: list[Zone] = []
    for low, high in sorted(zones):
        if out and low <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], high))
        else:
            out.append((low, high))
    return out


def _without(part: Zone, zones: list[Zone]) -> Iterator[Zone]:
    """What is left of a zone without others, which are in order."""
    low, high = part
    for start, end in zones:
        if low < min(start, high):
            yield low, min(start, high)
        low = max(low, end)
    if low < high:
        yield low, high
