"""Values as an operator reads them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iocs.alarm.watch.channels import channel_of
from iocs.alarm.watch.values import MAX_TEXT, number_of, value_text
from owlshift.ca import Dbr, Metadata

AMPS = Metadata(units="uA", precision=1)
STATES = Metadata(states=("Off", "Beam", ""))


@pytest.mark.parametrize(
    ("value", "dbr", "metadata", "text"),
    [
        (np.float64(12.345), Dbr.DOUBLE, AMPS, "12.3 uA"),
        (np.float64(-0.04), Dbr.DOUBLE, AMPS, "-0.0 uA"),
        (np.float64(12.5), Dbr.DOUBLE, Metadata(precision=0), "12.5"),
        (np.float64(12.0), Dbr.DOUBLE, Metadata(precision=0), "12"),
        (np.float64(1.0), Dbr.DOUBLE, Metadata(), "1"),
        (np.float64(1e300), Dbr.DOUBLE, AMPS, "1e+300 uA"),
        (np.float64(2.5), Dbr.DOUBLE, Metadata(precision=-3), "2.5"),
        (np.float64(2.5), Dbr.DOUBLE, Metadata(precision=30000), "2.5"),
        (np.float64(math.nan), Dbr.DOUBLE, AMPS, "NaN uA"),
        (np.float64(math.inf), Dbr.DOUBLE, AMPS, "Infinity uA"),
        (np.float64(-math.inf), Dbr.DOUBLE, Metadata(precision=0), "-Infinity"),
        (np.int32(-7), Dbr.LONG, Metadata(units="V"), "-7 V"),
        (np.uint8(65), Dbr.CHAR, Metadata(), "65"),
        (np.uint16(1), Dbr.ENUM, STATES, "Beam"),
        (np.uint16(2), Dbr.ENUM, STATES, "2"),
        (np.uint16(9), Dbr.ENUM, STATES, "9"),
        (np.bytes_(b"fine"), Dbr.STRING, Metadata(), "fine"),
        (np.bytes_("12 µA".encode("latin-1")), Dbr.STRING, Metadata(), "12 µA"),
        (np.bytes_(b"a\x1b[31mb\n"), Dbr.STRING, Metadata(), "a [31mb"),
        (np.frombuffer(b"some text\0rubbish", np.uint8), Dbr.CHAR, Metadata(), "some text"),
        (np.array([1.25, 2.0]), Dbr.DOUBLE, AMPS, "[1.2, 2.0] uA"),
        (np.arange(20), Dbr.LONG, Metadata(), "[0, 1, 2, 3, 4, 5, 6, 7, … (20 values)]"),
        (np.array([], float), Dbr.DOUBLE, Metadata(), "[]"),
        (np.array([0, 1, 7], np.uint16), Dbr.ENUM, STATES, "[Off, Beam, 7]"),
    ],
)
def test_text(value, dbr, metadata, text) -> None:
    assert value_text(value, dbr, metadata) == text


def test_long_text_is_cut() -> None:
    text = value_text(np.full(5000, ord("x"), np.uint8), Dbr.CHAR, Metadata())
    assert len(text) == MAX_TEXT
    assert text.endswith("…")


@pytest.mark.parametrize(
    ("value", "dbr", "number"),
    [
        (np.float64(2.5), Dbr.DOUBLE, 2.5),
        (np.float64(math.nan), Dbr.DOUBLE, None),
        (np.uint16(3), Dbr.ENUM, 3.0),
        (np.bytes_(b" 1.5 "), Dbr.STRING, 1.5),
        (np.bytes_(b"on"), Dbr.STRING, None),
        (np.bytes_(b"1_0"), Dbr.STRING, None),
        (np.bytes_(b"nan"), Dbr.STRING, None),
        (np.frombuffer(b"42\0", np.uint8), Dbr.CHAR, 42.0),
        (np.array([7.0, 8.0]), Dbr.DOUBLE, 7.0),
        (np.array([], float), Dbr.DOUBLE, None),
    ],
)
def test_number(value, dbr, number) -> None:
    assert number_of(value, dbr) == number


NUMERIC = {
    Dbr.SHORT: (np.int16, st.integers(-(2**15), 2**15 - 1)),
    Dbr.FLOAT: (np.float32, st.floats(width=32)),
    Dbr.ENUM: (np.uint16, st.integers(0, 2**16 - 1)),
    Dbr.CHAR: (np.uint8, st.integers(0, 255)),
    Dbr.LONG: (np.int32, st.integers(-(2**31), 2**31 - 1)),
    Dbr.DOUBLE: (np.float64, st.floats()),
}
metadata = st.builds(
    Metadata,
    units=st.text(max_size=8),
    precision=st.none() | st.integers(-(2**15), 2**15 - 1),
    states=st.lists(st.text(max_size=26), max_size=16).map(tuple),
)


@given(st.data(), st.sampled_from([*NUMERIC, Dbr.STRING]), metadata, st.booleans())
def test_whatever_a_server_sends(data, dbr, metadata, array) -> None:
    if dbr is Dbr.STRING:
        values = np.array(data.draw(st.lists(st.binary(max_size=40), min_size=1, max_size=30)), dtype="S40")
    else:
        dtype, numbers = NUMERIC[dbr]
        values = np.array(data.draw(st.lists(numbers, min_size=1, max_size=30)), dtype=dtype)
    value = values if array else values[0]
    text = value_text(value, dbr, metadata)
    assert len(text) <= MAX_TEXT
    assert text.isprintable()
    number = number_of(value, dbr)
    assert number is None or not math.isnan(number)


@pytest.mark.parametrize(("pv", "channel"), [("A:B", "A:B"), ("ca://A:B", "A:B"), ("A.VAL", "A.VAL")])
def test_channel(pv, channel) -> None:
    assert channel_of(pv) == channel


@pytest.mark.parametrize("pv", ["pva://A:B", "loc://x(1)", "sim://sine", "", "ca://", "A B", "x" * 300, "://A"])
def test_no_channel(pv) -> None:
    with pytest.raises(ValueError, match=r"cannot be watched|no channel name"):
        channel_of(pv)
