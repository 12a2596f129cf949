"""A bridge that does not take a machine that is slow for a broker that is gone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from iocs.alarm.kafka import link

PATIENT, IMPATIENT = 20.0, 3.0


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Whether a broker has long to answer. It has, but while a test wants it to be missed soon."""

    def wait(long: bool) -> None:
        monkeypatch.setattr(link, "PATIENCE", PATIENT if long else IMPATIENT)

    wait(True)
    return wait
