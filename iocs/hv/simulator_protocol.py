"""The N1470's ASCII dialogue on the simulator's side: one line in, one line or silence out.

The rules, and where the manual says nothing the choice made here:

- A request is `$BD:nn,CMD:MON|SET[,CH:n],PAR:name[,VAL:value]` and ends with CR LF, nothing else. What comes before the
  last `$` of a line is line noise. CH, PAR and VAL come in any order, each once; upper case only; no white space.
- A board answers when the line begins with its number (one or two digits); other lines meet silence.
- Checked in this order: the line's form (CMD:ERR), LOCAL (LOC:ERR, SET only), the parameter (PAR:ERR), the channel
  (CH:ERR), the value (VAL:ERR).
- Numbers come zero-padded (`0012.5`, STAT `01024`) as N1470-type boards send them; `padded=False` sends the plain form.
- A value with more decimals than the board has is rounded; a sign, an exponent or any other text is VAL:ERR.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from iocs.hv import model_channel as limits
from iocs.hv.model import Board, Line
from iocs.hv.model_channel import Channel

MAX_LINE = 128
"""Bytes of a request without its CR LF; a longer one is CMD:ERR."""
END = b"\r\n"


class Request(NamedTuple):
    """A line that some board must answer. `error`: the line's form is wrong; `channel` and `value` None: not given."""

    board: int
    error: bool = False
    set: bool = False
    channel: str | None = None
    parameter: str = ""
    value: str | None = None


_BOARD = re.compile(rb"\$BD:([0-9]{1,2})(?:,|$)")
_LINE = re.compile(r"CMD:(MON|SET)((?:,(?:CH|PAR|VAL):[!-+\--~]*){1,3})")
_CHANNEL = re.compile(r"0|[1-9][0-9]?")
_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{0,12})?")


@lru_cache(8192)
def parse(line: bytes) -> Request | None:
    """Read one line without its CR LF; None when no board is addressed."""
    start = line.rfind(b"$")
    if start < 0:
        return None
    line = line[start:]
    head = _BOARD.match(line)
    if head is None:
        return None
    board = int(head[1])
    if len(line) > MAX_LINE or not line.isascii():
        return Request(board, error=True)
    body = _LINE.fullmatch(line[head.end() :].decode("ascii"))
    if body is None:
        return Request(board, error=True)
    fields: dict[str, str] = {}
    for item in body[2][1:].split(","):
        key, _, text = item.partition(":")
        if key in fields:
            return Request(board, error=True)
        fields[key] = text
    setting = body[1] == "SET"
    if "VAL" in fields and not setting:
        return Request(board, error=True)
    return Request(board, False, setting, fields.get("CH"), fields.get("PAR", ""), fields.get("VAL"))


class _Number(NamedTuple):
    """How a number is written: all digits of its integer part, and decimals."""

    digits: int
    decimals: int

    def text(self, value: float, padded: bool) -> str:
        if not padded:
            return f"{value:.{self.decimals}f}"
        width = self.digits + (self.decimals + 1 if self.decimals else 0)
        return f"{value:0{width}.{self.decimals}f}"


_VOLTS, _AMPS, _AMPS_LOW = _Number(4, 1), _Number(4, 2), _Number(3, 3)
_WHOLE_VOLTS, _RATE, _SECONDS, _WORD = _Number(4, 0), _Number(3, 0), _Number(4, 1), _Number(5, 0)


class _Setting(NamedTuple):
    """A number that can be set, with the names that its limits and decimals are read under."""

    name: str
    number: _Number
    low: float
    high: float
    get: Callable[[Channel], float]
    put: Callable[[Channel, float], None]
    low_name: str
    high_name: str
    decimals_name: str


def _plain(attribute: str) -> Callable[[Channel, float], None]:
    def put(channel: Channel, value: float) -> None:
        setattr(channel, attribute, value)

    return put


_SETTINGS = (
    _Setting("VSET", _VOLTS, 0, limits.V_MAX, lambda c: c.vset, Channel.set_vset, "VMIN", "VMAX", "VDEC"),
    _Setting("ISET", _AMPS, 0, limits.I_MAX, lambda c: c.iset, Channel.set_iset, "IMIN", "IMAX", "ISDEC"),
    _Setting("MAXV", _WHOLE_VOLTS, 0, limits.MAXV_MAX, lambda c: c.maxv, Channel.set_maxv, "MVMIN", "MVMAX", "MVDEC"),
    _Setting(
        "RUP", _RATE, limits.RAMP_MIN, limits.RAMP_MAX, lambda c: c.rup, _plain("rup"), "RUPMIN", "RUPMAX", "RUPDEC"
    ),
    _Setting(
        "RDW", _RATE, limits.RAMP_MIN, limits.RAMP_MAX, lambda c: c.rdw, _plain("rdw"), "RDWMIN", "RDWMAX", "RDWDEC"
    ),
    _Setting("TRIP", _SECONDS, 0, limits.TRIP_MAX, lambda c: c.trip, Channel.set_trip, "TRIPMIN", "TRIPMAX", "TRIPDEC"),
)


