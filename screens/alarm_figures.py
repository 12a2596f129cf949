"""How good the alarms are: the figures of ISA-18.2 with their targets."""

from __future__ import annotations

from datetime import timedelta

from qtpy.QtWidgets import QComboBox, QFrame, QGridLayout, QHBoxLayout, QLineEdit, QPushButton, QTabWidget

from screens.parts import screen
from screens.parts.alarm_figures_data import Figures, read_figures
from screens.parts.alarm_links import links
from screens.parts.alarm_log_view import since_text
from screens.parts.alarm_plots import BarList, FigureCard, SeriesPlot
from screens.parts.owl import Answer
from screens.parts.table import FilteredTable
from screens.parts.widgets import caption
from screens.parts.words import read, when

SPANS = (
    ("last 8 h", timedelta(hours=8)),
    ("last 24 h", timedelta(days=1)),
    ("last 7 days", timedelta(days=7)),
    ("last 30 days", timedelta(days=30)),
    ("last year", timedelta(days=365)),
)
DAY = 1
"""The span that is shown at first, by its place in SPANS."""
CARDS = 8


class AlarmFigures(screen.SubsystemScreen):
    """Macros: P, the prefix of the alarm server (``DEMO:ALM:``).

    PATH is the area that is looked at; without it all of them.
    """

    def __init__(self, parent=None, args=None, macros: dict[str, str] | None = None) -> None:
        super().__init__("Alarm figures", links(macros or {}, "alarm_figures"), "alarm", parent, args, macros)
        self.figures: Figures | None = None
        self.span = QComboBox(self)
        self.area = QLineEdit(self.given.get("PATH", ""), self)
        self.again = QPushButton("⟳ Refresh", self)
        self.about = caption("", self)
        self.cards = [FigureCard(self) for _ in range(CARDS)]
        self.series = SeriesPlot(self)
        self.top = BarList("The ten most frequent", self)
        self.areas = BarList("By area", self)
        self.priorities = BarList("By priority; the mark is the target", self)
        self.lists = QTabWidget(self)
        self.tables: list[FilteredTable] = []
        self._lay_out()
        self.span.activated.connect(lambda _: self.read())
        self.area.returnPressed.connect(self.read)
        self.again.clicked.connect(self.read)
        self.owl.busy.connect(lambda what: self.about.setText("⏳ reading …") if what else self._tell())
        self.read()

    def waiting(self) -> str:
        """What must still come before the screen is whole; empty when it is."""
        return "" if self.figures is not None else self.owl.pending() or "the figures"

    def _lay_out(self) -> None:
        self.span.addItems([label for label, _ in SPANS])
        self.span.setCurrentIndex(DAY)
        self.area.setPlaceholderText("area, for example /DEMO/HV   (Enter)")
        self.area.setClearButtonEnabled(True)
        self.again.setProperty("role", "span")
        head = QFrame(self)
        head.setProperty("role", "panel")
        row = QHBoxLayout(head)
        row.setContentsMargins(10, 5, 10, 5)
        row.setSpacing(10)
        row.addWidget(self.span)
        row.addWidget(self.area, 1)
        row.addWidget(self.again)
        row.addWidget(self.about)
        grid = QGridLayout()
        grid.setSpacing(6)
        for number, card in enumerate(self.cards):
            grid.addWidget(card, number // 4, number % 4)
            grid.setColumnStretch(number % 4, 1)
        below = QHBoxLayout()
        below.setSpacing(6)
        below.addWidget(self.top, 3)
        below.addWidget(self.areas, 2)
        below.addWidget(self.priorities, 2)
        self.lists.addTab(self._page(below), "Shares")
        self.body.addWidget(head)
        self.body.addLayout(grid)
        self.body.addWidget(self.series, 2)
        self.body.addWidget(self.lists, 3)

    def _page(self, layout: QHBoxLayout) -> QFrame:
        page = QFrame(self)
        layout.setContentsMargins(0, 4, 0, 0)
        page.setLayout(layout)
        return page

    def read(self) -> None:
        """Ask for the figures anew."""
        since = since_text(SPANS[self.span.currentIndex()][1])
        area = self.area.text().strip()
        more = [f"--area={area}"] if area else []
        self.owl.ask(["stats", "--json", *self.system, f"--from={since}", *more], self._take, lane="stats")

    def _take(self, answer: Answer) -> None:
        try:
            if answer.error:
                raise ValueError(answer.error)
            self.figures = read(read_figures, answer.document())
        except ValueError as error:
            self.show_error(str(error))
            return
        self.show_error("")
        found = self.figures
        for card, figure in zip(self.cards, found.cards, strict=True):
            card.show_card(figure)
        self.series.show_series(found.series)
        self.top.show_bars(found.top)
        self.areas.show_bars(found.areas)
        self.priorities.show_bars(found.priorities)
        if not self.tables:
            for listing in found.lists:
                table = FilteredTable(listing.header, stretch=0, what="entries", parent=self)
                self.tables.append(table)
                self.lists.addTab(table, listing.title)
        for number, (table, listing) in enumerate(zip(self.tables, found.lists, strict=True), start=1):
            table.fill(listing.rows)
            count = f" {len(listing.rows)}" if listing.rows else ""
            self.lists.setTabText(number, f"{listing.title}{count}")
        self._tell()

    def _tell(self) -> None:
        found = self.figures
        if found is not None:
            self.about.setText(f"{found.alarms:,} alarms, {when(found.since)[:16]} to {when(found.until)[:16]}")
        else:
            self.about.setText("")
