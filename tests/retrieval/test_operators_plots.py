"""minmax and lttb: no spike is hidden, no gap is bridged, no value is invented."""

from __future__ import annotations

import math

import numpy as np
import pytest
from archive_fill import NS, T0
from hypothesis import given, settings
from hypothesis import strategies as st
from operator_archive import (
    MemoryArchive,
    Row,
    cuts,
    lengths,
    notes_of,
    process,
    rows_of,
    run,
    same,
    samples_of,
    series,
    starts,
    window,
)

from archiver.retrieval.operators import lttb
from archiver.store import Dbr, Samples

finite = st.floats(-1000, 1000) | st.integers(-3, 3).map(float)


@given(
    st.sampled_from(["minmax", "lttb"]),
    series(finite | st.just(math.nan), 60),
    starts,
    lengths,
    st.integers(1, 30),
    cuts,
)
@settings(max_examples=300)
def test_samples_of_the_window_and_its_extremes(
    name: str, rows: list[Row], start: int, length: int, number: int, parts: list[int]
):
    end = start + length
    inside = window(rows, start, end)
    numbers = [r for r in inside if not math.isnan(r[1])]
    got = run(f"{name}_{number}", rows, start, end, parts)
    number = max(number, 6)
    if len(inside) <= number:
        assert same(got, numbers)
        return
    assert len(got) <= number and set(got) <= set(numbers)
    if numbers:
        # the one at or before the start, if it is a number, and the newest
        assert got[-1] == numbers[-1] and (got[0] == numbers[0] or numbers[0][0] > start)
        for end_of_all in (min, max):
            assert end_of_all(r[1] for r in got) == end_of_all(r[1] for r in numbers)


