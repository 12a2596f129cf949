"""The log's tail: what a reader sees of the samples that are in no segment yet.

A log is thousands of short records in the order things came. Readers ask by PV, for one or for ten thousand of them: so
what was read of a log is kept sorted by PV, in a few pieces that double in size, and no question looks at records one
by one.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from archiver.store.order import NEVER
from archiver.store.records import (
    HEADER,
    MAX_PAYLOAD,
    SAMPLES_HEAD,
    Columns,
    Kind,
    parse_columns,
    peek_times,
    record_at,
)
from archiver.store.samples import VALUE_DTYPES, Dbr

LONG = 64
"""Bytes of an item from which items are copied one by one."""


@dataclass(frozen=True)
class Block:
    """Where the columns of a SAMPLES or EVENTS record lie in its log, and the times in them (ns)."""

    kind: Kind
    start: int
    end: int
    oldest: int
    newest: int


@dataclass(frozen=True)
class _Piece:
    """Consecutive rows of a log, sorted by PV: `rows[bounds[i]:bounds[i+1]]` are those of `ids[i]`, as they came.

    `top_time`, `top_row`: of each PV the highest time, and the first row that has it.
    """

    ids: np.ndarray
    bounds: np.ndarray
    rows: np.ndarray
    top_time: np.ndarray
    top_row: np.ndarray


class LogView:
    """What whole records a log file has, for readers beside the engine: `refresh` looks only at what is new.

    Record checksums are tested through read(), not through a mapping: a page that the engine cuts off under a mapping
    would end this process. Only what was found whole, which is never cut off, is mapped.
    """

    def __init__(self, path: Path, number: int) -> None:
        self.number = number
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._bytes = np.zeros(0, np.uint8)
        self._mapped = 0
        self.size = 0
        self.blocks: list[Block] = []
        # of each block of samples: first row, bytes where its columns begin, rows, code of its type
        self._table = np.zeros(0, _BLOCK)
        self._fresh: list[tuple] = []
        self._types: dict[tuple[Dbr, bool, int], int] = {}
        self._pieces: list[_Piece] = []
        self.rows = 0
        """Samples in the log."""
        self._indexed = 0

    def refresh(self) -> None:
        """Take in the records written since the last call."""
        size = os.fstat(self._fd).st_size
        while self.size + HEADER.size <= size:
            head = os.pread(self._fd, HEADER.size, self.size)
            if len(head) < HEADER.size:
                return
            length = HEADER.unpack(head)[1]
            if length > MAX_PAYLOAD:
                return
            data = os.pread(self._fd, HEADER.size + length + (-length % 8), self.size)
            record = record_at(memoryview(data), 0, self.number)
            if record is None:
                # being written right now, or torn: the engine's recovery deals with that
                return
            if record.kind in (Kind.SAMPLES, Kind.EVENTS) and length >= SAMPLES_HEAD.size:
                self._take(record.kind, record.payload, self.size + HEADER.size)
            self.size += record.end

    def _take(self, kind: Kind, payload: memoryview, start: int) -> None:
        _, oldest, newest = peek_times(payload)
        try:
            columns = parse_columns(payload)
        except ValueError:
            return
        self.blocks.append(Block(kind, start, start + len(payload), oldest, newest))
        if kind is not Kind.SAMPLES or not len(columns):
            return
        count = columns.values.shape[1] if columns.array else 1
        code = self._types.setdefault((columns.dbr, columns.array, count), len(self._types))
        self._fresh.append((self.rows, start + SAMPLES_HEAD.size, len(columns), code))
        self.rows += len(columns)

    def _map(self) -> np.ndarray:
        """The log's bytes, at least as far as they are known."""
        if self.size > self._mapped:
            # the old mapping lives on as long as an array looks at it
            mapping = mmap.mmap(self._fd, self.size, prot=mmap.PROT_READ)
            self._bytes = np.frombuffer(mapping, np.uint8)
            self._mapped = self.size
        return self._bytes

    def columns(self, block: Block) -> Columns:
        """The columns of a block, as views of the mapped file."""
        return parse_columns(self._map()[block.start : block.end].data)

    # samples by PV

    def _sort(self) -> None:
        """Sort what is new by PV, and join pieces of like size, so that there are never many."""
        if self._indexed == self.rows:
            return
        fresh = np.array(self._fresh, _BLOCK)
        self._table = np.concatenate([self._table, fresh])
        self._fresh.clear()
        data = self._map()
        pvs, times = [], []
        for _, start, n, _ in fresh.tolist():
            times.append(data[start : start + 8 * n].view("<i8"))
            pvs.append(data[start + 8 * n : start + 12 * n].view("<u4"))
        pv, time_ns = np.concatenate(pvs), np.concatenate(times)
        order = by_pv(pv)
        self._pieces.append(_piece(pv[order], (order + self._indexed).astype(np.uint32), time_ns[order]))
        self._indexed = self.rows
        while len(self._pieces) > 1 and len(self._pieces[-2].rows) < 2 * len(self._pieces[-1].rows):
            last = self._pieces.pop()
            self._pieces[-1] = self._joined(self._pieces[-1], last)

    def _joined(self, one: _Piece, more: _Piece) -> _Piece:
        pv = np.concatenate([np.repeat(p.ids, np.diff(p.bounds)) for p in (one, more)])
        rows = np.concatenate([one.rows, more.rows])
        order = by_pv(pv)
        ids = np.union1d(one.ids, more.ids)
        top_time, top_row = np.full(len(ids), NEVER), np.zeros(len(ids), np.uint32)
        for piece in (one, more):
            place = np.searchsorted(ids, piece.ids)
            higher = piece.top_time > top_time[place]
            top_time[place[higher]] = piece.top_time[higher]
            top_row[place[higher]] = piece.top_row[higher]
        bounds = np.append(np.searchsorted(pv[order], ids), len(pv))
        return _Piece(ids, bounds, rows[order], top_time, top_row)

    def rows_of(self, pv: int) -> np.ndarray:
        """The rows of one PV, as they came."""
        self._sort()
        found = []
        for piece in self._pieces:
            place = int(np.searchsorted(piece.ids, pv))
            if place < len(piece.ids) and piece.ids[place] == pv:
                found.append(piece.rows[piece.bounds[place] : piece.bounds[place + 1]])
        return np.concatenate(found) if found else np.zeros(0, np.uint32)

    def rows_of_many(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the PVs `ids` (sorted, u4), those of each as they came, and of each row the PV's place in `ids`."""
        self._sort()
        places, rows = [np.zeros(0, np.int64)], [np.zeros(0, np.uint32)]
        for piece in self._pieces:
            place = np.minimum(np.searchsorted(piece.ids, ids), len(piece.ids) - 1)
            mine = np.flatnonzero(piece.ids[place] == ids)
            starts, ends = piece.bounds[place[mine]], piece.bounds[place[mine] + 1]
            rows.append(_ranges(piece.rows, starts, ends - starts)[0])
            places.append(np.repeat(mine, ends - starts))
        return np.concatenate(places), np.concatenate(rows)

    def counts(self, size: int) -> np.ndarray:
        """Samples of each PV by id (i8[size]); ids from `size` on are left out."""
        self._sort()
        total = np.zeros(size, np.int64)
        for piece in self._pieces:
            inside = piece.ids < size
            total[piece.ids[inside]] += np.diff(piece.bounds)[inside]
        return total

    def first_times(self, ids: np.ndarray, chosen: np.ndarray, first: np.ndarray) -> None:
        """Enter in `first` the time (ns) of the first sample of those of the PVs `ids` that are `chosen` and here."""
        self._sort()
        for piece in reversed(self._pieces):
            place = np.minimum(np.searchsorted(piece.ids, ids), len(piece.ids) - 1)
            mine = np.flatnonzero((piece.ids[place] == ids) & chosen)
            if len(mine):
                first[mine] = self.times(piece.rows[piece.bounds[place[mine]]])

    def raise_to(self, ids: np.ndarray, at_ns: int, high: Highest) -> None:
        """Bring `high` of the PVs `ids` (sorted, u4) up to the newest kept sample of this log at or before a time."""
        self._sort()
        for piece in self._pieces:
            place = np.minimum(np.searchsorted(piece.ids, ids), len(piece.ids) - 1)
            mine = np.flatnonzero((piece.ids[place] == ids) & ~high.closed)
            if not len(mine):
                continue
            place = place[mine]
            late = piece.top_time[place] > at_ns
            early, where = mine[~late], place[~late]
            high.offer(early, piece.top_time[where], piece.top_row[where], self.number)
            if late.any():
                self._raise_within(piece, mine[late], place[late], at_ns, high)

    def _raise_within(self, piece: _Piece, mine: np.ndarray, place: np.ndarray, at_ns: int, high: Highest) -> None:
        """For PVs that have samples after the time: what counts is what came before the first of those."""
        starts = piece.bounds[place]
        rows, heads = _ranges(piece.rows, starts, piece.bounds[place + 1] - starts)
        over = np.append(np.flatnonzero(self.times(rows) > at_ns), len(rows))
        before = over[np.searchsorted(over, heads)] - heads
        high_before = before > 0
        rows, heads = _ranges(piece.rows, starts[high_before], before[high_before])
        if len(rows):
            times = self.times(rows)
            best = np.maximum.reduceat(times, heads)
            at_best = np.flatnonzero(times == np.repeat(best, before[high_before]))
            first = at_best[np.searchsorted(at_best, heads)]
            high.offer(mine[high_before], best, rows[first], self.number)
        high.closed[mine] = True

    # rows

    def _places(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        block = np.searchsorted(self._table["row"], rows, "right") - 1
        return block, rows.astype(np.int64) - self._table["row"][block]

    def times(self, rows: np.ndarray) -> np.ndarray:
        """Time stamps of rows (ns)."""
        data = self._map()
        if len(rows) > self.rows // 16:
            table = zip(self._table["start"].tolist(), self._table["rows"].tolist(), strict=True)
            return np.concatenate([data[start : start + 8 * n].view("<i8") for start, n in table])[rows]
        block, place = self._places(rows)
        return self._gather(self._table["start"][block] + 8 * place, np.dtype("<i8"))

    def _gather(self, at: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """Items of `dtype` that begin at these bytes; columns needn't be aligned."""
        data = self._map()
        size = dtype.itemsize
        if size == 1:
            return data[at].view(dtype)
        if size <= LONG:
            return data[at[:, None] + np.arange(size)].view(dtype)[:, 0]
        out = np.empty((len(at), size), np.uint8)
        for row, begin in enumerate(at.tolist()):
            out[row] = data[begin : begin + size]
        return out.view(dtype)[:, 0]

    def take(self, pv: np.ndarray | int, rows: np.ndarray) -> Iterator[tuple[np.ndarray, Columns]]:
        """Some rows, in pieces of one type and count: where in `rows` those of the piece are, and their columns.

        `pv`: what goes into the columns for them, one or one for each row.
        """
        block, place = self._places(rows)
        code = self._table["type"][block]
        cuts = np.append(np.flatnonzero(np.diff(code)) + 1, len(code)) if len(code) else []
        types = self.types
        start = 0
        for end in [int(cut) for cut in cuts]:
            dbr, array, count = types[int(code[start])]
            part = slice(start, end)
            entry, row = self._table[block[part]], place[part]
            n, base = entry["rows"], entry["start"]
            dtype = VALUE_DTYPES[dbr]
            size = dtype.itemsize * count
            ids = np.full(end - start, pv, np.uint32) if isinstance(pv, int) else pv[part]
            if size:
                values = self._gather(base + 14 * n + size * row, np.dtype((np.void, size)))
                values = np.frombuffer(values.tobytes(), dtype)
            else:
                values = np.zeros(0, dtype)
            yield (
                np.arange(start, end),
                Columns(
                    dbr,
                    array,
                    ids,
                    self._gather(base + 8 * row, np.dtype("<i8")),
                    self._gather(base + 12 * n + row, np.dtype("u1")),
                    self._gather(base + 13 * n + row, np.dtype("u1")),
                    values.reshape(end - start, count) if array else values,
                ),
            )
            start = end

    def codes(self, rows: np.ndarray) -> np.ndarray:
        """A number for the type and element count of each of some rows; `types` says of which."""
        return self._table["type"][self._places(rows)[0]]

    @property
    def types(self) -> list[tuple[Dbr, bool, int]]:
        """Type, whether it is an array, and element count, by the numbers of `codes`."""
        return list(self._types)

    def close(self) -> None:
        """Close the file; arrays that look at it stay valid."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._bytes = np.zeros(0, np.uint8)
        self._mapped = 0


_BLOCK = np.dtype([("row", "<i8"), ("start", "<i8"), ("rows", "<i8"), ("type", "<i4")])


class Highest:
    """Of some PVs the newest kept sample so far: its time, its log (0: none) and its row in the log.

    `floor` (i8): times up to which samples don't count. A PV is `closed` when one after the time asked for was met:
    what comes after that in the log goes back in time, or is later still.
    """

    def __init__(self, floor: np.ndarray, at_ns: int) -> None:
        self.time = floor.copy()
        self.log = np.zeros(len(floor), np.int64)
        self.row = np.zeros(len(floor), np.int64)
        self.closed = floor > at_ns

    def offer(self, places: np.ndarray, time_ns: np.ndarray, rows: np.ndarray, log: int) -> None:
        """Take what is newer."""
        newer = time_ns > self.time[places]
        places = places[newer]
        self.time[places] = time_ns[newer]
        self.row[places] = rows[newer]
        self.log[places] = log


def _ranges(values: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`values[starts[i]:starts[i] + lengths[i]]` one after the other, and where each of them begins."""
    heads = np.cumsum(lengths) - lengths
    return values[np.arange(int(lengths.sum())) + np.repeat(starts - heads, lengths)], heads


def by_pv(pv: np.ndarray) -> np.ndarray:
    """The rows sorted by PV, those of one PV as they come. numpy sorts 16-bit keys by radix, some ten times faster."""
    low = pv.astype(np.uint16)
    order = np.argsort(low, kind="stable")
    if len(pv) and int(pv.max()) >= 1 << 16:
        order = order[np.argsort((pv >> 16).astype(np.uint16)[order], kind="stable")]
    return order


def _piece(pv: np.ndarray, rows: np.ndarray, time_ns: np.ndarray) -> _Piece:
    """A piece out of rows that are sorted by PV."""
    starts = np.concatenate(([0], np.flatnonzero(np.diff(pv)) + 1))
    bounds = np.append(starts, len(pv))
    top_time = np.maximum.reduceat(time_ns, starts)
    first = time_ns == np.repeat(top_time, np.diff(bounds))
    top_row = np.minimum.reduceat(np.where(first, rows, np.iinfo(np.uint32).max), starts)
    return _Piece(pv[starts], bounds, rows, top_time, top_row)
