"""`owl runkey new, clone, rename, add, set, edit, rm`: changes, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from runkey_shell import STAND, Shell
from support import Process, owl, wait_until

from db.chips.chipfile import render_chip
from db.chips.make import make_chip
from db.chips.pixels import PixelMap, decode

FE1, FE3 = "/FELIX 1/OB1/FE1", "/FELIX 1/OB1/FE3"


def value(shell: Shell, path: str, register: str, name: str = STAND) -> object:
    return shell.ok("get", name, path, "config", "--json").json["content"]["RD53B"]["GlobalConfig"][register]


def head(shell: Shell, name: str = STAND) -> tuple[int, str]:
    runkey = shell.ok("show", name, "--json").json["runkey"]
    return runkey["number"], runkey["digest"]


def test_a_runkey_from_nothing(shell: Shell, tmp_path: Path):
    assert shell.ok("new", "by hand", "-m", "a try").out.startswith("made 'by hand', revision 1, ")
    shell.ok("add", "by hand", "/F1", "felix", "--serial", "712-5")
    shell.ok("add", "by hand", "/F1/OB1", "optoboard", "--meta", "vendor=Bern")
    (tmp_path / "chip.json").write_bytes(render_chip(make_chip("RD53B", "new one", 9)))
    rx = ("--edge", "rx=4", "--edge", "tx=2", "--edge", "enable=1")
    shell.ok("add", "by hand", "/F1/OB1/FE1", "frontend", *rx, "--chip", tmp_path / "chip.json")
    tree = shell.ok("tree", "by hand", "--json").json["root"]
    felix = tree["children"][0]
    assert felix["serial"] == "712-5" and felix["children"][0]["meta"] == {"vendor": "Bern"}
    chip = felix["children"][0]["children"][0]
    assert chip["edge"] == {"rx": 4, "tx": 2, "enable": 1} and list(chip["payloads"]) == ["config", "pixels"]
    assert shell.ok("get", "by hand", "/F1/OB1/FE1", "chip").raw == (tmp_path / "chip.json").read_bytes()
    assert (
        "/F1/OB1 has a child called 'FE1'" in (said := shell.no(2, "add", "by hand", "/F1/OB1/FE1", "frontend")) or said
    )


@pytest.mark.parametrize("name", ["", " x", "a/b", "x" * 40, "é" * 20, "bell\a"])
def test_names_that_cannot_be(shell: Shell, name: str):
    assert shell.no(2, "new", name).startswith("owl: runkey ")
    assert len(shell.ok("list", "--json").json["runkeys"]) == 1


def test_clone_and_rename(shell: Shell):
    digest = head(shell)[1]
    shell.ok("clone", STAND, "cosmics 12", "-m", "night shift")
    assert head(shell, "cosmics 12") == (1, digest)
    assert "there is a runkey 'cosmics 12' already" in shell.no(1, "clone", STAND, "cosmics 12")
    shell.ok("rename", "cosmics 12", "cosmics 13")
    assert [r["name"] for r in shell.ok("list", "--json").json["runkeys"]] == ["cosmics 13", STAND]
    shell.ok("set", STAND, FE3, "DiffTh1L", "300")
    shell.ok("clone", f"{STAND}@1", "as it was")
    assert head(shell, "as it was")[1] == digest != head(shell)[1]


def test_set_a_register(shell: Shell):
    before = shell.ok("get", STAND, FE3, "config").raw
    old = value(shell, FE3, "DiffTh1L")
    run = shell.ok("set", STAND, FE3, "DiffTh1L", "301", "-m", "noise")
    assert run.out.startswith(f"{FE3} DiffTh1L: {old} -> 301\nchanged '{STAND}', revision 2, ")
    assert value(shell, FE3, "DiffTh1L") == 301 and value(shell, FE1, "DiffTh1L") != 301
    after = shell.ok("get", STAND, FE3, "config").raw
    assert len(after) == len(before) and sum(a != b for a, b in zip(after, before, strict=True)) <= 3  # in its place
    shell.ok("set", STAND, FE3, "GlobalConfig.DiffTh1R", "302")
    shell.ok("set", STAND, FE3, "config:GlobalConfig.DiffTh1M", "0x12f")
    shell.ok("set", STAND, FE3, "Parameter.VcalPar[1]", "0.21")
    shell.ok("set", STAND, FE3, "Name", "new name")
    config = shell.ok("get", STAND, FE3, "config", "--json").json["content"]["RD53B"]
    assert config["GlobalConfig"]["DiffTh1R"] == 302 and config["GlobalConfig"]["DiffTh1M"] == 303
    assert config["Parameter"]["VcalPar"][1] == 0.21 and config["Parameter"]["Name"] == "new name"
    assert "is 301 already; nothing was changed" in shell.ok("set", STAND, FE3, "DiffTh1L", "301").out
    assert head(shell)[0] == 6


@pytest.mark.parametrize(
    ("key", "text", "reason"),
    [
        ("DiffTh1L", "1024", "1024 is not between 0 and 1023 (10 bits)"),
        ("DiffTh1L", "-1", "-1 is not between 0 and 1023 (10 bits)"),
        ("DiffTh1L", "much", "'much' is not an integer"),
        ("ChipId", "1.5", "'1.5' is not an integer"),
        ("InjCap", "wide", "'wide' is not a number"),
        ("EnforceNameIdCheck", "3", "'3' is not true or false"),
        ("pixels:400,0.TDAC", "1", "there is no pixel 400,0"),
        ("pixels:0,0.TDAC", "16", "TDAC 16 is not between -15 and 15"),
        ("pixels:0,0", "1", "name a field, pixels:0,0.FIELD"),
        ("pixels:zero.TDAC", "1", "is no pixel; write pixels:COLUMN,ROW"),
        ("enable", "2", "enable is 0 or 1"),
        ("rx", "first", "rx is an e-link number"),
    ],
)
def test_values_that_cannot_be(shell: Shell, key: str, text: str, reason: str):
    before = head(shell)
    said = shell.no(2, "set", STAND, FE3, key, text)
    assert reason in said and FE3 in said and said.count("\n") == 1
    assert head(shell) == before


def test_set_asks_for_a_key_that_is_there(shell: Shell):
    said = shell.no(1, "set", STAND, FE3, "DifTh1L", "3")
    assert said == f"owl: {FE3} config has no 'DifTh1L'; did you mean DiffTh1L?\n"
    said = shell.no(1, "set", STAND, "/HV", "DEMO:HV:L7:VSet", "3")
    assert said == "owl: /HV has no 'DEMO:HV:L7:VSet'; did you mean DEMO:HV:L07:VSet?\n"
    assert "has no 'DiffTh1L'; it has nothing" in shell.no(1, "set", STAND, "/FELIX 1/OB1", "DiffTh1L", "3")


def test_set_setpoints(shell: Shell):
    old = shell.ok("get", STAND, "/HV", "setpoints").raw
    shell.ok("set", STAND, "/HV", "DEMO:HV:L07:VSet", "-12.5")
    shell.ok("set", STAND, "/HV", "setpoints:DEMO:HV:L08:Count", "4")
    shell.ok("set", STAND, "/HV", "DEMO:HV:B0:Mode", "RAMP")
    shell.ok("set", STAND, "/HV", "DEMO:HV:L07:Name", "7")
    items = shell.ok("get", STAND, "/HV", "setpoints", "--json").json["content"]["items"]
    assert [item["value"] for item in items] == ["RAMP", "7", -12.5, 4]
    for pv, text in (("L07:VSet", "1880"), ("L08:Count", "3"), ("B0:Mode", "KILL"), ("L07:Name", "layer 7")):
        shell.ok("set", STAND, "/HV", f"DEMO:HV:{pv}", text)
    assert shell.ok("get", STAND, "/HV", "setpoints").raw == old
    shell.ok("set", STAND, "/HV", "DEMO:HV:L07:VSet", "nan")
    assert shell.ok("get", STAND, "/HV", "setpoints", "--json").json["content"]["items"][2]["value"] == "NaN"
    assert "'UP' is no state of it; it has KILL, RAMP" in shell.no(2, "set", STAND, "/HV", "DEMO:HV:B0:Mode", "UP")
    assert "'1.5' is no integer" in shell.no(2, "set", STAND, "/HV", "DEMO:HV:L08:Count", "1.5")
    assert "39 bytes" in shell.no(2, "set", STAND, "/HV", "DEMO:HV:L07:Name", "x" * 40)


def test_set_pixels_places_and_objects(shell: Shell):
    shell.ok("set", STAND, FE3, "pixels:12,300.TDAC", "-7")
    shell.ok("set", STAND, FE3, "pixels:12,300.Enable", "off")
    content = shell.ok("get", STAND, FE3, "pixels").raw
    pixels = PixelMap(decode(content, "RD53B"))
    assert pixels.tdac[12, 300] == -7 and not pixels.enable[12, 300]
    before = decode(make_chip("RD53B", "chip 3", 3).pixels.tobytes(), "RD53B")
    assert np.count_nonzero(decode(content, "RD53B") != before) == 1
    shell.ok("set", STAND, FE3, "rx", "12")
    shell.ok("set", STAND, FE3, "edge:locked", "no")
    shell.ok("set", STAND, FE3, "serial", "20UPGFC9")
    shell.ok("set", STAND, FE3, "meta:wafer", "W3")
    node = shell.ok("tree", STAND, "--path", FE3, "--json").json["root"]
    assert node["edge"] == {"rx": 12, "tx": 2, "enable": 1, "locked": 0}
    assert node["serial"] == "20UPGFC9" and node["meta"] == {"chip": "RD53B", "wafer": "W3"}


def test_set_json(shell: Shell):
    document = shell.ok("set", STAND, FE3, "DiffTh1L", "11", "--json").json
    assert document["key"] == "config:GlobalConfig.DiffTh1L" and document["value"] == 11
    assert document["runkey"]["number"] == 2 and document["runkey"]["comment"] == f"{FE3} DiffTh1L = 11"


def editor(tmp_path: Path, code: str) -> dict[str, str]:
    """An editor that runs Python with `file` (a Path) and `text`."""
    script = tmp_path / "an editor.py"
    script.write_text(
        f"import sys\nfrom pathlib import Path\nfile = Path(sys.argv[1])\ntext = file.read_text()\n{code}\n"
    )
    return {"EDITOR": f"'{sys.executable}' '{script}'", "VISUAL": ""}


def test_edit_in_an_editor(shell: Shell, tmp_path: Path):
    wanted = editor(tmp_path, "file.write_text(text.replace('1880.0', '1885.0'))")
    assert shell.ok("edit", STAND, "/HV", "setpoints", "-m", "colder", **wanted).out.startswith("changed ")
    items = shell.ok("get", STAND, "/HV", "setpoints", "--json").json["content"]["items"]
    assert items[2]["value"] == 1885.0
    assert "\n" not in shell.ok("get", STAND, "/HV", "setpoints").out.strip()  # as short as it was
    assert "nothing was changed" in shell.ok("edit", STAND, "/HV", "setpoints", **editor(tmp_path, "pass")).out
    assert "the editor ended with code 3" in shell.no(
        1, "edit", STAND, "/HV", "setpoints", **editor(tmp_path, "sys.exit(3)")
    )
    assert "cannot start the editor nothing" in shell.no(
        2, "edit", STAND, "/HV", "setpoints", EDITOR="nothing", VISUAL=""
    )
    assert head(shell)[0] == 2


@pytest.mark.parametrize(
    ("path", "role", "code", "reason"),
    [
        ("/HV", "setpoints", "file.write_text(text[:-9])", "not JSON"),
        ("/HV", "setpoints", "file.write_text(text.replace('1880.0', '\"high\"'))", "'high' is no double"),
        ("/HV", "setpoints", "file.write_text(text.replace('KILL', 'STOP', 1))", "'STOP' is no enum"),
        (FE3, "config", "file.write_text(text.replace('DiffTh1L', 'DiffThOne'))", "there is no such register"),
        (FE3, "config", "file.write_text(text.replace('DiffTh1L\": ', 'DiffTh1L\": 9'))", "is not between 0 and 1023"),
    ],
)
def test_edit_refuses_with_the_line(shell: Shell, tmp_path: Path, path: str, role: str, code: str, reason: str):
    before = head(shell)
    said = shell.no(2, "edit", STAND, path, role, **editor(tmp_path, code)).splitlines()
    kept, problem = said[0], said[1]
    assert kept.startswith("owl: nothing was changed; your text is in ") and Path(kept.rpartition(" ")[2]).exists()
    assert problem.startswith(f"owl: {path} {role}:") and reason in problem
    assert problem.split(f"{path} {role}:")[1].partition(":")[0].isdigit()
    assert head(shell) == before


def test_edit_by_file(shell: Shell, tmp_path: Path):
    tuned = make_chip("RD53B", "tuned", 77)
    (tmp_path / "tuned.json").write_bytes(render_chip(tuned, "tight"))
    shell.ok("edit", STAND, FE3, "chip", "--file", tmp_path / "tuned.json", "-m", "tuning of Friday")
    assert shell.ok("get", STAND, FE3, "chip").raw == render_chip(tuned, "tight")
    assert shell.ok("get", STAND, FE3, "pixels").raw == tuned.pixels.tobytes()
    (tmp_path / "bad.json").write_bytes(render_chip(tuned, "tight").replace(b'"TDAC"', b'"TDAK"', 1))
    said = shell.no(2, "edit", STAND, FE3, "chip", "--file", tmp_path / "bad.json")
    assert "bad.json: RD53B.PixelConfig" in said and "TDA" in said
    (tmp_path / "short").write_bytes(b"\0" * 100)
    assert "100 bytes; a pixel map of RD53B has 153,600" in shell.no(
        2, "edit", STAND, FE3, "pixels", "--file", tmp_path / "short"
    )
    assert "give its new content as a file" in shell.no(2, "edit", STAND, FE3, "pixels")
    shell.ok("edit", STAND, "/", "notes", "--file", "-", input="warm\n")
    assert shell.ok("get", STAND, "/", "notes").out == "warm\n"
    shell.ok("edit", STAND, FE3, "mask", "--file", tmp_path / "short", "--type", "mask", "--format", "raw")
    assert shell.ok("get", STAND, FE3, "mask").raw == b"\0" * 100
    assert "no such file" in shell.no(1, "edit", STAND, FE3, "config", "--file", tmp_path / "nowhere")


def test_two_edits_of_one_payload_are_a_conflict(shell: Shell, tmp_path: Path):
    ready, go = tmp_path / "ready", tmp_path / "go"
    code = f"""
