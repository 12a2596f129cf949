"""Samples in Arrow."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from archiver.store.samples import Samples
from archiver.store.segment import arrow_type, kind_of

BATCH = pa.schema([("time", pa.timestamp("ns", tz="UTC")), ("severity", pa.uint8()), ("status", pa.uint16())])
"""What comes before the value in a batch of samples."""


def batch_of(samples: Samples) -> pa.RecordBatch:
    """Samples as a record batch of `StoreReader.read_arrow`."""
    kind = arrow_type(kind_of(samples.dbr, samples.array))
    values = samples.values
    if samples.array and values.ndim == 2:
        offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
        column = pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.reshape(-1))).cast(kind)
    else:
        column = pa.array(values.tolist() if samples.array else values, kind)
    return pa.RecordBatch.from_arrays(
        [
            pa.array(samples.time_ns).cast(BATCH.field(0).type),
            pa.array(samples.severity),
            pa.array(samples.status.astype(np.uint16)),
            column,
        ],
        schema=BATCH.append(pa.field("value", kind)),
    )
