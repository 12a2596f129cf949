"""What every integration test needs: free ports, child processes with a log, and waiting for a condition."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from ports import free_port  # noqa: E402  (the benchmarks' folder is no package)

__all__ = ["ROOT", "Process", "free_port", "owl", "qt_problem", "start", "unique_prefix", "wait_until"]


def unique_prefix() -> str:
    """A PV prefix that no other test uses, for example ``T3fa09c1b:``."""
    return f"T{uuid.uuid4().hex[:8]}:"


def wait_until(
    condition: Callable[[], object], timeout: float = 10.0, what: str = "", interval: float = 0.02
) -> object:
    """Poll `condition` until it is true and return its value; AssertionError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout} s for {what or condition}")
        time.sleep(interval)


class Process:
    """A child process whose whole output is kept, in order, in `log` (a list of lines)."""

    def __init__(self, argv: Sequence[str], env: dict[str, str] | None = None, cwd: Path | None = None) -> None:
        self.argv = [str(a) for a in argv]
        self.log: list[str] = []
        self._popen = subprocess.Popen(
            self.argv,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
            cwd=cwd or ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            self.log.append(line.rstrip("\n"))

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        return self._popen.poll()

    def text(self) -> str:
        return "\n".join(self.log)

    def wait_for_line(self, start: str, timeout: float = 30.0) -> str:
        """Wait for a line that begins with `start` and return it."""

        def found() -> str | None:
            for line in self.log:
                if line.startswith(start):
                    return line
            if self._popen.poll() is not None:
                self._reader.join(2)
                for line in self.log:
                    if line.startswith(start):
                        return line
                raise AssertionError(
                    f"{self.argv} ended with {self._popen.returncode} before {start!r}:\n{self.text()}"
                )
            return None

        try:
            return str(wait_until(found, timeout, f"a line {start!r} of {self.argv}"))
        except AssertionError:
            print(self.text())
            raise

    def signal(self, number: int) -> None:
        self._popen.send_signal(number)

    def kill(self) -> None:
        """SIGKILL and reap."""
        if self._popen.poll() is None:
            self._popen.kill()
        self._finish(10)

    def stop(self, timeout: float = 10.0) -> int:
        """SIGTERM, wait, and return the exit code; SIGKILL and AssertionError when it does not end."""
        if self._popen.poll() is None:
            self._popen.send_signal(signal.SIGTERM)
        return self.wait(timeout)

    def wait(self, timeout: float = 10.0) -> int:
        try:
            self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._finish(10)
            raise AssertionError(f"{self.argv} did not end within {timeout} s:\n{self.text()}") from None
        self._finish(5)
        return self._popen.returncode

    def _finish(self, timeout: float) -> None:
        self._popen.wait(timeout)
        self._reader.join(timeout)
        if self._popen.stdout is not None and not self._reader.is_alive():
            self._popen.stdout.close()


def start(
    argv: Sequence[str], ready: str | None = "ready", timeout: float = 30.0, env: dict[str, str] | None = None
) -> Process:
    """Start a child and wait for its line that begins with `ready`."""
    process = Process(argv, env)
    if ready is not None:
        try:
            process.wait_for_line(ready, timeout)
        except BaseException:
            process.kill()
            raise
    return process


def owl(*args: str) -> list[str]:
    """The argument vector of an `owl` command in this interpreter."""
    return [sys.executable, "-u", "-m", "owlshift", *map(str, args)]


def qt_problem() -> str:
    """Why Qt can't be loaded here, empty when it can."""
    code = "import PySide6.QtWidgets, pydm"
    environment = os.environ | {"QT_API": "pyside6"}
    probe = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    return "" if probe.returncode == 0 else (probe.stderr.strip().splitlines() or ["no reason given"])[-1]
