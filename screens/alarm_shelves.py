"""What is put aside: by whom, why, until when; and back from there."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from pydm.data_plugins import is_read_only
from qtpy.QtCore import QTimer
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QAbstractItemView, QHBoxLayout, QLabel, QPushButton

from screens.navigation import go
from screens.parts import screen
from screens.parts.alarm_data import Shelf, parent_of, read_shelves
from screens.parts.alarm_links import links, own_macros
from screens.parts.alarm_puts import Puts
from screens.parts.alarm_time import span_text
from screens.parts.lines import Line
from screens.parts.pv import Pv
from screens.parts.table import FilteredTable
from screens.parts.widgets import restyle
from screens.parts.words import read, when

HEADER = ("Alarm", "Why", "Who", "Since", "Until", "Left")
LONG = 8 * 3600.0
"""Seconds: what is put aside for longer than a shift is told by another colour."""
TICK = 10_000
"""Milliseconds between two looks at what is left."""


class AlarmShelves(screen.SubsystemScreen):
    """Macros: P, the prefix of the alarm server (``DEMO:ALM:``)."""

    def __init__(self, parent=None, args=None, macros: dict[str, str] | None = None) -> None:
        super().__init__("Shelves", links(macros or {}, "alarm_shelves"), "alarm", parent, args, macros)
        self.shelves: list[Shelf] = []
        self._listed: list[Shelf] = []
        """As the rows of the table have them."""
        self.loaded = False
        self.pv = Pv(f"{self.prefix}Shelves", self)
        self.puts = Puts(self)
        self.table = FilteredTable(HEADER, stretch=1, placeholder="filter: alarm, why, who", what="shelved alarms")
        self.table.view.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.table.model.color_of = lambda row: "warning" if row[5].endswith("!") else ""
        self.unshelve = QPushButton("Unshelve", self)
        self.unshelve.setProperty("role", "go")
        self.history = QPushButton("Log", self)
        self.history.setProperty("role", "command")
        self.told = Line(self, "message")
        self.note = QLabel("What is shelved is not announced and does not count. Everything here comes back by itself.")
        self.note.setProperty("role", "caption")
        self.note.setWordWrap(True)
        self._lay_out()
        self._tick = QTimer(self)
        self._tick.setInterval(TICK)
        self._tick.timeout.connect(self._fill)
        self._tick.start()
        self.pv.changed.connect(self._take)
        self.puts.told.connect(self._tell)
        self.unshelve.clicked.connect(self.do_unshelve)
        self.history.clicked.connect(self.open_log)
        self.table.view.selectionModel().selectionChanged.connect(lambda *_: self._chosen())
        self._take()

    def channels(self) -> list:
        """PyDM's tools find the PV by this."""
        return [self.pv.channel]

    def waiting(self) -> str:
        """What must still come before the screen is whole; empty when it is."""
        return "" if self.loaded else "what is shelved"

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: D102  (Qt's hook)
        self.puts.stop()
        super().closeEvent(event)

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.addWidget(self.unshelve)
        row.addWidget(self.history)
        row.addWidget(self.told, 1)
        self.body.addLayout(row)
        self.body.addWidget(self.table, 1)
        self.body.addWidget(self.note)

    def _take(self) -> None:
        if not self.pv.connected:
            self.show_error(f"The alarm server does not answer: {self.pv.name}")
        elif self.pv.value is not None and self.pv.text:
            try:
                self.shelves = read(read_shelves, json.loads(self.pv.text))
            except ValueError as error:
                self.show_error(f"{self.pv.name}: {error}")
                return
            self.loaded = True
            self.show_error("")
            self._fill()
        self._chosen()

    @property
    def selected(self) -> list[Shelf]:
        """What is selected."""
        indexes = self.table.view.selectionModel().selectedRows()
        return [self._listed[row] for row in sorted(self.table.proxy.mapToSource(index).row() for index in indexes)]

    def _fill(self) -> None:
        now = datetime.now(UTC)
        rows = []
        for shelf in self.shelves:
            left = shelf.left(now)
            long = left is not None and left > LONG
            words = ("" if left is None else span_text(max(left, 0))) + (" !" if long else "")
            rows.append((_name(shelf.path), shelf.why, shelf.by, when(shelf.since)[5:16], shelf.ends, words))
        if rows == self.table.model.rows:
            return
        paths = {shelf.path for shelf in self.selected}
        self._listed = list(self.shelves)
        self.table.fill(rows)
        for number, shelf in enumerate(self._listed):
            if shelf.path in paths:
                index = self.table.proxy.mapFromSource(self.table.model.index(number, 0))
                flags = self.table.view.selectionModel().SelectionFlag
                self.table.view.selectionModel().select(index, flags.Select | flags.Rows)

    def _chosen(self) -> None:
        count = len(self.selected)
        self.unshelve.setEnabled(count > 0 and self.pv.connected and not is_read_only())
        self.history.setEnabled(count == 1)

    def do_unshelve(self) -> None:
        """Bring back what is selected."""
        self.puts.put([f"{shelf.name}:Shelve" for shelf in self.selected], "", "Unshelved")

    def _tell(self, text: str, failed: bool) -> None:
        self.told.show_text(text)
        restyle(self.told, severity=2 if failed else 0)

    def open_log(self) -> None:
        """The log of the alarm that is selected."""
        if self.selected:
            go(self, "alarm_log", own_macros(self.given) | {"PATH": self.selected[0].path})


def _name(path: str) -> str:
    """The alarm's own name, which is its PV."""
    return path.removeprefix(parent_of(path)).lstrip("/").replace("\\/", "/")
