"""`owl screens` as a user meets it: what it prints, what it writes, how it ends."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from screen_stand import SLOW, Stand
from support import Process, free_port, owl

ALARMS = ["alarm_table", "alarm_tree", "alarm_area", "alarm_log", "alarm_shelves", "alarm_figures"]
PNG = b"\x89PNG\r\n\x1a\n"


def run(*args: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"COLUMNS": "200", "TERM": "dumb"} | (env or {})
    return subprocess.run(
        owl("screens", *args), capture_output=True, text=True, env=environment, check=False, timeout=2 * SLOW
    )


def png_size(file: Path) -> tuple[int, int]:
    data = file.read_bytes()
    assert data.startswith(PNG)
    return struct.unpack(">II", data[16:24])


def test_list_names_every_screen() -> None:
    done = run("list")
    assert done.returncode == 0
    names = ["top", "hv", "hv_channel", "runkey_panel", "runkey", "felix", *ALARMS]
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == names


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["xv"], "no screen 'xv'; there are top, hv, hv_channel, runkey_panel, runkey, felix"),
        (["hv", "--size", "10x10"], "a size is WIDTHxHEIGHT"),
        (["hv", "--size", "big"], "a size is WIDTHxHEIGHT"),
        (["hv", "-m", "P"], "a macro is NAME=VALUE, not 'P'"),
        (["hv_channel", "--prefix", "X:HV:"], "needs the macro CH"),
        (["shot", "DIR", "--screen", "xv"], "no screen 'xv'"),
        (["--site", "no-such-file.toml"], "no-such-file.toml: can't be read"),
    ],
)
def test_bad_usage_is_one_clear_line_and_exit_code_2(args: list[str], text: str) -> None:
    done = run(*args)
    assert done.returncode == 2
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_display_it_says_how_to_get_pictures(qt: None) -> None:
    env = {"QT_QPA_PLATFORM": "", "DISPLAY": "", "WAYLAND_DISPLAY": ""}
    done = run("--prefix", "X:HV:", env=env)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "owl: no display here; `owl screens shot DIR` writes pictures of the screens instead"
    ]


def test_a_display_that_cannot_be_opened_is_one_line(qt: None) -> None:
    done = run("--prefix", "X:HV:", env={"QT_QPA_PLATFORM": "", "DISPLAY": ":9999"})
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("owl: no window can be opened: ")


def test_a_missing_system_library_is_one_line(tmp_path: Path) -> None:
    package = tmp_path / "PySide6"
    package.mkdir()
    (package / "__init__.py").write_text("")
    error = "libEGL.so.1: cannot open shared object file: No such file or directory"
    (package / "QtWidgets.py").write_text(f"raise ImportError({error!r})")
    done = run("shot", str(tmp_path / "out"), "--prefix", "X:HV:", env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert error in done.stderr and "apt install libegl1" in done.stderr


def test_nothing_answers_yet_there_are_pictures(qt: None, tmp_path: Path) -> None:
    done = run("shot", str(tmp_path), "--prefix", "NOSUCH:HV:", "--timeout", "0.5", "--settle", "0")
    assert done.returncode == 1
    files = [tmp_path / name for name in ("top.png", "hv.png", "hv_channel.png")]
    assert done.stdout.splitlines() == [str(file) for file in files]
    assert [png_size(file) for file in files] == [(1280, 800)] * 3
    lines = done.stderr.splitlines()
    assert len(lines) == 1, lines
    assert "PVs did not connect within 0.5 s: NOSUCH:HV:" in lines[0]


def test_a_folder_that_cannot_be_written(qt: None, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("shot", str(tmp_path / "file"), "--prefix", "NOSUCH:HV:", "--timeout", "0", "--settle", "0")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert str(tmp_path / "file") in done.stderr


def test_shot_of_a_running_stand(stand: Stand, qt: None, tmp_path: Path) -> None:
    env = stand.env | {"QT_QPA_PLATFORM": "", "DISPLAY": "", "WAYLAND_DISPLAY": ""}
    done = run("shot", str(tmp_path / "new" / "dir"), "-c", "L07", "--settle", "0.2", "--size", "1920x1080", env=env)
    assert (done.returncode, done.stderr) == (0, "")
    files = [Path(line) for line in done.stdout.splitlines()]
    names = [
        "top.png",
        "hv.png",
        "hv_channel.png",
        "runkey_panel.png",
        "runkey.png",
        "felix.png",
        *(f"{name}.png" for name in ALARMS),
    ]
    assert [file.name for file in files] == names
    assert [png_size(file) for file in files] == [(1920, 1080)] * len(names)
    assert all(file.stat().st_size < 300_000 for file in files)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_window_ends_cleanly_on_a_signal(stand: Stand, qt: None, number: int) -> None:
    process = Process(owl("screens", "hv"), env=stand.env | {"QT_QPA_PLATFORM": "offscreen"})
    try:
        process.wait_for_line("ready screen hv", SLOW)
        process.signal(number)
        assert process.wait(SLOW) == 0, process.text()
        assert process.log == ["ready screen hv"]
    finally:
        process.kill()


def test_the_command_line_imports_no_qt() -> None:
    code = "import sys, screens.cli; print([n for n in sys.modules if n.split('.')[0] in ('PySide6', 'qtpy', 'pydm')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_settings_form_compiles_for_designer(qt: None) -> None:
    from screens.registry import FOLDER

    done = subprocess.run(
        [str(Path(sys.executable).parent / "pyside6-uic"), str(FOLDER / "hv_settings.ui")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "class Ui_HvSettings" in done.stdout


HEADER = struct.Struct(">HHHHII")


def test_libca_gets_its_repeater_and_the_beacons() -> None:
    """In a process of its own: the environment and the thread stay there."""
    port = free_port()
    code = "import os; from screens import repeater; r = repeater.provide(); print(r.port, flush=True); input()"
    env = {"EPICS_CA_REPEATER_PORT": str(port), "EPICS_CA_ADDR_LIST": "127.255.255.255"}
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | env
    )
    assert child.stdin is not None and child.stdout is not None
    try:
        served = int(child.stdout.readline())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(SLOW)
            client.bind(("127.0.0.1", 0))
            client.sendto(HEADER.pack(24, 0, 0, 0, 0, 0x7F000001), ("127.0.0.1", served))
            assert HEADER.unpack(client.recv(100))[0] == 17
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
                server.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                server.bind(("127.0.0.1", 0))
                for garbage in (b"", b"x", b"\0" * 15, b"\0\x0e" + b"\0" * 14):
                    server.sendto(garbage, ("127.255.255.255", port))
                server.sendto(HEADER.pack(13, 0, 13, 5064, 7, 0), ("127.255.255.255", port))
            command, _, _, tcp_port, number, address = HEADER.unpack(client.recv(100))
        assert (command, tcp_port, number, address) == (13, 5064, 7, 0x7F000001)
    finally:
        child.stdin.close()
        child.wait(SLOW)
        child.stdout.close()


def test_a_real_repeater_is_left_alone() -> None:
    from screens import repeater

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as real:
        real.bind(("127.0.0.1", 0))

        def confirm() -> None:
            _, client = real.recvfrom(100)
            real.sendto(HEADER.pack(17, 0, 0, 0, 0, 0x7F000001), client)

        thread = threading.Thread(target=confirm)
        thread.start()
        code = "from screens import repeater; print(repeater.provide())"
        env = os.environ | {"EPICS_CA_REPEATER_PORT": str(real.getsockname()[1])}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
        thread.join(SLOW)
    assert done.stdout.strip() == "None"
    assert repeater.with_address(b"short", "127.0.0.1") == b"short"


def test_the_style_sheet_has_a_colour_for_every_severity() -> None:
    from screens.registry import STYLE_SHEET

    text = STYLE_SHEET.read_text(encoding="utf-8")
    for severity in range(5):
        assert f'[alarmSeverity="{severity}"]' in text
    for role in ("tile", "subsystem", "card"):
        for severity in range(1, 5):
            assert f'QFrame[role="{role}"][severity="{severity}"]' in text
