"""Export into MATLAB's .mat (version 5): a struct per PV.

NAME.pv, NAME.units       texts
NAME.time_ns              int64 n×1, nanoseconds since 1970 UTC
NAME.datenum              double n×1, days as MATLAB counts them (UTC, good to some 10 us)
NAME.value                n×1, or n×m for arrays of one length; a cell array for texts and for arrays of several lengths
NAME.severity, .status    uint8, uint16 n×1
NAME.metadata             struct of texts: EGU, PREC, ENUM_0, …
archive                   struct: from, to, source, operator

A version-5 file ends at 2 GiB; more is refused before it is written. PVs' names are as MATLAB takes them: what is no
letter, digit or `_` becomes `_`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.io import savemat

from archiver.client.access import Reading
from archiver.client.columns import table_of
from archiver.exchange.sinks import ExportError, Names, Window

LIMIT = (1 << 31) - (1 << 20)
"""Bytes that a file can have."""
DAY_NS = 86400 * 1_000_000_000
EPOCH_DATENUM = 719529.0
"""1970-01-01 in days as MATLAB counts them."""


class MatlabSink:
    """Everything is kept in memory until the end: the format wants each struct as a whole."""

    def __init__(self, path: Path, window: Window) -> None:
        self._path = path
        self._content: dict[str, Any] = {"archive": window.attributes()}
        self._names = Names("A-Za-z0-9_", 63, "x")
        self._names.of("archive")
        self._bytes = 0

    def add(self, reading: Reading, count: Callable[[int], None]) -> None:
        """All samples of a PV."""
        batches = []
        for batch in reading.batches:
            self._bytes += batch.nbytes + 8 * len(batch)  # and datenum
            if self._bytes > LIMIT:
                raise ExportError(
                    f"a .mat file ends at 2 GiB, and with {reading.name} it is full: "
                    "ask for less time, fewer PVs or an operator such as mean_60, or export to HDF5, which MATLAB reads"
                )
            batches.append(batch)
            count(len(batch))
        table = table_of(batches, {}).combine_chunks()
        time_ns = table.column("time").cast(pa.int64()).to_numpy()
        self._content[self._names.of(reading.name)] = {
            "pv": reading.name,
            "units": reading.metadata.get("EGU", ""),
            "time_ns": time_ns.reshape(-1, 1),
            "datenum": (time_ns // DAY_NS + EPOCH_DATENUM + time_ns % DAY_NS / DAY_NS).reshape(-1, 1),
            "value": _value(table.column("value")),
            "severity": table.column("severity").to_numpy().reshape(-1, 1),
            "status": table.column("status").to_numpy().reshape(-1, 1),
            "metadata": _struct(reading.metadata),
        }

    def close(self) -> None:
        """Write the file."""
        with open(self._path, "wb") as file:
            savemat(file, self._content, format="5", do_compression=True, long_field_names=True, oned_as="column")

    def abandon(self) -> None:
        """Nothing is written."""
        self._content.clear()


def _struct(metadata: dict[str, str]) -> dict[str, str]:
    names = Names("A-Za-z0-9_", 63, "x")
    return {names.of(key): value for key, value in metadata.items()}


def _value(column: pa.ChunkedArray) -> np.ndarray:
    kind = column.type
    if pa.types.is_list(kind):
        rows = column.to_pylist() if pa.types.is_string(kind.value_type) else None
        if rows is None:
            chunks = [chunk for chunk in column.chunks if len(chunk)]
            lengths = {int(n) for chunk in chunks for n in np.unique(np.diff(chunk.offsets.to_numpy()))}
            if len(lengths) == 1:
                flat = np.concatenate([chunk.flatten().to_numpy() for chunk in chunks])
                return flat.reshape(len(column), lengths.pop())
            rows = [row.values.to_numpy() for chunk in chunks for row in chunk]
        cells = np.empty((len(rows), 1), object)
        for n, row in enumerate(rows):
            cells[n, 0] = np.array(row, object) if isinstance(row, list) else row
        return cells
    if pa.types.is_string(kind):
        cells = np.empty((len(column), 1), object)
        cells[:, 0] = column.to_pylist()
        return cells
    return column.to_numpy().reshape(-1, 1)
