"""One client's circuit: its requests, its channels and its monitors.

The answers follow EPICS base (rsrv): a channel or a DBR type that does not exist, a command that no client sends and a
protocol older than 4.4 end the circuit; what is wrong with one request only is answered with a status.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from caproto import AccessRights, ChannelData

from . import dbr, wire
from .dbr import Shape
from .feed import LARGE, Feed, Monitor
from .names import Found
from .puts import Put, PutError
from .stream import Stream
from .values import CHAR, STRING
from .wire import Command, Eca, Message, ProtocolError

if TYPE_CHECKING:
    from .server import CaServer

PUT_GRACE = 0.02
"""Seconds that a read waits for a put of the same client to the same PV that is still running."""
MAX_DEFERRED = 200
"""Reads of one client that may wait for a put or a getter."""

SMALL_PAYLOAD = 4096
"""Bytes of payload of a request that is no put."""

_EVENT_MASK = struct.Struct(">12xH")


class Channel:
    """A PV as one client has it open."""

    __slots__ = (
        "cid",
        "closed",
        "deadband",
        "feed",
        "long_string",
        "monitors",
        "name",
        "piece",
        "pv",
        "rights",
        "server_time",
        "sid",
    )

    def __init__(self, name: str, cid: int, sid: int, found: Found, feed: Feed, rights: int) -> None:
        self.name = name
        self.cid = cid
        self.sid = sid
        self.pv: ChannelData = found.pv
        self.feed = feed
        self.rights = rights
        self.long_string = found.long_string
        self.piece = found.piece
        self.deadband = found.deadband
        self.server_time = found.server_time
        self.monitors: dict[int, Monitor] = {}
        self.closed = False

    @property
    def readable(self) -> bool:
        """Whether the client may read it."""
        return bool(self.rights & 1)

    @property
    def native(self) -> tuple[int, int]:
        """DBR type and greatest element count that the client is told."""
        pv: Any = self.pv
        if self.long_string and pv.data_type == STRING:
            return CHAR, pv.long_string_max_length
        return int(pv.data_type), pv.max_length

    def shape(self, data_type: int, count: int) -> Shape:
        """The shape of an answer with this type and count, with the channel's modifiers applied."""
        long_string = self.long_string and data_type % 7 == CHAR and data_type < dbr.PUT_ACKT
        return Shape(data_type, count, long_string, self.piece, self.server_time)


