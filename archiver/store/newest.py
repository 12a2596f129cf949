"""The newest samples of many PVs at one moment, with as little decoding as can be.

Indexes know each PV's newest sample in every segment, its value included when it is a number. So only where a segment
goes on beyond the moment asked for are its times looked at, and only for arrays and texts its values.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeVar

import numpy as np
import pyarrow as pa

from archiver.store.arrow import numbers
from archiver.store.manifest import Segment
from archiver.store.order import NEVER
from archiver.store.pieces import native_values
from archiver.store.samples import VALUE_DTYPES, Dbr, Samples
from archiver.store.segment import type_of
from archiver.store.segmentfile import SegmentFile, to_numpy
from archiver.store.tail import Highest
from archiver.store.view import FolderView

EVER = np.iinfo(np.int64).max

THREADS = min(4, os.cpu_count() or 1)
_pool = ThreadPoolExecutor(THREADS, "owl-newest")

T = TypeVar("T")


@dataclass
class Found:
    """Of the PVs `ids` (u4, ascending) the newest samples in `segments` that are known so far.

    `time` (NEVER: none), `place` of the segment, `row` in it, and `entry`: the row in its index when the sample is the
    run's last, else -1. `open`: segments whose runs of some PVs go on beyond the moment: (place, PVs' places in `ids`,
    rows in the index).
    """

    ids: np.ndarray
    segments: tuple[Segment, ...]
    time: np.ndarray
    place: np.ndarray
    row: np.ndarray
    entry: np.ndarray
    open: list[tuple[int, np.ndarray, np.ndarray]] = field(default_factory=list)

    @staticmethod
    def nothing(ids: np.ndarray, segments: tuple[Segment, ...]) -> Found:
        """Nothing found yet."""
        none = np.full(len(ids), -1, np.int64)
        return Found(ids, segments, np.full(len(ids), NEVER), none, none.copy(), none.copy())

    def offer(self, mine: np.ndarray, time_ns: np.ndarray, place: int, row: np.ndarray, entry: np.ndarray) -> None:
        """Take what is newer; of equal times the earlier segment counts."""
        known = self.time[mine]
        better = (time_ns > known) | ((time_ns == known) & (place < self.place[mine]))
        mine = mine[better]
        self.time[mine], self.place[mine] = time_ns[better], place
        self.row[mine], self.entry[mine] = row[better], entry[better]


def in_segments(view: FolderView, ids: np.ndarray, at_ns: int) -> Found:
    """What the indexes say of each PV's newest sample at or before a time. With the view's lock held."""
    found = Found.nothing(ids, view.manifest.segments)
    # each PV has a sample between this time and the moment
    floor = found.time.copy()
    # nothing is looked for that the table of channels says isn't there
    remaining = np.flatnonzero((view.column("samples", ids) > 0) & (view.column("oldest", ids) <= at_ns))
    for place, segment in view.newest_first():
        remaining = remaining[floor[remaining] <= segment.newest]
        if not len(remaining):
            break
        if segment.oldest > at_ns:
            continue
        index = view.index(segment)
        if index is None or not len(index.pv):
            continue
        entry = np.minimum(np.searchsorted(index.pv, ids[remaining]), len(index.pv) - 1)
        has = index.pv[entry] == ids[remaining]
        mine, entry = remaining[has], entry[has]
        rows = index.table[entry]
        done = rows["newest"] <= at_ns
        over = (rows["oldest"] <= at_ns) & ~done
        last = (rows["start"] + rows["rows"] - 1).astype(np.int64)
        found.offer(mine[done], rows["newest"][done], place, last[done], entry[done])
        if over.any():
            found.open.append((place, mine[over], entry[over]))
        floor[mine[done]] = np.maximum(floor[mine[done]], rows["newest"][done])
        floor[mine[over]] = np.maximum(floor[mine[over]], rows["oldest"][over])
    return found


def _look_within(view: FolderView, found: Found, at_ns: int) -> None:
    """Look at the times in segments whose runs go on beyond the moment."""
    for place, mine, entry in found.open:
        segment = found.segments[place]
        index = view.index(segment)
        if index is None:
            continue
        starts = index.table["start"][entry].astype(np.int64)
        ends = starts + index.table["rows"][entry]
        with guarded(view, segment):
            time_ns, row = _search(view, segment, starts, ends, at_ns)
            found.offer(mine, time_ns, place, row, np.full(len(mine), -1))


@contextmanager
def guarded(view: FolderView, segment: Segment) -> Iterator[None]:
    """Damage of a segment is noted; that it was replaced is for the caller."""
    try:
        yield
    except FileNotFoundError as error:
        view.missing(segment, error)
    except (OSError, ValueError, pa.ArrowException) as error:
        view.damage(segment.name, error)


def over_groups(
    view: FolderView, segment: Segment, groups: list[int], work: Callable[[SegmentFile, int], T]
) -> list[T]:
    """What `work` makes of row groups, in their order; many are shared out among threads. Not with the view's lock."""

    def some(part: list[int]) -> list[T]:
        with view.opened(segment) as file:
            return [work(file, group) for group in part]

    if len(groups) < 2 * THREADS:
        return some(groups)
    cuts = [len(groups) * i // THREADS for i in range(THREADS + 1)]
    parts = [groups[low:high] for low, high in pairwise(cuts)]
    return [result for results in _pool.map(some, parts) for result in results]


def _search(
    view: FolderView, segment: Segment, starts: np.ndarray, ends: np.ndarray, at_ns: int
) -> tuple[np.ndarray, np.ndarray]:
    """Time and row of the newest sample at or before a time in each run; the first of each is not after it."""
    time_ns = np.full(len(starts), NEVER)
    row = np.full(len(starts), -1)
    waiting: defaultdict[int, list[int]] = defaultdict(list)
    with view.opened(segment) as file:
        first, last = file.group_of(starts), file.group_of(ends - 1)
        for i, (low, high) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
            group = high
            if high - 1 > low and _after(file, high - 1, at_ns):
                # groups inside a run hold nothing else, so their statistics tell
                group = high - 1
                while group > low and _after(file, group, at_ns):  # the first group is never wholly after it
                    group -= 1
            waiting[group].append(i)

    def look(file: SegmentFile, group: int) -> list[int]:
        """Enter what is found; returns the runs that have no such sample in this group."""
        times = numbers(file.columns(group, ["time"])[0])
        begin, end = file.begin(group), int(file.ends[group])
        earlier = []
        for i in waiting[group]:
            low = max(int(starts[i]), begin)
            count = int(times[low - begin : min(int(ends[i]), end) - begin].searchsorted(at_ns, "right"))
            if count:
                time_ns[i], row[i] = times[low - begin + count - 1], low + count - 1
            elif low > starts[i]:
                earlier.append(i)
        return earlier

    while waiting:
        groups = sorted(waiting)
        left = over_groups(view, segment, groups, look)
        waiting = defaultdict(list, {g - 1: runs for g, runs in zip(groups, left, strict=True) if runs})
    return time_ns, row


def _after(file: SegmentFile, group: int, at_ns: int) -> bool:
    """Whether a row group lies wholly after a time."""
    times = file.group_times(group)
    return times is not None and times[0] > at_ns


def in_log(view: FolderView, ids: np.ndarray, at_ns: int) -> Highest:
    """Of each PV the newest kept sample at or before a time that is in the log. With the view's lock held."""
    high = Highest(view.column("kept", ids), at_ns)
    for log in view.logs.values():
        log.raise_to(ids, at_ns, high)
    return high


def newest(view: FolderView, ids: np.ndarray, at_ns: int) -> Iterator[tuple[int, Samples]]:
    """(PV id, its newest sample at or before a time); PVs that have none are left out. `ids`: u4, ascending."""
    with view.lock:
        view.refresh()
        high = in_log(view, ids, at_ns)
        found = in_segments(view, ids, at_ns)
        logged = _of_log(view, ids, high, np.flatnonzero(high.log > 0))
    _look_within(view, found, at_ns)
    for pv, sample in logged:
        place = int(np.searchsorted(ids, pv))
        if sample.time_ns[0] > found.time[place]:
            found.place[place] = -1
            yield pv, sample
    for place in np.unique(found.place[found.place >= 0]).tolist():
        yield from _of_segment(view, place, found, np.flatnonzero(found.place == place))


def _of_log(view: FolderView, ids: np.ndarray, high: Highest, chosen: np.ndarray) -> list[tuple[int, Samples]]:
    result: list[tuple[int, Samples]] = []
    for number in np.unique(high.log[chosen]).tolist():
        log = view.logs[number]
        mine = chosen[high.log[chosen] == number]
        # rows in a row that have one type are taken together, so those of one type side by side
        rows = high.row[mine]
        order = np.argsort(log.codes(rows), kind="stable")
        mine, rows = mine[order], rows[order]
        for where, columns in log.take(ids[mine], rows):
            values = native_values(columns.dbr, columns.values)
            status = columns.status.astype(np.uint16)
            singles = _single(columns.dbr, columns.array, columns.time_ns, columns.severity, status, values)
            result += zip(ids[mine[where]].tolist(), singles, strict=True)
    return result


def _of_segment(view: FolderView, place: int, found: Found, mine: np.ndarray) -> Iterator[tuple[int, Samples]]:
    segment = found.segments[place]
    index = view.index(segment)
    if index is None:
        return
    dbr, array = type_of(segment.kind)
    entry = found.entry[mine]
    rows = index.table[entry]
    known = (entry >= 0) & (rows["known"] == 1) & (not array) & (dbr is not Dbr.STRING)
    easy, rows = mine[known], rows[known]
    values = rows["value"].astype(VALUE_DTYPES[dbr]) if len(easy) else np.zeros(0)
    status = rows["status"].astype(np.uint16)
    singles = _single(dbr, array, found.time[easy], rows["severity"].copy(), status, values)
    yield from zip(found.ids[easy].tolist(), singles, strict=True)
    hard = mine[~known]
    if len(hard):
        yield from _decoded(view, segment, found, hard)


def _decoded(view: FolderView, segment: Segment, found: Found, mine: np.ndarray) -> Iterator[tuple[int, Samples]]:
    """Samples that are not in the index: their row groups are decoded, each once."""
    dbr, array = type_of(segment.kind)

    def pick(file: SegmentFile, group: int) -> list[tuple[int, Samples]]:
        here = mine[groups == group]
        severity, status, value = file.columns(group, ["severity", "status", "value"])
        rows = found.row[here] - file.begin(group)
        picked = value.take(pa.array(rows))
        values = [to_numpy(picked.slice(i, 1), dbr, array) for i in range(len(rows))] if array else None
        singles = _single(
            dbr,
            array,
            found.time[here],
            numbers(severity)[rows],
            numbers(status)[rows].astype(np.uint16),
            to_numpy(picked, dbr, array) if values is None else values,
        )
        return list(zip(found.ids[here].tolist(), singles, strict=True))

    with guarded(view, segment):
        with view.opened(segment) as file:
            groups = file.group_of(found.row[mine])
        for pairs in over_groups(view, segment, np.unique(groups).tolist(), pick):
            yield from pairs


def _single(
    dbr: Dbr,
    array: bool,
    time_ns: np.ndarray,
    severity: np.ndarray,
    status: np.ndarray,
    values: np.ndarray | list[np.ndarray],
) -> list[Samples]:
    """One `Samples` for each row; `values` as a list has those of each row as `Samples` wants them."""
    each = values if isinstance(values, list) else [values[i : i + 1] for i in range(len(values))]
    return [
        Samples(dbr, array, time_ns[i : i + 1], severity[i : i + 1], status[i : i + 1], value)
        for i, value in enumerate(each)
    ]
