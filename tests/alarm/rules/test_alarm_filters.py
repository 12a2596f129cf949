"""The language of filters: against an oracle, against garbage, and the facts about Phoebus' formulas."""

from __future__ import annotations

import math

import pytest
from filter_oracle import LEVELS, NAMES, Tree, compute, folded, trees, values, written
from hypothesis import example, given, settings
from hypothesis import strategies as st

from iocs.alarm.watch.filter_nodes import FUNCTIONS
from iocs.alarm.watch.filters import MAX_DEPTH, MAX_LENGTH, BadFilter, parse

ALPHABET = "ab1.0eE+-*/^%<>=!&|?:(),'`\" \t\nmax:M:Beam√\\{}[];#@$~_"


def same(a: float, b: float) -> bool:
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return a == b or math.isclose(a, b, rel_tol=1e-9)


@settings(deadline=None, max_examples=400)
@given(trees, st.fixed_dictionaries(dict.fromkeys(NAMES, values)), st.data())
def test_it_computes_what_the_oracle_computes(tree: Tree, known: dict[str, float], data: st.DataObject):
    text = written(tree, lambda options: data.draw(st.sampled_from(options)))
    try:
        found = parse(text)
    except BadFilter as error:
        assert "nested deeper" in error.reason or "longer" in error.reason, (text, error)
        return
    expected = compute(tree, known)
    assert same(found.root.value(known, False), expected), text
    assert found.evaluate(known) == (None if math.isnan(expected) else expected > 0)


@settings(deadline=None, max_examples=400)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 1.0, 2.0, 3.0]), st.sampled_from([one for one in LEVELS if one != "?"])),
        min_size=1,
        max_size=6,
    )
)
def test_operators_without_parentheses(pairs):
    operands, operators = [value for value, _ in pairs], [operator for _, operator in pairs[1:]]
    text = "".join(f" {op} {value:g}" for value, op in zip(operands, ["", *operators], strict=True))
    assert same(parse(text).root.value({}, False), compute(folded(operands, operators), {})), text


@settings(deadline=None, max_examples=400)
@given(
    trees,
    st.dictionaries(st.sampled_from(NAMES), st.one_of(st.none(), values)),
    st.fixed_dictionaries(dict.fromkeys(NAMES, values)),
)
def test_what_is_said_without_an_input_holds_whatever_it_is(tree, partly, others):
    """Unless the result depends on what is not connected, it is what it would be with any value of it."""
    found = parse_or_none(written(tree))
    if found is None:
        return
    verdict = found.evaluate(partly)
    if verdict is not None:
        full = others | {name: value for name, value in partly.items() if value is not None}
        assert found.evaluate(full) in (verdict, None)


@settings(deadline=None, max_examples=200)
@given(trees, st.dictionaries(st.sampled_from(NAMES), st.one_of(st.none(), st.just(math.nan), values)))
def test_compatible_always_decides(tree, partly):
    found = parse_or_none(written(tree))
    if found is not None:
        assert found.evaluate(partly, compatible=True) in (True, False)


def parse_or_none(text: str):
    try:
        return parse(text)
    except BadFilter:
        return None


@settings(deadline=None, max_examples=1500)
@given(st.one_of(st.text(ALPHABET, max_size=60), st.text(max_size=60)))
@example("(" * 5000)
@example("!" * 3999)
@example("a" + "?1:a" * 900)
@example("'" * 4001)
@example("max(" * 900)
@example("1e999999999")
def test_nothing_but_bad_filter(text: str):
    try:
        found = parse(text)
    except BadFilter as error:
        assert 1 <= error.column <= len(text) + 1 and error.reason and str(error).startswith("column ")
        return
    assert found.evaluate({}) in (True, False, None)
    assert found.evaluate(dict.fromkeys(found.names, 1.0), compatible=True) in (True, False)


