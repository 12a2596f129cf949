"""The alarm IOC: a tree of alarms that follows PVs, and is told to clients, to the log, to Kafka and to actions."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from db.alarms.log import AlarmLog
from db.alarms.store import AlarmStore
from db.alarms.writer import EventWriter
from db.config import open_alarms
from db.database import Database
from db.errors import DbError
from db.rows import uncollected
from iocs.alarm.actions.actions import Actions
from iocs.alarm.config import AlarmConfig
from iocs.alarm.configuration import Configuration
from iocs.alarm.keeper import Keeper
from iocs.alarm.log import LogWriter
from iocs.alarm.pvs.commands import Commands
from iocs.alarm.pvs.names import PvNames
from iocs.alarm.pvs.server_pvs import ServerPvs
from iocs.alarm.pvs.show import Show
from iocs.alarm.reload import apply_files
from iocs.alarm.standby import LeaseLost, Seat
from iocs.alarm.startup import fill, make_tree, read_files
from iocs.alarm.threads import Threads
from iocs.alarm.tree.clock import LoopClock
from iocs.alarm.tree.events import Edit, Person
from iocs.alarm.watch.catalogue_watch import Catalogues
from iocs.alarm.watch.watch import Watch, WatchSettings
from owlshift.ca import CaAddresses, Client
from owlshift.ioc import Ioc
from owlshift.site import IocEntry, Site

if TYPE_CHECKING:
    from iocs.alarm.kafka.bridge import KafkaBridge

log = logging.getLogger(__name__)

LOG_END = 3.0
"""Seconds that the log has at the stop until the rest waits in the spool."""
KEEP_END = 3.0
"""Seconds that states have at the stop."""
PRUNE = 3600.0
"""Seconds between two looks at whether the log has what is too old."""


class AlarmIoc(Ioc):
    """Alarms of a site."""

    max_answer = 128 << 20

    def __init__(self, entry: IocEntry, config: AlarmConfig, site: Site) -> None:
        super().__init__(entry.prefix, backend="none")
        self.config, self.site = config, site
        self.folder = site.state / "alarm"
        self.tree = make_tree(site.name, LoopClock(), config)
        self.configuration = Configuration(site.name)
        self.item_names = PvNames(entry.prefix, site.prefix)
        commands = Commands(self.tree, lambda: self.keeper, lambda: self.client, self.tell, self.reload, config.mode_pv)
        self.show = Show(self.tree, self.item_names, commands)
        self.server_pvs = ServerPvs(self)
        self.file_problems: list[str] = []
        self._addresses = _addresses(site, config)
        self._threads = Threads()
        self.seat = Seat(entry.prefix, lambda: open_alarms(site, create=True), self._threads, self.tell)
        own = {entry.prefix, site.ioc(entry.system).prefix}
        self.catalogues = Catalogues(
            [prefix for prefix in (*site.prefixes(), *config.also) if prefix not in own] if config.catalogues else [],
            site.name,
            cache=self.folder / "catalogues",
            claimed=self.configuration.claimed,
            addresses=self._addresses,
        )
        self._database: Database | None = None
        self._keeper: Keeper | None = None
        self.writer: EventWriter | None = None
        self._log: LogWriter | None = None
        self.watch: Watch | None = None
        self._actions: Actions | None = None
        self._client = Client(self._addresses, metadata=False)
        self.kafka: KafkaBridge | None = None
        self.kafka_problem = ""
        self._said_ready = False

    # Life

    async def start(self) -> None:
        """Wait for the active server's place, then take up what was before, and begin to watch."""
        try:
            self._database = await self.seat.take(self._stands_by)
        except asyncio.CancelledError:
            await self.seat.leave()
            raise
        database = self._database
        self.spawn(self._keep_seat(), "lease")
        store = AlarmStore(database, self.site.name, self.seat.lease)
        with uncollected():
            server = await self._load(store)
        # what is there now stays: looking at it again and again would only cost time
        gc.collect()
        gc.freeze()
        self._keeper = keeper = Keeper(self.tree, self.configuration, store, self._threads, self._deposed)
        nag = server.get("nag_period", self.config.nag_period)
        keeper.more["nag_period"] = nag
        keeper.told = self.server_pvs.kept
        self.writer = EventWriter(lambda: AlarmLog(open_alarms(self.site)), self.folder / "spool")
        self._log = LogWriter(self.tree, self.writer)
        self._actions = Actions(
            self.tree, self.tree.clock, self.config.actions,
            tell=self._acted, client=self._client, notifying=lambda: self.tree.notifying,
        )  # fmt: skip
        self.add("", self.show.root)
        self.provide(self.show.find)
        self.tree.listeners.extend([self.configuration, keeper, self._log, self.show, self._actions])
        self.kafka = self._bridge()
        if self.kafka is not None:
            self.tree.listeners.append(self.kafka)
        await self._begin(nag)

    async def _load(self, store: AlarmStore) -> Mapping[str, Any]:
        """Fill the tree; returns what was kept of the server itself."""
        stored = await self._threads.run(store.load, 60.0, "states")
        items, self.file_problems = await asyncio.to_thread(self._read_files)
        cached = await asyncio.to_thread(self.catalogues.cached)
        for problem in self.file_problems:
            log.error("%s", problem)
        self.configuration.take_stored(stored.items)
        self.configuration.take_files(items)
        server = fill(self.tree, self.configuration, cached, stored)
        self.item_names.name_all(self.tree.root)
        return server

    async def _begin(self, nag: float) -> None:
        writer, log_writer, actions, keeper = self.writer, self._log, self._actions, self._keeper
        if writer is None or log_writer is None or actions is None or keeper is None:
            raise RuntimeError("the tree has not been loaded")
        self.show.begin(nag)
        writer.start()
        log_writer.begin()
        await self._client.start()
        actions.start()
        self.tree.announcer.nag_period = nag
        self.tree.announcer.started()
        settings = WatchSettings(self.config.connection_timeout, self.config.mode_pv, self.config.phoebus_compatible)
        self.watch = Watch(self.tree, self.tree.clock, settings, self._addresses)
        await self.watch.start()
        if self.kafka is not None:
            await self.kafka.start()
        self.spawn(keeper.run(), "states")
        self.spawn(self.show.follow(), "texts")
        self.spawn(self.catalogues.follow(self.configuration.for_catalogues(self.tree, self.catalogues)), "catalogues")
        self.spawn(self.server_pvs.follow(), "server PVs")
        if self.config.keep_log:
            self.spawn(self._prune(), "prune")

    async def _prune(self) -> None:
        """Once an hour, remove what of the log is older than it is to be kept."""
        database = self._database
        while database is not None:
            limit = datetime.now(UTC) - timedelta(days=self.config.keep_log)
            try:
                removed = await self._threads.run(lambda limit=limit: AlarmLog(database).prune(limit), 3600.0, "prune")
                log.info("%d events of the log were older than %g days", removed, self.config.keep_log)
            except DbError as error:
                log.warning("the log is not pruned: %s", error)
            await asyncio.sleep(PRUNE)

    def _bridge(self) -> KafkaBridge | None:
        """The bridge to Kafka, when the site has one; it needs a library that not every installation has."""
        config = self.config.kafka
        if config is None:
            return None
        try:
            from iocs.alarm.kafka.bridge import KafkaBridge
        except ModuleNotFoundError as error:
            self.kafka_problem = f"{error.name} is missing: pip install owlshift[kafka]"
            self.tell(f"no Kafka: {self.kafka_problem}", logging.ERROR)
            return None
        return KafkaBridge(self.tree, config, restart=self._asked_to_restart, shutdown=self._asked_to_end)

    def _asked_to_restart(self, who: Person) -> None:
        self.tell(f"alarm files are read again, as {who} asks over Kafka")
        self.spawn(self.reload(), "reload")

    def _asked_to_end(self, who: Person) -> None:
        self.tell(f"ends, as {who} asks over Kafka", logging.WARNING)
        self.ended.set()

    async def stop(self) -> None:
        """Watch no more, and keep what is known."""
        if self.watch is not None:
            await self.watch.close()
        if self.kafka is not None:
            await self.kafka.stop()
        if self._actions is not None:
            await self._actions.close()
        self.tree.stop()
        await self._client.close()
        if self._keeper is not None:
            try:
                async with asyncio.timeout(KEEP_END):
                    await self._keeper.write()
            except TimeoutError:
                log.warning("%s what has changed last may not be kept", self.prefix)
        if self._log is not None and self.writer is not None:
            self._log.end()
            await asyncio.to_thread(self.writer.close, LOG_END)

    async def gone(self) -> None:
        """Now another server may have the names."""
        await self.seat.leave()
        if self._database is not None:
            self._database.close()

    def _stands_by(self, active: str) -> None:
        """Another server is active: whoever waits for this one to be ready need not."""
        if not self._said_ready:
            self._said_ready = True
            print(f"ready {self.prefix} stands by: {active} is the active server", flush=True)

    async def _keep_seat(self) -> None:
        try:
            await self.seat.keep()
        except LeaseLost as error:
            self._deposed(str(error))

    def _deposed(self, reason: str) -> None:
        """Another server serves the same names: begin anew, to stand by."""
        if not self.ended.is_set():
            self.tell(f"{reason}: begins anew to stand by", logging.WARNING)
            self.request_restart()

    # Configuration

    def _read_files(self) -> tuple[list[Any], list[str]]:
        return read_files(
            self.site.path.parent,
            self.config.files,
            self.site.name,
            compatible=self.config.phoebus_compatible,
            keep=self.folder / "files",
        )

    async def reload(self) -> None:
        """Read the alarm files again."""
        items, problems = await asyncio.to_thread(self._read_files)
        changed, refused = await apply_files(self.tree, self.configuration, items)
        self.file_problems = problems + refused
        for problem in self.file_problems:
            log.error("%s", problem)
        if self.file_problems:
            await self.message(f"alarm files: {self.file_problems[0]}", logging.WARNING)
        else:
            await self.message(f"alarm files read again: {changed} items changed")

    def _acted(self, edit: Edit) -> None:
        if self._log is not None:
            self._log.edited(edit)

    @property
    def keeper(self) -> Keeper:
        """What keeps states; once started."""
        if self._keeper is None:
            raise RuntimeError("the IOC has not started")
        return self._keeper


def _addresses(site: Site, config: AlarmConfig) -> CaAddresses:
    environment = {**os.environ, **site.ca_environment(), "EPICS_CA_SERVER_PORT": str(site.ca.port)}
    environment["EPICS_CA_ADDR_LIST"] = " ".join([environment["EPICS_CA_ADDR_LIST"], *config.search])
    return CaAddresses.from_environment(environment)


def build(entry: IocEntry, site: Site) -> AlarmIoc:
    """The IOC of a site file's `[[ioc]]` of kind alarm."""
    if not isinstance(entry.config, AlarmConfig):
        raise TypeError(f"the configuration of {entry.system} is a {type(entry.config).__name__}")
    return AlarmIoc(entry, entry.config, site)
