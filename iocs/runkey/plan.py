"""What is to be written, in which order, and what forbids it.

Puts of a level go together, and the next level begins when all of them are verified. A PV comes after what its
declaration says; one whose value goes down comes before its limits (`lower_first`), which come after it then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from iocs.runkey.catalogues import Catalogue, Item
from iocs.runkey.compare import Comparison
from iocs.runkey.reading import Live
from iocs.runkey.settings import Setting, Value, numeric, show_value, to_json


@dataclass(frozen=True, slots=True)
class Put:
    """One PV to write."""

    item: Item
    old: Value | None
    """What it is now; None: it has no valid value."""
    new: Value
    number: int = 0
    """Its place in the order, from 0 on."""

    @property
    def pv(self) -> str:
        """The PV."""
        return self.item.pv

    @property
    def readback(self) -> str:
        """Where it is verified; empty: at itself."""
        return self.item.readback

    @property
    def tolerance(self) -> float:
        """How far off, in the PV's units, counts as equal."""
        return self.item.tolerance

    @property
    def settle(self) -> float:
        """Seconds within which the read-back must be there."""
        return self.item.settle

    def text(self) -> str:
        """For people: the PV, and from what to what."""
        old = show_value(self.old, self.item.units, self.item.precision)
        return f"{self.pv}: {old} -> {show_value(self.new, self.item.units, self.item.precision)}"


@dataclass(frozen=True)
class Plan:
    """Puts in levels, or the reasons why there are none."""

    levels: tuple[tuple[Put, ...], ...] = ()
    refusals: tuple[str, ...] = ()
    """Why nothing of it may be written; empty when it may."""
    left: tuple[str, ...] = ()
    """What differs and is left as it is: PVs that cannot be written or that the runkey lacks."""

    @property
    def puts(self) -> list[Put]:
        """All, in order."""
        return [put for level in self.levels for put in level]

    def as_text(self, most: int = 1000) -> str:
        """For people: refusals, or the levels with their puts; at most `most` lines of puts."""
        if self.refusals:
            return "\n".join(["refused, nothing is written:", *(f"  {reason}" for reason in self.refusals)])
        if not self.levels:
            return "\n".join(["nothing to write", *(f"  left: {text}" for text in self.left)])
        lines: list[str] = []
        count = len(self.puts)
        for index, level in enumerate(self.levels, 1):
            lines.append(f"level {index} of {len(self.levels)}:")
            lines += [f"  {put.text()}" for put in level]
        if len(lines) > most:
            lines = [*lines[:most], f"  … {count} puts in all"]
        return "\n".join([*lines, *(f"left: {text}" for text in self.left)])

    def as_dict(self) -> dict[str, Any]:
        """JSON."""
        return {
            "refusals": list(self.refusals),
            "left": list(self.left),
            "levels": [
                [
                    {
                        "pv": put.pv,
                        "old": to_json(put.old),
                        "new": to_json(put.new),
                        "units": put.item.units,
                        "readback": put.readback,
                        "tolerance": put.tolerance,
                        "settle": put.settle,
                    }
                    for put in level
                ]
                for level in self.levels
            ],
        }


def make_plan(
    comparison: Comparison,
    settings: Iterable[Setting],
    catalogue: Catalogue,
    live: Mapping[str, Live],
    blockers: Mapping[str, str | None],
    first: int = 0,
) -> Plan:
    """The plan that makes the stand what `settings` say. `blockers`: what the PVs of `blocked_by` are, as text.

    Puts are numbered from `first` on.
    """
    refusals: list[str] = [f"{system}: {why}" for system, why in comparison.unread.items()]
    left: list[str] = []
    wanted = {setting.pv: setting for setting in settings}
    puts: list[Put] = []
    for difference in comparison.items:
        if difference.kind in ("new", "read-only"):
            left.append(difference.text)
        elif difference.kind != "value":
            refusals.append(difference.text)
        else:
            item, now = catalogue.items[difference.pv], live[difference.pv]
            setting = wanted[difference.pv]
            reasons = refusals_of(item, setting.value, now, blockers)
            refusals += [f"{difference.pv}: {reason}" for reason in reasons]
            puts.append(Put(item, now.value, convert(setting.value, item)))
    if not refusals:
        try:
            levels = in_levels(puts, catalogue.items, first)
            in_levels(way_back(puts), catalogue.items)  # what cannot be taken back is not begun
            return Plan(levels, (), tuple(left))
        except CircleError as error:
            refusals.append(str(error))
    return Plan((), tuple(refusals), tuple(left))


def convert(value: Value, item: Item) -> Value:
    """A stored value as the item's type has it."""
    if item.type == "long" and isinstance(value, float):
        return int(value)
    if item.type == "double" and isinstance(value, int):
        return float(value)
    return value