class Circuit(Stream):
    """One client's circuit."""

    def __init__(self, server: CaServer) -> None:
        super().__init__(server, _payload_limits(server.max_message))
        self.minor = wire.MINOR_VERSION
        self.priority = 0
        self.channels: dict[int, Channel] = {}
        self.monitors = 0
        self._next_sid = 1
        self._deferred = 0

    def opened(self) -> bool:
        """A client connected; False when there are too many."""
        return self.server.circuit_opened(self)

    def gone(self) -> None:
        """The connection is closed: forget all channels. Puts that have started go on."""
        for channel in list(self.channels.values()):
            self._close(channel)
        self.server.circuit_closed(self)

    def handle(self, message: Message) -> None:
        """One request; ProtocolError ends the circuit."""
        _HANDLERS[message.command](self, message)

    def _channel(self, message: Message) -> Channel:
        try:
            return self.channels[message.cid]
        except KeyError:
            raise ProtocolError(
                f"command {message.command} for a channel {message.cid} that does not exist", message
            ) from None

    def _version(self, message: Message) -> None:
        self._set_minor(message.data_count)
        self.priority = message.data_type

    def _set_minor(self, minor: int) -> None:
        if minor < wire.OLDEST_VERSION:
            raise ProtocolError(f"version 4.{minor} of the protocol is too old")
        self.minor = minor

    def _echo(self, message: Message) -> None:
        self.send(
            wire.message(
                Command.ECHO, message.data_type, message.data_count, message.cid, message.available, message.payload
            )
        )

    def _read_sync(self, message: Message) -> None:
        self.send(
            wire.message(Command.READ_SYNC, message.data_type, message.data_count, message.cid, message.available)
        )

    def _host_name(self, message: Message) -> None:
        self.host = self._name_of(message) or self.peer[0]
        self.refresh_access()

    def _client_name(self, message: Message) -> None:
        self.user = self._name_of(message)
        self.refresh_access()

    def _name_of(self, message: Message) -> str:
        if len(message.payload) > 512:
            raise ProtocolError("a host or user name of more than 512 bytes")
        return wire.text(message.payload)

    def _search(self, message: Message) -> None:
        """A search over TCP (EPICS_CA_NAME_SERVERS): the PV is where the client is connected to already."""
        name = wire.text(message.payload)
        if self.server.knows(name):
            self.send(wire.message(Command.SEARCH, self.server.port, 0, wire.ANY_ADDRESS, message.available))
        elif message.data_type == wire.REPLY_WANTED:
            self.send(
                wire.message(Command.NOT_FOUND, wire.REPLY_WANTED, message.data_count, message.cid, message.available)
            )

    def _events_off_request(self, message: Message) -> None:
        self.hold_events(True)

    def _events_on_request(self, message: Message) -> None:
        self.hold_events(False)

    # --- channels -------------------------------------------------------------------------------------------------

    def _create(self, message: Message) -> None:
        self._set_minor(message.available)
        name = wire.text(message.payload)
        found = self.server.find(name)
        if found is None or len(self.channels) >= self.server.max_channels:
            self.send(wire.message(Command.CREATE_CH_FAIL, 0, 0, message.cid))
            return
        sid = self._next_sid
        while sid in self.channels:
            sid = (sid + 1) & 0x7FFFFFFF
        self._next_sid = (sid + 1) & 0x7FFFFFFF
        channel = Channel(name, message.cid, sid, found, self.server.feed(found.pv), 0)
        channel.rights = self._rights(channel)
        self.channels[sid] = channel
        self.server.channel_opened()
        data_type, count = channel.native
        self.send(wire.message(Command.ACCESS_RIGHTS, 0, 0, message.cid, channel.rights))
        self.send(wire.header(Command.CREATE_CHAN, 0, data_type, count, message.cid, sid))

    def _clear(self, message: Message) -> None:
        channel = self._channel(message)
        self._close(channel)
        self.send(
            wire.message(Command.CLEAR_CHANNEL, message.data_type, message.data_count, message.cid, message.available)
        )

    def _close(self, channel: Channel) -> None:
        channel.closed = True
        for monitor in list(channel.monitors.values()):
            self._forget(monitor)
        del self.channels[channel.sid]
        self.server.channel_closed()

    def _rights(self, channel: Channel) -> int:
        try:
            return int(channel.pv.check_access(self.host, self.user)) & 3
        except Exception as error:  # no right at all is the safe side
            self.server.limited(logging.ERROR, "access", "access to %s", channel.name, exc_info=error)
            return int(AccessRights.NO_ACCESS)

    def refresh_access(self) -> None:
        """Ask every PV again who may do what, and tell the client what changed."""
        for channel in list(self.channels.values()):
            rights = self._rights(channel)
            if rights == channel.rights:
                continue
            was_readable = channel.readable
            channel.rights = rights
            self.send(wire.message(Command.ACCESS_RIGHTS, 0, 0, channel.cid, rights))
            if was_readable != channel.readable:
                for monitor in channel.monitors.values():
                    self._start(monitor)

    # --- values ---------------------------------------------------------------------------------------------------

    def _read_notify(self, message: Message) -> None:
        channel = self._channel(message)
        _check_type(message)
        if not channel.readable:
            self._answer_failed(message, channel, Eca.NORDACCESS)
            return
        put = channel.feed.puts.busy_for(self)
        has_getter = type(channel.pv).read is not ChannelData.read
        if put is None and not has_getter:
            self._answer(message, channel)
        elif self._deferred >= MAX_DEFERRED:
            if has_getter:
                self._answer_failed(message, channel, Eca.GETFAIL)
            else:
                self._answer(message, channel)
        else:
            self._deferred += 1
            self.server.spawn(self._answer_later(message, channel, put, has_getter))

    async def _answer_later(
        self, message: Message, channel: Channel, put: asyncio.Task[None] | None, has_getter: bool
    ) -> None:
        try:
            if put is not None:
                await asyncio.wait((put,), timeout=PUT_GRACE)
            if has_getter:
                await channel.pv.read(channel.pv.data_type)
        except Exception as error:
            self.server.limited(logging.ERROR, "getter", "reading %s", channel.name, exc_info=error)
            if not channel.closed:
                self._answer_failed(message, channel, Eca.GETFAIL)
            return
        finally:
            self._deferred -= 1
        await self.room()
        if not channel.closed:
            self._answer(message, channel)

    def _answer(self, message: Message, channel: Channel) -> None:
        try:
            encoded = channel.feed.encode(channel.shape(message.data_type, message.data_count))
        except dbr.TooLargeError as error:
            self.send(wire.error(message, channel.cid, Eca.TOLARGE, str(error)))
            return
        if encoded is None:
            self._answer_failed(message, channel, Eca.GETFAIL)
            return
        # the old READ carries the channel's id where READ_NOTIFY carries a status
        status = Eca.NORMAL if message.command == Command.READ_NOTIFY else channel.cid
        payload, count = encoded
        head = wire.header(message.command, len(payload), message.data_type, count, status, message.available)
        if len(payload) < LARGE:
            self.send(head + payload)
        else:
            self.send(head)
            self.send_large(payload)

    def _answer_failed(self, message: Message, channel: Channel, status: int) -> None:
        if message.command == Command.READ:
            self.send(wire.error(message, channel.cid, status, channel.name))
            return
        payload, count = dbr.empty(channel.shape(message.data_type, message.data_count))
        self.send(wire.message(message.command, message.data_type, count, status, message.available, payload))

    def _write(self, message: Message) -> None:
        self._put(message, notify=False)

    def _write_notify(self, message: Message) -> None:
        self._put(message, notify=True)

    def _put(self, message: Message, notify: bool) -> None:
        channel = self._channel(message)
        _check_type(message)
        self.server.puts += 1
        try:
            if not channel.rights & 2:
                raise PutError(Eca.NOWTACCESS, "Write access denied")
            channel.feed.puts.submit(Put(self, channel, message, notify))
        except PutError as error:
            self._put_answer(message, channel, notify, error.status, str(error))
        except Exception as error:  # whatever the bytes were, they are no value for this PV
            self.server.limited(logging.ERROR, "decode", "put to %s", channel.name, exc_info=error)
            self._put_answer(message, channel, notify, Eca.PUTFAIL, str(error))

    def put_done(self, put: Put, status: int, text: str) -> None:
        """The PV has taken or refused a put."""
        if self.transport is not None and not put.channel.closed:
            self._put_answer(put.message, put.channel, put.notify, status, text)

    def _put_answer(self, message: Message, channel: Channel, notify: bool, status: int, text: str) -> None:
        if notify:
            self.send(
                wire.message(Command.WRITE_NOTIFY, message.data_type, message.data_count, status, message.available)
            )
        elif status != Eca.NORMAL:
            self.send(wire.error(message, channel.cid, status, text))

    # --- monitors -------------------------------------------------------------------------------------------------

    def _event_add(self, message: Message) -> None:
        channel = self._channel(message)
        if len(message.payload) < _EVENT_MASK.size:
            raise ProtocolError("EVENT_ADD without a mask")
        (mask,) = _EVENT_MASK.unpack_from(message.payload)
        if mask == 0:
            raise ProtocolError("EVENT_ADD with an empty mask", message)
        _check_type(message)
        shape = channel.shape(message.data_type, message.data_count)
        monitor = Monitor(self, channel, channel.feed, message.available, mask, shape)
        if self.monitors >= self.server.max_channels:
            self.send(monitor.failed(Eca.ALLOCMEM))
            return
        before = channel.monitors.get(monitor.id)
        if before is not None:
            self._forget(before)
        channel.monitors[monitor.id] = monitor
        channel.feed.monitors[monitor] = None
        self.monitors += 1
        self.server.monitors += 1
        if type(channel.pv).read is ChannelData.read:
            self._start(monitor)
        else:
            self.server.spawn(self._start_later(monitor))

    async def _start_later(self, monitor: Monitor) -> None:
        """The first event of a PV with a getter has the value that a read has."""
        try:
            if monitor.channel.readable:
                await monitor.channel.pv.read(monitor.channel.pv.data_type)
        except Exception as error:
            self.server.limited(logging.ERROR, "getter", "reading %s", monitor.channel.name, exc_info=error)
        if monitor.channel.monitors.get(monitor.id) is monitor:
            self._start(monitor)

    def _start(self, monitor: Monitor) -> None:
        """Send a monitor's first event, or say that it may not read."""
        monitor.blocked = not monitor.channel.readable
        if monitor.blocked:
            self.forget_news(monitor)
            self.send(monitor.failed(Eca.NORDACCESS))
            return
        if monitor.deadband is not None:
            monitor.deadband.passes(monitor.feed.pv, 4)
        monitor.feed.refresh()
        self.post(monitor)

    def _event_cancel(self, message: Message) -> None:
        channel = self._channel(message)
        monitor = channel.monitors.get(message.available)
        if monitor is None:
            self.send(wire.error(message, channel.cid, Eca.BADMONID, channel.name))
            return
        self._forget(monitor)
        self.send(wire.message(Command.EVENT_ADD, monitor.shape.dbr, monitor.shape.data_count, channel.sid, monitor.id))

    def _forget(self, monitor: Monitor) -> None:
        monitor.blocked = True
        self.forget_news(monitor)
        monitor.feed.monitors.pop(monitor, None)
        if monitor.channel.monitors.get(monitor.id) is monitor:
            del monitor.channel.monitors[monitor.id]
        self.monitors -= 1
        self.server.monitors -= 1


