"""What the runkey screens make of JSON, reports and pixel maps, without Qt."""

from __future__ import annotations

import json

import fake_owl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from screens.parts.runkey_changes import read_difference
from screens.parts.runkey_data import Node, Runkey, read_list, read_tree, scalar_text, size_text
from screens.parts.runkey_maps import LAYERS, difference, layer, read_pixels, summary
from screens.parts.runkey_report import kind_of, read_names, read_report, state_of
from screens.parts.words import read, when

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["runkeys", "a", "b", "path", "root"]), inner),
    max_leaves=20,
)


def test_the_list_says_where_when_who_and_why() -> None:
    runkeys, databases = read(read_list, {"runkeys": fake_owl.SOME, "databases": [{"where": "backend", "ok": False}]})
    first = runkeys[0]
    assert (first.name, first.where, first.author, first.tags) == (
        "cosmics 12",
        "staging",
        "anna@daq1",
        ("physics", "good"),
    )
    assert first.matches(["cosm", "1019"]) and first.matches(["good"]) and not first.matches(["cosm", "11"])
    assert not databases[0].ok


def test_a_tree_knows_what_was_left_out() -> None:
    document = {"runkey": fake_owl.SOME[0], "objects": 25, "root": fake_owl.cut(fake_owl.tree(""), 2)}
    tree = read(read_tree, document)
    assert tree.objects == 25
    board = tree.root.find("/FELIX1/OB1")
    assert board is not None and (board.children, board.more, board.below()) == ([], 4, 4)
    assert [node.path for node in tree.root.walk()][:3] == ["/", "/FELIX1", "/FELIX1/OB1"]
    assert board.parent is tree.root.children[0] and board.row == 0


@pytest.mark.parametrize("reader", [read_list, read_tree, read_difference])
@given(document=anything)
def test_another_form_is_one_line(reader, document) -> None:
    try:
        read(reader, document)
    except ValueError as error:
        assert "\n" not in str(error)


@given(text=st.text())
def test_any_report_can_be_shown(text: str) -> None:
    report = read_report(text)
    for row in report.rows:
        assert len(row) == 4
        kind_of(row)


def test_lines_of_a_comparison_are_rows() -> None:
    text = (
        "Comparison of 'x' by anna@daq1 at 2026-11-21T02:05:00Z\n"
        f"Runkey: revision 3, hash {'ab' * 32}\n"
        "Result: 5 of 96 settings differ\n"
        "  DEMO:HV:L07:VSet: is 1750.0 V, shall be 1800.0 V\n"
        "  DEMO:HV:L08:VSet: is 0.0 V, shall be 1800.0 V (asked for 1800.0 V)\n"
        "  DEMO:HV:F:Serial: is 3, shall be 4; it cannot be written\n"
        "  DEMO:HV:L09:ISet: shall be 50 uA, and cannot be read: no answer\n"
        "  SIPM: not compared: no catalogue\n"
    )
    report = read_report(text)
    assert report.head[0].startswith("Comparison of 'x'")
    assert "abababababab…" in report.title and "ab" * 32 not in report.title
    assert report.rows == (
        ("DEMO:HV:L07:VSet", "1750.0 V", "1800.0 V", ""),
        ("DEMO:HV:L08:VSet", "0.0 V", "1800.0 V", "asked for 1800.0 V"),
        ("DEMO:HV:F:Serial", "3", "4", "it cannot be written"),
        ("DEMO:HV:L09:ISet", "", "", "shall be 50 uA, and cannot be read: no answer"),
        ("", "", "", "SIPM: not compared: no catalogue"),
    )
    assert [kind_of(row) for row in report.rows] == ["", "", "warning", "gone", "gone"]


def test_lines_of_a_plan_have_their_step() -> None:
    text = (
        "Dry run of 'x'\nResult: Apply would write 2 settings in 2 steps\nlevel 1 of 2:\n"
        "  D:HV:L01:MaxV: 2000 V -> 2500 V\nlevel 2 of 2:\n  D:HV:L01:Pw: Off -> On\n"
        "left: D:HV:F:Serial: is 3, shall be 4; it cannot be written"
    )
    rows = read_report(text).rows
    assert rows[0] == ("D:HV:L01:MaxV", "2000 V", "2500 V", "step 1 of 2")
    assert rows[1] == ("D:HV:L01:Pw", "Off", "On", "step 2 of 2")
    assert rows[2] == ("D:HV:F:Serial", "3", "4", "left, it cannot be written")


