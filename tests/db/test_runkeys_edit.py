"""Making, cloning and editing runkeys."""

from __future__ import annotations

from typing import Any

import pytest
from runkey_trees import detector, frontend, said
from sqlalchemy import event

from db.checks import FORMATS
from db.digests import object_digest
from db.errors import BadInput, Exists, Forbidden, NotFound
from db.nodes import NewChild, NewObject, NewPayload
from db.runkeys import Runkeys
from db.store import Store
from db.trees import load
from db.verify import verify
from db.who import Who


@pytest.fixture
def runkeys(store: Store) -> Runkeys:
    return store.staging


def test_what_is_created_is_read(runkeys: Runkeys) -> None:
    info = runkeys.create("create 1", detector(4), "the first")
    assert (info.name, info.number, info.action, info.author) == ("create 1", 1, "create", "tester")
    assert (info.comment, info.committed, info.where, info.tags) == ("the first", False, "staging", ())
    assert info == runkeys.info("create 1")
    tree = runkeys.tree("create 1")
    assert [node.path for node in tree.walk()] == [
        "/",
        "/FELIX1",
        "/FELIX1/OB1",
        *(f"/FELIX1/OB1/FE{i}" for i in range(1, 5)),
        "/std_digitalscan",
    ]
    assert len(tree) == 8
    node = tree.node("/FELIX1/OB1/FE3")
    assert tree.node("FELIX1//OB1/FE3/") is node
    assert (node.type, node.serial, node.meta, node.edge) == ("frontend", "20UPGFC0000003", {"wafer": 3}, {"rx": 3})
    assert list(node.payloads) == ["config", "pixels"]
    pixels = node.payloads["pixels"]
    assert (pixels.type, pixels.format, pixels.size, pixels.meta) == ("pixels", "pixels", 64, {"cols": 8, "rows": 8})
    assert runkeys.payload("create 1", "/FELIX1/OB1/FE3", "pixels") == bytes([3]) * 64
    assert runkeys.payload_by_hash(pixels.sha256) == bytes([3]) * 64
    assert [n.name for n in tree.find("frontend", "FE[12]")] == ["FE1", "FE2"]
    assert tree.root.digest == info.digest
    payloads = [(i.role, i.type, i.name, i.format, i.sha256, i.meta) for i in node.payloads.values()]
    digest = object_digest("frontend", "FE3", node.serial, node.meta, payloads, [])
    assert node.digest == digest.hex()


def test_equal_contents_have_one_digest(runkeys: Runkeys) -> None:
    first, second = runkeys.create("digest 1", detector(3)), runkeys.create("digest 2", detector(3))
    other = runkeys.create("digest 3", detector(2))
    assert first.digest == second.digest != other.digest
    assert first.root != second.root
    assert runkeys.root("digest 1") == runkeys.root(first.root) == runkeys.root(first.revision) == first.root
    assert runkeys.root(first.digest) in (first.root, second.root)


def test_a_tree_is_one_query(runkeys: Runkeys) -> None:
    runkeys.create("query", detector(20, 5))
    said_: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "connection" in statement.lower():
            said_.append(statement)

    event.listen(runkeys.database.engine, "before_cursor_execute", note)
    try:
        tree = runkeys.tree("query")
        assert len(list(tree.walk())) == len(tree) == 28
        assert len(said_) == 1
        assert sum(len(node.payloads) for node in tree.walk()) == 41  # some by themselves, then all at once
        assert len(said_) == 2
    finally:
        event.remove(runkeys.database.engine, "before_cursor_execute", note)


def test_contents_are_streamed(runkeys: Runkeys) -> None:
    runkeys.create("load", detector(6, 2))
    with runkeys.database.read() as connection:
        tree = runkeys.tree("load")
        found = {(node.path, info.role): content for node, info, content in load(connection, tree)}
        pixels = [info.role for _, info, _ in load(connection, tree.find("frontend"), ["pixels"])]
    assert len(found) == 13 and found["/FELIX1/OB2/FE4", "pixels"] == bytes([4]) * 64
    assert pixels == ["pixels"] * 6


