"""One stand for all clients: a C IOC, the engine and retrieval as processes, and a past with known samples.

The past is that of `retrieval.archive_fill` (T:…, every type, over New Year); the present comes from the IOC.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from retrieval.archive_fill import NS, T0, Filler, fill
from retrieval.epicsevent import Chunk, decode
from support import ROOT, Process, free_port, start

sys.path.insert(0, str(ROOT / "tests" / "archiver"))

from archive_stand import CIoc, EngineStand  # pyright: ignore[reportMissingImports]

from archiver.store import Dbr

__all__ = ["NS", "T0", "Stand", "run_client"]

TIMEOUT = 120.0
CLIENTS = ROOT / ".venv-clients" / "bin" / "python"
"""The environment of the older clients: `make clients`."""


def records(prefix: str) -> str:
    """What the IOC serves."""
    return f"""
record(calc, "{prefix}Counter") {{ field(SCAN, ".1 second") field(CALC, "VAL+1") field(EGU, "n") field(PREC, "0") }}
record(calc, "{prefix}Slow") {{ field(SCAN, ".5 second") field(CALC, "VAL+1") field(EGU, "mA") field(PREC, "3") }}
record(mbbi, "{prefix}State") {{ field(ZRST, "Off") field(ONST, "On") field(VAL, "1") field(PINI, "YES") }}
"""


def past(folder: Path) -> None:
    """Samples from before the engine runs."""
    fill(folder)
    filler = Filler(folder)
    limits = {"LOPR": "0.0", "HOPR": "10.0", "LOW": "1.0", "HIGH": "8.0", "LOLO": "0.5", "HIHI": "9.0"}
    filler.describe("C:Beam", EGU="mA", PREC="3", **limits)
    seconds = np.arange(7200)
    filler.put("C:Beam", Dbr.DOUBLE, (T0 + seconds) * NS, 5 + np.sin(seconds / 100))
    filler.describe("C:Valve", ENUM_0="Closed", ENUM_1="Open")
    filler.put("C:Valve", Dbr.ENUM, (T0 + np.arange(0, 7200, 60)) * NS, (np.arange(120) % 2).astype(np.uint16))
    # values whose bytes have to be escaped: 0A, 0D and 1B in all of them
    odd = np.array([0x0A0D1B0A, 0x1B1B1B1B, 0x0D0A1B00], np.uint32)
    filler.put("C:EscLong", Dbr.LONG, (T0 + np.arange(10, 13)) * NS, odd.view(np.int32))
    escaped = np.frombuffer(b"\n\r\x1b\n\r\x1b\n\r\x1b\x1b\n\r\r\n\x1b\x1b", "<f8")
    filler.put("C:EscDouble", Dbr.DOUBLE, (T0 + np.array([10, 13])) * NS + 27, escaped)
    filler.put("C:EscDoubles", Dbr.DOUBLE, (T0 + 27) * NS, escaped.reshape(1, 2))
    filler.put("C:EscText", Dbr.STRING, (T0 + 13) * NS, np.array([b"a\nb\rc\x1bd"], "S40"))
    filler.put("C:EscBytes", Dbr.CHAR, (T0 + 13) * NS, np.array([[10, 13, 27, 1, 2, 3]], np.uint8))
    gap = np.concatenate([np.arange(100), np.arange(3000, 3100)])
    values = gap.astype(float)
    values[5] = np.nan
    filler.put("C:Gap", Dbr.DOUBLE, (T0 + gap) * NS, values)
    filler.segment()
    filler.close()


class Stand:
    """The processes, and ways to ask them."""

    def __init__(self, folder: Path, prefix: str) -> None:
        self.folder, self.prefix = folder, prefix
        self.engine = EngineStand(folder, free_port())
        self.ports = (free_port(), free_port())
        self.live = [f"{prefix}{name}" for name in ("Counter", "Slow", "State")]
        http = json.dumps([f"127.0.0.1:{port}" for port in self.ports])
        extra = '[[archiver.policy]]\nname = "Fast"\npv = "FAST:*"\ndoc = "All there is"\n'
        self.engine.write_site(self.live[:1], archiver=f"sync = 0.2\nroll_interval = 2\nhttp = {http}", extra=extra)
        self.ioc = CIoc(records(prefix), port=self.engine.port, beacon_port=self.engine.beacon_port)
        self.retrieval: Process | None = None
        self.client = httpx.Client(timeout=TIMEOUT)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    def open(self) -> None:
        past(self.engine.archive)
        self.ioc.start()
        self.engine.start()
        where = ("--site", str(self.folder / "site.toml"), "--state", str(self.engine.state))
        self.retrieval = start([sys.executable, "-u", "-m", "archiver.retrieval", *where], "ready", TIMEOUT)

    def close(self) -> None:
        self.client.close()
        for process in (self.retrieval, self.engine.process):
            if process is not None:
                process.kill()
        self.ioc.close()

    # asking as clients do

    def get(self, path: str, **parameters: str) -> httpx.Response:
        return self.client.get(f"{self.url}{path}", params=parameters or None)

    def data(self, extension: str, pv: str, start: str, end: str, **more: str) -> httpx.Response:
        return self.get(f"/retrieval/data/getData.{extension}", **{"pv": pv, "from": start, "to": end, **more})

    def exactly(self, path_and_query: str) -> httpx.Response:
        """A request line as a client writes it, escapes and all."""
        return self.client.get(httpx.URL(f"{self.url}{path_and_query}"))

    def raw(self, pv: str, start: str, end: str, **more: str) -> list[Chunk]:
        """Phoebus' request, decoded strictly."""
        reply = self.data("raw", pv, start, end, **more)
        assert reply.status_code == 200, reply.text
        assert reply.headers["content-type"] == "application/x-protobuf"
        return decode(reply.content)

    def bpl(self, call: str, **parameters: str) -> Any:
        reply = self.get(f"/mgmt/bpl/{call}", **parameters)
        assert reply.status_code == 200, (call, reply.text)
        assert reply.headers["content-type"] == "application/json"
        return reply.json()


def run_client(script: str, *arguments: object, old: bool = False, env: dict[str, str] | None = None) -> Any:
    """Run a script with a client of others in a process of its own; what it prints after `answer` is its JSON answer.

    `old`: in the environment of the older clients; the test is skipped where there is none.
    """
    if old and not CLIENTS.exists():
        pytest.skip("there is no .venv-clients: run `make clients`")
    run = subprocess.run(
        [str(CLIENTS) if old else sys.executable, "-W", "ignore", "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=110,
        env={**os.environ, "TZ": "UTC", "no_proxy": "127.0.0.1", **(env or {})},
    )
    lines = [line for line in run.stdout.splitlines() if line.startswith("answer ")]
    assert lines, f"{run.stdout}\n{run.stderr}"
    return json.loads(lines[-1].removeprefix("answer "))
