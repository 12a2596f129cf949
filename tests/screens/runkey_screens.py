"""Runkey screens with a fake `owl` and an IOC that says what a test wants."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from screen_stand import OUT, SLOW, Screen
from support import Process, start

HERE = Path(__file__).parent


class Fake:
    """A fake `owl`: how it behaves, and what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "owl-mode"
        self.behave("some")
        self.env = {
            "OWLSHIFT_OWL": f"{sys.executable} {HERE / 'fake_owl.py'}",
            "FAKE_OWL": str(self.file),
            "TZ": "UTC",
        }

    def behave(self, mode: str) -> None:
        """As `fake_owl` knows it."""
        self.file.write_text(mode)

    def calls(self) -> list[str]:
        """What it was asked, in order."""
        file = Path(f"{self.file}.calls")
        return file.read_text().splitlines() if file.exists() else []


class Stub:
    """`runkey_stub_ioc.py`."""

    def __init__(self, prefix: str) -> None:
        self.prefix = f"{prefix}RK:"
        self._argv = [sys.executable, str(HERE / "runkey_stub_ioc.py"), self.prefix]
        self.process: Process = start(self._argv, timeout=SLOW)

    def restart(self) -> None:
        """After it was killed."""
        self.process = start(self._argv, timeout=SLOW)


def connect(screen: Screen, prefix: str) -> None:
    """Let the screen's process reach the stub's PV for tests as well."""
    screen.get(f"setattr(display, 'test', __import__('screens.parts.pv').parts.pv.Pv('{prefix}Test', display))")
    screen.get(f"setattr(display, 'asked', __import__('screens.parts.pv').parts.pv.Pv('{prefix}Test_RBV', display))")
    screen.wait("display.test.write_access and display.asked.value is not None")


def post(screen: Screen, **values: Any) -> None:
    """Let the stub post these values."""
    screen.get(f"display.test.put_text({json.dumps(values)!r})")


def wait_answered(screen: Screen) -> None:
    """Until the screen waits for nothing that `owl` prints."""
    screen.wait("display.owl.pending() == '' and display._listed")


def picture(screen: Screen, name: str, *sizes: tuple[int, int]) -> None:
    """PNGs to look at; the screen fits into each size and no text is cut."""
    OUT.mkdir(parents=True, exist_ok=True)
    for width, height in sizes or ((1920, 1080), (1280, 800), (1024, 640)):
        file = OUT / f"{name}_{width}x{height}.png"
        size, cut = screen.get(f"shot({str(file)!r}, {width}, {height})")
        assert size == [width, height], f"{name}: {size}"
        assert not cut, f"{name} at {width}x{height}: {cut}"
