"""The question before alarms are put aside: for how long, and why."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from qtpy.QtCore import QObject, Qt
from qtpy.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QGridLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from screens.parts.widgets import caption

TIMES = (
    ("10 min", "10m"), ("30 min", "30m"), ("1 h", "1h"), ("2 h", "2h"),
    ("4 h", "4h"), ("8 h", "8h"), ("24 h", "24h"), ("Until normal", "once"),
)  # fmt: skip
REASONS = ("Maintenance", "Known fault, expert is informed", "Chattering", "Sensor is broken", "Test")
LONGEST_REASON = 200
_SPAN = re.compile(r"(?=\d)(\d{1,4}d)?(\d{1,4}h)?(\d{1,5}m)?(\d{1,7}s)?")


def until_text(text: str) -> str:
    """What the alarm server takes for a time that somebody typed; ValueError when that is none.

    It is a span (``90m``, ``1h30m``), or a moment with a time zone or in the clock of this machine (``18:30``,
    ``2026-11-21 18:30``).
    """
    words = text.strip().lower()
    span = words.replace(" ", "").replace("min", "m")
    if _SPAN.fullmatch(span):
        return span
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        clock = datetime.strptime(words, "%H:%M").time()  # ValueError when it is no time at all
        moment = datetime.combine(datetime.now().date(), clock)
        if moment < datetime.now():
            moment += timedelta(days=1)
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


class ShelveDialog(QDialog):
    """How long and why. `then` is called with what is written to `Shelve`: ``30m Maintenance``."""

    def __init__(self, parent: QWidget, what: str, then: Callable[[str], None]) -> None:
        super().__init__(parent.window())
        self._then = then
        self.setObjectName("shelve")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Shelve")
        head = QLabel(f"Shelve {what}", self)
        head.setProperty("role", "word")
        head.setWordWrap(True)
        head.setTextFormat(Qt.TextFormat.PlainText)
        note = caption("A shelved alarm is not announced and does not count. It comes back by itself.", self)
        grid = QGridLayout()
        self._group = QButtonGroup(self)
        self.times: dict[str, QPushButton] = {}
        for number, (label, span) in enumerate(TIMES):
            button = QPushButton(label, self)
            button.setCheckable(True)
            button.setAutoDefault(False)
            button.setProperty("role", "command")
            self._group.addButton(button)
            self.times[span] = button
            grid.addWidget(button, number // 4, number % 4)
        self.times["30m"].setChecked(True)
        self.other = QLineEdit(self)
        self.other.setPlaceholderText("or: 90m, 18:30, 2026-11-22 08:00")
        self.reason = QComboBox(self)
        self.reason.setEditable(True)
        self.reason.addItems(["", *REASONS])
        self.reason.setMinimumWidth(420)
        edit = self.reason.lineEdit()
        if edit is not None:
            edit.setPlaceholderText("why? (the shift after you reads it)")
            edit.setMaxLength(LONGEST_REASON)
        self.problem = caption("", self)
        buttons = QDialogButtonBox(self)
        self.do = buttons.addButton("Shelve", QDialogButtonBox.ButtonRole.AcceptRole)
        self.do.setObjectName("do")
        cancel = buttons.addButton(QDialogButtonBox.StandardButton.Cancel)
        cancel.setObjectName("cancel")
        column = QVBoxLayout(self)
        column.setSpacing(8)
        for widget in (head, note):
            column.addWidget(widget)
        column.addLayout(grid)
        for widget in (self.other, caption("Reason", self), self.reason, self.problem, buttons):
            column.addWidget(widget)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        self.other.textChanged.connect(lambda _: self._check())
        self.reason.editTextChanged.connect(lambda _: self._check())
        self._group.buttonClicked.connect(lambda _: self.other.clear())
        self._check()
        self.reason.setFocus()

    def text(self) -> str:
        """What will be written; ValueError with what is still missing."""
        reason = " ".join(self.reason.currentText().split())
        if self.other.text().strip():
            try:
                span = until_text(self.other.text())
            except ValueError:
                raise ValueError("that is no time: 90m, 2h, 18:30, or 2026-11-22 08:00") from None
        else:
            span = next(span for span, button in self.times.items() if button.isChecked())
        if not reason:
            raise ValueError("a reason is needed")
        return f"{span} {reason}"

    def _check(self) -> None:
        try:
            self.text()
        except ValueError as error:
            self.problem.setText(str(error))
            self.do.setEnabled(False)
        else:
            self.problem.setText("")
            self.do.setEnabled(True)

    def accept(self) -> None:
        """Qt's hook: do it."""
        try:
            text = self.text()
        except ValueError:
            return
        super().accept()
        self._then(text)


def dialog_of(window: QObject) -> ShelveDialog | None:
    """The question that is open in a window, if any."""
    return next((one for one in window.findChildren(ShelveDialog) if one.isVisible()), None)
