"""The tree of a runkey's objects; children that are not here yet are asked for when somebody opens their parent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import (
    QModelIndex,
    QObject,
    Qt,
    Signal,  # pyright: ignore[reportPrivateImportUsage]
)
from qtpy.QtGui import QBrush, QColor, QResizeEvent
from qtpy.QtWidgets import QAbstractItemView, QTreeView, QWidget

from screens.parts.runkey_data import Node, flag, scalar_text
from screens.parts.trees import Index, TreeModel

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


class ObjectsModel(TreeModel[Node]):
    """Objects by name, with what their edges say. `wanted` asks for the children of an object."""

    wanted = Signal(object)

    def __init__(
        self, parent: QObject | None = None, columns: Sequence[str] = COLUMNS, tips: Sequence[str] = TIPS
    ) -> None:
        super().__init__(Node("", ""), columns, parent)
        self._tips = tips
        self._asked: set[str] = set()

    def show(self, root: Node) -> None:
        """Show another tree. Its root is the first line."""
        top = Node("", "")
        top.children = [root]
        root.parent, root.row = top, 0
        self._asked.clear()
        self.set_root(top)

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

    def hasChildren(self, parent: Index = QModelIndex()) -> bool:  # noqa: D102, B008  (Qt's hook)
        return parent.column() <= 0 and self.item(parent).below() > 0

    def canFetchMore(self, parent: Index) -> bool:  # noqa: D102  (Qt's hook)
        node = self.item(parent)
        return node.more > 0 and not node.children and node.path not in self._asked

    def fetchMore(self, parent: Index) -> None:  # noqa: D102  (Qt's hook)
        node = self.item(parent)
        self._asked.add(node.path)
        self.wanted.emit(node)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> Any:  # noqa: D102  (Qt's hook)
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tips[section] or None
        return super().headerData(section, orientation, role)

    def data(self, index: Index, role: int = 0) -> Any:  # noqa: D102  (Qt's hook)
        node, column = self.item(index), index.column()
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
        return self.objects.item(index).path if index.isValid() else ""

    def _choose(self, index: QModelIndex) -> None:
        self.chosen.emit(self.objects.item(index) if index.isValid() else None)
