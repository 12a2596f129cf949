"""Screens against the real stand: simulator, IOC and archiver of a site of this test process's own."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from screen_stand import SLOW, Screen, Stand, qt_problem


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
    running_stand.control("cable", "plug")
    running_stand.control("clear")
    running_stand.control("load", "L07", "100")
    running_stand.control("local", "all", "off")
    running_stand.control("interlock", "all", "off")
    running_stand.control("speed", "20")
    running_stand.put("Down", "1")
    running_stand.put("Clear", "1")
    return running_stand
