"""What time stamps of a real C IOC look like: how late a periodic scan begins, and each record within it.

python benchmarks/ioc_stamps.py [--records 100] [--seconds 20]
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
from c_ioc import CIoc, counter_database, counter_names
from ca_raw_client import subscribe

EPOCH = 631_152_000
"""EPICS counts from 1990."""

EVENT = np.dtype(
    [
        ("command", ">u2"),
        ("size", ">u2"),
        ("dbr", ">u2"),
        ("count", ">u2"),
        ("status", ">u4"),
        ("record", ">u4"),
        ("alarm", ">u4"),
        ("seconds", ">u4"),
        ("nanos", ">u4"),
        ("pad", ">u4"),
        ("value", ">f8"),
    ]
)
PERIOD = 10**8
"""Of the scan: 10 Hz."""


@dataclass(frozen=True)
class Stamps:
    """`offsets`: ns, by which each record (second axis) was stamped later than the raster of its scans (first axis)."""

    offsets: np.ndarray

    def times(self, rng: np.random.Generator, start: int, scans: int, records: int) -> np.ndarray:
        """Stamps (ns) of `records` records over `scans` scans, each like one of those measured: i8[scans, records]."""
        measured = self.offsets[rng.integers(0, len(self.offsets), scans)]
        chosen = measured[:, np.arange(records) % self.offsets.shape[1]]
        when = start + np.arange(scans)[:, None] * PERIOD + chosen
        return np.maximum.accumulate(when, axis=0) + np.arange(scans)[:, None] % 2


def collect(records: int, seconds: float) -> np.ndarray:
    """Stamps (ns) that an IOC gives to records of a 10 Hz scan: i8[scans, records]."""
    with CIoc(counter_database("STAMP:", records)) as ioc:
        names = counter_names("STAMP:", records)
        sock = subscribe(ioc.port, names)
        data = bytearray()
        end = time.monotonic() + seconds
        with sock:
            while time.monotonic() < end:
                data += sock.recv(1 << 20)
    events = np.frombuffer(data[: len(data) // EVENT.itemsize * EVENT.itemsize], EVENT)
    if not ((events["command"] == 1) & (events["size"] == 24)).all():
        raise RuntimeError("the server sent something else between the events")
    when = (events["seconds"].astype(np.int64) + EPOCH) * 10**9 + events["nanos"]
    mine = [when[events["record"] == n][2:] for n in range(records)]
    scans = min(len(stamps) for stamps in mine)
    return np.stack([stamps[:scans] for stamps in mine], axis=1)


def measure(records: int = 100, seconds: float = 20.0) -> Stamps:
    """Start an IOC, and see."""
    when = collect(records, seconds)
    raster = np.arange(len(when)) * PERIOD
    begin = when.min(axis=1) - raster
    return Stamps(when - raster[:, None] - int(np.median(begin)))


def main() -> None:
    """Print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    stamps = measure(options.records, options.seconds)
    begin = stamps.offsets.min(axis=1)
    within = stamps.offsets - begin[:, None]
    steps = np.diff(stamps.offsets, axis=0)
    for name, values in (("a scan begins late by", begin), ("a record comes after that by", within), ("steps", steps)):
        low, middle, high, most = np.percentile(values, [5, 50, 95, 100]) / 1e3
        print(f"{name:30}: 5 % {low:.1f}, median {middle:.1f}, 95 % {high:.1f}, at most {most:.1f} us")


if __name__ == "__main__":
    main()
