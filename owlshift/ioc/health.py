"""The PVs that every IOC has under `IOC:`: the names of iocStats, and what owlshift adds."""

from __future__ import annotations

import asyncio
import enum
import time
from typing import Protocol

import psutil

from .declare import Alarm, Archive, Severity, command, readback
from .device import Device
from .values import INT_MAX, Text

MESSAGE_BYTES = 1024


class ServerCounts(Protocol):
    """What the server counts."""

    @property
    def dropped_updates(self) -> int:
        """Updates that slow clients have missed."""
        ...


class IocState(enum.IntEnum):
    """What an IOC is doing."""

    Starting = 0
    Running = 1
    Degraded = 2
    """It serves, but some of its hardware does not answer."""
    Stopping = 3


def uptime_text(seconds: float) -> str:
    """As iocStats writes it: `3 days, 04:05:06`."""
    days, rest = divmod(int(seconds), 86400)
    clock = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days} day{'' if days == 1 else 's'}, {clock}" if days else clock


class Health(Device):
    """The IOC itself."""

    Heartbeat = readback(int, name="HEARTBEAT", units="s", doc="Counts up once a second", archive=Archive.scan(60.0),
        alarm_info=Alarm("The IOC does not answer: `owl status` says whether it runs, its log says why not", "high",
                         delay=5.0))  # fmt: skip
    Uptime = readback(str, name="UPTIME", doc="Time since the IOC started")
    StartTod = readback(str, name="STARTTOD", doc="When the IOC started")
    Clients = readback(int, name="CA_CLNT_CNT", doc="Channel Access clients", archive=Archive.scan(60.0))
    Channels = readback(int, name="CA_CONN_CNT", doc="Channel Access channels", archive=Archive.scan(60.0))
    Load = readback(
        float, name="IOC_CPU_LOAD", units="%", precision=1, display=(0, 100), doc="Load of the IOC on one core",
        archive=Archive.scan(60.0),
    )  # fmt: skip
    Memory = readback(
        float, name="MEM_USED", units="byte", doc="Resident memory of the IOC", archive=Archive.scan(60.0)
    )
    Access = readback(str, name="ACCESS", initial="", doc="The access-security file in force")
    Reset = command(name="SYSRESET", doc="Restarts the IOC", asg="SYSRESET", lane="SYSRESET")
    Version = readback(str, initial="", doc="Version of owlshift")
    Backend = readback(str, initial="", doc="What the IOC talks to")
    State = readback(
        IocState, initial=IocState.Starting, severities={IocState.Degraded: Severity.MINOR},
        doc="What the IOC is doing", archive=Archive.MONITOR,
    )  # fmt: skip
    Msg = readback(
        Text(MESSAGE_BYTES), initial="", doc="The last thing an operator should know", archive=Archive.MONITOR
    )
    DroppedUpdates = readback(
        int, initial=0, doc="Updates that slow clients have missed", archive=Archive.scan(60.0)
    )  # fmt: skip
    PutCount = readback(int, initial=0, doc="Puts that clients have sent", archive=Archive.scan(60.0))
    ErrorCount = readback(
        int, initial=0, doc="Puts refused or failed, and values nobody could use", archive=Archive.scan(60.0)
    )

    def __init__(self) -> None:
        self.started = time.time()
        self.puts = 0
        self.errors = 0
        self.server: ServerCounts | None = None
        self.clients = (0, 0)
        self._process = psutil.Process()
        self._process.cpu_percent()

    def count_clients(self, clients: int, channels: int) -> None:
        """What the server says of its clients."""
        self.clients = (clients, channels)

    @Reset.putter
    async def _(self) -> None:
        self.ioc.request_restart()

    async def beat(self) -> None:
        """Publish everything once a second, for ever."""
        started = time.strftime("%m/%d/%Y %H:%M:%S", time.localtime(self.started))
        begun = time.monotonic()
        count = 0
        while True:
            with self._process.oneshot():
                load, memory = self._process.cpu_percent(), self._process.memory_info().rss
            await self.post_many(
                [
                    (self.Heartbeat, count & INT_MAX),
                    (self.Uptime, uptime_text(time.monotonic() - begun)),
                    (self.StartTod, started),
                    (self.Clients, self.clients[0]),
                    (self.Channels, self.clients[1]),
                    (self.Load, load),
                    (self.Memory, float(memory)),
                    (self.PutCount, self.puts & INT_MAX),
                    (self.ErrorCount, self.errors & INT_MAX),
                    (self.DroppedUpdates, self.server.dropped_updates & INT_MAX if self.server else 0),
                ]
            )
            count += 1
            await asyncio.sleep(max(0.05, begun + count - time.monotonic()))
