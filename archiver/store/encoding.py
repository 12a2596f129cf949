"""How columns are encoded: by trial, for each row group anew, in what every engine that reads Parquet understands.

Times are delta-packed: what is left of them is the jitter of whatever stamps them. Values that repeat (states, texts,
quantised voltages) go into a dictionary; floating-point values that don't are split by byte, so that the bytes of sign,
exponent and upper mantissa, which hardly change, lie side by side. All is under zstd.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from archiver.store.samples import Dbr

SAMPLE = 2048
"""Values by which it is guessed how often they repeat."""

FEW, MANY = 0.03, 0.7
"""Different values in a sample: of fewer a dictionary is right, of more it isn't. In between both ways are tried."""

DICTIONARY = "DICTIONARY"


def encode(group: pa.Table, dbr: Dbr, array: bool, tight: bool) -> pa.Buffer:
    """A Parquet file of the one row group `group` (columns pv, time, severity, status, value).

    `tight`: take the time to find the smallest encoding, for what will lie long.
    """
    level = 3 if tight else 1
    plans = {"time": "DELTA_BINARY_PACKED", "pv": DICTIONARY, "severity": DICTIONARY, "status": DICTIONARY}
    value = "value.list.element" if array else "value"
    plans[value] = _plan(group.column("value"), dbr, array, level) if tight else _usual(dbr)
    if tight and _repeats(group.column("time").cast(pa.int64()).to_numpy()) < FEW + 0.5:
        # PVs that are stamped together share their times
        plans["time"] = _smallest("time", group.column("time"), ("DELTA_BINARY_PACKED", DICTIONARY), level)
    return _write(group, plans, level, ["pv", "time", "severity", "status"])


def _usual(dbr: Dbr) -> str:
    if dbr in (Dbr.DOUBLE, Dbr.FLOAT):
        return "BYTE_STREAM_SPLIT"
    if dbr in (Dbr.LONG, Dbr.SHORT):
        return "DELTA_BINARY_PACKED"
    return DICTIONARY


def _plan(column: pa.ChunkedArray, dbr: Dbr, array: bool, level: int) -> str:
    usual = _usual(dbr)
    if usual == DICTIONARY:
        return usual
    flat = column.combine_chunks()
    if isinstance(flat, pa.ChunkedArray):
        flat = pa.concat_arrays(flat.chunks)
    if array:
        flat = flat.flatten()
    if not len(flat):
        return usual
    share = _repeats(flat.to_numpy())
    if share < FEW:
        return DICTIONARY
    if share > MANY:
        return usual
    return _smallest("value", pa.chunked_array([flat]), (usual, DICTIONARY), level)


def _repeats(values: np.ndarray) -> float:
    """The share of different values in a sample."""
    some = values[:: max(1, len(values) // SAMPLE)]
    return len(np.unique(some)) / len(some)


def _smallest(name: str, column: pa.ChunkedArray, ways: tuple[str, ...], level: int) -> str:
    table = pa.Table.from_arrays([column], names=[name])
    sizes = {way: _write(table, {name: way}, level, []).size for way in ways}
    return min(ways, key=lambda way: sizes[way])


def _write(table: pa.Table, plans: dict[str, str], level: int, statistics: list[str]) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    dictionary: Any = [name for name, plan in plans.items() if plan == DICTIONARY] or False
    ranges: Any = statistics or False
    pq.write_table(
        table,
        sink,
        row_group_size=max(1, table.num_rows),
        compression="zstd",
        compression_level=level,
        use_dictionary=dictionary,
        column_encoding={name: plan for name, plan in plans.items() if plan != DICTIONARY} or None,
        write_statistics=ranges,
        dictionary_pagesize_limit=1 << 22,
        data_page_size=1 << 20,
        store_schema=False,
    )
    return sink.getvalue()
