"""One PV's samples in a window, out of all segments and the log, put together by time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Literal, overload

import numpy as np
import pyarrow as pa

from archiver.store.arrow import numbers
from archiver.store.batches import batch_of
from archiver.store.order import NEVER, kept
from archiver.store.pieces import cluster, merge, samples_of
from archiver.store.samples import Dbr, Samples
from archiver.store.segment import type_of
from archiver.store.segmentfile import samples_of_batch
from archiver.store.view import ATTEMPTS, ChangedError, FolderView, Run


@dataclass(frozen=True)
class Piece:
    """Samples of one type, as they come out of a segment (a batch) or as they were put together."""

    dbr: Dbr
    array: bool
    time_ns: np.ndarray
    content: pa.RecordBatch | Samples

    def __len__(self) -> int:
        return len(self.time_ns)

    def cut(self, start: int, end: int | None = None) -> Piece:
        """Some of them."""
        end = len(self) if end is None else end
        if (start, end) == (0, len(self)):
            return self
        content = (
            self.content[start:end] if isinstance(self.content, Samples) else self.content.slice(start, end - start)
        )
        return Piece(self.dbr, self.array, self.time_ns[start:end], content)

    def samples(self) -> Samples:
        """In numpy."""
        return (
            self.content if isinstance(self.content, Samples) else samples_of_batch(self.content, self.dbr, self.array)
        )

    def batch(self) -> pa.RecordBatch:
        """In Arrow."""
        return batch_of(self.content) if isinstance(self.content, Samples) else self.content


def piece_of(samples: Samples) -> Piece:
    """Samples as a piece."""
    return Piece(samples.dbr, samples.array, samples.time_ns, samples)


@overload
def read_runs(view: FolderView, pv: int, from_ns: int, to_ns: int, samples: Literal[True]) -> Iterator[Samples]: ...
@overload
def read_runs(
    view: FolderView, pv: int, from_ns: int, to_ns: int, samples: Literal[False]
) -> Iterator[pa.RecordBatch]: ...
def read_runs(
    view: FolderView, pv: int, from_ns: int, to_ns: int, samples: bool
) -> Iterator[Samples] | Iterator[pa.RecordBatch]:
    """The newest sample at or before `from_ns`, then all later ones up to `to_ns`, in numpy or in Arrow."""
    found = _read(view, pv, from_ns, to_ns)
    return (piece.samples() for piece in found) if samples else (piece.batch() for piece in found)


def _read(view: FolderView, pv: int, from_ns: int, to_ns: int) -> Iterator[Piece]:
    held: Piece | None = None
    done = NEVER
    attempts = 0
    while True:
        try:
            for piece in pieces_of(view, pv, max(from_ns, done), to_ns):
                if done != NEVER:
                    piece = piece.cut(int(np.searchsorted(piece.time_ns, done, "right")))
                else:
                    early = int(np.searchsorted(piece.time_ns, from_ns, "right"))
                    if early == len(piece):
                        held = piece.cut(early - 1) if early else held
                        continue
                    if early:
                        held, piece = None, piece.cut(early - 1)
                if not len(piece):
                    continue
                if held is not None:
                    first, held = held, None
                    done = int(first.time_ns[-1])
                    yield first
                done = int(piece.time_ns[-1])
                yield piece
            break
        except (FileNotFoundError, ChangedError):
            # compaction has replaced a file: go on from the last sample given, in what is there now
            attempts += 1
            if attempts > ATTEMPTS:
                raise view.restless() from None
            view.forget()
    if held is not None:
        yield held


def pieces_of(view: FolderView, pv: int, from_ns: int, to_ns: int) -> Iterator[Piece]:
    """Pieces with all samples after `from_ns` up to `to_ns`, and at least the newest at or before `from_ns`."""
    with view.lock:
        view.refresh()
        tail = tail_of(view, pv, from_ns, to_ns)
        first = int(tail[0].time_ns[0]) if tail else None
        runs: list[Run] = []
        if first is None or first > from_ns or int(view.channel(pv)["newest"]) >= first:
            runs = view.runs(pv, from_ns, to_ns)
    stored = chain.from_iterable(_cluster(view, group, from_ns, to_ns) for group in cluster(runs))
    logged = (piece_of(piece) for piece in tail)
    if first is not None and any(run.newest >= first for run in runs):
        # imports may lie beside what comes in
        both = [(piece.samples() for piece in stored), iter(tail)]
        yield from (piece_of(piece) for piece in merge(both))
    else:
        yield from stored
        yield from logged


def _cluster(view: FolderView, group: list[Run], from_ns: int, to_ns: int) -> Iterator[Piece]:
    """Runs that overlap in time. Of equal times the sample in the earliest segment counts."""
    if len(group) == 1:
        dbr, array = type_of(group[0].segment.kind)
        for batch in read_segment(view, group[0], from_ns, to_ns):
            yield Piece(dbr, array, numbers(batch.column(0)), batch)
        return
    streams = []
    for run in sorted(group, key=lambda run: run.place):
        dbr, array = type_of(run.segment.kind)
        streams.append(_samples(read_segment(view, run, from_ns, to_ns), dbr, array))
    yield from (piece_of(piece) for piece in merge(streams))


def _samples(batches: Iterator[pa.RecordBatch], dbr: Dbr, array: bool) -> Iterator[Samples]:
    return (samples_of_batch(batch, dbr, array) for batch in batches)


def read_segment(view: FolderView, run: Run, from_ns: int, to_ns: int) -> Iterator[pa.RecordBatch]:
    """The samples of a run from the newest at or before `from_ns` on up to `to_ns`; what is damaged is left out."""
    segment = run.segment
    try:
        with view.opened(segment) as file:
            yield from file.batches(int(run.row["start"]), int(run.row["rows"]), from_ns, to_ns)
    except FileNotFoundError as error:
        view.missing(segment, error)
    except (OSError, ValueError, pa.ArrowException) as error:
        view.damage(segment.name, error)


def tail_of(view: FolderView, pv: int, from_ns: int, to_ns: int) -> list[Samples]:
    """The samples that are in the log, by the rule of order, from the newest at or before `from_ns` up to `to_ns`.

    With the view's lock held.
    """
    logs = [(log, rows) for log in view.logs.values() if len(rows := log.rows_of(pv))]
    if not logs:
        return []
    times = np.concatenate([log.times(rows) for log, rows in logs])
    keep = np.flatnonzero(kept(times, int(view.channel(pv)["kept"])))
    low = max(int(np.searchsorted(times[keep], from_ns, "right")) - 1, 0)
    keep = keep[low : int(np.searchsorted(times[keep], to_ns, "right"))]
    columns = []
    start = 0
    for log, rows in logs:
        mine = keep[(keep >= start) & (keep < start + len(rows))] - start
        columns += [part for _, part in log.take(pv, rows[mine])]
        start += len(rows)
    return samples_of(columns, np.ones(sum(len(part) for part in columns), bool))
