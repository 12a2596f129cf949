"""The recorder: a thread that takes batches from the intake and logs them, and a thread that makes segments of logs.

Every sample that comes in is logged, or counted as dropped with a reason; see `DROP_REASONS`.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable

import numpy as np

from archiver.config import ArchiverConfig
from archiver.engine.counters import Flow, add
from archiver.engine.deadband import DeadbandFilter
from archiver.engine.intake import Channels, Intake
from archiver.engine.scan import Key, ScanFilter
from archiver.store.events import CONNECTED
from archiver.store.files import reason
from archiver.store.log import take
from archiver.store.order import OLDEST_NS
from archiver.store.records import Columns
from archiver.store.writer import StoreWriter
from owlshift.ca.batch import Batch

log = logging.getLogger(__name__)

DROP_REASONS = {
    "bad_time": "its time stamp is before 1991: the record was never processed, or has no clock",
    "future": "its time stamp is further ahead of this machine's clock than [archiver] future allows",
    "duplicate": "its time stamp is the same as that of the newest kept sample (sent again after a reconnect)",
    "out_of_order": "its time stamp is before that of the newest kept sample",
    "scan": "a newer one came within the PV's sampling period",
    "deadband": "its value was within the PV's dead-band",
    "overflow": "the queue was full: the disk took less than came in",
    "disk_full": "the queue was full while the disk was",
    "unwritable": "the queue was full while the disk could not be written for another reason",
    "unsubscribed": "it was still on its way when its PV was no longer archived",
    "damaged": "it was in a part of the log that a crash or the disk destroyed",
}

TICK = 0.1
"""Seconds between two looks at the intake, at most."""

MAX_ROWS = 1 << 17
"""Rows of one record at most, so that a reader can skip within a log."""

MAX_BYTES = 1 << 25
"""Bytes of values in one record at most, unless one sample alone has more."""

RETRY = 1.0
RETRY_CONVERT = 5.0


class Recorder:
    """Runs the two threads over an open store. Counters may be read at any time."""

    def __init__(self, store: StoreWriter, config: ArchiverConfig, intake: Intake, channels: Channels) -> None:
        self.store = store
        self.intake = intake
        self.channels = channels
        self.config = config
        self.logged = 0
        """Samples that are in the log (or already in segments)."""
        self.dropped: Counter[str] = Counter(dict.fromkeys(DROP_REASONS, 0))
        """Samples that were dropped before the log, by reason."""
        self.flow = Flow()
        """The same by PV, and what came."""
        self.scan = ScanFilter()
        self.scan.on_replaced = lambda pv: add(self.flow.scan, pv)
        self.deadband = DeadbandFilter()
        self.on_drained: Callable[[], object] = lambda: None
        """Called in the recorder's thread when the queue is short again."""
        self._stopping = threading.Event()
        self._turned = threading.Condition()
        self._turns = 0
        self._rolled = threading.Event()
        self._unwritten: list[tuple[Columns, int]] = []
        self._events: list[tuple[int, int, int]] = []
        self._blocked_since = 0.0
        self._dirty = False
        self._emptied = time.monotonic()
        self._retry_at = 0.0
        self._unsynced = False
        """Whether the last sync failed: what can be written is not safe, then, and nothing is well again."""
        self._drops_logged: Counter[str] = Counter()
        self._synced = time.monotonic()
        self._failure: BaseException | None = None
        self._writer = threading.Thread(target=self._guard, args=(self._record,), name="recorder", daemon=True)
        self._converter = threading.Thread(target=self._guard, args=(self._convert,), name="converter", daemon=True)
        self.on_failure: Callable[[BaseException], object] = lambda error: None
        """Called in a thread of the recorder that an error has ended."""

    # life

    def start(self) -> None:
        """Start both threads."""
        self._writer.start()
        self._converter.start()

    def stop(self) -> None:
        """Log and sync what is queued, then end; a disk that can't be written keeps nobody waiting."""
        self._stopping.set()
        self.intake.wake()
        self._rolled.set()
        self.store.interrupt()
        self._writer.join()
        self._converter.join()

    def _guard(self, run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as error:
            log.exception("the %s has failed", threading.current_thread().name)
            self._failure = error
            self.on_failure(error)

    def settle(self, timeout: float = 10.0) -> None:
        """Return when all that was in the queue has been looked at; after `timeout` s in any case."""
        with self._turned:
            turn = self._turns
            self.intake.wake()
            self._turned.wait_for(lambda: self._turns >= turn + 2 or self._stopping.is_set(), timeout)

    @property
    def waiting(self) -> int:
        """Samples received that are neither logged nor dropped yet."""
        return self.intake.received - self.logged - self.drops().total()

    def lag(self) -> float:
        """Seconds since the queue was last empty; 0 while it is."""
        return time.monotonic() - self._emptied if self.intake.bytes else 0.0

    def drops(self) -> Counter[str]:
        """Samples dropped before the log since the start, by reason."""
        result = self.dropped + self.intake.rejected
        if self.scan.replaced:
            result["scan"] += self.scan.replaced
        return result

    # the recorder's thread

    def _record(self) -> None:
        last = False
        while not last:
            last = self._stopping.is_set()
            if not last:
                self.intake.wait(TICK)
            if self.intake.blocked and not last and time.monotonic() < self._retry_at:
                time.sleep(min(TICK, max(0.0, self._retry_at - time.monotonic())))
                continue
            self._flush(everything=last)
            with self._turned:
                self._turns += 1
                self._turned.notify_all()
            now = time.monotonic()
            if last or now - self._synced >= self.config.sync:
                self._synced = now
                self._sync()
            if self._full():
                self._roll()

    def _flush(self, everything: bool = False) -> None:
        """Log what waits. What can't be written stays, within the queue's room."""
        if everything or not (self._unwritten or self._events):
            taken = self.intake.take()
            self._events += taken.events
            self._forget_kept(taken.events)
            prepared = self._prepare(taken.batches, everything)
            rest = taken.bytes
            for columns in prepared:
                size = columns.values.nbytes + 16 * len(columns)
                self._unwritten.append((columns, min(size, rest)))
                rest -= min(size, rest)
            self.intake.done(rest)
        wrote = bool(self._events or self._unwritten)
        try:
            self._write_events()
            while self._unwritten:
                columns, size = self._unwritten[0]
                self.store.append(columns)
                self._unwritten.pop(0)
                self.logged += len(columns)
                self._dirty = True
                self.intake.done(size)
                if self.store.log_size >= self.config.roll_size << 20:
                    # after a long wait for the disk much comes at once, and no log should get larger for that
                    self._roll()
        except OSError as error:
            self._block(error)
            if everything:
                self.dropped[self.intake.blocked or "unwritable"] += sum(len(c) for c, _ in self._unwritten)
                self._unwritten.clear()
            return
        if wrote and not self._unsynced:
            self._unblock()
        self._emptied = time.monotonic()
        if self.intake.bytes < self.intake.limit // 4:
            self.on_drained()

    def _write_events(self) -> None:
        if not self._events:
            return
        events = np.array(self._events, np.int64)
        self.store.append_events(events[:, 0].astype(np.uint32), events[:, 1], events[:, 2].astype(np.uint8))
        self._events = []
        self._dirty = True

    def _prepare(self, batches: list[Batch], everything: bool) -> list[Columns]:
        groups: dict[Key, list[Batch]] = {}
        for batch in batches:
            array = batch.values.ndim == 2
            groups.setdefault((batch.dbr, array, batch.values.shape[1] if array else 1), []).append(batch)
        result: list[Columns] = []
        for (dbr, array, _), group in groups.items():
            columns = Columns(
                dbr,
                array,
                np.take(self.channels.pv, _joined([b.channel for b in group]), mode="clip"),
                _joined([b.time_ns for b in group]),
                _joined([b.severity for b in group]).astype(np.uint8),
                _joined([b.status for b in group]).astype(np.uint8),
                _joined([b.values for b in group]),
            )
            columns = self._checked(self._known(columns))
            if self.channels.scanned and len(columns):
                rest = self.scan.split(columns, self.channels.period_ns)
                if rest is None:
                    continue
                columns = rest
            result += self._pieces(columns)
        if self.scan.held:
            for columns in self.scan.due(time.monotonic_ns(), self.channels.period_ns, everything):
                result += self._pieces(columns)
        return result

    def _pieces(self, columns: Columns) -> list[Columns]:
        """What of `columns` is outside of its dead-band, in records of a good size."""
        if self.channels.banded and len(columns):
            columns, inside = self.deadband.split(columns, self.channels.deadband)
            if len(inside):
                self.dropped["deadband"] += len(inside)
                add(self.flow.deadband, inside)
        rows = max(1, min(MAX_ROWS, MAX_BYTES // max(1, columns.values[:1].nbytes)))
        return [take(columns, slice(i, i + rows)) for i in range(0, len(columns), rows)]

    def _forget_kept(self, events: list[tuple[int, int, int]]) -> None:
        """The first sample after a reconnect is kept, whatever its value."""
        connected = [pv for pv, _, code in events if code == CONNECTED]
        if connected and self.channels.banded:
            self.deadband.forget(np.array(connected, np.uint32))

    def _known(self, columns: Columns) -> Columns:
        """Without samples of no known PV."""
        if int(columns.pv.max()) == Channels.UNKNOWN:
            known = columns.pv != Channels.UNKNOWN
            self.dropped["unsubscribed"] += len(columns) - int(np.count_nonzero(known))
            columns = take(columns, known)
        self.flow.came(columns)
        return columns

    def _checked(self, columns: Columns) -> Columns:
        """Without samples with a time stamp that can't be true."""
        if not len(columns):
            return columns
        latest = time.time_ns() + int(self.config.future * 1e9)
        time_ns = columns.time_ns
        if int(time_ns.min()) < OLDEST_NS or int(time_ns.max()) > latest:
            early, late = time_ns < OLDEST_NS, time_ns > latest
            for why, mask in (("bad_time", early), ("future", late)):
                if count := int(np.count_nonzero(mask)):
                    self.dropped[why] += count
            bad = early | late
            add(self.flow.time, columns.pv[bad])
            columns = take(columns, ~bad)
        self.flow.good(columns)
        return columns

    def _sync(self) -> None:
        try:
            drops = self.drops()
            if self._dirty or drops != self._drops_logged:
                self.store.append_drops(drops)
                self.store.sync()
                self._dirty = False
                self._drops_logged = drops
                self._unsynced = False
                if not self._unwritten:
                    self._unblock()
        except OSError as error:
            self._unsynced = True
            self._block(error)
            # what a failed sync leaves of a log is not known: later samples go into a fresh one
            with contextlib.suppress(OSError):
                self.store.roll()

    def _full(self) -> bool:
        size = self.store.log_size
        return size >= self.config.roll_size << 20 or (size > 0 and self.store.log_age >= self.config.roll_interval)

    def _roll(self) -> None:
        try:
            self.store.append_drops(self.drops())
            self.store.roll()
        except OSError as error:
            self._block(error)
            return
        self._dirty = False
        self._rolled.set()

    def _block(self, error: OSError) -> None:
        why = "disk_full" if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else "unwritable"
        if self.intake.blocked is None:
            self._blocked_since = time.monotonic()
            log.error("the archive %s can't be written (%s): trying on", self.store.layout.folder, reason(error))
        self.intake.blocked = why
        self._retry_at = time.monotonic() + RETRY

    def _unblock(self) -> None:
        if self.intake.blocked is not None:
            seconds = time.monotonic() - self._blocked_since
            log.warning("the archive %s is written again after %.0f s", self.store.layout.folder, seconds)
            self.intake.blocked = None

    # the converter's thread

    def _convert(self) -> None:
        with contextlib.suppress(OSError):
            # nothing that samples wait for: the recorder comes first
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 5)
        failed = False
        while not self._stopping.is_set():
            try:
                if not self.store.convert_next() and not self.store.compact_next(self.config.retention_days):
                    self._rolled.wait(1.0)
                    self._rolled.clear()
                if failed:
                    log.warning("segments are written again")
                    failed = False
            except OSError as error:
                if not failed:
                    log.error("segments can't be written (%s): the log is kept, trying on", reason(error))
                    failed = True
                self._stopping.wait(RETRY_CONVERT)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
