"""`owl up`, `owl demo`, `owl status`, `owl down`: a whole site on this host."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from owlshift.commands.common import (
    SiteOption,
    StateOption,
    command_name,
    fail,
    has_display,
    log_to_stderr,
    open_site,
)
from owlshift.commands.output import print_rich
from owlshift.site import Site, default_state, demo_site_path
from owlshift.supervisor import (
    AlreadyRunningError,
    ProcessState,
    Supervisor,
    read_status,
    site_processes,
    site_summary,
)

READY_PATIENCE = 60.0  # seconds between lines that say what a site still waits for
SEARCH_TIME = 0.4  # seconds; an IOC on this host answers a search within some milliseconds

ForOption = Annotated[
    float | None,
    typer.Option("--for", min=0.0, help="Stop by itself after so many seconds.", show_default=False),
]


def up(
    site_file: Annotated[Path, typer.Argument(metavar="SITE.toml", help="The site file.", show_default=False)],
    state: StateOption = None,
    seconds: ForOption = None,
) -> None:
    """Start a site's processes, watch them, and stop them all on Ctrl-C or SIGTERM."""
    _run(open_site(site_file, state), seconds, demo=False)


def demo(state: StateOption = None, seconds: ForOption = None) -> None:
    """Run the demo: a simulated stand with its IOCs, archiver and screens, on loopback only."""
    _run(open_site(demo_site_path(), state), seconds, demo=True)


def _run(site: Site, seconds: float | None, demo: bool) -> None:
    log_to_stderr()
    if read_status(site.state) is None and (place := _served_already(site)) is not None:
        fail(f"{place}: two would answer for each PV; stop that one, or give this site another name or [ca] port")
    try:
        supervisor = Supervisor(site.state, site_processes(site))
        asyncio.run(_supervise(supervisor, site, seconds, demo))
    except AlreadyRunningError as error:
        fail(str(error))
    except OSError as error:
        fail(f"can't use {site.state}: {error.strerror or error}")


def _served_already(site: Site) -> str | None:
    """Which IOC of the site somebody serves at this moment, and where; None when nobody does."""
    from owlshift.ca import CaAddresses, Client

    async def look() -> str | None:
        addresses = replace(CaAddresses.from_environment(site.ca_environment()), repeater_port=0)
        async with Client(addresses, metadata=False) as client:
            ids = client.subscribe([f"{entry.prefix}IOC:HEARTBEAT" for entry in site.iocs])
            deadline = time.monotonic() + SEARCH_TIME
            while time.monotonic() < deadline:
                for entry, number in zip(site.iocs, ids, strict=True):
                    if (info := client.info(int(number))) is not None:
                        return f"{entry.prefix} is served already, at {info.host}"
                await asyncio.sleep(0.02)
        return None

    return asyncio.run(look())


async def _supervise(supervisor: Supervisor, site: Site, seconds: float | None, demo: bool) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, supervisor.stop)
    running = asyncio.create_task(supervisor.run())
    greeting = asyncio.create_task(_greet(supervisor, site, seconds, demo))
    try:
        await running
    finally:
        if not greeting.done():
            greeting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await greeting
    typer.echo("all stopped")


async def _greet(supervisor: Supervisor, site: Site, seconds: float | None, demo: bool) -> None:
    if seconds is not None:
        asyncio.get_running_loop().call_later(seconds, supervisor.stop)
    while not await supervisor.wait_ready(READY_PATIENCE):
        if supervisor.stopping:
            return
        late = [f"{s.name} ({s.message or s.state})" for s in supervisor.statuses.values() if s.state != "running"]
        typer.echo(f"not ready yet: {', '.join(late)}; trying on", err=True)
    typer.echo("\n".join(_welcome(site, seconds, demo)))
    if demo and has_display():
        # The screens are the operator's: closing them stops nothing, and the site's end closes them.
        environment = {**os.environ, **site.ca_environment(), "OWLSHIFT_STATE": str(site.state)}
        argv = [sys.executable, "-m", "owlshift", "screens"]
        screens = subprocess.Popen(argv, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            await supervisor.wait_stopping()
        finally:
            screens.terminate()


def _welcome(site: Site, seconds: float | None, demo: bool) -> list[str]:
    owl = command_name()
    lines = ["", f"{site.title} is up.", "", "For any Channel Access client on this host:"]
    lines += [f"  export {name}={value}" for name, value in site.ca_environment().items()]
    if not demo:
        lines += ["So that owl's other commands speak of this site:", f"  export OWLSHIFT_SITE={site.path}"]
    if site.state != default_state(site.name):
        lines += [f"  export OWLSHIFT_STATE={site.state}"]
    lines += ["", *site_summary(site)]
    if site.examples:
        lines += ["", "To try, in another shell:"]
        lines += [f"  {owl}{example.removeprefix('owl')}" for example in site.examples]
    lines += ["", *_screens_hint(owl)]
    ending = f"Stops by itself after {seconds:g} s; Ctrl-C stops it now." if seconds is not None else "Ctrl-C stops it."
    return [*lines, "", ending]


def _screens_hint(owl: str) -> list[str]:
    if has_display():
        return [f"Screens: {owl} screens"]
    return [f"Screens: this shell has no display; for pictures of them: {owl} screens shot DIR"]


def status(site_file: SiteOption = None, state: StateOption = None) -> None:
    """Show the processes of the running site. Exit code 0: all are up; 1: some are not, or the site isn't running."""
    site = open_site(site_file, state)
    found = read_status(site.state)
    if found is None:
        fail(f"site {site.name} is not running (nothing runs on {site.state})")
    _, processes = found
    table = Table(box=None, pad_edge=False)
    for heading in ("process", "state", "pid", "for", "restarts", "message"):
        table.add_column(heading, justify="right" if heading in ("pid", "for", "restarts") else "left")
    for process in processes:
        duration = _duration(time.time() - process.since) if process.since else ""
        table.add_row(
            process.name,
            process.state.value,
            str(process.pid or ""),
            duration,
            str(process.restarts),
            process.message,
        )
    print_rich(table)
    if any(process.state is not ProcessState.RUNNING for process in processes):
        raise typer.Exit(1)


def down(site_file: SiteOption = None, state: StateOption = None) -> None:
    """Stop the running site, wherever it was started, and wait until it has."""
    site = open_site(site_file, state)
    found = read_status(site.state)
    if found is None:
        fail(f"site {site.name} is not running (nothing runs on {site.state})")
    os.kill(found[0], signal.SIGTERM)
    deadline = time.monotonic() + 60
    while read_status(site.state) is not None:
        if time.monotonic() > deadline:
            fail(f"site {site.name} has not stopped within 60 s; its supervisor is process {found[0]}")
        time.sleep(0.1)
    typer.echo(f"site {site.name} has stopped")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
