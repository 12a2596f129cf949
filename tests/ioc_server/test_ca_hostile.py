"""Clients that break the protocol, vanish, stall or flood; and stock caproto's end by them."""

from __future__ import annotations

import itertools
import json
import logging
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from ca_raw import (
    CREATE_CHAN,
    ECHO,
    ERROR,
    EVENT_ADD,
    READ_NOTIFY,
    RawClient,
    blocking,
    create,
    double,
    event_add,
    eventually,
    request,
    serving,
    take,
    vanish,
)
from ca_test_ioc import make_pvs
from caproto import ChannelData, ChannelDouble
from support import ROOT, Process, free_port, start, wait_until

from owlshift.ioc.server import publish
from owlshift.ioc.server.stream import ANSWER_LIMIT, WRITE_HIGH

IOC = Path(__file__).with_name("ca_test_ioc.py")


@contextmanager
def ioc(kind: str, rate: float = 0) -> Iterator[tuple[Process, int]]:
    """A server process and its TCP port."""
    process = start([sys.executable, str(IOC), kind, "T:", str(free_port()), str(rate)])
    try:
        yield process, int(process.wait_for_line("ready").split()[1])
    finally:
        process.kill()


def read_some(sock: socket.socket, wanted: int) -> None:
    """Read `wanted` bytes, or what comes without a wait of more than 20 ms."""
    sock.settimeout(0.02)
    while wanted > 0:
        try:
            received = len(sock.recv(min(wanted, 1 << 16)))
        except TimeoutError:
            return
        if not received:
            raise ConnectionError("closed by the server")
        wanted -= received


def connect_and_vanish(port: int, slow: socket.socket, number: int) -> None:
    """A client subscribes to the PV that `slow` cannot follow, and resets; now and then `slow` reads a little."""
    vanish(blocking(port, "T:Fast", 20, 1))
    if number % 20 == 19:
        read_some(slow, 1 << 17)


def stock_ends() -> bool:
    """Whether a stock server ended within 20 s of this; now and then it only stops to answer."""
    with ioc("stock", 2000) as (process, port), blocking(port, "T:Fast", 20, 1, 4096, 50) as slow:
        end = time.monotonic() + 20
        with suppress(OSError):
            for number in itertools.count():
                connect_and_vanish(port, slow, number)
                if time.monotonic() > end:
                    return False
        with suppress(AssertionError):
            wait_until(lambda: process.returncode is not None, 2)
        return process.returncode == 1 and "deque mutated during iteration" in process.text()


@pytest.mark.timeout(300)
def test_stock_caproto_ends_when_clients_vanish_under_load():
    # its loop over a PV's subscriptions waits for room in the slow client's queue while the list changes
    assert any(stock_ends() for _ in range(6))


def test_ours_lives_through_100_such_disconnects_at_full_load():
    with ioc("ours", 5000) as (process, port):
        with blocking(port, "T:Fast", 20, 1, 4096, 50) as slow, blocking(port, "T:Fast", 20, 1) as good:
            for number in range(100):
                connect_and_vanish(port, slow, number)
                assert good.recv(1 << 20)
            assert process.returncode is None
        assert process.stop(30) == 0
        assert not [line for line in process.log if " WARNING " in line or " ERROR " in line]
        counters = json.loads(process.wait_for_line("stopped").split(" ", 1)[1])
        assert counters["monitors"] == 0 and counters["malformed_circuits"] == 0


BAD_STREAMS = {
    "garbage": bytes(range(255, 127, -1)),
    "text": b"GET / HTTP/1.1\r\nHost: ioc\r\n\r\n",
    "unknown command": request(77),
    "a server's command": request(22, 0, 0, 1, 3),
    "channel that does not exist": request(READ_NOTIFY, 6, 1, 4711, 1),
    "subscription without a mask": create("Double") + request(1, 6, 1, 1, 1),
    "subscription with an empty mask": create("Double") + event_add(1, 1, mask=0),
    "subscription of a type that does not exist": create("Double") + event_add(1, 1, 39),
    "read of a type that does not exist": create("Double") + request(READ_NOTIFY, 39, 1, 1, 1),
    "put of a type that does not exist": create("Double") + request(19, 39, 1, 1, 1, bytes(8)),
    "gigabytes announced": struct.pack(">HHHHIIII", 19, 0xFFFF, 6, 0, 1, 1, 0xFFFFFFF8, 0x1FFFFFFF),
    "odd payload size": struct.pack(">HHHHII", 23, 5, 0, 0, 0, 0) + bytes(5),
    "version too old": request(0, 0, 3),
    "version too old in a channel": request(CREATE_CHAN, 0, 0, 1, 3, b"Double\0"),
    "host name too long": request(21, payload=b"h" * 600),
    "large payload for a small command": struct.pack(">HHHHII", 20, 0xFFF0, 0, 0, 0, 0),
}


