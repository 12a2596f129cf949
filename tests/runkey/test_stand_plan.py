"""The order of writing: no limit is violated on the way there or back, whatever is declared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from iocs.runkey.catalogues import Catalogue, Item
from iocs.runkey.compare import compare
from iocs.runkey.plan import CircleError, Put, dependents, in_levels, make_plan, order_of, way_back
from iocs.runkey.reading import Live, near, same
from iocs.runkey.settings import Setting, Value
from owlshift.ioc.config import circles


def item(pv: str, **options) -> Item:
    return Item(pv, "S", **options)


@st.composite
def stands(draw: st.DrawFn) -> tuple[dict[str, Item], dict[str, float], dict[str, float]]:
    """Items, what they are, and what they shall be. Each comes after some of those before it; some are limits of it."""
    count = draw(st.integers(1, 9))
    items: dict[str, Item] = {}
    for index in range(count):
        earlier = list(items)
        after = tuple(draw(st.lists(st.sampled_from(earlier), unique=True, max_size=4))) if earlier else ()
        limits = tuple(name for name in after if draw(st.booleans()))
        items[f"P{index}"] = item(f"P{index}", after=after, lower_first=limits)
    # an IOC whose order goes in a circle, for some way up or down, does not start
    after_of = {name: list(one.after) for name, one in items.items()}
    assume(not circles(after_of, {name: set(one.lower_first) for name, one in items.items()}))
    values = st.integers(0, 3).map(float)
    now = {name: draw(values) for name in items}
    wanted = {name: draw(values) for name in items}
    return items, now, wanted


def puts_of(items: Mapping[str, Item], now: Mapping[str, float], wanted: Mapping[str, float]) -> list[Put]:
    return [Put(items[name], now[name], wanted[name]) for name in items if now[name] != wanted[name]]


def check_order(levels: Sequence[Sequence[Put]], items: Mapping[str, Item]) -> None:
    """By the declarations alone, without what `plan` makes of them."""
    place = {put.pv: index for index, level in enumerate(levels) for put in level}
    change = {put.pv: put for level in levels for put in level}

    def must_follow(pv: str) -> Iterable[str]:
        """What is changed and comes before it, also through what stays as it is."""
        for name in items[pv].after:
            if goes_down(change.get(pv)) and name in items[pv].lower_first:
                continue
            if name in change:
                yield name
            else:
                yield from must_follow(name)

    for pv, put in change.items():
        for name in must_follow(pv):
            assert place[name] < place[pv], f"{pv} is put before {name}"
        for name in items[pv].lower_first:
            if goes_down(put) and name in change:
                assert place[pv] < place[name], f"{pv} goes down after its limit {name}"


def goes_down(put: Put | None) -> bool:
    return put is not None and isinstance(put.old, float) and isinstance(put.new, float) and put.new < put.old


@settings(max_examples=300, deadline=None)
@given(stands())
def test_no_dependency_is_violated_and_each_is_put_once(stand):
    items, now, wanted = stand
    puts = puts_of(items, now, wanted)
    levels = in_levels(puts, items)
    flat = [put for level in levels for put in level]
    assert sorted(put.pv for put in flat) == sorted(put.pv for put in puts)
    assert [put.number for put in flat] == list(range(len(flat)))
    check_order(levels, items)


@settings(max_examples=300, deadline=None)
@given(stands(), st.integers(0, 9))
def test_the_way_back_is_the_inverse_and_as_safe(stand, stop):
    """Written up to any put, and taken back: all is as before, in an order that is right for the way back."""
    items, now, wanted = stand
    levels = in_levels(puts_of(items, now, wanted), items)
    written = [put for level in levels for put in level][:stop]
    state = dict(now)
    for put in written:
        assert isinstance(put.new, float)
        state[put.pv] = put.new
    back = in_levels(way_back(written), items)
    check_order(back, items)
    for level in back:
        for put in level:
            assert put.old == state[put.pv] and isinstance(put.new, float)
            state[put.pv] = put.new
    assert state == now


def test_a_voltage_never_meets_a_limit_below_it():
    """All ways of VSet and VMax between four values: VSet is never above VMax on the way."""
    items = {"VMax": item("VMax"), "VSet": item("VSet", after=("VMax",), lower_first=("VMax",))}
    for a in range(4):
        for b in range(a, 4):
            for c in range(4):
                for d in range(c, 4):
                    state = {"VSet": float(a), "VMax": float(b)}
                    puts = puts_of(items, state, {"VSet": float(c), "VMax": float(d)})
                    for level in in_levels(puts, items):
                        for put in level:
                            assert isinstance(put.new, float)
                            state[put.pv] = put.new
                            assert state["VSet"] <= state["VMax"], (a, b, c, d)


def test_a_pv_that_is_written_twice_goes_back_once_to_what_it_was_first():
    one = item("A")
    back = way_back([Put(one, 1.0, 2.0, 0), Put(item("B"), None, 3.0, 1), Put(one, 7.0, 2.0, 2)])
    assert [(put.pv, put.old, put.new) for put in back] == [("A", 2.0, 1.0)], "B had no value before"


@pytest.mark.parametrize(
    ("item_type", "stored_type", "value", "kind"),
    [
        ("long", "double", 3.5, "type"),
        ("long", "double", float("nan"), "type"),
        ("long", "double", float("inf"), "type"),
        ("long", "double", 4.0, "value"),
        ("double", "long", 4, "value"),
        ("double", "string", "4", "type"),
        ("doubles", "doubles", [1.0] * 4, "type"),
        ("text", "text", "x" * 4, "type"),
    ],
)
def test_a_pv_of_another_type(item_type, stored_type, value, kind):
    one = item("A", type=item_type, count=3)
    now = Live("A", 3 if item_type == "long" else 3.0, 0, writable=True)
    found = compare([Setting("A", stored_type, value)], Catalogue({"A": one}, {"S": ""}), {"A": now})
    assert [difference.kind for difference in found.items] == [kind]


def test_dependencies_hold_through_what_stays_as_it_is():
    items = {"A": item("A"), "B": item("B", after=("A",)), "C": item("C", after=("B",))}
    levels = in_levels(puts_of(items, {"A": 0.0, "C": 0.0, "B": 1.0}, {"A": 1.0, "C": 1.0, "B": 1.0}), items)
    assert [[put.pv for put in level] for level in levels] == [["A"], ["C"]]
    assert dependents(["A"], items) == {"B", "C"}


def test_a_circle_is_a_refusal():
    items = {"A": item("A", after=("B",)), "B": item("B", after=("A",))}
    puts = puts_of(items, {"A": 0.0, "B": 0.0}, {"A": 1.0, "B": 1.0})
    assert order_of(puts, items) == {"A": {"B"}, "B": {"A"}}
    with pytest.raises(CircleError, match="A, B"):
        in_levels(puts, items)
    plan = plan_for(items, {"A": 0.0, "B": 0.0}, {"A": 1.0, "B": 1.0})
    assert not plan.levels and "circle" in plan.as_text()


def plan_for(items: Mapping[str, Item], now: Mapping[str, Value], wanted: Mapping[str, Value], blockers=None):
    catalogue = Catalogue(items, {"S": ""})
    live = {name: Live(name, value, 0, writable=True, setpoint=value) for name, value in now.items()}
    stored = [Setting(name, items[name].type, value) for name, value in wanted.items()]
    return make_plan(compare(stored, catalogue, live), stored, catalogue, live, blockers or {})


def test_what_does_not_differ_is_not_written():
    items = {"A": item("A", tolerance=0.05), "B": item("B", relative=0.01), "C": item("C", type="string")}
    now: dict[str, Value] = {"A": 1.0, "B": 1000.0, "C": "x"}
    assert plan_for(items, now, {"A": 1.05, "B": 1009.0, "C": "x"}).levels == ()
    assert [put.pv for put in plan_for(items, now, {"A": 1.06, "B": 1011.0, "C": "y"}).puts] == ["A", "B", "C"]


@pytest.mark.parametrize(
    ("options", "value", "reason"),
    [
        ({"control": (0.0, 10.0)}, 10.5, "10.5 is outside of its limits 0…10"),
        ({"control": (None, 10.0)}, 11.0, "11 is outside of its limits …10"),
        ({"blocked_by": {"L": "Yes"}}, 2.0, "blocked: L is Yes"),
        ({"blocked_by": {"M": "LOCAL"}}, 2.0, "M, which can block it, cannot be read"),
        ({}, float("nan"), "nan is no setting"),
        ({"type": "doubles", "count": 3, "control": (0.0, 1.0)}, [0.0, 5.0], "5 is outside"),
    ],
)
def test_refusals(options, value, reason):
    now: Value = [0.0] if isinstance(value, list) else 1.0
    plan = plan_for({"A": item("A", **options)}, {"A": now}, {"A": value}, {"L": "Yes", "M": None})
    assert not plan.levels and len(plan.refusals) == 1 and reason in plan.refusals[0]
    assert plan.as_dict()["refusals"] == list(plan.refusals)


def test_a_lock_that_is_open_blocks_nothing():
    plan = plan_for({"A": item("A", blocked_by={"L": "Yes"})}, {"A": 1.0}, {"A": 2.0}, {"L": "No"})
    assert [put.pv for put in plan.puts] == ["A"]
    assert plan.as_dict()["levels"][0][0]["old"] == 1.0


@given(st.floats(allow_nan=False), st.floats(allow_nan=False), st.floats(0, 1e6), st.floats(0, 1))
def test_near_is_symmetric_and_grows_with_the_tolerance(one, other, tolerance, relative):
    assert near(one, one, 0, 0)
    assert near(one, other, tolerance, relative) == near(other, one, tolerance, relative)
    if near(one, other, tolerance, relative):
        assert near(one, other, 2 * tolerance, relative)


def test_nan_and_arrays():
    assert near(float("nan"), float("nan"), 0, 0) and not near(float("nan"), 0.0, 1e9, 1)
    one = item("A", type="doubles", tolerance=0.1)
    assert same(one, [1.0, 2.0], [1.05, 2.0]) and not same(one, [1.0], [1.0, 2.0]) and not same(one, [1.0], 1.0)
    assert not same(one, None, None) and same(replace(one, type="enum"), "On", "On")
