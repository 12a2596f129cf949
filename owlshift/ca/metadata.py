"""What DBR_CTRL_x says about a channel: units, precision, limits, states."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from owlshift.ca.protocol import CONTROL_OFFSET, Dbr

Limits = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Metadata:
    """Limits are (low, high) and None for strings and enums.

    NaN and equal limits are passed on as the server gave them.
    """

    units: str = ""
    precision: int | None = None
    display: Limits | None = None
    alarm: Limits | None = None
    """LOLO, HIHI."""
    warning: Limits | None = None
    """LOW, HIGH."""
    control: Limits | None = None
    states: tuple[str, ...] = ()
    """Labels of an enum."""


EMPTY = Metadata()
_LIMITS = ("hopr", "lopr", "hihi", "high", "low", "lolo", "drvh", "drvl")
_CODES = {Dbr.SHORT: ">i2", Dbr.FLOAT: ">f4", Dbr.CHAR: "u1", Dbr.LONG: ">i4", Dbr.DOUBLE: ">f8"}
ENUM_STATES = 16
ENUM_STATE_SIZE = 26


@lru_cache(maxsize=64)
def control_dtype(dbr: Dbr, header: int, size: int) -> np.dtype | None:
    """The fields of a message of `size` bytes with a DBR_CTRL payload behind `header` bytes.

    None where it is too short.
    """
    names: list[str] = []
    formats: list[Any] = []
    offsets: list[int] = []

    def add(name: str, kind: Any, offset: int) -> None:
        names.append(name)
        formats.append(kind)
        offsets.append(header + offset)

    if dbr is Dbr.ENUM:
        add("states_used", ">u2", 4)
        add("states", (f"S{ENUM_STATE_SIZE}", (ENUM_STATES,)), 6)
        end = 6 + ENUM_STATES * ENUM_STATE_SIZE
    elif dbr is Dbr.STRING:
        end = 4
    else:
        at = 4
        if dbr in (Dbr.FLOAT, Dbr.DOUBLE):
            add("precision", ">i2", 4)
            at = 8
        add("units", "S8", at)
        at += 8
        width = np.dtype(_CODES[dbr]).itemsize
        for index, name in enumerate(_LIMITS):
            add(name, _CODES[dbr], at + index * width)
        end = at + len(_LIMITS) * width
    if header + end > size:
        return None
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": size})


def text(raw: bytes) -> str:
    """Text up to the first NUL: UTF-8 where it is, Latin-1 otherwise (old databases write ° and µ in one byte)."""
    raw = raw.split(b"\0", 1)[0]
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def decode_control(dbr: Dbr, rows: NDArray[np.void], header: int) -> list[Metadata] | None:
    """The metadata of each message in `rows` (dtype V<size>, DBR_CTRL_x payloads); None when they are too short."""
    dtype = control_dtype(dbr, header, rows.dtype.itemsize)
    if dtype is None:
        return None
    if dbr is Dbr.STRING:
        return [EMPTY] * len(rows)
    fields = rows.view(dtype)
    if dbr is Dbr.ENUM:
        used = np.minimum(fields["states_used"], ENUM_STATES).tolist()
        return [
            Metadata(states=tuple(text(state) for state in states[:count]))
            for states, count in zip(fields["states"].tolist(), used, strict=True)
        ]
    units = fields["units"].tolist()
    precision = fields["precision"].tolist() if dbr in (Dbr.FLOAT, Dbr.DOUBLE) else [None] * len(units)
    columns = [fields[name].astype(float).tolist() for name in _LIMITS]
    return [
        Metadata(text(unit), digits, (lopr, hopr), (lolo, hihi), (low, high), (drvl, drvh))
        for unit, digits, hopr, lopr, hihi, high, low, lolo, drvh, drvl in zip(units, precision, *columns, strict=True)
    ]


def control_type(code: int) -> Dbr | None:
    """The native type of a DBR_CTRL code; None when it is none."""
    return Dbr(code - CONTROL_OFFSET) if 0 <= code - CONTROL_OFFSET <= Dbr.DOUBLE else None
