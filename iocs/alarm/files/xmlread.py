"""The elements of an alarm file as items. `xmlfile` reads the file."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TypeVar

from iocs.alarm.files.checks import bare_name, check_item
from iocs.alarm.files.xmltree import Element
from iocs.alarm.tree.items import Action, AreaConfig, Item, LeafConfig, Link
from iocs.alarm.tree.paths import make_path

LARGEST = 2**31 - 1
"""Of delays and counts."""
_LINKS = ("guidance", "display", "command")
_COMMON = (*_LINKS, "automated_action")
_FLAGS = {"enabled": True, "latching": True, "annunciating": False}
"""What is true when nothing is said; in Phoebus' Kafka records `annunciating` is."""
_SINGLE = ("description", *_FLAGS, "delay", "count", "filter")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?(Z|[+-][0-9]{2}:[0-9]{2})?", re.ASCII
)
_XML = "http://www.w3.org/XML/1998/namespace}"
_XSI = "http://www.w3.org/2001/XMLSchema-instance}"
_HINTS = {
    "detail": "details", "displays": "display", "commands": "command", "actions": "automated_action",
    "automated_actions": "automated_action", "area": "component", "group": "component",
}  # fmt: skip

Config = TypeVar("Config", AreaConfig, LeafConfig)


class ItemReader:
    """Walks over the elements of a file and collects `items` in their order, `problems` and `warnings`.

    `compatible`: a PV that is there twice is left out the second time, with a warning, as Phoebus does it.
    """

    def __init__(self, compatible: bool) -> None:
        self.items: list[Item] = []
        self.problems: list[str] = []
        self.warnings: list[str] = []
        self._compatible = compatible
        self._lines: dict[str, Element] = {}
        """By path."""
        self._pvs: dict[str, tuple[str, Element]] = {}
        """By channel: path and where."""

    def read(self, root: Element, name: str) -> None:
        """Read a whole file, whose root must be `<config name="NAME">`."""
        if root.tag != "config":
            self._problem(root, "", f"the file's element should be <config>, not <{_shown(root.tag)}>")
            return
        given = self._name(root, "", ("name",))
        if not given:
            return
        path = make_path("", name)
        if given != name:
            self._problem(root, path, f"the file is of the configuration {given!r}, not {name!r}")
        self._area(root, path)
        if self.items[0].config == AreaConfig():
            del self.items[0]

    def _problem(self, element: Element, path: str, reason: str) -> None:
        self.problems.append(f"{element.file}:{element.line}: {path}{': ' if path else ''}{reason}")

    def _warning(self, element: Element, path: str, reason: str) -> None:
        self.warnings.append(f"{element.file}:{element.line}: {path}: {reason}")

    def _check(self, item: Item, element: Element) -> None:
        found = check_item(item)
        where = f"{element.file}:{element.line}: "
        self.problems += [where + text for text in found.problems]
        self.warnings += [where + text for text in found.warnings]

    def _name(self, element: Element, path: str, known: tuple[str, ...] = ("name", "id")) -> str:
        for attribute in element.attributes:
            if attribute not in known and not attribute.startswith((_XML, _XSI)):
                self._problem(element, path, f"<{element.tag}> has no attribute {_shown(attribute)!r}")
        name = element.attributes.get("name", "")
        if not name:
            self._problem(element, path, f"<{element.tag}> without a name")
        self._no_text(element, path)
        return name

    def _no_text(self, element: Element, path: str) -> None:
        if element.text.strip():
            self._problem(element, path, f"text in <{element.tag}> that belongs to nothing: {_short(element.text)}")

    def _place(self, element: Element, parent: str) -> str:
        """The path of an area or alarm; "" when it has none, which has been said then."""
        name = self._name(element, parent)
        if not name:
            return ""
        try:
            path = make_path(parent, name)
        except ValueError as error:
            self._problem(element, parent, str(error))
            return ""
        if (other := self._lines.setdefault(path, element)) is not element:
            self._problem(element, path, f"there already is one of this name ({other.file}:{other.line})")
            return ""
        return path

    def _area(self, element: Element, path: str) -> None:
        """Add an area, and the areas and alarms in it."""
        at = len(self.items)
        fields = _Fields(self, element, path)
        self.items.append(Item(path, AreaConfig(*fields.links(), fields.actions())))
        self._check(self.items[at], element)
        for child in element.children:
            if child.tag == "component":
                if place := self._place(child, path):
                    self._area(child, place)
            elif child.tag == "pv":
                self._pv(child, path)
            elif child.tag not in _COMMON:
                self._unknown(child, path, ("component", "pv", *_COMMON))

    def _pv(self, element: Element, parent: str) -> None:
        channel = bare_name(element.attributes.get("name", ""))
        if channel in self._pvs:
            path, first = self._pvs[channel]
            reason = f"the PV {channel} is in the tree already: {path} ({first.file}:{first.line})"
            if self._compatible:
                self._warning(element, parent, f"{reason}; left out here")
                return
            self._problem(element, parent, reason)
        path = self._place(element, parent)
        if not path:
            return
        self._pvs.setdefault(channel, (path, element))
        fields = _Fields(self, element, path)
        for child in element.children:
            if child.tag not in _COMMON and child.tag not in _SINGLE:
                self._unknown(child, path, (*_SINGLE, *_COMMON))
        enabled, until = fields.enabled()
        config = LeafConfig(
            fields.text("description"),
            enabled,
            until,
            fields.flag("latching"),
            fields.flag("annunciating"),
            fields.number("delay"),
            fields.number("count"),
            fields.text("filter"),
            *fields.links(),
            fields.actions(),
        )
        self.items.append(Item(path, config))
        self._check(self.items[-1], element)

    def _unknown(self, element: Element, path: str, known: tuple[str, ...]) -> None:
        tag = _shown(element.tag)
        if tag == "tags":
            self._warning(element, path, "<tags> are not kept")
            return
        hint = f"did you mean <{_HINTS[tag]}>?" if tag in _HINTS else f"known here: {', '.join(known)}"
        self._problem(element, path, f"<{tag}> is unknown; {hint}")


