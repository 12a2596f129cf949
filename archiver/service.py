"""The archiver's processes in a site, and what `owl up` says about them."""

from __future__ import annotations

import sys

from archiver.config import ArchiverConfig
from owlshift.kinds import ProcessSpec
from owlshift.site import Site

ENGINE = "archiver-engine"
RETRIEVAL = "archiver-retrieval"


def processes(site: Site, config: ArchiverConfig) -> list[ProcessSpec]:
    """The engine and retrieval. Neither waits for an IOC: a dead IOC must not keep the others from being archived."""
    where = ("--site", str(site.path), "--state", str(site.state))
    return [
        ProcessSpec(ENGINE, (sys.executable, "-u", "-m", "archiver.engine", *where)),
        ProcessSpec(RETRIEVAL, (sys.executable, "-u", "-m", "archiver.retrieval", *where)),
    ]


def summary(site: Site, config: ArchiverConfig) -> list[str]:
    """Where the archive answers, and where it lies."""
    urls = ", ".join(f"http://{address}" for address in config.http)
    return [f"Archive: {urls} (in {config.archive_folder(site.state)})"]
