"""What the PVs of the alarm tree do, told to the tree: severities, losses, filters and the operating mode."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from iocs.alarm.tree.clock import Clock, Timer
from iocs.alarm.tree.events import Listener, Person
from iocs.alarm.tree.items import Item, LeafConfig
from iocs.alarm.tree.tree import AlarmTree, Leaf
from iocs.alarm.watch.channels import channel_of
from iocs.alarm.watch.feed import DISCONNECTED, UNDEFINED, Change, Feed
from iocs.alarm.watch.filterwatch import FilterWatch
from iocs.alarm.watch.inputs import Heard, Inputs
from iocs.alarm.watch.values import value_text
from owlshift.ca import CaAddresses, Metadata

log = logging.getLogger(__name__)

SETTLE = 5.0
"""Seconds at the start for which an alarm with a filter or with modes waits to know what these say."""
_SLICE = 4_000
"""PVs that are searched for at once: more overflow a server's socket, and are found later than one after another."""
_SLICE_WAIT = 0.25
"""Seconds for which the next ones wait for these."""


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """How PVs are watched."""

    connection_timeout: float = 30.0
    """Seconds after which a PV that was never there is `Disconnected`."""
    mode_pv: str = ""
    """The PV that says the operating mode; none when empty."""
    compatible: bool = False
    """Filters with a missing input hold their alarms back, as in Phoebus."""
    every_value: bool = False
    """Ask for all events instead of those of alarms, for servers that send no others."""


