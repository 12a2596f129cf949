"""Several stores seen as one archive: those of engines that share the PVs, and mirrors of archives elsewhere."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from archiver.config import ArchiverConfig
from archiver.store.batches import batch_of
from archiver.store.files import Layout, StoreError
from archiver.store.many import MOST_BYTES
from archiver.store.mirror import Mirror
from archiver.store.order import NEVER
from archiver.store.pieces import after_start, merge
from archiver.store.reader import StoreReader
from archiver.store.samples import Channels, PvData, PvInfo, PvTotals, Samples
from archiver.store.summary import Summary, bins_of, check_bins, whole_bins

log = logging.getLogger(__name__)

T = TypeVar("T")

FOLLOW = 20.0
"""Seconds between two looks at what another host has published."""

FIRST_LOOK = 5.0
"""Seconds that opening a mirror waits for its store."""


class StoreGroup:
    """The methods of `StoreReader` over several stores; a PV that is in more than one is put together by time.

    Where two stores have a sample of the same time, that of the first store stays.
    """

    def __init__(self, readers: Sequence[StoreReader]) -> None:
        self.readers = tuple(readers)

    def close(self) -> None:
        """Close all stores."""
        for reader in self.readers:
            reader.close()

    @property
    def damaged(self) -> dict[str, str]:
        """Segments that could not be read, by name, and why."""
        return {name: why for reader in self.readers for name, why in reader.damaged.items()}

    def lacking(self, names: Sequence[str]) -> list[str]:
        """As `StoreReader.lacking`."""
        found = {name for reader in self.readers for name in reader.lacking(names)}
        return [name for name in names if name in found]

    def _having(self, name: str) -> list[StoreReader]:
        return [reader for reader in self.readers if reader.has(name)]

    def has(self, name: str) -> bool:
        """Whether the archive knows this PV."""
        return any(reader.has(name) for reader in self.readers)

    # what there is

    def names(self) -> list[str]:
        """Names of all PVs that the archive knows, sorted, with or without samples."""
        return sorted({name for reader in self.readers for name in reader.names()})

    def info(self, name: str) -> PvInfo | None:
        """What is known of a PV; None for a name that was never archived."""
        infos = [info for reader in self.readers if (info := reader.info(name)) is not None]
        if len(infos) < 2:
            return infos[0] if infos else None
        newest = max(infos, key=lambda info: NEVER if info.last_ns is None else info.last_ns)
        first = min((info.first_ns for info in infos if info.first_ns is not None), default=None)
        described = self.metadata_history(name)
        metadata = described[-1][1] if described else newest.metadata
        return PvInfo(name, newest.dbr, newest.count, first, newest.last_ns, dict(metadata), newest.array)

    def infos(self, names: Sequence[str] | None = None) -> list[PvTotals]:
        """What is stored of each of these PVs (all, sorted, when None); unknown names are left out."""
        found: dict[str, PvTotals] = {}
        for reader in self.readers:
            for row in reader.infos(names):
                known = found.get(row.name)
                found[row.name] = row if known is None else _added(known, row)
        return [found[name] for name in (sorted(found) if names is None else names) if name in found]

    def channels(self) -> Channels:
        """The table of all PVs, numbered anew: ids of several stores say nothing of each other."""
        tables = []
        names: dict[int, str] = {}
        start = 0
        for reader in self.readers:
            table, mine = reader.channels()
            tables.append(table)
            names.update((start + pv, name) for pv, name in mine.items())
            start += max(len(table), max(mine, default=-1) + 1)
            if start > sum(map(len, tables)):
                tables.append(_unused(start - sum(map(len, tables)), table.dtype))
        return Channels(np.concatenate(tables), names)

    def metadata_history(self, name: str) -> list[tuple[int, dict[str, str]]]:
        """Every version of a PV's metadata with the time (ns) it was first seen, oldest first."""
        versions = [version for reader in self.readers for version in reader.metadata_history(name)]
        return sorted(versions, key=lambda version: version[0])

    def info_many(self, names: Sequence[str]) -> dict[str, PvInfo]:
        """As `StoreReader.info_many`."""
        found, shared = self._alone([reader.info_many(names) for reader in self.readers])
        return found | {name: info for name in shared if (info := self.info(name)) is not None}

    def read_many(self, names: Sequence[str], from_ns: int, to_ns: int, most: int = MOST_BYTES) -> dict[str, PvData]:
        """As `StoreReader.read_many`; PVs that are in more than one store are left out too."""
        alone, _ = self._alone([dict.fromkeys(n for n in names if reader.has(n)) for reader in self.readers])
        found: dict[str, PvData] = {}
        for reader in self.readers:
            found |= reader.read_many([n for n in alone if reader.has(n)], from_ns, to_ns, most // len(self.readers))
        return found

    @staticmethod
    def _alone(found: Sequence[dict[str, T]]) -> tuple[dict[str, T], set[str]]:
        """What is found of names in one store alone, and the names that are in several."""
        times = Counter(name for one in found for name in one)
        return {n: v for one in found for n, v in one.items() if times[n] == 1}, {n for n in times if times[n] > 1}

    def totals(self) -> dict[str, int]:
        """The counters of all stores together."""
        total: Counter[str] = Counter()
        for reader in self.readers:
            total.update(reader.totals())
        return dict(total)

    def status(self) -> dict[str, Any] | None:
        """What the first engine that did last wrote of itself, None when none ever has."""
        return next((status for reader in self.readers if (status := reader.status()) is not None), None)

    # samples

    def read(self, name: str, from_ns: int, to_ns: int) -> Iterator[Samples]:
        """As `StoreReader.read`."""
        readers = self._having(name)
        if not readers:
            raise KeyError(name)
        if len(readers) == 1:
            return readers[0].read(name, from_ns, to_ns)
        return after_start(merge([reader.read(name, from_ns, to_ns) for reader in readers]), from_ns)

    def read_arrow(self, name: str, from_ns: int, to_ns: int) -> Iterator[pa.RecordBatch]:
        """As `StoreReader.read_arrow`."""
        readers = self._having(name)
        if len(readers) == 1:
            return readers[0].read_arrow(name, from_ns, to_ns)
        return (batch_of(piece) for piece in self.read(name, from_ns, to_ns))

    def newest(self, names: Sequence[str], at_ns: int) -> dict[str, Samples]:
        """As `StoreReader.newest`."""
        found: dict[str, Samples] = {}
        for reader in self.readers:
            for name, sample in reader.newest(names, at_ns).items():
                known = found.get(name)
                if known is None or sample.time_ns[0] > known.time_ns[0]:
                    found[name] = sample
        return found

    def summaries(self, name: str, unit_s: int, from_ns: int, to_ns: int) -> Iterator[Summary]:
        """As `StoreReader.summaries`."""
        readers = self._having(name)
        if len(readers) == 1:
            return readers[0].summaries(name, unit_s, from_ns, to_ns)
        if not readers:
            raise KeyError(name)
        if not check_bins(unit_s, from_ns, to_ns):
            return iter(())
        return whole_bins(bins_of(self.read(name, from_ns, to_ns - 1), unit_s, from_ns))

    def connections(self, name: str, from_ns: int, to_ns: int) -> list[tuple[int, str]]:
        """As `StoreReader.connections`."""
        readers = self._having(name)
        if not readers:
            raise KeyError(name)
        if len(readers) == 1:
            return readers[0].connections(name, from_ns, to_ns)
        events = sorted({event for reader in readers for event in reader.connections(name, from_ns, to_ns)})
        return [e for e in events if e[0] <= from_ns][-1:] + [e for e in events if e[0] > from_ns]


def _added(one: PvTotals, more: PvTotals) -> PvTotals:
    newest = one if (one.last_ns or NEVER) >= (more.last_ns or NEVER) else more
    first = [t for t in (one.first_ns, more.first_ns) if t is not None]
    total = (one.samples + more.samples, one.bytes + more.bytes)
    return replace(newest, first_ns=min(first, default=None), samples=total[0], bytes=total[1])


def _unused(rows: int, dtype: np.dtype) -> np.ndarray:
    table = np.zeros(rows, dtype)
    table["oldest"] = table["newest"] = NEVER
    return table


Reader = StoreReader | StoreGroup
"""What answers for an archive."""


class MirrorReader(StoreReader):
    """Reads the archive that another host publishes in an object store, and follows it as it grows.

    While the store doesn't answer, what is known of it stays known.
    """

    def __init__(self, url: str, folder: Path, cache_limit: int) -> None:
        self._mirror = Mirror(url, folder, cache_limit)
        super().__init__(self._mirror.folder, Layout(self._mirror.folder, cache_limit))
        self._closing = threading.Event()
        self._tried = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="owl-mirror", daemon=True)
        self._thread.start()
        self._tried.wait(FIRST_LOOK)

    def _follow(self) -> None:
        away = ""
        while not self._closing.is_set():
            try:
                self._mirror.refresh()
                if away:
                    log.info("the archive at %s answers again", self._mirror.url)
                away = ""
            except (StoreError, OSError) as error:
                if str(error) != away:
                    away = str(error)
                    log.warning("the archive at %s can't be followed now: %s", self._mirror.url, error)
            self._tried.set()
            self._closing.wait(FOLLOW)

    def close(self) -> None:
        """Follow no longer, and close all files."""
        self._closing.set()
        self._thread.join(FIRST_LOOK)
        super().close()


def open_reader(folder: Path, config: ArchiverConfig | None = None) -> Reader:
    """A reader of the archive in `folder`, with the stores of its engines and the mirrors that `config` names.

    A folder that isn't there is an empty archive. What a single engine kept before there were several stays readable.
    """
    folder = Path(folder)
    limit = (config.cache if config is not None else 2048) << 20
    engines = [folder / "engines" / name for name in config.engines] if config is not None else []
    engines += [path for path in sorted(folder.glob("engines/*")) if path.is_dir() and path not in engines]
    readers = [StoreReader(path, Layout(path, limit)) for path in engines]
    if not readers or (folder / "registry.log").exists():
        readers.insert(0, StoreReader(folder, Layout(folder, limit)))
    for url in config.remote if config is not None else ():
        readers.append(MirrorReader(url, folder / "mirrors", limit))
    return readers[0] if len(readers) == 1 else StoreGroup(readers)
