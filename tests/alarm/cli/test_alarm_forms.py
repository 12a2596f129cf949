"""What `--json` prints and the PVs hold, made from a real tree; and the JSON of configurations, both ways."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iocs.alarm.forms import active_form, iso, node_form, shelves_form, tree_form
from iocs.alarm.item_forms import LIST_LIMIT, SECONDS_LIMIT, item_form, item_of
from iocs.alarm.tree.clock import SECOND, VirtualClock
from iocs.alarm.tree.events import Person
from iocs.alarm.tree.items import Action, AreaConfig, ConfigError, Extras, Item, LeafConfig, Link
from iocs.alarm.tree.nodes import Node
from iocs.alarm.tree.paths import join_path
from iocs.alarm.tree.tree import AlarmTree

ANNA = Person("anna", "daq1")
L07 = "/DEMO/HV/L07/DEMO:HV:L07:IMon"
L08 = "/DEMO/HV/L08/DEMO:HV:L08:IMon"
TIME = "2026-11-20T00:00:00.000Z"


def prefix_of(node: Node) -> str:
    return f"P{node.path.replace('/', ':')}"


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def tree(clock: VirtualClock) -> Iterator[AlarmTree]:
    tree = AlarmTree("DEMO", clock)
    tree.load(
        [
            Item("/DEMO/HV", AreaConfig(guidance=(Link("Expert", "call 42"),), displays=(Link("HV", "hv.bob"),))),
            Item(
                L07,
                LeafConfig(description="Current of layer 7", guidance=(Link("Do", "ramp down"),)),
                Extras(priority="high", response_time=300.0, screen="hv"),
            ),
            Item(L08, LeafConfig(description="*Current of layer 8", latching=False)),
        ]
    )
    yield tree
    tree.stop()


def raise_alarm(tree: AlarmTree, path: str, severity: int = 2) -> None:
    leaf = next(tree.leaves(path))
    tree.update(leaf, severity, "HIHI_ALARM", "50.1 uA", tree.clock.now_ns())


def test_the_table(tree: AlarmTree, clock: VirtualClock):
    assert active_form(tree, prefix_of, clock.now_ns()) == {"time": TIME, "truncated": False, "alarms": []}
    raise_alarm(tree, L08, 1)
    clock.advance(2.5)
    raise_alarm(tree, L07)
    form = active_form(tree, prefix_of, clock.now_ns())
    assert form["time"] == "2026-11-20T00:00:02.500Z"
    first, second = form["alarms"]
    assert first == {
        "pv": "DEMO:HV:L07:IMon", "path": L07, "name": f"P{L07.replace('/', ':')}", "area": "/DEMO/HV/L07",
        "severity": "MAJOR", "message": "HIHI_ALARM", "current": "MAJOR", "current_message": "HIHI_ALARM",
        "value": "50.1 uA", "time": form["time"], "since": form["time"], "state": "Active", "priority": "high",
        "description": "Current of layer 7", "screen": "hv", "response_time": 300.0, "acknowledged_by": "",
        "guidance": [{"title": "Do", "details": "ramp down"}, {"title": "Expert", "details": "call 42"}],
        "displays": [{"title": "HV", "details": "hv.bob"}], "first_out": False, "shelved": None, "reasons": [],
        "chattering": False,
    }  # fmt: skip
    assert (second["pv"], second["severity"], second["time"]) == ("DEMO:HV:L08:IMon", "MINOR", TIME)
    tree.acknowledge(L07, ANNA)
    first, second = active_form(tree, prefix_of, clock.now_ns())["alarms"]
    assert (first["severity"], second["severity"]) == ("MINOR", "MAJOR_ACK")
    assert (second["state"], second["acknowledged_by"]) == ("Acknowledged", "anna@daq1")


def test_the_table_has_an_end(tree: AlarmTree, clock: VirtualClock):
    raise_alarm(tree, L08, 1)
    raise_alarm(tree, L07)
    form = active_form(tree, prefix_of, clock.now_ns(), limit=1)
    assert form["truncated"] and [row["path"] for row in form["alarms"]] == [L07]
    assert not active_form(tree, prefix_of, clock.now_ns(), limit=None)["truncated"]


def test_the_tree(tree: AlarmTree):
    raise_alarm(tree, L07)
    form = tree_form(tree.root, prefix_of)
    assert orjson.loads(orjson.dumps(form)) == form
    assert {key: form[key] for key in ("name", "path", "pv_prefix", "kind", "severity")} == {
        "name": "DEMO", "path": "/DEMO", "pv_prefix": "P:DEMO", "kind": "area", "severity": "MAJOR",
    }  # fmt: skip
    counts = ("active", "unacknowledged", "acknowledged", "suppressed", "total")
    assert [form[key] for key in counts] == [1, 1, 0, 0, 2]
    (hv,) = form["children"]
    assert [child["name"] for child in hv["children"]] == ["L07", "L08"]
    (leaf,) = hv["children"][0]["children"]
    assert (leaf["kind"], leaf["pv"], leaf["state"], leaf["enabled"]) == ("alarm", "DEMO:HV:L07:IMon", "Active", True)
    assert "children" not in leaf and leaf["path"] == L07
    assert "children" not in node_form(tree.root, prefix_of)


def test_shelves(tree: AlarmTree, clock: VirtualClock):
    assert shelves_form(tree, prefix_of) == {"shelves": []}
    tree.shelve(L07, ANNA, "cable is changed", clock.now_ns() + 600 * SECOND)
    tree.shelve(L08, ANNA, "known", one_shot=True)
    first, second = shelves_form(tree, prefix_of)["shelves"]
    assert first == {
        "path": L07, "name": prefix_of(next(tree.leaves(L07))),
        "by": "anna@daq1", "why": "cable is changed", "since": TIME,
        "until": "2026-11-20T00:10:00.000Z", "one_shot": False,
    }  # fmt: skip
    assert second["one_shot"] and second["until"] > second["since"]
    leaf = node_form(next(tree.leaves(L07)), prefix_of)
    assert leaf["reasons"] == ["shelved"] and leaf["shelved"]["why"] == "cable is changed"
    assert tree_form(tree.root, prefix_of)["suppressed"] == 2


def test_times():
    assert (iso(None), iso(0)) == ("", "")
    assert iso(1_795_132_800_123_999_999) == "2026-11-20T00:00:00.123Z"


# Configurations

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)
names = texts.filter(lambda text: bool(text) and not text.startswith("/") and not text.endswith("\\"))
links = st.lists(st.builds(Link, texts, texts), max_size=3).map(tuple)
actions = st.lists(st.builds(Action, texts, texts, st.integers(0, 99)), max_size=3).map(tuple)
seconds = st.floats(0, SECONDS_LIMIT)
extras = st.builds(
    Extras, st.sampled_from(["low", "medium", "high"]), seconds, texts, texts, seconds,
    st.just("") | st.just("/DEMO/HV"), st.lists(texts, max_size=3).map(tuple), texts,
)  # fmt: skip
areas = st.builds(AreaConfig, links, links, links, actions)
moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
leaves = st.builds(
    LeafConfig, texts, st.just(False), st.none() | moments, st.booleans(), st.booleans(), st.integers(0, 999),
    st.integers(0, 99), texts, links, links, links, actions,
)  # fmt: skip
paths = st.lists(names, min_size=1, max_size=4).map(join_path)
items = st.builds(Item, paths, areas) | st.builds(Item, paths, leaves, extras)


@given(items, st.booleans())
def test_configurations_go_both_ways(item: Item, sparse: bool):
    assert item_of(orjson.loads(orjson.dumps(item_form(item, sparse)))) == item


def test_what_is_not_said_has_its_default():
    assert item_of({"path": L07, "config": {"description": ""}}) == Item(L07, LeafConfig())
    assert item_of({"path": L07, "kind": "alarm"}) == Item(L07, LeafConfig())
    assert item_of({"path": "/DEMO/HV/"}) == Item("/DEMO/HV", AreaConfig())
    assert item_form(Item(L07, LeafConfig()), sparse=True) == {"path": L07, "config": {"description": ""}}


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        (3, "is a number and not an object"),
        ({}, "path is missing"),
        ({"path": "DEMO"}, "does not begin with '/'"),
        ({"path": "/D", "kind": "pv"}, "kind is area or alarm"),
        ({"path": "/D", "extras": {"priority": "high"}}, "/D: an area has no extras"),
        ({"path": "/D/p", "config": {"description": 3}}, "/D/p: config.description is a number and not a text"),
        ({"path": "/D/p", "config": {"description": "a\x00b"}}, "config.description has control characters"),
        ({"path": "/D/p", "config": {"description": "x" * 10_001}}, "has more than 10,000 characters"),
        ({"path": "/D/p", "config": {"description": "", "delay": True}}, "config.delay is no whole number"),
        ({"path": "/D/p", "config": {"description": "", "delay": -1}}, "config.delay is no whole number"),
        ({"path": "/D/p", "config": {"description": "", "enabled": "no"}}, "config.enabled is a text and not true"),
        ({"path": "/D/p", "config": {"description": "", "enabled": False, "disabled_until": "2030-01-01T00:00:00"}},
         "config.disabled_until has no time zone"),
        ({"path": "/D/p", "config": {"description": "", "disabled_until": "2030-01-01T00:00:00Z"}},
         "config.disabled_until needs enabled = false"),
        ({"path": "/D/p", "config": {"description": "", "delai": 3}}, "config.delai is no field of it"),
        ({"path": "/D/p", "config": {"description": "", "guidance": [{"titel": ""}]}},
         "config.guidance[0].titel is no field of it"),
        ({"path": "/D/p", "config": {"description": "", "guidance": [{}] * (LIST_LIMIT + 1)}}, "is no list of at most"),
        ({"path": "/D/p", "config": {"description": ""}, "extras": {"priority": "P1"}}, "extras.priority is none of"),
        ({"path": "/D/p", "config": {"description": ""}, "extras": {"off_delay": float("nan")}}, "off_delay is a"),
        ({"path": "/D/p", "config": {"description": ""}, "extras": {"masked_by": "D"}}, "extras.masked_by is none: "),
    ],
)  # fmt: skip
def test_a_configuration_is_refused_with_the_reason(form: Any, reason: str):
    with pytest.raises(ConfigError) as caught:
        item_of(form)
    assert reason in str(caught.value), str(caught.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
known = st.sampled_from(
    ["path", "kind", "config", "extras", "description", "enabled", "guidance", "actions", "disabled_until", "modes",
     "priority", "delay", "title", "details"]
)  # fmt: skip
hostile = st.recursive(
    json_values,
    lambda inner: st.dictionaries(known, inner, max_size=5) | st.lists(inner, max_size=3),
    max_leaves=20,
)


@given(hostile)
@settings(max_examples=300)
def test_whatever_is_sent_is_an_item_or_a_reason(form: Any):
    try:
        item = item_of(form)
    except ConfigError as error:
        assert error.problems and all(error.problems)
    else:
        assert item_of(item_form(item)) == item
