"""The format `.mat`: a MATLAB 5 file with the structs `header` and `data`.

Such a file says how long it is before its data, and holds a matrix column by column. So all samples are put into a
temporary file first; memory stays small, and an answer that is too long for the format is refused before it begins.
"""

from __future__ import annotations

import struct
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO

import numpy as np

from archiver.retrieval.blocks import NS, blocks
from archiver.retrieval.pb import rectangle, text_of
from archiver.retrieval.query import Refused
from archiver.retrieval.source import Answer
from archiver.retrieval.text import moments
from archiver.store import Dbr, Samples

MOST_BYTES = 1 << 30
"""Of an answer (the format itself ends at twice that)."""
MOST_TEXT = 1 << 26
"""Of an answer of strings, which are held in memory."""
_GROUP = 1 << 20
"""Values that are turned from rows to columns at once."""

_INT8, _UINT8, _INT32, _UINT32, _DOUBLE, _UINT64, _MATRIX, _UTF16 = 1, 2, 5, 6, 9, 13, 14, 17
_CELL, _STRUCT, _CHAR, _DOUBLES, _UINT8S, _UINT64S = 1, 2, 4, 6, 9, 15


@dataclass(frozen=True)
class _Element:
    """A part of the file: how many bytes it has, and these, made when they are asked for."""

    size: int
    parts: Iterable[bytes]