@pytest.mark.parametrize("name", BAD_STREAMS)
async def test_a_bad_stream_ends_its_own_circuit_with_a_reason(name: str, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    async with serving(make_pvs()) as server:
        good = await RawClient.connect(server.port)
        bad = await RawClient.connect(server.port)
        bad.send(BAD_STREAMS[name])
        await bad.closed()
        assert server.malformed_circuits == 1 and server.clients == 1
        assert await good.until_echo() and caplog.text.count("dropped the circuit") == 1
        for _ in range(5):
            again = await RawClient.connect(server.port)
            again.send(BAD_STREAMS[name])
            await again.closed()
            await again.close()
        assert server.malformed_circuits == 6
        assert caplog.text.count("dropped the circuit") == 1, "a flood of faults is no flood of lines"
        for client in (good, bad):
            await client.close()


async def test_bad_ids_and_commands_are_named_before_the_end():
    async with serving(make_pvs()) as server:
        for stream in ("unknown command", "channel that does not exist"):
            bad = await RawClient.connect(server.port)
            bad.send(BAD_STREAMS[stream])
            assert ERROR in [r.command for r in await bad.closed()]
            await bad.close()


async def test_half_headers_silence_and_half_payloads_cost_nothing():
    async with serving(make_pvs()) as server:
        clients = [await RawClient.connect(server.port) for _ in range(30)]
        for number, client in enumerate(clients[:20]):
            client.send(create("Double")[: number + 1])
        good = await RawClient.connect(server.port)
        await good.open("Double")
        assert server.clients == 31 and server.malformed_circuits == 0
        for number, client in enumerate(clients):
            if number % 2:
                client.reset()
            else:
                await client.close()
        await eventually(lambda: server.clients == 1)
        await good.close()


async def test_a_client_that_never_reads_its_answers_is_not_read_any_more():
    size = 100_000
    pvs: dict[str, ChannelData] = {"Big": ChannelDouble(value=np.zeros(size), max_length=size)}
    async with serving(pvs) as server:
        client = await RawClient.connect(server.port, limit=1024)
        sid = await client.open("Big")
        client.send(*[request(READ_NOTIFY, 6, 0, sid, n) for n in range(200)])
        (circuit,) = server._circuits
        await eventually(lambda: not circuit._reading)
        assert circuit._backlog < ANSWER_LIMIT + 2 * 8 * size
        good = await RawClient.connect(server.port)
        await good.get(await good.open("Big"), 6, 1)
        for number in range(200):
            assert (await client.expect(READ_NOTIFY)).available == number, "nothing is lost when it reads again"
        for c in (good, client):
            await c.close()


async def test_a_client_that_stops_reading_gets_the_newest_value_and_costs_the_others_nothing():
    # trap B2: with stock caproto everybody's monitors stop
    pvs: dict[str, ChannelData] = {f"P{n}": ChannelDouble(value=0.0) for n in range(50)}
    async with serving(pvs) as server:
        slow, good = await RawClient.connect(server.port, limit=1024), await RawClient.connect(server.port)
        for client in (slow, good):
            for number in range(50):
                client.send(event_add(await client.open(f"P{number}"), number))
        await good.until_echo()
        (stalled,) = [c for c in server._circuits if c.peer == slow.writer.get_extra_info("sockname")]
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
        value = 0
        while not stalled.dropped > 10_000:
            for _ in range(100):
                value += 1
                for pv in pvs.values():
                    pv._data["value"] = float(value)
                    publish(pv, 1)
            events = await good.until_echo()
            assert len(events) == 5000 and double(events[-1]) == value, "every event, at once"
            assert stalled._backlog <= 2 * WRITE_HIGH and len(stalled._news) <= 50
        assert server.dropped_updates == stalled.dropped
        slow.writer.transport.resume_reading()  # type: ignore[attr-defined]
        newest = dict.fromkeys(range(50), -1.0)
        while set(newest.values()) != {float(value)}:
            event = await slow.expect(EVENT_ADD)
            assert double(event) > newest[event.available], "older after newer"
            newest[event.available] = double(event)
        pvs["P0"]._data["value"] = -1.0
        publish(pvs["P0"], 1)
        assert [double(e) for e in await slow.until_echo()] == [-1.0]
        for client in (slow, good):
            await client.close()


CLIENT = """
import sys
sys.path[:0] = {path!r}
from ca_raw import blocking, take, double
sock = blocking({port}, "T:Fast", 6, 1)
data, count = bytearray(), 0
while True:
    data += sock.recv(1 << 16)
    while (reply := take(data)) is not None:
        if reply.payload:
            count += 1
            if count % 200 == 0:
                print("value", double(reply), flush=True)
"""


@pytest.mark.slow
def test_a_stopped_client_process_neither_stops_the_others_nor_grows_the_server():
    with ioc("ours", 2000) as (process, port):
        argv = [sys.executable, "-c", CLIENT.format(path=[str(Path(__file__).parent), str(ROOT / "tests")], port=port)]
        stopped, going = Process(argv), Process(argv)
        try:
            for client in (stopped, going):
                client.wait_for_line("value")
            stopped.signal(signal.SIGSTOP)
            waves = [blocking(port, "T:Wave", 6, 1000, 4096) for _ in range(5)]  # and five that never read 8 kB arrays
            before = psutil.Process(process.pid).memory_info().rss
            for _ in range(10):
                seen = len(going.log)
                wait_until(lambda seen=seen: len(going.log) > seen + 2, 20, "the other client's monitor")
            grown = psutil.Process(process.pid).memory_info().rss - before
            assert grown < 30 * 2**20
            newest = float(going.log[-1].split()[1])
            stopped.signal(signal.SIGCONT)
            wait_until(lambda: float(stopped.log[-1].split()[1]) >= newest, 30, "the newest value")
            for sock in waves:
                sock.close()
        finally:
            stopped.signal(signal.SIGCONT)
            stopped.kill()
            going.kill()
        assert process.stop(30) == 0
        counters = json.loads(process.wait_for_line("stopped").split(" ", 1)[1])
        assert counters["dropped_updates"] > 1000


async def test_a_flood_of_requests_leaves_others_their_turn():
    async with serving(make_pvs()) as server:
        flooding, good = await RawClient.connect(server.port), await RawClient.connect(server.port)
        sid = await flooding.open("Double")
        await good.open("Double")
        flooding.send(request(READ_NOTIFY, 6, 1, sid, 1) * 30_000)
        for _ in range(5):
            await good.until_echo()
        for _ in range(30_000):
            await flooding.expect(READ_NOTIFY)
        for client in (flooding, good):
            await client.close()


def test_ends_cleanly_while_a_client_does_not_read():
    with ioc("ours", 2000) as (process, port):
        with blocking(port, "T:Wave", 6, 1000, 4096):
            time.sleep(0.5)
            began = time.monotonic()
            assert process.stop(20) == 0
            assert time.monotonic() - began < 10


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sigterm_and_sigint_end_it_cleanly(number: signal.Signals):
    with ioc("ours", 100) as (process, port), blocking(port, "T:Fast", 6, 1):
        process.signal(number)
        assert process.wait(20) == 0
        process.wait_for_line("stopped")


def test_stock_caproto_dies_of_sigterm_without_its_hooks():
    # trap B3
    with ioc("stock") as (process, _):
        process.signal(signal.SIGTERM)
        assert process.wait(20) == -signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_background_job_of_a_script_stops_too(number: signal.Signals):
    # a shell without job control starts `… &` with SIGINT ignored
    command = f"{sys.executable} -u {IOC} ours T: {free_port()} 0 & echo pid $!; wait $!; echo code $?"
    shell = Process(["sh", "-c", command], env={"PYTHONPATH": str(IOC.parents[2])})
    try:
        shell.wait_for_line("ready")
        pid = int(shell.wait_for_line("pid").split()[1])
        subprocess.run(["kill", f"-{number.value}", str(pid)], check=True)
        assert shell.wait_for_line("code") == "code 0"
        shell.wait_for_line("stopped")
    finally:
        shell.kill()


STUBBORN = """
import asyncio
from owlshift.ioc.server import stop_on_signals
async def main():
    stop = asyncio.Event()
    stop_on_signals(stop)
    print("ready", flush=True)
    await stop.wait()
    print("stopping", flush=True)
    await asyncio.sleep(1000)
asyncio.run(main())
"""


def test_a_second_signal_ends_what_does_not_stop():
    process = start([sys.executable, "-c", STUBBORN])
    process.signal(signal.SIGTERM)
    process.wait_for_line("stopping")
    process.signal(signal.SIGTERM)
    assert process.wait(20) == -signal.SIGTERM


def test_a_lonely_echo_is_answered():
    with ioc("ours") as (process, port), socket.create_connection(("127.0.0.1", port), 20) as sock:
        sock.sendall(request(ECHO))
        data, commands = bytearray(), []
        while ECHO not in commands:
            data += sock.recv(1000)
            while (reply := take(data)) is not None:
                commands.append(reply.command)
        assert process.stop() == 0
