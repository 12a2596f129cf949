"""PVs that are made when a client first asks for them."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import sys
from collections.abc import AsyncIterator

import pytest
from aioca import DBR_CHAR_STR, FORMAT_TIME, CANothing, camonitor, purge_channel_caches
from caproto import AlarmStatus
from ioc_support import HERE, PUTFAIL, TIMEOUT, caget, caput, code, text
from support import Process, start

PATIENCE = 60.0


@pytest.fixture
async def shelf(prefix: str) -> AsyncIterator[Process]:
    process = start([sys.executable, str(HERE / "shelf_ioc.py"), prefix])
    yield process
    purge_channel_caches()
    assert process.stop(TIMEOUT) == 0, process.text()


async def says(prefix: str, wanted: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while await text(f"{prefix}IOC:Msg") != wanted:
            await asyncio.sleep(0.05)


async def test_a_name_that_is_offered_can_be_read_put_and_monitored(shelf: Process, prefix: str) -> None:
    assert await text(f"{prefix}B:7:Title") == "Book 7"
    assert await text(f"{prefix}B:99999:Title") == "Book 99999"
    await caput(f"{prefix}B:7:Note", "  torn ", datatype=DBR_CHAR_STR, wait=True, timeout=TIMEOUT)
    assert await text(f"{prefix}B:7:Note") == "torn"
    seen: list[int] = []
    monitor = camonitor(f"{prefix}B:7:Count", lambda value: seen.append(int(value)), all_updates=True)
    for _ in range(3):
        await caput(f"{prefix}B:7:Read", 1, wait=True, timeout=TIMEOUT)
    async with asyncio.timeout(PATIENCE):
        while seen[-1:] != [3]:
            await asyncio.sleep(0.01)
    monitor.close()
    assert seen == sorted(seen)
    with pytest.raises(CANothing) as refused:
        await caput(f"{prefix}B:7:Note", "dirty", datatype=DBR_CHAR_STR, wait=True, timeout=TIMEOUT)
    assert code(refused.value) == PUTFAIL
    async with asyncio.timeout(PATIENCE):
        while "book 7 must stay clean" not in shelf.text():
            await asyncio.sleep(0.01)


async def test_fields_and_alarms_are_those_of_any_pv(shelf: Process, prefix: str) -> None:
    assert await caget(f"{prefix}B:3:Count.HIHI", timeout=TIMEOUT) == 100
    assert await caget(f"{prefix}B:3:Count.DESC", timeout=TIMEOUT) == "How often it was read"
    assert await caget(f"{prefix}B:3:Title.RTYP", timeout=TIMEOUT) == "waveform"
    value = await caget(f"{prefix}B:3:Count", format=FORMAT_TIME, timeout=TIMEOUT)
    assert (value.severity, value.status) == (0, AlarmStatus.NO_ALARM)


async def test_a_value_may_be_made_when_it_is_read(shelf: Process, prefix: str) -> None:
    assert await text(f"{prefix}B:5:Story") == "Story 1 of book 5"
    assert await text(f"{prefix}B:5:Story") == "Story 2 of book 5"
    with pytest.raises(CANothing):
        await caget(f"{prefix}B:13:Story", timeout=TIMEOUT)
    assert await text(f"{prefix}B:6:Story") == "Story 3 of book 6"
    seen: list[str] = []
    monitor = camonitor(f"{prefix}B:8:Story", lambda value: seen.append(str(value)), datatype=DBR_CHAR_STR)
    async with asyncio.timeout(PATIENCE):
        while not seen:
            await asyncio.sleep(0.01)
    monitor.close()
    assert seen[-1] == "Story 4 of book 8"


async def test_only_what_a_client_has_is_there(shelf: Process, prefix: str) -> None:
    await says(prefix, "0 PVs of 0 books")
    monitors = [camonitor(f"{prefix}B:{n}:Count", lambda _: None) for n in range(50)]
    monitors.append(camonitor(f"{prefix}B:0:Title", lambda _: None))
    await says(prefix, "51 PVs of 50 books")
    for monitor in monitors:
        monitor.close()
    purge_channel_caches()
    await says(prefix, "0 PVs of 0 books")
    catalogue = json.loads(await text(f"{prefix}IOC:Catalogue"))
    assert not [pv for pv in catalogue["pvs"] if ":B:" in pv["name"]]


async def test_a_search_makes_nothing(shelf: Process, prefix: str) -> None:
    await says(prefix, "0 PVs of 0 books")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        for number in range(100):
            name = f"{prefix}B:{number}:Title".encode() + b"\0"
            name += bytes(-len(name) % 8)
            search = struct.pack(">HHHHII", 6, len(name), 10, 13, number, number) + name
            sock.sendto(search, ("127.0.0.1", int(os.environ["EPICS_CA_SERVER_PORT"])))
            answer = await asyncio.to_thread(sock.recv, 2000)
            assert struct.unpack_from(">H", answer, len(answer) - 24)[0] == 6  # found
    await says(prefix, "0 PVs of 0 books")
    assert "1 PVs" not in shelf.text()


NOT_THERE = ("B:100000:Title", "B:7:Titl", "B:x:Title", "B:7", "Boom:1:Title", "B:7:Title:" + "x" * 60, "B:7:Title.FOO")


async def test_other_names_do_not_exist_and_hurt_nobody(shelf: Process, prefix: str) -> None:
    names = [prefix + name for name in NOT_THERE]
    found = await caget(names, timeout=2.0, throw=False)
    assert [isinstance(one, CANothing) for one in found] == [True] * len(names)
    assert await text(f"{prefix}B:1:Title") == "Book 1"
