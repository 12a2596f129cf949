"""Merging segments of one kind: sorted by the PVs' present names and by time, equal times once, in bounded memory.

Nothing is taken for granted of the sources: they may be sorted by names that PVs have no more, overlap in time, and
hold PVs that were forgotten. Of equal times the one in the earliest source counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from archiver.store.files import Layout
from archiver.store.manifest import Segment
from archiver.store.names import INDEX as INDEX_ENDING
from archiver.store.order import NEVER
from archiver.store.samples import VALUE_DTYPES, Dbr
from archiver.store.segment import EVENTS_KIND, INDEX, Table, type_of
from archiver.store.segment import load_index as parse_index

BUDGET = 16 << 20
"""Bytes of samples in memory at a time."""

KEEP_GROUP = 8 << 20
"""A row group of up to so many bytes stays in memory for the next PV."""

COLUMNS = ["time", "severity", "status", "value"]


def load_index(layout: Layout, segment: Segment) -> np.ndarray:
    """The index of a segment. ValueError or EOFError when it is none, FileNotFoundError, PlaceError."""
    return parse_index(layout.place_of(segment).read_bytes(segment.stem + INDEX_ENDING))


class Source:
    """A segment that is read from its first row to its last."""

    def __init__(self, layout: Layout, segment: Segment) -> None:
        self.segment = segment
        self.index = load_index(layout, segment)
        place = layout.place_of(segment)
        self._handle = place.open(segment.name)
        if place.local is not None:
            # a bad sector under a mapping would end the engine, and again after each restart; read, it is an error
            self._handle.close()
            self._handle = pa.OSFile(str(place.local / segment.name))
        try:
            self._file = pq.ParquetFile(self._handle)
        except BaseException:
            self._handle.close()
            raise
        meta = self._file.metadata
        self.ends = np.cumsum([meta.row_group(i).num_rows for i in range(meta.num_row_groups)], dtype=np.int64)
        self.rows = int(self.ends[-1]) if len(self.ends) else 0
        if int(self.index["rows"].sum()) != self.rows:
            raise ValueError(f"{segment.name} has {self.rows} rows, and its index {int(self.index['rows'].sum())}")
        self.costs = np.array([self._cost(i) for i in range(meta.num_row_groups)])
        self._kept: tuple[int, pa.Table] | None = None

    def _cost(self, group: int) -> float:
        """Bytes in memory of one row of a row group."""
        meta = self._file.metadata.row_group(group)
        dbr, _ = type_of(self.segment.kind)
        values = meta.column(4).num_values
        size = values * VALUE_DTYPES[dbr].itemsize if dbr is not Dbr.STRING else values * 8
        if dbr is Dbr.STRING:
            size += min(values * 40, max(meta.column(4).total_uncompressed_size * 4, values))
        return 14 + size / max(meta.num_rows, 1)

    def cost(self, start: int, rows: int) -> float:
        """Bytes in memory of some rows, roughly."""
        first = int(np.searchsorted(self.ends, start, "right"))
        last = int(np.searchsorted(self.ends, start + rows - 1, "right"))
        return rows * float(self.costs[first : last + 1].max())

    def read(self, start: int, rows: int) -> pa.Table:
        """The columns of some rows."""
        parts = []
        while rows:
            group = int(np.searchsorted(self.ends, start, "right"))
            begin = int(self.ends[group - 1]) if group else 0
            take = min(rows, int(self.ends[group]) - start)
            if self._kept is not None and self._kept[0] == group:
                table = self._kept[1]
            else:
                table = self._file.read_row_group(group, columns=COLUMNS)
                self._kept = (group, table) if table.nbytes <= KEEP_GROUP else None
            parts.append(table.slice(start - begin, take))
            start += take
            rows -= take
        return parts[0] if len(parts) == 1 else pa.concat_tables(parts)

    def times(self, pv: int, oldest: int, newest: int) -> np.ndarray:
        """Times (ns) of a PV's samples between two times, both included."""
        place = int(np.searchsorted(self.index["pv"], pv))
        if place == len(self.index) or self.index["pv"][place] != pv:
            return np.zeros(0, np.int64)
        start, rows = int(self.index["start"][place]), int(self.index["rows"][place])
        found = [np.zeros(0, np.int64)]
        first = int(np.searchsorted(self.ends, start, "right"))
        last = int(np.searchsorted(self.ends, start + rows - 1, "right"))
        for group in range(first, last + 1):
            begin = int(self.ends[group - 1]) if group else 0
            statistics = self._file.metadata.row_group(group).column(1).statistics
            if statistics is not None and statistics.has_min_max:
                if int(statistics.max_raw) < oldest or int(statistics.min_raw) > newest:
                    continue
            table = self._file.read_row_group(group, columns=["time"])
            times = _column(table, "time").cast(pa.int64()).to_numpy()
            times = times[max(0, start - begin) : start + rows - begin]
            found.append(times[(times >= oldest) & (times <= newest)])
        return np.concatenate(found)

    def close(self) -> None:
        """Close the file."""
        self._kept = None
        self._file.close()
        self._handle.close()


