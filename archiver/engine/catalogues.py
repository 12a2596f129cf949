"""Follows the catalogues of a site's IOCs: `IOC:Catalogue` of each, whenever it is there and whenever it changes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from archiver.engine.plan import CatalogueError, Listed, parse_catalogue
from owlshift.ca import Client
from owlshift.ca.batch import Batch, ChannelInfo

log = logging.getLogger(__name__)

SUFFIX = "IOC:Catalogue"


class Catalogues:
    """Subscriptions to catalogues, in a client of its own, so that no archived sample has to be told from them.

    `by_prefix` has the newest catalogue of each IOC that ever had one; `changed` is called after it changes. An IOC
    that is lost keeps its catalogue: its PVs are still wanted.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self.by_prefix: dict[str, dict[str, Listed]] = {}
        self._changed = changed
        self._client: Client | None = None
        self._channels: dict[int, str] = {}

    async def start(self) -> None:
        """Start the client."""
        self._client = Client(sink=self)
        await self._client.start()

    async def close(self) -> None:
        """Stop the client."""
        if self._client is not None:
            await self._client.close()

    def follow(self, prefixes: Iterable[str]) -> None:
        """Follow the IOCs with these PV prefixes, and no others."""
        client = self._client
        if client is None:
            raise RuntimeError("not started")
        wanted = set(prefixes)
        gone = {channel: prefix for channel, prefix in self._channels.items() if prefix not in wanted}
        if gone:
            client.unsubscribe(list(gone))
            for channel, prefix in gone.items():
                del self._channels[channel]
                self.by_prefix.pop(prefix, None)
        new = sorted(wanted - set(self._channels.values()))
        if new:
            channels = client.subscribe([prefix + SUFFIX for prefix in new])
            self._channels.update(zip(channels, new, strict=True))
        if gone:
            self._changed()

    def batch(self, batch: Batch) -> None:
        """A catalogue has come."""
        for channel, value in zip(batch.channel.tolist(), batch.values, strict=True):
            prefix = self._channels.get(channel)
            if prefix is None:
                continue
            try:
                catalogue = parse_catalogue(value.tobytes().rstrip(b"\0"))
            except (CatalogueError, AttributeError) as error:
                log.warning("%s%s: %s", prefix, SUFFIX, error)
                continue
            if catalogue != self.by_prefix.get(prefix):
                log.info("%s%s: %d PVs", prefix, SUFFIX, len(catalogue))
                self.by_prefix[prefix] = catalogue
                self._changed()

    def connected(self, info: ChannelInfo) -> None:
        """An IOC is there; its catalogue follows."""

    def disconnected(self, channel: int, reason: str, time_ns: int) -> None:
        """An IOC is lost."""
