"""PB/HTTP, the `.raw` format and the `.pb` files of an Archiver Appliance, read into columns.

A stream is lines; a header line, the event lines of one type and one year, an empty line, the next header. In lines the
bytes 0x1B, 0x0A and 0x0D are written as two.
"""

from __future__ import annotations

import calendar
import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pyarrow as pa

from archiver.client import pb_columns
from archiver.client.pb_columns import PADDING, Messages, Pieces

NS = 1_000_000_000
LINES = 1 << 15
"""Lines that are read at once: their columns fit into a processor's cache."""
LINE_LIMIT = 1 << 30
"""Bytes of the longest line."""

STRING, SHORT, FLOAT, ENUM, BYTE, INT, DOUBLE = range(7)
GENERIC = 14
"""Payload types: these scalars, 7 more for arrays of them, and a pvAccess structure as bytes."""

_ELEMENTS = {
    STRING: pa.string(),
    SHORT: pa.int16(),
    FLOAT: pa.float32(),
    ENUM: pa.uint16(),
    BYTE: pa.uint8(),
    INT: pa.int32(),
    DOUBLE: pa.float64(),
}
_KINDS = ("string", "short", "float", "enum", "char", "long", "double")
_WRITTEN = np.arange(256, dtype=np.uint8)
_WRITTEN[[1, 2, 3]] = 0x1B, 0x0A, 0x0D
_ESCAPED = np.zeros(256, bool)
_ESCAPED[[1, 2, 3]] = True
_LEAP_YEAR = 366 * 86400


class RawError(Exception):
    """This is no PB/HTTP; str() is one clear line."""


def arrow_type(payload: int) -> pa.DataType:
    """The Arrow type of the values of a payload type."""
    if payload == GENERIC:
        return pa.binary()
    return pa.list_(_ELEMENTS[payload - 7]) if payload >= 7 else _ELEMENTS[payload]


def kind_name(payload: int) -> str:
    """A payload type in a word or two: double, enum array."""
    if payload == GENERIC:
        return "structure"
    return _KINDS[payload % 7] + (" array" if payload >= 7 else "")


@dataclass(frozen=True)
class Header:
    """What stands before events. `count`: elements of a value, None when it isn't said."""

    payload: int
    name: str
    year: int
    count: int | None = None
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Block:
    """Events of one header, in the order in which they came.

    `time_ns` i8[n] since 1970 UTC, `severity` u1[n], `status` u2[n], `values` an Arrow array of n. `fields`: by row,
    the field values that came with the event. `bad`: lines that were no event, or had a time that there isn't, and are
    left out. A block may be empty: then only its header says something.
    """

    header: Header
    time_ns: np.ndarray
    severity: np.ndarray
    status: np.ndarray
    values: pa.Array
    fields: dict[int, dict[str, str]]
    bad: int = 0

    def __len__(self) -> int:
        return len(self.time_ns)

    def batch(self) -> pa.RecordBatch:
        """The events as Arrow: time, value, severity, status."""
        return pa.RecordBatch.from_arrays(
            [
                pa.array(self.time_ns).cast(pa.timestamp("ns", "UTC")),
                self.values,
                pa.array(self.severity),
                pa.array(self.status),
            ],
            ["time", "value", "severity", "status"],
        )


