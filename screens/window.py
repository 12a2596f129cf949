"""The window that shows one screen at a time and goes back to those it has shown."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from qtpy.QtCore import QSize
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QFileDialog, QMainWindow, QMessageBox, QStackedWidget, QWidget

from screens.navigation import load
from screens.registry import ScreenError
from screens.runtime import discard

KEPT = 3
"""So many screens stay alive and connected, so that going back is immediate and shows no gap."""

Key = tuple[str, tuple[tuple[str, str], ...]]


class ScreenWindow(QMainWindow):
    """A stack of screens, the one used last on top. Older ones are disconnected and deleted."""

    def __init__(self, size: QSize) -> None:
        super().__init__()
        self._stack = QStackedWidget(self)
        self._used: list[Key] = []
        self._screens: dict[Key, QWidget] = {}
        self.setCentralWidget(self._stack)
        self.resize(size)
        menu = self.menuBar().addMenu("&Screen")
        menu.addAction("&Back", QKeySequence("Alt+Left"), self.back)
        menu.addAction("&Save a picture …", QKeySequence("Ctrl+S"), self.save_picture)
        menu.addAction("&Full screen", QKeySequence("F11"), self.toggle_full_screen)
        menu.addSeparator()
        menu.addAction("&Quit", QKeySequence("Ctrl+Q"), self.close)

    @property
    def current(self) -> QWidget | None:
        """The screen that is shown, if any."""
        return self._stack.currentWidget()

    def go(self, name: str, macros: Mapping[str, str]) -> None:
        """Show a screen; one that can't be made is told in a box, and the present one stays."""
        key = (name, tuple(sorted(macros.items())))
        if key not in self._screens:
            try:
                screen = load(name, macros)
            except ScreenError as error:
                QMessageBox.warning(self, "No such screen", str(error))
                return
            self._screens[key] = screen
            self._stack.addWidget(screen)
        self._show(key)

    def back(self) -> None:
        """Show the screen that was shown before."""
        if len(self._used) > 1:
            self._show(self._used[-2])

    def save_picture(self) -> None:
        """Save what is shown as a PNG, where the user says."""
        screen = self.current
        if screen is None:
            return
        name = f"{screen.windowTitle()} {datetime.now():%Y-%m-%d %H-%M-%S}.png".replace("/", "-")
        path, _ = QFileDialog.getSaveFileName(self, "Save a picture", str(Path.home() / name), "PNG (*.png)")
        if path and not screen.grab().save(path):
            QMessageBox.warning(self, "Not saved", f"{path} could not be written")

    def toggle_full_screen(self) -> None:
        """Full screen, or back to a window."""
        if self.isFullScreen():
            self.showNormal()
        else:
            self.showFullScreen()

    def _show(self, key: Key) -> None:
        screen = self._screens[key]
        if key in self._used:
            self._used.remove(key)
        self._used.append(key)
        self._stack.setCurrentWidget(screen)
        self.setWindowTitle(screen.windowTitle())
        while len(self._used) > KEPT:
            oldest = self._screens.pop(self._used.pop(0))
            self._stack.removeWidget(oldest)
            discard(oldest)

    def close_screens(self) -> None:
        """Disconnect and delete all screens, before the application ends."""
        self.setUpdatesEnabled(False)
        self.hide()
        for screen in self._screens.values():
            self._stack.removeWidget(screen)
            discard(screen)
        self._screens.clear()
        self._used.clear()
