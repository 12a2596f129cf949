"""The runkey IOC: what a put to one of its PVs does. Channel Access here, SQL on threads (`databases`)."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from db.errors import DbError, Exists, Unavailable
from db.users import require
from db.who import Who
from iocs.runkey import browse, reports
from iocs.runkey.compare import Comparison, compare
from iocs.runkey.config import RunkeyConfig
from iocs.runkey.databases import MYSELF, Databases, Health
from iocs.runkey.journal import SqlJournal
from iocs.runkey.plan import Scope
from iocs.runkey.pvs import LIST_BYTES, RunkeyPvs, RunkeyState
from iocs.runkey.recovery import Applied, applied_now, explain, find_interrupted, mark_interrupted
from iocs.runkey.snapshots import Selected, free_name, load_settings, missing_of, settings_at, store_snapshot, taken
from iocs.runkey.stand import Stand
from iocs.runkey.work import CommandFailed, Work
from owlshift.ca import CaAddresses, Client
from owlshift.ioc import AlarmStatus, Ioc, IocState, PutRefused, Pv, Severity
from owlshift.ioc.alarms import stamp
from owlshift.ioc.link import Client as Putter
from owlshift.site import IocEntry, Site

log = logging.getLogger(__name__)

T = TypeVar("T")

LIST_PERIOD = 10.0
"""Seconds between two looks at what `owl runkey` and others have done to the databases."""
STOP_PATIENCE = 6.0
"""Seconds that an apply has, when the IOC is stopped, to take back what it has written."""
COMMIT_TIMEOUT = 600.0
RECOVERY_PATIENCE = 30.0
"""Seconds that the subsystems have, after the start, to say what an interrupted apply has left."""


class RunkeyIoc(Ioc):
    """Snapshot, compare and apply runkeys of a site."""

    def __init__(self, entry: IocEntry, config: RunkeyConfig, site: Site) -> None:
        self.config = config
        self.site = site
        self.device = RunkeyPvs(self, config)
        self.databases = Databases(site)
        super().__init__(entry.prefix, [("", self.device)], backend="none")
        own = {entry.prefix, site.ioc(entry.system).prefix}
        self.systems = {p.removeprefix(site.prefix).rstrip(":"): p for p in site.prefixes() if p not in own}
        self.systems |= {prefix.rstrip(":"): prefix for prefix in config.also}
        self.client_: Client | None = None
        self._stand: Stand | None = None
        self._work: Work | None = None
        self._commands = {
            pv.name: pv for name, pv in self.device.pvs.items() if pv.declaration.kind == "command" and name != "Abort"
        }
        self._known = False
        """The journal and the lists have been read since the start."""
        self._away = ""
        """Why there is no database."""
        self._listed = 0.0
        self._applied = Applied()

    # Life

    async def start(self) -> None:
        """Open the client, and begin to look at the databases."""
        environment = {**os.environ, **self.site.ca_environment(), "EPICS_CA_SERVER_PORT": str(self.site.ca.port)}
        environment["EPICS_CA_ADDR_LIST"] = " ".join([environment["EPICS_CA_ADDR_LIST"], *self.config.search])
        self.client_ = Client(CaAddresses.from_environment(environment), metadata=False)
        await self.client_.start()
        self._stand = Stand(self.client_, self.systems, timeout=self.config.read_timeout)
        await self._post_applied()
        self.spawn(self._follow_databases(), "databases")
        if self.config.live_compare:
            self.spawn(self._follow_stand(), "live compare")

    async def stop(self) -> None:
        """End what is under way; what an apply has written is taken back if there is time, and explained otherwise."""
        work = self._work
        if work is not None:
            work.ask_to_end(Putter("the IOC", "which stops"))
            try:
                await asyncio.wait_for(work.done.wait(), STOP_PATIENCE)
            except TimeoutError:
                log.warning("%s ends although it was stopped: the next start explains", work)
        if self.client_ is not None:
            await self.client_.close()
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
        if pv.name in self._commands and value:
            self._refuse_while_busy(pv, who)
            self._work = Work(pv.name.removeprefix(self.prefix), who)
        elif pv is self.device.Selected:
            self._refuse_while_busy(pv, who)
        await super().put(pv, value, who)

    def _refuse_while_busy(self, pv: Pv[Any], who: Putter) -> None:
        if self._work is not None:
            self.put_refused(pv, str(self._work), who)
            raise PutRefused(str(self._work))

    async def _command(self, state: RunkeyState, carry_out: Callable[[Work], Awaitable[str]]) -> None:
        """Run a command; its text becomes the message. CommandFailed and errors of the database fail the put."""
        work = self._work
        if work is None:  # put by the IOC itself
            work = self._work = Work(state.name, self.client)
        device = self.device
        after = RunkeyState.Idle
        try:
            await self.post_many([(device.State, state), (device.Progress, 0.0)])
            await self.post_many([(device.ItemsDone, 0), (device.ItemsTotal, 0)])
            text = await carry_out(work)
            await self.message(text)
        except CommandFailed:
            after = RunkeyState.Failed
            raise
        except Unavailable as error:
            after = RunkeyState.Failed
            raise PutRefused(str(error)) from None
        except InterruptedError:
            raise PutRefused(f"aborted by {work.aborted_by}") from None
        except DbError as error:
            raise PutRefused(str(error)) from None
        finally:
            if after is RunkeyState.Idle and self._away:
                after = RunkeyState.Offline
            self._work = None
            work.done.set()
            await self.post_many([(device.State, after), (device.Progress, 0.0 if after else 100.0)])

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
        name = getattr(function, "__name__", "query")
        return await self.databases.run(work.who, lambda store: function(store, *args), timeout=timeout, what=name)

    # What the PVs ask: see pvs.Actions

    async def select(self, name: str) -> str:
        """Only a name that exists, or none."""
        if not name:
            await self._show_selection(None)
            return ""
        try:
            info, tree = await self.databases.run(MYSELF, lambda store: _look_up(store, name), what="select")
        except DbError as error:
            raise PutRefused(str(error)) from None
        await self._show_selection(info, tree)
        return name

    async def name_snapshot(self, name: str) -> str:
        """What no runkey can be called is refused now."""
        from db.checks import runkey_name

        if name:
            try:
                runkey_name(name)
            except DbError as error:
                raise PutRefused(str(error)) from None
        return name

    async def snapshot(self) -> None:
        """Read the stand in one pass, and store it."""
        await self._command(RunkeyState.Snapshotting, self._snapshot)

    async def _snapshot(self, work: Work) -> str:
        device = self.device
        at, comment, base = datetime.now(UTC), device.Comment.value.strip(), device.Selected.value
        name = work.runkey = await self._sql(work, _prepare, device.SnapshotName.value, at)
        snapshot = await self._or_abort(work, self.stand.snapshot())
        missing = missing_of(snapshot, self.systems)
        await self.post_many([(device.Progress, 50.0), (device.Missing, len(missing))])
        report = reports.snapshot_text(name, snapshot, missing, str(work.client), comment, at, base)
        if not snapshot.count:
            await self.post(device.Report, report)
            raise CommandFailed(f"nothing could be read: {reports.first_of(missing)}")
        if missing and self.config.incomplete == "refuse":
            await self.post(device.Report, report)
            raise CommandFailed(f"not stored: {reports.unreadable(missing)}")
        info = await self._sql(
            work, store_snapshot, name, comment, base, snapshot, self.systems, work.abort.is_set, timeout=COMMIT_TIMEOUT
        )
        alarm = (AlarmStatus.READ, Severity.MINOR) if missing else None
        await self.post_many([(device.Report, report, alarm), (device.ItemsDone, snapshot.count)])
        await self.post_many([(device.ItemsTotal, snapshot.count + len(missing)), (device.Selected, info.name)])
        await self.post_many([(device.SnapshotName, ""), (device.Comment, "")])
        await self._refresh()
        text = f"{info.name}: {snapshot.count} settings of {len(snapshot.settings)} subsystems are stored"
        return f"{text}; {reports.unreadable(missing)}" if missing else text

    async def compare(self) -> None:
        """Say what differs."""
        await self._command(RunkeyState.Comparing, self._compare)

    async def _compare(self, work: Work) -> str:
        selected, scope, comparison = await self._look(work)
        device = self.device
        count = len(comparison.items)
        blind = bool(comparison.unread or comparison.counts().get("disconnected"))
        alarm = (AlarmStatus.READ, Severity.MINOR) if blind else None
        report = reports.comparison_text(selected.info, comparison, str(work.client))
        await self.post_many(
            [(device.DiffCount, count, alarm), (device.Report, report), (device.Plan, scope.plan.as_text())]
        )
        if selected.info.root == self._applied.root and not blind:
            await self._post_applied(differing=reports.changed(comparison))
        return f"{selected.info.name}: {reports.counts_text(comparison)}"

    async def dry_run(self) -> None:
        """Say what an apply would do."""
        await self._command(RunkeyState.Comparing, self._dry_run)

    async def _dry_run(self, work: Work) -> str:
        selected, scope, _ = await self._look(work)
        report = reports.plan_text(selected.info, scope.plan, str(work.client))
        await self.post_many([(self.device.Plan, scope.plan.as_text()), (self.device.Report, report)])
        return f"{selected.info.name}: {reports.plan_line(scope.plan)}"

    async def _look(self, work: Work) -> tuple[Selected, Scope, Comparison]:
        """The selected runkey, and the stand beside it."""
        work.runkey = self.device.Selected.value
        selected = await self._sql(work, load_settings, work.runkey)
        await self.post_many([(self.device.Progress, 20.0), (self.device.ItemsTotal, len(selected.settings))])
        scope = await self._or_abort(work, self.stand.plan(selected.settings, selected.systems))
        comparison = compare(selected.settings, scope.catalogue, scope.before, selected.systems)
        if len(comparison.unread) == len(selected.systems):
            raise CommandFailed(f"nothing of the stand can be read: {reports.first_of(comparison.unread)}")
        return selected, scope, comparison

    async def apply(self) -> None:
        """Write, verify, and take back what was written when that fails."""
        await self._command(RunkeyState.Applying, self._apply)

    async def _apply(self, work: Work) -> str:
        device = self.device
        await self._sql(work, _may_apply, work.who)
        selected, scope, _ = await self._look(work)
        info, comment = selected.info, device.Comment.value.strip()
        await self.post_many([(device.Plan, scope.plan.as_text()), (device.ItemsTotal, len(scope.plan.puts))])
        journal = SqlJournal(
            lambda function: self._sql(work, _written, function),
            info.name,
            info.root,
            bytes.fromhex(info.digest),
            work.who,
            comment,
        )
        outcome = await self.stand.apply(scope, journal, abort=work.abort, progress=self._progress)
        report = reports.outcome_text(info, outcome, str(work.client), comment)
        await self.post_many([(device.Report, report), (device.Comment, "")])
        await self._read_applied(work)
        if outcome.state == "applied":
            await self.post(device.DiffCount, 0)
            return f"{info.name} is applied and verified: {reports.settings_text(len(outcome.items))} written"
        raise CommandFailed(reports.outcome_line(info, outcome, work.aborted_by))

    def _progress(self, done: int, total: int, doing: str) -> None:
        when = stamp()
        device = self.device
        state = device.State.value
        if state is RunkeyState.Applying and "back" in doing:
            device.State.take(RunkeyState.RollingBack, when)
        device.ItemsDone.take(done, when)
        device.ItemsTotal.take(total, when)
        device.Progress.take(100.0 * done / total if total else 100.0, when)

    async def abort(self) -> None:
        """End the command that is under way; returns when it has ended."""
        work = self._work
        if work is None:
            await self.message("nothing is under way that could be aborted")
            return
        await self.message(f"{work.command} is aborted by {self.client}", logging.WARNING)
        work.ask_to_end(self.client)
        if work.command == "Apply":
            await self.post(self.device.State, RunkeyState.Aborting)
        await work.done.wait()

    async def commit(self) -> None:
        """Copy to the backend."""
        await self._command(RunkeyState.Committing, self._commit)

    async def _commit(self, work: Work) -> str:
        name = work.runkey = self.device.Selected.value
        if not name:
            raise PutRefused("no runkey is selected: put a name to Selected")
        comment = self.device.Comment.value.strip()
        info = await self._sql(work, _committed, name, comment, timeout=COMMIT_TIMEOUT)
        await self.post(self.device.Comment, "")
        await self._refresh()
        return f"{info.name} is committed to the backend"

    async def refresh(self) -> None:
        """Read the lists and the selection."""

        async def work(_: Work) -> str:
            await self._refresh()
            return "lists and selection are read anew"

        await self._command(self.device.State.value, work)

    async def search(self, text: str) -> None:
        """Post what is found."""
        try:
            found = await self.databases.run(MYSELF, lambda store: browse.newest_first(store, text), what="search")
        except DbError as error:
            raise PutRefused(str(error)) from None
        await self.post(self.device.Found, browse.list_text(found, LIST_BYTES))

    async def view(self, path: str, role: str) -> None:
        """Post tree and payload."""
        name = self.device.Selected.value
        if not name:
            raise PutRefused("no runkey is selected: put a name to Selected")

        def look(store: Any) -> tuple[str, str]:
            tree = browse.tree_text(store, name, path, LIST_BYTES)
            return tree, browse.view_text(store, name, path, role, LIST_BYTES)

        try:
            tree, text = await self.databases.run(MYSELF, look, what="view")
        except DbError as error:
            raise PutRefused(str(error)) from None
        await self.post_many([(self.device.Tree, tree), (self.device.View, text)])

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
        if self._work is None:
            state = device.State.value
            if not health.ok and state is not RunkeyState.Failed:
                await self.post(device.State, RunkeyState.Offline)
            elif health.ok and state is RunkeyState.Offline and self._known:
                await self.post(device.State, RunkeyState.Idle)
        await self.set_state(IocState.Running if health.ok else IocState.Degraded)

    async def _catch_up(self) -> None:
        if not self._known:
            await self._recover()
            self._known = True
            if self.device.State.value is RunkeyState.Offline:
                await self.post(self.device.State, RunkeyState.Idle)
        if self._work is None and time.monotonic() - self._listed >= LIST_PERIOD:
            await self._refresh()

    async def _refresh(self) -> None:
        """Read lists, and the selection, from the databases."""
        name, text = self.device.Selected.value, self.device.Search.value

        def read(store: Any) -> tuple[Any, ...]:
            every = browse.newest_first(store)
            found = browse.newest_first(store, text) if text else every
            dirty = sum(1 for info in every if info.where == "staging" and not info.committed)
            known = name and (taken(store, name))
            return every, found, dirty, _look_up(store, name) if known else None

        every, found, dirty, chosen = await self.databases.run(MYSELF, read, what="lists")
        self._listed = time.monotonic()
        device = self.device
        await self.post_many(
            [
                (device.List, browse.list_text(every, LIST_BYTES)),
                (device.Found, browse.list_text(found, LIST_BYTES)),
                (device.StageDirty, dirty),
            ]
        )
        if name != device.Selected.value:  # somebody selects another one at this moment
            return
        if name and chosen is None:
            await self.post(device.Selected, "")
            await self.message(f"{name}, which was selected, does not exist any more", logging.WARNING)
        await self._show_selection(*(chosen or (None,)))

    async def _show_selection(self, info: Any, tree: str = "{}") -> None:
        device = self.device
        form = "" if info is None else browse.form_text(info)
        changed = device.SelectedId.value != ("" if info is None else info.root)
        await self.post_many(
            [
                (device.SelectedId, "" if info is None else info.root),
                (device.SelectedHash, "" if info is None else info.digest),
                (device.SelectedInfo, form),
            ]
        )
        if changed:
            await self.post_many([(device.Tree, tree), (device.View, ""), (device.Path, "/"), (device.Role, "")])
            await self.invalidate(device.DiffCount, AlarmStatus.UDF)

    # What is applied

    async def _recover(self) -> None:
        """Explain what an earlier life of this IOC has left under way, and find out what is applied."""
        prefixes = tuple(self.systems.values())
        interrupted = await self.databases.run(MYSELF, lambda store: find_interrupted(store, prefixes), what="journal")
        for application in interrupted:
            text = await explain(application, self.stand, RECOVERY_PATIENCE)
            await self.databases.run(
                MYSELF, lambda store, a=application, t=text: mark_interrupted(store, a, t, MYSELF), what="journal"
            )
            await self.post(self.device.Report, text)
            await self.message(application.line, logging.WARNING)
            await self.post(self.device.State, RunkeyState.Failed)
        await self._read_applied(Work("start", Putter(*_names(MYSELF))))

    async def _read_applied(self, work: Work) -> None:
        """`Applied…` from the journal."""
        try:
            self._applied = await self._sql(work, applied_now)
        except DbError as error:
            await self.message(f"the journal cannot be read: {error}", logging.WARNING)
            return
        await self._post_applied()

    async def _post_applied(self, differing: int = 0) -> None:
        device, applied = self.device, self._applied
        text, severity = applied.result, applied.severity
        if differing and severity < Severity.MINOR:
            text, severity = f"{reports.settings_text(differing)} changed since it was applied", Severity.MINOR
        alarm = (AlarmStatus.STATE, severity) if severity else None
        await self.post_many(
            [
                (device.Applied, applied.name),
                (device.AppliedId, applied.root),
                (device.AppliedHash, applied.digest),
                (device.AppliedBy, applied.by),
                (device.AppliedAt, applied.at),
                (device.AppliedResult, text, alarm),
            ]
        )

    async def _follow_stand(self) -> None:
        """Compare the stand with the runkey that was applied, for ever (`live_compare` of the configuration)."""
        while True:
            await asyncio.sleep(self.config.live_compare)
            root = self._applied.root
            if self._work is not None or not root or self._away:
                if not root:
                    await self.invalidate(self.device.LiveDiffCount, AlarmStatus.UDF)
                continue
            try:
                settings, systems = await self.databases.run(MYSELF, lambda store, r=root: settings_at(store, r))
                comparison = await self.stand.compare(settings, systems)
            except DbError as error:
                await self.invalidate(self.device.LiveDiffCount)
                log.debug("%s live compare: %s", self.prefix, error)
                continue
            if self._work is not None or self._applied.root != root:
                continue
            if comparison.unread or comparison.counts().get("disconnected"):
                await self.invalidate(self.device.LiveDiffCount)
                continue
            count = reports.changed(comparison)
            await self.post(self.device.LiveDiffCount, count)
            await self._post_applied(differing=count)


def _names(who: Who) -> tuple[str, str]:
    return who.user, who.host


def _look_up(store: Any, name: str) -> tuple[Any, str]:
    info = store.find(name).info(name)
    return info, browse.tree_text(store, name, "/", LIST_BYTES)


def _prepare(store: Any, wanted: str, at: datetime) -> str:
    """The name of the snapshot to be; everything that forbids it is told before the stand is read."""
    with store.staging.database.read() as connection:
        require(connection, store.staging.who, "operator")
    name = free_name(store, wanted, at)
    if taken(store, name):
        raise Exists(f"there is a runkey {name!r} already; put another name to SnapshotName")
    return name


def _may_apply(store: Any, who: Who) -> None:
    with store.staging.database.read() as connection:
        require(connection, who, "operator")


def _written(store: Any, function: Callable[[Any], T]) -> T:
    with store.staging.database.write() as connection:
        return function(connection)


def _committed(store: Any, name: str, comment: str) -> Any:
    return store.commit(name, comment)


def build(entry: IocEntry, site: Site) -> RunkeyIoc:
    """The IOC of a site file's `[[ioc]]` of kind runkey."""
    if not isinstance(entry.config, RunkeyConfig):
        raise TypeError(f"the configuration of {entry.system} is a {type(entry.config).__name__}")
    return RunkeyIoc(entry, entry.config, site)
