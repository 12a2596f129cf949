"""Configuration over Kafka: what is found on a topic, edits and deletions from both sides, and what is none."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import kafka_server
import pytest
from kafka_stand import OPERATOR, T0, alarm, fresh_tree, make_topics, stand
from phoebus_client import Desktop

from iocs.alarm.kafka import edits
from iocs.alarm.tree.items import Action, AreaConfig, Extras, Item, LeafConfig, Link

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def servers() -> str:
    return kafka_server.broker().servers


def seed(servers: str, name: str) -> None:
    """A topic as Phoebus and an earlier server of ours have left it."""
    make_topics(servers, name)
    desktop = Desktop(servers, name)
    desktop.configure(f"/{name}/Main", guidance=[{"title": "Contacts", "details": "x1"}])
    desktop.configure(rf"/{name}/Main/sim:\/\/sine", description="!Sine", delay=3, enabled=False)
    desktop.configure(f"/{name}/Main/Both", description="of the topic", latching=False)
    desktop.configure(f"/{name}/Main/Gone", description="was deleted")
    desktop.delete(f"/{name}/Main/Gone")
    desktop.configure(f"/{name}/Main/HalfGone", description="is being deleted")
    desktop.send(f"config:/{name}/Main/HalfGone", {"user": "fred", "host": "desk", "delete": "Deleting"})
    desktop.send(f"config:/{name}/Old/Zombie", {"user": "alarm-server", "host": "h", "description": "of the site"})
    desktop.send(f"state:/{name}/Old/Zombie", {"severity": "OK"})
    desktop.send(f"state:/{name}/Old", {"severity": "MAJOR"})
    desktop.send(f"config:/{name}/Main/Bad", b'{"description":"x","delay":NaN}')
    desktop.send(f"config:/{name}/Main/Filter", {"user": "fred", "host": "desk", "description": "x", "filter": "1 +"})
    desktop.send("config:/Other/X", {"user": "fred", "host": "desk", "description": "x"})
    desktop.send(b"\xff\xfe", b"\xff")
    desktop.close()


@pytest.mark.parametrize("config_from", ["site", "topic"])
async def test_what_is_on_the_topic_at_the_start(servers: str, config_from: str) -> None:
    name = fresh_tree()
    seed(servers, name)
    ours = Item(f"/{name}/Main/Both", LeafConfig("of the site"), Extras(priority="high"))
    async with stand(servers, name, ours, alarm(f"/{name}/Main/New"), config_from=config_from) as it:
        await it.settled()
        it.desktop.problems.clear()  # what was there before
        tree, desktop = it.tree, it.desktop
        sine = it.leaf(rf"/{name}/Main/sim:\/\/sine")
        assert (sine.pv, sine.config) == ("sim://sine", LeafConfig("!Sine", delay=3, enabled=False))
        main = tree.find(f"/{name}/Main")
        assert main is not None and main.config == AreaConfig(guidance=(Link("Contacts", "x1"),))
        both = it.leaf(f"/{name}/Main/Both")
        assert both.extras == Extras(priority="high")
        if config_from == "site":
            assert both.config == LeafConfig("of the site")
            assert desktop.configs[both.path]["user"] == "alarm-server"
        else:
            assert both.config == LeafConfig("of the topic", latching=False)
            assert desktop.configs[both.path]["user"] == "fred"
        assert desktop.configs[f"/{name}/Main/New"]["description"] == "New"
        gone = [f"/{name}/Main/Gone", f"/{name}/Main/HalfGone", f"/{name}/Main/Bad"]
        assert not [path for path in gone if tree.find(path)]
        assert f"/{name}/Main/HalfGone" not in desktop.configs
        # what the site had and has no more is deleted, unless the topic is right
        zombie = f"/{name}/Old/Zombie"
        assert (tree.find(zombie) is None) == (zombie not in desktop.configs) == (config_from == "site")
        assert (f"/{name}/Old" in desktop.states) == (config_from == "topic")
        assert it.bridge.counts.refused == 4
        # nothing that was there already was written again
        assert len(desktop.of(rf"config:/{name}/Main/sim:\/\/sine")) == 1

    # a restart with the same tree writes no configuration, and no state that is there already
    items = [node.item for area in tree.areas() for node in (area, *area.children)]
    async with stand(servers, name, *items, config_from=config_from, heartbeat=1000) as again:
        await again.settled()
        again.desktop.problems.clear()
        # but that an alarm is disabled since now
        assert again.bridge.publisher.sent == 1 and again.desktop.records[-1].key.endswith("sine")


async def test_edits_on_both_sides(servers: str) -> None:
    name = fresh_tree()
    path = f"/{name}/A/X"
    async with stand(servers, name, Item(path, LeafConfig("X"), Extras(response_time=60))) as it:
        desktop = it.desktop
        it.tree.put(Item(path, LeafConfig("new", latching=False), Extras(response_time=60)), OPERATOR)
        await it.until(lambda: desktop.configs.get(path, {}).get("description") == "new")
        assert desktop.configs[path] == {"user": "anna", "host": "console", "description": "new", "latching": False}
        desktop.configure(path, description="of fred", delay=5, actions=[{"title": "m", "details": "mailto:a@b.c"}])
        config = LeafConfig("of fred", delay=5, actions=(Action("m", "mailto:a@b.c"),))
        await it.until(lambda: it.leaf(path).config == config)
        assert it.leaf(path).extras == Extras(response_time=60)
        edit = next(edit for edit in it.acts.edits if str(edit.who) == "fred@desk")
        assert (edit.action, edit.path) == ("configure", path)
        # extras are not for the topic
        it.tree.put(Item(path, config, Extras(priority="high")), OPERATOR)
        # areas that are missing come with an alarm
        desktop.configure(f"/{name}/New/Sub/Y", description="y")
        await it.until(lambda: it.tree.find(f"/{name}/New/Sub/Y"))
        await it.settled()
        assert len(desktop.of(f"config:{path}")) == 3
        assert len(desktop.of(f"config:/{name}/New/Sub/Y")) == 1
        assert desktop.states[f"/{name}/New/Sub"] == {"severity": "OK"}
        # a date that cannot be read changes nothing, and is put right
        desktop.configure(path, description="of fred", delay=5, enabled="tomorrow")
        await it.until(lambda: len(desktop.of(f"config:{path}")) == 5)
        assert "enabled" not in desktop.configs[path] and it.leaf(path).enabled
        assert len(desktop.problems) == 1 and "tomorrow" in desktop.problems.pop()


async def test_a_hundred_edits_do_not_come_back(servers: str) -> None:
    name = fresh_tree()
    path = f"/{name}/A/X"
    async with stand(servers, name, alarm(path)) as it:
        for number in range(100):
            it.tree.put(Item(path, LeafConfig("x", delay=number + 1)), OPERATOR)
            if number % 10 == 0:
                await asyncio.sleep(0)
        await it.settled()
        found = [value.get("delay", 0) for value in it.desktop.of(f"config:{path}")]
        assert found == list(range(101))
        assert it.leaf(path).config.delay == 100 and it.bridge.edits.taken == 0
        # a desktop writes while an edit of ours is on its way: the later record counts, for everybody
        for number in range(20):
            it.tree.put(Item(path, LeafConfig("x", delay=1000 + number)), OPERATOR)
            it.desktop.configure(path, description="x", delay=2000 + number)
            it.tree.put(Item(path, LeafConfig("x", count=3000 + number)), OPERATOR)
        await it.settled()
        last = it.desktop.configs[path]
        config = it.leaf(path).config
        assert (config.delay, config.count) == (last.get("delay", 0), last.get("count", 0))


async def test_deletion_in_two_steps(servers: str) -> None:
    name = fresh_tree()
    paths = [f"/{name}/A/B/X", f"/{name}/A/B/Y", f"/{name}/A/Z"]
    async with stand(servers, name, *map(alarm, paths), alarm(f"/{name}/K")) as it:
        desktop = it.desktop
        for path in paths:
            it.pv(path, 2)
        await it.settled()
        # by a desktop: the server publishes no state any more
        desktop.delete(paths[2])
        await it.until(lambda: it.tree.find(paths[2]) is None)
        await it.settled()
        assert desktop.of(f"config:{paths[2]}")[1:] == [{"user": "fred", "host": "desk", "delete": "Deleting"}, None]
        assert desktop.of(f"state:{paths[2]}")[-1] is None
        assert str(next(edit for edit in it.acts.edits if edit.action == "delete").who) == "fred@desk"
        # here: children first, each with both records
        begun = len(desktop.records)
        it.tree.remove(f"/{name}/A", OPERATOR)
        await it.settled()
        found = [(r.key, r.value and list(r.value)) for r in desktop.records[begun:] if r.topic == name]
        marker = ["user", "host", "delete"]
        wanted: list[tuple[str, Any]] = []
        for path in (paths[0], paths[1], f"/{name}/A/B", f"/{name}/A"):
            wanted += [(f"config:{path}", marker), (f"config:{path}", None), (f"state:{path}", None)]
        assert [one for one in found if one[1] is None or one[1] == marker] == wanted
        assert desktop.configs.keys() == {f"/{name}/K"}
        assert desktop.states == {f"/{name}": {"severity": "OK"}}
        # the same path again, and deleted as a whole by a desktop that does not begin below
        it.tree.put(alarm(paths[0]), OPERATOR)
        it.pv(paths[0], 2)
        await it.until(lambda: desktop.severity(paths[0]) == "MAJOR")
        desktop.delete(f"/{name}/A")
        await it.until(lambda: it.tree.find(f"/{name}/A") is None)
        await it.settled()
        assert desktop.configs.keys() == {f"/{name}/K"} and desktop.states == {f"/{name}": {"severity": "OK"}}
        # the root stays
        desktop.configure(f"/{name}", guidance=[{"title": "a", "details": "b"}])
        await it.until(lambda: it.tree.root.config != AreaConfig())
        desktop.delete(f"/{name}")
        await it.until(lambda: len(desktop.of(f"config:/{name}")) == 4)
        assert desktop.configs[f"/{name}"]["guidance"] == [{"title": "a", "details": "b"}]


async def test_an_alarm_is_moved(servers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = fresh_tree()
    old, new = f"/{name}/A/X", f"/{name}/B/X"
    async with stand(servers, name, alarm(old)) as it:
        # the new place first
        it.desktop.configure(new, description="X")
        it.desktop.delete(old)
        await it.until(lambda: it.tree.find(new) and it.tree.find(old) is None)
        await it.settled()
        assert it.desktop.configs.keys() == {f"/{name}/A", f"/{name}/B", new}
        # an alarm of a PV that another alarm has is taken away again
        monkeypatch.setattr(edits, "PATIENCE", 0.2)
        key = f"config:{old}"
        before = len(it.desktop.of(key))
        it.desktop.configure(old, description="X again")
        await it.until(lambda: len(it.desktop.of(key)) >= before + 3, "it comes and goes")
        await it.settled()
        found = it.desktop.of(key)[before:]
        assert (found[0]["description"], found[1]["delete"] != "", found[2:]) == ("X again", True, [None])
        assert it.tree.find(old) is None and it.leaf(new).config == LeafConfig("X")
        assert it.bridge.counts.refused == 1


async def test_hostile_records(servers: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edits, "PATIENCE", 0.2)
    name = fresh_tree()
    path = f"/{name}/A/X"
    async with stand(servers, name, alarm(path), alarm(f"/{name}/A/Y")) as it:
        await it.settled()
        desktop, refused = it.desktop, it.bridge.counts.refused
        bad: list[tuple[Any, Any]] = [
            (f"config:{path}", b"[" * 100_000),
            (f"config:{path}", b'{"a":' * 5000 + b"1" + b"}" * 5000),
            (f"config:{path}", b'{"description":"' + b"x" * 900_000 + b'"}'),
            (f"config:{path}", b'{"description":"x","delay":NaN}'),
            (f"config:{path}", b'{"description":"x","delay":Infinity}'),
            (f"config:{path}", b"\xff\xfe\x00"),
            (f"config:{path}", b""),
            (f"config:{path}", {"description": "x", "severity": "OK"}),
            (f"config:{path}", {"description": ["x"]}),
            (f"config:{path}", {"description": "x", "actions": [{"title": "t", "details": "rm -rf /"}]}),
            (f"config:{path}", {"user": "u", "host": "h"}),
            (f"config:/{name}/A", {"user": "u", "host": "h", "description": "a leaf"}),
            (f"config:{path}/Below", {"user": "u", "host": "h", "description": "below an alarm"}),
            ("config:/Other/A", {"user": "u", "host": "h"}),
            (f"config:/{name}/" + "y/" * 100 + "z", {"user": "u", "host": "h"}),
            (f"config:/{name}//A", None),
            (f"talk:/{name}", {"talk": "boo"}),
            (f"command:/{name}", {"command": "acknowledge"}),
            (f"unknown:/{name}", {}),
            (b"\xff", b"\xff"),
            (b"", b""),
            (f"state:{path}", {"severity": "OK"}),
        ]
        caplog.set_level(logging.WARNING, "iocs.alarm.kafka")
        caplog.clear()
        for key, value in bad:
            desktop.send(key, value)
        for key, value in (
            (f"command:{path}", b"\xff"),
            (f"command:{path}", None),
            (f"command:{path}", [1]),
            (None, {"command": "acknowledge"}),
            (f"command:{path}", {"command": "acknowledge", "user": {}}),
            (b"\xff:/", {"command": "acknowledge"}),
        ):
            desktop.send(key, value, topic=f"{name}Command")
        for _ in range(300):
            desktop.send("config:/Other/A", {"user": "u", "host": "h"})
        wanted = refused + len(bad) + 6 + 300
        bridge = it.bridge
        await it.until(lambda: bridge.counts.refused + bridge.edits.overridden >= wanted, "all are refused")
        # it goes on, and the topic says of our own paths what is so
        desktop.configure(f"/{name}/A/Y", description="still here")
        await it.until(lambda: it.leaf(f"/{name}/A/Y").config.description == "still here")
        await it.until(lambda: desktop.configs.get(path, {}).get("description") == "X")
        await it.until(
            lambda: desktop.configs.get(f"/{name}/A") == {"user": "alarm-server", "host": it.bridge.server.host}
        )
        assert it.leaf(path).config == LeafConfig("X")
        await it.until(lambda: f"{path}/Below" not in desktop.configs)
        assert len(caplog.records) < 150, "the same is not said hundreds of times"
        desktop.problems.clear()


async def test_an_item_of_any_size_is_read_back(servers: str) -> None:
    name = fresh_tree()
    items = [alarm(f"/{name}/A{n % 40}/P{n}", guidance=(Link("t", "d" * 50),)) for n in range(4000)]
    async with stand(servers, name, *items) as it:
        await it.settled()
        assert len(it.desktop.configs) == 4040
        for leaf in it.tree.leaves():
            it.tree.update(leaf, 2, "HIHI_ALARM", "1.0", T0)
        await it.settled()
        assert sum(it.desktop.severity(item.path) == "MAJOR" for item in items) == 4000
    async with stand(servers, name, config_from="topic") as again:
        assert len(list(again.tree.leaves())) == 4000
        assert {leaf.path for leaf in again.tree.leaves()} == {item.path for item in items}
