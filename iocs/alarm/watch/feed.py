"""The PVs of alarms over Channel Access: only what changes a severity or status, or is a loss, goes on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from iocs.alarm.tree.severity import status_message
from iocs.alarm.watch.changes import Changes
from iocs.alarm.watch.values import value_text
from owlshift.ca import DBE, Access, Batch, CaAddresses, ChannelInfo, Client, Metadata

log = logging.getLogger(__name__)

DISCONNECTED = -1
"""In the place of a severity: the PV is gone."""
UNDEFINED = 4
"""A severity that no PV has."""
NO_ACCESS = "No read access"
_SLICE = 0.02
"""Seconds of work until others in the event loop have their turn."""
_QUEUE_LIMIT = 100_000
"""Changes that wait; above it servers are asked to hold events back, and to keep the newest of each channel."""
_LOG_INTERVAL = 60.0
_DAY_NS = 86_400 * 10**9
_EPICS_EPOCH_NS = 631_152_000 * 10**9
_NO_METADATA = Metadata()


@dataclass(slots=True)
class Change:
    """What a PV says anew."""

    channel: int
    severity: int
    """Of Channel Access (0 to 3, whatever else a server sends), or `DISCONNECTED`."""
    message: str
    value: str
    time_ns: int
    """UTC; the server's time stamp, or now where that cannot be."""


class Feed:
    """A Channel Access client for many channels; `tell` is called for every change, in order, from the event loop.

    `every_value`: ask for all events, for servers that send those of alarms only then. `first(channel)`: of what
    happens at one time, this channel's comes first.
    """

    def __init__(
        self,
        tell: Callable[[Change], None],
        addresses: CaAddresses | None = None,
        *,
        every_value: bool = False,
        first: Callable[[int], bool] = lambda channel: False,
    ) -> None:
        self.client = Client(addresses, self)
        self.received = 0
        """Events so far."""
        self.changes = 0
        """What was told."""
        self.live: set[int] = set()
        """Channels that are connected."""
        self._tell, self._first = tell, first
        self._mask = DBE.VALUE | DBE.ALARM if every_value else DBE.ALARM
        self._known = Changes()
        self._queue: deque[Change] = deque()
        self._draining = False
        self._paused = False
        self._failures = 0
        self._next_log = 0.0

    async def start(self) -> None:
        """Open the sockets; OSError when that is not possible."""
        await self.client.start()

    async def close(self) -> None:
        """Nothing is told any more."""
        self._queue.clear()
        await self.client.close()

    @property
    def behind(self) -> int:
        """Changes that were not told yet."""
        return len(self._queue)

    def subscribe(self, names: Iterable[str]) -> list[int]:
        """Channel ids of these names; ValueError for what can be no name."""
        return self.client.subscribe(names, self._mask).tolist()

    def forget(self, channels: Iterable[int]) -> None:
        """Unsubscribe; what is queued of these channels is still told."""
        gone = list(channels)
        self.client.unsubscribe(gone)
        for channel in gone:
            self.live.discard(channel)
            self._known.forget(channel)

    def give_up(self, channels: Iterable[int]) -> None:
        """Say of those that were never heard that they are not there."""
        now = time.time_ns()
        for channel in channels:
            if self._known.heard(channel):
                continue
            info = self.client.info(channel)
            if info is not None and not info.access & Access.READ:
                self._put(Change(channel, UNDEFINED, NO_ACCESS, "", now))
            else:
                self._put(Change(channel, DISCONNECTED, "", "", now))

    # what the client tells

    def batch(self, batch: Batch) -> None:
        """Queue what changes a severity or status."""
        self.received += len(batch)
        places = self._known.take(batch)
        if not places:
            return
        now = time.time_ns()
        columns = (batch.channel, batch.severity, batch.status, batch.time_ns)
        rows = zip(places, *(column[places].tolist() for column in columns), strict=True)
        for place, channel, severity, status, stamp in sorted(rows, key=lambda row: not self._first(row[1])):
            info = self.client.info(channel)
            metadata = info.metadata if info is not None else _NO_METADATA
            text = value_text(batch.values[place], batch.dbr, metadata)
            # a clock that was never set, or is far off, must not decide when an alarm was
            when = stamp if _EPICS_EPOCH_NS + _DAY_NS < stamp < now + _DAY_NS else now
            self._put(Change(channel, severity, status_message(status), text, when))

    def connected(self, info: ChannelInfo) -> None:
        """Its first event follows, where it may be read."""
        self.live.add(info.id)
        if not info.access & Access.READ:
            self._put(Change(info.id, UNDEFINED, NO_ACCESS, "", time.time_ns()))

    def changed(self, info: ChannelInfo) -> None:
        """Access rights are others: what may not be read any more is not known."""
        if not info.access & Access.READ and self._known.heard(info.id):
            self._known.forget(info.id)
            self._put(Change(info.id, UNDEFINED, NO_ACCESS, "", time.time_ns()))

    def disconnected(self, channel: int, reason: str, time_ns: int) -> None:
        """Whatever it says next is new."""
        self.live.discard(channel)
        self._known.forget(channel)
        self._put(Change(channel, DISCONNECTED, "", "", time_ns))

    # in slices, since ten thousand changes may come at once

    def _put(self, change: Change) -> None:
        if change.severity == DISCONNECTED and self._first(change.channel) and not self._queued(change.channel):
            self._queue.appendleft(change)
        else:
            self._queue.append(change)
        if not self._draining:
            self._draining = True
            asyncio.get_running_loop().call_soon(self._drain)
        if len(self._queue) > _QUEUE_LIMIT and not self._paused:
            self._paused = True
            self.client.pause()
            log.warning("%d changes of severities wait: servers are asked to hold events back", len(self._queue))

    def _queued(self, channel: int) -> bool:
        return any(change.channel == channel for change in self._queue)

    def _drain(self) -> None:
        end = time.perf_counter() + _SLICE
        while self._queue:
            change = self._queue.popleft()
            self.changes += 1
            try:
                self._tell(change)
            except Exception as error:
                # one alarm's fault must not keep the others from being told
                self._failed(change, error)
            if time.perf_counter() > end and self._queue:
                asyncio.get_running_loop().call_soon(self._drain)
                return
        self._draining = False
        if self._paused:
            self._paused = False
            self.client.resume()

    def _failed(self, change: Change, error: Exception) -> None:
        self._failures += 1
        now = time.monotonic()
        if now >= self._next_log:
            self._next_log = now + _LOG_INTERVAL
            log.error("%s could not be taken (failure %d)", change, self._failures, exc_info=error)
