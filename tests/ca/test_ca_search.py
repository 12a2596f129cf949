"""Addresses from the environment, the pace of searches, and beacons."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import struct
import time
from typing import Any

import pytest
from ca_support import HEADER, FakeServer, RecordingSink, eventually, message
from hypothesis import given
from hypothesis import strategies as st
from support import free_port

from owlshift.ca import CaAddresses, Client, Dbr
from owlshift.ca.addresses import broadcast_addresses
from owlshift.ca.beacons import Beacons, BeaconTable
from owlshift.ca.channel import Channel, State
from owlshift.ca.protocol import DBE
from owlshift.ca.search import Search
from owlshift.ca.stats import Stats


def test_addresses_of_the_environment():
    found = CaAddresses.from_environment(
        {
            "EPICS_CA_ADDR_LIST": "127.0.0.1 10.0.0.255:6000  127.0.0.1",
            "EPICS_CA_AUTO_ADDR_LIST": "NO",
            "EPICS_CA_SERVER_PORT": "5100",
            "EPICS_CA_REPEATER_PORT": "5101",
            "EPICS_CA_NAME_SERVERS": "127.0.0.3:5102 127.0.0.4",
            "EPICS_CA_CONN_TMO": "12.5",
            "EPICS_CA_MAX_SEARCH_PERIOD": "10",
        }
    )
    assert found.servers == (("127.0.0.1", 5100), ("10.0.0.255", 6000))
    assert found.name_servers == (("127.0.0.3", 5102), ("127.0.0.4", 5100))
    assert (found.repeater_port, found.connection_timeout) == (5101, 12.5)
    assert found.max_search_period == 60


def test_defaults_and_automatic_addresses():
    found = CaAddresses.from_environment({})
    assert found.servers == tuple((address, 5064) for address in dict.fromkeys(broadcast_addresses()))
    assert (found.repeater_port, found.connection_timeout, found.max_search_period) == (5065, 30.0, 300.0)
    both = CaAddresses.from_environment({"EPICS_CA_ADDR_LIST": "127.0.0.9"})
    assert both.servers[0] == ("127.0.0.9", 5064) and len(both.servers) == len(found.servers) + 1


def test_what_cannot_be_understood_is_left_out_with_a_warning(caplog):
    found = CaAddresses.from_environment(
        {
            "EPICS_CA_ADDR_LIST": "no.such.host.invalid 127.0.0.1:x 127.0.0.1:70000 127.0.0.2",
            "EPICS_CA_AUTO_ADDR_LIST": "NO",
            "EPICS_CA_SERVER_PORT": "port",
            "EPICS_CA_CONN_TMO": "soon",
        }
    )
    assert found.servers == (("127.0.0.2", 5064),)
    assert found.connection_timeout == 30.0
    assert len(caplog.records) == 5


def channel(number: int) -> Channel:
    return Channel(number, f"N{number}", b"N%d" % number, DBE.VALUE)


async def hear(sock: socket.socket) -> list[int]:
    data, _ = await asyncio.get_running_loop().sock_recvfrom(sock, 65536)
    at, found = 0, []
    assert len(data) <= 1024
    while at < len(data):
        command, size, flag, minor, p1, p2 = HEADER.unpack_from(data, at)
        if command == 6:
            assert (flag, minor, p1) == (5, 13, p2)
            found.append(p1)
        else:
            assert (at, command, minor) == (0, 0, 13)
        at += 16 + size
    return found


@pytest.fixture
def server_socket():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        yield sock


async def test_many_names_fit_a_datagram_and_all_are_asked(server_socket):
    search = Search(asyncio.get_running_loop(), (server_socket.getsockname(),), 300.0, Stats(), lambda *_: None)
    search.start()
    channels = [channel(number) for number in range(3000)]
    for one in channels:
        search.add(one)
    seen: set[int] = set()
    datagrams = 0
    async with asyncio.timeout(30):
        while len(seen) < 3000:
            names = await hear(server_socket)
            for number in names:
                channels[number].state = State.LIVE  # answered: not asked again
            seen |= set(names)
            datagrams += 1
    search.close()
    assert datagrams < 400


async def test_the_time_between_searches_doubles(server_socket):
    search = Search(asyncio.get_running_loop(), (server_socket.getsockname(),), 300.0, Stats(), lambda *_: None)
    search.start()
    search.add(channel(0))
    times = []
    async with asyncio.timeout(30):
        for _ in range(6):
            assert await hear(server_socket) == [0]
            times.append(time.monotonic())
        gaps = [b - a for a, b in itertools.pairwise(times)]
        # a busy machine makes them longer, never shorter
        for gap, least in zip(gaps, (0.06, 0.12, 0.24, 0.48, 0.96), strict=True):
            assert gap > least * 0.6
        search.boost()
        began = time.monotonic()
        assert await hear(server_socket) == [0]
        assert time.monotonic() - began < 1.5
    search.close()
    periods = [level.period for level in search._levels]
    assert periods[-1] == 300.0 and periods[-2] < 300.0


async def test_a_search_that_cannot_be_sent_is_logged_once(caplog):
    stats = Stats()
    search = Search(asyncio.get_running_loop(), (("255.255.255.254", 0),), 300.0, stats, lambda *_: None)
    search.start()
    search.add(channel(0))
    await eventually(lambda: stats.ignored["search not sent"] >= 2)
    search.close()
    assert len([r for r in caplog.records if "searching at" in r.getMessage()]) == 1


def test_beacons_out_of_the_ordinary():
    table, server = BeaconTable(), ("127.0.0.1", 5064)
    assert table.anomaly(server, 100, 0.0)
    assert not table.anomaly(server, 100, 0.001)
    for step in range(1, 20):
        assert not table.anomaly(server, 100 + step, 15.0 * step)
    assert table.anomaly(server, 120, 15.0 * 19 + 100)  # it was away
    assert table.anomaly(server, 3, 15.0 * 19 + 101)  # it was started again
    assert not table.anomaly(server, 4, 15.0 * 19 + 102)
    assert table.anomaly(("127.0.0.1", 5065), 7, 500.0)


@given(st.lists(st.binary(max_size=100), max_size=10))
def test_no_beacon_ends_anything(datagrams):
    loop: Any = asyncio.new_event_loop()
    try:
        beacons = Beacons(loop, CaAddresses(), Stats(), lambda: None)
        for datagram in datagrams:
            beacons.take(datagram, "127.0.0.1")
    finally:
        loop.close()


async def test_a_beacon_brings_a_missing_channel_at_once():
    port = free_port()
    sink = RecordingSink()
    async with FakeServer({"A": (Dbr.DOUBLE, 1)}) as server:
        server.search_open = False
        addresses = CaAddresses(servers=server.addresses.servers, repeater_port=port)
        async with Client(addresses, sink) as client:
            client.subscribe(["A"])
            await eventually(lambda: len(server.searched) >= 6)  # the next search is about 2 s away
            server.search_open = True
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as speaker:
                speaker.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                began = time.monotonic()
                number = 0
                while not sink.connects:
                    number += 1
                    speaker.sendto(message(13, b"", 13, server.port, number), ("127.255.255.255", port))
                    await asyncio.sleep(0.05)
                    assert time.monotonic() - began < 30
            assert client.stats.beacon_anomalies >= 1


async def test_beacons_come_through_a_repeater_where_one_runs():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as repeater:
        repeater.bind(("127.0.0.1", 0))
        repeater.setblocking(False)
        loop = asyncio.get_running_loop()
        addresses = CaAddresses(repeater_port=repeater.getsockname()[1])
        async with Client(addresses) as client:
            data, sender = await loop.sock_recvfrom(repeater, 1000)
            assert HEADER.unpack(data)[0] == 24
            await loop.sock_sendto(repeater, message(17, p2=0x7F000001), sender)
            await loop.sock_sendto(repeater, message(13, b"", 13, 5064, 7, 0x7F000001), sender)
            await eventually(lambda: client.stats.beacons == 1)


async def test_an_occupied_beacon_port_is_no_error(caplog):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("0.0.0.0", 0))
        async with FakeServer({"A": (Dbr.DOUBLE, 1)}) as server:
            addresses = CaAddresses(servers=server.addresses.servers, repeater_port=other.getsockname()[1])
            async with Client(addresses) as client:
                assert (await client.get("A", timeout=30)).value == 1
                beacons = client._beacons
                assert beacons is not None
                await eventually(lambda: beacons._timer is None)
                assert (await client.get("A", timeout=30)).value == 1


def test_the_environment_of_this_test_is_loopback():
    assert all(server[0].startswith("127.") for server in CaAddresses.from_environment(os.environ).servers)
    assert struct.calcsize(">HHHHII") == 16
