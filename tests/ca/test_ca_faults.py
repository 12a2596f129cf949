"""Servers that are broken, hostile, slow or gone: the client drops them with a reason and goes on."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import numpy as np
import pytest
from ca_support import HEADER, Connection, FakeServer, RecordingSink, eventually, message, time_payload
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from owlshift.ca import (
    Access,
    Batch,
    CaAccessError,
    CaAddresses,
    CaDisconnectedError,
    CaError,
    CaStatusError,
    CaTimeoutError,
    ChannelInfo,
    Client,
    Dbr,
)
from owlshift.ca import circuit as circuit_module
from owlshift.ca import directory as directory_module

ONE = {"A": (Dbr.DOUBLE, 1)}
EXTENDED = struct.Struct(">HHHHIIII")


def quick(server: FakeServer, timeout: float = 0.3) -> CaAddresses:
    return CaAddresses(servers=server.addresses.servers, repeater_port=0, connection_timeout=timeout)


async def test_events_flow_and_resume_after_the_server_was_down():
    sink = RecordingSink()
    channels = {"A": (Dbr.DOUBLE, 1), "B": (Dbr.ENUM, 1)}
    async with FakeServer(channels) as server, Client(server.addresses, sink) as client:
        first, second = client.subscribe(["A", "B"])
        await eventually(lambda: server.connections and len(server.connections[0].subscriptions) == 2)
        for value in range(5):
            server.post("A", [value], seconds=value + 10)
            server.post("B", [value])
        await eventually(lambda: sink.events == 10)
        assert sink.values(first) == sink.values(second) == [0, 1, 2, 3, 4]
        await server.down()
        await eventually(lambda: len(sink.lost) == 2)
        assert {number for number, _, _ in sink.lost} == {first, second}
        await server.listen()
        await eventually(lambda: len(sink.connects) == 4)
        await eventually(lambda: server.connections and len(server.connections[0].subscriptions) == 2)
        server.post("A", [99])
        await eventually(lambda: sink.values(first)[-1] == 99)
        assert client.stats.dropped.total() >= 1
        assert client.stats.connected == 4 and client.stats.disconnected == 2


BAD_STREAMS = {
    "misaligned message": HEADER.pack(1, 13, 20, 1, 1, 0) + bytes(13),
    "message too large": EXTENDED.pack(1, 0xFFFF, 20, 0, 1, 0, 0xFFFFFFF8, 0xFFFFFFFF),
    "unknown command": message(99, b"", 0, 0, 1, 2),
    "unknown data type": message(18, b"", 77, 1, 0, 0),
    "count does not fit payload": message(1, bytes(24), 20, 5000, 1, 0),
    "metadata do not fit payload": message(1, bytes(24), 34, 1, 1, 0x80000000),
    "error message too short": message(11, b"", 0, 0, 1, 2),
}


@pytest.mark.parametrize("reason", BAD_STREAMS)
async def test_a_server_that_talks_nonsense_is_dropped_and_others_live(reason, caplog, monkeypatch):
    monkeypatch.setattr(directory_module, "_FIRST_PENALTY", 0.4)
    sink = RecordingSink()
    async with FakeServer(ONE) as bad, FakeServer({"CANARY": (Dbr.LONG, 1)}) as good:
        servers = bad.addresses.servers + good.addresses.servers
        addresses = CaAddresses(servers=servers, repeater_port=0, connection_timeout=1.0)
        async with Client(addresses, sink) as client:
            number, canary = client.subscribe(["A", "CANARY"])
            await eventually(lambda: len(sink.connects) == 2)
            await eventually(lambda: bad.connections and good.connections and bad.connections[0].subscriptions)
            bad.post("A", [1.5])
            bad.connections[0].writer.write(BAD_STREAMS[reason])
            await eventually(lambda: client.stats.dropped[reason])
            assert [(n, r) for n, r, _ in sink.lost] == [(number, reason)]
            assert sink.values(number) == [1.5]
            assert any(reason in record.getMessage() for record in caplog.records)
            await eventually(lambda: good.connections[0].subscriptions)
            good.post("CANARY", [7])
            await eventually(lambda: sink.values(canary) == [7])
            # it gets another chance, but not at once
            assert client.stats.circuits == 2
            await eventually(lambda: len(sink.connects) == 3)
            assert client.stats.ignored["search reply of a server that failed"] >= 1


@st.composite
def hostile_streams(draw: Any) -> bytes:
    """Good prelude or none, then messages with some bytes changed, or anything."""
    pieces = []
    if draw(st.booleans()):
        pieces.append(message(0, count=13) + message(22, p1=0, p2=3) + message(18, dbr=6, count=1, p1=0, p2=5))
    for _ in range(draw(st.integers(0, 8))):
        kind = draw(st.integers(0, 3))
        if kind == 0:
            pieces.append(draw(st.binary(max_size=100)))
        elif kind == 1:
            dbr = draw(st.sampled_from(list(Dbr)))
            pieces.append(
                message(
                    draw(st.sampled_from([1, 15, 19, 18, 22, 27, 26, 6, 11, 12, 23])),
                    draw(st.binary(max_size=64)),
                    draw(st.sampled_from([dbr, dbr.time, dbr.control, 255])),
                    draw(st.sampled_from([0, 1, 2, 60000, 70000])),
                    draw(st.sampled_from([0, 1, 368, 2**32 - 1])),
                    draw(st.sampled_from([0, 1, 2**31, 2**32 - 1])),
                )
            )
        elif kind == 2:
            pieces.append(message(1, time_payload(Dbr.DOUBLE, [1.0]), 20, 1, 1, 0) * draw(st.integers(1, 200)))
        else:
            size, count = draw(st.integers(0, 2**32 - 1)), draw(st.integers(0, 2**32 - 1))
            pieces.append(EXTENDED.pack(1, 0xFFFF, 20, 0, 1, 0, size, count))
    stream = bytearray(b"".join(pieces))
    for _ in range(draw(st.integers(0, 4)) if stream else 0):
        stream[draw(st.integers(0, len(stream) - 1))] = draw(st.integers(0, 255))
    return bytes(stream[: draw(st.integers(0, len(stream)))] if draw(st.booleans()) else stream)


@given(st.lists(hostile_streams(), min_size=1, max_size=3))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_stream_of_bytes_ends_the_client(streams):
    async def run() -> None:
        sink = RecordingSink()
        spoken = 0

        async def hostile(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal spoken
            stream = streams[min(spoken, len(streams) - 1)]
            spoken += 1
            await reader.read(64)
            half = len(stream) // 2
            writer.write(stream[:half])
            await writer.drain()
            writer.write(stream[half:])
            await writer.drain()

        failures: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
        async with FakeServer(ONE) as bad, FakeServer({"CANARY": (Dbr.LONG, 1)}) as good:
            bad.on_connect = hostile
            addresses = CaAddresses(servers=bad.addresses.servers + good.addresses.servers, repeater_port=0)
            async with Client(addresses, sink) as client:
                _, canary = client.subscribe(["A", "CANARY"])
                await eventually(lambda: client.stats.dropped.total() >= 1)
                await eventually(lambda: good.connections and good.connections[0].subscriptions)
                good.post("CANARY", [7])
                await eventually(lambda: sink.values(canary) == [7])
                assert len(sink.connects) >= 1
        assert failures == [] and client.stats.sink_errors == 0

    asyncio.run(run())


@given(st.binary(max_size=300))
@settings(max_examples=150, deadline=None)
def test_no_datagram_ends_the_search(datagram):
    from owlshift.ca.search import parse_replies
    from owlshift.ca.stats import Stats

    stats = Stats()
    for _, (host, port) in parse_replies(datagram, "127.0.0.1", stats):
        socket.inet_aton(host)
        assert 0 < port < 65536
    reply = message(6, b"\0\x0d", 5064, 0, 0x7F000002, 9) + message(6, b"\0\x0d", 5065, 0, 0xFFFFFFFF, 8)
    assert parse_replies(message(0, count=13) + reply, "127.0.0.1", stats) == [
        (9, ("127.0.0.2", 5064)),
        (8, ("127.0.0.1", 5065)),
    ]


async def test_an_absurd_announcement_allocates_nothing(monkeypatch):
    """A length below the limit is waited for, but memory grows only with what comes."""
    sink = RecordingSink()
    async with FakeServer({"A": (Dbr.CHAR, 200_000_000)}) as server, Client(server.addresses, sink) as client:
        client.subscribe(["A"])
        await eventually(lambda: server.connections and server.connections[0].subscriptions)
        payload = 200_000_000
        server.connections[0].writer.write(EXTENDED.pack(1, 0xFFFF, 18, 0, 1, 0, payload, payload - 16) + bytes(70_000))
        directory = client._directory
        assert directory is not None
        (circuit,) = directory.circuits.values()
        await eventually(lambda: circuit._large is not None and len(circuit._large) > 70_000)
        assert circuit._large is not None and len(circuit._large) < 200_000


async def test_a_silent_server_is_asked_and_dropped(monkeypatch):
    monkeypatch.setattr(circuit_module, "ECHO_TIMEOUT", 0.3)
    sink = RecordingSink()
    async with FakeServer(ONE) as server, Client(quick(server), sink) as client:
        client.subscribe(["A"])
        await eventually(lambda: server.connections and server.connections[0].subscriptions)
        await eventually(lambda: server.received[23] >= 2, "echoes that are answered")
        assert not sink.lost
        server.answers[23] = lambda *_: b""
        await eventually(lambda: sink.lost)
        assert sink.lost[0][1].startswith("server does not answer")
        assert client.stats.dropped["server does not answer"] == 1


async def test_a_server_that_never_says_a_word(monkeypatch):
    monkeypatch.setattr(circuit_module, "ECHO_TIMEOUT", 0.2)

    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            pass

    async with FakeServer(ONE) as server, Client(quick(server)) as client:
        server.on_connect = silence
        with pytest.raises(CaError):
            await client.get("A", timeout=1.5)
        await eventually(lambda: client.stats.dropped["server does not answer"])


async def test_a_server_that_stops_reading():
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(64)
        writer.write(message(0, count=13) + message(22, p1=0, p2=3) + message(18, dbr=4, count=20_000_000, p1=0, p2=5))
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(60)

    async with FakeServer({"A": (Dbr.CHAR, 20_000_000)}) as server:
        server.on_connect = deaf
        async with Client(quick(server), metadata=False) as client:
            with pytest.raises((CaDisconnectedError, CaTimeoutError)):
                await client.put("A", b"x" * 20_000_000, timeout=20)
            await eventually(lambda: client.stats.dropped["server does not read"] == 1)


async def test_a_port_where_nobody_listens():
    async with FakeServer(ONE) as server:
        port, server.port = server.port, 1
        async with Client(server.addresses) as client:
            with pytest.raises(CaTimeoutError):
                await client.get("A", timeout=0.5)
            assert client.stats.dropped["cannot connect"] == 1
            server.port = port
            assert (await client.get("A", timeout=30)).value == 1


async def test_a_deleted_channel_is_searched_for_again():
    sink = RecordingSink()
    async with FakeServer({"A": (Dbr.DOUBLE, 1), "B": (Dbr.DOUBLE, 1)}) as server, Client(server.addresses, sink) as c:
        number, other = c.subscribe(["A", "B"])
        await eventually(lambda: server.connections and len(server.connections[0].subscriptions) == 2)
        connection = server.connections[0]
        connection.writer.write(message(27, p1=int(number)) + message(27, p1=12345))
        await eventually(lambda: len(sink.connects) == 3)
        assert [(n, r) for n, r, _ in sink.lost] == [(number, "deleted by the server")]
        await eventually(lambda: connection.subscriptions["A"] == number)
        server.post("A", [5])
        server.post("B", [6])
        await eventually(lambda: sink.values(number) == [5] and sink.values(other) == [6])
        assert c.stats.circuits == 1


async def test_a_refused_channel_is_tried_again():
    async with FakeServer(ONE) as server:
        server.answers[18] = lambda connection, header, body: message(26, p1=header[4])
        async with Client(server.addresses) as client:
            with pytest.raises(CaTimeoutError):
                await client.get("A", timeout=0.4)
            assert client.stats.ignored["channel refused by its server"] >= 1
            del server.answers[18]
            assert (await client.get("A", timeout=30)).value == 1


def refuse(connection: Connection, header: tuple[int, ...], body: bytes) -> bytes:
    """An ERROR message about the request."""
    command, size, code, count, p1, p2 = header
    return message(11, HEADER.pack(command, size, code, count, p1, p2) + b"not today\0", p1=0, p2=176)


async def test_an_error_message_answers_a_request():
    async with FakeServer(ONE) as server, Client(server.addresses) as client:
        server.answers[15] = refuse
        with pytest.raises(CaStatusError, match=r"ECA_BADCOUNT.*not today") as error:
            await client.get("A", timeout=30)
        assert error.value.status == 176


async def test_a_status_answers_a_request():
    async with FakeServer(ONE) as server, Client(server.addresses) as client:
        server.answers[19] = lambda c, h, b: message(19, b"", h[2], h[3], 160, h[5])
        with pytest.raises(CaStatusError, match="ECA_PUTFAIL"):
            await client.put("A", 1, timeout=30)
        server.answers[15] = lambda c, h, b: message(15, b"", h[2], h[3], 152, h[5])
        with pytest.raises(CaStatusError, match="ECA_GETFAIL"):
            await client.get("A", timeout=30)


@pytest.mark.parametrize("answer", [(14, 1, bytes(56)), (20, 3, bytes(24)), (20, 0, bytes(16)), (99, 1, b"")])
async def test_wrong_answers_to_a_read(answer):
    code, count, payload = answer
    async with FakeServer(ONE) as server, Client(server.addresses) as client:
        server.answers[15] = lambda c, h, b: message(15, payload, code, count, 1, h[5])
        with pytest.raises(CaError):
            await client.get("A", timeout=30)


async def test_a_request_in_flight_fails_when_the_server_goes():
    async with FakeServer(ONE) as server, Client(server.addresses) as client:
        server.answers[15] = lambda *_: b""
        waiting = asyncio.ensure_future(client.get("A", timeout=30))
        await eventually(lambda: server.received[15])
        await server.down()
        with pytest.raises(CaDisconnectedError):
            await waiting


async def test_answers_to_nobody_are_counted():
    async with FakeServer(ONE) as server, Client(server.addresses) as client:
        await client.get("A", timeout=30)
        server.connections[0].writer.write(
            message(15, bytes(24), 20, 1, 1, 4711)
            + message(19, b"", 6, 1, 1, 4711)
            + message(22, p1=99, p2=3)
            + message(26, p1=99)
            + message(18, dbr=6, count=1, p1=99, p2=1)
            + message(1, bytes(24), 20, 1, 1, 99)
            + message(1, bytes(88), 34, 1, 1, 99)
            + message(1, bytes(8), 12, 1, 1, 99)
            + message(6, bytes(8), 0, 0, 1, 1)
        )
        await eventually(lambda: client.stats.ignored["search reply without a port"])
        assert client.stats.ignored["answer to no request"] == 2
        assert client.stats.ignored["message for no channel"] == 3
        assert client.stats.ignored["unexpected event"] == 2
        assert client.stats.ignored["event of an unexpected type"] == 1
        assert client.stats.dropped == {}


async def test_another_servers_channel_cannot_be_faked():
    sink = RecordingSink()
    async with FakeServer(ONE) as bad, FakeServer({"B": (Dbr.DOUBLE, 1)}) as good:
        addresses = CaAddresses(servers=bad.addresses.servers + good.addresses.servers, repeater_port=0)
        async with Client(addresses, sink) as client:
            _, number = client.subscribe(["A", "B"])
            await eventually(lambda: good.connections and good.connections[0].subscriptions)
            await eventually(lambda: bad.connections and bad.connections[0].subscriptions)
            fake = message(1, time_payload(Dbr.DOUBLE, [666.0]), 20, 1, 1, int(number))
            bad.connections[0].writer.write(fake + message(27, p1=int(number)))
            await eventually(lambda: client.stats.ignored["message for no channel"])
            good.post("B", [1])
            await eventually(lambda: sink.values(number) == [1])
            assert client.stats.ignored["unexpected event"] == 1
            assert not sink.lost


@pytest.mark.parametrize("how", ["error", "status", "silence"])
async def test_a_server_without_metadata(how, monkeypatch):
    monkeypatch.setattr(directory_module, "DESCRIBE_TIMEOUT", 0.2)
    sink = RecordingSink()

    def answer(connection: Connection, header: tuple[int, ...], body: bytes) -> bytes:
        if header[2] < 28:
            return connection.answer(header, body)
        if how == "error":
            return refuse(connection, header, body)
        return message(1, bytes(88), header[2], 1, 152, header[5]) if how == "status" else b""

    async with FakeServer(ONE) as server:
        server.answers[1] = answer
        async with Client(server.addresses, sink) as client:
            (number,) = client.subscribe(["A"])
            await eventually(lambda: server.connections and server.connections[0].subscriptions)
            server.post("A", [3])
            await eventually(lambda: sink.values(number) == [3])
            assert sink.infos[number].metadata.units == ""


async def test_a_server_that_ignores_event_masks_is_asked_no_more():
    sink = RecordingSink()
    async with FakeServer(ONE) as server, Client(server.addresses, sink) as client:
        (number,) = client.subscribe(["A"])
        await eventually(lambda: server.connections and server.connections[0].subscriptions)
        server.connections[0].writer.write(message(1, bytes(88), 34, 1, 1, 0x80000000) * 500)
        await eventually(lambda: server.received[2] == 1, "EVENT_CANCEL")
        assert client.stats.ignored["server that ignores event masks"] == 1
        server.post("A", [3])
        await eventually(lambda: sink.values(number) == [3])
        assert not sink.changes


async def test_access_rights_are_followed():
    sink = RecordingSink()
    async with FakeServer(ONE) as server, Client(server.addresses, sink) as client:
        (number,) = client.subscribe(["A"])
        await eventually(lambda: sink.connects)
        await client.put("A", 1, timeout=30)
        server.connections[0].writer.write(message(22, p1=int(number), p2=1))
        await eventually(lambda: sink.changes)
        assert sink.changes[0].access == Access.READ
        with pytest.raises(CaAccessError, match="write access denied"):
            await client.put("A", 1, timeout=30)
        server.connections[0].writer.write(message(22, p1=int(number), p2=0))
        await eventually(lambda: len(sink.changes) == 2)
        with pytest.raises(CaAccessError, match="read access denied"):
            await client.get("A", timeout=30)


async def test_an_old_server_is_asked_for_all_elements():
    counts: list[int] = []

    def old(connection: Connection, header: tuple[int, ...], body: bytes) -> bytes:
        if header[2] < 28:
            counts.append(header[3])
        return connection.answer(header, body)

    sink = RecordingSink()
    async with FakeServer({"A": (Dbr.SHORT, 70), "B": (Dbr.SHORT, 70)}) as server:
        server.answers[1] = old
        async with Client(server.addresses, sink) as client:
            client.subscribe(["A"])
            await eventually(lambda: counts)
            server.connections[0].writer.write(message(0, count=11))
            await asyncio.sleep(0)
            client.subscribe(["B"])
            await eventually(lambda: len(counts) == 2)
    assert counts == [0, 70]


async def test_arrays_that_trickle_in():
    sink = RecordingSink()
    async with FakeServer({"A": (Dbr.SHORT, 200_000), "B": (Dbr.LONG, 1)}) as server:
        async with Client(server.addresses, sink, pace=0.001) as client:
            array, scalar = client.subscribe(["A", "B"])
            await eventually(lambda: server.connections and len(server.connections[0].subscriptions) == 2)
            connection = server.connections[0]
            values = list(range(-30_000, 30_000))
            stream = connection.event("B", [1]) + connection.event("A", values) + connection.event("B", [2])
            stream += connection.event("A", [1, 2, 3]) + connection.event("A", []) + connection.event("B", [3])
            sizes = [1, 15, 7, 16, 3, 1000, 30_000, 8, 70_000, 1, 1, 1]
            at = 0
            while at < len(stream):
                size = sizes.pop(0) if sizes else 4096
                connection.writer.write(stream[at : at + size])
                await connection.writer.drain()
                await asyncio.sleep(0.002)
                at += size
            await eventually(lambda: len(sink.values(scalar)) == 3)
            assert sink.values(scalar) == [1, 2, 3]
            big, small, none = sink.values(array)
            np.testing.assert_array_equal(big, values)
            assert small.tolist() == [1, 2, 3] and none.tolist() == []


async def test_pause_holds_for_new_circuits_too():
    async with FakeServer(ONE) as server, Client(server.addresses) as client:
        client.pause()
        client.subscribe(["A"])
        await eventually(lambda: server.connections and server.connections[0].subscriptions)
        assert not server.connections[0].events_on
        client.resume()
        await eventually(lambda: server.connections[0].events_on)
        assert (server.received[8], server.received[9]) == (1, 1)


class BrokenSink(RecordingSink):
    def batch(self, batch: Batch) -> None:
        super().batch(batch)
        raise RuntimeError("batch")

    def connected(self, info: ChannelInfo) -> None:
        super().connected(info)
        raise RuntimeError("connected")


async def test_a_sink_that_raises_harms_nobody():
    sink = BrokenSink()
    async with FakeServer(ONE) as server, Client(server.addresses, sink) as client:
        (number,) = client.subscribe(["A"])
        await eventually(lambda: server.connections and server.connections[0].subscriptions)
        for value in range(3):
            server.post("A", [value])
            await eventually(lambda wanted=value: len(sink.values(number)) == wanted + 1)
        assert client.stats.sink_errors == 4


async def test_unsubscribing_while_being_told_of_the_connection():
    class Leaver(RecordingSink):
        def connected(self, info: ChannelInfo) -> None:
            super().connected(info)
            if info.name == "A":
                client.unsubscribe([info.id])

    sink = Leaver()
    async with FakeServer({"A": (Dbr.DOUBLE, 1), "B": (Dbr.DOUBLE, 1)}) as server:
        async with Client(server.addresses, sink) as client:
            client.subscribe(["A", "B"])
            await eventually(lambda: server.connections and "B" in server.connections[0].subscriptions)
            await eventually(lambda: server.received[12] == 1)
            assert "A" not in server.connections[0].subscriptions


async def test_the_last_channel_closes_the_circuit():
    async with FakeServer(ONE) as server, Client(quick(server, 1.0)) as client:
        ids = client.subscribe(["A"])
        await eventually(lambda: server.connections and server.connections[0].subscriptions)
        client.unsubscribe(ids)
        await eventually(lambda: not server.connections)
        assert client.stats.dropped == {"no channels left": 1}


async def test_a_name_server_that_is_not_the_server():
    """Search by TCP: the answer names another port; the name server's own circuit stays."""
    sink = RecordingSink()
    async with FakeServer(ONE) as server, FakeServer({}) as names:
        names.answers[6] = lambda c, h, b: message(6, b"\0\x0d", server.port, 0, 0xFFFFFFFF, h[4])
        addresses = CaAddresses(name_servers=(("127.0.0.1", names.port),), repeater_port=0, connection_timeout=1.0)
        async with Client(addresses, sink) as client:
            (number,) = client.subscribe(["A"])
            await eventually(lambda: server.connections and server.connections[0].subscriptions)
            server.post("A", [4])
            await eventually(lambda: sink.values(number) == [4])
            await names.down()
            await eventually(lambda: client.stats.dropped["closed by server"])
            await names.listen()
            await eventually(lambda: names.connections, "the client comes back to its name server")
            assert not sink.lost


