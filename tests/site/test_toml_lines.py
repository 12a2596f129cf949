"""Every key of a TOML text is found on its line."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from owlshift.toml_lines import key_lines, line_of

TEXT = '''# a comment with [brackets] and = signs
[site]
name = "DEMO" # "quoted" # twice
"odd key" = 'single # quoted'
long = """
[not.a.table]
x = 1 \\""" still
"""
[[ioc]]
system = "HV"
[ioc.config]
boards = [ { name = "B0", address = 0 },
  # between
  { name = "B1",
    address = 1 },
]
a.b.c = 1
[[ioc]]
system = "XX"
[ioc.config.deep]
t = 1979-05-27T07:32:00Z
[[ioc.config.list]]
k = [[1, 2], [3]]
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("site",), 2),
        (("site", "name"), 3),
        (("site", "odd key"), 4),
        (("site", "long"), 5),
        (("ioc", 0), 9),
        (("ioc", 0, "system"), 10),
        (("ioc", 0, "config"), 11),
        (("ioc", 0, "config", "boards", 0, "address"), 12),
        (("ioc", 0, "config", "boards", 1, "name"), 14),
        (("ioc", 0, "config", "boards", 1, "address"), 15),
        (("ioc", 0, "config", "a", "b", "c"), 17),
        (("ioc", 1, "system"), 19),
        (("ioc", 1, "config", "deep", "t"), 21),
        (("ioc", 1, "config", "list", 0, "k", 1, 0), 23),
    ],
)
def test_each_key_has_its_line(path: tuple[str | int, ...], line: int) -> None:
    assert key_lines(TEXT)[path] == line


def test_a_missing_key_has_the_line_of_its_table() -> None:
    lines = key_lines(TEXT)
    assert line_of(lines, ("ioc", 0, "kind")) == 9
    assert line_of(lines, ("nothing", "at", "all")) == 1


def _paths(value: Any, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {p for key, child in children for p in {(*path, key), *_paths(child, (*path, key))}}


_keys = st.from_regex(r"[A-Za-z0-9_-]{1,6}", fullmatch=True)
_strings = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=12)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_scalars = st.one_of(st.integers(-(2**60), 2**60).map(str), st.sampled_from(["true", "false"]), _strings.map(_quoted))
_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: "[ # comment ]\n" + ",\n".join(items) + "\n]"),
        st.dictionaries(_keys, inner, max_size=3).map(
            lambda table: "{ " + ", ".join(f"{key} = {value}" for key, value in table.items()) + " }"
        ),
    ),
    max_leaves=8,
)


@given(st.dictionaries(_keys, _values, max_size=5), st.dictionaries(_keys, _values, min_size=1, max_size=3))
def test_every_path_that_tomllib_reads_is_found(top: dict[str, str], table: dict[str, str]) -> None:
    text = "".join(f"{key} = {value}\n" for key, value in top.items())
    text += "".join(
        f"\n[[the.table]] # {index}\n" + "".join(f"{k} = {v}\n" for k, v in table.items()) for index in (0, 1)
    )
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    lines = key_lines(text)
    assert _paths(document) <= set(lines)
    assert max(lines.values()) <= text.count("\n")
