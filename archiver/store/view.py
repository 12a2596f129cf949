"""The state of an archive's folder as readers see it: manifest, names, indexes, the log's tail, open files."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from archiver.store.files import Layout, StoreError, suspect
from archiver.store.manifest import CHANNELS, Manifest, Segment, load_channels, load_manifest
from archiver.store.names import INDEX as INDEX_ENDING
from archiver.store.order import NEVER
from archiver.store.registry import Registry
from archiver.store.segment import EVENTS_KIND, load_index
from archiver.store.segmentfile import SegmentFile
from archiver.store.sidecar import ENDINGS, SummaryFile
from archiver.store.tail import LogView

log = logging.getLogger(__name__)

ATTEMPTS = 20
OPEN_FILES = 64
OPEN_INDEXES = 4096


class ChangedError(Exception):
    """Files went away while they were looked for: the engine has moved on, so look again."""


@dataclass(frozen=True)
class Index:
    """A segment's index: `pv` u4, sorted, and the rows of `archiver.store.segment.INDEX` that belong to it."""

    pv: np.ndarray
    table: np.ndarray

    def find(self, pv: int) -> Any:
        """The row of one PV, None when the segment has nothing of it."""
        place = int(np.searchsorted(self.pv, pv))
        return self.table[place] if place < len(self.pv) and self.pv[place] == pv else None


@dataclass(frozen=True)
class Run:
    """A PV's samples in one segment. `place`: the segment's in the manifest. `row`: of its index."""

    segment: Segment
    place: int
    row: Any
    oldest: int
    newest: int