@given(series(finite, 60), starts, st.integers(1, 90 * NS), st.integers(6, 30), cuts)
@settings(max_examples=200)
def test_minmax_has_the_extremes_of_each_interval(
    rows: list[Row], start: int, length: int, number: int, parts: list[int]
):
    end = start + length
    inside = window(rows, start, end)
    got = run(f"minmax_{number}", rows, start, end, parts)
    if len(inside) <= number:
        return
    interval = -(-length // ((number - 4) // 2))
    groups: dict[int, list[Row]] = {}
    for row in inside:
        groups.setdefault(-1 if row[0] <= start else row[0] // interval, []).append(row)
    expected = {inside[-1]}
    for group in groups.values():
        expected |= {min(group, key=lambda r: r[1]), max(group, key=lambda r: r[1])}
    assert got == sorted(expected)


@pytest.mark.parametrize("name", ["minmax", "lttb"])
@pytest.mark.parametrize("sign", [1, -1])
def test_every_spike_is_there(name: str, sign: int):
    """A hundred spikes of one sample in a million noisy ones."""
    rng = np.random.default_rng(3)
    n = 1_000_000
    values = rng.normal(0, 1, n)
    at = np.sort(rng.choice(n, 100, replace=False))
    values[at] += sign * (50 + np.arange(100))
    times = T0 * NS + np.arange(n) * (NS // 100)
    samples = Samples(Dbr.DOUBLE, False, times, np.zeros(n, np.uint8), np.zeros(n, np.uint16), values)
    archive = MemoryArchive(samples, list(range(0, n, 77_777)))
    end = int(samples.time_ns[-1])
    got = rows_of(process(f"{name}_2000").run(archive.read("X", T0 * NS, end), T0 * NS, end))
    assert len(got) <= 2000
    # two in one interval of ten seconds count as one
    shown = {r[0] for r in got}
    hidden = [i for i in at if int(samples.time_ns[i]) not in shown]
    assert len(hidden) <= 8
    for i in hidden:
        assert any(abs(t - int(samples.time_ns[i])) < 20 * NS and abs(v) > 45 for t, v, _ in got)


def test_lttb_keeps_the_shape():
    """All points but a few follow a smooth curve; the tops of narrow peaks are among them."""
    x = np.linspace(0, 20, 20_001)
    peaks = (1.234, 5.678, 11.111, 17.77)
    y = np.sin(x / 3) + sum(1 / (1 + ((x - peak) / 0.005) ** 2) for peak in peaks)
    chosen = lttb.choose(T0 * NS + (x * NS).astype(np.int64), y, 200)
    assert 190 < len(chosen) <= 200 and chosen[0] == 0 and chosen[-1] == len(x) - 1
    assert {round(peak * 1000) for peak in peaks} <= set(chosen.tolist())
    smooth = np.min([np.abs(x - peak) for peak in peaks], axis=0) > 0.3
    assert np.abs(np.interp(x, x[chosen], y[chosen]) - y)[smooth].max() < 0.02


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=200), st.integers(6, 50))
def test_lttb_of_any_numbers(values: list[float], number: int):
    chosen = lttb.choose(np.arange(len(values)) * NS, np.array(values), number)
    assert len(chosen) == len(set(chosen.tolist())) <= number and (np.diff(chosen) > 0).all()
    assert {min(values), max(values), values[0], values[-1]} <= {values[i] for i in chosen}


# gaps

EVENTS = [
    ((T0 - 1000) * NS, "engine started"),
    ((T0 - 999) * NS, "connected"),
    ((T0 + 100) * NS + 5, "disconnected"),
    ((T0 + 200) * NS, "connected"),
    ((T0 + 300) * NS, "engine stopped"),
    ((T0 + 350) * NS, "engine started"),
    ((T0 + 352) * NS, "connected"),
    ((T0 + 500) * NS, "disconnected"),
]


def gappy(step_ns: int = NS) -> MemoryArchive:
    times = np.arange(0, 500 * NS, step_ns)
    there = [t for t in times.tolist() if not (100 * NS < t < 200 * NS or 300 * NS < t < 352 * NS)]
    return MemoryArchive(samples_of([(T0 * NS + t, math.sin(t / 1e10), 0) for t in there]), [77], events=list(EVENTS))


@pytest.mark.parametrize("text", ["minmax_100", "lttb_100", "minmax_5000", "lttb_5000"])
def test_gaps_say_that_they_are_gaps(text: str):
    archive = gappy()
    batches = list(process(text).open(archive, "X", T0 * NS, (T0 + 600) * NS))
    got = rows_of(iter(batches))
    marks = [(t - T0 * NS, s) for t, v, s in got if math.isnan(v)]
    # a sample is at the very time of the second loss: if it is there, the gap begins after it
    shown = int((T0 + 300) * NS in {t for t, v, _ in got if not math.isnan(v)})
    assert marks == [(100 * NS + 5, 3), (300 * NS + shown, 3), (500 * NS, 3)]
    assert {int(status) for b in batches for status in b.status[np.isnan(b.values)]} == {9}
    notes = list(notes_of(iter(batches)).values())
    assert notes == [
        {"cnxlostepsecs": str(T0 + 100), "cnxregainedepsecs": str(T0 + 200)},
        {"cnxlostepsecs": str(T0 + 300), "cnxregainedepsecs": str(T0 + 352)},
        {"cnxlostepsecs": str(T0 + 500)},
    ]


def test_a_window_within_a_gap():
    for start, end in ((T0 + 150, T0 + 180), (T0 + 150, T0 + 150)):
        got = rows_of(process("minmax_100").open(gappy(), "X", start * NS, end * NS))
        assert [r[0] for r in got] == [(T0 + 100) * NS, start * NS] and math.isnan(got[1][1])
    # nothing but the gap is known of
    empty = MemoryArchive(samples_of([]), events=list(EVENTS))
    got = rows_of(process("lttb").open(empty, "X", (T0 + 400) * NS, (T0 + 600) * NS))
    assert len(got) == 1 and math.isnan(got[0][1])


def test_a_gap_after_the_window_is_not_in_it():
    got = rows_of(process("minmax_100").open(gappy(), "X", (T0 + 20) * NS, (T0 + 50) * NS))
    assert len(got) == 31 and not any(math.isnan(r[1]) for r in got)


def test_a_pv_that_comes_and_goes_has_one_mark_an_interval():
    events = [((T0 + i) * NS, "disconnected" if i % 2 else "connected") for i in range(10_000)]
    archive = MemoryArchive(samples_of([((T0 + i) * NS, float(i), 0) for i in range(0, 10_000, 2)]), events=events)
    got = rows_of(process("minmax_100").open(archive, "X", T0 * NS, (T0 + 10_000) * NS))
    assert 40 < sum(math.isnan(r[1]) for r in got) <= 52 and len(got) < 155


def test_gaps_out_of_tables_too():
    week = [((T0 + i * 10) * NS, 1.0, 0) for i in range(60480 * 2)]
    lost, found = T0 + 200_000, T0 + 300_000
    rows = [r for r in week if not lost * NS < r[0] < found * NS]
    events = [(T0 * NS - 1, "connected"), (lost * NS + 1, "disconnected"), (found * NS - 1, "connected")]
    for text in ("minmax_500", "lttb_500"):
        archive = MemoryArchive(samples_of(rows), events=events)
        got = rows_of(process(text).open(archive, "X", T0 * NS, (T0 + 14 * 86400) * NS))
        (mark,) = [i for i, r in enumerate(got) if math.isnan(r[1])]
        assert archive.touched < 20
        assert got[mark][0] == lost * NS + 1
        assert got[mark - 1][0] <= lost * NS and got[mark + 1][0] >= found * NS


def test_two_weeks_are_raw_and_more_are_reduced():
    rows = [((T0 + i * 60) * NS, float(i % 50), 0) for i in range(20 * 1440)]
    archive = MemoryArchive(samples_of(rows))
    got = rows_of(process("twoweek").open(archive, "X", T0 * NS, (T0 + 14 * 86400) * NS))
    assert len(got) == 14 * 1440 + 1
    archive = MemoryArchive(samples_of(rows))
    got = rows_of(process("twoweek").open(archive, "X", T0 * NS, (T0 + 20 * 86400) * NS))
    assert 1.9 * 96 * 20 < len(got) <= 2 * 96 * 20 + 2 and archive.touched < 10
