"""A site with engines and the archiver's IOC as real processes, and a stock client to look at the IOC's PVs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support import Process, free_port, start, wait_until

TIMEOUT = 60.0
READER = """
import aioca, asyncio, json, sys
async def main():
    found = await aioca.caget(sys.argv[1:], format=aioca.FORMAT_CTRL, throw=False, timeout=20)
    plain = lambda v: v.tolist() if hasattr(v, "tolist") else v
    print(json.dumps([[plain(v), v.severity] if v.ok else None for v in found]))
aioca.run(main())
"""


class ArchiverStand:
    """A site file in `folder`, with engines and the IOC by name as they are started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.c_port = free_port()
        """Of the C IOC: of two servers on one port, one search reaches but one."""
        self.beacon_port = free_port()
        self.state = folder / "state"
        self.processes: dict[str, Process] = {}

    def write_site(self, archiver: str = "", pvs: Sequence[str] = (), extra: str = "") -> None:
        """(Re)write the site file."""
        rules = "".join(f'[[archiver.pv]]\nname = "{name}"\n' for name in pvs)
        text = (
            f'[site]\nname = "T"\n[ca]\nport = {self.port}\n'
            f'[archiver]\nsearch = ["127.0.0.1:{self.c_port}"]\nsync = 0.2\n{archiver}\n{rules}{extra}\n'
        )
        part = self.folder / "site.part"
        part.write_text(text)
        part.replace(self.folder / "site.toml")

    def command(self, module: str, *more: str) -> list[str]:
        site = str(self.folder / "site.toml")
        return [sys.executable, "-u", "-m", f"archiver.{module}", "--site", site, "--state", str(self.state), *more]

    def start_engine(self, name: str = "", command: Sequence[str] = ()) -> Process:
        more = ("--engine", name) if name else ()
        environment = {"EPICS_CA_REPEATER_PORT": str(self.beacon_port)}
        argv = [*command, *self.command("engine", *more)]
        process = start(argv, "ready archiver-engine", TIMEOUT, environment)
        self.processes[name or "engine"] = process
        return process

    def start_ioc(self) -> Process:
        process = start(self.command("ioc"), "ready T:ARCH:", TIMEOUT)
        self.processes["ioc"] = process
        return process

    def close(self) -> None:
        for process in self.processes.values():
            if process.returncode is None:
                process.kill()

    def status(self, engine: str = "") -> dict[str, Any]:
        folder = self.state / "archive"
        path = (folder / "engines" / engine if engine else folder) / "engine.json"
        try:
            return json.loads(path.read_text())
        except (FileNotFoundError, ValueError):
            return {}

    def read(self, *names: str) -> list[Any]:
        """[value, severity] of PVs below T:ARCH:, by a client that is not ours; None in the place of no answer."""
        environment = {
            **os.environ,
            "EPICS_CA_SERVER_PORT": str(self.port),
            "EPICS_CA_ADDR_LIST": "127.255.255.255",
            "EPICS_CA_AUTO_ADDR_LIST": "NO",
        }
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", READER, *(f"T:ARCH:{name}" for name in names)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def wait_for(self, what: str, expected: Any, *names: str) -> list[Any]:
        """Wait until `expected(values…)` is true of these PVs, each [value, severity]."""
        last: list[Any] = []

        def fits() -> bool:
            last[:] = self.read(*names)
            return None not in last and expected(*last)

        try:
            wait_until(fits, TIMEOUT, what, interval=0.2)
        except AssertionError:
            print(names, last, *(process.text() for process in self.processes.values()), sep="\n")
            raise
        return last
