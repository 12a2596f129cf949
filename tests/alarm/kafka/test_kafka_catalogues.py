"""What a catalogue declares and what a desktop edits, whichever of the two comes first; without a broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Literal

import pytest

from iocs.alarm.config import KafkaConfig
from iocs.alarm.configuration import Configuration
from iocs.alarm.kafka import bridge as bridge_module
from iocs.alarm.kafka.bridge import KafkaBridge
from iocs.alarm.kafka.link import LinkSettings, LinkUser, Topic
from iocs.alarm.kafka.records import encode_config, make_key
from iocs.alarm.tree.clock import VirtualClock
from iocs.alarm.tree.events import Person
from iocs.alarm.tree.items import Item, LeafConfig
from iocs.alarm.tree.tree import AlarmTree, Leaf
from iocs.alarm.watch.catalogue_watch import CATALOGUE, apply_catalogue

PV = "R:HV:IMon"
PATH = f"/R/HV/{PV}"
FRED = Person("fred", "desk")
PATIENCE = 60.0


class NoLink:
    """A link whose broker takes everything and sends it back; what others write, the test says."""

    def __init__(self, settings: LinkSettings, user: LinkUser) -> None:
        self._user = user

    def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    def produce(self, topic: Topic, key: bytes, value: bytes | None) -> bool:
        self._user.received([(topic, key, value)])
        return True

    def handled(self) -> None:
        pass


class Server:
    """A tree with its configuration and its bridge; `topic` is what stands on the topic at the start."""

    def __init__(self, config_from: Literal["site", "topic"]) -> None:
        self.tree = AlarmTree("R", VirtualClock())
        self.configuration = Configuration("R")
        self.bridge = KafkaBridge(self.tree, KafkaConfig(servers=("localhost:1",), config_from=config_from))
        self.tree.listeners.extend((self.configuration, self.bridge))
        self._declared: dict[str, Item] = {}

    async def catalogue(self, description: str) -> None:
        """The IOC declares the alarm, or declares it otherwise."""
        before, self._declared = self._declared, {PV: Item(PATH, LeafConfig(description))}
        who = Person(CATALOGUE, "R:HV:")
        assert not await apply_catalogue(self.tree, before, self._declared, self.configuration.claimed, who)

    async def replay(self, *records: bytes) -> None:
        """The topic is read, with these records of the alarm on it."""
        self.bridge.opened()
        self.bridge.received([("config", make_key("config", PATH), value) for value in records])
        self.bridge.replayed()
        assert await self.bridge.ready(PATIENCE)

    @property
    def description(self) -> str:
        leaf = self.tree.find(PATH)
        assert isinstance(leaf, Leaf)
        return leaf.config.description


@pytest.fixture
async def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    monkeypatch.setattr(bridge_module, "Link", NoLink)
    server = Server(request.param)
    await server.bridge.start()
    yield server
    server.bridge.publisher.close()
    await server.bridge.stop()


def edit(description: str) -> bytes:
    return encode_config(Item(PATH, LeafConfig(description, delay=3)), FRED)


@pytest.mark.parametrize("server", ["topic"], indirect=True)
@pytest.mark.parametrize("first", [True, False], ids=["catalogue first", "topic first"])
async def test_what_stands_on_the_topic_goes_before_catalogues(server: Server, first: bool) -> None:
    if first:
        await server.catalogue("declared")
    await server.replay(edit("of the desktop"))
    assert server.description == "of the desktop"
    await server.catalogue("declared anew")
    assert server.description == "of the desktop"
    # and at the next start
    again = Configuration("R")
    again.take_stored(server.configuration.stored)
    items = again.load([Item(PATH, LeafConfig("declared"))])
    assert [item.config for item in items if item.path == PATH] == [LeafConfig("of the desktop", delay=3)]


@pytest.mark.parametrize("server", ["site", "topic"], indirect=True)
async def test_a_desktops_edit_stays_when_the_catalogue_changes(server: Server) -> None:
    await server.catalogue("declared")
    await server.replay()
    assert server.description == "declared"
    server.bridge.received([("config", make_key("config", PATH), edit("of the desktop"))])
    async with asyncio.timeout(PATIENCE):
        while server.description != "of the desktop":
            await asyncio.sleep(0)
    await server.catalogue("declared anew")
    assert server.description == "of the desktop"
