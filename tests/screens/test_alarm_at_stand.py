"""Alarm screens at the real stand: simulated high voltage, the real alarm server, SQLite, and the real `owl alarm`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from runkey_screens import picture
from screen_stand import Screen, Stand

from screens.registry import Subsystem, pack


class Alarms:
    """The screens of a stand's alarm server."""

    def __init__(self, stand: Stand, folder: Path) -> None:
        self.stand = stand
        prefix = f"{stand.name}:ALM:"
        subsystems = [
            Subsystem(stand.prefix, "hv", "High voltage"),
            Subsystem(f"{stand.name}:RK:", "runkey", "Runkeys"),
            Subsystem(prefix, "alarm", "Alarms"),
        ]
        self.macros = {"P": prefix, "SUBSYSTEMS": pack(subsystems), "TITLE": "The stand"}
        self.env = stand.env | {"XDG_CONFIG_HOME": str(folder)}
        self.pv = f"{stand.prefix}L07:IMon"
        self.path = f"/{stand.name}/HV/L07/{self.pv}"

    def open(self, name: str, **macros: str) -> Screen:
        """One of its screens."""
        return Screen(name, self.macros | macros, "1280x800", self.env)


@pytest.fixture(scope="module")
def alarms(qt: None, running_stand: Stand, tmp_path_factory: pytest.TempPathFactory) -> Alarms:
    return Alarms(running_stand, tmp_path_factory.mktemp("config"))


@pytest.fixture(scope="module")
def table(alarms: Alarms) -> Iterator[Screen]:
    screen = alarms.open("alarm_table")
    screen.wait("display.active.time")
    yield screen
    screen.close()


def test_over_current_is_seen_acknowledged_shelved_and_logged(alarms: Alarms, table: Screen) -> None:
    stand = alarms.stand
    stand.quiet()
    row = f"[alarm for alarm in display.model.rows if alarm.pv == {alarms.pv!r}]"
    table.get("(display.view.selectAll(), display.acts.do_acknowledge())")
    table.get("answer('do') if question() else True")
    stand.put("Mult", 0.8)
    stand.control("load", target="L07", megohms=35.0)
    table.wait(f"{row} and {row}[0].look.waits")
    assert table.get(f"{row}[0].area") == f"/{stand.name}/HV/L07"
    table.wait("display.header.alarms.property('waits')")
    table.get(f"display.view.select([{alarms.path!r}])")
    table.wait("len(display.view.selected) == 1 and display.acts.acknowledge.isEnabled()")
    picture(table, "alarm_real_table", (1280, 800))
    table.get("click(find('✓ Acknowledge'))")
    table.wait(f"not {row} or not {row}[0].look.waits or {row}[0].severity != 'MINOR'")
    table.wait(f"not {row} or {row}[0].acknowledged_by or {row}[0].look.waits")
    table.get(f"display.view.select([{alarms.path!r}])")
    dialog = "__import__('screens.parts.alarm_shelve').parts.alarm_shelve.dialog_of(window)"
    table.wait("len(display.view.selected) == 1")
    table.get("click(find('Shelve …'))")
    table.get(f"{dialog}.other.setText('1h') or {dialog}.reason.setEditText('the cable is changed')")
    table.get(f"click({dialog}.do)")

    shelves = alarms.open("alarm_shelves")
    try:
        shelves.wait(f"[shelf.path for shelf in display.shelves] == [{alarms.path!r}]")
        assert shelves.get("display.shelves[0].why") == "the cable is changed"
        picture(shelves, "alarm_real_shelves", (1280, 800))
        shelves.get("(display.table.view.selectRow(0), click(find('Unshelve')))")
        shelves.wait("not display.shelves")
    finally:
        shelves.close()
    log = alarms.open("alarm_log", PATH=alarms.path)
    try:
        log.wait("display.loaded")
        # it is written a little later than it happens
        kinds = "{'transition', 'ack', 'shelve', 'unshelve'} <= {event.kind for event in display.events}"
        log.wait(f"{kinds} or (display.owl.pending() == '' and display.search())")
        assert log.get("[event.detail for event in display.events if event.kind == 'shelve']")[0]
        picture(log, "alarm_real_log", (1280, 800))
    finally:
        log.close()


def test_tree_areas_figures_and_top_of_the_real_thing(alarms: Alarms) -> None:
    tree = alarms.open("alarm_tree", PATH=alarms.path)
    try:
        tree.wait("display.loaded and len(display.view.selected) == 1")
        tree.wait(f"display.view.rows.live.item({alarms.path!r}) is not None")
        tree.whole()
        tree.wait("'What to do' in display.details.toPlainText() or len(display.details.toPlainText()) > 80")
        picture(tree, "alarm_real_tree", (1280, 800))
    finally:
        tree.close()
    area = alarms.open("alarm_area")
    try:
        area.wait(f"display.loaded and '/{alarms.stand.name}/HV' in display.tiles")
        area.wait(f"display.tiles['/{alarms.stand.name}/HV'].item is not None")
        area.get(f"display.show_area('/{alarms.stand.name}/HV')")
        area.wait("len(display.tiles) >= 24")
        picture(area, "alarm_real_area", (1280, 800))
    finally:
        area.close()
    figures = alarms.open("alarm_figures")
    try:
        counted = "display.figures is not None and display.figures.alarms > 0"
        figures.wait(f"{counted} or (display.owl.pending() == '' and display.read())")
        picture(figures, "alarm_real_figures", (1280, 800))
    finally:
        figures.close()
    top = alarms.open("top")
    try:
        top.whole()
        top.wait("display.cards[0].alarms.isEnabled() and display.alarms.text()[0] in '✓▲◆■●△◇□○'")
        picture(top, "alarm_real_top", (1280, 800))
    finally:
        top.close()
