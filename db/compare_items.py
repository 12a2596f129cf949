"""What can differ between two contents: values of JSON, setpoints, pixels, text. No database here."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from db.chips.differences import json_diff, pixel_diff
from db.chips.jsontext import same
from db.chips.pixels import decode
from db.chips.registers import CHIP_TYPES
from db.nodes import PayloadInfo

PARTS = 4096
"""So many values of one JSON payload are told apart; of more, the number is said."""


@dataclass(frozen=True, slots=True)
class Value:
    """A value in a JSON payload: a register of a chip, a parameter of a scan. None: it is not there."""

    path: str
    role: str
    key: str
    """Place in the JSON, for example GlobalConfig.DiffTh1L."""
    before: Any
    after: Any
    register: bool
    """Of a chip, and not of a scan or a controller."""


@dataclass(frozen=True, slots=True)
class Setpoint:
    """A setting of a process variable. None: the runkey does not have it."""

    path: str
    role: str
    pv: str
    before: Any
    after: Any
    units: str
    about: str = ""
    """What differs besides the value: type, units, states."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """A pixel map: how many pixels have another Enable, InjEn, Hitbus or TDAC."""

    path: str
    role: str
    chip: str
    cols: int
    rows: int
    enable: int
    injen: int
    hitbus: int
    tdac: int
    other: int
    """In LCap, SCap or FDAC, which FE-I4B has."""
    changed: int
    """Pixels that differ in any of these."""
    tdac_mean: float
    """Mean of TDAC after minus before, over all pixels."""
    tdac_rms: float
    """Root mean square of it."""
    before: str
    """sha256 of the map before."""
    after: str


@dataclass(frozen=True, slots=True)
class Edge:
    """What belongs to an object's place: rx, tx, enable, locked. None: it is not said."""

    path: str
    key: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Other:
    """Anything else, in words."""

    path: str
    what: str
    """meta, serial, type, name, payload, text, conditions."""
    role: str
    before: str
    after: str


Item = Value | Setpoint | Pixels | Edge | Other


def payload_items(path: str, before: PayloadInfo, after: PayloadInfo, a: bytes, b: bytes) -> Sequence[Item]:
    """How two payloads in one role differ. Content that is not what it claims to be differs as bytes do."""
    role = after.role
    try:
        if before.format == after.format == "pixels":
            return _pixels(path, before, after, a, b)
        if before.format == after.format == "json":
            one, two = orjson.loads(a), orjson.loads(b)
            if before.type == after.type == "setpoints":
                return _setpoints(path, role, one, two)
            if before.type == after.type == "conditions":
                return _conditions(path, role, one, two)
            return _values(path, role, after.type == "config", one, two) or _about(path, before, after)
        if before.format == after.format == "text":
            return _text(path, role, a.decode(), b.decode())
    except (ValueError, KeyError, TypeError, AttributeError):
        pass  # no such thing inside: compared as bytes
    return _about(path, before, after)


def _about(path: str, before: PayloadInfo, after: PayloadInfo) -> list[Item]:
    words = [_payload_words(info, other) for info, other in ((before, after), (after, before))]
    return [Other(path, "payload", after.role, *words)]


def _payload_words(info: PayloadInfo, other: PayloadInfo) -> str:
    """What tells a payload from the other one."""
    said = [f"{info.size:,} bytes"]
    for key in ("type", "format", "name"):
        if getattr(info, key) != getattr(other, key):
            said.append(f"{key} {getattr(info, key) or '(none)'}")
    if info.meta != other.meta:
        said.append(orjson.dumps(info.meta, option=orjson.OPT_SORT_KEYS).decode())
    if info.sha256 != other.sha256:
        said.append(f"sha256 {info.sha256[:12]}")
    elif len(said) == 1:
        said.append("written in another way")
    return ", ".join(said)


def payload_words(info: PayloadInfo) -> str:
    """A payload that the other side does not have."""
    return f"{info.format}, {info.size:,} bytes"


