"""Thousands of reads and writes in one go: order, errors in their place, and nobody waits for what is not there."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest
from ca_support import CIoc
from support import ROOT, start, unique_prefix

from owlshift.ca import (
    Access,
    CaAccessError,
    CaAddresses,
    CaDisconnectedError,
    CaError,
    CaStatusError,
    CaTimeoutError,
    Client,
    Dbr,
    Reading,
)

TIMEOUT = 30.0
COUNT = 3000


@pytest.fixture(scope="module")
def ioc() -> Iterator[CIoc]:
    records = [
        f'record(ao, "B:{i:04d}") {{ field(VAL, "{i}") field(PINI, "YES") field(PREC, "1") }}' for i in range(COUNT)
    ]
    records += [
        'record(stringout, "B:S") { field(VAL, "abc") field(PINI, "YES") }',
        'record(mbbo, "B:E") { field(ZRST, "Off") field(ONST, "On") field(ONVL, "1") field(PINI, "YES") }',
        'record(waveform, "B:W") { field(FTVL, "DOUBLE") field(NELM, "5") }',
        'record(waveform, "B:T") { field(FTVL, "CHAR") field(NELM, "100") }',
        'record(longout, "B:L") { field(DISP, "0") }',
        'record(longout, "B:D") { field(DISP, "1") }',
    ]
    with CIoc("\n".join(records)) as ioc:
        yield ioc


@pytest.fixture
async def client(ioc: CIoc) -> AsyncIterator[Client]:
    async with Client(CaAddresses.from_environment(ioc.environment), metadata=False) as client:
        yield client


async def test_thousands_are_written_and_read_in_their_order(client: Client):
    names = [f"B:{i:04d}" for i in range(COUNT)]
    assert [
        one.value if isinstance(one, Reading) else one for one in await client.read_many(names, timeout=TIMEOUT)
    ] == [float(i) for i in range(COUNT)]
    told: list[int] = []
    wanted = {name: i + 0.5 for i, name in enumerate(names)}
    assert await client.write_many(wanted, timeout=TIMEOUT, done=told.append) == [None] * COUNT
    assert sorted(told) == list(range(COUNT))
    found = await client.read_many(list(reversed(names)), timeout=TIMEOUT)
    assert [one.value for one in found if isinstance(one, Reading)] == [i + 0.5 for i in reversed(range(COUNT))]
    assert await client.write_many({name: float(i) for i, name in enumerate(names)}, timeout=TIMEOUT) == [None] * COUNT
    assert not client._pending._waiting


async def test_every_type_as_get_reads_it(client: Client):
    values = {"B:S": "xyz", "B:E": 0, "B:W": [1.5, 2.5], "B:T": "some text", "B:L": -7, "B:0000": 1.0}
    assert await client.write_many(values, timeout=TIMEOUT) == [None] * len(values)
    found = await client.read_many(values, timeout=TIMEOUT)
    for name, one in zip(values, found, strict=True):
        assert isinstance(one, Reading)
        single = await client.get(name, timeout=TIMEOUT)
        np.testing.assert_array_equal(one.value, single.value)
        assert (one.name, one.dbr, one.severity, one.time_ns) == (name, single.dbr, single.severity, single.time_ns)
    text = found[3]
    assert isinstance(text, Reading) and (text.dbr, text.label) == (Dbr.CHAR, "some text")
    assert client.access("B:S") == Access.READ | Access.WRITE and client.access("B:nothing") is None


async def test_what_is_there_does_not_wait_for_what_is_not(client: Client):
    names = ["B:nothing", "B:0001", "B:0002"]
    done: list[int] = []
    write = asyncio.create_task(client.write_many(dict.fromkeys(names, 5.0), timeout=3.0, done=done.append))
    async with asyncio.timeout(TIMEOUT):
        while len(done) < 2:
            await asyncio.sleep(0.01)
    assert not write.done() and sorted(done) == [1, 2]
    missing, one, two = await write
    assert isinstance(missing, CaTimeoutError) and "B:nothing: no server has it" in str(missing)
    assert (one, two) == (None, None)
    missing, one, _ = await client.read_many(names, timeout=0.5)
    assert isinstance(missing, CaTimeoutError) and isinstance(one, Reading) and one.value == 5.0


async def test_refusals_and_bad_values_are_in_their_place(client: Client):
    found = await client.write_many({"B:0001": "no number", "B:D": 1, "B:W": [1.0] * 9, "B:0002": 2.0}, timeout=TIMEOUT)
    assert isinstance(found[0], CaStatusError) and isinstance(found[1], CaError)
    assert isinstance(found[2], ValueError) and found[3] is None
    with pytest.raises(ValueError, match="no channel name"):
        await client.read_many(["B:0001", "a name with blanks"])
    assert await client.read_many([]) == [] == await client.write_many({})


async def test_the_same_name_twice(client: Client):
    one, two = await client.read_many(["B:0003", "B:0003"], timeout=TIMEOUT)
    assert isinstance(one, Reading) and one == two


async def test_an_ioc_that_ends_fails_what_is_under_way():
    prefix = unique_prefix()
    process = start([sys.executable, str(ROOT / "tests" / "ioc" / "lamp_ioc.py"), prefix])
    async with Client(metadata=False) as client:
        await client.read_many([f"{prefix}L:Set"], timeout=TIMEOUT)
        write = asyncio.create_task(
            client.write_many({f"{prefix}L:Hold": 1.0, f"{prefix}L:Label": "x"}, timeout=TIMEOUT)
        )
        async with asyncio.timeout(TIMEOUT):
            while "hold" not in (await client.get(f"{prefix}L:Puts")).label:
                await asyncio.sleep(0.02)
        process.kill()
        held, labelled = await write
        assert isinstance(held, CaDisconnectedError) and labelled is None
        assert client.access(f"{prefix}L:Set") is None
        client.forget([f"{prefix}L:Set", f"{prefix}L:Hold", "unknown"])
        assert f"{prefix}L:Hold" not in client._by_name


async def test_access_and_the_end_of_the_client():
    prefix = unique_prefix()
    process = start([sys.executable, str(ROOT / "tests" / "ioc" / "lamp_ioc.py"), prefix])
    try:
        client = Client(metadata=False)
        await client.start()
        (refused,) = await client.write_many({f"{prefix}L:Current": 1.0}, timeout=TIMEOUT)
        assert isinstance(refused, CaAccessError) and client.access(f"{prefix}L:Current") == Access.READ
        read = asyncio.create_task(client.read_many([f"{prefix}L:nothing"], timeout=TIMEOUT))
        await asyncio.sleep(0)
        await client.close()
        (closed,) = await read
        assert isinstance(closed, CaDisconnectedError)
        cancelled = asyncio.create_task(client.read_many([f"{prefix}L:Set"], timeout=TIMEOUT))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        assert not client._pending._waiting
    finally:
        assert process.stop(TIMEOUT) == 0
