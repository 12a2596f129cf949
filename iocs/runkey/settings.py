"""The payloads of a subsystem in a runkey: `setpoints`, and the `conditions` under which they were read.

    setpoints   {"version":1, "items":[{"pv":"DEMO:HV:L07:VSet", "type":"double", "value":1880.0, "units":"V",
                                        "precision":1}]}
    conditions  {"version":1, "taken":"2026-…", "items":{pv:[severity,status,time_ns]}, "missing":{pv:reason},
                 "asked":{pv:value}}

`setpoints` is sorted by PV and holds nothing that changes when the settings do not: equal settings have equal bytes.
Enums are kept by label; what JSON has no number for is "NaN", "Infinity" or "-Infinity".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from db.errors import BadInput
from iocs.runkey.catalogues import NUMERIC, TYPES

VERSION = 1
SYSTEM_TYPE = "subsystem"
"""Type of the objects that have these payloads; their name is the system."""
SETPOINTS, CONDITIONS = "setpoints", "conditions"
"""Roles, and types of the payloads."""
_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_MAX_PROBLEMS = 100
LONG_MIN, LONG_MAX = -(2**31), 2**31 - 1

Value = float | int | str | list[float] | list[int]


@dataclass(frozen=True, slots=True)
class Setting:
    """The value of one PV."""

    pv: str
    type: str
    """One of `catalogues.TYPES`."""
    value: Value
    """Float, int, label of a state, text, or a list of numbers."""
    units: str = ""
    states: tuple[str, ...] = ()
    precision: int | None = None


@dataclass(frozen=True, slots=True)
class Conditions:
    """How it was when settings were read."""

    taken: datetime
    """UTC."""
    items: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    """PV -> (severity, status, time in nanoseconds since 1970); the worse of the PV and its read-back."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Configuration PVs without a value -> why."""
    asked: Mapping[str, Value] = field(default_factory=dict)
    """Where the device shows something else than it was asked for: what it was asked for."""


def render_settings(settings: Iterable[Setting]) -> bytes:
    """The `setpoints` payload. ValueError for a PV that is there twice."""
    items: dict[str, dict[str, Any]] = {}
    for setting in settings:
        if setting.pv in items:
            raise ValueError(f"{setting.pv} is there twice")
        entry: dict[str, Any] = {
            "pv": setting.pv,
            "type": setting.type,
            "value": to_json(setting.value),
            "units": setting.units,
        }
        if setting.states:
            entry["states"] = list(setting.states)
        if setting.precision is not None:
            entry["precision"] = setting.precision
        items[setting.pv] = entry
    return orjson.dumps({"version": VERSION, "items": [items[pv] for pv in sorted(items)]})


def parse_settings(data: bytes, where: str = "setpoints") -> list[Setting]:
    """The settings of a payload; BadInput with all that is wrong, each "`where`: items[3] DEMO:HV:…: reason"."""
    document = _document(data, where)
    items = document.get("items")
    if not isinstance(items, list):
        raise BadInput(f"{where}: items: must be a list")
    problems: list[str] = []
    found: dict[str, Setting] = {}
    for index, entry in enumerate(items):
        place = f"{where}: items[{index}]"
        try:
            setting = _setting(entry)
        except ValueError as error:
            name = entry.get("pv") if isinstance(entry, dict) else None
            problems.append(f"{place}{f' {name}' if isinstance(name, str) else ''}: {error}")
        else:
            if setting.pv in found:
                problems.append(f"{place} {setting.pv}: is there twice")
            found[setting.pv] = setting
        if len(problems) >= _MAX_PROBLEMS:
            problems.append(f"{where}: and perhaps more")
            break
    if problems:
        raise BadInput(problems)
    return list(found.values())


def _document(data: bytes, where: str) -> dict[str, Any]:
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"{where}: line {error.lineno}: this is no JSON: {error.msg}") from None
    if not isinstance(document, dict):
        raise BadInput(f"{where}: must be an object")
    if document.get("version") != VERSION or isinstance(document["version"], bool):
        raise BadInput(f"{where}: version: {document.get('version')!r} is not known; {VERSION} is")
    return document


