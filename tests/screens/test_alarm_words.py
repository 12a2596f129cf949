"""What alarm screens make of JSON and of what is typed, without Qt windows."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import alarm_documents as documents
import pytest
from hypothesis import given
from hypothesis import strategies as st

from screens.parts.alarm_data import (
    Alarm,
    LogQuery,
    Node,
    parent_of,
    read_active,
    read_log,
    read_shelves,
    read_tree,
    short_path,
    thin_out,
)  # fmt: skip
from screens.parts.alarm_figures_data import number, percent, read_figures
from screens.parts.alarm_links import alarm_server, helping_screen, links
from screens.parts.alarm_log_view import arguments, row_of
from screens.parts.alarm_look import LOOKS, NUMBERS, look_of
from screens.parts.alarm_time import span_text
from screens.parts.words import read
from screens.registry import STYLE_SHEET, Subsystem, pack

KEYS = ["alarms", "events", "shelves", "path", "pv", "severity", "children", "time", "kind", "series", "flood", "name"]
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=20,
)


@pytest.mark.parametrize("reader", [read_active, read_log, read_shelves, read_tree, read_figures])
@given(document=anything)
def test_what_has_another_form_is_one_line_and_no_crash(reader, document) -> None:
    try:
        read(reader, document)
    except ValueError as error:
        assert "\n" not in str(error)[:100]


def test_every_severity_has_shape_word_colour_and_a_rank_of_its_own() -> None:
    assert set(NUMBERS) == set(LOOKS)
    assert (
        len({look.rank for look in LOOKS.values()})
        == len({look.text + str(look.waits) for look in LOOKS.values()})
        == 9
    )
    base = [look for look in LOOKS.values() if not look.acknowledged]
    for what in ("symbol", "word", "color"):
        assert len({getattr(look, what) for look in base}) == len(base), what
    sheet = STYLE_SHEET.read_text(encoding="utf-8")
    for look in LOOKS.values():
        assert f'QPushButton[role="alarms"][look="{look.key}"]' in sheet
        assert f'QFrame[look="{look.key}"] > QLabel[role="areasymbol"]' in sheet
    assert look_of("MAJOR_ACK").text == "◇ MAJOR ✓" and look_of("whatever").word == "NO SERVER"


def test_an_alarm_of_the_table_and_of_the_tree_is_the_same() -> None:
    row = documents.in_alarm(3, "T")
    alarm = Alarm.of(row)
    assert (alarm.name, alarm.area, alarm.state_word, alarm.waits) == (
        "T:ALM:DAQ:L01:Trip3",
        "/T/DAQ/L01",
        "latched",
        True,
    )
    top = read_tree(documents.tree([row], "T"))
    node = top.find(alarm.path)
    assert node is not None and node.path == alarm.path
    again = node.alarm()
    assert again is not None and (again.name, again.severity) == (alarm.name, alarm.severity)
    assert [one.path for one in node.up()] == [alarm.path, "/T/DAQ/L01", "/T/DAQ", "/T"]


def test_a_tree_is_thinned_out() -> None:
    top = read_tree(documents.tree([], "T"))
    found, count = thin_out(top, ["hv", "l03"], None)
    assert count == 5 and [node.name for node in found.children[0].children] == ["HV"]
    path = "/T/GAS/L01/T:GAS:L01:VMon"
    found, count = thin_out(top, [], {path})
    assert count == 1 and found.find(path) is not None
    assert thin_out(top, ["nothing"], None)[1] == 0


@given(st.lists(st.text(min_size=1).filter(lambda name: not name.startswith("/")), min_size=2, max_size=5))
def test_the_path_above_knows_slashes_in_names(names: list[str]) -> None:
    escaped = [name.replace("\\", "").replace("/", "\\/") or "x" for name in names]
    assert parent_of("/" + "/".join(escaped)) == "/" + "/".join(escaped[:-1])


def test_small_words() -> None:
    assert short_path("/T/HV/L01") == "HV/L01" and short_path("/T") == "/T"
    assert [span_text(s) for s in (5, 61, 3600, 5000, 90_000, 172_800)] == [
        "5 s", "1 min", "1 h", "1 h 23 min", "1 d 1 h", "2 d"
    ]  # fmt: skip
    assert (number(3.0), number(1.234), number(12345.6)) == ("3", "1.2", "12,346")
    assert (percent(0.0), percent(0.021), percent(0.5)) == ("0 %", "2.1 %", "50 %")


def test_the_log_is_asked_as_the_command_takes_it() -> None:
    query = LogQuery(since="2026-11-20T00:00:00Z", pv="-weird", person="anna", kind="ack", limit=5)
    assert arguments(query) == ["--from=2026-11-20T00:00:00Z", "--by=anna", "--kind=ack", "--limit=5", "--", "-weird"]
    events = read_log(documents.log(7, "T")).events
    assert row_of(events[0])[1:4] == ("alarm", "✓ → ◆ MAJOR", "T:HV:L01:IMon0")
    assert row_of(events[3])[1:3] == ("acknowledged", "") and row_of(events[3])[6] == "anna@daq1"


def test_the_screen_that_helps_is_that_of_the_subsystem_or_the_one_that_is_named() -> None:
    packed = pack([Subsystem("T:HV:", "hv"), Subsystem("T:ALM:", "alarm")])
    assert alarm_server(packed) == "T:ALM:" and alarm_server("") == "" and alarm_server("{") == ""
    row = documents.in_alarm(0, "T")
    found = helping_screen(Alarm.of(row), packed)
    assert found is not None and found[0] == "hv" and found[1]["P"] == "T:HV:"
    found = helping_screen(Alarm.of(row | {"screen": "hv_channel"}), packed)
    assert found is not None and found[0] == "hv_channel" and found[1]["CH"] == "L01"
    assert helping_screen(Alarm.of(row | {"screen": "nosuch"}), packed) is None
    assert helping_screen(Alarm.of(row), "") is None
    assert [label for label, *_ in links({"P": "T:ALM:", "SUBSYSTEMS": packed}, "alarm_log")] == [
        "◀ Top", "Table", "Tree", "Areas", "Shelves", "Figures"
    ]  # fmt: skip


def test_times_that_are_typed_for_a_shelf(qt: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from screens.parts.alarm_shelve import until_text

    assert [until_text(text) for text in ("90m", "1h 30 min", "2D")] == ["90m", "1h30m", "2d"]
    assert until_text("2030-01-02T03:04:05+01:00") == "2030-01-02T02:04:05Z"
    clock = datetime.fromisoformat(until_text("18:30"))
    assert 0 <= (clock - datetime.now(UTC)).total_seconds() <= 86_400
    for text in ("", "soon", "1.5h", "25:00", "m"):
        with pytest.raises(ValueError):
            until_text(text)


def test_a_node_makes_what_is_below_it_when_somebody_looks() -> None:
    top = read_tree(json.loads(json.dumps(documents.tree([], "T"))))
    assert isinstance(top, Node) and top._children is None
    assert top.children[0].total == 120 and top.children[0]._children is None