@dataclass
class _Rows:
    """All samples. `pieces`: rows, elements, and where in the file their times and values begin."""

    file: IO[bytes]
    pieces: list[tuple[int, int, int, int]] = field(default_factory=list)
    texts: list[list[list[str]]] = field(default_factory=list)
    number: int = 0
    width: int = 1

    def columns(self) -> Iterator[bytes]:
        """The values column by column; what isn't there is NaN."""
        together = max(1, _GROUP // max(1, self.number))
        for low in range(0, self.width, together):
            high = min(low + together, self.width)
            parts = (self._part(piece, low, high) for piece in self.pieces)
            if high - low == 1:
                yield from (part.tobytes() for part in parts)
            else:
                yield np.concatenate(list(parts)).tobytes("F")

    def _part(self, piece: tuple[int, int, int, int], low: int, high: int) -> np.ndarray:
        rows, width, _, at = piece
        out = np.full((rows, high - low), np.nan)
        if low < width:
            there = np.memmap(self.file, np.dtype("<f8"), "r", at, (rows, width))[:, low:high]
            out[:, : there.shape[1]] = there
        return out

    def times(self) -> Iterator[np.ndarray]:
        """Unix nanoseconds."""
        for rows, _, at, _ in self.pieces:
            yield np.memmap(self.file, np.dtype("<i8"), "r", at, (rows,))


def encode(answer: Answer) -> Iterator[bytes]:
    """The file; 413 when it would be too long."""
    with tempfile.TemporaryFile() as file:
        rows = _spool(answer, file)
        file.flush()
        start, end = answer.ranges[0][0], answer.ranges[-1][1]
        head = {"source": "owlshift", "pvName": answer.name, "from": _iso(start), "to": _iso(end)}
        yield b"MATLAB 5.0 MAT-file, samples of an archived PV".ljust(124) + struct.pack("<H", 0x0100) + b"IM"
        yield from _struct("header", {key: _text(value) for key, value in head.items()}).parts
        yield from _data(rows).parts


def _spool(answer: Answer, file: IO[bytes]) -> _Rows:
    rows = _Rows(file)
    size = 0
    as_text: bool | None = None
    for batch in answer.batches:
        for block in blocks(batch):
            if as_text is None:
                as_text = block.dbr is Dbr.STRING
            n = len(block)
            values = np.zeros((0, 1))
            if as_text:
                lists = _texts(block)
                rows.texts.append(lists)
                width = max(map(len, lists))
                size += sum(64 + 2 * len(text) for row in lists for text in row)
            else:
                values = _numbers(block)
                width = values.shape[1]
                size += n * (17 + 8 * width)
            if size > (MOST_TEXT if as_text else MOST_BYTES):
                most = (MOST_TEXT if as_text else MOST_BYTES) >> 20
                raise Refused(413, f"This is too long for a .mat file here ({most} MiB); ask for less, or as .raw.")
            at = file.tell()
            file.write(block.time_ns.astype("<i8").tobytes())
            if not as_text:
                file.write(values.tobytes())
            rows.pieces.append((n, width, at, at + 8 * n))
            rows.number += n
            rows.width = max(rows.width, width)
    return rows


def _numbers(block: Samples) -> np.ndarray:
    """The values as (rows, elements) of doubles; strings, and what a shorter array doesn't have, are NaN."""
    if block.dbr is Dbr.STRING:
        return np.full((len(block), 1), np.nan)
    if not block.array:
        return block.values.astype("<f8").reshape(-1, 1)
    values, present = rectangle(block.values)
    out = values.astype("<f8")
    out[~present] = np.nan
    return out


def _texts(block: Samples) -> list[list[str]]:
    if not block.array:
        return [[text_of(value)] for value in block.values.reshape(-1).tolist()]
    return [[text_of(value) for value in row] for row in block.values.tolist()]


def _data(rows: _Rows) -> _Element:
    n = rows.number
    seconds = ((t // NS).astype("<u8").tobytes() for t in rows.times())
    nanos = ((t % NS).astype("<u8").tobytes() for t in rows.times())
    summer = (_summer(t // NS).tobytes() for t in rows.times())
    if rows.texts:
        flat = [row for part in rows.texts for row in part]
        cells = [_text(row[i] if i < len(row) else "") for i in range(rows.width) for row in flat]
        values = _matrix(_CELL, n, rows.width, "", cells)
    else:
        values = _matrix(_DOUBLES, n, rows.width, "", [_element(_DOUBLE, 8 * n * rows.width, rows.columns())])
    return _struct(
        "data",
        {
            "epochSeconds": _matrix(_UINT64S, n, 1, "", [_element(_UINT64, 8 * n, seconds)]),
            "values": values,
            "nanos": _matrix(_UINT64S, n, 1, "", [_element(_UINT64, 8 * n, nanos)]),
            "isDST": _matrix(_UINT8S, n, 1, "", [_element(_UINT8, n, summer)]),
        },
    )


def _summer(seconds: np.ndarray) -> np.ndarray:
    """Whether this machine's zone had summer time, u1."""
    halves, which = np.unique(seconds // 1800, return_inverse=True)
    return np.array([max(time.localtime(1800 * int(h)).tm_isdst, 0) for h in halves], np.uint8)[which]


def _iso(time_ns: int) -> str:
    return moments(np.array([time_ns], np.int64), "ms")[0].as_py().replace(" ", "T") + "Z"


# Elements of the file


def _element(kind: int, size: int, parts: Iterable[bytes]) -> _Element:
    """One element with its tag, padded to 8 bytes."""

    def all_parts() -> Iterator[bytes]:
        yield struct.pack("<II", kind, size)
        yield from parts
        yield bytes(-size % 8)

    return _Element(8 + size + -size % 8, all_parts())


def _matrix(kind: int, rows: int, columns: int, name: str, content: list[_Element]) -> _Element:
    lead = struct.pack("<IIIIIIii", _UINT32, 8, kind, 0, _INT32, 8, rows, columns)
    label = _element(_INT8, len(name), [name.encode("ascii")])
    size = len(lead) + label.size + sum(part.size for part in content)

    def all_parts() -> Iterator[bytes]:
        yield struct.pack("<II", _MATRIX, size) + lead
        yield from label.parts
        for part in content:
            yield from part.parts

    return _Element(8 + size, all_parts())


def _struct(name: str, fields: dict[str, _Element]) -> _Element:
    width = 32
    names = b"".join(key.encode("ascii").ljust(width, b"\0") for key in fields)
    length = _Element(8, [struct.pack("<HHi", _INT32, 4, width)])
    return _matrix(_STRUCT, 1, 1, name, [length, _element(_INT8, len(names), [names]), *fields.values()])


def _text(text: str) -> _Element:
    units = text.encode("utf-16-le")
    return _matrix(_CHAR, 1 if units else 0, len(units) // 2, "", [_element(_UTF16, len(units), [units])])
