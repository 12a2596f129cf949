"""A Channel Access client that sends exactly the bytes it is told to, for tests of what a server does with them."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from caproto import ChannelData
from support import free_port

from owlshift.ioc.server import CaServer

HEADER = struct.Struct(">HHHHII")
VERSION, EVENT_ADD, EVENT_CANCEL, READ, WRITE, SEARCH = 0, 1, 2, 3, 4, 6
EVENTS_OFF, EVENTS_ON, READ_SYNC, ERROR, CLEAR_CHANNEL, BEACON, NOT_FOUND = 8, 9, 10, 11, 12, 13, 14
READ_NOTIFY, CREATE_CHAN, WRITE_NOTIFY, CLIENT_NAME, HOST_NAME, ACCESS_RIGHTS, ECHO = 15, 18, 19, 20, 21, 22, 23
CREATE_CH_FAIL = 26
DBE_VALUE, DBE_LOG, DBE_ALARM, DBE_PROPERTY = 1, 2, 4, 8


class Reply(NamedTuple):
    """One message of the server."""

    command: int
    data_type: int
    data_count: int
    cid: int
    available: int
    payload: bytes


def request(
    command: int, data_type: int = 0, count: int = 0, cid: int = 0, available: int = 0, payload: bytes = b""
) -> bytes:
    """A message as a client sends it."""
    payload += bytes(-len(payload) % 8)
    if len(payload) < 0xFFFF and count < 0xFFFF:
        return HEADER.pack(command, len(payload), data_type, count, cid, available) + payload
    head = HEADER.pack(command, 0xFFFF, data_type, 0, cid, available)
    return head + struct.pack(">II", len(payload), count) + payload


def create(name: str, cid: int = 1) -> bytes:
    """A CREATE_CHAN."""
    return request(CREATE_CHAN, 0, 0, cid, 13, name.encode() + b"\0")


def event_add(sid: int, subscription: int, data_type: int = 6, count: int = 1, mask: int = DBE_VALUE) -> bytes:
    """An EVENT_ADD."""
    return request(EVENT_ADD, data_type, count, sid, subscription, struct.pack(">fffHH", 0, 0, 0, mask, 0))


def put(sid: int, value: float, ioid: int = 0, notify: bool = False) -> bytes:
    """A put of one double."""
    return request(WRITE_NOTIFY if notify else WRITE, 6, 1, sid, ioid, struct.pack(">d", value))


def double(reply: Reply) -> float:
    """The value of a plain DBR_DOUBLE payload."""
    return struct.unpack_from(">d", reply.payload)[0]


def take(data: bytearray) -> Reply | None:
    """Cut one message off the front of `data`; None while it is incomplete."""
    if len(data) < 16:
        return None
    command, size, data_type, count, cid, available = HEADER.unpack_from(data)
    start = 16
    if size == 0xFFFF:
        if len(data) < 24:
            return None
        size, count = struct.unpack_from(">II", data, 16)
        start = 24
    if len(data) < start + size:
        return None
    payload = bytes(data[start : start + size])
    del data[: start + size]
    return Reply(command, data_type, count, cid, available, payload)


class RawClient:
    """A client inside the test's event loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.data = bytearray()
        self._next_cid = 1

    @classmethod
    async def connect(cls, port: int, **options: int) -> RawClient:
        """Connect to 127.0.0.1:port."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, **options))

    def send(self, *messages: bytes) -> None:
        """Queue bytes."""
        self.writer.write(b"".join(messages))

    async def next(self, timeout: float = 20.0) -> Reply:
        """The next message; ConnectionError when the server has closed, TimeoutError after `timeout` seconds."""
        while (reply := take(self.data)) is None:
            received = await asyncio.wait_for(self.reader.read(1 << 20), timeout)
            if not received:
                raise ConnectionError("closed by the server")
            self.data += received
        return reply

    async def expect(self, command: int, timeout: float = 20.0) -> Reply:
        """The next message of this kind; others before it are dropped."""
        while True:
            reply = await self.next(timeout)
            if reply.command == command:
                return reply

    async def until_echo(self) -> list[Reply]:
        """All messages that come before the answer to an ECHO sent now."""
        self.send(request(ECHO))
        found = []
        while (reply := await self.next()).command != ECHO:
            found.append(reply)
        return found

    async def open(self, name: str) -> int:
        """Open a channel and return its server id; LookupError when the server has no such PV."""
        cid, self._next_cid = self._next_cid, self._next_cid + 1
        self.send(create(name, cid))
        while True:
            reply = await self.next()
            if reply.command == CREATE_CHAN and reply.cid == cid:
                return reply.available
            if reply.command == CREATE_CH_FAIL and reply.cid == cid:
                raise LookupError(name)

    async def get(self, sid: int, data_type: int = 6, count: int = 1) -> Reply:
        """READ_NOTIFY and its answer."""
        self.send(request(READ_NOTIFY, data_type, count, sid, 77))
        return await self.expect(READ_NOTIFY)

    async def closed(self, timeout: float = 20.0) -> list[Reply]:
        """Read until the server closes; what came before."""
        found = []
        try:
            while True:
                found.append(await self.next(timeout))
        except ConnectionError:
            return found

    def reset(self) -> None:
        """Vanish with a RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        """Close properly."""
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            pass


@asynccontextmanager
async def serving(pvdb: Mapping[str, ChannelData], **options: Any) -> AsyncIterator[CaServer]:
    """A server in the test's own loop, which must have ended and forgotten everybody when the block is left."""
    server = CaServer(pvdb, port=options.pop("port", 0) or free_port(), **options)
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(server.run(stop, ready.set))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        task.result()
    try:
        yield server
    finally:
        stop.set()
        await asyncio.wait_for(task, 20)
    assert (server.clients, server.channels, server.monitors) == (0, 0, 0)


async def eventually(condition: Any, what: str = "", timeout: float = 20.0) -> None:
    """Wait, in the test's loop, until `condition()` is true."""
    for _ in range(int(timeout / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"waited {timeout} s for {what or condition}")


def blocking(
    port: int, name: str, data_type: int, count: int, receive_buffer: int = 0, subscriptions: int = 1
) -> socket.socket:
    """A blocking socket that has subscribed to one PV; `receive_buffer` bytes of SO_RCVBUF when not 0."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(10)
    try:
        sock.connect(("127.0.0.1", port))
        sock.sendall(request(VERSION, 0, 13) + create(name))
        data = bytearray()
        while True:
            received = sock.recv(65536)
            if not received:
                raise ConnectionError("closed by the server")
            data += received
            while (reply := take(data)) is not None:
                if reply.command == CREATE_CHAN:
                    sock.sendall(
                        b"".join(event_add(reply.available, n, data_type, count) for n in range(subscriptions))
                    )
                    return sock
    except BaseException:
        sock.close()
        raise


def vanish(sock: socket.socket) -> None:
    """Close a blocking socket with a RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
