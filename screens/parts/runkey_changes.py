"""What differs between two runkeys, grouped by what it is in. Imports no Qt."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from screens.parts.runkey_data import Runkey, scalar_text

NOTHING = "—"
"""Stands for a value that one side lacks."""
PLACE = "place"
OBJECT = "object"


@dataclass
class Group:
    """All that differs in one payload of an object, in its place (edge), or in itself; or an object one side lacks."""

    path: str
    what: str
    """The role of a payload, PLACE or OBJECT."""
    rows: list[tuple[str, str, str]] = field(default_factory=list)
    """Where, before, after."""
    pixels: dict[str, Any] | None = None
    """Of a pixel map: the numbers of pixels that differ."""
    words: str = ""
    """What `summary` says; empty: it is made of the rows."""

    @property
    def summary(self) -> str:
        """In a few words."""
        if self.words:
            return self.words
        if self.pixels is not None:
            counts = {key: int(self.pixels.get(key) or 0) for key in ("enable", "injen", "hitbus", "tdac")}
            parts = [f"{name} {count:,}" for name, count in counts.items() if count]
            return f"{_count(int(self.pixels.get('changed') or 0), 'pixel')} ({', '.join(parts)})"
        if len(self.rows) == 1:
            where, before, after = self.rows[0]
            return f"{where}: {before} → {after}"
        return f"{len(self.rows):,} values"


@dataclass(frozen=True)
class Difference:
    """Two runkeys and what differs. `more` counts changes that are not listed."""

    a: Runkey
    b: Runkey
    same: bool
    groups: tuple[Group, ...]
    counts: dict[str, int]
    more: int = 0

    @property
    def text(self) -> str:
        """In one line."""
        if self.same:
            return "no difference"
        counts = self.counts
        sides = ", ".join(f"{counts[key]:,} only in {side}" for key, side in SIDES if counts.get(key))
        objects = f"{_count(counts.get('objects', 0), 'object')} differ" + (f" ({sides})" if sides else "")
        parts = [_count(counts[key], noun) for key, noun in WORDS.items() if counts.get(key)]
        more = f"  ·  {self.more:,} more changes are not listed here" if self.more else ""
        return f"{objects}{': ' if parts else ''}{', '.join(parts)}{more}"


SIDES = (("removed", "A"), ("added", "B"))
WORDS = {
    "registers": "register",
    "values": "value",
    "maps": "pixel map",
    "pixels": "pixel",
    "setpoints": "setpoint",
    "edges": "connection",
    "others": "other thing",
}


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def read_difference(document: Any) -> Difference:
    """Of `diff A B --json`. What kind of change an entry is, is seen by its keys."""
    found: dict[tuple[str, str], Group] = {}

    def group(path: str, what: str) -> Group:
        return found.setdefault((path, what), Group(path, what))

    for key, word in (("added", "only in B"), ("removed", "only in A")):
        for entry in document.get(key) or ():
            about = _about(entry)
            before, after = (NOTHING, about) if key == "added" else (about, NOTHING)
            group(str(entry["path"]), OBJECT).rows.append((word, before, after))
    for entry in document.get("changes") or ():
        _add(group, entry)
    alike = [_alike(entry) for entry in document.get("groups") or () if int(entry.get("objects") or 0) > 1]
    counts = {str(k): v for k, v in dict(document.get("counts") or {}).items() if isinstance(v, int)}
    each = sorted(found.values(), key=lambda one: (one.path, one.what))
    return Difference(
        Runkey.of(document["a"]),
        Runkey.of(document["b"]),
        bool(document["same"]),
        (*alike, *each),
        counts,
        int(document.get("more") or 0),
    )


def _alike(entry: dict[str, Any]) -> Group:
    """A register that changed in the same way in many objects."""
    objects, paths = int(entry["objects"]), [str(path) for path in entry.get("paths") or ()]
    before, after = side_text(entry.get("before")), side_text(entry.get("after"))
    rows = [(f"{path}: {entry['key']}", before, after) for path in paths]
    if objects > len(paths):
        rows.append((f"… and {objects - len(paths):,} more objects", before, after))
    words = f"{entry['key']}: {before} → {after}"
    return Group(f"{objects:,} objects alike", str(entry.get("role") or ""), rows, words=words)


def _add(group: Any, entry: dict[str, Any]) -> None:
    path, role = str(entry["path"]), str(entry.get("role") or "")
    before, after = (side_text(entry.get(side)) for side in ("before", "after"))
    if "changed" in entry and "tdac" in entry:
        group(path, role or "pixels").pixels = entry
    elif "pv" in entry:
        units = f" [{entry['units']}]" if entry.get("units") else ""
        row = (f"{entry['pv']}{units}", before, after)
        group(path, role or "setpoints").rows.append(row)
        if entry.get("about"):
            group(path, role or "setpoints").rows.append((f"{entry['pv']}: {entry['about']}", NOTHING, NOTHING))
    elif "key" in entry:
        group(path, role or PLACE).rows.append((str(entry["key"]) or "all of it", before, after))
    else:
        group(path, role or OBJECT).rows.append((str(entry.get("what") or "content"), before, after))


def _about(entry: dict[str, Any]) -> str:
    """An object that one side lacks."""
    below = int(entry.get("objects") or 0)
    text = str(entry.get("type") or "object")
    return f"{text} with {below:,} objects" if below > 1 else text


def side_text(value: Any) -> str:
    """A value of one side as a cell shows it."""
    return NOTHING if value is None or value == "" else scalar_text(value)
