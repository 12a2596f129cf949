"""Runkeys: which there are, what is in them, who made them and why, and how two of them differ."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QPushButton,
    QSplitter,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from screens.parts import screen
from screens.parts.lines import Line
from screens.parts.owl import Answer
from screens.parts.pv import Pv
from screens.parts.runkey_controls import Fact
from screens.parts.runkey_data import Node, Runkey, Tree, read_list, read_tree
from screens.parts.runkey_details import LogView, TagsView, reference
from screens.parts.runkey_diff import DiffView
from screens.parts.runkey_links import links
from screens.parts.runkey_list import RunkeyList, place
from screens.parts.runkey_tree import ObjectsView
from screens.parts.runkey_viewer import PayloadViewer
from screens.parts.widgets import caption, restyle, stacked
from screens.parts.words import read, when

FIRST_DEPTH = 2
WHOLE_UP_TO = 3000
"""Objects of a tree that is read as a whole; of a larger one what is below FIRST_DEPTH is read when it is opened."""


class RunkeyBrowser(screen.SubsystemScreen):
    """Macros: P, the prefix of the runkey IOC (``DEMO:RK:``).

    RUNKEY is the name of the one that is shown at first.
    """

    def __init__(self, parent=None, args=None, macros: dict[str, str] | None = None) -> None:
        super().__init__("Runkeys", links(macros or {}, "runkey"), "runkey", parent, args, macros)
        self._first = self.given.get("RUNKEY", "")
        self.runkey: Runkey | None = None
        self.tree_of = ""
        """The hash of the runkey whose tree is shown."""
        self._listed = False

        self.list = RunkeyList(self)
        self.title = Line(self, "alias", middle=True)
        self.subtitle = Line(self, "caption")
        self.selected_pv = Pv(f"{self.prefix}Selected", self)
        self.select = QPushButton("Select for apply", self)
        self.select.setProperty("role", "go")
        self.select.clicked.connect(self.select_for_apply)
        self.selected = Fact(f"{self.prefix}Selected", self, role="word")
        self.selected.setMinimumWidth(90)
        self.tree = ObjectsView(self)
        self.viewer = PayloadViewer(self.owl, self)
        self.log = LogView(self)
        self.tags = TagsView(self)
        self.diff = DiffView(self.owl, self)
        self.tabs = QTabWidget(self)
        self._lay_out()

        self.list.chosen.connect(self._choose)
        self.list.refresh.connect(self.read_list)
        self.tree.chosen.connect(self._show_object)
        self.tree.objects.wanted.connect(self._read_below)
        self.log.compare.connect(self._compare_revisions)
        self.tabs.currentChanged.connect(lambda _: self._fill_tab())
        self.owl.busy.connect(self._show_busy)
        self.selected_pv.changed.connect(self._show_select)
        self._show_select()
        self._show_title()
        self.read_list()

    def channels(self) -> list:
        """PyDM's tools find the PV by this."""
        return [self.selected_pv.channel]

    def waiting(self) -> str:
        """What must still come before the screen is whole; empty when it is."""
        return self.owl.pending() or ("" if self._listed else "the list of runkeys")

    def _lay_out(self) -> None:
        head = QFrame(self)
        head.setProperty("role", "panel")
        row = QHBoxLayout(head)
        row.setContentsMargins(10, 4, 10, 4)
        row.setSpacing(12)
        row.addLayout(stacked(self.title, self.subtitle), 3)
        row.addLayout(stacked(caption("Selected for apply", head), self.selected), 1)
        row.addWidget(self.select)
        self.busy = caption("", self)
        inside = QSplitter(Qt.Orientation.Horizontal, self)
        inside.setChildrenCollapsible(False)
        inside.addWidget(self.tree)
        inside.addWidget(self.viewer)
        inside.setStretchFactor(0, 2)
        inside.setStretchFactor(1, 3)
        inside.setSizes([410, 480])
        self.inside = inside
        for title, page in (
            ("Objects", inside),
            ("Log", self.log),
            ("Facts, tags", self.tags),
            ("Difference", self.diff),
        ):
            self.tabs.addTab(page, title)
        self.tabs.setCornerWidget(self.busy)
        right = QWidget(self)
        column = QVBoxLayout(right)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addWidget(head)
        column.addWidget(self.tabs, 1)
        body = QSplitter(Qt.Orientation.Horizontal, self)
        body.setChildrenCollapsible(False)
        body.addWidget(self.list)
        body.addWidget(right)
        body.setStretchFactor(0, 0)
        body.setStretchFactor(1, 1)
        body.setSizes([350, 900])
        self.list.setMinimumWidth(200)
        self.viewer.setMinimumWidth(240)
        self.tree.setMinimumWidth(160)
        self.body.addWidget(body, 1)

    def read_list(self) -> None:
        """Ask for the list anew."""
        self.owl.ask(["list", "--json"], self._take_list, lane="list")

    def select_for_apply(self) -> None:
        """Make the runkey that is shown the one that the IOC's commands act on."""
        if self.runkey is not None:
            self.selected_pv.put(self.runkey.name)

    def _take_list(self, answer: Answer) -> None:
        self._listed = True
        try:
            entries, databases = ([], []) if answer.error else read(read_list, answer.document())
        except ValueError as error:
            answer = Answer(error=str(error))
            entries, databases = [], []
        reasons = [f"{one.where}: {one.reason or 'does not answer'}" for one in databases if not one.ok]
        self.show_error(answer.error or " · ".join(reasons))
        if answer.error:
            return  # what was there stays: it was true a moment ago, and the line above says that it is no news
        self.list.fill(entries)
        self.diff.set_names([reference(entry, entries) for entry in self.list.model.all])
        current = self.list.current
        if current is None:
            if not (self._first and self.list.select(self._first)) and entries:
                self.list.view.setCurrentIndex(self.list.model.index(0))
            self._first = ""
        elif self.runkey is None or current.digest != self.runkey.digest:
            self._choose(current)
        if not entries:
            self.runkey = None
            self._show_title()
            self.viewer.clear(
                "There are no runkeys yet. A snapshot of the stand makes one (Panel), or an import:\nowl runkey import"
            )

    def _choose(self, entry: Runkey) -> None:
        self.runkey = entry
        self._show_title()
        self._show_select()
        self.diff.set_first(self._name())
        self.viewer.clear("reading …")
        self.log.clear()
        self.tags.clear()
        self.owl.ask(
            ["tree", self._name(), "--json", "--depth", str(FIRST_DEPTH)],
            lambda answer: self._take_tree(entry, answer, last=False),
            lane="tree",
            keep=f"tree {FIRST_DEPTH} {entry.where} {entry.name} {entry.digest}",
        )
        self._fill_tab()

    def _name(self) -> str:
        return reference(self.runkey, self.list.model.all) if self.runkey else ""

    def _take_tree(self, entry: Runkey, answer: Answer, last: bool) -> None:
        if entry is not self.runkey:
            return
        try:
            tree = read(read_tree, self._document(answer))
        except ValueError as error:
            self.viewer.clear(str(error))
            self.show_error(str(error))
            return
        self.tree_of = tree.runkey.digest
        self._show_size(tree)
        self.tree.show_tree(tree.root)
        if not last and tree.objects <= WHOLE_UP_TO and any(node.more for node in tree.root.walk()):
            self.owl.ask(
                ["tree", self._name(), "--json"],
                lambda answer: self._take_tree(entry, answer, last=True),
                lane="tree",
                keep=f"tree 0 {entry.where} {entry.name} {entry.digest}",
            )

    def _read_below(self, node: Node) -> None:
        entry = self.runkey
        if entry is None:
            return

        def take(answer: Answer) -> None:
            if entry is not self.runkey:
                return
            try:
                found = read(read_tree, self._document(answer)).root
            except ValueError as error:
                self.tree.objects.refused(node.path)
                self.show_error(str(error))
                return
            self.tree.objects.graft(node.path, found)

        keep = f"tree {node.path} {node.digest}" if node.digest else ""
        self.owl.ask(["tree", self._name(), "--json", "--path", node.path, "--depth", "1"], take, keep=keep)

    def _document(self, answer: Answer) -> Any:
        if answer.error:
            raise ValueError(answer.error)
        return answer.document()

    def _show_object(self, node: Node | None) -> None:
        if node is not None and self.runkey is not None:
            self.viewer.show_node(self._name(), node)

    def _fill_tab(self) -> None:
        entry, page = self.runkey, self.tabs.currentWidget()
        if entry is None:
            return
        if page is self.log and self.log.shown != entry.key:
            self._ask_for("log", lambda document: self.log.show_log(entry, document), self.log.say)
        elif page is self.tags and self.tags.shown != entry.key:
            self._ask_for("show", lambda document: self.tags.show_facts(entry, document), self.tags.say)

    def _ask_for(self, what: str, show: Any, say: Any) -> None:
        entry = self.runkey
        say("reading …")

        def take(answer: Answer) -> None:
            if entry is not self.runkey:
                return
            try:
                read(show, self._document(answer))
            except ValueError as error:
                say(str(error))

        self.owl.ask([what, self._name(), "--json"], take, lane=what)

    def _compare_revisions(self, before: str, after: str) -> None:
        self.tabs.setCurrentWidget(self.diff)
        self.diff.compare(before, after)

    def _show_title(self) -> None:
        entry = self.runkey
        self.title.show_text(entry.name if entry else "No runkey is chosen")
        self._about = f"{when(entry.created)} by {entry.author} · {place(entry)} · {entry.digest[:12]}" if entry else ""
        self.subtitle.show_text(self._about, f"{entry.comment}\n{entry.digest}" if entry else "")

    def _show_size(self, tree: Tree) -> None:
        self.subtitle.show_text(f"{self._about} · {tree.objects:,} objects", self.subtitle.toolTip())

    def _show_select(self) -> None:
        pv, entry = self.selected_pv, self.runkey
        able = pv.connected and pv.write_access
        already = entry is not None and pv.connected and pv.text == entry.name
        self.select.setEnabled(able and entry is not None and not already)
        self.select.setText("✔ Selected" if already else "Select for apply")
        why = "" if able else "disconnected" if not pv.connected else "access security does not let you write it"
        self.select.setToolTip(f"{pv.name} {why}".strip())

    def _show_busy(self, what: str) -> None:
        self.busy.setText("⏳ reading …" if what else "")
        self.busy.setToolTip(what)
        restyle(self.busy, busy=bool(what))
