"""The JSON form of what is configured of an item, both ways: the PV `Config` takes it, `owl alarm show` prints it.

```
{"path": "/DEMO/HV/L07/DEMO:HV:L07:IMon",
 "config": {"description": "Current of layer 7", "delay": 5, "guidance": [{"title": "Do", "details": "ramp down"}]},
 "extras": {"priority": "high", "response_time": 300}}
```
Without `description` it is an area. A form is the whole of an item: what is not said has its default.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar, cast

from iocs.alarm.tree.items import Action, AreaConfig, ConfigError, Extras, Item, LeafConfig, Link, Priority
from iocs.alarm.tree.paths import join_path, split_path

T = TypeVar("T")

TEXT_LIMIT = 10_000
"""Characters of one text."""
LIST_LIMIT = 100
"""Entries of guidance, displays, commands, actions or modes."""
SECONDS_LIMIT = 10_000_000
PRIORITIES = ("low", "medium", "high")


_PLAIN: dict[str, Any] = {
    "enabled": True, "disabled_until": None, "latching": True, "annunciating": True, "delay": 0, "count": 0,
    "filter": "", "guidance": [], "displays": [], "commands": [], "actions": [],
    "priority": "medium", "response_time": 0.0, "rationale": "", "corrective_action": "", "off_delay": 0.0,
    "masked_by": "", "modes": [], "screen": "",
}  # fmt: skip
"""What a field has when it is not said."""


def links_form(links: Iterable[Link]) -> list[dict[str, Any]]:
    """Guidance, displays or commands."""
    return [{"title": link.title, "details": link.details} for link in links]


def item_form(item: Item, sparse: bool = False) -> dict[str, Any]:
    """Everything that is configured of an item; `sparse`: without what has its default, but for `description`."""
    config, extras = item.config, item.extras
    said: dict[str, Any] = {}
    more: dict[str, Any] = {}
    if isinstance(config, LeafConfig):
        until = config.disabled_until
        said = {
            "description": config.description,
            "enabled": config.enabled,
            "disabled_until": None if until is None else until.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "latching": config.latching,
            "annunciating": config.annunciating,
            "delay": config.delay,
            "count": config.count,
            "filter": config.filter,
        }
        more = {
            "priority": extras.priority,
            "response_time": extras.response_time,
            "rationale": extras.rationale,
            "corrective_action": extras.corrective_action,
            "off_delay": extras.off_delay,
            "masked_by": extras.masked_by,
            "modes": list(extras.modes),
            "screen": extras.screen,
        }
    said |= {
        "guidance": links_form(config.guidance),
        "displays": links_form(config.displays),
        "commands": links_form(config.commands),
        "actions": [{"title": one.title, "details": one.details, "delay": one.delay} for one in config.actions],
    }
    if sparse:
        said = {name: value for name, value in said.items() if name == "description" or value != _PLAIN[name]}
        more = {name: value for name, value in more.items() if value != _PLAIN[name]}
    form: dict[str, Any] = {"path": item.path, "config": said}
    return form | {"extras": more} if more else form


class _Fields:
    """The fields of a JSON object, each taken once; what is wrong is noted with its name."""

    def __init__(self, content: Any, where: str, problems: list[str]) -> None:
        self.where, self.problems = where, problems
        self._left: dict[str, Any] = {}
        if isinstance(content, Mapping):
            self._left = {str(key): value for key, value in content.items()}
        else:
            self.problem("", f"is a {_kind(content)} and not an object")

    def problem(self, name: str, reason: str) -> None:
        place = f"{self.where}.{name}" if self.where and name else name or self.where
        self.problems.append(f"{place} {reason}".strip())

    def take(self, name: str, default: T, check: Callable[[Any], T]) -> T:
        if name not in self._left:
            return default
        try:
            return check(self._left.pop(name))
        except ValueError as error:
            self.problem(name, str(error))
            return default

    def end(self) -> None:
        for name in sorted(self._left):
            self.problem(name[:40], "is no field of it")


def item_of(form: Any) -> Item:
    """The item that a form says; ConfigError with a line for each thing that is wrong with it."""
    problems: list[str] = []
    top = _Fields(form, "", problems)
    path = top.take("path", "", _path)
    kind = top.take("kind", "", lambda value: value if value in ("area", "alarm") else _refuse("is area or alarm"))
    content = top.take("config", {}, lambda value: value)
    extras_content = top.take("extras", {}, lambda value: value)
    top.end()
    leaf = kind == "alarm" or (not kind and isinstance(content, Mapping) and "description" in content)
    config = _config(content, leaf, problems)
    extras = _extras(extras_content, problems)
    if not path and not problems:
        problems.append("path is missing")
    if not leaf and extras != Extras():
        problems.append("an area has no extras")
    if problems:
        raise ConfigError([f"{path}: {problem}" if path else problem for problem in problems])
    return Item(path, config, extras)


def _config(content: Any, leaf: bool, problems: list[str]) -> AreaConfig | LeafConfig:
    fields = _Fields(content, "config", problems)
    guidance, displays, commands = (
        fields.take(name, (), lambda value, name=name: _entries(value, f"config.{name}", Link, problems))
        for name in ("guidance", "displays", "commands")
    )
    actions = fields.take("actions", (), lambda value: _entries(value, "config.actions", Action, problems))
    if not leaf:
        fields.end()
        return AreaConfig(guidance, displays, commands, actions)
    config = LeafConfig(
        description=fields.take("description", "", _text),
        enabled=fields.take("enabled", True, _bool),
        disabled_until=fields.take("disabled_until", None, _moment),
        latching=fields.take("latching", True, _bool),
        annunciating=fields.take("annunciating", True, _bool),
        delay=fields.take("delay", 0, _count),
        count=fields.take("count", 0, _count),
        filter=fields.take("filter", "", _text),
        guidance=guidance,
        displays=displays,
        commands=commands,
        actions=actions,
    )
    if config.disabled_until is not None and config.enabled:
        fields.problem("disabled_until", "needs enabled = false")
    fields.end()
    return config


def _extras(content: Any, problems: list[str]) -> Extras:
    fields = _Fields(content, "extras", problems)
    extras = Extras(
        priority=fields.take("priority", "medium", _priority),
        response_time=fields.take("response_time", 0.0, _seconds),
        rationale=fields.take("rationale", "", _text),
        corrective_action=fields.take("corrective_action", "", _text),
        off_delay=fields.take("off_delay", 0.0, _seconds),
        masked_by=fields.take("masked_by", "", lambda value: value and _path(value)),
        modes=fields.take("modes", (), _names),
        screen=fields.take("screen", "", _text),
    )
    fields.end()
    return extras


def _entries(content: Any, where: str, kind: type[T], problems: list[str]) -> tuple[T, ...]:
    """Links or actions of a list of objects."""
    if not isinstance(content, list) or len(content) > LIST_LIMIT:
        raise ValueError(f"is no list of at most {LIST_LIMIT}")
    found: list[Any] = []
    for number, one in enumerate(content):
        fields = _Fields(one, f"{where}[{number}]", problems)
        values: dict[str, Any] = {
            "title": fields.take("title", "", _text),
            "details": fields.take("details", "", _text),
        }
        if kind is Action:
            values["delay"] = fields.take("delay", 0, _count)
        fields.end()
        found.append(kind(**values))
    return tuple(found)


def _refuse(reason: str) -> Any:
    raise ValueError(reason)


def _kind(value: Any) -> str:
    names = {dict: "object", list: "list", str: "text", bool: "truth value", int: "number", float: "number"}
    return names.get(type(value), "null" if value is None else type(value).__name__)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"is a {_kind(value)} and not a text")
    if len(value) > TEXT_LIMIT:
        raise ValueError(f"has more than {TEXT_LIMIT:,} characters")
    if any(ord(letter) < 32 and letter not in "\n\t" for letter in value):
        raise ValueError("has control characters")
    if any(0xD800 <= ord(letter) < 0xE000 for letter in value):
        raise ValueError("is not Unicode")
    return value


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"is a {_kind(value)} and not true or false")
    return value


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= SECONDS_LIMIT:
        raise ValueError(f"is no whole number from 0 to {SECONDS_LIMIT:,}")
    return value


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"is a {_kind(value)} and not a number")
    if not 0 <= value <= SECONDS_LIMIT:
        raise ValueError(f"is not from 0 to {SECONDS_LIMIT:,}")
    return float(value)


def _moment(value: Any) -> datetime | None:
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(_text(value).strip())
    except ValueError:
        raise ValueError("is no time of ISO 8601") from None
    if found.tzinfo is None:
        raise ValueError("has no time zone: 2030-01-01T12:00:00Z")
    try:
        return found.astimezone(UTC)
    except OverflowError:
        raise ValueError("is no time of ISO 8601") from None


def _priority(value: Any) -> Priority:
    if value not in PRIORITIES:
        raise ValueError(f"is none of {', '.join(PRIORITIES)}")
    return cast(Literal["low", "medium", "high"], value)


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > LIST_LIMIT:
        raise ValueError(f"is no list of at most {LIST_LIMIT}")
    return tuple(_text(one) for one in value)


def _path(value: Any) -> str:
    try:
        return join_path(split_path(_text(value)))
    except ValueError as error:
        raise ValueError(f"is none: {error}") from None
