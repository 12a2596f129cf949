"""Small widgets that several screens use. How they look is said in the style sheet, by the properties set here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydm.widgets.label import PyDMLabel
from qtpy.compat import isalive
from qtpy.QtCore import Qt, QTimer, Signal  # pyright: ignore[reportPrivateImportUsage]
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QMessageBox, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from screens.parts.hv_state import State
from screens.parts.pv import DISCONNECTED, SEVERITIES, Pv

NOTHING = "– – –"
"""Shown where a value would be."""

FROZEN_AFTER = 5.0
"""Seconds without a heartbeat after which an IOC that is still connected is said to be frozen."""


def restyle(widget: QWidget, **properties: object) -> None:
    """Set properties that the style sheet selects by; repolish only when one of them is new."""
    if all(widget.property(name) == value for name, value in properties.items()):
        return
    for name, value in properties.items():
        widget.setProperty(name, value)
    style = widget.style()
    for target in (widget, *widget.findChildren(QWidget)):
        style.unpolish(target)
        style.polish(target)


class Reading(PyDMLabel):
    """A value with its unit. Its colour follows the severity; without a connection it shows no number."""

    severity_changed = Signal(int)

    def __init__(self, name: str, parent: QWidget | None = None, role: str = "reading", units: bool = True) -> None:
        super().__init__(parent)
        self.disconnectedText = NOTHING
        self.setText(NOTHING)
        self.alarmSensitiveContent = True
        self.alarmSensitiveBorder = False
        self.showUnits = units
        self.setProperty("role", role)
        self.setMinimumWidth(1)
        self.channel = f"ca://{name}"

    # what was on its way while the screen was discarded comes when nothing is left that could show it

    def value_changed(self, new_value: Any) -> None:
        """PyDM's hook."""
        if isalive(self):
            super().value_changed(new_value)

    def connection_changed(self, connected: bool) -> None:
        """PyDM's hook."""
        if isalive(self):
            super().connection_changed(connected)

    def alarm_severity_changed(self, new_alarm_severity: int) -> None:
        """PyDM's hook."""
        if isalive(self):
            super().alarm_severity_changed(new_alarm_severity)
            self.severity_changed.emit(self.alarmSeverity)


class Text(QLabel):
    """A text PV (string, enum or char waveform). Too long a text is cut at the right; the tool tip has it whole."""

    def __init__(self, name: str, parent: QWidget | None = None, role: str = "text", prefix: str = "") -> None:
        super().__init__(NOTHING, parent)
        self.pv = Pv(name, self)
        self._prefix = prefix
        self._whole = ""
        self.setProperty("role", role)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.pv.changed.connect(self._show)
        self._show()

    def channels(self) -> list:
        """PyDM's tools find the PV by this."""
        return [self.pv.channel]

    def text_of(self, pv: Pv) -> str:
        """What is shown for the PV's value; a subclass may say it in other words."""
        return pv.text

    def _show(self) -> None:
        restyle(self, severity=self.pv.severity)
        self._whole = (
            f"{self._prefix}{self.text_of(self.pv)}" if self.pv.connected and self.pv.value is not None else NOTHING
        )
        self.setText(self._whole)
        self.setToolTip(f"{self._whole}\n{self.pv.name}")


def fitted(label: QLabel, text: str, mode: Qt.TextElideMode, least: int) -> str:
    """As much of `text` as a label's width has room for, `least` pixels at least."""
    # the label rounds its text's width up, and may so want a pixel more than its font says
    room = label.contentsRect().width() - 2 * label.margin() - 2
    return label.fontMetrics().elidedText(text, mode, max(room, least))


class Message(Text):
    """A line that takes what room there is and elides."""

    def __init__(self, name: str, parent: QWidget | None = None, role: str = "message") -> None:
        super().__init__(name, parent, role=role)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.setMinimumWidth(50)

    def _show(self) -> None:
        super()._show()
        self._elide()

    def _elide(self) -> None:
        self.setText(fitted(self, " ".join(self._whole.split()), Qt.TextElideMode.ElideRight, 40))

    def resizeEvent(self, event) -> None:  # noqa: D102  (Qt's hook)
        super().resizeEvent(event)
        self._elide()

    @property
    def whole(self) -> str:
        """The text before it was cut."""
        return self._whole


