"""Runkeys and the high voltage: what is configuration, in which order it is written, what forbids it, a lost cable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hv_stand import MAP, PATIENCE, Stand
from support import unique_prefix

from iocs.runkey.journal import NoJournal
from iocs.runkey.outcome import Outcome
from iocs.runkey.settings import Setting, Value
from iocs.runkey.stand import Stand as Stands
from iocs.runkey.writing import Pace
from owlshift.ca import Client

pytestmark = pytest.mark.timeout(240)

CHANNEL = ("IDef", "IMonRange", "ISet", "PDwn", "RDwn", "RUp", "Trip", "VDef", "VMax", "VSet")


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    stand = Stand(tmp_path_factory.mktemp("hv"), unique_prefix().removesuffix(":"))
    try:
        yield stand
    finally:
        stand.stop()


class Crew:
    """Somebody with a runkey in front of the high voltage."""

    def __init__(self, stand: Stand, client: Client) -> None:
        self.prefix, self.sim, self.client = stand.prefix, stand.simulator, client
        self.stands = self.with_patience(5.0)
        self.saved: list[Setting] = []

    def with_patience(self, seconds: float) -> Stands:
        return Stands(self.client, {"HV": self.prefix}, timeout=PATIENCE, pace=Pace(read=PATIENCE, patience=seconds))

    async def put(self, name: str, value: Any) -> None:
        await self.client.put(self.prefix + name, value, timeout=PATIENCE)

    async def get(self, name: str) -> Any:
        return (await self.client.get(self.prefix + name, timeout=PATIENCE)).value

    async def until(self, name: str, wanted: Any) -> None:
        async with asyncio.timeout(PATIENCE):
            while (reading := await self.client.get(self.prefix + name)).value != wanted or reading.severity == 3:
                await asyncio.sleep(0.02)

    async def snapshot(self) -> None:
        snapshot = await self.stands.snapshot()
        assert not snapshot.unread and not snapshot.missing
        self.saved = list(snapshot.settings["HV"])

    def but(self, **changes: Value) -> list[Setting]:
        """What was saved, with other values; `L07_VSet` is L07:VSet."""
        wanted = {self.prefix + name.replace("_", ":"): value for name, value in changes.items()}
        assert wanted.keys() <= {one.pv for one in self.saved}
        return [replace(one, value=wanted.get(one.pv, one.value)) for one in self.saved]

    async def differences(self) -> dict[str, str]:
        comparison = await self.stands.compare(self.saved)
        return {one.pv.removeprefix(self.prefix): one.kind for one in comparison.items}

    async def levels(self, settings: list[Setting]) -> list[list[str]]:
        plan = (await self.stands.plan(settings)).plan
        assert not plan.refusals, plan.refusals
        return [[put.pv.removeprefix(self.prefix) for put in level] for level in plan.levels]

    async def apply(self, settings: list[Setting], stands: Stands | None = None, **options: Any) -> Outcome:
        stands = stands or self.stands
        return await stands.apply(await stands.plan(settings), NoJournal(), **options)


@pytest.fixture
async def crew(stand: Stand) -> AsyncIterator[Crew]:
    """All at rest, with the start settings."""
    async with Client(metadata=False) as client:
        crew = Crew(stand, client)
        crew.sim.heal()
        crew.sim.do("speed", factor=100)
        for board in ("B0", "B1"):
            crew.sim.do("local", board=board, on=False)
            crew.sim.do("interlock", board=board, on=False)
        for board in ("B0", "B1"):
            await crew.until(f"{board}:Connected", 1)
            await crew.until(f"{board}:Ctrl", 1)
        for command in ("Down", "Clear", "Init"):
            await crew.put(command, 1)
        await crew.until("NRamping", 0)
        await crew.until("B1:Ilk", 0)
        for alias in MAP:
            await crew.put(f"{alias}:VMax", 3000.0)
            await crew.put(f"{alias}:VDef", {"F": 0.0, "L08": 1000.0}.get(alias, 2000.0))
        await crew.snapshot()
        yield crew


async def test_what_is_configuration(crew: Crew):
    names = {one.pv.removeprefix(crew.prefix) for one in crew.saved}
    assert names == {f"{alias}:{name}" for alias in MAP for name in CHANNEL} | {
        "B0:IlkMode", "B1:IlkMode", "ScaleRamp", "RampUpBase", "RampDownBase",
    }, "Mult is an order, and so is Pw: a runkey switches nothing on"  # fmt: skip
    item = (await crew.stands.catalogue()).items[f"{crew.prefix}L07:VSet"]
    assert [name.removeprefix(crew.prefix) for name in item.after] == [
        "L07:VMax", "L07:ISet", "L07:Trip", "L07:RUp", "L07:RDwn", "L07:PDwn", "L07:IMonRange", "B1:IlkMode",
    ]  # fmt: skip
    assert [name.removeprefix(crew.prefix) for name in item.lower_first] == ["L07:VMax", "L07:ISet", "L07:Trip"]
    assert {name.removeprefix(crew.prefix): value for name, value in item.blocked_by.items()} == {
        "L07:Sts:Ilk": "Yes", "L07:Sts:Kill": "Yes", "L07:Sts:Dis": "Yes", "B1:Ctrl": "LOCAL",
    }  # fmt: skip
    assert (item.tolerance, item.readback) == (0.05, f"{crew.prefix}L07:VSet_RBV")
    assert (await crew.stands.compare(crew.saved)).equal


async def test_five_settings_and_a_vdef_are_put_back(crew: Crew):
    changed = {"L01:VSet": 300.0, "L01:VMax": 800.0, "L07:ISet": 33.0, "L04:RUp": 77.0, "L08:PDwn": "KILL"}
    changed |= {"L05:VDef": 1950.0}
    await crew.put("L01:Pw", 1)
    for name, value in changed.items():
        await crew.put(name, value)
    assert await crew.differences() == dict.fromkeys(changed, "value")
    assert await crew.levels(crew.saved) == [
        ["L01:VSet", "L04:RUp", "L05:VDef", "L07:ISet", "L08:PDwn"],
        ["L01:VMax"],
    ], "on its way down a voltage comes before its limit"
    outcome = await crew.apply(crew.saved)
    assert outcome.state == "applied" and len(outcome.items) == 6, outcome.report
    assert await crew.differences() == {}
    assert crew.sim.channel(0, 0)["vset"] == 0.0 and await crew.get("L05:VDef") == 2000.0


async def test_up_the_limits_come_first(crew: Crew):
    wanted = crew.but(L07_VSet=1500.0, L07_VMax=1600.0, L07_ISet=20.0, L07_RUp=200.0, L07_Trip=2.0, L06_VSet=900.0)
    levels = await crew.levels(wanted)
    assert levels == [["L06:VSet", "L07:ISet", "L07:RUp", "L07:Trip", "L07:VMax"], ["L07:VSet"]]
    outcome = await crew.apply(wanted)
    assert outcome.state == "applied", outcome.report
    channel = crew.sim.channel(1, 2)
    assert (channel["vset"], channel["iset"]) == (1500.0, 20.0)
    assert (await crew.stands.compare(wanted)).equal
    # the same values again: nothing is written
    assert await crew.levels(wanted) == []


async def test_values_between_two_steps_of_the_board_are_verified(crew: Crew):
    """The board rounds to its steps; that is within the tolerance, and no difference afterwards."""
    wanted = crew.but(L07_VSet=1200.04, L07_ISet=41.234, L07_RUp=33.4, L07_Trip=0.26, L07_VMax=2500.4, L07_VDef=1999.7)
    outcome = await crew.apply(wanted)
    assert outcome.state == "applied", outcome.report
    assert (await crew.stands.compare(wanted)).equal


async def test_mult_afterwards_shows_as_voltages_and_ramps(crew: Crew):
    await crew.put("Mult", 0.1)
    found = await crew.differences()
    assert found == {f"{alias}:VSet": "value" for alias in MAP if alias != "F"} | {"L08:RUp": "value"}
    outcome = await crew.apply(crew.saved)
    assert outcome.state == "applied" and await crew.differences() == {}, outcome.report
    await crew.until("L07:VSet_RBV", 0.0)


async def test_a_lower_vmax_takes_the_boards_vset_with_it_and_the_second_round_puts_it_back(crew: Crew):
    await crew.put("L07:VSet", 1000.0)
    await crew.snapshot()
    outcome = await crew.apply(crew.but(L07_VMax=600.0))
    assert outcome.state == "applied", outcome.report
    assert "L07:VSet" in outcome.report and "written again" in outcome.report
    assert await crew.get("L07:VSet_RBV") == 1000.0, "the runkey says so; the output stays at VMax"


async def test_interlock_and_local_are_refused_beforehand(crew: Crew):
    wanted = crew.but(L07_VSet=500.0, L07_ISet=20.0, L01_VSet=400.0, L05_VDef=1000.0)
    crew.sim.do("interlock", board="B1", on=True)
    await crew.until("L07:Sts:Ilk", 1)
    refusals = (await crew.stands.plan(wanted)).plan.refusals
    assert [one.replace(crew.prefix, "") for one in refusals] == ["L07:VSet: blocked: L07:Sts:Ilk is Yes"]
    crew.sim.do("interlock", board="B1", on=False)
    await crew.put("Clear", 1)
    crew.sim.do("local", board="B1", on=True)
    await crew.until("B1:Ctrl", 0)
    await crew.until("L07:Sts:Ilk", 0)
    outcome = await crew.apply(wanted)
    assert outcome.state == "refused"
    for name in ("L07:VSet", "L07:ISet"):
        assert f"{crew.prefix}{name}: blocked: {crew.prefix}B1:Ctrl is LOCAL" in outcome.report
    assert "L01" not in outcome.report and "VDef" not in outcome.report
    assert await crew.get("L01:VSet") == 0.0 and await crew.get("L05:VDef") == 2000.0


async def test_a_knob_at_the_panel_is_a_difference(crew: Crew):
    """The setpoint does not know of it; the read-back does."""
    host, _, port = crew.sim.address.removeprefix("tcp://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"$BD:01,CMD:SET,CH:2,PAR:ISET,VAL:12.0\r\n")
    assert b"CMD:OK" in await reader.readline()
    writer.close()
    await writer.wait_closed()
    await crew.until("L07:ISet_RBV", 12.0)
    assert await crew.differences() == {"L07:ISet": "value"}
    assert await crew.get("L07:ISet") == 50.0
    outcome = await crew.apply(crew.saved)
    assert outcome.state == "applied" and await crew.get("L07:ISet_RBV") == 50.0


@pytest.mark.parametrize("plugged_again", [True, False])
async def test_the_cable_is_pulled_half_way(crew: Crew, plugged_again: bool):
    """After the first level, before the second: it is taken back, or the report says of each what is known."""
    wanted = crew.but(L07_VSet=500.0, L07_ISet=20.0, L01_VSet=400.0, L01_VMax=2000.0, L05_VDef=1000.0)
    plugs: list[asyncio.Task[Any]] = []

    async def plug() -> None:
        async with asyncio.timeout(PATIENCE):
            while (await crew.client.get(f"{crew.prefix}L07:ISet_RBV")).severity < 3:
                await asyncio.sleep(0.02)
        crew.sim.heal()

    def progress(done: int, total: int, text: str) -> None:
        if text.startswith("level 2") and not plugs:
            crew.sim.do("cable", state="pulled")
            plugs.append(asyncio.create_task(plug() if plugged_again else asyncio.sleep(0)))

    outcome = await crew.apply(wanted, crew.with_patience(PATIENCE if plugged_again else 1.0), progress=progress)
    assert plugs, outcome.report
    await plugs[0]
    states = {one.pv.removeprefix(crew.prefix): (one.state, one.now) for one in outcome.items}
    if plugged_again:
        assert outcome.state == "rolled_back", outcome.report
        assert states["L07:ISet"] == ("rolled_back", 50.0) and states["L05:VDef"] == ("rolled_back", 2000.0)
        assert await crew.differences() == {}
        return
    assert outcome.state == "rollback_failed"
    assert states["L05:VDef"] == ("rolled_back", 2000.0), "what the IOC keeps itself goes back"
    assert states["L07:ISet"] == ("rollback_failed", None) == states["L01:VMax"]
    assert "L07:ISet: 50 uA -> 20 uA: rollback failed" in outcome.report
    assert "it is unknown (" in outcome.report and "INVALID" in outcome.report
    crew.sim.heal()
    await crew.until("B0:Connected", 1)
    await crew.until("L07:ISet_RBV", 20.0)
    found = await crew.differences()
    assert {"L07:ISet", "L01:VMax"} <= found.keys() and set(found.values()) == {"value"}
    assert (await crew.apply(crew.saved)).state == "applied" and await crew.differences() == {}