async def test_closing_leaves_nothing_behind():
    before = asyncio.all_tasks()
    async with FakeServer(ONE) as server:
        client = Client(server.addresses)
        await client.start()
        client.subscribe(["A", "NOBODY"])
        await eventually(lambda: server.connections)
        await client.close()
        await client.close()
        await eventually(lambda: not server.connections)
    never = Client(CaAddresses(servers=(("192.0.2.1", 1),), repeater_port=0))
    await never.start()
    directory = never._directory
    assert directory is not None
    never.subscribe(["A"])
    directory.found(0, ("192.0.2.1", 5064))  # a connect that gets no answer
    await never.close()
    await eventually(lambda: asyncio.all_tasks() <= before | {asyncio.current_task()})


async def test_a_server_that_hangs_up_at_once_is_not_hammered():
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(64)

    async with FakeServer(ONE) as server, Client(server.addresses) as client:
        server.on_connect = hang_up
        with pytest.raises(CaTimeoutError):
            await client.get("A", timeout=0.8)
        assert client.stats.circuits == 1
        server.on_connect = None
        assert (await client.get("A", timeout=30)).value == 1


async def test_a_sink_that_always_raises_does_not_fill_the_log(caplog):
    sink = BrokenSink()
    async with FakeServer(ONE) as server, Client(server.addresses, sink) as client:
        client.subscribe(["A"])
        await eventually(lambda: server.connections and server.connections[0].subscriptions)
        for value in range(5):
            server.post("A", [value])
            await eventually(lambda wanted=value: sink.events == wanted + 1)
        assert client.stats.sink_errors == 6
    assert len([r for r in caplog.records if "the sink failed" in r.getMessage()]) == 1
