"""Events and metadata decoded from what caproto encodes, and from what is wrong."""

from __future__ import annotations

import math
import time
from collections import Counter
from typing import Any

import caproto
import numpy as np
import pytest
from ca_support import message, time_payload
from hypothesis import given, settings
from hypothesis import strategies as st

from owlshift.ca import Dbr
from owlshift.ca.events import Expectations, MalformedError, decode_events
from owlshift.ca.frames import Group, split
from owlshift.ca.metadata import Metadata, decode_control
from owlshift.ca.requests import read_value, write_value

types: Any = caproto.DBR_TYPES
NUMBERS: dict[Dbr, st.SearchStrategy[Any]] = {
    Dbr.STRING: st.binary(max_size=39).map(lambda b: b.replace(b"\0", b"x")),
    Dbr.SHORT: st.integers(-(2**15), 2**15 - 1),
    Dbr.FLOAT: st.floats(width=32),
    Dbr.ENUM: st.integers(0, 2**16 - 1),
    Dbr.CHAR: st.integers(0, 255),
    Dbr.LONG: st.integers(-(2**31), 2**31 - 1),
    Dbr.DOUBLE: st.floats(),
}


def only_group(data: bytes, arrays: np.ndarray | None = None) -> Group:
    found = split(np.frombuffer(bytearray(data), np.uint8), arrays)
    assert len(found.groups) == 1 and not found.error
    return found.groups[0]


def expecting(number: int, dbr: Dbr, array: bool = False, circuit: int = 1) -> Expectations:
    expected = Expectations()
    for channel in range(number):
        expected.add(channel, circuit, dbr, array)
    return expected


def caproto_event(dbr: Dbr, values: list[Any], stamp: float, severity: int, status: int, number: int) -> bytes:
    code = caproto.ChannelType(dbr.time)
    metadata = types[code](stamp=caproto.TimeStamp.from_unix_timestamp(stamp), severity=severity, status=status)
    return bytes(
        caproto.EventAddResponse(
            data=values,
            data_type=code,
            data_count=len(values),
            status=caproto.CAStatus.ECA_NORMAL,
            subscriptionid=number,
            metadata=metadata,
        )
    )


@pytest.mark.parametrize("dbr", list(Dbr))
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_round_trip_of_what_caproto_encodes(dbr, data):
    number = data.draw(st.integers(1, 6))
    count = data.draw(st.sampled_from([1, 1, 2, 7]))
    stream, wanted = b"", []
    for channel in range(number):
        values = data.draw(st.lists(NUMBERS[dbr], min_size=count, max_size=count))
        severity, status = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 21))
        stamp = data.draw(st.integers(631152000, 2_000_000_000))
        stream += caproto_event(dbr, values, stamp, severity, status, channel)
        wanted.append((channel, values, severity, status, stamp * 10**9))
    counts: Counter[str] = Counter()
    batch = decode_events(only_group(stream), 1, expecting(number, dbr, count > 1), counts)
    assert batch is not None
    assert batch.dbr is dbr and batch.count == count and len(batch) == number
    assert batch.values.dtype.isnative and batch.values.dtype == dbr.dtype
    assert batch.values.shape == ((number,) if count == 1 else (number, count))
    for index, (channel, values, severity, status, stamp) in enumerate(wanted):
        assert batch.channel[index] == channel
        assert (batch.severity[index], batch.status[index], batch.time_ns[index]) == (severity, status, stamp)
        np.testing.assert_array_equal(np.atleast_1d(batch.values[index]), np.array(values, dtype=dbr.dtype))


def event(dbr: Dbr, value: Any, number: int, **more: Any) -> bytes:
    return message(1, time_payload(dbr, [value], **more), dbr.time, 1, 1, number)


