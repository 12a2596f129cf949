"""What getData answers, over real HTTP."""

from __future__ import annotations

import json
import math

import httpx
import numpy as np
import pytest
from archive_fill import NS, T0, Server
from epicsevent import decode

AT = "2026-11-20T08:00:00.000Z"
END = "2026-11-20T09:00:00.000Z"


def rows(reply: httpx.Response) -> list[dict]:
    assert reply.status_code == 200, reply.text
    (pv,) = reply.json()
    return pv["data"]


def times(reply: httpx.Response) -> list[int]:
    return [r["secs"] * NS + r["nanos"] for r in rows(reply)]


RAMP = [(T0 + i) * NS + 123_456_789 for i in range(100)]


def test_the_layout_of_json_to_the_letter(server: Server):
    reply = server.data("T:Ramp", "2026-11-20T08:00:59.5Z", "2026-11-20T08:01:00.9Z")
    assert reply.text == (
        "[ \n"
        '{ "meta": { "name": "T:Ramp" , "EGU": "V" , "PREC": "3" , "HIHI": "10.0" , "DESC": "a \\"ramp\\" µ" },\n'
        '"data": [ \n'
        f'{{ "secs": {T0 + 59}, "val": 29.5, "nanos": 123456789, "severity":0, "status":0 }},\n'
        f'{{ "secs": {T0 + 60}, "val": 30.0, "nanos": 123456789, "severity":2, "status":3 }}\n'
        "] }\n ]\n"
    )


@pytest.mark.parametrize(
    ("ext", "content_type"),
    [
        ("json", "application/json"),
        ("raw", "application/x-protobuf"),
        ("qw", "application/json"),
        ("csv", "text/csv"),
        ("txt", "text/plain"),
    ],
)
def test_content_types_are_exact_and_any_page_may_read(server: Server, ext: str, content_type: str):
    reply = server.data("T:Ramp", AT, END, ext)
    assert reply.status_code == 200
    assert reply.headers["content-type"] == content_type
    assert reply.headers["access-control-allow-origin"] == "*"
    head = server.client.head(str(reply.url))
    assert head.status_code == 200 and head.content == b"" and head.headers["content-type"] == content_type


def test_the_first_sample_is_the_newest_at_or_before_from(server: Server):
    got = times(server.data("T:Ramp", "2026-11-20T08:00:10.000Z", "2026-11-20T08:00:12.5Z"))
    assert got == RAMP[9:13]


def test_a_sample_exactly_at_from_is_the_first(server: Server):
    got = times(server.data("T:Ramp", "2026-11-20T08:00:10.123456789Z", "2026-11-20T08:00:11.123456789Z"))
    assert got == RAMP[10:12]


def test_from_equal_to_to_is_the_last_known_sample(server: Server):
    for moment, expected in (("2026-11-20T08:00:30Z", RAMP[29]), ("2027-11-20T00:00:00Z", RAMP[99])):
        assert times(server.data("T:Ramp", moment, moment)) == [expected]


def test_an_old_sample_is_the_only_one_of_an_empty_window(server: Server):
    assert times(server.data("T:Ramp", "2026-12-01T00:00:00Z", "2026-12-02T00:00:00Z")) == [RAMP[99]]


def test_a_pv_that_begins_later_has_no_sample_before(server: Server):
    got = times(server.data("T:Ramp", "2020-01-01T00:00:00Z", "2026-11-20T08:00:02Z"))
    assert got == RAMP[:2]


def test_everything_comes_once_from_segments_and_tail(server: Server):
    assert times(server.data("T:Ramp", "2020-01-01T00:00:00Z", "2030-01-01T00:00:00Z")) == RAMP
    assert times(server.data("T:Ramp", "2020-01-01T00:00:00Z", AT)) == []


def test_known_but_empty(server: Server):
    for pv, start, end in (("T:Empty", AT, END), ("T:Ramp", "2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z")):
        reply = server.data(pv, start, end)
        assert [(p["meta"]["name"], p["data"]) for p in reply.json()] == [(pv, [])]
        (chunk,) = decode(server.data(pv, start, end, "raw").content)
        assert (chunk.name, chunk.events, chunk.year) == (pv, [], int(start[:4]))
        assert server.data(pv, start, end, "csv").text == "\n"
        assert server.data(pv, start, end, "qw").json()[0]["data"] == []