class FolderView:
    """What is in an archive's folder; `refresh` brings it up to date. Its `lock` guards all of it but reading files."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.lock = threading.RLock()
        self.registry = Registry(layout.registry)
        self.manifest = Manifest()
        self.channels = np.zeros(0, CHANNELS)
        self.logs: dict[int, LogView] = {}
        self.damaged: dict[str, str] = {}
        self.lost: dict[str, np.ndarray | None] = {}
        """By damaged segment the PVs (u4) that it holds; None where nobody knows."""
        self.unsummarised: set[str] = set()
        """Files of summaries that couldn't be read."""
        self._signature: tuple[int, int, int] | None = None
        self._by_newest: list[int] = []
        self._indexes: OrderedDict[str, Index] = OrderedDict()
        self._files: OrderedDict[str, Any] = OrderedDict()

    def close(self) -> None:
        """Close all files."""
        with self.lock:
            for view in self.logs.values():
                view.close()
            for file in self._files.values():
                file.close()
            self.logs.clear()
            self._files.clear()
            self._indexes.clear()
            self._signature = None

    # up to date

    def refresh(self) -> None:
        """Take in what the engine has done since."""
        for _ in range(ATTEMPTS):
            try:
                self._load_manifest()
                self.registry.refresh()
                self._load_logs()
            except (FileNotFoundError, ChangedError):
                self.forget()
                continue
            return
        raise self.restless()

    def restless(self) -> StoreError:
        """What to raise when files keep going away."""
        return StoreError(f"the archive {self.layout.folder} changes faster than it can be read")

    def forget(self) -> None:
        """Something was not as the manifest says: read it anew next time."""
        with self.lock:
            self._signature = None

    def _load_manifest(self) -> None:
        signature = self._stat_manifest()
        if signature == self._signature:
            return
        manifest = load_manifest(self.layout.manifest)
        self.channels = load_channels(self.layout.folder, manifest)
        self.manifest = manifest
        self._signature = signature
        current = {segment.name for segment in manifest.segments}
        for name in current & self.damaged.keys():
            # the engine has looked into it, or will: too many open files, for one, pass
            del self.damaged[name], self.lost[name]
        for key in [key for key in self._files if key.partition("\n")[0] not in current]:
            self._files.pop(key).close()
        for name in [name for name in self._indexes if name not in current]:
            del self._indexes[name]
        samples = [i for i, segment in enumerate(manifest.segments) if segment.kind != EVENTS_KIND]
        self._by_newest = sorted(samples, key=lambda i: -manifest.segments[i].newest)

    def _stat_manifest(self) -> tuple[int, int, int]:
        try:
            status = self.layout.manifest.stat()
        except FileNotFoundError:
            return (0, 0, 0)
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _load_logs(self) -> None:
        logs = self.layout.logs(self.manifest.first_log)
        for number in [n for n in self.logs if n < self.manifest.first_log]:
            self.logs.pop(number).close()
        for number, path in logs:
            if number not in self.logs:
                self.logs[number] = LogView(path, number)
        if self._stat_manifest() != self._signature:
            # a log may have gone between the manifest and the list of logs
            raise ChangedError
        self.logs = dict(sorted(self.logs.items()))
        for view in self.logs.values():
            view.refresh()

    # PVs

    def find(self, name: str) -> int | None:
        """The id of a PV, None for an unknown one."""
        with self.lock:
            self.registry.refresh()
            return self.registry.ids.get(name)

    def channel(self, pv: int) -> Any:
        """The PV's row in the table of channels."""
        if pv < len(self.channels):
            return self.channels[pv]
        row = np.zeros((), CHANNELS)
        row["oldest"] = row["newest"] = row["kept"] = NEVER
        return row

    def column(self, name: str, ids: np.ndarray) -> np.ndarray:
        """A column of the table of channels for some PVs."""
        known = ids < len(self.channels)
        out = np.full(len(ids), NEVER if CHANNELS[name] == np.dtype("<i8") else 0, CHANNELS[name])
        out[known] = self.channels[name][ids[known]]
        return out

    # segments

    def newest_first(self) -> Iterator[tuple[int, Segment]]:
        """Segments of samples, those with the newest sample first, each with its place in the manifest."""
        for place in self._by_newest:
            segment = self.manifest.segments[place]
            if segment.name not in self.damaged:
                yield place, segment

    def runs(self, pv: int, from_ns: int, to_ns: int) -> list[Run]:
        """The PV's runs that a window needs with the newest sample before it, sorted by their oldest time."""
        found: list[Run] = []
        floor = NEVER
        for place, segment in self.newest_first():
            if segment.newest < floor:
                break
            if segment.oldest > to_ns:
                continue
            run = self.run(place, segment, pv)
            if run is None or run.oldest > to_ns:
                continue
            found.append(run)
            if run.oldest <= from_ns:
                floor = max(floor, run.newest if run.newest <= from_ns else run.oldest)
        found = [run for run in found if run.newest >= floor]
        return sorted(found, key=lambda run: (run.oldest, run.place))

    def events(self, pv: int) -> list[Run]:
        """All runs of the PV's connection events."""
        found = [
            self.run(place, segment, pv)
            for place, segment in enumerate(self.manifest.segments)
            if segment.kind == EVENTS_KIND
        ]
        return [run for run in found if run is not None]

    def run(self, place: int, segment: Segment, pv: int) -> Run | None:
        """The PV's run in a segment, None when it has none."""
        index = self.index(segment)
        row = None if index is None else index.find(pv)
        return None if row is None else Run(segment, place, row, int(row["oldest"]), int(row["newest"]))

    def index(self, segment: Segment) -> Index | None:
        """The index of a segment, None when it can't be read."""
        name = segment.name
        if name in self.damaged:
            return None
        found = self._indexes.get(name)
        if found is not None:
            self._indexes.move_to_end(name)
            return found
        try:
            with self.layout.place_of(segment).open(segment.stem + INDEX_ENDING) as file:
                table = load_index(file.read_buffer(file.size()))
        except FileNotFoundError as error:
            self.missing(segment, error)
            return None
        except (OSError, ValueError, EOFError, pa.ArrowException) as error:
            self.damage(name, error)
            return None
        found = self._indexes[name] = Index(np.ascontiguousarray(table["pv"]), table)
        if len(self._indexes) > OPEN_INDEXES:
            self._indexes.popitem(last=False)
        return found

    @contextmanager
    def opened(self, segment: Segment) -> Iterator[SegmentFile]:
        """The segment's file for this thread alone; raises what opening it raises."""
        place = self.layout.place_of(segment)
        with self._borrowed(segment.name, lambda: SegmentFile(place.open(segment.name), segment.kind)) as file:
            yield file

    @contextmanager
    def opened_summary(self, segment: Segment, unit_s: int) -> Iterator[SummaryFile]:
        """One of the segment's files of summaries for this thread alone; raises what opening it raises."""
        name = segment.stem + ENDINGS[unit_s]
        place = self.layout.place_of(segment)
        with self._borrowed(f"{segment.name}\n{unit_s}", lambda: SummaryFile(place.open(name), unit_s)) as file:
            yield file

    @contextmanager
    def _borrowed(self, key: str, make: Callable[[], Any]) -> Iterator[Any]:
        with self.lock:
            file = self._files.pop(key, None)
        file = file or make()
        try:
            yield file
        except BaseException:
            file.close()
            raise
        with self.lock:
            if key in self._files:
                file.close()
                return
            self._files[key] = file
            if len(self._files) > OPEN_FILES:
                self._files.popitem(last=False)[1].close()

    def missing(self, segment: Segment, error: FileNotFoundError) -> None:
        """A file that compaction has replaced is looked for again; one that should be there is damage."""
        if segment not in load_manifest(self.layout.manifest).segments:
            raise error
        self.damage(segment.name, error)

    def damage(self, name: str, error: Exception) -> None:
        """Leave a segment out from now on, and say so."""
        if name not in self.damaged:
            index = self._indexes.get(name)
            self.lost[name] = None if index is None else index.pv
            self.damaged[name] = str(error)
            log.error("segment %s can't be read and is left out: %s", name, error)
            suspect(self.layout, name, str(error))
