"""`owl …` asked from a screen: as a child process that is never waited for, with a time-out and a small cache.

A screen knows no database. What is bulky (trees, payloads, differences) it gets from the same command that an operator
types, and what went wrong there is shown as the line that the operator would read.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import (
    QCoreApplication,
    QObject,
    QProcess,
    QProcessEnvironment,
    QTimer,
    Signal,  # pyright: ignore[reportPrivateImportUsage]
)

TIMEOUT = 60.0
"""Seconds after which a command that has not ended is ended."""
AT_ONCE = 2
"""Commands that run at a time; the others wait for their turn."""
CACHE_BYTES = 64 << 20
LONGEST_ERROR = 400


def command() -> list[str]:
    """How `owl` is called: what OWLSHIFT_OWL says (as a shell would split it), else with this interpreter."""
    return shlex.split(os.environ.get("OWLSHIFT_OWL", "")) or [sys.executable, "-m", "owlshift"]


@dataclass(frozen=True)
class Answer:
    """What a command printed, or why there is nothing: `error` is one line for an operator, empty when all is well."""

    data: bytes = b""
    error: str = ""

    def document(self) -> Any:
        """The JSON that was printed; ValueError when it is none."""
        try:
            return json.loads(self.data)
        except ValueError as error:
            raise ValueError(f"what owl printed is no JSON: {error}") from None


Then = Callable[[Answer], None]


@dataclass
class _Question:
    args: tuple[str, ...]
    then: Then
    lane: str
    keep: str
    some_exit_codes: tuple[int, ...]
    process: QProcess | None = None
    timer: QTimer | None = None
    late: bool = False


class Cache:
    """What was answered, by a key that names its content. The oldest goes when there is too much of it."""

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._limit = limit
        self._size = 0
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    def get(self, key: str) -> bytes | None:
        """The answer, if it is still here."""
        data = self._kept.get(key)
        if data is not None:
            self._kept.move_to_end(key)
        return data

    def put(self, key: str, data: bytes) -> None:
        """Keep an answer, unless it alone is more than the cache takes."""
        if not key or len(data) > self._limit:
            return
        self._size += len(data) - len(self._kept.pop(key, b""))
        self._kept[key] = data
        while self._size > self._limit:
            self._size -= len(self._kept.popitem(last=False)[1])


class Owl(QObject):
    """Asks `owl`. `busy` is emitted with what is being asked, and with an empty text when all is answered."""

    busy = Signal(str)
    cache = Cache()
    """One for all screens of the process: content is named by its hash."""

    def __init__(self, parent: QObject, group: str, timeout: float = TIMEOUT) -> None:
        """`group` is the first word of all commands: ``runkey``, ``alarm``."""
        super().__init__(parent)
        self._group = group
        self._timeout = timeout
        self._waiting: deque[_Question] = deque()
        self._running: list[_Question] = []
        self._stopped = False
        app = QCoreApplication.instance()
        if app is not None:
            app.aboutToQuit.connect(self.stop)

    def ask(
        self, args: Sequence[str], then: Then, lane: str = "", keep: str = "", exit_codes: tuple[int, ...] = (0,)
    ) -> None:
        """Run `owl GROUP ARGS` and call `then` with its answer: later, or at once when it is in the cache.

        A question of a `lane` takes the place of the one before it, which is not answered any more. With `keep`, a name
        of the content (a hash), the answer comes from the cache when it is there. `exit_codes` are those of an answer.
        """
        if self._stopped:
            return
        if lane:
            self.forget(lane)
        question = _Question(tuple(args), then, lane, keep, exit_codes)
        kept = self.cache.get(keep) if keep else None
        if kept is not None:
            then(Answer(kept))
            return
        self._waiting.append(question)
        self._next()

    def forget(self, lane: str) -> None:
        """Nobody wants the answer of this lane any more."""
        self._waiting = deque(question for question in self._waiting if question.lane != lane)
        for question in [question for question in self._running if question.lane == lane]:
            self._drop(question)
        self._next()

    def pending(self) -> str:
        """What is being asked, for example ``owl runkey list``; empty when all is answered."""
        for question in (*self._running, *self._waiting):
            return self._name(question)
        return ""

    def stop(self) -> None:
        """End what runs; nothing is asked or answered after this. May be called again."""
        self._stopped = True
        self._waiting.clear()
        for question in list(self._running):
            self._drop(question)

    def _name(self, question: _Question) -> str:
        return shlex.join(["owl", self._group, *question.args])

    def _next(self) -> None:
        while self._waiting and len(self._running) < AT_ONCE:
            self._start(self._waiting.popleft())
        if not self._stopped:
            self.busy.emit(self.pending())

    def _start(self, question: _Question) -> None:
        process = QProcess(self)
        environment = QProcessEnvironment.systemEnvironment()
        environment.insert("NO_COLOR", "1")
        process.setProcessEnvironment(environment)
        process.setStandardInputFile(QProcess.nullDevice())
        timer = QTimer(process)
        timer.setSingleShot(True)
        timer.setInterval(int(self._timeout * 1000))
        question.process, question.timer = process, timer
        self._running.append(question)
        timer.timeout.connect(lambda: self._too_late(question))
        process.finished.connect(lambda *_: self._finished(question))
        process.errorOccurred.connect(lambda error: self._failed(question, error))
        program, *first = command()
        process.start(program, [*first, self._group, *question.args])
        timer.start()

    def _too_late(self, question: _Question) -> None:
        question.late = True
        if question.process is not None:
            question.process.kill()

    def _failed(self, question: _Question, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart and question.process is not None:
            self._end(question, Answer(error=f"owl can't be started: {question.process.errorString()}"))

    def _finished(self, question: _Question) -> None:
        process = question.process
        if process is None:
            return
        data = bytes(process.readAllStandardOutput().data())
        said = bytes(process.readAllStandardError().data()).decode("utf-8", "replace")
        crashed = process.exitStatus() == QProcess.ExitStatus.CrashExit
        if question.late:
            answer = Answer(error=f"no answer within {self._timeout:g} s: {self._name(question)}")
        elif crashed:
            answer = Answer(error=f"ended by a signal: {self._name(question)}")
        elif process.exitCode() == 0 or (process.exitCode() in question.some_exit_codes and data):
            answer = Answer(data)
            self.cache.put(question.keep, data)
        else:
            answer = Answer(error=error_line(said) or f"exit code {process.exitCode()}: {self._name(question)}")
        self._end(question, answer)

    def _end(self, question: _Question, answer: Answer) -> None:
        if question not in self._running:
            return
        self._running.remove(question)
        self._discard(question)
        self._next()
        if not self._stopped:
            question.then(answer)

    def _drop(self, question: _Question) -> None:
        self._running.remove(question)
        process = question.process
        if process is not None:
            process.blockSignals(True)
            process.kill()
            process.waitForFinished(2000)
        self._discard(question)

    def _discard(self, question: _Question) -> None:
        if question.timer is not None:
            question.timer.stop()
        if question.process is not None:
            question.process.deleteLater()
        question.process = question.timer = None


def error_line(said: str) -> str:
    """Of what a command wrote to standard error, the line that says why; no longer than fits a screen."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    named = [line.removeprefix("owl: ") for line in lines if line.startswith("owl: ")]
    line = (named or lines or [""])[-1]
    return line if len(line) <= LONGEST_ERROR else f"{line[:LONGEST_ERROR]} …"
