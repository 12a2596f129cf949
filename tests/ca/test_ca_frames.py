"""The scanner finds what a plain loop finds, in whatever comes."""

from __future__ import annotations

import struct

import numpy as np
from ca_support import HEADER, message
from hypothesis import given, settings
from hypothesis import strategies as st

from owlshift.ca.frames import Group, split
from owlshift.ca.protocol import Command

shapes = st.tuples(
    st.sampled_from([1, 1, 1, 15, 18, 22]),
    st.sampled_from([0, 8, 16, 24, 56, 424]),
    st.sampled_from([14, 17, 20]),
    st.sampled_from([1, 1, 1, 2, 5]),
)
blocks = st.lists(st.tuples(shapes, st.integers(1, 150)), max_size=12)


def as_buffer(data: bytes) -> np.ndarray:
    return np.frombuffer(bytearray(data), np.uint8)


def walk(data: bytes) -> list[bytes]:
    """All complete messages, one after the other."""
    found, at = [], 0
    while at + 16 <= len(data):
        size = HEADER.unpack_from(data, at)[1]
        head = 16
        if size == 0xFFFF:
            if at + 24 > len(data):
                break
            size, head = struct.unpack_from(">I", data, at + 16)[0], 24
        if at + head + size > len(data):
            break
        found.append(data[at : at + head + size])
        at += head + size
    return found


def all_messages(groups: list[Group]) -> list[bytes]:
    return [row.tobytes() for group in groups for row in group.rows]


def build(parts: list[tuple[tuple[int, int, int, int], int]], interleave: bool = False) -> bytes:
    serial, out = 0, []
    for (command, size, dbr, count), number in parts:
        for _ in range(number):
            serial += 1
            out.append(message(command, bytes([serial & 255]) * size, dbr, count, serial, serial % 7))
    if interleave:
        out = out[::3] + out[1::3] + out[2::3]
    return b"".join(out)


@given(blocks, st.booleans(), st.integers(0, 2000))
@settings(max_examples=200, deadline=None)
def test_same_messages_as_a_plain_loop(parts, interleave, cut):
    data = build(parts, interleave)
    data = data[: len(data) - min(cut, len(data))]
    expected = walk(data)
    found = split(as_buffer(data))
    assert found.error == ""
    assert sorted(all_messages(found.groups)) == sorted(expected)
    assert found.consumed == sum(map(len, expected))
    for group in found.groups:
        heads = {row.tobytes()[:8] for row in group.rows}
        assert len(heads) == 1
        assert group.shape.size == group.rows.dtype.itemsize


@given(blocks, st.integers(0, 6))
@settings(max_examples=100, deadline=None)
def test_order_is_kept_where_it_matters(parts, array_channel):
    """Events of one shape stay in order, and so do all events of array channels whatever their count."""
    data = build([((1, size, 20, count), number) for (_, size, _, count), number in parts], interleave=True)
    arrays = np.zeros(8, np.bool_)
    arrays[array_channel] = True
    found = split(as_buffer(data), arrays)
    per_channel: dict[int, list[int]] = {}
    for group in found.groups:
        for serial, channel in zip(*group.parameters(), strict=True):
            if group.array:
                per_channel.setdefault(channel, []).append(serial)
            else:
                per_channel.setdefault((channel, group.shape), []).append(serial)  # type: ignore[arg-type]
    expected = [HEADER.unpack_from(m)[4:6] for m in walk(data)]
    wanted = [serial for serial, channel in expected if channel == array_channel]
    assert per_channel.get(array_channel, []) == wanted
    serials: dict[tuple[int, object], list[int]] = {}
    for m in walk(data):
        command, size, dbr, count, serial, channel = HEADER.unpack_from(m)
        if channel != array_channel and count == 1:
            serials.setdefault((channel, (command, dbr, count, size, 16)), []).append(serial)
    assert {k: v for k, v in per_channel.items() if isinstance(k, tuple)} == serials


