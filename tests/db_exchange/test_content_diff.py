"""Differences of two runkeys, by content."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from exchange_trees import chip, detector, quick_chip, setpoints, two_views

from db import demo
from db.chips.chipfile import chip_payloads
from db.compare import RunkeyDiff, compare_runkeys, describe, parent, path_order
from db.compare_items import Edge, Other, Pixels, Setpoint, Value
from db.diff import diff_trees
from db.nodes import NewChild, NewObject, NewPayload
from db.store import Store

FE2 = "/FELIX1/OB1/FE2"


def edited(store: Store) -> RunkeyDiff:
    """The demo, and a clone in which something of every kind was changed."""
    demo.make_demo(store.staging)
    store.staging.clone(demo.NAME, "b")
    runkeys = store.staging
    with runkeys.edit("b", "tuned") as edit:
        for number in (1, 2, 3):
            path = f"/FELIX1/OB1/FE{number}"
            config = runkeys.payload("b", path, "config")
            edit.put(path, "config", config.replace(b'"DiffTh2": 50', b'"DiffTh2": 60'))
        pixels = bytearray(runkeys.payload("b", FE2, "pixels"))
        pixels[0] ^= 1  # Enable of column 0, row 0
        pixels[400] ^= 4  # Hitbus of column 1, row 16
        edit.put(FE2, "pixels", bytes(pixels))
        edit.set_edge("/FELIX1/OB1/FE3", rx=7, enable=0)
        edit.set_serial("/FELIX1/OB1/FE4", "S-4")
        edit.set_meta("/FELIX1", card=1)
        scan = runkeys.payload("b", "/std_digitalscan", "config")
        edit.put("/std_digitalscan", "config", scan.replace(b'"max": 64', b'"max": 32'))
        edit.add("/", NewObject("subsystem", "HV", payloads=[setpoints({"DEMO:HV:L07:VSet": 1.0})]), pos=3)
        edit.add("/FELIX1", detector().children[0].object, pos=5)  # two boards with two chips each
    return compare_runkeys(store, demo.NAME, "b")


def test_everything_is_described(store: Store) -> None:
    found = edited(store)
    assert found
    assert [(p.path, p.type, p.objects) for p in found.added] == [
        ("/FELIX1/FELIX1", "felix", 7),
        ("/HV", "subsystem", 1),
    ]
    values = [item for item in found.items if isinstance(item, Value)]
    assert [(v.path, v.key, v.before, v.after, v.register) for v in values] == [
        *((f"/FELIX1/OB1/FE{n}", "GlobalConfig.DiffTh2", 50, 60, True) for n in (1, 2, 3)),
        ("/std_digitalscan", "scan.loops[0].config.max", 64, 32, False),
    ]
    (pixels,) = [item for item in found.items if isinstance(item, Pixels)]
    assert (pixels.path, pixels.chip, pixels.cols, pixels.rows) == (FE2, "RD53B", 400, 384)
    assert (pixels.enable, pixels.injen, pixels.hitbus, pixels.tdac, pixels.changed) == (1, 0, 1, 0, 2)
    edges = [item for item in found.items if isinstance(item, Edge)]
    assert [(e.key, e.before, e.after) for e in edges] == [("enable", 1, 0), ("rx", 12, 7)]
    others = [item for item in found.items if isinstance(item, Other)]
    assert [(o.path, o.what, o.before, o.after) for o in others] == [
        ("/FELIX1", "meta card", "", "1"),
        ("/FELIX1/OB1/FE4", "serial", "Quad1_Chip4", "S-4"),
    ]
    assert found.counts() == {
        "objects": 14,
        "added": 8,
        "removed": 0,
        "changed": 6,
        "registers": 3,
        "values": 1,
        "maps": 1,
        "pixels": 2,
        "setpoints": 0,
        "edges": 2,
        "others": 2,
    }


def test_the_other_way_round(store: Store) -> None:
    edited(store)
    found = compare_runkeys(store, "b", demo.NAME)
    assert [p.path for p in found.removed] == ["/FELIX1/FELIX1", "/HV"] and not found.added
    assert found.counts()["removed"] == 8


def test_text(store: Store) -> None:
    text = edited(store).as_text(width=110)
    assert "14 objects differ: 8 added, 6 changed" in text
    assert "1 pixel map (2 pixels), 3 registers, 1 value, 2 connections, 2 other changes" in text
    assert "GlobalConfig.DiffTh2  50 -> 60  in 3 objects: /FELIX1/OB1/FE1, /FELIX1/OB1/FE2, /FELIX1/OB1/FE3" in text
    assert "/FELIX1/OB1/FE3  rx  12 -> 7" in text
    assert "/FELIX1/OB1/FE2  2 pixels (0.0013 %): Enable 1, Hitbus 1" in text
    assert "scan.loops[0].config.max  64 -> 32  /std_digitalscan" in text
    assert max(map(len, text.splitlines())) <= 110


def test_text_of_a_part(store: Store) -> None:
    found = edited(store)
    text = found.as_text(FE2)
    assert "FE2  GlobalConfig.DiffTh2  50 -> 60" in text and "Enable 1" in text
    assert "FE1" not in text and "std_digitalscan" not in text
    assert found.as_text("/FELIX1/OB1/FE9") == "nothing differs at or below /FELIX1/OB1/FE9\n"
    full = found.as_text(full=True)
    assert all(f"/FELIX1/OB1/FE{n}  GlobalConfig.DiffTh2  50 -> 60" in full for n in (1, 2, 3))


def test_json(store: Store) -> None:
    document = json.loads(json.dumps(edited(store).as_dict()))
    assert document["counts"]["objects"] == 14 and document["more"] == 0
    assert document["groups"][0] == {
        "role": "config",
        "key": "GlobalConfig.DiffTh2",
        "before": 50,
        "after": 60,
        "objects": 3,
        "paths": [f"/FELIX1/OB1/FE{n}" for n in (1, 2, 3)],
    }
    kinds = [change["kind"] for change in document["changes"]]
    assert sorted(set(kinds)) == ["edge", "other", "pixels", "register", "value"]
    (pixels,) = [change for change in document["changes"] if change["kind"] == "pixels"]
    assert (pixels["changed"], pixels["tdac_mean"]) == (2, 0)
    assert len(pixels["before"]) == len(pixels["after"]) == 64
    below = {entry["path"]: entry for entry in document["parents"]}
    assert below["/FELIX1/OB1"]["registers"] == 3 and below["/"]["added"] == 1


def test_nothing_differs(store: Store) -> None:
    demo.make_demo(store.staging)
    store.staging.clone(demo.NAME, "b")
    found = compare_runkeys(store, demo.NAME, "b")
    assert not found and found.as_text() == "they are the same\n"
    assert found.as_dict()["counts"]["objects"] == 0


def test_across_databases(store: Store) -> None:
    edited(store)
    store.commit(demo.NAME)
    store.staging.delete(demo.NAME)
    found = compare_runkeys(store, demo.NAME, "b")
    assert found.counts()["registers"] == 3
    (pixels,) = [item for item in found.items if isinstance(item, Pixels)]
    before, after = found.contents(pixels)
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 2


def test_pictures(store: Store, tmp_path: Path) -> None:
    found = edited(store)
    written = found.write_pictures(tmp_path)
    assert sorted(p.name for p in written) == ["FELIX1_OB1_FE2.png", "index.html"]
    assert written[0].read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    page = (tmp_path / "index.html").read_text()
    assert 'src="FELIX1_OB1_FE2.png"' in page and "DiffTh2  50 -&gt; 60" in page


def test_setpoints_and_conditions(store: Store) -> None:
    def snapshot(name: str, items: list[dict[str, Any]], when: str, severity: int) -> None:
        settings = json.dumps({"version": 1, "items": items}).encode()
        said = {"version": 1, "taken": when, "items": {"A": [severity, 0, 1], "B": [0, 0, 2]}, "missing": {}}
        payloads = [
            NewPayload("setpoints", settings, "setpoints"),
            NewPayload("conditions", json.dumps(said).encode(), "conditions"),
        ]
        hv = NewObject("subsystem", "HV", payloads=payloads)
        store.staging.create(name, NewObject("runkey", "", children=[NewChild(hv)]))

    volt = {"type": "double", "units": "V", "precision": 1}
    snapshot("a", [{"pv": "A", "value": 30.0} | volt, {"pv": "B", "value": "Off", "type": "enum"}], "T1", 0)
    changed = [{"pv": "A", "value": 35.5} | volt | {"units": "kV"}, {"pv": "C", "value": "NaN"} | volt]
    snapshot("b", changed, "T2", 2)
    found = compare_runkeys(store, "a", "b")
    said = [(i.pv, i.before, i.after, i.units, i.about) for i in found.items if isinstance(i, Setpoint)]
    assert said == [
        ("A", 30.0, 35.5, "kV", "units V -> kV"),
        ("B", "Off", None, "", ""),
        ("C", None, "NaN", "V", ""),
    ]
    (conditions,) = [item for item in found.items if isinstance(item, Other)]
    assert conditions.after == "taken T2, 2 PVs, 0 missing, 1 of another severity"
    text = found.as_text()
    assert "A  30.0 -> 35.5 kV  units V -> kV" in text and "B  Off -> (none)" in text


def payload_pair(store: Store, one: NewPayload | None, two: NewPayload | None) -> RunkeyDiff:
    """Two runkeys that differ in a payload."""
    for name, payload in (("a", one), ("b", two)):
        thing = NewObject("thing", "T", payloads=[payload] if payload else [])
        store.staging.create(name, NewObject("runkey", "", children=[NewChild(thing)]))
    return compare_runkeys(store, "a", "b")


@pytest.mark.parametrize(
    ("one", "two", "before", "after"),
    [
        (None, NewPayload("x", b"12", "log", "raw"), "", "raw, 2 bytes"),
        (NewPayload("x", b"{}"), None, "json, 2 bytes", ""),
        (NewPayload("x", b"a\nb\n", format="text"), NewPayload("x", b"a\nc\n", format="text"), "b", "c"),
        (NewPayload("x", b"a\n", format="text"), NewPayload("x", b"a\nc\nd\n", format="text"), "", "2 lines"),
        (
            NewPayload("x", b"1", format="text"),
            NewPayload("x", b"1", format="json"),
            "1 bytes, format text",
            "1 bytes, format json",
        ),
        (NewPayload("x", b"{}", name="a"), NewPayload("x", b"{}", name=""), "2 bytes, name a", "2 bytes, name (none)"),
        (NewPayload("x", b"{}", meta={"a": 1}), NewPayload("x", b"{}"), '2 bytes, {"a":1}', "2 bytes, {}"),
        (NewPayload("x", b"1", "setpoints"), NewPayload("x", b"2", "setpoints"), "1 bytes, sha256 6b86b273ff34", None),
        (
            NewPayload("x", b"12", "p", "pixels"),
            NewPayload("x", b"13", "p", "pixels"),
            "2 bytes, sha256 6b51d431df5d",
            None,
        ),
    ],
)
def test_payloads(store: Store, one: NewPayload, two: NewPayload, before: str, after: str | None) -> None:
    """What can't be told apart inside differs as bytes do; nothing raises."""
    (item,) = payload_pair(store, one, two).items
    assert isinstance(item, Other) and item.before == before
    assert after is None or item.after == after


