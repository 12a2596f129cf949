"""How much Channel Access traffic the archive takes, everything durable on disk, and what an event costs.

    python benchmarks/archive_ingest.py                a C IOC, 10,000 counters at 10 Hz, against the peers' decoding
    python benchmarks/archive_ingest.py --max          the largest rate without a loss: C IOCs, and a replayed stream

An event that is lost is a gap in a counter: gaps are looked for in what was read back from the archive's files.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from archive_bench import EngineRun, Stored, check_counters, finish
from c_ioc import CIoc, counter_database, counter_names
from ca_ingest import PREFIX, child
from ports import free_port

PEERS = ("pyepics", "aioca", "caproto")
REACH = 15


def one_ioc(records: int, seconds: float) -> tuple[float, Stored]:
    """CPU seconds an event of the engine, with a C IOC at 10 Hz, and what it stored."""
    with tempfile.TemporaryDirectory(prefix="owl-archive-") as name, CIoc(counter_database("B:", records)) as ioc:
        with EngineRun(Path(name), [ioc.port], counter_names("B:", records), "roll_interval = 5") as engine:
            engine.wait_for(lambda: engine.status().get("connected") == records, "all channels", 120)
            time.sleep(3)
            before, cpu = engine.fresh_status(), engine.cpu_seconds()
            time.sleep(seconds)
            after, cpu_after = engine.fresh_status(), engine.cpu_seconds()
            memory = engine.memory()
            engine.stop()
            cpu_all = cpu_after - cpu
        totals = finish(engine.archive)
        stored = check_counters(engine.archive)
    events = after["received"] - before["received"]
    span = after["updated"] - before["updated"]
    cost = cpu_all / events
    print(f"archive: {events / span:,.0f} events/s for {span:.0f} s, {cost * 1e6:.2f} us CPU an event", end=", ")
    print(f"{cpu_all / span:.1%} of a core, {memory / 2**20:.0f} MiB")
    report(stored, totals)
    return cost, stored


def compare(cost: float, records: int, seconds: float) -> None:
    """Print what the peers need only to decode the same events, and the ratio."""
    costs: dict[str, float] = {}
    for peer in PEERS:
        with CIoc(counter_database(PREFIX, records)) as ioc:
            try:
                arguments = ["--run", peer, "--records", str(records), "--seconds", str(seconds)]
                found = child(arguments, ioc.environment, 120 + 4 * seconds)
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                print(f"{peer}: failed: {str(error).strip().splitlines()[-1]}")
                continue
        if not found["events"]:
            print(f"{peer}: no events at all")
            continue
        costs[peer] = found["cpu"] / found["events"]
        print(
            f"{peer}: {found['events'] / found['elapsed']:,.0f} events/s, {costs[peer] * 1e6:.2f} us CPU an event",
            end=", ",
        )
        print(f"{found['lost']:.0f} lost (decoding only, nothing stored)")
    if costs:
        best = min(costs, key=costs.__getitem__)
        print(
            f"the archive spends 1/{costs[best] / cost:.0f} of the CPU of the best peer ({best}); to reach: 1/{REACH}"
        )


def report(stored: Stored, totals: dict[str, int]) -> None:
    """Print what was read back and the accounting."""
    dropped = {k.removeprefix("dropped."): n for k, n in totals.items() if k.startswith("dropped.") and n}
    closed = totals["received"] == totals["stored"] + sum(dropped.values())
    print(f"  read back: {stored.samples:,} samples of {stored.pvs:,} PVs, {stored.lost} lost, ", end="")
    print(f"{stored.bytes_per_sample:.2f} bytes a sample; dropped: {dropped or 'none'}; ", end="")
    print("received = stored + dropped" if closed else f"THE ACCOUNT DOES NOT CLOSE: {totals}")


def many_iocs(iocs: int, records: int, seconds: float) -> bool:
    """Several C IOCs at 10 Hz; True when nothing was lost."""
    running = [CIoc(counter_database(f"M{i}:", records)).start() for i in range(iocs)]
    names = [name for i in range(iocs) for name in counter_names(f"M{i}:", records)]
    try:
        with tempfile.TemporaryDirectory(prefix="owl-archive-") as folder:
            with EngineRun(Path(folder), [ioc.port for ioc in running], names, "roll_interval = 5") as engine:
                engine.wait_for(lambda: engine.status().get("connected") == len(names), "all channels", 240)
                time.sleep(3)
                before, cpu = engine.fresh_status(), engine.cpu_seconds()
                time.sleep(seconds)
                after, cpu_after = engine.fresh_status(), engine.cpu_seconds()
                engine.stop()
            totals = finish(engine.archive)
            stored = check_counters(engine.archive)
    finally:
        for ioc in running:
            ioc.close()
    events, span = after["received"] - before["received"], after["updated"] - before["updated"]
    print(f"{iocs} C IOCs x {records:,} records at 10 Hz: {events / span:,.0f} events/s", end=", ")
    print(f"engine {(cpu_after - cpu) / span:.0%} of a core")
    report(stored, totals)
    return stored.lost == 0


def replay(rate: float, channels: int, seconds: float) -> bool:
    """A replayed stream of `rate` events/s; True when it kept pace and nothing was lost."""
    port = free_port()
    command = [sys.executable, str(Path(__file__).with_name("ca_replay.py")), str(port), "R:"]
    arguments = [str(channels), str(rate), str(seconds)]
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True) as server:
        stdout = server.stdout
        if stdout is None or stdout.readline().strip() != "ready":
            raise RuntimeError("the replay server did not start")
        try:
            with tempfile.TemporaryDirectory(prefix="owl-archive-") as folder:
                names = counter_names("R:", channels)
                with EngineRun(Path(folder), [port], names, "roll_size = 64") as engine:
                    stdout.readline()
                    cpu = engine.cpu_seconds()
                    _, sent, took, behind, paused = stdout.readline().split()
                    expected = int(sent)
                    engine.wait_for(lambda: engine.status().get("waiting") == 0, "the queue", 60)
                    cpu_after, memory = engine.cpu_seconds(), engine.memory()
                    status = engine.fresh_status()
                    engine.stop()
                totals = finish(engine.archive)
                stored = check_counters(engine.archive)
        finally:
            server.kill()
    kept_pace = float(behind) < 1.0 and paused == "0"
    complete = stored.samples == expected and stored.lost == 0
    print(f"replayed {channels:,} channels, {expected / float(took):,.0f} events/s for {float(took):.0f} s: ", end="")
    print(f"{stored.samples:,} of {expected:,} stored, ", end="")
    print(f"{(cpu_after - cpu) / expected * 1e6:.2f} us CPU an event, {memory / 2**20:.0f} MiB, ", end="")
    print(f"sender late by {float(behind):.2f} s at most{'' if paused == '0' else ', held back'}")
    print(f"  in log at the end {status['in_log']:,}, logs waiting {status['logs_waiting']}")
    report(stored, totals)
    return kept_pace and complete


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--max", action="store_true", help="look for the largest rate without a loss")
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument(
        "--rates", default="250000,500000,1000000,2000000,3000000,4000000", help="of the replay, events/s"
    )
    parser.add_argument("--no-peers", action="store_true", help="only the archive")
    options = parser.parse_args()
    if options.max:
        for count in (1, 2, 4):
            if not many_iocs(count, options.records, options.seconds):
                break
        best = 0.0
        for rate in (float(text) for text in options.rates.split(",")):
            if not replay(rate, options.records, options.seconds):
                break
            best = rate
        print(f"largest replayed rate without a loss: {best:,.0f} events/s")
        return
    cost, _ = one_ioc(options.records, options.seconds)
    if not options.no_peers:
        compare(cost, options.records, min(options.seconds, 10.0))


if __name__ == "__main__":
    main()
