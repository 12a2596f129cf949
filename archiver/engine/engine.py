"""The engine: keeps subscriptions in step with what is to be archived, and hands events to the recorder."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import signal
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from archiver.config import ArchiverConfig
from archiver.engine.catalogues import Catalogues
from archiver.engine.intake import Channels, Intake
from archiver.engine.metadata import metadata_of
from archiver.engine.plan import Target, targets
from archiver.engine.recorder import Recorder
from archiver.engine.status import Status
from archiver.store import StoreWriter
from archiver.store.events import CONNECTED, ENGINE_PV, LOST, REMOVED, STARTED, STOPPED
from archiver.store.files import reason, replace_json
from owlshift.ca import Batch, CaError, ChannelInfo, Client
from owlshift.site import Site, SiteError, load_site

log = logging.getLogger(__name__)

SITE_PERIOD = 2.0
"""Seconds between two looks at the site file."""

STATUS_PERIOD = 1.0
DESCRIBE_PERIOD = 1.0
RETRY = 5.0
DESCRIPTIONS_AT_ONCE = 200
DESCRIPTION_TIMEOUT = 5.0


def site_config(site: Site) -> ArchiverConfig:
    """The `[archiver]` section of a site; SiteError when it has none."""
    config = site.services.get("archiver")
    if not isinstance(config, ArchiverConfig):
        raise SiteError([f"{site.path}: there is no [archiver] section; add one to archive this site"])
    return config


def use_ca_addresses(site: Site, config: ArchiverConfig) -> None:
    """Make Channel Access clients of this process search where the site's PVs are."""
    addresses = site.ca_environment()
    addresses["EPICS_CA_SERVER_PORT"] = str(site.ca.port)
    addresses["EPICS_CA_ADDR_LIST"] = " ".join([addresses["EPICS_CA_ADDR_LIST"], *config.search])
    os.environ.update(addresses)


