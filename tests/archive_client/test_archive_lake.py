"""The archive in SQL: DuckDB over it, and the statements for other engines, tried out where they can be."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from retrieval.archive_fill import NS, T0, Filler

from archiver.lake.ddl import statements
from archiver.lake.views import TABLES, Lake, LakeError
from archiver.store import Dbr, StoreReader


@pytest.fixture(scope="module")
def lake(filled: Path) -> Iterator[Lake]:
    lake = Lake(filled, threads=2, utc=True)
    yield lake
    lake.close()


def rows(lake: Lake, sql: str) -> list[dict]:
    return [row for batch in lake.ask(sql).batches for row in batch.to_pylist()]


def values(lake: Lake, sql: str) -> list:
    return [value for row in rows(lake, sql) for value in row.values()]


def test_a_view_per_type_has_what_the_reader_has(lake: Lake, filled: Path):
    reader = StoreReader(filled)
    seen = 0
    for kind in ("double", "float", "long", "short", "char", "enum", "string"):
        for suffix in ("", "_array"):
            found = rows(lake, f"SELECT pv, time_ns AS t, value, severity, status FROM {kind}{suffix}")
            for pv in {row["pv"] for row in found}:
                mine = sorted((row for row in found if row["pv"] == pv), key=lambda row: row["t"])
                pieces = [p for p in reader.read(pv, 0, 2**62) if p.dbr.name.lower() == kind]
                assert [row["t"] for row in mine] == [t for p in pieces for t in p.time_ns.tolist()]
                assert [row["severity"] for row in mine] == [s for p in pieces for s in p.severity.tolist()]
                expected = [v.tolist() if isinstance(v, np.ndarray) else v for p in pieces for v in p.values.tolist()]
                assert repr([row["value"] for row in mine]) == repr(expected)
                seen += len(mine)
    assert seen == sum(total.samples for total in reader.infos()) > 76_000
    reader.close()


def test_samples_of_the_log_s_tail_are_there(lake: Lake):
    assert values(lake, "SELECT count(*) FROM double WHERE pv = 'T:Ramp'") == [100]
    assert values(lake, "SELECT max(severity) FROM double WHERE pv = 'T:Ramp' AND epoch(time) < " + str(T0 + 60)) == [0]
    assert values(lake, "SELECT value FROM double WHERE pv = 'Other:A[0]'") == [1.0]


def test_functions_of_time_work(lake: Lake):
    hours = (
        "SELECT date_trunc('hour', time) AS h, bucket(3600, time) AS b, count(*) AS n FROM double WHERE pv = 'T:Day'"
    )
    found = rows(lake, f"{hours} AND time < TIMESTAMPTZ '2026-11-20 10:00:00+00' GROUP BY ALL ORDER BY h")
    assert [(row["h"] == row["b"], row["n"]) for row in found] == [(True, 3600), (True, 3600)]


def test_pvs_metadata_and_connections(lake: Lake):
    (ramp,) = rows(lake, "SELECT * FROM pvs WHERE name = 'T:Ramp'")
    assert (ramp["type"], ramp["units"], ramp["samples"]) == ("double", "V", 100)
    assert values(lake, "SELECT epoch_us(first) FROM pvs WHERE name = 'T:Ramp'") == [T0 * 1_000_000 + 123_456]
    assert rows(lake, "SELECT type, samples FROM pvs WHERE name = 'T:Empty'") == [{"type": None, "samples": 0}]
    assert values(lake, "SELECT value FROM metadata WHERE pv = 'T:Enum' ORDER BY key") == ["Off", "On", "Trip"]
    assert values(lake, "SELECT event FROM connections ORDER BY time") == []


@pytest.mark.parametrize(("table", "seconds"), [("minutes", 60), ("hours", 3600)])
def test_minutes_and_hours(lake: Lake, table: str, seconds: int):
    found = rows(lake, f"SELECT *, epoch_us(time) AS t FROM {table} WHERE pv = 'T:Day' ORDER BY time")
    hours = np.concatenate([np.arange(0, 40_000), np.arange(50_000, 86_400)])
    data = np.sin(hours / 1000)
    data[12_345] = 99.0
    code = (T0 + hours) // seconds
    numbers = np.unique(code)
    assert [row["t"] // 1_000_000 // seconds for row in found] == numbers.tolist()
    for row, number in zip(found, numbers, strict=True):
        part = data[code == number]
        assert row["count"] == len(part)
        assert row["min"] == part.min() and row["max"] == part.max()
        assert row["first"] == part[0] and row["last"] == part[-1]
        assert row["mean"] == pytest.approx(part.mean()) and row["std"] == pytest.approx(part.std(ddof=1), abs=1e-9)


def test_a_bin_in_several_segments_and_the_tail_is_one(tmp_path: Path):
    filler = Filler(tmp_path)
    offset = 1e6  # where naive sums of squares would be lost
    rng = np.random.default_rng(1)
    data = offset + rng.normal(size=600) * 1e-4
    for start in range(0, 500, 100):
        filler.put("A", Dbr.DOUBLE, (T0 + np.arange(start, start + 100)) * NS, data[start : start + 100])
        filler.segment()
    filler.put("A", Dbr.DOUBLE, (T0 + np.arange(500, 600)) * NS, data[500:])
    filler.put("B", Dbr.DOUBLE, (T0 + np.arange(3)) * NS, np.array([1.0, np.nan, 3.0]))
    filler.close()
    lake = Lake(tmp_path, utc=True)
    (row,) = rows(lake, "SELECT * FROM hours WHERE pv = 'A'")
    assert row["count"] == 600 and row["std"] == pytest.approx(data.std(ddof=1), rel=1e-6)
    assert rows(lake, "SELECT count, mean FROM minutes WHERE pv = 'B'") == [{"count": 2, "mean": 2.0}]
    lake.close()


def test_renamed_and_deleted_pvs(tmp_path: Path):
    filler = Filler(tmp_path)
    for name in ("Old", "Gone", "Stays"):
        filler.put(name, Dbr.LONG, (T0 + np.arange(3)) * NS, np.arange(3, dtype=np.int32))
    filler.segment()
    filler.writer.rename({"Old": "New"})
    filler.writer.forget(["Gone"])
    filler.put("New", Dbr.LONG, (T0 + 10) * NS, np.array([10], np.int32))
    filler.put("Old", Dbr.LONG, (T0 + 20) * NS, np.array([20], np.int32))  # another PV of the old name
    filler.segment()
    filler.close()
    lake = Lake(tmp_path)
    found = {pv: values(lake, f"SELECT value FROM long WHERE pv = '{pv}' ORDER BY time") for pv in ("Old", "New")}
    assert found == {"Old": [20], "New": [0, 1, 2, 10]}
    assert values(lake, "SELECT DISTINCT pv FROM long ORDER BY pv") == ["New", "Old", "Stays"]
    assert values(lake, "SELECT sum(count) FROM minutes WHERE pv = 'New'") == [4]
    assert values(lake, "SELECT name FROM pvs ORDER BY name") == ["New", "Old", "Stays"]
    lake.close()


def test_strays_are_not_read(filled: Path, tmp_path: Path):
    filler = Filler(tmp_path)
    filler.put("A", Dbr.DOUBLE, T0 * NS, np.array([1.0]))
    filler.segment()
    filler.close()
    (segment,) = tmp_path.glob("segments/double/*.parquet")
    (segment.parent / "minutes-2026-11-20-0000000009-0000000009-00000099.parquet").write_bytes(segment.read_bytes())
    lake = Lake(tmp_path)
    assert values(lake, "SELECT count(*) FROM double") == [1]
    lake.close()


def test_an_empty_archive_has_all_tables(tmp_path: Path):
    lake = Lake(tmp_path)
    for table in TABLES:
        assert rows(lake, f"SELECT * FROM {table}") == [], table
    assert sorted(values(lake, "SELECT name FROM (SHOW TABLES) WHERE name NOT LIKE '\\_%' ESCAPE '\\'")) == sorted(
        TABLES
    )
    lake.close()


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("DROP VIEW double", "only answers"),
        ("COPY double TO '/tmp/x.csv'", "only answers"),
        ("SET threads = 1", "only answers"),
        ("INSTALL httpfs", "only answers"),
        ("SELECT 1; SELECT 2", "one thing"),
        ("", "no question"),
        ("SELECT * FROM read_csv('/etc/passwd')", "disabled by configuration"),
        ("SELECT * FROM '/etc/passwd'", ""),
        ("SELEKT 1", "syntax error"),
        ("SELECT nothing FROM double", "nothing"),
        ("SELECT * FROM nowhere", "nowhere"),
    ],
)
def test_what_is_no_question(lake: Lake, sql: str, words: str):
    with pytest.raises(LakeError) as error:
        rows(lake, sql)
    assert words in str(error.value)


def test_an_answer_that_takes_too_long(lake: Lake):
    with pytest.raises(LakeError, match="no answer within"):
        for _ in lake.ask("SELECT sum(a.i * b.i) FROM range(1000000) a(i), range(1000000) b(i)", 0.2).batches:
            pass


def test_duckdb_s_statements(filled: Path, lake: Lake):
    import duckdb

    for pattern in (False, True):
        connection = duckdb.connect()
        for statement in statements("duckdb", filled, pattern):
            connection.execute(statement)
        got = connection.execute("SELECT count(*), sum(value) FROM owl_double WHERE pv = 'T:Day'").fetchall()
        assert [got[0][0]] == values(lake, "SELECT count(*) FROM double WHERE pv = 'T:Day'")
        assert connection.execute("SELECT count(*) FROM owl_long_array").fetchall() == [(6,)]
        connection.close()


CLICKHOUSE = """
import json, sys
from chdb import session
s = session.Session()
for statement in json.load(sys.stdin):
    s.query(statement)
