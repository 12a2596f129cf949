"""The tree of areas and alarms: where something is wrong, and everything that is watched."""

from __future__ import annotations

import json

from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QCloseEvent, QKeySequence, QShortcut  # pyright: ignore[reportPrivateImportUsage]
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QLineEdit, QPushButton, QSplitter

from screens.navigation import go
from screens.parts import screen
from screens.parts.alarm_acts import ActionBar, Target
from screens.parts.alarm_data import Node, read_active, read_tree, thin_out
from screens.parts.alarm_details import NOTHING_CHOSEN, DetailsView
from screens.parts.alarm_links import links, own_macros
from screens.parts.alarm_now import Guide, alarm_now
from screens.parts.alarm_puts import Puts
from screens.parts.alarm_tree_view import AlarmTreeView
from screens.parts.owl import Answer
from screens.parts.pv import Pv
from screens.parts.widgets import Toggle, caption
from screens.parts.words import read

TYPING = 250
"""Milliseconds after the last letter of a filter."""
AREA_WORDS = "{path}\n\n{total:,} alarms, {new:,} new, {known:,} acknowledged, {aside:,} put aside.\n\n{first}"


class AlarmTree(screen.SubsystemScreen):
    """Macros: P, the prefix of the alarm server (``DEMO:ALM:``).

    PATH is the item that is selected at first.
    """

    def __init__(self, parent=None, args=None, macros: dict[str, str] | None = None) -> None:
        super().__init__("Alarm tree", links(macros or {}, "alarm_tree"), "alarm", parent, args, macros)
        self.top = Node({})
        self.loaded = False
        self._select_first = self.given.get("PATH", "")
        self._asked_total: int | None = None
        self.active = Pv(f"{self.prefix}Active", self)
        self.total = Pv(f"{self.prefix}NTotal", self)
        self.view = AlarmTreeView(self)
        self.puts = Puts(self)
        self.acts = ActionBar(self.puts, self.view, self)
        self.details = DetailsView(self.packed, self)
        self.guide = Guide(self)
        self.filter = QLineEdit(self)
        self.only = Toggle("Only what is in alarm", self)
        self.again = QPushButton("⟳ Refresh", self)
        self.count = caption("", self)
        self.note = QLabel(self)
        self._lay_out()

        self._typing = QTimer(self)
        self._typing.setSingleShot(True)
        self._typing.setInterval(TYPING)
        self._typing.timeout.connect(self._filter)
        self.filter.textChanged.connect(lambda _: self._typing.start())
        self.only.toggled.connect(lambda _: self._filter())
        self.active.changed.connect(lambda: self._typing.start() if self.only.isChecked() else None)
        self.total.changed.connect(self._total_changed)
        self.again.clicked.connect(self.read_tree)
        self.view.chosen.connect(self._chosen)
        self.view.rows.live.changed.connect(lambda _: self._chosen())
        self.view.doubleClicked.connect(lambda _: self.details.open_screen())
        self.acts.log.connect(self.open_log)
        self.guide.changed.connect(self._chosen)
        self.details.wanted.connect(lambda name, more: go(self, name, more))
        QShortcut(QKeySequence("Ctrl+F"), self, self.filter.setFocus)
        self.read_tree()

    def channels(self) -> list:
        """PyDM's tools find the PVs by this."""
        return [self.active.channel, self.total.channel]

    def waiting(self) -> str:
        """What must still come before the screen is whole; empty when it is."""
        return "" if self.loaded else self.owl.pending() or "the tree"

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: D102  (Qt's hook)
        self.puts.stop()
        self.view.rows.live.clear()
        self.guide.stop()
        super().closeEvent(event)

    def _lay_out(self) -> None:
        self.filter.setPlaceholderText("filter: part of a path or a description   (Ctrl+F)")
        self.filter.setClearButtonEnabled(True)
        self.again.setProperty("role", "span")
        self.note.setProperty("role", "message")
        self.note.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.note.setWordWrap(True)
        self.note.hide()
        head = QFrame(self)
        head.setProperty("role", "panel")
        row = QHBoxLayout(head)
        row.setContentsMargins(10, 5, 10, 5)
        row.setSpacing(10)
        row.addWidget(self.filter, 1)
        for widget in (self.only, self.again, self.count):
            row.addWidget(widget)
        halves = QSplitter(Qt.Orientation.Vertical, self)
        halves.setChildrenCollapsible(False)
        halves.addWidget(self.view)
        halves.addWidget(self.details)
        halves.setSizes([440, 170])
        halves.setStretchFactor(0, 1)
        self.view.setMinimumHeight(120)
        self.details.setMinimumHeight(80)
        for widget in (head, self.acts, self.note):
            self.body.addWidget(widget)
        self.body.addWidget(halves, 1)

    def read_tree(self) -> None:
        """Ask for the tree anew."""
        if not self.loaded:
            self._say("reading the tree …")
        self.owl.ask(["tree", "--json", *self.system], self._take, lane="tree")

    def _total_changed(self) -> None:
        """Read the tree again when it has another number of alarms than the one that is shown."""
        total = self.total.value if self.total.connected else None
        if not self.loaded or not isinstance(total, int) or total == self._asked_total:
            return
        self._asked_total = total
        if total != sum(node.total for node in self.top.children):
            self.read_tree()

    def _take(self, answer: Answer) -> None:
        try:
            if answer.error:
                raise ValueError(answer.error)
            self.top = read(read_tree, answer.document())
        except ValueError as error:
            self.show_error(str(error))
            if not self.loaded:
                self._say("The tree could not be read. ⟳ Refresh tries again.")
            return
        self.loaded = True
        self.show_error("")
        self._filter()
        if self._select_first:
            self.view.select([self._select_first])
            self._select_first = ""

    def _filter(self) -> None:
        """Show what the filter lets through."""
        if not self.loaded:
            return
        words = self.filter.text().lower().split()
        wanted: set[str] | None = None
        if self.only.isChecked():
            wanted = self._in_alarm()
        total = sum(node.total for node in self.top.children)
        if not words and wanted is None:
            self.view.show_tree(self.top)
            self.count.setText(f"{total:,} alarms")
        else:
            top, count = thin_out(self.top, words, wanted)
            self.view.show_tree(top)
            self.view.open_some(400)
            self.count.setText(f"{count:,} of {total:,}")
        empty = not self.view.rows.root.below
        self._say("No alarm fits the filter" if empty and (words or wanted is not None) else "No alarm" * empty)
        self._chosen()

    def _in_alarm(self) -> set[str]:
        """The paths of the table of alarms."""
        try:
            return {alarm.path for alarm in read(read_active, json.loads(self.active.text)).alarms}
        except ValueError:
            return set()

    def _say(self, text: str) -> None:
        self.note.setText(text)
        self.note.setVisible(bool(text))

    def _chosen(self) -> None:
        nodes = self.view.selected
        rows = self.view.rows
        targets = []
        for node in nodes:
            alarm = None if node.is_area else alarm_now(node, rows.live.item(node.path))
            targets.append(Target(node.path, node.prefix, node.total if node.is_area else 1, alarm))
        self.acts.set_targets(targets)
        self.guide.watch(targets[0].alarm if targets else None)
        if not nodes:
            self.details.say(NOTHING_CHOSEN)
        elif targets[0].alarm is not None:
            self.details.show_alarm(self.guide.complete(targets[0].alarm))
        else:
            self.details.say(self._area_words(nodes[0]))

    def _area_words(self, node: Node) -> str:
        item = self.view.rows.live.item(node.path)
        keys = (("NUnack", "unacknowledged"), ("NAck", "acknowledged"), ("NSupp", "suppressed"))
        counts = [(item.count(pv) if item is not None else None) or int(node.entry.get(key) or 0) for pv, key in keys]
        first = item.text("First") if item is not None else ""
        words = AREA_WORDS.format(
            path=node.path, total=node.total, new=counts[0], known=counts[1], aside=counts[2],
            first=f"First of its burst: {first}" if first else "",
        )  # fmt: skip
        return words.strip()

    def open_log(self, target: Target) -> None:
        """The log of an alarm or of an area."""
        go(self, "alarm_log", own_macros(self.given) | {"PATH": target.path})
