"""One channel in the overview."""

from __future__ import annotations

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from screens.parts.hv_state import OFFLINE, State, state_of
from screens.parts.pv import Pv
from screens.parts.widgets import Clickable, Reading, StateBadge, restyle, severity_name

ROOMY = (270, 150)
"""Width and height in pixels from which a tile has room for larger numbers; with them it needs less than that."""


class ChannelTile(Clickable):
    """Alias, state, voltage and current of the channel whose PV names begin with `prefix` (``DEMO:HV:L07:``).

    The border has the colour of the worst severity of what is shown; its name stands beside the voltage.
    """

    def __init__(self, prefix: str, alias: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.alias = alias
        self.state: State = OFFLINE
        self.setProperty("role", "tile")
        self.state_pv = Pv(f"{prefix}State", self)
        self.v_mon = Reading(f"{prefix}VMon", self, role="big")
        self.i_mon = Reading(f"{prefix}IMon", self, role="medium")
        self.v_set = Reading(f"{prefix}VSet_RBV", self, role="small")
        self.alarm = QLabel(self)
        self.alarm.setProperty("role", "severity")
        self.badge = StateBadge(self)
        name = QLabel(alias, self)
        name.setProperty("role", "alias")
        arrow = QLabel("set", self)
        arrow.setProperty("role", "caption")

        top = QHBoxLayout()
        top.setSpacing(6)
        top.addWidget(name)
        top.addStretch(1)
        top.addWidget(self.badge)
        middle = QHBoxLayout()
        middle.addWidget(self.alarm, 0, Qt.AlignmentFlag.AlignVCenter)
        middle.addStretch(1)
        middle.addWidget(self.v_mon, 0, Qt.AlignmentFlag.AlignVCenter)
        bottom = QHBoxLayout()
        bottom.setSpacing(4)
        bottom.addStretch(1)
        bottom.addWidget(arrow, 0, Qt.AlignmentFlag.AlignBottom)
        bottom.addWidget(self.v_set, 0, Qt.AlignmentFlag.AlignBottom)
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 6, 10, 6)
        column.setSpacing(2)
        column.addLayout(top)
        column.addLayout(middle, 1)
        column.addWidget(self.i_mon, 0, Qt.AlignmentFlag.AlignRight)
        column.addLayout(bottom)

        self.state_pv.changed.connect(self._show)
        self.v_mon.severity_changed.connect(self._show)
        self.i_mon.severity_changed.connect(self._show)
        self._show()

    def channels(self) -> list:
        """PyDM's tools find the PV by this."""
        return [self.state_pv.channel]

    @property
    def severity(self) -> int:
        """The worst severity of what the tile shows, 4 when all of it is disconnected."""
        return max(self.state_pv.severity, self.v_mon.alarmSeverity, self.i_mon.alarmSeverity)

    def _show(self) -> None:
        pv = self.state_pv
        self.state = state_of(pv.text or None, pv.severity, pv.connected)
        self.badge.show_state(self.state)
        severity = self.severity
        self.alarm.setText(severity_name(severity) if severity < 3 else "")
        restyle(self, severity=severity)

    def minimumSizeHint(self) -> QSize:
        """The least with small numbers, so that a large window can be made small again in one go."""
        return QSize(190, 116)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: D102  (Qt's hook)
        super().resizeEvent(event)
        restyle(self, roomy=event.size().width() >= ROOMY[0] and event.size().height() >= ROOMY[1])
