"""The high-voltage screens against the simulated crate, in every state an operator meets."""

from __future__ import annotations

from collections.abc import Callable

from screen_stand import OUT, Screen, Stand

RED, YELLOW, MAGENTA, GREEN = "#ff5c57", "#ffd83d", "#ff6ef5", "#8fd694"
Open = Callable[..., Screen]


def color(widget: str) -> str:
    return f"{widget}.palette().color({widget}.foregroundRole()).name()"


def test_all_off(overview: Screen) -> None:
    names = [f"L{n:02d}" for n in range(1, 22)] + ["F", "R1", "R2"]
    assert overview.get("list(display.tiles)") == names
    overview.wait("all(tile.state.word == 'OFF' for tile in display.tiles.values())")
    assert overview.get("display.summary.text()") == "24 off"
    assert overview.get("display.header.badge.text()") == "SIM"
    assert overview.get("display.header.state.text()") == "Running"
    assert overview.get("list(display.boards)") == [f"B{n}" for n in range(6)]
    assert overview.get("display.boards['B0'].control.text()") == "REMOTE"
    assert overview.get("display.boards['B0'].model.text()") == "N1470"
    assert overview.get(color("display.tiles['L07'].v_mon")) == GREEN
    overview.picture("hv_off")


def test_ramping_and_on(overview: Screen, stand: Stand) -> None:
    stand.control("speed", factor=1.0)
    stand.put("Mult", 0.9)
    overview.wait("sum(tile.state.text == '▲ RAMPING' for tile in display.tiles.values()) == 21")
    overview.wait("float(display.tiles['L07'].v_mon.value) > 100")
    overview.picture("hv_ramping")
    stand.control("speed", factor=20.0)
    overview.wait("sum(tile.state.text == '● ON' for tile in display.tiles.values()) == 21")
    assert overview.get("display.tiles['F'].state.word") == "OFF"
    overview.wait("display.group.mult.readback.text() == '0.9000'")
    assert overview.get("display.group.mult.volts.text()") == "≙ 1800 V"
    assert overview.get("abs(display.tiles['L07'].v_mon.value - 1800) < 2")
    assert overview.get("abs(display.tiles['L21'].v_mon.value - 1138.5) < 2")
    overview.picture("hv_on")


def test_a_tripped_channel_stands_out(overview: Screen, detail: Screen, stand: Stand) -> None:
    stand.put("Mult", 0.9)
    overview.wait("display.tiles['L07'].state.word == 'ON'")
    stand.control("load", target="L07", megohms=10.0)
    overview.wait("display.tiles['L07'].state.text == '✖ TRIP'")
    tile = "display.tiles['L07']"
    assert overview.get(f"{tile}.alarm.text()") == "MAJOR"
    assert overview.get(f"{tile}.property('severity')") == 2
    assert overview.get(color(f"{tile}.alarm")) == RED
    overview.wait("display.boards['B1'].alarm.whole == 'CH 2'")
    assert overview.get("display.boards['B1'].severity") == 2
    assert "1 TRIP" in overview.get("display.summary.text()")
    assert overview.get(color("display.summary")) == RED
    overview.picture("hv_trip")
    detail.wait("display.badge.text() == '✖ TRIP' and display.alarm.text() == 'MAJOR'")
    detail.wait("display.leds['Trip'].is_set and display.leds['Trip'].property('severity') == 2")
    assert not detail.get("display.leds['On'].is_set")
    detail.picture("hv_channel_trip")


