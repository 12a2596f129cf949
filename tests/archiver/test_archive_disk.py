"""A full disk, a log device that goes away, permissions taken: what can't be written waits, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from archive_tools import columns_of, counted, flat, opened

from archiver.store import Dbr, StoreReader, StoreWriter
from archiver.store.verify import verify


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder)], capture_output=True
        ).returncode
    ):
        pytest.skip("only root may mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def noise(writer: StoreWriter, first: int, count: int) -> None:
    pv = writer.registry.ids["A"]
    values = np.random.default_rng(first).normal(size=count)
    writer.append(columns_of(Dbr.DOUBLE, [pv] * count, range(first, first + count), values.tolist()))


def seen(folder: Path) -> list[int]:
    return [row[2] for row in flat(StoreReader(folder), "A")]


def test_a_full_disk_stops_writing_and_harms_nothing(small_disk: Path) -> None:
    folder = small_disk / "archive"
    writer = opened(folder)
    writer.add_pvs(["A"])
    count = 0
    for _ in range(4):
        noise(writer, count + 1, 5000)
        count += 5000
        writer.roll()
        assert writer.convert_next()
    noise(writer, count + 1, 5000)
    count += 5000
    writer.sync()
    writer.roll()
    # somebody else fills the disk
    ballast = small_disk / "ballast"
    with open(ballast, "wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(b"x" * 4096)
    steps: list[Callable[[], object]] = [
        lambda: noise(writer, count + 1, 5000),
        writer.convert_next,
        lambda: writer.compact_next(today=10**6),
        lambda: writer.describe({writer.registry.ids["A"]: {"DESC": "x" * 5000}}),
        lambda: writer.add_pvs([f"NEW{i}" for i in range(2000)]),
    ]
    refused = 0
    for step in steps:
        try:
            step()
        except OSError as error:
            assert error.errno == 28
            refused += 1
    assert refused == len(steps)
    assert seen(folder)[:count] == list(range(1, count + 1))
    report = verify(folder)
    assert [p for p in report.problems if p.severity == "error"] == []
    ballast.unlink()
    count = len(seen(folder))
    noise(writer, count + 1, 100)
    writer.roll()
    while writer.convert_next() or writer.compact_next(today=10**6):
        pass
    assert seen(folder) == list(range(1, count + 101))
    assert len(writer.manifest.segments) == 1
    assert counted(writer.manifest.totals) == (count + 100, count + 100)
    writer.close()
    assert verify(folder).problems == []


def test_a_log_that_is_deleted_is_written_anew(tmp_path: Path) -> None:
    writer = opened(tmp_path)
    writer.add_pvs(["A"])
    noise(writer, 1, 10)
    writer.sync()
    writer.layout.log(1).unlink()
    noise(writer, 11, 10)
    assert seen(tmp_path) == []
    writer.sync()
    assert seen(tmp_path) == list(range(1, 21))
    writer.roll()
    assert writer.convert_next()
    assert seen(tmp_path) == list(range(1, 21))
    assert counted(writer.manifest.totals) == (20, 20)
    writer.close()


def test_the_log_device_goes_away_and_comes_back_empty(tmp_path: Path) -> None:
    writer = opened(tmp_path)
    writer.add_pvs(["A"])
    noise(writer, 1, 10)
    writer.roll()
    noise(writer, 11, 10)
    writer.sync()
    shutil.rmtree(tmp_path / "wal")
    noise(writer, 21, 5)
    for _ in range(2):
        with pytest.raises(OSError, match="gone"):
            writer.sync()
        with pytest.raises(OSError):
            writer.convert_next()
    (tmp_path / "wal").mkdir()
    # the present log is whole again; the ended one is lost for good, and is counted
    writer.sync()
    assert seen(tmp_path) == list(range(11, 26))
    assert writer.convert_next()
    assert writer.manifest.totals["dropped.damaged"] == 10
    writer.roll()
    assert writer.convert_next()
    assert seen(tmp_path) == list(range(11, 26))
    assert counted(writer.manifest.totals) == (25, 25)
    writer.close()
    assert verify(tmp_path).problems == []


def test_the_log_device_goes_away_and_comes_back_as_it_was(tmp_path: Path) -> None:
    writer = opened(tmp_path)
    writer.add_pvs(["A"])
    noise(writer, 1, 10)
    writer.roll()
    noise(writer, 11, 10)
    writer.sync()
    (tmp_path / "wal").rename(tmp_path / "away")
    noise(writer, 21, 5)
    with pytest.raises(OSError):
        writer.sync()
    with pytest.raises(OSError):
        writer.convert_next()
    (tmp_path / "away").rename(tmp_path / "wal")
    writer.sync()
    writer.roll()
    while writer.convert_next():
        pass
    assert seen(tmp_path) == list(range(1, 26))
    assert counted(writer.manifest.totals) == (25, 25)
    writer.close()


PERMISSIONS = """
import os, sys
sys.path[:0] = {path!r}
from pathlib import Path
import pyarrow.compute, pyarrow.parquet, pydoc
import test_archive_disk as disk
# what is needed is imported: from here on Python's own files may be out of reach
os.setgid(65534); os.setuid(65534)
disk.without_permission(Path({folder!r}))
"""


def without_permission(folder: Path) -> None:
    """Run by somebody who isn't root."""
    writer = opened(folder)
    writer.add_pvs(["A"])
    noise(writer, 1, 10)
    writer.roll()
    noise(writer, 11, 10)
    writer.sync()
    writer.roll()
    names = ("wal", "segments", "")
    for name in names:
        (folder / name).chmod(0o500)
    refused = 0
    for step in (lambda: noise(writer, 21, 10), writer.convert_next, lambda: writer.compact_next(today=10**6)):
        try:
            step()
        except OSError as error:
            assert error.errno == 13
            refused += 1
    assert refused == 2
    assert seen(folder) == list(range(1, 21))
    for name in reversed(names):
        (folder / name).chmod(0o700)
    noise(writer, 21, 10)
    writer.roll()
    while writer.convert_next() or writer.compact_next(today=10**6):
        pass
    assert seen(folder) == list(range(1, 31))
    assert counted(writer.manifest.totals) == (30, 30)
    writer.close()
    assert verify(folder).problems == []
    print("well")


def test_permissions_that_are_taken_and_given_back(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        without_permission(tmp_path / "archive")
        return
    # root may write everywhere: let somebody else try
    folder = Path(tempfile.mkdtemp(prefix="owlshift-"))
    try:
        os.chown(folder, 65534, 65534)
        script = PERMISSIONS.format(path=[str(Path(__file__).parent), *sys.path], folder=str(folder))
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100, cwd="/")
        assert done.stdout == "well\n", done.stderr
    finally:
        shutil.rmtree(folder)