def test_a_clone_shares_everything(runkeys: Runkeys) -> None:
    first = runkeys.create("clone 1", detector(2))
    second = runkeys.clone("clone 1", "clone 2", "next")
    assert (second.root, second.digest, second.action) == (first.root, first.digest, "clone")
    with runkeys.edit("clone 2", "tuned") as edit:
        edit.put("/FELIX1/OB1/FE1", "config", b'{"chip":9}')
    assert runkeys.info("clone 1").root == first.root
    old, new = runkeys.tree("clone 1"), runkeys.tree("clone 2")
    same = {node.path for node in new.walk() if node.id == old.node(node.path).id}
    assert same == {"/FELIX1/OB1/FE2", "/std_digitalscan"}
    for path in ("/", "/FELIX1", "/FELIX1/OB1", "/FELIX1/OB1/FE1"):
        assert new.node(path).lineage == old.node(path).lineage
        assert new.node(path).digest != old.node(path).digest
    config, pixels = new.node("/FELIX1/OB1/FE1").payloads.values()
    assert pixels == old.node("/FELIX1/OB1/FE1").payloads["pixels"]
    assert (config.type, config.format) == ("config", "json")
    # a clone of an earlier revision
    third = runkeys.clone(first.revision, "clone 3")
    assert (third.root, runkeys.log("clone 3")[1].id) == (first.root, first.revision)


def test_all_that_can_be_edited(runkeys: Runkeys) -> None:
    runkeys.create("edit", detector(3))
    before = said(runkeys, "edit")
    with runkeys.edit("edit", "much") as edit:
        edit.put("/FELIX1/OB1/FE1", "config", b"[]", name="new", meta={"by": "scan"})
        edit.put("/FELIX1/OB1/FE1", "log", b"text", type="log", format="text")
        edit.drop("/FELIX1/OB1/FE2", "pixels")
        edit.set_meta("/FELIX1/OB1/FE2", wafer=None, position="left")
        edit.set_edge("/FELIX1/OB1/FE2", rx=7, path="x", locked=True)
        edit.set_serial("/FELIX1", "F1")
        edit.remove("/std_digitalscan")
        edit.rename("/FELIX1/OB1/FE3", "FE30")
        edit.set_meta("/FELIX1/OB1/FE30", renamed=True)
        edit.add("/FELIX1/OB1", frontend(4).object, pos=-1, edge={"rx": 4})
        edit.put("/FELIX1/OB1/FE4", "pixels", b"\1" * 4)
        edit.set_meta("/", why="test")
    assert edit.result.number == 2
    after = said(runkeys, "edit")
    one, two = after["/FELIX1/OB1/FE1"], after["/FELIX1/OB1/FE2"]
    assert one["payloads"] == {"config": b"[]", "pixels": bytes([1]) * 64, "log": b"text"}
    assert (two["meta"], two["edge"]) == ({"position": "left"}, {"rx": 7, "path": "x", "locked": True})
    assert list(two["payloads"]) == ["config"]
    assert after["/FELIX1"]["serial"] == "F1" and after["/"]["meta"] == {"why": "test"}
    assert after["/FELIX1/OB1/FE30"]["payloads"] == before["/FELIX1/OB1/FE3"]["payloads"]
    assert after["/FELIX1/OB1/FE4"]["payloads"]["pixels"] == b"\1" * 4
    assert [n.name for n in runkeys.tree("edit").node("/FELIX1/OB1").children] == ["FE4", "FE1", "FE2", "FE30"]
    assert "/std_digitalscan" not in after and "/FELIX1/OB1/FE3" not in after
    info = runkeys.tree("edit").node("/FELIX1/OB1/FE1").payloads["config"]
    assert (info.name, info.meta, info.type) == ("new", {"by": "scan"}, "config")
    assert not verify(runkeys.database)


def test_an_edit_that_changes_nothing_is_no_revision(runkeys: Runkeys) -> None:
    info = runkeys.create("nothing", detector(1))
    with runkeys.edit("nothing") as edit:
        edit.put("/FELIX1/OB1/FE1", "config", b'{"chip":1}')
        edit.set_meta("/FELIX1", a=1)
        edit.set_meta("/FELIX1", a=None)
        edit.add("/", NewObject("scan", "x"))
        edit.remove("/x")
    assert edit.result == info == runkeys.info("nothing")


def test_an_exception_drops_the_edit(runkeys: Runkeys) -> None:
    info = runkeys.create("dropped", detector(1))
    with pytest.raises(ZeroDivisionError), runkeys.edit("dropped") as edit:
        edit.set_meta("/", a=1)
        raise ZeroDivisionError
    assert runkeys.info("dropped") == info
    with pytest.raises(RuntimeError):
        edit.result  # noqa: B018


