"""The alarm server under load, and the Phoebus alarm server beside it where there is one (see `alarm_phoebus.py`).

    python benchmarks/alarm_load.py [--quick] [--alarms 50000] [--without-peer]

A C IOC has the PVs; the server is a process of its own. Three things are measured, one after another:

- burst: a fifth of all PVs goes from OK to MAJOR within one second. Timed from the first put until all their alarm PVs
  (of Phoebus: all state records) say MAJOR, and until the log has a row of each (of Phoebus: the same records);
- change to alarm: 1,000 PVs a second go into MINOR for some seconds. Timed from each put to its alarm PV;
- restart: alarms are latched by PVs that are fine again, the server is ended and started. Timed until all PVs are
  watched again and the states are right; announcements of alarms after that are false.

Memory is what the process has resident at most during all that.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import alarm_phoebus
from alarm_pvs import MAJOR, MINOR, NORMAL, Pvs, Seen, cpu_seconds, memory, served

_OK, _MINOR, _MAJOR = 0, 5, 6
"""Severities as Phoebus numbers them."""
_PATIENCE = 300.0
_QUIET = 5.0
"""Seconds after a restart in which nothing more may be announced."""


class Server(Protocol):
    """An alarm server, ours or the peer."""

    name: str
    seen: Seen

    @property
    def pid(self) -> int: ...
    async def start(self, timeout: float = ...) -> float: ...
    async def follow(self) -> None: ...
    def stop(self, number: int = ...) -> None: ...
    async def acknowledge(self, numbers: list[int]) -> None: ...
    async def severities(self, numbers: list[int]) -> list[int]: ...
    def announced(self) -> int: ...
    async def close(self) -> None: ...


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    alarms: int
    burst: int
    latched: int
    rate: int
    seconds: int

    @classmethod
    def of(cls, alarms: int, quick: bool) -> Sizes:
        """The wanted proportions for so many alarms."""
        burst = alarms // 5 // 100 * 100
        rate = min(1000, alarms // 10)
        return cls(alarms, burst, alarms // 25 // 100 * 100, rate, 3 if quick else 10)

    @property
    def changing(self) -> list[int]:
        """The alarms whose latency is measured."""
        return list(range(self.burst, min(self.alarms, self.burst + self.rate * self.seconds)))


async def all_say(server: Server, numbers: list[int], severity: int, what: str) -> None:
    """Wait until all these alarms have a severity; RuntimeError with how many do not."""
    if not await server.seen.until(numbers, severity, _PATIENCE):
        wrong = int((server.seen.severity[numbers] != severity).sum())
        raise RuntimeError(f"{server.name}: {what}: {wrong} of {len(numbers)} alarms are not {severity}")


async def burst(server: Server, pvs: Pvs, sizes: Sizes) -> dict[str, float]:
    """OK to MAJOR of many at once."""
    numbers = list(range(sizes.burst))
    began, cpu = time.time(), cpu_seconds(server.pid)
    logged_at = 0.0
    writing = asyncio.create_task(pvs.write(numbers, MAJOR, sizes.burst))
    logged = getattr(server, "logged", None)
    while True:
        right = bool((server.seen.severity[numbers] == _MAJOR).all())
        if logged is not None and not logged_at and await asyncio.to_thread(logged, _IN_BURST) >= sizes.burst:
            logged_at = time.time()
        if right and (logged is None or logged_at):
            break
        if time.time() - began > _PATIENCE:
            await all_say(server, numbers, _MAJOR, "burst")
            raise RuntimeError(f"{server.name}: the log has not all of the burst")
        await asyncio.sleep(0.02)
    await writing
    states = float(server.seen.at[numbers].max() - began)
    found = {
        "burst: all states right, s": states,
        "burst: all logged, s": (logged_at or server.seen.at[numbers].max()) - began,
        "burst: puts took, s": float(pvs.at[numbers].max() - began),
        "burst: CPU of the server, s": cpu_seconds(server.pid) - cpu,
    }
    if await server.severities(numbers) != [_MAJOR] * len(numbers):
        raise RuntimeError(f"{server.name}: not all states of the burst are right when they are read")
    return found


_IN_BURST = "kind = 'transition' and severity = 6 and raised = 1"


async def latency(server: Server, pvs: Pvs, sizes: Sizes) -> dict[str, float]:
    """From a put to the alarm, at a steady rate."""
    numbers = sizes.changing
    await pvs.write(numbers, MINOR, sizes.rate)
    await all_say(server, numbers, _MINOR, "changes")
    delays = np.sort((server.seen.at[numbers] - pvs.at[numbers]) * 1e3)
    return {
        "change to alarm: median, ms": float(np.median(delays)),
        "change to alarm: p99, ms": float(np.quantile(delays, 0.99)),
        "change to alarm: worst, ms": float(delays[-1]),
    }


async def restart(server: Server, pvs: Pvs, sizes: Sizes) -> dict[str, float]:
    """Latched alarms over a restart."""
    latched, others = list(range(sizes.latched)), list(range(sizes.latched, sizes.alarms))
    touched = list(range(sizes.burst)) + sizes.changing
    await pvs.write(touched, NORMAL, 5000)
    await asyncio.sleep(1.0)
    # operators acknowledge in portions, since a PV that is not fine yet keeps its alarm
    up = [number for number in touched if number >= sizes.latched]
    deadline = time.monotonic() + _PATIENCE
    while (waiting := [number for number in up if server.seen.severity[number] != _OK]) and time.monotonic() < deadline:
        await server.acknowledge(waiting)
        await server.seen.until(waiting, _OK, 5.0)
    await all_say(server, up, _OK, "acknowledged")
    await all_say(server, latched, _MAJOR, "latched")
    await asyncio.sleep(1.0)
    server.stop()
    before = server.announced()
    seconds = await server.start(_PATIENCE)
    cpu = cpu_seconds(server.pid)
    await asyncio.sleep(_QUIET)
    wanted = [_MAJOR] * sizes.latched + [_OK] * min(len(others), 2 * sizes.latched)
    found = await server.severities([*latched, *others[: 2 * sizes.latched]])
    wrong = sum(one != other for one, other in zip(found, wanted, strict=True))
    return {
        "restart: all states right, s": seconds,
        "restart: CPU of the server, s": cpu,
        "restart: wrong states": wrong,
        "restart: false annunciations": server.announced() - before,
    }


async def measure(server: Server, pvs: Pvs, sizes: Sizes) -> dict[str, float]:
    """All of one server."""
    found = {"start, s": await server.start(_PATIENCE)}
    await server.follow()
    print(f"{server.name}: started", flush=True)
    for part in (burst, latency):
        found |= await part(server, pvs, sizes)
        print(f"{server.name}: {part.__name__} done", flush=True)
    highest = memory(server.pid)[1]
    found |= await restart(server, pvs, sizes)
    found["memory, MiB"] = max(highest, memory(server.pid)[1])
    return found


WANTED = {
    "burst: all states right, s": 2.0,
    "burst: all logged, s": 2.0,
    "change to alarm: p99, ms": 100.0,
    "restart: all states right, s": 15.0,
    "restart: wrong states": 0,
    "restart: false annunciations": 0,
    "memory, MiB": 500.0,
}
"""Of the full size."""


def table(ours: dict[str, float], peer: dict[str, float]) -> str:
    """What was measured, what is wanted, and how the peer compares (its figure by ours)."""
    lines = [f"{'':34s} {'owlshift':>10s} {'wanted':>8s} {'':4s} {'Phoebus':>10s} {'ratio':>7s}"]
    for what, value in ours.items():
        wanted = WANTED.get(what)
        other = peer.get(what)
        verdict = "" if wanted is None else "yes" if value <= wanted else "NO"
        lines.append(
            f"{what:34s} {value:10.2f} {'' if wanted is None else f'≤{wanted:g}':>8s} {verdict:4s} "
            f"{'–' if other is None else f'{other:.2f}':>10s} "
            f"{'' if other is None or not value else f'{other / value:.1f}':>7s}"
        )
    return "\n".join(lines)


async def run(sizes: Sizes, with_peer: bool) -> bool:
    """Both sides one after another with the same PVs; whether all that is wanted was reached."""
    from alarm_ours import Ours

    async with served(sizes.alarms) as (ioc, pvs):
        sides: list[dict[str, float]] = []
        servers: list[Callable[[], Server]] = [lambda: Ours(sizes.alarms, sizes.changing[-1] + 1, ioc.port)]
        if with_peer:
            from alarm_peer import Phoebus

            servers.append(lambda: Phoebus(sizes.alarms, ioc.port))
        for make in servers:
            server = make()
            try:
                await prepare(server)
                sides.append(await measure(server, pvs, sizes))
            finally:
                await server.close()
            await pvs.write(list(range(sizes.alarms)), NORMAL, 20_000)
    ours, peer = sides[0], sides[1] if len(sides) > 1 else {}
    print(table(ours, peer))
    return all(ours[what] <= wanted for what, wanted in WANTED.items())


async def prepare(server: Server) -> None:
    """What has to be there before the server is started."""
    configure = getattr(server, "configure", None)
    if configure is not None:
        await asyncio.to_thread(configure)
    client = getattr(server, "client", None)
    if client is not None:
        await client.start()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--alarms", type=int, default=0, help="how many PVs (default 50000, with --quick 5000)")
    parser.add_argument("--quick", action="store_true", help="a small size, for trying")
    parser.add_argument("--without-peer", action="store_true", help="do not look for Phoebus")
    options = parser.parse_args()
    sizes = Sizes.of(options.alarms or (5000 if options.quick else 50_000), options.quick)
    peer = "" if options.without_peer else alarm_phoebus.missing()
    with_peer = not options.without_peer and not peer
    if peer:
        print(f"without the peer: {peer}")
    print(
        f"{sizes.alarms} alarms, {sizes.burst} changes in a second, {sizes.rate} changes/s for {sizes.seconds} s, "
        f"{sizes.latched} latched; {os.cpu_count()} cores",
        flush=True,
    )
    return 0 if asyncio.run(run(sizes, with_peer)) else 1


if __name__ == "__main__":
    sys.exit(main())
