"""Stands for the tests of the alarm IOC."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator

import pytest
from alarm_ioc_stand import AlarmStand, alarm_stand


@pytest.fixture(autouse=True)
async def forget_channels() -> AsyncIterator[None]:
    """aioca's channels end with the test's loop: those left would call a closed one when their IOC goes."""
    yield
    if "aioca" in sys.modules:
        from aioca import purge_channel_caches

        purge_channel_caches()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AlarmStand]:
    with alarm_stand(tmp_path_factory.mktemp("alarms")) as stand:
        yield stand


@pytest.fixture
async def stand(running: AlarmStand) -> AlarmStand:
    """A stand without an alarm, which the tests of a file share."""
    await running.watching(2 * running.tanks + 1)
    await running.quiet()
    return running