class Engine:
    """Archives a site until it is stopped. It is the sink of its Channel Access client."""

    def __init__(self, site: Site, config: ArchiverConfig, store: StoreWriter) -> None:
        self._site, self._config, self._store = site, config, store
        self._intake = Intake(config.queue << 20)
        self._pvs = Channels()
        self._recorder = Recorder(store, config, self._intake, self._pvs)
        self._status = Status(self._recorder)
        self._client = Client(sink=self)
        self._catalogues = Catalogues(self._replan)
        self._targets: dict[str, Target] = {}
        self._channels: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._online: set[int] = set()
        self._paused = False
        self._metadata: dict[int, dict[str, str]] = {}
        self._undescribed: dict[str, None] = {}
        self._plan = asyncio.Event()
        self._stop = asyncio.Event()
        self._failed = False

    # life

    async def run(self) -> int:
        """Archive until SIGTERM, SIGINT or a failure; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        self._intake.on_full = self._pause
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
            self._catalogues.follow(ioc.prefix for ioc in self._site.iocs)
            self._replan()
            for work in (self._keep_plan(), self._watch_site(), self._describe(), self._ask(), self._report()):
                tasks.append(loop.create_task(self._guarded(work)))
            await self._write_status()
            print(f"ready archiver-engine {self._site.name} in {self._store.layout.folder}", flush=True)
            await self._stop.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._catalogues.close()
            await self._client.close()
            await self._finish()
        return 1 if self._failed else 0

    async def _finish(self) -> None:
        self._intake.put_event(ENGINE_PV, time.time_ns(), STOPPED)
        await asyncio.to_thread(self._recorder.stop)
        try:
            await asyncio.to_thread(self._save_metadata)
            await self._write_status("stopped")
            self._store.close()
        except OSError as error:
            log.error("the archive %s can't be closed: %s", self._store.layout.folder, reason(error))

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:
            log.exception("the engine has failed")
            self._fail()

    def _fail(self) -> None:
        self._failed = True
        self._stop.set()

    # the client's sink

    def batch(self, batch: Batch) -> None:
        """Events have come."""
        self._intake.put(batch)

    def connected(self, info: ChannelInfo) -> None:
        """A channel is there."""
        pv = int(self._pvs.pv[info.id])
        self._online.add(info.id)
        self._intake.put_event(pv, time.time_ns(), CONNECTED)
        self.changed(info)

    def changed(self, info: ChannelInfo) -> None:
        """A channel's metadata are known, or have changed."""
        target = self._targets.get(info.name)
        description = target.description if target is not None else None
        pv = int(self._pvs.pv[info.id])
        if description is None:
            description = self._metadata.get(pv, self._store.registry.metadata.get(pv, {})).get("DESC")
            self._undescribed[info.name] = None
        self._metadata[pv] = metadata_of(info, description)

    def disconnected(self, channel: int, reason: str, time_ns: int) -> None:
        """A channel is lost."""
        self._online.discard(channel)
        self._intake.put_event(int(self._pvs.pv[channel]), time_ns, LOST)

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

    def _replan(self) -> None:
        self._plan.set()

    async def _keep_plan(self) -> None:
        while True:
            await self._plan.wait()
            self._plan.clear()
            try:
                await self._apply(targets(self._catalogues.by_prefix, self._config))
            except OSError as error:
                log.error("new PVs can't be noted in %s (%s): trying on", self._store.layout.folder, reason(error))
                await asyncio.sleep(RETRY)
                self._replan()

    async def _apply(self, wanted: dict[str, Target]) -> None:
        gone = [name for name in self._channels if name not in wanted]
        new = [name for name in wanted if name not in self._channels]
        ids = await asyncio.to_thread(self._store.add_pvs, wanted) if new else self._store.registry.ids
        self._targets = wanted
        for name, target in wanted.items():
            period = int(target.sampling.period * 1e9) if target.sampling.method == "scan" else 0
            self._pvs.sample(ids[name], period)
        if gone:
            channels = [self._channels.pop(name) for name in gone]
            self._client.unsubscribe(channels)
            for name, channel in zip(gone, channels, strict=True):
                self._pvs.unmap(channel)
                self._online.discard(channel)
                self._intake.put_event(self._store.registry.ids[name], time.time_ns(), REMOVED)
        if new:
            for name, channel in zip(new, self._client.subscribe(new).tolist(), strict=True):
                self._pvs.map(channel, ids[name])
                self._channels[name] = channel
        if new or gone:
            log.info("%d PVs to archive (%d new, %d gone)", len(wanted), len(new), len(gone))

    async def _watch_site(self) -> None:
        seen = _signature(self._site.path)
        while True:
            await asyncio.sleep(SITE_PERIOD)
            signature = _signature(self._site.path)
            if signature == seen or signature is None:
                continue
            seen = signature
            try:
                site = load_site(self._site.path, self._site.state)
                config = site_config(site)
            except SiteError as error:
                log.error("the site file has changed and can't be used; nothing changes here:\n%s", error)
                continue
            fixed = ("policy", "pv")
            if config.model_dump(exclude=set(fixed)) != self._config.model_dump(exclude=set(fixed)):
                log.warning("the site file changes more of [archiver] than pv and policy: restart the engine for that")
            self._config = self._config.model_copy(update={key: getattr(config, key) for key in fixed})
            self._catalogues.follow(ioc.prefix for ioc in site.iocs)
            self._replan()

    # metadata

    async def _describe(self) -> None:
        failed = False
        while True:
            await asyncio.sleep(DESCRIBE_PERIOD)
            try:
                await asyncio.to_thread(self._save_metadata)
                failed = False
            except OSError as error:
                if not failed:
                    log.error("metadata can't be written (%s): trying on", reason(error))
                failed = True

    def _save_metadata(self) -> None:
        batch, self._metadata = self._metadata, {}
        try:
            self._store.describe(batch)
        except OSError:
            self._metadata = {**batch, **self._metadata}
            raise

    async def _ask(self) -> None:
        """Ask the records that no catalogue describes for their DESC, some at a time."""
        while True:
            await asyncio.sleep(DESCRIBE_PERIOD)
            names = [name for name in list(self._undescribed)[:DESCRIPTIONS_AT_ONCE] if name in self._channels]
            for name in list(self._undescribed)[:DESCRIPTIONS_AT_ONCE]:
                del self._undescribed[name]
            if not names:
                continue
            fields = [f"{name.removesuffix('.VAL')}.DESC" for name in names]
            try:
                async with Client(self._client.addresses, metadata=False) as client:
                    answers = await client.get(fields, timeout=DESCRIPTION_TIMEOUT, return_exceptions=True)
            except (CaError, OSError, ValueError) as error:
                log.debug("descriptions: %s", error)
                continue
            for name, answer in zip(names, answers, strict=True):
                text = getattr(answer, "value", None)
                pv = self._store.registry.ids[name]
                known = self._metadata.get(pv, self._store.registry.metadata.get(pv))
                if isinstance(text, str) and text and known is not None:
                    self._metadata[pv] = {**known, "DESC": text}

    # counters

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
        content = self._status.snapshot(len(self._channels), len(self._online), self._paused, client)
        if state is not None:
            content["state"] = state
        try:
            await asyncio.to_thread(replace_json, self._store.layout.engine, content, False)
        except OSError:
            # the recorder says what is wrong with the disk
            log.debug("engine.json can't be written")


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
