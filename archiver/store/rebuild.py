"""Making again from the segments alone what else an archive has: indexes, table of channels, names, manifest."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from archiver.store.channels import add_index
from archiver.store.checksums import sealed, sidecar_problem
from archiver.store.files import FolderLock, Layout, StoreError
from archiver.store.manifest import CHANNELS, Manifest, Segment, grow, load_manifest
from archiver.store.merge import load_index
from archiver.store.names import INDEX as INDEX_ENDING
from archiver.store.names import parse_name
from archiver.store.order import NEVER
from archiver.store.places import MARKER, Place, PlaceError
from archiver.store.quarantine import quarantine
from archiver.store.registry import Registry, RegistryWriter
from archiver.store.segment import EVENTS_KIND, INDEX, save_index

log = logging.getLogger(__name__)

UNKNOWN = 1 << 31
"""Ids from here on stand for PVs that the registry doesn't know."""

DAMAGE = (ValueError, EOFError, KeyError, pa.ArrowException)
"""What reading a damaged file raises, beside OSError."""


def index_of(place: Place, segment_name: str, registry: Registry, written_ns: int) -> tuple[np.ndarray, dict[int, str]]:
    """The index of a segment out of its Parquet file alone, and the PVs' names in it by id.

    `written_ns`: when it was written, for names that have changed since. PVs that the registry doesn't know have ids
    from UNKNOWN on, in the order of the file. ValueError (or Arrow's) when it can't be read.
    """
    names: list[str] = []
    rows: list[int] = []
    oldest: list[int] = []
    newest: list[int] = []
    with place.open(segment_name) as handle, pq.ParquetFile(handle) as file:
        for group in range(file.metadata.num_row_groups):
            table = file.read_row_group(group, columns=["pv", "time"])
            pv = table.column("pv").combine_chunks()
            pv = pv if isinstance(pv, pa.Array) else pv.chunk(0)
            coded = pv.dictionary_encode() if not isinstance(pv, pa.DictionaryArray) else pv
            codes = coded.indices.to_numpy()
            texts = coded.dictionary.to_pylist()
            times = table.column("time").combine_chunks().cast(pa.int64()).to_numpy()
            starts = np.concatenate(([0], np.flatnonzero(np.diff(codes)) + 1)) if len(codes) else np.zeros(0, np.int64)
            ends = np.append(starts[1:], len(codes)) if len(codes) else starts
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
                text = texts[codes[start]]
                if names and names[-1] == text:
                    rows[-1] += end - start
                    newest[-1] = int(times[end - 1])
                else:
                    names.append(text)
                    rows.append(end - start)
                    oldest.append(int(times[start]))
                    newest.append(int(times[end - 1]))
    if len(set(names)) < len(names):
        raise ValueError(f"{segment_name} isn't sorted by PV")
    index = np.zeros(len(names), INDEX)
    known = [_id_of(text, registry, written_ns) for text in names]
    ids = [pv if pv is not None else UNKNOWN + place for place, pv in enumerate(known)]
    index["pv"], index["rows"] = ids, rows
    index["start"] = np.cumsum([0, *rows])[:-1] if rows else []
    index["oldest"], index["newest"] = oldest, newest
    return index[np.argsort(index["pv"])], dict(zip(ids, names, strict=True))


def _id_of(text: str, registry: Registry, written_ns: int) -> int | None:
    if text == "(engine)":
        return 0
    if text.startswith("(lost ") and text.endswith(")") and text[6:-1].isdecimal():
        return int(text[6:-1])
    return registry.id_at(text, written_ns)


def adopted(index: np.ndarray, names: dict[int, str], registry: RegistryWriter) -> np.ndarray:
    """The index with ids that the registry gives to the PVs it didn't know."""
    unknown = {pv: name for pv, name in names.items() if pv >= UNKNOWN}
    if unknown:
        registry.add(unknown.values())
        index = index.copy()
        index["pv"] = [registry.ids[unknown[pv]] if pv in unknown else pv for pv in index["pv"].tolist()]
        index = index[np.argsort(index["pv"])]
    return index


def heal_sidecars(layout: Layout, manifest: Manifest, registry: RegistryWriter) -> Manifest:
    """Make indexes anew that are missing or have another size, and leave out summaries for which that is so."""
    segments = list(manifest.segments)
    lost: dict[str, str] = {}
    for number, segment in enumerate(segments):
        if segment.place:
            continue
        place = layout.place_of(segment)
        endings = [ending for ending, _, _ in segment.sidecars] or [INDEX_ENDING]
        bad = [ending for ending in endings if sidecar_problem(place, segment, ending)]
        if not bad:
            continue
        folder = layout.segments
        for ending in bad:
            log.warning("%s%s is missing or damaged", segment.stem, ending)
            (folder / (segment.stem + ending)).unlink(missing_ok=True)
        if INDEX_ENDING in bad:
            try:
                written_ns = (folder / segment.name).stat().st_mtime_ns
                index = adopted(*index_of(place, segment.name, registry, written_ns), registry)
            except (OSError, *DAMAGE) as error:
                lost[segment.name] = f"it has no index, and can't be read: {error}"
                continue
            save_index(folder / (segment.stem + INDEX_ENDING), index)
            log.warning("the index of %s is made anew", segment.name)
        segments[number] = sealed(segment, place)
    if tuple(segments) != manifest.segments:
        manifest = replace(manifest, segments=tuple(segments))
    return quarantine(layout, manifest, lost) if lost else manifest


