"""Rows 7 to 14: the Data Browser of Phoebus and its pbrawclient; their requests as they send them, strictly decoded."""

from __future__ import annotations

import math

import numpy as np
import pytest
from matrix_stand import NS, T0, Stand
from retrieval.epicsevent import KINDS, decode

from archiver.store import StoreReader

HOUR = ("2026-11-20T08:00:00Z", "2026-11-20T09:00:00Z")
LIMITS = ("LOPR", "HOPR", "LOW", "HIGH", "LOLO", "HIHI")


def test_row_07_the_last_sample_at_one_time(stand: Stand):
    at = "2026-11-20T08:30:00.500Z"
    (chunk,) = stand.raw("C:Beam", at, at)
    assert [e.time_ns for e in chunk.events] == [(T0 + 1800) * NS]
    assert chunk.kind == "SCALAR_DOUBLE" and chunk.name == "C:Beam"
    assert [float(chunk.headers[key]) for key in LIMITS] == [0.0, 10.0, 1.0, 8.0, 0.5, 9.0]
    assert chunk.headers["EGU"] == "mA" and round(float(chunk.headers["PREC"])) == 3
    late = "2030-01-01T00:00:00Z"
    (chunk,) = stand.raw("C:Valve", late, late)
    assert len(chunk.events) == 1


def test_row_08_optimized(stand: Stand):
    # as java.net.URLEncoder writes it
    query = "pv=optimized_800%28C%3ABeam%29&from=2026-11-20T08%3A00%3A00Z&to=2026-11-20T09%3A00%3A00.123456789Z"
    reply = stand.exactly(f"/retrieval/data/getData.raw?{query}&fetchLatestMetadata=true")
    assert reply.status_code == 200
    (chunk,) = decode(reply.content)
    assert chunk.kind == "WAVEFORM_DOUBLE" and all(len(e.value) == 5 for e in chunk.events)
    mean, std, low, high, count = chunk.events[100].value
    assert low <= mean <= high and std >= 0 and count in (4.0, 5.0)
    for key in LIMITS:
        float(chunk.headers[key])
    assert int(chunk.headers.get("EAA_COUNT", chunk.headers.get("NELM", "1"))) >= 1
    (chunk,) = stand.raw("optimized_800(T:Ramp)", *HOUR, fetchLatestMetadata="true")
    assert chunk.kind == "SCALAR_DOUBLE" and len(chunk.events) == 100


def test_row_09_an_enum(stand: Stand):
    (chunk,) = stand.raw("C:Valve", *HOUR, fetchLatestMetadata="true")
    assert chunk.kind == "SCALAR_ENUM" and (chunk.headers["ENUM_0"], chunk.headers["ENUM_1"]) == ("Closed", "Open")
    assert all(name[5:].isdecimal() for name in chunk.headers if name.startswith("ENUM_"))
    (chunk,) = stand.raw("ncount(C:Valve)", *HOUR)
    assert chunk.kind == "SCALAR_INT" and [e.value for e in chunk.events] == [61]
    (chunk,) = stand.raw("nth_10(C:Valve)", *HOUR)
    assert chunk.kind == "SCALAR_ENUM" and 6 <= len(chunk.events) <= 8


def test_row_10_five_streams_that_fit_together(stand: Stand):
    streams = [
        stand.raw(f"{operator}_60({pv})", "2026-11-20T08:00:30Z", "2026-11-20T09:00:30Z")
        for pv in ("C:Beam", "C:Gap")
        for operator in ("mean", "std", "min", "max", "count")
    ]
    for five in (streams[:5], streams[5:]):
        times = [[e.time_ns for chunk in stream for e in chunk.events] for stream in five]
        assert len(times[0]) > 50 and all(t == times[0] for t in times)
        assert all(chunk.kind == "SCALAR_DOUBLE" for stream in five for chunk in stream)


def test_row_11_over_new_year(stand: Stand):
    reply = stand.data("raw", "T:NewYear", "2026-12-31T00:00:00Z", "2027-01-02T00:00:00Z")
    first, second = decode(reply.content)
    assert (first.year, second.year) == (2026, 2027)
    assert [len(first.events), len(second.events)] == [1, 2]
    assert reply.content.count(b"\n\n") == 1
    assert second.events[0].time_ns == first.events[0].time_ns + 1


def test_row_12_no_samples(stand: Stand):
    for pv in ("T:Empty", "T:NewYear"):
        (chunk,) = stand.raw(pv, *HOUR)
        assert chunk.name == pv and chunk.events == []
    assert stand.get("/retrieval/data/getData.raw", pv="T:Nope").status_code == 404


def test_row_13_a_template_for_retired_pvs(stand: Stand):
    query = "retiredPVTemplate=C:Beam&pv=GONE:Beam&from=2026-11-20T08%3A00%3A00Z&to=2026-11-20T09%3A00%3A00Z"
    reply = stand.exactly(f"/retrieval/data/getData.raw?{query}")
    assert reply.status_code == 200
    (chunk,) = decode(reply.content)
    assert chunk.kind == "SCALAR_DOUBLE" and chunk.name == "GONE:Beam" and chunk.events == []


@pytest.fixture(scope="module")
def reader(stand: Stand):
    reader = StoreReader(stand.engine.archive)
    yield reader
    reader.close()


def test_row_14_all_types_and_escapes(stand: Stand, reader: StoreReader):
    """14 of the 15: structures of pvAccess are never archived here, so none is ever sent."""
    seen = set()
    for name in reader.names():
        if not name.startswith(("T:", "C:Esc")) or name in ("T:Empty", "T:NewYear", "T:Day"):
            continue
        chunks = stand.raw(name, *HOUR)
        pieces = list(reader.read(name, T0 * NS, (T0 + 3600) * NS))
        mine = [(t, v) for p in pieces for t, v in zip(p.time_ns.tolist(), p.values, strict=True)]
        theirs = [(e.time_ns, e.value) for chunk in chunks for e in chunk.events]
        assert [t for t, _ in mine] == [t for t, _ in theirs], name
        for (_, here), (_, there) in zip(mine, theirs, strict=True):
            here = here.tolist() if isinstance(here, np.ndarray | np.generic) else here
            there = list(there) if isinstance(there, bytes) and isinstance(here, list) else there
            there = there[0] if isinstance(there, bytes) else there
            assert repr(here) == repr(there), name
        seen |= {chunk.kind for chunk in chunks}
    assert seen == set(KINDS) - {"V4_GENERIC_BYTES"}
    (chunk,) = stand.raw("T:Double", *HOUR)
    assert math.isnan(chunk.events[0].value) and chunk.events[0].severity == 3
