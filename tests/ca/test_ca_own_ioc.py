"""Against an IOC of owlshift itself, value by value with aioca (libca)."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import aioca
import numpy as np
import pytest
from aioca import purge_channel_caches
from ca_support import RecordingSink, eventually
from support import ROOT, Process, start, unique_prefix

from owlshift.ca import CaError, CaStatusError, CaTimeoutError, Client, Dbr

TIMEOUT = 30.0
caget: Any = aioca.caget


def start_lamp(prefix: str) -> Process:
    """The small IOC of the framework's own tests."""
    return start([sys.executable, str(ROOT / "tests" / "ioc" / "lamp_ioc.py"), prefix])


@pytest.fixture(scope="module")
def lamp():
    prefix = unique_prefix()
    process = start_lamp(prefix)
    yield prefix
    assert process.stop(TIMEOUT) == 0, process.text()


@pytest.fixture
async def sink() -> RecordingSink:
    return RecordingSink()


@pytest.fixture
async def client(lamp: str, sink: RecordingSink) -> AsyncIterator[Client]:
    async with Client(sink=sink) as started:
        yield started
    purge_channel_caches()


async def test_every_pv_of_the_catalogue_equals_libca(lamp, client, sink):
    reading = await client.get(f"{lamp}IOC:Catalogue", timeout=TIMEOUT)
    catalogue = json.loads(reading.label)
    still = [pv["name"] for pv in catalogue["pvs"] if ":IOC:" not in pv["name"]]
    assert len(still) > 20
    ids = client.subscribe(still)
    await eventually(lambda: all(sink.values(number) or sink.stamps(number) for number in ids), "a value of each")
    theirs = await caget(still, format=aioca.FORMAT_TIME, timeout=TIMEOUT)
    described = await caget(still, format=aioca.FORMAT_CTRL, timeout=TIMEOUT)
    for number, name, other, control in zip(ids, still, theirs, described, strict=True):
        info, value, stamp = sink.infos[number], sink.values(number)[-1], sink.stamps(number)[-1]
        assert info.dbr == other.datatype, name
        if info.dbr is Dbr.STRING:
            assert value.decode() == str(other)
        else:
            np.testing.assert_array_equal(value, other, err_msg=name)
        assert stamp == (other.raw_stamp[0] * 10**9 + other.raw_stamp[1], other.severity, other.status), name
        if info.dbr is Dbr.ENUM:
            assert list(info.metadata.states) == list(control.enums)
        elif info.dbr is not Dbr.STRING:
            assert info.metadata.units == control.units
            np.testing.assert_array_equal(
                info.metadata.control, (control.lower_ctrl_limit, control.upper_ctrl_limit), err_msg=name
            )
            np.testing.assert_array_equal(
                info.metadata.alarm, (control.lower_alarm_limit, control.upper_alarm_limit), err_msg=name
            )
    assert client.stats.dropped == {}


async def test_puts_and_refusals(lamp, client, sink):
    (number,) = client.subscribe([f"{lamp}L:Set"])
    await client.put(f"{lamp}L:Set", 1.25, timeout=TIMEOUT)
    await client.put(f"{lamp}L:Mode", "Ramp", timeout=TIMEOUT)
    await client.put(f"{lamp}L:Note", "a long text " * 80, timeout=TIMEOUT)
    await client.put(f"{lamp}L:Curve", [1.0, 2.0], timeout=TIMEOUT)
    assert (await client.get(f"{lamp}L:Mode")).label == "Ramp"
    assert (await client.get(f"{lamp}L:Note")).label == "a long text " * 80
    assert (await client.get(f"{lamp}L:Curve")).value.tolist() == [1.0, 2.0]
    with pytest.raises(CaStatusError, match="ECA_PUTFAIL"):
        await client.put(f"{lamp}L:Set", 99.0, timeout=TIMEOUT)
    with pytest.raises(CaError):
        await client.put(f"{lamp}L:Refuse", -1.0, timeout=TIMEOUT)
    with pytest.raises(CaError):
        await client.put(f"{lamp}L:Mode", "No such state", timeout=TIMEOUT)
    await eventually(lambda: sink.values(number) and sink.values(number)[-1] == 1.25)


async def test_changed_limits_are_told(lamp, client, sink):
    (number,) = client.subscribe([f"{lamp}L:Current"])
    await eventually(lambda: number in sink.infos)
    await client.put(f"{lamp}L:Widen", 1, timeout=TIMEOUT)
    await eventually(lambda: sink.changes and sink.changes[-1].metadata.display == (0, 5))
    assert sink.changes[-1].metadata.alarm is not None and sink.changes[-1].metadata.alarm[1] == 1.8
    assert client.stats.ignored["server that ignores event masks"] == 0


async def test_fields_of_records(lamp, client):
    readings = await client.get([f"{lamp}L:Set.{field}" for field in ("EGU", "DESC", "DRVH", "RTYP")], timeout=TIMEOUT)
    assert readings[0].value == "A"
    assert readings[2].value == 2.0


async def test_an_ioc_that_ends_and_comes_back(sink):
    prefix = unique_prefix()
    process = start_lamp(prefix)
    try:
        async with Client(sink=sink) as client:
            (number,) = client.subscribe([f"{prefix}L:Set"])
            await eventually(lambda: sink.values(number))
            process.kill()
            await eventually(lambda: sink.lost)
            with pytest.raises(CaTimeoutError):
                await client.get(f"{prefix}L:Steps", timeout=0.2)
            process = start_lamp(prefix)
            await eventually(lambda: len(sink.connects) == 2, timeout=60)
            await client.put(f"{prefix}L:Set", 0.5, timeout=TIMEOUT)
            await eventually(lambda: sink.values(number)[-1] == 0.5)
    finally:
        process.kill()
