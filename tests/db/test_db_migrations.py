"""Making and upgrading the tables."""

from __future__ import annotations

import subprocess
import sys
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from db_fill import add_runkey
from db_servers import KINDS, fresh_url
from sqlalchemy import inspect, text
from support import ROOT

from db import migrations, schema
from db.database import Database
from db.engines import PAGE_SIZE, make_engine
from db.errors import NotMigrated
from db.models import Base
from db.verify import verify


def differences(database: Database) -> list[object]:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return compare_metadata(context, Base.metadata)


def change_schema(database: Database, *statements: str) -> None:
    with database.engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def test_migrations_make_what_the_models_say(database):
    assert differences(database) == []
    # and the comparison does see a difference
    change_schema(database, "ALTER TABLE device ADD COLUMN more INTEGER")
    assert len(differences(database)) == 1


def test_the_newest_revision_is_the_one_that_the_program_wants():
    script = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert script.get_heads() == [migrations.REVISION]


def test_all_triggers_are_there(database):
    assert verify(database) == []
    trigger = "payload_no_update"
    change_schema(database, f"DROP TRIGGER {trigger}" + (" ON payload" if database.dialect == "postgresql" else ""))
    assert [p.what for p in verify(database)] == [f"the trigger {trigger} is missing: rows could be changed"]


def url_of(database: Database) -> str:
    return database.engine.url.render_as_string(hide_password=False)


def test_opening_again_changes_nothing(database_url):
    first = Database.open(database_url)
    add_runkey(first, "a")
    for create in (True, False):
        again = Database.open(database_url, create=create)
        assert verify(again) == []
        again.close()
    first.close()


def test_a_database_of_a_newer_version_is_left_alone(database):
    change_schema(database, "UPDATE alembic_version SET version_num = '9999'")
    for create in (True, False):
        with pytest.raises(NotMigrated, match=r"was made by a newer owlshift .*tables 9999, this one knows 0001"):
            Database.open(url_of(database), create=create)


def test_a_database_of_an_older_version_says_what_to_run(database, monkeypatch):
    monkeypatch.setattr(migrations, "REVISION", "0002")
    with pytest.raises(NotMigrated, match=r"tables of an older owlshift \(0001, wanted 0002\): run `owl runkey init`"):
        Database.open(url_of(database), create=False)


def test_a_migration_that_was_cut_off_is_finished_the_next_time(database_url):
    """MariaDB commits every statement that makes a table; the other two undo all of it."""
    engine, dialect = make_engine(database_url, create=True)
    with engine.connect() as connection:
        stop = RuntimeError("the power goes")
        made: list[str] = []

        def cut(conn, cursor, statement, parameters, context, executemany):
            made.append(statement)
            if statement.lstrip().startswith("CREATE INDEX") and len(made) > 30:
                raise stop

        from sqlalchemy import event

        event.listen(engine, "before_cursor_execute", cut)
        with pytest.raises(RuntimeError, match="the power goes"):
            schema.migrate(connection, dialect, "it")
        connection.invalidate()
        event.remove(engine, "before_cursor_execute", cut)
    with engine.connect() as connection:
        assert inspect(connection).has_table("blob") == (dialect == "mariadb")
    engine.dispose()
    database = Database.open(database_url)
    assert differences(database) == []
    assert verify(database) == []
    database.close()


OPEN = """
import sys
from db.database import Database
database = Database.open(sys.argv[1])
print(database.ping() > 0)
database.close()
"""


@pytest.mark.parametrize("kind", KINDS)
def test_many_processes_open_a_new_database_at_once(kind):
    url = fresh_url(kind)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, url], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    said = [process.communicate(timeout=100) for process in processes]
    for process, (out, err) in zip(processes, said, strict=True):
        assert (out, process.returncode) == ("True\n", 0), err
    database = Database.open(url)
    assert differences(database) == []
    database.close()


def pragmas_of_new_file(url: str, together: threading.Barrier) -> tuple[str, int]:
    engine, _ = make_engine(url, create=True)
    try:
        together.wait(30)
        with engine.connect() as connection:
            journal = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
            return journal, connection.exec_driver_sql("PRAGMA page_size").scalar_one()
    finally:
        engine.dispose()


def test_many_connections_make_one_new_sqlite_file(tmp_path):
    for count in range(200):
        url, together = f"sqlite:///{tmp_path}/{count}.sqlite", threading.Barrier(6)
        with ThreadPoolExecutor(6) as pool:
            opened = [pool.submit(pragmas_of_new_file, url, together) for _ in range(6)]
            assert {one.result() for one in opened} == {("wal", PAGE_SIZE)}


def test_it_works_from_an_installed_wheel(tmp_path):
    build = "from hatchling.build import build_wheel; print(build_wheel({!r}))"
    built = subprocess.run(
        [sys.executable, "-c", build.format(str(tmp_path))], cwd=ROOT, capture_output=True, text=True, timeout=110
    )
    assert built.returncode == 0, built.stderr
    installed = tmp_path / "installed"
    with zipfile.ZipFile(tmp_path / built.stdout.split()[-1]) as wheel:
        wheel.extractall(installed)
    script = "import db, sys; assert db.__file__.startswith(sys.argv[2]), db.__file__" + OPEN
    done = subprocess.run(
        [sys.executable, "-c", script, f"sqlite:///{tmp_path}/new/db.sqlite", str(installed)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(installed), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr
