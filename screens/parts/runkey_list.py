"""The list of runkeys: what they are called, who made them, when and why, with a search and a choice of tags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QRect,
    QSize,
    Qt,
    Signal,  # pyright: ignore[reportPrivateImportUsage]
)
from qtpy.QtGui import QColor, QFont, QPainter, QPen
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QLineEdit,
    QListView,
    QPushButton,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from screens.parts.runkey_data import Runkey
from screens.parts.widgets import caption
from screens.parts.words import when

Index = QModelIndex | QPersistentModelIndex
ANY_TAG, ANY_PLACE = "all tags", "all places"
PLACES = ("staging", "backend")
ENTRY = Qt.ItemDataRole.UserRole


class RunkeysModel(QAbstractListModel):
    """Runkeys that the search, the tag and the place let through, newest first."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.all: list[Runkey] = []
        self.shown: list[Runkey] = []

    def show(self, entries: Sequence[Runkey]) -> None:
        """Show these."""
        self.beginResetModel()
        self.shown = list(entries)
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: D102, B008  (Qt's hook)
        return 0 if parent.isValid() else len(self.shown)

    def data(self, index: Index, role: int = 0) -> Any:  # noqa: D102  (Qt's hook)
        entry = self.shown[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return entry.name
        if role == ENTRY:
            return entry
        if role == Qt.ItemDataRole.ToolTipRole:
            return describe(entry)
        return None


def describe(entry: Runkey) -> str:
    """All that the list knows of a runkey, in lines."""
    lines = [
        f"{entry.name}  (revision {entry.number}, {entry.action}, {place(entry)})",
        f"{when(entry.created)} by {entry.author}",
        entry.comment,
        f"tags: {', '.join(entry.tags)}" if entry.tags else "",
        f"hash {entry.digest}",
    ]
    return "\n".join(line for line in lines if line)


def place(entry: Runkey) -> str:
    """Where it is, in words."""
    return "backend" if entry.where == "backend" else "staging, committed" if entry.committed else "staging"


class RunkeyDelegate(QStyledItemDelegate):
    """Two lines: name, tags and place; then when, who and why."""

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:  # noqa: D102  (Qt's hook)
        return QSize(200, 46)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:  # noqa: D102  (Qt's hook)
        entry = index.data(ENTRY)
        area: QRect = option.rect  # pyright: ignore[reportAttributeAccessIssue]
        state = option.state  # pyright: ignore[reportAttributeAccessIssue]
        chosen = bool(state & QStyle.StateFlag.State_Selected)
        painter.save()
        ground = "#2f6fb0" if chosen else "#232c35" if state & QStyle.StateFlag.State_MouseOver else ""
        if ground:
            painter.fillRect(area, QColor(ground))
        painter.setPen(QPen(QColor("#232c35")))
        painter.drawLine(area.bottomLeft(), area.bottomRight())
        inner = area.adjusted(8, 4, -8, -4)
        half = inner.height() // 2
        top = QRect(inner.left(), inner.top(), inner.width(), half)
        bottom = QRect(inner.left(), inner.top() + half, inner.width(), half)
        mark = "BACKEND" if entry.where == "backend" else "COMMITTED" if entry.committed else "STAGING"
        right = self._chip(painter, top, top.right(), mark, _mark_color(mark, chosen), filled=False)
        name_font = _font(15, bold=True)
        painter.setFont(name_font)
        # a name gives way to tags only as far as it stays readable
        name_width = min(painter.fontMetrics().horizontalAdvance(entry.name), max(right - top.left() - 8, 60))
        left = self._tags(painter, top, top.left() + name_width + 8, right, entry.tags)
        painter.setFont(name_font)
        painter.setPen(QColor("#ffffff"))
        room = QRect(top.left(), top.top(), left - top.left() - 4, top.height())
        name = painter.fontMetrics().elidedText(entry.name, Qt.TextElideMode.ElideMiddle, room.width())
        painter.drawText(room, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, name)
        painter.setFont(_font(12))
        painter.setPen(QColor("#e8edf2" if chosen else "#9aa5b1"))
        line = f"{when(entry.created)[:16]}  {entry.author}  {' '.join(entry.comment.split())}"
        line = painter.fontMetrics().elidedText(line, Qt.TextElideMode.ElideRight, bottom.width())
        painter.drawText(bottom, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, line)
        painter.restore()

    def _tags(self, painter: QPainter, line: QRect, left: int, right: int, tags: tuple[str, ...]) -> int:
        """Draw as many tags as there is room for, from the right; the left end of what they take."""
        for number, tag in enumerate(tags):
            painter.setFont(_font(11, bold=True))
            metrics = painter.fontMetrics()
            more = len(tags) - number
            text = tag if metrics.horizontalAdvance(tag) + 22 <= right - left else f"+{more}"
            if metrics.horizontalAdvance(text) + 22 > right - left:
                break
            right = self._chip(painter, line, right - 5, text, "#c9a6ff", filled=True)
            if text != tag:
                break
        return right

    @staticmethod
    def _chip(painter: QPainter, line: QRect, right: int, text: str, color: str, filled: bool) -> int:
        """Draw a word in a box that ends at `right`; its left end."""
        painter.setFont(_font(11, bold=True))
        width = painter.fontMetrics().horizontalAdvance(text) + 12
        box = QRect(right - width, line.top() + 1, width, line.height() - 3)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(QColor(color)))
        painter.setBrush(QColor("#2a2140") if filled else Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(box, 4, 4)
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)
        return box.left()


def _mark_color(mark: str, chosen: bool) -> str:
    return "#ffffff" if chosen else "#c9d3dc" if mark == "STAGING" else "#8fd694"


def _font(size: int, bold: bool = False) -> QFont:
    font = QFont("DejaVu Sans")
    font.setPixelSize(size)
    font.setBold(bold)
    return font


class RunkeyList(QWidget):
    """Search, tag, place, and the runkeys that fit. `chosen` is emitted with the one that is selected, or None."""

    chosen = Signal(object)
    refresh = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.search = QLineEdit(self)
        self.search.setPlaceholderText("search: name, comment, who, tag")
        self.search.setClearButtonEnabled(True)
        self.tag = QComboBox(self)
        self.tag.addItem(ANY_TAG)
        self.place = QComboBox(self)
        self.place.addItems([ANY_PLACE, *PLACES])
        for box in (self.tag, self.place):
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.setMinimumContentsLength(8)
        self.again = QPushButton("⟳ Refresh", self)
        self.again.setProperty("role", "span")
        self.again.clicked.connect(self.refresh)
        self.count = caption("", self)
        self.model = RunkeysModel(self)
        self.view = QListView(self)
        self.view.setModel(self.model)
        self.view.setItemDelegate(RunkeyDelegate(self.view))
        self.view.setUniformItemSizes(True)
        self.view.setMouseTracking(True)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.view.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        choices = QHBoxLayout()
        choices.setSpacing(4)
        choices.addWidget(self.tag, 1)
        choices.addWidget(self.place, 1)
        foot = QHBoxLayout()
        foot.addWidget(self.count, 1)
        foot.addWidget(self.again)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.search)
        column.addLayout(choices)
        column.addWidget(self.view, 1)
        column.addLayout(foot)
        self._chosen: tuple[str, str] | None = None
        self._filling = False
        self.search.textChanged.connect(lambda _: self._filter())
        self.tag.currentTextChanged.connect(lambda _: self._filter())
        self.place.currentTextChanged.connect(lambda _: self._filter())
        self.view.selectionModel().currentChanged.connect(self._choose)

    def fill(self, entries: Sequence[Runkey]) -> None:
        """Show these; search, tag and selection stay."""
        self.model.all = sorted(entries, key=lambda entry: (entry.created, entry.name), reverse=True)
        tags = sorted({tag for entry in entries for tag in entry.tags}, key=str.lower)
        before = self.tag.currentText()
        self.tag.blockSignals(True)
        self.tag.clear()
        self.tag.addItems([ANY_TAG, *tags])
        self.tag.setCurrentText(before if before in tags else ANY_TAG)
        self.tag.blockSignals(False)
        self._filter()

    @property
    def current(self) -> Runkey | None:
        """The runkey that is selected."""
        return next((entry for entry in self.model.shown if entry.key == self._chosen), None)

    def select(self, name: str, where: str = "") -> bool:
        """Select a runkey by its name; False when the list does not show it."""
        for row, entry in enumerate(self.model.shown):
            if entry.name == name and where in ("", entry.where):
                self.view.setCurrentIndex(self.model.index(row))
                return True
        return False

    def _filter(self) -> None:
        words = self.search.text().lower().split()
        tag, where = self.tag.currentText(), self.place.currentText()
        shown = [
            entry
            for entry in self.model.all
            if entry.matches(words) and tag in (ANY_TAG, *entry.tags) and where in (ANY_PLACE, entry.where)
        ]
        self._filling = True
        self.model.show(shown)
        row = next((row for row, entry in enumerate(shown) if entry.key == self._chosen), -1)
        if row >= 0:
            self.view.setCurrentIndex(self.model.index(row))
        self._filling = False
        total = len(self.model.all)
        noun = "runkey" if total == 1 else "runkeys"
        self.count.setText(f"{total:,} {noun}" if len(shown) == total else f"{len(shown):,} of {total:,} {noun}")

    def _choose(self, index: QModelIndex, _: QModelIndex) -> None:
        if self._filling or not index.isValid():
            return
        entry = index.data(ENTRY)
        if entry is not None and entry.key != self._chosen:
            self._chosen = entry.key
            self.chosen.emit(entry)
