"""The real Phoebus alarm server and a tree of ours on the same PVs; what each makes of them, record by record."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from alarm_phoebus import PhoebusServer, Records
from confluent_kafka import Producer
from kafka_server import Kafka
from support import free_port
from watch_bench import PATIENCE

from iocs.alarm.kafka.records import encode_command, encode_config, encode_leaf_state, encode_talk, make_key
from iocs.alarm.tree.clock import LoopClock
from iocs.alarm.tree.events import Annunciation, Listener, Person, State
from iocs.alarm.tree.items import Item
from iocs.alarm.tree.tree import AlarmTree, Leaf
from iocs.alarm.watch.watch import Watch, WatchSettings

WHO = Person("tester", "here")
_OWN_MESSAGES = ("Disconnected", "Disabled", "OK")
"""Messages of states that the server makes."""


def comparable(record: dict[str, Any]) -> dict[str, Any]:
    """A state record without what differs by design.

    Ours have units in values. What is acknowledged while its PV is OK has the time of the PV in ours, that of the
    server in Phoebus'; what is OK already is left alone in ours, and said to be "OK" instead of "NO_ALARM" in Phoebus'.
    """
    found = {key: value for key, value in record.items() if key not in ("value", "notify")}
    if found["severity"] == "OK" and found["message"] == "NO_ALARM":
        found["message"] = "OK"
    if found["message"] in _OWN_MESSAGES:
        del found["time"]
    return found


def sequence(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Records to compare.

    Phoebus repeats what it has, without `latch`, when an acknowledgement changes nothing; ours says nothing then.
    """
    found: list[dict[str, Any]] = []
    for record in map(comparable, records):
        if not found or record not in (found[-1], {k: v for k, v in found[-1].items() if k != "latch"}):
            found.append(record)
    return found


class Ours(Listener):
    """What our tree would send."""

    def __init__(self, tree: AlarmTree) -> None:
        self.tree = tree
        self.states: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self.talks: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)

    def leaf_changed(self, leaf: Leaf, before: State, raised: bool) -> None:
        current = leaf.current
        record = encode_leaf_state(
            leaf.alarm,
            current.severity,
            current.message,
            latch=leaf.latch,
            maintenance=self.tree.in_maintenance,
        )
        self.states[leaf.path].append(json.loads(record))

    def announced(self, annunciation: Annunciation) -> None:
        self.talks[annunciation.path].append(json.loads(encode_talk(annunciation)))


