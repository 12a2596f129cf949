"""Screens against the real stand: simulator, IOC and archiver of a site of this test process's own."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from screen_stand import SLOW, Screen, Stand
from support import qt_problem


@pytest.fixture(scope="session")
def qt() -> None:
    """Skips when Qt's system libraries are missing."""
    if problem := qt_problem():
        pytest.skip(f"screens can't be shown here: {problem}")


@pytest.fixture
def open_screen(qt: None) -> Iterator[Callable[..., Screen]]:
    """Opens screens, and closes them at the end: exit code 0, nothing on standard error."""
    with contextlib.ExitStack() as stack:

        def open_one(
            name: str, macros: dict[str, str], size: str = "1280x800", env: dict[str, str] | None = None
        ) -> Screen:
            screen = Screen(name, macros, size, env or {})
            stack.callback(screen.close)
            return screen

        yield open_one


@pytest.fixture(scope="session")
def running_stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    stand = Stand(tmp_path_factory.mktemp("stand"))
    try:
        yield stand
    finally:
        code = stand.process.stop(SLOW)
        if code:
            print(stand.process.text())


@pytest.fixture
def stand(running_stand: Stand) -> Stand:
    """The stand with every channel off, no alarm and no fault."""
    running_stand.quiet()
    return running_stand


@pytest.fixture(scope="module")
def kept_screens(qt: None, running_stand: Stand) -> Iterator[dict[str, Screen]]:
    """Two screens that stay open for all tests of a module, as they do at a stand."""
    subsystems = f'[["{running_stand.prefix}", "hv", ""]]'
    with contextlib.ExitStack() as stack:
        screens: dict[str, Screen] = {}
        for name, more in (("hv", {}), ("hv_channel", {"CH": "L07"})):
            macros = {"P": running_stand.prefix, "SUBSYSTEMS": subsystems, **more}
            screens[name] = Screen(name, macros, "1280x800", {"PYDM_ARCHIVER_URL": running_stand.archive})
            stack.callback(screens[name].close)
        screens["hv"].wait("len(display.tiles) == 24")
        yield screens


@pytest.fixture
def overview(kept_screens: dict[str, Screen], stand: Stand) -> Screen:
    """The overview of the quiet stand."""
    screen = kept_screens["hv"]
    screen.whole()
    screen.wait("all(tile.state.text == '○ OFF' for tile in display.tiles.values())")
    return screen


@pytest.fixture
def detail(kept_screens: dict[str, Screen], stand: Stand) -> Screen:
    """The detail of L07 of the quiet stand."""
    screen = kept_screens["hv_channel"]
    screen.whole()
    screen.wait("display.badge.text() == '○ OFF'")
    return screen
