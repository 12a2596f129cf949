"""The parts of `owl alarm` that need no server: spans, selections, looks, plans, findings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer

from iocs.alarm.cli import findings
from iocs.alarm.cli.act import _end
from iocs.alarm.cli.drawing import LOOKS, counts_text, local_time, severity_text, shape, state_text
from iocs.alarm.cli.edit import _from_text, _with_settings
from iocs.alarm.cli.look import select, severity_name
from iocs.alarm.cli.move import _plan
from iocs.alarm.cli.watch import changes
from iocs.alarm.client import NoSuchItemError, _likely, _pick, walk
from iocs.alarm.config import AlarmConfig
from iocs.alarm.item_forms import item_form
from iocs.alarm.tree.items import Action, AreaConfig, ConfigError, Extras, Item, LeafConfig, Link
from iocs.alarm.tree.severity import AlarmSeverity

L07 = "/DEMO/HV/L07/DEMO:HV:L07:IMon"


def row(path: str = L07, severity: str = "MAJOR", **more: Any) -> dict[str, Any]:
    return {
        "path": path, "pv": path.rpartition("/")[2], "severity": severity, "message": "HIHI_ALARM", "value": "50 uA",
        "state": "Active", "acknowledged_by": "", "shelved": None, "first_out": False, "chattering": False, **more,
    }  # fmt: skip


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("2h", 7200), ("+1d", 86400)])
def test_for_how_long(text: str, seconds: int):
    end = _end(text, None)
    assert end is not None and abs(end - datetime.now(UTC) - timedelta(seconds=seconds)) < timedelta(seconds=30)


def test_until_when():
    assert _end(None, None) is None
    assert _end(None, "2090-01-01T00:00:00Z") == datetime(2090, 1, 1, tzinfo=UTC)
    past = datetime.now() - timedelta(minutes=2)
    end = _end(None, f"{past:%H:%M}")  # a clock's time that is over is tomorrow's
    assert end is not None and timedelta(hours=20) < end - datetime.now(UTC) < timedelta(hours=26)


@pytest.mark.parametrize(
    ("span", "until"), [("soon", None), ("", None), ("0s", None), (None, "2020-01-01"), (None, "never")]
)
def test_what_is_no_time_is_refused(span: str | None, until: str | None):
    with pytest.raises(typer.BadParameter):
        _end(span, until)


def test_selections():
    other = "/DEMO/HV/L08/DEMO:HV:L08:IMon"
    rows = [row(), row(other, "MINOR"), row("/DEMO/GAS/P", "INVALID_ACK")]

    def paths(*args: Any) -> list[str]:
        return [one["path"] for one in select(rows, *args)]

    assert paths() == paths("/") == paths("/DEMO/") == [L07, other, "/DEMO/GAS/P"]
    assert paths("/DEMO/HV") == [L07, other] and paths("/DEMO/H") == []
    assert paths("DEMO:HV:L07:IMon") == paths("*:L07:*") == [L07]
    assert paths("", "MAJOR") == [L07, "/DEMO/GAS/P"]
    assert paths("", "INVALID", True) == []
    assert severity_name("major") == "MAJOR"
    with pytest.raises(typer.BadParameter):
        severity_name("loud")


def test_looks_are_told_apart_without_colour():
    assert set(LOOKS) == {severity.name for severity in AlarmSeverity}
    for shapes in zip(*((drawn, letters) for drawn, letters, _ in LOOKS.values()), strict=True):
        assert len(set(shapes)) == len(shapes)
    assert shape("MAJOR") in LOOKS["MAJOR"] and str(severity_text("MAJOR")).endswith(" MAJOR")
    rows = [row(), row("/D/b"), row("/D/c", "MINOR"), row("/D/d", "MAJOR_ACK")]
    assert counts_text(rows) == f"2 {shape('MAJOR')} MAJOR, 1 {shape('MINOR')} MINOR, 1 acknowledged"
    assert counts_text([]) == "no alarm"


def test_states_in_words():
    assert state_text(row(first_out=True, chattering=True)) == "active, first out, chatters"
    assert state_text(row(state="Acknowledged", acknowledged_by="anna@daq1")) == "acknowledged by anna"
    shelf = {"until": "2090-01-01T00:00:00.000Z"}
    assert state_text(row(state="NormalContinuousShelved", shelved=shelf)).startswith("shelved until 20")
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    assert local_time("") == "" and local_time("2026-11-20T11:59:00Z", now).count(":") == 2
    assert local_time("2026-11-18T11:59:00Z", now).startswith("2026-11-18 ")


def test_lines_of_what_changed():
    old, new = {"a": row("a"), "b": row("b")}, {"a": row("a", "MAJOR_ACK", acknowledged_by="anna"), "c": row("c")}
    assert changes(old, old) == []
    assert [line.split()[:2] for line in changes(old, new)] == [["MAJOR_ACK", "a"], ["MAJOR", "c"], ["OK", "b"]]
    assert changes(old, new)[0].endswith("by anna")


def test_names_by_rule():
    assert ":HV:L07:IMon" in _likely(L07, "DEMO:ALM:")
    assert _likely("/DEMO/HV/L07", "DEMO:ALM:")[0] == ":HV:L07"
    assert _likely("DEMO:HV:L07:IMon", "DEMO:ALM:") == [":HV:L07:IMon"]
    assert _likely("ca://TEST:x.VAL", "DEMO:ALM:") == [":TEST:x_VAL"]
    assert _likely("/DEMO", "DEMO:ALM:")[0] == ""
    assert _likely("//", "DEMO:ALM:") == []


def test_what_is_not_there_is_said_with_what_is_like_it():
    leaf = {"path": L07, "pv": "DEMO:HV:L07:IMon", "name": "DEMO:HV:L07:IMon", "kind": "alarm"}
    tree = {"path": "/DEMO", "name": "DEMO", "kind": "area", "children": [leaf]}
    assert _pick(tree, L07) is leaf and _pick(tree, "DEMO:HV:L07:IMon") is leaf
    assert [node["name"] for node in walk(tree)] == ["DEMO", "DEMO:HV:L07:IMon"]
    with pytest.raises(NoSuchItemError, match=r"did you mean DEMO:HV:L07:IMon\?"):
        _pick(tree, "DEMO:HV:L07:IMom")
    with pytest.raises(NoSuchItemError, match=r"^no alarm or area 'nothing'$"):
        _pick(tree, "nothing")


# Plans of imports

HV = Item("/DEMO/HV", AreaConfig(guidance=(Link("a", "b"),)))
ALARM = Item(L07, LeafConfig(description="old"))
GAS = Item("/DEMO/GAS/P", LeafConfig())
ROOT = Item("/DEMO", AreaConfig())


def test_an_import_leaves_alone_what_it_does_not_speak_of():
    new = Item(L07, LeafConfig(description="new"))
    found = _plan([ROOT, HV, ALARM, GAS], [new], replace=False)
    assert found.lines() == [f"~ {L07}: description: 'old' -> 'new'", "0 added, 1 changed, 0 removed, 0 as before"]


def test_a_pv_leaves_its_old_place():
    moved = Item("/DEMO/Layers/DEMO:HV:L07:IMon", LeafConfig(description="old"))
    found = _plan([ROOT, ALARM, GAS], [moved], replace=False)
    assert [item.path for item in found.removed] == [L07]
    assert found.moved == ((L07, moved.path),)


def test_a_replacing_import_removes_the_rest():
    found = _plan([ROOT, HV, ALARM, GAS], [ALARM], True)
    assert [item.path for item in found.removed] == ["/DEMO/GAS/P", "/DEMO/GAS"] and not found.added
    assert [change.path for change in found.changed] == ["/DEMO/HV"]  # it stays, without its guidance


# Edits


def test_settings():
    wanted = ["delay=5", "description=Current = too high", "latching=off", "priority=high", "modes=beam, cosmics"]
    made = _with_settings(item_form(ALARM), wanted)
    assert made.config == LeafConfig(description="Current = too high", delay=5, latching=False)
    assert made.extras == Extras(priority="high", modes=("beam", "cosmics"))
    until = _with_settings(item_form(ALARM), ["disabled_until=2090-01-01T00:00:00Z"])
    assert isinstance(until.config, LeafConfig) and not until.config.enabled
    again = _with_settings(item_form(until), ["enabled=true"])
    assert isinstance(again.config, LeafConfig) and again.config.disabled_until is None
    links = _with_settings(item_form(HV), ['guidance=[{"title": "c", "details": "d"}]'])
    assert links.config.guidance == (Link("c", "d"),)


def test_settings_that_are_none():
    for setting in ("delay", "delai=3"):
        with pytest.raises(typer.BadParameter):
            _with_settings(item_form(ALARM), [setting])
    for setting, reason in (
        ("delay=soon", "config.delay"),
        ("priority=P1", "extras.priority"),
        ("enabled=x", "enabled"),
    ):
        with pytest.raises(ConfigError, match=reason):
            _with_settings(item_form(ALARM), [setting])


def test_texts_of_an_editor():
    assert _from_text(item_form(ALARM), b'{"config": {"description": "x"}}') == Item(L07, LeafConfig("x"))
    for text, reason in ((b"{", "line 1: not JSON"), (b"3", "not an object"), (b'{"path": "/D"}', "path cannot be")):
        with pytest.raises(ConfigError, match=reason):
            _from_text(item_form(ALARM), text)


# Findings

STATUS: dict[str, Any] = {
    "Role": "Active", "Standby": "", "LogState": "OK", "LogBehind": 0, "StoreState": "OK", "KafkaState": "Off",
    "Flood": False, "Rate": 2, "Maint": False, "Notify": True, "Problems": [], "Chattering": [],
}  # fmt: skip


def grades(found: list[findings.Finding]) -> dict[str, str]:
    return {one.name: one.grade for one in found}


def test_a_server_that_is_well():
    assert set(grades(list(findings.of_server(STATUS))).values()) == {"ok"}


def test_a_server_that_is_not():
    status = STATUS | {
        "Role": "Standby", "LogState": "no database", "LogBehind": 12, "KafkaState": "no broker", "Flood": True,
        "Maint": True, "Notify": False, "Problems": ["a.xml:3: wrong"], "Chattering": [{"path": L07}],
    }  # fmt: skip
    found = {one.name: one for one in findings.of_server(status)}
    assert grades(list(found.values())) == {
        "role": "warn", "log": "bad", "memory": "ok", "Kafka": "bad", "load": "warn", "maintenance": "warn",
        "notification": "warn", "files": "bad", "chattering": "warn",
    }  # fmt: skip
    assert "12 entries" in found["log"].text and found["files"].details == ("a.xml:3: wrong",)
    assert found["chattering"].details == (L07,)


def node(**more: Any) -> dict[str, Any]:
    return {
        "kind": "alarm", "path": L07, "pv": "DEMO:HV:L07:IMon", "enabled": True, "current": "OK", "current_message": "",
        "since": "", "reasons": [], **more,
    }  # fmt: skip


def test_a_tree():
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    area = {"kind": "area", "path": "/DEMO", "total": 2}
    assert set(grades(list(findings.of_tree([area, node()], now))).values()) == {"ok"}
    assert grades(list(findings.of_tree([area], now))) == {"tree": "bad"}
    lost = node(current="UNDEFINED", current_message="Disconnected", since="2026-11-18T12:00:00.000Z")
    empty = {"kind": "area", "path": "/DEMO/X", "total": 0}
    assert grades(list(findings.of_tree([area, empty, lost, node(enabled=False)], now))) == {
        "tree": "ok", "PVs": "bad", "areas": "warn", "disabled": "warn", "stale": "warn",
    }  # fmt: skip


def test_a_configuration():
    config = AlarmConfig.model_validate({"actions": {"cmd": [["/bin/true"]], "sevrpv": ["LAB:*"]}})
    good = LeafConfig(actions=(Action("", "cmd:/bin/true x"),), guidance=(Link("", "do"),))
    assert set(grades(list(findings.of_items([ROOT, Item(L07, good, Extras(priority="high"))], config))).values()) == {
        "ok"
    }
    bad = LeafConfig(
        filter="'a' >",
        actions=(
            Action("", "cmd:/bin/false"), Action("", "mailto:a@lab.org"), Action("", "webhook:https://x.lab/y"),
            Action("", "infopv:OTHER:x"),
        ),
    )  # fmt: skip
    items = [ROOT, Item(L07, bad, Extras(priority="high", masked_by="/DEMO/NO"))]
    found = {one.name: one for one in findings.of_items(items, config)}
    assert grades(list(found.values())) == {
        "configuration": "bad", "masks": "bad", "actions": "bad", "guidance": "warn", "priorities": "ok",
    }  # fmt: skip
    assert len(found["actions"].details) == 4
    helped = [Item("/DEMO", AreaConfig(guidance=(Link("", "do"),))), items[1]]
    assert grades(list(findings.of_items(helped, config)))["guidance"] == "ok"
    many = [Item(f"/DEMO/p{n}", LeafConfig(), Extras(priority="high")) for n in range(findings.HIGH_LEAST)]
    assert grades(list(findings.of_items(many, None)))["priorities"] == "warn"


def test_inputs_of_filters():
    items = [Item(L07, LeafConfig(filter="'LAB:Beam' > 0 && x == 1")), Item("/DEMO/p", LeafConfig(filter="'bad"))]
    inputs = findings.filter_inputs(items)
    assert inputs == {"LAB:Beam": [L07], "x": [L07]}
    assert findings.of_inputs(inputs, {"x"}).details == (f"x  needed by {L07}",)
    assert findings.of_inputs(inputs, set()).grade == findings.of_inputs({}, set()).grade == "ok"


def test_a_file_that_cannot_be_read(tmp_path: Path):
    from iocs.alarm.cli.move import _read

    with pytest.raises(ConfigError, match="can't be read"):
        _read(tmp_path / "none.xml", None, "DEMO", False)
    xml = tmp_path / "a.xml"
    xml.write_text('<config name="DEMO"><pv name="a"><description>x</description></pv></config>')
    (tmp_path / "a.toml").write_text('["/DEMO/b"]\npriority = "high"\n')
    with pytest.raises(ConfigError, match="there is no such alarm"):
        _read(xml, None, "DEMO", False)
    (tmp_path / "a.toml").write_text('["/DEMO/a"]\npriority = "high"\n')
    assert _read(xml, None, "DEMO", False)[0][-1].extras.priority == "high"
