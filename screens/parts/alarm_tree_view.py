"""The tree of areas and alarms. What is seen is live; the rest is as it was when the tree was read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QModelIndex, QObject, Qt, QTimer, Signal  # pyright: ignore[reportPrivateImportUsage]
from qtpy.QtGui import QBrush, QColor, QResizeEvent
from qtpy.QtWidgets import QAbstractItemView, QTreeView, QWidget

from screens.parts.alarm_data import Node
from screens.parts.alarm_look import OK, state_word
from screens.parts.alarm_model import LOOK, LookDelegate
from screens.parts.alarm_rows import Live
from screens.parts.trees import Index, TreeModel

COLUMNS = ("Area / alarm", "Severity", "New", "Ack", "Aside", "All", "State", "Message", "Value", "By")
WIDTHS = (300, 108, 50, 50, 50, 58, 110, 130, 110, 100)
TIPS = (
    "",
    "Of an area: the worst of what is below it",
    "Waiting to be acknowledged",
    "Acknowledged",
    "Put aside: shelved, disabled, filtered or masked",
    "Alarms in the area",
    "",
    "Of an area: what came first of a burst",
    "",
    "Who acknowledged it",
)
NAME, SEVERITY, NEW, KNOWN, ASIDE, TOTAL, STATE, MESSAGE, VALUE, BY = range(len(COLUMNS))
COUNTS = {NEW: ("NUnack", "unacknowledged"), KNOWN: ("NAck", "acknowledged"), ASIDE: ("NSupp", "suppressed")}
TEXTS = {MESSAGE: ("Msg", "message"), VALUE: ("Val", "value"), BY: ("AckBy", "acknowledged_by")}
WATCH_AFTER = 200
"""Milliseconds that the rows must rest before their PVs are connected."""
OPEN_AT_FIRST = 60


class TreeRows(TreeModel[Node]):
    """Areas and alarms, with what is known of them."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(Node({}), COLUMNS, parent)
        self.live = Live(self)
        self.live.changed.connect(self._changed)

    def show(self, top: Node) -> None:
        """Show another tree; `top` holds its root."""
        self.set_root(top)

    def hasChildren(self, parent: Index = QModelIndex()) -> bool:  # noqa: D102, B008  (Qt's hook)
        return parent.column() <= 0 and bool(self.item(parent).below)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> Any:  # noqa: D102  (Qt's hook)
        if role == Qt.ItemDataRole.ToolTipRole:
            return TIPS[section] or None
        return super().headerData(section, orientation, role)

    def data(self, index: Index, role: int = 0) -> Any:  # noqa: D102  (Qt's hook)
        node, column = self.item(index), index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return self.cell(node, column)
        if role == LOOK and column == SEVERITY:
            return self.live.look(node)
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{node.path}\n{node.entry.get('description') or ''}".strip()[:600]
        if role == Qt.ItemDataRole.TextAlignmentRole and NEW <= column <= TOTAL:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.ForegroundRole:
            if column in (NAME, NEW):
                look = self.live.look(node)
                return QBrush(QColor("#ffffff" if look.waits else "#e8edf2"))
            return QBrush(QColor("#c9d3dc"))
        return None

    def cell(self, node: Node, column: int) -> str:
        """What a column says of an item."""
        item, entry = self.live.item(node.path), node.entry
        if column == NAME:
            return node.name
        if column == SEVERITY:
            return self.live.look(node).text
        if column == TOTAL:
            return f"{node.total:,}" if node.is_area else ""
        if column in COUNTS:
            pv, key = COUNTS[column]
            count = item.count(pv) if item is not None else entry.get(key)
            return f"{count:,}" if node.is_area and count else ""
        if column == MESSAGE and node.is_area:
            return _first(item.text("First") if item is not None else str(entry.get("first_out") or ""))
        if node.is_area:
            return ""
        if column == STATE:
            return state_word(item.text("State") if item is not None else str(entry.get("state") or ""))
        pv, key = TEXTS[column]
        if column == MESSAGE and self.live.look(node) is OK:
            return ""
        return " ".join((item.text(pv) if item is not None else str(entry.get(key) or "")).split())[:200]

    def _changed(self, paths: Sequence[str]) -> None:
        for path in paths:
            node = self.root.find(path)
            if node is not None and node.parent is not None:
                self.dataChanged.emit(self.index_of(node), self.index_of(node, len(COLUMNS) - 1))


