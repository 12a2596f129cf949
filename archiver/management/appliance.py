"""What is said of the archiver as a whole: where it is, how it fares, how full its disks are.

Each engine counts as an appliance. Numbers come as the appliance writes them, with commas for thousands: for those
without, see `/metrics` and `/api/status`.
"""

from __future__ import annotations

import os
import shutil
import time
from typing import Any

import numpy as np
import psutil

from archiver.management.asked import Asked
from archiver.management.census import Snapshot, Status, is_alive
from archiver.management.context import Context
from archiver.management.settings import known_engine
from archiver.management.status import ONE_APPLIANCE
from archiver.management.texts import duration, grouped
from archiver.retrieval.query import Refused, printable
from archiver.store.live import PvState
from owlshift import __version__ as VERSION_NUMBER  # noqa: N812

VERSION = f"Archiver Appliance Version 1.1.0 (owlshift {VERSION_NUMBER})"
GIB = 1024**3
_WITHOUT_COUNTERPART = {
    "formattedWriteThreadSeconds": "0",
    "secondsConsumedByWriter": "0",
    "totalChannelIOSeconds": "0",
    "avgChannelsWrittenPerCycle": "0",
    "skippedWriteCycles": "0",
    "totalETLRuns(0)": "0",
    "timeForOverallETLInSeconds(0)": "0",
    "maxETLPercentage": "0",
}
"""Keys of getApplianceMetrics that count what this archiver does not have: write cycles, and copies between stores."""


def names(context: Context) -> list[str]:
    """What the appliances are called."""
    return list(context.config.engines) or [ONE_APPLIANCE]


def info(asked: Asked, identity: str) -> dict[str, str]:
    """getApplianceInfo: all parts answer at the address that the client came by."""
    host = asked.base.partition("://")[2]
    return {
        "identity": identity,
        "mgmtURL": f"{asked.base}/mgmt/bpl",
        "engineURL": f"{asked.base}/engine/bpl",
        "etlURL": f"{asked.base}/etl/bpl",
        "retrievalURL": f"{asked.base}/retrieval/bpl",
        "dataRetrievalURL": f"{asked.base}/retrieval",
        "clusterInetPort": f"{host.rpartition(':')[0] or host}:0",
        "version": VERSION,
    }


def appliance_info(context: Context, asked: Asked) -> dict[str, str]:
    """One appliance: `id`, or the first."""
    identity = asked.values.get("id") or names(context)[0]
    known_engine(context, identity)
    return info(asked, identity)


def appliances(context: Context, asked: Asked) -> list[dict[str, str]]:
    """All appliances."""
    return [info(asked, name) for name in names(context)]


def versions(context: Context, asked: Asked) -> dict[str, str]:
    """The version of each part."""
    return {f"{part}_version": VERSION for part in ("mgmt", "engine", "etl", "retrieval")}


def _engines(context: Context, census: Snapshot) -> list[tuple[str, int, dict[str, Any]]]:
    """Name, number in the census (-1: no store here yet) and status of each engine."""
    wanted = list(context.config.engines) or [""]
    place = {name: number for number, name in enumerate(census.engines)}
    found = []
    for name in wanted:
        number = place.get(name, 0 if len(wanted) == 1 and census.engines else -1)
        found.append((name or ONE_APPLIANCE, number, census.engine_status[number] if number >= 0 else {}))
    return found


def _mine(census: Snapshot, number: int) -> np.ndarray:
    """bool[n]: the PVs of an engine; the only one has also those that it has not seen yet."""
    if len(census.engines) == 1:
        return census.archived()
    return (census.engine == number) & census.archived() & (number >= 0)


def metrics(context: Context, asked: Asked) -> list[dict[str, str]]:
    """getApplianceMetrics."""
    census = context.census.snapshot()
    return [_metrics(census, *engine) for engine in _engines(context, census)]


def _metrics(census: Snapshot, name: str, number: int, status: dict[str, Any]) -> dict[str, str]:
    mine = _mine(census, number)
    live = census.live[mine]
    connected = int(np.count_nonzero(live["state"] == PvState.CONNECTED))
    paused = int(np.count_nonzero(census.status[mine] == Status.PAUSED))
    rate = float(live["byte_rate"].sum(dtype=np.float64))
    working = is_alive(status, time.time())
    return {
        "instance": name,
        "pvCount": grouped(int(np.count_nonzero(mine))),
        "status": "Working" if working else "Stopped - engine ",
        "capacityUtilized": "N/A",
        "eventRate": grouped(float(live["rate"].sum(dtype=np.float64))),
        "dataRate": grouped(rate),
        "dataRateGBPerDay": grouped(rate * 86400 / GIB),
        "dataRateGBPerYear": grouped(rate * 86400 * 365 / GIB),
        "connectedPVCount": grouped(connected),
        "disconnectedPVCount": grouped(max(0, int(np.count_nonzero(mine)) - connected - paused)),
        "pausedPVCount": grouped(paused),
        "lagSeconds": grouped(_number(status, "lag")),
        **_WITHOUT_COUNTERPART,
    }


