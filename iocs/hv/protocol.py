"""The N1470 ASCII protocol: bytes <-> messages. No sockets, no time.

    $BD:00,CMD:MON,CH:4,PAR:VMON            ->  #BD:00,CMD:OK,VAL:1.0;2.0;3.0;4.0      (CH 4 of 4: all channels)
    $BD:00,CMD:SET,CH:1,PAR:VSET,VAL:1500.0 ->  #BD:00,CMD:OK                              (or VAL:ERR, LOC:ERR, ...)

A reply says which board it is of, but not what was asked. So every reply is checked against the question as far as it
can be: its board, how many values, and the grammar of the parameter down to the number of decimals (a reply cut short
is still a number).

Errors are one closed tree:

    DeviceError
      Timeout        no answer in time
      Disconnected   there is no connection, or no such board on it
      Rejected       the device (or the driver for it) said no; the text says why
      BadReply       what came is not an answer to what was asked
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MAX_LINE = 512
"""Bytes after which a line without an end is garbage: 16 channels of 8 characters need less than 200."""

Value = float | int | str


class DeviceError(Exception):
    """Something that a device, or the way to it, did. Never raised itself."""


class Timeout(DeviceError):  # noqa: N818 - the design's names
    """No answer in time."""


class Disconnected(DeviceError):  # noqa: N818 - the design's names
    """No connection, or nobody of that number on it."""


class Rejected(DeviceError):  # noqa: N818 - the design's names
    """A request was understood and refused."""


class BadReply(DeviceError):  # noqa: N818 - the design's names
    """What came back is no answer to the question."""


class Status(enum.IntFlag):
    """Bits of STAT (N1470 dialect)."""

    ON = 1 << 0
    RUP = 1 << 1
    RDW = 1 << 2
    OVC = 1 << 3
    OVV = 1 << 4
    UNV = 1 << 5
    MAXV = 1 << 6
    TRIP = 1 << 7
    OVP = 1 << 8
    OVT = 1 << 9
    DIS = 1 << 10
    KILL = 1 << 11
    ILK = 1 << 12
    NOCAL = 1 << 13


def bit_names(word: int) -> str:
    """The names of the bits that are set: "ON RUP"."""
    return " ".join(bit.name or "" for bit in Status if word & bit)


class Kind(enum.Enum):
    """What a parameter's values look like."""

    NUMBER = "number"
    INTEGER = "integer"
    WORD = "word"
    TEXT = "text"
    ACTION = "action"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of the protocol."""

    name: str
    kind: Kind
    per_channel: bool = True
    words: tuple[str, ...] = ()
    decimals: str | None = None
    """The parameter that says how many decimals this one has."""
    lowest: str | None = None
    """The parameter that says this one's lowest value; likewise `highest`."""
    highest: str | None = None


def _settable(name: str, short: str, decimals: str) -> list[Parameter]:
    return [
        Parameter(name, Kind.NUMBER, decimals=decimals, lowest=f"{short}MIN", highest=f"{short}MAX"),
        Parameter(f"{short}MIN", Kind.NUMBER),
        Parameter(f"{short}MAX", Kind.NUMBER),
        Parameter(decimals, Kind.INTEGER),
    ]


PARAMETERS: dict[str, Parameter] = {
    parameter.name: parameter
    for parameter in [
        *_settable("VSET", "V", "VDEC"),
        *_settable("ISET", "I", "ISDEC"),
        *_settable("MAXV", "MV", "MVDEC"),
        *_settable("RUP", "RUP", "RUPDEC"),
        *_settable("RDW", "RDW", "RDWDEC"),
        *_settable("TRIP", "TRIP", "TRIPDEC"),
        Parameter("VMON", Kind.NUMBER, decimals="VDEC"),
        Parameter("IMON", Kind.NUMBER),
        Parameter("IMDEC", Kind.INTEGER),
        Parameter("IMRANGE", Kind.WORD, words=("HIGH", "LOW")),
        Parameter("PDWN", Kind.WORD, words=("KILL", "RAMP")),
        Parameter("POL", Kind.WORD, words=("-", "+")),
        Parameter("STAT", Kind.INTEGER),
        Parameter("ON", Kind.ACTION),
        Parameter("OFF", Kind.ACTION),
        Parameter("BDNAME", Kind.TEXT, per_channel=False),
        Parameter("BDNCH", Kind.INTEGER, per_channel=False),
        Parameter("BDFREL", Kind.TEXT, per_channel=False),
        Parameter("BDSNUM", Kind.TEXT, per_channel=False),
        Parameter("BDILK", Kind.WORD, per_channel=False, words=("NO", "YES")),
        Parameter("BDILKM", Kind.WORD, per_channel=False, words=("OPEN", "CLOSED", "DRIVEN", "UNDRIVEN")),
        Parameter("BDCTR", Kind.WORD, per_channel=False, words=("LOCAL", "REMOTE")),
        Parameter("BDALARM", Kind.INTEGER, per_channel=False),
        Parameter("BDCLR", Kind.ACTION, per_channel=False),
    ]
}


