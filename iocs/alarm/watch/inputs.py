"""PVs that the alarm server reads besides its alarms: inputs of filters, the operating mode, catalogues."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from owlshift.ca import DBE, Batch, CaAddresses, ChannelInfo, Client, Dbr, Metadata

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Heard:
    """What a PV said last."""

    value: Any
    """A scalar, or an array, of `dbr`."""
    dbr: Dbr
    metadata: Metadata
    severity: int
    time_ns: int


OnValue = Callable[[Heard | None], None]
"""Called with the newest value of a batch; None once the PV is gone."""


@dataclass(slots=True, eq=False)
class _Followed:
    channel: int
    last: Heard | None = None
    callbacks: list[OnValue] = field(default_factory=list)


class Inputs:
    """Follows PVs by name with a client of its own, each subscribed to once however many follow it."""

    def __init__(self, addresses: CaAddresses | None = None) -> None:
        self.client = Client(addresses, self)
        self._by_name: dict[str, _Followed] = {}
        self._by_channel: dict[int, _Followed] = {}

    async def start(self) -> None:
        """Open the sockets; OSError when that is not possible."""
        await self.client.start()

    async def close(self) -> None:
        """Follow nothing any more."""
        await self.client.close()

    def follow(self, name: str, on_value: OnValue) -> None:
        """Call `on_value` for every change of the channel `name` from now on, first with what is known already.

        ValueError for what can be no channel name.
        """
        followed = self._by_name.get(name)
        if followed is None:
            channel = int(self.client.subscribe([name], DBE.VALUE | DBE.ALARM)[0])
            followed = self._by_name[name] = self._by_channel[channel] = _Followed(channel)
        followed.callbacks.append(on_value)
        if followed.last is not None:
            self._call(on_value, followed.last)

    def leave(self, name: str, on_value: OnValue) -> None:
        """Undo `follow`."""
        followed = self._by_name.get(name)
        if followed is None or on_value not in followed.callbacks:
            return
        followed.callbacks.remove(on_value)
        if not followed.callbacks:
            del self._by_name[name], self._by_channel[followed.channel]
            self.client.unsubscribe([followed.channel])

    # what the client tells

    def batch(self, batch: Batch) -> None:
        """Of each channel its newest event."""
        newest = dict(zip(batch.channel.tolist(), range(len(batch)), strict=True))
        for channel, place in newest.items():
            followed = self._by_channel.get(channel)
            info = self.client.info(channel)
            if followed is None or info is None:
                continue
            value = batch.values[place]
            if isinstance(value, np.ndarray) and len(batch) > 1:
                value = value.copy()  # a view would keep the whole batch
            heard = Heard(
                value,
                batch.dbr,
                info.metadata,
                int(batch.severity[place]),
                int(batch.time_ns[place]),
            )
            self._tell(followed, heard)

    def connected(self, info: ChannelInfo) -> None:
        """Its value follows."""

    def disconnected(self, channel: int, reason: str, time_ns: int) -> None:
        """Nothing is known of it any more."""
        followed = self._by_channel.get(channel)
        if followed is not None:
            self._tell(followed, None)

    def _tell(self, followed: _Followed, heard: Heard | None) -> None:
        followed.last = heard
        for callback in list(followed.callbacks):
            self._call(callback, heard)

    @staticmethod
    def _call(callback: OnValue, heard: Heard | None) -> None:
        try:
            callback(heard)
        except Exception:
            # one follower's fault must not keep the others from hearing
            log.exception("a value could not be taken")
