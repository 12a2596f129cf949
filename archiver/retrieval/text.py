"""The text formats `.json`, `.qw`, `.csv` and `.txt`: whole blocks are formatted by Arrow's string kernels."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from json.encoder import encode_basestring as quoted
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from archiver.retrieval import blocks
from archiver.retrieval.pb import text_of
from archiver.store import Samples

pc: Any = pyarrow.compute  # its functions are made at run time

Rows = Callable[[Samples], pa.Array]


@dataclass(frozen=True)
class NonFinite:
    """How numbers that JSON has no word for are written."""

    nan: str
    positive: str
    negative: str


BARE = NonFinite("NaN", "Infinity", "-Infinity")
NULL = NonFinite("null", "null", "null")

_ODD_IN_CSV = re.compile(r'[,"\r\n]|^\s|\s$')


def json_stream(pvs: Iterable[tuple[Mapping[str, str], Iterable[Samples]]]) -> Iterator[bytes]:
    """`.json` of one or more PVs, each `(meta, batches)`; NaN and Infinity stand bare, as Python reads them."""
    return _frame(((_meta(meta), batches) for meta, batches in pvs), _json_rows)


def qw_stream(pvs: Iterable[tuple[Mapping[str, str], bool, Iterable[Samples]]]) -> Iterator[bytes]:
    """`.qw` of one or more PVs, each `(meta, whether it is an array, batches)`; strict JSON, milliseconds."""
    return _frame(((_meta(meta, waveform), batches) for meta, waveform, batches in pvs), _qw_rows)


def csv_stream(batches: Iterable[Samples]) -> Iterator[bytes]:
    """`.csv`: `secs,val,severity,status,nanos` lines without a header, and an empty line at the end."""
    for block in in_blocks(batches):
        yield data_of(_csv_rows(block))
    yield b"\n"


def txt_stream(name: str, source: str, batches: Iterable[Samples]) -> Iterator[bytes]:
    """`.txt`: a heading, then tab-separated time, value, severity, status and nanos."""
    yield f"Beginning data for {name}\nData from stream {source}\n".encode()
    for block in in_blocks(batches):
        yield data_of(_txt_rows(block))


def in_blocks(batches: Iterable[Samples]) -> Iterator[Samples]:
    """The samples in blocks that are encoded in one go."""
    for batch in batches:
        yield from blocks.blocks(batch)


def _meta(meta: Mapping[str, str], waveform: bool | None = None) -> bytes:
    pairs = [f"{quoted(text_of(k))}: {quoted(text_of(v))}" for k, v in meta.items() if v != ""]
    if waveform is not None:
        pairs.insert(1, f'"waveform": {str(waveform).lower()}')
    return ('{ "meta": { ' + " , ".join(pairs) + ' },\n"data": [ \n').encode()


def _frame(pvs: Iterable[tuple[bytes, Iterable[Samples]]], rows: Rows) -> Iterator[bytes]:
    """The outer list, one object a PV, one line a sample."""
    lead = b"[ \n"
    any_pv = False
    for meta, batches in pvs:
        yield lead + meta
        lead = b"] },\n"
        any_pv = True
        separator = b""
        for block in in_blocks(batches):
            yield separator + data_of(rows(block))[:-2]  # each row ends with ",\n"
            separator = b",\n"
        if separator:
            yield b"\n"
    yield b"] }\n ]\n" if any_pv else b"[ \n ]\n"


def data_of(strings: pa.Array) -> bytes:
    """The characters of a string array, one string after the other."""
    _, offsets, data = strings.buffers()
    if data is None or not len(strings):
        return b""
    ends = np.frombuffer(offsets, np.int32)[strings.offset : strings.offset + len(strings) + 1]
    return data.slice(int(ends[0]), int(ends[-1] - ends[0])).to_pybytes()


def _json_rows(samples: Samples) -> pa.Array:
    secs, nanos = _times(samples)
    if not samples.severity.any() and not samples.status.any() and not samples.notes:
        calm = ', "severity":0, "status":0 },\n'
        value = values_text(samples, BARE)
        return pc.binary_join_element_wise('{ "secs": ', secs, ', "val": ', value, ', "nanos": ', nanos, calm, "")
    return pc.binary_join_element_wise(
        '{ "secs": ',
        secs,
        ', "val": ',
        values_text(samples, BARE),
        ', "nanos": ',
        nanos,
        ', "severity":',
        _integers(samples.severity),
        ', "status":',
        _integers(samples.status),
        _fields(samples),
        "",
    )


def _qw_rows(samples: Samples) -> pa.Array:
    millis = _integers(samples.time_ns // 1_000_000)
    values = values_text(samples, NULL)
    return pc.binary_join_element_wise('{ "millis": ', millis, ', "val": ', values, _fields(samples), "")


def _fields(samples: Samples) -> pa.Array | str:
    """The end of each line, with the notes of those samples that have any."""
    end = " },\n"
    if not samples.notes:
        return end
    ends = [end] * len(samples)
    for row, note in samples.notes.items():
        pairs = ",".join(f"{quoted(text_of(k))}: {quoted(text_of(v))}" for k, v in note.items())
        ends[row] = f', "fields": {{ {pairs}}}{end}'
    return pa.array(ends)


def _csv_rows(samples: Samples) -> pa.Array:
    secs, nanos = _times(samples)
    tail = (",", _integers(samples.severity), ",", _integers(samples.status), ",", nanos, "\n", "")
    return pc.binary_join_element_wise(secs, ",", _csv_values(samples), *tail)


def _csv_values(samples: Samples) -> pa.Array:
    """Numbers and plain text bare, text that needs it, and arrays (for their commas), in double quotes."""
    if int(samples.dbr) == 0 and not samples.array:
        return pa.array([_csv_text(text_of(v)) for v in samples.values.tolist()], pa.string())
    texts = values_text(samples, BARE)
    if samples.array:
        return pc.binary_join_element_wise('"', pc.replace_substring(texts, '"', '""'), '"', "")
    return texts


def _csv_text(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if _ODD_IN_CSV.search(text) else text


def _txt_rows(samples: Samples) -> pa.Array:
    nanos = _integers(samples.time_ns % blocks.NS)
    seconds = pa.array(samples.time_ns // blocks.NS).cast(pa.timestamp("s"))
    human = pc.strftime(seconds, format="%b/%d/%Y %H:%M:%S", locale="C")
    tail = ("\t", _integers(samples.severity), "\t", _integers(samples.status), "\t", nanos, "\n", "")
    if int(samples.dbr) == 0 and not samples.array:
        values = pa.array([_plain(text_of(v)) for v in samples.values.tolist()], pa.string())
    else:
        values = values_text(samples, BARE)
    return pc.binary_join_element_wise(human, " UTC\t", values, *tail)


def _plain(text: str) -> str:
    """The text itself, unless it would break the line."""
    return text if text.isprintable() and not text.startswith('"') else quoted(text)


def moments(time_ns: np.ndarray, unit: str) -> pa.Array:
    """Times (unix ns) as text in UTC, to the second (`s`) or millisecond (`ms`): `2026-11-20 08:00:00.000`."""
    whole = time_ns // (blocks.NS if unit == "s" else 1_000_000)
    return pc.cast(pa.array(whole).cast(pa.timestamp(unit)), pa.string())


def _times(samples: Samples) -> tuple[pa.Array, pa.Array]:
    """Unix seconds and nanoseconds of the second, as text."""
    return _integers(samples.time_ns // blocks.NS), _integers(samples.time_ns % blocks.NS)


def _integers(values: np.ndarray) -> pa.Array:
    return pc.cast(pa.array(np.ascontiguousarray(values)), pa.string())


def values_text(samples: Samples, nonfinite: NonFinite) -> pa.Array:
    """Each sample's value as JSON text: a number, a quoted string, or a list of these."""
    values = samples.values
    if not samples.array:
        return _scalars_text(int(samples.dbr), values.reshape(-1), nonfinite)
    if values.ndim == 2:
        rows, width = values.shape
        offsets = np.arange(rows + 1, dtype=np.int32) * np.int32(width)
        flat = values.reshape(-1)
    else:
        parts = [np.asarray(v) for v in values]
        offsets = np.concatenate([[0], np.cumsum([len(p) for p in parts])]).astype(np.int32)
        filled = [p for p in parts if len(p)]
        flat = np.concatenate(filled) if filled else np.zeros(0)
    elements = _scalars_text(int(samples.dbr), flat, nonfinite)
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), elements), ",")
    return pc.binary_join_element_wise("[", joined, "]", "")


def _scalars_text(dbr: int, values: np.ndarray, nonfinite: NonFinite) -> pa.Array:
    if dbr == 0:
        return pa.array([quoted(text_of(v)) for v in values.tolist()], pa.string())
    if values.dtype.kind != "f":
        return _integers(values)
    texts = pc.cast(pa.array(np.ascontiguousarray(values)), pa.string())
    finite = np.isfinite(values)
    # Arrow writes a whole number without a point; a point makes it a floating-point number for every reader
    whole = finite & (values == np.trunc(values))
    if whole.any():
        bare = np.zeros(len(values), bool)
        bare[whole] = pc.match_substring_regex(texts.filter(pa.array(whole)), r"^-?\d+$").to_numpy(zero_copy_only=False)
        texts = pc.binary_join_element_wise(texts, pc.if_else(pa.array(bare), ".0", ""), "")
    if not finite.all():
        nan, negative = np.isnan(values), values < 0
        words = pc.if_else(
            pa.array(nan), nonfinite.nan, pc.if_else(pa.array(negative), nonfinite.negative, nonfinite.positive)
        )
        words = pc.if_else(pa.array(nan), nonfinite.nan, words)
        texts = pc.if_else(pa.array(finite), texts, words)
    return texts
