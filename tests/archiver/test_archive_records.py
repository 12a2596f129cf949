"""The log's records: every cut and every flipped bit is found, and costs no more than the record it hits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archiver.store.records import (
    MAGIC,
    Columns,
    Damage,
    Kind,
    Record,
    frame_columns,
    frame_json,
    parse_columns,
    parse_json,
    scan,
)
from archiver.store.samples import VALUE_DTYPES, Dbr


def columns(n: int, dbr: Dbr = Dbr.DOUBLE, count: int | None = None, start: int = 1000) -> Columns:
    shape = (n,) if count is None else (n, count)
    values = np.arange(int(np.prod(shape))).reshape(shape)
    values = values.astype("S40") if dbr is Dbr.STRING else values.astype(VALUE_DTYPES[dbr])
    return Columns(
        dbr,
        count is not None,
        np.arange(n, dtype=np.uint32),
        np.arange(start, start + n, dtype=np.int64),
        np.full(n, 2, np.uint8),
        np.full(n, 3, np.uint8),
        values,
    )


def joined(parts: list) -> bytes:
    return b"".join(bytes(part) for part in parts)


def log_bytes(number: int = 7) -> tuple[bytes, list[int]]:
    """A log of some records and where each ends."""
    pieces = [
        joined(frame_json(Kind.FILE, number, {"number": number})),
        joined(frame_columns(Kind.SAMPLES, number, columns(3))),
        joined(frame_columns(Kind.SAMPLES, number, columns(2, Dbr.STRING))),
        joined(frame_columns(Kind.EVENTS, number, columns(1, Dbr.CHAR))),
        joined(frame_json(Kind.COUNTERS, number, {"time_ns": 5})),
        joined(frame_columns(Kind.SAMPLES, number, columns(2, Dbr.SHORT, 5))),
    ]
    return b"".join(pieces), np.cumsum([len(p) for p in pieces]).tolist()


@pytest.mark.parametrize("dbr", list(Dbr))
@pytest.mark.parametrize("count", [None, 0, 1, 7])
def test_every_type_comes_back_as_it_went_in(dbr: Dbr, count: int | None) -> None:
    given_columns = columns(5, dbr, count)
    (record,) = scan(joined(frame_columns(Kind.SAMPLES, 1, given_columns)), 1)
    assert isinstance(record, Record)
    back = parse_columns(record.payload)
    assert (back.dbr, back.array) == (dbr, count is not None)
    for name in ("pv", "time_ns", "severity", "status", "values"):
        assert np.array_equal(getattr(back, name), getattr(given_columns, name)), name
    assert back.values.shape == given_columns.values.shape


def test_a_log_cut_at_any_byte_gives_the_whole_records_before_the_cut() -> None:
    data, ends = log_bytes()
    for cut in range(len(data)):
        pieces = list(scan(data[:cut], 7))
        whole = [p for p in pieces if isinstance(p, Record)]
        assert [p.end for p in whole] == [end for end in ends if end <= cut]
        damage = [p for p in pieces if isinstance(p, Damage)]
        good = max([0, *(end for end in ends if end <= cut)])
        assert damage == ([Damage(good, cut)] if good < cut else [])


def test_a_flipped_bit_costs_the_record_it_is_in_and_no_other() -> None:
    data, ends = log_bytes()
    starts = [0, *ends[:-1]]
    for position in range(len(data)):
        broken = bytearray(data)
        broken[position] ^= 1 << (position % 8)
        pieces = list(scan(bytes(broken), 7))
        found = [(p.start, p.end) for p in pieces if isinstance(p, Record)]
        hit = next(i for i, end in enumerate(ends) if position < end)
        expected = [(s, e) for i, (s, e) in enumerate(zip(starts, ends, strict=True)) if i != hit]
        # the padding behind a payload is outside of the checksum, and nothing reads it
        assert found in (expected, list(zip(starts, ends, strict=True)))
        if len(found) == len(ends):
            assert position >= ends[hit] - 8


def test_records_of_another_log_are_not_ours() -> None:
    data, _ = log_bytes(7)
    assert list(scan(data, 8)) == [Damage(0, len(data))]


@given(st.binary(max_size=400))
def test_foreign_bytes_are_damage(data: bytes) -> None:
    assert all(isinstance(piece, Damage) for piece in scan(data, 1))


@given(st.binary(max_size=200), st.integers(0, 5), st.binary(max_size=60))
@settings(max_examples=200)
def test_records_between_rubbish_are_found(before: bytes, n: int, after: bytes) -> None:
    record = joined(frame_columns(Kind.SAMPLES, 1, columns(n + 1)))
    data = before + record + MAGIC + after + record + after
    found = [p for p in scan(data, 1) if isinstance(p, Record)]
    assert len(found) == 2
    damage = [p for p in scan(data, 1) if isinstance(p, Damage)]
    assert sum(p.end - p.start for p in damage) == len(data) - 2 * len(record)


@given(st.binary(max_size=120))
def test_a_payload_that_is_no_columns_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        parse_columns(data)


@given(st.integers(0, 255), st.integers(0, 3), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_a_head_that_lies_about_its_columns_is_refused(code: int, array: int, n: int, count: int) -> None:
    import struct

    payload = struct.pack("<BBHIIIqq", code, array, 0, n, count, 0, 0, 0) + bytes(22)
    if (code, array, n, count) in [(6, 0, 1, 1), (6, 1, 1, 1)]:
        return
    try:
        back = parse_columns(payload)
    except ValueError:
        return
    assert len(back) == n


def test_what_cannot_be_a_record_is_refused_when_it_is_made() -> None:
    with pytest.raises(ValueError, match="no samples"):
        frame_columns(Kind.SAMPLES, 1, columns(0))
    wrong = columns(3)
    with pytest.raises(ValueError, match="shape"):
        frame_columns(Kind.SAMPLES, 1, Columns(Dbr.DOUBLE, True, *(getattr(wrong, f) for f in FIELDS)))


FIELDS = ("pv", "time_ns", "severity", "status", "values")


def test_json_that_is_none_is_a_value_error() -> None:
    with pytest.raises(ValueError):
        parse_json(memoryview(b"{"))