def test_the_window_is_the_last_day_and_the_next_hour_unless_said(server: Server):
    assert rows(server.data("T:Empty")) == []
    assert len(times(server.data("T:NewYear", end="2027-01-01T00:00:00.5Z"))) == 2


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-11-20T08:00:10.000Z", "2026-11-20T08:00:12Z"),
        ("2026-11-20T09:00:10.000+01:00", "2026-11-20T02:00:12.000-06:00"),
        ("2026-11-20T08:00:10", "2026-11-20T08:00:12"),
        ("2026-11-20 08:00:10", "2026-11-20 08:00:12Z"),
        ("2026-11-20T08:00:10.0000000Z", "2026-11-20T08:00:12.000000000Z"),
    ],
)
def test_times_in_all_the_ways_clients_write_them(server: Server, start: str, end: str):
    assert times(server.data("T:Ramp", start, end)) == RAMP[9:12]


def test_an_offset_whose_plus_was_not_escaped(server: Server):
    window = "from=2026-11-20T09:00:10+01:00&to=2026-11-20T09:00:12+01:00"
    assert times(server.client.get(f"{server.url}/retrieval/data/getData.json?pv=T:Ramp&{window}")) == RAMP[9:12]


def test_time_ranges(server: Server):
    ranges = "2026-11-20T08:00:10Z,2026-11-20T08:00:11.5Z,2026-11-20T08:00:11.6Z,2026-11-20T08:00:13Z"
    assert times(server.data("T:Ramp", timeranges=ranges)) == RAMP[9:13]
    assert server.data("T:Ramp", timeranges=ranges + ",2026-11-20T08:00:20Z").status_code == 400
    assert server.data("T:Ramp", timeranges="2026-11-20T08:00:20Z,2026-11-20T08:00:10Z").status_code == 400


@pytest.mark.parametrize("asked", ["T:Ramp.VAL", "ca://T:Ramp", "pva://T:Ramp.VAL", " T:Ramp "])
def test_other_spellings_of_a_name(server: Server, asked: str):
    (pv,) = server.data(asked, AT, "2026-11-20T08:00:01Z").json()
    assert pv["meta"]["name"] == "T:Ramp"
    (pv,) = server.data(asked, AT, "2026-11-20T08:00:01Z", "qw").json()
    assert pv["meta"]["name"] == asked.strip()


# every type

SCALARS = {
    "T:Short": [-32768, -1, 0, 1, 32767],
    "T:Float": [0.1, -0.0, 1e10, math.nan, 3.0],
    "T:Enum": [0, 1, 2, 1, 0],
    "T:Char": [0, 10, 13, 27, 255],
    "T:Long": [-(2**31), -1, 0, 1, 2**31 - 1],
    "T:Double": [math.nan, math.inf, -math.inf, 1e300, 5e-324],
    "T:String": ["", 'say "hi"\\', "line\nfeed", "µA", "x" * 39],
}
WHOLE = [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [1, 2, 3]]
FLOATING = [[float(v) for v in row] for row in WHOLE]
ARRAYS = {
    "T:Shorts": WHOLE,
    "T:Enums": WHOLE,
    "T:Chars": WHOLE,
    "T:Longs": WHOLE,
    "T:Floats": FLOATING,
    "T:Doubles": FLOATING,
    "T:Strings": [["a", ""], ["b,c", "d"]],
}


def equal(a: object, b: object) -> bool:
    return repr(a) == repr(b)


@pytest.mark.parametrize("pv", [*SCALARS, *ARRAYS])
def test_every_type_as_json(server: Server, pv: str):
    got = [r["val"] for r in rows(server.data(pv, AT, END))]
    assert equal(got, {**SCALARS, **ARRAYS}[pv])


