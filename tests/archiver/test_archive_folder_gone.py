"""An archive's folder that is moved away under the archiver, and put back: said once, and nothing is lost."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from archive_tools import EVER, counted, opened
from support import wait_until

from archiver.config import ArchiverConfig
from archiver.engine.intake import Channels, Intake
from archiver.engine.recorder import RETRY, Recorder
from archiver.management.ledger import Identity, Ledger, LedgerError
from archiver.store import Dbr, StoreReader
from owlshift.ca import Batch


def test_a_folder_that_is_moved_away_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder, away = tmp_path / "archive", tmp_path / "away"
    store, intake, channels = opened(folder), Intake(1 << 20), Channels()
    channels.map(0, store.add_pvs(["A"])["A"])
    recorder = Recorder(store, ArchiverConfig(sync=0.05), intake, channels)
    caplog.set_level(logging.WARNING)
    recorder.start()
    sent: list[int] = []

    def put() -> None:
        sent.append(time.time_ns())
        zero = np.zeros(1, np.uint16)
        intake.put(Batch(Dbr.DOUBLE, np.zeros(1, np.uint32), np.array(sent[-1:]), zero, zero, np.ones(1)))

    def putting(condition: Callable[[], bool]) -> Callable[[], bool]:
        return lambda: put() or condition()

    wait_until(putting(lambda: recorder.logged > 3), 30, "the first samples")
    folder.rename(away)
    wait_until(putting(lambda: intake.blocked == "unwritable"), 30, "the loss to be seen")
    begun = time.monotonic()
    states = set()
    wait_until(putting(lambda: states.add(intake.blocked) or time.monotonic() - begun > 3 * RETRY), 60, "some tries")
    assert states == {"unwritable"}
    assert not folder.exists()
    away.rename(folder)
    wait_until(putting(lambda: intake.blocked is None), 30, "it to go on")
    said = [record.getMessage() for record in caplog.records if record.name == "archiver.engine.recorder"]
    assert len([text for text in said if "can't be written (the folder of the log is gone" in text]) == 1
    assert len([text for text in said if "is written again" in text]) == 1
    recorder.stop()
    store.roll()
    while store.convert_next():
        pass
    store.close()
    received, accounted = counted(store.manifest.totals)
    assert received == accounted == len(sent)
    assert [int(t) for piece in StoreReader(folder).read("A", 0, EVER) for t in piece.time_ns] == sent


def test_the_ledger_makes_no_archive_in_the_place_of_one_that_was_moved_away(tmp_path: Path) -> None:
    folder, who = tmp_path / "archive", Identity("anna", "here")
    ledger = Ledger(folder / "manage.db")
    ledger.request(["A"], who)
    folder.rename(tmp_path / "away")
    with pytest.raises(LedgerError, match="can't be used"):
        ledger.request(["B"], who)
    assert not folder.exists()
    (tmp_path / "away").rename(folder)
    ledger.request(["C"], who)
    assert set(ledger.entries()) == {"A", "C"}
    ledger.close()
