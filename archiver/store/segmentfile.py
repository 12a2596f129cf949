"""Reading a segment: the samples of one PV out of its Parquet file, or of many at one moment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from archiver.store.arrow import numbers
from archiver.store.batches import BATCH
from archiver.store.samples import Dbr, Samples
from archiver.store.segment import arrow_type, type_of

COLUMNS = ["time", "severity", "status", "value"]
SMALL = ("severity", "status")
"""Columns of bytes that are mostly the same for long."""

KEPT_BYTES = 4 << 20
"""Of the row group that was read last; a larger one holds few PVs."""


class SegmentFile:
    """An open segment, for reading. One thread at a time.

    `source`: its path, or a file as a place opens it. ArrowException, ValueError or OSError when it is none.
    """

    def __init__(self, source: Path | Any, kind: str) -> None:
        self.kind = kind
        self.dbr, self.array = type_of(kind)
        self._kept_group = -1
        self._kept: dict[str, pa.Array] = {}
        self._source = pa.memory_map(str(source), "r") if isinstance(source, Path) else source
        try:
            self._file = pq.ParquetFile(self._source)
            if not set(COLUMNS) <= set(self._file.schema_arrow.names):
                raise ValueError("it has not the columns of a segment")
        except BaseException:
            self._source.close()
            raise
        meta = self._file.metadata
        self._time = self._file.schema_arrow.get_field_index("time")
        counts = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
        self.ends = np.cumsum(counts, dtype=np.int64) if counts else np.zeros(0, np.int64)
        self.rows = int(self.ends[-1]) if counts else 0

    def group_times(self, group: int) -> tuple[int, int] | None:
        """Oldest and newest time (ns) in a row group by its statistics."""
        statistics = self._file.metadata.row_group(group).column(self._time).statistics
        if statistics is None or not statistics.has_min_max:
            return None
        low, high = statistics.min_raw, statistics.max_raw
        return int(low), int(high)

    def group_of(self, rows: np.ndarray | int) -> np.ndarray:
        """The row groups in which rows lie. ValueError for a row that isn't there: the index is another file's."""
        groups = np.searchsorted(self.ends, rows, "right")
        if np.any(groups >= len(self.ends)):
            raise ValueError(f"it has only {self.rows} rows")
        return groups

    def begin(self, group: int) -> int:
        """The first row of a row group."""
        return int(self.ends[group - 1]) if group else 0

    def columns(self, group: int, names: list[str]) -> list[pa.Array]:
        """Some columns of a row group.

        A small group is kept until another one is asked for: a request for many PVs finds theirs side by side in it.
        """
        if group != self._kept_group:
            self._kept_group, self._kept = group, {}
        missing = [name for name in names if name not in self._kept]
        if not missing:
            return [self._kept[name] for name in names]
        read = {name: column for name in missing if (column := self._constant(group, name)) is not None}
        table = self._file.read_row_group(group, columns=[name for name in missing if name not in read])
        read |= {name: _flat(table.column(name)) for name in missing if name not in read}
        found = [read[name] if name in read else self._kept[name] for name in names]
        if sum(column.nbytes for column in (*read.values(), *self._kept.values())) <= KEPT_BYTES:
            self._kept |= read
        return found

    def _constant(self, group: int, name: str) -> pa.Array | None:
        """A column of a row group whose statistics say that all of it is the same; None when they don't."""
        if name not in SMALL:
            return None
        meta = self._file.metadata.row_group(group)
        statistics = meta.column(self._file.schema_arrow.get_field_index(name)).statistics
        if statistics is None or not statistics.has_min_max or statistics.min_raw != statistics.max_raw:
            return None
        return pa.array(np.full(meta.num_rows, statistics.min_raw, np.uint8))

    def batches(self, start: int, rows: int, from_ns: int, to_ns: int) -> Iterator[pa.RecordBatch]:
        """The samples of one PV run (`start`, `rows`) from the newest at or before `from_ns` on up to `to_ns`.

        One batch (see `BATCH`) for each row group that has any.
        """
        groups = self.groups(start, rows, from_ns, to_ns)
        for group in groups:
            begin = self.begin(group)
            low, high = max(start - begin, 0), min(start + rows, int(self.ends[group])) - begin
            if len(groups) <= 2:
                # at the edge of a window most groups have nothing of it: look at the times before all else
                time_ns = numbers(self.columns(group, ["time"])[0])[low:high]
                if not window_rows(time_ns, from_ns, to_ns)[1]:
                    continue
            columns = self.columns(group, COLUMNS)
            time_ns = numbers(columns[0])[low:high]
            skip, count = window_rows(time_ns, from_ns, to_ns)
            if count:
                yield self._batch([column.slice(low + skip, count) for column in columns])

    def _batch(self, columns: list[pa.Array]) -> pa.RecordBatch:
        time, severity, status, value = columns
        arrays = [time.cast(BATCH.field(0).type), severity, status.cast(pa.uint16()), value]
        return pa.RecordBatch.from_arrays(arrays, schema=BATCH.append(pa.field("value", arrow_type(self.kind))))

    def read(self, start: int, rows: int, from_ns: int, to_ns: int) -> Iterator[Samples]:
        """As `batches`, in numpy."""
        for batch in self.batches(start, rows, from_ns, to_ns):
            yield samples_of_batch(batch, self.dbr, self.array)

    def groups(self, start: int, rows: int, from_ns: int, to_ns: int) -> list[int]:
        """The row groups of a run that have samples of a window, as far as can be told without reading them."""
        first, last = self.group_of(np.array([start, start + rows - 1])).tolist()
        groups = list(range(first, last + 1))
        return self._prune(groups, from_ns, to_ns) if len(groups) > 2 else groups

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

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._source.close()


def window_rows(time_ns: np.ndarray, from_ns: int, to_ns: int) -> tuple[int, int]:
    """First row and number of rows of what a window needs of ascending times."""
    low = max(int(np.searchsorted(time_ns, from_ns, "right")) - 1, 0)
    return low, max(0, int(np.searchsorted(time_ns, to_ns, "right")) - low)


def _flat(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def samples_of_batch(batch: pa.RecordBatch, dbr: Dbr, array: bool) -> Samples:
    """A batch as samples."""
    return Samples(
        dbr,
        array,
        numbers(batch.column(0)),
        numbers(batch.column(1)),
        numbers(batch.column(2)),
        to_numpy(batch.column(3), dbr, array),
    )


def to_numpy(values: pa.Array, dbr: Dbr, array: bool) -> np.ndarray:
    """Arrow values of a segment as `Samples.values` has them."""
    if not array:
        return values.to_numpy(zero_copy_only=False) if dbr is Dbr.STRING else numbers(values)
    offsets = numbers(values.offsets)
    flat = values.values.to_numpy(zero_copy_only=False) if dbr is Dbr.STRING else numbers(values.values)
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
