"""`.raw` read back by protobuf itself, and the format's test vectors."""

from __future__ import annotations

import calendar
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from epicsevent import KINDS, MESSAGE_OF, MESSAGES, PROTO, decode, description, unescape
from google.protobuf import descriptor_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from archiver.retrieval import pb
from archiver.store import Dbr, PvInfo, Samples

NS = 10**9
Y2026 = calendar.timegm((2026, 1, 1, 0, 0, 0))
INTS = {Dbr.SHORT: np.int16, Dbr.ENUM: np.uint16, Dbr.CHAR: np.uint8, Dbr.LONG: np.int32}
FLOATS = {Dbr.FLOAT: np.float32, Dbr.DOUBLE: np.float64}


def samples(dbr: Dbr, values: Any, time_ns: Any, severity: Any = 0, status: Any = 0, array: bool = False) -> Samples:
    time_ns = np.atleast_1d(np.asarray(time_ns, np.int64))
    n = len(time_ns)
    return Samples(
        dbr,
        array,
        time_ns,
        np.broadcast_to(np.asarray(severity, np.uint8), n),
        np.broadcast_to(np.asarray(status, np.uint16), n),
        values,
    )


def strings(values: list[str]) -> np.ndarray:
    out = np.empty(len(values), object)
    out[:] = values
    return out


def ragged(rows: list[np.ndarray]) -> np.ndarray:
    out = np.empty(len(rows), object)
    for i, row in enumerate(rows):
        out[i] = row
    return out


def raw(*batches: Samples, name: str = "A:B", metadata: dict[str, str] | None = None) -> bytes:
    info = PvInfo(name, batches[0].dbr if batches else Dbr.DOUBLE, 1, None, None, {})
    return b"".join(pb.encode(name, info, metadata or {}, 2026, batches))


def line(body: bytes, number: int = 1) -> bytes:
    return body.split(b"\n")[number]


def test_header_vector():
    made = pb.header(pb.Payload.SCALAR_DOUBLE, "A:B", 2026, 1, {"EGU": "mA"})
    assert made == bytes.fromhex("0806 1203413a42 18ea0f 2001 7a09 1b02 03454755 12026d41") + b"\n"


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        (
            samples(Dbr.DOUBLE, np.array([1.5]), (Y2026 + 10) * NS),
            "08 1b 02 10 00 19 00 00 00 00 00 00 f8 3f",
        ),
        (
            samples(Dbr.LONG, np.array([-13], np.int32), (Y2026 + 1) * NS + 27, 2, 4),
            "08 01 10 1b 01 1d f3 ff ff ff 20 02 28 04",
        ),
        (samples(Dbr.SHORT, np.array([-3], np.int16), (Y2026 + 1) * NS + 1), "08 01 10 01 18 05"),
        (samples(Dbr.ENUM, np.array([2], np.uint16), (Y2026 + 1) * NS + 1), "08 01 10 01 18 04"),
        (
            samples(Dbr.DOUBLE, np.array([[1.0, 2.0, 3.0]]), (Y2026 + 1) * NS + 1, array=True),
            "08 01 10 01 1a 18" + np.array([1.0, 2.0, 3.0]).tobytes().hex(),
        ),
    ],
)
def test_sample_vectors(batch: Samples, expected: str):
    assert line(raw(batch)) == bytes.fromhex(expected)


def test_a_full_double_takes_21_bytes():
    body = raw(samples(Dbr.DOUBLE, np.array([1.5]), (Y2026 + 31535999) * NS + 999_999_999))
    assert len(line(body)) + 1 == 21


def same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


times = st.integers(0, 9_000_000_000_000_000_000)


@st.composite
def scalar_batches(draw: st.DrawFn) -> Samples:
    dbr = draw(st.sampled_from(list(Dbr)))
    when = sorted(draw(st.sets(times, min_size=1, max_size=8)))
    n = len(when)
    if dbr is Dbr.STRING:
        values = strings(draw(st.lists(st.text(max_size=39), min_size=n, max_size=n)))
        values[:] = [v.split("\0")[0].encode("utf-8", "replace").decode() for v in values]
    elif dbr in INTS:
        limits = np.iinfo(INTS[dbr])
        numbers = draw(st.lists(st.integers(int(limits.min), int(limits.max)), min_size=n, max_size=n))
        values = np.array(numbers, INTS[dbr])
    else:
        width = 32 if dbr is Dbr.FLOAT else 64
        values = np.array(draw(st.lists(st.floats(width=width), min_size=n, max_size=n)), FLOATS[dbr])
    severity = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    status = draw(st.lists(st.integers(0, 300), min_size=n, max_size=n))
    return samples(dbr, values, when, severity, status)


