"""What stands beside the front-ends of a FELIX: where one of them is connected, and what the IOC says."""

from __future__ import annotations

from collections import deque
from datetime import datetime

from qtpy.QtWidgets import QFrame, QPlainTextEdit, QVBoxLayout, QWidget

from screens.parts.lines import Line
from screens.parts.pv import Pv
from screens.parts.runkey_data import Node, flag, scalar_text
from screens.parts.runkey_viewer import text_view
from screens.parts.table import FilteredTable
from screens.parts.widgets import caption

LINES = 500
"""Messages that the log keeps."""
EDGES_OF_INTEREST = ("rx", "tx", "enable", "locked", "path")


class LogPanel(QFrame):
    """What the IOC says, with the time at which it came; the newest below."""

    def __init__(self, prefix: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "panel")
        self.lines: deque[str] = deque(maxlen=LINES)
        self.text: QPlainTextEdit = text_view(self)
        self.text.setMaximumBlockCount(LINES)
        self.sources = [Pv(f"{prefix}{name}", self) for name in ("Msg", "IOC:Msg")]
        self._last: dict[str, str] = {}
        for pv in self.sources:
            pv.changed.connect(lambda pv=pv: self._take(pv))
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 4, 8, 6)
        column.setSpacing(2)
        column.addWidget(caption(f"Messages of {prefix}, since this screen was opened", self))
        column.addWidget(self.text, 1)

    def channels(self) -> list:
        """PyDM's tools find the PVs by this."""
        return [pv.channel for pv in self.sources]

    def _take(self, pv: Pv) -> None:
        text = pv.text if pv.connected else "disconnected"
        if pv.connected and pv.value is None:
            return
        if self._last.get(pv.name) == text or not text:
            return
        first = pv.name not in self._last
        self._last[pv.name] = text
        if first and text == "disconnected":
            return
        if text != "disconnected" and text in (self._last.get(other.name) for other in self.sources if other is not pv):
            return  # both PVs say the same thing
        line = f"{datetime.now():%H:%M:%S}  {' '.join(text.split())}"
        self.lines.append(line)
        self.text.appendPlainText(line)


class ConnectivityView(QFrame):
    """Where a front-end is: FELIX, optoboard, e-links, and all else that its edge says."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "panel")
        self.title = Line(self, "word", middle=True)
        self.table = FilteredTable(("What", "Value"), stretch=1, what="entries")
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 6, 8, 6)
        column.setSpacing(4)
        column.addWidget(self.title)
        column.addWidget(self.table, 1)

    def show_node(self, node: Node) -> None:
        """Show the place of a front-end."""
        self.title.show_text(f"Connectivity of {node.path}")
        rows = [("Front-end", node.name), ("Serial", node.serial), ("Chip", chip_of(node))]
        above, at = [], node.parent
        while at is not None and at.path not in ("", "/"):
            above.append((at.type or "object", at.name))
            at = at.parent
        rows += [(kind.capitalize(), name) for kind, name in above]
        names = {"rx": "Rx", "tx": "Tx", "enable": "Enabled", "locked": "Locked"}
        for key in (*EDGES_OF_INTEREST, *(key for key in node.edge if key not in EDGES_OF_INTEREST)):
            if key in node.edge:
                value = flag(node.edge, key) if key in ("enable", "locked") else scalar_text(node.edge[key])
                rows.append((names.get(key, key), value))
        rows += [(f"meta {key}", scalar_text(value)) for key, value in node.meta.items()]
        self.table.fill([(what, value) for what, value in rows if value], sortable=False)


def chip_of(node: Node) -> str:
    """The type of a front-end's chip, as far as the tree says it."""
    for meta in (node.meta, *(payload.meta for payload in node.payloads.values())):
        for key in ("chip", "chip_type", "chipType"):
            if meta.get(key):
                return str(meta[key])
    return ""
