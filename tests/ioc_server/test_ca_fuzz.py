"""Random and mutated byte streams: whatever comes, the server serves the next client and holds nothing for the last."""

from __future__ import annotations

import asyncio
import random
import struct
from typing import Any

from ca_raw import (
    CLEAR_CHANNEL,
    CREATE_CHAN,
    ECHO,
    EVENT_CANCEL,
    READ_NOTIFY,
    SEARCH,
    RawClient,
    create,
    event_add,
    eventually,
    put,
    request,
    serving,
)
from ca_test_ioc import make_pvs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from owlshift.ioc.server import CaServer
from owlshift.ioc.server.circuit import Circuit
from owlshift.ioc.server.limited import LimitedLog
from owlshift.ioc.server.search import SearchResponder
from owlshift.ioc.server.wire import Command

u16, u32 = st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
NAMES = ["Double", "Enum", "Array", "Char", "Slow", "Locked", "Nobody", "Double.VAL", "Char.VAL$", 'Array.VAL{"ts":{}}']
small = st.integers(0, 40)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A message that a client could send, with ids that often exist."""
    kind = draw(st.integers(0, 8))
    if kind == 0:
        return create(draw(st.sampled_from(NAMES)), draw(small))
    if kind == 1:
        return event_add(draw(small), draw(small), draw(small), draw(st.integers(0, 3)), draw(u16))
    if kind == 2:
        return request(READ_NOTIFY, draw(small), draw(st.one_of(st.integers(0, 20), u32)), draw(small), draw(u32))
    if kind == 3:
        return request(
            draw(st.sampled_from([4, 19])), draw(small), draw(small), draw(small), 1, draw(st.binary(max_size=90))
        )
    if kind == 4:
        return request(EVENT_CANCEL, 6, 1, draw(small), draw(small))
    if kind == 5:
        return request(CLEAR_CHANNEL, 0, 0, draw(small), draw(small))
    if kind == 6:
        return request(draw(st.sampled_from([0, 6, 8, 9, 10, 20, 21, 23])), 0, 13, 0, 0, draw(st.binary(max_size=40)))
    if kind == 7:
        return request(
            draw(st.integers(0, 40)), draw(u16), draw(u32), draw(u32), draw(u32), draw(st.binary(max_size=40))
        )
    return draw(st.binary(max_size=40))


class Transport(asyncio.Transport):
    """A socket that takes everything, or nothing."""

    def __init__(self, takes: bool) -> None:
        super().__init__()
        self.takes, self.written, self.closing, self.protocol = takes, 0, False, None

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    abort = close

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def write(self, data: Any) -> None:
        self.written += len(data)

    def get_write_buffer_size(self) -> int:
        return 0 if self.takes else self.written


async def converse(chunks: list[bytes], takes: bool) -> None:
    """Feed chunks to one circuit of a server that is not listening, then end it."""
    server = CaServer(make_pvs())
    server._loop = asyncio.get_running_loop()
    server.limited = LimitedLog(server.limited._log, period=1e9)
    circuit, transport = Circuit(server), Transport(takes)
    circuit.connection_made(transport)
    for chunk in chunks:
        if not transport.is_closing():
            circuit.data_received(chunk)
            await asyncio.sleep(0)
    for pv in server.pvdb.values():
        await pv.publish(5)
    circuit.connection_lost(None)
    assert (server.clients, server.channels, server.monitors) == (0, 0, 0)
    assert all(not server.feed(pv).monitors for pv in server.pvdb.values())
    await server._shut_down()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(requests(), max_size=30), st.lists(st.integers(1, 60), max_size=30), st.booleans())
def test_any_requests_in_any_cuts(messages: list[bytes], cuts: list[int], takes: bool):
    stream, chunks = b"".join(messages), []
    for cut in cuts:
        chunks.append(stream[:cut])
        stream = stream[cut:]
    asyncio.run(converse([c for c in [*chunks, stream] if c], takes))


GOOD = b"".join(
    [
        request(0, 1, 13),
        request(21, payload=b"host\0"),
        request(20, payload=b"user\0"),
        *[create(name, n) for n, name in enumerate(NAMES)],
        *[event_add(n, n, 20 + n % 7, 0) for n in range(1, 7)],
        *[put(n, 1.0, n, n % 2 == 0) for n in range(1, 7)],
        request(READ_NOTIFY, 34, 0, 1, 5),
        request(SEARCH, 10, 13, 3, 3, b"Double\0"),
        request(8),
        request(9),
        request(EVENT_CANCEL, 20, 1, 1, 1),
        request(CLEAR_CHANNEL, 0, 0, 1, 0),
        request(ECHO),
    ]
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=8), st.integers(0, len(GOOD)))
def test_a_good_stream_with_bytes_changed_or_cut_off(changes: list[tuple[int, int]], length: int):
    data = bytearray(GOOD)
    for at, value in changes:
        data[at] = value
    asyncio.run(converse([bytes(data[:length]), bytes(data[length:])], True))


def responder() -> SearchResponder:
    """A responder without sockets."""
    found = SearchResponder.__new__(SearchResponder)
    server = CaServer(make_pvs())
    found.searches = found.malformed = 0
    found._tcp_port, found._known = lambda: 5064, lambda name: server.find(name) is not None
    found._limited = LimitedLog(server.limited._log, period=1e9)
    return found


@given(st.lists(st.one_of(requests(), st.binary(max_size=60)), max_size=20))
def test_any_datagram(parts: list[bytes]):
    for answer in responder().answers(b"".join(parts), ("127.0.0.1", 1)):
        assert len(answer) <= 1472


def test_answers_fit_datagrams_and_carry_the_sequence_number():
    searches = request(0, 1, 13, 4711) + b"".join(request(SEARCH, 5, 13, n, n, b"Double\0") for n in range(200))
    answers = responder().answers(searches, ("127.0.0.1", 1))
    assert len(answers) > 2 and all(len(a) <= 1472 for a in answers)
    for answer in answers:
        assert struct.unpack_from(">HHHHI", answer) == (0, 0, 1, 13, 4711)
    assert sum(len(a) // 24 for a in answers) == 200
    truncated = responder()
    assert len(truncated.answers(searches[:-4], ("127.0.0.1", 1))) > 2, "what was whole is answered"
    assert truncated.malformed == 1
    assert responder().answers(request(SEARCH, 5, 2, 1, 1, b"Double\0"), ("127.0.0.1", 1)) == [], "older than 4.4"
    assert responder().answers(request(SEARCH, 5, 13, 1, 1, b"Nobody\0"), ("127.0.0.1", 1)) == []


async def test_random_bytes_over_real_sockets_and_the_good_client_notices_nothing():
    pvs, dice = make_pvs(), random.Random(4)
    async with serving(pvs) as server:
        good = await RawClient.connect(server.port)
        sid = await good.open("Double")
        good.send(event_add(sid, 1))
        await good.until_echo()
        for number in range(60):
            bad = await RawClient.connect(server.port)
            data = dice.randbytes(dice.randrange(1, 3000))
            if number % 2:
                data = create("Double") + event_add(1, 1) + data
            bad.send(data)
            if number % 3 == 0:
                await bad.writer.drain()
                bad.reset()
            else:
                await bad.close()
            await pvs["Double"].write(float(number))
        assert len(await good.until_echo()) == 60
        await eventually(lambda: server.clients == 1)
        assert server.malformed_circuits > 0
        assert CREATE_CHAN == Command.CREATE_CHAN
        await good.close()
