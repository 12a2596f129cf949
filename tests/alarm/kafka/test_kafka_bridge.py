"""The bridge with a real broker, and a desktop that knows Phoebus' rules only: states, commands, annunciations."""

from __future__ import annotations

import logging
from typing import Any

import kafka_server
import pytest
from confluent_kafka.admin import (
    AdminClient,
    ConfigResource,  # pyright: ignore[reportPrivateImportUsage]
    NewTopic,  # pyright: ignore[reportPrivateImportUsage]
    ResourceType,  # pyright: ignore[reportPrivateImportUsage]
)
from kafka_stand import OPERATOR, T0, Stand, alarm, fresh_tree, stand

from iocs.alarm.tree.events import Person
from iocs.alarm.tree.items import AreaConfig, Item, LeafConfig, Link

pytestmark = pytest.mark.timeout(300)
SHORT = {
    "cleanup.policy": "delete",
    "segment.ms": "10000",
    "min.cleanable.dirty.ratio": "0.01",
    "min.compaction.lag.ms": "1000",
    "retention.ms": "20000",
    "delete.retention.ms": "1000",
    "file.delete.delay.ms": "1000",
}
LASTING = {"cleanup.policy": "compact"} | {k: v for k, v in SHORT.items() if k.startswith(("segment", "min."))}


@pytest.fixture(scope="module")
def servers() -> str:
    return kafka_server.broker().servers


def found_settings(servers: str, name: str) -> dict[str, dict[str, str]]:
    admin = AdminClient({"bootstrap.servers": servers})
    wanted = {name: LASTING, f"{name}Command": SHORT, f"{name}Talk": SHORT}
    futures = admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic) for topic in wanted])
    entries = {resource.name: future.result(60) for resource, future in futures.items()}
    return {topic: {key: str(entries[topic][key].value) for key in keys} for topic, keys in wanted.items()}


async def test_topics_are_made_and_repaired(servers: str) -> None:
    name = fresh_tree()
    admin = AdminClient({"bootstrap.servers": servers})
    wrong = {"cleanup.policy": "delete", "segment.ms": "999999"}
    for future in admin.create_topics([NewTopic(name, 1, 1, config=wrong)]).values():
        future.result(60)
    async with stand(servers, name) as it:
        found = found_settings(servers, name)
        assert {key: float(v) if v[0].isdigit() else v for key, v in found[name].items()} == {
            key: float(v) if v[0].isdigit() else v for key, v in LASTING.items()
        }
        assert found[f"{name}Command"] == SHORT and found[f"{name}Talk"] == SHORT
        topics = admin.list_topics(timeout=60).topics
        assert [len(topics[topic].partitions) for topic in found] == [1, 1, 1]
        await it.settled()


async def test_a_latched_alarm_from_rise_to_acknowledgement(servers: str) -> None:
    name = fresh_tree()
    path = f"/{name}/Vac/V:P1"
    items = [
        Item(f"/{name}/Vac", AreaConfig(guidance=(Link("Contacts", "x1234"),))),
        alarm(path, description="Tank pressure"),
    ]
    async with stand(servers, name, *items) as it:
        desktop = it.desktop
        await it.settled()
        ours = {"user": "alarm-server", "host": it.bridge.server.host}
        assert desktop.configs == {
            f"/{name}/Vac": ours | {"guidance": [{"title": "Contacts", "details": "x1234"}]},
            path: ours | {"description": "Tank pressure"},
        }
        assert desktop.states == {f"/{name}": {"severity": "OK"}, f"/{name}/Vac": {"severity": "OK"}}
        begun = len(desktop.records)
        it.pv(path, 2, "HIHI_ALARM", "10.0", T0 + 123_000_000)
        it.pv(path, 1, "HIGH_ALARM", "8.0", T0 + 10**9)
        it.pv(path, 1, "HIGH_ALARM", "8.1", T0 + 10**9 + 1)
        it.pv(path, 0, "NO_ALARM", "5.0", T0 + 2 * 10**9)
        await it.settled()
        raised: dict[str, Any] = {"severity": "MAJOR", "latch": True, "message": "HIHI_ALARM", "value": "10.0"}
        raised["time"] = {"seconds": 1763650000, "nano": 123000000}
        latched = {key: value for key, value in raised.items() if key != "latch"}
        assert desktop.of(f"state:{path}") == [
            raised | {"current_severity": "MAJOR", "current_message": "HIHI_ALARM"},
            latched | {"current_severity": "MINOR", "current_message": "HIGH_ALARM"},
            latched | {"current_severity": "OK", "current_message": "NO_ALARM"},
        ]
        keys = [record.key for record in desktop.records[begun:] if record.topic == name]
        assert keys[:3] == [f"state:{path}", f"state:/{name}/Vac", f"state:/{name}"]
        assert desktop.said == [{"standout": False, "severity": "MAJOR", "talk": "MAJOR Alarm: Tank pressure"}]

        desktop.command("acknowledge", path)
        await it.until(lambda: desktop.states.get(path, {}).get("severity") == "OK", "it is acknowledged")
        assert it.leaf(path).alarm.message == "OK"
        edit = next(edit for edit in it.acts.edits if edit.action == "acknowledge")
        assert (edit.path, str(edit.who)) == (path, "fred@desk")
        await it.until(lambda: desktop.states.get(f"/{name}") == {"severity": "OK"}, "the root is OK")


