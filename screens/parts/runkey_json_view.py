"""JSON as a tree that a filter thins out."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject, Qt
from qtpy.QtGui import QBrush, QColor
from qtpy.QtWidgets import QAbstractItemView, QHBoxLayout, QHeaderView, QLineEdit, QTreeView, QVBoxLayout, QWidget

from screens.parts.runkey_data import scalar_text
from screens.parts.trees import Index, TreeModel
from screens.parts.widgets import caption

OPEN_UP_TO = 120
"""So many lines are opened at once."""
LARGEST = 200_000
"""Values beyond this number are not shown (a tree of them is of no use to anybody)."""
VALUE_COLORS = {str: "#e6c07b", bool: "#8fd694", int: "#59c2ff", float: "#59c2ff", type(None): "#9aa5b1"}


class Item:
    """A value, the key that leads to it, and what is inside."""

    __slots__ = ("children", "key", "parent", "row", "value")

    def __init__(self, key: str, value: Any, parent: Item | None, row: int) -> None:
        self.key = key
        self.value = value
        self.parent = parent
        self.row = row
        self.children: list[Item] = []

    @property
    def text(self) -> str:
        """The value; of a list or an object, how much is in it."""
        if isinstance(self.value, dict):
            return f"{{{len(self.value)}}}"
        if isinstance(self.value, list):
            return f"[{len(self.value)}]" if self.children else scalar_text(self.value)
        return scalar_text(self.value)


def build(document: Any, words: list[str], key: str = "", limit: int = LARGEST) -> tuple[Item, int]:
    """The items of a document in which all `words` (lower case) are in the path and the value; how many values.

    A list of scalars is one item. Deep documents are cut at 40 levels.
    """
    left = [limit]

    def make(name: str, value: Any, parent: Item | None, row: int, path: str, depth: int) -> Item | None:
        item = Item(name, value, parent, row)
        here = f"{path}.{name.lower()}" if words else ""
        pairs: list[tuple[str, Any]] = []
        if depth < 40 and isinstance(value, dict):
            pairs = [(str(k), v) for k, v in value.items()]
        elif depth < 40 and isinstance(value, list) and any(isinstance(v, (dict, list)) for v in value):
            pairs = [(str(index), v) for index, v in enumerate(value)]
        for child_name, child_value in pairs:
            if left[0] <= 0:
                break
            child = make(child_name, child_value, item, len(item.children), here, depth + 1)
            if child is not None:
                item.children.append(child)
        if item.children or parent is None:
            return item
        if words:
            text = here if pairs or isinstance(value, dict) else f"{here} {scalar_text(value).lower()}"
            if not all(word in text for word in words):
                return None
        left[0] -= 1
        return item

    root = make(key, document, None, 0, "", 0)
    return root or Item(key, document, None, 0), limit - left[0]


class JsonModel(TreeModel[Item]):
    """Two columns: key and value."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(Item("", None, None, 0), ("Key", "Value"), parent)

    def data(self, index: Index, role: int = 0) -> Any:  # noqa: D102  (Qt's hook)
        item = self.item(index)
        if role == Qt.ItemDataRole.DisplayRole:
            text = item.text if index.column() else item.key
            return text if len(text) < 400 else f"{text[:400]} …"
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{path_of(item)} = {item.text[:1000]}"
        if role == Qt.ItemDataRole.ForegroundRole and index.column():
            return QBrush(QColor(VALUE_COLORS.get(type(item.value), "#9aa5b1")))
        return None


def path_of(item: Item) -> str:
    """The keys that lead to an item, with dots between."""
    keys: list[str] = []
    at: Item | None = item
    while at is not None and at.parent is not None:
        keys.append(at.key)
        at = at.parent
    return ".".join(reversed(keys))


class JsonView(QWidget):
    """A document as a tree; what the filter does not name is left out, and what it names is opened."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._document: Any = None
        self.model = JsonModel(self)
        self.filter = QLineEdit(self)
        self.filter.setPlaceholderText("filter: words of a key or a value")
        self.filter.setClearButtonEnabled(True)
        self.filter.setMinimumWidth(80)
        self.count = caption("", self)
        self.view = QTreeView(self)
        self.view.setModel(self.model)
        self.view.setUniformRowHeights(True)
        self.view.setAlternatingRowColors(True)
        self.view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.view.setIndentation(16)
        header = self.view.header()
        header.setStretchLastSection(True)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Interactive)
        header.resizeSection(0, 240)
        row = QHBoxLayout()
        row.addWidget(self.filter, 1)
        row.addWidget(self.count)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(row)
        column.addWidget(self.view, 1)
        self.filter.textChanged.connect(lambda _: self._build())

    def show_document(self, document: Any) -> None:
        """Show another document; the filter stays."""
        self._document = document if isinstance(document, (dict, list)) else {"": document}
        self._build()

    def _build(self) -> None:
        words = self.filter.text().lower().split()
        root, values = build(self._document, words)
        self.model.set_root(root)
        self.count.setText(f"{values:,} value{'' if values == 1 else 's'}" + (" and more" if values >= LARGEST else ""))
        self._open(words)

    def _open(self, words: list[str]) -> None:
        """Open from the top while it fits; with a filter as much as there are lines for."""
        shown = [self.model.root]
        level = list(self.model.root.children)
        while level and len(shown) + len(level) <= (10 * OPEN_UP_TO if words else OPEN_UP_TO):
            shown += level
            for item in level:
                if item.children:
                    self.view.expand(self.model.index_of(item))
            level = [child for item in level for child in item.children]
        if self.view.viewport().width() > 100:
            self.view.resizeColumnToContents(0)
            self.view.header().resizeSection(0, min(self.view.columnWidth(0) + 12, self.width() // 2))
