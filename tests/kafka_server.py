"""A real Kafka broker (KRaft, one node) for tests: free loopback ports, data in a temporary folder.

`broker()` gives the one of this pytest process, started at its first use: give each test topics of its own. Tests that
stop or kill it make one for themselves (`Kafka()`, a context manager). Without Java or the jars that `.ci/kafka`
fetches both skip the test, with the reason.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from db_servers import die_with_parent
from support import free_port

VERSION = "3.9.1"
PATIENCE = 180.0
"""Seconds for a broker to start or stop; a loaded machine is slow."""

_starter = ThreadPoolExecutor(1, "kafka-starter")
_JAVA = ("-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
_LOGGING = ("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.logFile=System.out")


def jars() -> Path:
    """The folder that `.ci/kafka` fills."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "owlshift" / f"kafka-{VERSION}"


def missing() -> str:
    """Why there can be no broker here; "" when there can."""
    if not shutil.which("java"):
        return "there is no Java here (.ci/kafka installs it)"
    return "" if jars().is_dir() else f"there are no jars of Kafka {VERSION} here (.ci/kafka fetches them)"


class Kafka:
    """One broker. It may be stopped or killed, and comes back on its port with what it had."""

    def __init__(self) -> None:
        reason = missing()
        if reason:
            pytest.skip(reason)
        self.folder = Path(tempfile.mkdtemp(prefix="owl-kafka-"))
        self.log = self.folder / "broker.log"
        self.port = free_port()
        self._controller = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._format()
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def servers(self) -> str:
        """For `bootstrap.servers`."""
        return f"127.0.0.1:{self.port}"

    def _java(self, *words: str) -> list[str]:
        return ["java", *_JAVA, *_LOGGING, "-cp", f"{jars()}/*", *words]

    def _format(self) -> None:
        settings = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self._controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": self.folder / "data",
            "num.partitions": 1,
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            # nothing is compacted, so that a test that is slow finds every record
            "log.cleaner.enable": "false",
            # a broker that was killed may come back once its session has run out
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 300,
        }
        (self.folder / "server.properties").write_text("".join(f"{k}={v}\n" for k, v in settings.items()))
        identity = "b3dsc2hpZnQtYWxhcm1zMQ"
        words = ["kafka.tools.StorageTool", "format", "-t", identity, "-c", str(self.folder / "server.properties")]
        done = subprocess.run(self._java(*words), capture_output=True, timeout=PATIENCE)
        assert done.returncode == 0, f"formatting failed:\n{(done.stdout + done.stderr).decode(errors='replace')}"

    def start(self) -> None:
        """Start it, and wait until it answers as a broker does."""
        with self.log.open("ab") as log:
            # it dies with the thread that has started it: one that lasts, whoever calls this
            self._process = _starter.submit(
                subprocess.Popen[bytes],
                self._java("kafka.Kafka", str(self.folder / "server.properties")),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            ).result(PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while not self.answers():
            code = self._process.poll()
            if code is not None or time.monotonic() > deadline:
                said = self.log.read_text(errors="replace")[-3000:]
                raise AssertionError(f"the broker does not start (exit code {code}):\n{said}")
            time.sleep(0.05)

    def answers(self) -> bool:
        """Whether it names itself when asked for its brokers."""
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        # librdkafka waits longer and longer between two tries: a new client asks at once
        admin = AdminClient({"bootstrap.servers": self.servers, "log_level": 0})
        try:
            return bool(admin.list_topics(timeout=1).brokers)
        except KafkaException:
            return False

    def pause(self) -> None:
        """It hangs: connections stay, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on after `pause`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def stop(self) -> None:
        """End it in good order."""
        self._signal(signal.SIGTERM)
        if self._process is not None:
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """As a power cut would."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(PATIENCE)

    def wipe(self) -> None:
        """It has ended, and lost everything."""
        shutil.rmtree(self.folder / "data")
        self._format()

    def close(self) -> None:
        """End it and remove its data."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Kafka:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


_shared: list[Kafka] = []
_lock = threading.Lock()


def broker() -> Kafka:
    """The broker of this pytest process."""
    with _lock:
        if not _shared:
            _shared.append(Kafka())
            atexit.register(_close)
        return _shared[0]


def _close() -> None:
    while _shared:
        with contextlib.suppress(Exception):
            _shared.pop().close()
