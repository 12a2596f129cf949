"""Looking for everything that is torn, missing, foreign, overlapping or at odds in an archive, and changing nothing.

It may run beside an engine: what has changed meanwhile is looked at as it is then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from archiver.config import ArchiverConfig
from archiver.store.checksums import sha256, sidecar_problem
from archiver.store.files import Layout, StoreError
from archiver.store.log import FORMAT as LOG_FORMAT
from archiver.store.manifest import Manifest, Segment, load_channels, load_manifest
from archiver.store.merge import load_index
from archiver.store.names import HOUR_SUMMARY, MINUTE_SUMMARY, parse_name, stem_of
from archiver.store.order import NEVER
from archiver.store.places import PlaceError
from archiver.store.rebuild import DAMAGE
from archiver.store.records import Damage, Kind, parse_columns, parse_json, scan
from archiver.store.registry import NUMBER, Registry
from archiver.store.segment import EVENTS_KIND
from archiver.store.soundness import content_problem, problem_of
from archiver.store.tiers import Tiers, tiers_of

log = logging.getLogger(__name__)

ERROR, WARNING, NOTE = "error", "warning", "note"


@dataclass(frozen=True)
class Problem:
    """Something that isn't as it should be. `severity`: error (samples are lost or can't be read), warning, or note."""

    severity: str
    file: str
    what: str

    def __iter__(self) -> Iterator[str]:
        return iter((self.severity, self.file, self.what))


@dataclass
class VerifyReport:
    """What was found, and how much was looked at."""

    problems: list[Problem] = field(default_factory=list)
    segments: int = 0
    samples: int = 0
    logs: int = 0
    bytes: int = 0

    @property
    def ok(self) -> bool:
        """Whether there is neither an error nor a warning."""
        return all(problem.severity == NOTE for problem in self.problems)

    def add(self, severity: str, file: str, what: str) -> None:
        """Note a problem."""
        self.problems.append(Problem(severity, file, what))


Progress = Callable[[int, int, str], None]
"""Called with how many of how many segments were looked at, and the name of the next."""


def verify(
    folder: Path,
    config: ArchiverConfig | None = None,
    deep: bool = True,
    progress: Progress | None = None,
    engine: str = "",
) -> VerifyReport:
    """Look at all of the archive in `folder`.

    `config`: for places of tiers in which nothing lies yet. `deep`: read every file, and compare checksums, order,
    indexes and summaries with the samples; otherwise only sizes and names.
    """
    layout = Layout(Path(folder), (config.cache if config else 2048) << 20)
    report = VerifyReport()
    registry = Registry(layout.registry)
    _registry(layout, registry, report)
    try:
        manifest = load_manifest(layout.manifest)
    except StoreError as error:
        report.add(ERROR, layout.manifest.name, str(error))
        return report
    if not layout.manifest.exists() and any(layout.segments.glob("*/*.parquet")):
        report.add(
            ERROR,
            layout.manifest.name,
            "it is missing: a running engine writes it anew, else rebuild it",
        )
        return report
    if not layout.registry.exists() and not layout.wal.is_dir():
        report.add(ERROR, ".", "there is no archive in this folder: no manifest, no registry, no log")
    indexes: dict[str, np.ndarray] = {}
    for number, segment in enumerate(manifest.segments):
        if progress is not None:
            progress(number, len(manifest.segments), segment.name)
        _segment(layout, segment, deep, report, indexes)
    manifest = _still(layout, manifest)
    _overlaps(manifest, indexes, report)
    _table(layout, manifest, indexes, report)
    _counters(manifest, report)
    _logs(layout, manifest, report, deep)
    _files(layout, manifest, tiers_of(config, engine) if config else Tiers(), report)
    for name, why in manifest.quarantined.items():
        report.add(NOTE, name, f"was put aside: {why}")
    return report


def _segment(
    layout: Layout, segment: Segment, deep: bool, report: VerifyReport, indexes: dict[str, np.ndarray]
) -> None:
    try:
        place = layout.place_of(segment)
        if deep:
            why = problem_of(layout, segment, sidecars=False)
            what = [(segment.name, why)] if why else []
        else:
            size = _size(place, segment.name)
            wrong = None if size == segment.bytes else f"it has {size} bytes instead of {segment.bytes}"
            if size is None:
                wrong = "it is missing"
            what = [(segment.name, wrong)] if wrong else []
        for ending, _, checksum in segment.sidecars or ((".index.npy", 0, ""),):
            name = segment.stem + ending
            if found := sidecar_problem(place, segment, ending):
                what.append((name, found))
            elif deep and checksum and sha256(place.chunks(name)) != checksum:
                what.append((name, "its checksum is wrong"))
        if not any(name.endswith(".npy") or name == segment.name for name, _ in what):
            indexes[segment.name] = load_index(layout, segment)
            if deep and (why := content_problem(layout, segment, indexes[segment.name])):
                what.append((f"{segment.stem}.index.npy", why))
            if deep and segment.summary and not what and (why := _summaries(layout, segment)):
                what.append((segment.stem + MINUTE_SUMMARY, why))
    except PlaceError as error:
        what = [(segment.name, f"it can't be looked at: {error}")]
    except (OSError, *DAMAGE) as error:
        what = [(segment.name, f"it can't be read: {error}")]
    if what and segment.name not in {s.name for s in load_manifest(layout.manifest).segments}:
        # merged or moved while it was looked at
        return
    for name, why in what:
        report.add(
            ERROR if name == segment.name else WARNING, f"{segment.place}/{name}" if segment.place else name, why
        )
    report.segments += 1
    report.bytes += segment.bytes
    report.samples += segment.rows if segment.kind != EVENTS_KIND else 0


def _size(place, name: str) -> int | None:
    try:
        return place.size(name)
    except FileNotFoundError:
        return None


def _summaries(layout: Layout, segment: Segment) -> str | None:
    """Count and extremes of every PV in the summaries against the samples."""
    place = layout.place_of(segment)
    counts: dict[str, tuple[int, float, float]] = {}
    with place.open(segment.name) as handle, pq.ParquetFile(handle) as file:
        for group in range(file.metadata.num_row_groups):
            table = file.read_row_group(group, columns=["pv", "value"])
            values = table.column("value").to_numpy().astype(np.float64)
            pv = table.column("pv").combine_chunks()
            pv = pv if isinstance(pv, pa.Array) else pv.chunk(0)
            pv = pv if isinstance(pv, pa.DictionaryArray) else pv.dictionary_encode()
            codes, texts = pv.indices.to_numpy(), pv.dictionary.to_pylist()
            starts = np.concatenate(([0], np.flatnonzero(np.diff(codes)) + 1, [len(codes)])) if len(codes) else [0]
            for start, end in pairwise(starts):
                _count(counts, texts[codes[start]], values[start:end])
    for ending in (MINUTE_SUMMARY, HOUR_SUMMARY):
        if ending not in {known for known, _, _ in segment.sidecars}:
            continue
        found: dict[str, tuple[int, float, float]] = {}
        with place.open(segment.stem + ending) as handle, pq.ParquetFile(handle) as file:
            for group in range(file.metadata.num_row_groups):
                table = file.read_row_group(group, columns=["pv", "count", "low", "high"])
                for name, n, low, high in zip(*(column.to_pylist() for column in table.columns), strict=True):
                    old = found.get(name, (0, np.inf, -np.inf))
                    found[name] = (old[0] + n, min(old[1], low), max(old[2], high))
        for name, seen in found.items():
            if seen != counts.get(name):
                return (
                    f"of {name} it has {seen[0]} samples from {seen[1]} to {seen[2]}, and there are {counts.get(name)}"
                )
        # a PV of few samples has no summary
    return None


def _count(counts: dict[str, tuple[int, float, float]], name: str, values: np.ndarray) -> None:
    values = values[~np.isnan(values)]
    if len(values):
        old = counts.get(name, (0, np.inf, -np.inf))
        counts[name] = (old[0] + len(values), min(old[1], float(values.min())), max(old[2], float(values.max())))


def _still(layout: Layout, manifest: Manifest) -> Manifest:
    try:
        return load_manifest(layout.manifest)
    except StoreError:
        return manifest


def _overlaps(manifest: Manifest, indexes: dict[str, np.ndarray], report: VerifyReport) -> None:
    """Live segments of a kind follow each other, in their logs and in each PV's times."""
    seen: set[str] = set()
    for segment in manifest.segments:
        if segment.name in seen:
            report.add(ERROR, segment.name, "the manifest names it twice")
        seen.add(segment.name)
    for kind in {segment.kind for segment in manifest.segments}:
        mine = [s for s in manifest.segments if s.kind == kind and not s.imported]
        for before, after in pairwise(mine):
            if after.first_log <= before.last_log:
                report.add(ERROR, after.name, f"it overlaps {before.name}: both have log {after.first_log}")
        if kind == EVENTS_KIND:
            continue
        size = max((int(i["pv"].max()) for i in indexes.values() if len(i)), default=0) + 1
        times = np.full(size, NEVER)
        for segment in mine:
            index = indexes.get(segment.name)
            if index is None:
                continue
            bad = index["oldest"] <= times[index["pv"]]
            if bad.any():
                report.add(ERROR, segment.name, f"times of {int(bad.sum())} PVs overlap those in an earlier segment")
            times[index["pv"]] = np.maximum(times[index["pv"]], index["newest"])


