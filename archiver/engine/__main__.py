"""`python -m archiver.engine --site FILE --state DIR`: archive a site until stopped."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from archiver.config import ArchiverConfig
from archiver.engine.engine import Engine
from archiver.engine.memory import keep_memory
from archiver.engine.sites import site_config, use_ca_addresses
from archiver.store import StoreError, StoreWriter
from owlshift.kinds import LOG_FORMAT
from owlshift.site import Site, SiteError, load_site


def main(argv: list[str] | None = None) -> int:
    """Run the engine; returns the exit code: 0 stopped, 1 failed, 2 bad input."""
    parser = argparse.ArgumentParser(prog="python -m archiver.engine", description="Archive the PVs of a site.")
    parser.add_argument("--site", type=Path, required=True, help="the site file")
    parser.add_argument("--engine", default="", help="which of the site's engines this is, when there are several")
    parser.add_argument("--state", type=Path, help="where the site keeps its state (default: as the site file says)")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    try:
        site = load_site(options.site, options.state)
        config = site_config(site)
    except SiteError as error:
        print(error, file=sys.stderr)
        return 2
    name = options.engine
    if name not in (config.engines or ("",)):
        known = f"it has {', '.join(config.engines)}" if config.engines else "it has only one, without a name"
        print(f"site {site.name} has no engine {name!r}; {known}", file=sys.stderr)
        return 2
    store = StoreWriter(config.store_folder(site.state, name), config, name)
    try:
        store.open()
    except StoreError as error:
        print(f"archiver-engine: {error}", file=sys.stderr)
        return 1
    use_ca_addresses(site, config)
    keep_memory()
    return asyncio.run(_run(site, config, store, name))


async def _run(site: Site, config: ArchiverConfig, store: StoreWriter, name: str) -> int:
    return await Engine(site, config, store, name).run()


if __name__ == "__main__":
    sys.exit(main())
