"""Bytes that one archived sample takes on disk, by kind of signal and of time stamps, before and after merging.

    python benchmarks/archive_size.py [--pvs 40] [--hours 2] [--rate 10]

All files count: samples, indexes, summaries. Each signal goes through the log into segments as in the engine, and is
then merged as after the end of its month. Limits: 6 bytes on smooth signals, 9 on noisy ones, 2 on mostly constant ones
(the Archiver Appliance: 17 to 21). Time stamps are of three kinds:

- `timing`: a timing system's, on a raster to the nanosecond;
- `C IOC`: like those that a C IOC on this machine gives to a scan, measured first (see `ioc_stamps.py`);
- `jitter`: a normal distribution of 1 ms, of what polls devices over a network.

No lossless code can keep stamps in less than what is random in them: that is the column `entropy`, in bytes, by the
spread of the steps from one stamp to the next.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from ioc_stamps import Stamps, measure

from archiver.store import Columns, Dbr, StoreReader, StoreWriter

START = 1_700_006_400 * 10**9
CHUNK = 120
"""Seconds between two logs."""

Signal = Callable[[np.random.Generator, np.ndarray], np.ndarray]
"""Values of all PVs at their times: [scans, PVs] of both."""


def _walk(rng: np.random.Generator, when: np.ndarray) -> np.ndarray:
    """A temperature: a swing of an hour, and drifts of some minutes."""
    phase = np.arange(when.shape[1]) * 0.7
    hours = when / 3600e9
    return 21 + np.sin(2 * np.pi * hours + phase) + 0.1 * np.sin(2 * np.pi * hours * 17 + phase * 3)


def _step(rng: np.random.Generator, when: np.ndarray) -> np.ndarray:
    return np.floor(when / 60e9 + np.arange(when.shape[1])) % 7


def _spread(rng: np.random.Generator, when: np.ndarray) -> np.ndarray:
    return 1500 + rng.normal(0, 0.3, when.shape)


LIMITS = {"smooth": 6.0, "noisy": 9.0, "constant": 2.0}

SIGNALS: list[tuple[str, str, Signal]] = [
    ("smooth", "0.01 degC as text of a device", lambda rng, t: np.round(_walk(rng, t), 2)),
    ("smooth", "16-bit ADC, +-10 V", lambda rng, t: np.round(_walk(rng, t) / 3 * 3276.8) / 3276.8),
    ("smooth", "24-bit ADC, +-10 V", lambda rng, t: np.round(_walk(rng, t) / 3 * 838860.8) / 838860.8),
    ("smooth", "float device (24 bits)", lambda rng, t: _walk(rng, t).astype("f4").astype("f8")),
    ("smooth", "computed, all 53 bits (worst case)", _walk),
    ("noisy", "rounded to 0.1", lambda rng, t: np.round(_spread(rng, t), 1)),
    ("noisy", "16-bit ADC, 10 counts", lambda rng, t: np.round((5 + rng.normal(0, 0.003, t.shape)) * 3276.8) / 3276.8),
    ("noisy", "float device (24 bits)", lambda rng, t: _spread(rng, t).astype("f4").astype("f8")),
    ("noisy", "all 53 bits random (worst case)", _spread),
    ("constant", "a step a minute", _step),
    ("constant", "nothing changes", lambda rng, t: np.full(t.shape, 1234.5)),
]


def size_of(folder: Path) -> int:
    """Bytes of all files of segments."""
    return sum(path.stat().st_size for path in (folder / "segments").glob("*/*"))


def stamps_of(kind: str, rng: np.random.Generator, stamps: Stamps, start: int, scans: int, pvs: int, rate: float):
    """Stamps of all PVs: i8[scans, PVs]."""
    period = int(1e9 / rate)
    if kind == "C IOC":
        # what is late doesn't know how often it is asked for
        when = stamps.times(rng, 0, scans, pvs)
        return when + start + (np.arange(scans) * (period - 10**8))[:, None]
    raster = start + np.arange(scans)[:, None] * period + np.zeros((1, pvs), np.int64)
    return raster if kind == "timing" else raster + rng.normal(0, 1e6, raster.shape).astype(np.int64)


def entropy(when: np.ndarray) -> float:
    """Bytes of a stamp that nothing can predict: those of its step's distribution, binned to its own spread."""
    steps = np.diff(when, axis=0).reshape(-1)
    low, high = np.percentile(steps, [1, 99])
    if high <= low:
        return 0.0
    width = (high - low) / 200
    counts = np.histogram(steps, bins=np.arange(steps.min(), steps.max() + 2 * width, width))[0]
    share = counts[counts > 0] / len(steps)
    return float(-(share * np.log2(share)).sum() + np.log2(max(width, 1))) / 8


