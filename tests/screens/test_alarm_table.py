"""The table of alarms: what is seen, found, and done."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import alarm_documents as documents
import pytest
from alarm_screens import AlarmStub, asked
from runkey_screens import picture
from screen_stand import SLOW, Screen
from support import unique_prefix

moments = itertools.count(1)
"""Seconds, so that no two tables are of one time."""
ROWS = "[alarm.pv.rpartition(':')[2] for alarm in display.model.rows]"


@pytest.fixture(scope="module")
def stub(qt: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AlarmStub]:
    ioc = AlarmStub(unique_prefix().rstrip(":"), tmp_path_factory.mktemp("alarms"))
    yield ioc
    if ioc.process.returncode is None:
        ioc.process.stop(SLOW)


@pytest.fixture(scope="module")
def kept(stub: AlarmStub) -> Iterator[Screen]:
    screen = stub.open("alarm_table")
    yield screen
    screen.close()


@pytest.fixture
def table(kept: Screen, stub: AlarmStub) -> Screen:
    """The table with 14 alarms, without a filter, nothing selected."""
    kept.get("(display.filter.clear(), display.severity.setCurrentIndex(0), display.area.setCurrentIndex(0))")
    kept.get("[box.setChecked(True) for box in (display.new, display.known, display.aside)]")
    kept.get("display.worst.click()")
    show(kept, stub, documents.active(14, stub.site))
    kept.get("display.view.clearSelection()")
    return kept


def show(screen: Screen, stub: AlarmStub, document: dict) -> None:
    """Let the stub serve this, and wait until it is on the screen."""
    time = documents.iso(-next(moments))
    stub.show_active(screen, {**document, "time": time})
    screen.wait(f"display.active.time == {time!r} and not display._late.isActive()")


def select(screen: Screen, *numbers: int) -> None:
    screen.get(f"display.view.select([display.active.alarms[n].path for n in {list(numbers)}])")


def done(screen: Screen, before: int, count: int = 1) -> list[str]:
    """What the stub was asked since then, once it is so much."""
    screen.wait(f"display.asked.text.count('\\n') >= {before + count}")
    screen.wait("not display.puts.busy")
    return asked(screen)[before:]


def test_no_alarm_three_and_thousands(kept: Screen, stub: AlarmStub) -> None:
    show(kept, stub, documents.active(0, stub.site))
    kept.wait("'No alarm' in display.note.text() and display.note.isVisible()")
    picture(kept, "alarm_table_0")
    show(kept, stub, documents.active(3, stub.site))
    assert not kept.get("display.note.isVisible()")
    kept.get("display.view.selectRow(2)")
    picture(kept, "alarm_table_3")
    show(kept, stub, documents.active(200, stub.site))
    picture(kept, "alarm_table_200", (1280, 800), (1024, 640), (800, 520))
    show(kept, stub, documents.active(2000, stub.site, truncated=True))
    assert kept.get("display.count.text()").startswith("2,000 alarms, the worst of more")
    picture(kept, "alarm_table_2000", (1280, 800))


def test_what_waits_comes_first_then_the_worst(table: Screen) -> None:
    waits = table.get("[alarm.look.waits for alarm in display.model.rows]")
    assert waits == sorted(waits, reverse=True)
    ranks = table.get("[alarm.look.rank for alarm in display.model.rows if alarm.look.waits]")
    assert ranks == sorted(ranks, reverse=True)
    assert table.get("display.model.rows[0].look.text") == "● UNDEFINED"
    table.get("display.view.sortByColumn(3, Qt.SortOrder.DescendingOrder)")
    names = table.get("[alarm.pv for alarm in display.model.rows]")
    assert names == sorted(names, key=str.lower, reverse=True)


def test_filters_for_words_severity_area_and_state(table: Screen, stub: AlarmStub) -> None:
    table.get("display.filter.setText('hv hihi')")
    assert table.get(ROWS) == ["IMon0"]
    table.get("display.filter.setText('anna')")
    assert set(table.get("[alarm.look.word for alarm in display.model.rows]")) == {"MAJOR", "MINOR", "INVALID"}
    table.get("display.filter.setText('nothing of that')")
    table.wait("display.note.text() == 'None of 14 alarms fits the filter'")
    table.get("(display.filter.clear(), display.severity.setCurrentIndex(2))")
    assert set(table.get("[alarm.look.word for alarm in display.model.rows]")) == {"INVALID", "UNDEFINED"}
    table.get("(display.severity.setCurrentIndex(0), display.known.click())")
    assert table.get("all(alarm.look.waits for alarm in display.model.rows)")
    table.get("display.known.click()")
    table.get(f"display.area.setCurrentIndex(display.area.findData('/{stub.site}/GAS'))")
    assert table.get(ROWS) == ["VMon11", "VMon1"] or table.get(ROWS) == ["VMon1", "VMon11"]
    assert table.get("display.count.text()").startswith("2 of 14")


def test_one_is_acknowledged_by_a_key_and_several_by_the_button(table: Screen, stub: AlarmStub) -> None:
    before = len(asked(table))
    select(table, 0)
    assert table.get("display.acts.acknowledge.isEnabled()")
    table.get("(window.activateWindow(), display.view.setFocus(), QTest.keyClick(display.view, Qt.Key.Key_A))")
    assert done(table, before) == ["HV:L01:IMon0 Ack"]
    select(table, 0, 1, 4, 7)
    table.get("click(find('✓ Acknowledge'))")
    assert sorted(done(table, before + 1, 3)) == ["GAS:L01:VMon1 Ack", "HV:L01:IMon0 Ack", "VAC:L01:Temp7 Ack"]
    assert table.get("display.acts.told.whole") == "Acknowledged: 3 sent"


def test_many_are_acknowledged_after_a_question(table: Screen, stub: AlarmStub) -> None:
    show(table, stub, documents.active(60, stub.site))
    before = len(asked(table))
    table.get("display.view.selectAll()")
    table.get("click(find('✓ Acknowledge'))")
    assert table.get("question().text()").startswith("Acknowledge 36 alarms?")
    table.get("answer('cancel')")
    table.wait("question() is None")
    table.get("click(find('✓ Acknowledge'))")
    table.get("answer('do')")
    assert len(done(table, before, 36)) == 36


def test_shelving_asks_for_how_long_and_why(table: Screen, stub: AlarmStub) -> None:
    before = len(asked(table))
    select(table, 1, 2)
    table.get("click(find('Shelve …'))")
    dialog = "__import__('screens.parts.alarm_shelve').parts.alarm_shelve.dialog_of(window)"
    assert not table.get(f"{dialog}.do.isEnabled()")
    assert table.get(f"{dialog}.problem.text()") == "a reason is needed"
    table.get(f"click({dialog}.times['2h']) and {dialog}.reason.setEditText('cööling is serviced')")
    table.get(f"{dialog}.grab().save({str(stub.folder / 'shelve.png')!r})")
    table.get(f"click({dialog}.do)")
    assert sorted(done(table, before, 2)) == [
        "COOL:L01:Temp2 Shelve 2h cööling is serviced",
        "GAS:L01:VMon1 Shelve 2h cööling is serviced",
    ]
    table.get("click(find('Shelve …'))")
    table.get(f"{dialog}.other.setText('soon') or {dialog}.reason.setEditText('x')")
    assert not table.get(f"{dialog}.do.isEnabled()")
    table.get(f"{dialog}.other.setText('1h 30 min')")
    assert table.get(f"{dialog}.text()") == "1h30m x"
    table.get(f"{dialog}.reject()")


def test_what_is_shelved_is_grey_and_comes_back(table: Screen, stub: AlarmStub) -> None:
    document = documents.active(5, stub.site)
    document["alarms"][4] = documents.shelved(documents.in_alarm(0, stub.site), documents.LONG)
    document["alarms"][0] = documents.in_alarm(7, stub.site)
    show(table, stub, document)
    assert table.get("display.model.rows[-1].state_word") == "shelved"
    assert not table.get("display.model.rows[-1].waits")
    before = len(asked(table))
    table.get("display.view.selectRow(4)")
    assert "Known" not in table.get("display.details.toPlainText()")
    assert "by bert@daq2: the cooling plant" in table.get("display.details.toPlainText()")
    picture(table, "alarm_table_shelved", (1280, 800))
    table.get("display.acts.unshelve.trigger()")
    assert done(table, before) == ["HV:L01:IMon0 Shelve"]
    table.get("display.aside.click()")
    assert table.get("len(display.model.rows)") == 4


def test_disabling_asks_first(table: Screen, stub: AlarmStub) -> None:
    before = len(asked(table))
    select(table, 2)
    table.get("display.acts.disable.trigger()")
    assert "does not come back by itself" in table.get("question().text()")
    assert table.get("question().defaultButton().objectName()") == "cancel"
    table.get("answer('do')")
    assert done(table, before) == ["COOL:L01:Temp2 Enable 0"]


def test_guidance_and_the_screen_that_helps(table: Screen, stub: AlarmStub) -> None:
    document = documents.active(2, stub.site)
    document["alarms"][0] |= {"description": "*<b>over-current</b> of layer 7"}
    show(table, stub, document)
    select(table, 0)
    text = table.get("display.details.toPlainText()")
    assert "<b>over-current</b> of layer 7" in text, "markup of a description is shown, not followed"
    assert "Lower VSet by 50 V & wait." in text and "HV on call: 13579" in text
    assert "high, act within 2 min" in text and "https://wiki.example.org/hv" in text
    assert table.get("display.details._screen[0]") == "hv"
    picture(table, "alarm_table_guidance", (1280, 800))
    select(table, 1)
    assert "No guidance is written" in table.get("display.details.toPlainText()")


def test_the_selection_stays_with_its_alarm_while_others_come_and_go(table: Screen, stub: AlarmStub) -> None:
    select(table, 3, 8)
    paths = sorted(table.get("[alarm.path for alarm in display.view.selected]"))
    more = documents.active(300, stub.site)
    show(table, stub, more)
    assert sorted(table.get("[alarm.path for alarm in display.view.selected]")) == paths
    fewer = more | {"alarms": [more["alarms"][n] for n in (8, 3, 5)]}
    show(table, stub, fewer)
    assert sorted(table.get("[alarm.path for alarm in display.view.selected]")) == paths
    show(table, stub, more | {"alarms": [documents.in_alarm(8, stub.site, "MAJOR_ACK")]})
    assert table.get("[alarm.look.text for alarm in display.view.selected]") == ["◇ MAJOR ✓"]
    assert table.get("[alarm.acknowledged_by for alarm in display.view.selected]") == ["anna@daq1"]


def test_long_texts_do_not_break_it(table: Screen, stub: AlarmStub) -> None:
    row = documents.in_alarm(0, stub.site)
    long = {"description": documents.LONG, "message": documents.LONG, "value": "9" * 200, "acknowledged_by": "a" * 90}
    row |= long | {"guidance": [{"title": documents.LONG, "details": documents.LONG * 20}], "first_out": True}
    show(table, stub, {"time": documents.iso(0), "truncated": False, "alarms": [row]})
    select(table, 0)
    picture(table, "alarm_table_long", (1280, 800), (800, 520))


def test_what_is_no_table_is_told_and_the_old_one_stays(table: Screen, stub: AlarmStub) -> None:
    stub.post(table, {"": {"Active": stub.keep("active", {"time": "now", "alarms": [{"pv": "x"}]})}})
    table.wait("display.error.isVisible() and 'another form' in display.error.text()")
    assert table.get("len(display.model.rows)") == 14
    stub.show_active(table, documents.active(14, stub.site))
    table.wait("not display.error.isVisible()")


def test_what_is_wrong_with_the_server_is_told(table: Screen, stub: AlarmStub) -> None:
    assert not table.get("display.status.isVisible()")
    stub.post(table, {"": {"Maint": True, "Flood": True, "LogState": "Spooling"}})
    table.wait("display.status.isVisible() and 'Spooling' in display.status.text()")
    assert "FLOOD" in table.get("display.status.text()") and "Maintenance" in table.get("display.status.text()")
    picture(table, "alarm_table_flood", (1280, 800), (800, 520))
    stub.post(table, {"": {"Maint": False, "Flood": False, "LogState": "OK"}})
    table.wait("not display.status.isVisible()")


def test_announcements_are_listed_and_speech_is_switched(table: Screen, stub: AlarmStub) -> None:
    stub.post(table, {"": {"Talk": "MAJOR Alarm: layer 7", "TalkCount": 1}})
    table.wait("'MAJOR Alarm: layer 7' in display.spoken.text.toPlainText()")
    stub.post(table, {"": {"Talk": "There are 12 Alarm messages", "TalkCount": 2}})
    table.wait("display.spoken.text.toPlainText().splitlines()[0].endswith('12 Alarm messages')")
    assert table.get("(display.spoken.voice.speech, display.spoken.voice.sound)") == [False, False]
    table.get("display.spoken.speech.click()")
    assert table.get("display.spoken.voice.speech and display.spoken.speech.text() == '☑ Speech'")
    stub.post(table, {"": {"Talk": "MINOR Alarm: gas", "TalkCount": 3}})
    table.wait("display.spoken.text.toPlainText().splitlines()[0].endswith('gas')")
    table.get("display.spoken.speech.click()")
    assert not table.get("display.spoken.voice.speech")


def test_a_server_that_is_gone_is_told_and_comes_back(table: Screen, stub: AlarmStub) -> None:
    stub.process.kill()
    table.wait("display.note.isVisible() and 'does not answer' in display.note.text()")
    table.wait("display.header.alarms.text().startswith('┅') and 'no server' in display.header.alarms.text()")
    assert table.get("len(display.model.rows)") == 14, "what was last heard stays, and is said to be old"
    assert not table.get("display.view.isEnabled()")
    picture(table, "alarm_table_gone", (1280, 800), (800, 520))
    select(table, 0)
    stub.restart()
    table.wait("display.test.write_access")
    stub.show_active(table, documents.active(3, stub.site))
    table.wait("len(display.model.rows) == 3 and not display.note.isVisible() and display.view.isEnabled()")
    assert json.loads(table.get("display.pv.text"))["alarms"]
