"""The engine as a process, against a real EPICS C IOC."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archive_stand import CIoc, EngineStand, catalogue_record, finish, is_root
from archive_tools import counted
from support import Process, free_port, wait_until

from archiver.store import PvInfo, StoreReader

TIMEOUT = 60.0


def counter(name: str, scan: str = ".1 second") -> str:
    return f'record(calc, "{name}") {{ field(SCAN, "{scan}") field(CALC, "VAL+1") }}'


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[EngineStand]:
    made = EngineStand(tmp_path, free_port())
    yield made
    if made.process is not None and made.process.returncode is None:
        made.process.kill()


def ioc_of(stand: EngineStand, *records: str) -> CIoc:
    return CIoc("\n".join(records), port=stand.port, beacon_port=stand.beacon_port)


def test_a_counter_is_archived_without_a_gap_and_the_end_is_clean(stand: EngineStand, prefix: str) -> None:
    names = [f"{prefix}C{i}" for i in range(50)]
    stand.write_site(names, archiver="sync = 0.2\nroll_interval = 1")
    with ioc_of(stand, *(counter(name) for name in names)):
        stand.start()
        for name in names[::10]:
            stand.wait_values(name, 30)
        stand.wait_status("all channels", pvs=50, connected=50)
        wait_until(lambda: stand.status()["segments"] > 0, TIMEOUT, "segments")
        status = stand.stop()
    reader = StoreReader(stand.archive)
    total = 0
    for name in names:
        values = np.concatenate([piece.values for piece in reader.read(name, 0, 2**62)])
        assert (np.diff(values) == 1).all(), name
        total += len(values)
    assert total == status["stored"] + status["in_log"] - status["dropped"]["duplicate"]
    totals = finish(stand.archive)
    assert counted(totals) == (status["received"], status["received"])
    assert totals["stored"] == total


def test_every_type_of_a_c_ioc(stand: EngineStand, prefix: str) -> None:
    records = {
        "D": (
            'record(ao, "{0}") {{ field(PREC, "2") field(EGU, "V") field(DESC, "a double")'
            ' field(HIHI, "9") field(HHSV, "MAJOR") }}',
            1.25,
        ),
        "L": ('record(longout, "{0}") {{ field(HOPR, "100") }}', -70000),
        "B": ('record(bo, "{0}") {{ field(ZNAM, "Off") field(ONAM, "On") }}', 1),
        "M": ('record(mbbo, "{0}") {{ field(ZRST, "a") field(ONST, "b") field(TWST, "c") }}', 2),
        "S": ('record(stringout, "{0}") {{ }}', "hello"),
    }
    waves = {
        "WD": ("DOUBLE", [1.5, -2.5]),
        "WF": ("FLOAT", [0.5, 0.25, 0.125]),
        "WL": ("LONG", [1, -100000]),
        "WS": ("SHORT", [1, -2, 3]),
        "WC": ("CHAR", [104, 105, 200]),
        "WT": ("STRING", ["one", "two"]),
    }
    texts = [text.format(prefix + key) for key, (text, _) in records.items()]
    for key, (kind, _) in waves.items():
        texts.append(f'record(waveform, "{prefix}{key}") {{ field(FTVL, "{kind}") field(NELM, "8") }}')
    names = [prefix + key for key in (*records, *waves)]
    stand.write_site(names, archiver="sync = 0.2")
    with ioc_of(stand, *texts) as ioc:
        stand.start()
        stand.wait_status("all channels", connected=len(names))
        assert len(names) == 11
        put(ioc, {prefix + key: value for key, (_, value) in (records | waves).items()})
        for key, (_, value) in records.items():
            assert wait_until(lambda key=key: stand.values(prefix + key)[-1:], TIMEOUT, key) == [value]
        for key, (_, values) in waves.items():
            assert wait_until(lambda key=key: stand.values(prefix + key)[-1:], TIMEOUT, key) == [values]

        def described() -> Any:
            info = StoreReader(stand.archive).info(prefix + "D")
            return info if info is not None and "DESC" in info.metadata else None

        info = wait_until(described, TIMEOUT, "the description")
        assert isinstance(info, PvInfo)
        wanted = {"DESC": "a double", "EGU": "V", "PREC": "2", "HIHI": "9.0", "EAA_COUNT": "1", "NELM": "1"}
        assert wanted.items() <= info.metadata.items()
        reader = StoreReader(stand.archive)
        states = reader.info(prefix + "M")
        assert states is not None
        assert [states.metadata[f"ENUM_{i}"] for i in range(3)] == ["a", "b", "c"]
        wave = reader.info(prefix + "WD")
        assert wave is not None
        assert (wave.count, wave.metadata["NELM"]) == (8, "8")
        status = stand.stop()
    # records that were never processed have no time stamp, and that is counted
    assert status["dropped"]["bad_time"] >= 1


def put(ioc: CIoc, values: dict[str, Any]) -> None:
    """Write with another client than ours."""
    script = (
        "import aioca, asyncio, json, sys\n"
        "values = json.loads(sys.argv[1])\n"
        "async def main():\n"
        "    for name, value in values.items():\n"
        "        await aioca.caput(name, value, wait=True, timeout=30)\n"
        "aioca.run(main())\n"
    )
    run_client(ioc, script, json.dumps(values))


def run_client(ioc: CIoc, script: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, *arguments],
        env={**os.environ, **ioc.environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_catalogues_and_the_site_file_are_followed(stand: EngineStand, prefix: str) -> None:
    first, second = "T:ONE:", "T:TWO:"
    names = [f"{prefix}{letter}" for letter in "ABCDE"]

    def catalogue(**pvs: Any) -> str:
        listed = [{"name": prefix + n, "doc": f"the {n}", "archive": a} for n, a in pvs.items()]
        return json.dumps({"ioc": first, "version": 1, "pvs": listed})

    def publish(ioc: CIoc, ioc_prefix: str, text: str) -> None:
        put(ioc, {f"{ioc_prefix}IOC:Catalogue": list(text.encode() + b"\0")})

    monitor = {"method": "monitor"}
    stand.write_site(systems=["ONE"], archiver="sync = 0.2")
    records = [catalogue_record(first), catalogue_record(second), *(counter(name) for name in names)]
    with ioc_of(stand, *records) as ioc:
        publish(ioc, first, catalogue(A=monitor, B=None, C={"method": "scan", "period": 1.0}))
        process = stand.start()
        stand.wait_status("the catalogue's PVs", pvs=2, connected=2)
        stand.wait_values(prefix + "A", 25)
        # 10 Hz, of which a scan keeps one in a second
        assert 1 <= len(stand.values(prefix + "C")) <= 12
        info = StoreReader(stand.archive).info(prefix + "A")
        assert info is not None
        assert info.metadata["DESC"] == "the A"

        publish(ioc, first, catalogue(A=monitor, B=monitor))
        stand.wait_values(prefix + "B", 2)
        stand.wait_status("the changed catalogue", pvs=2, connected=2)
        removed = StoreReader(stand.archive).connections(prefix + "C", 0, 2**62)
        assert removed[-1][1] == "removed"

        publish(ioc, first, "{ no catalogue")
        wait_until(lambda: "no catalogue" in process.text(), TIMEOUT, "the complaint")

        publish(ioc, second, catalogue(D=monitor, E=monitor))
        policy = f'[[archiver.policy]]\npv = "{prefix}E"\nmethod = "none"\n'
        stand.write_site(systems=["ONE", "TWO"], extra=policy, archiver="sync = 0.2")
        stand.wait_values(prefix + "D", 2)
        stand.wait_status("the new IOC's PVs", pvs=3, connected=3)
        assert stand.values(prefix + "E") == []

        (stand.folder / "site.toml").write_text("[site\n")
        wait_until(lambda: "can't be used; nothing changes here" in process.text(), TIMEOUT, "the complaint")
        count = len(stand.values(prefix + "D"))
        stand.wait_values(prefix + "D", count + 2)
        stand.stop()
    assert "Traceback" not in process.text()


def test_an_ioc_that_goes_and_comes_back(stand: EngineStand, prefix: str) -> None:
    name, still = prefix + "C", prefix + "S"
    stand.write_site([name, still], archiver="sync = 0.2")
    records = (counter(name), f'record(ao, "{still}") {{ field(VAL, "4") field(PINI, "YES") }}')
    stand.start()
    assert StoreReader(stand.archive).names() in ([], [name, still])
    with ioc_of(stand, *records):
        stand.wait_values(name, 5)
        stand.wait_status("the channels", connected=2)
    stand.wait_status("the loss", connected=0)
    lost = len(stand.values(name))
    with ioc_of(stand, *records):
        stand.wait_values(name, lost + 3)
        stand.wait_status("the channels", connected=2)
        # the engine goes and comes back to an IOC that never stopped: the same value is sent again
        stand.stop()
        before = len(stand.values(still))
        stand.start()
        status = stand.wait_status("the channels", connected=2)
        wait_until(lambda: stand.status()["received"] > status["received"], TIMEOUT, "events")
        status = stand.stop()
    assert len(stand.values(still)) == before
    totals = finish(stand.archive)
    assert totals["dropped.duplicate"] >= 1
    assert len(stand.values(still)) == before
    events = [event for _, event in StoreReader(stand.archive).connections(name, 0, 2**62)]
    assert events == [
        "engine started",
        "connected",
        "disconnected",
        "connected",
        "engine stopped",
        "engine started",
        "connected",
        "engine stopped",
    ]


def test_kill_9_at_any_instant_loses_at_most_the_sync_interval(stand: EngineStand, prefix: str) -> None:
    names = [f"{prefix}C{i}" for i in range(100)]
    stand.write_site(names, archiver="sync = 0.5\nroll_interval = 1")
    rng = np.random.default_rng(7)
    kills: list[tuple[int, int]] = []
    with ioc_of(stand, *(counter(name) for name in names)):
        for _ in range(4):
            process = stand.start()
            started = time.time_ns()
            stand.wait_status("all channels", connected=100)
            # not a wait for something: the kill is to hit another instant each time
            time.sleep(float(rng.uniform(0.2, 2.0)))
            process.kill()
            kills.append((started, time.time_ns()))
        stand.start()
        # what the kills left in logs is counted when it has become segments
        stand.wait_status("all channels, and the old logs", connected=100, logs_waiting=0)
        status = stand.stop()
    totals = finish(stand.archive)
    assert totals["received"] == status["received"]
    assert counted(totals)[0] == counted(totals)[1]
    assert totals["damaged_bytes"] == totals["dropped.damaged"] == 0 or totals["damaged_bytes"] > 0
    reader = StoreReader(stand.archive)
    stored = 0
    for name in names:
        pieces = list(reader.read(name, 0, 2**62))
        times = np.concatenate([piece.time_ns for piece in pieces])
        values = np.concatenate([piece.values for piece in pieces])
        stored += len(values)
        assert (np.diff(values) > 0).all(), "nothing twice, nothing out of order"
        # a gap in the counter is only where the engine was dead, or what it had not synced yet
        for place in np.flatnonzero(np.diff(values) > 1):
            gap = (int(times[place]), int(times[place + 1]))
            kill = min((end for _, end in kills), key=lambda end: abs(end - gap[0]))
            assert gap[0] > kill - int(1.5e9), f"lost {(kill - gap[0]) / 1e9:.2f} s before the kill"
            assert any(gap[1] >= start for start, _ in kills)
    assert stored == totals["stored"]
    assert not list(stand.archive.glob("**/*.part"))
    stops = [t for t, what in reader.connections(names[0], 0, 2**62) if what == "engine stopped"]
    assert len(stops) == 5
    for (_, end), stop in zip(kills, stops, strict=False):
        assert abs(stop - end) < 5e9


def test_two_engines_never_write_one_folder(stand: EngineStand) -> None:
    stand.write_site()
    process = stand.start()
    second = Process(stand.command())
    assert second.wait(TIMEOUT) == 1
    assert second.log == [
        f"archiver-engine: the archive folder {stand.archive} is in use by another engine (process {process.pid})"
    ]
    stand.stop()


def test_a_folder_that_cannot_be_made_is_one_clear_line(stand: EngineStand, tmp_path: Path) -> None:
    stand.write_site()
    (tmp_path / "state").write_text("a file")
    process = Process(stand.command())
    assert process.wait(TIMEOUT) == 1
    assert process.log == [f"archiver-engine: the archive folder {stand.archive} can't be made: not a directory"]


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ("[archiver]\nsink = 1", "sink"),
        ('[archiver]\nhttp = "somewhere"', "ADDRESS:PORT"),
        ("[archiver]\nsync = -1", "sync"),
        ('[[archiver.policy]]\npv = "*"\nmethod = "often"', "method"),
        ('[[archiver.pv]]\nname = "A"\n[[archiver.pv]]\nname = "A"', "twice"),
        ("", "no [archiver] section"),
    ],
)
def test_a_bad_site_file_is_refused(stand: EngineStand, tmp_path: Path, section: str, complaint: str) -> None:
    (tmp_path / "site.toml").write_text(f'[site]\nname = "T"\n{section}\n')
    process = Process(stand.command())
    assert process.wait(TIMEOUT) == 2
    assert complaint in process.text()
    assert "Traceback" not in process.text()
    assert not stand.archive.exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not is_root():
        pytest.skip("only root can mount a small file system")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(folder)], check=False)
    if mounted.returncode:
        pytest.skip("this machine doesn't let a small file system be mounted")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_one_clear_line_and_it_goes_on_by_itself(tmp_path: Path, small_disk: Path, prefix: str) -> None:
    stand = EngineStand(tmp_path, free_port(), state=small_disk)
    names = [f"{prefix}C{i}" for i in range(100)]
    stand.write_site(names, archiver="sync = 0.2\nqueue = 1")
    with ioc_of(stand, *(counter(name) for name in names)):
        process = stand.start()
        stand.wait_status("all channels", connected=100)
        stand.wait_values(names[0], 5)
        ballast = small_disk / "ballast"
        with pytest.raises(OSError, match="No space left"), open(ballast, "wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        wait_until(lambda: "can't be written (no space left on device)" in process.text(), TIMEOUT, "the complaint")
        before = len(stand.values(names[0]))
        # not a wait for something: samples are to come while nothing can be written
        time.sleep(1.5)
        ballast.unlink()
        wait_until(lambda: "is written again" in process.text(), TIMEOUT, "the disk to be written again")
        stand.wait_values(names[0], before + 20)
        stand.wait_status("counters", state="recording")
        status = stand.stop()
    complaints = [line for line in process.log if "can't be written (" in line and "segments" not in line]
    assert 1 <= len(complaints) <= 3, process.text()
    # the queue had room for what came meanwhile, so nothing is missing
    values = np.array(stand.values(names[0]))
    assert (np.diff(values) == 1).all()
    assert status["dropped"]["disk_full"] == 0
    totals = finish(stand.archive)
    assert counted(totals)[0] == counted(totals)[1] == status["received"]


def test_values_and_times_are_those_that_another_client_sees(stand: EngineStand, prefix: str) -> None:
    name = prefix + "C"
    stand.write_site([name], archiver="sync = 0.2")
    with ioc_of(stand, counter(name)) as ioc:
        stand.start()
        stand.wait_status("the channel", connected=1)
        script = (
            "import aioca, asyncio, sys\n"
            "async def main():\n"
            "    seen, done = [], asyncio.Event()\n"
            "    def take(value):\n"
            "        seen.append((value.raw_stamp, float(value), value.severity, value.status))\n"
            "        if len(seen) >= 20: done.set()\n"
            "    sub = aioca.camonitor(sys.argv[1], take, format=aioca.FORMAT_TIME, all_updates=True)\n"
            "    await asyncio.wait_for(done.wait(), 50)\n"
            "    sub.close()\n"
            "    for (seconds, nanos), value, severity, status in seen[:20]:\n"
            "        print(int(seconds) * 10**9 + int(nanos), value, severity, status)\n"
            "aioca.run(main())\n"
        )
        lines = run_client(ioc, script, name).splitlines()
        theirs = [(int(t), float(v), int(sev), int(stat)) for t, v, sev, stat in (line.split() for line in lines)]
        assert len(theirs) == 20

        def ours() -> list[tuple[int, float, int, int]]:
            pieces = StoreReader(stand.archive).read(name, theirs[0][0], theirs[-1][0])
            return [
                (int(t), float(v), int(sev), int(stat))
                for p in pieces
                for t, v, sev, stat in zip(p.time_ns, p.values, p.severity, p.status, strict=True)
            ]

        wait_until(lambda: ours()[-1:] == theirs[-1:], TIMEOUT, "the same samples")
        assert ours() == theirs
        stand.stop()
