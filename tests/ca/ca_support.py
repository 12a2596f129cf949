"""A sink that remembers, a scripted Channel Access server, and the C IOC of the benchmarks."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import struct
import sys
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from support import ROOT

sys.path.insert(0, str(ROOT))

from benchmarks.c_ioc import CIoc, counter_database, counter_names
from owlshift.ca import Batch, CaAddresses, ChannelInfo, Dbr

__all__ = [
    "BroadcastRelay",
    "CIoc",
    "FakeServer",
    "RecordingSink",
    "counter_database",
    "counter_names",
    "eventually",
    "message",
    "time_payload",
]

HEADER = struct.Struct(">HHHHII")
CODES = {
    Dbr.STRING: "40s",
    Dbr.SHORT: "h",
    Dbr.FLOAT: "f",
    Dbr.ENUM: "H",
    Dbr.CHAR: "B",
    Dbr.LONG: "i",
    Dbr.DOUBLE: "d",
}
PADS = {
    Dbr.STRING: 0,
    Dbr.SHORT: 2,
    Dbr.FLOAT: 0,
    Dbr.ENUM: 2,
    Dbr.CHAR: 3,
    Dbr.LONG: 0,
    Dbr.DOUBLE: 4,
}
TIMEOUT = 30.0


def message(command: int, payload: bytes = b"", dbr: int = 0, count: int = 0, p1: int = 0, p2: int = 0) -> bytes:
    """A message, made independently of the client's own code."""
    payload += b"\0" * (-len(payload) % 8)
    if len(payload) >= 0xFFFF or count >= 0xFFFF:
        return HEADER.pack(command, 0xFFFF, dbr, 0, p1, p2) + struct.pack(">II", len(payload), count) + payload
    return HEADER.pack(command, len(payload), dbr, count, p1, p2) + payload


def time_payload(
    dbr: Dbr, values: list[Any], severity: int = 0, status: int = 0, seconds: int = 1, nanoseconds: int = 0
) -> bytes:
    """A DBR_TIME payload."""
    head = struct.pack(">HHII", status, severity, seconds, nanoseconds) + b"\0" * PADS[dbr]
    return head + struct.pack(
        f">{len(values)}{CODES[dbr]}" if dbr != Dbr.STRING else ">" + "40s" * len(values), *values
    )


async def eventually(condition: Callable[[], Any], what: str = "", timeout: float = TIMEOUT) -> Any:
    """Wait until `condition` is true and return its value."""
    try:
        async with asyncio.timeout(timeout):
            while not (value := condition()):
                await asyncio.sleep(0.005)
            return value
    except TimeoutError:
        raise AssertionError(f"waited {timeout} s for {what or condition}") from None


