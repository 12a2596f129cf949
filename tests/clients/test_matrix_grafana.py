"""Rows 15 to 19: the Grafana plugin, in the browser (.qw) and in its backend (.raw); row 30: the LNLS viewer."""

from __future__ import annotations

import json

import pytest
from matrix_stand import T0, Stand
from retrieval.epicsevent import decode

OPERATORS = [
    *("firstSample", "lastSample", "firstFill", "lastFill", "mean", "min", "max", "count", "ncount", "nth", "median"),
    *("std", "jitter", "ignoreflyers", "flyers", "variance", "popvariance", "kurtosis", "skewness"),
]
WINDOW = "from=2026-11-20T08:00:00.000Z&to=2026-11-20T09:00:00.000Z"


def refuse(word: str) -> float:
    raise AssertionError(f"{word} is no JSON")


def qw(stand: Stand, pv: str) -> dict:
    reply = stand.exactly(f"/retrieval/data/getData.qw?pv={pv}&{WINDOW}")
    assert reply.status_code == 200 and reply.headers["content-type"] == "application/json"
    (answer,) = json.loads(reply.text, parse_constant=refuse)
    return answer


def test_row_15_qw(stand: Stand):
    answer = qw(stand, "C%3ABeam")
    assert answer["meta"]["name"] == "C:Beam" and answer["meta"]["waveform"] is False
    assert answer["data"][0]["millis"] == T0 * 1000 and round(float(answer["meta"]["PREC"])) == 3
    answer = qw(stand, "mean_60%28C%3ABeam%29")
    assert answer["meta"]["name"] == "C:Beam" and len(answer["data"]) == 61
    assert [e["val"] for e in qw(stand, "T:Double")["data"]] == [None, None, None, 1e300, 5e-324]
    answer = qw(stand, "T:NanArray")
    assert answer["meta"]["waveform"] is True and answer["data"][0]["val"] == [None, None]
    assert qw(stand, "T:Doubles")["data"][0]["val"] == [0.0, 1.0]
    answer = qw(stand, "T:Empty")
    assert answer["data"] == []


def test_row_16_the_backend(stand: Stand):
    times = "from=2026-11-20T09%3A00%3A00.000%2B01%3A00&pv=C%3ABeam&to=2026-11-20T10%3A00%3A00.000%2B01%3A00"
    reply = stand.exactly(f"/retrieval/data/getData.raw?donotchunk=&{times}")
    assert reply.status_code == 200 and reply.content.endswith(b"\n")
    assert "content-length" in reply.headers and "transfer-encoding" not in reply.headers
    (chunk,) = decode(reply.content)
    assert chunk.name == "C:Beam" and len(chunk.events) == 3601


@pytest.mark.parametrize("operator", OPERATORS)
def test_row_17_every_operator(stand: Stand, operator: str):
    times = "from=2026-11-20T08%3A00%3A00.000%2B00%3A00"
    pv, end = f"{operator}_5%28C%3ABeam%29", "to=2026-11-20T09%3A00%3A00.000%2B00%3A00"
    reply = stand.exactly(f"/retrieval/data/getData.raw?donotchunk=&{times}&pv={pv}&{end}")
    assert reply.status_code == 200
    chunks = decode(reply.content)
    if operator != "flyers":  # a sine has none
        assert sum(len(chunk.events) for chunk in chunks) >= 1
    assert qw(stand, pv)["meta"]["name"] == "C:Beam"


def test_row_17_flyers_of_a_pv_that_has_one(stand: Stand):
    window = "from=2026-11-20T11:00:00.000Z&to=2026-11-20T12:00:00.000Z"
    reply = stand.exactly(f"/retrieval/data/getData.raw?pv=flyers_3600(T:Day)&{window}")
    assert [e.value for chunk in decode(reply.content) for e in chunk.events][-1] == 99.0


def test_row_18_last(stand: Stand):
    at = "2026-11-20T08%3A59%3A59.999Z"
    reply = stand.exactly(f"/retrieval/data/getData.qw?pv=C%3ABeam&from={at}&to={at}")
    assert [e["millis"] for e in reply.json()[0]["data"]] == [(T0 + 3599) * 1000]


def test_row_19_names_and_health(stand: Stand):
    reply = stand.exactly("/retrieval/bpl/getMatchingPVs?limit=3&regex=T%3A.*")
    assert reply.status_code == 200 and len(reply.json()) == 3
    assert stand.exactly("/retrieval/bpl/getMatchingPVs?limit=100&regex=T%3ARa.*").json() == ["T:Ramp"]
    reply = stand.exactly("/retrieval/bpl/getVersion")
    assert reply.status_code == 200 and reply.json()["version"]


def test_row_30_the_lnls_viewer(stand: Stand):
    found = stand.get("/retrieval/bpl/getMetadata", pv="C:Beam").json()
    assert found["pvName"] == "C:Beam" and found["DBRType"] == "DBR_SCALAR_DOUBLE"
    assert {"NELM", "PREC", "EGU", "scalar", "samplingMethod"} <= set(found)
    assert all(isinstance(value, str) for value in found.values())
    assert stand.get("/retrieval/bpl/getMatchingPVs", pv="T:D*", limit="500").json() == [
        "T:Day",
        "T:Double",
        "T:Doubles",
    ]
    events = stand.exactly(f"/retrieval/data/getData.json?pv=optimized_100(C:Beam)&{WINDOW}").json()[0]["data"]
    assert all(len(e["val"]) == 5 for e in events)
