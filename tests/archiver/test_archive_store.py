"""The store: what goes in comes out, from the log and from segments, in every type, and all is accounted for."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from archive_tools import EVER, Model, columns_of, counted, flat, opened
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archiver.store import Columns, Dbr, StoreError, StoreReader, StoreWriter
from archiver.store.segment import index_path

VALUES: dict[tuple[Dbr, bool], list[Any]] = {
    (Dbr.STRING, False): ["", "on", "µ°C", "x" * 39],
    (Dbr.SHORT, False): [0, -32768, 32767, 5],
    (Dbr.FLOAT, False): [0.0, -1.5, 3.4028234663852886e38, float("inf")],
    (Dbr.ENUM, False): [0, 1, 15, 65535],
    (Dbr.CHAR, False): [0, 127, 128, 255],
    (Dbr.LONG, False): [0, -(2**31), 2**31 - 1, 7],
    (Dbr.DOUBLE, False): [0.1, -1e300, 5e-324, float("-inf")],
    (Dbr.STRING, True): [["a", ""], ["b", "ccc"], ["", "µ"], ["d", "e"]],
    (Dbr.SHORT, True): [[1, 2], [-3, 4], [5, 6], [0, 0]],
    (Dbr.FLOAT, True): [[1.0, 2.5], [3.0, 4.0], [5.0, 6.0], [0.0, -0.5]],
    (Dbr.ENUM, True): [[1, 2], [3, 4], [5, 6], [0, 0]],
    (Dbr.CHAR, True): [[1, 2], [3, 255], [5, 6], [0, 0]],
    (Dbr.LONG, True): [[1, 2], [3, 4], [-5, 6], [0, 0]],
    (Dbr.DOUBLE, True): [[0.1, 0.2], [3.0, 4.0], [5.0, 6.0], [0.0, -0.0]],
}


@pytest.mark.parametrize(("dbr", "array"), list(VALUES))
@pytest.mark.parametrize("place", ["log", "segment", "merged"])
def test_every_type_is_kept(tmp_path: Path, dbr: Dbr, array: bool, place: str) -> None:
    values = VALUES[dbr, array]
    writer = opened(tmp_path / "archive")
    pv = writer.add_pvs(["A"])["A"]
    for i, value in enumerate(values):
        writer.append(columns_of(dbr, [pv], [100 + i], [value], array))
        if place != "log":
            writer.roll()
            assert writer.convert_next()
    if place == "merged":
        merge_all(writer)
        assert len(writer.manifest.segments) == 1
    reader = StoreReader(tmp_path / "archive")
    assert flat(reader, "A") == [(dbr, array, 100 + i, value) for i, value in enumerate(values)]
    info = reader.info("A")
    assert info is not None
    assert (info.dbr, info.first_ns, info.last_ns) == (dbr, 100, 103)
    writer.close()


def merge_all(writer: StoreWriter) -> None:
    """Merge all that can be merged, as after the end of the day."""
    while writer.compact_next(today=int(time.time() // 86400) + 2):
        pass


@pytest.mark.parametrize("place", ["log", "segment", "merged"])
@pytest.mark.parametrize("dbr", [Dbr.DOUBLE, Dbr.CHAR, Dbr.STRING])
def test_arrays_of_varying_length(tmp_path: Path, place: str, dbr: Dbr) -> None:
    one: Any = "z" if dbr is Dbr.STRING else 1
    writer = opened(tmp_path)
    pv = writer.add_pvs(["W"])["W"]
    lengths = [3, 0, 1, 3, 5000, 0]
    for i, length in enumerate(lengths):
        values = np.full((1, length), one, "S40" if dbr is Dbr.STRING else dbr.dtype)
        made = columns_of(Dbr.CHAR, [pv], [10 + i], [0])
        writer.append(Columns(dbr, True, made.pv, made.time_ns, made.severity, made.status, values))
        if place == "merged":
            writer.roll()
            writer.convert_next()
    if place == "segment":
        writer.roll()
        writer.convert_next()
    elif place == "merged":
        merge_all(writer)
    reader = StoreReader(tmp_path)
    assert [row[3] for row in flat(reader, "W")] == [[one] * length for length in lengths]
    assert all(row[1] for row in flat(reader, "W"))
    writer.close()


def test_a_pv_that_changes_type_back_and_forth(tmp_path: Path) -> None:
    writer = opened(tmp_path)
    pv = writer.add_pvs(["A"])["A"]
    expected = []
    for i in range(12):
        dbr = (Dbr.DOUBLE, Dbr.LONG, Dbr.LONG, Dbr.ENUM)[i % 4]
        writer.append(columns_of(dbr, [pv], [10 * i + 5], [i]))
        expected.append((dbr, False, 10 * i + 5, i))
        if i in (5, 9):
            writer.roll()
            writer.convert_next()
    reader = StoreReader(tmp_path)
    assert flat(reader, "A") == expected
    assert flat(reader, "A", 33, 64) == expected[2:6]
    merge_all(writer)
    assert flat(reader, "A") == expected
    assert flat(reader, "A", 33, 64) == expected[2:6]
    writer.close()


# one step: write some samples (PV, type, time, value), or roll, convert, merge, reopen
STEP = st.one_of(
    st.tuples(
        st.just("write"),
        st.sampled_from([(Dbr.DOUBLE, False), (Dbr.LONG, False), (Dbr.STRING, False), (Dbr.SHORT, True)]),
        st.lists(st.tuples(st.integers(0, 3), st.integers(1, 60), st.integers(0, 99)), min_size=1, max_size=12),
    ),
    st.sampled_from([("roll",), ("convert",), ("merge",), ("reopen",)]),
)


@given(
    steps=st.lists(STEP, max_size=14), windows=st.lists(st.tuples(st.integers(0, 62), st.integers(0, 62)), max_size=4)
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_reader_sees_what_a_simple_model_says(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any], windows: list[tuple[int, int]]
) -> None:
    monkeypatch = pytest.MonkeyPatch()
    # nothing is killed here, and waiting for the disk a thousand times would take a minute
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    monkeypatch.setattr(os, "fdatasync", lambda fd: None)
    folder = tmp_path_factory.mktemp("model")
    model = Model()
    writer = opened(folder)
    reader = StoreReader(folder)
    names = [f"PV{i}" for i in range(4)]
    ids = writer.add_pvs(names)
    for step in steps:
        if step[0] == "write":
            (dbr, array), rows = step[1], step[2]
            values = [str(v) if dbr is Dbr.STRING else [v, v + 1] if array else v for _, _, v in rows]
            writer.append(columns_of(dbr, [ids[names[p]] for p, _, _ in rows], [t for _, t, _ in rows], values, array))
            for (place, time_ns, _), value in zip(rows, values, strict=True):
                model.write(names[place], dbr, array, time_ns, value)
        elif step[0] == "roll":
            writer.roll()
        elif step[0] == "convert":
            writer.convert_next()
        elif step[0] == "merge":
            merge_all(writer)
        else:
            writer.close()
            writer = opened(folder)
        for name in names:
            assert flat(reader, name) == model.read(name, 0, EVER)
            for a, b in windows:
                from_ns, to_ns = min(a, b), max(a, b)
                assert flat(reader, name, from_ns, to_ns) == model.read(name, from_ns, to_ns)
    writer.roll()
    while writer.convert_next():
        pass
    for name in names:
        assert flat(reader, name) == model.read(name, 0, EVER)
    totals = reader.totals()
    assert totals.get("received", 0) == model.received
    assert totals.get("dropped.duplicate", 0) == model.dropped["duplicate"]
    assert totals.get("dropped.out_of_order", 0) == model.dropped["out_of_order"]
    received, accounted = counted(totals)
    assert received == accounted
    writer.close()
    reader.close()
    monkeypatch.undo()
    shutil.rmtree(folder)


def test_the_first_sample_is_the_newest_at_or_before_the_start(tmp_path: Path) -> None:
    writer = opened(tmp_path)
    ids = writer.add_pvs(["A", "B"])
    for hour in range(6):
        # B comes once, long ago; A in every second log
        if hour == 0:
            writer.append(columns_of(Dbr.DOUBLE, [ids["B"]], [3], [0.5]))
        if hour % 2 == 0:
            writer.append(
                columns_of(Dbr.DOUBLE, [ids["A"]] * 2, [hour * 100 + 10, hour * 100 + 20], [hour, hour + 0.5])
            )
        else:
            writer.append(columns_of(Dbr.LONG, [ids["A"]], [hour * 100], [hour]))
        writer.roll()
        writer.convert_next()
    reader = StoreReader(tmp_path)

    def times(name: str, from_ns: int, to_ns: int) -> list[int]:
        return [row[2] for row in flat(reader, name, from_ns, to_ns)]

    assert times("A", 210, 210) == [210]
    assert times("A", 209, 209) == [100]
    assert times("A", 299, 301) == [220, 300]
    assert times("A", 300, 420) == [300, 410, 420]
    assert times("A", 5, 15) == [10]
    assert times("A", 1, 9) == []
    assert times("A", 9999, 99999) == [500]
    assert times("B", 9999, 99999) == [3]
    assert times("B", 1, 2) == []
    with pytest.raises(KeyError):
        reader.read("C", 0, 1)
    with pytest.raises(ValueError, match="before"):
        reader.read("A", 2, 1)
    writer.close()


def test_a_folder_that_is_not_there_is_an_empty_archive(tmp_path: Path) -> None:
    reader = StoreReader(tmp_path / "none")
    assert reader.names() == []
    assert reader.info("A") is None
    assert reader.totals() == {}
    assert reader.status() is None


def test_only_one_engine_writes_a_folder(tmp_path: Path) -> None:
    writer = opened(tmp_path)
    with pytest.raises(StoreError, match=rf"in use by another engine \(process {os.getpid()}\)"):
        opened(tmp_path)
    writer.close()
    opened(tmp_path).close()


def test_a_file_in_place_of_the_folder_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "archive").write_text("no folder")
    with pytest.raises(StoreError, match="can't be made") as caught:
        opened(tmp_path / "archive")
    assert "\n" not in str(caught.value)


def test_a_manifest_that_is_none_is_one_clear_line(tmp_path: Path) -> None:
    opened(tmp_path).close()
    (tmp_path / "manifest.json").write_text('{"format": "other"}')
    with pytest.raises(StoreError, match="no manifest"):
        opened(tmp_path)
    with pytest.raises(StoreError, match="no manifest"):
        StoreReader(tmp_path).totals()


def test_metadata_is_kept_in_versions(tmp_path: Path) -> None:
    writer = opened(tmp_path)
    pv = writer.add_pvs(["A"])["A"]
    writer.describe({pv: {"EGU": "V"}})
    writer.describe({pv: {"EGU": "V"}})
    writer.describe({pv: {"EGU": "mV", "PREC": "3"}})
    writer.close()
    writer = opened(tmp_path)
    assert writer.add_pvs(["A", "B"])["A"] == pv
    reader = StoreReader(tmp_path)
    history = reader.metadata_history("A")
    assert [values for _, values in history] == [{"EGU": "V"}, {"EGU": "mV", "PREC": "3"}]
    assert history[0][0] < history[1][0]
    info = reader.info("A")
    assert info is not None
    assert info.metadata == {"EGU": "mV", "PREC": "3"}
    assert (info.dbr, info.first_ns, info.last_ns) == (None, None, None)
    assert reader.names() == ["A", "B"]
    writer.close()


def test_connection_events_are_kept_and_are_no_samples(tmp_path: Path) -> None:
    writer = opened(tmp_path)
    pv = writer.add_pvs(["A"])["A"]
    for convert in (True, False):
        base = 100 if convert else 200
        events = [(pv, base, 1), (0, base + 5, 2), (pv, base + 9, 0)]
        writer.append_events(*(np.array(column) for column in zip(*events, strict=True)))
        writer.append(columns_of(Dbr.DOUBLE, [pv], [base + 1], [1.0]))
        if convert:
            writer.roll()
            writer.convert_next()
    reader = StoreReader(tmp_path)
    assert reader.connections("A", 104, 203) == [
        (100, "connected"),
        (105, "engine stopped"),
        (109, "disconnected"),
        (200, "connected"),
    ]
    assert [row[2] for row in flat(reader, "A")] == [101, 201]
    writer.close()


def test_segments_are_plain_parquet(tmp_path: Path) -> None:
    writer = opened(tmp_path)
    ids = writer.add_pvs(["b", "a"])
    writer.append(columns_of(Dbr.DOUBLE, [ids["b"], ids["a"], ids["b"]], [10, 11, 12], [1.0, 2.0, 3.0]))
    writer.roll()
    writer.convert_next()
    (segment,) = writer.manifest.segments
    table = pq.read_table(tmp_path / "segments" / segment.name)
    assert table.column("pv").to_pylist() == ["a", "b", "b"]
    assert [t.value for t in table.column("time").to_pylist()] == [11, 10, 12]
    assert table.column("value").to_pylist() == [2.0, 1.0, 3.0]
    writer.close()


def test_large_runs_are_cut_into_row_groups_and_read_in_part(tmp_path: Path) -> None:
    n = 500_000
    writer = opened(tmp_path)
    ids = writer.add_pvs(["small", "big", "last"])
    time_ns = np.arange(n, dtype=np.int64) * 10 + 7
    zero = np.zeros(n, np.uint8)
    writer.append(
        Columns(Dbr.DOUBLE, False, np.full(n, ids["big"], np.uint32), time_ns, zero, zero, np.arange(n, dtype=float))
    )
    writer.append(columns_of(Dbr.DOUBLE, [ids["small"], ids["last"]], [5, 6], [1.0, 2.0]))
    writer.roll()
    writer.convert_next()
    reader = StoreReader(tmp_path)
    for from_ns, to_ns in [(0, EVER), (2_000_000, 2_000_500), (4_999_990, EVER), (1_310_727, 1_310_727), (0, 6)]:
        found = list(reader.read("big", from_ns, to_ns))
        first = max(np.searchsorted(time_ns, from_ns, "right") - 1, 0)
        expected = time_ns[first : np.searchsorted(time_ns, to_ns, "right")]
        got = np.concatenate([p.time_ns for p in found]) if found else np.zeros(0, np.int64)
        assert np.array_equal(got, expected)
        values = np.concatenate([p.values for p in found]) if found else np.zeros(0)
        assert np.array_equal(values, np.arange(first, first + len(expected)))
    writer.close()


@pytest.mark.parametrize("fault", ["foreign", "empty", "missing", "index missing", "index foreign"])
def test_an_unreadable_segment_is_left_out_and_the_rest_goes_on(tmp_path: Path, fault: str) -> None:
    writer = opened(tmp_path)
    pv = writer.add_pvs(["A"])["A"]
    for i in range(3):
        writer.append(columns_of(Dbr.DOUBLE, [pv], [10 * i + 1], [i]))
        writer.roll()
        writer.convert_next()
    path = tmp_path / "segments" / writer.manifest.segments[1].name
    if fault.startswith("index"):
        path = index_path(path)
    if fault.endswith("missing"):
        path.unlink()
    else:
        path.write_bytes(b"" if fault == "empty" else b"PAR1 no parquet PAR1")
    reader = StoreReader(tmp_path)
    assert [row[2] for row in flat(reader, "A")] == [1, 21]
    assert list(reader.damaged) == [writer.manifest.segments[1].name]
    # the engine gets word of it: an index is made anew, a segment goes to the quarantine, and all else goes on
    while writer.compact_next(today=10**6):
        pass
    writer.append(columns_of(Dbr.DOUBLE, [pv], [31], [3.0]))
    writer.roll()
    writer.convert_next()
    expected = [1, 11, 21, 31] if fault.startswith("index") else [1, 21, 31]
    assert [row[2] for row in flat(StoreReader(tmp_path), "A")] == expected
    assert bool(writer.manifest.quarantined) != fault.startswith("index")
    assert counted(writer.manifest.totals) == (4, 4)
    writer.close()


def test_a_log_that_cannot_become_segments_is_set_aside_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = opened(tmp_path)
    pv = writer.add_pvs(["A"])["A"]
    writer.append(columns_of(Dbr.DOUBLE, [pv] * 2, [1, 2], [1.0, 2.0]))
    writer.append_drops({"future": 3})
    writer.roll()
    monkeypatch.setattr("archiver.store.produce.write_segment", lambda *_: int("no segment"))
    assert writer.convert_next()
    monkeypatch.undo()
    totals = writer.manifest.totals
    assert (totals["received"], totals["stored"], totals["dropped.damaged"]) == (5, 0, 2)
    assert (tmp_path / "quarantine" / "0000000001.log").exists()
    writer.append(columns_of(Dbr.DOUBLE, [pv], [3], [3.0]))
    writer.roll()
    assert writer.convert_next()
    assert [row[2] for row in flat(StoreReader(tmp_path), "A")] == [3]
    writer.close()


def test_readers_beside_a_writer_never_see_a_gap(tmp_path: Path) -> None:
    """Samples, segments and merges come and go while others read: each read is a prefix of what was written."""
    writer = opened(tmp_path)
    pv = writer.add_pvs(["A"])["A"]
    stop = threading.Event()
    problems: list[str] = []
    reads = [0, 0]

    def look(place: int) -> None:
        reader = StoreReader(tmp_path)
        while not stop.is_set():
            pieces = list(reader.read("A", 0, EVER))
            times = np.concatenate([p.time_ns for p in pieces]) if pieces else np.zeros(0, np.int64)
            if not np.array_equal(times, np.arange(1, len(times) + 1)):
                problems.append(f"{len(times)} samples, gaps at {np.flatnonzero(np.diff(times) != 1)[:5]}")
            reads[place] += 1

    threads = [threading.Thread(target=look, args=(i,)) for i in (0, 1)]
    for thread in threads:
        thread.start()
    time_ns = 1
    for round_number in range(120):
        writer.append(columns_of(Dbr.DOUBLE, [pv] * 5, range(time_ns, time_ns + 5), [1.0] * 5))
        time_ns += 5
        if round_number % 3 == 0:
            writer.roll()
        if round_number % 4 == 0:
            writer.convert_next()
        if round_number % 10 == 0:
            merge_all(writer)
    stop.set()
    for thread in threads:
        thread.join(60)
    assert problems == []
    assert min(reads) > 0
    assert len(flat_times(tmp_path)) == time_ns - 1
    writer.close()


def flat_times(folder: Path) -> np.ndarray:
    return np.concatenate([piece.time_ns for piece in StoreReader(folder).read("A", 0, EVER)])


def test_retention_deletes_old_segments_whole(tmp_path: Path) -> None:
    writer = opened(tmp_path)
    pv = writer.add_pvs(["A"])["A"]
    now = time.time_ns()
    for age in (10, 5, 1):
        writer.append(columns_of(Dbr.DOUBLE, [pv], [now - age * 86400 * 10**9], [age]))
        writer.roll()
        writer.convert_next()
    assert writer.compact_next(retention_days=4)
    assert not writer.compact_next(retention_days=4)
    assert np.concatenate([p.values for p in StoreReader(tmp_path).read("A", 0, EVER)]).tolist() == [1.0]
    assert writer.manifest.totals["expired"] == 2
    assert len(list((tmp_path / "segments" / "double").glob("*.parquet"))) == 1
    writer.close()
