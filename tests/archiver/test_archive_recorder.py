"""The recorder's threads: every sample is logged or counted, whatever its time stamp and whatever the disk does."""

from __future__ import annotations

import errno
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archive_tools import EVER, counted, opened
from support import wait_until

from archiver.config import ArchiverConfig
from archiver.engine.intake import Channels, Intake
from archiver.engine.recorder import DROP_REASONS, Recorder
from archiver.engine.scan import ScanFilter
from archiver.engine.status import Status
from archiver.store import Columns, Dbr, StoreReader, StoreWriter, compact, merge
from owlshift.ca import Batch

SECOND = 10**9


def batch_of(channel: list[int], time_ns: list[int], values: Any, dbr: Dbr = Dbr.DOUBLE) -> Batch:
    n = len(channel)
    return Batch(
        dbr,
        np.array(channel, np.uint32),
        np.array(time_ns, np.int64),
        np.zeros(n, np.uint16),
        np.zeros(n, np.uint16),
        np.array(values, dbr.dtype),
    )


class Setup:
    """A recorder over a store with PVs A, B, C as channels 0, 1, 2."""

    def __init__(self, folder: Path, queue: int = 256 << 20, **config: Any) -> None:
        self.folder = folder
        self.store = opened(folder)
        self.intake = Intake(queue)
        self.channels = Channels()
        self.ids = self.store.add_pvs(["A", "B", "C"])
        for channel, name in enumerate(("A", "B", "C")):
            self.channels.map(channel, self.ids[name])
        self.recorder = Recorder(self.store, ArchiverConfig(**config), self.intake, self.channels)
        self.failures: list[BaseException] = []
        self.recorder.on_failure = self.failures.append

    def put(self, channel: list[int], time_ns: list[int], dbr: Dbr = Dbr.DOUBLE, values: Any = None) -> None:
        self.intake.put(batch_of(channel, time_ns, values if values is not None else [1] * len(channel), dbr))

    def settled(self) -> bool:
        return self.recorder.waiting == self.recorder.scan.held

    def finish(self) -> dict[str, int]:
        """Stop, turn everything into segments, and return the totals; the account must close."""
        self.recorder.stop()
        assert self.recorder.waiting == 0
        self.store.roll()
        while self.store.convert_next():
            pass
        self.store.close()
        assert self.failures == []
        totals = self.store.manifest.totals
        received, accounted = counted(totals)
        assert received == accounted == self.intake.received
        return totals

    def times(self, name: str) -> list[int]:
        return [int(t) for piece in StoreReader(self.folder).read(name, 0, EVER) for t in piece.time_ns]


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Setup]:
    made = Setup(tmp_path)
    made.recorder.start()
    yield made


def test_samples_of_all_kinds_are_logged(setup: Setup) -> None:
    now = time.time_ns()
    setup.put([0, 1, 0], [now, now, now + 1])
    setup.put([2, 2], [now, now + 5], Dbr.SHORT, [[1, 2], [3, 4]])
    setup.put([2], [now + 9], Dbr.STRING, [b"text"])
    totals = setup.finish()
    assert totals["stored"] == 6
    assert setup.times("A") == [now, now + 1]
    assert setup.times("C") == [now, now + 5, now + 9]


def test_time_stamps_that_cannot_be_true_are_dropped_and_counted(setup: Setup) -> None:
    now = time.time_ns()
    unset = 631152000 * SECOND
    setup.put([0, 1, 2, 0, 1], [now, unset, now + 3600 * SECOND, now + 1, 0])
    setup.put([0, 77, 0], [now + 1, now, now])
    totals = setup.finish()
    expected = {"bad_time": 2, "future": 1, "duplicate": 1, "out_of_order": 1, "unsubscribed": 1}
    assert {k: totals[f"dropped.{k}"] for k in expected} == expected
    assert setup.times("A") == [now, now + 1]


