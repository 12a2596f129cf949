"""What docs/how-to/alarms.md says, done as it stands there, on a stand that is called as the demo."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from alarm_stand import Run
from support import ROOT, Process, owl, start
from typer.testing import CliRunner

from iocs.alarm import client
from iocs.alarm.cli import app

pytestmark = pytest.mark.timeout(400)
PAGE = ROOT / "docs" / "how-to" / "alarms.md"
CODE = re.compile(r"\s+# exit code (\d)(?: or (\d))?")
PATIENCE = 120.0
LAYERS = ("L06", "L07", "L08", "L09", "L10")
PV = "DEMO:HV:L07:IMon"


def blocks() -> Iterator[tuple[str, list[tuple[str, set[int]]]]]:
    """The page's blocks in their order: what they are called, and lines with the exit codes that they may have."""
    for name, block in re.findall(r"```sh ?(\w*)\n(.*?)```", PAGE.read_text(), re.DOTALL):
        lines = []
        for line in block.splitlines():
            found = CODE.search(line)
            codes = {int(code) for code in found.groups() if code} if found else {0}
            lines.append((line.partition("    #")[0], codes))
        yield name, lines


class Demo:
    """The processes of a site named DEMO."""

    def __init__(self, folder: Path) -> None:
        site = folder / "demo.toml"
        channels = [
            f'  {{ alias = "{alias}", board = "B{index // 4}", ch = {index % 4}, layer = {index + 6}, vdef = 1000.0 }},'
            for index, alias in enumerate(LAYERS)
        ]
        lines = [
            "[site]", 'name = "DEMO"', 'title = "Stand"', "[ca]", f"port = {os.environ['EPICS_CA_SERVER_PORT']}",
            "[[ioc]]", 'system = "HV"', 'kind = "hv"', 'backend = "sim"', "[ioc.config]", "ramp_up = 400.0",
            'boards = [ { name = "B0", address = 0 }, { name = "B1", address = 1 } ]', "channels = [", *channels, "]",
            "[ioc.config.init]", "iset = 50.0", "[ioc.config.alarms]", "imon_high = 40.0", "imon_hihi = 48.0",
            "[[ioc]]", 'system = "ALM"', 'kind = "alarm"', "[ioc.config]",
        ]  # fmt: skip
        site.write_text("\n".join(lines) + "\n")
        self.folder = folder
        self.env = {"OWLSHIFT_SITE": str(site), "OWLSHIFT_STATE": str(folder / "state")}
        self.process: Process = start(owl("up", str(site)), "Stand is up", PATIENCE, self.env)

    def run(self, line: str) -> Run:
        """`owl alarm` in this process, what else there is in one of its own."""
        _, group, *words = shlex.split(line)
        if group == "alarm":
            with mock.patch.object(client, "TIMEOUT", PATIENCE):  # it is the machine that may be slow
                result = CliRunner().invoke(app, words, env=self.env, prog_name="owl alarm")
            if result.exception is not None and not isinstance(result.exception, SystemExit):
                raise result.exception
            return Run(result.exit_code, result.stdout, result.stderr)
        env = {**os.environ, **self.env}
        argv = owl(group, *words)
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)
        return Run(done.returncode, done.stdout, done.stderr)

    def until(self, condition: Callable[[dict[str, Any]], Any], line: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            done = self.run(line)
            if done.code == 0 and condition(done.json):
                return
            assert time.monotonic() < deadline, f"{line}: {done.out}{done.err}"
            time.sleep(0.3)


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Demo]:
    monkeypatch.chdir(tmp_path)
    demo = Demo(tmp_path)
    try:
        yield demo
    finally:
        code = demo.process.stop(60)
        print(demo.process.text()[-6000:])
        assert code == 0


def severity(form: dict[str, Any]) -> str | None:
    return next((row["severity"] for row in form["alarms"] if row["pv"] == PV), None)


def test_every_line(demo: Demo):
    parts = list(blocks())
    order = {name: place for place, (name, _) in enumerate(parts) if name}
    # the page begins with what is done at night; the demo needs its alarm before
    parts.insert(order["first"], parts.pop(order["setup"]))
    assert sum(len(lines) for _, lines in parts) > 40
    for name, lines in parts:
        if name == "first":
            demo.until(lambda form: severity(form) == "MINOR", "owl alarm active --json")
        for line, codes in lines:
            done = demo.run(line)
            assert done.code in codes, f"{line}: {done.code}\n{done.out}{done.err}"
            assert done.out or "--output" in line or 0 not in codes, line
    assert {path.name for path in demo.folder.iterdir()} >= {"night.csv", "alarms.xml", "alarms.toml"}
    demo.until(lambda form: severity(form) is None, "owl alarm active --json")
