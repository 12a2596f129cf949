"""PV names with fields, modifiers and filters."""

from __future__ import annotations

from typing import Any

import pytest
from ca_raw import DBE_ALARM, DBE_VALUE, RawClient, double, event_add, serving
from ca_test_ioc import make_pvs
from caproto import ChannelData, ChannelString
from hypothesis import given
from hypothesis import strategies as st

from owlshift.ioc.server import names, publish
from owlshift.ioc.server.dbr import Slice


class Recordish(ChannelString):
    """A PV with fields that are made when they are asked for."""

    def get_field(self, field: str) -> ChannelData:
        """DESC, or KeyError."""
        if field != "DESC":
            raise KeyError(field)
        return ChannelString(value="about it")


def test_plain_names_fields_and_modifiers():
    pvs = {**make_pvs(), "Rec": Recordish(value="x"), "Own.FIELD": ChannelString(value="y")}
    for name in ("Double", "Double.VAL", "Double.", "Own.FIELD"):
        assert names.find(pvs, name) is not None, name
    described = names.find(pvs, "Rec.DESC")
    assert described is not None and described.pv.value == "about it"
    for name in ("Rec.VAL$", "Rec.DESC$", "Char.VAL$"):
        found = names.find(pvs, name)
        assert found is not None and found.long_string, name
    for name in ("", "No", "Double.DESC", "Rec.NOPE", "Rec.NOPE$", "Double.VAL$", "x" * 600, "Double.VAL$$"):
        assert names.find(pvs, name) is None, name


def test_filters():
    pvs = make_pvs()
    found = names.find(pvs, 'Array.VAL{"arr":{"s":1,"i":2,"e":-1}}')
    assert found is not None and found.piece == Slice(1, 2, -1)
    found = names.find(pvs, "Array.VAL[1:2]")
    assert found is not None and found.piece == Slice(1, 1, 2)
    found = names.find(pvs, 'Double.{"dbnd":{"abs":1.5}}')
    assert found is not None and found.deadband == ("abs", 1.5)
    found = names.find(pvs, 'Double.VAL{"ts":{}}')
    assert found is not None and found.server_time
    for bad in (
        '{"sync":{"m":"while","s":"red"}}',
        "{",
        "{]",
        '{"nope":1}',
        '{"dbnd":3}',
        '{"arr":{"s":"x"}}',
        "[1:2:3:4]",
    ):
        assert names.find(pvs, "Array.VAL" + bad) is None, bad
    assert names.find(pvs, "Array.VAL[:-1:]") is None
    assert names.find(pvs, "Array.VAL" + "{" * 400) is None


@given(st.one_of(st.text(), st.text().map(lambda t: "Array." + t), st.text().map(lambda t: "Array.VAL{" + t + "}")))
def test_any_name_is_found_or_not(name: str):
    names.find(make_pvs(), name)


async def test_a_deadband_lets_through_what_leaves_it_and_alarms():
    pvs = make_pvs()
    async with serving(pvs) as server:
        client = await RawClient.connect(server.port)
        sid = await client.open('Double.VAL{"dbnd":{"abs":2}}')
        client.send(event_add(sid, 1, mask=DBE_VALUE | DBE_ALARM))
        await client.until_echo()
        state: dict[str, Any] = pvs["Double"]._data
        for value in (2.0, 3.4, 3.6, 5.0, 5.7, 1.0):
            state["value"] = value
            publish(pvs["Double"], DBE_VALUE)
        publish(pvs["Double"], DBE_ALARM)
        assert [double(e) for e in await client.until_echo()] == [3.6, 5.7, 1.0, 1.0]
        await client.close()


@pytest.mark.parametrize("name", ["Array.VAL[0:1]", 'Array.VAL{"arr":{"e":1}}'])
async def test_a_slice_is_read_and_monitored(name: str):
    async with serving(make_pvs()) as server:
        client = await RawClient.connect(server.port)
        sid = await client.open(name)
        assert (await client.get(sid, 6, 0)).data_count == 2
        client.send(event_add(sid, 1, count=0))
        assert [e.data_count for e in await client.until_echo()] == [2]
        await client.close()


class Broken(dict[str, ChannelData]):
    """A PV list with a fault of its own."""

    def __contains__(self, key: object) -> bool:
        if key == "Fault":
            raise RuntimeError("a fault in the PV list")
        return super().__contains__(key)


async def test_a_fault_in_the_pv_list_costs_one_name():
    async with serving(Broken(make_pvs())) as server:
        client = await RawClient.connect(server.port)
        with pytest.raises(LookupError):
            await client.open("Fault")
        await client.open("Double")
        await client.close()
