"""Kill the engine again and again under load, fill its disk, let viewers read all the while: does the account close?

    python benchmarks/archive_torture.py [--kills 200] [--records 2000] [--viewers 20]

A C IOC counts up in `records` records at 10 Hz, so the archive shows by itself what it lacks: a step of more than one
between two samples of a PV. Such a step is right only where the engine was dead, from a kill (less the log's tick) to
the first event after the next start, or where the disk was full and the engine counted what it dropped, or had asked
the IOC to hold events back (which then sends the newest alone). Everything else is a loss that nobody counted.
Viewers ask retrieval for samples without a pause, and in each answer times and counts must ascend. As root, the
archive lies on a file system of its own, which is full for some seconds every tenth round.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from archive_bench import EngineRun, finish
from c_ioc import CIoc, counter_database, counter_names
from ports import free_port

from archiver.store import StoreReader

PREFIX = "T:"
RATE = 10
NS = 10**9
DISK_MIB = 4096
FULL_S = 3.0
TICK_S = 0.1
"""The engine logs what waits at least so often: what a kill may take."""


@dataclass
class Story:
    """What was done to the engine, in unix seconds: kills, and when it was recording again; when the disk was full."""

    dead: list[tuple[float, float]] = field(default_factory=list)
    full: list[tuple[float, float]] = field(default_factory=list)
    held: float = 0.0
    """Seconds for which the IOC was asked to hold events back."""


@dataclass
class Views:
    """What the viewers saw."""

    answers: int = 0
    samples: int = 0
    refused: int = 0
    slowest: float = 0.0
    wrong: list[str] = field(default_factory=list)


@contextlib.contextmanager
def disk() -> Iterator[tuple[Path, bool]]:
    """A folder, on a small file system of its own where that is possible, and whether it is."""
    with tempfile.TemporaryDirectory(prefix="owl-torture-") as name:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "owl-torture", name]
        small = os.getuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0
        try:
            yield Path(name), small
        finally:
            if small:
                subprocess.run(["umount", "-l", name], check=False)


@contextlib.contextmanager
def retrieval(archive: Path) -> Iterator[str]:
    """The retrieval process over the archive; gives its base URL."""
    port = free_port()
    command = [sys.executable, "-m", "archiver.retrieval", "--folder", str(archive), "--http", f"127.0.0.1:{port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            if process.stdout is None or not process.stdout.readline().startswith("ready"):
                raise RuntimeError("retrieval did not start")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


async def view(url: str, names: list[str], views: Views, stop: threading.Event, seed: int) -> None:
    """One viewer: random PVs, random windows up to now."""
    dice = random.Random(seed)
    async with httpx.AsyncClient(base_url=url, timeout=120) as client:
        while not stop.is_set():
            name, span = dice.choice(names), dice.choice((10, 60, 600))
            now = time.time()
            query = {"pv": name, "from": _iso(now - span), "to": _iso(now)}
            begun = time.monotonic()
            answer = await client.get("/retrieval/data/getData.json", params=query)
            views.slowest = max(views.slowest, time.monotonic() - begun)
            if answer.status_code != 200:
                views.refused += 1
                await asyncio.sleep(0.2)
                continue
            data = answer.json()[0]["data"]
            times = [d["secs"] * NS + d["nanos"] for d in data]
            values = [d["val"] for d in data]
            views.answers += 1
            views.samples += len(data)
            if any(b <= a for a, b in itertools.pairwise(times)):
                views.wrong.append(f"{name}: times do not ascend")
            if any(b <= a for a, b in itertools.pairwise(values)):
                views.wrong.append(f"{name}: counts do not ascend")
            await asyncio.sleep(0.05)


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1000):03d}Z"


@contextlib.contextmanager
def viewers(url: str, names: list[str], count: int) -> Iterator[Views]:
    """`count` viewers in a thread."""
    views, stop = Views(), threading.Event()

    async def all_of_them() -> None:
        await asyncio.gather(*(view(url, names, views, stop, seed) for seed in range(count)))

    failed: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(all_of_them())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield views
    finally:
        stop.set()
        thread.join()
    if failed:
        raise failed[0]


def torture(options: argparse.Namespace, folder: Path, small: bool) -> tuple[Story, Views, dict[str, int]]:
    """Rounds of life and death; returns what was done, what viewers saw, and the archive's totals."""
    dice = random.Random(options.seed)
    names = counter_names(PREFIX, options.records)
    story = Story()
    with CIoc(counter_database(PREFIX, options.records)) as ioc:
        extra = 'roll_interval = 3\nroll_size = 8\nqueue = 1\nsystem = ""'
        engine = EngineRun(folder, [ioc.port], names, extra)
        engine.archive.mkdir(parents=True, exist_ok=True)
        with retrieval(engine.archive) as url, viewers(url, names, options.viewers) as views:
            killed: float | None = None
            for number in range(options.kills + 1):
                with engine:
                    engine.wait_for(
                        lambda: (
                            engine.status().get("pid") == engine.process.pid
                            and engine.status().get("connected") == options.records
                        ),
                        "all channels",
                        120,
                    )
                    engine.fresh_status()
                    if killed is not None:
                        story.dead.append((killed, time.time()))
                    if small and number % 10 == 5:
                        fill_up(engine, story)
                    time.sleep(dice.uniform(0.1, 3.0))
                    if number == options.kills:
                        time.sleep(2)
                        engine.stop()
                    else:
                        killed = time.time()
                        engine.process.kill()
                        engine.process.wait()
                print(f"\r  {number} kills, {views.answers} answers", end="", flush=True)
            print()
        totals = finish(engine.archive)
    story.held = held_back(engine.log)
    return story, views, totals


