"""Answers out of the archive's tables of minutes and hours: the same as from samples, of which few are read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from archive_fill import NS, T0
from hypothesis import given, settings
from hypothesis import strategies as st
from operator_archive import MemoryArchive, Row, near, process, rows_of, run, same, samples_of

from archiver.retrieval.operators.bins import SUMMARY_MINIMUM, summary_spans
from archiver.retrieval.operators.points import Grid
from archiver.retrieval.operators.source import Stored
from archiver.store import Dbr, Samples

STATISTICS = ["mean", "min", "max", "count", "std", "variance", "popvariance", "rms", "errorbar", "stats"]
DAY = 86400


def noise(days: float, step_s: float, seed: int = 0) -> Samples:
    rng = np.random.default_rng(seed)
    n = int(days * DAY / step_s)
    times = T0 * NS + np.arange(n) * int(step_s * NS) + rng.integers(0, int(step_s * NS), n)
    values = 50 + np.cumsum(rng.normal(0, 0.1, n))
    values[rng.random(n) < 0.01] = np.nan
    severity = (rng.random(n) < 0.001).astype(np.uint8) * 2
    # half a day without any
    gap = (times > (T0 + 0.3 * days * DAY) * NS) & (times < (T0 + 0.5 * days * DAY) * NS)
    there = ~gap
    return Samples(Dbr.DOUBLE, False, times[there], severity[there], np.zeros(there.sum(), np.uint16), values[there])


TWO_DAYS = noise(2, 7.3)


@given(
    st.sampled_from(STATISTICS),
    st.booleans(),
    st.integers(-DAY // 2 * NS, DAY * NS) | st.integers(-10, 24).map(lambda h: h * 3600 * NS),
    st.integers(0, 2 * DAY * NS) | st.integers(0, 48).map(lambda h: h * 3600 * NS),
    st.sampled_from([60, 120, 600, 900, 3600, 7200, 10800, 86400, 420, 61, 7]),
)
@settings(max_examples=200, deadline=None)
def test_tables_and_samples_say_the_same(name: str, fill: bool, offset: int, length: int, n: int):
    start = T0 * NS + offset
    end = start + length
    text = f"{name}{'' if fill else 'Sample'}_{n}"
    archive = MemoryArchive(TWO_DAYS, [5000, 12345])
    got = rows_of(process(text).open(archive, "X", start, end))
    expected = rows_of(process(text).run(MemoryArchive(TWO_DAYS).read("X", start, end), start, end))
    assert same(got, expected, 1e-9)
    if n % 60 == 0 and length > 2 * SUMMARY_MINIMUM * NS:
        # the ends of the window: at most a minute each, and the sample before
        assert archive.touched <= 2 * (60 / 7.3 + 2) + 2
    if n % 60:
        assert archive.bins == 0


@given(st.integers(T0 * NS, (T0 + DAY) * NS), st.integers(0, 2 * DAY * NS), st.sampled_from([60, 180, 3600, 7200]))
def test_every_moment_of_a_window_is_in_one_span(start: int, length: int, interval: int):
    source = Stored(MemoryArchive(TWO_DAYS), "X", start, start + length)
    spans = summary_spans(source, Grid.seconds(interval, start))
    if not spans:
        assert length < 2 * SUMMARY_MINIMUM * NS
        return
    assert spans[0][:2] == (0, start) and spans[-1][2] == start + length + 1
    assert all(one[2] == two[1] for one, two in pairwise(spans))
    assert all(a % (unit * NS) == b % (unit * NS) == 0 for unit, a, b in spans if unit)
    assert {unit for unit, _, _ in spans} <= {0, 60, 3600}
    assert sum(b - a for unit, a, b in spans if unit == 0) < 120 * NS + 2


def test_the_sample_before_the_start_with_tables():
    rows: list[Row] = [((T0 - 5) * NS, 1.0, 1), *(((T0 + i * 60) * NS, 2.0, 0) for i in range(120))]
    for start in (T0, T0 - 3, T0 + 30):
        archive = MemoryArchive(samples_of(rows))
        got = rows_of(process("mean_60").open(archive, "X", start * NS, (T0 + 7200) * NS))
        assert same(got, run("mean_60", rows, start * NS, (T0 + 7200) * NS))
        assert archive.touched <= 2
    # a sample at the start itself hides the one before
    assert got[0][1] == 2.0


YEAR = 365 * DAY


class Yearly(MemoryArchive):
    """A year of 1 Hz, of which only the tables are looked at."""

    def __init__(self, value: float = 1.0, events: Sequence[tuple[int, str]] = ()) -> None:
        super().__init__(samples_of([((T0 + i) * NS, value, 0) for i in (0, YEAR)]), events=list(events))

    def summaries(self, name: str, unit_s: int, from_ns: int, to_ns: int):
        from archiver.store.summary import Summary

        number = np.arange(from_ns // (unit_s * NS), to_ns // (unit_s * NS))
        begin = number * unit_s * NS
        one = np.ones(len(number))
        self.bins += len(number)
        yield Summary(
            number,
            (one * unit_s).astype(np.uint32),
            one * 5,
            one * unit_s,
            np.sin(number / 1000),
            one * 9 + (number == number[len(number) // 3]) * 1000,
            one * 5,
            one * 6,
            np.zeros(len(number), np.uint8),
            begin,
            begin + (unit_s - 1) * NS,
        )


@pytest.mark.parametrize("name", ["optimized", "optimizedSample", "optimLastSample"])
def test_a_year_without_a_sample(name: str):
    archive = Yearly()
    got = rows_of(process(f"{name}_2000").open(archive, "X", T0 * NS, (T0 + YEAR) * NS))
    assert 1990 <= len(got) <= 2001 and archive.touched <= 3
    # 15768 s, rounded up to whole minutes
    assert {b[0] - a[0] for a, b in pairwise(got)} == {15780 * NS}
    assert max(r[1][3] for r in got) == 1009.0 and got[5][1][0] == pytest.approx(5)
    assert got[5][1][1] == pytest.approx(1.0, rel=1e-3) and got[5][1][4] == 15780


@pytest.mark.parametrize("name", ["minmax", "lttb"])
def test_a_year_of_extremes_without_a_sample(name: str):
    archive = Yearly()
    got = rows_of(process(f"{name}_2000").open(archive, "X", T0 * NS, (T0 + YEAR) * NS))
    assert 1500 < len(got) <= 2000 and archive.touched <= 3
    assert max(r[1] for r in got) == 1009.0 and min(r[1] for r in got) == pytest.approx(-1, abs=1e-5)


def test_a_very_large_count_comes_from_tables(monkeypatch: pytest.MonkeyPatch):
    from archiver.retrieval.operators import choosing

    def count(archive: MemoryArchive) -> int:
        ((_, number, _),) = rows_of(process("ncount").open(archive, "X", T0 * NS + 5, (T0 + 2 * DAY) * NS))
        return number

    exact, numbers = len(TWO_DAYS), np.count_nonzero(~np.isnan(TWO_DAYS.values))
    archive = MemoryArchive(TWO_DAYS)
    assert count(archive) == exact - int(TWO_DAYS.time_ns[0] < T0 * NS + 5) and archive.touched >= exact
    monkeypatch.setattr(choosing, "MANY_TO_COUNT", 1000)
    archive = MemoryArchive(TWO_DAYS)
    assert abs(count(archive) - numbers) <= 1 and archive.touched < 30


def test_few_samples_of_a_long_time_are_given_as_they_are():
    rows: list[Row] = [((T0 + i * DAY) * NS + 1, float(i), i % 3) for i in range(365)]
    for name, dbr in (("optimized", Dbr.LONG), ("minmax", Dbr.DOUBLE), ("lttb", Dbr.DOUBLE)):
        archive = MemoryArchive(samples_of([(t, int(v), s) for t, v, s in rows], Dbr.LONG))
        batches = list(process(f"{name}_1000", Dbr.LONG).open(archive, "X", T0 * NS, (T0 + YEAR) * NS))
        assert {b.dbr for b in batches} == {dbr} and same(rows_of(iter(batches)), rows)


def test_mostly_nan():
    """The tables count no NaN: what seems to be few samples is many."""
    rows: list[Row] = [((T0 + i * 60) * NS, float("nan") if i % 100 else float(i), 0) for i in range(14 * 1440)]
    end = (T0 + 14 * DAY) * NS
    got = rows_of(process("optimized_1000").open(MemoryArchive(samples_of(rows)), "X", T0 * NS, end))
    assert all(isinstance(r[1], tuple) for r in got) and sum(r[1][4] for r in got) >= 202


def test_millions_of_samples_in_a_week(monkeypatch: pytest.MonkeyPatch):
    """Intervals of a minute or more are rounded up where reading all samples would take long."""
    from archiver.retrieval.operators import optimized, plots

    for module in (optimized, plots):
        monkeypatch.setattr(module, "MANY", 10_000)
    for name in ("optimized_1000", "minmax_1000", "lttb_1000"):
        archive = MemoryArchive(TWO_DAYS)
        got = rows_of(process(name).open(archive, "X", T0 * NS, (T0 + 2 * DAY) * NS))
        assert archive.touched < 30 and 500 < len(got) <= 1001
        if name == "optimized_1000":
            assert got[1][0] - got[0][0] == 180 * NS


@pytest.mark.parametrize("offset", [0, -1, 1, 30 * NS])
def test_a_plot_begins_with_the_newest_sample_at_or_before_the_start(offset: int):
    rows: list[Row] = [((T0 + i * 10) * NS, float(i % 7), 0) for i in range(-10, 20 * 8640)]
    start = T0 * NS + offset
    archive = MemoryArchive(samples_of(rows))
    got = rows_of(process("minmax_100").open(archive, "X", start, start + 10 * DAY * NS))
    assert archive.touched < 30 and got[0] == [r for r in rows if r[0] <= start][-1]
    assert got[-1][0] == max(r[0] for r in rows if r[0] <= start + 10 * DAY * NS)


@given(st.integers(0, 2 * DAY * NS), st.integers(DAY * NS, 4 * DAY * NS), st.integers(20, 150))
@settings(max_examples=60, deadline=None)
def test_extremes_of_tables_and_of_samples(offset: int, length: int, number: int):
    from archiver.retrieval.operators.plots import _grid, _of_samples, _of_tables

    start = T0 * NS + offset - DAY * NS
    source = Stored(MemoryArchive(TWO_DAYS), "X", start, start + length)
    grid = _grid(2 * length // number, source)
    tables = _of_tables(source, grid)
    found = list(_of_samples(MemoryArchive(TWO_DAYS).read("X", start, start + length), start + length, grid))
    assert (tables is None) == (not found)
    if tables is None:
        return
    times = np.concatenate([p.time_ns for p in found])
    values = np.concatenate([p.values for p in found])
    count, points = tables
    inside = TWO_DAYS.time_ns[(TWO_DAYS.time_ns <= start + length)]
    assert count <= len(inside)
    # the same values, in the same minute; of equal ones any
    assert len(points) == len(times) and near(tuple(np.sort(points.values)), tuple(np.sort(values)), 0)
    unit = 3600 if grid.interval_ns % (3600 * NS) == 0 else 60
    assert (np.abs(np.sort(points.time_ns) - times) < 2 * unit * NS).all()