def test_blanks_are_no_values(store: Store) -> None:
    (item,) = payload_pair(store, NewPayload("x", b'{"a":1}'), NewPayload("x", b'{"a": 1}')).items
    assert isinstance(item, Other)
    assert item.before.startswith("7 bytes, sha256 ") and item.after.startswith("8 bytes, sha256 ")


def test_what_a_terminal_would_obey(store: Store) -> None:
    found = payload_pair(store, NewPayload("x", b'{"a": "\\u001b[2J"}'), NewPayload("x", b'{"a": "b\\n"}'))
    text = found.as_text()
    assert "\x1b" not in text and "\\x1b[2J -> b\\n" in text


def test_many_alike_are_one_line(store: Store) -> None:
    """200 front-ends with the same new register: a group, not 200 lines; details on request."""
    runkeys = store.staging
    runkeys.create("a", detector(boards=10, chips=20))
    runkeys.clone("a", "b")
    old = quick_chip(0)[0].content
    with runkeys.edit("b", "x") as edit:
        for node in runkeys.tree("b").find("frontend"):
            edit.put(node.path, "config", old.replace(b'"DiffTh2":50', b'"DiffTh2":51'))
    found = compare_runkeys(store, "a", "b")
    text = found.as_text(width=200)
    assert "in 200 objects: /FELIX1/OB1/FE1, /FELIX1/OB1/FE2, /FELIX1/OB1/FE3, …" in text
    assert len(text.splitlines()) < 25
    assert "/FELIX1/OB10  20 changed: 20 registers" in text
    assert text.index("/FELIX1/OB2 ") < text.index("/FELIX1/OB10 ")
    assert len(found.as_text(full=True).splitlines()) > 200
    document = found.as_dict()
    assert len(document["changes"]) == 200 and document["more"] == 0
    assert len(document["groups"][0]["paths"]) == 10 and document["groups"][0]["objects"] == 200