def test_one_thing_in_two_views(runkeys: Runkeys) -> None:
    runkeys.create("views", detector(2))
    ids = {node.name: node.id for node in runkeys.tree("views").walk()}
    with runkeys.edit("views", "power") as edit:
        supply = NewObject("power", "PSU1", children=[NewChild(ids["FE1"], "power", meta={"channel": 3})])
        edit.add("/", supply, "power")
        edit.add("power:/PSU1", ids["FE2"], edge={"channel": 4})
    assert [n.path for n in runkeys.tree("views", "power").walk()] == ["/", "/PSU1", "/PSU1/FE1", "/PSU1/FE2"]
    with runkeys.edit("views", "by its other name") as edit:
        edit.put("power:/PSU1/FE1", "config", b"1")
        edit.set_edge("power:/PSU1/FE2", channel=5)
        edit.rename("/FELIX1/OB1/FE2", "FE20")
    everything = said(runkeys, "views", None)
    assert everything["/FELIX1/OB1/FE1"]["payloads"] == everything["power:/PSU1/FE1"]["payloads"]
    assert runkeys.payload("views", "/FELIX1/OB1/FE1", "config") == b"1"
    assert runkeys.payload("views", "power:/PSU1/FE1", "config") == b"1"
    assert everything["power:/PSU1/FE20"]["edge"] == {"channel": 5}
    assert everything["/FELIX1/OB1/FE20"]["edge"] == {"rx": 2}
    with pytest.raises(NotFound, match="in view power"):
        runkeys.edit("views").__enter__().put("power:/PSU1/FE9", "config", b"1")
    with runkeys.edit("views", "unplugged") as edit:
        edit.remove("/FELIX1/OB1/FE1")
    assert [n.name for n in runkeys.tree("views").find("frontend")] == ["FE20"]
    assert [n.name for n in runkeys.tree("views", "power").find("frontend")] == ["FE1", "FE20"]
    assert not verify(runkeys.database)


def test_a_part_of_another_runkey_is_shared(runkeys: Runkeys) -> None:
    runkeys.create("part 1", detector(2))
    runkeys.create("part 2", NewObject("runkey", ""))
    board = runkeys.tree("part 1").node("/FELIX1/OB1")
    with runkeys.edit("part 2") as edit:
        edit.add("/", board.id)
        edit.put("/OB1/FE1", "config", b"7")
    tree = runkeys.tree("part 2")
    assert tree.node("/OB1/FE2").id == board.children[1].id
    assert tree.node("/OB1/FE1").lineage == board.children[0].lineage
    assert runkeys.payload("part 1", "/FELIX1/OB1/FE1", "config") == b'{"chip":1}'
    made = runkeys.create(
        "part 3", NewObject("runkey", "", children=[NewChild(board.id), NewChild(NewObject("a", "a"))])
    )
    assert len(runkeys.tree(made.name)) == 5


def bad_trees() -> dict[str, tuple[NewObject, str]]:
    cycle = NewObject("felix", "A")
    cycle.children.append(NewChild(NewObject("felix", "B", children=[NewChild(cycle)])))
    both = NewObject("felix", "A")
    parent = NewObject("y", "M", children=[NewChild(both)])
    twice = [NewPayload("config", b"1"), NewPayload("config", b"2")]
    deep = NewObject("a", "a")
    for _ in range(120):
        deep = NewObject("a", "a", children=[NewChild(deep)])
    return {
        "siblings": (NewObject("x", "N", children=[NewChild(NewObject(t, "A")) for t in "ab"]), "two"),
        "cycle": (cycle, "a cycle"),
        "twice": (NewObject("x", "N", children=[NewChild(both), NewChild(parent)]), "also at"),
        "roles": (NewObject("x", "N", payloads=twice), "config: two payloads have this role"),
        "slash": (NewObject("x", "a/b"), "a /"),
        "dots": (NewObject("x", ".."), "'..'"),
        "empty": (NewObject("x", ""), "empty"),
        "long": (NewObject("x", "n" * 201), "201 characters"),
        "control": (NewObject("x", "a\nb"), "printed"),
        "type": (NewObject("no type", "N"), "type 'no type'"),
        "role": (NewObject("x", "N", payloads=[NewPayload("a/b", b"1")]), "role 'a/b'"),
        "json": (NewObject("x", "N", payloads=[NewPayload("a", b"{")]), "no JSON"),
        "text": (NewObject("x", "N", payloads=[NewPayload("a", b"\xff", format="text")]), "UTF-8"),
        "format": (NewObject("x", "N", payloads=[NewPayload("a", b"1", format="yaml")]), "json, pixels"),
        "meta": (NewObject("x", "N", meta={"a": object()}), "meta"),
        "view": (NewObject("x", "N", children=[NewChild(NewObject("a", "A"), view="no view")]), "view 'no view'"),
        "pos": (NewObject("x", "N", children=[NewChild(NewObject("a", "A"), pos=2**31)]), "position"),
        "deep": (deep, "deep"),
    }  # fmt: skip