def refusals_of(item: Item, value: Value, now: Live, blockers: Mapping[str, str | None]) -> list[str]:
    """Why the item may not be written now."""
    found = []
    if not now.writable:
        found.append("the access security does not let us write it")
    if value == []:
        found.append("an array of no elements cannot be put over Channel Access")
    found += blocks_of(item, blockers)
    if numeric(item.type):
        numbers = value if isinstance(value, list) else [value]
        found += _outside(item, numbers)
    return found


def blocks_of(item: Item, blockers: Mapping[str, str | None]) -> list[str]:
    """What forbids writing the item now."""
    found = []
    for name, blocking in item.blocked_by.items():
        if name not in blockers or blockers[name] is None:
            found.append(f"{name}, which can block it, cannot be read")
        elif blockers[name] == blocking:
            found.append(f"blocked: {name} is {blocking}")
    return found


def _outside(item: Item, numbers: Sequence[Any]) -> list[str]:
    low, high = item.control or (None, None)
    for number in numbers:
        if not isinstance(number, int | float) or number != number:
            return [f"{show_value(number)} is no setting"]
        if (low is not None and number < low) or (high is not None and number > high):
            span = f"{'' if low is None else f'{low:g}'}…{'' if high is None else f'{high:g}'}"
            return [f"{show_value(number, item.units)} is outside of its limits {span}"]
    return []


class CircleError(Exception):
    """The declared order goes in a circle."""


def order_of(puts: Sequence[Put], items: Mapping[str, Item]) -> dict[str, set[str]]:
    """For each PV those of `puts` that must be done before it.

    What a PV comes after holds through PVs (of `items`) that stay as they are.
    """
    changed = {put.pv: put for put in puts}
    every = {**items, **{put.pv: put.item for put in puts}}
    earlier: dict[str, list[str]] = {pv: [] for pv in every}
    for pv, item in every.items():
        goes_down = pv in changed and _goes_down(changed[pv])
        for name in item.after:
            if name not in every:
                continue
            if goes_down and name in item.lower_first:
                earlier[name].append(pv)
            else:
                earlier[pv].append(name)
    before: dict[str, set[str]] = {}
    for pv in changed:
        found: set[str] = set()
        seen: set[str] = set()
        waiting = list(earlier[pv])
        while waiting:
            name = waiting.pop()
            if name in changed:
                found.add(name)
            elif name not in seen:
                seen.add(name)
                waiting += earlier[name]
        before[pv] = found
    return before


def _goes_down(put: Put) -> bool:
    """Whether no number of it grows. A value that is not known might."""
    old, new = put.old, put.new
    if isinstance(new, int | float) and isinstance(old, int | float):
        return new < old
    if isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        return new != old and all(a <= b for a, b in zip(new, old, strict=True))
    return False


def in_levels(puts: Sequence[Put], items: Mapping[str, Item], first: int = 0) -> tuple[tuple[Put, ...], ...]:
    """The puts in as few levels as their order allows, numbered from `first` on; CircleError."""
    waiting = order_of(puts, items)
    by_name = {put.pv: put for put in puts}
    levels: list[tuple[Put, ...]] = []
    number = first
    while waiting:
        free = [pv for pv, names in waiting.items() if not names]
        if not free:
            raise CircleError(f"the order of writing goes in a circle among {', '.join(sorted(waiting)[:10])}")
        done = set(free)
        level = []
        for pv in sorted(free):
            del waiting[pv]
            put = by_name[pv]
            level.append(replace(put, number=number))
            number += 1
        for names in waiting.values():
            names -= done
        levels.append(tuple(level))
    return tuple(levels)


def way_back(written: Iterable[Put], before: Mapping[str, Live] | None = None) -> list[Put]:
    """How to take back what was written: each PV once, from what it was given last to what it was.

    That is what it was `before` everything, or before its first put. They go in the order that the same rules ask for
    on the way back. PVs without a value before cannot go back, and are not among them.
    """
    first: dict[str, Put] = {}
    last: dict[str, Put] = {}
    for put in written:
        first.setdefault(put.pv, put)
        last[put.pv] = put
    back = []
    for pv, put in reversed(first.items()):
        old = before[pv].known if before is not None and pv in before else put.old
        if old is not None:
            back.append(Put(put.item, last[pv].new, old, put.number))
    return back


def dependents(names: Iterable[str], items: Mapping[str, Item]) -> set[str]:
    """All PVs that come, directly or not, after one of these."""
    followers: dict[str, list[str]] = {}
    for item in items.values():
        for name in item.after:
            followers.setdefault(name, []).append(item.pv)
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        for pv in followers.get(waiting.pop(), ()):
            if pv not in found:
                found.add(pv)
                waiting.append(pv)
    return found


@dataclass(frozen=True)
class Scope:
    """What an apply is about: the plan, and what it needs to look at the stand again."""

    plan: Plan
    settings: tuple[Setting, ...]
    catalogue: Catalogue
    before: Mapping[str, Live] = field(default_factory=dict)
    """All PVs of the runkey as they were when the plan was made."""
    comparison: Comparison = field(default_factory=Comparison)
    """What differed then."""