@given(scalar_batches())
def test_scalars_come_back(batch: Samples):
    chunks = decode(raw(batch))
    events = [e for c in chunks for e in c.events]
    assert [e.time_ns for e in events] == batch.time_ns.tolist()
    assert [e.severity for e in events] == batch.severity.tolist()
    assert [e.status for e in events] == batch.status.tolist()
    assert {c.kind for c in chunks} == {pb.payload_of(batch.dbr, False).name}
    for event, value in zip(events, batch.values.tolist(), strict=True):
        if batch.dbr is Dbr.CHAR:
            assert event.value == bytes([value])
        elif isinstance(value, float):
            assert same(event.value, value)
        else:
            assert event.value == value
    years = [c.year for c in chunks]
    assert years == sorted(set(years))


@given(st.sampled_from(list(Dbr)), st.lists(st.lists(st.integers(0, 255), max_size=6), min_size=1, max_size=6))
@settings(max_examples=150)
def test_arrays_of_any_length_come_back(dbr: Dbr, rows: list[list[int]]):
    dtype = INTS.get(dbr) or FLOATS.get(dbr)
    if dbr is Dbr.STRING:
        wanted = [[chr(0x21 + i) * (i % 40) for i in row] for row in rows]
        made = [strings(row) for row in wanted]
    else:
        wanted = rows
        made = [np.array(row, dtype) for row in rows]
    when = (Y2026 + np.arange(len(rows))) * NS
    if len({len(r) for r in rows}) == 1:
        values = np.array(made, object if dbr is Dbr.STRING else dtype).reshape(len(rows), -1)
    else:
        values = ragged(made)
    batch = samples(dbr, values, when, array=True)
    (chunk,) = decode(raw(batch))
    assert chunk.kind.startswith("WAVEFORM_")
    got = [list(e.value) if dbr is Dbr.CHAR else e.value for e in chunk.events]
    assert got == wanted


def test_every_byte_of_a_block_is_escaped():
    numbers = np.frombuffer(bytes(range(256)) * 8, "<f8")
    when = (Y2026 + 10 + 3 * np.arange(len(numbers))) * NS + 0x0A0D1B
    (chunk,) = decode(raw(samples(Dbr.DOUBLE, numbers, when, 1, 10)))
    assert np.array([e.value for e in chunk.events]).tobytes() == numbers.tobytes()


def test_a_new_chunk_at_the_turn_of_the_year_and_at_a_change_of_type():
    turn = calendar.timegm((2027, 1, 1, 0, 0, 0)) * NS
    one = samples(Dbr.DOUBLE, np.array([1.0, 2.0]), [turn - 1, turn])
    two = samples(Dbr.DOUBLE, np.array([3.0]), [turn + 5])
    three = samples(Dbr.LONG, np.array([4], np.int32), [turn + 9], 3, 9)
    body = raw(one, two, three, metadata={"EGU": "V", "PREC": "3"})
    chunks = decode(body)
    assert [(c.kind, c.year, len(c.events)) for c in chunks] == [
        ("SCALAR_DOUBLE", 2026, 1),
        ("SCALAR_DOUBLE", 2027, 2),
        ("SCALAR_INT", 2027, 1),
    ]
    assert body.count(b"\n\n") == 2
    assert all(c.headers == {"EGU": "V", "PREC": "3"} and c.name == "A:B" for c in chunks)
    assert [e.time_ns for c in chunks for e in c.events] == [turn - 1, turn, turn + 5, turn + 9]


def test_nothing_is_a_header_only():
    (chunk,) = decode(raw(metadata={"EGU": "\u00b5A"}))
    assert (chunk.kind, chunk.year, chunk.events, chunk.headers) == ("SCALAR_DOUBLE", 2026, [], {"EGU": "\u00b5A"})


def test_more_than_one_block():
    n = 40_000
    values = np.random.default_rng(1).normal(size=n)
    batch = samples(Dbr.DOUBLE, values, Y2026 * NS + np.arange(n) * 1_234_567, np.arange(n) % 4, np.arange(n) % 22)
    (chunk,) = decode(raw(batch))
    assert np.array([e.value for e in chunk.events]).tobytes() == values.tobytes()
    assert [e.severity for e in chunk.events] == batch.severity.tolist()


