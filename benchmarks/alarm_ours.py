"""Our alarm server in a process of its own, seen by what it serves over Channel Access and writes into its log."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from alarm_pvs import SITE, Seen, addresses, object_of, path_of, pv_of
from ports import free_port

from iocs.alarm.files.xmlfile import write_xml
from iocs.alarm.tree.items import Item, LeafConfig
from owlshift.ca import Batch, CaError, ChannelInfo, Client

ROOT = Path(__file__).resolve().parents[1]
PREFIX = f"{SITE}:ALM:"


def alarm_pv(number: int) -> str:
    """The PV of an alarm's severity."""
    return f"{PREFIX}{pv_of(number).removeprefix(f'{SITE}:')}:Sevr"


def configuration(count: int) -> bytes:
    """The alarm file of `count` alarms."""
    items = [Item(path_of(number), LeafConfig(description=f"Alarm {number}")) for number in range(count)]
    return write_xml(items, SITE)


class Ours:
    """The alarm IOC of a site with nothing else; `seen` follows the severities of the alarms in `followed`."""

    name = "owlshift"

    def __init__(self, count: int, followed: int, ca_port: int) -> None:
        self.count, self.followed = count, followed
        self.seen = Seen.of(count)
        self._folder = tempfile.TemporaryDirectory(prefix="owl-alarms-")
        folder = Path(self._folder.name)
        self._state, self._log = folder / "state", folder / "alarm.log"
        self.port = free_port()
        (folder / "alarms.xml").write_bytes(configuration(count))
        (folder / "site.toml").write_text(
            f'[site]\nname = "{SITE}"\n[ca]\nport = {self.port}\n'
            '[[ioc]]\nsystem = "ALM"\nkind = "alarm"\nbackend = "none"\n'
            f'[ioc.config]\nfiles = ["alarms.xml"]\ncatalogues = false\nsearch = ["127.0.0.1:{ca_port}"]\n'
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.client = Client(addresses(self.port), self, metadata=False)
        self._number: dict[int, int] = {}

    # the process

    async def start(self, timeout: float = 300.0) -> float:
        """Start it, and wait until it watches everything and nothing is missing; the seconds that this took."""
        began = time.monotonic()
        words = ["-m", "owlshift", "ioc", "alarm", "--site", "site.toml", "--state", str(self._state)]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("EPICS_CA")} | {"PYTHONPATH": str(ROOT)}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-u", *words],
                cwd=self._folder.name,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        await self.until({"Watched": self.count, "Missing": 0}, timeout)
        return time.monotonic() - began

    @property
    def pid(self) -> int:
        """The process id; RuntimeError with its log when it does not run."""
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"the alarm IOC does not run:\n{self.text()[-4000:]}")
        return self._process.pid

    def text(self) -> str:
        """What it printed."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it with a signal."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    async def close(self) -> None:
        """End it, and remove all that it wrote."""
        await self.client.close()
        self.stop()
        self._folder.cleanup()

    # what it serves

    async def until(self, values: dict[str, float], timeout: float) -> None:
        """Wait until these PVs of the root have these values; RuntimeError when they don't in time."""
        deadline = time.monotonic() + timeout
        found: dict[str, object] = {}
        while found != values:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{found} instead of {values} after {timeout} s:\n{self.text()[-4000:]}")
            _ = self.pid
            results = await self.client.read_many([PREFIX + name for name in values], timeout=2)
            found = {
                name: None if isinstance(one, CaError) else one.value for name, one in zip(values, results, strict=True)
            }
            await asyncio.sleep(0.05)

    async def follow(self) -> None:
        """Monitor the severities of the first `followed` alarms."""
        names = [alarm_pv(number) for number in range(self.followed)]
        self._number = dict(zip(self.client.subscribe(names).tolist(), range(self.followed), strict=True))
        self._places = np.zeros(max(self._number) + 1, np.intp)
        for channel, number in self._number.items():
            self._places[channel] = number
        deadline = time.monotonic() + 120
        while (self.seen.severity[: self.followed] < 0).any():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{int((self.seen.severity[: self.followed] < 0).sum())} alarm PVs are not there")
            await asyncio.sleep(0.05)

    async def acknowledge(self, numbers: list[int]) -> None:
        """Acknowledge the objects of these alarms, as an operator does."""
        names = sorted({f"{PREFIX}{object_of(number).removeprefix(f'{SITE}:')}:Ack" for number in numbers})
        for problem in await self.client.write_many(dict.fromkeys(names, 1), timeout=120):
            if problem is not None:
                raise problem

    async def severities(self, numbers: list[int]) -> list[int]:
        """The severities that are served now."""
        found = await self.client.read_many([alarm_pv(number) for number in numbers], timeout=120)
        values = [int(one.value) for one in found if not isinstance(one, CaError)]
        if len(values) < len(found):
            problem = next(one for one in found if isinstance(one, CaError))
            raise RuntimeError(f"{len(found) - len(values)} alarm PVs cannot be read: {problem}")
        return values

    def logged(self, where: str) -> int:
        """Rows of the alarm log."""
        file = self._state / "db" / "alarms.sqlite"
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30) as database:
            return database.execute(f"select count(*) from alarm_event where {where}").fetchone()[0]

    def announced(self) -> int:
        """Announcements of alarms so far; the text that the server has started is none."""
        return self.logged("kind = 'announce' and severity >= 5")

    # what the client tells

    def batch(self, batch: Batch) -> None:
        self.seen.take(self._places[batch.channel], batch.values.astype(np.int16), time.time())

    def connected(self, info: ChannelInfo) -> None: ...

    def disconnected(self, channel: int, reason: str, time_ns: int) -> None:
        self.seen.severity[self._number[channel]] = -1
