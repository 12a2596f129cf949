"""The JSON forms of alarms: what `owl alarm … --json` prints and what the PVs `Active`, `Tree` and `Shelves` hold.

Times are ISO 8601 in UTC with a `Z`, "" where there is none; severities and states are their names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from iocs.alarm.item_forms import links_form
from iocs.alarm.tree.nodes import DISABLED, FILTERED, MASKED, OUT_OF_MODE, SHELVED, Area, Leaf, Node, Shelf

if TYPE_CHECKING:
    from iocs.alarm.tree.tree import AlarmTree

Form: TypeAlias = dict[str, Any]
PrefixOf: TypeAlias = Callable[[Node], str]
"""What an item's own PVs begin with, without the colon at the end."""

ACTIVE_LIMIT = 2000
"""Rows of the table that the PV `Active` holds."""

REASONS = {SHELVED: "shelved", DISABLED: "disabled", FILTERED: "filtered", OUT_OF_MODE: "mode", MASKED: "masked"}
"""Why an alarm is suppressed: does not count, and is not announced."""


def iso(time_ns: int | None) -> str:
    """UTC nanoseconds since 1970 as ISO 8601 with milliseconds; "" for none, and for 0: never."""
    if not time_ns:
        return ""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1_000_000:03d}Z"


def shelf_form(shelf: Shelf | None) -> Form | None:
    """Who shelved an alarm, why and until when; `one_shot`: at most, it ends once the alarm is gone."""
    if shelf is None:
        return None
    return {
        "by": str(shelf.by),
        "why": shelf.why,
        "since": iso(shelf.since_ns),
        "until": iso(shelf.until_ns),
        "one_shot": shelf.one_shot,
    }


def alarm_form(leaf: Leaf, prefix_of: PrefixOf) -> Form:
    """An alarm as a row of the table of alarms: guidance and displays are its own, then those of the areas above."""
    return {
        **_alarm_state(leaf),
        "path": leaf.path,
        "name": prefix_of(leaf),
        "area": leaf.parent.path,
        "guidance": [link for node in _upward(leaf) for link in links_form(node.config.guidance)],
        "displays": [link for node in _upward(leaf) for link in links_form(node.config.displays)],
        "first_out": leaf.first_out,
    }


def _alarm_state(leaf: Leaf) -> Form:
    extras = leaf.extras
    return {
        "pv": leaf.pv,
        "severity": leaf.alarm.severity.name,
        "message": leaf.alarm.message,
        "current": leaf.current.severity.name,
        "current_message": leaf.current.message,
        "value": leaf.alarm.value,
        "time": iso(leaf.alarm.time_ns),
        "since": iso(leaf.since_ns),
        "state": leaf.effective.name,
        "priority": extras.priority,
        "description": leaf.config.description,
        "screen": extras.screen,
        "response_time": extras.response_time,
        "acknowledged_by": str(leaf.acknowledged_by or ""),
        "shelved": shelf_form(leaf.shelf),
        "reasons": [word for bit, word in REASONS.items() if leaf.reasons & bit],
        "chattering": leaf.chattering,
    }


def _upward(leaf: Leaf) -> Iterator[Node]:
    yield leaf
    yield from leaf.above()


def active_form(tree: AlarmTree, prefix_of: PrefixOf, now_ns: int, limit: int | None = ACTIVE_LIMIT) -> Form:
    """The table of what is active, latched or acknowledged: the worst first, the newest first among equals."""
    rows = tree.table()
    shown = rows if limit is None else rows[:limit]
    return {
        "time": iso(now_ns),
        "truncated": len(shown) < len(rows),
        "alarms": [alarm_form(leaf, prefix_of) for leaf in shown],
    }


def node_form(node: Node, prefix_of: PrefixOf) -> Form:
    """An area or alarm with its state and counts, without what is below."""
    form: Form = {"name": node.name, "path": node.path, "pv_prefix": prefix_of(node)}
    if isinstance(node, Area):
        form |= {
            "kind": "area",
            "severity": node.severity.name,
            "active": node.active,
            "unacknowledged": node.unacknowledged,
            "acknowledged": node.acknowledged,
            "suppressed": node.suppressed,
            "total": node.total,
            "first_out": node.first_out.path if node.first_out is not None else "",
        }
    elif isinstance(node, Leaf):
        form |= {"kind": "alarm", **_alarm_state(node), "enabled": node.enabled}
    return form


def tree_form(node: Node, prefix_of: PrefixOf) -> Form:
    """An item with all that is below it: `children` of an area, in natural order."""
    form = node_form(node, prefix_of)
    if isinstance(node, Area):
        form["children"] = [tree_form(child, prefix_of) for child in node.children]
    return form


def shelves_form(tree: AlarmTree, prefix_of: PrefixOf) -> Form:
    """All shelved alarms, in the order of the tree."""
    shelved = [leaf for leaf in tree.leaves() if leaf.shelf]
    shelves = [{"path": leaf.path, "name": prefix_of(leaf), **(shelf_form(leaf.shelf) or {})} for leaf in shelved]
    return {"shelves": shelves}
