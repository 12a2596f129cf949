"""The runkey IOC: one command at a time, asked by a put. Channel Access here, SQL on threads (`databases`)."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any

from db.checks import runkey_name
from db.errors import DbError
from iocs.runkey.commands import Commands
from iocs.runkey.config import RunkeyConfig
from iocs.runkey.databases import Databases
from iocs.runkey.listing import Listing
from iocs.runkey.on_stand import OnStand
from iocs.runkey.pvs import RunkeyPvs, RunkeyState, StandMode
from iocs.runkey.stand import Stand
from iocs.runkey.watch import Watch
from iocs.runkey.work import CommandFailed, Work
from iocs.runkey.writing import Pace
from owlshift.ca import CaAddresses, Client
from owlshift.ioc import Ioc, PutRefused, Pv
from owlshift.ioc.alarms import stamp
from owlshift.ioc.link import Client as Putter
from owlshift.site import IocEntry, Site

log = logging.getLogger(__name__)

STOP_PATIENCE = 6.0
"""Seconds that an apply has, when the IOC is stopped, to take back what it has written."""


class RunkeyIoc(Ioc):
    """Snapshot, compare and apply runkeys of a site."""

    def __init__(self, entry: IocEntry, config: RunkeyConfig, site: Site) -> None:
        self.config = config
        self.site = site
        self.device = RunkeyPvs(self, config)
        self.databases = Databases(site)
        self.listing = Listing(self, self.device, self.databases)
        self.systems = _systems(entry, config, site)
        self.on_stand = OnStand(self, self.device, self.databases, tuple(self.systems.values()), config.validity)
        self.watch = Watch(self, self.device, self.databases, self.listing, self.on_stand, lambda: bool(self._work))
        super().__init__(entry.prefix, [("", self.device)], backend="none")
        self._ca: Client | None = None
        self._commands: Commands | None = None
        self._work: Work | None = None
        self._exclusive = {
            pv.name for name, pv in self.device.pvs.items() if pv.declaration.kind == "command" and name != "Abort"
        }

    # Life

    async def start(self) -> None:
        """Open the client, and begin to look at the databases."""
        config = self.config
        environment = {**os.environ, **self.site.ca_environment(), "EPICS_CA_SERVER_PORT": str(self.site.ca.port)}
        environment["EPICS_CA_ADDR_LIST"] = " ".join([environment["EPICS_CA_ADDR_LIST"], *config.search])
        self._ca = Client(CaAddresses.from_environment(environment), metadata=False)
        await self._ca.start()
        pace = Pace(read=config.read_timeout, put=config.put_timeout, patience=config.patience)
        stand = Stand(self._ca, self.systems, timeout=config.read_timeout, pace=pace)
        self._commands = Commands(
            self, self.device, self.databases, self.listing, self.on_stand, stand, config.incomplete
        )
        await self.on_stand.show()
        self.spawn(self.watch.follow(stand, config.health), "databases")
        self.spawn(self.on_stand.validity.follow(), "validity")
        if config.live_compare:
            self.spawn(self.on_stand.follow(stand, config.live_compare), "live compare")

    async def stop(self) -> None:
        """End what is under way; what an apply has written is taken back if there is time, and explained otherwise."""
        work = self._work
        if work is not None:
            work.ask_to_end(Putter("the IOC", "which stops"))
            try:
                await asyncio.wait_for(work.done.wait(), STOP_PATIENCE)
            except TimeoutError:
                log.warning("%s, and the IOC ends: the next start explains", work)
        if self._ca is not None:
            await self._ca.close()
        self.databases.close()

    @property
    def commands(self) -> Commands:
        """What the commands do; once started."""
        if self._commands is None:
            raise RuntimeError("the IOC has not started")
        return self._commands

    # Messages: what operators of runkeys look at is `Msg`, beside `IOC:Msg`

    def tell(self, text: str, level: int = logging.INFO) -> None:
        """Tell the operator, in both messages and the log."""
        super().tell(text, level)
        self.device.Msg.take(text, stamp())

    def put_refused(self, pv: Pv[Any], reason: str, who: Putter) -> None:
        """Say why."""
        super().put_refused(pv, reason, who)
        self.device.Msg.take(f"{pv.name}: {reason}", stamp())

    # One command at a time

    async def put(self, pv: Pv[Any], value: Any, who: Putter) -> None:
        """As any put; but what cannot be now is refused at once, instead of waiting for what is under way."""
        begins = pv.name in self._exclusive and bool(value)
        if reason := self._forbidden(pv, begins):
            self.put_refused(pv, reason, who)
            raise PutRefused(reason)
        if begins and not self.stopping:
            self._work = Work(pv.name.removeprefix(self.prefix), who)
        await super().put(pv, value, who)
        if pv is self.device.Mode:
            self.tell(f"the mode is {self.device.Mode.value.name}, by {who}")

    def _forbidden(self, pv: Pv[Any], begins: bool) -> str:
        """Why this cannot be put now; empty when it can."""
        device, work = self.device, self._work
        writes = work is not None and work.command in ("Apply", "Commit")
        if work is not None and (begins or pv is device.Selected or (pv is device.Mode and writes)):
            return str(work)
        if begins and device.Mode.value is StandMode.Operation and (pv is device.Apply or pv is device.Commit):
            return f"{pv.name.removeprefix(self.prefix)} is for Mode Configuration, and Mode is Operation"
        return ""

    async def _command(self, state: RunkeyState | None, carry_out: Callable[[Work], Awaitable[str]]) -> None:
        """Run a command; its text becomes the message. `state` shows it; None: what is shown stays.

        CommandFailed: it has not done what it should, and State says so. Other reasons to refuse, and errors of the
        databases, fail the put alone: nothing was done.
        """
        work = self._work or Work("put", self.client)
        self._work = work
        device = self.device
        after = device.State.value if state is None else RunkeyState.Idle
        try:
            if state is not None:
                posts = [(device.State, state), (device.Progress, 0.0), (device.ItemsDone, 0), (device.ItemsTotal, 0)]
                await self.post_many(posts)
            text = await carry_out(work)
            await self.post(device.Progress, 100.0)
            await self.message(text)
        except CommandFailed:
            after = RunkeyState.Failed
            raise
        except InterruptedError:
            raise PutRefused(f"{work.command} was aborted by {work.aborted_by}; nothing was changed") from None
        except DbError as error:
            raise PutRefused(str(error)) from None
        finally:
            if after is RunkeyState.Idle and self.watch.away:
                after = RunkeyState.Offline
            self._work = None
            await self.post(device.State, after)
            work.done.set()

    # What the PVs ask: see pvs.Actions

    async def select(self, name: str) -> str:
        """Only a name that exists, or none."""
        return await self.listing.select(name)

    async def search(self, text: str) -> None:
        """Post what is found."""
        await self.listing.search(text)

    async def view(self, path: str, role: str) -> None:
        """Post tree and payload."""
        await self.listing.view(path, role)

    async def name_snapshot(self, name: str) -> str:
        """What no runkey can be called is refused now."""
        if name:
            try:
                runkey_name(name)
            except DbError as error:
                raise PutRefused(str(error)) from None
        return name

    async def snapshot(self) -> None:
        """Read the stand in one pass, and store it."""
        await self._command(RunkeyState.Snapshotting, self.commands.snapshot)

    async def compare(self) -> None:
        """Say what differs."""
        await self._command(RunkeyState.Comparing, self.commands.compare)

    async def dry_run(self) -> None:
        """Say what an apply would do."""
        await self._command(RunkeyState.Comparing, self.commands.dry_run)

    async def apply(self) -> None:
        """Write, verify, and take back what was written when that fails."""
        await self._command(RunkeyState.Applying, self._apply)

    async def _apply(self, work: Work) -> str:
        if not self.watch.known:
            raise PutRefused("the journal has not been read since the start: is there a database?")
        return await self.commands.apply(work)

    async def commit(self) -> None:
        """Copy to the backend."""
        await self._command(RunkeyState.Committing, self.commands.commit)

    async def refresh(self) -> None:
        """Read the lists and the selection."""
        await self._command(None, self.commands.refresh)

    async def abort(self) -> None:
        """End the command that is under way; returns when it has ended."""
        work = self._work
        if work is None:
            await self.message("nothing is under way that could be aborted")
            return
        await self.message(f"{work.command} is aborted by {self.client}", logging.WARNING)
        work.ask_to_end(self.client)
        if self.device.State.value is RunkeyState.Applying:
            await self.post(self.device.State, RunkeyState.Aborting)
        await work.done.wait()


def _systems(entry: IocEntry, config: RunkeyConfig, site: Site) -> dict[str, str]:
    """System -> prefix of all that belongs to the stand: the site's IOCs but this one, and `also`."""
    own = {entry.prefix, site.ioc(entry.system).prefix}
    systems = {prefix.removeprefix(site.prefix).rstrip(":"): prefix for prefix in site.prefixes()}
    systems |= {prefix.rstrip(":"): prefix for prefix in config.also if prefix not in systems.values()}
    return {system: prefix for system, prefix in systems.items() if prefix not in own}


def build(entry: IocEntry, site: Site) -> RunkeyIoc:
    """The IOC of a site file's `[[ioc]]` of kind runkey."""
    if not isinstance(entry.config, RunkeyConfig):
        raise TypeError(f"the configuration of {entry.system} is a {type(entry.config).__name__}")
    return RunkeyIoc(entry, entry.config, site)
