"""`owl` answers as a shell user expects: help everywhere, one clear line on errors, exit codes 0, 1 and 2."""

import subprocess
from pathlib import Path

import pytest
from support import owl


def run(*args: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        owl(*args), capture_output=True, text=True, timeout=60, env={**os.environ, "COLUMNS": "120", **(env or {})}
    )


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["up"],
        ["demo"],
        ["status"],
        ["down"],
        ["pvs"],
        ["get"],
        ["put"],
        ["monitor"],
        ["ioc"],
        ["ioc", "hv"],
        ["sim"],
        ["sim", "hv"],
        ["sim", "hv", "serve"],
        ["sim", "hv", "ctl"],
        ["archive"],
        ["archive", "get"],
        ["screens"],
        ["screens", "shot"],
    ],
    ids=" ".join,
)
def test_help_everywhere(command: list[str]) -> None:
    done = run(*command, "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout
    assert not done.stderr


def test_version() -> None:
    done = run("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("owlshift ")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["up", "/nowhere/site.toml"], "can't be read: No such file or directory"),
        (["nonsense"], "No such command 'nonsense'"),
        (["up"], "Missing argument 'SITE.toml'"),
        (["ioc", "hv", "--prefix", "bad prefix"], "should be like DEMO:HV:"),
        (["ioc", "hv", "--backend", "usb"], 'should be "sim", "tcp://HOST:PORT" or "serial:///dev/NAME"'),
        (["ioc", "hv", "--system", "XX"], "has no IOC 'XX'; it has HV"),
        (["ioc", "hv", "--config", "/nowhere.toml"], "can't be read"),
    ],
)
def test_bad_use_is_refused_with_2(args: list[str], says: str, tmp_path: Path) -> None:
    done = run(*args, env={"OWLSHIFT_STATE": str(tmp_path)})
    assert done.returncode == 2
    assert says in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


def test_every_problem_of_a_site_file_is_printed(tmp_path: Path) -> None:
    site = tmp_path / "bad.toml"
    site.write_text('[site]\nnam = "X"\n[ca]\nport = 1\n')
    done = run("up", str(site))
    assert done.returncode == 2
    assert f"{site}:2: site.nam: unknown key 'nam'; did you mean 'name'?" in done.stderr
    assert f"{site}:4: ca.port:" in done.stderr
    assert "3 problems in the site file; nothing was started" in done.stderr


def test_status_and_down_of_a_site_that_is_not_running(tmp_path: Path) -> None:
    for command in ("status", "down"):
        done = run(command, "--state", str(tmp_path))
        assert done.returncode == 1
        assert done.stderr.startswith("owl: site DEMO is not running")


def test_a_state_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("up", str(_site(tmp_path)), "--state", str(tmp_path / "file" / "state"))
    assert done.returncode == 1
    assert done.stderr.startswith("owl: can't use ")
    assert "Traceback" not in done.stderr


def test_pvs_of_a_site_that_is_not_running(tmp_path: Path) -> None:
    done = run("pvs", "--site", str(_site(tmp_path)))
    assert done.returncode == 1
    assert "the IOC of TNONE:HV: does not answer" in done.stderr


def test_get_of_a_pv_that_does_not_exist(tmp_path: Path) -> None:
    done = run("get", "TNONE:NOT:There", "--timeout", "0.5", "--site", str(_site(tmp_path)))
    assert done.returncode == 1
    assert "TNONE:NOT:There" in done.stderr
    assert "Traceback" not in done.stderr


def _site(folder: Path) -> Path:
    path = folder / "site.toml"
    path.write_text(
        '[site]\nname = "TNONE"\n[[ioc]]\nsystem = "HV"\nkind = "hv"\n[ioc.config]\n'
        'boards = [{ name = "B0", address = 0 }]\n'
        'channels = [{ alias = "L01", board = "B0", ch = 0, layer = 1 }]\n'
    )
    return path
