"""The high voltage as processes: a simulator, an IOC on it, and what a driver tells."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from support import Process, owl, start

from iocs.hv.driver import BoardSpec, DeviceError, Driver, Identity, Options, Reading

PATIENCE = 30.0
"""Seconds that anything may take on a busy machine."""


class Simulator:
    """A simulator in a process of its own."""

    def __init__(self, *options: str, argv: Sequence[str] | None = None) -> None:
        self.process: Process = start(
            argv or [sys.executable, "-u", "-m", "iocs.hv.simulator_cli", "serve", *options], timeout=60
        )
        _, self.address, _, control = self.process.wait_for_line("ready").split()
        host, _, port = control.removeprefix("tcp://").rpartition(":")
        self._control = (host, int(port))

    def do(self, what: str, **arguments: Any) -> dict[str, Any]:
        """One request to the control port."""
        with socket.create_connection(self._control, 20) as connection, connection.makefile("rb") as replies:
            connection.sendall(json.dumps({"do": what, **arguments}).encode() + b"\n")
            reply = json.loads(replies.readline())
        assert reply.pop("ok"), reply
        return reply

    def channel(self, board: int, number: int) -> dict[str, Any]:
        """A channel as the simulator sees it."""
        return self.do("status")["boards"][board]["channels"][number]

    def heal(self) -> None:
        """No faults on the line any more."""
        self.do("clear")
        self.do("cable", state="plugged")

    def stop(self) -> None:
        assert self.process.stop() == 0


class Recorder:
    """Keeps what a driver tells."""

    def __init__(self) -> None:
        self.contacts: list[tuple[str, Identity, Reading]] = []
        self.readings: list[tuple[float, str, Reading]] = []
        self.losses: list[tuple[float, str, DeviceError]] = []
        self.cycles: list[float] = []

    async def contact(self, board: str, identity: Identity, reading: Reading) -> None:
        self.contacts.append((board, identity, reading))
        await self.reading(board, reading)

    async def reading(self, board: str, reading: Reading) -> None:
        self.readings.append((time.monotonic(), board, reading))

    async def lost(self, boards: Sequence[str], error: DeviceError) -> None:
        self.losses += [(time.monotonic(), board, error) for board in boards]

    async def cycle(self, seconds: float) -> None:
        self.cycles.append(seconds)

    def last(self, board: str, parameter: str) -> Any:
        return next((r[parameter] for _, b, r in reversed(self.readings) if b == board and parameter in r), None)

    def boards(self) -> set[str]:
        return {board for board, _, _ in self.contacts}


@contextlib.asynccontextmanager
async def driving(
    address: str | Callable[[], str], boards: int | Sequence[BoardSpec] = 3, **options: Any
) -> AsyncIterator[tuple[Driver, Recorder]]:
    """A running driver. It must not end by itself."""
    recorder = Recorder()
    specs = [BoardSpec(f"B{i}", i) for i in range(boards)] if isinstance(boards, int) else boards
    driver = Driver(
        address if callable(address) else lambda: address,
        specs,
        recorder,
        Options(**{"period": 0.05, "settings_period": 0.05, "timeout": 2.0, **options}),
    )
    task = asyncio.create_task(driver.run())
    try:
        yield driver, recorder
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], object], what: str = "", timeout: float = PATIENCE) -> Any:
    """Wait for something that happens in this loop."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {timeout} s for {what or condition}"
        await asyncio.sleep(0.01)
    return value


MAP: list[str] = ["L01", "L02", "F", "L04", "L05", "L06", "L07", "L08"]


def site_text(name: str, *, period: float = 0.1, trip: float = 0.5) -> str:
    """A site with two boards: L01 L02 F L04 and L05..L08. F has no VDef."""
    volts = dict(zip(MAP, (1880, 1880, 0, 2000, 2000, 2000, 2000, 1265), strict=True))
    channels = "\n".join(
        f'  {{ alias = "{alias}", board = "B{i // 4}", ch = {i % 4}, layer = {-1 if alias == "F" else int(alias[1:])}, '
        f"vdef = {volts[alias]}.0 }},"
        for i, alias in enumerate(MAP)
    )
    return f"""
[site]
name = "{name}"
[ca]
port = {os.environ["EPICS_CA_SERVER_PORT"]}
[[ioc]]
system = "HV"
kind = "hv"
backend = "sim"
[ioc.config]
ramp_up = 100.0
ramp_down = 100.0
boards = [ {{ name = "B0", address = 0 }}, {{ name = "B1", address = 1 }} ]
channels = [
{channels}
]
[ioc.config.line]
period = {period}
settings_period = {2 * period}
timeout = 0.8
[ioc.config.init]
iset = 50.0
trip = {trip}
[ioc.config.alarms]
imon_high = 40.0
imon_hihi = 48.0
"""


class Stand:
    """A simulator and an IOC of one site file."""

    def __init__(self, folder: Path, name: str, **options: float) -> None:
        self.site_file, self.state = folder / "site.toml", folder / "state"
        self.site_file.write_text(site_text(name, **options))
        self.prefix = f"{name}:HV:"
        place = ("--site", str(self.site_file), "--state", str(self.state))
        self.ioc_argv = [*owl("ioc", "hv"), *place]
        self.simulator = Simulator(argv=[*owl("sim", "hv", "serve"), *place, "--no-noise"])
        self.ioc = self._start_ioc()

    def _start_ioc(self) -> Process:
        return start(self.ioc_argv, timeout=90)

    def saved(self) -> str:
        """What the IOC has saved of its setpoints."""
        return "".join(path.read_text() for path in self.state.rglob("autosave/*.json"))

    def restart_ioc(self) -> None:
        """kill -9, and start again."""
        self.ioc.kill()
        self.ioc = self._start_ioc()

    def stop(self) -> None:
        try:
            code = self.ioc.stop(20)
        finally:
            self.simulator.stop()
        assert code == 0, self.ioc.text()[-4000:]
        assert "Traceback" not in self.ioc.text(), self.ioc.text()[-8000:]
