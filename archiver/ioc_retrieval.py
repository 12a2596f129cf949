"""Whether retrieval answers, and how soon: a part of the archiver's IOC."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from archiver.config import split_address
from owlshift.ioc import Alarm, Archive, Device, Severity, readback

PERIOD = 5.0
TIMEOUT = 5.0
"""Seconds after which no answer is none."""
TRIES = 2
"""Questions in a row without an answer that are an alarm: a site that starts, or a restart, is none."""


class RetrievalHealth(Device):
    """What a client of retrieval meets."""

    RetrievalGood = readback(
        bool, severities={False: Severity.MINOR}, archive=Archive.MONITOR,
        doc="Retrieval answers at all of its addresses; archiving doesn't depend on it",
        alarm_info=Alarm("No plots of the past: see the log of archiver-retrieval; kill it if it hangs", delay=15.0),
    )  # fmt: skip
    RetrievalTime = readback(
        float, units="s", precision=3, archive=Archive.scan(10.0), doc="How long retrieval took for an empty answer"
    )

    def __init__(self, addresses: Sequence[str]) -> None:
        super().__init__()
        self._addresses = [split_address(address) for address in addresses]
        self._failed = 0

    async def watch(self) -> None:
        """Ask again and again, for as long as the IOC lives."""
        while True:
            await self.look()
            await asyncio.sleep(PERIOD)

    async def look(self) -> None:
        """Ask at every address, and post what came of it."""
        times = await asyncio.gather(*(answer_time(host, port) for host, port in self._addresses))
        answered = [seconds for seconds in times if seconds is not None]
        self._failed = self._failed + 1 if len(answered) < len(times) else 0
        if self._failed == 0 or self._failed >= TRIES:
            await self.post(self.RetrievalGood, self._failed == 0)
        if answered:
            await self.post(self.RetrievalTime, max(answered))
        elif self._failed >= TRIES:
            await self.invalidate([self.RetrievalTime])


async def answer_time(host: str, port: int, timeout: float = TIMEOUT) -> float | None:
    """Seconds until the archive at this address answered `ping`; None when it didn't."""
    begun = time.monotonic()
    there = "127.0.0.1" if host == "0.0.0.0" else host
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(there, port)
            try:
                head = f"GET /retrieval/ping HTTP/1.1\r\nHost: {there}:{port}\r\nConnection: close\r\n\r\n"
                writer.write(head.encode())
                status = (await reader.readline()).split()
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):
        return None
    return time.monotonic() - begun if status[1:2] == [b"200"] else None
