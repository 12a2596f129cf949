"""Export into tables: Parquet and CSV. With several PVs the first column, `pv`, says whose a sample is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from archiver.client.access import Reading
from archiver.client.columns import batch_as, common_type, schema_of, states
from archiver.client.tables import csv_rows
from archiver.exchange.sinks import ExportError, Window

WAITING = 1 << 22
"""Samples that may wait in memory until the type of a file is settled."""


class CsvSink:
    """CSV: `pv` (with several PVs), time (UTC, nine digits), value, state (the name of an enum's), severity, status."""

    def __init__(self, path: Path, many: bool) -> None:
        self._file = open(path, "wb")
        self._many = many
        head = ["pv"] if many else []
        self._file.write(",".join([*head, "time", "value", "state", "severity", "status"]).encode() + b"\n")

    def add(self, reading: Reading, count: Callable[[int], None]) -> None:
        """All samples of a PV."""
        metadata = reading.metadata if states(reading.metadata) else {}
        for batch in reading.batches:
            if len(batch):
                self._file.write(csv_rows(batch, metadata, True, reading.name if self._many else None))
                count(len(batch))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    abandon = close


class ParquetSink:
    """Parquet: `pv` (with several PVs), time, value, severity, status; all values of a file have one type.

    The metadata of a single PV are in the file's schema. The type is that which holds the values of the first samples
    (four million of them); where later ones do not fit, that is an `ExportError`.
    """

    def __init__(self, path: Path, window: Window, many: bool) -> None:
        self._path, self._many = path, many
        self._metadata = window.attributes()
        self._writer: pq.ParquetWriter | None = None
        self._kind: pa.DataType | None = None
        self._waiting: list[tuple[str, pa.RecordBatch]] = []
        self._rows = 0

    def add(self, reading: Reading, count: Callable[[int], None]) -> None:
        """All samples of a PV."""
        if not self._many:
            self._metadata |= {"name": reading.name, **reading.metadata}
        for batch in reading.batches:
            count(len(batch))
            if self._writer is not None:
                self._write(reading.name, batch)
                continue
            self._waiting.append((reading.name, batch))
            self._rows += len(batch)
            if self._rows > WAITING:
                self._settle()

    def _settle(self) -> None:
        """From here on the type is what it is."""
        types = dict.fromkeys(batch.column("value").type for _, batch in self._waiting)
        self._kind = common_type(types)
        if pa.types.is_string(self._kind) and any(not pa.types.is_string(t) for t in types):
            named = ", ".join(sorted({str(t) for t in types}))
            raise ExportError(
                f"PVs of different types ({named}) do not fit into one Parquet file: "
                "write each into its own (-o FOLDER/), or use HDF5 or CSV"
            )
        schema = schema_of(self._kind, self._metadata)
        if self._many:
            schema = schema.insert(0, pa.field("pv", pa.dictionary(pa.int32(), pa.string())))
        self._writer = pq.ParquetWriter(self._path, schema, compression="zstd")
        waiting, self._waiting = self._waiting, []
        for name, batch in waiting:
            self._write(name, batch)

    def _write(self, name: str, batch: pa.RecordBatch) -> None:
        if self._writer is None or self._kind is None or not len(batch):
            return
        found = batch.column("value").type
        if common_type([self._kind, found]) != self._kind:
            raise ExportError(
                f"{name} has become a PV of {found} and does not fit among {self._kind}: "
                "export it by itself, or use HDF5 or CSV"
            )
        batch = batch_as(batch, self._kind)
        columns = [batch.column(key) for key in ("time", "value", "severity", "status")]
        if self._many:
            codes = pa.repeat(pa.scalar(0, pa.int32()), len(batch))
            columns.insert(0, pa.DictionaryArray.from_arrays(codes, pa.array([name])))
        self._writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=self._writer.schema))

    def close(self) -> None:
        """Write what waits, and the file's end."""
        if self._writer is None:
            self._settle()
        self.abandon()

    def abandon(self) -> None:
        """Close the file as it is."""
        if self._writer is not None:
            self._writer.close()
