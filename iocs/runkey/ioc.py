"""The runkey IOC: what a put to one of its PVs does. Channel Access here, SQL on threads (`databases`)."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from db.checks import runkey_name
from db.errors import DbError, Exists
from db.users import require
from iocs.runkey import reports
from iocs.runkey.browse import iso
from iocs.runkey.config import RunkeyConfig
from iocs.runkey.databases import Databases, Health, JournalWrites
from iocs.runkey.journal import SqlJournal
from iocs.runkey.listing import Listing
from iocs.runkey.on_stand import Ended, OnStand
from iocs.runkey.outcome import Outcome
from iocs.runkey.plan import Scope
from iocs.runkey.pvs import RunkeyPvs, RunkeyState
from iocs.runkey.recovery import Applied
from iocs.runkey.snapshots import Selected, free_name, load_settings, missing_of, store_snapshot, taken
from iocs.runkey.stand import Snapshot, Stand
from iocs.runkey.work import CommandFailed, Work
from iocs.runkey.writing import Pace
from owlshift.ca import CaAddresses, Client
from owlshift.ioc import AlarmStatus, Ioc, IocState, PutRefused, Pv, Severity
from owlshift.ioc.alarms import stamp
from owlshift.ioc.link import Client as Putter
from owlshift.site import IocEntry, Site

if TYPE_CHECKING:
    from db.heads import RunkeyInfo
    from db.store import Store

log = logging.getLogger(__name__)

T = TypeVar("T")

STOP_PATIENCE = 6.0
"""Seconds that an apply has, when the IOC is stopped, to take back what it has written."""
LONG = 600.0
"""Seconds that a snapshot or commit may take to be stored."""


class RunkeyIoc(Ioc):
    """Snapshot, compare and apply runkeys of a site."""

    def __init__(self, entry: IocEntry, config: RunkeyConfig, site: Site) -> None:
        self.config = config
        self.site = site
        self.device = RunkeyPvs(self, config)
        self.databases = Databases(site)
        self.listing = Listing(self, self.device, self.databases)
        self.on_stand = OnStand(self, self.device, self.databases)
        super().__init__(entry.prefix, [("", self.device)], backend="none")
        own = {entry.prefix, site.ioc(entry.system).prefix}
        self.systems = {p.removeprefix(site.prefix).rstrip(":"): p for p in site.prefixes() if p not in own}
        self.systems |= {prefix.rstrip(":"): prefix for prefix in config.also}
        self._ca: Client | None = None
        self._stand: Stand | None = None
        self._work: Work | None = None
        self._commands = {
            pv.name for name, pv in self.device.pvs.items() if pv.declaration.kind == "command" and name != "Abort"
        }
        self._bare: set[str] = set()
        """Subsystems without any configuration."""
        self._known = False
        """What an earlier life has left is explained."""
        self._away = ""
        """Why there is no database."""

    # Life

    async def start(self) -> None:
        """Open the client, and begin to look at the databases."""
        environment = {**os.environ, **self.site.ca_environment(), "EPICS_CA_SERVER_PORT": str(self.site.ca.port)}
        environment["EPICS_CA_ADDR_LIST"] = " ".join([environment["EPICS_CA_ADDR_LIST"], *self.config.search])
        self._ca = Client(CaAddresses.from_environment(environment), metadata=False)
        await self._ca.start()
        config = self.config
        pace = Pace(read=config.read_timeout, put=config.put_timeout, patience=config.patience)
        self._stand = Stand(self._ca, self.systems, timeout=config.read_timeout, pace=pace)
        await self.on_stand.show()
        self.spawn(self._follow_databases(), "databases")
        if self.config.live_compare:
            self.spawn(self.on_stand.follow(self._stand, self.config.live_compare), "live compare")

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
    def stand(self) -> Stand:
        """The subsystems; once started."""
        if self._stand is None:
            raise RuntimeError("the IOC has not started")
        return self._stand

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
        """As any put; but a command during another one is refused at once instead of waiting for it."""
        if self._work is not None and (pv is self.device.Selected or (pv.name in self._commands and value)):
            self.put_refused(pv, str(self._work), who)
            raise PutRefused(str(self._work))
        if pv.name in self._commands and value and not self.stopping:
            self._work = Work(pv.name.removeprefix(self.prefix), who)
        await super().put(pv, value, who)

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
            if after is RunkeyState.Idle and self._away:
                after = RunkeyState.Offline
            self._work = None
            await self.post(device.State, after)
            work.done.set()

    async def _or_abort(self, work: Work, doing: Awaitable[T]) -> T:
        """What `doing` gives; InterruptedError, and `doing` is cancelled, when the work is to end."""
        task, end = asyncio.ensure_future(doing), asyncio.ensure_future(work.abort.wait())
        try:
            await asyncio.wait([task, end], return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise InterruptedError
            return task.result()
        finally:
            for one in (task, end):
                one.cancel()
            await asyncio.gather(task, end, return_exceptions=True)

    async def _sql(self, work: Work, function: Callable[..., T], *args: Any, timeout: float = 60.0) -> T:
        what = function.__name__.strip("_")
        return await self.databases.run(work.who, lambda store: function(store, *args), timeout=timeout, what=what)

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
        await self._command(RunkeyState.Snapshotting, self._snapshot)

    async def compare(self) -> None:
        """Say what differs."""
        await self._command(RunkeyState.Comparing, self._compare)

    async def dry_run(self) -> None:
        """Say what an apply would do."""
        await self._command(RunkeyState.Comparing, self._dry_run)

    async def apply(self) -> None:
        """Write, verify, and take back what was written when that fails."""
        await self._command(RunkeyState.Applying, self._apply)

    async def commit(self) -> None:
        """Copy to the backend."""
        await self._command(RunkeyState.Committing, self._commit)

    async def refresh(self) -> None:
        """Read the lists and the selection."""
        await self._command(None, self._refresh)

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

    # How they are carried out

    async def _snapshot(self, work: Work) -> str:
        device = self.device
        at, comment, base = datetime.now(UTC), device.Comment.value.strip(), device.Selected.value
        name = work.runkey = await self._sql(work, _prepare, device.SnapshotName.value, at)
        snapshot = await self._or_abort(work, self.stand.snapshot())
        systems = self._with_settings(snapshot)
        missing = missing_of(snapshot, systems)
        await self.post_many([(device.Progress, 50.0), (device.Missing, len(missing))])
        await self.post_many([(device.ItemsDone, snapshot.count), (device.ItemsTotal, snapshot.count + len(missing))])
        report = reports.snapshot_text(name, snapshot, missing, str(work.client), comment, at, base)
        alarm = (AlarmStatus.READ, Severity.MINOR) if missing else None
        await self.post_many([(device.Report, report, alarm)])
        if not snapshot.count:
            raise CommandFailed(f"not stored, since nothing could be read: {reports.first_of(missing)}")
        if missing and self.config.incomplete == "refuse":
            raise CommandFailed(f"not stored: {reports.unreadable(missing)}")
        ended = work.abort.is_set
        info = await self._sql(work, store_snapshot, name, comment, base, snapshot, systems, ended, timeout=LONG)
        await self.post_many([(device.Selected, info.name), (device.SnapshotName, ""), (device.Comment, "")])
        await self.listing.stored(info)
        text = f"{info.name}: {reports.settings_text(snapshot.count)} are stored"
        return f"{text}; {reports.unreadable(missing)}" if missing else text

    def _with_settings(self, snapshot: Snapshot) -> dict[str, str]:
        """System -> prefix, but for those that have no configuration: this time or, of a silent one, the last time."""
        for system, settings in snapshot.settings.items():
            if settings or snapshot.conditions[system].missing:
                self._bare.discard(system)
            else:
                self._bare.add(system)
        return {system: prefix for system, prefix in self.systems.items() if system not in self._bare}

    async def _compare(self, work: Work) -> str:
        selected, scope = await self._look(work)
        device, comparison = self.device, scope.comparison
        blind = bool(comparison.unread or comparison.counts().get("disconnected"))
        alarm = (AlarmStatus.READ, Severity.MINOR) if blind else None
        report = reports.comparison_text(selected.info, comparison, str(work.client))
        await self.post_many([(device.DiffCount, len(comparison.items), alarm), (device.Report, report)])
        await self.post(device.Plan, scope.plan.as_text())
        if selected.info.root == self.on_stand.applied.root:
            await self.on_stand.show(reports.changed(comparison))
        return f"{selected.info.name}: {reports.counts_text(comparison)}"

    async def _dry_run(self, work: Work) -> str:
        selected, scope = await self._look(work)
        report = reports.plan_text(selected.info, scope.plan, str(work.client))
        await self.post_many([(self.device.Plan, scope.plan.as_text()), (self.device.Report, report)])
        return f"{selected.info.name}: {reports.plan_line(scope.plan)}"

    async def _look(self, work: Work) -> tuple[Selected, Scope]:
        """The selected runkey, and the stand beside it."""
        work.runkey = self.device.Selected.value
        selected = await self._sql(work, load_settings, work.runkey)
        await self.post_many([(self.device.Progress, 20.0), (self.device.ItemsTotal, len(selected.settings))])
        scope = await self._or_abort(work, self.stand.plan(selected.settings, selected.systems))
        unread = scope.comparison.unread
        await self.post_many([(self.device.Progress, 90.0), (self.device.ItemsDone, len(selected.settings))])
        if len(unread) == len(selected.systems):
            raise CommandFailed(f"nothing of the stand can be read: {reports.first_of(unread)}")
        return selected, scope

    async def _apply(self, work: Work) -> str:
        if not self._known:
            raise PutRefused("the journal has not been read since the start: is there a database?")
        device = self.device
        await self._sql(work, _may_operate)
        selected, scope = await self._look(work)
        info, comment = selected.info, device.Comment.value.strip()
        await self.post_many([(device.Plan, scope.plan.as_text()), (device.Progress, 0.0), (device.ItemsDone, 0)])
        journal = SqlJournal(
            JournalWrites(self.databases, work.who), info.name, info.root, bytes.fromhex(info.digest), work.who, comment
        )
        outcome = await self.stand.apply(scope, journal, abort=work.abort, progress=self._progress)
        report = reports.outcome_text(info, outcome, str(work.client), comment)
        await self.post_many([(device.Report, report), (device.Comment, "")])
        await self._show_outcome(work, selected, journal.id, outcome)
        if outcome.state == "applied":
            await self.post(device.DiffCount, 0)
            return f"{info.name} is applied and verified: {reports.settings_text(len(outcome.items))} written"
        raise CommandFailed(reports.outcome_line(info, outcome, work.aborted_by))

    async def _show_outcome(self, work: Work, selected: Selected, application: str, outcome: Outcome) -> None:
        """`Applied…`, from the journal if it can be had."""
        if outcome.journaled:
            try:
                return await self.on_stand.read()
            except DbError as error:
                log.warning("%s the journal cannot be read: %s", self.prefix, error)
        info, by, at = selected.info, str(work.client), iso(datetime.now(UTC))
        applied = None
        if outcome.state == "applied":
            applied = Applied(info.name, info.root, info.digest, by, at, "applied and verified")
        elif outcome.state == "rollback_failed":
            text = f"uncertain: {info.name} by {by} at {at} failed and could not all be taken back"
            applied = Applied(by=by, at=at, result=text, severity=Severity.MAJOR)
        await self.on_stand.ended(Ended(application, outcome.state, outcome.report, info.name, work.who), applied)

    def _progress(self, done: int, total: int, doing: str) -> None:
        device, when = self.device, stamp()
        if doing.startswith("rolling back") and device.State.value is RunkeyState.Applying:
            device.State.take(RunkeyState.RollingBack, when)
        device.ItemsDone.take(done, when)
        device.ItemsTotal.take(total, when)
        device.Progress.take(100.0 * done / total if total else 100.0, when)

    async def _commit(self, work: Work) -> str:
        name = work.runkey = self.device.Selected.value
        if not name:
            raise PutRefused("no runkey is selected: put a name to Selected")
        info = await self._sql(work, _commit, name, self.device.Comment.value.strip(), timeout=LONG)
        await self.post(self.device.Comment, "")
        await self.listing.stored(info)
        return f"{name} is committed to the backend"

    async def _refresh(self, work: Work) -> str:
        await self.listing.refresh()
        return "lists and selection are read anew"

    # The databases

    async def _follow_databases(self) -> None:
        """See whether they answer, for ever; when they are back, read what is in them."""
        while True:
            health = await self.databases.look()
            await self._show_health(health)
            if health.ok:
                try:
                    await self._catch_up()
                except DbError as error:
                    log.warning("%s %s", self.prefix, error)
            await asyncio.sleep(self.config.health)

    async def _show_health(self, health: Health) -> None:
        device = self.device
        await self.post(device.DbConn, health.ok)
        if health.ok:
            await self.post(device.DbLatency, health.seconds * 1000)
        else:
            await self.invalidate(device.DbLatency)
        if health.reason and not self._away:
            await self.message(health.reason, logging.WARNING)
        elif self._away and health.ok:
            await self.message("the databases are there again")
        self._away = health.reason
        if self._work is None and self._known:
            state = device.State.value
            if not health.ok and state is RunkeyState.Idle:
                await self.post(device.State, RunkeyState.Offline)
            elif health.ok and state is RunkeyState.Offline:
                await self.post(device.State, RunkeyState.Idle)
        await self.set_state(IocState.Running if health.ok else IocState.Degraded)

    async def _catch_up(self) -> None:
        if not self._known:
            interrupted = await self.on_stand.recover(self.stand, tuple(self.systems.values()))
            await self.listing.refresh()
            self._known = True
            if self._work is None:
                await self.post(self.device.State, RunkeyState.Failed if interrupted else RunkeyState.Idle)
        if self.on_stand.owing:
            await self.on_stand.settle()
        if self._work is None and self.listing.due:
            await self.listing.refresh()


def _prepare(store: Store, wanted: str, at: datetime) -> str:
    """The name of the snapshot to be; what forbids it is told before the stand is read."""
    _may_operate(store)
    name = free_name(store, wanted, at)
    if taken(store, name):
        raise Exists(f"there is a runkey {name!r} already; put another name to SnapshotName")
    return name


def _may_operate(store: Store) -> None:
    with store.staging.database.read() as connection:
        require(connection, store.who, "operator")


def _commit(store: Store, name: str, comment: str) -> RunkeyInfo:
    return store.commit(name, comment)


def build(entry: IocEntry, site: Site) -> RunkeyIoc:
    """The IOC of a site file's `[[ioc]]` of kind runkey."""
    if not isinstance(entry.config, RunkeyConfig):
        raise TypeError(f"the configuration of {entry.system} is a {type(entry.config).__name__}")
    return RunkeyIoc(entry, entry.config, site)
