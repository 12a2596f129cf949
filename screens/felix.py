"""The front-ends behind a FELIX: where they are connected, whether they are used, and how they are configured."""

from __future__ import annotations

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QFrame,
    QHBoxLayout,
    QPushButton,
    QSplitter,
    QStackedWidget,
)

from screens.parts import screen
from screens.parts.lines import Line
from screens.parts.owl import Answer
from screens.parts.pv import Pv
from screens.parts.runkey_data import Node, Runkey, read_list, read_tree
from screens.parts.runkey_details import reference
from screens.parts.runkey_frontends import FrontendsView
from screens.parts.runkey_links import links
from screens.parts.runkey_places import ConnectivityView, LogPanel
from screens.parts.runkey_viewer import PayloadViewer
from screens.parts.widgets import caption
from screens.parts.words import read


class Felix(screen.SubsystemScreen):
    """Macros: P, the prefix of the runkey IOC (``DEMO:RK:``).

    RUNKEY and FELIX are what is shown at first; without them it is the runkey that is selected, or the newest one, and
    its first FELIX.
    """

    def __init__(self, parent=None, args=None, macros: dict[str, str] | None = None) -> None:
        super().__init__("FELIX", links(macros or {}, "felix"), "runkey", parent, args, macros)
        self._wanted = self.given.get("RUNKEY", "")
        self._wanted_felix = self.given.get("FELIX", "")
        self.entries: list[Runkey] = []
        self.runkey: Runkey | None = None
        self.felix: Node | None = None
        self._felixes: list[Node] = []
        self._listed = False
        self.selected_pv = Pv(f"{self.prefix}Selected", self)

        self.felix_box, self.runkey_box = QComboBox(self), QComboBox(self)
        for box in (self.felix_box, self.runkey_box):
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.setMinimumContentsLength(8)
        self.logging = QPushButton("Toggle logging", self)
        self.logging.setCheckable(True)
        self.again = QPushButton("⟳ Refresh", self)
        for button in (self.logging, self.again):
            button.setProperty("role", "span")
        self.summary = Line(self, "caption")
        self.frontends = FrontendsView(self)
        self.viewer = PayloadViewer(self.owl, self)
        self.connectivity = ConnectivityView(self)
        self.side = QStackedWidget(self)
        self.log_panel = LogPanel(self.prefix, self)
        self.log_panel.hide()
        self._lay_out()

        self.runkey_box.activated.connect(self._choose_runkey)
        self.felix_box.activated.connect(self._choose_felix)
        self.logging.toggled.connect(self.log_panel.setVisible)
        self.again.clicked.connect(self.read_list)
        self.frontends.config.connect(self.show_config)
        self.frontends.place.connect(self.show_connectivity)
        self.frontends.objects.wanted.connect(self._read_below)
        self.viewer.clear("Config shows how a front-end is configured, Connectivity where it is connected.")
        # the selected runkey is known a moment after the screen is made; without an IOC nobody waits for it long
        self._patience = QTimer(self)
        self._patience.setSingleShot(True)
        self._patience.setInterval(1500)
        self._patience.timeout.connect(self._choose_first)
        self._patience.start()
        self.selected_pv.changed.connect(self._choose_first)
        self.read_list()

    def channels(self) -> list:
        """PyDM's tools find the PV by this."""
        return [self.selected_pv.channel]

    def waiting(self) -> str:
        """What must still come before the screen is whole; empty when it is."""
        if not self._listed:
            return "the list of runkeys"
        return self.owl.pending() or ("a runkey" if self.entries and self.runkey is None else "")

    def _lay_out(self) -> None:
        head = QFrame(self)
        head.setProperty("role", "panel")
        row = QHBoxLayout(head)
        row.setContentsMargins(10, 6, 10, 6)
        row.setSpacing(8)
        row.addWidget(caption("FELIX", head))
        row.addWidget(self.felix_box, 2)
        row.addWidget(caption("Runkey", head))
        row.addWidget(self.runkey_box, 3)
        row.addWidget(self.summary, 2)
        row.addWidget(self.again)
        row.addWidget(self.logging)
        self.side.addWidget(self.viewer)
        self.side.addWidget(self.connectivity)
        body = QSplitter(Qt.Orientation.Horizontal, self)
        body.setChildrenCollapsible(False)
        body.addWidget(self.frontends)
        body.addWidget(self.side)
        body.setSizes([680, 580])
        body.setStretchFactor(0, 3)
        body.setStretchFactor(1, 3)
        self.frontends.setMinimumWidth(480)
        self.side.setMinimumWidth(240)
        halves = QSplitter(Qt.Orientation.Vertical, self)
        halves.setChildrenCollapsible(False)
        halves.addWidget(body)
        halves.addWidget(self.log_panel)
        halves.setSizes([600, 160])
        halves.setStretchFactor(0, 1)
        self.body.addWidget(head)
        self.body.addWidget(halves, 1)

    def read_list(self) -> None:
        """Ask for the list of runkeys anew."""
        self.owl.ask(["list", "--json"], self._take_list, lane="list")

    def _take_list(self, answer: Answer) -> None:
        self._listed = True
        try:
            if answer.error:
                raise ValueError(answer.error)
            entries, _ = read(read_list, answer.document())
        except ValueError as error:
            self.show_error(str(error))
            return
        self.show_error("")
        self.entries = sorted(entries, key=lambda entry: (entry.created, entry.name), reverse=True)
        shown = self.runkey.key if self.runkey else None
        self.runkey_box.clear()
        for entry in self.entries:
            self.runkey_box.addItem(reference(entry, self.entries))
        now = next((row for row, entry in enumerate(self.entries) if entry.key == shown), -1)
        self.runkey_box.setCurrentIndex(now)
        if now >= 0 and self.runkey is not None and self.entries[now].digest != self.runkey.digest:
            self._choose_runkey(now)
        if not self.entries:
            self.frontends.say("There are no runkeys yet.")
        self._choose_first()

    def _choose_first(self) -> None:
        """The runkey that is asked for, else the selected one, else the newest; once."""
        if self.runkey is not None or not self.entries:
            return
        name = self._wanted or (self.selected_pv.text if self.selected_pv.connected else "")
        row = next((row for row, entry in enumerate(self.entries) if entry.name == name), -1)
        if row < 0 and not self.selected_pv.connected and self._patience.isActive():
            return
        self.runkey_box.setCurrentIndex(max(row, 0))
        self._choose_runkey(max(row, 0))

    def _choose_runkey(self, row: int) -> None:
        entry = self.entries[row]
        self.runkey = entry
        self._wanted = entry.name
        self.frontends.say("reading …")
        self.viewer.clear("Config shows how a front-end is configured, Connectivity where it is connected.")
        self.side.setCurrentWidget(self.viewer)
        # the devices first: a whole detector has 34,000 objects
        self.owl.ask(
            ["tree", reference(entry, self.entries), "--json", "--depth", "1"],
            lambda answer: self._take_devices(entry, answer),
            lane="tree",
            keep=f"tree 1 {entry.where} {entry.name} {entry.digest}",
        )

    def _take_devices(self, entry: Runkey, answer: Answer) -> None:
        if entry is not self.runkey:
            return
        try:
            if answer.error:
                raise ValueError(answer.error)
            tree = read(read_tree, answer.document())
        except ValueError as error:
            self.show_error(str(error))
            self.frontends.say(str(error))
            return
        self._felixes = [node for node in tree.root.children if node.type == "felix"]
        self.felix_box.clear()
        self.felix_box.addItems([node.name for node in self._felixes])
        self.felix_box.setEnabled(bool(self._felixes))
        if not self._felixes:
            self.felix = None
            self.frontends.say("There is no FELIX in this runkey.")
            self.summary.show_text("")
            return
        row = next((row for row, node in enumerate(self._felixes) if node.name == self._wanted_felix), 0)
        self.felix_box.setCurrentIndex(row)
        self._choose_felix(row)

    def _choose_felix(self, row: int) -> None:
        entry, node = self.runkey, self._felixes[row]
        if entry is None:
            return
        self.felix = node
        self._wanted_felix = node.name
        self.frontends.say("reading …")
        self.owl.ask(
            ["tree", reference(entry, self.entries), "--json", "--path", node.path],
            lambda answer: self._take_felix(entry, node, answer),
            lane="tree",
            keep=f"tree all {node.path} {node.digest}" if node.digest else "",
        )

    def _take_felix(self, entry: Runkey, felix: Node, answer: Answer) -> None:
        if entry is not self.runkey or felix is not self.felix:
            return
        try:
            if answer.error:
                raise ValueError(answer.error)
            root = read(read_tree, answer.document()).root
        except ValueError as error:
            self.show_error(str(error))
            self.frontends.say(str(error))
            return
        self.show_error("")
        self.frontends.show_felix(root)
        found = [node for node in root.walk() if node.type == "frontend"]
        boards = sum(node.type == "optoboard" for node in root.walk())
        used = sum(bool(node.edge.get("enable", 1)) for node in found)
        plural = "" if boards == 1 else "s"
        self.summary.show_text(f"{boards:,} optoboard{plural} · {len(found):,} front-ends, {used:,} enabled")

    def _read_below(self, node: Node) -> None:
        self.frontends.objects.refused(node.path)  # all of a FELIX is read at once

    def show_config(self, node: Node) -> None:
        """The configuration of a front-end: JSON, pixel maps as pictures."""
        if self.runkey is None:
            return
        self.side.setCurrentWidget(self.viewer)
        role = "config" if "config" in node.payloads else None
        self.viewer.show_node(reference(self.runkey, self.entries), node, role)

    def show_connectivity(self, node: Node) -> None:
        """Where a front-end is connected."""
        self.connectivity.show_node(node)
        self.side.setCurrentWidget(self.connectivity)
