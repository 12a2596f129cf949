"""PixelConfig as a JSON parser gives it: checked with a word on everything that is wrong, and turned into a map."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from db.chips import pixeltext
from db.chips.pixels import Map, pack
from db.chips.problems import Problems, nearest, several, shown
from db.chips.registers import ChipType


def read_quickly(kind: ChipType, value: list[Any]) -> Map | None:
    """The pixel map; None when anything is wrong, or keys are missing or too many.

    Written anew it is regular, and the reader of regular texts is faster than any check of single values here.
    """
    keys = (kind.line, *kind.fields)
    try:
        lines = [{key: line[key] for key in keys} for line in value if len(line) == len(keys)]
        text = orjson.dumps(lines)
    except (KeyError, TypeError):
        return None
    if len(lines) != len(value):
        return None
    found = pixeltext.read(kind, text, 0, pixeltext.tight(kind).glue)
    return found[0] if found is not None and found[2] == len(text) else None


def read(kind: ChipType, value: Any, problems: Problems) -> Map | None:
    """The pixel map; None, with the problems noted, when there are any."""
    inside = f"{kind.name}.PixelConfig"
    if not isinstance(value, list):
        problems.add(inside, f"is {shown(value)}, not a list of {kind.lines}")
        return None
    before = len(problems.said) + problems.more
    if len(value) != kind.lines:
        what = "rows" if kind.by_rows else "columns"
        problems.add(inside, f"has {len(value)} {what}; {kind.name} has {kind.lines}")
    least, most = kind.tdac_range()
    limits = {"FDAC": (0, 15), "TDAC": (int(least.min()), int(most.max()))}
    arrays = {field: np.zeros((kind.lines, kind.length), np.int16) for field in kind.fields}
    seen: set[int] = set()
    for number, line in enumerate(value[: kind.lines]):
        here = f"{inside}[{number}]"
        if not isinstance(line, dict):
            problems.add(here, f"is {shown(line)}, not an object")
            continue
        _keys(kind, here, line, problems)
        _number(kind, here, line.get(kind.line), number + kind.first, seen, problems)
        for field in kind.fields:
            if field in line:
                low, high = limits.get(field, (0, 1))
                if field == "TDAC" and not kind.by_rows:
                    low, high = int(least[number]), int(most[number])
                row = _list(kind, f"{here}.{field}", line[field], low, high, problems)
                if row is not None:
                    arrays[field][number] = row
    if len(problems.said) + problems.more > before:
        return None
    return np.ascontiguousarray(pack(kind, {f: a.T if kind.by_rows else a for f, a in arrays.items()}))


def _keys(kind: ChipType, here: str, line: dict[str, Any], problems: Problems) -> None:
    known = (kind.line, *kind.fields)
    if len(line) == len(known) and all(key in line for key in known):
        return
    missing = [key for key in known if key not in line]
    for key in line:
        if key not in known:
            meant = "" if problems.full else nearest(key, known, missing)
            if meant in missing:
                missing.remove(meant)
            problems.add(f"{here}.{key}", f"there is no such key{f'; is {meant} meant?' if meant else ''}")
    if missing:
        problems.add(here, f"{several(missing)} {'is' if len(missing) == 1 else 'are'} missing")


def _number(kind: ChipType, here: str, value: Any, wanted: int, seen: set[int], problems: Problems) -> None:
    """Lines are in the order of their numbers, each once."""
    if type(value) is not int:
        if value is not None:
            problems.add(f"{here}.{kind.line}", f"is {shown(value)}, not an integer")
        return
    if value in seen:
        problems.add(f"{here}.{kind.line}", f"{shown(value)} occurs twice")
    elif value != wanted:
        last = kind.first + kind.lines - 1
        if kind.first <= value <= last:
            problems.add(f"{here}.{kind.line}", f"is {value}, {wanted} is its turn")
        else:
            problems.add(f"{here}.{kind.line}", f"{shown(value)} is not between {kind.first} and {last}")
    seen.add(value)


def _list(kind: ChipType, here: str, value: Any, low: int, high: int, problems: Problems) -> NDArray[np.int16] | None:
    if not isinstance(value, list):
        problems.add(here, f"is {shown(value)}, not a list of {kind.length}")
        return None
    if len(value) != kind.length:
        what = "columns" if kind.by_rows else "rows"
        problems.add(here, f"has {len(value)} {what}; {kind.name} has {kind.length}")
        return None
    if set(map(type, value)) != {int}:
        at, item = next((i, item) for i, item in enumerate(value) if type(item) is not int)
        others = sum(type(item) is not int for item in value) - 1
        problems.add(f"{here}[{at}]", f"is {shown(item)}, not an integer{_and(others)}")
        return None
    if min(value) < low or max(value) > high:
        at, item = next((i, item) for i, item in enumerate(value) if not low <= item <= high)
        others = sum(not low <= item <= high for item in value) - 1
        reason = f"is {shown(item)}, neither 0 nor 1" if high == 1 else f"{shown(item)} is not between {low} and {high}"
        problems.add(f"{here}[{at}]", f"{reason}{_and(others)}")
        return None
    return np.array(value, np.int16)


def _and(others: int) -> str:
    return f" (and {others} more of this list)" if others else ""
