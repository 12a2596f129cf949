"""Alarms as rows of a table that changes under the eyes: selection and place stay with the alarm, not with the row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from qtpy.QtCore import (
    QAbstractTableModel,
    QItemSelectionModel,
    QModelIndex,
    QRect,
    QSize,
    Qt,
)
from qtpy.QtGui import QBrush, QColor, QFont, QPainter, QPen
from qtpy.QtWidgets import QAbstractItemView, QStyle, QStyledItemDelegate, QStyleOptionViewItem, QTableView, QWidget

from screens.parts.alarm_data import Alarm, short_path
from screens.parts.alarm_look import GONE, PRIORITY_MARKS, Look, look_of, state_words
from screens.parts.trees import Index
from screens.parts.words import when

LOOK = Qt.ItemDataRole.UserRole + 1
"""The role under which a cell has the `Look` that the delegate draws."""
SEVERITY, STATE, TIME, PV, DESCRIPTION, MESSAGE, VALUE, NOW, BY, PRIORITY = range(10)
COLUMNS = ("Severity", "State", "Since", "PV", "Description", "Message", "Value", "Now", "By", "Prio")
WIDTHS = (118, 116, 78, 190, 190, 116, 84, 124, 84, 40)
TIPS = {
    STATE: "new: nobody has acknowledged it · latched: it is gone, and waits to be acknowledged",
    MESSAGE: "What the PV said when it was at its worst",
    VALUE: "The PV's value when it was at its worst",
    NOW: "What the PV says now",
    BY: "Who acknowledged it; in brackets who shelved it",
    PRIORITY: "!! high, ! medium",
}
TINTS = {"warning": "#2e2a12", "fault": "#3a1a1c", "invalid": "#321a33", "disconnected": "#2a3036"}
"""The ground of what waits, by `Look.key`."""
MOST_PIECES = 100
"""More separate pieces than these are not taken out one by one."""


class AlarmsModel(QAbstractTableModel):
    """Alarms that the filter lets through, in the order of a column, or the most urgent first."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.all: list[Alarm] = []
        self.rows: list[Alarm] = []
        self.accepts: Callable[[Alarm], bool] = lambda alarm: True
        self._column, self._descending = -1, False
        self._bold = QFont()
        self._bold.setBold(True)

    def fill(self, alarms: Sequence[Alarm]) -> None:
        """Take the alarms as they are now."""
        self.all = list(alarms)
        self.refresh()

    def refresh(self) -> None:
        """Filter and order anew; rows that stay keep their place in the views."""
        wanted = self._ordered([alarm for alarm in self.all if self.accepts(alarm)])
        before = [alarm.path for alarm in self.rows]
        after = [alarm.path for alarm in wanted]
        if before == after:
            changed = [row for row, (old, new) in enumerate(zip(self.rows, wanted, strict=True)) if old != new]
            self.rows = wanted
            if changed:
                self.dataChanged.emit(self.index(changed[0], 0), self.index(changed[-1], len(COLUMNS) - 1))
            return
        kept = set(after)
        pieces = _pieces([row for row, path in enumerate(before) if path not in kept])
        if len(pieces) > MOST_PIECES:
            self.beginResetModel()
            self.rows = wanted
            self.endResetModel()
            return
        for first, last in reversed(pieces):
            self.beginRemoveRows(QModelIndex(), first, last)
            del self.rows[first : last + 1]
            self.endRemoveRows()
        there = set(before)
        fresh = [alarm for alarm in wanted if alarm.path not in there]
        if fresh:
            self.beginInsertRows(QModelIndex(), len(self.rows), len(self.rows) + len(fresh) - 1)
            self.rows += fresh
            self.endInsertRows()
        self._reorder(wanted)

    def _reorder(self, wanted: list[Alarm]) -> None:
        """The same alarms in another order."""
        self.layoutAboutToBeChanged.emit()
        place = {alarm.path: row for row, alarm in enumerate(wanted)}
        old = self.persistentIndexList()
        new = [self.index(place[self.rows[index.row()].path], index.column()) for index in old]
        self.rows = wanted
        self.changePersistentIndexList(old, new)
        self.layoutChanged.emit()

    def _ordered(self, alarms: list[Alarm]) -> list[Alarm]:
        # the newest first among equals; Python's sort is stable
        alarms.sort(key=lambda alarm: alarm.time, reverse=True)
        if self._column < 0:
            alarms.sort(key=lambda alarm: alarm.urgency, reverse=True)
        else:
            alarms.sort(key=lambda alarm: _sort_key(alarm, self._column), reverse=self._descending)
        return alarms

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """By a column; -1: the most urgent first."""
        self._column, self._descending = column, order == Qt.SortOrder.DescendingOrder
        self.refresh()

    def row_of(self, path: str) -> int:
        """The row of an alarm, -1 when it is not shown."""
        return next((row for row, alarm in enumerate(self.rows) if alarm.path == path), -1)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: D102, B008  (Qt's hook)
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: D102, B008  (Qt's hook)
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> Any:  # noqa: D102  (Qt's hook)
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.ToolTipRole:
            return TIPS.get(section)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        return COLUMNS[section] if role == Qt.ItemDataRole.DisplayRole else None

    def data(self, index: Index, role: int = 0) -> Any:  # noqa: D102  (Qt's hook)
        alarm, column = self.rows[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return cell(alarm, column)[:200]
        if role == LOOK and column == SEVERITY:
            return alarm.look
        if role == Qt.ItemDataRole.ToolTipRole:
            return tip(alarm)
        if role == Qt.ItemDataRole.FontRole:
            return self._bold if alarm.waits and column in (STATE, PV, DESCRIPTION) else None
        if role == Qt.ItemDataRole.ForegroundRole:
            color = "#9aa5b1" if alarm.suppressed else look_of(alarm.current).color if column == NOW else "#e8edf2"
            return QBrush(QColor(color))
        if role == Qt.ItemDataRole.BackgroundRole and alarm.waits:
            return QBrush(QColor(TINTS[alarm.look.key]))
        return None


def _pieces(rows: list[int]) -> list[tuple[int, int]]:
    """Runs of rows that follow each other: first and last."""
    pieces: list[tuple[int, int]] = []
    for row in rows:
        if pieces and pieces[-1][1] == row - 1:
            pieces[-1] = (pieces[-1][0], row)
        else:
            pieces.append((row, row))
    return pieces


def _sort_key(alarm: Alarm, column: int) -> Any:
    if column == SEVERITY:
        return alarm.look.rank
    if column == TIME:
        return alarm.time
    if column == PRIORITY:
        return len(PRIORITY_MARKS.get(alarm.priority, ""))
    return cell(alarm, column).lower()


def cell(alarm: Alarm, column: int) -> str:
    """What a column says of an alarm."""
    if column == SEVERITY:
        return alarm.look.text
    if column == STATE:
        return f"{'① ' if alarm.first_out else ''}{alarm.state_word}"
    if column == TIME:
        return clock(alarm.time)
    if column == NOW:
        now = look_of(alarm.current)
        if now is GONE:
            return ""
        return f"{now.symbol} {alarm.current_message or now.word}" if now.rank else now.text
    if column == PRIORITY:
        return PRIORITY_MARKS.get(alarm.priority, "")
    by = alarm.acknowledged_by or (f"({alarm.shelved.by})" if alarm.shelved else "")
    texts = {PV: alarm.pv, DESCRIPTION: alarm.description, MESSAGE: alarm.message, VALUE: alarm.value, BY: by}
    return " ".join(texts[column].split())


def clock(time: str) -> str:
    """A time in UTC as the clock on the wall shows it; the date where it was not today."""
    text = when(time)
    today = f"{datetime.now():%Y-%m-%d}"
    return text[11:] if text.startswith(today) else text[5:16] if len(text) == 19 else text


def tip(alarm: Alarm) -> str:
    """An alarm in lines."""
    lines = [
        f"{alarm.look.text}  {alarm.pv}",
        alarm.description,
        f"{state_words(alarm.state)}; since {when(alarm.time)}",
        "came first in its burst" if alarm.first_out else "",
        f"acknowledged by {alarm.acknowledged_by}" if alarm.acknowledged_by else "",
        f"shelved by {alarm.shelved.by} {alarm.shelved.ends}: {alarm.shelved.why}" if alarm.shelved else "",
        f"in {short_path(alarm.area, root=True)}",
    ]
    return "\n".join(line[:300] for line in lines if line)


class RowDelegate(QStyledItemDelegate):
    """Draws the ground of a row, which a style sheet keeps a view from doing; names are cut in the middle."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:  # noqa: D102  (Qt's hook)
        area: QRect = option.rect  # pyright: ignore[reportAttributeAccessIssue]
        ground = index.data(Qt.ItemDataRole.BackgroundRole)
        if ground is not None:
            painter.fillRect(area, ground)
        super().paint(painter, option, index)

    def initStyleOption(self, option: QStyleOptionViewItem, index: Index) -> None:  # noqa: D102  (Qt's hook)
        super().initStyleOption(option, index)
        if index.column() == PV:
            option.textElideMode = Qt.TextElideMode.ElideMiddle  # pyright: ignore[reportAttributeAccessIssue]


class LookDelegate(QStyledItemDelegate):
    """Draws a severity as a chip: filled while it waits, outlined once it is acknowledged."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:  # noqa: D102  (Qt's hook)
        look = index.data(LOOK)
        if not isinstance(look, Look):
            super().paint(painter, option, index)
            return
        area: QRect = option.rect  # pyright: ignore[reportAttributeAccessIssue]
        state = option.state  # pyright: ignore[reportAttributeAccessIssue]
        painter.save()
        if state & QStyle.StateFlag.State_Selected:
            painter.fillRect(area, QColor("#2f6fb0"))
        elif (ground := index.data(Qt.ItemDataRole.BackgroundRole)) is not None:
            painter.fillRect(area, ground)
        draw_chip(painter, area.adjusted(3, 2, -3, -2), look)
        painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:  # noqa: D102  (Qt's hook)
        return QSize(104, 24)


def draw_chip(painter: QPainter, box: QRect, look: Look) -> None:
    """Symbol and word of a severity, to the left in a box."""
    font = QFont("DejaVu Sans")
    font.setPixelSize(12)
    font.setBold(True)
    painter.setFont(font)
    color = QColor(look.color)
    metrics = painter.fontMetrics()
    box.setWidth(min(metrics.horizontalAdvance(look.text) + 14, box.width()))
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    pen = QPen(color)
    if look.key in ("disconnected", "gone"):
        pen.setStyle(Qt.PenStyle.DashLine)
    painter.setPen(pen if look.rank else QPen(Qt.PenStyle.NoPen))
    painter.setBrush(color if look.waits else QColor("#12161a") if look.rank else Qt.BrushStyle.NoBrush)
    painter.drawRoundedRect(box, 4, 4)
    painter.setPen(QColor(look.ink) if look.waits else color)
    text = metrics.elidedText(look.text, Qt.TextElideMode.ElideRight, box.width() - 6)
    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)


class AlarmsView(QTableView):
    """The table. Several rows may be selected."""

    def __init__(self, model: AlarmsModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.alarms = model
        self.setModel(model)
        self.setItemDelegate(RowDelegate(self))
        self.setItemDelegateForColumn(SEVERITY, LookDelegate(self))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setWordWrap(False)
        self.setShowGrid(False)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.verticalHeader().setVisible(False)
        self.verticalHeader().setDefaultSectionSize(26)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setMinimumSectionSize(40)
        for column, width in enumerate(WIDTHS):
            header.resizeSection(column, width)
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        header.setSortIndicatorClearable(True)
        self.setSortingEnabled(True)
        self._kept: list[str] = []
        model.modelAboutToBeReset.connect(self._keep)
        model.modelReset.connect(self._restore)

    @property
    def selected(self) -> list[Alarm]:
        """The alarms that are selected, from above to below."""
        rows = sorted(index.row() for index in self.selectionModel().selectedRows())
        return [self.alarms.rows[row] for row in rows if row < len(self.alarms.rows)]

    @property
    def current(self) -> Alarm | None:
        """The alarm that was selected last."""
        row = self.currentIndex().row()
        return self.alarms.rows[row] if 0 <= row < len(self.alarms.rows) else None

    def select(self, paths: Sequence[str]) -> None:
        """Select these alarms, as far as they are shown."""
        rows = [row for path in paths if (row := self.alarms.row_of(path)) >= 0]
        selection = self.selectionModel()
        selection.clearSelection()
        flags = QItemSelectionModel.SelectionFlag
        for row in rows:
            selection.select(self.alarms.index(row, 0), flags.Select | flags.Rows)
        if rows:
            selection.setCurrentIndex(self.alarms.index(rows[0], 0), flags.NoUpdate)
            self.scrollTo(self.alarms.index(rows[0], 0))

    def resizeEvent(self, event) -> None:  # noqa: D102  (Qt's hook)
        super().resizeEvent(event)
        self._share_room()

    def _share_room(self) -> None:
        """PV and description take what room is left, or give way."""
        rest = self.viewport().width() - sum(w for c, w in enumerate(WIDTHS) if c not in (PV, DESCRIPTION))
        header = self.horizontalHeader()
        header.resizeSection(PV, max(int(rest * 0.5), 140))
        header.resizeSection(DESCRIPTION, max(rest - int(rest * 0.5), 100))

    def _keep(self) -> None:
        self._kept = [alarm.path for alarm in self.selected]

    def _restore(self) -> None:
        if self._kept:
            self.select(self._kept)
