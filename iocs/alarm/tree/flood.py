"""Alarms that come too often: one that chatters, and all together in a flood."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from iocs.alarm.tree.clock import SECOND, Clock, Timer
from iocs.alarm.tree.nodes import Leaf


@dataclass(frozen=True, slots=True)
class ChatterRule:
    """An alarm chatters when it comes `transitions` times within `seconds`."""

    transitions: int = 3
    seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class FloodRule:
    """A flood begins with more than `begin` annunciated alarms within `seconds`, and ends below `end`."""

    begin: int = 10
    seconds: float = 600.0
    end: int = 5


class Chatter:
    """When one alarm came last, and whether that is too often."""

    __slots__ = ("announced", "on", "owed", "timer", "times")

    def __init__(self) -> None:
        self.times: tuple[int, ...] = ()
        self.on = False
        self.announced = 0
        """Priority of the highest severity that was announced of late."""
        self.owed = False
        """It was raised, and not announced because it chatters."""
        self.timer: Timer | None = None


class ChatterWatch:
    """Marks the alarms that chatter, and takes the mark away when they are calm.

    What chatters is not announced again, unless with a higher severity than before. What is still up and unacknowledged
    when it is calm is announced then, if an announcement was left out.
    """

    def __init__(self, clock: Clock, rule: ChatterRule, calm: Callable[[Leaf, bool], None]) -> None:
        """`calm` is told of a leaf that chatters no more, and whether an announcement is owed."""
        self._clock, self._rule, self._calm = clock, rule, calm
        self.leaves: dict[Leaf, None] = {}
        """Those that chatter."""

    def came(self, leaf: Leaf) -> None:
        """The alarm has come (again)."""
        rule = self._rule
        if rule.transitions <= 0:
            return
        now, window = self._clock.now_ns(), round(rule.seconds * SECOND)
        chatter = leaf.chatter
        if chatter is None:
            chatter = leaf.chatter = Chatter()
        elif not chatter.on and now - chatter.times[-1] > window:
            chatter.announced = 0
        chatter.times = (*chatter.times, now)[-rule.transitions :]
        if not chatter.on and len(chatter.times) == rule.transitions and now - chatter.times[0] <= window:
            chatter.on = True
            self.leaves[leaf] = None
            self._arm(leaf, chatter)

    def silences(self, leaf: Leaf, priority: int) -> bool:
        """An announcement of that priority (of its severity) is left out; otherwise it is taken as made."""
        chatter = leaf.chatter
        if chatter is None:
            return False
        if chatter.on and priority <= chatter.announced:
            chatter.owed = True
            return True
        chatter.announced = max(chatter.announced, priority)
        chatter.owed = False
        return False

    def forget(self, leaf: Leaf) -> None:
        """The leaf is no more, or begins anew."""
        if leaf.chatter is not None and leaf.chatter.timer is not None:
            leaf.chatter.timer.cancel()
        leaf.chatter = None
        self.leaves.pop(leaf, None)

    def restore(self, leaf: Leaf, times: tuple[int, ...], announced: int, owed: bool, least: float) -> None:
        """The leaf chattered before the restart, and does for `least` seconds more."""
        chatter = leaf.chatter = Chatter()
        chatter.times, chatter.announced, chatter.owed, chatter.on = times, announced, owed, True
        self.leaves[leaf] = None
        self._arm(leaf, chatter, least)

    def _arm(self, leaf: Leaf, chatter: Chatter, least: float = 0.0) -> None:
        left = (chatter.times[0] - self._clock.now_ns()) / SECOND + self._rule.seconds
        left = max(min(left, self._rule.seconds), least)  # the clock may have been set meanwhile
        chatter.timer = self._clock.call_later(left + 0.001, lambda: self._look(leaf, chatter))

    def _look(self, leaf: Leaf, chatter: Chatter) -> None:
        chatter.timer = None
        if 0 <= self._clock.now_ns() - chatter.times[0] <= round(self._rule.seconds * SECOND):
            self._arm(leaf, chatter)
            return
        chatter.on = False
        self.leaves.pop(leaf, None)
        owed, chatter.owed = chatter.owed, False
        self._calm(leaf, owed)


class FloodWatch:
    """Counts announcements, also those that a flood itself leaves out: otherwise it would end itself."""

    def __init__(self, clock: Clock, rule: FloodRule, changed: Callable[[], None]) -> None:
        """`changed` is told when a flood begins and when it ends."""
        self._clock, self._rule, self._changed = clock, rule, changed
        self._times: deque[int] = deque()
        self._timer: Timer | None = None
        self.on = False
        self.since_ns = 0
        self.peak = 0
        """The highest rate in this flood, or the last."""
        self.announced = 0
        """Highest priority of a severity that was announced in this flood."""

    @property
    def rate(self) -> int:
        """Alarms that were to be announced within the last ten minutes (the rule's seconds)."""
        self._drop()
        return len(self._times)

    def note(self) -> None:
        """One more is to be announced."""
        self._times.append(self._clock.now_ns())
        rate = self.rate
        if self._rule.begin > 0 and not self.on and rate > self._rule.begin:
            self.on, self.since_ns, self.announced, self.peak = True, self._clock.now_ns(), 0, 0
            self._arm()
            self._changed()
        self.peak = max(self.peak, rate) if self.on else self.peak

    def leads(self, priority: int) -> bool:
        """No announcement of this flood had so high a priority (of its severity) so far."""
        if priority <= self.announced:
            return False
        self.announced = priority
        return True

    def stop(self) -> None:
        """No timer runs any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def times(self) -> list[int]:
        """When, for a snapshot."""
        self._drop()
        return list(self._times)

    def restore(self, times: list[int]) -> None:
        """What was announced before the restart counts on."""
        self._times = deque(sorted(times))
        if self._rule.begin > 0 and self.rate > self._rule.begin:
            self.on, self.since_ns, self.peak = True, self._clock.now_ns(), self.rate
            self._arm()
            self._changed()

    def _drop(self) -> None:
        now = self._clock.now_ns()
        old = now - round(self._rule.seconds * SECOND)
        while self._times and not old <= self._times[0] <= now:  # the clock may have been set back meanwhile
            self._times.popleft()

    def _arm(self) -> None:
        """Look when so many have become old that it is over; more may come until then."""
        enough = self._times[max(len(self._times) - self._rule.end, 0)] if self._times else self._clock.now_ns()
        left = enough + round(self._rule.seconds * SECOND) - self._clock.now_ns()
        self._timer = self._clock.call_later(max(left, 0) / SECOND + 0.001, self._look)

    def _look(self) -> None:
        self._timer = None
        if self.rate >= self._rule.end:
            self._arm()
            return
        self.on = False
        self._changed()
