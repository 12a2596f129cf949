"""PB/HTTP, the `.raw` format: one protobuf message a line, encoded for a whole block of samples at once.

A block becomes a byte matrix with one row a sample and a mask of the bytes that exist; what the mask lets through, in
row order, is the stream. Escaping (0x1B, 0x0A, 0x0D become two bytes) is done afterwards on the flat bytes.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from archiver.retrieval import blocks
from archiver.retrieval.notes import is_field_change
from archiver.store import Dbr, PvInfo, Samples

Matrix = np.ndarray  # uint8, (samples, width)
Mask = np.ndarray | None  # bool of the same shape; None: every byte exists


class Payload(enum.IntEnum):
    """PayloadType: the element type (Channel Access' native codes), plus 7 for arrays.

    The last, serialised structures, is for pvAccess alone: what this archive holds came over Channel Access, so it is
    never sent, only read (`archiver.client`).
    """

    SCALAR_STRING = 0
    SCALAR_SHORT = 1
    SCALAR_FLOAT = 2
    SCALAR_ENUM = 3
    SCALAR_BYTE = 4
    SCALAR_INT = 5
    SCALAR_DOUBLE = 6
    WAVEFORM_STRING = 7
    WAVEFORM_SHORT = 8
    WAVEFORM_FLOAT = 9
    WAVEFORM_ENUM = 10
    WAVEFORM_BYTE = 11
    WAVEFORM_INT = 12
    WAVEFORM_DOUBLE = 13
    V4_GENERIC_BYTES = 14


_FIXED = {Payload.SCALAR_FLOAT: ("<f4", 0x1D), Payload.SCALAR_INT: ("<i4", 0x1D), Payload.SCALAR_DOUBLE: ("<f8", 0x19)}
_VALUE_BYTES = 0x1A  # field 3, length-delimited
_VALUE_VARINT = 0x18  # field 3, varint

_ESCAPES = {0x1B: 0x01, 0x0A: 0x02, 0x0D: 0x03}
_IS_ESCAPED = np.zeros(256, bool)
_ESCAPE_CODE = np.zeros(256, np.uint8)
for _byte, _code in _ESCAPES.items():
    _IS_ESCAPED[_byte] = True
    _ESCAPE_CODE[_byte] = _code


def payload_of(dbr: int, array: bool) -> Payload:
    """The payload type of a Channel Access type (native code 0 to 6), one value or an array a sample."""
    return Payload(int(dbr) + (7 if array else 0))


def header(payload: Payload, name: str, year: int, count: int, metadata: Mapping[str, str]) -> bytes:
    """The PayloadInfo line of a chunk, escaped, with its line feed."""
    message = b"\x08" + _varint(payload) + b"\x12" + _text(name) + b"\x18" + _varint(year) + b"\x20" + _varint(count)
    for key, value in metadata.items():
        message += b"\x7a" + _field_value(key, value)
    return escape(message) + b"\n"


def escape(message: bytes) -> bytes:
    """One message as it stands on a line."""
    for byte in _ESCAPES:  # 0x1B first
        message = message.replace(bytes([byte]), bytes([0x1B, _ESCAPES[byte]]))
    return message


def encode(
    name: str, info: PvInfo, metadata: Mapping[str, str], year: int, batches: Iterable[Samples]
) -> Iterator[bytes]:
    """The `.raw` stream of one PV: a header and its samples, and so on at each change of type or year.

    An empty line is between such chunks. Without any sample it is a header of `year` alone: clients take an empty body
    for a fault.
    """
    chunk: tuple[Payload, int] | None = None
    for batch in batches:
        for this_year, start_s, part in blocks.years(batch):
            payload = payload_of(part.dbr, part.array)
            if chunk != (payload, this_year):
                first = b"" if chunk is None else b"\n"
                yield first + header(payload, name, this_year, _elements(part, info), metadata)
                chunk = payload, this_year
            for block in blocks.blocks(part):
                yield encode_block(block, start_s)
    if chunk is None:
        dbr = Dbr.DOUBLE if info.dbr is None else info.dbr
        yield header(payload_of(dbr, info.is_array), name, year, info.count, metadata)


def _elements(samples: Samples, info: PvInfo) -> int:
    """The element count of a header: that of the samples, or where it varies the most the PV can have."""
    return samples.count if samples.count >= 0 else info.count


def encode_block(samples: Samples, year_start_s: int) -> bytes:
    """The lines of samples of one type within one year, which began at `year_start_s` (unix seconds)."""
    rows = len(samples)
    columns: list[tuple[Matrix, Mask]] = [
        _tag(0x08, rows),
        _varints(samples.time_ns // blocks.NS - year_start_s),
        _tag(0x10, rows),
        _varints(samples.time_ns % blocks.NS),
        *_values(samples),
        *_optional(0x20, samples.severity),
        *_optional(0x28, samples.status),
        *_notes(samples),
        _tag(0x0A, rows),
    ]
    flat, lengths = _flatten(columns)
    ends = np.cumsum(lengths) - 1
    special = _IS_ESCAPED[flat]
    special[ends] = False
    at = np.flatnonzero(special)
    if at.size:
        codes = _ESCAPE_CODE[flat[at]]
        flat[at] = 0x1B
        flat = np.insert(flat, at + 1, codes)
    return flat.tobytes()


def _values(samples: Samples) -> list[tuple[Matrix, Mask]]:
    """The columns of field 3."""
    rows = len(samples)
    if not samples.array:
        payload = Payload(int(samples.dbr))
        if payload in _FIXED:
            dtype, tag = _FIXED[payload]
            return [_tag(tag, rows), (_bytes_of(samples.values.astype(dtype), rows), None)]
        if payload is Payload.SCALAR_BYTE:
            value = samples.values.astype(np.uint8).reshape(rows, 1)
            return [_tag(_VALUE_BYTES, rows), _tag(1, rows), (value, None)]
        if payload is Payload.SCALAR_STRING:
            text, exists = _strings(samples.values)
            return [_tag(_VALUE_BYTES, rows), _varints(exists.sum(axis=1)), (text, exists)]
        return [_tag(_VALUE_VARINT, rows), _varints(_zigzag(samples.values))]
    values, present = rectangle(samples.values)
    width = values.shape[1]
    if int(samples.dbr) == Payload.SCALAR_STRING:
        text, exists = _strings(values.reshape(-1))
        length, has_length = _varints(exists.sum(axis=1))
        element = np.concatenate([np.full((rows * width, 1), _VALUE_BYTES, np.uint8), length, text], axis=1)
        keep = np.concatenate([np.ones((rows * width, 1), bool), has_length, exists], axis=1)
        keep &= present.reshape(-1, 1)
        return [(element.reshape(rows, -1), keep.reshape(rows, -1))]
    payload = Payload(int(samples.dbr))
    if payload in _FIXED:
        matrix = _bytes_of(values.astype(_FIXED[payload][0]), rows)
        keep = np.repeat(present, np.dtype(_FIXED[payload][0]).itemsize, axis=1)
    elif payload is Payload.SCALAR_BYTE:
        matrix, keep = values.astype(np.uint8), present
    else:
        matrix, exists = _varints(_zigzag(values.reshape(-1)))
        keep = (exists & present.reshape(-1, 1)).reshape(rows, -1)
        matrix = matrix.reshape(rows, -1)
    lengths = keep.sum(axis=1)
    # an empty packed field is left out; bytes are required
    there = (lengths > 0)[:, None] | (payload is Payload.SCALAR_BYTE)
    size, has_size = _varints(lengths)
    return [(_tag(_VALUE_BYTES, rows)[0], there), (size, has_size & there), (matrix, keep)]


def rectangle(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Array values as `(rows, longest)` with a mask of what exists, also when each row has a length of its own."""
    if values.ndim == 2 and values.shape[1]:
        return values, np.ones(values.shape, bool)
    lengths = np.array([len(v) for v in values], np.int64)
    present = np.arange(max(1, int(lengths.max(initial=0)))) < lengths[:, None]
    parts = [np.asarray(v) for v in values if len(v)]
    full = np.zeros(present.shape, np.result_type(*parts) if parts else np.uint8)
    if parts:
        full[present] = np.concatenate(parts)
    return full, present


def _strings(values: np.ndarray) -> tuple[Matrix, np.ndarray]:
    """Strings as padded UTF-8 bytes, and which of them exist."""
    encoded = [text_of(v).encode() for v in values.tolist()]
    lengths = np.array([len(v) for v in encoded], np.int64)
    width = max(1, int(lengths.max(initial=0)))
    packed = np.array(encoded, f"S{width}") if encoded else np.zeros(0, f"S{width}")
    return _bytes_of(packed, len(encoded)), np.arange(width) < lengths[:, None]


def text_of(value: object) -> str:
    """A string value as text that UTF-8 can carry: bytes are UTF-8, or else Latin-1, up to the first NUL."""
    if isinstance(value, bytes):
        value = value.split(b"\0", 1)[0]
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.decode("latin-1")
    return str(value).encode("utf-8", "replace").decode()


def _bytes_of(values: np.ndarray, rows: int) -> Matrix:
    return np.ascontiguousarray(values).view(np.uint8).reshape(rows, -1)


def _zigzag(values: np.ndarray) -> np.ndarray:
    wide = values.astype(np.int64)
    return (wide << 1) ^ (wide >> 63)


def _tag(byte: int, rows: int) -> tuple[Matrix, Mask]:
    return np.full((rows, 1), byte, np.uint8), None


def _varints(values: np.ndarray) -> tuple[Matrix, np.ndarray]:
    """Base-128 varints of non-negative numbers, in as many columns as the largest needs."""
    values = values.astype(np.uint64)
    width = max(1, -(-int(values.max(initial=0)).bit_length() // 7))
    if width <= 4:
        values = values.astype(np.uint32)
    seven = np.arange(width, dtype=values.dtype) * values.dtype.type(7)
    parts = values[:, None] >> seven
    exists = parts != 0
    exists[:, 0] = True
    matrix = (parts & values.dtype.type(0x7F)).astype(np.uint8)
    matrix[:, :-1] |= exists[:, 1:].view(np.uint8) << np.uint8(7)
    return matrix, exists


def _optional(tag: int, values: np.ndarray) -> list[tuple[Matrix, Mask]]:
    """A field that is left out where it is zero."""
    there = values != 0
    if not there.any():
        return []
    matrix, exists = _varints(values)
    return [
        (np.full((len(values), 1), tag, np.uint8), there[:, None]),
        (matrix, exists & there[:, None]),
    ]


def _notes(samples: Samples) -> list[tuple[Matrix, Mask]]:
    """Fields 7 and 8: what is noted of a sample, and whether that is a change of the record's fields."""
    if not samples.notes:
        return []
    messages = {row: _note(note) for row, note in samples.notes.items() if note}
    width = max(map(len, messages.values()), default=0)
    matrix = np.zeros((len(samples), width), np.uint8)
    exists = np.zeros(matrix.shape, bool)
    for row, message in messages.items():
        matrix[row, : len(message)] = np.frombuffer(message, np.uint8)
        exists[row, : len(message)] = True
    return [(matrix, exists)]


def _note(note: Mapping[str, str]) -> bytes:
    message = b"".join(b"\x3a" + _field_value(key, value) for key, value in note.items())
    return message + b"\x40\x01" if is_field_change(note) else message


def _flatten(columns: list[tuple[Matrix, Mask]]) -> tuple[np.ndarray, np.ndarray]:
    """The bytes that exist, in row order, and the number of them in each row."""
    matrix = np.concatenate([m for m, _ in columns], axis=1)
    mask = np.ones(matrix.shape, bool)
    at = 0
    for part, keep in columns:
        if keep is not None:
            mask[:, at : at + part.shape[1]] = keep
        at += part.shape[1]
    return matrix[mask], mask.sum(axis=1)


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field_value(name: str, value: str) -> bytes:
    return _sized(b"\x0a" + _text(name) + b"\x12" + _text(value))


def _sized(data: bytes) -> bytes:
    return _varint(len(data)) + data


def _text(value: str) -> bytes:
    return _sized(text_of(value).encode())
