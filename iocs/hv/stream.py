"""A byte stream to a line of boards: TCP, or a serial port (a pty is one).

Data and the end of the stream come by callback in the event loop; `write` never blocks.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from typing import Protocol
from urllib.parse import urlsplit

import serial

from iocs.hv.protocol import Disconnected, Timeout

TCP_PORT = 1470

OnData = Callable[[bytes], None]
OnClosed = Callable[[str], None]


class Stream(Protocol):
    """What a line needs of a connection."""

    def write(self, data: bytes) -> None:
        """Send `data`, later if it cannot go now."""
        ...

    def close(self) -> None:
        """End the connection; no callback comes afterwards."""
        ...


class _Tcp(asyncio.Protocol):
    def __init__(self, on_data: OnData, on_closed: OnClosed) -> None:
        self._on_data, self._on_closed = on_data, on_closed
        self._transport: asyncio.Transport | None = None
        self._open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._open:
            self._on_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._open:
            self._open = False
            self._on_closed(f"the connection was lost: {exc}" if exc else "the device closed the connection")

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        self._open = False
        if self._transport is not None:
            self._transport.abort()


class _Serial:
    def __init__(self, path: str, baud: int, on_data: OnData, on_closed: OnClosed) -> None:
        self._on_data, self._on_closed = on_data, on_closed
        self._port = serial.Serial(path, baud, timeout=0, write_timeout=0, xonxoff=True, exclusive=True)
        self._fd = self._port.fileno()
        os.set_blocking(self._fd, False)
        self._loop = asyncio.get_running_loop()
        self._unsent = b""
        self._open = True
        self._loop.add_reader(self._fd, self._readable)

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, 4096)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(f"the serial port failed: {error.strerror}")
            return
        if data:
            self._on_data(data)
        else:
            self._lost("the serial port is gone")

    def _lost(self, reason: str) -> None:
        if self._open:
            self.close()
            self._on_closed(reason)

    def write(self, data: bytes) -> None:
        if not self._open:
            return
        waiting = bool(self._unsent)
        self._unsent += data
        if not waiting:
            self._writable()

    def _writable(self) -> None:
        try:
            self._unsent = self._unsent[os.write(self._fd, self._unsent) :]
        except BlockingIOError:
            pass
        except OSError as error:
            # not from inside write(): its caller is not ready for the end of the stream
            self._loop.call_soon(self._lost, f"the serial port failed: {error.strerror}")
            self._unsent = b""
        if self._unsent:
            self._loop.add_writer(self._fd, self._writable)
        else:
            self._loop.remove_writer(self._fd)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
            with contextlib.suppress(OSError, serial.SerialException):
                self._port.close()


def split_address(address: str) -> tuple[str, str, int]:
    """`("tcp", host, port)` or `("serial", path, 0)` of an address; ValueError with what would be right."""
    right = "right: tcp://host:1470 or serial:///dev/ttyUSB0"
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{address!r} is no address of a device ({error}); {right}") from None
    if parts.scheme == "tcp" and parts.hostname and not parts.path.strip("/"):
        return "tcp", parts.hostname, port or TCP_PORT
    if parts.scheme == "serial" and parts.path.startswith("/") and not parts.netloc:
        return "serial", parts.path, 0
    raise ValueError(f"{address!r} is no address of a device; {right}")


async def open_stream(address: str, on_data: OnData, on_closed: OnClosed, *, timeout: float, baud: int) -> Stream:
    """Connect to `address` within `timeout` seconds; Disconnected or Timeout when it fails, ValueError: no address."""
    scheme, place, port = split_address(address)
    try:
        if scheme == "serial":
            return _Serial(place, baud, on_data, on_closed)
        async with asyncio.timeout(timeout):
            _, stream = await asyncio.get_running_loop().create_connection(
                lambda: _Tcp(on_data, on_closed), place, port
            )
        return stream
    except TimeoutError:
        raise Timeout(f"{address} does not accept a connection within {timeout:g} s") from None
    except OSError as error:  # SerialException is one
        raise Disconnected(f"cannot connect to {address}: {error.strerror or error}") from None