@dataclass(frozen=True, slots=True)
class Request:
    """One question (`value` None and MON) or order to a board; `channel` None for a board parameter."""

    board: int
    command: str
    parameter: str
    channel: int | None = None
    value: str | None = None
    count: int = 1
    """Values in the answer: the number of channels when `channel` means all."""

    def encode(self) -> bytes:
        """The bytes on the wire, with their end."""
        channel = "" if self.channel is None else f"CH:{self.channel},"
        value = "" if self.value is None else f",VAL:{self.value}"
        return f"$BD:{self.board:02d},CMD:{self.command},{channel}PAR:{self.parameter}{value}\r\n".encode("ascii")

    def __str__(self) -> str:
        return self.encode().decode("ascii").rstrip()


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: `error` (for example "VAL:ERR") or the values as text, None when there are none."""

    board: int
    error: str | None = None
    values: tuple[str, ...] | None = None


_REPLY = re.compile(r"#BD:([0-9]{2}),(?:CMD:OK(?:,VAL:([!-\"$-~][ -\"$-~]*))?|((?:CMD|CH|PAR|VAL|LOC):ERR))")
_NUMBER = re.compile(r"-?[0-9]{1,7}(?:\.([0-9]{1,6}))?")
_INTEGER = re.compile(r"[0-9]{1,7}")

REASONS = {
    "CMD:ERR": "the board did not understand the command",
    "CH:ERR": "the board has no such channel",
    "PAR:ERR": "the board has no such parameter",
    "VAL:ERR": "the board refuses the value",
    "LOC:ERR": "the board is in LOCAL mode: its front panel has the control",
}


def parse_reply(line: bytes) -> Reply:
    """The reply in `line` (without its end); BadReply when it is none."""
    try:
        text = line.decode("ascii")
    except UnicodeDecodeError:
        raise BadReply(f"not ASCII: {line[:60]!r}") from None
    match = _REPLY.fullmatch(text)
    if match is None:
        raise BadReply(f"not a reply: {line[:60]!r}")
    board, values, error = match.groups()
    return Reply(int(board), error, None if values is None else tuple(values.split(";")))


def check(request: Request, reply: Reply) -> None:
    """BadReply unless `reply` can be the answer to `request`."""
    if reply.board != request.board:
        raise BadReply(f"board {reply.board} answered a question to board {request.board}")
    if reply.error is not None:
        return
    if request.command == "SET":
        if reply.values is not None:
            raise BadReply(f"{request}: answered with values {reply.values}")
        return
    decode(request, reply)


def decode(request: Request, reply: Reply, decimals: Sequence[int] | None = None) -> tuple[Value, ...]:
    """The values that answer the MON `request`: `request.count` of them, as float, int or str by the parameter's kind.

    `decimals`: how many decimals each value must have. Rejected when the board refused, BadReply when the values are
    not of the parameter's grammar.
    """
    if reply.error is not None:
        raise Rejected(f"{request}: {REASONS[reply.error]} ({reply.error})")
    parameter = PARAMETERS[request.parameter]
    texts = reply.values or ()
    if len(texts) != request.count:
        raise BadReply(f"{request}: {len(texts)} values instead of {request.count}: {texts}")
    if parameter.kind is Kind.NUMBER:
        return tuple(
            _number(request, text, None if decimals is None else decimals[index]) for index, text in enumerate(texts)
        )
    return tuple(_plain(request, parameter, text) for text in texts)


def _number(request: Request, text: str, decimals: int | None) -> float:
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise BadReply(f"{request}: {text!r} is not a number")
    if request.parameter == "IMON" and len(match[1] or "") < 2:  # 2 or 3, by its range
        raise BadReply(f"{request}: {text!r} has less than 2 decimals")
    if decimals is not None and len(match[1] or "") != decimals:
        raise BadReply(f"{request}: {text!r} has not {decimals} decimals")
    return float(text)


def _plain(request: Request, parameter: Parameter, text: str) -> int | str:
    if parameter.kind is Kind.INTEGER:
        if not _INTEGER.fullmatch(text):
            raise BadReply(f"{request}: {text!r} is not a whole number")
        return int(text)
    if parameter.kind is Kind.WORD and text not in parameter.words:
        raise BadReply(f"{request}: {text!r} is none of {', '.join(parameter.words)}")
    return text


def mon(board: int, parameter: str, channels: int) -> Request:
    """The question for `parameter` of all channels of a board that has `channels` of them, or of the board itself."""
    if PARAMETERS[parameter].per_channel:
        return Request(board, "MON", parameter, channel=channels, count=channels)
    return Request(board, "MON", parameter)


class LineSplitter:
    """Bytes as they come -> whole lines without CR LF."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterable[bytes]:
        """The lines that `data` completes; more than `MAX_LINE` bytes without an end come as one (bad) line."""
        *lines, self._rest = (self._rest + data).split(b"\r\n")
        if len(self._rest) > MAX_LINE:
            lines.append(self._rest)
            self._rest = b""
        return lines

    def take_rest(self) -> bytes:
        """Forget, and return, the beginning of a line that has no end yet."""
        rest, self._rest = self._rest, b""
        return rest
