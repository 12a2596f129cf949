"""Imports come in: the engine makes segments of the files that importers have left, without what it has already.

One file at a time, so that nothing waits for an import of years; each is deleted when its segment is in the manifest,
and what a kill leaves is taken in later.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from archiver.store.channels import add_index
from archiver.store.checksums import file_sha256
from archiver.store.files import Layout, replace_json
from archiver.store.incoming import FORMAT, ImportReport
from archiver.store.manifest import DAYS, MONTHS, Segment, grow
from archiver.store.merge import Source
from archiver.store.names import first_of_month, month_of
from archiver.store.produce import produce
from archiver.store.rebuild import DAMAGE
from archiver.store.segment import EVENTS_KIND, Table, type_of

if TYPE_CHECKING:
    from archiver.store.writer import StoreWriter

log = logging.getLogger(__name__)

DAY_NS = 86400 * 10**9

ABANDONED = 60.0
"""Seconds after which a folder that no importer holds is the rest of one that was killed."""


def waiting(layout: Layout) -> list[Path]:
    """Imports that are complete and not taken in yet, oldest first."""
    try:
        entries = sorted(layout.incoming.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [entry for entry in entries if entry.suffix == "" and (entry / "import.json").exists()]


def clear_abandoned(layout: Layout) -> None:
    """Delete what importers that were killed left: nobody holds it any more."""
    for part in layout.incoming.glob("*.part"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime < ABANDONED:
                continue
            held = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(part)
                log.warning("%s of an import that was not completed is deleted", part)
            finally:
                os.close(held)


def adopt(store: StoreWriter, folder: Path) -> bool:
    """Take in the next file of an import; True when that was the last one, or the import is put aside as damaged.

    OSError: try again later.
    """
    try:
        content = orjson.loads((folder / "import.json").read_bytes())
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']}")
        names = {int(pv): str(name) for name, pv in content["pvs"].items()}
        progress = Counter({"samples": 0, "duplicates": int(content["duplicates"])})
        notes = folder / "progress.json"
        if notes.exists():
            progress = Counter(orjson.loads(notes.read_bytes()))
        left = [file for file in content["files"] if (folder / file["name"]).exists()]
        if left and file_sha256(folder / left[0]["name"]) != left[0]["sha256"]:
            raise ValueError(f"{left[0]['name']} has a wrong checksum")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return _refuse(store, folder, error)
    ids = store.add_pvs(names.values())
    fresh = {
        ids[name]: values for name, values in content["metadata"].items() if ids[name] not in store.registry.metadata
    }
    if left:
        path = folder / left[0]["name"]
        try:
            added, twice = _adopt_file(store, path, left[0]["kind"], {name: ids[name] for name in names.values()})
        except DAMAGE as error:
            so_far = ImportReport(progress["samples"], progress["duplicates"], 0)
            return _refuse(store, folder, error, so_far)
        progress.update(samples=added, duplicates=twice)
        replace_json(notes, dict(progress))
        path.unlink()
        if len(left) > 1:
            return False
    store.describe(fresh)
    report = ImportReport(progress["samples"], progress["duplicates"], len(names), int(content["bad_times"]))
    replace_json(folder.with_suffix(".done"), asdict(report))
    shutil.rmtree(folder)
    for old in sorted(folder.parent.glob("*.done"))[:-100]:
        old.unlink(missing_ok=True)
    log.info(
        "an import is taken in: %d samples of %d PVs, %d were there", report.samples, report.pvs, report.duplicates
    )
    return True


def _refuse(store: StoreWriter, folder: Path, error: Exception, report: ImportReport | None = None) -> bool:
    log.error("the import %s is damaged and put aside: %s", folder.name, error)
    folder.replace(store.layout.quarantine / f"import-{folder.name}")
    manifest = store.manifest
    noted = {**manifest.quarantined, f"incoming/{folder.name}": str(error)}
    store.commit(manifest.next(quarantined=noted), store.channels)
    replace_json(folder.with_suffix(".done"), asdict(report or ImportReport(0, 0, 0)))
    return True


def _adopt_file(store: StoreWriter, path: Path, kind: str, ids: Mapping[str, int]) -> tuple[int, int]:
    """Make a segment of a file, without what is stored already; returns samples added and duplicates."""
    manifest = store.manifest
    present = Present(store, [s for s in manifest.segments if s.kind != EVENTS_KIND])
    counts: Counter[str] = Counter()
    try:
        with pq.ParquetFile(path) as file:
            statistics = file.metadata.row_group(0).column(1).statistics
            day = int(statistics.min_raw) // DAY_NS
            over = month_of(day) < month_of(int(time.time() // 86400))
            tier, day = (MONTHS, first_of_month(day)) if over else (DAYS, day)
            tables = _fresh_tables(file, kind, ids, present, counts)
            made = produce(store.layout, kind, tables, (0, 0), day, manifest.serial, tier, imported=True)
    finally:
        present.close()
    if made is not None:
        segment, index = made
        channels = grow(store.channels, int(index["pv"].max()) + 1).copy()
        add_index(channels, kind, index)
        totals = Counter(manifest.totals)
        totals.update({"imported": segment.rows})
        store.commit(
            manifest.next(segments=(*manifest.segments, segment), serial=manifest.serial + 1, totals=dict(totals)),
            channels,
        )
    return counts["samples"], counts["duplicates"]


def _fresh_tables(
    file: pq.ParquetFile, kind: str, ids: Mapping[str, int], present: Present, counts: Counter[str]
) -> Iterator[Table]:
    type_of(kind)
    for group in range(file.metadata.num_row_groups):
        table = file.read_row_group(group)
        pv = table.column("pv").combine_chunks()
        pv = pv if isinstance(pv, pa.Array) else pv.chunk(0)
        pv = pv if isinstance(pv, pa.DictionaryArray) else pv.dictionary_encode()
        codes, texts = pv.indices.to_numpy(), pv.dictionary.to_pylist()
        times = table.column("time").combine_chunks().cast(pa.int64()).to_numpy()
        keep = np.ones(len(times), bool)
        starts = np.concatenate(([0], np.flatnonzero(np.diff(codes)) + 1)) if len(codes) else np.zeros(0, np.int64)
        ends = np.append(starts[1:], len(codes)) if len(codes) else starts
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            number = ids[texts[codes[start]]]
            there = present.times(number, int(times[start]), int(times[end - 1]))
            keep[start:end] = ~np.isin(times[start:end], there)
        counts.update(samples=int(keep.sum()), duplicates=int(len(keep) - keep.sum()))
        runs = np.add.reduceat(keep, starts) if len(starts) else np.zeros(0, np.int64)
        has = runs > 0
        if not has.any():
            continue
        chosen = table.filter(pa.array(keep)).combine_chunks()
        names = [texts[codes[start]] for start in starts[has].tolist()]
        values = chosen.column("value")
        yield Table(
            kind=kind,
            pv=np.array([ids[name] for name in names], np.uint32),
            names=names,
            rows=runs[has].astype(np.int64),
            time_ns=times[keep],
            severity=chosen.column("severity").to_numpy(),
            status=chosen.column("status").to_numpy(),
            values=values.combine_chunks() if values.num_chunks != 1 else values.chunk(0),
        )


class Present:
    """The times of samples that are in segments already."""

    def __init__(self, store: StoreWriter, segments: list[Segment]) -> None:
        self._layout = store.layout
        self._channels = store.channels
        self._segments = segments
        self._sources: dict[str, Source] = {}

    def times(self, pv: int, oldest: int, newest: int) -> np.ndarray:
        """All times (ns) of a PV between two times, both included; PlaceError when a place is away."""
        found = [np.zeros(0, np.int64)]
        if pv >= len(self._channels) or not self._channels["samples"][pv]:
            return found[0]
        for segment in self._segments:
            if segment.newest < oldest or segment.oldest > newest:
                continue
            try:
                if segment.name not in self._sources:
                    self._sources[segment.name] = Source(self._layout, segment)
                found.append(self._sources[segment.name].times(pv, oldest, newest))
            except (FileNotFoundError, *DAMAGE) as error:
                # what can't be read is no reason to refuse what might replace it
                log.warning("%s can't be looked into: %s", segment.name, error)
        return np.concatenate(found)

    def close(self) -> None:
        """Close the files."""
        for source in self._sources.values():
            source.close()
