"""Folders: directory = object, file = payload; there and back, and everything that can be wrong with one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from exchange_trees import HOSTILE, chip, detector, digest, files, quick_chip, state, trees, two_views
from hypothesis import HealthCheck, given, settings
from support import ROOT

from db import demo
from db.chips.chipfile import chip_payloads
from db.errors import BadInput, DbError, Exists, NotFound
from db.exchange import export_runkey, import_below, import_runkey, read
from db.exchange import files as exchange_files
from db.exchange.folder import read_folder, write_folder
from db.nodes import NewChild, NewObject, NewPayload
from db.store import Store


def test_demo_there_and_back(store: Store, tmp_path: Path) -> None:
    made = demo.make_demo(store.staging)
    folder = tmp_path / "SR1"
    report = write_folder(store, demo.NAME, folder)
    assert (report.objects, report.payloads) == (8, 10)
    # a front-end is a chip file, byte for byte as YARR has it, and the object.json that every directory has
    place = folder / "FELIX1/OB1/FE3"
    assert sorted(p.name for p in place.iterdir()) == ["Quad1_Chip3.json", "object.json"]
    assert (place / "Quad1_Chip3.json").read_bytes() == demo.chip_files()[2]
    assert json.loads((folder / "FELIX1/controller.json").read_bytes()) == demo.controller()
    incoming = read_folder(folder)
    assert digest(incoming.root) == made.digest and not incoming.notes
    # the same again is the same bytes, and stores nothing but a name
    write_folder(store, demo.NAME, tmp_path / "again")
    assert files(folder) == files(tmp_path / "again")
    before = state(store.staging)
    info, report = import_runkey(store.staging, folder, "copy", "from a folder")
    assert info.digest == made.digest
    assert "nothing was stored twice" in report.notes[0]
    after = state(store.staging)
    for table in ("object", "payload", "blob", "connection"):
        assert after[table] == before[table]


def test_into_another_database(store: Store, tmp_path: Path) -> None:
    made = store.staging.create("a", detector())
    export_runkey(store, "a", tmp_path / "a", "folder")
    from db.database import Database
    from db.runkeys import Runkeys

    other = Database.open(f"sqlite:///{tmp_path}/other.sqlite", name="staging")
    try:
        runkeys = Runkeys(other, store.who)
        info, report = import_runkey(runkeys, tmp_path / "a", "b", "mail")
        assert (info.digest, info.action, info.comment) == (made.digest, "import", "mail")
        assert report.objects == 9 and not report.notes
        assert runkeys.payload("b", "/HV", "log") == b"Zeile 1\nZeile 2\n"
    finally:
        other.close()


def test_by_digest_of_a_past_revision(store: Store, tmp_path: Path) -> None:
    first = store.staging.create("a", detector())
    with store.staging.edit("a", "x") as edit:
        edit.set_serial("/HV", "new")
    export_runkey(store, first.digest, tmp_path / "a", "folder")
    assert digest(read_folder(tmp_path / "a").root) == first.digest


def test_hostile_names(store: Store, tmp_path: Path) -> None:
    root = NewObject("runkey", "")
    inner = NewObject("module", "in", children=[NewChild(NewObject("module", name)) for name in HOSTILE])
    root.children = [NewChild(inner)]
    made = store.staging.create("hostile", root)
    write_folder(store, "hostile", tmp_path / "out")
    assert digest(read_folder(tmp_path / "out").root) == made.digest
    assert len(list((tmp_path / "out/in").iterdir())) == len(HOSTILE) + 1


def test_an_object_in_two_views_stays_one(store: Store, tmp_path: Path) -> None:
    made = store.staging.create("views", two_views())
    write_folder(store, "views", tmp_path / "out")
    root = read_folder(tmp_path / "out").root
    assert digest(root) == made.digest
    below = [child.object for c in root.children if isinstance(c.object, NewObject) for child in c.object.children]
    assert len(below) == 2 and below[0] is below[1]
    assert len(list((tmp_path / "out").rglob("object.json"))) == 4
    store.staging.delete("views")
    info, _ = import_runkey(store.staging, tmp_path / "out", "again")
    assert info.digest == made.digest


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(trees())
def test_any_tree_there_and_back(store: Store, root: NewObject) -> None:
    name = f"t{digest(root)[:30]}"
    if store.staging.exists(name):
        return
    made = store.staging.create(name, root)
    with tempfile.TemporaryDirectory() as folder:
        write_folder(store, name, Path(folder, "out"))
        assert digest(read_folder(Path(folder, "out")).root) == made.digest


@pytest.mark.parametrize("kind", ["RD53A", "ITKPIXV2", "FE-I4B"])
def test_every_chip_is_its_file(store: Store, tmp_path: Path, kind: str) -> None:
    data = chip(5, kind)
    front = NewObject("frontend", "FE1", payloads=chip_payloads(data, "x"))
    made = store.staging.create("a", NewObject("runkey", "", children=[NewChild(front)]))
    write_folder(store, "a", tmp_path / "out")
    assert (tmp_path / "out/FE1/FE1.json").read_bytes() == data
    assert digest(read_folder(tmp_path / "out").root) == made.digest


def test_a_chip_that_no_file_says(store: Store, tmp_path: Path) -> None:
    """A config that was edited into what no chip file gives stays two payloads."""
    config, pixels = quick_chip(3)
    odd = NewPayload("config", config.content, "config", "json", "a name", config.meta)
    front = NewObject("frontend", "FE1", payloads=[odd, pixels])
    made = store.staging.create("a", NewObject("runkey", "", children=[NewChild(front)]))
    write_folder(store, "a", tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out/FE1").iterdir()) == ["config.json", "object.json", "pixels.pixels"]
    assert digest(read_folder(tmp_path / "out").root) == made.digest


def test_edited_by_hand(store: Store, tmp_path: Path) -> None:
    made = demo.make_demo(store.staging)
    write_folder(store, demo.NAME, tmp_path / "out")
    file = tmp_path / "out/FELIX1/OB1/FE2/Quad1_Chip2.json"
    file.write_bytes(file.read_bytes().replace(b'"DiffTh2": 50', b'"DiffTh2": 77'))
    incoming = read_folder(tmp_path / "out")
    assert "was changed since it was exported" in incoming.notes[0]
    info, _ = import_runkey(store.staging, tmp_path / "out", demo.NAME, "by hand", replace=True)
    assert (info.number, info.digest == made.digest) == (2, False)
    from db.blame import blame_value

    assert blame_value(store.staging, demo.NAME, "/FELIX1/OB1/FE2", "config:GlobalConfig.DiffTh2").comment == "by hand"
    assert blame_value(store.staging, demo.NAME, "/FELIX1/OB1/FE1", "config:GlobalConfig.DiffTh2").number == 1
    old, new = (store.staging.tree(d).node("/FELIX1/OB1") for d in (made.digest, info.digest))
    assert old.lineage == new.lineage
    assert [a.id == b.id for a, b in zip(old.children, new.children, strict=True)] == [True, False, True, True]
    assert old.children[1].lineage == new.children[1].lineage


def _break(folder: Path, how: str) -> str:
    """Spoil an exported demo; what the problem must name."""
    board, front = folder / "FELIX1/OB1", folder / "FELIX1/OB1/FE3"
    target = front / "Quad1_Chip3.json"
    match how:
        case "cut off":
            target.write_bytes(target.read_bytes()[:100_000])
        case "wrong register":
            target.write_bytes(target.read_bytes().replace(b'"DiffTh2": 50', b'"DiffTh2": 5000'))
            return "Quad1_Chip3.json: RD53B.GlobalConfig.DiffTh2: 5000"
        case "missing file":
            target.unlink()
            return "'Quad1_Chip3.json' is not there"
        case "missing object.json":
            (front / "object.json").unlink()
            return "FE3: has no object.json"
        case "missing directory":
            front.rename(folder.parent / "elsewhere")
            return "OB1/object.json: 'FE3' is not there"
        case "further file":
            (front / "notes.txt").write_text("x")
            return "notes.txt: is named in no object.json"
        case "symbolic link":
            target.rename(folder.parent / "chip.json")
            target.symlink_to(folder.parent / "chip.json")
            return "Quad1_Chip3.json: is a symbolic link"
        case "linked directory":
            front.rename(folder.parent / "FE3")
            front.symlink_to(folder.parent / "FE3")
            return "FE3: is a symbolic link, no directory"
        case "pipe":
            target.unlink()
            os.mkfifo(target)
            return "Quad1_Chip3.json: is a pipe, no file"
        case "no UTF-8":
            (front / "object.json").write_bytes(b'{"type": "\xff"}')
            return "FE3/object.json: line 1"
        case "misspelt key":
            _change(front / "object.json", lambda o: o.update(serail=o.pop("serial")))
            return "FE3/object.json: serail: is no known key"
        case "wrong type":
            _change(board / "object.json", lambda o: o["children"][0].update(pos="1"))
            return "OB1/object.json: children[0].pos: is not a whole number"
        case "bad name":
            _change(front / "object.json", lambda o: o.update(name="a/b"))
            return "FE3/object.json: name: the name contains a /"
        case "a key twice":
            file = front / "object.json"
            file.write_bytes(file.read_bytes().replace(b"{", b'{"serial": "other",', 1))
            return "object.json: serial: the key occurs twice"
        case "same name":
            _change(front / "object.json", lambda o: o.update(name="FE1"))
            return "two children are called 'FE1' in view daq"
        case "directory twice":
            _change(board / "object.json", lambda o: o["children"][1].update(directory="FE1"))
            return "'FE1' is there only once"
        case "outside":
            _change(front / "object.json", lambda o: o.update(chip="../FE1/Quad1_Chip1.json"))
            return "'../FE1/Quad1_Chip1.json' is not there"
        case "circle":
            _change(front / "object.json", lambda o: o.update(children=[{"same": "FELIX1/OB1"}]))
            return "a circle"
        case "same as nothing":
            _change(front / "object.json", lambda o: o.update(children=[{"same": "nowhere"}]))
            return "there is no directory 'nowhere'"
        case "other version":
            _change(folder / "object.json", lambda o: o.update(version=2))
            return "object.json: format: is not 'owlshift folder', version 1"
        case "broken payload":
            (folder / "FELIX1/controller.json").write_text("{")
            return "FELIX1/controller.json: line"
        case "undecodable name":
            (Path(os.fsdecode(os.fsencode(front) + b"/\xff.txt"))).write_text("x")
            return "is named in no object.json"
    return target.name


def _change(file: Path, change: Any) -> None:
    document = json.loads(file.read_bytes())
    change(document)
    file.write_text(json.dumps(document))


@pytest.mark.parametrize(
    "how",
    [
        "cut off",
        "wrong register",
        "missing file",
        "missing object.json",
        "missing directory",
        "further file",
        "symbolic link",
        "linked directory",
        "pipe",
        "no UTF-8",
        "misspelt key",
        "wrong type",
        "bad name",
        "a key twice",
        "same name",
        "directory twice",
        "outside",
        "circle",
        "same as nothing",
        "other version",
        "broken payload",
        "undecodable name",
    ],
)
def test_bad_folders_change_nothing(store: Store, tmp_path: Path, how: str) -> None:
    demo.make_demo(store.staging)
    write_folder(store, demo.NAME, tmp_path / "out")
    named = _break(tmp_path / "out", how)
    before = state(store.staging)
    with pytest.raises(BadInput) as caught:
        import_runkey(store.staging, tmp_path / "out", "bad")
    assert any(named in problem for problem in caught.value.problems), caught.value.problems
    str(caught.value).encode()
    assert state(store.staging) == before
    assert not store.staging.exists("bad")


def test_all_problems_are_said(store: Store, tmp_path: Path) -> None:
    demo.make_demo(store.staging)
    write_folder(store, demo.NAME, tmp_path / "out")
    expected = [_break(tmp_path / "out", how) for how in ("wrong register", "further file", "broken payload")]
    with pytest.raises(BadInput) as caught:
        read(tmp_path / "out")
    assert all(any(named in problem for problem in caught.value.problems) for named in expected)


def test_sockets_are_refused(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demo.make_demo(store.staging)
    write_folder(store, demo.NAME, tmp_path / "out")
    (tmp_path / "out/FELIX1/controller.json").unlink()
    monkeypatch.chdir(tmp_path / "out/FELIX1")  # the address of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("controller.json")
        with pytest.raises(BadInput, match=r"controller\.json: is a socket"):
            read(tmp_path / "out")


def test_files_that_cannot_be_read(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demo.make_demo(store.staging)
    write_folder(store, demo.NAME, tmp_path / "out")
    real = os.open

    def refuse(path: Any, *args: Any, **kwargs: Any) -> int:
        if str(path).endswith("controller.json"):  # tests may run as root, who may read everything
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(BadInput, match=r"controller\.json: Permission denied"):
        read(tmp_path / "out")


def test_large_files_are_refused(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demo.make_demo(store.staging)
    write_folder(store, demo.NAME, tmp_path / "out")
    with open(tmp_path / "out/FELIX1/controller.json", "wb") as file:
        file.truncate(exchange_files.MAX_FILE + 1)  # takes no space
    with pytest.raises(BadInput, match=r"controller\.json: has 67,108,865 bytes; more than 67,108,864 are refused"):
        read(tmp_path / "out")


@pytest.mark.parametrize("what", ["file", "directory"])
def test_a_change_during_the_import(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    demo.make_demo(store.staging)
    write_folder(store, demo.NAME, tmp_path / "out")
    from db.exchange import folder

    real = folder.chip_from

    def meanwhile(content: bytes, file: str) -> Any:
        if what == "file":
            (tmp_path / "out/object.json").touch()
        else:
            (tmp_path / "out/FELIX1/new").write_text("x")
        return real(content, file)

    monkeypatch.setattr(folder, "chip_from", meanwhile)
    before = state(store.staging)
    with pytest.raises(BadInput, match="changed during the import"):
        import_runkey(store.staging, tmp_path / "out", "bad")
    assert state(store.staging) == before


def test_an_import_that_stops_half_way(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database fails when all contents are in, before the objects are."""
    from db import writer

    store.staging.create("a", detector())
    write_folder(store, "a", tmp_path / "out")
    store.staging.delete("a")
    with store.staging.edit(demo.make_demo(store.staging).name, "x") as edit:
        edit.set_serial("/FELIX1", "S")
    before = state(store.staging)
    real = writer.insert

    def stop(connection: Any, table: str, *args: Any) -> None:
        if table == "object":
            raise KeyboardInterrupt
        real(connection, table, *args)

    incoming = read(tmp_path / "out").root
    incoming.serial = "another"  # so that it is not there already
    monkeypatch.setattr(writer, "insert", stop)
    with pytest.raises(KeyboardInterrupt):
        store.staging.create("b", incoming, action="import")
    monkeypatch.undo()
    assert state(store.staging) == before


