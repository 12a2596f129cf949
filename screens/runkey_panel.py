"""The stand and a runkey: store it, compare it, bring it back; how that goes, and what came of it."""

from __future__ import annotations

from pydm import Display
from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import (
    QFrame,
    QGridLayout,
    QLabel,
    QPushButton,
    QSplitter,
    QStackedWidget,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from screens.parts.header import Header
from screens.parts.pv import Pv
from screens.parts.runkey_controls import (
    Column,
    Entry,
    Fact,
    Moment,
    Progress,
    Result,
    RunButton,
    RunkeyChoice,
    RunState,
)
from screens.parts.runkey_links import links
from screens.parts.runkey_report import Report, kind_of, read_report
from screens.parts.runkey_viewer import text_view
from screens.parts.table import FilteredTable, Row
from screens.parts.widgets import CommandButton, Reading, Text, caption, restyle, stacked

HEADER = ("PV", "On the stand", "In the runkey", "Remark")


class ReportView(QWidget):
    """A text PV with a line for each PV, as a table with a filter; or as it is."""

    def __init__(self, name: str, empty: str, header: tuple[str, ...] = HEADER, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.pv = Pv(name, self)
        self._empty = empty
        self._shown: str | None = None
        self.raw = False
        self.report = Report()
        self.table = FilteredTable(
            header, stretch=3, placeholder="filter: PV, value, remark", what="lines", parent=self
        )
        self.table.model.color_of = _color_of
        self.text = text_view(self)
        self.note = QLabel(self)
        self.note.setProperty("role", "message")
        self.note.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.note.setWordWrap(True)
        self.head = QLabel(self)
        self.head.setProperty("role", "caption")
        self.head.setWordWrap(True)
        self.head.setTextFormat(Qt.TextFormat.PlainText)
        self.head.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.stack = QStackedWidget(self)
        for widget in (self.note, self.table, self.text):
            self.stack.addWidget(widget)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 6, 0, 0)
        column.addWidget(self.head)
        column.addWidget(self.stack, 1)
        self.pv.changed.connect(self._show)
        self._show()

    def channels(self) -> list:
        """PyDM's tools find the PV by this."""
        return [self.pv.channel]

    def show_text(self, raw: bool) -> None:
        """As a text, or as a table."""
        self.raw = raw
        if self._shown:
            self.stack.setCurrentWidget(self._page())
            self.head.setVisible(not raw and bool(self.report.head))

    def _page(self) -> QWidget:
        return self.text if self.raw else self.table if self.report.rows else self.note

    def _show(self) -> None:
        text = self.pv.text if self.pv.connected else None
        if text is not None and text == self._shown:
            return
        self._shown = text
        self.report = read_report(text or "")
        self.head.setText(self.report.title)
        self.text.setPlainText(text or "")
        self.table.fill(self.report.rows)
        if not text:
            self.note.setText(f"Disconnected: {self.pv.name}" if text is None else self._empty)
            self.stack.setCurrentWidget(self.note)
            return
        self.note.setText("Nothing to list.")
        self.show_text(self.raw)


class RunkeyPanel(Display):
    """Macros: P, the prefix of the runkey IOC (``DEMO:RK:``). SUBSYSTEMS is for the way back to the top screen."""

    def __init__(self, parent=None, args=None, macros: dict[str, str] | None = None) -> None:
        super().__init__(parent=parent, args=args, macros=macros)
        macros = macros or {}
        self.prefix = macros.get("P", "")
        self.setWindowTitle(f"Apply runkeys {self.prefix}")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setProperty("role", "screen")
        self.header = Header(
            self.prefix, "Apply runkeys", links(macros, "runkey_panel"), self, macros.get("SUBSYSTEMS", "")
        )
        self.state = RunState(f"{self.prefix}State", self)
        self.mode = Text(f"{self.prefix}Mode", self)
        self.progress = Progress(self.prefix, self)
        self.message = Result(f"{self.prefix}Msg", self)
        self.differences = Reading(f"{self.prefix}DiffCount", self, role="medium", units=False)

        side = QWidget(self)
        side.setProperty("role", "screen")
        column = QVBoxLayout(side)
        column.setContentsMargins(0, 0, 4, 0)
        column.setSpacing(6)
        column.addWidget(self._selected_panel())
        column.addWidget(self._snapshot_panel())
        column.addWidget(self._applied_panel())
        column.addWidget(self._database_panel())
        column.addStretch(1)
        scroll = Column(side, self)

        self.report = ReportView(f"{self.prefix}Report", "Nothing was compared or applied yet.", parent=self)
        self.plan = ReportView(
            f"{self.prefix}Plan",
            "No plan yet: a dry run says what Apply would write, in its order.",
            ("PV", "Now", "Will be", "Remark"),
            self,
        )
        self.tabs = QTabWidget(self)
        self.tabs.addTab(self.report, "Report")
        self.tabs.addTab(self.plan, "Plan")
        self.raw = QPushButton("As text", self)
        self.raw.setCheckable(True)
        self.raw.setProperty("role", "span")
        self.raw.toggled.connect(lambda on: [view.show_text(on) for view in (self.report, self.plan)])
        self.tabs.setCornerWidget(self.raw)
        self.dry_run.clicked.connect(lambda: self.tabs.setCurrentWidget(self.plan))
        for button in (self.compare, self.snapshot, self.apply):
            button.clicked.connect(lambda: self.tabs.setCurrentWidget(self.report))

        right = QWidget(self)
        inner = QVBoxLayout(right)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(6)
        inner.addWidget(self._state_panel())
        inner.addWidget(self.tabs, 1)
        body = QSplitter(Qt.Orientation.Horizontal, self)
        body.setChildrenCollapsible(False)
        body.addWidget(scroll)
        body.addWidget(right)
        body.setStretchFactor(1, 1)
        body.setSizes([390, 870])
        whole = QVBoxLayout(self)
        whole.setContentsMargins(8, 6, 8, 8)
        whole.setSpacing(6)
        whole.addWidget(self.header)
        whole.addWidget(body, 1)
        self.state.changed.connect(self._refresh)
        self.mode.pv.changed.connect(self._refresh)
        self.choice.pv.changed.connect(self._refresh)
        self._refresh()

    def minimumSizeHint(self) -> QSize:
        """So that it fits on small displays, too."""
        return QSize(760, 480)

    def _panel(self, title: str) -> tuple[QFrame, QGridLayout]:
        panel = QFrame(self)
        panel.setProperty("role", "panel")
        grid = QGridLayout(panel)
        grid.setContentsMargins(12, 8, 12, 10)
        grid.setHorizontalSpacing(10)
        grid.setVerticalSpacing(6)
        label = QLabel(title, panel)
        label.setProperty("role", "word")
        grid.addWidget(label, 0, 0, 1, 4)
        return panel, grid

    def _selected_panel(self) -> QFrame:
        panel, grid = self._panel("Runkey to compare with, and to apply")
        self.choice = RunkeyChoice(self.prefix, panel)
        self.refresh = CommandButton(f"{self.prefix}Refresh", "⟳", panel, role="span")
        self.hash = Fact(f"{self.prefix}SelectedHash", panel, role="caption", empty="no runkey is selected")
        self.comment = Entry(f"{self.prefix}Comment", "why (kept with it)", 1000, True, panel)
        self.compare = RunButton(f"{self.prefix}Compare", "Compare", panel, self._why_not)
        self.dry_run = RunButton(f"{self.prefix}DryRun", "Dry run", panel, self._why_not)
        self.apply = RunButton(
            f"{self.prefix}Apply",
            "Apply …",
            panel,
            self._why_not_write,
            before=self.comment_first,
            role="go",
            question=self._apply_question,
        )
        self.abort = RunButton(f"{self.prefix}Abort", "Abort", panel, self._nothing_runs, role="down")
        grid.addWidget(self.choice, 1, 0, 1, 3)
        grid.addWidget(self.refresh, 1, 3)
        grid.addWidget(self.hash, 2, 0, 1, 4)
        grid.addWidget(self.comment, 3, 0, 1, 4)
        grid.addWidget(self.compare, 4, 0, 1, 2)
        grid.addWidget(self.dry_run, 4, 2, 1, 2)
        grid.addWidget(self.apply, 5, 0, 1, 2)
        grid.addWidget(self.abort, 5, 2, 1, 2)
        for column in (0, 2):
            grid.setColumnStretch(column, 1)
        return panel

    def _snapshot_panel(self) -> QFrame:
        panel, grid = self._panel("Store the stand as it is")
        self.name = Entry(f"{self.prefix}SnapshotName", "name; empty: by date and time", 39, False, panel)
        self.snapshot = RunButton(
            f"{self.prefix}Snapshot", "Snapshot", panel, self._no_database, before=self._name_first
        )
        self.missing = Reading(f"{self.prefix}Missing", panel, role="text", units=False)
        grid.addWidget(self.name, 1, 0, 1, 2)
        grid.addWidget(self.snapshot, 1, 2, 1, 2)
        grid.addWidget(caption("PVs that the last one could not read", panel), 2, 0, 1, 2)
        grid.addWidget(self.missing, 2, 2, 1, 2)
        grid.setColumnStretch(0, 1)
        return panel

    def _applied_panel(self) -> QFrame:
        panel, grid = self._panel("On the stand")
        self.applied = Fact(f"{self.prefix}Applied", panel, role="medium", empty="no runkey")
        self.applied_result = Result(f"{self.prefix}AppliedResult", panel)
        self.applied_by = Fact(f"{self.prefix}AppliedBy", panel, empty="–")
        self.applied_at = Moment(f"{self.prefix}AppliedAt", panel, empty="–")
        self.applied_hash = Fact(f"{self.prefix}AppliedHash", panel, role="caption", empty="–")
        grid.addWidget(self.applied, 1, 0, 1, 4)
        grid.addWidget(self.applied_result, 2, 0, 1, 4)
        for row, (label, widget) in enumerate(
            (("By", self.applied_by), ("At", self.applied_at), ("Hash", self.applied_hash)), 3
        ):
            grid.addWidget(caption(label, panel), row, 0)
            grid.addWidget(widget, row, 1, 1, 3)
        grid.setColumnStretch(1, 1)
        return panel

    def _database_panel(self) -> QFrame:
        panel, grid = self._panel("Databases")
        self.connected = Text(f"{self.prefix}DbConn", panel, role="word")
        self.latency = Reading(f"{self.prefix}DbLatency", panel, role="text")
        self.dirty = Reading(f"{self.prefix}StageDirty", panel, role="text", units=False)
        self.commit = RunButton(
            f"{self.prefix}Commit",
            "Commit the selected runkey …",
            panel,
            self._why_not_write,
            before=self.comment_first,
            question=lambda: (
                f"Commit runkey {self.choice.pv.text!r} to the backend?\n\nWhat is committed never changes any more."
            ),
        )
        grid.addLayout(stacked(caption("Connection", panel), self.connected), 1, 0)
        grid.addLayout(stacked(caption("Answers in", panel), self.latency), 1, 1)
        grid.addLayout(stacked(caption("Not committed", panel), self.dirty), 1, 2)
        grid.addWidget(self.commit, 2, 0, 1, 3)
        for column in range(3):
            grid.setColumnStretch(column, 1)
        return panel

    def _state_panel(self) -> QFrame:
        panel = QFrame(self)
        panel.setProperty("role", "panel")
        grid = QGridLayout(panel)
        grid.setContentsMargins(12, 8, 12, 8)
        grid.setHorizontalSpacing(14)
        grid.addWidget(self.state, 0, 0)
        grid.addWidget(self.progress, 0, 1)
        self.differences.setMinimumWidth(70)
        self.differences.setToolTip("Settings of the stand that were not as in the runkey, at the last Compare")
        count = stacked(caption("Differences", panel), self.differences)
        grid.addLayout(count, 0, 2)
        grid.addLayout(stacked(caption("Mode", panel), self.mode), 0, 3)
        grid.addWidget(self.message, 1, 0, 1, 4)
        grid.setColumnStretch(1, 1)
        return panel

    def comment_first(self) -> None:
        """What was typed belongs to the command that follows."""
        self.comment.send()

    def _name_first(self) -> None:
        self.name.send()
        self.comment.send()

    def _selected(self) -> str:
        pv = self.choice.pv
        return pv.text if pv.connected else ""

    def _no_database(self) -> str:
        if self.state.busy:
            return "A command is under way"
        return "No database" if self.state.pv.connected and self.state.pv.text == "Offline" else ""

    def _why_not(self) -> str:
        return self._no_database() or ("" if self._selected() else "No runkey is selected")

    def _why_not_write(self) -> str:
        operation = self.mode.pv.connected and self.mode.pv.text == "Operation"
        return self._why_not() or ("Mode is Operation" if operation else "")

    def _nothing_runs(self) -> str:
        return "" if self.state.busy else "Nothing is under way"

    def _apply_question(self) -> str:
        self.comment_first()
        count = self.differences.value if self.differences.alarmSeverity < 3 else None
        known = f"At the last Compare {count} settings were different." if isinstance(count, int) else ""
        return (
            f"Bring the stand to what runkey {self._selected()!r} says?\n\n"
            f"{known} A dry run shows what would be written, in its order.\n"
            "What fails is rolled back."
        ).replace("\n\n ", "\n\n")

    def _refresh(self) -> None:
        for button in (self.compare, self.dry_run, self.apply, self.abort, self.snapshot, self.commit):
            button.refresh()
        restyle(self.choice, empty=not self._selected())


def _color_of(row: Row) -> str:
    return kind_of((row[0], row[1], row[2], row[3]))
