"""Faults on demand, seen through real sockets."""

from __future__ import annotations

import re
import socket
import struct
import time
from collections.abc import Iterator

import pytest
from hv_sim_line import Client, Sim
from support import wait_until

NAME = "#BD:00,CMD:OK,VAL:N1470"


@pytest.fixture(scope="module")
def process() -> Iterator[Sim]:
    sim = Sim("--port", "0", "--boards", "3")
    yield sim
    assert sim.stop() == 0
    assert not re.search("Traceback|WARNING|ERROR", sim.process.text())


@pytest.fixture
def sim(process: Sim) -> Sim:
    """The simulator in good order, whatever the test before did."""
    process.do("clear")
    process.do("cable", state="plugged")
    process.do("speed", factor=1)
    process.do("interlock", board="all", on=False)
    process.do("local", board="all", on=False)
    process.do("load", target="all", megohms=100)
    process.do("temperature", target="all", celsius=30)
    process.do("power", board="all", action="cycle", boot=0)
    process.do("noise", volts=0, microamps=0, sparks=0)
    process.do("seed", seed=1)
    return process


@pytest.fixture
def client(sim: Sim) -> Iterator[Client]:
    with sim.connect() as client:
        yield client


def ask_name(client: Client, times: int = 1) -> None:
    client.send(*["00,CMD:MON,PAR:BDNAME"] * times)


class TestHealthyLine:
    def test_pipelined_questions_are_answered_in_order(self, client: Client) -> None:
        assert (
            client.asks(*[f"{n:02d},CMD:MON,PAR:BDSNUM" for n in (0, 1, 2)] * 200)
            == [f"#BD:{n:02d},CMD:OK,VAL:{1000 + n}" for n in (0, 1, 2)] * 200
        )

    def test_a_question_in_pieces(self, client: Client) -> None:
        for byte in b"$BD:00,CMD:MON,PAR:BDNAME\r\n":
            client.socket.sendall(bytes([byte]))
            time.sleep(0.001)
        assert client.line().decode() == NAME

    def test_silence_for_a_board_that_is_not_there(self, client: Client) -> None:
        assert client.asks("07,CMD:MON,PAR:BDNAME\r\n$BD:00,CMD:MON,PAR:BDNAME") == [NAME]
        assert client.silent()

    def test_only_cr_lf_ends_a_line(self, client: Client) -> None:
        client.socket.sendall(b"$BD:00,CMD:MON,PAR:BDNAME\n")
        assert client.silent()
        client.socket.sendall(b"\r\n")
        assert client.line() == b"#BD:00,CMD:ERR"

    def test_an_endless_line(self, client: Client) -> None:
        client.socket.sendall(b"$BD:00," + b"x" * 3_000_000)
        client.socket.sendall(b"\r\n$BD:00,CMD:MON,PAR:BDNAME\r\n")
        assert client.line() == b"#BD:00,CMD:ERR"
        assert client.line().decode() == NAME

    def test_several_clients_share_the_boards(self, sim: Sim, client: Client) -> None:
        with sim.connect() as other:
            assert other.ask("01,CMD:SET,CH:2,PAR:VSET,VAL:123.4") == "#BD:01,CMD:OK"
            assert client.ask("01,CMD:MON,CH:2,PAR:VSET") == "#BD:01,CMD:OK,VAL:0123.4"
            assert sim.do("status")["clients"] == 2
        wait_until(lambda: sim.do("status")["clients"] == 1)

    def test_a_client_that_never_reads_harms_nobody(self, sim: Sim, client: Client) -> None:
        with sim.connect() as deaf:
            deaf.socket.settimeout(1.0)
            with pytest.raises(TimeoutError):
                for _ in range(2000):
                    deaf.send(*["00,CMD:MON,CH:4,PAR:VMON"] * 1000)
            assert client.ask("00,CMD:MON,PAR:BDNAME") == NAME

    def test_real_time(self, sim: Sim, client: Client) -> None:
        sim.do("speed", factor=10)
        start = time.monotonic()
        client.asks("00,CMD:SET,CH:0,PAR:RUP,VAL:100", "00,CMD:SET,CH:0,PAR:VSET,VAL:500", "00,CMD:SET,CH:0,PAR:ON")
        wait_until(lambda: client.ask("00,CMD:MON,CH:0,PAR:STAT").endswith("00001"), 30)
        assert time.monotonic() - start > 0.45
        assert client.ask("00,CMD:MON,CH:4,PAR:VMON") == "#BD:00,CMD:OK,VAL:0500.0;0000.0;0000.0;0000.0"


