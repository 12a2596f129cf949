"""A tree of objects as Qt's views want it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar, overload

from qtpy.QtCore import QAbstractItemModel, QModelIndex, QObject, QPersistentModelIndex, Qt

Index = QModelIndex | QPersistentModelIndex


class TreeItem(Protocol):
    """What is in a tree: its own row among the children of its parent. The root, which is not shown, has no parent."""

    row: int
    parent: Any
    children: Any


Item = TypeVar("Item", bound=TreeItem)


class TreeModel(QAbstractItemModel, Generic[Item]):
    """The items below `root`, a row each; what their cells show is for `data`."""

    def __init__(self, root: Item, columns: Sequence[str], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.root = root
        self._columns = tuple(columns)

    def set_root(self, root: Item) -> None:
        """Show other items."""
        old = self.root  # indexes point to its items until the reset is done
        self.beginResetModel()
        self.root = root
        self.endResetModel()
        del old

    def item(self, index: Index) -> Item:
        """The item of an index; the root for an invalid one."""
        return index.internalPointer() if index.isValid() else self.root

    def index_of(self, item: Item, column: int = 0) -> QModelIndex:
        """The index of an item; an invalid one for the root."""
        return QModelIndex() if item.parent is None else self.createIndex(item.row, column, item)

    def index(self, row: int, column: int, parent: Index = QModelIndex()) -> QModelIndex:  # noqa: D102, B008
        children = self.item(parent).children
        if 0 <= row < len(children) and 0 <= column < len(self._columns):
            return self.createIndex(row, column, children[row])
        return QModelIndex()

    @overload
    def parent(self) -> QObject | None: ...

    @overload
    def parent(self, child: Index) -> QModelIndex: ...

    def parent(self, child: Index | None = None) -> QObject | QModelIndex | None:  # noqa: D102  (Qt's hook)
        if child is None:
            return super().parent()
        owner = self.item(child).parent if child.isValid() else None
        return QModelIndex() if owner is None else self.index_of(owner)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: D102, B008  (Qt's hook)
        return len(self.item(parent).children) if parent.column() <= 0 else 0

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: D102, B008  (Qt's hook)
        return len(self._columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> Any:  # noqa: D102  (Qt's hook)
        return self._columns[section] if role == Qt.ItemDataRole.DisplayRole else None
