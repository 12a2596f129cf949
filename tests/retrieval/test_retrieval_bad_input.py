"""Whatever is asked: a status code and a sentence, never a traceback."""

from __future__ import annotations

import socket
from urllib.parse import urlencode

import httpx
import pytest
from archive_fill import NS, Server
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archiver.retrieval.query import Refused, data_request, parameters, parse_target, parse_time

DATA = "/retrieval/data/getData.json"
AT = "2026-11-20T08:00:00Z"


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        (DATA, 400, "PV name is null."),
        (f"{DATA}?pv=", 400, "PV name is null."),
        (f"{DATA}?pv=T:Nope", 404, "Unable to find typeinfo for pv T:Nope"),
        (f"{DATA}?pv=T:Nope%0d%0aX:%20y", 404, "Unable to find typeinfo for pv T:Nope"),
        (f"{DATA}?pv=..%2F..%2Fetc%2Fpasswd", 404, "Unable to find typeinfo"),
        (f"{DATA}?pv=mean_60(T:Nope)", 404, "Unable to find typeinfo for pv T:Nope"),
        (f"{DATA}?pv=mean_abc(T:Ramp)", 404, "mean_abc"),
        (f"{DATA}?pv=mean_0(T:Ramp)", 404, "mean_0"),
        (f"{DATA}?pv=mean_99999999999999999999(T:Ramp)", 404, "whole number"),
        (f"{DATA}?pv=mean_60(T:Ramp", 400, "parenthesis"),
        (f"{DATA}?pv=(T:Ramp)", 400, "operator"),
        (f"{DATA}?pv=T:Ramp&from=yesterday", 400, "from='yesterday'"),
        (f"{DATA}?pv=T:Ramp&to=2026-13-01T00:00:00Z", 400, "as a time"),
        (f"{DATA}?pv=T:Ramp&to=2026-11-20T25:00:00Z", 400, "as a time"),
        (f"{DATA}?pv=T:Ramp&to=2026-11-20T08:00:00%2B99:00", 400, "as a time"),
        (f"{DATA}?pv=T:Ramp&from=2026-11-21T00:00:00Z&to={AT}", 400, "is before the start"),
        (f"{DATA}?pv=T:Ramp&from=9999-01-01T00:00:00Z", 400, "is before the start"),
        (f"{DATA}?pv=T:Ramp&timeranges={AT}", 400, "even number"),
        (f"{DATA}?pv=T:Ramp&from=%zz", 400, "hexadecimal"),
        (f"{DATA}?pv=T:Ramp%", 400, "hexadecimal"),
        (f"{DATA}?pv=%ff%fe", 400, "UTF-8"),
        (f"{DATA}?pv=mean_1(T:Ramp)&from=1700-01-01T00:00:00Z&to={AT}", 400, "bins"),
        (f"{DATA}?pv=optimized_2000000(T:Ramp)", 400, "points"),
        (f"{DATA}?pv={'x' * 20000}", 414, "20003 characters"),
        ("/retrieval/data/getData.xyz?pv=T:Ramp", 400, "no format"),
        ("/retrieval/data/getData?pv=T:Ramp", 400, "no format"),
        ("/retrieval/data/getData.flx?pv=T:Ramp", 501, ".flx is of the past"),
        ("/retrieval/data/getDataForPVs.flx?pv=T:Ramp", 400, "no format"),
        ("/retrieval/data/getDataForPVs.mat?pv=T:Ramp", 400, "no format"),
        ("/retrieval/data/getDataAtTime?pv=T:Ramp&searchPeriod=aDay", 400, "searchPeriod='aDay'"),
        ("/retrieval/data/getDataAtTime?pv=T:Ramp&searchPeriod=P", 400, "searchPeriod='P'"),
        ("/retrieval/data/getDataForPVs.csv?pv=T:Ramp", 400, "no format"),
        ("/retrieval/data/getDataForPVs.json", 400, "PV name is null."),
        ("/retrieval/data/xyz", 400, "'xyz' is not a valid API method."),
        ("/retrieval/data/getDataAtTime?at=never&pv=T:Ramp", 400, "at='never'"),
        ("/retrieval/data/getDataAtTime", 400, "PV name is null."),
        ("/retrieval/bpl/getMatchingPVs", 404, "pattern"),
        ("/retrieval/bpl/getMatchingPVs?regex=(", 400, "regex=("),
        ("/retrieval/bpl/getMatchingPVs?regex=a)(b", 400, "regex"),
        ("/retrieval/bpl/getMatchingPVs?pv=*&limit=many", 400, "limit"),
        (f"/retrieval/bpl/getMatchingPVs?regex={'(' * 3000}", 400, "characters"),
        ("/retrieval/bpl/searchForPVsRegex", 400, "regular expression"),
        ("/retrieval/bpl/getMetadata", 400, "null"),
        ("/retrieval/bpl/getMetadata?pv=T:Nope", 404, "Unable to find typeinfo for pv T:Nope"),
        ("/retrieval/bpl/xyz", 404, "'xyz'"),
        ("/mgmt/bpl/xyz", 404, "'xyz'"),
        ("/somewhere", 404, "nothing at /somewhere"),
        ("/%2e%2e/%2e%2e/etc/passwd", 404, "nothing at"),
    ],
)
def test_a_code_and_a_sentence(server: Server, path: str, status: int, words: str):
    reply = server.client.get(server.url + path)
    assert reply.status_code == status, reply.text
    assert words in reply.text and reply.text.count("\n") == 1 and "Traceback" not in reply.text
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert reply.headers["access-control-allow-origin"] == "*"