class Beat(QLabel):
    """The heartbeat of an IOC: a heart that moves with every beat, or since when there was none."""

    state_changed = Signal(str)

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.pv = Pv(name, self)
        self._on = False
        self._shown = ""
        self._age = 0.0
        self.setProperty("role", "beat")
        self._timer = QTimer(self)
        self._timer.setInterval(500)
        self._timer.timeout.connect(self._tick)
        self._timer.start()
        self.pv.beat.connect(self._beat)
        self.pv.changed.connect(self._show)
        self.setToolTip(name)
        self._show()

    def channels(self) -> list:
        """PyDM's tools find the PV by this."""
        return [self.pv.channel]

    @property
    def state(self) -> str:
        """`alive`, `frozen` or `dead`."""
        if not self.pv.connected:
            return "dead"
        return "frozen" if self._age > FROZEN_AFTER else "alive"

    def _beat(self) -> None:
        self._on = not self._on
        self._age = 0.0

    def _tick(self) -> None:
        self._age += self._timer.interval() / 1000
        self._show()

    def _show(self) -> None:
        state = self.state
        restyle(self, state=state, on=self._on)
        if state == "alive":
            self.setText(f"{'♥' if self._on else '♡'} alive")
        elif state == "frozen":
            self.setText(f"♡ no beat for {self._age:.0f} s")
        else:
            self.setText("✖ DISCONNECTED")
        if state != self._shown:
            self._shown = state
            self.state_changed.emit(state)


class Badge(QLabel):
    """Where an IOC's readings come from: SIM in a colour nobody takes for hardware, or the backend's name.

    An IOC without a device (backend ``none``) has no badge.
    """

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.pv = Pv(name, self)
        self.setProperty("role", "badge")
        self.pv.changed.connect(self._show)
        self._show()

    def channels(self) -> list:
        """PyDM's tools find the PV by this."""
        return [self.pv.channel]

    def _show(self) -> None:
        text = self.pv.text if self.pv.connected else ""
        simulated = text.lower().startswith("sim")
        self.setText("SIM" if simulated else text or "?")
        self.setVisible(text.lower() != "none")
        restyle(self, state="sim" if simulated else "hardware" if text else "dead")
        self.setToolTip(f"{'Simulated: no hardware is moved' if simulated else text}\n{self.pv.name}")


