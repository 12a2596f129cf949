"""Channel Access ingest: pyepics, aioca, caproto and owlshift.ca against one C IOC, in one run.

    python benchmarks/ca_ingest.py [--records 10000] [--seconds 10] [--clients pyepics,aioca,caproto,owlshift]
    python benchmarks/ca_ingest.py --replay

The C IOC (epicscorelibs) has records that count up by one at 10 Hz. Each client runs in a process of its own,
subscribes to all of them (DBR_TIME, VALUE|ALARM), keeps the newest value, and counts events and gaps: a gap in a
counter is a lost event. CPU is user plus system time of that process over the measured interval, checking for gaps
included.

`--replay` measures what decoding alone sustains: bytes recorded from the C IOC are sent by a local TCP server as fast
as the client takes them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from c_ioc import CIoc, counter_database, counter_names
from replay_server import ReplayServer, record

PREFIX = "BENCH:"
CLIENTS = ("pyepics", "aioca", "caproto", "owlshift")
CONNECT_LIMIT = 60.0
SETTLE = 2.0


class Tally:
    """Events and gaps of counters, one value at a time."""

    def __init__(self, names: list[str]) -> None:
        self.last: dict[str, float] = dict.fromkeys(names, -1.0)
        self.events = 0
        self.lost = 0.0

    def take(self, name: str, value: float) -> None:
        previous = self.last[name]
        if previous >= 0 and value != previous + 1:
            self.lost += abs(value - previous - 1)
        self.last[name] = value
        self.events += 1

    @property
    def alive(self) -> int:
        return sum(1 for value in self.last.values() if value >= 0)


def measure(tally: Callable[[], tuple[int, float]], wait: Callable[[float], None], seconds: float) -> dict[str, float]:
    """CPU, events and losses while `wait(seconds)` runs the client."""
    wait(SETTLE)
    before, (events, lost) = resource.getrusage(resource.RUSAGE_SELF), tally()
    began = time.perf_counter()
    wait(seconds)
    after, (more, gone) = resource.getrusage(resource.RUSAGE_SELF), tally()
    return {
        "elapsed": time.perf_counter() - began,
        "events": more - events,
        "lost": gone - lost,
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "memory": after.ru_maxrss / 1024,
    }


def wait_for(condition: Callable[[], bool], wait: Callable[[float], None]) -> None:
    limit = time.perf_counter() + CONNECT_LIMIT
    while not condition() and time.perf_counter() < limit:
        wait(0.1)


def run_pyepics(names: list[str], seconds: float) -> dict[str, float]:
    import epics

    tally = Tally(names)

    def changed(pvname: str, value: float, **_: Any) -> None:
        tally.take(pvname, value)

    began = time.perf_counter()
    pvs = [epics.PV(name, callback=changed, form="time", auto_monitor=5) for name in names]
    wait_for(lambda: tally.alive == len(pvs), time.sleep)
    connected = time.perf_counter() - began
    return {"connect": connected, **measure(lambda: (tally.events, tally.lost), time.sleep, seconds)}


def run_aioca(names: list[str], seconds: float) -> dict[str, float]:
    import aioca

    tally = Tally(names)

    async def run() -> dict[str, float]:
        loop = asyncio.get_running_loop()
        began = time.perf_counter()
        aioca.camonitor(
            names,
            lambda value, index: tally.take(names[index], float(value)),
            format=aioca.FORMAT_TIME,
            all_updates=True,
        )
        while tally.alive < len(names) and time.perf_counter() - began < CONNECT_LIMIT:
            await asyncio.sleep(0.1)
        connected = time.perf_counter() - began
        wait = asyncio.run_coroutine_threadsafe
        return {
            "connect": connected,
            **await asyncio.to_thread(
                measure,
                lambda: (tally.events, tally.lost),
                lambda t: wait(asyncio.sleep(t), loop).result(),
                seconds,
            ),
        }

    return asyncio.run(run())


def run_caproto(names: list[str], seconds: float) -> dict[str, float]:
    from caproto.threading.client import Context

    tally = Tally(names)
    context = Context()
    began = time.perf_counter()
    kept = []

    def take(subscription: Any, response: Any) -> None:
        tally.take(subscription.pv.name, float(response.data[0]))

    limit: Any = CONNECT_LIMIT
    for pv in context.get_pvs(*names, timeout=limit):
        subscription = pv.subscribe(data_type="time")
        subscription.add_callback(take)
        kept.append(subscription)
    wait_for(lambda: tally.alive == len(names), time.sleep)
    connected = time.perf_counter() - began
    return {"connect": connected, **measure(lambda: (tally.events, tally.lost), time.sleep, seconds)}


class CounterSink:
    """Counts events and gaps of counters with numpy: the check is part of what is measured."""

    def __init__(self, channels: int) -> None:
        import numpy as np

        self.np = np
        self.last = np.full(channels, -1.0)
        self.events = 0
        self.lost = 0.0
        self.disconnects = 0

    def batch(self, batch: Any) -> None:
        np = self.np
        channel, values = batch.channel, batch.values
        self.events += len(channel)
        order = np.argsort(channel, kind="stable")
        channel, values = channel[order], values[order]
        previous = np.empty_like(values)
        previous[1:] = values[:-1]
        first = np.empty(len(channel), bool)
        first[0] = True
        np.not_equal(channel[1:], channel[:-1], out=first[1:])
        previous[first] = self.last[channel[first]]
        gaps = values - previous - 1
        if gaps.any():
            self.lost += float(np.abs(gaps[previous >= 0]).sum())
        self.last[channel] = values

    def connected(self, info: Any) -> None:
        del info

    def disconnected(self, channel: int, reason: str, time_ns: int) -> None:
        self.disconnects += 1


def run_owlshift(names: list[str], seconds: float) -> dict[str, float]:
    from owlshift.ca import Client

    sink = CounterSink(len(names))

    async def run() -> dict[str, float]:
        loop = asyncio.get_running_loop()
        async with Client(sink=sink) as client:
            began = time.perf_counter()
            client.subscribe(names)
            while (sink.last < 0).any() and time.perf_counter() - began < CONNECT_LIMIT:
                await asyncio.sleep(0.02)
            connected = time.perf_counter() - began
            wait = asyncio.run_coroutine_threadsafe
            result = await asyncio.to_thread(
                measure,
                lambda: (sink.events, sink.lost),
                lambda t: wait(asyncio.sleep(t), loop).result(),
                seconds,
            )
            if client.stats.ignored or client.stats.dropped:
                print(f"owlshift: {client.stats}", file=sys.stderr)
            return {"connect": connected, **result}

    return asyncio.run(run())


def child(arguments: list[str], environment: dict[str, str], limit: float) -> dict[str, float]:
    """Run this file again in a process of its own and return what it prints as JSON."""
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise RuntimeError(f"{arguments}: no result\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return json.loads(lines[-1])


def compare(records: int, seconds: float, clients: list[str]) -> bool:
    names = counter_names(PREFIX, records)
    print(f"C IOC: {records} calc records at 10 Hz, {records * 10} events/s; {seconds:g} s for each client")
    titles = ("client", "connect s", "events", "expected", "lost", "CPU %", "µs/event", "MiB")
    print("".join(f"{title:>11}" for title in titles))
    cost: dict[str, float] = {}
    good = True
    for name in clients:
        with CIoc(counter_database(PREFIX, records)) as ioc:
            try:
                found = child(
                    ["--run", name, "--records", str(len(names)), "--seconds", str(seconds)],
                    ioc.environment,
                    CONNECT_LIMIT * 2 + seconds * 4,
                )
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                print(f"{name:>11}  failed: {str(error).strip().splitlines()[-1]}")
                continue
        expected = records * 10 * found["elapsed"]
        each = 1e6 * found["cpu"] / found["events"] if found["events"] else float("inf")
        cost[name] = each
        print(
            f"{name:>11}{found['connect']:>11.2f}{found['events']:>11.0f}{expected:>11.0f}{found['lost']:>11.0f}"
            f"{100 * found['cpu'] / found['elapsed']:>11.1f}{each:>11.3f}{found['memory']:>11.0f}"
        )
        if name == "owlshift":
            good = found["lost"] == 0 and abs(found["events"] - expected) < 0.05 * expected
    peers = {name: each for name, each in cost.items() if name != "owlshift"}
    if peers and "owlshift" in cost:
        best = min(peers, key=peers.__getitem__)
        ratio = peers[best] / cost["owlshift"]
        print(
            f"owlshift.ca spends 1/{ratio:.0f} of the CPU time of the best peer ({best}) for an event; to reach: 1/50"
        )
        good = good and ratio >= 50
    return good


def run_replay(records: int, seconds: float) -> dict[str, float]:
    """Decode a recorded stream, sent by a process of its own, for `seconds`; gaps are checked as in the comparison."""
    from owlshift.ca import CaAddresses, Client

    names = counter_names(PREFIX, records)

    async def run(port: int) -> dict[str, float]:
        sink = CounterSink(records)
        addresses = CaAddresses(name_servers=(("127.0.0.1", port),), repeater_port=0)
        async with Client(addresses, sink) as client:
            client.subscribe(names)
            while sink.events == 0:
                await asyncio.sleep(0.02)
            before, events, lost = resource.getrusage(resource.RUSAGE_SELF), sink.events, sink.lost
            began = time.perf_counter()
            await asyncio.sleep(seconds)
            after, elapsed = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter() - began
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            return {"events": sink.events - events, "lost": sink.lost - lost, "elapsed": elapsed, "cpu": cpu}

    with ReplayServer(record(records, 20, PREFIX), names) as server:
        return asyncio.run(run(server.port))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--clients", default=",".join(CLIENTS))
    parser.add_argument("--replay", action="store_true")
    parser.add_argument("--run", choices=CLIENTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        names = counter_names(PREFIX, arguments.records)
        print(json.dumps(globals()[f"run_{arguments.run}"](names, arguments.seconds)), flush=True)
        sys.stdout.flush()
        os._exit(0)  # the peers' libraries may hang in their exit handlers
    if arguments.replay:
        found = run_replay(arguments.records, arguments.seconds)
        rate = found["events"] / found["elapsed"]
        print(
            f"replay of a recorded stream: {rate / 1e6:.2f} million events/s decoded, {found['lost']:.0f} lost, "
            f"{1e9 * found['cpu'] / found['events']:.0f} ns CPU each"
        )
        return 0
    return 0 if compare(arguments.records, arguments.seconds, arguments.clients.split(",")) else 1


if __name__ == "__main__":
    sys.exit(main())
