"""`owl alarm` with a real alarm IOC and a real soft IOC: what operators see and do."""

from __future__ import annotations

import csv
import getpass
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alarm_stand import AlarmStand

pytestmark = pytest.mark.timeout(300)


def test_an_alarm_from_its_rise_to_its_end(stand: AlarmStand):
    pv, path = stand.pv("L01:IMon"), stand.path("L01:IMon")
    assert stand.ok("active").out == "no alarm\n"
    stand.put("L01:IMon", 50.0)
    row = stand.until_active("L01:IMon", "MAJOR")
    assert (row["path"], row["name"], row["area"]) == (path, f"{stand.prefix}ALM:HV:L01:IMon", f"/{stand.name}/HV/L01")
    assert (row["message"], row["value"], row["state"]) == ("HIHI_ALARM", "50.0 uA", "Active")
    assert row["guidance"] == [{"title": "Guidance", "details": "Look at the channel"}] and row["priority"] == "high"
    assert abs(datetime.fromisoformat(row["time"]) - datetime.now(UTC)) < timedelta(minutes=5)
    shown = stand.ok("active").out
    assert pv in shown and "◆ MAJOR" in shown and shown.endswith("1 ◆ MAJOR\n")

    run = stand.ok("ack", pv)
    assert run.out == f"{pv}: acknowledged\n"
    row = stand.active()["L01:IMon"]
    assert row["severity"] == "MAJOR_ACK" and row["acknowledged_by"].partition("@")[0]
    assert "acknowledged by" in stand.ok("active").out
    assert stand.ok("active", "--waiting").out == "no alarm\n"
    stand.ok("unack", path)
    assert stand.active()["L01:IMon"]["severity"] == "MAJOR"

    stand.put("L01:IMon", 0.0)
    stand.until(lambda form: form["alarms"][0]["state"] == "ActiveLatched", "active")
    assert "latched" in stand.ok("active").out
    stand.ok("ack", f"/{stand.name}/HV")
    assert stand.ok("active").out == "no alarm\n"


def test_what_is_looked_for(stand: AlarmStand):
    stand.put("L01:IMon", 45.0)
    stand.put("L02:IMon", 50.0)
    stand.until_active("L01:IMon", "MINOR")
    stand.until_active("L02:IMon", "MAJOR")

    def pvs(*args: str) -> list[str]:
        return [row["pv"] for row in stand.ok("active", *args, "--json").json["alarms"]]

    first, second = stand.pv("L01:IMon"), stand.pv("L02:IMon")
    assert pvs() == [second, first]
    assert pvs("--severity", "MAJOR") == [second]
    assert pvs(f"/{stand.name}/HV/L01") == pvs(first) == pvs("*L01*") == [first]
    assert "is none of MINOR" in stand.no(2, "active", "--severity", "loud")
    stand.ok("ack", "*:L0[12]:*")
    assert {row["severity"] for row in stand.active().values()} == {"MINOR_ACK", "MAJOR_ACK"}
    assert stand.no(1, "ack", "*:L9:*") == "owl: no alarm fits '*:L9:*'\n"


def test_the_tree(stand: AlarmStand):
    stand.put("L02:IMon", 50.0)
    stand.until_active("L02:IMon", "MAJOR")
    tree = stand.ok("tree", "--json").json
    assert (tree["path"], tree["severity"], tree["total"]) == (f"/{stand.name}", "MAJOR", 4)
    area = stand.ok("tree", f"/{stand.name}/HV/L02", "--json").json
    assert area["pv_prefix"] == f"{stand.prefix}ALM:HV:L02" and area["children"][0]["pv"] == stand.pv("L02:IMon")
    shown = stand.ok("tree").out
    assert f"◆ MAJOR  {stand.name}  1 waiting of 4" in shown and f"✓ OK  {stand.pv('L01:IMon')}" in shown
    assert stand.pv("L01:IMon") not in stand.ok("tree", "--alarms").out
    assert stand.pv("L01:IMon") not in stand.ok("tree", "--depth", "2").out
    assert stand.ok("tree", f"/{stand.name}/HV/L01", "--alarms").out == f"/{stand.name}/HV/L01: no alarm\n"


def test_a_page_of_an_alarm(stand: AlarmStand):
    page = stand.ok("show", stand.pv("L01:IMon")).out
    for text in ("Look at the channel", "owl screens hv", "priority    high", stand.path("L01:IMon"), "latching"):
        assert text in page
    form = stand.ok("show", stand.path("L01:IMon"), "--json").json
    assert form["configured"]["extras"]["priority"] == "high" and form["kind"] == "alarm"
    area = stand.ok("show", f"/{stand.name}/HV").out
    assert "alarms        4" in area
    assert f"did you mean {stand.pv('L01:IMon')}" in stand.no(1, "show", f"{stand.pv('L01:IMon')}x")


def test_shelves(stand: AlarmStand):
    pv = stand.pv("L01:IMon")
    stand.put("L01:IMon", 50.0)
    stand.until_active("L01:IMon", "MAJOR")
    assert stand.ok("shelve", pv, "--for", "10m", "-m", "cable is changed").out.startswith(f"{pv}: shelved until 20")
    (shelf,) = stand.ok("shelves", "--json").json["shelves"]
    assert (shelf["path"], shelf["why"], shelf["one_shot"]) == (stand.path("L01:IMon"), "cable is changed", False)
    left = datetime.fromisoformat(shelf["until"]) - datetime.now(UTC)
    assert timedelta(minutes=5) < left < timedelta(minutes=11)
    assert "cable is changed" in stand.ok("shelves").out
    assert stand.active() == {} and stand.ok("tree", "--json").json["suppressed"] == 1
    assert "set aside     1" in stand.ok("show", "/").out
    assert "shelved     until" in stand.ok("show", pv).out
    stand.ok("shelve", stand.pv("L02:IMon"), stand.pv("L03:IMon"), "--once", "-m", "known")
    assert [one["one_shot"] for one in stand.ok("shelves", "--json").json["shelves"]] == [False, True, True]
    stand.ok("unshelve", pv, f"/{stand.name}/HV")
    assert stand.ok("shelves").out == "nothing is shelved\n"
    assert stand.active()["L01:IMon"]["severity"] == "MAJOR"


def test_shelves_that_may_not_be(stand: AlarmStand):
    pv = stand.pv("L01:IMon")
    assert "Missing option '--why'" in stand.no(2, "shelve", pv, "--for", "10m")
    assert "say why" in stand.no(2, "shelve", pv, "--for", "10m", "-m", " ")
    assert "say for how long" in stand.no(2, "shelve", pv, "-m", "x")
    assert "say for how long" in stand.no(2, "shelve", pv, "-m", "x", "--once", "--for", "1h")
    assert "it may be shelved until" in stand.no(1, "shelve", pv, "--for", "30d", "-m", "x")
    run = stand("shelve", pv, "/nothing", "--for", "1h", "-m", "x")
    assert run.code == 1 and run.out.startswith(pv) and "no alarm or area '/nothing'" in run.err


def test_out_of_service(stand: AlarmStand):
    pv = stand.pv("L03:IMon")
    stand.put("L03:IMon", 50.0)
    stand.until_active("L03:IMon", "MAJOR")
    stand.ok("disable", pv)
    assert "L03:IMon" not in stand.active()
    assert "disabled" in stand.ok("tree", f"/{stand.name}/HV/L03").out
    stand.ok("enable", pv)
    stand.until_active("L03:IMon", "MAJOR")
    stand.ok("disable", f"/{stand.name}/HV/L03", "--until", "+2d")
    config = stand.ok("show", pv, "--json").json["configured"]["config"]
    left = datetime.fromisoformat(config["disabled_until"]) - datetime.now(UTC)
    assert not config["enabled"] and timedelta(days=1) < left < timedelta(days=3)
    stand.ok("enable", f"/{stand.name}/HV")
    assert stand.ok("show", pv, "--json").json["configured"]["config"]["disabled_until"] is None


def test_modes(stand: AlarmStand):
    for name in ("maintenance", "notify"):
        assert stand.ok(name, "on").out == "on\n"
        assert stand.ok(name, "off").out == "off\n" and stand.ok(name).out == "off\n"
        assert stand.ok(name, "--json").json == {name: False}
        assert "neither on nor off" in stand.no(2, name, "perhaps")
    assert stand.ok("mode", "beam").out == "beam\n" and stand.ok("mode", "--json").json == {"mode": "beam"}
    assert stand.ok("mode", "").out == "none\n"
    stand.ok("notify", "on")


