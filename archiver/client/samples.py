"""Events of PB/HTTP as the store has samples."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from archiver.client.raw import Block
from archiver.store.samples import Dbr, Samples
from archiver.store.segmentfile import stack


def samples_of(block: Block, notes: bool = False) -> Samples:
    """A block as the store has samples; with `notes`, the field values that came with events are the samples' notes."""
    payload = block.header.payload
    dbr, array = Dbr(payload % 7), payload >= 7
    noted = (block.fields or None) if notes else None
    return Samples(dbr, array, block.time_ns, block.severity, block.status, _numpy(block.values, array), noted)


def _numpy(values: pa.Array, array: bool) -> np.ndarray:
    if not array:
        return values.to_numpy(zero_copy_only=False)
    return stack(values.values.to_numpy(zero_copy_only=False), values.offsets.to_numpy())
