"""All that is in alarm: what is new, what somebody looks after, what to do; and doing it."""

from __future__ import annotations

import json

from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QCloseEvent, QKeySequence, QShortcut  # pyright: ignore[reportPrivateImportUsage]
from qtpy.QtWidgets import QComboBox, QFrame, QHBoxLayout, QLabel, QLineEdit, QPushButton, QSplitter

from screens.navigation import go
from screens.parts import screen
from screens.parts.alarm_acts import ActionBar, Target
from screens.parts.alarm_data import Active, Alarm, read_active, short_path
from screens.parts.alarm_details import NOTHING_CHOSEN, DetailsView
from screens.parts.alarm_links import links, own_macros
from screens.parts.alarm_look import LEVELS, LOOKS
from screens.parts.alarm_model import AlarmsModel, AlarmsView
from screens.parts.alarm_puts import Puts
from screens.parts.alarm_spoken import SpokenPanel
from screens.parts.alarm_status import ServerStatus
from screens.parts.pv import Pv
from screens.parts.widgets import Toggle, caption
from screens.parts.words import read

ALL_AREAS, ALL_SEVERITIES = "all areas", "all severities"
SHOW_EVERY = 300
"""Milliseconds between two updates of the table: in a burst the alarm server may send more of them."""


class AlarmTable(screen.SubsystemScreen):
    """Macros: P, the prefix of the alarm server (``DEMO:ALM:``).

    AREA (a path) and FILTER (words) are what is shown at first; PATH is the alarm that is selected.
    """

    def __init__(self, parent=None, args=None, macros: dict[str, str] | None = None) -> None:
        super().__init__("Alarms", links(macros or {}, "alarm_table"), "alarm", parent, args, macros)
        self.active = Active()
        self._select_first = self.given.get("PATH", "")
        self.pv = Pv(f"{self.prefix}Active", self)
        self.rate = Pv(f"{self.prefix}Rate", self)
        self.status = ServerStatus(self.prefix, self)
        self.model = AlarmsModel(self)
        self.model.accepts = self._accepts
        self.view = AlarmsView(self.model, self)
        self.puts = Puts(self)
        self.acts = ActionBar(self.puts, self.view, self)
        self.details = DetailsView(self.packed, self)
        self.spoken = SpokenPanel(self)
        self.note = QLabel(self.view)
        self.filter = QLineEdit(self.given.get("FILTER", ""), self)
        self.severity, self.area = QComboBox(self), QComboBox(self)
        self.new, self.known, self.aside = (Toggle(text, self, on=True) for text in ("New", "Acked", "Aside"))
        self.worst = QPushButton("Worst first", self)
        self.count = caption("", self)
        self._lay_out()
        self._fill_areas([])

        self._late = QTimer(self)
        self._late.setSingleShot(True)
        self._late.setInterval(SHOW_EVERY)
        self._late.timeout.connect(self._take)
        self.pv.changed.connect(self._changed)
        self.rate.changed.connect(self._tell)
        self.filter.textChanged.connect(lambda _: self.model.refresh() or self._tell())
        self.severity.currentIndexChanged.connect(lambda _: self.model.refresh() or self._tell())
        self.area.currentIndexChanged.connect(lambda _: self.model.refresh() or self._tell())
        for box in (self.new, self.known, self.aside):
            box.toggled.connect(lambda _: self.model.refresh() or self._tell())
        self.worst.clicked.connect(lambda: self.view.sortByColumn(-1, Qt.SortOrder.AscendingOrder))
        self.view.selectionModel().selectionChanged.connect(lambda *_: self._chosen())
        self.view.doubleClicked.connect(lambda _: self.open_help())
        self.model.dataChanged.connect(lambda *_: self._chosen())
        self.model.rowsRemoved.connect(lambda *_: self._chosen())
        self.acts.log.connect(self.open_log)
        self.details.wanted.connect(lambda name, more: go(self, name, more))
        for key, do in (("Ctrl+F", self.filter.setFocus), ("/", self.filter.setFocus)):
            QShortcut(QKeySequence(key), self.view if key == "/" else self, do)
        self._changed()
        self.view.setFocus()

    def channels(self) -> list:
        """PyDM's tools find the PVs by this."""
        return [pv.channel for pv in (self.pv, self.rate)]

    def waiting(self) -> str:
        """What must still come before the screen is whole; empty when it is."""
        return "" if self.active.time else "the table of alarms"

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: D102  (Qt's hook)
        self.puts.stop()
        super().closeEvent(event)

    def _lay_out(self) -> None:
        self.filter.setPlaceholderText("filter: PV, description, message, who …   (Ctrl+F)")
        self.filter.setClearButtonEnabled(True)
        self.filter.setMinimumWidth(120)
        self.severity.addItems([ALL_SEVERITIES, *(f"{LOOKS[name].symbol} {name} and worse" for name in LEVELS[1:])])
        for box in (self.severity, self.area):
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.setMinimumContentsLength(8)
        self.new.setToolTip("Nobody has acknowledged these")
        self.known.setToolTip("Acknowledged: somebody looks after these")
        self.aside.setToolTip("Shelved, disabled, filtered or masked: these do not count")
        self.worst.setProperty("role", "span")
        self.note.setProperty("role", "waiting")
        self.note.setAlignment(Qt.AlignmentFlag.AlignCenter)
        head = QFrame(self)
        head.setProperty("role", "panel")
        row = QHBoxLayout(head)
        row.setContentsMargins(10, 5, 10, 5)
        row.setSpacing(10)
        row.addWidget(self.filter, 1)
        for widget in (self.severity, self.area, self.new, self.known, self.aside, self.worst):
            row.addWidget(widget)
        below = QSplitter(Qt.Orientation.Horizontal, self)
        below.setChildrenCollapsible(False)
        below.addWidget(self.details)
        below.addWidget(self.spoken)
        below.setSizes([820, 420])
        halves = QSplitter(Qt.Orientation.Vertical, self)
        halves.setChildrenCollapsible(False)
        halves.addWidget(self.view)
        halves.addWidget(below)
        halves.setSizes([420, 190])
        halves.setStretchFactor(0, 1)
        self.view.setMinimumHeight(120)
        self.details.setMinimumHeight(90)
        self.details.setMinimumWidth(300)
        self.spoken.setMinimumWidth(300)
        doing = QHBoxLayout()
        doing.addWidget(self.acts, 1)
        doing.addWidget(self.count)
        for widget in (self.status, head):
            self.body.addWidget(widget)
        self.body.addLayout(doing)
        self.body.addWidget(halves, 1)

    def resizeEvent(self, event) -> None:  # noqa: D102  (Qt's hook)
        super().resizeEvent(event)
        self._place_note()

    def _place_note(self) -> None:
        size = self.view.viewport().size()
        self.note.resize(min(size.width() - 20, 720), min(max(size.height() - 20, 60), 140))
        self.note.move((self.view.width() - self.note.width()) // 2, (self.view.height() - self.note.height()) // 2)

    def _changed(self) -> None:
        if not self.pv.connected:
            self._tell()
        elif self.pv.value is not None and not self._late.isActive():
            self._late.start()
            if not self.active.time:
                self._take()

    def _take(self) -> None:
        """Show what has come."""
        if not self.pv.connected or self.pv.value is None:
            self._tell()
            return
        try:
            self.active = read(read_active, json.loads(self.pv.text))
        except ValueError as error:
            self.show_error(f"{self.pv.name}: {error}")
            return
        self.show_error("")
        self._fill_areas(sorted({alarm.area for alarm in self.active.alarms}))
        self.model.fill(self.active.alarms)
        if self._select_first and self.model.row_of(self._select_first) >= 0:
            self.view.select([self._select_first])
            self._select_first = ""
        self._tell()
        self._chosen()

    def _accepts(self, alarm: Alarm) -> bool:
        if alarm.suppressed:
            if not self.aside.isChecked():
                return False
        elif not (self.new if alarm.look.waits else self.known).isChecked():
            return False
        area = self.area.currentData()
        if area and alarm.area != area and not alarm.area.startswith(f"{area}/"):
            return False
        least = self.severity.currentIndex()
        if least and alarm.look.rank < 2 * (least + 1) - 1:
            return False
        words = self.filter.text().lower().split()
        return not words or all(word in alarm.words for word in words)

    def _fill_areas(self, areas: list[str]) -> None:
        """The areas that have alarms now, and those above them."""
        wanted = self.area.currentData() if self.area.count() else self.given.get("AREA", "")
        found = set(areas) | ({wanted} if wanted else set())
        for area in areas:
            parts = area.split("/")
            found |= {"/".join(parts[:n]) for n in range(3, len(parts))}
        if self.area.count() and found == {self.area.itemData(row) for row in range(1, self.area.count())}:
            return
        self.area.blockSignals(True)
        self.area.clear()
        self.area.addItem(ALL_AREAS, "")
        for area in sorted(found):
            self.area.addItem(short_path(area), area)
        self.area.setCurrentIndex(max(self.area.findData(wanted), 0))
        self.area.blockSignals(False)

    def _tell(self) -> None:
        """The numbers, and what stands in the place of rows when there are none."""
        shown, total = len(self.model.rows), len(self.active.alarms)
        known = self.pv.connected and self.active.time
        text = f"{total:,} alarm{'' if total == 1 else 's'}" if shown == total else f"{shown:,} of {total:,}"
        if self.active.truncated:
            text += ", the worst of more"
        rate = self.rate.value
        if self.rate.connected and isinstance(rate, (int, float)):
            text += f" · {rate:.0f} in 10 min"
        self.count.setText(text if known else "")
        words = ""
        if not self.pv.connected:
            more = "What is listed was true when it was last heard." if self.model.rows else self.pv.name
            words = f"┅  The alarm server does not answer  ┅\n{more}"
        elif not self.active.time:
            words = f"reading {self.pv.name} …"
        elif not total:
            words = "✓  No alarm"
        elif not shown:
            words = f"None of {total:,} alarms fits the filter"
        self.note.setText(words)
        self.note.setVisible(bool(words))
        self.view.setEnabled(self.pv.connected)
        self._place_note()

    def _chosen(self) -> None:
        alarms = self.view.selected
        self.acts.set_targets([Target.of(alarm) for alarm in alarms])
        current = self.view.current
        shown = current if current in alarms else alarms[0] if alarms else None
        if shown is None:
            self.details.say(NOTHING_CHOSEN)
        else:
            self.details.show_alarm(shown)

    def open_log(self, target: Target) -> None:
        """The log of an alarm."""
        go(self, "alarm_log", own_macros(self.given) | {"PATH": target.path})

    def open_help(self) -> None:
        """The screen that helps with the alarm that is selected, if there is one."""
        self.details.open_screen()
