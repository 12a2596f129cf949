"""Names of PVs, and what is put to `Shelve`: without any process."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iocs.alarm.configuration import FILE, Configuration
from iocs.alarm.pvs.names import LONGEST_ATTRIBUTE, PvNames
from iocs.alarm.pvs.pvs import AlarmPvs, AreaPvs, RootPvs
from iocs.alarm.pvs.shelving_text import parse_shelve, shelve_text
from iocs.alarm.tree.clock import SECOND, VirtualClock
from iocs.alarm.tree.events import Person
from iocs.alarm.tree.items import AreaConfig, Item, LeafConfig, Link
from iocs.alarm.tree.paths import make_path
from iocs.alarm.tree.tree import AlarmTree

NOW = 1_800_000_000 * SECOND
WHO = Person("anna", "console")


def tree_of(*paths: str) -> AlarmTree:
    tree = AlarmTree("DEMO", VirtualClock())
    tree.load([Item(path, LeafConfig(description="x")) for path in paths])
    return tree


def names_of(tree: AlarmTree) -> PvNames:
    names = PvNames("DEMO:ALM:", "DEMO:")
    names.name_all(tree.root)
    return names


def test_names_follow_the_rule() -> None:
    tree = tree_of("/DEMO/HV/L07/DEMO:HV:L07:IMon", "/DEMO/Vacuum pump/ca:\\/\\/LAB:P{1}")
    names = names_of(tree)
    found = {node.path: names.prefix_of(node) for node in (*tree.areas(), *tree.leaves())}
    assert found == {
        "/DEMO": "DEMO:ALM",
        "/DEMO/HV": "DEMO:ALM:HV",
        "/DEMO/HV/L07": "DEMO:ALM:HV:L07",
        "/DEMO/HV/L07/DEMO:HV:L07:IMon": "DEMO:ALM:HV:L07:IMon",
        "/DEMO/Vacuum pump": "DEMO:ALM:Vacuum_pump",
        "/DEMO/Vacuum pump/ca:\\/\\/LAB:P{1}": "DEMO:ALM:LAB:P_1_",
    }


def test_what_is_taken_too_long_or_reserved_has_a_hash() -> None:
    long = "/DEMO/" + "/".join(["a" * 20] * 5) + "/X"
    tree = tree_of("/DEMO/HV/DEMO:HV", "/DEMO/A/IOC:State", long)
    names = names_of(tree)
    assert names.name(tree.root.nodes["HV"]) == "HV"
    for path in ("/DEMO/HV/DEMO:HV", "/DEMO/A/IOC:State"):
        node = tree.find(path)
        assert node is not None
        assert re.fullmatch(r"(HV|IOC:State)-[0-9a-f]{8}", names.name(node))
        assert names.node(names.name(node)) is node
    every = [names.prefix_of(node) for node in (*tree.areas(), *tree.leaves())]
    assert len(set(every)) == len(every)
    assert max(map(len, every)) + 1 + LONGEST_ATTRIBUTE <= 60


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\\"), min_size=1, max_size=70).filter(
    lambda text: text.strip() and not text.startswith("ca:")
)


@given(st.lists(st.lists(NAMES, min_size=1, max_size=5), max_size=8))
def test_every_item_has_a_name_of_its_own(paths: list[list[str]]) -> None:
    tree = AlarmTree("DEMO", VirtualClock())
    for path in paths:
        whole = "/DEMO"
        for name in path:
            whole = make_path(whole, name)
        try:
            tree.put(Item(whole, LeafConfig()), WHO)
        except ValueError:
            continue
    names = names_of(tree)
    nodes = [*tree.areas(), *tree.leaves()]
    found = {names.name(node): node for node in nodes}
    assert len(found) == len(nodes)
    for name, node in found.items():
        assert names.node(name) is node
        assert re.fullmatch(r"[A-Za-z0-9_:-]*", name)
        assert len(names.prefix_of(node)) + 1 + LONGEST_ATTRIBUTE <= 60
    for node in nodes[1:]:
        names.drop(node.path)
    assert [name for name in found if names.node(name) is not None] == [""]


def test_no_attribute_is_longer_than_there_is_room() -> None:
    assert max(len(name) for kind in (AreaPvs, AlarmPvs) for name in kind.declarations) == LONGEST_ATTRIBUTE
    assert set(AreaPvs.declarations) <= set(RootPvs.declarations)


@pytest.mark.parametrize(
    ("text", "seconds", "why", "once"),
    [
        ("10m the cable", 600, "the cable", False),
        ("1h30m  two   words ", 5400, "two words", False),
        ("2D x", 172800, "x", False),
        ("90s x", 90, "x", False),
        ("ONCE x", None, "x", True),
    ],
)
def test_what_shelves(text: str, seconds: int | None, why: str, once: bool) -> None:
    wish = parse_shelve(text, NOW)
    assert wish is not None
    assert (wish.why, wish.one_shot) == (why, once)
    assert wish.until_ns == (None if seconds is None else NOW + seconds * SECOND)
    again = parse_shelve(shelve_text(wish.until_ns, wish.why, wish.one_shot), NOW)
    assert again == wish


def test_nothing_unshelves() -> None:
    assert parse_shelve("", NOW) is None
    assert parse_shelve("  \n", NOW) is None


@given(st.text(max_size=60))
def test_any_text_means_something_or_is_refused_with_a_reason(text: str) -> None:
    try:
        wish = parse_shelve(text, NOW)
    except ValueError as error:
        assert str(error)
    else:
        assert wish is None or wish.why


IMON = "/DEMO/HV/DEMO:HV:IMon"


def item(description: str = "declared", **more: object) -> Item:
    return Item(IMON, LeafConfig(description=description, **more))  # pyright: ignore[reportArgumentType]


def test_an_alarm_that_is_only_disabled_still_follows_its_catalogue() -> None:
    one = Configuration("DEMO")
    one._declared = {"DEMO:HV:IMon": item()}
    one.configured(item(enabled=False), WHO)
    assert one.changed == {IMON: {"enabled": False, "disabled_until": None}}
    assert not one.claimed("DEMO:HV:IMon")
    again = Configuration("DEMO")
    again.take_stored({path: document for path, document in one.changed.items() if document})
    assert again.load([item("new text")]) == [item("new text", enabled=False)]
    one.configured(item(), WHO)
    assert one.changed[IMON] is None


def test_operators_go_before_files_and_those_before_catalogues() -> None:
    one = Configuration("DEMO")
    one.take_files([item("from a file"), Item("/DEMO/HV", AreaConfig(guidance=(Link("a", "b"),)))])
    assert [found.config for found in one.load([item()]) if found.path == IMON] == [item("from a file").config]
    one.configured(item("by hand"), WHO)
    stored = {path: document for path, document in one.changed.items() if document}
    again = Configuration("DEMO")
    again.take_stored(stored)
    again.take_files([item("from a file")])
    assert again.load([item()]) == [item("by hand")]
    again.removed(IMON, WHO)
    assert again.changed[IMON] == {"deleted": True}
    third = Configuration("DEMO")
    third.take_stored({IMON: {"deleted": True}})
    third.take_files([item("from a file")])
    assert third.load([item()]) == []
    third.configured(item("from a file"), WHO)
    assert third.load([item()]) == [item("from a file")]


def test_what_files_and_catalogues_change_is_not_kept() -> None:
    one = Configuration("DEMO")
    for user in (FILE, "catalogue"):
        one.configured(item(), Person(user, "DEMO:HV:"))
        one.removed(IMON, Person(user, "DEMO:HV:"))
    assert not one.changed


def test_what_contradicts_is_left_out_and_told() -> None:
    one = Configuration("DEMO")
    one.take_files([Item("/DEMO/HV", LeafConfig())])
    assert one.load([item()]) == [Item("/DEMO/HV", LeafConfig())]
    assert one.problems == [f"a catalogue: {IMON}: /DEMO/HV is an alarm, nothing can be below it"]
