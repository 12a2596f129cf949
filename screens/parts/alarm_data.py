"""What an alarm server says in JSON, as screens need it. Imports no Qt.

The forms are those of `owl alarm … --json` and of the PVs `Active`, `Tree` and `Shelves`; keys that are not known here
are passed over. What can't be read is a ValueError, by `words.read`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from screens.parts.alarm_look import PRIORITIES, SUPPRESSED, Look, look_of, state_word
from screens.parts.words import when


@dataclass(frozen=True)
class Shelf:
    """Who put an alarm aside, why, and until when; `one_shot`: it also ends when the alarm is normal."""

    path: str
    by: str
    why: str
    since: str = ""
    until: str = ""
    one_shot: bool = False
    name: str = ""
    """What the alarm's own PVs begin with; only in the list of shelves."""

    @classmethod
    def of(cls, entry: dict[str, Any], path: str = "") -> Shelf:
        """From an entry of `shelves`, or from `shelved` of an alarm."""
        return cls(
            path=str(entry.get("path") or path),
            by=str(entry.get("by") or ""),
            why=str(entry.get("why") or ""),
            since=str(entry.get("since") or ""),
            until=str(entry.get("until") or ""),
            one_shot=bool(entry.get("one_shot")),
            name=str(entry.get("name") or "").rstrip(":"),
        )

    @property
    def ends(self) -> str:
        """Until when, in words."""
        until = when(self.until)[5:16] if self.until else ""
        if self.one_shot:
            return f"until it is normal{f', at most {until}' if until else ''}"
        return until or "until it is unshelved"

    def left(self, now: datetime) -> float | None:
        """Seconds that are left; None when no time was said."""
        try:
            return (datetime.fromisoformat(self.until) - now).total_seconds()
        except (ValueError, TypeError):
            return None


@dataclass(frozen=True)
class Alarm:
    """An alarm and its state."""

    path: str
    pv: str
    name: str
    """What its own PVs begin with, without a colon at the end."""
    area: str
    severity: str
    message: str = ""
    current: str = ""
    current_message: str = ""
    value: str = ""
    time: str = ""
    state: str = ""
    priority: str = ""
    description: str = ""
    guidance: tuple[tuple[str, str], ...] = ()
    displays: tuple[tuple[str, str], ...] = ()
    screen: str = ""
    response_time: float = 0.0
    acknowledged_by: str = ""
    first_out: bool = False
    enabled: bool = True
    shelved: Shelf | None = None
    chattering: bool = False
    reasons: tuple[str, ...] = ()
    """Why it does not count: shelved, disabled, filtered, masked, mode."""

    @classmethod
    def of(cls, entry: dict[str, Any]) -> Alarm:
        """From a row of `active`, or from an alarm of `tree`."""
        path = str(entry["path"])
        shelf = entry.get("shelved")
        return cls(
            path=path,
            pv=str(entry["pv"]),
            name=str(entry.get("name") if "kind" not in entry else entry.get("pv_prefix")).rstrip(":"),
            area=str(entry.get("area") or parent_of(path)),
            severity=str(entry["severity"]),
            message=str(entry.get("message") or ""),
            current=str(entry.get("current") or ""),
            current_message=str(entry.get("current_message") or ""),
            value=str(entry.get("value") or ""),
            time=str(entry.get("time") or ""),
            state=str(entry.get("state") or ""),
            priority=str(entry.get("priority") or ""),
            description=str(entry.get("description") or "").lstrip("*!"),
            guidance=links_of(entry.get("guidance")),
            displays=links_of(entry.get("displays")),
            screen=str(entry.get("screen") or ""),
            response_time=float(entry.get("response_time") or 0),
            acknowledged_by=str(entry.get("acknowledged_by") or ""),
            first_out=bool(entry.get("first_out")),
            enabled=bool(entry.get("enabled", True)),
            shelved=Shelf.of(shelf, path) if isinstance(shelf, dict) else None,
            chattering=bool(entry.get("chattering")),
            reasons=tuple(str(reason) for reason in entry.get("reasons") or ()),
        )

    @property
    def look(self) -> Look:
        """How its severity looks."""
        return look_of(self.severity)

    @property
    def waits(self) -> bool:
        """Somebody is to acknowledge it."""
        return self.look.waits and not self.suppressed

    @property
    def suppressed(self) -> bool:
        """Shelved, disabled, filtered or masked: it does not count."""
        return bool(self.reasons) or self.state in SUPPRESSED

    @property
    def state_word(self) -> str:
        """Its state in a word; `new` for what waits, so that it is found by that."""
        if self.state == "Active" or (not self.state and self.waits):
            return "new"
        return state_word(self.state)

    @property
    def urgency(self) -> tuple[int, ...]:
        """A sort key: what waits first, then the worst, then by priority."""
        priority = PRIORITIES.index(self.priority) if self.priority in PRIORITIES else 1
        return (not self.suppressed, self.look.waits, self.look.rank, priority)

    @property
    def words(self) -> str:
        """All that a filter looks at, in lower case."""
        shelf = f"{self.shelved.by} {self.shelved.why}" if self.shelved else ""
        parts = (
            self.path, self.description, self.look.word, self.message, self.current_message, self.value, self.priority,
            self.state_word, self.acknowledged_by, shelf,
        )  # fmt: skip
        return "\t".join(parts).lower()


@dataclass(frozen=True)
class Active:
    """The table of alarms; `truncated`: there are more than are listed."""

    time: str = ""
    truncated: bool = False
    alarms: tuple[Alarm, ...] = ()


def read_active(document: Any) -> Active:
    """Of `active --json` and of the PV `Active`."""
    return Active(
        str(document.get("time") or ""),
        bool(document.get("truncated")),
        tuple(Alarm.of(entry) for entry in document["alarms"]),
    )


