"""Samples of many PVs in one window, in one pass over the archive: each index and each row group is looked at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from archiver.store.arrow import numbers
from archiver.store.manifest import Segment
from archiver.store.newest import THREADS, guarded, over_groups
from archiver.store.order import NEVER, order
from archiver.store.pieces import after_start, arrange, native_values
from archiver.store.samples import VALUE_DTYPES, Dbr, Samples
from archiver.store.segment import type_of
from archiver.store.segmentfile import COLUMNS, SegmentFile, to_numpy, window_rows
from archiver.store.view import FolderView

MOST_BYTES = 32 << 20
"""Of samples that are held at once."""
MOST_GROUPS = 4
"""Row groups of a segment in which a PV's samples of a window lie; one that needs more is read by itself."""


@dataclass(frozen=True)
class Entries:
    """Runs of PVs in one segment: the PVs' places among those asked for, and where their rows begin and how many."""

    segment: Segment
    place: int
    """The segment's in the manifest."""
    mine: np.ndarray
    start: np.ndarray
    rows: np.ndarray
    oldest: np.ndarray
    newest: np.ndarray

    def of(self, chosen: np.ndarray) -> Entries:
        """Some of them (bool)."""
        columns = (self.mine, self.start, self.rows, self.oldest, self.newest)
        return Entries(self.segment, self.place, *(column[chosen] for column in columns))


_Pieces = list[tuple[int, int, Samples]]
"""What is found of one PV in segments: the oldest time of the run, the place of the segment, the samples."""


def read_many(
    view: FolderView, ids: np.ndarray, from_ns: int, to_ns: int, most: int = MOST_BYTES
) -> dict[int, list[Samples]]:
    """By id, for each of these PVs (u4, ascending), what `read_runs` gives of it, all at once.

    PVs that have more than can be held (`most` bytes of all), or whose samples in the log have several types, are left
    out: they are read one by one.
    """
    with view.lock:
        view.refresh()
        tails, first, left = _tails(view, ids, from_ns, to_ns, most)
        needed = (first == NEVER) | (first > from_ns) | (view.column("newest", ids) >= first)
        entries = list(_entries(view, ids, np.flatnonzero(needed & ~left), from_ns, to_ns))
    stored: defaultdict[int, _Pieces] = defaultdict(list)
    budget = most
    for one in entries:
        one = one.of(~left[one.mine])
        oldest = one.oldest.tolist()
        for at, piece in decode(view, one, from_ns, to_ns, budget, left):
            stored[int(one.mine[at])].append((oldest[at], one.place, piece))
            budget -= _bytes(piece)
    return {
        int(ids[place]): _together(stored.get(place, []), tails.get(place), from_ns)
        for place in np.flatnonzero(~left).tolist()
    }


def _together(stored: _Pieces, tail: Samples | None, from_ns: int) -> list[Samples]:
    """A PV's samples in order of time. Of equal times that in the earliest segment counts, and the log comes last."""
    logged = [] if tail is None else [tail]
    ordered = [piece for _, _, piece in sorted(stored, key=lambda piece: piece[:2])] + logged
    if any(late.time_ns[0] <= early.time_ns[-1] for early, late in pairwise(ordered)):
        ordered = list(arrange([piece for _, _, piece in sorted(stored, key=lambda piece: piece[1])] + logged))
    return list(after_start(iter(ordered), from_ns))


def _bytes(samples: Samples) -> int:
    values = samples.values
    if values.dtype == object:
        size = sum(v.nbytes if isinstance(v, np.ndarray) else 64 for v in values)
    else:
        size = values.nbytes
    return size + 11 * len(samples)


# segments


