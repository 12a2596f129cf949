"""Compaction to tiers: days, months, places, retention; renamed and forgotten PVs; merges larger than memory."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from archive_tools import EVER, Model, columns_of, counted, flat, opened
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archiver.config import ArchiverConfig
from archiver.store import Columns, Dbr, StoreReader, StoreWriter, compact, merge
from archiver.store.manifest import Segment
from archiver.store.names import first_of_month, month_of, parse_name, segment_name
from archiver.store.places import MARKER, PlaceError
from archiver.store.tiers import place_of_engine
from archiver.store.verify import verify

DAY_S = 86400


@pytest.fixture
def days(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The day on which the next log is received, in a list."""
    day = [20000]
    monkeypatch.setattr("archiver.store.convert.path_day", lambda path: day[0])
    return day


def one_log(writer: StoreWriter, rows: dict[str, list[int]], dbr: Dbr = Dbr.DOUBLE) -> None:
    ids = writer.add_pvs(rows)
    for name, times in rows.items():
        writer.append(columns_of(dbr, [ids[name]] * len(times), times, times))
    writer.roll()
    assert writer.convert_next()


def compacted(writer: StoreWriter, today: int, retention_days: float | None = None) -> None:
    for _ in range(2000):
        if not writer.compact_next(retention_days, today=today):
            return
    raise AssertionError("compaction never ends")


def times_of(folder: Path, name: str) -> list[int]:
    return [row[2] for row in flat(StoreReader(folder), name)]


def test_minutes_become_days_and_days_months(tmp_path: Path, days: list[int]) -> None:
    writer = opened(tmp_path)
    first = first_of_month(20000)
    made = 0
    for day in range(first, first + 40):
        days[0] = day
        for _ in range(3):
            one_log(writer, {"A": [made + 1, made + 2], "B": [made + 1]})
            made += 2
        compacted(writer, today=day)
    tiers = [(s.tier, month_of(s.day)) for s in writer.manifest.segments]
    assert tiers[0] == ("months", month_of(first))
    assert {tier for tier, month in tiers if month == month_of(first + 40)} == {"days", "minutes"}
    assert writer.manifest.segments[0].level == 3
    compacted(writer, today=first + 400)
    assert [(s.tier, s.level, month_of(s.day)) for s in writer.manifest.segments] == [
        ("months", 3, month_of(first)),
        ("months", 3, month_of(first + 39)),
    ]
    assert all(s.summary and len(s.sidecars) == 3 and s.checksum for s in writer.manifest.segments)
    assert times_of(tmp_path, "A") == list(range(1, made + 1))
    assert verify(tmp_path).problems == []
    # once more is nothing to do
    before = writer.manifest
    compacted(writer, today=first + 401)
    assert writer.manifest == before
    writer.close()


def test_names_of_segments_say_what_they_are() -> None:
    name = segment_name("double_array", "days", 20000, (101, 220), 0x12F)
    assert name == "double_array/days-2024-10-04-0000000101-0000000220-0000012f.parquet"
    parsed = parse_name(name)
    assert parsed is not None
    assert (parsed.kind, parsed.tier, parsed.day, parsed.level, parsed.serial) == (
        "double_array",
        "days",
        20000,
        2,
        303,
    )
    assert parse_name(segment_name("long", "months", 20003, (0, 0), 1)).day == first_of_month(20000)  # type: ignore[union-attr]
    for foreign in (
        "double/x.parquet",
        "double/days-2024-13-04-0000000101-0000000220-0000012f.parquet",
        "a/b/c.parquet",
    ):
        assert parse_name(foreign) is None
    for sidecar in (".minute.parquet", ".index.npy", ".part"):
        assert parse_name(name.removesuffix(".parquet") + sidecar) is None


@given(st.text(max_size=60))
def test_any_name_is_parsed_or_not(name: str) -> None:
    assert parse_name(name) is None or name.endswith(".parquet")


