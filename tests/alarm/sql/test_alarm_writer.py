"""The writer of the log: nothing is lost or doubled when the database is gone, hangs, or the process is killed."""

from __future__ import annotations

import itertools
import random
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from db_servers import SERVERS, missing, ready_url
from hypothesis import given, settings
from hypothesis import strategies as st
from support import Process, wait_until

from db.alarms import ALARMS
from db.alarms import spool as spool_module
from db.alarms import writer as writer_module
from db.alarms.event import Event
from db.alarms.log import AlarmLog
from db.alarms.search import Search
from db.alarms.spool import Spool
from db.alarms.writer import EventWriter
from db.database import Database
from db.errors import BadInput, Unavailable

CHILD = Path(__file__).with_name("alarm_sql_child.py")
numbers = itertools.count(1_800_000_000_000_000_000)


def made(count: int) -> list[Event]:
    return [Event(next(numbers), "transition", f"/DEMO/V{i % 7}", f"V{i % 7}", message="é") for i in range(count)]


def all_of(log: AlarmLog) -> list[Event]:
    return [event for page in log.pages(Search(oldest_first=True)) for event in page]


class Gate:
    """A log that is there, is gone, hangs or refuses, as the test wants."""

    def __init__(self, url: str) -> None:
        self.log = AlarmLog(Database.open(url, schema=ALARMS))
        self.gone = ""
        self.open = threading.Event()
        self.open.set()
        self.refused: set[str] = set()
        self._write = self.log.write
        self.log.write = self.write  # type: ignore[method-assign]

    def connect(self) -> AlarmLog:
        if self.gone:
            raise Unavailable(self.gone)
        return self.log

    def write(self, rows: Sequence[Event]) -> None:
        self.open.wait(100)
        if self.gone:
            raise Unavailable(self.gone)
        if any(row.id in self.refused for row in rows):
            raise BadInput("that one is odd")
        self._write(rows)


@pytest.fixture
def gate() -> Iterator[Gate]:
    found = Gate(ready_url("sqlite", ALARMS))
    yield found
    found.open.set()
    found.log.close()


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Gate], EventWriter]]:
    monkeypatch.setattr(writer_module, "AGAIN", (0.05,))
    monkeypatch.setattr(writer_module, "PATIENCE", 0.1)
    monkeypatch.setattr(writer_module, "LINGER", 0.02)
    writers: list[EventWriter] = []

    def start(gate: Gate) -> EventWriter:
        writer = EventWriter(gate.connect, tmp_path / "spool", own=False)
        writer.start()
        writers.append(writer)
        return writer

    yield start
    for writer in writers:
        writer.close(60)


def left(folder: Path) -> list[str]:
    return (
        sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    )


def test_a_database_that_is_gone_and_back(gate: Gate, begin: Callable[[Gate], EventWriter], tmp_path: Path) -> None:
    writer = begin(gate)
    events = made(300)
    writer.put(events[:100])
    assert writer.drain(60)
    wait_until(lambda: writer.state == "OK", 60)
    assert (writer.behind, writer.lost) == (0, 0) and writer.written >= 100
    gate.gone = "the cable is out"
    for event in events[100:200]:
        writer.put([event])
    wait_until(lambda: writer.state == "Spooling" and not writer.unsafe, 60)
    assert writer.reason == "the cable is out"
    assert writer.behind == 100
    assert len(left(tmp_path / "spool")) >= 2
    gate.gone = ""
    writer.put(events[200:])
    assert writer.drain(60)
    wait_until(lambda: writer.state == "OK", 60)
    assert writer.reason == ""
    assert all_of(gate.log) == events
    assert writer.lost == 0
    writer.close()
    assert writer.state == "Closed"
    assert left(tmp_path / "spool") == []


