"""The high-voltage IOC as a process, on a simulator as a process, seen through Channel Access."""

from __future__ import annotations

import asyncio
import math
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aioca import FORMAT_CTRL, FORMAT_TIME, CANothing, caget, camonitor, caput, purge_channel_caches
from epicscorelibs.ca import dbr
from epicscorelibs.ca.cadef import CAException
from hv_stand import MAP, PATIENCE, Simulator, Stand
from support import owl, start, unique_prefix, wait_until

pytestmark = pytest.mark.timeout(240)

NO_ALARM, MINOR, MAJOR, INVALID = range(4)
COMM, READ, UDF = 9, 1, 17
VDEF: dict[str, float] = dict(zip(MAP, (1880, 1880, 0, 2000, 2000, 2000, 2000, 1265), strict=True))
RAMPED = [alias for alias in MAP if VDEF[alias]]
BITS = "On RUp RDw OvC OvV UnV MaxV Trip OvP OvT Dis Kill Ilk NoCal".split()


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    stand = Stand(tmp_path_factory.mktemp("hv"), unique_prefix().removesuffix(":"))
    try:
        yield stand
    finally:
        stand.stop()


class Operator:
    """What somebody with caget and caput does."""

    def __init__(self, stand: Stand) -> None:
        self.prefix, self.sim, self.stand = stand.prefix, stand.simulator, stand

    async def get(self, name: str, **options: Any) -> Any:
        return await caget(self.prefix + name, timeout=PATIENCE, **options)

    async def all(self, suffix: str) -> dict[str, float]:
        values = await caget([f"{self.prefix}{alias}:{suffix}" for alias in RAMPED], timeout=PATIENCE)
        return {alias: float(str(value)) for alias, value in zip(RAMPED, values, strict=True)}

    async def alarm(self, name: str) -> tuple[int, int]:
        value = await self.get(name, format=FORMAT_TIME)
        return value.severity, value.status

    async def put(self, name: str, value: Any, **options: Any) -> None:
        await caput(self.prefix + name, value, wait=True, timeout=PATIENCE, **options)

    async def refused(self, name: str, value: Any, **options: Any) -> str:
        """The reason with which a put is refused."""
        with pytest.raises((CANothing, CAException)):
            await self.put(name, value, **options)
        return await self.message()

    async def message(self) -> str:
        return bytes(await self.get("IOC:Msg")).split(b"\0")[0].decode()

    async def until(self, name: str, test: Any, what: str = "") -> Any:
        """Wait until a PV's value (with severity and status) is as it should be."""
        condition = test if callable(test) else lambda value: value == test
        deadline = time.monotonic() + PATIENCE
        while True:
            value = await self.get(name, format=FORMAT_TIME)
            if condition(value):
                return value
            assert time.monotonic() < deadline, f"{name} is {value} ({value.severity}, {value.status}); {what}"
            await asyncio.sleep(0.02)


@pytest.fixture
async def op(stand: Stand):
    """An operator at a stand that is at rest: everything off, alarms cleared, start settings, a healthy line."""
    op = Operator(stand)
    sim = op.sim
    sim.heal()
    sim.do("speed", factor=100)
    for board in ("B0", "B1"):
        sim.do("local", board=board, on=False)
        sim.do("interlock", board=board, on=False)
    sim.do("load", target="all", megohms=100)
    for board in ("B0", "B1"):
        await op.until(f"{board}:Connected", 1)
        await op.until(f"{board}:Ctrl", 1)
    await op.put("Down", 1)
    await op.put("Clear", 1)
    await op.put("Init", 1)
    await op.until("NOn", 0)
    await op.until("NRamping", 0)
    sim.do("speed", factor=1)
    yield op
    purge_channel_caches()


