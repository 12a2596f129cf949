"""What the snapshot, compare and apply panel is made of."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QEvent, QObject, QSize, Qt, Signal  # pyright: ignore[reportPrivateImportUsage]
from qtpy.QtWidgets import (
    QComboBox,
    QCompleter,
    QFrame,
    QLabel,
    QLineEdit,
    QProgressBar,
    QScrollArea,
    QSizePolicy,
    QWidget,
)

from screens.parts.pv import DISCONNECTED, Pv
from screens.parts.runkey_data import Runkey
from screens.parts.runkey_report import BUSY, read_names, state_of
from screens.parts.widgets import NOTHING, CommandButton, StateBadge, Text, fitted, restyle
from screens.parts.words import when


class Column(QScrollArea):
    """Panels below each other that scroll where there is no room; as wide as they need to be."""

    def __init__(self, inside: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._inside = inside
        self.setWidget(inside)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        inside.installEventFilter(self)

    def minimumSizeHint(self) -> QSize:
        """Wide enough for the widest panel, and for the scroll bar."""
        return QSize(self._inside.minimumSizeHint().width() + self.verticalScrollBar().sizeHint().width() + 4, 200)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: D102  (Qt's hook)
        if event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return super().eventFilter(watched, event)


class RunState(StateBadge):
    """What the IOC is doing, in one word. `changed` is emitted when that is another."""

    changed = Signal()

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("large", True)
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setMinimumWidth(190)
        self.pv = Pv(name, self)
        self.pv.changed.connect(self._show)
        self._show()

    def channels(self) -> list:
        """PyDM's tools find the PV by this."""
        return [self.pv.channel]

    @property
    def busy(self) -> bool:
        """A command is under way."""
        return self.pv.connected and self.pv.text in BUSY

    def _show(self) -> None:
        self.show_state(state_of(self.pv.text, self.pv.severity, self.pv.connected))
        self.setToolTip(f"{self.pv.text}\n{self.pv.name}")
        self.changed.emit()


