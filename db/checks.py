"""What names, types, roles and payloads may be: everything wrong in an object and all below it, said at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from db.digests import canonical
from db.errors import BadInput
from db.nodes import NewObject, NewPayload

RUNKEY_BYTES = 39
"""A Channel Access string has 40 bytes with its final zero."""
NAME_CHARACTERS = 200
DEEPEST = 100
FORMATS = ("json", "pixels", "text", "raw")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,39}")


def runkey_name(name: str) -> None:
    """BadInput when a runkey can't be called so."""
    problem = ""
    if len(name.encode(errors="replace")) > RUNKEY_BYTES:
        problem = f"has {len(name.encode(errors='replace'))} bytes; at most {RUNKEY_BYTES} are allowed"
    elif not name:
        problem = "is empty"
    elif "/" in name:
        problem = "contains a /"
    elif name != name.strip():
        problem = "begins or ends with a space"
    elif not name.isprintable():
        problem = "contains characters that can't be printed"
    if problem:
        raise BadInput(f"runkey {name!r}: the name {problem}")


def name_problem(name: str) -> str:
    """Why an object can't be called so; empty when it can."""
    if not name:
        return "the name is empty"
    if len(name) > NAME_CHARACTERS:
        return f"the name has {len(name)} characters; at most {NAME_CHARACTERS} are allowed"
    if "/" in name or name in (".", ".."):
        return "the name contains a /" if "/" in name else f"the name is {name!r}"
    if not name.isprintable() or name != name.strip():
        return "the name contains characters that can't be printed, or begins or ends with a space"
    return ""


def word_problem(what: str, word: str) -> str:
    """Why this can't be a type, role, view, …; empty when it can."""
    if _WORD.fullmatch(word):
        return ""
    return f"the {what} {word!r} is not 1 to 40 of A-Z a-z 0-9 _ . + - beginning with a letter or digit"


def text_problem(what: str, text: str) -> str:
    """Why this can't be stored as a short text; empty when it can."""
    if len(text) > NAME_CHARACTERS:
        return f"the {what} has {len(text)} characters; at most {NAME_CHARACTERS} are allowed"
    return "" if not text or text.isprintable() else f"the {what} contains characters that can't be printed"


def meta_problem(what: str, meta: Mapping[str, Any]) -> str:
    """Why this can't be stored as metadata; empty when it can."""
    try:
        canonical(meta)
    except BadInput as error:
        return f"{what}: {error}"
    return ""


def payload_problems(payload: NewPayload) -> Iterator[str]:
    """What is wrong with a payload."""
    found = [
        word_problem("role", payload.role),
        word_problem("type", payload.type),
        text_problem("name", payload.name),
        meta_problem("meta", payload.meta),
    ]
    if payload.format not in FORMATS:
        found.append(f"the format {payload.format!r} is none of {', '.join(FORMATS)}")
    elif payload.format == "json":
        try:
            orjson.loads(payload.content)
        except orjson.JSONDecodeError as error:
            found.append(f"the content is no JSON: {error}")
    elif payload.format == "text":
        try:
            bytes(payload.content).decode()
        except UnicodeDecodeError as error:
            found.append(f"the content is no UTF-8 text: {error}")
    return (f"{payload.role}: {problem}" for problem in found if problem)


def own_problems(item: NewObject) -> Iterator[str]:
    """What is wrong with an object itself, its name and those below it excepted."""
    for problem in (
        word_problem("type", item.type),
        text_problem("serial", item.serial),
        meta_problem("meta", item.meta),
    ):
        if problem:
            yield problem
    roles: set[str] = set()
    for payload in item.payloads:
        if payload.role in roles:
            yield f"{payload.role}: two payloads have this role"
        roles.add(payload.role)
        yield from payload_problems(payload)


def tree_problems(root: NewObject, place: str) -> list[str]:
    """What is wrong with an object, which is to be at the path `place`, and with all below it.

    Of one view, an object may have one place only; siblings differ in name; nothing is below itself.
    """
    problems: list[str] = []
    done: set[int] = set()
    above: set[int] = set()
    places: dict[tuple[int, str], str] = {}
    waiting: list[tuple[NewObject, str, bool]] = [(root, place, False)]
    while waiting:
        item, path, leaving = waiting.pop()
        if leaving:
            above.discard(id(item))
            continue
        if id(item) in done:
            continue
        done.add(id(item))
        above.add(id(item))
        if len(above) > DEEPEST:
            return [f"{path}: lies more than {DEEPEST} objects deep"]
        waiting.append((item, path, True))
        problems += [f"{path}: {problem}" for problem in own_problems(item)]
        names: set[tuple[str, str]] = set()
        for child in reversed(item.children):
            for problem in (word_problem("view", child.view), meta_problem("edge", child.meta)):
                if problem:
                    problems.append(f"{path}: {problem}")
            if not isinstance(child.pos, int) or not -(2**31) <= child.pos < 2**31:
                problems.append(f"{path}: the position {child.pos!r} is no whole number of 32 bits")
            if isinstance(child.object, str):
                continue
            name = child.object.name
            below = f"{path.rstrip('/')}/{name}"
            if problem := name_problem(name):
                problems.append(f"{below}: {problem}")
            if (child.view, name) in names:
                problems.append(f"{path}: two children are called {name!r} in view {child.view}")
            names.add((child.view, name))
            if id(child.object) in above:
                problems.append(f"{below}: has itself below it: a cycle")
            elif (other := places.setdefault((id(child.object), child.view), below)) != below:
                problems.append(f"{below}: is also at {other} in view {child.view}")
            else:
                waiting.append((child.object, below, False))
    return problems
