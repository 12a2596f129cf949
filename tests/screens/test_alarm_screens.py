"""Tree, areas, log, shelves and figures of alarms, and the banner on other screens."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import alarm_documents as documents
import pytest
from alarm_screens import AlarmStub, asked
from runkey_screens import connect, picture
from screen_stand import SLOW, Screen
from support import unique_prefix

SIZES = ((1280, 800), (1024, 640), (800, 520))
Open = Callable[..., Screen]


@pytest.fixture(scope="module")
def stub(qt: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AlarmStub]:
    ioc = AlarmStub(unique_prefix().rstrip(":"), tmp_path_factory.mktemp("alarms"))
    tree = documents.tree([documents.in_alarm(n, ioc.site) for n in range(12)], ioc.site)
    ioc.keep("tree", tree)
    ioc.keep("log", documents.log(300, ioc.site))
    ioc.keep("stats", documents.figures(ioc.site))
    yield ioc
    if ioc.process.returncode is None:
        ioc.process.stop(SLOW)


@pytest.fixture
def opened(stub: AlarmStub) -> Iterator[Open]:
    """Opens a screen of the stub; it is closed at the end."""
    screens: list[Screen] = []

    def open_one(name: str, **macros: str) -> Screen:
        stub.behave("some")
        screens.append(stub.open(name, **macros))
        tree = documents.tree([documents.in_alarm(n, stub.site) for n in range(12)], stub.site)
        stub.post(screens[-1], documents.pv_values(tree, stub.prefix))
        return screens[-1]

    yield open_one
    for screen in screens:
        screen.close()


def test_the_tree_is_live_where_it_is_seen(opened: Open, stub: AlarmStub) -> None:
    screen = opened("alarm_tree")
    screen.wait("display.loaded")
    rows = "display.view.rows"
    screen.wait(f"len({rows}.live) > 10")
    path = f"/{stub.site}/HV/L01/{stub.site}:HV:L01:IMon"
    node = f"{rows}.root.find({path!r})"
    screen.wait(f"{rows}.live.item({path!r}) is not None")
    screen.wait(f"{rows}.cell({node}, 1) == '✓ OK'")
    stub.post(screen, {"HV:L01:IMon": {"Sevr": 6, "Msg": "HIHI_ALARM", "State": "Active"}, "HV:L01": {"NUnack": 3}})
    screen.wait(f"{rows}.cell({node}, 1) == '◆ MAJOR' and {rows}.cell({node}, 7) == 'HIHI_ALARM'")
    screen.wait(f"{rows}.cell({node}.parent, 2) == '3'")
    guidance = '{"guidance": [{"title": "Do", "details": "wait"}], "rationale": "it burns", "screen": "hv"}'
    stub.post(screen, {"HV:L01:IMon": {"GuidanceJson": guidance}})
    screen.get(f"display.view.select([{path!r}])")
    screen.wait("'it burns' in display.details.toPlainText() and 'Open the screen hv' in display.details.toPlainText()")
    picture(screen, "alarm_tree", *SIZES)
    stub.post(screen, {"HV:L01:IMon": {"Sevr": 0, "Msg": "", "State": "Normal", "GuidanceJson": ""}})


def test_an_area_is_acknowledged_and_shelved_as_one(opened: Open, stub: AlarmStub) -> None:
    screen = opened("alarm_tree", PATH=f"/{stub.site}/HV")
    screen.wait("display.loaded and len(display.view.selected) == 1")
    before = len(asked(screen))
    screen.get("click(find('✓ Acknowledge'))")
    assert f"the area /{stub.site}/HV (32 alarms)" in screen.get("question().text()")
    screen.get("answer('do')")
    screen.wait(f"display.asked.text.count('\\n') > {before}")
    assert asked(screen)[before:] == ["HV Ack"]
    assert "32 alarms" in screen.get("display.details.toPlainText()")


def test_the_tree_is_thinned_out_by_words_and_by_alarm(opened: Open, stub: AlarmStub) -> None:
    screen = opened("alarm_tree")
    screen.wait("display.loaded")
    screen.get("display.filter.setText('gas l03 vmon')")
    screen.wait("display.count.text() == '1 of 132'")
    stub.show_active(screen, documents.active(4, stub.site))
    screen.get("(display.filter.clear(), display.only.click())")
    screen.wait("display.count.text() == '4 of 132'")
    picture(screen, "alarm_tree_only", (1280, 800))
    screen.get("display.only.click()")
    screen.wait("display.count.text() == '132 alarms'")


def test_the_areas_as_tiles_down_to_the_alarms(opened: Open, stub: AlarmStub) -> None:
    screen = opened("alarm_area")
    screen.wait("display.loaded and len(display.tiles) == 10")
    tile = f"display.tiles['/{stub.site}/GAS']"
    screen.wait(f"{tile}.item is not None and {tile}.severity.text() == '◇ MAJOR ✓'")
    picture(screen, "alarm_area", *SIZES)
    screen.get(f"click({tile})")
    screen.wait(f"display.path == '/{stub.site}/GAS' and len(display.tiles) == 6")
    screen.get(f"click(display.tiles['/{stub.site}/GAS/L01'])")
    screen.wait("len(display.tiles) == 7")
    picture(screen, "alarm_area_alarms", *SIZES)
    before = len(asked(screen))
    screen.get("click(find('✓ Acknowledge'))")
    screen.get("answer('do')")
    screen.wait(f"display.asked.text.count('\\n') > {before}")
    assert asked(screen)[before:] == ["GAS:L01 Ack"]
    screen.get(f"click(find({stub.site!r}))")
    screen.wait("len(display.tiles) == 10")
    screen.get(f"(display.show_area('/{stub.site}/GAS'), click(find('Table of these')))")
    screen.wait("type(display).__name__ == 'AlarmTable'")
    assert screen.get("display.area.currentData()") == f"/{stub.site}/GAS"


def test_the_log_is_searched_read_on_and_saved(opened: Open, stub: AlarmStub) -> None:
    path = documents.in_alarm(0, stub.site)["path"]
    screen = opened("alarm_log", PATH=path)
    screen.wait("display.loaded and len(display.events) == 300")
    assert f" -- {path}" in stub.calls()[-1] and stub.calls()[-1].startswith("log --json --system ALM --from=20")
    assert screen.get("display.table.model.rows[0]")[1:4] == ["alarm", "✓ → ◆ MAJOR", f"{stub.site}:HV:L01:IMon0"]
    picture(screen, "alarm_log", *SIZES)
    screen.get("(display.kind.setCurrentIndex(2), display.person.setText('anna'), display.search())")
    screen.wait("display.owl.pending() == ''")
    assert "--by=anna" in stub.calls()[-1] and "--kind=ack" in stub.calls()[-1]
    screen.get("click(display.more)")
    screen.wait("len(display.events) == 600")
    assert "--after=after-300" in stub.calls()[-1]
    file = stub.folder / "saved.csv"
    screen.get(f"display.save_csv(__import__('pathlib').Path({str(file)!r}))")
    assert len(file.read_text().splitlines()) == 601
    stub.behave("error")
    screen.get("display.search()")
    screen.wait("'does not answer' in display.error.text()")
    assert screen.get("len(display.events)") == 600


def test_shelves_are_listed_and_emptied(opened: Open, stub: AlarmStub) -> None:
    shelves = [
        {
            "path": documents.in_alarm(n, stub.site)["path"],
            "name": documents.in_alarm(n, stub.site)["name"],
            "by": "bert@daq2",
            "why": documents.LONG if n == 2 else "Test",
            "since": documents.iso(600),
            "until": documents.iso(-86_400 * 400 * n) if n != 1 else "",
            "one_shot": n == 1,
        }
        for n in range(6)
    ]
    screen = opened("alarm_shelves")
    stub.post(screen, {"": {"Shelves": stub.keep("shelves", {"shelves": shelves})}})
    screen.wait("len(display.shelves) == 6")
    assert screen.get("display.table.model.rows[1]")[4] == "until it is normal"
    assert screen.get("display.table.model.rows[5]")[5].endswith(" !"), "longer than a shift"
    picture(screen, "alarm_shelves", *SIZES)
    screen.get("(display.table.view.selectRow(1), click(find('Unshelve')))")
    screen.wait("display.told.whole.startswith('Unshelved')")
    unshelved = f"{shelves[1]['name'].removeprefix(stub.prefix)} Shelve"
    screen.wait(f"display.asked.text.splitlines()[-1:] == [{unshelved!r}]")
    stub.post(screen, {"": {"Shelves": stub.keep("shelves", {"shelves": []})}})
    screen.wait("not display.shelves and display.table.count.text() == '0 shelved alarms'")


def test_figures_with_their_targets(opened: Open, stub: AlarmStub) -> None:
    screen = opened("alarm_figures")
    screen.wait("display.figures is not None and len(display.tables) == 5")
    cards = screen.get("{card.title.text(): card.value.text() for card in display.cards}")
    assert cards["Alarms in 10 min"] == "~ 1.9" and cards["Stale"] == "✖ 7" and cards["Fleeting"] == "✔ 0"
    assert screen.get("len(display.series.lines)") == 3
    picture(screen, "alarm_figures", *SIZES)
    screen.get("display.lists.setCurrentIndex(3)")
    assert screen.get("display.tables[2].count.text()") == "7 entries"
    picture(screen, "alarm_figures_stale", (1280, 800))
    stub.behave("garbage")
    screen.get("display.read()")
    screen.wait("'no JSON' in display.error.text()")


def test_a_tree_that_cannot_be_read_is_told(opened: Open, stub: AlarmStub) -> None:
    for name in ("alarm_tree", "alarm_area"):
        screen = opened(name)
        screen.wait("display.loaded")
        stub.behave("error")
        screen.get("click(find('⟳'))")
        screen.wait("'does not answer' in display.error.text()")
        stub.behave("some")
        screen.get("click(find('⟳'))")
        screen.wait("not display.error.isVisible()")


def test_the_banner_leads_from_every_screen_to_the_table(opened: Open, stub: AlarmStub) -> None:
    screen = opened("top", TITLE="The stand")
    stub.show_active(screen, documents.active(9, stub.site))
    screen.wait("display.alarms.text() == '◆ MAJOR  6 new · 3 ✓'")
    screen.wait("display.alarms.property('waits') and display.alarms.property('look') == 'fault'")
    roll_up = "display.cards[1].alarms"
    screen.wait(f"{roll_up}.text() == '● UNDEFINED  2 new'")
    picture(screen, "alarm_top", (1280, 800))
    screen.get(f"click({roll_up})")
    screen.wait("type(display).__name__ == 'AlarmTable'")
    assert screen.get("display.area.currentData()") == f"/{stub.site}/HV"
    screen.get("click(find('◀ Top'))")
    screen.get("click(display.alarms)")
    screen.wait("type(display).__name__ == 'AlarmTable' and display.area.currentData() == ''")
    connect(screen, stub.prefix)
    stub.show_active(screen, documents.active(0, stub.site))
    screen.wait("display.header.alarms.text() == '✓ No alarm'")


def test_a_site_without_an_alarm_server_has_no_banner(opened: Open, open_screen: Open, stub: AlarmStub) -> None:
    screen = open_screen("top", {"SUBSYSTEMS": f'[["{stub.site}:HV:", "hv", ""]]'})
    assert screen.get("display.alarms is None and display.cards[0].alarms is None")


def test_fifty_thousand_alarms(opened: Open, stub: AlarmStub) -> None:
    stub.keep("tree", documents.tree([], stub.site, systems=50, things=100, attributes=10))
    screen = opened("alarm_tree")
    screen.wait("display.loaded")
    assert screen.get("display.count.text()") == "50,000 alarms"
    assert screen.get("len(display.view.rows.live)") < 200
    path = f"/{stub.site}/S049/L77/{stub.site}:S049:L77:Adc007"
    screen.get(f"display.view.select([{path!r}])")
    screen.wait(f"display.view.rows.live.item({path!r}) is not None")
    screen.get("display.filter.setText('s049 l77 adc007')")
    screen.wait("display.count.text() == '1 of 50,000'")
    picture(screen, "alarm_tree_50000", (1280, 800))
    screen.get("display.filter.clear()")
    screen.wait("display.count.text() == '50,000 alarms'")
    assert screen.get("len(display.view.rows.live)") < 200
