"""Segments on disk: encodings by trial, row groups put together, read by every engine; large arrays piece by piece."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path
from typing import Any

import chdb
import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archive_tools import columns_of, opened
from hypothesis import given, settings
from hypothesis import strategies as st

from archiver.store import Columns, Dbr, StoreReader
from archiver.store.parquet import RowGroupWriter
from archiver.store.segment import INDEX, Table, arrow_type, index_path, load_index, save_index, write_segment
from archiver.store.segmentfile import SegmentFile, samples_of_batch
from archiver.store.sidecar import SummaryFile
from archiver.store.summary import summarise

NS = 10**9
START = 1_700_000_000 * NS
ROWS = 40_000


def table_of(names: list[str], values: list[np.ndarray], dbr: Dbr = Dbr.DOUBLE, period: int = NS) -> Table:
    """Each PV's values at a raster that jitters."""
    rng = np.random.default_rng(3)
    times = [START + np.arange(len(v)) * period + rng.integers(0, 50_000, len(v)) for v in values]
    n = sum(map(len, values))
    kind = dbr.name.lower()
    return Table(
        kind,
        np.arange(1, len(names) + 1, dtype=np.uint32),
        names,
        np.array([len(v) for v in values], np.uint64),
        np.concatenate(times),
        (np.arange(n) % 3).astype(np.uint8),
        (np.arange(n) % 20).astype(np.uint8),
        pa.array(np.concatenate(values), arrow_type(kind)),
    )


