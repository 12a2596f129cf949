"""Names of files from any text."""

from __future__ import annotations

from pathlib import Path

import pytest
from exchange_trees import HOSTILE
from hypothesis import given
from hypothesis import strategies as st

from db.exchange.files import Names, escape, unescape


@given(st.text(st.characters(codec="utf-8")))
def test_escape_is_undone(text: str) -> None:
    made = escape(text)
    assert unescape(made) == text
    assert made.isascii() and "/" not in made and "\\" not in made and ":" not in made
    assert made not in (".", "..") and not made.startswith(".") and made == made.strip()


@pytest.mark.parametrize("name", ["CON", "con.txt", "COM1", "nul", "Aux.json"])
def test_no_names_of_devices(name: str) -> None:
    assert escape(name).partition(".")[0].upper() not in {"CON", "NUL", "COM1", "AUX"}
    assert unescape(escape(name)) == name


@given(st.lists(st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(codec="utf-8"))), max_size=12))
def test_no_two_names_are_alike(names: list[str]) -> None:
    given_ = Names("object.json")
    made = [given_.of(name, ".json") for name in names]
    assert len({name.casefold() for name in made} | {"object.json"}) == len(made) + 1
    assert all(0 < len(name.encode()) <= 130 for name in made)


def test_every_hostile_name_is_a_file(tmp_path: Path) -> None:
    names = Names()
    for name in HOSTILE:
        (tmp_path / names.of(name)).mkdir()
    assert len(list(tmp_path.iterdir())) == len(HOSTILE)


@pytest.mark.parametrize("text", ["%4", "%zz", "%C3"])
def test_what_escape_never_made(text: str) -> None:
    try:
        assert escape(unescape(text)) != text
    except ValueError:
        pass
