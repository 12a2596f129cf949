"""PB/HTTP read into columns, against protobuf's own decoder and encoder."""

from __future__ import annotations

import calendar
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from retrieval.epicsevent import KINDS, MESSAGES

from archiver.client import pb_columns
from archiver.client.raw import Block, RawError, RawReader

YEAR = 2026
START_S = calendar.timegm((YEAR, 1, 1, 0, 0, 0))
NS = 10**9
NAMES = {name: number for number, name in enumerate(KINDS)}
MESSAGE_OF = [
    *("ScalarString", "ScalarShort", "ScalarFloat", "ScalarEnum", "ScalarByte", "ScalarInt", "ScalarDouble"),
    *("VectorString", "VectorShort", "VectorFloat", "VectorEnum", "VectorChar", "VectorInt", "VectorDouble"),
]


def escape(message: bytes) -> bytes:
    return message.replace(b"\x1b", b"\x1b\x01").replace(b"\n", b"\x1b\x02").replace(b"\r", b"\x1b\x03")


def header_line(payload: int, name: str = "A:B", year: int = YEAR, **more: Any) -> bytes:
    info = MESSAGES["PayloadInfo"](type=payload, pvname=name, year=year)
    if "count" in more:
        info.elementCount = more["count"]
    for key, value in more.get("headers", {}).items():
        info.headers.add(name=key, val=value)
    return escape(info.SerializeToString()) + b"\n"


def event_line(payload: int, event: dict[str, Any]) -> bytes:
    message = MESSAGES[MESSAGE_OF[payload]](secondsintoyear=event["seconds"], nano=event["nano"])
    if payload >= 7 and payload != 11:
        message.val.extend(event["val"])
    else:
        message.val = event["val"]
    for key in ("severity", "status", "repeatcount"):
        if event.get(key) is not None:
            setattr(message, key, event[key])
    for key, value in (event.get("fields") or {}).items():
        message.fieldvalues.add(name=key, val=value)
    if event.get("change") is not None:
        message.fieldactualchange = event["change"]
    return escape(message.SerializeToString()) + b"\n"


def read(body: bytes, step: int = 1 << 20) -> tuple[list[Block], RawReader]:
    reader = RawReader()
    blocks = [block for at in range(0, len(body), step) for block in reader.feed(body[at : at + step])]
    return blocks, reader


def rows(blocks: list[Block]) -> list[tuple[int, Any, int, int, dict[str, str]]]:
    return [
        (int(t), v, int(sev), int(sta), block.fields.get(row, {}))
        for block in blocks
        for row, (t, v, sev, sta) in enumerate(
            zip(block.time_ns, block.values.to_pylist(), block.severity, block.status, strict=True)
        )
    ]


text = st.text(st.characters(blacklist_categories=["Cs"]), max_size=12)
ELEMENTS: list[st.SearchStrategy[Any]] = [
    text,
    st.integers(-(2**15), 2**15 - 1),
    st.floats(width=32),
    st.integers(0, 2**16 - 1),
    st.binary(min_size=1, max_size=1),
    st.integers(-(2**31), 2**31 - 1),
    st.floats(),
]


def values(payload: int) -> st.SearchStrategy[Any]:
    if payload < 7:
        return ELEMENTS[payload]
    return st.binary(max_size=20) if payload == 11 else st.lists(ELEMENTS[payload - 7], max_size=6)


@st.composite
def streams(draw: st.DrawFn) -> tuple[int, list[dict[str, Any]]]:
    payload = draw(st.integers(0, 13))
    event = st.fixed_dictionaries(
        {
            "seconds": st.integers(0, 366 * 86400 - 1),
            "nano": st.integers(0, NS - 1),
            "val": values(payload),
            "severity": st.none() | st.integers(0, 3),
            "status": st.none() | st.integers(0, 21),
            "repeatcount": st.none() | st.integers(0, 100),
            "fields": st.none() | st.dictionaries(text, text, max_size=3),
            "change": st.none() | st.booleans(),
        }
    )
    return payload, draw(st.lists(event, max_size=12))


def plain(payload: int, value: Any) -> Any:
    if payload == 4:
        return value[0]
    return list(value) if payload == 11 else value


def same(a: Any, b: Any) -> bool:
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and math.isnan(a):
        return isinstance(b, float) and math.isnan(b)
    return a == b and type(a) is type(b)


