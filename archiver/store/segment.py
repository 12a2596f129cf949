"""A segment: samples of one kind in a Parquet file, sorted by (PV, time), and an index that says where each PV lies.

Columns: `pv` (the name), `time` (UTC, ns), `severity`, `status`, `value`. Any engine that reads Parquet reads them.
Times are delta-packed, floating-point values split by byte, both under zstd: some 8 bytes for a sample of noise.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from archiver.store.files import replace_file, sync_file
from archiver.store.samples import Dbr, Samples

ROW_GROUP = 1 << 17
"""Rows of a row group at most: what a query for a few samples must decode."""

EVENTS_KIND = "connection"

KINDS = [EVENTS_KIND, *(f"{dbr.name.lower()}{suffix}" for dbr in Dbr for suffix in ("", "_array"))]
"""Kinds of segment. The place in this list is the kind's bit in the channels table."""

INDEX = np.dtype([("pv", "<u4"), ("rows", "<u4"), ("start", "<u8"), ("oldest", "<i8"), ("newest", "<i8")])
"""One row per PV of a segment, sorted by id: its rows are `start` to `start + rows`, its times in ns."""

_ARROW = {
    Dbr.STRING: pa.string(),
    Dbr.SHORT: pa.int16(),
    Dbr.FLOAT: pa.float32(),
    Dbr.ENUM: pa.uint16(),
    Dbr.CHAR: pa.uint8(),
    Dbr.LONG: pa.int32(),
    Dbr.DOUBLE: pa.float64(),
}


def kind_of(dbr: Dbr, array: bool) -> str:
    """The segment kind of a type."""
    return f"{dbr.name.lower()}_array" if array else dbr.name.lower()


def type_of(kind: str) -> tuple[Dbr, bool]:
    """The type that a kind holds; connection events are CHAR scalars."""
    if kind == EVENTS_KIND:
        return Dbr.CHAR, False
    name, _, array = kind.partition("_")
    return Dbr[name.upper()], bool(array)


def arrow_type(kind: str) -> pa.DataType:
    """The Arrow type of a kind's value column."""
    dbr, array = type_of(kind)
    return pa.list_(_ARROW[dbr]) if array else _ARROW[dbr]


@dataclass(frozen=True)
class Table:
    """The content of a segment: PV runs one after the other, and the columns.

    `pv`: u4[k] ids, `names`: their names, `rows`: u8[k] run lengths; `time_ns`, `severity`, `status`: [n]; `values`:
    an Arrow array of n values.
    """

    kind: str
    pv: np.ndarray
    names: list[str]
    rows: np.ndarray
    time_ns: np.ndarray
    severity: np.ndarray
    status: np.ndarray
    values: pa.Array | pa.ChunkedArray


def write_segment(path: Path, kind: str, tables: Iterable[Table]) -> np.ndarray:
    """Write the Parquet file at `path` and its index, both durable under their final names; returns the index.

    `tables`: whole PVs each, together in the order of the PVs' names. Only one of them is in memory at a time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    indexes = []
    done = 0
    schema = pa.schema(
        [
            ("pv", pa.dictionary(pa.int32(), pa.string())),
            ("time", pa.timestamp("ns", tz="UTC")),
            ("severity", pa.uint8()),
            ("status", pa.uint8()),
            ("value", arrow_type(kind)),
        ]
    )
    try:
        with pq.ParquetWriter(part, schema, **_options(kind)) as writer:
            for table in tables:
                ends = np.cumsum(table.rows)
                starts = ends - table.rows
                for start, end in _groups(ends):
                    writer.write_table(_group(table, schema, starts, ends, start, end), row_group_size=end - start)
                index = np.zeros(len(table.pv), INDEX)
                index["pv"], index["rows"], index["start"] = table.pv, table.rows, starts + done
                index["oldest"], index["newest"] = table.time_ns[starts], table.time_ns[ends - 1]
                indexes.append(index)
                done += int(ends[-1])
        sync_file(part)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    index = np.concatenate(indexes)
    index = index[np.argsort(index["pv"])]
    save_index(index_path(path), index)
    return index


def _options(kind: str) -> dict:
    dbr, array = type_of(kind)
    value = "value.list.element" if array else "value"
    encoding = {"time": "DELTA_BINARY_PACKED"}
    dictionary = ["pv", "severity", "status"]
    if dbr in (Dbr.DOUBLE, Dbr.FLOAT):
        encoding[value] = "BYTE_STREAM_SPLIT"
    elif dbr in (Dbr.LONG, Dbr.SHORT):
        encoding[value] = "DELTA_BINARY_PACKED"
    else:
        dictionary.append(value)
    return {
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": dictionary,
        "column_encoding": encoding,
        "write_statistics": ["pv", "time"],
        "data_page_size": 1 << 18,
        "store_schema": False,
    }


def _groups(ends: np.ndarray) -> Iterator[tuple[int, int]]:
    """Row groups: whole PVs where they fit, so that few groups hold any one of them."""
    start, total = 0, int(ends[-1])
    while start < total:
        last = int(np.searchsorted(ends, start + ROW_GROUP, "right")) - 1
        end = int(ends[last]) if last >= 0 else 0
        if end <= start:
            end = min(start + ROW_GROUP, total)
        yield start, end
        start = end


def _group(table: Table, schema: pa.Schema, starts: np.ndarray, ends: np.ndarray, start: int, end: int) -> pa.Table:
    first, last = int(np.searchsorted(ends, start, "right")), int(np.searchsorted(starts, end, "left"))
    lengths = np.minimum(ends[first:last], end) - np.maximum(starts[first:last], start)
    codes = np.repeat(np.arange(last - first, dtype=np.int32), lengths)
    names = pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(table.names[first:last], pa.string()))
    return pa.Table.from_arrays(
        [
            names,
            pa.array(table.time_ns[start:end]).cast(pa.timestamp("ns", tz="UTC")),
            pa.array(table.severity[start:end]),
            pa.array(table.status[start:end]),
            table.values.slice(start, end - start),
        ],
        schema=schema,
    )


def index_path(path: Path) -> Path:
    """The index of the segment at `path`."""
    return path.with_suffix(".index.npy")


def save_index(path: Path, index: np.ndarray) -> None:
    """Put an index in place."""
    buffer = io.BytesIO()
    np.save(buffer, index, allow_pickle=False)
    replace_file(path, buffer.getvalue())


def load_index(path: Path) -> np.ndarray:
    """The index at `path`, mapped; ValueError when it isn't one."""
    index = np.load(path, mmap_mode="r", allow_pickle=False)
    if index.dtype != INDEX or index.ndim != 1:
        raise ValueError(f"{path} is no index of a segment")
    return index


