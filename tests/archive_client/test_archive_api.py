"""The Python API, over HTTP and over files."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import math
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from archive_client.test_raw_reader import event_line, header_line
from retrieval.archive_fill import NS, T0, Server
from typer.testing import CliRunner

from archiver.cli import app
from archiver.client import Archive, ArchiveError, AsyncArchive, Sample, UnknownPv
from archiver.client.columns import cast, common_type
from archiver.client.moments import moment_ns
from archiver.client.statistics import statistics
from archiver.store import StoreWriter

START, END = "2026-11-20T08:00:00Z", "2026-11-20T09:00:00Z"


@pytest.fixture(params=["http", "folder"])
def archive(request: pytest.FixtureRequest, server: Server) -> Iterator[Archive]:
    with Archive(server.url if request.param == "http" else server.folder) as archive:
        yield archive


def test_a_table(archive: Archive):
    table = archive.get("T:Ramp", START, END)
    assert table.schema.names == ["time", "value", "severity", "status"]
    assert [str(f.type) for f in table.schema] == ["timestamp[ns, tz=UTC]", "double", "uint8", "uint16"]
    assert table["time"].cast("int64")[0].as_py() == T0 * NS + 123_456_789
    assert table["value"].to_pylist() == [n * 0.5 for n in range(100)]
    assert table["severity"].to_pylist()[-1] == 2 and table["status"].to_pylist()[-1] == 3
    assert table.schema.metadata[b"EGU"] == b"V" and table.schema.metadata[b"name"] == b"T:Ramp"
    assert float(table.schema.metadata[b"PREC"]) == 3


def test_both_ways_give_the_same(server: Server):
    with Archive(server.url) as http, Archive(server.folder) as files:
        names = http.pvs("T:*")
        assert names == files.pvs("T:*")
        one, other = http.get_many(names, START, END), files.get_many(names, START, END)
        for name in names:
            if name != "T:Empty":
                assert one[name].schema.field("value").type == other[name].schema.field("value").type, name
            assert repr(one[name].to_pydict()) == repr(other[name].to_pydict()), name
            assert one[name].schema.metadata == other[name].schema.metadata, name
        # JSON has no word for an infinite value
        assert repr(http.at("T:*", END)) == repr(files.at("T:*", END)).replace("inf", "nan")


@pytest.mark.parametrize(
    ("pv", "kind", "values"),
    [
        ("T:Short", "int16", [-32768, -1, 0, 1, 32767]),
        ("T:Enum", "uint16", [0, 1, 2, 1, 0]),
        ("T:Char", "uint8", [0, 10, 13, 27, 255]),
        ("T:Long", "int32", [-(2**31), -1, 0, 1, 2**31 - 1]),
        ("T:String", "string", ["", 'say "hi"\\', "line\nfeed", "µA", "x" * 39]),
        ("T:Doubles", "list<item: double>", [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [1, 2, 3]]),
        ("T:Strings", "list<item: string>", [["a", ""], ["b,c", "d"]]),
        ("T:Changed", "double", [0, 1, 2, 3, 4, 0.25, 1.25, 2.25, 3.25, 4.25]),
    ],
)
def test_every_type(archive: Archive, pv: str, kind: str, values: list):
    table = archive.get(pv, START, END)
    assert str(table.schema.field("value").type).replace("element", "item") == kind
    assert table["value"].to_pylist() == values


def test_states_have_names(archive: Archive):
    table = archive.get("T:Enum", START, END, states=True)
    assert table["state"].to_pylist() == ["Off", "On", "Trip", "On", "Off"]
    assert archive.get("T:Ramp", START, END, states=True)["state"].null_count == 100


def test_pandas_and_polars(archive: Archive):
    frame = archive.get("T:Ramp", START, END).to_pandas().set_index("time")
    assert frame["value"].max() == 49.5 and str(frame.index.dtype) == "datetime64[ns, UTC]"
    polars = pytest.importorskip("polars", reason="polars is not installed")
    assert polars.from_arrow(archive.get("T:Ramp", START, END))["value"].sum() == 49.5 * 50


def test_operators(archive: Archive):
    table = archive.get("T:Ramp", START, "2026-11-20T08:01:59Z", operator="mean_60")
    assert table["value"].to_pylist() == [14.75, 39.75]
    table = archive.get("T:Day", START, "2026-11-21T00:00:00Z", operator="optimized_100")
    assert max(v[3] for v in table["value"].to_pylist()) == 99.0
    with pytest.warns(UserWarning, match="nonsense"):
        assert len(archive.get("T:Ramp", START, END, operator="nonsense_5")) == 100


def test_the_newest_before_a_time(archive: Archive):
    found = archive.at(["T:Ramp", "T:Enum", "T:Empty", "T:Nope"], "2026-11-20T08:00:02Z")
    assert sorted(found) == ["T:Enum", "T:Ramp"]
    ramp = found["T:Ramp"]
    assert isinstance(ramp, Sample) and (ramp.value, ramp.time_ns) == (0.5, (T0 + 1) * NS + 123_456_789)
    assert ramp.time == dt.datetime(2026, 11, 20, 8, 0, 1, 123456, dt.UTC) and ramp.metadata["EGU"] == "V"
    assert found["T:Enum"].severity == 2
    assert archive.at([], "now") == {}
    fields = archive.at(["T:Ramp.EGU", "T:Ramp.PREC", "T:Ramp.VAL", "T:Ramp.NONE"], "now")
    assert {name: sample.value for name, sample in fields.items()} == {
        "T:Ramp.EGU": "V",
        "T:Ramp.PREC": 3.0,
        "T:Ramp.VAL": 49.5,
    }


def test_names_and_facts(archive: Archive):
    assert archive.pvs("T:D*") == ["T:Day", "T:Double", "T:Doubles"]
    assert archive.info("T:Enum")["ENUM_2"] == "Trip"
    assert archive.get("T:Empty").num_rows == 0
    assert "Archive(" in repr(archive)


def test_a_stream_of_batches(archive: Archive):
    reading = archive.read("T:Day", START, "2026-11-21T08:00:00Z")
    assert sum(len(batch) for batch in reading.batches) == 76_400


def test_errors_say_what_is_wrong(archive: Archive):
    with pytest.raises(UnknownPv, match="T:Nope is not in the archive"):
        archive.get("T:Nope")
    with pytest.raises(UnknownPv):
        archive.info("T:Nope")
    with pytest.raises(ValueError, match="is no time"):
        archive.get("T:Ramp", "soonish")
    with pytest.raises(ValueError, match="is before the start"):
        archive.get("T:Ramp", END, START)
    with pytest.raises(ArchiveError):
        archive.get("mean_60(T:Ramp")


def test_what_is_no_archive(tmp_path: Path):
    with pytest.raises(ArchiveError, match="there is no folder"):
        Archive(tmp_path / "nothing")
    with pytest.raises(ArchiveError, match="is no address"):
        Archive("ftp://somewhere")
    with pytest.raises(ArchiveError, match="no archiver answers"):
        Archive("http://127.0.0.1:1").pvs()


async def test_async(server: Server):
    archive = AsyncArchive(server.url)
    tables = await asyncio.gather(*(archive.get("T:Ramp", START, END) for _ in range(3)))
    assert [len(t) for t in tables] == [100] * 3
    assert await archive.pvs("T:Ramp") == ["T:Ramp"] and (await archive.info("T:Ramp"))["EGU"] == "V"
    assert (await archive.at(["T:Ramp"]))["T:Ramp"].value == 49.5
    assert len(await archive.get_many(["T:Ramp", "T:Enum"], START, END)) == 2
    archive.close()


NOW = T0 * NS


@pytest.mark.parametrize(
    "moment",
    [
        "2026-11-20T08:00:01.5Z",
        dt.datetime(2026, 11, 20, 8, 0, 1, 500_000, dt.UTC),
        dt.datetime(2026, 11, 20, 9, 0, 1, 500_000, dt.timezone(dt.timedelta(hours=1))),
        pd.Timestamp("2026-11-20T08:00:01.5Z"),
        np.datetime64("2026-11-20T08:00:01.5"),
        dt.timedelta(seconds=1.5),
        T0 + 1.5,
        np.float64(T0 + 1.5),
        "+1.5s",
    ],
)
def test_times_of_all_kinds(moment: object):
    assert moment_ns(moment, NOW) == NOW + 1_500_000_000


def test_nanoseconds_are_kept():
    assert moment_ns(pd.Timestamp(NOW + 123_456_789, tz="UTC"), 0) == NOW + 123_456_789
    assert moment_ns(np.datetime64(NOW + 1, "ns"), 0) == NOW + 1
    assert moment_ns(T0, 0) == NOW


@pytest.mark.parametrize("moment", [None, object(), math.nan, 1e300, [1], "soonish"])
def test_what_is_no_moment(moment: object):
    with pytest.raises(ValueError, match="is no time"):
        moment_ns(moment, NOW)


class Fake:
    """A server that answers everything with the same bytes."""

    def __init__(self, body: bytes, whole: bool = True) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        length = len(body) + (0 if whole else 10)
        self._answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % length + body
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            with client:
                client.recv(1 << 16)
                client.sendall(self._answer)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)


EVENT = event_line(6, {"seconds": 1, "nano": 2, "val": 3.5})


@pytest.mark.parametrize(
    ("body", "whole", "rows"),
    [
        (header_line(6) + b"\n" + header_line(6) + EVENT, True, 1),
        (header_line(6), True, 0),
        (b"", True, 0),
        (header_line(6) + EVENT, False, None),
        ((header_line(6) + EVENT)[:-3], True, None),
        (header_line(6) + EVENT + b"\xff\n", True, None),
        (b"<html>no</html>\n", True, None),
    ],
)
def test_servers_that_answer_otherwise(body: bytes, whole: bool, rows: int | None):
    server = Fake(body, whole)
    try:
        with Archive(server.url) as archive:
            if rows is None:
                with pytest.raises(ArchiveError) as error:
                    archive.get("A:B")
                assert "\n" not in str(error.value)
            else:
                assert len(archive.get("A:B")) == rows
            for call in (lambda: archive.pvs("*"), lambda: archive.at(["A"]), lambda: archive.info("A")):
                with pytest.raises(ArchiveError):
                    call()
    finally:
        server.close()


def test_types_that_have_to_become_one():
    assert common_type([]) == pa.float64()
    assert common_type([pa.int16(), pa.uint16()]) == pa.int32()
    assert common_type([pa.float32(), pa.int32()]) == pa.float64()
    assert common_type([pa.float64(), pa.list_(pa.int16())]) == pa.list_(pa.float64())
    assert common_type([pa.string(), pa.float64()]) == pa.string()
    assert cast(pa.array([1.5]), pa.list_(pa.float64())).to_pylist() == [[1.5]]
    assert cast(pa.array([[1, 2]]), pa.string()).to_pylist() == ["[1, 2]"]


def test_statistics(archive: Archive):
    reading = archive.read("T:Day", START, "2026-11-21T00:00:00Z")
    found = statistics(reading, T0 * NS, (T0 + 57_600) * NS)
    hours = np.concatenate([np.arange(0, 40_000), np.arange(50_000, 57_601)])
    data = np.sin(hours / 1000)
    data[12_345] = 99.0
    assert found.samples == len(data) and found.high == 99.0 and found.high_ns == (T0 + 12_345) * NS
    assert found.mean == pytest.approx(data.mean()) and found.std == pytest.approx(data.std(ddof=1))
    assert found.interval_s == pytest.approx(1.0)
    assert found.gaps == [((T0 + 39_999) * NS, 10_001 * NS)]
    found = statistics(archive.read("T:Double", START, END), T0 * NS, (T0 + 60) * NS)
    assert (found.samples, found.numbers, found.severities) == (5, 2, [2, 0, 0, 3])
    reading = archive.read("T:Ramp", "2026-11-20T08:00:10Z", "2026-11-20T08:00:12Z")
    found = statistics(reading, (T0 + 10) * NS, (T0 + 12) * NS)
    assert found.samples == 2  # the one before the start is not in the window


def run(*args: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(args), prog_name="owl archive", env={"COLUMNS": "200"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


@pytest.fixture(params=["http", "folder"])
def place(request: pytest.FixtureRequest, server: Server) -> tuple[str, str]:
    return ("--url", server.url) if request.param == "http" else ("--folder", str(server.folder))


def test_the_command_at(place: tuple[str, str]):
    code, out = run("at", "2026-11-20T08:00:02Z", "T:Ramp", "T:En*", "T:Empty", "--utc", *place)
    assert code == 0
    head, *rows = (line.split() for line in out.splitlines())
    assert head[:3] == ["PV", "value", "unit"]
    assert rows[0] == ["T:Ramp", "0.500", "V", "2026-11-20", "08:00:01.123456"]
    assert rows[1][:2] == ["T:Enum", "Trip"] and rows[1][-2:] == ["MAJOR", "STATE"]
    assert rows[-1] == ["T:Empty", "no", "sample"]
    code, out = run("at", "2026-11-20T08:00:02Z", "T:Ramp", "--json", *place)
    assert json.loads(out)["T:Ramp"]["time"] == "2026-11-20T08:00:01.123456789Z"
    assert run("at", "now", "T:Empty", *place)[0] == 1


def test_the_command_stats(place: tuple[str, str]):
    window = ("--from", START, "--to", END)
    code, out = run("stats", "T:Ramp", *window, *place)
    assert code == 0 and "100 (0.02778 per s)" in out and "MAJOR" in out
    code, out = run("stats", "T:Ramp", "T:Enum", *window, *place)
    assert code == 0 and len(out.splitlines()) == 3
    code, out = run("stats", "T:*", *window, "--json", *place)
    found = json.loads(out)
    assert found["T:Enum"]["states"] == {"0": 2, "1": 2, "2": 1} and found["T:Ramp"]["mean"] == 24.75


def test_figures_of_the_archive(server: Server):
    code, out = run("stats", "--folder", str(server.folder))
    assert code == 0 and "bytes each" in out and "76,588" in out.replace("76,587", "76,588")
    code, out = run("stats", "--folder", str(server.folder), "--json")
    found = json.loads(out)
    assert found["pvs"] == 21 and sum(row["samples"] for row in found["tiers"]) == found["received"] + 0


def test_what_was_left_out_as_asked_is_not_called_dropped(tmp_path: Path):
    writer = StoreWriter(tmp_path / "archive")
    writer.open()
    writer.append_drops(Counter({"scan": 5, "overflow": 2}))
    writer.roll()
    while writer.convert_next():
        pass
    writer.close()
    code, out = run("stats", "--folder", str(tmp_path / "archive"))
    shown = [line.split() for line in out.splitlines()]
    assert code == 0 and ["left", "out", "5", "scan"] in shown and ["dropped", "2", "overflow"] in shown


def test_the_command_verify(server: Server, tmp_path: Path):
    code, out = run("verify", "--folder", str(server.folder))
    assert code == 0 and out.startswith("all is well")
    code, out = run("verify", "--folder", str(server.folder), "--json", "--quick")
    assert code == 0 and json.loads(out)["ok"]


def test_damage_is_found_and_the_manifest_made_anew(tmp_path: Path):
    from retrieval.archive_fill import Filler

    from archiver.store import Dbr

    filler = Filler(tmp_path)
    filler.put("A", Dbr.DOUBLE, (T0 + np.arange(100)) * NS, np.arange(100.0))
    filler.segment()
    filler.close()
    (tmp_path / "manifest.json").unlink()
    code, out = run("verify", "--folder", str(tmp_path))
    assert code == 1 and "rebuild" in out
    code, out = run("verify", "--rebuild", "--folder", str(tmp_path))
    assert code == 0, out
    with Archive(tmp_path) as archive:
        assert len(archive.get("A", START, END)) == 100
    (segment,) = tmp_path.glob("segments/double/*-????????.parquet")
    segment.write_bytes(segment.read_bytes()[:-20])
    code, out = run("verify", "--folder", str(tmp_path))
    assert code == 1 and segment.name in out


def test_the_command_sql(server: Server, tmp_path: Path):
    folder = ("--folder", str(server.folder))
    question = "SELECT pv, count(*) AS n, min(time) AS first FROM double WHERE pv LIKE 'T:R%' GROUP BY pv"
    code, out = run("sql", question, "--utc", *folder)
    assert code == 0 and out.splitlines()[1].split() == ["T:Ramp", "100", "2026-11-20", "08:00:00.123456"]
    code, out = run("sql", question, "--json", *folder)
    assert json.loads(out) == [{"pv": "T:Ramp", "n": 100, "first": "2026-11-20T08:00:00.123456000Z"}]
    code, out = run("sql", question, "--csv", *folder)
    assert out.splitlines()[1] == "T:Ramp,100,2026-11-20T08:00:00.123456000Z"
    file = tmp_path / "out.parquet"
    assert run("sql", "SELECT * FROM double", "--parquet", "-o", str(file), *folder)[0] == 0
    assert pa.parquet.read_metadata(file).num_rows > 76_000  # type: ignore[attr-defined]
    code, out = run("sql", "SELECT time FROM double", "--limit", "3", *folder)
    assert len(out.splitlines()) == 5 and "only the first 3 rows" in out
    assert run("sql", "SELECT nonsense", *folder)[0] == 1
    assert run("sql", "SELECT value FROM double_array WHERE pv = 'T:NanArray'", "--json", *folder)[1]
    assert run("sql", "SELECT 1 WHERE false", "--csv", *folder)[1] == "1\n"
