"""What docs/how-to/runkeys.md says, done as it stands there."""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from aioca import purge_channel_caches
from runkey.rk_stand import RkStand
from runkey_shell import Shell
from support import ROOT

pytestmark = pytest.mark.timeout(400)
PAGE = ROOT / "docs" / "how-to" / "runkeys.md"
CODE = re.compile(r"\s+# exit code (\d)")


def commands(language: str) -> list[tuple[str, int]]:
    """The lines of the page's blocks, each with the exit code that it says."""
    found = []
    for block in re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL):
        for line in block.splitlines():
            code = CODE.search(line)
            found.append((line.partition("    #")[0], int(code[1]) if code else 0))
    return found


def test_every_line(empty: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    lines = commands("sh")
    assert len(lines) > 35
    for line, code in lines:
        words = shlex.split(line)
        assert words[:2] == ["owl", "runkey"]
        run = empty(*words[2:])
        assert run.code == code, f"{line}: {run.code}\n{run.out}{run.err}"
        assert run.out if code == 0 and "-o" not in words and "--picture" not in words else True
        if code == 2 or "did you mean" in line:
            assert run.err.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} >= {
        "fe3.png",
        "fe2.json",
        "changed.png",
        "tuned",
        "tuned.json",
        "yarr",
    }


async def ready(stand: RkStand) -> None:
    try:
        await stand.ready()
    finally:
        purge_channel_caches()


def test_every_line_on_the_stand(tmp_path: Path):
    stand = RkStand(tmp_path)
    stand.prefix = "DEMO:"
    stand._configure("")
    where = {"OWLSHIFT_SITE": str(stand.site_file), "OWLSHIFT_STATE": str(stand.state)}
    lines = commands("sh stand")
    assert len(lines) > 8
    try:
        stand.start("sim", "hv", "rk")
        asyncio.run(ready(stand))
        with pytest.MonkeyPatch.context() as patch:
            for name, text in where.items():
                patch.setenv(name, text)
            for line, code in lines:
                words = shlex.split(line)
                argv = [sys.executable, "-m", "owlshift", *words[1:]]
                done = subprocess.run(argv, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
                assert done.returncode == code, f"{line}: {done.returncode}\n{done.stdout}{done.stderr}"
                assert done.stdout
    finally:
        stand.stop()