def _values(path: str, role: str, register: bool, a: Any, b: Any) -> list[Item]:
    prefix = ""
    if isinstance(a, dict) and isinstance(b, dict) and len(a) == 1 and a.keys() == b.keys():
        key = next(iter(a))
        if key in CHIP_TYPES:  # what it is, is no news
            prefix = f"{key}."
    found = json_diff(a, b)
    items: list[Item] = [
        Value(path, role, key.removeprefix(prefix), before, after, register) for key, before, after in found[:PARTS]
    ]
    if len(found) > PARTS:
        items.append(Other(path, "payload", role, "", f"{len(found) - PARTS:,} more values differ"))
    return items


def _setpoints(path: str, role: str, a: Any, b: Any) -> list[Item]:
    before, after = ({item["pv"]: item for item in one["items"]} for one in (a, b))
    items: list[Item] = []
    for pv in sorted(before.keys() | after.keys()):
        x, y = before.get(pv), after.get(pv)
        if same(x, y):
            continue
        about = ""
        if x is not None and y is not None:
            keys = sorted(k for k in x.keys() | y.keys() if k != "value" and x.get(k) != y.get(k))
            about = ", ".join(f"{k} {short(x.get(k))} -> {short(y.get(k))}" for k in keys)
        units = (y or x or {}).get("units") or ""
        items.append(Setpoint(path, role, str(pv), (x or {}).get("value"), (y or {}).get("value"), str(units), about))
    return items


def _conditions(path: str, role: str, a: Any, b: Any) -> list[Item]:
    """How things were at the snapshots; differs always, and is told in one line."""
    before, after = a["items"], b["items"]
    severities = sum(before[pv][0] != after[pv][0] for pv in before.keys() & after.keys())
    said = [
        f"taken {one.get('taken')}, {len(one['items']):,} PVs, {len(one.get('missing', {})):,} missing"
        for one in (a, b)
    ]
    return [Other(path, "conditions", role, said[0], f"{said[1]}, {severities:,} of another severity")]


def _text(path: str, role: str, a: str, b: str) -> list[Item]:
    one, two = a.splitlines(), b.splitlines()
    if len(one) + len(two) > 10_000:  # a log, perhaps: telling lines apart takes too long
        return [Other(path, "text", role, f"{len(one):,} lines", f"{len(two):,} lines")]
    lines = [
        line for line in difflib.unified_diff(one, two, lineterm="", n=0) if not line.startswith(("---", "+++", "@@"))
    ]
    gone = [line[1:] for line in lines if line.startswith("-")]
    new = [line[1:] for line in lines if line.startswith("+")]
    return [Other(path, "text", role, _lines(gone), _lines(new))]


def _lines(lines: list[str]) -> str:
    if len(lines) == 1:
        return lines[0][:80]
    return f"{len(lines):,} lines" if lines else ""


def _pixels(path: str, before: PayloadInfo, after: PayloadInfo, a: bytes, b: bytes) -> list[Item]:
    chip = str(after.meta["chip"])
    if before.meta.get("chip") != chip:
        return _about(path, before, after)
    found = pixel_diff(decode(a, chip), decode(b, chip))
    cols, rows = found.map.shape
    if not found:
        return _about(path, before, after)
    return [
        Pixels(
            path,
            after.role,
            chip,
            cols,
            rows,
            found.enable,
            found.injen,
            found.hitbus,
            found.tdac,
            found.other,
            found.pixels,
            found.tdac_mean,
            found.tdac_rms,
            before.sha256,
            after.sha256,
        )
    ]


def dict_items(path: str, before: dict[str, Any], after: dict[str, Any], what: str) -> list[Item]:
    """How two sets of metadata differ, key by key; `what` is edge or meta."""
    items: list[Item] = []
    for key in sorted(before.keys() | after.keys()):
        a, b = before.get(key), after.get(key)
        if key in before and key in after and same(a, b):
            continue
        if what == "edge":
            items.append(Edge(path, key, a, b))
        else:
            items.append(Other(path, f"{what} {key}", "", short(a), short(b)))
    return items


def short(value: Any, most: int = 60) -> str:
    """A JSON value in a line; nothing for None."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= most else f"{text[: most - 2]} …"