@pytest.mark.parametrize("pv", [*SCALARS, *ARRAYS])
def test_every_type_as_raw(server: Server, pv: str):
    chunks = decode(server.data(pv, AT, END, "raw").content)
    got = [e.value for c in chunks for e in c.events]
    wanted = {**SCALARS, **ARRAYS}[pv]
    if pv == "T:Char":
        wanted = [bytes([v]) for v in wanted]
    elif pv == "T:Chars":
        wanted = [bytes(v) for v in wanted]
    elif pv == "T:Float":
        wanted = [float(np.float32(v)) for v in wanted]
    assert equal(got, wanted)
    element = {"Char": "BYTE", "Long": "INT"}.get(pv[2:].removesuffix("s"), pv[2:].removesuffix("s").upper())
    assert {c.kind for c in chunks} == {f"{'WAVEFORM' if pv in ARRAYS else 'SCALAR'}_{element}"}


@pytest.mark.parametrize("pv", [*SCALARS, *ARRAYS, "T:NanArray"])
def test_qw_is_strict_json(server: Server, pv: str):
    def no(word: str):
        raise AssertionError(word)

    (answer,) = json.loads(server.data(pv, AT, END, "qw").text, parse_constant=no)
    assert list(answer["meta"])[:2] == ["name", "waveform"]
    assert answer["meta"]["waveform"] is (pv not in SCALARS)
    assert answer["data"][0]["millis"] == T0 * 1000
    if pv == "T:Double":
        assert [r["val"] for r in answer["data"]] == [None, None, None, 1e300, 5e-324]
    if pv == "T:NanArray":
        assert answer["data"][0]["val"] == [None, None]


@pytest.mark.parametrize("pv", [*SCALARS, *ARRAYS])
def test_every_type_as_csv_and_txt(server: Server, pv: str):
    import csv
    import io

    body = server.data(pv, AT, END, "csv").text
    assert body.endswith("\n\n")
    lines = list(csv.reader(io.StringIO(body[:-1], newline="")))
    assert {len(line) for line in lines} == {5}
    assert lines[0][0] == str(T0) and lines[0][4] == "0"
    if pv == "T:String":
        assert [line[1] for line in lines] == SCALARS[pv]
    text = server.data(pv, AT, END, "txt").text
    assert text.startswith(f"Beginning data for {pv}\nData from stream owlshift\nNov/20/2026 08:00:00 UTC\t")


def test_enum_states_and_alarms(server: Server):
    (pv,) = server.data("T:Enum", AT, END).json()
    assert pv["meta"] == {"name": "T:Enum", "ENUM_0": "Off", "ENUM_1": "On", "ENUM_2": "Trip"}
    assert [(r["severity"], r["status"]) for r in pv["data"]] == [(0, 0), (0, 0), (2, 7), (0, 0), (0, 0)]
    (chunk,) = decode(server.data("T:Enum", AT, END, "raw").content)
    assert chunk.headers["ENUM_2"] == "Trip" and (chunk.events[2].severity, chunk.events[2].status) == (2, 7)


def test_metadata_is_strings_and_limits_are_numbers(server: Server):
    (pv,) = server.data("T:Ramp", AT, END).json()
    assert pv["meta"]["PREC"] == "3" and pv["meta"]["HIHI"] == "10.0" and "HOPR" not in pv["meta"]
    (pv,) = server.data("T:Ramp", AT, END, fetchLatestMetadata="true").json()
    assert pv["meta"]["PREC"] == "3.0"
    (chunk,) = decode(server.data("T:Ramp", AT, END, "raw", fetchLatestMetadata="true").content)
    assert chunk.headers["PREC"] == "3.0" and chunk.headers["DESC"] == 'a "ramp" µ' and chunk.count == 1


def test_a_change_of_type(server: Server):
    assert [r["val"] for r in rows(server.data("T:Changed", AT, END))] == [0, 1, 2, 3, 4, 0.25, 1.25, 2.25, 3.25, 4.25]
    chunks = decode(server.data("T:Changed", AT, END, "raw").content)
    assert [(c.kind, len(c.events)) for c in chunks] == [("SCALAR_INT", 5), ("SCALAR_DOUBLE", 5)]


def test_new_year(server: Server):
    chunks = decode(server.data("T:NewYear", "2026-12-31T00:00:00Z", "2027-02-01T00:00:00Z", "raw").content)
    assert [(c.year, [e.value for e in c.events]) for c in chunks] == [(2026, [1.0]), (2027, [2.0, 3.0])]