def _setting(entry: Any) -> Setting:
    if not isinstance(entry, dict):
        raise ValueError("must be an object")
    unknown = sorted(set(entry) - {"pv", "type", "value", "units", "states", "precision"})
    if unknown:
        raise ValueError(f"unknown key {', '.join(map(repr, unknown))}")
    pv, kind = entry.get("pv"), entry.get("type")
    if not isinstance(pv, str) or not pv or len(pv) > 255 or not pv.isprintable() or " " in pv:
        raise ValueError(f"pv: {pv!r} is no name of a PV")
    if kind not in TYPES:
        raise ValueError(f"type: {kind!r} is none of {', '.join(TYPES)}")
    if "value" not in entry:
        raise ValueError("value: is missing")
    units, states, precision = entry.get("units", ""), entry.get("states", []), entry.get("precision")
    if not isinstance(units, str):
        raise ValueError("units: must be text")
    if not isinstance(states, list) or not all(isinstance(state, str) for state in states):
        raise ValueError("states: must be a list of text")
    if precision is not None and (isinstance(precision, bool) or not isinstance(precision, int)):
        raise ValueError("precision: must be a whole number")
    value = check_value(kind, entry["value"])
    if kind == "enum" and states and value not in states:
        raise ValueError(f"value: {value!r} is none of its states {', '.join(filter(None, states))}")
    return Setting(pv, kind, value, units, tuple(states), precision)


def check_value(kind: str, raw: Any) -> Value:
    """A value of this type from what JSON has; ValueError "value: …" when it is none."""
    if kind == "double":
        return _double(raw)
    if kind == "long":
        return _long(raw)
    if kind in ("doubles", "longs"):
        if not isinstance(raw, list):
            raise ValueError("value: must be a list of numbers")
        return [_double(one) for one in raw] if kind == "doubles" else [_long(one) for one in raw]
    if not isinstance(raw, str):
        raise ValueError("value: must be text")
    if "\0" in raw or (kind == "string" and len(raw.encode(errors="replace")) > 39):
        raise ValueError("value: does not fit a Channel Access string of 39 bytes")
    return raw


def _double(raw: Any) -> float:
    if isinstance(raw, str) and raw in _WORDS:
        return _WORDS[raw]
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise ValueError(f"value: {raw!r} is no number")
    return float(raw)


def _long(raw: Any) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int) or not LONG_MIN <= raw <= LONG_MAX:
        raise ValueError(f"value: {raw!r} is no whole number of 32 bits")
    return raw


def to_json(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, list | tuple):
        return [to_json(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def dump_value(value: Any) -> str:
    """A value as JSON text, as the journal keeps it."""
    return orjson.dumps(to_json(value)).decode()


def show_value(value: Any, units: str = "", precision: int | None = None) -> str:
    """A value for people: all its digits, as far as they mean something, whatever the display's precision is."""
    if value is None:
        return "unknown"
    if isinstance(value, list):
        inside = [show_value(one, "", precision) for one in value[:4]]
        if len(value) > len(inside):
            inside.append(f"… {len(value)} elements")
        text = f"[{', '.join(inside)}]"
    elif isinstance(value, float):
        text = f"{value:.9g}"
    else:
        text = repr(value) if isinstance(value, str) and (not value or " " in value) else str(value)
        text = text if len(text) <= 60 else text[:57] + "…"
    return f"{text} {units}" if units else text


def render_conditions(conditions: Conditions) -> bytes:
    """The `conditions` payload."""
    document: dict[str, Any] = {
        "version": VERSION,
        "taken": conditions.taken.astimezone(UTC).isoformat(),
        "items": {pv: list(state) for pv, state in sorted(conditions.items.items())},
        "missing": dict(sorted(conditions.missing.items())),
    }
    if conditions.asked:
        document["asked"] = {pv: to_json(value) for pv, value in sorted(conditions.asked.items())}
    return orjson.dumps(document)


def parse_conditions(data: bytes, where: str = "conditions") -> Conditions:
    """What a `conditions` payload says; BadInput."""
    document = _document(data, where)
    try:
        taken = datetime.fromisoformat(document["taken"])
        if taken.tzinfo is None:
            raise ValueError("taken: no time zone")
        items = {str(pv): (int(a), int(b), int(c)) for pv, (a, b, c) in document["items"].items()}
        missing = {str(pv): str(reason) for pv, reason in document["missing"].items()}
        asked = dict(document.get("asked", {}))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BadInput(f"{where}: {type(error).__name__}: {error}") from None
    return Conditions(taken, items, missing, asked)


def numeric(kind: str) -> bool:
    """Whether values of the type are numbers, which have tolerances."""
    return kind in NUMERIC
