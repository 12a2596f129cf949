"""A screen in a process of its own, driven from a test by lines of JSON: Qt and libca stay out of pytest.

    python screen_driver.py NAME MACROS_AS_JSON WIDTHxHEIGHT

A request is `{"code": TEXT, "wait": SECONDS}`. `code` is an expression, evaluated with `display`, `window`, `find`,
`cut`, `click` and `shot` at hand; with `wait`, until it is true. The answer is `{"value": …}` or `{"error": TEXT}`.
What Qt swallows (an exception in a slot, a warning) is an error of the next request.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
import warnings
from pathlib import Path

from screens import runtime

problems: list[str] = []


def main() -> int:
    runtime.set_environment(offscreen=True)
    app = runtime.make_application()
    from qtpy import QtWidgets
    from qtpy.QtCore import QSize, QSocketNotifier, Qt, qInstallMessageHandler
    from qtpy.QtTest import QTest

    from screens.parts.widgets import Message
    from screens.shot import process, save
    from screens.window import ScreenWindow

    sys.excepthook = lambda kind, error, trace: problems.append("".join(traceback.format_exception(kind, error, trace)))
    warnings.simplefilter("error")
    qInstallMessageHandler(lambda kind, context, text: None if "propagateSize" in text else problems.append(text))

    name, macros, size = sys.argv[1:4]
    width, height = map(int, size.split("x"))
    window = ScreenWindow(QSize(width, height))
    window.menuBar().hide()  # so that the screen has the whole size
    begun = time.monotonic()
    window.go(name, json.loads(macros))
    window.show()
    app.processEvents()
    made = time.monotonic() - begun

    def cut(screen) -> list[str]:
        """Labels and buttons whose text does not fit into them."""
        found = []
        for kind in (QtWidgets.QLabel, QtWidgets.QPushButton, QtWidgets.QCheckBox):
            for widget in screen.findChildren(kind):
                if not widget.isVisible() or isinstance(widget, Message) or not widget.text():
                    continue
                if isinstance(widget, QtWidgets.QLabel) and widget.wordWrap():
                    short = widget.heightForWidth(widget.width()) > widget.height()
                else:
                    short = widget.sizeHint().width() > widget.width() or widget.sizeHint().height() > widget.height()
                if short:
                    found.append(f"{widget.text()!r} {widget.size().toTuple()} needs {widget.sizeHint().toTuple()}")
        return found

    def find(text: str):
        """The visible button whose text begins with `text`."""
        return next(
            b for b in window.findChildren(QtWidgets.QPushButton) if b.isVisible() and b.text().startswith(text)
        )

    def click(widget) -> bool:
        QTest.mouseClick(widget, Qt.MouseButton.LeftButton)
        return True

    def shot(file: str, width: int, height: int) -> tuple[list[int], list[str]]:
        """Write a picture of this size; the size that the screen then has, and what is cut in it."""
        window.resize(width, height)
        process(0.3)
        screen = window.current
        if screen is None:
            raise LookupError("no screen")
        save(screen, Path(file))
        return [screen.width(), screen.height()], cut(screen)

    def question():
        return next((box for box in window.findChildren(QtWidgets.QMessageBox) if box.isVisible()), None)

    def answer(which: str) -> bool:
        box = question()
        if box is None:
            raise LookupError("no question is asked")
        return click(next(button for button in box.buttons() if button.objectName() == which))

    place = dict(locals()) | {"app": app, "Qt": Qt, "QTest": QTest}

    def evaluate(code: str, wait: float | None):
        place["display"] = window.current
        deadline = time.monotonic() + (wait or 0)
        while True:
            value = eval(code, place)
            if wait is None or value:
                return value
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {wait} s: {code}")
            process(0.05)

    pending = bytearray()

    def read() -> None:
        chunk = os.read(0, 65536)
        if not chunk:
            app.quit()
            return
        pending.extend(chunk)
        while b"\n" in pending:
            line, _, rest = bytes(pending).partition(b"\n")
            pending[:] = rest
            request = json.loads(line)
            try:
                value = evaluate(request["code"], request.get("wait"))
                reply: dict[str, object] = {"value": value}
            except Exception as error:
                reply = {"error": f"{type(error).__name__}: {error}"}
            if problems:
                reply = {"error": "; ".join(problems)}
                problems.clear()
            print(json.dumps(reply, default=repr), flush=True)

    notifier = QSocketNotifier(0, QSocketNotifier.Type.Read, app)
    notifier.activated.connect(read)
    print(json.dumps({"value": made}), flush=True)
    code = app.exec()
    window.close_screens()
    runtime.end(app)
    for problem in problems:
        print(problem, file=sys.stderr)
    return code or bool(problems)


if __name__ == "__main__":
    sys.exit(main())
