"""The order of requests on the wire, and what becomes of those on the way when a reply is none."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable

import pytest
from hv_stand import until

from iocs.hv.line import Complaints, Counters, Line, Priority
from iocs.hv.protocol import BadReply, Disconnected, Rejected, Request, Timeout, mon


class Board:
    """A board that answers one request at a time, when it is allowed to; `seen` are the parameters asked for."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.allowed = asyncio.Semaphore(0)
        self.spoil: dict[int, Callable[[bytes], bytes]] = {}
        """How to spoil the reply to the n-th request."""
        self._writers: set[asyncio.StreamWriter] = set()
        self.tasks: set[asyncio.Task[None]] = set()

    def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self.tasks.add(asyncio.create_task(self._client(reader, writer)))

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                text = line.decode().strip()
                parameter = text.partition("PAR:")[2].replace(",VAL:", "=")
                self.seen.append(parameter)
                await self.allowed.acquire()
                reply = b"#BD:00,CMD:OK"
                if "CMD:MON" in text:
                    reply += {"BDNAME": b",VAL:N1470", "BDNCH": b",VAL:4", "STAT": b",VAL:1;2;3;4"}.get(
                        parameter, b",VAL:1.00;2.00;3.00;4.00"
                    )
                reply += b"\r\n"
                writer.write(self.spoil.pop(len(self.seen), lambda data: data)(reply))
        writer.close()

    def allow(self, count: int = 1000) -> None:
        for _ in range(count):
            self.allowed.release()

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.close()


@contextlib.asynccontextmanager
async def connected(depth: int = 1, timeout: float = 5.0) -> AsyncIterator[tuple[Line, Board, Counters]]:
    board, counters = Board(), Counters()
    server = await asyncio.start_server(board.connect, "127.0.0.1", 0)
    address = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    options = {"depth": depth, "timeout": timeout, "connect_timeout": 5.0, "baud": 9600}
    line = await Line.connect(address, counters=counters, complaints=Complaints(), **options)
    task = asyncio.create_task(line.run())
    try:
        yield line, board, counters
    finally:
        line.close()
        board.allow()
        with pytest.raises(Disconnected):
            await task
        server.close()
        board.hang_up()
        await asyncio.gather(*board.tasks)


def order(name: str, value: str) -> Request:
    return Request(0, "SET", name, 0, value)


POLL = [mon(0, name, 4) for name in ("VMON", "IMON", "STAT", "VSET")]


async def test_writes_go_ahead_of_polls_and_urgent_ones_ahead_of_writes():
    async with connected() as (line, board, _):
        poll = asyncio.create_task(line.ask([mon(0, "STAT", 4)] * 3, Priority.POLL))
        await until(lambda: board.seen == ["STAT"])
        write = asyncio.create_task(line.ask([order("VSET", "1"), order("VSET", "2")], Priority.WRITE))
        urgent = asyncio.create_task(line.ask([Request(0, "SET", "OFF", 4)], Priority.URGENT))
        await asyncio.sleep(0)
        board.allow()
        await asyncio.gather(poll, write, urgent)
        assert board.seen == ["STAT", "OFF", "VSET=1", "VSET=2", "STAT", "STAT"]


async def test_dropped_writes_are_never_sent():
    async with connected() as (line, board, _):
        first = asyncio.create_task(line.ask([order("VSET", "1"), order("RUP", "1")], Priority.WRITE))
        await until(lambda: board.seen == ["VSET=1"])
        second = asyncio.create_task(line.ask([order("VSET", "2")], Priority.WRITE, retries=3))
        await asyncio.sleep(0)
        line.drop_writes("dropped: Down")
        urgent = asyncio.create_task(line.ask([Request(0, "SET", "OFF", 4)], Priority.URGENT))
        for task in (first, second):
            with pytest.raises(Rejected, match="dropped: Down"):
                await task
        board.allow()
        assert [reply.error for reply in await urgent] == [None]
        (reply,) = await line.ask([order("VSET", "3")], Priority.WRITE)
        assert reply.error is None
        assert board.seen == ["VSET=1", "OFF", "VSET=3"]


async def test_several_are_on_the_way_but_no_more_than_the_depth():
    async with connected(depth=3) as (line, board, _):
        poll = asyncio.create_task(line.ask([mon(0, "BDNAME", 4)] * 8, Priority.POLL))
        await until(lambda: board.seen)
        board.allow()
        assert len(await poll) == 8


SPOILED: dict[str, Callable[[bytes], bytes]] = {
    "garbage": lambda reply: b"\xff\x00?\r\n",
    "another board's": lambda reply: reply.replace(b"BD:00", b"BD:01"),
    "too many": lambda reply: reply + reply,
    "none": lambda reply: b"",
    "half": lambda reply: reply[:9],
}


@pytest.mark.parametrize("how", SPOILED)
async def test_writes_on_the_way_are_tried_again_in_order(how):
    async with connected(depth=8, timeout=0.3) as (line, board, counters):
        board.spoil[2] = SPOILED[how]
        writes = [asyncio.create_task(line.ask([order("VSET", str(i))], Priority.WRITE, retries=2)) for i in range(4)]
        board.allow()
        for task in writes:
            (reply,) = await task
            assert reply.error is None
        assert counters.bad_replies + counters.timeouts >= 1
        sets = [seen for seen in board.seen if seen.startswith("VSET")]
        assert sets[-1] == "VSET=3"
        assert [int(seen[5:]) for seen in sets[4:]] == sorted(int(seen[5:]) for seen in sets[4:])
        await until(lambda: "BDNAME" in board.seen and "BDNCH" in board.seen, "the line to prove itself")


@pytest.mark.parametrize(
    ("number", "how", "error"),
    [
        (3, "garbage", BadReply),
        (3, "none", BadReply),
        (4, "none", Timeout),
        (3, "half", BadReply),
        (4, "half", BadReply),
    ],
)
async def test_a_poll_fails_as_a_whole(number, how, error):
    async with connected(depth=8, timeout=0.3) as (line, board, _):
        board.spoil[number] = SPOILED[how]
        board.allow()
        with pytest.raises(error):
            await line.ask(POLL, Priority.POLL)
        assert len(await line.ask(POLL, Priority.POLL)) == 4


async def test_the_end_of_the_connection_fails_everything():
    async with connected(depth=2) as (line, board, _):
        poll = asyncio.create_task(line.ask(POLL, Priority.POLL))
        await until(lambda: board.seen)
        board.hang_up()
        with pytest.raises(Disconnected):
            await poll
        await asyncio.sleep(0)
        with pytest.raises(Disconnected):
            await line.ask(POLL, Priority.WRITE)


async def test_who_stops_waiting_disturbs_nobody():
    async with connected(depth=2) as (line, board, counters):
        poll = asyncio.create_task(line.ask(POLL, Priority.POLL))
        await until(lambda: board.seen)
        poll.cancel()
        board.allow()
        assert len(await line.ask(POLL, Priority.POLL)) == 4
        assert counters == Counters()


def test_complaints_come_once_a_minute(caplog):
    with caplog.at_level(logging.WARNING):
        complaints = Complaints()
        for number in range(100):
            complaints.add(f"complaint {number}")
        assert [record.getMessage() for record in caplog.records] == ["complaint 0"]
        short = Complaints(period=0.0)
        short.add("one")
        short.add("two")
        assert len(caplog.records) == 3
