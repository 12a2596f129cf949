"""The simulator as a process: its command line, its pseudo-terminal, how it starts and ends."""

from __future__ import annotations

import ast
import json
import os
import select
import signal
import subprocess
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
from hv_sim_line import Client, Sim, serve_argv
from support import ROOT, Process, free_port, owl, start, wait_until
from typer.testing import CliRunner

from iocs.hv.simulator_cli import app

SITE = """
[site]
name = "SIMT"
[[ioc]]
system = "HV"
kind = "hv"
backend = "sim"
[ioc.config]
boards = [{ name = "LEFT", address = 7 }, { name = "RIGHT", address = 2 }]
channels = [
  { alias = "L07", board = "LEFT", ch = 2, layer = 7, vdef = 2000.0 },
  { alias = "R1", board = "RIGHT", ch = 0, layer = -1 },
]
"""


def ctl(*options: str, code: int = 0, env: dict[str, str] | None = None) -> str:
    """Output of `owl sim hv ctl`, which must end with `code`."""
    environment = {"OWLSHIFT_STATE": None, "OWLSHIFT_SITE": None, **(env or {})}
    done = CliRunner().invoke(app, ["ctl", *options], env=environment)
    assert done.exit_code == code, (done.exit_code, done.output, done.exception)
    return done.stdout if code == 0 else done.stderr


