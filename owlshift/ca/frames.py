"""Messages in a receive buffer: where they are, found without a Python step per message.

Every Channel Access message is a multiple of 8 bytes long. A buffer is therefore looked at as 8-byte slots, and the
first slot of a header (command, payload size, data type, count) is the message's *shape*. Long runs of one shape are a
strided view of the buffer. Where shapes mix, the slot that follows each slot (were it a header) is computed for all
slots at once, and the chain of true headers is picked from that by pointer jumping.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from owlshift.ca.protocol import EXTENDED_HEADER_SIZE, EXTENDED_MARK, HEADER_SIZE, Command

MAX_MESSAGE = 256 << 20
"""Largest message (bytes) that is waited for; a server that announces more is broken."""

_HEADER = struct.Struct(">HHHHII")
_EXTENSION = struct.Struct(">II")
_MIN_RUN = 96
"""Shorter runs of one shape are cheaper as part of a mixed window."""
_WINDOW = 128 << 10
_SMALL = 1536
"""Below this many bytes walking the headers one by one is faster."""
_JUMPS = 4


class Shape(NamedTuple):
    """What is equal for all messages of a group."""

    command: int
    dbr: int
    elements: int
    payload: int
    header: int = HEADER_SIZE

    @property
    def size(self) -> int:
        """Bytes of the whole message."""
        return self.header + self.payload


@dataclass(slots=True)
class Group:
    """Messages of one shape, in the order of their arrival; `rows` has the dtype `V<size>`.

    `rows` is a view of the receive buffer or a copy of parts of it: it is valid until the buffer is written again.
    `array`: events of channels that have more than one element, which are never reordered among each other.
    """

    shape: Shape
    rows: NDArray[np.void]
    array: bool = False

    def words(self, offset: int) -> NDArray[np.uint32]:
        """The 32-bit number at `offset` of every message."""
        return self.rows.view(_word_dtype(self.shape.size, offset))["w"].astype(np.uint32)

    def parameters(self) -> tuple[list[int], list[int]]:
        """The two parameters of every header, as Python ints."""
        return self.words(8).tolist(), self.words(12).tolist()

    def payloads(self) -> list[bytes]:
        """The payload of every message."""
        header = self.shape.header
        return [row.tobytes()[header:] for row in self.rows]


@dataclass(slots=True)
class Split:
    """What a buffer held."""

    groups: list[Group]
    consumed: int
    """Bytes of complete messages; the rest is the start of the next one."""
    needed: int
    """Whole size of the incomplete message at the end where its header is there, otherwise 0."""
    error: str = ""
    """Why what follows `consumed` cannot be Channel Access, or nothing."""


@lru_cache(maxsize=1024)
def _word_dtype(size: int, offset: int) -> np.dtype:
    return np.dtype({"names": ["w"], "formats": [">u4"], "offsets": [offset], "itemsize": size})


@lru_cache(maxsize=4096)
def _void(size: int) -> np.dtype:
    return np.dtype(f"V{size}")


def _shape_at(data: memoryview, position: int) -> Shape | None:
    """The shape of the message at `position`; None when its header is not complete."""
    if position + HEADER_SIZE > len(data):
        return None
    command, payload, dbr, count, _, _ = _HEADER.unpack_from(data, position)
    if payload != EXTENDED_MARK:
        return Shape(command, dbr, count, payload)
    if position + EXTENDED_HEADER_SIZE > len(data):
        return None
    payload, count = _EXTENSION.unpack_from(data, position + HEADER_SIZE)
    return Shape(command, dbr, count, payload, EXTENDED_HEADER_SIZE)


def split(data: NDArray[np.uint8], array_ids: NDArray[np.bool_] | None = None, limit: int = MAX_MESSAGE) -> Split:
    """Find the complete messages in `data`, which starts with a header, and group them by shape.

    The groups follow the stream, except that inside a mixed window (128 KiB) scalar events are grouped by shape.
    `array_ids` says by subscription id which events belong to channels of more than one element (None: only the count
    in the message does). Nothing is allocated for what a header merely announces.
    """
    view = data.data
    groups: list[Group] = []
    position, end = 0, len(data)
    while True:
        shape = _shape_at(view, position)
        if shape is None:
            return Split(groups, position, 0)
        size = shape.size
        if size & 7:
            return Split(groups, position, size, "misaligned message")
        if size > limit:
            return Split(groups, position, size, "message too large")
        if position + size > end:
            return Split(groups, position, size)
        run = 1 if shape.header != HEADER_SIZE else _run_length(data, position, size)
        left = end - position - run * size
        if run >= _MIN_RUN or shape.header != HEADER_SIZE or left < HEADER_SIZE:
            rows = np.ndarray((run,), _void(size), data.data, position)
            _add_run(groups, shape, rows, array_ids)
            position += run * size
            continue
        window = data[position : position + max(_WINDOW, size)]
        starts, error = _starts(window, limit)
        if len(starts) == 0:
            return Split(groups, position, size, error or "misaligned message")
        position += _group_window(groups, window, starts, array_ids)
        if error:
            return Split(groups, position, 0, error)


def _run_length(data: NDArray[np.uint8], position: int, size: int) -> int:
    """How many complete messages of the shape of the one at `position` follow each other there (at least 1)."""
    possible = (len(data) - position) // size
    if possible == 1:
        return 1
    shapes = np.ndarray((possible,), np.uint64, data.data, position, (size,))
    # most runs are short or fill the buffer: look at a few before all
    for part in (shapes[:_MIN_RUN], shapes):
        same = part == shapes[0]
        first = int(same.argmin())
        if first:
            return first
    return possible


def _add_run(groups: list[Group], shape: Shape, rows: NDArray[np.void], array_ids: NDArray[np.bool_] | None) -> None:
    if shape.command != Command.EVENT_ADD:
        groups.append(Group(shape, rows))
    elif shape.elements != 1:
        groups.append(Group(shape, rows, array=True))
    elif array_ids is None:
        groups.append(Group(shape, rows))
    else:
        arrays = array_ids.take(Group(shape, rows).words(12), mode="clip")
        if not arrays.any():
            groups.append(Group(shape, rows))
        elif arrays.all():
            groups.append(Group(shape, rows, array=True))
        else:
            groups.append(Group(shape, rows[~arrays]))
            groups.append(Group(shape, rows[arrays], array=True))


def _starts(window: NDArray[np.uint8], limit: int) -> tuple[NDArray[np.intp], str]:
    """The slots at which complete messages start, and what is wrong behind the last of them."""
    starts, sizes = _walk(window) if len(window) < _SMALL else _jump(window)
    crooked = sizes & 7 != 0
    if not crooked.any():
        return starts, ""
    extended = np.flatnonzero(sizes == EXTENDED_MARK)
    if len(extended):
        words = window[: len(window) & ~7].view(">u4")
        long = words[(starts[extended] + 2) * 2].astype(np.int64)
        crooked[extended] = (long & 7 != 0) | (long + EXTENDED_HEADER_SIZE > limit)
        if not crooked.any():
            return starts, ""
    return starts[: int(crooked.argmax())], "misaligned message"


def _walk(window: NDArray[np.uint8]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The starts of complete messages and the sizes in their headers, one header after the other."""
    view = window.data
    found: list[int] = []
    sizes: list[int] = []
    position = 0
    while (shape := _shape_at(view, position)) is not None:
        following = position + (shape.size & ~7)
        if following > len(window):
            break
        found.append(position >> 3)
        sizes.append(shape.payload if shape.header == HEADER_SIZE else EXTENDED_MARK)
        position = following
    return np.array(found, dtype=np.intp), np.array(sizes, dtype=np.intp)


