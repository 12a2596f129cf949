"""`cmd:` actions: exact arguments, nothing that is not allowed, no shell, and an end after the time-out."""

from __future__ import annotations

import json
import shlex
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest
from action_bench import LEAF, MAJOR, MINOR, OK, bench, eventually
from hypothesis import given, settings
from hypothesis import strategies as st
from support import wait_until

from iocs.alarm.actions.command import Commands, NotAllowed, arguments
from iocs.alarm.config import ActionsConfig
from iocs.alarm.tree.items import Action

TEST_TIMEOUT = 60.0
ALLOWED = (("/usr/bin/logger", "-t", "owlshift"), ("/bin/echo",))


def recorder(folder: Path) -> tuple[str, Path]:
    """A program that appends its arguments, environment and folder to a file."""
    program, record = folder / "record", folder / "record.jsonl"
    program.write_text(
        f"#!{sys.executable} -I\n"
        "import json, os, sys\n"
        "with open(sys.argv[1], 'a') as file:\n"
        "    print(json.dumps([sys.argv[2:], dict(os.environ), os.getcwd(), sys.stdin.read()]), file=file)\n"
        "print('recorded')\n"
    )
    program.chmod(0o755)
    return str(program), record


def recorded(record: Path) -> list[list]:
    return [json.loads(line) for line in record.read_text().splitlines()]


async def test_the_arguments_are_exact_and_there_is_no_shell(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "hidden")
    program, record = recorder(tmp_path)
    details = f"cmd:{program} {record} 'two words' $HOME `id` ;id * | > x && \"*\" --a=*"
    config = ActionsConfig(cmd=((program, str(record)),))
    async with bench(config, leaf=(Action("c", details.replace(" --a=*", " a=*")),)) as stand:
        stand.set(MAJOR)
        stand.clock.advance(0)
        (found,) = await stand.result(1)
    assert found.endswith(": done: recorded")
    ((argv, environment, folder, stdin),) = recorded(record)
    pair = ["S:L7:I", "MAJOR"]
    assert argv == ["two words", "$HOME", "`id`", ";id", *pair, "|", ">", "x", "&&", *pair, "a=*"]
    assert "SECRET_TOKEN" not in environment and environment["PATH"].endswith("/bin")
    assert folder == "/" and stdin == ""


async def test_an_area_names_all_its_active_alarms_and_the_follow_up_none(tmp_path):
    program, record = recorder(tmp_path)
    config = ActionsConfig(cmd=((program, str(record)),))
    async with bench(config, area=(Action("c", f"cmd:{program} {record} *", 10),), latching=False) as stand:
        stand.set(MAJOR)
        stand.set(MINOR, pv="S:L8:I")
        stand.clock.advance(11)
        await stand.result(1)
        stand.set(OK)
        stand.set(OK, pv="S:L8:I")
        stand.tree.acknowledge("/S", stand.edits[0].who)
        await stand.result(2)
    assert [argv for argv, *_ in recorded(record)] == [["S:L7:I", "MAJOR", "S:L8:I", "MINOR"], []]


@pytest.mark.parametrize(
    "text",
    [
        "/usr/bin/logger -t owlshift",
        "/usr/bin/logger -t owlshift 'two words' *",
        "/bin/echo",
        "/bin/echo hello",
        "'/bin/echo' hello",
    ],
)
def test_allowed(text):
    argv = arguments(text, ["P", "MAJOR"], ALLOWED)
    assert argv == [word for one in shlex.split(text) for word in (["P", "MAJOR"] if one == "*" else [one])]


@pytest.mark.parametrize(
    "text",
    [
        "/bin/sh -c id",
        "logger -t owlshift",
        "/usr/bin/logger",
        "/usr/bin/logger owlshift",
        "/usr/bin/logger -t owlshift2",
        "/usr/bin/logger -towlshift",
        "/usr/bin/../bin/logger -t owlshift",
        "/usr/bin/logger -t owlshift -f /etc/passwd",
        "/bin/echo -n",
        "/bin/echo hello --version",
        "/bin/echo2",
        "./bin/echo",
        "",
        "/bin/ech? x",
        "* /bin/echo",
    ],
)
def test_not_allowed(text):
    with pytest.raises(NotAllowed):
        arguments(text, ["/bin/echo", "-n"], ALLOWED)


def test_what_a_star_stands_for_is_no_option_either():
    with pytest.raises(NotAllowed, match="'-rf' would be an option"):
        arguments("/bin/echo *", ["-rf", "MAJOR"], ALLOWED)


@settings(deadline=None, max_examples=300)
@given(st.text("/binechousrlog -t'\"\\*\n$", max_size=40), st.lists(st.text(max_size=5), max_size=3))
def test_nothing_that_does_not_begin_as_allowed(text: str, pairs: list[str]):
    try:
        argv: Sequence[str] = arguments(text, pairs, ALLOWED)
    except (NotAllowed, ValueError):
        return
    begin = next(begin for begin in ALLOWED if tuple(argv[: len(begin)]) == begin)
    assert not any(word.startswith("-") for word in argv[len(begin) :])