class TestCable:
    def test_pulled_resets_and_refuses_until_plugged(self, sim: Sim, client: Client) -> None:
        ask_name(client)
        assert client.line().decode() == NAME
        sim.do("cable", state="pulled")
        with pytest.raises((ConnectionError, EOFError)):
            client.line()
        with pytest.raises(ConnectionRefusedError):
            sim.connect()
        sim.do("cable", state="pulled")
        sim.do("cable", state="plugged")
        with sim.connect() as again:
            assert again.ask("00,CMD:MON,PAR:BDNAME") == NAME

    def test_silent_keeps_connections(self, sim: Sim, client: Client) -> None:
        sim.do("cable", state="silent")
        ask_name(client)
        assert client.silent()
        with sim.connect() as other:
            ask_name(other)
            assert other.silent()
        sim.do("cable", state="plugged")
        ask_name(client)
        assert client.line().decode() == NAME
        assert client.silent(), "what was asked meanwhile is lost"

    def test_outputs_live_on_without_a_cable(self, sim: Sim, client: Client) -> None:
        client.asks("00,CMD:SET,CH:0,PAR:RUP,VAL:500", "00,CMD:SET,CH:0,PAR:VSET,VAL:50", "00,CMD:SET,CH:0,PAR:ON")
        sim.do("cable", state="pulled")
        sim.wait_for_bits("B0C0", ["ON"])


class TestSpoiled:
    def spoil(self, sim: Sim, client: Client, how: str, times: int = 3) -> None:
        sim.do("spoil", how=how, count=times)
        ask_name(client, times)

    def test_slow(self, sim: Sim, client: Client) -> None:
        sim.do("slow", seconds=0.2)
        start = time.monotonic()
        ask_name(client, 3)
        assert [client.line().decode() for _ in range(3)] == [NAME] * 3
        assert time.monotonic() - start > 0.55
        sim.do("clear")
        ask_name(client)
        assert client.line().decode() == NAME

    def test_slow_by_the_byte(self, sim: Sim, client: Client) -> None:
        sim.do("slow", seconds=0.005, per_byte=True)
        start = time.monotonic()
        assert client.ask("00,CMD:MON,PAR:BDNAME") == NAME
        assert time.monotonic() - start > 0.1

    def test_slow_holds_back_questions(self, sim: Sim, client: Client) -> None:
        sim.do("slow", seconds=0.001)
        ask_name(client, 600)
        assert {client.line().decode() for _ in range(600)} == {NAME}

    def test_garbage(self, sim: Sim, client: Client) -> None:
        self.spoil(sim, client, "garbage", 20)
        for _ in range(20):
            assert client.line().decode("latin1") != NAME
        assert client.ask("00,CMD:MON,PAR:BDNAME") == NAME

    def test_half(self, sim: Sim, client: Client) -> None:
        self.spoil(sim, client, "half", 1)
        sticky = client.ask("00,CMD:MON,PAR:BDNAME")
        assert sticky.endswith(NAME)
        assert NAME.startswith(sticky.removesuffix(NAME))
        assert sticky != NAME

    def test_cut(self, sim: Sim, client: Client) -> None:
        self.spoil(sim, client, "cut")
        for _ in range(3):
            line = client.line().decode()
            assert NAME.startswith(line)
            assert line != NAME

    def test_silence(self, sim: Sim, client: Client) -> None:
        self.spoil(sim, client, "silence")
        assert client.silent()
        assert client.ask("00,CMD:MON,PAR:BDNAME") == NAME

    def test_wrong_board(self, sim: Sim, client: Client) -> None:
        self.spoil(sim, client, "wrong-board")
        assert {client.line().decode() for _ in range(3)} == {"#BD:01,CMD:OK,VAL:N1470"}

    def test_stale(self, sim: Sim, client: Client) -> None:
        sim.do("spoil", how="stale")
        client.send("00,CMD:MON,PAR:BDNAME", "01,CMD:MON,PAR:BDSNUM", "02,CMD:MON,PAR:BDSNUM")
        assert client.line().decode() == NAME
        assert client.line().decode() == "#BD:01,CMD:OK,VAL:1001"
        assert client.silent()
        sim.do("clear")
        assert client.ask("00,CMD:MON,PAR:BDNAME") == NAME

    def test_duplicate(self, sim: Sim, client: Client) -> None:
        self.spoil(sim, client, "duplicate", 1)
        assert [client.line().decode() for _ in range(2)] == [NAME] * 2
        assert client.silent()

    def test_merge(self, sim: Sim, client: Client) -> None:
        self.spoil(sim, client, "merge", 1)
        assert client.ask("01,CMD:MON,PAR:BDSNUM") == NAME + "#BD:01,CMD:OK,VAL:1001"

    def test_one_board_only(self, sim: Sim, client: Client) -> None:
        sim.do("spoil", how="silence", board="B1")
        client.send("00,CMD:MON,PAR:BDNAME", "01,CMD:MON,PAR:BDNAME", "02,CMD:MON,PAR:BDSNUM")
        assert client.line().decode() == NAME
        assert client.line().decode() == "#BD:02,CMD:OK,VAL:1002"

    def test_sometimes(self, sim: Sim, client: Client) -> None:
        sim.do("spoil", how="wrong-board", probability=0.5)
        ask_name(client, 200)
        good = sum(client.line().decode() == NAME for _ in range(200))
        assert 60 < good < 140

    def test_a_client_that_leaves_in_the_middle(self, sim: Sim, client: Client) -> None:
        sim.do("spoil", how="duplicate")
        for _ in range(10):
            with sim.connect() as rude:
                rude.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close resets
                ask_name(rude, 2000)
        ask_name(client)
        assert client.line().decode() == NAME  # the log's silence is checked at the end


