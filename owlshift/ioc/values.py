"""The types a PV can have: what the wire's bytes mean, what the IOC may store, and what is refused.

Two doors, two manners. `from_put` takes what a client sent and refuses whatever it cannot take exactly. `coerce` takes
what the IOC's own code has measured, and is as strict about numbers and states, but cuts text to the room there is.
Both raise `ValueError` with a reason fit for an operator.
"""

from __future__ import annotations

import enum
import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from caproto import ChannelType

STRING_BYTES = 39
"""What fits into a DBR_STRING (40 bytes) with its closing NUL."""
STATES = 16
LABEL_BYTES = 25
UNITS_BYTES = 7
INT_MIN, INT_MAX = -(2**31), 2**31 - 1
ENCODING = "utf-8"


def cut(text: str, room: int) -> str:
    """`text`, cut so that it takes at most `room` bytes, never in the middle of a character."""
    if len(text) <= room and text.isascii():
        return text
    raw = text.encode(ENCODING)
    return text if len(raw) <= room else raw[:room].decode(ENCODING, "ignore")


def _one(data: Sequence[Any]) -> Any:
    """The element of a put to a scalar."""
    if len(data) != 1:
        raise ValueError(f"an array of {len(data)} elements put to a scalar")
    return data[0]


def _text(raw: bytes) -> str:
    try:
        return bytes(raw).split(b"\0", 1)[0].decode(ENCODING)
    except UnicodeDecodeError:
        raise ValueError("text that is not UTF-8") from None


def _number(raw: bytes) -> float:
    """A number from the text that a client put to a number."""
    text = _text(raw).strip()
    try:
        if "_" in text:  # Python's own
            raise ValueError
        if text.lstrip("+-").isdecimal():
            return int(text)
        return int(text, 16) if text.lower().lstrip("+-").startswith("0x") else float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None


def _numbers(data: Any, dbr: ChannelType) -> list[float]:
    return [_number(item) for item in data] if dbr == ChannelType.STRING else np.asarray(data).tolist()


class ValueType:
    """A PV's type: `dbr` its native Channel Access type, `count` the elements it holds, `zero` its value before any."""

    dbr: ChannelType
    kind: str
    count: int = 1
    zero: Any
    labels: tuple[str, ...] = ()
    numeric = False
    """Limits, units and a display range make sense."""

    def from_put(self, data: Any, dbr: ChannelType) -> Any:
        """The value that a client's `data` (an array, or a list of bytes for STRING) of native type `dbr` means."""
        raise NotImplementedError

    def coerce(self, value: Any) -> Any:
        """`value` as this type stores it."""
        raise NotImplementedError

    def same(self, one: Any, other: Any) -> bool:
        """Whether two stored values are equal (NaN is equal to NaN)."""
        return one == other

    def to_json(self, value: Any) -> Any:
        """`value` for a JSON file; `coerce` takes it back."""
        return value


class Double(ValueType):
    """A float of 64 bits."""

    dbr, kind, zero, numeric = ChannelType.DOUBLE, "double", 0.0, True

    def from_put(self, data: Any, dbr: ChannelType) -> float:
        """A number, or text that is one; NaN is refused."""
        item = _one(data)
        value = float(_number(item) if dbr == ChannelType.STRING else item)
        if math.isnan(value):
            raise ValueError("NaN is no setting")
        return value

    def coerce(self, value: Any) -> float:
        """Any real number."""
        if not isinstance(value, numbers.Real | np.bool_):
            raise ValueError(f"{value!r} is not a number")
        return float(value)

    def same(self, one: float, other: float) -> bool:
        """Equal, or both NaN."""
        return one == other or (one != one and other != other)


def _integer(value: Any) -> int:
    if isinstance(value, np.bool_):
        value = bool(value)
    if isinstance(value, numbers.Integral):
        result = int(value)
    elif isinstance(value, numbers.Real) and float(value).is_integer():
        result = int(float(value))
    elif isinstance(value, numbers.Real):
        raise ValueError(f"{value:g} is not an integer")
    else:
        raise ValueError(f"{value!r} is not a number")
    if not INT_MIN <= result <= INT_MAX:
        raise ValueError(f"{result} does not fit into 32 bits")
    return result


