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
    """Why there is no value, or why nobody vouches for the read-back."""
    writable: bool = False
    """The server lets us write the setpoint."""
    setpoint: Value | None = None
    """What the setpoint says; None: it cannot be read, or was never put."""
    readback: Value | None = None
    """What the read-back shows, when there is one and somebody vouches for it."""
    readable: bool = True
    """The PV and its read-back could be read; what they say may be INVALID."""
    vouched: bool = True
    """Somebody vouches for the read-back, or there is none."""

    @property
    def asked(self) -> Value | None:
        """What the setpoint says, where the read-back shows something else."""
        return None if self.setpoint is None or self.setpoint is self.value else self.setpoint

    @property
    def undefined(self) -> bool:
        """A setpoint that was never put, and of which no read-back tells."""
        return self.readable and self.vouched and self.value is None

    @property
    def known(self) -> Value | None:
        """What it is now; None where nobody knows."""
        return self.value if self.readable and self.vouched else None


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
            client.access(item.pv) in (Access.WRITE, Access.READ | Access.WRITE),
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
        return Live(item.pv, reason=_reason(reading, item.pv), readable=False)
    try:
        value = python_value(reading, item.type, item.states)
    except (ValueError, TypeError, OverflowError) as error:
        return Live(item.pv, reason=str(error), readable=False)
    setpoint = value if reading.severity < INVALID else None
    when = (reading.severity, reading.status, reading.time_ns)
    if back is None:
        return Live(item.pv, setpoint, *when, UNDEFINED if setpoint is None else "", writable, setpoint)
    if isinstance(back, CaError):
        why = f"{item.readback}: {_reason(back, item.readback)}"
        return Live(item.pv, setpoint, *when, why, writable, setpoint, readable=False, vouched=False)
    if back.severity == INVALID:
        when = (back.severity, back.status, back.time_ns)
        why = f"{item.readback} is {UNDEFINED}"
        return Live(item.pv, setpoint, *when, why, writable, setpoint, vouched=False)
    try:
        shown = python_value(back, item.type, back_states)
    except (ValueError, TypeError, OverflowError) as error:
        why = f"{item.readback}: {error}"
        return Live(item.pv, setpoint, *when, why, writable, setpoint, vouched=False)
    if back.severity > reading.severity or setpoint is None:
        when = (back.severity, back.status, back.time_ns)
    real = setpoint if setpoint is not None and same(item, setpoint, shown) else shown
    return Live(item.pv, real, *when, "", writable, setpoint, shown)


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
