"""What a reading means for the PVs, and what a PV's value means for the device."""

from __future__ import annotations

import enum
from typing import Any

from iocs.hv.board import Identity, Reading, Setting
from iocs.hv.config import ChannelConfig
from iocs.hv.protocol import Status
from iocs.hv.pvs import (
    ControlMode,
    CurrentRange,
    HvBoard,
    HvChannel,
    InterlockMode,
    OnOff,
    PowerDown,
    Sign,
    alarm_of,
    state_of,
)

NUMBERS = {"VSet": "VSET", "ISet": "ISET", "VMax": "MAXV", "RUp": "RUP", "RDwn": "RDW", "Trip": "TRIP"}
"""Settings that are numbers: attribute -> parameter."""
WORDS: dict[str, tuple[str, type[enum.IntEnum]]] = {
    "PDwn": ("PDWN", PowerDown),
    "IMonRange": ("IMRANGE", CurrentRange),
}
"""Settings that are words; the enum's members are called like them."""
SIGNS = {"-": Sign.Negative, "+": Sign.Positive}


def setting_of(channel: HvChannel, attribute: str, value: float | enum.IntEnum) -> Setting:
    """The setting that a value of a channel's PV means."""
    if attribute == "Pw":
        return Setting(channel.board, "ON" if value else "OFF", channel.number)
    if isinstance(value, enum.IntEnum):
        return Setting(channel.board, WORDS[attribute][0], channel.number, value.name)
    return Setting(channel.board, NUMBERS[attribute], channel.number, float(value))


def apply_ranges(channel: HvChannel, identity: Identity) -> None:
    """Limits of the setpoints and display ranges as the board has them, within those of the map."""
    config: ChannelConfig = channel.config
    for attribute, parameter in NUMBERS.items():
        one = identity.ranges[parameter][channel.number]
        highest = one.highest
        if attribute == "VSet" and config.vset_max is not None:
            highest = min(highest, config.vset_max)
        pv, back = getattr(channel, attribute), getattr(channel, f"{attribute}_RBV")
        if pv.limits.control != (one.lowest, highest):
            pv.set_limits(control=(one.lowest, highest), display=(one.lowest, highest))
            back.set_limits(display=(one.lowest, one.highest))
            if attribute == "VSet":
                channel.VMon.set_limits(display=(one.lowest, one.highest))
            if attribute == "ISet":
                channel.IMon.set_limits(display=(one.lowest, one.highest))


def channel_posts(channel: HvChannel, reading: Reading) -> list[Any]:
    """What a reading of its board says about a channel."""
    mine = {name: values[channel.number] for name, values in reading.items() if len(values) > channel.number}
    posts: list[Any] = []
    for attribute, parameter in NUMBERS.items():
        if parameter in mine:
            posts.append((getattr(channel, f"{attribute}_RBV"), mine[parameter]))
    for attribute, (parameter, words) in WORDS.items():
        if parameter in mine:
            posts.append((getattr(channel, f"{attribute}_RBV"), words[str(mine[parameter])]))
    if "VMON" in mine:
        posts.append((channel.VMon, mine["VMON"]))
    if "IMON" in mine and "IMRANGE" in mine:
        posts.append((channel.IMon, mine["IMON"]))
        posts.append((channel.IMonL if mine["IMRANGE"] == "LOW" else channel.IMonH, mine["IMON"]))
    if "POL" in mine:
        posts.append((channel.Polarity, SIGNS[str(mine["POL"])]))
    if "STAT" in mine:
        word = int(mine["STAT"])
        alarm = alarm_of(word)
        posts += [(channel.Status, word, alarm), (channel.State, state_of(word), alarm)]
        posts += [(pv, bool(word & bit)) for pv, bit in channel.bits]
        posts.append((channel.Pw_RBV, OnOff.On if word & Status.ON else OnOff.Off))
    return posts


def board_posts(board: HvBoard, reading: Reading) -> list[Any]:
    """What a reading says about the board itself."""
    mine = {name: values[0] for name, values in reading.items()}
    posts: list[Any] = []
    if "BDILK" in mine:
        posts.append((board.Ilk, mine["BDILK"] == "YES"))
    if "BDILKM" in mine:
        posts.append((board.IlkMode_RBV, InterlockMode[str(mine["BDILKM"])]))
    if "BDCTR" in mine:
        posts.append((board.Ctrl, ControlMode[str(mine["BDCTR"])]))
    if "BDALARM" in mine:
        word = int(mine["BDALARM"])
        posts += [
            (board.Alarm, word),
            (board.AlmPwFail, bool(word & 1 << 4)),
            (board.AlmOvP, bool(word & 1 << 5)),
            (board.AlmHvCk, bool(word & 1 << 6)),
        ]
    return posts


def first_setpoints(board: HvBoard, reading: Reading) -> list[Any]:
    """The setpoints as the device has them."""
    posts: list[Any] = [(board.IlkMode, InterlockMode[str(reading["BDILKM"][0])])]
    for channel in board.outputs:
        for attribute, parameter in NUMBERS.items():
            posts.append((getattr(channel, attribute), reading[parameter][channel.number]))
        for attribute, (parameter, words) in WORDS.items():
            posts.append((getattr(channel, attribute), words[str(reading[parameter][channel.number])]))
        posts.append((channel.Pw, OnOff.On if int(reading["STAT"][channel.number]) & Status.ON else OnOff.Off))
    return posts
