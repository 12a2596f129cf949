"""Looking at every hash and every reference of a database, without changing anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sqlalchemy import Connection, select

from db import schema
from db.blob_rows import Row, select_blobs
from db.blobs import BATCH_BYTES, parallel, unpack
from db.database import Database
from db.errors import Damaged
from db.models import MYSQL, Blob
from db.verify_objects import object_problems
from db.verify_rows import ERROR, Problem, reference_problems, row_problems

__all__ = ["Problem", "verify"]

MOST = 1000
"""Problems that are told; a database with more is not looked at any longer."""

Progress = Callable[..., None]
"""Called as progress(done, total, text)."""


def verify(database: Database, deep: bool = True, progress: Progress | None = None) -> list[Problem]:
    """What is wrong with a database, at most `MOST` problems; an empty list when all is well.

    Looked at: the triggers that keep rows immutable, every reference, every object's digest, cycles, names, heads,
    sizes, and what a column can hold. `deep`: every content, too, against its hash; otherwise contents are not read.
    It sees one state of the database, whoever writes meanwhile. Unavailable.
    """
    say = progress or (lambda *args: None)
    found: list[Problem] = []
    with database.read() as connection:
        for problem in _all_problems(connection, deep, say):
            found.append(problem)
            if len(found) >= MOST:
                found.append(Problem(ERROR, f"there are more than {MOST} problems: the rest was not looked at", ""))
                break
    return found


def _all_problems(connection: Connection, deep: bool, say: Progress) -> Iterator[Problem]:
    say(0, 0, "tables")
    yield from _schema_problems(connection)
    if deep and connection.dialect.name == "sqlite":
        say(0, 0, "file")
        for (text,) in connection.exec_driver_sql("PRAGMA quick_check(20)").all():
            if text != "ok":
                yield Problem(ERROR, f"the file is damaged: {text}", "file")
    say(0, 0, "references")
    yield from reference_problems(connection)
    say(0, 0, "rows")
    yield from row_problems(connection)
    say(0, 0, "objects")
    yield from object_problems(connection)
    if deep:
        yield from _blob_problems(connection, say)


def _schema_problems(connection: Connection) -> Iterator[Problem]:
    name = connection.dialect.name
    if name == "sqlite":
        query = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    elif name in MYSQL:
        query = "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = DATABASE()"
    else:
        query = "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled IN ('O', 'A')"
    there = set(connection.exec_driver_sql(query).scalars())
    for trigger in sorted(schema.triggers("mariadb" if name in MYSQL else name) - there):
        yield Problem(ERROR, f"the trigger {trigger} is missing: rows could be changed", "tables")


def _blob_problems(connection: Connection, say: Progress) -> Iterator[Problem]:
    """Contents that do not fit their hash or size; all are read."""
    sizes = [
        (bytes(row[0]), row[1]) for row in connection.execute(select(Blob.sha256, Blob.size).order_by(Blob.sha256))
    ]
    total = sum(max(size, 1) for _, size in sizes)
    done = 0
    for batch in _batches(sizes):
        say(done, total, "contents")
        for problem in parallel(_blob_problem, select_blobs(connection, [sha for sha, _ in batch])):
            if problem is not None:
                yield problem
        done += sum(max(size, 1) for _, size in batch)
    say(total, total, "contents")


def _blob_problem(row: Row) -> Problem | None:
    try:
        unpack(row)
    except Damaged as error:
        return Problem(ERROR, str(error), f"blob {row[0].hex()}")
    return None


def _batches(sizes: list[tuple[bytes, int]]) -> Iterator[list[tuple[bytes, int]]]:
    batch: list[tuple[bytes, int]] = []
    held = 0
    for sha, size in sizes:
        batch.append((sha, size))
        held += max(size, 0)
        if held >= BATCH_BYTES or len(batch) >= 500:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch
