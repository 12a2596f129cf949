"""`owl runkey tag, untag, tags, validity, alias, ref, device, topo, user, audit`."""

from __future__ import annotations

import getpass

from runkey_shell import STAND, Shell

FE3 = "/FELIX 1/OB1/FE3"


def test_tags(shell: Shell):
    assert shell.ok("tags").out == "there are no such tags\n"
    shell.ok("tag", "physics", STAND, "-m", "for the runs")
    shell.ok("tag", "noisy", STAND, FE3, "pixels")
    shell.ok("tag", "golden", STAND, "/HV", "--type", "reference")
    shell.ok("tag", "winter", "--type", "group", "--member", "physics", "--member", "REFERENCE:golden")
    table = shell.ok("tags", "--of", STAND).out
    assert f"{FE3} pixels" in table and "for the runs" in table
    found = {tag["name"]: tag for tag in shell.ok("tags", "--json").json["tags"]}
    assert set(found) == {"physics", "noisy", "golden", "winter"} and found["noisy"]["targets"] == 1
    assert found["winter"]["members"] == ["LABEL:physics", "REFERENCE:golden"]
    assert [t["name"] for t in shell.ok("tags", "p*", "--json").json["tags"]] == ["physics"]
    shell.ok("untag", "noisy", STAND, FE3, "pixels")
    assert "is not on" in shell.no(1, "untag", "noisy", STAND, FE3, "pixels")
    assert "say --yes" in shell.no(2, "untag", "physics")
    shell.ok("untag", "physics", "--yes")
    assert "there is no tag LABEL:physics" in shell.no(1, "untag", "physics", "--yes")
    shell.no(2, "tag", "alone")
    shell.no(2, "tag", "x", STAND, "--type", "validity")
    assert "has no payload 'pixel'" in shell.no(1, "tag", "x", STAND, FE3, "pixel")


def test_validity(shell: Shell):
    shell.ok("validity", "HV 2026", STAND, "/HV", "--from", "2026-01-01", "--until", "2026-07-01")
    shell.ok("clone", STAND, "summer")
    shell.ok("set", "summer", "/HV", "DEMO:HV:L07:VSet", "1800")
    shell.ok("validity", "HV 2026", "summer", "/HV", "--from", "2026-07-01T00:00:00Z")
    lines = shell.ok("validity", "HV 2026").out.splitlines()
    assert lines[0].startswith(f"HV 2026: {STAND} /HV from 2026-01-01 00:00:00 CET until 2026-07-01 00:00:00 CEST, by ")
    assert lines[1].startswith("HV 2026: summer /HV from 2026-07-01 02:00:00 CEST until further notice")
    found = shell.ok("validity", "HV 2026", "--at", "2026-03-01", "--json").json["validity"]
    assert [entry["runkeys"] for entry in found] == [[f"{STAND} /HV"]]
    assert shell.ok("validity", "HV 2026", "--at", "2026-08-01", "--json").json["validity"][0]["to"] is None
    assert "means nothing at" in shell.no(1, "validity", "HV 2026", "--at", "2025-01-01")
    assert "is no time" in shell.no(2, "validity", "HV 2026", STAND, "--from", "soonish")
    assert "ends" in shell.no(2, "validity", "HV 2026", STAND, "--from", "2026-01-02", "--until", "2026-01-01")


def test_aliases_and_references_stay_through_edits(shell: Shell):
    shell.ok("alias", "set", STAND, FE3, "stave", "L0S3M7")
    shell.ok("ref", "add", STAND, FE3, "ITKDB", "20UPGFC0000003")
    shell.ok("set", STAND, FE3, "DiffTh1L", "300")
    assert shell.ok("alias", "list", STAND, "--json").json["aliases"][0]["path"] == FE3
    assert FE3 in shell.ok("alias", "find", "stave", "L0S3M7").out
    assert shell.ok("ref", "find", "ITKDB", "20UPGFC0000003", "--json").json["places"] == [
        {"runkey": STAND, "path": FE3}
    ]
    assert "ITKDB" in shell.ok("ref", "list", STAND, FE3).out
    assert "L0S3M8" in shell.no(1, "alias", "find", "stave", "L0S3M8")
    shell.ok("alias", "drop", "stave", "L0S3M7")
    shell.ok("ref", "drop", STAND, FE3, "ITKDB", "20UPGFC0000003")
    assert shell.ok("alias", "list", "--json").json == {"aliases": []}
    shell.no(1, "ref", "find", "ITKDB", "20UPGFC0000003")


