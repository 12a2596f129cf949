"""Who has this name: searches by UDP and through name servers, with the protocol's back-off."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from owlshift.ca import messages
from owlshift.ca.addresses import Address
from owlshift.ca.channel import Channel, State
from owlshift.ca.protocol import MINOR_VERSION, Command
from owlshift.ca.stats import Stats

log = logging.getLogger(__name__)

FIRST_PERIOD = 0.03
"""Seconds between the first and the second search for a name; doubled with each search."""
BOOST_LEVEL = 3
"""A beacon anomaly brings a name back to this level of back-off."""
_DATAGRAM = 1024
_TICK = 0.004
_DATAGRAMS_PER_TICK = 16
_RECEIVE_SIZE = 65536
_DATAGRAMS_PER_TURN = 64
_HEADER = struct.Struct(">HHHHII")
_VERSION = messages.message(Command.VERSION, count=MINOR_VERSION)
ASK_SENDER = 0xFFFF_FFFF


@dataclass(slots=True)
class _Level:
    period: float
    waiting: deque[tuple[float, int, Channel]] = field(default_factory=deque)
    """(due, ticket, channel) by due time."""


class Search:
    """Searches for channels until they are found."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        servers: tuple[Address, ...],
        max_period: float,
        stats: Stats,
        found: Callable[[int, Address], None],
    ) -> None:
        self._loop = loop
        self._servers = servers
        self._stats = stats
        self._found = found
        self._levels: list[_Level] = []
        period = FIRST_PERIOD
        while period < max_period:
            self._levels.append(_Level(period))
            period *= 2
        self._levels.append(_Level(max_period))
        self._socket: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ticket = 0
        self._failed_sends: set[Address] = set()
        self.ask_by_tcp: Callable[[bytes], None] | None = None
        """Sends searches to the name servers."""

    def start(self) -> None:
        """Open the socket."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.bind(("", 0))
        self._loop.add_reader(self._socket.fileno(), self._readable)
        self._schedule()

    def close(self) -> None:
        """Stop searching."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None
        for level in self._levels:
            level.waiting.clear()

    def add(self, channel: Channel, level: int = 0) -> None:
        """Search for `channel`: at once at level 0, later levels after their period."""
        level = min(level, len(self._levels) - 1)
        due = self._loop.time() + (self._levels[level].period if level else 0.0)
        self._enter(channel, level, due)
        self._schedule()

    def _enter(self, channel: Channel, level: int, due: float) -> None:
        self._ticket += 1
        channel.search_ticket = self._ticket
        self._levels[level].waiting.append((due, self._ticket, channel))

    def boost(self) -> int:
        """Search for everything that is missing now, and return how many names that are."""
        now = self._loop.time()
        missing = [
            channel
            for level in self._levels
            for _, ticket, channel in level.waiting
            if channel.search_ticket == ticket and channel.state is State.SEARCHING
        ]
        for level in self._levels:
            level.waiting.clear()
        for channel in missing:
            self._enter(channel, BOOST_LEVEL, now)
        self._schedule()
        return len(missing)

    def _schedule(self) -> None:
        if self._socket is None:
            return
        due = min((level.waiting[0][0] for level in self._levels if level.waiting), default=None)
        if due is None:
            return
        if self._timer is not None:
            if self._timer.when() <= max(due, self._loop.time()) + 1e-4:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(max(due, self._loop.time()), self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._loop.time()
        budget = _DATAGRAMS_PER_TICK
        for index, level in enumerate(self._levels):
            while budget > 0 and level.waiting and level.waiting[0][0] <= now:
                self._send(self._gather(index, now))
                budget -= 1
            if budget <= 0:
                break
        if budget <= 0:
            self._timer = self._loop.call_later(_TICK, self._tick)
        else:
            self._schedule()

    def _gather(self, index: int, now: float) -> bytes:
        """The searches of one datagram from one level; each name moves up one level."""
        waiting = self._levels[index].waiting
        higher = min(index + 1, len(self._levels) - 1)
        parts: list[bytes] = []
        room = _DATAGRAM - len(_VERSION)
        while waiting and waiting[0][0] <= now:
            _, ticket, channel = waiting[0]
            if channel.search_ticket != ticket or channel.state is not State.SEARCHING:
                waiting.popleft()
                continue
            part = messages.search(channel.id, channel.wire_name)
            if parts and len(part) > room:
                break
            waiting.popleft()
            parts.append(part)
            room -= len(part)
            self._enter(channel, higher, now + self._levels[higher].period)
        self._stats.names_searched += len(parts)
        return b"".join(parts)

    def _send(self, searches: bytes) -> None:
        if not searches or self._socket is None:
            return
        datagram = _VERSION + searches
        for server in self._servers:
            try:
                self._socket.sendto(datagram, server)
                self._stats.datagrams_sent += 1
                self._failed_sends.discard(server)
            except (BlockingIOError, InterruptedError):
                self._stats.ignored["search not sent: buffer full"] += 1
            except OSError as error:
                self._stats.ignored["search not sent"] += 1
                if server not in self._failed_sends:
                    self._failed_sends.add(server)
                    log.warning("searching at %s:%d: %s", *server, error.strerror or error)
        if self.ask_by_tcp is not None:
            self.ask_by_tcp(searches)

    def _readable(self) -> None:
        for _ in range(_DATAGRAMS_PER_TURN):
            if self._socket is None:
                return
            try:
                datagram, sender = self._socket.recvfrom(_RECEIVE_SIZE)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                # an ICMP refusal of an earlier datagram: no server there
                continue
            for channel, address in parse_replies(datagram, sender[0], self._stats):
                self._found(channel, address)


def parse_replies(datagram: bytes, sender: str, stats: Stats) -> list[tuple[int, Address]]:
    """The (channel, server) pairs of a datagram; what is no reply is counted and left out."""
    found: list[tuple[int, Address]] = []
    position = 0
    while position + _HEADER.size <= len(datagram):
        command, payload, port, _, ip, channel = _HEADER.unpack_from(datagram, position)
        position += _HEADER.size + payload
        if position > len(datagram) or payload & 7:
            stats.ignored["malformed datagram"] += 1
            return found
        if command == Command.SEARCH:
            if port == 0:
                stats.ignored["search reply without a port"] += 1
            else:
                found.append((channel, reply_address(ip, port, sender)))
        elif command not in (Command.VERSION, Command.NOT_FOUND):
            stats.ignored["unexpected datagram"] += 1
    if position != len(datagram):
        stats.ignored["malformed datagram"] += 1
    stats.search_replies += len(found)
    return found


def reply_address(ip: int, port: int, sender: str) -> Address:
    """Where the server of a search reply is: the address in it, or the reply's sender."""
    if ip in (ASK_SENDER, 0):
        return sender, port
    return socket.inet_ntoa(struct.pack(">I", ip)), port
