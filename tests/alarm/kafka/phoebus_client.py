"""A small stand-in for Phoebus over Kafka: what a desktop and the alarm logger make of the topics, strict as they are.

It knows nothing of owlshift: it reads with confluent-kafka alone, after the rules of the protocol. What Phoebus would
stumble over is an entry of `problems`.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, Producer, TopicPartition

SEVERITIES = ("OK MINOR_ACK MAJOR_ACK INVALID_ACK UNDEFINED_ACK MINOR MAJOR INVALID UNDEFINED").split()
LOGGER_KEYS = set(
    "user host description time enabled latching annunciating delay count filter guidance displays commands actions "
    "delete severity message value current_severity current_message mode notify latch key".split()
)
CONFIG_ORDER = (
    "user host description enabled latching annunciating delay count filter guidance displays commands actions".split()
)
STATE_ORDER = "severity latch message value time current_severity current_message mode notify".split()
LEAF_STATE = {"severity", "message", "value", "time", "current_severity", "current_message"}
LOCAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?")
PATIENCE = 60.0


@dataclass
class Record:
    topic: str
    key: str
    value: Any
    """Decoded; None for a tombstone."""
    raw: bytes | None
    timestamp: int
    timestamp_type: int


@dataclass
class Desktop:
    """Follows the three topics of a tree, and writes what a desktop writes."""

    servers: str
    tree: str
    records: list[Record] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    configs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What the desktop's tree has, by path."""
    states: dict[str, dict[str, Any]] = field(default_factory=dict)
    said: list[dict[str, Any]] = field(default_factory=list)
    deleted: set[str] = field(default_factory=set)
    mode: str = "normal"
    notify: bool = True

    def __post_init__(self) -> None:
        common = {"bootstrap.servers": self.servers, "log_level": 0, "reconnect.backoff.max.ms": 500}
        self.topics = [self.tree, f"{self.tree}Command", f"{self.tree}Talk"]
        self._producer = Producer({**common, "linger.ms": 0, "acks": "all"})
        self._consumer = Consumer(
            {
                **common,
                "group.id": f"Alarm-{uuid.uuid4()}",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 20,
                "fetch.error.backoff.ms": 50,
            }
        )
        self._consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING) for topic in self.topics])

    def close(self) -> None:
        self._consumer.close()

    # -- reading -------------------------------------------------------------------------------------------------------

    def read(self, timeout: float = 0.1) -> int:
        """Read what is there; how many records."""
        found = [message for message in self._consumer.consume(500, timeout) if self._sound(message)]
        for message in found:
            self._take(message)
        return len(found)

    def ends(self) -> list[int]:
        """Where the topics end now: the tree's, that of commands, that of annunciations."""
        found = []
        for topic in self.topics:
            marks = self._consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=PATIENCE)
            assert marks is not None, f"{topic} does not say where it ends"
            found.append(marks[1])
        return found

    def has_read(self, ends: Sequence[int]) -> bool:
        """Whether everything before these ends of the topics was read."""
        places = self._consumer.position([TopicPartition(topic, 0) for topic in self.topics])
        return all(max(place.offset, 0) >= end for place, end in zip(places, ends, strict=True))

    def wait(self, condition: Callable[[], object], what: str = "", timeout: float = PATIENCE) -> Any:
        """Read until a condition holds, and return what it gives."""
        deadline = time.monotonic() + timeout
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > deadline:
                tail = "\n".join(f"{r.topic} {r.key} {r.raw!r}" for r in self.records[-15:])
                raise AssertionError(f"waited {timeout} s for {what or condition}; the last records:\n{tail}")
            self.read(0.05)

    def severity(self, path: str) -> str:
        """Of a place, "" where no state is known."""
        return self.states.get(path, {}).get("severity", "")

    def of(self, key: str) -> list[Any]:
        """The values of a key, in order."""
        return [record.value for record in self.records if record.key == key]

    def keys(self, since: int = 0) -> list[str]:
        """The keys of all records but those of the root's state, in order."""
        root = f"state:/{self.tree}"
        return [record.key for record in self.records[since:] if record.key != root]

    def _sound(self, message: Message) -> bool:
        error = message.error()
        if error is not None and error.code() not in (KafkaError._PARTITION_EOF, KafkaError._TRANSPORT):
            self.problems.append(f"reading: {error}")
        return error is None

    def _take(self, message: Message) -> None:
        key, raw = message.key(), message.value()
        raw = raw.encode() if isinstance(raw, str) else raw
        kind, timestamp = message.timestamp()
        try:
            name = (key if isinstance(key, bytes) else (key or "").encode()).decode()
            value = None if raw is None else json.loads(raw.decode(), parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            self.problems.append(f"{message.topic()}: {key!r} {raw!r}: {error}")
            return
        record = Record(message.topic() or "", name, value, raw, timestamp, kind)
        self.records.append(record)
        if kind != 1:
            self.problems.append(f"{name}: its timestamp is not the time of creation")
        if record.topic == f"{self.tree}Command":
            return
        kind_of, colon, path = name.partition(":")
        names = [one for one in re.split(r"(?<!\\)/+", path) if one]
        if not colon or not path.startswith("/") or not names or names[0].replace("\\/", "/") != self.tree:
            self.problems.append(f"{name}: it is no key of this tree")
        elif record.topic == self.tree:
            {"config": self._config, "state": self._state}.get(kind_of, self._other)(path, value, name)
        elif record.topic == f"{self.tree}Talk":
            self._talk(name, value)

    def _other(self, path: str, value: Any, name: str) -> None:
        self.problems.append(f"{name}: it does not belong to the topic")

    def _config(self, path: str, value: Any, name: str) -> None:
        if value is None:
            self.configs.pop(path, None)
            self.deleted.add(path)
            return
        self._strict(name, value, [*CONFIG_ORDER, "delete"])
        if "delete" in value:
            if set(value) != {"user", "host", "delete"}:
                self.problems.append(f"{name}: {value}")
            return
        enabled = value.get("enabled", False)
        if not (enabled is False or (isinstance(enabled, str) and LOCAL.fullmatch(enabled))):
            self.problems.append(f"{name}: enabled is {enabled!r}")
        if "description" not in value and set(value) & set(CONFIG_ORDER[2:9]):
            self.problems.append(f"{name}: an area with the settings of an alarm")
        self.deleted.discard(path)
        self.configs[path] = value

    def _state(self, path: str, value: Any, name: str) -> None:
        if value is None:
            self.states.pop(path, None)
            return
        self._strict(name, value, STATE_ORDER)
        self.mode = value.get("mode", "normal")
        self.notify = value.get("notify", True)
        if value.get("severity") not in SEVERITIES:
            self.problems.append(f"{name}: {value}")
        if "current_severity" in value:
            if not set(value) >= LEAF_STATE or value["current_severity"] not in SEVERITIES:
                self.problems.append(f"{name}: {value}")
            if set(value["time"]) != {"seconds", "nano"} or not all(type(v) is int for v in value["time"].values()):
                self.problems.append(f"{name}: its time is {value['time']}")
            if path not in self.configs and path not in self.deleted:
                self.problems.append(f"{name}: the state of an alarm that is not configured")
        if path not in self.deleted:
            self.states[path] = value

    def _talk(self, name: str, value: Any) -> None:
        # the desktop's thread ends for good when one of the three is missing
        good = isinstance(value, dict) and list(value) == ["standout", "severity", "talk"]
        if not good or not isinstance(value["standout"], bool) or value["severity"] not in SEVERITIES:
            self.problems.append(f"{name}: {value}")
        else:
            self.said.append(value)

    def _strict(self, name: str, value: Any, order: Sequence[str]) -> None:
        """Unknown keys end the alarm logger for good; the order is the one in which Phoebus writes."""
        if not isinstance(value, dict) or not set(value) <= LOGGER_KEYS or not set(value) <= set(order):
            self.problems.append(f"{name}: keys of {value}")
        elif list(value) != [key for key in order if key in value]:
            self.problems.append(f"{name}: the order of {list(value)}")

    # -- writing -------------------------------------------------------------------------------------------------------

    def send(self, key: str | bytes | None, value: Any, topic: str = "") -> None:
        """Write a record, raw where it is bytes, and wait until the broker has it."""
        raw = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
        failed: list[KafkaError] = []

        def report(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                failed.append(error)

        self._producer.produce(topic or self.tree, raw, key, partition=0, on_delivery=report)
        assert self._producer.flush(PATIENCE) == 0 and not failed, f"{key!r}: {failed}"

    def configure(self, path: str, **config: Any) -> None:
        content = {"user": "fred", "host": "desk", **config}
        self.send(f"config:{path}", {key: content[key] for key in CONFIG_ORDER if key in content})

    def delete(self, path: str) -> None:
        """As a desktop does: two records, each acknowledged."""
        self.send(f"config:{path}", {"user": "fred", "host": "desk", "delete": "Deleting"})
        self.send(f"config:{path}", None)

    def command(self, command: str, path: str) -> None:
        self.send(f"command:{path}", {"user": "fred", "host": "desk", "command": command}, topic=f"{self.tree}Command")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
