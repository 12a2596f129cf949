"""What servers say: messages to events, channel states and answers."""

from __future__ import annotations

import logging
import struct
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from owlshift.ca import messages
from owlshift.ca.batch import Batch
from owlshift.ca.channel import PROPERTY_BIT, Channel, State
from owlshift.ca.circuit import Circuit
from owlshift.ca.events import MalformedError, decode_events, is_time_type
from owlshift.ca.frames import Group
from owlshift.ca.metadata import EMPTY, Metadata, control_type, decode_control
from owlshift.ca.protocol import CONTROL_OFFSET, DBE, ECA_NORMAL, Access, Command, Dbr, status_text
from owlshift.ca.search import reply_address

if TYPE_CHECKING:
    from owlshift.ca.directory import Directory

log = logging.getLogger(__name__)

_NOISE_PER_CHANNEL = 10
"""Property events that change nothing, until the server is taken for one that ignores event masks."""
_ERROR_HEADER = struct.Struct(">HHHHII")
_LOG_INTERVAL = 60.0


class Inbox:
    """Handles the messages of all circuits of a directory."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._next_refusal_log = 0.0
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
            batch = decode_events(group, circuit.number, self._directory.expected, self._directory.stats.ignored)
            if batch is not None:
                self._deliver(batch)
        elif control_type(code) is not None:
            self._properties(circuit, group)
        else:
            self._directory.stats.ignored["event of an unexpected type"] += len(group.rows)

    def _deliver(self, batch: Batch) -> None:
        self._directory.stats.events += len(batch)
        self._directory.stats.batches += 1
        if self._directory.sink is not None:
            try:
                self._directory.sink.batch(batch)
            except Exception as error:
                self._directory.sink_failed("batch", error)

    def _nothing(self, circuit: Circuit, group: Group) -> None:
        pass

    def _version(self, circuit: Circuit, group: Group) -> None:
        circuit.minor_version = group.shape.elements

    def _access_rights(self, circuit: Circuit, group: Group) -> None:
        for number, rights in zip(*group.parameters(), strict=True):
            channel = circuit.channels.get(number)
            if channel is None:
                self._directory.stats.ignored["message for no channel"] += 1
                continue
            access = Access(rights & 3)
            if access != channel.access:
                channel.access = access
                if channel.state is State.LIVE and channel.mask:
                    self._directory.tell("changed", channel.info())

    def _created(self, circuit: Circuit, group: Group) -> None:
        code, count = group.shape.dbr, group.shape.elements
        if code > Dbr.DOUBLE:
            raise MalformedError("unknown data type")
        dbr = Dbr(code)
        now = self._directory.loop.time()
        created: list[Channel] = []
        for number, sid in zip(*group.parameters(), strict=True):
            channel = circuit.channels.get(number)
            if channel is None or channel.state is not State.CREATING:
                if channel is None:
                    circuit.send(messages.message(Command.CLEAR_CHANNEL, p1=sid, p2=number))
                self._directory.stats.ignored["message for no channel"] += 1
                continue
            channel.sid, channel.dbr, channel.count = sid, dbr, count
            if circuit.minor_version < 1:
                channel.access = Access.READ | Access.WRITE
            channel.state, channel.since = State.DESCRIBING, now
            created.append(channel)
        if not created:
            return
        if dbr is Dbr.STRING or not self._directory.metadata:
            self._directory.live(circuit, [(channel, EMPTY) for channel in created])
            return
        for channel in created:
            channel.property_subscribed = True
        self._directory.expect_metadata(created)
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
                self._directory.stats.ignored["unexpected event"] += 1
            elif channel.state is State.DESCRIBING:
                fresh.append((channel, metadata if code == ECA_NORMAL else EMPTY))
            elif code == ECA_NORMAL and metadata != channel.metadata:
                channel.metadata = metadata
                if channel.mask:
                    self._directory.tell("changed", channel.info())
            else:
                circuit.property_noise += 1
        if fresh:
            self._directory.live(circuit, fresh)
        if circuit.property_noise > _NOISE_PER_CHANNEL * (len(circuit.channels) + 10):
            self._stop_properties(circuit)

    def _stop_properties(self, circuit: Circuit) -> None:
        """The server sends metadata at every event: it ignores event masks."""
        circuit.property_noise = 0
        self._directory.stats.ignored["server that ignores event masks"] += 1
        log.info("%s ignores event masks: changes of metadata are not followed", circuit.host)
        circuit.send(
            b"".join(
                self._directory.cancel_property(channel)
                for channel in circuit.channels.values()
                if channel.property_subscribed and channel.state is State.LIVE
            )
        )

    def _create_failed(self, circuit: Circuit, group: Group) -> None:
        for number in group.parameters()[0]:
            channel = circuit.channels.get(number)
            if channel is None or channel.state is not State.CREATING:
                self._directory.stats.ignored["message for no channel"] += 1
                continue
            del circuit.channels[number]
            self._directory.stats.ignored["channel refused by its server"] += 1
            self._directory.lose(channel, "refused by the server", time.time_ns(), 4)

    def _channel_gone(self, circuit: Circuit, group: Group) -> None:
        now = time.time_ns()
        for number in group.parameters()[0]:
            channel = circuit.channels.pop(number, None)
            if channel is None:
                self._directory.stats.ignored["message for no channel"] += 1
                continue
            self._directory.pending.lose(channel, "deleted by the server")
            self._directory.lose(channel, "deleted by the server", now, 2)

    def _read_answer(self, circuit: Circuit, group: Group) -> None:
        shape = group.shape
        for status, number, payload in zip(*group.parameters(), group.payloads(), strict=True):
            if not self._directory.pending.finish(number, circuit, status, (shape.dbr, shape.elements, payload)):
                self._directory.stats.ignored["answer to no request"] += 1

    def _write_answer(self, circuit: Circuit, group: Group) -> None:
        for status, number in zip(*group.parameters(), strict=True):
            if not self._directory.pending.finish(number, circuit, status, None):
                self._directory.stats.ignored["answer to no request"] += 1

    def _error(self, circuit: Circuit, group: Group) -> None:
        """The server refuses a request; the payload is that request's header and a text."""
        for status, payload in zip(group.parameters()[1], group.payloads(), strict=True):
            self._directory.stats.ignored["error message"] += 1
            if len(payload) < _ERROR_HEADER.size:
                raise MalformedError("error message too short")
            command, size, _, _, _, number = _ERROR_HEADER.unpack_from(payload)
            skip = 24 if size == 0xFFFF else 16
            detail = payload[skip:].split(b"\0", 1)[0].decode("latin-1")
            if command in (Command.READ_NOTIFY, Command.WRITE_NOTIFY):
                self._directory.pending.finish(number, circuit, status, None, detail)
                continue
            now = self._directory.loop.time()
            if now >= self._next_refusal_log:
                self._next_refusal_log = now + _LOG_INTERVAL
                log.warning("%s: refuses command %d: %s %r", circuit.host, command, status_text(status), detail)
            if command == Command.EVENT_ADD and number & PROPERTY_BIT:
                channel = circuit.channels.get(number & ~PROPERTY_BIT)
                if channel is not None and channel.state is State.DESCRIBING:
                    self._directory.live(circuit, [(channel, EMPTY)])

    def _search_reply(self, circuit: Circuit, group: Group) -> None:
        port = group.shape.dbr
        for ip, number in zip(*group.parameters(), strict=True):
            self._directory.stats.search_replies += 1
            if port == 0:
                self._directory.stats.ignored["search reply without a port"] += 1
            else:
                self._directory.found(number, reply_address(ip, port, circuit.address[0]))
