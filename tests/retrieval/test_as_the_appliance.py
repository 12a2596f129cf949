"""Worked examples of what the Archiver Appliance answers where its rules are easily read otherwise.

Times in them are seconds after T0, at which a minute begins.
"""

from __future__ import annotations

import asyncio
import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from archive_fill import NS, T0, Filler
from epicsevent import decode
from operator_archive import MemoryArchive, Row, notes_of, process, rows_of, run, samples_of
from retrieval_inside import inside

from archiver.retrieval.query import Operator
from archiver.store import Dbr, open_reader

NAN = math.nan


def rows(*given: tuple[float, float, int]) -> list[Row]:
    return [(T0 * NS + round(at * NS), value, severity) for at, value, severity in given]


def ask(text: str, given: list[Row], start: float, end: float) -> list[tuple[float, object, int]]:
    """The answer, its times in seconds after T0."""
    got = run(text, given, T0 * NS + round(start * NS), T0 * NS + round(end * NS))
    return [((time_ns - T0 * NS) / NS, value, severity) for time_ns, value, severity in got]


def same(got: list[tuple[float, object, int]], *expected: tuple[float, object, int]) -> bool:
    """Equal, NaN included."""
    return repr(got) == repr([(float(at), value, severity) for at, value, severity in expected])


# bins of samples that are NaN: a sensor that is gone is no longer what it was before

GONE = rows((5, 1.0, 0), (65, NAN, 3), (125, NAN, 2), (130, NAN, 3), (185, 2.0, 1))


def test_a_bin_of_nan_alone_is_nan():
    assert same(ask("mean_60", GONE, 0, 239), (30, 1.0, 0), (90, NAN, 3), (150, NAN, 3), (210, 2.0, 1))
    assert same(ask("meanSample_60", GONE, 0, 300), (30, 1.0, 0), (90, NAN, 3), (150, NAN, 3), (210, 2.0, 1))
    assert same(ask("count_60", GONE, 60, 200), (30, 1.0, 0), (90, 0.0, 3), (150, 0.0, 3), (210, 1.0, 1))
    assert same(ask("medianSample_60", GONE, 60, 150), (30, 1.0, 0), (90, NAN, 3), (150, NAN, 3))
    nothing = (NAN, NAN, NAN, NAN, 0.0)
    assert same(ask("stats_60", GONE, 60, 179), (30, (1.0, 0.0, 1.0, 1.0, 1.0), 0), (90, nothing, 3), (150, nothing, 3))
    # what follows repeats it, and so it does for a window of nothing else
    assert same(ask("max_60", GONE[:2], 0, 179), (30, 1.0, 0), (90, NAN, 3), (150, NAN, 3))
    assert same(ask("min_60", GONE[1:2], 60, 100), (90, NAN, 3))


def test_where_there_are_others_nan_counts_for_nothing():
    given = rows((1, NAN, 3), (2, 4.0, 0), (3, 6.0, 1))
    assert same(ask("mean_60", given, 0, 59), (30, 5.0, 1))
    assert same(ask("popvariance_60", given, 0, 59), (30, 1.0, 1))


def test_error_bars_of_nan():
    found = process("errorbarSample_60").run(iter([samples_of(GONE)]), T0 * NS, (T0 + 240) * NS)
    assert [note["stdz"] for note in notes_of(found).values()] == ["0.0", "NaN", "NaN", "0.0"]


@pytest.mark.parametrize("name", ["mean", "stats", "count", "meanSample", "min"])
@pytest.mark.parametrize("n", [60, 300, 3600])
def test_the_archives_tables_hide_no_nan(name: str, n: int):
    """They leave NaN out; where they have nothing, samples are looked at."""
    value = [NAN if 3000 <= i < 12000 or i < 100 else float(i) for i in range(20000)]
    given = rows(*((i, v, 3 if v != v else i % 2) for i, v in enumerate(value) if not 8000 <= i < 9000))
    archive = MemoryArchive(samples_of(given))
    start, end = T0 * NS + 5 * NS, (T0 + 20000) * NS
    got = rows_of(process(f"{name}_{n}").open(archive, "X", start, end))
    assert repr(got) == repr(run(f"{name}_{n}", given, start, end)) and archive.bins
    assert archive.touched < 8600