def _entries(view: FolderView, ids: np.ndarray, wanted: np.ndarray, from_ns: int, to_ns: int) -> Iterator[Entries]:
    """As `FolderView.runs` for many PVs: the runs that the window needs with the newest sample before it."""
    floor = np.full(len(ids), NEVER)
    remaining = wanted[(view.column("samples", ids[wanted]) > 0) & (view.column("oldest", ids[wanted]) <= to_ns)]
    found: list[Entries] = []
    for place, segment in view.newest_first():
        remaining = remaining[floor[remaining] <= segment.newest]
        if not len(remaining):
            break
        if segment.oldest > to_ns:
            continue
        entries = entries_of(view, place, ids, remaining)
        if entries is None:
            continue
        entries = entries.of(entries.oldest <= to_ns)
        begun = entries.of(entries.oldest <= from_ns)
        known = np.where(begun.newest <= from_ns, begun.newest, begun.oldest)
        floor[begun.mine] = np.maximum(floor[begun.mine], known)
        found.append(entries)
    for entries in found:
        entries = entries.of(entries.newest >= floor[entries.mine])
        if len(entries.mine):
            yield entries


def entries_of(view: FolderView, place: int, ids: np.ndarray, chosen: np.ndarray) -> Entries | None:
    """The runs in a segment of those of the PVs `ids` that are chosen; None for none. With the view's lock held."""
    segment = view.manifest.segments[place]
    index = view.index(segment)
    if index is None or not len(index.pv):
        return None
    entry = np.minimum(np.searchsorted(index.pv, ids[chosen]), len(index.pv) - 1)
    has = index.pv[entry] == ids[chosen]
    rows = index.table[entry[has]]
    if not len(rows):
        return None
    start, oldest, newest = (rows[name].astype(np.int64) for name in ("start", "oldest", "newest"))
    return Entries(segment, place, chosen[has], start, rows["rows"].astype(np.int64), oldest, newest)


def decode(
    view: FolderView,
    entries: Entries,
    from_ns: int,
    to_ns: int,
    most: int,
    left: np.ndarray,
    most_groups: int = MOST_GROUPS,
) -> list[tuple[int, Samples]]:
    """Pieces of these runs, each with its place in `entries`, those of a run in order of time.

    A piece holds the samples of a row group from the newest at or before `from_ns` on up to `to_ns`, as copies. PVs
    that are not complete within `most` bytes, or need more than `most_groups` row groups, are marked in `left`.
    """
    segment = entries.segment
    dbr, array = type_of(segment.kind)
    waiting: defaultdict[int, list[int]] = defaultdict(list)
    starts, ends = entries.start.tolist(), (entries.start + entries.rows).tolist()
    found: list[tuple[int, Samples]] = []

    def look(file: SegmentFile, group: int) -> list[tuple[int, Samples]]:
        begin, end = file.begin(group), int(file.ends[group])
        times = numbers(file.columns(group, ["time"])[0])
        windows = []
        for at in waiting[group]:
            low, high = max(starts[at] - begin, 0), min(ends[at], end) - begin
            skip, count = window_rows(times[low:high], from_ns, to_ns)
            if count:
                windows.append((at, low + skip, low + skip + count))
        if not windows:
            return []
        _, severity, status, value = file.columns(group, COLUMNS)
        severities, states = numbers(severity), numbers(status)
        # copies, so that a few samples don't keep a row group in memory
        flat = None if array or dbr is Dbr.STRING else numbers(value)
        return [
            (
                at,
                Samples(
                    dbr,
                    array,
                    times[low:high].copy(),
                    severities[low:high].copy(),
                    states[low:high].astype(np.uint16),
                    _own(to_numpy(value.slice(low, high - low), dbr, array)) if flat is None else flat[low:high].copy(),
                ),
            )
            for at, low, high in windows
        ]

    with guarded(view, segment):
        with view.opened(segment) as file:
            for at, (start, end) in enumerate(zip(starts, ends, strict=True)):
                groups = file.groups(start, end - start, from_ns, to_ns)
                if len(groups) > most_groups:
                    left[entries.mine[at]] = True
                    continue
                for group in groups:
                    waiting[group].append(at)
        groups = sorted(waiting)
        step = 4 * THREADS
        for begin in range(0, len(groups), step):
            if most <= 0:
                over = {at for group in groups[begin:] for at in waiting[group]}
                left[entries.mine[sorted(over)]] = True
                break
            for part in over_groups(view, segment, groups[begin : begin + step], look):
                found += part
                most -= sum(_bytes(piece) for _, piece in part)
    return found