async def test_every_pv_of_the_subsystem_is_there(op):
    channel = (
        "VSet VSet_RBV VMon ISet ISet_RBV IMonH IMonL IMon IMonRange IMonRange_RBV Pw Pw_RBV Status Trip Trip_RBV VMax "
        "VMax_RBV RUp RUp_RBV RDwn RDwn_RBV PDwn PDwn_RBV Polarity VDef Layer State"
    ).split()
    names = [f"{alias}:{name}" for alias in MAP for name in [*channel, *(f"Sts:{bit}" for bit in BITS)]]
    names += "Mult Mult_RBV Down ScaleRamp Clear Init".split()
    names += [
        f"B{i}:{name}" for i in (0, 1) for name in "Name NCh FwRel Serial Ilk IlkMode Ctrl Alarm Connected".split()
    ]
    names += [f"Line:{name}" for name in "Timeouts BadReplies Reconnects CycleTime Connected Boards".split()]
    values = await caget([op.prefix + name for name in names], timeout=PATIENCE, format=FORMAT_TIME)
    invalid = [value.name for value in values if value.severity == INVALID]
    assert invalid == [f"{op.prefix}{alias}:IMonL" for alias in MAP]
    assert await op.get("B1:Name") == "N1470"
    assert await op.get("B1:NCh") == 4
    assert await op.get("L07:Layer") == 7
    assert await op.get("F:Layer") == -1
    assert bytes(await op.get("B1:Channels")).decode().rstrip("\0") == "L05 L06 L07 L08"


async def test_units_precision_limits_and_severities_are_in_the_records(op):
    vset = await op.get("L07:VSet", format=FORMAT_CTRL)
    assert (vset.units, vset.precision) == ("V", 1)
    assert (vset.lower_ctrl_limit, vset.upper_ctrl_limit) == (0, 8000)
    imon = await op.get("L07:IMon", format=FORMAT_CTRL)
    assert (imon.units, imon.upper_warning_limit, imon.upper_alarm_limit) == ("uA", 40, 48)
    assert math.isnan(imon.lower_alarm_limit) or imon.lower_alarm_limit <= 0
    mult = await op.get("Mult", format=FORMAT_CTRL)
    assert (mult.precision, mult.lower_ctrl_limit, mult.upper_ctrl_limit) == (4, 0, 1.2)
    assert await op.get("L07:IMon.HIHI") == 48
    assert await op.get("L07:VMon.EGU") == "V"
    assert await op.get("L07:VMon.DESC") == "Measured output voltage"
    state = await op.get("L07:State", format=FORMAT_CTRL)
    assert state.enums[:4] == ["Off", "On", "RampUp", "RampDown"]
    assert (await op.get("L07:Sts:Trip", format=FORMAT_CTRL)).enums == ["No", "Yes"]
    assert (await op.get("L07:PDwn", format=FORMAT_CTRL)).enums == ["KILL", "RAMP"]


async def test_mult_ramps_all_channels_so_that_they_arrive_together(op):
    op.sim.do("speed", factor=10)
    await op.put("Mult", 0.9)
    assert await op.all("RUp_RBV") == {
        "L01": 94, "L02": 94, "L04": 100, "L05": 100, "L06": 100, "L07": 100, "L08": 63,
    }  # fmt: skip
    assert await op.all("RUp") == await op.all("RUp_RBV")
    await op.until("L07:VMon", lambda volts: volts > 600)
    op.sim.do("speed", factor=0)
    still = op.sim.channel(1, 2)["vmon"]
    await op.until("L07:VMon", lambda volts: abs(volts - still) < 0.1)
    await asyncio.sleep(0.5)
    volts = await op.all("VMon")
    parts = [volts[alias] / (VDEF[alias] * 0.9) for alias in RAMPED]
    assert 0.3 < min(parts) < 1
    assert max(parts) - min(parts) < 0.02, "all have done the same part of their way"
    for alias in RAMPED:
        assert await op.get(f"{alias}:Sts:RUp") == 1
        assert await op.get(f"{alias}:Sts:On") == 1
    assert await op.get("L07:State", datatype=dbr.DBR_STRING) == "RampUp"
    assert await op.get("NRamping") == len(RAMPED)
    assert await op.get("F:VMon") == 0 and await op.get("F:Pw_RBV") == 0, "a channel without VDef is left alone"
    op.sim.do("speed", factor=100)
    for alias in RAMPED:
        await op.until(f"{alias}:VMon", lambda volts, a=alias: abs(volts - VDEF[a] * 0.9) < 0.2)
        await op.until(f"{alias}:Sts:RUp", 0)
    assert await op.all("VSet") == {alias: VDEF[alias] * 0.9 for alias in RAMPED}
    assert await op.get("L07:State", datatype=dbr.DBR_STRING) == "On"
    assert await op.get("Mult_RBV") == pytest.approx(0.9)
    # and down again, together
    await op.put("Mult", 0.3)
    assert (await op.all("RDwn_RBV"))["L08"] == 63
    await op.until("L07:VMon", lambda volts: abs(volts - 600) < 0.2)
    assert await op.get("L07:Pw_RBV") == 1