@pytest.fixture(scope="module")
def alone() -> Iterator[Sim]:
    sim = Sim("--port", "0", "--boards", "2")
    yield sim
    assert sim.stop() == 0


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path, Process]]:
    """A site file, its state folder and its simulator."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "site.toml").write_text(SITE)
    process = start(serve_argv("--site", str(folder / "site.toml"), "--state", str(folder / "state")), timeout=60)
    yield folder / "site.toml", folder / "state", process
    assert process.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_cleanly_with_clients_connected(number: int) -> None:
    sim = Sim("--port", "0", "--boards", "1")
    with sim.connect() as client:
        assert client.ask("00,CMD:MON,PAR:BDNCH") == "#BD:00,CMD:OK,VAL:4"
        sim.do("slow", seconds=100)
        client.send("00,CMD:MON,PAR:BDNCH")
        sim.process.signal(number)
        assert sim.process.wait() == 0
    sim.close_control()
    assert len(sim.process.log) == 1, sim.process.text()


def test_port_in_use(alone: Sim) -> None:
    port = alone.address.rpartition(":")[2]
    process = Process(serve_argv("--port", port))
    assert process.wait(60) == 1
    assert len(process.log) == 1
    assert "address already in use" in process.log[0]


def test_a_given_port_and_control_port() -> None:
    port, control = free_port(), free_port()
    sim = Sim("--port", str(port), "--control-port", str(control), "--boards", "32", "--no-padded", "--mask", "none")
    assert sim.address == f"tcp://127.0.0.1:{port}"
    assert sim.control_address == f"tcp://127.0.0.1:{control}"
    with sim.connect() as client:
        assert client.asks(*[f"{n:02d},CMD:MON,CH:4,PAR:VMON" for n in range(32)]) == [
            f"#BD:{n:02d},CMD:OK,VAL:0.0;0.0;0.0;0.0" for n in range(32)
        ]
    assert sim.stop() == 0


def test_usage_errors_end_with_2(tmp_path: Path) -> None:
    for options in (
        ["--boards", "0"],
        ["--boards", "33"],
        ["--port", "x"],
        ["--mask", "down"],
        ["--site", "/none.toml"],
    ):
        process = Process(serve_argv(*options))
        assert process.wait(60) == 2, process.text()
    (tmp_path / "bad.toml").write_text(SITE.replace("address = 7", "adress = 7"))
    process = Process(serve_argv("--site", str(tmp_path / "bad.toml")))
    assert process.wait(60) == 2
    assert "adress" in process.text()
    (tmp_path / "good.toml").write_text(SITE)
    process = Process(serve_argv("--site", str(tmp_path / "good.toml"), "--system", "LV"))
    assert process.wait(60) == 2
    assert "no IOC 'LV'" in process.text()


class TestPty:
    @pytest.fixture
    def sim(self) -> Iterator[Sim]:
        sim = Sim("--pty", "--boards", "2")
        yield sim
        assert sim.stop() == 0
        assert "Traceback" not in sim.process.text()

    @pytest.fixture
    def terminal(self, sim: Sim) -> Iterator[int]:
        path = sim.address.removeprefix("serial://")
        assert path.startswith("/dev/")
        handle = os.open(path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(handle)
        yield handle
        os.close(handle)

    def read(self, handle: int, end: bytes, timeout: float = 20.0) -> bytes:
        data, deadline = b"", time.monotonic() + timeout
        while not data.endswith(end):
            ready, _, _ = select.select([handle], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, data
            data += os.read(handle, 4096)
        return data

    def test_same_bytes_as_over_tcp(self, terminal: int) -> None:
        os.write(
            terminal, b"$BD:01,CMD:MON,CH:4,PAR:VMON\r\n$BD:09,CMD:MON,PAR:BDNAME\r\n$BD:00,CMD:SET,CH:0,PAR:ON\r\n"
        )
        assert self.read(terminal, b"OK\r\n") == b"#BD:01,CMD:OK,VAL:0000.0;0000.0;0000.0;0000.0\r\n#BD:00,CMD:OK\r\n"

    def test_every_byte_value_passes(self, terminal: int) -> None:
        os.write(terminal, bytes(range(256)) + b"\r\n$BD:00,CMD:MON,PAR:BDNCH\r\n")
        assert self.read(terminal, b"\n") == b"#BD:00,CMD:OK,VAL:4\r\n"

    def test_a_client_may_come_again(self, sim: Sim, terminal: int) -> None:
        for _ in range(3):
            handle = os.open(sim.address.removeprefix("serial://"), os.O_RDWR | os.O_NOCTTY)
            os.write(handle, b"$BD:00,CMD:MON,PAR:BDNCH\r\n")
            assert self.read(handle, b"\n") == b"#BD:00,CMD:OK,VAL:4\r\n"
            os.close(handle)

    def test_a_reader_that_sleeps(self, sim: Sim, terminal: int) -> None:
        os.set_blocking(terminal, False)
        sent = 0
        while sent < 20_000:  # far more than the terminal's buffers hold
            _, writable, _ = select.select([], [terminal], [], 1.0)
            if not writable:
                break
            sent += os.write(terminal, b"$BD:00,CMD:MON,CH:4,PAR:VMON\r\n" * 10) // 31
        assert sim.do("status")["ok"]

    def test_pulled_cable_is_silence(self, sim: Sim, terminal: int) -> None:
        sim.do("cable", state="pulled")
        os.write(terminal, b"$BD:00,CMD:MON,PAR:BDNCH\r\n")
        wait_until(lambda: sim.do("status")["cable"] == "pulled")
        assert select.select([terminal], [], [], 0.3)[0] == []
        sim.do("cable", state="plugged")
        os.write(terminal, b"$BD:00,CMD:MON,PAR:BDNCH\r\n")
        assert self.read(terminal, b"\n") == b"#BD:00,CMD:OK,VAL:4\r\n"


class TestSite:
    def test_says_where_it_is(self, site: tuple[Path, Path, Process]) -> None:
        _, state, process = site
        place = json.loads((state / "run" / "sim-hv.json").read_text())
        assert process.log[0] == f"ready {place['address']} control {place['control']}"
        with Client(place["address"]) as client:
            assert client.ask("07,CMD:MON,PAR:BDNAME") == "#BD:07,CMD:OK,VAL:N1470"
            assert client.ask("2,CMD:MON,PAR:BDNCH") == "#BD:02,CMD:OK,VAL:4"
            client.send("00,CMD:MON,PAR:BDNAME")
            assert client.silent()

    def test_aliases(self, site: tuple[Path, Path, Process]) -> None:
        _, state, _ = site
        assert ctl("--state", str(state), "load", "L07", "5") == "L07: load 5 MOhm\n"
        assert ctl("--state", str(state), "load", "rightC0", "0").startswith("rightC0")
        text = ctl("status", env={"OWLSHIFT_STATE": str(state)})
        assert "LEFT" in text
        loads = {
            line.split()[0]: line.partition("load ")[2].split("  ")[0] for line in text.splitlines() if "load" in line
        }
        assert loads["L07"] == "5 MOhm"
        assert loads["R1"] == "0 MOhm"
        assert loads["B2C1"] == "100 MOhm"

    def test_by_site_file(self, site: tuple[Path, Path, Process]) -> None:
        path, state, _ = site
        reply = json.loads(ctl("--site", str(path), "--state", str(state), "status", "--json"))
        assert [board["number"] for board in reply["boards"]] == [7, 2]

    def test_takes_its_place_away(self, tmp_path: Path) -> None:
        place = tmp_path / "run" / "sim-hv.json"
        process = start(serve_argv("--port", "0", "--state", str(tmp_path)), timeout=60)
        assert json.loads(place.read_text())["pid"] == process.pid
        assert process.stop() == 0
        assert not place.exists()
        process = start(serve_argv("--port", "0", "--state", str(tmp_path)), timeout=60)
        place.write_text("another's")
        assert process.stop() == 0
        assert place.read_text() == "another's"


class TestCtl:
    COMMANDS = (
        ("cable pull", {"cable": "pulled"}),
        ("cable plug", {"cable": "plugged"}),
        ("cable pull --silent", {"cable": "silent"}),
        ("cable plug", {"cable": "plugged"}),
        ("slow 0.5", {"slow": {"seconds": 0.5, "per_byte": False}}),
        ("slow 0.001 --per-byte", {"slow": {"seconds": 0.001, "per_byte": True}}),
        (
            "spoil wrong-board --probability 0.5 --count 7 --board B1",
            {"spoil": [{"how": "wrong-board", "probability": 0.5, "count": 7, "board": 1}]},
        ),
        ("clear", {"spoil": [], "slow": {"seconds": 0.0, "per_byte": False}}),
        ("noise --volts 0.5 --sparks 0.1", {"noise": {"volts": 0.5, "microamps": 0.0, "sparks": 0.1}}),
        ("speed 2", {"speed": 2.0}),
    )
    BOARD_COMMANDS = (
        ("interlock B1 on", "interlocked", True),
        ("interlock all off", "interlocked", False),
        ("local B1 on", "local", True),
        ("local 1 off", "local", False),
        ("power B1 off", "running", False),
        ("power B1 on --boot 0", "running", True),
        ("fail B1 clock", "alarm", 64),
        ("fail B1 clock off", "alarm", 64),  # latched
    )
    CHANNEL_COMMANDS = (
        ("load B1C2 12.5", "megohms", 12.5),
        ("load B1 open --leakage 0", "megohms", None),
        ("temperature B1C2 120", "bits", ["OVT"]),
        ("temperature B1C2 30", "bits", []),
        ("disable B1C2 on", "bits", ["DIS"]),
        ("disable all off", "bits", []),
        ("kill B1C2 on", "bits", ["KILL"]),
        ("kill B1C2 off", "bits", []),
        ("nocal B1C2 on", "bits", ["NOCAL"]),
        ("nocal B1C2 off", "bits", []),
    )

    def run(self, sim: Sim, command: str) -> None:
        assert ctl("--control", sim.control_address.removeprefix("tcp://"), *command.split())

    def test_line(self, alone: Sim) -> None:
        for command, expected in self.COMMANDS:
            self.run(alone, command)
            status = alone.do("status")
            assert {name: status[name] for name in expected} == expected, command

    def test_boards(self, alone: Sim) -> None:
        for command, name, value in self.BOARD_COMMANDS:
            self.run(alone, command)
            assert alone.do("status")["boards"][1][name] == value, command

    def test_channels(self, alone: Sim) -> None:
        for command, name, value in self.CHANNEL_COMMANDS:
            self.run(alone, command)
            assert alone.channel("B1C2")[name] == value, command
        self.run(alone, "spark B1C2 --seconds 1 --factor 3")
        self.run(alone, "temperature all normal")
        self.run(alone, "seed 5")

    def test_status_is_readable(self, alone: Sim) -> None:
        where = ("--control", alone.control_address.removeprefix("tcp://"))
        ctl(*where, "spoil", "half", "--count", "3")
        ctl(*where, "slow", "0.25")
        text = ctl(*where, "status")
        assert "spoil: half, probability 1, left 3" in text
        assert "slow: 0.25 s per reply" in text
        assert "B1C3" in text
        ctl(*where, "clear")

    def test_as_a_command_of_owl(self, alone: Sim) -> None:
        where = ("--control", alone.control_address.removeprefix("tcp://"))
        for options, code in ((("load", "B0C0", "7"), 0), (("load", "B7C0", "7"), 1), (("load", "B0C0"), 2)):
            done = subprocess.run(
                owl("sim", "hv", "ctl", *where, *options), cwd=ROOT, capture_output=True, timeout=60, check=False
            )
            assert done.returncode == code, done
        assert alone.channel("B0C0")["megohms"] == 7.0

    def test_help_everywhere(self) -> None:
        assert "Make a running simulator fail" in ctl("--help")
        assert "MOhm" in ctl("load", "--help")
        assert "Pull it" in ctl("cable", "--help")

    def test_failures(self, alone: Sim, tmp_path: Path) -> None:
        where = ("--control", alone.control_address.removeprefix("tcp://"))
        assert "no channel 'L99'" in ctl(*where, "load", "L99", "5", code=1)
        assert "no board 'B9'" in ctl(*where, "interlock", "B9", "on", code=1)
        assert "megohms is a number" in ctl(*where, "load", "B0C0", "nan", code=1)
        assert "no resistance" in ctl(*where, "load", "B0C0", "much", code=2)
        assert "no temperature" in ctl(*where, "temperature", "B0C0", "hot", code=2)
        ctl(*where, "interlock", "B0", "maybe", code=2)
        ctl(*where, "fly", code=2)
        assert "no address" in ctl("--control", "here", "status", code=2)
        assert "no simulator answers" in ctl("--control", f"127.0.0.1:{free_port()}", "status", code=1)
        assert "is it running?" in ctl("--state", str(tmp_path), "status", code=1)
        assert "is it running?" in ctl("status", code=1, env={"XDG_STATE_HOME": str(tmp_path)})
        assert "can't be read" in ctl("--site", str(tmp_path / "no.toml"), "status", code=2)


FORBIDDEN = ("iocs.hv.driver", "iocs.hv.protocol", "iocs.hv.board", "iocs.hv.line", "iocs.hv.stream", "iocs.hv.ioc")
NO_TIME = ("asyncio", "socket", "time", "select", "threading")


@pytest.mark.parametrize(
    "path", sorted((ROOT / "iocs" / "hv").glob("model*.py")) + sorted((ROOT / "iocs/hv").glob("sim*"))
)
def test_shares_nothing_with_the_driver(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    assert not imported & set(FORBIDDEN)
    assert not [name for name in imported if name.startswith(("owlshift.ca", "owlshift.ioc", "caproto"))]
    if path.name.startswith("model"):
        assert not imported & set(NO_TIME), "a model knows no clock and no bytes"
