"""Two who make the same at the same time: both succeed, or one is told in words what there is already."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from db_servers import KINDS, ready_url
from runkey_trees import detector, said

from db.errors import Exists
from db.store import Store
from db.verify import verify
from db.who import Who

ROUNDS = 6


@pytest.fixture(params=KINDS)
def stores(request: pytest.FixtureRequest) -> Iterator[tuple[Store, Store]]:
    urls = ready_url(request.param), ready_url(request.param)
    with Store.open(*urls, Who("anna", "a")) as anna, Store.open(*urls, Who("bert", "b")) as bert:
        yield anna, bert


def at_once(*functions: Callable[[], object]) -> list[Exception | None]:
    """What each of them raised."""
    begin = threading.Barrier(len(functions))
    raised: list[Exception | None] = [None] * len(functions)

    def run(number: int) -> None:
        begin.wait(100)
        try:
            functions[number]()
        except Exception as error:
            raised[number] = error

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    return raised


def test_commits_that_share_what_the_backend_lacks(stores: tuple[Store, Store]) -> None:
    anna, bert = stores
    for turn in range(ROUNDS):
        root = detector(3)
        root.serial = str(turn)
        anna.staging.create(f"a {turn}", root)
        anna.staging.clone(f"a {turn}", f"b {turn}")
        with anna.staging.edit(f"b {turn}") as edit:
            edit.set_serial("/FELIX1/OB1/FE1", f"S{turn}")
        assert at_once(lambda t=turn: anna.commit(f"a {t}"), lambda t=turn: bert.commit(f"b {t}")) == [None, None]
        for name in (f"a {turn}", f"b {turn}"):
            assert said(anna.backend, name) == said(anna.staging, name)
    assert verify(anna.backend.database) == verify(anna.staging.database) == []


def test_a_tag_that_two_make(stores: tuple[Store, Store]) -> None:
    anna, bert = stores
    anna.staging.create("a", detector(2))
    for turn in range(ROUNDS):
        tags = [
            lambda t=turn: anna.staging.tag("LABEL", f"good {t}", ["a:/FELIX1/OB1/FE1"]),
            lambda t=turn: bert.staging.tag("LABEL", f"good {t}", ["a:/FELIX1/OB1/FE2"]),
        ]
        assert at_once(*tags) == [None, None]
        (tag,) = [tag for tag in anna.staging.tags(type="LABEL") if tag.name == f"good {turn}"]
        assert len(tag.objects) == 2


def test_a_name_that_two_take(stores: tuple[Store, Store]) -> None:
    stores[0].staging.create("a", detector(1))
    for turn in range(ROUNDS):
        one, other = (lambda s=s, t=turn: s.staging.clone("a", f"clone {t}") for s in stores)
        refused = [error for error in at_once(one, other) if error is not None]
        assert [(type(error), str(error)) for error in refused] == [
            (Exists, f"there is a runkey 'clone {turn}' already")
        ]


def test_a_clone_of_a_root_by_its_id(stores: tuple[Store, Store]) -> None:
    runkeys = stores[0].staging
    info = runkeys.create("a", detector(1), "made")
    for number, source in enumerate((info.root, info.revision, info.digest, "a")):
        clone = runkeys.clone(source, f"clone {number}")
        assert (clone.root, clone.digest) == (info.root, info.digest)
        assert [revision.comment for revision in runkeys.log(f"clone {number}")][-1] == "made"
