"""Who set one value."""

from __future__ import annotations

import json

import pytest
from exchange_trees import quick_chip, setpoints, two_views
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db import demo
from db.blame import ABSENT, blame_value, reader
from db.errors import BadInput, DbError, NotFound
from db.nodes import NewObject, PayloadInfo
from db.store import Store

FE = "/FELIX1/OB1/FE2"


@pytest.fixture
def name(store: Store) -> str:
    """The demo with HV, cloned and changed step by step; the comments say what."""
    runkeys = store.staging
    demo.make_demo(runkeys)
    with runkeys.edit(demo.NAME, "HV") as edit:
        hv = NewObject("subsystem", "HV", payloads=[setpoints({"DEMO:HV:L07:VSet": 30.0, "DEMO:HV:L08:VSet": 40.0})])
        edit.add("/", hv, pos=2)
    runkeys.clone(demo.NAME, "work", "clone")
    config = runkeys.payload("work", FE, "config")
    with runkeys.edit("work", "threshold") as edit:
        edit.put(FE, "config", config.replace(b'"DiffTh2": 50', b'"DiffTh2": 60'))
    with runkeys.edit("work", "voltage") as edit:
        edit.put("/HV", "setpoints", setpoints({"DEMO:HV:L07:VSet": 35.0, "DEMO:HV:L08:VSet": 40.0}).content)
    pixels = bytearray(runkeys.payload("work", FE, "pixels"))
    pixels[12 * 384 + 300] ^= 2
    with runkeys.edit("work", "pixel") as edit:
        edit.put(FE, "pixels", bytes(pixels))
    with runkeys.edit("work", "place") as edit:
        edit.set_edge(FE, rx=8)
        edit.set_meta(FE, vendor="A")
    with runkeys.edit("work", "serial") as edit:
        edit.set_serial(FE, "S")
    scan = json.loads(runkeys.payload("work", "/std_digitalscan", "config"))
    scan["scan"]["loops"][1]["config"]["max"] = 40
    with runkeys.edit("work", "scan") as edit:
        edit.put("/std_digitalscan", "config", json.dumps(scan).encode())
    return "work"


@pytest.mark.parametrize(
    ("path", "key", "comment"),
    [
        (FE, "config:GlobalConfig.DiffTh2", "threshold"),
        (FE, "config:RD53B.GlobalConfig.DiffTh2", "threshold"),
        (FE, "config:GlobalConfig.DiffTh1L", "The setup"),
        (FE, "config:Parameter.ADCcalPar[1]", "The setup"),
        (FE, "config", "threshold"),
        (FE, "pixels", "pixel"),
        (FE, "pixels:12,300", "pixel"),
        (FE, "pixels:12,300.InjEn", "pixel"),
        (FE, "pixels:12,300.TDAC", "The setup"),
        (FE, "pixels:12,301", "The setup"),
        (FE, "edge:rx", "place"),
        (FE, "edge:tx", "The setup"),
        (FE, "meta:vendor", "place"),
        (FE, "serial:", "serial"),
        (FE, "serial", "serial"),
        ("/HV", "setpoints:DEMO:HV:L07:VSet", "voltage"),
        ("/HV", "setpoints:DEMO:HV:L08:VSet", "HV"),
        ("/std_digitalscan", "config:scan.loops[1].config.max", "scan"),
        ("/std_digitalscan", "config:scan.loops.0.config.max", "The setup"),
    ],
)
def test_blame(store: Store, name: str, path: str, key: str, comment: str) -> None:
    found = blame_value(store.staging, name, path, key)
    assert found.comment.startswith(comment)
    assert found.author == "anna"


@pytest.mark.parametrize(
    ("path", "key", "reason"),
    [
        (FE, "config:GlobalConfig.Nonsense", "has no 'GlobalConfig.Nonsense'"),
        (FE, "config:Parameter.ADCcalPar[9]", "has no"),
        (FE, "edge:colour", "has no edge 'colour'; it has .*rx"),
        (FE, "meta:colour", "it has vendor"),
        (FE, "results", "has no payload 'results'; it has config, pixels"),
        ("/HV", "setpoints:DEMO:HV:L99:VSet", "has no"),
        ("/FELIX1/OB1/FE7", "config", "FE7"),
    ],
)
def test_nothing_there(store: Store, name: str, path: str, key: str, reason: str) -> None:
    with pytest.raises(NotFound, match=reason):
        blame_value(store.staging, name, path, key)


@pytest.mark.parametrize(
    "key", ["pixels:1", "pixels:a,b", "pixels:400,0", "pixels:0,384", "pixels:1,2.Colour", "pixels:-1,2"]
)
def test_no_pixel(store: Store, name: str, key: str) -> None:
    with pytest.raises(BadInput, match="pixel"):
        blame_value(store.staging, name, FE, key)


def test_no_values_inside(store: Store) -> None:
    info = PayloadInfo("", "log", "log", "", "text", "", 0, {})
    with pytest.raises(BadInput, match="only a payload of JSON or pixels"):
        reader(info, "x")
    with pytest.raises(BadInput, match="no chip type"):
        reader(PayloadInfo("", "mask", "mask", "", "pixels", "", 0, {}), "1,2")
    pixels = quick_chip(0)[1]
    some = reader(PayloadInfo("", "pixels", "pixels", "", "pixels", "", 0, dict(pixels.meta)), "1,2")
    assert some(pixels.content) != ABSENT and some(b"short") is ABSENT


_JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(_JSON, st.text(max_size=20), st.sampled_from(["config", "setpoints"]))
def test_any_key_of_any_content(document: object, key: str, kind: str) -> None:
    info = PayloadInfo("", kind, kind, "", "json", "", 0, {})
    read = reader(info, key)
    read(json.dumps(document).encode())
    read(b"no json")
    try:
        reader(PayloadInfo("", "pixels", "pixels", "", "pixels", "", 0, {"chip": "RD53B"}), key)
    except DbError:
        pass


def test_a_child_that_came_later(store: Store, name: str) -> None:
    with store.staging.edit(name, "new chip") as edit:
        edit.add("/FELIX1/OB1", NewObject("frontend", "FE9", payloads=quick_chip(1)), edge={"rx": 1})
    assert blame_value(store.staging, name, "/FELIX1/OB1/FE9", "config:GlobalConfig.DiffTh2").comment == "new chip"
    assert blame_value(store.staging, name, "/FELIX1/OB1/FE9", "edge:rx").comment == "new chip"


def test_in_another_view(store: Store) -> None:
    store.staging.create("views", two_views(), "made")
    with store.staging.edit("views", "moved") as edit:
        edit.set_edge("power:/PSU/FE1", channel=4)
    for path in ("power:/PSU/FE1", "/PSU/FE1"):
        assert blame_value(store.staging, "views", path, "edge:channel").comment == "moved"
        assert blame_value(store.staging, "views", path, "pixels:0,0").comment == "made"
    with pytest.raises(NotFound, match="in view power"):
        blame_value(store.staging, "views", "power:/OB1", "config")
