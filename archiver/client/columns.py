"""Samples as Arrow: the columns every answer has, and one type for a PV that has changed its own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

SCHEMA = ("time", "value", "severity", "status")
"""time: timestamp[ns, UTC]; value: the PV's type; severity: u1; status: u2."""

TIME = pa.timestamp("ns", "UTC")


def in_order(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The columns in the order of SCHEMA, in their types."""
    return pa.RecordBatch.from_arrays(
        [
            batch.column("time").cast(TIME),
            batch.column("value"),
            batch.column("severity").cast(pa.uint8()),
            batch.column("status").cast(pa.uint16()),
        ],
        list(SCHEMA),
    )


def common_type(types: Iterable[pa.DataType]) -> pa.DataType:
    """The narrowest type that holds values of all these; texts hold everything. Doubles when there is none."""
    left = list(dict.fromkeys(types))
    if not left:
        return pa.float64()
    if len(left) == 1:
        return left[0]
    arrays = [pa.types.is_list(t) for t in left]
    if any(arrays):
        return pa.list_(common_type(t.value_type if pa.types.is_list(t) else t for t in left))
    if any(not (pa.types.is_integer(t) or pa.types.is_floating(t)) for t in left):
        return pa.string()
    # no whole number of Channel Access has more than 32 bits
    return pa.float64() if any(pa.types.is_floating(t) for t in left) else pa.int32()


def cast(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Values in the type that `common_type` found: a scalar becomes an array of one, anything becomes a text."""
    if values.type == kind:
        return values
    if pa.types.is_list(kind) and not pa.types.is_list(values.type):
        offsets = pa.array(range(len(values) + 1), pa.int32())
        return pa.ListArray.from_arrays(offsets, cast(values, kind.value_type))
    if pa.types.is_string(kind) and pa.types.is_list(values.type):
        return pa.array([json.dumps(v) for v in values.to_pylist()], pa.string())
    return values.cast(kind)


def batch_as(batch: pa.RecordBatch, kind: pa.DataType) -> pa.RecordBatch:
    """The batch with values of this type."""
    if batch.column("value").type == kind:
        return batch
    place = batch.schema.get_field_index("value")
    return batch.set_column(place, pa.field("value", kind), cast(batch.column("value"), kind))


def schema_of(kind: pa.DataType, metadata: Mapping[str, str] | None = None) -> pa.Schema:
    """The schema of samples of one type."""
    fields = [("time", TIME), ("value", kind), ("severity", pa.uint8()), ("status", pa.uint16())]
    return pa.schema(fields, dict(metadata) if metadata else None)


def table_of(
    batches: Sequence[pa.RecordBatch], metadata: Mapping[str, str], kind: pa.DataType | None = None
) -> pa.Table:
    """One table of all batches; `metadata` is in its schema. `kind`: the type of values when there is no batch."""
    types = [batch.column("value").type for batch in batches]
    found = common_type(types) if types else kind or pa.float64()
    schema = schema_of(found)
    table = pa.Table.from_batches([batch_as(batch, found) for batch in batches], schema)
    return table.replace_schema_metadata(dict(metadata))


def states(metadata: Mapping[str, str]) -> dict[int, str]:
    """The names of an enum's states, by number."""
    return {int(k[5:]): v for k, v in metadata.items() if k.startswith("ENUM_") and k[5:].isdecimal()}


def state_column(values: pa.Array | pa.ChunkedArray, metadata: Mapping[str, str]) -> pa.Array | pa.ChunkedArray:
    """The names of an enum's values, null where a state has none."""
    import pyarrow.compute as pc

    names = states(metadata)
    labels = [names.get(n) for n in range(max(names, default=-1) + 1)]
    if not labels:
        return pa.nulls(len(values), pa.string())
    known = pc.if_else(pc.less(values, len(labels)), values, None)  # type: ignore[attr-defined]
    return pa.array(labels, pa.string()).take(known)