@dataclass
class Merged:
    """What a merge did beside writing: rows dropped as equal times and as forgotten, by PV id."""

    equal: Counter[int] = field(default_factory=Counter)
    forgotten: Counter[int] = field(default_factory=Counter)


def merged_tables(
    kind: str, sources: Sequence[Source], names: dict[int, str], forgotten: frozenset[int], done: Merged
) -> Iterator[Table]:
    """The content of the merged segment, in the order of the PVs' names in `names`.

    A PV that doesn't fit into memory goes on in the next table. `done` is filled in on the way.
    """
    present = np.unique(np.concatenate([source.index["pv"] for source in sources]))
    gone = np.isin(present, np.fromiter(forgotten, np.int64, len(forgotten)))
    for source in sources:
        for row in source.index[np.isin(source.index["pv"], present[gone])]:
            done.forgotten[int(row["pv"])] += int(row["rows"])
    present = present[~gone]
    texts = np.array([present_name(names, int(pv)) for pv in present], object)
    ids = present[np.argsort(texts, kind="stable")] if len(present) else present
    for chosen in _chunks(ids, sources):
        runs = [_runs(source, chosen) for source in sources]
        if len(chosen) == 1 and _cost(sources, runs) > BUDGET:
            yield from _large(kind, sources, int(chosen[0]), names, done)
        else:
            yield _small(kind, sources, runs, chosen, names, done)


def present_name(names: dict[int, str], pv: int) -> str:
    """The name of a PV by id; the engine's own events and ids that a damaged registry lost have one too."""
    return names.get(pv) or ("(engine)" if pv == 0 else f"(lost {pv})")


def _runs(source: Source, chosen: np.ndarray) -> np.ndarray:
    """Rows of the source's index, one for each of `chosen` (none: 0 rows), in its order."""
    index = source.index
    place = np.searchsorted(index["pv"], chosen)
    place[place == len(index)] = 0
    result = index[place].copy() if len(index) else np.zeros(len(chosen), INDEX)
    result["rows"][result["pv"] != chosen] = 0
    return result


def _cost(sources: Sequence[Source], runs: Sequence[np.ndarray]) -> float:
    return sum(
        source.cost(int(run["start"]), int(run["rows"]))
        for source, found in zip(sources, runs, strict=True)
        for run in found
        if run["rows"]
    )


def _chunks(ids: np.ndarray, sources: Sequence[Source]) -> Iterator[np.ndarray]:
    """`ids` cut up into pieces that fit into memory, or are of one PV."""
    if not len(ids):
        return
    costs = np.zeros(len(ids))
    for source in sources:
        runs = _runs(source, ids)
        has = runs["rows"] > 0
        groups = np.searchsorted(source.ends, runs["start"][has], "right")
        last = np.searchsorted(source.ends, runs["start"][has] + runs["rows"][has] - 1, "right")
        per_row = np.maximum(source.costs[groups], source.costs[last])
        costs[has] += runs["rows"][has] * per_row
    cuts, size = [0], 0.0
    for place, cost in enumerate(costs.tolist()):
        if size and size + cost > BUDGET:
            cuts.append(place)
            size = 0.0
        size += cost
    cuts.append(len(ids))
    for first, last in pairwise(cuts):
        yield ids[first:last]


def _small(
    kind: str,
    sources: Sequence[Source],
    runs: Sequence[np.ndarray],
    chosen: np.ndarray,
    names: dict[int, str],
    done: Merged,
) -> Table:
    """All samples of the PVs `chosen`, in memory at once."""
    parts, places = [], []
    for source, found in zip(sources, runs, strict=True):
        has = np.flatnonzero(found["rows"])
        has = has[np.argsort(found["start"][has], kind="stable")]
        # neighbours in the file are read in one go
        starts, rows = found["start"][has].astype(np.int64), found["rows"][has].astype(np.int64)
        breaks = np.flatnonzero(starts[1:] != starts[:-1] + rows[:-1]) + 1
        for first, last in pairwise([0, *breaks.tolist(), len(has)]):
            if first < last:
                parts.append(source.read(int(starts[first]), int(rows[first:last].sum())))
        places.append(np.repeat(has, rows))
    table = _sorted(kind, parts, np.concatenate(places), chosen, done)
    return Table(
        kind=kind,
        pv=chosen[table[0]],
        names=[present_name(names, int(pv)) for pv in chosen[table[0]]],
        rows=table[1],
        time_ns=table[2],
        severity=table[3],
        status=table[4],
        values=table[5],
    )


