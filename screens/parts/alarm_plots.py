"""Figures of alarms drawn: cards with their targets, bars over time, bars beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pyqtgraph
from qtpy.QtCore import QRect, QSize, Qt
from qtpy.QtGui import QColor, QFont, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QFrame, QLabel, QSizePolicy, QVBoxLayout, QWidget

from screens.parts.alarm_figures_data import BAD, FAIR, GOOD, PLAIN, SYMBOLS, Bar, Card, Series
from screens.parts.plot import BACKGROUND, FOREGROUND
from screens.parts.widgets import caption, restyle

COLORS = {GOOD: "#8fd694", FAIR: "#ffd83d", BAD: "#ff5c57", PLAIN: "#59c2ff"}
WORDS = {GOOD: "reached", FAIR: "manageable", BAD: "not reached", PLAIN: ""}
RATE, LIMIT, FLOOD = 1.0, 2.0, 10.0
"""Alarms in ten minutes: the target, what can be managed, and where a flood begins."""
MARKS = ((RATE, "target", GOOD, 0.05), (LIMIT, "limit", FAIR, 0.98), (FLOOD, "flood", BAD, 0.98))
"""Lines: alarms in ten minutes, word, colour, and where along the line the word stands."""
ROW = 22
"""Pixels of a bar with its space."""


class FigureCard(QFrame):
    """A figure, its target, and whether it is reached: by colour, symbol and word."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "card")
        self.title = caption("", self)
        self.value = QLabel(self)
        self.value.setProperty("role", "medium")
        self.target = caption("", self)
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 5, 10, 5)
        column.setSpacing(1)
        for widget in (self.title, self.value, self.target):
            widget.setTextFormat(Qt.TextFormat.PlainText)
            column.addWidget(widget)

    def show_card(self, card: Card) -> None:
        """Show a figure."""
        self.title.setText(card.title)
        self.value.setText(f"{SYMBOLS[card.state]} {card.value}".strip())
        self.target.setText(card.target)
        self.setToolTip(f"{card.tip}\n{WORDS[card.state]}".strip())
        restyle(self, figure=card.state or "plain")


class SeriesPlot(pyqtgraph.PlotWidget):
    """How many alarms came when, with the targets as lines."""

    def __init__(self, parent: QWidget | None = None) -> None:
        axis = pyqtgraph.DateAxisItem(orientation="bottom")
        super().__init__(parent=parent, background=BACKGROUND, axisItems={"bottom": axis})
        self.setMinimumHeight(110)
        self.setMenuEnabled(False)
        self.showGrid(y=True, alpha=0.2)
        self.setMouseEnabled(x=True, y=False)
        self.hideButtons()
        for name in ("bottom", "left"):
            self.getAxis(name).setPen(FOREGROUND)
            self.getAxis(name).setTextPen(FOREGROUND)
        self.bars = pyqtgraph.BarGraphItem(x=[], height=[], width=1, brush="#59c2ff", pen=None)
        self.addItem(self.bars)
        self.lines: list[pyqtgraph.InfiniteLine] = []

    def show_series(self, series: Series) -> None:
        """Draw other counts."""
        counts = np.array(series.counts, dtype=float)
        begin = datetime.fromisoformat(series.begin).timestamp()
        times = begin + series.seconds * (np.arange(len(counts)) + 0.5)
        share = series.seconds / 600.0
        brushes = [COLORS[self._state(count / share)] for count in counts]
        self.bars.setOpts(x=times, height=counts, width=series.seconds * 0.9, brushes=brushes)
        for line in self.lines:
            self.removeItem(line)
        self.lines = []
        top = max(float(counts.max(initial=0)), 2.4 * share)
        for level, word, color, at in MARKS:
            if level * share > 1.6 * top and level is not RATE:
                continue
            pen = pyqtgraph.mkPen(COLORS[color], width=1, style=Qt.PenStyle.DashLine)
            line = pyqtgraph.InfiniteLine(
                level * share, angle=0, pen=pen, label=word,
                labelOpts={"position": at, "color": COLORS[color], "anchors": [(1, 1), (1, 1)]},
            )  # fmt: skip
            self.addItem(line)
            self.lines.append(line)
            top = max(top, level * share)
        unit = "10 min" if share == 1 else f"{series.seconds / 60:.0f} min"
        self.setLabel("left", f"alarms in {unit}", color=FOREGROUND)
        end = begin + series.seconds * max(len(counts), 1)
        self.getViewBox().setRange(xRange=(begin, end), yRange=(0, top * 1.12), padding=0.0)

    @staticmethod
    def _state(rate: float) -> str:
        return BAD if rate > FLOOD else FAIR if rate > LIMIT else PLAIN


class BarList(QWidget):
    """Bars below each other: label, bar, text; a mark where a target is."""

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title = title
        self.bars: tuple[Bar, ...] = ()
        self.setMinimumSize(QSize(180, 3 * ROW))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def show_bars(self, bars: Sequence[Bar]) -> None:
        """Draw others."""
        self.bars = tuple(bars)
        self.setToolTip("\n".join(f"{bar.label}: {bar.text}" for bar in bars))
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: D102  (Qt's hook)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), QColor(BACKGROUND))
        area = self.rect().adjusted(10, 4, -10, -4)
        painter.setFont(_font(12))
        painter.setPen(QColor("#9aa5b1"))
        painter.drawText(QRect(area.left(), area.top(), area.width(), ROW), Qt.AlignmentFlag.AlignLeft, self._title)
        if not self.bars:
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter, "no alarm")
        painter.setFont(_font(13))
        metrics = painter.fontMetrics()
        longest = max((metrics.horizontalAdvance(bar.label) for bar in self.bars), default=0) + 2
        labels = min(longest, area.width() * 45 // 100)
        texts = max((metrics.horizontalAdvance(f"{SYMBOLS[bar.state]} {bar.text}") for bar in self.bars), default=0)
        left, room = area.left() + labels + 8, max(area.width() - labels - texts - 20, 10)
        most = max((max(bar.value, bar.target or 0.0) for bar in self.bars), default=1.0) or 1.0
        space = (area.height() - ROW) // max(len(self.bars), 1)
        height = min(max(space, 14), ROW + 4)
        for number, bar in enumerate(self.bars):
            top = area.top() + ROW + number * height
            if top + height > area.bottom() + 2:
                break
            label = metrics.elidedText(bar.label, Qt.TextElideMode.ElideMiddle, labels)
            painter.setPen(QColor("#e8edf2"))
            middle = Qt.AlignmentFlag.AlignVCenter
            painter.drawText(QRect(area.left(), top, labels, height), Qt.AlignmentFlag.AlignLeft | middle, label)
            width = max(int(room * bar.value / most), 1)
            painter.fillRect(QRect(left, top + 3, width, height - 6), QColor(COLORS[bar.state]))
            if bar.target is not None:
                mark = left + int(room * bar.target / most)
                painter.setPen(QPen(QColor("#ffffff"), 2))
                painter.drawLine(mark, top + 1, mark, top + height - 1)
                painter.setPen(QColor("#e8edf2"))
            text = f"{SYMBOLS[bar.state]} {bar.text}".strip()
            right = QRect(left + room + 6, top, area.right() - left - room - 6, height)
            painter.drawText(right, Qt.AlignmentFlag.AlignRight | middle, text)
        painter.end()


def _font(size: int) -> QFont:
    font = QFont("DejaVu Sans")
    font.setPixelSize(size)
    return font
