"""The lease of a server whose event loop is busy."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from db.alarms import ALARMS
from db.alarms.lease import Lease
from db.database import Database
from db.who import Who
from iocs.alarm import standby
from iocs.alarm.standby import Seat
from iocs.alarm.threads import Threads


async def test_a_busy_event_loop_keeps_its_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standby, "BUSY", 600.0)
    url = f"sqlite:///{tmp_path / 'alarms.sqlite'}"
    seat = Seat("DEMO:ALM:", lambda: Database.open(url, create=True, schema=ALARMS), Threads(), lambda *_: None)
    database = await seat.take(lambda _: None)
    other = Lease(database, "DEMO:ALM:", Who.me())
    keeping = asyncio.create_task(seat.keep())
    await asyncio.sleep(0)
    begun = other.holder()
    assert begun is not None
    seen, renewals, deadline = begun.seen, 0, time.monotonic() + 60
    while renewals < 2 and time.monotonic() < deadline:  # in the loop: nothing else runs in it
        holder = other.holder()
        if holder is not None and holder.seen != seen:
            seen, renewals = holder.seen, renewals + 1
        time.sleep(0.02)
    assert renewals == 2
    assert seat.lease.renew()
    assert not keeping.done()
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    await seat.leave()
    database.close()
