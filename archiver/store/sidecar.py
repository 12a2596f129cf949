"""Summaries beside a segment: Parquet files with a row for each minute, or hour, in which a PV has samples.

Columns: `pv`, `time` (when the bin begins), `count`, `mean`, `m2`, `low`, `high`, `first`, `last`, `first_time`,
`last_time`, `severity`; see `archiver.store.summary`. A PV whose bins would hold only a few samples each has none: its
samples are read as quickly. A bin holds what its segment has of it: at the joint of two segments both have a part of
one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from archiver.store.arrow import numbers
from archiver.store.files import sync_file
from archiver.store.names import HOUR_SUMMARY, MINUTE_SUMMARY
from archiver.store.summary import NS, Summary, concat, reduce_bins, regroup

ENDINGS = {60: MINUTE_SUMMARY, 3600: HOUR_SUMMARY}
"""By the length of the bins in seconds."""

FEWEST = 8
"""Samples that a PV's bins must have on average to be kept."""

GROUP = 8192
"""Bins from which a row group is full; a PV of more has row groups of its own, of at most `LARGE`."""

LARGE = 1 << 16

_FLOATS = ("mean", "m2", "low", "high", "first", "last")
_TIME = pa.timestamp("ns", tz="UTC")

SCHEMA = pa.schema(
    [
        ("pv", pa.dictionary(pa.int32(), pa.string())),
        ("time", _TIME),
        ("count", pa.uint32()),
        *((name, pa.float64()) for name in _FLOATS),
        ("first_time", _TIME),
        ("last_time", _TIME),
        ("severity", pa.uint8()),
    ]
)

_READ = ["count", *_FLOATS, "first_time", "last_time", "severity"]


