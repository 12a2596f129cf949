"""Writes the log of alarms from a thread; events of a database that is gone wait in a spool.

An event is accepted once the database or the spool has it, about a tenth of a second after `put`; from then on nothing
loses it or writes it twice (ids see to that), also when this process is killed. Memory is bounded: when the database
is slow, or hangs, a second thread brings what waits to the spool.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from db.alarms.event import Event
from db.alarms.log import AlarmLog
from db.alarms.spool import Spool
from db.errors import BadInput, DbError, Exists

log = logging.getLogger(__name__)

BATCH = 10_000
"""Events in one transaction."""
MANY = 20_000
"""Events in memory from which some go to the spool."""
MOST = 200_000
"""Events in memory at most: when neither database nor disk takes more, the newest are lost, and counted."""
LINGER = 0.1
"""Seconds in which events of one transaction come together."""
PATIENCE = 1.0
"""Seconds that events wait for the database before they go to the spool."""
AGAIN = (0.5, 1.0, 2.0, 5.0)
"""Seconds until a database that is gone is tried again."""
OK, SPOOLING, REPLAYING, LOSING, CLOSED = "OK", "Spooling", "Replaying", "Losing", "Closed"


class EventWriter:
    """Writes events. `put` is for one event loop or several threads, and never blocks for long."""

    def __init__(self, connect: Callable[[], AlarmLog], spool: Path, *, own: bool = True) -> None:
        """`connect` opens the log, on the thread, and again after it has failed (DbError). `spool`: a folder.

        `own`: the log is closed at the end.
        """
        self._connect = connect
        self._own = own
        self._spool = Spool(spool)
        self._log: AlarmLog | None = None
        self._queue: deque[Event] = deque()
        self._since = 0.0
        """When the oldest of the queue came (monotonic)."""
        self._flight: list[Event] = []
        """What the database is being given."""
        self._flight_since = 0.0
        self._flight_spooled = False
        self._moving = 0
        """Events on their way from the queue to the spool."""
        self._refused: dict[str, None] = {}
        self._condition = threading.Condition()
        self._closing = False
        self._ended = threading.Event()
        self._state, self._reason = OK, ""
        self._lost = self._lost_told = 0
        self._written = 0
        self._failures = 0
        self._next = 0.0
        self._threads = [
            threading.Thread(target=self._write, name="alarm-log", daemon=True),
            threading.Thread(target=self._guard, name="alarm-spool", daemon=True),
        ]

    def start(self) -> None:
        """Begin, with what earlier processes left in the spool."""
        for thread in self._threads:
            thread.start()

    def put(self, events: Iterable[Event]) -> None:
        """Take these."""
        with self._condition:
            before = len(self._queue)
            if not before:
                self._since = time.monotonic()
            for event in events:
                if len(self._queue) >= MOST:
                    self._lost += 1
                else:
                    self._queue.append(event)
            if not before or before < BATCH <= len(self._queue):  # else it is awake already
                self._condition.notify_all()

    @property
    def state(self) -> str:
        """OK; Spooling (no database), Replaying (it is back), Losing (no disk either), Closed."""
        return self._state

    @property
    def reason(self) -> str:
        """Why it is not OK."""
        return self._reason

    @property
    def behind(self) -> int:
        """Events that the database has not got yet."""
        with self._condition:
            return self.unsafe + self._spool.rows

    @property
    def unsafe(self) -> int:
        """Events that neither the database nor the disk has yet: a power cut would lose them."""
        with self._condition:
            return len(self._queue) + self._moving + (0 if self._flight_spooled else len(self._flight))

    @property
    def lost(self) -> int:
        """Events that neither database nor disk took, that the database refused, or that the disk damaged."""
        return self._lost + self._spool.damaged

    @property
    def written(self) -> int:
        """Events that the database took."""
        return self._written

    def drain(self, timeout: float) -> bool:
        """Wait until the database has all; False when it has not within so many seconds."""
        deadline = time.monotonic() + timeout
        with self._condition:
            while self.behind:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._condition.wait(min(left, 0.2))
        return True

    def close(self, timeout: float = 10.0) -> None:
        """Write what is there, or spool it, and end. A database that hangs is left alone after so many seconds."""
        deadline = time.monotonic() + timeout
        with self._condition:
            self._closing = True
            self._condition.notify_all()
        self._ended.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))
        self._spool_queue()
        self._spool_flight()
        self._spool.close()
        if self._own and self._log is not None and not self._threads[0].is_alive():
            self._log.close()
        self._state = CLOSED

    # -- the thread that talks to the database -------------------------------------------------------------------------

    def _write(self) -> None:
        self._try_adopt()
        while self._wait():
            try:
                self._step()
            except Exception:
                log.exception("the alarm log failed")
                self._failed("an error of the program: see the log file")

    def _wait(self) -> bool:
        """Until there is something to do; False at the end."""
        with self._condition:
            while not self._closing:
                waiting = self._next - time.monotonic()
                if self._failures == 0 and (self._queue or self._spool.rows):
                    # so that what comes now goes into the same transaction
                    left = LINGER - (time.monotonic() - self._since)
                    if len(self._queue) >= BATCH or left <= 0 or not self._queue:
                        return True
                    self._condition.wait(left)
                elif self._failures and waiting <= 0:
                    return True
                else:
                    self._condition.wait(min(max(waiting, 0.01), 5.0) if self._failures else 5.0)
                    if not self._failures and not self._queue and not self._spool.rows:
                        return not self._closing
            return bool(self._queue) and not self._failures and not self._spool.rows

    def _step(self) -> None:
        try:
            if self._log is None:
                self._log = self._connect()
        except DbError as error:
            return self._failed(str(error))
        if self._spool.rows:
            self._replay()
            return
        with self._condition:  # at no moment are they nowhere
            events = self._take(BATCH)
            self._fly(events, spooled=False)
        if not events:
            self._try_adopt()
        elif self._give(events):
            self._flight = []
            self._succeeded()

    def _replay(self) -> None:
        """The oldest file of the spool to the database. What comes meanwhile queues behind it."""
        self._state = REPLAYING
        try:
            oldest = self._spool.oldest()
        except OSError as error:
            return self._failed(f"the spool can't be read: {error}")
        if oldest is None:
            return
        path, events = oldest
        for start in range(0, len(events), BATCH):
            self._fly(events[start : start + BATCH], spooled=True)
            if not self._give(self._flight):
                return
        self._spool.done(path)
        self._flight = []
        self._succeeded()

    def _fly(self, events: list[Event], *, spooled: bool) -> None:
        with self._condition:
            self._flight, self._flight_since, self._flight_spooled = events, time.monotonic(), spooled

    def _give(self, events: list[Event]) -> bool:
        """To the database; False when it is gone: then they are in the spool."""
        try:
            self._insert(events)
        except DbError as error:
            self._spool_flight()
            self._flight = []
            self._failed(str(error))
            return False
        return True

    def _insert(self, events: list[Event]) -> None:
        """DbError when the database is gone. Events that it would never take are put aside, one by one."""
        if self._log is None:
            raise DbError("there is no log")
        try:
            self._log.write(events)
            self._written += len(events)
        except Exception as error:
            # not the state of the database, but these events
            if isinstance(error, DbError) and not isinstance(error, BadInput | Exists):
                raise
            if len(events) > 1:
                half = len(events) // 2
                self._insert(events[:half])
                self._insert(events[half:])
                return
            if events[0].id in self._refused:
                return  # it had been spooled, too, since the database took its time
            self._refused[events[0].id] = None
            if len(self._refused) > MANY:
                del self._refused[next(iter(self._refused))]
            self._lost += 1
            try:
                self._spool.refuse(events, str(error))
            except OSError as problem:
                log.error("an event of the log is lost: %s (%s)", error, problem)

    def _succeeded(self) -> None:
        if self._failures:
            log.info("the alarm log is written again")
        self._failures = 0
        lost = self._lost
        if lost > self._lost_told:
            self.put([Event(time.time_ns(), "server", "", detail=f"{lost - self._lost_told} events were lost")])
            self._lost_told = lost
        if not self._spool.rows:
            self._state, self._reason = OK, ""
        with self._condition:
            self._condition.notify_all()

    def _failed(self, reason: str) -> None:
        if not self._failures:
            log.warning("the alarm log can't be written, events are spooled: %s", reason)
        delay = AGAIN[min(self._failures, len(AGAIN) - 1)]
        self._failures += 1
        self._next = time.monotonic() + delay
        if self._state != LOSING:
            self._state = SPOOLING
            self._reason = reason
        # it is opened anew: it may be another one then, with other tables
        if self._own and self._log is not None:
            self._log.close()
        self._log = None

    # -- the thread that talks to the disk -----------------------------------------------------------------------------

    def _guard(self) -> None:
        """To the spool what the database does not take in time."""
        while not self._ended.wait(LINGER if self._failures else PATIENCE / 4):
            with self._condition:
                now = time.monotonic()
                gone = self._failures > 0 and bool(self._queue)
                late = bool(self._queue) and (now - self._since > PATIENCE or len(self._queue) > MANY)
                hangs = bool(self._flight) and not self._flight_spooled and now - self._flight_since > PATIENCE
            if hangs:
                self._spool_flight()
            if gone or late:
                self._spool_queue()

    def _spool_queue(self) -> None:
        with self._condition:
            events = self._take()
            self._moving = len(events)
        self._to_spool(events)
        self._moving = 0

    def _take(self, most: int = MOST) -> list[Event]:
        with self._condition:
            taken = [self._queue.popleft() for _ in range(min(most, len(self._queue)))]
            self._since = time.monotonic()
            return taken

    def _spool_flight(self) -> None:
        """What the database is being given to the spool, too: it may hang, and this process be killed meanwhile."""
        flight = self._flight
        if not flight or self._flight_spooled:
            return
        kept = self._to_spool(flight)
        with self._condition:
            if self._flight is flight:
                self._flight_spooled = True
                if not kept:  # they are in the queue again
                    self._flight = []

    def _to_spool(self, events: list[Event]) -> bool:
        """Back to the queue when the disk takes nothing."""
        if not events:
            return True
        try:
            self._spool.append(events)
        except OSError as error:
            with self._condition:
                room = max(0, MOST - len(self._queue))
                self._lost += len(events) - min(room, len(events))
                self._queue.extendleft(reversed(events[:room]))
            self._state, self._reason = LOSING, f"neither the database nor the spool takes events: {error}"
            log.error("%s", self._reason)
            time.sleep(LINGER)
            return False
        if self._state == LOSING:
            self._state, self._reason = SPOOLING, "the database does not take events"
        return True

    def _try_adopt(self) -> None:
        try:
            self._spool.adopt()
        except OSError as error:
            log.error("the spool %s can't be read: %s", self._spool.folder, error)
