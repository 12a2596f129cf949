"""Reading an archive from disk: segments and the log's tail, beside a running engine or without one."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from archiver.store.events import ENGINE_PV, EVENT_NAMES
from archiver.store.files import Layout, StoreError
from archiver.store.log import LogView
from archiver.store.manifest import Manifest, Segment, load_channels, load_manifest
from archiver.store.order import NEVER, kept
from archiver.store.pieces import arrange, cluster, samples_of
from archiver.store.records import Columns, Kind
from archiver.store.registry import Registry
from archiver.store.samples import Channels, PvInfo, PvTotals, Samples
from archiver.store.segment import EVENTS_KIND, KINDS, SegmentFile, arrow_type, index_path, kind_of, load_index
from archiver.store.summary import Summary, bins_of, check_bins, whole_bins

log = logging.getLogger(__name__)

ATTEMPTS = 20
OPEN_SEGMENTS = 32
OPEN_INDEXES = 256


class _ChangedError(Exception):
    """Files went away while they were looked for: the engine has moved on, so look again."""


@dataclass(frozen=True)
class _Entry:
    """A PV's run in one segment."""

    segment: Segment
    start: int
    rows: int
    oldest: int
    newest: int


class StoreReader:
    """Reads the archive in `folder`; sees everything the engine has written, to the last flushed sample.

    Keep one for long: it keeps indexes and what it knows of the log. Methods may be called from several threads; one
    iterator of `read` belongs to one thread. A folder that isn't there is an empty archive.
    """

    def __init__(self, folder: Path) -> None:
        self._layout = Layout(Path(folder))
        self._lock = threading.RLock()
        self._registry = Registry(self._layout.registry)
        self._manifest = Manifest()
        self._signature: tuple[int, int, int] | None = None
        self._channels: np.ndarray | None = None
        self._views: dict[int, LogView] = {}
        self._indexes: OrderedDict[str, np.ndarray] = OrderedDict()
        self._files: OrderedDict[str, SegmentFile] = OrderedDict()
        self.damaged: dict[str, str] = {}
        """Segments that could not be read, by name, and why."""

    @property
    def folder(self) -> Path:
        """The archive's folder."""
        return self._layout.folder

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            for view in self._views.values():
                view.close()
            for file in self._files.values():
                file.close()
            self._views.clear()
            self._files.clear()
            self._indexes.clear()
            self._signature = None

    # what there is

    def names(self) -> list[str]:
        """Names of all PVs that the archive knows, sorted, with or without samples."""
        with self._lock:
            self._registry.refresh()
            return sorted(self._registry.ids)

    def has(self, name: str) -> bool:
        """Whether the archive knows this PV."""
        with self._lock:
            return self._find(name) is not None

    def info(self, name: str) -> PvInfo | None:
        """What is known of a PV; None for a name that was never archived."""
        with self._lock:
            pv = self._find(name)
            if pv is None:
                return None
            metadata = dict(self._registry.metadata.get(pv, {}))
            tail = self._tail(pv, Kind.SAMPLES)
            row = self._channel(pv)
            oldest, newest = int(row["oldest"]), int(row["newest"])
            last: tuple | None = None
            if tail:
                if oldest == NEVER:
                    oldest = int(tail[0].time_ns[0])
                newest = int(tail[-1].time_ns[-1])
                last = (tail[-1].dbr, tail[-1].array, tail[-1].count)
        if newest == NEVER:
            return PvInfo(name, None, _count(metadata, 1), None, None, metadata)
        if last is None:
            piece = None
            for piece in self.read(name, newest, newest):
                last = (piece.dbr, piece.array, piece.count)
        dbr, _, count = last or (None, False, 1)
        return PvInfo(name, dbr, _count(metadata, max(count, 1)), oldest, newest, metadata)

    def infos(self, names: Sequence[str] | None = None) -> list[PvTotals]:
        """What is stored of each of these PVs (all, sorted, when None); unknown names are left out."""
        rows = []
        for name in self.names() if names is None else names:
            info = self.info(name)
            if info is None:
                continue
            with self._lock:
                row = self._channel(self._registry.ids[name])
                kinds, samples = int(row["kinds"]), int(row["samples"])
            array = bool(kinds & sum(1 << bit for bit, kind in enumerate(KINDS) if kind.endswith("_array")))
            rows.append(PvTotals(name, info.dbr, array, info.count, info.first_ns, info.last_ns, samples, samples * 8))
        return rows

    def channels(self) -> Channels:
        """The table of all PVs: what the segments hold of each, by id, and the names."""
        with self._lock:
            self._refresh()
            table = np.array(self._channels)
            return Channels(table, dict(self._registry.names))

    def metadata_history(self, name: str) -> list[tuple[int, dict[str, str]]]:
        """Every version of a PV's metadata with the time (ns) it was first seen, oldest first."""
        with self._lock:
            pv = self._find(name)
            return list(self._registry.history.get(pv, [])) if pv is not None else []

    def totals(self) -> dict[str, int]:
        """The archive's counters as of the newest manifest: received, stored, dropped.REASON and so on."""
        with self._lock:
            self._refresh()
            return dict(self._manifest.totals)

    def status(self) -> dict[str, Any] | None:
        """What the engine last wrote of itself, None when it never has."""
        try:
            return orjson.loads(self._layout.engine.read_bytes())
        except (OSError, ValueError):
            return None

    # samples

    def read(self, name: str, from_ns: int, to_ns: int) -> Iterator[Samples]:
        """Samples of a PV in pieces, ascending in time, none twice.

        First comes the newest sample at or before `from_ns`, if there is one, however old; then all later ones up to
        and including `to_ns` (both in ns since 1970 UTC). A new piece begins at every change of type.
        KeyError for a name that was never archived, ValueError when `to_ns` is before `from_ns`.
        """
        if to_ns < from_ns:
            raise ValueError(f"the end {to_ns} is before the start {from_ns}")
        with self._lock:
            pv = self._find(name)
        if pv is None:
            raise KeyError(name)
        return self._read(pv, from_ns, to_ns)

    def _read(self, pv: int, from_ns: int, to_ns: int) -> Iterator[Samples]:
        held: Samples | None = None
        done = NEVER
        attempts = 0
        while True:
            try:
                for piece in self._pieces(pv, max(from_ns, done), to_ns):
                    if done != NEVER:
                        piece = piece[int(np.searchsorted(piece.time_ns, done, "right")) :]
                    early = int(np.searchsorted(piece.time_ns, from_ns, "right"))
                    if early and done == NEVER:
                        held, piece = piece[early - 1 : early], piece[early:]
                    if not len(piece):
                        continue
                    if held is not None:
                        first, held = held, None
                        done = int(first.time_ns[-1])
                        yield first
                    done = int(piece.time_ns[-1])
                    yield piece
                break
            except (FileNotFoundError, _ChangedError):
                # compaction has replaced a file: go on from the last sample given, in what is there now
                attempts += 1
                if attempts > ATTEMPTS:
                    raise StoreError(f"the archive {self._layout.folder} changes faster than it can be read") from None
                self._forget()
        if held is not None:
            yield held

    def _pieces(self, pv: int, from_ns: int, to_ns: int) -> Iterator[Samples]:
        """Pieces with all samples after `from_ns` up to `to_ns`, and at least the newest at or before `from_ns`."""
        with self._lock:
            tail = self._tail(pv, Kind.SAMPLES)
            entries: list[_Entry] = []
            if not tail or tail[0].time_ns[0] > from_ns:
                entries = self._entries(pv, from_ns, to_ns)
        for group in cluster(entries):
            if len(group) == 1:
                yield from self._segment(group[0], from_ns, to_ns)
            else:
                yield from arrange([piece for entry in group for piece in self._segment(entry, from_ns, to_ns)])
        for piece in tail:
            cut = int(np.searchsorted(piece.time_ns, to_ns, "right"))
            if cut:
                yield piece[:cut]

    def _segment(self, entry: _Entry, from_ns: int, to_ns: int) -> Iterator[Samples]:
        name = entry.segment.name
        try:
            file = self._take_file(name, entry.segment.kind)
            try:
                yield from file.read(entry.start, entry.rows, from_ns, to_ns)
            finally:
                self._give_file(name, file)
        except FileNotFoundError as error:
            self._missing(name, error)
        except (pa.ArrowException, ValueError) as error:
            self._damage(name, error)

    def _missing(self, name: str, error: FileNotFoundError) -> None:
        """A file that compaction has replaced is looked for again; one that should be there is damage."""
        if name not in {segment.name for segment in load_manifest(self._layout.manifest).segments}:
            raise error
        self._damage(name, error)

    def _entries(self, pv: int, from_ns: int, to_ns: int) -> list[_Entry]:
        """The PV's runs in segments that a window needs, sorted by time."""
        kinds = int(self._channel(pv)["kinds"])
        found: list[_Entry] = []
        for bit, kind in enumerate(KINDS):
            if kind == EVENTS_KIND or not kinds >> bit & 1:
                continue
            for segment in reversed([s for s in self._manifest.segments if s.kind == kind and s.oldest <= to_ns]):
                entry = self._entry(segment, pv)
                if entry is None or entry.oldest > to_ns:
                    continue
                found.append(entry)
                if entry.oldest <= from_ns:
                    break
        found.sort(key=lambda entry: entry.oldest)
        # of what begins before the window only the last to begin counts, and what overlaps it
        floor = max((entry.oldest for entry in found if entry.oldest <= from_ns), default=NEVER)
        return [entry for entry in found if entry.newest >= floor]

    def _entry(self, segment: Segment, pv: int) -> _Entry | None:
        if segment.name in self.damaged:
            return None
        index = self._indexes.get(segment.name)
        if index is None:
            try:
                index = load_index(index_path(self._layout.segments / segment.name))
            except FileNotFoundError as error:
                self._missing(segment.name, error)
                return None
            except (ValueError, EOFError) as error:
                self._damage(segment.name, error)
                return None
            self._indexes[segment.name] = index
            if len(self._indexes) > OPEN_INDEXES:
                self._indexes.popitem(last=False)
        else:
            self._indexes.move_to_end(segment.name)
        place = int(np.searchsorted(index["pv"], pv))
        if place == len(index) or index["pv"][place] != pv:
            return None
        row = index[place]
        return _Entry(segment, int(row["start"]), int(row["rows"]), int(row["oldest"]), int(row["newest"]))

    def read_arrow(self, name: str, from_ns: int, to_ns: int) -> Iterator[pa.RecordBatch]:
        """As `read`, in Arrow: columns time (timestamp of ns, UTC), severity (u1), status (u2) and value.

        Values have the Arrow type of their kind: strings are `string`, arrays `list`. The schema changes with the type.
        """
        return (batch_of(piece) for piece in self.read(name, from_ns, to_ns))

    def newest(self, names: Sequence[str], at_ns: int) -> dict[str, Samples]:
        """The newest sample (one each) at or before a time (ns) of these PVs; those that have none are left out."""
        found = {}
        for name in names:
            try:
                pieces = list(self.read(name, at_ns, at_ns))
            except KeyError:
                continue
            if pieces:
                found[name] = pieces[-1][-1:]
        return found

    def summaries(self, name: str, unit_s: int, from_ns: int, to_ns: int) -> Iterator[Summary]:
        """Bins of `unit_s` seconds (60 or 3600) from `from_ns` to `to_ns` (ns, whole bins; the end is excluded).

        Each bin that has samples comes once, ascending; complete and exact, whether it is kept beside a segment or
        made of samples. Strings and arrays have none. KeyError for an unknown name.
        """
        if not check_bins(unit_s, from_ns, to_ns):
            return iter(())
        return whole_bins(bins_of(self.read(name, from_ns, to_ns - 1), unit_s, from_ns))

    # connection events

    def connections(self, name: str, from_ns: int, to_ns: int) -> list[tuple[int, str]]:
        """When the PV was lost and found between two times (ns, both included), the engine's stops and starts among it.

        The state at `from_ns` comes first, with its own time, if it is known.
        """
        with self._lock:
            pv = self._find(name)
        if pv is None:
            raise KeyError(name)
        for _ in range(ATTEMPTS):
            try:
                events = sorted({*self._events(pv), *self._events(ENGINE_PV)})
                break
            except (FileNotFoundError, _ChangedError):
                self._forget()
        else:
            raise StoreError(f"the archive {self._layout.folder} changes faster than it can be read")
        before = [event for event in events if event[0] <= from_ns][-1:]
        inside = [event for event in events if from_ns < event[0] <= to_ns]
        return [(time_ns, EVENT_NAMES.get(code, str(code))) for time_ns, code in before + inside]

    def _events(self, pv: int) -> list[tuple[int, int]]:
        with self._lock:
            tail = self._tail(pv, Kind.EVENTS)
            entries = [self._entry(s, pv) for s in self._manifest.segments if s.kind == EVENTS_KIND]
        pieces = [p for e in entries if e is not None for p in self._segment(e, NEVER, np.iinfo(np.int64).max)]
        return [(int(t), int(v)) for p in [*pieces, *tail] for t, v in zip(p.time_ns, p.values, strict=True)]

    # the state of the files

    def _find(self, name: str) -> int | None:
        if name not in self._registry.ids:
            self._registry.refresh()
        return self._registry.ids.get(name)

    def _channel(self, pv: int) -> Any:
        channels = self._channels
        if channels is None or pv >= len(channels):
            row = np.zeros((), [("oldest", "i8"), ("newest", "i8"), ("kinds", "u4")])
            row["oldest"] = row["newest"] = NEVER
            return row
        return channels[pv]

    def _tail(self, pv: int, kind: Kind) -> list[Samples]:
        """The PV's samples that are in no segment yet, in pieces; brings the view of the folder up to date first."""
        self._refresh()
        rows: list[Columns] = []
        for view in self._views.values():
            for block in view.blocks:
                if block.kind is kind:
                    found = view.rows(block, pv)
                    if found is not None:
                        rows.append(found)
        if not rows:
            return []
        if kind is Kind.SAMPLES:
            keep = kept(np.concatenate([r.time_ns for r in rows]), int(self._channel(pv)["newest"]))
        else:
            keep = np.ones(sum(len(r) for r in rows), bool)
        return samples_of(rows, keep)

    def _refresh(self) -> None:
        for _ in range(ATTEMPTS):
            try:
                self._load_manifest()
                self._registry.refresh()
                self._load_views()
            except (FileNotFoundError, _ChangedError):
                self._forget()
                continue
            return
        raise StoreError(f"the archive {self._layout.folder} changes faster than it can be read")

    def _load_manifest(self) -> None:
        signature = self._stat_manifest()
        if signature == self._signature and self._channels is not None:
            return
        self._manifest = load_manifest(self._layout.manifest)
        self._channels = load_channels(self._layout.folder, self._manifest)
        self._signature = signature
        current = {segment.name for segment in self._manifest.segments}
        for name in [n for n in self._files if n not in current]:
            self._files.pop(name).close()
        for name in [n for n in self._indexes if n not in current]:
            del self._indexes[name]

    def _stat_manifest(self) -> tuple[int, int, int]:
        try:
            status = self._layout.manifest.stat()
        except FileNotFoundError:
            return (0, 0, 0)
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _load_views(self) -> None:
        logs = self._layout.logs(self._manifest.first_log)
        for number in [n for n in self._views if n < self._manifest.first_log]:
            self._views.pop(number).close()
        for number, path in logs:
            if number not in self._views:
                self._views[number] = LogView(path, number)
        if self._stat_manifest() != self._signature:
            # a log may have gone between the manifest and the list of logs
            raise _ChangedError
        self._views = dict(sorted(self._views.items()))
        for view in self._views.values():
            view.refresh()

    def _forget(self) -> None:
        with self._lock:
            self._signature = None
            self._channels = None

    def _take_file(self, name: str, kind: str) -> SegmentFile:
        """An open segment for this thread alone until it is given back."""
        with self._lock:
            file = self._files.pop(name, None)
        return file or SegmentFile(self._layout.segments / name, kind)

    def _give_file(self, name: str, file: SegmentFile) -> None:
        with self._lock:
            if name in self._files:
                file.close()
                return
            self._files[name] = file
            if len(self._files) > OPEN_SEGMENTS:
                self._files.popitem(last=False)[1].close()

    def _damage(self, name: str, error: Exception) -> None:
        if name not in self.damaged:
            self.damaged[name] = str(error)
            log.error("segment %s can't be read and is left out: %s", name, error)


def _count(metadata: dict[str, str], default: int) -> int:
    try:
        return int(metadata.get("EAA_COUNT", default))
    except ValueError:
        return default


def batch_of(samples: Samples) -> pa.RecordBatch:
    """Samples as a record batch."""
    values = samples.values
    if samples.array and values.ndim == 2:
        offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
        column = pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.reshape(-1)))
    else:
        column = pa.array(values.tolist() if samples.array else values, arrow_type(kind_of(samples.dbr, samples.array)))
    return pa.RecordBatch.from_arrays(
        [
            pa.array(samples.time_ns).cast(pa.timestamp("ns", tz="UTC")),
            pa.array(samples.severity),
            pa.array(samples.status.astype(np.uint16)),
            column.cast(arrow_type(kind_of(samples.dbr, samples.array))),
        ],
        names=["time", "severity", "status", "value"],
    )
