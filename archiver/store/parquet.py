"""Parquet files put together out of row groups, each of which has encodings of its own.

A Parquet file says how it is encoded page by page, but writers want to be told once for the whole file. A segment holds
many PVs, though, and what suits a counter wastes half the space of a quantised voltage. So every row group is written
as a file of its own in memory, in whatever suits it; their bytes are put one after the other, and their footers become
one.
"""

from __future__ import annotations

from typing import Any, BinaryIO

import pyarrow as pa

MAGIC = b"PAR1"

# Thrift's compact protocol: (field id -> (type, value)); lists are (type of elements, [values])
Fields = dict[int, tuple[int, Any]]
_BOOL_TRUE, _BOOL_FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)

_ROWS, _GROUPS = 3, 4  # fields of FileMetaData
_COLUMNS, _GROUP_ROWS, _GROUP_OFFSET, _ORDINAL = 1, 3, 5, 7  # of RowGroup
_CHUNK_OFFSET, _CHUNK_META, _OFFSET_INDEX, _COLUMN_INDEX = 2, 3, 4, 6  # of ColumnChunk
_PAGE_OFFSETS = (9, 10, 11, 14)  # of ColumnMetaData: data pages, index page, dictionary page, Bloom filter


class RowGroupWriter:
    """Writes one Parquet file to `sink` out of files of one schema."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._footer: Fields | None = None
        self._groups: list[Fields] = []
        self._rows = 0
        self._end = len(MAGIC)
        sink.write(MAGIC)

    def add(self, file: pa.Buffer | bytes) -> None:
        """Append the row groups of a whole Parquet file; ValueError when it is none."""
        view = memoryview(file)
        size = int.from_bytes(view[-8:-4], "little")
        if view[:4] != MAGIC or view[-4:] != MAGIC or size + 12 > len(view):
            raise ValueError("no Parquet file")
        body = view[len(MAGIC) : -8 - size]
        footer, _ = _read_struct(bytes(view[-8 - size : -8]), 0)
        shift = self._end - len(MAGIC)
        for group in footer[_GROUPS][1][1]:
            self._move(group, shift)
            self._groups.append(group)
        self._rows += footer[_ROWS][1]
        if self._footer is None:
            self._footer = footer
        self._sink.write(body)
        self._end += len(body)

    def _move(self, group: Fields, shift: int) -> None:
        if _GROUP_OFFSET in group:
            group[_GROUP_OFFSET] = (_I64, group[_GROUP_OFFSET][1] + shift)
        # an ordinal has 16 bits and needn't be there
        group.pop(_ORDINAL, None)
        if len(self._groups) < 1 << 15:
            group[_ORDINAL] = (_I16, len(self._groups))
        for chunk in group[_COLUMNS][1][1]:
            for field in (_CHUNK_OFFSET, _OFFSET_INDEX, _COLUMN_INDEX):
                # an offset of 0 in the chunk itself means that the metadata say it
                if field in chunk and chunk[field][1]:
                    chunk[field] = (_I64, chunk[field][1] + shift)
            meta = chunk[_CHUNK_META][1]
            for field in _PAGE_OFFSETS:
                if field in meta:
                    meta[field] = (_I64, meta[field][1] + shift)

    def close(self) -> None:
        """Write the footer; the sink stays open. ValueError when nothing was added."""
        if self._footer is None:
            raise ValueError("a Parquet file of no row group")
        footer = {**self._footer, _ROWS: (_I64, self._rows), _GROUPS: (_LIST, (_STRUCT, self._groups))}
        out = bytearray()
        _write_struct(out, footer)
        self._sink.write(out + len(out).to_bytes(4, "little") + MAGIC)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _signed(data: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def _read_struct(data: bytes, at: int) -> tuple[Fields, int]:
    fields: Fields = {}
    number = 0
    while True:
        head = data[at]
        at += 1
        if not head:
            return fields, at
        kind = head & 0x0F
        if head >> 4:
            number += head >> 4
        else:
            number, at = _signed(data, at)
        value, at = (kind == _BOOL_TRUE, at) if kind in (_BOOL_TRUE, _BOOL_FALSE) else _read(data, at, kind)
        fields[number] = (kind, value)


def _read(data: bytes, at: int, kind: int) -> tuple[Any, int]:
    if kind in (_I16, _I32, _I64):
        return _signed(data, at)
    if kind == _BINARY:
        size, at = _varint(data, at)
        return data[at : at + size], at + size
    if kind == _STRUCT:
        return _read_struct(data, at)
    if kind in (_LIST, _SET):
        size, element = data[at] >> 4, data[at] & 0x0F
        at += 1
        if size == 15:
            size, at = _varint(data, at)
        values = []
        for _ in range(size):
            value, at = _read(data, at, element)
            values.append(value)
        return (element, values), at
    if kind in (_BYTE, _BOOL_TRUE, _BOOL_FALSE):
        return data[at], at + 1
    if kind == _DOUBLE:
        return data[at : at + 8], at + 8
    raise ValueError(f"a footer with a field of type {kind}")


def _put_varint(out: bytearray, value: int) -> None:
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _put_signed(out: bytearray, value: int) -> None:
    _put_varint(out, (value << 1) ^ (value >> 63))


def _write_struct(out: bytearray, fields: Fields) -> None:
    last = 0
    for number in sorted(fields):
        kind, value = fields[number]
        if 0 < number - last < 16:
            out.append((number - last) << 4 | kind)
        else:
            out.append(kind)
            _put_signed(out, number)
        last = number
        if kind not in (_BOOL_TRUE, _BOOL_FALSE):
            _write(out, kind, value)
    out.append(0)


def _write(out: bytearray, kind: int, value: Any) -> None:
    if kind in (_I16, _I32, _I64):
        _put_signed(out, value)
    elif kind == _BINARY:
        _put_varint(out, len(value))
        out += value
    elif kind == _STRUCT:
        _write_struct(out, value)
    elif kind in (_LIST, _SET):
        element, values = value
        if len(values) < 15:
            out.append(len(values) << 4 | element)
        else:
            out.append(0xF0 | element)
            _put_varint(out, len(values))
        for item in values:
            _write(out, element, item)
    elif kind in (_BYTE, _BOOL_TRUE, _BOOL_FALSE):
        out.append(value)
    else:
        out += value


__all__ = ["MAGIC", "RowGroupWriter"]