class Watch(Listener):
    """Feeds the tree with what the PVs of its alarms do, from `start` to `close`.

    It listens to the tree: what is configured later is watched, what is removed is not any longer. `addresses`: where
    PVs are searched for, from the environment when None.
    """

    def __init__(
        self,
        tree: AlarmTree,
        clock: Clock,
        settings: WatchSettings | None = None,
        addresses: CaAddresses | None = None,
    ) -> None:
        self.tree, self._clock = tree, clock
        self._settings = settings = settings or WatchSettings()
        self.feed = Feed(self._take, addresses, every_value=settings.every_value, first=self._masks)
        self.inputs = Inputs(addresses)
        self.filters = FilterWatch(self.inputs, clock, self._filtered, compatible=settings.compatible)
        self.problems: dict[str, str] = {}
        """Path -> why its PV cannot be watched at all."""
        self._leaves: dict[int, Leaf] = {}
        """By channel."""
        self._channels: dict[str, int] = {}
        """By path."""
        self._wanted: dict[str, Leaf] = {}
        """By path, what is subscribed to in the next turn of the loop."""
        self._waiting: dict[str, Leaf] = {}
        """By path, what waits for its filter or for the mode."""
        self._timers: set[Timer] = set()
        self._task: asyncio.Task[None] | None = None
        self._running = False
        self._settled = False
        self._mode: str | None = None

    # life cycle

    async def start(self) -> None:
        """Begin to subscribe to all PVs of the tree, and follow its configuration; OSError without a network."""
        await self.feed.start()
        await self.inputs.start()
        self._running = True
        self.tree.listeners.append(self)
        if self._settings.mode_pv:
            self.inputs.follow(channel_of(self._settings.mode_pv), self._take_mode)
        self._later(min(SETTLE, self._settings.connection_timeout), self._settle)
        self._task = asyncio.create_task(self._begin(list(self.tree.leaves())), name="alarm PVs")
        self._task.add_done_callback(_ended)

    async def _begin(self, leaves: list[Leaf]) -> None:
        for start in range(0, len(leaves), _SLICE):
            before = self.connected
            for leaf in leaves[start : start + _SLICE]:
                if leaf.path not in self._channels and self.tree.find(leaf.path) is leaf:
                    self._add(leaf)
            wanted = before + 0.98 * len(self._wanted)
            self._subscribe()
            end = time.monotonic() + _SLICE_WAIT
            while self.connected < wanted and time.monotonic() < end:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0)

    async def close(self) -> None:
        """Watch nothing any more; the tree stays as it is."""
        if not self._running:
            return
        self._running = False
        if self in self.tree.listeners:
            self.tree.listeners.remove(self)
        for timer in list(self._timers):
            timer.cancel()
        self._timers.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.filters.close()
        await self.feed.close()
        await self.inputs.close()

    # for those who show how it goes

    @property
    def watched(self) -> int:
        """PVs that are subscribed to."""
        return len(self._channels)

    @property
    def connected(self) -> int:
        """PVs that are there."""
        return len(self.feed.live)

    def missing(self) -> list[str]:
        """The paths of alarms whose PV is not there."""
        return [path for path, channel in self._channels.items() if channel not in self.feed.live]

    # what the tree tells

    def configured(self, item: Item, who: Person) -> None:
        """Watch a new alarm, or take a changed filter."""
        leaf = self.tree.find(item.path)
        if not isinstance(leaf, Leaf) or not isinstance(item.config, LeafConfig):
            return
        channel = self._channels.get(item.path)
        if channel is not None:
            self._leaves[channel] = leaf
            self.filters.set(item.path, item.config.filter)
            return
        self._add(leaf)

    def removed(self, path: str, who: Person) -> None:
        """Watch it no longer."""
        self.filters.drop(path)
        self.problems.pop(path, None)
        self._wanted.pop(path, None)
        self._waiting.pop(path, None)
        channel = self._channels.pop(path, None)
        if channel is not None:
            del self._leaves[channel]
            self.feed.forget([channel])

    # subscriptions

    def _add(self, leaf: Leaf) -> None:
        try:
            channel_of(leaf.pv)
        except ValueError as error:
            self.problems[leaf.path] = str(error)
            log.warning("%s: %s", leaf.path, error)
            self.tree.update(leaf, UNDEFINED, str(error), "", self._clock.now_ns())
            return
        waits = bool(leaf.extras.modes) and bool(self._settings.mode_pv) and self._mode is None
        if leaf.config.filter:
            self.filters.set(leaf.path, leaf.config.filter)
            waits |= not self.filters.known(leaf.path)
        if waits and not self._settled:
            self._waiting[leaf.path] = leaf
        else:
            self._want(leaf)

    def _want(self, leaf: Leaf) -> None:
        if not self._wanted:
            asyncio.get_running_loop().call_soon(self._subscribe)
        self._wanted[leaf.path] = leaf

    def _subscribe(self) -> None:
        wanted, self._wanted = self._wanted, {}
        if not wanted or not self._running:
            return
        channels = self.feed.subscribe(channel_of(leaf.pv) for leaf in wanted.values())
        for channel, (path, leaf) in zip(channels, wanted.items(), strict=True):
            self._leaves[channel] = leaf
            self._channels[path] = channel
        self._later(self._settings.connection_timeout, lambda: self._give_up(channels))

    def _settle(self) -> None:
        """Filters and modes that are not known by now are not waited for."""
        self._settled = True
        waiting, self._waiting = self._waiting, {}
        for leaf in waiting.values():
            self._want(leaf)

    def _give_up(self, channels: list[int]) -> None:
        self.feed.give_up(channel for channel in channels if channel in self._leaves)

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        def run() -> None:
            self._timers.discard(handle)
            call()

        handle = self._clock.call_later(seconds, run)
        self._timers.add(handle)

    # what PVs do

    def _take(self, change: Change) -> None:
        leaf = self._leaves.get(change.channel)
        if leaf is None:
            return
        if change.severity == DISCONNECTED:
            self.tree.disconnected(leaf, change.time_ns)
        else:
            self.tree.update(leaf, change.severity, change.message, change.value, change.time_ns)

    def _masks(self, channel: int) -> bool:
        """Others are masked by this one: it is told before them, so that they are when they come."""
        leaf = self._leaves.get(channel)
        return leaf is not None and self.tree.masks_others(leaf.path)

    def _filtered(self, path: str, passes: bool) -> None:
        leaf = self.tree.find(path)
        if isinstance(leaf, Leaf):
            self.tree.set_filter(leaf, passes)
        waiting = self._waiting.pop(path, None) if self.filters.known(path) else None
        if waiting is not None:
            self._add(waiting)

    def _take_mode(self, heard: Heard | None) -> None:
        if heard is None:
            log.warning(
                "%s, which says the operating mode, is gone: the mode stays %s", self._settings.mode_pv, self._mode
            )
            return
        text = value_text(heard.value, heard.dbr, Metadata(states=heard.metadata.states))
        if text != self._mode:
            self._mode = text
            self.tree.set_mode(text, Person(self._settings.mode_pv, ""))
            waiting, self._waiting = self._waiting, {}
            for leaf in waiting.values():
                self._add(leaf)


def _ended(task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.error("not all PVs of alarms are watched", exc_info=error)
