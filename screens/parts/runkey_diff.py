"""Two runkeys beside each other: what differs, before and after, and the pixels that do."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QCompleter,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSplitter,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from screens.parts.owl import Answer, Owl
from screens.parts.runkey_changes import Difference, Group, read_difference
from screens.parts.runkey_maps import read_pixels
from screens.parts.runkey_pixels import PixelDiffView
from screens.parts.table import FilteredTable
from screens.parts.widgets import caption, restyle
from screens.parts.words import read


class NameBox(QComboBox):
    """The name of a runkey: chosen, or written (a revision is NAME@3), with suggestions."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setEditable(True)
        self.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(10)
        completer = self.completer()
        if completer is not None:
            completer.setCompletionMode(QCompleter.CompletionMode.PopupCompletion)
            completer.setFilterMode(Qt.MatchFlag.MatchContains)
            completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)

    def set_names(self, names: Sequence[str]) -> None:
        """Offer these; what is written stays."""
        text = self.currentText()
        self.clear()
        self.addItems(list(names))
        self.setEditText(text)


class DiffView(QWidget):
    """Choose two, see what differs."""

    def __init__(self, owl: Owl, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._owl = owl
        self.difference: Difference | None = None
        self.group: Group | None = None
        self._names = ("", "")
        self.first, self.second = NameBox(self), NameBox(self)
        self.swap = QPushButton("⇄", self)
        self.swap.setToolTip("Exchange A and B")
        self.button = QPushButton("Compare", self)
        for button in (self.swap, self.button):
            button.setProperty("role", "span")
        self.button.clicked.connect(lambda: self.compare(self.first.currentText(), self.second.currentText()))
        self.swap.clicked.connect(self._swap)
        for box in (self.first, self.second):
            edit = box.lineEdit()
            if edit is not None:
                edit.returnPressed.connect(self.button.click)
        self.summary = QLabel("Choose two runkeys; a revision of one is NAME@3", self)
        self.summary.setProperty("role", "message")
        self.summary.setWordWrap(True)
        self.changes = FilteredTable(
            ("Object", "In", "What"), stretch=2, placeholder="filter: path, payload, value", what="differences"
        )
        self.sides = FilteredTable(("Where", "Before (A)", "After (B)"), stretch=0, what="values")
        self.maps = PixelDiffView(self)
        self.note = QLabel(self)
        self.note.setProperty("role", "message")
        self.note.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.note.setWordWrap(True)
        self.stack = QStackedWidget(self)
        for widget in (self.note, self.sides, self.maps):
            self.stack.addWidget(widget)
        self.changes.chosen.connect(self._choose)
        row = QHBoxLayout()
        row.setSpacing(6)
        row.addWidget(caption("A, before", self))
        row.addWidget(self.first, 1)
        row.addWidget(self.swap)
        row.addWidget(caption("B, after", self))
        row.addWidget(self.second, 1)
        row.addWidget(self.button)
        halves = QSplitter(Qt.Orientation.Vertical, self)
        halves.setChildrenCollapsible(False)
        halves.addWidget(self.changes)
        halves.addWidget(self.stack)
        halves.setSizes([150, 430])
        halves.setStretchFactor(1, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 6, 0, 0)
        column.setSpacing(6)
        column.addLayout(row)
        column.addWidget(self.summary)
        column.addWidget(halves, 1)

    def set_names(self, names: Sequence[str]) -> None:
        """Offer these runkeys."""
        for box in (self.first, self.second):
            box.set_names(names)

    def set_first(self, name: str) -> None:
        """The one that is compared with another."""
        if not self.second.currentText() or self.second.currentText() == name:
            self.second.setEditText(self.first.currentText())
        self.first.setEditText(name)

    def compare(self, before: str, after: str) -> None:
        """Ask what differs."""
        self.first.setEditText(before)
        self.second.setEditText(after)
        if not before.strip() or not after.strip():
            self._say("Choose two runkeys to compare", "warning")
            return
        self._names = (before.strip(), after.strip())
        self.difference = self.group = None
        self.changes.fill([])
        self._show_note("")
        self._say("comparing …")
        self._owl.ask(["diff", "--json", "--", *self._names], self._take, lane="diff", exit_codes=(0, 1))

    def _take(self, answer: Answer) -> None:
        try:
            if answer.error:
                raise ValueError(answer.error)
            found = read(read_difference, answer.document())
        except ValueError as error:
            self._say(str(error), "fault")
            return
        self.difference = found
        self._say(found.text, "" if found.same else "warning")
        self.changes.fill([(group.path, group.what, group.summary) for group in found.groups])
        if found.groups:
            self.changes.choose(0)
        else:
            self._show_note("The two are the same in every object and payload." if found.same else "")

    def _choose(self, row: int) -> None:
        if self.difference is None or not 0 <= row < len(self.difference.groups):
            return
        group = self.difference.groups[row]
        self.group = group
        if group.pixels is None:
            self._owl.forget("map A")
            self._owl.forget("map B")
            self.sides.fill(group.rows)
            self.stack.setCurrentWidget(self.sides)
            return
        self._show_note("reading the two maps …")
        contents: dict[str, bytes] = {}

        def take(side: str, answer: Answer) -> None:
            if group is not self.group:
                return
            if answer.error:
                self._show_note(answer.error)
                return
            contents[side] = answer.data
            if len(contents) == 2:
                self._show_maps(group, contents["A"], contents["B"])

        for side, name, key in (("A", self._names[0], "before"), ("B", self._names[1], "after")):
            sha = str(group.pixels.get(key) or "")
            self._owl.ask(
                ["get", "--", name, group.path, group.what],
                lambda answer, side=side: take(side, answer),
                lane=f"map {side}",
                keep=f"payload {sha}" if sha else "",
            )

    def _show_maps(self, group: Group, before: bytes, after: bytes) -> None:
        meta = group.pixels or {}
        try:
            self.maps.show_pair(read_pixels(before, meta), read_pixels(after, meta))
        except ValueError as error:
            self._show_note(str(error))
            return
        self.stack.setCurrentWidget(self.maps)

    def _swap(self) -> None:
        one, two = self.first.currentText(), self.second.currentText()
        self.first.setEditText(two)
        self.second.setEditText(one)
        if self.difference is not None:
            self.compare(two, one)

    def _say(self, text: str, state: str = "") -> None:
        self.summary.setText(text)
        restyle(self.summary, severity={"fault": 2, "warning": 1}.get(state, 0))

    def _show_note(self, text: str) -> None:
        self.note.setText(text)
        self.stack.setCurrentWidget(self.note)