@pytest.mark.parametrize("kind", list(SERVERS))
def test_a_server_that_is_killed_and_comes_back(kind: str, tmp_path: Path) -> None:
    if reason := missing(kind):
        pytest.skip(reason)
    with SERVERS[kind](durable=True) as server:
        url = server.fresh_url()
        Database.open(url, schema=ALARMS).close()
        writer = EventWriter(lambda: AlarmLog(Database.open(url, create=False, schema=ALARMS)), tmp_path)
        writer.start()
        events = made(3000)
        writer.put(events[:1000])
        assert writer.drain(100)
        server.kill()
        for start in range(1000, 2000, 100):
            writer.put(events[start : start + 100])
        wait_until(lambda: writer.state == "Spooling" and not writer.unsafe, 100)
        server.start()
        writer.put(events[2000:])
        assert writer.drain(100)
        writer.close(100)
        log = AlarmLog(Database.open(url, schema=ALARMS))
        assert all_of(log) == events
        log.close()


def test_it_begins_without_a_database_and_ends_without(gate: Gate, begin: Callable[[Gate], EventWriter]) -> None:
    gate.gone = "not yet"
    events = made(50)
    first = begin(gate)
    first.put(events)
    first.close(60)
    assert all_of(gate.log) == []
    gate.gone = ""
    second = begin(gate)
    wait_until(lambda: len(all_of(gate.log)) == 50, 60)
    assert second.drain(60)
    assert all_of(gate.log) == events


