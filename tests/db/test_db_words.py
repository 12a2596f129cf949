"""Ids, who, errors, digests: what all else is made of."""

from __future__ import annotations

import pickle
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db import errors
from db.digests import canonical, object_digest
from db.ids import id_time, is_id, new_id
from db.who import Who

SHA = bytes(range(32))


def test_ids_grow_and_never_repeat_even_from_many_threads():
    made: list[list[str]] = []

    def make() -> None:
        made.append([new_id() for _ in range(5000)])

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(ids == sorted(ids) for ids in made)
    everything = {id_ for ids in made for id_ in ids}
    assert len(everything) == 20000
    assert all(map(is_id, everything))


def test_an_id_tells_when_it_was_made():
    before = datetime.now(UTC)
    assert before - timedelta(milliseconds=2) <= id_time(new_id()) <= datetime.now(UTC) + timedelta(seconds=1)
    with pytest.raises(ValueError, match="is no id"):
        id_time("0" * 32)


def test_what_is_no_id():
    id_ = new_id()
    for text in ("", "0" * 32, "x" * 32, id_[:-1], id_ + "0", id_.upper() + "F", id_[:12] + "4" + id_[13:]):
        assert not is_id(text)
    assert is_id(id_)


def test_who_am_i(monkeypatch):
    assert str(Who.me()) == f"{Who.me().user}@{Who.me().host}"
    assert Who.me().user
    monkeypatch.setattr("db.who.getpass.getuser", lambda: (_ for _ in ()).throw(KeyError("no such uid")))
    assert Who.me().user.startswith("uid")


def test_errors_are_one_closed_tree_and_survive_a_process_border():
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, errors.DbError)]
    assert {k.__name__ for k in kinds} == {
        *("DbError", "NotFound", "Exists", "BadInput", "Conflict", "Forbidden", "Unavailable", "Busy", "Damaged"),
        "NotMigrated",
    }
    many = errors.BadInput([f"a.json: Pixel {i}: reason" for i in range(30)])
    assert str(many).endswith("… and 10 more")
    assert len(str(many).splitlines()) == 21
    assert pickle.loads(pickle.dumps(many)).problems == many.problems
    conflict = errors.Conflict(["/FE1: bob, today: config"])
    assert pickle.loads(pickle.dumps(conflict)).changes == conflict.changes
    assert errors.BadInput("x: y").problems == ["x: y"]


def test_the_digest_is_of_every_word_and_of_no_order():
    payloads = [("config", "config", "", "json", SHA, {"a": 1}), ("pixels", "pixels", "", "pixels", SHA, {})]
    children = [("daq", 0, {"rx": 1}, "FE1", SHA), ("daq", 1, {"rx": 2}, "FE2", SHA[::-1])]
    whole = object_digest("felix", "F1", "S1", {"x": 1, "y": 2}, payloads, children)
    assert len(whole) == 32
    assert whole == object_digest("felix", "F1", "S1", {"y": 2, "x": 1}, payloads[::-1], children[::-1])
    assert whole == object_digest(
        "felix", "F1", "S1", {"y": 2, "x": 1}, [(*p[:4], SHA.hex(), p[5]) for p in payloads], children
    )
    others = [
        object_digest("felux", "F1", "S1", {"x": 1, "y": 2}, payloads, children),
        object_digest("felix", "F2", "S1", {"x": 1, "y": 2}, payloads, children),
        object_digest("felix", "F1", "S2", {"x": 1, "y": 2}, payloads, children),
        object_digest("felix", "F1", "S1", {"x": 1, "y": 3}, payloads, children),
        object_digest("felix", "F1", "S1", {"x": 1, "y": 2}, payloads[:1], children),
        object_digest("felix", "F1", "S1", {"x": 1, "y": 2}, payloads, children[:1]),
    ]
    for index in range(6):
        changed: list[Any] = list(payloads[0])
        changed[index] = {"a": 2} if index == 5 else SHA[::-1] if index == 4 else "other"
        two: Any = [tuple(changed), payloads[1]]
        others.append(object_digest("felix", "F1", "S1", {"x": 1, "y": 2}, two, children))
    for index, value in enumerate(("power", 7, {"rx": 9}, "FE9", SHA[::-1])):
        edge: list[Any] = list(children[0])
        edge[index] = value
        both: Any = [tuple(edge), children[1]]
        others.append(object_digest("felix", "F1", "S1", {"x": 1, "y": 2}, payloads, both))
    assert len({whole, *others}) == len(others) + 1


def test_the_digest_never_changes_from_one_version_to_the_next():
    found = object_digest("felix", "F1", "S1", {"x": 1.0}, [("config", "config", "", "json", SHA, {})], [])
    assert found.hex() == "815593899711f7e0bf7dfd06b59296b393ca8ee3cdd19e9cbf6dbe42f6520599"


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
)


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.text(st.characters(codec="utf-8")), json_values))
def test_metadata_that_was_stored_and_read_has_the_same_digest(meta):
    import orjson

    again = orjson.loads(canonical(meta))
    assert canonical(again) == canonical(meta)
    assert object_digest("a", "b", "", meta, [], []) == object_digest("a", "b", "", again, [], [])


@pytest.mark.parametrize("meta", [{"x": object()}, {"x": 2**70}, {"x": "\ud800"}, {1: 2}])
def test_what_json_cannot_say_is_refused(meta):
    with pytest.raises(errors.BadInput):
        canonical(meta)
    with pytest.raises(errors.BadInput):
        object_digest("a", "b", "", meta, [], [])
