"""An alarm of the tree as it is now, as far as its PVs say it."""

from __future__ import annotations

from dataclasses import replace

from screens.parts.alarm_data import Alarm, Node
from screens.parts.alarm_rows import Item


def alarm_now(node: Node, item: Item | None) -> Alarm | None:
    """The alarm of a node, with what its PVs say now in the place of what was known when the tree was read."""
    alarm = node.alarm()
    if alarm is None or item is None:
        return alarm
    return replace(
        alarm,
        severity=item.look.name or alarm.severity,
        message=item.text("Msg"),
        value=item.text("Val"),
        state=item.text("State") or alarm.state,
        acknowledged_by=item.text("AckBy"),
        reasons=(),
    )
