"""The bridge between the alarm tree and Phoebus: what happens in the tree is sent, what desktops do is done.

Threads of the Kafka client carry bytes only; everything is decided in the event loop, and nothing there waits for a
broker. A server that stands by does not `start` its bridge: it neither sends nor obeys.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from iocs.alarm.configuration import by_operator
from iocs.alarm.kafka.commands import Ask, Commands
from iocs.alarm.kafka.edits import Edits
from iocs.alarm.kafka.link import Delivered, Incoming, Link, LinkSettings, Topic
from iocs.alarm.kafka.merge import Merge
from iocs.alarm.kafka.publisher import Publisher
from iocs.alarm.kafka.reading import BadRecord, config_key, decode_command
from iocs.alarm.kafka.talk import Talk
from iocs.alarm.tree.announce import RECONNECTED, spoken
from iocs.alarm.tree.events import SERVER, Annunciation, Edit, Listener, Person, State
from iocs.alarm.tree.items import ConfigError, Item
from iocs.alarm.tree.severity import AlarmSeverity
from owlshift.ioc.server.limited import LimitedLog

if TYPE_CHECKING:
    from iocs.alarm.config import KafkaConfig
    from iocs.alarm.tree.tree import AlarmTree, Area, Leaf

log = logging.getLogger(__name__)

FLUSH = 3.0
"""Seconds at the end for what is still to be sent."""
RETRY = 5.0
"""Seconds until what a broker refused is tried again."""
COMMANDS = 1000
"""So many commands wait while the topic is read."""


@dataclass(slots=True)
class Counts:
    """What has come over the topics."""

    read: int = 0
    """Records of others."""
    refused: int = 0
    """Those of them that were not understood, or not allowed."""
    commands: int = 0
    """Commands that were done."""
    sessions: int = 0
    """How often the topic was read from its beginning."""


class KafkaBridge(Listener):
    """Phoebus' alarm topics for a tree. A listener of it, to be added to `tree.listeners` by who makes it."""

    def __init__(
        self, tree: AlarmTree, config: KafkaConfig, *, restart: Ask | None = None, shutdown: Ask | None = None
    ) -> None:
        """`restart`, `shutdown`: what is done when a desktop asks for it, as far as the site file allows it."""
        self.tree, self.config = tree, config
        self.server = Person(SERVER.user, socket.gethostname())
        self._settings = LinkSettings(config.servers, tree.name, config.replication, config.properties)
        self.link = Link(self._settings, self)
        zone = ZoneInfo(config.zone) if config.zone else None
        self.publisher = Publisher(tree, self._produce, self.server, zone)
        self.talk = Talk(self._produce)
        self.edits = Edits(tree, self.publisher, self._refuse)
        self.commands = Commands(
            tree, restart if config.allow_restart else None, shutdown if config.allow_shutdown else None
        )
        self.state = "Off"
        """For a PV: Off, Connecting, Reading, Connected, or Gone, with the reason."""
        self.counts = Counts()
        self._running = False
        self._merge: Merge | None = None
        self._merged = False
        self._early: list[Incoming] = []
        self._inbox: asyncio.Queue[tuple[int, list[Incoming] | None]] = asyncio.Queue()
        self._wake = asyncio.Event()
        self._ready = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._limited = LimitedLog(log, 30.0)
        self._modes = (False, True)
        self._beat = 0.0
        self._beat_count = 0

    # -- life ----------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin; a broker need not be there."""
        if self._running:
            return
        self._running, self.state = True, "Connecting"
        self.link = Link(self._settings, self)
        # another server may have written meanwhile: nothing is known of the topic
        self.publisher.configs.clear()
        self._ready.clear()
        self._new_merge()
        self._tasks = [
            asyncio.create_task(work(), name=f"kafka-{work.__name__}") for work in (self._read, self._send, self._tick)
        ]
        self.link.start()

    async def stop(self) -> None:
        """End, after a moment for what is still to be sent. It may be started again."""
        if not self._running:
            return
        deadline = time.monotonic() + FLUSH
        while self.publisher.open and self.waiting and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        self._running, self.state = False, "Off"
        self.publisher.close()
        self.talk.close()
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks = []
        await self.link.stop()

    async def ready(self, timeout: float) -> bool:
        """Wait until the topic has been read; False when that takes longer (seconds)."""
        try:
            await asyncio.wait_for(self._ready.wait(), timeout)
        except TimeoutError:
            return False
        return True

    def _produce(self, topic: Topic, key: bytes, value: bytes | None) -> bool:
        return self.link.produce(topic, key, value)

    @property
    def waiting(self) -> int:
        """Records that no broker has yet."""
        return self.publisher.waiting + self.talk.waiting

    # -- what happens in the tree ------------------------------------------------------------------------------------

    def leaf_changed(self, leaf: Leaf, before: State, raised: bool) -> None:
        """See `Listener`."""
        self._changed(leaf)

    def area_changed(self, area: Area) -> None:
        """See `Listener`."""
        # counts change more often than severities
        if self.publisher.states.get(area.path) != self.publisher.state_mark(area):
            self._changed(area)

    def configured(self, item: Item, who: Person) -> None:
        """See `Listener`."""
        node = self.tree.find(item.path)
        if not self._running or node is None or item.path == self.edits.applying:
            return
        if not self._merged and self._merge is not None and who != SERVER and not self.edits.applying:
            if by_operator(who):
                self._merge.edited.add(item.path)
            self._merge.removed.discard(item.path)
        self._changed(node, who)

    def removed(self, path: str, who: Person) -> None:
        """See `Listener`."""
        if not self._running:
            return
        if path == self.edits.applying:
            self.publisher.removed_by_others(path)
        else:
            if not self._merged and self._merge is not None and who != SERVER and not self.edits.applying:
                self._merge.removed.add(path)
            self.publisher.removed(path, who)
        self._wake.set()

    def edited(self, edit: Edit) -> None:
        """See `Listener`."""

    def announced(self, annunciation: Annunciation) -> None:
        """See `Listener`."""
        if self._running:
            self.talk.say(annunciation)

    def modes_changed(self) -> None:
        """See `Listener`."""
        modes = self.tree.in_maintenance, self.tree.notifying
        if self._running and modes != self._modes:
            self.publisher.root_again()
            self._wake.set()
        self._modes = modes

    def _changed(self, node: Area | Leaf, who: Person | None = None) -> None:
        if self._running and self._merged and node.path != self.edits.deleting:
            self.publisher.changed(node, who)
            if not self.publisher.exact:
                self._wake.set()

    # -- what the link tells -----------------------------------------------------------------------------------------

    def opened(self) -> None:
        """A session has begun."""
        self.state = "Reading"
        self.counts.sessions += 1
        self._new_merge()

    def closed(self, reason: str) -> None:
        """A session has ended, or none could begin."""
        self.publisher.close()
        self.talk.close()
        if self.state == "Connected":
            log.warning("Kafka: the connection is lost: %s", reason)
        self.state = f"Gone: {reason}"[:200]
        if self._merged:
            self._new_merge()

    def gone(self, reason: str) -> None:
        """The brokers do not answer."""
        log.warning("Kafka: the brokers at %s do not answer: %s", ",".join(self.config.servers), reason)
        self.publisher.open = self.talk.open = False
        self.state = f"Gone: {reason}"[:200]

    def back(self) -> None:
        """The brokers answer again."""
        if not self._merged:
            self.state = "Reading"
            return
        log.info("Kafka: the brokers answer again")
        self.publisher.mark_all(again=True)
        self._open()
        self._reconnected()

    def delivered(self, reports: Delivered) -> None:
        """Records have arrived, or will not."""
        failed = reports.failed
        self.publisher.delivered(reports.arrived.get("config", 0), failed.get("config", ()))
        if "talk" in reports.arrived or "talk" in failed:
            self.talk.delivered(reports.arrived.get("talk", 0), len(failed.get("talk", ())))
        if failed:
            self._limited(logging.WARNING, "failed", "Kafka: records are refused: %s", reports.reason)
        if self.publisher.dirty or self.publisher.gone:
            self._wake.set()

    def received(self, records: list[Incoming]) -> None:
        """Records have come."""
        self._inbox.put_nowait((self.counts.sessions, records))

    def replayed(self) -> None:
        """What was on the topic at the beginning has come."""
        self._inbox.put_nowait((self.counts.sessions, None))

    # -- reading -------------------------------------------------------------------------------------------------------

    def _new_merge(self) -> None:
        early = self._merge if not self._merged else None
        self._merge = Merge(self.tree, self.publisher, self.edits, self.config.config_from)
        if early is not None:
            self._merge.edited, self._merge.removed = early.edited, early.removed
        self._merged = False
        self._early.clear()

    async def _read(self) -> None:
        while True:
            session, found = await self._inbox.get()
            if session != self.counts.sessions:
                continue
            try:
                if found is None:
                    await self._finish()
                    continue
                begun = time.monotonic()
                for record in found:
                    self._record(record)
                    if time.monotonic() - begun > 0.005:
                        await asyncio.sleep(0)
                        begun = time.monotonic()
                self.link.handled()
            except Exception:
                log.exception("Kafka: reading failed")
                if found is not None:
                    self.link.handled()

    async def _finish(self) -> None:
        merge = self._merge
        if merge is None:
            return
        taken = await merge.finish(self._refuse)
        if merge is not self._merge:
            return
        log.info("Kafka: connected; %d items were taken from the topic %s", taken, self.tree.name)
        again = self._ready.is_set()
        self._merged = True
        self._open()
        if again:
            self._reconnected()
        self._ready.set()
        early, self._early = self._early, []
        for record in early:
            self._record(record)

    def _record(self, record: Incoming) -> None:
        topic, key, value = record
        try:
            if topic == "command":
                if not self._merged:
                    self._early.append(record) if len(self._early) < COMMANDS else None
                    return
                self.counts.read += 1
                self._command(key, value)
            elif topic == "config":
                if self._merged and key is not None and self.publisher.own(key, value):
                    return
                self.counts.read += 1
                kind, path = config_key(key, self.tree.name)
                if not self._merged and self._merge is not None:
                    self._merge.gather(kind, path, value)
                elif kind == "config":
                    self.edits.record(path, value)
                    self._wake.set()
                elif kind == "state":
                    self.publisher.doubt_state(path)
                    raise BadRecord("somebody else writes states: is a second alarm server running on this topic?")
                else:
                    raise BadRecord(f"a {kind} record on the topic of configuration and states")
        except (BadRecord, ConfigError) as error:
            self._refuse(repr(key[:120]) if key is not None else "a record", str(error))
        except Exception as error:
            self.counts.refused += 1
            self._limited(logging.ERROR, "failed", "Kafka: %r could not be handled", key, exc_info=error)

    def _command(self, key: bytes | None, value: bytes | None) -> None:
        self.commands.run(decode_command(key, value))
        self.counts.commands += 1

    def _refuse(self, what: str, reason: str) -> None:
        self.counts.refused += 1
        self._limited(logging.WARNING, reason[:60], "Kafka: %s: %s", what, reason)

    # -- sending -------------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self.publisher.open = self.talk.open = True
        self.state = "Connected"
        self.talk.drain()
        self._wake.set()

    def _reconnected(self) -> None:
        text, standout = spoken(RECONNECTED, AlarmSeverity.OK)
        said = Annunciation(self.tree.root.path, AlarmSeverity.OK, text, standout, self.tree.clock.now_ns())
        self.talk.say(said)

    async def _send(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self.publisher.drain():
                await asyncio.sleep(0)

    async def _tick(self) -> None:
        retried = time.monotonic()
        while True:
            await asyncio.sleep(min(0.5, self.config.heartbeat / 4))
            now = time.monotonic()
            if self.publisher.states_sent != self._beat_count:
                self._beat_count, self._beat = self.publisher.states_sent, now
            elif self.publisher.open and now - self._beat >= self.config.heartbeat:
                self._beat = now
                self.publisher.root_again()
                self._beat_count = self.publisher.states_sent
            if self._merged and self.edits.waiting:
                self.edits.try_waiting()
                self._wake.set()
            if now - retried > RETRY:
                retried = now
                self.publisher.retry()
                self._wake.set()
