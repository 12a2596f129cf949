"""Damage of every kind: named by verify, put aside at the start, mended where it can be; and rebuilt from the files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from archive_tools import columns_of, flat, opened

from archiver.config import ArchiverConfig
from archiver.store import Dbr, StoreError, StoreReader, StoreWriter
from archiver.store.files import suspect
from archiver.store.manifest import load_manifest
from archiver.store.rebuild import rebuild_manifest
from archiver.store.verify import ERROR, NOTE, WARNING, verify


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A month of double and string samples merged, a day, logs of today, and a log that is in no segment."""
    folder = tmp_path / "archive"
    day = [20000]
    monkeypatch.setattr("archiver.store.convert.path_day", lambda path: day[0])
    writer = opened(folder)
    ids = writer.add_pvs(["A", "B", "C"])
    at = 0
    for number in range(8):
        day[0] = (20000, 20000, 20001, 20040, 20040, 20041, 20041, 20041)[number]
        for name in ("A", "B"):
            times = [at + 10**9 * i + 1 for i in range(200)]
            writer.append(columns_of(Dbr.DOUBLE, [ids[name]] * 200, times, [t / 7 for t in times]))
        writer.append(columns_of(Dbr.STRING, [ids["C"]] * 2, [at + 1, at + 2], ["x", "y"]))
        at += 10**9 * 200
        writer.roll()
        assert writer.convert_next()
        while writer.compact_next(today=day[0]):
            pass
    writer.append(columns_of(Dbr.DOUBLE, [ids["A"]] * 2, [at + 1, at + 2], [1.0, 2.0]))
    writer.close()
    return folder


def found(folder: Path, deep: bool = True) -> list[tuple[str, str]]:
    return [(severity, file) for severity, file, _ in verify(folder, deep=deep).problems]


def content(folder: Path) -> dict[str, list[tuple]]:
    return {name: flat(StoreReader(folder), name) for name in ("A", "B", "C")}


