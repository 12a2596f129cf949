"""What the management calls share: the archive's parts, its site file as it is now, and who may do what."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from archiver.config import ArchiverConfig
from archiver.management.access import Access
from archiver.management.census import Census
from archiver.management.ledger import Identity, Ledger, LedgerDamaged, LedgerError, set_aside
from archiver.retrieval.workers import Workers
from archiver.store import Reader, StoreReader
from owlshift.site import Site, SiteError, load_site

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""Seconds after which the site file is looked at again."""
ITSELF = Identity("archiver", "localhost")
"""What the archiver does by itself stands under this name in the audit."""


class SiteFollower:
    """The `[archiver]` section as the site file has it now; one that can't be used leaves the last good one."""

    def __init__(self, site: Site | None, config: ArchiverConfig) -> None:
        self.site = site
        self._config = config
        self._lock = threading.Lock()
        self._looked = time.monotonic()
        self._signature = self._stat()

    def _stat(self) -> object:
        if self.site is None:
            return None
        try:
            status = self.site.path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    @property
    def config(self) -> ArchiverConfig:
        """The section now."""
        with self._lock:
            now = time.monotonic()
            if self.site is None or now - self._looked < LOOK_S:
                return self._config
            self._looked = now
            signature = self._stat()
            if signature is not None and signature != self._signature:
                self._signature = signature
                try:
                    config = load_site(self.site.path, self.site.state).services.get("archiver")
                except SiteError as error:
                    log.error("the site file has changed and can't be used; policies stay as they were: %s", error)
                else:
                    self._config = config if isinstance(config, ArchiverConfig) else self._config
            return self._config


@dataclass
class Context:
    """The parts of an archive. `folders`: the store of each engine of this host by its name ("" for the only one)."""

    reader: Reader
    ledger: Ledger
    folder: Path
    folders: Mapping[str, Path]
    access: Access
    workers: Workers
    follower: SiteFollower
    started: float = field(default_factory=time.time)
    requests: dict[str, int] = field(default_factory=dict)
    """Requests answered by management, by HTTP status class."""

    def __post_init__(self) -> None:
        readers = self.reader.readers if not isinstance(self.reader, StoreReader) else (self.reader,)
        names = {path: name for name, path in self.folders.items()}
        self.census = Census([(names.get(r.folder, r.folder.name), r) for r in readers], self.ledger)

    @property
    def config(self) -> ArchiverConfig:
        """The `[archiver]` section as it is now."""
        return self.follower.config

    @property
    def site(self) -> Site | None:
        """The site, as it was at the start."""
        return self.follower.site


def context_of(place: Any, reader: Reader, ledger: Ledger, workers: Workers) -> Context:
    """The context of an archive: `place` has its `folder`, `config`, `folders` and `site` (None without one).

    A damaged ledger is set aside, so that people can go on; what was readable of it stays.
    """
    config: ArchiverConfig = place.config
    site: Site | None = place.site
    _repair(ledger)
    tokens = config.access.tokens
    access = Access(
        acf=site.access_file if site is not None else None,
        asg=config.access.asg,
        tokens=tokens_path(site, config) if tokens else None,
        names=[address.rpartition(":")[0] for address in config.http],
    )
    folders = place.folders or {"": place.folder}
    return Context(reader, ledger, place.folder, folders, access, workers, SiteFollower(site, config))


def tokens_path(site: Site | None, config: ArchiverConfig) -> Path | None:
    """The file of tokens; a relative one is beside the site file. None when there is none."""
    if config.access.tokens is None:
        return None
    path = Path(config.access.tokens).expanduser()
    return path if site is None else site.path.parent / path


def _repair(ledger: Ledger) -> None:
    try:
        ledger.version()
        ledger.aliases()
    except LedgerDamaged as error:
        log.error("%s", error)
        try:
            ledger.close()
            aside, saved = set_aside(ledger.path)
            ledger.note("ledger set aside", ITSELF, after={"file": aside.name, "saved": saved})
        except LedgerError as problem:
            log.error("%s", problem)
    except LedgerError as error:
        log.error("%s", error)
