"""What the screens of a subsystem have in common: a header, a line for what went wrong, and room for the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydm import Display
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from screens.parts.header import Header
from screens.parts.owl import Owl

Links = list[tuple[str, str, dict[str, str]]]


class SubsystemScreen(Display):
    """A screen of the IOC whose prefix is the macro P; SUBSYSTEMS is what the top screen is given on the way back.

    PyDM opens the one `Display` class that it finds in a file: a screen imports this module, not the class.
    """

    def __init__(
        self, title: str, links: Links, group: str, parent: QWidget | None, args: Any, macros: Mapping[str, str] | None
    ) -> None:
        """`group` is the `owl` command that the screen asks: ``alarm``."""
        super().__init__(parent=parent, args=args, macros=macros)
        self.given = dict(macros or {})
        self.prefix = self.given.get("P", "")
        self.packed = self.given.get("SUBSYSTEMS", "")
        self.setWindowTitle(f"{title} {self.prefix}")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setProperty("role", "screen")
        self.owl = Owl(self, group)
        self.header = Header(self.prefix, title, links, self, self.packed)
        self.error = QLabel(self)
        self.error.setProperty("role", "error")
        self.error.setWordWrap(True)
        self.error.hide()
        self.body = QVBoxLayout(self)
        self.body.setContentsMargins(8, 6, 8, 8)
        self.body.setSpacing(6)
        self.body.addWidget(self.header)
        self.body.addWidget(self.error)

    @property
    def system(self) -> list[str]:
        """How `owl` is told which IOC is meant, where a site has several of a kind."""
        name = self.prefix.rstrip(":").rpartition(":")[2]
        return ["--system", name] if name else []

    def minimumSizeHint(self) -> QSize:
        """So that it fits on small displays, too."""
        return QSize(760, 480)

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: D102  (Qt's hook)
        self.owl.stop()
        super().closeEvent(event)

    def show_error(self, text: str) -> None:
        """A line in red below the header; none for an empty text."""
        self.error.setText(text)
        self.error.setVisible(bool(text))
