"""Databases of alarms of all three kinds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from db_servers import KINDS, ready_url

from db.alarms import ALARMS
from db.alarms.log import AlarmLog
from db.database import Database


@pytest.fixture(params=KINDS)
def alarms_url(request: pytest.FixtureRequest) -> str:
    """The URL of a new database with the tables of alarms."""
    return ready_url(request.param, ALARMS)


@pytest.fixture
def alarms(alarms_url: str) -> Iterator[Database]:
    """It is open."""
    database = Database.open(alarms_url, name="alarms", schema=ALARMS)
    yield database
    database.close()


@pytest.fixture
def alarm_log(alarms: Database) -> AlarmLog:
    """The log in it."""
    return AlarmLog(alarms)
