"""What Phoebus' files have no room for, in a TOML file beside them: `alarms.toml` for `alarms.xml`.

```
["/DEMO/HV/L07/DEMO:HV:L07:IMon"]
priority = "high"
response_time = 300
rationale = "The layer trips within ten minutes."
```
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

from iocs.alarm.item_forms import item_form, item_of
from iocs.alarm.tree.items import NO_EXTRAS, ConfigError, Extras, Item, LeafConfig
from iocs.alarm.tree.paths import join_path, split_path
from owlshift.toml_lines import key_lines, line_of

MAX_BYTES = 64 << 20
_FIELDS = tuple(one.name for one in fields(Extras))


@dataclass(frozen=True, slots=True)
class ExtrasFile:
    """An extras file: `extras` by path, and where each path stands in it (`FILE:LINE`)."""

    extras: dict[str, Extras]
    places: dict[str, str]


def beside(xml: Path) -> Path:
    """The extras file that belongs to an alarm file."""
    return xml.with_suffix(".toml")


def read_extras(source: bytes | Path, name: str) -> ExtrasFile:
    """Read the extras of the configuration `name`; ConfigError with all that is wrong: `FILE:LINE: PATH: reason`."""
    shown = str(source) if isinstance(source, Path) else "alarms.toml"
    text = _text(source, shown)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"\(at line (\d+), column \d+\)", str(error))
        line = where.group(1) if where else str(text.count("\n") + 1)
        raise ConfigError([f"{shown}:{line}: not TOML: {error}"]) from error
    except RecursionError:
        raise ConfigError([f"{shown}:1: not TOML: nested too deep"]) from None
    lines = key_lines(text)
    found = ExtrasFile({}, {})
    problems: list[str] = []
    for key, table in document.items():
        where = f"{shown}:{line_of(lines, (_raw(key, lines),))}"
        try:
            path = join_path(split_path(key))
        except ValueError as error:
            problems.append(f"{where}: {key}: {error}")
            continue
        if split_path(path)[0] != name:
            problems.append(f"{where}: {path}: is not below /{name}")
        if path in found.extras:
            problems.append(f"{where}: {path}: is there twice ({found.places[path]})")
        try:
            found.extras[path] = item_of({"path": path, "kind": "alarm", "extras": table}).extras
            found.places[path] = where
        except ConfigError as error:
            for problem in error.problems:
                reason = problem.removeprefix(f"{path}: ").removeprefix("extras.").removeprefix("extras ")
                line = line_of(lines, (_raw(key, lines), reason.partition(" ")[0]))
                problems.append(f"{shown}:{line}: {path}: {reason}")
    if problems:
        raise ConfigError(problems)
    return found


def _text(source: bytes | Path, shown: str) -> str:
    try:
        if isinstance(source, Path):
            with source.open("rb") as file:
                source = file.read(MAX_BYTES + 1)
        if len(source) > MAX_BYTES:
            raise ConfigError([f"{shown}: larger than {MAX_BYTES >> 20} MiB"])
        return source.decode().replace("\r\n", "\n")
    except OSError as error:
        raise ConfigError([f"{shown}: can't be read: {error.strerror or error}"]) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError([f"{shown}:{line}: not UTF-8"]) from error


def _raw(key: str, lines: Mapping[tuple[str | int, ...], int]) -> str:
    """The key as it stands in the file: lines are known by that."""
    escaped = json.dumps(key, ensure_ascii=False)[1:-1]
    return key if (key,) in lines else escaped


def with_extras(items: Iterable[Item], file: ExtrasFile) -> tuple[list[Item], list[str]]:
    """Items with their extras, and what is wrong: extras of areas, or of what is not among the items."""
    items = list(items)
    left = dict(file.extras)
    found: list[Item] = []
    problems: list[str] = []
    for item in items:
        extras = left.pop(item.path, NO_EXTRAS)
        if extras != NO_EXTRAS and not isinstance(item.config, LeafConfig):
            problems.append(f"{file.places[item.path]}: {item.path}: an area has no extras")
        else:
            item = replace(item, extras=extras) if extras != NO_EXTRAS else item
        found.append(item)
    problems += [f"{file.places[path]}: {path}: there is no such alarm" for path in left]
    return found, problems


def write_extras(items: Iterable[Item]) -> bytes:
    """The extras file of items: what is not as usual. Empty when nothing is."""
    tables = [text for item in items if (text := _table(item))]
    return "\n".join(tables).encode()


def _table(item: Item) -> str:
    if item.extras == NO_EXTRAS:
        return ""
    form, usual = item_form(item).get("extras", {}), _USUAL
    lines = [f"{name} = {_value(form[name])}\n" for name in _FIELDS if name in form and form[name] != usual[name]]
    return f"[{_value(item.path)}]\n{''.join(lines)}"


def _value(value: object) -> str:
    """A value as TOML has it; texts escaped as in JSON, but for DEL, which TOML does not take as it is."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list):
        return f"[{', '.join(_value(one) for one in value)}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)


_USUAL = item_form(Item("/usual", LeafConfig()))["extras"]