def test_a_database_that_hangs_costs_no_memory_and_no_events(
    gate: Gate, begin: Callable[[Gate], EventWriter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "SEGMENT", 70)
    writer = begin(gate)
    gate.open.clear()
    events = made(400)
    for start in range(0, 400, 20):
        writer.put(events[start : start + 20])
        wait_until(lambda: writer.unsafe < 60, 60)
    # also those that the database was being given
    wait_until(lambda: writer.unsafe == 0, 60)
    gate.open.set()
    assert writer.drain(60)
    assert all_of(gate.log) == events


def test_neither_database_nor_disk(
    gate: Gate, begin: Callable[[Gate], EventWriter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "MOST", 100)
    writer = begin(gate)
    gate.gone = "gone"
    with monkeypatch.context() as patch:

        def full(file: int, data: object) -> int:
            raise OSError(28, "No space left on device")

        patch.setattr("db.alarms.spool.os.write", full)
        events = made(130)
        writer.put(events)
        wait_until(lambda: writer.state == "Losing" and "No space left" in writer.reason, 60)
        assert writer.lost == 30
    wait_until(lambda: writer.state == "Spooling" and writer.unsafe == 0, 60)
    gate.gone = ""
    wait_until(lambda: len(all_of(gate.log)) == 101, 60)
    assert writer.drain(60)
    found = all_of(gate.log)
    told = next(event for event in found if event.kind == "server")
    assert told.detail == "30 events were lost"
    assert [event for event in found if event != told] == events[:100]


def test_an_event_that_no_database_takes_stops_no_other(
    gate: Gate, begin: Callable[[Gate], EventWriter], tmp_path: Path
) -> None:
    events = made(40)
    gate.refused = {events[3].id, events[30].id}
    writer = begin(gate)
    writer.put(events)
    assert writer.drain(60)
    wait_until(lambda: writer.lost == 2, 60)
    found = [event for event in all_of(gate.log) if event.kind != "server"]
    assert found == [event for event in events if event.id not in gate.refused]
    file = tmp_path / "spool" / "refused.jsonl"
    wait_until(lambda: file.exists() and file.read_text().count("\n") == 2, 60)
    refused = file.read_text()
    assert all(id_ in refused for id_ in gate.refused)
    assert refused.count("that one is odd") == 2


def test_two_servers_with_one_folder_do_not_take_each_others_spool(
    gate: Gate, begin: Callable[[Gate], EventWriter], tmp_path: Path
) -> None:
    gate.gone = "gone"
    one, two = begin(gate), begin(gate)
    events = made(20)
    one.put(events[:10])
    two.put(events[10:])
    wait_until(lambda: one.unsafe == two.unsafe == 0 and one.behind == two.behind == 10, 60)
    third = Spool(tmp_path / "spool")
    third.adopt()
    assert third.rows == 0
    third.close()
    gate.gone = ""
    assert one.drain(60)
    assert two.drain(60)
    assert all_of(gate.log) == events


texts = st.text(max_size=20)
events_said = st.builds(
    Event,
    time_ns=st.integers(-(2**62), 2**62),
    kind=st.sampled_from(["transition", "ack"]),
    path=st.text(st.characters(codec="utf-8"), max_size=20),
    pv=st.text(st.characters(codec="utf-8"), max_size=20),
    severity=st.integers(0, 8),
    raised=st.booleans(),
    detail=st.text(st.characters(codec="utf-8")),
)


@settings(max_examples=40, deadline=None)
@given(batches=st.lists(st.lists(events_said, min_size=1, max_size=4), max_size=4), data=st.data())
def test_a_spool_gives_back_what_was_accepted_wherever_it_was_cut(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Event]], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    spool = Spool(folder)
    for batch in batches:
        spool.append(batch)
    whole = [event for batch in batches for event in batch]
    assert spool.rows == len(whole)
    spool.close()
    files = [path for path in folder.rglob("0*") if path.is_file()]
    accepted = len(whole)
    if files:
        content = files[0].read_bytes()
        cut = data.draw(st.integers(0, len(content)))
        files[0].write_bytes(content[:cut])
        accepted = content[:cut].count(b"\n")
    again = Spool(folder)
    again.adopt()
    assert again.rows == accepted
    found = again.oldest()
    assert ([] if found is None else found[1]) == whole[:accepted]
    if found is not None:
        again.done(found[0])
    again.close()
    assert again.damaged == 0
    assert left(folder) == []


@given(st.binary(max_size=60).filter(lambda line: b"\n" not in line))
@settings(max_examples=60, deadline=None)
def test_a_damaged_line_is_put_aside(tmp_path_factory: pytest.TempPathFactory, line: bytes) -> None:
    folder = tmp_path_factory.mktemp("spool")
    spool = Spool(folder)
    events = made(2)
    for event in events:
        spool.append([event])
    spool.close()
    (file,) = (path for path in folder.rglob("0*") if path.is_file())
    first, second, _ = file.read_bytes().split(b"\n")
    file.write_bytes(b"\n".join([first, line, second, b""]))
    again = Spool(folder)
    again.adopt()
    found = again.oldest()
    assert found is not None
    assert (found[1], again.damaged) == (events, 1)
    assert (folder / "refused.jsonl").read_bytes().count(b"\n") == 1
    again.close()


def test_it_is_killed_again_and_again(tmp_path: Path) -> None:
    """What it said was accepted is in the log in the end, once, whether the database was locked then or not."""
    url = ready_url("sqlite", ALARMS)
    rng = random.Random(2)
    accepted: list[int] = []
    for turn in range(3):
        lock = sqlite3.connect(url.removeprefix("sqlite:///"), timeout=60)
        child = Process([sys.executable, "-u", str(CHILD), "write", url, str(tmp_path)])
        wait_until(lambda child=child: len(child.log) > 3, 100)
        if turn:
            lock.execute("BEGIN IMMEDIATE")  # now its writes hang
            before = len(child.log)
            wait_until(lambda child=child, before=before: len(child.log) > before + rng.randint(1, 5), 100)
        child.kill()
        lock.close()
        accepted.append(int(child.log[-1].split()[0]))
    writer = EventWriter(lambda: AlarmLog(Database.open(url, create=False, schema=ALARMS)), tmp_path)
    writer.start()
    wait_until(lambda: left(tmp_path) == [] or writer.behind, 60)
    assert writer.drain(100)
    writer.close(60)
    log = AlarmLog(Database.open(url, schema=ALARMS))
    found = all_of(log)
    log.close()
    assert left(tmp_path) == []
    assert writer.lost == 0
    # each turn counts from 0: of each its accepted ones are there, and at most one batch more
    runs: list[list[int]] = []
    for event in found:
        number = int(event.detail)
        if number == 0:
            runs.append([])
        runs[-1].append(number)
    assert [run == list(range(len(run))) for run in runs] == [True] * 3
    assert [count <= len(run) <= count + 50 for run, count in zip(runs, accepted, strict=True)] == [True] * 3
