"""Bytes that one archived sample takes on disk (Parquet and index), by kind of signal, and how fast a PV-hour is read.

    python benchmarks/archive_size.py [--pvs 200] [--hours 1]

Every PV comes at 10 Hz, with time stamps that jitter as those of a real IOC do (a normal distribution of 1 ms).
Each signal is written through the log into segments as the engine does, then merged as after the end of the day.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from archiver.store import Columns, Dbr, StoreReader, StoreWriter

RATE = 10
START = 1_800_000_000 * 10**9
CHUNK = 120
"""Seconds between two logs."""

Signal = Callable[[np.random.Generator, np.ndarray], np.ndarray]

SIGNALS: dict[str, Signal] = {
    "noise, every bit of the mantissa random": lambda rng, t: 1500 + rng.normal(0, 0.3, len(t)),
    "noise of a float device (24 bits)": lambda rng, t: (1500 + rng.normal(0, 0.3, len(t))).astype("f4").astype("f8"),
    "noise of a 16-bit ADC, +-10 V": lambda rng, t: np.round((5 + rng.normal(0, 0.003, len(t))) * 3276.8) / 3276.8,
    "noise rounded to 0.1": lambda rng, t: np.round(1500 + rng.normal(0, 0.3, len(t)), 1),
    "smooth (sine of 100 s)": lambda rng, t: np.sin(t * 2e-9 * np.pi / 100),
    "constant, a step a minute": lambda rng, t: np.floor(t / 60e9) % 7,
}
JITTERS = {"0.05 ms": 5e4, "1 ms": 1e6}


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in (folder / "segments").glob("*/*"))


def measure(signal: Signal, jitter: float, pvs: int, seconds: int, folder: Path) -> tuple[float, float, float]:
    """Bytes a sample before and after the merge, and ms to read an hour of one PV."""
    rng = np.random.default_rng(1)
    writer = StoreWriter(folder)
    writer.open()
    ids = writer.add_pvs([f"SIZE:{i:05d}" for i in range(pvs)])
    pv = np.array(list(ids.values()), np.uint32)
    zero = np.zeros(pvs, np.uint8)
    for chunk in range(0, seconds, CHUNK):
        for tick in range(chunk * RATE, (chunk + CHUNK) * RATE):
            when = START + tick * 10**9 // RATE + rng.normal(0, jitter, pvs).astype(np.int64)
            writer.append(Columns(Dbr.DOUBLE, False, pv, when, zero, zero, signal(rng, when)))
        writer.roll()
        writer.convert_next()
    rows = sum(segment.rows for segment in writer.manifest.segments)
    before = size_of(folder) / rows
    while writer.compact_next(today=10**6):
        pass
    after = size_of(folder) / rows
    writer.close()
    reader = StoreReader(folder)
    end = START + seconds * 10**9
    best, found = 1e9, 0
    for number in range(7):
        begin = time.perf_counter()
        found = sum(len(piece) for piece in reader.read(f"SIZE:{number * 7 % pvs:05d}", end - 3600 * 10**9, end))
        best = min(best, time.perf_counter() - begin)
    if found < min(seconds, 3600) * RATE * 0.99:
        raise RuntimeError(f"only {found} samples read")
    return before, after, best * 1e3


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pvs", type=int, default=200)
    parser.add_argument("--hours", type=float, default=1.0)
    options = parser.parse_args()
    seconds = int(options.hours * 3600) // CHUNK * CHUNK
    rows = options.pvs * seconds * RATE
    print(f"{options.pvs} PVs at {RATE} Hz for {seconds / 3600:.2f} h: {rows:,} samples")
    print(f"{'signal':42} {'jitter':>8} {'segments':>9} {'merged':>7}  a PV-hour")
    for name, signal in SIGNALS.items():
        for jitter, sigma in JITTERS.items():
            with tempfile.TemporaryDirectory(prefix="owl-size-") as folder:
                before, after, milliseconds = measure(signal, sigma, options.pvs, seconds, Path(folder))
            print(f"{name:42} {jitter:>8} {before:9.2f} {after:7.2f}  {milliseconds:.1f} ms", flush=True)


if __name__ == "__main__":
    main()
