"""Stands for the tests of the runkey IOC."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from rk_stand import RkStand, stand_of


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RkStand]:
    with stand_of(tmp_path_factory.mktemp("stand")) as stand:
        yield stand


@pytest.fixture
async def stand(running: RkStand) -> RkStand:
    """A stand on SQLite, healthy and idle, which the tests of a file share."""
    running.heal()
    await running.ready()
    return running
