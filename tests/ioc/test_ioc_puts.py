"""Puts over the network, with a stock client: what is carried out, in what order, and how it is refused."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator

import numpy as np
import pytest
from aioca import DBE_ALARM, DBE_PROPERTY, FORMAT_CTRL, FORMAT_TIME, CANothing, camonitor, purge_channel_caches
from caproto import AlarmStatus
from epicscorelibs.ca import dbr
from ioc_support import PUTFAIL, TIMEOUT, caget, caput, code, lamp, text
from support import Process


@pytest.fixture
async def ioc(prefix: str) -> AsyncIterator[Process]:
    async with lamp(prefix) as process:
        yield process


async def put(name: str, value: object, datatype: object = None) -> None:
    await caput(name, value, datatype=datatype, wait=True, timeout=TIMEOUT)


async def test_every_type_goes_there_and_back(ioc: Process, prefix: str) -> None:
    for name, value in (("Set", 1.25), ("Steps", 7), ("Mode", 2), ("Sts:On", 1), ("Label", "µ-lamp")):
        await put(f"{prefix}L:{name}", value)
        assert await caget(f"{prefix}L:{name}") == value
    await put(f"{prefix}L:Curve", [1.0, 2.5, 9.0])
    assert (await caget(f"{prefix}L:Curve")).tolist() == [1.0, 2.5, 9.0]
    await put(f"{prefix}L:Note", "a longer text, ä" * 20, dbr.DBR_CHAR_STR)
    assert await text(f"{prefix}L:Note") == "a longer text, ä" * 20
    await put(f"{prefix}L:Note", "", dbr.DBR_CHAR_STR)
    assert await text(f"{prefix}L:Note") == ""
    await put(f"{prefix}L:Mode", "Ramp", dbr.DBR_STRING)
    assert await caget(f"{prefix}L:Mode", datatype=dbr.DBR_STRING) == "Ramp"
    await put(f"{prefix}L:Set", "0.5", dbr.DBR_STRING)
    assert await caget(f"{prefix}L:Set", datatype=dbr.DBR_STRING) == "0.50"
    await put(f"{prefix}L:Refuse", 3.4)
    assert await caget(f"{prefix}L:Refuse") == 3.0  # what the putter made of it


REFUSED = [
    ("Set", 2.01, None, "2.01 A is above the limit of 2 A"),
    ("Set", -0.01, None, "-0.01 A is below the limit of 0 A"),
    ("Set", float("nan"), None, "NaN is no setting"),
    ("Set", "much", dbr.DBR_STRING, "'much' is not a number"),
    ("Steps", 1.7, dbr.DBR_DOUBLE, "1.7 is not an integer"),
    ("Steps", 2.0**40, dbr.DBR_DOUBLE, "1099511627776 does not fit into 32 bits"),
    ("Steps", 101, None, "101 is above the limit of 100"),
    ("Mode", "Dance", dbr.DBR_STRING, "'Dance' is none of Off, Ramp, On, Trip"),
    ("Mode", 9, None, "is none of the states"),
    ("Curve", [1.0, float("nan")], None, "NaN is no setting"),
    ("Curve", [1.0, 10.0], None, "10 is above the limit of 9"),
    ("Refuse", -1.0, None, "the lamp does not like it"),
    ("Refuse", 666.0, None, "RuntimeError: a fault of the driver"),
    ("Fail", 1, None, "it cannot"),
]


async def test_a_refused_put_fails_says_why_and_changes_nothing(ioc: Process, prefix: str) -> None:
    await put(f"{prefix}L:Set", 1.5)
    for name, value, datatype, reason in REFUSED:
        pv = f"{prefix}L:{name}"
        before = await caget(pv, format=FORMAT_TIME)
        with pytest.raises(CANothing) as caught:
            await put(pv, value, datatype)
        assert code(caught.value) == PUTFAIL, (name, value)
        after = await caget(pv, format=FORMAT_TIME)
        assert np.array_equal(after, before) and after.severity == before.severity == 0, (name, value)
        if name != "Fail":  # a command shows that it has run
            assert after.timestamp == before.timestamp, (name, value)
        message = await text(f"{prefix}IOC:Msg")
        assert message.startswith(f"{pv}: ") and reason in message
    for name in ("Set", "Steps", "Mode", "Curve", "Refuse", "Fail"):
        assert f"refused: {prefix}L:{name}: " in ioc.text()  # at most one line a second and PV


async def test_an_array_to_a_scalar_and_too_long_an_array(ioc: Process, prefix: str) -> None:
    for name, value in (("Set", [1.0, 2.0]), ("Curve", [1.0] * 11)):
        with pytest.raises((CANothing, Exception), match=r"."):
            await put(f"{prefix}L:{name}", value)
    assert (await caget(f"{prefix}L:Curve")).tolist() == []
    assert (await caget(f"{prefix}L:Set", format=FORMAT_TIME)).severity == 3


async def test_puts_of_one_device_run_in_the_order_of_arrival(ioc: Process, prefix: str) -> None:
    await caget([f"{prefix}L:Set", f"{prefix}L:Steps"])  # connected: from now on puts leave in the order of the calls
    # the first takes 20 ms, the others nothing: stock caproto ends them as 2, 3, 1
    await asyncio.gather(
        *(put(f"{prefix}L:{name}", value) for name, value in (("Set", 1.0), ("Set", 0.5), ("Steps", 5), ("Set", 0.25)))
    )
    assert await text(f"{prefix}L:Puts") == "Set=1 Set=0.5 Steps Set=0.25"
    assert await caget(f"{prefix}L:Set") == 0.25


async def test_another_lane_overtakes_and_nothing_else_waits(ioc: Process, prefix: str) -> None:
    beats: list[float] = []
    monitor = camonitor(f"{prefix}IOC:HEARTBEAT", beats.append)
    hold = asyncio.create_task(put(f"{prefix}L:Hold", 3.0))
    async with asyncio.timeout(TIMEOUT):
        while await text(f"{prefix}L:Puts") != "hold":
            await asyncio.sleep(0.02)
    behind = asyncio.create_task(put(f"{prefix}L:Set", 0.5))
    await put(f"{prefix}L:Urgent", 1)
    await put(f"{prefix}L:Label", "no putter, no wait")
    assert await caget(f"{prefix}L:Hold") == 0.0
    count = len(beats)
    async with asyncio.timeout(TIMEOUT):
        while len(beats) < count + 2:
            await asyncio.sleep(0.05)
    assert not hold.done() and not behind.done()
    await put(f"{prefix}L:Release", 1)
    await asyncio.gather(hold, behind)
    assert await text(f"{prefix}L:Puts") == "hold Urgent held Set=0.5"
    monitor.close()


async def test_a_flood_of_puts_to_a_busy_device_ends_with_the_last(ioc: Process, prefix: str) -> None:
    hold = asyncio.create_task(put(f"{prefix}L:Hold", 3.0))
    async with asyncio.timeout(TIMEOUT):
        while await text(f"{prefix}L:Puts") != "hold":
            await asyncio.sleep(0.02)
    for i in range(1, 501):
        await caput(f"{prefix}L:Set", i / 500, timeout=TIMEOUT)
    await put(f"{prefix}L:Release", 1)
    await hold
    async with asyncio.timeout(TIMEOUT):
        while await caget(f"{prefix}L:Set") != 1.0:
            await asyncio.sleep(0.02)
    done = (await text(f"{prefix}L:Puts")).split()
    assert done[:3] == ["hold", "held", "Set=0.002"] and done[-1] == "Set=1"
    assert len(done) < 100  # those in between were overtaken
    values = [float(item.removeprefix("Set=")) for item in done[2:]]
    assert values == sorted(values)


async def test_a_putter_may_put_to_its_own_device(ioc: Process, prefix: str) -> None:
    with pytest.raises(CANothing):
        await put(f"{prefix}L:Twice", 1)
    assert await caget(f"{prefix}L:Set") == 0.25
    assert "99 A is above the limit" in await text(f"{prefix}IOC:Msg")


async def test_a_command_shows_that_it_runs_and_completes(ioc: Process, prefix: str) -> None:
    seen: list[int] = []
    monitor = camonitor(f"{prefix}L:Go", seen.append, all_updates=True)
    await put(f"{prefix}L:Go", 1)
    assert await text(f"{prefix}L:Puts") == "Go"  # it was done when the put returned
    await put(f"{prefix}L:Go", 0)  # nothing to do
    assert await text(f"{prefix}L:Puts") == "Go"
    async with asyncio.timeout(TIMEOUT):
        while seen != [0, 1, 0]:
            await asyncio.sleep(0.02)
    with pytest.raises(CANothing):
        await put(f"{prefix}L:Fail", 1)
    assert await caget(f"{prefix}L:Fail") == 0
    monitor.close()


async def test_a_client_that_leaves_does_not_stop_its_put(ioc: Process, prefix: str) -> None:
    task = asyncio.create_task(put(f"{prefix}L:Slow", 0.5))
    async with asyncio.timeout(TIMEOUT):
        while not (await caget(f"{prefix}IOC:PutCount")):
            await asyncio.sleep(0.02)
    task.cancel()
    purge_channel_caches()
    async with asyncio.timeout(TIMEOUT):
        while await text(f"{prefix}L:Puts") != "Slow=0.5":
            await asyncio.sleep(0.05)


async def test_a_readback_cannot_be_put(ioc: Process, prefix: str) -> None:
    with pytest.raises(Exception, match=r"(?i)write access"):
        await put(f"{prefix}L:Current", 1.0)
    info = await caget(f"{prefix}L:Current", format=FORMAT_CTRL)
    assert info.severity == 3 and info == 0.0


async def test_a_monitor_alone_sees_what_is_posted(ioc: Process, prefix: str) -> None:
    """Trap A11: values are stored, no getter stands between them and a monitor, which gets what it asked for (B5)."""
    values: list[tuple[float, int, int]] = []
    alarms: list[tuple[int, int]] = []
    monitors = [
        camonitor(
            f"{prefix}L:Current", lambda v: values.append((float(v), v.severity, v.status)), format=FORMAT_TIME,
            all_updates=True,
        ),
        camonitor(
            f"{prefix}L:Current", lambda v: alarms.append((v.severity, v.status)), format=FORMAT_TIME,
            events=DBE_ALARM, all_updates=True,
        ),
    ]  # fmt: skip
    async with asyncio.timeout(TIMEOUT):
        while not (values and alarms):
            await asyncio.sleep(0.02)
    for value in (0.5, 0.6, 1.0, 1.5, -0.5, 0.0):
        await put(f"{prefix}L:Post", value)
    await put(f"{prefix}L:Gone", 1)
    expected = [
        (0.0, 3, AlarmStatus.UDF), (0.5, 0, 0), (0.6, 0, 0), (1.0, 1, AlarmStatus.HIGH), (1.5, 2, AlarmStatus.HIHI),
        (-0.5, 2, AlarmStatus.LOLO), (0.0, 0, 0), (0.0, 3, AlarmStatus.COMM),
    ]  # fmt: skip
    async with asyncio.timeout(TIMEOUT):
        while len(values) < len(expected) or len(alarms) < 7:
            await asyncio.sleep(0.02)
    assert values == expected
    assert alarms == [(3, 17), (0, 0), (1, 4), (2, 3), (2, 5), (0, 0), (3, 9)]
    for monitor in monitors:
        monitor.close()


async def test_metadata_and_fields_on_the_wire(ioc: Process, prefix: str) -> None:
    found = await caget(f"{prefix}L:Current", format=FORMAT_CTRL)
    assert (found.units, found.precision) == ("A", 2)
    assert (found.lower_disp_limit, found.upper_disp_limit) == (0, 2)
    assert (found.lower_ctrl_limit, found.upper_ctrl_limit) == (0, 2)  # as an ai record: the display range
    assert (found.lower_warning_limit, found.upper_warning_limit) == (-np.inf, 1)
    assert (found.lower_alarm_limit, found.upper_alarm_limit) == (-0.5, 1.5)
    count = await caget(f"{prefix}L:Count", format=FORMAT_CTRL)
    assert (count.lower_warning_limit, count.upper_warning_limit) == (-(2**31), 10)
    as_long = await caget(f"{prefix}L:Current", format=FORMAT_CTRL, datatype=dbr.DBR_LONG)
    assert as_long.lower_warning_limit == -(2**31)
    mode = await caget(f"{prefix}L:Mode", format=FORMAT_CTRL)
    assert list(mode.enums) == ["Off", "Ramp", "On", "Trip"]
    fields = {
        "Current.DESC": "Current through the lamp, measured at t",  # a DBR_STRING ends there
        "Current.RTYP": "ai", "Set.RTYP": "ao", "Count.RTYP": "longin", "State.RTYP": "mbbi", "Sts:On.RTYP": "bo",
        "Note.RTYP": "waveform", "Label.RTYP": "stringout", "Go.RTYP": "bo",
        "Current.EGU": "A", "Current.PREC": 2, "Current.HIHI": 1.5, "Current.HIGH": 1, "Current.LOLO": -0.5,
        "Current.LOW": -np.inf, "Current.HOPR": 2, "Current.LOPR": 0, "Current.HHSV": 2, "Current.HSV": 1,
        "Current.LSV": 0, "Current.LLSV": 2, "Set.DRVH": 2, "Set.DRVL": 0, "Set.HIHI": 0,
        "Current.SEVR": 3, "Current.STAT": "UDF", "Current.NAME": f"{prefix}L:Current", "Steps.VAL": 3,
        "Set.ASG": "OPERATOR",
        "State.ZRST": "Off", "State.THST": "Trip", "State.THSV": 2, "State.ONSV": 1, "State.FRST": "",
        "Sts:On.ZNAM": "No", "Sts:On.ONAM": "Yes", "Curve.NELM": 10, "Curve.NORD": 0,
    }  # fmt: skip
    values = await caget([f"{prefix}L:{name}" for name in fields], timeout=TIMEOUT)
    assert dict(zip(fields, values, strict=True)) == fields
    assert await text(f"{prefix}L:Current.DESC$") == "Current through the lamp, measured at th"
    assert await text(f"{prefix}L:Current.NAME$") == f"{prefix}L:Current"
    with pytest.raises(Exception, match=r"(?i)write access"):
        await put(f"{prefix}L:Current.HIHI", 1e9)
    missing = await caget(
        [f"{prefix}L:{name}" for name in ("Current.NONE", "Current.DRVH", "Label.EGU", "State.HIHI", "Gone.FRST")],
        timeout=1, throw=False,
    )  # fmt: skip
    assert not any(value.ok for value in missing)
    await put(f"{prefix}L:Post", 1.6)
    assert (await caget(f"{prefix}L:Current.SEVR"), await caget(f"{prefix}L:Current.STAT")) == (2, "HIHI")


async def test_new_limits_reach_monitors_fields_and_the_catalogue(ioc: Process, prefix: str) -> None:
    limits: list[float] = []
    monitor = camonitor(
        f"{prefix}L:Current", lambda v: limits.append(v.upper_alarm_limit), format=FORMAT_CTRL, events=DBE_PROPERTY
    )
    await put(f"{prefix}L:Post", 1.6)
    assert (await caget(f"{prefix}L:Current", format=FORMAT_TIME)).severity == 2
    assert await caget(f"{prefix}L:Current.HIHI") == 1.5
    await put(f"{prefix}L:Widen", 1)
    assert (await caget(f"{prefix}L:Current", format=FORMAT_TIME)).severity == 1  # 1.6 is above HIGH only
    assert [await caget(f"{prefix}L:Current.{name}") for name in ("HIHI", "LOLO", "HOPR")] == [1.8, -np.inf, 5]
    async with asyncio.timeout(TIMEOUT):
        while limits != [1.5, 1.8]:
            await asyncio.sleep(0.02)
        while '"alarm":[null,1.8]' not in await text(f"{prefix}IOC:Catalogue"):
            await asyncio.sleep(0.1)
    state = await caget(f"{prefix}IOC:State", format=FORMAT_TIME)
    assert (state, state.severity) == (2, 1)
    monitor.close()


PYEPICS = """
import json, sys
import epics
prefix, names = sys.argv[1], json.loads(sys.argv[2])
found = {}
for name in names:
    pv = epics.PV(name, form="ctrl", auto_monitor=True, connection_timeout=30)
    assert pv.wait_for_connection(30), name
    values = pv.get_with_metadata(form="ctrl", timeout=30)
    assert values is not None, name
    found[name] = [pv.severity, pv.units, pv.upper_ctrl_limit, list(pv.enum_strs or ())]
