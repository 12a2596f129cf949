"""The channels of a client: from a name to events, and back to searching when a server goes."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from owlshift.ca import messages
from owlshift.ca.addresses import Address, CaAddresses
from owlshift.ca.batch import Batch, Sink
from owlshift.ca.channel import MAX_CHANNELS, PROPERTY_BIT, Channel, State
from owlshift.ca.circuit import RECEIVE_BUFFER, Circuit, Pacer
from owlshift.ca.events import Expectations, MalformedError, decode_events, is_time_type
from owlshift.ca.frames import Group
from owlshift.ca.metadata import EMPTY, Metadata, control_type, decode_control
from owlshift.ca.protocol import CONTROL_OFFSET, DBE, ECA_NORMAL, Access, CaDisconnectedError, Command, Dbr
from owlshift.ca.requests import Pending
from owlshift.ca.search import Search, reply_address
from owlshift.ca.stats import Stats

log = logging.getLogger(__name__)

DESCRIBE_TIMEOUT = 5.0
"""Seconds after which a channel is taken without its metadata."""
_FIRST_PENALTY = 1.0
_LAST_PENALTY = 300.0
_FORGIVEN_AFTER = 60.0
_NOISE_PER_CHANNEL = 10
"""Property events that change nothing, until the server is taken for one that ignores event masks."""
_LOG_INTERVAL = 60.0
_ERROR_HEADER = struct.Struct(">HHHHII")
_HARMLESS = ("closed by server", "connection lost", "no channels left", "client closed")


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
        self._name_servers: dict[Address, Circuit] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._next_sink_log = 0.0
        self._handlers: dict[int, Callable[[Circuit, Group], None]] = {
            Command.VERSION: self._version,
            Command.ACCESS_RIGHTS: self._access_rights,
            Command.CREATE_CHAN: self._created,
            Command.CREATE_CH_FAIL: self._create_failed,
            Command.SERVER_DISCONN: self._channel_gone,
            Command.READ_NOTIFY: self._read_answer,
            Command.WRITE_NOTIFY: self._write_answer,
            Command.ERROR: self._error,
            Command.SEARCH: self._search_reply,
            Command.ECHO: self._nothing,
            Command.CLEAR_CHANNEL: self._nothing,
            Command.NOT_FOUND: self._nothing,
            Command.EVENT_CANCEL: self._nothing,
        }

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
            late = [
                channel
                for channel in circuit.channels.values()
                if channel.state is State.DESCRIBING and now - channel.since > DESCRIBE_TIMEOUT
            ]
            if late:
                self.stats.ignored["metadata not sent in time"] += len(late)
                self._live(circuit, [(channel, EMPTY) for channel in late])
        lifted = [address for address, penalty in self._penalties.items() if 0 < penalty.until <= now]
        for address in lifted:
            self._penalties[address].until = 0.0
        if lifted:
            self.search.boost()
        for address in self.addresses.name_servers:
            if address not in self._name_servers and not self._punished(address):
                circuit = self._circuit(address, 0)
                circuit.keep = True
                self._name_servers[address] = circuit
        interval = min(1.0, self.addresses.connection_timeout / 4)
        self._timer = self.loop.call_later(interval, self._watch)

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
                    out += self._cancel_property(channel)
                circuit.send(out + messages.message(Command.CLEAR_CHANNEL, p1=channel.sid, p2=channel.id))
            channel.circuit = None

    @staticmethod
    def _cancel_property(channel: Channel) -> bytes:
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
                if not channel.warned_duplicate:
                    channel.warned_duplicate = True
                    log.warning(
                        "%s: also at %s:%d; the first answer, from %s, is used",
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
        """A server has come up."""
        if not self._closed:
            self.search.boost()

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
            self.search.boost()

    def circuit_closed(self, circuit: Circuit, reason: str, detail: str) -> None:
        """All its channels are searched for again; a server that misbehaves has to wait."""
        self.circuits.pop((circuit.address, circuit.priority), None)
        self._name_servers.pop(circuit.address, None)
        self.stats.dropped[reason] += 1
        why = f"{reason}: {detail}" if detail else reason
        self.pending.lose(circuit, why)
        channels = list(circuit.channels.values())
        circuit.channels.clear()
        if reason not in ("no channels left", "client closed"):
            log.warning("%s: %s (%d channels)", circuit.host, why, len(channels))
        if reason not in _HARMLESS:
            self._punish(circuit)
        now_ns = time.time_ns()
        level = 0 if reason in _HARMLESS else 2
        for channel in channels:
            self._lose(channel, why, now_ns, level)

    def _punish(self, circuit: Circuit) -> None:
        now = self.loop.time()
        known = self._penalties.get(circuit.address)
        calm = circuit.up_since and now - circuit.up_since > _FORGIVEN_AFTER
        delay = _FIRST_PENALTY if known is None or calm else min(2 * known.delay, _LAST_PENALTY)
        self._penalties[circuit.address] = _Penalty(now + delay, delay)

    def _lose(self, channel: Channel, reason: str, now_ns: int, level: int) -> None:
        was = channel.state
        self.expected.remove(channel.id)
        channel.circuit = None
        channel.property_subscribed = False
        channel.access = Access.NONE
        if was is State.CLOSED:
            return
        channel.state = State.SEARCHING
        if was is State.LIVE:
            self.stats.disconnected += 1
            if channel.mask:
                self._tell("disconnected", channel.id, reason, now_ns)
        if not self._closed:
            self.search.add(channel, level)

    def _tell(self, method: str, *arguments: Any) -> None:
        """Call the sink; what it raises must not hurt the client."""
        if self.sink is None:
            return
        try:
            call = getattr(self.sink, method, None)
            if call is not None:
                call(*arguments)
        except Exception as error:
            self._sink_failed(method, error)

    def _sink_failed(self, method: str, error: Exception) -> None:
        """Count what the sink raised, and log it once a minute."""
        self.stats.sink_errors += 1
        now = self.loop.time()
        if now >= self._next_sink_log:
            self._next_sink_log = now + _LOG_INTERVAL
            log.error("the sink failed in %s (failure %d)", method, self.stats.sink_errors, exc_info=error)

    def receive(self, circuit: Circuit, groups: list[Group]) -> None:
        """Handle messages; MalformedError drops the circuit."""
        gone: list[Group] = []
        for group in groups:
            command = group.shape.command
            if command == Command.EVENT_ADD:
                self._events(circuit, group)
            elif command == Command.SERVER_DISCONN:
                gone.append(group)
            else:
                handler = self._handlers.get(command)
                if handler is None:
                    raise MalformedError("unknown command")
                handler(circuit, group)
            if circuit.closed:
                return
        for group in gone:
            self._channel_gone(circuit, group)

    def _events(self, circuit: Circuit, group: Group) -> None:
        code = group.shape.dbr
        if group.shape.payload == 0:
            return  # a cancelled subscription's last word
        if is_time_type(code):
            batch = decode_events(group, circuit.number, self.expected, self.stats.ignored)
            if batch is not None:
                self._deliver(batch)
        elif control_type(code) is not None:
            self._properties(circuit, group)
        else:
            self.stats.ignored["event of an unexpected type"] += len(group.rows)

    def _deliver(self, batch: Batch) -> None:
        self.stats.events += len(batch)
        self.stats.batches += 1
        if self.sink is not None:
            try:
                self.sink.batch(batch)
            except Exception as error:
                self._sink_failed("batch", error)

    def _nothing(self, circuit: Circuit, group: Group) -> None:
        pass

    def _version(self, circuit: Circuit, group: Group) -> None:
        circuit.minor_version = group.shape.elements

    def _access_rights(self, circuit: Circuit, group: Group) -> None:
        for number, rights in zip(*group.parameters(), strict=True):
            channel = circuit.channels.get(number)
            if channel is None:
                self.stats.ignored["message for no channel"] += 1
                continue
            access = Access(rights & 3)
            if access != channel.access:
                channel.access = access
                if channel.state is State.LIVE and channel.mask:
                    self._tell("changed", channel.info())

    def _created(self, circuit: Circuit, group: Group) -> None:
        code, count = group.shape.dbr, group.shape.elements
        if code > Dbr.DOUBLE:
            raise MalformedError("unknown data type")
        dbr = Dbr(code)
        now = self.loop.time()
        created: list[Channel] = []
        for number, sid in zip(*group.parameters(), strict=True):
            channel = circuit.channels.get(number)
            if channel is None or channel.state is not State.CREATING:
                if channel is None:
                    circuit.send(messages.message(Command.CLEAR_CHANNEL, p1=sid, p2=number))
                self.stats.ignored["message for no channel"] += 1
                continue
            channel.sid, channel.dbr, channel.count = sid, dbr, count
            if circuit.minor_version < 1:
                channel.access = Access.READ | Access.WRITE
            channel.state, channel.since = State.DESCRIBING, now
            created.append(channel)
        if not created:
            return
        if dbr is Dbr.STRING or not self.metadata:
            self._live(circuit, [(channel, EMPTY) for channel in created])
            return
        for channel in created:
            channel.property_subscribed = True
        ids = np.array([channel.id for channel in created], dtype=np.uint32)
        sids = np.array([channel.sid for channel in created], dtype=np.uint32)
        circuit.send(
            messages.subscribe(sids, ids | np.uint32(PROPERTY_BIT), dbr.control, np.ones_like(ids), DBE.PROPERTY)
        )

    def _properties(self, circuit: Circuit, group: Group) -> None:
        dbr = Dbr(group.shape.dbr - CONTROL_OFFSET)
        described = decode_control(dbr, group.rows, group.shape.header)
        if described is None:
            raise MalformedError("metadata do not fit payload")
        status, ids = group.parameters()
        fresh: list[tuple[Channel, Metadata]] = []
        for code, number, metadata in zip(status, ids, described, strict=True):
            channel = circuit.channels.get(number & ~PROPERTY_BIT)
            if (
                channel is None
                or channel.dbr is not dbr
                or not number & PROPERTY_BIT
                or not channel.property_subscribed
            ):
                self.stats.ignored["unexpected event"] += 1
            elif channel.state is State.DESCRIBING:
                fresh.append((channel, metadata if code == ECA_NORMAL else EMPTY))
            elif code == ECA_NORMAL and metadata != channel.metadata:
                channel.metadata = metadata
                if channel.mask:
                    self._tell("changed", channel.info())
            else:
                circuit.property_noise += 1
        if fresh:
            self._live(circuit, fresh)
        if circuit.property_noise > _NOISE_PER_CHANNEL * (len(circuit.channels) + 10):
            self._stop_properties(circuit)

    def _stop_properties(self, circuit: Circuit) -> None:
        """The server sends metadata at every event: it ignores event masks."""
        circuit.property_noise = 0
        self.stats.ignored["server that ignores event masks"] += 1
        log.info("%s ignores event masks: changes of metadata are not followed", circuit.host)
        circuit.send(
            b"".join(
                self._cancel_property(channel)
                for channel in circuit.channels.values()
                if channel.property_subscribed and channel.state is State.LIVE
            )
        )

    def _live(self, circuit: Circuit, described: list[tuple[Channel, Metadata]]) -> None:
        """These channels are complete: say so, and subscribe to their values."""
        now = self.loop.time()
        by_shape: defaultdict[tuple[Dbr, int], list[Channel]] = defaultdict(list)
        for channel, metadata in described:
            channel.metadata = metadata
            channel.state, channel.since = State.LIVE, now
            self.stats.connected += 1
            if channel.mask:
                array = channel.count != 1
                self.expected.add(channel.id, circuit.number, channel.dbr, array)
                circuit.has_arrays |= array
                by_shape[channel.dbr, int(channel.mask)].append(channel)
                self._tell("connected", channel.info())
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

    def _create_failed(self, circuit: Circuit, group: Group) -> None:
        for number in group.parameters()[0]:
            channel = circuit.channels.get(number)
            if channel is None or channel.state is not State.CREATING:
                self.stats.ignored["message for no channel"] += 1
                continue
            del circuit.channels[number]
            self.stats.ignored["channel refused by its server"] += 1
            self._lose(channel, "refused by the server", time.time_ns(), 4)

    def _channel_gone(self, circuit: Circuit, group: Group) -> None:
        now = time.time_ns()
        for number in group.parameters()[0]:
            channel = circuit.channels.pop(number, None)
            if channel is None:
                self.stats.ignored["message for no channel"] += 1
                continue
            self.pending.lose(channel, "deleted by the server")
            self._lose(channel, "deleted by the server", now, 0)

    def _read_answer(self, circuit: Circuit, group: Group) -> None:
        shape = group.shape
        for status, number, payload in zip(*group.parameters(), group.payloads(), strict=True):
            if not self.pending.finish(number, circuit, status, (shape.dbr, shape.elements, payload)):
                self.stats.ignored["answer to no request"] += 1

    def _write_answer(self, circuit: Circuit, group: Group) -> None:
        for status, number in zip(*group.parameters(), strict=True):
            if not self.pending.finish(number, circuit, status, None):
                self.stats.ignored["answer to no request"] += 1

    def _error(self, circuit: Circuit, group: Group) -> None:
        """The server refuses a request; the payload is that request's header and a text."""
        for status, payload in zip(group.parameters()[1], group.payloads(), strict=True):
            self.stats.ignored["error message"] += 1
            if len(payload) < _ERROR_HEADER.size:
                raise MalformedError("error message too short")
            command, size, _, _, _, number = _ERROR_HEADER.unpack_from(payload)
            skip = 24 if size == 0xFFFF else 16
            detail = payload[skip:].split(b"\0", 1)[0].decode("latin-1")
            if command in (Command.READ_NOTIFY, Command.WRITE_NOTIFY):
                self.pending.finish(number, circuit, status, None, detail)
                continue
            log.warning("%s: refuses command %d: status %d %s", circuit.host, command, status, detail)
            if command == Command.EVENT_ADD and number & PROPERTY_BIT:
                channel = circuit.channels.get(number & ~PROPERTY_BIT)
                if channel is not None and channel.state is State.DESCRIBING:
                    self._live(circuit, [(channel, EMPTY)])

    def _search_reply(self, circuit: Circuit, group: Group) -> None:
        port = group.shape.dbr
        for ip, number in zip(*group.parameters(), strict=True):
            self.stats.search_replies += 1
            if port == 0:
                self.stats.ignored["search reply without a port"] += 1
            else:
                self.found(number, reply_address(ip, port, circuit.address[0]))

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
