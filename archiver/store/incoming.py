"""Imports: samples from elsewhere come into an archive as ready-made files, and the engine takes them in.

An import may be of any time, also of one from which there are samples already: what has the same PV and time as a
stored sample is a duplicate and dropped. So importing something twice stores nothing twice, and a kill in the middle
only means to take in the rest. Imports don't move the time from which on the order rule goes: live samples go on as
they were.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from archiver.store.checksums import file_sha256
from archiver.store.files import Layout, StoreError, replace_json, sync_folder
from archiver.store.order import OLDEST_NS
from archiver.store.samples import Dbr, Samples
from archiver.store.segment import Table, arrow_type, kind_of, write_segment

FORMAT = "owlshift-import"

LIMIT = 192 << 20
"""Bytes of samples that an importer keeps in memory."""

OVERHEAD = 1024
"""Bytes that a piece of samples takes beside them: there may be millions of PVs with few."""

FUTURE_NS = 1800 * 10**9


@dataclass(frozen=True)
class ImportReport:
    """What became of an import. `waiting`: a running engine has not taken it in yet, but will."""

    samples: int
    duplicates: int
    pvs: int
    bad_times: int = 0
    waiting: bool = False


@dataclass
class _Part:
    """Samples of one PV and kind, in the order they came."""

    time_ns: list[np.ndarray] = field(default_factory=list)
    severity: list[np.ndarray] = field(default_factory=list)
    status: list[np.ndarray] = field(default_factory=list)
    values: list[pa.Array] = field(default_factory=list)


class Importer:
    """Collects samples for the archive in `folder`; nothing of it is there before `commit`. For one thread."""

    def __init__(self, folder: Path) -> None:
        self._layout = Layout(Path(folder))
        self._id = f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}"
        self._part = self._layout.incoming / f"{self._id}.part"
        self._held = -1
        self._ids: dict[str, int] = {}
        self._metadata: dict[str, dict[str, str]] = {}
        self._parts: dict[tuple[str, int], _Part] = {}
        self._size = 0
        self._files: list[dict[str, Any]] = []
        self._bad_times = 0
        self._twice = 0

    def add(self, name: str, samples: Samples, metadata: Mapping[str, str] | None = None) -> None:
        """Add samples of a PV, of any times; OSError when the disk is full.

        Those from before 1991 or more than half an hour ahead of the clock are dropped and counted. `metadata` counts
        only for a PV of which the archive has none.
        """
        if not name:
            raise ValueError("a PV needs a name")
        pv = self._ids.setdefault(name, len(self._ids) + 1)
        if metadata and name not in self._metadata:
            self._metadata[name] = {str(key): str(value) for key, value in metadata.items()}
        good = (samples.time_ns >= OLDEST_NS) & (samples.time_ns <= time.time_ns() + FUTURE_NS)
        self._bad_times += int(len(good) - good.sum())
        if not good.any():
            return
        values = _arrow(samples)
        if not good.all():
            values = values.filter(pa.array(good))
        part = self._parts.setdefault((kind_of(samples.dbr, samples.array), pv), _Part())
        part.time_ns.append(samples.time_ns[good].astype(np.int64))
        part.severity.append(samples.severity[good].astype(np.uint8))
        part.status.append(samples.status[good].astype(np.uint8))
        part.values.append(values)
        self._size += OVERHEAD + 10 * int(good.sum()) + values.nbytes
        if self._size > LIMIT:
            self._flush()

    def _flush(self) -> None:
        """Write what is in memory, a file for each kind and month."""
        if self._parts and self._held < 0:
            self._part.mkdir(parents=True)
            self._held = os.open(self._part, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            with suppress(OSError):
                fcntl.flock(self._held, fcntl.LOCK_SH | fcntl.LOCK_NB)
        names = {pv: name for name, pv in self._ids.items()}
        by_kind: dict[str, list[tuple[str, int, _Part]]] = {}
        for (kind, pv), part in self._parts.items():
            by_kind.setdefault(kind, []).append((names[pv], pv, part))
        for kind, parts in by_kind.items():
            columns = []
            for name, pv, part in sorted(parts, key=lambda entry: entry[0]):
                time_ns = np.concatenate(part.time_ns)
                rows = np.argsort(time_ns, kind="stable")
                fresh = np.concatenate(([True], np.diff(time_ns[rows]) > 0))
                self._twice += int(len(fresh) - fresh.sum())
                rows = rows[fresh]
                values = pa.concat_arrays(part.values) if len(part.values) > 1 else part.values[0]
                columns.append((name, pv, part, time_ns, rows, values))
            months = {key for c in columns for key in _months(c[3][c[4]])}
            for month in sorted(months):
                tables = [table for c in columns if (table := _table(kind, month, *c)) is not None]
                file = self._part / f"{kind}-{month:06d}-{len(self._files):06d}.parquet"
                index = write_segment(file, kind, iter(tables))
                self._files.append(
                    {"name": file.name, "kind": kind, "rows": int(index["rows"].sum()), "sha256": file_sha256(file)}
                )
        self._parts.clear()
        self._size = 0

    def commit(self, timeout: float = 60.0) -> ImportReport:
        """Hand all of it to the archive, for good; the importer can't be used any more.

        A running engine takes it in; this waits up to `timeout` seconds for that. Without an engine it is done here.
        StoreError or OSError: nothing was handed over.
        """
        self._flush()
        if not self._files:
            self.abort()
            return ImportReport(0, self._twice, 0, self._bad_times)
        content = {
            "format": FORMAT,
            "pvs": self._ids,
            "metadata": self._metadata,
            "files": self._files,
            "bad_times": self._bad_times,
            "duplicates": self._twice,
        }
        replace_json(self._part / "import.json", content)
        folder = self._part.with_suffix("")
        self._part.rename(folder)
        sync_folder(self._layout.incoming)
        sync_folder(self._layout.folder)
        self._let_go()
        return _await(self._layout, folder, timeout)

    def abort(self) -> None:
        """Leave everything as it was."""
        self._parts.clear()
        shutil.rmtree(self._part, ignore_errors=True)
        self._let_go()

    def _let_go(self) -> None:
        if self._held >= 0:
            os.close(self._held)
            self._held = -1


def _await(layout: Layout, folder: Path, timeout: float) -> ImportReport:
    from archiver.store.writer import StoreWriter

    done = folder.with_suffix(".done")
    end = time.monotonic() + timeout
    while True:
        if done.exists():
            report = ImportReport(**orjson.loads(done.read_bytes()))
            done.unlink(missing_ok=True)
            return report
        pause = 0.05
        store = StoreWriter(layout.folder)
        # an engine that has it takes the import in
        with suppress(StoreError):
            store.open()
            try:
                while store.convert_next():
                    pass
                store.adopt_incoming()
            finally:
                store.close()
            pause = 0.0 if done.exists() else 1.0
        if pause and time.monotonic() > end:
            content = orjson.loads((folder / "import.json").read_bytes()) if folder.exists() else {}
            samples = sum(int(file["rows"]) for file in content.get("files", ()))
            return ImportReport(samples, 0, len(content.get("pvs", ())), waiting=True)
        time.sleep(pause)


def _arrow(samples: Samples) -> pa.Array:
    kind = kind_of(samples.dbr, samples.array)
    if not samples.array:
        if samples.dbr is Dbr.STRING:
            return pa.array([str(v) for v in samples.values], pa.string())
        return pa.array(np.ascontiguousarray(samples.values, samples.dbr.dtype.newbyteorder("=")))
    rows = [np.asarray(row) for row in samples.values]
    offsets = np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int32)
    flat = np.concatenate(rows) if rows else np.zeros(0)
    if samples.dbr is Dbr.STRING:
        items = pa.array([str(v) for v in flat], pa.string())
    else:
        items = pa.array(flat.astype(samples.dbr.dtype.newbyteorder("=")))
    return pa.ListArray.from_arrays(pa.array(offsets), items).cast(arrow_type(kind))


def _month(time_ns: np.ndarray) -> np.ndarray:
    """Months since 1970."""
    return time_ns.astype("datetime64[ns]").astype("datetime64[M]").astype(np.int64)


def _months(time_ns: np.ndarray) -> list[int]:
    return np.unique(_month(time_ns)).tolist()


def _table(
    kind: str, month: int, name: str, pv: int, part: _Part, time_ns: np.ndarray, rows: np.ndarray, values: pa.Array
) -> Table | None:
    chosen = rows[_month(time_ns[rows]) == month]
    if not len(chosen):
        return None
    return Table(
        kind=kind,
        pv=np.array([pv], np.uint32),
        names=[name],
        rows=np.array([len(chosen)]),
        time_ns=time_ns[chosen],
        severity=np.concatenate(part.severity)[chosen],
        status=np.concatenate(part.status)[chosen],
        values=values.take(pa.array(chosen)),
    )