@pytest.mark.parametrize(
    ("name", "severity", "connected", "text"),
    [
        ("Idle", 0, True, "○ IDLE"),
        ("Applying", 0, True, "▶ APPLYING"),
        ("RollingBack", 1, True, "◀ ROLLING BACK"),
        ("Failed", 2, True, "✖ FAILED"),
        ("Offline", 3, True, "? NO DATABASE"),
        ("Applying", 0, False, "┅ DISCONNECTED"),
        ("", 0, True, "? NO CONTACT"),
        ("Dreaming", 0, True, "◆ DREAMING"),
    ],
)
def test_states_have_a_symbol_and_a_word(name: str, severity: int, connected: bool, text: str) -> None:
    assert state_of(name, severity, connected).text == text


def test_names_of_the_list_pv() -> None:
    names, more = read_names(json.dumps({"runkeys": fake_owl.SOME, "more": 7}))
    assert (names[0].name, more) == ("cosmics 12", 7)
    assert read_names("[]") == ([], 0)
    with pytest.raises(ValueError):
        read_names("{")


def test_layers_of_a_pixel_map() -> None:
    pixels = np.zeros((2, 3), np.uint8)
    pixels[1, 2] = 0b1111_1001
    pixels[0, 1] = 0b0001_0110
    assert [int(layer(pixels, name)[1, 2]) for name in LAYERS] == [-15, 1, 0, 0]
    assert [int(layer(pixels, name)[0, 1]) for name in LAYERS] == [2, 0, 1, 1]
    assert summary(pixels, "Enable") == "Enable: 1 of 6 pixels (16.67 %)"
    assert "TDAC mean -2.17" in summary(pixels, "TDAC")
    back = read_pixels(pixels.tobytes(), {"cols": 2, "rows": 3})
    assert (back == pixels).all()
    for meta in ({}, {"cols": 2}, {"cols": 3, "rows": 3}, {"cols": -2, "rows": -3}, {"cols": "x", "rows": 1}):
        with pytest.raises(ValueError):
            read_pixels(pixels.tobytes(), meta)


def test_how_two_maps_differ() -> None:
    before = np.full((4, 5), 0b0000_1001, np.uint8)
    after = before.copy()
    after[0, 0] ^= 1
    after[1, 1] = 0b1000_1001
    found = difference(before, after)
    assert found.pixels == 2
    assert found.counts == {"TDAC": 1, "Enable": 1, "InjEn": 0, "Hitbus": 0}
    assert found.text == "2 pixels differ: TDAC 1, Enable 1, TDAC by -2.00 ± 0.00"
    assert difference(before, before).text == "no pixel differs"
    with pytest.raises(ValueError):
        difference(before, after[:2])


def test_a_difference_is_grouped_by_payload(capsys: pytest.CaptureFixture[str]) -> None:
    assert fake_owl.diff(fake_owl.SOME[0], fake_owl.SOME[1], "") == 1
    found = read(read_difference, json.loads(capsys.readouterr().out))
    groups = {(group.path, group.what): group for group in found.groups}
    assert groups["/FELIX1/OB1/FE0", "config"].summary == "3 values"
    assert groups["/FELIX1/OB1/FE0", "pixels"].summary == "5,004 pixels (enable 4, tdac 5,000)"
    assert groups["/FELIX1/OB1/FE2", "place"].summary == "enable: 1 → 0"
    assert groups["/HV", "setpoints"].rows[0] == ("DEMO:HV:L01:VSet [V]", "1800", "1750.5")
    assert groups["/FELIX2/OB9", "object"].rows == [("only in B", "—", "optoboard with 5 objects")]
    assert groups["/module 7", "object"].rows == [("only in A", "module", "—")]
    assert groups["12 objects alike", "config"].summary == "GlobalConfig.DiffTh1L: 250 → 260"
    assert found.text.startswith("10 objects differ (1 only in A, 5 only in B): 3 registers, 1 pixel map")
    assert "7 more changes" in found.text


def test_small_words() -> None:
    assert when("2026-11-21T09:55:27.832965Z")[4:5] == "-" and when("yesterday") == "yesterday"
    assert [size_text(n) for n in (0, 999, 1500, 153_600, 2_000_000_000)] == [
        "0 B",
        "999 B",
        "1.5 kB",
        "154 kB",
        "2.0 GB",
    ]
    assert [scalar_text(v) for v in (None, True, 1.5, [1, 2], {"a": 1})] == ["null", "true", "1.5", "[1, 2]", "{1}"]
    assert Node.of({"path": "/x"}).name == "" and Runkey.of({"name": "x"}).where == "staging"
