"""Protobuf messages of one kind, many at a time: their fields as numpy columns, without a Python object for any.

A cursor stands in each message, and all of them read one field per step. A message that can't be read is marked,
whatever it holds: nothing is ever read beyond the buffer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

PADDING = 16
"""Bytes that must follow the last message in the buffer: numbers are loaded eight bytes at a time."""

STEPS = 1 << 20
"""Fields of a message at most."""

_HIGH = np.uint64(0x8080808080808080)
_LOW = np.uint64(0x7F7F7F7F7F7F7F7F)
_ONE = np.uint64(1)
_FOLDS = tuple(
    (np.uint64(keep), np.uint64(move), np.uint64(by))
    for keep, move, by in (
        (0x007F007F007F007F, 0x7F007F007F007F00, 1),
        (0x00003FFF00003FFF, 0x3FFF00003FFF0000, 2),
        (0x000000000FFFFFFF, 0x0FFFFFFF00000000, 4),
    )
)

VARINT, FIXED64, SIZED, FIXED32 = 0, 1, 2, 5
"""Wire types."""


@dataclass(frozen=True)
class Pieces:
    """Values with a length, of one field: of message `row`, the bytes `start` to `start + size` of the buffer."""

    row: np.ndarray
    start: np.ndarray
    size: np.ndarray


@dataclass
class Messages:
    """What was read of n messages.

    `numbers`: by field, u8[n], the bits of a varint or a fixed-width value, 0 where it is missing; of a field that came
    twice the last. `has`: by field, bool[n], whether it came as a number. `pieces`: by field, in the order in which
    they stand in each message. `bad`: bool[n], messages that are none.
    """

    bad: np.ndarray
    numbers: dict[int, np.ndarray] = field(default_factory=dict)
    has: dict[int, np.ndarray] = field(default_factory=dict)
    pieces: dict[int, list[Pieces]] = field(default_factory=dict)

    def number(self, key: int) -> np.ndarray:
        """The column of a field, u8[n]; zeros when no message has it."""
        found = self.numbers.get(key)
        return np.zeros(len(self.bad), np.uint64) if found is None else found


def windows(flat: np.ndarray) -> np.ndarray:
    """The eight bytes at each place of the buffer as one little-endian number, without a copy."""
    return np.ndarray((max(len(flat) - 7, 0),), "<u8", flat.data, strides=(1,))


def varints(window: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Value and length of the varints that begin eight-byte windows; length 0 for one of more than eight bytes."""
    stop = ~window & _HIGH
    below = (stop & (~stop + _ONE)) - _ONE
    value = window & below
    value &= _LOW
    for keep, move, by in _FOLDS:
        value = (value & keep) | ((value & move) >> by)
    length = (np.bitwise_count(below).astype(np.int64) + 1) >> 3
    length[stop == 0] = 0
    return value, length


def zigzag(values: np.ndarray) -> np.ndarray:
    """The signed numbers (i8) of sint32 and sint64 fields."""
    return (values >> _ONE).view(np.int64) ^ -(values & _ONE).view(np.int64)