# the sample before the window

EVERY_7 = rows(*((7 * i, float(i), 0) for i in range(100)))


def test_a_sample_before_the_start_belongs_to_the_bin_of_its_time():
    # 98 s is the newest before 100 s, and in the bin from 60 s on: it is the first of that bin, and 105 s is not
    assert ask("firstSample_60", EVERY_7, 100, 200) == [(98.0, 14.0, 0), (126.0, 18.0, 0), (182.0, 26.0, 0)]
    assert ask("firstFill_60", EVERY_7, 100, 200) == [(90.0, 14.0, 0), (150.0, 18.0, 0), (210.0, 26.0, 0)]
    # nor is it the last
    assert ask("lastSample_60", EVERY_7, 100, 200) == [(119.0, 17.0, 0), (175.0, 25.0, 0), (196.0, 28.0, 0)]
    assert ask("lastFill_60", EVERY_7, 59, 130) == [(30.0, 8.0, 0), (90.0, 17.0, 0), (150.0, 18.0, 0)]
    # that of an earlier bin stands for itself
    assert ask("firstSample_60", EVERY_7, 121, 200) == [(119.0, 17.0, 0), (126.0, 18.0, 0), (182.0, 26.0, 0)]
    # statistics give it a bin of its own in any case, with its severity
    given = rows((70, 9.0, 3), (110, 1.0, 0), (125, 4.0, 0))
    assert ask("max_60", given, 80, 179) == [(30.0, 9.0, 3), (90.0, 1.0, 0), (150.0, 4.0, 0)]
    assert ask("max_60", given, 60, 179) == [(90.0, 9.0, 3), (150.0, 4.0, 0)]
    assert ask("max_60", given[:1], 80, 100) == [(30.0, 9.0, 3), (90.0, 9.0, 3)]


def test_points_of_a_plot_are_cut_by_whole_seconds():
    """4899.75 s from whole second to whole second are 4900 s: 100 points of 49 s, but 48 s with the last sample."""
    given = rows(*((i, float(i), 0) for i in range(5100)))
    centres = [at for at, _, _ in ask("optimized_100", given, 100.5, 5000.25)]
    assert {b - a for a, b in pairwise(centres)} == {49.0}
    centres = [at for at, _, _ in ask("optimLastSample_100", given, 100.5, 5000.25)]
    assert {b - a for a, b in pairwise(centres)} == {48.0}


# single operators


def test_a_bin_that_is_filled_with_a_count_of_zero_has_no_severity():
    given = rows((10, 1.0, 2))
    assert ask("count_60", given, 0, 130) == [(30.0, 1.0, 2), (90.0, 0.0, 0), (150.0, 0.0, 0)]
    assert ask("mean_60", given, 0, 130) == [(30.0, 1.0, 2), (90.0, 1.0, 2), (150.0, 1.0, 2)]


def test_nth_without_a_number_is_every_900th():
    given = rows(*((i, float(i), 0) for i in range(2000)))
    assert [value for _, value, _ in ask("nth", given, 0, 2000)] == [0.0, 900.0, 1800.0]


def test_a_line_that_does_not_reach_the_centre_gives_the_first_sample():
    assert ask("linear_60", rows((3, 1.0, 0), (9, 5.0, 0)), 0, 59) == [(30.0, 1.0, 0)]
    assert ask("linear_60", rows((40, 1.0, 0), (50, 5.0, 0)), 0, 59) == [(30.0, 1.0, 0)]
    assert ask("linear_60", rows((20, 1.0, 0), (40, 5.0, 0)), 0, 59) == [(30.0, 3.0, 0)]


