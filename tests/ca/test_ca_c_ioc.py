"""Against a real EPICS C IOC, value by value with aioca (libca)."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator

import aioca
import numpy as np
import pytest
import pytest_asyncio
from aioca import purge_channel_caches
from ca_support import BroadcastRelay, CIoc, RecordingSink, counter_database, counter_names, eventually
from support import unique_prefix

from owlshift.ca import (
    DBE,
    Access,
    CaAddresses,
    CaError,
    CaStatusError,
    CaTimeoutError,
    Client,
    Dbr,
)
from owlshift.ca import circuit as circuit_module

TIMEOUT = 30.0
PREFIX = unique_prefix()
ARRAYS = {
    "STRING": (Dbr.STRING, ["one", "", "three"]),
    "SHORT": (Dbr.SHORT, [1, -2, 32767]),
    "FLOAT": (Dbr.FLOAT, [0.5, -1e30]),
    "ENUM": (Dbr.ENUM, [1, 0, 3]),
    "CHAR": (Dbr.CHAR, [1, 200, 0, 7]),
    "UCHAR": (Dbr.CHAR, [255]),
    "USHORT": (Dbr.LONG, [65535, 1]),
    "LONG": (Dbr.LONG, [-(2**31), 5]),
    "ULONG": (Dbr.DOUBLE, [2.0**32 - 1]),
    "DOUBLE": (Dbr.DOUBLE, [1e300, -0.0, 3.25]),
}


def database(p: str) -> str:
    arrays = "\n".join(
        f'record(waveform, "{p}WF:{kind}") {{ field(FTVL, "{kind}") field(NELM, "10") }}' for kind in ARRAYS
    )
    return f"""
record(ao, "{p}AO") {{ field(EGU, "mm/s") field(PREC, "4") field(HOPR, "10") field(LOPR, "-10")
  field(DRVH, "9") field(DRVL, "-9") field(HIHI, "8") field(HIGH, "6") field(LOW, "-6") field(LOLO, "-8") field(HHSV,
  "MAJOR") field(HSV, "MINOR") field(LSV, "MINOR") field(LLSV, "MAJOR")
  field(VAL, "1.25") field(PINI, "YES") }}
record(longout, "{p}LO") {{ field(EGU, "n") field(HOPR, "100") field(VAL, "-77") field(PINI, "YES") }}
record(int64out, "{p}I64") {{ field(VAL, "123456789012") field(PINI, "YES") }}
record(bo, "{p}BO") {{ field(ZNAM, "Off") field(ONAM, "On") field(OSV, "MINOR") field(VAL, "1") field(PINI, "YES") }}
record(mbbo, "{p}MBBO") {{ field(ZRST, "Idle") field(ONST, "Ramping") field(TWST, "Tripped")
  field(TWSV, "MAJOR") field(VAL, "2") field(PINI, "YES") }}
