"""Operators against pandas on the same samples, in one process on one core, and a year out of the archive's tables.

    python benchmarks/archive_operators.py [--samples 10000000] [--year FOLDER]

The samples are 10 Hz with noise, in batches of 131,072 as the store gives them; bins are of a minute. pandas gets a
Series with a DatetimeIndex that is there already; ours includes the making of answers with times and severities.
`--year` is a folder made by archive_year.py: long windows over its year of 1 Hz, the first time and again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from archiver.retrieval import operators
from archiver.retrieval.query import Operator
from archiver.store import Dbr, Samples, StoreReader
from archiver.store.summary import Summary, summarise

NS = 10**9
BATCH = 131_072
START = 1_767_225_600 * NS
YEAR_S = 365 * 86400
BIN = "60s"

Pandas = Callable[[pd.Series], Any]


def _flyers(s: pd.Series) -> Any:
    groups: Any = s.groupby(s.index.floor(BIN))  # type: ignore[attr-defined]
    return s[(s - groups.transform("mean")).abs() > 3 * groups.transform("std")]


PEERS: dict[str, Pandas | None] = {
    "mean_60": lambda s: s.resample(BIN).mean(),
    "min_60": lambda s: s.resample(BIN).min(),
    "count_60": lambda s: s.resample(BIN).count(),
    "std_60": lambda s: s.resample(BIN).std(),
    "stats_60": lambda s: s.resample(BIN).agg(["mean", "std", "min", "max", "count"]),
    "rms_60": lambda s: (s * s).resample(BIN).mean() ** 0.5,
    "median_60": lambda s: s.resample(BIN).median(),
    "skewness_60": lambda s: s.groupby(s.index.floor(BIN)).skew(),  # type: ignore[attr-defined]
    "kurtosis_60": lambda s: s.groupby(s.index.floor(BIN)).kurt(),  # type: ignore[attr-defined]
    "firstSample_60": lambda s: s.resample(BIN).first(),
    "lastFill_60": lambda s: s.resample(BIN).last().ffill(),
    "nth_10": lambda s: s.iloc[::10].copy(),
    "ncount": lambda s: s.count(),
    "flyers_60": _flyers,
    "optimized_2000": lambda s: s.resample(_width(s, 2000)).agg(["mean", "std", "min", "max", "count"]),
    "minmax_2000": lambda s: s.resample(_width(s, 998)).agg(["min", "max"]),
    "caplotbinning_60": lambda s: s.resample(BIN).agg(["first", "min", "max", "last"]),
    "lttb_2000": None,
    "deadBand_1": None,
    "linear_60": None,
    "loess_60": None,
}
SLOW = {"loess_60": 50, "kurtosis_60": 1, "deadBand_1": 10}
"""By how much fewer samples are enough."""


def _width(s: pd.Series, points: int) -> str:
    return f"{max(1, len(s) // 10 // points)}s"


def batches(samples: Samples) -> Iterator[Samples]:
    for start in range(0, len(samples), BATCH):
        yield samples[start : start + BATCH]


def best(work: Callable[[], Any], repeats: int = 3) -> float:
    taken = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begin)
    return min(taken)


def compare(number: int) -> None:
    rng = np.random.default_rng(1)
    times = START + np.arange(number) * (NS // 10) + rng.integers(0, NS // 100, number)
    values = 1500 + rng.normal(0, 1, number)
    samples = Samples(Dbr.DOUBLE, False, times, np.zeros(number, np.uint8), np.zeros(number, np.uint16), values)
    print(f"{number:,} samples of 10 Hz; million samples a second, best of 3")
    print(f"{'operator':18} {'ours':>8} {'pandas':>8} {'ratio':>7}")
    for text, peer in PEERS.items():
        part = samples[: number // SLOW.get(text, 1)]
        ours = len(part) / best(partial(answer, text, part)) / 1e6
        if peer is None:
            print(f"{text:18} {ours:8.2f} {'-':>8} {'-':>7}")
            continue
        theirs = len(part) / best(partial(peer, pd.Series(part.values, pd.to_datetime(part.time_ns)))) / 1e6
        print(f"{text:18} {ours:8.2f} {theirs:8.2f} {ours / theirs:7.2f}")


def process_of(text: str) -> operators.Process:
    process = operators.find(Operator.parse(text), Dbr.DOUBLE, False)
    if process is None:
        raise SystemExit(f"there is no operator {text}")
    return process


def answer(text: str, samples: Samples) -> int:
    found = process_of(text).run(batches(samples), int(samples.time_ns[0]), int(samples.time_ns[-1]))
    return sum(len(batch) for batch in found)


class Tables:
    """A year of 1 Hz as its minutes and hours, in memory: what the operators take apart from reading them."""

    def __init__(self) -> None:
        times = START + np.arange(YEAR_S) * NS
        values = 1500 + np.random.default_rng(1).normal(0, 1, YEAR_S)
        severity = np.zeros(YEAR_S, np.uint8)
        self._tables = {unit: summarise(times, values, severity, unit) for unit in (60, 3600)}

    def read(self, name: str, from_ns: int, to_ns: int) -> Iterator[Samples]:
        return iter(())

    def summaries(self, name: str, unit_s: int, from_ns: int, to_ns: int) -> Iterator[Summary]:
        table = self._tables[unit_s]
        low, high = np.searchsorted(table.number, [from_ns // (unit_s * NS), to_ns // (unit_s * NS)])
        yield table[int(low) : int(high)]

    def connections(self, name: str, from_ns: int, to_ns: int) -> list[tuple[int, str]]:
        return []

    def metadata_history(self, name: str) -> list[tuple[int, dict[str, str]]]:
        return []


def year(archive: operators.Archive, name: str, what: str) -> None:
    print(f"\na year of 1 Hz, {what}: milliseconds, the first time and the best of ten")
    for text in ("optimized_2000", "minmax_2000", "lttb_2000", "mean_3600", "stats_86400"):
        process = process_of(text)

        def work(process: operators.Process = process) -> int:
            return sum(len(batch) for batch in process.open(archive, name, START, START + YEAR_S * NS))

        begin = time.perf_counter()
        rows = work()
        first = time.perf_counter() - begin
        print(f"{text:18} {first * 1e3:8.1f} {best(work, 10) * 1e3:8.1f}   {rows} rows")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000_000)
    parser.add_argument("--year", type=Path, help="a folder made by archive_year.py")
    arguments = parser.parse_args()
    compare(arguments.samples)
    year(Tables(), "", "its tables in memory")
    if arguments.year is not None:
        year(StoreReader(arguments.year), "YEAR:NOISE", f"in {arguments.year}")


if __name__ == "__main__":
    main()
