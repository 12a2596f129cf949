"""What tests kill: db_kill_child.py WHAT URL. It says "halfway" in a transaction, and waits there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from db_fill import ME, Thing, add_head, add_revision, add_runkey, add_thing  # noqa: E402
from sqlalchemy import event  # noqa: E402

import db.gc  # noqa: E402
from db import schema  # noqa: E402
from db.database import Database  # noqa: E402
from db.engines import make_engine  # noqa: E402


def halfway(*args: Any, **kwargs: Any) -> None:
    print("halfway", flush=True)
    sys.stdin.read()


def write(database: Database) -> None:
    # more than SQLite's cache holds, so that pages are on the disk already
    tree = Thing("", "runkey", {f"r{i}": bytes([i]) * 1000 + bytes(range(256)) * 400 for i in range(100)})
    with database.write() as connection:
        connection.exec_driver_sql("PRAGMA cache_size = 10") if database.dialect == "sqlite" else None
        add_thing(connection, tree)
        add_head(connection, "half", add_revision(connection, "half", 1, tree.id))
        halfway()


def many(database: Database) -> None:
    print("ready", flush=True)
    number = 0
    while True:
        number += 1
        name = f"r{database.ping():.9f}.{number}"
        add_runkey(database, name, Thing("", "runkey", {f"r{i}": f"{name} {i}".encode() * 99 for i in range(20)}))
        print(name, flush=True)


def migrate(url: str) -> None:
    engine, dialect = make_engine(url, create=True)
    done: list[str] = []

    def cut(conn: Any, cursor: Any, statement: str, *args: Any) -> None:
        if statement.lstrip().startswith(("CREATE INDEX", "CREATE TABLE")):
            done.append(statement)
        if len(done) == 20:
            halfway()

    event.listen(engine, "before_cursor_execute", cut)
    with engine.connect() as connection:
        schema.migrate(connection, dialect, "it")


what, url = sys.argv[1:]
if what == "migrate":
    migrate(url)
else:
    database = Database.open(url)
    if what == "gc":
        db.gc.record = halfway  # type: ignore[assignment]  # the last thing that it does
        db.gc.gc(database, ME)
    else:
        {"write": write, "many": many}[what](database)
