"""Putting pieces of one PV together: out of log rows, and out of segments of several kinds that overlap in time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

import numpy as np

from archiver.store.records import Columns
from archiver.store.samples import Dbr, Samples


class _Span(Protocol):
    @property
    def oldest(self) -> int: ...
    @property
    def newest(self) -> int: ...


T = TypeVar("T", bound=_Span)


def cluster(entries: list[T]) -> Iterator[list[T]]:
    """Runs of entries, sorted by their oldest time, that overlap in time; one that overlaps nothing is alone."""
    group: list[T] = []
    newest = 0
    for entry in entries:
        if group and entry.oldest > newest:
            yield group
            group = []
        newest = max(newest, entry.newest) if group else entry.newest
        group.append(entry)
    if group:
        yield group


def arrange(pieces: list[Samples]) -> Iterator[Samples]:
    """Pieces that overlap in time, put together so that times ascend throughout; each piece is of one type.

    Of samples of equal time the one in the earliest piece of the list stays.
    """
    pieces = [piece for piece in pieces if len(piece)]
    if len(pieces) < 2:
        yield from pieces
        return
    types = list(dict.fromkeys((piece.dbr, piece.array) for piece in pieces))
    joined = [_concat([p for p in pieces if (p.dbr, p.array) == key]) for key in types]
    # for each sample, in the order of the list: its type, and its row among those of that type
    kind = np.repeat([types.index((p.dbr, p.array)) for p in pieces], [len(p) for p in pieces])
    place = np.empty(len(kind), np.int64)
    for code in range(len(types)):
        mine = kind == code
        place[mine] = np.arange(int(mine.sum()))
    times = np.concatenate([piece.time_ns for piece in pieces])
    rows = np.argsort(times, kind="stable")
    times = times[rows]
    rows = rows[np.append(True, times[1:] != times[:-1])]
    kind, place = kind[rows], place[rows]
    ends = np.append(np.flatnonzero(np.diff(kind)) + 1, len(kind))
    start = 0
    for end in ends.tolist():
        yield take(joined[kind[start]], place[start:end])
        start = end


def merge(streams: Sequence[Iterator[Samples]]) -> Iterator[Samples]:
    """Streams of one PV, each ascending in time, as one; of equal times that of the earliest stream stays.

    One piece of each stream is in memory at a time.
    """
    sources = list(streams)
    heads: list[Samples | None] = [next(source, None) for source in sources]
    done: int | None = None
    while True:
        alive = [head for head in heads if head is not None]
        if not alive:
            return
        until = min(int(head.time_ns[-1]) for head in alive)
        ready: list[Samples] = []
        for number, head in enumerate(heads):
            if head is None:
                continue
            cut = int(np.searchsorted(head.time_ns, until, "right"))
            if cut:
                ready.append(head[:cut])
            heads[number] = head[cut:] if cut < len(head) else next(sources[number], None)
        for piece in arrange(ready):
            if done is not None and piece.time_ns[0] <= done:
                piece = piece[int(np.searchsorted(piece.time_ns, done, "right")) :]
            if len(piece):
                done = int(piece.time_ns[-1])
                yield piece


def after_start(pieces: Iterator[Samples], from_ns: int) -> Iterator[Samples]:
    """Of the samples at or before `from_ns` only the newest, then all others."""
    held: Samples | None = None
    for piece in pieces:
        early = int(np.searchsorted(piece.time_ns, from_ns, "right"))
        if early == len(piece):
            held = piece[early - 1 :] if early else held
            continue
        if early:
            piece = piece[early - 1 :] if early > 1 else piece
        elif held is not None:
            yield held
        held = None
        yield piece
    if held is not None:
        yield held


def take(samples: Samples, rows: np.ndarray) -> Samples:
    """The samples at these positions."""
    return Samples(
        samples.dbr,
        samples.array,
        samples.time_ns[rows],
        samples.severity[rows],
        samples.status[rows],
        samples.values[rows],
    )


def _concat(pieces: list[Samples]) -> Samples:
    """Pieces of one type as one, in the order they come."""
    if len(pieces) == 1:
        return pieces[0]
    first = pieces[0]
    if first.array and (len({p.values.shape[1:] for p in pieces}) > 1 or any(p.values.ndim == 1 for p in pieces)):
        values = np.empty(sum(len(p) for p in pieces), object)
        row = 0
        for piece in pieces:
            for value in piece.values:
                values[row] = value
                row += 1
    else:
        values = np.concatenate([p.values for p in pieces])
    return Samples(
        first.dbr,
        first.array,
        np.concatenate([p.time_ns for p in pieces]),
        np.concatenate([p.severity for p in pieces]),
        np.concatenate([p.status for p in pieces]),
        values,
    )


def samples_of(rows: list[Columns], keep: np.ndarray) -> list[Samples]:
    """Pieces out of one PV's log rows, in the order they came; `keep` (bool, over all rows) says which count."""
    pieces: list[Samples] = []
    run: list[Columns] = []
    masks: list[np.ndarray] = []
    start = 0
    for columns in rows:
        mask = keep[start : start + len(columns)]
        start += len(columns)
        if not mask.any():
            continue
        if run and (run[0].dbr, run[0].array) != (columns.dbr, columns.array):
            pieces.append(_join(run, masks))
            run, masks = [], []
        run.append(columns)
        masks.append(mask)
    if run:
        pieces.append(_join(run, masks))
    return pieces


def _join(run: list[Columns], masks: list[np.ndarray]) -> Samples:
    first = run[0]
    values = [native_values(c.dbr, c.values[mask]) for c, mask in zip(run, masks, strict=True)]
    if first.array and len({v.shape[1] for v in values}) > 1:
        joined = np.empty(sum(len(v) for v in values), object)
        row = 0
        for part in values:
            for value in part:
                joined[row] = value
                row += 1
    else:
        joined = np.concatenate(values)
    return Samples(
        first.dbr,
        first.array,
        np.concatenate([c.time_ns[mask] for c, mask in zip(run, masks, strict=True)]),
        np.concatenate([c.severity[mask] for c, mask in zip(run, masks, strict=True)]),
        np.concatenate([c.status[mask] for c, mask in zip(run, masks, strict=True)]).astype(np.uint16),
        joined,
    )


def native_values(dbr: Dbr, values: np.ndarray) -> np.ndarray:
    """Values as `Samples` has them: strings become `str`, everything else stays."""
    return decode_strings(values) if dbr is Dbr.STRING else values


def decode_strings(values: np.ndarray) -> np.ndarray:
    """`str` objects for CA strings (S40, any shape): up to the first NUL, UTF-8 or else Latin-1."""
    unique, inverse = np.unique(values, return_inverse=True)
    texts = np.empty(len(unique), object)
    for i, raw in enumerate(unique):
        texts[i] = decode_string(bytes(raw))
    return texts[inverse].reshape(values.shape)


def decode_string(raw: bytes) -> str:
    """The text of one CA string."""
    raw = raw.partition(b"\0")[0]
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
