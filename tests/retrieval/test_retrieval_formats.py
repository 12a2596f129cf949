"""The formats `.jplot`, `.mat` and `.svg`, and notes of single samples in `.json` and `.qw`."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.io
from archive_fill import NS, T0, Server

from archiver.retrieval import jplot, mat, svg, text
from archiver.retrieval.query import Refused
from archiver.retrieval.source import Answer
from archiver.store import Dbr, PvInfo, Samples

AT = "2026-11-20T08:00:00Z"
END = "2026-11-20T09:00:00Z"
SCALARS = ("T:Short", "T:Float", "T:Enum", "T:Char", "T:Long", "T:Double")
ALL = (*SCALARS, "T:String", "T:Doubles", "T:Shorts", "T:Strings", "T:NanArray", "T:Changed", "T:Empty", "T:Day")


def samples(values: Any, dbr: Dbr = Dbr.DOUBLE, array: bool = False, start_s: int = T0) -> Samples:
    n = len(values)
    times = (start_s + np.arange(n, dtype=np.int64)) * NS + 123_456_789
    return Samples(dbr, array, times, np.zeros(n, np.uint8), np.zeros(n, np.uint16), values)


def answer(*batches: Samples, count: int = 1, name: str = "A:B", metadata: dict[str, str] | None = None) -> Answer:
    info = PvInfo(name, batches[0].dbr if batches else None, count, None, None, {})
    return Answer(name, info, metadata or {}, count != 1, ((T0 * NS, (T0 + 100) * NS),), iter(batches))


def matlab(body: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """`header` and `data` of a MATLAB file."""
    found = scipy.io.loadmat(io.BytesIO(body))
    header, data = found["header"][0, 0], found["data"][0, 0]
    return {n: str(header[n][0]) for n in header.dtype.names}, {n: data[n] for n in data.dtype.names}


# MATLAB


def test_mat_of_a_scalar(server: Server):
    reply = server.data("T:Ramp", AT, "2026-11-20T08:00:10Z", "mat")
    assert reply.headers["content-type"] == "application/matlab"
    header, data = matlab(reply.content)
    assert header == {
        "source": "owlshift",
        "pvName": "T:Ramp",
        "from": "2026-11-20T08:00:00.000Z",
        "to": "2026-11-20T08:00:10.000Z",
    }
    assert data["epochSeconds"].dtype == np.uint64 and data["epochSeconds"].ravel().tolist() == [*range(T0, T0 + 10)]
    assert data["nanos"].dtype == np.uint64 and set(data["nanos"].ravel().tolist()) == {123_456_789}
    assert data["values"].dtype == np.float64 and data["values"].ravel().tolist() == [i * 0.5 for i in range(10)]
    assert data["isDST"].dtype == np.uint8 and data["isDST"].shape == (10, 1)


@pytest.mark.parametrize("pv", ALL)
def test_mat_of_every_kind(server: Server, pv: str):
    rows = server.data(pv, AT, END).json()[0]["data"]
    _, data = matlab(server.data(pv, AT, END, "mat").content)
    assert data["epochSeconds"].ravel().tolist() == [r["secs"] for r in rows]
    for got, row in zip(data["values"], rows, strict=True):
        want = row["val"] if isinstance(row["val"], list) else [row["val"]]
        if isinstance(want[0], str):
            assert ["".join(cell) for cell in got] == want
        else:
            np.testing.assert_allclose(got[: len(want)], want, rtol=1e-6)
            assert np.isnan(got[len(want) :]).all()


def test_mat_of_wide_and_uneven_arrays():
    ragged = np.empty(2, object)
    ragged[:] = [np.arange(3.0), np.arange(5.0)]
    first = np.arange(40_000, dtype=np.float64).reshape(4, 10_000)
    batches = samples(first, array=True), samples(ragged, array=True, start_s=T0 + 10)
    _, data = matlab(b"".join(mat.encode(answer(*batches, count=10_000))))
    assert data["values"].shape == (6, 10_000)
    np.testing.assert_array_equal(data["values"][:4], first)
    assert data["values"][5, :5].tolist() == [0, 1, 2, 3, 4] and np.isnan(data["values"][4, 3:]).all()


def test_mat_of_many_samples_needs_no_memory_for_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mat, "_GROUP", 1000)
    whole = np.random.default_rng(1).normal(size=(5000, 3))
    _, data = matlab(b"".join(mat.encode(answer(samples(whole, array=True), count=3))))
    np.testing.assert_array_equal(data["values"], whole)


@pytest.mark.parametrize(("most", "values"), [("MOST_BYTES", np.zeros(1000)), ("MOST_TEXT", None)])
def test_mat_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch, most: str, values: Any):
    monkeypatch.setattr(mat, most, 10_000)
    dbr = Dbr.DOUBLE if values is not None else Dbr.STRING
    given = values if values is not None else np.array(["x" * 39] * 1000, object)
    with pytest.raises(Refused) as refused:
        list(mat.encode(answer(samples(given, dbr))))
    assert refused.value.status == 413 and "too long for a .mat file" in refused.value.sentence


# jplot


def test_jplot(server: Server):
    reply = server.data("T:Ramp", AT, "2026-11-20T08:00:01Z", "jplot")
    assert reply.headers["content-type"] == "application/json"
    assert reply.json() == [{"label": "T:Ramp", "data": [["2026-11-20T08:00:00.123Z", 0.0]]}]
    reply = server.client.get(
        f"{server.url}/retrieval/data/getDataForPVs.jplot",
        params={"pv": ["T:Double", "T:Empty", "T:String"], "from": AT, "to": END},
    )
    first, empty, texts = reply.json()
    assert [v for _, v in first["data"]] == [None, None, None, 1e300, 5e-324]
    assert empty == {"label": "T:Empty", "data": []} and texts["data"][1][1] == 'say "hi"\\'


def test_jplot_of_nothing():
    assert json.loads(b"".join(jplot.encode([answer()]))) == [{"label": "A:B", "data": []}]


# SVG


@pytest.mark.parametrize("pv", [*ALL, "mean_60(T:Day)", "T:Ramp.HIHI", "caplotbinning_60(T:Day)", "ncount(T:Day)"])
def test_svg_of_every_kind(server: Server, pv: str):
    for start, end in ((AT, END), (AT, AT), ("2000-01-01T00:00:00Z", "2030-01-01T00:00:00Z")):
        reply = server.data(pv, start, end, "svg")
        assert reply.status_code == 200 and reply.headers["content-type"] == "image/svg+xml"
        root = ET.fromstring(reply.text)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "nan" not in reply.text.replace("T:Nan", "").lower() and "inf" not in reply.text


def test_svg_shows_what_there_is(server: Server):
    text_ = server.data("T:Enum", AT, END, "svg").text
    assert ">Trip<" in text_ and ">Off<" in text_ and "T:Enum" in text_
    assert "T:Ramp [V]" in server.data("T:Ramp", AT, END, "svg").text
    assert "no samples" in server.data("T:Empty", AT, END, "svg").text
    day = server.data("T:Day", AT, "2026-11-21T08:00:00Z", "svg")
    assert "polygon" in day.text and len(day.text) < 200_000
    assert "only the first 4000 samples" in server.data("nth_1(T:Day)", AT, "2026-11-21T08:00:00Z", "svg").text


def test_svg_of_a_name_that_is_no_xml():
    body = b"".join(svg.encode(answer(samples(np.zeros(3)), name='<&>"\x00\x1b', metadata={"EGU": "<V>"})))
    titles = [e.text for e in ET.fromstring(body.decode()).iter() if e.tag.endswith("title")]
    assert titles == ['<&>"?? [<V>]']


@pytest.mark.parametrize("values", [[0.0], [1e308, -1e308], [5.0, 5.0], [np.inf, 1.0], [np.nan], [1e-320, 2e-320]])
def test_svg_of_odd_numbers(values: list[float]):
    ET.fromstring(b"".join(svg.encode(answer(samples(np.array(values))))).decode())


# Notes


@pytest.mark.parametrize("form", ["json", "qw"])
def test_notes_are_fields(form: str):
    notes = {0: {"cnxlostepsecs": "0", "startup": "true"}, 2: {"DESC": 'say "hi"\n'}}
    batch = replace(samples(np.arange(4.0)), notes=notes)
    if form == "json":
        body = b"".join(text.json_stream([({"name": "A"}, [batch])]))
        assert b', "status":0, "fields": { "cnxlostepsecs": "0","startup": "true"} },\n' in body
    else:
        body = b"".join(text.qw_stream([({"name": "A"}, False, [batch])]))
    rows = json.loads(body)[0]["data"]
    assert [r.get("fields") for r in rows] == [notes[0], None, notes[2], None]
