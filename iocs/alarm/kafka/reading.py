"""Phoebus' alarm records as they are read, from anybody: what is no record is a `BadRecord` with the reason."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, cast

import orjson

from iocs.alarm.item_forms import item_of
from iocs.alarm.kafka.dates import read_local
from iocs.alarm.kafka.records import Kind
from iocs.alarm.tree.events import Person, State
from iocs.alarm.tree.items import ConfigError, Item, LeafConfig
from iocs.alarm.tree.paths import join_path, split_path
from iocs.alarm.tree.severity import AlarmSeverity

KINDS: tuple[Kind, ...] = ("config", "state", "command", "talk")

VALUE_LIMIT = 256 << 10
"""Bytes of a value; Phoebus' own have some hundred."""
PATH_LIMIT = 1000
"""Characters of a path."""
DEPTH_LIMIT = 40
"""Names along a path."""

_CONFIG_KEYS = ("latching", "annunciating", "delay", "count", "filter", "guidance", "displays", "commands", "actions")
_LINK_KEYS = {"guidance": ("title", "details"), "displays": ("title", "details"), "commands": ("title", "details")}
_ENTRY_KEYS = {**_LINK_KEYS, "actions": ("title", "details", "delay")}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class BadRecord(ValueError):  # noqa: N818  (what it is, not what went wrong)
    """A record that is none of Phoebus'; the reason in plain words. Nothing was done with it."""


@dataclass(frozen=True, slots=True)
class ConfigRecord:
    """What a `config:` record says of an item."""

    item: Item
    """Without extras: records have none."""
    who: Person
    warnings: tuple[str, ...] = ()
    """What was not understood and left as it was."""


@dataclass(frozen=True, slots=True)
class DeleteRecord:
    """The first of the two records that delete an item: who does it. The second has no value."""

    path: str
    who: Person


@dataclass(frozen=True, slots=True)
class StateRecord:
    """A `state:` record of an alarm."""

    alarm: State
    current_severity: AlarmSeverity
    current_message: str


@dataclass(frozen=True, slots=True)
class Command:
    """A `command:` record: what is to be done, at which place, and who says so."""

    command: str
    path: str
    who: Person


def split_key(key: bytes | None) -> tuple[str, str]:
    """What stands before and after the first colon of a key; BadRecord when it is none."""
    if key is None:
        raise BadRecord("it has no key")
    if len(key) > 4 * PATH_LIMIT:
        raise BadRecord(f"its key has {len(key):,} bytes, and {4 * PATH_LIMIT:,} are allowed")
    try:
        kind, colon, path = key.decode().partition(":")
    except UnicodeDecodeError:
        raise BadRecord("its key is not UTF-8") from None
    if not colon:
        raise BadRecord("its key has no colon")
    return kind, path


def config_key(key: bytes | None, root: str) -> tuple[Kind, str]:
    """Kind and path of a record of the topic for configuration and states; BadRecord, also for another root."""
    kind, path = split_key(key)
    if kind not in KINDS:
        raise BadRecord(f"its kind {kind[:20]!r} is none of {', '.join(KINDS)}")
    check_path(path, root)
    return cast(Kind, kind), path


def check_path(path: str, root: str) -> None:
    """BadRecord when a path is not one of the tree with that root, or is not written in the plain way."""
    if len(path) > PATH_LIMIT:
        raise BadRecord(f"its path has {len(path):,} characters, and {PATH_LIMIT:,} are allowed")
    try:
        names = split_path(path)
        plain = join_path(names)
    except ValueError as error:
        raise BadRecord(str(error)) from None
    if _CONTROL.search(path) or plain != path:
        raise BadRecord(f"its path {path[:80]!r} is not in plain form")
    if len(names) > DEPTH_LIMIT:
        raise BadRecord(f"its path is {len(names)} names deep, and {DEPTH_LIMIT} are allowed")
    if names[0] != root:
        raise BadRecord(f"its root {names[0][:80]!r} is not {root!r}")


def _content(value: bytes) -> dict[str, Any]:
    if len(value) > VALUE_LIMIT:
        raise BadRecord(f"it is larger than the {VALUE_LIMIT:,} bytes that are allowed")
    try:
        content = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise BadRecord(f"it is not JSON: {str(error)[:200]}") from None
    if not isinstance(content, dict):
        raise BadRecord("it is not a JSON object")
    return content


def _person(content: dict[str, Any]) -> Person:
    names = [content.get(name, "") for name in ("user", "host")]
    if not all(isinstance(name, str) for name in names):
        raise BadRecord("user and host are to be texts")
    user, host = (_CONTROL.sub("?", name)[:100] for name in names)
    return Person(user, host)


