"""`[ioc.config]` of an `hv` IOC: the boards on the line, the channel map, and what Init writes.

Every number of the map is a start value or a limit; what the operator changes later is saved by the IOC.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

MAX_BOARDS = 32
TRIP_NEVER = 1000.0
"""Trip time, in seconds, from which a channel limits its current for ever instead of tripping."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,20}")
_OWN_NAMES = {"IOC"}

Volts = Annotated[float, Field(ge=0, le=10_000, allow_inf_nan=False)]
MicroAmps = Annotated[float, Field(ge=0, le=10_000, allow_inf_nan=False)]
VoltsPerSecond = Annotated[float, Field(ge=1, le=500, allow_inf_nan=False)]
TripSeconds = Annotated[float, Field(ge=0, le=TRIP_NEVER, allow_inf_nan=False)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(f"{value!r} cannot be part of a PV name; right: 1 to 20 of A-Z a-z 0-9 _ -")
    if value in _OWN_NAMES:
        raise ValueError(f"{value!r} is the prefix of the IOC's own PVs; choose another name")
    return value


class BoardConfig(_Model):
    """One board of the line."""

    name: str
    """Object name in the PVs, for example B0."""
    address: int = Field(ge=0, le=MAX_BOARDS - 1)
    """The board's number on the line (`BD:`), set on its front panel."""
    model: str = "N1470"
    """What the board must answer to BDNAME."""
    channels: int = Field(default=4, ge=1, le=16)
    """What the board must answer to BDNCH."""

    _check_name = field_validator("name")(_name)


class ChannelConfig(_Model):
    """One output and its place in the detector."""

    alias: str
    """Object name in the PVs, for example L07."""
    board: str
    """Name of its board."""
    ch: int = Field(ge=0, le=15)
    """Channel number on its board."""
    layer: int
    """Layer of the detector; -1 for what is no layer (field, reserve)."""
    vdef: Volts = 0.0
    """Voltage at Mult = 1; 0 V: Mult leaves the channel alone."""
    idef: MicroAmps | None = None
    """Current limit that Init writes; default: `init.iset`."""
    vset_max: Volts | None = None
    """Highest VSet that the IOC accepts; default: what the board allows."""
    vmon_high: Volts | None = None
    """VMon from which it is MINOR; default: no limit."""
    vmon_hihi: Volts | None = None
    """VMon from which it is MAJOR; default: no limit."""
    imon_high: MicroAmps | None = None
    """IMon from which it is MINOR; default: `alarms.imon_high`."""
    imon_hihi: MicroAmps | None = None
    """IMon from which it is MAJOR; default: `alarms.imon_hihi`."""

    _check_name = field_validator("alias")(_name)

    @model_validator(mode="after")
    def _limits(self) -> Self:
        if self.vset_max is not None and self.vdef > self.vset_max:
            raise ValueError(f"{self.alias}: vdef {self.vdef:g} V is above vset_max {self.vset_max:g} V")
        for quantity in ("vmon", "imon"):
            high, hihi = getattr(self, f"{quantity}_high"), getattr(self, f"{quantity}_hihi")
            if high is not None and hihi is not None and high > hihi:
                raise ValueError(f"{self.alias}: {quantity}_high {high:g} is above {quantity}_hihi {hihi:g}")
        return self


class InitConfig(_Model):
    """What the command Init writes to every channel."""

    iset: MicroAmps = 50.0
    """Current limit of a channel without an `idef`."""
    trip: TripSeconds = 0.2
    """Seconds in over-current until the channel trips; 1000 = never."""
    pdwn: Literal["RAMP", "KILL"] = "RAMP"
    imrange: Literal["HIGH", "LOW"] = "HIGH"


class AlarmConfig(_Model):
    """Alarm limits of the channels that have none of their own."""

    imon_high: MicroAmps | None = None
    imon_hihi: MicroAmps | None = None

    @model_validator(mode="after")
    def _limits(self) -> Self:
        if self.imon_high is not None and self.imon_hihi is not None and self.imon_high > self.imon_hihi:
            raise ValueError(f"imon_high {self.imon_high:g} is above imon_hihi {self.imon_hihi:g}")
        return self


class LineConfig(_Model):
    """How the line is used."""

    period: float = Field(default=0.5, ge=0.05, le=60)
    """Seconds between readings of the measured values."""
    settings_period: float = Field(default=2.0, ge=0.05, le=600)
    """Seconds between readings of what can be set (the read-backs)."""
    timeout: float = Field(default=0.4, ge=0.05, le=10)
    """Seconds that a board may take to answer; with more than 0.5 a lost line is INVALID later than 2 s."""
    pipeline: int = Field(default=24, ge=1, le=256)
    """Requests on the way at one time over TCP; a serial line always has one."""
    baud: int = 9600
    """Of a serial line (8N1, XON/XOFF)."""


class HvConfig(_Model):
    """A line of N1470 boards and the channels on them."""

    boards: tuple[BoardConfig, ...] = Field(min_length=1, max_length=MAX_BOARDS)
    channels: tuple[ChannelConfig, ...] = Field(min_length=1)
    ramp_up: VoltsPerSecond = 10.0
    """V/s of the channel with the longest way up; start value of RampUpBase."""
    ramp_down: VoltsPerSecond = 100.0
    """V/s of the channel with the longest way down, and of Down; start value of RampDownBase."""
    scale_ramp: bool = True
    """Scale the ramps of the other channels so that all arrive together; start value of ScaleRamp."""
    line: LineConfig = LineConfig()
    init: InitConfig = InitConfig()
    alarms: AlarmConfig = AlarmConfig()

    @model_validator(mode="after")
    def _map(self) -> Self:
        problems = _map_problems(self.boards, self.channels)
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def idef_of(self, channel: ChannelConfig) -> float:
        """Current limit, in uA, that Init writes to `channel`."""
        return self.init.iset if channel.idef is None else channel.idef

    def channels_of(self, board: BoardConfig) -> tuple[ChannelConfig, ...]:
        """The mapped channels of `board`."""
        return tuple(channel for channel in self.channels if channel.board == board.name)


def _twice(values: Sequence[object]) -> list[int]:
    """The places of the values that stand in `values` before."""
    return [place for place, value in enumerate(values) if value in values[:place]]


def _map_problems(boards: tuple[BoardConfig, ...], channels: tuple[ChannelConfig, ...]) -> list[str]:
    """Everything that is wrong between the tables, a sentence each behind the key that it is about."""
    by_name = {board.name: board for board in boards}
    addresses = [board.address for board in boards]
    aliases = [channel.alias for channel in channels]
    places = [(channel.board, channel.ch) for channel in channels]
    problems = [
        f"boards.{i}.name: board name {boards[i].name} is given twice" for i in _twice([board.name for board in boards])
    ]
    for i in _twice(addresses):
        first = boards[addresses.index(addresses[i])].name
        problems.append(f"boards.{i}.address: address {addresses[i]} is given twice ({first}, {boards[i].name})")
    problems += [f"channels.{i}.alias: channel alias {aliases[i]} is given twice" for i in _twice(aliases)]
    for i, channel in enumerate(channels):
        board = by_name.get(channel.board)
        if channel.alias in by_name:
            problems.append(f"channels.{i}.alias: {channel.alias} names a board and a channel")
        if board is None:
            known = ", ".join(by_name)
            problems.append(f"channels.{i}.board: no board {channel.board!r}; boards are {known}")
        elif channel.ch >= board.channels:
            known = f"0..{board.channels - 1}"
            problems.append(f"channels.{i}.ch: board {board.name} has channels {known}, not {channel.ch}")
    for i in _twice(places):
        first, (board_name, ch) = aliases[places.index(places[i])], places[i]
        what = f"{board_name} channel {ch} is given to more than one alias"
        problems.append(f"channels.{i}.ch: {what} ({first}, {aliases[i]})")
    return problems