async def commanded(it: Stand, command: str, path: str) -> None:
    """Give a command and wait until it is done or refused."""
    before = it.bridge.counts.read
    it.desktop.command(command, path)
    await it.until(lambda: it.bridge.counts.read > before, command)


async def test_commands(servers: str, caplog: pytest.LogCaptureFixture) -> None:
    name = fresh_tree()
    one, two = f"/{name}/A/X", f"/{name}/A/B/Y"
    asked: list[tuple[str, Person]] = []

    def restart(who: Person) -> None:
        asked.append(("restart", who))

    async with stand(servers, name, alarm(one), alarm(two), restart=restart) as it:
        desktop = it.desktop
        it.pv(one, 2)
        it.pv(two, 1)
        await commanded(it, "acknowledge", f"/{name}/A")
        await it.until(lambda: [desktop.severity(p) for p in (one, two)] == ["MAJOR_ACK", "MINOR_ACK"])
        await it.until(lambda: desktop.states.get(f"/{name}") == {"severity": "MAJOR_ACK"})
        await commanded(it, "unacknowledge", one)
        await it.until(lambda: desktop.severity(one) == "MAJOR")

        await commanded(it, "maintenance", f"/{name}")
        await it.until(lambda: desktop.states.get(f"/{name}") == {"severity": "MAJOR", "mode": "maintenance"})
        it.pv(two, 3, "LINK_ALARM")
        await it.until(lambda: desktop.severity(two) == "INVALID_ACK")
        assert desktop.states[two]["mode"] == "maintenance"
        await commanded(it, "disable_notify", f"/{name}")
        await it.until(lambda: desktop.mode == "maintenance" and not desktop.notify)
        await commanded(it, "normal", f"/{name}")
        await commanded(it, "enable_notify", f"/{name}")
        await it.until(lambda: desktop.mode == "normal" and desktop.notify)
        assert desktop.of(f"state:/{name}")[-1] == {"severity": "MAJOR"}

        caplog.set_level(logging.INFO, "iocs.alarm.kafka")
        for command, path, line in (
            ("dump", f"/{name}", f"{one}: MAJOR/"),
            ("pvs", f"/{name}/A", "  Y"),
            ("pv", "X", f"{one}: MAJOR/"),
            ("disconnected", f"/{name}", "asks for disconnected"),
        ):
            caplog.clear()
            await commanded(it, command, path)
            assert line in caplog.text
        await commanded(it, "restart", f"/{name}")
        assert asked == [("restart", Person("fred", "desk"))]

        refused = it.bridge.counts.refused
        caplog.clear()
        for command, path, reason in (
            ("shutdown", f"/{name}", "shutdown is not allowed"),
            ("explode", f"/{name}", "is not known"),
            ("acknowledge", f"/{name}/Nothing", "Nothing"),
            ("acknowledge", "/Other/A", "its root"),
            ("pv", "Nothing", "no alarm of the PV"),
        ):
            await commanded(it, command, path)
            assert reason in caplog.text
        assert it.bridge.counts.refused == refused + 5
        assert it.leaf(one).alarm.severity.name == "MAJOR"


async def test_a_site_may_allow_desktops_to_end_the_server(servers: str) -> None:
    name = fresh_tree()
    asked: list[Person] = []
    async with stand(servers, name, shutdown=asked.append, allow_shutdown=True) as it:
        await commanded(it, "shutdown", f"/{name}")
        assert asked == [Person("fred", "desk")]


async def test_the_heartbeat_is_the_roots_state(servers: str) -> None:
    name = fresh_tree()
    async with stand(servers, name, alarm(f"/{name}/A/X"), heartbeat=0.4) as it:
        beats = await it.until(lambda: len(found := it.desktop.of(f"state:/{name}")) >= 4 and found, "heartbeats")
        assert beats[-1] == {"severity": "OK"}
        assert it.desktop.keys() == [
            f"config:/{name}/A",
            f"state:/{name}/A",
            f"config:/{name}/A/X",
        ]