def decode_config(
    path: str, value: bytes, *, now: datetime, zone: tzinfo | None = None, previous: LeafConfig | None = None
) -> ConfigRecord | DeleteRecord:
    """What a `config:` record with a value says; BadRecord when it is none.

    `previous`: what is configured there now; of it stays `enabled` where the record's date cannot be read.
    """
    content = _content(value)
    who = _person(content)
    if "severity" in content:
        raise BadRecord("it has a severity, so it is no configuration")
    if "delete" in content:
        return DeleteRecord(path, who)
    form: dict[str, Any] = {}
    leaf = "description" in content
    warnings: list[str] = []
    if leaf:
        form["description"] = _lines(content["description"])
        form |= _enabled(content.get("enabled", True), now, zone, previous, warnings)
    for name in _CONFIG_KEYS if leaf else _CONFIG_KEYS[-4:]:
        if name in content:
            form[name] = _entries(name, content[name]) if name in _ENTRY_KEYS else content[name]
    try:
        item = item_of({"path": path, "kind": "alarm" if leaf else "area", "config": form})
    except ConfigError as error:
        # each problem begins with the path, which whoever reads this knows
        reasons = "; ".join(problem.removeprefix(f"{path}: ") for problem in error.problems[:5])
        raise BadRecord(reasons[:500]) from None
    return ConfigRecord(item, who, tuple(warnings))


def _enabled(
    said: object, now: datetime, zone: tzinfo | None, previous: LeafConfig | None, warnings: list[str]
) -> dict[str, Any]:
    """The fields for `enabled`: true, false, or disabled until a date, which has passed when that lies behind."""
    if not isinstance(said, str):
        return {"enabled": said}
    try:
        until = read_local(said, zone)
    except ValueError:
        kept = previous or LeafConfig()
        warnings.append(f"enabled is {said[:40]!r}, which is no date; it stays as it was")
        dated = kept.disabled_until
        return {"enabled": kept.enabled, "disabled_until": None if dated is None else dated.isoformat()}
    return {"enabled": True} if until <= now else {"enabled": False, "disabled_until": until.isoformat()}


def _entries(name: str, said: object) -> object:
    """Entries of a list with the known keys only; a display's old prefix is dropped."""
    if not isinstance(said, list):
        return said
    known = _ENTRY_KEYS[name]
    entries: list[Any] = [
        {k: _lines(one[k]) for k in known if k in one} if isinstance(one, dict) else one for one in said
    ]
    if name == "displays":
        for one in entries:
            if isinstance(one, dict) and isinstance(one.get("details"), str):
                one["details"] = one["details"].removeprefix("opi:")
    return entries


def _lines(said: object) -> object:
    """A text with the ends of lines that ours have."""
    return said.replace("\r\n", "\n").replace("\r", "\n") if isinstance(said, str) else said


def decode_state(value: bytes) -> StateRecord | AlarmSeverity:
    """What the `state:` record of an alarm says, or of an area, which has a severity; BadRecord when it is neither."""
    content = _content(value)
    try:
        severity = AlarmSeverity[content["severity"]]
        if "current_severity" not in content:
            return severity
        time = content["time"]
        seconds, nano = time["seconds"], time["nano"]
        if type(seconds) is not int or type(nano) is not int or not (abs(seconds) < 1 << 33 and 0 <= nano < 10**9):
            raise BadRecord("its time is none")
        texts = [content[name] for name in ("message", "value", "current_message")]
        current = AlarmSeverity[content["current_severity"]]
    except (KeyError, TypeError) as error:
        raise BadRecord(f"it is no state: {error}"[:200]) from None
    if not all(isinstance(text, str) for text in texts):
        raise BadRecord("message, value and current_message are to be texts")
    return StateRecord(State(severity, texts[0], texts[1], seconds * 1_000_000_000 + nano), current, texts[2])


def decode_command(key: bytes | None, value: bytes | None) -> Command:
    """What a `command:` record says; BadRecord when it is none. What stands before the first colon does not count."""
    _, path = split_key(key)
    if value is None:
        raise BadRecord("a command without a value")
    content = _content(value)
    command = content.get("command")
    if not isinstance(command, str) or not command or len(command) > 100:
        raise BadRecord("it says no command")
    if len(path) > PATH_LIMIT or _CONTROL.search(path + command):
        raise BadRecord("its path or command is not in plain form")
    return Command(command, path, _person(content))
