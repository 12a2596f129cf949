"""What the server answers to each request, byte for byte, and in which order."""

from __future__ import annotations

import asyncio
import logging
import struct
import time
from typing import Any

import numpy as np
import pytest
from ca_raw import (
    ACCESS_RIGHTS,
    CLEAR_CHANNEL,
    CLIENT_NAME,
    CREATE_CH_FAIL,
    CREATE_CHAN,
    DBE_ALARM,
    DBE_LOG,
    DBE_PROPERTY,
    DBE_VALUE,
    ECHO,
    ERROR,
    EVENT_ADD,
    EVENT_CANCEL,
    EVENTS_OFF,
    EVENTS_ON,
    HOST_NAME,
    NOT_FOUND,
    READ,
    READ_NOTIFY,
    READ_SYNC,
    SEARCH,
    VERSION,
    WRITE,
    WRITE_NOTIFY,
    RawClient,
    create,
    double,
    event_add,
    eventually,
    put,
    request,
    serving,
)
from ca_test_ioc import Locked, Slow, make_pvs
from caproto import AlarmSeverity, AlarmStatus, ChannelByte, ChannelData, ChannelDouble, ChannelEnum, ChannelType

from owlshift.ioc.server import dbr, publish
from owlshift.ioc.server.limited import LimitedLog

ECA_NORMAL, ECA_GETFAIL, ECA_PUTFAIL, ECA_BADCOUNT = 1, 152, 160, 176
ECA_TOLARGE, ECA_BADMONID, ECA_NORDACCESS, ECA_NOWTACCESS = 72, 242, 368, 376


async def test_version_comes_unasked_and_a_channel_has_its_type_count_and_rights():
    async with serving(make_pvs()) as server:
        client = await RawClient.connect(server.port)
        first = await client.next()
        assert (first.command, first.data_count) == (VERSION, 13)
        client.send(request(VERSION, 0, 13), create("Array", 42))
        rights, made = await client.next(), await client.next()
        assert (rights.command, rights.cid, rights.available) == (ACCESS_RIGHTS, 42, 3)
        assert (made.command, made.data_type, made.data_count, made.cid) == (CREATE_CHAN, 6, 10, 42)
        client.send(create("No:Such", 43))
        assert (await client.next())[:4] == (CREATE_CH_FAIL, 0, 0, 43)
        assert (server.clients, server.channels) == (1, 1)
        await client.close()
        await eventually(lambda: server.channels == 0)


async def test_echo_and_read_sync_come_back():
    async with serving(make_pvs()) as server:
        client = await RawClient.connect(server.port)
        client.send(request(ECHO, 1, 2, 3, 4, b"payload!"), request(READ_SYNC, 1, 2, 3, 4))
        assert await client.expect(ECHO) == (ECHO, 1, 2, 3, 4, b"payload!")
        assert await client.expect(READ_SYNC) == (READ_SYNC, 1, 2, 3, 4, b"")
        await client.close()


async def test_search_over_tcp_with_any_priority():
    # EPICS_CA_NAME_SERVERS: stock caproto drops such a client for its priority
    async with serving(make_pvs()) as server:
        client = await RawClient.connect(server.port)
        client.send(request(VERSION, 1, 13), request(SEARCH, 5, 13, 8, 8, b"Double\0"), request(VERSION, 20, 13))
        found = await client.expect(SEARCH)
        assert (found.data_type, found.cid, found.available) == (server.port, 0xFFFFFFFF, 8)
        client.send(request(SEARCH, 5, 13, 9, 9, b"Nobody\0"), request(SEARCH, 10, 13, 10, 10, b"Nobody\0"))
        missing = await client.next()
        assert (missing.command, missing.available) == (NOT_FOUND, 10)
        assert await client.until_echo() == []
        await client.close()


