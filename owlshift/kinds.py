"""What an application registers with the framework: kinds of IOC, services, and the processes a site runs.

The framework finds these by entry point (`owlshift.iocs`, `owlshift.services`), so that it imports no application.
Everything heavy is named by a string "package.module:attribute" and imported only by the process that needs it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

IOC_GROUP = "owlshift.iocs"
SERVICE_GROUP = "owlshift.services"
COMMAND_GROUP = "owlshift.commands"


def load_object(reference: str) -> Any:
    """The object that "package.module:attribute" names; ImportError or AttributeError when there is none."""
    module, _, attribute = reference.partition(":")
    target = import_module(module)
    for part in attribute.split("."):
        target = getattr(target, part)
    return target


@dataclass(frozen=True)
class IocKind:
    """A kind of IOC.

    `config` names a pydantic model of `[ioc.config]`.

    `build` names `(entry: IocEntry, address: Callable[[], str]) -> owlshift.ioc.Ioc`. `address()` is asked before every
    connect and gives the device's place now: `tcp://host:port` or `serial:///dev/…`; it raises `ConnectionError` while
    that is not known (a simulator that has not started).

    `needs_device`: whether there is a device behind it. Without one the backend is "none", and `build` names
    `(entry: IocEntry, site: Site) -> owlshift.ioc.Ioc`: such an IOC is about the site. It finds the prefixes of all its
    IOCs, services' included, with `site.prefixes()`, and what services are configured to in `site.services`.

    `simulator_app` names a typer app of `owl sim NAME …` commands. Its command `serve` takes `--site FILE --system NAME
    --state DIR`, listens on loopback, writes its place with `write_simulator_place` and prints a line `ready …`.
    None: the kind has no simulator.
    """

    name: str
    title: str
    config: str
    build: str
    simulator_app: str | None = None
    needs_device: bool = True


@dataclass(frozen=True)
class ProcessSpec:
    """One process of a site, as the supervisor runs it."""

    name: str
    argv: tuple[str, ...]
    after: tuple[str, ...] = ()
    """Names of processes that must be ready before this one starts, and outlive it at the stop."""
    env: Mapping[str, str] = field(default_factory=dict)
    ready_timeout: float = 60.0
    """Seconds until the line that starts with `ready` must have come; afterwards it is killed and tried again."""


@dataclass(frozen=True)
class ServiceKind:
    """A section of the site file that runs processes which are not IOCs.

    `config` names the section's pydantic model; `processes` names a function `(site, config) -> list[ProcessSpec]`.
    `summary` names a function `(site, config) -> list[str]`: lines that `owl up` prints once all is ready.
    `prefixes` names a function `(site, config) -> list[str]`: what the PVs of IOCs begin with that the service runs.
    """

    name: str
    title: str
    config: str
    processes: str
    summary: str | None = None
    prefixes: str | None = None


def simulator_place(state: Path, system: str) -> Path:
    """The file in which a running simulator says where it listens: JSON with `address` and `control` (`tcp://host:port`)."""
    return state / "run" / f"sim-{system.lower()}.json"


def write_simulator_place(state: Path, system: str, address: str, control: str) -> None:
    """Say, atomically, where the simulator of `system` listens (`tcp://host:port` each)."""
    path = simulator_place(state, system)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps({"address": address, "control": control, "pid": os.getpid()}))
    part.replace(path)


def read_simulator_place(state: Path, system: str) -> dict[str, str]:
    """What `write_simulator_place` wrote; ConnectionError when no simulator of `system` has."""
    path = simulator_place(state, system)
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConnectionError(f"no simulator of {system} has said where it listens ({path})") from error


def _load(group: str) -> dict[str, Callable[[], Any]]:
    return {point.name: point.load for point in entry_points(group=group)}


def ioc_kinds() -> dict[str, IocKind]:
    """All installed kinds of IOC by name."""
    return {name: load() for name, load in _load(IOC_GROUP).items()}


def services() -> dict[str, ServiceKind]:
    """All installed services by the name of their section in the site file."""
    return {name: load() for name, load in _load(SERVICE_GROUP).items()}


SUPERVISED = "OWLSHIFT_SUPERVISED"
"""Set in the environment of every process that a supervisor runs: it restarts what ends, so nobody else need."""

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
"""How every process of a site logs; the supervisor picks warnings out by it."""

RESTART_EXIT_CODE = 85
"""A process that ends with this code asks to be started again at once (SYSRESET)."""
