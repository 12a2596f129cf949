"""The areas of an alarm tree as tiles, from the whole site down to the alarms of one object."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QTimer
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QScrollArea, QVBoxLayout, QWidget

from screens.navigation import go
from screens.parts import screen
from screens.parts.alarm_acts import ActionBar, Target
from screens.parts.alarm_data import Node, read_tree
from screens.parts.alarm_links import links, own_macros
from screens.parts.alarm_now import alarm_now
from screens.parts.alarm_puts import Puts
from screens.parts.alarm_rows import Live
from screens.parts.alarm_tile import AreaTile
from screens.parts.lines import FlowLayout
from screens.parts.owl import Answer
from screens.parts.widgets import caption
from screens.parts.words import read

MOST = 400
"""Tiles that are shown at once; a longer list is for the tree."""
WATCH_AFTER = 200
"""Milliseconds that the tiles must rest before their PVs are connected."""


class AlarmArea(screen.SubsystemScreen):
    """Macros: P, the prefix of the alarm server (``DEMO:ALM:``).

    PATH is the area that is shown at first; without it the whole tree.
    """

    def __init__(self, parent=None, args=None, macros: dict[str, str] | None = None) -> None:
        super().__init__("Alarm areas", links(macros or {}, "alarm_area"), "alarm", parent, args, macros)
        self.path = self.given.get("PATH", "")
        self.top = Node({})
        self.area: Node | None = None
        self.tiles: dict[str, AreaTile] = {}
        self.loaded = False
        self.live = Live(self)
        self.puts = Puts(self)
        self.crumbs = QHBoxLayout()
        self.inside = QWidget(self)
        self.flow = FlowLayout(8)
        self.inside.setLayout(self.flow)
        self.tiles_view = QScrollArea(self)
        self.acts = ActionBar(self.puts, self.inside, self)
        self.again = QPushButton("⟳ Refresh", self)
        self.table = QPushButton("Table of these ▶", self)
        self.note = QLabel(self)
        self._lay_out()

        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(WATCH_AFTER)
        self._rest.timeout.connect(self._watch)
        self.tiles_view.verticalScrollBar().valueChanged.connect(lambda _: self._rest.start())
        self.live.changed.connect(self._changed)
        self.again.clicked.connect(self.read_tree)
        self.table.clicked.connect(self.open_table)
        self.acts.log.connect(self.open_log)
        self.read_tree()

    def waiting(self) -> str:
        """What must still come before the screen is whole; empty when it is."""
        return "" if self.loaded else self.owl.pending() or "the tree"

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: D102  (Qt's hook)
        self.puts.stop()
        self.live.clear()
        super().closeEvent(event)

    def resizeEvent(self, event) -> None:  # noqa: D102  (Qt's hook)
        super().resizeEvent(event)
        self._rest.start()

    def _lay_out(self) -> None:
        self.tiles_view.setWidget(self.inside)
        self.tiles_view.setWidgetResizable(True)
        self.tiles_view.setFrameShape(QFrame.Shape.NoFrame)
        self.again.setProperty("role", "span")
        self.table.setProperty("role", "span")
        self.note.setProperty("role", "message")
        self.note.setWordWrap(True)
        self.crumbs.setSpacing(4)
        head = QFrame(self)
        head.setProperty("role", "panel")
        row = QHBoxLayout(head)
        row.setContentsMargins(10, 5, 10, 5)
        row.addLayout(self.crumbs)
        row.addStretch(1)
        row.addWidget(self.table)
        row.addWidget(self.again)
        column = QVBoxLayout()
        column.setSpacing(6)
        for widget in (head, self.acts, self.note):
            column.addWidget(widget)
        column.addWidget(self.tiles_view, 1)
        self.body.addLayout(column, 1)

    def read_tree(self) -> None:
        """Ask for the tree anew."""
        if not self.loaded:
            self.note.setText("reading the tree …")
        self.owl.ask(["tree", "--json", *self.system], self._take, lane="tree")

    def _take(self, answer: Answer) -> None:
        try:
            if answer.error:
                raise ValueError(answer.error)
            self.top = read(read_tree, answer.document())
        except ValueError as error:
            self.show_error(str(error))
            self.note.setText("" if self.loaded else "The tree could not be read. ⟳ Refresh tries again.")
            return
        self.loaded = True
        self.show_error("")
        self.show_area(self.path)

    def show_area(self, path: str) -> None:
        """Show what is directly in an area; the whole tree for an empty path, or one that is not there."""
        root = self.top.children[0]
        found = root.find(path) if path else root
        self.area = found if found is not None and found.is_area else root
        self.path = self.area.path
        self._fill_crumbs(self.area)
        for tile in self.tiles.values():
            self.flow.removeWidget(tile)
            tile.setParent(None)
            tile.deleteLater()
        shown = self.area.children[:MOST]
        self.tiles = {node.path: AreaTile(node, self.inside) for node in shown}
        for tile in self.tiles.values():
            self.flow.addWidget(tile)
            tile.show()
            tile.clicked.connect(lambda node=tile.node: self.open_node(node))
        hidden = len(self.area.below) - len(shown)
        words = f"The first {MOST:,} of {len(self.area.below):,} are shown; the tree has all." if hidden else ""
        self.note.setText(words or ("" if shown else "There is no alarm in this area."))
        self.note.setVisible(bool(self.note.text()))
        self._rest.start()
        self._set_target()

    def open_node(self, node: Node) -> None:
        """Go into an area; of an alarm show all that is known of it, in the tree."""
        if node.is_area:
            self.show_area(node.path)
        else:
            go(self, "alarm_tree", own_macros(self.given) | {"PATH": node.path})

    def _fill_crumbs(self, area: Node) -> None:
        while self.crumbs.count():
            item = self.crumbs.takeAt(0)
            widget = item.widget() if item is not None else None
            if widget is not None:
                widget.setParent(None)
                widget.deleteLater()
        way = [*area.up()][::-1]
        for number, node in enumerate(way):
            if number:
                self.crumbs.addWidget(caption("▸", self))
            button = QPushButton(node.name if len(node.name) <= 24 else f"{node.name[:23]}…", self)
            button.setProperty("role", "link")
            button.setToolTip(node.path)
            button.setEnabled(node is not area)
            button.clicked.connect(lambda _=False, path=node.path: self.show_area(path))
            self.crumbs.addWidget(button)

    def _watch(self) -> None:
        """Connect the PVs of the tiles in sight."""
        if self.area is None:
            return
        seen = [tile.node for tile in self.tiles.values() if not tile.visibleRegion().isEmpty()]
        self.live.watch([self.area, *seen])

    def _changed(self, paths: Sequence[str]) -> None:
        for path in paths:
            tile = self.tiles.get(path)
            if tile is not None:
                tile.item = self.live.item(path)
                tile.refresh()
        if self.area is not None and self.area.path in paths:
            self._set_target()

    def _set_target(self) -> None:
        """What is done, is done to the area whose tiles are shown."""
        area = self.area
        if area is not None:
            alarm = None if area.is_area else alarm_now(area, self.live.item(area.path))
            self.acts.set_targets([Target(area.path, area.prefix, area.total, alarm)])

    def open_table(self) -> None:
        """The table with what is in alarm in this area."""
        go(self, "alarm_table", own_macros(self.given) | {"AREA": self.path})

    def open_log(self, target: Target) -> None:
        """The log of this area."""
        go(self, "alarm_log", own_macros(self.given) | {"PATH": target.path})
