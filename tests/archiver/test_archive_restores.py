"""Archives that come back from a copy, and segments that go to a place, are stopped on the way, and go there again."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from archive_tools import columns_of, flat, opened
from support import wait_until

from archiver.config import ArchiverConfig
from archiver.store import Dbr, StoreReader, StoreWriter, merge, moves
from archiver.store import mirror as mirror_module
from archiver.store.files import suspect
from archiver.store.mirror import Mirror
from archiver.store.verify import verify


def with_months(folder: Path, place: str | None) -> StoreWriter:
    writer = StoreWriter(folder, ArchiverConfig.model_validate({"tiers": {"months": {"place": place}}}))
    writer.open()
    return writer


def one_log(writer: StoreWriter, rows: dict[str, list[int]], dbr: Dbr = Dbr.DOUBLE) -> None:
    ids = writer.add_pvs(rows)
    for name, times in rows.items():
        writer.append(columns_of(dbr, [ids[name]] * len(times), times, times))
    writer.roll()
    assert writer.convert_next()


def compacted(writer: StoreWriter) -> None:
    for _ in range(200):
        if not writer.compact_next(today=40000):
            return
    raise AssertionError("compaction never ends")


def times_of(folder: Path, name: str) -> list[int]:
    return [row[2] for row in flat(StoreReader(folder), name)]


@pytest.mark.parametrize("merged", [False, True])
def test_a_copy_with_an_older_manifest_loses_nothing(tmp_path: Path, merged: bool) -> None:
    """The manifest is copied first, and the segments later, as a backup of a running archive does."""
    archive, copy = tmp_path / "archive", tmp_path / "copy"
    writer = opened(archive)
    one_log(writer, {"A": [1, 2]})
    one_log(writer, {"A": [3, 4]})
    shutil.copytree(archive, copy)
    one_log(writer, {"A": [5, 6]})
    if merged:
        compacted(writer)
    writer.close()
    for path in [copy / "segments", copy / "wal"]:
        shutil.rmtree(path)
        shutil.copytree(archive / path.name, path)
    writer = opened(copy)
    # what the manifest doesn't know is put aside, never deleted: the only copies of samples may be in it
    assert writer.manifest.quarantined
    writer.close()
    there = list((copy / "segments").rglob("*.parquet")) + list((copy / "quarantine").glob("*.parquet"))
    assert len(there) == (1 if merged else 3)


@pytest.fixture(autouse=True)
def no_mirror_is_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no longer published is deleted at once."""
    monkeypatch.setattr(moves, "LINGER", 0.0)


def settled(writer: StoreWriter, done: Callable[[], bool]) -> None:
    """Let compaction and the mover work until `done`; what is away is asked again at once."""
    writer.upkeep.moves.mover.retry = 0.01

    def step() -> bool:
        writer.compact_next(today=40000)
        return done()

    wait_until(step, 60, "the moves")


def test_a_segment_that_goes_again_to_a_place_that_was_away_stays_there(tmp_path: Path) -> None:
    """What an attempt left in the place is to be deleted, until the segment goes there once more."""
    folder, disk = tmp_path / "archive", tmp_path / "disk"
    place = f"file://{disk}"
    writer = with_months(folder, place)
    one_log(writer, {"A": [1, 2]})
    settled(writer, lambda: [s.place for s in writer.manifest.segments] == [place])
    one_log(writer, {"B": [1, 2]}, Dbr.LONG)
    # the place goes away while a segment is on its way there, and meanwhile the segment is to stay
    disk.rename(tmp_path / "away")
    settled(writer, lambda: [spec for spec, _ in writer.manifest.moving] == [place])
    settled(writer, lambda: place in writer.upkeep.problem())
    (segment,) = [s for s in writer.manifest.segments if not s.place]
    later = writer.upkeep.moves._later
    later[segment.name] = time.monotonic() + 1000
    settled(writer, lambda: (place, segment.name) in writer.manifest.replaced)
    later.clear()
    (tmp_path / "away").rename(disk)
    settled(writer, lambda: [s.place for s in writer.manifest.segments] == [place] * 2)
    settled(writer, lambda: not writer.manifest.replaced and not writer.upkeep.moves.mover.busy)
    assert times_of(folder, "A") == times_of(folder, "B") == [1, 2]
    assert verify(folder, ArchiverConfig.model_validate({"tiers": {"months": {"place": place}}})).problems == []
    writer.close()