async def test_dynamic_and_fixed_counts():
    async with serving(make_pvs()) as server:
        client = await RawClient.connect(server.port)
        array, empty = await client.open("Array"), await client.open("Empty")
        reply = await client.get(array, 6, 0)
        assert reply.data_count == 3 and struct.unpack(">3d", reply.payload) == (1, 2, 3)
        reply = await client.get(array, 6, 2)
        assert reply.data_count == 2 and struct.unpack(">2d", reply.payload) == (1, 2)
        reply = await client.get(array, 6, 5)
        assert reply.data_count == 5 and struct.unpack(">5d", reply.payload) == (1, 2, 3, 0, 0)
        reply = await client.get(empty, 6, 0)
        assert (reply.data_count, reply.cid, len(reply.payload)) == (0, ECA_NORMAL, 0)
        client.send(event_add(empty, 5, 20, 0))
        event = await client.expect(EVENT_ADD)
        assert (event.data_count, event.cid, len(event.payload)) == (0, ECA_NORMAL, 16)
        client.send(event_add(empty, 6, 6, 0))
        event = await client.expect(EVENT_ADD)
        assert (event.data_count, event.cid, len(event.payload)) == (0, ECA_NORMAL, 8), "0 bytes end a subscription"
        await client.close()


async def test_large_arrays_have_the_extended_header_and_a_limit():
    size = 1_500_000
    pvs: dict[str, ChannelData] = {"Big": ChannelDouble(value=np.arange(size, dtype=float), max_length=size)}
    async with serving(pvs) as server:
        client = await RawClient.connect(server.port)
        big = await client.open("Big")
        reply = await client.get(big, 6, 0)
        assert reply.data_count == size and np.frombuffer(reply.payload, ">f8")[-1] == size - 1
        values = np.full(size, 3.0, ">f8").tobytes()
        client.send(request(WRITE_NOTIFY, 6, size, big, 4, values))
        assert (await client.expect(WRITE_NOTIFY)).cid == ECA_NORMAL
        assert pvs["Big"].value[0] == 3.0
        client.send(request(READ_NOTIFY, 6, 4_000_000_000, big, 9))
        error = await client.expect(ERROR)
        assert error.available == ECA_TOLARGE
        await client.get(big, 6, 1)
        await client.close()


async def test_the_event_mask_is_honoured():
    # trap B5: stock caproto sends every value to every subscription
    pvs = make_pvs()
    async with serving(pvs) as server:
        client = await RawClient.connect(server.port)
        sid = await client.open("Double")
        masks = {10: DBE_VALUE, 11: DBE_LOG, 12: DBE_ALARM, 13: DBE_PROPERTY, 14: DBE_VALUE | DBE_ALARM}
        client.send(*[event_add(sid, n, mask=mask) for n, mask in masks.items()])
        assert sorted(e.available for e in await client.until_echo()) == sorted(masks)
        publish(pvs["Double"], DBE_VALUE)
        assert sorted(e.available for e in await client.until_echo()) == [10, 14]
        publish(pvs["Double"], DBE_LOG)
        assert [e.available for e in await client.until_echo()] == [11]
        alarm = pvs["Double"].alarm
        assert alarm is not None
        await alarm.write(severity=AlarmSeverity.MAJOR_ALARM)
        assert sorted(e.available for e in await client.until_echo()) == [12, 14]
        await pvs["Double"].write_metadata(units="kV")
        assert [e.available for e in await client.until_echo()] == [13]
        await client.close()


async def test_every_update_reaches_a_client_that_keeps_up_and_cancelling_ends_it():
    pvs = make_pvs()
    async with serving(pvs) as server:
        client = await RawClient.connect(server.port)
        sid = await client.open("Double")
        client.send(event_add(sid, 5))
        await client.expect(EVENT_ADD)
        for value in range(2000):
            await pvs["Double"].write(float(value % 60))
        events = await client.until_echo()
        assert [double(e) for e in events] == [float(v % 60) for v in range(2000)]
        client.send(request(EVENT_CANCEL, 6, 1, sid, 5))
        cancelled = await client.next()
        assert (cancelled.command, cancelled.available, cancelled.payload) == (EVENT_ADD, 5, b"")
        await pvs["Double"].write(3.0)
        assert await client.until_echo() == []
        client.send(request(EVENT_CANCEL, 6, 1, sid, 5))
        assert (await client.next()).available == ECA_BADMONID
        assert server.dropped_updates == 0
        await client.close()


