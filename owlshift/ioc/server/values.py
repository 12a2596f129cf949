"""A PV's value as Channel Access elements: every conversion between native types, on the way out.

Nothing a PV may hold makes this fail for a client's sake: numbers out of range are clamped, text that does not fit is
cut at a character boundary, characters that cannot be encoded become "?". Only text that is asked for as a number and
is none raises ValueError, as EPICS base fails such a read.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from caproto import ChannelData, ChannelType

STRING, SHORT, FLOAT, ENUM, CHAR, LONG, DOUBLE = range(7)

ITEM_SIZE = (40, 2, 4, 2, 1, 4, 8)
DTYPES = (np.dtype("S40"), *(np.dtype(t) for t in (">i2", ">f4", ">u2", "u1", ">i4", ">f8")))
RANGES = {SHORT: (-0x8000, 0x7FFF), ENUM: (0, 0xFFFF), CHAR: (-0x80, 0xFF), LONG: (-0x80000000, 0x7FFFFFFF)}
_PACK = {
    SHORT: struct.Struct(">h").pack,
    ENUM: struct.Struct(">H").pack,
    CHAR: struct.Struct("B").pack,
    LONG: struct.Struct(">i").pack,
    DOUBLE: struct.Struct(">d").pack,
}
_FLOAT = struct.Struct(">f").pack
_NUMBERS = frozenset({ChannelType.INT, ChannelType.FLOAT, ChannelType.LONG, ChannelType.DOUBLE})

MAX_TEXT = 39


def state(channel: ChannelData) -> dict[str, Any]:
    """Where caproto keeps a PV's value, time and metadata; its data model has no other access to all of them."""
    return channel._data  # noqa: SLF001


def encoded(value: str | bytes, encoding: str | None, limit: int) -> bytes:
    """Text as at most `limit` bytes, cut between characters."""
    encoding = encoding or "latin-1"
    data = value if isinstance(value, bytes) else str(value).encode(encoding, "replace")
    if len(data) <= limit:
        return data
    data = data[:limit]
    return data if isinstance(value, bytes) else data.decode(encoding, "ignore").encode(encoding)


def to_int(value: float, target: int) -> int:
    """A number clamped to the range of an integer type; NaN is 0; CHAR gives 0..255."""
    low, high = RANGES[target]
    if value != value:
        return 0
    number = low if value < low else high if value > high else int(value)
    return number & 0xFF if target == CHAR else number


def number_text(value: float, precision: int | None) -> str:
    """A number as EPICS base prints it for a string request; `precision` None for integers."""
    if not isinstance(value, int) and not math.isfinite(value):
        return str(float(value))
    if precision is None:
        return str(int(value))
    precision = max(0, precision)
    if precision > 8 or abs(value) >= 1e16:
        return f"{value:.{min(precision, 17)}e}"
    return f"{value:.{min(precision, 3) if abs(value) >= 1e7 else precision}f}"


def pack_number(value: Any, target: int) -> bytes:
    """One number as one element of a numeric type."""
    if target == DOUBLE:
        return _PACK[DOUBLE](value)
    if target == FLOAT:
        try:
            return _FLOAT(value)
        except OverflowError:
            return _FLOAT(math.copysign(math.inf, value))
    return _PACK[target](to_int(value, target))


def pack_numbers(values: Any, target: int) -> bytes:
    """Numbers as elements of a numeric type."""
    array = np.asarray(values)
    if array.dtype == object:
        array = array.astype(float)
    wanted = DTYPES[target]
    if array.dtype == wanted:
        return array.tobytes()
    with np.errstate(over="ignore", invalid="ignore"):
        if target not in RANGES:
            return array.astype(wanted).tobytes()
        low, high = RANGES[target]
        if array.dtype.kind == "f":
            array = np.nan_to_num(array.astype(float), nan=0.0, posinf=high, neginf=low)
        elif array.dtype.kind == "b":
            array = array.astype("i4")
        array = np.clip(
            array.astype(float)
            if array.dtype == np.uint64
            else array.astype("f8" if array.dtype.kind == "f" else "i8"),
            low,
            high,
        )
        return (array.astype("i8") & 0xFF if target == CHAR else array).astype(wanted).tobytes()


def pack_texts(texts: Sequence[str | bytes], encoding: str | None) -> bytes:
    """Texts as DBR_STRING elements, always closed by a NUL."""
    return b"".join(encoded(t, encoding, MAX_TEXT).ljust(40, b"\0") for t in texts)


def labels_of(channel: ChannelData) -> tuple[str, ...]:
    """The state names of an enum PV; empty for others."""
    return tuple(state(channel).get("enum_strings") or ())


def enum_index(value: Any, labels: Sequence[str]) -> int:
    """The index of an enum's value, which may be held as index or as label; an unknown label is 0xFFFF."""
    if isinstance(value, str):
        try:
            return labels.index(value)
        except ValueError:
            return int(value) if value.isdecimal() else 0xFFFF
    return to_int(value, ENUM)


def _sequence(value: Any) -> list[Any]:
    if isinstance(value, int | str | bytes) or not hasattr(value, "__len__"):
        return [value]
    return list(value)


def _char_bytes(channel: ChannelData, value: Any) -> bytes:
    if isinstance(value, list | tuple) and len(value) == 1 and isinstance(value[0], str | bytes):
        value = value[0]
    if isinstance(value, str | bytes):
        return encoded(value, channel.string_encoding, channel.max_length or 1)
    return pack_numbers(value if hasattr(value, "__len__") else [value], CHAR)


def _parse(text: Any, encoding: str | None) -> float:
    if isinstance(text, bytes):
        text = text.decode(encoding or "latin-1", "replace")
    text = str(text).strip()
    if not text:
        return 0
    try:
        return int(text, 0)
    except ValueError:
        return float(text)


def elements(channel: ChannelData, target: int, long_string: bool = False) -> bytes:
    """All elements of the PV's present value, as the native type `target` (0..6).

    `long_string` gives text as CHAR elements closed by a NUL (the `$` modifier of a PV name). ValueError when text is
    asked for as a number and is none.
    """
    value = state(channel)["value"]
    source = channel.data_type
    if source in _NUMBERS:
        if type(value) is float or type(value) is int:
            if target != STRING:
                return pack_number(value, target)
            value = (value,)
        if target != STRING:
            return pack_numbers(value if hasattr(value, "__len__") else (value,), target)
        precision = None
        if source in (ChannelType.FLOAT, ChannelType.DOUBLE):
            precision = int(state(channel).get("precision") or 0)
        numbers: Any = value if hasattr(value, "__len__") else (value,)
        return pack_texts([number_text(v, precision) for v in numbers], None)
    encoding = channel.string_encoding
    if source == ChannelType.ENUM:
        labels = labels_of(channel)
        indices = [enum_index(v, labels) for v in _sequence(value)]
        if target != STRING:
            return pack_number(indices[0], target) if len(indices) == 1 else pack_numbers(indices, target)
        return pack_texts([labels[i] if i < len(labels) else str(i) for i in indices], encoding)
    if source == ChannelType.CHAR:
        data = _char_bytes(channel, value)
        if long_string:
            return data + b"\0"
        if target == CHAR:
            return data
        if target == STRING:
            return pack_texts([str(v) for v in data], None)
        return pack_numbers(np.frombuffer(data, "u1"), target)
    texts = _sequence(value)
    if long_string and target == CHAR:
        return encoded(texts[0] if texts else "", encoding, 0xFFFF) + b"\0"
    if target == STRING:
        return pack_texts(texts, encoding)
    return pack_numbers([_parse(t, encoding) for t in texts], target)
