"""kill -9 of a process that writes, and of the server: what was committed is there, of the rest nothing."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from db_fill import ME, Thing, add_head, add_revision, add_runkey, add_thing, small_tree
from db_servers import KINDS, SERVERS, Server, missing, ready_url
from sqlalchemy import delete, select
from support import ROOT

from db.blobs import get_blobs
from db.database import Database
from db.errors import Unavailable
from db.gc import gc
from db.models import Base, Blob, Runkey
from db.verify import verify

CHILD = Path(__file__).with_name("db_kill_child.py")


def state(database: Database) -> dict[str, str]:
    """Of each table a hash of all its rows."""
    found = {}
    with database.read() as connection:
        for name, table in sorted(Base.metadata.tables.items()):
            rows = sorted(repr(tuple(row)) for row in connection.execute(select(table)))
            found[name] = hashlib.sha256("\n".join(rows).encode()).hexdigest()
    return found


class Child:
    """A process that does something to a database and says how far it is."""

    def __init__(self, what: str, url: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(CHILD), what, url],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said: list[str] = []

    def wait_for(self, word: str) -> None:
        """Read until it says `word`."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.strip())
            if self.said[-1] == word:
                return
        assert self.process.stderr is not None
        raise AssertionError(f"it ended: {self.said}\n{self.process.stderr.read()}")

    def kill(self) -> None:
        """kill -9; what it had said until then."""
        self.process.kill()
        out, _ = self.process.communicate(timeout=100)
        self.said += out.split()


@pytest.mark.parametrize("what", ["write", "gc"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_process_that_is_killed_in_a_transaction(kind, what):
    url = ready_url(kind)
    database = Database.open(url)
    add_runkey(database, "a")
    add_runkey(database, "gone", small_tree(b"gone"))
    with database.write() as connection:
        connection.execute(delete(Runkey).where(Runkey.name == "gone"))
    before = state(database)
    child = Child(what, url)
    child.wait_for("halfway")
    child.kill()
    assert state(database) == before
    assert verify(database) == []
    add_runkey(database, "b")  # nobody is locked out
    assert gc(database, ME).objects == 4
    assert verify(database) == []
    database.close()


def test_a_process_that_is_killed_at_any_moment():
    """SQLite: every runkey that was reported is there, whole; and no half one."""
    url = ready_url("sqlite")
    Database.open(url).close()
    rng = random.Random(4)
    reported: set[str] = set()
    for _ in range(4):
        child = Child("many", url)
        child.wait_for("ready")
        timer = threading.Timer(rng.uniform(0.05, 0.6), child.process.kill)
        timer.start()
        child.process.wait(100)
        timer.join()
        child.kill()
        reported |= {word for word in child.said if word.startswith("r")} - {"ready"}
    database = Database.open(url)
    assert verify(database) == []
    with database.read() as connection:
        there = set(connection.execute(select(Runkey.name)).scalars())
        hashes = [bytes(sha) for sha in connection.execute(select(Blob.sha256)).scalars()]
        assert len(list(get_blobs(connection, hashes))) == len(hashes)
    database.close()
    assert reported <= there
    assert len(there) <= len(reported) + 4
    assert reported


@pytest.fixture(params=list(SERVERS))
def own_server(request):
    if reason := missing(request.param):
        pytest.skip(reason)
    with SERVERS[request.param](durable=True) as found:
        yield found


def test_a_server_that_is_killed_in_a_transaction(own_server: Server):
    database = Database.open(own_server.fresh_url(), name="backend")
    try:
        add_runkey(database, "a")
        before = state(database)
        tree = Thing("", "runkey", {f"r{i}": random.Random(i).randbytes(90_000) for i in range(60)})
        with pytest.raises(Unavailable), database.write() as connection:
            add_thing(connection, tree)
            add_head(connection, "b", add_revision(connection, "b", 1, tree.id))
            own_server.kill()
        own_server.start()
        assert state(database) == before
        assert verify(database) == []
        add_runkey(database, "b")
        assert verify(database) == []
    finally:
        database.close()


def test_a_server_that_is_killed_while_many_write(own_server: Server):
    database = Database.open(own_server.fresh_url())
    acknowledged: list[str] = []
    enough = threading.Event()
    failures: list[BaseException] = []

    def write(seed: int) -> None:
        number = 0
        while not enough.is_set() and number < 2000:
            number += 1
            name = f"{seed}.{number}"
            try:
                add_runkey(database, name)
                acknowledged.append(name)
            except Unavailable:
                return
            except BaseException as error:
                failures.append(error)
                return

    threads = [threading.Thread(target=write, args=(seed,), daemon=True) for seed in range(3)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 100
    while len(acknowledged) < 10 and time.monotonic() < deadline and not failures:
        threading.Event().wait(0.01)
    own_server.kill()
    enough.set()
    for thread in threads:
        thread.join(100)
    try:
        assert not failures
        own_server.start()
        assert verify(database) == []
        with database.read() as connection:
            there = set(connection.execute(select(Runkey.name)).scalars())
        assert set(acknowledged) <= there
        assert len(there) <= len(acknowledged) + 3
        assert len(acknowledged) >= 10
    finally:
        database.close()


def test_a_migration_that_is_killed(database_url):
    child = Child("migrate", database_url)
    child.wait_for("halfway")
    child.kill()
    database = Database.open(database_url)
    assert verify(database) == []
    add_runkey(database, "a")
    database.close()
