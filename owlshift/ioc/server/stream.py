"""The byte side of a circuit: what is read, what waits to be sent, and the bounds of both.

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
from collections.abc import Mapping
from typing import TYPE_CHECKING

from . import dbr, wire
from .feed import Monitor
from .wire import Command, Eca, Message, ProtocolError, Splitter

if TYPE_CHECKING:
    from .server import CaServer

WRITE_HIGH = 128 * 1024
"""Bytes waiting for the socket above which events are merged to the newest per monitor."""
BATCH = 32 * 1024
"""Bytes of messages that are put together before the socket is written within one turn of the loop."""
ANSWER_LIMIT = 1024 * 1024
"""Bytes waiting for the socket above which no more requests are read."""
REQUESTS_PER_TURN = 300
NOTHING = bytes(8)
"""Payload of an event that has none (an empty array of a plain type): without, it would end the subscription."""


class Stream(asyncio.Protocol):
    """One TCP connection of a client; `Circuit` gives its messages a meaning."""

    def __init__(self, server: CaServer, limits: Mapping[int, int]) -> None:
        self.server = server
        self.loop = server.loop
        self.transport: asyncio.Transport | None = None
        self.peer: tuple[str, int] = ("", 0)
        self.host = ""
        """The host name that the client claims, or its address."""
        self.user = ""
        self.dropped = 0
        """Updates that were replaced by newer ones before they could be sent."""
        self._splitter = Splitter(limits=limits)
        self._out: list[bytes] = []
        self._out_size = 0
        self._flush_due = False
        self._congested = False
        self._events_off = False
        self._held = False
        self._news: dict[Monitor, None] = {}
        self._reading = True
        self._work_due = False
        self._room: list[asyncio.Future[None]] = []

    def handle(self, message: Message) -> None:
        """One request; ProtocolError ends the circuit."""
        raise NotImplementedError

    def opened(self) -> bool:
        """The connection is made; False: it is not wanted."""
        raise NotImplementedError

    def gone(self) -> None:
        """The connection is closed."""
        raise NotImplementedError

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
        if not self.opened():
            transport.abort()
            return
        self.send(wire.message(Command.VERSION, 0, wire.MINOR_VERSION))

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone: forget all of it. Puts that have started go on."""
        self.transport = None
        self.gone()
        self._out.clear()
        self._news.clear()
        self._wake()

    def drop(self, reason: str, request: Message | None = None) -> None:
        """End the circuit for a fault of the client's, who is told; counted, and logged at a limited rate."""
        self.server.malformed(self, reason)
        self.send(wire.error(request or Message(0, 0, 0, 0, 0, 0, b""), wire.ANY_ADDRESS, Eca.INTERNAL, reason))
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

    def send(self, data: bytes) -> None:
        """Queue an answer; all that is queued in one turn of the loop is written together."""
        self._out.append(data)
        self._out_size += len(data)
        if self._out_size >= BATCH:
            self._flush()
        elif not self._flush_due:
            self._flush_due = True
            self.loop.call_soon(self._flush_turn)

    def send_large(self, data: bytes) -> None:
        """The same for what is so large that it should not be copied."""
        self._flush()
        transport = self.transport
        if transport is not None and not transport.is_closing():
            transport.write(memoryview(data))

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
        self._wake()
        self._send_news()
        self._work()

    def forget_news(self, monitor: Monitor) -> None:
        """The monitor is wanted no more."""
        self._news.pop(monitor, None)

    def post(self, monitor: Monitor) -> None:
        """The monitor's PV has news. Sent now, or, when the client cannot take it, once it can."""
        if self._held:
            if monitor in self._news:
                self.dropped += 1
                self.server.dropped_updates += 1
            else:
                self._news[monitor] = None
            return
        self.send_event(monitor)

    def send_event(self, monitor: Monitor) -> None:
        """Send the newest published state of the monitor's PV."""
        try:
            encoded = monitor.feed.encoded(monitor.shape)
        except dbr.TooLargeError:
            self.send(monitor.failed(Eca.TOLARGE))
            return
        if encoded is None:
            self.send(monitor.failed(Eca.GETFAIL))
            return
        self.server.updates += 1
        if not encoded.payload:
            encoded = encoded._replace(payload=NOTHING)
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
                self.send_event(monitor)

    def hold_events(self, off: bool) -> None:
        """EVENTS_OFF and EVENTS_ON: while they are off only the newest value of each monitor is kept."""
        self._events_off = off
        self._held = off or self._congested
        self._send_news()

    async def room(self) -> None:
        """Wait until answers do not pile up; returns at once when the connection is gone."""
        while self.transport is not None and self._backlog > ANSWER_LIMIT:
            waiter: asyncio.Future[None] = self.loop.create_future()
            self._room.append(waiter)
            await waiter

    def _wake(self) -> None:
        for waiter in self._room:
            if not waiter.done():
                waiter.set_result(None)
        self._room.clear()

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
                self.handle(message)
                if transport.is_closing():
                    return
                left -= 1
                if left <= 0 or self._backlog > ANSWER_LIMIT:
                    break
        except ProtocolError as error:
            self.drop(str(error), error.request)
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
