"""`owl runkey init, health, delete, gc, verify, bench`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from db_servers import fresh_url
from runkey_shell import STAND, Shell

from db.bench import Line, Report, Result


def test_init(empty: Shell):
    run = empty.ok("init")
    for area in ("staging", "backend"):
        file = empty.folder / "state" / "db" / f"{area}.sqlite"
        assert file.exists() and f"{area:8} {file}\n" in run.out
    document = empty.ok("init", "--demo", "--json").json
    assert document["demo"]["name"] == "mmsetup sr1" and all(d["ok"] for d in document["databases"])
    empty.ok("init", "--demo")
    assert len(empty.ok("list", "--json").json["runkeys"]) == 1


def test_health(shell: Shell):
    lines = shell.ok("health").out.splitlines()
    assert [line.split()[:3] for line in lines] == [["staging", "answers", "in"], ["backend", "answers", "in"]]
    assert [d["where"] for d in shell.ok("health", "--json").json["databases"]] == ["staging", "backend"]


def test_a_database_that_cannot_be(shell: Shell, tmp_path: Path):
    (shell.folder / "state" / "db" / "staging.sqlite").write_bytes(b"this is no database" * 100)
    said = shell.no(1, "list")
    assert said.startswith("owl: ") and "staging" in said and said.count("\n") == 1
    site = tmp_path / "site.toml"
    site.write_text('[site]\nname = "T"\n[db]\nstaging = "oracle://x/y"\n')
    assert "problem in the site file" in shell.no(2, "list", "--site", site)
    site.write_text('[site]\nname = "T"\n[db]\nstaging = "postgresql://nobody@127.0.0.1:1/nothing"\n')
    assert "staging" in shell.no(1, "list", "--site", site)


def test_delete_and_gc(shell: Shell):
    assert "Nobody is here to answer; say --yes" in shell.no(2, "delete", STAND)
    assert "went" in shell.ok("gc").out
    assert shell.ok("gc", "--dry-run", "--json").json["blobs"] == 0
    shell.ok("clone", STAND, "tuned")
    shell.ok("set", "tuned", "/HV", "DEMO:HV:L07:VSet", "1")
    assert shell.ok("delete", STAND, "--yes").out.startswith(f"deleted '{STAND}', ")
    assert shell.ok("gc", "--dry-run", "--json").json["objects"] == 0  # the clone's history needs it
    shell.ok("delete", "tuned", "--yes")
    found = shell.ok("gc", "--dry-run", "--json").json
    assert found["dry_run"] is True and found["objects"] > 8 and found["bytes"] > 100_000
    assert "say --yes" in shell.no(2, "gc")
    assert "went" in shell.ok("gc", "--yes").out
    assert shell.ok("gc", "--dry-run", "--json").json["objects"] == 0
    assert shell.ok("verify", "--all").out == "all is well\n"


def test_verify_finds_a_changed_byte(shell: Shell):
    assert shell.ok("verify", "--json").json == {"ok": True, "problems": []}
    with closing(sqlite3.connect(shell.folder / "state" / "db" / "staging.sqlite")) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for (name,) in names:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("UPDATE blob SET data = CAST(substr(data, 2) || x'00' AS BLOB) WHERE codec = 0")
        connection.commit()
    document = shell("verify", "--json").json
    assert document["ok"] is False and any("sha256" in p["what"] or "hash" in p["what"] for p in document["problems"])
    run = shell("verify")
    assert run.code == 1 and run.out.splitlines()[0].split() == ["database", "severity", "where", "what"]


def test_bench(tmp_path: Path, empty: Shell):
    run = empty.ok("bench", "--fe", 100, "--folder", tmp_path, "--json")
    report = run.json
    assert report["front_ends"] == 100 and report["distinct_maps"] == 100 and report["changed"] == 50
    (result,) = report["results"]
    wanted = {line["key"]: line["wanted"] for line in result["lines"]}
    assert wanted == {
        "make": None,
        "clone": 0.01,
        "tree": 0.1,
        "first_commit": None,
        "edit": 2.0,
        "commit": 2.0,
        "diff": 0.5,
        "load": 0.5,
        "load_all": 500.0,
        "chip_files": 20.0,
    }
    assert all(line["measured"] > 0 for line in result["lines"]) and result["dialect"] == "sqlite"
    assert list(tmp_path.iterdir()) == []  # nothing is left


def test_bench_table(empty: Shell, tmp_path: Path):
    lines = empty.ok("bench", "--fe", 20, "--quick", "--folder", tmp_path).out.splitlines()
    assert lines[0].startswith("20 front-ends, 20 different pixel maps; ")
    assert lines[1].split() == ["what", "sqlite", "wanted"] and len(lines) == 12
    assert lines[3].startswith("clone of the runkey of 20 front-ends") and "< 10 ms" in lines[3]


def test_bench_asked_wrongly(empty: Shell):
    assert "STAGING,BACKEND" in empty.no(2, "bench", "--url", "postgresql://h/db")
    empty.no(2, "bench", "--fe", "0")


def test_ratios_of_servers():
    fast = Result("sqlite", "", [Line("clone", "", 0.002, "s", 0.01), Line("load_all", "", 900.0, "MB/s", 500.0)])
    slow = Result("postgresql", "", [Line("clone", "", 0.004, "s", 0.01), Line("load_all", "", 300.0, "MB/s", 500.0)])
    report = Report(1, 1, 1, [fast, slow])
    assert [report.ratio(slow, line) for line in slow.lines] == [2.0, 3.0]
    assert report.ratio(fast, fast.lines[0]) is None
    assert [line.reached for line in slow.lines] == [True, False]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_bench_of_a_server(empty: Shell, tmp_path: Path, kind: str):
    pair = f"{fresh_url(kind)},{fresh_url(kind)}"
    report = empty.ok("bench", "--fe", 60, "--servers", "--url", pair, "--folder", tmp_path, "--json").json
    first, second = report["results"]
    assert (first["dialect"], second["dialect"]) == ("sqlite", kind)
    assert "password" not in second["url"]
    ratios = {line["key"]: line["ratio"] for line in second["lines"]}
    assert set(ratios) == {line["key"] for line in first["lines"]} - {"chip_files"}
    assert all(ratio > 0 for ratio in ratios.values())
    # they are empty again, so that the same is possible once more
    lines = empty.ok("bench", "--fe", 20, "--url", pair, "--folder", tmp_path).out.splitlines()
    assert lines[1].split() == ["what", kind, "wanted"]
