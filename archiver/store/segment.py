"""A segment: samples of one kind in a Parquet file, sorted by (PV, time), and an index that says where each PV lies.

Columns: `pv` (the name), `time` (UTC, ns), `severity`, `status`, `value`. Any engine that reads Parquet reads them. The
index is there for speed and can be made anew from the file; so can the summaries (see `archiver.store.sidecar`).
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError

import numpy as np
import pyarrow as pa

from archiver.store.encoding import encode
from archiver.store.files import replace_file, sync_file
from archiver.store.parquet import RowGroupWriter
from archiver.store.samples import VALUE_DTYPES, Dbr
from archiver.store.sidecar import SummaryWriter

ROW_GROUP = 1 << 17
"""Rows of a row group at most: what a query for a few samples must decode."""

GROUP_BYTES = 8 << 20
"""Bytes of array elements in a row group at most, unless one array alone has more."""

EVENTS_KIND = "connection"

KINDS = [EVENTS_KIND, *(f"{dbr.name.lower()}{suffix}" for dbr in Dbr for suffix in ("", "_array"))]
"""Kinds of segment. The place in this list is the kind's bit in the channels table."""

INDEX = np.dtype(
    [
        ("pv", "<u4"),
        ("rows", "<u4"),
        ("start", "<u8"),
        ("oldest", "<i8"),
        ("newest", "<i8"),
        ("value", "<f8"),
        ("severity", "u1"),
        ("status", "u1"),
        ("known", "u1"),
        ("spare", "u1"),
        ("count", "<u4"),
        ("minute", "<u4"),
        ("minutes", "<u4"),
        ("hour", "<u4"),
        ("hours", "<u4"),
    ]
)
"""One row per PV of a segment, sorted by id: its rows are `start` to `start + rows`, its times in ns.

Of its newest sample there are `severity`, `status`, `count` (its elements) and, of scalar numbers, `value`, if `known`
is 1. Its bins in the summaries are `minute` to `minute + minutes` and `hour` to `hour + hours`; it may have none there.
"""

_INDEX_1 = np.dtype(INDEX.descr[:5])
"""The index of a segment in an archive of version 1."""

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


