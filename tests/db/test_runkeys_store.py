"""Staging and backend: commit and fetch, also when they are cut off."""

from __future__ import annotations

from pathlib import Path

import pytest
from db_servers import KINDS, ready_url
from runkey_trees import detector, said

from db.errors import Conflict, Exists, NotFound, Unavailable
from db.gc import gc
from db.store import Store
from db.verify import verify
from db.who import Who


def test_commit(store: Store) -> None:
    store.staging.create("commit", detector(4, 2), "made")
    with store.staging.edit("commit", "tuned") as edit:
        edit.put("/FELIX1/OB1/FE1", "config", b"1")
    steps: list[tuple[int, int]] = []
    before = store.staging.info("commit")
    info = store.commit("commit", "good", lambda done, of: steps.append((done, of)))
    assert (info.where, info.committed, info.action, info.comment) == ("backend", True, "commit", "good")
    mine = store.staging.info("commit")
    assert mine.committed and (mine.revision, mine.digest) == (info.revision, info.digest)
    assert info.digest == before.digest and steps[-1][0] == steps[-1][1] > 0
    assert said(store.backend, "commit") == said(store.staging, "commit")
    assert [r.comment for r in store.backend.log("commit")] == ["good", "tuned", "made"]
    assert store.backend.blame("commit", "/FELIX1/OB1/FE1", "config").comment == "tuned"
    assert store.backend.blame("commit", "/FELIX1/OB1/FE3", "config").comment == "made"
    assert store.commit("commit") == info == store.commit("commit", "another comment")
    with pytest.raises(Exception, match="committed"):
        store.staging.edit("commit").__enter__()
    assert not verify(store.backend.database)


def test_the_next_commit_copies_what_is_new(store: Store) -> None:
    store.staging.create("next 1", detector(20, 2))
    store.commit("next 1")
    store.staging.clone("next 1", "next 2", "clone")
    with store.staging.edit("next 2", "tuned") as edit:
        edit.put("/FELIX1/OB1/FE1", "pixels", b"new" * 9)
    steps: list[int] = []
    store.commit("next 2", progress=lambda done, of: steps.append(of))
    assert steps == [1]
    names = [(r.runkey, r.action) for r in store.backend.log("next 2")]
    expected = [("next 2", a) for a in ("commit", "edit", "clone")] + [("next 1", "commit"), ("next 1", "create")]
    assert names == expected
    old, new = store.backend.tree("next 1"), store.backend.tree("next 2")
    assert old.node("/FELIX1/OB2").id == new.node("/FELIX1/OB2").id
    assert {r.id for r in store.backend.log("next 2")} == {r.id for r in store.staging.log("next 2")}


def test_a_name_that_the_backend_has(store: Store) -> None:
    store.staging.create("name", detector(1))
    store.commit("name")
    store.staging.delete("name")
    second = store.staging.create("name", detector(2))
    with pytest.raises(Exists, match=r"committed by tester .* rename yours"):
        store.commit("name")
    assert store.staging.info("name") == second
    store.staging.rename("name", "name 2")
    assert store.commit("name 2").digest == second.digest
    with pytest.raises(NotFound, match="'name 2'"):
        store.commit("name 3")


def test_fetch(store: Store) -> None:
    store.staging.create("fetch", detector(3), "made")
    info = store.commit("fetch", "done")
    store.staging.delete("fetch")
    assert gc(store.staging.database, Who("tester", "here")).objects >= 7
    back = store.fetch("fetch")
    assert back.committed and (back.where, back.revision, back.digest) == ("staging", info.revision, info.digest)
    assert store.fetch("fetch") == back
    clone = store.fetch("fetch", "fetch 2")
    assert not clone.committed and clone.action == "clone" and clone.digest == info.digest
    assert store.fetch("fetch", "fetch 2") == clone
    assert [r.comment for r in store.staging.log("fetch 2")] == ["", "done", "made"]
    with store.staging.edit("fetch 2", "more") as edit:
        edit.set_meta("/", a=1)
    with pytest.raises(Exists, match="'fetch 2'"):
        store.fetch("fetch", "fetch 2")
    store.staging.create("fetch 3", detector(1))
    with pytest.raises(Exists, match="'fetch 3'"):
        store.fetch("fetch", "fetch 3")
    with pytest.raises(NotFound, match="'fetch'"):
        store.fetch("fetsch")
    assert store.commit("fetch 2").where == "backend"
    assert not verify(store.staging.database)