assert epics.caput(prefix + "L:Set", 1.25, wait=True, timeout=30) == 1
assert epics.caget(prefix + "L:Set", as_string=True, timeout=30) == "1.25"
assert epics.caput(prefix + "L:Mode", "On", wait=True, timeout=30) == 1
assert epics.caget(prefix + "L:Mode", as_string=True, timeout=30) == "On"
assert epics.caput(prefix + "L:Note", "text", wait=True, timeout=30) == 1
assert epics.caget(prefix + "L:Note", as_string=True, timeout=30) == "text"
print(json.dumps(found))
"""


async def test_pyepics_reads_everything_with_its_metadata(ioc: Process, prefix: str) -> None:
    """PyDM asks in this form: units that are too long (A9), or limits that do not convert, leave its widgets empty."""
    names = [pv["name"] for pv in json.loads(await text(f"{prefix}IOC:Catalogue"))["pvs"]]
    assert len(names) > 40
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore", "-c", PYEPICS, prefix, json.dumps(names), stdout=subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(child.communicate(), 90)
    assert child.returncode == 0
    found = json.loads(out.splitlines()[-1])
    assert found[f"{prefix}L:Set"] == [3, "A", 2, []]
    assert found[f"{prefix}L:State"] == [3, None, None, ["Off", "Ramp", "On", "Trip"]]