def held_back(log: list[str]) -> float:
    """Seconds between lines of the engine's log that say that servers hold back, and that they may send again."""
    seconds, since = 0.0, None
    for line in log:
        if "asked to hold back" in line:
            since = _log_time(line)
        elif line.startswith("ready"):  # after a kill
            since = None
        elif "servers may send" in line and since is not None:
            seconds, since = seconds + _log_time(line) - since, None
    return seconds


def _log_time(line: str) -> float:
    return time.mktime(time.strptime(line[:19], "%Y-%m-%d %H:%M:%S")) + int(line[20:23]) / 1000


def fill_up(engine: EngineRun, story: Story) -> None:
    """No byte is left on the archive's file system for some seconds."""
    ballast = engine.folder / "ballast"
    begun = time.time()
    with open(ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1 << 20))
    time.sleep(FULL_S)
    ballast.unlink()
    engine.wait_for(lambda: engine.status().get("state") == "recording", "the engine to go on", 60)
    story.full.append((begun, time.time()))


def judge(archive: Path, names: list[str], story: Story, totals: dict[str, int]) -> bool:
    """Look at every step of every counter; True when all are explained and the account closes."""
    reader = StoreReader(archive)
    samples = missing = unexplained = repeated = 0
    worst = 0.0
    dead = np.array(story.dead or [(0.0, 0.0)]) * NS
    full = np.array(story.full or [(0.0, 0.0)]) * NS
    overflow = 0
    for name in names:
        pieces = list(reader.read(name, 0, 2**62))
        time_ns = np.concatenate([piece.time_ns for piece in pieces])
        values = np.concatenate([piece.values for piece in pieces])
        samples += len(values)
        steps = np.diff(values).astype(int)
        repeated += int(np.count_nonzero(steps < 1))
        for place in np.flatnonzero(steps > 1):
            lost = int(steps[place]) - 1
            missing += lost
            begin, end = int(time_ns[place]), int(time_ns[place + 1])
            over = (dead[:, 0] < end) & (dead[:, 1] > begin)
            if over.any():
                worst = max(worst, float(dead[over][0, 0] - begin) / NS)
            elif ((full[:, 0] < end) & (full[:, 1] > begin)).any():
                overflow += lost
            else:
                unexplained += lost
    dropped = {k.removeprefix("dropped."): n for k, n in totals.items() if k.startswith("dropped.") and n}
    closed = totals["received"] == totals["stored"] + sum(dropped.values()) and totals["stored"] == samples
    counted = dropped.get("disk_full", 0) + dropped.get("overflow", 0) + dropped.get("unwritable", 0)
    print(f"  {samples:,} samples of {len(names):,} PVs stored, counts going back: {repeated}")
    print(f"  received {totals['received']:,} = stored {totals['stored']:,} + dropped {dropped or 'none'}: ", end="")
    print("closes" if closed else "DOES NOT CLOSE")
    print(
        f"  not there: {missing:,}, of these while the engine was dead {missing - overflow - unexplained:,}, ", end=""
    )
    print(f"while the disk was full {overflow:,} (counted as dropped: {counted:,}), without a reason {unexplained:,}")
    left_out = int((story.held + TICK_S) * RATE * len(names)) if story.held else 0
    print(f"  the IOC was held back for {story.held:.1f} s, and may have left out {left_out:,}")
    print(
        f"  the last sample before a kill was {worst:.2f} s older than it at most (10 Hz: 0.1 s; log tick {TICK_S} s)"
    )
    return closed and not unexplained and not repeated and overflow <= counted + left_out


def main() -> int:
    """Run it; exit code 0 when everything is accounted for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--records", type=int, default=2000)
    parser.add_argument("--viewers", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with disk() as (folder, small):
        print(f"{options.kills} kills at {options.records * RATE:,} events/s with {options.viewers} viewers", end="")
        print(f", a disk of {DISK_MIB} MiB that is full at times" if small else "; no disk of its own (not root)")
        story, views, totals = torture(options, folder, small)
        archive = folder / "state" / "archive"
        good = judge(archive, counter_names(PREFIX, options.records), story, totals)
    print(f"  viewers: {views.answers:,} answers, {views.samples:,} samples, {views.refused} refused, ", end="")
    print(f"slowest {views.slowest:.1f} s, {len(views.wrong)} wrong {views.wrong[:3] or ''}")
    good = good and not views.wrong
    print("every sample is accounted for" if good else "NOT EVERY SAMPLE IS ACCOUNTED FOR")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
