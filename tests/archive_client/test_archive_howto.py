"""What the how-to pages of the archive say, done as it stands there."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from retrieval.archive_fill import NS, T0, Filler
from support import ROOT, free_port, start
from typer.testing import CliRunner

from archiver.cli import app
from archiver.store import Dbr

PAGE = ROOT / "docs" / "how-to" / "archive-analyse.md"
PVS = ("DEMO:HV:L07:VMon", "DEMO:HV:L07:IMon")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An archive of the demo's names, served; the environment of a shell that means it."""
    state = tmp_path_factory.mktemp("state")
    filler = Filler(state / "archive")
    seconds = np.arange(7200)
    for name, unit in zip(PVS, ("V", "uA"), strict=True):
        filler.describe(name, EGU=unit, PREC="2")
        filler.put(name, Dbr.DOUBLE, (T0 + seconds) * NS, 1500 + np.sin(seconds / 100))
    filler.segment()
    filler.close()
    url = f"127.0.0.1:{free_port()}"
    argv = [sys.executable, "-m", "archiver.retrieval", "--folder", str(state / "archive"), "--http", url]
    server = start(argv, timeout=60)
    yield {"PYDM_ARCHIVER_URL": f"http://{url}", "OWLSHIFT_STATE": str(state), "COLUMNS": "200"}
    assert server.stop(30) == 0


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("owl archive ")]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands(site: dict[str, str], command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for key, value in site.items():
        monkeypatch.setenv(key, value)
    monkeypatch.delenv("OWLSHIFT_SITE", raising=False)
    result = CliRunner().invoke(app, shlex.split(command)[2:], prog_name="owl archive")
    assert result.exit_code == 0, result.output
    assert result.stdout or list(tmp_path.iterdir())


def test_python(site: dict[str, str], capsys: pytest.CaptureFixture[str]):
    code = "\n".join(blocks("python"))
    assert "http://127.0.0.1:17665" in code
    names: dict[str, object] = {}
    exec(compile(code.replace("http://127.0.0.1:17665", site["PYDM_ARCHIVER_URL"]), str(PAGE), "exec"), names)
    said = capsys.readouterr().out
    assert "['time', 'value', 'severity', 'status']" in said and "b'V'" in said
    assert len(names["tables"]) == 2 and len(names["snapshot"]) == 2  # type: ignore[arg-type]


def test_there_are_commands():
    assert len(COMMANDS) > 12 and len(blocks("python")) == 2
