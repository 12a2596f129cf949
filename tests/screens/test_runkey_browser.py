"""The browser of runkeys: list, search, tree, payloads, log, difference; with what goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from runkey_screens import Fake, Stub, connect, picture, wait_answered
from screen_stand import Screen

Open = Callable[..., Screen]


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(tmp_path)


@pytest.fixture
def stub(prefix: str) -> Iterator[Stub]:
    ioc = Stub(prefix)
    yield ioc
    if ioc.process.returncode is None:
        ioc.process.stop()


@pytest.fixture(scope="module")
def kept(qt: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Screen, Fake]]:
    """A browser without an IOC that stays open for all tests of this file, as it does at a stand."""
    fake = Fake(tmp_path_factory.mktemp("owl"))
    screen = Screen("runkey", {"P": "NOSUCH:RK:", "SUBSYSTEMS": "[]"}, "1280x800", fake.env)
    yield screen, fake
    screen.close()


@pytest.fixture
def browser(kept: tuple[Screen, Fake]) -> Screen:
    """The browser as it opens: nothing searched for, the newest runkey, its root."""
    screen, _ = kept
    screen.get(
        "(display.list.search.clear(), display.list.tag.setCurrentIndex(0), display.list.place.setCurrentIndex(0))"
    )
    screen.get(
        "(display.tabs.setCurrentIndex(0), display.viewer.json.filter.clear(), display.viewer.table.filter.clear())"
    )
    wait_answered(screen)
    screen.get("display.list.select('cosmics 12')")
    wait_answered(screen)
    screen.get("display.tree.select('/')")
    return screen


def names(screen: Screen) -> list[str]:
    return screen.get("[entry.name for entry in display.list.model.shown]")


def test_search_tag_and_place_thin_out_the_list(browser: Screen) -> None:
    assert names(browser)[:2] == ["cosmics 12", "cosmics 11"], "newest first"
    assert browser.get("display.title.whole") == "cosmics 12"
    assert browser.get("display.list.count.text()") == "6 runkeys"
    browser.get("display.list.search.setText('cosmics')")
    assert names(browser) == ["cosmics 12", "cosmics 11", "cosmics 11"]
    browser.get("display.list.tag.setCurrentText('physics')")
    assert names(browser) == ["cosmics 12", "cosmics 11"]
    browser.get("display.list.place.setCurrentText('backend')")
    assert names(browser) == ["cosmics 11"]
    assert browser.get("display.list.count.text()") == "1 of 6 runkeys"
    browser.get("display.list.search.setText('no such thing')")
    assert names(browser) == []
    assert browser.get("display.title.whole") == "cosmics 12", "what was chosen stays"


def test_a_tree_with_counts_and_connections(browser: Screen) -> None:
    cell = (
        "display.tree.objects.data(display.tree.objects.index_of({}).siblingAtColumn({}), Qt.ItemDataRole.DisplayRole)"
    )
    root = "display.tree.objects.root.children[0]"
    fe = f"{root}.find('/FELIX1/OB1/FE1')"
    assert [browser.get(cell.format(fe, column)) for column in range(7)] == ["FE1", "4", "2", "✔", "✔", "", "frontend"]
    assert browser.get(cell.format(f"{root}.find('/FELIX1/OB1')", 5)) == "4"
    assert browser.get(cell.format(f"{root}.find('/FELIX1/OB1/FE2')", 3)) == "✖"
    assert "25 objects" in browser.get("display.subtitle.whole")
    picture(browser, "runkey_tree")


def test_payloads_in_the_form_that_people_read(browser: Screen) -> None:
    browser.get("display.tree.select('/FELIX1/OB1/FE0')")
    wait_answered(browser)
    assert browser.get("[b.text() for b in display.viewer.buttons.values()]")[0] == "config 222 B"
    json_view = "display.viewer.json"
    assert browser.get("display.viewer.stack.currentWidget() is display.viewer.json")
    browser.get(f"{json_view}.filter.setText('diffth1l')")
    assert browser.get(f"{json_view}.count.text()") == "1 value"
    picture(browser, "runkey_json")
    browser.get("click(display.viewer.buttons['pixels'])")
    wait_answered(browser)
    assert browser.get("display.viewer.stack.currentWidget() is display.viewer.pixels")
    browser.get("display.viewer.pixels.point(100, 30)")
    assert browser.get("display.viewer.pixels.readout.text()").startswith("col 100  row 30:  TDAC ")
    assert "Enable 0" in browser.get("display.viewer.pixels.readout.text()"), "a masked column"
    picture(browser, "runkey_tdac")
    browser.get("click(display.viewer.pixels.buttons['Enable'])")
    assert browser.get("display.viewer.pixels.note.text()").startswith("Enable: 152,")
    picture(browser, "runkey_enable")
    browser.get("click(display.viewer.buttons['log'])")
    wait_answered(browser)
    assert browser.get("display.viewer.text.toPlainText()") == "first line\nsecond line\n"
    browser.get("click(display.viewer.buttons['blob'])")
    wait_answered(browser)
    assert browser.get("display.viewer.text.toPlainText()").startswith("00000000  00 01 02 03")
    browser.get("display.tree.select('/HV')")
    browser.get("display.viewer.show_role('setpoints')")
    wait_answered(browser)
    assert browser.get("display.viewer.table.model.rows[1]") == ["DEMO:HV:L01:Odd", "NaN", "V", "double"]
    browser.get("display.viewer.table.filter.setText('L07 vset')")
    assert browser.get("display.viewer.table.count.text()") == "1 of 65 PVs"
    picture(browser, "runkey_setpoints")
    browser.get("click(display.viewer.buttons['conditions'])")
    wait_answered(browser)
    assert browser.get("display.viewer.conditions.model.rows[-1]") == ["DEMO:HV:F:VSet", "missing", "", "no answer"]
    picture(browser, "runkey_conditions")


def test_the_cursor_reads_pixels(browser: Screen) -> None:
    browser.get("display.tree.select('/FELIX1/OB1/FE0')")
    browser.get("display.viewer.show_role('pixels')")
    wait_answered(browser)
    browser.get("process(0.3)")
    browser.get(
        "setattr(display, 'at', display.viewer.pixels.plots[0].box.mapViewToScene"
        "(__import__('qtpy.QtCore').QtCore.QPointF(12, 34)))"
    )
    browser.get("display.viewer.pixels._point(display.at)")
    assert browser.get("display.viewer.pixels.readout.text()").startswith("col 12  row 34:")
    browser.get("display.viewer.pixels._point(__import__('qtpy.QtCore').QtCore.QPointF(-50, -50))")
    assert browser.get("display.viewer.pixels.readout.text()") == "Point at a pixel to read it"


def test_what_was_read_is_read_once(open_screen: Open, fake: Fake) -> None:
    browser = open_screen("runkey", {"P": "NOSUCH:RK:"}, env=fake.env)
    wait_answered(browser)
    for _ in range(2):
        for path in ("/FELIX1/OB1/FE0", "/FELIX1/OB1/FE1"):
            browser.get(f"display.tree.select({path!r})")
            wait_answered(browser)
    assert sum(call.startswith("get ") for call in fake.calls()) == 2


def test_log_and_tags(browser: Screen) -> None:
    browser.get("display.tabs.setCurrentWidget(display.log)")
    wait_answered(browser)
    assert browser.get("display.log.table.model.rows[0][1:4]") == ["4", "edit", "anna@daq1"]
    assert browser.get("display.log.table.model.rows[-1][5]") == "the one it was cloned from"
    picture(browser, "runkey_log")
    browser.get("display.tabs.setCurrentWidget(display.tags)")
    wait_answered(browser)
    assert "65 HV" in browser.get("display.tags.facts.text()")
    assert browser.get("[row[0] for row in display.tags.tags.model.rows]") == ["physics", "good"]
    assert browser.get("display.tags.validity.model.rows[0][1]") == "until further notice"
    picture(browser, "runkey_tags")


def row_of(plot: int, row: int) -> str:
    """Code: how green every dot of the screen is in a row of a map, as it is drawn."""
    box = f"display.diff.maps.plots[{plot}].box"
    point = "__import__('qtpy.QtCore').QtCore.QPointF"
    dot = f"display.diff.maps.graphics.mapFromScene({box}.mapViewToScene({point}(%s, {row})))"
    first, last = dot % 2, dot % 397
    grab = "display.diff.maps.graphics.grab().toImage()"
    return f"(lambda i, a, b: [i.pixelColor(x, a.y()).green() for x in range(a.x(), b.x())])({grab}, {first}, {last})"


def test_two_runkeys_beside_each_other(browser: Screen) -> None:
    browser.get("display.tabs.setCurrentWidget(display.diff)")
    browser.get("display.diff.compare('sr1 mmsetup 04 sr1', 'cosmics 12')")
    wait_answered(browser)
    assert browser.get("display.diff.summary.text()").startswith("10 objects differ")
    groups = "[group.what for group in display.diff.difference.groups]"
    browser.get(f"display.diff.changes.choose({groups}.index('setpoints'))")
    assert browser.get("display.diff.sides.model.rows[0]") == ["DEMO:HV:L01:VSet [V]", "1800", "1750.5"]
    picture(browser, "runkey_diff")
    browser.get(f"display.diff.changes.choose({groups}.index('pixels'))")
    wait_answered(browser)
    assert browser.get("display.diff.stack.currentWidget() is display.diff.maps")
    assert browser.get("display.diff.maps.note.text()").startswith("5,004 pixels differ: TDAC 5,000, Enable 4")
    widths = browser.get("(process(0.2), [p.box.width() for p in display.diff.maps.plots])[1]")
    assert max(widths) - min(widths) < 3, "the three maps are of one size"
    browser.get("click(display.diff.maps.buttons['Enable'])")
    for index, (width, height) in ((0, (1280, 800)), (1, (1280, 800)), (0, (1024, 640)), (1, (1024, 640))):
        browser.get(f"(window.resize({width}, {height}), process(0.3))")
        green = browser.get(row_of(index, 200))
        assert max(green) - min(green) > 30, f"the masked column of map {index} is seen however small the map is"
    browser.get("display.diff.maps.point(200, 100)")
    assert "Enable 1 → 0" in browser.get("display.diff.maps.readout.text()")
    picture(browser, "runkey_diff_pixels")
    browser.get("click(display.diff.swap)")
    wait_answered(browser)
    assert browser.get("display.diff.first.currentText()") == "cosmics 12"
    browser.get("display.diff.compare('cosmics 12', 'cosmics 12')")
    wait_answered(browser)
    assert browser.get("display.diff.summary.text()") == "no difference"
    browser.get("display.diff.compare('cosmics 12', 'nothing')")
    wait_answered(browser)
    assert "there is no runkey 'nothing'" in browser.get("display.diff.summary.text()")


def test_two_revisions_beside_each_other(browser: Screen, kept: tuple[Screen, Fake]) -> None:
    browser.get("display.tabs.setCurrentWidget(display.log)")
    wait_answered(browser)
    browser.get("display.log.table.choose(0)")
    browser.get("click(display.log.button)")
    wait_answered(browser)
    assert kept[1].calls()[-1].startswith("diff --json -- staging:cosmics 12@3 staging:cosmics 12@4")
    assert browser.get("display.tabs.currentWidget() is display.diff")


def test_a_thousand_runkeys_and_a_whole_felix(open_screen: Open, fake: Fake) -> None:
    fake.behave("many")
    screen = open_screen("runkey", {"P": "NOSUCH:RK:"}, env=fake.env)
    wait_answered(screen)
    assert screen.get("display.list.count.text()") == "1,000 runkeys"
    screen.get("display.list.search.setText('odd 0007')")
    assert names(screen) == ["scan 0007 threshold tuned"]
    screen.get("display.list.view.setCurrentIndex(display.list.model.index(0))")
    wait_answered(screen)
    assert screen.get("display.title.whole") == "scan 0007 threshold tuned"
    picture(screen, "runkey_many")


def test_a_large_tree_is_read_where_it_is_opened(open_screen: Open, fake: Fake) -> None:
    fake.behave("many")
    screen = open_screen("runkey", {"P": "NOSUCH:RK:"}, env=fake.env)
    screen.get("setattr(__import__('sys').modules[type(display).__module__], 'WHOLE_UP_TO', 100)")
    wait_answered(screen)
    screen.get("display.list.view.setCurrentIndex(display.list.model.index(5))")
    wait_answered(screen)
    board = "display.tree.objects.root.children[0].find('/FELIX1/OB3')"
    assert screen.get(f"({board}.children, {board}.more)") == [[], 28]
    screen.get(f"display.tree.expand(display.tree.objects.index_of({board}))")
    screen.wait(f"len({board}.children) == 28")
    assert fake.calls()[-1].endswith("--path /FELIX1/OB3 --depth 1")
    screen.get("display.tree.select('/FELIX1/OB3/FE4')")
    assert screen.get("display.viewer.title.whole") == "/FELIX1/OB3/FE4"


def test_long_names_and_small_windows(browser: Screen) -> None:
    browser.get("display.list.select('HV 2026-11-20 night shift, before water')")
    wait_answered(browser)
    browser.get("display.tree.select('/FELIX1/OB1/FE0')")
    wait_answered(browser)
    picture(browser, "runkey_small", (800, 520))


def test_no_runkeys_at_all(open_screen: Open, fake: Fake) -> None:
    fake.behave("none")
    screen = open_screen("runkey", {"P": "NOSUCH:RK:"}, env=fake.env)
    wait_answered(screen)
    assert screen.get("display.viewer.message.text()").startswith("There are no runkeys yet.")
    picture(screen, "runkey_none")


def test_what_goes_wrong_is_a_line_and_can_be_tried_again(open_screen: Open, fake: Fake) -> None:
    fake.behave("error")
    screen = open_screen("runkey", {"P": "NOSUCH:RK:"}, env=fake.env)
    wait_answered(screen)
    assert screen.get("display.error.isVisible()")
    assert "unable to open database file" in screen.get("display.error.text()")
    picture(screen, "runkey_error")
    fake.behave("garbage")
    screen.get("click(display.list.again)")
    wait_answered(screen)
    assert screen.get("display.error.text()").startswith("what owl printed is no JSON")
    fake.behave("away")
    screen.get("click(display.list.again)")
    wait_answered(screen)
    assert screen.get("display.error.text()") == "backend: connection refused"
    assert len(names(screen)) == 6, "what the other database has is shown"
    fake.behave("some")
    screen.get("click(display.list.again)")
    wait_answered(screen)
    assert not screen.get("display.error.isVisible()")


def test_an_owl_that_hangs_does_not_hold_the_screen(open_screen: Open, fake: Fake) -> None:
    fake.behave("hang")
    screen = open_screen("runkey", {"P": "NOSUCH:RK:"}, env=fake.env)
    assert screen.get("display.owl.pending()") == "owl runkey list --json"
    screen.wait("display.busy.text() != ''")
    screen.get("setattr(display.owl, '_timeout', 0.5)")
    screen.get("display.read_list()")
    screen.wait("display.error.isVisible()")
    assert screen.get("display.error.text()") == "no answer within 0.5 s: owl runkey list --json"
    screen.get("setattr(display.owl, '_timeout', 600)")
    screen.get("display.read_list()")  # and the screen is closed while that runs


def test_an_owl_that_is_not_there(open_screen: Open) -> None:
    screen = open_screen("runkey", {"P": "NOSUCH:RK:"}, env={"OWLSHIFT_OWL": "/no/such/owl"})
    screen.wait("display.error.isVisible()")
    assert screen.get("display.error.text()").startswith("owl can't be started: ")


def test_select_for_apply_writes_the_pv(open_screen: Open, fake: Fake, stub: Stub) -> None:
    screen = open_screen("runkey", {"P": stub.prefix, "RUNKEY": "sr1 mmsetup 04 sr1"}, env=fake.env)
    wait_answered(screen)
    connect(screen, stub.prefix)
    assert screen.get("display.title.whole") == "sr1 mmsetup 04 sr1"
    screen.wait("display.select.isEnabled()")
    screen.get("click(display.select)")
    screen.wait("display.asked.text == 'select sr1 mmsetup 04 sr1\\n'")
    screen.wait("display.select.text() == '✔ Selected' and not display.select.isEnabled()")
    assert screen.get("display.selected.whole") == "sr1 mmsetup 04 sr1"
    picture(screen, "runkey_selected")
    stub.process.kill()
    screen.wait("display.header.beat.state == 'dead' and display.selected.whole == '– – –'")
    assert not screen.get("display.select.isEnabled()")
    screen.get("display.tree.select('/HV')")
    wait_answered(screen)
    assert screen.get("display.viewer.title.whole") == "/HV", "the databases are there without the IOC"
    picture(screen, "runkey_gone")
