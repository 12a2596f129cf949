"""gc keeps all that something needs and nothing else, whoever writes meanwhile."""

from __future__ import annotations

import os
import random
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from db_fill import ME, Thing, add_head, add_revision, add_runkey, add_thing, small_tree
from db_servers import KINDS, ready_url
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, insert, select

from db import users
from db.audit import search
from db.blobs import get_blobs, put_blobs
from db.database import Database
from db.errors import Busy, Forbidden
from db.gc import GcReport, gc
from db.ids import new_id
from db.models import Application, Audit, Base, Blob, Object, Payload, Revision, Runkey, Tag, TagObject, TagPayload
from db.models import Validity as ValidityRow
from db.verify import verify
from db.who import Who

NOW = datetime.now(UTC)
NOTHING = GcReport(0, 0, 0, 0, 0)


def counts(database: Database) -> tuple[int, ...]:
    """Revisions, objects, payloads, blobs."""
    with database.read() as connection:
        tables = (Revision, Object, Payload, Blob)
        return tuple(connection.execute(select(func.count()).select_from(t)).scalar_one() for t in tables)


def drop(database: Database, name: str) -> None:
    with database.write() as connection:
        connection.execute(delete(Runkey).where(Runkey.name == name))


def test_nothing_goes_while_it_is_needed(database):
    assert gc(database, ME) == NOTHING
    add_runkey(database, "a")
    before = counts(database)
    assert gc(database, ME) == NOTHING
    assert counts(database) == before == (1, 4, 3, 3)
    with database.read() as connection:
        assert search(connection, action="gc") == []


def test_what_only_a_deleted_runkey_had_goes(database):
    shared = Thing("SHARED", payloads={"config": b"of both", "same": b"felix b"})
    first = small_tree(b"a")
    first.children.append(shared)
    add_runkey(database, "a", first)
    second = small_tree(b"b")
    second.children.append(shared)
    add_runkey(database, "b", second)
    assert counts(database) == (2, 9, 8, 7)
    drop(database, "a")
    foreseen = gc(database, ME, dry_run=True)
    assert counts(database) == (2, 9, 8, 7)
    report = gc(database, ME)
    assert report == foreseen == GcReport(revisions=1, objects=4, payloads=3, blobs=3, bytes=report.bytes)
    assert report.bytes == len(b"felix a" + b"config 0 a" + b"config 1 a")
    assert counts(database) == (1, 5, 5, 4)
    assert verify(database) == []
    assert gc(database, ME) == NOTHING
    with database.read() as connection:
        (entry,) = search(connection, action="gc")
    assert (entry.user, entry.subject, entry.detail["objects"]) == ("ada", "staging", 4)


def test_the_history_of_a_runkey_is_kept_also_where_it_was_cloned_from(database):
    trees = [small_tree(b"%d" % i) for i in range(4)]
    with database.write() as connection:
        for tree in trees:
            add_thing(connection, tree)
        one = add_revision(connection, "old", 1, trees[0].id)
        two = add_revision(connection, "old", 2, trees[1].id, one)
        add_revision(connection, "old", 3, trees[2].id, two)  # after the clone: nothing descends from it
        clone = add_revision(connection, "new", 1, trees[1].id, two)
        far = add_revision(connection, "new", 2, trees[3].id, new_id())  # its parent is in the other database
        add_head(connection, "new", clone)
        add_head(connection, "far", far)
    report = gc(database, ME)
    assert (report.revisions, report.objects, report.payloads, report.blobs) == (1, 4, 3, 3)
    with database.read() as connection:
        kept = set(connection.execute(select(Revision.id)).scalars())
    assert kept == {one, two, clone, far}
    assert verify(database) == []


