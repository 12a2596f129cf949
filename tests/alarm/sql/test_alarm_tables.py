"""Tables of alarms in all three databases: made by migrations, beside those of runkeys, and immutable."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from db_servers import KINDS, fresh_url
from sqlalchemy import text

from db.alarms import ALARMS, migrations, models
from db.alarms.event import Event, moment
from db.alarms.log import AlarmLog
from db.config import DbConfig
from db.database import Database
from db.errors import DbError, Forbidden, NotFound, NotMigrated
from db.store import Store

EVENT = Event(1_800_000_000_000_000_000, "server", "/DEMO")


def test_migrations_make_what_the_models_say(alarms: Database) -> None:
    with alarms.engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True, "version_table": migrations.VERSIONS}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, models.Base.metadata) == []


def test_the_newest_revision_is_the_one_that_the_program_wants() -> None:
    script = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert script.get_heads() == [migrations.REVISION]


@pytest.mark.parametrize("kind", KINDS)
def test_alarms_and_runkeys_may_be_in_one_database(kind: str) -> None:
    url = fresh_url(kind)
    database = Database.open(url, name="alarms", schema=ALARMS)
    with Store.open(url, url) as store:
        assert [one.ok for one in store.health()] == [True, True]
        AlarmLog(database).write([EVENT])
    again = Database.open(url, name="alarms", schema=ALARMS, create=False)
    assert AlarmLog(again).search() == [EVENT]
    again.close()
    database.close()


def test_a_database_that_is_not_there_says_who_makes_it(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"alarms\.sqlite: the alarm server, when it starts, makes it"):
        Database.open(f"sqlite:///{tmp_path}/alarms.sqlite", create=False, schema=ALARMS)
    url = f"sqlite:///{tmp_path}/runkeys.sqlite"
    Database.open(url).close()
    with pytest.raises(NotMigrated, match="has no tables yet: start the alarm server, which makes them"):
        Database.open(url, create=False, schema=ALARMS)


@pytest.mark.parametrize("table", ["alarm_event", "alarm_source"])
def test_rows_are_neither_changed_nor_deleted(alarms: Database, table: str) -> None:
    log = AlarmLog(alarms)
    log.write([EVENT])
    for statement in (f"UPDATE {table} SET id = id", f"DELETE FROM {table}"):
        with pytest.raises(Forbidden, match=f"rows of {table} never change"), alarms.write() as connection:
            connection.execute(text(statement))
    more = (
        f"TRUNCATE TABLE {table}" if alarms.dialect == "postgresql" else f"REPLACE INTO {table} SELECT * FROM {table}"
    )
    with pytest.raises(DbError), alarms.write() as connection:
        connection.execute(text(more))
    # and prune leaves the triggers as they were
    assert log.prune(moment(EVENT.time_ns)) == 0
    assert log.prune(moment(EVENT.time_ns + 1000)) == 1
    assert log.search() == []
    log.write([EVENT])
    with pytest.raises(Forbidden), alarms.write() as connection:
        connection.execute(text("DELETE FROM alarm_event"))
    assert log.search() == [EVENT]


def test_where_a_site_keeps_its_alarms(tmp_path: Path) -> None:
    assert DbConfig().alarms_place(tmp_path) == f"sqlite:///{tmp_path}/db/alarms.sqlite"
    config = DbConfig(alarms="postgresql://owl@host.example/alarms", password_file="word")
    assert config.alarms_place(tmp_path) == "postgresql://owl@host.example/alarms"
    (tmp_path / "word").write_text("se cret\n")
    assert config.alarms_url(tmp_path, tmp_path, {}) == "postgresql://owl:se%20cret@host.example/alarms"
    environment = {"OWLSHIFT_DB_PASSWORD": "one", "OWLSHIFT_DB_ALARMS_PASSWORD": "two"}
    assert config.alarms_url(tmp_path, tmp_path, environment) == "postgresql://owl:two@host.example/alarms"
