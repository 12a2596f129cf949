"""`owl ioc KIND`: one IOC in the foreground; `owl sim KIND …`: its simulated device."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from owlshift.commands.common import SiteOption, StateOption, fail, log_to_stderr, open_site
from owlshift.kinds import SUPERVISED, IocKind, ioc_kinds, load_object, read_simulator_place
from owlshift.site import IocEntry, Site, backend_problem, checked_backend
from owlshift.supervisor import die_with_parent

SIMULATOR_START = 30.0  # seconds that a simulator may take until it says where it is
SIMULATOR_CHECK = 0.5  # seconds between looks whether it is still there


def ioc_command(kind: IocKind) -> Callable[..., None]:
    """The function behind `owl ioc KIND`."""

    def run(
        site_file: SiteOption = None,
        state: StateOption = None,
        system: Annotated[str, typer.Option(help="Which IOC of the site; default: the first of this kind.")] = "",
        prefix: Annotated[str, typer.Option(help="Serve under this PV prefix instead of the site's.")] = "",
        backend: Annotated[str, typer.Option(help='"sim", "tcp://HOST:PORT" or "serial:///dev/NAME".')] = "",
        config: Annotated[Path | None, typer.Option(help="A TOML file with the IOC's configuration.")] = None,
        interface: Annotated[str, typer.Option(help="IPv4 address to serve Channel Access on.")] = "",
        port: Annotated[int, typer.Option(min=0, max=65535, help="Channel Access port; 0: the site's.")] = 0,
    ) -> None:
        log_to_stderr()
        site = open_site(site_file, state)
        entry = _entry(site, kind, system)
        if prefix:
            if not re.fullmatch(r"[A-Za-z0-9_-]+(:[A-Za-z0-9_-]+)*:", prefix):
                fail(f"prefix {prefix!r} should be like DEMO:HV: (letters, digits, _ and -, ending in a colon)", 2)
            entry = replace(entry, prefix=prefix)
        if backend:
            try:
                entry = replace(entry, backend=checked_backend(backend))
            except ValueError as error:
                fail(f"backend {backend!r} {error}", 2)
            if (problem := backend_problem(kind, backend)) is not None:
                fail(f"backend {backend!r}: {problem}", 2)
        if config is not None:
            entry = replace(entry, config=_config(kind, config))
        simulator = None
        if entry.backend == "sim" and not os.environ.get(SUPERVISED):
            simulator = _OwnSimulator(site, entry)
            simulator.start()
        from owlshift.ioc import CaServerSettings, serve

        settings = CaServerSettings(interface=interface or site.ca.interface, port=port or site.ca.port)
        try:
            code = serve(
                load_object(kind.build)(entry, _address(site, entry) if kind.needs_device else site),
                settings,
                state_dir=site.state / "ioc",
                access_file=site.access_file,
            )
        finally:
            if simulator is not None:
                simulator.stop()
        raise typer.Exit(code)

    run.__doc__ = f"{kind.title}: serve them over Channel Access, in the foreground, until Ctrl-C."
    return run


def _entry(site: Site, kind: IocKind, system: str) -> IocEntry:
    if system:
        try:
            entry = site.ioc(system)
        except KeyError as error:
            fail(str(error.args[0]), 2)
        if entry.kind != kind.name:
            fail(f"{system} of site {site.name} is of kind {entry.kind}, not {kind.name}", 2)
        return entry
    for entry in site.iocs:
        if entry.kind == kind.name:
            return entry
    fail(f"site {site.name} has no IOC of kind {kind.name}", 2)


def _config(kind: IocKind, path: Path):
    try:
        document = tomllib.loads(path.read_text())
        return load_object(kind.config).model_validate(document)
    except OSError as error:
        fail(f"{path}: can't be read: {error.strerror}", 2)
    except tomllib.TOMLDecodeError as error:
        fail(f"{path}: not TOML: {error}", 2)
    except ValidationError as error:
        for item in error.errors():
            typer.echo(f"{path}: {'.'.join(map(str, item['loc']))}: {item['msg']}", err=True)
        fail(f"{path} can't be used", 2)


def _address(site: Site, entry: IocEntry) -> Callable[[], str]:
    if entry.backend != "sim":
        return lambda: entry.backend
    return lambda: read_simulator_place(site.state, entry.system)["address"]


class _OwnSimulator:
    """Keeps a simulator running beside an IOC that runs alone, unless one runs already. It ends with the IOC."""

    def __init__(self, site: Site, entry: IocEntry) -> None:
        self._site, self._entry = site, entry
        self._argv = [sys.executable, "-u", "-m", "owlshift", "sim", entry.kind, "serve"]
        self._argv += ["--site", str(site.path), "--state", str(site.state), "--system", entry.system]
        self._process: subprocess.Popen[bytes] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def start(self) -> None:
        """Return once a simulator says where it is; ends the command when none does within 30 s."""
        self._thread.start()
        deadline = time.monotonic() + SIMULATOR_START
        while not _simulator_lives(self._site, self._entry):
            if time.monotonic() > deadline:
                self.stop()
                fail(f"the simulator of {self._entry.system} did not start")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it and wait until it has."""
        self._stop.set()
        self._thread.join()
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)

    def _keep(self) -> None:
        while not self._stop.is_set():
            if self._process is not None and self._process.poll() is None:
                pass
            elif not _simulator_lives(self._site, self._entry):  # one may be there, but on its way out
                self._process = subprocess.Popen(self._argv, stdout=subprocess.DEVNULL, preexec_fn=die_with_parent)
            self._stop.wait(SIMULATOR_CHECK)


def _simulator_lives(site: Site, entry: IocEntry) -> bool:
    try:
        os.kill(int(read_simulator_place(site.state, entry.system)["pid"]), 0)
    except (ConnectionError, ProcessLookupError, PermissionError, KeyError, ValueError):
        return False
    return True


def add_ioc_commands(iocs: typer.Typer, simulators: typer.Typer) -> None:
    """Add every installed kind to `owl ioc` and, with a simulator, to `owl sim`."""
    for name, kind in sorted(ioc_kinds().items()):
        iocs.command(name)(ioc_command(kind))
        if kind.simulator_app is not None:
            simulators.add_typer(load_object(kind.simulator_app), name=name, help=f"{kind.title}, simulated.")
