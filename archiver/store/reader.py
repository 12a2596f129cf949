"""Reading an archive from disk: segments and the log's tail, beside a running engine or without one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from archiver.store.bins import read_bins
from archiver.store.connections import Events, connections
from archiver.store.files import Layout
from archiver.store.many import MOST_BYTES, read_many
from archiver.store.newest import newest
from archiver.store.overview import overview, volumes
from archiver.store.runs import read_runs
from archiver.store.samples import Channels, PvData, PvInfo, PvTotals, Samples
from archiver.store.summary import Summary, check_bins
from archiver.store.view import ATTEMPTS, ChangedError, FolderView


class StoreReader:
    """Reads the archive in `folder`; sees everything the engine has written, to the last flushed sample.

    Keep one for long: it keeps indexes and what it knows of the log. Methods may be called from several threads; one
    iterator of `read` belongs to one thread. A folder that isn't there is an empty archive.

    PlaceError (a StoreError): samples that are asked for lie where nobody answers now.
    """

    def __init__(self, folder: Path, layout: Layout | None = None) -> None:
        self._layout = layout or Layout(Path(folder))
        self._view = FolderView(self._layout)

    @property
    def folder(self) -> Path:
        """The archive's folder."""
        return self._layout.folder

    def close(self) -> None:
        """Close all files."""
        self._view.close()

    @property
    def damaged(self) -> dict[str, str]:
        """Segments that could not be read, by name, and why."""
        return self._view.damaged

    def lacking(self, names: Sequence[str]) -> list[str]:
        """Those of these PVs of which samples are in segments that could not be read, as far as that is known."""
        with self._view.lock:
            known, lost = self._view.registry.ids, list(self._view.lost.values())
            pvs = {name: known[name] for name in names if name in known}
        ids = np.fromiter(pvs.values(), np.uint32, len(pvs))
        hit = np.zeros(len(ids), bool)
        for there in lost:
            hit |= True if there is None else np.isin(ids, there)
        return [name for name, lacks in zip(pvs, hit.tolist(), strict=True) if lacks]

    # what there is

    def names(self) -> list[str]:
        """Names of all PVs that the archive knows, sorted, with or without samples."""
        with self._view.lock:
            self._view.registry.refresh()
            return sorted(self._view.registry.ids)

    def has(self, name: str) -> bool:
        """Whether the archive knows this PV."""
        return self._view.find(name) is not None

    def info(self, name: str) -> PvInfo | None:
        """What is known of a PV; None for a name that was never archived."""
        with self._view.lock:
            pv = self._view.find(name)
            if pv is None:
                return None
            metadata = dict(self._view.registry.metadata.get(pv, {}))
            (row,) = overview(self._view, [name])
        return PvInfo(name, row.dbr, row.count, row.first_ns, row.last_ns, metadata, row.array)

    def infos(self, names: Sequence[str] | None = None) -> list[PvTotals]:
        """What is stored of each of these PVs (all, sorted, when None); unknown names are left out."""
        return overview(self._view, self.names() if names is None else names)

    def volumes(self) -> np.ndarray:
        """Bytes of each PV by its id (i8), as `infos` estimates them; what is beyond the end has none."""
        return volumes(self._view)

    def channels(self) -> Channels:
        """The table of all PVs: what the segments hold of each, by id, and the names."""
        with self._view.lock:
            self._view.refresh()
            return Channels(self._view.channels.copy(), dict(self._view.registry.names))

    def metadata_history(self, name: str) -> list[tuple[int, dict[str, str]]]:
        """Every version of a PV's metadata with the time (ns) it was first seen, oldest first."""
        with self._view.lock:
            pv = self._view.find(name)
            return list(self._view.registry.history.get(pv, [])) if pv is not None else []

    def totals(self) -> dict[str, int]:
        """The archive's counters as of the newest manifest: received, stored, dropped.REASON and so on."""
        with self._view.lock:
            self._view.refresh()
            return dict(self._view.manifest.totals)

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
        return read_runs(self._view, self._asked(name, from_ns, to_ns), from_ns, to_ns, samples=True)

    def read_arrow(self, name: str, from_ns: int, to_ns: int) -> Iterator[pa.RecordBatch]:
        """As `read`, in Arrow: columns time (timestamp of ns, UTC), severity (u1), status (u2) and value.

        Values have the Arrow type of their kind: strings are `string`, arrays `list`. The schema changes with the type.
        """
        return read_runs(self._view, self._asked(name, from_ns, to_ns), from_ns, to_ns, samples=False)

    def _asked(self, name: str, from_ns: int, to_ns: int) -> int:
        if to_ns < from_ns:
            raise ValueError(f"the end {to_ns} is before the start {from_ns}")
        pv = self._view.find(name)
        if pv is None:
            raise KeyError(name)
        return pv

    def newest(self, names: Sequence[str], at_ns: int) -> dict[str, Samples]:
        """The newest sample (one each) at or before a time (ns) of these PVs; those that have none are left out."""
        with self._view.lock:
            self._view.registry.refresh()
            known = self._view.registry.ids
            ids = {known[name]: name for name in names if name in known}
        wanted = np.array(sorted(ids), np.uint32)
        for _ in range(ATTEMPTS):
            damaged = len(self._view.damaged)
            try:
                found = dict(newest(self._view, wanted, at_ns)) if len(wanted) else {}
            except (FileNotFoundError, ChangedError):
                self._view.forget()
                continue
            if len(self._view.damaged) == damaged:
                return {ids[pv]: sample for pv, sample in found.items()}
        raise self._view.restless()

    def summaries(self, name: str, unit_s: int, from_ns: int, to_ns: int) -> Iterator[Summary]:
        """Bins of `unit_s` seconds (60 or 3600) from `from_ns` to `to_ns` (ns, whole bins; the end is excluded).

        Each bin that has samples comes once, ascending; complete and exact, whether it is kept beside a segment or
        made of samples. Strings and arrays have none. KeyError for an unknown name.
        """
        pv = self._view.find(name)
        if pv is None:
            raise KeyError(name)
        if not check_bins(unit_s, from_ns, to_ns):
            return iter(())
        return read_bins(self._view, pv, unit_s, from_ns, to_ns)

    # connection events

    def connections(self, name: str, from_ns: int, to_ns: int) -> list[tuple[int, str]]:
        """When the PV was lost and found between two times (ns, both included), the engine's stops and starts among it.

        The state at `from_ns` comes first, with its own time, if it is known.
        """
        pv = self._view.find(name)
        if pv is None:
            raise KeyError(name)
        events = self._connections(np.array([pv], np.uint32), to_ns)[pv]
        before = [event for event in events if event[0] <= from_ns][-1:]
        return before + [event for event in events if event[0] > from_ns]

    def _connections(self, ids: np.ndarray, to_ns: int) -> dict[int, Events]:
        for _ in range(ATTEMPTS):
            try:
                return connections(self._view, ids, to_ns)
            except (FileNotFoundError, ChangedError):
                self._view.forget()
        raise self._view.restless()

    # many PVs at once

    def info_many(self, names: Sequence[str]) -> dict[str, PvInfo]:
        """As `info`, of many PVs; unknown names are left out."""
        with self._view.lock:
            rows = overview(self._view, names)
            registry = self._view.registry
            described = [dict(registry.metadata.get(registry.ids[row.name], {})) for row in rows]
        return {
            row.name: PvInfo(row.name, row.dbr, row.count, row.first_ns, row.last_ns, metadata, row.array)
            for row, metadata in zip(rows, described, strict=True)
        }

    def read_many(self, names: Sequence[str], from_ns: int, to_ns: int, most: int = MOST_BYTES) -> dict[str, PvData]:
        """What `read` gives of many PVs, in memory, with their metadata and their connection events up to `to_ns`.

        Left out are unknown names, and PVs of which there is more than can be held (about `most` bytes of all): read
        them one by one. ValueError when `to_ns` is before `from_ns`.
        """
        if to_ns < from_ns:
            raise ValueError(f"the end {to_ns} is before the start {from_ns}")
        with self._view.lock:
            self._view.registry.refresh()
            known = self._view.registry.ids
            pvs = {name: known[name] for name in names if name in known}
            history = {name: list(self._view.registry.history.get(pv, [])) for name, pv in pvs.items()}
        ids = np.unique(np.fromiter(pvs.values(), np.uint32, len(pvs)))
        if not len(ids):
            return {}
        events = self._connections(ids, to_ns)
        for _ in range(ATTEMPTS):
            damaged = len(self._view.damaged)
            try:
                found = read_many(self._view, ids, from_ns, to_ns, most)
            except (FileNotFoundError, ChangedError):
                self._view.forget()
                continue
            if len(self._view.damaged) == damaged:
                return {n: PvData(found[pv], history[n], events[pv]) for n, pv in pvs.items() if pv in found}
        raise self._view.restless()
