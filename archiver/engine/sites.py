"""What an engine takes from its site: the section, addresses, catalogues; and from the engine before it."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from archiver.config import ArchiverConfig
from archiver.management.ledger import PvEntry
from archiver.store.live import SCAN, PvState
from owlshift.site import Site, SiteError


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


def remembered(before: np.ndarray, names: Mapping[int, str]) -> dict[str, PvEntry]:
    """What people had asked for, as far as an engine's last table of PVs tells: for a start without a ledger."""
    result: dict[str, PvEntry] = {}
    for pv in np.flatnonzero(before["state"]).tolist():
        if pv in names:
            method = "scan" if before["method"][pv] == SCAN else "monitor"
            paused = before["state"][pv] == PvState.PAUSED
            period = float(before["period"][pv]) or None
            result[names[pv]] = PvEntry(names[pv], requested=True, paused=bool(paused), method=method, period=period)
    return result


def catalogue_prefixes(site: Site, config: ArchiverConfig) -> list[str]:
    """The prefixes of the IOCs whose catalogues are followed: the site's, and the archiver's own."""
    own = [config.ioc_prefix(site.prefix)] if config.system else []
    return [*(ioc.prefix for ioc in site.iocs), *own]
