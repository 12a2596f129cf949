"""A broker that is not there, goes, hangs, is killed, or comes back empty: nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

import kafka_server
import pytest
from kafka_stand import OPERATOR, T0, Stand, alarm, fresh_tree, stand, until
from phoebus_client import Desktop

from iocs.alarm.kafka import link
from iocs.alarm.tree.items import LeafConfig

RECONNECTED = {"standout": False, "severity": "OK", "talk": " Alarm server re-connected"}


@pytest.fixture(scope="module")
def kafka() -> Iterator[kafka_server.Kafka]:
    with kafka_server.Kafka() as kafka:
        yield kafka


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "CHECK", 0.5)


def same_states(it: Stand) -> bool:
    """The desktop shows what the server has."""
    shown = {path: state["severity"] for path, state in it.desktop.states.items()}
    own = {area.path: area.severity.name for area in it.tree.areas()}
    own |= {leaf.path: leaf.alarm.severity.name for leaf in it.tree.leaves() if leaf.alarm.time_ns}
    return shown == own and it.desktop.configs.keys() >= {leaf.path for leaf in it.tree.leaves()}


@pytest.mark.timeout(300)
async def test_the_broker_goes_and_comes_back(kafka: kafka_server.Kafka, patient: Callable[[bool], None]) -> None:
    name = fresh_tree()
    one, two, three = (f"/{name}/A/{pv}" for pv in ("X", "Y", "Z"))
    async with stand(kafka.servers, name, alarm(one), alarm(two), alarm(three)) as it:
        desktop = it.desktop
        it.pv(one, 1)
        await it.settled()
        begun = len(desktop.records)
        patient(False)
        await asyncio.to_thread(kafka.stop)
        await it.until(lambda: it.bridge.state.startswith("Gone"), "it is known to be gone")

        for number in range(50):
            it.pv(two, 2 if number % 2 else 1, f"M{number}", str(number), T0 + number)
        it.tree.acknowledge(one, OPERATOR)
        it.tree.put(alarm(three, delay=7), OPERATOR)
        it.tree.put(alarm(f"/{name}/B/New"), OPERATOR)
        it.pv(f"/{name}/B/New", 3, "LINK_ALARM")
        it.tree.put(alarm(f"/{name}/C/Brief"), OPERATOR)
        it.tree.remove(f"/{name}/C", OPERATOR)
        it.tree.remove(three, OPERATOR)
        said = [said["talk"] for said in desktop.said]

        patient(True)
        await asyncio.to_thread(kafka.start)
        await it.until(lambda: it.bridge.state == "Connected", "it is connected again")
        await it.until(lambda: same_states(it), "the desktop shows what the server has")
        await it.settled()
        assert same_states(it) and desktop.configs.keys() == {
            *(f"/{name}/A", f"/{name}/B", one, two, f"/{name}/B/New"),
        }
        # the newest state of each alarm, once (the heartbeat is the root's)
        states = [record for record in desktop.records[begun:] if record.key.startswith("state:")]
        assert [r.value["current_message"] for r in states if r.key == f"state:{two}"] == ["M49"]
        for path in (one, two, f"/{name}/B/New"):
            assert sum(record.key == f"state:{path}" for record in states) == 1, path
        assert not [record.key for record in desktop.records if "Brief" in record.key]
        assert [r.value and list(r.value) for r in desktop.records[begun:] if r.key == f"config:{three}"] == [
            ["user", "host", "delete"],
            None,
        ]
        assert desktop.configs[f"/{name}/B/New"]["user"] == "anna"
        # what was said meanwhile is said once, in its order
        later = [found["talk"] for found in desktop.said][len(said) :]
        assert sorted(later) == sorted(set(later)) and later[-1] == RECONNECTED["talk"]
        assert {"MAJOR Alarm: Y", "INVALID Alarm: New"} <= set(later)

        # it obeys and follows as before
        desktop.command("acknowledge", two)
        await it.until(lambda: desktop.severity(two) == "MAJOR_ACK")
        desktop.configure(one, description="after", count=3)
        await it.until(lambda: it.leaf(one).config == LeafConfig("after", count=3))
        assert sum(edit.action == "acknowledge" and edit.path == two for edit in it.acts.edits) == 1


@pytest.mark.timeout(300)
async def test_a_broker_that_hangs(kafka: kafka_server.Kafka, patient: Callable[[bool], None]) -> None:
    name = fresh_tree()
    items = [alarm(f"/{name}/A{n % 10}/P{n}") for n in range(300)]
    async with stand(kafka.servers, name, *items) as it:
        it.bridge.publisher.window = 100
        await it.settled()
        begun = len(it.desktop.records)
        leaves = list(it.tree.leaves())
        kafka.pause()
        patient(False)
        try:
            slowest = 0.0
            most = 0
            for round_ in range(40):
                for leaf in leaves:
                    it.tree.update(leaf, round_ % 2 + 1, f"M{round_}", str(round_), T0 + round_)
                begun_at = time.monotonic()
                await asyncio.sleep(0)
                slowest = max(slowest, time.monotonic() - begun_at)
                most = max(most, it.bridge.publisher.waiting)
            # 12,000 changes: as many as may be on their way, and each place once
            assert it.bridge.publisher.in_flight <= 100 and most <= 100 + 300 + 11
            assert it.bridge.talk.waiting <= 2000
            await until(lambda: it.bridge.state.startswith("Gone"), what="it is known to hang")
        finally:
            patient(True)
            kafka.resume()
        await it.until(lambda: it.bridge.state == "Connected")
        await it.until(lambda: same_states(it))
        await it.settled()
        for item in items:
            values = [r.value for r in it.desktop.records[begun:] if r.key == f"state:{item.path}"]
            assert values[-1]["current_message"] == "M39"
            # never back in time
            order = [int(value["current_message"][1:]) for value in values]
            assert order == sorted(order)
        assert slowest < 30


@pytest.mark.timeout(300)
async def test_no_broker_at_the_start(kafka: kafka_server.Kafka, patient: Callable[[bool], None]) -> None:
    name = fresh_tree()
    path = f"/{name}/A/X"
    kafka.stop()
    patient(False)
    desktop: Desktop | None = None
    async with stand(kafka.servers, name, alarm(path), ready=False) as it:
        it.tree.announcer.started()
        it.pv(path, 2)
        it.tree.put(alarm(f"/{name}/A/Y", delay=1), OPERATOR)
        await until(lambda: it.bridge.state.startswith("Gone"), what="nobody answers")
        assert not await it.bridge.ready(0.01)
        assert it.leaf(path).alarm.severity.name == "MAJOR"
        patient(True)
        await asyncio.to_thread(kafka.start)
        await until(lambda: it.bridge.state == "Connected", what="it is connected")
        desktop = it.desktop
        await it.until(lambda: same_states(it))
        await it.settled()
        assert [found["talk"].strip() for found in desktop.said] == [
            "Alarm server started. Everything is going to be all right.",
            "MAJOR Alarm: X",
        ]
        assert desktop.configs[f"/{name}/A/Y"]["delay"] == 1


@pytest.mark.timeout(300)
async def test_a_broker_that_has_lost_everything(kafka: kafka_server.Kafka, patient: Callable[[bool], None]) -> None:
    name = fresh_tree()
    one, two = f"/{name}/A/X", f"/{name}/A/Y"
    async with stand(kafka.servers, name, alarm(one), alarm(two)) as it:
        it.pv(one, 2)
        await it.settled()
        it.desktop.configure(two, description="of fred", delay=3)
        await it.until(lambda: it.leaf(two).config.delay == 3)
        patient(False)
        await asyncio.to_thread(kafka.kill)
        kafka.wipe()
        patient(True)
        await asyncio.to_thread(kafka.start)
        await until(lambda: it.bridge.counts.sessions >= 2 and it.bridge.state == "Connected", what="a new session")
        again = Desktop(kafka.servers, name)
        try:
            await until(lambda: again.configs.keys() >= {one, two} and again.severity(one) == "MAJOR", again)
            assert again.configs[two]["delay"] == 3 and not again.problems
            again.command("acknowledge", one)
            await until(lambda: again.severity(one) == "MAJOR_ACK", again)
        finally:
            again.close()
        it.desktop.problems.clear()
