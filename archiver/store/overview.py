"""What is stored of each PV, without decoding a sample."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from archiver.store.newest import EVER, in_log, in_segments
from archiver.store.order import NEVER
from archiver.store.samples import VALUE_DTYPES, PvTotals
from archiver.store.segment import EVENTS_KIND, KINDS, type_of
from archiver.store.view import FolderView, Index

_TYPES = [type_of(kind) for kind in KINDS]
_EVENTS = np.uint32(1 << KINDS.index(EVENTS_KIND))
_LOGGED = 14
"""Bytes of a sample in the log beside its value."""


@dataclass(frozen=True)
class _Stored:
    """What is stored of some PVs: place in KINDS of the newest sample (-1: none), its element count if that is known,
    oldest and newest time (NEVER: none), samples, and bytes by the average sample of its kind."""

    bits: np.ndarray
    count: np.ndarray
    first: np.ndarray
    newest: np.ndarray
    samples: np.ndarray
    size: np.ndarray


def volumes(view: FolderView) -> np.ndarray:
    """Bytes of each PV on disk by its id (i8), an estimate as in `overview`."""
    with view.lock:
        view.refresh()
        known = view.registry.ids
        ids = np.sort(np.fromiter(known.values(), np.uint32, len(known)))
        size = np.zeros(int(ids[-1]) + 1 if len(ids) else 0, np.int64)
        if len(ids):
            size[ids] = _stored(view, ids).size
    return size


def overview(view: FolderView, names: Sequence[str]) -> list[PvTotals]:
    """What is stored of each of these PVs, in their order; unknown names are left out."""
    with view.lock:
        view.refresh()
        known = view.registry.ids
        wanted = [name for name in names if name in known]
        if not wanted:
            return []
        given = np.array([known[name] for name in wanted], np.uint32)
        ids, back = np.unique(given, return_inverse=True)
        stored = _stored(view, ids)
        metadata = view.registry.metadata
        counts = [_count(metadata.get(pv), n) for pv, n in zip(ids.tolist(), stored.count.tolist(), strict=True)]
    first_ns = [None if t == NEVER else t for t in stored.first.tolist()]
    last_ns = [None if t == NEVER else t for t in stored.newest.tolist()]
    types = [_TYPES[bit] if bit >= 0 else (None, False) for bit in stored.bits.tolist()]
    total, volume = stored.samples.tolist(), stored.size.tolist()
    return [
        PvTotals(name, types[i][0], types[i][1], counts[i], first_ns[i], last_ns[i], total[i], volume[i])
        for name, i in zip(wanted, back.tolist(), strict=True)
    ]


def _stored(view: FolderView, ids: np.ndarray) -> _Stored:
    """Of the PVs `ids` (u4, ascending). With the view's lock held."""
    kinds = view.column("kinds", ids) & ~_EVENTS
    oldest, newest = view.column("oldest", ids), view.column("newest", ids)
    samples = view.column("samples", ids).astype(np.int64)
    bits = np.floor(np.log2(np.maximum(kinds, 1))).astype(np.int64)  # the highest, of several types
    count = np.zeros(len(ids), np.int64)
    single = (kinds & (kinds - np.uint32(1))) == 0
    bits[kinds == 0] = -1
    unsure = np.flatnonzero((kinds != 0) & (~single | np.array([array for _, array in _TYPES])[bits]))
    if len(unsure):
        _look(view, ids, unsure, bits, count)
    size = samples * _sample_bytes(view)[bits]
    high = in_log(view, ids, EVER)
    logged = np.zeros(len(ids), np.int64)
    for log in view.logs.values():
        logged += log.counts(int(ids[-1]) + 1)[ids]
    in_tail = high.log > 0
    for number in np.unique(high.log[in_tail]).tolist():
        _logged(view, number, high.log == number, high.row, high.time >= newest, bits, count, size, logged)
    # as long as nothing of a PV has come out of a log, its first sample there counts, whatever was imported
    fresh = in_tail & (view.column("kept", ids) == NEVER)
    logged_first = _first_logged(view, ids, fresh)
    first = np.where(fresh & ((oldest == NEVER) | (logged_first < oldest)), logged_first, oldest)
    newest = np.where(in_tail, np.maximum(newest, high.time), newest)
    return _Stored(bits, count, first, newest, samples + logged, size.astype(np.int64))


def _look(view: FolderView, ids: np.ndarray, unsure: np.ndarray, bits: np.ndarray, count: np.ndarray) -> None:
    """Type and element count of PVs of several types, and of arrays, by their newest samples in segments."""
    found = in_segments(view, ids[unsure], EVER)
    for place in np.unique(found.place[found.place >= 0]).tolist():
        segment = view.manifest.segments[place]
        index: Index | None = view.index(segment)
        here = np.flatnonzero(found.place == place)
        bits[unsure[here]] = KINDS.index(segment.kind)
        if index is not None:
            count[unsure[here]] = index.table["count"][found.entry[here]]


def _logged(
    view: FolderView,
    number: int,
    mine: np.ndarray,
    rows: np.ndarray,
    newer: np.ndarray,
    bits: np.ndarray,
    count: np.ndarray,
    size: np.ndarray,
    logged: np.ndarray,
) -> None:
    """What the newest sample in a log says of its PV."""
    log = view.logs[number]
    here = np.flatnonzero(mine)
    codes = log.codes(rows[here])
    for code, (dbr, array, n) in enumerate(log.types):
        these = here[codes == code]
        size[these] += logged[these] * (_LOGGED + VALUE_DTYPES[dbr].itemsize * n)
        these = these[newer[these]]
        bits[these] = _TYPES.index((dbr, array), 1)
        count[these] = n


def _first_logged(view: FolderView, ids: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The time of the first sample in the log, of the chosen PVs."""
    first = np.full(len(ids), NEVER)
    for log in reversed(view.logs.values()):
        log.first_times(ids, chosen, first)
    return first


def _sample_bytes(view: FolderView) -> np.ndarray:
    """Bytes of an average sample on disk by kind (0 for the last entry: no kind)."""
    rows: defaultdict[str, int] = defaultdict(int)
    size: defaultdict[str, int] = defaultdict(int)
    for segment in view.manifest.segments:
        rows[segment.kind] += segment.rows
        size[segment.kind] += segment.bytes + sum(n for _, n, _ in segment.sidecars)
    return np.array([size[kind] / rows[kind] if rows[kind] else 0.0 for kind in KINDS] + [0.0])


def _count(metadata: dict[str, str] | None, found: int) -> int:
    default = max(found, 1)
    if not metadata:
        return default
    try:
        return int(metadata.get("EAA_COUNT", default))
    except ValueError:
        return default
