"""What the runkey IOC does when the world does not help: kills, stops, pulled cables, access security."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aioca import CANothing, caget, cainfo
from rk_stand import HOME, NAMES, RkStand, begin, current, prepare, stand_of
from support import wait_until

from iocs.runkey.journal import applications, items_of

pytestmark = pytest.mark.timeout(300)

OPEN = """
ASG(DEFAULT) { RULE(1, READ) RULE(1, WRITE) }
ASG(OPERATOR) { RULE(1, READ) RULE(1, WRITE) }
ASG(EXPERT) { RULE(1, READ) RULE(1, WRITE) }
"""
CLOSED = """
UAG(nobody) { "somebody-else" }
ASG(DEFAULT) { RULE(1, READ) RULE(1, WRITE) }
ASG(OPERATOR) { RULE(1, READ) RULE(1, WRITE) }
ASG(EXPERT) { RULE(1, READ) RULE(1, WRITE) { UAG(nobody) } }
"""

PATIENT = "patience = 60"
HASTY = 'patience = 1\nput_timeout = 5\nread_timeout = 2\nincomplete = "refuse"'

Lone = Callable[..., RkStand]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RkStand]:
    with stand_of(tmp_path_factory.mktemp("stand"), acf=OPEN) as stand:
        yield stand


@pytest.fixture
def lone(running: RkStand) -> Lone:
    """The stand that the tests of this file share, with the runkey IOC configured anew."""

    def configured(config: str = PATIENT) -> RkStand:
        for name in ("sim", "hv"):
            if name not in running.processes:
                running.start(name)
        running.heal()
        if running.config != config or "rk" not in running.processes:
            running.restart(config)
        return running

    return configured


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
    with stand.store() as store, store.staging.database.read() as connection:
        states = [row.state for row in applications(connection)]
    assert states[:2] == ["applied", "interrupted"]


async def test_a_stop_in_the_middle_of_an_apply_takes_it_back(lone: Lone) -> None:
    left: set[float] = set()
    stand = lone()
    for _attempt in range(4):
        await prepare(stand)
        task = await begin(stand)
        stand.heal()  # the way back is quick
        process = stand.processes.pop("rk")
        assert await asyncio.to_thread(process.stop, 40) == 0
        print(process.text())
        with pytest.raises(CANothing):
            await task
        left = set(await current(stand))
        stand.start("rk")
        if await stand.until("State", lambda state: state in ("Idle", "Failed")) == "Idle":
            break
        # this machine is so slow that there was no time
        assert "INTERRUPTED" in await stand.get("Report")
    assert left == {30.0, 40.0}
    assert set(await stand.hv_values(*NAMES)) == {30.0, 40.0}
    assert "was tried: aborted" in await stand.get("AppliedResult")
    with stand.store() as store, store.staging.database.read() as connection:
        row = applications(connection, limit=1)[0]
        items = items_of(connection, row.id)
    assert row.state == "aborted" and row.finished is not None
    assert {item.state for item in items} <= {"planned", "rolled_back"}
    assert "rolled_back" in {item.state for item in items}


async def test_a_restart_keeps_what_was_selected_and_applied(lone: Lone) -> None:
    stand = lone()
    name = await prepare(stand)
    await stand.put("Apply", 1)
    await stand.put("Mode", "Operation")
    names = ("Applied", "AppliedId", "AppliedHash", "AppliedBy", "AppliedAt", "AppliedResult", "Selected", "Mode")
    before = [str(await stand.get(one)) for one in names]
    assert before[0] == name
    process = stand.processes.pop("rk")
    assert await asyncio.to_thread(process.stop, 40) == 0
    stand.start("rk")
    await stand.until("State", lambda state: state == "Idle")
    assert [str(await stand.get(one)) for one in names] == before
    assert await stand.get("SelectedHash") == before[2]
    assert "Mode is Operation" in await stand.refused("Apply")
    await stand.put("Mode", "Configuration")
    await stand.put("Compare", 1)
    assert await stand.get("DiffCount") == 0


async def test_the_cable_is_pulled_half_way_and_plugged_again(lone: Lone) -> None:
    """What was written is taken back, in order, once the boards can be reached."""
    stand = lone()
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


async def test_access_security(lone: Lone) -> None:
    """Commands are for operators; what the IOC itself may not write is refused beforehand."""
    stand = lone()
    await stand.hv_ready()
    await stand.set_hv(**HOME)
    await stand.put("Snapshot", 1)
    stand.access(CLOSED)
    try:
        async with asyncio.timeout(60):
            while any(one.write for one in await cainfo([stand.rk("Commit"), stand.hv("L01:ISet")])):
                await asyncio.sleep(0.1)
        with pytest.raises(Exception, match=r"(?i)write"):
            await stand.put("Commit", 1)
        with stand.store() as store:
            name = str(await stand.get("Selected"))
            with store.staging.edit(name, "another current limit") as edit:
                content = store.staging.payload(name, "/HV", "setpoints")
                old = _value(content, stand.hv("L01:ISet"))
                edit.put("/HV", "setpoints", _with_value(content, stand.hv("L01:ISet"), 33.0))
        await stand.put("Selected", name)
        await stand.set_hv(L02_VSet=15.0)
        said = await stand.refused("Apply")
        assert "refused" in said
        report = await stand.get("Report")
        assert re.search(r"L01:ISet: the access security", report), report
        assert await stand.hv_values("L02:VSet", "L01:ISet") == [15.0, old]
        assert await stand.get("State") == "Failed"
    finally:
        stand.access(OPEN)
    async with asyncio.timeout(60):
        while not all(one.write for one in await cainfo([stand.rk("Commit"), stand.hv("L01:ISet")])):
            await asyncio.sleep(0.1)


def _items(content: bytes) -> list[dict[str, Any]]:
    return json.loads(content)["items"]


def _value(content: bytes, pv: str) -> Any:
    return next(item["value"] for item in _items(content) if item["pv"] == pv)


def _with_value(content: bytes, pv: str, value: float) -> bytes:
    document = json.loads(content)
    for item in document["items"]:
        if item["pv"] == pv:
            item["value"] = value
    return json.dumps(document).encode()


async def test_what_has_no_value_is_named_and_labels_the_snapshot(lone: Lone) -> None:
    """The boards could not be read since the start of their IOC: some settings are not known at all."""
    stand = lone()
    stand.kill("hv")
    stand.sim("cable", state="pulled")
    stand.start("hv")
    await stand.put("Selected", "")
    await stand.put("SnapshotName", f"half {stand.prefix}")
    await stand.put("Snapshot", 1)
    name = str(await stand.get("Selected"))
    missing, report = await stand.get("Missing"), await stand.get("Report")
    assert missing > 0 and missing.severity == 1
    assert f"INCOMPLETE: {missing} PV" in report and "INCOMPLETE" in await stand.get("Msg")
    assert (await caget(stand.rk("Report.SEVR"), timeout=30)) == 1
    named = re.findall(r"^  missing: (\S+): \S", report, re.MULTILINE)
    assert len(named) == missing and stand.hv("L01:ISet") in named
    with stand.store() as store:
        assert "LABEL:incomplete" in store.staging.info(name).tags
        conditions = json.loads(store.staging.payload(name, "/HV", "conditions"))
        assert sorted(conditions["missing"]) == sorted(named)
        assert not set(named) & {item["pv"] for item in _items(store.staging.payload(name, "/HV", "setpoints"))}
    stand.heal()
    await stand.hv_ready()
    await stand.put("Compare", 1)
    assert "that the runkey does not have" in await stand.get("Msg")
    await stand.put("SnapshotName", f"whole {stand.prefix}")
    await stand.put("Snapshot", 1)
    whole = await stand.get("Missing")
    assert (int(whole), whole.severity) == (0, 0)
    assert (await caget(stand.rk("Report.SEVR"), timeout=30)) == 0
    with stand.store() as store:
        assert "LABEL:incomplete" not in store.staging.info(f"whole {stand.prefix}").tags


async def test_the_cable_is_pulled_half_way_and_stays_out(lone: Lone) -> None:
    """What could not be taken back is said, item by item."""
    stand = lone(HASTY)
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


async def test_an_incomplete_snapshot_may_be_refused(lone: Lone) -> None:
    stand = lone(HASTY)
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
