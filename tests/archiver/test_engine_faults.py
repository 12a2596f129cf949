"""What goes wrong around an engine: its folder, its disk, servers that talk nonsense, clocks that step."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from archive_stand import CIoc, EngineStand, finish, is_root
from archive_tools import counted
from support import ROOT, free_port, start, wait_until
from test_archive_engine import counter
from test_engine_filters import batch_of

sys.path.insert(0, str(ROOT / "tests" / "ca"))

from ca_support import FakeServer, message  # pyright: ignore[reportMissingImports]

from archiver.config import ArchiverConfig
from archiver.engine import recorder as recorder_module
from archiver.engine.intake import Channels, Intake
from archiver.engine.recorder import Recorder
from archiver.engine.status import write_status
from archiver.store import Dbr, StoreWriter
from archiver.store.live import load_live
from archiver.store.registry import Registry

TIMEOUT = 60.0
EPICS_EPOCH = 631152000


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[EngineStand]:
    made = EngineStand(tmp_path, free_port())
    yield made
    if made.process is not None and made.process.returncode is None:
        made.process.kill()


def counters(stand: EngineStand, prefix: str, count: int = 20) -> tuple[CIoc, list[str]]:
    names = [f"{prefix}{i}" for i in range(count)]
    return CIoc("\n".join(counter(name) for name in names), port=stand.port, beacon_port=stand.beacon_port), names


def check_gapless(stand: EngineStand, names: list[str], status: dict[str, object]) -> None:
    totals = finish(stand.archive)
    received, accounted = counted(totals)
    assert received == accounted == status["received"]
    for name in names:
        assert (np.diff(stand.values(name)) == 1).all(), name


def test_the_folder_of_the_log_goes_away_and_comes_back(stand: EngineStand, prefix: str) -> None:
    ioc, names = counters(stand, prefix)
    stand.write_site(names, archiver="sync = 0.2\nroll_interval = 2")
    away = stand.archive / "away"
    with ioc:
        stand.start()
        stand.wait_status("all channels", connected=20)
        stand.wait_values(names[0], 5)
        (stand.archive / "wal").rename(away)
        stand.wait_status("word of it", state="unwritable")
        away.rename(stand.archive / "wal")
        stand.wait_status("recording", state="recording")
        seen = len(stand.values(names[0]))
        stand.wait_values(names[0], seen + 10)
        # and once more, for good: what was in the present log is written into a new folder
        shutil.rmtree(stand.archive / "wal")
        stand.wait_status("word of it", state="unwritable")
        (stand.archive / "wal").mkdir()
        stand.wait_status("recording", state="recording")
        seen = len(stand.values(names[0]))
        stand.wait_values(names[0], seen + 10)
        status = stand.stop()
    totals = finish(stand.archive)
    received, accounted = counted(totals)
    assert received == accounted == status["received"]


def without_privileges() -> list[str]:
    """What comes before a command so that it may not write where nobody may."""
    if not is_root():
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("root may write everywhere, and there is no setpriv")
    return [setpriv, "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]


def test_a_permission_is_lost_and_given_again(stand: EngineStand, prefix: str) -> None:
    ioc, names = counters(stand, prefix)
    stand.write_site(names, archiver="sync = 0.2\nroll_interval = 1")
    with ioc:
        environment = {"EPICS_CA_REPEATER_PORT": str(stand.beacon_port)}
        command = [*without_privileges(), *stand.command()]
        stand.process = start(command, "ready archiver-engine", TIMEOUT, environment)
        stand.wait_status("all channels", connected=20)
        stand.wait_values(names[0], 5)
        folders = [stand.archive, stand.archive / "wal"]
        for folder in folders:
            folder.chmod(0o500)
        try:
            # engine.json can't be replaced now, and says so all the same
            stand.wait_status("word of it", state="unwritable")
        finally:
            for folder in folders:
                folder.chmod(0o755)
        stand.wait_status("recording", state="recording")
        seen = len(stand.values(names[0]))
        stand.wait_values(names[0], seen + 10)
        status = stand.stop()
    check_gapless(stand, names, status)


async def test_a_server_that_talks_nonsense_is_dropped_and_counted(stand: EngineStand, prefix: str) -> None:
    ioc, names = counters(stand, prefix, 5)
    loop = asyncio.get_running_loop()
    async with FakeServer({"Bad:A": (Dbr.DOUBLE, 1)}) as server:
        stand.write_site([*names, "Bad:A"], archiver="")
        path = stand.folder / "site.toml"
        path.write_text(path.read_text().replace('"127.0.0.1"]', f'"127.0.0.1", "127.0.0.1:{server.udp_port}"]'))
        with ioc:
            await loop.run_in_executor(None, stand.start)
            await loop.run_in_executor(None, lambda: stand.wait_status("all channels", connected=6))
            for connection in server.connections:
                connection.writer.write(message(99, b"rubbish!", 1, 2, 3, 4))

            def dropped() -> bool:
                client = stand.status()["client"]
                return client["malformed"] == 1 and client["dropped"].get("unknown command") == 1

            await loop.run_in_executor(None, lambda: wait_until(dropped, TIMEOUT, "the server to be dropped"))
            await loop.run_in_executor(None, lambda: stand.wait_values(names[0], 20))
            await loop.run_in_executor(None, lambda: stand.wait_status("it to be back", connected=6))
            assert (np.diff(stand.values(names[0])) == 1).all()
            await loop.run_in_executor(None, stand.stop)


async def test_a_server_whose_clock_steps(stand: EngineStand) -> None:
    loop = asyncio.get_running_loop()

    def row() -> np.void:
        registry = Registry(stand.archive / "registry.log")
        registry.refresh()
        return load_live(stand.archive)[registry.ids["Clock:A"]]

    async with FakeServer({"Clock:A": (Dbr.DOUBLE, 1)}) as server:
        stand.write_site(["Clock:A"], archiver="roll_interval = 1")
        path = stand.folder / "site.toml"
        path.write_text(path.read_text().replace('"127.0.0.1"]', f'"127.0.0.1:{server.udp_port}"]'))
        await loop.run_in_executor(None, stand.start)
        await loop.run_in_executor(None, lambda: stand.wait_status("the channel", connected=1))
        await loop.run_in_executor(
            None, lambda: wait_until(lambda: server.received[1] >= 2, TIMEOUT, "the subscriptions")
        )
        now = int(time.time()) - EPICS_EPOCH
        steps = [now - 100, now + 7200, now - 99, now - 3600, now - 98, now - 98, 5]
        for value, seconds in enumerate(steps):
            server.post("Clock:A", [value], seconds=seconds)
        expected = {"future": 1, "bad_time": 1, "out_of_order": 1, "duplicate": 1}

        def counted_all() -> bool:
            dropped = stand.status()["dropped"]
            return {key: dropped[key] for key in expected} == expected and row()["dropped_time"] == 4

        await loop.run_in_executor(None, lambda: wait_until(counted_all, TIMEOUT, "the drops"))
        assert stand.values("Clock:A") == [0.0, 2.0, 4.0]
        assert row()["events"] == len(steps)
        status = await loop.run_in_executor(None, stand.stop)
    assert status["received"] == len(steps)


def test_the_clock_of_this_machine_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Far back, and everything seems to be of the future: counted as that; put right, all is stored again."""
    store = StoreWriter(tmp_path)
    store.open()
    intake, channels = Intake(1 << 26), Channels()
    channels.map(0, store.add_pvs(["A"])["A"])
    recorder = Recorder(store, ArchiverConfig(), intake, channels)
    clock = {"ns": 1_790_000_000 * 10**9 + 10**9}
    real = recorder_module.time

    class SteppedTime:
        time_ns = staticmethod(lambda: clock["ns"])
        monotonic, monotonic_ns, sleep = real.monotonic, real.monotonic_ns, real.sleep

    monkeypatch.setattr(recorder_module, "time", SteppedTime)
    recorder.start()
    intake.put(batch_of([0, 0], [1.0, 2.0], 0))
    wait_until(lambda: recorder.logged == 2, 30, "the first samples")
    clock["ns"] -= 7200 * 10**9
    intake.put(batch_of([0, 0], [3.0, 4.0], 100))
    wait_until(lambda: recorder.drops() == {"future": 2}, 30, "the drops")
    clock["ns"] += 2 * 7200 * 10**9
    intake.put(batch_of([0, 0], [5.0, 6.0], 200))
    wait_until(lambda: recorder.logged == 4, 30, "the samples after it")
    recorder.stop()
    store.close()


def test_engine_json_is_written_over_when_it_cannot_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    write_status(path, {"state": "recording", "rates": [1.5] * 200})
    size, inode = path.stat().st_size, path.stat().st_ino
    (tmp_path / f"engine.json.{os.getpid()}.part").mkdir()  # the way of a replacement is barred
    write_status(path, {"state": "disk_full"})
    assert (path.stat().st_size, path.stat().st_ino) == (size, inode)
    assert json.loads(path.read_text()) == {"state": "disk_full"}
    with pytest.raises(OSError, match=r"engine\.json"):
        write_status(path, {"state": "x" * 100_000})