def test_a_pulled_cable_makes_everything_invalid(overview: Screen, detail: Screen, stand: Stand) -> None:
    stand.put("Mult", 0.9)
    overview.wait("display.tiles['L07'].state.word == 'ON'")
    stand.control("cable", state="pulled")
    overview.wait("all(tile.state.text == '? NO CONTACT' for tile in display.tiles.values())")
    overview.wait("display.tiles['L07'].severity == 3 and display.boards['B0'].severity == 3")
    assert overview.get(color("display.tiles['L07'].v_mon")) == MAGENTA
    assert overview.get("display.summary.text()") == "24 no contact"
    overview.wait("display.header.state.text() == 'Degraded'")
    assert overview.get(color("display.header.state")) == YELLOW
    overview.picture("hv_pulled")
    detail.wait("display.badge.text() == '? NO CONTACT'")
    detail.wait("all(led.lamp.text() == '?' and not led.is_set for led in display.leds.values())")
    detail.wait("all(__import__('math').isnan(curve.latest_value) for curve in display.plot._curves)")
    detail.picture("hv_channel_pulled")
    stand.control("cable", state="plugged")
    overview.wait("display.tiles['L07'].state.word == 'ON' and display.tiles['L07'].severity == 0")
    detail.wait("display.badge.text() == '● ON'")


def test_local_control_and_interlock_are_told(overview: Screen, stand: Stand) -> None:
    stand.control("local", board="B2", on=True)
    stand.control("interlock", board="B3", on=True)
    overview.wait("display.boards['B2'].control.text() == 'LOCAL' and display.boards['B2'].severity == 1")
    overview.wait("display.boards['B3'].interlock.text() == 'Yes' and display.boards['B3'].severity == 2")
    overview.wait("display.tiles['L13'].state.text == '■ INTERLOCK'")
    assert overview.get("display.boards['B3'].alarm.whole") == "CH 0-3"
    overview.picture("hv_local_interlock")


def test_setting_the_multiplier_asks_first(overview: Screen) -> None:
    overview.get("display.group.mult.entry.setValue(0.5)")
    overview.get("click(find('Set'))")
    assert "0.5000" in overview.get("question().text()") and "1000 V" in overview.get("question().text()")
    assert overview.get("question().defaultButton().objectName()") == "cancel"
    overview.picture("hv_question_mult")
    overview.get(f"question().grab().save({str(OUT / 'question.png')!r})")
    overview.get("answer('cancel')")
    overview.wait("question() is None")
    overview.get("process(0.5)")
    assert overview.get("display.group.mult.setpoint.value") == 0.0
    overview.get("click(find('Set'))")
    overview.get("answer('do')")
    overview.wait("abs(display.group.mult.setpoint.value - 0.5) < 1e-6")
    overview.wait("abs(display.tiles['L07'].v_mon.value - 1000) < 2")


def test_down_asks_first_and_enter_does_it(overview: Screen, stand: Stand) -> None:
    stand.put("Mult", 0.3)
    overview.wait("display.tiles['L07'].state.word == 'ON'")
    overview.get("click(find('DOWN'))")
    assert overview.get("question().text()") == "Ramp every channel down to 0 V and switch it off?"
    overview.get("answer('cancel')")
    overview.get("process(0.5)")
    assert overview.get("display.tiles['L07'].state.word") == "ON"
    overview.get("click(find('DOWN'))")
    overview.get("QTest.keyClick(question(), Qt.Key.Key_Return)")
    overview.wait("all(tile.state.word == 'OFF' for tile in display.tiles.values())")


def test_clear_needs_no_question(overview: Screen, stand: Stand) -> None:
    stand.control("interlock", board="B0", on=True)
    overview.wait("display.tiles['L01'].state.word == 'INTERLOCK'")
    stand.control("interlock", board="B0", on=False)
    overview.get("click(find('Clear'))")
    assert overview.get("question() is None")
    overview.wait("display.tiles['L01'].state.word == 'OFF'")


