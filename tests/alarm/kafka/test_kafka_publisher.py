"""What is sent, in which order and how much waits, without a broker: every clock and every refusal by hand."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from iocs.alarm.kafka import talk as talk_module
from iocs.alarm.kafka.publisher import Publisher
from iocs.alarm.kafka.talk import Talk
from iocs.alarm.tree.clock import VirtualClock
from iocs.alarm.tree.events import Annunciation, Person
from iocs.alarm.tree.items import AreaConfig, Item, LeafConfig
from iocs.alarm.tree.severity import AlarmSeverity
from iocs.alarm.tree.tree import AlarmTree, Area, Leaf

FRED = Person("fred", "desk")
OURS = Person("alarm-server", "here")


class Topic:
    """Takes records while `takes`; what a client knows after reading all of them."""

    def __init__(self) -> None:
        self.takes = True
        self.records: list[tuple[str, Any]] = []

    def __call__(self, topic: str, key: bytes, value: bytes | None) -> bool:
        if self.takes:
            self.records.append((key.decode(), None if value is None else json.loads(value)))
        return self.takes

    def known(self) -> dict[str, Any]:
        found = dict(self.records)
        return {key: value for key, value in found.items() if value is not None}


class Bench:
    def __init__(self, window: int = 1000) -> None:
        self.tree = AlarmTree("R", VirtualClock())
        self.topic = Topic()
        self.publisher = Publisher(self.tree, self.topic, OURS)
        self.publisher.window = window
        self.publisher.open = True

    def put(self, path: str, **config: Any) -> None:
        self.tree.put(Item(path, LeafConfig(**config)), FRED)
        self.publisher.changed(self.node(path), FRED)

    def node(self, path: str) -> Area | Leaf:
        node = self.tree.find(path)
        assert node is not None
        return node

    def update(self, path: str, severity: int, number: int) -> None:
        leaf = self.node(path)
        assert isinstance(leaf, Leaf)
        self.tree.update(leaf, severity, f"M{number}", str(number), 10**18 + number)
        self.publisher.changed(leaf)
        for area in leaf.above():
            self.publisher.changed(area)

    def remove(self, path: str) -> None:
        self.tree.remove(path, FRED)
        self.publisher.removed(path, FRED)


def test_what_waits_is_one_entry_a_place_and_the_newest_state() -> None:
    bench = Bench(window=10)
    for number in range(5):
        bench.put(f"/R/A/P{number}", description="x")
    sent = len(bench.topic.records)
    assert bench.publisher.in_flight <= 10
    for number in range(1000):
        bench.update(f"/R/A/P{number % 5}", number % 3 + 1, number)
    assert bench.publisher.in_flight == 10 and bench.publisher.waiting <= 10 + 7
    while bench.publisher.waiting:
        bench.publisher.delivered(bench.publisher.in_flight, ())
        bench.publisher.drain()
    values = [value for key, value in bench.topic.records if key == "state:/R/A/P4"]
    assert values[-1]["current_message"] == "M999"
    assert len(bench.topic.records) < sent + 60
    # then every change is one record again
    before = len(bench.topic.records)
    bench.publisher.delivered(10, ())
    bench.update("/R/A/P0", 0, 1)
    bench.update("/R/A/P0", 1, 2)
    assert [key for key, _ in bench.topic.records[before:]] == ["state:/R/A/P0"] * 2


def test_what_is_refused_is_tried_again() -> None:
    bench = Bench()
    bench.put("/R/A/X", description="x")
    bench.put("/R/A/Y", description="y")
    bench.remove("/R/A/Y")
    records = list(bench.topic.records)
    bench.topic.records.clear()
    bench.publisher.delivered(0, [key.encode() for key, _ in records])
    assert not bench.publisher.drain() and not bench.topic.records
    bench.publisher.retry()
    bench.publisher.drain()
    assert bench.topic.known().keys() == {"config:/R/A/X"}
    assert [(key, value and "delete" in value) for key, value in bench.topic.records if "Y" in key] == [
        ("config:/R/A/Y", True),
        ("config:/R/A/Y", None),
    ]


def test_only_what_is_ours_comes_back() -> None:
    bench = Bench()
    bench.put("/R/X", description="x")
    key, value = "config:/R/X", bench.topic.records[-1][1]
    raw = json.dumps(value, separators=(",", ":")).encode()
    assert bench.publisher.overrides("/R/X")
    assert not bench.publisher.own(key.encode(), b"{}")
    assert bench.publisher.own(key.encode(), raw)
    assert not bench.publisher.own(key.encode(), raw) and not bench.publisher.overrides("/R/X")


places = st.sampled_from(["/R/A/X", "/R/A/Y", "/R/A/B/Z", "/R/C"])
acts = st.one_of(
    st.tuples(st.just("put"), places, st.integers(0, 3)),
    st.tuples(st.just("update"), places, st.integers(0, 3)),
    st.tuples(st.just("remove"), places, st.just(0)),
    st.tuples(st.sampled_from(["close", "open", "block", "deliver", "drain", "all"]), st.just(""), st.just(0)),
)


@given(st.lists(acts, max_size=60), st.integers(1, 12))
def test_in_the_end_the_topic_says_what_the_tree_is(done: list[tuple[str, str, int]], window: int) -> None:
    bench = Bench(window)
    publisher, topic = bench.publisher, bench.topic
    for number, (act, path, figure) in enumerate(done):
        node = bench.tree.find(path) if path else None
        if act == "put":
            bench.put(path, description="x", delay=figure)
        elif act == "update" and isinstance(node, Leaf):
            bench.update(path, figure, number)
        elif act == "remove" and node is not None:
            bench.remove(path)
        elif act in ("close", "open"):
            publisher.open = act == "open"
        elif act == "block":
            topic.takes = not topic.takes
        elif act == "deliver":
            publisher.delivered(publisher.in_flight, ())
        elif act == "drain":
            publisher.drain()
        elif act == "all":
            publisher.mark_all(again=True)
    topic.takes = publisher.open = True
    publisher.mark_all()
    for _ in range(200):
        publisher.delivered(publisher.in_flight, ())
        if not publisher.waiting:
            break
        publisher.drain()
    assert not publisher.waiting
    known = topic.known()
    wanted: dict[str, str] = {}
    for area in bench.tree.areas():
        wanted[f"state:{area.path}"] = area.severity.name
        if area.parent is not None or area.config != AreaConfig():
            wanted[f"config:{area.path}"] = ""
        for node in area.children:
            if isinstance(node, Leaf):
                wanted[f"config:{node.path}"] = ""
                if node.alarm.time_ns or node.current.time_ns:
                    wanted[f"state:{node.path}"] = node.alarm.severity.name
    assert {key: value.get("severity", "") for key, value in known.items()} == wanted
    for leaf in bench.tree.leaves():
        assert known[f"config:{leaf.path}"].get("delay", 0) == leaf.config.delay
    # a place is not said to be gone without being announced as such, nor twice
    last: dict[str, Any] = {}
    for key, value in topic.records:
        if value is None and key.startswith("config:"):
            assert "delete" in last[key]
        last[key] = value


def test_talk_is_bounded_and_in_order() -> None:
    topic = Topic()
    talk = Talk(topic)

    def say(number: int) -> None:
        talk.say(Annunciation("/R/X", AlarmSeverity.MAJOR, str(number), False, 0))

    for number in range(talk_module.WAITING + 100):
        say(number)
    assert talk.waiting == talk_module.WAITING and talk.dropped == 100 and not topic.records
    talk.open = True
    talk.drain()
    assert [value["talk"] for _, value in topic.records] == [str(n) for n in range(100, talk_module.WAITING + 100)]
    talk.delivered(990, 0)
    say(-1)
    talk.close()
    talk.open = True
    topic.records.clear()
    talk.drain()
    # what nobody has confirmed is said again
    assert [value["talk"] for _, value in topic.records] == [*map(str, range(1090, 1100)), "-1"]
