"""What is done to all channels of a crate at once, and the crate's boards."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QFrame, QGridLayout, QHBoxLayout, QLabel, QPushButton, QWidget

from screens.parts.hv_state import board_alarm
from screens.parts.pv import Pv
from screens.parts.widgets import CommandButton, Message, Reading, Text, ask, caption, restyle, stacked

NOMINAL = 2000.0
"""The voltage in V that a multiplier of 1 stands for when an operator speaks of "the" voltage of the chamber."""


class MultControl(QFrame):
    """The multiplier: what it is now, what it stands for in volts, and a way to set it that asks first."""

    def __init__(self, prefix: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "group")
        self.setpoint = Pv(f"{prefix}Mult", self)
        self.readback = Reading(f"{prefix}Mult_RBV", self, role="big")
        self.volts = QLabel(self)
        self.volts.setProperty("role", "medium")
        self._readback = Pv(f"{prefix}Mult_RBV", self)
        self.entry = QDoubleSpinBox(self)
        self.entry.setDecimals(4)
        self.entry.setSingleStep(0.01)
        self.entry.setRange(0.0, 1.2)
        self.entry.setKeyboardTracking(False)
        self.button = QPushButton("Set …", self)
        self.button.setProperty("role", "command")
        self.button.clicked.connect(self._ask)

        row = QHBoxLayout(self)
        row.setContentsMargins(10, 4, 10, 4)
        row.setSpacing(8)
        row.addLayout(stacked(caption("Multiplier of VDef", self), self.readback))
        row.addLayout(stacked(caption(f"of {NOMINAL:g} V nominal", self), self.volts))
        row.addWidget(self.entry)
        row.addWidget(self.button)

        self._touched = False
        self.entry.valueChanged.connect(self._touch)
        self.setpoint.changed.connect(self._show)
        self._readback.changed.connect(self._show)
        self._show()

    def channels(self) -> list:
        """PyDM's tools find the PVs by this."""
        return [self.setpoint.channel, self._readback.channel]

    def _touch(self) -> None:
        self._touched = True

    def _show(self) -> None:
        writable = self.setpoint.connected and self.setpoint.write_access
        self.entry.setEnabled(writable)
        self.button.setEnabled(writable)
        if self.setpoint.limits:
            self.entry.setRange(*self.setpoint.limits)
        if not self._touched and isinstance(self.setpoint.value, (int, float)):
            self.entry.blockSignals(True)
            self.entry.setValue(float(self.setpoint.value))
            self.entry.blockSignals(False)
        value = self._readback.value
        known = self._readback.connected and isinstance(value, (int, float))
        self.volts.setText(f"≙ {NOMINAL * value:.0f} V" if known else "≙ – – –")
        restyle(self.volts, severity=self._readback.severity)
        tip = f"Now {value:.4f}, which is {NOMINAL * value:.1f} V of {NOMINAL:g} V" if known else "Not known"
        self.setToolTip(f"{tip}\n{self.setpoint.name}")

    def _ask(self) -> None:
        self.entry.interpretText()
        wanted = self.entry.value()
        ask(
            self,
            f"Set {wanted:.4f}",
            f"Set every channel to {wanted:.4f} of its default voltage\n"
            f"({NOMINAL * wanted:.0f} V for a channel of {NOMINAL:g} V)?\n\nChannels that are off are switched on.",
            lambda: self._send(wanted),
        )

    def _send(self, value: float) -> None:
        self._touched = False
        self.setpoint.put(value)


class ScaleRamp(QCheckBox):
    """Whether ramps are scaled so that all channels arrive together."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__("Arrive together", parent)
        self.pv = Pv(name, self)
        self.clicked.connect(lambda checked: self.pv.put(int(checked)))
        self.pv.changed.connect(self._show)
        self._show()

    def channels(self) -> list:
        """PyDM's tools find the PV by this."""
        return [self.pv.channel]

    def _show(self) -> None:
        self.setEnabled(self.pv.connected and self.pv.write_access)
        self.setChecked(bool(self.pv.value) and self.pv.connected)
        self.setToolTip(f"Ramps are scaled so that all channels arrive together\n{self.pv.name}")


class GroupControls(QFrame):
    """Multiplier, Down, Clear, Init and ScaleRamp of the crate at `prefix`."""

    def __init__(self, prefix: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(10)
        self.mult = MultControl(prefix, self)
        self.down = CommandButton(
            f"{prefix}Down",
            "DOWN …",
            self,
            question="Ramp every channel down to 0 V and switch it off?",
            role="down",
            urgent=True,
        )
        self.clear = CommandButton(f"{prefix}Clear", "Clear alarms", self)
        self.init = CommandButton(
            f"{prefix}Init",
            "Initialise …",
            self,
            question="Write the site's limits, ramps and trip settings to every channel?",
        )
        self.scale = ScaleRamp(f"{prefix}ScaleRamp", self)
        row.addWidget(self.mult)
        row.addWidget(self.down)
        row.addWidget(self.clear)
        row.addWidget(self.init)
        row.addWidget(self.scale)


class BoardAlarm(Message):
    """A board's alarm word by the names of its bits."""

    def text_of(self, pv: Pv) -> str:
        """Text's hook."""
        return board_alarm(pv.value) if isinstance(pv.value, int) else pv.text


class BoardCard(QFrame):
    """One board: what it is, who controls it, and whether it is interlocked or in alarm."""

    def __init__(self, prefix: str, name: str, parent: QWidget | None = None) -> None:
        """`prefix` is the board's own, for example ``DEMO:HV:B0:``."""
        super().__init__(parent)
        self.name = name
        self.setProperty("role", "card")
        title = QLabel(name, self)
        title.setProperty("role", "alias")
        self.model = Text(f"{prefix}Name", self, role="small")
        self.serial = Text(f"{prefix}Serial", self, role="small", prefix="#")
        self.answers = Pv(f"{prefix}Connected", self)
        self.control = Text(f"{prefix}Ctrl", self, role="word")
        self.interlock = Text(f"{prefix}Ilk", self, role="word")
        self.alarm = BoardAlarm(f"{prefix}Alarm", self, role="word")
        grid = QGridLayout(self)
        grid.setContentsMargins(6, 4, 6, 4)
        grid.setHorizontalSpacing(5)
        grid.setVerticalSpacing(0)
        head = QHBoxLayout()
        head.setSpacing(8)
        for widget in (title, self.model, self.serial):
            head.addWidget(widget, 0, Qt.AlignmentFlag.AlignBottom)
        head.addStretch(1)
        grid.addLayout(head, 0, 0, 1, 3)
        for column, (label, widget) in enumerate(
            (("Control", self.control), ("Interlock", self.interlock), ("Alarm", self.alarm))
        ):
            grid.addWidget(caption(label, self), 1, column)
            grid.addWidget(widget, 2, column)
            grid.setColumnStretch(column, 1)
        for pv in (self.answers, self.control.pv, self.interlock.pv, self.alarm.pv):
            pv.changed.connect(self._show)
        self._show()

    def channels(self) -> list:
        """PyDM's tools find the PV by this."""
        return [self.answers.channel]

    @property
    def severity(self) -> int:
        """The worst severity of the board: MAJOR when it does not answer, 4 when the IOC is gone."""
        return max(pv.severity for pv in (self.answers, self.control.pv, self.interlock.pv, self.alarm.pv))

    def _show(self) -> None:
        restyle(self, severity=self.severity)
