"""A site with a C IOC, and the archiver's engine and retrieval as real processes."""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from support import Process, free_port, start, wait_until
from typer.testing import CliRunner

from archiver.cli import app
from benchmarks.c_ioc import CIoc

TIMEOUT = 90.0
Rows = list[tuple[int, float]]
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def counter(name: str) -> str:
    """A record that counts up ten times a second."""
    return f'record(calc, "{name}") {{ field(SCAN, ".1 second") field(CALC, "VAL+1") field(EGU, "n") }}\n'


class Site:
    """A site whose PVs are served by `ioc`; nothing is archived but what is asked for."""

    def __init__(self, folder: Path, records: str, extra: str = "", engines: Sequence[str] = ()) -> None:
        self.folder = folder
        self.engines = engines
        self.port, self.beacon_port = free_port(), free_port()
        shared = f"engines = {list(engines)!r}\n" if engines else ""
        (folder / "site.toml").write_text(
            f'[site]\nname = "T"\n[ca]\nport = {self.port}\n[archiver]\nsearch = ["127.0.0.1"]\nsync = 0.2\n'
            f"roll_interval = 2\n{shared}{extra}"
        )
        self.running: list[Process] = []
        self.ioc = CIoc(records, port=self.port, beacon_port=self.beacon_port)
        self.url = ""

    def __enter__(self) -> Site:
        self.ioc.start()
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.running:
            process.kill()
        self.ioc.close()

    def start(self) -> None:
        """Start engine and retrieval."""
        where = ("--site", str(self.folder / "site.toml"), "--state", str(self.folder / "state"))
        port = urllib.parse.urlsplit(self.url).port or 0
        environment = {"EPICS_CA_REPEATER_PORT": str(self.beacon_port)}
        for name in self.engines or ("",):
            more = ("--engine", name) if name else ()
            argv = [sys.executable, "-u", "-m", "archiver.engine", *where, *more]
            self.running.append(start(argv, "ready", TIMEOUT, environment))
        argv = [sys.executable, "-u", "-m", "archiver.retrieval", *where, "--http", f"127.0.0.1:{port}"]
        self.running.append(start(argv, "ready", TIMEOUT))
        self.url = self.running[-1].wait_for_line("ready").split()[1]

    def restart(self, kill: bool = False) -> None:
        """All processes go and come back."""
        for process in self.running:
            if kill:
                process.kill()
            else:
                assert process.stop(TIMEOUT) == 0, process.text()
        self.running.clear()
        self.start()

    def raw(self, path: str, body: Any = None, **parameters: Any) -> tuple[int, str]:
        """Status and text of a request."""
        url = f"{self.url}{path}?{urllib.parse.urlencode(parameters)}"
        data = None if body is None else json.dumps(body).encode()
        try:
            with _OPENER.open(urllib.request.Request(url, data), timeout=TIMEOUT) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def call(self, name: str, body: Any = None, **parameters: Any) -> Any:
        """The JSON of a management call."""
        status, text = self.raw(f"/mgmt/bpl/{name}", body, **parameters)
        assert status == 200, (name, status, text)
        return json.loads(text)

    def status(self, name: str) -> dict[str, str]:
        return self.call("getPVStatus", pv=name)[0]

    def wait_status(self, name: str, status: str) -> dict[str, str]:
        """Poll as clients do."""
        wait_until(lambda: self.status(name)["status"] == status, TIMEOUT, f"{name} {status}", interval=0.1)
        return self.status(name)

    def data(self, name: str) -> Rows:
        """Time (ns) and value of all samples that retrieval gives; [] when it knows no such PV."""
        found, text = self.raw("/retrieval/data/getData.json", pv=name, **{"from": "2020-01-01T00:00:00Z"})
        if found == 404:
            return []
        assert found == 200, text
        return [(d["secs"] * 10**9 + d["nanos"], d["val"]) for d in json.loads(text)[0]["data"]]

    def wait_data(
        self, name: str, fits: Callable[[list[tuple[int, float]]], bool], what: str
    ) -> list[tuple[int, float]]:
        """Poll until the samples are as they should be."""
        wait_until(lambda: fits(self.data(name)), TIMEOUT, f"{name}: {what}", interval=0.2)
        return self.data(name)

    def owl(self, *arguments: str, code: int = 0, token: str | None = None) -> str:
        """The output of `owl archive …` against this site, both streams."""
        environment = {"OWLSHIFT_ARCHIVE_TOKEN": token}
        found = CliRunner().invoke(app, [*arguments, "--url", self.url], env=environment, terminal_width=200)
        assert found.exit_code == code, (found.output, found.exception)
        return found.output


def settled(site: Site, name: str) -> int:
    """The number of samples of a PV, once it stays the same for a second."""
    last, since = -1, time.monotonic()

    def same() -> bool:
        nonlocal last, since
        count = len(site.data(name))
        if count != last:
            last, since = count, time.monotonic()
        return time.monotonic() - since > 1.0

    wait_until(same, TIMEOUT, f"{name} to get no more samples", interval=0.1)
    return last
