"""An IOC process from its start to its end, and over restarts."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from aioca import FORMAT_TIME, CANothing, purge_channel_caches
from ioc_support import HERE, TIMEOUT, caget, caput, lamp, start_lamp, text
from support import start, wait_until

from owlshift.ioc import RESTART_EXIT_CODE, SUPERVISED, catalogue_markdown


async def put(name: str, value: object) -> None:
    await caput(name, value, wait=True, timeout=TIMEOUT)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_cleanly(prefix: str, tmp_path: Path, number: int) -> None:
    process = start_lamp(prefix, tmp_path)
    await put(f"{prefix}L:Set", 1.5)
    purge_channel_caches()
    process.signal(number)
    assert process.wait(TIMEOUT) == 0
    assert "stop hook" in process.log
    saved = json.loads((tmp_path / "autosave" / f"{prefix[:-1]}.json").read_text())
    assert saved["values"][f"{prefix}L:Set"] == 1.5  # though a second had not gone by
    assert not [line for line in process.log if " WARNING " in line or " ERROR " in line]


async def test_a_put_in_progress_does_not_hold_the_end(prefix: str) -> None:
    process = start_lamp(prefix)
    task = asyncio.create_task(put(f"{prefix}L:Hold", 1))
    async with asyncio.timeout(TIMEOUT):
        while await text(f"{prefix}L:Puts") != "hold":
            await asyncio.sleep(0.02)
    process.signal(signal.SIGTERM)
    with pytest.raises(CANothing):
        await task
    assert await asyncio.to_thread(process.wait, TIMEOUT) == 0
    purge_channel_caches()


async def test_what_was_set_survives_kill_9(prefix: str, tmp_path: Path) -> None:
    process = start_lamp(prefix, tmp_path)
    path = tmp_path / "autosave" / f"{prefix[:-1]}.json"
    for name, value in (("Set", 1.5), ("Mode", 2), ("Label", "kept"), ("Slow", 0.01), ("Curve", [1, 2])):
        await put(f"{prefix}L:{name}", value)
    purge_channel_caches()
    wait_until(lambda: path.exists() and '"kept"' in path.read_text() and "2.0" in path.read_text(), TIMEOUT)
    process.kill()
    async with lamp(prefix, tmp_path) as again:
        assert "start 1.5" in again.log  # it was back before start(), and no putter ran:
        assert await text(f"{prefix}L:Puts") == ""
        found = await caget(f"{prefix}L:Set", format=FORMAT_TIME)
        assert (found, found.severity) == (1.5, 0)
        assert await caget(f"{prefix}L:Mode") == 2
        assert await caget(f"{prefix}L:Label") == "kept"
        assert (await caget(f"{prefix}L:Curve")).tolist() == [1, 2]
        assert await caget(f"{prefix}L:Slow") == 0.0  # not marked save


async def test_a_corrupt_autosave_file_is_set_aside_and_said(prefix: str, tmp_path: Path) -> None:
    folder = tmp_path / "autosave"
    folder.mkdir()
    (folder / f"{prefix[:-1]}.json").write_text('{"values": {"cut off')
    async with lamp(prefix, tmp_path) as process:
        assert "cannot be used" in await text(f"{prefix}IOC:Msg")
        assert any(" INFO " in line and "cannot be used" in line for line in process.log)
        assert (await caget(f"{prefix}L:Set", format=FORMAT_TIME)).severity == 3
    assert any(path.name.startswith(f"{prefix[:-1]}.bad-") for path in folder.iterdir())


@pytest.mark.parametrize(
    ("env", "last"),
    [
        ({"LAMP_FAULT": "crash"}, "crash ended by RuntimeError: a bug in the poll loop"),
        ({"LAMP_FAULT": "start"}, "ConnectionError: no lamp"),
        ({"LAMP_INTERFACE": "203.0.113.7"}, "203.0.113.7"),
    ],
)
async def test_what_ends_it_is_its_last_line(prefix: str, env: dict[str, str], last: str) -> None:
    process = start_lamp(prefix, env=env, ready=None)
    assert process.wait(TIMEOUT) == 1
    assert f" ERROR owlshift.ioc: {prefix} ends: " in process.log[-1] and last in process.log[-1]
    assert ("stop hook" in process.log) is (env.get("LAMP_FAULT") != "start")


async def test_a_start_that_hangs_can_be_ended(prefix: str) -> None:
    process = start_lamp(prefix, env={"LAMP_FAULT": "hang"}, ready="hanging")
    process.signal(signal.SIGTERM)
    assert process.wait(TIMEOUT) == 0


async def test_a_faulty_access_file_is_refused_at_the_door(prefix: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.acf"
    bad.write_text("ASG(A) {\n  RULE(1, SING)\n}\n")
    process = start_lamp(prefix, tmp_path, bad, ready=None)
    assert process.wait(TIMEOUT) == 1
    assert process.log[-1].endswith(f"{bad}:2: the permission 'SING' is none of NONE, READ, WRITE")


async def test_sysreset_under_a_supervisor_is_an_exit_code(prefix: str) -> None:
    process = start_lamp(prefix, env={SUPERVISED: "1"})
    await caput(f"{prefix}IOC:SYSRESET", 1, timeout=TIMEOUT)
    assert await asyncio.to_thread(process.wait, TIMEOUT) == RESTART_EXIT_CODE
    assert "stop hook" in process.log
    purge_channel_caches()


async def test_sysreset_alone_starts_it_anew(prefix: str, tmp_path: Path) -> None:
    async with lamp(prefix, tmp_path) as process:
        await put(f"{prefix}L:Set", 0.75)
        await put(f"{prefix}IOC:SYSRESET", 1)
        await asyncio.to_thread(
            wait_until, lambda: sum(line.startswith("ready") for line in process.log) == 2, TIMEOUT, "a second start"
        )
        purge_channel_caches()
        assert await caget(f"{prefix}L:Set", timeout=TIMEOUT) == 0.75


async def test_what_it_says_of_itself(prefix: str) -> None:
    async with lamp(prefix):
        names = ("UPTIME", "STARTTOD", "CA_CLNT_CNT", "CA_CONN_CNT", "IOC_CPU_LOAD", "MEM_USED", "ACCESS", "SYSRESET",
                 "Version", "Backend", "State", "DroppedUpdates", "PutCount", "ErrorCount")  # fmt: skip
        await asyncio.gather(put(f"{prefix}L:Set", 1), put(f"{prefix}L:Refuse", -1), return_exceptions=True)
        async with asyncio.timeout(TIMEOUT):
            while (await caget(f"{prefix}IOC:HEARTBEAT")) < 2:
                await asyncio.sleep(0.05)
        values = dict(zip(names, await caget([f"{prefix}IOC:{name}" for name in names]), strict=True))
        assert re.fullmatch(r"\d\d:\d\d:\d\d", values["UPTIME"])
        assert re.fullmatch(r"\d\d/\d\d/\d{4} \d\d:\d\d:\d\d", values["STARTTOD"])
        assert values["CA_CLNT_CNT"] == 1 and values["CA_CONN_CNT"] >= 2
        assert 0 <= values["IOC_CPU_LOAD"] < 200 and 1e7 < values["MEM_USED"] < 1e9
        assert values["ACCESS"] == "no file: everybody may write"
        assert (values["Version"], values["Backend"], values["State"]) == ("0.1.0", "test", 1)
        assert (values["PutCount"], values["ErrorCount"], values["DroppedUpdates"]) == (2, 1, 0)


async def test_the_catalogue_of_a_large_ioc(prefix: str) -> None:
    process = start([sys.executable, str(HERE / "big_ioc.py"), prefix])
    try:
        raw = await text(f"{prefix}IOC:Catalogue")
        assert len(raw) > 100_000
        found = json.loads(raw)
        assert found["ioc"] == prefix and found["version"] == 1
        assert found["objects"][f"{prefix}C7:"] == "Ten PVs."
        pvs = {pv["name"]: pv for pv in found["pvs"]}
        assert len(pvs) == len(found["pvs"]) > 2000
        source = pvs[f"{prefix}C7:VSet"].pop("source")
        assert pvs[f"{prefix}C7:VSet"] == {
            "name": f"{prefix}C7:VSet", "kind": "setpoint", "type": "double", "count": 1, "units": "V", "precision": 3,
            "control": [0, 4.2], "doc": "Voltage", "asg": "OPERATOR", "save": True, "config": False,
        }  # fmt: skip
        file, line = source.split(":")
        assert (HERE / file).read_text().splitlines()[int(line) - 1].startswith("    VSet = setpoint(")
        assert pvs[f"{prefix}C7:On"]["severities"] == {"No": "MINOR"}
        assert pvs[f"{prefix}C7:V"]["archive"] == {"method": "monitor", "period": 1.0}
        assert pvs[f"{prefix}C7:V"]["alarm"] == [None, 4.2]
        assert pvs[f"{prefix}IOC:SYSRESET"]["source"].startswith("owlshift/ioc/health.py:")
        table = catalogue_markdown(found)
        assert f"| `{prefix}C7:V` | readback | double | V |" in table
        assert "| HIGH" not in table and table.count("\n") == len(pvs) + 4
        name = f"{prefix}C7:T"
        assert (await caget(f"{name}.DESC"), await caget(f"{name}.HIHI")) == ("Temperature", 60)
    finally:
        purge_channel_caches()
        assert process.stop(TIMEOUT) == 0


def test_two_thousand_pvs_are_made_at_once() -> None:
    """Not a timing test: it prints the figure, and bounds it far above (0.1 s measured)."""
    code = "import time, big_ioc; t = time.perf_counter(); n = len(big_ioc.made('T:', 200).pvdb)"
    code += "; print(n, time.perf_counter() - t)"
    count, seconds = subprocess.check_output([sys.executable, "-c", code], cwd=HERE, text=True).split()
    print(f"{count} PVs in {float(seconds):.3f} s")
    assert int(count) > 2000 and float(seconds) < 5
