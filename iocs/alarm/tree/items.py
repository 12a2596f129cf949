"""What is configured of the alarm tree: areas, alarms, and what Phoebus' records have no room for."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

Priority = Literal["low", "medium", "high"]


@dataclass(frozen=True, slots=True)
class Link:
    """An entry of guidance, of displays or of commands: what an operator reads, and what it stands for."""

    title: str
    details: str


@dataclass(frozen=True, slots=True)
class Action:
    """What is done by itself once an item is in alarm: `mailto:`, `sevrpv:`, `infopv:`, `cmd:`, or `webhook:`."""

    title: str
    details: str
    delay: int = 0
    """Seconds that the alarm must last before."""


@dataclass(frozen=True, slots=True)
class AreaConfig:
    """An area: a folder of alarms."""

    guidance: tuple[Link, ...] = ()
    displays: tuple[Link, ...] = ()
    commands: tuple[Link, ...] = ()
    actions: tuple[Action, ...] = ()


@dataclass(frozen=True, slots=True)
class LeafConfig:
    """An alarm: a PV that is watched. Defaults are those of Phoebus' Kafka records, not of its XML files."""

    description: str = ""
    """`*` in front: announced without "MAJOR Alarm: "; `!` (after it): announced even in a flurry."""
    enabled: bool = True
    disabled_until: datetime | None = None
    """With a time zone. It is disabled up to then; `enabled` is False meanwhile."""
    latching: bool = True
    annunciating: bool = True
    delay: int = 0
    """Seconds that it must last."""
    count: int = 0
    """It counts at once when it comes so often within `delay`."""
    filter: str = ""
    """An expression over PVs; the alarm is enabled while it is above 0."""
    guidance: tuple[Link, ...] = ()
    displays: tuple[Link, ...] = ()
    commands: tuple[Link, ...] = ()
    actions: tuple[Action, ...] = ()


@dataclass(frozen=True, slots=True)
class Extras:
    """What is known of an alarm beyond Phoebus' records. It never goes into them."""

    priority: Priority = "medium"
    response_time: float = 0.0
    """Seconds within which somebody must act; 0: not said."""
    rationale: str = ""
    """Why it is an alarm, and what happens when nobody acts."""
    corrective_action: str = ""
    off_delay: float = 0.0
    """Seconds that it must be gone before it counts as gone."""
    masked_by: str = ""
    """Path of an area or alarm: while that is in alarm, this one is not announced and does not count."""
    modes: tuple[str, ...] = ()
    """The operating modes in which it is an alarm at all; all when empty."""
    screen: str = ""
    """Name of an owlshift screen that helps."""


NO_EXTRAS = Extras()
ItemConfig: TypeAlias = AreaConfig | LeafConfig


@dataclass(frozen=True, slots=True)
class Item:
    """A place in the tree and what is configured there; `LeafConfig` makes it an alarm."""

    path: str
    config: ItemConfig
    extras: Extras = field(default=NO_EXTRAS)


class ConfigError(ValueError):
    """A configuration that is not taken: `problems`, one line each with path (and file, line) and reason."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
