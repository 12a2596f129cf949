"""What readers are given: samples, newest samples, summaries and totals, whatever lies where in the archive."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archive_tools import columns_of, opened
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archiver.store import Dbr, Samples, StoreReader, Summary, segment, sidecar, summarise
from archiver.store.incoming import Importer
from archiver.store.writer import StoreWriter

NS = 10**9
HOUR = 1_699_999_200
START = HOUR - 200
"""Seconds since 1970: an hour begins in the middle of what is written."""
SPAN = 420
NAMES = ["P0", "P1", "P2", "P3"]


def content(pv: int, t: int) -> tuple[Dbr, bool, Any]:
    """What the PV number `pv` has at second `t`: P1 and P2 change their type, P3 is all numbers."""
    if pv == 0:
        return Dbr.DOUBLE, False, float("nan") if t % 7 == 3 else float("inf") if t % 97 == 5 else t / 3
    if pv == 1:
        return (Dbr.LONG, False, -t) if t // 60 % 2 else (Dbr.STRING, False, f"s{t}")
    if pv == 2:
        return (Dbr.DOUBLE, True, [t / 2, 1.0]) if t // 90 % 2 else (Dbr.ENUM, False, t % 5)
    return (Dbr.FLOAT, False, t / 4) if t // 30 % 3 else (Dbr.SHORT, False, t)


SECONDS = st.integers(0, SPAN - 1)
ROWS = st.lists(st.tuples(st.integers(0, 3), SECONDS), min_size=1, max_size=40)
RUN = st.tuples(st.integers(0, 3), SECONDS, st.integers(1, 80)).map(
    lambda run: [(run[0], t) for t in range(run[1], min(run[1] + run[2], SPAN))]
)
STEP = st.one_of(
    st.tuples(st.just("write"), st.one_of(ROWS, RUN)),
    st.tuples(st.just("import"), st.one_of(ROWS, RUN)),
    st.sampled_from([("roll",), ("convert",), ("merge",), ("check",)]),
)


class Archive:
    """An archive and what must be in it: the seconds at which each PV has a sample."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writer: StoreWriter = opened(folder)
        self.ids = self.writer.add_pvs(NAMES)
        self.reader = StoreReader(folder)
        self.there: dict[int, set[int]] = {pv: set() for pv in range(4)}
        self.newest = dict.fromkeys(range(4), -1)

    def write(self, rows: list[tuple[int, int]]) -> None:
        for pv, t in rows:
            dbr, array, value = content(pv, t)
            stamp = (START + t) * NS
            self.writer.append(columns_of(dbr, [self.ids[NAMES[pv]]], [stamp], [value], array))
            if t > self.newest[pv]:
                self.newest[pv] = t
                self.there[pv].add(t)

    def settle(self) -> None:
        self.writer.roll()
        while self.writer.convert_next():
            pass

    def merge(self) -> None:
        while self.writer.compact_next(today=int(time.time() // 86400) + 400):
            pass

    def take_in(self, rows: list[tuple[int, int]]) -> None:
        self.settle()
        importer = Importer(self.folder)
        for pv, t in rows:
            importer.add(NAMES[pv], samples_of(pv, [t]))
            self.there[pv].add(t)
        importer._flush()
        self.writer.close()
        importer.commit()
        self.writer = opened(self.folder)

    def check(self, windows: list[tuple[int, int]]) -> None:
        for pv, name in enumerate(NAMES):
            for low, high in [(-5, SPAN), *windows]:
                mine = sorted(t for t in self.there[pv] if t <= high)
                before = [t for t in mine if t <= low]
                expected = before[-1:] + [t for t in mine if t > low]
                span = (START + low) * NS, (START + high) * NS
                assert list(flat(self.reader.read(name, *span))) == [row(pv, t) for t in expected]
                arrow = [
                    (when.value, value)
                    for batch in self.reader.read_arrow(name, *span)
                    for when, value in zip(batch.column("time"), batch.column("value").to_pylist(), strict=True)
                ]
                assert repr(arrow) == repr([((START + t) * NS, content(pv, t)[2]) for t in expected])
            for unit in (60, 3600):
                self.check_bins(pv, name, unit, [(-200, 3400), *windows])
            self.check_totals(pv, name)
        for window in [(-5, SPAN), *windows]:
            self.check_many(*window)
        for at in {at for window in windows for at in window} | {SPAN}:
            newest = {}
            for pv, name in enumerate(NAMES):
                before = [t for t in self.there[pv] if t <= at]
                if before:
                    newest[name] = [row(pv, max(before))]
            found = self.reader.newest([*NAMES, "absent"], (START + at) * NS)
            assert {name: list(flat(iter([sample]))) for name, sample in found.items()} == newest

    def check_many(self, low: int, high: int) -> None:
        span = (START + low) * NS, (START + high) * NS
        for most, names in ((1 << 20, [*NAMES, "absent"]), (400, NAMES[::-1])):
            found = self.reader.read_many(names, *span, most)
            assert set(found) <= set(NAMES)  # what has several types in the log, or is too much, is left out
            for name, data in found.items():
                assert data.samples is not None
                assert list(flat(iter(data.samples))) == list(flat(self.reader.read(name, *span))), name

    def check_bins(self, pv: int, name: str, unit: int, windows: list[tuple[int, int]]) -> None:
        for low, high in windows:
            first, last = (START + low) // unit * unit, -(-(START + high) // unit) * unit
            found = joined(self.reader.summaries(name, unit, first * NS, last * NS))
            times = [t for t in sorted(self.there[pv]) if first <= START + t < last]
            times = [t for t in times if isinstance(content(pv, t)[2], int | float)]
            stamps = np.array([(START + t) * NS for t in times], np.int64)
            values = np.array([content(pv, t)[2] for t in times], float)
            expected = summarise(stamps, values, (stamps % 4).astype(np.uint8), unit)
            same_bins(found, expected)

    def check_totals(self, pv: int, name: str) -> None:
        (totals,) = self.reader.infos([name, "absent"])
        info = self.reader.info(name)
        assert info is not None
        assert self.reader.volumes()[self.ids[name]] == totals.bytes
        mine = self.there[pv]
        if not mine:
            assert (totals.dbr, totals.first_ns, totals.last_ns, totals.samples) == (None, None, None, 0)
            return
        dbr, array, _ = content(pv, max(mine))
        assert (totals.dbr, totals.array) == (dbr, array) == (info.dbr, totals.array)
        assert totals.count == info.count == (2 if array else 1)
        assert (totals.first_ns, totals.last_ns) == ((START + min(mine)) * NS, (START + max(mine)) * NS)
        assert (info.first_ns, info.last_ns) == (totals.first_ns, totals.last_ns)
        assert totals.samples >= len(mine)


def samples_of(pv: int, seconds: list[int]) -> Samples:
    stamps = np.array([(START + t) * NS for t in seconds], np.int64)
    dbr, array, _ = content(pv, seconds[0])
    values = [content(pv, t)[2] for t in seconds]
    made = (
        np.array(values, object)
        if dbr is Dbr.STRING
        else np.array(values, columns_of(dbr, [1], [1], ["0"] if dbr is Dbr.STRING else [0]).values.dtype)
    )
    return Samples(dbr, array, stamps, (stamps % 4).astype(np.uint8), (stamps % 20).astype(np.uint16), made)


def row(pv: int, t: int) -> tuple[Any, ...]:
    dbr, array, value = content(pv, t)
    stamp = (START + t) * NS
    return dbr, array, stamp, stamp % 4, stamp % 20, repr(value)


def flat(pieces: Iterator[Samples]) -> Iterator[tuple[Any, ...]]:
    for piece in pieces:
        assert len(piece)
        for i, stamp in enumerate(piece.time_ns.tolist()):
            value = piece.values[i]
            plain = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
            yield piece.dbr, piece.array, stamp, int(piece.severity[i]), int(piece.status[i]), repr(plain)


def joined(parts: Iterator[Summary]) -> Summary:
    from archiver.store.summary import concat

    return concat(list(parts))


def same_bins(found: Summary, expected: Summary) -> None:
    assert (np.diff(found.number) > 0).all()
    for name in ("number", "count", "low", "high", "first", "last", "severity", "first_ns", "last_ns"):
        assert getattr(found, name).tolist() == getattr(expected, name).tolist(), name
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-12)
    np.testing.assert_allclose(found.m2, expected.m2, rtol=1e-9, atol=1e-9)


@given(
    steps=st.lists(STEP, max_size=16),
    windows=st.lists(st.tuples(SECONDS, SECONDS).map(lambda w: (min(w), max(w))), min_size=1, max_size=3),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_reading_agrees_with_a_simple_model(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any], windows: list[tuple[int, int]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        # nothing is killed here, and waiting for the disk a thousand times would take a minute
        patch.setattr(os, "fsync", lambda fd: None)
        patch.setattr(os, "fdatasync", lambda fd: None)
        # so that a few samples make many row groups, and bins are kept of all of them
        patch.setattr(segment, "ROW_GROUP", 16)
        patch.setattr(sidecar, "FEWEST", 0)
        patch.setattr(sidecar, "GROUP", 2)
        archive = Archive(tmp_path_factory.mktemp("reading"))
        for step in steps:
            if step[0] == "write":
                archive.write(step[1])
            elif step[0] == "import":
                archive.take_in(step[1])
            elif step[0] == "roll":
                archive.writer.roll()
            elif step[0] == "convert":
                archive.settle()
            elif step[0] == "merge":
                archive.merge()
            else:
                archive.check(windows)
        archive.check(windows)
        archive.settle()
        archive.check(windows)
        archive.merge()
        archive.check(windows)
        assert not archive.reader.damaged
        archive.writer.close()
        archive.reader.close()


def test_a_pv_that_had_two_types_is_of_the_later_one(tmp_path: Path) -> None:
    types = [(dbr, array) for dbr in Dbr for array in (False, True)]
    pairs = [(first, later) for first in types for later in types if first != later]
    writer = opened(tmp_path / "archive")
    ids = list(writer.add_pvs([f"P{n}" for n in range(len(pairs))]).values())
    for second, which in enumerate((0, 1)):
        for dbr, array in types:
            mine = [pv for pv, pair in zip(ids, pairs, strict=True) if pair[which] == (dbr, array)]
            value = "1" if dbr is Dbr.STRING else 1
            values = [[value, value] if array else value] * len(mine)
            writer.append(columns_of(dbr, mine, [(1_700_000_000 + second) * 10**9] * len(mine), values, array))
    writer.roll()
    while writer.convert_next():
        pass
    reader = StoreReader(tmp_path / "archive")
    found = {total.name: (total.dbr, total.array, total.samples) for total in reader.infos()}
    assert found == {f"P{n}": (*later, 2) for n, (_, later) in enumerate(pairs)}
    reader.close()
    writer.close()
