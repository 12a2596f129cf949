"""Puts: from the bytes of a WRITE to the PV's `auth_write`, one at a time per PV and in the order of arrival."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

import caproto
import numpy as np
from caproto import ChannelData, ChannelType, backend

from . import dbr
from .values import CHAR, ITEM_SIZE, STRING, labels_of
from .wire import Eca, Message

if TYPE_CHECKING:
    from .circuit import Channel, Circuit
    from .server import CaServer

MAX_WAITING = 64
"""Puts of one circuit that may wait for one PV."""
MAX_WAITING_BYTES = 64 * 1024 * 1024
"""Bytes of all puts of an IOC that may wait or run; beyond it only small ones are taken."""
SMALL = 1024

_DBR_TYPES: Any = caproto.DBR_TYPES
_EXPECTED = (caproto.CaprotoError, ValueError, OSError, asyncio.TimeoutError)


class PutError(Exception):
    """A put that never reaches the PV; `status` goes to the client."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Put:
    """One WRITE or WRITE_NOTIFY that was accepted and waits for its turn."""

    __slots__ = ("channel", "circuit", "data", "data_type", "message", "metadata", "notify", "size")

    def __init__(self, circuit: Circuit, channel: Channel, message: Message, notify: bool) -> None:
        self.circuit = circuit
        self.channel = channel
        self.message = message._replace(payload=b"")
        self.notify = notify
        self.size = len(message.payload)
        self.data, self.data_type, self.metadata = decode(message, channel.pv)


def decode(message: Message, pv: ChannelData) -> tuple[Any, ChannelType, Any]:
    """The value of a put in the form that caproto's `auth_write` takes: data, data type, metadata.

    PutError: a type that cannot be written, more elements than the PV has, none at all for a scalar, or fewer bytes
    than announced.
    """
    data_type, count, payload = message.data_type, message.data_count, message.payload
    if data_type in (dbr.PUT_ACKT, dbr.PUT_ACKS):
        if len(payload) < 2 or count != 1:
            raise PutError(Eca.BADCOUNT, "an acknowledgement is one number")
        return (
            None,
            ChannelType(data_type),
            _DBR_TYPES[data_type].from_buffer(bytearray(payload[:2])),
        )
    if data_type > 6:
        raise PutError(Eca.PUTFAIL, f"DBR type {data_type} cannot be written")
    room: int = pv.max_length or 1
    if data_type == CHAR:
        room = max(room, getattr(pv, "long_string_max_length", 0))
    if count > room:
        raise PutError(Eca.BADCOUNT, f"{count} elements into {room}")
    if count == 0 and pv.max_length == 1:
        raise PutError(Eca.BADCOUNT, "no element for a scalar")
    size = ITEM_SIZE[data_type]
    if data_type == STRING:
        # libca sends a single string as short as it is
        if count and len(payload) <= (count - 1) * size:
            raise PutError(Eca.BADCOUNT, f"{len(payload)} bytes for {count} strings")
        data = backend.epics_to_python(payload[: count * size], ChannelType.STRING, count)
        return (*_enum_number(pv, data), None)
    if len(payload) < count * size:
        raise PutError(Eca.BADCOUNT, f"{len(payload)} bytes for {count} elements of {size}")
    return backend.epics_to_python(payload[: count * size], ChannelType(data_type), count), ChannelType(data_type), None


def _enum_number(pv: ChannelData, data: Any) -> tuple[Any, ChannelType]:
    """Text for an enum that is no label but a number is that state, as in EPICS base."""
    if pv.data_type == ChannelType.ENUM and len(data) == 1:
        labels = labels_of(pv)
        text = data[0].decode(pv.string_encoding or "latin-1", "replace")
        if text not in labels and text.isdecimal() and len(text) < 4 and int(text) < len(labels):
            return np.array([int(text)], ">u2"), ChannelType.ENUM
    return data, ChannelType.STRING