@settings(max_examples=300, deadline=None)
@given(streams(), st.integers(1, 200))
def test_every_payload_type_is_read_as_protobuf_wrote_it(stream: tuple[int, list[dict[str, Any]]], step: int):
    payload, events = stream
    head = {"EGU": "V", "DESC": "two\nlines \x1b"}
    body = header_line(payload, count=3, headers=head) + b"".join(event_line(payload, e) for e in events)
    blocks, reader = read(body, step)
    assert blocks[0].header.metadata == head and blocks[0].header.count == 3
    assert reader.rest() == b"" and not any(block.bad for block in blocks)
    got = rows(blocks)
    assert len(got) == len(events)
    for (time_ns, value, severity, status, fields), event in zip(got, events, strict=True):
        assert time_ns == (START_S + event["seconds"]) * NS + event["nano"]
        assert same(value, plain(payload, event["val"]))
        assert (severity, status) == (event["severity"] or 0, event["status"] or 0)
        assert fields == (event["fields"] or {})


@settings(max_examples=200, deadline=None)
@given(streams(), st.data())
def test_garbage_is_counted_never_taken_and_never_fatal(stream: tuple[int, list[dict[str, Any]]], data: st.DataObject):
    payload, events = stream
    lines = [event_line(payload, e) for e in events]
    at = data.draw(st.integers(0, len(lines)))
    garbage = data.draw(st.binary(min_size=1, max_size=30)).replace(b"\n", b"\x1b\x02")
    lines.insert(at, garbage + b"\n")
    blocks, _ = read(header_line(payload) + b"".join(lines))
    # what happens to be a message is one
    assert sum(len(block) + block.bad for block in blocks) == len(events) + 1


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_events_or_an_error_of_one_line(body: bytes):
    try:
        read(body)
    except RawError as error:
        assert "\n" not in str(error)
    lines = b"".join(line + b"\n" for line in body.split(b"\n") if line)
    read(header_line(6) + lines)  # after a header nothing is fatal


def test_chunks_years_types_and_empty_chunks():
    event = {"seconds": 10, "nano": 5, "val": 1.5}
    body = (
        header_line(6, year=2025)
        + b"\n"
        + header_line(6, year=2025, headers={"EGU": "V"})
        + event_line(6, event)
        + b"\n"
        + header_line(5, year=2026)
        + event_line(5, {**event, "val": 7})
    )
    blocks, reader = read(body, 7)
    assert reader.headers == 3
    assert [(b.header.year, b.header.payload, len(b)) for b in blocks if len(b)] == [(2025, 6, 1), (2026, 5, 1)]
    assert rows(blocks)[0][0] == (calendar.timegm((2025, 1, 1, 0, 0, 0)) + 10) * NS + 5


def test_older_writers_skip_count_and_headers_and_escape_by_their_own_rule():
    blocks, _ = read(header_line(6) + event_line(6, {"seconds": 1, "nano": 2, "val": 3.0}))
    assert blocks[0].header.count is None and blocks[0].header.metadata == {}
    # 1B and any other byte stands for that byte
    line = event_line(0, {"seconds": 1, "nano": 2, "val": "abc"}).replace(b"b", b"\x1bb")
    blocks, _ = read(header_line(0) + line)
    assert rows(blocks)[0][1] == "abc"


def test_a_line_that_is_cut_off_is_kept_back():
    whole = header_line(6) + event_line(6, {"seconds": 1, "nano": 2, "val": 3.0})
    blocks, reader = read(whole + whole[:-5])
    assert len(reader.rest()) > 0 and sum(map(len, blocks)) == 1


@pytest.mark.parametrize("body", [b"<html>\n", b"[ \n", b"\x08\x63\n", header_line(6, year=9)])
def test_what_is_no_header(body: bytes):
    with pytest.raises(RawError):
        read(body)


def test_structures_are_bytes():
    body = header_line(6).replace(b"\x08\x06", b"\x08\x0e", 1) + b"\x08\x01\x10\x02\x1a\x03abc\n"
    blocks, _ = read(body)
    assert rows(blocks)[0][1] == b"abc" and blocks[0].header.payload == 14


@given(st.lists(st.integers(0, 2**56 - 1), min_size=1, max_size=50))
def test_varints(numbers: list[int]):
    import numpy as np

    out = bytearray()
    starts = []
    for number in numbers:
        starts.append(len(out))
        while number > 0x7F:
            out.append(number & 0x7F | 0x80)
            number >>= 7
        out.append(number)
    flat = np.frombuffer(bytes(out) + bytes(pb_columns.PADDING), np.uint8)
    got, lengths = pb_columns.varints(pb_columns.windows(flat)[np.array(starts)])
    assert got.tolist() == numbers
    assert (np.array(starts) + lengths).tolist() == [*starts[1:], len(out)]
