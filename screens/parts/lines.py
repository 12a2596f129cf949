"""A line of text that gives way, and buttons that go on in the next line."""

from __future__ import annotations

from qtpy.QtCore import QPoint, QRect, QSize, Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QLabel, QLayout, QLayoutItem, QSizePolicy, QWidget

from screens.parts.widgets import fitted


class Line(QLabel):
    """Text that is cut where there is no room; the tool tip has all of it."""

    def __init__(self, parent: QWidget | None = None, role: str = "text", middle: bool = False) -> None:
        """`middle`: it is cut there, not at the end."""
        super().__init__(parent)
        self.setProperty("role", role)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.setMinimumWidth(30)
        self._mode = Qt.TextElideMode.ElideMiddle if middle else Qt.TextElideMode.ElideRight
        self.whole = ""

    def show_text(self, text: str, tip: str = "") -> None:
        """Show another text."""
        self.whole = text
        self.setToolTip(tip or text)
        self._elide()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: D102  (Qt's hook)
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        self.ensurePolished()
        self.setText(fitted(self, self.whole, self._mode, 28))


class FlowLayout(QLayout):
    """Widgets beside each other, as many as fit, the others below."""

    def __init__(self, spacing: int = 4) -> None:
        super().__init__()
        self._items: list[QLayoutItem] = []
        self._gap = spacing
        self.setContentsMargins(0, 0, 0, 0)

    def addItem(self, item: QLayoutItem) -> None:  # noqa: D102  (Qt's hook)
        self._items.append(item)

    def count(self) -> int:  # noqa: D102  (Qt's hook)
        return len(self._items)

    def itemAt(self, index: int) -> QLayoutItem | None:  # noqa: D102  (Qt's hook)
        return self._items[index] if 0 <= index < len(self._items) else None

    def takeAt(self, index: int) -> QLayoutItem | None:  # noqa: D102  (Qt's hook)
        return self._items.pop(index) if 0 <= index < len(self._items) else None

    def expandingDirections(self) -> Qt.Orientation:  # noqa: D102  (Qt's hook)
        return Qt.Orientation(0)

    def hasHeightForWidth(self) -> bool:  # noqa: D102  (Qt's hook)
        return True

    def heightForWidth(self, width: int) -> int:  # noqa: D102  (Qt's hook)
        return self._place(QRect(0, 0, width, 0), move=False)

    def setGeometry(self, rect: QRect) -> None:  # noqa: D102  (Qt's hook)
        super().setGeometry(rect)
        self._place(rect, move=True)

    def sizeHint(self) -> QSize:  # noqa: D102  (Qt's hook)
        return self.minimumSize()

    def minimumSize(self) -> QSize:  # noqa: D102  (Qt's hook)
        size = QSize()
        for item in self._items:
            size = size.expandedTo(item.minimumSize())
        return size

    def _place(self, rect: QRect, move: bool) -> int:
        x, y, height = rect.x(), rect.y(), 0
        for item in self._items:
            size = item.sizeHint()
            if x > rect.x() and x + size.width() > rect.x() + rect.width():
                x, y, height = rect.x(), y + height + self._gap, 0
            if move:
                item.setGeometry(QRect(QPoint(x, y), size))
            x += size.width() + self._gap
            height = max(height, size.height())
        return y + height - rect.y()
