"""The archiver's own IOC: `python -m archiver.ioc --site FILE --state DIR`.

It serves what the engines of this host write into their `engine.json`, so that operators, alarms and the archive itself
see how archiving goes, and whether retrieval answers. It never talks to an engine: one that hangs or is gone is INVALID
here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from archiver.config import ArchiverConfig
from archiver.ioc_device import EngineHealth, no_room, together
from archiver.ioc_retrieval import RetrievalHealth
from owlshift.ioc import CaServerSettings, Device, Ioc, IocState, serve
from owlshift.kinds import LOG_FORMAT
from owlshift.site import Site, SiteError, load_site

log = logging.getLogger(__name__)

PERIOD = 1.0
STALE = 6.0
"""Seconds after which counters that an engine doesn't renew tell nothing any more; it renews them every second."""
LOSS_WINDOW = 60.0
"""Seconds over which the rate of lost samples is taken, so that a short loss is seen."""


class _Engine:
    """What is known of one engine: its PVs, and what it said last."""

    def __init__(self, folder: Path, device: EngineHealth | None) -> None:
        self.path = folder / "engine.json"
        self.device = device
        self.status: dict[str, Any] | None = None
        self._losses: deque[tuple[float, int]] = deque()
        self._seen = (0.0, 0.0)

    def look(self) -> bool:
        """Read its counters; whether they are of now."""
        try:
            status = json.loads(self.path.read_bytes())
            updated = float(status["updated"])
        except (OSError, ValueError, KeyError, TypeError):
            return self._fresh()
        if updated != self._seen[0]:
            # by this process's own clock, so that a step of the system's does not make a live engine look dead
            self._seen = (updated, time.monotonic())
            if self.status is None and abs(time.time() - updated) > STALE:
                self._seen = (updated, time.monotonic() - STALE)
            self.status = status
        return self._fresh()

    def _fresh(self) -> bool:
        return self.status is not None and time.monotonic() - self._seen[1] < STALE

    def loss_rate(self) -> float:
        """Samples/s that found no room."""
        if self.status is None:
            return 0.0
        now = time.monotonic()
        try:
            lost = no_room(self.status)
        except (KeyError, TypeError, AttributeError):
            return 0.0  # no engine wrote that; `_show` marks all of it
        if self._losses and lost < self._losses[-1][1]:
            self._losses.clear()
        self._losses.append((now, lost))
        while now - self._losses[0][0] > LOSS_WINDOW:
            self._losses.popleft()
        (then, before) = self._losses[0]
        return (lost - before) / max(now - then, PERIOD)


class ArchiveIoc(Ioc):
    """Publishes the counters of engines, each by its name ("" for the only one) with its store's folder.

    And whether retrieval answers at `http`, addresses as in a site file.
    """

    def __init__(self, prefix: str, folders: Mapping[str, Path], http: Sequence[str] = ()) -> None:
        self.total = EngineHealth()
        self._retrieval = RetrievalHealth(http)
        devices: list[tuple[str, Device]] = [("", self.total), ("", self._retrieval)]
        self._engines: dict[str, _Engine] = {}
        for name, folder in folders.items():
            device = EngineHealth() if name else None
            if device is not None:
                devices.append((f"{name.upper()}:", device))
            self._engines[name] = _Engine(folder, device)
        super().__init__(prefix, devices, backend=", ".join(str(folder) for folder in folders.values())[:39])
        self._told: dict[str, bool] = {}
        self._begun = time.monotonic()

    async def start(self) -> None:
        """Begin to look at the engines."""
        self.spawn(self._poll(), "poll")
        self.spawn(self._retrieval.watch(), "retrieval")

    async def _poll(self) -> None:
        while True:
            await self._publish()
            await asyncio.sleep(PERIOD)

    async def _publish(self) -> None:
        fresh = {name: engine.look() for name, engine in self._engines.items()}
        losses = {name: engine.loss_rate() for name, engine in self._engines.items()}
        for name, engine in self._engines.items():
            told = self._told.get(name)
            starts = told is None and (fresh[name] or time.monotonic() - self._begun < STALE)
            if told != fresh[name] and not starts:
                which = f"engine {name}" if name else "the engine"
                said = "is there again" if fresh[name] else "says nothing"
                away = not fresh[name] and not engine.path.parent.is_dir()
                where = f": the folder {engine.path.parent} is not there" if away else ""
                await self.message(f"{which} {said}{where}", logging.WARNING)
            if fresh[name] or not starts:
                self._told[name] = fresh[name]
            if engine.device is not None:
                await self._show(engine.device, engine.status, losses[name], fresh[name])
        known = {name: engine.status for name, engine in self._engines.items() if engine.status is not None}
        await self._show(self.total, _together(known) if known else None, sum(losses.values()), all(fresh.values()))
        await self.set_state(IocState.Running if all(fresh.values()) else IocState.Degraded)

    async def _show(self, device: EngineHealth, status: Mapping[str, Any] | None, loss: float, fresh: bool) -> None:
        if status is not None:
            try:
                await device.post_many(device.figures(status, loss))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                log.debug("engine.json is strange: %r", error)
                fresh = False
        if not fresh:
            await device.invalidate(list(device.pvs.values()))


def _together(statuses: Mapping[str, dict[str, Any]]) -> dict[str, Any] | None:
    if len(statuses) == 1:
        return next(iter(statuses.values()))
    try:
        return together(statuses)
    except (KeyError, TypeError, ValueError) as error:
        log.debug("engine.json is strange: %r", error)
        return None


def build(site: Site, config: ArchiverConfig) -> ArchiveIoc:
    """The archiver's IOC of a site; its `pvdb` has all PVs."""
    return ArchiveIoc(config.ioc_prefix(site.prefix), config.store_folders(site.state), config.http)


def main(argv: list[str] | None = None) -> int:
    """Run the IOC; returns the exit code: 0 stopped, 1 failed, 2 bad input."""
    parser = argparse.ArgumentParser(prog="python -m archiver.ioc", description="PVs about the archive of a site.")
    parser.add_argument("--site", type=Path, required=True, help="the site file")
    parser.add_argument("--state", type=Path, help="where the site keeps its state (default: as the site file says)")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT, stream=sys.stdout)
    try:
        site = load_site(options.site, options.state)
        config = site.services.get("archiver")
        if not isinstance(config, ArchiverConfig) or not config.system:
            raise SiteError([f"{site.path}: there is no [archiver] section with a `system` for the archiver's IOC"])
        prefix = config.ioc_prefix(site.prefix)
        if any(entry.prefix == prefix for entry in site.iocs):
            raise SiteError([f"{site.path}: archiver.system: another IOC has the prefix {prefix}; choose another name"])
    except SiteError as error:
        print(error, file=sys.stderr)
        return 2
    settings = CaServerSettings(site.ca.interface, site.ca.port)
    return serve(build(site, config), settings, site.state, site.access_file)


if __name__ == "__main__":
    sys.exit(main())
