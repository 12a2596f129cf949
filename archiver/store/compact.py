"""Compaction: many small segments become one, first some of a day's, and after its end all of them.

The merge of consecutive segments of one kind is a segment of that kind: each PV's samples go on where the segment
before ended (see `archiver.store.order`). Only about a million samples are in memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa

from archiver.store.convert import pv_name, write
from archiver.store.files import Layout
from archiver.store.manifest import Segment
from archiver.store.segment import EVENTS_KIND, SegmentFile, Table, index_path, load_index

FANOUT = 16
"""So many segments out of logs are merged while their day lasts."""

MAX_ROWS = 32_000_000
"""Merged segments get no larger than this."""

CHUNK = 1 << 20
"""Rows in memory at a time, unless one PV alone has more."""

DAY = 2
"""The level of a segment that holds all of a day that fits into one."""


def choose(segments: Sequence[Segment], today: int) -> list[Segment]:
    """Consecutive segments of one kind that should become one, [] for none. `today`: days since 1970 UTC."""
    for kind in dict.fromkeys(segment.kind for segment in segments):
        mine = [s for s in segments if s.kind == kind]
        for run in _runs(mine, today):
            past = run[0].day < today
            if len(run) > 1 and (past or len(run) >= FANOUT):
                return run
    return []


def _runs(segments: list[Segment], today: int) -> Iterator[list[Segment]]:
    """Runs of consecutive segments of one day that may be merged: of a past day all, of today those out of logs."""
    run: list[Segment] = []
    rows = 0
    for segment in segments:
        mergeable = segment.level < DAY if segment.day < today else segment.level == 0
        if segment.rows > MAX_ROWS // 2:
            mergeable = False
        joins = (
            run
            and mergeable
            and segment.day == run[0].day
            and rows + segment.rows <= MAX_ROWS
            and (segment.day < today or len(run) < FANOUT)
        )
        if not joins:
            if run:
                yield run
            run, rows = [], 0
        if mergeable:
            run.append(segment)
            rows += segment.rows
    if run:
        yield run


def expired(segments: Sequence[Segment], now: float, retention_days: float | None) -> list[Segment]:
    """Segments whose newest sample is more than `retention_days` old at `now` (s since 1970).

    With them goes the last known value of a PV that has been silent for longer.
    """
    if retention_days is None:
        return []
    limit = int((now - retention_days * 86400) * 1e9)
    return [segment for segment in segments if segment.newest < limit]


def merge(layout: Layout, segments: Sequence[Segment], names: dict[int, str], today: int) -> Segment:
    """Write the segment that replaces `segments`. Nothing refers to it yet: the caller puts it into a manifest."""
    files = [SegmentFile(layout.segments / s.name, s.kind) for s in segments]
    try:
        indexes = [load_index(index_path(layout.segments / s.name)) for s in segments]
        tables = _tables(segments[0].kind, files, indexes, names)
        logs = (segments[0].first_log, segments[-1].last_log)
        level = DAY if segments[0].day < today else max(s.level for s in segments) + 1
        return write(layout, segments[0].kind, tables, logs, level, segments[0].day)[0]
    finally:
        for file in files:
            file.close()


def _tables(kind: str, files: list[SegmentFile], indexes: list[np.ndarray], names: dict[int, str]) -> Iterator[Table]:
    present = np.unique(np.concatenate([index["pv"] for index in indexes]))
    texts = [pv_name(names, int(pv)) for pv in present]
    by_name = np.argsort(np.array(texts, object), kind="stable")
    ids = present[by_name]
    starts = np.zeros((len(files), len(ids)), np.int64)
    counts = np.zeros((len(files), len(ids)), np.int64)
    for row, index in enumerate(indexes):
        place = np.searchsorted(present, index["pv"])
        rank = np.empty(len(present), np.int64)
        rank[by_name] = np.arange(len(present))
        starts[row, rank[place]] = index["start"]
        counts[row, rank[place]] = index["rows"]
    total = counts.sum(axis=0)
    cuts = [0]
    size = 0
    for column, rows in enumerate(total.tolist()):
        if size and size + rows > CHUNK:
            cuts.append(column)
            size = 0
        size += rows
    cuts.append(len(ids))
    for first, last in pairwise(cuts):
        yield _table(kind, files, starts[:, first:last], counts[:, first:last], ids[first:last], names)


def _table(
    kind: str,
    files: list[SegmentFile],
    starts: np.ndarray,
    counts: np.ndarray,
    ids: np.ndarray,
    names: dict[int, str],
) -> Table:
    """The samples of the PVs `ids` (in the order of their names) out of all files."""
    parts, places = [], []
    for row, file in enumerate(files):
        mine = np.flatnonzero(counts[row])
        if not len(mine):
            continue
        # sorted by name in every file, so they lie in one stretch
        begin, end = int(starts[row, mine[0]]), int(starts[row, mine[-1]] + counts[row, mine[-1]])
        parts.append(file.rows_between(begin, end))
        places.append(np.repeat(mine, counts[row, mine]))
    joined = pa.concat_tables(parts).combine_chunks()
    place = np.concatenate(places)
    time_ns = joined.column("time").combine_chunks().cast(pa.int64()).to_numpy()
    rows = np.lexsort((time_ns, place)) if kind == EVENTS_KIND else np.argsort(place, kind="stable")
    return Table(
        kind=kind,
        pv=ids,
        names=[pv_name(names, int(pv)) for pv in ids],
        rows=counts.sum(axis=0),
        time_ns=time_ns[rows],
        severity=joined.column("severity").combine_chunks().to_numpy()[rows],
        status=joined.column("status").combine_chunks().to_numpy()[rows],
        values=joined.column("value").combine_chunks().take(pa.array(rows)),
    )