class RawReader:
    """Takes a stream in pieces of any size, and gives it in blocks."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._waiting = 0
        self._header: Header | None = None
        self.headers = 0
        """Headers so far."""

    def feed(self, data: bytes) -> Iterator[Block]:
        """More of the stream; the blocks of the lines that have ended. RawError when a header is none."""
        cut = data.rfind(b"\n") + 1
        if not cut:
            self._wait(data)
            return
        body = b"".join([*self._parts, data[:cut]])
        self._parts, self._waiting = [], 0
        self._wait(data[cut:])
        yield from self._lines(body)

    def _wait(self, data: bytes) -> None:
        if data:
            self._parts.append(data)
            self._waiting += len(data)
            if self._waiting > LINE_LIMIT:
                raise RawError("a line is longer than 1 GiB")

    def rest(self) -> bytes:
        """What came after the last line feed; not empty when the stream was cut off."""
        return b"".join(self._parts)

    def _lines(self, body: bytes) -> Iterator[Block]:
        flat = np.frombuffer(body, np.uint8)
        feeds = np.flatnonzero(flat == 0x0A)
        starts = np.concatenate([[0], feeds[:-1] + 1])
        first = 0
        header = self._header
        for last in [*np.flatnonzero(feeds == starts).tolist(), len(feeds)]:
            if header is None:
                if first == last:
                    first = last + 1
                    continue
                header = self._header = parse_header(body[starts[first] : feeds[first]])
                self.headers += 1
                first += 1
                yield _block(header, flat[:0], starts[:0], feeds[:0])
            for begin in range(first, last, LINES):
                end = min(begin + LINES, last)
                base, stop = int(starts[begin]), int(feeds[end - 1])
                yield _block(header, flat[base:stop], starts[begin:end] - base, feeds[begin:end] - base)
            if last < len(feeds):
                header = self._header = None
                first = last + 1


def parse_header(line: bytes) -> Header:
    """The header on a line, still escaped; RawError when it is none."""
    flat, starts, ends = _unescape(np.frombuffer(line, np.uint8), np.zeros(1, np.int64), np.array([len(line)]))
    found = pb_columns.read(flat, starts, ends)
    names = found.pieces.get(2)
    payload, year = int(found.number(1)[0]), int(found.number(3)[0])
    if found.bad[0] or names is None or 1 not in found.has or payload > GENERIC or not 1970 <= year < 2262:
        raise RawError("what should be a header line of PB/HTTP is none")
    metadata = {}
    for piece in found.pieces.get(15, []):
        pair = _pair(flat, int(piece.start[0]), int(piece.size[0]))
        if pair is None:
            raise RawError("a header line of PB/HTTP holds a broken field")
        metadata[pair[0]] = pair[1]
    count = int(found.number(4)[0]) if 4 in found.has else None
    if count is not None and not 0 <= count < 1 << 31:
        count = None
    return Header(payload, _text(pb_columns.gather(flat, names[-1]).tobytes()), year, count, metadata)


def _pair(flat: np.ndarray, start: int, size: int) -> tuple[str, str] | None:
    """Name and text of a FieldValue message; None when it is none."""
    found = pb_columns.read(flat, np.array([start]), np.array([start + size]))
    if found.bad[0] or 1 not in found.pieces:
        return None
    name, value = (
        _text(pb_columns.gather(flat, found.pieces[key][-1]).tobytes()) if key in found.pieces else "" for key in (1, 2)
    )
    return name, value


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _unescape(flat: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The bytes as they were before they were escaped, padded, and where the lines are then."""
    at = np.flatnonzero(flat == 0x1B)
    if not at.size:
        return np.concatenate([flat, np.zeros(PADDING, np.uint8)]), starts, ends
    padded = np.concatenate([flat, np.zeros(1, np.uint8)])
    after = padded[at + 1]
    if not _ESCAPED[after].all():
        # a writer that doesn't keep to the rule: 0x1B stands for nothing, and the byte after it for itself
        alone = np.ones(len(at), bool)
        for n in range(1, len(at)):
            alone[n] = not (at[n] == at[n - 1] + 1 and alone[n - 1])
        at = at[alone]
        after = padded[at + 1]
    keep = np.ones(len(flat) + PADDING, bool)
    keep[at] = False
    written = np.concatenate([padded, np.zeros(PADDING - 1, np.uint8)])
    written[at + 1] = _WRITTEN[after]
    return written[keep], starts - np.searchsorted(at, starts), ends - np.searchsorted(at, ends)


@functools.lru_cache(64)
def _year_start_ns(year: int) -> int:
    return calendar.timegm((year, 1, 1, 0, 0, 0)) * NS


