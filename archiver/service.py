"""The archiver's processes in a site, and what `owl up` says about them."""

from __future__ import annotations

import sys

from archiver.config import ArchiverConfig
from owlshift.kinds import ProcessSpec
from owlshift.site import Site

ENGINE = "archiver-engine"
RETRIEVAL = "archiver-retrieval"
IOC = "archiver-ioc"


def processes(site: Site, config: ArchiverConfig) -> list[ProcessSpec]:
    """The engines of this host, retrieval, and the archiver's IOC.

    None waits for an IOC: a dead IOC must not keep the others from being archived.
    """
    where = ("--site", str(site.path), "--state", str(site.state))
    run = (sys.executable, "-u", "-m")
    result = [
        ProcessSpec(
            f"{ENGINE}-{name}" if name else ENGINE,
            (*run, "archiver.engine", *where, *(("--engine", name) if name else ())),
        )
        for name in config.store_folders(site.state)
    ]
    result.append(ProcessSpec(RETRIEVAL, (*run, "archiver.retrieval", *where)))
    if config.system:
        result.append(ProcessSpec(IOC, (*run, "archiver.ioc", *where)))
    return result


def summary(site: Site, config: ArchiverConfig) -> list[str]:
    """Where the archive answers, and where it lies."""
    urls = ", ".join(f"http://{address}" for address in config.http)
    return [f"Archive: {urls} (in {config.archive_folder(site.state)})"]


def prefixes(site: Site, config: ArchiverConfig) -> list[str]:
    """What the PVs of the archiver's own IOC begin with, if there is one."""
    return [config.ioc_prefix(site.prefix)] if config.system else []