import time
Path({str(ready)!r}).touch()
end = time.monotonic() + 60
while not Path({str(go)!r}).exists() and time.monotonic() < end:
    time.sleep(0.01)
file.write_text(text.replace("1880.0", "1.0"))"""
    mine = Process(
        owl("runkey", "edit", STAND, "/HV", "setpoints"), env={**shell.environment, **editor(tmp_path, code)}
    )
    try:
        wait_until(ready.exists, 60, "the editor")
        with shell.store("berta") as store, store.staging.edit(STAND, "night shift") as edit:
            edit.put("/HV", "setpoints", json.dumps({"version": 1, "items": []}).encode())
        go.touch()
        assert mine.wait(60) == 1
    finally:
        mine.kill()
    (said,) = mine.log
    assert said.startswith("owl: /HV: berta changed its payload setpoints at ")
    assert shell.ok("get", STAND, "/HV", "setpoints", "--json").json["content"]["items"] == []


def test_rm(shell: Shell):
    shell.ok("rm", STAND, "/", "notes")
    assert "has no payload 'notes'; it has none" in shell.no(1, "rm", STAND, "/", "notes")
    assert "say --yes" in shell.no(2, "rm", STAND, "/FELIX 1")
    shell.ok("rm", STAND, FE3)
    shell.ok("rm", STAND, "/FELIX 1", "--yes")
    assert [child["name"] for child in shell.ok("tree", STAND, "--json").json["root"]["children"]] == ["HV"]
    assert "owl runkey delete 'mmsetup sr1' takes it away" in shell.no(2, "rm", STAND, "/")
    assert shell.ok("get", f"{STAND}@1", "/", "notes").raw  # earlier revisions keep it


def test_what_never_changes_is_not_changed(shell: Shell):
    shell.ok("set", STAND, FE3, "DiffTh1L", "300")
    assert "past revision" in shell.no(1, "set", f"{STAND}@1", FE3, "DiffTh1L", "3")
    shell.ok("commit", STAND)
    for args in (
        ("set", STAND, FE3, "DiffTh1L", "3"),
        ("rm", STAND, FE3),
        ("rename", STAND, "else"),
        ("add", STAND, "/F2", "felix"),
    ):
        assert "owl runkey clone 'mmsetup sr1' NEW" in shell.no(1, *args)
    shell.ok("delete", STAND, "--yes")
    assert "in the backend only" in shell.no(1, "set", STAND, FE3, "DiffTh1L", "3")
    shell.ok("clone", STAND, "mine")
    shell.ok("set", "mine", FE3, "DiffTh1L", "3")
