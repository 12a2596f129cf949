"""Samples as people and programs want them in files: a table, CSV, Parquet."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

from archiver.client.access import Reading, Rows
from archiver.client.moments import iso_text, local_text
from archiver.retrieval.names import SEVERITY_NAMES, STATUS_NAMES

SHOWN_ELEMENTS = 8


def severity_name(number: int) -> str:
    """NO_ALARM, MINOR, MAJOR, INVALID."""
    return SEVERITY_NAMES[number] if 0 <= number < len(SEVERITY_NAMES) else str(number)


def status_name(number: int) -> str:
    """The alarm status of EPICS, HIHI for example."""
    return STATUS_NAMES[number] if 0 <= number < len(STATUS_NAMES) else str(number)


def states(metadata: dict[str, str]) -> dict[int, str]:
    """The names of an enum's states."""
    return {int(k[5:]): v for k, v in metadata.items() if k.startswith("ENUM_") and k[5:].isdecimal()}


def table(reading: Reading, utc: bool = False) -> Iterator[str]:
    """Lines of a table, wide enough for the values seen so far."""
    labels = states(reading.metadata)
    precision = _precision(reading.metadata.get("PREC"))
    unit = reading.metadata.get("EGU", "")
    title = f"value ({unit})" if unit else "value"
    width = len(title)
    number = 0
    for rows in reading.rows:
        texts = [_shown(v, labels, precision) for v in rows.values]
        width = max(width, min(60, max(map(len, texts), default=0)))
        if not number:
            yield f"{'time (UTC)' if utc else 'time':26}  {title:>{width}}  severity  status"
        number += len(texts)
        for time_ns, text, severity, status in zip(rows.time_ns, texts, rows.severity, rows.status, strict=True):
            alarm = f"{severity_name(severity):8}  {status_name(status)}" if severity or status else ""
            yield f"{local_text(time_ns, utc)}  {text:>{width}}  {alarm}".rstrip()
    if not number:
        yield f"{reading.name} has no sample up to then."


def _precision(text: str | None) -> int | None:
    try:
        return min(max(round(float(text)), 0), 15) if text else None
    except (ValueError, OverflowError):
        return None


def _shown(value: Any, labels: dict[int, str], precision: int | None) -> str:
    if isinstance(value, list):
        shown = ", ".join(_shown(v, labels, precision) for v in value[:SHOWN_ELEMENTS])
        return f"[{shown}]" if len(value) <= SHOWN_ELEMENTS else f"[{shown}, … {len(value)} in all]"
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.{precision}f}" if precision is not None and abs(value) < 1e15 else repr(value)
    if isinstance(value, int):
        return labels.get(value, str(value))
    return "".join(c if c.isprintable() else "?" for c in str(value))


def csv_lines(reading: Reading) -> Iterator[str]:
    """CSV with a header; times in UTC; an enum has its state's name beside the number; an array is a JSON list."""
    labels = states(reading.metadata)
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["time", "value", *(["state"] if labels else []), "severity", "status"])
    for rows in reading.rows:
        for time_ns, value, severity, status in zip(rows.time_ns, rows.values, rows.severity, rows.status, strict=True):
            cell = json.dumps(value) if isinstance(value, list) else repr(value) if isinstance(value, float) else value
            state = [labels.get(value, "") if isinstance(value, int) else ""] if labels else []
            writer.writerow([iso_text(time_ns), cell, *state, severity, status])
        yield out.getvalue()
        out.seek(0)
        out.truncate()
    yield out.getvalue()


def parquet_bytes(reading: Reading) -> bytes:
    """A Parquet file: time (timestamp[ns, UTC]), value, severity, status; the metadata is in the schema's."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts: list[tuple[Any, ...]] = []
    for rows in reading.rows:
        times = pa.array(np.array(rows.time_ns, np.int64)).cast(pa.timestamp("ns", "UTC"))
        parts.append((times, _column(rows), pa.array(rows.severity, pa.uint8()), pa.array(rows.status, pa.uint16())))
    values = _one_type([p[1] for p in parts])
    columns = {
        "time": pa.chunked_array([p[0] for p in parts], pa.timestamp("ns", "UTC")),
        "value": values,
        "severity": pa.chunked_array([p[2] for p in parts], pa.uint8()),
        "status": pa.chunked_array([p[3] for p in parts], pa.uint16()),
    }
    named = pa.table(columns).replace_schema_metadata({"name": reading.name, **reading.metadata})
    sink = pa.BufferOutputStream()
    pq.write_table(named, sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def _column(rows: Rows) -> Any:
    """The values of one batch in the type they have together."""
    import pyarrow as pa

    kinds = {type(v) for v in rows.values}
    if kinds == {int, float}:
        return pa.array([float(v) for v in rows.values], pa.float64())
    if list in kinds:
        whole = all(type(e) is int for v in rows.values for e in v)
        text = any(type(e) is str for v in rows.values for e in v)
        element = pa.string() if text else pa.int64() if whole else pa.float64()
        if not text and not whole:
            return pa.array([[float(e) for e in v] for v in rows.values], pa.list_(element))
        return pa.array(rows.values, pa.list_(element))
    if len(kinds) > 1:
        return pa.array([str(v) for v in rows.values], pa.string())
    return pa.array(rows.values)


def _one_type(parts: Iterable[Any]) -> Any:
    """The batches as one column, also when the PV has changed its type on the way."""
    import pyarrow as pa

    parts = list(parts)
    types = {p.type for p in parts}
    if not types:
        return pa.chunked_array([], pa.float64())
    if len(types) == 1:
        return pa.chunked_array(parts)
    if types <= {pa.int64(), pa.float64()}:
        return pa.chunked_array([p.cast(pa.float64()) for p in parts])
    if types <= {pa.list_(pa.int64()), pa.list_(pa.float64())}:
        return pa.chunked_array([p.cast(pa.list_(pa.float64())) for p in parts])
    return pa.chunked_array([pa.array([str(v) for v in p.to_pylist()], pa.string()) for p in parts])
