"""One stand for the tests of a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alarm_stand import AlarmStand


@pytest.fixture(scope="module")
def running_stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AlarmStand]:
    stand = AlarmStand(tmp_path_factory.mktemp("stand"))
    try:
        stand.start_soft()
        stand.start_alarms()
        stand.until(lambda tree: tree["total"] == 4, "tree", what="the catalogue's alarms")
        yield stand
    finally:
        stand.stop()


@pytest.fixture
def stand(running_stand: AlarmStand) -> AlarmStand:
    """A stand where nothing is in alarm or put aside."""
    running_stand.calm()
    return running_stand


@pytest.fixture
def nowhere(tmp_path: Path) -> AlarmStand:
    """A stand of which nothing runs."""
    return AlarmStand(tmp_path)