def _jump(window: NDArray[np.uint8]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The same by pointer jumping over all slots."""
    slots = len(window) >> 3
    words = window[: slots * 8].view(">u2").reshape(-1, 4)
    payload = words[:, 1].astype(np.intp)
    # `following[s]` is the slot behind the message that would start at s; slots: exactly the end; slots + 1: incomplete
    following = np.empty(slots + 2, dtype=np.intp)
    body = following[:slots]
    np.right_shift(payload, 3, out=body)
    body += np.arange(2, slots + 2)
    extended = np.flatnonzero(payload == EXTENDED_MARK)
    if len(extended):
        known = extended[extended + 2 < slots]
        body[extended] = slots + 1
        long = window[: slots * 8].view(">u4")[(known + 2) * 2].astype(np.intp)
        body[known] = known + 3 + (long >> 3)
    following[slots:] = (slots, slots + 1)
    np.minimum(following, slots + 1, out=following)
    if slots:
        following[slots - 1] = slots + 1
    steps = [following]
    for _ in range(_JUMPS):
        steps.append(steps[-1].take(steps[-1], mode="clip"))
    # every 16th message one by one, then those between them, level by level
    stride = steps[-1]
    chain: list[int] = []
    at = 0
    while at < slots:
        chain.append(at)
        at = int(stride[at])
    starts = np.array(chain, dtype=np.intp)
    for step in reversed(steps[:-1]):
        both = np.empty((len(starts), 2), dtype=np.intp)
        both[:, 0] = starts
        step.take(starts, out=both[:, 1], mode="clip")
        starts = both.reshape(-1)
    # what is behind the end, or not complete, is at the end of the chain
    starts = starts[: int(np.searchsorted(starts, slots))]
    if len(starts) and following[starts[-1]] > slots:
        starts = starts[:-1]
    return starts, payload.take(starts)


def _group_window(
    groups: list[Group], window: NDArray[np.uint8], starts: NDArray[np.intp], array_ids: NDArray[np.bool_] | None
) -> int:
    """Add the messages that start at `starts` to `groups`; return how many bytes they take."""
    slots = window[: len(window) & ~7].view(np.uint64)
    view = window.data
    keys = slots[starts]
    last = int(starts[-1]) << 3
    tail = _shape_at(view, last)
    consumed = last + (tail.size if tail is not None else 0)
    raw = keys.view(np.uint16).reshape(-1, 4)
    special = raw[:, 1] == EXTENDED_MARK
    events = raw[:, 0] == _EVENT_ADD_BE
    special |= events & (raw[:, 3] != _ONE_BE)
    if array_ids is not None:
        ids = window[: len(window) & ~7].view(">u4")[starts * 2 + 3]
        special |= events & array_ids.take(ids, mode="clip")
    if special.any():
        plain = np.flatnonzero(~special)
        _add_plain(groups, window, keys[plain], starts[plain])
        chosen = np.flatnonzero(special)
        _add_ordered(groups, window, keys[chosen], starts[chosen])
    else:
        _add_plain(groups, window, keys, starts)
    return consumed


_ONE_BE = np.uint16(1).byteswap()
_EVENT_ADD_BE = np.uint16(Command.EVENT_ADD).byteswap()


def _add_plain(
    groups: list[Group], window: NDArray[np.uint8], keys: NDArray[np.uint64], starts: NDArray[np.intp]
) -> None:
    """One group for each shape, by its first appearance."""
    view = window.data
    for _ in range(12):
        if len(keys) == 0:
            return
        same = keys == keys[0]
        shape = _shape_at(view, int(starts[0]) << 3)
        if same.all():
            _add_rows(groups, window, shape, starts)
            return
        _add_rows(groups, window, shape, starts[same])
        other = ~same
        keys, starts = keys[other], starts[other]
    order = np.argsort(keys, kind="stable")
    edges = np.flatnonzero(np.diff(keys[order])) + 1
    for part in np.split(starts[order], edges):
        if len(part):
            _add_rows(groups, window, _shape_at(view, int(part[0]) << 3), part)


def _add_ordered(
    groups: list[Group], window: NDArray[np.uint8], keys: NDArray[np.uint64], starts: NDArray[np.intp]
) -> None:
    """One group for each run of equal shapes; messages with a long header stand alone."""
    view = window.data
    edges = np.flatnonzero(np.diff(keys)) + 1
    for part in np.split(starts, edges):
        shape = _shape_at(view, int(part[0]) << 3)
        if shape is None or shape.header == HEADER_SIZE:
            _add_rows(groups, window, shape, part, array=True)
            continue
        for start in part:
            shape = _shape_at(view, int(start) << 3)
            _add_rows(groups, window, shape, start.reshape(1), array=shape is not None and shape.command == 1)


def _add_rows(
    groups: list[Group], window: NDArray[np.uint8], shape: Shape | None, starts: NDArray[np.intp], array: bool = False
) -> None:
    if shape is None:
        return
    # all windows of `size` bytes at a distance of one slot: taking rows of that is one memcpy each
    possible = (len(window) - shape.size) // 8 + 1
    overlapping = np.ndarray((possible,), _void(shape.size), window.data, 0, (8,))
    groups.append(Group(shape, overlapping[starts], array))
