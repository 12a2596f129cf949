"""An IOC under the highest load it takes while twenty clients connect and vanish: does it live, is its memory flat?

    python benchmarks/ioc_stability.py [--minutes 10] [--pvs 100] [--rate 0] [--kind publish]

The IOC process gives its PVs new values as fast as its loop turns (`--rate` for less). The clients, each subscribed to
all PVs: eight stay for up to two seconds and leave, every second one by RST; six are processes that read and are
SIGKILLed; four never read and leave after up to twenty seconds; two stay and read all the time, and the longest pause
that one of them sees is printed. `--kind stock` does the same to the stock caproto server.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from ca_raw_client import subscribe
from ioc_server_child import pv_names
from ports import free_port

FLAT = 0.5
"""MiB a minute: less is flat."""
READER = """
import sys
sys.path.insert(0, {folder!r})
from ca_raw_client import count_events, subscribe
count_events(subscribe({port}, {names!r}))
"""


class Crowd:
    """The clients, as threads, and what they saw."""

    def __init__(self, port: int, pvs: int) -> None:
        self.port, self.names = port, pv_names(pvs)
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.connects = self.refused = self.received = 0
        self.longest_pause = 0.0
        self.threads = [
            *[threading.Thread(target=self._leaving, args=(n % 2 == 0,)) for n in range(8)],
            *[threading.Thread(target=self._killed) for _ in range(6)],
            *[threading.Thread(target=self._stalled) for _ in range(4)],
            *[threading.Thread(target=self._steady) for _ in range(2)],
        ]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def end(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(40)

    def _connect(self) -> socket.socket | None:
        try:
            sock = subscribe(self.port, self.names)
        except OSError:
            self.refused += 1
            self.stop.wait(0.5)
            return None
        with self.lock:
            self.connects += 1
        return sock

    def _read_for(self, sock: socket.socket, seconds: float) -> None:
        buffer, end = bytearray(1 << 18), time.monotonic() + seconds
        while time.monotonic() < end and not self.stop.is_set():
            if not sock.recv_into(buffer):
                return

    def _leaving(self, by_reset: bool) -> None:
        while not self.stop.is_set():
            sock = self._connect()
            if sock is None:
                continue
            with sock:
                try:
                    self._read_for(sock, random.uniform(0, 2))
                except OSError:
                    self.refused += 1
                if by_reset:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _killed(self) -> None:
        code = READER.format(folder=str(Path(__file__).resolve().parent), port=self.port, names=self.names)
        while not self.stop.is_set():
            with subprocess.Popen([sys.executable, "-S", "-c", code], stderr=subprocess.DEVNULL) as process:
                self.stop.wait(random.uniform(1, 10))
                process.kill()
            with self.lock:
                self.connects += 1

    def _stalled(self) -> None:
        while not self.stop.is_set():
            sock = self._connect()
            if sock is None:
                continue
            with sock:
                self.stop.wait(random.uniform(0, 20))
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _steady(self) -> None:
        buffer = bytearray(1 << 18)
        while not self.stop.is_set():
            sock = self._connect()
            if sock is None:
                continue
            with sock:
                last = time.monotonic()
                try:
                    while not self.stop.is_set() and (count := sock.recv_into(buffer)):
                        now = time.monotonic()
                        with self.lock:
                            self.received += count
                            self.longest_pause = max(self.longest_pause, now - last)
                        last = now
                except OSError:
                    with self.lock:
                        self.longest_pause = max(self.longest_pause, time.monotonic() - last)
            if not self.stop.is_set():
                self.refused += 1


def slope(points: list[tuple[float, float]]) -> float:
    """Least-squares slope of (minutes, MiB)."""
    if len(points) < 2:
        return 0.0
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--pvs", type=int, default=100)
    parser.add_argument("--rate", type=float, default=0.0, help="changes a second; 0: as many as it can")
    parser.add_argument("--kind", choices=("publish", "write", "stock"), default="publish")
    options = parser.parse_args()
    child = Path(__file__).resolve().parent / "ioc_server_child.py"
    seconds = options.minutes * 60
    step = max(1.0, min(10.0, seconds / 20))
    argv = [sys.executable, str(child), options.kind, str(free_port())]
    argv += [str(options.pvs), str(options.rate), str(seconds), str(step)]
    points: list[tuple[float, float]] = []
    report: dict[str, float] = {}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        if process.stdout is None:
            raise RuntimeError("no output of the IOC")
        crowd = Crowd(int(process.stdout.readline().split()[1]), options.pvs)
        crowd.start()
        before = (0.0, 0, 0)
        for line in process.stdout:
            report = json.loads(line)
            now = (report["seconds"], report["updates"], report["sent"] or 0)
            if now[0] - before[0] < 0.5 * step:
                continue
            took = now[0] - before[0]
            points.append((report["seconds"] / 60, report["rss_mib"]))
            print(
                f"{report['seconds']:6.0f} s  RSS {report['rss_mib']:6.1f} MiB"
                f"  changes {(now[1] - before[1]) / took:8.0f}/s  events sent {(now[2] - before[2]) / took:9.0f}/s"
                f"  clients {report['clients']}  connects {crowd.connects}"
                f"  merged {report['dropped']}  longest pause {crowd.longest_pause:.2f} s",
                flush=True,
            )
            before = now
            if now[0] >= 0.99 * seconds:
                crowd.stop.set()
        crowd.end()
    lived = bool(report) and not report["died"] and report["seconds"] >= 0.99 * seconds
    warm = [p for p in points if p[0] > 0.2 * options.minutes]
    growth = slope(warm)
    print()
    print(f"{crowd.connects} connections, {crowd.refused} of them refused or cut, IOC {'lived' if lived else 'DIED'}")
    print(f"events to the two steady readers: {crowd.received // 40}, longest pause {crowd.longest_pause:.2f} s")
    print(f"memory after warm-up: {growth:+.2f} MiB/min, {'flat' if abs(growth) < FLAT else 'NOT FLAT'}")
    return 0 if lived and abs(growth) < FLAT else 1


if __name__ == "__main__":
    sys.exit(main())