def _first(path: str) -> str:
    return f"① {path.rpartition('/')[2]}" if path else ""


class AlarmTreeView(QTreeView):
    """The tree. `chosen` is emitted when other rows are selected."""

    chosen = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows = TreeRows(self)
        self.setModel(self.rows)
        self.setItemDelegateForColumn(SEVERITY, LookDelegate(self))
        self.setUniformRowHeights(True)
        self.setAlternatingRowColors(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setIndentation(18)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.header().setMinimumSectionSize(30)
        for column, width in enumerate(WIDTHS):
            self.header().resizeSection(column, width)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(WATCH_AFTER)
        self._rest.timeout.connect(self.watch)
        self.verticalScrollBar().valueChanged.connect(lambda _: self._rest.start())
        self.expanded.connect(lambda _: self._rest.start())
        self.collapsed.connect(lambda _: self._rest.start())
        self.selectionModel().selectionChanged.connect(lambda *_: self.chosen.emit())

    def show_tree(self, top: Node) -> None:
        """Show a tree. What was open and selected stays so; at first, as much is open as fits."""
        opened = self.opened()
        paths = [node.path for node in self.selected]
        self.rows.show(top)
        if opened:
            for path in opened:
                node = top.find(path)
                if node is not None and node.path == path:
                    self.expand(self.rows.index_of(node))
        else:
            self.open_some()
        self.select(paths)
        self._rest.start()

    def open_some(self, most: int = OPEN_AT_FIRST) -> None:
        """Open the first levels as far as they fit."""
        level, shown = list(self.rows.root.children), 1
        while level:
            below = [node for node in level if node.below]
            for node in below:
                if shown + len(node.below) <= most or node.parent is self.rows.root:
                    shown += len(node.below)
                    self.expand(self.rows.index_of(node))
            level = [
                child for node in below if self.isExpanded(self.rows.index_of(node)) for child in node.children
            ]  # what is closed is not made

    def opened(self) -> list[str]:
        """Paths of what is open, from above to below."""
        found: list[str] = []
        level = list(self.rows.root.children)
        while level:
            level = [node for node in level if self.isExpanded(self.rows.index_of(node))]
            found += [node.path for node in level]
            level = [child for node in level for child in node.children if child.is_area]
        return found

    @property
    def selected(self) -> list[Node]:
        """The items that are selected."""
        return [self.rows.item(index) for index in self.selectionModel().selectedRows()]

    def select(self, paths: Sequence[str]) -> None:
        """Select these items, as far as they are there."""
        flags = self.selectionModel().SelectionFlag
        for path in paths:
            node = self.rows.root.find(path)
            if node is not None and node.path == path:
                index = self.rows.index_of(node)
                self.selectionModel().setCurrentIndex(index, flags.Select | flags.Rows)
                self.scrollTo(index)

    def seen(self) -> list[Node]:
        """The items whose rows are in sight."""
        found: list[Node] = []
        index = self.indexAt(self.viewport().rect().topLeft())
        bottom = self.viewport().height()
        while index.isValid() and self.visualRect(index).top() <= bottom and len(found) < 200:
            found.append(self.rows.item(index))
            index = self.indexBelow(index)
        return found

    def watch(self) -> None:
        """Connect the PVs of what is in sight and of what is selected."""
        self.rows.live.watch([*self.selected[:50], *self.seen()])

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: D102  (Qt's hook)
        super().resizeEvent(event)
        room = self.viewport().width() - sum(WIDTHS[1:]) - 4
        self.header().resizeSection(NAME, max(room, 260))
        self._rest.start()