class Long(ValueType):
    """An integer of 32 bits."""

    dbr, kind, zero, numeric = ChannelType.LONG, "long", 0, True

    def from_put(self, data: Any, dbr: ChannelType) -> int:
        """An integer, in any type; a fraction or more than 32 bits is refused."""
        item = _one(data)
        return _integer(_number(item) if dbr == ChannelType.STRING else item)

    def coerce(self, value: Any) -> int:
        """Any real number that is an integer of 32 bits."""
        return _integer(value)


class State(ValueType):
    """One state of an `enum.IntEnum` or bool. `labels[i]` is what clients see for the value i ('' where none is)."""

    dbr, kind = ChannelType.ENUM, "enum"

    def __init__(self, states: type[enum.IntEnum] | type[bool], labels: tuple[str, ...] | None = None) -> None:
        members = {0: False, 1: True} if states is bool else {int(m): m for m in states}  # type: ignore[union-attr]
        names = {0: "No", 1: "Yes"} if states is bool else {int(m): m.name for m in states}  # type: ignore[union-attr]
        if labels is not None:
            if len(labels) != len(members):
                raise ValueError(f"{len(labels)} labels for {len(members)} states")
            names = dict(zip(sorted(members), labels, strict=True))
        if not members or min(members) < 0 or max(members) >= STATES:
            raise ValueError(f"the states of {states.__name__} must be numbered within 0..{STATES - 1}")
        for label in names.values():
            if not label or len(label.encode(ENCODING)) > LABEL_BYTES:
                raise ValueError(f"the label {label!r} must have 1 to {LABEL_BYTES} bytes")
        if len(set(names.values())) != len(names):
            raise ValueError(f"two states of {states.__name__} have one label")
        self.states = states
        self.members: dict[int, Any] = members
        self.labels = tuple(names.get(i, "") for i in range(max(members) + 1))
        self.zero = members[min(members)]

    def from_put(self, data: Any, dbr: ChannelType) -> Any:
        """A label, or the number of a state."""
        item = _one(data)
        if dbr != ChannelType.STRING:
            return self.coerce(item)
        text = _text(item)
        if text in self.labels and text:
            return self.members[self.labels.index(text)]
        if text.strip().isdecimal():
            return self.coerce(int(text))
        raise ValueError(f"{text!r} is none of {', '.join(filter(None, self.labels))}")

    def coerce(self, value: Any) -> Any:
        """A member, its number, or its label."""
        if type(value) is self.states:
            return value
        if isinstance(value, str) and value and value in self.labels:
            return self.members[self.labels.index(value)]
        member = self.members.get(_integer(value)) if isinstance(value, numbers.Real | np.bool_) else None
        if member is None:
            raise ValueError(f"{value!r} is none of the states 0..{len(self.labels) - 1}")
        return member

    def to_json(self, value: Any) -> str:
        """The label: it outlives a renumbering."""
        return self.labels[int(value)]


class String(ValueType):
    """Text of at most 39 bytes (DBR_STRING)."""

    dbr, kind, zero = ChannelType.STRING, "string", ""

    def from_put(self, data: Any, dbr: ChannelType) -> str:
        """Text, a number as text, or characters as a char array (`caput -S NAME.$`)."""
        if dbr == ChannelType.CHAR:
            text = _text(np.asarray(data, "u1").tobytes())
        else:
            item = _one(data)
            text = _text(item) if dbr == ChannelType.STRING else f"{float(item):.15g}"
        if len(text.encode(ENCODING)) > STRING_BYTES:
            raise ValueError(f"text of more than {STRING_BYTES} bytes")
        return text

    def coerce(self, value: Any) -> str:
        """Text (cut to 39 bytes), or anything's `str`."""
        if isinstance(value, bytes):
            value = value.decode(ENCODING, "replace")
        return cut(str(value).replace("\0", ""), STRING_BYTES)


