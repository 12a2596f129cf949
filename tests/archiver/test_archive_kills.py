"""A kill, or a full disk, at any step of the archive's whole life: tiers, renames, deletions, imports, retention."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from archive_faults import KilledError, full_at, killed_at
from archive_tools import columns_of, counted, flat

from archiver.config import ArchiverConfig
from archiver.store import Dbr, Samples, StoreReader, StoreWriter
from archiver.store.incoming import Importer
from archiver.store.verify import NOTE, verify

START = 1577836800 * 10**9
"""2020-01-01 UTC in ns."""

EXPECTED = {
    "A2": [*range(START + 1, START + 31), *range(START + 40, START + 42)],
    "C": [*range(START + 2, START + 32)],
}


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill takes nothing out of the page cache, so waiting for the disk shows nothing; and each log has its day."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    monkeypatch.setattr(os, "fdatasync", lambda fd: None)
    monkeypatch.setattr("archiver.store.convert.path_day", lambda path: 20000 + int(path.stem) // 2)


def opened_with_tiers(folder: Path) -> StoreWriter:
    config = ArchiverConfig.model_validate(
        {"tiers": {"days": {"place": "days"}, "months": {"place": str(folder.parent / f"{folder.name}-months")}}}
    )
    writer = StoreWriter(folder, config)
    writer.open()
    return writer


def life(writer: StoreWriter) -> None:
    """All that can happen to an archive. Done twice, or from any point on, it comes to the same."""
    ids = writer.registry.ids
    for part in range(3):
        names = {"A2" if "A2" in ids else "A": 1, "B": 1, "C": 2}
        given = writer.add_pvs(names)
        for name, shift in names.items():
            times = range(START + shift + 10 * part, START + shift + 10 * part + 10)
            writer.append(columns_of(Dbr.DOUBLE, [given[name]] * 10, times, [1.0] * 10))
        writer.sync()
        writer.roll()
        while writer.convert_next():
            pass
        if part == 1:
            while writer.compact_next(today=20100):
                pass
            if "A" in ids:
                writer.rename({"A": "A2"})
            writer.forget(["B"])
    while writer.compact_next(today=20001):
        pass
    importer = Importer(writer.layout.folder)
    times = np.array([START + 5, START + 40, START + 41])
    severity, status = (times % 4).astype("u1"), (times % 20).astype("u2")
    importer.add("A2", Samples(Dbr.DOUBLE, False, times, severity, status, np.ones(3)))
    importer.commit(timeout=0.0)
    while writer.compact_next(today=20100):
        pass


def finish(folder: Path) -> None:
    """After whatever happened: the life goes on, and what is there is what should be."""
    writer = opened_with_tiers(folder)
    life(writer)
    writer.forget(["B"])
    while writer.convert_next() or writer.compact_next(today=20100):
        pass
    reader = StoreReader(folder)
    assert reader.names() == ["A2", "C"]
    assert {name: [row[2] for row in flat(reader, name)] for name in EXPECTED} == EXPECTED
    received, accounted = counted(writer.manifest.totals)
    assert received == accounted
    assert writer.manifest.replaced == ()
    assert writer.manifest.forgotten == ()
    assert writer.manifest.quarantined == {}
    assert verify(folder).problems == []
    writer.close()
    for place in (folder / "days", folder.parent / f"{folder.name}-months", folder / "segments"):
        assert not list(place.rglob("*.part"))


def abandon(writer: StoreWriter) -> None:
    """What the kernel does for a killed process."""
    writer._folder_lock.release()
    writer.registry.close()
    if writer._log is not None:
        writer._log.close()


def test_killed_at_any_step(tmp_path: Path) -> None:
    step, crashed = 0, True
    while crashed:
        folder = tmp_path / f"{step}"
        writer = opened_with_tiers(folder)
        with suppress(KilledError), killed_at(step):
            life(writer)
            crashed = False
        abandon(writer)
        try:
            finish(folder)
        except BaseException as error:
            error.add_note(f"killed at step {step}")
            raise
        step += 7
    assert step > 300


def test_a_disk_that_is_full_at_any_step(tmp_path: Path) -> None:
    step, failed = 5, True
    while failed:
        folder = tmp_path / f"{step}"
        writer = opened_with_tiers(folder)
        with full_at(step) as done:
            for _ in range(5):
                with suppress(OSError):
                    life(writer)
                    break
        failed = len(done) > step
        # the same writer goes on: no restart is needed
        try:
            life(writer)
            writer.close()
            finish(folder)
        except BaseException as error:
            error.add_note(f"full at step {step}")
            raise
        step += 11
        if step > 2000:
            break
    assert step > 300


SCRIPT = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
import test_archive_kills as kills
import archiver.store.convert as convert
convert.path_day = lambda path: 20000 + int(path.stem) // 2
writer = kills.opened_with_tiers(Path({folder!r}))
print("ready", flush=True)
while True:
    kills.life(writer)
    print("round", flush=True)
"""


def test_a_process_that_is_killed_again_and_again(tmp_path: Path) -> None:
    """A real SIGKILL at random times, with the real disk."""
    folder = tmp_path / "archive"
    rng = random.Random(1)
    script = SCRIPT.format(path=[str(Path(__file__).parent), *sys.path], folder=str(folder))
    for _ in range(12):
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None and process.stderr is not None
        with process.stdout, process.stderr:
            assert process.stdout.readline() == b"ready\n", process.stderr.read().decode()
            # in the first round most is written, later ones find it done
            for _ in range(rng.randrange(2)):
                process.stdout.readline()
            with suppress(subprocess.TimeoutExpired):
                process.wait(rng.uniform(0.0, 0.8))
            process.send_signal(signal.SIGKILL)
            process.wait()
        report = verify(folder)
        assert [p for p in report.problems if p.severity not in (NOTE, "warning") and "torn" not in p.what] == []
    finish(folder)
