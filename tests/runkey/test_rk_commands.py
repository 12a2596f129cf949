"""Snapshot, compare, apply, abort with stock clients: what an operator does, and what is refused."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys

import pytest
from aioca import CANothing, caget, caput
from rk_stand import CHANNELS, RkStand, differing, the_script

pytestmark = pytest.mark.timeout(240)

CHANGED = {
    "L01_VSet": 321.0,
    "L02_ISet": 41.5,
    "L03_Trip": 3.0,
    "L04_RUp": 77.0,
    "L05_VMax": 2500.0,
    "L06_VDef": 900.0,
}


def pvs(names) -> set[str]:
    return {f"HV:{name.replace('_', ':')}" for name in names}


async def snapshot(stand: RkStand, name: str = "", comment: str = "") -> str:
    await stand.put("SnapshotName", name)
    await stand.put("Comment", comment)
    await stand.put("Snapshot", 1)
    return str(await stand.get("Selected"))


async def test_snapshot_compare_and_apply(stand: RkStand) -> None:
    """Change six settings: compare shows exactly those, apply puts them back and verifies."""
    name = await snapshot(stand, "reference", "before the shift")
    assert name == "reference"
    assert await stand.get("Comment") == ""
    assert str(await stand.get("SnapshotName")) == ""
    names = [key.replace("_", ":") for key in CHANGED]
    before = await stand.hv_values(*names)

    await stand.put("Compare", 1)
    assert await stand.get("DiffCount") == 0
    assert "the stand is as it says" in await stand.get("Report")

    await stand.set_hv(**CHANGED)
    await stand.put("Compare", 1)
    report = await stand.get("Report")
    assert differing(report) == pvs(CHANGED), report
    assert await stand.get("DiffCount") == len(CHANGED)

    await stand.put("DryRun", 1)
    plan = await stand.get("Plan")
    assert len(re.findall("->", plan)) == len(CHANGED), plan
    assert await stand.hv_values("L01:VSet") == [321.0]

    await stand.put("Comment", "back to it")
    await stand.put("Apply", 1)
    assert await stand.hv_values(*names) == before
    assert await stand.hv_values("L01:VSet_RBV", "L02:ISet_RBV") == before[:2]
    assert await stand.get("State") == "Idle"
    assert await stand.get("DiffCount") == 0
    assert "Why: back to it" in await stand.get("Report")
    assert str(await stand.get("Applied")) == "reference"
    assert await stand.get("AppliedResult") == "applied and verified"
    assert str(await stand.get("AppliedId")) == str(await stand.get("SelectedId"))
    digest = await stand.get("AppliedHash")
    assert re.fullmatch("[0-9a-f]{64}", digest)
    with stand.store() as store:
        info = store.staging.info("reference")
        assert (info.digest, info.comment, info.action) == (digest, "before the shift", "snapshot")
        assert info.author in (await stand.get("AppliedBy"))


async def test_limits_go_in_before_the_voltage_up_and_after_it_down(stand: RkStand) -> None:
    """A monitor of the line sees it: VMax and ISet before VSet on the way up, VSet before them on the way down."""
    low = {"VSet": 10.0, "ISet": 20.0, "VMax": 600.0}
    high = {"VSet": 1400.0, "ISet": 60.0, "VMax": 1500.0}
    limits_first = {f"L07_{what}": high[what] for what in ("ISet", "VMax", "VSet")}
    await stand.set_hv(**limits_first)
    await snapshot(stand, "high")
    await stand.set_hv(**{f"L07_{what}": value for what, value in low.items()})
    await snapshot(stand, "low")

    async def order(name: str, end: dict[str, float]) -> list[str]:
        """What reaches its end first, second, third."""
        ends = {(f"L07:{what}_RBV", value) for what, value in end.items()}
        await stand.put("Selected", name)
        with stand.record(*(f"L07:{what}_RBV" for what in end)) as seen:
            await stand.put("Apply", 1)
            async with asyncio.timeout(60):
                while not ends <= set(seen):
                    await asyncio.sleep(0.05)
        print(seen)
        return [key.removeprefix("L07:").removesuffix("_RBV") for key, value in seen if (key, value) in ends]

    assert (await order("high", high))[-1] == "VSet"
    assert (await order("low", low))[0] == "VSet"
    await stand.set_hv(L07_VSet=0.0)


async def test_the_whole_script_on_sqlite(stand: RkStand) -> None:
    """The same goes on PostgreSQL and MariaDB: test_rk_databases."""
    await the_script(stand)


async def test_the_put_itself_tells(stand: RkStand) -> None:
    """pyepics and aioca: completion, and a failure that is one."""
    await snapshot(stand, "plain")
    code = f"""