def channels_of(layout: Layout, segments: Iterable[Segment]) -> np.ndarray:
    """The table of channels out of the indexes of segments; those whose place is away are left out, with a warning."""
    channels = grow(np.zeros(0, CHANNELS), 1)
    for segment in segments:
        try:
            index = load_index(layout, segment)
        except (OSError, PlaceError, *DAMAGE) as error:
            log.warning("the table of channels is without %s: %s", segment.name, error)
            continue
        if not len(index) or int(index["pv"].max()) >= UNKNOWN:
            continue
        channels = grow(channels, int(index["pv"].max()) + 1)
        add_index(channels, segment.kind, index)
        if segment.kind != EVENTS_KIND and not segment.imported:
            ids = index["pv"]
            channels["kept"][ids] = np.maximum(channels["kept"][ids], index["newest"])
    return channels


def recover_names(layout: Layout, manifest: Manifest, registry: RegistryWriter, channels: np.ndarray) -> None:
    """Give back names to PVs whose part of the registry was lost: their segments know them."""
    lost = {
        int(pv)
        for pv in np.flatnonzero(channels["samples"] > 0)
        if int(pv) and int(pv) not in registry.names and int(pv) not in registry.forgotten
    }
    for segment in reversed(manifest.segments):
        if not lost:
            return
        try:
            index = load_index(layout, segment)
            mine = np.isin(index["pv"], list(lost))
            if not mine.any():
                continue
            found = _names_in(layout.place_of(segment), segment.name, index[mine])
        except (OSError, PlaceError, *DAMAGE):
            continue
        for pv, name in found.items():
            if name not in registry.ids and not name.startswith("("):
                registry.restore(pv, name)
                log.warning("the registry had lost the name of %s", name)
            lost.discard(pv)


def _names_in(place: Place, name: str, rows: np.ndarray) -> dict[int, str]:
    found = {}
    with place.open(name) as handle, pq.ParquetFile(handle) as file:
        ends = np.cumsum([file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)])
        for row in np.sort(rows, order="start"):
            group = int(np.searchsorted(ends, int(row["start"]), "right"))
            begin = int(ends[group - 1]) if group else 0
            table = file.read_row_group(group, columns=["pv"])
            found[int(row["pv"])] = str(table.column("pv")[int(row["start"]) - begin].as_py())
    return found


def salvage(layout: Layout, places: Collection[str] = ()) -> Manifest | None:
    """A manifest out of the segments when there is none, or one that a crash or the disk destroyed; None if not needed.

    What was destroyed goes to the quarantine. A manifest of another format or version is left alone. `places`: where
    segments may be beside the archive's own folder; one that is away is left out.
    """
    content = b""
    try:
        content = layout.manifest.read_bytes()
        orjson.loads(content)
        return None
    except FileNotFoundError:
        if not any(layout.segments.glob("*/*.parquet")) and known_places(layout, places) == [""]:
            return None
    except ValueError:
        (layout.quarantine / f"manifest-{time.time_ns()}.json").write_bytes(content)
    manifest = from_files(layout, None, known_places(layout, places))
    if not manifest.segments:
        return None if not layout.manifest.exists() else manifest
    log.warning("the manifest is made anew out of %d segments", len(manifest.segments))
    return manifest


def known_places(layout: Layout, places: Collection[str], strict: bool = False) -> list[str]:
    """The archive's own place and those of `places` that have ever been used. `strict`: PlaceError for one away."""
    used = [""]
    for spec in dict.fromkeys(places):
        try:
            if spec:
                layout.place(spec).read_bytes(MARKER)
                used.append(spec)
        except FileNotFoundError:
            continue
        except PlaceError as error:
            if strict:
                raise
            # live samples come first; the place can't be taken for this archive's until the manifest is rebuilt
            log.error("the manifest is made without what may lie in %s: %s", spec, error)
    return used


