"""Messages to bytes and back, however the stream is cut, and streams that are none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from owlshift.ioc.server import wire
from owlshift.ioc.server.wire import Message, ProtocolError, Splitter

u16, u32 = st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
payloads = st.binary(max_size=64).map(wire.padded)
messages = st.builds(
    lambda command, data_type, count, cid, available, payload: Message(
        command, len(payload), data_type, count, cid, available, payload
    ),
    u16,
    u16,
    st.one_of(u16, u32),
    u32,
    u32,
    payloads,
)


def as_bytes(message: Message) -> bytes:
    return wire.header(*message[:6]) + message.payload


@given(st.lists(messages, max_size=10), st.lists(st.integers(1, 50), max_size=50))
def test_a_stream_gives_its_messages_however_it_is_cut(sent: list[Message], cuts: list[int]):
    stream = b"".join(as_bytes(m) for m in sent)
    splitter, got = Splitter(), []
    for cut in [*cuts, len(stream) + 1]:
        splitter.feed(stream[:cut])
        stream = stream[cut:]
        got += list(splitter.messages())
    assert got == sent and len(splitter) == 0


@given(st.lists(messages, min_size=3, max_size=10))
def test_reading_may_stop_between_messages(sent: list[Message]):
    splitter = Splitter()
    splitter.feed(b"".join(as_bytes(m) for m in sent))
    first = next(splitter.messages())
    splitter.feed(as_bytes(sent[0]))
    assert [first, *splitter.messages()] == [*sent, sent[0]]


@given(st.binary(max_size=400))
def test_any_bytes_give_messages_or_a_protocol_error(data: bytes):
    splitter = Splitter(limit=100)
    splitter.feed(data)
    try:
        for message in splitter.messages():
            assert len(message.payload) == message.size <= 100
    except ProtocolError:
        return
    assert len(splitter) < 24 + 100


def test_a_huge_payload_is_refused_at_its_header():
    for head in (wire.header(4, 1 << 31, 6, 1 << 28, 1, 1), wire.header(4, 0xFFFFFFF8, 6, 1, 1, 1)):
        splitter = Splitter()
        splitter.feed(head)
        with pytest.raises(ProtocolError, match="payload"):
            list(splitter.messages())


@given(st.lists(messages.filter(lambda m: m.data_count < 0xFFFF), max_size=5), st.binary(max_size=15))
def test_datagrams(sent: list[Message], rest: bytes):
    data = b"".join(as_bytes(m) for m in sent)
    assert list(wire.split_datagram(data)) == sent
    if rest:
        with pytest.raises(ProtocolError):
            list(wire.split_datagram(data + rest))


@given(st.binary(max_size=100))
def test_text_is_what_comes_before_the_nul(data: bytes):
    assert "\0" not in wire.text(data)
    assert wire.text(b"name\0" + data) == "name"


@given(messages, st.text())
def test_an_error_carries_the_request(request: Message, text: str):
    splitter = Splitter()
    splitter.feed(wire.error(request, 3, 152, text))
    (error,) = splitter.messages()
    assert (error.command, error.cid, error.available) == (wire.Command.ERROR, 3, 152)
    assert error.payload.startswith(wire.header(*request[:6]))
    assert error.payload.endswith(b"\0")