async def test_suppressed_alarms_are_disabled_for_phoebus(servers: str) -> None:
    name = fresh_tree()
    path = f"/{name}/A/X"
    async with stand(servers, name, alarm(path, filter="Y > 0"), alarm(f"/{name}/A/Z"), zone="Asia/Tokyo") as it:
        desktop = it.desktop
        it.pv(path, 2)
        await it.until(lambda: desktop.states.get(f"/{name}") == {"severity": "MAJOR"})
        it.tree.set_filter(it.leaf(path), False)
        await it.until(lambda: desktop.states.get(path, {}).get("message") == "Disabled")
        assert {k: v for k, v in desktop.states[path].items() if k != "time"} == {
            "severity": "OK",
            "message": "Disabled",
            "value": "",
            "current_severity": "OK",
            "current_message": "Disabled",
        }
        await it.until(lambda: desktop.states.get(f"/{name}") == {"severity": "OK"})
        it.pv(path, 1)  # nobody hears of it
        it.tree.set_filter(it.leaf(path), True)
        await it.until(lambda: desktop.states.get(path, {}).get("current_severity") == "MINOR")
        assert [state["message"] for state in desktop.of(f"state:{path}")] == ["HIGH_ALARM", "Disabled", "HIGH_ALARM"]

        # a shelf is a date until which it is disabled, in local time
        until_ns = 4_102_444_800_000_000_000
        it.tree._suppression._max_shelf = 1e12
        it.tree.shelve(path, OPERATOR, "being repaired", until_ns)
        await it.until(lambda: desktop.configs.get(path, {}).get("enabled") == "2100-01-01T09:00:00")
        assert desktop.configs[path]["user"] == "anna"
        await it.until(lambda: desktop.states.get(path, {}).get("message") == "Disabled")
        # somebody edits it at a desktop: the date comes back, and the shelf stays
        desktop.configure(path, description="other", filter="Y > 0", enabled="2100-01-01T09:00:00")
        await it.until(lambda: it.leaf(path).config == LeafConfig("other", filter="Y > 0"))
        shelf = it.leaf(path).shelf
        assert shelf is not None and shelf.why == "being repaired"
        # another date is another end of the shelf, and enabling it takes it off
        desktop.configure(path, description="other", filter="Y > 0", enabled="2100-01-02T09:00:00")
        await it.until(lambda: (s := it.leaf(path).shelf) is not None and s.until_ns == until_ns + 86400 * 10**9)
        assert it.leaf(path).config.enabled
        desktop.configure(path, description="other", filter="Y > 0")
        await it.until(lambda: it.leaf(path).shelf is None)
        await it.until(lambda: desktop.states[path]["message"] != "Disabled")
        await it.settled()
        assert "enabled" not in desktop.configs[path]

        # once only: no date
        it.tree.shelve(path, OPERATOR, "once", until_ns, one_shot=True)
        await it.until(lambda: desktop.states.get(path, {}).get("message") == "Disabled")
        await it.settled()
        assert "enabled" not in desktop.configs[path]

        # disabled by configuration
        other = f"/{name}/A/Z"
        desktop.configure(other, description="Z", enabled="2100-01-01T09:00:00")
        await it.until(lambda: not it.leaf(other).enabled)
        assert it.leaf(other).config.disabled_until is not None and it.leaf(other).shelf is None
        await it.until(lambda: desktop.states.get(other, {}).get("message") == "Disabled")
        it.tree.enable(other, OPERATOR)
        await it.until(lambda: "enabled" not in desktop.configs[other])


async def test_somebody_stands_by(servers: str) -> None:
    name = fresh_tree()
    path = f"/{name}/A/X"
    async with stand(servers, name, alarm(path)) as first, stand(servers, name, alarm(path), started=False) as second:
        second.pv(path, 2)
        second.tree.put(alarm(f"/{name}/A/Y"), OPERATOR)
        second.tree.remove(f"/{name}/A/Y", OPERATOR)
        second.tree.maintenance(True, OPERATOR)
        second.tree.maintenance(False, OPERATOR)
        await commanded(first, "acknowledge", path)
        await first.settled()
        assert second.bridge.state == "Off" and not second.bridge.waiting
        assert not [key for key in first.desktop.keys() if "Y" in key] and path not in first.desktop.states
        assert second.leaf(path).alarm.severity.name == "MAJOR"
        # the first one ends, the second one takes over
        await first.bridge.stop()
        await second.bridge.start()
        await first.until(lambda: first.desktop.severity(path) == "MAJOR")
        await commanded(second, "acknowledge", path)
        assert second.leaf(path).alarm.severity.name == "MAJOR_ACK"
        assert len(first.desktop.of(f"config:{path}")) == 1
