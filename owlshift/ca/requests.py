"""Reads and writes of single channels: plain code, for what is rare."""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from owlshift.ca.metadata import text
from owlshift.ca.protocol import (
    ECA_NORMAL,
    EPICS_EPOCH,
    NATIVE_DTYPES,
    STRING_SIZE,
    TIME_OFFSET,
    TIME_VALUE_OFFSETS,
    WIRE_DTYPES,
    CaAccessError,
    CaDisconnectedError,
    CaError,
    CaStatusError,
    Dbr,
)

_STAMP = struct.Struct(">HHII")
_SCALARS = tuple(struct.Struct(code) for code in (">40s", ">h", ">f", ">H", ">B", ">i", ">d"))
_DBRS = tuple(Dbr)


@dataclass(frozen=True, slots=True)
class Reading:
    """One value that was read."""

    name: str
    value: Any
    """float, int or str; an ndarray (a list of str) for channels of more than one element."""
    severity: int
    status: int
    time_ns: int
    """UTC nanoseconds since 1970."""
    dbr: Dbr
    count: int
    states: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The state's label of an enum where it is known, the value as text otherwise; a char array as text."""
        if self.dbr is Dbr.ENUM and isinstance(self.value, int) and self.value < len(self.states):
            return self.states[self.value]
        if self.dbr is Dbr.CHAR and isinstance(self.value, np.ndarray):
            return text(self.value.tobytes())
        return str(self.value)


class Pending:
    """Requests that wait for their answer, by id."""

    def __init__(self) -> None:
        self._next = 0
        self._waiting: dict[int, tuple[asyncio.Future[Any], str, object]] = {}

    def add(self, name: str, owner: object) -> tuple[int, asyncio.Future[Any]]:
        """A new request of `name` over the circuit `owner`."""
        self._next = (self._next + 1) & 0x7FFF_FFFF
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[self._next] = (future, name, owner)
        return self._next, future

    def forget(self, number: int) -> None:
        """The asker waits no longer."""
        self._waiting.pop(number, None)

    def finish(self, number: int, owner: object, status: int, result: Any, detail: str = "") -> bool:
        """Answer request `number`; False when there is none over this circuit."""
        entry = self._waiting.get(number)
        if entry is None or entry[2] is not owner:
            return False
        del self._waiting[number]
        future, name, _ = entry
        if future.done():
            return True
        if status != ECA_NORMAL:
            future.set_exception(refusal(name, status, detail))
        elif isinstance(result, CaError):
            future.set_exception(result)
        else:
            future.set_result(result)
        return True

    def lose(self, owner: object, reason: str) -> None:
        """Fail all requests over a circuit that ended."""
        for number in [number for number, entry in self._waiting.items() if entry[2] is owner]:
            future, name, _ = self._waiting.pop(number)
            if not future.done():
                future.set_exception(CaDisconnectedError(f"{name}: disconnected before the answer: {reason}"))


def refusal(name: str, status: int, detail: str = "") -> CaStatusError:
    """The exception for an ECA code."""
    kind = CaAccessError if status in (368, 376) else CaStatusError
    return kind(name, status, detail)


def read_value(name: str, code: int, count: int, payload: bytes, native_count: int, states: tuple[str, ...]) -> Reading:
    """Decode the DBR_TIME payload of one answer; CaError when it does not hold what it says."""
    dbr = code - TIME_OFFSET
    if not 0 <= dbr <= Dbr.DOUBLE:
        raise CaError(f"{name}: the server answered with data type {code}")
    offset = TIME_VALUE_OFFSETS[dbr]
    body = payload[offset:]
    if dbr == Dbr.STRING:
        body = body.ljust(STRING_SIZE * min(count, 1), b"\0")
    if len(payload) < 12 or len(body) < count * WIRE_DTYPES[dbr].itemsize:
        raise CaError(f"{name}: the server's answer is too short for {count} elements")
    status, severity, seconds, nanoseconds = _STAMP.unpack_from(payload)
    stamp = (seconds + EPICS_EPOCH) * 1_000_000_000 + nanoseconds
    value: Any
    if count == 1 and native_count == 1 and dbr != Dbr.STRING:
        (value,) = _SCALARS[dbr].unpack_from(body)
        return Reading(name, value, severity, status, stamp, _DBRS[dbr], 1, states)
    raw = np.frombuffer(body, WIRE_DTYPES[dbr], count)
    if dbr == Dbr.STRING:
        words = [text(item) for item in raw.tolist()]
        value = words if native_count != 1 else (words[0] if words else "")
    elif native_count != 1:
        value = raw.astype(NATIVE_DTYPES[dbr])
    elif count:
        value = raw[0].item()
    else:
        raise CaError(f"{name}: the server's answer is empty")
    return Reading(name, value, severity, status, stamp, Dbr(dbr), count, states)


def write_value(name: str, value: Any, dbr: Dbr, native_count: int) -> tuple[Dbr, int, bytes]:
    """The data type, count and bytes to send for `value`; ValueError or TypeError when it does not fit the channel.

    Text for a numeric or enum channel goes as a string, which the server converts or refuses; text for a char array
    goes as its bytes with a NUL at the end.
    """
    if isinstance(value, str | bytes):
        raw = value.encode() if isinstance(value, str) else value
        if dbr is Dbr.CHAR and native_count > 1:
            if len(raw) > native_count:
                raise ValueError(f"{name}: {len(raw)} characters do not fit {native_count}")
            raw = raw + b"\0" if len(raw) < native_count else raw
            return Dbr.CHAR, len(raw), raw
        return Dbr.STRING, 1, _string(name, raw)
    if isinstance(value, np.ndarray):
        items: Sequence[Any] = value.reshape(-1).tolist() if value.dtype.kind in "USO" else []
        numbers = value.reshape(-1)
        count = numbers.size
    elif isinstance(value, list | tuple):
        items, numbers, count = value, None, len(value)
    else:
        items, numbers, count = [value], None, 1
    if count == 0 or count > native_count:
        raise ValueError(f"{name}: {count} elements for a channel of {native_count}")
    if items and any(isinstance(item, str | bytes) for item in items):
        words = [item.encode() if isinstance(item, str) else bytes(item) for item in items]
        return Dbr.STRING, count, b"".join(_string(name, word) for word in words)
    if dbr is Dbr.STRING:
        return Dbr.STRING, count, b"".join(_string(name, str(item).encode()) for item in items or numbers)  # type: ignore[union-attr]
    return dbr, count, _numbers(name, numbers if numbers is not None else items, dbr)


def _numbers(name: str, values: Any, dbr: Dbr) -> bytes:
    wire = WIRE_DTYPES[dbr]
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name}: {values!r} is no number")
    if wire.kind == "f":
        return array.astype(wire).tobytes()
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{name}: {values!r} is no whole number")
    limits = np.iinfo(wire)
    low, high = limits.min, limits.max
    if dbr is Dbr.CHAR:
        low = -128
    if array.size and (math.floor(array.min()) < low or math.ceil(array.max()) > high):
        raise ValueError(f"{name}: {values!r} does not fit {dbr.name} ({low} to {high})")
    if dbr is Dbr.CHAR:
        return array.astype(np.int64).astype(np.uint8).tobytes()
    return array.astype(wire).tobytes()


def _string(name: str, raw: bytes) -> bytes:
    if len(raw) >= STRING_SIZE:
        raise ValueError(f"{name}: {len(raw)} bytes do not fit a string of {STRING_SIZE - 1}")
    return raw.ljust(STRING_SIZE, b"\0")
