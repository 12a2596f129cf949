"""A stand with an alarm IOC as a process, a soft IOC whose PVs go into alarm, and `owl alarm` as a shell has it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from aioca import caput, purge_channel_caches
from support import Process, owl, start, unique_prefix
from typer.testing import CliRunner

from iocs.alarm import client
from iocs.alarm.cli import app
from iocs.alarm.client import walk

PATIENCE = 60.0
SOFT_IOC = Path(__file__).with_name("alarm_soft_ioc.py")


@dataclass
class Run:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on standard output."""
        return json.loads(self.out)


class AlarmStand:
    """A site with an alarm IOC `ALM`; its system `HV` is the soft IOC: heartbeat and L01:IMon … L03:IMon."""

    def __init__(self, folder: Path, config: str = "") -> None:
        self.folder = folder
        self.prefix = unique_prefix()
        self.name = self.prefix.removesuffix(":")
        self.site_file, self.state = folder / "site.toml", folder / "state"
        self.environment = {"OWLSHIFT_SITE": str(self.site_file), "OWLSHIFT_STATE": str(self.state)}
        self.processes: dict[str, Process] = {}
        self.configure(config)

    def configure(self, config: str) -> None:
        """Write the site file."""
        lines = [
            "[site]", f'name = "{self.name}"', "[ca]", f"port = {os.environ['EPICS_CA_SERVER_PORT']}",
            "[[ioc]]", 'system = "ALM"', 'kind = "alarm"', "[ioc.config]", f'also = ["{self.prefix}HV:"]',
            "connection_timeout = 2.0", config,
        ]  # fmt: skip
        self.site_file.write_text("\n".join(lines) + "\n")

    def pv(self, name: str) -> str:
        """A PV of the soft IOC."""
        return f"{self.prefix}HV:{name}"

    def path(self, name: str) -> str:
        """The path of an alarm of the soft IOC: `L01:IMon`."""
        return f"/{self.name}/HV/{name.partition(':')[0]}/{self.pv(name)}"

    # Processes

    def start_soft(self) -> None:
        self.processes["soft"] = start([sys.executable, str(SOFT_IOC), f"{self.prefix}HV:"], timeout=PATIENCE)

    def start_alarms(self) -> None:
        self.processes["alarms"] = start(owl("ioc", "alarm"), timeout=PATIENCE, env=self.environment)

    def stop(self) -> None:
        for name in ("alarms", "soft"):
            process = self.processes.pop(name, None)
            if process is not None and process.returncode is None:
                code = process.stop(PATIENCE)
                print(f"--- {name}\n{process.text()[-8000:]}")
                assert code == 0, name

    def put(self, name: str, value: float) -> None:
        """Write a PV of the soft IOC with a stock client."""
        self.put_all({name: value})

    def put_all(self, values: dict[str, float]) -> None:
        """Write several."""

        async def write() -> None:
            try:
                await caput([self.pv(name) for name in values], list(values.values()), wait=True, timeout=PATIENCE)
            finally:
                purge_channel_caches()

        asyncio.run(write())

    # Commands

    def __call__(self, *args: object, input: str | None = None, **env: str) -> Run:
        """`owl alarm …` in this process."""
        words = [str(arg) for arg in args]
        # nobody answers where nothing runs; else it is the machine that may be slow
        with mock.patch.object(client, "TIMEOUT", PATIENCE if "alarms" in self.processes else 0.5):
            result = CliRunner().invoke(app, words, env={**self.environment, **env}, prog_name="owl alarm", input=input)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Run(result.exit_code, result.stdout, result.stderr)

    def ok(self, *args: object, input: str | None = None, **env: str) -> Run:
        """The same, of which nothing but success is expected."""
        run = self(*args, input=input, **env)
        assert run.code == 0, f"owl alarm {args} ended with {run.code}: {run.out}{run.err}"
        return run

    def no(self, code: int, *args: object, **env: str) -> str:
        """What is said of a refusal; standard output is empty."""
        run = self(*args, **env)
        assert run.code == code, f"owl alarm {args} ended with {run.code}: {run.out}{run.err}"
        assert run.out == ""
        return run.err

    def child(self, *args: object, env: dict[str, str] | None = None) -> Run:
        """`owl alarm …` as a process of its own; once more where the machine was too slow for its time-out."""
        deadline = time.monotonic() + PATIENCE
        while True:
            done = subprocess.run(
                owl("alarm", *map(str, args)), env={**os.environ, **self.environment, **(env or {})},
                capture_output=True, text=True, timeout=2 * PATIENCE, stdin=subprocess.DEVNULL,
            )  # fmt: skip
            late = "no alarm server answers" in done.stderr or "is there, but slow" in done.stderr
            if not late or time.monotonic() > deadline:
                return Run(done.returncode, done.stdout, done.stderr)

    def until(self, condition: Callable[[dict[str, Any]], Any], *args: object, what: str = "") -> Any:
        """Ask `owl alarm … --json` until the document is as wanted; what the condition gave."""
        deadline = time.monotonic() + PATIENCE
        while True:
            run = self(*args, "--json")
            if run.code == 0 and (found := condition(run.json)):
                return found
            assert time.monotonic() < deadline, f"waited for {what or condition}: {run.out}{run.err}"
            time.sleep(0.1)

    def active(self) -> dict[str, dict[str, Any]]:
        """The rows of the table by the PV's name without prefix."""
        rows = self.ok("active", "--json").json["alarms"]
        return {row["pv"].removeprefix(f"{self.prefix}HV:"): row for row in rows}

    def calm(self) -> None:
        """Nothing is in alarm, latched, or put aside."""
        self.put_all(dict.fromkeys(("L01:IMon", "L02:IMon", "L03:IMon"), 0.0))

        def well(tree: dict[str, Any]) -> bool:
            return all(node.get("current", "OK") == "OK" for node in walk(tree))

        tree = self.until(lambda tree: well(tree) and tree, "tree", what="all PVs are well")
        if tree["suppressed"]:
            self.ok("unshelve", "/")
            self.ok("enable", "/")
        if any(node["severity"] != "OK" for node in walk(tree)) or tree["suppressed"]:
            self.ok("ack", "/")
            self.until(lambda form: not form["alarms"], "active", what="nothing is in alarm")

    def until_active(self, name: str, severity: str | None) -> dict[str, Any]:
        """Wait until an alarm has this severity; None: until it is not in the table."""

        def found(form: dict[str, Any]) -> Any:
            row = next((row for row in form["alarms"] if row["pv"] == self.pv(name)), None)
            return row is None if severity is None else row is not None and row["severity"] == severity and row

        return self.until(found, "active", what=f"{name} {severity}")
