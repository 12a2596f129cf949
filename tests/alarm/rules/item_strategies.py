"""Trees of items for hypothesis, in the order in which a file has them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from iocs.alarm.tree.items import Action, AreaConfig, Extras, Item, LeafConfig, Link
from iocs.alarm.tree.paths import make_path, split_path

LETTERS = "abzAZ019:-_.{}()/\\'\"<>&;#é€😀"
text = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], include_characters="\t\n\r"), max_size=12)
text = text.filter(lambda one: "\ufffe" not in one and "\uffff" not in one)


def _name(one: str) -> bool:
    return not one.startswith("/") and not one.endswith("\\") and split_path(make_path("", one)) == [one]


pv_names = st.text(LETTERS, min_size=1, max_size=20).filter(
    lambda one: not one.startswith("/") and "://" not in one and _name(one)
)
area_names = st.text(LETTERS + " ", min_size=1, max_size=12).filter(
    lambda one: not one.startswith("/") and one.isprintable() and _name(one)
)
links = st.lists(st.builds(Link, text, text), max_size=1).map(tuple)
details = st.sampled_from([
    "mailto:a@b.c,d@e.f", "sevrpv:A:B", "infopv:ca://X.VAL$", "cmd:prog * <a> 'b c'", "webhook:https://host/x?y=1&z=2",
])  # fmt: skip
actions = st.lists(st.builds(Action, text, details, st.integers(0, 100_000)), max_size=1).map(tuple)
filters = st.sampled_from(["", "", "a > 0", "'x y' < 3 && !B", " 1 "])
moments = st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


def _leaf(until: datetime | None, enabled: bool, **others: Any) -> LeafConfig:
    return LeafConfig(enabled=enabled and until is None, disabled_until=until, **others)


leaf_configs = st.builds(
    _leaf,
    until=st.one_of(st.none(), st.none(), moments),
    enabled=st.booleans(),
    description=text,
    latching=st.booleans(),
    annunciating=st.booleans(),
    delay=st.integers(0, 2**31 - 1),
    count=st.integers(0, 2**31 - 1),
    filter=filters,
    guidance=links,
    displays=links,
    commands=links,
    actions=actions,
)
area_configs = st.builds(AreaConfig, links, links, links, actions)
seconds = st.one_of(st.integers(0, 10_000_000).map(float), st.floats(0, 1e7))
plain = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], include_characters="\t\n"), max_size=12)
extras = st.builds(
    Extras,
    priority=st.sampled_from(["low", "medium", "high"]),
    response_time=seconds,
    rationale=plain,
    corrective_action=plain,
    off_delay=seconds,
    masked_by=st.sampled_from(["", "/S/A", "/S/a\\/b"]),
    modes=st.lists(plain, max_size=3).map(tuple),
    screen=plain,
)
configs = st.one_of(leaf_configs, leaf_configs, area_configs)


@st.composite
def trees(draw: st.DrawFn) -> list[Item]:
    """The items of a tree whose root is `S`, each area before what is in it and that before the next."""
    root = draw(area_configs)
    below: dict[str, list[Item]] = {"/S": []}
    pvs: set[str] = set()
    for _ in range(draw(st.integers(0, 5))):
        parent = draw(st.sampled_from(sorted(below)))
        config = draw(configs)
        name = draw(pv_names if isinstance(config, LeafConfig) else area_names)
        path = make_path(parent, name)
        if name in pvs or any(item.path == path for item in below[parent]):
            continue
        below[parent].append(Item(path, config))
        if isinstance(config, LeafConfig):
            pvs.add(name)
        else:
            below[path] = []
    found = [Item("/S", root)] if root != AreaConfig() else []

    def walk(path: str) -> None:
        for item in below.get(path, ()):
            found.append(item)
            walk(item.path)

    walk("/S")
    return found
