"""The payloads of a subsystem: what goes in comes out, equal settings are equal bytes, and anything else is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db.errors import BadInput
from iocs.runkey.catalogues import parse_catalogue
from iocs.runkey.settings import (
    LONG_MAX,
    LONG_MIN,
    Conditions,
    Setting,
    parse_conditions,
    parse_settings,
    render_conditions,
    render_settings,
    show_value,
)

NAMES = st.text(st.characters(codec="ascii", categories=("Lu", "Ll", "Nd"), include_characters=":_-"), min_size=1)
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
LONGS = st.integers(LONG_MIN, LONG_MAX)
SHORT = st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=39)
VALUES = st.one_of(
    st.tuples(st.just("double"), st.floats()),
    st.tuples(st.just("long"), LONGS),
    st.tuples(st.just("string"), SHORT),
    st.tuples(st.just("text"), WORDS),
    st.tuples(st.just("enum"), WORDS),
    st.tuples(st.just("doubles"), st.lists(st.floats(), max_size=4)),
    st.tuples(st.just("longs"), st.lists(LONGS, max_size=4)),
)
SETTINGS = st.builds(
    lambda pv, value, units, precision: Setting(pv, value[0], value[1], units, (), precision),
    NAMES,
    VALUES,
    st.text(max_size=7),
    st.none() | st.integers(0, 15),
)


def equal(one: object, other: object) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return repr(one) == repr(other)  # NaN is NaN, and -0 is not 0
    return type(one) is type(other) and one == other


@given(st.lists(SETTINGS, unique_by=lambda setting: setting.pv), st.randoms())
def test_round_trip_and_equal_bytes(items, random):
    raw = render_settings(items)
    found = parse_settings(raw)
    assert [one.pv for one in found] == sorted(one.pv for one in items)
    by_name = {one.pv: one for one in items}
    for one in found:
        before = by_name[one.pv]
        assert equal(one.value, before.value)
        assert (one.type, one.units, one.precision) == (before.type, before.units, before.precision)
    random.shuffle(items)
    assert render_settings(items) == raw == render_settings(found)
    json.loads(raw)  # strict JSON: no NaN


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
ENTRIES = st.dictionaries(
    st.sampled_from(["pv", "type", "value", "units", "states", "precision", "other"]),
    JSON | st.sampled_from(["double", "enum", "longs", "A:B"]),
)


@settings(max_examples=300)
@given(st.binary() | JSON.map(lambda one: json.dumps(one).encode()))
def test_anything_else_is_refused_with_words(raw):
    for parse in (parse_settings, parse_conditions):
        try:
            parse(raw)
        except BadInput as error:
            assert error.problems and all(error.problems)
    try:
        parse_catalogue(raw, "S")
    except ValueError as error:
        assert str(error)


@settings(max_examples=300)
@given(st.lists(ENTRIES | JSON, max_size=4))
def test_entries_that_are_wrong_are_all_told(entries):
    raw = json.dumps({"version": 1, "items": entries}).encode()
    try:
        found = parse_settings(raw, "monday/HV")
    except BadInput as error:
        assert all(problem.startswith("monday/HV: ") for problem in error.problems)
    else:
        assert len(found) == len(entries)
        render_settings(found)


@settings(max_examples=200)
@given(st.lists(ENTRIES | JSON, max_size=4), st.text(max_size=3))
def test_a_strange_catalogue(entries, key):
    pvs = [{**entry, "name": "X", "config": entry} if isinstance(entry, dict) else entry for entry in entries]
    try:
        parse_catalogue(json.dumps({"pvs": pvs, key: 1}), "S")
    except ValueError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"pv": "A", "type": "double"}, "items[0] A: value: is missing"),
        ({"pv": "A", "type": "double", "value": "1.0"}, "value: '1.0' is no number"),
        ({"pv": "A", "type": "double", "value": True}, "value: True is no number"),
        ({"pv": "A", "type": "long", "value": 2**31}, "is no whole number of 32 bits"),
        ({"pv": "A", "type": "long", "value": 1.0}, "is no whole number of 32 bits"),
        ({"pv": "A", "type": "enum", "value": 1}, "value: must be text"),
        ({"pv": "A", "type": "enum", "value": "Of", "states": ["Off", "On"]}, "'Of' is none of its states Off, On"),
        ({"pv": "A", "type": "string", "value": "x" * 40}, "39 bytes"),
        ({"pv": "A", "type": "float", "value": 1}, "type: 'float' is none of"),
        ({"pv": "A B", "type": "long", "value": 1}, "'A B' is no name of a PV"),
        ({"pv": "A", "type": "longs", "value": 1}, "must be a list of numbers"),
        ({"pv": "A", "type": "long", "value": 1, "unit": "V"}, "unknown key 'unit'"),
        ({"pv": "A", "type": "long", "value": 1, "precision": "2"}, "precision: must be a whole number"),
        ([], "items[0]: must be an object"),
    ],
)
def test_what_is_wrong_is_said_where(entry, reason):
    with pytest.raises(BadInput) as error:
        parse_settings(orjson.dumps({"version": 1, "items": [entry]}), "monday/HV")
    assert "monday/HV: items[0]" in str(error.value) and reason in str(error.value)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"{", "line 1: this is no JSON"),
        (b"[]", "must be an object"),
        (b'{"version":2,"items":[]}', "version: 2 is not known"),
        (b'{"version":1}', "items: must be a list"),
        (b'{"version":1,"items":[{"pv":"A","type":"long","value":1},{"pv":"A","type":"long","value":1}]}', "twice"),
    ],
)
def test_a_document_that_is_none(raw, reason):
    with pytest.raises(BadInput, match=reason):
        parse_settings(raw)


def test_a_pv_is_not_rendered_twice():
    with pytest.raises(ValueError, match="twice"):
        render_settings([Setting("A", "long", 1), Setting("A", "long", 1)])


def test_conditions_round_trip():
    conditions = Conditions(datetime.now(UTC), {"A": (2, 4, 123)}, {"B": "no server has it"}, {"A": 7.0})
    assert parse_conditions(render_conditions(conditions)) == conditions


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1880.0, "1880 V"),
        ([1.0] * 9, "[1, 1, 1, 1, … 9 elements] V"),
        (None, "unknown"),
        ("", "'' V"),
        ("x" * 100, "x" * 57 + "… V"),
    ],
)
def test_values_for_people(value, text):
    assert show_value(value, "V") == text
