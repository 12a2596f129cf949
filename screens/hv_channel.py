"""One high-voltage channel: what it does, its settings, its status bits, and its past."""

from __future__ import annotations

import os

from pydm import Display
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QButtonGroup, QFrame, QGridLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from screens.navigation import load_display
from screens.parts.header import Header
from screens.parts.hv_state import BITS, state_of
from screens.parts.plot import TimePlot
from screens.parts.pv import Pv
from screens.parts.widgets import CommandButton, Led, Reading, StateBadge, caption, restyle, severity_name, stacked
from screens.registry import FOLDER

V_COLOR, I_COLOR = "#ffb454", "#59c2ff"
SPANS = (("5 min", 300.0), ("30 min", 1800.0), ("4 h", 14400.0), ("24 h", 86400.0))
BIT_COLUMNS = 3
ROOMY = (1700, 950)
"""Width and height in pixels from which there is room for larger text."""


class HvChannel(Display):
    """Macros: P, the prefix of the IOC (``DEMO:HV:``); CH, the channel (``L07``).

    CHANNELS, a list with commas between, gives links to the neighbours; SUBSYSTEMS is handed on to the other screens.
    SPAN is the number of seconds that the plot shows at first.
    """

    def __init__(self, parent=None, args=None, macros: dict[str, str] | None = None) -> None:
        super().__init__(parent=parent, args=args, macros=macros)
        macros = macros or {}
        self._macros_given = {name: macros[name] for name in ("P", "CHANNELS", "SUBSYSTEMS") if macros.get(name)}
        prefix, alias = macros.get("P", ""), macros.get("CH", "")
        self.prefix = f"{prefix}{alias}:"
        self.setWindowTitle(f"{alias} · high voltage {prefix}")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setProperty("role", "screen")

        self.header = Header(
            prefix, f"High voltage  {alias}", self._links(alias, macros), self, macros.get("SUBSYSTEMS", "")
        )
        self.readings = self._readings()
        settings = QFrame(self)
        settings.setProperty("role", "panel")
        self.settings: QWidget = load_display(FOLDER / "hv_settings.ui", {"P": prefix, "CH": alias})
        inner = QVBoxLayout(settings)
        inner.setContentsMargins(12, 8, 12, 8)
        inner.addWidget(self.settings)

        left = QVBoxLayout()
        left.setSpacing(6)
        left.addWidget(self.readings)
        left.addWidget(settings)
        left.addWidget(self._bits())
        left.addStretch(1)
        body = QHBoxLayout()
        body.setSpacing(6)
        body.addLayout(left, 3)
        body.addWidget(self._plot_panel(float(macros.get("SPAN") or 300.0)), 5)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 6, 8, 8)
        column.setSpacing(6)
        column.addWidget(self.header)
        column.addLayout(body, 1)

    def minimumSizeHint(self) -> QSize:
        """What the small text needs, so that a large window can be made small again in one go."""
        return QSize(1000, 720)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: D102  (Qt's hook)
        super().resizeEvent(event)
        restyle(self, roomy=event.size().width() >= ROOMY[0] and event.size().height() >= ROOMY[1])

    def channels(self) -> list:
        """PyDM's tools find the PV by this."""
        return [self.state_pv.channel]

    def waiting(self) -> str:
        """What must still come before the screen is whole; empty when it is."""
        return "" if self.plot.answered() else "the archive"

    def _links(self, alias: str, macros: dict[str, str]) -> list[tuple[str, str, dict[str, str]]]:
        links = []
        if macros.get("SUBSYSTEMS"):
            links.append(("◀ Top", "top", {"SUBSYSTEMS": macros["SUBSYSTEMS"]}))
        links.append(("◀ All channels", "hv", self._overview_macros()))
        names = [name for name in macros.get("CHANNELS", "").split(",") if name]
        if alias in names:
            place = names.index(alias)
            for symbol, other in (("◂ {}", names[place - 1]), ("{} ▸", names[(place + 1) % len(names)])):
                links.append((symbol.format(other), "hv_channel", {**self._macros_given, "CH": other}))
        return links

    def _overview_macros(self) -> dict[str, str]:
        return {name: value for name, value in self._macros_given.items() if name != "CHANNELS"}

    def _readings(self) -> QFrame:
        panel = QFrame(self)
        panel.setProperty("role", "tile")
        self.state_pv = Pv(f"{self.prefix}State", self)
        self.badge = StateBadge(panel)
        self.alarm = QLabel(panel)
        self.alarm.setProperty("role", "severity")
        self.v_mon = Reading(f"{self.prefix}VMon", panel, role="huge")
        self.i_mon = Reading(f"{self.prefix}IMon", panel, role="huge")
        self.v_def = Reading(f"{self.prefix}VDef", panel, role="small")
        self.polarity = Reading(f"{self.prefix}Polarity", panel, role="small", units=False)
        self.on = CommandButton(f"{self.prefix}Pw", "On", panel, role="command", value=1)
        self.off = CommandButton(f"{self.prefix}Pw", "Off", panel, role="command", value=0)
        grid = QGridLayout(panel)
        grid.setContentsMargins(12, 8, 12, 8)
        grid.setVerticalSpacing(6)
        state = QHBoxLayout()
        state.addWidget(self.badge, 0, Qt.AlignmentFlag.AlignVCenter)
        state.addWidget(self.alarm)
        state.addStretch(1)
        state.addWidget(self.on)
        state.addWidget(self.off)
        grid.addLayout(state, 0, 0, 1, 2)
        grid.addLayout(stacked(caption("Voltage", panel), self.v_mon), 1, 0)
        grid.addLayout(stacked(caption("Current", panel), self.i_mon), 1, 1)
        grid.addLayout(stacked(caption("Default voltage", panel), self.v_def), 2, 0)
        grid.addLayout(stacked(caption("Polarity", panel), self.polarity), 2, 1)
        self.state_pv.changed.connect(self._show)
        self.v_mon.severity_changed.connect(self._show)
        self.i_mon.severity_changed.connect(self._show)
        self._panel = panel
        self._show()
        return panel

    def _show(self) -> None:
        pv = self.state_pv
        self.badge.show_state(state_of(pv.text or None, pv.severity, pv.connected))
        severity = max(pv.severity, self.v_mon.alarmSeverity, self.i_mon.alarmSeverity)
        self.alarm.setText(severity_name(severity) if severity < 3 else "")
        restyle(self._panel, severity=severity)

    def _plot_panel(self, span: float) -> QFrame:
        panel = QFrame(self)
        panel.setProperty("role", "panel")
        self.plot = TimePlot(panel)
        self.plot.add(f"{self.prefix}VMon", "v", "left", "VMon [V]", V_COLOR, least=10.0)
        self.plot.add(f"{self.prefix}IMon", "i", "right", "IMon [uA]", I_COLOR, least=1.0, share=0.5)
        spans = QHBoxLayout()
        spans.addWidget(caption("Last", panel))
        group = QButtonGroup(panel)
        for label, seconds in SPANS:
            button = QPushButton(label, panel)
            button.setCheckable(True)
            button.setChecked(seconds == span)
            button.setProperty("role", "span")
            button.clicked.connect(lambda _=False, seconds=seconds: self.plot.show_last(seconds))
            group.addButton(button)
            spans.addWidget(button)
        self.held = caption("held where you moved it: choose a span to follow again", panel)
        self.held.setVisible(False)
        self.plot.following_changed.connect(lambda following: self.held.setVisible(not following))
        spans.addWidget(self.held)
        spans.addStretch(1)
        if not os.environ.get("PYDM_ARCHIVER_URL"):
            spans.addWidget(caption("no archive", panel))
        column = QVBoxLayout(panel)
        column.setContentsMargins(8, 6, 8, 6)
        column.addLayout(spans)
        column.addWidget(self.plot, 1)
        self.plot.show_last(span)
        return panel

    def _bits(self) -> QFrame:
        panel = QFrame(self)
        panel.setProperty("role", "panel")
        grid = QGridLayout(panel)
        grid.setContentsMargins(12, 8, 12, 8)
        grid.setVerticalSpacing(4)
        self.leds: dict[str, Led] = {}
        for index, (name, meaning) in enumerate(BITS):
            self.leds[name] = Led(f"{self.prefix}Sts:{name}", meaning, panel)
            grid.addWidget(self.leds[name], *divmod(index, BIT_COLUMNS))
        return panel