@pytest.mark.parametrize("what", bad_trees())
def test_a_bad_tree_is_refused_whole(runkeys: Runkeys, what: str) -> None:
    bad, reason = bad_trees()[what]
    name = f"bad {what}"
    good = NewChild(NewObject("felix", "GOOD", payloads=[NewPayload("config", f'"{what}"'.encode())]))
    with pytest.raises(BadInput) as refused:
        runkeys.create(name, NewObject("runkey", "", children=[good, NewChild(bad)]))
    assert reason in str(refused.value)
    assert all(problem.startswith(f"{name}: /") for problem in refused.value.problems)
    assert not runkeys.exists(name)
    runkeys.create(name, NewObject("runkey", "", children=[good]))
    with pytest.raises(BadInput, match=reason.replace("(", "[(]")), runkeys.edit(name) as edit:
        edit.set_meta("/GOOD", a=1)
        edit.add("/", bad)
    assert runkeys.info(name).number == 1


def test_everything_wrong_is_said_at_once(runkeys: Runkeys) -> None:
    payloads = [NewPayload("a", b"{"), NewPayload("a", b"1", format="x"), NewPayload("", b"1")]
    with pytest.raises(BadInput) as refused:
        runkeys.create("all wrong", NewObject("crate", "", serial="\n", payloads=payloads))
    assert len(refused.value.problems) == 6
    assert FORMATS == ("json", "pixels", "text", "raw")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("n" * 40, "40 bytes"),
        ("µ" * 20, "40 bytes"),
        ("", "empty"),
        (" a", "space"),
        ("a ", "space"),
        ("a/b", "a /"),
        ("a\tb", "printed"),
        ("a\udc80", "printed"),
    ],
)
def test_a_runkey_can_not_be_called_anything(runkeys: Runkeys, name: str, reason: str) -> None:
    for change in (
        lambda: runkeys.create(name, detector(1)),
        lambda: runkeys.clone("no matter", name),
        lambda: runkeys.rename("no matter", name),
    ):
        with pytest.raises(BadInput, match=reason):
            change()


def test_39_bytes_are_a_name(runkeys: Runkeys) -> None:
    for name in ("n" * 39, "µ" * 19, "Größe: 1.2 @3"):
        assert runkeys.create(name, detector(1)).name == name == runkeys.info(name).name
    assert not runkeys.exists("N" * 39)


def test_a_name_that_exists(runkeys: Runkeys) -> None:
    first = runkeys.create("taken", detector(1))
    runkeys.create("other", detector(2))
    for change in (
        lambda: runkeys.create("taken", detector(2)),
        lambda: runkeys.clone("other", "taken"),
        lambda: runkeys.rename("other", "taken"),
    ):
        with pytest.raises(Exists, match="'taken'"):
            change()
    assert runkeys.info("taken") == first


def test_what_is_not_there_says_what_is_alike(runkeys: Runkeys) -> None:
    runkeys.create("alike 1", detector(4))
    with pytest.raises(NotFound, match="'alike 1'"):
        runkeys.info("alike")
    with pytest.raises(NotFound, match="/FELIX1/OB1 has no 'FE11': is it 'FE1'"):
        runkeys.tree("alike 1").node("/FELIX1/OB1/FE11")
    with pytest.raises(NotFound, match="is it 'FELIX1'"):
        runkeys.payload("alike 1", "/FELIX/OB1/FE1", "config")
    with pytest.raises(NotFound, match="no payload 'configs': is it 'config'"):
        runkeys.payload("alike 1", "/FELIX1/OB1/FE1", "configs")
    with pytest.raises(NotFound):
        runkeys.payload_by_hash("00" * 32)
    with pytest.raises(BadInput):
        runkeys.payload_by_hash("no hash")
    with runkeys.edit("alike 1") as edit:
        with pytest.raises(NotFound, match="is it 'OB1'"):
            edit.set_meta("/FELIX1/OB2", a=1)
        with pytest.raises(NotFound, match="is it 'pixels'"):
            edit.drop("/FELIX1/OB1/FE1", "pixel")
        with pytest.raises(NotFound):
            edit.add("/", "0" * 32)
    assert edit.result.number == 1


