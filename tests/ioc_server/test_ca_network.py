"""Several IOCs on one host, found by stock clients; name servers, beacons and ports in use."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from ca_raw import BEACON, SEARCH, eventually, request, serving
from ca_test_ioc import make_pvs
from support import Process, free_port, start, unique_prefix

from owlshift.ioc.server import AddressInUse, AddressNotAvailable, CaServer, beacon
from owlshift.ioc.server.search import broadcast_address

IOC = Path(__file__).with_name("ca_test_ioc.py")

AIOCA = """
import asyncio, sys
from aioca import caget, camonitor, caput, purge_channel_caches
async def main():
    names = sys.argv[1:]
    values = await caget([n + "Double" for n in names], timeout=20)
    assert [float(v) for v in values] == [1.5] * len(names), values
    seen = asyncio.Queue()
    monitor = camonitor(names[0] + "Double", seen.put, all_updates=True)
    assert float(await asyncio.wait_for(seen.get(), 20)) == 1.5
    await caput(names[0] + "Double", 2.5, wait=True, timeout=20)
    assert float(await asyncio.wait_for(seen.get(), 20)) == 2.5
    await caput(names[0] + "Double", 1.5, wait=True, timeout=20)
    try:
        await caput(names[0] + "Slow", -1, wait=True, timeout=20)
    except Exception as error:
        print("refused:", error)
    text = await caget(names[0] + "Char", datatype=999, timeout=20)
    assert text == "a long text", text
    monitor.close()
    purge_channel_caches()
asyncio.run(main())
print("found", len(sys.argv) - 1)
"""

PYEPICS = """
import sys, warnings
warnings.simplefilter("ignore")
import epics
for name in sys.argv[1:]:
    pv = epics.PV(name + "Enum", form="ctrl")
    assert pv.wait_for_connection(20), name
    assert pv.get(as_string=True, timeout=20) == "On"
    assert pv.enum_strs == ("Off", "On", "Trip"), pv.enum_strs
    units = epics.PV(name + "Units", form="ctrl")
    assert units.get(timeout=20) == 1.0 and units.units.startswith("far too"), units.units
    assert list(epics.caget(name + "Array", timeout=20)) == [1.0, 2.0, 3.0]
    assert len(epics.caget(name + "Empty", timeout=20)) == 0
print("found", len(sys.argv) - 1)
"""


@contextmanager
def iocs(kinds: list[str], port: int) -> Iterator[list[tuple[Process, str, int]]]:
    """IOC processes that share one search port: process, prefix, TCP port."""
    with ExitStack() as stack:
        found = []
        for kind in kinds:
            prefix = unique_prefix()
            process = start([sys.executable, str(IOC), kind, prefix, str(port), "0"])
            stack.callback(process.kill)
            found.append((process, prefix, int(process.wait_for_line("ready").split()[1])))
        yield found


def client(code: str, prefixes: list[str], **env: str) -> subprocess.CompletedProcess[str]:
    """Run a stock client in a process of its own, as libca reads its environment once."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("EPICS_CA_")}
    environment |= {"EPICS_CA_AUTO_ADDR_LIST": "NO", "EPICS_CA_REPEATER_PORT": str(free_port()), **env}
    return subprocess.run(
        [sys.executable, "-c", code, *prefixes], env=environment, capture_output=True, text=True, timeout=100
    )


@pytest.mark.parametrize("code", [AIOCA, PYEPICS], ids=["aioca", "pyepics"])
def test_three_iocs_on_one_port_are_all_found_by_libca(code: str):
    port = free_port()
    with iocs(["ours"] * 3, port) as servers:
        assert servers[0][2] == port and len({tcp for _, _, tcp in servers}) == 3
        result = client(
            code,
            [prefix for _, prefix, _ in servers],
            EPICS_CA_ADDR_LIST="127.255.255.255",
            EPICS_CA_SERVER_PORT=str(port),
        )
        assert "found 3" in result.stdout, result.stdout + result.stderr
        if code == AIOCA:
            assert "refused: " in result.stdout
        for process, _, _ in servers:
            assert process.stop() == 0
            assert not [line for line in process.log if " WARNING " in line or " ERROR " in line]


def test_stock_caproto_bound_to_loopback_is_not_found_so():
    port = free_port()
    probe = "import epics, sys; print('value', epics.caget(sys.argv[1] + 'Double', connection_timeout=2, timeout=2))"
    with iocs(["stock"], port) as servers:
        result = client(probe, [servers[0][1]], EPICS_CA_ADDR_LIST="127.255.255.255", EPICS_CA_SERVER_PORT=str(port))
        assert "value None" in result.stdout, result.stdout + result.stderr


def test_a_name_server_search_finds_ours():
    # stock caproto closes such a circuit: "priority 1 does not match previously set priority of 0"
    with iocs(["ours"], free_port()) as servers:
        _, prefix, tcp = servers[0]
        result = client(
            AIOCA,
            [prefix],
            EPICS_CA_ADDR_LIST="",
            EPICS_CA_NAME_SERVERS=f"127.0.0.1:{tcp}",
            EPICS_CA_SERVER_PORT=str(free_port()),
        )
        assert "found 1" in result.stdout, result.stdout + result.stderr


