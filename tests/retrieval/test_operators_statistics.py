"""Operators that give one number for each bin, against the standard library, scipy, pandas and plain loops."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from archive_fill import NS, T0
from hypothesis import example, given, settings
from hypothesis import strategies as st
from operator_archive import (
    MemoryArchive,
    Row,
    centre,
    cuts,
    intervals,
    lengths,
    notes_of,
    opened,
    process,
    run,
    same,
    samples_of,
    series,
    starts,
    summary,
)

from archiver.retrieval.operators import loess
from archiver.retrieval.query import Operator, Refused
from archiver.store import Dbr

Value = Callable[[list[Row], int], Any]


def of(function: Callable[[list[float]], Any]) -> Value:
    """A statistic of the values alone."""
    return lambda rows, _: function([r[1] for r in rows])


def stdev(v: list[float]) -> float:
    return statistics.stdev(v) if len(v) > 1 else 0.0


def jitter(v: list[float]) -> float:
    mean = statistics.fmean(v)
    return stdev(v) / mean if mean else math.nan


def skewness(v: list[float]) -> float:
    if len(v) < 3:
        return math.nan
    return math.nan if max(v) == min(v) else float(scipy.stats.skew(v, bias=False))


def kurtosis(v: list[float]) -> float:
    if len(v) < 4:
        return math.nan
    return math.nan if max(v) == min(v) else float(scipy.stats.kurtosis(v, bias=False))


def linear(rows: list[Row], centre_ns: int) -> float:
    times = [(r[0] - centre_ns // NS * NS) / NS for r in rows]
    return float(np.interp(0.0, times, [r[1] for r in rows])) if times[0] <= 0 <= times[-1] else rows[0][1]


def stats(v: list[float]) -> tuple[float, ...]:
    return (statistics.fmean(v), stdev(v), min(v), max(v), float(len(v)))


VALUES: dict[str, Value] = {
    "mean": of(statistics.fmean),
    "min": of(min),
    "max": of(max),
    "count": of(lambda v: float(len(v))),
    "std": of(stdev),
    "variance": of(lambda v: stdev(v) ** 2),
    "popvariance": of(statistics.pvariance),
    "median": of(statistics.median),
    "jitter": of(jitter),
    "rms": of(lambda v: math.sqrt(statistics.fmean(x * x for x in v))),
    "errorbar": of(statistics.fmean),
    "stats": of(stats),
    "linear": linear,
}


@given(
    st.sampled_from(sorted(VALUES)),
    st.sampled_from([run, opened]),
    st.booleans(),
    series(),
    starts,
    lengths,
    intervals,
    cuts,
)
@example("linear", run, False, [(T0 * NS, math.nan, 0), ((T0 + 100) * NS, 0.0, 0), ((T0 + 100) * NS + 1, math.nan, 1)],
         T0 * NS + 30 * NS, 70_000_000_001, 1, [])  # fmt: skip
@settings(max_examples=400, deadline=None)
def test_every_bin(
    name: str, how: Callable, fill: bool, rows: list[Row], start: int, length: int, n: int, parts: list[int]
):
    end = start + length
    got = how(f"{name}{'' if fill else 'Sample'}_{n}", rows, start, end, parts)
    empty = (lambda _: 0.0) if name == "count" else (lambda v: v)
    void: Any = {"count": 0.0, "stats": (*[math.nan] * 4, 0.0)}.get(name, math.nan)
    if name == "jitter":  # next to a mean of zero it is anything
        got = [(t, v if abs(v) < 1e6 else math.nan, s) for t, v, s in got]
        value = of(lambda v: x if abs(x := jitter(v)) < 1e6 else math.nan)
    else:
        value = VALUES[name]
    assert same(got, summary(value, rows, start, end, n, fill, empty, void, name == "count"))


@given(
    st.sampled_from(["skewness", "kurtosis"]),
    series(st.integers(-50, 50).map(float), 60),
    st.integers(1, 3),
    starts,
    cuts,
)
@settings(max_examples=200, deadline=None)
def test_moments(name: str, rows: list[Row], factor: int, start: int, parts: list[int]):
    value = of({"skewness": skewness, "kurtosis": kurtosis}[name])
    rows = [(t, v / factor + 1000, s) for t, v, s in rows]
    got = run(f"{name}_40", rows, start, start + 80 * NS, parts)
    assert same(got, summary(value, rows, start, start + 80 * NS, 40, True), 1e-5)


def test_moments_of_a_bin_in_many_parts():
    rng = np.random.default_rng(1)
    values = 1e6 + rng.gamma(2.0, size=3000)
    rows = [((T0 + 60) * NS + i * 10**6, float(v), 0) for i, v in enumerate(values)]
    for name, function in (("skewness", scipy.stats.skew), ("kurtosis", scipy.stats.kurtosis)):
        ((_, got, _),) = run(f"{name}_600", rows, T0 * NS, (T0 + 599) * NS, list(range(0, 3000, 7)))
        assert got == pytest.approx(function(values, bias=False), rel=1e-6)


@pytest.mark.parametrize("value", [0.1, 0.0, -1e-12, 1e100, 7.0])
def test_a_constant_has_no_skewness_and_no_kurtosis(value: float):
    rows = [((T0 + i) * NS, value, 0) for i in range(50)]
    for name in ("skewness", "kurtosis"):
        got = run(f"{name}_10", rows, T0 * NS, (T0 + 49) * NS)
        assert len(got) == 5 and all(math.isnan(r[1]) for r in got)
    for name in ("std", "variance"):
        assert all(
            abs(r[1]) <= 1e-15 * abs(value) * max(1, abs(value))
            for r in run(f"{name}_10", rows, T0 * NS, (T0 + 49) * NS)
        )


@given(st.sampled_from([*sorted(VALUES), "skewness", "kurtosis", "loess"]), st.lists(st.floats(), max_size=20), cuts)
@settings(max_examples=200, deadline=None)
def test_any_number_has_an_answer(name: str, values: list[float], parts: list[int]):
    rows = [((T0 + i) * NS, value, 0) for i, value in enumerate(values)]
    got = run(f"{name}_5", rows, T0 * NS, (T0 + 30) * NS, parts)
    assert len(got) == (7 if values else 0)


@pytest.mark.parametrize("name", ["mean", "median", "std", "skewness", "kurtosis", "min", "max", "count"])
def test_pandas_agrees(name: str):
    rng = np.random.default_rng(7)
    times = T0 * NS + np.cumsum(rng.integers(1, 4 * NS, 5000))
    values = rng.normal(20, 3, 5000)
    values[rng.random(5000) < 0.05] = np.nan
    rows = [(int(t), float(v), 0) for t, v in zip(times, values, strict=True)]
    start, end = int(times[100]), int(times[-1])
    got = run(f"{name}Sample_60", rows, start, end, [999, 1000])
    frame = pd.Series(values[100:], pd.to_datetime(times[100:])).dropna()
    bins = frame.groupby(times[100:][~np.isnan(values[100:])] // (60 * NS))
    if name == "kurtosis":
        expected = bins.apply(pd.Series.kurt)
    else:
        expected = getattr(bins, "skew" if name == "skewness" else name)()
    if name == "std":
        expected = expected.fillna(0)
    assert len(got) > 100 and len(got) >= len(expected) - 1
    for time_ns, value, _ in got:
        assert value == pytest.approx(float(expected[time_ns // (60 * NS)]), nan_ok=True)  # type: ignore[arg-type]


# smoothing


def brute_force(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Locally weighted regression of evenly spaced points, by the book."""
    n, k = len(x), int(0.3 * len(x))
    robust = np.ones(n)
    fit = y
    for iteration in range(3):
        new = fit.copy()
        for i in range(n):
            nearest = np.sort(np.argsort(np.abs(x - x[i]), kind="stable")[:k])
            w = robust[nearest] * (1 - (np.abs(x[nearest] - x[i]) / np.abs(x[nearest] - x[i]).max()) ** 3) ** 3
            if np.count_nonzero(w) > 1:
                new[i] = np.polyfit(x[nearest] - x[i], y[nearest], 1, w=np.sqrt(w))[1]
            elif w.sum():
                new[i] = y[nearest][np.argmax(w)]
        fit = new
        residual = np.abs(y - fit)
        middle = np.sort(residual)[n // 2]
        if iteration == 2 or middle < 1e-12:
            break
        robust = np.clip(1 - (residual / (6 * middle)) ** 2, 0, None) ** 2
    return fit


@given(st.integers(10, 80), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_smoothing_by_the_book(n: int, seed: int):
    rng = np.random.default_rng(seed)
    x = np.arange(n) * 0.5 + 0.25
    y = np.sin(x / 5) + rng.normal(0, 0.1, n)
    y[rng.integers(0, n)] += 5
    np.testing.assert_allclose(loess.smooth(x, y), brute_force(x, y), rtol=1e-6, atol=1e-6)


def test_loess_of_a_straight_line_is_the_line():
    rows = [((T0 + i) * NS + i * 1000, 3.0 * i + 7, 0) for i in range(120)]
    got = run("loess_60", rows, (T0 - 1) * NS, (T0 + 119) * NS, [11, 70])
    assert [r[0] for r in got] == [(T0 + 30) * NS, (T0 + 90) * NS]
    assert [r[1] for r in got] == pytest.approx([97.0, 277.0], abs=1e-3)


def test_loess_is_not_led_astray_by_a_spike():
    rows = [((T0 + i) * NS, 10.0 + (50 if i == 31 else 0) + 2 * (i % 3), 0) for i in range(60)]
    ((_, value, _),) = run("loess_60", rows, (T0 - 1) * NS, (T0 + 59) * NS)
    assert value == pytest.approx(12, abs=0.5)


@pytest.mark.parametrize("n", range(1, 7))
def test_loess_of_few_samples_is_the_first(n: int):
    rows = [((T0 + i) * NS, 5.0 + i * i, 0) for i in range(n)]
    assert [r[1] for r in run("loess_10", rows, (T0 - 1) * NS, (T0 + 9) * NS)] == [5.0]


def test_loess_refuses_what_would_take_minutes():
    rows = [(T0 * NS + i, 1.0, 0) for i in range(loess.MAX_LOESS + 1)]
    rows.append(((T0 + 59) * NS, 1.0, 0))
    with pytest.raises(Refused) as refusal:
        run("loess_60", rows, (T0 - 1) * NS, (T0 + 59) * NS)
    assert refusal.value.status == 400 and "shorter bins" in str(refusal.value)


def test_linear_at_the_centre():
    rows = [((T0 + 10) * NS, 1.0, 0), ((T0 + 40) * NS, 4.0, 0)]
    assert run("linear_60", rows, T0 * NS, (T0 + 59) * NS) == [((T0 + 30) * NS, 3.0, 0)]
    # beyond all samples of a bin it is the first of them
    rows = [((T0 + 10) * NS, 1.0, 0), ((T0 + 20) * NS, 4.0, 0)]
    assert run("linear_60", rows, T0 * NS, (T0 + 59) * NS) == [((T0 + 30) * NS, 1.0, 0)]
    # of an odd number of seconds: the answer's time is half a second after the one looked at
    rows = [(T0 // 7 * 7 * NS + i * NS, float(i), 0) for i in range(7)]
    assert run("linear_7", rows, T0 // 7 * 7 * NS, (T0 // 7 * 7 + 6) * NS) == [(centre(T0 // 7, 7), 3.0, 0)]


# words of the specification


def test_error_bars_have_their_length_in_a_note():
    rows = [((T0 + i) * NS, float(i), 0) for i in range(20)]
    archive = MemoryArchive(samples_of(rows))
    got = notes_of(process("errorbar_10").open(archive, "X", (T0 - 1) * NS, (T0 + 39) * NS))
    assert list(got) == [centre(T0 // 10 + i, 10) for i in range(4)]
    assert [float(note["stdz"]) for note in got.values()] == pytest.approx([statistics.stdev(range(10))] * 4)


def test_a_window_without_length():
    rows = [((T0 + 5) * NS, 2.0, 1), ((T0 + 7) * NS, 9.0, 2)]
    at = (T0 + 6) * NS
    for name in (*VALUES, "skewness", "kurtosis", "loess"):
        # the bin before the start repeats over the start's bin, whose centre is later
        assert len(run(f"{name}_10", rows, at, at)) == 1
        assert len(run(f"{name}Sample_10", rows, at, at)) == 1
        assert run(f"{name}_10", [], at, at + NS) == []
    assert run("mean", rows, at, at) == [(centre(at // NS // 900 - 1, 900), 2.0, 1)] or T0 % 900 == 0


def test_a_huge_gap_is_filled_in_pieces():
    rows = [((T0 + 1) * NS, 1.0, 0), ((T0 + 400_000) * NS, 2.0, 0)]
    got = run("mean_2", rows, T0 * NS, (T0 + 500_000) * NS, [1])
    assert len(got) == 250_001 and {r[1] for r in got} == {1.0, 2.0}
    assert sum(r[1] for r in run("count_2", rows, T0 * NS, (T0 + 500_000) * NS)) == 2.0


def test_times_before_1970_are_binned_the_same_way():
    rows = [(i * NS, float(i), 0) for i in range(-50, 0)]
    assert same(run("mean_7", rows, -40 * NS, -3 * NS), summary(VALUES["mean"], rows, -40 * NS, -3 * NS, 7, True))


def test_integers_and_enums_are_numbers():
    for dbr in (Dbr.LONG, Dbr.ENUM):
        archive = MemoryArchive(samples_of([((T0 + i) * NS, i % 2, 0) for i in range(10)], dbr))
        (batch,) = process("mean_10", dbr).run(archive.read("", T0 * NS, (T0 + 9) * NS), T0 * NS, (T0 + 9) * NS)
        assert batch.dbr is Dbr.DOUBLE and batch.values.tolist() == [0.5]


def test_a_change_of_type_leaves_the_numbers():
    numbers = samples_of([((T0 + i) * NS, float(i), 0) for i in range(5)])
    texts = samples_of([((T0 + 5 + i) * NS, "a", 0) for i in range(5)], Dbr.STRING)
    for name in ("mean", "median", "max"):
        (batch,) = process(f"{name}_60").run(iter([numbers, texts]), T0 * NS, (T0 + 9) * NS)
        assert len(batch) == 1


@pytest.mark.parametrize("text", ["mean_abc", "mean_0", "mean_-5", "median_1.5", "stats_", "optimized_x", "loess_1e3"])
def test_arguments_that_are_no_number(text: str):
    with pytest.raises(Refused) as refusal:
        process(text)
    assert refusal.value.status == 404


def test_more_bins_than_anybody_can_use():
    with pytest.raises(Refused) as refusal:
        process("mean_1").check(0, 10**18)
    assert refusal.value.status == 400


def test_names_that_no_operator_begins():
    from archiver.retrieval import operators

    for name in ("Mean", "mea", "amean", ""):
        assert operators.find(Operator.parse(name), Dbr.DOUBLE, False) is None
        assert not operators.is_known(Operator.parse(name))
