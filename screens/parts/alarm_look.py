"""How alarms look: a shape, a word and a colour for each severity, so that none of them is needed alone. Imports no Qt.

The shapes are those of `owl alarm`. What waits is filled; what somebody has acknowledged is hollow and has a tick.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """How a severity is shown."""

    name: str
    """As alarm servers call it: ``MAJOR_ACK``."""
    rank: int
    """The worst has the most; an alarm that waits is above one of its severity that is acknowledged."""
    symbol: str
    word: str
    color: str
    """Of the shape, and of text on dark ground."""
    ink: str
    """Of text on `color`."""
    waits: bool
    """Nobody has acknowledged it."""
    key: str
    """The style sheet selects by it: ok, warning, fault, invalid, disconnected."""

    @property
    def text(self) -> str:
        """Symbol and word; a tick behind what is acknowledged."""
        return f"{self.symbol} {self.word}{' ✓' if self.acknowledged else ''}"

    @property
    def acknowledged(self) -> bool:
        """It is in alarm, and somebody knows."""
        return self.rank > 0 and not self.waits


_BASE = (
    ("MINOR", "▲△", "#ffd83d", "#2b2400", "warning"),
    ("MAJOR", "◆◇", "#ff5c57", "#1e0000", "fault"),
    ("INVALID", "■□", "#ff6ef5", "#330030", "invalid"),
    ("UNDEFINED", "●○", "#c9d3dc", "#12161a", "disconnected"),
)
OK = Look("OK", 0, "✓", "OK", "#8fd694", "#0e2412", False, "ok")
LOOKS: dict[str, Look] = {"OK": OK}
for _number, (_name, _symbols, _color, _ink, _key) in enumerate(_BASE):
    LOOKS[f"{_name}_ACK"] = Look(f"{_name}_ACK", 2 * _number + 1, _symbols[1], _name, _color, _ink, False, _key)
    LOOKS[_name] = Look(_name, 2 * _number + 2, _symbols[0], _name, _color, _ink, True, _key)
GONE = Look("", -1, "┅", "NO SERVER", "#9aa5b1", "#ffffff", False, "gone")
"""The alarm server does not answer: nothing is known."""

NUMBERS = ("OK", "MINOR_ACK", "MAJOR_ACK", "INVALID_ACK", "UNDEFINED_ACK", "MINOR", "MAJOR", "INVALID", "UNDEFINED")
"""The states of a PV `Sevr`, in the order of their numbers."""
LEVELS = tuple(name for name, *_ in _BASE)

STATES = {
    "Normal": "normal",
    "Active": "active",
    "ActiveLatched": "latched: it is gone, and waits to be acknowledged",
    "ActiveOffDelayed": "going: better since a moment",
    "NormalDisabled": "disabled",
    "NormalFiltered": "filtered out",
    "NormalMasked": "masked",
    "NormalOnDelayed": "coming: not long enough yet",
    "NormalOneShotShelved": "shelved until it is normal",
    "NormalContinuousShelved": "shelved",
    "Acknowledged": "acknowledged",
}
SUPPRESSED = {
    "NormalDisabled",
    "NormalFiltered",
    "NormalMasked",
    "NormalOneShotShelved",
    "NormalContinuousShelved",
}
PRIORITIES = ("low", "medium", "high")
PRIORITY_MARKS = {"high": "!!", "medium": "!", "low": ""}


def look_of(name: str) -> Look:
    """How the severity called `name` looks; what is no severity looks as if nothing was known."""
    return LOOKS.get(name, GONE)


def state_words(state: str) -> str:
    """The state of an alarm in a few words; what is not known stays as it is."""
    return STATES.get(state, state)


def state_word(state: str) -> str:
    """The state of an alarm in one or two words."""
    return state_words(state).partition(":")[0]
