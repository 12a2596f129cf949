"""The supervisor starts in order, restarts what dies, collects logs, and stops in reverse order."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from owlshift.kinds import RESTART_EXIT_CODE, ProcessSpec
from owlshift.supervisor import AlreadyRunningError, ProcessState, Supervisor, read_status

SERVER = """
import signal, sys, time, pathlib
name, journal = sys.argv[1], pathlib.Path(sys.argv[2])
def say(what):
    with journal.open("a") as file: file.write(f"{what} {name}\\n")
def stop(*_):
    say("stop"); sys.exit(0)
signal.signal(signal.SIGTERM, stop)
say("start")
print("ready", name, flush=True)
while True: time.sleep(0.05)
"""


def spec(name: str, code: str, *args: object, after: tuple[str, ...] = (), ready_timeout: float = 30) -> ProcessSpec:
    argv = (sys.executable, "-u", "-c", code, *map(str, args))
    return ProcessSpec(name, argv, after=after, ready_timeout=ready_timeout)


@asynccontextmanager
async def running(state: Path, *specs: ProcessSpec):
    supervisor = Supervisor(state, specs)
    task = asyncio.create_task(supervisor.run())
    try:
        yield supervisor
    finally:
        supervisor.stop()
        await asyncio.wait_for(task, 30)


async def until(condition: Callable[[], object], timeout: float = 20) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        await asyncio.sleep(0.02)


async def test_order_of_start_and_stop(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    one = spec("sim", SERVER, "sim", journal)
    two = spec("ioc", SERVER, "ioc", journal, after=("sim",))
    three = spec("archiver", SERVER, "archiver", journal, after=("ioc",))
    async with running(tmp_path, three, one, two) as supervisor:
        assert await supervisor.wait_ready(30)
        found = read_status(tmp_path)
        assert found is not None
        assert found[0] == os.getpid()
        assert {s.name: s.message for s in found[1]}["ioc"] == "ready ioc"
    wanted = ["start sim", "start ioc", "start archiver", "stop archiver", "stop ioc", "stop sim"]
    assert journal.read_text().split("\n")[:-1] == wanted
    assert read_status(tmp_path) is None
    assert "ready sim" in (tmp_path / "log" / "sim.log").read_text()


async def test_a_killed_process_comes_back(tmp_path: Path) -> None:
    async with running(tmp_path, spec("ioc", SERVER, "ioc", tmp_path / "journal")) as supervisor:
        assert await supervisor.wait_ready(30)
        status = supervisor.statuses["ioc"]
        first = status.pid
        assert first
        os.kill(first, signal.SIGKILL)
        await until(lambda: status.pid not in (None, first) and status.state is ProcessState.RUNNING)
        assert status.restarts == 1


async def test_back_off_grows_and_the_reason_is_kept(tmp_path: Path) -> None:
    bad = spec("bad", "print('port 17665 is in use'); raise SystemExit(1)")
    seen: list[ProcessState] = []
    async with running(tmp_path, bad) as supervisor:
        supervisor.on_change = lambda status: seen.append(status.state)
        await until(lambda: supervisor.statuses["bad"].restarts >= 2)
        assert supervisor.statuses["bad"].message == "port 17665 is in use"
        assert supervisor.statuses["bad"].exit_code == 1
        assert not supervisor.all_ready
    assert ProcessState.BACKOFF in seen
    assert supervisor.statuses["bad"].state is ProcessState.STOPPED


async def test_a_process_that_asks_for_a_restart_gets_it_at_once(tmp_path: Path) -> None:
    code = f"""
import pathlib, sys
mark = pathlib.Path(sys.argv[1])
print("ready", flush=True)
if not mark.exists():
    mark.touch(); raise SystemExit({RESTART_EXIT_CODE})
import time
while True: time.sleep(0.05)
"""
    states: list[ProcessState] = []
    async with running(tmp_path, spec("ioc", code, tmp_path / "mark")) as supervisor:
        supervisor.on_change = lambda status: states.append(status.state)
        status = supervisor.statuses["ioc"]
        await until(lambda: status.restarts == 1 and status.state is ProcessState.RUNNING)
        assert ProcessState.BACKOFF not in states


async def test_never_ready_is_killed(tmp_path: Path) -> None:
    sleepy = spec("sleepy", "import time; time.sleep(600)", ready_timeout=0.5)
    async with running(tmp_path, sleepy) as supervisor:
        await until(lambda: supervisor.statuses["sleepy"].exit_code == -signal.SIGKILL)


async def test_two_supervisors_of_one_folder(tmp_path: Path) -> None:
    async with running(tmp_path, spec("ioc", SERVER, "ioc", tmp_path / "journal")) as supervisor:
        assert await supervisor.wait_ready(30)
        with pytest.raises(AlreadyRunningError, match="running already"):
            await Supervisor(tmp_path, []).run()


async def test_a_silent_long_line_does_not_end_it(tmp_path: Path) -> None:
    code = "print('x' * 3_000_000); print('ready', flush=True)\nimport time\nwhile True: time.sleep(0.05)"
    async with running(tmp_path, spec("loud", code)) as supervisor:
        assert await supervisor.wait_ready(30)


def test_unknown_predecessor(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a comes after ghost"):
        Supervisor(tmp_path, [ProcessSpec("a", ("true",), after=("ghost",))])


async def test_children_do_not_outlive_a_killed_supervisor(tmp_path: Path) -> None:
    code = f"""
import asyncio, sys, pathlib
from owlshift.kinds import ProcessSpec
from owlshift.supervisor import Supervisor
specs = [ProcessSpec("ioc", (sys.executable, "-u", "-c", {SERVER!r}, "ioc", {str(tmp_path / "journal")!r}))]
asyncio.run(Supervisor(pathlib.Path({str(tmp_path)!r}), specs).run())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    journal = tmp_path / "journal"
    await until(lambda: journal.exists() and "start ioc" in journal.read_text())
    await until(lambda: read_status(tmp_path) is not None)
    process.kill()
    await process.wait()
    await until(lambda: "stop ioc" in journal.read_text())
