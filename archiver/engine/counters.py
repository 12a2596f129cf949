"""What is counted of each PV, in arrays by PV id: no Python object and no step of Python for any event."""

from __future__ import annotations

import time

import numpy as np

from archiver.store.live import LIVE, UNKNOWN_TYPE
from archiver.store.records import Columns

SMOOTH = 60.0
"""Seconds over which rates are averaged (less right after a PV has come)."""


class _Table:
    """Arrays of one length by PV id; only its one thread lets them grow, so that no count is ever lost."""

    _kinds: dict[str, str] = {}

    def __init__(self) -> None:
        for name, kind in self._kinds.items():
            setattr(self, name, np.zeros(1024, kind))
        self._size = 1024

    def ensure(self, size: int) -> None:
        """Have room for PV ids below `size`."""
        if size <= self._size:
            return
        size = max(size, 2 * self._size)
        for name, kind in self._kinds.items():
            larger = np.zeros(size, kind)
            larger[: self._size] = getattr(self, name)
            setattr(self, name, larger)
        self._size = size

    def _fill(self, table: np.ndarray, names: dict[str, str]) -> None:
        for column, name in names.items():
            array = getattr(self, name)[: len(table)]
            table[column][: len(array)] = array


def add(counts: np.ndarray, pv: np.ndarray) -> None:
    """Add the number of times that each id is in `pv` to `counts`."""
    if len(pv) * 8 < len(counts):
        np.add.at(counts, pv, 1)
    else:
        found = np.bincount(pv)
        part = counts[: len(found)]
        np.add(part, found, out=part, casting="unsafe")


class Flow(_Table):
    """Counted by the recorder's thread."""

    _kinds = {"events": "u8", "bytes": "u8", "last_ns": "i8", "time": "u8", "scan": "u8", "deadband": "u8"}
    events: np.ndarray
    bytes: np.ndarray
    last_ns: np.ndarray
    time: np.ndarray
    scan: np.ndarray
    deadband: np.ndarray

    def begin(self, before: np.ndarray) -> None:
        """Take over when each PV had its last event, from the LIVE table of the engine before this one."""
        self.ensure(len(before))
        self.last_ns[: len(before)] = before["last_ns"]

    def came(self, columns: Columns) -> None:
        """These samples have come."""
        n = len(columns)
        if n == 0:
            return
        pv = columns.pv
        self.ensure(int(pv.max()) + 1)
        each = columns.values.nbytes // n
        if n * 8 < self._size:
            np.add.at(self.events, pv, 1)
            np.add.at(self.bytes, pv, each)
        else:
            found = np.bincount(pv)
            for counts in (self.events[: len(found)], self.bytes[: len(found)]):
                np.add(counts, found, out=counts, casting="unsafe")
                found *= each

    def good(self, columns: Columns) -> None:
        """Of these the time stamps can be true. Of a PV that is in there several times, the last one stays."""
        self.last_ns[columns.pv] = columns.time_ns

    def fill(self, table: np.ndarray) -> None:
        """Put what was counted into the rows of a LIVE table."""
        names = {name: name for name in ("events", "bytes", "last_ns")}
        self._fill(table, names | {f"dropped_{name}": name for name in ("time", "scan", "deadband")})


class Links(_Table):
    """Kept by the engine's loop: what is to be archived, and the connections."""

    _kinds = {
        name: LIVE[name].str
        for name in (
            *("state", "method", "dbr", "array", "count", "period", "requested_ns", "first_connected_ns"),
            *("connected_ns", "lost_ns", "losses", "host", "policy", "dropped_overflow"),
        )
    }
    state: np.ndarray
    method: np.ndarray
    dbr: np.ndarray
    array: np.ndarray
    count: np.ndarray
    period: np.ndarray
    requested_ns: np.ndarray
    first_connected_ns: np.ndarray
    connected_ns: np.ndarray
    lost_ns: np.ndarray
    losses: np.ndarray
    host: np.ndarray
    policy: np.ndarray
    dropped_overflow: np.ndarray

    def __init__(self, before: np.ndarray) -> None:
        """`before`: the LIVE table that the engine before this one left; types and times are taken from there."""
        super().__init__()
        self.dbr[:] = UNKNOWN_TYPE
        self.ensure(len(before))
        for name in ("dbr", "array", "count", "requested_ns", "first_connected_ns", "connected_ns", "lost_ns"):
            getattr(self, name)[: len(before)] = before[name]

    def ensure(self, size: int) -> None:
        """Have room for PV ids below `size`, of types that nobody knows yet."""
        old = self._size
        super().ensure(size)
        self.dbr[old:] = UNKNOWN_TYPE

    def fill(self, table: np.ndarray) -> None:
        """Put it into the rows of a LIVE table."""
        self._fill(table, {name: name for name in self._kinds})


class Rates:
    """Events and bytes a second of each PV, from two looks at the counters and what is remembered of earlier ones."""

    def __init__(self) -> None:
        self._then = time.monotonic()
        self._events = np.zeros(0, np.uint64)
        self._bytes = np.zeros(0, np.uint64)
        self._sums = np.zeros((3, 0))
        self._watched = np.zeros(0, bool)
        self._first = np.zeros(0, bool)
        self.events = np.zeros(0)
        """Events/s by PV id."""
        self.bytes = np.zeros(0)
        """Bytes/s by PV id."""

    def look(self, events: np.ndarray, size: np.ndarray, watched: np.ndarray, now: float | None = None) -> None:
        """Take in the counters (by PV id, all of one length); time passes only for PVs that are `watched`.

        The event that every subscription begins with tells nothing of a rate and is left out.
        """
        now = time.monotonic() if now is None else now
        seconds, self._then = max(now - self._then, 1e-3), now
        n = len(events)
        if (more := n - len(self._events)) > 0:
            self._events = np.concatenate((self._events, np.zeros(more, np.uint64)))
            self._bytes = np.concatenate((self._bytes, np.zeros(more, np.uint64)))
            self._sums = np.concatenate((self._sums, np.zeros((3, more))), axis=1)
            self._watched = np.concatenate((self._watched, np.zeros(more, bool)))
            self._first = np.concatenate((self._first, np.zeros(more, bool)))
        came = (events - self._events).astype(float)
        bytes_came = (size - self._bytes).astype(float)
        self._first |= watched & ~self._watched
        begun = self._first & (came > 0)
        bytes_came[begun] *= (came[begun] - 1) / came[begun]
        came[begun] -= 1
        self._first &= ~begun
        self._sums *= np.exp(-seconds / SMOOTH)
        self._sums += (came, bytes_came, seconds * watched)
        self._events, self._bytes, self._watched = events.copy(), size.copy(), watched.copy()
        over = np.maximum(self._sums[2], 1e-3)
        self.events = np.where(watched, self._sums[0] / over, 0.0)
        self.bytes = np.where(watched, self._sums[1] / over, 0.0)

    def seen(self, size: int) -> np.ndarray:
        """Seconds (weighted) for which PVs with ids below `size` have been watched."""
        result = np.zeros(size)
        known = self._sums[2, :size]
        result[: len(known)] = known
        return result
