"""Rows of text with a filter: setpoints, revisions, differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QPersistentModelIndex,
    QSortFilterProxyModel,
    Qt,
    Signal,  # pyright: ignore[reportPrivateImportUsage]
)
from qtpy.QtGui import QBrush, QColor, QFontDatabase
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from screens.parts.widgets import caption

Index = QModelIndex | QPersistentModelIndex
Row = Sequence[str]
SINGULAR = {"entries": "entry", "intervals of validity": "interval of validity"}
COLORS = {"warning": "#ffd83d", "fault": "#ff5c57", "invalid": "#ff6ef5", "gone": "#9aa5b1", "good": "#8fd694"}
"""As in the style sheet; a model can't be reached by it."""


class RowsModel(QAbstractTableModel):
    """Rows of text under a header. Sorting goes by numbers where a cell is one."""

    def __init__(self, header: Sequence[str], numbers: Sequence[int] = (), parent: QWidget | None = None) -> None:
        """`numbers` are columns that are shown in digits of one width, to the right."""
        super().__init__(parent)
        self._header = tuple(header)
        self._numbers = set(numbers)
        self.rows: list[Row] = []
        self.color_of: Callable[[Row], str] = lambda row: ""
        self._font = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
        self._font.setPixelSize(14)

    def fill(self, rows: Sequence[Row]) -> None:
        """Show these rows instead."""
        self.beginResetModel()
        self.rows = list(rows)
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: D102, B008  (Qt's hook)
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: D102, B008  (Qt's hook)
        return 0 if parent.isValid() else len(self._header)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> Any:  # noqa: D102  (Qt's hook)
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return self._header[section]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if section in self._numbers else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        return None

    def data(self, index: Index, role: int = 0) -> Any:  # noqa: D102  (Qt's hook)
        row = self.rows[index.row()]
        text = row[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return text if len(text) < 300 else f"{text[:300]} …"
        if role == Qt.ItemDataRole.ToolTipRole:
            return text[:2000]
        if role == Qt.ItemDataRole.UserRole:
            return _sort_key(text)
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() in self._numbers:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.FontRole and index.column() in self._numbers:
            return self._font
        if role == Qt.ItemDataRole.ForegroundRole and (name := self.color_of(row)):
            return QBrush(QColor(COLORS[name]))
        return None


def _sort_key(text: str) -> str:
    """Numbers in the order of numbers, before all texts."""
    try:
        value = float(text)
    except ValueError:
        return f"1{text.lower()}"
    return f"0{value + 1e15:032.9f}"


class RowsFilter(QSortFilterProxyModel):
    """Rows in which every word of the filter is, in any column."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._words: list[str] = []
        self.setSortRole(Qt.ItemDataRole.UserRole)

    def set_words(self, text: str) -> None:
        """Take a new filter."""
        self.beginResetModel()
        self._words = text.lower().split()
        self.endResetModel()

    def filterAcceptsRow(self, source_row: int, source_parent: Index) -> bool:  # noqa: D102  (Qt's hook)
        model = self.sourceModel()
        if not self._words or not isinstance(model, RowsModel):
            return True
        text = "\t".join(model.rows[source_row]).lower()
        return all(word in text for word in self._words)


class FilteredTable(QWidget):
    """A table of rows with a filter above it and the number of rows beside that."""

    chosen = Signal(int)
    """The number of the row, as it was filled in, that the user has selected; -1 for none."""

    def __init__(
        self,
        header: Sequence[str],
        numbers: Sequence[int] = (),
        stretch: int = -1,
        placeholder: str = "filter",
        what: str = "rows",
        parent: QWidget | None = None,
    ) -> None:
        """`stretch` is the column that takes what room is left, -1 for none; `what` is what the rows are called."""
        super().__init__(parent)
        self._what = what
        self.model = RowsModel(header, numbers, self)
        self.proxy = RowsFilter(self)
        self.proxy.setSourceModel(self.model)
        self.filter = QLineEdit(self)
        self.filter.setPlaceholderText(placeholder)
        self.filter.setClearButtonEnabled(True)
        self.filter.setMinimumWidth(80)
        self.count: QLabel = caption("", self)
        self.view = QTableView(self)
        self.view.setModel(self.proxy)
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.view.setAlternatingRowColors(True)
        self.view.setWordWrap(False)
        self.view.setShowGrid(False)
        self.view.verticalHeader().setVisible(False)
        self.view.verticalHeader().setDefaultSectionSize(24)
        self.view.horizontalHeader().setHighlightSections(False)
        self.view.horizontalHeader().setMinimumSectionSize(40)
        self.view.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        if stretch >= 0:
            self.view.horizontalHeader().setSectionResizeMode(stretch, QHeaderView.ResizeMode.Stretch)
        row = QHBoxLayout()
        row.addWidget(self.filter, 1)
        row.addWidget(self.count)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(row)
        column.addWidget(self.view, 1)
        self.filter.textChanged.connect(self._filter)
        self.view.selectionModel().selectionChanged.connect(lambda *_: self.chosen.emit(self.current()))
        self._stretch = stretch

    def fill(self, rows: Sequence[Row], sortable: bool = True) -> None:
        """Show these rows, the columns as wide as the first of them need."""
        self.view.setSortingEnabled(False)
        self.model.fill(rows)
        self.proxy.sort(-1)
        self.view.setSortingEnabled(sortable)
        if sortable:
            self.view.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        header = self.view.horizontalHeader()
        for column in range(self.model.columnCount()):
            if column != self._stretch:
                width = max(header.sectionSizeHint(column), *(self._width(row, column) for row in rows[:200]), 40)
                header.resizeSection(column, min(width, 420))
        self._tell()

    def current(self) -> int:
        """The number of the selected row as it was filled in, -1 for none."""
        indexes = self.view.selectionModel().selectedRows()
        return self.proxy.mapToSource(indexes[0]).row() if indexes else -1

    def choose(self, row: int) -> None:
        """Select a row by its number as it was filled in."""
        self.view.selectRow(self.proxy.mapFromSource(self.model.index(row, 0)).row())

    def _width(self, row: Row, column: int) -> int:
        return self.view.fontMetrics().horizontalAdvance(row[column][:80]) + 22

    def _filter(self, text: str) -> None:
        self.proxy.set_words(text)
        self._tell()

    def _tell(self) -> None:
        total, shown = len(self.model.rows), self.proxy.rowCount()
        what = SINGULAR.get(self._what, self._what.removesuffix("s")) if total == 1 else self._what
        self.count.setText(f"{total:,} {what}" if shown == total else f"{shown:,} of {total:,} {what}")