def from_files(layout: Layout, old: Manifest | None, places: Sequence[str] = ("",)) -> Manifest:
    """A manifest out of the segments in `places` and nothing else; it has no table of channels yet.

    Of a segment and those that were merged into it the larger one counts, of two of one extent the later. What was made
    of a log that is still there is left out: the log is whole, and they may be not. `old`: gives counters and the id.
    """
    registry = Registry(layout.registry)
    registry.refresh()
    found: list[tuple[int, Segment]] = []
    archive = old.archive if old else ""
    damaged: dict[str, str] = {}
    for spec in places:
        place = layout.place(spec)
        if spec:
            archive = str(orjson.loads(place.read_bytes(MARKER)).get("archive", ""))
        for name, _ in place.list():
            parsed = parse_name(name)
            if parsed is None:
                continue
            try:
                segment = _described(layout, spec, name)
            except (OSError, *DAMAGE) as error:
                damaged[name] = f"it can't be read: {error}"
                continue
            found.append((parsed.serial or 0, segment))
    segments = _newest_versions(found)
    last = max((segment.last_log for segment in segments if segment.level), default=0)
    logs = {number for number, _ in layout.logs(last + 1)}
    segments = [s for s in segments if s.imported or s.level or s.first_log not in logs]
    first_log = max([0, *(segment.last_log for segment in segments)]) + 1
    tables = [p.stem.removeprefix("channels-") for p in layout.folder.glob("channels-*.npy")]
    generations = [int(number) for number in tables if number.isdecimal()]
    rows = sum(segment.rows for segment in segments if segment.kind != EVENTS_KIND and not segment.imported)
    imported = sum(segment.rows for segment in segments if segment.imported)
    return Manifest(
        generation=max([old.generation if old else 0, *generations]),
        first_log=min([first_log, *logs]),
        segments=tuple(sorted(segments, key=lambda s: (s.first_log, s.last_log, s.name))),
        totals=dict(old.totals) if old else {"received": rows, "stored": rows, "imported": imported},
        archive=archive,
        serial=max([serial for serial, _ in found], default=0) + 1,
        quarantined={**(old.quarantined if old else {}), **damaged},
    )


def _described(layout: Layout, spec: str, name: str) -> Segment:
    """What a manifest says of the segment `name`, out of its files."""
    parsed = parse_name(name)
    if parsed is None:
        raise ValueError(f"{name} is no name of a segment")
    place = layout.place(spec)
    with place.open(name) as handle, pq.ParquetFile(handle) as file:
        rows = file.metadata.num_rows
        statistics = [file.metadata.row_group(i).column(1).statistics for i in range(file.metadata.num_row_groups)]
    known = [s for s in statistics if s is not None and s.has_min_max]
    day = parsed.day
    if day is None:
        day = int((layout.segments / name).stat().st_mtime // 86400) if not spec else int(time.time() // 86400)
    segment = Segment(
        name=name,
        kind=parsed.kind,
        first_log=parsed.first_log,
        last_log=parsed.last_log,
        rows=rows,
        bytes=place.size(name),
        oldest=min((int(s.min_raw) for s in known), default=NEVER),
        newest=max((int(s.max_raw) for s in known), default=NEVER),
        level=parsed.level,
        day=day,
        tier=parsed.tier,
        place=spec,
        imported=parsed.first_log == 0,
    )
    return sealed(segment, place)


def _newest_versions(found: list[tuple[int, Segment]]) -> list[Segment]:
    """Without the segments that were merged into others, and without earlier versions and copies of one segment."""
    ranked = sorted(found, key=lambda entry: (entry[1].last_log - entry[1].first_log, entry[0]), reverse=True)
    kept: list[Segment] = []
    names: set[str] = set()
    for _, segment in ranked:
        if segment.name in names:
            continue
        inside = not segment.imported and any(
            other.kind == segment.kind
            and not other.imported
            and other.first_log <= segment.first_log
            and segment.last_log <= other.last_log
            for other in kept
        )
        if not inside:
            kept.append(segment)
            names.add(segment.name)
    return kept


def rebuild_manifest(folder: Path, places: Sequence[str] = ()) -> Manifest:
    """Make the manifest and the table of channels of the archive in `folder` anew from its segments, and return it.

    `places`: those of its tiers beside the folder itself, as the site file has them. StoreError when an engine has the
    folder, PlaceError when a place is away.
    """
    from archiver.store.recovery import save

    layout = Layout(Path(folder))
    layout.make()
    lock = FolderLock(layout.lock)
    lock.acquire()
    registry = RegistryWriter(layout.registry)
    try:
        torn = registry.open()
        if torn:
            (layout.quarantine / f"registry-{time.time_ns()}.bin").write_bytes(torn)
        old = None
        try:
            old = load_manifest(layout.manifest) if layout.manifest.exists() else None
        except StoreError as error:
            log.warning("%s: it is made anew", error)
            layout.manifest.replace(layout.quarantine / f"manifest-{time.time_ns()}.json")
        manifest = from_files(layout, old, known_places(layout, places, strict=True))
        manifest = heal_sidecars(layout, manifest, registry)
        recover_names(layout, manifest, registry, channels_of(layout, manifest.segments))
        return save(layout, manifest, channels_of(layout, manifest.segments))
    finally:
        registry.close()
        lock.release()
