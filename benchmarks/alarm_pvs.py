"""Many PVs of a C IOC that go into alarm when they are told, and what an alarm server is seen to make of them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
from c_ioc import CIoc
from numpy.typing import NDArray

from owlshift.ca import CaAddresses, Client

SITE = "BENCH"
HIGH, HIHI = 10.0, 20.0
NORMAL, MINOR, MAJOR = 0.0, 15.0, 25.0
"""Values of a PV that is fine, or in such an alarm."""
_SLICES = 50
"""Groups of puts a second."""


def pv_of(number: int) -> str:
    """The PV of an alarm: systems of 5,000, objects of 100."""
    return f"{SITE}:S{number // 5000:02d}:O{number // 100 % 50:02d}:A{number % 100:02d}"


def object_of(number: int) -> str:
    """The prefix of the object that it belongs to, without the colon at the end."""
    return pv_of(number).rpartition(":")[0]


def path_of(number: int) -> str:
    """Its place in the tree."""
    _, system, thing, _ = pv_of(number).split(":")
    return f"/{SITE}/{system}/{thing}/{pv_of(number)}"


def database(count: int) -> str:
    """The records of `count` PVs."""
    limits = f'field(HIGH,"{HIGH}") field(HSV,"MINOR") field(HIHI,"{HIHI}") field(HHSV,"MAJOR") field(EGU,"uA")'
    return "\n".join(
        f'record(ao,"{pv_of(number)}") {{ {limits} field(PREC,"1") field(PINI,"YES") }}' for number in range(count)
    )


def addresses(port: int) -> CaAddresses:
    """Where PVs at this port on loopback are found."""
    return CaAddresses(servers=(("127.0.0.1", port),), repeater_port=0)


@dataclass
class Seen:
    """What is seen of each alarm: its severity as a number of Phoebus (-1: nothing yet), and since when (Unix s)."""

    severity: NDArray[np.int16]
    at: NDArray[np.float64]
    events: int = 0
    others: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, count: int) -> Seen:
        """Nothing is seen yet of so many."""
        return cls(np.full(count, -1, np.int16), np.zeros(count))

    def take(self, numbers: NDArray[np.intp] | int, severity: NDArray[np.int16] | int, now: float) -> None:
        """Alarms were seen to have a severity; `at` is when that was new."""
        wanted = np.atleast_1d(numbers)
        values = np.broadcast_to(np.asarray(severity, np.int16), wanted.shape)
        new = self.severity[wanted] != values
        self.severity[wanted[new]] = values[new]
        self.at[wanted[new]] = now
        self.events += len(wanted)

    async def until(self, numbers: Iterable[int], severity: int, timeout: float) -> bool:
        """Wait until all these alarms have a severity; False when they don't in time."""
        places = np.fromiter(numbers, np.intp)
        deadline = time.monotonic() + timeout
        while not (self.severity[places] == severity).all():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True


class Pvs:
    """Writes to the PVs, in slices spread over time; remembers when each was written (Unix s)."""

    def __init__(self, client: Client, count: int) -> None:
        self.client = client
        self.at = np.zeros(count)

    async def connect(self) -> None:
        """Find them all."""
        names = [pv_of(number) for number in range(len(self.at))]
        for start in range(0, len(names), 10_000):
            results = await self.client.read_many(names[start : start + 10_000], timeout=120)
            failed = [result for result in results if isinstance(result, Exception)]
            if failed:
                raise RuntimeError(f"{len(failed)} PVs of the C IOC are not there: {failed[0]}")

    async def write(self, numbers: Sequence[int], value: float, rate: float) -> None:
        """Write `value` to these, `rate` a second."""
        size = max(1, round(rate / _SLICES))
        began = time.perf_counter()
        waiting = []
        for place in range(0, len(numbers), size):
            await asyncio.sleep(max(0.0, began + place / rate - time.perf_counter()))
            part = numbers[place : place + size]
            self.at[list(part)] = time.time()
            values = {pv_of(number): value for number in part}
            waiting.append(asyncio.create_task(self.client.write_many(values, timeout=60)))
        for task in waiting:
            problems = [problem for problem in await task if problem is not None]
            if problems:
                raise problems[0]


@asynccontextmanager
async def served(count: int):
    """A C IOC with `count` PVs, and the way to write to them: `(port, Pvs)`."""
    with CIoc(database(count)) as ioc:
        async with Client(addresses(ioc.port), metadata=False) as client:
            pvs = Pvs(client, count)
            await pvs.connect()
            yield ioc, pvs


def memory(pid: int) -> tuple[float, float]:
    """Resident memory of a process now and at most, MiB."""
    fields = dict(
        line.split(":", 1) for line in open(f"/proc/{pid}/status").read().splitlines() if line.startswith("Vm")
    )
    return int(fields["VmRSS"].split()[0]) / 1024, int(fields["VmHWM"].split()[0]) / 1024


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far, s."""
    words = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