async def test_an_unscaled_ramp(op):
    await op.put("ScaleRamp", 0)
    await op.put("RampUpBase", 77)
    try:
        await op.put("Mult", 0.1)
        assert set((await op.all("RUp_RBV")).values()) == {77}
    finally:
        await op.put("ScaleRamp", 1)
        await op.put("RampUpBase", 100)


async def test_an_over_current_trips_and_is_major(op):
    op.sim.do("speed", factor=100)
    await op.put("Mult", 0.5)
    await op.until("L07:VMon", lambda volts: abs(volts - 1000) < 1)
    op.sim.do("speed", factor=1)
    op.sim.do("load", target="L07", megohms=10)
    await op.until("L07:Sts:OvC", 1)
    over = await op.until("L07:IMon", lambda value: value.severity == MAJOR)
    assert over > 48
    trip = await op.until("L07:Sts:Trip", 1)
    assert trip.severity == MAJOR
    assert (await op.alarm("L07:Status"))[0] == MAJOR
    assert (await op.alarm("L07:State"))[0] == MAJOR
    assert await op.get("L07:State", datatype=dbr.DBR_STRING) == "Trip"
    assert await op.get("NTripped") == 1 and (await op.alarm("NTripped"))[0] == MAJOR
    assert (await op.until("B1:Alarm", lambda word: word & 4)).severity == MAJOR
    assert await op.get("L07:Pw_RBV") == 0
    assert await op.get("L06:State", datatype=dbr.DBR_STRING) == "On", "its neighbours stay"
    op.sim.do("load", target="L07", megohms=100)
    await op.put("Clear", 1)
    await op.until("L07:Sts:Trip", 0)
    await op.until("L07:Status", lambda value: value.severity == NO_ALARM)
    await op.until("B1:Alarm", 0)


async def test_the_current_monitor_of_the_other_range_is_invalid(op):
    assert (await op.alarm("L05:IMonL"))[0] == INVALID
    assert (await op.alarm("L05:IMonH"))[0] == NO_ALARM
    await op.put("L05:IMonRange", "LOW")
    assert await op.get("L05:IMonRange_RBV") == 1
    await op.until("L05:IMonH", lambda value: value.severity == INVALID)
    await op.until("L05:IMonL", lambda value: value.severity == NO_ALARM)
    assert (await op.alarm("L05:IMon"))[0] == NO_ALARM


async def test_one_channel_by_hand(op):
    op.sim.do("speed", factor=20)
    await op.put("F:VSet", 250.04)
    assert await op.get("F:VSet_RBV") == 250.0
    await op.put("F:RUp", 333)
    await op.put("F:PDwn", "KILL")
    await op.put("F:Pw", "On")
    assert [await op.get(f"F:{name}_RBV") for name in ("Pw", "RUp", "PDwn")] == [1, 333, 0]
    await op.until("F:VMon", lambda volts: abs(volts - 250) < 0.2)
    await op.put("F:Pw", 0)
    await op.until("F:VMon", 0)
    await op.put("B1:IlkMode", "CLOSED")
    assert await op.get("B1:IlkMode_RBV", datatype=dbr.DBR_STRING) == "CLOSED"
    await op.put("B1:IlkMode", "OPEN")


