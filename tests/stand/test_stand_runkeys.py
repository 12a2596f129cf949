"""The demo's runkeys from a shift's view: what was set is stored, compared, put back, and found in the archive."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from running_stand import Stand
from support import ROOT, wait_until

pytestmark = [pytest.mark.timeout(300)]

CHANGED = {
    "L01:VSet": 111.0,
    "L02:ISet": 42.0,
    "L03:RUp": 33.0,
    "L04:Trip": 4.0,
    "L05:VMax": 2100.0,
    "L06:VDef": 1234.5,
}


def _value(stand: Stand, name: str) -> str:
    done = stand.owl("get", stand.pv(name))
    assert done.returncode == 0, done.stderr
    return done.stdout.partition(" ")[2].strip()


def _settings(stand: Stand) -> str:
    done = stand.owl("get", *(stand.pv(f"HV:{name}") for name in CHANGED))
    assert done.returncode == 0, done.stderr
    return done.stdout


def _put(stand: Stand, name: str, value: object) -> None:
    done = stand.owl("put", "-c", stand.pv(name), str(value), "--timeout", "120")
    assert done.returncode == 0, (name, value, done.stdout, done.stderr)


def _puts(stand: Stand, values: dict[str, float]) -> None:
    """To the high voltage, one after another, in one process."""
    puts = [(stand.pv(f"HV:{name}"), value) for name, value in values.items()]
    done = stand.python(f"import epics\nfor put in {puts!r}: assert epics.caput(*put, wait=True, timeout=60) == 1, put")
    assert done.returncode == 0, done.stderr


def test_a_shift(stand: Stand) -> None:
    wait_until(lambda: _value(stand, "RK:State") == "Idle", 60, "the runkey IOC to be ready", interval=0.5)
    wait_until(lambda: "INVALID" not in stand.owl("get", "-a", stand.pv("HV:L21:VSet")).stdout, 60, interval=0.5)
    _put(stand, "RK:SnapshotName", "last Tuesday")
    _put(stand, "RK:Comment", "after the calibration")
    _put(stand, "RK:Snapshot", 1)
    assert _value(stand, "RK:Selected").startswith("last Tuesday")
    assert _value(stand, "RK:Missing") == "0"
    before = _settings(stand)

    _puts(stand, CHANGED)
    _put(stand, "RK:Compare", 1)
    assert _value(stand, "RK:DiffCount") == str(len(CHANGED))
    report = _text(stand, "RK:Report")
    assert set(re.findall(r"^  \w+:HV:(\S+): is ", report, re.MULTILINE)) == set(CHANGED), report

    _put(stand, "RK:Apply", 1)
    assert _settings(stand) == before
    assert _text(stand, "RK:AppliedResult") == "applied and verified"
    digest = _text(stand, "RK:AppliedHash")
    assert re.fullmatch("[0-9a-f]{64}", digest)

    # any archived moment can be traced to a runkey
    def archived() -> bool:
        query = {"pv": stand.pv("RK:Applied"), "from": "2026-01-01T00:00:00Z"}
        answer = httpx.get(f"{stand.archiver}/retrieval/data/getData.json", params=query)
        return answer.status_code == 200 and "last Tuesday" in [s["val"] for s in answer.json()[0]["data"]]

    wait_until(archived, 60, "the runkey that is applied in the archive", interval=0.5)
    listed = stand.owl("runkey", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    (found,) = [one for one in json.loads(listed.stdout)["runkeys"] if one["digest"] == digest]
    assert (found["name"], found["comment"]) == ("last Tuesday", "after the calibration")


def _text(stand: Stand, name: str) -> str:
    code = f"import epics; print(epics.caget({stand.pv(name)!r}, as_string=True, timeout=20))"
    done = stand.python(code)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_where_runkeys_are_is_printed(stand: Stand) -> None:
    assert f"Runkeys: {stand.state}/db/staging.sqlite (staging), {stand.state}/db/backend.sqlite (backend)" in (
        stand.printed
    )


def test_the_how_to_as_it_stands_there(stand: Stand) -> None:
    """Each command of the page, one after another, with nothing but the printed exports and the site's own name."""
    env = {**stand.env, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    page = (ROOT / "docs" / "how-to" / "save-and-restore.md").read_text().replace("DEMO:", stand.prefix)
    lines = [
        line
        for block in re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    ]
    assert len(lines) > 20
    # what needs a past, what may fail as told there, and what is not of a shell without a display
    skipped = ("owl archive at", "owl runkey show")
    said = {}
    for line in lines:
        if line.startswith(skipped):
            continue
        done = subprocess.run(line, shell=True, env=env, capture_output=True, text=True, timeout=200)
        said[line] = done.stdout
        if "RK:Apply 1" not in line or "-c" in line:
            assert done.returncode == 0, (line, done.stdout, done.stderr)
        if "RK:Apply 1" in line and "-c" not in line:
            wait_until(lambda: _value(stand, "RK:ItemsTotal") != "0", 30, "the apply to have begun")
        if "cable pull" in line:
            wait_until(lambda: _value(stand, "RK:State") in ("RollingBack", "Failed", "Idle"), 60, interval=0.2)
    (compared,) = [text for line, text in said.items() if "DiffCount" in line]
    assert f"{stand.prefix}RK:DiffCount" in compared
    assert f"{stand.prefix}HV:L07:VSet: is 1500 V" in compared
    wait_until(lambda: _value(stand, "RK:State") in ("Failed", "Idle"), 60, "the apply to end", interval=0.2)
    (script,) = re.findall(r"^```python\n(import asyncio\n.*?)^```", page, re.MULTILINE | re.DOTALL)
    wait_until(lambda: "INVALID" not in stand.owl("get", "-a", stand.pv("HV:L05:VSet_RBV")).stdout, 60, interval=0.5)
    done = stand.python(script)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert _value(stand, "RK:Applied") == "cosmics 12"
