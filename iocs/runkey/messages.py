"""What subsystems say in `IOC:Msg` while something is put: there is the reason of each refusal, one after another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress

import numpy as np

from owlshift.ca import Batch, ChannelInfo, Client

PV = "IOC:Msg"
LISTENING = 1.0
"""Seconds that the first put waits until every subsystem's messages are heard; then it goes on without the rest."""
DELIVERY = 2.0
"""Seconds that a message may come later than the refusal that it explains."""


class Messages:
    """Follows `IOC:Msg` of some subsystems over a connection of its own: `async with Messages(client, prefixes)`."""

    def __init__(self, client: Client, prefixes: Iterable[str]) -> None:
        self._names = {prefix + PV for prefix in prefixes if prefix}
        self._unheard: set[int] = set()
        self._client = Client(client.addresses, sink=self, metadata=False)
        self._reasons: dict[str, str] = {}
        self._news = asyncio.Event()

    async def __aenter__(self) -> Messages:
        await self._client.start()
        self._unheard = set(self._client.subscribe(self._names).tolist())
        # with the connection comes the newest message only: of two refusals before it, one would have no reason
        await self._until(lambda: not self._unheard, LISTENING)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    def forget(self, names: Iterable[str]) -> None:
        """What was said of these PVs so far is no reason for what comes."""
        for name in names:
            self._reasons.pop(name, None)

    async def reasons(self, names: Iterable[str]) -> dict[str, str]:
        """Why puts to these PVs were refused, as far as it is said."""
        wanted = set(names)
        await self._until(lambda: wanted <= self._reasons.keys(), DELIVERY)
        return {name: self._reasons[name] for name in wanted & self._reasons.keys()}

    async def _until(self, condition: Callable[[], bool], seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not condition():
                    self._news.clear()
                    await self._news.wait()

    # what the client tells

    def batch(self, batch: Batch) -> None:
        """Messages: "PV: reason". The first of each subsystem comes with its connection."""
        self._unheard.difference_update(batch.channel.tolist())
        for row in np.atleast_2d(batch.values):
            text = row.tobytes().split(b"\0", 1)[0].decode(errors="replace")
            name, colon, reason = text.partition(": ")
            if colon and " " not in name:
                self._reasons[name] = reason
        self._news.set()

    def connected(self, info: ChannelInfo) -> None:
        """One more can be heard."""

    def disconnected(self, channel: int, reason: str, time_ns: int) -> None:
        """One less."""