def test_a_scanned_pv_keeps_the_newest_of_each_period(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    setup.channels.sample(setup.ids["A"], 3600 * SECOND)
    setup.recorder.start()
    now = time.time_ns() - 1000
    setup.put([0, 1], [now, now])
    wait_until(lambda: setup.recorder.logged == 2, 30, "the first samples")
    for i in range(1, 21):
        setup.put([0, 1], [now + i, now + i])
    wait_until(lambda: setup.recorder.logged == 22, 30, "the other PV's samples")
    wait_until(setup.settled, 30, "the held sample")
    assert setup.recorder.scan.held == 1
    totals = setup.finish()
    assert totals["dropped.scan"] == 19
    assert setup.times("A") == [now, now + 20]
    assert len(setup.times("B")) == 21


def test_the_scan_filter_lets_each_period_out() -> None:
    period = np.array([0, 0, 10], np.int64)
    filtered = ScanFilter()

    def columns(*rows: tuple[int, int]) -> Columns:
        n = len(rows)
        zero = np.zeros(n, np.uint8)
        times = np.array([t for _, t in rows], np.int64)
        return Columns(
            Dbr.LONG, False, np.array([p for p, _ in rows], np.uint32), times, zero, zero, times.astype("i4")
        )

    rest = filtered.split(columns((1, 1), (2, 1), (2, 2)), period)
    assert rest is not None
    assert rest.time_ns.tolist() == [1]
    assert [c.time_ns.tolist() for c in filtered.due(100, period)] == [[2]]
    assert filtered.split(columns((2, 3), (2, 4)), period) is None
    assert filtered.due(105, period) == []
    assert filtered.split(columns((2, 5)), period) is None
    assert [c.time_ns.tolist() for c in filtered.due(110, period)] == [[5]]
    assert filtered.due(1000, period) == []
    assert (filtered.replaced, filtered.held) == (3, 0)


class Faulty:
    """Makes a store's writes fail with an error while `error` is set."""

    def __init__(self, store: StoreWriter, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error: int | None = None
        self.calls = 0
        real = store.append

        def append(columns: Columns) -> None:
            self.calls += 1
            if self.error is not None:
                raise OSError(self.error, "No space left on device")
            real(columns)

        monkeypatch.setattr(store, "append", append)


def test_a_full_disk_is_said_once_waited_for_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    setup = Setup(tmp_path, queue=100 * 24, sync=0.05)
    monkeypatch.setattr("archiver.engine.recorder.RETRY", 0.05)
    disk = Faulty(setup.store, monkeypatch)
    setup.recorder.start()
    now = time.time_ns()
    setup.put([0], [now])
    wait_until(lambda: setup.recorder.logged == 1, 30, "the first sample")
    disk.error = errno.ENOSPC
    for i in range(1, 131):
        setup.put([0], [now + i])
        if i == 1:
            wait_until(lambda: setup.intake.blocked == "disk_full", 30, "the full disk")
    wait_until(lambda: disk.calls > 5, 30, "some tries")
    assert setup.recorder.drops()["disk_full"] == 30
    disk.error = None
    wait_until(lambda: setup.intake.blocked is None, 30, "the disk to be written again")
    setup.put([0], [now + 1000])
    wait_until(lambda: setup.recorder.logged == 102, 30, "all that waited")
    totals = setup.finish()
    assert totals["dropped.disk_full"] == 30
    assert setup.times("A") == [*range(now, now + 101), now + 1000]
    said = [r.getMessage() for r in caplog.records if r.name == "archiver.engine.recorder"]
    assert len(said) == 2, said
    assert "can't be written (no space left on device)" in said[0]
    assert "is written again" in said[1]


def test_a_queue_that_is_half_full_asks_for_a_pause_and_then_drains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = Setup(tmp_path, queue=100 * 24)
    slow = threading.Event()
    real = setup.store.append
    monkeypatch.setattr(setup.store, "append", lambda columns: (slow.wait(30), real(columns)))
    full, drained = threading.Event(), threading.Event()
    setup.intake.on_full = full.set
    setup.recorder.on_drained = drained.set
    setup.recorder.start()
    now = time.time_ns()
    for i in range(120):
        setup.put([1], [now + i])
    assert full.is_set()
    drained.clear()
    assert +setup.intake.rejected == {"overflow": 20}
    slow.set()
    assert drained.wait(30)
    totals = setup.finish()
    assert (totals["dropped.overflow"], totals["stored"]) == (20, 100)


def test_a_disk_that_stays_full_does_not_hold_up_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setup = Setup(tmp_path)
    monkeypatch.setattr("archiver.engine.recorder.RETRY", 0.05)
    disk = Faulty(setup.store, monkeypatch)
    disk.error = errno.EACCES
    setup.recorder.start()
    setup.put([0, 1], [time.time_ns()] * 2)
    wait_until(lambda: setup.intake.blocked == "unwritable", 30, "the failing disk")
    totals = setup.finish()
    assert (totals["dropped.unwritable"], totals["stored"]) == (2, 0)


def test_logs_become_segments_while_samples_come(tmp_path: Path) -> None:
    setup = Setup(tmp_path, roll_interval=1.0)
    setup.recorder.start()
    now = time.time_ns() - SECOND
    status = Status(setup.recorder)
    number = 0

    def two_segments() -> bool:
        nonlocal number
        number += 1
        setup.put([0], [now + number])
        content = status.snapshot(Counter(), False, {})
        assert (
            content["received"]
            == content["stored"] + sum(content["dropped"].values()) + content["in_log"] + (content["waiting"])
        )
        assert set(content["dropped"]) == set(DROP_REASONS)
        return content["segments"] >= 2 and content["stored"] > 0

    wait_until(two_segments, 60, "two segments")
    setup.finish()
    assert setup.times("A") == [now + i for i in range(1, number + 1)]


def test_an_error_that_is_not_the_disks_ends_the_engine(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup.store, "append", lambda columns: 1 / 0)
    setup.put([0], [time.time_ns()])
    wait_until(lambda: setup.failures, 30, "the failure")
    assert isinstance(setup.failures[0], ZeroDivisionError)
    setup.recorder.stop()
    setup.store.close()


def test_what_comes_after_a_full_disk_and_before_the_end_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one record waits for the disk more samples come; the disk is there again just when the engine ends."""
    setup = Setup(tmp_path)
    monkeypatch.setattr("archiver.engine.recorder.RETRY", 1000.0)
    disk = Faulty(setup.store, monkeypatch)
    disk.error = errno.ENOSPC
    setup.recorder.start()
    now = time.time_ns()
    setup.put([0], [now])
    wait_until(lambda: setup.intake.blocked == "disk_full", 30, "the full disk")
    setup.put([0, 1], [now + 1, now + 1])
    disk.error = None
    totals = setup.finish()
    assert totals["stored"] == 3
    assert setup.times("A") == [now, now + 1]


def test_what_comes_while_the_disk_is_full_to_the_end_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = Setup(tmp_path)
    monkeypatch.setattr("archiver.engine.recorder.RETRY", 1000.0)
    disk = Faulty(setup.store, monkeypatch)
    disk.error = errno.ENOSPC
    setup.recorder.start()
    now = time.time_ns()
    setup.put([0], [now])
    wait_until(lambda: setup.intake.blocked == "disk_full", 30, "the full disk")
    setup.put([0, 1], [now + 1, now + 1])
    totals = setup.finish()
    assert (totals["dropped.disk_full"], totals["stored"]) == (3, 0)


def test_a_log_gets_no_larger_when_much_comes_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setup = Setup(tmp_path, roll_size=1)
    monkeypatch.setattr("archiver.engine.recorder.MAX_BYTES", 1 << 18)
    monkeypatch.setattr(setup.store, "convert_next", lambda: False)
    now = time.time_ns() - 10**9
    for part in range(8):
        setup.put([2] * 64, [now + 64 * part + i for i in range(64)], values=[[1.0] * 1024] * 64)
    setup.recorder.start()
    wait_until(lambda: setup.recorder.logged == 512, 30, "all that came")
    sizes = [path.stat().st_size for _, path in setup.store.layout.logs()]
    assert sum(sizes) > 4 << 20
    assert max(sizes) < 2 << 20
    setup.recorder.stop()
    monkeypatch.undo()
    assert setup.finish()["stored"] == 512


def test_a_long_merge_does_not_hold_up_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes to nothing, and begins anew next time."""
    setup = Setup(tmp_path)
    now = time.time_ns() - 10**9
    for part in range(2):
        for number in (1, 2):
            pvs = np.array([setup.ids["A"], setup.ids["B"]], np.uint32)
            times = np.full(2, now + 2 * part + number)
            zero = np.zeros(2, np.uint8)
            setup.store.append(Columns(Dbr.DOUBLE, False, pvs, times, zero, zero, np.ones(2)))
        setup.store.roll()
        setup.store.convert_next()
    before = setup.store.manifest.segments
    monkeypatch.setattr(merge, "BUDGET", 100)
    merging, go_on = threading.Event(), threading.Event()
    real = merge._small

    def slow(*args: Any) -> Any:
        merging.set()
        go_on.wait(30)
        return real(*args)

    monkeypatch.setattr(merge, "_small", slow)
    monkeypatch.setattr(compact, "FANOUT", 2)
    setup.recorder.start()
    assert merging.wait(30)
    stopping = threading.Thread(target=setup.recorder.stop)
    stopping.start()
    wait_until(setup.recorder._stopping.is_set, 30, "the stop")
    go_on.set()
    stopping.join(30)
    assert setup.store.manifest.segments == before
    setup.store.close()
    again = opened(tmp_path)
    assert again.manifest.quarantined == {}
    again.close()
    assert setup.times("A") == [now + 1, now + 2, now + 3, now + 4]


def test_a_pv_that_is_scanned_no_longer_leaves_nothing_behind(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    setup.channels.sample(setup.ids["A"], 3600 * SECOND)
    setup.recorder.start()
    now = time.time_ns() - 1000
    setup.put([0], [now])
    wait_until(lambda: setup.recorder.logged == 1, 30, "the first sample")
    setup.put([0], [now + 1])
    wait_until(lambda: setup.recorder.scan.held == 1, 30, "the held sample")
    setup.channels.sample(setup.ids["A"], 0)
    wait_until(lambda: setup.recorder.waiting == 0, 30, "the sample that was held")
    assert setup.recorder.logged == 2
    setup.finish()
    assert setup.times("A") == [now, now + 1]


def test_connections_that_flap_while_nothing_can_be_written_take_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = Setup(tmp_path)
    monkeypatch.setattr("archiver.engine.recorder.RETRY", 0.01)
    monkeypatch.setattr("archiver.engine.intake.EVENTS", 100)
    with monkeypatch.context() as patch:

        def full(*args: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        patch.setattr(setup.store, "append_events", full)
        setup.recorder.start()
        setup.intake.put_event(setup.ids["A"], 1, 1)
        wait_until(lambda: setup.intake.blocked == "disk_full", 30, "the full disk")
        for i in range(1000):
            setup.intake.put_event(setup.ids["A"], i, 1)
        turns = setup.recorder._turns
        wait_until(lambda: setup.recorder._turns > turns + 3, 30, "some tries")
        assert len(setup.recorder._events) == 1
        assert len(setup.intake._events) == 100
    wait_until(lambda: not setup.intake._events and not setup.recorder._events, 30, "the events to be written")
    setup.finish()
    assert setup.store.manifest.totals["events"] == 101
