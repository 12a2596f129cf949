"""The engine: keeps subscriptions in step with what is to be archived, and hands events to the recorder."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import signal
import time
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from archiver.config import ArchiverConfig
from archiver.engine.catalogues import Catalogues
from archiver.engine.controls import Controls
from archiver.engine.counters import Links, Rates
from archiver.engine.describing import Descriptions
from archiver.engine.following import LedgerFollower
from archiver.engine.intake import Channels, Intake
from archiver.engine.plan import Planner, Target
from archiver.engine.policies import Facts
from archiver.engine.recorder import Recorder
from archiver.engine.sites import catalogue_prefixes, remembered, site_config
from archiver.engine.status import Status, write_status
from archiver.engine.subscriptions import Subscriptions
from archiver.management.ledger import Job, PvEntry
from archiver.store import StoreWriter
from archiver.store.events import ENGINE_PV, STARTED, STOPPED
from archiver.store.files import reason
from archiver.store.live import LIVE, PvState, load_live, save_live
from owlshift.ca import Batch, ChannelInfo, Client
from owlshift.site import Site, SiteError, load_site

log = logging.getLogger(__name__)

SITE_PERIOD = 2.0
"""Seconds between two looks at the site file."""

STATUS_PERIOD = 1.0
LIVE_PERIOD = 1.0
"""Seconds between two tables of PVs; with many PVs it is up to five times as long."""
DESCRIBE_PERIOD = 1.0
RETRY = 5.0
RATE_AFTER = 10.0
"""Seconds after which a PV's rate is taken as known, for policies."""
IN_THREAD = 500
"""So many names are planned in a thread, so that events need not wait."""
RELOADED = ("policy", "pv", "pin", "engines")
"""Keys of [archiver] that take effect when the site file changes."""

T = TypeVar("T")


