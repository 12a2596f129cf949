"""From one screen to another, in our own window or in PyDM's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

from pydm.display import ScreenTarget, load_file
from pydm.main_window import PyDMMainWindow
from qtpy.QtWidgets import QWidget

from screens.registry import find


@runtime_checkable
class Navigator(Protocol):
    """A window that shows one screen at a time."""

    def go(self, name: str, macros: Mapping[str, str]) -> None:
        """Show the screen `name`."""


def load(name: str, macros: Mapping[str, str]) -> QWidget:
    """Make the screen `name`; ScreenError when there is none or a macro is missing."""
    screen = find(name)
    screen.check(macros)
    return load_display(screen.file, macros)


def load_display(file: Path, macros: Mapping[str, str]) -> QWidget:
    """Make the display of a .py or .ui file."""
    # PyDM takes None for "only make it" and annotates int
    return cast(QWidget, load_file(str(file), macros=dict(macros), target=cast(int, None)))


def go(origin: QWidget, name: str, macros: Mapping[str, str]) -> None:
    """Show another screen where `origin` is shown; in a window of its own when that is no screen window."""
    window = origin.window()
    if isinstance(window, Navigator):
        window.go(name, macros)
    elif isinstance(window, PyDMMainWindow):
        window.open(str(find(name).file), macros=dict(macros))
    else:
        load_file(str(find(name).file), macros=dict(macros), target=ScreenTarget.DIALOG)
