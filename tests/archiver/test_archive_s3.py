"""Segments in an object store: a real S3 server, killed and brought back while the archive goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from archive_tools import columns_of, counted, flat
from s3_server import S3Server, s3

from archiver.config import ArchiverConfig
from archiver.store import Dbr, StoreError, StoreReader, StoreWriter
from archiver.store.files import Layout
from archiver.store.mirror import Mirror
from archiver.store.places import MARKER, PlaceError
from archiver.store.verify import verify

__all__ = ["s3"]

TODAY = 10**6
"""A day long after everything here."""


@pytest.fixture(autouse=True)
def no_mirror_is_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no longer published is deleted at once."""
    monkeypatch.setattr("archiver.store.moves.LINGER", 0.0)


def config_of(s3: S3Server, tier: str = "days") -> ArchiverConfig:
    return ArchiverConfig.model_validate({"tiers": {tier: {"place": s3.url()}}, "cache": 64})


@contextmanager
def writing(folder: Path, config: ArchiverConfig) -> Iterator[StoreWriter]:
    writer = StoreWriter(folder, config)
    writer.upkeep.moves.mover.retry = 0.2
    writer.open()
    try:
        yield writer
    finally:
        writer.close()


def fill(writer: StoreWriter, rounds: int, first: int = 0, pvs: int = 3) -> None:
    """One log a round, each of them becomes segments."""
    names = [f"PV{i}" for i in range(pvs)]
    ids = writer.add_pvs(names)
    for number in range(first, first + rounds):
        for place, name in enumerate(names):
            times = [1000 * number + 1 + i for i in range(50)]
            writer.append(columns_of(Dbr.DOUBLE, [ids[name]] * 50, times, [t + place for t in times]))
        writer.append(columns_of(Dbr.STRING, [ids["PV0"]], [1000 * number + 500], [f"text {number}"]))
        writer.roll()
        while writer.convert_next():
            pass


def settle(writer: StoreWriter, done: Callable[[], bool], today: int = TODAY) -> None:
    """Let compaction and the mover work until `done`."""
    end = time.monotonic() + 120
    while not done():
        if not writer.compact_next(today=today):
            time.sleep(0.02)
        assert time.monotonic() < end, (writer.upkeep.problem(), writer.manifest)


def moved(writer: StoreWriter, place: str) -> Callable[[], bool]:
    return lambda: (
        bool(writer.manifest.segments)
        and all(s.place == place for s in writer.manifest.segments)
        and not writer.manifest.replaced
    )