class TestHardware:
    def test_short_circuit_trips(self, sim: Sim, client: Client) -> None:
        assert set(
            client.asks(
                *[
                    f"00,CMD:SET,CH:1,PAR:{p}"
                    for p in ("RUP,VAL:500", "VSET,VAL:100", "ISET,VAL:50", "TRIP,VAL:0.2", "ON")
                ]
            )
        ) == {"#BD:00,CMD:OK"}
        sim.wait_for_bits("B0C1", ["ON"])
        sim.do("load", target="B0C1", megohms=0)
        sim.wait_for_bits("B0C1", ["TRIP"])
        assert client.ask("00,CMD:MON,CH:1,PAR:STAT") == "#BD:00,CMD:OK,VAL:00128"
        assert client.ask("00,CMD:MON,PAR:BDALARM") == "#BD:00,CMD:OK,VAL:00002"
        sim.do("load", target="b0c1", megohms=None)
        assert client.asks("00,CMD:SET,PAR:BDCLR", "00,CMD:MON,CH:1,PAR:STAT")[1].endswith("00000")

    def test_interlock(self, sim: Sim, client: Client) -> None:
        client.asks("02,CMD:SET,CH:4,PAR:ON")
        sim.do("interlock", board="B2", on=True)
        assert client.ask("02,CMD:MON,PAR:BDILK") == "#BD:02,CMD:OK,VAL:YES"
        assert client.ask("01,CMD:MON,PAR:BDILK") == "#BD:01,CMD:OK,VAL:NO"
        assert client.ask("02,CMD:MON,CH:4,PAR:STAT").endswith(";".join(["04096"] * 4))
        sim.do("interlock", board="B2", on=False)
        assert client.ask("02,CMD:MON,CH:4,PAR:STAT").endswith(";".join(["00000"] * 4))

    def test_local(self, sim: Sim, client: Client) -> None:
        sim.do("local", board="B1", on=True)
        assert client.ask("01,CMD:SET,CH:0,PAR:ON") == "#BD:01,LOC:ERR"
        assert client.ask("00,CMD:SET,CH:0,PAR:OFF") == "#BD:00,CMD:OK"

    def test_power_cycle(self, sim: Sim, client: Client) -> None:
        client.asks("01,CMD:SET,CH:0,PAR:VSET,VAL:77", "01,CMD:SET,CH:0,PAR:ON")
        sim.do("power", board="B1", action="off")
        client.send("01,CMD:MON,PAR:BDNAME")
        assert client.silent()
        sim.do("power", board="B1", action="on", boot=0)
        assert client.ask("01,CMD:MON,CH:0,PAR:STAT") == "#BD:01,CMD:OK,VAL:00000"
        assert client.ask("01,CMD:MON,CH:0,PAR:VSET") == "#BD:01,CMD:OK,VAL:0077.0"

    def test_temperature_and_the_rest(self, sim: Sim, client: Client) -> None:
        sim.do("temperature", target="B0C3", celsius=120)
        sim.do("disable", target="B0C0", on=True)
        sim.do("kill", target="B0C1", on=True)
        sim.do("nocal", target="B0C2", on=True)
        assert client.ask("00,CMD:MON,CH:4,PAR:STAT").endswith("VAL:01024;02048;08192;00512")
        sim.do("temperature", target="B0", celsius=None)
        for what in ("disable", "kill", "nocal"):
            sim.do(what, target="B0", on=False)
        sim.do("fail", board="B0", what="power")
        sim.do("fail", board="B0", what="clock")
        word = client.ask("00,CMD:MON,PAR:BDALARM")
        assert int(word.rpartition(":")[2]) & 0b1010000 == 0b1010000
        sim.do("fail", board="B0", what="power", on=False)
        sim.do("fail", board="B0", what="clock", on=False)

    def test_spark_and_noise(self, sim: Sim, client: Client) -> None:
        client.asks("00,CMD:SET,CH:0,PAR:RUP,VAL:500", "00,CMD:SET,CH:0,PAR:VSET,VAL:200", "00,CMD:SET,CH:0,PAR:ON")
        sim.wait_for_bits("B0C0", ["ON"])
        sim.do("spark", target="B0C0", seconds=600, factor=1000)
        sim.wait_for_bits("B0C0", ["ON", "OVC"])
        sim.do("load", target="B0C0", megohms=100)
        sim.wait_for_bits("B0C0", ["ON"])
        sim.do("noise", volts=1.0)
        seen = set()

        def noisy() -> bool:
            seen.add(client.ask("00,CMD:MON,CH:0,PAR:VMON"))
            return len(seen) > 5

        wait_until(noisy)


