"""The newest samples of many PVs at one moment, with as little decoding as can be.

Indexes know each PV's newest sample in every segment, its value included when it is a number. So only where a segment
goes on beyond the moment asked for are its times looked at, and only for arrays and texts its values.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from archiver.store.manifest import Segment
from archiver.store.order import NEVER
from archiver.store.pieces import native_values
from archiver.store.samples import VALUE_DTYPES, Dbr, Samples
from archiver.store.segment import type_of
from archiver.store.segmentfile import SegmentFile, to_numpy
from archiver.store.tail import Highest
from archiver.store.view import FolderView

EVER = np.iinfo(np.int64).max


@dataclass
class Found:
    """Of the PVs `ids` (u4, ascending) the newest samples in segments: `time` (NEVER: none), the segment's place in the
    manifest, the row there, and the row in its index when the sample is the run's last, else -1."""

    ids: np.ndarray
    time: np.ndarray
    place: np.ndarray
    row: np.ndarray
    entry: np.ndarray

    @staticmethod
    def nothing(ids: np.ndarray) -> Found:
        """Nothing found yet."""
        none = np.full(len(ids), -1, np.int64)
        return Found(ids, np.full(len(ids), NEVER), none, none.copy(), none.copy())

    def offer(self, mine: np.ndarray, time_ns: np.ndarray, place: int, row: np.ndarray, entry: np.ndarray) -> None:
        """Take what is newer; of equal times the earlier segment counts."""
        known = self.time[mine]
        better = (time_ns > known) | ((time_ns == known) & (place < self.place[mine]))
        mine = mine[better]
        self.time[mine], self.place[mine] = time_ns[better], place
        self.row[mine], self.entry[mine] = row[better], entry[better]


def in_segments(view: FolderView, ids: np.ndarray, at_ns: int) -> Found:
    """Of each PV the newest sample at or before a time that is in a segment. With the view's lock held."""
    found = Found.nothing(ids)
    # times that a PV has a sample at, or one after which is still before the moment
    floor = found.time.copy()
    open_runs: list[tuple[int, np.ndarray, np.ndarray]] = []
    # nothing is looked for that the table of channels says isn't there
    oldest = view.column("oldest", ids)
    remaining = np.flatnonzero((view.column("samples", ids) > 0) & (oldest <= at_ns))
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
        begun = rows["oldest"] <= at_ns
        done = rows["newest"] <= at_ns
        last = (rows["start"] + rows["rows"] - 1).astype(np.int64)
        found.offer(mine[done], rows["newest"][done], place, last[done], entry[done])
        over = begun & ~done
        if over.any():
            open_runs.append((place, mine[over], entry[over]))
        floor[mine[done]] = np.maximum(floor[mine[done]], rows["newest"][done])
        floor[mine[over]] = np.maximum(floor[mine[over]], rows["oldest"][over])
    for place, mine, entry in open_runs:
        _within(view, place, mine, entry, at_ns, found)
    return found


def _within(view: FolderView, place: int, mine: np.ndarray, entry: np.ndarray, at_ns: int, found: Found) -> None:
    """Look at the times in a segment whose runs of these PVs begin before the moment and end after it."""
    segment = view.manifest.segments[place]
    index = view.index(segment)
    if index is None:
        return
    starts = index.table["start"][entry].astype(np.int64)
    ends = starts + index.table["rows"][entry]
    try:
        with view.opened(segment) as file:
            time_ns, row = _search(file, starts, ends, at_ns)
    except FileNotFoundError as error:
        view.missing(segment, error)
        return
    except (OSError, ValueError, pa.ArrowException) as error:
        view.damage(segment.name, error)
        return
    found.offer(mine, time_ns, place, row, np.full(len(mine), -1))


def _search(file: SegmentFile, starts: np.ndarray, ends: np.ndarray, at_ns: int) -> tuple[np.ndarray, np.ndarray]:
    """Time and row of the newest sample at or before a time in each run; the first of each is not after it."""
    time_ns = np.full(len(starts), NEVER)
    row = np.full(len(starts), -1)
    first, last = file.group_of(starts), file.group_of(ends - 1)
    waiting: defaultdict[int, list[int]] = defaultdict(list)
    for i, (low, high) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        group = high
        if high - 1 > low and _after(file, high - 1, at_ns):
            # groups inside a run hold nothing else, so their statistics tell
            group = high - 1
            while group > low and _after(file, group, at_ns):  # the first group is never wholly after it
                group -= 1
        waiting[group].append(i)
    while waiting:
        group = max(waiting)
        runs = waiting.pop(group)
        times = file.columns(group, ["time"])[0].view(pa.int64()).to_numpy()
        begin, end = file.begin(group), int(file.ends[group])
        for i in runs:
            low = max(int(starts[i]), begin)
            part = times[low - begin : min(int(ends[i]), end) - begin]
            count = int(np.searchsorted(part, at_ns, "right"))
            if count:
                time_ns[i], row[i] = part[count - 1], low + count - 1
            elif low > int(starts[i]):
                waiting[group - 1].append(i)
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
        from_log = (high.log > 0) & (high.time > found.time)
        parts = list(_of_log(view, ids, high, np.flatnonzero(from_log)))
    stored = np.flatnonzero(~from_log & (found.place >= 0))
    yield from (pair for part in parts for pair in part)
    for place in np.unique(found.place[stored]).tolist():
        yield from _of_segment(view, place, found, stored[found.place[stored] == place])


def _of_log(
    view: FolderView, ids: np.ndarray, high: Highest, chosen: np.ndarray
) -> Iterator[list[tuple[int, Samples]]]:
    for number in np.unique(high.log[chosen]).tolist():
        log = view.logs[number]
        mine = chosen[high.log[chosen] == number]
        # rows in a row that have one type are taken together, so those of one type side by side
        rows = high.row[mine]
        order = np.argsort(log.codes(rows), kind="stable")
        mine, rows = mine[order], rows[order]
        for where, columns in log.take(ids[mine], rows):
            values = native_values(columns.dbr, columns.values)
            pairs = _single(
                columns.dbr,
                columns.array,
                columns.time_ns,
                columns.severity,
                columns.status.astype(np.uint16),
                values,
            )
            yield list(zip(ids[mine[where]].tolist(), pairs, strict=True))


def _of_segment(view: FolderView, place: int, found: Found, mine: np.ndarray) -> Iterator[tuple[int, Samples]]:
    segment = view.manifest.segments[place]
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
    result: list[tuple[int, Samples]] = []
    try:
        with view.opened(segment) as file:
            groups = file.group_of(found.row[mine])
            for group in np.unique(groups).tolist():
                here = mine[groups == group]
                severity, status, value = file.columns(group, ["severity", "status", "value"])
                rows = found.row[here] - file.begin(group)
                picked = value.take(pa.array(rows))
                values = [to_numpy(picked.slice(i, 1), dbr, True) for i in range(len(rows))] if array else None
                flat = to_numpy(picked, dbr, False) if values is None else np.zeros(len(rows))
                singles = _single(
                    dbr,
                    array,
                    found.time[here],
                    severity.to_numpy()[rows],
                    status.to_numpy()[rows].astype(np.uint16),
                    flat if values is None else values,
                )
                result += zip(found.ids[here].tolist(), singles, strict=True)
    except FileNotFoundError as error:
        view.missing(segment, error)
    except (OSError, ValueError, pa.ArrowException) as error:
        view.damage(segment.name, error)
    yield from result


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
