"""Databases of all three kinds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from db_servers import KINDS, fresh_url, ready_url

from db.database import Database
from db.store import Store
from db.who import Who


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, one test for each kind."""
    return fresh_url(request.param)


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """An open database with all tables, one test for each kind."""
    opened = Database.open(ready_url(request.param), name="staging")
    yield opened
    opened.close()


@pytest.fixture(scope="module", params=KINDS)
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """Staging and backend, for all tests of a module: each uses names of its own."""
    opened = Store.open(ready_url(request.param), ready_url(request.param), Who("tester", "here"))
    yield opened
    opened.close()
