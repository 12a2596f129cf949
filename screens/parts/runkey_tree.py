"""The tree of a runkey's objects; children that are not here yet are asked for when somebody opens their parent."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import (
    QAbstractItemModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    Qt,
    Signal,  # pyright: ignore[reportPrivateImportUsage]
)
from qtpy.QtGui import QBrush, QColor, QResizeEvent
from qtpy.QtWidgets import QAbstractItemView, QTreeView, QWidget

from screens.parts.runkey_data import Node, flag, scalar_text

Index = QModelIndex | QPersistentModelIndex
COLUMNS = ("Object", "Rx", "Tx", "En", "Lk", "Inside", "Type")
WIDTHS = (130, 34, 34, 28, 28, 46, 84)
TYPE = 6
TIPS = (
    "Name",
    "Receiving e-link",
    "Transmitting e-link",
    "Enabled",
    "Locked: its configuration is not written back after a scan",
    "Objects directly inside",
    "Type",
)


class ObjectsModel(QAbstractItemModel):
    """Objects by name, with what their edges say. `wanted` asks for the children of an object."""

    wanted = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.root = Node("", "")
        self._asked: set[str] = set()

    def show(self, root: Node) -> None:
        """Show another tree. Its root is the first line."""
        old = self.root  # indexes point into it until the reset is done
        top = Node("", "")
        top.children = [root]
        root.parent, root.row = top, 0
        self.beginResetModel()
        self.root = top
        self._asked.clear()
        self.endResetModel()
        del old

    def graft(self, path: str, found: Node) -> None:
        """Put the children of `found` under the object at `path`, where they were missing."""
        node = self.root.children[0].find(path) if self.root.children else None
        if node is None or node.children or not found.children:
            return
        self.beginInsertRows(self.index_of(node), 0, len(found.children) - 1)
        for child in found.children:
            child.parent = node
        node.children, node.more = found.children, found.more
        self.endInsertRows()

    def refused(self, path: str) -> None:
        """The children of `path` did not come; they may be asked for again."""
        self._asked.discard(path)

    def node(self, index: Index) -> Node:
        """The object of an index; for an invalid one what holds the root."""
        return index.internalPointer() if index.isValid() else self.root

    def index_of(self, node: Node) -> QModelIndex:
        """The index of an object's first column."""
        return QModelIndex() if node.parent is None else self.createIndex(node.row, 0, node)

    def index(self, row: int, column: int, parent: Index = QModelIndex()) -> QModelIndex:  # noqa: D102, B008
        children = self.node(parent).children
        if 0 <= row < len(children) and 0 <= column < len(COLUMNS):
            return self.createIndex(row, column, children[row])
        return QModelIndex()

    def parent(self, index: Index = QModelIndex()) -> QModelIndex:  # type: ignore[override]  # noqa: D102, B008
        owner = self.node(index).parent if index.isValid() else None
        return QModelIndex() if owner is None else self.index_of(owner)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: D102, B008  (Qt's hook)
        return len(self.node(parent).children) if parent.column() <= 0 else 0

    def hasChildren(self, parent: Index = QModelIndex()) -> bool:  # noqa: D102, B008  (Qt's hook)
        return parent.column() <= 0 and self.node(parent).below() > 0

    def canFetchMore(self, parent: Index) -> bool:  # noqa: D102  (Qt's hook)
        node = self.node(parent)
        return node.more > 0 and not node.children and node.path not in self._asked

    def fetchMore(self, parent: Index) -> None:  # noqa: D102  (Qt's hook)
        node = self.node(parent)
        self._asked.add(node.path)
        self.wanted.emit(node)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: D102, B008  (Qt's hook)
        return len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> Any:  # noqa: D102  (Qt's hook)
        if role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section]
        return TIPS[section] if role == Qt.ItemDataRole.ToolTipRole else None

    def data(self, index: Index, role: int = 0) -> Any:  # noqa: D102  (Qt's hook)
        node, column = self.node(index), index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return _cell(node, column)
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{node.path}\n{node.type} {node.serial}".strip()
        if role == Qt.ItemDataRole.TextAlignmentRole and 1 <= column < TYPE:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.ForegroundRole:
            if column == TYPE:
                return QBrush(QColor("#9aa5b1"))
            if "enable" in node.edge and not node.edge["enable"]:
                return QBrush(QColor("#ffd83d" if column == 3 else "#9aa5b1"))
        return None


def _cell(node: Node, column: int) -> str:
    if column == 0:
        return node.name or "/"
    if column == TYPE:
        return node.type
    if column in (1, 2):
        value = node.edge.get(("rx", "tx")[column - 1])
        return "" if value is None else scalar_text(value)
    if column == 3:
        return flag(node.edge, "enable")
    if column == 4:
        return "✔" if node.edge.get("locked") else ""
    return f"{node.below():,}" if node.below() else ""


class ObjectsView(QTreeView):
    """The objects; `chosen` is emitted with the one that is selected."""

    chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.objects = ObjectsModel(self)
        self.setModel(self.objects)
        self.setUniformRowHeights(True)
        self.setAlternatingRowColors(True)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setIndentation(16)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.header().setStretchLastSection(True)
        self.header().setMinimumSectionSize(30)
        for column, width in enumerate(WIDTHS):
            self.header().resizeSection(column, width)
        self.selectionModel().currentChanged.connect(lambda now, _: self._choose(now))

    def show_tree(self, root: Node) -> None:
        """Show a tree, its first levels open as far as they fit; what was selected stays so if it is there."""
        path = self.current_path()
        self.objects.show(root)
        first = root
        shown = 0
        self.expand(self.objects.index_of(root))
        level = list(root.children)
        while level and shown + len(level) <= 60:
            shown += len(level)
            opened = [node for node in level if node.children]
            for node in opened:
                if shown + len(node.children) <= 60:
                    self.expand(self.objects.index_of(node))
            level = [child for node in opened for child in node.children]
        wanted = root.find(path) if path else None
        self.setCurrentIndex(self.objects.index_of(wanted or first))

    def select(self, path: str) -> bool:
        """Select the object at `path`; False when it is not here."""
        roots = self.objects.root.children
        node = roots[0].find(path) if roots else None
        if node is None:
            return False
        index = self.objects.index_of(node)
        self.setCurrentIndex(index)
        self.scrollTo(index)
        return True

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: D102  (Qt's hook)
        super().resizeEvent(event)
        self.header().resizeSection(0, max(WIDTHS[0], self.viewport().width() - sum(WIDTHS[1:]) - 4))

    def current_path(self) -> str:
        """The path of the object that is selected, empty for none."""
        index = self.currentIndex()
        return self.objects.node(index).path if index.isValid() else ""

    def _choose(self, index: QModelIndex) -> None:
        self.chosen.emit(self.objects.node(index) if index.isValid() else None)