def test_tags_validity_and_what_was_applied_keep_it(database):
    common: dict[str, Any] = {"author": "ada", "created": NOW}
    trees = {why: small_tree(why.encode()) for why in ("label", "validity", "applied", "runkey", "nothing")}
    loose = {why: new_id() for why in ("payload tag", "payload validity", "payload nothing")}
    with database.write() as connection:
        for tree in trees.values():
            add_thing(connection, tree)
        for why, id_ in loose.items():
            (sha,) = put_blobs(connection, [why.encode()])
            words = {"type": "result", "name": "", "format": "raw", "meta": "{}"}
            connection.execute(insert(Payload).values(id=id_, sha256=sha, size=len(why), **words, **common))
        tags = {type_: new_id() for type_ in ("LABEL", "VALIDITY", "RUNKEY")}
        for type_, id_ in tags.items():
            connection.execute(insert(Tag).values(id=id_, type=type_, name="x", comment="", **common))
        felix = trees["label"].children[0]
        connection.execute(insert(TagObject).values(tag_id=tags["LABEL"], object_id=felix.id))
        connection.execute(insert(TagObject).values(tag_id=tags["RUNKEY"], object_id=trees["runkey"].id))
        connection.execute(insert(TagPayload).values(tag_id=tags["LABEL"], payload_id=loose["payload tag"]))
        for target in ({"object_id": trees["validity"].id}, {"payload_id": loose["payload validity"]}):
            row = {"id": new_id(), "tag_id": tags["VALIDITY"], "valid_from": NOW, **target, **common}
            connection.execute(insert(ValidityRow).values(**row))
        applied = trees["applied"]
        done = {"state": "applied", "user": "a", "host": "h", "comment": "", "report": "", "started": NOW}
        connection.execute(
            insert(Application).values(id=new_id(), runkey="gone", root_id=applied.id, digest=applied.digest, **done)
        )
    report = gc(database, ME)
    assert (report.revisions, report.objects, report.payloads, report.blobs) == (0, 4 + 4 + 1, 3 + 3 + 1, 7)
    with database.read() as connection:
        objects = set(connection.execute(select(Object.id)).scalars())
        payloads = set(connection.execute(select(Payload.id)).scalars())
    assert {felix.id, trees["validity"].id, applied.id} <= objects
    assert not {trees["label"].id, trees["runkey"].id, trees["nothing"].id} & objects
    assert {loose["payload tag"], loose["payload validity"]} <= payloads
    assert loose["payload nothing"] not in payloads
    assert verify(database) == []


def test_rows_are_immutable_again_after_it(database):
    add_runkey(database, "a")
    drop(database, "a")
    assert gc(database, ME).objects == 4
    add_runkey(database, "b")
    assert verify(database) == []  # with all triggers
    for table in ("object", "connection", "audit"):
        with pytest.raises(Forbidden), database.write() as connection:
            connection.execute(delete(Base.metadata.tables[table]))


def test_a_gc_that_fails_changes_nothing(database, monkeypatch):
    add_runkey(database, "a")
    drop(database, "a")
    before = counts(database)
    monkeypatch.setattr("db.gc.record", lambda *args, **kwargs: (_ for _ in ()).throw(RuntimeError("no")))
    with pytest.raises(RuntimeError):
        gc(database, ME)
    monkeypatch.undo()
    assert counts(database) == before
    assert verify(database) == []
    with pytest.raises(Forbidden), database.write() as connection:
        connection.execute(delete(Object))
    assert gc(database, ME).objects == 4


def test_the_audit_is_never_thrown_away(database):
    add_runkey(database, "a")
    drop(database, "a")
    gc(database, ME)
    with database.read() as connection:
        assert connection.execute(select(func.count()).select_from(Audit)).scalar() == 1


def test_only_admins_may(database):
    with database.write() as connection:
        users.add_user(connection, ME, "ada", ["admin"])
        users.add_user(connection, ME, "bob", ["expert"])
    with pytest.raises(Forbidden, match="bob is expert; admin is needed"):
        gc(database, Who("bob", "x"))
    assert gc(database, ME) == NOTHING


def test_a_file_becomes_small_again():
    database = Database.open(ready_url("sqlite"))
    path = Path(str(database.engine.url.database))
    add_runkey(database, "keep")
    tree = Thing("", "runkey", {f"r{i}": os.urandom(100_000) for i in range(100)})
    empty = path.stat().st_size
    add_runkey(database, "a", tree)
    drop(database, "a")
    assert path.stat().st_size + path.with_name(path.name + "-wal").stat().st_size > 10_000_000
    assert gc(database, ME).bytes == 10_000_000
    assert path.stat().st_size < empty + 2_000_000
    assert verify(database) == []
    database.close()


def test_a_writer_that_uses_what_would_go_keeps_it(database):
    """The writer found the content stored already; gc must not take it away before the writer refers to it."""
    add_runkey(database, "old", Thing("", "runkey", {"config": b"wanted again"}))
    drop(database, "old")
    done: list[GcReport] = []
    collector = threading.Thread(target=lambda: done.append(gc(database, ME)), daemon=True)
    again = Thing("", "runkey", {"config": b"wanted again"})
    with database.write() as connection:
        (sha,) = put_blobs(connection, [b"wanted again"])
        collector.start()
        collector.join(0.3)
        assert not done  # it waits for the writer
        add_thing(connection, again)
        add_head(connection, "new", add_revision(connection, "new", 1, again.id))
    collector.join(100)
    assert done and done[0].objects == 1 and done[0].blobs == 0
    with database.read() as connection:
        assert dict(get_blobs(connection, [sha])) == {sha: b"wanted again"}
    assert verify(database) == []


