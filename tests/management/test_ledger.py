"""The ledger: one transaction for each call, seen by all, whatever goes wrong."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from support import ROOT

from archiver.management import Identity, Ledger, LedgerError, LedgerView, PvEntry, Request
from archiver.management.ledger import LedgerDamaged, check, set_aside

ANNA = Identity("anna", "console1")
NAMES = ["A", "B", "C:x", "D-1"]


@pytest.fixture
def ledger(tmp_path: Path):
    made = Ledger(tmp_path / "manage.db")
    yield made
    made.close()


def test_a_request_is_kept_with_what_it_leaves_open(ledger: Ledger) -> None:
    assert ledger.request(["A", Request("B", method="scan", period=2.0, alias="Bee")], ANNA) == ["A", "B"]
    entries = ledger.entries()
    assert entries["A"].requested and entries["A"].method is None
    assert (entries["B"].method, entries["B"].period) == ("scan", 2.0)
    assert ledger.aliases() == {"Bee": "B"}
    assert ledger.request(["A"], ANNA) == []
    assert ledger.request([Request("A", period=5.0)], ANNA) == ["A"]
    assert ledger.entry("A") == ledger.entries()["A"]
    assert ledger.entry("none") is None


def test_what_was_deleted_starts_afresh(ledger: Ledger) -> None:
    ledger.request([Request("A", method="scan", period=2.0)], ANNA)
    ledger.pause(["A"], ANNA)
    ledger.delete(["A"], False, ANNA)
    gone = ledger.entries()["A"]
    assert gone.deleted and not gone.requested and gone.method is None
    assert ledger.pause(["A"], ANNA) == []
    ledger.request(["A"], ANNA)
    assert dataclasses.replace(ledger.entries()["A"], created_ns=0, modified_ns=0) == PvEntry("A", requested=True)


def test_every_change_raises_the_version_and_a_refusal_does_not(ledger: Ledger) -> None:
    last = ledger.version()
    for act in (
        lambda: ledger.request(["A"], ANNA),
        lambda: ledger.pause(["A"], ANNA),
        lambda: ledger.resume(["A"], ANNA),
        lambda: ledger.change("A", ANNA, deadband=0.5),
        lambda: ledger.add_alias("X", "A", ANNA),
        lambda: ledger.remove_alias("X", ANNA),
        lambda: ledger.rename("A", "B", ANNA),
        lambda: ledger.set_flag("quiet", True, ANNA),
        lambda: ledger.reapply(["B"], ANNA),
        lambda: ledger.delete(["B"], True, ANNA),
    ):
        act()
        assert ledger.version() > last
        last = ledger.version()
    ledger.refused("deletePV", ["B"], "no", ANNA)
    assert ledger.pause(["never"], ANNA) and ledger.pause(["never"], ANNA) == []
    assert ledger.version() == last + 1


def test_jobs_are_done_once_by_each_engine(ledger: Ledger) -> None:
    ledger.request(["A"], ANNA)
    ledger.add_alias("Old", "A", ANNA)
    ledger.rename("A", "B", ANNA)
    assert ledger.aliases() == {"Old": "B"}
    ledger.delete(["B"], True, ANNA)
    assert ledger.aliases() == {}
    ledger.reapply(["C"], ANNA)
    jobs = ledger.jobs("e1")
    assert [(j.kind, j.args) for j in jobs] == [("rename", {"A": "B"}), ("forget", ["B"]), ("reapply", ["C"])]
    ledger.finish_job(jobs[0].id, "e1")
    assert [j.kind for j in ledger.jobs("e1")] == ["forget", "reapply"]
    assert len(ledger.jobs("e2")) == 3


def test_a_rename_keeps_what_was_decided(ledger: Ledger) -> None:
    ledger.request([Request("A", method="scan", period=3.0)], ANNA)
    ledger.pause(["A"], ANNA)
    ledger.rename("A", "B", ANNA)
    entries = ledger.entries()
    assert entries["A"].deleted
    assert entries["B"].paused and entries["B"].period == 3.0 and entries["B"].requested
    ledger.request(["C"], ANNA)
    with pytest.raises(LedgerError, match="There is a PV C already"):
        ledger.rename("B", "C", ANNA)
    assert len(ledger.jobs()) == 1
    # and back again
    ledger.rename("B", "A", ANNA)
    assert not ledger.entries()["A"].deleted and ledger.entries()["B"].deleted


def test_the_audit_says_who_did_what_and_what_was_before(ledger: Ledger) -> None:
    before = time.time_ns()
    ledger.request([Request("A", period=1.0)], ANNA)
    ledger.change("A", Identity("ben", "10.0.0.7"), period=2.0)
    ledger.refused("deletePV", ["A"], "no token", Identity("anonymous", "10.0.0.8"))
    refused, changed, asked = ledger.audit()
    assert (changed.user, changed.host, changed.what, changed.pv) == ("ben", "10.0.0.7", "change", "A")
    assert (changed.before, changed.after) == ({"period": 1.0}, {"period": 2.0})
    assert asked.before is None and asked.after == {"requested": True, "period": 1.0}
    assert before <= asked.time_ns <= changed.time_ns <= time.time_ns()
    assert (refused.refused, refused.what) == ("no token", "deletePV")
    assert [r.id for r in ledger.audit(limit=1)] == [refused.id]
    assert [r.id for r in ledger.audit(user="ben")] == [changed.id]
    assert [r.id for r in ledger.audit(pv="A", refused=False)] == [changed.id, asked.id]
    assert [r.id for r in ledger.audit(before_id=changed.id)] == [asked.id]


def test_refusals_cannot_fill_the_disk(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archiver.management.ledger.REFUSED_KEPT", 5)
    ledger.request(["A"], ANNA)
    for number in range(9):
        ledger.refused("pause", [f"P{number}"], "no", ANNA)
    assert [r.pv for r in ledger.audit(refused=True)] == ["P8", "P7", "P6", "P5", "P4"]
    assert len(ledger.audit(refused=False)) == 1


def test_bulk_calls_are_one_step(ledger: Ledger) -> None:
    names = [f"S:{n}" for n in range(10_000)]
    version = ledger.version()
    assert len(ledger.request(names, ANNA)) == 10_000
    assert len(ledger.pause(names, ANNA)) == 10_000
    assert ledger.version() == version + 2
    assert len(ledger.audit(limit=30_000)) == 20_000


def test_a_view_follows_at_the_cost_of_what_changed(ledger: Ledger) -> None:
    view = LedgerView(ledger)
    assert view.refresh() and not view.refresh()
    ledger.request(["A", "B"], ANNA)
    assert view.refresh() and set(view.entries) == {"A", "B"}
    kept = view.entries["A"]
    ledger.pause(["B"], ANNA)
    assert view.refresh() and view.entries["B"].paused
    assert view.entries["A"] is kept
    assert view.entries == ledger.entries()
    assert set(ledger.entries(since=view.version - 1)) == {"B"}


def test_a_reader_waits_for_a_file_that_is_not_there(tmp_path: Path) -> None:
    reader = Ledger(tmp_path / "manage.db", writable=False)
    view = LedgerView(reader)
    assert reader.version() == 0 and reader.entries() == {} and reader.jobs() == [] and reader.audit() == []
    view.refresh()
    with pytest.raises(LedgerError, match="for reading only"):
        reader.request(["A"], ANNA)
    writer = Ledger(tmp_path / "manage.db")
    writer.request(["A"], ANNA)
    assert view.refresh() and set(view.entries) == {"A"}
    writer.close()
    reader.close()


WRITER = """
import sys
from archiver.management import Identity, Ledger
ledger = Ledger(sys.argv[1])
for n in range(40):
    ledger.request([f"{sys.argv[2]}:{n}"], Identity(sys.argv[2], "here"))