def _monitor_table(padded: bool) -> dict[str, Callable[[Channel], str]]:
    """What MON answers for each parameter of a channel."""
    table: dict[str, Callable[[Channel], str]] = {}

    def number(name: str, form: _Number, get: Callable[[Channel], float]) -> None:
        table[name] = lambda channel: form.text(get(channel), padded)

    def constant(name: str, text: str) -> None:
        table[name] = lambda _: text

    for setting in _SETTINGS:
        number(setting.name, setting.number, setting.get)
        constant(setting.low_name, setting.number.text(setting.low, padded))
        constant(setting.high_name, setting.number.text(setting.high, padded))
        constant(setting.decimals_name, str(setting.number.decimals))
    number("VMON", _VOLTS, lambda c: c.vmon)
    table["IMON"] = lambda c: (_AMPS_LOW if c.low_range else _AMPS).text(c.imon, padded)
    table["IMRANGE"] = lambda c: "LOW" if c.low_range else "HIGH"
    table["IMDEC"] = lambda c: str((_AMPS_LOW if c.low_range else _AMPS).decimals)
    table["PDWN"] = lambda c: "RAMP" if c.pdwn_ramp else "KILL"
    table["POL"] = lambda c: "+" if c.positive else "-"
    number("STAT", _WORD, lambda c: c.status)
    return table


def _board_table(padded: bool) -> dict[str, Callable[[Board], str]]:
    """What MON answers for each parameter of a board."""
    return {
        "BDNAME": lambda b: b.name,
        "BDNCH": lambda b: str(len(b.channels)),
        "BDFREL": lambda b: b.firmware,
        "BDSNUM": lambda b: b.serial,
        "BDILK": lambda b: "YES" if b.interlocked else "NO",
        "BDILKM": lambda b: "CLOSED" if b.closed_mode else "OPEN",
        "BDCTR": lambda b: "LOCAL" if b.local else "REMOTE",
        "BDTERM": lambda b: "ON" if b.terminated else "OFF",
        "BDALARM": lambda b: _WORD.text(b.alarm, padded),
    }


_CHOICES: dict[str, dict[str, Callable[[Channel], None]]] = {
    "PDWN": {"RAMP": lambda c: setattr(c, "pdwn_ramp", True), "KILL": lambda c: setattr(c, "pdwn_ramp", False)},
    "IMRANGE": {"LOW": lambda c: c.set_low_range(True), "HIGH": lambda c: c.set_low_range(False)},
}
_SWITCHES: dict[str, Callable[[Channel], None]] = {"ON": Channel.switch_on, "OFF": Channel.switch_off}
_SETTING_BY_NAME = {setting.name: setting for setting in _SETTINGS}
_CHANNEL_SETS = {*_SETTING_BY_NAME, *_CHOICES, *_SWITCHES}


class Dialogue:
    """Answers requests from a model."""

    def __init__(self, line: Line, padded: bool = True) -> None:
        self.line = line
        self._monitors = _monitor_table(padded)
        self._board_monitors = _board_table(padded)

    def answer(self, text: bytes) -> bytes | None:
        """The reply, with CR LF, to one line without its CR LF; None is silence."""
        request = parse(text)
        if request is None:
            return None
        board = self.line.boards.get(request.board)
        if board is None or not board.running:
            return None
        return f"#BD:{board.number:02d},{self._answer(board, request)}\r\n".encode("ascii")

    def _answer(self, board: Board, request: Request) -> str:
        if request.error:
            return "CMD:ERR"
        if not request.set:
            return self._monitor(board, request)
        if board.local:
            return "LOC:ERR"
        return self._set(board, request)

    def _monitor(self, board: Board, request: Request) -> str:
        read = self._monitors.get(request.parameter)
        if read is not None:
            channels = _channels(board, request.channel)
            if channels is None:
                return "CH:ERR"
            return "CMD:OK,VAL:" + ";".join([read(channel) for channel in channels])
        read_board = self._board_monitors.get(request.parameter)
        if read_board is None:
            return "PAR:ERR"
        return "CH:ERR" if request.channel is not None else "CMD:OK,VAL:" + read_board(board)

    def _set(self, board: Board, request: Request) -> str:
        name, value = request.parameter, request.value
        if name in ("BDILKM", "BDCLR"):
            if request.channel is not None:
                return "CH:ERR"
            return _set_board(board, name, value)
        if name not in _CHANNEL_SETS:
            return "PAR:ERR"
        channels = _channels(board, request.channel)
        if channels is None:
            return "CH:ERR"
        action = _channel_action(name, value)
        if action is None:
            return "VAL:ERR"
        for channel in channels:
            action(channel)
        return "CMD:OK"


def _channels(board: Board, text: str | None) -> list[Channel] | None:
    """The channels that a CH field means; its number of channels means all."""
    if text is None or not _CHANNEL.fullmatch(text):
        return None
    number = int(text)
    if number == len(board.channels):
        return board.channels
    return [board.channels[number]] if number < len(board.channels) else None


def _set_board(board: Board, name: str, value: str | None) -> str:
    if name == "BDCLR":
        if value is not None:
            return "VAL:ERR"
        board.clear_alarms()
        return "CMD:OK"
    if value not in ("OPEN", "CLOSED"):
        return "VAL:ERR"
    board.set_interlock_mode(closed=value == "CLOSED")
    return "CMD:OK"


def _channel_action(name: str, value: str | None) -> Callable[[Channel], None] | None:
    """What a SET does to each channel; None when its value is wrong."""
    if name in _SWITCHES:
        return _SWITCHES[name] if value is None else None
    if value is None:
        return None
    if name in _CHOICES:
        return _CHOICES[name].get(value)
    setting = _SETTING_BY_NAME[name]
    if not _NUMBER.fullmatch(value):
        return None
    number = round(float(value), setting.number.decimals)
    if not setting.low <= number <= setting.high:
        return None
    return lambda channel: setting.put(channel, number)