def test_readers_go_on_while_it_runs(database):
    add_runkey(database, "a")
    drop(database, "a")
    before = counts(database)
    with database.read() as connection:
        seen = connection.execute(select(Object.id)).all()
        thread = threading.Thread(target=gc, args=(database, ME), daemon=True)
        thread.start()
        thread.join(100)
        assert not thread.is_alive()
        assert connection.execute(select(Object.id)).all() == seen
    assert counts(database)[1] == 0 < before[1]


@pytest.mark.parametrize("kind", KINDS)
def test_writers_and_gc_at_the_same_time(kind):
    """Four writers make and delete runkeys that share contents and objects, while gc runs all the time."""
    database = Database.open(ready_url(kind))
    contents = [b"content %d" % i * 20 for i in range(6)]
    failures: list[BaseException] = []
    alive: dict[str, Thing] = {}
    working = threading.Event()
    collected: list[GcReport] = []

    def tree(rng: random.Random) -> Thing:
        fes = [Thing(f"FE{i}", payloads={"config": rng.choice(contents)}) for i in range(3)]
        return Thing("", "runkey", {"note": rng.choice(contents)}, [Thing("F", "felix", {}, fes)])

    def write(seed: int) -> None:
        rng = random.Random(seed)
        mine: list[str] = []
        for number in range(12):
            for attempt in range(20):
                try:
                    name = f"{seed}.{number}.{attempt}"
                    alive[name] = add_runkey(database, name, tree(rng))
                    mine.append(name)
                    if len(mine) > 2:
                        gone = mine.pop(0)
                        alive.pop(gone)
                        drop(database, gone)
                    break
                except Busy:
                    continue

    def collect() -> None:
        while not working.is_set():
            try:
                collected.append(gc(database, ME))
            except Busy:
                continue

    def guarded(function: Any, *args: Any) -> None:
        try:
            function(*args)
        except BaseException as error:
            failures.append(error)

    writers = [threading.Thread(target=guarded, args=(write, seed), daemon=True) for seed in range(4)]
    collector = threading.Thread(target=guarded, args=(collect,), daemon=True)
    for thread in (collector, *writers):
        thread.start()
    for thread in writers:
        thread.join(100)
    working.set()
    collector.join(100)
    try:
        assert not failures
        gc(database, ME)
        assert sum(report.objects for report in collected) > 0
        assert verify(database) == []
        with database.read() as connection:
            heads = set(connection.execute(select(Runkey.name)).scalars())
            objects = set(connection.execute(select(Object.id)).scalars())
        assert heads == set(alive)
        assert objects == {id_ for thing in alive.values() for id_ in below(thing)}
    finally:
        database.close()


def below(thing: Thing) -> set[str]:
    return {thing.id}.union(*(below(child) for child in thing.children))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_as_a_simple_program_would(data):
    """Random graphs: what gc leaves is what can be reached."""
    database = Database.open(ready_url("sqlite"))
    things: list[Thing] = []
    try:
        for number in range(data.draw(st.integers(1, 12))):
            children = data.draw(st.lists(st.sampled_from(things), unique_by=id, max_size=3)) if things else []
            payloads = {"config": b"%d" % data.draw(st.integers(0, 5))}
            things.append(Thing(f"T{number}", "runkey", payloads, list(children)))
        heads = data.draw(st.lists(st.sampled_from(things), unique_by=id, max_size=3))
        with database.write() as connection:
            for thing in things:
                add_thing(connection, thing)
            for number, thing in enumerate(heads):
                add_head(connection, f"k{number}", add_revision(connection, f"k{number}", 1, thing.id))
        report = gc(database, ME)
        wanted = set().union(*(below(thing) for thing in heads))
        with database.read() as connection:
            assert set(connection.execute(select(Object.id)).scalars()) == wanted
            blobs = connection.execute(select(func.count()).select_from(Blob)).scalar_one()
        assert blobs == len({t.payloads["config"] for t in things if t.id in wanted})
        assert report.objects == len(things) - len(wanted)
    finally:
        database.close()