def test_tags_and_names_go_along(store: Store) -> None:
    runkeys = store.staging
    runkeys.create("tags", detector(2))
    runkeys.tag("LABEL", "golden", ["tags", "tags:/FELIX1/OB1/FE1@config"], "the best")
    runkeys.tag("REFERENCE", "map", ["tags:/FELIX1/OB1/FE1@pixels"])
    runkeys.set_validity("run 3", "tags", runkeys.info("tags").created)
    runkeys.add_ref("tags:/FELIX1/OB1/FE1", "ITKDB", "20UPG1")
    runkeys.set_alias("tags:/FELIX1/OB1/FE1", "MODULE", "M1")
    info = store.commit("tags")
    assert set(info.tags) == {"LABEL:golden"}
    assert store.list("tags", tag="golden") == [runkeys.info("tags"), info]
    assert store.backend.valid("run 3").object == info.root
    (golden,) = store.backend.tags("tags", "LABEL")
    assert (golden.comment, golden.author, len(golden.objects), len(golden.payloads)) == ("the best", "tester", 1, 1)
    lineage = store.backend.find_alias("MODULE", "M1")
    assert [(ref.system, ref.key) for ref in store.backend.refs(lineage)] == [("ITKDB", "20UPG1")]
    assert store.backend.tree("tags").node("/FELIX1/OB1/FE1").lineage == lineage


def test_an_edit_while_it_is_committed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.staging.create("while", detector(1))
    publish = store._publish

    def late(name: str, revision: str) -> None:
        with store.staging.edit(name, "in between") as edit:
            edit.set_meta("/", a=1)
        publish(name, revision)

    monkeypatch.setattr(store, "_publish", late)
    with pytest.raises(Conflict, match="tester changed it while it was committed"):
        store.commit("while")
    assert not store.backend.exists("while")
    monkeypatch.undo()
    assert store.commit("while").digest == store.staging.info("while").digest
    assert store.backend.tree("while").root.meta == {"a": 1}


def test_a_start_finishes_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    urls = f"sqlite:///{tmp_path / 'staging.sqlite'}", f"sqlite:///{tmp_path / 'backend.sqlite'}"
    with Store.open(*urls) as store:
        store.staging.create("a", detector(1))

        def lost(*_: object) -> None:
            raise Unavailable("the last step is lost")

        monkeypatch.setattr(store, "_mark_committed", lost)
        with pytest.raises(Unavailable):
            store.commit("a")
        assert store.backend.exists("a") and not store.staging.info("a").committed
    with Store.open(*urls) as store:
        assert store.staging.info("a").committed
        assert store.recover() == []


def test_find_and_health(store: Store) -> None:
    store.staging.create("find 1", detector(1))
    store.commit("find 1")
    store.staging.delete("find 1")
    store.staging.create("find 2", detector(2))
    assert store.find("find 1") is store.backend and store.find("find 2") is store.staging
    assert store.find(store.backend.info("find 1").revision) in (store.staging, store.backend)
    with pytest.raises(NotFound, match=r"'find 1' or 'find 2'|'find 2' or 'find 1'"):
        store.find("find")
    health = store.health()
    assert [(h.where, h.ok, h.reason) for h in health] == [("staging", True, ""), ("backend", True, "")]
    assert all(0 < h.seconds < 5 for h in health)


def test_without_a_backend(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        Store.open(f"sqlite:///{tmp_path / 'a.sqlite'}", "postgresql+psycopg://nobody@127.0.0.1:9/nothing")


def test_revisions_of_one_number(store: Store) -> None:
    """A name that was used twice in staging; the backend counts its own revisions."""
    who = Who("tester", "here")
    store.staging.create("number", detector(1), "one")
    store.staging.clone("number", "number b")
    store.commit("number b")
    store.staging.delete("number b")
    store.staging.delete("number")
    gc(store.staging.database, who)
    store.staging.create("number", detector(2), "two")
    assert store.staging.info("number").number == 1
    store.commit("number")
    assert [r.comment for r in store.backend.log("number")] == ["two", "two"]
    assert [r.comment for r in store.backend.log("number b")] == ["", "", "one"]
    assert not verify(store.backend.database)


def test_a_different_user_finishes(tmp_path: Path) -> None:
    urls = f"sqlite:///{tmp_path / 'staging.sqlite'}", f"sqlite:///{tmp_path / 'backend.sqlite'}"
    with Store.open(*urls, Who("anna", "a")) as anna, Store.open(*urls, Who("bert", "b")) as bert:
        anna.staging.create("a", detector(1))
        anna._mark_commit("a", "hers")
        info = bert.commit("a")  # hers, as she had begun it
        assert bert.backend.log("a")[0].author == info.author == "anna"


def test_databases_of_different_kinds() -> None:
    kinds = list(KINDS)
    for one, other in zip(kinds, [*kinds[1:], kinds[0]], strict=True):
        with Store.open(ready_url(one), ready_url(other)) as store:
            info = store.staging.create("a", detector(3))
            assert store.commit("a").digest == info.digest
            store.staging.delete("a")
            assert store.fetch("a", "b").digest == info.digest
            assert said(store.staging, "b") == said(store.backend, "a")
            for runkeys in (store.staging, store.backend):
                assert not verify(runkeys.database)
