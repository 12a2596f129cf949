"""The line at the top of every screen of a subsystem: where you are, whether it lives, and what it last said."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QMenu, QPushButton, QWidget

from screens.navigation import go
from screens.parts.alarm_banner import banner_of
from screens.parts.widgets import Badge, Beat, Message, Text, caption, stacked

NARROW = 1150
"""Pixels of width below which the alarms are told in fewer letters."""

NARROWEST = 960
MANY = 4
"""More links than these are in a menu where a header is narrower than NARROWEST."""


class Header(QFrame):
    """Links, title, heartbeat, backend, state and message of the IOC at `prefix`; on the right the site's alarms."""

    def __init__(
        self,
        prefix: str,
        title: str,
        links: list[tuple[str, str, dict[str, str]]],
        parent: QWidget | None = None,
        subsystems: str = "",
    ) -> None:
        """`links` are (label, screen, macros); `subsystems` is the macro SUBSYSTEMS, in which the alarm server is."""
        super().__init__(parent)
        self.setProperty("role", "header")
        row = QHBoxLayout(self)
        row.setContentsMargins(10, 4, 10, 4)
        row.setSpacing(10)
        places = QHBoxLayout()
        places.setSpacing(4)
        row.addLayout(places)
        self._links: list[QPushButton] = []
        self._others = QPushButton("Go to ▾", self)
        self._others.setProperty("role", "link")
        menu = QMenu(self._others)
        self._others.setMenu(menu)
        for label, screen, macros in links:
            button = QPushButton(label, self)
            button.setProperty("role", "link")
            button.clicked.connect(lambda _=False, screen=screen, macros=macros: go(self, screen, macros))
            places.addWidget(button)
            self._links.append(button)
            menu.addAction(label, button.click)
        places.addWidget(self._others)
        self._others.hide()
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
        self.alarms = banner_of(subsystems, self)
        if self.alarms is not None:
            row.addWidget(self.alarms, 0, Qt.AlignmentFlag.AlignVCenter)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: D102  (Qt's hook)
        super().resizeEvent(event)
        folded = len(self._links) > MANY and self.width() < NARROWEST
        for button in self._links[1:]:
            button.setVisible(not folded)
        self._others.setVisible(folded)
        if self.alarms is not None:
            self.alarms.set_compact(self.width() < NARROW)
