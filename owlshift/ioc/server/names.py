"""From a PV name as a client writes it to the PV: record fields, the long-string `$` and channel filters.

Filters as in EPICS base 3.15 and later: `{"arr":…}` or `[start:step:end]`, `{"dbnd":…}`, `{"ts":{}}`. The `sync` filter
needs server states that owlshift does not have; a name with it does not exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import caproto
from caproto import ChannelData, ChannelType

from .dbr import Slice

MAX_NAME = 500
"""Bytes of a name with its filters; longer ones are not looked up."""


class Found(NamedTuple):
    """A PV and how a client wants to see it."""

    pv: ChannelData
    long_string: bool = False
    piece: Slice | None = None
    deadband: tuple[str, float] | None = None
    server_time: bool = False


class Deadband:
    """The `dbnd` filter of one subscription: lets a value through that left the band around the last one sent."""

    def __init__(self, spec: tuple[str, float]) -> None:
        self._relative, self._width = spec[0] == "rel", spec[1]
        self._last: float | None = None

    def passes(self, pv: ChannelData, flags: int) -> bool:
        """Whether this update goes out. Alarm and property changes do, as do values that are no single number."""
        value = pv.value
        if not isinstance(value, int | float):
            return True
        last = self._last
        if last is not None and not flags & 12:
            width = self._width * abs(last) / 100 if self._relative else self._width
            if abs(value - last) <= width:
                return False
        self._last = float(value)
        return True


def knows(pvdb: Mapping[str, ChannelData], name: str) -> bool:
    """Whether `find` finds it; a plain name is asked for with `in` alone."""
    return 0 < len(name) <= MAX_NAME and (name in pvdb or find(pvdb, name) is not None)


def find(pvdb: Mapping[str, ChannelData], name: str) -> Found | None:
    """The PV of this name, or None. Whatever the mapping raises besides KeyError goes through."""
    if not name or len(name) > MAX_NAME:
        return None
    if name in pvdb:
        return Found(pvdb[name])
    try:
        full, record, field, modifiers = caproto.parse_record_field(name)
    except ValueError:
        return None
    pv = _record_field(pvdb, full, record, field)
    if pv is None:
        return None
    if modifiers is None:
        return Found(pv)
    long_string = bool(modifiers.modifiers & caproto.RecordModifiers.long_string)
    if long_string and pv.data_type not in (ChannelType.STRING, ChannelType.CHAR):
        return None
    try:
        parsed: Any = caproto.parse_channel_filter(modifiers.filter_)
        return _filtered(pv, long_string, parsed)
    except Exception:  # caproto's filter parser raises whatever the text makes it stumble over
        return None


def _record_field(pvdb: Mapping[str, ChannelData], full: str, record: str, field: str | None) -> ChannelData | None:
    if full in pvdb:
        return pvdb[full]
    if record not in pvdb:
        return None
    pv = pvdb[record]
    if not field or field == "VAL":
        return pv
    get_field: Any = getattr(pv, "get_field", None)
    if get_field is None:
        return None
    try:
        return get_field(field)
    except (KeyError, AttributeError):
        return None


def _filtered(pv: ChannelData, long_string: bool, parsed: Any) -> Found | None:
    if parsed.sync is not None:
        return None
    piece = None
    if parsed.arr is not None:
        piece = Slice(_index(parsed.arr.s), _index(parsed.arr.i), _index(parsed.arr.e))
        if piece.step is not None and piece.step <= 0:
            return None
    deadband = None
    if parsed.dbnd is not None:
        deadband = (str(parsed.dbnd.m), float(parsed.dbnd.d))
    return Found(pv, long_string, piece, deadband, bool(parsed.ts))


def _index(value: Any) -> int | None:
    return None if value is None else int(value)
