"""How long management takes over 100,000 PVs, call by call, beside plain Python that goes from PV to PV.

    python benchmarks/archive_reports.py [--pvs 100000] [--repeat 5]

Makes an archive of so many synthetic PVs (ledger, live table, a sample each), asks each call as retrieval does, to the
last byte of JSON, and prints the median of some runs, each with a fresh census: what it took, and the processor's time
(which a busy machine changes less). `limit=100`: what the first 100 rows take. The plain Python has one object for each
PV ready in memory and only has to choose, sort, write texts and make JSON (with the standard library's `json`), as one
would write it first.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import orjson

from archiver.config import ArchiverConfig
from archiver.management.access import Verdict
from archiver.management.asked import Asked
from archiver.management.census import Snapshot, Status
from archiver.management.context import Context, context_of
from archiver.management.http import find_call
from archiver.management.ledger import Identity, Ledger
from archiver.management.metrics import metrics
from archiver.management.reports import REPORTS
from archiver.retrieval.workers import Workers
from archiver.store import Columns, Dbr, StoreWriter, open_reader
from archiver.store.live import LIVE, PvState, save_live

NS = 1_000_000_000
WHO = Identity("benchmark", "localhost")


def build(folder: Path, pvs: int, seed: int = 1) -> Context:
    """An archive of so many PVs of all states, and its management."""
    rng = np.random.default_rng(seed)
    names = [f"BENCH:S{n // 1000:03}:{n % 1000:03}" for n in range(pvs)]
    now = time.time_ns()
    writer = StoreWriter(folder)
    writer.open()
    ids = np.fromiter(writer.add_pvs(names).values(), np.uint32, pvs)
    times = now - rng.integers(1, 86400 * 30, pvs) * NS
    chances = [0.02, 0.03, 0.9, 0.05]
    states = (PvState.NOT_ARCHIVED, PvState.CONNECTING, PvState.CONNECTED, PvState.DISCONNECTED)
    state = rng.choice(states, pvs, p=chances)
    times[state == PvState.CONNECTING] = 0
    seen = times > 0
    zero = np.zeros(int(seen.sum()), np.uint8)
    writer.append(Columns(Dbr.DOUBLE, False, ids[seen], times[seen], zero, zero, rng.normal(size=len(zero))))
    writer.roll()
    while writer.convert_next():
        pass
    writer.close()
    live = np.zeros(int(ids.max()) + 1, LIVE)
    mine = np.zeros(pvs, LIVE)
    mine["state"] = state
    mine["dbr"], mine["count"], mine["array"] = Dbr.DOUBLE, rng.choice([1, 512], pvs, p=[0.98, 0.02]), 0
    mine["array"] = mine["count"] > 1
    mine["rate"] = rng.exponential(0.1, pvs)
    mine["byte_rate"] = mine["rate"] * 8 * mine["count"]
    mine["events"] = rng.integers(0, 10**6, pvs)
    mine["period"], mine["last_ns"] = 1.0, times
    mine["requested_ns"] = now - 86400 * 31 * NS
    mine["first_connected_ns"] = np.where(mine["state"] > PvState.CONNECTING, now - 86400 * 30 * NS, 0)
    mine["losses"] = rng.poisson(0.3, pvs)
    mine["lost_ns"] = np.where(mine["losses"] > 0, times, 0)
    for reason in ("time", "overflow", "type", "scan", "deadband"):
        mine[f"dropped_{reason}"] = rng.poisson(0.05, pvs)
    live[ids] = mine
    save_live(folder, live)
    status = {"updated": time.time() + 1e6, "state": "recording", "hosts": [""], "policies": [""], "started": 0}
    (folder / "engine.json").write_text(json.dumps(status))
    ledger = Ledger(folder / "manage.db")
    ledger.pause(names[::50], WHO)
    config = ArchiverConfig()
    place = SimpleNamespace(folder=folder, config=config, folders={"": folder}, site=None)
    return context_of(place, open_reader(folder, config), ledger, Workers())


def ask(context: Context, name: str, **values: str) -> bytes:
    """The body that a call answers."""
    call, _ = find_call(name)
    asked = Asked(name, "GET", values, b"", "http://127.0.0.1:17665", Verdict(WHO, True, ""))
    return orjson.dumps(call(context, asked))


# the same, from PV to PV


class Plain:
    """One object for each PV."""

    def __init__(self, census: Snapshot, stored_bytes: dict[str, int]) -> None:
        self.pvs = []
        for row, name in enumerate(census.names):
            live = {key: census.live[key][row].item() for key in LIVE.names or ()}
            last = max(live["last_ns"], int(census.newest[row]), 0)
            self.pvs.append(
                SimpleNamespace(
                    name=name,
                    status=int(census.status[row]),
                    created=int(census.created_ns[row]),
                    modified=int(census.modified_ns[row]),
                    oldest=int(census.oldest[row]),
                    last=last,
                    stored=stored_bytes.get(name, 0),
                    **{key: value for key, value in live.items() if key not in ("last_ns",)},
                )
            )

    def table(
        self,
        chosen: Callable[[Any], bool],
        key: Callable[[Any], Any],
        columns: dict[str, Callable[[Any], str]],
        reverse: bool = True,
    ) -> bytes:
        """Choose, sort, write, make JSON."""
        rows = sorted((pv for pv in self.pvs if chosen(pv)), key=key, reverse=reverse)
        return json.dumps([{name: text(pv) for name, text in columns.items()} for pv in rows]).encode()


def human(time_ns: int) -> str:
    return (
        datetime.fromtimestamp(time_ns / NS).astimezone().strftime("%b/%d/%Y %H:%M:%S %Z") if time_ns > 0 else "Never"
    )


def plain_reports(plain: Plain) -> dict[str, Callable[[], bytes]]:
    """The plain way of the reports that differ most."""
    name, instance = (lambda pv: pv.name), (lambda pv: "appliance0")

    def there(pv: Any) -> bool:
        return pv.status != Status.NOT_ARCHIVED

    def gone(pv: Any) -> bool:
        return pv.status == Status.ARCHIVED and pv.state not in (PvState.CONNECTED, PvState.OFF)

    def dated(key: str) -> dict[str, Callable[[Any], str]]:
        return {"pvName": name, "instance": instance, key: lambda pv: human(pv.created)}

    return {
        "getNeverConnectedPVs": lambda: plain.table(
            lambda pv: pv.status == Status.INITIAL,
            lambda pv: pv.created,
            {
                "pvName": name,
                "requestTime": lambda pv: human(pv.created),
                "startOfWorkflow": lambda pv: human(pv.requested_ns),
                "currentState": lambda pv: "METAINFO_REQUESTED" if pv.state else "START",
                "appliance": instance,
            },
            False,
        ),
        "getCurrentlyDisconnectedPVs": lambda: plain.table(
            gone,
            lambda pv: pv.lost_ns,
            {
                "pvName": name,
                "instance": instance,
                "lastKnownEvent": lambda pv: human(pv.last),
                "connectionLostAt": lambda pv: human(pv.lost_ns or pv.last),
                "noConnectionAsOfEpochSecs": lambda pv: str((pv.lost_ns or pv.last) // NS),
                "hostName": lambda pv: "N/A",
                "commandThreadID": lambda pv: "0",
            },
            False,
        ),
        "getEventRateReport": lambda: plain.table(
            there, lambda pv: pv.rate, {"pvName": name, "eventRate": lambda pv: str(round(pv.rate, 6))}
        ),
        "getStorageRateReport": lambda: plain.table(
            there,
            lambda pv: pv.byte_rate,
            {
                "pvName": name,
                "storageRate_KBperHour": lambda pv: str(round(pv.byte_rate * 3600 / 1024, 6)),
                "storageRate_MBperDay": lambda pv: str(round(pv.byte_rate * 86400 / 1024**2, 6)),
                "storageRate_GBperYear": lambda pv: str(round(pv.byte_rate * 86400 * 365 / 1024**3, 6)),
            },
        ),
        "getRecentlyAddedPVs": lambda: plain.table(there, lambda pv: pv.created, dated("creationTime")),
        "getRecentlyModifiedPVs": lambda: plain.table(there, lambda pv: pv.modified, dated("modificationTime")),
        "getSilentPVsReport": lambda: plain.table(
            lambda pv: pv.status == Status.ARCHIVED and pv.state == PvState.CONNECTED,
            lambda pv: pv.last,
            {"pvName": name, "instance": instance, "lastKnownEvent": lambda pv: human(pv.last)},
            False,
        ),
        "getPVsByStorageConsumed": lambda: plain.table(
            lambda pv: pv.stored > 0,
            lambda pv: pv.stored,
            {
                "pvName": name,
                "instance": instance,
                "storageConsumed": lambda pv: str(pv.stored),
                "storageConsumedInMB": lambda pv: str(round(pv.stored / 1024**2, 6)),
            },
        ),
        "getTimeSpanReport": lambda: plain.table(
            there,
            lambda pv: pv.name,
            {
                "pvName": name,
                "creationTS": lambda pv: str(pv.oldest // NS),
                "paused": lambda pv: str(pv.status == Status.PAUSED).lower(),
                "lastEvent": lambda pv: str(pv.last // NS),
            },
            False,
        ),
    }


def median_ms(call: Callable[[], object], repeat: int, clock: Callable[[], float] = time.perf_counter) -> float:
    """The median of some runs, in ms."""
    times = []
    for _ in range(repeat):
        start = clock()
        call()
        times.append((clock() - start) * 1e3)
    return statistics.median(times)


def fresh(context: Context, call: Callable[[], object]) -> Callable[[], object]:
    """The call with nothing kept of the last one but what only changes with the list of PVs."""

    def run() -> None:
        context.census.forget()
        call()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pvs", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        context = build(Path(folder), options.pvs)
        start = time.perf_counter()
        census = context.census.snapshot()
        print(f"{options.pvs:,} PVs; first census after a start {(time.perf_counter() - start) * 1e3:.0f} ms")
        plain = plain_reports(Plain(census, {t.name: t.bytes for t in context.reader.infos()}))
        heads = (
            f"{'call':38} {'ms':>8} {'CPU ms':>8} {'limit=100':>10} {'bytes':>12} {'plain Python CPU':>16} {'ratio':>6}"
        )
        print(heads)
        for name in [*REPORTS, "getAllPVs", "getPVStatus", "getApplianceMetrics"]:
            values = {"pv": "*", "limit": "-1"} if name in ("getAllPVs", "getPVStatus") else {}
            whole = median_ms(fresh(context, lambda n=name, v=values: ask(context, n, **v)), options.repeat)
            work = median_ms(
                fresh(context, lambda n=name, v=values: ask(context, n, **v)), options.repeat, time.process_time
            )
            few = values | {"limit": "100"}
            short = median_ms(fresh(context, lambda n=name, v=few: ask(context, n, **v)), options.repeat)
            size = len(ask(context, name, **values))
            line = f"{name:38} {whole:8.1f} {work:8.1f} {short:10.1f} {size:12,}"
            if name in plain:
                other = median_ms(plain[name], max(1, options.repeat // 2), time.process_time)
                line += f" {other:16.1f} {other / work:6.1f}"
            print(line)
        print(f"{'/metrics':38} {median_ms(fresh(context, lambda: metrics(context)), options.repeat):8.1f}")
        context.reader.close()
        context.ledger.close()


if __name__ == "__main__":
    main()
