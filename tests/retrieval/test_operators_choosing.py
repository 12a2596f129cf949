"""Operators that choose among samples, and those of plots that the appliance has, by the specification's words."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from archive_fill import NS, T0
from hypothesis import given, settings
from hypothesis import strategies as st
from operator_archive import (
    MemoryArchive,
    Row,
    bins,
    bins_of_their_own,
    centre,
    cuts,
    intervals,
    lengths,
    merged,
    near,
    notes_of,
    opened,
    process,
    rows_of,
    run,
    same,
    samples_of,
    series,
    starts,
    summary,
    window,
)

from archiver.retrieval import operators
from archiver.retrieval.operators import flyers, whole
from archiver.retrieval.query import Operator, Refused
from archiver.store import Dbr


def times(rows: list[Row]) -> list[int]:
    return [r[0] for r in rows]


def is_flyer(row: Row, others: list[Row], deviations: float) -> bool | None:
    """None: too near to tell after rounding."""
    values = [r[1] for r in others if not math.isnan(r[1])]
    if len(values) < 2:
        return False
    away, limit = abs(row[1] - statistics.fmean(values)), deviations * statistics.stdev(values)
    return None if near(away, limit) else away > limit


@given(series(), starts, lengths, intervals, st.sampled_from([0.5, 1.0, 1.5, 3.0]), cuts)
@settings(max_examples=150, deadline=None)
def test_flyers_and_the_others(rows: list[Row], start: int, length: int, n: int, d: float, parts: list[int]):
    end = start + length
    text = f"{n}" if d == 3.0 else f"{n}_{d}"
    found: dict[int, list[Row]] = {}
    for row in window(rows, start, end):
        found.setdefault(row[0] // NS // n, []).append(row)
    judged = [(row, is_flyer(row, group, d)) for group in found.values() for row in group if row[1] == row[1]]
    flying = run(f"flyers_{text}", rows, start, end, parts)
    others = run(f"ignoreflyers_{text}", rows, start, end, parts)
    for got, wanted in ((flying, True), (others, False)):
        expected = merged([row for row, flies in judged if flies is wanted], start)
        doubtful = {row[0] for row, flies in judged if flies is None}
        # the newest of those at or before the start may be hidden by a doubtful one
        hidden = {t for t in times(got) + times(expected) if t <= start} if doubtful else set()
        assert set(times(got)) - doubtful - hidden == set(times(expected)) - hidden
    # every number is in one of both, unless a newer one at or before the start stands for it
    assert len(flying) + len(others) >= len(judged) - 1


def test_a_flyer_keeps_its_type_and_its_notes():
    values = [0] * 20 + [1000] + [0] * 9
    archive = MemoryArchive(
        samples_of([((T0 + i) * NS, v, 2) for i, v in enumerate(values)], Dbr.LONG),
        [20],
        events=[((T0 + 20) * NS - 5, "disconnected"), ((T0 + 20) * NS, "connected")],
    )
    (batch,) = process("flyers_60_3.0", Dbr.LONG).open(archive, "X", T0 * NS, (T0 + 59) * NS)
    assert batch.dbr is Dbr.LONG and batch.values.tolist() == [1000] and batch.severity.tolist() == [2]
    assert batch.notes == {0: {"cnxlostepsecs": str(T0 + 19), "cnxregainedepsecs": str(T0 + 20)}}
    rest = list(process("ignoreflyers_60", Dbr.LONG).open(archive, "X", T0 * NS, (T0 + 59) * NS))
    assert sum(len(b) for b in rest) == 29 and notes_of(iter(rest)) == {}


@pytest.mark.parametrize(
    "text", ["flyers_60_x", "flyers_60_-1", "ignoreflyers_x", "deadBand_x", "deadBand_nan", "nth_0"]
)
def test_arguments_that_are_no_number(text: str):
    with pytest.raises(Refused) as refusal:
        process(text)
    assert refusal.value.status == 404


def slow_dead_band(rows: list[Row], band: float) -> list[Row]:
    kept: list[Row] = []
    for row in rows:
        if kept:
            _, value, severity = kept[-1]
            if math.isfinite(value + row[1]) and severity == row[2] and not abs(value - row[1]) > band:
                continue
        kept.append(row)
    return kept


@given(series(), starts, lengths, st.sampled_from([None, 0.0, 0.5, 2.0, 100.0]), cuts)
@settings(max_examples=150, deadline=None)
def test_dead_band(rows: list[Row], start: int, length: int, band: float | None, parts: list[int]):
    end = start + length
    got = run("deadBand" if band is None else f"deadBand_{band}", rows, start, end, parts)
    expected = slow_dead_band(window(rows, start, end), 1.0 if band is None else band)
    assert same(got, merged(expected, start))


def test_a_dead_band_lets_the_first_after_a_reconnect_pass():
    rows = [((T0 + i) * NS, 5.0, 0) for i in range(10)]
    events = [((T0 + 3) * NS + 1, "disconnected"), ((T0 + 6) * NS - 1, "connected")]
    archive = MemoryArchive(samples_of(rows), [5], events=events)
    got = list(process("deadBand_1").open(archive, "X", T0 * NS, (T0 + 9) * NS))
    # and the next one: it differs from the last one kept in not being the first
    assert [r[0] // NS - T0 for r in rows_of(iter(got))] == [0, 4, 5]
    assert notes_of(iter(got))[(T0 + 4) * NS]["cnxregainedepsecs"] == str(T0 + 5)


@given(series(), starts, lengths, st.integers(1, 30), cuts)
@settings(max_examples=150, deadline=None)
def test_caplot_binning(rows: list[Row], start: int, length: int, n: int, parts: list[int]):
    end = start + length
    expected: list[Row] = []
    for number, group in sorted(bins_of_their_own(rows, start, end, n).items()):
        severity = max(r[2] for r in group)
        if len(group) <= 2:
            expected += [(r[0], r[1], severity) for r in group]
            continue
        numbers = [r for r in group if r[1] == r[1]] or group
        chosen = (group[0], min(numbers, key=lambda r: r[1]), max(numbers, key=lambda r: r[1]), group[-1])
        quarters = (0, n // 4, n // 2, 3 * n // 4) if n >= 4 else (0, n / 4, n / 2, n * 3 / 4)
        for (_, value, _), quarter in zip(chosen, quarters, strict=True):
            expected.append((number * n * NS + int(quarter * NS), value, severity))
    assert same(run(f"caplotbinning_{n}", rows, start, end, parts), merged(expected, start))


@given(
    series(), starts, lengths, st.integers(1, 30), st.sampled_from(["optimized", "optimizedSample", "optimLastSample"])
)
@settings(max_examples=400, deadline=None)
def test_optimized(rows: list[Row], start: int, length: int, points: int, name: str):
    end = start + length
    inside = window(rows, start, end)
    for how in (run, opened):
        got = how(f"{name}_{points}", rows, start, end)
        if len(inside) <= points:
            assert same(got, inside)
            continue

        def value(group: list[Row], _: int) -> tuple[float, ...]:
            v = [r[1] for r in group]
            five = (statistics.fmean(v), statistics.stdev(v) if len(v) > 1 else 0.0, min(v), max(v), float(len(v)))
            return (*five, v[-1]) if name == "optimLastSample" else five

        def empty(v: tuple[float, ...]) -> tuple[float, ...]:
            return (v[-1], 0.0, v[-1], v[-1], 0.0, v[-1]) if name == "optimLastSample" else v

        last = name == "optimLastSample"
        seconds = (end // 10**6 - start // 10**6) // 1000 if last else end // NS - start // NS
        fill, void = name != "optimizedSample", (*[math.nan] * 4, 0.0, *[math.nan] * last)
        into = bins_of_their_own if last else bins
        assert same(got, summary(value, rows, start, end, max(1, seconds // points), fill, empty, void, into=into))


def test_a_window_shorter_than_the_number_of_points_in_seconds():
    rows = [(T0 * NS + i * 1000, float(i), 0) for i in range(5000)]
    got = run("optimLastSample_1000", rows, T0 * NS, T0 * NS + NS)
    assert len(got) == 2 and got[0][1][4] == 5000.0 and got[0][1][5] == 4999.0
    assert got[1][1] == (4999.0, 0.0, 4999.0, 4999.0, 0.0, 4999.0)


@given(st.sampled_from(["firstFill", "lastFill"]), series(), starts, lengths, intervals, cuts)
@settings(max_examples=100, deadline=None)
def test_fills(name: str, rows: list[Row], start: int, length: int, n: int, parts: list[int]):
    end = start + length
    found = bins_of_their_own(rows, start, end, n)
    out: list[Row] = []
    last: Row | None = None
    for number in range(start // NS // n - 1, end // NS // n + 1):
        last = found[number][0 if name == "firstFill" else -1] if number in found else last
        if last is not None:
            out.append(((number * n + n // 2) * NS, last[1], last[2]))
    assert same(run(f"{name}_{n}", rows, start, end, parts), merged(out, start))


@given(st.sampled_from(["firstSample", "lastSample"]), series(), starts, lengths, intervals, cuts)
@settings(max_examples=100, deadline=None)
def test_ends_of_bins(name: str, rows: list[Row], start: int, length: int, n: int, parts: list[int]):
    found = bins_of_their_own(rows, start, start + length, n)
    expected = merged([group[0 if name == "firstSample" else -1] for _, group in sorted(found.items())], start)
    assert same(run(f"{name}_{n}", rows, start, start + length, parts), expected)


@given(series(), starts, lengths, st.integers(1, 10), cuts)
def test_counts_and_thinning(rows: list[Row], start: int, length: int, step: int, parts: list[int]):
    end = start + length
    inside = [r for r in rows if start <= r[0] <= end]
    assert run("ncount", rows, start, end, parts) == run("ncount_5", rows, start, end) == [(start, len(inside), 0)]
    assert same(run(f"nth_{step}", rows, start, end, parts), inside[::step])
    assert same(run("nth", rows, start, end, parts), inside[::900])


def test_strings_and_arrays_have_those_that_need_no_numbers():
    there = [n for n in NAMES if operators.find(Operator.parse(n), Dbr.STRING, False) is not None]
    assert there == [n for n in NAMES if operators.find(Operator.parse(n), Dbr.DOUBLE, True) is not None]
    assert there == ["firstSample", "lastSample", "firstFill", "lastFill", "ncount", "nth", "twoweek"]
    assert all(operators.is_known(Operator.parse(n)) for n in NAMES)
    texts = samples_of([((T0 + i) * NS, f"v{i}", 0) for i in range(10)], Dbr.STRING)
    found = process("lastFill_5", Dbr.STRING).run(iter([texts[:3], texts[3:]]), T0 * NS, (T0 + 9) * NS)
    assert [r[1] for r in rows_of(found)] == ["v4", "v9"]


NAMES = (
    "firstSample lastSample firstFill lastFill ncount nth mean jitter std ignoreflyers flyers linear loess median "
    "variance popvariance kurtosis skewness max min count stats optimLastSample optimized caplotbinning deadBand "
    "errorbar rms minmax lttb twoweek meanSample optimizedSample medianSample loessSample errorbarSample"
).split()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_in_nothing_out(name: str):
    got = run(name, [], T0 * NS, (T0 + 100) * NS)
    assert got == ([(T0 * NS, 0, 0)] if name == "ncount" else [])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [5.0, math.inf, -math.inf])
def test_one_sample(name: str, value: float):
    rows = [((T0 + 3) * NS, value, 1)]
    for start, end in ((T0, T0 + 100), (T0 + 3, T0 + 3), (T0 + 4, T0 + 100)):
        got = run(f"{name}_50" if name != "deadBand" else name, rows, start * NS, end * NS)
        # there is no flyer, and `nth` has only what is inside of the window
        none = name == "flyers" or (name == "nth" and start > T0 + 3)
        assert bool(got) is not none, (start, end)


@pytest.mark.parametrize("name", NAMES)
def test_memory_is_bounded(name: str):
    """However long the samples are: batches are taken one by one, and few are held when the first answer comes."""
    taken = 0

    def endless():
        nonlocal taken
        while taken < 400:
            taken += 1
            first = T0 * NS + taken * 1000 * NS
            yield samples_of([(first + i * NS, float(i % 7), 0) for i in range(1000)])

    length = 1 if name in ("deadBand", "nth") else 60 if name.startswith("loess") else 900
    answer = process(f"{name}_{length}_0.5")
    found = answer.run(endless(), T0 * NS, (T0 + 500_000) * NS)
    next(found)
    assert taken < 400 or name in ("ncount", "lttb")  # these have one answer


def test_a_bin_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(whole, "MAX_SAMPLES", 1000)
    monkeypatch.setattr(flyers, "MAX_SAMPLES", 1000)
    rows = [((T0 + i) * NS, float(i), 0) for i in range(1500)]
    for name in ("median", "flyers"):
        assert name == "flyers" or len(run(f"{name}_600", rows, T0 * NS, (T0 + 1500) * NS)) > 1
        with pytest.raises(Refused) as refusal:
            run(f"{name}_86400", rows, T0 * NS, (T0 + 1500) * NS)
        assert refusal.value.status == 400 and "shorter bins" in str(refusal.value)


def test_several_windows_have_no_sample_twice():
    """What `timeranges` does with the answers for each of its windows."""
    rows = [((T0 + i) * NS, float(i), 0) for i in range(300)]
    first = run("mean_60", rows, T0 * NS, (T0 + 90) * NS)
    second = run("mean_60", rows, (T0 + 90) * NS, (T0 + 200) * NS)
    assert times(first) == [centre(T0 // 60 + i, 60) for i in range(2)]
    assert times(second)[0] == centre(T0 // 60 + 1, 60) and len(second) == 3
    assert np.isclose(first[1][1], 75.0)
