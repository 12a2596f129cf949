"""One IOC process for the benchmarks: PVs that count up at a given rate, on stock caproto or on owlshift's server.

`python benchmarks/ioc_server_child.py KIND PORT PVS RATE SECONDS [STATUS]`, KIND being `stock` (caproto's Context),
`write` (owlshift's server, values through caproto's ChannelDouble.write as in `stock`) or `publish` (owlshift's
server, values set and published as owlshift.ioc does). RATE 0 is as fast as it goes; SECONDS 0 is until SIGTERM. It
prints `ready TCPPORT`, then at the end a line of JSON; with STATUS one such line every STATUS seconds.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import sys
import time

import caproto
import psutil
from caproto import ChannelDouble

from owlshift.ioc.server import CaServer, publish, stop_on_signals

EPICS_EPOCH = 631152000
DRAIN = 1.5
"""Seconds that the stock server gets to send what it has batched (it waits up to one second by itself)."""


def pv_names(count: int) -> list[str]:
    return [f"BENCH:{n}" for n in range(count)]


async def count_up(pvs: list[ChannelDouble], kind: str, rate: float, stop: asyncio.Event, done: list[int]) -> None:
    """Give the PVs new values, one after the other, `rate` in all per second."""
    begin = time.perf_counter()
    number = 0
    while not stop.is_set():
        due = int((time.perf_counter() - begin) * rate) - number if rate else 200
        for _ in range(min(due, 2000)):
            pv = pvs[number % len(pvs)]
            number += 1
            if kind == "publish":
                seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
                pv._data["value"] = float(number)  # noqa: SLF001
                pv._data["timestamp"] = (seconds - EPICS_EPOCH, nanoseconds)  # noqa: SLF001
                publish(pv, 3)
            else:
                await pv.write(float(number), flags=3)
        done[0] = number
        await asyncio.sleep(0.002 if rate else 0)


async def serve(kind: str, port: int, pv_count: int, rate: float, seconds: float, status: float) -> None:
    pvs = [ChannelDouble(value=0.0, units="V", precision=3) for _ in range(pv_count)]
    pvdb = dict(zip(pv_names(pv_count), pvs, strict=True))
    stop = asyncio.Event()
    stop_on_signals(stop)
    done = [0]
    server = None
    if kind == "stock":
        from caproto.asyncio.server import Context

        os.environ["EPICS_CA_SERVER_PORT"] = str(port)
        logging.getLogger("caproto").setLevel(logging.CRITICAL)
        context = Context(pvdb, ["127.0.0.1"])
        serving = asyncio.create_task(context.run())
        while context.port is None:
            await asyncio.sleep(0.01)
        tcp_port = context.port
    else:
        server = CaServer(pvdb, port=port)
        ready = asyncio.Event()
        serving = asyncio.create_task(server.run(stop, ready.set))
        await ready.wait()
        tcp_port = server.port
    print("ready", tcp_port, flush=True)
    producer = asyncio.create_task(count_up(pvs, kind, rate, stop, done))
    cpu, begin = time.process_time(), time.perf_counter()

    def report() -> str:
        return json.dumps(
            {
                "kind": kind,
                "caproto": caproto.__version__,
                "updates": done[0],
                "seconds": time.perf_counter() - begin,
                "cpu_seconds": time.process_time() - cpu,
                "rss_mib": psutil.Process().memory_info().rss / 2**20,
                "max_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "sent": server.updates if server else None,
                "dropped": server.dropped_updates if server else None,
                "clients": server.clients if server else None,
                "monitors": server.monitors if server else None,
                "died": serving.done(),
            }
        )

    enders = [asyncio.create_task(stop.wait()), serving, producer]
    end = begin + seconds if seconds else float("inf")
    while not any(e.done() for e in enders) and (left := end - time.perf_counter()) > 0:
        await asyncio.wait(
            enders, timeout=min(left, status or left) if left < 1e9 else status or None, return_when="FIRST_COMPLETED"
        )
        if status:
            print(report(), flush=True)
    last = report()
    producer.cancel()
    await asyncio.sleep(DRAIN)  # what is queued may still arrive
    print(last, flush=True)
    os._exit(0)  # the stock server does not end by itself


if __name__ == "__main__":
    kind, port, pv_count, rate, seconds, status = [*sys.argv[1:], "0"][:6]
    asyncio.run(serve(kind, int(port), int(pv_count), float(rate), float(seconds), float(status)))
