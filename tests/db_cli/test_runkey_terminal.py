"""What is different on a terminal: progress on standard error, questions, pictures of characters; times as typed."""

from __future__ import annotations

import os
import pty
import select
import subprocess
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runkey_shell import STAND, Shell
from support import owl

from owlshift.commands.moments import json_time, local_text, read_moment
from owlshift.commands.output import count_text, size_text, span_text, table_lines

FE3 = "/FELIX 1/OB1/FE3"


def on_terminal(shell: Shell, *args: str, typed: str = "", streams: tuple[str, ...] = ("stdin", "stdout", "stderr")):
    """(exit code, what the terminal shows, standard output if that is no terminal)."""
    ours, theirs = pty.openpty()
    env = {**os.environ, **shell.environment, "TERM": "xterm", "COLUMNS": "100"}
    env.pop("NO_COLOR", None)
    stdin, stdout, stderr = (theirs if name in streams else subprocess.PIPE for name in ("stdin", "stdout", "stderr"))
    process = subprocess.Popen(owl("runkey", *args), env=env, stdin=stdin, stdout=stdout, stderr=stderr)
    os.close(theirs)
    if typed:
        os.write(ours, typed.encode())
    shown, out = b"", b""
    if process.stdout is not None:
        out = process.stdout.read()
        process.stdout.close()
    while select.select([ours], [], [], 60)[0]:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # Linux: the other end is closed
            break
        if not piece:
            break
        shown += piece
    if process.stdin is not None:
        process.stdin.close()
    os.close(ours)
    return process.wait(60), shown.decode(), out.decode()


def test_progress_is_on_standard_error_only(shell: Shell):
    code, shown, out = on_terminal(shell, "verify", "--json", streams=("stderr",))
    assert code == 0 and "looking at staging" in shown
    assert out.startswith("{") and "\x1b" not in out


def test_questions(shell: Shell):
    code, shown, _ = on_terminal(shell, "delete", STAND, typed="n\n")
    assert code == 1 and f"Delete '{STAND}' (revision 1, " in shown and "nothing was done" in shown
    code, shown, _ = on_terminal(shell, "delete", STAND, typed="y\n")
    assert code == 0 and "deleted" in shown
    assert shell.ok("list", "--json").json["runkeys"] == []


def test_a_pixel_map_is_drawn(shell: Shell):
    code, shown, _ = on_terminal(shell, "get", STAND, FE3, "pixels")
    assert code == 0 and "RD53B, 400 columns, 384 rows" in shown and "masked" in shown
    assert len(shown.splitlines()) > 20 and "\0" not in shown
    shell.ok("edit", STAND, FE3, "raw", "--file", "-", "--format", "raw", input="\1\2")
    code, shown, _ = on_terminal(shell, "get", STAND, FE3, "raw")
    assert code == 2 and "2 B of binary content; give a file with -o FILE" in shown


NOW = datetime(2026, 11, 20, 13, 30, 15, 250000, UTC)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("now", "2026-11-20T13:30:15.250000Z"),
        ("today", "2026-11-19T23:00:00Z"),
        ("yesterday", "2026-11-18T23:00:00Z"),
        ("-10m", "2026-11-20T13:20:15.250000Z"),
        ("+2d", "2026-11-22T13:30:15.250000Z"),
        ("-3 weeks", "2026-10-30T13:30:15.250000Z"),
        ("14:30", "2026-11-20T13:30:00Z"),
        ("7:05:09", "2026-11-20T06:05:09Z"),
        ("2026-07-01", "2026-06-30T22:00:00Z"),
        ("2026-07-01 08:00", "2026-07-01T06:00:00Z"),
        ("2026-07-01T08:00:00Z", "2026-07-01T08:00:00Z"),
    ],
)
def test_times_as_people_write_them(text: str, wanted: str):
    assert json_time(read_moment(text, NOW)) == wanted


@given(st.text(max_size=30))
def test_what_is_no_time_is_said(text: str):
    try:
        assert read_moment(text, NOW).tzinfo is not None
    except ValueError as error:
        assert "is no time; write for example" in str(error)


def test_words():
    assert local_text(NOW) == "2026-11-20 14:30:15 CET" and local_text(None) == "" and json_time(None) is None
    assert [count_text(n, "entry") for n in (0, 1, 33_000)] == ["0 entries", "1 entry", "33,000 entries"]
    assert count_text(47, "felix") == "47 felix"
    assert [size_text(n) for n in (0, 1536, 3 << 30, 5 << 40)] == ["0 B", "1.5 KiB", "3.0 GiB", "5.0 TiB"]
    assert [span_text(s) for s in (0.00231, 1.5, 65, 3725)] == ["2.31 ms", "1.5 s", "1 min 5 s", "1 h 2 min"]
    assert list(table_lines(("a", "n"), [("long", "1"), ("x", "22")], right={1})) == [
        "a      n",
        "long   1",
        "x     22",
    ]
