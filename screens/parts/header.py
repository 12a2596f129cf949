"""The line at the top of every screen of a subsystem: where you are, whether it lives, and what it last said."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QWidget

from screens.navigation import go
from screens.parts.widgets import Badge, Beat, Message, Text, caption, stacked


class Header(QFrame):
    """Title and links on the left; heartbeat, backend, state and message of the IOC at `prefix`."""

    def __init__(
        self, prefix: str, title: str, links: list[tuple[str, str, dict[str, str]]], parent: QWidget | None = None
    ) -> None:
        """`links` are (label, screen, macros)."""
        super().__init__(parent)
        self.setProperty("role", "header")
        row = QHBoxLayout(self)
        row.setContentsMargins(10, 4, 10, 4)
        row.setSpacing(14)
        for label, screen, macros in links:
            button = QPushButton(label, self)
            button.setProperty("role", "link")
            button.clicked.connect(lambda _=False, screen=screen, macros=macros: go(self, screen, macros))
            row.addWidget(button)
        name = QLabel(title, self)
        name.setProperty("role", "title")
        row.addLayout(stacked(name, caption(prefix, self)))
        self.badge = Badge(f"{prefix}IOC:Backend", self)
        self.beat = Beat(f"{prefix}IOC:HEARTBEAT", self)
        self.state = Text(f"{prefix}IOC:State", self, role="word")
        self.message = Message(f"{prefix}IOC:Msg", self)
        for widget in (self.badge, self.beat, self.state):
            row.addWidget(widget, 0, Qt.AlignmentFlag.AlignVCenter)
        row.addWidget(self.message, 1)
