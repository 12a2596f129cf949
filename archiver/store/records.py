"""The log's records: bytes with a length, a type and a checksum, columns inside. Parsing never trusts the bytes.

A record is a 24-byte header, then its payload, padded to 8 bytes. The checksum (crc32) covers header and payload. Every
record repeats its log's number, so that a block of another log that a file system brings back is never taken for ours.
After damage the parser looks for the next whole record: what a torn or flipped piece costs is that piece.
"""

from __future__ import annotations

import json
import mmap
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from archiver.store.samples import VALUE_DTYPES, Dbr

MAGIC = b"OWLR"
VERSION = 1
MAX_PAYLOAD = 1 << 30
HEADER = struct.Struct("<4sIBBHIII")  # magic, payload length, kind, version, 0, log number, crc32, 0
SAMPLES_HEAD = struct.Struct("<BBHIIIqq")  # dbr, array, 0, n, count, 0, oldest time, newest time
_CRC_OFFSET = 16

Buffer = bytes | bytearray | memoryview | mmap.mmap


class Kind(IntEnum):
    """What a record holds."""

    FILE = 1
    """JSON, the first record of a file: format, number, when it was made."""
    SAMPLES = 2
    """Columns of samples of one type and element count."""
    EVENTS = 3
    """Columns of connection events: their code is in the value column."""
    COUNTERS = 4
    """JSON, what the engine counted since this log began, and the time: it was alive then."""
    PVS = 5
    """JSON list of [id, name]: new PVs."""
    METADATA = 6
    """JSON list of [id, time in ns, {key: text}]: metadata that changed."""
    NAMES = 7
    """JSON list of [id, name or null, time in ns]: PVs that have a new name, or none any more: they are forgotten."""


@dataclass(frozen=True)
class Record:
    """A whole record whose checksum is right; it lies at `start` to `end` of the file."""

    kind: Kind
    payload: memoryview
    start: int
    end: int


@dataclass(frozen=True)
class Damage:
    """Bytes from `start` to `end` that are no record."""

    start: int
    end: int


@dataclass(frozen=True)
class Columns:
    """Samples of many PVs, of one type and element count, in the order they came.

    `pv`: u4[n], ids of the registry. `time_ns`: i8[n]. `severity`, `status`: u1[n]. `values`: (n,) for scalars,
    (n, count) for arrays; strings are `S40`.
    """

    dbr: Dbr
    array: bool
    pv: np.ndarray
    time_ns: np.ndarray
    severity: np.ndarray
    status: np.ndarray
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.pv)


def frame(kind: Kind, number: int, parts: Sequence[Any]) -> list[Any]:
    """The buffers to write, in order, for a record of log `number` with the payload `parts` (buffers)."""
    views = [memoryview(part).cast("B") for part in parts if len(memoryview(part))]
    length = sum(len(view) for view in views)
    if length > MAX_PAYLOAD:
        raise ValueError(f"a record of {length} bytes is over the limit of {MAX_PAYLOAD}")
    head = HEADER.pack(MAGIC, length, kind, VERSION, 0, number, 0, 0)
    crc = zlib.crc32(head)
    for view in views:
        crc = zlib.crc32(view, crc)
    head = HEADER.pack(MAGIC, length, kind, VERSION, 0, number, crc, 0)
    return [head, *views, bytes(-length % 8)]


def frame_json(kind: Kind, number: int, content: object) -> list[Any]:
    """The buffers of a record that holds JSON."""
    return frame(kind, number, [json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()])


