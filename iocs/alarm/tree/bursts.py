"""First-out: which of several alarms of an area came first."""

from __future__ import annotations

from iocs.alarm.tree.clock import SECOND
from iocs.alarm.tree.nodes import Area, Burst, Leaf
from iocs.alarm.tree.severity import AlarmSeverity

WINDOW_NS = 1 * SECOND
"""Alarms of an area belong together when each comes so soon after another."""


def note(leaf: Leaf) -> None:
    """An alarm is up that was not.

    Its time is the PV's, so that what came first is told apart however the messages travelled. As on an annunciator
    panel, a first-out stays until somebody acknowledges it, or it is gone: until then no later burst takes its place.
    """
    time_ns = leaf.since_ns
    for area in leaf.above():
        burst = area.burst
        if burst is not None and burst.first_ns - WINDOW_NS <= time_ns <= burst.last_ns + WINDOW_NS:
            burst.size += 1
            burst.last_ns = max(burst.last_ns, time_ns)
            if time_ns < burst.first_ns:
                burst.first, burst.first_ns = leaf, time_ns
        elif burst is None or burst.size == 1 or not burst.first.severity.active:
            area.burst = Burst(leaf, time_ns, time_ns)


def forget(area: Area, gone: Leaf | None = None) -> None:
    """An area whose alarms are all gone has no first-out; nor has one whose first alarm was removed."""
    burst = area.burst
    if burst is not None and (burst.first is gone or area.active == 0):
        area.burst = None


def bursts(leaf: Leaf) -> list[Area]:
    """The areas above, the nearest first, in which the alarm came together with others."""
    found = []
    for area in leaf.above():
        burst = area.burst
        if burst is None or burst.size == 1 or leaf.alarm.severity is AlarmSeverity.OK:
            continue
        if burst.first_ns <= leaf.since_ns <= burst.last_ns:
            found.append(area)
    return found
