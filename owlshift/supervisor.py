"""Runs a site's processes on one host: starts them in order, watches, restarts with back-off, stops them in reverse.

The supervisor publishes what it knows as `run/status.json` in the site's state folder, which `owl status` reads.
`Supervisor.on_change` is the seam for whoever wants it in another form.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import enum
import fcntl
import json
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO

from owlshift.kinds import RESTART_EXIT_CODE, SUPERVISED, ProcessSpec, load_object, services
from owlshift.site import Site

log = logging.getLogger("owlshift.supervisor")

FIRST_BACKOFF = 0.5  # seconds; doubled at each failure in a row
LAST_BACKOFF = 30.0
GOOD_AFTER = 60.0  # a process that has been up for so many seconds starts again at the first back-off
STOP_TIMEOUT = 15.0  # seconds between SIGTERM and SIGKILL
LOG_BYTES, LOG_FILES = 10_000_000, 3

_LOUD = re.compile(r"\S+ \S+ (?:WARNING|ERROR|CRITICAL) (.*)")
"""A line of a child's log that the operator should see, without the time and level that the supervisor adds anew."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None)


class AlreadyRunningError(Exception):
    """Another supervisor holds the site's state folder."""


class ProcessState(enum.StrEnum):
    """What a process of the site is doing."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    BACKOFF = "back-off"
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass
class ProcessStatus:
    """A process as `owl status` shows it. Times are Unix seconds."""

    name: str
    state: ProcessState = ProcessState.WAITING
    pid: int | None = None
    since: float = 0.0
    restarts: int = 0
    exit_code: int | None = None
    message: str = ""
    """The line that said `ready`, or the last line before it ended."""


def site_processes(site: Site) -> list[ProcessSpec]:
    """The processes of a site: simulators, IOCs, then what its services ask for."""
    common = ("--site", str(site.path), "--state", str(site.state))
    owl = (sys.executable, "-u", "-m", "owlshift")
    specs: list[ProcessSpec] = []
    for entry in site.iocs:
        simulator = f"sim-{entry.name}"
        simulated = entry.backend == "sim"
        if simulated:
            specs.append(ProcessSpec(simulator, (*owl, "sim", entry.kind, "serve", *common, "--system", entry.system)))
        argv = (*owl, "ioc", entry.kind, *common, "--system", entry.system)
        specs.append(ProcessSpec(f"ioc-{entry.name}", argv, after=(simulator,) if simulated else ()))
    known = services()
    for name, config in site.services.items():
        specs += load_object(known[name].processes)(site, config)
    return specs


def site_summary(site: Site) -> list[str]:
    """What the site's services want printed once all is ready."""
    known = services()
    lines: list[str] = []
    for name, config in site.services.items():
        if (reference := known[name].summary) is not None:
            lines += load_object(reference)(site, config)
    return lines


