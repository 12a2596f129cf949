"""`owl runkey snapshot, compare, apply, abort, status` on a stand of real processes."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aioca import caput, purge_channel_caches
from runkey.rk_stand import PATIENCE, RkStand, stand_of
from support import Process, owl

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RkStand]:
    with stand_of(tmp_path_factory.mktemp("stand")) as stand:
        run(stand.ready())
        yield stand


def run(work: Any) -> Any:
    async def main() -> Any:
        try:
            return await work
        finally:
            purge_channel_caches()

    return asyncio.run(main())


def command(stand: RkStand, *args: str) -> list[str]:
    return owl("runkey", *args, "--site", str(stand.site_file), "--state", str(stand.state))


def runkey(stand: RkStand, *args: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(stand, *args), capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    assert done.returncode == code, f"{args}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def put(stand: RkStand, name: str, value: float) -> None:
    run(caput(stand.hv(name), value, wait=True, timeout=PATIENCE))


def value(stand: RkStand, name: str) -> float:
    return run(stand.hv_values(name))[0]


def test_snapshot_compare_apply(stand: RkStand):
    out = runkey(stand, "snapshot", "shift 1", "-m", "before the run").stdout
    assert out.splitlines()[-1].startswith("stored 'shift 1', ")
    listed = json.loads(runkey(stand, "list", "--json").stdout)["runkeys"]
    assert [(r["name"], r["action"], r["comment"]) for r in listed] == [("shift 1", "snapshot", "before the run")]
    assert runkey(stand, "compare", "shift 1").stderr == ""

    put(stand, "L02:VSet", 321.0)
    put(stand, "L03:ISet", 12.0)
    different = runkey(stand, "compare", "shift 1", code=1)
    assert "HV:L02:VSet" in different.stdout and "HV:L03:ISet" in different.stdout and different.stderr == ""
    document = json.loads(runkey(stand, "compare", "--json", code=1).stdout)
    assert (document["runkey"], document["differences"], document["ok"]) == ("shift 1", 2, True)

    plan = runkey(stand, "apply", "shift 1", "--dry-run").stdout
    assert "HV:L02:VSet" in plan and value(stand, "L02:VSet") == 321.0
    asked = runkey(stand, "apply", "shift 1", code=2)
    assert "HV:L02:VSet" in asked.stdout and "say --yes" in asked.stderr and value(stand, "L02:VSet") == 321.0
    runkey(stand, "apply", "shift 1", "--yes", "-m", "back to it")
    assert value(stand, "L02:VSet") == 0.0

    # what is refused says why, and nothing of what was done before
    run(caput(stand.rk("Mode"), "Operation", wait=True, timeout=PATIENCE))
    refused = runkey(stand, "apply", "shift 1", "--yes", code=1)
    assert refused.stdout == "" and "Mode is Operation" in refused.stderr
    run(caput(stand.rk("Mode"), "Configuration", wait=True, timeout=PATIENCE))
    runkey(stand, "compare", "shift 1")

    status = runkey(stand, "status").stdout
    assert "state" in status and "Idle" in status and "applied and verified" in status and "shift 1" in status
    found = json.loads(runkey(stand, "status", "--json").stdout)
    assert found["Applied"] == "shift 1" and len(found["AppliedHash"]) == 64 and found["State"] == "Idle"


def test_what_the_ioc_refuses_is_said(stand: RkStand):
    said = runkey(stand, "compare", "no such runkey", code=1)
    assert "no such runkey" in said.stderr and said.stderr.startswith("owl: ") and said.stderr.count("\n") == 1
    assert runkey(stand, "snapshot", "x" * 40, code=1).stderr.startswith("owl: ")
    assert "nothing is under way that could be aborted" in runkey(stand, "abort").stdout
    runkey(stand, "snapshot", "twice")
    assert "twice" in runkey(stand, "snapshot", "twice", code=1).stderr


def test_an_edited_snapshot_is_applied(stand: RkStand):
    runkey(stand, "snapshot", "shift 2")
    runkey(stand, "set", "shift 2", "/HV", stand.hv("L05:VSet"), "150", "-m", "by hand")
    runkey(stand, "apply", "shift 2", "--yes")
    assert value(stand, "L05:VSet") == 150.0
    put(stand, "L05:VSet", 0.0)


def test_an_apply_that_cannot_be_says_why(stand: RkStand):
    runkey(stand, "snapshot", "shift 3")
    put(stand, "L01:VSet", 99.0)
    stand.sim("cable", state="pulled")
    try:
        run(stand.until_invalid("L01:VSet_RBV"))
        failed = runkey(stand, "apply", "shift 3", "--yes", code=1)
        assert failed.stderr.startswith("owl: ") and failed.stderr.count("\n") == 1
    finally:
        stand.heal()
        run(stand.hv_ready())
    runkey(stand, "apply", "shift 3", "--yes")
    assert value(stand, "L01:VSet") == 0.0


def test_ctrl_c_aborts_an_apply_and_takes_it_back(stand: RkStand):
    runkey(stand, "snapshot", "shift 4")
    for n in range(1, 9):
        put(stand, f"L0{n}:VSet", 50.0 + n)
        put(stand, f"L0{n}:RUp", 70.0 + n)
    stand.sim("slow", seconds=0.05)
    doing = Process(command(stand, "apply", "shift 4", "--yes"))
    try:
        run(stand.until("State", lambda state: state == "Applying"))
        doing.signal(signal.SIGINT)
        assert doing.wait(120) == 1
    finally:
        doing.kill()
        stand.heal()
    assert "Ctrl-C: aborted" in doing.log[-1] and "Traceback" not in doing.text()
    assert value(stand, "L01:VSet") == 51.0 and value(stand, "L08:RUp") == 78.0
    run(stand.hv_ready())


def test_nobody_there(stand: RkStand, tmp_path: Path):
    site = tmp_path / "site.toml"
    site.write_text(stand.site_file.read_text().replace(f'"{stand.prefix[:-1]}"', '"NOBODY"'))
    argv = owl("runkey", "status", "--site", str(site), "--state", str(tmp_path))
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and done.stdout == ""
    assert "no answer within 5 s (is the site running? owl status)" in done.stderr and done.stderr.count("\n") == 1
    site.write_text('[site]\nname = "EMPTY"\n')
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "no such runkey IOC" in done.stderr
