"""Optoboards and front-ends of a FELIX as a tree with buttons."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QModelIndex, QObject, Qt, Signal  # pyright: ignore[reportPrivateImportUsage]
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QLabel, QPushButton, QStackedLayout, QTreeView, QWidget

from screens.parts.runkey_data import Node, flag, scalar_text
from screens.parts.runkey_tree import ObjectsModel
from screens.parts.trees import Index

COLUMNS = ("Front-end", "Rx", "Tx", "Enable", "Locked", "", "")
WIDTHS = (110, 40, 40, 54, 54, 72, 112)
CONFIG, PLACE = 5, 6
OPEN_AT_FIRST = 60
"""Rows that are opened at first."""


class FrontendsModel(ObjectsModel):
    """The objects below a FELIX; what is inside an optoboard is said in words."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent, COLUMNS, ("",) * len(COLUMNS))

    def data(self, index: Index, role: int = 0) -> Any:  # noqa: D102  (Qt's hook)
        node, column = self.item(index), index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return _cell(node, column)
        if role == Qt.ItemDataRole.TextAlignmentRole and column in (3, 4):
            return Qt.AlignmentFlag.AlignCenter
        return super().data(index, role)


def inside(node: Node) -> str:
    """What an optoboard or FELIX has, for example ``4 Frontends``."""
    count = sum(one.type == "frontend" for one in node.walk()) + (node.more if node.type == "optoboard" else 0)
    return f"{count:,} Frontend{'' if count == 1 else 's'}"


def _cell(node: Node, column: int) -> str:
    front_end = node.type == "frontend"
    if column == 0:
        return node.name if front_end or not node.below() else f"{node.name}    {inside(node)}"
    if column in (1, 2):
        value = node.edge.get(("rx", "tx")[column - 1])
        return "" if value is None else scalar_text(value)
    if column == 3:
        return flag(node.edge, "enable")
    if column == 4 and "locked" in node.edge:
        return "✔" if node.edge["locked"] else "–"
    return ""


class FrontendsView(QWidget):
    """The tree, or a line in its place. `config` and `place` are emitted with the front-end whose button is pressed."""

    config = Signal(object)
    place = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.objects = FrontendsModel(self)
        self.view = QTreeView(self)
        self.view.setModel(self.objects)
        self.view.setUniformRowHeights(True)
        self.view.setProperty("role", "frontends")
        self.view.setAlternatingRowColors(True)
        self.view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.view.setIndentation(16)
        self.view.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        header = self.view.header()
        header.setStretchLastSection(False)
        header.setMinimumSectionSize(30)
        for column, width in enumerate(WIDTHS):
            header.resizeSection(column, width)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.note = QLabel(self)
        self.note.setProperty("role", "message")
        self.note.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.note.setWordWrap(True)
        self._stack = QStackedLayout(self)
        self._stack.addWidget(self.note)
        self._stack.addWidget(self.view)
        self.view.expanded.connect(self._buttons_below)

    def say(self, text: str) -> None:
        """Show a line in the place of the tree."""
        self.note.setText(text)
        self._stack.setCurrentWidget(self.note)

    def show_felix(self, felix: Node) -> None:
        """Show a FELIX and what is below it, as many optoboards open as fit."""
        self.objects.show(felix)
        self._stack.setCurrentWidget(self.view)
        top = self.objects.index_of(felix)
        self.view.setFirstColumnSpanned(felix.row, QModelIndex(), True)
        for node in felix.children:
            if node.type != "frontend":
                self.view.setFirstColumnSpanned(node.row, top, True)
        self.view.expand(top)
        rows = len(felix.children)
        for node in felix.children:
            rows += len(node.children)
            if rows > OPEN_AT_FIRST and node is not felix.children[0]:
                break
            self.view.expand(self.objects.index_of(node))

    def buttons(self, node: Node) -> list[QPushButton]:
        """The buttons of a front-end that is visible: Config and Connectivity."""
        index = self.objects.index_of(node)
        found = [self.view.indexWidget(index.siblingAtColumn(column)) for column in (CONFIG, PLACE)]
        return [button for button in found if isinstance(button, QPushButton)]

    def _buttons_below(self, index: QModelIndex) -> None:
        """Rows get their buttons when they are seen for the first time: a FELIX may have 700."""
        for node in self.objects.item(index).children:
            if node.type != "frontend":
                continue
            at = self.objects.index_of(node)
            if self.view.indexWidget(at.siblingAtColumn(CONFIG)) is not None:
                return
            for column, label, signal in ((CONFIG, "Config", self.config), (PLACE, "Connectivity", self.place)):
                button = QPushButton(label, self.view)
                button.setProperty("role", "cell")
                button.clicked.connect(lambda _=False, signal=signal, node=node: self._press(signal, node))
                self.view.setIndexWidget(at.siblingAtColumn(column), button)

    def _press(self, signal: Any, node: Node) -> None:
        self.view.setCurrentIndex(self.objects.index_of(node))
        signal.emit(node)
