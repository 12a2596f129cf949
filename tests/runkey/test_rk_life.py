"""What the runkey IOC does when the world does not help: kills, stops, pulled cables, access security."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aioca import CANothing, caget
from rk_stand import CHANNELS, RkStand, stand_of
from support import wait_until

pytestmark = pytest.mark.timeout(300)

FAR = {f"{alias}_{what}": value for alias in CHANNELS for what, value in (("ISet", 30.0), ("VSet", 40.0))}
HOME = {f"{alias}_{what}": value for alias in CHANNELS for what, value in (("ISet", 50.0), ("VSet", 0.0))}
NAMES = [name.replace("_", ":") for name in HOME]
SLOW = 0.04
"""Seconds a reply takes: a level of puts takes a second or two, and can be interrupted."""


async def prepare(stand: RkStand) -> str:
    """A runkey is selected, and 16 settings are not as it says; its name."""
    await stand.hv_ready()
    await stand.until("State", lambda state: state in ("Idle", "Failed"))
    await stand.set_hv(**HOME)
    await stand.put("Snapshot", 1)
    await stand.set_hv(**FAR)
    return str(await stand.get("Selected"))


Lone = Callable[..., RkStand]


@pytest.fixture
def lone(running: RkStand) -> Lone:
    """The stand that the tests of this file share, with the runkey IOC configured anew."""

    def configured(config: str = "") -> RkStand:
        for name in ("sim", "hv"):
            if name not in running.processes:
                running.start(name)
        running.heal()
        if running.config != config or "rk" not in running.processes:
            running.restart(config)
        return running

    return configured


async def begin(stand: RkStand) -> asyncio.Future[None]:
    """An apply that is under way: something has been written, and more is to be."""
    stand.sim("slow", seconds=SLOW)
    task = asyncio.ensure_future(stand.put("Apply", 1))
    async with asyncio.timeout(60):
        while not [v for v in await current(stand) if v in (50.0, 0.0)]:
            assert not task.done(), "the apply was over before anything of it was seen"
            await asyncio.sleep(0.01)
    return task


async def current(stand: RkStand) -> list[float]:
    """What the simulated boards have; no round trip over Channel Access."""
    status = (await asyncio.to_thread(stand.sim, "status"))["boards"]
    found = []
    for index in range(len(CHANNELS)):
        channel = status[index // 4]["channels"][index % 4]
        found += [float(channel["iset"]), float(channel["vset"])]
    return found


async def test_kill_9_in_the_middle_of_an_apply(lone: Lone) -> None:
    stand = lone()
    name = await prepare(stand)
    saved = stand.state / "ioc" / "autosave" / f"{stand.prefix}RK.json".replace(":", ".", 1)
    await asyncio.to_thread(wait_until, lambda: saved.exists() and f'"{name}"' in saved.read_text(), 30)
    task = await begin(stand)
    stand.kill("rk")
    with pytest.raises(CANothing):
        await task
    stand.heal()
    stand.start("rk")
    await stand.until("State", lambda state: state == "Failed")
    left = await stand.hv_values(*NAMES)
    report = await stand.get("Report")
    assert "INTERRUPTED" in report
    found = dict(re.findall(r"^  \w+:HV:(\S+): .*?; is ([0-9.]+) ", report, re.MULTILINE))
    assert {name: float(value) for name, value in found.items()} == dict(zip(NAMES, left, strict=True)), report
    for pv, value in zip(NAMES, left, strict=True):
        verdict = "as the runkey says" if value in (50.0, 0.0) else "as before"
        assert re.search(rf"HV:{pv}: .*\({verdict};", report), (pv, value, report)
    assert "interrupted" in await stand.get("AppliedResult")
    assert (await caget(stand.rk("AppliedResult.SEVR"), timeout=30)) == 2
    assert str(await stand.get("Applied")) == ""
    assert str(await stand.get("Selected")) == name
    # nothing is written by itself; the same again finishes it
    assert await stand.hv_values(*NAMES) == left
    await stand.put("Apply", 1)
    assert await stand.get("AppliedResult") == "applied and verified"
    assert set(await stand.hv_values(*NAMES)) == {50.0, 0.0}
    with stand.store() as store:
        from iocs.runkey.journal import applications

        with store.staging.database.read() as connection:
            states = [row.state for row in applications(connection)]
    assert states[:2] == ["applied", "interrupted"]


async def test_a_stop_in_the_middle_of_an_apply_takes_it_back(lone: Lone) -> None:
    stand = lone()
    await prepare(stand)
    task = await begin(stand)
    stand.heal()  # the way back is quick
    process = stand.processes.pop("rk")
    assert await asyncio.to_thread(process.stop, 40) == 0
    print(process.text())
    with pytest.raises(CANothing):
        await task
    stand.start("rk")
    await stand.until("State", lambda state: state in ("Idle", "Failed"))
    if await stand.get("State") == "Idle":  # there was time to take it back
        assert set(await stand.hv_values(*NAMES)) == {30.0, 40.0}
        assert "aborted" in await stand.get("AppliedResult")
    else:
        assert "INTERRUPTED" in await stand.get("Report")


async def test_a_restart_keeps_what_was_selected_and_applied(lone: Lone) -> None:
    stand = lone()
    name = await prepare(stand)
    await stand.put("Apply", 1)
    names = ("Applied", "AppliedId", "AppliedHash", "AppliedBy", "AppliedAt", "AppliedResult", "Selected")
    before = [str(await stand.get(one)) for one in names]
    assert before[0] == name
    process = stand.processes.pop("rk")
    assert await asyncio.to_thread(process.stop, 40) == 0
    stand.start("rk")
    await stand.until("State", lambda state: state == "Idle")
    assert [str(await stand.get(one)) for one in names] == before
    assert await stand.get("SelectedHash") == before[2]
    await stand.put("Compare", 1)
    assert await stand.get("DiffCount") == 0


async def test_the_cable_is_pulled_half_way_and_plugged_again(lone: Lone) -> None:
    """What was written is taken back, in order, once the boards can be reached."""
    stand = lone("patience = 60")
    await prepare(stand)
    task = await begin(stand)
    stand.sim("cable", state="pulled")
    await stand.until("State", lambda state: state == "RollingBack")
    stand.heal()
    with pytest.raises(CANothing):
        await task
    report = await stand.get("Report")
    assert set(await current(stand)) == {30.0, 40.0}, report
    assert "everything is as it was before" in report
    assert "rolled back" in report
    assert await stand.get("State") == "Failed"
    assert "was tried" in await stand.get("AppliedResult")


async def test_the_cable_is_pulled_half_way_and_stays_out(lone: Lone) -> None:
    """What could not be taken back is said, item by item."""
    stand = lone("patience = 1\nput_timeout = 5")
    selected = await prepare(stand)
    task = await begin(stand)
    stand.sim("cable", state="pulled")
    with pytest.raises(CANothing):
        await task
    report = await stand.get("Report")
    assert "NOT everything could be taken back" in report
    changed = [name for name, value in zip(NAMES, await current(stand), strict=True) if value in (50.0, 0.0)]
    for name in changed:
        assert re.search(rf"HV:{name}: .*rollback failed", report), (name, report)
    assert "NOT everything could be taken back" in await stand.get("Msg")
    assert "uncertain" in await stand.get("AppliedResult")
    assert str(await stand.get("Applied")) == ""
    stand.heal()
    await stand.hv_ready()
    await stand.put("Apply", 1)
    assert str(await stand.get("Applied")) == selected


ACF = """
UAG(nobody) { "somebody-else" }
ASG(DEFAULT) { RULE(1, READ) RULE(1, WRITE) }
ASG(OPERATOR) { RULE(1, READ) RULE(1, WRITE) }
ASG(EXPERT) { RULE(1, READ) RULE(1, WRITE) { UAG(nobody) } }
"""


async def test_access_security(tmp_path: Path) -> None:
    """Commands are for operators; what the IOC itself may not write is refused beforehand."""
    with stand_of(tmp_path, acf=ACF) as stand:
        await stand.ready()
        await stand.put("Snapshot", 1)
        with pytest.raises(Exception, match=r"(?i)write"):
            await stand.put("Commit", 1)
        with stand.store() as store:
            name = str(await stand.get("Selected"))
            with store.staging.edit(name, "another current limit") as edit:
                content = store.staging.payload(name, "/HV", "setpoints")
                old = _value(content, stand.hv("L01:ISet"))
                edit.put("/HV", "setpoints", _with_value(content, stand.hv("L01:ISet"), 33.0))
        await stand.set_hv(L02_VSet=15.0)
        said = await stand.refused("Apply")
        assert "refused" in said
        report = await stand.get("Report")
        assert re.search(r"L01:ISet: the access security", report), report
        assert await stand.hv_values("L02:VSet", "L01:ISet") == [15.0, old]
        assert await stand.get("State") == "Failed"


def _value(content: bytes, pv: str) -> Any:
    import json

    return next(item["value"] for item in json.loads(content)["items"] if item["pv"] == pv)


def _with_value(content: bytes, pv: str, value: float) -> bytes:
    import json

    document = json.loads(content)
    for item in document["items"]:
        if item["pv"] == pv:
            item["value"] = value
    return json.dumps(document).encode()


async def test_an_incomplete_snapshot_may_be_refused(lone: Lone) -> None:
    stand = lone('incomplete = "refuse"\nread_timeout = 2')
    await prepare(stand)
    await stand.put("Apply", 1)
    before = str(await stand.get("Selected"))
    stand.kill("hv")
    said = await stand.refused("Snapshot")
    assert "not stored" in said
    assert "IOC:Catalogue" in said
    assert str(await stand.get("Selected")) == before
    assert await stand.get("State") == "Failed"
    for command in ("Compare", "Apply"):
        assert "nothing of the stand can be read" in await stand.refused(command)
    stand.start("hv")
    await stand.hv_ready()
    await stand.put("Compare", 1)
    assert await stand.get("DiffCount") == 0


async def test_the_stand_is_compared_in_the_background(lone: Lone) -> None:
    stand = lone("live_compare = 1.0")
    await prepare(stand)
    await stand.put("Apply", 1)
    await stand.until("LiveDiffCount", lambda count: count == 0)
    await stand.set_hv(L01_VSet=7.0, L02_ISet=44.0)
    await stand.until("LiveDiffCount", lambda count: count == 2)
    assert await stand.until("AppliedResult", lambda text: text != "applied and verified") == (
        "2 settings changed since it was applied"
    )
    await stand.set_hv(L01_VSet=0.0, L02_ISet=50.0)
    await stand.until("LiveDiffCount", lambda count: count == 0)
    assert await stand.get("AppliedResult") == "applied and verified"