def _block(header: Header, flat: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> Block:
    """The events on these lines."""
    flat, starts, ends = _unescape(flat, starts, ends)
    found = pb_columns.read(flat, starts, ends)
    seconds, nanos = found.number(1), found.number(2)
    bad = found.bad | (seconds >= _LEAP_YEAR) | (nanos >= NS)
    for key in (1, 2):
        has = found.has.get(key)
        bad |= True if has is None else ~has
    values, lost = _values(header.payload, flat, found)
    bad |= lost
    time_ns = seconds.view(np.int64) * NS + nanos.view(np.int64) + _year_start_ns(header.year)
    severity = np.minimum(found.number(4), np.uint64(255)).astype(np.uint8)
    status = np.minimum(found.number(5), np.uint64(65535)).astype(np.uint16)
    fields: dict[int, dict[str, str]] = {}
    for piece in found.pieces.get(7, []):
        for row, start, size in zip(piece.row.tolist(), piece.start.tolist(), piece.size.tolist(), strict=True):
            pair = _pair(flat, start, size)
            if pair is not None:
                fields.setdefault(row, {})[pair[0]] = pair[1]
    wrong = int(np.count_nonzero(bad))
    if wrong:
        good = ~bad
        time_ns, severity, status, values = time_ns[good], severity[good], status[good], values.filter(pa.array(good))
        place = np.cumsum(good) - 1
        fields = {int(place[row]): pairs for row, pairs in fields.items() if good[row]}
    return Block(header, time_ns, severity, status, values, fields, wrong)


def _values(payload: int, flat: np.ndarray, found: Messages) -> tuple[pa.Array, np.ndarray]:
    """Values of all messages (anything for those without one), and which have none."""
    count = len(found.bad)
    numbers = found.number(3)
    missing = ~found.has[3] if 3 in found.has else np.ones(count, bool)
    if payload == DOUBLE:
        return pa.array(numbers.view(np.float64)), missing
    if payload == FLOAT:
        return pa.array(numbers.astype(np.uint32).view(np.float32)), missing
    if payload == INT:
        return pa.array(numbers.astype(np.uint32).view(np.int32)), missing
    if payload in (SHORT, ENUM):
        return pa.array(pb_columns.zigzag(numbers).astype(np.int16 if payload == SHORT else np.uint16)), missing
    if payload == BYTE:
        piece, there = _last(found.pieces.get(3, []), count)
        value = flat[np.minimum(piece.start, len(flat) - 1)]
        value[piece.size == 0] = 0
        return pa.array(value), ~there
    if payload in (STRING, GENERIC):
        piece, there = _last(found.pieces.get(3, []), count)
        return _strings(flat, piece, payload == GENERIC), ~there
    return _arrays(payload - 7, flat, found, count)


def _last(pieces: list[Pieces], count: int) -> tuple[Pieces, np.ndarray]:
    """The last piece of each message, and which have one."""
    start, size, there = np.zeros(count, np.int64), np.zeros(count, np.int64), np.zeros(count, bool)
    for piece in pieces:
        start[piece.row], size[piece.row], there[piece.row] = piece.start, piece.size, True
    return Pieces(np.arange(count), start, size), there


def _strings(flat: np.ndarray, pieces: Pieces, binary: bool = False) -> pa.Array:
    data = pb_columns.gather(flat, pieces)
    offsets = np.concatenate([[0], np.cumsum(pieces.size)])
    if offsets[-1] >= 1 << 31:
        raise RawError("texts of more than 2 GiB at once")
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(data)]
    if binary:
        return pa.Array.from_buffers(pa.binary(), len(pieces.size), buffers)
    texts = pa.Array.from_buffers(pa.string(), len(pieces.size), buffers)
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:  # Latin-1, as older IOCs send it
        whole, ends = data.tobytes(), offsets.tolist()
        texts = pa.array([_text(whole[a:b]) for a, b in pairwise(ends)], pa.string())
    return texts


def _arrays(element: int, flat: np.ndarray, found: Messages, count: int) -> tuple[pa.Array, np.ndarray]:
    """Array values; an array without elements has no field at all. Numbers that aren't packed are read too."""
    pieces = _in_order(found.pieces.get(3, []), count)
    wrong = np.zeros(count, bool)
    if 3 in found.has:  # one element after the other, which no known writer does
        wrong |= found.has[3]
    if element == STRING:
        lengths = np.bincount(pieces.row, minlength=count)
        return _lists(lengths, _strings(flat, pieces)), wrong
    data = gathered = pb_columns.gather(flat, pieces)
    sizes = np.bincount(pieces.row, pieces.size, count).astype(np.int64)
    if element in (SHORT, ENUM):
        last = np.flatnonzero(gathered < 0x80)
        first = np.concatenate([[0], last[:-1] + 1])[: len(last)]
        window = pb_columns.windows(np.concatenate([gathered, np.zeros(PADDING, np.uint8)]))
        numbers, _ = pb_columns.varints(window[first])
        ends = np.cumsum(sizes)
        lengths = np.diff(np.searchsorted(last, ends), prepend=0)
        # the last byte of each array must end a number
        open_end = (sizes > 0) & (gathered[np.maximum(ends - 1, 0)] >= 0x80) if len(gathered) else wrong
        dtype = np.int16 if element == SHORT else np.uint16
        return _lists(lengths, pa.array(pb_columns.zigzag(numbers).astype(dtype))), wrong | open_end
    dtype = np.dtype({FLOAT: "<f4", BYTE: "u1", INT: "<i4", DOUBLE: "<f8"}[element])
    broken = sizes % dtype.itemsize != 0
    if broken.any():
        keep = ~broken[pieces.row]
        data = pb_columns.gather(flat, Pieces(pieces.row[keep], pieces.start[keep], pieces.size[keep]))
        sizes[broken] = 0
    return _lists(sizes // dtype.itemsize, pa.array(data.view(dtype))), wrong | broken


def _in_order(pieces: list[Pieces], count: int) -> Pieces:
    """All pieces, message by message."""
    if not pieces:
        none = np.zeros(0, np.int64)
        return Pieces(none, none, none)
    if len(pieces) == 1:
        return pieces[0]
    row, start, size = (np.concatenate([getattr(p, key) for p in pieces]) for key in ("row", "start", "size"))
    order = np.argsort(row, kind="stable")
    return Pieces(row[order], start[order], size[order])


def _lists(lengths: np.ndarray, elements: pa.Array) -> pa.Array:
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    if offsets[-1] >= 1 << 31:
        raise RawError("arrays of more than two thousand million elements at once")
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), elements)
