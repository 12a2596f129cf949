"""How alarm screens lead to each other, and from an alarm to the screen that helps. Imports no Qt."""

from __future__ import annotations

from collections.abc import Mapping

from screens.parts.alarm_data import Alarm
from screens.registry import KIND_SCREENS, SCREENS, ScreenError, Subsystem, unpack

KIND = "alarm"
OWN = ("P", "SUBSYSTEMS")
PLACES = (
    ("Table", "alarm_table"),
    ("Tree", "alarm_tree"),
    ("Areas", "alarm_area"),
    ("Log", "alarm_log"),
    ("Shelves", "alarm_shelves"),
    ("Figures", "alarm_figures"),
)


def own_macros(macros: Mapping[str, str]) -> dict[str, str]:
    """What every alarm screen is given on the way from another one."""
    return {name: macros[name] for name in OWN if macros.get(name)}


def links(macros: Mapping[str, str], here: str) -> list[tuple[str, str, dict[str, str]]]:
    """The links that alarm screens have to each other and to the top."""
    own = own_macros(macros)
    top = [("◀ Top", "top", {"SUBSYSTEMS": own["SUBSYSTEMS"]})] if "SUBSYSTEMS" in own else []
    return top + [(label, screen, own) for label, screen in PLACES if screen != here]


def subsystems_of(packed: str) -> list[Subsystem]:
    """The subsystems of the macro SUBSYSTEMS; none when there are none, or it is something else."""
    try:
        return unpack(packed) if packed else []
    except ScreenError:
        return []


def alarm_server(packed: str) -> str:
    """The prefix of the site's alarm server (``DEMO:ALM:``); empty when the site has none."""
    return next((one.prefix for one in subsystems_of(packed) if one.kind == KIND), "")


def helping_screen(alarm: Alarm, packed: str) -> tuple[str, dict[str, str]] | None:
    """The screen that helps with an alarm and its macros, None when there is none.

    It is the one that the alarm names, else that of the IOC whose PV it is. CH is the object that the PV belongs to.
    """
    channel = alarm.pv.removeprefix("ca://")
    owners = [one for one in subsystems_of(packed) if channel.startswith(one.prefix)]
    owner = max(owners, key=lambda one: len(one.prefix), default=None)
    name = alarm.screen or (KIND_SCREENS.get(owner.kind, "") if owner else "")
    screen = SCREENS.get(name)
    if screen is None:
        return None
    macros = {"SUBSYSTEMS": packed} if packed else {}
    if owner is not None:
        macros["P"] = owner.prefix
        place, colon, _ = channel.removeprefix(owner.prefix).partition(":")
        if colon:
            macros["CH"] = place
    return (name, macros) if all(macros.get(one) for one in screen.macros) else None
