"""The alarms in a few words, on every screen: how bad, how many, and the way to the table."""

from __future__ import annotations

from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QPushButton, QWidget

from screens.navigation import go
from screens.parts.alarm_links import alarm_server
from screens.parts.alarm_look import GONE, LOOKS, NUMBERS, OK, Look
from screens.parts.alarm_voice import voice
from screens.parts.pv import Pv
from screens.parts.widgets import restyle

SHORTCUT = "F9"
COUNTS = ("NUnack", "NAck", "NSupp")
SETTLE = 200
"""Milliseconds within which the text and the number of an announcement have both come."""


def look_of_pv(pv: Pv) -> Look:
    """How the severity of a PV `Sevr` looks; GONE while nothing is known."""
    if not pv.connected or pv.value is None:
        return GONE
    text = pv.text
    if text in LOOKS:
        return LOOKS[text]
    number = int(pv.value) if isinstance(pv.value, (int, float)) else -1
    return LOOKS[NUMBERS[number]] if 0 <= number < len(NUMBERS) else GONE


def count_of(pv: Pv) -> int | None:
    """A number of alarms; None while it is not known."""
    return int(pv.value) if pv.connected and isinstance(pv.value, (int, float)) else None


def words_of(look: Look, new: int | None, known: int | None, compact: bool = False) -> str:
    """What the banner says; `compact`: in fewer letters."""
    if look is GONE:
        return f"{GONE.symbol} {GONE.word.lower()}" if compact else f"{GONE.symbol} Alarms: {GONE.word.lower()}"
    if look is OK and not new and not known:
        return f"{OK.symbol} No alarm"
    parts = [f"{new:,}{'' if compact else ' new'}" if new else "", f"{known:,} ✓" if known else ""]
    word = "" if compact else f"{look.word}  "
    return f"{look.symbol} {word}{' · '.join(part for part in parts if part)}".strip()


class AlarmCount(QPushButton):
    """The worst severity and the numbers of new and of acknowledged alarms of an area. A click opens the table.

    Filled while something waits for somebody, outlined when all is acknowledged.
    """

    def __init__(
        self, server: str, packed: str, area: str = "", parent: QWidget | None = None, optional: bool = False
    ) -> None:
        """`server` is the alarm server's prefix (``DEMO:ALM:``), `packed` the macro SUBSYSTEMS.

        `area` is what the area's own PVs have behind that (``HV:``). `optional`: there may be no such area.
        """
        super().__init__(parent)
        self._server = server
        self._packed = packed
        self._compact = False
        self._optional = optional
        self.setProperty("role", "alarms")
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        names = ("Sevr", *COUNTS, "Path")
        self.severity, self.new, self.known, self.suppressed, self.path = (
            Pv(f"{server}{area}{name}", self, optional=optional) for name in names
        )
        for pv in (self.severity, self.new, self.known, self.suppressed, self.path):
            pv.changed.connect(self._show)
        self.clicked.connect(self.open_table)
        self._show()

    def channels(self) -> list:
        """PyDM's tools find the PVs by this."""
        return [pv.channel for pv in (self.severity, self.new, self.known, self.suppressed, self.path)]

    def set_compact(self, compact: bool) -> None:
        """Say it in fewer letters, where there is little room."""
        if compact != self._compact:
            self._compact = compact
            self._show()

    def open_table(self) -> None:
        """Show the table of these alarms."""
        macros = {"P": self._server} | ({"SUBSYSTEMS": self._packed} if self._packed else {})
        area = self.path.text if self.path.connected else ""
        go(self, "alarm_table", macros | ({"AREA": area} if area.count("/") > 1 else {}))

    def _show(self) -> None:
        look = look_of_pv(self.severity)
        never = self._optional and self.severity.value is None
        new, known, aside = (count_of(pv) for pv in (self.new, self.known, self.suppressed))
        self.setText("–" if never else words_of(look, new, known, self._compact))
        self.setEnabled(not never)
        restyle(self, look="none" if never else look.key, waits=look.waits)
        words = f"Alarms: {new or 0:,} new, {known or 0:,} acknowledged"
        if aside:
            words += f", {aside:,} shelved, disabled or masked"
        self.setToolTip(f"{'No alarms are known here' if never else words}\n{self.severity.name}")


class AlarmBanner(AlarmCount):
    """The alarms of the whole site; it also listens to what is announced."""

    def __init__(self, server: str, packed: str, parent: QWidget | None = None) -> None:
        super().__init__(server, packed, "", parent)
        self.setShortcut(QKeySequence(SHORTCUT))
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.talk, self.talk_count = Pv(f"{server}Talk", self), Pv(f"{server}TalkCount", self)
        self._heard: int | None = None
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(SETTLE)
        self._settle.timeout.connect(self._listen)
        for pv in (self.talk, self.talk_count):
            pv.changed.connect(self._settle.start)

    def channels(self) -> list:
        """PyDM's tools find the PVs by this."""
        return [*super().channels(), self.talk.channel, self.talk_count.channel]

    def _show(self) -> None:
        super()._show()
        self.setToolTip(f"{self.toolTip()}\n{SHORTCUT} opens the table")

    def _listen(self) -> None:
        """What is announced while this screen is open is said; what was announced before is not."""
        count = count_of(self.talk_count)
        if count is None or not self.talk.connected or self.talk.value is None:
            self._heard = None
        elif self._heard is None:
            self._heard = count
        elif count != self._heard:
            self._heard = count
            voice().say(f"{self._server} {count}", self.talk.text)


def banner_of(packed: str, parent: QWidget) -> AlarmBanner | None:
    """The banner of the site whose subsystems these are; None when it has no alarm server."""
    server = alarm_server(packed)
    return AlarmBanner(server, packed, parent) if server else None