async def test_init_writes_the_start_settings(op):
    trip = await op.get("L05:Trip_RBV")  # the stand begins with an Init
    strange = {"ISet": 12.5, "Trip": 77.0, "VMax": 3000, "RUp": 7, "RDwn": 9, "PDwn": "KILL", "IMonRange": "LOW"}
    for name, value in strange.items():
        await op.put(f"L05:{name}", value)
    await op.put("Init", 1)
    base = [await op.get("RampUpBase"), await op.get("RampDownBase")]
    names = ("ISet", "Trip", "RUp", "RDwn", "PDwn", "IMonRange")
    for suffix in ("", "_RBV"):
        found = [await op.get(f"L05:{name}{suffix}") for name in names]
        assert found == [50.0, trip, *base, 1, 0]
    assert await op.get("L05:VMax_RBV") == 3000  # no part of Init
    await op.put("L05:VMax", 8100)


BAD_PUTS: list[tuple[str, Any, str | None]] = [
    ("L07:VSet", 8000.1, "above the limit of 8000 V"),
    ("L07:VSet", -1.0, "below the limit"),
    ("L07:VSet", math.nan, "NaN"),
    ("L07:VSet", "high", "not a number"),
    ("L07:VSet", [1.0, 2.0], None),
    ("L07:Trip", 1001.0, "above the limit of 1000 s"),
    ("L07:RUp", 0, "below the limit of 1 V/s"),
    ("L07:PDwn", "DROP", "'DROP' is none of"),
    ("L07:Pw", 2, None),
    ("Mult", 1.21, "above the limit of 1.2"),
    ("L07:VMon", 1.0, None),
    ("L07:Status", 0, None),
]


async def test_bad_puts_are_refused_and_change_nothing(op):
    for name, value, says in BAD_PUTS:
        before = await op.get(name)
        message = await op.refused(name, value)
        if says:
            assert op.prefix + name in message and says in message
        assert (await op.get(name)) == before, (name, value)


async def test_a_name_that_does_not_exist_does_not_connect(op):
    with pytest.raises(CANothing):
        await caget(op.prefix + "L99:VSet", timeout=0.5)


async def test_what_the_device_refuses_fails_and_says_why(op):
    before = await op.get("L06:VSet")
    op.sim.do("local", board="B1", on=True)
    message = await op.refused("L06:VSet", 123.0)
    assert "L06:VSet" in message and "LOCAL mode" in message and "LOC:ERR" in message
    assert await op.get("L06:VSet") == before
    ctrl = await op.until("B1:Ctrl", 0)
    assert ctrl.severity == MINOR
    message = await op.refused("Mult", 0.5)
    assert "nothing was changed" in message and "B1 (L05 L06 L07 L08) is in LOCAL mode" in message
    assert await op.get("L01:VSet_RBV") == 0
    op.sim.do("local", board="B1", on=False)
    await op.until("B1:Ctrl", 1)
    op.sim.do("disable", target="L06", on=True)
    try:
        assert "the channel stays off (DIS)" in await op.refused("L06:Pw", 1)
        await op.until("L06:Sts:Dis", 1)
        assert "nothing was changed: L06 is blocked (DIS)" in await op.refused("Mult", 0.5)
        assert await op.get("L06:Pw") == 0
    finally:
        op.sim.do("disable", target="L06", on=False)