class Progress(QProgressBar):
    """How far the command under way is, in percent, with the number of PVs that are done."""

    def __init__(self, prefix: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setRange(0, 1000)
        self.setMinimumWidth(60)
        self.pv, self.done, self.total = (
            Pv(f"{prefix}{name}", self) for name in ("Progress", "ItemsDone", "ItemsTotal")
        )
        for pv in (self.pv, self.done, self.total):
            pv.changed.connect(self._show)
        self._show()

    def channels(self) -> list:
        """PyDM's tools find the PVs by this."""
        return [pv.channel for pv in (self.pv, self.done, self.total)]

    def _show(self) -> None:
        restyle(self, severity=self.pv.severity)
        known = self.pv.connected and isinstance(self.pv.value, (int, float))
        self.setValue(int(10 * min(max(float(self.pv.value), 0.0), 100.0)) if known else 0)
        if not known:
            self.setFormat(NOTHING)
            return
        counted = all(pv.connected and isinstance(pv.value, int) for pv in (self.done, self.total))
        count = f"   {self.done.value:,} of {self.total.value:,}" if counted and self.total.value else ""
        self.setFormat(f"{float(self.pv.value):.0f} %{count}")


class RunButton(CommandButton):
    """A command that can be given only at times; `reason` says why not now."""

    def __init__(
        self,
        name: str,
        label: str,
        parent: QWidget,
        reason: Callable[[], str],
        before: Callable[[], None] | None = None,
        role: str = "command",
        urgent: bool = False,
        question: Callable[[], str] | None = None,
    ) -> None:
        """`before` is called just before the command is put; `question`, when there is one, is asked first."""
        self._reason = reason
        self._before = before
        self._words = question
        super().__init__(name, label, parent, role=role, urgent=urgent)

    def refresh(self) -> None:
        """Look again whether it can be given."""
        self._show()

    def _show(self) -> None:
        super()._show()
        reason = self._reason() if self.isEnabled() else ""
        if reason:
            self.setEnabled(False)
            self.setToolTip(f"{reason}\n{self.pv.name}")

    def _ask(self) -> None:
        self._question = self._words() if self._words is not None else ""
        super()._ask()

    def _send(self) -> None:
        if self._before is not None:
            self._before()
        super()._send()


class RunkeyChoice(QComboBox):
    """The runkey that commands act on: those of `List`, searched by typing. Writes `Selected` when one is chosen."""

    def __init__(self, prefix: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.pv = Pv(f"{prefix}Selected", self)
        self.list = Pv(f"{prefix}List", self)
        self.entries: list[Runkey] = []
        self._listed = ""
        self.setEditable(True)
        self.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(12)
        self.setMaxVisibleItems(20)
        completer = self.completer()
        if completer is not None:
            completer.setCompletionMode(QCompleter.CompletionMode.PopupCompletion)
            completer.setFilterMode(Qt.MatchFlag.MatchContains)
            completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.activated.connect(lambda row: self.choose(self.itemText(row)))
        edit = self.lineEdit()
        if edit is not None:
            edit.setMaxLength(39)
            edit.returnPressed.connect(lambda: self.choose(self.currentText()))
            edit.editingFinished.connect(self._show)
        self.pv.changed.connect(self._show)
        self.list.changed.connect(self._fill)
        self._show()

    def channels(self) -> list:
        """PyDM's tools find the PVs by this."""
        return [self.pv.channel, self.list.channel]

    def choose(self, name: str) -> None:
        """Select a runkey; the IOC refuses a name that it does not know, and says so."""
        if self.pv.connected and self.pv.write_access and name != self.pv.text:
            self.pv.put(name)

    def _fill(self) -> None:
        text = self.list.text if self.list.connected else ""
        if not text or text == self._listed:
            return
        try:
            entries, _ = read_names(text)
        except ValueError:
            return
        self._listed = text
        names: dict[str, Runkey] = {}
        for entry in entries:
            names.setdefault(entry.name, entry)
        self.entries = list(names.values())
        self.blockSignals(True)
        shown = self.currentText()
        self.clear()
        for row, entry in enumerate(self.entries):
            self.addItem(entry.name)
            tip = f"{when(entry.created)} by {entry.author}\n{entry.comment}"
            self.setItemData(row, tip, Qt.ItemDataRole.ToolTipRole)
        self.setEditText(shown)
        self.blockSignals(False)
        self._show()

    def _show(self) -> None:
        self.setEnabled(self.pv.connected and self.pv.write_access)
        edit = self.lineEdit()
        if edit is not None and edit.hasFocus() and edit.isModified():
            return  # somebody is typing
        text = self.pv.text if self.pv.connected else ""
        self.blockSignals(True)
        self.setCurrentIndex(self.findText(text))
        self.setEditText(text)
        if edit is not None:
            edit.setCursorPosition(0)  # of a long name, the beginning is shown
        self.blockSignals(False)
        self.setToolTip(f"{text or 'No runkey is selected'}\n{self.pv.name}")


class Entry(QLineEdit):
    """A text that is written when Enter is pressed, the entry is left, or `send` is called."""

    def __init__(self, name: str, placeholder: str, longest: int, wave: bool, parent: QWidget | None = None) -> None:
        """`longest` in bytes; `wave`: the PV is a char waveform, not a string."""
        super().__init__(parent)
        self.pv = Pv(name, self)
        self._wave = wave
        self._longest = longest
        self._said = placeholder
        self.setMaxLength(longest)
        self.setMinimumWidth(60)
        self.editingFinished.connect(self.send)
        self.pv.changed.connect(self._show)
        self._show()

    def channels(self) -> list:
        """PyDM's tools find the PV by this."""
        return [self.pv.channel]

    def send(self) -> None:
        """Write what was typed, if anything was."""
        if not self.isModified() or not self.isEnabled():
            return
        self.setModified(False)
        text = self.text().encode()[: self._longest].decode(errors="ignore")
        if self._wave:
            self.pv.put_text(text)
        else:
            self.pv.put(text)

    def _show(self) -> None:
        self.setEnabled(self.pv.connected and self.pv.write_access)
        self.setPlaceholderText(self._said if self.pv.connected else "disconnected")
        if not self.isModified():
            self.setText(self.pv.text if self.pv.connected else "")
        self.setToolTip(self.pv.name)


class Fact(Text):
    """A text that takes the room there is, elided in the middle; empty values say so."""

    def __init__(self, name: str, parent: QWidget | None = None, role: str = "text", empty: str = "none") -> None:
        self._empty = empty
        super().__init__(name, parent, role=role)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.setMinimumWidth(30)

    def text_of(self, pv: Pv) -> str:
        """Text's hook."""
        return " ".join(pv.text.split()) or self._empty

    @property
    def whole(self) -> str:
        """The text before it was cut."""
        return self._whole

    def _show(self) -> None:
        super()._show()
        self._elide()

    def _elide(self) -> None:
        self.setText(fitted(self, self._whole, Qt.TextElideMode.ElideMiddle, 30))

    def resizeEvent(self, event) -> None:  # noqa: D102  (Qt's hook)
        super().resizeEvent(event)
        self._elide()


class Moment(Fact):
    """A time in UTC, shown as the clock on the wall has it."""

    def text_of(self, pv: Pv) -> str:
        """Text's hook."""
        return when(pv.text) or self._empty


class Result(QLabel):
    """A text over up to three lines, in the colour of its severity."""

    def __init__(self, name: str, parent: QWidget | None = None, role: str = "message") -> None:
        super().__init__(parent)
        self.pv = Pv(name, self)
        self.setProperty("role", role)
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        self.setMinimumWidth(60)
        self.pv.changed.connect(self._show)
        self._show()

    def channels(self) -> list:
        """PyDM's tools find the PV by this."""
        return [self.pv.channel]

    def _show(self) -> None:
        known = self.pv.connected and self.pv.value is not None
        text = self.pv.text if known else NOTHING
        self.setText(text if len(text) <= 240 else f"{text[:240]} …")
        restyle(self, severity=self.pv.severity if self.pv.connected else DISCONNECTED)
        self.setToolTip(f"{text}\n{self.pv.name}")
