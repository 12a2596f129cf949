"""What is to be archived: the catalogues of the IOCs, and what the site file says."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from archiver.config import DEFAULT_PERIOD, ArchiverConfig, Sampling

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Listed:
    """A PV in an IOC's catalogue: how the IOC wants it archived (None: not), and what it is."""

    sampling: Sampling | None
    description: str


@dataclass(frozen=True)
class Target:
    """A PV to archive. `description`: None when no catalogue has one, so that the record must be asked."""

    sampling: Sampling
    description: str | None


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
        if not isinstance(name, str) or not 0 < len(name) <= 60:
            continue
        result[name] = Listed(_sampling(name, item.get("archive")), str(item.get("doc") or ""))
    return result


def _sampling(name: str, archive: object) -> Sampling | None:
    if not isinstance(archive, Mapping):
        return None
    try:
        return Sampling(method=archive.get("method", "monitor"), period=archive.get("period") or DEFAULT_PERIOD)
    except ValueError:
        log.warning("%s: its catalogue wants %s, which is no way to archive; every event is kept", name, dict(archive))
        return Sampling()


def targets(catalogues: Mapping[str, Mapping[str, Listed]], config: ArchiverConfig) -> dict[str, Target]:
    """What to archive, by PV name; PVs with the method `none` are left out."""
    result: dict[str, Target] = {}
    for catalogue in catalogues.values():
        for name, listed in catalogue.items():
            result[name] = Target(config.sampling(name, listed.sampling), listed.description)
    for rule in config.pv:
        if rule.name not in result:
            result[rule.name] = Target(config.sampling(rule.name, None), None)
    return {name: target for name, target in result.items() if target.sampling.method != "none"}
