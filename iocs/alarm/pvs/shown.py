"""What the PVs of areas and alarms show: a function for each, from the place in the tree to the value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import orjson

from iocs.alarm.forms import iso
from iocs.alarm.item_forms import links_form
from iocs.alarm.pvs.pvs import Priority
from iocs.alarm.pvs.shelving_text import shelve_text
from iocs.alarm.tree.nodes import Area, Leaf, Node

Value: TypeAlias = Callable[[Any], Any]


def _guidance(node: Node) -> str:
    """What to do: guidance of the alarm, then of the areas above; rationale and corrective action last."""
    lines = []
    for place in (node, *node.above()):
        lines += [f"{link.title}: {link.details}" if link.title else link.details for link in place.config.guidance]
    extras = node.extras
    if extras.corrective_action:
        lines.append(f"Corrective action: {extras.corrective_action}")
    if extras.rationale:
        lines.append(f"Why it is an alarm: {extras.rationale}")
    return "\n".join(lines)


def _guidance_json(node: Node) -> str:
    places = (node, *node.above())
    extras = node.extras
    form = {
        "guidance": [link for place in places for link in links_form(place.config.guidance)],
        "displays": [link for place in places for link in links_form(place.config.displays)],
        "rationale": extras.rationale,
        "corrective_action": extras.corrective_action,
        "screen": extras.screen,
        "response_time": extras.response_time,
    }
    return orjson.dumps(form).decode()


def _shelve(leaf: Leaf) -> str:
    shelf = leaf.shelf
    return "" if shelf is None else shelve_text(shelf.until_ns, shelf.why, shelf.one_shot)


COMMON: Mapping[str, Value] = {
    "Sevr": lambda node: node.severity,
    "Path": lambda node: node.path,
    "Guidance": _guidance,
    "GuidanceJson": _guidance_json,
}

AREA: Mapping[str, Value] = {
    **COMMON,
    "NActive": lambda area: area.active,
    "NUnack": lambda area: area.unacknowledged,
    "NAck": lambda area: area.acknowledged,
    "NSupp": lambda area: area.suppressed,
    "NTotal": lambda area: area.total,
    "First": lambda area: area.first_out.path if area.first_out is not None else "",
}

ALARM: Mapping[str, Value] = {
    **COMMON,
    "AckBy": lambda leaf: str(leaf.acknowledged_by or ""),
    "Enable": lambda leaf: leaf.enabled,
    "Shelve": _shelve,
    "Cur": lambda leaf: leaf.current.severity,
    "Msg": lambda leaf: leaf.alarm.message,
    "CurMsg": lambda leaf: leaf.current.message,
    "Val": lambda leaf: leaf.alarm.value,
    "Time": lambda leaf: iso(leaf.alarm.time_ns),
    "Since": lambda leaf: iso(leaf.since_ns),
    "State": lambda leaf: leaf.effective,
    "Desc": lambda leaf: leaf.config.description,
    "Prio": lambda leaf: Priority[leaf.extras.priority],
    "Resp": lambda leaf: leaf.extras.response_time,
    "ShelvedUntil": lambda leaf: "" if leaf.shelf is None else iso(leaf.shelf.until_ns),
    "ShelvedBy": lambda leaf: "" if leaf.shelf is None else str(leaf.shelf.by),
    "ShelvedWhy": lambda leaf: "" if leaf.shelf is None else leaf.shelf.why,
}


def values_of(node: Node) -> Mapping[str, Value]:
    """The functions for an area or an alarm, by attribute; a value that nothing here gives is somebody's put."""
    return AREA if isinstance(node, Area) else ALARM


def area_enabled(area: Area) -> bool:
    """Whether any alarm below is enabled."""
    return not area.total or any(leaf.enabled for leaf in area.leaves())