def test_a_mirror_follows_while_something_new_is_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, disk = tmp_path / "archive", tmp_path / "disk"
    place = f"file://{disk}"
    writer = with_months(folder, place)
    for number, name in enumerate("AB"):
        one_log(writer, {name: [1, 2]}, [Dbr.LONG, Dbr.DOUBLE][number])
        settled(writer, lambda: {s.place for s in writer.manifest.segments} == {place})
        settled(writer, lambda: not writer.upkeep.moves.mover.busy)
        if number == 0:
            shutil.copytree(disk, tmp_path / "before")
    writer.close()
    mirror = Mirror(place, tmp_path / "mirror")
    real = mirror_module.parse_manifest
    before = (tmp_path / "before" / "manifest.json").read_bytes()
    contents = iter([before])
    monkeypatch.setattr(mirror_module, "parse_manifest", lambda data, source: real(next(contents, data), source))
    # the manifest is read, and then the table of channels that it names is replaced
    assert mirror.refresh()
    assert times_of(mirror.folder, "A") == times_of(mirror.folder, "B") == [1, 2]


def test_a_store_that_does_something_unheard_of_is_away_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, place = tmp_path / "archive", f"file://{tmp_path / 'disk'}"
    writer = with_months(folder, place)

    def strange(*args: object) -> None:
        raise UnicodeError("label too long")

    with monkeypatch.context() as patch:
        patch.setattr("archiver.store.places.LocalPlace.put", strange)
        one_log(writer, {"A": [1, 2]})
        settled(writer, lambda: "label too long" in writer.upkeep.problem().get(place, ""))
    settled(writer, lambda: [s.place for s in writer.manifest.segments] == [place])
    settled(writer, lambda: writer.upkeep.problem() == {})
    assert times_of(folder, "A") == [1, 2]
    writer.close()


def test_a_note_about_damage_that_is_somebody_elses_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retrieval may run as another user than the engine."""
    writer = opened(tmp_path)
    one_log(writer, {"A": [1, 2]})
    suspect(writer.layout, writer.manifest.segments[0].name, "it couldn't be read")
    real = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if path.parent.name == "suspects":
            raise PermissionError(13, "Permission denied", str(path))
        real(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    compacted(writer)
    assert [s.tier for s in writer.manifest.segments] == ["months"]
    writer.close()


def test_a_bad_sector_in_a_segment_holds_nothing_else_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = opened(tmp_path)
    for number in (1, 2):
        one_log(writer, {"A": [number]})
        one_log(writer, {"B": [number]}, Dbr.LONG)
    real = merge.Source.read

    def read(source: merge.Source, start: int, rows: int) -> object:
        if source.segment.kind == "double":
            raise OSError(5, "Input/output error")
        return real(source, start, rows)

    monkeypatch.setattr(merge.Source, "read", read)
    compacted(writer)
    assert sorted((s.kind, s.tier) for s in writer.manifest.segments if s.kind == "long") == [("long", "months")]
    assert times_of(tmp_path, "A") == times_of(tmp_path, "B") == [1, 2]
    writer.close()


def test_a_foreign_table_of_channels_is_no_reason_to_stop(tmp_path: Path) -> None:
    writer = opened(tmp_path)
    one_log(writer, {"A": [1, 2]})
    writer.close()
    (tmp_path / "manifest.json").unlink()
    (tmp_path / "channels-old.npy").write_bytes(b"copy")
    opened(tmp_path).close()
    assert times_of(tmp_path, "A") == [1, 2]


def test_a_mirror_reads_on_what_was_merged_since_it_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, place = tmp_path / "archive", f"file://{tmp_path / 'disk'}"
    writer = with_months(folder, place)
    one_log(writer, {"A": [1, 2]})
    settled(writer, lambda: [s.place for s in writer.manifest.segments] == [place])
    settled(writer, lambda: (tmp_path / "disk" / "manifest.json").exists())
    mirror = Mirror(place, tmp_path / "mirror")
    mirror.refresh()
    monkeypatch.setattr(moves, "LINGER", 1000.0)
    one_log(writer, {"A": [3, 4]})
    settled(writer, lambda: len(writer.manifest.segments) == 1 and writer.manifest.segments[0].rows == 4)
    settled(writer, lambda: [s.place for s in writer.manifest.segments] == [place])
    settled(writer, lambda: not writer.upkeep.moves.mover.busy)
    assert len(writer.manifest.replaced) > 0
    assert times_of(mirror.folder, "A") == [1, 2]
    mirror.refresh()
    assert times_of(mirror.folder, "A") == [1, 2, 3, 4]
    monkeypatch.setattr(moves, "LINGER", 0.0)
    settled(writer, lambda: not writer.manifest.replaced and not writer.upkeep.moves.mover.busy)
    assert times_of(mirror.folder, "A") == [1, 2, 3, 4]
    writer.close()


def test_a_reader_that_had_too_many_open_files_reads_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = opened(tmp_path)
    one_log(writer, {"A": [1, 2]})
    reader = StoreReader(tmp_path)

    def full(*args: object) -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr("archiver.store.view.SegmentFile", full)
        assert flat(reader, "A") == []
    assert len(reader.damaged) == 1
    assert not writer.upkeep.step(None, 0)
    one_log(writer, {"A": [3]})
    assert [row[2] for row in flat(reader, "A")] == [1, 2, 3]
    assert reader.damaged == {}
    writer.close()