print("done")
"""


BULK = """
import sys
from archiver.management import Identity, Ledger
ledger = Ledger(sys.argv[1])
for n in range(10_000):
    ledger.request([f"{sys.argv[2]}:{n}:{i}" for i in range(2000)], Identity())
"""


def test_a_kill_in_the_middle_of_bulk_calls_leaves_whole_ones(tmp_path: Path) -> None:
    path = tmp_path / "manage.db"
    ledger = Ledger(path)
    for kill in range(5):
        before = ledger.version()
        writer = subprocess.Popen([sys.executable, "-c", BULK, path, f"K{kill}"], cwd=ROOT)
        try:
            while ledger.version() <= before + kill and writer.poll() is None:
                time.sleep(0.003 * kill)  # the kill comes at another place each time
            assert writer.poll() is None
        finally:
            writer.kill()
            writer.wait()
        entries = ledger.entries()
        assert entries and len(entries) % 2000 == 0
        assert len(ledger.audit(limit=1_000_000)) == len(entries), "each change is in the audit, and nothing else"
        check(path)
    ledger.close()


def test_processes_write_and_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "manage.db"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, f"W{n}"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for n in range(3)
    ]
    view = LedgerView(Ledger(path, writable=False))
    seen = 0
    deadline = time.monotonic() + 100
    while any(w.poll() is None for w in writers) and time.monotonic() < deadline:
        try:
            view.refresh()
        except LedgerError as error:  # the file is being made
            assert "isn't ready yet" in str(error)
        assert len(view.entries) >= seen
        seen = len(view.entries)
    for w in writers:
        assert w.communicate(timeout=60)[0] == "done\n"
    view.refresh()
    assert len(view.entries) == 120
    assert len(view.ledger.audit(limit=1000)) == 120
    view.ledger.close()


@pytest.mark.parametrize("content", [b"no database at all, but text\n" * 200, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_is_one_clear_error_and_can_be_set_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "manage.db"
    path.write_bytes(content)
    ledger = Ledger(path)
    with pytest.raises(LedgerDamaged, match=r"the ledger .*manage\.db is damaged") as error:
        ledger.entries()
    assert "\n" not in str(error.value)
    with pytest.raises(LedgerDamaged):
        ledger.request(["A"], ANNA)
    aside, saved = set_aside(path)
    assert aside.read_bytes() == content and aside.name.startswith("manage.db.damaged-")
    assert saved["pv"] == 0
    ledger.request(["A"], ANNA)
    assert set(ledger.entries()) == {"A"}
    ledger.close()


def test_what_is_readable_of_a_damaged_file_is_kept_and_followers_notice(tmp_path: Path) -> None:
    path = tmp_path / "manage.db"
    ledger = Ledger(path)
    ledger.request([f"P{n}" for n in range(3000)], ANNA)
    ledger.add_alias("X", "P1", ANNA)
    follower = LedgerView(Ledger(path, writable=False))
    follower.refresh()
    ledger.close()
    sqlite3.connect(path).execute("PRAGMA wal_checkpoint(TRUNCATE)").connection.close()
    data = bytearray(path.read_bytes())
    with sqlite3.connect(path) as connection:
        root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'audit'").fetchone()[0]
    connection.close()
    size = int.from_bytes(data[16:18], "big")
    data[(root - 1) * size : root * size] = os.urandom(size)
    path.write_bytes(data)
    with pytest.raises(LedgerDamaged):
        check(path)
    aside, saved = set_aside(path)
    assert aside.exists()
    assert saved["pv"] == 3000 and saved["alias"] == 1 and saved["audit"] == 0
    check(path)
    again = Ledger(path)
    again.pause(["P5"], ANNA)
    assert follower.refresh()
    assert len(follower.entries) == 3000 and follower.entries["P5"].paused and follower.aliases == {"X": "P1"}
    again.close()
    follower.ledger.close()


def test_a_full_disk_leaves_the_old_state(ledger: Ledger) -> None:
    ledger.request(["A"], ANNA)
    version = ledger.version()
    connection = ledger._file._connection
    assert connection is not None
    connection.execute("PRAGMA max_page_count = 20")
    with pytest.raises(LedgerError, match=r"full.*nothing was changed"):
        ledger.request([f"P{n}" for n in range(5000)], ANNA)
    assert set(ledger.entries()) == {"A"} and ledger.version() == version and len(ledger.audit()) == 1
    connection.execute("PRAGMA max_page_count = 100000")
    assert len(ledger.request([f"P{n}" for n in range(5000)], ANNA)) == 5000


FULL = """
import resource, signal, sys
from archiver.management import Identity, Ledger, LedgerError
ledger = Ledger(sys.argv[1])
ledger.request(["A"], Identity())
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
try:
    ledger.request([f"P{n}" for n in range(20_000)], Identity())