def signals() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    return {
        "ADC": np.round(rng.normal(5, 0.003, ROWS) * 3276.8) / 3276.8,
        "FLOAT": rng.normal(1500, 0.3, ROWS).astype("f4").astype("f8"),
        "NOISE": rng.normal(1500, 0.3, ROWS),
        "ODD": np.array([np.nan, np.inf, -np.inf, -0.0] * (ROWS // 4)),
        "STEP": np.floor(np.arange(ROWS) / 600) % 7,
    }


def asked(query: str) -> list[Any]:
    """What DuckDB answers."""
    return duckdb.execute(query).fetchall()


def encodings(path: Path, column: str) -> set[str]:
    """What is said of a column's row groups."""
    meta = pq.ParquetFile(path).metadata
    found = set()
    for group in range(meta.num_row_groups):
        for number in range(meta.num_columns):
            chunk = meta.row_group(group).column(number)
            if chunk.path_in_schema == column:
                found.add("RLE_DICTIONARY" if "RLE_DICTIONARY" in chunk.encodings else chunk.encodings[-1])
    return found


@pytest.mark.parametrize("tight", [False, True])
def test_every_engine_reads_what_was_written(tmp_path: Path, tight: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archiver.store.segment.ROW_GROUP", ROWS)
    path = tmp_path / "double" / "a.parquet"
    made = signals()
    table = table_of(list(made), list(made.values()))
    write_segment(path, "double", [table], tight=tight)
    if tight:
        # each row group has what suits its PV
        assert encodings(path, "value") == {"RLE_DICTIONARY", "BYTE_STREAM_SPLIT"}
    meta = pq.read_metadata(path)
    assert (meta.num_rows, meta.num_row_groups) == (5 * ROWS, 5)
    expected = np.concatenate(list(made.values()))
    read = pq.read_table(path)
    assert read.column("value").to_numpy().tobytes() == expected.tobytes()
    assert np.array_equal(read.column("time").cast(pa.int64()).to_numpy(), table.time_ns)
    assert read.column("severity").to_numpy().tolist() == table.severity.tolist()
    assert read.column("status").to_numpy().tolist() == table.status.tolist()
    assert read.column("pv").to_pylist() == [name for name in made for _ in range(ROWS)]
    by_name = (
        "select pv, count(*), min(value), max(value), sum(severity) from {} where pv in ('ADC', 'NOISE') group by pv"
    )
    plain = [
        (name, ROWS, made[name].min(), made[name].max(), int(table.severity[i * ROWS : (i + 1) * ROWS].sum()))
        for i, name in enumerate(made)
        if name in ("ADC", "NOISE")
    ]
    assert sorted(asked(by_name.format(f"'{path}'"))) == plain
    answer = chdb.query(by_name.format(f"file('{path}')") + " order by pv", "ArrowTable")
    rows = [tuple(row.values()) for row in answer.to_pylist()]
    assert [tuple(v.decode() if isinstance(v, bytes) else v for v in row) for row in rows] == plain
    epochs = asked(f"select epoch_ns(min(time)), epoch_ns(max(time)) from '{path}'")
    assert epochs == [(int(table.time_ns.min()), int(table.time_ns.max()))]


def test_the_tight_encoding_is_the_smaller_one(tmp_path: Path) -> None:
    made = signals()
    sizes = {}
    for name, values in made.items():
        for tight in (False, True):
            path = tmp_path / f"{name}-{tight}.parquet"
            write_segment(path, "double", [table_of([name], [values])], tight=tight)
            sizes[name, tight] = path.stat().st_size / ROWS
    assert all(sizes[name, True] <= sizes[name, False] * 1.01 for name in made)
    # stamps that jitter by 50 us cost two bytes or so
    assert sizes["ADC", True] < 4.5
    assert sizes["FLOAT", True] < 5.5
    assert sizes["NOISE", True] < 9
    assert sizes["STEP", True] < 3


def test_stamps_that_pvs_share_are_kept_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    n, pvs = 600, 100
    stamps = START + np.arange(n) * NS + rng.integers(0, 900_000, n)
    values = np.round(rng.normal(size=n * pvs), 1)
    names = [f"P{i:03d}" for i in range(pvs)]
    zero = np.zeros(n * pvs, np.uint8)
    table = Table(
        "double",
        np.arange(pvs, dtype=np.uint32),
        names,
        np.full(pvs, n),
        np.tile(stamps, pvs),
        zero,
        zero,
        pa.array(values),
    )
    path = tmp_path / "shared.parquet"
    write_segment(path, "double", [table], tight=True)
    assert encodings(path, "time") == {"RLE_DICTIONARY"}
    assert np.array_equal(pq.read_table(path).column("time").cast(pa.int64()).to_numpy(), table.time_ns)
    assert path.stat().st_size < n * pvs * 1.5


@given(
    groups=st.lists(st.lists(st.floats(width=64), min_size=1, max_size=30), min_size=1, max_size=20),
    split=st.lists(st.booleans(), min_size=20, max_size=20),
)
@settings(max_examples=50, deadline=None)
def test_row_groups_of_any_encoding_become_one_file(groups: list[list[float]], split: list[bool]) -> None:
    sink = io.BytesIO()
    writer = RowGroupWriter(sink)
    for values, way in zip(groups, split, strict=False):
        one = io.BytesIO()
        options: dict[str, Any] = (
            {"column_encoding": {"v": "BYTE_STREAM_SPLIT"}, "use_dictionary": False} if way else {}
        )
        pq.write_table(pa.table({"v": pa.array(values, pa.float64())}), one, store_schema=False, **options)
        writer.add(one.getvalue())
    writer.close()
    file = pq.ParquetFile(sink)
    assert file.metadata.num_row_groups == len(groups)
    assert file.metadata.num_rows == sum(map(len, groups))
    for number, values in enumerate(groups):
        assert file.read_row_group(number).column("v").to_numpy().tobytes() == np.array(values, float).tobytes()


def test_what_is_no_parquet_file_is_refused() -> None:
    writer = RowGroupWriter(io.BytesIO())
    for rubbish in (b"", b"PAR1", b"PAR1....PAR1", b"PAR1\xff\xff\xff\x7fPAR1"):
        with pytest.raises(ValueError, match="no Parquet file"):
            writer.add(rubbish)
    with pytest.raises(ValueError, match="no row group"):
        writer.close()


def test_a_pv_may_go_on_in_the_next_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archiver.store.sidecar.GROUP", 16)
    whole = table_of(["A", "B", "C"], [np.arange(100.0), np.arange(5000.0), np.arange(300.0)])

    def part(pvs: list[int], start: int, end: int) -> Table:
        lengths = np.diff(np.clip([0, 100, 5100, 5400], start, end))
        cut = slice(start, end)
        return Table(
            "double",
            whole.pv[pvs],
            [whole.names[i] for i in pvs],
            lengths[lengths > 0],
            whole.time_ns[cut],
            whole.severity[cut],
            whole.status[cut],
            whole.values.slice(start, end - start),
        )

    one, two = tmp_path / "one.parquet", tmp_path / "two.parquet"
    index = write_segment(one, "double", [whole], summaries=True)
    tables = [part([0, 1], 0, 1000), part([1], 1000, 1001), part([1], 1001, 4000), part([1, 2], 4000, 5400)]
    assert np.array_equal(write_segment(two, "double", tables, summaries=True), index)
    assert pq.read_table(one).equals(pq.read_table(two))
    assert np.array_equal(load_index(index_path(two)), index)
    for unit, start, count in ((60, "minute", "minutes"), (3600, "hour", "hours")):
        for row, first in zip(index, (0, 100, 5100), strict=True):
            ending = f".{start}.parquet"
            file = SummaryFile(pa.memory_map(str(two.with_suffix(ending))), unit)
            found = file.read(int(row[start]), int(row[count]))
            rows = slice(first, first + int(row["rows"]))
            values = whole.values.to_numpy()[rows]
            expected = summarise(whole.time_ns[rows], values, whole.severity[rows], unit)
            assert found.number.tolist() == expected.number.tolist()
            assert found.count.tolist() == expected.count.tolist()
            np.testing.assert_allclose(found.m2, expected.m2, rtol=1e-9)
            file.close()
    last = index[1]
    assert (int(last["rows"]), int(last["start"]), float(last["value"]), int(last["known"])) == (5000, 100, 4999.0, 1)


def test_slow_pvs_have_no_summaries_and_summaries_are_for_all_engines(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    fast, slow = np.arange(600.0), np.arange(600.0)
    table = table_of(["FAST"], [fast])
    late = table_of(["SLOW"], [slow], period=10 * NS)
    index = write_segment(path, "double", [table, Table(**{**vars(late), "pv": late.pv + 1})], summaries=True)
    assert index["minutes"].tolist() == [11, 0]
    assert index["hours"].tolist() == [1, 2]
    found = asked(f"select pv, sum(count), min(low), max(high) from '{path.with_suffix('.hour.parquet')}' group by pv")
    assert sorted(found) == [("FAST", 600, 0.0, 599.0), ("SLOW", 600, 0.0, 599.0)]


def test_an_index_of_version_1_is_understood(tmp_path: Path) -> None:
    index = np.zeros(3, INDEX)
    index["pv"], index["rows"], index["start"] = [1, 5, 9], [10, 20, 30], [0, 10, 30]
    old = index[["pv", "rows", "start", "oldest", "newest"]].astype(np.dtype(INDEX.descr[:5]))
    save_index(tmp_path / "old.npy", old)
    assert np.array_equal(load_index(tmp_path / "old.npy"), index)
    for rubbish in (b"", b"\x93NUMPY", b"x" * 200):
        with pytest.raises((ValueError, EOFError)):
            load_index(rubbish)
    content = (tmp_path / "old.npy").read_bytes()
    with pytest.raises(ValueError, match="no index"):
        load_index(content[:-8])


def test_large_arrays_come_piece_by_piece(tmp_path: Path) -> None:
    elements, samples = 131_072, 60
    writer = opened(tmp_path)
    pv = writer.add_pvs(["W"])["W"]
    for i in range(samples):
        made = columns_of(Dbr.CHAR, [pv], [START + i * NS], [0])
        values = np.full((1, elements), float(i))
        writer.append(Columns(Dbr.DOUBLE, True, made.pv, made.time_ns, made.severity, made.status, values))
    writer.roll()
    writer.convert_next()
    (segment,) = writer.manifest.segments
    with_groups = SegmentFile(tmp_path / "segments" / segment.name, segment.kind)
    assert len(with_groups.ends) >= samples // 8
    (batch,) = list(with_groups.batches(0, samples, START + 30 * NS, START + 30 * NS))
    assert samples_of_batch(batch, Dbr.DOUBLE, True).values.shape == (1, elements)
    with_groups.close()
    reader = StoreReader(tmp_path)
    low = pa.total_allocated_bytes()
    tracemalloc.start()
    most = 0
    seen = []
    for piece in reader.read("W", START, START + samples * NS):
        most = max(most, pa.total_allocated_bytes() - low)
        seen += piece.values[:, 0].tolist()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seen == list(range(samples))
    # 60 MB of samples were never in memory at once
    assert most < 30 << 20
    assert peak < 30 << 20
    assert reader.newest(["W"], START + 7 * NS)["W"].values[0, 0] == 7
    writer.close()
    reader.close()
