"""What a board says about itself, what can be written to it, and whether it did what it was told."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from iocs.hv.protocol import (
    PARAMETERS,
    REASONS,
    BadReply,
    DeviceError,
    Kind,
    Rejected,
    Reply,
    Request,
    Status,
    Value,
    bit_names,
    decode,
)

RANGED = ("VSET", "ISET", "MAXV", "RUP", "RDW", "TRIP")
"""What has its limits and decimals in the board."""
_BOUND = {"VMON": "VSET", "IMON": "ISET"}
"""A measured value and the setting whose range says what is possible."""
_SLACK = 0.1
"""A measured value may be outside of its setting's range by this part of the highest value."""

Reading = Mapping[str, tuple[Value, ...]]
"""Parameter -> one value per channel (one value for a parameter of the board)."""


@dataclass(frozen=True)
class BoardSpec:
    """A board that should be on the line."""

    name: str
    address: int
    model: str = "N1470"
    channels: int = 4


@dataclass(frozen=True)
class Range:
    """What one channel accepts for one parameter; units are those of the protocol (V, uA, V/s, s)."""

    lowest: float
    highest: float
    decimals: int

    def text(self, value: float) -> str:
        """`value` as the board writes it."""
        return f"{value:.{self.decimals}f}"


@dataclass(frozen=True)
class Identity:
    """What a board says about itself."""

    model: str
    channels: int
    firmware: str
    serial: str
    ranges: Mapping[str, tuple[Range, ...]]
    widths: Mapping[str, int] = field(default_factory=dict)
    """Characters of each number of a board that writes leading zeros: a reply cut short is then seen."""


@dataclass(frozen=True)
class Setting:
    """Something to write. `channel` None: all channels of the board at once, or a parameter of the board.

    `value`: None for ON, OFF and BDCLR.
    """

    board: str
    parameter: str
    channel: int | None = None
    value: float | str | None = None

    def __str__(self) -> str:
        place = self.board if self.channel is None else f"{self.board} channel {self.channel}"
        what = self.parameter if self.value is None else f"{self.parameter} {self.value}"
        return f"{place}: {what}"


def believable(identity: Identity, request: Request, reply: Reply) -> tuple[Value, ...]:
    """The values of a reply, which must have the decimals and lie in the range that the board has told."""
    name = request.parameter
    ranges = identity.ranges.get(_BOUND.get(name, name))
    width = identity.widths.get(name)
    if width is not None and reply.values and any(len(text) != width for text in reply.values):
        raise BadReply(f"{request}: not {width} characters each: {reply.values}")
    if ranges is None:
        return decode(request, reply)
    values = decode(request, reply, None if name == "IMON" else [each.decimals for each in ranges])
    for value, each in zip(values, ranges, strict=True):
        slack = _SLACK * each.highest if name in _BOUND else 0.0
        if not each.lowest - slack <= float(value) <= each.highest + slack:
            raise BadReply(f"{request}: {value} is outside of {each.lowest:g} to {each.highest:g}")
    return values


def learn_widths(names: Sequence[str], replies: Sequence[Reply]) -> dict[str, int]:
    """The number of characters of each parameter's values, if the board writes leading zeros; otherwise nothing."""
    texts: dict[str, tuple[str, ...]] = {name: reply.values or () for name, reply in zip(names, replies, strict=True)}
    if not any(re.match(r"0[0-9]", text) for values in texts.values() for text in values):
        return {}
    return {name: len(values[0]) for name, values in texts.items() if len({len(text) for text in values}) == 1}


def order(board: BoardSpec, identity: Identity, setting: Setting) -> Request:
    """The SET of a setting. Rejected when the board has told that it would not take the value."""
    parameter = PARAMETERS[setting.parameter]
    channel = setting.channel
    if parameter.per_channel and channel is None:
        channel = board.channels
    value = setting.value
    ranges = identity.ranges.get(setting.parameter)
    if isinstance(value, float) and ranges is not None:
        for each in ranges if setting.channel is None else ranges[setting.channel : setting.channel + 1]:
            if not each.lowest <= value <= each.highest:
                raise Rejected(f"{setting} is outside of {each.lowest:g} to {each.highest:g}")
        value = ranges[setting.channel or 0].text(value)
    return Request(board.address, "SET", setting.parameter, channel, None if value is None else str(value))


MOVES = {"MAXV": "VSET"}
"""Settings that move another one: a MAXV below VSET takes VSET with it. Who reads back the one reads the other, too."""


def read_back(setting: Setting) -> str | None:
    """The parameter in which the board shows a setting; None when it cannot be seen."""
    if PARAMETERS[setting.parameter].kind is not Kind.ACTION:
        return setting.parameter
    return None if setting.parameter == "BDCLR" else "STAT"


def verify(identity: Identity, setting: Setting, request: Request, reply: Reply, back: Reading) -> DeviceError | None:
    """None when the board took the setting and shows it."""
    if reply.error is not None:
        return Rejected(f"{setting}: {REASONS[reply.error]} ({reply.error})")
    name = read_back(setting)
    if name is None:
        return None
    values = back[name]
    shown = values if setting.channel is None else values[setting.channel : setting.channel + 1]
    if setting.parameter == "OFF":
        return None  # STAT may say ON until the ramp down has ended
    if setting.parameter == "ON":
        blocked = [int(word) for word in shown if not int(word) & Status.ON]
        return Rejected(f"{setting}: the channel stays off ({bit_names(blocked[0])})") if blocked else None
    wanted = float(request.value or 0) if identity.ranges.get(name) else request.value
    if any(value != wanted for value in shown):
        return Rejected(f"{setting}: the board shows {', '.join(map(str, shown))}")
    return None