def test_a_sound_archive_has_no_problem(archive: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    report = verify(archive, progress=lambda *step: seen.append(step))
    assert report.problems == [] and report.ok
    assert report.samples == 8 * 402
    assert len(seen) == report.segments == len(load_manifest(archive / "manifest.json").segments)
    assert report.logs == 1
    assert {s.tier for s in load_manifest(archive / "manifest.json").segments} == {"minutes", "days", "months"}
    assert verify(archive, deep=False).problems == []


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def foreign(path: Path) -> None:
    path.write_bytes(b"PAR1" + b"no parquet at all, but of some length" * 9 + b"PAR1")


DAMAGES: dict[str, Callable[[Path], None]] = {"flip": flip, "cut": cut, "foreign": foreign, "gone": Path.unlink}


def test_a_place_that_is_not_used_yet_is_no_error(archive: Path) -> None:
    report = verify(archive, ArchiverConfig.model_validate({"tiers": {"months": {"place": "bulk"}}}))
    assert report.ok
    assert [(severity, file) for severity, file, _ in report.problems] == [(NOTE, "bulk")]


def test_without_a_manifest_that_alone_is_named(archive: Path) -> None:
    (archive / "manifest.json").unlink()
    assert [(severity, file) for severity, file, _ in verify(archive).problems] == [(ERROR, "manifest.json")]


def test_a_folder_without_an_archive_is_not_well(tmp_path: Path) -> None:
    report = verify(tmp_path)
    assert not report.ok
    assert [(severity, file) for severity, file, _ in report.problems] == [(ERROR, ".")]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("ending", [".parquet", ".index.npy", ".minute.parquet", ".hour.parquet"])
def test_every_damaged_file_is_named(archive: Path, damage: str, ending: str) -> None:
    segment = load_manifest(archive / "manifest.json").segments[0]
    assert segment.tier == "months" and segment.kind == "double"
    name = segment.stem + ending
    DAMAGES[damage](archive / "segments" / name)
    assert found(archive)[0] == (ERROR if ending == ".parquet" else WARNING, name)
    if damage != "flip":
        assert found(archive, deep=False)[0][1] == name
    # an engine that starts puts it aside or mends it; what lies elsewhere isn't touched
    before = {s.name for s in load_manifest(archive / "manifest.json").segments}
    writer = opened(archive)
    if damage == "flip":
        # only the checksum tells: a reader that stumbles over it leaves word
        suspect(writer.layout, segment.name, "test")
        while writer.compact_next(today=20041):
            pass
    after = {s.name for s in writer.manifest.segments}
    if ending == ".parquet":
        assert before - after == {segment.name}
        assert list(writer.manifest.quarantined) == [segment.name]
        if damage != "gone":
            assert list((archive / "quarantine").glob("*.parquet"))
    else:
        assert after == before
    assert [row[2] for row in content(archive)["C"]] == sorted({row[2] for row in content(archive)["C"]})
    assert len(content(archive)["A"]) == (1602 if ending != ".parquet" else 1602 - segment.rows // 2)
    writer.close()
    report = verify(archive)
    assert report.ok, report.problems
    assert [p.severity for p in report.problems] == ([NOTE] if ending == ".parquet" else [])


def test_strange_files_are_named_and_put_aside(archive: Path) -> None:
    strange = ["segments/double/x.parquet", "segments/readme.txt", "segments/new/a.parquet", "wal/notes.txt"]
    for name in strange:
        (archive / name).parent.mkdir(exist_ok=True)
        (archive / name).write_bytes(b"foreign")
    copy = load_manifest(archive / "manifest.json").segments[0]
    moved = archive / "segments" / copy.name.replace("-0000000001-", "-0000000000-")
    shutil.copy(archive / "segments" / copy.name, moved)
    names = {file for _, file in found(archive)}
    assert names == {n.removeprefix("segments/") for n in strange} | {
        moved.relative_to(archive / "segments").as_posix()
    }
    before = content(archive)
    writer = opened(archive)
    assert content(archive) == before
    assert len(writer.manifest.quarantined) == 4
    assert len([p for p in (archive / "quarantine").iterdir() if p.is_file()]) == 4
    writer.close()


def test_a_torn_log_is_named(archive: Path) -> None:
    (log,) = (archive / "wal").iterdir()
    whole = log.read_bytes()
    log.write_bytes(whole[:-5])
    assert found(archive) == [(ERROR, f"wal/{log.name}")]
    log.unlink()
    (log.with_name("0000000011.log")).write_bytes(whole)
    assert {file for _, file in found(archive)} == {"wal/0000000009.log", "wal/0000000011.log"}


def test_a_registry_and_a_table_that_are_damaged(archive: Path) -> None:
    before = content(archive)
    manifest = load_manifest(archive / "manifest.json")
    table = archive / str(manifest.channels)
    channels = np.load(table)
    wrong = channels.copy()
    wrong["samples"][1] += 5
    np.save(table, wrong)
    assert found(archive) == [(WARNING, table.name)]
    for damage in (cut, foreign, Path.unlink):
        damage(table)
        assert found(archive)[0] == (ERROR, table.name)
        writer = opened(archive)
        table = archive / str(writer.manifest.channels)
        writer.close()
        assert np.array_equal(np.load(table)["samples"], channels["samples"])
        assert verify(archive).ok
    registry = archive / "registry.log"
    registry.write_bytes(registry.read_bytes()[:30])
    assert (ERROR, "registry.log") in found(archive)
    # the segments know the names
    writer = opened(archive)
    assert sorted(writer.registry.ids) == ["A", "B", "C"]
    assert content(archive) == before
    writer.close()


@pytest.mark.parametrize("manifest", ["kept", "lost", "torn"])
def test_the_manifest_is_made_again_from_the_files(archive: Path, manifest: str) -> None:
    before = content(archive)
    old = load_manifest(archive / "manifest.json")
    path = archive / "manifest.json"
    if manifest == "lost":
        path.unlink()
    elif manifest == "torn":
        path.write_bytes(path.read_bytes()[:-50])
    made = rebuild_manifest(archive)
    assert [s.name for s in made.segments if s.kind == "double"] == [s.name for s in old.segments if s.kind == "double"]
    assert {(s.name, s.checksum, s.tier, s.level, s.rows, s.oldest, s.newest) for s in made.segments} == {
        (s.name, s.checksum, s.tier, s.level, s.rows, s.oldest, s.newest) for s in old.segments
    }
    assert made.first_log == old.first_log and made.serial >= old.serial - 5
    assert content(archive) == before
    assert verify(archive).problems == []
    writer = opened(archive)
    while writer.convert_next() or writer.compact_next(today=20041):
        pass
    assert content(archive) == before
    assert verify(archive).problems == []
    writer.close()


def test_an_engine_without_a_manifest_makes_it_again(archive: Path) -> None:
    before = content(archive)
    (archive / "manifest.json").write_bytes(b'{"format": "owlshift-arch')
    with pytest.raises(StoreError):
        StoreReader(archive).totals()
    writer = opened(archive)
    assert content(archive) == before
    assert list((archive / "quarantine").glob("manifest-*.json"))
    writer.close()
    assert verify(archive).problems == []


@pytest.mark.parametrize("torn", [True, False])
def test_a_running_engine_writes_a_lost_manifest_with_its_next_segments(archive: Path, torn: bool) -> None:
    writer = opened(archive)
    before = content(archive)
    if torn:
        (archive / "manifest.json").write_bytes(b"rubbish")
    else:
        (archive / "manifest.json").unlink()
    assert not verify(archive).ok
    writer.roll()
    while writer.convert_next():
        pass
    assert content(archive) == before
    writer.close()
    assert verify(archive).problems == []


def test_a_rebuild_leaves_out_what_was_merged_and_what_a_log_has(archive: Path) -> None:
    before = content(archive)
    manifest = load_manifest(archive / "manifest.json")
    day = next(s for s in manifest.segments if s.tier == "days" and s.kind == "double")
    # a source of that merge whose deletion a crash prevented
    name = f"double/minutes-2024-11-13-{day.first_log:010d}-{day.first_log:010d}-00000001"
    for ending in (".parquet", ".index.npy"):
        shutil.copy(archive / "segments" / (day.stem + ending), archive / "segments" / (name + ending))
    (archive / "manifest.json").unlink()
    rebuild_manifest(archive)
    assert content(archive) == before
    writer = opened(archive)
    assert content(archive) == before
    writer.close()


def test_a_rebuild_waits_for_the_engine_to_end(archive: Path) -> None:
    writer = opened(archive)
    with pytest.raises(StoreError, match="in use"):
        rebuild_manifest(archive)
    writer.close()


def test_a_rebuild_with_places_and_without_a_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archiver.store.convert.path_day", lambda path: 20000)
    folder, place = tmp_path / "archive", tmp_path / "place"
    config = ArchiverConfig.model_validate({"tiers": {"days": {"place": str(place)}}})
    writer = StoreWriter(folder, config)
    writer.open()
    ids = writer.add_pvs(["B", "A"])
    writer.append(columns_of(Dbr.DOUBLE, [ids["A"], ids["B"]], [1, 2], [1.0, 2.0]))
    writer.roll()
    while writer.convert_next() or writer.compact_next(today=20001):
        pass
    archive = writer.manifest.archive
    writer.close()
    before = {name: flat(StoreReader(folder), name) for name in ("A", "B")}
    # the disk with the archive's folder is lost; the tier's is there
    shutil.rmtree(folder)
    made = rebuild_manifest(folder, [str(place)])
    assert [s.place for s in made.segments] == [str(place)]
    assert made.archive == archive
    assert {name: flat(StoreReader(folder), name) for name in ("A", "B")} == before
    assert verify(folder, config).ok
    # and the archive goes on
    writer = StoreWriter(folder, config)
    writer.open()
    ids = writer.add_pvs(["A", "C"])
    writer.append(columns_of(Dbr.DOUBLE, [ids["A"], ids["C"]], [5, 5], [1.0, 2.0]))
    writer.roll()
    while writer.convert_next() or writer.compact_next(today=20001):
        pass
    assert [row[2] for row in flat(StoreReader(folder), "A")] == [1, 5]
    assert writer.upkeep.problem() == {}
    writer.close()
    assert verify(folder, config).ok


def test_a_reader_that_meets_damage_tells_the_engine(archive: Path) -> None:
    writer = opened(archive)
    segment = writer.manifest.segments[0]
    foreign(archive / "segments" / segment.name)
    reader = StoreReader(archive)
    flat(reader, "A")
    assert segment.name in reader.damaged
    while writer.compact_next(today=20041):
        pass
    assert segment.name in writer.manifest.quarantined
    assert list((archive / "suspects").iterdir()) == []
    # a false alarm harms nothing
    suspect(writer.layout, writer.manifest.segments[0].name, "test")
    kept = writer.manifest.segments
    while writer.compact_next(today=20041):
        pass
    assert writer.manifest.segments == kept
    writer.close()


def test_a_damaged_segment_is_not_moved_but_put_aside(archive: Path, tmp_path: Path) -> None:
    segment = load_manifest(archive / "manifest.json").segments[0]
    flip(archive / "segments" / segment.name)
    config = ArchiverConfig.model_validate({"tiers": {"months": {"place": str(tmp_path / "place")}}})
    writer = StoreWriter(archive, config)
    writer.open()
    # the first look sees sizes only; before the copy all of it is read
    assert segment.name in {s.name for s in writer.manifest.segments}
    for _ in range(2):
        while writer.compact_next(today=20041):
            pass
    assert segment.name in writer.manifest.quarantined
    assert {s.place for s in writer.manifest.segments if s.tier == "months"} == {str(tmp_path / "place")}
    writer.close()
    assert verify(archive, config).ok
