"""Channel Access messages as bytes: header layouts, status codes and a splitter of a byte stream into messages.

Source: the Channel Access protocol specification (EPICS documentation). All numbers are big-endian; a payload is padded
with zeros to a multiple of 8 bytes. A message whose payload or element count does not fit in 16 bits has the extended
header: payload size 0xFFFF, count 0, then both as 32-bit numbers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import NamedTuple

from owlshift.channel_access import MINOR_VERSION as MINOR_VERSION
from owlshift.channel_access import Command as Command

HEADER = struct.Struct(">HHHHII")
EXTENDED = struct.Struct(">HHHHIIII")
OLDEST_VERSION = 4
"""Clients older than CA 4.4 are refused, as EPICS base does."""

MAX_MESSAGE = 16 * 1024 * 1024
"""Bytes of payload that the server takes or sends in one message unless told otherwise."""

ANY_ADDRESS = 0xFFFFFFFF
REPLY_WANTED = 10
SEQUENCE_VALID = 1


class Eca(IntEnum):
    """Status codes of Channel Access, with the severity in the low three bits as libca defines them."""

    NORMAL = 1
    ALLOCMEM = 48
    TOLARGE = 72
    BADTYPE = 114
    INTERNAL = 142
    GETFAIL = 152
    PUTFAIL = 160
    BADCOUNT = 176
    BADSTR = 186
    BADMONID = 242
    NORDACCESS = 368
    NOWTACCESS = 376
    PUTCBINPROG = 362


class Message(NamedTuple):
    """One message: the header's fields under the names of the specification, and the payload as sent."""

    command: int
    size: int
    data_type: int
    data_count: int
    cid: int
    available: int
    payload: bytes


class ProtocolError(Exception):
    """The peer broke the protocol in a way that leaves no sense in what follows: its circuit must be dropped."""

    def __init__(self, reason: str, request: Message | None = None) -> None:
        super().__init__(reason)
        self.request = request


def header(command: int, size: int, data_type: int, count: int, cid: int, available: int) -> bytes:
    """A message header, extended when `size` (bytes) or `count` does not fit in 16 bits."""
    if size < 0xFFFF and count < 0xFFFF:
        return HEADER.pack(command, size, data_type, count, cid, available)
    return EXTENDED.pack(command, 0xFFFF, data_type, 0, cid, available, size, count)


def padded(payload: bytes) -> bytes:
    """The payload with zeros up to a multiple of 8 bytes."""
    rest = len(payload) & 7
    return payload if rest == 0 else payload + bytes(8 - rest)


def message(
    command: int, data_type: int = 0, count: int = 0, cid: int = 0, available: int = 0, payload: bytes = b""
) -> bytes:
    """A whole message; the payload is padded."""
    payload = padded(payload)
    return header(command, len(payload), data_type, count, cid, available) + payload


def error(request: Message, cid: int, status: int, text: str) -> bytes:
    """An ERROR message about `request`: its header, then `text`, cut at 500 bytes."""
    head = header(request.command, request.size, request.data_type, request.data_count, request.cid, request.available)
    body = head + text.encode("utf-8", "replace")[:500] + b"\0"
    return message(Command.ERROR, 0, 0, cid, status, body)


class Splitter:
    """Cuts a byte stream into messages; holds at most one unfinished message.

    `limits` says how many bytes of payload each command may have; a command that it does not name is none. Without it
    every command may have `limit` bytes.
    """

    def __init__(self, limit: int = MAX_MESSAGE, limits: Mapping[int, int] | None = None) -> None:
        self._limit = limit
        self._limits = limits
        self._data = bytearray()
        self._at = 0

    def __len__(self) -> int:
        """Bytes that are held and not yet given out."""
        return len(self._data) - self._at

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take in bytes from the socket."""
        if self._at:
            del self._data[: self._at]
            self._at = 0
        self._data += data

    def messages(self) -> Iterator[Message]:
        """Give out every complete message; may be left early and called again.

        Raises ProtocolError when a header has an unknown command, or announces more payload than it may or a size that
        is no multiple of 8: the payload is never waited for.
        """
        data = self._data
        while True:
            at = self._at
            have = len(data) - at
            if have < HEADER.size:
                return
            command, size, data_type, count, cid, available = HEADER.unpack_from(data, at)
            start = at + HEADER.size
            if size == 0xFFFF:
                if have < EXTENDED.size:
                    return
                size, count = struct.unpack_from(">II", data, start)
                start = at + EXTENDED.size
            limit = self._limit if self._limits is None else self._limits.get(command)
            if limit is None or size > limit or size & 7:
                raise ProtocolError(
                    f"unknown command {command}"
                    if limit is None
                    else f"payload size {size} is no multiple of 8"
                    if size & 7
                    else f"payload of {size} bytes announced for command {command}, the limit is {limit}",
                    Message(command, size, data_type, count, cid, available, b""),
                )
            end = start + size
            if end > len(data):
                return
            payload = bytes(data[start:end])
            self._at = end
            yield Message(command, size, data_type, count, cid, available, payload)


def split_datagram(data: bytes) -> Iterator[Message]:
    """The complete messages of one datagram; ProtocolError where the rest makes no sense."""
    at = 0
    while at + HEADER.size <= len(data):
        command, size, data_type, count, cid, available = HEADER.unpack_from(data, at)
        start = at + HEADER.size
        end = start + size
        if end > len(data):
            raise ProtocolError(f"{len(data) - start} bytes of a payload of {size}")
        yield Message(command, size, data_type, count, cid, available, data[start:end])
        at = end
    if at != len(data):
        raise ProtocolError(f"{len(data) - at} bytes left over")


def text(payload: bytes) -> str:
    """The text of a payload up to its first NUL; bytes that are not UTF-8 become replacement characters."""
    return payload.split(b"\0", 1)[0].decode("utf-8", "replace")