def write_segment(
    path: Path, kind: str, tables: Iterable[Table], summaries: bool = False, tight: bool | None = None
) -> np.ndarray:
    """Write the Parquet file at `path` and its index, both durable under their final names; returns the index.

    `tables`: in the order of the PVs' names, each PV's rows ascending in time; a PV may go on in the next table. Only
    one of them is in memory at a time. `summaries`: write the summaries of numbers as well, where they are worth it.
    `tight`: take the time for the smallest encoding; None: when there are summaries.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    tight = summaries if tight is None else tight
    dbr, array = type_of(kind)
    beside = SummaryWriter(path) if summaries and kind != EVENTS_KIND and not array and dbr is not Dbr.STRING else None
    indexes: list[np.ndarray] = []
    done = 0
    try:
        with open(part, "wb") as file:
            writer = RowGroupWriter(file)
            for table in tables:
                if not len(table.pv):
                    continue
                ends = np.cumsum(table.rows.astype(np.int64))
                starts = ends - table.rows.astype(np.int64)
                for start, end in _groups(ends, table.values, dbr, array):
                    writer.add(encode(_group(table, starts, ends, start, end), dbr, array, tight))
                index = _index(table, starts, ends, done)
                if indexes and indexes[-1]["pv"][-1] == index["pv"][0]:
                    # the PV that the table before ended with goes on
                    index["rows"][0] += indexes[-1]["rows"][-1]
                    index["start"][0], index["oldest"][0] = indexes[-1]["start"][-1], indexes[-1]["oldest"][-1]
                    indexes[-1] = indexes[-1][:-1]
                    if not len(indexes[-1]):
                        indexes.pop()
                indexes.append(index)
                if beside is not None:
                    beside.add(table.pv, table.names, ends, table.time_ns, table.severity, _numbers(table.values))
                done += int(ends[-1])
            if not done:
                writer.add(encode(_group(_nothing(kind), np.zeros(0, int), np.zeros(0, int), 0, 0), dbr, array, False))
            writer.close()
        sync_file(part)
        index = np.concatenate(indexes) if indexes else np.zeros(0, INDEX)
        if beside is not None:
            beside.close(index)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        if beside is not None:
            beside.abandon()
        raise
    index = index[np.argsort(index["pv"], kind="stable")]
    save_index(index_path(path), index)
    return index


def _index(table: Table, starts: np.ndarray, ends: np.ndarray, done: int) -> np.ndarray:
    """The index of the PVs of a table that begins at row `done` of the file."""
    index = np.zeros(len(table.pv), INDEX)
    index["pv"], index["rows"], index["start"] = table.pv, table.rows, starts + done
    index["oldest"], index["newest"] = table.time_ns[starts], table.time_ns[ends - 1]
    index["severity"], index["status"] = table.severity[ends - 1], table.status[ends - 1]
    index["count"] = 1
    last = table.values.take(pa.array(ends - 1))
    if pa.types.is_list(last.type):
        index["count"] = _lengths(last)
    elif not pa.types.is_string(last.type):
        index["value"], index["known"] = _numbers(last), 1
    return index


def _numbers(values: pa.Array | pa.ChunkedArray) -> np.ndarray:
    return values.to_numpy() if isinstance(values, pa.ChunkedArray) else values.to_numpy(zero_copy_only=False)


def _nothing(kind: str) -> Table:
    none = np.zeros(0, np.uint8)
    return Table(kind, none, [], none, np.zeros(0, np.int64), none, none, pa.array([], arrow_type(kind)))


def _groups(ends: np.ndarray, values: pa.Array | pa.ChunkedArray, dbr: Dbr, array: bool) -> Iterator[tuple[int, int]]:
    """Row groups: whole PVs where they fit, so that few groups hold any one of them."""
    elements = np.concatenate(([0], np.cumsum(_lengths(values)))) if array else None
    limit = GROUP_BYTES // VALUE_DTYPES[dbr].itemsize
    start, total = 0, int(ends[-1])
    while start < total:
        most = min(start + ROW_GROUP, total)
        if elements is not None:
            fits = int(np.searchsorted(elements, elements[start] + limit, "right")) - 1
            most = max(start + 1, min(most, fits))
        last = int(np.searchsorted(ends, most, "right")) - 1
        end = int(ends[last]) if last >= 0 else 0
        if end <= start:
            end = most
        yield start, end
        start = end


def _lengths(values: pa.Array | pa.ChunkedArray) -> np.ndarray:
    chunks = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
    return np.concatenate([chunk.value_lengths().to_numpy(zero_copy_only=False) for chunk in chunks]).astype(np.int64)


def _group(table: Table, starts: np.ndarray, ends: np.ndarray, start: int, end: int) -> pa.Table:
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
        names=["pv", "time", "severity", "status", "value"],
    )


def index_path(path: Path) -> Path:
    """The index of the segment at `path`."""
    return path.with_suffix(".index.npy")


def save_index(path: Path, index: np.ndarray) -> None:
    """Put an index in place."""
    buffer = io.BytesIO()
    np.save(buffer, index, allow_pickle=False)
    replace_file(path, buffer.getvalue())


def load_index(source: Path | bytes | pa.Buffer) -> np.ndarray:
    """The index in a file or in a file's content; ValueError when it isn't one.

    That of an archive of version 1 has no newest samples and no summaries.
    """
    buffer = pa.py_buffer(source.read_bytes() if isinstance(source, Path) else source)
    file = io.BytesIO(memoryview(buffer)[:4096])
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file, max_header_size=4096)
    except (ValueError, EOFError, SyntaxError, TokenError) as error:
        raise ValueError("no index of a segment") from error
    if dtype not in (INDEX, _INDEX_1) or len(shape) != 1 or file.tell() + shape[0] * dtype.itemsize != len(buffer):
        raise ValueError("no index of a segment")
    index = np.frombuffer(buffer, dtype, shape[0], file.tell())
    if dtype == INDEX:
        return index
    upgraded = np.zeros(len(index), INDEX)
    for name in _INDEX_1.names or ():
        upgraded[name] = index[name]
    return upgraded
