"""Log and blame across clones, commits and renames."""

from __future__ import annotations

import orjson
import pytest
from runkey_trees import detector

from db.errors import NotFound
from db.nodes import NewObject
from db.runkeys import Runkeys
from db.store import Store


@pytest.fixture
def runkeys(store: Store) -> Runkeys:
    return store.staging


def put(runkeys: Runkeys, name: str, path: str, content: bytes, comment: str) -> None:
    with runkeys.edit(name, comment) as edit:
        edit.put(path, "config", content)


def test_log_and_blame_across_clones(store: Store, runkeys: Runkeys) -> None:
    fe = "/FELIX1/OB1/FE1"
    runkeys.create("blame 1", detector(2), "made")
    put(runkeys, "blame 1", fe, b'{"a":1,"b":1}', "first")
    put(runkeys, "blame 1", "/FELIX1/OB1/FE2", b"2", "other")
    runkeys.clone("blame 1", "blame 2", "next")
    put(runkeys, "blame 2", fe, b'{"a":1,"b":2}', "b")
    put(runkeys, "blame 1", fe, b'{"a":3,"b":1}', "not of the clone")
    comments = [r.comment for r in runkeys.log("blame 2")]
    assert comments == ["b", "next", "other", "first", "made"]
    assert [r.runkey for r in runkeys.log("blame 2")] == ["blame 2"] * 2 + ["blame 1"] * 3
    store.commit("blame 2", "done")
    store.fetch("blame 2", "blame 3")
    put(store.staging, "blame 3", "/FELIX1/OB1/FE2", b"9", "after")
    store.commit("blame 3")
    for where, name in (
        (runkeys, "blame 2"),
        (store.backend, "blame 2"),
        (runkeys, "blame 3"),
        (store.backend, "blame 3"),
    ):
        assert where.blame(name, fe, "config").comment == "b"
        assert where.blame(name, fe, "config", key=lambda c: orjson.loads(c).get("a")).comment == "first"
        assert where.blame(name, fe, "config", key=lambda c: orjson.loads(c).get("c")).comment == "made"
        assert where.blame(name, fe, "pixels").comment == "made"
    assert store.backend.blame("blame 3", "/FELIX1/OB1/FE2", "config").comment == "after"
    assert runkeys.blame("blame 1", fe, "config").comment == "not of the clone"


def test_blame_follows_other_names(runkeys: Runkeys) -> None:
    runkeys.create("follow", detector(2), "made")
    put(runkeys, "follow", "/FELIX1/OB1/FE1", b"1", "tuned")
    with runkeys.edit("follow", "renamed") as edit:
        edit.rename("/FELIX1/OB1/FE1", "FE7")
        edit.rename("/FELIX1", "F")
    with runkeys.edit("follow", "put in its place") as edit:
        edit.remove("/F/OB1/FE2")
        edit.add("/F/OB1", NewObject("frontend", "FE2"))
        edit.put("/F/OB1/FE2", "config", b'{"chip":2}')
    with runkeys.edit("follow", "edge") as edit:
        edit.set_edge("/F/OB1/FE7", rx=9)
    assert runkeys.blame("follow", "/F/OB1/FE7", "config").comment == "tuned"
    assert runkeys.blame("follow", "/F/OB1/FE7", "pixels").comment == "made"
    assert runkeys.blame("follow", "/F/OB1/FE2", "config").comment == "made"  # equal content at one path
    assert runkeys.blame_node("follow", "/F/OB1/FE7", lambda node: node.edge.get("rx")).comment == "edge"
    assert runkeys.blame_node("follow", "/F/OB1/FE7", lambda node: node.edge.get("tx")).comment == "made"
    assert runkeys.blame_node("follow", "/F/OB1/FE7", lambda node: node.name).comment == "renamed"


def test_blame_of_what_was_added_and_what_is_not_there(runkeys: Runkeys) -> None:
    runkeys.create("added", detector(1), "made")
    with runkeys.edit("added", "new") as edit:
        edit.add("/FELIX1", NewObject("optoboard", "OB2"))
    put(runkeys, "added", "/FELIX1/OB1/FE1", b"1", "later")
    with runkeys.edit("added", "role") as edit:
        edit.put("/FELIX1/OB2", "log", b"", "log", "text")
    assert runkeys.blame("added", "/FELIX1/OB2", "log").comment == "role"
    assert runkeys.blame_node("added", "/FELIX1/OB2", lambda node: node.type).comment == "new"
    for path, role in (("/FELIX1/OB3", "log"), ("/FELIX1/OB2", "config")):
        with pytest.raises(NotFound, match=r"is it|has no payload"):
            runkeys.blame("added", path, role)
    with pytest.raises(NotFound):
        runkeys.log("never made")