async def test_a_unicast_search_is_answered_from_the_interface_and_junk_is_not():
    port = free_port()
    async with serving(make_pvs(), port=port) as server:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.setblocking(False)
            sock.bind(("127.0.0.1", 0))
            search = request(0, 1, 13, 99) + request(SEARCH, 5, 13, 7, 7, b"Double\0")
            for target in ("127.0.0.1", "127.255.255.255"):
                for junk in (b"", b"x", search[:-3], b"\xff" * 5000, bytes(16) * 20, search[:20]):
                    sock.sendto(junk, (target, port))
                sock.sendto(search, (target, port))
                data, sender = await asyncio.wait_for(loop.sock_recvfrom(sock, 2000), 20)
                while len(data) < 40:  # the version alone is no answer
                    data, sender = await asyncio.wait_for(loop.sock_recvfrom(sock, 2000), 20)
                assert sender == ("127.0.0.1", port)
                assert struct.unpack_from(">HHHHI", data) == (0, 0, 1, 13, 99)
                assert struct.unpack_from(">HHHHII", data, 16) == (SEARCH, 8, server.port, 0, 0xFFFFFFFF, 7)
        assert server.malformed_datagrams >= 6 and server.searches == 2


async def test_beacons_announce_interface_and_port_with_growing_numbers(monkeypatch: pytest.MonkeyPatch):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind(("127.255.255.255", 0))
        port = sock.getsockname()[1]
        monkeypatch.setenv("EPICS_CAS_BEACON_PORT", str(port))
        monkeypatch.setenv("EPICS_CAS_BEACON_ADDR_LIST", "")
        monkeypatch.delenv("EPICS_CAS_AUTO_BEACON_ADDR_LIST", raising=False)
        async with serving(make_pvs()) as server:
            loop = asyncio.get_running_loop()
            times = []
            for number in range(6):
                data, sender = await asyncio.wait_for(loop.sock_recvfrom(sock, 2000), 20)
                times.append(loop.time())
                assert sender[0] == "127.0.0.1"
                assert struct.unpack(">HHHHII", data) == (BEACON, 0, 13, server.port, number, 0x7F000001)
            assert times[5] - times[0] > 0.5, "0.02 + 0.04 + 0.08 + 0.16 + 0.32 s"


async def test_beacons_that_nobody_hears_are_no_fault(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    # stock caproto logs a traceback every period
    monkeypatch.setenv("EPICS_CAS_BEACON_ADDR_LIST", f"127.0.0.1:{free_port()} no.such.host.invalid 127.0.0.1:x")
    monkeypatch.setenv("EPICS_CAS_BEACON_PERIOD", "0.02")
    async with serving(make_pvs()):
        await asyncio.sleep(0.3)
    assert not [r for r in caplog.records if r.levelname in ("WARNING", "ERROR")]


def test_beacon_settings():
    env = {"EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1 127.0.0.2:77 :::", "EPICS_CAS_BEACON_PORT": "70000"}
    assert beacon.beacon_port(env) == 5065
    assert beacon.beacon_port({"EPICS_CA_REPEATER_PORT": "7", "EPICS_CAS_BEACON_PORT": "x"}) == 7
    assert beacon.beacon_addresses("127.0.0.1", env) == [
        ("127.255.255.255", 5065),
        ("127.0.0.1", 5065),
        ("127.0.0.2", 77),
    ]
    assert ("127.255.255.255", 5065) in beacon.beacon_addresses("0.0.0.0", {})
    assert beacon.beacon_addresses("0.0.0.0", {"EPICS_CAS_AUTO_BEACON_ADDR_LIST": "no"}) == []


def test_broadcast_addresses():
    assert broadcast_address("127.0.0.1") == broadcast_address("127.1.2.3") == "127.255.255.255"
    assert broadcast_address("0.0.0.0") is None
    assert broadcast_address("203.0.113.77") is None


@pytest.mark.parametrize("address", ["127.0.0.1", "127.255.255.255"])
async def test_a_search_port_that_is_not_shared_is_one_clear_line(address: str):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as foreign:
        foreign.bind((address, 0))
        port = foreign.getsockname()[1]
        with pytest.raises(AddressInUse, match=f"UDP port {port} on {address} is in use"):
            await CaServer({}, port=port).run(asyncio.Event())


async def test_an_interface_that_is_not_there_is_one_clear_line():
    with pytest.raises(AddressNotAvailable, match=r"203\.0\.113\.77 is not an address of this host"):
        await CaServer({}, interface="203.0.113.77", port=free_port()).run(asyncio.Event())


async def test_a_taken_tcp_port_is_no_obstacle():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as foreign:
        foreign.bind(("127.0.0.1", 0))
        foreign.listen()
        port = foreign.getsockname()[1]
        async with serving(make_pvs(), port=port) as server:
            assert server.port != port


async def test_all_interfaces():
    async with serving(make_pvs(), interface="0.0.0.0") as server:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.setblocking(False)
            for target in ("127.255.255.255", "127.0.0.1"):
                sock.sendto(request(SEARCH, 5, 13, 7, 7, b"Double\0"), (target, server.search_port))
                data, sender = await asyncio.wait_for(loop.sock_recvfrom(sock, 2000), 20)
                assert sender[0] == "127.0.0.1" and len(data) == 40
        await eventually(lambda: server.searches == 2)
