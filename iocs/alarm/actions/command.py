"""`cmd:` actions: programs that the site file allows, without a shell, killed when they take too long."""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Sequence

GRACE = 1.0
"""Seconds between asking a program to end and killing it."""
MAX_OUTPUT = 500
"""Bytes of its output, the last ones, that are kept."""
MAX_WORDS = 2_000
LOOK = 0.05
"""Seconds between two looks at whether it has ended."""
DRAIN = 20
"""Reads of what it has said before it ended; a pipe holds less."""
_KEPT = ("HOME", "USER", "LOGNAME", "LANG", "TZ")


class NotAllowed(Exception):  # noqa: N818  (what it is)
    """The site file does not allow it."""


def arguments(text: str, pairs: Sequence[str], allowed: Iterable[Sequence[str]]) -> list[str]:
    """The argument vector of a `cmd:` action, whose word `*` stands for `pairs`.

    NotAllowed unless it begins with the words of one of `allowed`. What follows those must not begin with `-`, so that
    nobody can add options of the program to what the site file says. ValueError when its words cannot be told apart.
    """
    words = shlex.split(text)
    for begin in allowed:
        if words[: len(begin)] == list(begin):
            rest = [word for one in words[len(begin) :] for word in (pairs if one == "*" else [one])]
            break
    else:
        raise NotAllowed(f"{shlex.join(words[:1])} with these words is not among the commands of the site file")
    if options := [word for word in rest if word.startswith("-")]:
        raise NotAllowed(f"{options[0]!r} would be an option that the site file does not name")
    return [*begin, *rest][:MAX_WORDS]


class Commands:
    """Runs programs; `stop` kills those that run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def run(self, argv: Sequence[str], timeout: float) -> str:
        """Run it to its end and say what came of it; blocks for `timeout` (and GRACE) seconds at the most.

        Its standard input is empty, its folder `/`, its environment of ours. OSError when it cannot be started, or
        when it fails.
        """
        with self._lock:
            if self._stopped:
                raise OSError("the alarm server is ending")
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=_environment(),
                start_new_session=True,
            )
            self._running.add(process)
        try:
            output = _attend(process, timeout)
        finally:
            with self._lock:
                self._running.discard(process)
            if process.stdout is not None:
                process.stdout.close()
        said = f": {output}" if output else ""
        if process.returncode == 0:
            return f"done{said}"
        if process.returncode < 0:
            raise OSError(f"killed by {_signal_name(-process.returncode)}{said}")
        raise OSError(f"exit code {process.returncode}{said}")

    def stop(self) -> None:
        """Kill what runs; nothing is started any more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                if process.returncode is None:
                    _signal_group(process, signal.SIGKILL)


def _attend(process: subprocess.Popen[bytes], timeout: float) -> str:
    """Read what it says until it ends, or until its time is over; TimeoutError then, and it is dead."""
    kept = b""
    deadline = time.monotonic() + timeout
    with selectors.DefaultSelector() as selector:
        if process.stdout is not None:
            os.set_blocking(process.stdout.fileno(), False)
            selector.register(process.stdout, selectors.EVENT_READ)
        while not _ended(process):
            left = deadline - time.monotonic()
            if left <= 0:
                _end(process)
                raise TimeoutError(f"killed: not done within {timeout:g} s{_shown(kept)}")
            kept = _more(process, selector, kept, min(LOOK, left))
        for _ in range(DRAIN):
            kept = _more(process, selector, kept, 0.0)
    process.wait()
    return _shown(kept).removeprefix(": ")


def _more(process: subprocess.Popen[bytes], selector: selectors.BaseSelector, kept: bytes, wait: float) -> bytes:
    if not selector.get_map():
        if wait:
            time.sleep(wait)  # it has closed its output, and works on
        return kept
    if process.stdout is not None and selector.select(wait):
        try:
            read = os.read(process.stdout.fileno(), 65536)
        except OSError:
            read = b""
        if not read:
            selector.unregister(process.stdout)
        return (kept + read)[-MAX_OUTPUT:]
    return kept


def _ended(process: subprocess.Popen[bytes]) -> bool:
    """Without reaping it: its process group cannot become somebody else's meanwhile."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask it and all that it started to end, then kill them."""
    _signal_group(process, signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    while not _ended(process) and time.monotonic() < deadline:
        time.sleep(LOOK)
    _signal_group(process, signal.SIGKILL)
    process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(("LC_", "EPICS_"))}
    return {**kept, "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


def _shown(output: bytes) -> str:
    text = " ".join(output.decode(errors="replace").split())
    return f": {text}" if text else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
