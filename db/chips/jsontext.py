"""JSON texts as they are written: strictly read, with the place of each value, so that one can be replaced in place.

Strict: UTF-8, no key twice in an object, no NaN, no infinities, not nested deeper than `DEEPEST`.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from db.chips.problems import bad
from db.errors import BadInput

DEEPEST = 60
"""Objects and lists within one another."""

_SPACE = re.compile(r"[ \t\n\r]*")
_STRING = re.compile(r'"[^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*"')
_SCALAR = re.compile(_STRING.pattern + r"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null")

Key = str | int


@dataclass(slots=True)
class Value:
    """A value in a text: text[start:end], with what is in it."""

    start: int
    end: int
    members: dict[Key, Value] = field(default_factory=dict)
    """Of an object by key, of a list by index."""
    keys: dict[Key, int] = field(default_factory=dict)
    """Where the key of each member of an object begins."""


def load(data: bytes, file: str) -> Any:
    """The value of a JSON text. BadInput."""
    value = parse(data, file)
    check(value, data, file)
    return value


def check(value: Any, data: bytes, file: str, quotes: int = 0) -> None:
    """BadInput when a parsed text is nested too deeply or has a key twice.

    `quotes`: so many quotation marks of the text are of what is no longer in `value`.
    """
    check_depth(value, file)
    if data.count(b'"') != _quotes(value) + quotes or b"\\" in data:
        check_twice(data, file)


def parse(data: bytes, file: str) -> Any:
    """The value of a JSON text; of keys that occur twice the last. BadInput."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise _not_json(data, file, error) from None


def check_depth(value: Any, file: str) -> None:
    """BadInput when a value is nested too deeply."""
    level = [value]
    for _ in range(DEEPEST):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below += [v for v in item.values() if isinstance(v, dict | list)]
            elif isinstance(item, list):
                below += [v for v in item if isinstance(v, dict | list)]
        if not below:
            return
        level = below
    raise bad(file, "", f"is nested deeper than {DEEPEST} levels")


def check_twice(data: bytes, file: str) -> None:
    """BadInput when an object of a JSON text has a key twice. For texts that orjson reads."""
    twice: list[str] = []

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        known = dict(members)
        if len(known) != len(members):
            seen: set[str] = set()
            twice.extend(key for key, _ in members if key in seen or seen.add(key))
        return known

    try:
        json.loads(data, object_pairs_hook=pairs)
    except RecursionError:
        raise bad(file, "", f"is nested deeper than {DEEPEST} levels") from None
    except ValueError as error:
        raise bad(file, "", f"is not JSON: {error}") from None
    if twice:
        raise BadInput([f"{file}: {key}: the key occurs twice in one object" for key in dict.fromkeys(twice[:20])])


def _quotes(value: Any) -> int:
    """How many quotation marks the text of a value has if no key occurs twice and nothing is escaped."""
    if isinstance(value, dict):
        return 2 * len(value) + sum(_quotes(v) for v in value.values())
    if isinstance(value, list):
        # lists of numbers are what is large
        if value and not isinstance(value[0], str | list | dict) and not {str, list, dict} & set(map(type, value)):
            return 0
        return sum(_quotes(v) for v in value)
    return 2 if isinstance(value, str) else 0


def _not_json(data: bytes, file: str, error: orjson.JSONDecodeError) -> BadInput:
    if not data.strip():
        return bad(file, "", "is empty")
    if data.startswith(b"\xef\xbb\xbf"):
        return bad(file, "", "begins with a byte order mark; save it as plain UTF-8")
    try:
        text = data.decode()
    except UnicodeDecodeError as wrong:
        return bad(file, "", f"is not JSON: byte {wrong.start:,} is not UTF-8 ({wrong.reason})")
    # orjson counts positions in bytes for some errors and in characters for others; files of the field are ASCII
    if "depth" in error.msg:
        return bad(file, "", f"is nested deeper than {DEEPEST} levels")
    where = f"line {error.lineno}, column {error.colno}"
    if "unexpected end" in error.msg or error.pos >= len(text.rstrip()):
        return bad(file, where, f"is cut off: the JSON does not end (after {len(data):,} bytes)")
    constant = re.compile(r"-?(?:NaN|nan|Infinity|inf)\b").search(text, max(0, error.pos - 4), error.pos + 12)
    if constant:
        return bad(file, where, f"{constant.group()} is not a value in JSON")
    reason = error.msg.partition(": line")[0]
    return bad(file, where, f"is not JSON: {reason}")


