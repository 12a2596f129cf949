"""Fields of records beside their values: DESC of each record once, and those that policies want, followed.

Limits, units, precision and states come with the channel itself; everything else is a channel of its own (`X.ADEL`).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from owlshift.ca import Batch, ChannelInfo, Client, Dbr

WITH_THE_CHANNEL = frozenset("VAL EGU PREC LOPR HOPR DRVL DRVH NELM".split())
"""Fields whose values the channel's own metadata hold already. (Alarm limits they have only with a severity.)"""

PACE = 0.1
"""Seconds between two looks at what is to be asked."""
AT_ONCE = 50
"""Fields that one look begins to ask for: the values of PVs come first."""
GIVE_UP = 20.0
"""Seconds after which a field that is asked for once isn't there."""


def field_name(pv: str, field: str) -> str:
    """The channel's name of a record's field; `pv` may name a field itself."""
    return f"{pv.partition('.')[0]}.{field}"


class Fields:
    """Asks for fields and follows them, in a client of its own. `found(pv, field, text)` gets every value."""

    def __init__(self, found: Callable[[str, str, str], None]) -> None:
        self._found = found
        self._client: Client | None = None
        self._waiting: deque[tuple[str, str, bool]] = deque()
        self._asked: dict[int, tuple[str, str, bool]] = {}
        self._once: dict[int, float] = {}
        self._followed: dict[str, dict[str, int]] = {}
        self._states: dict[int, tuple[str, ...]] = {}

    async def close(self) -> None:
        """Stop the client."""
        if self._client is not None:
            await self._client.close()

    def ask(self, pv: str, field: str) -> None:
        """Find out the field's value, once, when there is time."""
        self._waiting.append((pv, field, False))

    def follow(self, pv: str, fields: Iterable[str]) -> None:
        """Follow these fields of the PV, and no others."""
        wanted = {field for field in fields if field not in WITH_THE_CHANNEL}
        known = self._followed.get(pv)
        if known is None and not wanted:
            return
        known = self._followed.setdefault(pv, {})
        for field in [field for field in known if field not in wanted]:
            self._drop([known.pop(field)])
        for field in sorted(wanted - known.keys()):
            known[field] = -1
            self._waiting.append((pv, field, True))
        if not known:
            del self._followed[pv]

    def followed(self, pv: str) -> Iterable[str]:
        """The fields that are followed."""
        return self._followed.get(pv, {}).keys()

    async def run(self) -> None:
        """Do what was asked for, for ever."""
        while True:
            await asyncio.sleep(PACE if self._waiting else 10 * PACE)
            if self._waiting:
                await self._begin()
            late = time.monotonic() - GIVE_UP
            gone = []
            for channel, since in self._once.items():  # in the order in which they were asked
                if since > late:
                    break
                gone.append(channel)
            self._drop(gone)

    async def _begin(self) -> None:
        if self._client is None:
            self._client = Client(sink=self)
            await self._client.start()
        for _ in range(min(AT_ONCE, len(self._waiting))):
            pv, field, keep = self._waiting.popleft()
            if keep and self._followed.get(pv, {}).get(field) != -1:
                continue
            channel = int(self._client.subscribe([field_name(pv, field)])[0])
            self._asked[channel] = (pv, field, keep)
            if keep:
                self._followed[pv][field] = channel
            else:
                self._once[channel] = time.monotonic()

    def _drop(self, channels: list[int]) -> None:
        for channel in channels:
            self._asked.pop(channel, None)
            self._once.pop(channel, None)
            self._states.pop(channel, None)
        if channels and self._client is not None:
            self._client.unsubscribe([channel for channel in channels if channel >= 0])

    def batch(self, batch: Batch) -> None:
        """Values of fields."""
        done = []
        for channel, value in zip(batch.channel.tolist(), batch.values, strict=True):
            asked = self._asked.get(channel)
            if asked is None:
                continue
            pv, field, keep = asked
            self._found(pv, field, _text(batch.dbr, value, self._states.get(channel, ())))
            if not keep:
                done.append(channel)
        self._drop(done)

    def connected(self, info: ChannelInfo) -> None:
        """A field is there; its value follows."""
        if info.metadata.states:
            self._states[info.id] = info.metadata.states

    def changed(self, info: ChannelInfo) -> None:
        """The labels of a menu may have changed."""
        self.connected(info)

    def disconnected(self, channel: int, reason: str, time_ns: int) -> None:
        """It stays as it was."""


def _text(dbr: Dbr, value: Any, states: tuple[str, ...]) -> str:
    if isinstance(value, np.ndarray):
        if dbr is Dbr.CHAR:
            return value.tobytes().split(b"\0")[0].decode("utf-8", "replace")
        return " ".join(_text(dbr, item, states) for item in value)
    if dbr is Dbr.STRING:
        return bytes(value).decode("utf-8", "replace")
    if dbr is Dbr.ENUM:
        return states[int(value)] if int(value) < len(states) else str(int(value))
    # of single precision, no more digits than it has
    return str(value) if dbr is Dbr.FLOAT else str(value.item())
