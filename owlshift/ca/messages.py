"""The messages that a client sends."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from owlshift.ca.protocol import DBE, EXTENDED_MARK, MINOR_VERSION, Command

_HEADER = struct.Struct(">HHHHII")
_EXTENDED = struct.Struct(">HHHHIIII")
_SUBSCRIBE = np.dtype(
    {
        "names": ["command", "payload", "dbr", "count", "sid", "id", "mask"],
        "formats": [">u2", ">u2", ">u2", ">u2", ">u4", ">u4", ">u2"],
        "offsets": [0, 2, 4, 6, 8, 12, 28],
        "itemsize": 32,
    }
)
DO_NOT_REPLY = 5
SEARCH_HEADER_ROOM = 16


def message(command: int, payload: bytes = b"", dbr: int = 0, count: int = 0, p1: int = 0, p2: int = 0) -> bytes:
    """One message; the payload is padded to 8 bytes, and the long header is used where it must be."""
    payload += b"\0" * (-len(payload) & 7)
    if len(payload) < EXTENDED_MARK and count < EXTENDED_MARK:
        return _HEADER.pack(command, len(payload), dbr, count, p1, p2) + payload
    return _EXTENDED.pack(command, EXTENDED_MARK, dbr, 0, p1, p2, len(payload), count) + payload


def greeting(priority: int, user: str, host: str) -> bytes:
    """What opens a circuit: version and priority, who we are."""
    return (
        message(Command.VERSION, dbr=priority, count=MINOR_VERSION)
        + message(Command.CLIENT_NAME, _text(user))
        + message(Command.HOST_NAME, _text(host))
    )


def create_channel(channel: int, name: bytes) -> bytes:
    """Ask for a channel."""
    return message(Command.CREATE_CHAN, name + b"\0", p1=channel, p2=MINOR_VERSION)


def search(channel: int, name: bytes) -> bytes:
    """Ask who has `name`."""
    return message(Command.SEARCH, name + b"\0", DO_NOT_REPLY, MINOR_VERSION, channel, channel)


def subscribe(
    sids: NDArray[np.uint32], ids: NDArray[np.uint32], dbr: int, counts: NDArray[np.uint32], mask: DBE
) -> bytes:
    """One EVENT_ADD for each (server's channel id, subscription id, element count)."""
    if len(counts) and int(counts.max()) >= EXTENDED_MARK:
        payload = struct.pack(">fffHH", 0, 0, 0, mask, 0)
        return b"".join(
            message(Command.EVENT_ADD, payload, dbr, int(count), int(sid), int(number))
            for sid, number, count in zip(sids, ids, counts, strict=True)
        )
    out = np.zeros(len(sids), dtype=_SUBSCRIBE)
    out["command"] = Command.EVENT_ADD
    out["payload"] = 16
    out["dbr"] = dbr
    out["count"] = counts
    out["sid"] = sids
    out["id"] = ids
    out["mask"] = mask
    return out.tobytes()


def _text(words: str) -> bytes:
    return words.encode("utf-8", "replace")[:255] + b"\0"
