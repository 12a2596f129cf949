"""An archive of a year, made at once: what it takes a year to archive, in the files that merging would have left.

    python benchmarks/archive_year.py FOLDER [--days 365]

- `YEAR:ADC`, `YEAR:NOISE`: 1 Hz, a quantised voltage and one with all its bits, in a segment for each month;
- `SLOW:00` to `SLOW:59`: one sample a minute, beside them;
- `FAST:10HZ`: 10 Hz for the last day;
- `MANY:00000` to `MANY:09999`: 3,200 samples each in the last days, all in one segment of 32 million rows.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from archiver.store.channels import add_index
from archiver.store.files import Layout, replace_file
from archiver.store.manifest import DAYS, MONTHS, Manifest, Segment, grow, load_channels, save_manifest
from archiver.store.produce import produce
from archiver.store.segment import Table
from archiver.store.writer import StoreWriter

START = 1_767_225_600 * 10**9
"""2026-01-01 00:00:00 UTC."""
DAY = 86400 * 10**9
MANY = 10_000
MANY_SAMPLES = 3200
SLOW = 60

Values = Callable[[np.random.Generator, np.ndarray], np.ndarray]


def adc(rng: np.random.Generator, time_ns: np.ndarray) -> np.ndarray:
    """A 16-bit ADC of +-10 V that sees a drift of an hour and 3 mV of noise."""
    volts = 5 + np.sin(time_ns * (2 * np.pi / 3600e9)) + rng.normal(0, 0.003, len(time_ns))
    return np.round(volts * 3276.8) / 3276.8


def noise(rng: np.random.Generator, time_ns: np.ndarray) -> np.ndarray:
    """Noise in every bit."""
    return 1500 + rng.normal(0, 0.3, len(time_ns))


def stamps(rng: np.random.Generator, start: int, end: int, period: int) -> np.ndarray:
    """Times of a periodic scan, each a little late."""
    when = np.arange(start, end, period)
    return when + (rng.gamma(2.0, 30e3, len(when))).astype(np.int64)


def _table(names: list[str], ids: dict[str, int], parts: list[tuple[np.ndarray, np.ndarray]]) -> Table:
    time_ns = np.concatenate([times for times, _ in parts])
    zero = np.zeros(len(time_ns), np.uint8)
    return Table(
        "double",
        np.array([ids[name] for name in names], np.uint32),
        names,
        np.array([len(times) for times, _ in parts], np.uint64),
        time_ns,
        zero,
        zero,
        pa.array(np.concatenate([values for _, values in parts])),
    )


def _month(rng: np.random.Generator, ids: dict[str, int], start: int, end: int, last: bool) -> Iterator[Table]:
    if last:
        when = stamps(rng, end - DAY, end, 10**8)
        yield _table(["FAST:10HZ"], ids, [(when, adc(rng, when))])
    names = [f"SLOW:{i:02d}" for i in range(SLOW)]
    times = [stamps(rng, start, end, 60 * 10**9) for _ in names]
    yield _table(names, ids, [(when, adc(rng, when)) for when in times])
    sources: list[tuple[str, Values]] = [("YEAR:ADC", adc), ("YEAR:NOISE", noise)]
    for name, values in sources:
        when = stamps(rng, start, end, 10**9)
        yield _table([name], ids, [(when, values(rng, when))])


def _many(rng: np.random.Generator, ids: dict[str, int], end: int) -> Iterator[Table]:
    names = [f"MANY:{i:05d}" for i in range(MANY)]
    for first in range(0, MANY, 250):
        some = names[first : first + 250]
        times = [stamps(rng, end - MANY_SAMPLES * 10**9 * 60, end, 60 * 10**9) for _ in some]
        yield _table(some, ids, [(when, adc(rng, when)) for when in times])


def build(folder: Path, days: int = 365, many: bool = True) -> int:
    """Make the archive in `folder`, which must be empty or not there; returns the time (ns) at which it ends."""
    rng = np.random.default_rng(1)
    names = ["FAST:10HZ", "YEAR:ADC", "YEAR:NOISE", *(f"SLOW:{i:02d}" for i in range(SLOW))]
    writer = StoreWriter(folder)
    writer.open()
    ids = writer.add_pvs([*names, *(f"MANY:{i:05d}" for i in range(MANY))])
    writer.describe({ids[name]: {"EGU": "V", "PREC": "3"} for name in names})
    writer.close()
    layout = Layout(folder)
    manifest = Manifest(archive="benchmark")
    channels = grow(load_channels(folder, manifest), len(ids) + 2)
    segments: list[Segment] = []
    end = START + days * DAY

    def add(tables: Iterator[Table], day: int, tier: str) -> None:
        number = len(segments) + 1
        made = produce(layout, "double", tables, (number, number), day, number, tier)
        if made is not None:
            segments.append(made[0])
            add_index(channels, "double", made[1])

    for start in range(START, end, 31 * DAY):
        stop = min(start + 31 * DAY, end)
        add(_month(rng, ids, start, stop, stop == end), start // DAY, MONTHS)
    if many:
        add(_many(rng, ids, end), end // DAY, DAYS)
    buffer = io.BytesIO()
    np.save(buffer, channels, allow_pickle=False)
    replace_file(folder / "channels-1.npy", buffer.getvalue())
    manifest = manifest.next(
        first_log=len(segments) + 1,
        segments=tuple(segments),
        channels="channels-1.npy",
        serial=len(segments) + 1,
        totals={"received": sum(s.rows for s in segments), "stored": sum(s.rows for s in segments)},
    )
    save_manifest(layout.manifest, manifest)
    return end


def main() -> None:
    """Make one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--days", type=int, default=365)
    options = parser.parse_args()
    print(build(options.folder, options.days))


if __name__ == "__main__":
    main()
