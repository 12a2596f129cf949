"""What an import would change, before it does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from iocs.alarm.files.checks import bare_name
from iocs.alarm.tree.items import Item, LeafConfig, Link
from iocs.alarm.tree.paths import split_path


@dataclass(frozen=True, slots=True)
class Change:
    """One item that is another afterwards."""

    path: str
    what: tuple[str, ...]
    """Field by field: `delay: 0 -> 5`."""
    item: Item
    """As it is afterwards."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The way from one configuration to another; items in the order of the new one."""

    added: tuple[Item, ...]
    changed: tuple[Change, ...]
    removed: tuple[Item, ...]
    """Deepest first: in this order they can be removed one by one."""
    moved: tuple[tuple[str, str], ...]
    """PVs that change their place: (old path, new path). They are among `removed` and `added`, too."""
    unchanged: int

    @property
    def empty(self) -> bool:
        """Nothing is to be done."""
        return not (self.added or self.changed or self.removed)

    def lines(self) -> list[str]:
        """For people: `+ path`, `~ path: field: old -> new`, `- path`, and a summary."""
        origin = {new: old for old, new in self.moved}
        found = [f"- {item.path} ({_kind(item)})" for item in self.removed]
        for item in self.added:
            came = f", from {origin[item.path]}" if item.path in origin else ""
            found.append(f"+ {item.path} ({_kind(item)}{came})")
        found += [f"~ {change.path}: {text}" for change in self.changed for text in change.what]
        return [*found, self.summary()]

    def summary(self) -> str:
        """One line of numbers."""
        counts = [f"{len(self.added)} added", f"{len(self.changed)} changed", f"{len(self.removed)} removed"]
        moved = f" ({len(self.moved)} of them moved)" if self.moved else ""
        return f"{', '.join(counts)}{moved}, {self.unchanged} as before"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "added": [{"path": item.path, "kind": _kind(item)} for item in self.added],
            "changed": [{"path": change.path, "what": list(change.what)} for change in self.changed],
            "removed": [{"path": item.path, "kind": _kind(item)} for item in self.removed],
            "moved": [{"from": old, "to": new} for old, new in self.moved],
            "unchanged": self.unchanged,
        }


def plan(old: Iterable[Item], new: Iterable[Item]) -> Plan:
    """What is to be done to come from the items `old` to `new`.

    An area that becomes an alarm, or the other way round, is removed and added.
    """
    before, after = {item.path: item for item in old}, {item.path: item for item in new}
    added: list[Item] = []
    changed: list[Change] = []
    gone = {path for path in before if path not in after}
    unchanged = 0
    for path, item in after.items():
        known = before.get(path)
        if known is None:
            added.append(item)
        elif type(known.config) is not type(item.config):
            gone.add(path)
            added.append(item)
        elif known == item:
            unchanged += 1
        else:
            changed.append(Change(path, tuple(_differences(known, item)), item))
    removed = sorted((before[path] for path in gone), key=lambda item: (-len(split_path(item.path)), item.path))
    return Plan(tuple(added), tuple(changed), tuple(removed), tuple(_moves(removed, added)), unchanged)


def _moves(removed: Iterable[Item], added: Iterable[Item]) -> Iterable[tuple[str, str]]:
    origin = {_pv(item): item.path for item in removed if isinstance(item.config, LeafConfig)}
    for item in added:
        if isinstance(item.config, LeafConfig) and origin.get(_pv(item), item.path) != item.path:
            yield origin[_pv(item)], item.path


def _pv(item: Item) -> str:
    return bare_name(split_path(item.path)[-1])


def _kind(item: Item) -> str:
    return "alarm" if isinstance(item.config, LeafConfig) else "area"


def _differences(old: Item, new: Item) -> Iterable[str]:
    for before, after in ((old.config, new.config), (old.extras, new.extras)):
        for one in fields(after):
            was, now = getattr(before, one.name), getattr(after, one.name)
            if was == now:
                continue
            if isinstance(now, tuple) and one.name != "modes":
                yield from _entries(one.name, was, now)
            else:
                yield f"{one.name}: {_shown(was)} -> {_shown(now)}"


def _entries(name: str, was: tuple[Link, ...], now: tuple[Link, ...]) -> Iterable[str]:
    """Guidance and such: entry by entry."""
    for entry in was:
        if entry not in now:
            yield f"{name}: without {_entry(entry)}"
    for entry in now:
        if entry not in was:
            yield f"{name}: with {_entry(entry)}"
    if {*was} == {*now}:
        yield f"{name}: in another order" if len(was) == len(now) else f"{name}: {len(was)} -> {len(now)} entries"


def _entry(entry: Any) -> str:
    delay = getattr(entry, "delay", 0)
    return f"{_shown(entry.title)}: {_shown(entry.details)}{f' after {delay} s' if delay else ''}"


def _shown(value: object) -> str:
    if isinstance(value, str):
        text = " ".join(value.split())
        return repr(text if len(text) <= 60 else f"{text[:57]}...")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone().isoformat(timespec="seconds")
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
