"""Writing an archive: the log, its turn into segments, recovery after a crash, and the count of it all.

One process at a time writes a folder (`StoreError` for a second one). Its threads: `append…`, `sync` and `roll` are for
one thread, `convert_next` and `compact_next` for one other; `add_pvs`, `describe`, `rename` and `forget` for any.
"""

from __future__ import annotations

import io
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa

from archiver.config import ArchiverConfig
from archiver.store.convert import LogContent, convert, read_log, set_aside
from archiver.store.events import ENGINE_PV, STOPPED
from archiver.store.files import FolderLock, Layout, StoreError, reason, replace_file, sync_folder
from archiver.store.log import LogWriter
from archiver.store.manifest import CHANNELS, Manifest, Segment, save_manifest
from archiver.store.records import Columns, Kind
from archiver.store.recovery import recover
from archiver.store.registry import RegistryWriter
from archiver.store.samples import Dbr
from archiver.store.tiers import Tiers, tiers_of
from archiver.store.upkeep import Upkeep

log = logging.getLogger(__name__)


class StoreWriter:
    """The writing side of the archive in `folder`.

    `config` says where the tiers are and how long they are kept; without it all is in the folder, for ever. `engine`:
    the name of the engine, when there are several.
    """

    def __init__(self, folder: Path, config: ArchiverConfig | None = None, engine: str = "") -> None:
        self.layout = Layout(Path(folder), (config.cache if config else 2048) << 20)
        self.tiers = tiers_of(config, engine) if config else Tiers()
        self._folder_lock = FolderLock(self.layout.lock)
        self.registry = RegistryWriter(self.layout.registry)
        self.manifest = Manifest()
        self.channels = np.zeros(0, CHANNELS)
        self._log: LogWriter | None = None
        self._next_log = 1
        self._closed: list[int] = []
        self._closed_lock = threading.Lock()
        self._sizes: dict[int, int] = {}
        self._left: list[tuple[str, str]] = []
        self.upkeep = Upkeep(self)
        self._first_own_log = 1
        self.crashed_ns: int | None = None
        """When the engine before this one was last alive (ns), if it didn't end as it should."""
        self._counts: tuple[dict[str, int], Counter[str], tuple[Segment, ...]] = ({}, Counter(), ())
        self._drops_logged: dict[str, int] = {}
        self._drops_before: dict[str, int] = {}

    # opening and closing

    def open(self) -> None:
        """Take the folder, and set right what a crash left. StoreError when it can't be written or another has it.

        Logs that are not in segments yet wait for `convert_next`; the first `append` begins a new log.
        """
        self.layout.make()
        self._folder_lock.acquire()
        try:
            self._recover()
        except OSError as error:
            self._folder_lock.release()
            raise StoreError(f"the archive folder {self.layout.folder} can't be used: {reason(error)}") from error
        except BaseException:
            self._folder_lock.release()
            raise

    def _recover(self) -> None:
        layout = self.layout
        torn = self.registry.open()
        if torn:
            (layout.quarantine / f"registry-{time.time_ns()}.bin").write_bytes(torn)
            log.warning("registry: %d damaged bytes are set aside in %s", len(torn), layout.quarantine)
        self.manifest, self.channels = recover(layout, self.registry, list(self.tiers.places.values()))
        self.registry.reserve(len(self.channels))
        for number, path in layout.logs():
            if number < self.manifest.first_log:
                path.unlink()
            else:
                self._closed.append(number)
        self._next_log = max([self.manifest.first_log, *(n + 1 for n in self._closed)])
        self._first_own_log = self._next_log
        self.crashed_ns = self._crashed()
        self._counts = (self.manifest.totals, Counter(), self.manifest.segments)

    def _crashed(self) -> int | None:
        """An engine that ends as it should leaves a log, and the last event in it is its stop."""
        if self._closed:
            path = self.layout.log(self._closed[-1])
            events = read_log(path, self._closed[-1]).events
            ended = bool(events) and (int(events[-1].pv[-1]), int(events[-1].values[-1])) == (ENGINE_PV, STOPPED)
            return None if ended else path.stat().st_mtime_ns
        return self.layout.manifest.stat().st_mtime_ns if self.manifest.generation else None

    def close(self) -> None:
        """Make everything durable and give the folder back."""
        try:
            if self._log is not None:
                self._log.sync()
        finally:
            if self._log is not None:
                self._log.close()
                self._log = None
            self.upkeep.close()
            self.registry.close()
            self._folder_lock.release()

    # PVs

    def add_pvs(self, names: Iterable[str]) -> dict[str, int]:
        """Ids of PVs, new ones for new names (durable before this returns); OSError when that can't be written."""
        names = list(names)
        self.registry.add(names)
        return {name: self.registry.ids[name] for name in names}

    def describe(self, metadata: Mapping[int, Mapping[str, str]]) -> None:
        """Keep metadata of PVs by id, as of now."""
        self.registry.describe(metadata, time.time_ns())

    def rename(self, names: Mapping[str, str]) -> None:
        """Give PVs new names, with all of their past: {present name: new name}; durable, and all of it or nothing.

        KeyError for a name that isn't known. ValueError when a new name has samples of its own, or comes twice. OSError
        when it can't be written.
        """
        changes: list[tuple[int, str | None]] = []
        freed = {self.registry.ids[old] for old in names}
        if len(set(names.values())) < len(names):
            raise ValueError("two PVs can't get one name")
        for old, new in names.items():
            pv = self.registry.ids[old]
            taken = self.registry.ids.get(new)
            if old == new:
                continue
            if taken is not None and taken not in freed:
                if self._has_samples(taken):
                    raise ValueError(f"{new} has samples of its own, so {old} can't get that name")
                changes.append((taken, None))
            changes.append((pv, new))
        self.registry.name(changes, time.time_ns())

    def forget(self, names: Iterable[str]) -> None:
        """Make all samples of PVs invisible, at once and durably; compaction deletes them. Unknown names are fine.

        A name that is added again begins anew, with another id.
        """
        ids = self.registry.ids
        self.registry.name([(ids[name], None) for name in dict.fromkeys(names) if name in ids], time.time_ns())

    def _has_samples(self, pv: int) -> bool:
        if pv < len(self.channels) and self.channels["samples"][pv]:
            return True
        for number, path in self.layout.logs(self.manifest.first_log):
            with suppress(FileNotFoundError):
                # the recorder may cut off the end of the present log meanwhile
                if any((columns.pv == pv).any() for columns in read_log(path, number, mapped=False).samples):
                    return True
        return False

    # the log

    @property
    def log_size(self) -> int:
        """Bytes in the present log."""
        return self._log.size if self._log else 0

    @property
    def log_age(self) -> float:
        """Seconds since the present log was begun."""
        return time.monotonic() - self._log.created if self._log else 0.0

    def _writer(self) -> LogWriter:
        if self._log is None:
            number = self._next_log
            try:
                self._log = LogWriter(self.layout.log(number), number)
            except FileExistsError:
                # what isn't ours stays, and the next one gets another number
                self._next_log = number + 1
                raise
            self._next_log = number + 1
            self._drops_before = self._drops_logged
        return self._log

    def append(self, columns: Columns) -> None:
        """Log samples; durable after the next `sync`. OSError when they can't be written, and then none of them is."""
        self._writer().append_columns(columns)

    def append_events(self, pv: np.ndarray, time_ns: np.ndarray, code: np.ndarray) -> None:
        """Log connection events: u4, i8 and u1 arrays of equal length."""
        zero = np.zeros(len(pv), np.uint8)
        self._writer().append_columns(Columns(Dbr.CHAR, False, pv, time_ns, zero, zero, code), Kind.EVENTS)

    def append_drops(self, drops: Mapping[str, int]) -> None:
        """Log how many samples were dropped instead of logged, by reason, since the folder was opened.

        The log gets what is new since the log before it, and how many samples it should hold: what recovery then
        doesn't find was damaged.
        """
        writer = self._writer()
        counters = {f"dropped.{key}": n - self._drops_before.get(key, 0) for key, n in drops.items()}
        writer.append_json(Kind.COUNTERS, {**counters, "logged": writer.samples, "time_ns": time.time_ns()})
        self._drops_logged = dict(drops)

    def sync(self) -> None:
        """Make what was logged durable."""
        if self._log is not None:
            self._log.sync()

    def roll(self) -> None:
        """End the present log, durably; `convert_next` may take it."""
        writer = self._log
        if writer is None:
            return
        writer.sync()
        writer.close()
        self._log = None
        self._sizes[writer.number] = writer.samples
        with self._closed_lock:
            self._closed.append(writer.number)

    # segments

    def counts(self) -> tuple[dict[str, int], Counter[str], tuple[Segment, ...]]:
        """The totals of the archive, the part of them that is from logs begun since `open`, and the segments.

        The second has `logged` (samples in those logs) and `dropped.REASON`. All three are of one moment.
        """
        return self._counts

    def pending_logs(self) -> int:
        """How many ended logs wait to become segments."""
        with self._closed_lock:
            return len(self._closed)

    def convert_next(self) -> bool:
        """Turn the oldest ended log into segments; False when there is none. OSError: the log stays, try again later.

        The log is deleted only after its segments are durable and in the manifest.
        """
        with self._closed_lock:
            if not self._closed:
                return False
            number = self._closed[0]
        layout, manifest = self.layout, self.manifest
        path = layout.log(number)
        try:
            content = read_log(path, number)
        except FileNotFoundError:
            if not self._log_is_lost(number):
                raise
            content = LogContent(counters={"logged": self._sizes.get(number, 0)})
        quarantined = 0
        if content.damage:
            quarantined = set_aside(layout, path, content.damage)
            log.warning("log %d: %d damaged bytes are set aside in %s", number, quarantined, layout.quarantine)
        # another thread may forget PVs meanwhile
        names, forgotten = self.registry.names, list(self.registry.forgotten)
        try:
            done = convert(layout, number, content, names, forgotten, self.channels, manifest.serial)
        except (ValueError, LookupError, TypeError, ArithmeticError, pa.ArrowException, MemoryError) as error:
            # nothing that came over the wire should get here; if it does, it must not stop the archive for good
            log.exception("log %d can't become segments (%s): all of it is set aside", number, error)
            replace_file(layout.quarantine / path.name, path.read_bytes())
            quarantined = path.stat().st_size
            lost = sum(len(c) for c in content.samples)
            content = LogContent(counters={"logged": lost, **content.counters})
            done = convert(layout, number, content, names, forgotten, self.channels, manifest.serial)
        found = sum(len(c) for c in content.samples)
        logged = max(content.counters.pop("logged", 0), found)
        totals = Counter(manifest.totals)
        totals.update(content.counters)
        totals.update(
            {
                "received": logged + sum(content.counters.values()),
                "stored": done.stored,
                "dropped.duplicate": done.duplicate,
                "dropped.out_of_order": done.out_of_order,
                "dropped.damaged": logged - found,
                "damaged_bytes": quarantined,
                "events": sum(len(c) for c in content.events),
                "forgotten": done.forgotten,
            }
        )
        own = self._counts[1].copy()
        if number >= self._first_own_log:
            own.update({**content.counters, "logged": logged})
        self.commit(
            manifest.next(
                first_log=number + 1,
                segments=manifest.segments + tuple(done.segments),
                totals=dict(totals),
                serial=manifest.serial + len(done.segments),
            ),
            done.channels,
            own,
        )
        del content
        with self._closed_lock:
            self._closed.pop(0)
        self._sizes.pop(number, None)
        with suppress(OSError):
            # one that stays is below the manifest's first log, and goes at the next start
            path.unlink(missing_ok=True)
        return True

    def _log_is_lost(self, number: int) -> bool:
        """Whether an ended log is gone for good: the present one is where it should be, so its folder isn't away."""
        present = self._log
        try:
            lost = present.in_place() if present is not None else bool(self.layout.logs(number + 1))
        except OSError:
            return False
        if lost:
            log.error("log %d is gone: the %d samples in it are lost", number, self._sizes.get(number, 0))
        return lost

    def compact_next(self, retention_days: float | None = None, today: int | None = None) -> bool:
        """Do one thing that keeps the archive in shape: merge, move, delete what is over its time, take in an import.

        False when there is nothing to do. OSError: nothing has changed. Killed at any moment, it leaves the old files
        or the new ones, and never both in the manifest. `retention_days`: of all tiers. `today`: days since 1970 UTC,
        by the clock when None.
        """
        return self.upkeep.step(retention_days, int(time.time() // 86400) if today is None else today)

    def interrupt(self) -> None:
        """For another thread, when the end has come: `compact_next` need not finish a merge, which may take minutes."""
        self.upkeep.interrupt()

    def adopt_incoming(self) -> int:
        """Take in all imports that wait in the folder; returns how many. (`compact_next` does so, one at a time.)"""
        return self.upkeep.adopt_all()

    def commit(self, manifest: Manifest, channels: np.ndarray, own: Counter[str] | None = None) -> None:
        """Replace the manifest and its channels table; OSError when that can't be done, and then the old ones stay."""
        before = {segment.name for segment in self.manifest.segments}
        fresh = [segment for segment in manifest.segments if not segment.place and segment.name not in before]
        try:
            self._commit(manifest, channels, own, {segment.kind for segment in fresh})
        except OSError:
            # nobody knows whether the disk has the new manifest: its names are not given again, and its files go later
            self._left += [("", file) for segment in fresh for file in segment.files]
            self.manifest = replace(self.manifest, generation=manifest.generation, serial=manifest.serial)
            raise

    def _commit(self, manifest: Manifest, channels: np.ndarray, own: Counter[str] | None, kinds: set[str]) -> None:
        old = self.manifest.channels
        name = old if channels is self.channels else f"channels-{manifest.generation}.npy"
        for kind in kinds:
            sync_folder(self.layout.segments / kind)
        if kinds:
            sync_folder(self.layout.segments)
        if name is not None and name != old:
            buffer = io.BytesIO()
            np.save(buffer, channels, allow_pickle=False)
            replace_file(self.layout.folder / name, buffer.getvalue())
        if self._left:
            manifest = replace(manifest, replaced=(*manifest.replaced, *self._left))
        manifest = replace(manifest, channels=name, archive=manifest.archive or uuid4().hex)
        save_manifest(self.layout.manifest, manifest)
        self.manifest, self.channels, self._left = manifest, channels, []
        self._counts = (manifest.totals, self._counts[1] if own is None else own, manifest.segments)
        if old is not None and old != name:
            with suppress(OSError):
                (self.layout.folder / old).unlink(missing_ok=True)
