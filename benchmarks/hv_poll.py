"""Reading a whole line of N1470 boards: the driver's bursts against one question per value, on the same simulator.

    python benchmarks/hv_poll.py [--boards 32] [--cycles 30]

Both sides read every reading and setting of every channel and the state of every board, over one TCP connection to a
simulator in a process of its own. Printed: time per cycle (median and worst), CPU time of the reader per cycle, and the
ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from iocs.hv.driver import MEASURED, SETTINGS, BoardSpec, DeviceError, Driver, Identity, Options, Reading  # noqa: E402
from iocs.hv.protocol import PARAMETERS, Request  # noqa: E402

CHANNELS = 4
REACH = 0.5


@dataclass
class Result:
    """Times of all cycles, s, and CPU time of one, s."""

    seconds: list[float]
    cpu: float

    def line(self, what: str) -> str:
        median, worst = statistics.median(self.seconds), max(self.seconds)
        return f"{what:34s} {median * 1e3:9.1f} ms   worst {worst * 1e3:9.1f} ms   CPU {self.cpu * 1e3:8.1f} ms"


class Counter:
    """Counts whole cycles of the driver."""

    def __init__(self, boards: int, cycles: int) -> None:
        self.boards, self.cycles = boards, cycles
        self.met = 0
        self.begin = self.cpu = 0.0
        self.seconds: list[float] = []
        self.values = 0
        self.done = asyncio.Event()
        self.problem: str | None = None

    async def contact(self, board: str, identity: Identity, reading: Reading) -> None:
        self.met += 1

    async def reading(self, board: str, reading: Reading) -> None:
        self.values += sum(map(len, reading.values()))

    async def lost(self, boards: Sequence[str], error: DeviceError) -> None:
        self.problem = f"{', '.join(boards)}: {error}"
        self.done.set()

    async def cycle(self, seconds: float) -> None:
        if self.met < self.boards:
            self.begin, self.cpu, self.values = time.perf_counter(), time.process_time(), 0
            return
        self.seconds.append(seconds)
        if len(self.seconds) == self.cycles:
            self.done.set()


async def by_driver(address: str, boards: int, cycles: int) -> tuple[Result, int]:
    """Cycles of the driver, settings read in each; and the number of values per cycle."""
    counter = Counter(boards, cycles + 1)
    options = Options(period=0.0, settings_period=0.0)
    driver = Driver(lambda: address, [BoardSpec(f"B{i}", i) for i in range(boards)], counter, options)
    task = asyncio.create_task(driver.run())
    await counter.done.wait()
    cpu = time.process_time() - counter.cpu
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    if counter.problem:
        raise SystemExit(f"the driver lost a board: {counter.problem}")
    return Result(counter.seconds[1:], cpu / len(counter.seconds)), counter.values // len(counter.seconds)


async def by_value(address: str, boards: int, cycles: int) -> tuple[Result, int]:
    """One question per value, each after the answer to the one before."""
    questions = []
    for board in range(boards):
        for name in dict.fromkeys((*MEASURED, *SETTINGS)):
            channels = range(CHANNELS) if PARAMETERS[name].per_channel else (None,)
            questions += [Request(board, "MON", name, channel).encode() for channel in channels]
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    seconds = []
    cpu = time.process_time()
    for _ in range(cycles):
        start = time.perf_counter()
        for question in questions:
            writer.write(question)
            reply = (await reader.readuntil(b"\r\n")).decode("ascii").strip()
            head, _, value = reply.partition(",VAL:")
            if not head.endswith("CMD:OK"):
                raise SystemExit(f"{question!r}: {reply}")
            try:
                float(value)
            except ValueError:
                pass
        seconds.append(time.perf_counter() - start)
    cpu = time.process_time() - cpu
    writer.close()
    return Result(seconds, cpu / cycles), len(questions)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boards", type=int, default=32)
    parser.add_argument("--cycles", type=int, default=30)
    arguments = parser.parse_args()
    argv = [sys.executable, "-u", "-m", "iocs.hv.simulator_cli", "serve", "--port", "0"]
    simulator = subprocess.Popen(
        [*argv, "--boards", str(arguments.boards)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        assert simulator.stdout is not None
        address = simulator.stdout.readline().split()[1]
        fast, values = asyncio.run(by_driver(address, arguments.boards, arguments.cycles))
        slow, questions = asyncio.run(by_value(address, arguments.boards, max(2, arguments.cycles // 10)))
    finally:
        simulator.terminate()
        simulator.wait(10)
    print(f"{arguments.boards} boards x {CHANNELS} channels, {values} values a cycle, one TCP connection")
    print(fast.line("driver (CH:4, pipelined)"))
    print(slow.line(f"naive ({questions} questions in turn)"))
    median = statistics.median(fast.seconds)
    print(f"ratio {statistics.median(slow.seconds) / median:.1f}")
    print(f"a cycle under {REACH} s: {'yes' if max(fast.seconds) < REACH else 'NO'}")
    return 0 if max(fast.seconds) < REACH else 1


if __name__ == "__main__":
    raise SystemExit(main())
