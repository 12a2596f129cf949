"""Screens against the real stand: simulator, IOC and archiver of a site of this test process's own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

from support import ROOT, Process, free_port, owl, start, unique_prefix, wait_until

OUT = ROOT / "tests" / "out" / "screens"
SLOW = 60.0
"""Seconds that anything may take on a machine that is busy."""


def qt_problem() -> str:
    """Why Qt can't be loaded here, empty when it can."""
    code = "import PySide6.QtWidgets, pydm"
    environment = os.environ | {"QT_API": "pyside6"}
    probe = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    return "" if probe.returncode == 0 else (probe.stderr.strip().splitlines() or ["no reason given"])[-1]


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
        """A PNG to look at; nothing in it may be cut, at the size that the issue names."""
        OUT.mkdir(parents=True, exist_ok=True)
        self.get(f"shot({str(OUT / name)!r})")
        assert self.get("cut(display)") == []

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
        text = re.sub(r"127\.0\.0\.1:17665", f"127.0.0.1:{archive_port}", text)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "demo.acf").write_text(acf or (ROOT / "sites" / "demo.acf").read_text())
    site = folder / "site.toml"
    site.write_text(text)
    return site


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
        self.control("speed", "20")

    def owl(self, *args: str) -> str:
        """Run an `owl` command for this site; what it printed."""
        done = subprocess.run(owl(*args), capture_output=True, text=True, env=os.environ | self.env, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def control(self, *args: str) -> None:
        """Give the simulator a fault, or take it away."""
        self.owl("sim", "hv", "ctl", *args)

    def put(self, attribute: str, value: str) -> None:
        self.owl("put", "-c", f"{self.prefix}{attribute}", value)
