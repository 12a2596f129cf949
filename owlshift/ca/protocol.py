"""The numbers of Channel Access v4.13 as a client needs them: data types, event masks, status codes."""

from __future__ import annotations

import enum

import numpy as np

from owlshift.channel_access import MINOR_VERSION as MINOR_VERSION
from owlshift.channel_access import Command as Command

EPICS_EPOCH = 631152000
"""Seconds from the Unix epoch to 1990-01-01 UTC, where EPICS time stamps begin."""

HEADER_SIZE = 16
EXTENDED_HEADER_SIZE = 24
EXTENDED_MARK = 0xFFFF
"""Payload size that says: the true size and count are 32-bit numbers behind the header."""

DEFAULT_SERVER_PORT = 5064
DEFAULT_REPEATER_PORT = 5065


class Dbr(enum.IntEnum):
    """The native types of a channel. `DBR_TIME_x` is `x + 14`, `DBR_CTRL_x` is `x + 28`."""

    STRING = 0
    SHORT = 1
    FLOAT = 2
    ENUM = 3
    CHAR = 4
    LONG = 5
    DOUBLE = 6

    @property
    def time(self) -> int:
        """The code of DBR_TIME_x: value, alarm and time stamp."""
        return self.value + TIME_OFFSET

    @property
    def control(self) -> int:
        """The code of DBR_CTRL_x: value, alarm, units, precision, limits or states."""
        return self.value + CONTROL_OFFSET

    @property
    def dtype(self) -> np.dtype:
        """The native-endian numpy type of one element."""
        return NATIVE_DTYPES[self.value]


TIME_OFFSET = 14
CONTROL_OFFSET = 28
NATIVE_DTYPES = tuple(np.dtype(code) for code in ("S40", "=i2", "=f4", "=u2", "=u1", "=i4", "=f8"))
WIRE_DTYPES = tuple(np.dtype(code) for code in ("S40", ">i2", ">f4", ">u2", "u1", ">i4", ">f8"))
TIME_VALUE_OFFSETS = (12, 14, 12, 14, 15, 12, 16)
"""Where the value starts in a DBR_TIME_x payload."""
STRING_SIZE = 40


class DBE(enum.IntFlag):
    """What a subscription asks to hear of."""

    VALUE = 1
    LOG = 2
    ALARM = 4
    PROPERTY = 8


class Access(enum.IntFlag):
    """What the server lets this client do with a channel."""

    NONE = 0
    READ = 1
    WRITE = 2


ECA_NORMAL = 1
ECA_GETFAIL = 152
ECA_PUTFAIL = 160
ECA_BADTYPE = 114
ECA_BADCOUNT = 176
ECA_NORDACCESS = 368
ECA_NOWTACCESS = 376

_STATUS = {
    ECA_NORMAL: ("ECA_NORMAL", "success"),
    48: ("ECA_ALLOCMEM", "the server could not allocate memory"),
    72: ("ECA_TOLARGE", "the data do not fit the server's network buffer"),
    80: ("ECA_TIMEOUT", "the request timed out"),
    88: ("ECA_NOSUPPORT", "the server does not support this"),
    96: ("ECA_STRTOBIG", "the string is too long"),
    ECA_BADTYPE: ("ECA_BADTYPE", "the data type is not valid"),
    142: ("ECA_INTERNAL", "internal failure of the server"),
    ECA_GETFAIL: ("ECA_GETFAIL", "the channel's read request failed"),
    ECA_PUTFAIL: ("ECA_PUTFAIL", "the channel's write request failed"),
    168: ("ECA_ADDFAIL", "the subscription could not be made"),
    ECA_BADCOUNT: ("ECA_BADCOUNT", "the element count is not valid"),
    186: ("ECA_BADSTR", "the string is not valid"),
    192: ("ECA_DISCONN", "the channel is disconnected"),
    242: ("ECA_BADMONID", "the subscription id is not valid"),
    330: ("ECA_BADMASK", "the event mask is not valid"),
    362: ("ECA_PUTCBINPROG", "a put is still in progress"),
    ECA_NORDACCESS: ("ECA_NORDACCESS", "read access denied"),
    ECA_NOWTACCESS: ("ECA_NOWTACCESS", "write access denied"),
    400: ("ECA_NOCONVERT", "there is no conversion between these data types"),
    410: ("ECA_BADCHID", "the channel id is not valid"),
    432: ("ECA_UNAVAILINSERV", "not supported by the server"),
    440: ("ECA_CHANDESTROY", "the server deleted the channel"),
    450: ("ECA_BADPRIORITY", "the priority is not valid"),
    480: ("ECA_UNRESPTMO", "the server does not respond"),
}


def status_text(status: int) -> str:
    """`ECA_PUTFAIL: the channel's write request failed`, or the number where the code is not known."""
    name, text = _STATUS.get(status, (f"ECA {status}", "unknown status"))
    return f"{name}: {text}"


class CaError(Exception):
    """A Channel Access request that did not succeed."""


class CaTimeoutError(CaError, TimeoutError):
    """No server, or no answer, within the time allowed."""


class CaDisconnectedError(CaError, ConnectionError):
    """The channel was lost before the request was answered."""


class CaStatusError(CaError):
    """The server refused the request; `status` is its ECA code."""

    def __init__(self, name: str, status: int, detail: str = "") -> None:
        self.name = name
        self.status = status
        super().__init__(f"{name}: {status_text(status)}" + (f" ({detail})" if detail else ""))


class CaAccessError(CaStatusError):
    """The channel may not be read, or not be written, by this client."""