class _Fields:
    """What stands in an area, an alarm, or an entry of theirs."""

    def __init__(self, reader: ItemReader, element: Element, path: str) -> None:
        self.reader, self.element, self.path = reader, element, path
        self._children: dict[str, list[Element]] = {}
        """By tag."""
        for child in element.children:
            self._children.setdefault(child.tag, []).append(child)

    def problem(self, element: Element, reason: str) -> None:
        self.reader._problem(element, self.path, reason)  # noqa: SLF001  (a part of the reader)

    def only(self, tag: str) -> Element | None:
        found = self._children.get(tag)
        if found is None:
            return None
        for extra in found[1:]:
            self.problem(extra, f"<{tag}> is there twice")
        for attribute in found[0].attributes:
            self.problem(found[0], f"<{tag}> has no attribute {_shown(attribute)!r}")
        for child in found[0].children:
            self.problem(child, f"<{_shown(child.tag)}> in <{tag}>, where only text may be")
        return found[0]

    def text(self, tag: str) -> str:
        element = self.only(tag)
        return "" if element is None else element.text

    def flag(self, tag: str) -> bool:
        element = self.only(tag)
        word = "" if element is None else element.text.strip().lower()
        if element is not None and word not in ("", "true", "false"):
            self.problem(element, f"<{tag}> should be true or false, not {_short(element.text)}")
        return word == "true" if word else _FLAGS[tag]

    def enabled(self) -> tuple[bool, datetime | None]:
        """true, false, or the local time up to which it is disabled."""
        element = self.only("enabled")
        word = "" if element is None else element.text.strip()
        if element is None or word.lower() in ("", "true", "false"):
            return word.lower() != "false", None
        try:
            if _TIME.fullmatch(word):
                return False, datetime.fromisoformat(word).astimezone()
        except (ValueError, OverflowError, OSError):
            pass
        self.problem(element, f"<enabled> should be true, false or a time like 2031-12-03T10:15:30, not {_short(word)}")
        return True, None

    def number(self, tag: str) -> int:
        """A whole number from 0; Phoebus also reads what has a decimal point, and drops what is behind it."""
        element = self.only(tag)
        word = "" if element is None else element.text.strip()
        if element is None or not word:
            return 0
        try:
            value = float(word) if word.isascii() and "_" not in word else -1.0
        except ValueError:
            value = -1.0
        if not 0 <= value <= LARGEST:
            self.problem(element, f"<{tag}> should be a number from 0 on, not {_short(word)}")
            return 0
        return int(value)

    def entries(self, tag: str, known: tuple[str, ...]) -> list[_Fields]:
        if tag not in self._children:
            return []
        found = [_Fields(self.reader, child, self.path) for child in self._children[tag]]
        for entry in found:
            self.reader._no_text(entry.element, self.path)  # noqa: SLF001
            for attribute in entry.element.attributes:
                self.problem(entry.element, f"<{tag}> has no attribute {_shown(attribute)!r}")
            for child in entry.element.children:
                if child.tag not in known:
                    self.reader._unknown(child, self.path, known)  # noqa: SLF001
        return found

    def links(self) -> tuple[tuple[Link, ...], tuple[Link, ...], tuple[Link, ...]]:
        """Guidance, displays and commands."""
        guidance, displays, commands = (
            tuple(Link(entry.text("title"), entry.text("details")) for entry in self.entries(tag, ("title", "details")))
            for tag in _LINKS
        )
        return guidance, displays, commands

    def actions(self) -> tuple[Action, ...]:
        """Automated actions."""
        return tuple(
            Action(entry.text("title"), entry.text("details"), entry.number("delay"))
            for entry in self.entries("automated_action", ("title", "details", "delay"))
        )


def _shown(tag: str) -> str:
    return tag.rpartition("}")[2]


def _short(text: str) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
