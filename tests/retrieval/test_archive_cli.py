"""`owl archive` as a shell user meets it."""

from __future__ import annotations

import csv
import io
import json
import math
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from archive_fill import NS, T0, Server
from hypothesis import given
from hypothesis import strategies as st
from support import free_port, owl
from typer.testing import CliRunner

from archiver.cli import app
from archiver.client.moments import iso_text, local_text, parse_moment

WINDOW = ("--from", "2026-11-20T08:00:10Z", "--to", "2026-11-20T08:00:12Z")


@dataclass
class Run:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture(autouse=True)
def shell(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A shell in Berlin that names no archiver."""
    for name in ("PYDM_ARCHIVER_URL", "OWLSHIFT_SITE", "OWLSHIFT_STATE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (("TZ", "Europe/Berlin"), ("NO_COLOR", "1"), ("COLUMNS", "200")):
        monkeypatch.setenv(name, value)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def archive(*args: str, **env: str) -> Run:
    """`owl archive …` in this process: starting one costs a second each."""
    result = CliRunner().invoke(app, list(args), env=env, prog_name="owl archive")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Run(result.exit_code, result.stdout_bytes.decode(), result.stderr)


@pytest.fixture(params=["http", "folder"])
def place(request: pytest.FixtureRequest, server: Server) -> tuple[str, str]:
    return ("--url", server.url) if request.param == "http" else ("--folder", str(server.folder))


def test_a_table_in_local_time(place: tuple[str, str]):
    run = archive("get", "T:Ramp", "--from", "2026-11-20T08:00:59.5Z", "--to", "2026-11-20T08:01:00.9Z", *place)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == (
        "time                        value (V)  severity  status\n"
        "2026-11-20 09:00:59.123456     29.500\n"
        "2026-11-20 09:01:00.123456     30.000  MAJOR     HIHI\n"
    )
    run = archive("get", "T:Ramp", "--from", "2026-11-20 09:00:10", "--to", "2026-11-20 09:00:10", "--utc", *place)
    assert run.stdout.splitlines()[1].startswith("2026-11-20 08:00:09.123456")


def test_states_have_names_and_arrays_are_cut_short(place: tuple[str, str]):
    run = archive("get", "T:Enum", "--from", "2026-11-20T08:00:02Z", "--to", "2026-11-20T08:00:02Z", *place)
    assert run.stdout.splitlines()[1].split()[2:] == ["Trip", "MAJOR", "STATE"]
    run = archive("get", "T:Doubles", "--from", "2026-11-20T08:00:09Z", "--to", "2026-11-20T08:00:12Z", *place)
    assert run.stdout.splitlines()[1].endswith("[8.0, 9.0]") and run.stdout.splitlines()[2].endswith("[1.0, 2.0, 3.0]")


def test_csv(place: tuple[str, str]):
    lines = list(
        csv.DictReader(
            io.StringIO(
                archive(
                    "get",
                    "T:Enum",
                    "--from",
                    "2026-11-20T08:00:00Z",
                    "--format",
                    "csv",
                    "--to",
                    "2026-11-20T09:00:00Z",
                    *place,
                ).stdout
            )
        )
    )
    assert [(r["value"], r["state"]) for r in lines[:3]] == [("0", "Off"), ("1", "On"), ("2", "Trip")]
    assert lines[2]["time"] == "2026-11-20T08:00:02.000000000Z" and (lines[2]["severity"], lines[2]["status"]) == (
        "2",
        "7",
    )
    run = archive(
        "get", "T:String", "--from", "2026-11-20T08:00:00Z", "--to", "2026-11-20T09:00:00Z", "--format", "csv", *place
    )
    texts = [r["value"] for r in csv.DictReader(io.StringIO(run.stdout, newline=""))]
    assert texts == ["", 'say "hi"\\', "line\nfeed", "µA", "x" * 39]


@pytest.mark.parametrize(
    ("pv", "values", "kind"),
    [
        ("T:Long", [-(2**31), -1, 0, 1, 2**31 - 1], "int32"),
        ("T:Changed", [0.0, 1.0, 2.0, 3.0, 4.0, 0.25, 1.25, 2.25, 3.25, 4.25], "double"),
        ("T:String", ["", 'say "hi"\\', "line\nfeed", "µA", "x" * 39], "string"),
        ("T:Shorts", [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [1, 2, 3]], "list<item: int16>"),
        ("T:Empty", [], "double"),
    ],
)
def test_parquet(place: tuple[str, str], tmp_path: Path, pv: str, values: list, kind: str):
    file = tmp_path / "out.parquet"
    window = ("--from", "2026-11-20T08:00:00Z", "--to", "2026-11-20T09:00:00Z")
    run = archive("get", pv, *window, "--format", "parquet", "-o", str(file), *place)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    table = pq.read_table(file)
    assert (
        table["value"].to_pylist() == values
        and str(table.schema.field("value").type).replace("element", "item") == kind
    )
    assert str(table.schema.field("time").type) == "timestamp[ns, tz=UTC]"
    assert table.schema.metadata[b"name"] == pv.encode()
    if values:
        assert table["time"].cast("int64").to_pylist()[0] == T0 * NS
    assert [p.name for p in tmp_path.iterdir()] == ["out.parquet"]


def test_json_is_the_server_s_own(place: tuple[str, str], server: Server):
    run = archive(
        "get", "T:Double", "--from", "2026-11-20T08:00:00Z", "--to", "2026-11-20T09:00:00Z", "--format", "json", *place
    )
    assert run.stdout == server.data("T:Double", "2026-11-20T08:00:00Z", "2026-11-20T09:00:00Z").text
    assert math.isnan(json.loads(run.stdout)[0]["data"][0]["val"])


def test_operators(place: tuple[str, str]):
    run = archive(
        "get",
        "count_60(T:Ramp)",
        "--from",
        "2026-11-20T08:00:00Z",
        "--to",
        "2026-11-20T08:01:59Z",
        "--format",
        "csv",
        *place,
    )
    assert [r["value"] for r in csv.DictReader(io.StringIO(run.stdout))] == ["60", "40"]


def test_lists_facts_and_state(place: tuple[str, str]):
    run = archive("pvs", "T:D*", *place)
    assert (run.returncode, run.stdout) == (0, "T:Day\nT:Double\nT:Doubles\n")
    run = archive("pvs", "nothing*", *place)
    assert run.returncode == 1 and run.stderr.startswith("owl: no archived PV fits 'nothing*'")
    run = archive("info", "T:Ramp", *place)
    facts = dict(line.split(None, 1) for line in run.stdout.splitlines() if not line.startswith("newest"))
    assert facts["DBRType"] == "DBR_SCALAR_DOUBLE" and facts["EGU"] == "V"
    assert run.stdout.splitlines()[-1].split() == ["newest", "sample", "2026-11-20", "09:01:39.123456"]
    run = archive("status", *place)
    assert run.returncode == 0 and place[1] in run.stdout and "PVs" in run.stdout


def test_an_unknown_pv_is_one_line_with_names_that_are_near(place: tuple[str, str]):
    for command in (("get", "t:ranp"), ("info", "t:ranp"), ("get", "mean_60(t:ranp)")):
        run = archive(*command, *place)
        assert run.returncode == 1 and run.stdout == ""
        assert run.stderr.count("\n") == 1 and "did you mean T:Ramp?" in run.stderr


def test_the_address_from_the_environment(server: Server):
    assert archive("status", PYDM_ARCHIVER_URL=server.url).returncode == 0
    assert archive("status", PYDM_ARCHIVER_URL=server.url + "/retrieval/").returncode == 0


def test_no_archiver_is_one_line():
    run = archive("get", "T:Ramp", "--url", f"http://127.0.0.1:{free_port()}")
    assert run.returncode == 1 and run.stderr.count("\n") == 1
    assert run.stderr.startswith("owl: no archiver answers at http://127.0.0.1:") and "connection refused" in run.stderr
    run = archive("status", "--folder", "/no/such/folder")
    assert (run.returncode, run.stderr) == (1, "owl: there is no folder /no/such/folder\n")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("get", "T:Ramp", "--from", "soonish"), "'soonish' is no time"),
        (("get", "T:Ramp", "--from", "now", "--to", "-1h"), "is before --from"),
        (("get", "T:Ramp", "--format", "xml"), "xml"),
        (("get",), "PV"),
        (("get", "T:Ramp", "--url", "localhost"), "is no address"),
    ],
)
def test_usage_errors(args: tuple[str, ...], words: str):
    run = archive(*args)
    assert run.returncode == 2 and words in run.stderr and "Traceback" not in run.stderr


def test_a_file_that_cannot_be_written(place: tuple[str, str], tmp_path: Path):
    run = archive("get", "T:Ramp", *WINDOW, "-o", str(tmp_path / "no" / "file.csv"), "--format", "csv", *place)
    assert run.returncode == 1 and run.stderr.count("\n") == 1 and "no such file" in run.stderr


def test_the_command_itself(server: Server):
    command = owl("archive", "get", "T:Ramp", *WINDOW, "--url", server.url)
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr, len(run.stdout.splitlines())) == (0, "", 4)
    command = owl("archive", "get", "T:Nope", "--url", server.url)
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 1 and run.stderr.count("\n") == 1


def test_a_pipe_that_closes(server: Server):
    command = " ".join(owl("archive", "get", "T:Day", "--from", "2026-11-20", "--url", server.url)) + " | head -1"
    run = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    assert run.stdout.startswith("time") and run.stderr == ""


NOW = T0 * NS


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("now", 0),
        ("-10m", -600),
        ("- 10 min", -600),
        ("10m ago", -600),
        ("2h ago", -7200),
        ("1h30m ago", -5400),
        ("-1d12h", -129600),
        ("-0.5h", -1800),
        ("2 days ago", -172800),
        ("1 week ago", -604800),
        ("+5s", 5),
        ("2026-11-20T08:00:01Z", 1),
        ("2026-11-20 09:00:01+01:00", 1),
    ],
)
def test_times_as_people_write_them(text: str, seconds: float):
    assert parse_moment(text, NOW) == NOW + seconds * NS


def test_local_times():
    assert parse_moment("2026-11-20 09:00", NOW) == NOW
    assert parse_moment("09:00:01", NOW) == NOW + NS
    assert parse_moment("today", NOW) == NOW - 9 * 3600 * NS
    assert parse_moment("yesterday", NOW) == NOW - 33 * 3600 * NS
    assert parse_moment("2026-07-01", NOW) == (T0 - 142 * 86400 - 10 * 3600) * NS
    assert local_text(NOW + 1234) == "2026-11-20 09:00:00.000001"


@pytest.mark.parametrize("text", ["", "10m", "ago", "-10m ago", "-1x", "25:00", "-", "2026-02-30", "nonsense"])
def test_what_is_no_time(text: str):
    with pytest.raises(ValueError, match="is no time"):
        parse_moment(text, NOW)


@given(st.text(max_size=30) | st.from_regex(r"[+-]?\d{1,12}(\.\d+)?[a-z]{1,3}( ago)?", fullmatch=True))
def test_any_text_is_a_time_or_refused(text: str):
    try:
        assert abs(parse_moment(text, NOW)) < 1 << 63
    except ValueError as error:
        assert "is no time" in str(error)


@given(st.integers(-(1 << 62), 1 << 62))
def test_iso_text_is_read_back(time_ns: int):
    assert parse_moment(iso_text(time_ns), NOW) == time_ns