def _sorted(
    kind: str, parts: list[pa.Table], place: np.ndarray, chosen: np.ndarray, done: Merged
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, pa.Array]:
    """Rows by (place, time) without equal times: the places, rows of each, times, severities, status, values."""
    joined = pa.concat_tables(parts)
    time_ns = _column(joined, "time").cast(pa.int64()).to_numpy()
    rows = np.argsort(place, kind="stable")
    key, time = place[rows], time_ns[rows]
    same = key[1:] == key[:-1]
    if (same & (time[1:] < time[:-1])).any():
        rows = np.lexsort((time_ns, place))
        key, time = place[rows], time_ns[rows]
    if kind != EVENTS_KIND:
        twice = np.flatnonzero((key[1:] == key[:-1]) & (time[1:] == time[:-1])) + 1
        if len(twice):
            for pv, n in zip(*np.unique(chosen[key[twice]], return_counts=True), strict=True):
                done.equal[int(pv)] += int(n)
            rows, key, time = np.delete(rows, twice), np.delete(key, twice), np.delete(time, twice)
    starts = np.concatenate(([0], np.flatnonzero(np.diff(key)) + 1))
    values = _column(joined, "value")
    straight = len(rows) == len(place) and bool((np.diff(rows) == 1).all())
    return (
        key[starts],
        np.diff(np.append(starts, len(key))),
        time,
        _column(joined, "severity").to_numpy()[rows],
        _column(joined, "status").to_numpy()[rows],
        values if straight else values.take(pa.array(rows)),
    )


def _column(table: pa.Table, name: str) -> pa.Array:
    found = table.column(name).combine_chunks()
    if isinstance(found, pa.ChunkedArray):
        return found.chunk(0) if found.num_chunks else pa.array([], found.type)
    return found


@dataclass
class _Head:
    """Where the reading of one PV's run in one source stands."""

    source: Source
    start: int
    rows: int
    oldest: int
    table: pa.Table | None = None
    time_ns: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def fill(self) -> None:
        """Read on when nothing is in memory."""
        if len(self.time_ns) or not self.rows:
            return
        # whole row groups: less of one would be decoded again and again
        end = int(self.source.ends[int(np.searchsorted(self.source.ends, self.start, "right"))])
        take = min(self.rows, end - self.start)
        self.table = self.source.read(self.start, take)
        self.time_ns = _column(self.table, "time").cast(pa.int64()).to_numpy()
        self.start += take
        self.rows -= take

    def take(self, limit: int) -> pa.Table | None:
        """What is in memory up to the time `limit`, which is then no longer."""
        cut = int(np.searchsorted(self.time_ns, limit, "right"))
        if not cut or self.table is None:
            return None
        part, self.table = self.table.slice(0, cut), self.table.slice(cut)
        self.time_ns = self.time_ns[cut:]
        return part


def _large(kind: str, sources: Sequence[Source], pv: int, names: dict[int, str], done: Merged) -> Iterator[Table]:
    """One PV that doesn't fit into memory, piece by piece in time."""
    chosen = np.array([pv])
    waiting = []
    for source in sources:
        (run,) = _runs(source, chosen)
        if run["rows"]:
            waiting.append(_Head(source, int(run["start"]), int(run["rows"]), int(run["oldest"])))
    order = {id(head): place for place, head in enumerate(waiting)}
    waiting.sort(key=lambda head: head.oldest)
    active: list[_Head] = []
    while active or waiting:
        for head in active:
            head.fill()
        active = [head for head in active if len(head.time_ns)]
        limit = min((int(head.time_ns[-1]) for head in active), default=NEVER)
        if waiting and (not active or waiting[0].oldest <= limit):
            active.append(waiting.pop(0))
            continue
        parts = [part for head in sorted(active, key=lambda head: order[id(head)]) if (part := head.take(limit))]
        if not parts:
            continue
        count = sum(part.num_rows for part in parts)
        _, rows, time_ns, severity, status, values = _sorted(kind, parts, np.zeros(count, np.int64), chosen, done)
        yield Table(
            kind=kind,
            pv=chosen,
            names=[present_name(names, pv)],
            rows=rows,
            time_ns=time_ns,
            severity=severity,
            status=status,
            values=values,
        )


__all__ = ["Merged", "Source", "load_index", "merged_tables", "present_name"]
