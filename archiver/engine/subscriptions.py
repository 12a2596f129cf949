"""Channels for what is to be archived: subscriptions in step with the plan, and the state of every PV."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np

from archiver.engine.controls import Controls
from archiver.engine.counters import Links
from archiver.engine.intake import Channels, Intake
from archiver.engine.plan import Target
from archiver.engine.policies import Facts
from archiver.store.events import CONNECTED, LOST, REMOVED
from archiver.store.live import MONITOR, SCAN, UNKNOWN_TYPE, PvState
from archiver.store.registry import Registry
from archiver.store.samples import Dbr
from owlshift.ca import Batch, ChannelInfo, Client

AT_ONCE = 2000
"""PVs that are taken in without letting events through in between."""


class Names:
    """Names with an index that fits a column of the LIVE table; 0 is "", and what finds no room."""

    def __init__(self) -> None:
        self.known = [""]
        self._index = {"": 0}

    def index(self, name: str) -> int:
        """The index of a name."""
        found = self._index.get(name)
        if found is None:
            if len(self.known) > 0xFFFF:
                return 0
            found = self._index[name] = len(self.known)
            self.known.append(name)
        return found


class Subscriptions:
    """Subscribes to PVs as their targets say.

    PVs are known by name here, by id in the tables, by channel to the client.
    """

    def __init__(
        self, client: Client, intake: Intake, pvs: Channels, links: Links, controls: Controls, registry: Registry
    ) -> None:
        self.targets: dict[str, Target] = {}
        """All that is to be archived, paused PVs included."""
        self.hosts, self.policies = Names(), Names()
        self._client, self._intake, self._pvs, self._links = client, intake, pvs, links
        self._controls = controls
        self._registry = registry
        self._channels: dict[str, int] = {}
        self._controlled: dict[str, set[str]] = {}
        """By controlling PV."""

    def channel(self, name: str) -> int | None:
        """The channel of a PV that is subscribed to."""
        return self._channels.get(name)

    async def apply(self, changes: Mapping[str, Target | None], requested_ns: Callable[[str], int]) -> None:
        """Take these targets (None: archive it no more); the ids of all of them must be known."""
        items = list(changes.items())
        now_ns = time.time_ns()
        for start in range(0, len(items), AT_ONCE):
            part = items[start : start + AT_ONCE]
            for name, target in part:
                self._take(name, target, requested_ns, now_ns)
            self._subscribe([name for name, target in part if target is not None])
            await asyncio.sleep(0)
        await self._controls.follow(self._controlled)

    def _take(self, name: str, target: Target | None, requested_ns: Callable[[str], int], now_ns: int) -> None:
        old = self.targets.get(name)
        if old is not None and old.controlling is not None:
            self._controlled[old.controlling].discard(name)
            if not self._controlled[old.controlling]:
                del self._controlled[old.controlling]
        if target is None:
            self.targets.pop(name, None)
            if old is not None:
                pv = self._registry.ids[name]
                self._pvs.sample(pv, 0)
                self._stop(name, PvState.NOT_ARCHIVED)
            return
        self.targets[name] = target
        if target.controlling is not None:
            self._controlled.setdefault(target.controlling, set()).add(name)
        pv, links, sampling = self._registry.ids[name], self._links, target.sampling
        links.ensure(pv + 1)
        scan = sampling.method == "scan"
        self._pvs.sample(pv, int(sampling.period * 1e9) if scan else 0, sampling.deadband)
        links.method[pv], links.period[pv] = SCAN if scan else MONITOR, sampling.period
        links.policy[pv] = self.policies.index(target.policy)
        if old is None:
            links.requested_ns[pv] = requested_ns(name) or links.requested_ns[pv] or now_ns

    def _subscribe(self, names: list[str]) -> None:
        """Begin or end the subscriptions of these PVs, as their targets and controlling PVs want it."""
        begin = []
        for name in names:
            target = self.targets[name]
            off = target.controlling is not None and not self._controls.is_on(target.controlling)
            if target.paused or off:
                self._stop(name, PvState.PAUSED if target.paused else PvState.OFF)
            elif name not in self._channels:
                begin.append(name)
        if not begin:
            return
        for name, channel in zip(begin, self._client.subscribe(begin).tolist(), strict=True):
            pv = self._registry.ids[name]
            self._pvs.map(channel, pv)
            self._channels[name] = channel
            self._links.state[pv] = PvState.CONNECTING

    def _stop(self, name: str, state: PvState) -> None:
        pv = self._registry.ids[name]
        channel = self._channels.pop(name, None)
        if channel is not None:
            self._client.unsubscribe([channel])
            self._pvs.unmap(channel)
            self._intake.put_event(pv, time.time_ns(), REMOVED)
        self._links.ensure(pv + 1)
        self._links.state[pv] = state

    def switched(self, controlling: str) -> None:
        """A controlling PV has been switched."""
        self._subscribe(sorted(self._controlled.get(controlling, ())))

    # what the client says

    def connected(self, info: ChannelInfo) -> int:
        """A channel is there; returns its PV's id."""
        pv = int(self._pvs.pv[info.id])
        links, now_ns = self._links, time.time_ns()
        links.state[pv] = PvState.CONNECTED
        links.connected_ns[pv] = now_ns
        if not links.first_connected_ns[pv]:
            links.first_connected_ns[pv] = now_ns
        links.dbr[pv], links.array[pv], links.count[pv] = info.dbr, info.count != 1, info.count
        links.host[pv] = self.hosts.index(info.host)
        self._intake.put_event(pv, now_ns, CONNECTED)
        return pv

    def disconnected(self, channel: int, time_ns: int) -> None:
        """A channel is lost."""
        pv = int(self._pvs.pv[channel])
        self._links.state[pv] = PvState.DISCONNECTED
        self._links.lost_ns[pv] = time_ns
        self._links.losses[pv] += 1
        self._intake.put_event(pv, time_ns, LOST)

    def rejected(self, batch: Batch) -> None:
        """A batch found no room in the queue."""
        pv = np.take(self._pvs.pv, batch.channel, mode="clip")
        np.add.at(self._links.dropped_overflow, pv[pv != Channels.UNKNOWN], 1)

    def facts(self, name: str, metadata: Mapping[str, str], rates: np.ndarray) -> Facts:
        """What is known of a PV. `rates`: events/s by PV id, NaN where it was not measured."""
        pv = self._registry.ids.get(name)
        if pv is None or pv >= len(self._links.dbr) or self._links.dbr[pv] == UNKNOWN_TYPE:
            return Facts(metadata=metadata)
        rate = float(rates[pv]) if pv < len(rates) else float("nan")
        dbr, array = Dbr(int(self._links.dbr[pv])), bool(self._links.array[pv])
        return Facts(dbr, array, None if rate != rate else rate, metadata)

    def states(self) -> Counter[PvState]:
        """How many PVs are in each state, those that are not archived left out."""
        counts = np.bincount(self._links.state, minlength=len(PvState))
        return Counter({state: int(counts[state]) for state in PvState if state is not PvState.NOT_ARCHIVED})