async def test_nothing_is_executed_unless_it_is_allowed(tmp_path):
    program, record = recorder(tmp_path)
    action = Action("c", f"cmd:{program} {record}")
    for allowed in ((), (("/bin/echo",),), ((program, f"{record}x"),), ((f"{program}x",),)):
        async with bench(ActionsConfig(cmd=allowed), leaf=(action,)) as stand:
            stand.set(MAJOR)
            stand.clock.advance(0)
            (found,) = await stand.result(1)
            assert f"{action.details}: refused: " in found and "not among the commands of the site file" in found
            assert stand.edits[0].path == LEAF
    assert not record.exists()


@pytest.mark.parametrize(
    ("argv", "result"),
    [
        (["/bin/false"], "exit code 1"),
        (["/bin/sh", "-c", "echo oh; echo dear >&2; exit 3"], "exit code 3: oh dear"),
        (["/bin/sh", "-c", "kill -9 $$"], "killed by SIGKILL"),
        (["/nowhere/at/all"], "No such file"),
        (["/etc/passwd"], "Permission denied"),
        (["/bin/echo", "a\0b"], "embedded null byte"),
    ],
)
def test_how_commands_fail(argv, result):
    with pytest.raises((OSError, ValueError), match=result):
        Commands().run(argv, TEST_TIMEOUT)


def test_output_is_bounded_and_cannot_block():
    code = "for n in range(20000): print('x' * 100)\nprint('the end')"
    found = Commands().run([sys.executable, "-c", code], TEST_TIMEOUT)
    assert found.endswith("the end") and len(found) < 600
    assert Commands().run(["/bin/sh", "-c", "exec >&- 2>&-; sleep 0.2"], TEST_TIMEOUT) == "done"


def test_what_a_command_leaves_in_the_background_is_not_waited_for():
    assert Commands().run(["/bin/sh", "-c", "sleep 600 & echo started $!"], 300).startswith("done: started")


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("trap", ["", "trap '' TERM; "])
def test_a_command_that_hangs_is_killed_with_all_that_it_started(tmp_path, trap):
    pids = tmp_path / "pids"
    script = f"{trap}sleep 600 & echo $$ $! > {pids}; echo waiting; wait; sleep 600"
    for seconds in (1, 30):  # a shell that has not even begun to wait within the first time gets the second
        with pytest.raises(TimeoutError, match=rf"killed: not done within {seconds} s") as killed:
            Commands().run(["/bin/sh", "-c", script], seconds)
        if "waiting" in str(killed.value):
            break
    assert str(killed.value).endswith(": waiting")
    for pid in map(int, pids.read_text().split()):
        wait_until(lambda pid=pid: gone(pid), TEST_TIMEOUT, f"the end of {pid}")


async def test_a_command_that_hangs_holds_up_nothing(tmp_path):
    program, record = recorder(tmp_path)
    config = ActionsConfig(cmd=(("/bin/sleep",), (program, str(record))), timeout=300)
    hanging = tuple(Action("s", f"cmd:/bin/sleep 60{number}") for number in range(2))
    async with bench(config, leaf=(*hanging, Action("c", f"cmd:{program} {record} *"))) as stand:
        stand.set(MAJOR)
        stand.clock.advance(0)
        assert "done: recorded" in (await stand.result(1))[0]
        await eventually(lambda: len(sleeping()) == 2, lambda: f"two sleeping children, not {sleeping()}")
    # ending the server ends what it runs
    await eventually(lambda: not sleeping(), lambda: f"the end of {sleeping()}")


def sleeping() -> list[str]:
    """The command lines of our children that sleep."""
    found = []
    for child in psutil.Process().children():
        try:
            found.append(" ".join(child.cmdline()))
        except psutil.Error:
            continue  # it has just ended
    return [line for line in found if line.startswith("/bin/sleep")]


def test_stopped_commands_start_nothing():
    commands = Commands()
    failed: list[str] = []

    def run() -> None:
        try:
            commands.run(["/bin/sleep", "600"], 300)
        except OSError as error:
            failed.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(sleeping, TEST_TIMEOUT)
    commands.stop()
    thread.join(TEST_TIMEOUT)
    assert failed == ["killed by SIGKILL"]
    with pytest.raises(OSError, match="ending"):
        commands.run(["/bin/true"], 1)


@pytest.mark.parametrize("bad", [[["logger"]], [[]], [["./x"]]])
def test_only_paths_can_be_allowed(bad):
    with pytest.raises(ValueError, match="program's path"):
        ActionsConfig(cmd=bad)
