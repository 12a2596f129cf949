"""The Phoebus alarm server, where it is installed: a process on loopback, with a Kafka broker of the caller's.

`OWLSHIFT_PHOEBUS_ALARM_SERVER` names the folder in which it is: `service-alarm-server-….jar` beside its `lib`, as its
own build leaves them. It is in no package registry, so nothing here fetches it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

VARIABLE = "OWLSHIFT_PHOEBUS_ALARM_SERVER"
MAIN = "org.phoebus.applications.alarm.server.AlarmServerMain"


def missing() -> str:
    """Why there is no Phoebus alarm server here; "" when there is one."""
    folder = os.environ.get(VARIABLE, "")
    if not folder:
        return f"{VARIABLE} names no folder with a Phoebus alarm server"
    if not list(Path(folder).glob("service-alarm-server-*.jar")):
        return f"{folder} ({VARIABLE}) has no service-alarm-server-….jar"
    return "" if shutil.which("java") else "there is no Java here"


class PhoebusServer:
    """One Phoebus alarm server in a process of its own: `with PhoebusServer(…) as server`."""

    def __init__(
        self, name: str, kafka: str, ca_port: int, repeater_port: int, heap: str = "1g", mask: str = "ALARM"
    ) -> None:
        """`name`: of the configuration; `kafka`: `host:port`; `ca_port`: where its PVs are served on loopback.

        `mask`: the events it asks for. With ALARM, inputs of filters that are never in alarm are not followed.
        """
        self.name, self.kafka = name, kafka
        self.folder = Path(tempfile.mkdtemp(prefix="owl-phoebus-"))
        self.log = self.folder / "server.log"
        self._home = Path(os.environ[VARIABLE])
        self._heap = heap
        self._process: subprocess.Popen[bytes] | None = None
        settings = {
            "org.phoebus.applications.alarm/server": kafka,
            "org.phoebus.applications.alarm/config_name": name,
            "org.phoebus.applications.alarm/config_names": name,
            "org.phoebus.pv.ca/addr_list": "127.0.0.1",
            "org.phoebus.pv.ca/auto_addr_list": "false",
            "org.phoebus.pv.ca/server_port": str(ca_port),
            "org.phoebus.pv.ca/repeater_port": str(repeater_port),
            "org.phoebus.pv.ca/monitor_mask": mask,
        }
        (self.folder / "settings.ini").write_text("".join(f"{key}={value}\n" for key, value in settings.items()))

    def _java(self, *words: str) -> list[str]:
        classes = f"{self._home}/*:{self._home}/lib/*"
        # its preferences are kept in a folder of this run
        home = f"-Duser.home={self.folder}"
        own = ["-server", self.kafka, "-config", self.name, "-settings", str(self.folder / "settings.ini")]
        options = [f"-Xmx{self._heap}", "-XX:+UseSerialGC", "-Djava.awt.headless=true", home]
        return ["java", *options, "-cp", classes, MAIN, *own, *words]

    def import_xml(self, xml: bytes, timeout: float = 600.0) -> None:
        """Replace its configuration; RuntimeError with what it said when it does not take it."""
        file = self.folder / "alarms.xml"
        file.write_bytes(xml)
        words = ("-import", str(file), "-connect_secs", "3", "-stable_secs", "2")
        done = subprocess.run(self._java(*words), capture_output=True, timeout=timeout, cwd=self.folder)
        if done.returncode:
            raise RuntimeError((done.stdout + done.stderr).decode(errors="replace")[-3000:])

    def start(self) -> None:
        """Start it; it says nothing when it is ready but for its start-up annunciation."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._java("-noshell"), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    @property
    def pid(self) -> int:
        """The process id; RuntimeError when it does not run."""
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"the Phoebus alarm server does not run:\n{self.text()[-3000:]}")
        return self._process.pid

    def text(self) -> str:
        """What it printed."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def stop(self) -> None:
        """SIGTERM, and SIGKILL after a while."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> PhoebusServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Records:
    """The records of a topic of its own, from the beginning: `poll` reads what has come since."""

    def __init__(self, kafka: str, topic: str) -> None:
        from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

        self._consumer = Consumer(
            {
                "bootstrap.servers": kafka,
                "group.id": f"bench-{time.time_ns()}",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 10,
                "log_level": 0,
            }
        )
        self._consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])

    def poll(self, timeout: float = 0.1) -> list[tuple[str, dict[str, Any] | None, float]]:
        """Key, value (None: a tombstone) and Unix time of arrival here of what is new, after at most `timeout` s."""
        found = []
        for message in self._consumer.consume(10_000, timeout):
            if message.error() is None:
                value = message.value()
                key = message.key()
                text = key.decode() if isinstance(key, bytes) else str(key)
                found.append((text, json.loads(value) if value is not None else None, time.time()))
        return found

    def close(self) -> None:
        """Read nothing any more."""
        self._consumer.close()
