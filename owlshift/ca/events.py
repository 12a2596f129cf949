"""DBR_TIME events from messages to arrays, and which of them are still wanted."""

from __future__ import annotations

import time
from collections import Counter
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from owlshift.ca.batch import Batch
from owlshift.ca.frames import Group
from owlshift.ca.protocol import (
    EPICS_EPOCH,
    NATIVE_DTYPES,
    STRING_SIZE,
    TIME_OFFSET,
    TIME_VALUE_OFFSETS,
    WIRE_DTYPES,
    Dbr,
)

_NS = 1_000_000_000
_DAY_NS = 86_400 * _NS
_EPOCH_NS = EPICS_EPOCH * _NS
_NORMAL_RAW = np.array([1], dtype=">u4").view("=u4")[0]
_ARRAY = 0x10
_VALID = 0x20


class Expectations:
    """Which circuit may send which type for which subscription; the index is the subscription id.

    A subscription id is the channel's id. What does not match (an old subscription, a made-up id, another server's
    channel, a wrong type) is dropped and counted.
    """

    def __init__(self) -> None:
        # the last entry stays 0: ids beyond the end are clipped to it
        self._wanted = np.zeros(1024, dtype=np.uint64)
        self._arrays = np.zeros(1024, dtype=np.bool_)

    def _grow(self, top: int) -> None:
        while top >= len(self._wanted) - 1:
            self._wanted = np.concatenate((self._wanted, np.zeros_like(self._wanted)))
            self._arrays = np.concatenate((self._arrays, np.zeros_like(self._arrays)))

    def add(self, channel: int, circuit: int, dbr: Dbr, array: bool) -> None:
        """Expect events of `channel` from `circuit`."""
        self._grow(channel)
        self._wanted[channel] = _wanted(circuit, dbr, array)
        self._arrays[channel] = array

    def remove(self, channel: int) -> None:
        """Expect nothing more of `channel`."""
        if channel < len(self._wanted) - 1:
            self._wanted[channel] = 0
            self._arrays[channel] = False

    @property
    def arrays(self) -> NDArray[np.bool_]:
        """By subscription id: does the channel have more than one element."""
        return self._arrays

    def matches(self, ids: NDArray[np.uint32], circuit: int, dbr: Dbr, array: bool) -> NDArray[np.bool_]:
        """Which of `ids` are expected from `circuit` with this type."""
        return self._wanted.take(ids, mode="clip") == _wanted(circuit, dbr, array)


def _wanted(circuit: int, dbr: Dbr, array: bool) -> np.uint64:
    return np.uint64(circuit << 8 | _VALID | (_ARRAY if array else 0) | dbr)


@lru_cache(maxsize=4096)
def _time_dtype(dbr: int, header: int, payload: int, count: int) -> np.dtype | None:
    """The fields of a message with a DBR_TIME payload; None where `count` elements do not fit it."""
    offset = TIME_VALUE_OFFSETS[dbr]
    wire: Any = WIRE_DTYPES[dbr]
    width = wire.itemsize
    if dbr == Dbr.STRING and count == 1:
        # servers cut a single string behind its NUL
        width = min(STRING_SIZE, payload - offset)
        wire = np.dtype(f"S{width}") if width > 0 else None
    if wire is None or offset + count * width > payload:
        return None
    return np.dtype(
        {
            "names": ["code", "id", "alarm", "status", "severity", "seconds", "nanoseconds", "value"],
            "formats": ["=u4", ">u4", "=u4", ">u2", ">u2", ">u4", ">u4", wire if count == 1 else (wire, (count,))],
            "offsets": [8, 12, header, header, header + 2, header + 4, header + 8, header + offset],
            "itemsize": header + payload,
        }
    )


def is_time_type(code: int) -> bool:
    """Whether `code` is a DBR_TIME type."""
    return TIME_OFFSET <= code <= TIME_OFFSET + Dbr.DOUBLE


class MalformedError(ValueError):
    """A message whose content cannot be what its header says."""


def decode_events(group: Group, circuit: int, expected: Expectations, counts: Counter[str]) -> Batch | None:
    """The events of `group` (DBR_TIME) that are expected from `circuit`.

    `counts` gets what was left out (by reason) and odd time stamps. None when nothing is left; MalformedError when the
    element count does not fit the payload.
    """
    shape = group.shape
    dbr = shape.dbr - TIME_OFFSET
    dtype = _time_dtype(dbr, shape.header, shape.payload, shape.elements)
    if dtype is None:
        raise MalformedError("count does not fit payload")
    rows = group.rows.view(dtype)
    ids = rows["id"].astype(np.uint32)
    array = group.array
    native = Dbr(dbr)
    good = expected.matches(ids, circuit, native, array)
    if not good.all():
        _count(counts, "unexpected event", len(good) - int(np.count_nonzero(good)))
        rows, ids = rows[good], ids[good]
    good = rows["code"] == _NORMAL_RAW
    if not good.all():
        _count(counts, "event without a value", len(good) - int(np.count_nonzero(good)))
        rows, ids = rows[good], ids[good]
    if len(ids) == 0:
        return None
    nanoseconds = rows["nanoseconds"].astype(np.int64)
    stamps = rows["seconds"].astype(np.int64)
    odd = int(nanoseconds.max()) >= _NS
    stamps *= _NS
    stamps += nanoseconds
    stamps += _EPOCH_NS
    horizon = time.time_ns() + _DAY_NS
    if odd or int(stamps.min()) < _EPOCH_NS + _NS or int(stamps.max()) > horizon:
        strange = (nanoseconds >= _NS) | (stamps < _EPOCH_NS + _NS) | (stamps > horizon)
        _count(counts, "odd time stamp", int(np.count_nonzero(strange)))
    if rows["alarm"].any():
        severity, status = rows["severity"].astype(np.uint16), rows["status"].astype(np.uint16)
    else:
        severity, status = np.zeros(len(ids), np.uint16), np.zeros(len(ids), np.uint16)
    values = rows["value"]
    if dbr == Dbr.STRING:
        values = _clean_strings(values)
    else:
        values = values.astype(NATIVE_DTYPES[dbr])
    if array and values.ndim == 1:
        values = values.reshape(-1, 1)
    return Batch(native, ids, stamps, severity, status, values)


def _clean_strings(values: NDArray[np.bytes_]) -> NDArray[np.bytes_]:
    """`S40` copies without the rubbish that servers leave behind the first NUL."""
    clean = np.ascontiguousarray(values.astype(f"S{STRING_SIZE}"))
    if clean.size == 0:
        return clean
    raw = clean.view(np.uint8).reshape(*clean.shape, STRING_SIZE)
    end = raw == 0
    if (end[..., :-1] & ~end[..., 1:]).any():
        raw[np.logical_or.accumulate(end, axis=-1)] = 0
    return clean


def _count(counts: Counter[str], what: str, number: int) -> None:
    if number:
        counts[what] += number