class PutQueue:
    """The puts that wait for one PV. At most one runs; the next starts when it has ended, whoever sent it."""

    __slots__ = ("_running", "_server", "_task", "_waiting")

    def __init__(self, server: CaServer) -> None:
        self._server = server
        self._waiting: deque[Put] = deque()
        self._running: Put | None = None
        self._task: asyncio.Task[None] | None = None

    def submit(self, put: Put) -> None:
        """Add a put. When too many wait already, a plain WRITE takes the place of the same client's last one.

        PutError (PUTCBINPROG) when that cannot be.
        """
        waiting = self._waiting
        mine = [p for p in waiting if p.circuit is put.circuit] if waiting else []
        full = put.size > SMALL and self._server.put_bytes + put.size > MAX_WAITING_BYTES
        if len(mine) >= MAX_WAITING or full:
            if put.notify or not mine or mine[-1].notify:
                raise PutError(Eca.PUTCBINPROG, f"{len(waiting)} puts are waiting for this PV")
            index = max(i for i, p in enumerate(waiting) if p is mine[-1])
            self._server.put_bytes += put.size - waiting[index].size
            waiting[index] = put
            return
        waiting.append(put)
        self._server.put_bytes += put.size
        if self._task is None:
            self._task = self._server.spawn(self._work())

    def busy_for(self, circuit: Circuit) -> asyncio.Task[None] | None:
        """The task that works on a put of this circuit, or will; None when it has none here."""
        if self._task is None:
            return None
        if (self._running is not None and self._running.circuit is circuit) or any(
            p.circuit is circuit for p in self._waiting
        ):
            return self._task
        return None

    async def _work(self) -> None:
        try:
            while self._waiting:
                self._running = put = self._waiting.popleft()
                try:
                    status, text = await self._write(put)
                finally:
                    self._server.put_bytes -= put.size
                put.circuit.put_done(put, status, text)
        finally:
            self._running = self._task = None

    async def _write(self, put: Put) -> tuple[int, str]:
        circuit, channel = put.circuit, put.channel
        try:
            await channel.pv.auth_write(
                circuit.host,
                circuit.user,
                put.data,
                put.data_type,
                put.metadata,
                user_address=circuit.peer,
            )
        except caproto.Forbidden as error:
            return Eca.NOWTACCESS, str(error)
        except Exception as error:
            quiet = getattr(error, "quiet", False)
            expected = quiet or isinstance(error, _EXPECTED)
            text = str(error) or type(error).__name__
            self._server.limited(
                logging.DEBUG if quiet else logging.INFO if expected else logging.ERROR,
                f"put {channel.name}",
                "put to %s by %s@%s refused: %s",
                channel.name,
                circuit.user,
                circuit.host,
                text,
                exc_info=None if expected else error,
            )
            return Eca.PUTFAIL, text
        return Eca.NORMAL, ""


class PutsAtOnce(PutQueue):
    """The puts of a PV that keeps their order itself (`orders_puts`), and that of other PVs: each is handed on at once.

    Up to MAX_WAITING of each circuit are under way; of what comes then, the last plain WRITE is kept.
    """

    __slots__ = ("_late", "_under_way")

    def __init__(self, server: CaServer) -> None:
        super().__init__(server)
        self._under_way: dict[Circuit, list[asyncio.Task[None]]] = {}
        self._late: dict[Circuit, Put] = {}

    def submit(self, put: Put) -> None:
        """Hand a put on; PutError (PUTCBINPROG) when too many of the client's are under way and it wants an answer."""
        full = put.size > SMALL and self._server.put_bytes + put.size > MAX_WAITING_BYTES
        tasks = self._under_way.setdefault(put.circuit, [])
        if len(tasks) < MAX_WAITING and not full:
            self._server.put_bytes += put.size
            tasks.append(self._server.spawn(self._run(put)))
        elif put.notify or not tasks:
            if not tasks:
                del self._under_way[put.circuit]
            raise PutError(Eca.PUTCBINPROG, f"{len(tasks)} puts to this PV are under way")
        else:
            late = self._late.get(put.circuit)
            self._server.put_bytes += put.size - (late.size if late else 0)
            self._late[put.circuit] = put

    def busy_for(self, circuit: Circuit) -> asyncio.Task[None] | None:
        """The task of this circuit's newest put; None when none is under way."""
        tasks = self._under_way.get(circuit)
        return tasks[-1] if tasks else None

    async def _run(self, put: Put) -> None:
        circuit = put.circuit
        try:
            status, text = await self._write(put)
            circuit.put_done(put, status, text)
        finally:
            self._server.put_bytes -= put.size
            tasks = self._under_way[circuit]
            task = asyncio.current_task()
            if task in tasks:
                tasks.remove(task)
            late = self._late.pop(circuit, None)
            if late is not None:
                tasks.append(self._server.spawn(self._run(late)))
            if not tasks:
                del self._under_way[circuit]


def puts_of(server: CaServer, pv: ChannelData) -> PutQueue:
    """What takes the puts of a PV."""
    return PutsAtOnce(server) if getattr(pv, "orders_puts", False) else PutQueue(server)