def read_shelves(document: Any) -> list[Shelf]:
    """Of `shelves --json` and of the PV `Shelves`."""
    return [Shelf.of(entry, str(entry["path"])) for entry in document["shelves"]]


class Node:
    """An area or alarm of the tree. What is below is made when somebody looks: a tree may have 50,000 alarms.

    `filtered` is what a filter lets through of the entries below, None when there is no filter.
    """

    __slots__ = ("_children", "entry", "filtered", "parent", "row")

    def __init__(self, entry: dict[str, Any], parent: Node | None = None, row: int = 0) -> None:
        self.entry = entry
        self.parent = parent
        self.row = row
        self.filtered: list[dict[str, Any]] | None = None
        self._children: list[Node] | None = None

    @property
    def below(self) -> Sequence[dict[str, Any]]:
        """The entries directly below, as far as the filter lets them through."""
        return self.filtered if self.filtered is not None else self.entry.get("children") or ()

    @property
    def children(self) -> list[Node]:
        """The items directly below."""
        if self._children is None:
            self._children = [Node(entry, self, row) for row, entry in enumerate(self.below)]
        return self._children

    @property
    def path(self) -> str:
        """Its path; "" of what holds the root."""
        return str(self.entry.get("path") or "")

    @property
    def name(self) -> str:
        """The last part of its path."""
        return str(self.entry.get("name") or "")

    @property
    def prefix(self) -> str:
        """What its own PVs begin with, without a colon at the end."""
        return str(self.entry.get("pv_prefix") or "").rstrip(":")

    @property
    def is_area(self) -> bool:
        """It has alarms below it."""
        return self.entry.get("kind") == "area"

    @property
    def total(self) -> int:
        """Alarms below it."""
        return int(self.entry.get("total") or 0)

    def find(self, path: str) -> Node | None:
        """The item at `path`, at or below this one."""
        at: Node | None = self
        while at is not None and at.path != path:
            at = next((one for one in at.children if path == one.path or path.startswith(f"{one.path}/")), None)
        return at

    def alarm(self) -> Alarm | None:
        """The alarm as the tree was told it; None for an area."""
        return None if self.is_area or "pv" not in self.entry else Alarm.of(self.entry)

    def up(self) -> Iterator[Node]:
        """This item and those above it, without what holds the root."""
        at: Node | None = self
        while at is not None and at.parent is not None:
            yield at
            at = at.parent


def read_tree(document: Any) -> Node:
    """Of `tree --json`: what holds the root, as its only child."""
    if not isinstance(document, dict) or not isinstance(document["path"], str):
        raise TypeError("no tree")
    return Node({"children": [document]})


def thin_out(top: Node, words: Sequence[str], wanted: set[str] | None) -> tuple[Node, int]:
    """A tree of what a filter lets through, and the number of its alarms.

    Of an alarm or of one of the areas above it, every one of `words` (lower case) is in the path or the description.
    With `wanted`, only alarms with these paths are let through.
    """
    count = 0

    def through(entry: dict[str, Any]) -> dict[str, Any] | None:
        nonlocal count
        if entry.get("kind") == "area":
            below = [one for child in entry.get("children") or () if (one := through(child)) is not None]
            return {**entry, "children": below} if below else None
        path = entry["path"]
        if wanted is not None and path not in wanted:
            return None
        if words:
            text = f"{path}\t{entry.get('description') or ''}".lower()
            if not all(word in text for word in words):
                return None
        count += 1
        return entry

    found = [one for entry in top.entry.get("children") or () if (one := through(entry)) is not None]
    return Node({"children": found}), count


def parent_of(path: str) -> str:
    r"""The path above; a `/` inside a name is written `\/`."""
    at = path.rfind("/")
    while at > 0 and path[at - 1] == "\\":
        at = path.rfind("/", 0, at)
    return path[:at] if at > 0 else ""


def short_path(path: str, root: bool = False) -> str:
    """A path for a narrow place: without its first name, the site's, unless `root`."""
    rest = path if root else "/".join(path.split("/")[2:])
    return rest or path


def links_of(entries: Any) -> tuple[tuple[str, str], ...]:
    """Guidance or displays: title and details of each."""
    return tuple(
        (str(entry.get("title") or ""), str(entry.get("details") or ""))
        for entry in entries or ()
        if isinstance(entry, dict)
    )


@dataclass(frozen=True)
class Event:
    """An entry of the alarm log."""

    time: str
    kind: str
    path: str
    pv: str = ""
    severity: str = ""
    before: str = ""
    current: str = ""
    message: str = ""
    value: str = ""
    state: str = ""
    who: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Log:
    """Entries of the alarm log, newest first, and what to ask for to have those after them."""

    events: tuple[Event, ...] = ()
    next: str = ""


@dataclass(frozen=True)
class LogQuery:
    """What the log is searched for."""

    since: str = ""
    until: str = ""
    pv: str = ""
    path: str = ""
    severity: str = ""
    person: str = ""
    kind: str = ""
    text: str = ""
    limit: int = 500
    after: str = field(default="", compare=False)


def read_log(document: Any) -> Log:
    """Of `log --json`."""
    events = []
    for entry in document["events"]:
        user, host = str(entry.get("user") or ""), str(entry.get("host") or "")
        texts = {
            key: str(entry.get(key) or "")
            for key in ("pv", "severity", "before", "current", "message", "value", "state", "detail")
        }
        events.append(
            Event(
                time=str(entry["time"]),
                kind=str(entry["kind"]),
                path=str(entry.get("path") or ""),
                who=f"{user}@{host}" if user and host else user,
                **texts,
            )
        )
    return Log(tuple(events), str(document.get("next") or ""))
