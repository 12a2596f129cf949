"""What a high-voltage channel is doing, in one word an operator reads across the room. Imports no Qt."""

from __future__ import annotations

from dataclasses import dataclass

BITS: tuple[tuple[str, str], ...] = (
    ("On", "on"),
    ("RUp", "ramping up"),
    ("RDw", "ramping down"),
    ("OvC", "over current"),
    ("OvV", "over voltage"),
    ("UnV", "under voltage"),
    ("MaxV", "at voltage limit"),
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


OFFLINE = State("disconnected", "┅", "OFFLINE")
NO_CONTACT = State("invalid", "?", "NO CONTACT")

_NORMAL = {
    "Off": State("off", "○", "OFF"),
    "On": State("on", "●", "ON"),
    "RampUp": State("ramping", "▲", "RAMPING"),
    "RampDown": State("ramping", "▼", "RAMPING"),
}
"""States that are no alarm; the key of any other follows the severity of the PV."""

_OTHER = {
    "Trip": ("✖", "TRIP"),
    "Interlock": ("■", "INTERLOCK"),
    "Kill": ("■", "KILL"),
    "Disabled": ("■", "DISABLED"),
    "OverTemperature": ("✖", "OVER TEMP"),
    "OverPower": ("✖", "OVER PWR"),
    "OverCurrent": ("◆", "OVER CURR"),
    "OverVoltage": ("◆", "OVER VOLT"),
    "UnderVoltage": ("◆", "UNDER V"),
    "MaxVoltage": ("◆", "MAX VOLT"),
    "NotCalibrated": ("◆", "NOT CALIB"),
}


def state_of(name: str | None, severity: int, connected: bool) -> State:
    """The state of a channel from its PV `State`.

    `name` is the state's name (None: no value yet), `severity` that of the PV (0 to 3). A name that is not known
    here is shown as it is.
    """
    if not connected:
        return OFFLINE
    if not name or severity >= 3:
        return NO_CONTACT
    if name in _NORMAL and not severity:
        return _NORMAL[name]
    normal = _NORMAL.get(name)
    symbol, word = (normal.symbol, normal.word) if normal else _OTHER.get(name, ("◆", name.upper()[:10]))
    return State("fault" if severity == 2 else "warning", symbol, word)


_BOARD_ALARMS = {4: "PWFAIL", 5: "OVP", 6: "HVCK"}


def board_alarm(word: int) -> str:
    """The bits of a board's alarm word by name, for example ``CH 0,2 PWFAIL``; ``none`` when there is none."""
    channels = ",".join(str(bit) for bit in range(4) if word >> bit & 1)
    names = [f"CH {'0-3' if channels == '0,1,2,3' else channels}"] if channels else []
    return " ".join(names + [name for bit, name in _BOARD_ALARMS.items() if word >> bit & 1]) or "none"


def summary(states: list[State]) -> str:
    """How many channels do what, for example ``20 on · 3 ramping · 1 TRIP``; zeros are left out."""
    counts: dict[str, int] = {}
    for state in states:
        name = state.word if state.key in ("fault", "warning") else state.word.lower()
        counts[name] = counts.get(name, 0) + 1
    return " · ".join(f"{count} {name}" for name, count in counts.items())
