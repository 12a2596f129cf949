"""Putting pieces of one PV together: out of log rows, and out of segments of several kinds that overlap in time."""

from __future__ import annotations

from collections.abc import Iterator
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
    """Pieces of different types that overlap in time, cut up so that times ascend throughout."""
    if not pieces:
        return
    source = np.repeat(np.arange(len(pieces)), [len(piece) for piece in pieces])
    place = np.concatenate([np.arange(len(piece)) for piece in pieces])
    rows = np.argsort(np.concatenate([piece.time_ns for piece in pieces]), kind="stable")
    source, place = source[rows], place[rows]
    ends = np.append(np.flatnonzero(np.diff(source)) + 1, len(source))
    start = 0
    for end in ends:
        piece = pieces[source[start]]
        yield piece[int(place[start]) : int(place[end - 1]) + 1]
        start = int(end)


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
