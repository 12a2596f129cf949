"""A kill at any instant: between any two steps on the disk, and with half a write. Nothing is lost or doubled."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archive_faults import KilledError, killed_at
from archive_tools import columns_of, counted, flat, opened

from archiver.store import Dbr, StoreError, StoreReader, StoreWriter
from archiver.store import files as store_files
from archiver.store.events import STOPPED
from archiver.store.verify import verify


def abandon(writer: StoreWriter) -> None:
    """What the kernel does for a killed process: its files are closed, its lock is gone."""
    writer._folder_lock.release()
    writer.registry.close()
    if writer._log is not None:
        writer._log.close()


def session(writer: StoreWriter, round_number: int) -> int:
    """One engine's life, with everything in it; returns how many samples were synced for sure by then."""
    names = [f"PV{i}" for i in range(3)]
    ids = writer.add_pvs([*names, f"NEW{round_number}"])
    for part in range(3):
        base = 1000 * round_number + 100 * part
        for i, name in enumerate(names):
            writer.append(columns_of(Dbr.DOUBLE, [ids[name]] * 4, range(base + 1, base + 5), [base + i] * 4))
        writer.append(columns_of(Dbr.STRING, [ids["PV0"]], [base + 50], ["text"]))
        writer.append_drops({"future": part})
        writer.sync()
        writer.roll()
    while writer.convert_next():
        pass
    while writer.compact_next(today=10**6):
        pass
    return 39


@pytest.fixture
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill takes nothing out of the page cache, so waiting for the disk shows nothing."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    monkeypatch.setattr(os, "fdatasync", lambda fd: None)


@pytest.mark.usefixtures("quick_disk")
def test_killed_between_any_two_steps(tmp_path: Path) -> None:
    step = 0
    while True:
        folder = tmp_path / str(step)
        writer = opened(folder)
        session(writer, 0)
        before = {name: flat(StoreReader(folder), name) for name in ("PV0", "PV1", "PV2")}
        crashed = True
        with suppress(KilledError), killed_at(step):
            session(writer, 1)
            crashed = False
        abandon(writer)
        writer = opened(folder)
        reader = StoreReader(folder)
        seen = {name: flat(reader, name) for name in before}
        for name, rows in before.items():
            assert seen[name][: len(rows)] == rows, f"step {step}: what was stored has changed"
        # whatever came through is whole and in order; converting and merging changes nothing that a reader sees
        while writer.convert_next():
            pass
        while writer.compact_next(today=10**6 + 1):
            pass
        assert {name: flat(reader, name) for name in before} == seen, f"step {step}"
        received, accounted = counted(reader.totals())
        assert received == accounted, f"step {step}"
        assert reader.totals()["stored"] == sum(len(rows) for rows in seen.values()), f"step {step}"
        # nothing is left lying about
        known = {name for s in writer.manifest.segments for name in s.files}
        lying = {f"{p.parent.name}/{p.name}" for p in (folder / "segments").glob("*/*")}
        assert lying == known, f"step {step}"
        assert not list((folder / "quarantine").glob("*parquet*")), f"step {step}"
        assert verify(folder).problems == [], f"step {step}"
        assert not list(folder.glob("**/*.part")), f"step {step}"
        assert len(list(folder.glob("channels-*.npy"))) <= 1
        # and it goes on
        session(writer, 2)
        after = {name: flat(reader, name) for name in before}
        assert all(after[name][: len(seen[name])] == seen[name] for name in before)
        assert sum(len(after[name]) - len(seen[name]) for name in before) == 39
        writer.close()
        if not crashed:
            break
        # every step up to the first conversion, then some: conversions and merges repeat the same ones
        step += 1 if step < 40 else 11
    assert step > 100


def test_a_synced_sample_survives_whatever_follows(tmp_path: Path) -> None:
    writer = opened(tmp_path)
    pv = writer.add_pvs(["A"])["A"]
    writer.append(columns_of(Dbr.DOUBLE, [pv], [1], [1.0]))
    writer.sync()
    path = writer.layout.log(1)
    synced = path.stat().st_size
    writer.append(columns_of(Dbr.DOUBLE, [pv] * 3, [2, 3, 4], [2.0, 3.0, 4.0]))
    writer.append_drops({"future": 2})
    abandon(writer)
    data = path.read_bytes()
    for cut in range(synced, len(data)):
        path.write_bytes(data[:cut])
        reader = StoreReader(tmp_path)
        times = [row[2] for row in flat(reader, "A")]
        assert times in ([1], [1, 2, 3, 4]), cut
        reader.close()


