"""What `object.json` and a bundle say of an object, checked word by word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from db.checks import FORMATS, meta_problem, name_problem, text_problem, word_problem
from db.exchange.files import Problems

_OBJECT: dict[str, type] = {"type": str, "name": str, "serial": str, "meta": dict, "payloads": list, "children": list}
_PAYLOAD: dict[str, type] = {"role": str, "type": str, "format": str, "name": str, "meta": dict}
_CHILD: dict[str, type] = {"view": str, "pos": int, "meta": dict}
_NAMES = {str: "a text", dict: "an object", list: "a list", int: "a whole number"}


@dataclass
class PayloadText:
    """A payload without its content: `place` is the file or hash that it is under."""

    role: str
    type: str
    format: str
    place: str
    name: str = ""
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass
class ChildText:
    """An edge: `place` is where the child is; what kind of place, is the key that said it."""

    key: str
    place: Any
    view: str = "daq"
    pos: int = 0
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass
class ObjectText:
    """An object without what is in it."""

    type: str
    name: str
    serial: str
    meta: dict[str, Any]
    payloads: list[PayloadText]
    children: list[ChildText]


def read_object(
    document: object,
    file: object,
    inside: str,
    problems: Problems,
    *,
    payload_place: str,
    child_places: Mapping[str, type],
    others: Mapping[str, type] = {},
) -> ObjectText | None:
    """An object of a document; None when it is unusable. All that is wrong with it goes to `problems`.

    `payload_place` is the key that says where a payload is; of the keys `child_places` each child has one; `others` are
    further keys that the object may have, with their types.
    """
    before = len(problems) + problems.more
    if not isinstance(document, dict):
        problems.add(file, inside, "is no object")
        return None
    values = _values(document, {**_OBJECT, **others}, ("type", "name"), file, inside, problems)
    _word(values.get("type"), file, _at(inside, "type"), problems)
    if values.get("name") and (problem := name_problem(values["name"])):  # that of a runkey's root is empty
        problems.add(file, _at(inside, "name"), problem)
    _text(values.get("serial", ""), file, _at(inside, "serial"), problems)
    _meta(values.get("meta", {}), file, _at(inside, "meta"), problems)
    payloads = []
    for n, entry in enumerate(values.get("payloads", [])):
        where = _at(inside, f"payloads[{n}]")
        if not isinstance(entry, dict):
            problems.add(file, where, "is no object")
            continue
        found = _values(entry, {**_PAYLOAD, payload_place: str}, ("role", payload_place), file, where, problems)
        _word(found.get("role"), file, f"{where}.role", problems)
        _word(found.get("type", "config"), file, f"{where}.type", problems)
        _text(found.get("name", ""), file, f"{where}.name", problems)
        _meta(found.get("meta", {}), file, f"{where}.meta", problems)
        if found.get("format", "json") not in FORMATS:
            problems.add(file, f"{where}.format", f"must be one of {', '.join(FORMATS)}")
        if any(found.get("role") == other.role for other in payloads):
            problems.add(file, f"{where}.role", f"{found['role']!r} is there twice")
        payloads.append(
            PayloadText(
                found.get("role", ""),
                found.get("type", "config"),
                found.get("format", "json"),
                found.get(payload_place, ""),
                found.get("name", ""),
                found.get("meta", {}),
            )
        )
    children = []
    for n, entry in enumerate(values.get("children", [])):
        where = _at(inside, f"children[{n}]")
        if not isinstance(entry, dict):
            problems.add(file, where, "is no object")
            continue
        found = _values(entry, {**_CHILD, **child_places}, (), file, where, problems)
        keys = [key for key in child_places if key in entry]
        if len(keys) != 1:
            problems.add(file, where, f"must have one of the keys {', '.join(child_places)}")
            continue
        _word(found.get("view", "daq"), file, f"{where}.view", problems)
        _meta(found.get("meta", {}), file, f"{where}.meta", problems)
        if not -(2**31) <= found.get("pos", 0) < 2**31:
            problems.add(file, f"{where}.pos", "does not fit 32 bits")
        place = found.get(keys[0])
        children.append(ChildText(keys[0], place, found.get("view", "daq"), found.get("pos", 0), found.get("meta", {})))
    if len(problems) + problems.more > before:
        return None
    return ObjectText(
        values["type"], values["name"], values.get("serial", ""), values.get("meta", {}), payloads, children
    )


def check_keys(
    document: dict[str, Any], known: Mapping[str, type], file: object, inside: str, problems: Problems
) -> bool:
    """Whether a JSON object has all keys of `known` with the right types and no others."""
    before = len(problems) + problems.more
    _values(document, known, tuple(known), file, inside, problems)
    return len(problems) + problems.more == before


def _values(
    document: dict[str, Any],
    known: Mapping[str, type],
    wanted: tuple[str, ...],
    file: object,
    inside: str,
    problems: Problems,
) -> dict[str, Any]:
    """The values of right type; every other key is a problem."""
    found = {}
    for key, value in document.items():
        kind = known.get(key)
        if kind is None:
            problems.add(file, _at(inside, key[:40]), f"is no known key; there are {', '.join(known)}")
        elif not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            problems.add(file, _at(inside, key), f"is not {_NAMES.get(kind, kind.__name__)}")
        else:
            found[key] = value
    for key in wanted:
        if key not in document:
            problems.add(file, _at(inside, key), "is missing")
    return found


def _at(inside: str, key: str) -> str:
    return f"{inside}.{key}" if inside else key


def _word(value: str | None, file: object, inside: str, problems: Problems) -> None:
    if value is not None and (problem := word_problem("word", value)):
        problems.add(file, inside, problem)


def _text(value: str, file: object, inside: str, problems: Problems) -> None:
    if problem := text_problem("text", value):
        problems.add(file, inside, problem)


def _meta(value: dict[str, Any], file: object, inside: str, problems: Problems) -> None:
    if problem := meta_problem("meta", value):
        problems.add(file, inside, problem)