def test_several_pvs(server: Server):
    url = f"{server.url}/retrieval/data/getDataForPVs"
    window = {"from": AT, "to": "2026-11-20T08:00:01Z"}
    reply = server.client.get(f"{url}.json", params={"pv": ["T:Ramp", "T:Enum", "T:Empty"], **window})
    assert [(p["meta"]["name"], len(p["data"])) for p in reply.json()] == [("T:Ramp", 1), ("T:Enum", 2), ("T:Empty", 0)]
    for body in (b'["T:Ramp", "T:Empty", "T:Enum"]', b"T:Ramp\nT:Empty,T:Enum\n", b"pv=T%3ARamp,T:Empty,T:Enum"):
        reply = server.client.post(f"{url}.raw", params=window, content=body)
        chunks = decode(reply.content)
        assert [(c.name, len(c.events)) for c in chunks] == [("T:Ramp", 1), ("T:Empty", 0), ("T:Enum", 2)]
    assert server.client.get(f"{url}.csv", params={"pv": "T:Ramp"}).status_code == 400
    for pvs in (["T:Ramp", "T:Nope"], ["T:Nope", "T:Ramp"], ["T:Ramp", "mean_60(T:Nope)"]):
        reply = server.client.get(f"{url}.json", params={"pv": pvs})
        assert (reply.status_code, reply.text) == (404, "Unable to find typeinfo for pv T:Nope\n")
    reply = server.client.get(
        f"{url}.qw", params={"pv": ["T:Ramp", "wobble_5(T:Enum.VAL)", "mean_5(T:String)"], **window}
    )
    assert [p["meta"]["name"] for p in reply.json()] == ["T:Ramp", "T:Enum.VAL", "T:String"]
    warning = reply.headers["warning"]
    assert "operator wobble is not there" in warning and "mean is not for values of this type" in warning


def test_an_operator_does_not_leak_to_the_next_pv(server: Server):
    params = {"pv": ["count_60(T:Ramp)", "T:Enum"], "from": AT, "to": "2026-11-20T08:00:59Z"}
    one, two = server.client.get(f"{server.url}/retrieval/data/getDataForPVs.json", params=params).json()
    assert [r["val"] for r in one["data"]] == [59.0] and len(two["data"]) == 5


def test_at_one_time(server: Server):
    url = f"{server.url}/retrieval/data/getDataAtTime"
    names = ["T:Ramp", "T:Enum", "T:Nope", "T:Empty", "T:Ramp.VAL", "T:String", "T:Doubles"]
    params = {"at": "2026-11-20T08:00:02.500Z", "includeProxies": "true"}
    reply = server.client.post(url, params=params, json=names)
    assert reply.headers["content-type"] == "application/json"
    got = reply.json()
    assert list(got) == ["T:Ramp", "T:Enum", "T:Ramp.VAL", "T:String", "T:Doubles"]
    ramp = got["T:Ramp"]
    meta = ramp.pop("meta")
    assert ramp == {"secs": T0 + 2, "val": 1.0, "nanos": 123456789, "severity": 0, "status": 0}
    assert meta["DBRType"] == "DBR_SCALAR_DOUBLE" and meta["EGU"] == "V" and meta["PREC"] == "3.0"
    assert got["T:String"]["val"] == "line\nfeed" and got["T:Doubles"]["val"] == [4.0, 5.0]
    assert got["T:Doubles"]["meta"]["DBRType"] == "DBR_WAVEFORM_DOUBLE"
    assert server.client.post(url, content="T:Ramp\nT:Enum").json().keys() == {"T:Ramp", "T:Enum"}
    assert server.client.post(url, json=["T:Nope"]).json() == {}


def test_the_connection_test_pv(server: Server):
    (chunk,) = decode(server.data("ArchApplPingPV", ext="raw").content)
    assert [e.value for e in chunk.events] == [0.1 * i for i in range(10)]


def test_chunked_or_not(server: Server):
    window = ("2026-11-20T00:00:00Z", "2026-11-22T00:00:00Z")
    streamed = server.data("T:Day", *window)
    assert streamed.headers["transfer-encoding"] == "chunked"
    url = f"{server.url}/retrieval/data/getData.json?pv=T:Day&from={window[0]}&to={window[1]}&donotchunk"
    whole = server.client.get(url)
    assert int(whole.headers["content-length"]) == len(whole.content)
    assert whole.content == streamed.content and len(rows(whole)) == 76_400
