"""The channels of a client: from a name to events, and back to searching when a server goes."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from owlshift.ca import messages
from owlshift.ca.addresses import Address, CaAddresses
from owlshift.ca.batch import Sink
from owlshift.ca.channel import MAX_CHANNELS, PROPERTY_BIT, Channel, State
from owlshift.ca.circuit import RECEIVE_BUFFER, Circuit, Pacer
from owlshift.ca.events import Expectations
from owlshift.ca.frames import Group
from owlshift.ca.inbox import Inbox
from owlshift.ca.metadata import EMPTY, Metadata
from owlshift.ca.protocol import DBE, Access, CaDisconnectedError, Command, Dbr
from owlshift.ca.requests import Pending
from owlshift.ca.search import Search
from owlshift.ca.stats import Stats

log = logging.getLogger(__name__)

DESCRIBE_TIMEOUT = 5.0
"""Seconds after which a channel is taken without its metadata."""
_FIRST_PENALTY = 1.0
_LAST_PENALTY = 300.0
_FORGIVEN_AFTER = 60.0
_SHORT_LIFE = 1.0
"""A server that closes the connection sooner than this is not asked again at once."""
_BOOST_INTERVAL = 1.0
_BOOST_NAMES_PER_SECOND = 10_000
_LOG_INTERVAL = 60.0
_OUR_REASONS = ("no channels left", "client closed")
_HARMLESS = ("closed by server", "connection lost", *_OUR_REASONS)


@dataclass(slots=True)
class _Penalty:
    until: float
    delay: float


class Directory:
    """All channels and circuits of one client."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        addresses: CaAddresses,
        sink: Sink | None,
        stats: Stats,
        pending: Pending,
        pace: float,
        user: str,
        metadata: bool,
    ) -> None:
        self.loop = loop
        self.addresses = addresses
        self.sink = sink
        self.stats = stats
        self.pending = pending
        self.user = user
        self.metadata = metadata
        self.host_name = socket.gethostname()
        self.channels: dict[int, Channel] = {}
        self.expected = Expectations()
        self.circuits: dict[tuple[Address, int], Circuit] = {}
        self.paused = False
        self.search = Search(loop, addresses.servers, addresses.max_search_period, stats, self.found)
        self.search.ask_by_tcp = self._ask_name_servers if addresses.name_servers else None
        self._pacer = Pacer(loop, pace)
        self._buffer = np.zeros(RECEIVE_BUFFER, dtype=np.uint8)
        self._next_channel = 0
        self._next_circuit = 0
        self._penalties: dict[Address, _Penalty] = {}
        self._rivals: set[tuple[Address, Address]] = set()
        """Pairs of servers that have been seen to have a name in common."""
        self._name_servers: dict[Address, Circuit] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._describing: dict[int, Channel] = {}
        self._next_boost = 0.0
        self._boost_timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._next_sink_log = 0.0
        self._inbox = Inbox(self)

    # life cycle

    def start(self) -> None:
        """Begin to search and to watch the circuits."""
        self.search.start()
        self._watch()

    def close(self) -> None:
        """End all circuits; no sink method is called any more."""
        self._closed = True
        self.sink = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._boost_timer is not None:
            self._boost_timer.cancel()
            self._boost_timer = None
        self.search.close()
        for circuit in list(self.circuits.values()):
            circuit.drop("client closed")
        self._pacer.close()
        for channel in self.channels.values():
            channel.state = State.CLOSED
            channel.wake()
        self.channels.clear()

    def _watch(self) -> None:
        """Once in a while: silent servers, channels without metadata, circuits without channels, name servers."""
        now = self.loop.time()
        for circuit in list(self.circuits.values()):
            circuit.check(now, self.addresses.connection_timeout)
            if not circuit.closed and not circuit.channels and not circuit.keep:
                circuit.drop("no channels left")
                continue
        self._give_up_metadata(now)
        lifted = [address for address, penalty in self._penalties.items() if 0 < penalty.until <= now]
        for address in lifted:
            self._penalties[address].until = 0.0
        if lifted:
            self.boost()
        for address in self.addresses.name_servers:
            if address not in self._name_servers and not self._punished(address):
                circuit = self._circuit(address, 0)
                circuit.keep = True
                self._name_servers[address] = circuit
        interval = min(1.0, self.addresses.connection_timeout / 4)
        self._timer = self.loop.call_later(interval, self._watch)

    def expect_metadata(self, channels: Iterable[Channel]) -> None:
        """These channels have been created and wait for their metadata."""
        for channel in channels:
            self._describing[channel.id] = channel

    def _give_up_metadata(self, now: float) -> None:
        late = [
            channel
            for channel in self._describing.values()
            if channel.state is State.DESCRIBING and now - channel.since > DESCRIBE_TIMEOUT
        ]
        if not late:
            return
        self.stats.ignored["metadata not sent in time"] += len(late)
        for channel in late:
            if channel.circuit is not None and channel.state is State.DESCRIBING:
                self.live(channel.circuit, [(channel, EMPTY)])

    # channels

    def add(self, names: Iterable[str], mask: DBE, priority: int) -> list[Channel]:
        """Make channels and search for them; ValueError for a name that cannot be."""
        wires = [(name, wire_name(name)) for name in names]
        if self._next_channel + len(wires) > MAX_CHANNELS:
            raise ValueError("no channel ids left")
        made: list[Channel] = []
        for name, wire in wires:
            channel = Channel(self._next_channel, name, wire, mask, priority)
            self._next_channel += 1
            self.channels[channel.id] = channel
            self.search.add(channel)
            made.append(channel)
        return made

    def remove(self, ids: Iterable[int]) -> None:
        """Forget channels; unknown ids are ignored."""
        for number in ids:
            channel = self.channels.pop(int(number), None)
            if channel is None:
                continue
            self.expected.remove(channel.id)
            self._describing.pop(channel.id, None)
            circuit = channel.circuit
            state, channel.state = channel.state, State.CLOSED
            channel.wake()
            if circuit is None:
                continue
            circuit.channels.pop(channel.id, None)
            if state in (State.DESCRIBING, State.LIVE):
                out = b""
                if state is State.LIVE and channel.mask:
                    out += messages.message(
                        Command.EVENT_CANCEL, dbr=channel.dbr.time, count=1, p1=channel.sid, p2=channel.id
                    )
                if channel.property_subscribed:
                    out += self.cancel_property(channel)
                circuit.send(out + messages.message(Command.CLEAR_CHANNEL, p1=channel.sid, p2=channel.id))
            channel.circuit = None

    @staticmethod
    def cancel_property(channel: Channel) -> bytes:
        """The message that ends the subscription to a channel's metadata."""
        channel.property_subscribed = False
        return messages.message(
            Command.EVENT_CANCEL, dbr=channel.dbr.control, count=1, p1=channel.sid, p2=channel.id | PROPERTY_BIT
        )

    def set_paused(self, paused: bool) -> None:
        """Ask all servers to hold events back, or to send them again."""
        self.paused = paused
        for circuit in self.circuits.values():
            self._apply_pause(circuit)

    def _apply_pause(self, circuit: Circuit) -> None:
        if circuit.up and circuit.paused != self.paused:
            circuit.paused = self.paused
            circuit.send(messages.message(Command.EVENTS_OFF if self.paused else Command.EVENTS_ON))

    # search

    def found(self, number: int, address: Address) -> None:
        """A server says that it has a channel."""
        channel = self.channels.get(number)
        if channel is None:
            self.stats.ignored["search reply for no channel"] += 1
            return
        if channel.state is not State.SEARCHING:
            if channel.circuit is not None and channel.circuit.address != address:
                self.stats.ignored["second server for a channel"] += 1
                rivals = (channel.circuit.address, address)
                if rivals not in self._rivals:  # two servers often have hundreds of names in common
                    self._rivals.add(rivals)
                    log.warning(
                        "%s: also at %s:%d; the first answer, from %s, is used (said once for these two servers)",
                        channel.name,
                        *address,
                        channel.circuit.host,
                    )
            return
        if self._punished(address):
            self.stats.ignored["search reply of a server that failed"] += 1
            return
        circuit = self._circuit(address, channel.priority)
        channel.state = State.CREATING
        channel.since = self.loop.time()
        channel.circuit = circuit
        circuit.channels[channel.id] = channel
        circuit.send(messages.create_channel(channel.id, channel.wire_name))

    def boost(self) -> None:
        """A server has come up: search again now, but not more than once in a while."""
        if self._closed or self._boost_timer is not None:
            return
        now = self.loop.time()
        if now < self._next_boost:
            self._boost_timer = self.loop.call_at(self._next_boost, self._boost)
        else:
            self._boost()

    def _boost(self) -> None:
        self._boost_timer = None
        missing = self.search.boost()
        self._next_boost = self.loop.time() + max(_BOOST_INTERVAL, missing / _BOOST_NAMES_PER_SECOND)

    def _punished(self, address: Address) -> bool:
        penalty = self._penalties.get(address)
        return penalty is not None and penalty.until > self.loop.time()

    def _ask_name_servers(self, searches: bytes) -> None:
        for circuit in self._name_servers.values():
            if circuit.up:
                circuit.send(searches)

    def _circuit(self, address: Address, priority: int) -> Circuit:
        circuit = self.circuits.get((address, priority))
        if circuit is None:
            self._next_circuit += 1
            circuit = Circuit(
                self.loop,
                self,
                self._pacer,
                self.stats,
                self._buffer,
                lambda: self.expected.arrays,
                address,
                priority,
                self._next_circuit,
            )
            self.circuits[address, priority] = circuit
            circuit.connect(self.addresses.connection_timeout, self.user, self.host_name)
        return circuit

    # what circuits tell

    def circuit_up(self, circuit: Circuit) -> None:
        """The connection is made."""
        self._apply_pause(circuit)
        if circuit.keep:
            self.boost()

    def circuit_closed(self, circuit: Circuit, reason: str, detail: str) -> None:
        """All its channels are searched for again; a server that misbehaves has to wait."""
        self.circuits.pop((circuit.address, circuit.priority), None)
        self._name_servers.pop(circuit.address, None)
        self.stats.dropped[reason] += 1
        why = f"{reason}: {detail}" if detail else reason
        self.pending.lose(circuit, why)
        channels = list(circuit.channels.values())
        circuit.channels.clear()
        if reason not in _OUR_REASONS:
            log.warning("%s: %s (%d channels)", circuit.host, why, len(channels))
        short = reason not in _OUR_REASONS and self.loop.time() - circuit.up_since < _SHORT_LIFE
        harmless = reason in _HARMLESS and not short
        if not harmless:
            self._punish(circuit)
        elif circuit.up_since and self.loop.time() - circuit.up_since > _FORGIVEN_AFTER:
            self._penalties.pop(circuit.address, None)
        now_ns = time.time_ns()
        level = 0 if harmless else 2
        for channel in channels:
            self.lose(channel, why, now_ns, level)

    def _punish(self, circuit: Circuit) -> None:
        now = self.loop.time()
        known = self._penalties.get(circuit.address)
        calm = circuit.up_since and now - circuit.up_since > _FORGIVEN_AFTER
        delay = _FIRST_PENALTY if known is None or calm else min(2 * known.delay, _LAST_PENALTY)
        self._penalties[circuit.address] = _Penalty(now + delay, delay)

    def lose(self, channel: Channel, reason: str, now_ns: int, level: int) -> None:
        """A channel is gone: tell the sink, and search for it from this level of back-off on."""
        was = channel.state
        self.expected.remove(channel.id)
        self._describing.pop(channel.id, None)
        channel.circuit = None
        channel.property_subscribed = False
        channel.access = Access.NONE
        if was is State.CLOSED:
            return
        channel.state = State.SEARCHING
        if was is State.LIVE:
            self.stats.disconnected += 1
            if channel.mask:
                self.tell("disconnected", channel.id, reason, now_ns)
        if not self._closed:
            self.search.add(channel, level)

    def tell(self, method: str, *arguments: Any) -> None:
        """Call the sink; what it raises must not hurt the client."""
        if self.sink is None:
            return
        try:
            call = getattr(self.sink, method, None)
            if call is not None:
                call(*arguments)
        except Exception as error:
            self.sink_failed(method, error)

    def receive(self, circuit: Circuit, groups: list[Group]) -> None:
        """Handle messages; MalformedError drops the circuit."""
        self._inbox.receive(circuit, groups)

    def sink_failed(self, method: str, error: Exception) -> None:
        """Count what the sink raised, and log it once a minute."""
        self.stats.sink_errors += 1
        now = self.loop.time()
        if now >= self._next_sink_log:
            self._next_sink_log = now + _LOG_INTERVAL
            log.error("the sink failed in %s (failure %d)", method, self.stats.sink_errors, exc_info=error)

    def live(self, circuit: Circuit, described: list[tuple[Channel, Metadata]]) -> None:
        """These channels are complete: say so, and subscribe to their values."""
        now = self.loop.time()
        by_shape: defaultdict[tuple[Dbr, int], list[Channel]] = defaultdict(list)
        for channel, metadata in described:
            channel.metadata = metadata
            channel.state, channel.since = State.LIVE, now
            self._describing.pop(channel.id, None)
            self.stats.connected += 1
            if channel.mask:
                array = channel.count != 1
                self.expected.add(channel.id, circuit.number, channel.dbr, array)
                circuit.has_arrays |= array
                by_shape[channel.dbr, int(channel.mask)].append(channel)
                self.tell("connected", channel.info())
            channel.wake()
        variable = circuit.minor_version >= 13
        for (dbr, mask), group in by_shape.items():
            # the sink may have unsubscribed from some of them
            channels = [channel for channel in group if channel.state is State.LIVE]
            if not channels:
                continue
            counts = [1 if c.count == 1 else 0 if variable else c.count for c in channels]
            circuit.send(
                messages.subscribe(
                    np.array([c.sid for c in channels], dtype=np.uint32),
                    np.array([c.id for c in channels], dtype=np.uint32),
                    dbr.time,
                    np.array(counts, dtype=np.uint32),
                    DBE(mask),
                )
            )

    # requests

    async def wait_live(self, channel: Channel) -> Circuit:
        """Wait until `channel` is connected; CaDisconnectedError when it is closed."""
        while channel.state is not State.LIVE:
            if channel.state is State.CLOSED:
                raise CaDisconnectedError(f"{channel.name}: the client is closed")
            waiter: asyncio.Future[None] = self.loop.create_future()
            channel.waiters.append(waiter)
            await waiter
        if channel.circuit is None:
            raise CaDisconnectedError(f"{channel.name}: disconnected")
        return channel.circuit


def wire_name(name: str) -> bytes:
    """A channel name as bytes; ValueError for what no server could have."""
    raw = name.encode()
    if not raw or len(raw) > 255 or b"\0" in raw or any(byte <= 0x20 for byte in raw):
        raise ValueError(f"{name!r} is no channel name")
    return raw
