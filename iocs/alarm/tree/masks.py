"""Masks: alarms that are a consequence of another do not count while that one is in alarm.

- An alarm masks while it is up, or waits for its delay, and its PV is in alarm: a consequence must not be said before
  what it comes from. One that is only latched masks nothing, nor one that is disabled, filtered or out of its mode. One
  that is shelved does: what it stands for is still so. One that is masked itself does, as long as the alarm at the end
  of the chain is visible: of alarms that mask each other, one stays so.
- An area masks while an alarm in it does that is not masked itself. An alarm is never masked by itself, so an area may
  mask its own alarms: the one that came first stays.
- The first-out stays visible. Of the alarms that were up before the mask, those that came more than a second earlier
  are no consequence of it; of the rest, the earliest stays, too. But a lost connection is never the reason of another,
  whichever is noticed first: while the mask has lost its connection, those that have lost theirs are masked.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from iocs.alarm.tree.bursts import WINDOW_NS
from iocs.alarm.tree.clock import Clock, Timer
from iocs.alarm.tree.judgement import lost
from iocs.alarm.tree.nodes import MASKED, SHELVED, Area, Leaf
from iocs.alarm.tree.severity import AlarmSeverity

BACK = 5.0
"""Seconds that a masked alarm, whose PV is lost or invalid, has to get well once nothing masks it any more."""

log = logging.getLogger(__name__)


class Masks:
    """Which alarms are masked by what. `check` looks at those that a change concerns."""

    def __init__(
        self,
        find: Callable[[str], Area | Leaf | None],
        suppress: Callable[[Leaf, int], None],
        resume: Callable[[Leaf, int], None],
        clock: Clock,
    ) -> None:
        """`suppress` and `resume` are told of a leaf and MASKED."""
        self._find, self._suppress, self._resume, self._clock = find, suppress, resume, clock
        self._back: dict[Leaf, Timer] = {}
        self._late: set[Leaf] = set()
        self.masked_by: dict[str, dict[Leaf, None]] = {}
        """By the path of the source: the alarms that it masks."""
        self._exempt: set[Leaf] = set()
        self._due: deque[Leaf] = deque()
        self._waiting: set[Leaf] = set()
        self._running = False

    def add(self, leaf: Leaf) -> None:
        """The leaf is new."""
        if leaf.extras.masked_by:
            self.masked_by.setdefault(leaf.extras.masked_by, {})[leaf] = None

    def drop(self, leaf: Leaf, path: str) -> None:
        """The leaf is no more, or is not masked by `path` any more."""
        found = self.masked_by.get(path)
        if found is not None:
            found.pop(leaf, None)
            if not found:
                del self.masked_by[path]
        self._exempt.discard(leaf)
        self._waiting.discard(leaf)
        self._found(leaf)

    def count(self, leaf: Leaf) -> None:
        """Whether the leaf is in alarm, or suppressed, may be another."""
        counts = leaf.live and not leaf.reasons & ~SHELVED
        if counts != leaf.counted_live:
            leaf.counted_live = counts
            for area in leaf.above():
                area.live += 1 if counts else -1
                if area.live == 1 and counts:
                    area.live_ns = leaf.since_ns
                if self.masked_by and area.live <= 2 and area.path in self.masked_by:
                    self._concerns(area.path)
        if self.masked_by:
            if leaf in self._back and not lost(leaf.logic.counted):
                self._put(leaf)
            if leaf in self._exempt and leaf.alarm.severity is AlarmSeverity.OK:
                self._exempt.discard(leaf)
                self._put(leaf)
            if leaf.path in self.masked_by:
                self._concerns(leaf.path)

    def source(self, leaf: Leaf) -> Leaf | None:
        """The alarm that masks the leaf when it is up; None: none does, or an area."""
        found = self._find(leaf.extras.masked_by) if leaf.extras.masked_by else None
        return found if isinstance(found, Leaf) else None

    def exempt(self, leaf: Leaf) -> bool:
        """It would be masked, but came first."""
        return leaf in self._exempt

    def keep_visible(self, leaf: Leaf) -> None:
        """It came first before the restart."""
        self._exempt.add(leaf)

    def look_at(self, leaf: Leaf) -> None:
        """What masks this leaf may be another."""
        self._put(leaf)

    def check(self) -> None:
        """Mask and unmask what the changes concern, and what that concerns in turn."""
        if self._running or not self._due:
            return
        self._running = True
        steps = 0
        limit = 100 + 10 * sum(len(leaves) for leaves in self.masked_by.values())
        try:
            while self._due:
                leaf = self._due.popleft()
                if leaf not in self._waiting:
                    continue
                self._waiting.discard(leaf)
                self._look(leaf)
                steps += 1
                if steps > limit:
                    log.error("masks that never settle, around %s", leaf.path)
                    self._due.clear()
                    self._waiting.clear()
        finally:
            self._running = False

    def _put(self, leaf: Leaf) -> None:
        if leaf not in self._waiting:
            self._waiting.add(leaf)
            self._due.append(leaf)

    def _concerns(self, path: str) -> None:
        """The source at `path` has changed. Those that are up go first, in the order in which they came."""
        leaves = [leaf for leaf in self.masked_by[path] if leaf not in self._waiting]
        up = sorted((leaf for leaf in leaves if leaf.since_ns), key=lambda leaf: leaf.since_ns)
        source = self._find(path)
        since = self._since(source)
        visible = [leaf for leaf in up if not leaf.reasons and leaf.since_ns <= since and leaf is not source]
        if isinstance(source, Leaf) and lost(source.logic.counted):
            gone = {leaf for leaf in up if lost(leaf.logic.counted)}
            self._exempt -= gone
            visible = [leaf for leaf in visible if leaf not in gone]
        together = [leaf for leaf in visible if leaf.since_ns >= since - WINDOW_NS]
        self._exempt.update(visible[: len(visible) - len(together)])
        self._exempt.update(together[:1])
        for leaf in up:
            self._put(leaf)
        for leaf in leaves:
            if not leaf.since_ns:
                self._put(leaf)

    @staticmethod
    def _since(source: Area | Leaf | None) -> int:
        """Since when it masks; 0 when it does not."""
        if isinstance(source, Area):
            return source.live_ns if source.live else 0
        if source is None:
            return 0
        pending = source.logic.pending
        return source.since_ns if source.live else pending.time_ns if pending is not None else 0

    def _look(self, leaf: Leaf) -> None:
        in_force = self._in_force(leaf)
        masked = bool(leaf.reasons & MASKED)
        if not in_force:
            self._exempt.discard(leaf)
        wanted = in_force and leaf not in self._exempt
        if masked and not wanted and _unknown(leaf) and leaf not in self._late:
            if leaf not in self._back:
                self._back[leaf] = self._clock.call_later(BACK, lambda: self._still_lost(leaf))
            return
        self._found(leaf)
        if wanted and not masked:
            self._suppress(leaf, MASKED)
        elif masked and not wanted:
            self._resume(leaf, MASKED)

    def _still_lost(self, leaf: Leaf) -> None:
        del self._back[leaf]
        self._late.add(leaf)
        self._put(leaf)
        self.check()
        self._late.discard(leaf)

    def _found(self, leaf: Leaf) -> None:
        timer = self._back.pop(leaf, None)
        if timer is not None:
            timer.cancel()

    def stop(self) -> None:
        """No timer runs any more."""
        for leaf in list(self._back):
            self._found(leaf)

    def _in_force(self, leaf: Leaf) -> bool:
        """What masks the leaf is in alarm, and is not masked by the leaf in turn."""
        seen = {leaf}
        path = leaf.extras.masked_by
        while path:
            source = self._find(path)
            if isinstance(source, Area):
                own = leaf.counted_live and source in leaf.above()
                return source.live > (1 if own else 0)
            if source is None or source in seen or source.reasons & ~(SHELVED | MASKED):
                return False
            if not source.live and source.logic.pending is None:
                return False
            if not source.reasons & MASKED:
                return True
            seen.add(source)
            path = source.extras.masked_by
        return False


def _unknown(leaf: Leaf) -> bool:
    """Nobody can vouch for its PV, as after a loss that is just over."""
    counted = leaf.logic.counted
    return counted.severity is AlarmSeverity.INVALID or lost(counted)
