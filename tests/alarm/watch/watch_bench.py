"""An alarm tree with its watch in the test's loop, soft IOCs as processes, and stock clients to move them."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from aioca import DBR_CHAR_STR, caput
from support import Process, start

from iocs.alarm.tree.clock import LoopClock
from iocs.alarm.tree.events import Annunciation, Listener, State
from iocs.alarm.tree.items import NO_EXTRAS, Extras, Item, LeafConfig
from iocs.alarm.tree.severity import AlarmSeverity
from iocs.alarm.tree.tree import AlarmTree, Leaf
from iocs.alarm.watch import watch as watch_module
from iocs.alarm.watch.watch import Watch, WatchSettings

PATIENCE = 60.0
IOC = Path(__file__).with_name("watch_soft_ioc.py")


def soft_ioc(prefix: str, count: int = 3, *words: str) -> Process:
    """Start the soft IOC."""
    return start([sys.executable, str(IOC), prefix, str(count), *words], timeout=PATIENCE)


@contextmanager
def running(prefix: str, count: int = 3, *words: str) -> Iterator[Process]:
    process = soft_ioc(prefix, count, *words)
    try:
        yield process
    finally:
        process.kill()


async def until(condition: Callable[[], Any], what: str = "", timeout: float = PATIENCE) -> Any:
    """Wait in the loop until `condition` holds, and return what it gave."""
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {timeout} s for {what or condition}"
        await asyncio.sleep(0.01)
    return found


async def put(name: str, value: Any) -> None:
    """Write with completion, with a stock client; text goes to a char array."""
    datatype = DBR_CHAR_STR if isinstance(value, str) else None
    await caput(name, value, datatype=datatype, wait=True, timeout=PATIENCE)


class Told(Listener):
    """What a tree told."""

    def __init__(self) -> None:
        self.announcements: list[Annunciation] = []
        self.raised: list[str] = []

    def announced(self, annunciation: Annunciation) -> None:
        self.announcements.append(annunciation)

    def leaf_changed(self, leaf: Leaf, before: State, raised: bool) -> None:
        if raised:
            self.raised.append(leaf.path)


class Watched:
    """A tree that is watched."""

    def __init__(self, tree: AlarmTree, watch: Watch, told: Told) -> None:
        self.tree, self.watch, self.told = tree, watch, told

    def leaf(self, pv: str) -> Leaf:
        leaf = self.tree.leaf_of(pv)
        assert leaf is not None
        return leaf

    async def current(self, pv: str, severity: AlarmSeverity, message: str = "") -> State:
        """Wait until the tree has this of the PV."""

        def found() -> State | None:
            state = self.leaf(pv).current
            return state if state.severity is severity and message in ("", state.message) else None

        return await until(found, f"{pv} in {severity.name} {message}, not {self.leaf(pv).current}")


def items(pvs: Iterable[str], extras: Extras = NO_EXTRAS, **config: Any) -> list[Item]:
    """Alarms of these PVs, all below one area."""
    return [
        Item(f"/T/area/{pv.replace('/', chr(92) + '/')}", LeafConfig(description=pv, **config), extras) for pv in pvs
    ]


@asynccontextmanager
async def watched(configured: Iterable[Item], **settings: Any) -> AsyncIterator[Watched]:
    clock = LoopClock()
    tree = AlarmTree("T", clock, compatible=settings.get("compatible", False))
    tree.load(configured)
    told = Told()
    tree.listeners.append(told)
    watch = Watch(tree, clock, WatchSettings(**{"connection_timeout": PATIENCE, **settings}))
    with mock.patch.object(watch_module, "SETTLE", PATIENCE):  # of a filter's inputs as well
        await watch.start()
    try:
        yield Watched(tree, watch, told)
    finally:
        await watch.close()
