"""When a PV was not being received, as connection events tell it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NS = 1_000_000_000

LOST = frozenset({"disconnected", "engine stopped", "removed", "paused"})
"""Events after which no samples are expected."""


@dataclass(frozen=True)
class Gap:
    """`lost_ns`: since when nothing is received, None if that isn't known. `found_ns`: until when, None if it lasts.

    `startup`: the engine's start ended it.
    """

    lost_ns: int | None
    found_ns: int | None
    startup: bool = False

    @property
    def note(self) -> dict[str, str]:
        """It in the appliance's words: the unix seconds at which the connection was lost and found again.

        After a start of the engine the first is 0 and there is `startup`.
        """
        if self.found_ns is None:
            return {"cnxlostepsecs": str((self.lost_ns or 0) // NS)}
        found = str(self.found_ns // NS)
        if self.startup or self.lost_ns is None:
            return {"cnxlostepsecs": "0", "cnxregainedepsecs": found, "startup": "true"}
        return {"cnxlostepsecs": str(self.lost_ns // NS), "cnxregainedepsecs": found}


def gaps_of(events: Sequence[tuple[int, str]]) -> list[Gap]:
    """Gaps, oldest first, out of connection events `(time, what)` in order of time."""
    gaps: list[Gap] = []
    lost: int | None = None
    startup = connected = False
    for time_ns, event in events:
        if event in LOST:
            lost = time_ns if lost is None else lost  # a gap begins with the first of several
            connected = False
        elif event == "engine started":
            startup, connected = True, False
        elif event == "connected" and not connected:
            gaps.append(Gap(lost, time_ns, startup or lost is None))
            lost, startup, connected = None, False, True
    if lost is not None:
        gaps.append(Gap(lost, None))
    return gaps