except LedgerError as error:
    print(error)
print(sorted(ledger.entries()))
"""


def test_a_write_that_fails_in_the_middle_leaves_the_old_state(tmp_path: Path) -> None:
    path = tmp_path / "manage.db"
    done = subprocess.run([sys.executable, "-c", FULL, path], cwd=ROOT, capture_output=True, text=True, timeout=100)
    error, names = done.stdout.splitlines()
    assert "nothing was changed" in error and names == "['A']", done
    check(path)


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="can't be"):
        Ledger(tmp_path / "file" / "manage.db").request(["A"], ANNA)


def test_a_copy_in_a_folder_that_is_read_only_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "copy" / "manage.db"
    writer = Ledger(path)
    writer.add_alias("N", "A", ANNA)
    writer.close()
    access = os.access
    monkeypatch.setattr(os, "access", lambda place, mode: Path(place) != path.parent and access(place, mode))
    reader = Ledger(path, writable=False)
    assert reader.aliases() == {"N": "A"}
    assert [p.name for p in path.parent.iterdir()] == ["manage.db"], "nothing was written, not even for a moment"
    # somebody begins to work on it after all
    writer.add_alias("M", "A", ANNA)
    assert reader.aliases() == {"M": "A", "N": "A"}
    reader.close()
    writer.close()


def test_a_later_versions_ledger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "manage.db"
    Ledger(path).request(["A"], ANNA)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(LedgerError, match="later version"):
        Ledger(path).version()


class LedgerMachine(RuleBasedStateMachine):
    """The ledger against dictionaries, with a follower that looks now and then, and restarts."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.path = Path(self._folder.name) / "manage.db"
        self.ledger = Ledger(self.path)
        self.view = LedgerView(Ledger(self.path, writable=False))
        self.model: dict[str, PvEntry] = {}
        self.aliases: dict[str, str] = {}
        self.changes = 0
        self.jobs: list[tuple[str, object]] = []

    def _of(self, name: str) -> PvEntry:
        return self.model.get(name, PvEntry(name))

    def _put(self, *entries: PvEntry) -> list[str]:
        changed = [e.name for e in entries if e != self._of(e.name)]
        self.model.update((e.name, e) for e in entries if e.name in changed)
        self.changes += len(changed)
        return changed

    names = st.lists(st.sampled_from(NAMES), min_size=1, unique=True)

    @rule(names=names, period=st.none() | st.sampled_from([1.0, 2.5]), paused=st.booleans())
    def request(self, names: list[str], period: float | None, paused: bool) -> None:
        made = []
        for name in names:
            base = PvEntry(name) if self._of(name).deleted else self._of(name)
            made.append(dataclasses.replace(base, requested=True, paused=paused, period=period or base.period))
        specs = [Request(n, period=period, paused=paused) for n in names]
        assert self.ledger.request(specs, ANNA) == self._put(*made)

    @rule(names=names)
    def pause(self, names: list[str]) -> None:
        made = [self._of(n) if self._of(n).deleted else dataclasses.replace(self._of(n), paused=True) for n in names]
        assert self.ledger.pause(names, ANNA) == self._put(*made)

    @rule(names=names)
    def resume(self, names: list[str]) -> None:
        made = [dataclasses.replace(self._of(n), paused=False) for n in names]
        assert self.ledger.resume(names, ANNA) == self._put(*made)

    @rule(name=st.sampled_from(NAMES), deadband=st.none() | st.floats(0, 10), fields=st.none() | st.just(("ADEL",)))
    def change(self, name: str, deadband: float | None, fields: tuple[str, ...] | None) -> None:
        made = dataclasses.replace(self._of(name), deadband=deadband, fields=fields)
        assert self.ledger.change(name, ANNA, deadband=deadband, fields=fields) == self._put(made)

    @rule(names=names, data=st.booleans())
    def delete(self, names: list[str], data: bool) -> None:
        changed = self.ledger.delete(names, data, ANNA)
        mine = self._put(*(PvEntry(n, deleted=True) for n in names))
        assert changed == (names if data else mine)
        if data:
            self.changes += len(names) - len(mine)
            gone = [a for a, pv in self.aliases.items() if pv in names]
            for alias in gone:
                del self.aliases[alias]
            self.changes += len(gone)
            self.jobs.append(("forget", names))

    @rule(old=st.sampled_from(NAMES), new=st.sampled_from(NAMES))
    def rename(self, old: str, new: str) -> None:
        if old == new or self._of(old).deleted or (new in self.model and not self.model[new].deleted):
            with pytest.raises(LedgerError):
                self.ledger.rename(old, new, ANNA)
            return
        mine = self._of(old)
        self.ledger.rename(old, new, ANNA)
        self._put(PvEntry(old, deleted=True), dataclasses.replace(mine, name=new, requested=True, deleted=False))
        self.aliases = {a: new if pv == old else pv for a, pv in self.aliases.items() if a != new}
        self.jobs.append(("rename", {old: new}))

    @rule(alias=st.sampled_from(["X", "Y"]), name=st.sampled_from(NAMES))
    def add_alias(self, alias: str, name: str) -> None:
        new = self.aliases.get(alias) != name
        assert self.ledger.add_alias(alias, name, ANNA) == new
        self.aliases[alias] = name
        self.changes += new

    @rule(alias=st.sampled_from(["X", "Y"]))
    def remove_alias(self, alias: str) -> None:
        there = self.aliases.pop(alias, None) is not None
        assert self.ledger.remove_alias(alias, ANNA) == there
        self.changes += there

    @rule()
    def follow(self) -> None:
        self.view.refresh()
        assert self.view.entries == self.ledger.entries()
        assert self.view.aliases == self.aliases

    @rule()
    def restart(self) -> None:
        self.ledger.close()
        self.ledger = Ledger(self.path)

    @invariant()
    def same(self) -> None:
        found = {n: dataclasses.replace(e, created_ns=0, modified_ns=0) for n, e in self.ledger.entries().items()}
        assert found == self.model
        assert self.ledger.aliases() == self.aliases
        assert [(j.kind, j.args) for j in self.ledger.jobs()] == self.jobs
        assert len(self.ledger.audit(limit=100_000)) == self.changes

    def teardown(self) -> None:
        self.ledger.close()
        self.view.ledger.close()
        self._folder.cleanup()


LedgerMachine.TestCase.settings = settings(
    max_examples=30,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
TestLedgerMachine = LedgerMachine.TestCase
