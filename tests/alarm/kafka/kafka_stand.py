"""A tree with its bridge, as the alarm IOC has them, on a broker of the tests."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from confluent_kafka.admin import AdminClient, NewTopic  # pyright: ignore[reportPrivateImportUsage]
from phoebus_client import PATIENCE, Desktop

from iocs.alarm.config import KafkaConfig
from iocs.alarm.kafka.bridge import KafkaBridge
from iocs.alarm.kafka.link import Incoming
from iocs.alarm.tree.clock import Clock, LoopClock
from iocs.alarm.tree.events import Edit, Listener, Person
from iocs.alarm.tree.items import Item, LeafConfig
from iocs.alarm.tree.tree import AlarmTree, Leaf

OPERATOR = Person("anna", "console")
T0 = 1_763_650_000_000_000_000


class Acts(Listener):
    """What was done, as the log would have it."""

    def __init__(self) -> None:
        self.edits: list[Edit] = []

    def edited(self, edit: Edit) -> None:
        self.edits.append(edit)


class Bridge(KafkaBridge):
    """Counts what it has read of the tree's own topic in this session."""

    seen = 0

    def opened(self) -> None:
        self.seen = 0
        super().opened()

    def _record(self, record: Incoming) -> None:
        super()._record(record)
        self.seen += record[0] == "config"


@dataclass
class Stand:
    tree: AlarmTree
    bridge: Bridge
    desktop: Desktop
    acts: Acts

    def leaf(self, path: str) -> Leaf:
        found = self.tree.find(path)
        assert isinstance(found, Leaf), path
        return found

    def pv(self, path: str, severity: int, message: str = "HIGH_ALARM", value: str = "1.0", time_ns: int = T0) -> None:
        """The PV of an alarm changes."""
        self.tree.update(self.leaf(path), severity, message, value, time_ns)

    async def until(self, condition: Callable[[], object], what: str = "") -> Any:
        """Let the server work, and the desktop read, until a condition holds."""
        return await until(condition, self.desktop, what)

    async def settled(self) -> None:
        """Everything has been sent, and both the server and the desktop have read all that there is."""
        before: list[int] = []
        ends = await self._read_all()
        while ends != before or self.bridge.waiting:
            before, ends = ends, await self._read_all()

    async def _read_all(self) -> list[int]:
        """Read to where the topics end now, which is returned."""
        sent = self.bridge.publisher
        await self.until(lambda: sent.open and not self.bridge.waiting, "nothing is left to be sent")
        ends = await asyncio.to_thread(self.desktop.ends)
        await self.until(lambda: self.desktop.has_read(ends), "the desktop has read all")
        await self.until(lambda: self.bridge.seen >= ends[0], "the server has read all")
        return ends


async def until(condition: Callable[[], object], desktop: Desktop | None = None, what: str = "") -> Any:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE
    while not (value := condition()):
        if loop.time() > deadline:
            tail = [f"{r.topic} {r.key} {r.raw!r}" for r in desktop.records[-15:]] if desktop else []
            raise AssertionError(f"waited {PATIENCE} s for {what or condition}; the last records:\n" + "\n".join(tail))
        if desktop is not None:
            await asyncio.to_thread(desktop.read, 0.02)
        else:
            await asyncio.sleep(0.02)
    return value


def fresh_tree() -> str:
    """A name of a tree that no other test has."""
    return f"T{uuid.uuid4().hex[:8]}"


def alarm(path: str, **config: Any) -> Item:
    return Item(path, LeafConfig(**{"description": path.rsplit("/", 1)[-1], **config}))


def make_topics(servers: str, name: str) -> None:
    """The topics of a tree, before any server of ours has seen them."""
    new = [NewTopic(topic, 1, 1) for topic in (name, f"{name}Command", f"{name}Talk")]
    admin = AdminClient({"bootstrap.servers": servers})
    for future in admin.create_topics(new).values():
        future.result(PATIENCE)


@asynccontextmanager
async def stand(
    servers: str,
    name: str,
    *items: Item,
    started: bool = True,
    ready: bool = True,
    clock: Clock | None = None,
    **settings: Any,
) -> AsyncIterator[Stand]:
    """A running server and a desktop that watches it; at the end the desktop has nothing to complain of."""
    hooks = {hook: settings.pop(hook) for hook in ("restart", "shutdown") if hook in settings}
    tree = AlarmTree(name, clock or LoopClock())
    tree.load(items)
    bridge = Bridge(tree, KafkaConfig(servers=(servers,), **settings), **hooks)
    acts = Acts()
    tree.listeners.extend((bridge, acts))
    if started:
        await bridge.start()
    desktop: Desktop | None = None
    try:
        if started and ready:
            assert await bridge.ready(PATIENCE), bridge.state
        desktop = Desktop(servers, name)
        yield Stand(tree, bridge, desktop, acts)
    finally:
        await bridge.stop()
        tree.stop()
        if desktop is not None:
            desktop.close()
    assert desktop is None or not desktop.problems, desktop.problems
