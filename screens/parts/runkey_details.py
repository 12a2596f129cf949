"""The history of a runkey, and its tags, validity and size."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal  # pyright: ignore[reportPrivateImportUsage]
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from screens.parts.runkey_data import Runkey, size_text
from screens.parts.table import FilteredTable
from screens.parts.widgets import caption
from screens.parts.words import when


def reference(entry: Runkey, entries: list[Runkey]) -> str:
    """What `owl runkey` knows a runkey by: its name; with its database before it where both have the name."""
    both = sum(other.name == entry.name for other in entries) > 1
    plain = not both and not entry.name.startswith("-") and ":" not in entry.name
    return entry.name if plain else f"{entry.where}:{entry.name}"


class LogView(QWidget):
    """The revisions, newest first. `compare` asks for the difference of two."""

    compare = Signal(str, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.shown: tuple[str, str] | None = None
        self._names: list[str] = []
        self.table = FilteredTable(
            ("When", "Rev", "What", "Who", "Why", "Runkey", "Hash"), numbers=(1,), stretch=4, what="revisions"
        )
        self.note = caption("", self)
        self.button = QPushButton("Compare with the one before", self)
        self.button.setProperty("role", "span")
        self.button.setEnabled(False)
        self.button.clicked.connect(self._compare)
        self.table.chosen.connect(lambda row: self.button.setEnabled(0 <= row < len(self._names) - 1))
        foot = QHBoxLayout()
        foot.addWidget(self.note, 1)
        foot.addWidget(self.button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 6, 0, 0)
        column.addWidget(self.table, 1)
        column.addLayout(foot)

    def clear(self) -> None:
        """Show nothing."""
        self.shown = None
        self._names = []
        self.table.fill([])
        self.say("")

    def say(self, text: str) -> None:
        """A line below the table."""
        self.note.setText(text)

    def show_log(self, entry: Runkey, document: Any) -> None:
        """The answer of `log NAME --json`; raises what a wrong form makes it raise."""
        revisions = list(document["revisions"])
        rows = [
            (
                when(str(one["created"])),
                str(one["number"]),
                str(one.get("action") or ""),
                str(one.get("author") or ""),
                str(one.get("comment") or ""),
                str(one["runkey"]),
                str(one.get("digest") or "")[:12],
            )
            for one in revisions
        ]
        self._names = [f"{one.get('where') or entry.where}:{one['runkey']}@{one['number']}" for one in revisions]
        self.table.fill(rows)
        self.shown = entry.key
        self.say("")

    def _compare(self) -> None:
        row = self.table.current()
        if 0 <= row < len(self._names) - 1:
            self.compare.emit(self._names[row + 1], self._names[row])


class TagsView(QWidget):
    """How large it is, what kinds of objects are in it, its tags and from when to when they hold."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.shown: tuple[str, str] | None = None
        self.facts = QLabel(self)
        self.facts.setProperty("role", "text")
        self.facts.setWordWrap(True)
        self.tags = FilteredTable(("Tag", "Type", "Who", "When", "Comment"), stretch=4, what="tags")
        self.validity = FilteredTable(
            ("Valid from", "to", "Tag", "Object", "Payload", "Who"), stretch=3, what="intervals of validity"
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 6, 0, 0)
        column.addWidget(self.facts)
        column.addWidget(self.tags, 3)
        column.addWidget(self.validity, 2)

    def clear(self) -> None:
        """Show nothing."""
        self.shown = None
        self.facts.setText("")
        self.tags.fill([])
        self.validity.fill([])

    def say(self, text: str) -> None:
        """A line in the place of the facts."""
        self.facts.setText(text)

    def show_facts(self, entry: Runkey, document: Any) -> None:
        """The answer of `show NAME --json`; raises what a wrong form makes it raise."""
        self.tags.fill(
            [
                (
                    str(tag["name"]),
                    str(tag.get("type") or ""),
                    str(tag.get("author") or ""),
                    when(str(tag.get("created") or "")),
                    str(tag.get("comment") or ""),
                )
                for tag in document.get("tags") or ()
            ]
        )
        self.validity.fill(
            [
                (
                    when(str(one["from"])),
                    when(str(one["to"])) if one.get("to") else "until further notice",
                    str(one.get("tag") or ""),
                    str(one.get("path") or ""),
                    str(one.get("role") or ""),
                    str(one.get("author") or ""),
                )
                for one in document.get("validity") or ()
            ]
        )
        self.facts.setText("\n".join(facts(document)))
        self.shown = entry.key


def facts(document: Any) -> list[str]:
    """What is in a runkey, in lines."""
    lines = [
        f"{int(document.get('objects') or 0):,} objects, {int(document.get('payloads') or 0):,} payloads, "
        f"{size_text(float(document.get('bytes') or 0))}, {int(document.get('revisions') or 0):,} revisions"
    ]
    for title, key in (("Objects", "types"), ("Payloads", "roles"), ("Setpoints", "setpoints")):
        counts = dict(document.get(key) or {})
        if counts:
            lines.append(f"{title}: {', '.join(f'{count:,} {name}' for name, count in counts.items())}")
    comment = str((document.get("runkey") or {}).get("comment") or "")
    return lines + ([f"Why: {comment}"] if comment else [])
