"""Differences of two runkeys as text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from db.compare_items import Edge, Item, Other, Pixels, Setpoint, Value, short

if TYPE_CHECKING:
    from db.compare import Group, RunkeyDiff

PARENTS = 30
GROUPS = 20
DETAILS = 25
"""Lines of each part without `full`."""
ALIKE = 3
"""Paths that are named of objects that changed alike."""


def text_of(diff: RunkeyDiff, path: str, full: bool, width: int) -> str:
    """Counts first, then what changed; every value when `full`, or when `path` names a part of the tree."""
    if not diff:
        return "they are the same\n"
    lines: list[str] = []
    if path == "/":
        lines += [*_summary(diff), ""]
    detailed = full or path != "/"
    lines += _places(diff, path, full)
    lines += _parents(diff, path, full)
    items = diff.below(path)
    limit = None if detailed else DETAILS
    setpoints = [item for item in items if isinstance(item, Setpoint)]
    edges = [item for item in items if isinstance(item, Edge)]
    values = [item for item in items if isinstance(item, Value)]
    maps = [item for item in items if isinstance(item, Pixels)]
    others = [item for item in items if isinstance(item, Other)]
    if (detailed and len({item.path for item in values}) <= 1) or full:
        lines += _part("Registers and values", (_item(item) for item in values), None)
    elif values:
        lines += _part("Registers and values", map(_group, diff.groups(path)), None if detailed else GROUPS)
    lines += _part("Pixel maps", map(_item, maps), limit)
    lines += _part("Setpoints", map(_item, setpoints), limit)
    lines += _part("Connections", map(_item, edges), limit)
    lines += _part("Others", map(_item, others), limit)
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        return f"nothing differs at or below {path}\n"
    return "".join(f"{part}\n" for line in lines for part in _wrapped(_printable(line), width) or [""])


def _summary(diff: RunkeyDiff) -> Iterator[str]:
    counts = diff.counts()
    said = [f"{counts[name]:,} {name}" for name in ("added", "removed", "changed") if counts[name]]
    yield f"{_many(counts['objects'], 'object')} {'differs' if counts['objects'] == 1 else 'differ'}: {', '.join(said)}"
    if words := counts_text(counts):
        yield f"  {words}"


def counts_text(counts: dict[str, int]) -> str:
    """Counts of contents in words."""
    said = [_many(counts[name], word) for name, word in _WORDS if counts[name]]
    if counts["maps"]:
        said.insert(0, f"{_many(counts['maps'], 'pixel map')} ({_many(counts['pixels'], 'pixel')})")
    return ", ".join(said)


_WORDS = (
    ("registers", "register"),
    ("values", "value"),
    ("setpoints", "setpoint"),
    ("edges", "connection"),
    ("others", "other change"),
)


def _many(count: int, word: str) -> str:
    return f"{count:,} {word}{'s' * (count != 1)}"


def _places(diff: RunkeyDiff, path: str, full: bool) -> Iterator[str]:
    from db.compare import is_below

    for title, places in (("Added", diff.added), ("Removed", diff.removed)):
        lines = [
            f"{place.path}  {place.type}{f', {place.objects:,} objects in all' * (place.objects > 1)}"
            for place in places
            if is_below(place.path, path)
        ]
        yield from _part(title, lines, None if full else DETAILS)


def _parents(diff: RunkeyDiff, path: str, full: bool) -> Iterator[str]:
    from db.compare import is_below

    parents = [(p, counts) for p, counts in diff.parents().items() if is_below(p, path)]
    if len(parents) < 2:
        return
    lines = []
    for where, counts in parents:
        said = [f"{counts[name]:,} {name}" for name in ("changed", "added", "removed") if counts[name]]
        words = counts_text(counts)
        lines.append(f"{where}  {', '.join(said)}{': ' * bool(words)}{words}")
    yield from _part("Below", lines, None if full else PARENTS)


def _part(title: str, lines: Iterable[str], limit: int | None) -> Iterator[str]:
    found = list(lines)
    if not found:
        return
    yield title
    for line in found[:limit]:
        yield f"  {line}"
    if limit is not None and len(found) > limit:
        yield f"  and {len(found) - limit:,} more (--full)"
    yield ""


def _group(group: Group) -> str:
    count = len(group.paths)
    where = ", ".join(group.paths[:ALIKE])
    if count > 1:
        where = f"in {count:,} objects: {where}{', …' * (count > ALIKE)}"
    return f"{group.key}  {_change(group.before, group.after)}  {where}"


def _item(item: Item) -> str:
    match item:
        case Value():
            return f"{item.path}  {item.key}  {_change(item.before, item.after)}"
        case Setpoint():
            units = f" {item.units}" if item.units else ""
            value = f"{_change(item.before, item.after)}{units}" if item.before != item.after else ""
            return "  ".join(part for part in (item.pv, value, item.about) if part)
        case Edge():
            return f"{item.path}  {item.key}  {_change(item.before, item.after)}"
        case Pixels():
            return f"{item.path}  {pixels_text(item)}"
        case Other():
            what = f"{item.role} " * bool(item.role) + (item.what if item.what != item.role else "")
            return f"{item.path}  {what.strip()}  {_change(item.before or None, item.after or None)}"


def pixels_text(item: Pixels) -> str:
    """A change of a pixel map in words."""
    counts = (("Enable", item.enable), ("InjEn", item.injen), ("Hitbus", item.hitbus), ("TDAC", item.tdac))
    counts += (("LCap, SCap or FDAC", item.other),)
    said = ", ".join(f"{name} {count:,}" for name, count in counts if count)
    shift = f" (shift {item.tdac_mean:+.3f}, rms {item.tdac_rms:.3f})" if item.tdac else ""
    share = 100 * item.changed / (item.cols * item.rows)
    return f"{_many(item.changed, 'pixel')} ({share:.2g} %): {said}{shift}"


def _change(before: Any, after: Any) -> str:
    return f"{'(none)' if before is None else short(before)} -> {'(none)' if after is None else short(after)}"


def _printable(line: str) -> str:
    """What is stored may hold anything, also what a terminal would obey."""
    return line if line.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


def _wrapped(line: str, width: int) -> list[str]:
    if len(line) <= width or width < 30:
        return [line]
    return textwrap.wrap(line, width, subsequent_indent="      ", break_long_words=False, break_on_hyphens=False)
