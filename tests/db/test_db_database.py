"""Opening, reading, writing; what is said when it does not work."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from db_fill import ME, add_runkey
from db_servers import KINDS, SERVERS, Server, fresh_url, missing, ready_url, server
from sqlalchemy import func, insert, make_url, select, text
from support import free_port

from db import database as database_module
from db import engines
from db.audit import record, search
from db.blobs import put_blobs
from db.database import Database
from db.engines import parse_url, shown_url
from db.errors import BadInput, Busy, Damaged, DbError, Exists, Forbidden, NotFound, NotMigrated, Unavailable
from db.models import Audit, Blob, Runkey, Tag


def entries(database: Database) -> int:
    with database.read() as connection:
        return connection.execute(select(func.count()).select_from(Audit)).scalar_one()


def note(database: Database) -> None:
    with database.write() as connection:
        record(connection, ME, "note", "subject")


def test_a_read_sees_one_state_whoever_writes(database):
    note(database)
    with database.read() as connection:
        assert len(search(connection)) == 1
        note(database)
        note(database)
        assert len(search(connection)) == 1
    assert entries(database) == 3


def test_a_reader_does_not_stop_a_writer_nor_a_writer_a_reader(database):
    with database.write() as connection:
        record(connection, ME, "note", "subject")
        assert entries(database) == 0
    assert entries(database) == 1


def test_nothing_of_a_block_that_raises_is_stored(database):
    with pytest.raises(ValueError, match="half way"), database.write() as connection:
        record(connection, ME, "note", "subject")
        raise ValueError("half way")
    assert entries(database) == 0
    note(database)  # and the connection is of use again
    assert entries(database) == 1


def test_who_reads_cannot_write(database):
    with pytest.raises(Forbidden), database.read() as connection:
        record(connection, ME, "note", "subject")
    note(database)
    assert entries(database) == 1


def test_rows_refer_only_to_what_is_there(database):
    with pytest.raises(NotFound), database.write() as connection:
        connection.execute(
            insert(Runkey).values(
                name="a", revision_id="0" * 32, version=1, committed=False, author="a", created=func.current_timestamp()
            )
        )


def test_a_name_is_given_once_and_names_differ_by_every_character(database):
    def tag(name: str) -> None:
        with database.write() as connection:
            values = {"id": os.urandom(16).hex(), "comment": "", "author": "a", "created": func.current_timestamp()}
            connection.execute(insert(Tag).values(type="LABEL", name=name, **values))

    # MariaDB would take these for equal, were its collation not told otherwise
    for name in ("Stra\u00dfe", "strasse", "STRASSE", "Strasse", "\u00e9", "e", "e\u0301"):
        tag(name)
    with pytest.raises(Exists):
        tag("\u00e9")


def test_writers_wait_for_each_other(database):
    def work() -> None:
        for _ in range(10):
            note(database)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert entries(database) == 40


def test_busy_after_a_while(monkeypatch):
    monkeypatch.setattr(engines, "BUSY_TIMEOUT", 0.2)
    database = Database.open(ready_url("sqlite"), name="staging")
    try:
        with database.write(), pytest.raises(Busy, match=r"the staging database .* is busy with another writer"):
            note(database)
        note(database)
    finally:
        database.close()


@pytest.mark.parametrize("kind", SERVERS)
def test_a_row_that_another_holds_makes_busy(kind, monkeypatch):
    monkeypatch.setattr(engines, "BUSY_TIMEOUT", 1)
    database = Database.open(ready_url(kind))
    try:
        add_runkey(database, "a")
        with database.write() as first:
            first.execute(text("UPDATE runkey SET version = 2"))
            with pytest.raises(Busy), database.write() as second:
                second.execute(text("UPDATE runkey SET version = 3"))
        with database.write(), pytest.raises(Busy), database.write(alone=True):
            pass
    finally:
        database.close()


def test_errors_of_sql_are_ours(database):
    with pytest.raises(NotMigrated), database.read() as connection:
        connection.execute(text("SELECT * FROM no_such_table"))
    with pytest.raises(DbError), database.read() as connection:
        connection.execute(text("SELEKT"))
    with pytest.raises(BadInput), database.write() as connection:
        connection.execute(
            insert(Tag).values(id="1", type="x", name="y", comment="", author="", created=datetime(2030, 1, 1))
        )


def test_ping_says_how_long_it_took(database):
    assert 0 < database.ping() < 60


# opening


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "it can't be read"),
        ("nonsense", "it can't be read"),
        ("postgresql://me:hush@localhost:port/db", "it can't be read"),
        ("oracle://me:hush@host/db", "oracle is none of sqlite, postgresql, mariadb"),
        ("sqlite://", "it needs a file"),
        ("sqlite:///:memory:", "it needs a file"),
        ("postgresql://me:hush@localhost", "the name of the database is missing"),
        ("postgresql+asyncpg://me:hush@localhost/db", r"not supported \(postgresql\+psycopg\)"),
        ("mariadb+asyncmy://me:hush@localhost/db", "not supported"),
    ],
)
def test_a_url_that_cannot_be_used(url, reason):
    with pytest.raises(BadInput, match=reason) as caught:
        Database.open(url)
    assert "hush" not in str(caught.value)


def test_drivers_are_filled_in():
    assert parse_url("postgresql://u@h/d")[0].drivername == "postgresql+psycopg"
    assert parse_url("mariadb://u@h/d")[0].drivername == "mariadb+pymysql"
    assert parse_url("mysql://u@h/d")[1] == "mariadb"
    assert parse_url("mysql+mysqldb://u@h/d")[0].query["charset"] == "utf8mb4"


def test_a_missing_driver_is_said_with_the_command(monkeypatch):
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"pip install 'owlshift\[postgresql\]'") as caught:
        parse_url("postgresql://me:hush@host/db")
    assert "hush" not in str(caught.value)


def test_without_create_nothing_is_made(tmp_path):
    path = tmp_path / "folder" / "db.sqlite"
    with pytest.raises(NotFound, match=r"there is no database .*db\.sqlite: `owl runkey init` makes it"):
        Database.open(f"sqlite:///{path}", create=False)
    assert not path.parent.exists()
    Database.open(f"sqlite:///{path}").close()
    Database.open(f"sqlite:///{path}", create=False).close()
    assert path.is_file()


def test_an_empty_database_is_not_migrated_without_create(database_url):
    if database_url.startswith("sqlite"):
        path = Path(str(make_url(database_url).database))
        path.parent.mkdir(parents=True)
        path.touch()
    with pytest.raises(NotMigrated, match="has no tables yet: run `owl runkey init`"):
        Database.open(database_url, create=False)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="file"):
        Database.open(f"sqlite:///{tmp_path}/file/db.sqlite")
    with pytest.raises(Unavailable, match="no connection to"):
        Database.open(f"sqlite:///{tmp_path}")


def test_a_file_that_is_no_database(tmp_path):
    path = tmp_path / "db.sqlite"
    path.write_bytes(b"this is a text, and a long one\n" * 1000)
    with pytest.raises(Damaged, match="is damaged: file is not a database"):
        Database.open(f"sqlite:///{path}")
    assert path.read_bytes().startswith(b"this is a text")


def test_sqlite_is_set_up_for_blobs_and_crashes():
    database = Database.open(ready_url("sqlite"))
    with database.read() as connection:
        pragma = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("page_size", "journal_mode", "synchronous", "foreign_keys", "auto_vacuum")
        }
    assert pragma == {"page_size": 16384, "journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "auto_vacuum": 2}
    database.close()


def test_postgresql_stores_blobs_as_they_are():
    database = Database.open(ready_url("postgresql"))
    with database.read() as connection:
        storage = connection.execute(
            text("SELECT attstorage FROM pg_attribute WHERE attrelid = 'blob'::regclass AND attname = 'data'")
        ).scalar()
    database.close()
    assert storage in ("e", b"e")


@pytest.mark.parametrize("engine_url", ["mariadb+mysqldb", "mysql+pymysql", "mysql+mysqldb"])
def test_other_names_and_drivers_of_mariadb(engine_url):
    if "mysqldb" in engine_url:
        pytest.importorskip("MySQLdb", reason="mysqlclient is not installed")
    url = make_url(fresh_url("mariadb")).set(drivername=engine_url)
    database = Database.open(url.render_as_string(hide_password=False))
    try:
        note(database)
        with database.write() as connection:
            put_blobs(connection, [b"'\\\0\xff" * 1000])
        assert entries(database) == 1
        with pytest.raises(Forbidden), database.write() as connection:
            connection.execute(text("DELETE FROM audit"))
    finally:
        database.close()


# passwords


@pytest.mark.parametrize("kind", SERVERS)
def test_the_password_is_nowhere(kind, caplog):
    caplog.set_level("DEBUG")
    url = make_url(fresh_url(kind))
    word = str(url.password)
    database = Database.open(url.render_as_string(hide_password=False), name="staging")
    said = [repr(database), str(database.url), database.label, repr(database.engine), repr(vars(database))]
    note(database)
    database.close()
    wrong: list[dict[str, Any]] = [{"password": "wrong-" + word}, {"database": "absent"}, {"port": free_port()}]
    for changes in [*wrong, {"host": "no.invalid"}]:
        with pytest.raises(Unavailable) as caught:
            Database.open(url.set(**changes).render_as_string(hide_password=False), name="staging")
        assert "no connection to the staging database" in str(caught.value)
        error: BaseException | None = caught.value
        while error is not None:
            said += [str(error), repr(error)]
            error = error.__cause__
    assert not [text for text in [*said, caplog.text] if word in text]


def test_passwords_in_the_query_are_hidden_too():
    url = make_url("postgresql://me@host/db?password=hush&sslpassword=hush&application_name=x")
    assert "hush" not in shown_url(url)
    assert "application_name=x" in shown_url(url)


# servers that go away


@pytest.fixture(params=list(SERVERS))
def own_server(request):
    """A server that a test may kill."""
    if reason := missing(request.param):
        pytest.skip(reason)
    with SERVERS[request.param](durable=True) as found:
        yield found


def test_a_server_that_goes_and_comes_back(own_server: Server):
    database = Database.open(own_server.fresh_url(), name="backend")
    try:
        note(database)
        with database.read() as one, database.read() as two:  # two connections in the pool
            assert len(search(one)) == len(search(two)) == 1
        own_server.kill()
        start = time.monotonic()
        for _ in range(3):
            with pytest.raises(Unavailable, match="no connection to the backend database"):
                note(database)
            with pytest.raises(Unavailable):
                database.ping()
        assert time.monotonic() - start < 60
        own_server.start()
        note(database)
        assert entries(database) == 2
        assert database.ping() < 60

        own_server.stop()
        own_server.start()
        note(database)  # on a connection that is stale: noticed before it is used
        assert entries(database) == 3
    finally:
        database.close()


def test_a_server_that_dies_in_a_transaction(own_server: Server):
    database = Database.open(own_server.fresh_url())
    try:
        with pytest.raises(Unavailable), database.write() as connection:
            record(connection, ME, "note", "subject")
            own_server.kill()
            record(connection, ME, "note", "subject")
        with pytest.raises(Unavailable), database.read() as connection:
            search(connection)
        own_server.start()
        assert entries(database) == 0
    finally:
        database.close()


def test_a_server_that_is_stopped_does_not_answer(own_server: Server, monkeypatch):
    monkeypatch.setattr(database_module, "PING_TIMEOUT", 0.5)
    database = Database.open(own_server.fresh_url())
    import psutil

    processes = [psutil.Process(own_server.pid), *psutil.Process(own_server.pid).children(recursive=True)]
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable, match=r"does not answer: nothing within 0\.5 s"):
            for _ in range(100):  # a server's threads stop one after another: one may still answer
                database.ping()
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)
    monkeypatch.undo()
    assert database.ping() < 60
    database.close()


@pytest.mark.parametrize("kind", SERVERS)
def test_a_port_where_nobody_answers(kind, monkeypatch):
    if reason := missing(kind):
        pytest.skip(reason)
    monkeypatch.setattr(engines, "CONNECT_TIMEOUT", 2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        start = time.monotonic()
        with pytest.raises(Unavailable):
            Database.open(f"{kind}://me:hush@127.0.0.1:{silent.getsockname()[1]}/db")
        assert time.monotonic() - start < 60


# files that change


def test_a_file_that_was_replaced_is_read_anew(tmp_path):
    """An operator copies a back-up over the database while a process has it open."""
    database = Database.open(f"sqlite:///{tmp_path}/db.sqlite")
    note(database)
    other = Database.open(f"sqlite:///{tmp_path}/other.sqlite")
    other.close()
    for end in ("", "-wal", "-shm"):
        (tmp_path / f"db.sqlite{end}").unlink(missing_ok=True)
    shutil.move(tmp_path / "other.sqlite", tmp_path / "db.sqlite")
    assert entries(database) == 0
    note(database)
    database.close()
    with sqlite3.connect(tmp_path / "db.sqlite") as connection:
        assert connection.execute("SELECT COUNT(*) FROM audit").fetchone() == (1,)
    connection.close()


def test_a_full_disk_is_said(tmp_path):
    database = Database.open(f"sqlite:///{tmp_path}/db.sqlite")
    with database.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    with pytest.raises(Unavailable, match="full"), database.write() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 5}")
        put_blobs(connection, [os.urandom(1_000_000)])
    with database.read() as connection:
        assert connection.execute(select(func.count()).select_from(Blob)).scalar() == 0
    database.close()


@pytest.mark.parametrize("kind", KINDS)
def test_closed_and_used_again(kind):
    database = Database.open(ready_url(kind))
    note(database)
    database.close()
    note(database)  # it connects again
    assert entries(database) == 2
    database.close()


def test_the_server_of_tests_is_started_once():
    if reason := missing("postgresql"):
        pytest.skip(reason)
    assert server("postgresql") is server("postgresql")