def test_renamed_pvs_keep_their_past_and_merge(tmp_path: Path, days: list[int]) -> None:
    writer = opened(tmp_path)
    one_log(writer, {"A": [1, 2], "M": [1], "Z": [1, 2, 3]})
    # the order of the names turns round, and old files have the old one
    writer.rename({"A": "Z2", "Z": "A2"})
    one_log(writer, {"Z2": [3, 4], "M": [2], "A2": [4]})
    writer.rename({"Z2": "A2", "A2": "Z2"})
    one_log(writer, {"A2": [5], "Z2": [6]})
    reader = StoreReader(tmp_path)
    expected = {"A2": [1, 2, 3, 4, 5], "M": [1, 2], "Z2": [1, 2, 3, 4, 6]}
    assert {name: [row[2] for row in flat(reader, name)] for name in expected} == expected
    assert reader.names() == ["A2", "M", "Z2"]
    with pytest.raises(KeyError):
        reader.read("A", 0, 1)
    compacted(writer, today=days[0] + 1)
    (segment,) = writer.manifest.segments
    names = pq.read_table(tmp_path / "segments" / segment.name, columns=["pv"]).column("pv").to_pylist()
    assert names == sorted(names)
    assert set(names) == set(expected)
    assert {name: times_of(tmp_path, name) for name in expected} == expected
    writer.close()
    writer = opened(tmp_path)
    assert {name: times_of(tmp_path, name) for name in expected} == expected
    # a new PV under an old name begins anew
    one_log(writer, {"A": [9]})
    assert times_of(tmp_path, "A") == [9]
    assert verify(tmp_path).problems == []
    writer.close()


def test_renames_that_make_no_sense_change_nothing(tmp_path: Path) -> None:
    writer = opened(tmp_path)
    ids = writer.add_pvs(["A", "B", "EMPTY"])
    writer.append(columns_of(Dbr.DOUBLE, [ids["A"], ids["B"]], [1, 1], [1.0, 2.0]))
    with pytest.raises(KeyError):
        writer.rename({"NONE": "C"})
    # B's sample is only in the log yet
    with pytest.raises(ValueError, match="samples of its own"):
        writer.rename({"A": "B"})
    with pytest.raises(ValueError, match="one name"):
        writer.rename({"A": "C", "B": "C"})
    assert writer.registry.ids == ids
    writer.rename({"A": "EMPTY"})
    assert sorted(StoreReader(tmp_path).names()) == ["B", "EMPTY"]
    assert times_of(tmp_path, "EMPTY") == [1]
    writer.close()


def test_forgotten_pvs_are_invisible_at_once_and_then_gone(tmp_path: Path, days: list[int]) -> None:
    writer = opened(tmp_path)
    one_log(writer, {"A": [1, 2], "B": [1, 2, 3]})
    compacted(writer, today=days[0] + 40)
    assert [s.tier for s in writer.manifest.segments] == ["months"]
    days[0] += 41
    one_log(writer, {"A": [3], "B": [4]})
    ids = writer.add_pvs(["A"])
    writer.append(columns_of(Dbr.DOUBLE, [ids["A"]] * 2, [5, 6], [5, 6]))
    reader = StoreReader(tmp_path)
    assert len(flat(reader, "A")) == 5
    writer.forget(["A", "NONE"])
    assert reader.names() == ["B"]
    with pytest.raises(KeyError):
        reader.read("A", 0, 1)
    # the same name begins anew, and takes earlier times too
    one_log(writer, {"A": [2]})
    assert [row[2] for row in flat(reader, "A")] == [2]
    compacted(writer, today=days[0])
    assert writer.manifest.forgotten == ()
    totals = writer.manifest.totals
    assert (totals["stored"], totals["forgotten"]) == (10, 5)
    assert counted(totals) == (10, 10)
    rows = sum(pq.read_metadata(tmp_path / "segments" / s.name).num_rows for s in writer.manifest.segments)
    assert rows == 5
    assert verify(tmp_path).problems == []
    writer.forget(["A", "B"])
    compacted(writer, today=days[0])
    assert writer.manifest.segments == ()
    assert verify(tmp_path).problems == []
    writer.close()
    assert opened(tmp_path).registry.ids == {}


def test_a_pv_larger_than_memory_is_merged_piece_by_piece(
    tmp_path: Path, days: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge, "BUDGET", 2000)
    monkeypatch.setattr(merge, "KEEP_GROUP", 500)
    monkeypatch.setattr("archiver.store.segment.ROW_GROUP", 40)
    writer = opened(tmp_path)
    model = Model()
    rng = np.random.default_rng(3)
    time_ns: dict[str, int] = dict.fromkeys(("BIG", "W", "S1", "S2"), 0)
    for _ in range(6):
        ids = writer.add_pvs(time_ns)
        for name, n in (("BIG", 300), ("S1", 2), ("S2", 5), ("W", 40)):
            times = (time_ns[name] + np.cumsum(rng.integers(1, 5, n))).tolist()
            time_ns[name] = times[-1]
            if name == "W":
                writer.append(columns_of(Dbr.SHORT, [ids[name]] * n, times, [[t % 100, 1, 2] for t in times], True))
            else:
                writer.append(columns_of(Dbr.DOUBLE, [ids[name]] * n, times, times))
            for t in times:
                value = [t % 100, 1, 2] if name == "W" else t
                model.write(name, Dbr.SHORT if name == "W" else Dbr.DOUBLE, name == "W", t, value)
        writer.roll()
        assert writer.convert_next()
    compacted(writer, today=days[0] + 1)
    assert len(writer.manifest.segments) == 2
    for name in time_ns:
        assert flat(StoreReader(tmp_path), name) == model.read(name, 0, EVER)
    assert verify(tmp_path).problems == []
    writer.close()


