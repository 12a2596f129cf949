"""From the client's loop to the recorder's thread: a bounded queue of batches, and the count of what went in.

Nothing here looks at a single event: a batch goes in as it came.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from owlshift.ca.batch import Batch

OVERFLOW = "overflow"
"""Why samples are dropped while the disk takes some, but not enough."""

REJECTED = (OVERFLOW, "disk_full", "unwritable")
"""All reasons for which samples find no room: other threads read these counts, so no key may come in later."""


EVENTS = 1 << 20
"""Connection events that may wait: what comes beyond them, while nothing can be written, is not kept."""


@dataclass
class Taken:
    """What the recorder gets at once: batches, connection events (PV id, time in ns, code), drops by reason so far."""

    batches: list[Batch] = field(default_factory=list)
    events: list[tuple[int, int, int]] = field(default_factory=list)
    bytes: int = 0


class Intake:
    """Batches that wait for the recorder, at most `limit` bytes. `put` is for one thread, `take` for another."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.received = 0
        """Samples that ever came in, dropped ones included."""
        self.rejected: Counter[str] = Counter(dict.fromkeys(REJECTED, 0))
        """Samples that found no room, by reason."""
        self.blocked: str | None = None
        """Why the recorder can't write now: the reason for samples that find no room."""
        self.bytes = 0
        """Bytes that were put in and not yet `done`, those the recorder works on included."""
        self._batches: list[Batch] = []
        self._events: list[tuple[int, int, int]] = []
        self._new = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self.on_full: Callable[[], None] = lambda: None
        """Called in the putting thread when half of the room is taken."""
        self.on_rejected: Callable[[Batch], None] = lambda batch: None
        """Called in the putting thread with a batch that found no room."""

    def put(self, batch: Batch) -> None:
        """Queue a batch, or count it as rejected when there is no room."""
        n = len(batch)
        size = batch.values.nbytes + 16 * n
        with self._lock:
            self.received += n
            rejected = self.bytes + size > self.limit
            if rejected:
                self.rejected[self.blocked or OVERFLOW] += n
            else:
                self._batches.append(batch)
                self.bytes += size
                self._new += size
            full = self.bytes > self.limit // 2
            wake = self._new > 1 << 20
        if rejected:
            self.on_rejected(batch)
        if wake:
            self._wake.set()
        if full:
            self.on_full()

    def put_event(self, pv: int, time_ns: int, code: int) -> None:
        """Queue a connection event."""
        with self._lock:
            if len(self._events) < EVENTS:
                self._events.append((pv, time_ns, code))

    def take(self) -> Taken:
        """Everything that waits; its bytes stay counted until `done`."""
        with self._lock:
            taken = Taken(self._batches, self._events, self._new)
            self._batches, self._events, self._new = [], [], 0
            self._wake.clear()
        return taken

    def done(self, size: int) -> None:
        """`size` bytes that were taken are on their way to the disk, or dropped."""
        with self._lock:
            self.bytes -= size

    def wait(self, seconds: float) -> None:
        """Return after `seconds`, or sooner when much has come."""
        self._wake.wait(seconds)

    def wake(self) -> None:
        """End a `wait`."""
        self._wake.set()


class Channels:
    """Which PV a client's channel is, and how PVs are sampled: the recorder reads this while the loop changes it.

    A change makes a new array where it must grow and else sets one element, so a reader needs no lock.
    """

    UNKNOWN = np.uint32(0xFFFFFFFF)

    def __init__(self) -> None:
        self.pv = np.full(1024, self.UNKNOWN, np.uint32)
        """PV id by channel id."""
        self.period_ns = np.zeros(1024, np.int64)
        """Sampling period by PV id, 0 for every event."""
        self.deadband = np.zeros(1024)
        """Dead-band by PV id, 0 for none."""
        self.scanned = 0
        """How many PVs have a period."""
        self.banded = 0
        """How many PVs have a dead-band."""

    def map(self, channel: int, pv: int) -> None:
        """Channel `channel` is PV `pv` from now on."""
        if channel >= len(self.pv):
            larger = np.full(max(channel + 1, 2 * len(self.pv)), self.UNKNOWN, np.uint32)
            larger[: len(self.pv)] = self.pv
            self.pv = larger
        self.pv[channel] = pv

    def unmap(self, channel: int) -> None:
        """Events of `channel` are no longer wanted."""
        if channel < len(self.pv):
            self.pv[channel] = self.UNKNOWN

    def sample(self, pv: int, period_ns: int, deadband: float = 0.0) -> None:
        """Keep the newest value of each period of PV `pv`; 0: every event. And of those, what leaves the dead-band."""
        if pv >= len(self.period_ns):
            size = max(pv + 1, 2 * len(self.period_ns))
            for name in ("period_ns", "deadband"):
                old = getattr(self, name)
                larger = np.zeros(size, old.dtype)
                larger[: len(old)] = old
                setattr(self, name, larger)
        self.scanned += (period_ns > 0) - bool(self.period_ns[pv] > 0)
        self.banded += (deadband > 0) - bool(self.deadband[pv] > 0)
        self.period_ns[pv] = period_ns
        self.deadband[pv] = deadband