class TestControlPort:
    @pytest.mark.parametrize(
        ("line", "why"),
        [
            (b"", "not JSON"),
            (b"{", "not JSON"),
            (b"\xff", "not JSON"),
            (b"[" * 10000, "not JSON"),
            (b"[]", "an object"),
            (b"{}", "an object"),
            (b'{"do": 1}', "an object"),
            (b'{"do": "fly"}', "no such request"),
            (b'{"do": "cable"}', "missing"),
            (b'{"do": "cable", "state": "pulled", "x": 1}', "unexpected"),
            (b'{"do": "cable", "state": "cut"}', "one of plugged, pulled, silent"),
            (b'{"do": "cable", "state": []}', "one of plugged"),
            (b'{"do": "slow", "seconds": -1}', "from 0 to 600"),
            (b'{"do": "slow", "seconds": NaN}', "from 0 to 600"),
            (b'{"do": "slow", "seconds": "1"}', "is a number"),
            (b'{"do": "slow", "seconds": true}', "is a number"),
            (b'{"do": "spoil", "how": "fire"}', "one of garbage"),
            (b'{"do": "load", "target": "L07", "megohms": 5}', "no channel 'L07'"),
            (b'{"do": "load", "target": "B0C4", "megohms": 5}', "channels 0 to 3"),
            (b'{"do": "load", "target": "B9C0", "megohms": 5}', "no board"),
            (b'{"do": "interlock", "board": "B9", "on": true}', "there are: B0, B1, B2"),
            (b'{"do": "interlock", "board": "B0", "on": 1}', "true or false"),
            (b'{"do": "power", "board": "B0", "action": "x"}', "off, on or cycle"),
            (b'{"do": "fail", "board": "B0", "what": "x"}', "power or clock"),
            (b'{"do": "seed", "seed": 1e99}', "is a number"),
        ],
    )
    def test_refusals_say_why(self, sim: Sim, line: bytes, why: str) -> None:
        reply = sim.raw_control(line)
        assert reply["ok"] is False
        assert why in reply["error"]
        assert sim.do("status")["cable"] == "plugged"

    def test_an_endless_line_ends_its_connection_only(self, sim: Sim) -> None:
        with Client(sim.control_address) as other, pytest.raises((ConnectionError, EOFError)):
            other.socket.sendall(b"x" * 1_000_000)
            other.line()
        assert sim.do("status")["ok"]

    def test_status(self, sim: Sim, client: Client) -> None:
        before = sim.do("status")["counters"]
        client.asks("00,CMD:MON,PAR:BDNAME", "00,CMD:MON,PAR:FOO")
        client.send("09,CMD:MON,PAR:BDNAME")
        client.ask("00,CMD:MON,PAR:BDNAME")
        status = sim.do("status")
        after = status["counters"]
        assert {name: after[name] - before[name] for name in ("requests", "errors", "unanswered")} == {
            "requests": 4,
            "errors": 1,
            "unanswered": 1,
        }
        assert [board["name"] for board in status["boards"]] == ["B0", "B1", "B2"]
        assert re.fullmatch(r"tcp://127\.0\.0\.1:\d+", status["address"])