def test_merged_segments_get_no_larger_than_allowed(
    tmp_path: Path, days: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compact, "MAX_ROWS", 25)
    writer = opened(tmp_path)
    for i in range(12):
        days[0] += 1
        one_log(writer, {"A": list(range(10 * i + 1, 10 * i + 11))})
    compacted(writer, today=days[0] + 60)
    assert [s.rows for s in writer.manifest.segments] == [20] * 6
    assert {s.tier for s in writer.manifest.segments} == {"months"}
    assert times_of(tmp_path, "A") == list(range(1, 121))
    writer.close()


def test_today_only_runs_of_logs_are_merged(tmp_path: Path, days: list[int]) -> None:
    writer = opened(tmp_path)
    for i in range(compact.FANOUT + 3):
        one_log(writer, {"A": [i + 1]})
    compacted(writer, today=days[0])
    assert [(s.level, s.tier) for s in writer.manifest.segments] == [(1, "minutes")] + [(0, "minutes")] * 3
    writer.close()


def test_clocks_that_are_set_back_between_logs_keep_the_order(tmp_path: Path, days: list[int]) -> None:
    writer = opened(tmp_path)
    for i, day in enumerate([20000, 20001, 20000, 20000, 19999, 20001, 20001]):
        days[0] = day
        one_log(writer, {"A": [10 * i + 1, 10 * i + 2]})
    compacted(writer, today=20002)
    logs = [(s.first_log, s.last_log) for s in writer.manifest.segments]
    assert logs == sorted(logs)
    assert times_of(tmp_path, "A") == [10 * i + j for i in range(7) for j in (1, 2)]
    compacted(writer, today=20100)
    assert times_of(tmp_path, "A") == [10 * i + j for i in range(7) for j in (1, 2)]
    assert verify(tmp_path).problems == []
    writer.close()


@given(
    st.lists(
        st.tuples(
            st.integers(0, 60), st.sampled_from(["minutes", "days", "months"]), st.integers(1, 30), st.booleans()
        ),
        max_size=40,
    ),
    st.integers(0, 70),
)
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
def test_steps_are_of_neighbours_of_one_period(made: list[tuple[int, str, int, bool]], today: int) -> None:
    segments = [
        Segment(
            f"double/{i}",
            "double",
            i + 1,
            i + 1,
            rows * 10**6,
            rows,
            0,
            1,
            0 if tier == "minutes" else 2,
            day,
            tier,
            imported=imported,
        )
        for i, (day, tier, rows, imported) in enumerate(made)
    ]
    step = compact.choose(segments, today)
    if step is None:
        return
    chosen = list(step.segments)
    assert len({s.imported for s in chosen}) == 1
    if not chosen[0].imported:
        mine = [s for s in segments if not s.imported]
        start = mine.index(chosen[0])
        assert mine[start : start + len(chosen)] == chosen
    assert len({month_of(s.day) for s in chosen}) == 1
    assert len(chosen) == 1 or sum(s.rows for s in chosen) <= compact.MAX_ROWS
    assert len(chosen) > 1 or chosen[0].tier != step.tier


# places


def config_of(**tiers: dict[str, object]) -> ArchiverConfig:
    return ArchiverConfig.model_validate({"tiers": tiers})


def writer_of(folder: Path, config: ArchiverConfig) -> StoreWriter:
    writer = StoreWriter(folder, config)
    writer.open()
    return writer


def test_a_tier_has_a_folder_of_its_own_and_may_move(tmp_path: Path, days: list[int]) -> None:
    big = tmp_path / "big disk" / "archive"
    folder = tmp_path / "archive"
    writer = writer_of(folder, config_of(days={"place": str(big)}, months={"place": "old"}))
    one_log(writer, {"A": [1, 2], "B": [5]})
    compacted(writer, today=days[0] + 1)
    (segment,) = writer.manifest.segments
    assert segment.place == str(big)
    assert (big / segment.name).exists()
    assert not list((folder / "segments").glob("*/*"))
    assert times_of(folder, "A") == [1, 2]
    compacted(writer, today=days[0] + 60)
    (segment,) = writer.manifest.segments
    assert (segment.tier, segment.place) == ("months", "old")
    assert not list(big.glob("*/*"))
    assert verify(folder, config_of(days={"place": str(big)}, months={"place": "old"})).problems == []
    writer.close()
    # the site file says otherwise: everything follows
    writer = writer_of(folder, config_of())
    compacted(writer, today=days[0] + 60)
    assert [s.place for s in writer.manifest.segments] == [""]
    assert times_of(folder, "A") == [1, 2]
    assert verify(folder).ok
    writer.close()


