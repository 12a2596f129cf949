"""Alarm screens with an alarm server and an `owl` that say what a test wants."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runkey_screens import HERE, connect
from screen_stand import SLOW, Screen
from support import Process, start


class AlarmStub:
    """`alarm_stub_ioc.py` of a site of its own, and a folder for what is large."""

    def __init__(self, site: str, folder: Path) -> None:
        self.site = site
        self.prefix = f"{site}:ALM:"
        self.folder = folder
        self._argv = [sys.executable, str(HERE / "alarm_stub_ioc.py"), self.prefix]
        self.process: Process = start(self._argv, timeout=SLOW)
        self.env = {
            "OWLSHIFT_OWL": f"{sys.executable} {HERE / 'fake_alarm_owl.py'}",
            "FAKE_ALARMS": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "TZ": "UTC",
        }

    @property
    def macros(self) -> dict[str, str]:
        """What its screens are given."""
        subsystems = [[self.prefix, "alarm", "Alarms"], [f"{self.site}:HV:", "hv", "High voltage"]]
        return {"P": self.prefix, "SUBSYSTEMS": json.dumps(subsystems)}

    def restart(self) -> None:
        """After it was killed."""
        self.process = start(self._argv, timeout=SLOW)

    def keep(self, name: str, document: Any) -> str:
        """Write a document for the stub IOC, or for the fake `owl` (`tree`, `log`, `stats`)."""
        file = self.folder / f"{name}.json"
        file.write_text(json.dumps(document))
        return str(file)

    def behave(self, mode: str) -> None:
        """As `fake_alarm_owl` knows it."""
        (self.folder / "mode").write_text(mode)

    def calls(self) -> list[str]:
        """What `owl alarm` was asked, in order."""
        file = self.folder / "calls"
        return file.read_text().splitlines() if file.exists() else []

    def open(self, name: str, size: str = "1280x800", **macros: str) -> Screen:
        """One of its screens, which can post values of the stub."""
        screen = Screen(name, self.macros | macros, size, self.env)
        connect(screen, self.prefix)
        return screen

    def post(self, screen: Screen, values: Mapping[str, Mapping[str, Any]]) -> None:
        """Let the stub post these values, by area or alarm; "" is the whole tree."""
        screen.get(f"display.test.put_text({json.dumps(values)!r})")

    def show_active(self, screen: Screen, document: Mapping[str, Any]) -> None:
        """Let the stub serve this table, and the counts that go with it."""
        rows = document["alarms"]
        waiting = sum(not row["severity"].endswith("_ACK") and not row["reasons"] for row in rows)
        known = sum(row["severity"].endswith("_ACK") for row in rows)
        severity = 6 if waiting else 2 if known else 0
        root = {"Sevr": severity, "NUnack": waiting, "NAck": known, "NSupp": len(rows) - waiting - known}
        self.post(screen, {"": {"Active": self.keep("active", document), **root}})


def asked(screen: Screen) -> list[str]:
    """What the stub was asked, in order."""
    return screen.get("display.asked.text").splitlines()