@given(st.binary(max_size=4000))
@settings(max_examples=300, deadline=None)
def test_random_bytes(data):
    found = split(as_buffer(data))
    assert 0 <= found.consumed <= len(data)
    assert sum(map(len, all_messages(found.groups))) == found.consumed
    if not found.error:
        assert b"".join(walk(data)) == data[: found.consumed]


@given(blocks, st.data())
@settings(max_examples=150, deadline=None)
def test_mutated_streams(parts, data):
    stream = bytearray(build(parts, interleave=True) or bytes(64))
    for _ in range(data.draw(st.integers(1, 5))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    found = split(as_buffer(bytes(stream)))
    assert sum(map(len, all_messages(found.groups))) == found.consumed <= len(stream)


def test_every_cut_of_a_mixed_stream():
    data = build([((1, 24, 20, 1), 3), ((1, 56, 14, 1), 2), ((22, 0, 0, 0), 1), ((1, 16, 17, 1), 4)])
    for cut in range(len(data) + 1):
        found = split(as_buffer(data[:cut]))
        assert found.consumed == len(b"".join(walk(data[:cut])))
        assert all_messages(found.groups) == walk(data[:cut]) or len(found.groups) > 1


def test_a_long_mixed_stream_over_many_windows():
    parts = [((1, 24, 20, 1), 1), ((1, 16, 17, 1), 2), ((1, 56, 14, 1), 1)] * 5000
    data = build(parts) + message(22, p1=4, p2=3) + b"\1\2\3"
    found = split(as_buffer(data))
    assert found.consumed == len(data) - 3
    assert sorted(all_messages(found.groups)) == sorted(walk(data))
    assert len(found.groups) < 60


def test_many_shapes_in_one_window():
    data = build([((1, 8 * size, 20, 1), 2) for size in range(1, 60)], interleave=True)
    found = split(as_buffer(data))
    assert sorted(all_messages(found.groups)) == sorted(walk(data))


def test_extended_headers_among_ordinary_ones():
    large = message(1, bytes(range(256)) * 300, 18, 76800, 1, 3)
    data = build([((1, 24, 20, 1), 200)]) + large + build([((1, 16, 17, 1), 5)]) + large + message(23)
    found = split(as_buffer(data))
    assert found.consumed == len(data)
    assert sorted(all_messages(found.groups)) == sorted(walk(data))
    long = [group for group in found.groups if group.shape.header == 24]
    assert [group.shape.elements for group in long] == [76800, 76800]
    assert all(group.array for group in long)


def test_a_small_message_may_have_an_extended_header():
    odd = HEADER.pack(1, 0xFFFF, 20, 0, 1, 9) + struct.pack(">II", 24, 1) + bytes(24)
    data = message(23) + odd * 3 + message(23)
    found = split(as_buffer(data))
    assert found.consumed == len(data)
    assert [g.shape.payload for g in found.groups if g.shape.header == 24] == [24, 24, 24]


def test_misaligned_payload_is_an_error_behind_the_good_messages():
    good = message(22, p1=1, p2=3)
    bad = HEADER.pack(1, 13, 20, 1, 1, 1) + bytes(13)
    found = split(as_buffer(good * 3 + bad + good))
    assert found.error == "misaligned message"
    assert found.consumed == 3 * len(good)
    found = split(as_buffer(bad))
    assert (found.error, found.consumed) == ("misaligned message", 0)


def test_an_absurd_size_is_an_error_without_an_allocation():
    absurd = HEADER.pack(1, 0xFFFF, 20, 0, 1, 1) + struct.pack(">II", 0xFFFFFFF8, 0x1FFFFFFF)
    found = split(as_buffer(message(23) + absurd + bytes(64)))
    assert found.error == "message too large"
    assert found.consumed == 16


def test_an_incomplete_message_says_how_long_it_will_be():
    data = message(1, bytes(100_000), 18, 100_000, 1, 1)
    assert split(as_buffer(data[:5000])).needed == len(data)
    assert split(as_buffer(data[:20])).needed == 0
    assert split(as_buffer(b"")).consumed == 0


def test_commands_are_those_of_the_protocol():
    assert (Command.EVENT_ADD, Command.CREATE_CHAN, Command.SERVER_DISCONN) == (1, 18, 27)