def columns_size(folder: Path) -> dict[str, int]:
    """Bytes of each column of the samples."""
    total: dict[str, int] = {}
    for path in (folder / "segments").glob("*/*.parquet"):
        if path.name.count(".") > 1:
            total["summaries"] = total.get("summaries", 0) + path.stat().st_size
            continue
        meta = pq.ParquetFile(path).metadata
        for group in range(meta.num_row_groups):
            for number in range(meta.num_columns):
                column = meta.row_group(group).column(number)
                name = column.path_in_schema.split(".")[0]
                total[name] = total.get(name, 0) + column.total_compressed_size
    return total


def run(
    signal: Signal, kind: str, stamps: Stamps, pvs: int, seconds: int, rate: float, folder: Path
) -> tuple[float, float, dict[str, float], float, float]:
    """Bytes a sample before and after the merge, by column after it, the stamps' entropy, ms to read a PV-hour."""
    rng = np.random.default_rng(1)
    writer = StoreWriter(folder)
    writer.open()
    pv = np.array(list(writer.add_pvs([f"SIZE:{i:05d}" for i in range(pvs)]).values()), np.uint32)
    zero = np.zeros(pvs, np.uint8)
    when = stamps_of(kind, rng, stamps, START, int(seconds * rate), pvs, rate)
    values = signal(rng, when)
    each = int(CHUNK * rate)
    for start in range(0, len(when), each):
        for row in range(start, min(start + each, len(when))):
            writer.append(Columns(Dbr.DOUBLE, False, pv, when[row], zero, zero, values[row]))
        writer.roll()
        writer.convert_next()
    rows = sum(segment.rows for segment in writer.manifest.segments)
    before = size_of(folder) / rows
    while writer.compact_next(today=int(time.time() // 86400) + 400):
        pass
    after = size_of(folder) / rows
    by_column = {name: size / rows for name, size in columns_size(folder).items()}
    writer.close()
    reader = StoreReader(folder)
    end = int(when.max())
    best, found = 1e9, 0
    for number in range(7):
        begin = time.perf_counter()
        found = sum(len(piece) for piece in reader.read(f"SIZE:{number * 7 % pvs:05d}", end - 3600 * 10**9, end))
        best = min(best, time.perf_counter() - begin)
    reader.close()
    if found < min(seconds, 3600) * rate * 0.99:
        raise RuntimeError(f"only {found} samples read")
    return before, after, by_column, entropy(when), best * 1e3


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pvs", type=int, default=40)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--rate", type=float, default=10.0, help="Hz")
    options = parser.parse_args()
    seconds = max(CHUNK, int(options.hours * 3600) // CHUNK * CHUNK)
    stamps = measure()
    print(
        f"{options.pvs} PVs at {options.rate:g} Hz for {seconds / 3600:.2f} h: "
        f"{int(options.pvs * seconds * options.rate):,} samples; bytes a sample"
    )
    print(
        f"{'signal':44} {'stamps':7} {'unmerged':>8} {'merged':>7} {'limit':>6}      "
        f"{'time':>5} {'(entropy)':>9} {'value':>6} {'summaries':>9}  a PV-hour"
    )
    for group, name, signal in SIGNALS:
        for kind in ("timing", "C IOC", "jitter"):
            with tempfile.TemporaryDirectory(prefix="owl-size-") as folder:
                before, after, columns, floor, milliseconds = run(
                    signal, kind, stamps, options.pvs, seconds, options.rate, Path(folder)
                )
            verdict = "ok  " if after <= LIMITS[group] else "OVER"
            print(
                f"{group + ': ' + name:44} {kind:7} {before:8.2f} {after:7.2f} {LIMITS[group]:6.0f} {verdict} "
                f"{columns['time']:5.2f} {floor:9.2f} {columns['value']:6.2f} {columns.get('summaries', 0):9.2f}  "
                f"{milliseconds:.1f} ms",
                flush=True,
            )


if __name__ == "__main__":
    main()
