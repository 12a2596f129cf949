"""What makes a setpoint part of the stand's configuration.

Its place in the order of writing, its read-back and how near that must come, and what forbids writing it:

    VSet = setpoint(float, units="V", precision=1, config=Config(after=("VMax", "ISet"), lower_first=("VMax",)))

Names are suffixes of the same device (`VMax`), or of the IOC when they begin with `/` (`/B0:Ctrl`). They are looked up
when the IOC starts, and the catalogue has them in full.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

from .values import Array, State

if TYPE_CHECKING:
    from .pv import Pv

READBACK_SUFFIX = "_RBV"
SETTLE_MAX = 3600.0
_MANY = 6
"""Setpoints with `lower_first` in one knot of dependencies of which all combinations of up and down are tried."""


@dataclass(frozen=True)
class Config:
    """How a configuration PV is written, and how it is seen that this worked."""

    after: tuple[str, ...] = ()
    """Configuration PVs that must have their values, verified, before this one is put."""
    lower_first: bool | tuple[str, ...] = False
    """Of `after`, the limits of this value (True: all): when it goes down it is put before them instead."""
    readback: str | None = ""
    """Where the value is verified; empty: `<name>_RBV` where the device has it; None: the setpoint itself is read."""
    tolerance: float | None = None
    """How far off, in the PV's units, counts as equal. None: half a unit of the last digit of a float, 0 of others."""
    relative: float = 0.0
    """The same as a part of the value; the larger of both counts."""
    settle: float = 5.0
    """Seconds after the put's completion within which the read-back must be there."""
    blocked_by: Mapping[str, str] = field(default_factory=dict)
    """PV -> the value (the label of a state) with which this one cannot be written."""

    @property
    def limits(self) -> tuple[str, ...]:
        """Those of `after` that come later when the value goes down."""
        if isinstance(self.lower_first, bool):
            return self.after if self.lower_first else ()
        return self.lower_first

    def problems(self, numeric: bool) -> list[str]:
        """What is wrong with it by itself, one sentence each."""
        found = []
        for name, names in (("after", self.after), ("lower_first", self.limits)):
            if isinstance(names, str) or not all(isinstance(one, str) and one for one in names):
                found.append(f"config: {name}={names!r} is no tuple of names")
        if not found and (stray := [name for name in self.limits if name not in self.after]):
            found.append(f"config: lower_first has {', '.join(stray)}, which `after` has not")
        if self.limits and not numeric:
            found.append("config: lower_first makes sense for numbers only")
        for name, value in (("tolerance", self.tolerance), ("relative", self.relative), ("settle", self.settle)):
            if value is not None and not (isinstance(value, int | float) and math.isfinite(value) and value >= 0):
                found.append(f"config: {name}={value!r} must be a number from 0 on")
        if not found and self.settle > SETTLE_MAX:
            found.append(f"config: settle={self.settle:g} s is more than {SETTLE_MAX:g}")
        if (self.tolerance or self.relative) and not numeric:
            found.append("config: a tolerance makes sense for numbers only")
        return found


def full_name(pv: Pv[Any], prefix: str, name: str) -> str:
    """The full name of what `pv`'s configuration calls `name`, in the IOC with this prefix."""
    if name.startswith("/"):
        return prefix + name[1:]
    return pv.name.removesuffix(pv.declaration.suffix or "") + name


def readback_name(pv: Pv[Any], prefix: str) -> str:
    """The full name of the PV's read-back; empty when it has none."""
    config = pv.config
    if config is None or config.readback is None or pv.declaration.kind == "readback":
        return ""
    if config.readback:
        return full_name(pv, prefix, config.readback)
    wanted = f"{pv.declaration.suffix}{READBACK_SUFFIX}"
    return pv.name + READBACK_SUFFIX if any(p.declaration.suffix == wanted for p in pv.device.pvs.values()) else ""


def tolerance_of(pv: Pv[Any]) -> float:
    """How far off counts as equal, in the PV's units."""
    config = pv.config
    if config is not None and config.tolerance is not None:
        return float(config.tolerance)
    return 0.5 * 10.0**-pv.declaration.precision if pv.type.kind == "double" else 0.0


def config_entry(pv: Pv[Any], prefix: str) -> dict[str, Any] | None:
    """What the catalogue says, with full names; None of a PV that is no configuration."""
    config = pv.config
    if config is None:
        return None
    found: dict[str, Any] = {
        "after": [full_name(pv, prefix, name) for name in config.after],
        "lower_first": [full_name(pv, prefix, name) for name in config.limits],
        "readback": readback_name(pv, prefix),
        "relative": config.relative,
        "blocked_by": {full_name(pv, prefix, name): str(value) for name, value in config.blocked_by.items()},
    }
    found = {key: value for key, value in found.items() if value}
    return {**found, "tolerance": tolerance_of(pv), "settle": float(config.settle)}