def test_other_views(store: Store) -> None:
    store.staging.create("a", two_views())
    changed = two_views()
    changed.children[0].object.serial = "new"  # type: ignore[union-attr]
    changed.children[0].object.children[0].meta = {"channel": 4}  # type: ignore[union-attr]
    store.staging.create("b", changed)
    found = compare_runkeys(store, "a", "b")
    assert {item.path for item in found.items} == {"power:/PSU", "power:/PSU/FE1"}
    assert parent("power:/PSU/FE1") == "power:/PSU" and parent("power:/PSU") == "power:/"
    assert "power:/PSU/FE1  channel  3 -> 4" in found.as_text("power:/PSU")
    assert "nothing differs" in found.as_text("/PSU")


def test_chips_of_other_kinds(store: Store) -> None:
    """A chip of another type in the same place is no pixel by pixel difference."""
    for name, kind in (("a", "RD53A"), ("b", "FE-I4B")):
        front = NewObject("frontend", "FE1", payloads=chip_payloads(chip(1, kind), "x"))
        store.staging.create(name, NewObject("runkey", "", children=[NewChild(front)]))
    found = compare_runkeys(store, "a", "b")
    assert not any(isinstance(item, Pixels) for item in found.items) and found.as_text()
    front = NewObject("frontend", "FE1", payloads=chip_payloads(chip(2, "FE-I4B"), "x"))
    store.staging.create("c", NewObject("runkey", "", children=[NewChild(front)]))
    (pixels,) = [item for item in compare_runkeys(store, "b", "c").items if isinstance(item, Pixels)]
    assert (pixels.cols, pixels.rows) == (80, 336) and pixels.tdac > 1000


def test_order_of_paths() -> None:
    assert sorted(["/A10", "/A2", "/A1/FE3", "/A1", "/B"], key=path_order) == ["/A1", "/A1/FE3", "/A2", "/A10", "/B"]


def test_describe_is_what_compare_does(store: Store) -> None:
    edited(store)
    with store.staging.database.read() as connection:
        found = diff_trees((connection, store.staging.root(demo.NAME)), (connection, store.staging.root("b")))
    assert describe(found, store.staging, store.staging).as_dict() == compare_runkeys(store, demo.NAME, "b").as_dict()
