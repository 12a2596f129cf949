"""What the commands do: snapshot, compare, dry run, apply, commit, refresh. Each returns its line for `Msg`.

PutRefused, DbError: nothing was done. CommandFailed: it has not done what it should. InterruptedError: it was aborted
before it has changed anything.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from db.errors import DbError, Exists
from db.users import require
from iocs.runkey import reports
from iocs.runkey.browse import iso
from iocs.runkey.databases import TIMEOUT, Databases, JournalWrites
from iocs.runkey.journal import SqlJournal
from iocs.runkey.on_stand import Ended, OnStand
from iocs.runkey.outcome import Outcome
from iocs.runkey.pvs import RunkeyPvs, RunkeyState
from iocs.runkey.recovery import Applied
from iocs.runkey.snapshots import Selected, free_name, load_settings, missing_of, store_snapshot, taken
from iocs.runkey.work import CommandFailed, Work
from owlshift.ioc import AlarmStatus, Ioc, PutRefused, Severity
from owlshift.ioc.alarms import stamp

if TYPE_CHECKING:
    from db.heads import RunkeyInfo
    from db.store import Store
    from iocs.runkey.listing import Listing
    from iocs.runkey.plan import Scope
    from iocs.runkey.stand import Snapshot, Stand

log = logging.getLogger(__name__)

T = TypeVar("T")

LONG = 600.0
"""Seconds that a snapshot or commit may take to be stored."""
UNREAD = (AlarmStatus.READ, Severity.MINOR)
"""Something of the stand could not be read."""


class Commands:
    """The commands of `device`, on a stand. `incomplete`: see `RunkeyConfig`."""

    def __init__(
        self,
        ioc: Ioc,
        device: RunkeyPvs,
        databases: Databases,
        listing: Listing,
        on_stand: OnStand,
        stand: Stand,
        incomplete: str,
    ) -> None:
        self._ioc, self._device, self._databases = ioc, device, databases
        self._listing, self._on_stand, self._stand = listing, on_stand, stand
        self._incomplete = incomplete
        self._bare: set[str] = set()
        """Subsystems without any configuration."""

    async def snapshot(self, work: Work) -> str:
        """Read the stand in one pass, and store it in a new runkey."""
        device, post = self._device, self._ioc.post_many
        at, comment, base = datetime.now(UTC), device.Comment.value.strip(), device.Selected.value
        name = work.runkey = await self._read(work, _prepare, device.SnapshotName.value, at)
        snapshot = await work.unless_aborted(self._stand.snapshot())
        systems = self._with_settings(snapshot)
        missing = missing_of(snapshot, systems)
        await post([(device.Progress, 50.0), (device.Missing, len(missing))])
        await post([(device.ItemsDone, snapshot.count), (device.ItemsTotal, snapshot.count + len(missing))])
        report = reports.snapshot_text(name, snapshot, missing, str(work.client), comment, at, base)
        await post([(device.Report, report, UNREAD if missing else None)])
        if not snapshot.count:
            raise CommandFailed(f"not stored, since nothing could be read: {reports.first_of(missing)}")
        if missing and self._incomplete == "refuse":
            raise CommandFailed(f"not stored: {reports.unreadable(missing)}")
        what = (name, comment, base, snapshot, systems, work.unwanted)
        info = await self._sql(work, store_snapshot, *what, timeout=LONG)
        await post([(device.Selected, info.name), (device.SnapshotName, ""), (device.Comment, "")])
        await self._listing.stored(info)
        text = f"{info.name}: {reports.settings_text(snapshot.count)} are stored"
        return f"{text}; {reports.unreadable(missing)}" if missing else text

    async def compare(self, work: Work) -> str:
        """Say what differs."""
        selected = await self._load(work, load_settings)
        await self._listing.looked_at(selected.info)
        scope = await self._look(work, selected)
        device, comparison = self._device, scope.comparison
        blind = bool(comparison.unread or comparison.counts().get("disconnected"))
        report = reports.comparison_text(selected.info, comparison, str(work.client))
        await self._ioc.post_many(
            [
                (device.DiffCount, len(comparison.items), UNREAD if blind else None),
                (device.Report, report),
                (device.Plan, scope.plan.as_text()),
            ]
        )
        if selected.info.root == self._on_stand.applied.root:
            await self._on_stand.show(reports.changed(comparison))
        return f"{selected.info.name}: {reports.counts_text(comparison)}"

    async def dry_run(self, work: Work) -> str:
        """Say what an apply would do."""
        selected = await self._load(work, load_settings)
        await self._listing.looked_at(selected.info)
        scope = await self._look(work, selected)
        report = reports.plan_text(selected.info, scope.plan, str(work.client))
        await self._ioc.post_many([(self._device.Plan, scope.plan.as_text()), (self._device.Report, report)])
        return f"{selected.info.name}: {reports.plan_line(scope.plan)}"

    async def apply(self, work: Work) -> str:
        """Write, verify, and take back what was written when that fails."""
        device, post = self._device, self._ioc.post_many
        selected = await self._load(work, _to_apply)
        info, comment = selected.info, device.Comment.value.strip()
        await self._listing.show(info)
        if self._listing.edited(info):
            raise PutRefused(f"{info.name} was edited by {info.author} meanwhile: Compare, DryRun or select it again")
        scope = await self._look(work, selected)
        await post([(device.Plan, scope.plan.as_text()), (device.Progress, 0.0), (device.ItemsDone, 0)])
        writes = JournalWrites(self._databases, work.who)
        journal = SqlJournal(writes, info.name, info.root, bytes.fromhex(info.digest), work.who, comment)
        outcome = await self._stand.apply(scope, journal, abort=work.abort, progress=self._progress)
        report = reports.outcome_text(info, outcome, str(work.client), comment)
        await post([(device.Report, report), (device.Comment, "")])
        await self._show_outcome(work, info, journal.id, outcome)
        if outcome.state == "applied":
            await self._ioc.post(device.DiffCount, 0)
            return f"{info.name} is applied and verified: {reports.settings_text(len(outcome.items))} written"
        raise CommandFailed(reports.outcome_line(info, outcome, work.aborted_by))

    async def commit(self, work: Work) -> str:
        """Copy the selected runkey to the backend."""
        device, loop = self._device, asyncio.get_running_loop()
        name = work.runkey = device.Selected.value
        if not name:
            raise PutRefused("no runkey is selected: put a name to Selected")

        def copied(done: int, total: int) -> None:
            if work.unwanted():
                raise InterruptedError
            percent = 100.0 * done / total if total else 0.0
            loop.call_soon_threadsafe(lambda: device.Progress.take(percent, stamp()))

        info = await self._sql(work, _commit, name, device.Comment.value.strip(), copied, timeout=LONG)
        await self._ioc.post(device.Comment, "")
        await self._listing.stored(info)
        return f"{name} is committed to the backend"

    async def refresh(self, work: Work) -> str:
        """Read lists and selection anew."""
        await self._listing.refresh()
        self._on_stand.validity.look_now()
        return "lists and selection are read anew"

    # Steps of several

    async def _load(self, work: Work, load: Callable[[Store, str], Selected]) -> Selected:
        """The selected runkey, with its settings."""
        work.runkey = self._device.Selected.value
        selected = await self._read(work, load, work.runkey)
        posts = [(self._device.Progress, 20.0), (self._device.ItemsTotal, len(selected.settings))]
        await self._ioc.post_many(posts)
        return selected

    async def _look(self, work: Work, selected: Selected) -> Scope:
        """The stand beside that runkey."""
        scope = await work.unless_aborted(self._stand.plan(selected.settings, selected.systems))
        unread = scope.comparison.unread
        posts = [(self._device.Progress, 90.0), (self._device.ItemsDone, len(selected.settings))]
        await self._ioc.post_many(posts)
        if len(unread) == len(selected.systems):
            raise CommandFailed(f"nothing of the stand can be read: {reports.first_of(unread)}")
        return scope

    def _with_settings(self, snapshot: Snapshot) -> dict[str, str]:
        """System -> prefix, but for those that have no configuration: this time or, of a silent one, the last time."""
        for system, settings in snapshot.settings.items():
            if settings or snapshot.conditions[system].missing:
                self._bare.discard(system)
            else:
                self._bare.add(system)
        return {system: prefix for system, prefix in self._stand.systems.items() if system not in self._bare}

    async def _show_outcome(self, work: Work, info: RunkeyInfo, application: str, outcome: Outcome) -> None:
        """`Applied…`, from the journal if it can be had."""
        if outcome.journaled:
            try:
                return await self._on_stand.read()
            except DbError as error:
                log.warning("%s the journal cannot be read: %s", self._ioc.prefix, error)
        by, at = str(work.client), iso(datetime.now(UTC))
        applied = None
        if outcome.state == "applied":
            applied = Applied(info.name, info.root, info.digest, by, at, "applied and verified")
        elif outcome.state == "rollback_failed":
            text = f"uncertain: {info.name} by {by} at {at} failed and could not all be taken back"
            applied = Applied(by=by, at=at, result=text, severity=Severity.MAJOR)
        await self._on_stand.ended(Ended(application, outcome.state, outcome.report, info.name, work.who), applied)

    def _progress(self, done: int, total: int, doing: str) -> None:
        device, when = self._device, stamp()
        if doing.startswith("rolling back") and device.State.value is RunkeyState.Applying:
            device.State.take(RunkeyState.RollingBack, when)
        device.ItemsDone.take(done, when)
        device.ItemsTotal.take(total, when)
        device.Progress.take(100.0 * done / total if total else 100.0, when)

    async def _sql(self, work: Work, function: Callable[..., T], *args: Any, timeout: float = TIMEOUT) -> T:
        what = function.__name__.strip("_")
        return await self._databases.run(work.who, lambda store: function(store, *args), timeout=timeout, what=what)

    async def _read(self, work: Work, function: Callable[..., T], *args: Any) -> T:
        """As `_sql`, of what writes nothing: an abort need not wait for a database that is slow."""
        return await work.unless_aborted(self._sql(work, function, *args))


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


def _to_apply(store: Store, name: str) -> Selected:
    _may_operate(store)
    return load_settings(store, name)


def _commit(store: Store, name: str, comment: str, copied: Callable[[int, int], None]) -> RunkeyInfo:
    return store.commit(name, comment, copied)