record(stringout, "{p}SO") {{ field(VAL, "a text of some length, with 39 charact") field(PINI, "YES") }}
record(lso, "{p}LSO") {{ field(SIZV, "100") }}
record(waveform, "{p}BIG") {{ field(FTVL, "DOUBLE") field(NELM, "100000") }}
record(waveform, "{p}TEXT") {{ field(FTVL, "CHAR") field(NELM, "1000000") }}
record(ai, "{p}NEVER") {{ }}
record(ao, "{p}READONLY") {{ field(DISP, "1") }}
record(calc, "{p}COUNT") {{ field(SCAN, ".1 second") field(CALC, "VAL+1") }}
{arrays}
{counter_database(p + "M:", 400)}
"""


@pytest.fixture(scope="module")
def ioc() -> Iterator[CIoc]:
    # a port of its own: a C IOC takes another one while connections of an earlier server linger (TIME_WAIT)
    with CIoc(database(PREFIX), beacon_port=int(os.environ["EPICS_CA_REPEATER_PORT"])) as started:
        relay = BroadcastRelay(int(os.environ["EPICS_CA_SERVER_PORT"]), started.port)
        yield started
        relay.close()


@pytest_asyncio.fixture
async def libca() -> AsyncIterator[None]:
    """aioca must let go of its channels before this loop ends."""
    yield
    purge_channel_caches()


@pytest_asyncio.fixture
async def sink() -> RecordingSink:
    return RecordingSink()


@pytest_asyncio.fixture
async def client(ioc: CIoc, sink: RecordingSink) -> AsyncIterator[Client]:
    async with Client(sink=sink) as started:
        yield started


NAMES = [
    "AO",
    "LO",
    "I64",
    "BO",
    "MBBO",
    "SO",
    "NEVER",
    "LSO",
    "LSO.VAL$",
    "AO.DESC",
    "AO.HIHI",
    "MBBO.SEVR",
    "AO.RTYP",
]


async def test_every_scalar_type_equals_libca(ioc, client, sink, libca):
    names = [PREFIX + name for name in NAMES]
    for name in ("LSO", "AO.DESC"):  # libca's Python side cannot read an empty long string
        await client.put(PREFIX + name, "some text", timeout=TIMEOUT)
    ids = client.subscribe(names)
    await eventually(lambda: all(sink.values(i) for i in ids), "a value of each")
    theirs = await aioca.caget(names, format=aioca.FORMAT_TIME, timeout=TIMEOUT)
    described = await aioca.caget(names, format=aioca.FORMAT_CTRL, timeout=TIMEOUT)
    access = [(info.read, info.write) for info in await aioca.cainfo(names, timeout=TIMEOUT)]
    assert (True, False) in access
    for number, name, other, control, allowed in zip(ids, names, theirs, described, access, strict=True):
        info, value = sink.infos[number], sink.values(number)[-1]
        time_ns, severity, status = sink.stamps(number)[-1]
        assert info.name == name
        assert info.host == f"127.0.0.1:{ioc.port}"
        assert (bool(info.access & Access.READ), bool(info.access & Access.WRITE)) == allowed
        assert info.dbr == other.datatype, name
        assert info.count == other.element_count if info.count == 1 else info.count >= other.element_count
        if info.dbr is Dbr.STRING:
            assert value.decode() == str(other), name
        elif name.endswith("$"):
            assert value.tobytes() == str(other).encode() + b"\0"
        else:
            np.testing.assert_array_equal(value, np.array(other), err_msg=name)
        assert (severity, status) == (other.severity, other.status), name
        assert time_ns == other.raw_stamp[0] * 10**9 + other.raw_stamp[1], name
        meta = info.metadata
        if info.dbr is Dbr.ENUM:
            assert list(meta.states) == list(control.enums)
        elif info.dbr is not Dbr.STRING and not name.endswith("$"):
            assert meta.units == control.units
            for ours, low, high in (
                (meta.display, control.lower_disp_limit, control.upper_disp_limit),
                (meta.alarm, control.lower_alarm_limit, control.upper_alarm_limit),
                (meta.warning, control.lower_warning_limit, control.upper_warning_limit),
                (meta.control, control.lower_ctrl_limit, control.upper_ctrl_limit),
            ):
                np.testing.assert_array_equal(ours, (low, high), err_msg=name)
            if info.dbr in (Dbr.DOUBLE, Dbr.FLOAT):
                assert meta.precision == control.precision
    assert client.missing == []


async def test_every_array_type_equals_libca(client, sink, libca):
    names = [f"{PREFIX}WF:{kind}" for kind in ARRAYS]
    ids = client.subscribe(names)
    await eventually(lambda: all(sink.values(i) for i in ids), "a first value of each")
    for name, (_, values) in zip(names, ARRAYS.values(), strict=True):
        await aioca.caput(name, values, wait=True, timeout=TIMEOUT)
    await eventually(lambda: all(len(sink.values(i)[-1]) for i in ids), "a value of each")
    theirs = await aioca.caget(names, format=aioca.FORMAT_TIME, timeout=TIMEOUT)
    readings = await client.get(names, timeout=TIMEOUT)
    for number, (dbr, values), other, reading in zip(ids, ARRAYS.values(), theirs, readings, strict=True):
        assert (sink.infos[number].dbr, sink.infos[number].count) == (dbr, 10)
        got = sink.values(number)[-1]
        assert got.dtype == dbr.dtype
        if dbr is Dbr.STRING:
            assert [item.decode() for item in got] == values == np.array(other).tolist() == reading.value
        else:
            np.testing.assert_array_equal(got, other)
            np.testing.assert_array_equal(got, np.array(values, dtype=dbr.dtype))
            np.testing.assert_array_equal(got, reading.value)
        assert reading.time_ns == other.raw_stamp[0] * 10**9 + other.raw_stamp[1]


async def test_array_lengths_stay_in_order(client, sink):
    (number,) = client.subscribe([f"{PREFIX}WF:DOUBLE"])
    await eventually(lambda: sink.values(number))
    sink.batches.clear()
    for length in (1, 10, 2, 1, 7, 3):
        await client.put(f"{PREFIX}WF:DOUBLE", list(range(length)), timeout=TIMEOUT)
    await eventually(lambda: len(sink.values(number)) >= 6)
    assert [len(value) for value in sink.values(number)] == [1, 10, 2, 1, 7, 3]


async def test_large_arrays_both_ways(client, sink, libca):
    values = np.arange(100_000) * 0.5
    await client.put(f"{PREFIX}BIG", values, timeout=TIMEOUT)
    np.testing.assert_array_equal(await aioca.caget(f"{PREFIX}BIG", timeout=TIMEOUT), values)
    reading = await client.get(f"{PREFIX}BIG", timeout=TIMEOUT)
    np.testing.assert_array_equal(reading.value, values)
    (number,) = client.subscribe([f"{PREFIX}BIG"])
    await eventually(lambda: len(sink.values(number)))
    np.testing.assert_array_equal(sink.values(number)[0], values)
    words = "The catalogue of an IOC. " * 39_000
    await client.put(f"{PREFIX}TEXT", words, timeout=TIMEOUT)
    assert (await client.get(f"{PREFIX}TEXT", timeout=TIMEOUT)).label == words
    theirs = await aioca.caget(f"{PREFIX}TEXT", datatype=aioca.DBR_CHAR_STR, timeout=TIMEOUT)
    assert str(theirs) == words


async def test_puts_and_refusals(client, libca):
    await client.put(f"{PREFIX}AO", 2.5, timeout=TIMEOUT)
    assert (await client.get(f"{PREFIX}AO")).value == 2.5
    await client.put(f"{PREFIX}AO", 7.0)
    assert (await client.get(f"{PREFIX}AO")).severity == 1
    await client.put(f"{PREFIX}MBBO", "Ramping")
    reading = await client.get(f"{PREFIX}MBBO")
    assert (reading.value, reading.label) == (1, "Ramping")
    assert (await client.get(f"{PREFIX}MBBO", as_string=True)).value == "Ramping"
    await client.put(f"{PREFIX}MBBO", 2)
    assert await aioca.caget(f"{PREFIX}MBBO", timeout=TIMEOUT) == 2
    await client.put(f"{PREFIX}SO", "hello", wait=False)
    await client.put(f"{PREFIX}LO", "12")
    assert (await client.get([f"{PREFIX}SO", f"{PREFIX}LO"]))[1].value == 12
    with pytest.raises(CaStatusError, match="ECA_PUTFAIL") as refused:
        await client.put(f"{PREFIX}MBBO", "No such state")
    assert refused.value.status == 160
    with pytest.raises(CaStatusError):
        await client.put(f"{PREFIX}AO", "no number")
    with pytest.raises(CaStatusError):
        await client.put(f"{PREFIX}READONLY", 1)
    with pytest.raises(ValueError, match="2 elements"):
        await client.put(f"{PREFIX}AO", [1, 2])
    with pytest.raises(CaStatusError):
        await client.put(f"{PREFIX}AO.RTYP", "x")


async def test_a_name_that_nobody_has(client):
    with pytest.raises(CaTimeoutError, match="no server has it"):
        await client.get(f"{PREFIX}NOTHING", timeout=0.3)
    results = await client.get([f"{PREFIX}NOTHING", f"{PREFIX}BO"], timeout=2, return_exceptions=True)
    assert isinstance(results[0], CaError) and results[1].value == 1
    for bad in ("", "a b", "x" * 300, "new\nline"):
        with pytest.raises(ValueError, match="no channel name"):
            await client.get(bad)


async def test_changed_metadata_are_told(client, sink):
    (number,) = client.subscribe([f"{PREFIX}LO"])
    await eventually(lambda: number in sink.infos)
    await client.put(f"{PREFIX}LO.EGU", "mm", timeout=TIMEOUT)
    await client.put(f"{PREFIX}LO.HOPR", 55, timeout=TIMEOUT)
    await eventually(lambda: sink.changes and sink.changes[-1].metadata.display == (0, 55))
    assert sink.changes[-1].metadata.units == "mm"
    assert len(sink.connects) == 1


async def test_masks(client, sink):
    values, alarms = (int(client.subscribe([f"{PREFIX}AO"], mask=mask)[0]) for mask in (DBE.VALUE, DBE.ALARM))
    await client.put(f"{PREFIX}AO", 0.0, timeout=TIMEOUT)
    await eventually(lambda: sink.values(values) and sink.values(alarms))
    sink.batches.clear()
    for value in (1.0, 2.0, 9.0):
        await client.put(f"{PREFIX}AO", value, timeout=TIMEOUT)
    await eventually(lambda: len(sink.values(values)) >= 3 and sink.values(alarms))
    assert (sink.values(values), sink.values(alarms)) == ([1.0, 2.0, 9.0], [9.0])
    assert sink.stamps(alarms)[-1][1] == 2


async def test_counters_lose_nothing(client, sink):
    names = counter_names(PREFIX + "M:", 400)
    ids = client.subscribe(names)
    assert ids.dtype == np.uint32 and len(set(ids.tolist())) == 400
    await eventually(lambda: sink.events > 400 * 20, "20 events of each")
    for number in ids[::37]:
        values = np.array(sink.values(number))
        assert (np.diff(values) == 1).all()
    assert client.stats.ignored == {}


async def test_unsubscribed_channels_are_silent(client, sink):
    first, second = client.subscribe([f"{PREFIX}COUNT", f"{PREFIX}COUNT"])
    await eventually(lambda: sink.values(first) and sink.values(second))
    client.unsubscribe([first, 99999])
    sink.batches.clear()
    await eventually(lambda: len(sink.values(second)) >= 3)
    assert sink.values(first) == []
    assert client.info(first) is None
    info = client.info(second)
    assert info is not None and info.name == f"{PREFIX}COUNT"


async def test_pause_and_resume(client, sink):
    (number,) = client.subscribe([f"{PREFIX}COUNT"])
    await eventually(lambda: len(sink.values(number)) >= 2)
    client.pause()
    client.pause()
    await client.get(f"{PREFIX}COUNT", timeout=TIMEOUT)  # the request is answered: the pause has arrived before it
    await asyncio.sleep(0.15)
    before = sink.values(number)[-1]
    await eventually_count(client, before + 8)
    assert sink.values(number)[-1] == before
    client.resume()
    await eventually(lambda: sink.values(number)[-1] >= before + 8)
    values = sink.values(number)
    assert len(values) < values[-1] - values[0] + 1  # the server kept the newest only


async def eventually_count(client: Client, least: float) -> None:
    async with asyncio.timeout(TIMEOUT):
        while (await client.get(f"{PREFIX}COUNT", timeout=TIMEOUT)).value < least:
            await asyncio.sleep(0.05)


async def test_a_killed_ioc_and_its_return(sink):
    prefix = unique_prefix()
    ioc = CIoc(counter_database(prefix, 50))
    ioc.start()
    try:
        async with Client(CaAddresses.from_environment(ioc.environment), sink) as client:
            ids = client.subscribe(counter_names(prefix, 50))
            await eventually(lambda: sink.events > 500)
            before = time.time_ns()
            ioc.kill()
            await eventually(lambda: len(sink.lost) == 50, "50 disconnects")
            assert sorted(number for number, _, _ in sink.lost) == ids.tolist()
            reasons = {reason for _, reason, _ in sink.lost}
            assert len(reasons) == 1 and reasons.pop().startswith(("closed by server", "connection lost"))
            assert all(before <= stamp <= time.time_ns() for _, _, stamp in sink.lost)
            assert len(client.missing) == 50
            sink.batches.clear()
            seen = sink.events
            ioc.start()
            await eventually(lambda: sink.events > seen + 500, "events of the new IOC")
            assert len(sink.connects) == 100
            assert (np.diff(sink.values(ids[7])) == 1).all()
            with pytest.raises(CaError):
                await client.get("NOTHING:HAS:THIS", timeout=0.1)
    finally:
        ioc.close()


async def test_a_stopped_ioc_is_noticed_and_heard_again(sink, monkeypatch):
    monkeypatch.setattr(circuit_module, "ECHO_TIMEOUT", 1.0)
    prefix = unique_prefix()
    with CIoc(counter_database(prefix, 5)) as ioc:
        addresses = CaAddresses.from_environment({**ioc.environment, "EPICS_CA_CONN_TMO": "0.5"})
        async with Client(addresses, sink) as client:
            client.subscribe(counter_names(prefix, 5))
            await eventually(lambda: sink.events > 20)
            ioc.signal(signal.SIGSTOP)
            try:
                await eventually(lambda: len(sink.lost) == 5)
                assert "server does not answer" in sink.lost[0][1]
            finally:
                ioc.signal(signal.SIGCONT)
            seen = sink.events
            await eventually(lambda: sink.events > seen + 20)
            assert client.stats.dropped["server does not answer"] == 1


async def test_the_server_as_its_own_name_server(ioc, sink):
    addresses = CaAddresses(name_servers=(("127.0.0.1", ioc.port),), repeater_port=0)
    async with Client(addresses, sink) as client:
        ids = client.subscribe([f"{PREFIX}AO", f"{PREFIX}BO", f"{PREFIX}NOTHING"])
        await eventually(lambda: sink.values(ids[0]) and sink.values(ids[1]))
        assert client.stats.datagrams_sent == 0
        assert client.stats.circuits == 1


async def test_priorities_have_circuits_of_their_own(client, sink):
    client.subscribe([f"{PREFIX}AO"], priority=5)
    client.subscribe([f"{PREFIX}AO"])
    await eventually(lambda: len(sink.connects) == 2)
    assert client.stats.circuits == 2
    with pytest.raises(ValueError, match="priority"):
        client.subscribe([f"{PREFIX}AO"], priority=100)


async def test_two_servers_of_one_name(ioc, sink, caplog):
    with CIoc(f'record(ao, "{PREFIX}AO") {{ field(VAL, "99") field(PINI, "YES") }}') as second:
        addresses = CaAddresses(servers=(("127.0.0.1", ioc.port), ("127.0.0.1", second.port)), repeater_port=0)
        async with Client(addresses, sink) as client:
            (number,) = client.subscribe([f"{PREFIX}AO"])
            await eventually(lambda: client.stats.ignored["second server for a channel"])
            await eventually(lambda: sink.values(number))
            assert len(sink.connects) == 1
    assert len([r for r in caplog.records if "also at" in r.getMessage()]) == 1


async def test_without_metadata(ioc, sink):
    async with Client(sink=sink, metadata=False) as client:
        (number,) = client.subscribe([f"{PREFIX}AO"])
        await eventually(lambda: sink.values(number))
        assert sink.infos[number].metadata.units == ""


async def test_misuse():
    client = Client(CaAddresses(repeater_port=0))
    with pytest.raises(RuntimeError, match="not been started"):
        client.subscribe(["x"])
    async with client:
        with pytest.raises(RuntimeError, match="has been started"):
            await client.start()
        with pytest.raises(TypeError):
            client.subscribe("x")
        with pytest.raises(ValueError, match="event mask"):
            client.subscribe(["x"], mask=DBE(0))
        waiting = asyncio.ensure_future(client.get("x", timeout=TIMEOUT))
        await asyncio.sleep(0)
    with pytest.raises(CaError, match="closed"):
        await waiting