def test_batches_outlive_the_buffer():
    data = bytearray(b"".join(event(Dbr.DOUBLE, i, i, seconds=i + 5) for i in range(200)))
    group = split(np.frombuffer(data, np.uint8)).groups[0]
    batch = decode_events(group, 1, expecting(200, Dbr.DOUBLE), Counter())
    data[:] = bytes(len(data))
    assert batch is not None
    assert batch.values.tolist() == list(range(200))
    assert batch.channel.tolist() == list(range(200))
    assert (batch.time_ns // 10**9 - 631152000).tolist() == list(range(5, 205))


def test_events_nobody_expects_are_left_out_and_counted():
    expected = expecting(3, Dbr.DOUBLE)
    expected.remove(1)
    expected.add(2, 7, Dbr.DOUBLE, False)  # another circuit's
    counts: Counter[str] = Counter()
    stream = b"".join(event(Dbr.DOUBLE, n, n) for n in (0, 1, 2, 3, 1023, 1024, 0x7FFFFFFF, 0xFFFFFFFF, 0))
    batch = decode_events(only_group(stream), 1, expected, counts)
    assert batch is not None and batch.channel.tolist() == [0, 0]
    assert counts["unexpected event"] == 7
    assert decode_events(only_group(event(Dbr.FLOAT, 1.0, 0)), 1, expected, counts) is None
    assert decode_events(only_group(stream), 2, expected, counts) is None


def test_a_table_of_expectations_grows():
    expected = Expectations()
    expected.add(100_000, 3, Dbr.ENUM, False)
    ids = np.array([100_000, 99_999, 0], np.uint32)
    assert expected.matches(ids, 3, Dbr.ENUM, False).tolist() == [True, False, False]
    assert not expected.matches(ids, 3, Dbr.ENUM, True).any()


def test_an_array_for_a_scalar_channel_is_left_out():
    counts: Counter[str] = Counter()
    stream = message(1, time_payload(Dbr.LONG, [1, 2, 3]), Dbr.LONG.time, 3, 1, 0)
    assert decode_events(only_group(stream), 1, expecting(1, Dbr.LONG), counts) is None
    assert counts["unexpected event"] == 1


def test_an_array_channel_may_send_one_element_or_none():
    expected = expecting(1, Dbr.SHORT, array=True)
    one = decode_events(only_group(event(Dbr.SHORT, -5, 0), expected.arrays), 1, expected, Counter())
    none = message(1, time_payload(Dbr.SHORT, []), Dbr.SHORT.time, 0, 1, 0)
    empty = decode_events(only_group(none, expected.arrays), 1, expected, Counter())
    assert one is not None and one.values.tolist() == [[-5]] and one.count == 1
    assert empty is not None and empty.values.shape == (1, 0) and empty.count == 0


def test_refused_events_are_left_out():
    counts: Counter[str] = Counter()
    stream = event(Dbr.DOUBLE, 1, 0) + message(1, bytes(24), Dbr.DOUBLE.time, 1, 368, 0)
    batch = decode_events(only_group(stream), 1, expecting(1, Dbr.DOUBLE), counts)
    assert batch is not None and len(batch) == 1
    assert counts["event without a value"] == 1


@pytest.mark.parametrize("dbr", list(Dbr))
def test_a_count_that_does_not_fit_is_malformed(dbr):
    short = message(1, bytes(24), dbr.time, 60_000, 1, 0)
    with pytest.raises(MalformedError):
        decode_events(only_group(short), 1, expecting(1, dbr, True), Counter())
    with pytest.raises(MalformedError):
        decode_events(only_group(message(1, bytes(8), dbr.time, 1, 1, 0)), 1, expecting(1, dbr), Counter())


def test_a_string_may_be_cut_behind_its_end_and_have_rubbish_behind_it():
    short = message(1, bytes(12) + b"ab\0\0", Dbr.STRING.time, 1, 1, 0)
    dirty = message(1, bytes(12) + b"cd\0rubbish".ljust(40, b"!"), Dbr.STRING.time, 1, 1, 0)
    full = message(1, bytes(12) + b"x" * 40, Dbr.STRING.time, 1, 1, 0)
    for stream, value in ((short, b"ab"), (dirty, b"cd"), (full, b"x" * 40)):
        batch = decode_events(only_group(stream), 1, expecting(1, Dbr.STRING), Counter())
        assert batch is not None
        assert batch.values.tolist() == [value]
        assert batch.values.dtype == "S40"


def test_odd_time_stamps_are_passed_on_and_counted():
    counts: Counter[str] = Counter()
    now = int(time.time()) - 631152000
    stream = b"".join(
        event(Dbr.DOUBLE, 0, 0, seconds=s, nanoseconds=ns)
        for s, ns in ((now, 999_999_999), (0, 0), (now, 4_000_000_000), (now + 10**7, 0), (now, 5))
    )
    batch = decode_events(only_group(stream), 1, expecting(1, Dbr.DOUBLE), counts)
    assert batch is not None
    base = 631152000 * 10**9
    assert (batch.time_ns - base).tolist() == [
        now * 10**9 + 999_999_999,
        0,
        now * 10**9 + 4_000_000_000,
        (now + 10**7) * 10**9,
        now * 10**9 + 5,
    ]
    assert counts["odd time stamp"] == 3


LIMITS = {
    "upper_disp_limit": 8,
    "lower_disp_limit": -8,
    "upper_alarm_limit": 7,
    "upper_warning_limit": 6,
    "lower_warning_limit": -6,
    "lower_alarm_limit": -7,
    "upper_ctrl_limit": 5,
    "lower_ctrl_limit": -5,
}


@pytest.mark.parametrize("dbr", [Dbr.SHORT, Dbr.FLOAT, Dbr.CHAR, Dbr.LONG, Dbr.DOUBLE])
def test_numeric_metadata(dbr):
    limits = {k: abs(v) if dbr is Dbr.CHAR else v for k, v in LIMITS.items()}
    more = {"precision": 3} if dbr in (Dbr.FLOAT, Dbr.DOUBLE) else {}
    code = caproto.ChannelType(dbr.control)
    metadata = types[code](units=b"degC", **limits, **more)
    payload = bytes(metadata) + bytes(8)
    described = decode_control(dbr, only_group(message(1, payload, dbr.control, 1, 1, 0)).rows, 16)
    sign = 1 if dbr is Dbr.CHAR else -1
    assert described == [
        Metadata("degC", 3 if more else None, (sign * 8, 8), (sign * 7, 7), (sign * 6, 6), (sign * 5, 5))
    ]


def test_enum_metadata():
    states = [b"Off", b"On", b"x" * 26] + [b""] * 13
    payload = bytes(4) + (3).to_bytes(2, "big") + b"".join(s.ljust(26, b"\0") for s in states) + bytes(2)
    described = decode_control(Dbr.ENUM, only_group(message(1, payload, 31, 1, 1, 0)).rows, 16)
    assert described == [Metadata(states=("Off", "On", "x" * 26))]
    absurd = bytes(4) + b"\xff\xff" + payload[6:]
    described = decode_control(Dbr.ENUM, only_group(message(1, absurd, 31, 1, 1, 0)).rows, 16)
    assert described is not None and len(described[0].states) == 16


def test_units_in_old_encodings_and_nan_limits():
    payload = bytes(8) + "°C".encode("latin-1").ljust(8, b"\0") + b"\x7f\xf8\0\0\0\0\0\0" * 8 + bytes(8)
    described = decode_control(Dbr.DOUBLE, only_group(message(1, payload, 34, 1, 1, 0)).rows, 16)
    assert described is not None
    assert described[0].units == "°C"
    assert described[0].alarm is not None and math.isnan(described[0].alarm[0])
    payload = bytes(8) + b"12345678" + bytes(72)
    described = decode_control(Dbr.DOUBLE, only_group(message(1, payload, 34, 1, 1, 0)).rows, 16)
    assert described is not None and described[0].units == "12345678"


def test_metadata_that_are_too_short():
    for dbr in list(Dbr):
        if dbr is not Dbr.STRING:
            group = only_group(message(1, bytes(16), dbr.control, 1, 1, 0))
            assert decode_control(dbr, group.rows, 16) is None


@given(st.integers(0, 40), st.integers(0, 70_000), st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_a_read_answer_is_a_reading_or_an_error(code, count, payload):
    from owlshift.ca import CaError, Reading

    try:
        assert isinstance(read_value("x", code, count, payload, 2, ()), Reading)
    except CaError:
        pass


@pytest.mark.parametrize(
    ("value", "dbr", "count", "wanted"),
    [
        (1.5, Dbr.DOUBLE, 1, (Dbr.DOUBLE, 1, b"\x3f\xf8\0\0\0\0\0\0")),
        (True, Dbr.SHORT, 1, (Dbr.SHORT, 1, b"\0\1")),
        (7, Dbr.ENUM, 1, (Dbr.ENUM, 1, b"\0\7")),
        ("On", Dbr.ENUM, 1, (Dbr.STRING, 1, b"On".ljust(40, b"\0"))),
        ("1.5", Dbr.DOUBLE, 1, (Dbr.STRING, 1, b"1.5".ljust(40, b"\0"))),
        ("ab", Dbr.CHAR, 10, (Dbr.CHAR, 3, b"ab\0")),
        ("ab", Dbr.CHAR, 2, (Dbr.CHAR, 2, b"ab")),
        (b"ab", Dbr.STRING, 1, (Dbr.STRING, 1, b"ab".ljust(40, b"\0"))),
        ([1, 2], Dbr.LONG, 5, (Dbr.LONG, 2, b"\0\0\0\1\0\0\0\2")),
        (np.array([1, 2], np.int64), Dbr.FLOAT, 5, (Dbr.FLOAT, 2, b"\x3f\x80\0\0\x40\0\0\0")),
        (["a", "b"], Dbr.STRING, 5, (Dbr.STRING, 2, b"a".ljust(40, b"\0") + b"b".ljust(40, b"\0"))),
        (np.array(["a", "b"]), Dbr.STRING, 5, (Dbr.STRING, 2, b"a".ljust(40, b"\0") + b"b".ljust(40, b"\0"))),
        (-1, Dbr.CHAR, 1, (Dbr.CHAR, 1, b"\xff")),
        (12, Dbr.STRING, 1, (Dbr.STRING, 1, b"12".ljust(40, b"\0"))),
        ([1, 2], Dbr.STRING, 2, (Dbr.STRING, 2, b"1".ljust(40, b"\0") + b"2".ljust(40, b"\0"))),
        (np.array([1, 2]), Dbr.STRING, 2, (Dbr.STRING, 2, b"1".ljust(40, b"\0") + b"2".ljust(40, b"\0"))),
    ],
)
def test_values_to_write(value, dbr, count, wanted):
    assert write_value("x", value, dbr, count) == wanted


@pytest.mark.parametrize(
    ("value", "dbr", "count"),
    [
        (float("nan"), Dbr.LONG, 1),
        (2**31, Dbr.LONG, 1),
        (-1, Dbr.ENUM, 1),
        (70000, Dbr.SHORT, 1),
        ([1, 2], Dbr.DOUBLE, 1),
        ([], Dbr.DOUBLE, 5),
        ("x" * 40, Dbr.STRING, 1),
        ("x" * 11, Dbr.CHAR, 10),
        (None, Dbr.DOUBLE, 1),
        ({"a": 1}, Dbr.DOUBLE, 1),
        (1j, Dbr.DOUBLE, 1),
        ([[1, 2], [3]], Dbr.DOUBLE, 5),
    ],
)
def test_values_that_do_not_fit(value, dbr, count):
    with pytest.raises((ValueError, TypeError)):
        write_value("x", value, dbr, count)
