"""What screens say, without Qt: words for states, catalogues, points of an archive, macros."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from screens import archive, catalogue
from screens.parts.hv_state import NO_CONTACT, OFFLINE, board_alarm, state_of, summary
from screens.registry import SCREENS, STYLE_SHEET, ScreenError, Subsystem, find, pack, unpack

STATES = (
    "Off On RampUp RampDown OverCurrent OverVoltage UnderVoltage MaxVoltage Trip OverPower OverTemperature Disabled "
    "Kill Interlock NotCalibrated"
).split()
WORDS = st.text(st.characters(codec="utf-8", exclude_characters=":"), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("name", "severity", "connected", "text", "key"),
    [
        ("Off", 0, True, "○ OFF", "off"),
        ("On", 0, True, "● ON", "on"),
        ("RampUp", 0, True, "▲ RAMPING", "ramping"),
        ("RampDown", 0, True, "▼ RAMPING", "ramping"),
        ("Trip", 2, True, "✖ TRIP", "fault"),
        ("Interlock", 2, True, "■ INTERLOCK", "fault"),
        ("OverCurrent", 1, True, "◆ OVER CURR", "warning"),
        ("On", 3, True, "? NO CONTACT", "invalid"),
        (None, 0, True, "? NO CONTACT", "invalid"),
        ("On", 0, False, "┅ OFFLINE", "disconnected"),
        ("On", 2, True, "● ON", "fault"),
        ("SomethingElse", 1, True, "◆ SOMETHINGE", "warning"),
    ],
)
def test_a_state_has_a_word_a_symbol_and_the_colour_of_its_severity(name, severity, connected, text, key) -> None:
    state = state_of(name, severity, connected)
    assert (state.text, state.key) == (text, key)


@given(st.one_of(st.none(), st.sampled_from(STATES), st.text(max_size=40)), st.integers(0, 4), st.booleans())
def test_every_state_has_a_colour_in_the_style_sheet(name, severity, connected) -> None:
    state = state_of(name, severity, connected)
    assert f'QLabel[role="state"][state="{state.key}"]' in STYLE_SHEET.read_text(encoding="utf-8")
    assert state.symbol and len(state.word) <= 10
    assert connected or state == OFFLINE
    assert not connected or severity < 3 or state == NO_CONTACT


def test_the_summary_counts_and_shouts_only_what_is_wrong() -> None:
    states = [state_of("On", 0, True)] * 20 + [state_of("Trip", 2, True)] + [state_of("Off", 0, True)] * 3
    assert summary(states) == "20 on · 1 TRIP · 3 off"
    assert summary([]) == ""


def test_a_boards_alarm_word_is_named() -> None:
    assert board_alarm(0) == "none"
    assert board_alarm(0b0001111) == "CH 0-3"
    assert board_alarm(0b0010100) == "CH 2 PWFAIL"


@given(st.dictionaries(WORDS, st.lists(WORDS, min_size=1, max_size=5, unique=True), max_size=8))
def test_a_catalogue_gives_objects_and_attributes_in_order(objects: dict[str, list[str]]) -> None:
    names = [f"S:HV:{owner}:{attribute}" for owner, attributes in objects.items() for attribute in attributes]
    found = catalogue.parse(json.dumps({"pvs": [{"name": name} for name in names]}), "S:HV:")
    assert {owner: list(attributes) for owner, attributes in found.objects.items()} == objects
    for owner, attributes in objects.items():
        assert owner in found.having(*attributes)


@given(st.one_of(st.text(), st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps)))
def test_what_is_no_catalogue_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        catalogue.parse(text, "S:HV:")


def test_entries_that_are_none_are_passed_over() -> None:
    text = json.dumps({"pvs": [None, 3, {}, {"name": 5}, {"name": "OTHER:X:Y"}, {"name": "S:HV:Mult"}]})
    assert catalogue.parse(text, "S:HV:").objects == {"": ("Mult",)}


@given(st.lists(st.builds(Subsystem, WORDS, WORDS, WORDS), max_size=4))
def test_subsystems_survive_the_macro(subsystems: list[Subsystem]) -> None:
    assert unpack(pack(subsystems)) == subsystems


@pytest.mark.parametrize("text", ["", "{", "[1]", '[["a"]]', '{"a": 1}', "null"])
def test_a_wrong_macro_is_told(text: str) -> None:
    with pytest.raises(ScreenError, match="SUBSYSTEMS"):
        unpack(text)


def test_a_screen_that_is_missing_something_says_what() -> None:
    with pytest.raises(ScreenError, match=r"no screen 'xv'; there are top, hv, hv_channel"):
        find("xv")
    with pytest.raises(ScreenError, match="needs the macro CH"):
        SCREENS["hv_channel"].check({"P": "DEMO:HV:"})


def event(seconds: int, value: object, nanos: int = 0, **more: object) -> dict[str, object]:
    return {"secs": seconds, "nanos": nanos, "val": value, "severity": 0, "status": 0} | more


def test_archived_points_have_their_full_time_and_gaps_where_nobody_vouches() -> None:
    answer = [
        {
            "data": [
                event(100, 1.0, 250_000_000),
                event(101, 2.0, severity=3),
                event(105, 3, fields={"cnxlostepsecs": "103", "cnxregainedepsecs": "105"}),
                event(106, "Off"),
            ]
        }
    ]
    points = archive.points_of(answer)
    np.testing.assert_array_equal(points[0], [100.25, 101, 103, 105, 106])
    np.testing.assert_array_equal(points[1], [1.0, math.nan, math.nan, 3.0, math.nan])


@pytest.mark.parametrize("answer", [[], [{}], [{"data": []}]])
def test_an_archive_that_has_nothing_gives_no_points(answer: list) -> None:
    assert archive.points_of(answer).shape == (2, 0)