def test_a_name_that_exists(store: Store, tmp_path: Path) -> None:
    demo.make_demo(store.staging)
    write_folder(store, demo.NAME, tmp_path / "out")
    before = state(store.staging)
    with pytest.raises(Exists, match="there is a runkey 'mmsetup sr1' already"):
        import_runkey(store.staging, tmp_path / "out", demo.NAME)
    assert state(store.staging) == before


@pytest.mark.parametrize("kind", ["folder", "yarr", "bundle"])
def test_half_an_export_is_none(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    demo.make_demo(store.staging)
    from db.exchange import outgoing

    real = outgoing.load

    def fail(connection: Any, nodes: Any, *args: Any) -> Any:
        found = list(real(connection, nodes, *args))
        yield from found[:5]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(outgoing, "load", fail)
    (tmp_path / "to").mkdir()
    with pytest.raises(DbError, match="No space left"):
        export_runkey(store, demo.NAME, tmp_path / "to/out", kind)
    assert list((tmp_path / "to").iterdir()) == []


@pytest.mark.parametrize("kind", ["folder", "yarr", "bundle"])
def test_an_export_replaces_nothing(store: Store, tmp_path: Path, kind: str) -> None:
    demo.make_demo(store.staging)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("file", "empty", "dangling"):
        with pytest.raises(Exists, match=name):
            export_runkey(store, demo.NAME, tmp_path / name, kind)
    assert (tmp_path / "file").read_text() == "mine"
    with pytest.raises(NotFound):
        export_runkey(store, "nothing", tmp_path / "new", kind)
    with pytest.raises(NotFound):
        export_runkey(store, demo.NAME, tmp_path / "new", kind, "/FELIX1/OB7")
    assert {p.name for p in tmp_path.iterdir()} == {"databases", "file", "empty", "dangling"}


@pytest.mark.parametrize("kind", ["folder", "bundle"])
def test_part_of_a_runkey(store: Store, tmp_path: Path, kind: str) -> None:
    store.staging.create("a", detector())
    export_runkey(store, "a", tmp_path / "part", kind, "/FELIX1/OB2/FE1")
    with pytest.raises(BadInput, match="is a frontend 'FE1' and no runkey"):
        import_runkey(store.staging, tmp_path / "part", "b", kind=kind)
    with pytest.raises(Exists, match="/FELIX1/OB2 of a has a 'FE1' already"):
        import_below(store.staging, "a", "/FELIX1/OB2", tmp_path / "part", kind=kind)
    old = store.staging.tree("a").node("/FELIX1/OB2/FE1")
    with store.staging.edit("a", "spoilt") as edit:
        edit.set_serial("/FELIX1/OB2/FE1", "broken")
        edit.set_edge("/FELIX1/OB2/FE1", rx=20)
        edit.drop("/FELIX1/OB2/FE1", "pixels")
    info, report = import_below(store.staging, "a", "/FELIX1/OB2", tmp_path / "part", "mended", kind=kind, replace=True)
    new = store.staging.tree("a").node("/FELIX1/OB2/FE1")
    assert (new.digest, new.lineage, new.edge["rx"]) == (old.digest, old.lineage, 20)
    assert (info.action, info.comment, report.objects) == ("import", "mended", 1)
    # below another one it is new, with the edge that it had
    import_below(store.staging, "a", "/HV", tmp_path / "part", kind=kind)
    there = store.staging.tree("a").node("/HV/FE1")
    assert there.edge == old.edge and there.digest == old.digest and there.lineage != old.lineage


def test_children_of_a_runkey_into_another(store: Store, tmp_path: Path) -> None:
    store.staging.create("a", detector())
    store.staging.create("b", NewObject("runkey", ""))
    export_runkey(store, "a", tmp_path / "a", "folder")
    import_below(store.staging, "b", "/", tmp_path / "a")
    assert store.staging.info("b").digest == store.staging.info("a").digest


def test_replace_by_a_tree_of_another_shape(store: Store, tmp_path: Path) -> None:
    """Added, removed, of another type, in another view: what is imported is what is there."""
    store.staging.create("a", detector(boards=3))
    changed = detector(boards=2, chips=3)
    felix = changed.children[0].object
    assert isinstance(felix, NewObject)
    felix.meta = {"note": None, "card": 1}
    felix.children.append(NewChild(NewObject("lpgbt", "OB9"), view="power"))
    changed.children[1] = NewChild(NewObject("power", "HV"), meta={"crate": 1})
    store.staging.create("b", changed)
    export_runkey(store, "b", tmp_path / "b", "folder")
    with pytest.raises(BadInput, match="several views"):
        import_runkey(store.staging, tmp_path / "b", "a", replace=True)
    felix.children.pop()
    felix.meta = {"card": 1}
    wanted = store.staging.create("c", changed)
    export_runkey(store, "c", tmp_path / "c", "folder")
    info, _ = import_runkey(store.staging, tmp_path / "c", "a", replace=True)
    assert info.digest == wanted.digest
    same, _ = import_runkey(store.staging, tmp_path / "c", "a", replace=True)
    assert same.revision == info.revision


def test_a_link_to_a_folder(store: Store, tmp_path: Path) -> None:
    made = demo.make_demo(store.staging)
    for kind in ("folder", "bundle"):
        export_runkey(store, demo.NAME, tmp_path / kind, kind)
        (tmp_path / f"latest {kind}").symlink_to(kind)
        assert digest(read(tmp_path / f"latest {kind}").root) == made.digest


def test_part_of_another_view(store: Store, tmp_path: Path) -> None:
    store.staging.create("a", two_views())
    export_runkey(store, "a", tmp_path / "psu", "folder", "power:/PSU")
    with store.staging.edit("a", "spoilt") as edit:
        edit.set_serial("power:/PSU/FE1", "broken")
    with pytest.raises(Exists):
        import_below(store.staging, "a", "/", tmp_path / "psu")
    import_below(store.staging, "a", "/", tmp_path / "psu", replace=True)
    tree = store.staging.tree("a", None)
    assert tree.node("/PSU/FE1").serial == "" and tree.node("/PSU").view == "power"
    assert tree.node("/OB1/FE1").serial == "broken"  # that place was not imported


_KILL = """
import os, signal, sys
from pathlib import Path
from db import exchange, writer
from db.exchange import outgoing
from db.store import Store

folder, what = Path(sys.argv[1]), sys.argv[2]

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

real_load, real_insert = outgoing.load, writer.insert

def load(*given):
    for n, found in enumerate(real_load(*given)):
        yield found
        if n == 5:
            die()

def insert(connection, table, *given):
    real_insert(connection, table, *given)
    if table == "object":
        die()

outgoing.load, writer.insert = load, insert
databases = folder / "databases"
with Store.open(f"sqlite:///{databases}/staging.sqlite", f"sqlite:///{databases}/backend.sqlite") as store:
    if what == "import":
        exchange.import_runkey(store.staging, folder / "in", "new")
    else:
        exchange.export_runkey(store, "mmsetup sr1", folder / "to" / "out", what)
"""


@pytest.mark.parametrize("what", ["folder", "yarr", "bundle", "import"])
def test_killed_half_way(store: Store, tmp_path: Path, what: str) -> None:
    """kill -9: no export that looks whole, no import that is there in part; the same again works."""
    demo.make_demo(store.staging)
    store.staging.create("other", detector())
    write_folder(store, "other", tmp_path / "in")
    file = tmp_path / "in/HV/log.txt"
    file.write_bytes(b"changed")
    before = state(store.staging)
    argv = [sys.executable, "-c", _KILL, str(tmp_path), what]
    done = subprocess.run(argv, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, timeout=100)
    assert done.returncode == -9, done.stderr
    assert state(store.staging) == before
    if what == "import":
        assert import_runkey(store.staging, tmp_path / "in", "new")[0].number == 1
    else:
        assert all(p.name.startswith(".out.") and p.name.endswith(".part") for p in (tmp_path / "to").iterdir())
        assert export_runkey(store, demo.NAME, tmp_path / "to/out", what).objects == 8
