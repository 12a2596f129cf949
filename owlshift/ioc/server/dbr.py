"""The payload of a read or a monitor event: a DBR structure of any type, made from a PV's present state.

Layouts are those of EPICS base's db_access.h: type numbers go in groups of seven native types (STRING, SHORT, FLOAT,
ENUM, CHAR, LONG, DOUBLE), plain, STS_, TIME_, GR_ and CTRL_; then the alarm acknowledge types and the class name.
"""

from __future__ import annotations

import struct
import time
from typing import Any, NamedTuple

import numpy as np
from caproto import ChannelData

from . import values
from .values import CHAR, DOUBLE, ENUM, FLOAT, LONG, SHORT, STRING
from .wire import MAX_MESSAGE, padded

PLAIN, STS, TIME, GR, CTRL = range(5)
PUT_ACKT, PUT_ACKS, STSACK_STRING, CLASS_NAME = 35, 36, 37, 38
LAST_TYPE = 38

EPICS_EPOCH = 631152000
"""Seconds from 1970-01-01 to 1990-01-01, UTC."""

_S = struct.Struct
_STS = tuple(_S(f) for f in (">HH", ">HH", ">HH", ">HH", ">HHx", ">HH", ">HH4x"))
_TIME = tuple(_S(f) for f in (">HHII", ">HHII2x", ">HHII", ">HHII2x", ">HHII3x", ">HHII", ">HHII4x"))
_GR = {
    SHORT: _S(">HH8s6h"),
    FLOAT: _S(">HHh2x8s6f"),
    CHAR: _S(">HH8s6Bx"),
    LONG: _S(">HH8s6i"),
    DOUBLE: _S(">HHh2x8s6d"),
}
_CTRL = {
    SHORT: _S(">HH8s8h"),
    FLOAT: _S(">HHh2x8s8f"),
    CHAR: _S(">HH8s8Bx"),
    LONG: _S(">HH8s8i"),
    DOUBLE: _S(">HHh2x8s8d"),
}
_ENUM_META = _S(">HHH" + "26s" * 16)
_STSACK = _S(">HHHH")
_LIMITS = (
    "upper_disp_limit",
    "lower_disp_limit",
    "upper_alarm_limit",
    "upper_warning_limit",
    "lower_warning_limit",
    "lower_alarm_limit",
    "upper_ctrl_limit",
    "lower_ctrl_limit",
)


MAX_EMPTY = 65536
"""Bytes of zeros that go with a status other than NORMAL."""


class BadTypeError(ValueError):
    """A DBR type that cannot be read."""


class TooLargeError(ValueError):
    """The answer would be larger than a message may be."""


class Slice(NamedTuple):
    """Which elements of an array a channel filter lets through: `start` to `end` inclusive in steps of `step`."""

    start: int | None
    step: int | None
    end: int | None

    def apply(self, data: bytes, size: int) -> bytes:
        """The elements of `size` bytes in `data` that this slice lets through."""
        array = np.frombuffer(data, f"V{size}")
        stop = None if self.end is None or self.end == -1 else self.end + 1
        return array[self.start : stop : self.step].tobytes()


class Shape(NamedTuple):
    """What a client asked for.

    DBR type, element count (0: all there are), text form (`$`), slice,
    and whether the server's time replaces the PV's (the `ts` filter)."""

    dbr: int
    data_count: int
    long_string: bool = False
    piece: Slice | None = None
    server_time: bool = False


class Encoded(NamedTuple):
    """A payload, padded to 8 bytes, and the element count that belongs in its header."""

    payload: bytes
    data_count: int


def stamp_of(channel: ChannelData) -> tuple[int, int]:
    """The PV's time: seconds since 1990-01-01 UTC and nanoseconds, each in 32 bits."""
    stamp: Any = values.state(channel)["timestamp"]
    if type(stamp) is not tuple:
        return stamp.secondsSinceEpoch, stamp.nanoSeconds
    return stamp[0] & 0xFFFFFFFF, stamp[1] & 0xFFFFFFFF


def _now() -> tuple[int, int]:
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return (seconds - EPICS_EPOCH) & 0xFFFFFFFF, nanoseconds


