"""The front-ends of a FELIX: table, configuration, connectivity, and the log that can be shown and hidden."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from runkey_screens import Fake, Stub, connect, picture, post, wait_answered
from screen_stand import Screen

Open = Callable[..., Screen]
ROOT = "display.frontends.objects.root.children[0]"


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(tmp_path)


@pytest.fixture
def stub(prefix: str) -> Iterator[Stub]:
    ioc = Stub(prefix)
    yield ioc
    if ioc.process.returncode is None:
        ioc.process.stop()


def wait_for(screen: Screen, felix: str) -> None:
    """Until this FELIX is shown."""
    screen.wait(f"[node.path for node in display.frontends.objects.root.children] == ['/{felix}']")
    wait_answered(screen)


def cells(screen: Screen, path: str) -> list[str]:
    model = "display.frontends.objects"
    index = f"{model}.index_of({ROOT}.find({path!r}))"
    return screen.get(f"[{model}.data({index}.siblingAtColumn(c), 0) for c in range(5)]")


def test_front_ends_with_their_links_and_buttons(open_screen: Open, fake: Fake) -> None:
    screen = open_screen("felix", {"P": "NOSUCH:RK:", "RUNKEY": "sr1 mmsetup 04 sr1"}, env=fake.env)
    wait_for(screen, "FELIX1")
    assert screen.get("(display.felix_box.currentText(), display.runkey_box.currentText())") == [
        "FELIX1",
        "sr1 mmsetup 04 sr1",
    ]
    assert cells(screen, "/FELIX1/OB1")[0] == "OB1    4 Frontends"
    assert cells(screen, "/FELIX1/OB1/FE1") == ["FE1", "4", "2", "✔", "✔"]
    assert cells(screen, "/FELIX1/OB1/FE2") == ["FE2", "8", "2", "✖", "–"]
    assert screen.get("display.summary.whole") == "2 optoboards · 8 front-ends, 6 enabled"
    picture(screen, "felix", (1920, 1080), (1280, 800), (1024, 640), (800, 520))
    buttons = f"display.frontends.buttons({ROOT}.find('/FELIX1/OB1/FE1'))"
    screen.get(f"click({buttons}[0])")
    wait_answered(screen)
    assert screen.get("display.viewer.title.whole") == "/FELIX1/OB1/FE1"
    assert screen.get("display.viewer.stack.currentWidget() is display.viewer.json")
    picture(screen, "felix_config")
    screen.get("click(display.viewer.buttons['pixels'])")
    wait_answered(screen)
    assert screen.get("display.viewer.stack.currentWidget() is display.viewer.pixels"), "maps, not text"
    picture(screen, "felix_pixels")
    screen.get(f"click({buttons}[1])")
    rows = dict(screen.get("display.connectivity.table.model.rows"))
    assert {"Front-end": "FE1", "Optoboard": "OB1", "Felix": "FELIX1", "Rx": "4", "Tx": "2"}.items() <= rows.items()
    assert (rows["Enabled"], rows["Locked"], rows["Chip"], rows["host"]) == ("✔", "✔", "RD53B", "127.0.0.1")
    picture(screen, "felix_connectivity")
    screen.get("(display.felix_box.setCurrentIndex(1), display._choose_felix(1))")
    wait_for(screen, "FELIX2")


def test_the_log_is_toggled_and_has_what_the_ioc_said(open_screen: Open, fake: Fake, stub: Stub) -> None:
    screen = open_screen("felix", {"P": stub.prefix}, env=fake.env)
    wait_for(screen, "FELIX1")
    connect(screen, stub.prefix)
    assert not screen.get("display.log_panel.isVisible()")
    for number in range(3):
        post(screen, Msg=f"message {number}")
        screen.wait(f"any('message {number}' in line for line in display.log_panel.lines)")
    screen.get("click(find('Toggle logging'))")
    assert screen.get("display.log_panel.isVisible()")
    text = screen.get("display.log_panel.text.toPlainText()")
    assert text.index("message 0") < text.index("message 1") < text.index("message 2")
    picture(screen, "felix_log")
    stub.process.kill()
    screen.wait("display.log_panel.lines[-1].endswith('disconnected')")
    screen.wait("display.header.beat.state == 'dead'")
    assert screen.get(f"{ROOT}.path") == "/FELIX1", "the databases are there without the IOC"
    screen.get("click(find('Toggle logging'))")
    assert not screen.get("display.log_panel.isVisible()")


def test_the_selected_runkey_is_shown_at_first(open_screen: Open, fake: Fake, stub: Stub) -> None:
    setter = open_screen("runkey_panel", {"P": stub.prefix})
    connect(setter, stub.prefix)
    post(setter, Selected="snapshot 2026-11-19 03:12:44")
    setter.wait("display.choice.pv.text.startswith('snapshot')")
    screen = open_screen("felix", {"P": stub.prefix}, env=fake.env)
    screen.wait("display.runkey is not None")
    assert screen.get("display.runkey.name") == "snapshot 2026-11-19 03:12:44"


def test_a_whole_felix_with_840_front_ends(open_screen: Open, fake: Fake) -> None:
    fake.behave("many")
    screen = open_screen("felix", {"P": "NOSUCH:RK:", "RUNKEY": "scan 0001 threshold tuned"}, env=fake.env)
    wait_for(screen, "FELIX1")
    assert screen.get("display.summary.whole") == "30 optoboards · 840 front-ends, 810 enabled"
    assert len(screen.get(f"display.frontends.buttons({ROOT}.find('/FELIX1/OB1/FE9'))")) == 2
    board = f"{ROOT}.find('/FELIX1/OB30')"
    assert screen.get(f"display.frontends.buttons({board}.children[0])") == [], "made when they are seen"
    screen.get(f"display.frontends.view.expand(display.frontends.objects.index_of({board}))")
    screen.get(f"click(display.frontends.buttons({board}.children[0])[1])")
    assert screen.get("display.connectivity.title.whole") == "Connectivity of /FELIX1/OB30/FE0"
    picture(screen, "felix_many", (1280, 800))


@pytest.mark.parametrize(
    ("mode", "text"), [("none", "There are no runkeys yet."), ("error", "unable to open database file")]
)
def test_nothing_to_show(open_screen: Open, fake: Fake, mode: str, text: str) -> None:
    fake.behave(mode)
    screen = open_screen("felix", {"P": "NOSUCH:RK:"}, env=fake.env)
    wait_answered(screen)
    assert text in screen.get("display.frontends.note.text() + display.error.text()")
    picture(screen, f"felix_{mode}", (1280, 800))