class StateBadge(QLabel):
    """The state of a channel in one word."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "state")

    def show_state(self, state: State) -> None:
        """Show `state` by its symbol, word and colour."""
        self.setText(state.text)
        restyle(self, state=state.key)


class Led(QFrame):
    """A bit and its name. Filled while the bit is set, in the colour of the PV's own severity."""

    def __init__(self, name: str, text: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.pv = Pv(name, self)
        self.lamp = QLabel(self)
        self.lamp.setProperty("role", "lamp")
        self.lamp.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.label = QLabel(text, self)
        self.label.setProperty("role", "bit")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        row.addWidget(self.lamp)
        row.addWidget(self.label, 1)
        self.setToolTip(name)
        self.pv.changed.connect(self._show)
        self._show()

    def channels(self) -> list:
        """PyDM's tools find the PV by this."""
        return [self.pv.channel]

    @property
    def is_set(self) -> bool:
        """Whether the bit is known and set."""
        return self.pv.severity < 3 and self.pv.value not in (None, 0)

    def _show(self) -> None:
        severity = self.pv.severity
        if self.pv.value is None and severity != DISCONNECTED:
            severity = 3
        restyle(self, on=self.is_set, severity=severity)
        self.lamp.setText("?" if severity >= 3 else "●" if self.is_set else "")


class CommandButton(QPushButton):
    """A button that puts 1, after a question where there is one. Grey while the PV can't be written."""

    def __init__(
        self,
        name: str,
        label: str,
        parent: QWidget | None = None,
        question: str = "",
        role: str = "command",
        value: int | str = 1,
        urgent: bool = False,
    ) -> None:
        super().__init__(label, parent)
        self.pv = Pv(name, self)
        self._question = question
        self._put_value = value
        self._urgent = urgent
        self.setProperty("role", role)
        self.clicked.connect(self._ask)
        self.pv.changed.connect(self._show)
        self._show()

    def channels(self) -> list:
        """PyDM's tools find the PV by this."""
        return [self.pv.channel]

    def _show(self) -> None:
        self.setEnabled(self.pv.connected and self.pv.write_access)
        if not self.pv.connected:
            self.setToolTip(f"Disconnected: {self.pv.name}")
        elif not self.pv.write_access:
            self.setToolTip(f"Access security does not let you write {self.pv.name}")
        else:
            self.setToolTip(self.pv.name)

    def _ask(self) -> None:
        if self._question:
            ask(self, self.text().rstrip(" .…"), self._question, self._send, self._urgent)
        else:
            self._send()

    def _send(self) -> None:
        self.pv.put(self._put_value)


def ask(parent: QWidget, action: str, question: str, then: Callable[[], None], urgent: bool = False) -> QMessageBox:
    """Ask before doing `then`; the box belongs to `parent` and is not waited for.

    The button that does it carries the action's own name, never "Yes". Enter cancels, except when `urgent`.
    """
    box = QMessageBox(parent.window())
    box.setObjectName("question")
    box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    box.setIcon(QMessageBox.Icon.Warning)
    box.setWindowTitle(action)
    box.setText(question)
    do = box.addButton(action, QMessageBox.ButtonRole.AcceptRole)
    cancel = box.addButton(QMessageBox.StandardButton.Cancel)
    do.setObjectName("do")
    cancel.setObjectName("cancel")
    box.setDefaultButton(do if urgent else cancel)
    box.setEscapeButton(cancel)
    box.buttonClicked.connect(lambda button: then() if button is do else None)
    box.open()
    return box


class Toggle(QPushButton):
    """A button that is on or off, and says so by a box with a tick as well as by its colour."""

    def __init__(self, label: str, parent: QWidget | None = None, on: bool = False) -> None:
        super().__init__(parent)
        self._label = label
        self.setProperty("role", "toggle")
        self.setCheckable(True)
        self.setChecked(on)
        self.toggled.connect(lambda _: self._show())
        self._show()

    def _show(self) -> None:
        self.setText(f"{'☑' if self.isChecked() else '☐'} {self._label}")


class Clickable(QFrame):
    """A frame that is a button."""

    clicked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: D102  (Qt's hook)
        if event.button() == Qt.MouseButton.LeftButton and self.rect().contains(event.position().toPoint()):
            self.clicked.emit()
        super().mouseReleaseEvent(event)

    def keyPressEvent(self, event) -> None:  # noqa: D102  (Qt's hook)
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            self.clicked.emit()
        else:
            super().keyPressEvent(event)


def caption(text: str, parent: QWidget | None = None) -> QLabel:
    """A small label that names what is beside or below it."""
    label = QLabel(text, parent)
    label.setProperty("role", "caption")
    return label


def stacked(*widgets: QWidget) -> QVBoxLayout:
    """Widgets below each other, without a gap."""
    column = QVBoxLayout()
    column.setSpacing(0)
    for widget in widgets:
        column.addWidget(widget)
    return column


def severity_name(severity: int) -> str:
    """The EPICS name of a severity, empty for NO_ALARM."""
    return SEVERITIES[severity] if severity else ""


__all__ = [
    "NOTHING",
    "Badge",
    "Beat",
    "Clickable",
    "CommandButton",
    "Led",
    "Message",
    "Reading",
    "StateBadge",
    "Text",
    "Toggle",
    "ask",
    "caption",
    "restyle",
    "severity_name",
    "stacked",
]
