"""Annunciations on their way to the brokers: while none answers some wait, and of too many the oldest are dropped."""

from __future__ import annotations

from collections import deque

from iocs.alarm.kafka.publisher import Produce
from iocs.alarm.kafka.records import encode_talk, make_key
from iocs.alarm.tree.events import Annunciation

WAITING = 1000
"""So many annunciations wait for a broker."""
AWAY = 1000
"""So many may be on their way."""


class Talk:
    """Sends what operators are to hear, in order. `open` while a broker answers."""

    def __init__(self, produce: Produce) -> None:
        self.open = False
        self.sent = 0
        self.dropped = 0
        """So many were never sent: too many waited."""
        self._produce = produce
        self._waiting: deque[tuple[bytes, bytes]] = deque()
        self._away: deque[tuple[bytes, bytes]] = deque()

    @property
    def waiting(self) -> int:
        """Not on a broker yet."""
        return len(self._waiting) + len(self._away)

    def say(self, said: Annunciation) -> None:
        """Operators are to hear something."""
        self._waiting.append((make_key("talk", said.path), encode_talk(said)))
        self.drain()
        self._limit()

    def drain(self) -> None:
        """Send what waits."""
        while self.open and self._waiting and len(self._away) < AWAY:
            if not self._produce("talk", *self._waiting[0]):
                return
            self._away.append(self._waiting.popleft())
            self.sent += 1

    def delivered(self, count: int, failed: int) -> None:
        """So many have arrived; what failed is not said again: nobody may write there."""
        for _ in range(min(count + failed, len(self._away))):
            self._away.popleft()
        self.dropped += failed
        self.drain()

    def close(self) -> None:
        """What was on its way waits again, as nobody knows whether it arrived."""
        self.open = False
        self._waiting.extendleft(reversed(self._away))
        self._away.clear()
        self._limit()

    def _limit(self) -> None:
        while len(self._waiting) > WAITING:
            self._waiting.popleft()
            self.dropped += 1