def test_a_large_array():
    values = np.arange(300_000, dtype=np.float64).reshape(3, 100_000)
    (chunk,) = decode(raw(samples(Dbr.DOUBLE, values, (Y2026 + np.arange(3)) * NS, array=True)))
    assert [len(e.value) for e in chunk.events] == [100_000] * 3
    assert chunk.count == 100_000
    assert chunk.events[2].value[-1] == 299_999.0


def test_bytes_of_strings_that_are_no_utf8_become_latin1():
    values = np.array([b"ab\xb5\0rest", b"\xc2\xb5A"], "S40")
    (chunk,) = decode(raw(samples(Dbr.STRING, values, (Y2026 + np.arange(2)) * NS)))
    assert [e.value for e in chunk.events] == ["ab\u00b5", "\u00b5A"]


@given(st.binary(max_size=60))
def test_escape_is_undone(data: bytes):
    escaped = pb.escape(data)
    assert b"\n" not in escaped and b"\r" not in escaped
    assert unescape(escaped) == data


def test_the_decoder_knows_every_payload():
    assert set(MESSAGES) == {"PayloadInfo", "FieldValue", *MESSAGE_OF.values()}
    assert [payload.name for payload in pb.Payload] == list(KINDS)


def test_the_proto_file_is_one(tmp_path: Path):
    """Google's own compiler reads it as these tests do."""
    protoc = pytest.importorskip("grpc_tools.protoc")
    out = tmp_path / "set"
    assert protoc.main(["protoc", f"-I{PROTO.parent}", f"--descriptor_set_out={out}", str(PROTO)]) == 0
    (file,) = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    mine = description(PROTO.read_text())
    for message in file.message_type:
        for one in message.field:
            one.ClearField("json_name")
    assert file.package == "EPICS" and list(file.enum_type) == list(mine.enum_type)
    assert list(file.message_type) == list(mine.message_type)


def test_the_fields_of_every_message():
    """Numbers and types are the interface."""
    for kind, name in MESSAGE_OF.items():
        fields = {f.number: (f.name, f.type) for f in MESSAGES[name].DESCRIPTOR.fields}
        assert [fields[n][0] for n in (1, 2, 3, 4, 5, 6)] == [
            *("secondsintoyear", "nano", "val", "severity", "status", "repeatcount")
        ]
        assert fields[7][0] == "fieldvalues" and fields[8][0] == "fieldactualchange"
        assert (9 in fields) == (kind == "V4_GENERIC_BYTES")


def test_structures_are_read():
    body = pb.header(pb.Payload.V4_GENERIC_BYTES, "A:B", 2026, 1, {}) + pb.escape(
        bytes.fromhex("0801100a1a06fd0001800a1b20032804") + b"\x3a\x06\x0a\x01a\x12\x01b" + b"\x48\x07"
    )
    (chunk,) = decode(body + b"\n")
    (event,) = chunk.events
    assert chunk.kind == "V4_GENERIC_BYTES" and event.value == bytes.fromhex("fd0001800a1b")
    assert (event.severity, event.status, event.fields) == (3, 4, {"a": "b"})


@pytest.mark.parametrize("dbr", [Dbr.DOUBLE, Dbr.STRING, Dbr.ENUM])
@pytest.mark.parametrize("array", [False, True])
def test_notes_are_field_values(dbr: Dbr, array: bool):
    n = 5
    plain: Any = np.arange(2 * n).reshape(n, 2) if array else np.arange(n)
    values = plain.astype("S40") if dbr is Dbr.STRING else plain.astype(INTS.get(dbr, np.float64))
    notes = {
        0: {"cnxlostepsecs": "0", "cnxregainedepsecs": "1795132800", "startup": "true"},
        3: {"HIHI": "10.0", "DESC": "line\nfeed \x1b\r µ" * 20},
    }
    batch = replace(samples(dbr, values, (Y2026 + np.arange(n)) * NS, [0, 1, 2, 3, 0], 7, array), notes=notes)
    (chunk,) = decode(raw(batch))
    assert [e.fields for e in chunk.events] == [notes[0], {}, {}, notes[3], {}]
    assert [e.changed for e in chunk.events] == [False, False, False, True, False]
    assert [e.severity for e in chunk.events] == [0, 1, 2, 3, 0]
