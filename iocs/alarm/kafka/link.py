"""The connection to the brokers: clients of Kafka on threads of their own, what they report in the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from iocs.alarm.kafka.reading import PATH_LIMIT, VALUE_LIMIT
from iocs.alarm.kafka.topics import command_topic, ensure, talk_topic
from owlshift.ioc.server.limited import LimitedLog

log = logging.getLogger(__name__)

PATIENCE = 3.0
"""Seconds for an answer of a broker."""
CHECK = 5.0
"""Seconds between two looks whether the brokers answer, as Phoebus has it."""
BATCH = 500
"""Records read at once."""
BATCHES = 4
"""So many batches may wait in the loop; then reading waits."""

_END = KafkaError._PARTITION_EOF  # noqa: SLF001  (that is its public name)

Topic = Literal["config", "command", "talk"]
Incoming: TypeAlias = tuple[Topic, bytes | None, bytes | None]
"""Where a record stood, its key and its value."""


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Which brokers, and which tree."""

    servers: tuple[str, ...]
    tree: str
    replication: int = 1
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Delivered:
    """What has become of records that were sent, by topic."""

    arrived: dict[Topic, int] = field(default_factory=dict)
    """How many are on the brokers."""
    failed: dict[Topic, list[bytes]] = field(default_factory=dict)
    """The keys of those that will never be."""
    reason: str = ""
    """Of the last that failed."""


class LinkUser(Protocol):
    """Is told in the event loop. A session begins with `opened` and ends with `closed`."""

    def opened(self) -> None:
        """A session has begun: all records of the tree's topic come now, from the oldest."""

    def replayed(self) -> None:
        """What was on the topic at the beginning has come."""

    def received(self, records: list[Incoming]) -> None:
        """Records, in their order. Call `Link.handled` once they are dealt with."""

    def delivered(self, reports: Delivered) -> None:
        """Records are on the brokers, or will never be."""

    def gone(self, reason: str) -> None:
        """The brokers do not answer; what was sent waits."""

    def back(self) -> None:
        """The brokers answer again."""

    def closed(self, reason: str) -> None:
        """The session is over: what was not delivered is lost. Another one is tried."""


class _SessionOver(Exception):  # noqa: N818  (it is how a session ends)
    """This session cannot go on; the next one reads the topic anew."""


