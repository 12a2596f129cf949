"""The types of values: whatever a client sends is understood or refused; what is kept fits the wire and JSON."""

from __future__ import annotations

import enum
import json
import math
from typing import Any

import numpy as np
import pytest
from caproto import ChannelType
from hypothesis import given
from hypothesis import strategies as st

from owlshift.ioc.values import Array, Double, Long, State, String, Text, ValueType, cut, value_type


class Gap(enum.IntEnum):
    Low = 1
    High = 3


TYPES: list[ValueType] = [
    Double(), Long(), State(bool), State(Gap), State(Gap, ("low!", "high!")), String(), Text(20), Array(float, 4),
    Array(int, 4),
]  # fmt: skip

PUTS = st.one_of(
    *(
        st.tuples(st.just(dbr), st.lists(elements, max_size=6).map(lambda items, t=dtype: np.array(items, t)))
        for dbr, dtype, elements in (
            (ChannelType.INT, ">i2", st.integers(-(2**15), 2**15 - 1)),
            (ChannelType.FLOAT, ">f4", st.floats(width=32)),
            (ChannelType.ENUM, ">u2", st.integers(0, 2**16 - 1)),
            (ChannelType.CHAR, "u1", st.integers(0, 255)),
            (ChannelType.LONG, ">i4", st.integers(-(2**31), 2**31 - 1)),
            (ChannelType.DOUBLE, ">f8", st.floats()),
        )
    ),
    st.tuples(
        st.just(ChannelType.STRING),
        st.lists(
            st.binary(max_size=40)
            | st.sampled_from(
                [b"No", b"Yes", b"Low", b"3", b"0x1f", b"1e400", b"-inf", b"nan", b"1_0", b" 7 ", b"\xc2\xb2"]
            ),
            max_size=6,
        ),
    ),
)


def fits(kind: ValueType, value: Any) -> bool:
    """Whether a stored value is one that the type may have."""
    if isinstance(kind, Double):
        return isinstance(value, float)
    if isinstance(kind, Long):
        return type(value) is int and -(2**31) <= value < 2**31
    if isinstance(kind, State):
        return value in kind.members.values() and type(value) is type(kind.zero)
    if isinstance(kind, Array):
        return value.dtype == kind.dtype and value.shape <= (kind.count,) and not value.flags.writeable
    room = kind.count if isinstance(kind, Text) else 39
    return isinstance(value, str) and len(value.encode()) <= room and "\0" not in value


@given(st.sampled_from(TYPES), PUTS)
def test_every_put_is_understood_or_refused(kind: ValueType, put: tuple[ChannelType, Any]) -> None:
    dbr, data = put
    try:
        value = kind.from_put(data, dbr)
    except ValueError as error:
        assert str(error)
        return
    assert fits(kind, value)
    assert value is not math.nan and not (isinstance(value, float) and math.isnan(value))
    assert kind.same(kind.coerce(value), value)


ANYTHING = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
    | st.lists(st.floats(), max_size=6) | st.lists(st.integers(), max_size=6)
    | st.lists(st.text(max_size=3), max_size=3) | st.just(np.bool_(True))
    | st.just(np.float32(1.5)) | st.just(np.int64(2)) | st.just(np.zeros((2, 2))) | st.complex_numbers()
)  # fmt: skip


@given(st.sampled_from(TYPES), ANYTHING)
def test_everything_that_is_posted_fits_or_is_refused(kind: ValueType, value: object) -> None:
    try:
        kept = kind.coerce(value)
    except (ValueError, TypeError, OverflowError):
        return
    assert fits(kind, kept)
    if not (isinstance(kept, float) or kind.kind == "double"):
        again = kind.coerce(json.loads(json.dumps(kind.to_json(kept), allow_nan=False)))
        assert kind.same(again, kept)


@given(st.text(), st.integers(1, 50))
def test_text_is_cut_between_characters(text: str, room: int) -> None:
    text = text.encode("utf-8", "ignore").decode()
    found = cut(text, room)
    assert text.startswith(found) and len(found.encode()) <= room
    assert found == text or len(text[: len(found) + 1].encode()) > room


@pytest.mark.parametrize(
    ("put", "expected"),
    [(b"low!", Gap.Low), (b"3", Gap.High), (b"high!", Gap.High)],
)
def test_a_state_by_label_or_number(put: bytes, expected: Gap) -> None:
    kind = State(Gap, ("low!", "high!"))
    assert kind.labels == ("", "low!", "", "high!")
    assert kind.from_put([put], ChannelType.STRING) is expected
    for bad in (b"", b"Low", b"0", b"2", b"4", b"low"):
        with pytest.raises(ValueError, match=r"."):
            kind.from_put([bad], ChannelType.STRING)


@pytest.mark.parametrize(
    ("dtype", "labels", "reason"),
    [
        (complex, None, "is none of float, int"),
        (float, ("a",), "labels belong to bool and IntEnum"),
        (bool, ("a", "a"), "one label"),
        (bool, ("a", ""), "must have 1 to 25 bytes"),
        (bool, ("a", "b" * 26), "must have 1 to 25 bytes"),
        (bool, ("a", "b", "c"), "3 labels for 2 states"),
        (enum.IntEnum("Negative", {"A": -1}), None, "within 0..15"),
        (enum.IntEnum("Many", {f"S{i}": i for i in range(17)}), None, "within 0..15"),
        (enum.IntEnum("Empty", {}), None, "within 0..15"),
    ],
)
def test_types_that_cannot_be_served(dtype: Any, labels: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        value_type(dtype, labels)


def test_arrays_and_texts_need_room() -> None:
    for make in (lambda: Text(0), lambda: Array(float, 0), lambda: Array(str, 5)):  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"has no room|holds float or int"):
            make()
