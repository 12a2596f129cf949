"""Whether the databases answer, as PVs; and what is read from them when they are there (again)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from db.errors import DbError
from iocs.runkey.databases import Databases, Health
from iocs.runkey.pvs import RunkeyPvs, RunkeyState
from owlshift.ioc import Ioc, IocState

if TYPE_CHECKING:
    from iocs.runkey.listing import Listing
    from iocs.runkey.on_stand import OnStand
    from iocs.runkey.stand import Stand

log = logging.getLogger(__name__)


class Watch:
    """The PVs `Db…` of `device`, and State between commands. `busy` says whether one is under way."""

    def __init__(
        self,
        ioc: Ioc,
        device: RunkeyPvs,
        databases: Databases,
        listing: Listing,
        on_stand: OnStand,
        busy: Callable[[], bool],
    ) -> None:
        self._ioc, self._device, self._databases = ioc, device, databases
        self._listing, self._on_stand, self._busy = listing, on_stand, busy
        self.known = False
        """What an earlier life has left is explained."""
        self.away = ""
        """Why there is no database."""

    async def follow(self, stand: Stand, period: float) -> None:
        """Look every `period` seconds, for ever."""
        while True:
            health = await self._databases.look()
            await self._show(health)
            if health.ok:
                try:
                    await self._catch_up(stand)
                except DbError as error:
                    log.warning("%s %s", self._ioc.prefix, error)
            await asyncio.sleep(period)

    async def _show(self, health: Health) -> None:
        ioc, device = self._ioc, self._device
        await ioc.post(device.DbConn, health.ok)
        if health.ok:
            await ioc.post(device.DbLatency, health.seconds * 1000)
        else:
            await ioc.invalidate(device.DbLatency)
        if health.reason and not self.away:
            await ioc.message(health.reason, logging.WARNING)
        elif self.away and health.ok:
            await ioc.message("the databases are there again")
        self.away = health.reason
        if self.known and not self._busy():
            state = device.State.value
            if not health.ok and state is RunkeyState.Idle:
                await ioc.post(device.State, RunkeyState.Offline)
            elif health.ok and state is RunkeyState.Offline:
                await ioc.post(device.State, RunkeyState.Idle)
        await ioc.set_state(IocState.Running if health.ok else IocState.Degraded)

    async def _catch_up(self, stand: Stand) -> None:
        if not self.known:
            interrupted = await self._on_stand.recover(stand)
            await self._listing.refresh()
            self.known = True
            if not self._busy():
                await self._ioc.post(self._device.State, RunkeyState.Failed if interrupted else RunkeyState.Idle)
        if self._on_stand.owing:
            await self._on_stand.settle()
        if self._listing.due and not self._busy():
            await self._listing.refresh()