class Text(ValueType):
    """Text of at most `count` bytes, a char waveform on the wire."""

    dbr, kind, zero = ChannelType.CHAR, "char", ""

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError(f"Text({count}) has no room")
        self.count = int(count)

    def from_put(self, data: Any, dbr: ChannelType) -> str:
        """A char array, or a string."""
        if dbr == ChannelType.STRING:
            text = _text(_one(data))
        elif dbr == ChannelType.CHAR:
            text = _text(np.asarray(data, "u1").tobytes())
        else:
            raise ValueError("numbers put to a text")
        if len(text.encode(ENCODING)) > self.count:
            raise ValueError(f"text of more than {self.count} bytes")
        return text

    def coerce(self, value: Any) -> str:
        """Text, cut to the room there is."""
        if isinstance(value, bytes):
            value = value.decode(ENCODING, "replace")
        return cut(str(value).replace("\0", ""), self.count)


class Array(ValueType):
    """Up to `count` floats of 64 bits or integers of 32 bits; stored as a read-only numpy array."""

    numeric = True

    def __init__(self, element: type[float] | type[int], count: int) -> None:
        if element not in (float, int):
            raise ValueError(f"an Array holds float or int, not {getattr(element, '__name__', element)}")
        if count < 1:
            raise ValueError(f"Array(…, {count}) has no room")
        self.element = element
        self.count = int(count)
        self.dtype = np.dtype("f8" if element is float else "i4")
        self.dbr = ChannelType.DOUBLE if element is float else ChannelType.LONG
        self.kind = "double" if element is float else "long"
        self.zero = np.zeros(0, self.dtype)
        self.zero.flags.writeable = False

    def _fit(self, array: np.ndarray) -> np.ndarray:
        if array.ndim != 1:
            raise ValueError(f"an array of {array.ndim} dimensions")
        if len(array) > self.count:
            raise ValueError(f"{len(array)} elements where {self.count} fit")
        if self.element is int and len(array):
            if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.trunc(array)).all()):
                raise ValueError("a fraction or NaN in an array of integers")
            if array.min() < INT_MIN or array.max() > INT_MAX:
                raise ValueError("an element does not fit into 32 bits")
        result = array.astype(self.dtype)  # always a copy: the caller may go on writing into its own
        result.flags.writeable = False
        return result

    def from_put(self, data: Any, dbr: ChannelType) -> np.ndarray:
        """As many numbers as were put; NaN is refused."""
        array = np.asarray(_numbers(data, dbr)) if dbr == ChannelType.STRING else np.asarray(data)
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise ValueError("NaN is no setting")
        return self._fit(array)

    def coerce(self, value: Any) -> np.ndarray:
        """Any one-dimensional sequence of numbers."""
        array = np.asarray(value)
        if array.dtype.kind not in "fiub" and array.size:
            raise ValueError("an array of something that is not a number")
        return self._fit(np.atleast_1d(array))

    def same(self, one: np.ndarray, other: np.ndarray) -> bool:
        """Equal in length and every element (NaN equals NaN)."""
        return np.array_equal(one, other, equal_nan=self.element is float)

    def to_json(self, value: np.ndarray) -> list[Any]:
        """A plain list."""
        return value.tolist()


def value_type(dtype: Any, labels: tuple[str, ...] | None = None) -> ValueType:
    """The type that a declaration names: float, int, bool, str, an `enum.IntEnum`, `Text(n)` or `Array(float, n)`."""
    if isinstance(dtype, Text | Array):
        result = dtype
    elif dtype is float:
        result = Double()
    elif dtype is bool or (isinstance(dtype, type) and issubclass(dtype, enum.IntEnum)):
        return State(dtype, labels)
    elif dtype is int:
        result = Long()
    elif dtype is str:
        result = String()
    else:
        raise ValueError(f"{dtype!r} is none of float, int, bool, str, an IntEnum, Text(n), Array(float, n)")
    if labels is not None:
        raise ValueError("labels belong to bool and IntEnum")
    return result