def to_numpy(values: pa.Array, dbr: Dbr, array: bool) -> np.ndarray:
    """Arrow values of a segment as `Samples.values` has them."""
    if not array:
        return values.to_numpy(zero_copy_only=dbr is not Dbr.STRING)
    offsets = values.offsets.to_numpy()
    flat = values.values.to_numpy(zero_copy_only=dbr is not Dbr.STRING)
    return stack(flat, offsets)


def stack(flat: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Rows flat[offsets[i]:offsets[i+1]]: (n, count) where all are equally long, else an object array of n arrays."""
    lengths = np.diff(offsets)
    n = len(lengths)
    if n and (lengths == lengths[0]).all():
        return flat[offsets[0] : offsets[-1]].reshape(n, int(lengths[0]))
    ragged = np.empty(n, object)
    for i in range(n):
        ragged[i] = flat[offsets[i] : offsets[i + 1]]
    return ragged


class SegmentFile:
    """An open segment, for reading. One thread at a time."""

    def __init__(self, path: Path, kind: str) -> None:
        self.kind = kind
        self.dbr, self.array = type_of(kind)
        self._file = pq.ParquetFile(path, memory_map=True)
        meta = self._file.metadata
        counts = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
        self._ends = np.cumsum(counts, dtype=np.int64) if counts else np.zeros(0, np.int64)
        self.rows = int(self._ends[-1]) if counts else 0

    def group_times(self, group: int) -> tuple[int, int] | None:
        """Oldest and newest time (ns) in a row group by its statistics."""
        statistics = self._file.metadata.row_group(group).column(1).statistics
        if statistics is None or not statistics.has_min_max:
            return None
        low, high = statistics.min_raw, statistics.max_raw
        return int(low), int(high)

    def read(self, start: int, rows: int, from_ns: int, to_ns: int) -> Iterator[Samples]:
        """The samples of one PV run (`start`, `rows`) from the newest at or before `from_ns` on up to `to_ns`."""
        first = int(np.searchsorted(self._ends, start, "right"))
        last = int(np.searchsorted(self._ends, start + rows - 1, "right"))
        groups = list(range(first, last + 1))
        if len(groups) > 2:
            groups = self._prune(groups, from_ns, to_ns)
        for group in groups:
            begin = int(self._ends[group - 1]) if group else 0
            table = self._file.read_row_group(group, columns=["time", "severity", "status", "value"])
            low, high = max(start - begin, 0), min(start + rows - begin, table.num_rows)
            table = table.slice(low, high - low).combine_chunks()
            time_ns = table.column("time").chunk(0).cast(pa.int64()).to_numpy()
            low = max(int(np.searchsorted(time_ns, from_ns, "right")) - 1, 0)
            high = int(np.searchsorted(time_ns, to_ns, "right"))
            if high <= low:
                continue
            part = slice(low, high)
            yield Samples(
                self.dbr,
                self.array,
                time_ns[part],
                table.column("severity").chunk(0).to_numpy()[part],
                table.column("status").chunk(0).to_numpy()[part].astype(np.uint16),
                to_numpy(table.column("value").chunk(0).slice(low, high - low), self.dbr, self.array),
            )

    def _prune(self, groups: list[int], from_ns: int, to_ns: int) -> list[int]:
        """Inner groups hold this PV alone, so their times ascend: cut off those wholly before or after the window."""
        kept: list[int] = []
        for group in groups:
            times = self.group_times(group) if group not in (groups[0], groups[-1]) else None
            if times is not None and times[0] > to_ns:
                continue
            if times is not None and times[0] <= from_ns:
                # it has a sample at or before the start, so nothing earlier is needed
                kept.clear()
            kept.append(group)
        return kept

    def rows_between(self, start: int, end: int) -> pa.Table:
        """The columns time, severity, status and value of the rows `start` to `end` (end excluded)."""
        first = int(np.searchsorted(self._ends, start, "right"))
        last = int(np.searchsorted(self._ends, end - 1, "right"))
        begin = int(self._ends[first - 1]) if first else 0
        table = self._file.read_row_groups(list(range(first, last + 1)), ["time", "severity", "status", "value"])
        return table.slice(start - begin, end - start)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