def read(flat: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> Messages:
    """The fields of the messages `flat[starts[i]:ends[i]]`; `flat` (u1) goes on for `PADDING` bytes after the last."""
    cursor = _Cursor(flat, len(starts))
    rows: np.ndarray | None = None  # None: every message, in order
    pos, stop = starts.astype(np.int64), ends.astype(np.int64)
    for _ in range(STEPS):
        alive = pos < stop
        if not alive.all():
            rows = np.flatnonzero(alive) if rows is None else rows[alive]
            pos, stop = pos[alive], stop[alive]
        if not len(pos):
            return cursor.found
        tags = flat[pos]
        if (tags == tags[0]).all():
            pos = cursor.step(int(tags[0]), rows, pos, stop)
            continue
        pos = pos.copy()
        for tag in np.flatnonzero(np.bincount(tags, minlength=256)).tolist():
            part = np.flatnonzero(tags == tag)
            pos[part] = cursor.step(tag, part if rows is None else rows[part], pos[part], stop[part])
    cursor.found.bad[slice(None) if rows is None else rows] = True
    return cursor.found


class _Cursor:
    """Reads one field of many messages at once."""

    def __init__(self, flat: np.ndarray, count: int) -> None:
        self._flat = flat
        self._window = windows(flat)
        self._count = count
        self.found = Messages(np.zeros(count, bool))

    def step(self, tag: int, rows: np.ndarray | None, pos: np.ndarray, stop: np.ndarray) -> np.ndarray:
        """Read the field that begins with `tag` at `pos` in these messages; where the next field begins."""
        key, wire = tag >> 3, tag & 7
        if key == 0 or tag >= 0x80:
            # fields from 16 on have tags of two bytes: no message of the format has one
            return self._fail(rows, stop, np.ones(len(pos), bool))
        if wire == VARINT:
            value, length = self._varint(pos + 1, stop)
            after = pos + 1 + length
            wrong = (length == 0) | (after > stop)
        elif wire == FIXED64:
            value, after = self._window[pos + 1], pos + 9
            wrong = after > stop
        elif wire == FIXED32:
            value, after = self._window[pos + 1] & np.uint64(0xFFFFFFFF), pos + 5
            wrong = after > stop
        elif wire == SIZED:
            return self._sized(key, rows, pos, stop)
        else:
            return self._fail(rows, stop, np.ones(len(pos), bool))
        self._keep(key, rows, value)
        return self._fail(rows, stop, wrong, after) if wrong.any() else after

    def _varint(self, pos: np.ndarray, stop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        value, length = varints(self._window[pos])
        for at in np.flatnonzero(length == 0).tolist():  # negative int32: ten bytes
            value[at], length[at] = _long_varint(self._flat[pos[at] : min(pos[at] + 10, stop[at])])
        return value, length

    def _sized(self, key: int, rows: np.ndarray | None, pos: np.ndarray, stop: np.ndarray) -> np.ndarray:
        value, length = self._varint(pos + 1, stop)
        start = pos + 1 + length
        size = np.minimum(value, np.uint64(1 << 40)).astype(np.int64)
        after = start + size
        wrong = (length == 0) | (after > stop)
        mine = np.arange(self._count) if rows is None else rows
        if wrong.any():
            good = ~wrong
            self.found.pieces.setdefault(key, []).append(Pieces(mine[good], start[good], size[good]))
            return self._fail(rows, stop, wrong, after)
        self.found.pieces.setdefault(key, []).append(Pieces(mine, start, size))
        return after

    def _keep(self, key: int, rows: np.ndarray | None, value: np.ndarray) -> None:
        if rows is None:
            self.found.numbers[key] = value
            self.found.has[key] = np.ones(self._count, bool)
            return
        column = self.found.numbers.get(key)
        if column is None:
            column = self.found.numbers[key] = np.zeros(self._count, np.uint64)
            self.found.has[key] = np.zeros(self._count, bool)
        column[rows] = value
        self.found.has[key][rows] = True

    def _fail(
        self, rows: np.ndarray | None, stop: np.ndarray, wrong: np.ndarray, after: np.ndarray | None = None
    ) -> np.ndarray:
        """Mark messages as bad and be done with them."""
        self.found.bad[np.flatnonzero(wrong) if rows is None else rows[wrong]] = True
        return stop if after is None else np.where(wrong, stop, after)


def _long_varint(data: np.ndarray) -> tuple[int, int]:
    """A varint byte by byte: its value (64 bits) and length; length 0 when it doesn't end."""
    value = 0
    for n, byte in enumerate(data.tolist()):
        value |= (byte & 0x7F) << 7 * n
        if byte < 0x80:
            return value & (1 << 64) - 1, n + 1
    return 0, 0


def gather(flat: np.ndarray, pieces: Pieces) -> np.ndarray:
    """The bytes of pieces, one after the other (u1)."""
    total = int(pieces.size.sum())
    if not total:
        return np.zeros(0, np.uint8)
    if total > 64 * len(pieces.size):  # long ones are copied as they are
        view = flat.data
        ends = (pieces.start + pieces.size).tolist()
        return np.frombuffer(b"".join(view[a:b] for a, b in zip(pieces.start.tolist(), ends, strict=True)), np.uint8)
    before = np.cumsum(pieces.size) - pieces.size
    return flat[np.repeat(pieces.start - before, pieces.size) + np.arange(total)]
