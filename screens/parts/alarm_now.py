"""An alarm of the tree as it is now, and its guidance, as far as its PVs say them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from qtpy.QtCore import QObject, Signal  # pyright: ignore[reportPrivateImportUsage]

from screens.parts.alarm_data import Alarm, Node, links_of
from screens.parts.alarm_rows import Item
from screens.parts.pv import Pv
from screens.parts.words import read


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


class Guide(QObject):
    """Guidance of the one alarm that is looked at: a tree of 50,000 does not have it. `changed` when it has come."""

    changed = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._path = ""
        self._pv: Pv | None = None

    def watch(self, alarm: Alarm | None) -> None:
        """This alarm is looked at now; none when there is no such."""
        path = alarm.path if alarm is not None else ""
        if path == self._path:
            return
        self.stop()
        self._path = path
        if alarm is not None and alarm.name:
            self._pv = Pv(f"{alarm.name}:GuidanceJson", self, optional=True)
            self._pv.changed.connect(self.changed)

    def stop(self) -> None:
        """Let go of it."""
        if self._pv is not None:
            self._pv.blockSignals(True)
            self._pv.channel.disconnect()
            self._pv.deleteLater()
        self._path, self._pv = "", None

    def complete(self, alarm: Alarm) -> Alarm:
        """The alarm with its guidance, as far as that has come."""
        if self._pv is None or alarm.path != self._path or not self._pv.connected or not self._pv.text:
            return alarm
        try:
            return read(lambda document: guided(alarm, document), json.loads(self._pv.text))
        except ValueError:
            return alarm


def guided(alarm: Alarm, document: Any) -> Alarm:
    """The alarm with the guidance, displays and screen of a PV `GuidanceJson`."""
    more = (("Why it is an alarm", "rationale"), ("What helps", "corrective_action"))
    extra = tuple((title, str(document[key])) for title, key in more if document.get(key))
    return replace(
        alarm,
        guidance=(*links_of(document.get("guidance")), *extra),
        displays=links_of(document.get("displays")),
        screen=str(document.get("screen") or alarm.screen),
    )