def _table(layout: Layout, manifest: Manifest, indexes: dict[str, np.ndarray], report: VerifyReport) -> None:
    """The table of channels against all indexes."""
    if any(s.name not in indexes for s in manifest.segments if s.kind != EVENTS_KIND):
        return
    try:
        channels = load_channels(layout.folder, manifest)
    except (OSError, StoreError) as error:
        report.add(ERROR, str(manifest.channels), str(error))
        return
    samples = np.zeros(len(channels), np.uint64)
    newest = np.full(len(channels), NEVER)
    for segment in manifest.segments:
        index = indexes[segment.name] if segment.kind != EVENTS_KIND else np.zeros(0, [("pv", "u4")])
        if not len(index):
            continue
        if int(index["pv"].max()) >= len(channels):
            report.add(ERROR, str(manifest.channels), f"it doesn't know a PV of {segment.name}")
            return
        samples[index["pv"]] += index["rows"]
        newest[index["pv"]] = np.maximum(newest[index["pv"]], index["newest"])
    wrong = int((samples != channels["samples"]).sum())
    if wrong:
        report.add(WARNING, str(manifest.channels), f"its numbers of samples of {wrong} PVs are wrong")
    if (newest > channels["newest"]).any():
        report.add(ERROR, str(manifest.channels), "segments hold later samples than it knows")