async def test_events_off_keeps_the_newest_value_only():
    pvs = make_pvs()
    async with serving(pvs) as server:
        client = await RawClient.connect(server.port)
        double_sid, long_sid = await client.open("Double"), await client.open("Long")
        client.send(event_add(double_sid, 1), event_add(long_sid, 2))
        assert len(await client.until_echo()) == 2
        client.send(request(EVENTS_OFF))
        assert await client.until_echo() == []
        for value in range(50):
            await pvs["Double"].write(float(value))
            await pvs["Long"].write(value)
        assert await client.until_echo() == []
        assert (await client.get(double_sid)).cid == ECA_NORMAL, "reads are answered meanwhile"
        client.send(request(EVENTS_ON))
        events = await client.until_echo()
        assert [(e.available, double(e)) for e in events] == [(1, 49.0), (2, 49.0)]
        assert server.dropped_updates == 2 * 49
        await pvs["Double"].write(50.0)
        assert [double(e) for e in await client.until_echo()] == [50.0]
        await client.close()


async def test_clear_channel_ends_its_monitors():
    pvs = make_pvs()
    async with serving(pvs) as server:
        client = await RawClient.connect(server.port)
        sid, other = await client.open("Double"), await client.open("Double")
        client.send(event_add(sid, 1), event_add(other, 2))
        await client.until_echo()
        client.send(request(CLEAR_CHANNEL, 0, 0, sid, 1))
        cleared = await client.next()
        assert (cleared.command, cleared.cid, cleared.available) == (CLEAR_CHANNEL, sid, 1)
        await pvs["Double"].write(8.0)
        assert [e.available for e in await client.until_echo()] == [2]
        assert (server.channels, server.monitors) == (1, 1)
        await client.close()


async def test_puts_of_a_circuit_are_in_order_and_answered_after_the_putter():
    # trap B1: stock caproto runs 1.3, 2.1, 3.0 side by side and ends at 1.3
    pvs: dict[str, ChannelData] = {
        "Slow": Slow(value=0.0),
        "Slow2": Slow(value=0.0),
        "Double": ChannelDouble(value=0.0),
    }
    async with serving(pvs) as server:
        client = await RawClient.connect(server.port)
        slow, slow2, quick = [await client.open(n) for n in ("Slow", "Slow2", "Double")]
        client.send(event_add(slow, 9))
        await client.expect(EVENT_ADD)
        client.send(put(slow, 1.3, 1, True), put(slow, 2.1), put(slow, 3.0, 3, True))
        client.send(put(slow2, 0.05, 4, True), put(quick, 5.0, 5, True), request(READ_NOTIFY, 6, 1, quick, 6))
        seen = []
        while len(seen) < 8:
            reply = await client.next()
            seen.append((reply.command, double(reply) if reply.command == EVENT_ADD else reply.available))
        assert [s for s in seen if s[0] == EVENT_ADD] == [(EVENT_ADD, v) for v in (1.3, 2.1, 3.0)]
        assert [s for s in seen if s[0] == WRITE_NOTIFY and s[1] in (1, 3)] == [(WRITE_NOTIFY, 1), (WRITE_NOTIFY, 3)]
        assert seen.index((EVENT_ADD, 1.3)) < seen.index((WRITE_NOTIFY, 1))
        assert seen.index((EVENT_ADD, 3.0)) < seen.index((WRITE_NOTIFY, 3))
        for other in ((WRITE_NOTIFY, 4), (WRITE_NOTIFY, 5), (READ_NOTIFY, 6)):
            assert seen.index(other) < seen.index((WRITE_NOTIFY, 1)), "another PV waited for a slow putter"
        assert await client.until_echo() == [], "a plain WRITE is not answered"
        assert pvs["Slow"].value == 3.0
        await client.close()


