"""Which runkey the stand is brought to, as PVs: out of the journal, over restarts, and whether it still is so."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from db.errors import DbError
from db.who import Who
from iocs.runkey import reports
from iocs.runkey.databases import MYSELF, Databases
from iocs.runkey.journal import RUNNING, applications, finish_application
from iocs.runkey.pvs import RunkeyPvs
from iocs.runkey.recovery import Applied, applied_now, explain, find_interrupted, mark_interrupted
from iocs.runkey.snapshots import settings_at
from iocs.runkey.validity import Validity
from owlshift.ioc import AlarmStatus, Ioc, Severity

if TYPE_CHECKING:
    from db.store import Store
    from iocs.runkey.stand import Stand

log = logging.getLogger(__name__)

PATIENCE = 30.0
"""Seconds that the subsystems have, after the start, to say what an interrupted apply has left."""


@dataclass(frozen=True)
class Ended:
    """An apply that has ended while the journal could not be written."""

    application: str
    state: str
    report: str
    runkey: str
    who: Who


class OnStand:
    """The PVs `Applied…` of `device`."""

    def __init__(
        self, ioc: Ioc, device: RunkeyPvs, databases: Databases, prefixes: Sequence[str], period: float
    ) -> None:
        """`prefixes` of the stand; `period`: seconds between two looks at the validity of what is applied."""
        self._ioc, self._device, self._databases, self._prefixes = ioc, device, databases, tuple(prefixes)
        self.applied = Applied()
        self.validity = Validity(ioc, device, databases, lambda: self.applied, period)
        self._owed: list[Ended] = []

    async def recover(self, stand: Stand) -> bool:
        """Explain what an earlier life of this IOC has left under way; whether there was any. DbError."""
        found = await self._databases.run(MYSELF, lambda store: find_interrupted(store, self._prefixes), what="journal")
        for application in found:
            await self._ioc.message(f"an apply of {application.row.runkey} was interrupted: looking what it has left")
            text = await explain(application, stand, PATIENCE)
            await self._databases.run(
                MYSELF, lambda store, a=application, t=text: mark_interrupted(store, a, t, MYSELF), what="journal"
            )
            await self._ioc.post(self._device.Report, text)
            await self._ioc.message(application.line, logging.WARNING)
        await self.read()
        return bool(found)

    async def read(self) -> None:
        """What is applied, from the journal. DbError."""
        self.applied = await self._databases.run(
            MYSELF, lambda store: applied_now(store, self._prefixes), what="journal"
        )
        self.validity.look_now()
        await self.show()

    async def ended(self, end: Ended, applied: Applied | None) -> None:
        """An apply has ended, and the journal does not know. `applied`: what is on the stand now; None: as before."""
        self._owed.append(end)
        if applied is not None:
            self.applied = applied
            self.validity.look_now()
            await self.show()

    async def settle(self) -> None:
        """Tell the journal what it could not be told. DbError."""
        while self._owed:
            await self._databases.run(MYSELF, lambda store, e=self._owed[0]: _finish(store, e), what="journal")
            self._owed.pop(0)
        await self.read()

    @property
    def owing(self) -> bool:
        """The journal lacks something."""
        return bool(self._owed)

    async def show(self, differing: int = 0) -> None:
        """Post it; `differing` settings of the stand are not (any more) as it says."""
        device, applied = self._device, self.applied
        text, severity = applied.result, applied.severity
        if differing and applied.root:
            text = f"{reports.settings_text(differing)} changed since it was applied"
            severity = Severity.MINOR
        alarm = (AlarmStatus.STATE, severity) if severity else None
        await self._ioc.post_many(
            [
                (device.Applied, applied.name),
                (device.AppliedId, applied.root),
                (device.AppliedHash, applied.digest),
                (device.AppliedBy, applied.by),
                (device.AppliedAt, applied.at),
                (device.AppliedResult, text, alarm),
            ]
        )

    async def follow(self, stand: Stand, period: float) -> None:
        """Compare the stand with what was applied, every `period` seconds, for ever."""
        device = self._device
        while True:
            await asyncio.sleep(period)
            applied = self.applied
            if not applied.root:
                await self._ioc.invalidate(device.LiveDiffCount, AlarmStatus.UDF)
                continue
            try:
                settings, systems = await self._databases.run(
                    MYSELF, lambda store, r=applied.root: settings_at(store, r)
                )
                comparison = await stand.compare(settings, systems)
            except DbError as error:
                log.debug("live compare: %s", error)
                await self._ioc.invalidate(device.LiveDiffCount)
                continue
            if device.Apply.value or self.applied is not applied:  # it is of what was before
                continue
            if comparison.unread or comparison.counts().get("disconnected"):
                await self._ioc.invalidate(device.LiveDiffCount)
                continue
            count = reports.changed(comparison)
            await self._ioc.post(device.LiveDiffCount, count)
            await self.show(count)


def _finish(store: Store, end: Ended) -> None:
    with store.staging.database.write() as connection:
        if any(row.id == end.application for row in applications(connection, state=RUNNING)):
            finish_application(connection, end.application, end.state, end.report, end.runkey, end.who)
