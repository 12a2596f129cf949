"""`owl alarm import, export, edit, rm, check` with a real alarm IOC."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
from alarm_stand import PATIENCE, AlarmStand

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def extra(stand: AlarmStand) -> str:
    """The PV of an alarm that no catalogue declares."""
    pv = stand.pv("X:Long")
    path = f"/{stand.name}/HV/X/{pv}"
    stand.ok("edit", path, "--new", "--set", "description=A text", "--set", "latching=no")
    return path


def test_a_new_alarm_and_its_end(stand: AlarmStand, extra: str):
    pv = extra.rpartition("/")[2]
    form = stand.ok("show", pv, "--json").json
    assert form["description"] == "A text" and form["configured"]["config"]["latching"] is False
    assert "Nobody is here to answer" in stand.no(2, "rm", pv)
    run = stand.ok("rm", pv, "--yes")
    assert run.out == "removed 1 item\n" and extra in run.err
    assert stand("show", pv).code == 1
    assert stand.ok("edit", f"/{stand.name}/HV/Y", "--new", "--area").out.startswith(f"+ /{stand.name}/HV/Y (area)")
    stand.ok("rm", f"/{stand.name}/HV/X", f"/{stand.name}/HV/Y", "--yes")
    assert "no alarm or area" in stand.no(1, "rm", f"/{stand.name}/HV/Z", "--yes")


def test_fields(stand: AlarmStand):
    pv, path = stand.pv("L01:IMon"), stand.path("L01:IMon")
    out = stand.ok("edit", pv, "--set", "delay=2", "--set", "response_time=300").out.splitlines()
    assert out == [f"~ {path}: delay: 0 -> 2", f"~ {path}: response_time: 0 -> 300"]
    assert stand.ok("edit", pv, "--set", "delay=2").out == "nothing was changed\n"
    plan = stand.ok("edit", pv, "--set", "delay=3", "--dry-run", "--json").json
    assert plan["changed"] == [{"path": path, "what": ["delay: 2 -> 3"]}]
    assert "within 5 min" in stand.ok("show", pv).out
    stand.ok("edit", pv, "--set", "delay=0", "--set", "response_time=0")
    assert "column 6" in stand.no(2, "edit", pv, "--set", "filter='x' >")
    assert "is not NAME=VALUE" in stand.no(2, "edit", pv, "--set", "delai=3")
    assert "config.delay is no whole number" in stand.no(2, "edit", pv, "--set", "delay=soon")
    assert stand.no(1, "edit", "/none", "--set", "delay=1") == "owl: no alarm or area '/none'\n"


def editor(tmp_path: Path, code: str) -> dict[str, str]:
    script = tmp_path / "an editor.py"
    script.write_text(f"import pathlib, sys\nfile = pathlib.Path(sys.argv[1])\ntext = file.read_text()\n{code}\n")
    return {"EDITOR": f"{sys.executable} '{script}'", "VISUAL": ""}


def test_all_of_it_in_an_editor_or_a_file(stand: AlarmStand, tmp_path: Path):
    pv, path = stand.pv("L02:IMon"), stand.path("L02:IMon")
    change = editor(tmp_path, "file.write_text(text.replace('\"delay\": 0', '\"delay\": 4'))")
    assert stand.ok("edit", pv, **change).out == f"~ {path}: delay: 0 -> 4\n"
    assert stand.ok("edit", pv, **editor(tmp_path, "pass")).out == "nothing was changed\n"
    said = stand.no(2, "edit", pv, **editor(tmp_path, "file.write_text('{')"))
    assert "your text is in" in said and "line 1: not JSON" in said
    file = tmp_path / "item.json"
    file.write_text(json.dumps({"config": {"description": "Current"}, "extras": {"priority": "high", "screen": "hv"}}))
    out = stand.ok("edit", pv, "--file", file).out
    assert f"~ {path}: delay: 4 -> 0" in out and "guidance: without 'Guidance'" in out
    text = json.dumps({"path": "/other"})
    assert "the path cannot be changed" in stand("edit", pv, "--file", "-", input=text).err


def test_out_and_in_again(stand: AlarmStand, extra: str, tmp_path: Path):
    xml, toml = tmp_path / "a.xml", tmp_path / "a.toml"
    assert stand.ok("export", xml).out.endswith(f"items to {xml} and {toml}\n")
    assert xml.read_bytes() == stand.child("export").out.encode()
    assert f'"{stand.path("L01:IMon")}"' in toml.read_text()
    assert stand.no(2, "export", xml) == f"owl: {xml} is there already; nothing is overwritten\n"
    assert stand.ok("import", xml, "--dry-run").out.startswith("0 added, 0 changed, 0 removed, ")

    changed = xml.read_text().replace("<description>A text</description>", "<description>Another</description>")
    xml.write_text(changed)
    plan = stand.ok("import", xml, "--dry-run", "--json").json
    assert plan["changed"] == [{"path": extra, "what": ["description: 'A text' -> 'Another'"]}]
    assert "Nobody is here to answer" in stand("import", xml).err
    assert stand.ok("import", xml, "--yes").out.startswith("imported: 0 added, 1 changed")
    assert stand.ok("show", extra, "--json").json["description"] == "Another"

    pv = extra.rpartition("/")[2]
    alarm = f'<pv name="{pv}"><latching>false</latching></pv>'
    moved = f'<config name="{stand.name}"><component name="Texts">{alarm}</component></config>'
    (tmp_path / "b.xml").write_text(moved)
    out = stand.ok("import", tmp_path / "b.xml", "--yes").out
    assert out == "imported: 2 added, 0 changed, 1 removed (1 of them moved), 0 as before\n"
    assert stand.ok("show", pv, "--json").json["path"] == f"/{stand.name}/Texts/{pv}"
    stand.ok("rm", f"/{stand.name}/Texts", f"/{stand.name}/HV/X", "--yes")


def test_an_import_that_replaces(stand: AlarmStand, extra: str, tmp_path: Path):
    xml = tmp_path / "a.xml"
    stand.put("L01:IMon", 50.0)
    stand.until_active("L01:IMon", "MAJOR")
    stand.ok("export", xml)
    stand.ok("edit", f"/{stand.name}/HV/New/{stand.pv('X:State')}", "--new")
    plan = stand.ok("import", xml, "--replace", "--dry-run", "--json").json
    assert [item["path"] for item in plan["removed"]] == [
        f"/{stand.name}/HV/New/{stand.pv('X:State')}", f"/{stand.name}/HV/New",
    ]  # fmt: skip
    assert not plan["added"] and not plan["changed"]
    stand.ok("import", xml, "--replace", "--yes")
    assert stand("show", f"/{stand.name}/HV/New").code == 1
    assert stand.active()["L01:IMon"]["severity"] == "MAJOR"  # nothing began anew
    stand.ok("rm", f"/{stand.name}/HV/X", "--yes")


@pytest.mark.parametrize(
    ("xml", "reason"),
    [
        ("<config", "a.xml:1: "),
        ('<config name="OTHER"/>', "OTHER"),
        ('<config name="{name}"><pv name="a"/><component name="A"><pv name="a"/></component></config>', "a.xml:1: "),
        ('<config name="{name}"><pv name="a"><filter>1 +</filter></pv></config>', "column"),
    ],
)
def test_a_file_is_refused_whole(stand: AlarmStand, tmp_path: Path, xml: str, reason: str):
    before = stand.ok("export").out
    file = tmp_path / "a.xml"
    file.write_text(xml.format(name=stand.name))
    assert reason in stand.no(2, "import", file, "--yes")
    assert stand.ok("export").out == before


def test_all_is_well(stand: AlarmStand):
    form = stand.until(lambda form: form["ok"] and form, "check", what="the log is written")
    checks = {one["name"]: one for one in form["checks"]}
    assert {"server", "role", "log", "Kafka", "PVs", "filters", "configuration", "database"} <= set(checks)
    shown = stand.ok("check").out
    assert f"ok     server: answers at {stand.prefix}ALM:" in shown and "4 alarms in" in shown


def test_what_is_wrong(stand: AlarmStand):
    gone, filtered = f"/{stand.name}/HV/X/{stand.pv('X:None')}", f"/{stand.name}/HV/X/{stand.pv('X:State')}"
    stand.ok("edit", gone, "--new", "--set", "masked_by=/nowhere")
    stand.ok("edit", filtered, "--new", "--set", f"filter='{stand.pv('X:NoMode')}' > 0")
    stand.ok("edit", filtered, "--set", 'actions=[{"details": "cmd:/bin/false"}]')
    try:
        stand.until_active("X:None", "UNDEFINED")
        stand.until_active("X:State", None)
        # what else is not well yet, such as a database that is slow, becomes so
        deadline = time.monotonic() + PATIENCE
        found: dict = {}
        while set(found) != {"PVs", "filters", "masks", "actions"}:
            assert time.monotonic() < deadline, found
            run = stand("check", "--json")
            assert run.code == 1 and not run.json["ok"]
            found = {one["name"]: one for one in run.json["checks"] if one["state"] == "bad"}
        assert stand.pv("X:None") in found["PVs"]["details"][0]
        assert stand.pv("X:NoMode") in found["filters"]["details"][0]
    finally:
        stand.ok("rm", f"/{stand.name}/HV/X", "--yes")