async def test_puts_of_two_clients_to_one_pv_do_not_overlap():
    running = [0, 0]

    class Counting(ChannelDouble):
        async def verify_value(self, data: float) -> float:
            running[0] += 1
            running[1] = max(running)
            await asyncio.sleep(0.002)
            running[0] -= 1
            return data

    async with serving({"X": Counting(value=0.0)}) as server:
        clients = [await RawClient.connect(server.port) for _ in range(3)]
        sids = [await c.open("X") for c in clients]
        for n in range(10):
            for client, sid in zip(clients, sids, strict=True):
                client.send(put(sid, float(n), n, True))
        for client in clients:
            assert [(await client.expect(WRITE_NOTIFY)).available for _ in range(10)] == list(range(10))
            await client.close()
    assert running == [0, 1]


async def test_a_read_sees_the_put_before_it():
    async with serving(make_pvs()) as server:
        client = await RawClient.connect(server.port)
        sid = await client.open("Double")
        for value in range(50):
            client.send(put(sid, float(value)), request(READ_NOTIFY, 6, 1, sid, value))
        client.send(put(sid, 60.0))
        for value in range(50):
            reply = await client.expect(READ_NOTIFY)
            assert reply.available == value and double(reply) >= value
        await client.close()


async def test_puts_that_outrun_a_slow_putter_are_bounded_and_end_at_the_last():
    class Gated(ChannelDouble):
        gate = asyncio.Event()
        seen: list[float] = []

        async def verify_value(self, data: float) -> float:
            await self.gate.wait()
            self.seen.append(data)
            return data

    pv = Gated(value=0.0)
    async with serving({"X": pv}) as server:
        client = await RawClient.connect(server.port)
        sid = await client.open("X")
        client.send(*[put(sid, float(n)) for n in range(1000)])
        assert await client.until_echo() == []
        client.send(*[put(sid, -1.0, n, True) for n in range(3)])
        assert [r.cid for r in await client.until_echo()] == [362] * 3, "ECA_PUTCBINPROG"
        pv.gate.set()
        await eventually(lambda: pv.value == 999.0)
        assert len(pv.seen) < 80 and pv.seen == sorted(pv.seen)
        assert server.put_bytes == 0
        await client.close()


async def test_a_refused_put_is_refused_on_the_wire():
    pvs = make_pvs()
    async with serving(pvs) as server:
        client = await RawClient.connect(server.port)
        slow, locked, array, text = [await client.open(n) for n in ("Slow", "Locked", "Array", "String")]
        client.send(put(slow, -1.0, 3, True))
        assert (await client.expect(WRITE_NOTIFY))[3:5] == (ECA_PUTFAIL, 3)
        client.send(put(slow, -1.0))
        error = await client.expect(ERROR)
        assert error.available == ECA_PUTFAIL and b"negative values are refused" in error.payload
        client.send(put(locked, 1.0, 4, True), put(locked, 1.0))
        assert (await client.expect(WRITE_NOTIFY)).cid == ECA_NOWTACCESS
        assert (await client.expect(ERROR)).available == ECA_NOWTACCESS
        bad = [
            (request(WRITE_NOTIFY, 6, 2, slow, 5, bytes(16)), ECA_BADCOUNT),
            (request(WRITE_NOTIFY, 6, 0, slow, 5), ECA_BADCOUNT),
            (request(WRITE_NOTIFY, 6, 11, array, 5, bytes(88)), ECA_BADCOUNT),
            (request(WRITE_NOTIFY, 6, 3, array, 5, bytes(8)), ECA_BADCOUNT),
            (request(WRITE_NOTIFY, 6, 0xFFFFFFF0, array, 5, bytes(8)), ECA_BADCOUNT),
            (request(WRITE_NOTIFY, 20, 1, slow, 5, bytes(24)), ECA_PUTFAIL),
            (request(WRITE_NOTIFY, 0, 1, slow, 5, b"no number\0"), ECA_PUTFAIL),
            (request(WRITE_NOTIFY, 0, 3, text, 5, b"x\0"), ECA_BADCOUNT),
        ]
        for message, status in bad:
            client.send(message)
            reply = await client.expect(WRITE_NOTIFY)
            assert (reply.cid, reply.available) == (status, 5), message
        assert pvs["Slow"].value == 0.0 and server.malformed_circuits == 0
        await client.close()


