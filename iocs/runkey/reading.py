"""The live values of configuration PVs, all in one pass.

The value of a setpoint is what was asked for, unless its read-back shows something else: then the device has that, from
a knob on its panel perhaps, and `asked` keeps what the setpoint says.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from iocs.runkey.catalogues import Catalogue, Item
from iocs.runkey.settings import Value
from owlshift.ca import Access, CaError, Client, Reading

INVALID = 3
UNDEFINED = "INVALID: nobody vouches for it"
READ_TIMEOUT = 5.0
"""Seconds for all values together."""


@dataclass(frozen=True, slots=True)
class Live:
    """What a configuration PV is now."""

    pv: str
    value: Value | None = None
    """What the device has, or was asked for; None: it cannot be had."""
    severity: int = INVALID
    status: int = 0
    time_ns: int = 0
    """Severity, status and time (ns since 1970) of the PV or of its read-back, whichever is worse."""
    reason: str = ""
    """Why there is no value."""
    writable: bool = False
    """The server lets us write the setpoint."""
    asked: Value | None = None
    """What the setpoint says, where the read-back shows something else."""
    readback: Value | None = None
    """What the read-back shows, when there is one and somebody vouches for it."""
    readback_bad: str = ""
    """Why nobody vouches for the read-back."""
    undefined: bool = False
    """It could be read, and has no valid value: a setpoint that was never put."""


def same(item: Item, one: Value | None, other: Value | None) -> bool:
    """Whether two values of the item are equal within its tolerance. NaN equals NaN."""
    if one is None or other is None:
        return False
    if isinstance(one, list) or isinstance(other, list):
        if not isinstance(one, list) or not isinstance(other, list) or len(one) != len(other):
            return False
        return all(near(a, b, item.tolerance, item.relative) for a, b in zip(one, other, strict=True))
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    return near(one, other, item.tolerance, item.relative)


def near(one: float, other: float, tolerance: float, relative: float) -> bool:
    """Whether two numbers are equal within a tolerance, or within a part of the larger one."""
    if one == other or (math.isnan(one) and math.isnan(other)):
        return True
    if not (math.isfinite(one) and math.isfinite(other)):
        return False
    scale = max(abs(one), abs(other))
    # what 0.1 + 0.2 adds is no difference
    return abs(one - other) <= max(tolerance, relative * scale) + 1e-12 * scale


def python_value(reading: Reading, kind: str, states: tuple[str, ...]) -> Value:
    """The reading as a value of this type; ValueError when it is none."""
    value: Any = reading.value
    if kind == "enum":
        if isinstance(value, int):
            labels = states or reading.states
            if value < len(labels):
                return labels[value]
            raise ValueError(f"state {value} has no label")
        return str(value)
    if kind in ("doubles", "longs"):
        array = np.atleast_1d(np.asarray(value))
        if array.dtype.kind not in "iuf":
            raise ValueError("it is no array of numbers")
        return [float(one) for one in array.tolist()] if kind == "doubles" else [int(one) for one in array.tolist()]
    if kind == "text":
        return reading.label
    if kind == "string":
        return value if isinstance(value, str) else reading.label
    if isinstance(value, str | np.ndarray | list):
        raise ValueError("it is no number")
    return float(value) if kind == "double" else int(value)


async def read_live(
    client: Client, items: Iterable[Item], catalogue: Catalogue, timeout: float = READ_TIMEOUT
) -> dict[str, Live]:
    """What these items are now, by PV: setpoints and read-backs in one pass."""
    items = list(items)
    names = list(dict.fromkeys([item.pv for item in items] + [item.readback for item in items if item.readback]))
    readings = dict(zip(names, await client.read_many(names, timeout=timeout), strict=True))
    return {
        item.pv: judge(
            item,
            readings[item.pv],
            readings[item.readback] if item.readback else None,
            catalogue.states.get(item.readback, item.states),
            bool((client.access(item.pv) or Access.NONE) & Access.WRITE),
        )
        for item in items
    }


def judge(
    item: Item,
    reading: Reading | CaError,
    back: Reading | CaError | None,
    back_states: tuple[str, ...],
    writable: bool,
) -> Live:
    """What a setpoint and its read-back say together."""
    if isinstance(reading, CaError):
        return Live(item.pv, reason=_reason(reading, item.pv))
    try:
        value = python_value(reading, item.type, item.states)
    except (ValueError, TypeError, OverflowError) as error:
        return Live(item.pv, reason=str(error))
    defined = reading.severity < INVALID
    when = (reading.severity, reading.status, reading.time_ns)
    if back is None:
        if not defined:
            return Live(item.pv, None, *when, UNDEFINED, writable, undefined=True)
        return Live(item.pv, value, *when, writable=writable)
    if isinstance(back, CaError):
        why = _reason(back, item.readback)
    elif back.severity == INVALID:
        why, when = UNDEFINED, (back.severity, back.status, back.time_ns)
    else:
        why = ""
        try:
            shown = python_value(back, item.type, back_states)
        except (ValueError, TypeError, OverflowError) as error:
            why = str(error)
        else:
            if back.severity > reading.severity or not defined:
                when = (back.severity, back.status, back.time_ns)
            if defined and same(item, value, shown):
                return Live(item.pv, value, *when, writable=writable, readback=shown)
            return Live(item.pv, shown, *when, "", writable, value if defined else None, shown)
    return Live(item.pv, value if defined else None, *when, why, writable, None, None, why, not defined)


async def read_labels(
    client: Client, names: Iterable[str], states: Mapping[str, tuple[str, ...]], timeout: float = READ_TIMEOUT
) -> dict[str, str | None]:
    """What these PVs are now, as text (the label of a state); None of those that cannot be had, or are INVALID."""
    names = list(dict.fromkeys(names))
    found: dict[str, str | None] = {}
    for name, reading in zip(names, await client.read_many(names, timeout=timeout), strict=True):
        if isinstance(reading, CaError) or reading.severity == INVALID:
            found[name] = None
        elif name in states and isinstance(reading.value, int) and reading.value < len(states[name]):
            found[name] = states[name][reading.value]
        else:
            found[name] = reading.label
    return found


def _reason(error: CaError, name: str) -> str:
    return str(error).removeprefix(f"{name}: ")
