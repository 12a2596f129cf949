"""Extras beside an alarm file, what an import would change, and what an item must be like."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from item_strategies import extras, pv_names, trees

from iocs.alarm.config import ActionsConfig
from iocs.alarm.files.checks import check_item
from iocs.alarm.files.diff import plan
from iocs.alarm.files.extras import beside, read_extras, with_extras, write_extras
from iocs.alarm.tree.items import Action, AreaConfig, ConfigError, Extras, Item, LeafConfig, Link
from iocs.alarm.tree.paths import make_path

LEAF = LeafConfig()


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(pv_names, extras, max_size=3))
def test_extras_come_back(known: dict[str, Extras]):
    items = [Item(make_path("/S", name), LEAF, one) for name, one in known.items()]
    content = write_extras(items)
    found = read_extras(content, "S")
    bare = [Item(item.path, LEAF) for item in items]
    assert with_extras(bare, found) == (items, [])
    assert write_extras(with_extras(bare, found)[0]) == content


def test_only_what_is_not_as_usual_is_written():
    items = [
        Item("/S/a", AreaConfig()),
        Item("/S/a/X", LEAF, Extras(priority="high", response_time=300, modes=("Beam",), rationale='a "b"\n\\ \x7f')),
        Item("/S/a/Y", LEAF),
        Item("/S/a/Z\\/1", LEAF, Extras(off_delay=2.5)),
    ]
    content = write_extras(items).decode()
    assert content == (
        '["/S/a/X"]\npriority = "high"\nresponse_time = 300\nrationale = "a \\"b\\"\\n\\\\ \\u007f"\nmodes = ["Beam"]\n'
        '\n["/S/a/Z\\\\/1"]\noff_delay = 2.5\n'
    )
    assert tomllib.loads(content)["/S/a/X"]["rationale"] == 'a "b"\n\\ \x7f'
    assert write_extras(items[:1]) == b""


BAD = {
    "not TOML": (b'["/S/x"]\npriority = \n', "alarms.toml:2: not TOML: "),
    "not UTF-8": (b'["/S/x"]\nrationale = "\xff"', "alarms.toml:2: not UTF-8"),
    "deep": (b"a = " + b"[" * 5000, "alarms.toml:1: not TOML: "),
    "no path": (b"[table]\n", "alarms.toml:1: table: the path 'table' does not begin with '/'"),
    "no table": (b'"/S/x" = 5\n', "alarms.toml:1: /S/x: is a number and not an object"),
    "other root": (b'["/T/x"]\n', "alarms.toml:1: /T/x: is not below /S"),
    "twice": (b'["/S/x"]\n["/S//x"]\n', "alarms.toml:2: /S/x: is there twice (alarms.toml:1)"),
    "unknown": (b'["/S/x"]\n\npriorty = "high"\n', "alarms.toml:3: /S/x: priorty is no field"),
    "priority": (b'["/S/x"]\npriority = "urgent"\n', "alarms.toml:2: /S/x: priority is none of low, medium, high"),
    "number": (b'["/S/a\\\\/b"]\nresponse_time = -1\n', "alarms.toml:2: /S/a\\/b: response_time is not from 0"),
    "nan": (b'["/S/x"]\noff_delay = nan\n', "alarms.toml:2: /S/x: off_delay is a number and not a number"),
    "date": (b'["/S/x"]\nscreen = 2031-01-01\n', "alarms.toml:2: /S/x: screen is a date and not a text"),
    "mask": (b'["/S/x"]\nmasked_by = "nothing"\n', "alarms.toml:2: /S/x: masked_by is none: "),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_bad_extras(what):
    content, reason = BAD[what]
    with pytest.raises(ConfigError) as caught:
        read_extras(content, "S")
    assert any(one.startswith(reason) for one in caught.value.problems), caught.value.problems


@settings(deadline=None, max_examples=300)
@given(st.one_of(st.text("[]\"'/S.=\nab1{},#\\ prioty", max_size=50).map(str.encode), st.binary(max_size=40)))
def test_nothing_but_config_error(content):
    try:
        read_extras(content, "S")
    except ConfigError as error:
        assert all(one.startswith("alarms.toml:") for one in error.problems)


def test_extras_of_what_is_no_alarm(tmp_path):
    path = beside(tmp_path / "alarms.xml")
    path.write_text('["/S/a"]\npriority = "low"\n["/S/gone"]\npriority = "high"\n["/S/x"]\nscreen = "hv"\n')
    items, found = with_extras([Item("/S/a", AreaConfig()), Item("/S/x", LEAF)], read_extras(path, "S"))
    assert [item.extras.screen for item in items] == ["", "hv"]
    assert found == [f"{path}:1: /S/a: an area has no extras", f"{path}:3: /S/gone: there is no such alarm"]
    with pytest.raises(ConfigError, match="can't be read"):
        read_extras(tmp_path / "none.toml", "S")


# The plan of an import ------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(trees(), trees())
def test_carried_out_a_plan_makes_the_one_of_the_other(old, new):
    found = plan(old, new)
    tree = {item.path: item for item in old}
    for item in found.removed:
        assert not any(path.startswith(f"{item.path}/") for path in tree), "what is above goes last"
        del tree[item.path]
    for item in (*found.added, *(change.item for change in found.changed)):
        tree[item.path] = item
    assert tree == {item.path: item for item in new}
    assert found.unchanged + len(found.added) + len(found.changed) == len(new)
    assert all(change.what for change in found.changed)
    assert plan(new, new).empty and found.empty == (old == new or sorted(map(repr, old)) == sorted(map(repr, new)))
    assert len(found.as_dict()["changed"]) == len(found.changed)


def test_a_plan_is_readable():
    old = [
        Item("/S/a", AreaConfig(guidance=(Link("call", "1"),))),
        Item("/S/a/P", LeafConfig(description="old", guidance=(Link("a", "b"), Link("c", "d"))), Extras(modes=("x",))),
        Item("/S/a/Q", LEAF),
        Item("/S/b", AreaConfig()),
        Item("/S/b/ca:\\/\\/R", LEAF),
        Item("/S/c", LEAF),
    ]
    until = datetime(2031, 1, 1, tzinfo=UTC)
    new = [
        Item("/S/a", AreaConfig(guidance=(Link("call", "2"),))),
        Item(
            "/S/a/P",
            LeafConfig(
                description="new " + "x" * 100,
                enabled=False,
                disabled_until=until,
                delay=5,
                guidance=(Link("c", "d"), Link("a", "b")),
                actions=(Action("m", "mailto:a@b.c", 60),),
            ),
            Extras(priority="high", off_delay=2.5),
        ),
        Item("/S/a/Q", LEAF),
        Item("/S/d/R", LEAF),
        Item("/S/c", AreaConfig()),
    ]
    lines = plan(old, new).lines()
    shown = until.astimezone().isoformat(timespec="seconds")
    assert lines == [
        "- /S/b/ca:\\/\\/R (alarm)",
        "- /S/b (area)",
        "- /S/c (alarm)",
        "+ /S/d/R (alarm, from /S/b/ca:\\/\\/R)",
        "+ /S/c (area)",
        "~ /S/a: guidance: without 'call': '1'",
        "~ /S/a: guidance: with 'call': '2'",
        f"~ /S/a/P: description: 'old' -> 'new {'x' * 53}...'",
        "~ /S/a/P: enabled: true -> false",
        f"~ /S/a/P: disabled_until: none -> {shown}",
        "~ /S/a/P: delay: 0 -> 5",
        "~ /S/a/P: guidance: in another order",
        "~ /S/a/P: actions: with 'm': 'mailto:a@b.c' after 60 s",
        "~ /S/a/P: priority: 'medium' -> 'high'",
        "~ /S/a/P: off_delay: 0 -> 2.5",
        "~ /S/a/P: modes: [x] -> []",
        "2 added, 2 changed, 3 removed (1 of them moved), 1 as before",
    ]


# Single items ---------------------------------------------------------------------------------------------------------


def area(details: str) -> Item:
    return Item("/S/a", AreaConfig(actions=(Action("", details),)))


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        (area("mailto:a@b.c, d.e+f@g-h.example"), ""),
        (area("cmd:/bin/x 'a b' *"), ""),
        (area("sevrpv:ca://A:B.VAL"), ""),
        (area("infopv: A:B.VAL$ "), ""),
        (area("webhook:https://h/x?a=b"), ""),
        (area("Mailto:a@b.c"), "unknown action"),
        (area("mailto:a@b.c,"), "'' is no mail address"),
        (area("mailto:-f@b.c -oX"), "is no mail address"),
        (area("cmd:  "), "nothing follows cmd:"),
        (area("cmd:''"), ""),
        (area("sevrpv:a b"), "characters that no PV's name has"),
        (area("infopv:ca://"), "a PV's name has 1 to 200 characters"),
        (Item("/S/a/x y", LEAF), "characters that no PV's name has"),
        (Item("/S/a/x\u202e", LEAF), "all of them printable"),
        (Item("/S" + "/a" * 60, LEAF), "deeper than 40 levels"),
        (Item("/S/x", LeafConfig(filter="a >>")), "filter 'a >>': column 4"),
        (Item("/S/x", LeafConfig(delay=-1)), "must not be negative"),
        (Item("/S/x", LeafConfig(actions=(Action("", "mailto:a@b.c", -1),))), "its delay is negative"),
    ],
)
def test_items(item, problem):
    found = check_item(item)
    if problem:
        assert len(found.problems) == 1 and problem in found.problems[0]
        assert found.problems[0].startswith(f"{item.path}: ")
    else:
        assert not found.problems


@pytest.mark.parametrize("address", ["http://h:99999/x", "http://h:0/x", "ftp://h/x", "http://h", "/x"])
def test_webhooks_that_cannot_be_allowed(address):
    with pytest.raises(ValueError, match="webhook"):
        ActionsConfig(webhook=(address,))