for question in sys.argv[1:]:
    print("answer", s.query(question, "JSONCompactEachRow"))
s.close()
"""


@pytest.mark.parametrize("pattern", [False, True])
def test_clickhouse_s_statements(filled: Path, pattern: bool):
    pytest.importorskip("chdb", reason="chdb, the ClickHouse engine, is not installed")
    made = list(statements("clickhouse", filled, pattern))
    questions = [
        "SELECT count(), min(value), max(value), toUnixTimestamp64Nano(min(time)) FROM owl_double WHERE pv = 'T:Day'",
        "SELECT groupArray(value) FROM (SELECT * FROM owl_enum ORDER BY time)",
        "SELECT value FROM owl_double_array WHERE pv = 'T:Doubles' ORDER BY time LIMIT 1",
        "SELECT value FROM owl_string WHERE pv = 'T:String' ORDER BY time LIMIT 2",
    ]
    run = subprocess.run(
        [sys.executable, "-c", CLICKHOUSE, *questions],
        input=json.dumps(made),
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert run.returncode == 0, run.stderr
    first, enums, arrays, texts = (
        [json.loads(line) for line in part.strip().splitlines()] for part in run.stdout.split("answer ")[1:]
    )
    assert first[0][0] in (76_400, "76400") and first[0][2] == 99.0
    assert int(first[0][3]) == T0 * NS
    assert enums == [[[0, 1, 2, 1, 0]]]
    assert arrays == [[[0.0, 1.0]]]
    assert texts == [[""], ['say "hi"\\']]


def test_statements_for_engines_that_are_not_here(filled: Path):
    spark = "\n".join(statements("spark", filled))
    assert "nanosAsLong" in spark and "parquet.`/" in spark
    trino = "\n".join(statements("trino", filled))
    assert "SymlinkTextInputFormat" in trino and "ARRAY<DOUBLE>" in trino and "owl_connections" not in trino