async def test_strings_and_enums_are_put_as_libca_sends_them():
    pvs = make_pvs()
    async with serving(pvs) as server:
        client = await RawClient.connect(server.port)
        enum, text, char = [await client.open(n) for n in ("Enum", "String", "Char")]
        for sent, label in ((b"Trip\0", "Trip"), (b"0\0", "Off"), (b"1\0", "On")):
            client.send(request(WRITE_NOTIFY, 0, 1, enum, 1, sent))
            assert (await client.expect(WRITE_NOTIFY)).cid == ECA_NORMAL
            assert pvs["Enum"].value == label
        for sent in (b"Other\0", b"3\0", b"-1\0"):
            client.send(request(WRITE_NOTIFY, 0, 1, enum, 1, sent))
            assert (await client.expect(WRITE_NOTIFY)).cid == ECA_PUTFAIL
        client.send(request(WRITE_NOTIFY, 0, 1, text, 1, b"short\0"))
        await client.expect(WRITE_NOTIFY)
        client.send(request(WRITE_NOTIFY, 4, 8, char, 1, b"longer!\0"))
        await client.expect(WRITE_NOTIFY)
        assert (pvs["String"].value, pvs["Char"].value) == ("short", "longer!")
        await client.close()


async def test_alarm_acknowledgement_reaches_the_pv():
    pvs = make_pvs()
    alarm = pvs["Double"].alarm
    assert alarm is not None
    async with serving(pvs) as server:
        client = await RawClient.connect(server.port)
        sid = await client.open("Double")
        await alarm.write(status=AlarmStatus.HIHI, severity=AlarmSeverity.MAJOR_ALARM)
        stsack = await client.get(sid, 37, 1)
        assert struct.unpack_from(">HHHH", stsack.payload) == (AlarmStatus.HIHI, 2, 1, 2)
        client.send(request(WRITE_NOTIFY, 36, 1, sid, 1, struct.pack(">H", 2)))
        assert (await client.expect(WRITE_NOTIFY)).cid == ECA_NORMAL
        assert alarm.severity_to_acknowledge == 0
        client.send(request(WRITE_NOTIFY, 35, 1, sid, 1, struct.pack(">H", 0)))
        assert (await client.expect(WRITE_NOTIFY)).cid == ECA_NORMAL
        assert not alarm.must_acknowledge_transient
        await client.close()


async def test_access_rights_follow_the_user_and_the_rules():
    pvs = make_pvs()
    locked = pvs["Locked"]
    assert isinstance(locked, Locked)
    async with serving(pvs) as server:
        client = await RawClient.connect(server.port)
        sid = await client.open("Locked")
        client.send(request(HOST_NAME, payload=b"console\0"), request(CLIENT_NAME, payload=b"operator\0"))
        assert (await client.expect(ACCESS_RIGHTS)).available == 3
        client.send(event_add(sid, 4))
        await client.expect(EVENT_ADD)
        client.send(put(sid, 2.0, 1, True))
        assert (await client.expect(WRITE_NOTIFY)).cid == ECA_NORMAL
        locked.shut = True
        server.refresh_access()
        assert (await client.expect(ACCESS_RIGHTS)).available == 1
        locked.hidden = True
        server.refresh_access()
        assert (await client.expect(ACCESS_RIGHTS)).available == 0
        assert (await client.expect(EVENT_ADD)).cid == ECA_NORDACCESS
        await locked.write(5.0)
        client.send(request(READ_NOTIFY, 6, 1, sid, 8))
        assert (await client.next())[:5] == (READ_NOTIFY, 6, 1, ECA_NORDACCESS, 8)
        locked.hidden = locked.shut = False
        server.refresh_access()
        assert (await client.expect(ACCESS_RIGHTS)).available == 3
        event = await client.expect(EVENT_ADD)
        assert (event.cid, double(event)) == (ECA_NORMAL, 5.0)
        server.refresh_access()
        assert await client.until_echo() == [], "what did not change is not told"
        await client.close()


