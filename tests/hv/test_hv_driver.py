"""The driver against the simulator in a process of its own: faults cost readings, and never give a wrong one."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from hv_stand import Recorder, Simulator, driving, until

from iocs.hv.driver import BadReply, BoardSpec, Disconnected, Driver, Rejected, Setting, Timeout
from iocs.hv.stream import split_address

pytestmark = pytest.mark.timeout(180)

TRUTH = {
    "VSET": lambda b, c: 100.0 * b + 10 * c + 1.5,
    "ISET": lambda b, c: 300.0 + 10 * b + c + 0.25,
    "MAXV": lambda b, c: 4000.0 + 100 * b + c,
    "RUP": lambda b, c: 20.0 + 10 * b + c,
    "RDW": lambda b, c: 220.0 + 10 * b + c,
    "TRIP": lambda b, c: 20.0 + 5 * b + c + 0.5,
}
"""What each channel of each board is set to: nothing twice, so that a reply in a wrong place shows."""


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    simulator = Simulator("--no-noise", "--port", "0", "--boards", "3")
    yield simulator
    simulator.stop()


@pytest.fixture
async def line(simulator: Simulator) -> AsyncIterator[tuple[Simulator, Driver, Recorder]]:
    """A driver that has met all three boards, with known settings."""
    simulator.heal()
    async with driving(simulator.address, timeout=1.0) as (driver, recorder):
        await until(lambda: len(recorder.boards()) == 3, "all boards")
        settings = [
            Setting(f"B{b}", name, c, of(b, c)) for b in range(3) for c in range(4) for name, of in TRUTH.items()
        ]
        assert await driver.write(settings) == {}
        recorder.readings.clear()
        yield simulator, driver, recorder
    simulator.heal()


def _check_truth(recorder: Recorder) -> int:
    """Every value told is the one that is there; how many readings there were."""
    for _, board, reading in recorder.readings:
        number = int(board[1:])
        for name, of in TRUTH.items():
            if name in reading:
                assert reading[name] == tuple(of(number, c) for c in range(4)), (board, name)
        if "VMON" in reading:
            assert reading["VMON"] == (0.0,) * 4
            assert reading["IMON"] == (0.0,) * 4
            assert reading["STAT"] == (0,) * 4
    return len(recorder.readings)


async def test_boards_say_who_they_are_and_what_they_can(line):
    _, _, recorder = line
    assert recorder.boards() == {"B0", "B1", "B2"}
    _, identity, reading = next(c for c in recorder.contacts if c[0] == "B1")
    assert (identity.model, identity.channels) == ("N1470", 4)
    assert identity.serial and identity.firmware
    volts, rates = identity.ranges["VSET"][0], identity.ranges["RUP"][0]
    assert (volts.lowest, volts.highest, volts.decimals) == (0.0, 8000.0, 1)
    assert (rates.lowest, rates.highest, rates.decimals) == (1.0, 500.0, 0)
    assert identity.widths["STAT"] == 5
    assert reading["BDCTR"] == ("REMOTE",)
    await until(lambda: recorder.last("B2", "TRIP"))
    assert _check_truth(recorder) > 0


async def test_a_setting_is_written_and_read_back(line):
    simulator, driver, recorder = line
    assert await driver.write([Setting("B1", "VSET", 2, 1234.56), Setting("B1", "PDWN", None, "RAMP")]) == {}
    assert simulator.channel(1, 2)["vset"] == 1234.6
    assert recorder.last("B1", "VSET")[2] == 1234.6
    assert await driver.write([Setting("B1", "VSET", 2, 121.5), Setting("B1", "ON", 2)]) == {}
    assert simulator.channel(1, 2)["on"]
    assert await driver.write([Setting("B1", "OFF", 2)]) == {}
    assert not simulator.channel(1, 2)["on"]
    await until(lambda: simulator.channel(1, 2)["vmon"] == 0.0)


async def test_what_the_device_refuses_is_rejected_with_its_word(line):
    simulator, driver, _ = line
    simulator.do("local", board="B1", on=True)
    try:
        failed = await driver.write([Setting("B1", "VSET", 0, 100.0), Setting("B0", "VSET", 0, 1.5)])
        ((setting, error),) = failed.items()
        assert setting.board == "B1"
        assert isinstance(error, Rejected)
        assert "LOCAL" in str(error) and "LOC:ERR" in str(error)
    finally:
        simulator.do("local", board="B1", on=False)
    failed = await driver.write([Setting("B2", "BDILKM", None, "SIDEWAYS")])
    assert "VAL:ERR" in str(*failed.values())
    failed = await driver.write([Setting("B2", "VSET", 0, 8000.1)])
    assert "outside of 0 to 8000" in str(*failed.values())
    simulator.do("disable", target="B2C0", on=True)
    try:
        failed = await driver.write([Setting("B2", "ON", 0)])
        assert "stays off" in str(*failed.values())
    finally:
        simulator.do("disable", target="B2C0", on=False)


@pytest.mark.parametrize(
    "how", ["garbage", "half", "cut", "silence", "wrong-board", "stale", "duplicate", "merge"]
)  # fmt: skip
async def test_a_spoiled_reply_is_never_a_value(line, how):
    simulator, driver, recorder = line
    before = driver.counters.bad_replies + driver.counters.timeouts
    simulator.do("seed", seed=5)
    simulator.do("spoil", how=how, probability=0.03)
    await until(lambda: driver.counters.bad_replies + driver.counters.timeouts > before + 3, "something spoiled")
    # writing goes on: what is reported as done is done
    for value in (101.5, 102.5, 103.5):
        if not await driver.write([Setting("B1", "VSET", 0, value)]):
            assert simulator.channel(1, 0)["vset"] == value
    simulator.do("clear")
    await until(lambda: recorder.last("B1", "VSET"), "a reading")
    for _ in range(100):
        if not await driver.write([Setting("B1", "VSET", 0, TRUTH["VSET"](1, 0))]):
            break
        await asyncio.sleep(0.1)
    recorder.readings[:] = [
        (when, board, {k: v for k, v in reading.items() if (board, k) != ("B1", "VSET")})
        for when, board, reading in recorder.readings
    ]
    start = len(recorder.readings)
    await until(lambda: {b for _, b, r in recorder.readings[start:] if "VSET" in r} == {"B0", "B1", "B2"}, "healing")
    assert _check_truth(recorder) > 0


async def test_a_line_of_nothing_but_garbage_is_told_and_heals(line, caplog):
    simulator, driver, recorder = line
    with caplog.at_level(logging.WARNING):
        simulator.do("spoil", how="garbage")
        await until(lambda: {board for _, board, _ in recorder.losses} == {"B0", "B1", "B2"}, "all boards lost")
        before = driver.counters.bad_replies
        await until(lambda: driver.counters.bad_replies > before + 6, "more garbage")
    noise = [r for r in caplog.records if r.name == "iocs.hv.line"]
    assert len(noise) <= 2, "the log gets a line a minute"
    simulator.do("clear")
    recorder.readings.clear()
    await until(lambda: {board for _, board, _ in recorder.readings} == {"B0", "B1", "B2"}, "all boards back")
    _check_truth(recorder)


@pytest.mark.parametrize("state", ["pulled", "silent"])
async def test_a_pulled_cable_is_noticed_and_comes_back(line, state):
    simulator, driver, recorder = line
    await asyncio.sleep(0.2)
    recorder.losses.clear()
    pulled = time.monotonic()
    simulator.do("cable", state=state)
    await until(lambda: len({board for _, board, _ in recorder.losses}) == 3, "all boards lost")
    took = max(when for when, _, _ in recorder.losses[:3]) - pulled
    assert took < 6.0, "2 s on an idle machine"
    assert all(isinstance(error, Disconnected | Timeout) for _, _, error in recorder.losses)
    (error,) = (await driver.write([Setting("B0", "VSET", 0, 5.0)])).values()
    assert isinstance(error, Disconnected | Timeout)
    reconnects = driver.counters.reconnects
    contacts = len(recorder.contacts)
    simulator.do("cable", state="plugged")
    await until(lambda: len(recorder.contacts) >= contacts + 3, "all boards again")
    assert driver.counters.reconnects >= reconnects
    assert await driver.write([Setting("B0", "VSET", 0, TRUTH["VSET"](0, 0))]) == {}


async def test_a_silent_board_costs_the_others_little(line):
    simulator, _, recorder = line
    simulator.do("power", board="B1", action="off")
    try:
        await until(lambda: [b for _, b, _ in recorder.losses] and recorder.losses[-1][1] == "B1", "B1 lost")
        assert {board for _, board, _ in recorder.losses} == {"B1"}
        recorder.readings.clear()
        start = time.monotonic()
        await until(lambda: sum(board == "B2" for _, board, _ in recorder.readings) >= 20, "readings of B2")
        assert not any(board == "B1" for _, board, _ in recorder.readings)
        gaps = [when for when, board, _ in recorder.readings if board == "B2"]
        assert max(b - a for a, b in zip([start, *gaps], gaps, strict=False)) < 5.0
        assert isinstance(recorder.losses[-1][2], Timeout)
    finally:
        contacts = len(recorder.contacts)
        simulator.do("power", board="B1", action="on", boot=0.2)
    await until(lambda: len(recorder.contacts) > contacts, "B1 again")
    assert recorder.contacts[-1][0] == "B1"


async def test_a_board_that_was_never_there(simulator):
    simulator.heal()
    specs = [BoardSpec("X", 17), BoardSpec("B0", 0), BoardSpec("Y", 18), BoardSpec("B2", 2)]
    async with driving(simulator.address, specs, timeout=1.0) as (driver, recorder):
        await until(lambda: recorder.boards() == {"B0", "B2"}, "the boards that are there")
        await until(lambda: {board for _, board, _ in recorder.losses} == {"X", "Y"}, "the others told")
        count = len(recorder.cycles)
        await until(lambda: len(recorder.cycles) > count + 10, "cycles go on")
        (error,) = (await driver.write([Setting("X", "VSET", 0, 5.0)])).values()
        assert "X is not connected" in str(error) and "no answer" in str(error)


async def test_the_wrong_box_is_refused(simulator):
    simulator.heal()
    specs = [BoardSpec("B0", 0, model="N1471"), BoardSpec("B1", 1, channels=2), BoardSpec("B2", 2)]
    async with driving(simulator.address, specs, timeout=1.0) as (_, recorder):
        await until(lambda: len({b for _, b, _ in recorder.losses}) == 2 and recorder.contacts, "two refused")
        assert recorder.boards() == {"B2"}
        told = {board: str(error) for _, board, error in recorder.losses if isinstance(error, Rejected)}
        assert "'N1470'" in told["B0"] and "'N1471'" in told["B0"]
        assert "4" in told["B1"] and "2" in told["B1"]


async def test_a_serial_line():
    simulator = Simulator("--no-noise", "--pty", "--boards", "2")
    try:
        async with driving(simulator.address, 2) as (driver, recorder):
            await until(lambda: len(recorder.boards()) == 2, "both boards")
            assert await driver.write([Setting("B1", "VSET", 3, 77.5)]) == {}
            assert simulator.channel(1, 3)["vset"] == 77.5
            simulator.do("slow", seconds=0.0005, per_byte=True)
            count = len(recorder.readings)
            await until(lambda: len(recorder.readings) > count + 4, "readings from a slow line")
    finally:
        simulator.stop()


async def test_nobody_listens_and_the_address_is_not_known_yet():
    where: list[str] = []

    def address() -> str:
        if not where:
            raise ConnectionError("the simulator has not started")
        return where[0]

    async with driving(address) as (_, recorder):
        await until(lambda: recorder.losses)
        assert "not started" in str(recorder.losses[0][2])
        where.append("tcp://127.0.0.1:1")
        await until(lambda: "cannot connect" in str(recorder.losses[-1][2]))
        where[0] = "serial:///dev/there-is-no-such-port"
        await until(lambda: "there-is-no-such-port" in str(recorder.losses[-1][2]))


class Stranger:
    """A server that answers as `answer` says, from a line without its end to bytes."""

    def __init__(self, answer):
        self.answer, self.clients = answer, 0

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._client, "127.0.0.1", 0)
        return f"tcp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.clients += 1
        try:
            while line := await reader.readline():
                writer.write(self.answer(line.rstrip()))
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


@pytest.mark.parametrize(
    "answer",
    [
        lambda line: b"HTTP/1.1 400 Bad Request\r\n\r\n",
        lambda line: b"x" * 5000,
        lambda line: b"\x00\xff\r\n" * 50,
        lambda line: line + b"\r\n",
        lambda line: b"#BD:00,CMD:OK,VAL:N1470\r\n#BD:00,CMD:OK,VAL:N1470\r\n",
        lambda line: b"#BD:00,CMD:OK,VAL:N1470\r\n",
        lambda line: b"#BD:00,PAR:ERR\r\n",
    ],
    ids=["http", "endless", "binary", "echo", "twice", "parrot", "refusal"],
)
async def test_a_box_that_is_none_gives_no_value(answer):
    stranger = Stranger(answer)
    async with stranger as address, driving(address, 1) as (_, recorder):
        await until(lambda: len(recorder.losses) > 2, "told that it is none")
        assert recorder.contacts == [] and recorder.readings == []
        assert all(isinstance(error, BadReply | Disconnected | Rejected | Timeout) for _, _, error in recorder.losses)


@pytest.mark.parametrize(
    "address", ["", "tcp://", "tcp://host:99999", "udp://host:1", "serial://", "host:1470", "tcp://h/x", "serial://a/b"]
)
def test_an_address_that_is_none(address):
    with pytest.raises(ValueError, match="right: tcp://host:1470"):
        split_address(address)


def test_addresses():
    assert split_address("tcp://hv1:1470") == ("tcp", "hv1", 1470)
    assert split_address("tcp://hv1") == ("tcp", "hv1", 1470)
    assert split_address("serial:///dev/ttyUSB0") == ("serial", "/dev/ttyUSB0", 0)
