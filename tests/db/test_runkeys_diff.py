"""What differs between two trees."""

from __future__ import annotations

from typing import Any

import pytest
from runkey_trees import contents, detector
from sqlalchemy import event

from db.diff import TreeDiff, diff_trees
from db.errors import NotFound
from db.nodes import NewChild, NewObject
from db.store import Store


def diff(store: Store, a: str, b: str, view: str | None = None) -> TreeDiff:
    with store.staging.database.read() as connection:
        return diff_trees((connection, store.staging.root(a)), (connection, store.staging.root(b)), view)


def test_nothing_differs(store: Store) -> None:
    store.staging.create("same 1", detector(4))
    store.staging.create("same 2", detector(4))
    found = diff(store, "same 1", "same 2")
    assert not found and found == TreeDiff()


def test_all_that_can_differ(store: Store) -> None:
    runkeys = store.staging
    runkeys.create("diff 1", detector(6, 2))
    runkeys.clone("diff 1", "diff 2")
    with runkeys.edit("diff 2") as edit:
        edit.put("/FELIX1/OB1/FE1", "config", b"1")
        edit.put("/FELIX1/OB1/FE1", "log", b"x", "log", "text")
        edit.drop("/FELIX1/OB1/FE3", "pixels")
        edit.put("/FELIX1/OB1/FE3", "config", b'{"chip":3}', meta={"a": 1})  # of another meta
        edit.set_meta("/FELIX1/OB2", a=1)
        edit.set_edge("/FELIX1/OB2", path="x")
        edit.update_edge("/std_digitalscan", {}, pos=9)
        edit.set_serial("/FELIX1/OB2/FE2", "S")
        edit.remove("/FELIX1/OB2/FE4")
        edit.rename("/FELIX1/OB2/FE6", "FE60")
        edit.add("/FELIX1", NewObject("optoboard", "OB3", children=[NewChild(NewObject("frontend", "FE7"))]))
        edit.set_meta("/", a=1)
    found = diff(store, "diff 1", "diff 2")
    assert [str(place) for place in found.added] == ["/FELIX1/OB2/FE60", "/FELIX1/OB3"]
    assert [(place.path, place.type, place.edge) for place in found.removed] == [
        ("/FELIX1/OB2/FE4", "frontend", {"rx": 4}),
        ("/FELIX1/OB2/FE6", "frontend", {"rx": 6}),
    ]
    assert [(c.path, c.what, c.role) for c in found.changed] == [
        ("/", "meta", ""),
        ("/FELIX1/OB1/FE1", "payload", "config"),
        ("/FELIX1/OB1/FE1", "payload", "log"),
        ("/FELIX1/OB1/FE3", "payload", "config"),
        ("/FELIX1/OB1/FE3", "payload", "pixels"),
        ("/FELIX1/OB2", "edge", ""),
        ("/FELIX1/OB2", "meta", ""),
        ("/FELIX1/OB2/FE2", "serial", ""),
        ("/std_digitalscan", "edge", ""),
    ]
    by = {(c.path, c.what, c.role): c for c in found.changed}
    config = by["/FELIX1/OB1/FE1", "payload", "config"]
    assert runkeys.payload_by_hash(config.before.sha256) == b'{"chip":1}'
    assert runkeys.payload_by_hash(config.after.sha256) == b"1"
    assert by["/FELIX1/OB1/FE1", "payload", "log"].before is None
    assert by["/FELIX1/OB1/FE3", "payload", "pixels"].after is None
    edge, pos = by["/FELIX1/OB2", "edge", ""], by["/std_digitalscan", "edge", ""]
    assert (edge.before, edge.after) == ({}, {"path": "x"}) and (pos.before, pos.after) == ({"pos": 1}, {"pos": 9})
    assert by["/FELIX1/OB2/FE2", "serial", ""].before == "20UPGFC0000002"
    # the other way round
    back = diff(store, "diff 2", "diff 1")
    assert (back.added, back.removed) == (found.removed, found.added)
    assert [(c.path, c.after, c.before) for c in back.changed] == [(c.path, c.before, c.after) for c in found.changed]


