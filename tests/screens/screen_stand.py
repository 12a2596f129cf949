"""Screens against the real stand: simulator, IOC and archiver of a site of this test process's own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

from support import ROOT, Process, free_port, owl, start, unique_prefix, wait_until

from owlshift.ca import Client
from owlshift.kinds import read_simulator_place

OUT = ROOT / "tests" / "out" / "screens"
SIZES = ((1920, 1080), (1280, 800))
SLOW = 60.0
"""Seconds that anything may take on a machine that is busy."""


class Screen:
    """A screen in `screen_driver.py`."""

    def __init__(self, name: str, macros: dict[str, str], size: str, env: dict[str, str]) -> None:
        argv = [sys.executable, "-u", str(Path(__file__).parent / "screen_driver.py"), name, json.dumps(macros), size]
        self._popen = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | env,
        )
        self._errors: list[str] = []
        self._reader = threading.Thread(target=self._drain, daemon=True)
        self._reader.start()
        self.seconds = self._reply()
        """How long it took to make the screen."""

    def _drain(self) -> None:
        assert self._popen.stderr is not None
        self._errors += self._popen.stderr.read().splitlines()

    def _reply(self):
        assert self._popen.stdout is not None
        line = self._popen.stdout.readline()
        if not line:
            self._popen.wait(20)
            self._reader.join(5)
            raise AssertionError(f"the screen ended with {self._popen.returncode}:\n" + "\n".join(self._errors))
        reply = json.loads(line)
        if "error" in reply:
            raise AssertionError(reply["error"])
        return reply["value"]

    def get(self, code: str, wait: float | None = None):
        """The value of an expression in the screen's process."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(json.dumps({"code": code, "wait": wait}) + "\n")
        self._popen.stdin.flush()
        return self._reply()

    def wait(self, code: str, seconds: float = SLOW) -> None:
        """Until an expression is true there."""
        self.get(code, seconds)

    def whole(self) -> None:
        """Until every PV of the screen has a value."""
        self.get("__import__('screens.shot').shot.wait_whole(display, 0) == ([], '')", SLOW)

    def picture(self, name: str) -> None:
        """PNGs to look at, in two sizes; the screen fits into both, and no text in it is cut."""
        OUT.mkdir(parents=True, exist_ok=True)
        for width, height in SIZES:
            file = OUT / f"{name}_{width}x{height}.png"
            size, cut = self.get(f"shot({str(file)!r}, {width}, {height})")
            assert size == [width, height], f"{name}: {size}"
            assert not cut, f"{name}: {cut}"

    def close(self) -> None:
        assert self._popen.stdin is not None and self._popen.stdout is not None
        self._popen.stdin.close()
        try:
            code = self._popen.wait(SLOW)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            code = self._popen.wait(10)
        self._reader.join(5)
        self._popen.stdout.close()
        if self._popen.stderr is not None:
            self._popen.stderr.close()
        assert code == 0, "\n".join(self._errors)
        assert not self._errors, "a clean end says nothing, not\n" + "\n".join(self._errors)


def write_site(folder: Path, name: str, *, archive_port: int | None = None, acf: str = "") -> Path:
    """The demo's site under another name, on this test process's CA port."""
    text = (ROOT / "sites" / "demo.toml").read_text()
    text = re.sub(r'^name = "DEMO"', f'name = "{name}"', text, flags=re.M)
    text = re.sub(r'^title = .*"', 'title = "The stand"', text, flags=re.M)
    text = re.sub(r"^port = 5064", f"port = {os.environ['EPICS_CA_SERVER_PORT']}", text, flags=re.M)
    text = re.sub(r"^examples = \[.*?^\]\n", "", text, flags=re.M | re.S)
    if archive_port is None:
        text = text.partition("\n[archiver]")[0]
    else:
        text = re.sub(r"^http = .*$", f'http = "127.0.0.1:{archive_port}"', text, flags=re.M)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "demo.acf").write_text(acf or (ROOT / "sites" / "demo.acf").read_text())
    site = folder / "site.toml"
    site.write_text(text)
    return site


RUNNING = 1
"""Value of IOC:State."""


async def _with_client(work: Callable[[Client], Awaitable[None]]) -> None:
    client = Client()
    await client.start()
    try:
        await work(client)
    finally:
        await client.close()


class Stand:
    """A running site."""

    def __init__(self, folder: Path) -> None:
        self.name = unique_prefix().rstrip(":")
        self.archive = f"http://127.0.0.1:{(port := free_port())}"
        self.site = write_site(folder, self.name, archive_port=port)
        self.state = folder / "state"
        self.prefix = f"{self.name}:HV:"
        self.env = {"OWLSHIFT_SITE": str(self.site), "OWLSHIFT_STATE": str(self.state)}
        self.process: Process = start(owl("up", str(self.site), "--state", str(self.state)), ready=None)
        wait_until(lambda: "The stand is up." in self.process.text(), SLOW, "the stand")

    def control(self, do: str, **arguments: object) -> None:
        """Give the simulator a fault, or take it away."""
        host, port = read_simulator_place(self.state, "HV")["control"].removeprefix("tcp://").split(":")
        with socket.create_connection((host, int(port)), timeout=SLOW) as connection:
            connection.sendall(json.dumps({"do": do, **arguments}).encode() + b"\n")
            with connection.makefile("rb") as stream:
                assert json.loads(stream.readline())["ok"], (do, arguments)

    def put(self, attribute: str, value: float) -> None:
        """Put, and wait until it is done."""

        async def put(client: Client) -> None:
            await client.put(f"{self.prefix}{attribute}", value, timeout=SLOW)

        asyncio.run(_with_client(put))

    def wait_running(self) -> None:
        """Until the IOC has contact with all boards: before, it refuses puts."""

        async def running(client: Client) -> None:
            async with asyncio.timeout(SLOW):
                while (await client.get(f"{self.prefix}IOC:State", timeout=SLOW)).value != RUNNING:
                    await asyncio.sleep(0.1)

        asyncio.run(_with_client(running))

    def quiet(self) -> None:
        """Every channel off, no alarm and no fault; the model's time runs 20 times as fast as the clock."""
        self.control("cable", state="plugged")
        self.control("clear")
        self.control("load", target="L07", megohms=100.0)
        self.control("local", board="all", on=False)
        self.control("interlock", board="all", on=False)
        self.control("speed", factor=20.0)
        self.wait_running()
        self.put("Down", 1)
        self.put("Clear", 1)