async def test_a_pulled_cable_is_invalid_and_comes_back(op):
    await op.put("L07:VSet", 55.5)
    assert await op.alarm("L07:VMon") == (NO_ALARM, NO_ALARM)
    pulled = time.monotonic()
    op.sim.do("cable", state="silent")
    await op.until("L07:VMon", lambda value: (value.severity, value.status) == (INVALID, COMM))
    await op.until("L01:Status", lambda value: value.severity == INVALID)
    assert time.monotonic() - pulled < 8, "2 s on an idle machine"
    for name in ("L07:VSet_RBV", "Mult_RBV", "NOn", "B1:Ilk", "L01:Sts:On"):
        await op.until(name, lambda value: value.severity == INVALID)
    assert (await op.until("B1:Connected", 0)).severity == MAJOR
    assert await op.get("IOC:State", datatype=dbr.DBR_STRING) == "Degraded"
    assert await op.alarm("L07:VSet") == (NO_ALARM, NO_ALARM), "what was asked is still what was asked"
    message = await op.refused("L07:VSet", 66.0)
    assert "B1 is not connected" in message
    assert await op.get("L07:VSet") == 55.5
    message = await op.refused("Down", 1)
    assert "Down did not reach B0, B1" in message
    assert await op.get("DownFailed") == 1 and (await op.alarm("DownFailed"))[0] == MAJOR
    assert "does not answer" in await op.refused("Mult", 0.1)
    op.sim.do("cable", state="plugged")
    await op.until("L07:VMon", lambda value: value.severity == NO_ALARM)
    await op.until("Mult_RBV", lambda value: value.severity == NO_ALARM)
    await op.until("IOC:State", 1)
    await op.put("Down", 1)
    assert await op.get("DownFailed") == 0


@pytest.mark.parametrize("how", ["garbage", "half", "cut"])
async def test_garbage_is_never_published(op, how):
    op.sim.do("speed", factor=100)
    await op.put("Mult", 0.5)
    for alias in RAMPED:
        await op.until(f"{alias}:VMon", lambda volts, a=alias: abs(volts - VDEF[a] * 0.5) < 0.2)
    bad = await op.get("Line:BadReplies")
    seen: list[Any] = []
    names = [f"{alias}:{name}" for alias in RAMPED for name in ("VMon", "IMon", "Status", "VSet_RBV", "RUp_RBV")]
    subscriptions = camonitor([op.prefix + n for n in names], lambda value, _: seen.append(value), format=FORMAT_TIME)
    try:
        op.sim.do("seed", seed=11)
        op.sim.do("spoil", how=how, probability=0.05)
        await op.until("Line:BadReplies", lambda count: count > bad + 5)
        op.sim.do("clear")
        await op.until("L07:VMon", lambda value: value.severity == NO_ALARM)
    finally:
        for subscription in subscriptions:
            subscription.close()
    rates = await op.all("RUp_RBV")
    assert len(seen) >= len(names)
    for value in seen:
        alias, _, what = value.name.removeprefix(op.prefix).partition(":")
        if what in ("VMon", "VSet_RBV"):
            assert abs(value - VDEF[alias] * 0.5) < 0.2, value.name
        elif what == "IMon":
            assert 0 < value < 25, value.name
        elif what == "RUp_RBV":
            assert value == rates[alias], value.name
        else:
            assert value == 1, value.name


async def test_down_ends_a_ramp_that_is_being_set_up(op):
    op.sim.do("slow", seconds=0.05)
    mult = asyncio.create_task(op.put("Mult", 1.0))
    await op.until("Mult", 0)
    await op.until("L01:RUp_RBV", 94, "the ramp is being set up")
    queued = [asyncio.create_task(op.put(f"L07:{name}", 99.0)) for name in ("VSet", "ISet", "VSet", "RUp", "VSet")]
    await asyncio.sleep(0.2)
    down = asyncio.create_task(op.put("Down", 1))
    await down
    with pytest.raises(CANothing):
        await mult
    results = await asyncio.gather(*queued, return_exceptions=True)
    assert any(isinstance(result, CANothing) for result in results), "what waited is dropped"
    op.sim.do("clear")
    await op.until("NOn", 0)
    await op.until("Mult_RBV", 0)
    for board in (0, 1):
        for channel in op.sim.do("status")["boards"][board]["channels"]:
            assert (channel["on"], channel["vset"]) == (False, 0.0), channel
    assert await op.get("Mult") == 0 and await op.get("L01:VSet") == 0 and await op.get("L01:Pw") == 0


