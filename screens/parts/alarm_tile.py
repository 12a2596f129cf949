"""An area or alarm as a tile: how bad, how many, what came first."""

from __future__ import annotations

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

from screens.parts.alarm_data import Node
from screens.parts.alarm_look import Look, look_of, state_word
from screens.parts.alarm_rows import Item
from screens.parts.lines import Line
from screens.parts.widgets import Clickable, restyle

SIZE = QSize(232, 112)


class AreaTile(Clickable):
    """Its frame and symbol say how bad it is: filled while something waits, outlined when all is acknowledged."""

    def __init__(self, node: Node, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.node = node
        self.item: Item | None = None
        self.setProperty("role", "areatile")
        self.name = Line(self, "alias", middle=True)
        self.severity = QLabel(self)
        self.severity.setProperty("role", "areasymbol")
        self.counts = Line(self, "word")
        self.more = Line(self, "caption", middle=True)
        for label in (self.severity,):
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        grid = QGridLayout(self)
        grid.setContentsMargins(10, 6, 10, 6)
        grid.setVerticalSpacing(2)
        grid.addWidget(self.name, 0, 0)
        grid.addWidget(self.severity, 0, 1)
        grid.addWidget(self.counts, 1, 0, 1, 2)
        grid.addWidget(self.more, 2, 0, 1, 2)
        grid.setColumnStretch(0, 1)
        self.refresh()

    def sizeHint(self) -> QSize:
        """All tiles are of one size."""
        return SIZE

    @property
    def look(self) -> Look:
        """How its severity looks."""
        return self.item.look if self.item is not None else look_of(str(self.node.entry.get("severity") or ""))

    def refresh(self) -> None:
        """Show what is known now."""
        look, node = self.look, self.node
        name = node.name if node.is_area else node.name.rpartition(":")[2]
        self.name.show_text(name, f"{node.path}\n{node.entry.get('description') or ''}".strip())
        self.severity.setText(look.text)
        counts, more = self._area_words() if node.is_area else self._alarm_words()
        self.counts.show_text(counts)
        self.more.show_text(more)
        restyle(self, look=look.key, waits=look.waits)

    def _count(self, pv: str, key: str) -> int:
        count = self.item.count(pv) if self.item is not None else None
        return int(self.node.entry.get(key) or 0) if count is None else count

    def _area_words(self) -> tuple[str, str]:
        new, known = self._count("NUnack", "unacknowledged"), self._count("NAck", "acknowledged")
        aside = self._count("NSupp", "suppressed")
        words = [f"{new:,} new" if new else "", f"{known:,} ✓" if known else "", f"{aside:,} aside" if aside else ""]
        first = self.item.text("First") if self.item is not None else str(self.node.entry.get("first_out") or "")
        alarms = f"{self.node.total:,} alarm{'' if self.node.total == 1 else 's'}"
        line = f"① {first.rpartition('/')[2]}" if first and (new or known) else alarms
        return " · ".join(word for word in words if word) or "no alarm", line

    def _alarm_words(self) -> tuple[str, str]:
        entry, item = self.node.entry, self.item
        message = item.text("Msg") if item is not None else str(entry.get("message") or "")
        value = item.text("Val") if item is not None else str(entry.get("value") or "")
        state = item.text("State") if item is not None else str(entry.get("state") or "")
        shown = f"{message} {value}".strip() if self.look.rank > 0 else ""
        return shown or state_word(state) or "no alarm", str(entry.get("description") or self.node.path)
