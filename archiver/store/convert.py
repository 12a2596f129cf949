"""A closed log becomes segments: one per kind of sample in it, sorted, without what the order rule drops."""

from __future__ import annotations

import logging
import mmap
import os
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from archiver.store.channels import add_index
from archiver.store.files import Layout, replace_file
from archiver.store.manifest import Segment, grow
from archiver.store.merge import present_name
from archiver.store.order import order
from archiver.store.pieces import decode_strings
from archiver.store.produce import produce
from archiver.store.records import Columns, Damage, Kind, parse_columns, parse_json, scan
from archiver.store.samples import Dbr
from archiver.store.segment import EVENTS_KIND, Table, arrow_type, kind_of, type_of

log = logging.getLogger(__name__)


@dataclass
class LogContent:
    """What a log holds: columns in the order they came, events, the last counters, and what was damaged."""

    samples: list[Columns] = field(default_factory=list)
    events: list[Columns] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)
    alive_ns: int = 0
    """When the engine last wrote counters into this log (ns), 0 when it never did."""
    damage: list[Damage] = field(default_factory=list)


def read_log(path: Path, number: int, mapped: bool = True) -> LogContent:
    """Parse a log. `mapped`: its columns are views of the mapped file, which must not be cut while they are in use."""
    content = LogContent()
    if path.stat().st_size == 0:
        return content
    with open(path, "rb") as file:
        data = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) if mapped else file.read()
    for piece in scan(data, number):
        if isinstance(piece, Damage):
            content.damage.append(piece)
            continue
        try:
            if piece.kind is Kind.SAMPLES:
                content.samples.append(parse_columns(piece.payload))
            elif piece.kind is Kind.EVENTS:
                content.events.append(parse_columns(piece.payload))
            elif piece.kind is Kind.COUNTERS:
                counters = parse_json(piece.payload)
                content.alive_ns = int(counters.pop("time_ns"))
                content.counters = {str(k): int(v) for k, v in counters.items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            content.damage.append(Damage(piece.start, piece.end))
    return content


def set_aside(layout: Layout, path: Path, damage: list[Damage]) -> int:
    """Copy damaged pieces of a log to the quarantine, each under its log and offset; returns how many bytes."""
    total = 0
    with open(path, "rb") as file:
        for piece in damage:
            data = os.pread(file.fileno(), piece.end - piece.start, piece.start)
            replace_file(layout.quarantine / f"{path.stem}-{piece.start}.bin", data)
            total += len(data)
    return total


@dataclass(frozen=True)
class Converted:
    """The outcome of a conversion: new segments, the channels table with them, and what was stored and dropped.

    `forgotten`: samples among the stored ones that are in no segment, for nothing leads to their PV any more.
    """

    segments: list[Segment]
    channels: np.ndarray
    stored: int
    duplicate: int
    out_of_order: int
    forgotten: int


def convert(
    layout: Layout,
    number: int,
    content: LogContent,
    names: dict[int, str],
    forgotten: Collection[int],
    channels: np.ndarray,
    serial: int,
) -> Converted:
    """Write the segments of log `number`. Nothing refers to them yet: the caller puts them into a manifest.

    `channels` is not changed. `serial`: of the first file written. OSError when the disk is full and the like; then
    nothing is left behind that matters.
    """
    highest = max((int(c.pv.max()) for c in [*content.samples, *content.events] if len(c)), default=0)
    channels = grow(channels, highest + 1).copy()
    day = path_day(layout.log(number))
    gone = np.zeros(highest + 1, bool)
    gone[[pv for pv in forgotten if pv <= highest]] = True
    segments: list[Segment] = []
    stored = duplicate = out_of_order = lost = 0

    def add(kind: str, columns: list[Columns], rows: np.ndarray) -> None:
        segment = _write(layout, number, day, kind, columns, rows, names, channels, serial + len(segments))
        if segment is not None:
            segments.append(segment)

    if content.samples:
        pv = np.concatenate([c.pv for c in content.samples])
        time_ns = np.concatenate([c.time_ns for c in content.samples])
        ids, key = _by_name(pv, names)
        sorting = order(key, time_ns, channels["kept"][ids])
        stored, duplicate, out_of_order = len(sorting.rows), sorting.duplicate, sorting.out_of_order
        channels["dropped"][ids] += sorting.dropped.astype(np.uint32)
        rows = sorting.rows[~gone[pv[sorting.rows]]]
        lost = stored - len(rows)
        for kind, columns, chosen in _split(content.samples, rows):
            add(kind, columns, chosen)
    if content.events:
        pv = np.concatenate([c.pv for c in content.events])
        time_ns = np.concatenate([c.time_ns for c in content.events])
        _, key = _by_name(pv, names)
        rows = np.lexsort((time_ns, key))
        add(EVENTS_KIND, content.events, rows[~gone[pv[rows]]])
    return Converted(segments, channels, stored, duplicate, out_of_order, lost)


def path_day(path: Path) -> int:
    """The day (since 1970 UTC) a file was last written; today for one that is gone."""
    try:
        return int(path.stat().st_mtime // 86400)
    except FileNotFoundError:
        return int(time.time() // 86400)


def _by_name(pv: np.ndarray, names: dict[int, str]) -> tuple[np.ndarray, np.ndarray]:
    """The ids in `pv`, sorted by PV name, and for each element of `pv` its place among them (u4)."""
    present = np.zeros(int(pv.max()) + 1, bool)
    present[pv] = True
    ids = np.flatnonzero(present)
    ids = ids[np.argsort(np.array([present_name(names, int(i)) for i in ids], object), kind="stable")]
    rank = np.zeros(len(present), np.uint32)
    rank[ids] = np.arange(len(ids), dtype=np.uint32)
    return ids, rank[pv]


def _split(samples: list[Columns], rows: np.ndarray) -> list[tuple[str, list[Columns], np.ndarray]]:
    """Kinds of the sorted `rows` of all samples: for each its columns, and its rows as indexes into those."""
    kinds = [kind_of(c.dbr, c.array) for c in samples]
    present = sorted(set(kinds))
    if len(present) == 1:
        return [(present[0], samples, rows)] if len(rows) else []
    lengths = [len(c) for c in samples]
    kind_of_row = np.repeat([present.index(k) for k in kinds], lengths).astype(np.uint8)
    result = []
    for code, kind in enumerate(present):
        mine = kind_of_row == code
        place = np.cumsum(mine) - 1
        chosen = rows[mine[rows]]
        if len(chosen):
            result.append((kind, [c for c, k in zip(samples, kinds, strict=True) if k == kind], place[chosen]))
    return result


def _write(
    layout: Layout,
    number: int,
    day: int,
    kind: str,
    columns: list[Columns],
    rows: np.ndarray,
    names: dict[int, str],
    channels: np.ndarray,
    serial: int,
) -> Segment | None:
    if not len(rows):
        return None
    pv = np.concatenate([c.pv for c in columns])[rows]
    time_ns = np.concatenate([c.time_ns for c in columns])[rows]
    starts = np.concatenate(([0], np.flatnonzero(np.diff(pv)) + 1))
    ids = pv[starts]
    table = Table(
        kind=kind,
        pv=ids,
        names=[present_name(names, int(i)) for i in ids],
        rows=np.diff(np.append(starts, len(pv))),
        time_ns=time_ns,
        severity=np.concatenate([c.severity for c in columns])[rows],
        status=np.concatenate([c.status for c in columns])[rows],
        values=_arrow_values(kind, columns, rows),
    )
    made = produce(layout, kind, [table], (number, number), day, serial)
    if made is None:
        return None
    segment, index = made
    add_index(channels, kind, index)
    if kind != EVENTS_KIND:
        ids = index["pv"]
        channels["kept"][ids] = np.maximum(channels["kept"][ids], index["newest"])
    return segment


def _arrow_values(kind: str, columns: list[Columns], rows: np.ndarray) -> Any:
    dbr, array = type_of(kind)
    if not array:
        values = np.concatenate([c.values for c in columns])[rows]
        return pa.array(decode_strings(values), pa.string()) if dbr is Dbr.STRING else pa.array(values)
    flat = np.concatenate([c.values.reshape(-1) for c in columns])
    counts = np.repeat([c.values.shape[1] for c in columns], [len(c) for c in columns])
    offsets = np.concatenate(([0], np.cumsum(counts)))
    if offsets[-1] >= 1 << 31:
        raise ValueError("too many array elements in one log")
    items = pa.array(decode_strings(flat), pa.string()) if dbr is Dbr.STRING else pa.array(flat)
    return (
        pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), items).take(pa.array(rows)).cast(arrow_type(kind))
    )
