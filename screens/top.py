"""Every subsystem of a site: does it live, is it well, what did it last say."""

from __future__ import annotations

import os

from pydm import Display
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from screens.navigation import go
from screens.parts.alarm_banner import AlarmCount, banner_of
from screens.parts.alarm_links import alarm_server
from screens.parts.pv import Pv
from screens.parts.widgets import Badge, Beat, Message, Reading, Text, caption, restyle, stacked
from screens.registry import KIND_SCREENS, Subsystem, unpack


class SubsystemCard(QFrame):
    """One subsystem. Its border says alive (quiet), in trouble (the severity's colour) or gone (dashed)."""

    def __init__(self, subsystem: Subsystem, packed: str, parent: QWidget | None = None) -> None:
        """`packed` is the macro SUBSYSTEMS, in which the alarm server is."""
        super().__init__(parent)
        self.subsystem = subsystem
        self.setProperty("role", "subsystem")
        prefix = f"{subsystem.prefix}IOC:"
        name = QLabel(subsystem.system, self)
        name.setProperty("role", "huge")
        self.state_pv = Pv(f"{prefix}State", self)
        self.badge = Badge(f"{prefix}Backend", self)
        self.beat = Beat(f"{prefix}HEARTBEAT", self)
        self.state = Text(f"{prefix}State", self, role="medium")
        self.uptime = Text(f"{prefix}UPTIME", self, role="text")
        self.version = Text(f"{prefix}Version", self, role="text")
        self.load = Reading(f"{prefix}IOC_CPU_LOAD", self, role="text")
        self.clients = Reading(f"{prefix}CA_CLNT_CNT", self, role="text")
        self.message = Message(f"{prefix}Msg", self)
        self.alarms = self._alarms(packed)
        self.button = QPushButton("Open ▶", self)
        self.button.setProperty("role", "command")
        self.button.setVisible(subsystem.kind in KIND_SCREENS)

        grid = QGridLayout(self)
        grid.setContentsMargins(16, 10, 16, 10)
        grid.setHorizontalSpacing(24)
        grid.setVerticalSpacing(6)
        grid.addLayout(stacked(name, caption(subsystem.title or subsystem.prefix, self)), 0, 0)
        grid.addWidget(self.badge, 0, 1, Qt.AlignmentFlag.AlignCenter)
        grid.addWidget(self.beat, 0, 2)
        grid.addLayout(stacked(caption("State", self), self.state), 0, 3)
        grid.addLayout(stacked(caption("Up for", self), self.uptime), 0, 4)
        grid.addLayout(stacked(caption("Version", self), self.version), 0, 5)
        grid.addLayout(stacked(caption("CPU", self), self.load), 0, 6)
        grid.addLayout(stacked(caption("Clients", self), self.clients), 0, 7)
        grid.addWidget(self.button, 0, 8)
        if self.alarms is None:
            grid.addWidget(self.message, 1, 0, 1, 9)
        else:
            below = QHBoxLayout()
            below.addWidget(self.message, 1)
            below.addWidget(self.alarms)
            grid.addLayout(below, 1, 0, 1, 9)
        for column, stretch in enumerate((2, 1, 3, 2, 2, 2, 1, 1, 1)):
            grid.setColumnStretch(column, stretch)

        self.state_pv.changed.connect(self._show)
        self.beat.state_changed.connect(self._show)
        self._show()

    def channels(self) -> list:
        """PyDM's tools find the PV by this."""
        return [self.state_pv.channel]

    def _alarms(self, packed: str) -> AlarmCount | None:
        """The alarms of this subsystem, if the site has an alarm server; its own card has those of the whole site."""
        server = alarm_server(packed)
        if not server:
            return None
        own = self.subsystem.prefix == server
        return AlarmCount(server, packed, "" if own else f"{self.subsystem.system}:", self, optional=not own)

    def _show(self) -> None:
        beat = {"alive": 0, "frozen": 2, "dead": 4}[self.beat.state]
        restyle(self, severity=max(self.state_pv.severity, beat))


class Top(Display):
    """Macros: SUBSYSTEMS, a JSON list of [prefix, kind, title]; TITLE, the site's."""

    def __init__(self, parent=None, args=None, macros: dict[str, str] | None = None) -> None:
        super().__init__(parent=parent, args=args, macros=macros)
        macros = macros or {}
        self._packed = macros.get("SUBSYSTEMS", "[]")
        title_text = macros.get("TITLE") or "owlshift"
        self.setWindowTitle(title_text)
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setProperty("role", "screen")
        title = QLabel(title_text, self)
        title.setProperty("role", "title")
        archive = os.environ.get("PYDM_ARCHIVER_URL")
        foot = caption(f"Archive at {archive}" if archive else "No archive: plots begin when they are opened", self)
        column = QVBoxLayout(self)
        column.setContentsMargins(14, 10, 14, 10)
        column.setSpacing(10)
        head = QHBoxLayout()
        head.addWidget(title, 1)
        self.alarms = banner_of(self._packed, self)
        if self.alarms is not None:
            head.addWidget(self.alarms)
        column.addLayout(head)
        self.cards = [SubsystemCard(subsystem, self._packed, self) for subsystem in unpack(self._packed)]
        for card in self.cards:
            card.button.clicked.connect(lambda _=False, card=card: self.open_subsystem(card.subsystem))
            column.addWidget(card)
        if not self.cards:
            nothing = QLabel("This site has no IOC.", self)
            nothing.setProperty("role", "waiting")
            column.addWidget(nothing)
        column.addStretch(1)
        column.addWidget(foot)

    def open_subsystem(self, subsystem: Subsystem) -> None:
        """Show the screen of one subsystem."""
        go(self, KIND_SCREENS[subsystem.kind], {"P": subsystem.prefix, "SUBSYSTEMS": self._packed})