@settings(deadline=None, max_examples=300)
@given(trees, st.data())
def test_nothing_but_bad_filter_near_a_good_one(tree: Tree, data: st.DataObject):
    text = written(tree)
    at = data.draw(st.integers(0, len(text)))
    kept = data.draw(st.integers(at, min(at + 3, len(text))))
    broken = text[:at] + data.draw(st.text(ALPHABET, max_size=3)) + text[kept:]
    found = parse_or_none(broken)
    if found is not None:
        found.evaluate({})


@pytest.mark.parametrize(
    "text",
    [
        "1" + "+1" * 1999,
        "1" + "-1" * 1900,
        "a" + "&&a" * 1300,
        "max(" + ",".join("1" * 999) + ")",
        "(" * MAX_DEPTH + "1" + ")" * (MAX_DEPTH - 1),
        "a*" * 1999 + "a",
        "1" * MAX_LENGTH,
        "'" + "x" * 3000 + "'",
    ],
)
def test_bounded_in_depth_and_length(text):
    """Neither a recursion without end nor one of more than linear effort."""
    found = parse_or_none(text)
    if found is not None:
        found.evaluate({"a": 1.0})


def test_longest_and_deepest_are_told():
    with pytest.raises(BadFilter, match="longer than"):
        parse("1" * (MAX_LENGTH + 1))
    with pytest.raises(BadFilter, match="nested deeper"):
        parse("(" * MAX_DEPTH + "1" + ")" * MAX_DEPTH)
    assert parse("(" * (MAX_DEPTH - 1) + "1" + ")" * (MAX_DEPTH - 1)).evaluate({}) is True


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2 * 3 ^ 2", 36),  # ^ binds like *
        ("2 ^ 3 ^ 2", 64),
        ("-2 ^ 2", 4),  # a sign belongs to its operand
        ("10 - 4 - 3", 3),
        ("7 % 4 * 2", 6),
        ("-7 % 4", -3),  # the sign of the first, as in Java
        ("1 || 0 && 0", 0),  # from the left to the right
        ("1 | 0 & 0", 0),
        ("0 & 0 | 1", 1),
        ("3 > 2 > 1", 0),  # 1 > 1
        ("1 + 1 == 2", 1),
        ("!0 + 1", 2),
        ("!(1 - 1)", 1),
        ("1 ? 0 ? 5 : 6 : 7", 6),
        ("0 ? 1 : 1 ? 2 : 3", 2),
        ("1 && 0 ? 5 : 6", 6),
        ("max(1, 5, 3) - MIN(2, 1)", 4),
        ("round(2.5) + round(-2.5)", 1),  # halves go up
        ("log(E) + sin(PI / 2)", 2),
        ("1 / 0", math.inf),
        ("-1 / 0", -math.inf),
        ("1e3 + .5 + 1.", 1001.5),
        ("exp(1000)", math.inf),
        ("pow(2, 10)", 1024),
        ("hypot(3, 4)", 5),
        ("0 ^ -1", math.inf),
        ("floor(1 / 0)", math.inf),
        ("sinh(-1000)", -math.inf),
        ("log(0)", -math.inf),
    ],
)
def test_precedence_and_arithmetic_are_those_of_phoebus(text, value):
    assert parse(text).root.value({}, False) == pytest.approx(value)


@pytest.mark.parametrize("text", ["0 / 0", "sqrt(-1)", "log(-1)", "acos(2)", "1 % 0", "(-8) ^ .5", "cos(1 / 0)"])
def test_what_has_no_value_does_not_disable(text):
    assert parse(text).evaluate({}) is None
    assert parse(text).evaluate({}, compatible=True) is False


