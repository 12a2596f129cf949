"""Items as an alarm file, byte for byte as Phoebus writes it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from iocs.alarm.tree.items import Action, AreaConfig, ConfigError, Item, ItemConfig, LeafConfig, Link
from iocs.alarm.tree.paths import make_path, parent_path, split_path

_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TEXT = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#xD;"}
_ATTRIBUTE = {**_TEXT, '"': "&quot;", "\n": "&#xA;", "\t": "&#x9;"}
_IN_TEXT = str.maketrans(_TEXT)
_IN_ATTRIBUTE = str.maketrans(_ATTRIBUTE)


@dataclass(slots=True)
class _Place:
    config: ItemConfig | None = None
    children: dict[str, _Place] = field(default_factory=dict)
    """By path, in the order of the items."""


def write_xml(items: Iterable[Item], name: str, compatible: bool = False) -> bytes:
    """The file of these items, below the root `name`; areas that are not among them are made.

    The order is that of the items, those of one area together. `compatible`: an alarm that is disabled up to a time is
    written as disabled for ever, as Phoebus does it; otherwise with the local time up to which. ConfigError, with path
    and reason, for what no file can hold: another root, an alarm that has alarms below it, characters that XML lacks.
    """
    root = _Place()
    top = make_path("", name)
    places = {top: root}
    problems: list[str] = []
    for item in items:
        try:
            names = split_path(item.path)
        except ValueError as error:
            problems.append(str(error))
            continue
        if names[0] != name:
            problems.append(f"{item.path}: is not below {top}")
            continue
        place = _place(places, item.path)
        if place.config is not None:
            problems.append(f"{item.path}: is there twice")
        place.config = item.config
    problems += [
        f"{path}: has items below it, and is an alarm"
        for path, place in places.items()
        if isinstance(place.config, LeafConfig) and place.children
    ]
    if isinstance(root.config, LeafConfig):
        problems.append(f"{top}: the root is no alarm")
    if problems:
        raise ConfigError(problems)
    writer = _Writer(compatible)
    text = "".join(writer.place("config", top, root, "\n"))
    if writer.problems:
        raise ConfigError(writer.problems)
    return f'<?xml version="1.0" encoding="UTF-8"?>{text}\n'.encode()


def _place(places: dict[str, _Place], path: str) -> _Place:
    place = places.get(path)
    if place is None:
        place = places[path] = _Place()
        _place(places, parent_path(path)).children[path] = place
    return place


class _Writer:
    def __init__(self, compatible: bool) -> None:
        self.compatible = compatible
        self.problems: list[str] = []
        self.path = ""

    def place(self, tag: str, path: str, place: _Place, indent: str) -> Iterator[str]:
        """`indent`: a line feed and the blanks before the element."""
        self.path = path
        name = self.text(split_path(path)[-1], _IN_ATTRIBUTE)
        yield f'{indent}<{tag} name="{name}">'
        inner = f"{indent}  "
        config = place.config or AreaConfig()
        if isinstance(config, LeafConfig):
            yield from self.alarm(config, inner)
        for kind, links in (
            ("guidance", config.guidance),
            ("display", config.displays),
            ("command", config.commands),
            ("automated_action", config.actions),
        ):
            for link in links:
                yield from self.link(kind, link, inner)
        for child_path, child in place.children.items():
            kind = "pv" if isinstance(child.config, LeafConfig) else "component"
            yield from self.place(kind, child_path, child, inner)
        yield f"{indent}</{tag}>"

    def alarm(self, config: LeafConfig, indent: str) -> Iterator[str]:
        if config.description:
            yield self.element("description", config.description, indent)
        enabled = _flag(config.enabled)
        if config.disabled_until is not None and not config.enabled and not self.compatible:
            enabled = config.disabled_until.astimezone().replace(tzinfo=None).isoformat()
        yield self.element("enabled", enabled, indent)
        yield self.element("latching", _flag(config.latching), indent)
        yield self.element("annunciating", _flag(config.annunciating), indent)
        if config.delay:
            yield self.element("delay", str(config.delay), indent)
        if config.count:
            yield self.element("count", str(config.count), indent)
        if config.filter:
            yield self.element("filter", config.filter, indent)

    def link(self, tag: str, link: Link | Action, indent: str) -> Iterator[str]:
        yield f"{indent}<{tag}>"
        yield self.element("title", link.title, f"{indent}  ")
        yield self.element("details", link.details, f"{indent}  ")
        if isinstance(link, Action):
            yield self.element("delay", str(link.delay), f"{indent}  ")
        yield f"{indent}</{tag}>"

    def element(self, tag: str, text: str, indent: str) -> str:
        return f"{indent}<{tag}>{self.text(text, _IN_TEXT)}</{tag}>"

    def text(self, text: str, escapes: dict[int, str]) -> str:
        if bad := _FORBIDDEN.search(text):
            self.problems.append(f"{self.path}: XML has no character U+{ord(bad.group()):04X}")
        return text.translate(escapes)


def _flag(value: bool) -> str:
    return "true" if value else "false"