def test_days_go_to_the_store_and_are_read_from_there(s3: S3Server, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    with writing(folder, config_of(s3)) as writer:
        fill(writer, 6)
        expected = {name: flat(StoreReader(folder), name) for name in ("PV0", "PV1", "PV2")}
        settle(writer, moved(writer, s3.url()), today=writer.manifest.segments[0].day + 1)
        assert {s.tier for s in writer.manifest.segments} == {"days"}
        assert all(s.checksum and s.level == 2 for s in writer.manifest.segments)
        assert list((folder / "segments").glob("*/*")) == []
        known = {name for s in writer.manifest.segments for name in s.files}
        assert known <= set(s3.files())
        reader = StoreReader(folder)
        assert {name: flat(reader, name) for name in expected} == expected
        assert [row[2] for row in flat(reader, "PV1", 2025, 2027)] == [2025, 2026, 2027]
        report = verify(folder, config_of(s3))
        assert report.problems == [] and report.samples == 6 * 151
        # it goes on: more days beside those, and merges into months of what is there
        fill(writer, 2, first=6)
        settle(writer, lambda: {s.tier for s in writer.manifest.segments} == {"months"})
        settle(writer, lambda: not writer.manifest.replaced)
        assert {name: len(flat(StoreReader(folder), name)) for name in expected} == {"PV0": 408, "PV1": 400, "PV2": 400}
        assert verify(folder, config_of(s3)).ok
    left = set(s3.files()) - {name for s in writer.manifest.segments if s.place for name in s.files}
    assert left <= {MARKER, "manifest.json", "registry.log", *(n for n in left if n.startswith("channels-"))}


def test_what_lies_in_the_store_comes_back_when_the_site_file_says_so(s3: S3Server, tmp_path: Path) -> None:
    folder, disk = tmp_path / "archive", tmp_path / "disk"
    with writing(folder, config_of(s3)) as writer:
        fill(writer, 3)
        today = writer.manifest.segments[0].day + 1
        settle(writer, moved(writer, s3.url()), today)
    config = ArchiverConfig.model_validate({"tiers": {"days": {"place": str(disk)}}})
    with writing(folder, config) as writer:
        settle(writer, moved(writer, str(disk)), today)
        settle(writer, lambda: not any(name.endswith(".parquet") for name in s3.files()), today)
        assert len(flat(StoreReader(folder), "PV1")) == 150
        assert verify(folder, config).ok
        assert not (folder / "cache" / "moving").exists()
    with writing(folder, config_of(s3)) as writer:
        settle(writer, moved(writer, s3.url()), today)
        assert len(flat(StoreReader(folder), "PV1")) == 150
        assert not list(disk.glob("*/*"))


def test_the_server_is_killed_while_segments_go_there(s3: S3Server, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    with writing(folder, config_of(s3)) as writer:
        first = 0
        for round_number in range(4):
            fill(writer, 3, first)
            first += 3
            today = writer.manifest.segments[0].day + 1
            # one more step each time before the power goes
            for _ in range(2 * round_number + 1):
                writer.compact_next(today=today)
                time.sleep(0.02 * round_number)
            s3.kill()
            fill(writer, 1, first)
            first += 1
            for _ in range(20):
                writer.compact_next(today=today)
            settle(writer, lambda: bool(writer.upkeep.problem()) or not writer.upkeep.moves.mover.waiting, today)
            assert writer.pending_logs() == 0
            s3.start()
            settle(writer, moved(writer, s3.url()), today)
            assert writer.upkeep.problem() == {}
        reader = StoreReader(folder)
        for place, name in enumerate(("PV0", "PV1", "PV2")):
            rows = [row for row in flat(reader, name) if row[0] is Dbr.DOUBLE]
            expected = [1000 * n + 1 + i for n in range(first) for i in range(50)]
            assert [row[2] for row in rows] == expected
            assert [row[3] for row in rows] == [t + place for t in expected]
        assert counted(writer.manifest.totals) == (151 * first, 151 * first)
        assert verify(folder, config_of(s3)).ok


def test_a_store_that_is_away_is_an_error_for_what_lies_there_alone(s3: S3Server, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    with writing(folder, config_of(s3)) as writer:
        fill(writer, 3)
        settle(writer, moved(writer, s3.url()), today=writer.manifest.segments[0].day + 1)
        new = writer.add_pvs(["NEW"])["NEW"]
        writer.append(columns_of(Dbr.DOUBLE, [new], [7], [7.0]))
        writer.roll()
        assert writer.convert_next()
        warm = StoreReader(folder)
        assert len(flat(warm, "PV1")) == 150
        s3.kill()
        # what the cache has is read on
        again = StoreReader(folder)
        assert len(flat(again, "PV1")) == 150
        for path in sorted((folder / "cache").rglob("*")):
            if path.is_file():
                path.unlink()
        cold = StoreReader(folder)
        with pytest.raises(StoreError):
            flat(cold, "PV1")
        assert [row[2] for row in flat(cold, "NEW")] == [7]
        assert cold.damaged == {}
        # nothing is taken for damaged because the store is away
        for _ in range(5):
            writer.compact_next(today=TODAY)
        assert writer.manifest.quarantined == {}
        report = verify(folder, config_of(s3))
        assert any("doesn't answer" in problem.what for problem in report.problems)
        s3.start()
        assert len(flat(cold, "PV1")) == 150


def test_another_host_serves_from_the_bucket_alone(s3: S3Server, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    with writing(folder, config_of(s3)) as writer:
        mirror = Mirror(s3.url(), tmp_path / "elsewhere", 64 << 20)
        with pytest.raises(PlaceError, match=r"nothing is published|no place"):
            mirror.refresh()
        fill(writer, 3)
        writer.describe({writer.registry.ids["PV1"]: {"EGU": "mbar"}})
        today = writer.manifest.segments[0].day + 1
        settle(writer, moved(writer, s3.url()), today)
        settle(writer, lambda: "manifest.json" in s3.files(), today)
        expected = {name: flat(StoreReader(folder), name) for name in ("PV0", "PV1", "PV2")}
        settle(writer, lambda: _refreshed(mirror, len(writer.manifest.segments)), today)
        reader = StoreReader(mirror.folder)
        assert {name: flat(reader, name) for name in expected} == expected
        info = reader.info("PV1")
        assert info is not None and info.metadata["EGU"] == "mbar" and info.last_ns == 2050
        # what comes later is seen there without a new reader
        fill(writer, 2, first=3)
        settle(writer, moved(writer, s3.url()), today)
        settle(writer, lambda: _refreshed(mirror, len(writer.manifest.segments)), today)
        assert len(flat(reader, "PV1")) == 250
        settle(writer, lambda: not mirror.refresh(), today)
        s3.kill()
        with pytest.raises(PlaceError):
            mirror.refresh()
        assert len(flat(reader, "PV1")) == 250


def _refreshed(mirror: Mirror, segments: int) -> bool:
    mirror.refresh()
    return (mirror.folder / "manifest.json").read_bytes().count(b'"first_log"') == segments + 1


def test_a_place_of_another_archive_is_left_alone(s3: S3Server, tmp_path: Path) -> None:
    config = config_of(s3)
    with writing(tmp_path / "two", config) as two:
        with writing(tmp_path / "one", config) as one:
            fill(one, 2)
            today = one.manifest.segments[0].day + 1
            settle(one, moved(one, s3.url()), today)
            settle(one, lambda: "manifest.json" in s3.files(), today)
        # the first is closed: from here on nobody but the second could write there
        before = s3.files()
        fill(two, 2)
        settle(two, lambda: bool(two.upkeep.problem()), today)
        assert "belongs to another archive" in two.upkeep.problem()[s3.url()]
        assert s3.files() == before
        assert len(flat(StoreReader(tmp_path / "two"), "PV1")) == 100


def test_wrong_credentials_leave_everything_here(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with writing(tmp_path / "archive", config_of(s3)) as writer:
        fill(writer, 2)
        today = writer.manifest.segments[0].day + 1
        settle(writer, lambda: bool(writer.upkeep.problem()), today)
        assert "doesn't answer" in writer.upkeep.problem()[s3.url()]
        assert len(flat(StoreReader(tmp_path / "archive"), "PV1")) == 100
    assert s3.files() == []
    for url in ("s3://?scheme=http", "s3://bucket/x?nonsense=1", "s3://user:secret@bucket/x", "what://is/this"):
        with pytest.raises(PlaceError):
            Layout(tmp_path / "other").place(url)


def test_the_cache_keeps_to_its_size_and_mends_itself(s3: S3Server, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "archive", 5 << 20)
    place = layout.place(s3.url())
    place.put_bytes(MARKER, b"{}")
    content = np.random.default_rng(1).bytes(9 << 20)
    (tmp_path / "file").write_bytes(content)
    place.put("double/x.parquet", tmp_path / "file")
    for _ in range(2):
        with place.open("double/x.parquet") as file:
            assert file.read() == content
            file.seek(3 << 20)
            assert file.read(100) == content[3 << 20 : (3 << 20) + 100]
    blocks = [path for path in (tmp_path / "archive" / "cache").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in blocks) <= 5 << 20
    for path in blocks:
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    with Layout(tmp_path / "archive", 5 << 20).place(s3.url()).open("double/x.parquet") as file:
        assert file.read() == content
    with place.open("double/x.parquet") as file:
        file.seek(0, 2)
        assert file.tell() == len(content)
        assert file.read() == b""
