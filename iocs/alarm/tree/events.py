"""What the alarm tree tells those who follow it: the log, the PVs, Kafka, actions, annunciation."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from iocs.alarm.tree.severity import AlarmSeverity

if TYPE_CHECKING:
    from iocs.alarm.tree.items import Item
    from iocs.alarm.tree.tree import Area, Leaf


@dataclass(frozen=True, slots=True)
class State:
    """What is known of a PV, or of its alarm, at one time."""

    severity: AlarmSeverity
    message: str
    value: str
    time_ns: int
    """UTC nanoseconds since 1970."""


class Effective(enum.IntEnum):
    """The state of an alarm as JAWS names them; `Shelved…` with a return by itself or not.

    Why it is suppressed goes first: disabled, filtered (or out of its mode), masked, shelved. Then what it is.
    """

    Normal = 0
    Active = 1
    ActiveLatched = 2
    """The PV is better again; it waits to be acknowledged."""
    ActiveOffDelayed = 3
    NormalDisabled = 4
    NormalFiltered = 5
    NormalMasked = 6
    NormalOnDelayed = 7
    NormalOneShotShelved = 8
    NormalContinuousShelved = 9
    Acknowledged = 10
    """Not of JAWS, which has no such state: active, and somebody knows."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who did something: as the access security, Kafka or the command line names them."""

    user: str
    host: str

    def __str__(self) -> str:
        return f"{self.user}@{self.host}"


SERVER = Person("alarm-server", "")
"""What the server does by itself: a shelf that ends, a date that comes."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Somebody's act: acknowledge, unacknowledge, shelve, unshelve, disable, enable, configure, delete, mode, notify.

    An act on an area is told for the area, then for each alarm that it concerns. `server`: a flood begins or ends.
    """

    action: str
    path: str
    who: Person
    time_ns: int
    detail: str = ""
    """Why, until when, what was changed."""


@dataclass(frozen=True, slots=True)
class Annunciation:
    """What is said to the operators."""

    path: str
    severity: AlarmSeverity
    text: str
    """What is spoken: `*` and `!` of the description are gone."""
    standout: bool
    time_ns: int


class Listener(Protocol):
    """Follows the tree. All methods are called in the tree's event loop, in the order of what happened; none may block.

    Every base method does nothing: implement those that are of interest by deriving from it.
    """

    def leaf_changed(self, leaf: Leaf, before: State, raised: bool) -> None:
        """`leaf.alarm`, `leaf.current` or its effective state is new; `before` was its alarm state.

        `raised`: it went up, and is not suppressed.
        """

    def area_changed(self, area: Area) -> None:
        """Severity or counts of an area are new."""

    def configured(self, item: Item, who: Person) -> None:
        """An item is new or has changed."""

    def removed(self, path: str, who: Person) -> None:
        """An item is gone; those below it were told before."""

    def edited(self, edit: Edit) -> None:
        """Somebody did something."""

    def announced(self, annunciation: Annunciation) -> None:
        """Operators are to hear this."""

    def modes_changed(self) -> None:
        """Maintenance, notification or the operating mode are others now."""