class Beside:
    """Both servers, from `start` to `close`."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.name = f"D{uuid.uuid4().hex[:8]}"
        self.items = [Item(f"/{self.name}{item.path.removeprefix('/T')}", item.config, item.extras) for item in items]
        self.kafka = Kafka()
        port = int(os.environ["EPICS_CA_SERVER_PORT"])
        repeater = int(os.environ.get("EPICS_CA_REPEATER_PORT") or free_port())
        self.server = PhoebusServer(self.name, self.kafka.servers, port, repeater, heap="512m", mask="VALUE")
        clock = LoopClock()
        self.tree = AlarmTree(self.name, clock, compatible=True)
        self.tree.load(self.items)
        self.ours = Ours(self.tree)
        self.tree.listeners.append(self.ours)
        self.watch = Watch(self.tree, clock, WatchSettings(connection_timeout=PATIENCE, compatible=True))
        self.states: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        """Phoebus' records."""
        self.talks: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self._producer = Producer({"bootstrap.servers": self.kafka.servers, "log_level": 0})

    def leaf(self, name: str) -> Leaf:
        """The alarm whose PV ends so."""
        return next(leaf for leaf in self.tree.leaves() if leaf.pv.endswith(name))

    async def start(self) -> None:
        """Start Phoebus, configure it by records of ours, and start to watch."""
        self.server.start()
        await self.until(self._topics, "Phoebus to make its topics")
        for item in self.items:
            self._producer.produce(self.name, encode_config(item, WHO), make_key("config", item.path))
        self._producer.flush(PATIENCE)
        self._records = Records(self.kafka.servers, self.name)
        self._talk = Records(self.kafka.servers, f"{self.name}Talk")
        await self.watch.start()
        paths = {leaf.path for leaf in self.tree.leaves()}
        await self.until(lambda: paths <= self.states.keys() and paths <= self.ours.states.keys(), "first states")

    def _topics(self) -> bool:
        from confluent_kafka.admin import AdminClient

        _ = self.server.pid
        admin = AdminClient({"bootstrap.servers": self.kafka.servers, "log_level": 0})
        return f"{self.name}Talk" in admin.list_topics(timeout=PATIENCE).topics

    async def until(self, condition: Callable[[], Any], what: str) -> None:
        """Read records until a condition holds."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"waited for {what}:\n{self.server.text()[-2000:]}"
            if hasattr(self, "_records"):
                await self.read()
            else:
                await asyncio.sleep(0.2)

    async def read(self) -> None:
        """Take what is new."""
        for key, value, _ in await asyncio.to_thread(self._records.poll, 0.02):
            kind, _, path = key.partition(":")
            if kind == "state" and value is not None:
                self.states[path].append(value)
        for key, value, _ in await asyncio.to_thread(self._talk.poll, 0.0):
            if value is not None:
                self.talks[key.partition(":")[2]].append(value)

    def command(self, path: str, text: str) -> None:
        """Send a command to Phoebus."""
        self._producer.produce(f"{self.name}Command", encode_command(text, WHO), make_key("command", path))
        self._producer.flush(PATIENCE)

    async def acknowledge(self, path: str, on: bool = True) -> None:
        """Both acknowledge, and Phoebus has done it."""
        self.command(path, "acknowledge" if on else "unacknowledge")
        self.tree.acknowledge(path, WHO, on)
        await self.mark()

    async def maintenance(self, on: bool) -> None:
        """Both begin or end maintenance."""
        self.command(f"/{self.name}", "maintenance" if on else "normal")
        self.tree.maintenance(on, WHO)
        await self.mark()

    async def mark(self) -> None:
        """Phoebus has carried out all commands so far: its root says twice what only commands make it say."""
        root = self.states[f"/{self.name}"]
        for word, notify in (("disable_notify", False), ("enable_notify", True)):
            seen = len(root)
            self.command(f"/{self.name}", word)
            await self.until(lambda: any(one.get("notify", True) is notify for one in root[seen:]), word)  # noqa: B023

    async def same_now(self, what: str) -> None:
        """Wait until both have the same current and alarm state of all alarms."""

        def last(states: dict[str, list[dict[str, Any]]], path: str) -> dict[str, Any]:
            return {key: value for key, value in comparable(states[path][-1]).items() if key != "latch"}

        paths = [leaf.path for leaf in self.tree.leaves()]
        try:
            await self.until(
                lambda: all(last(self.states, path) == last(self.ours.states, path) for path in paths), what
            )
        except AssertionError as error:
            raise AssertionError(f"{what}:\n{self.differences()}") from error

    def differences(self) -> str:
        """Where the two sequences of each alarm, and of what was announced of it, begin to differ; "" if nowhere."""
        lines = []
        for leaf in self.tree.leaves():
            ours, theirs = sequence(self.ours.states[leaf.path]), sequence(self.states[leaf.path])
            lines += _first_difference(f"{leaf.path} states", ours, theirs)
            lines += _first_difference(f"{leaf.path} talk", self.ours.talks[leaf.path], self.talks[leaf.path])
        return "\n".join(lines)

    async def close(self) -> None:
        """End all."""
        await self.watch.close()
        self.tree.stop()
        if hasattr(self, "_records"):
            self._records.close()
            self._talk.close()
        self.server.__exit__()
        self.kafka.close()


def _first_difference(what: str, ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> list[str]:
    for number, (one, other) in enumerate(itertools.zip_longest(ours, theirs)):
        if one != other:
            before = [f"  before  {both}" for both in ours[max(0, number - 3) : number]]
            return [f"{what}, record {number}:", *before, f"  ours    {one}", f"  Phoebus {other}"]
    return []