class Supervisor:
    """Runs `specs` until `stop` is called. One object, one run."""

    def __init__(self, state: Path, specs: Iterable[ProcessSpec]) -> None:
        self.state = state
        self.specs = {spec.name: spec for spec in specs}
        self.statuses = {name: ProcessStatus(name) for name in self.specs}
        self.on_change: Callable[[ProcessStatus], None] | None = None
        for spec in self.specs.values():
            if missing := set(spec.after) - set(self.specs):
                raise ValueError(f"{spec.name} comes after {', '.join(sorted(missing))}, which the site does not have")
        self._ready = {name: asyncio.Event() for name in self.specs}
        self._stopped = {name: asyncio.Event() for name in self.specs}
        self._stopping = asyncio.Event()

    @property
    def all_ready(self) -> bool:
        """Every process has said `ready` and is up."""
        return all(status.state is ProcessState.RUNNING for status in self.statuses.values())

    @property
    def stopping(self) -> bool:
        """The stop has begun."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Begin the stop: in reverse order, SIGTERM, then SIGKILL after 15 s."""
        self._stopping.set()

    async def run(self) -> None:
        """Run until `stop`. AlreadyRunningError: another supervisor has the folder; OSError: it can't be written."""
        (self.state / "run").mkdir(parents=True, exist_ok=True)
        (self.state / "log").mkdir(parents=True, exist_ok=True)
        with _lock(self.state / "run" / "supervisor.lock"):
            try:
                async with asyncio.TaskGroup() as group:
                    for spec in self.specs.values():
                        group.create_task(self._keep(spec), name=spec.name)
            finally:
                self._publish()

    async def wait_ready(self, timeout: float) -> bool:
        """Wait until everything is up; False when it is not within `timeout` seconds, or a stop began."""
        deadline = time.monotonic() + timeout
        while not self.all_ready:
            if self._stopping.is_set() or time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.05)
        return True

    async def wait_stopping(self) -> None:
        """Wait until the stop begins."""
        await self._stopping.wait()

    async def _keep(self, spec: ProcessSpec) -> None:
        status, log_file = self.statuses[spec.name], self._log_file(spec.name)
        backoff = FIRST_BACKOFF
        try:
            for name in spec.after:
                await self._first_of(self._ready[name])
            while not self._stopping.is_set():
                began = time.monotonic()
                code = await self._once(spec, status, log_file)
                if self._stopping.is_set():
                    break
                status.restarts += 1
                if code == RESTART_EXIT_CODE:
                    log.info("%s asked to be restarted", spec.name)
                    continue
                if time.monotonic() - began > GOOD_AFTER:
                    backoff = FIRST_BACKOFF
                self._set(status, ProcessState.BACKOFF)
                said = "" if status.message.startswith("ready") else f": {status.message}"
                log.warning("%s ended with %s%s; again in %.1f s", spec.name, _code(code), said, backoff)
                await self._first_of(self._stopping, timeout=backoff)
                backoff = min(backoff * 2, LAST_BACKOFF)
        finally:
            self._set(status, ProcessState.STOPPED)
            self._stopped[spec.name].set()
            log_file.close()

    async def _once(self, spec: ProcessSpec, status: ProcessStatus, log_file: RotatingFileHandler) -> int:
        """Start the process, follow its output until it ends, and return its exit code."""
        self._set(status, ProcessState.STARTING, message="")
        process = await asyncio.create_subprocess_exec(
            *spec.argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", SUPERVISED: "1", **spec.env},
            start_new_session=True,  # Ctrl-C in the terminal is the supervisor's; it stops its children in order
            preexec_fn=die_with_parent,
            limit=1 << 20,
        )
        status.pid = process.pid
        self._publish()
        output = asyncio.create_task(self._follow(spec, status, process, log_file))
        ended = asyncio.create_task(process.wait())
        guard = asyncio.create_task(self._terminate_on_stop(spec, status, process))
        if not await self._first_of(self._ready[spec.name], ended, timeout=spec.ready_timeout) and not ended.done():
            log.error("%s was not ready within %.0f s and is killed", spec.name, spec.ready_timeout)
            process.kill()
        code = await ended
        self._ready[spec.name].clear()
        with contextlib.suppress(asyncio.TimeoutError):  # a grandchild may keep the pipe open
            await asyncio.wait_for(output, 2)
        guard.cancel()
        status.pid, status.exit_code = None, code
        return code

    async def _follow(
        self,
        spec: ProcessSpec,
        status: ProcessStatus,
        process: asyncio.subprocess.Process,
        log_file: RotatingFileHandler,
    ) -> None:
        if process.stdout is None:
            return
        while True:
            try:
                raw = await process.stdout.readline()
            except ValueError:  # a line longer than the limit: its start has been dropped
                continue
            if not raw:
                return
            line = raw.decode(errors="replace").rstrip()
            log_file.emit(logging.LogRecord(spec.name, logging.INFO, "", 0, line, None, None))
            if line.startswith("ready") and not self._ready[spec.name].is_set():
                self._ready[spec.name].set()
                self._set(status, ProcessState.RUNNING, message=line)
                log.info("%s %s", spec.name, line)
            elif not self._ready[spec.name].is_set() and line:
                status.message = line
            elif (found := _LOUD.match(line)) is not None:
                log.warning("%s: %s", spec.name, found[1])

    async def _terminate_on_stop(
        self, spec: ProcessSpec, status: ProcessStatus, process: asyncio.subprocess.Process
    ) -> None:
        await self._stopping.wait()
        for other in self.specs.values():  # those that came after this one go first
            if spec.name in other.after:
                await self._stopped[other.name].wait()
        if process.returncode is not None:
            return
        self._set(status, ProcessState.STOPPING)
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await asyncio.sleep(STOP_TIMEOUT)
        log.error("%s did not stop within %.0f s and is killed", spec.name, STOP_TIMEOUT)
        with contextlib.suppress(ProcessLookupError):
            process.kill()

    async def _first_of(self, event: asyncio.Event, *others: asyncio.Task, timeout: float | None = None) -> bool:
        """Wait for `event`, one of `others` or the stop; whether `event` is set."""
        waits = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(self._stopping.wait())]
        await asyncio.wait([*waits, *others], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        return event.is_set() or self._stopping.is_set()

    def _set(self, status: ProcessStatus, state: ProcessState, message: str | None = None) -> None:
        status.state, status.since = state, time.time()
        if message is not None:
            status.message = message
        self._publish()
        if self.on_change is not None:
            self.on_change(status)

    def _publish(self) -> None:
        document = {"pid": os.getpid(), "processes": [asdict(status) for status in self.statuses.values()]}
        path = self.state / "run" / "status.json"
        part = path.with_suffix(".part")
        try:
            part.write_text(json.dumps(document, indent=1))
            part.replace(path)
        except OSError as error:  # a full disk must not take the site down
            log.warning("can't write %s: %s", path, error.strerror)

    def _log_file(self, name: str) -> RotatingFileHandler:
        handler = RotatingFileHandler(self.state / "log" / f"{name}.log", maxBytes=LOG_BYTES, backupCount=LOG_FILES)
        handler.handleError = lambda record: None  # a full disk costs log lines, no more
        return handler


def read_status(state: Path) -> tuple[int, list[ProcessStatus]] | None:
    """The supervisor's pid and its processes; None when no supervisor runs on this state folder."""
    try:
        with open(state / "run" / "supervisor.lock", "rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                document = json.loads((state / "run" / "status.json").read_text())
                statuses = [
                    ProcessStatus(**{**item, "state": ProcessState(item["state"])}) for item in document["processes"]
                ]
                return document["pid"], statuses
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return None


@contextlib.contextmanager
def _lock(path: Path):
    lock: IO[str] = open(path, "a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise AlreadyRunningError(f"a site is running already on {path.parent.parent}; `owl status` shows it") from None
    try:
        yield
    finally:
        lock.close()


def die_with_parent() -> None:
    """In a child, before its program begins: ask for SIGTERM when the parent dies, even by SIGKILL."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _code(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"
