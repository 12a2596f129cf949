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
from archiver.store.summary import EMPTY, NS, UNITS, Summary, concat, reduce_bins, regroup_at, starts_of

ENDINGS = {60: MINUTE_SUMMARY, 3600: HOUR_SUMMARY}
"""By the length of the bins in seconds."""

FEWEST = 20
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
        self._minutes, self._hours = (_BinFile(path.with_suffix(ENDINGS[unit]), unit) for unit in UNITS)
        # bins of the last PV, which may go on
        self._pv = -1
        self._name = ""
        self._held = EMPTY

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
        code, bins = reduce_bins(time_ns, values, severity, UNITS[0], code)
        if self._pv == pv[0]:
            code = np.concatenate([np.zeros(len(self._held), np.int64), code])
            bins = concat([self._held, bins])
        else:
            self._flush()
        done = int(np.searchsorted(code, len(pv) - 1))
        self._pv, self._name, self._held = int(pv[-1]), names[-1], bins[done:]
        self._put(pv[:-1], names[:-1], code[:done], bins[:done])

    def _put(self, pv: np.ndarray, names: list[str], code: np.ndarray, bins: Summary) -> None:
        """Write bins of whole PVs; `code`: the PV of each, by its place in `pv`. A bin may come in parts in a row."""
        if not len(bins):
            return
        starts = starts_of(bins.number, code)
        code, bins = code[starts], regroup_at(bins, bins.number, starts)
        self._minutes.add(pv, names, code, bins)
        hours = bins.number // (UNITS[1] // UNITS[0])
        starts = starts_of(hours, code)
        self._hours.add(pv, names, code[starts], regroup_at(bins, hours, starts))

    def _flush(self) -> None:
        self._put(np.array([self._pv]), [self._name], np.zeros(len(self._held), np.int64), self._held)
        self._held = EMPTY

    def close(self, index: np.ndarray) -> None:
        """Put the files in place, durably, and enter in the segment's index where each PV's bins are."""
        self._flush()
        by_pv = np.argsort(index["pv"], kind="stable")
        for file, start, rows in ((self._minutes, "minute", "minutes"), (self._hours, "hour", "hours")):
            file.close()
            for pvs, begin, count in file.places:
                where = by_pv[np.searchsorted(index["pv"], pvs, sorter=by_pv)]
                index[start][where], index[rows][where] = begin, count

    def abandon(self) -> None:
        """Leave nothing behind."""
        self._minutes.abandon()
        self._hours.abandon()


class _BinFile:
    """One file of bins; it is made only when there is something to write."""

    def __init__(self, path: Path, unit: int) -> None:
        self.places: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        """PVs, the row at which the bins of each begin, and how many they are."""
        self._path = path
        self._part = path.with_suffix(".part")
        self._unit = unit
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[tuple[list[str], np.ndarray, Summary]] = []
        self._size = 0
        self._rows = 0

    def add(self, pv: np.ndarray, names: list[str], code: np.ndarray, bins: Summary) -> None:
        count = np.bincount(code, minlength=len(pv))
        samples = np.bincount(code, weights=bins.count, minlength=len(pv))
        chosen = (count > 0) & (samples >= FEWEST * count)
        if not chosen.any():
            return
        if not chosen.all():
            bins = bins[chosen[code]]
        count = count[chosen]
        self.places.append((pv[chosen], self._rows + self._size + np.cumsum(count) - count, count))
        self._waiting.append(([names[i] for i in np.flatnonzero(chosen).tolist()], count, bins))
        self._size += len(bins)
        if self._size >= GROUP:
            self._flush(last=False)

    def _flush(self, last: bool) -> None:
        """Write full row groups; the `last` one needn't be."""
        names = [name for some, _, _ in self._waiting for name in some]
        if not names:
            return
        counts = np.concatenate([count for _, count, _ in self._waiting])
        bins = concat([part for _, _, part in self._waiting])
        ends = np.cumsum(counts)
        start = first = 0
        while start < len(bins) and (last or len(bins) - start >= GROUP):
            fits = int(np.searchsorted(ends, start + GROUP, "right"))
            end = int(ends[fits - 1]) if fits > first else min(int(ends[first]), start + LARGE)
            until = max(fits, first + 1)
            lengths = np.minimum(ends[first:until], end) - np.maximum(ends[first:until] - counts[first:until], start)
            self._write(names[first:until], lengths, bins[start:end])
            start, first = end, int(np.searchsorted(ends, end, "right"))
        left = bins[start:]
        self._waiting, self._size = [], len(left)
        if len(left):
            counts = counts[first:].copy()
            counts[0] = int(ends[first]) - start
            self._waiting = [(names[first:], counts, left)]

    def _write(self, names: list[str], lengths: np.ndarray, bins: Summary) -> None:
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._part, SCHEMA, **_OPTIONS)
        columns: dict[str, Any] = {name: pa.array(getattr(bins, name)) for name in ("count", *_FLOATS, "severity")}
        codes = np.repeat(np.arange(len(names), dtype=np.int32), lengths)
        columns["pv"] = pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(names, pa.string()))
        columns["time"] = pa.array(bins.number * (self._unit * NS)).cast(_TIME)
        columns["first_time"] = pa.array(bins.first_ns).cast(_TIME)
        columns["last_time"] = pa.array(bins.last_ns).cast(_TIME)
        table = pa.Table.from_arrays([columns[name] for name in SCHEMA.names], schema=SCHEMA)
        self._writer.write_table(table, row_group_size=max(1, len(bins)))
        self._rows += len(bins)

    def close(self) -> None:
        self._flush(last=True)
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