def test_a_type(store: Store) -> None:
    store.staging.create("type 1", NewObject("runkey", "", children=[NewChild(NewObject("felix", "A"))]))
    store.staging.create("type 2", NewObject("runkey", "", children=[NewChild(NewObject("crate", "A"))]))
    (change,) = diff(store, "type 1", "type 2").changed
    assert (change.path, change.what, change.before, change.after) == ("/A", "type", "felix", "crate")


def test_views(store: Store) -> None:
    runkeys = store.staging
    runkeys.create("views 1", detector(2))
    fe = runkeys.tree("views 1").node("/FELIX1/OB1/FE1").id
    with runkeys.edit("views 1") as edit:
        edit.add("/", NewObject("power", "PSU", children=[NewChild(fe, "power", meta={"channel": 1})]), "power")
    runkeys.clone("views 1", "views 2")
    with runkeys.edit("views 2") as edit:
        edit.set_edge("power:/PSU/FE1", channel=2)
        edit.put("/FELIX1/OB1/FE1", "config", b"1")
    found = diff(store, "views 1", "views 2")
    assert [(c.view, c.path, c.what) for c in found.changed if c.what == "edge"] == [("power", "/PSU/FE1", "edge")]
    assert len([c for c in found.changed if c.what == "payload"]) == 1  # one thing, told once
    daq = diff(store, "views 1", "views 2", "daq")
    assert [(c.view, c.path) for c in daq.changed] == [("daq", "/FELIX1/OB1/FE1")]
    assert [(c.view, c.path) for c in diff(store, "views 1", "views 2", "power").changed] == [
        ("power", "/PSU/FE1"),
        ("power", "/PSU/FE1"),
    ]


def test_between_two_databases(store: Store) -> None:
    store.staging.create("two", detector(3))
    store.commit("two")
    store.staging.clone("two", "two b")
    with store.staging.edit("two b") as edit:
        edit.put("/FELIX1/OB1/FE2", "config", b"1")
    with store.backend.database.read() as a, store.staging.database.read() as b:
        found = diff_trees((a, store.backend.root("two")), (b, store.staging.root("two b")))
        assert [c.path for c in found.changed] == ["/FELIX1/OB1/FE2"]
        with pytest.raises(NotFound):
            diff_trees((a, "0" * 32), (b, store.staging.root("two b")))


def test_only_what_differs_is_read(store: Store) -> None:
    runkeys = store.staging
    runkeys.create("prune 1", detector(60, 12))
    runkeys.clone("prune 1", "prune 2")
    with runkeys.edit("prune 2") as edit:
        edit.put("/FELIX1/OB3/FE3", "config", b"1")
    rows: list[int] = []

    def count(connection: Any, cursor: Any, *_: Any) -> None:
        rows.append(cursor.rowcount)

    with runkeys.database.read() as connection:
        roots = [runkeys.root(name) for name in ("prune 1", "prune 2")]
        event.listen(runkeys.database.engine, "after_cursor_execute", count)
        try:
            found = diff_trees((connection, roots[0]), (connection, roots[1]))
        finally:
            event.remove(runkeys.database.engine, "after_cursor_execute", count)
    assert len(found.changed) == 1
    assert len(rows) <= 12  # a few per level, not one per object


def test_a_diff_says_all_that_contents_say(store: Store) -> None:
    """Paths that are not in the diff are equal in both."""
    runkeys = store.staging
    runkeys.create("all 1", detector(9, 3))
    runkeys.clone("all 1", "all 2")
    with runkeys.edit("all 2") as edit:
        for number in (1, 5, 9):
            edit.put(f"/FELIX1/OB{(number - 1) % 3 + 1}/FE{number}", "pixels", bytes(64))
        edit.set_edge("/FELIX1/OB1/FE4", rx=40)
    a, b = (contents(runkeys, runkeys.tree(name)) for name in ("all 1", "all 2"))
    assert {c.path for c in diff(store, "all 1", "all 2").changed} == {path for path in a if a[path] != b[path]}
