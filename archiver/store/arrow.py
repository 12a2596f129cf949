"""Arrow columns in numpy."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def numbers(column: pa.Array) -> np.ndarray:
    """A view of an array of numbers or times in numpy (times as i8); ValueError when it has nulls.

    pyarrow's own way imports pandas, where there is one, which takes longer than most queries.
    """
    if column.null_count:
        raise ValueError("a column with nulls")
    dtype = np.dtype(np.int64 if pa.types.is_timestamp(column.type) else column.type.to_pandas_dtype())
    if not len(column):
        return np.zeros(0, dtype)
    return np.frombuffer(column.buffers()[1], dtype, len(column), column.offset * dtype.itemsize)
