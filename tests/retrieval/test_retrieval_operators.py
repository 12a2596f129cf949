"""The operators against a slow and obvious reading of their rules."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from archive_fill import NS, T0, Server
from hypothesis import given, settings
from hypothesis import strategies as st

from archiver.retrieval import operators
from archiver.retrieval.query import Operator
from archiver.store import Dbr, Samples

Row = tuple[int, float, int]  # time in ns, value, severity


def batches(rows: list[Row], cuts: list[int]) -> Iterator[Samples]:
    """The rows in several batches."""
    edges = [0, *sorted({c % (len(rows) + 1) for c in cuts}), len(rows)]
    for a, b in pairwise(edges):
        if a < b:
            part = rows[a:b]
            yield Samples(
                Dbr.DOUBLE,
                False,
                np.array([r[0] for r in part], np.int64),
                np.array([r[2] for r in part], np.uint8),
                np.zeros(b - a, np.uint16),
                np.array([r[1] for r in part], np.float64),
            )


def window(rows: list[Row], start: int, end: int) -> list[Row]:
    """What the store gives: the newest at or before the start, and all up to the end."""
    before = [r for r in rows if r[0] <= start][-1:]
    return before + [r for r in rows if start < r[0] <= end]


def run(text: str, rows: list[Row], start: int, end: int, cuts: list[int]) -> list[Row]:
    process = operators.find(Operator.parse(text), Dbr.DOUBLE, False)
    assert process is not None
    out = []
    for batch in process.run(batches(window(rows, start, end), cuts), start, end):
        values = [tuple(v) if isinstance(v, list) else v for v in batch.values.tolist()]
        out += list(zip(batch.time_ns.tolist(), values, batch.severity.tolist(), strict=True))
    return out


def merged(rows: list[Row], start: int) -> list[Row]:
    """Of the rows at or before the start only the last."""
    late = [r for r in rows if r[0] > start]
    return [r for r in rows if r[0] <= start][-1:] + late


def stats(values: list[float]) -> tuple[float, ...]:
    std = statistics.stdev(values) if len(values) > 1 else 0.0
    return (statistics.fmean(values), std, min(values), max(values), float(len(values)))


VALUES = {
    "mean": lambda v: statistics.fmean(v),
    "min": min,
    "max": max,
    "count": lambda v: float(len(v)),
    "std": lambda v: stats(v)[1],
    "variance": lambda v: stats(v)[1] ** 2,
    "popvariance": lambda v: statistics.pvariance(v),
    "stats": stats,
}


def slow_summary(name: str, rows: list[Row], start: int, end: int, n: int, fill: bool) -> list[Row]:
    bins: dict[int, list[Row]] = {}
    for row in window(rows, start, end):
        if not math.isnan(row[1]):
            bins.setdefault(row[0] // NS // n if row[0] >= start else start // NS // n - 1, []).append(row)
    out: list[Row] = []
    last: tuple | None = None
    for number in range(start // NS // n - 1, end // NS // n + 1):
        if number in bins:
            last = (VALUES[name]([r[1] for r in bins[number]]), max(r[2] for r in bins[number]))
        elif not fill or last is None:
            continue
        elif name == "count":
            last = (0.0, last[1])
        elif name == "stats":
            last = (last[0], last[1])
        out.append(((number * n + n // 2) * NS + (NS // 2 if n % 2 else 0), *last))
    return merged(out, start)


def near(one: object, two: object) -> bool:
    if isinstance(one, tuple) and isinstance(two, tuple):
        return len(one) == len(two) and all(near(a, b) for a, b in zip(one, two, strict=True))
    return bool(np.isclose(one, two, rtol=1e-6, atol=1e-6))  # type: ignore[arg-type]


numbers = st.floats(-1000, 1000) | st.just(math.nan)
moments = st.integers(T0 * NS - 30 * NS, T0 * NS + 120 * NS)
series = st.dictionaries(
    moments | moments.map(lambda t: t // NS * NS), st.tuples(numbers, st.integers(0, 3)), max_size=40
).map(lambda d: [(t, *d[t]) for t in sorted(d)])
cuts = st.lists(st.integers(0, 40), max_size=4)
starts = st.integers(0, 60 * NS).map(lambda t: T0 * NS + t) | st.integers(0, 60).map(lambda t: (T0 + t) * NS)
lengths = st.integers(0, 90 * NS)


@given(st.sampled_from(sorted(VALUES)), st.booleans(), series, starts, lengths, st.integers(1, 25), cuts)
@settings(max_examples=400)
def test_summaries(name: str, fill: bool, rows: list[Row], start: int, length: int, n: int, parts: list[int]):
    got = run(f"{name}{'' if fill else 'Sample'}_{n}", rows, start, start + length, parts)
    expected = slow_summary(name, rows, start, start + length, n, fill)
    assert [(r[0], r[2]) for r in got] == [(r[0], r[2]) for r in expected]
    for (_, a, _), (_, b, _) in zip(got, expected, strict=True):
        assert near(a, b), (a, b)


@given(st.sampled_from([*sorted(VALUES), "jitter"]), st.lists(st.floats(), min_size=1, max_size=20), cuts)
def test_any_number_has_statistics(name: str, values: list[float], parts: list[int]):
    rows = [((T0 + i) * NS, value, 0) for i, value in enumerate(values)]
    got = run(f"{name}_5", rows, T0 * NS, (T0 + 30) * NS, parts)
    assert len(got) == (7 - next((i // 5 for i, v in enumerate(values) if not math.isnan(v)), 7))


@given(series, starts, lengths, st.integers(1, 30), cuts)
def test_optimized(rows: list[Row], start: int, length: int, points: int, parts: list[int]):
    end = start + length
    got = run(f"optimized_{points}", rows, start, end, parts)
    inside = window(rows, start, end)
    if len(inside) <= points:
        assert [r[0] for r in got] == [r[0] for r in inside]
        return
    expected = slow_summary("stats", rows, start, end, max(1, length // NS // points), True)
    assert [r[0] for r in got] == [r[0] for r in expected]
    assert all(near(a[1], b[1]) for a, b in zip(got, expected, strict=True))


@given(st.sampled_from(["firstSample", "lastSample"]), series, starts, lengths, st.integers(1, 25), cuts)
def test_first_and_last_samples(name: str, rows: list[Row], start: int, length: int, n: int, parts: list[int]):
    end = start + length
    bins: dict[int, list[Row]] = {}
    for row in window(rows, start, end):
        bins.setdefault(row[0] // NS // n if row[0] >= start else start // NS // n - 1, []).append(row)
    expected = merged([b[0 if name == "firstSample" else -1] for _, b in sorted(bins.items())], start)
    assert [r[0] for r in run(f"{name}_{n}", rows, start, end, parts)] == [r[0] for r in expected]


@given(st.sampled_from(["firstFill", "lastFill"]), series, starts, lengths, st.integers(1, 25), cuts)
def test_fills(name: str, rows: list[Row], start: int, length: int, n: int, parts: list[int]):
    end = start + length
    bins: dict[int, list[Row]] = {}
    for row in window(rows, start, end):
        bins.setdefault(row[0] // NS // n if row[0] >= start else start // NS // n - 1, []).append(row)
    out: list[Row] = []
    last: Row | None = None
    for number in range(start // NS // n - 1, end // NS // n + 1):
        if number in bins:
            last = bins[number][0 if name == "firstFill" else -1]
        if last is not None:
            out.append(((number * n + n // 2) * NS, last[1], last[2]))
    got = run(f"{name}_{n}", rows, start, end, parts)
    assert [(r[0], r[2]) for r in got] == [(r[0], r[2]) for r in merged(out, start)]


@given(series, starts, lengths, st.integers(1, 10), cuts)
def test_counts_and_thinning(rows: list[Row], start: int, length: int, step: int, parts: list[int]):
    end = start + length
    inside = [r for r in rows if start <= r[0] <= end]
    assert run("ncount", rows, start, end, parts) == [(start, len(inside), 0)]
    assert [r[0] for r in run(f"nth_{step}", rows, start, end, parts)] == [r[0] for r in inside[::step]]


def test_the_bin_before_the_start():
    """The example of the format's description: of two bins whose centres are not after the start, the second."""
    rows = [((T0 - 7) * NS, 1.0, 0), ((T0 + 100) * NS, 2.0, 0), ((T0 + 130) * NS, 3.0, 0)]
    assert T0 % 60 == 0
    got = run("mean_60", rows, (T0 + 100) * NS, (T0 + 179) * NS, [])
    assert [(r[0] // NS - T0, r[1]) for r in got] == [(90, 2.0), (150, 3.0)]
    got = run("mean_60", rows, (T0 + 60) * NS, (T0 + 179) * NS, [])
    assert [(r[0] // NS - T0, r[1]) for r in got] == [(30, 1.0), (90, 2.0), (150, 3.0)]


def test_jitter_of_a_zero_mean_is_no_number():
    rows = [((T0 + 1) * NS, -1.0, 0), ((T0 + 2) * NS, 1.0, 0)]
    ((_, value, _),) = run("jitter_60", rows, T0 * NS, (T0 + 30) * NS, [])
    assert math.isnan(value)


@pytest.mark.parametrize(
    ("text", "dbr", "array", "there"),
    [
        ("mean_60", Dbr.STRING, False, False),
        ("mean_60", Dbr.DOUBLE, True, False),
        ("mean_60", Dbr.ENUM, False, True),
        ("firstSample_60", Dbr.STRING, False, True),
        ("ncount", Dbr.DOUBLE, True, True),
        ("median_60", Dbr.DOUBLE, False, True),
        ("deadBand_1", Dbr.STRING, False, False),
        ("nothing_60", Dbr.DOUBLE, False, False),
        ("mean", None, False, False),
    ],
)
def test_which_types_an_operator_is_for(text: str, dbr: Dbr | None, array: bool, there: bool):
    assert (operators.find(Operator.parse(text), dbr, array) is not None) is there


# over HTTP

DAY = {"start": "2026-11-20T08:00:00Z", "end": "2026-11-21T08:00:00Z"}


def test_optimized_as_a_plot_asks_for_it(server: Server):
    (pv,) = server.data("optimized_2000(T:Day)", **DAY).json()
    assert pv["meta"]["name"] == "T:Day"
    assert 1900 < len(pv["data"]) <= 2012 and all(len(r["val"]) == 5 for r in pv["data"])
    assert max(r["val"][3] for r in pv["data"]) == 99.0
    (pv,) = server.data("optimized_2000(T:Ramp)", **DAY).json()
    assert len(pv["data"]) == 100 and isinstance(pv["data"][0]["val"], float)


def test_parallel_statistics_align(server: Server):
    counts = {
        operator: [r["secs"] for r in server.data(f"{operator}_600(T:Day)", **DAY).json()[0]["data"]]
        for operator in ("mean", "std", "min", "max", "count")
    }
    assert len({tuple(c) for c in counts.values()}) == 1 and len(counts["mean"]) > 140


def test_operators_in_raw(server: Server):
    from epicsevent import decode

    (chunk,) = decode(server.data("stats_3600(T:Day)", ext="raw", **DAY).content)
    assert chunk.kind == "WAVEFORM_DOUBLE" and chunk.count == 5
    (chunk,) = decode(server.data("ncount(T:Day)", ext="raw", **DAY).content)
    assert chunk.kind == "SCALAR_INT" and [e.value for e in chunk.events] == [76_400]
    (chunk,) = decode(server.data("T:Day", ext="raw", pp="mean_3600", **DAY).content)
    assert chunk.kind == "SCALAR_DOUBLE"
    assert server.data("stats_3600(T:Day)", ext="qw", **DAY).json()[0]["meta"]["waveform"] is True


def test_what_is_not_there_is_raw_data_with_a_warning(server: Server):
    plain = server.data("T:Ramp", **DAY)
    assert "warning" not in plain.headers
    for operator, word in (("middle_60", "is not there"), ('x"\u00e9', "is not there")):
        reply = server.data(f"{operator}(T:Ramp)", **DAY)
        assert reply.status_code == 200 and reply.json() == plain.json()
        assert word in reply.headers["warning"]
    reply = server.data("mean_60(T:String)", **DAY)
    assert reply.status_code == 200 and "is not for values of this type" in reply.headers["warning"]