def scan(text: str) -> Value:
    """Where everything in a JSON text is. Only for texts that `load` takes; ValueError otherwise."""
    value = _scan(text, _skip(text, 0), 0)
    if _skip(text, value.end) != len(text):
        raise ValueError("more after the end")
    return value


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _scan(text: str, at: int, depth: int) -> Value:
    opening = text[at : at + 1]
    if opening not in ("{", "["):
        match = _SCALAR.match(text, at)
        if match is None:
            raise ValueError(f"no value at {at}")
        return Value(at, match.end())
    if depth > DEEPEST:
        raise ValueError("nested too deeply")
    found = Value(at, at)
    closing = "}" if opening == "{" else "]"
    at = _skip(text, at + 1)
    if text[at : at + 1] == closing:
        found.end = at + 1
        return found
    while True:
        key: Key = len(found.members)
        if opening == "{":
            match = _STRING.match(text, at)
            if match is None:
                raise ValueError(f"no key at {at}")
            key = orjson.loads(match.group())
            found.keys[key] = at
            at = _skip(text, match.end())
            if text[at : at + 1] != ":":
                raise ValueError(f"no colon at {at}")
            at = _skip(text, at + 1)
        member = found.members[key] = _scan(text, at, depth + 1)
        at = _skip(text, member.end)
        if text[at : at + 1] == closing:
            found.end = at + 1
            return found
        if text[at : at + 1] != ",":
            raise ValueError(f"no comma at {at}")
        at = _skip(text, at + 1)


def replace(data: bytes, changes: Mapping[tuple[Key, ...], Any], file: str = "") -> bytes:
    """A JSON text with some of its values changed, all else as it was written.

    `changes`: new values by path, for example ("RD53B", "GlobalConfig", "DiffTh1L"). A value that is equal to what is
    there leaves the text as it is. BadInput when the text is not JSON or has no such path.
    """
    value = load(data, file)
    text = data.decode()
    places: list[tuple[int, int, str]] = []
    whole = scan(text)
    for path, new in changes.items():
        place, old = whole, value
        for key in path:
            if key not in place.members:
                raise bad(file, ".".join(map(str, path)), "there is no such value to change")
            place, old = place.members[key], old[key]
        if not same(old, new):
            places.append((place.start, place.end, one_line(new)))
    places.sort(reverse=True)
    for (start, _, _), (_, end, _) in itertools.pairwise(places):
        if end > start:
            raise bad(file, "", "a value and another one within it are to be changed at once")
    for start, end, new in places:
        text = text[:start] + new + text[end:]
    return text.encode()


def same(a: Any, b: Any) -> bool:
    """Equal as JSON is: 1, 1.0 and true are three values."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(v, b[k]) for k, v in a.items())
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def one_line(value: Any) -> str:
    """A value as JSON without line breaks."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def indented(value: Any, indent: int = 4, depth: int = 0) -> str:
    """A value as YARR writes it: lists of numbers in one line, objects in lists as "[{ … }, { … }]"."""
    inner, outer = " " * indent * (depth + 1), " " * indent * depth
    if isinstance(value, Mapping):
        if not value:
            return "{}"
        members = (f"{inner}{one_line(str(k))}: {indented(v, indent, depth + 1)}" for k, v in value.items())
        return "{\n" + ",\n".join(members) + f"\n{outer}}}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(indented(v, indent, depth + 1) for v in value) + "]"
    return one_line(value)


def tight(value: Any) -> str:
    """A value as JSON without white space."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
