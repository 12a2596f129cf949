"""YARR's own files, there and back byte for byte; and everything that can be wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from exchange_trees import CHIP_FILES, chip, detector, digest, files, quick_chip, state, write_files

from db import demo
from db.errors import BadInput
from db.exchange import export_runkey, import_runkey, kind_of
from db.exchange.yarr import read_yarr, read_yarr_folder, write_yarr
from db.nodes import NewChild, NewObject
from db.store import Store


def connectivity(*chips: dict[str, Any], kind: str = "RD53A", indent: int | None = 2) -> bytes:
    """A connectivity file in a layout of its own."""
    return json.dumps({"chips": list(chips), "chipType": kind}, indent=indent).encode()


def entry(config: str, rx: int, **more: Any) -> dict[str, Any]:
    """A chip in it."""
    return {"tx": 0, "rx": rx, "config": config, "path": "relToCon", "enable": 1, "locked": 0, **more}


def there_and_back(store: Store, folder: Path, target: Path) -> tuple[str, list[str]]:
    """Import a folder and export it again; the digest, and notes of the import."""
    info, report = import_runkey(store.staging, folder, f"yarr {target.name}")
    write_yarr(store, info.name, target)
    assert files(target) == files(folder)
    assert digest(read_yarr_folder(target).root) == info.digest
    return info.name, report.notes


def test_the_demo(store: Store, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "in", demo.yarr_files())
    assert kind_of(folder) == "yarr" and kind_of(folder / "connectivity.json") == "yarr"
    name, notes = there_and_back(store, folder, tmp_path / "out")
    assert notes == []
    tree = store.staging.tree(name)
    fronts = tree.find("frontend")
    assert [node.path for node in fronts] == [f"/FELIX1/OB1/FE{n}" for n in (1, 2, 3, 4)]
    assert [(node.edge["rx"], node.edge["tx"]) for node in fronts] == [(4, 2), (0, 2), (12, 2), (16, 2)]
    assert fronts[2].serial == "Quad1_Chip3"
    assert list(fronts[2].payloads) == ["config", "pixels"]
    assert tree.node("/FELIX1").payloads["controller"].name == "controller.json"
    assert tree.node("/std_digitalscan").payloads["config"].name == "scans/std_digitalscan.json"


def test_odd_layouts_come_back(store: Store, tmp_path: Path) -> None:
    """Indentation, order of keys, numbers, unknown keys, no line break at the end: all kept."""
    content = CHIP_FILES | {
        "connectivity.json": connectivity(
            entry("c0.json", 0, comment="left"), entry("./c1.json", 4, enable=True), entry("c2.json", 8, locked=1)
        ).replace(b'"chips"', b' "setup": {"who": "us"},\n"chips"'),
        "pretty.json": json.dumps(json.loads(chip(9, "RD53A")), indent=1).encode(),
        "b/conn.json": connectivity(entry("../pretty.json", 64), indent=None),
    }
    del content["c3.json"]
    name, notes = there_and_back(store, write_files(tmp_path / "in", content), tmp_path / "out")
    assert any("setup: not known, kept as it is" in note for note in notes)
    board = store.staging.tree(name).node("/FELIX1/OB2")
    assert board.payloads["source"].type == "connectivity"


def test_several_felix(store: Store, tmp_path: Path) -> None:
    """Each folder with a controller is one; a connectivity file is an optoboard."""
    content = {}
    for n in (1, 2):
        content[f"felix{n}/controller.json"] = json.dumps(demo.controller()).encode()
        for b in (0, 1):
            config = f"felix{n}/chips/c{b}.json"
            content[config] = CHIP_FILES[f"c{b}.json"]
            content[f"felix{n}/board{b}.json"] = connectivity(entry(f"chips/c{b}.json", 64 * b, path="relToCon"))
    content["scans/digital.json"] = json.dumps(demo.scan()).encode()
    name, _ = there_and_back(store, write_files(tmp_path / "in", content), tmp_path / "out")
    tree = store.staging.tree(name)
    assert [node.path for node in tree.find("optoboard")] == [f"/FELIX{f}/OB{b}" for f in (1, 2) for b in (1, 2)]
    # one of the two boards of the second FELIX, with its controller
    export_runkey(store, name, tmp_path / "part", "yarr", "/FELIX2/OB1")
    assert set(files(tmp_path / "part")) == {"felix2/board0.json", "felix2/chips/c0.json", "felix2/controller.json"}


def test_where_chip_files_are_looked_for(store: Store, tmp_path: Path) -> None:
    """relToExec is meant when nothing is said: relative to where YARR was started."""
    some = entry("configs/chips/c0.json", 0)
    del some["path"]
    more = entry("configs/chips/c1.json", 4, path="relToExec")
    content = {
        "configs/connectivity/setup.json": connectivity(some, more),
        "configs/chips/c0.json": CHIP_FILES["c0.json"],
        "configs/chips/c1.json": CHIP_FILES["c1.json"],
    }
    folder = write_files(tmp_path / "in", content)
    there_and_back(store, folder, tmp_path / "out")
    root = read_yarr([folder / "configs/connectivity/setup.json"])
    assert digest(root) == digest(read_yarr_folder(folder).root)
    with pytest.raises(BadInput, match="there is no file"):
        read_yarr([folder / "configs/connectivity/setup.json"], base=folder / "configs")


def test_files_one_by_one(tmp_path: Path) -> None:
    files_ = demo.yarr_files()
    folder = write_files(tmp_path / "in", files_)
    elsewhere = write_files(tmp_path / "scans", {"noise.json": files_["scans/std_digitalscan.json"]})
    notes: list[str] = []
    scans = [folder / "scans/std_digitalscan.json", elsewhere / "noise.json"]
    root = read_yarr([folder / "connectivity.json"], folder / "controller.json", scans, notes=notes)
    assert [c.object.name for c in root.children if isinstance(c.object, NewObject)] == [
        "FELIX1",
        "std_digitalscan",
        "noise",
    ]
    assert any("noise.json is not below" in note for note in notes)


def test_absolute_places_become_relative(store: Store, tmp_path: Path) -> None:
    write_files(tmp_path / "far", {"c1.json": CHIP_FILES["c1.json"]})
    places = (
        entry("c0.json", 0),
        entry(str(tmp_path / "far/c1.json"), 4, path="abs"),
        entry("../far/c1.json", 8, enable=0),
    )
    content = {"c0.json": CHIP_FILES["c0.json"], "connectivity.json": connectivity(*places)}
    info, _ = import_runkey(store.staging, write_files(tmp_path / "in", content), "abs")
    report = write_yarr(store, "abs", tmp_path / "out")
    assert sum("would lie elsewhere" in note for note in report.notes) == 2
    out = json.loads((tmp_path / "out/connectivity.json").read_bytes())
    assert [(c["config"], c["path"]) for c in out["chips"]] == [
        ("c0.json", "relToCon"),
        ("configs/FELIX1_OB1_FE2.json", "relToCon"),
        ("configs/FELIX1_OB1_FE3.json", "relToCon"),
    ]
    assert (tmp_path / "out/configs/FELIX1_OB1_FE2.json").read_bytes() == CHIP_FILES["c1.json"]
    assert info.digest != digest(read_yarr_folder(tmp_path / "out").root)


def test_what_was_changed_is_written(store: Store, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "in", demo.yarr_files())
    import_runkey(store.staging, folder, "a")
    with store.staging.edit("a", "x") as edit:
        edit.set_edge("/FELIX1/OB1/FE2", enable=0)
        config = store.staging.payload("a", "/FELIX1/OB1/FE3", "config")
        edit.put("/FELIX1/OB1/FE3", "config", config.replace(b'"DiffTh2": 50', b'"DiffTh2": 51'))
        edit.remove("/FELIX1/OB1/FE4")
        edit.add("/FELIX1/OB1", NewObject("frontend", "FE9", payloads=quick_chip(7)), pos=9, edge={"rx": 20, "tx": 2})
    report = write_yarr(store, "a", tmp_path / "out")
    before, after = files(folder), files(tmp_path / "out")
    assert set(after) == set(before) - {"configs/Quad1_Chip4.json"} | {"configs/FELIX1_OB1_FE9.json"}
    assert [name for name in before if after.get(name) == before[name]] and report.notes == []
    assert after["configs/Quad1_Chip3.json"] == before["configs/Quad1_Chip3.json"].replace(
        b'"DiffTh2": 50', b'"DiffTh2": 51'
    )
    chips = json.loads(after["connectivity.json"])["chips"]
    assert [(c["rx"], c["enable"]) for c in chips] == [(4, 1), (0, 0), (12, 1), (20, 1)]


def test_what_was_never_imported(store: Store, tmp_path: Path) -> None:
    """Usual names; what YARR has no files for is left out, and said."""
    store.staging.create("a", detector())
    report = write_yarr(store, "a", tmp_path / "out")
    assert set(files(tmp_path / "out")) == {
        *(f"connectivity_OB{b}.json" for b in (1, 2)),
        *(f"configs/FELIX1_OB{b}_FE{c}.json" for b in (1, 2) for c in (1, 2)),
    }
    assert report.notes == ["2 payloads have no place in files of YARR and are left out"]
    assert import_runkey(store.staging, tmp_path / "out", "b")[0].digest
    store.staging.create("c", NewObject("runkey", ""))
    with pytest.raises(BadInput, match="there are no front-ends here"):
        write_yarr(store, "c", tmp_path / "no")
    board = NewObject("optoboard", "OB1", children=[NewChild(NewObject("frontend", "FE1", payloads=quick_chip(0)))])
    store.staging.create("d", NewObject("runkey", "", children=[NewChild(board)]))
    with pytest.raises(BadInput, match="/OB1/FE1: tx: is not set"):
        write_yarr(store, "d", tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_names_that_lead_out_of_the_folder(store: Store, tmp_path: Path) -> None:
    edge = {"rx": 0, "tx": 0, "config": "../../../etc/x.json", "path": "relToCon"}
    board = NewObject("optoboard", "OB1", meta={"connectivity": "../evil.json", "chipType": "RD53B"})
    board.children = [NewChild(NewObject("frontend", "FE1", payloads=quick_chip(0)), meta=edge)]
    store.staging.create("a", NewObject("runkey", "", children=[NewChild(board)]))
    write_yarr(store, "a", tmp_path / "a/b/out")
    assert set(files(tmp_path / "a")) == {"b/out/connectivity_OB1.json", "b/out/configs/OB1_FE1.json"}


def _demo(**changes: Any) -> dict[str, bytes]:
    """The demo's files with changes of its connectivity: chips_N_KEY=value."""
    content = demo.yarr_files()
    document = json.loads(content["connectivity.json"])
    for key, value in changes.items():
        _, number, name = key.split("_")
        document["chips"][int(number)][name] = value
    return content | {"connectivity.json": json.dumps(document).encode()}


