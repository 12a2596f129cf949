"""Catalogues to items; and what is none."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iocs.alarm.tree.items import Extras, Item, LeafConfig, Link
from iocs.alarm.watch.catalogues import MAX_BYTES, MAX_PVS, BadCatalogue, parse_catalogue
from owlshift.ioc import Alarm, Device, Ioc, child, readback


class Inner(Device):
    """Inside."""

    Temp = readback(float, units="degC", doc="Temperature", alarm_info=Alarm())


class Board(Device):
    """A board."""

    IMon = readback(
        float, doc="Current", alarm_info=Alarm("Call", priority="high", delay=2.5, latching=False, display="hv")
    )
    Trip = readback(bool, name="Sts:Trip", doc="It tripped", alarm_info=Alarm())
    VMon = readback(float, doc="No alarm")
    inner = child(Inner, "T0:")


def test_a_catalogue_of_ours() -> None:
    ioc = Ioc("DEMO:HV:", [("L07:", Board())])
    items = parse_catalogue(ioc._catalogue_text().encode(), "DEMO:HV:", "DEMO")
    current = LeafConfig(description="Current", latching=False, delay=3, guidance=(Link("Guidance", "Call"),))
    assert items["DEMO:HV:L07:IMon"] == Item(
        "/DEMO/HV/L07/DEMO:HV:L07:IMon",
        current,
        Extras(priority="high", screen="hv", masked_by="/DEMO/HV/IOC/DEMO:HV:IOC:HEARTBEAT"),
    )
    assert items["DEMO:HV:L07:Sts:Trip"].path == "/DEMO/HV/L07/DEMO:HV:L07:Sts:Trip"
    assert items["DEMO:HV:L07:T0:Temp"].path == "/DEMO/HV/L07/T0/DEMO:HV:L07:T0:Temp"
    assert items["DEMO:HV:IOC:HEARTBEAT"].extras.masked_by == ""
    assert len(items) == 4


def one(**entry) -> bytes:
    return json.dumps(
        {"pvs": [{"name": "DEMO:HV:L07:IMon", "doc": "d", "alarm_info": {"guidance": "g"}} | entry]}
    ).encode()


def test_without_objects_the_last_colon_decides() -> None:
    assert parse_catalogue(one(), "DEMO:HV:", "DEMO")["DEMO:HV:L07:IMon"].path == "/DEMO/HV/L07/DEMO:HV:L07:IMon"
    assert parse_catalogue(one(name="DEMO:HV:Trip"), "DEMO:HV:", "DEMO")["DEMO:HV:Trip"].path == "/DEMO/HV/DEMO:HV:Trip"
    assert parse_catalogue(one(name="ELSE:X"), "DEMO:HV:", "DEMO")["ELSE:X"].path == "/DEMO/HV/ELSE:X"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "empty"),
        (b"\0\0", "empty"),
        (b"{", "no JSON"),
        (b"[]", "no list of PVs"),
        (b'{"pvs": 3}', "no list of PVs"),
        (b'{"pvs": [3]}', "entry 0 .* cannot be read"),
        (b'{"pvs": [{"alarm_info": {"delay": 1}}]}', "KeyError: 'name'"),
        (one(name=7), "a name"),
        (one(name="A B"), "no channel name"),
        (one(name="pva://A"), "cannot be watched"),
        (one(alarm_info="yes"), "cannot be read"),
        (one(alarm_info={"priority": "urgent"}), "priority 'urgent'"),
        (one(alarm_info={"priority": ["high"]}), "cannot be read"),
        (one(alarm_info={"delay": "soon"}), "delay 'soon'"),
        (one(alarm_info={"delay": -1}), "delay -1"),
        (one(alarm_info={"delay": 1e300}), "delay"),
        (one(alarm_info={"latching": 1}), "latching 1"),
        (one(doc=[1]), "no text"),
        (b'{"pvs": [{"name": "A", "alarm_info": {"x": 1}}, {"name": "A", "alarm_info": {"x": 1}}]}', "twice"),
        (b"[" * 100_000, "no JSON"),
        (b"\xff\xfe", "no JSON"),
    ],
)
def test_what_is_none(raw, reason) -> None:
    with pytest.raises(BadCatalogue, match=reason):
        parse_catalogue(raw, "DEMO:HV:", "DEMO")


def test_two_million_entries_are_refused_before_they_are_parsed() -> None:
    raw = b'{"pvs":[' + b",".join([b'{"name":"A"}'] * 2_000_000) + b"]}"
    assert len(raw) < MAX_BYTES
    with pytest.raises(BadCatalogue, match="more than 250,000 PVs"):
        parse_catalogue(raw, "DEMO:HV:", "DEMO")
    with pytest.raises(BadCatalogue, match="are taken"):
        parse_catalogue(b" " * (MAX_BYTES + 1) + b"x", "DEMO:HV:", "DEMO")
    with pytest.raises(BadCatalogue, match="250,001 PVs"):
        parse_catalogue(b'{"pvs":[' + b",".join([b"1"] * (MAX_PVS + 1)) + b"]}", "DEMO:HV:", "DEMO")


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
infos = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("guidance", "priority", "delay", "latching", "display"), values)
)
entries = st.fixed_dictionaries({}, optional={"name": values, "doc": values, "alarm_info": infos | values})
documents = st.fixed_dictionaries(
    {}, optional={"pvs": st.lists(entries | values, max_size=4) | values, "objects": values}
)


@given(documents | values)
def test_whatever_an_ioc_sends(document) -> None:
    try:
        items = parse_catalogue(orjson.dumps(document), "DEMO:HV:", "DEMO")
    except BadCatalogue as error:
        assert str(error)
    else:
        assert all(item.path.startswith("/DEMO/HV/") for item in items.values())


@given(st.binary(max_size=200))
def test_whatever_bytes(raw) -> None:
    try:
        parse_catalogue(raw, "DEMO:HV:", "DEMO")
    except BadCatalogue as error:
        assert str(error)
