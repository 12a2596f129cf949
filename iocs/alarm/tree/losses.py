"""Lost connections of alarms that are masked by another: that one has the first word.

When an IOC is gone, all its PVs are lost at once, in any order. The alarm that stands for the IOC is told of it before
those that it masks, so that these are not announced one by one. (When it is back, see `masks.BACK`.)
"""

from __future__ import annotations

from iocs.alarm.tree.clock import Clock, Timer
from iocs.alarm.tree.events import State
from iocs.alarm.tree.judgement import DISCONNECTED, UNDEFINED, lost
from iocs.alarm.tree.masks import Masks
from iocs.alarm.tree.nodes import Leaf

WAIT = 0.2
"""Seconds for which the loss of a PV waits for that of the PV whose alarm masks it."""


class Losses:
    """PVs whose loss is known, but not told yet."""

    def __init__(self, clock: Clock, masks: Masks) -> None:
        self._clock, self._masks = clock, masks
        self.waiting: dict[Leaf, Timer] = {}

    def lost(self, leaf: Leaf, time_ns: int) -> None:
        """The PV of an alarm cannot be reached."""
        if leaf in self.waiting:
            return
        state = State(UNDEFINED, DISCONNECTED, "", time_ns)
        source = self._masks.source(leaf)
        if source is None or not source.logic.enabled or lost(source.logic.counted) or lost(leaf.current):
            leaf.logic.on_update(state)
            return

        def tell() -> None:
            self.waiting.pop(leaf, None)
            leaf.logic.on_update(state)

        self.waiting[leaf] = self._clock.call_later(WAIT, tell)

    def forget(self, leaf: Leaf) -> None:
        """The PV is back, or the alarm is no more."""
        timer = self.waiting.pop(leaf, None)
        if timer is not None:
            timer.cancel()

    def stop(self) -> None:
        """No timer runs any more."""
        for leaf in list(self.waiting):
            self.forget(leaf)
