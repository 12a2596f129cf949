"""The Phoebus alarm server with a real broker, seen by the records that it writes: the other side of `alarm_ours`."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from alarm_phoebus import PhoebusServer, Records
from alarm_pvs import SITE, Seen, path_of
from kafka_server import Kafka
from ports import free_port

from iocs.alarm.tree.severity import AlarmSeverity

_SEVERITIES = {severity.name: severity.value for severity in AlarmSeverity}
_WHO = {"user": "bench", "host": "bench"}


class Phoebus:
    """The server and its broker; `seen` follows the severities of all alarms in its state records."""

    name = "Phoebus"

    def __init__(self, count: int, ca_port: int) -> None:
        from confluent_kafka import Producer

        self.count = count
        self.seen = Seen.of(count)
        self.kafka = Kafka()
        self.server = PhoebusServer(SITE, self.kafka.servers, ca_port, free_port())
        self._producer = Producer({"bootstrap.servers": self.kafka.servers, "log_level": 0})
        self._numbers = {f"state:{path_of(number)}": number for number in range(count)}
        self._talks = 0
        self._fresh: set[int] = set()
        """Alarms of which a record has come since the last start."""
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def configure(self) -> None:
        """Write the records of the configuration, as its import tool does one by one."""
        from confluent_kafka.admin import AdminClient
        from confluent_kafka.cimpl import NewTopic

        admin = AdminClient({"bootstrap.servers": self.kafka.servers, "log_level": 0})
        topics = [NewTopic(f"{SITE}{what}", 1, 1) for what in ("", "Command", "Talk")]
        for future in admin.create_topics(topics).values():
            future.result(60)
        for number in range(self.count):
            value = json.dumps({**_WHO, "description": f"Alarm {number}"})
            self._producer.produce(SITE, value, f"config:{path_of(number)}")
            if number % 1000 == 0:
                self._producer.poll(0)
        self._producer.flush(60)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        states, talk = Records(self.kafka.servers, SITE), Records(self.kafka.servers, f"{SITE}Talk")
        while not self._ended.is_set():
            for key, value, now in states.poll(0.02):
                number = self._numbers.get(key)
                if number is not None and value is not None:
                    self.seen.take(number, _SEVERITIES[value["severity"]], now)
                    self._fresh.add(number)
            for _, value, _ in talk.poll(0):
                self._talks += value is not None and value.get("severity") != "OK"
        states.close()
        talk.close()

    @property
    def pid(self) -> int:
        """The process id."""
        return self.server.pid

    async def start(self, timeout: float = 600.0) -> float:
        """Start it, and wait until it has written a record of every alarm; the seconds that this took.

        It writes none of those that are latched since its last life.
        """
        began = time.monotonic()
        wanted = self.count - int((self.seen.severity >= AlarmSeverity.MINOR).sum())
        self._fresh.clear()
        self.server.start()
        while len(self._fresh) < wanted:
            _ = self.pid
            if time.monotonic() - began > timeout:
                missing = wanted - len(self._fresh)
                raise RuntimeError(f"no record of {missing} alarms within {timeout} s:\n{self.server.text()[-3000:]}")
            await asyncio.sleep(0.05)
        return time.monotonic() - began

    async def follow(self) -> None:
        """All records are followed anyway."""

    def stop(self, number: int = 15) -> None:
        """End the server; the broker stays."""
        self.server.stop()

    async def acknowledge(self, numbers: list[int]) -> None:
        """Acknowledge the objects of these alarms, as an operator does."""
        paths = sorted({path_of(number).rpartition("/")[0] for number in numbers})
        for path in paths:
            self._producer.produce(f"{SITE}Command", json.dumps({**_WHO, "command": "acknowledge"}), f"command:{path}")
        self._producer.flush(60)

    async def severities(self, numbers: list[int]) -> list[int]:
        """The severities in its newest records."""
        return self.seen.severity[numbers].tolist()

    def announced(self) -> int:
        """Announcements of alarms so far; the text that the server has started is none."""
        return self._talks

    async def close(self) -> None:
        """End all."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(10)
        self.server.__exit__()
        self.kafka.close()