@pytest.mark.parametrize(
    ("text", "verdict", "compatible"),
    [
        ("'Gone' > 0", None, False),
        ("'Gone'", None, False),
        ("'Gone' != 1", None, True),
        ("!'Gone'", None, False),
        ("a && 'Gone'", None, True),  # to Java, NaN is not 0
        ("z && 'Gone'", False, False),
        ("'Gone' && z", False, False),
        ("a || 'Gone'", True, True),
        ("'Gone' || z", None, True),
        ("'Gone' ? 1 : 1", True, True),
        ("'Gone' ? 1 : 0", None, False),
        ("'Gone' - 'Gone' == 0", None, False),
        ("max(a, 'Gone')", None, True),
        ("max('Gone', a)", None, False),
    ],
)
def test_an_input_that_is_gone(text, verdict, compatible):
    for gone in ({}, {"Gone": None}, {"Gone": math.nan}):
        found = parse(text)
        assert found.evaluate({"a": 1.0, "z": 0.0, **gone}) is verdict
        assert found.evaluate({"a": 1.0, "z": 0.0, **gone}, compatible=True) is compatible


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("DEMO:HV:L07:VMon > 5 && !Trip", {"DEMO:HV:L07:VMon", "Trip"}),
        ("'ca://A-B{c}:x.VAL' + `it's`", {"ca://A-B{c}:x.VAL", "it's"}),
        ("A:B.SEVR == 0", {"A:B.SEVR"}),
        ("a ? b : c", {"a", "b", "c"}),
        ("a ? b:c : d", {"a", "b:c", "d"}),
        ("a-b", {"a", "b"}),
        ("E + PI", set()),
        ("'E' + e", {"E", "e"}),
        ("max + 1", {"max"}),
        ("'true'", {"true"}),
    ],
)
def test_names(text, names):
    assert parse(text).names == names


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("", 1, "empty"),
        ("   ", 4, "empty"),
        ("a >", 4, "ends where a value"),
        ("(a > 1", 7, "where ')' should follow"),
        ("a > 1)", 6, "where an operator"),
        ("a = 1", 3, "single '='"),
        ("a == 'b", 6, "quote that is not closed"),
        ('a == "on"', 6, "texts cannot be compared"),
        ("a and b", 3, "write &&"),
        ("a > 1;", 6, "';' has no meaning"),
        ("2K:Temp > 1", 1, "begins with a digit"),
        ("1 2", 3, "where an operator"),
        ("''", 1, "without a name"),
        ("'a\nb'", 1, "cannot be the name"),
        ("true", 1, "write 1"),
        ("False", 1, "write 0"),
        ("rnd(1)", 1, "unknown function 'rnd'"),
        ("__import__('os')", 1, "unknown function"),
        ("sqrt()", 1, "1 argument, not 0"),
        ("1 + pow(2)", 5, "2 arguments, not 1"),
        ("min(1)", 1, "two arguments or more"),
        ("max(1,", 7, "ends where a value"),
        ("a ? 1", 6, "':'"),
        ("a.b.", 4, "'.' has no meaning"),
        ("[a]", 1, "'[' has no meaning"),
    ],
)
def test_refused_with_column_and_reason(text, column, reason):
    with pytest.raises(BadFilter) as caught:
        parse(text)
    assert caught.value.column == column and reason in caught.value.reason, str(caught.value)


@pytest.mark.parametrize(
    ("text", "warning"),
    [("a || b && c", "left to the right"), ("1 < a < 3", "comparisons in a row"), ("a % 2", "%"), ("2*a^2", "^ binds")],
)
def test_what_may_surprise_is_told(text, warning):
    assert any(warning in one for one in parse(text).warnings)
    assert parse("(a || b) && c && a < 2 * (a ^ 2)").warnings == ()


def test_every_function_takes_its_arguments():
    for name, (_, wanted) in FUNCTIONS.items():
        arguments = ", ".join(["0.5"] * min(wanted, 3))
        assert not math.isnan(parse(f"{name}({arguments})").root.value({}, False)), name
        for given_value in (1e308, -1e308, 0.0, math.inf, -math.inf):
            parse(f"{name}({', '.join(['x'] * min(wanted, 3))})").evaluate({"x": given_value})