async def test_bad_types_and_values_that_cannot_be_given_are_answered():
    async with serving(make_pvs()) as server:
        client = await RawClient.connect(server.port)
        text, number = await client.open("String"), await client.open("Double")
        assert (await client.get(number, 35)).cid == ECA_GETFAIL
        assert (await client.get(text, 6)).cid == ECA_GETFAIL, "text that is no number"
        client.send(event_add(text, 7, 20), event_add(number, 8, 35))
        events = await client.until_echo()
        assert [(e.available, e.cid) for e in events] == [(7, ECA_GETFAIL), (8, ECA_GETFAIL)]
        assert all(e.payload for e in events), "an event without payload means the end of a subscription"
        client.send(request(READ, 6, 1, number, 5))
        old = await client.expect(READ)
        assert (old.available, double(old)) == (5, 1.5)
        client.send(request(READ, 6, 1, text, 5))
        assert (await client.expect(ERROR)).available == ECA_GETFAIL
        await client.close()


@pytest.mark.parametrize("value", [object(), None, [object()], "\udcff", b"\xff" * 100, float("nan"), 10**400])
async def test_a_pv_that_holds_nonsense_ends_no_circuit(value: object):
    pvs: dict[str, ChannelData] = {
        "D": ChannelDouble(value=1.0),
        "E": ChannelEnum(value=0, enum_strings=("a",)),
        "B": ChannelByte(value=b"x", max_length=10),
        "Good": ChannelDouble(value=2.0),
    }
    async with serving(pvs) as server:
        client = await RawClient.connect(server.port)
        for number, name in enumerate(pvs):
            client.send(event_add(await client.open(name), number, 34))
        client.send(event_add(await client.open('D.{"dbnd":{"abs":1}}'), 77))
        await client.until_echo()
        for name in ("D", "E", "B"):
            pvs[name]._data["value"] = value
            publish(pvs[name], DBE_VALUE)
        publish(pvs["Good"], DBE_VALUE)
        events = await client.until_echo()
        assert [e.available for e in events if e.available != 77] == [0, 1, 2, 3]
        assert events[-1].cid == ECA_NORMAL and server.clients == 1
        await client.close()


async def test_thousands_of_subscriptions_of_one_client():
    pvs: dict[str, ChannelData] = {f"P{n}": ChannelDouble(value=float(n)) for n in range(3000)}
    async with serving(pvs) as server:
        client = await RawClient.connect(server.port)
        client.send(*[create(f"P{n}", n) for n in range(3000)])
        sids = [(await client.expect(CREATE_CHAN)).available for _ in range(3000)]
        client.send(*[event_add(sid, n * 3 + k) for n, sid in enumerate(sids) for k in range(3)])
        assert len([e for e in await client.until_echo() if e.command == EVENT_ADD]) == 9000
        assert (server.channels, server.monitors) == (3000, 9000)
        await pvs["P2999"].write(1.0)
        assert sorted(e.available for e in await client.until_echo()) == [8997, 8998, 8999]
        client.reset()
        await eventually(lambda: server.monitors == 0 and server.clients == 0)


async def test_channels_and_clients_have_a_limit():
    async with serving(make_pvs(), max_channels=5, max_circuits=2) as server:
        client = await RawClient.connect(server.port)
        sids = [await client.open("Double") for _ in range(5)]
        with pytest.raises(LookupError):
            await client.open("Double")
        client.send(*[event_add(sids[0], n) for n in range(6)])
        assert [e.cid for e in await client.until_echo()] == [1] * 5 + [48], "ECA_ALLOCMEM"
        other = await RawClient.connect(server.port)
        await other.next()
        third = await RawClient.connect(server.port)
        with pytest.raises(ConnectionError):
            await third.next()
        assert server.refused_circuits == 1
        for c in (client, other, third):
            await c.close()


async def test_clients_and_channels_are_told_and_a_bad_listener_does_no_harm():
    told: list[tuple[int, int]] = []

    def listener(clients: int, channels: int) -> None:
        told.append((clients, channels))
        raise RuntimeError("a bad listener")

    async with serving(make_pvs(), on_clients=listener) as server:
        client = await RawClient.connect(server.port)
        await client.open("Double")
        await eventually(lambda: told and told[-1] == (1, 1))
        await client.close()
        await eventually(lambda: told[-1] == (0, 0))