@pytest.mark.parametrize("damage", ["cut", "flip", "foreign"])
def test_a_damaged_log_is_set_aside_and_counted(tmp_path: Path, damage: str) -> None:
    writer = opened(tmp_path)
    pv = writer.add_pvs(["A"])["A"]
    for i in range(5):
        writer.append(columns_of(Dbr.DOUBLE, [pv] * 2, [10 * i + 1, 10 * i + 2], [1.0, 2.0]))
    writer.append_drops({"overflow": 4})
    abandon(writer)
    path = writer.layout.log(1)
    data = bytearray(path.read_bytes())
    if damage == "cut":
        del data[-1200:]
        data += b"\0" * 100
    elif damage == "flip":
        data[len(data) // 2] ^= 1
    else:
        data[:] = np.random.default_rng(1).bytes(5000)
    path.write_bytes(data)
    writer = opened(tmp_path)
    assert writer.convert_next()
    reader = StoreReader(tmp_path)
    totals = reader.totals()
    received, accounted = counted(totals)
    assert received == accounted
    found = len(flat(reader, "A"))
    assert found == totals["stored"]
    if damage == "flip":
        # the counters behind the damage say what was there
        assert (received, found, totals["dropped.damaged"], totals["dropped.overflow"]) == (14, 8, 2, 4)
    aside = sum(p.stat().st_size for p in (tmp_path / "quarantine").iterdir())
    assert aside == totals["damaged_bytes"] > 0
    assert not path.exists()
    writer.close()


def test_a_torn_registry_is_mended(tmp_path: Path) -> None:
    writer = opened(tmp_path)
    ids = writer.add_pvs(["A"])
    writer.append(columns_of(Dbr.DOUBLE, [ids["A"]], [1], [1.0]))
    whole = (tmp_path / "registry.log").read_bytes()
    writer.add_pvs(["B"])
    torn = (tmp_path / "registry.log").read_bytes()[:-5]
    abandon(writer)
    (tmp_path / "registry.log").write_bytes(torn)
    assert StoreReader(tmp_path).names() == ["A"]
    writer = opened(tmp_path)
    assert writer.registry.ids == {"A": ids["A"]}
    assert (tmp_path / "registry.log").read_bytes() == whole
    assert writer.add_pvs(["C"])["C"] > ids["A"]
    assert flat(StoreReader(tmp_path), "A") == [(Dbr.DOUBLE, False, 1, 1.0)]
    writer.close()


def test_the_end_of_a_killed_engine_is_known(tmp_path: Path) -> None:
    writer = opened(tmp_path)
    assert writer.crashed_ns is None
    writer.append_events(np.array([0]), np.array([5]), np.array([3]))
    abandon(writer)
    writer = opened(tmp_path)
    assert writer.crashed_ns == writer.layout.log(1).stat().st_mtime_ns
    writer.append_events(np.array([0]), np.array([9]), np.array([STOPPED]))
    writer.close()
    writer = opened(tmp_path)
    assert writer.crashed_ns is None
    writer.close()


def test_a_full_disk_leaves_no_half_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = opened(tmp_path)
    pv = writer.add_pvs(["A"])["A"]
    writer.append(columns_of(Dbr.DOUBLE, [pv], [1], [1.0]))
    real = os.pwritev

    def full(fd: int, views: list[Any], offset: int) -> int:
        if offset >= size + 30:
            raise OSError(28, "No space left on device")
        return real(fd, [b"".join(bytes(v) for v in views)[:30]], offset)

    size = writer.log_size
    monkeypatch.setattr(store_files.os, "pwritev", full)
    for _ in range(3):
        with pytest.raises(OSError, match="No space left"):
            writer.append(columns_of(Dbr.DOUBLE, [pv], [2], [2.0]))
        assert writer.layout.log(1).stat().st_size == size
    monkeypatch.undo()
    writer.append(columns_of(Dbr.DOUBLE, [pv], [3], [3.0]))
    assert [row[2] for row in flat(StoreReader(tmp_path), "A")] == [1, 3]
    writer.close()


def test_a_conversion_that_fails_can_be_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = opened(tmp_path)
    pv = writer.add_pvs(["A"])["A"]
    writer.append(columns_of(Dbr.DOUBLE, [pv], [1], [1.0]))
    writer.roll()

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for _ in range(2):
        with pytest.raises(OSError, match="No space left"):
            writer.convert_next()
    monkeypatch.undo()
    assert flat(StoreReader(tmp_path), "A") == [(Dbr.DOUBLE, False, 1, 1.0)]
    assert writer.convert_next()
    assert flat(StoreReader(tmp_path), "A") == [(Dbr.DOUBLE, False, 1, 1.0)]
    assert counted(writer.manifest.totals) == (1, 1)
    writer.close()


def test_no_folder_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        opened(tmp_path / "file" / "archive")


def test_a_file_in_the_place_of_the_next_log_stays_and_costs_nothing(tmp_path: Path) -> None:
    writer = opened(tmp_path)
    pv = writer.add_pvs(["A"])["A"]
    strange = writer.layout.log(1)
    strange.write_bytes(b"foreign")
    with pytest.raises(FileExistsError):
        writer.append(columns_of(Dbr.DOUBLE, [pv], [1], [1.0]))
    # the recorder tries again
    writer.append(columns_of(Dbr.DOUBLE, [pv], [1], [1.0]))
    assert strange.read_bytes() == b"foreign"
    assert [row[2] for row in flat(StoreReader(tmp_path), "A")] == [1]
    writer.close()