def test_a_disk_that_is_not_mounted_is_away_and_not_empty(tmp_path: Path, days: list[int]) -> None:
    folder, disk = tmp_path / "archive", tmp_path / "disk"
    config = config_of(days={"place": str(disk)})
    writer = writer_of(folder, config)
    one_log(writer, {"A": [1, 2]})
    compacted(writer, today=days[0] + 1)
    # unmounted: an empty mount point is left
    disk.rename(tmp_path / "unmounted")
    disk.mkdir()
    days[0] += 1
    one_log(writer, {"A": [3], "B": [3]})
    compacted(writer, today=days[0] + 60)
    reader = StoreReader(folder)
    with pytest.raises(PlaceError):
        flat(reader, "A")
    assert [row[2] for row in flat(reader, "B")] == [3]
    assert writer.manifest.quarantined == {}
    assert not (disk / MARKER).exists()
    assert "isn't there" in writer.upkeep.problem()[str(disk)]
    writer.close()
    writer = writer_of(folder, config)
    assert writer.manifest.quarantined == {}
    disk.rmdir()
    (tmp_path / "unmounted").rename(disk)
    assert [row[2] for row in flat(reader, "A")] == [1, 2, 3]
    compacted(writer, today=days[0] + 60)
    assert {(s.place, s.tier) for s in writer.manifest.segments} == {("", "months")}
    assert writer.upkeep.problem() == {}
    assert verify(folder, config).ok
    writer.close()


