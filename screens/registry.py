"""Which screens there are, and what macros each of them needs. Imports no Qt."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
STYLE_SHEET = FOLDER / "owlshift.qss"


class ScreenError(Exception):
    """A screen that can't be opened; the text says why, for an operator."""


@dataclass(frozen=True)
class Subsystem:
    """One IOC as a screen sees it: what its PV names begin with (``DEMO:HV:``), its kind, and a title."""

    prefix: str
    kind: str
    title: str = ""

    @property
    def system(self) -> str:
        """The last part of the prefix, for example ``HV``."""
        return self.prefix.rstrip(":").rpartition(":")[2]


@dataclass(frozen=True)
class Screen:
    """A screen: a Python file with one `Display` class, and the names of the macros it can't do without."""

    name: str
    title: str
    macros: tuple[str, ...] = ()
    kind: str = ""
    """The kind of IOC that it shows; empty for one that shows all of them."""

    @property
    def file(self) -> Path:
        """The file that PyDM loads (`pydm FILE -m MACROS` opens it as well)."""
        return FOLDER / f"{self.name}.py"

    def check(self, macros: Mapping[str, str]) -> None:
        """ScreenError when a macro that this screen needs is missing."""
        missing = [name for name in self.macros if not macros.get(name)]
        if missing:
            raise ScreenError(f"screen {self.name!r} needs the macro {' and '.join(missing)}")


SCREENS = {
    screen.name: screen
    for screen in (
        Screen("top", "All subsystems: alive or dead, state, message", ("SUBSYSTEMS",)),
        Screen("hv", "High voltage: all channels of a crate, and what is done to all of them", ("P",), "hv"),
        Screen("hv_channel", "High voltage: one channel, its settings, status and plot", ("P", "CH"), "hv"),
        Screen("runkey_panel", "Runkeys: snapshot, compare and apply, with progress and report", ("P",), "runkey"),
        Screen("runkey", "Runkeys: list, objects, payloads, history, and the difference of two", ("P",), "runkey"),
        Screen("felix", "Runkeys: the front-ends of a FELIX, their configuration and connectivity", ("P",), "runkey"),
        Screen("alarm_table", "Alarms: what is in alarm, what to do about it, acknowledge and shelve", ("P",), "alarm"),
        Screen("alarm_tree", "Alarms: the tree of areas and alarms", ("P",), "alarm"),
        Screen("alarm_area", "Alarms: the areas as tiles", ("P",), "alarm"),
        Screen("alarm_log", "Alarms: the log: what came and went, and who did what", ("P",), "alarm"),
        Screen("alarm_shelves", "Alarms: what is put aside, by whom, why and until when", ("P",), "alarm"),
        Screen("alarm_figures", "Alarms: figures by ISA-18.2, with their targets", ("P",), "alarm"),
    )
}

KIND_SCREENS = {"hv": "hv", "runkey": "runkey_panel", "alarm": "alarm_table"}
"""The screen that a kind of IOC opens from the top screen. A kind that is not here has none."""


def find(name: str) -> Screen:
    """The screen called `name`; ScreenError with the names there are."""
    try:
        return SCREENS[name]
    except KeyError:
        raise ScreenError(f"no screen {name!r}; there are {', '.join(SCREENS)}") from None


def pack(subsystems: Sequence[Subsystem]) -> str:
    """Subsystems as the text of the macro SUBSYSTEMS."""
    return json.dumps([[s.prefix, s.kind, s.title] for s in subsystems])


def unpack(text: str) -> list[Subsystem]:
    """The inverse of `pack`; ScreenError when the text is something else."""
    try:
        return [Subsystem(str(prefix), str(kind), str(title)) for prefix, kind, title in json.loads(text)]
    except (ValueError, TypeError) as error:
        raise ScreenError(
            f"the macro SUBSYSTEMS should be a JSON list of [prefix, kind, title], not {text!r}"
        ) from error