def _own(values: np.ndarray) -> np.ndarray:
    """A copy; where the elements are arrays, of these too."""
    values = values.copy()
    for row, value in enumerate(values) if values.dtype == object else ():
        if isinstance(value, np.ndarray):
            values[row] = value.copy()
    return values


# the log


def _tails(
    view: FolderView, ids: np.ndarray, from_ns: int, to_ns: int, most: int
) -> tuple[dict[int, Samples], np.ndarray, np.ndarray]:
    """What of the PVs is in the log, by the rule of order, from the newest at or before `from_ns` up to `to_ns`.

    By the PV's place in `ids`; and of all PVs the time of the first of these samples (NEVER: none), and which are left
    out. With the view's lock held.
    """
    left = np.zeros(len(ids), bool)
    first = np.full(len(ids), NEVER)
    logs = list(view.logs.values())
    parts = [log.rows_of_many(ids) for log in logs]
    key = np.concatenate([np.zeros(0, np.int64), *(mine for mine, _ in parts)])
    if not len(key):
        return {}, first, left
    which = np.repeat(np.arange(len(logs)), [len(rows) for _, rows in parts])
    row = np.concatenate([rows for _, rows in parts])
    time_ns = np.concatenate([log.times(rows) for log, (_, rows) in zip(logs, parts, strict=True)])
    keep = order(key, time_ns, view.column("kept", ids)).rows
    key, time_ns, which, row = key[keep], time_ns[keep], which[keep], row[keep]
    number = np.bincount(key, minlength=len(ids))
    place = np.arange(len(key)) - (np.cumsum(number) - number)[key]
    early = np.bincount(key[time_ns <= from_ns], minlength=len(ids))
    chosen = (place >= np.maximum(early - 1, 0)[key]) & (time_ns <= to_ns)
    key, time_ns, which, row = key[chosen], time_ns[chosen], which[chosen], row[chosen]
    if not len(key):
        return {}, first, left
    heads = np.flatnonzero(np.diff(key, prepend=-1))
    first[key[heads]] = time_ns[heads]
    types: dict[tuple[Dbr, bool, int], int] = {}
    kind = np.empty(len(key), np.int64)
    for at, log in enumerate(logs):
        mine = which == at
        numbers_of = np.array([types.setdefault(each, len(types)) for each in log.types] or [0])
        kind[mine] = numbers_of[log.codes(row[mine])]
    sizes = np.array([11 + VALUE_DTYPES[dbr].itemsize * count for dbr, _, count in types])
    left[key[np.cumsum(sizes[kind]) > most]] = True
    lowest, highest = np.full(len(ids), len(types)), np.full(len(ids), -1)
    np.minimum.at(lowest, key, kind)
    np.maximum.at(highest, key, kind)
    left |= lowest < highest
    tails: dict[int, Samples] = {}
    for (dbr, array, _), code in types.items():
        mine = np.flatnonzero((kind == code) & ~left[key])
        if len(mine):
            samples = _taken(logs, dbr, array, which[mine], row[mine])
            bounds = np.append(np.flatnonzero(np.diff(key[mine], prepend=-1)), len(mine)).tolist()
            for low, high in pairwise(bounds):
                tails[int(key[mine[low]])] = samples[low:high]
    return tails, first, left


def _taken(logs: Sequence, dbr: Dbr, array: bool, which: np.ndarray, row: np.ndarray) -> Samples:
    """Rows of logs that have one type, in their order."""
    parts, at = [], []
    for number, log in enumerate(logs):
        mine = np.flatnonzero(which == number)
        if len(mine):
            for where, columns in log.take(0, row[mine]):
                parts.append(columns)
                at.append(mine[where])
    back = np.argsort(np.concatenate(at))
    time_ns, severity, status, values = (
        np.concatenate([getattr(part, name) for part in parts])[back]
        for name in ("time_ns", "severity", "status", "values")
    )
    return Samples(dbr, array, time_ns, severity, status.astype(np.uint16), native_values(dbr, values))
