"""Serving an IOC: restore, start, serve, and a clean end on SIGTERM, SIGINT and SYSRESET."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from owlshift.kinds import LOG_FORMAT, RESTART_EXIT_CODE, SUPERVISED

from .access import AccessFileError, AccessSecurity
from .alarms import stamp
from .autosave import Autosave
from .declare import DeclarationError
from .health import IocState
from .ioc import Ioc
from .server import CaServer
from .values import STRING_BYTES, cut

log = logging.getLogger("owlshift.ioc")

STOP_TIMEOUT = 8.0
"""Seconds that `Ioc.stop`, and then the server, may take."""
ACCESS_POLL = 1.0
"""Seconds between two looks at whether the access-security file has changed."""


@dataclass(frozen=True)
class CaServerSettings:
    """Where Channel Access is served."""

    interface: str = "127.0.0.1"
    port: int = 5064


def serve(
    ioc: Ioc,
    settings: CaServerSettings | None = None,
    state_dir: Path | None = None,
    access_file: Path | None = None,
) -> int:
    """Serve `ioc` until SIGTERM or SIGINT, and return the process's exit code.

    Prints `ready <prefix> …` once clients can connect. Saved setpoints live in `state_dir/autosave` (None: nothing is
    kept). 0: a clean end. 1: it failed, and one line in the log says why. `RESTART_EXIT_CODE`: `IOC:SYSRESET` under a
    supervisor; alone, the process executes itself again and this does not return.
    """
    if not logging.getLogger().handlers:
        logging.basicConfig(level=logging.INFO, format=LOG_FORMAT, stream=sys.stdout)
    code = asyncio.run(_serve(ioc, settings or CaServerSettings(), state_dir, access_file))
    if code == RESTART_EXIT_CODE and not os.environ.get(SUPERVISED):
        log.info("%s starting anew", ioc.prefix)
        logging.shutdown()
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    return code


async def _serve(ioc: Ioc, settings: CaServerSettings, state_dir: Path | None, access_file: Path | None) -> int:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ioc.ended.set)
    try:
        ioc.check_config()
        access = _AccessFile(ioc, access_file)
    except (AccessFileError, DeclarationError) as error:
        log.error("%s", error)
        return 1
    autosave = None
    if state_dir is not None:
        autosave = Autosave(state_dir, ioc.prefix, ioc.pvdb, ioc.saved, ioc.tell)
        autosave.restore()
    server = CaServer(
        ioc.names,
        interface=settings.interface,
        port=settings.port,
        on_clients=ioc.health.count_clients,
        max_answer=ioc.max_answer,
    )
    access.changed = server.refresh_access
    ioc.health.server = server
    stop_server = asyncio.Event()
    ready = asyncio.Event()
    serving = None
    started = False
    try:
        started = await _first(ioc.start(), ioc.ended.wait())
        if started:
            ioc.publish_catalogue()
            serving = loop.create_task(server.run(stop_server, on_ready=ready.set), name="server")
            serving.add_done_callback(lambda task: _server_ended(ioc, task))
            ioc.spawn(ioc.health.beat(), "heartbeat")
            ioc.spawn(ioc.follow_catalogue(), "catalogue")
            ioc.spawn(access.watch(), "access file")
            if autosave is not None:
                ioc.spawn(autosave.run(), "autosave")
            await _first(ready.wait(), ioc.ended.wait())
        if not ioc.ended.is_set():
            if ioc.health.State.value == IocState.Starting:
                await ioc.set_state(IocState.Running)
            print(f"ready {ioc.prefix} {len(ioc.pvdb)} PVs at {settings.interface}:{settings.port}", flush=True)
            await ioc.ended.wait()
    except Exception as error:
        log.exception("%s failed to start", ioc.prefix)
        ioc.fail(f"{type(error).__name__}: {error}")
    await _end(ioc, autosave, started)
    stop_server.set()
    if serving is not None:
        await asyncio.wait([serving], timeout=STOP_TIMEOUT)
        serving.cancel()
    if started:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ioc.gone(), STOP_TIMEOUT)
    if ioc.failure is not None:
        log.error("%s ends: %s", ioc.prefix, ioc.failure)
        return 1
    return RESTART_EXIT_CODE if ioc.restart_wanted else 0


def _server_ended(ioc: Ioc, task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    if isinstance(error, OSError):
        ioc.fail(str(error))
    elif error is not None:
        log.error("%s the server failed", ioc.prefix, exc_info=error)
        ioc.fail(f"the server ended by {type(error).__name__}: {error}")
    elif not ioc.ended.is_set():
        ioc.fail("the server ended")


async def _first(work: Coroutine[Any, Any, Any], end: Coroutine[Any, Any, Any]) -> bool:
    """Wait for `work`, or for `end` if that is sooner; whether `work` is done. What `work` raised is raised."""
    tasks = [asyncio.ensure_future(wait) for wait in (work, end)]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    done = tasks[0].done()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if done:
        tasks[0].result()
    return done


async def _end(ioc: Ioc, autosave: Autosave | None, started: bool) -> None:
    """Stop hooks, spawned tasks, autosave: whatever one of them does, the next has its turn."""
    ioc.stopping = True
    await ioc.set_state(IocState.Stopping)
    try:
        if started:
            await asyncio.wait_for(ioc.stop(), STOP_TIMEOUT)
    except Exception as error:
        log.exception("%s stop failed", ioc.prefix)
        ioc.fail(f"stop: {type(error).__name__}: {error}")
    await ioc.cancel_tasks()
    if autosave is not None:
        await autosave.flush()


class _AccessFile:
    """The access-security file, read again when it changes."""

    def __init__(self, ioc: Ioc, path: Path | None) -> None:
        self.ioc = ioc
        self.path = path
        self.changed: Callable[[], None] = lambda: None
        self._seen = self._mark()
        if path is None:
            self._say("no file: everybody may write")
        else:
            self._take(AccessSecurity.load(path), path)

    def _mark(self) -> tuple[int, int] | None:
        if self.path is None:
            return None
        with contextlib.suppress(OSError):
            found = self.path.stat()
            return found.st_mtime_ns, found.st_size
        return None

    def _take(self, security: AccessSecurity, path: Path) -> None:
        for warning in security.warnings:
            log.warning("%s", warning)
        self.ioc.security = security
        self._say(path.name)

    def _say(self, text: str) -> None:
        self.ioc.health.Access.take(cut(text, STRING_BYTES), stamp())

    async def watch(self) -> None:
        """Read the file again whenever it has changed, for ever; a file with a fault changes nothing."""
        if self.path is None:
            return
        while True:
            await asyncio.sleep(ACCESS_POLL)
            mark = self._mark()
            if mark is None or mark == self._seen:
                continue
            self._seen = mark
            try:
                self._take(await asyncio.to_thread(AccessSecurity.load, self.path), self.path)
            except AccessFileError as error:
                log.error("%s", error)
                self.ioc.tell(f"the access file stays as it was: {str(error).splitlines()[0]}", logging.WARNING)
                continue
            self.changed()
            self.ioc.tell(f"access file {self.path.name} read again")