async def test_down_ramps_and_does_not_drop(op):
    op.sim.do("speed", factor=100)
    await op.put("Mult", 0.5)
    await op.until("L07:VMon", lambda volts: abs(volts - 1000) < 1)
    op.sim.do("speed", factor=1)
    await op.put("Down", 1)
    assert await op.get("L07:RDwn_RBV") == 100
    await op.until("L07:Sts:RDw", 1)
    assert await op.get("L07:VMon") > 500
    op.sim.do("speed", factor=100)
    await op.until("L07:VMon", 0)
    assert await op.get("L07:State", datatype=dbr.DBR_STRING) == "Off"


async def test_a_board_is_switched_off_and_on(op):
    await op.put("L06:ISet", 33.5)
    op.sim.do("power", board="B1", action="off")
    await op.until("L06:VMon", lambda value: (value.severity, value.status) == (INVALID, COMM))
    assert (await op.until("B1:Connected", 0)).severity == MAJOR
    assert (await op.until("Mult_RBV", lambda value: value.severity == INVALID)) is not None
    assert await op.alarm("L01:VMon") == (NO_ALARM, NO_ALARM), "the other board goes on"
    assert "B1" in await op.message()
    await op.put("L01:VSet", 11.0)
    message = await op.refused("Mult", 0.5)
    assert "nothing was changed: B1 (L05 L06 L07 L08) does not answer" in message
    op.sim.do("power", board="B1", action="on", boot=0.1)
    await op.until("B1:Connected", 1)
    await op.until("L06:VMon", lambda value: value.severity == NO_ALARM)
    assert await op.get("L06:ISet_RBV") == 33.5
    await op.until("Mult_RBV", lambda value: value.severity == NO_ALARM)


async def test_an_interlock_switches_off_for_good(op):
    op.sim.do("speed", factor=100)
    await op.put("Mult", 0.5)
    await op.until("L07:VMon", lambda volts: abs(volts - 1000) < 1)
    op.sim.do("interlock", board="B1", on=True)
    assert (await op.until("L07:Sts:Ilk", 1)).severity == MAJOR
    assert (await op.until("B1:Ilk", 1)).severity == MAJOR
    await op.until("L07:VMon", 0)
    op.sim.do("interlock", board="B1", on=False)
    await op.until("B1:Ilk", 0)
    assert await op.get("L07:Pw_RBV") == 0
    assert await op.get("L01:Pw_RBV") == 1


async def test_a_setting_changed_at_the_panel_shows_in_the_read_back_only(op):
    await op.put("L02:VSet", 44.0)
    host, _, port = op.sim.address.removeprefix("tcp://").rpartition(":")
    with socket.create_connection((host, int(port)), 10) as panel:
        panel.sendall(b"$BD:00,CMD:SET,CH:1,PAR:VSET,VAL:77.0\r\n")
        assert panel.recv(100) == b"#BD:00,CMD:OK\r\n"
        await op.until("L02:VSet_RBV", 77.0)
    assert await op.get("L02:VSet") == 44.0


async def test_mult_without_any_vdef(op):
    for alias in RAMPED:
        await op.put(f"{alias}:VDef", 0)
    try:
        await op.until("Mult_RBV", lambda value: (value.severity, value.status) == (INVALID, UDF))
        assert "every VDef is 0" in await op.refused("Mult", 0.5)
    finally:
        for alias in RAMPED:
            await op.put(f"{alias}:VDef", VDEF[alias])
    await op.until("Mult_RBV", lambda value: value.severity == NO_ALARM)