def test_of_an_odd_number_of_seconds_a_line_is_looked_at_half_a_second_early():
    given = rows(*((i, float(i), 0) for i in range(15)))
    assert ask("linear_15", given, 0, 14) == [(7.5, 7.0, 0)]
    assert ask("loess_15", given, 0, 14) == [(7.5, pytest.approx(7.0, abs=1e-6), 0)]


def test_a_dead_band_lets_all_pass_that_is_not_finite():
    given = rows((0, 1.0, 0), (1, NAN, 0), (2, NAN, 0), (3, 1.0, 0), (4, 1.1, 0), (5, math.inf, 0), (6, 1.1, 0))
    assert [at for at, _, _ in ask("deadBand_1", given, 0, 10)] == [0, 1, 2, 3, 5, 6]


def test_nan_is_neither_a_flyer_nor_one_of_the_others():
    given = rows(*((i, NAN if i == 4 else 100.0 if i == 7 else 1.0, 0) for i in range(30)))
    assert [at for at, _, _ in ask("flyers_60", given, 0, 60)] == [7]
    others = [at for at, _, _ in ask("ignoreflyers_60", given, 0, 60)]
    assert len(others) == 28 and not {4, 7} & set(others)


def test_caplotbinning_gives_a_bin_its_highest_severity():
    given = rows((1, 5.0, 0), (2, 1.0, 2), (3, NAN, 3), (4, 9.0, 0), (5, 4.0, 1), (61, 2.0, 1), (62, 3.0, 0))
    bin_of_five = [(0.0, 5.0, 3), (15.0, 1.0, 3), (30.0, 9.0, 3), (45.0, 4.0, 3)]
    assert ask("caplotbinning_60", given, -1, 100) == [*bin_of_five, (61.0, 2.0, 1), (62.0, 3.0, 1)]
    batches = list(process("caplotbinning_60").run(iter([samples_of(given)]), (T0 - 1) * NS, (T0 + 100) * NS))
    assert {int(status) for batch in batches for status in batch.status} == {0}


@pytest.mark.parametrize("name", ["skewness", "kurtosis"])
def test_a_constant_has_no_shape(name: str):
    ((_, value, _),) = ask(f"{name}_60", rows(*((i, 2.5, 0) for i in range(20))), 0, 59)
    assert math.isnan(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("stdev_60", "std_60"),
        ("maximum_60", "max_60"),
        ("minimumSample_60", "min_60"),
        ("meanSamples_60", "meanSample_60"),
        ("optimizedx_5", "optimized_5"),
        ("medians", "median"),
        ("minmax_10", "minmax_10"),
    ],
)
def test_letters_behind_the_name_of_an_operator_do_not_matter(written: str, meant: str):
    given = rows(*((10 * i, float(i % 7), 0) for i in range(50) if not 20 < i < 30))
    assert Operator.parse(written).name == Operator.parse(meant).name
    assert same(ask(written, given, 0, 500), *ask(meant, given, 0, 500))


# whole answers


def answers(folder: Path, *queries: tuple[str, str]) -> list[bytes]:
    """The answers to `(extension, PV)`."""

    async def asked() -> list[bytes]:
        window = {"from": "2026-11-20T08:00:00Z", "to": "2026-11-20T09:00:00Z"}
        async with inside(open_reader(folder)) as client:
            replies = [
                await client.get(f"/retrieval/data/getData.{extension}", params={"pv": pv, **window})
                for extension, pv in queries
            ]
        assert all(reply.status_code == 200 for reply in replies)
        return [reply.content for reply in replies]

    return asyncio.run(asked())


