"""`owl runkey list, show, tree, get`: what an operator and a program are shown."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
from runkey_shell import SETPOINTS, STAND, Shell

from db.chips.chipfile import chip_file, render_chip
from db.chips.make import make_chip

FE3 = "/FELIX 1/OB1/FE3"


def test_nothing_there_yet(empty: Shell):
    assert "owl runkey init --demo" in empty.ok("list").out
    assert empty.ok("list", "--json").json["runkeys"] == []
    assert empty.no(1, "list", "cosmics*") == "owl: no runkey fits that\n"


def test_list(shell: Shell):
    lines = shell.ok("list").out.splitlines()
    assert lines[0].split() == ["name", "rev", "digest", "where", "changed", "by", "tags", "comment"]
    assert lines[1].startswith(f"{STAND}    1  ") and "  staging  " in lines[1]
    assert lines[1].endswith("as found in November") and (" CET " in lines[1] or " CEST " in lines[1])
    document = shell.ok("list", "--json").json
    (runkey,) = document["runkeys"]
    assert runkey["name"] == STAND and runkey["where"] == "staging" and runkey["committed"] is False
    assert len(runkey["digest"]) == 64 and len(runkey["root"]) == 32 and runkey["created"].endswith("Z")
    assert [(d["where"], d["ok"]) for d in document["databases"]] == [("staging", True), ("backend", True)]


def test_list_finds(shell: Shell):
    shell.ok("clone", STAND, "cosmics 12", "-m", "high rate")
    shell.ok("tag", "physics", "cosmics 12")
    assert [r["name"] for r in shell.ok("list", "mm*", "--json").json["runkeys"]] == [STAND]
    assert [r["name"] for r in shell.ok("list", "--text", "RATE", "--json").json["runkeys"]] == ["cosmics 12"]
    # both are the same root, and tags are on objects
    assert {r["name"] for r in shell.ok("list", "--tag", "physics", "--json").json["runkeys"]} == {STAND, "cosmics 12"}
    shell.no(1, "list", "--tag", "nothing")


def test_list_says_once_what_both_have(shell: Shell):
    shell.ok("commit", STAND)
    (line,) = shell.ok("list").out.splitlines()[1:]
    assert "  staging, backend  " in line
    assert [r["where"] for r in shell.ok("list", "--json").json["runkeys"]] == ["staging", "backend"]
    assert [r["where"] for r in shell.ok("list", "--backend", "--json").json["runkeys"]] == ["backend"]


def test_show(shell: Shell):
    shell.ok("tag", "winter", STAND)
    shell.ok("tag", "best HV", STAND, "/HV", "--type", "reference")
    shell.ok("validity", "HV now", STAND, "/HV", "setpoints", "--from", "2026-11-01")
    page = shell.ok("show", STAND).out
    assert page.splitlines()[0] == STAND
    facts = {line[2:12].strip(): line[13:].strip() for line in page.splitlines() if line.startswith("  ")}
    assert facts["what"] == "1 felix, 1 optoboard, 4 frontends"
    assert facts["settings"] == "HV (4 setpoints)"
    assert facts["holds"].startswith("8 objects, 11 payloads, 6")
    assert facts["who"] == "anna" and facts["why"] == "as found in November"
    assert facts["where"] == "staging (not committed)"
    assert (
        facts["tags"] == "winter, HV now (validity) on /HV setpoints, best HV (reference) on /HV"
        or "best HV" in facts["tags"]
    )
    assert "HV now: /HV setpoints from 2026-11-01 00:00:00 CET until further notice" in page
    assert "FELIX 1  felix" in page and "HV  subsystem  [conditions, setpoints]" in page


def test_show_json(shell: Shell):
    document = shell.ok("show", STAND, "--json").json
    assert document["runkey"]["name"] == STAND and document["objects"] == 8 and document["payloads"] == 11
    assert document["types"] == {"felix": 1, "optoboard": 1, "frontend": 4, "subsystem": 1}
    assert document["roles"]["pixels"] == 4 and document["setpoints"] == {"HV": 4}
    assert document["bytes"] > 4 * 153_600 and document["revisions"] == 1


def test_tree(shell: Shell):
    lines = shell.ok("tree", STAND).out.splitlines()
    assert lines[0].startswith(f"{STAND}  (revision 1, ") and lines[0].endswith("[notes]")
    assert lines[1] == "├── FELIX 1  felix"
    assert lines[2] == "│   └── OB1  optoboard"
    assert lines[3] == (
        "│       ├── FE1  frontend  RD53B  20UPGFC0000001  Rx   0  Tx   2  enabled          [config, pixels]"
    )
    assert "disabled " in lines[4] and "enabled, locked" in lines[5]
    assert lines[7] == "└── HV       subsystem  [conditions, setpoints]"
    assert lines[8] == "1 felix, 4 frontends, 1 optoboard, 1 subsystem"


def test_tree_of_a_part(shell: Shell):
    lines = shell.ok("tree", STAND, "--depth", 1).out.splitlines()
    assert lines[2] == "│   └── … 1 optoboard, 4 frontends"
    lines = shell.ok("tree", STAND, "--path", "/FELIX 1/OB1").out.splitlines()
    assert lines[0] == f"{STAND} /FELIX 1/OB1" and lines[-1] == "4 frontends" and len(lines) == 6


def test_tree_json(shell: Shell):
    document = shell.ok("tree", STAND, "--json").json
    assert document["objects"] == 8 and document["view"] == "daq"
    felix, hv = document["root"]["children"]
    chip = felix["children"][0]["children"][2]
    assert chip["path"] == FE3 and chip["edge"] == {"rx": 8, "tx": 2, "enable": 1, "locked": 1}
    assert chip["payloads"]["pixels"]["size"] == 153_600 and chip["payloads"]["pixels"]["meta"]["cols"] == 400
    assert hv["payloads"]["setpoints"]["format"] == "json" and hv["children"] == [] and hv["more"] == 0
    short = shell.ok("tree", STAND, "--json", "--depth", 1).json
    assert short["root"]["children"][0]["children"] == [] and short["root"]["children"][0]["more"] == 1


def test_get_is_the_bytes(shell: Shell, tmp_path: Path):
    chip = make_chip("RD53B", "chip 3", 3)
    assert shell.ok("get", STAND, FE3, "pixels").raw == chip.pixels.tobytes()
    assert shell.ok("get", STAND, "/", "notes").raw == b"cold, 60 % humidity\n"
    assert shell.ok("get", STAND, FE3, "chip").raw == render_chip(chip)
    assert shell.ok("get", STAND, FE3, "chip", "-o", tmp_path / "chip.json").raw == b""
    assert (tmp_path / "chip.json").read_bytes() == render_chip(chip)
    assert chip_file is not None


def test_get_json(shell: Shell):
    document = shell.ok("get", STAND, "/HV", "setpoints", "--json").json
    assert (
        document["content"] == SETPOINTS and document["base64"] is None and document["payload"]["role"] == "setpoints"
    )
    document = shell.ok("get", STAND, FE3, "pixels", "--json").json
    pixels = np.frombuffer(base64.b64decode(document["base64"]), np.uint8)
    assert pixels.tobytes() == make_chip("RD53B", "chip 3", 3).pixels.tobytes() and document["content"] is None
    assert shell.ok("get", STAND, "/", "notes", "--json").json["content"] == "cold, 60 % humidity\n"
    assert shell.ok("get", STAND, FE3, "chip", "--json").json["content"]["RD53B"]["PixelConfig"][0]["Col"] == 0


def test_get_a_picture(shell: Shell, tmp_path: Path):
    file = tmp_path / "map.png"
    assert shell.ok("get", STAND, FE3, "pixels", "--picture", file).raw == b""
    assert file.read_bytes().startswith(b"\x89PNG")
    said = shell.no(2, "get", STAND, "/HV", "setpoints", "--picture", tmp_path / "no.png")
    assert said == "owl: /HV: setpoints is no pixel map, so there is no picture of it\n"
    assert not (tmp_path / "no.png").exists()


def test_what_is_not_there_is_said_with_what_is_alike(shell: Shell, tmp_path: Path):
    assert shell.no(1, "show", "mmsetup sr2") == f"owl: there is no runkey 'mmsetup sr2': is it '{STAND}'?\n"
    assert "FE4" in shell.no(1, "get", STAND, "/FELIX 1/OB1/FE44", "config")
    assert "it has config, pixels" in shell.no(1, "get", STAND, FE3, "pixel")
    said = shell.no(1, "get", STAND, FE3, "pixels", "-o", tmp_path / "nowhere" / "x")
    assert said.startswith("owl: cannot write ") and said.count("\n") == 1
    assert "no revision 7; its last is 1" in shell.no(1, "show", f"{STAND}@7")
    shell.no(1, "tree", f"backend:{STAND}")


def test_a_runkey_by_revision_database_and_digits(shell: Shell):
    shell.ok("set", STAND, "/HV", "DEMO:HV:L07:VSet", "1900")
    now, before = shell.ok("show", STAND, "--json").json, shell.ok("show", f"{STAND}@1", "--json").json
    assert (now["runkey"]["number"], before["runkey"]["number"]) == (2, 1)
    for word in (before["runkey"]["digest"][:8], before["runkey"]["revision"], before["runkey"]["digest"]):
        assert shell.ok("show", word, "--json").json["runkey"]["number"] == 1
    assert shell.ok("get", f"{STAND}@1", "/HV", "setpoints", "--json").json["content"] == SETPOINTS
    assert shell.ok("get", f"staging:{STAND}", "/HV", "setpoints", "--json").json["content"] != SETPOINTS
    shell.ok("commit", STAND)
    assert shell.ok("show", f"backend:{STAND}", "--json").json["runkey"]["where"] == "backend"
    assert shell.ok("show", "--backend", STAND, "--json").json["runkey"]["where"] == "backend"


def test_output_is_one_json_document(shell: Shell):
    for args in (("list",), ("show", STAND), ("tree", STAND), ("log", STAND), ("tags",), ("health",), ("audit",)):
        run = shell.ok(*args, "--json")
        assert json.loads(run.raw) and run.err == ""