def test_methods(server: Server):
    reply = server.client.delete(server.url + DATA)
    assert reply.status_code == 405 and "GET" in reply.headers["allow"]
    for path in (DATA, "/mgmt/bpl/archivePV", "/nowhere"):
        headers = {"Origin": "http://elsewhere", "Access-Control-Request-Method": "POST"}
        reply = server.client.options(server.url + path, headers=headers)
        assert reply.status_code == 204 and reply.headers["access-control-allow-origin"] == "*"
        assert "POST" in reply.headers["access-control-allow-methods"]
    assert server.client.head(server.url + f"{DATA}?pv=T:Nope").status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[", 400),
        (b'["a", 1]', 400),
        (b"[" * 100_000, 400),
        (b"\xff\xfe", 400),
        (b"pv=%zz", 400),
        (b",".join([b"x"] * 30_000), 413),
        (b"x" * (9 << 20), 413),
    ],
)
def test_bodies(server: Server, body: bytes, status: int):
    for path in ("/retrieval/data/getDataAtTime", "/retrieval/data/getDataForPVs.json"):
        try:
            reply = server.client.post(server.url + path, content=body)
        except httpx.WriteError:  # the refusal came before all of a long body was sent
            assert status == 413
            continue
        assert reply.status_code == status, reply.text


def test_a_slow_pattern_is_quick(server: Server):
    reply = server.get("/retrieval/bpl/getMatchingPVs", regex="(.*)*(.*)*(.*)*(.*)*(.*)*x" + "(a|a)*" * 50)
    assert reply.status_code in (200, 400)


def test_garbage_on_the_wire(server: Server):
    host, port = server.url.removeprefix("http://").split(":")
    for garbage in (
        b"\0" * 100,
        b"GET \r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n: \r\n\r\n",
        b"\x16\x03\x01 tls",
        b"Q" * 200_000,
    ):
        with socket.create_connection((host, int(port)), timeout=20) as sock:
            try:
                sock.sendall(garbage)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):
                    pass
            except OSError:
                pass
    assert server.get("/retrieval/ping").text == "Pong"


raw_bytes = st.binary(max_size=60).map(lambda b: b.replace(b"\r", b"").replace(b"\n", b"").replace(b" ", b""))
words = st.sampled_from(
    f"T:Ramp T:Enum mean_60(T:Ramp) optimized_10(T:Day) nth_(T:Ramp) {AT} 2026-11-20 now % %00 NaN ( ) , _ * [ "
    f"false true -1 T:Ramp,T:Enum {AT},{AT} é \U0001f989 2026-11-20T08:00:00+01:00 ".split(" ")
)
keys = st.sampled_from("pv from to pp timeranges fetchLatestMetadata donotchunk at limit regex x".split())
queries = st.lists(st.tuples(keys, words | st.text(max_size=12)), max_size=6)
paths = st.sampled_from(
    [f"/retrieval/data/getData.{e}" for e in ("json", "raw", "qw", "csv", "txt", "mat", "svg", "jplot", "flx", "")]
    + ["/retrieval/data/getDataForPVs.json", "/retrieval/data/getDataAtTime", "/retrieval/bpl/getMatchingPVs"]
    + ["/retrieval/bpl/getMetadata", "/retrieval/bpl/searchForPVsRegex", "/retrieval/bpl/areWeArchivingPV"]
)
SLOW_OK = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(paths, queries)
@SLOW_OK
def test_any_query_is_answered(server: Server, path: str, query: list[tuple[str, str]]):
    clean = [(k, v.encode("utf-8", "replace").decode()) for k, v in query]
    reply = server.client.get(f"{server.url}{path}?{urlencode(clean)}")
    assert reply.status_code in (200, 400, 404, 501), reply.text


@given(paths, raw_bytes)
@SLOW_OK
def test_any_bytes_are_answered(server: Server, path: str, query: bytes):
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as sock:
        sock.sendall(b"GET " + path.encode() + b"?" + query + b" HTTP/1.0\r\n\r\n")
        answer = b""
        while part := sock.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 ") and answer[9:12] in (b"200", b"400", b"404", b"501"), answer[:300]


@given(st.text(max_size=40))
def test_times_are_read_or_refused(text: str):
    try:
        parse_time(text)
    except Refused as refused:
        assert refused.status == 400


@given(st.datetimes(), st.integers(-1080, 1080), st.sampled_from("T "))
def test_iso_times_are_exact(moment, minutes: int, between: str):
    import datetime as dt

    zone = dt.timezone(dt.timedelta(minutes=minutes))
    text = moment.replace(tzinfo=zone).isoformat(between)
    exact = (moment.replace(tzinfo=dt.UTC) - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
    expected = (exact - minutes * 60_000_000) * 1000
    got = parse_time(text)
    if abs(expected) < (1 << 63) - 2 * NS:
        assert got == expected
    assert abs(got) < 1 << 63
    assert parse_time(text.replace("+", " ")) == got


@given(st.binary(max_size=80))
def test_query_strings_are_read_or_refused(query: bytes):
    try:
        pairs = parameters(query)
        data_request(pairs)
    except Refused as refused:
        assert refused.status in (400, 404)


@given(st.text(max_size=40), st.none() | st.text(max_size=10))
def test_targets_are_read_or_refused(text: str, pp: str | None):
    try:
        assert parse_target(text, pp).name
    except Refused as refused:
        assert refused.status == 400


def test_function_syntax():
    target = parse_target("ignoreflyers_60(PV,3.0)")
    assert target.name == "PV" and target.operator is not None
    assert (target.operator.name, target.operator.arguments) == ("ignoreflyers", ("60", "3.0"))
    assert parse_target("PV", "mean_60").operator == parse_target("mean_60(PV)").operator
