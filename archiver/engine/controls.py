"""Controlling PVs: while one is zero, the PVs that name it are not archived."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from owlshift.ca import Batch, ChannelInfo, Client

log = logging.getLogger(__name__)

_OFF_TEXTS = ("", "0", "off", "no", "false")


class Controls:
    """Subscriptions to controlling PVs, in a client of its own. `changed` gets the name of one that was switched.

    One that was never there is off; one that is lost stays as it was.
    """

    def __init__(self, changed: Callable[[str], None]) -> None:
        self._changed = changed
        self._client: Client | None = None
        self._names: dict[int, str] = {}
        self._channels: dict[str, int] = {}
        self._on: dict[str, bool] = {}

    def is_on(self, name: str) -> bool:
        """Whether PVs that `name` controls are to be archived now."""
        return self._on.get(name, False)

    async def follow(self, wanted: Iterable[str]) -> None:
        """Follow these controlling PVs, and no others."""
        wanted = set(wanted)
        if wanted == self._channels.keys():
            return
        if self._client is None:
            self._client = Client(sink=self, metadata=False)
            await self._client.start()
        gone = [name for name in self._channels if name not in wanted]
        self._client.unsubscribe([self._channels[name] for name in gone])
        for name in gone:
            del self._names[self._channels.pop(name)]
            self._on.pop(name, None)
        for name in sorted(wanted - self._channels.keys()):
            try:
                channel = int(self._client.subscribe([name])[0])
            except ValueError as error:
                log.warning("a controlling PV: %s", error)
                continue
            self._channels[name], self._names[channel] = channel, name

    async def close(self) -> None:
        """Stop the client."""
        if self._client is not None:
            await self._client.close()

    def batch(self, batch: Batch) -> None:
        """Values of controlling PVs; the newest counts."""
        for channel, value in zip(batch.channel.tolist(), batch.values, strict=True):
            name = self._names.get(channel)
            on = switched_on(value)
            if name is not None and on != self._on.get(name, False):
                log.info("%s switches the PVs that it controls %s", name, "on" if on else "off")
                self._on[name] = on
                self._changed(name)

    def connected(self, info: ChannelInfo) -> None:
        """It is there; its value follows."""

    def disconnected(self, channel: int, reason: str, time_ns: int) -> None:
        """It stays as it was."""


def switched_on(value: Any) -> bool:
    """Whether a value of a controlling PV means on: of an array, the first element; NaN is off."""
    if isinstance(value, np.ndarray):
        if value.size == 0:
            return False
        value = value.flat[0]
    if isinstance(value, bytes | np.bytes_):
        return bytes(value).decode("latin-1").strip().lower() not in _OFF_TEXTS
    return bool(value == value and value != 0)
