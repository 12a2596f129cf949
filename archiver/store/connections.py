"""Connection events of PVs, out of segments and the log: when each was lost and found, and the engine with them."""

from __future__ import annotations

import numpy as np

from archiver.store.events import ENGINE_PV, EVENT_NAMES
from archiver.store.many import decode, entries_of
from archiver.store.order import NEVER
from archiver.store.records import Kind
from archiver.store.segment import EVENTS_KIND
from archiver.store.view import FolderView

Events = list[tuple[int, str]]
EVER = np.iinfo(np.int64).max


def connections(view: FolderView, ids: np.ndarray, to_ns: int) -> dict[int, Events]:
    """By id, of each of these PVs (u4) all events up to a time (ns), oldest first, the engine's among them."""
    wanted = np.unique(np.append(ids, np.uint32(ENGINE_PV)))
    with view.lock:
        view.refresh()
        pvs, times, codes = _logged(view, wanted)
        places = [n for n, segment in enumerate(view.manifest.segments) if segment.kind == EVENTS_KIND]
        stored = [entries_of(view, place, wanted, np.arange(len(wanted))) for place in places]
    left = np.zeros(len(wanted), bool)
    for entries in stored:
        if entries is None:
            continue
        for at, piece in decode(view, entries, NEVER, to_ns, EVER, left, EVER):
            pvs.append(np.full(len(piece), wanted[entries.mine[at]], np.uint32))
            times.append(piece.time_ns)
            codes.append(piece.values)
    found: dict[int, set[tuple[int, int]]] = {pv: set() for pv in wanted.tolist()}
    if pvs:
        pv, time_ns, code = np.concatenate(pvs), np.concatenate(times), np.concatenate(codes)
        inside = time_ns <= to_ns
        for one, when, what in zip(pv[inside].tolist(), time_ns[inside].tolist(), code[inside].tolist(), strict=True):
            found[one].add((when, what))
    engine = found[ENGINE_PV]
    return {pv: [(t, EVENT_NAMES.get(c, str(c))) for t, c in sorted(found[pv] | engine)] for pv in ids.tolist()}


def _logged(view: FolderView, wanted: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """PVs, times and codes of the events in the log."""
    pvs, times, codes = [], [], []
    for log in view.logs.values():
        for block in log.blocks:
            if block.kind is Kind.EVENTS:
                columns = log.columns(block)
                mine = np.isin(columns.pv, wanted)
                pvs.append(columns.pv[mine])
                times.append(columns.time_ns[mine])
                codes.append(columns.values[mine].astype(np.int64))
    return pvs, times, codes