def test_a_setting_is_written_and_a_refusal_is_told(open_screen: Open, stand: Stand) -> None:
    screen = open_screen("hv_channel", {"P": stand.prefix, "CH": "L09"})
    screen.whole()
    entry = "display.settings.set_ISet"
    screen.get(f"{entry}.setFocus() or {entry}.setText('41.5 uA') or QTest.keyClick({entry}, Qt.Key.Key_Return)")
    screen.wait("display.settings.rbv_ISet.text() == '41.50 uA'")
    screen.get(f"{entry}.setFocus() or {entry}.setText('99999 uA') or QTest.keyClick({entry}, Qt.Key.Key_Return)")
    screen.wait("'ISet' in display.header.message.whole")
    assert screen.get("display.settings.rbv_ISet.text()") == "41.50 uA"
    screen.wait(f"{entry}.text() == '41.50 uA'")


def test_one_channel_on_and_off(open_screen: Open, stand: Stand) -> None:
    screen = open_screen("hv_channel", {"P": stand.prefix, "CH": "R1"})
    screen.whole()
    screen.get("click(find('On'))")
    screen.wait("display.leds['On'].is_set and display.badge.text() == '● ON'")
    screen.get("click(find('Off'))")
    screen.wait("display.badge.text() == '○ OFF'")


def test_the_plot_has_the_archived_past(open_screen: Open, overview: Screen, stand: Stand) -> None:
    stand.put("Mult", 0.8)
    overview.wait("display.tiles['L07'].state.word == 'ON'")
    screen = open_screen("hv_channel", {"P": stand.prefix, "CH": "L07"}, env={"PYDM_ARCHIVER_URL": stand.archive})
    screen.whole()
    assert screen.get("display.waiting()") == ""
    curve = "display.plot._curves[0]"
    screen.wait(f"max(y for y in {curve}.getData()[1] if y == y) > 1590")
    assert screen.get(f"min(y for y in {curve}.getData()[1] if y == y) < 500"), "the ramp was before the screen"
    x = f"{curve}.getData()[0]"
    assert screen.get(f"all(b >= a for a, b in zip({x}, {x}[1:]))")
    screen.picture("hv_channel_archive")
    screen.get("click(find('30 min'))")
    screen.wait("display.plot.getViewBox().viewRange()[0][0] < __import__('time').time() - 1700")


def test_an_archive_that_does_not_answer_leaves_a_live_plot(open_screen: Open, stand: Stand) -> None:
    screen = open_screen(
        "hv_channel", {"P": stand.prefix, "CH": "L07"}, env={"PYDM_ARCHIVER_URL": "http://127.0.0.1:9"}
    )
    screen.whole()
    screen.wait("display.plot._curves[0].points_accumulated > 2")


def test_moving_the_plot_holds_it_until_a_span_is_chosen(detail: Screen) -> None:
    detail.get("display.plot.plotItem.sigXRangeChangedManually.emit()")
    assert detail.get("display.held.isVisible() and not display.plot.following")
    detail.get("click(find('5 min'))")
    assert detail.get("display.plot.following and not display.held.isVisible()")


def test_from_top_to_overview_to_channel_and_back(open_screen: Open, stand: Stand) -> None:
    screen = open_screen("top", {"SUBSYSTEMS": f'[["{stand.prefix}", "hv", "High voltage"]]', "TITLE": "The stand"})
    screen.whole()
    screen.get("click(find('Open'))")
    screen.wait("type(window.current).__name__ == 'HvOverview' and len(window.current.tiles) == 24")
    screen.whole()
    screen.get("click(display.tiles['L07'])")
    screen.wait("type(window.current).__name__ == 'HvChannel'")
    screen.whole()
    screen.get("click(find('L08'))")
    screen.whole()
    assert screen.get("display.prefix") == f"{stand.prefix}L08:"
    screen.get("click(find('◂ L07'))")
    screen.get("click(find('◀ All channels'))")
    screen.wait("type(window.current).__name__ == 'HvOverview'")
    screen.whole()
    screen.get("click(find('◀ Top'))")
    screen.wait("type(window.current).__name__ == 'Top'")
    assert screen.get("window._stack.count()") <= 3
    screen.get("window.back()")
    assert screen.get("type(window.current).__name__") == "HvOverview"