def test_the_log(stand: AlarmStand):
    pv = stand.pv("L02:IMon")
    stand.put("L02:IMon", 50.0)
    stand.until_active("L02:IMon", "MAJOR")
    stand.ok("ack", pv)
    stand.ok("shelve", pv, "--for", "1h", "-m", "the log knows why")

    def kinds(form: dict) -> set[str]:
        return {event["kind"] for event in form["events"]}

    wanted = {"transition", "ack", "shelve", "announce"}
    stand.until(lambda form: kinds(form) >= wanted, "log", pv, what="the log")
    # it is written a little later than it happens, and this alarm was shelved before
    stand.until(lambda form: form["events"], "log", pv, "--kind", "shelve", "--text", "KNOWS", what="the shelf")
    shelved = stand.ok("log", pv, "--kind", "shelve", "--text", "KNOWS", "--limit", "1", "--json").json
    (event,) = shelved["events"]
    assert event["path"] == stand.path("L02:IMon") and event["user"] and shelved["next"]
    assert stand("log", pv, "--kind", "shelve", "--after", shelved["next"], "--text", "knows").code in (0, 1)
    assert stand.ok("log", "--by", event["user"], "--json").json["events"]
    assert kinds(stand.ok("log", f"/{stand.name}/HV/L02", "--raised", "--json").json) == {"transition"}
    shown = stand.ok("log", pv, "--severity", "major", "--from", "-1h").out
    assert "raised" in shown and "◆ MAJOR" in shown and "50.0 uA" in shown
    assert stand.no(1, "log", "--to", "-300d", "--from", "-301d") == "owl: nothing of that in the log\n"
    assert "is none of transition" in stand.no(2, "log", "--kind", "noise")
    assert "is no time" in stand.no(2, "log", "--from", "once upon a time")
    assert "no" in stand.no(2, "log", "--after", "here")


def test_the_log_as_a_table_for_others(stand: AlarmStand, tmp_path: Path):
    stand.until(lambda form: form["events"], "log", what="something in the log")
    rows = list(csv.DictReader(io.StringIO(stand.ok("log", "--csv").out)))
    assert rows and rows[0]["time"] <= rows[-1]["time"] and {"path", "pv", "severity", "user"} <= set(rows[0])
    assert stand.ok("log", "--csv", "--output", tmp_path / "night.csv").out == ""
    assert (tmp_path / "night.csv").read_text().startswith("time,")
    assert "--output is for --csv" in stand.no(2, "log", "--output", tmp_path / "x")


def test_figures(stand: AlarmStand):
    stand.put("L01:IMon", 50.0)
    stand.until_active("L01:IMon", "MAJOR")
    form = stand.until(lambda form: form["alarms"] >= 1 and form, "stats", what="the figures")
    assert form["per_hour"]["target"] == 6 and form["top"][0]["pv"]
    shown = stand.ok("stats").out
    for text in ("alarms per hour", "at most 6.0", "what came most often", "over time", "who did what"):
        assert text in shown
    assert stand.ok("stats", "--area", f"/{stand.name}/NONE", "--json").json["alarms"] == 0
    assert "0 alarms" in stand.ok("stats", "--area", f"/{stand.name}/NONE").out
    assert "is not before" in stand.no(2, "stats", "--from", "now", "--to", "-1h")


def test_letters_where_there_are_no_shapes(stand: AlarmStand):
    stand.put("L01:IMon", 50.0)
    stand.until_active("L01:IMon", "MAJOR")
    for words in (("active",), ("tree",), ("stats",)):
        run = stand.child(*words, env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
        assert run.code == 0 and run.out.isascii(), run.err
    assert "M! MAJOR" in stand.child("active", env={"PYTHONIOENCODING": "ascii"}).out


def test_exit_codes_of_a_process(stand: AlarmStand):
    assert stand.child("active").code == 0
    run = stand.child("ack", "nothing")
    assert (run.code, run.out, run.err) == (1, "", "owl: no alarm or area 'nothing'\n")
    assert stand.child("active", "--severity", "loud").code == 2
    assert stand.child("active", "--system", "XX").code == 2


def test_who_acts_is_this_user(stand: AlarmStand):
    stand.put("L01:IMon", 50.0)
    stand.until_active("L01:IMon", "MAJOR")
    stand.ok("ack", stand.pv("L01:IMon"))
    assert stand.active()["L01:IMon"]["acknowledged_by"].startswith(f"{getpass.getuser()}@")
