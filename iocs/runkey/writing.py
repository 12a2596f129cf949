"""Write one level of puts and see what came of it: completion, the setpoint, the read-back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from iocs.runkey.catalogues import Catalogue, Item
from iocs.runkey.messages import Messages
from iocs.runkey.plan import Put
from iocs.runkey.reading import READ_TIMEOUT, Live, read_labels, read_live, same
from iocs.runkey.settings import Value, show_value
from owlshift.ca import CaDisconnectedError, CaStatusError, CaTimeoutError, Client

TAKEN_OTHERWISE = 0.5
"""Seconds after its completion within which a put's setpoint must be what was put."""


@dataclass(frozen=True)
class Pace:
    """How long things may take, in seconds."""

    read: float = READ_TIMEOUT
    put: float = 30.0
    """From a put to its completion."""
    grace: float = 1.0
    """For puts that are under way when an apply is aborted, before they are taken back all the same."""
    patience: float = 10.0
    """For what cannot be reached while it is to be taken back: it is tried again for so long."""
    first_look: float = 0.02
    """Between two looks at a read-back that is not there yet; it grows."""
    last_look: float = 0.5


@dataclass
class Level:
    """What came of the puts of a level, by PV."""

    failed: dict[str, str] = field(default_factory=dict)
    """PV -> why."""
    unclear: set[str] = field(default_factory=set)
    """Of those that failed: the put may be carried out later, or has made something else of the value."""
    verified: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    """Of those that failed: the connection was lost."""
    live: dict[str, Live] = field(default_factory=dict)
    """What they were seen as last."""


class Writer:
    """Writes and looks at the stand."""

    def __init__(self, client: Client, catalogue: Catalogue, pace: Pace, messages: Messages) -> None:
        self.client = client
        self.catalogue = catalogue
        self.pace = pace
        self._messages = messages

    async def look(self, items: Iterable[Item]) -> tuple[dict[str, Live], dict[str, str | None]]:
        """What these items are now, and what the PVs that can block them are."""
        items = list(items)
        names = {name for item in items for name in item.blocked_by}
        live, blockers = await asyncio.gather(
            read_live(self.client, items, self.catalogue, self.pace.read),
            read_labels(self.client, names, self.catalogue.states, self.pace.read),
        )
        return live, blockers

    async def put(self, puts: Sequence[Put], level: Level, done: Callable[[], None]) -> None:
        """Put all with completion; what was refused, hangs or was lost is in `level.failed`."""
        answered: set[int] = set()

        def answer(index: int) -> None:
            answered.add(index)
            done()

        for put in puts:
            level.unclear.add(put.pv)
        self._messages.forget(level.unclear)
        values = {put.pv: channel_value(put.item, put.new) for put in puts}
        results = await self.client.write_many(values, timeout=self.pace.put, done=answer)
        refused = []
        for put, error in zip(puts, results, strict=True):
            if error is None:
                level.unclear.discard(put.pv)
            elif isinstance(error, CaTimeoutError):
                level.failed[put.pv] = f"the put was not done within {self.pace.put:g} s"
            elif isinstance(error, CaDisconnectedError):
                level.failed[put.pv] = "the connection was lost during the put"
                level.lost.add(put.pv)
            elif isinstance(error, CaStatusError):
                level.failed[put.pv] = f"the put was refused ({_code(error)})"
                refused.append(put.pv)
            else:
                level.failed[put.pv] = str(error).removeprefix(f"{put.pv}: ")
                level.unclear.discard(put.pv)
        if refused:
            reasons = await self._messages.reasons(refused)
            level.failed.update({pv: f"the put was refused: {reason}" for pv, reason in reasons.items()})

    async def verify(self, puts: Sequence[Put], level: Level, *, to_the_end: bool = False) -> None:
        """Look at setpoints and read-backs until they are as put, or until they have had their time.

        It ends with the first that has not come, unless `to_the_end`.
        """
        loop = asyncio.get_running_loop()
        start = loop.time()
        waiting = {put.pv: put for put in puts}
        pause = self.pace.first_look
        while waiting:
            items = [put.item for put in waiting.values()]
            live = await read_live(self.client, items, self.catalogue, self.pace.read)
            passed = loop.time() - start
            for pv, put in list(waiting.items()):
                level.live[pv] = live[pv]
                allowed, problem = verdict(put, live[pv])
                if not problem:
                    level.verified.add(pv)
                elif passed < allowed:
                    continue
                else:
                    level.failed[pv] = problem
                    level.unclear.add(pv)
                del waiting[pv]
            if not waiting or (level.failed and not to_the_end):
                return
            await asyncio.sleep(pause)
            pause = min(pause * 1.6, self.pace.last_look)


def verdict(put: Put, live: Live) -> tuple[float, str]:
    """Seconds that the put may still look like this, and what is wrong with it; ("" when it is verified)."""
    item = put.item
    if not live.readable:
        return 0.0, f"cannot be read back: {live.reason}"
    if live.setpoint is None or not same(item, put.new, live.setpoint):
        seen = show_value(live.setpoint, item.units, item.precision)
        wanted = show_value(put.new, item.units, item.precision)
        return TAKEN_OTHERWISE, f"became {seen} instead of {wanted}"
    if not item.readback:
        return 0.0, ""
    if not live.vouched:
        return item.settle, live.reason
    if not same(item, put.new, live.readback):
        shown = show_value(live.readback, item.units, item.precision)
        wanted = show_value(put.new, item.units, item.precision)
        return item.settle, f"{item.readback} shows {shown} instead of {wanted} after {item.settle:g} s"
    return 0.0, ""


def channel_value(item: Item, value: Value) -> Any:
    """What is sent: the number of a state, arrays, text."""
    if item.type == "enum":
        return item.states.index(str(value)) if value in item.states else value
    if isinstance(value, list):
        return np.array(value, dtype=float if item.type == "doubles" else np.int64)
    return value


def _code(error: CaStatusError) -> str:
    return str(error).removeprefix(f"{error.name}: ")


def show_now(item: Item, live: Live | None) -> str:
    """What an item is now, for a report."""
    if live is None or not live.readable:
        return "not reachable: unknown"
    if not live.vouched:
        asked = show_value(live.setpoint, item.units, item.precision)
        return f"unknown ({live.reason}; asked for {asked})"
    if live.value is None:
        return "without a valid value"
    return show_value(live.value, item.units, item.precision)


def has_already(item: Item, live: Live, value: Value | None) -> bool:
    """Device and setpoint have this value."""
    return same(item, live.value, value) and (live.setpoint is None or same(item, live.setpoint, value))


def refused_now(put: Put, live: Live, expected: Mapping[str, Value | None]) -> tuple[bool, str]:
    """(it has its value already, why it must not be put now).

    Somebody else's change is not overwritten: it must be what the plan saw, or what an earlier put made of it.
    """
    item = put.item
    if not live.readable or not live.vouched:
        return False, f"cannot be read any more: {live.reason}"
    if has_already(item, live, put.new):
        return True, ""
    known = expected.get(put.pv, put.old)
    if (live.value is None) != (known is None) or (known is not None and not same(item, live.value, known)):
        now = show_value(live.value, item.units, item.precision)
        before = show_value(known, item.units, item.precision)
        return False, f"somebody changed it meanwhile: it was {before}, and is {now} now"
    if not live.writable:
        return False, "the access security does not let us write it any more"
    return False, ""