def test_retention_by_tier(tmp_path: Path, days: list[int]) -> None:
    now = time.time()
    today = int(now // DAY_S)
    config = config_of(days={"retention_days": 40}, months={"retention_days": 200})
    writer = writer_of(tmp_path, config)
    for age in (400, 150, 1):
        days[0] = today - age
        at = int((now - age * DAY_S) * 1e9)
        one_log(writer, {"A": [at, at + 1], f"OLD{age}": [at]})
    compacted(writer, today=today)
    assert times_of(tmp_path, "OLD400") == []
    assert len(times_of(tmp_path, "OLD150")) == 1
    info = StoreReader(tmp_path).info("A")
    assert info is not None
    assert info.first_ns == int((now - 150 * DAY_S) * 1e9)
    assert writer.manifest.totals["expired"] == 3
    compacted(writer, today=today, retention_days=100)
    assert times_of(tmp_path, "OLD150") == []
    assert verify(tmp_path).problems == []
    writer.close()


def test_engines_have_parts_of_their_own_in_a_place() -> None:
    url = "s3://bucket/demo?endpoint_override=127.0.0.1:9000&scheme=http"
    assert place_of_engine(url, "a") == "s3://bucket/demo/a?endpoint_override=127.0.0.1:9000&scheme=http"
    assert place_of_engine(url, "") == url
    assert place_of_engine("s3://bucket", "a") == "s3://bucket/a"
    assert place_of_engine("/big/archive", "a") == "/big/archive/a"
    assert place_of_engine("old", "a") == "old"


# archives of version 1


def test_an_archive_of_version_1_goes_on(tmp_path: Path, days: list[int]) -> None:
    """As an engine before tiers left it: other names, no checksums, a smaller table of channels."""
    import orjson

    from archiver.store.manifest import CHANNELS_1

    writer = opened(tmp_path)
    one_log(writer, {"A": [1, 2]})
    one_log(writer, {"A": [3], "B": [1]})
    writer.close()
    manifest = orjson.loads((tmp_path / "manifest.json").read_bytes())
    old = []
    for segment in manifest["segments"]:
        stem = segment["name"].removesuffix(".parquet")
        name = f"double/{segment['first_log']:010d}-{segment['last_log']:010d}"
        for ending in (".parquet", ".index.npy"):
            (tmp_path / "segments" / (stem + ending)).rename(tmp_path / "segments" / (name + ending))
        kept = ("kind", "first_log", "last_log", "rows", "bytes", "oldest", "newest", "level", "day")
        old.append({"name": f"{name}.parquet", **{key: segment[key] for key in kept}})
    channels = np.load(tmp_path / manifest["channels"])
    np.save(tmp_path / manifest["channels"], channels[list(CHANNELS_1.names or ())].astype(CHANNELS_1))
    keys = ("format", "generation", "first_log", "channels", "totals")
    content = {**{key: manifest[key] for key in keys}, "version": 1, "segments": old}
    (tmp_path / "manifest.json").write_bytes(orjson.dumps(content))
    assert times_of(tmp_path, "A") == [1, 2, 3]
    writer = opened(tmp_path)
    assert times_of(tmp_path, "A") == [1, 2, 3]
    one_log(writer, {"A": [3, 4]})
    assert times_of(tmp_path, "A") == [1, 2, 3, 4]
    compacted(writer, today=days[0])
    assert all(s.checksum for s in writer.manifest.segments)
    assert verify(tmp_path).problems == []
    compacted(writer, today=days[0] + 90)
    assert len(writer.manifest.segments) == 1
    assert times_of(tmp_path, "A") == [1, 2, 3, 4]
    assert verify(tmp_path).problems == []
    writer.close()


def test_drops_are_counted_by_pv(tmp_path: Path) -> None:
    writer = opened(tmp_path)
    ids = writer.add_pvs(["A", "B"])
    a, b = ids["A"], ids["B"]
    writer.append(columns_of(Dbr.DOUBLE, [a, a, b, a, b], [5, 5, 1, 4, 2], [0.0] * 5))
    writer.roll()
    writer.convert_next()
    writer.append(columns_of(Dbr.DOUBLE, [a, b, b], [5, 2, 1], [0.0] * 3))
    writer.roll()
    writer.convert_next()
    assert writer.channels["dropped"][[a, b]].tolist() == [3, 2]
    assert writer.manifest.totals["dropped.duplicate"] + writer.manifest.totals["dropped.out_of_order"] == 5
    writer.close()
    writer = opened(tmp_path)
    assert writer.channels["dropped"][[a, b]].tolist() == [3, 2]
    writer.close()


def test_waveforms_of_varying_length_are_merged(tmp_path: Path, days: list[int]) -> None:
    writer = opened(tmp_path)
    pv = writer.add_pvs(["W"])["W"]
    expected = []
    for i, length in enumerate([3, 0, 5000, 1, 2]):
        made = columns_of(Dbr.CHAR, [pv], [i + 1], [0])
        writer.append(
            Columns(Dbr.LONG, True, made.pv, made.time_ns, made.severity, made.status, np.full((1, length), i, "<i4"))
        )
        expected.append([i] * length)
        writer.roll()
        writer.convert_next()
    compacted(writer, today=days[0] + 60)
    assert [row[3] for row in flat(StoreReader(tmp_path), "W")] == expected
    assert verify(tmp_path).problems == []
    writer.close()
    shutil.rmtree(tmp_path / "segments")


def test_pvs_are_forgotten_while_logs_become_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logs are converted in one thread, and PVs are forgotten in another."""
    monkeypatch.setattr(os, "fdatasync", lambda fd: None)
    writer = opened(tmp_path)
    names = iter([f"PV{i}" for i in range(5_000)])
    writer.add_pvs(["A", *(f"PV{i}" for i in range(5_000))])
    # so many that looking through them takes its time
    writer.registry.forgotten.update(dict.fromkeys(range(10**6, 10**6 + 300_000), 1))
    done = threading.Event()

    def forget() -> None:
        while not done.is_set() and (name := next(names, None)):
            writer.forget([name])

    thread = threading.Thread(target=forget)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        thread.start()
        for time_ns in range(1, 21):
            one_log(writer, {"A": [time_ns]})
    finally:
        sys.setswitchinterval(interval)
        done.set()
        thread.join(60)
    assert times_of(tmp_path, "A") == list(range(1, 21))
    writer.close()


def test_a_hundred_thousand_pvs_are_forgotten(tmp_path: Path) -> None:
    writer = opened(tmp_path)
    names = [f"PV{i}" for i in range(100_000)]
    writer.add_pvs(names)
    writer.forget(names)
    assert writer.registry.ids == {} and len(writer.registry.forgotten) == 100_000
    writer.close()
    assert StoreReader(tmp_path).names() == []


def test_a_clock_that_is_years_ahead_deletes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = opened(tmp_path)
    now = time.time_ns()
    for age in (100, 10, 0):
        one_log(writer, {"A": [now - age * DAY_S * 10**9]})
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 20 * 365 * DAY_S)
    compacted(writer, today=int(real() // DAY_S), retention_days=30)
    assert times_of(tmp_path, "A") == [now - 10 * DAY_S * 10**9, now]
    writer.close()