class Link:
    """Keeps up a session with the brokers until `stop`. `produce` and what `LinkUser` hears is in the event loop."""

    def __init__(self, settings: LinkSettings, user: LinkUser) -> None:
        self.settings, self.user = settings, user
        self._topics: dict[str, Topic] = {
            settings.tree: "config",
            command_topic(settings.tree): "command",
            talk_topic(settings.tree): "talk",
        }
        self._names = {topic: name for name, topic in self._topics.items()}
        self._limited = LimitedLog(log, 60.0)
        self._stop = threading.Event()
        self._credit = threading.Semaphore(BATCHES)
        self._generation = 0
        self._producer: Producer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._fatal = ""

    def start(self) -> None:
        """Begin, in the running loop; a broker need not be there."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="kafka", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """End; what has not been delivered by now is given up. Takes some seconds when a broker hangs."""
        self._stop.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, 4 * PATIENCE)

    def produce(self, topic: Topic, key: bytes, value: bytes | None) -> bool:
        """Hand a record over, to be sent in this order; False when that is not possible now. Never blocks."""
        if self._producer is None:
            return False
        try:
            self._producer.produce(self._names[topic], value, key, partition=0)
        except BufferError:
            return False
        return True

    def handled(self) -> None:
        """A batch that was `received` is dealt with."""
        self._credit.release()

    # -- threads -------------------------------------------------------------------------------------------------

    def _post(self, fn: Callable[..., None], *args: object, late: bool = False) -> None:
        """Call a function in the loop, unless its session is over by then (`late`: even so)."""
        generation = self._generation

        def call() -> None:
            if (late or generation == self._generation) and not self._stop.is_set():
                fn(*args)

        with contextlib.suppress(RuntimeError):  # the loop has been closed
            if self._loop is not None:
                self._loop.call_soon_threadsafe(call)

    def _run(self) -> None:
        pause = 0.5
        while not self._stop.is_set():
            begun = time.monotonic()
            try:
                self._session()
                reason = "stopped"
            except (KafkaException, _SessionOver) as error:
                reason = said(error)
            except Exception as error:
                log.exception("Kafka: a session failed")
                reason = repr(error)
            if not self._stop.is_set():
                self._limited(logging.WARNING, "session", "Kafka at %s: %s", ",".join(self.settings.servers), reason)
            self._post(self._closed, reason, late=True)
            pause = 0.5 if time.monotonic() - begun > 60 else min(2 * pause, 5.0)
            self._stop.wait(pause)

    def _opened(self, producer: Producer) -> None:
        self._producer = producer
        self.user.opened()

    def _closed(self, reason: str) -> None:
        self._producer = None
        self.user.closed(reason)

    def _common(self) -> dict[str, Any]:
        return {
            "reconnect.backoff.ms": 100,
            "reconnect.backoff.max.ms": 1000,
            "socket.connection.setup.timeout.ms": 5000,
            **self.settings.properties,
            "bootstrap.servers": ",".join(self.settings.servers),
            "log_level": 0,
            "error_cb": self._on_error,
        }

    def _session(self) -> None:
        self._generation += 1
        self._fatal = ""
        self._credit = threading.Semaphore(BATCHES)
        tree = self.settings.tree
        ensure(AdminClient(self._common()), tree, self.settings.replication, PATIENCE)
        reports = _Reports(self._topics)
        producer = Producer(
            {
                **self._common(),
                "enable.idempotence": True,
                "message.timeout.ms": 0,
                "linger.ms": 5,
                "queue.buffering.max.messages": 100_000,
                "on_delivery": reports.add,
            }
        )
        consumer = Consumer(
            {
                **self._common(),
                "group.id": f"Alarm-{uuid.uuid4()}",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                # what was not yet read of a topic that was made anew is new
                "auto.offset.reset": "earliest",
                "queued.max.messages.kbytes": 4096,
                "fetch.wait.max.ms": 100,
                "fetch.error.backoff.ms": 100,
            }
        )
        done = threading.Event()
        thread = threading.Thread(target=self._deliver, args=(producer, reports, done), name="kafka-out", daemon=True)
        try:
            # all of the tree's own topic, but commands that were given before are those of another time
            begin, _ = _ends(consumer, tree)
            _, end = _ends(consumer, command_topic(tree))
            consumer.assign([TopicPartition(tree, 0, begin), TopicPartition(command_topic(tree), 0, end)])
            self._post(self._opened, producer)
            thread.start()
            self._read(consumer, producer)
        finally:
            done.set()
            producer.purge()
            if thread.is_alive():
                thread.join(PATIENCE)
            consumer.close()

    def _read(self, consumer: Consumer, producer: Producer) -> None:
        replayed, gone = False, False
        checked = time.monotonic()
        while not self._stop.is_set():
            if self._fatal:
                raise _SessionOver(self._fatal)
            if self._credit.acquire(timeout=0.5):
                first = consumer.poll(0.2)
                found, end = self._sorted([] if first is None else [first, *consumer.consume(BATCH, 0)])
                if found:
                    self._post(self.user.received, found)
                else:
                    self._credit.release()
                if end and not replayed:
                    replayed = True
                    self._post(self.user.replayed)
            if time.monotonic() - checked > (1.0 if gone else CHECK):
                reason = self._check(consumer, producer, gone)
                checked = time.monotonic()
                if reason and not gone:
                    self._post(self.user.gone, reason)
                elif gone and not reason:
                    self._post(self.user.back)
                gone = bool(reason)

    def _sorted(self, messages: list[Message]) -> tuple[list[Incoming], bool]:
        """The records among what was read, and whether the end of the tree's topic was reached."""
        found: list[Incoming] = []
        end = False
        for message in messages:
            error = message.error()
            topic = self._topics.get(message.topic() or "")
            if error is not None:
                end = end or (error.code() == _END and topic == "config")
                if error.code() != _END:
                    self._on_error(error)
            elif topic is not None:
                key, value = message.key(), message.value()
                # what is too large is not kept in memory only to be refused
                key = _raw(key, 4 * PATH_LIMIT + 1)
                found.append((topic, key, _raw(value, VALUE_LIMIT + 1)))
        return found, end

    def _check(self, consumer: Consumer, producer: Producer, gone: bool) -> str:
        """Whether the brokers answer: the reason if not. _SessionOver when they are not those of before."""
        tree = self.settings.tree
        try:
            topics = producer.list_topics(timeout=PATIENCE).topics
            lost = [name for name in self._topics if name not in topics or topics[name].error is not None]
            if lost:
                raise _SessionOver(f"the topics {', '.join(lost)} are gone")
            if gone:
                _, end = _ends(consumer, tree)
                read = consumer.position([TopicPartition(tree, 0)])[0].offset
                if read > end:
                    raise _SessionOver(f"the topic {tree} was made anew")
        except KafkaException as error:
            return said(error)
        return ""

    def _deliver(self, producer: Producer, reports: _Reports, done: threading.Event) -> None:
        while not done.is_set():
            producer.poll(0.2)
            found = reports.take()
            if found.arrived or found.failed:
                self._post(self.user.delivered, found)

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._fatal = f"{error.name()}: {error.str()}"
        self._limited(logging.INFO, error.name(), "Kafka: %s: %s", error.name(), error.str())


class _Reports:
    """Delivery reports of one producer, gathered while it is polled."""

    def __init__(self, topics: Mapping[str, Topic]) -> None:
        self._topics = topics
        self._found = Delivered()

    def add(self, error: KafkaError | None, message: Message) -> None:
        topic = self._topics.get(message.topic() or "", "config")
        if error is None:
            self._found.arrived[topic] = self._found.arrived.get(topic, 0) + 1
        else:
            self._found.failed.setdefault(topic, []).append(_raw(message.key(), 1 << 20) or b"")
            self._found.reason = error.str()

    def take(self) -> Delivered:
        found, self._found = self._found, Delivered()
        return found


def _raw(found: str | bytes | None, limit: int) -> bytes | None:
    if found is None:
        return None
    return (found.encode() if isinstance(found, str) else found)[:limit]


def _ends(consumer: Consumer, topic: str) -> tuple[int, int]:
    """The offsets at which a topic begins and ends. One that was made just now has no leader for a moment."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            found = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=PATIENCE)
            if found is not None:
                return found
        except KafkaException:
            if time.monotonic() > deadline:
                raise
        if time.monotonic() > deadline:
            raise _SessionOver(f"the topic {topic} does not say where it ends")
        time.sleep(0.05)


def said(error: BaseException) -> str:
    """What an exception of Kafka's client says, in a line."""
    first = error.args[0] if error.args else error
    return f"{first.name()}: {first.str()}" if isinstance(first, KafkaError) else str(error)