@pytest.mark.parametrize("segment", [False, True])
def test_an_array_that_has_become_one_element_long_is_still_an_array(tmp_path: Path, segment: bool):
    """A PV whose arrays are of any length may end with one of one element: no statistics, and nothing is lost."""
    filler = Filler(tmp_path / "store")
    filler.put("A:Short", Dbr.DOUBLE, [T0 * NS, (T0 + 1) * NS], np.array([[1.0, 2.0], [3.0, 4.0]]))
    filler.put("A:Short", Dbr.DOUBLE, (T0 + 60) * NS, np.array([[5.0]]))
    if segment:
        filler.segment()
    filler.close()
    kinds = [("raw", "A:Short"), ("raw", "mean_60(A:Short)"), ("qw", "A:Short"), ("raw", "A:Short")]
    plain, processed, quick, _ = answers(tmp_path / "store", *kinds)
    for body in (plain, processed):
        chunks = decode(body)
        assert {c.kind for c in chunks} == {"WAVEFORM_DOUBLE"}
        assert [e.value for c in chunks for e in c.events] == [[1.0, 2.0], [3.0, 4.0], [5.0]]
    assert b'"waveform": true' in quick and b'"val": [5.0]' in quick


def test_text_as_csv_and_txt(tmp_path: Path):
    filler = Filler(tmp_path / "store")
    words = ["on", "a,b", 'say "hi"', "<x> & y"]
    texts = np.array([word.encode() for word in words], "S40")
    filler.put("A:Text", Dbr.STRING, (T0 + np.arange(4)) * NS + 5, texts)
    filler.close()
    table, listing = answers(tmp_path / "store", ("csv", "A:Text"), ("txt", "A:Text"))
    # plain text stands bare; what would break a line apart is quoted
    assert table.decode() == (
        f'{T0},on,0,0,5\n{T0 + 1},"a,b",0,0,5\n{T0 + 2},"say ""hi""",0,0,5\n{T0 + 3},<x> & y,0,0,5\n\n'
    )
    values = [line.split("\t")[:2] for line in listing.decode().splitlines()[2:]]
    assert values[0] == ["Nov/20/2026 08:00:00 UTC", "on"]
    assert [value for _, value in values] == words


def test_a_plot_that_is_given_its_samples_is_no_waveform(tmp_path: Path):
    """`optimized` answers arrays or, where there are few samples, these: the flag of `.qw` says which."""
    filler = Filler(tmp_path / "store")
    filler.put("A:Line", Dbr.DOUBLE, (T0 + np.arange(50)) * NS, np.arange(50.0))
    filler.close()
    few, many = answers(tmp_path / "store", ("qw", "optimized_100(A:Line)"), ("qw", "optimized_10(A:Line)"))
    assert b'"waveform": false' in few and b'"val": 7.0' in few
    assert b'"waveform": true' in many and b'"val": [' in many


def test_samples_at_a_time_are_strict_json(tmp_path: Path):
    """What is not finite is null there, in arrays element by element; `.json` has the bare words."""
    filler = Filler(tmp_path / "store")
    filler.put("A:Nan", Dbr.DOUBLE, T0 * NS, np.array([NAN]), 3, 17)
    filler.put("A:Inf", Dbr.FLOAT, T0 * NS, np.array([-math.inf], np.float32))
    filler.put("A:List", Dbr.DOUBLE, T0 * NS, np.array([[1.5, NAN, math.inf]]))
    filler.close()

    async def asked() -> str:
        async with inside(open_reader(tmp_path / "store")) as client:
            reply = await client.post(
                "/retrieval/data/getDataAtTime?at=2026-11-20T09:00:00Z", json=["A:Nan", "A:Inf", "A:List", "A:None"]
            )
            return reply.text

    def refused(word: str) -> None:
        raise ValueError(word)

    found = json.loads(asyncio.run(asked()), parse_constant=refused)
    assert {name: row["val"] for name, row in found.items()} == {
        "A:Nan": None,
        "A:Inf": None,
        "A:List": [1.5, None, None],
    }
    assert (found["A:Nan"]["severity"], found["A:Nan"]["status"]) == (3, 17)