async def test_puts_go_on_when_their_client_is_gone():
    pvs: dict[str, ChannelData] = {"Slow": Slow(value=0.0)}
    async with serving(pvs) as server:
        client = await RawClient.connect(server.port)
        sid = await client.open("Slow")
        client.send(
            put(sid, 4.1, 1, True), put(sid, 5.0, 2, True), request(WRITE, 6, 1, sid, 0, struct.pack(">d", 6.0))
        )
        await eventually(lambda: server.puts == 3)
        client.reset()
        await eventually(lambda: pvs["Slow"].value == 6.0)


class Measured(ChannelDouble):
    """A PV that is measured when it is read."""

    broken = False

    async def read(self, data_type: ChannelType) -> Any:
        """One more than before."""
        if self.broken:
            raise RuntimeError("the getter fails")
        await asyncio.sleep(0.01)
        await self.write(self.value + 1)
        return await super().read(data_type)


async def test_a_getter_runs_before_the_answer_and_may_fail():
    pv = Measured(value=0.0)
    async with serving({"M": pv}) as server:
        client = await RawClient.connect(server.port)
        sid = await client.open("M")
        assert [double(await client.get(sid)) for _ in range(3)] == [1.0, 2.0, 3.0]
        pv.broken = True
        assert (await client.get(sid)).cid == ECA_GETFAIL
        pv.broken = False
        client.send(request(READ_NOTIFY, 6, 1, sid, 1) * 1000)
        replies = [await client.expect(READ_NOTIFY) for _ in range(1000)]
        assert {r.cid for r in replies} == {ECA_NORMAL, ECA_GETFAIL}, "getters under way are bounded"
        client.send(request(READ_NOTIFY, 6, 1, sid, 1), request(CLEAR_CHANNEL, 0, 0, sid, 1))
        await client.expect(CLEAR_CHANNEL)
        await client.close()


async def test_answers_that_waited_do_not_pile_up_for_a_client_that_does_not_read():
    size = 100_000

    class Big(Measured):
        async def read(self, data_type: ChannelType) -> Any:
            await asyncio.sleep(0.01)
            return None

    async with serving({"Big": Big(value=np.zeros(size), max_length=size)}) as server:
        client = await RawClient.connect(server.port, limit=1024)
        sid = await client.open("Big")
        client.send(request(READ_NOTIFY, 6, 0, sid, 1) * 100)
        (circuit,) = server._circuits
        await eventually(lambda: circuit._room)
        await asyncio.sleep(0.1)
        assert circuit._backlog < 4 * 8 * size
        for _ in range(100):
            assert (await client.expect(READ_NOTIFY)).data_count == size
        await client.close()


def test_a_flood_of_log_lines_is_limited(caplog: pytest.LogCaptureFixture):
    limited = LimitedLog(logging.getLogger("flood"), period=0.05, kinds=3)
    for number in range(1000):
        limited(logging.WARNING, f"kind {number % 10}", "line %d", number)
    assert 4 <= len(caplog.records) < 200
    time.sleep(0.06)
    limited(logging.WARNING, "kind 0", "later")
    assert "more like this" in caplog.records[-1].getMessage()


async def test_large_payloads_are_encoded_once_per_update_and_not_kept():
    size = 20_000
    pv = ChannelDouble(value=np.zeros(size), max_length=size)
    async with serving({"Big": pv}) as server:
        clients = [await RawClient.connect(server.port) for _ in range(3)]
        for client in clients:
            client.send(event_add(await client.open("Big"), 1, 6, 0))
            await client.expect(EVENT_ADD)
        feed, made = server.feed(pv), []
        encode = dbr.encode
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dbr, "encode", lambda *a: made.append(1) or encode(*a))
            await pv.write(np.ones(size))
        assert len(made) == 1 and not feed._encoded
        for client in clients:
            assert (await client.expect(EVENT_ADD)).payload.startswith(struct.pack(">d", 1.0))
            await client.close()
