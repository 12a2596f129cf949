"""Texts for PVs fit, are whole JSON, and say what they leave out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db.demo import NAME, make_demo
from db.errors import NotFound
from db.nodes import NewChild, NewObject, NewPayload
from db.store import Store
from db.who import Who
from iocs.runkey.browse import list_text, newest_first, tree_text, view_text


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder: Path = tmp_path_factory.mktemp("browse")
    with Store.open(f"sqlite:///{folder}/s.sqlite", f"sqlite:///{folder}/b.sqlite", Who("t", "h")) as found:
        make_demo(found.staging)
        boards = [
            NewChild(
                NewObject(
                    "optoboard", f"OB{b}", children=[NewChild(NewObject("frontend", f"FE{f}")) for f in range(60)]
                )
            )
            for b in range(50)
        ]
        found.staging.create("large", NewObject("runkey", "", children=boards), "3,050 objects")
        odd = NewPayload("note", "ä\n".encode() * 100, "log", "text")
        raw = NewPayload("blob", bytes(range(256)) * 40, "mask", "raw")
        found.staging.create("odd", NewObject("runkey", "", payloads=[odd, raw]), "")
        yield found


@settings(max_examples=50, deadline=None)
@given(count=st.integers(0, 40), room=st.integers(100, 20_000), comment=st.text(max_size=200))
def test_a_list_fits(store: Store, count: int, room: int, comment: str) -> None:
    info = replace(store.staging.info("odd"), comment=comment.encode("utf-8", "replace").decode())
    text = list_text([info] * count, room)
    assert len(text.encode()) <= room
    found = json.loads(text)
    assert len(found["runkeys"]) + found["more"] == count


@pytest.mark.parametrize("room", [200_000, 20_000, 3_000])
def test_a_tree_fits(store: Store, room: int) -> None:
    text = tree_text(store, "large", "/", room)
    assert len(text) <= room
    found = json.loads(text)
    if found:
        assert found["objects"] == 3051
        shown = len(found["root"]["children"])
        assert shown + found["root"]["more"] == 50
    whole = json.loads(tree_text(store, "large", "/OB7", 200_000))
    assert len(whole["root"]["children"]) == 60


def test_payloads_as_people_read_them(store: Store) -> None:
    assert "400 columns x 384 rows" in view_text(store, NAME, "/FELIX1/OB1/FE1", "pixels", 10_000)
    assert '"DigitalScan"' in view_text(store, NAME, "/std_digitalscan", "config", 10_000)
    assert view_text(store, NAME, "/FELIX1", "", 10_000).startswith("{")
    assert "no payloads" in view_text(store, NAME, "/", "", 10_000)
    assert view_text(store, "odd", "/", "note", 10_000).startswith("ä\nä\n")
    assert view_text(store, "odd", "/", "note", 100).endswith("cut here")
    assert len(view_text(store, "odd", "/", "note", 100).encode()) <= 100
    assert view_text(store, "odd", "/", "blob", 100_000).startswith("10240 bytes, sha256 ")
    with pytest.raises(NotFound, match="it has blob, note"):
        view_text(store, "odd", "/", "nothing", 100)


def test_what_search_finds(store: Store) -> None:
    store.staging.tag("LABEL", "golden", [NAME])
    assert [info.name for info in newest_first(store, "tag:golden")] == [NAME]
    assert {info.name for info in newest_first(store, "*d*")} == {"odd"}
    assert [info.name for info in newest_first(store, "3,050")] == ["large"]
    assert len(newest_first(store)) == 3
