"""Operators: which there are for what, and over HTTP."""

from __future__ import annotations

import math

import pytest
from archive_fill import NS, T0, Server
from epicsevent import decode
from operator_archive import run

from archiver.retrieval import operators
from archiver.retrieval.query import Operator
from archiver.store import Dbr


def test_the_bin_before_the_start():
    """The example of the format's description: of two bins whose centres are not after the start, the second."""
    rows = [((T0 - 7) * NS, 1.0, 0), ((T0 + 100) * NS, 2.0, 0), ((T0 + 130) * NS, 3.0, 0)]
    assert T0 % 60 == 0
    got = run("mean_60", rows, (T0 + 100) * NS, (T0 + 179) * NS)
    assert [(r[0] // NS - T0, r[1]) for r in got] == [(90, 2.0), (150, 3.0)]
    got = run("mean_60", rows, (T0 + 60) * NS, (T0 + 179) * NS)
    assert [(r[0] // NS - T0, r[1]) for r in got] == [(30, 1.0), (90, 2.0), (150, 3.0)]


def test_jitter_of_a_zero_mean_is_no_number():
    rows = [((T0 + 1) * NS, -1.0, 0), ((T0 + 2) * NS, 1.0, 0)]
    ((_, value, _),) = run("jitter_60", rows, T0 * NS, (T0 + 30) * NS)
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


EVERY = (
    "firstSample_60 lastSample_60 firstFill_60 lastFill_60 mean_60 min_60 max_60 count_60 ncount ncount_5 nth_5 "
    "median_60 std_60 jitter_60 ignoreflyers_60 flyers_3600_3 variance_60 popvariance_60 kurtosis_60 skewness_60 "
    "linear_60 loess_300 stats_60 optimized_500 optimizedSample_500 optimLastSample_500 caplotbinning_60 deadBand_0.1 "
    "errorbar_60 rms_60 minmax_500 lttb_500 twoweek meanSample_60"
).split()


@pytest.mark.parametrize("text", EVERY)
def test_every_operator_in_every_format(server: Server, text: str):
    counts = set()
    for ext in ("json", "qw", "raw"):
        reply = server.data(f"{text}(T:Day)", ext=ext, **DAY)
        assert reply.status_code == 200 and "warning" not in reply.headers
        if ext == "raw":
            counts.add(sum(len(chunk.events) for chunk in decode(reply.content)))
        else:
            counts.add(len(reply.json()[0]["data"]))
    assert len(counts) == 1 and counts.pop() > 0


def test_parallel_statistics_align(server: Server):
    counts = {
        operator: [r["secs"] for r in server.data(f"{operator}_600(T:Day)", **DAY).json()[0]["data"]]
        for operator in ("mean", "std", "min", "max", "count")
    }
    assert len({tuple(c) for c in counts.values()}) == 1 and len(counts["mean"]) > 140


def test_operators_in_raw(server: Server):
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
