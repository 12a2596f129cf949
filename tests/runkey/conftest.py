"""Stands for the tests of the runkey IOC."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator

import pytest
from rk_stand import RkStand, stand_of


@pytest.fixture(autouse=True)
async def forget_channels() -> AsyncIterator[None]:
    """aioca's channels end with the test's loop: those left would call a closed one when their IOC goes."""
    yield
    if "aioca" in sys.modules:
        from aioca import purge_channel_caches

        purge_channel_caches()


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
