"""Ramp rates with which channels of different ways arrive together. No EPICS, no protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

TOLERANCE = 0.02
"""Spread of the arrival times, as a part of the ramp's time, up to which nothing is gained by a slower ramp."""
SLOWER = 0.15
"""Part by which the whole ramp may become slower so that all arrive together better."""
_STEPS = 150


@dataclass(frozen=True)
class Way:
    """What one channel has before it: `distance` V, at `base` V/s or less in steps of 10**-decimals, from `lowest`."""

    distance: float
    base: float
    lowest: float = 1.0
    decimals: int = 0

    def rate(self, seconds: float) -> float:
        """The rate, in V/s, that the device can do and that comes nearest to arriving after `seconds`."""
        wanted = self.distance / seconds if seconds > 0 else self.base
        return max(self.lowest, min(self.base, round(wanted, self.decimals)))


def arrival_rates(ways: Sequence[Way]) -> list[float]:
    """A rate in V/s for each way, so that all arrive together as well as the device's resolution allows.

    The channel with the longest time to go does its `base` rate, unless rounding then lets the others arrive more than
    2 % of the time apart: then all may be up to 15 % slower, if that brings them together.
    """
    if not ways:
        return []
    fastest = max(way.distance / way.base for way in ways)
    best = fastest
    if _spread(ways, fastest) > TOLERANCE * fastest:
        times = (fastest * (1 + SLOWER * step / _STEPS) for step in range(_STEPS + 1))
        best = min(times, key=lambda seconds: (round(_spread(ways, seconds) / seconds, 3), seconds))
    return [way.rate(best) for way in ways]


def _spread(ways: Sequence[Way], seconds: float) -> float:
    """Seconds between the first and the last arrival; ways too short for the device's slowest rate do not count."""
    arrivals = [way.distance / way.rate(seconds) for way in ways if way.distance >= way.lowest * seconds]
    return max(arrivals) - min(arrivals) if arrivals else 0.0
