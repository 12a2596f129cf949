"""Snapshot and apply against a local C IOC: `iocs.runkey` beside plain aioca and pyepics programs that do the same.

    python benchmarks/runkey_stand.py [--pvs 10000] [--puts 1000] [--repeat 3]

Each program is a process of its own that begins with a new client, so that search and connection are part of its time.
All read the same PVs with alarm and time, and write the same puts with completion and look at the read-backs. Ours also
reads the catalogue, orders the puts in two levels, keeps a journal in SQLite that is written before each level, looks
before each put whether somebody else has changed it, and compares all PVs again at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from c_ioc import CIoc

PREFIX = "BENCH:"
PER_DEVICE = 4
NAMES = ("Max", "ILim", "Rate", "V")
TIMEOUT = 60.0
STEP = 1.0
"""By which each put raises its value; limits and values stay far from the records' own."""


def setpoints(count: int) -> list[str]:
    return [f"{PREFIX}D{i // PER_DEVICE:05d}:{NAMES[i % PER_DEVICE]}" for i in range(count)]


def database(count: int, with_readback: int) -> str:
    records = []
    for index, name in enumerate(setpoints(count)):
        link = f'field(FLNK, "{name}_RBV")' if index < with_readback else ""
        records.append(
            f'record(ao, "{name}") {{ field(VAL, "{index % 100}") field(PINI, "YES") field(PREC, "2") field(EGU, "V") '
            f'field(DRVH, "5000") field(DRVL, "-5000") {link} }}'
        )
        if link:
            records.append(f'record(calc, "{name}_RBV") {{ field(INPA, "{name}") field(CALC, "A") field(PREC, "2") }}')
    room = 400 * count + 10_000
    records.append(f'record(waveform, "{PREFIX}IOC:Catalogue") {{ field(FTVL, "CHAR") field(NELM, "{room}") }}')
    records.append(f'record(stringin, "{PREFIX}IOC:Msg") {{ field(PINI, "YES") }}')
    return "\n".join(records)


def catalogue(count: int, with_readback: int) -> str:
    pvs = []
    for index, name in enumerate(setpoints(count)):
        device = name.rpartition(":")[0]
        config: dict[str, Any] = {"tolerance": 0.005, "settle": 5.0}
        if index < with_readback:
            config["readback"] = f"{name}_RBV"
        if name.endswith(":V"):
            config |= {"after": [f"{device}:{other}" for other in NAMES[:-1]], "lower_first": [f"{device}:Max"]}
        pvs.append({"name": name, "kind": "setpoint", "type": "double", "units": "V", "precision": 2, "config": config})
    return json.dumps({"version": 1, "pvs": pvs})


def say(**seconds: float) -> None:
    print(json.dumps(seconds), flush=True)


async def ours(count: int, puts: int) -> None:
    from dataclasses import replace

    from db.database import Database
    from db.who import Who
    from iocs.runkey.journal import SqlJournal, on
    from iocs.runkey.stand import Stand
    from owlshift.ca import Client

    wanted = set(setpoints(puts))
    with tempfile.TemporaryDirectory() as folder:
        database = Database.open(f"sqlite:///{folder}/staging.sqlite")
        start = time.perf_counter()
        async with Client(metadata=False) as client:
            stand = Stand(client, {"BENCH": PREFIX}, timeout=TIMEOUT)
            snapshot = await stand.snapshot()
            first = time.perf_counter()
            assert snapshot.count == count, snapshot.unread
            await stand.snapshot()
            again = time.perf_counter()
            settings = [
                replace(one, value=one.value + STEP) if one.pv in wanted and isinstance(one.value, float) else one
                for one in snapshot.settings["BENCH"]
            ]
            begin = time.perf_counter()
            scope = await stand.plan(settings)
            planned = time.perf_counter()
            assert len(scope.plan.puts) == puts and len(scope.plan.levels) == 2, scope.plan.as_text(10)
            journal = SqlJournal(on(database), "bench", "0" * 32, bytes(32), Who("bench", "here"))
            outcome = await stand.apply(scope, journal)
            end = time.perf_counter()
            assert outcome.state == "applied", outcome.report[:2000]
        database.close()
    say(snapshot=first - start, again=again - first, plan=planned - begin, apply=end - planned)


