"""Many slow PVs: what 100,000 PVs at 0.1 Hz cost, and how soon a restarted engine stores the first sample of them.

    python benchmarks/archive_many.py                    4 C IOCs of 25,000 records, 10 minutes
    python benchmarks/archive_many.py --minutes 1        a short look
    python benchmarks/archive_many.py --scan 1           ten times the rate; the limits are for the above

The PVs are asked for in one request to the ledger, as a person's bulk request is. Measured after all are connected and
their metadata read, over --minutes; a part of the start, the reading of descriptions, may still go on then.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from archive_bench import EngineRun, finish
from c_ioc import CIoc, counter_database, counter_names

from archiver.management.ledger import Identity, Ledger

CPU_LIMIT = 0.15
"""Of one core."""
MEMORY_LIMIT = 1.5 * 2**30
RESTART_LIMIT = 20.0
"""Seconds from the start of the process to the first stored sample."""


def line(what: str, measured: str, limit: str, good: bool) -> str:
    """One row of the table."""
    return f"{what:<44} {measured:>14} {limit:>14}   {'ok' if good else 'MISSED'}"


class Run(EngineRun):
    """An engine whose log is watched, to see when the first sample of this run is in it."""

    def stored_now(self) -> bool:
        """Whether the present log holds samples: it is larger than a log that just began."""
        logs = sorted((self.archive / "wal").glob("*.log"))
        return bool(logs) and logs[-1].stat().st_mtime > self.began and logs[-1].stat().st_size > 4096

    def __enter__(self) -> Run:
        self.began = time.time()
        super().__enter__()
        return self


def start_times(engine: Run, began: float, pvs: int) -> tuple[float, float]:
    """Seconds from `began` to the first sample in the log, and to the last connection."""
    engine.wait_for(lambda: engine.stored_now(), "the first sample", 300)
    first = time.monotonic() - began
    engine.wait_for(lambda: engine.status().get("connected") == pvs, "all channels", 600)
    return first, time.monotonic() - began


def measure(engine: Run, minutes: float) -> tuple[float, int, float, int]:
    """CPU as a part of a core, resident bytes, events/s, samples lost for want of room."""
    before, cpu, then = engine.fresh_status(), engine.cpu_seconds(), time.monotonic()
    time.sleep(minutes * 60)
    after, spent, now = engine.fresh_status(), engine.cpu_seconds(), time.monotonic()
    lost = sum(after["dropped"][why] - before["dropped"][why] for why in ("overflow", "disk_full", "unwritable"))
    rate = (after["received"] - before["received"]) / (after["updated"] - before["updated"])
    return (spent - cpu) / (now - then), engine.memory(), rate, lost


def main() -> int:
    """Run it and print the table; 1 when a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pvs", type=int, default=100_000)
    parser.add_argument("--iocs", type=int, default=4)
    parser.add_argument(
        "--scan", type=float, default=10.0, choices=[10, 5, 2, 1], help="seconds between events of a PV"
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--settle", type=float, default=20.0, help="seconds between all connected and the measurement")
    options = parser.parse_args()
    each = options.pvs // options.iocs
    pvs = each * options.iocs
    iocs = [CIoc(counter_database(f"N{i}:", each, f"{options.scan:g} second")) for i in range(options.iocs)]
    names = [name for i in range(options.iocs) for name in counter_names(f"N{i}:", each)]
    try:
        for ioc in iocs:
            ioc.start(300)
        with tempfile.TemporaryDirectory(prefix="owl-archive-") as folder:
            print(f"{pvs:,} PVs of {options.iocs} C IOCs at {1 / options.scan:g} Hz, ", end="")
            print(f"measured for {options.minutes:g} minutes", flush=True)
            return run(Path(folder), [ioc.port for ioc in iocs], names, pvs, options.minutes, options.settle)
    finally:
        for ioc in iocs:
            ioc.close()


def run(folder: Path, ports: list[int], names: list[str], pvs: int, minutes: float, settle: float) -> int:
    """Start, measure, restart, and print."""
    with Run(folder, ports, []) as engine:
        ledger = Ledger(engine.archive / "manage.db")
        began = time.monotonic()
        ledger.request(names, Identity("benchmark"))
        ledger.close()
        asked = time.monotonic() - began
        first, all_there = start_times(engine, began, pvs)
        began_cpu = engine.cpu_seconds()
        print(f"one request of {pvs:,} PVs took {asked:.1f} s; first sample after {first:.1f} s, ", end="")
        print(f"all connected after {all_there:.1f} s, {began_cpu:.1f} s of CPU", flush=True)
        time.sleep(settle)
        cpu, memory, rate, lost = measure(engine, minutes)
        engine.stop()
    began = time.monotonic()
    with Run(folder, ports, []) as engine:
        ready = time.monotonic() - began
        again, all_again = start_times(engine, began, pvs)
        start_cpu = engine.cpu_seconds()
        engine.stop()
    totals = finish(engine.archive)
    closed = totals["received"] == totals["stored"] + sum(n for k, n in totals.items() if k.startswith("dropped."))
    print(f"restart: ready after {ready:.1f} s, all connected after {all_again:.1f} s, {start_cpu:.1f} s of CPU")
    print(f"{rate:,.0f} events/s, {totals['stored']:,} samples stored")
    good = [cpu < CPU_LIMIT, memory < MEMORY_LIMIT, again < RESTART_LIMIT, lost == 0 and closed]
    print(f"{'':<44} {'measured':>14} {'limit':>14}")
    print(line("CPU, of one core", f"{cpu:.1%}", f"< {CPU_LIMIT:.0%}", good[0]))
    print(line("resident memory", f"{memory / 2**20:,.0f} MiB", f"< {MEMORY_LIMIT / 2**20:,.0f} MiB", good[1]))
    print(line("restart to the first stored sample", f"{again:.1f} s", f"< {RESTART_LIMIT:.0f} s", good[2]))
    print(line("samples lost, or not accounted for", f"{lost:,}" if closed else "?", "0", good[3]))
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
