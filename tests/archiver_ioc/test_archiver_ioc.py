"""The archiver's own IOC: what it says of engines, by a client that is not ours, and its alarms."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from arch_ioc_stand import TIMEOUT, ArchiverStand
from support import ROOT, free_port, start, wait_until

sys.path.insert(0, str(ROOT))

from archiver.config import ArchiverConfig
from archiver.engine.intake import Channels, Intake
from archiver.engine.recorder import Recorder
from archiver.engine.status import Status
from archiver.ioc import ArchiveIoc, build
from archiver.ioc_device import EngineHealth, EngineState, cut_list, together
from archiver.management.ledger import Identity, Ledger
from archiver.store import StoreReader, StoreWriter
from archiver.store.live import PvState, load_live
from archiver.store.registry import Registry
from benchmarks.c_ioc import CIoc
from owlshift.ca.stats import Stats
from owlshift.ioc import catalogue_markdown
from owlshift.ioc.catalogue import catalogue
from owlshift.site import load_site

GOOD, MINOR, MAJOR, INVALID = range(4)
ANSWERS = ("RetrievalGood", "RetrievalTime")


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[ArchiverStand]:
    made = ArchiverStand(tmp_path)
    yield made
    made.close()


def counters(stand: ArchiverStand, count: int) -> CIoc:
    records = [f'record(calc, "C:{i}") {{ field(SCAN, ".1 second") field(CALC, "VAL+1") }}' for i in range(count)]
    return CIoc("\n".join(records), port=stand.c_port, beacon_port=stand.beacon_port)


def test_it_shows_the_engine_and_is_archived_itself(stand: ArchiverStand) -> None:
    stand.write_site(pvs=[f"C:{i}" for i in range(5)] + ["C:nowhere"])
    with counters(stand, 5):
        stand.start_engine()
        ioc = stand.start_ioc()
        stand.wait_for(
            "the engine's figures",
            lambda state, connected, rate: state == [0, GOOD] and connected[0] >= 5 and rate[0] > 5,
            "State",
            "Connected",
            "EventRate",
        )
        values = stand.read("NeverConnected", "DiskFree", "DiskLeftDays", "Dropped", "Damaged", "LedgerGood", "Paused")
        assert [severity for _, severity in values] == [GOOD] * 7
        assert values[0][0] >= 1
        assert values[1][0] > 0
        assert [values[i][0] for i in (4, 5, 6)] == [0, 1, 0]
        # the engine finds the IOC by its catalogue, and archives it as any other
        wait_until(lambda: archived(stand, "T:ARCH:EventRate"), TIMEOUT, "the archiver's PVs in the archive")
        assert not archived(stand, "T:ARCH:Off") or archived(stand, "T:ARCH:State")
        assert ioc.stop() == 0


def archived(stand: ArchiverStand, name: str) -> bool:
    try:
        return any(len(piece) for piece in StoreReader(stand.state / "archive").read(name, 0, 2**62))
    except KeyError:
        return False


def test_an_engine_that_is_gone_or_hangs_is_invalid_and_comes_back(stand: ArchiverStand) -> None:
    stand.write_site()
    engine = stand.start_engine()
    ioc = stand.start_ioc()
    stand.wait_for("the engine", lambda state, pvs: state == [0, GOOD] and pvs[1] == GOOD, "State", "PVs")
    assert "the engine" not in ioc.text()
    engine.signal(signal.SIGSTOP)
    stand.wait_for("an engine that hangs", lambda state, free: state[1] == free[1] == INVALID, "State", "DiskFree")
    engine.signal(signal.SIGCONT)
    stand.wait_for("it to go on", lambda state, free: state == [0, GOOD] and free[1] == GOOD, "State", "DiskFree")
    assert [line for line in ("the engine says nothing", "the engine is there again") if line not in ioc.text()] == []
    assert engine.stop(TIMEOUT) == 0
    stand.wait_for("a stopped engine", lambda state, pvs: state[1] == pvs[1] == INVALID, "State", "PVs")
    stand.start_engine()
    stand.wait_for("a fresh engine", lambda state, pvs: state == [0, GOOD] and pvs[1] == GOOD, "State", "PVs")


def test_before_any_engine_all_is_invalid(stand: ArchiverStand) -> None:
    stand.write_site()
    stand.start_ioc()
    assert [severity for _, severity in stand.read("State", "PVs", "Quarantine", "LossRate")] == [INVALID] * 4
    assert stand.read("IOC:Version", "IOC:HEARTBEAT")[0][1] == GOOD


async def test_an_engine_that_starts_beside_the_ioc_is_no_news(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    ioc = ArchiveIoc("T:ARCH:", {"": tmp_path / "archive"})
    said: list[str] = []
    ioc.tell = lambda text, level=0: said.append(text)
    await ioc._publish()
    status = tmp_path / "archive" / "engine.json"
    status.write_text(json.dumps({"updated": time.time()}))
    await ioc._publish()
    assert said == []
    for engine in ioc._engines.values():
        engine._seen = (engine._seen[0], time.monotonic() - 60)
    await ioc._publish()
    status.write_text(json.dumps({"updated": time.time() + 1}))
    await ioc._publish()
    assert said == ["the engine says nothing", "the engine is there again"]
    (tmp_path / "archive").rename(tmp_path / "away")
    for engine in ioc._engines.values():
        engine._seen = (engine._seen[0], time.monotonic() - 60)
    await ioc._publish()
    assert said[-1] == f"the engine says nothing: the folder {tmp_path / 'archive'} is not there"


def test_retrieval_that_is_gone_or_hangs_is_said(stand: ArchiverStand) -> None:
    stand.write_site(f'http = "127.0.0.1:{free_port()}"')
    stand.start_ioc()
    stand.wait_for("no retrieval", lambda good, time: good == [0, MINOR] and time[1] == INVALID, *ANSWERS)
    process = start(stand.command("retrieval"), "ready", TIMEOUT)
    stand.processes["retrieval"] = process
    stand.wait_for("retrieval", lambda good, time: good == [1, GOOD] and 0 < time[0] < 60 and time[1] == GOOD, *ANSWERS)
    process.signal(signal.SIGSTOP)
    stand.wait_for("one that hangs", lambda good, time: good == [0, MINOR] and time[1] == INVALID, *ANSWERS)
    process.signal(signal.SIGCONT)
    stand.wait_for("it to go on", lambda good, time: good == [1, GOOD] and time[1] == GOOD, *ANSWERS)


def test_damaged_pieces_and_a_lost_ledger_are_alarms(stand: ArchiverStand) -> None:
    stand.write_site()
    stand.start_engine()
    stand.start_ioc()
    archive = stand.state / "archive"
    stand.wait_for("the engine", lambda damaged: damaged == [0, GOOD], "Damaged")
    (archive / "quarantine" / "0000000001-77.bin").write_bytes(b"x")
    stand.wait_for("the damage", lambda damaged: damaged == [1, MAJOR], "Damaged")
    text = stand.read("Quarantine")[0][0]
    assert bytes(text).decode() == "0000000001-77.bin"
    (archive / "quarantine" / "0000000001-77.bin").unlink()
    stand.wait_for("its end", lambda damaged: damaged == [0, GOOD], "Damaged")
    for suffix in ("-wal", "-shm"):
        (archive / f"manage.db{suffix}").unlink(missing_ok=True)
    (archive / "rubbish").write_bytes(b"this is no database" * 100)
    (archive / "rubbish").replace(archive / "manage.db")
    stand.wait_for("the bad ledger", lambda good: good == [0, MINOR], "LedgerGood")


def test_several_engines_share_the_pvs_and_move_them(stand: ArchiverStand) -> None:
    names = [f"C:{i}" for i in range(40)]
    engines = 'engines = ["a", "b"]\nsystem = "ARCH"'
    stand.write_site(engines, names)
    with counters(stand, 40):
        for name in ("a", "b"):
            stand.start_engine(name)
        stand.start_ioc()
        # engines share the PVs of the archiver's IOC too: only the counters are looked at
        wait_until(lambda: set(names) <= {*live(stand, "a"), *live(stand, "b")}, TIMEOUT, "all PVs")
        shares = {name: set(live(stand, name)) & set(names) for name in ("a", "b")}
        assert shares["a"] | shares["b"] == set(names)
        assert not shares["a"] & shares["b"]
        assert min(len(share) for share in shares.values()) > 5
        stand.wait_for(
            "both engines",
            lambda total, a, b: total[0] == a[0] + b[0] and a[1] == b[1] == GOOD,
            "PVs",
            "A:PVs",
            "B:PVs",
        )
        moved = sorted(shares["a"])[0]
        stand.write_site(engines, names, f'[[archiver.pin]]\npv = "{moved}"\nengine = "b"\n')
        wait_until(lambda: moved in live(stand, "b") and moved not in live(stand, "a"), TIMEOUT, "the move")
        wait_until(lambda: samples(stand, "b", moved) >= 3, TIMEOUT, "its samples in the other engine")
        assert samples(stand, "a", moved) >= 1
        later = sorted(shares["b"])[0]
        ledger = Ledger(stand.state / "archive" / "manage.db")
        ledger.change([later], Identity("tester"), engine="a")
        ledger.close()
        wait_until(lambda: later in live(stand, "a") and later not in live(stand, "b"), TIMEOUT, "the second move")
        stand.processes["a"].kill()
        stand.wait_for(
            "one engine gone",
            lambda total, a, b: a[1] == INVALID and b == [0, GOOD] and total[1] == INVALID,
            "State",
            "A:State",
            "B:State",
        )


def folder(stand: ArchiverStand, engine: str) -> Path:
    return stand.state / "archive" / "engines" / engine


def live(stand: ArchiverStand, engine: str) -> list[str]:
    """The PVs that an engine archives now."""
    registry = Registry(folder(stand, engine) / "registry.log")
    registry.refresh()
    table = load_live(folder(stand, engine))
    return [name for name, pv in registry.ids.items() if pv < len(table) and table["state"][pv]]


def samples(stand: ArchiverStand, engine: str, name: str) -> int:
    try:
        return sum(len(piece) for piece in StoreReader(folder(stand, engine)).read(name, 0, 2**62))
    except KeyError:
        return 0


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="needs to mount a small disk")
def test_a_full_disk_is_said_and_over_by_itself(stand: ArchiverStand) -> None:
    disk = stand.state / "archive"
    disk.mkdir(parents=True)
    if os.system(f"mount -t tmpfs -o size=64m tmpfs {disk}") != 0:
        pytest.skip("no disk can be mounted here")
    try:
        stand.write_site("queue = 1", [f"C:{i}" for i in range(2000)])
        with counters(stand, 2000):
            stand.start_engine()
            stand.start_ioc()
            stand.wait_for("recording", lambda state, pvs: state == [0, GOOD] and pvs[0] >= 2000, "State", "Connected")
            filler = disk / "filler"
            with open(filler, "wb") as file:
                try:
                    while True:
                        file.write(b"x" * 65536)
                except OSError:
                    pass
            stand.wait_for("the full disk", lambda state: state == [EngineState.DiskFull, MAJOR], "State")
            # an engine that starts on a full disk says so, too
            before = stand.status()["pid"]
            stand.processes["engine"].kill()
            stand.start_engine()
            wait_until(lambda: stand.status().get("pid") not in (None, before), TIMEOUT, "the next engine's figures")
            stand.wait_for("the disk still full", lambda state: state == [EngineState.DiskFull, MAJOR], "State")
            stand.wait_for("lost samples", lambda rate: rate[0] > 0 and rate[1] == MAJOR, "LossRate")
            filler.unlink()
            stand.wait_for("recording again", lambda state: state == [0, GOOD], "State")
            status = stand.status()
            assert status["dropped"]["disk_full"] > 0
            assert status["received"] == sum(status[k] for k in ("stored", "in_log", "waiting")) + sum(
                status["dropped"].values()
            )
            assert stand.processes["engine"].stop(TIMEOUT) == 0
    finally:
        stand.close()
        os.system(f"umount {disk}")


def engine_json(tmp_path: Path) -> dict[str, Any]:
    """What an engine with nothing to do writes."""
    store = StoreWriter(tmp_path / "archive")
    store.open()
    recorder = Recorder(store, ArchiverConfig(), Intake(1 << 20), Channels())
    status = Status(recorder).snapshot(Counter({PvState.CONNECTED: 3}), False, dataclasses.asdict(Stats()))
    store.close()
    return status | {"ledger": {"version": 0, "problem": ""}, "dropped": {**status["dropped"], "scan": 7}}


def test_figures_of_several_engines_are_sums_and_the_worst(tmp_path: Path) -> None:
    one = engine_json(tmp_path)
    two = json.loads(json.dumps(one)) | {"state": "disk_full", "lag": 3.0, "disk_free": 5, "quarantined": ["x.bin"]}
    total = together({"a": one, "b": two})
    assert total["pvs"] == 2 * one["pvs"]
    assert total["dropped"]["scan"] == 2 * one["dropped"]["scan"]
    assert (total["state"], total["lag"], total["disk_free"], total["quarantined"]) == (
        "disk_full",
        3.0,
        5,
        ["b/x.bin"],
    )
    figures = {pv.declaration.suffix: value for pv, value in EngineHealth().figures(total, 0.0)}
    assert set(figures) == {pv.declaration.suffix for pv in EngineHealth().pvs.values()}
    assert figures["State"] is EngineState.DiskFull
    assert figures["PlacesGood"] is True
    away = {
        pv.declaration.suffix: value for pv, value in EngineHealth().figures(one | {"places": {"s3://x": "?"}}, 0.0)
    }
    assert away["PlacesGood"] is False


def test_a_long_list_is_cut() -> None:
    assert cut_list([], 100) == ""
    assert cut_list(["a", "b"], 100) == "a, b"
    text = cut_list([f"file-{i}" for i in range(1000)], 200)
    assert len(text.encode()) <= 200
    assert text.startswith("file-0, file-1") and text.endswith("more")


def test_it_can_be_documented_without_running(stand: ArchiverStand) -> None:
    stand.write_site()
    site = load_site(stand.folder / "site.toml", stand.state)
    config = site.services["archiver"]
    assert isinstance(config, ArchiverConfig)
    ioc = build(site, config)
    assert "T:ARCH:DiskLeftDays" in ioc.pvdb
    assert "DiskLeftDays" in catalogue_markdown(catalogue(ioc.prefix, ioc.pvdb.values()))