import epics
print(epics.caput({stand.rk("Compare")!r}, 1, wait=True, timeout=60))
print(epics.caget({stand.rk("DiffCount")!r}), epics.caget({stand.rk("State")!r}, as_string=True))
"""
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == ["1", "0", "Idle"], (done.stdout, done.stderr)
    await stand.put("Selected", "")
    for command in ("Compare", "DryRun", "Apply", "Commit"):
        assert "no runkey is selected" in await stand.refused(command)
    assert await stand.get("State") == "Idle"


async def test_names(stand: RkStand) -> None:
    await snapshot(stand, "cosmics 12")
    assert "is it 'cosmics 12'?" in await stand.refused("Selected", "cosmics 21")
    assert str(await stand.get("Selected")) == "cosmics 12"
    for bad in ("a/b", " x", "x "):
        assert "the name" in await stand.refused("SnapshotName", bad)
    await stand.put("SnapshotName", "ä" * 19)  # 38 bytes
    await stand.put("SnapshotName", "cosmics 12")
    assert "there is a runkey 'cosmics 12' already" in await stand.refused("Snapshot")
    await stand.put("Selected", "")
    assert str(await stand.get("SelectedId")) == ""
    made = await snapshot(stand)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d{6}Z(-\d+)?", made)
    again = await snapshot(stand)
    assert again != made


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("State", 0),
        ("Report", "x"),
        ("Applied", "x"),
        ("DiffCount", 3),
        ("Selected", "no such runkey"),
        ("SnapshotName", "a/b"),
        ("Role", "no such role"),
        ("Path", "/no/such/path"),
        ("Apply", 7),
        ("Apply", "Perhaps"),
    ],
)
async def test_garbage_is_refused_and_changes_nothing(stand: RkStand, name: str, value) -> None:
    await snapshot(stand)
    applied = await stand.get("AppliedResult")
    with pytest.raises(
        Exception
    ) as caught:  # aioca's own exception for a PV that cannot be written is none of CANothing
        await stand.put(name, value)
    assert type(caught.value).__name__ in ("CANothing", "CAException"), caught.value
    assert await stand.get("State") == "Idle"
    assert await stand.get("AppliedResult") == applied


async def test_zero_is_no_command(stand: RkStand) -> None:
    await snapshot(stand, "zero")
    await stand.put("Compare", 0)
    await stand.put("Compare", 1)
    assert await stand.get("State") == "Idle"


async def test_a_second_command_is_refused_with_the_reason(stand: RkStand) -> None:
    await snapshot(stand, "twice")
    await stand.set_hv(L01_VSet=55.0)
    stand.sim("slow", seconds=0.03)
    try:
        first = asyncio.ensure_future(stand.put("Apply", 1))
        await stand.until("State", lambda state: state == "Applying")
        for other in ("Snapshot", "Apply", "Compare"):
            said = await stand.refused(other)
            assert "Apply of twice by " in said
            assert "is under way since " in said
        assert "is under way" in await stand.refused("Selected", "")
        await first
    finally:
        stand.heal()
    assert await stand.hv_values("L01:VSet") == [0.0]


async def test_two_puts_at_once_are_one_command(stand: RkStand) -> None:
    await snapshot(stand, "at once")
    results = await asyncio.gather(*(stand.put("Compare", 1) for _ in range(5)), return_exceptions=True)
    assert [r for r in results if r is None]
    assert all(r is None or isinstance(r, CANothing) for r in results)
    assert await stand.get("State") == "Idle"


async def test_abort_rolls_back(stand: RkStand) -> None:
    await stand.set_hv(**{f"{alias}_ISet": 50.0 for alias in CHANNELS}, **{f"{a}_VSet": 0.0 for a in CHANNELS})
    await snapshot(stand, "abortable")
    await stand.set_hv(**{f"{alias}_ISet": 30.0 for alias in CHANNELS}, **{f"{a}_VSet": 20.0 for a in CHANNELS})
    stand.sim("slow", seconds=0.05)
    try:
        first = asyncio.ensure_future(stand.put("Apply", 1))
        await stand.until("State", lambda state: state == "Applying")
        # before the first write there is nothing to take back, and an abort then leaves the IOC idle
        while 50.0 not in await stand.hv_values(*(f"{alias}:ISet" for alias in CHANNELS)):
            assert not first.done(), await stand.get("Report")
            await asyncio.sleep(0.01)
        stand.sim("slow", seconds=0.05)
        await stand.put("Abort", 1)
        with pytest.raises(CANothing):
            await first
    finally:
        stand.heal()
    assert await stand.get("State") == "Failed"
    assert "aborted" in await stand.get("Msg")
    report = await stand.get("Report")
    assert "aborted" in report
    names = [f"{alias}:{what}" for alias in CHANNELS for what in ("ISet", "VSet")]
    assert set(await stand.hv_values(*names)) == {30.0, 20.0}, report
    await stand.put("Compare", 1)
    assert await stand.get("State") == "Idle"


async def test_abort_of_nothing(stand: RkStand) -> None:
    await stand.put("Abort", 1)
    assert "nothing is under way" in await stand.get("Msg")


async def test_what_nobody_vouches_for_is_named_and_labels_the_snapshot(stand: RkStand) -> None:
    """With the cable pulled read-backs are INVALID: the snapshot is kept, says what it lacks, and is in alarm."""
    await snapshot(stand, "whole")
    stand.sim("cable", state="pulled")
    try:
        await stand.until_invalid("L01:VSet_RBV")
        await snapshot(stand, "without the boards")
        missing, report = await stand.get("Missing"), await stand.get("Report")
        assert missing > 0 and missing.severity == 1
        assert f"INCOMPLETE: {missing} PV" in report and "INCOMPLETE" in await stand.get("Msg")
        assert (await caget(stand.rk("Report.SEVR"), timeout=30)) == 1
        with stand.store() as store:
            assert "LABEL:incomplete" in store.staging.info("without the boards").tags
            conditions = json.loads(store.staging.payload("without the boards", "/HV", "conditions"))
        assert len(conditions["missing"]) == missing
        assert f"  missing: {stand.hv('L01:VSet')}: {conditions['missing'][stand.hv('L01:VSet')]}" in report
    finally:
        stand.heal()
    await stand.hv_ready()
    await stand.put("Selected", "whole")
    await stand.put("Compare", 1)
    assert await stand.get("DiffCount") == 0


async def test_lists_search_tree_and_view(stand: RkStand) -> None:
    await snapshot(stand, "needle in hay", "for the list")
    listed = json.loads(await stand.get("List"))
    assert listed["more"] == 0
    assert listed["runkeys"][0]["name"] == "needle in hay"
    assert listed["runkeys"][0]["digest"] == await stand.get("SelectedHash")
    for text in ("needle", "needle*", "FOR THE LIST"):
        await stand.put("Search", text)
        assert [one["name"] for one in json.loads(await stand.get("Found"))["runkeys"]] == ["needle in hay"], text
    await stand.put("Search", "tag:nothing")
    assert json.loads(await stand.get("Found"))["runkeys"] == []
    tree = json.loads(await stand.get("Tree"))
    assert [child["path"] for child in tree["root"]["children"]] == ["/HV"]
    await stand.put("Path", "/HV")
    await stand.put("Role", "setpoints")
    view = json.loads(await stand.get("View"))
    assert {item["pv"] for item in view["items"]} >= {
        stand.hv("L01:VSet"),
        stand.hv("Mult").replace("Mult", "ScaleRamp"),
    }
    assert "has no" in await stand.refused("Role", "pixels")


async def test_commit(stand: RkStand) -> None:
    await snapshot(stand, "to keep")
    dirty = await stand.get("StageDirty")
    await stand.put("Commit", 1)
    assert await stand.get("StageDirty") == dirty - 1
    with stand.store() as store:
        assert store.backend.info("to keep").digest == await stand.get("SelectedHash")
    await stand.put("Compare", 1)
    assert await stand.get("DiffCount") == 0
    # a snapshot may be made from what is committed, which stays as it is
    assert await snapshot(stand, "from the kept one") == "from the kept one"
    with stand.store() as store:
        store.staging.delete("to keep")
    await stand.put("Selected", "to keep")
    assert await snapshot(stand, "from the backend") == "from the backend"
    with stand.store() as store:
        assert [r.runkey for r in store.staging.log("from the backend")][:2] == ["from the backend", "to keep"]


async def test_what_the_command_line_does_is_seen(stand: RkStand) -> None:
    await snapshot(stand, "original")
    with stand.store() as store:
        store.staging.clone("original", "a clone", "by somebody else")
    await stand.put("Refresh", 1)
    names = [one["name"] for one in json.loads(await stand.get("List"))["runkeys"]]
    assert names[0] == "a clone"
    await stand.put("Selected", "a clone")
    with stand.store() as store:
        store.staging.delete("a clone")
    await stand.put("Refresh", 1)
    assert str(await stand.get("Selected")) == ""


async def test_catalogue_says_how_to_archive(stand: RkStand) -> None:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "owlshift", "pvs", f"{stand.prefix}RK:*", "--json", "--site", str(stand.site_file)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    entries = {pv["name"].rpartition(":")[2]: pv for pv in json.loads(done.stdout)}
    for name in ("Applied", "AppliedId", "AppliedHash", "AppliedBy", "AppliedAt", "AppliedResult", "State", "Selected"):
        assert entries[name]["archive"]["method"] == "monitor", name
    assert not [name for name, entry in entries.items() if entry.get("config")]


async def test_a_client_that_goes_away_does_not_stop_what_it_began(stand: RkStand) -> None:
    await stand.set_hv(L02_VSet=0.0)
    await snapshot(stand, "left alone")
    await stand.set_hv(L02_VSet=44.0)
    # the answer to the get comes after the put has arrived: what ends without reading it may lose what it has sent
    code = f"import epics, os; epics.caput({stand.rk('Apply')!r}, 1); epics.caget({stand.rk('State')!r}); os._exit(0)"
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], timeout=60)
    await stand.until("Applied", lambda name: str(name) == "left alone")
    assert await stand.hv_values("L02:VSet") == [0.0]


async def test_puts_without_completion(stand: RkStand) -> None:
    await snapshot(stand, "no waiting")
    await stand.set_hv(L03_VSet=12.0)
    await caput(stand.rk("Compare"), 1, wait=False)
    await stand.until("DiffCount", lambda count: count == 1)
