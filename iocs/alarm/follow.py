"""One long text PV followed over Channel Access: its newest value, and whether it is there, for as long as wanted."""

from __future__ import annotations

import asyncio
import contextlib

from owlshift.ca import Batch, CaAddresses, ChannelInfo, Client

SEARCH_AGAIN = 5.0
"""Seconds after which a PV that is away is searched for as if it were new: who watches does not wait for minutes."""


class Follower:
    """`async for text in follower`: the value now and after changes (the newest when they come fast); None: away.

    None comes first when nothing answers within `patience` seconds.
    """

    def __init__(self, name: str, addresses: CaAddresses | None = None, *, patience: float = 3.0) -> None:
        self._name = name
        self._patience = patience
        self._client = Client(addresses, self, metadata=False)
        self._news: str | None = None
        self._fresh = asyncio.Event()
        self._searching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Follower:
        await self._client.start()
        self._searching = asyncio.create_task(self._search())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._searching is not None:
            self._searching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._searching
        await self._client.close()

    def __aiter__(self) -> Follower:
        return self

    async def __anext__(self) -> str | None:
        await self._fresh.wait()
        self._fresh.clear()
        return self._news

    def batch(self, batch: Batch) -> None:
        """Take events: the last counts."""
        raw = bytes(batch.values[-1].tobytes())
        self._set(raw.split(b"\0", 1)[0].decode("utf-8", "replace"))

    def connected(self, info: ChannelInfo) -> None:
        """Its value follows."""

    def disconnected(self, channel: int, reason: str, time_ns: int) -> None:
        """It is searched for again by itself."""
        self._set(None)

    async def _search(self) -> None:
        ids = self._client.subscribe([self._name])
        await asyncio.sleep(self._patience)
        if self._news is None:
            self._set(None)
        while True:
            await asyncio.sleep(SEARCH_AGAIN)
            if self._client.missing:
                self._client.unsubscribe(ids.tolist())
                ids = self._client.subscribe([self._name])

    def _set(self, text: str | None) -> None:
        self._news = text
        self._fresh.set()