async def test_a_killed_ioc_leaves_the_ramp_alone_and_shows_it_again(op):
    await op.put("L04:VDef", 1990.0)
    op.sim.do("speed", factor=2)
    await op.put("Mult", 0.8)
    await op.put("L01:ISet", 44.25)
    await op.until("L07:VMon", lambda volts: volts > 50)
    await asyncio.to_thread(wait_until, lambda: "1990" in op.stand.saved(), PATIENCE, "autosave")
    purge_channel_caches()
    op.stand.ioc.kill()
    op.sim.do("speed", factor=20)
    await asyncio.to_thread(op.stand.restart_ioc)
    await op.until("L07:VMon", lambda volts: abs(volts - 1600) < 1)
    assert await op.get("L07:Pw_RBV") == 1 and await op.get("L07:Pw") == 1
    assert await op.all("VSet") == await op.all("VSet_RBV"), "setpoints are what the device has"
    assert await op.get("L07:VSet") == 1600 and await op.get("L01:ISet") == 44.25
    assert await op.get("L04:VDef") == 1990.0 and await op.get("Mult") == 0.8, "what no device keeps is saved"
    assert op.sim.channel(1, 2)["vset"] == 1600
    await op.put("L04:VDef", 2000.0)


async def test_a_map_with_a_wrong_and_a_missing_board(op, tmp_path: Path):
    config = tmp_path / "other.toml"
    config.write_text(
        'boards = [{ name = "B0", address = 0 }, { name = "B1", address = 1, model = "N1471" }, '
        '{ name = "B9", address = 9 }]\n'
        'channels = [{ alias = "A", board = "B0", ch = 0, layer = 1 }, '
        '{ alias = "B", board = "B1", ch = 0, layer = 2 }, { alias = "C", board = "B9", ch = 0, layer = 3 }]\n'
    )
    prefix = unique_prefix()
    ioc = start(
        [*op.stand.ioc_argv, "--prefix", prefix, "--config", str(config), "--backend", op.sim.address],
        timeout=90,
    )
    try:
        other = Operator(op.stand)
        other.prefix = prefix
        await other.until("A:VMon", lambda value: value.severity == NO_ALARM)
        await other.until("B:VMon", lambda value: (value.severity, value.status) == (INVALID, COMM))
        await other.until("C:VMon", lambda value: (value.severity, value.status) == (INVALID, COMM))
        assert [await other.get(f"B{i}:Connected") for i in (0, 1, 9)] == [1, 0, 0]
        assert "B1 is not connected: B1: board 1 is 'N1470', the map says 'N1471'" in await other.refused("B:VSet", 5.0)
        assert "B9 is not connected" in await other.refused("C:VSet", 5.0)
        await other.put("A:VSet", 5.0)
        assert await other.get("IOC:State", datatype=dbr.DBR_STRING) == "Degraded"
    finally:
        purge_channel_caches()
        assert ioc.stop(20) == 0, ioc.text()[-4000:]


def test_an_ioc_without_its_device_serves_invalid_values(tmp_path: Path):
    """Separate from the stand: nobody has ever listened on the address."""
    site = tmp_path / "site.toml"
    name = unique_prefix().removesuffix(":")
    from hv_stand import site_text

    site.write_text(site_text(name).replace('backend = "sim"', 'backend = "tcp://127.0.0.1:1"'))
    ioc = start([*owl("ioc", "hv"), "--site", str(site), "--state", str(tmp_path / "state")], timeout=90)

    async def look() -> list[Any]:
        names = [f"{name}:HV:{pv}" for pv in ("L07:VMon", "L07:VSet", "L07:VDef")]
        values = await caget(names, timeout=PATIENCE, format=FORMAT_TIME)
        with pytest.raises(CANothing):
            await caput(f"{name}:HV:L07:VSet", 5.0, wait=True, timeout=PATIENCE)
        purge_channel_caches()
        return list(values)

    try:
        vmon, vset, vdef = asyncio.run(look())
        assert (vmon.severity, vset.severity, vdef.severity) == (INVALID, INVALID, NO_ALARM)
    finally:
        assert ioc.stop(20) == 0, ioc.text()[-4000:]


def test_the_simulator_is_the_one_of_the_site(stand: Stand):
    assert isinstance(stand.simulator, Simulator)
    assert [board["name"] for board in stand.simulator.do("status")["boards"]] == ["B0", "B1"]
