"""What a high-voltage channel is doing, in one word an operator reads across the room. Imports no Qt.

The bits are those of the N1470's STAT; a channel that reports several is named after the worst.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Bit(enum.IntFlag):
    """Bits of `Status`."""

    ON = 1 << 0
    RUP = 1 << 1
    RDW = 1 << 2
    OVC = 1 << 3
    OVV = 1 << 4
    UNV = 1 << 5
    MAXV = 1 << 6
    TRIP = 1 << 7
    OVP = 1 << 8
    OVT = 1 << 9
    DIS = 1 << 10
    KILL = 1 << 11
    ILK = 1 << 12
    NOCAL = 1 << 13


BITS: tuple[tuple[str, str], ...] = (
    ("On", "on"),
    ("RUp", "ramping up"),
    ("RDw", "ramping down"),
    ("OvC", "over current"),
    ("OvV", "over voltage"),
    ("UnV", "under voltage"),
    ("MaxV", "at the voltage limit"),
    ("Trip", "tripped"),
    ("OvP", "over power"),
    ("OvT", "over temperature"),
    ("Dis", "disabled"),
    ("Kill", "killed"),
    ("Ilk", "interlock"),
    ("NoCal", "not calibrated"),
)
"""The name of each bit's PV (`Sts:<name>`), from bit 0, and its meaning."""


@dataclass(frozen=True)
class State:
    """`key` selects the colour in the style sheet; `symbol` says the same by its shape."""

    key: str
    symbol: str
    word: str

    @property
    def text(self) -> str:
        """Symbol and word."""
        return f"{self.symbol} {self.word}"


DISCONNECTED = State("disconnected", "┅", "OFFLINE")
NO_CONTACT = State("invalid", "?", "NO CONTACT")
OFF = State("off", "○", "OFF")
ON = State("on", "●", "ON")
RAMPING_UP = State("ramping", "▲", "RAMPING")
RAMPING_DOWN = State("ramping", "▼", "RAMPING")

_FAULTS: tuple[tuple[Bit, State], ...] = (
    (Bit.TRIP, State("fault", "✖", "TRIP")),
    (Bit.ILK, State("fault", "■", "INTERLOCK")),
    (Bit.KILL, State("fault", "■", "KILL")),
    (Bit.OVT, State("fault", "✖", "OVER TEMP")),
    (Bit.OVP, State("fault", "✖", "OVER POWER")),
    (Bit.DIS, State("warning", "■", "DISABLED")),
    (Bit.OVC, State("fault", "◆", "OVER CURR")),
    (Bit.OVV, State("warning", "◆", "OVER VOLT")),
    (Bit.UNV, State("warning", "◆", "UNDER VOLT")),
    (Bit.MAXV, State("warning", "◆", "MAX VOLT")),
)


def state_of(bits: int | None, severity: int, connected: bool) -> State:
    """The state of a channel from its `Status` (None: no value yet), that PV's severity (0 to 3) and connection."""
    if not connected:
        return DISCONNECTED
    if bits is None or severity >= 3:
        return NO_CONTACT
    for bit, state in _FAULTS:
        if bits & bit:
            return state
    if bits & Bit.RUP:
        return RAMPING_UP
    if bits & Bit.RDW:
        return RAMPING_DOWN
    return ON if bits & Bit.ON else OFF


def summary(states: list[State]) -> str:
    """How many channels do what, for example ``20 on · 3 ramping · 1 TRIP``; zeros are left out."""
    counts: dict[str, int] = {}
    for state in states:
        name = state.word if state.key in ("fault", "warning") else state.word.lower()
        counts[name] = counts.get(name, 0) + 1
    return " · ".join(f"{count} {name}" for name, count in counts.items())
