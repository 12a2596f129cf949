"""The alarm log: what came and went, who acknowledged, shelved and changed what."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QComboBox, QFileDialog, QFrame, QHBoxLayout, QLineEdit, QPushButton

from screens.parts import screen
from screens.parts.alarm_data import Event, LogQuery, read_log
from screens.parts.alarm_links import links
from screens.parts.alarm_log_view import HEADER, KINDS, SPANS, arguments, color_of, row_of, since_text
from screens.parts.alarm_look import LEVELS
from screens.parts.lines import Line
from screens.parts.owl import Answer
from screens.parts.table import FilteredTable
from screens.parts.widgets import caption
from screens.parts.words import read

ANY_KIND, ANY_SEVERITY = "all events", "all severities"
PAGE = 500
DAY = 2
"""The span that is shown at first, by its place in SPANS."""


class AlarmLog(screen.SubsystemScreen):
    """Macros: P, the prefix of the alarm server (``DEMO:ALM:``).

    PATH is the area or alarm whose log is shown at first.
    """

    def __init__(self, parent=None, args=None, macros: dict[str, str] | None = None) -> None:
        super().__init__("Alarm log", links(macros or {}, "alarm_log"), "alarm", parent, args, macros)
        self.events: list[Event] = []
        self.query = LogQuery()
        self.next = ""
        self.loaded = False
        self.item = QLineEdit(self.given.get("PATH", ""), self)
        self.person, self.text = QLineEdit(self), QLineEdit(self)
        self.span, self.kind, self.severity = QComboBox(self), QComboBox(self), QComboBox(self)
        self.again = QPushButton("⟳ Search", self)
        self.more = QPushButton("Older ▾", self)
        self.save = QPushButton("Save as CSV …", self)
        self.busy = caption("", self)
        self.detail = Line(self, "text")
        self.table = FilteredTable(HEADER, stretch=7, placeholder="filter what is listed", what="entries", parent=self)
        self.table.model.color_of = lambda row: color_of(list(row))
        self._lay_out()

        self._typing = QTimer(self)
        self._typing.setSingleShot(True)
        self._typing.setInterval(600)
        self._typing.timeout.connect(self.search)
        for edit in (self.item, self.person, self.text):
            edit.textEdited.connect(lambda _: self._typing.start())
            edit.returnPressed.connect(self.search)
        for box in (self.span, self.kind, self.severity):
            box.activated.connect(lambda _: self.search())
        self.again.clicked.connect(self.search)
        self.more.clicked.connect(self.read_older)
        self.save.clicked.connect(self.ask_save)
        self.table.chosen.connect(self._choose)
        self.owl.busy.connect(lambda what: self.busy.setText("⏳ reading …" if what else ""))
        self.search()

    def waiting(self) -> str:
        """What must still come before the screen is whole; empty when it is."""
        return "" if self.loaded else self.owl.pending() or "the log"

    def _lay_out(self) -> None:
        self.item.setPlaceholderText("path, PV, or *:L07:*")
        self.person.setPlaceholderText("who")
        self.text.setPlaceholderText("words")
        for edit in (self.item, self.person, self.text):
            edit.setClearButtonEnabled(True)
            edit.setMinimumWidth(70)
        self.span.addItems([label for label, _ in SPANS])
        self.span.setCurrentIndex(DAY)
        self.kind.addItem(ANY_KIND, "")
        for kind, word in KINDS.items():
            self.kind.addItem(word, kind)
        self.severity.addItem(ANY_SEVERITY, "")
        for name in LEVELS:
            self.severity.addItem(name, name)
        for box in (self.span, self.kind, self.severity):
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.setMinimumContentsLength(9)
        for button in (self.again, self.more, self.save):
            button.setProperty("role", "span")
        self.more.setEnabled(False)
        self.detail.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        head = QFrame(self)
        head.setProperty("role", "panel")
        row = QHBoxLayout(head)
        row.setContentsMargins(10, 5, 10, 5)
        row.setSpacing(6)
        row.addWidget(self.item, 3)
        row.addWidget(self.person, 1)
        row.addWidget(self.text, 1)
        for widget in (self.span, self.kind, self.severity, self.again):
            row.addWidget(widget)
        foot = QHBoxLayout()
        foot.addWidget(self.detail, 1)
        for widget in (self.busy, self.more, self.save):
            foot.addWidget(widget)
        self.body.addWidget(head)
        self.body.addWidget(self.table, 1)
        self.body.addLayout(foot)

    def wanted(self) -> LogQuery:
        """What is asked for now."""
        item = self.item.text().strip()
        return LogQuery(
            since=since_text(SPANS[self.span.currentIndex()][1]),
            path=item if item.startswith("/") else "",
            pv="" if item.startswith("/") else item,
            severity=str(self.severity.currentData()),
            person=self.person.text().strip(),
            kind=str(self.kind.currentData()),
            text=self.text.text().strip(),
            limit=PAGE,
        )

    def search(self) -> None:
        """Ask anew."""
        self._typing.stop()
        self.query = self.wanted()
        self._ask(self.query, self._take)

    def read_older(self) -> None:
        """Ask for what is older than what is listed."""
        if self.next:
            self._ask(replace(self.query, after=self.next), self._take_older)

    def _ask(self, query: LogQuery, then) -> None:
        self.owl.ask(["log", "--json", *self.system, *arguments(query)], then, lane="log")

    def _take(self, answer: Answer) -> None:
        self._add(answer, older=False)

    def _take_older(self, answer: Answer) -> None:
        self._add(answer, older=True)

    def _add(self, answer: Answer, older: bool) -> None:
        try:
            if answer.error:
                raise ValueError(answer.error)
            log = read(read_log, answer.document())
        except ValueError as error:
            self.show_error(str(error))
            return
        self.loaded = True
        self.show_error("")
        self.events = [*(self.events if older else ()), *log.events]
        self.next = log.next
        self.more.setEnabled(bool(log.next))
        self.table.fill([row_of(event) for event in self.events])
        self._choose(-1)

    def _choose(self, row: int) -> None:
        if 0 <= row < len(self.events):
            event = self.events[row]
            self.detail.show_text(f"{event.path}  {event.message}  {event.value}  {event.who}  {event.detail}")
        else:
            self.detail.show_text("" if self.events else "Nothing was logged that fits.")

    def ask_save(self) -> None:
        """Save what is listed, where the user says."""
        path, _ = QFileDialog.getSaveFileName(self, "Save the log", str(Path.home() / "alarms.csv"), "CSV (*.csv)")
        if path:
            self.save_csv(Path(path))

    def save_csv(self, file: Path) -> None:
        """Write what is listed as CSV, times in UTC."""
        fields = ("time", "kind", "path", "pv", "severity", "before", "current", "message", "value", "state", "who")
        try:
            with file.open("w", newline="", encoding="utf-8") as stream:
                writer = csv.writer(stream)
                writer.writerow([*fields, "detail"])
                writer.writerows([getattr(event, name) for name in (*fields, "detail")] for event in self.events)
        except OSError as error:
            self.show_error(f"{file} could not be written: {error.strerror}")
