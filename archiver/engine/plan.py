"""What is to be archived: the catalogues of the IOCs, what the site file says, and what people asked for."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiver.config import DEFAULT_PERIOD, ArchiverConfig, Sampling
from archiver.engine.policies import NOTHING, Facts, Policies
from archiver.engine.share import owner

if TYPE_CHECKING:
    from archiver.management.ledger import PvEntry

log = logging.getLogger(__name__)

NAME = re.compile(r"[^\0-\x20\x7f\ud800-\udfff]{1,60}")
"""What can be a PV's name: other rubbish must not reach the client, nor files that are UTF-8."""


@dataclass(frozen=True)
class Listed:
    """A PV in an IOC's catalogue: how the IOC wants it archived (None: not), and what it is."""

    sampling: Sampling | None
    description: str


@dataclass(frozen=True)
class Target:
    """A PV to archive. `description`: None when no catalogue has one, so that the record must be asked."""

    sampling: Sampling
    description: str | None = None
    policy: str = ""
    """The name of the policy that says how; "" when none does."""
    paused: bool = False
    controlling: str | None = None
    """The PV that switches this one on (not zero) and off."""


class CatalogueError(ValueError):
    """A catalogue that can't be understood; str() says why."""


def parse_catalogue(text: bytes | str) -> dict[str, Listed]:
    """The PVs of an IOC's catalogue (JSON) by name; CatalogueError when it isn't one.

    Entries that make no sense are left out.
    """
    try:
        document = json.loads(text)
        pvs = document["pvs"]
        if not isinstance(pvs, list):
            raise TypeError("`pvs` is no list")
    except (ValueError, KeyError, TypeError) as error:
        raise CatalogueError(f"no catalogue: {error}") from error
    result: dict[str, Listed] = {}
    for item in pvs:
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str) or not NAME.fullmatch(name):
            continue
        doc = str(item.get("doc") or "").encode("utf-8", "replace").decode()
        result[name] = Listed(_sampling(name, item.get("archive")), doc)
    return result


def _sampling(name: str, archive: object) -> Sampling | None:
    if not isinstance(archive, Mapping):
        return None
    try:
        return Sampling(
            method=archive.get("method", "monitor"),
            period=archive.get("period") or DEFAULT_PERIOD,
            deadband=archive.get("deadband") or 0.0,
        )
    except ValueError:
        log.warning("%s: its catalogue wants %s, which is no way to archive; every event is kept", name, dict(archive))
        return Sampling()


class Planner:
    """Says of every PV whether and how this engine archives it. It looks at what it is given and changes nothing."""

    def __init__(self, config: ArchiverConfig, engine: str = "") -> None:
        self.engine = engine
        self.entries: Mapping[str, PvEntry] = {}
        """What people asked for, by PV."""
        self.catalogues: Mapping[str, Mapping[str, Listed]] = {}
        """By prefix of the IOC."""
        self.facts: Callable[[str], Facts] = lambda name: NOTHING
        self.configure(config)

    def configure(self, config: ArchiverConfig) -> None:
        """Go by another configuration from now on."""
        self.config = config
        self.policies = Policies(config)
        self._owners: dict[str, str] = {}

    def names(self) -> set[str]:
        """Every PV that anything at all is said about."""
        result = set(self.policies.own)
        for catalogue in self.catalogues.values():
            result.update(catalogue)
        result.update(self.entries)
        return result

    def plan(self, names: Iterable[str] | None = None) -> dict[str, Target | None]:
        """The targets of `names` (None: of every PV known); None in the place of what this engine leaves alone."""
        return {name: self._target(name, self._listed(name)) for name in (self.names() if names is None else names)}

    def _listed(self, name: str) -> Listed | None:
        return next((catalogue[name] for catalogue in self.catalogues.values() if name in catalogue), None)

    def _target(self, name: str, listed: Listed | None) -> Target | None:
        entry = self.entries.get(name)
        if entry is not None and entry.deleted:
            return None
        if not NAME.fullmatch(name) or not self._mine(name, entry):
            return None
        declared = listed.sampling if listed is not None else None
        sampling, policy = self.policies.decide(name, declared, entry, lambda: self.facts(name))
        if sampling.method == "none":
            return None
        return Target(
            sampling,
            listed.description if listed is not None else None,
            policy,
            entry is not None and entry.paused,
            (entry.controlling or None) if entry is not None else None,
        )

    def _mine(self, name: str, entry: PvEntry | None) -> bool:
        engines = self.config.engines
        if not engines:
            return True
        if entry is not None and entry.engine in engines:
            return entry.engine == self.engine
        found = self._owners.get(name)
        if found is None:
            found = self._owners[name] = owner(name, engines, self.config.pin)
        return found == self.engine
