"""Pictures of screens, made without a display. They wait for a condition, not for luck."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydm.data_plugins import plugin_for_address
from pydm.widgets.base import PyDMWidget
from qtpy.QtCore import QEvent, QEventLoop, QObject, QSize, Qt
from qtpy.QtWidgets import QApplication, QWidget

from screens.navigation import load
from screens.parts.pv import Pv
from screens.registry import ScreenError
from screens.runtime import discard


@dataclass(frozen=True)
class Picture:
    """A screen to be drawn and the file to draw it to."""

    file: Path
    screen: str
    macros: Mapping[str, str]


def disconnected(screen: QWidget) -> list[str]:
    """Names of the screen's PVs that have no connection, or no value yet."""
    plugin = plugin_for_address("ca://any")
    connections = plugin.connections if plugin else {}
    names: set[str] = set()
    for child in (screen, *screen.findChildren(QObject)):
        if isinstance(child, Pv) and child.optional:
            continue
        if isinstance(child, Pv):
            channels, value = [child.channel], child.value
        elif isinstance(child, PyDMWidget):
            channels, value = child.channels() or [], child.value
        else:
            continue
        for channel in channels:
            name = str(channel.address).removeprefix("ca://")
            connection = connections.get(name)
            if connection is None or not connection.connected or value is None:
                names.add(name)
    return sorted(names)


def process(seconds: float) -> None:
    """Let Qt work for a while."""
    end = time.monotonic() + seconds
    app = QApplication.instance()
    if app is None:
        raise ScreenError("no application")
    while (left := end - time.monotonic()) > 0:
        app.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, int(min(left, 0.05) * 1000))
        time.sleep(min(left, 0.01))


def wait_whole(screen: QWidget, timeout: float) -> tuple[list[str], str]:
    """Wait until all PVs of the screen have a value and it waits for nothing else.

    Returns what is still missing after `timeout` seconds: names of PVs, and what the screen itself waits for.
    """
    waiting = getattr(screen, "waiting", lambda: "")
    deadline = time.monotonic() + timeout
    while True:
        missing, reason = disconnected(screen), waiting()
        if (not missing and not reason) or time.monotonic() > deadline:
            return missing, reason
        process(0.05)


def take(picture: Picture, size: QSize, timeout: float, settle: float) -> tuple[list[str], str]:
    """Draw one screen and return what `wait_whole` said. OSError when the file can't be written."""
    screen = load(picture.screen, picture.macros)
    try:
        screen.setAttribute(Qt.WidgetAttribute.WA_DontShowOnScreen)
        screen.resize(size)
        screen.show()
        missing = wait_whole(screen, timeout)
        process(settle)
        save(screen, picture.file)
        return missing
    finally:
        discard(screen)


def save(screen: QWidget, file: Path) -> None:
    """Write what the screen shows now as a PNG; OSError when that fails."""
    # what the style sheet and the plots have put off is done before the picture is taken
    QApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest)
    file.parent.mkdir(parents=True, exist_ok=True)
    if not screen.grab().save(str(file), "PNG"):
        raise OSError(f"{file} could not be written")


def describe(missing: Iterable[str], total_shown: int = 3) -> str:
    """A few names, and how many more."""
    names = list(missing)
    rest = len(names) - total_shown
    return ", ".join(names[:total_shown]) + (f" and {rest} more" if rest > 0 else "")
