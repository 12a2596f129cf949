"""The stores of an archive, each at one moment: its segments, the log's tail, and names that have changed."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from archiver.store.events import ENGINE_PV
from archiver.store.files import Layout, StoreError
from archiver.store.manifest import CHANNELS, Manifest, Segment, grow, load_channels, load_manifest
from archiver.store.names import INDEX
from archiver.store.order import order
from archiver.store.pieces import decode_strings
from archiver.store.records import Columns, Kind, Record, parse_columns, scan
from archiver.store.registry import Registry
from archiver.store.samples import Dbr
from archiver.store.segment import EVENTS_KIND, arrow_type, kind_of

ATTEMPTS = 20
ENGINE = "engine"
"""What stands for the PV in events of the engine itself."""


def store_folders(folder: Path) -> list[Path]:
    """The folder of each engine's store in an archive's folder; a store is where a registry is."""
    engines = sorted(path for path in folder.glob("engines/*") if path.is_dir())
    return ([folder] if (folder / "registry.log").exists() or not engines else []) + engines


@dataclass(frozen=True)
class Snapshot:
    """One store at one moment. `tail`: samples that are in no segment yet, by kind, as batches with the PV's name."""

    layout: Layout
    manifest: Manifest
    registry: Registry
    tail: dict[str, list[pa.RecordBatch]]

    def segments(self, kind: str) -> list[Segment]:
        """The segments of one kind."""
        return [segment for segment in self.manifest.segments if segment.kind == kind]

    def changed_names(self, segment: Segment) -> dict[str, str | None]:
        """PVs that this segment has under a name of the past: their present name, None for what was deleted."""
        moved = {pv for _, pv, _, _ in self.registry.renames}
        if not moved:
            return {}
        place = self.layout.place_of(segment)
        index = np.load(io.BytesIO(place.read_bytes(segment.stem + INDEX)), allow_pickle=False)
        rows = index[np.isin(index["pv"], list(moved))]
        if not len(rows):
            return {}
        found: dict[str, str | None] = {}
        with place.open(segment.name) as handle:
            file = pq.ParquetFile(handle)
            ends = np.cumsum([file.metadata.row_group(g).num_rows for g in range(file.metadata.num_row_groups)])
            groups = np.searchsorted(ends, rows["start"], "right")
            for group in np.unique(groups).tolist():
                names = file.read_row_group(group, columns=["pv"]).column("pv")
                begin = int(ends[group - 1]) if group else 0
                for row in rows[groups == group]:
                    old = str(names[int(row["start"]) - begin].as_py())
                    new = self.registry.names.get(int(row["pv"]))
                    if new != old:
                        found[old] = new
        return found


def snapshots(folder: Path) -> list[Snapshot]:
    """The stores of the archive in `folder`; StoreError when one changes faster than it can be looked at."""
    return [_snapshot(Layout(path)) for path in store_folders(folder)]


def _snapshot(layout: Layout) -> Snapshot:
    for _ in range(ATTEMPTS):
        try:
            manifest = load_manifest(layout.manifest)
            channels = load_channels(layout.folder, manifest)
            registry = Registry(layout.registry)
            registry.refresh()
            columns = list(_log_columns(layout, manifest.first_log))
            if load_manifest(layout.manifest).generation != manifest.generation:
                continue
        except FileNotFoundError:
            continue
        samples = [c for kind, c in columns if kind is Kind.SAMPLES]
        events = [c for kind, c in columns if kind is Kind.EVENTS]
        tail: dict[str, list[pa.RecordBatch]] = defaultdict(list)
        for kind, batch in _batches(samples, channels, registry.names):
            tail[kind].append(batch)
        names = {**registry.names, ENGINE_PV: ENGINE}
        tail[EVENTS_KIND] += [_batch(c, np.arange(len(c)), names, "uint8") for c in events]
        return Snapshot(layout, manifest, registry, dict(tail))
    raise StoreError(f"the archive {layout.folder} changes faster than it can be read")


def _log_columns(layout: Layout, first: int) -> Iterator[tuple[Kind, Columns]]:
    """The whole records of all logs. They are read, not mapped: an engine may cut off what it wrote."""
    for number, path in layout.logs(first):
        for piece in scan(path.read_bytes(), number):
            if isinstance(piece, Record) and piece.kind in (Kind.SAMPLES, Kind.EVENTS):
                yield piece.kind, parse_columns(piece.payload)


def _batches(
    samples: list[Columns], channels: np.ndarray, names: dict[int, str]
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Those samples of a log that its segments will have."""
    if not samples:
        return
    pv = np.concatenate([c.pv for c in samples])
    channels = grow(channels, int(pv.max()) + 1)
    kept = channels["kept" if "kept" in (CHANNELS.names or ()) else "newest"]
    keep = np.zeros(len(pv), bool)
    keep[order(pv, np.concatenate([c.time_ns for c in samples]), kept).rows] = True
    ends = np.cumsum([len(c) for c in samples])
    for columns, mine in zip(samples, np.split(keep, ends[:-1]), strict=True):
        rows = np.flatnonzero(mine)
        kind = kind_of(columns.dbr, columns.array)
        if len(rows):
            yield kind, _batch(columns, rows, names, arrow_type(kind))


def _batch(columns: Columns, rows: np.ndarray, names: dict[int, str], kind: pa.DataType | str) -> pa.RecordBatch:
    """Rows as Arrow: pv, time, severity, status, value. What was deleted has no name and is left out."""
    ids, codes = np.unique(columns.pv[rows], return_inverse=True)
    known = pa.array([names.get(int(i)) for i in ids], pa.string())
    values = columns.values[rows]
    flat = values.reshape(-1)
    items = pa.array(decode_strings(flat), pa.string()) if columns.dbr is Dbr.STRING else pa.array(flat)
    if columns.array:
        offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
        items = pa.ListArray.from_arrays(pa.array(offsets), items)
    batch = pa.RecordBatch.from_arrays(
        [
            known.take(pa.array(codes)),
            pa.array(columns.time_ns[rows]).cast(pa.timestamp("ns", "UTC")),
            pa.array(columns.severity[rows]),
            pa.array(columns.status[rows]),
            items.cast(kind),
        ],
        ["pv", "time", "severity", "status", "value"],
    )
    return batch.filter(batch.column("pv").is_valid()) if known.null_count else batch
