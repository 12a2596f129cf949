"""The same conversations with stock caproto 1.3.0 and with ours: what is broken there works here.

The end of a stock server by clients that vanish, its end by SIGTERM, and its deafness to loopback broadcasts are in
test_ca_hostile.py and test_ca_network.py.
"""

from __future__ import annotations

import asyncio
import struct
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from ca_raw import (
    CREATE_CHAN,
    DBE_PROPERTY,
    DBE_VALUE,
    ERROR,
    EVENT_ADD,
    SEARCH,
    VERSION,
    WRITE_NOTIFY,
    RawClient,
    blocking,
    create,
    event_add,
    put,
    request,
)
from support import free_port, start

IOC = Path(__file__).with_name("ca_test_ioc.py")
KINDS = ["ours", "stock"]


@pytest.fixture(params=KINDS)
def ioc(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    """A fresh server of either kind: its kind and TCP port."""
    rate = getattr(request.function, "rate", 0)
    process = start([sys.executable, str(IOC), request.param, "T:", str(free_port()), str(rate)])
    try:
        yield request.param, int(process.wait_for_line("ready").split()[1])
    finally:
        process.kill()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[RawClient]:
    client = await RawClient.connect(port)
    client.send(request(VERSION, 0, 13))
    try:
        yield client
    finally:
        await client.close()


async def test_event_masks(ioc: tuple[str, int]):
    # trap B5
    kind, port = ioc
    async with connected(port) as client, connected(port) as writer:
        sid = await client.open("T:Double")
        client.send(event_add(sid, 1, mask=DBE_PROPERTY), event_add(sid, 2, mask=DBE_VALUE))
        for _ in range(2):
            await client.expect(EVENT_ADD)
        own = await writer.open("T:Double")
        for value in (1.0, 2.0, 3.0):
            writer.send(put(own, value, 1, True))
            await writer.expect(WRITE_NOTIFY)
        seen = []
        while seen.count(2) < 3:
            seen.append((await client.expect(EVENT_ADD)).available)
        assert (seen.count(1) == 0) == (kind == "ours"), "a PROPERTY monitor gets no values"


async def test_order_of_puts(ioc: tuple[str, int]):
    # trap B1: the putter takes 0.6, 0.1 and 0 seconds
    kind, port = ioc
    async with connected(port) as client:
        sid = await client.open("T:Slow")
        client.send(put(sid, 1.6, 1, True), put(sid, 2.1, 2, True), put(sid, 3.0, 3, True))
        answered = [(await client.expect(WRITE_NOTIFY)).available for _ in range(3)]
        last = struct.unpack_from(">d", (await client.get(sid)).payload)[0]
        assert (answered, last) == (([1, 2, 3], 3.0) if kind == "ours" else ([3, 2, 1], 1.6))


async def test_units_of_more_than_eight_bytes(ioc: tuple[str, int]):
    # trap A9
    kind, port = ioc
    async with connected(port) as client:
        sid = await client.open("T:Units")
        client.send(request(15, 34, 1, sid, 5))
        reply = await client.next()
        while reply.command not in (15, ERROR):
            reply = await client.next()
        assert reply.command == (15 if kind == "ours" else ERROR)


async def test_a_circuit_that_changes_its_priority(ioc: tuple[str, int]):
    # EPICS_CA_NAME_SERVERS: libca searches on a circuit and then uses it with another priority
    kind, port = ioc
    async with connected(port) as client:
        client.send(request(VERSION, 1, 13), request(SEARCH, 5, 13, 8, 8, b"T:Double\0"))
        if kind == "ours":
            assert (await client.expect(SEARCH)).available == 8
        else:
            with pytest.raises((TimeoutError, ConnectionError)):
                await client.expect(SEARCH, timeout=2)


async def test_a_stalled_client_and_the_others(ioc: tuple[str, int]):
    # trap B2: 50 monitors of one stalled client fill stock caproto's queue for it, and then everybody waits
    kind, port = ioc
    with blocking(port, "T:Wave", 6, 1000, 4096, 50):
        async with connected(port) as client:
            client.send(event_add(await client.open("T:Fast"), 1))
            silent = False
            for _ in range(3000 if kind == "ours" else 1_000_000):
                try:
                    await client.expect(EVENT_ADD, timeout=5)
                except TimeoutError:
                    silent = True
                    break
            assert silent == (kind == "stock")


test_a_stalled_client_and_the_others.rate = 1500  # type: ignore[attr-defined]


async def test_a_subscription_to_a_channel_that_does_not_exist(ioc: tuple[str, int]):
    # EPICS base ends such a circuit; stock caproto's task for its commands ends, and the circuit stays, deaf
    kind, port = ioc
    async with connected(port) as client:
        client.send(event_add(4711, 1))
        await asyncio.sleep(0)
        if kind == "ours":
            assert ERROR in [r.command for r in await client.closed()]
        else:
            client.send(create("T:Double", 5))
            with pytest.raises(TimeoutError):
                await client.expect(CREATE_CHAN, timeout=2)