def _limits(channel: ChannelData, native: int, count: int) -> list[Any]:
    data = values.state(channel)
    found = [data.get(name) for name in _LIMITS[:count]]
    if native == DOUBLE:
        return [0.0 if v is None else float(v) for v in found]
    if native == FLOAT:
        return [0.0 if v is None else max(-3.4e38, min(3.4e38, float(v))) for v in found]
    return [0 if v is None else values.to_int(v, native) for v in found]


def _metadata(channel: ChannelData, kind: int, native: int, server_time: bool) -> bytes:
    alarm: Any = channel.alarm
    status, severity = int(alarm.status), int(alarm.severity)
    if kind == TIME:
        stamp = _now() if server_time else stamp_of(channel)
        return _TIME[native].pack(status, severity, *stamp)
    if kind == STS or native == STRING:
        return _STS[native].pack(status, severity)
    encoding = channel.string_encoding
    if native == ENUM:
        labels = [values.encoded(label, encoding, 25) for label in values.labels_of(channel)[:16]]
        return _ENUM_META.pack(status, severity, len(labels), *labels, *[b""] * (16 - len(labels)))
    data = values.state(channel)
    units = values.encoded(data.get("units") or "", encoding, 7)
    layout, limits = (_GR[native], 6) if kind == GR else (_CTRL[native], 8)
    found = _limits(channel, native, limits)
    if native in (FLOAT, DOUBLE):
        precision = values.to_int(data.get("precision") or 0, SHORT)
        return layout.pack(status, severity, precision, units, *found)
    return layout.pack(status, severity, units, *found)


def encode(channel: ChannelData, shape: Shape, limit: int = MAX_MESSAGE) -> Encoded:
    """The payload for `shape` from the PV's present state.

    A count beyond what there is is filled with zeros, as EPICS base does; count 0 gives what there is. Raises
    BadTypeError, TooLargeError (over `limit` bytes), ValueError when the value cannot be given as this type.
    """
    dbr, count = shape.dbr, shape.data_count
    if dbr > CTRL * 7 + DOUBLE:
        return _special(channel, dbr)
    kind, native = divmod(dbr, 7)
    size = values.ITEM_SIZE[native]
    if count * size > limit:
        raise TooLargeError(f"{count} elements of {size} bytes; the limit is {limit} bytes")
    data = values.elements(channel, native, shape.long_string)
    if shape.piece is not None:
        data = shape.piece.apply(data, size)
    if count == 0:
        count = len(data) // size
        if len(data) > limit:
            raise TooLargeError(f"{len(data)} bytes; the limit is {limit}")
    else:
        wanted = count * size
        if len(data) != wanted:
            data = data[:wanted] if len(data) > wanted else data.ljust(wanted, b"\0")
    if kind == PLAIN:
        return Encoded(padded(data), count)
    head = _metadata(channel, kind, native, shape.server_time)
    # at once: data may be as large as everything else that there is
    return Encoded(b"".join((head, data, bytes(-(len(head) + len(data)) & 7))), count)


def _special(channel: ChannelData, dbr: int) -> Encoded:
    alarm: Any = channel.alarm
    if dbr == STSACK_STRING:
        head = _STSACK.pack(
            int(alarm.status),
            int(alarm.severity),
            int(bool(alarm.must_acknowledge_transient)),
            int(alarm.severity_to_acknowledge),
        )
        return Encoded(padded(head + values.elements(channel, STRING)[:40].ljust(40, b"\0")), 1)
    if dbr == CLASS_NAME:
        return Encoded(values.encoded(channel.reported_record_type, None, 39).ljust(40, b"\0"), 1)
    raise BadTypeError(f"DBR type {dbr} cannot be read")


def empty(shape: Shape) -> Encoded:
    """A payload of zeros, which goes with a status that says why there is no value; clients do not look at it."""
    kind, native = divmod(shape.dbr, 7) if shape.dbr < PUT_ACKT else (PLAIN, SHORT)
    count = max(1, shape.data_count)
    size = values.ITEM_SIZE[native]
    if count * size > MAX_EMPTY:
        count = 1
    if kind == PLAIN:
        head = 0
    elif kind == STS or (native == STRING and kind != TIME):
        head = _STS[native].size
    elif kind == TIME:
        head = _TIME[native].size
    elif native == ENUM:
        head = _ENUM_META.size
    else:
        head = (_GR if kind == GR else _CTRL)[native].size
    return Encoded(padded(bytes(head + count * size)), count)
