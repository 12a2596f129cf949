"""Samples as people and programs want them: a table, CSV, Parquet."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from pyarrow.csv import WriteOptions, write_csv

from archiver.client.access import Reading
from archiver.client.columns import state_column, states, table_of
from archiver.client.moments import local_text
from archiver.retrieval.names import SEVERITY_NAMES, STATUS_NAMES
from archiver.retrieval.text import pc

SHOWN_ELEMENTS = 8
ROWS = 5000
"""Rows of a table whose widths are found together."""


def severity_name(number: int) -> str:
    """NO_ALARM, MINOR, MAJOR, INVALID."""
    return SEVERITY_NAMES[number] if 0 <= number < len(SEVERITY_NAMES) else str(number)


def status_name(number: int) -> str:
    """The alarm status of EPICS, HIHI for example."""
    return STATUS_NAMES[number] if 0 <= number < len(STATUS_NAMES) else str(number)


def table(reading: Reading, utc: bool = False) -> Iterator[str]:
    """Lines of a table, wide enough for the values seen so far."""
    shown = Shown(reading.metadata)
    unit = reading.metadata.get("EGU", "")
    title = f"value ({unit})" if unit else "value"
    width = len(title)
    number = 0
    for whole in reading.batches:
        for start in range(0, len(whole), ROWS):
            batch = whole.slice(start, ROWS)
            texts = [shown(v) for v in batch.column("value").to_pylist()]
            width = max(width, min(60, max(map(len, texts), default=0)))
            if not number:
                yield f"{'time (UTC)' if utc else 'time':26}  {title:>{width}}  severity  status"
            number += len(texts)
            times = batch.column("time").cast(pa.int64()).to_pylist()
            alarms = zip(batch.column("severity").to_pylist(), batch.column("status").to_pylist(), strict=True)
            for time_ns, text, (severity, status) in zip(times, texts, alarms, strict=True):
                alarm = f"{severity_name(severity):8}  {status_name(status)}" if severity or status else ""
                yield f"{local_text(time_ns, utc)}  {text:>{width}}  {alarm}".rstrip()
    if not number:
        yield f"{reading.name} has no sample up to then."


class Shown:
    """Values of one PV as a person reads them: with its precision, states by name, arrays cut short."""

    def __init__(self, metadata: dict[str, str]) -> None:
        self._labels = states(metadata)
        self._precision = _precision(metadata.get("PREC"))

    def __call__(self, value: Any) -> str:
        """The text of a value."""
        if isinstance(value, list):
            shown = ", ".join(self(v) for v in value[:SHOWN_ELEMENTS])
            return f"[{shown}]" if len(value) <= SHOWN_ELEMENTS else f"[{shown}, … {len(value)} in all]"
        if isinstance(value, float) and math.isfinite(value):
            plain = self._precision is None or abs(value) >= 1e15
            return repr(value) if plain else f"{value:.{self._precision}f}"
        if isinstance(value, int):
            return self._labels.get(value, str(value))
        return "".join(c if c.isprintable() else "?" for c in str(value))


def _precision(text: str | None) -> int | None:
    try:
        return min(max(round(float(text)), 0), 15) if text else None
    except (ValueError, OverflowError):
        return None


def csv_lines(reading: Reading) -> Iterator[bytes]:
    """CSV with a header; times in UTC; an enum has its state's name beside the number; an array is a JSON list."""
    labels = bool(states(reading.metadata))
    yield ",".join(["time", "value", *(["state"] if labels else []), "severity", "status"]).encode() + b"\n"
    for batch in reading.batches:
        if len(batch):
            yield csv_rows(batch, reading.metadata, labels)


def csv_rows(batch: pa.RecordBatch, metadata: dict[str, str], labels: bool, pv: str | None = None) -> bytes:
    """Rows of CSV without a header; `labels`: with a column of state names; `pv`: with the name as first column."""
    values = batch.column("value")
    columns: dict[str, Any] = {"pv": pa.repeat(pv, len(batch))} if pv is not None else {}
    columns["time"] = pc.strftime(batch.column("time"), "%Y-%m-%dT%H:%M:%SZ")
    columns["value"] = (
        pa.array([json.dumps(v) for v in values.to_pylist()]) if pa.types.is_list(values.type) else values
    )
    if labels:
        named = pa.types.is_integer(values.type)
        columns["state"] = state_column(values, metadata) if named else pa.nulls(len(batch), pa.string())
    columns["severity"], columns["status"] = batch.column("severity"), batch.column("status")
    return csv_bytes(pa.table(columns))


def csv_bytes(table: pa.Table) -> bytes:
    """Rows of CSV, without a header; texts are quoted only when one of them needs it."""
    for quoting in ("none", "needed"):
        out = io.BytesIO()
        try:
            write_csv(table, out, WriteOptions(include_header=False, quoting_style=quoting))
        except pa.ArrowInvalid:
            if quoting == "needed":
                raise
            continue
        return out.getvalue()
    return b""


def parquet_bytes(reading: Reading) -> bytes:
    """A Parquet file: time (timestamp[ns, UTC]), value, severity, status; the metadata is in the schema's."""
    import pyarrow.parquet as pq

    table = table_of(list(reading.batches), {"name": reading.name, **reading.metadata})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue().to_pybytes()