def config_problems(prefix: str, pvdb: Mapping[str, Pv[Any]]) -> list[str]:
    """What is wrong with the configuration PVs of an IOC together: names that are not there, circles. One line each."""
    found = []
    after: dict[str, list[str]] = {}
    limits: dict[str, set[str]] = {}
    for name, pv in pvdb.items():
        config = pv.config
        if config is None:
            continue
        where = f"{pv.declaration.source}: {name}"
        after[name] = [full_name(pv, prefix, one) for one in config.after]
        limits[name] = {full_name(pv, prefix, one) for one in config.limits}
        for other in after[name]:
            if other == name:
                found.append(f"{where}: comes after itself")
            elif other not in pvdb or pvdb[other].config is None:
                found.append(f"{where}: comes after {other}, which is no configuration PV of this IOC")
        back = readback_name(pv, prefix)
        if back and back not in pvdb:
            found.append(f"{where}: its read-back {back} does not exist")
        elif back and not _alike(pv, pvdb[back]):
            found.append(f"{where}: its read-back {back} is of another type")
        found += [f"{where}: {problem}" for problem in _blocker_problems(pv, prefix, pvdb)]
    if not found:
        found += [f"{prefix}: the order of writing goes in a circle: {' -> '.join(c)}" for c in circles(after, limits)]
    return found


def _alike(pv: Pv[Any], back: Pv[Any]) -> bool:
    numeric = {"double", "long"}
    if isinstance(pv.type, Array) != isinstance(back.type, Array):
        return False
    if pv.type.kind in numeric and back.type.kind in numeric:
        return True
    return pv.type.kind == back.type.kind and pv.type.labels == back.type.labels


def _blocker_problems(pv: Pv[Any], prefix: str, pvdb: Mapping[str, Pv[Any]]) -> Iterable[str]:
    for name, value in pv.config.blocked_by.items() if pv.config is not None else ():
        blocker = pvdb.get(full_name(pv, prefix, name))
        if blocker is None:
            yield f"is blocked by {full_name(pv, prefix, name)}, which does not exist"
        elif isinstance(blocker.type, State) and str(value) not in blocker.type.labels:
            yield f"is blocked by {blocker.name} at {value!r}, which is none of its states"


def circles(after: Mapping[str, list[str]], limits: Mapping[str, set[str]]) -> list[list[str]]:
    """Circles of the order, whichever of the values with `lower_first` go up and whichever go down."""
    both = {name: set(names) for name, names in after.items()}
    for name, names in limits.items():
        for other in names:
            both[other].add(name)
    found = []
    for knot in _knots(both):
        turning = sorted(name for name in knot if limits[name])
        choices = product((False, True), repeat=len(turning)) if len(turning) <= _MANY else _few(len(turning))
        for choice in choices:
            down = {name for name, chosen in zip(turning, choice, strict=True) if chosen}
            order = {name: [one for one in after[name] if one in knot] for name in knot}
            for name in down:
                order[name] = [one for one in order[name] if one not in limits[name]]
                for other in limits[name] & knot:
                    order[other] = [*order[other], name]
            circle = _circle(order)
            if circle:
                found.append(circle)
                break
    return found


def _few(count: int) -> Iterable[tuple[bool, ...]]:
    """All up, all down, and each one alone down."""
    yield (False,) * count
    yield (True,) * count
    for index in range(count):
        yield tuple(i == index for i in range(count))


def _knots(edges: Mapping[str, set[str]]) -> list[set[str]]:
    """The strongly connected parts of more than one node (Tarjan's algorithm, without recursion)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    found = []
    for root in edges:
        if root in index:
            continue
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        work = [(root, iter(edges[root]))]
        while work:
            node, rest = work[-1]
            child = next(rest, None)
            if child is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    part = set()
                    while True:
                        member = stack.pop()
                        on_stack.discard(member)
                        part.add(member)
                        if member == node:
                            break
                    if len(part) > 1:
                        found.append(part)
            elif child not in index:
                index[child] = low[child] = len(index)
                stack.append(child)
                on_stack.add(child)
                work.append((child, iter(edges[child])))
            elif child in on_stack:
                low[node] = min(low[node], index[child])
    return found


def _circle(order: Mapping[str, list[str]]) -> list[str]:
    """One circle of `order`, closed; empty when there is none."""
    waiting = {name: set(names) for name, names in order.items()}
    while free := [name for name, names in waiting.items() if not names]:
        for name in free:
            del waiting[name]
        for names in waiting.values():
            names.difference_update(free)
    if not waiting:
        return []
    path = [min(waiting)]
    while True:
        following = min(waiting[path[-1]])
        if following in path:
            return [*path[path.index(following) :], following]
        path.append(following)