class Engine:
    """Archives a site, or its share of it, until it is stopped. It is the sink of its Channel Access client."""

    def __init__(self, site: Site, config: ArchiverConfig, store: StoreWriter, name: str = "") -> None:
        self.name = name
        self._site, self._config, self._store = site, config, store
        self._intake = Intake(config.queue << 20)
        self._pvs = Channels()
        before = load_live(store.layout.folder)
        self._links = Links(before)
        self._rates = Rates()
        self._measured = np.where(before["state"] == PvState.CONNECTED, before["rate"], np.nan).astype(np.float64)
        """Events/s by PV id, as policies see them: NaN where it isn't known yet."""
        self._dropped_before = store.channels["dropped"].astype(np.uint64)
        self._recorder = Recorder(store, config, self._intake, self._pvs)
        self._recorder.flow.begin(before)
        self._status = Status(self._recorder)
        self._client = Client(sink=self)
        self._controls = Controls(lambda name: self._subscriptions.switched(name))
        self._subscriptions = Subscriptions(
            self._client, self._intake, self._pvs, self._links, self._controls, store.registry
        )
        self._planner = Planner(config, name)
        self._planner.facts = self._facts
        self._descriptions = Descriptions(store)
        self._catalogues = Catalogues(self._replan)
        self._follower = LedgerFollower(
            *(config.archive_folder(site.state) / "manage.db", name, self._do_job, self._entries_changed),
            remembered=lambda: remembered(before, store.registry.names),
        )
        self._registry = ThreadPoolExecutor(1, "registry")
        """The thread in which alone the registry is written."""
        self._online = 0
        self._paused = False
        self._plan = asyncio.Event()
        self._dirty: set[str] = set()
        self._all_dirty = False
        self._applying = asyncio.Lock()
        self._stop = asyncio.Event()
        self._failed = False

    # life

    async def run(self) -> int:
        """Archive until SIGTERM, SIGINT or a failure; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        self._intake.on_full = self._pause
        self._intake.on_rejected = self._subscriptions.rejected
        self._recorder.on_drained = lambda: loop.call_soon_threadsafe(self._resume) if self._paused else None
        self._recorder.on_failure = lambda error: loop.call_soon_threadsafe(self._fail)
        if self._store.crashed_ns is not None:
            self._intake.put_event(ENGINE_PV, self._store.crashed_ns, STOPPED)
        self._intake.put_event(ENGINE_PV, time.time_ns(), STARTED)
        self._recorder.start()
        tasks: list[asyncio.Task[None]] = []
        try:
            await self._client.start()
            await self._catalogues.start()
            self._catalogues.follow(catalogue_prefixes(self._site, self._config))
            await self._follower.look()
            self._replan()
            works = (
                *(self._keep_plan(), self._follower.run(), self._watch_site(), self._describe()),
                *(self._descriptions.fields.run(), self._report(), self._report_pvs()),
            )
            for work in works:
                tasks.append(loop.create_task(self._guarded(work)))
            await self._write_status()
            which = f" {self.name}" if self.name else ""
            print(f"ready archiver-engine{which} {self._site.name} in {self._store.layout.folder}", flush=True)
            await self._stop.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            try:
                for part in (self._catalogues, self._controls, self._descriptions.fields, self._client):
                    await part.close()
            finally:
                await self._finish()
        return 1 if self._failed else 0

    async def _finish(self) -> None:
        self._intake.put_event(ENGINE_PV, time.time_ns(), STOPPED)
        await asyncio.to_thread(self._recorder.stop)
        await asyncio.to_thread(self._follower.close)
        try:
            await self._save_descriptions()
        except OSError as error:
            log.error("the last metadata can't be written in %s: %s", self._store.layout.folder, reason(error))
        await self._write_live()
        await self._write_status("stopped")
        try:
            self._store.close()
        except OSError as error:
            log.error("the archive %s can't be closed: %s", self._store.layout.folder, reason(error))
        self._registry.shutdown()

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:
            log.exception("the engine has failed")
            self._fail()

    def _fail(self) -> None:
        self._failed = True
        self._stop.set()

    async def _in_registry(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._registry, work, *arguments)

    # the client's sink

    def batch(self, batch: Batch) -> None:
        """Events have come."""
        self._intake.put(batch)

    def connected(self, info: ChannelInfo) -> None:
        """A channel is there."""
        self._subscriptions.connected(info)
        self.changed(info)

    def changed(self, info: ChannelInfo) -> None:
        """A channel's metadata are known, or have changed."""
        target = self._subscriptions.targets.get(info.name)
        if target is None:
            return
        self._descriptions.take(info, int(self._pvs.pv[info.id]), target)
        if not self._planner.policies.by_name_alone:
            self._replan([info.name])

    def disconnected(self, channel: int, reason: str, time_ns: int) -> None:
        """A channel is lost."""
        self._subscriptions.disconnected(channel, time_ns)

    def _pause(self) -> None:
        if not self._paused and self._intake.blocked is None:
            log.warning("the disk takes less than comes in: servers are asked to hold back")
            self._paused = True
            self._client.pause()

    def _resume(self) -> None:
        if self._paused:
            log.warning("the queue is short again: servers may send")
            self._paused = False
            self._client.resume()

    # what is to be archived

    def _replan(self, names: Iterable[str] | None = None) -> None:
        """Look again at what is to be done about these PVs (None: about all)."""
        if names is None:
            self._all_dirty = True
        else:
            self._dirty.update(names)
        self._plan.set()

    def _facts(self, name: str) -> Facts:
        pv = self._store.registry.ids.get(name)
        metadata = self._descriptions.known(pv) if pv is not None else {}
        return self._subscriptions.facts(name, metadata, self._measured)

    def _entries_changed(self, entries: dict[str, PvEntry], names: set[str]) -> None:
        self._planner.entries = entries
        self._replan(names)

    async def _keep_plan(self) -> None:
        while True:
            await self._plan.wait()
            self._plan.clear()
            everything, self._all_dirty = self._all_dirty, False
            names, self._dirty = self._dirty, set()
            try:
                await self._apply(None if everything else names)
            except OSError as error:
                log.error("new PVs can't be noted in %s (%s): trying on", self._store.layout.folder, reason(error))
                await asyncio.sleep(RETRY)
                self._replan(None if everything else names)

    async def _apply(self, names: set[str] | None) -> None:
        async with self._applying:
            self._planner.catalogues = dict(self._catalogues.by_prefix)
            if names is None or len(names) > IN_THREAD:
                planned = await asyncio.to_thread(self._planner.plan, names)
            else:
                planned = self._planner.plan(names)
            targets = self._subscriptions.targets
            changes = {name: target for name, target in planned.items() if targets.get(name) != target}
            if names is None:
                changes |= dict.fromkeys(name for name in targets if name not in planned)
            if changes:
                await self._take(changes)

    async def _take(self, changes: dict[str, Target | None]) -> None:
        targets, ids = self._subscriptions.targets, self._store.registry.ids
        fresh = [name for name, target in changes.items() if target is not None and name not in ids]
        if fresh:
            await self._in_registry(self._store.add_pvs, fresh)
        entries = self._planner.entries
        before = len(targets)
        await self._subscriptions.apply(changes, lambda name: e.created_ns if (e := entries.get(name)) else 0)
        for name, target in changes.items():
            self._descriptions.fields.follow(name, target.sampling.fields if target is not None else ())
        log.info("%d PVs to archive (%+d, %d changes)", len(targets), len(targets) - before, len(changes))

    async def _do_job(self, job: Job) -> None:
        """Carry out what the ledger asks for once. OSError: not now."""
        if job.kind == "reapply":
            self._measure(np.isfinite(self._measured))
            self._replan(job.args)
        elif job.kind in ("rename", "forget"):
            ids = self._store.registry.ids
            if mine := [name for name in job.args if name in ids]:
                await self._change_store(job, mine)
        else:
            log.warning("the ledger asks for %r, which this engine doesn't know", job.kind)

    async def _change_store(self, job: Job, names: list[str]) -> None:
        """Rename these PVs, or forget them. Nothing more may come under their names meanwhile."""
        async with self._applying:
            held = dict.fromkeys(name for name in names if name in self._subscriptions.targets)
            if held:
                await self._take(held)
            await asyncio.to_thread(self._recorder.settle)
            try:
                if job.kind == "rename":
                    await self._in_registry(self._store.rename, {name: job.args[name] for name in names})
                else:
                    await self._in_registry(self._store.forget, names)
            except (KeyError, ValueError) as error:
                log.error("%s of %s: %s; the names stay", job.kind, ", ".join(names[:5]), error)
            else:
                log.info("%s of %d PVs is done", job.kind, len(names))
        # they are planned again together with the entries that came with the job
        self._dirty.update([*names, *(job.args.values() if job.kind == "rename" else ())])

    async def _watch_site(self) -> None:
        seen = _signature(self._site.path)
        while True:
            await asyncio.sleep(SITE_PERIOD)
            signature = _signature(self._site.path)
            if signature == seen or signature is None:
                continue
            seen = signature
            try:
                site = await asyncio.to_thread(load_site, self._site.path, self._site.state)
                config = site_config(site)
            except SiteError as error:
                log.error("the site file has changed and can't be used; nothing changes here:\n%s", error)
                continue
            fixed: set[str] = set(RELOADED)
            if config.model_dump(exclude=fixed) != self._config.model_dump(exclude=fixed):
                log.warning(
                    "the site file changes more of [archiver] than %s: restart the engine for that", ", ".join(RELOADED)
                )
            if self.name and self.name not in config.engines:
                log.warning("engine %s is no longer in the site file: others take its PVs", self.name)
            self._config = self._config.model_copy(update={key: getattr(config, key) for key in RELOADED})
            self._measure(np.isfinite(self._measured))
            self._planner.configure(self._config)
            self._catalogues.follow(catalogue_prefixes(site, self._config))
            self._replan()

    # metadata

    async def _describe(self) -> None:
        failed = False
        while True:
            await asyncio.sleep(DESCRIBE_PERIOD)
            try:
                await self._save_descriptions()
                failed = False
            except OSError as error:
                if not failed:
                    log.error("metadata can't be written (%s): trying on", reason(error))
                failed = True

    async def _save_descriptions(self) -> None:
        batch = self._descriptions.begin_save()
        written = False
        try:
            await self._in_registry(self._store.describe, batch)
            written = True
        finally:
            self._descriptions.end_save(written)

    # counters

    def _measure(self, which: np.ndarray) -> None:
        """Take the rates of now as those that policies see."""
        size = min(len(which), len(self._rates.events))
        which = which[:size]
        self._measured[:size][which] = self._rates.events[:size][which]

    async def _report_pvs(self) -> None:
        while True:
            begun = time.monotonic()
            await self._write_live()
            spent = time.monotonic() - begun
            await asyncio.sleep(min(5 * LIVE_PERIOD, LIVE_PERIOD + len(self._subscriptions.targets) / 25_000 + spent))

    async def _write_live(self) -> None:
        registry = self._store.registry
        # ids of forgotten PVs are never given again, and the counters go by id
        table = np.zeros(max([*list(registry.ids.values()), *list(registry.forgotten)], default=0) + 1, LIVE)
        self._recorder.flow.fill(table)
        self._add_order_drops(table)
        self._links.fill(table)
        watched = table["state"] == PvState.CONNECTED
        self._rates.look(table["events"], table["bytes"], watched)
        table["rate"], table["byte_rate"] = self._rates.events, self._rates.bytes
        if len(table) > len(self._measured):
            self._measured = np.append(self._measured, np.full(2 * len(table) - len(self._measured), np.nan))
        known = watched & np.isnan(self._measured[: len(table)]) & (self._rates.seen(len(table)) >= RATE_AFTER)
        if known.any():
            self._measure(known)
            if self._planner.policies.by_rate:
                names = self._store.registry.names
                self._replan([names[pv] for pv in np.flatnonzero(known).tolist() if pv in names])
        try:
            await asyncio.to_thread(save_live, self._store.layout.folder, table)
        except OSError:
            log.debug("live.npy can't be written")

    def _add_order_drops(self, table: np.ndarray) -> None:
        """Samples that were out of order, or there already: that shows when a log becomes segments."""
        now = self._store.channels["dropped"][: len(table)].astype(np.uint64)
        now[: len(self._dropped_before)] -= self._dropped_before[: len(now)]
        table["dropped_time"][: len(now)] += now

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(STATUS_PERIOD)
            if self._paused and self._intake.blocked is not None:
                # what is lost while nothing can be written is to be counted here, not left out by the servers
                self._resume()
            await self._write_status()

    async def _write_status(self, state: str | None = None) -> None:
        stats = self._client.stats
        client = {
            field.name: dict(value) if isinstance(value := getattr(stats, field.name), dict) else value
            for field in dataclasses.fields(stats)
        }
        content = self._status.snapshot(self._subscriptions.states(), self._paused, client)
        content |= {
            "engine": self.name,
            "hosts": list(self._subscriptions.hosts.known),
            "policies": list(self._subscriptions.policies.known),
            "ledger": {"version": max(self._follower.version, 0), "problem": self._follower.problem},
        }
        if state is not None:
            content["state"] = state
        try:
            await asyncio.to_thread(write_status, self._store.layout.engine, content)
        except OSError:
            # the recorder says what is wrong with the disk
            log.debug("engine.json can't be written")


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