def frame_columns(kind: Kind, number: int, columns: Columns) -> list[Any]:
    """The buffers of a SAMPLES or EVENTS record; `columns` must hold at least one sample."""
    n = len(columns)
    if n == 0:
        raise ValueError("a record of no samples")
    values = np.ascontiguousarray(columns.values, VALUE_DTYPES[columns.dbr])
    if values.shape[:1] != (n,) or values.ndim != (2 if columns.array else 1):
        raise ValueError(f"values of shape {values.shape} for {n} {'array' if columns.array else 'scalar'} samples")
    count = values.shape[1] if columns.array else 1
    time_ns = np.ascontiguousarray(columns.time_ns, "<i8")
    head = SAMPLES_HEAD.pack(columns.dbr, columns.array, 0, n, count, 0, int(time_ns.min()), int(time_ns.max()))
    parts = [
        head,
        time_ns,
        np.ascontiguousarray(columns.pv, "<u4"),
        np.ascontiguousarray(columns.severity, "u1"),
        np.ascontiguousarray(columns.status, "u1"),
    ]
    if values.size:
        parts.append(values.reshape(-1).view("u1"))
    return frame(kind, number, parts)


def parse_columns(payload: Buffer) -> Columns:
    """The columns of a SAMPLES or EVENTS payload, as views of it; ValueError when it isn't one."""
    if len(payload) < SAMPLES_HEAD.size:
        raise ValueError("a columns record that is too short")
    code, array, _, n, count, _, _, _ = SAMPLES_HEAD.unpack_from(payload)
    dbr = Dbr(code)
    if array not in (0, 1) or (not array and count != 1):
        raise ValueError(f"a columns record with array={array} and {count} elements")
    dtype = VALUE_DTYPES[dbr]
    if SAMPLES_HEAD.size + n * (8 + 4 + 1 + 1) + n * count * dtype.itemsize != len(payload):
        raise ValueError(f"a columns record of {len(payload)} bytes for {n} x {count} of {dbr.name}")
    offset = SAMPLES_HEAD.size
    arrays = []
    for kind in ("<i8", "<u4", "u1", "u1"):
        arrays.append(np.frombuffer(payload, kind, n, offset))
        offset += arrays[-1].nbytes
    time_ns, pv, severity, status = arrays
    values = np.frombuffer(payload, dtype, n * count, offset)
    if array:
        values = values.reshape(n, count)
    return Columns(dbr, bool(array), pv, time_ns, severity, status, values)


def peek_times(payload: Buffer) -> tuple[int, int, int]:
    """Number of samples, oldest and newest time (ns) of a SAMPLES or EVENTS payload."""
    _, _, _, n, _, _, oldest, newest = SAMPLES_HEAD.unpack_from(payload)
    return n, oldest, newest


def parse_json(payload: Buffer) -> Any:
    """The content of a JSON payload; ValueError when it isn't JSON."""
    return json.loads(bytes(payload))


def record_at(data: memoryview, offset: int, number: int) -> Record | None:
    """The whole record at `offset`, or None."""
    if offset + HEADER.size > len(data):
        return None
    magic, length, kind, version, zero, log, crc, zero2 = HEADER.unpack_from(data, offset)
    if magic != MAGIC or version != VERSION or zero or zero2 or log != number or length > MAX_PAYLOAD:
        return None
    end = offset + HEADER.size + length
    if end + (-length % 8) > len(data) or kind not in Kind._value2member_map_:
        return None
    payload = data[offset + HEADER.size : end]
    head = HEADER.pack(magic, length, kind, version, 0, log, 0, 0)
    if zlib.crc32(payload, zlib.crc32(head)) != crc:
        return None
    return Record(Kind(kind), payload, offset, end + (-length % 8))


def scan(data: Buffer, number: int, offset: int = 0) -> Iterator[Record | Damage]:
    """All whole records of log `number` in `data` from `offset` on, and the damaged ranges between and after them."""
    view = memoryview(data).cast("B")
    while offset < len(view):
        record = record_at(view, offset, number)
        if record is not None:
            yield record
            offset = record.end
            continue
        start = offset
        record = None
        while record is None:
            offset = _find(data, offset + 1)
            if offset < 0:
                break
            record = record_at(view, offset, number)
        if record is None:
            yield Damage(start, len(view))
            return
        yield Damage(start, offset)


def _find(data: Buffer, start: int) -> int:
    if isinstance(data, memoryview):
        data = data.obj if isinstance(data.obj, bytes | bytearray) and len(data.obj) == len(data) else bytes(data)
    return data.find(MAGIC, start)