def _counters(manifest: Manifest, report: VerifyReport) -> None:
    totals = manifest.totals
    dropped = sum(n for key, n in totals.items() if key.startswith("dropped."))
    if totals.get("received", 0) != totals.get("stored", 0) + dropped:
        received, stored = totals.get("received", 0), totals.get("stored", 0)
        what = f"of {received} samples received {stored} were stored and {dropped} dropped"
        report.add(WARNING, "manifest.json", what)
    there = sum(s.rows for s in manifest.segments if s.kind != EVENTS_KIND)
    away = sum(totals.get(key, 0) for key in ("expired", "forgotten", "merged", "quarantined"))
    expected = totals.get("stored", 0) + totals.get("imported", 0) - away
    if there != expected:
        report.add(WARNING, "manifest.json", f"the segments hold {there} samples, and the counters say {expected}")


def _logs(layout: Layout, manifest: Manifest, report: VerifyReport, deep: bool) -> None:
    expected = manifest.first_log
    logs = layout.logs()
    for number, path in logs:
        report.logs += 1
        if number < manifest.first_log:
            report.add(NOTE, f"wal/{path.name}", "it is in segments, and not deleted yet")
            continue
        if number > expected:
            report.add(ERROR, f"wal/{expected:010d}.log", "it is missing")
        expected = number + 1
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue
        report.bytes += len(data)
        for piece in scan(data, number):
            why = _record(piece, deep)
            if why and not (piece.end == len(data) and number == logs[-1][0] and _has_engine(layout)):
                report.add(ERROR, f"wal/{path.name}", f"bytes {piece.start} to {piece.end}: {why}")
    try:
        strange = [p for p in layout.wal.iterdir() if not (p.suffix == ".log" and p.stem.isdecimal())]
    except FileNotFoundError:
        strange = []
    for path in strange:
        report.add(WARNING, f"wal/{path.name}", "it is no log")