BAD: dict[str, tuple[Any, str]] = {
    "absent front-end": (
        lambda: {k: v for k, v in demo.yarr_files().items() if k != "configs/Quad1_Chip2.json"},
        'connectivity.json: chips[1].config: there is no file "configs/Quad1_Chip2.json"',
    ),
    "an rx twice": (lambda: _demo(chips_1_rx=4), "connectivity.json: chips[1].rx: 4 is used by chips[0], too"),
    "a file twice": (lambda: _demo(chips_1_config="configs/Quad1_Chip1.json"), "chips[1].config"),
    "a file twice in another way": (
        lambda: _demo(chips_1_config="./configs/Quad1_Chip1.json"),
        "chips[1].config: is the file of",
    ),
    "another chip": (
        lambda: demo.yarr_files() | {"configs/Quad1_Chip2.json": CHIP_FILES["c0.json"]},
        "Quad1_Chip2.json: is of an RD53A, not of an RD53B",
    ),
    "a wrong register": (
        lambda: (
            demo.yarr_files()
            | {"configs/Quad1_Chip2.json": demo.chip_files()[1].replace(b'"DiffTh2": 50', b'"DiffTh2": "50"')}
        ),
        'Quad1_Chip2.json: RD53B.GlobalConfig.DiffTh2: is "50", not an integer',
    ),
    "half a chip file": (
        lambda: demo.yarr_files() | {"configs/Quad1_Chip2.json": demo.chip_files()[1][:300_000]},
        "Quad1_Chip2.json: ",
    ),
    "half a connectivity": (
        lambda: demo.yarr_files() | {"connectivity.json": demo.yarr_files()["connectivity.json"][:100]},
        "connectivity.json: line",
    ),
    "a chip in a database": (lambda: _demo(chips_1_path="db"), "chips[1].path: db"),
    "no controller at all": (
        lambda: demo.yarr_files() | {"controller.json": b'{"ctrlCfg": 3}'},
        "controller.json: ctrlCfg: there is no such object",
    ),
    "two controllers": (
        lambda: demo.yarr_files() | {"other.json": demo.yarr_files()["controller.json"]},
        "connectivity.json: which controller is its own",
    ),
    "a bad scan": (
        lambda: demo.yarr_files() | {"scans/std_digitalscan.json": b'{"scan": {"name": 3}}'},
        "std_digitalscan.json: scan.name",
    ),
    "an rx of another file": (
        lambda: demo.yarr_files() | {"b.json": connectivity(entry("c0.json", 4)), "c0.json": CHIP_FILES["c0.json"]},
        "4 is used by chips[0] of",
    ),
    "no connectivity": (
        lambda: {k: v for k, v in demo.yarr_files().items() if k != "connectivity.json"},
        "has no connectivity file",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_files_change_nothing(store: Store, tmp_path: Path, what: str) -> None:
    content, named = BAD[what]
    folder = write_files(tmp_path / "in", content())
    before = state(store.staging)
    with pytest.raises(BadInput) as caught:
        import_runkey(store.staging, folder, "bad")
    assert any(named in problem for problem in caught.value.problems), caught.value.problems
    assert state(store.staging) == before


def test_links_are_not_followed(store: Store, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "in", demo.yarr_files())
    place = folder / "configs/Quad1_Chip2.json"
    place.rename(tmp_path / "secret.json")
    place.symlink_to(tmp_path / "secret.json")
    with pytest.raises(BadInput, match=r"Quad1_Chip2\.json: is a symbolic link"):
        import_runkey(store.staging, folder, "bad")


def test_what_belongs_to_nothing_is_noted(tmp_path: Path) -> None:
    content = demo.yarr_files() | {"old/chip.json": CHIP_FILES["c0.json"], "notes.txt": b"x", "empty.json": b"{}"}
    notes = read_yarr_folder(write_files(tmp_path / "in", content)).notes
    assert notes == ["2 files belong to nothing and are left out: empty.json, old/chip.json"]


def test_labels_that_are_swapped_are_not_put_right_silently(store: Store, tmp_path: Path) -> None:
    """Rx 2 for all and Tx 4, 0, 12, 16, as the first screens showed them: kept, said on export, refused on import."""
    demo.make_demo(store.staging)
    with store.staging.edit(demo.NAME, "as on the first screens") as edit:
        for number, tx in enumerate(demo.RX, 1):
            edit.set_edge(f"/FELIX1/OB1/FE{number}", rx=demo.TX, tx=tx)
    report = write_yarr(store, demo.NAME, tmp_path / "out")
    assert any("chips[1].rx: 2 is used by chips[0], too" in note for note in report.notes)
    with pytest.raises(BadInput, match="are tx and rx swapped"):
        import_runkey(store.staging, tmp_path / "out", "bad")


def test_the_demos_runkey_comes_back_from_yarrs_files(store: Store, tmp_path: Path) -> None:
    made = demo.make_demo(store.staging)
    report = write_yarr(store, demo.NAME, tmp_path / "out")
    assert not [note for note in report.notes if "rx" in note]
    back = import_runkey(store.staging, tmp_path / "out", "back")
    assert back is not None and store.staging.tree("back").node("/FELIX1/OB1/FE3").edge["rx"] == 12
    assert made.name == demo.NAME
