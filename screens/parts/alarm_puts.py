"""Commands for alarms: each goes to a PV of the alarm's own, which is connected only for that.

50,000 alarms have a million PVs. What an operator does concerns a few of them, and nobody waits for the others.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import QObject, QTimer, Signal  # pyright: ignore[reportPrivateImportUsage]

from screens.parts.pv import Pv

AT_ONCE = 60
"""PVs that are connected at a time."""
NO_ANSWER = 10.0
"""Seconds after which a PV that does not connect is given up."""
NO_ACCESS = 2.0
"""Seconds after the connection within which the right to write must be known."""
LINGER = 1.0
"""Seconds that a PV stays connected after its put, so that the put goes out."""
STEP = 50
"""Milliseconds between two looks."""


@dataclass
class _Job:
    name: str
    value: int | str
    began: float = 0.0
    connected: float = 0.0
    sent: float = 0.0
    pv: Pv | None = None


class Puts(QObject):
    """Writes to PVs that are not on the screen. `told` says in a line how it went; true: something went wrong."""

    told = Signal(str, bool)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._waiting: deque[_Job] = deque()
        self._running: list[_Job] = []
        self._what = ""
        self._sent = 0
        self._problems: list[str] = []
        self._timer = QTimer(self)
        self._timer.setInterval(STEP)
        self._timer.timeout.connect(self._step)

    @property
    def busy(self) -> bool:
        """Something is still to be written."""
        return bool(self._waiting or self._running)

    def put(self, names: Sequence[str], value: int | str, what: str) -> None:
        """Write `value` to each PV; text goes to char waveforms. `what` is what it means: ``Acknowledged``."""
        if not self.busy:
            self._sent, self._problems = 0, []
        self._what = what
        self._waiting += [_Job(name, value) for name in names]
        if names:
            self.told.emit(f"{what}: {len(names):,} …", False)
            self._timer.start()
            self._step()

    def stop(self) -> None:
        """Let go of everything."""
        self._timer.stop()
        self._waiting.clear()
        for job in self._running:
            self._let_go(job)
        self._running.clear()

    def _step(self) -> None:
        now = time.monotonic()
        for job in self._running:
            self._look(job, now)
        self._running = [job for job in self._running if job.pv is not None]
        while self._waiting and len(self._running) < AT_ONCE:
            job = self._waiting.popleft()
            job.began, job.pv = now, Pv(job.name, self)
            self._running.append(job)
        if all(job.sent for job in self._running) and not self._waiting and self._what:
            self._tell()
        if not self._running and not self._waiting:
            self._timer.stop()

    def _look(self, job: _Job, now: float) -> None:
        pv = job.pv
        if pv is None:
            return
        if job.sent:
            if now - job.sent > LINGER:
                self._let_go(job)
        elif pv.connected and pv.write_access:
            if isinstance(job.value, str):
                pv.put_text(job.value)
            else:
                pv.put(job.value)
            job.sent = now
            self._sent += 1
        elif pv.connected:
            job.connected = job.connected or now
            if now - job.connected > NO_ACCESS:
                self._give_up(job, f"access security does not let you write {job.name}")
        elif now - job.began > NO_ANSWER:
            self._give_up(job, f"{job.name} does not answer")

    def _give_up(self, job: _Job, why: str) -> None:
        self._problems.append(why)
        self._let_go(job)

    def _let_go(self, job: _Job) -> None:
        if job.pv is not None:
            job.pv.channel.disconnect()
            job.pv.deleteLater()
            job.pv = None

    def _tell(self) -> None:
        if self._problems:
            more = f" (and {len(self._problems) - 1:,} more)" if len(self._problems) > 1 else ""
            text = f"{self._what}: {self._sent:,} sent, {len(self._problems):,} not: {self._problems[0]}{more}"
        else:
            text = f"{self._what}: {self._sent:,} sent"
        self.told.emit(text, bool(self._problems))
        self._what = ""