async def with_aioca(count: int, puts: int) -> None:
    from aioca import FORMAT_TIME, caget, caput, purge_channel_caches

    get: Any = caget
    names = setpoints(count)
    start = time.perf_counter()
    values = await get(names, format=FORMAT_TIME, timeout=TIMEOUT)
    first = time.perf_counter()
    await get(names, format=FORMAT_TIME, timeout=TIMEOUT)
    again = time.perf_counter()
    wanted = [float(value) + STEP for value in values[:puts]]
    await caput(names[:puts], wanted, wait=True, timeout=TIMEOUT)
    back = await get([f"{name}_RBV" for name in names[:puts]], timeout=TIMEOUT)
    end = time.perf_counter()
    assert all(abs(a - b) < 0.005 for a, b in zip(back, wanted, strict=True))
    say(snapshot=first - start, again=again - first, apply=end - again)
    purge_channel_caches()


def with_pyepics(count: int, puts: int) -> None:
    from epics import PV, ca
    from epics.ca import poll

    names = setpoints(count)
    start = time.perf_counter()
    pvs = [PV(name, auto_monitor=False, form="time") for name in names]
    while not all(pv.connected for pv in pvs):
        poll()

    def read(channels: list[PV]) -> list[Any]:
        # as epics.caget_many does: ask all, then wait for each
        for pv in channels:
            ca.get(pv.chid, wait=False, ftype=pv.ftype)
        return [ca.get_complete(pv.chid, ftype=pv.ftype, timeout=TIMEOUT) for pv in channels]

    values = read(pvs)
    first = time.perf_counter()
    read(pvs)
    again = time.perf_counter()
    wanted = [value + STEP for value in values[:puts]]
    for pv, value in zip(pvs[:puts], wanted, strict=True):
        pv.put(value, use_complete=True)
    while not all(pv.put_complete for pv in pvs[:puts]):
        poll()
    backs = [PV(f"{name}_RBV", auto_monitor=False) for name in names[:puts]]
    while not all(pv.connected for pv in backs):
        poll()
    back = read(backs)
    end = time.perf_counter()
    assert all(abs(a - b) < 0.005 for a, b in zip(back, wanted, strict=True))
    say(snapshot=first - start, again=again - first, apply=end - again)


def child(kind: str, count: int, puts: int) -> None:
    if kind == "ours":
        asyncio.run(ours(count, puts))
    elif kind == "aioca":
        asyncio.run(with_aioca(count, puts))
    else:
        with_pyepics(count, puts)


async def load_catalogue(count: int, puts: int, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    from owlshift.ca import Client

    async with Client(metadata=False) as client:
        await client.put(f"{PREFIX}IOC:Catalogue", catalogue(count, puts), timeout=TIMEOUT)


def main() -> None:
    """Run all three and print what they took, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pvs", type=int, default=10_000)
    parser.add_argument("--puts", type=int, default=1_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.pvs, options.puts)
        return
    kinds = ("ours", "aioca", "pyepics")
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    with CIoc(database(options.pvs, options.puts)) as ioc:
        asyncio.run(load_catalogue(options.pvs, options.puts, ioc.environment))
        for _ in range(options.repeat):
            for kind in kinds:
                argv = [sys.executable, __file__, "--child", kind, "--pvs", str(options.pvs), "--puts",
                        str(options.puts)]  # fmt: skip
                result = subprocess.run(
                    argv, env={**os.environ, **ioc.environment}, capture_output=True, text=True, check=False
                )
                if result.returncode:
                    raise SystemExit(f"{kind} failed:\n{result.stdout}{result.stderr}")
                found[kind].append(json.loads(result.stdout.splitlines()[-1]))
    show(found, options.pvs, options.puts)


def show(found: dict[str, list[dict[str, float]]], pvs: int, puts: int) -> None:
    """The table: medians, and how many times as long as ours."""

    def median(kind: str, what: str) -> float | None:
        values = [one[what] for one in found[kind] if what in one]
        return statistics.median(values) if values else None

    lines = {
        "snapshot": (f"snapshot of {pvs} PVs with search and connection", 2.0),
        "again": ("the same again, connected", None),
        "plan": ("plan: catalogue, all values, what differs, what blocks", None),
        "apply": (f"apply of {puts} puts, completed and read back", 3.0),
    }
    title = f"median of {len(found['ours'])} runs, seconds"
    print(f"{title:58} {'wanted':>7} {'ours':>7} {'aioca':>15} {'pyepics':>15}")
    for what, (text, wanted) in lines.items():
        mine = median("ours", what)
        if mine is None:
            continue
        row = f"{text:58} {f'< {wanted:g}' if wanted else '':>7} {mine:7.3f}"
        for kind in ("aioca", "pyepics"):
            other = median(kind, what)
            row += f" {other:7.3f} ({other / mine:4.1f}x)" if other is not None else " " * 16
        print(row)


if __name__ == "__main__":
    main()
