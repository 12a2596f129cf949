"""Qt and PyDM made ready: environment, checks that end in one clear line, and the application.

Nothing here imports Qt before the environment is set.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from screens import repeater
from screens.registry import STYLE_SHEET, ScreenError

if TYPE_CHECKING:
    from pydm import PyDMApplication
    from qtpy.QtGui import QPalette
    from qtpy.QtWidgets import QWidget

log = logging.getLogger(__name__)

_HINT = "on Debian or Ubuntu: apt install libegl1 libgl1 libxkbcommon0 libdbus-1-3 libfontconfig1 libxcb-cursor0"


def set_environment(offscreen: bool = False, archiver: str | None = None) -> None:
    """The environment that PyDM reads at its import. What the user has set already stays."""
    os.environ.setdefault("QT_API", "pyside6")
    os.environ.setdefault("PYDM_EPICS_LIB", "pyepics")
    os.environ.setdefault("PYDM_DEFAULT_PROTOCOL", "ca")
    os.environ.setdefault("PYDM_DISPLAYS_PATH", str(STYLE_SHEET.parent))
    if archiver:
        os.environ.setdefault("PYDM_ARCHIVER_URL", archiver)
    if offscreen:
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    repeater.provide()
    # PyDM starts `pyside6-uic`, which is beside this interpreter, by its bare name
    here = str(Path(sys.executable).parent)
    folders = os.environ.get("PATH", "").split(os.pathsep)
    if here not in folders:
        os.environ["PATH"] = os.pathsep.join([here, *folders])


def check_libraries() -> None:
    """ScreenError when PyDM, a Qt binding or one of Qt's system libraries is missing."""
    try:
        import PySide6.QtWidgets  # noqa: F401
    except ModuleNotFoundError as error:
        raise ScreenError(f"screens need {error.name}: pip install 'owlshift[screens]'") from error
    except ImportError as error:
        raise ScreenError(f"Qt can't be loaded: {error} ({_HINT})") from error
    try:
        import pydm  # noqa: F401
    except ModuleNotFoundError as error:
        raise ScreenError(f"screens need {error.name}: pip install 'owlshift[screens]'") from error


def check_display() -> None:
    """ScreenError when no window can be opened here.

    Qt ends the whole process when it has no display, so that another process tries first.
    """
    if sys.platform.startswith("linux") and not os.environ.get("QT_QPA_PLATFORM"):
        if not os.environ.get("DISPLAY") and not os.environ.get("WAYLAND_DISPLAY"):
            raise ScreenError("no display here; `owl screens shot DIR` writes pictures of the screens instead")
    code = "from PySide6.QtGui import QGuiApplication; QGuiApplication([])"
    try:
        probe = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        raise ScreenError("the display does not answer") from None
    if probe.returncode != 0:
        lines = [line for line in probe.stderr.splitlines() if line.strip()] or ["Qt gave no reason"]
        raise ScreenError(f"no window can be opened: {lines[0]}; `owl screens shot DIR` writes pictures instead")


def make_application(read_only: bool = False) -> PyDMApplication:
    """The PyDM application with the house style, without a window; ScreenError when there is no font at all."""
    from pydm import PyDMApplication
    from qtpy.QtCore import qInstallMessageHandler
    from qtpy.QtGui import QFontDatabase

    qInstallMessageHandler(_log_qt)
    app = PyDMApplication(use_main_window=False, read_only=read_only)
    app.setApplicationName("owlshift")
    if not QFontDatabase.families():
        raise ScreenError("no fonts are installed; on Debian or Ubuntu: apt install fonts-dejavu-core")
    app.setStyle("Fusion")
    app.setPalette(_palette())
    app.setStyleSheet(STYLE_SHEET.read_text(encoding="utf-8"))
    return app


def _palette() -> QPalette:
    """Dark, for what no style sheet reaches: ticks, arrows, scroll bars, file dialogs."""
    from qtpy.QtGui import QColor, QPalette

    role, group = QPalette.ColorRole, QPalette.ColorGroup
    palette = QPalette()
    for names, color in (
        ((role.Window, role.AlternateBase), "#12161a"),
        ((role.Base,), "#0b0e11"),
        ((role.Button,), "#34414d"),
        ((role.Highlight,), "#2f6fb0"),
        ((role.WindowText, role.Text, role.ButtonText, role.HighlightedText), "#e8edf2"),
    ):
        for name in names:
            palette.setColor(name, QColor(color))
    for name in (role.WindowText, role.Text, role.ButtonText):
        palette.setColor(group.Disabled, name, QColor("#6b7782"))
    return palette


def _log_qt(kind: object, context: object, message: str) -> None:
    """What Qt says goes to the log. The offscreen platform says of every window that it has no size hints."""
    if "propagateSizeHints" not in message:
        log.warning("Qt: %s", message)


def discard(widget: QWidget) -> None:
    """Disconnect a screen's PVs and delete it."""
    from pydm.utilities import close_widget_connections
    from qtpy.QtCore import QCoreApplication, QEvent

    close_widget_connections(widget)
    widget.close()
    widget.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def end(app: PyDMApplication) -> None:
    """Deliver what is still queued, so that no callback finds a widget that is gone."""
    from pydm.widgets.rules import RulesDispatcher

    with contextlib.suppress(RuntimeError):
        app.closeAllWindows()
        app.processEvents()
        # PyDM's rules have a thread, which must not be alive when Qt ends
        rules = RulesDispatcher().rules_engine
        rules.requestInterruption()
        rules.wait(5000)