class RecordingSink:
    """Keeps all that a client says."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.infos: dict[int, ChannelInfo] = {}
        self.connects: list[ChannelInfo] = []
        self.lost: list[tuple[int, str, int]] = []
        self.changes: list[ChannelInfo] = []
        self.events = 0

    def batch(self, batch: Batch) -> None:
        self.batches.append(batch)
        self.events += len(batch)

    def connected(self, info: ChannelInfo) -> None:
        self.infos[info.id] = info
        self.connects.append(info)

    def disconnected(self, channel: int, reason: str, time_ns: int) -> None:
        self.lost.append((channel, reason, time_ns))

    def changed(self, info: ChannelInfo) -> None:
        self.infos[info.id] = info
        self.changes.append(info)

    def values(self, channel: int) -> list[Any]:
        """All values of one channel, in the order of their arrival."""
        found: list[Any] = []
        for batch in self.batches:
            found += [value for number, value in zip(batch.channel, batch.values, strict=True) if number == channel]
        return found

    def stamps(self, channel: int) -> list[tuple[int, int, int]]:
        """(time_ns, severity, status) of all events of one channel."""
        return [
            (int(t), int(sev), int(stat))
            for b in self.batches
            for number, t, sev, stat in zip(b.channel, b.time_ns, b.severity, b.status, strict=True)
            if number == channel
        ]


class BroadcastRelay:
    """Passes searches for 127.255.255.255 on to 127.0.0.1: a C IOC on the loopback interface hears no broadcasts there.

    libca reads its address list once in a process, so that it cannot be changed for one test.
    """

    def __init__(self, port: int, server: int) -> None:
        """`port`: where searches come in; `server`: the UDP port of the IOC."""
        self.server = server
        self._ears = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._ears.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._ears.bind(("127.255.255.255", port))
        self._mouth = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._mouth.bind(("127.0.0.1", 0))
        self._wake, self._woken = socket.socketpair()
        self._clients: dict[tuple[str, int], socket.socket] = {}
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            ready, _, _ = select.select([self._ears, self._woken, *self._clients.values()], [], [])
            if self._woken in ready:
                return
            if self._ears in ready:
                data, client = self._ears.recvfrom(65536)
                if client not in self._clients:
                    self._clients[client] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                self._clients[client].sendto(data, ("127.0.0.1", self.server))
            for client, asked in list(self._clients.items()):
                if asked in ready:
                    with contextlib.suppress(OSError):
                        self._mouth.sendto(asked.recv(65536), client)

    def close(self) -> None:
        self._wake.send(b"x")
        self._thread.join()
        for used in (self._ears, self._mouth, self._wake, self._woken, *self._clients.values()):
            used.close()


class FakeServer:
    """A Channel Access server whose every answer a test can replace.

    `channels` maps names to (type, count). `answers` maps a command to what answers it instead of the built-in
    behaviour; `on_connect` replaces the whole conversation.
    """

    def __init__(self, channels: dict[str, tuple[Dbr, int]]) -> None:
        self.channels = channels
        self.on_connect: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]] | None = None
        self.answers: dict[int, Callable[[Connection, tuple[int, ...], bytes], bytes]] = {}
        self.connections: list[Connection] = []
        self.received: defaultdict[int, int] = defaultdict(int)
        self.searched: list[str] = []
        self.search_open = True
        self.port = 0
        self._server: asyncio.Server | None = None
        self._udp: asyncio.DatagramTransport | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def addresses(self) -> CaAddresses:
        """For a client that is to find this server only."""
        return CaAddresses(servers=(("127.0.0.1", self.udp_port),), repeater_port=0)

    @property
    def udp_port(self) -> int:
        assert self._udp is not None
        return int(self._udp.get_extra_info("sockname")[1])

    async def __aenter__(self) -> FakeServer:
        await self.listen()
        loop = asyncio.get_running_loop()
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _SearchProtocol(self), local_addr=("127.0.0.1", 0))
        return self

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Close the listener and all connections."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.connections.clear()

    async def __aexit__(self, *_: object) -> None:
        await self.down()
        if self._udp is not None:
            self._udp.close()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if self.on_connect is not None:
                await self.on_connect(reader, writer)
            else:
                await Connection(self, writer).talk(reader)
        except (asyncio.CancelledError, ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    def post(self, name: str, values: list[Any], **alarm: int) -> None:
        """Send an event of `name` to every subscriber."""
        for connection in self.connections:
            connection.writer.write(connection.event(name, values, **alarm))


class _SearchProtocol(asyncio.DatagramProtocol):
    def __init__(self, server: FakeServer) -> None:
        self.server = server
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        at, out = 0, b""
        while at < len(data):
            command, size, _, _, p1, _ = HEADER.unpack_from(data, at)
            body = data[at + 16 : at + 16 + size]
            at += 16 + size
            if command == 6:
                name = body.split(b"\0")[0].decode()
                self.server.searched.append(name)
                if self.server.search_open and name in self.server.channels:
                    out += message(6, struct.pack(">H", 13), self.server.port, 0, 0xFFFFFFFF, p1)
        if out and self.transport is not None:
            self.transport.sendto(out, addr)


class Connection:
    """One client of a FakeServer; by default it answers as an IOC does."""

    def __init__(self, server: FakeServer, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.writer = writer
        self.names: dict[int, str] = {}
        self.client_ids: dict[str, int] = {}
        self.subscriptions: dict[str, int] = {}
        self.events_on = True

    async def talk(self, reader: asyncio.StreamReader) -> None:
        self.server.connections.append(self)
        try:
            self.writer.write(message(0, count=13))
            while True:
                header = HEADER.unpack(await reader.readexactly(16))
                body = await reader.readexactly(header[1])
                self.server.received[header[0]] += 1
                answer = self.server.answers.get(header[0], type(self).answer)
                self.writer.write(answer(self, header, body))
        finally:
            if self in self.server.connections:
                self.server.connections.remove(self)

    def answer(self, header: tuple[int, ...], body: bytes) -> bytes:
        """What an IOC answers."""
        command, _, code, count, p1, p2 = header
        if command == 18:
            name = body.split(b"\0")[0].decode()
            sid = len(self.names)
            self.names[sid] = name
            self.client_ids[name] = p1
            dbr, elements = self.server.channels[name]
            return message(22, p1=p1, p2=3) + message(18, dbr=dbr, count=elements, p1=p1, p2=sid)
        if command == 1:
            name = self.names[p1]
            if code >= 28:
                return message(1, b"\0" * 424, code, count, 1, p2)
            self.subscriptions[name] = p2
        if command == 2:
            if code < 28:
                self.subscriptions.pop(self.names[p1], None)
            return message(1, b"", code, count, p1, p2)
        if command == 12:
            return message(12, p1=p1, p2=p2)
        if command == 15:
            dbr, elements = self.server.channels[self.names[p1]]
            values: list[Any] = [b"x"] * elements if dbr == Dbr.STRING else [1] * elements
            return message(15, time_payload(Dbr(code - 14), values), code, elements, 1, p2)
        if command == 19:
            return message(19, dbr=code, count=count, p1=1, p2=p2)
        if command == 23:
            return message(23)
        if command in (8, 9):
            self.events_on = command == 9
        return b""

    def event(self, name: str, values: list[Any], **alarm: int) -> bytes:
        """An event of a channel that the client subscribed to."""
        dbr, _ = self.server.channels[name]
        number = self.subscriptions.get(name)
        if number is None:
            return b""
        return message(1, time_payload(dbr, values, **alarm), dbr + 14, len(values), 1, number)
