"""`owl runkey log, blame, diff`: what changed, who did it, when and why."""

from __future__ import annotations

from pathlib import Path

import pytest
from runkey_shell import STAND, Shell

FE1, FE3 = "/FELIX 1/OB1/FE1", "/FELIX 1/OB1/FE3"


@pytest.fixture
def changed(shell: Shell) -> Shell:
    """`tuned`: a clone with a register, a setpoint, two pixel maps and a connection changed, one after the other."""
    shell.ok("clone", STAND, "tuned", "-m", "before the tuning")
    shell.ok("set", "tuned", FE3, "DiffTh1L", "301", "-m", "less noise")
    shell.ok("set", "tuned", "/HV", "DEMO:HV:L07:VSet", "1900", "-m", "plateau")
    shell.ok("set", "tuned", FE3, "pixels:12,300.TDAC", "15", "-m", "noisy pixel")
    shell.ok("set", "tuned", FE1, "pixels:1,2.Enable", "0", "-m", "dead pixel")
    shell.ok("set", "tuned", FE1, "rx", "16", "-m", "other fibre")
    return shell


def test_log_goes_on_into_what_was_cloned(changed: Shell):
    lines = changed.ok("log", "tuned").out.splitlines()
    assert lines[0].split() == ["revision", "digest", "when", "by", "what", "comment"]
    assert [line.split()[0] for line in lines[1:7]] == [f"tuned@{n}" for n in (6, 5, 4, 3, 2, 1)]
    assert lines[1].endswith("other fibre") and lines[7].startswith(f"{STAND}@1") and len(lines) == 8
    assert len(changed.ok("log", "tuned", "-n", 2).out.splitlines()) == 3
    document = changed.ok("log", "tuned@3", "--json").json
    assert [r["number"] for r in document["revisions"]] == [3, 2, 1, 1]
    last, first = document["revisions"][0], document["revisions"][-1]
    assert last["comment"] == "plateau" and last["action"] == "edit" and first["runkey"] == STAND
    assert first["author"] == "anna" and first["parent"] is None and last["parent"] == document["revisions"][1]["id"]


def test_the_past_of_a_name_that_is_gone(changed: Shell):
    changed.ok("rename", "tuned", "other")
    assert changed.ok("show", "tuned@2", "--json").json["runkey"]["comment"] == "less noise"
    assert changed.ok("log", "tuned@2", "--json").json["revisions"][-1]["runkey"] == STAND
    assert changed("diff", STAND, "tuned@2", "--json").json["counts"]["registers"] == 1
    changed.ok("clone", "tuned@2", "as it was")
    assert changed.ok("get", "as it was", FE3, "config").raw == changed.ok("get", "tuned@2", FE3, "config").raw
    changed.no(1, "show", "tuned@77")
    assert "blame is of what a runkey is now" in changed.no(2, "blame", "tuned@3", FE3, "DiffTh1L")


def test_blame_names_who_when_and_why(changed: Shell):
    lines = changed.ok("blame", "tuned", FE3, "DiffTh1L").out.splitlines()
    assert lines[0] == f"{FE3} DiffTh1L = 301" and lines[2] == "edit: less noise"
    assert lines[1].startswith("set 20") and " CE" in lines[1] and lines[1].endswith(" in tuned@2")
    for path, key, number in (
        ("/HV", "DEMO:HV:L07:VSet", 3),
        (FE3, "pixels:12,300", 4),
        (FE3, "pixels:12,300.TDAC", 4),
        (FE1, "pixels:1,2.Enable", 5),
        (FE1, "rx", 6),
        (FE1, "edge:rx", 6),
        (FE3, "config", 2),
    ):
        found = changed.ok("blame", "tuned", path, key, "--json").json
        assert (found["revision"]["runkey"], found["revision"]["number"]) == ("tuned", number), key
    for path, key in ((FE3, "DiffTh1R"), ("/HV", "DEMO:HV:B0:Mode"), (FE1, "pixels:1,3"), (FE1, "tx"), (FE1, "serial")):
        found = changed.ok("blame", "tuned", path, key, "--json").json
        assert found["revision"]["runkey"] == STAND, key
    assert changed.ok("blame", "tuned", FE3, "DiffTh1L", "--json").json["value"] == 301


def test_diff_in_counts(changed: Shell):
    run = changed("diff", STAND, "tuned")
    assert run.code == 1 and run.err == ""
    assert "3 objects differ" in run.out and "2 pixel maps (2 pixels)" in run.out and "1 setpoint" in run.out
    assert "DEMO:HV:L07:VSet" in run.out and "153" not in run.out
    assert len(run.out.splitlines()) < 30
    assert changed.ok("diff", STAND, "tuned@1").out == "they are the same\n"


def test_diff_in_full_and_of_a_part(changed: Shell):
    out = changed("diff", STAND, "tuned", "--full").out
    assert "GlobalConfig.DiffTh1L" in out and "-> 301" in out and "1880" in out and "1900" in out
    part = changed("diff", STAND, "tuned", "--path", "/HV").out
    assert "DEMO:HV:L07:VSet" in part and "DiffTh1L" not in part


def test_diff_json(changed: Shell):
    run = changed("diff", STAND, "tuned", "--json", "--full")
    document = run.json
    assert run.code == 1 and document["same"] is False
    assert (document["a"]["name"], document["b"]["name"], document["b"]["number"]) == (STAND, "tuned", 6)
    counts = document["counts"]
    found = (counts["objects"], counts["registers"], counts["pixels"], counts["setpoints"], counts["edges"])
    assert found == (3, 1, 2, 1, 1)
    kinds = sorted(change["kind"] for change in document["changes"])
    assert kinds == ["edge", "pixels", "pixels", "register", "setpoint"]
    assert changed("diff", STAND, "tuned@1", "--json").json["same"] is True


def test_diff_pictures(changed: Shell, tmp_path: Path):
    said = changed.no(2, "diff", STAND, "tuned", "--picture", tmp_path / "one.png")
    assert "2 pixel maps differ; name one with --path" in said and not (tmp_path / "one.png").exists()
    assert changed("diff", STAND, "tuned", "--path", FE3, "--picture", tmp_path / "one.png").code == 1
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
    assert changed("diff", STAND, "tuned", "--picture", tmp_path / "all").code == 1
    assert len(list((tmp_path / "all").glob("*.png"))) == 2 and (tmp_path / "all" / "index.html").exists()


def test_diff_of_the_two_databases(changed: Shell):
    changed.ok("commit", STAND)
    changed.ok("fetch", STAND, "--as", "mine")
    assert changed.ok("diff", f"backend:{STAND}", "mine").out == "they are the same\n"
    assert changed("diff", f"backend:{STAND}", "tuned", "--json").json["counts"]["objects"] == 3
    changed.no(1, "diff", STAND, "nothing")
