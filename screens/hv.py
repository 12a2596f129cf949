"""All channels of a high-voltage crate at a glance, and what is done to all of them."""

from __future__ import annotations

import logging

from pydm import Display
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QVBoxLayout

from screens import catalogue
from screens.navigation import go
from screens.parts.header import Header
from screens.parts.hv_group import BoardCard, GroupControls
from screens.parts.hv_state import summary
from screens.parts.hv_tile import ChannelTile
from screens.parts.pv import Pv
from screens.parts.widgets import restyle

log = logging.getLogger(__name__)

COLUMNS = 6


class HvOverview(Display):
    """Macros: P, the prefix of the IOC (``DEMO:HV:``).

    The channels and boards are those of the IOC's catalogue, by layer; CHANNELS and BOARDS (names with commas
    between) say them instead, for an IOC that has no catalogue. SUBSYSTEMS is what the top screen is given on the way
    back.
    """

    def __init__(self, parent=None, args=None, macros: dict[str, str] | None = None) -> None:
        super().__init__(parent=parent, args=args, macros=macros)
        macros = macros or {}
        self.prefix = macros.get("P", "")
        self._subsystems = macros.get("SUBSYSTEMS", "")
        self.setWindowTitle(f"High voltage {self.prefix}")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setProperty("role", "screen")
        self.tiles: dict[str, ChannelTile] = {}
        self.boards: dict[str, BoardCard] = {}

        links = [("◀ Top", "top", {"SUBSYSTEMS": self._subsystems})] if self._subsystems else []
        self.header = Header(self.prefix, "High voltage", links, self, self._subsystems)
        self.group = GroupControls(self.prefix, self)
        self.summary = QLabel(self)
        self.summary.setProperty("role", "summary")
        self.summary.setWordWrap(True)
        self.summary.setMinimumWidth(150)
        self.summary.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.waiting_label = QLabel(self)
        self.waiting_label.setProperty("role", "waiting")
        self.waiting_label.setAlignment(Qt.AlignmentFlag.AlignCenter)

        self._board_row = QHBoxLayout()
        self._board_row.setSpacing(6)
        self._grid = QGridLayout()
        self._grid.setSpacing(6)
        controls = QHBoxLayout()
        controls.addWidget(self.group)
        controls.addWidget(self.summary, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 6, 8, 8)
        column.setSpacing(6)
        column.addWidget(self.header)
        column.addLayout(controls)
        column.addLayout(self._board_row)
        column.addWidget(self.waiting_label, 1)
        column.addLayout(self._grid, 1)

        self._catalogue: Pv | None = None
        if macros.get("CHANNELS"):
            self._build(_names(macros["CHANNELS"]), _names(macros.get("BOARDS", "")))
        else:
            self._catalogue = Pv(f"{self.prefix}IOC:Catalogue", self)
            self._catalogue.changed.connect(self._read_catalogue)
            self._wait("not connected yet")

    def channels(self) -> list:
        """PyDM's tools find the PV by this."""
        return [self._catalogue.channel] if self._catalogue else []

    def waiting(self) -> str:
        """What must still come before the screen is whole; empty when it is."""
        return "" if self.tiles else f"the catalogue of {self.prefix}"

    def _wait(self, why: str) -> None:
        self.waiting_label.setText(f"┅  Waiting for {self.prefix}IOC:Catalogue  ┅\n{why}")

    def _read_catalogue(self) -> None:
        if self._catalogue is None or not self._catalogue.connected or self._catalogue.value is None:
            return
        try:
            found = catalogue.parse(self._catalogue.text, self.prefix)
        except ValueError as error:
            log.warning("%s is no catalogue: %s", self._catalogue.name, error)
            self._wait(f"what came is no catalogue: {error}")
            return
        channels = sorted(found.having("VMon", "IMon", "State"), key=_by_layer)
        boards = found.having("Serial", "Ctrl")
        if (channels, boards) != (list(self.tiles), list(self.boards)):
            self._build(channels, boards)
        if not channels:
            self._wait("there is no channel in it")

    def _build(self, channels: list[str], boards: list[str]) -> None:
        for widget in (*self.tiles.values(), *self.boards.values()):
            widget.setParent(None)
            widget.deleteLater()
        self.tiles = {name: ChannelTile(f"{self.prefix}{name}:", name, self) for name in channels}
        self.boards = {name: BoardCard(f"{self.prefix}{name}:", name, self) for name in boards}
        for index, tile in enumerate(self.tiles.values()):
            self._grid.addWidget(tile, *divmod(index, COLUMNS))
            tile.clicked.connect(lambda alias=tile.alias: self.open_channel(alias))
            tile.state_pv.changed.connect(self._count)
        for index in range(COLUMNS):
            self._grid.setColumnStretch(index, 1)
        for card in self.boards.values():
            self._board_row.addWidget(card, 1)
        self.waiting_label.setVisible(not self.tiles)
        self._count()

    def _count(self) -> None:
        states = [tile.state for tile in self.tiles.values()]
        self.summary.setText(summary(states))
        keys = {state.key for state in states}
        worst = next((key for key in ("fault", "disconnected", "invalid", "warning") if key in keys), "ok")
        restyle(self.summary, state=worst)

    def open_channel(self, alias: str) -> None:
        """Show the detail of one channel."""
        macros = {"P": self.prefix, "CH": alias, "CHANNELS": ",".join(self.tiles), "SUBSYSTEMS": self._subsystems}
        go(self, "hv_channel", macros)


def _by_layer(alias: str) -> tuple[int, int]:
    """L01, L02, … by number; what is no layer keeps its order, after them."""
    number = alias.removeprefix("L")
    return (0, int(number)) if number != alias and number.isdecimal() else (1, 0)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
