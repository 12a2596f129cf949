"""Numbers of the Channel Access protocol v4.13 that its two ends share.

Source: the Channel Access protocol specification (EPICS documentation).
"""

from __future__ import annotations

import enum

MINOR_VERSION = 13


class Command(enum.IntEnum):
    """Message commands."""

    VERSION = 0
    EVENT_ADD = 1
    EVENT_CANCEL = 2
    READ = 3
    WRITE = 4
    SEARCH = 6
    EVENTS_OFF = 8
    EVENTS_ON = 9
    READ_SYNC = 10
    ERROR = 11
    CLEAR_CHANNEL = 12
    RSRV_IS_UP = 13
    NOT_FOUND = 14
    READ_NOTIFY = 15
    REPEATER_CONFIRM = 17
    CREATE_CHAN = 18
    WRITE_NOTIFY = 19
    CLIENT_NAME = 20
    HOST_NAME = 21
    ACCESS_RIGHTS = 22
    ECHO = 23
    REPEATER_REGISTER = 24
    CREATE_CH_FAIL = 26
    SERVER_DISCONN = 27