class SummaryWriter:
    """Writes the summaries of the segment at `path` while its samples go by, PV after PV, each ascending in time."""

    def __init__(self, path: Path) -> None:
        self._files = {unit: _BinFile(path.with_suffix(ending), unit) for unit, ending in ENDINGS.items()}
        self._pv = -1
        self._name = ""
        self._held: list[Summary] = []

    def add(
        self,
        pv: np.ndarray,
        names: list[str],
        ends: np.ndarray,
        time_ns: np.ndarray,
        severity: np.ndarray,
        values: np.ndarray,
    ) -> None:
        """Take in samples: those of `pv[i]` end at row `ends[i]`."""
        code = np.repeat(np.arange(len(pv)), np.diff(ends, prepend=0))
        place, bins = reduce_bins(time_ns, values, severity, 60, code)
        cuts = np.searchsorted(place, np.arange(len(pv) + 1))
        for i, (number, name) in enumerate(zip(pv.tolist(), names, strict=True)):
            if number != self._pv:
                self._flush()
                self._pv, self._name = number, name
            if cuts[i + 1] > cuts[i]:
                self._held.append(bins[int(cuts[i]) : int(cuts[i + 1])])

    def _flush(self) -> None:
        if not self._held:
            return
        minutes = concat(self._held)
        self._held = []
        minutes = regroup(minutes, minutes.number)
        self._files[60].add(self._pv, self._name, minutes)
        self._files[3600].add(self._pv, self._name, regroup(minutes, minutes.number // 60))

    def close(self, index: np.ndarray) -> None:
        """Put the files in place, durably, and enter in the segment's index where each PV's bins are."""
        self._flush()
        for file, start, rows in ((self._files[60], "minute", "minutes"), (self._files[3600], "hour", "hours")):
            file.close()
            if file.places:
                by_pv = np.argsort(index["pv"], kind="stable")
                pvs = np.array(list(file.places), np.int64)
                where = by_pv[np.searchsorted(index["pv"][by_pv], pvs)]
                index[start][where] = [place for place, _ in file.places.values()]
                index[rows][where] = [n for _, n in file.places.values()]

    def abandon(self) -> None:
        """Leave nothing behind."""
        for file in self._files.values():
            file.abandon()


class _BinFile:
    """One file of bins; it is made only when there is something to write."""

    def __init__(self, path: Path, unit: int) -> None:
        self.places: dict[int, tuple[int, int]] = {}
        self._path = path
        self._part = path.with_suffix(".part")
        self._unit = unit
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[tuple[str, Summary]] = []
        self._size = 0
        self._rows = 0

    def add(self, pv: int, name: str, bins: Summary) -> None:
        if int(bins.count.sum(dtype=np.int64)) < FEWEST * len(bins):
            return
        self.places[pv] = (self._rows + self._size, len(bins))
        if len(bins) >= GROUP:
            self._flush()
        self._waiting.append((name, bins))
        self._size += len(bins)
        if self._size >= GROUP:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._part, SCHEMA, **_OPTIONS)
        bins = concat([part for _, part in self._waiting])
        codes = np.repeat(np.arange(len(self._waiting), dtype=np.int32), [len(part) for _, part in self._waiting])
        columns: dict[str, Any] = {name: pa.array(getattr(bins, name)) for name in ("count", *_FLOATS, "severity")}
        names = pa.array([name for name, _ in self._waiting], pa.string())
        columns["pv"] = pa.DictionaryArray.from_arrays(pa.array(codes), names)
        columns["time"] = pa.array(bins.number * (self._unit * NS)).cast(_TIME)
        columns["first_time"] = pa.array(bins.first_ns).cast(_TIME)
        columns["last_time"] = pa.array(bins.last_ns).cast(_TIME)
        table = pa.Table.from_arrays([columns[name] for name in SCHEMA.names], schema=SCHEMA)
        self._writer.write_table(table, row_group_size=LARGE)
        self._rows += len(bins)
        self._waiting, self._size = [], 0

    def close(self) -> None:
        self._flush()
        if self._writer is None:
            self._path.unlink(missing_ok=True)
            return
        self._writer.close()
        sync_file(self._part)
        self._part.replace(self._path)

    def abandon(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._part.unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)


_OPTIONS: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 1,
    "use_dictionary": ["pv", "count", "severity"],
    "column_encoding": {
        **dict.fromkeys(_FLOATS, "BYTE_STREAM_SPLIT"),
        **dict.fromkeys(("time", "first_time", "last_time"), "DELTA_BINARY_PACKED"),
    },
    "write_statistics": ["pv", "time"],
    "store_schema": False,
}


class SummaryFile:
    """A file of bins, open for reading. One thread at a time. ValueError or ArrowException when it isn't one."""

    def __init__(self, source: Any, unit_s: int) -> None:
        self._unit = unit_s
        self._source = source
        self._file = pq.ParquetFile(source)
        meta = self._file.metadata
        if not set(_READ) <= set(self._file.schema_arrow.names):
            raise ValueError("no summaries of a segment")
        self._ends = np.cumsum([meta.row_group(i).num_rows for i in range(meta.num_row_groups)], dtype=np.int64)

    def read(self, start: int, rows: int) -> Summary:
        """The bins in some rows."""
        first = int(np.searchsorted(self._ends, start, "right"))
        last = int(np.searchsorted(self._ends, start + rows - 1, "right"))
        if last >= len(self._ends):
            raise ValueError(f"summaries end before row {start + rows}")
        begin = int(self._ends[first - 1]) if first else 0
        table = self._file.read_row_groups(list(range(first, last + 1)), columns=_READ)
        table = table.slice(start - begin, rows)
        columns = {}
        for name in _READ:
            column = table.column(name)
            chunk = column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
            columns[name] = numbers(chunk)
        first_ns = columns["first_time"]
        return Summary(
            number=first_ns // (self._unit * NS),
            first_ns=first_ns,
            last_ns=columns.pop("last_time"),
            **{name: column for name, column in columns.items() if name != "first_time"},
        )

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._source.close()
