"""Whether content may be a payload: what was typed or given is refused with its line before anything is stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from db.errors import BadInput

SETPOINT_TYPES = ("double", "long", "enum", "string", "text", "doubles", "longs")


def check_content(content: bytes, role: str, type_: str, format_: str, meta: Mapping[str, Any], file: str) -> None:
    """BadInput, each problem "FILE:LINE: PATH INSIDE: reason", unless `content` may be a payload of that kind."""
    problems: list[str] = []
    if role in ("config", "pixels") and meta.get("chip"):
        problems = _chip_problems(content, role, meta, file)
    elif format_ == "json":
        document = _json(content, file)
        if role == "setpoints" or type_ == "setpoints":
            problems = [f"{file}: {problem}" for problem in setpoint_problems(document)]
    elif format_ == "text":
        try:
            content.decode("utf-8")
        except UnicodeDecodeError as error:
            problems = [f"{file}: not UTF-8: byte {error.start} is 0x{content[error.start]:02x}"]
    if problems:
        raise BadInput([_with_line(problem, content, file) for problem in problems])


def _json(content: bytes, file: str) -> Any:
    import orjson

    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"{file}:{error.lineno}: column {error.colno}: not JSON: {error.msg}") from None


def _chip_problems(content: bytes, role: str, meta: Mapping[str, Any], file: str) -> list[str]:
    from db.chips.chipfile import check_chip

    if role == "config":
        _json(content, file)  # with line and column
    try:
        check_chip(role, content, meta, file)
    except BadInput as error:
        return error.problems
    return []


def setpoint_problems(document: Any) -> list[str]:
    """What is wrong with a payload of setpoints."""
    if not isinstance(document, dict) or document.get("version") != 1 or not isinstance(document.get("items"), list):
        return ['should be {"version": 1, "items": [ … ]}']
    problems = []
    seen: set[str] = set()
    for number, item in enumerate(document["items"]):
        if not isinstance(item, dict) or not isinstance(item.get("pv"), str):
            problems.append(f"items[{number}]: has no pv")
            continue
        pv = item["pv"]
        if pv in seen:
            problems.append(f"{pv}: is there twice")
        seen.add(pv)
        if reason := _item_problem(item):
            problems.append(f"{pv}: {reason}")
    return problems


def _item_problem(item: dict[str, Any]) -> str:
    kind, value = item.get("type"), item.get("value")
    if kind not in SETPOINT_TYPES:
        return f"type {kind!r} is none of {', '.join(SETPOINT_TYPES)}"
    good = {
        "double": _is_double(value),
        "long": _is_long(value),
        "enum": isinstance(value, str) and value in (item.get("states") or [value]),
        "string": isinstance(value, str) and len(value.encode()) <= 39,
        "text": isinstance(value, str),
        "doubles": isinstance(value, list) and all(_is_double(v) for v in value),
        "longs": isinstance(value, list) and all(_is_long(v) for v in value),
    }
    if good[kind]:
        return ""
    states = f"; its states are {', '.join(map(str, item['states']))}" if item.get("states") else ""
    return f"{str(value)[:40]!r} is no {kind}{states}"


def _is_double(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number or value in ("NaN", "Infinity", "-Infinity")


def _is_long(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _with_line(problem: str, content: bytes, file: str) -> str:
    """The problem with the line of the key it is about, where that is to be found."""
    rest = problem.removeprefix(f"{file}: ")
    if rest == problem:
        return problem
    inside = rest.rpartition(": ")[0] if ": " in rest else ""
    for key in (inside, inside.rpartition(".")[2].partition("[")[0]):
        at = content.find(b'"' + key.encode() + b'"') if key else -1
        if at >= 0:
            line = content.count(10, 0, at) + 1  # newlines
            return f"{file}:{line}: {rest}"
    return problem
