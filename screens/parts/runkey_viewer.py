"""What an object of a runkey holds: itself, and each of its payloads in the form that people read."""

from __future__ import annotations

import json
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QFontDatabase
from qtpy.QtWidgets import (
    QButtonGroup,
    QFrame,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from screens.parts.lines import FlowLayout, Line
from screens.parts.owl import Answer, Owl
from screens.parts.runkey_data import Node, Payload, scalar_text, size_text
from screens.parts.runkey_json_view import JsonView
from screens.parts.runkey_maps import read_pixels
from screens.parts.runkey_pixels import PixelView
from screens.parts.table import FilteredTable
from screens.parts.widgets import restyle

OBJECT = ""
"""Stands for the object itself among its roles."""
TEXT_LIMIT = 200_000
HEX_LIMIT = 4096
LARGEST_JSON = 8 << 20
"""Bytes of JSON that are still made into a tree."""
FIRST = {"config": 0, "setpoints": 0, "source": 2}
"""The order of roles; those that are not here come between."""
SETPOINTS = ("PV", "Value", "Units", "Type")


def setpoint_rows(document: Any) -> list[tuple[str, ...]]:
    """The rows of a payload of setpoints; ValueError when it is none."""
    items = document.get("items") if isinstance(document, dict) else None
    if not isinstance(items, list):
        raise ValueError("no list of PVs")
    rows = []
    for item in items:
        if not isinstance(item, dict) or "pv" not in item:
            raise ValueError("an item without a PV")
        rows.append(
            (
                str(item["pv"]),
                number_text(item.get("value"), item.get("precision")),
                str(item.get("units") or ""),
                str(item.get("type") or ""),
            )
        )
    return rows


def number_text(value: Any, precision: Any = None) -> str:
    """A setpoint's value with the digits after the point that it is set with."""
    if isinstance(value, float) and isinstance(precision, int) and 0 <= precision <= 15:
        return f"{value:.{precision}f}" if abs(value) < 1e12 else scalar_text(value)
    return scalar_text(value)


def condition_rows(document: Any) -> list[tuple[str, ...]]:
    """The rows of a payload of conditions: PV, severity, status, and what was missing; ValueError when it is none."""
    items = document.get("items") if isinstance(document, dict) else None
    if not isinstance(items, dict):
        raise ValueError("no conditions")
    names = ("NO_ALARM", "MINOR", "MAJOR", "INVALID")
    rows: list[tuple[str, ...]] = []
    for pv, entry in items.items():
        severity, status = [*entry, "", ""][:2] if isinstance(entry, (list, tuple)) else ("", "")
        name = names[severity] if isinstance(severity, int) and 0 <= severity < len(names) else scalar_text(severity)
        rows.append((str(pv), name, scalar_text(status), ""))
    for pv, reason in dict(document.get("missing") or {}).items():
        rows.append((str(pv), "missing", "", scalar_text(reason)))
    return rows


def hex_dump(data: bytes) -> str:
    """The first bytes, sixteen a line, with what they are as characters."""
    lines = []
    for start in range(0, min(len(data), HEX_LIMIT), 16):
        part = data[start : start + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"{start:08x}  {part.hex(' '):47}  {text}")
    if len(data) > HEX_LIMIT:
        lines.append(f"… {size_text(len(data))} in all")
    return "\n".join(lines)


def text_view(parent: QWidget) -> QPlainTextEdit:
    """Text in letters of one width, to read and to copy."""
    view = QPlainTextEdit(parent)
    view.setReadOnly(True)
    view.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
    font = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
    font.setPixelSize(13)
    view.setFont(font)
    return view


class PayloadViewer(QFrame):
    """An object and its payloads; which one is shown is chosen by buttons above."""

    def __init__(self, owl: Owl, parent: QWidget | None = None, lane: str = "payload") -> None:
        super().__init__(parent)
        self.setProperty("role", "panel")
        self._owl = owl
        self._lane = lane
        self._runkey = ""
        self.node: Node | None = None
        self.role = OBJECT
        self.shown = ""
        """The role whose content is on the screen, None-like empty for the object; for tests and for `waiting`."""
        self.loading = False
        self.title = Line(self, "word", middle=True)
        self.facts = Line(self, "caption")
        self._row = FlowLayout()
        self.buttons: dict[str, QPushButton] = {}
        self._group = QButtonGroup(self)
        self.message = QLabel(self)
        self.message.setProperty("role", "message")
        self.message.setWordWrap(True)
        self.message.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.json = JsonView(self)
        self.table = FilteredTable(SETPOINTS, numbers=(1,), stretch=0, placeholder="filter: part of a PV", what="PVs")
        self.conditions = FilteredTable(
            ("PV", "Severity", "Status", "Missing because"), stretch=0, placeholder="filter: part of a PV", what="PVs"
        )
        self.conditions.model.color_of = _condition_color
        self.pixels = PixelView(self)
        self.text = text_view(self)
        self.stack = QStackedWidget(self)
        for widget in (self.message, self.json, self.table, self.conditions, self.pixels, self.text):
            self.stack.addWidget(widget)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 6, 8, 6)
        column.setSpacing(4)
        column.addWidget(self.title)
        column.addWidget(self.facts)
        column.addLayout(self._row)
        column.addWidget(self.stack, 1)
        self.clear("Choose an object to see what it holds")

    def clear(self, why: str) -> None:
        """Show nothing but a line."""
        self._owl.forget(self._lane)
        self.node = None
        self.loading = False
        self._fill_buttons([])
        self.title.show_text("")
        self.facts.show_text("")
        self._say(why)

    def show_node(self, runkey: str, node: Node, role: str | None = None) -> None:
        """Show an object of `runkey` (as `owl runkey` knows it) and one of its payloads.

        Without `role` it is the one that was shown last, or else the first that people read.
        """
        self._runkey = runkey
        self.node = node
        roles = sorted(node.payloads, key=lambda role: (FIRST.get(role, 1), role))
        self._fill_buttons(roles)
        self.title.show_text(node.path)
        serial = f" · serial {node.serial}" if node.serial else ""
        self.facts.show_text(f"{node.type}{serial} · hash {node.digest[:16]}", node.digest)
        if role is None:
            role = self.role if self.role in roles else (roles[0] if roles else OBJECT)
        self.show_role(role)

    def show_role(self, role: str) -> None:
        """Show a payload of the object, or the object itself for `OBJECT`."""
        node = self.node
        if node is None:
            return
        self.role = role
        if role in self.buttons:
            self.buttons[role].setChecked(True)
        if role == OBJECT or role not in node.payloads:
            self._owl.forget(self._lane)
            self.loading = False
            self.json.show_document(node.as_document())
            self._show(self.json)
            return
        payload = node.payloads[role]
        self.loading = True
        self._say(f"reading {role} of {node.path} …")
        self._owl.ask(
            ["get", self._runkey, node.path, role],
            lambda answer: self._take(node, payload, answer),
            lane=self._lane,
            keep=f"payload {payload.sha256}" if payload.sha256 else "",
        )

    def _take(self, node: Node, payload: Payload, answer: Answer) -> None:
        if node is not self.node:
            return
        self.loading = False
        if answer.error:
            self._say(answer.error, "fault")
            return
        try:
            self._show_content(payload, answer.data)
        except ValueError as error:
            self._say(f"{payload.role} can't be shown: {error}", "fault")

    def _show_content(self, payload: Payload, data: bytes) -> None:
        if payload.format == "pixels":
            self.pixels.show_pixels(read_pixels(data, payload.meta))
            self._show(self.pixels)
        elif payload.format == "json" and len(data) <= LARGEST_JSON:
            self._show_json(payload, json.loads(data))
        elif payload.format in ("json", "text") or _is_text(data[:4096]):
            text = data[:TEXT_LIMIT].decode("utf-8", "replace")
            self.text.setPlainText(text if len(data) <= TEXT_LIMIT else f"{text}\n… {size_text(len(data))} in all")
            self._show(self.text)
        else:
            self.text.setPlainText(hex_dump(data))
            self._show(self.text)

    def _show_json(self, payload: Payload, document: Any) -> None:
        if payload.type == "setpoints":
            self.table.fill(setpoint_rows(document))
            self._show(self.table)
        elif payload.type == "conditions":
            self.conditions.fill(condition_rows(document))
            self._show(self.conditions)
        else:
            self.json.show_document(document)
            self._show(self.json)

    def _show(self, widget: QWidget) -> None:
        self.stack.setCurrentWidget(widget)
        self.shown = self.role

    def _say(self, text: str, state: str = "") -> None:
        self.message.setText(text)
        restyle(self.message, severity=2 if state == "fault" else 0)
        self.stack.setCurrentWidget(self.message)

    def _fill_buttons(self, roles: list[str]) -> None:
        for button in self.buttons.values():
            self._group.removeButton(button)
            self._row.removeWidget(button)
            button.setParent(None)
            button.deleteLater()
        self.buttons = {}
        if self.node is None:
            return
        for role in (*roles, OBJECT):
            label = f"{_elided(role, 14)} {size_text(self.node.payloads[role].size)}" if role else "object"
            button = QPushButton(label, self)
            button.setCheckable(True)
            button.setProperty("role", "span")
            button.setToolTip(f"{role}: {self.node.payloads[role].sha256}" if role else "The object itself")
            button.clicked.connect(lambda _=False, role=role: self.show_role(role))
            self._group.addButton(button)
            self._row.addWidget(button)
            self.buttons[role] = button


def _condition_color(row: Any) -> str:
    return {"MINOR": "warning", "MAJOR": "fault", "INVALID": "invalid", "missing": "gone"}.get(row[1], "")


def _is_text(data: bytes) -> bool:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        if error.start < len(data) - 4:
            return False
        text = data[: error.start].decode()
    return all(char.isprintable() or char in "\r\n\t" for char in text)


def _elided(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most // 2]}…{text[-(most - most // 2 - 1) :]}"