def _has_engine(layout: Layout) -> bool:
    """Whether an engine has the folder now, so that the end of the last log may be half-written."""
    import fcntl

    try:
        with open(layout.lock, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _record(piece: object, deep: bool) -> str | None:
    if isinstance(piece, Damage):
        return "torn, or damaged"
    kind, payload = getattr(piece, "kind", None), getattr(piece, "payload", b"")
    if not deep:
        return None
    try:
        if kind in (Kind.SAMPLES, Kind.EVENTS):
            parse_columns(payload)
        else:
            content = parse_json(payload)
            if kind is Kind.FILE and content.get("format") != LOG_FORMAT:
                return "it is no log of an archive"
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return f"no sense in it ({error})"
    return None


def _registry(layout: Layout, registry: Registry, report: VerifyReport) -> None:
    try:
        data = layout.registry.read_bytes()
    except FileNotFoundError:
        if layout.manifest.exists():
            report.add(ERROR, layout.registry.name, "it is missing: the PVs have no names")
        return
    registry.refresh()
    for piece in scan(data, NUMBER):
        if isinstance(piece, Damage):
            report.add(ERROR, layout.registry.name, f"bytes {piece.start} to {piece.end}: torn, or damaged")


def _files(layout: Layout, manifest: Manifest, tiers: Tiers, report: VerifyReport) -> None:
    """Files that the manifest doesn't know, in all places."""
    waiting = set(manifest.replaced)
    for spec in dict.fromkeys(["", *tiers.places.values(), *(s.place for s in manifest.segments)]):
        known = {name for s in manifest.segments if s.place == spec for name in s.files}
        stems = {s.stem for s in manifest.segments if s.place == spec}
        try:
            found = layout.place(spec).list()
        except PlaceError as error:
            if any(s.place == spec for s in manifest.segments):
                report.add(ERROR, spec, str(error))
            else:
                report.add(NOTE, spec, f"nothing lies there yet: {error}")
            continue
        except FileNotFoundError:
            continue
        for name, _ in found:
            if name in known or (spec, name) in waiting or (stem_of(name) in stems and name.endswith(".part")):
                continue
            if name in ("manifest.json", "registry.log") or name.startswith("channels-"):
                continue
            parsed = parse_name(f"{stem_of(name)}.parquet")
            if parsed is not None and parsed.serial is not None and parsed.serial >= manifest.serial:
                report.add(NOTE, f"{spec}/{name}" if spec else name, "it is of an attempt that goes on, or was cut off")
            else:
                report.add(WARNING, f"{spec}/{name}" if spec else name, "the manifest doesn't know it")


def as_json(report: VerifyReport) -> bytes:
    """The report for programs."""
    return orjson.dumps({**{k: v for k, v in vars(report).items() if k != "problems"}, "problems": report.problems})