def _number(status: dict[str, Any], key: str) -> float:
    value = status.get(key, 0)
    return float(value) if isinstance(value, int | float) else 0.0


def metrics_for(context: Context, asked: Asked) -> list[dict[str, str]]:
    """getApplianceMetricsForAppliance: names and values for people."""
    name = asked.text("appliance")
    known_engine(context, name)
    census = context.census.snapshot()
    for engine, number, status in _engines(context, census):
        if engine == name:
            rows = _metrics(census, engine, number, status)
            texts = {"instance": "Appliance Identity", "pvCount": "Total PV count", "status": "Status"}
            more = {
                "Engine state": str(status.get("state", "unknown")),
                "Samples received": grouped(_number(status, "received")),
                "Samples stored": grouped(_number(status, "stored")),
                "Samples waiting for the disk": grouped(_number(status, "waiting")),
                "Version": VERSION,
            }
            mgmt = [{"name": texts.get(key, key), "value": value, "source": "mgmt"} for key, value in rows.items()]
            return mgmt + [{"name": key, "value": value, "source": "engine"} for key, value in more.items()]
    raise Refused(400, f"There is no appliance {printable(name, 40)!r}.")


def instances(context: Context, asked: Asked) -> list[dict[str, str]]:
    """getInstanceMetrics."""
    census = context.census.snapshot()
    now = time.time()
    return [
        {
            "instance": name,
            "pvCount": str(int(np.count_nonzero(_mine(census, number)))),
            "status": "Working" if is_alive(status, now) else "Stopped - engine ",
            "MGMT_uptime": duration(now - context.started),
            "engine_uptime": duration(now - _number(status, "started")) if is_alive(status, now) else "0:00:00",
            "errors": str(len(context.reader.damaged)),
            "connectedPVCount": str(
                int(np.count_nonzero(census.live["state"][_mine(census, number)] == PvState.CONNECTED))
            ),
        }
        for name, number, status in _engines(context, census)
    ]


def storage(context: Context, asked: Asked) -> list[dict[str, str]]:
    """getStorageMetrics: the disks of each tier; what an object store has left is not known."""
    if asked.values.get("appliance"):
        known_engine(context, asked.values["appliance"])
    found = []
    for store, tier in (("STS", "minutes"), ("MTS", "days"), ("LTS", "months")):
        place = getattr(context.config.tiers, tier).place or str(context.folder)
        space = None if "://" in place else _space(context, place)
        percent = 100 * space[1] / space[0] if space and space[0] else 0.0
        found.append(
            {
                "name": store,
                "total_space": grouped(space[0] / GIB) if space else "N/A",
                "available_space": grouped(space[1] / GIB) if space else "N/A",
                "available_space_percent": grouped(percent) if space else "N/A",
                "time_copy_data_into_store": "0",
                "time_copy_data_into_store_percent": "0",
            }
        )
    return found


def _space(context: Context, place: str) -> tuple[int, int] | None:
    folder = context.folder / place
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return usage.total, usage.free


def process_metrics(context: Context, asked: Asked) -> list[dict[str, str]]:
    """getProcessMetrics: this process and its machine."""
    process = psutil.Process(os.getpid())
    load = os.getloadavg()[0]
    memory = process.memory_info().rss
    rows = {
        "Uptime": duration(time.time() - context.started),
        "Process id": str(process.pid),
        "Processor time (s)": grouped(sum(process.cpu_times()[:2])),
        "Memory (MB)": grouped(memory / 1024**2),
        "Threads": str(process.num_threads()),
        "System load (1 min)": grouped(load),
        "Processors": str(os.cpu_count() or 1),
    }
    return [{"name": key, "value": value, "source": "retrieval"} for key, value in rows.items()]


def aggregated(context: Context, asked: Asked) -> dict[str, str]:
    """getAggregatedApplianceInfo: sums over all PVs."""
    census = context.census.snapshot()
    live = census.live[census.archived()]
    return {
        "pvCount": str(len(live)),
        "totalEventRate": repr(round(float(live["rate"].sum(dtype=np.float64)), 3)),
        "totalStorageRate": repr(round(float(live["byte_rate"].sum(dtype=np.float64)), 3)),
    }


def properties(context: Context, asked: Asked) -> dict[str, str]:
    """getApplianceProperties: the `[archiver]` section, as far as it is a value by itself."""
    config = context.config.model_dump(mode="json", exclude={"policy", "pv", "pin", "tiers", "access"})
    plain = {k: ",".join(map(str, v)) if isinstance(v, list) else str(v) for k, v in config.items() if v is not None}
    return {f"archiver.{key}": value for key, value in plain.items()}
