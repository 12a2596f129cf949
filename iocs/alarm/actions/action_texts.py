"""What actions say: subject and text of a mail or an info PV, and the JSON of a webhook."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from iocs.alarm.tree.events import State
from iocs.alarm.tree.items import LeafConfig
from iocs.alarm.tree.nodes import Area, Leaf
from iocs.alarm.tree.severity import AlarmSeverity

MAX_ALARMS = 200
"""Of an area; the rest is counted."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029\ud800-\udfff]+")


@dataclass(frozen=True, slots=True)
class Told:
    """An item at the moment in which an action was due."""

    path: str
    severity: AlarmSeverity
    subject: str
    """`MAJOR alarm: Current of layer 7`, or `OK: …`; one line."""
    body: str
    pairs: tuple[str, ...]
    """PV, severity, PV, severity, … of the alarms that are active, for a command's `*`."""
    form: dict[str, Any]
    """For a webhook."""

    @property
    def text(self) -> str:
        """Subject and body in one."""
        return f"{self.subject}\n{self.body}"


def told(node: Area | Leaf) -> Told:
    """What is to be said of an item now."""
    severity = node.severity
    alarm = "" if severity is AlarmSeverity.OK else " alarm"
    subject = f"{severity.name}{alarm}: {_line(_title(node), 200)}"
    if isinstance(node, Leaf):
        leaves, more = [node], 0
        body = _detail(node)
    else:
        leaves = list(islice(_active(node), MAX_ALARMS))
        more = node.unacknowledged - len(leaves)
        body = "\n".join(["Active alarms:", "", *map(_detail, leaves)]) if leaves else "No active alarms\n"
        body += f"and {more:,} more\n" if more > 0 else ""
    form = {
        "source": "owlshift",
        "event": "alarm" if severity.active else "clear",
        "path": node.path,
        "severity": severity.name,
        "text": subject,
        "alarms": [_form(leaf) for leaf in leaves],
        "more": max(more, 0),
    }
    pairs = [word for leaf in leaves if leaf.severity.active for word in (leaf.channel, leaf.severity.name)]
    return Told(node.path, severity, subject, body, tuple(pairs), form)


def _active(area: Area) -> Iterator[Leaf]:
    """The active alarms below, the worst first."""
    found = [leaf for leaf in area.leaves() if leaf.severity.active]
    return iter(sorted(found, key=lambda leaf: -leaf.severity))


def _title(node: Area | Leaf) -> str:
    if isinstance(node, Leaf) and node.config.description:
        return node.config.description.removeprefix("*").removeprefix("!")
    return node.path


def _line(text: str, longest: int = 1000) -> str:
    return _CONTROL.sub(" ", text).strip()[:longest]


def _detail(leaf: Leaf) -> str:
    alarm, current, config = leaf.alarm, leaf.current, leaf.config
    lines = [
        f"PV: {_line(leaf.path)}",
        f"Description: {_line(config.description)}",
        f"Alarm Time: {_time(alarm)}",
        f"Alarm Severity: {alarm.severity.name}, Status: {_line(alarm.message)}, Value: {_line(alarm.value)}",
        f"Current PV Severity: {current.severity.name}, Status: {_line(current.message)}",
        f"Priority: {leaf.extras.priority}",
        *_guidance(config),
        "",
    ]
    return "\n".join(lines)


def _guidance(config: LeafConfig) -> list[str]:
    return [f"Guidance: {_line(entry.title)}: {_line(entry.details)}" for entry in config.guidance]


def _time(state: State) -> str:
    try:
        return datetime.fromtimestamp(state.time_ns / 1e9).astimezone().isoformat(sep=" ", timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return "unknown"


def _form(leaf: Leaf) -> dict[str, Any]:
    return {
        "path": leaf.path,
        "pv": leaf.channel,
        "description": leaf.config.description,
        "severity": leaf.alarm.severity.name,
        "message": leaf.alarm.message,
        "value": leaf.alarm.value,
        "time": _time(leaf.alarm),
        "current_severity": leaf.current.severity.name,
        "current_message": leaf.current.message,
        "priority": leaf.extras.priority,
        "guidance": [{"title": entry.title, "details": entry.details} for entry in leaf.config.guidance],
    }
