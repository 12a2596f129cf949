"""A site with a C IOC and the archiver's engine as a real process."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support import ROOT, Process, free_port, start, wait_until

sys.path.insert(0, str(ROOT))

from archiver.store import StoreReader, StoreWriter
from benchmarks.c_ioc import CIoc

__all__ = ["CIoc", "EngineStand", "catalogue_record", "finish"]

TIMEOUT = 60.0


def catalogue_record(prefix: str) -> str:
    """A database record that can hold a catalogue, as every IOC of ours serves one."""
    return f'record(waveform, "{prefix}IOC:Catalogue") {{ field(FTVL, "CHAR") field(NELM, "20000") }}'


class EngineStand:
    """The engine in `folder` for a site whose PVs are on 127.0.0.1:`port`."""

    def __init__(self, folder: Path, port: int, state: Path | None = None) -> None:
        self.folder, self.port = folder, port
        self.state = state or folder / "state"
        self.archive = self.state / "archive"
        self.process: Process | None = None
        self.beacon_port = free_port()

    def write_site(
        self, pvs: Sequence[str] = (), systems: Sequence[str] = (), extra: str = "", archiver: str = "sync = 0.5"
    ) -> Path:
        """(Re)write the site file."""
        iocs = [
            f'[[ioc]]\nsystem = "{system}"\nkind = "hv"\nbackend = "tcp://127.0.0.1:1"\n[ioc.config]\n'
            'boards = [{ name = "B0", address = 0 }]\n'
            'channels = [{ alias = "L01", board = "B0", ch = 0, layer = 1 }]\n'
            for system in systems
        ]
        rules = [f'[[archiver.pv]]\nname = "{name}"\n' for name in pvs]
        text = (
            f'[site]\nname = "T"\n[ca]\nport = {self.port}\n{"".join(iocs)}'
            f'[archiver]\nsearch = ["127.0.0.1"]\n{archiver}\n{"".join(rules)}{extra}\n'
        )
        part = self.folder / "site.part"
        part.write_text(text)
        part.replace(self.folder / "site.toml")
        return self.folder / "site.toml"

    def command(self) -> list[str]:
        site = str(self.folder / "site.toml")
        return [sys.executable, "-u", "-m", "archiver.engine", "--site", site, "--state", str(self.state)]

    def start(self) -> Process:
        environment = {"EPICS_CA_REPEATER_PORT": str(self.beacon_port)}
        self.process = start(self.command(), ready="ready archiver-engine", timeout=TIMEOUT, env=environment)
        return self.process

    def stop(self) -> dict[str, Any]:
        """SIGTERM; returns the last counters. The account must close."""
        assert self.process is not None
        code = self.process.stop(TIMEOUT)
        assert code == 0, self.process.text()
        status = self.status()
        assert status["state"] == "stopped"
        assert status["waiting"] == 0
        self.check(status)
        return status

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()

    def status(self) -> dict[str, Any]:
        try:
            return json.loads((self.archive / "engine.json").read_text())
        except FileNotFoundError:
            return {}

    def check(self, status: dict[str, Any]) -> None:
        accounted = status["stored"] + sum(status["dropped"].values()) + status["in_log"] + status["waiting"]
        assert status["received"] == accounted, status

    def wait_status(self, what: str, **expected: Any) -> dict[str, Any]:
        """Wait until the running engine's counters have these values."""
        assert self.process is not None
        pid = self.process.pid

        def fits() -> dict[str, Any] | None:
            status = self.status()
            good = status.get("pid") == pid and all(status[key] == value for key, value in expected.items())
            return status if good else None

        try:
            found = wait_until(fits, TIMEOUT, what)
        except AssertionError:
            print(self.process.text(), self.status())
            raise
        assert isinstance(found, dict)
        self.check(found)
        return found

    def values(self, name: str) -> list[Any]:
        """All archived values of a PV."""
        reader = StoreReader(self.archive)
        try:
            pieces = list(reader.read(name, 0, 2**62))
        except KeyError:
            return []
        finally:
            reader.close()
        return [value for piece in pieces for value in piece.values.tolist()]

    def wait_values(self, name: str, count: int) -> list[Any]:
        """Wait until so many values of a PV are archived."""
        wait_until(lambda: len(self.values(name)) >= count, TIMEOUT, f"{count} values of {name}", interval=0.1)
        return self.values(name)


def finish(archive: Path) -> dict[str, int]:
    """Turn all of a stopped engine's logs into segments; returns the archive's totals."""
    writer = StoreWriter(archive)
    writer.open()
    while writer.convert_next():
        pass
    writer.close()
    return writer.manifest.totals


def now_ns() -> int:
    return time.time_ns()


def is_root() -> bool:
    return os.geteuid() == 0