def _check_type(message: Message) -> None:
    if message.data_type > dbr.LAST_TYPE:
        raise ProtocolError(f"DBR type {message.data_type} does not exist", message)


def _payload_limits(max_message: int) -> dict[int, int]:
    """Bytes of payload that each command may have: only puts carry values."""
    limits = dict.fromkeys(_HANDLERS, SMALL_PAYLOAD)
    limits[Command.WRITE] = limits[Command.WRITE_NOTIFY] = max_message
    return limits


_HANDLERS: dict[int, Callable[[Circuit, Message], None]] = {
    Command.VERSION: Circuit._version,  # noqa: SLF001
    Command.EVENT_ADD: Circuit._event_add,  # noqa: SLF001
    Command.EVENT_CANCEL: Circuit._event_cancel,  # noqa: SLF001
    Command.READ: Circuit._read_notify,  # noqa: SLF001
    Command.WRITE: Circuit._write,  # noqa: SLF001
    Command.SEARCH: Circuit._search,  # noqa: SLF001
    Command.EVENTS_OFF: Circuit._events_off_request,  # noqa: SLF001
    Command.EVENTS_ON: Circuit._events_on_request,  # noqa: SLF001
    Command.READ_SYNC: Circuit._read_sync,  # noqa: SLF001
    Command.CLEAR_CHANNEL: Circuit._clear,  # noqa: SLF001
    Command.READ_NOTIFY: Circuit._read_notify,  # noqa: SLF001
    Command.CREATE_CHAN: Circuit._create,  # noqa: SLF001
    Command.WRITE_NOTIFY: Circuit._write_notify,  # noqa: SLF001
    Command.CLIENT_NAME: Circuit._client_name,  # noqa: SLF001
    Command.HOST_NAME: Circuit._host_name,  # noqa: SLF001
    Command.ECHO: Circuit._echo,  # noqa: SLF001
}
