"""DBR structures against caproto's own definitions of them, and values that do not fit."""

from __future__ import annotations

import math
import struct
from typing import Any

import caproto
import numpy as np
import pytest
from ca_test_ioc import make_pvs
from caproto import AlarmSeverity, AlarmStatus, ChannelData, ChannelDouble, ChannelEnum, ChannelString, ChannelType
from hypothesis import given
from hypothesis import strategies as st

from owlshift.ioc.server import dbr, values
from owlshift.ioc.server.dbr import Shape, Slice

ALL_TYPES = [*range(35), dbr.STSACK_STRING, dbr.CLASS_NAME]
NUMERIC = ("Double", "Float", "Long", "Short", "Enum")


def structure(data_type: int, payload: bytes) -> Any:
    """The payload's head as caproto's own structure."""
    types: Any = caproto.DBR_TYPES
    return types[data_type].from_buffer(bytearray(payload))


@pytest.mark.parametrize("data_type", ALL_TYPES)
@pytest.mark.parametrize("name", [*NUMERIC, "Byte", "Char", "Array", "Huge", "Wide", "Units"])
def test_every_type_of_every_pv_has_the_layout_of_db_access(name: str, data_type: int):
    pv = make_pvs()[name]
    payload, count = dbr.encode(pv, Shape(data_type, 0))
    head = 0 if data_type < 7 else values_at(data_type)
    size = values.ITEM_SIZE[data_type % 7 if data_type < 35 else 0]
    if data_type < 35:
        assert len(payload) == -(-(head + count * size) // 8) * 8
        assert len(dbr.empty(Shape(data_type, count)).payload) == len(payload)
    else:
        assert len(payload) == -(-head // 8) * 8


def values_at(data_type: int) -> int:
    """Bytes before the value, from caproto's structures (which end before it)."""
    types: Any = caproto.DBR_TYPES
    if data_type == 28:
        return 4  # DBR_CTRL_STRING is a dbr_sts_string in db_access.h; caproto has a time stamp in it
    return len(bytes(types[data_type]()))


def test_metadata_of_every_numeric_type():
    pvs = make_pvs()
    for name in NUMERIC[:4]:
        pv: Any = pvs[name]
        native = int(pv.data_type)
        for kind in (dbr.GR, dbr.CTRL):
            got = structure(kind * 7 + native, dbr.encode(pv, Shape(kind * 7 + native, 1)).payload)
            assert got.units == pv.units.encode()
            limits = ["disp", "alarm", "warning"] + ["ctrl"] * (kind == dbr.CTRL)
            for limit in limits:
                assert getattr(got, f"upper_{limit}_limit") == getattr(pv, f"upper_{limit}_limit")
                assert getattr(got, f"lower_{limit}_limit") == getattr(pv, f"lower_{limit}_limit")
            if name in ("Double", "Float"):
                assert got.precision == pv.precision
    got = structure(31, dbr.encode(pvs["Enum"], Shape(31, 1)).payload)
    assert [bytes(s).rstrip(b"\0") for s in got.enum_strings] == [b"Off", b"On", b"Trip"]


async def test_time_alarm_and_class_name():
    pv = make_pvs()["Double"]
    assert pv.alarm is not None
    await pv.alarm.write(status=AlarmStatus.HIHI, severity=AlarmSeverity.MAJOR_ALARM)
    for stamp in (caproto.TimeStamp(1000, 500), (1000, 500)):
        values.state(pv)["timestamp"] = stamp
        for native in range(7):
            got = structure(14 + native, dbr.encode(pv, Shape(14 + native, 1)).payload)
            assert (got.status, got.severity) == (AlarmStatus.HIHI, AlarmSeverity.MAJOR_ALARM)
            assert (got.secondsSinceEpoch, got.nanoSeconds) == (1000, 500)
    assert dbr.encode(pv, Shape(dbr.CLASS_NAME, 1)).payload.startswith(b"caproto\0")
    later = structure(20, dbr.encode(pv, Shape(20, 1, server_time=True)).payload)
    assert later.secondsSinceEpoch > 1000


@pytest.mark.parametrize(
    ("name", "data_type", "expected"),
    [
        ("Huge", 5, struct.pack(">i", 2**31 - 1)),
        ("Huge", 1, struct.pack(">h", 2**15 - 1)),
        ("Huge", 2, struct.pack(">f", math.inf)),
        ("Huge", 0, b"1e+300"),
        ("Wide", 5, struct.pack(">i", 2**31 - 1)),
        ("Wide", 6, struct.pack(">d", 2**40)),
        ("Double", 0, b"1.50"),
        ("Long", 0, b"-7"),
        ("Long", 3, b"\0\0"),
        ("Long", 4, b"\xf9"),
        ("Enum", 0, b"On"),
        ("Enum", 6, struct.pack(">d", 1)),
        ("Char", 4, b"a long text"),
        ("Byte", 5, struct.pack(">3i", 1, 2, 3)),
        ("Array", 5, struct.pack(">3i", 1, 2, 3)),
        ("Array", 0, b"1".ljust(40, b"\0") + b"2".ljust(40, b"\0") + b"3"),
        ("Latin", 0, b"??"),
    ],
)
def test_conversions(name: str, data_type: int, expected: bytes):
    payload, count = dbr.encode(make_pvs()[name], Shape(data_type, 0))
    size = values.ITEM_SIZE[data_type]
    assert payload[: count * size].rstrip(b"\0") == expected.rstrip(b"\0")


def test_text_is_cut_between_characters_and_units_at_seven_bytes():
    pvs = make_pvs()
    for text in ("x" * 50, "ü" * 30, "\u65e5" * 20, "x" + "\U0001f989" * 20):
        got = dbr.encode(ChannelString(value=text, string_encoding="utf-8"), Shape(0, 1)).payload
        assert got[39] == 0 and text.startswith(got.rstrip(b"\0").decode("utf-8"))
        assert len(got.rstrip(b"\0")) > 35
    # trap A9: stock caproto fails every CTRL request for units of more than 8 bytes
    got = structure(34, dbr.encode(pvs["Units"], Shape(34, 1)).payload)
    assert got.units == b"far too"
    labels = ("a" * 25, "\u65e5\u672c" * 4)
    enum = ChannelEnum(value=0, enum_strings=labels, string_encoding="utf-8")
    assert dbr.encode(enum, Shape(31, 1)).payload[6:31] == b"a" * 25


def test_long_strings_end_with_a_nul():
    pvs = make_pvs()
    assert dbr.encode(pvs["String"], Shape(4, 0, long_string=True)).payload == b"hello\0\0\0"
    assert dbr.encode(pvs["String"], Shape(4, 0, long_string=True)).data_count == 6
    assert dbr.encode(pvs["String"], Shape(4, 3, long_string=True)).payload == b"hel\0\0\0\0\0"


def test_slices():
    array = make_pvs()["Array"]
    for piece, expected in ((Slice(1, None, None), (2, 3)), (Slice(0, 2, -1), (1, 3)), (Slice(0, 1, 1), (1, 2))):
        payload, count = dbr.encode(array, Shape(6, 0, piece=piece))
        assert struct.unpack(f">{count}d", payload) == expected


def test_too_large_is_refused_before_it_is_made():
    with pytest.raises(dbr.TooLargeError):
        dbr.encode(make_pvs()["Double"], Shape(6, 4_000_000_000))
    with pytest.raises(dbr.TooLargeError):
        dbr.encode(ChannelDouble(value=np.zeros(1000), max_length=1000), Shape(6, 0), limit=7999)
    assert len(dbr.empty(Shape(6, 4_000_000_000)).payload) == 8


def test_types_that_cannot_be_read():
    for data_type in (35, 36, 39, 60000):
        with pytest.raises(dbr.BadTypeError):
            dbr.encode(make_pvs()["Double"], Shape(data_type, 1))


numbers = st.one_of(st.floats(), st.integers(-(2**70), 2**70), st.booleans())


@given(st.one_of(numbers, st.lists(numbers, max_size=20)), st.sampled_from(ALL_TYPES), st.integers(0, 30))
def test_any_number_fits_any_type(value: Any, data_type: int, count: int):
    for name in ("Double", "Float", "Long", "Short"):
        pv = make_pvs()[name]
        values.state(pv)["value"] = value
        payload, found = dbr.encode(pv, Shape(data_type, count))
        assert len(payload) % 8 == 0
        if data_type < 35 and count:
            assert found == count


@given(st.text(), st.sampled_from(["latin-1", "utf-8", "ascii", None]), st.integers(1, 60))
def test_any_text_is_encoded_within_its_limit(text: str, encoding: str | None, limit: int):
    data = values.encoded(text, encoding, limit)
    assert len(data) <= limit
    data.decode(encoding or "latin-1")


@given(st.floats(-1e300, 1e300), st.integers(-5, 30))
def test_any_number_as_text_fits_a_string_and_reads_back(value: float, precision: int):
    text = values.number_text(value, precision)
    assert len(text) <= values.MAX_TEXT
    digits = max(0, min(precision, 8))
    assert float(text) == pytest.approx(value, rel=10.0**-digits, abs=10.0**-digits)


@given(st.lists(st.floats(width=32), min_size=1, max_size=30))
def test_a_double_array_arrives_as_it_is(data: list[float]):
    pv = ChannelDouble(value=np.array(data), max_length=30)
    payload, count = dbr.encode(pv, Shape(int(ChannelType.DOUBLE), 0))
    np.testing.assert_array_equal(np.frombuffer(payload, ">f8")[:count], data)


def test_a_plain_channel_data_has_all_it_needs():
    pv = ChannelData(value=3)
    assert dbr.encode(pv, Shape(34, 1)).payload[-8:] == struct.pack(">d", 3)