def test_what_an_edit_refuses(runkeys: Runkeys) -> None:
    runkeys.create("refused", detector(3))
    ids = {node.name: node.id for node in runkeys.tree("refused").walk()}
    inner = NewObject("b", "b", children=[NewChild(ids["FE1"], "x")])
    twice = NewObject("a", "a", children=[NewChild(ids["FE1"], "x"), NewChild(inner, "x")])
    with runkeys.edit("refused") as edit:
        for wrong in (
            lambda: edit.remove("/"),
            lambda: edit.rename("/", "x"),
            lambda: edit.set_edge("/", a=1),
            lambda: edit.rename("/FELIX1/OB1/FE1", "FE2"),
            lambda: edit.rename("/FELIX1/OB1/FE1", "a/b"),
            lambda: edit.add("/FELIX1/OB1", NewObject("frontend", "FE1")),
            lambda: edit.add("/FELIX1", ids["FE1"]),  # one place in a view
            lambda: edit.add("/FELIX1/OB1", ids["FELIX1"], "power"),  # below itself
            lambda: edit.add("/FELIX1/OB1", NewObject("a", "a", children=[NewChild(ids["FELIX1"], "power")]), "power"),
            lambda: edit.add("/", twice, "x"),
            lambda: edit.add("/", NewObject("a", "a"), "no view"),
            lambda: edit.add("/", NewObject("a", "a"), pos=1 << 40),
            lambda: edit.add("/", NewObject("a", "a"), edge={"a": {1, 2}}),
            lambda: edit.put("/FELIX1", "no role", b"1"),
            lambda: edit.put("/FELIX1", "config", b"{"),
            lambda: edit.set_meta("/FELIX1", a=2**70),
            lambda: edit.set_serial("/FELIX1", "s" * 201),
        ):  # fmt: skip
            with pytest.raises(BadInput):
                wrong()
    assert edit.result.number == 1


def test_an_older_version_is_not_added_beside_the_newer(runkeys: Runkeys) -> None:
    runkeys.create("older", detector(2))
    old = runkeys.tree("older").node("/FELIX1/OB1/FE1").id
    with runkeys.edit("older") as edit:
        edit.put("/FELIX1/OB1/FE1", "config", b"2")
    with runkeys.edit("older") as edit, pytest.raises(BadInput, match="another version"):
        edit.add("/", old, "power")
    with runkeys.edit("older", "back to what it was") as edit:
        edit.remove("/FELIX1/OB1/FE1")
        edit.add("/FELIX1/OB1", old, edge={"rx": 1})
    assert runkeys.tree("older").node("/FELIX1/OB1/FE1").id == old
    assert edit.result.digest == runkeys.log("older")[-1].digest


def test_rename_and_delete(runkeys: Runkeys) -> None:
    first = runkeys.create("name 1", detector(1), "why")
    second = runkeys.rename("name 1", "name 2")
    assert not runkeys.exists("name 1")
    assert (second.digest, second.number) == (first.digest, 1)
    assert [(r.runkey, r.action) for r in runkeys.log("name 2")] == [("name 2", "rename"), ("name 1", "create")]
    runkeys.delete("name 2")
    assert not runkeys.exists("name 2")
    with pytest.raises(NotFound):
        runkeys.delete("name 2")
    again = runkeys.create("name 2", detector(1))
    assert again.number == 2  # numbers are not used twice


def test_lists(runkeys: Runkeys) -> None:
    for name in ("list b", "list a", "List c"):
        runkeys.create(name, detector(1), f"comment on {name}")
    assert [info.name for info in runkeys.list("list*")] == ["list a", "list b"]
    assert [info.name for info in runkeys.list(text="COMMENT ON LIST")] == ["List c", "list a", "list b"]
    assert runkeys.list("list*", text="nobody") == []


def test_the_backend_keeps_what_it_has(store: Store) -> None:
    runkeys = store.backend
    for change in (
        lambda: runkeys.create("frozen", detector(1)),
        lambda: runkeys.clone("frozen", "b"),
        lambda: runkeys.delete("frozen"),
        lambda: runkeys.rename("frozen", "b"),
        lambda: runkeys.edit("frozen"),
    ):
        with pytest.raises(Forbidden, match="keeps what was committed"):
            change()


def test_authors(store: Store) -> None:
    runkeys = Runkeys(store.staging.database, Who("somebody", "elsewhere"))
    store.staging.create("authors", detector(1))
    with runkeys.edit("authors", "mine") as edit:
        edit.set_meta("/", a=1)
    assert [r.author for r in runkeys.log("authors")] == ["somebody", "tester"]
