"""An IOC that goes away and comes back, one that lets nobody write, and the top screen that shows it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from screen_stand import SLOW, Screen, Stand, write_site
from support import Process, owl, start, unique_prefix

Open = Callable[..., Screen]
NOBODY = "ASG(DEFAULT) { RULE(1, READ) }\nASG(OPERATOR) { RULE(1, READ) }\nASG(EXPERT) { RULE(1, READ) }\n"


class OneIoc:
    """An HV IOC alone in the foreground, with a simulator of its own."""

    def __init__(self, folder: Path, acf: str = "") -> None:
        self.name = unique_prefix().rstrip(":")
        self.prefix = f"{self.name}:HV:"
        self.site = write_site(folder, self.name, acf=acf)
        self._argv = owl("ioc", "hv", "--site", str(self.site), "--state", str(folder / "state"), "--system", "HV")
        self.process: Process = start(self._argv, timeout=SLOW)

    def restart(self) -> None:
        self.process = start(self._argv, timeout=SLOW)


@pytest.fixture
def one_ioc(tmp_path: Path):
    iocs: list[OneIoc] = []

    def make(acf: str = "") -> OneIoc:
        iocs.append(OneIoc(tmp_path, acf))
        return iocs[-1]

    yield make
    for ioc in iocs:
        if ioc.process.returncode is None:
            ioc.process.stop(SLOW)


def test_an_ioc_that_is_gone_is_grey_and_dashed_and_comes_back(open_screen: Open, one_ioc) -> None:
    ioc = one_ioc()
    subsystems = f'[["{ioc.prefix}", "hv", "High voltage"]]'
    screens = {
        "top": open_screen("top", {"SUBSYSTEMS": subsystems}),
        "hv": open_screen("hv", {"P": ioc.prefix, "SUBSYSTEMS": subsystems}),
        "hv_channel": open_screen("hv_channel", {"P": ioc.prefix, "CH": "L07", "SUBSYSTEMS": subsystems}),
    }
    top, hv, channel = screens.values()
    for screen in screens.values():
        screen.whole()
    assert top.get("display.cards[0].beat.state") == "alive"
    ioc.process.kill()
    top.wait("display.cards[0].beat.state == 'dead' and display.cards[0].property('severity') == 4")
    assert top.get("display.cards[0].beat.text()") == "✖ DISCONNECTED"
    hv.wait("all(tile.state.word == 'OFFLINE' and tile.severity == 4 for tile in display.tiles.values())")
    assert hv.get("display.tiles['L07'].v_mon.text()") == "– – –", "no number that nobody vouches for"
    assert hv.get("display.summary.text()") == "24 offline"
    assert not hv.get("find('DOWN').isEnabled()")
    channel.wait("display.badge.text() == '┅ OFFLINE'")
    channel.wait("not display.settings.set_VSet.isEnabled() and display.settings.rbv_VSet.text() == '– – –'")
    for name, screen in screens.items():
        screen.picture(f"{name}_gone")
    ioc.restart()
    top.wait("display.cards[0].beat.state == 'alive'")
    hv.wait("all(tile.state.word == 'OFF' and tile.severity == 0 for tile in display.tiles.values())")
    channel.wait("display.settings.set_VSet.isEnabled()")


def test_an_ioc_that_hangs_has_no_beat(open_screen: Open, one_ioc) -> None:
    ioc = one_ioc()
    screen = open_screen("top", {"SUBSYSTEMS": f'[["{ioc.prefix}", "hv", "High voltage"]]'})
    screen.whole()
    ioc.process.signal(signal.SIGSTOP)
    try:
        screen.wait("display.cards[0].beat.state == 'frozen'")
        assert screen.get("display.cards[0].beat.text()").startswith("♡ no beat for ")
        assert screen.get("display.cards[0].property('severity')") == 2
        screen.picture("top_frozen")
    finally:
        ioc.process.signal(signal.SIGCONT)
    screen.wait("display.cards[0].beat.state == 'alive'")


def test_who_may_not_write_sees_it_on_the_buttons(open_screen: Open, one_ioc) -> None:
    ioc = one_ioc(NOBODY)
    screen = open_screen("hv", {"P": ioc.prefix})
    screen.wait("len(display.tiles) == 24")
    screen.whole()
    for label in ("DOWN", "Clear", "Initialise", "Set"):
        assert not screen.get(f"find({label!r}).isEnabled()"), label
    assert "Access security" in screen.get("find('DOWN').toolTip()")
    screen.picture("hv_no_access")


def test_an_overview_waits_for_its_ioc(open_screen: Open, one_ioc) -> None:
    ioc = one_ioc()
    ioc.process.kill()
    screen = open_screen("hv", {"P": ioc.prefix})
    assert f"{ioc.prefix}IOC:Catalogue" in screen.get("display.waiting_label.text()")
    screen.picture("hv_waiting")
    ioc.restart()
    screen.wait("len(display.tiles) == 24 and not display.waiting_label.isVisible()")
    screen.whole()


def test_the_top_screen_of_a_running_stand(open_screen: Open, stand: Stand) -> None:
    screen = open_screen("top", {"SUBSYSTEMS": f'[["{stand.prefix}", "hv", "High voltage"]]', "TITLE": "The stand"})
    screen.whole()
    card = "display.cards[0]"
    screen.wait(f"{card}.beat.state == 'alive' and {card}.state.text() == 'Running'")
    assert screen.get(f"{card}.badge.text()") == "SIM"
    before = screen.get(f"{card}.beat.property('on')")
    screen.wait(f"{card}.beat.property('on') != {before}")
    screen.picture("top")