def test_devices_and_how_they_are_connected(empty: Shell):
    empty.ok("device", "add", "psu", "PSU1", "--address", "tcp://psu:5025", "--location", "rack 3")
    empty.ok("device", "add", "optoboard", "OB1", "--serial", "712-5", "--meta", "vendor=Bern")
    empty.ok("device", "add", "frontend", "FE1")
    empty.ok("topo", "link", "PSU1:CH2", "OB1:IN", "--view", "power", "--cable", "W7", "--from", "2026-01-01")
    empty.ok("topo", "link", "OB1", "FE1", "--view", "power", "--from", "2026-01-01")
    assert empty.ok("topo", "path", "FE1", "--view", "power").out == "PSU1:CH2 -> OB1:IN (W7) -> FE1\n"
    assert empty.ok("topo", "show").out == "power\nPSU1\n└── CH2 - OB1:IN  (W7)\n    └── FE1\n"
    assert [d["name"] for d in empty.ok("device", "list", "--kind", "psu", "--json").json["devices"]] == ["PSU1"]
    assert "rack 3" in empty.ok("device", "show", "PSU1").out and "W7" in empty.ok("device", "show", "OB1").out
    assert "port CH2 of PSU1 is occupied" in empty.no(2, "topo", "link", "PSU1:CH2", "FE1", "--view", "power")
    assert "a cycle" in empty.no(2, "topo", "link", "FE1", "PSU1", "--view", "power")
    assert "is it 'PSU1'?" in empty.no(1, "device", "show", "PSU2")
    empty.ok("topo", "unlink", "OB1", "FE1", "--view", "power", "--until", "2026-02-01")
    assert "FE1" not in empty.ok("topo", "show").out
    assert "FE1" in empty.ok("topo", "show", "--at", "2026-01-15").out
    assert "2026-02-01 00:00:00 CET" in empty.ok("topo", "show", "--ever").out
    empty.ok("device", "set", "PSU1", "--location", "rack 4", "--meta", "firmware=1.2")
    assert empty.ok("device", "show", "PSU1", "--json").json["device"]["meta"] == {"firmware": "1.2"}
    empty.no(2, "device", "set", "PSU1")
    assert "it has 1 links" in empty.no(2, "device", "remove", "PSU1", "--yes")


def test_users_and_what_they_may(shell: Shell):
    me = getpass.getuser()
    assert "everybody may do everything" in shell.ok("user", "list").out
    assert "the first user must be an admin" in shell.no(2, "user", "add", me, "--role", "operator")
    shell.ok("user", "add", me, "--role", "admin", "--full-name", "Anna A.")
    shell.ok("user", "add", "guest", "--role", "observer")
    assert [u["roles"] for u in shell.ok("user", "list", "--json").json["users"]] in (
        [["observer"], ["admin"]],
        [["admin"], ["observer"]],
    )
    assert shell.no(2, "user", "roles", me, "--role", "operator") == f"owl: user {me}: no admin would be left\n"
    shell.ok("user", "roles", "guest", "--role", "admin")
    shell.ok("user", "roles", me, "--role", "observer")
    assert "observer; operator is needed" in shell.no(1, "set", STAND, FE3, "DiffTh1L", "300")
    assert "admin is needed" in shell.no(1, "delete", STAND, "--yes")
    assert "admin is needed" in shell.no(1, "user", "disable", "guest")


def test_audit(shell: Shell):
    shell.ok("set", STAND, FE3, "DiffTh1L", "300", "-m", "less noise")
    entries = shell.ok("audit", STAND, "--json").json["audit"]
    assert [e["action"] for e in entries] == ["runkey.edit", "runkey.create"]
    assert entries[0]["detail"]["comment"] == "less noise" and entries[1]["user"] == "anna"
    table = shell.ok("audit", "--user", "anna").out
    assert "anna@daq1" in table and "runkey.create" in table and " CE" in table
    assert "runkey.edit" in shell.ok("audit", "--action", "runkey.*", "--from", "-1h").out
    assert shell.no(1, "audit", "--to", "2020-01-01") == "owl: nothing fits that\n"
    shell.no(2, "audit", "--from", "whenever")
