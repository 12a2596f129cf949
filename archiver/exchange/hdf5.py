"""Export into HDF5: a group per PV.

/NAME                attributes: pv, units, EGU, PREC, limits, DESC and so on (texts); states (an enum's names)
/NAME/time_ns        i8[n], nanoseconds since 1970 UTC
/NAME/value          [n] of the PV's type (text as UTF-8), or [n, longest] for arrays
/NAME/length         u4[n], elements of each array, where they are not all equally long; the rest of a row is filler
/NAME/severity       u1[n]
/NAME/status         u2[n]

`/` in a name becomes `|`. A PV that changed its type goes on in NAME#2 and so on. Attributes of the file: format,
version, from, to, source, operator.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa

from archiver.client.access import Reading
from archiver.client.columns import states
from archiver.exchange.sinks import FORMAT, VERSION, Window

CHUNK = 1 << 14
"""Samples of a chunk of scalars."""
CHUNK_BYTES = 1 << 20
"""Bytes of a chunk of arrays, about."""


class Hdf5Sink:
    """An HDF5 file that grows PV by PV, and batch by batch."""

    def __init__(self, path: Path, window: Window) -> None:
        self._file = h5py.File(path, "w", libver=("earliest", "v110"))
        self._file.attrs.update({"format": FORMAT, "version": VERSION, **window.attributes()})

    def add(self, reading: Reading, count: Callable[[int], None]) -> None:
        """All samples of a PV."""
        number = 0
        group: _Group | None = None
        for batch in reading.batches:
            if not len(batch):
                continue
            if group is None or group.kind != batch.column("value").type:
                number += 1
                group = _Group(self._group(reading, number), batch.column("value").type)
            group.add(batch)
            count(len(batch))
        if group is None:
            _Group(self._group(reading, 1), pa.float64())

    def _group(self, reading: Reading, number: int) -> h5py.Group:
        name = reading.name.replace("/", "|")
        name = f"{name}#{number}" if number > 1 or name in (".", "..") else name
        while name in self._file:
            name += "_"
        group = self._file.create_group(name)
        group.attrs["pv"] = reading.name
        for key, value in reading.metadata.items():
            group.attrs[key] = value
        group.attrs["units"] = reading.metadata.get("EGU", "")
        if labels := states(reading.metadata):
            names = [labels.get(n, "") for n in range(max(labels) + 1)]
            group.attrs.create("states", names, dtype=h5py.string_dtype())
        return group

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    abandon = close


class _Group:
    """The datasets of one PV in one type."""

    def __init__(self, group: h5py.Group, kind: pa.DataType) -> None:
        self.kind = kind
        self._array = pa.types.is_list(kind)
        element = kind.value_type if self._array else kind
        self._text = pa.types.is_string(element)
        self._dtype: Any = h5py.string_dtype() if self._text else element.to_pandas_dtype()
        self._group = group
        self._rows = 0
        self._width = 0
        self._length: h5py.Dataset | None = None
        self._columns = {
            name: self._dataset(name, dtype)
            for name, dtype in (("time_ns", "i8"), ("severity", "u1"), ("status", "u2"))
        }
        self._value = None if self._array else self._dataset("value", self._dtype)

    def _dataset(self, name: str, dtype: Any) -> h5py.Dataset:
        return self._group.create_dataset(
            name, (0,), dtype, maxshape=(None,), chunks=(CHUNK,), compression="gzip", compression_opts=4, shuffle=True
        )

    def add(self, batch: pa.RecordBatch) -> None:
        """More samples."""
        start, self._rows = self._rows, self._rows + len(batch)
        columns = {
            "time_ns": batch.column("time").cast(pa.int64()).to_numpy(),
            "severity": batch.column("severity").to_numpy(),
            "status": batch.column("status").to_numpy(),
        }
        for name, data in columns.items():
            self._columns[name].resize((self._rows,))
            self._columns[name][start:] = data
        if self._array:
            self._arrays(batch.column("value"), start)
        elif self._value is not None:
            self._value.resize((self._rows,))
            self._value[start:] = batch.column("value").to_numpy(zero_copy_only=False)

    def _arrays(self, values: pa.ListArray, start: int) -> None:
        lengths = np.diff(values.offsets.to_numpy()).astype(np.uint32)
        width = int(lengths.max(initial=0))
        element = 16 if self._text else np.dtype(self._dtype).itemsize
        if self._value is None:
            rows = max(1, min(CHUNK, CHUNK_BYTES // max(1, width * element)))
            columns = max(1, min(width, CHUNK_BYTES // element))
            self._value = self._group.create_dataset(
                "value",
                (0, width),
                self._dtype,
                maxshape=(None, None),
                chunks=(rows, columns),
                compression="gzip",
                compression_opts=4,
                shuffle=True,
            )
            self._width = width
        uneven = bool((lengths != self._width).any())
        if uneven and self._length is None:
            self._length = self._dataset("length", "u4")
            self._length.resize((start,))
            self._length[:] = self._width
        self._width = max(self._width, width)
        self._value.resize((self._rows, self._width))
        if self._length is not None:
            self._length.resize((self._rows,))
            self._length[start:] = lengths
        flat = values.flatten().to_numpy(zero_copy_only=False)
        if not uneven:
            self._value[start:] = flat.reshape(len(values), self._width)
            return
        block = np.full((len(values), self._width), "" if self._text else 0, object if self._text else self._dtype)
        block[np.arange(self._width) < lengths[:, None]] = flat
        self._value[start:] = block
