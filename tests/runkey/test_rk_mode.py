"""Configuration and operation, validity, and runkeys that others edit meanwhile."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from aioca import caget
from rk_stand import RkStand, begin, prepare, stand_of
from support import owl

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RkStand]:
    # its own prefix and the high voltage once more: both are no reason to store anything twice
    with stand_of(tmp_path_factory.mktemp("stand"), config="validity = 0.3") as stand:
        stand.restart(f'validity = 0.3\nalso = ["{stand.prefix}RK:", "{stand.prefix}HV:"]')
        yield stand


async def snapshot(stand: RkStand, name: str) -> str:
    await stand.put("Selected", "")
    await stand.put("SnapshotName", name)
    await stand.put("Snapshot", 1)
    return str(await stand.get("SelectedId"))


async def test_in_operation_nothing_is_applied_or_committed(stand: RkStand) -> None:
    await snapshot(stand, "mode")
    await stand.set_hv(L01_VSet=21.0)
    await stand.put("Mode", "Operation")
    try:
        assert "the mode is Operation, by " in await stand.get("Msg")
        for command in ("Apply", "Commit"):
            said = await stand.refused(command)
            assert said.endswith(f"{command} is for Mode Configuration, and Mode is Operation")
        assert await stand.get("State") == "Idle"
        assert await stand.hv_values("L01:VSet") == [21.0]
        with stand.store() as store:
            assert not store.backend.exists("mode")
        await stand.put("Compare", 1)
        assert await stand.get("DiffCount") == 1
        await stand.put("DryRun", 1)
        assert "L01:VSet" in await stand.get("Plan")
        await stand.put("Refresh", 1)
        await stand.put("Snapshot", 1)
        await stand.put("Apply", 0)
        await stand.put("Selected", "mode")
        argv = owl("runkey", "status", "--site", str(stand.site_file), "--state", str(stand.state))
        done = await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True, timeout=120)
        assert "Operation" in done.stdout, done.stderr
    finally:
        await stand.put("Mode", "Configuration")
    await stand.put("Apply", 1)
    await stand.put("Commit", 1)
    assert await stand.hv_values("L01:VSet") == [0.0]


async def test_the_mode_stays_while_something_is_applied(stand: RkStand) -> None:
    await prepare(stand)
    task = await begin(stand)
    try:
        assert "is under way since" in await stand.refused("Mode", "Operation")
    finally:
        stand.heal()
    await task
    assert await stand.get("Mode") == "Configuration"


async def test_validity_of_what_is_applied(stand: RkStand) -> None:
    now = datetime.now(UTC)
    root = await snapshot(stand, "this year")
    other = await snapshot(stand, "next year")
    await stand.put("Selected", "this year")
    await stand.put("Apply", 1)
    assert str(await stand.get("AppliedId")) == root

    async def is_(valid: str, severity: int, *words: str) -> None:
        await stand.until("AppliedValidity", lambda text: all(word in text for word in words))
        await stand.until("AppliedValid", lambda text: text == valid)
        assert await caget(stand.rk("AppliedValid.SEVR"), timeout=30) == severity

    await is_("Yes", 0, "no VALIDITY tag")
    with stand.store() as store:
        store.staging.set_validity("HV 2026", root, now - timedelta(days=1), now + timedelta(days=1))
    await is_("Yes", 0, "HV 2026: from 20", " until 20")
    with stand.store() as store:
        store.staging.set_validity("HV 2026", other, now - timedelta(hours=1), None)
    await is_("No", 1, "HV 2026: means next year now", "until further notice")
    await stand.put("Selected", "next year")
    await stand.put("Apply", 1)
    await is_("Yes", 0, "HV 2026: from 20", "until further notice")
    with stand.store() as store:
        store.staging.untag("VALIDITY", "HV 2026")
        store.staging.set_validity("soon", other, now, datetime.now(UTC) + timedelta(seconds=3))
    await is_("Yes", 0, "soon: from 20")
    await is_("No", 1, "not now")
    with stand.store() as store:
        store.staging.untag("VALIDITY", "soon")
    await is_("Yes", 0, "no VALIDITY tag")


async def test_what_was_edited_since_it_was_looked_at_is_not_applied(stand: RkStand) -> None:
    await snapshot(stand, "edited")
    await stand.set_hv(L03_VSet=17.0)
    await stand.put("Compare", 1)
    assert await stand.get("DiffCount") == 1
    with stand.store() as store:
        content = store.staging.payload("edited", "/HV", "setpoints")
        document = json.loads(content)
        for item in document["items"]:
            item["value"] = 99.0 if item["pv"] == stand.hv("L03:VSet") else item["value"]
        with store.staging.edit("edited", "somebody else's idea") as edit:
            edit.put("/HV", "setpoints", json.dumps(document).encode())
        root = store.staging.info("edited").root
    said = await stand.refused("Apply")
    assert "edited was edited by tester meanwhile" in said
    assert await stand.hv_values("L03:VSet") == [17.0]
    assert str(await stand.get("SelectedId")) == root
    assert (await stand.get("DiffCount")).severity == 3
    await stand.refused("Apply")
    await stand.put("DryRun", 1)
    await stand.put("Apply", 1)
    assert await stand.hv_values("L03:VSet") == [99.0]
    await stand.set_hv(L03_VSet=0.0)


async def test_what_was_deleted_is_neither_applied_nor_the_base_of_a_snapshot(stand: RkStand) -> None:
    await snapshot(stand, "deleted")
    with stand.store() as store:
        store.staging.delete("deleted")
    for command in ("Apply", "Compare", "Commit", "Snapshot"):
        said = await stand.refused(command)
        assert "'deleted'" in said or "no runkey is selected" in said, said
    assert await stand.get("State") == "Idle"


async def test_every_pv_is_stored_once(stand: RkStand) -> None:
    await snapshot(stand, "once")
    with stand.store() as store:
        names = [node.name for node in store.staging.tree("once").root.children]
    assert names == ["HV"]
