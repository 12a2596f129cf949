"""One client's TCP circuit: its requests, its channels and monitors, and what waits to be sent to it.

Bounds, whatever the client does:
- a message may announce at most the server's `max_message` bytes; at most one unfinished message is held;
- events are written while the socket takes them. When it does not (or after EVENTS_OFF) only the set of monitors that
  have news is kept, and the newest value of each is sent when the client reads again, as EPICS base does. A client may
  stay away for as long as it likes: it costs the others nothing, and nobody is disconnected for being slow;
- answers wait up to ANSWER_LIMIT bytes; then the client's requests are not read until it has taken some;
- a burst of requests is worked on in slices, so that other clients have their turn.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from caproto import AccessRights, ChannelData

from . import dbr, wire
from .dbr import Shape
from .feed import Feed, Monitor
from .names import Found
from .puts import Put, Refused
from .values import CHAR, STRING
from .wire import Command, Eca, Message, ProtocolError, Splitter

if TYPE_CHECKING:
    from .server import CaServer

log = logging.getLogger(__name__)

WRITE_HIGH = 128 * 1024
"""Bytes waiting for the socket above which events are merged to the newest per monitor."""
BATCH = 32 * 1024
"""Bytes of messages that are put together before the socket is written within one turn of the loop."""
ANSWER_LIMIT = 1024 * 1024
"""Bytes waiting for the socket above which no more requests are read."""
REQUESTS_PER_TURN = 300
PUT_GRACE = 0.02
"""Seconds that a read waits for a put of the same client to the same PV that is still running."""
MAX_DEFERRED = 200
"""Reads of one client that may wait for a put or a getter."""

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


class Circuit(asyncio.Protocol):
    """One TCP connection."""

    def __init__(self, server: CaServer) -> None:
        self.server = server
        self.loop = server.loop
        self.transport: asyncio.Transport | None = None
        self.peer: tuple[str, int] = ("", 0)
        self.host = ""
        """The host name that the client claims, or its address."""
        self.user = ""
        self.minor = wire.MINOR_VERSION
        self.priority = 0
        self.channels: dict[int, Channel] = {}
        self.dropped = 0
        """Updates that were replaced by newer ones before they could be sent."""
        self._splitter = Splitter(server.max_message + 1024)
        self._next_sid = 1
        self._out: list[bytes] = []
        self._out_size = 0
        self._flush_due = False
        self._congested = False
        self._events_off = False
        self._held = False
        self._news: dict[Monitor, None] = {}
        self._reading = True
        self._work_due = False
        self._deferred = 0
        self.monitors = 0

    # --- the connection -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected; it is told our version at once, as EPICS base does."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("a circuit needs a stream transport")
        self.transport = transport
        self.peer = transport.get_extra_info("peername") or ("", 0)
        self.host = self.peer[0]
        sock = transport.get_extra_info("socket")
        if sock is not None:
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError:
                pass  # gone already: connection_lost follows
        transport.set_write_buffer_limits(high=WRITE_HIGH)
        if not self.server.circuit_opened(self):
            transport.abort()
            return
        self._send(wire.message(Command.VERSION, self.priority, wire.MINOR_VERSION))

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone: forget all of it. Puts that have started go on."""
        self.transport = None
        for channel in list(self.channels.values()):
            self._close(channel)
        self._out.clear()
        self._news.clear()
        self.server.circuit_closed(self)

    def drop(self, reason: str) -> None:
        """End the circuit for a fault of the client's; counted, and logged at a limited rate."""
        self.server.malformed(self, reason)
        self.close()

    def close(self) -> None:
        """End the circuit; what waits to be sent gets two seconds."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        self._flush()
        transport.close()
        if transport.get_write_buffer_size():
            self.loop.call_later(2, transport.abort)

    def abort(self) -> None:
        """End the circuit now."""
        if self.transport is not None:
            self.transport.abort()

    # --- sending --------------------------------------------------------------------------------------------------

    def _send(self, data: bytes) -> None:
        self._out.append(data)
        self._out_size += len(data)
        if self._out_size >= BATCH:
            self._flush()
        elif not self._flush_due:
            self._flush_due = True
            self.loop.call_soon(self._flush_turn)

    def _flush_turn(self) -> None:
        self._flush_due = False
        self._flush()

    def _flush(self) -> None:
        if not self._out:
            return
        data = b"".join(self._out)
        self._out.clear()
        self._out_size = 0
        transport = self.transport
        if transport is not None and not transport.is_closing():
            transport.write(data)

    def pause_writing(self) -> None:
        """The socket takes no more: from here on only the newest value of each monitor is kept."""
        self._congested = self._held = True

    def resume_writing(self) -> None:
        """The client reads again: it gets the newest value of all that changed, then its requests are worked on."""
        self._congested = False
        self._held = self._events_off
        self._send_news()
        self._work()

    def post(self, monitor: Monitor) -> None:
        """The monitor's PV has news. Sent now, or, when the client cannot take it, once it can."""
        if self._held:
            if monitor in self._news:
                self.dropped += 1
                self.server.dropped_updates += 1
            else:
                self._news[monitor] = None
            return
        self._send_event(monitor)

    def _send_event(self, monitor: Monitor) -> None:
        try:
            encoded = monitor.feed.encoded(monitor.shape)
        except dbr.TooLarge:
            self._send(monitor.failed(Eca.TOLARGE))
            return
        if encoded is None:
            self._send(monitor.failed(Eca.GETFAIL))
            return
        self.server.updates += 1
        head, payload = monitor.head(encoded), encoded.payload
        out = self._out
        out.append(head)
        out.append(payload)
        self._out_size += len(head) + len(payload)
        if self._out_size >= BATCH:
            self._flush()
        elif not self._flush_due:
            self._flush_due = True
            self.loop.call_soon(self._flush_turn)

    def _send_news(self) -> None:
        news = self._news
        while news and not self._held:
            monitor = next(iter(news))
            del news[monitor]
            if not monitor.blocked:
                self._send_event(monitor)

    @property
    def _backlog(self) -> int:
        waiting = self._out_size
        if self.transport is not None:
            waiting += self.transport.get_write_buffer_size()
        return waiting

    # --- receiving ------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        self._splitter.feed(data)
        if not self._work_due:
            self._work()

    def _work(self) -> None:
        """Handle requests that are there: a slice of them, and none while the client does not take its answers."""
        self._work_due = False
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        left = REQUESTS_PER_TURN
        try:
            for message in self._splitter.messages():
                self._handle(message)
                if transport.is_closing():
                    return
                left -= 1
                if left <= 0 or self._backlog > ANSWER_LIMIT:
                    break
        except ProtocolError as error:
            self.drop(str(error))
            return
        except Exception as error:  # a fault of ours must end no more than this circuit
            self.server.limited(logging.ERROR, "request", "a request could not be handled", exc_info=error)
            self.drop(f"internal error: {type(error).__name__}")
            return
        if left <= 0:
            self._work_due = True
            self.loop.call_soon(self._work)
            self._read(False)
        elif self._backlog > ANSWER_LIMIT:
            self._flush()
            if self._backlog > WRITE_HIGH:
                self._read(False)  # resume_writing comes back here
            else:
                self._work_due = True
                self.loop.call_soon(self._work)
        else:
            self._read(True)

    def _read(self, on: bool) -> None:
        if on == self._reading or self.transport is None:
            return
        self._reading = on
        if on:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    def _handle(self, message: Message) -> None:
        handler = _HANDLERS.get(message.command)
        if handler is None:
            self._send(wire.error(message, wire.ANY_ADDRESS, Eca.INTERNAL, "Invalid Msg Code"))
            raise ProtocolError(f"unknown command {message.command}")
        handler(self, message)

    def _channel(self, message: Message) -> Channel:
        try:
            return self.channels[message.cid]
        except KeyError:
            self._send(wire.error(message, wire.ANY_ADDRESS, Eca.INTERNAL, "Bad Resource ID"))
            raise ProtocolError(f"command {message.command} for a channel {message.cid} that does not exist") from None

    def _version(self, message: Message) -> None:
        self._set_minor(message.count)
        self.priority = message.data_type

    def _set_minor(self, minor: int) -> None:
        if minor < wire.OLDEST_VERSION:
            raise ProtocolError(f"version 4.{minor} of the protocol is too old")
        self.minor = minor

    def _echo(self, message: Message) -> None:
        self._send(
            wire.message(
                Command.ECHO, message.data_type, message.count, message.cid, message.available, message.payload
            )
        )

    def _read_sync(self, message: Message) -> None:
        self._send(wire.message(Command.READ_SYNC, message.data_type, message.count, message.cid, message.available))

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
        if self.server.find(name) is not None:
            self._send(wire.message(Command.SEARCH, self.server.port, 0, wire.ANY_ADDRESS, message.available))
        elif message.data_type == wire.REPLY_WANTED:
            self._send(
                wire.message(Command.NOT_FOUND, wire.REPLY_WANTED, message.count, message.cid, message.available)
            )

    def _events_off_request(self, message: Message) -> None:
        self._events_off = self._held = True

    def _events_on_request(self, message: Message) -> None:
        self._events_off = False
        self._held = self._congested
        self._send_news()

    # --- channels -------------------------------------------------------------------------------------------------

    def _create(self, message: Message) -> None:
        self._set_minor(message.available)
        name = wire.text(message.payload)
        found = self.server.find(name)
        if found is None or len(self.channels) >= self.server.max_channels:
            self._send(wire.message(Command.CREATE_CH_FAIL, 0, 0, message.cid))
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
        self._send(wire.message(Command.ACCESS_RIGHTS, 0, 0, message.cid, channel.rights))
        self._send(wire.header(Command.CREATE_CHAN, 0, data_type, count, message.cid, sid))

    def _clear(self, message: Message) -> None:
        channel = self._channel(message)
        self._close(channel)
        self._send(
            wire.message(Command.CLEAR_CHANNEL, message.data_type, message.count, message.cid, message.available)
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
            self._send(wire.message(Command.ACCESS_RIGHTS, 0, 0, channel.cid, rights))
            if was_readable != channel.readable:
                for monitor in channel.monitors.values():
                    self._start(monitor)

    # --- values ---------------------------------------------------------------------------------------------------

    def _read_notify(self, message: Message) -> None:
        channel = self._channel(message)
        if not channel.readable:
            self._answer_failed(message, channel, Eca.NORDACCESS)
            return
        if message.data_type > dbr.LAST_TYPE or message.data_type in (dbr.PUT_ACKT, dbr.PUT_ACKS):
            self._answer_failed(message, channel, Eca.BADTYPE)
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
        if not channel.closed:
            self._answer(message, channel)

    def _answer(self, message: Message, channel: Channel) -> None:
        try:
            encoded = channel.feed.encode(channel.shape(message.data_type, message.count))
        except dbr.TooLarge as error:
            self._send(wire.error(message, channel.cid, Eca.TOLARGE, str(error)))
            return
        if encoded is None:
            self._answer_failed(message, channel, Eca.GETFAIL)
            return
        # the old READ carries the channel's id where READ_NOTIFY carries a status
        status = Eca.NORMAL if message.command == Command.READ_NOTIFY else channel.cid
        payload, count = encoded
        self._send(
            wire.header(message.command, len(payload), message.data_type, count, status, message.available) + payload
        )

    def _answer_failed(self, message: Message, channel: Channel, status: int) -> None:
        if message.command == Command.READ:
            self._send(wire.error(message, channel.cid, status, channel.name))
            return
        payload, count = dbr.empty(channel.shape(message.data_type, message.count), self.server.max_message)
        self._send(wire.message(message.command, message.data_type, count, status, message.available, payload))

    def _write(self, message: Message) -> None:
        self._put(message, notify=False)

    def _write_notify(self, message: Message) -> None:
        self._put(message, notify=True)

    def _put(self, message: Message, notify: bool) -> None:
        channel = self._channel(message)
        self.server.puts += 1
        try:
            if not channel.rights & 2:
                raise Refused(Eca.NOWTACCESS, "Write access denied")
            channel.feed.puts.submit(Put(self, channel, message, notify))
        except Refused as error:
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
            self._send(wire.message(Command.WRITE_NOTIFY, message.data_type, message.count, status, message.available))
        elif status != Eca.NORMAL:
            self._send(wire.error(message, channel.cid, status, text))

    # --- monitors -------------------------------------------------------------------------------------------------

    def _event_add(self, message: Message) -> None:
        channel = self._channel(message)
        if len(message.payload) < _EVENT_MASK.size:
            raise ProtocolError("EVENT_ADD without a mask")
        (mask,) = _EVENT_MASK.unpack_from(message.payload)
        shape = channel.shape(message.data_type, message.count)
        monitor = Monitor(self, channel, channel.feed, message.available, mask, shape)
        if message.data_type > dbr.LAST_TYPE or message.data_type in (dbr.PUT_ACKT, dbr.PUT_ACKS):
            self._send(monitor.failed(Eca.BADTYPE))
            return
        if self.monitors >= self.server.max_channels:
            self._send(monitor.failed(Eca.ALLOCMEM))
            return
        before = channel.monitors.get(monitor.id)
        if before is not None:
            self._forget(before)
        channel.monitors[monitor.id] = monitor
        channel.feed.monitors[monitor] = None
        self.monitors += 1
        self.server.monitors += 1
        self._start(monitor)

    def _start(self, monitor: Monitor) -> None:
        """Send a monitor's first event, or say that it may not read."""
        monitor.blocked = not monitor.channel.readable
        if monitor.blocked:
            self._news.pop(monitor, None)
            self._send(monitor.failed(Eca.NORDACCESS))
            return
        if monitor.deadband is not None:
            monitor.deadband.passes(monitor.feed.pv, 4)
        if self._held:
            self._news[monitor] = None
        else:
            monitor.feed.refresh()
            self._send_event(monitor)

    def _event_cancel(self, message: Message) -> None:
        channel = self._channel(message)
        monitor = channel.monitors.get(message.available)
        if monitor is None:
            self._send(wire.error(message, channel.cid, Eca.BADMONID, channel.name))
            return
        self._forget(monitor)
        self._send(wire.message(Command.EVENT_ADD, monitor.shape.dbr, monitor.shape.count, channel.sid, monitor.id))

    def _forget(self, monitor: Monitor) -> None:
        monitor.blocked = True
        self._news.pop(monitor, None)
        monitor.feed.monitors.pop(monitor, None)
        if monitor.channel.monitors.get(monitor.id) is monitor:
            del monitor.channel.monitors[monitor.id]
        self.monitors -= 1
        self.server.monitors -= 1


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
