"""What an application registers with the framework: kinds of IOC, services, and the processes a site runs.

The framework finds these by entry point (`owlshift.iocs`, `owlshift.services`), so that it imports no application.
Everything heavy is named by a string "package.module:attribute" and imported only by the process that needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
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

    `config` names a pydantic model of `[ioc.config]`; `build(entry, backend_address)` names a function that returns an
    `owlshift.ioc.Ioc` for a site's `IocEntry`; `simulator` names `async (config, host, port, control_port)` that serves the
    simulated device until cancelled and calls its last argument `ready(host, port)` once it listens. None: no simulator.
    """

    name: str
    title: str
    config: str
    build: str
    simulator: str | None = None
    simulator_app: str | None = None
    """A typer app with the kind's own `owl sim NAME …` commands (serve alone, inject faults)."""


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
    """

    name: str
    title: str
    config: str
    processes: str
    summary: str | None = None


def _load(group: str) -> dict[str, Callable[[], Any]]:
    return {point.name: point.load for point in entry_points(group=group)}


def ioc_kinds() -> dict[str, IocKind]:
    """All installed kinds of IOC by name."""
    return {name: load() for name, load in _load(IOC_GROUP).items()}


def services() -> dict[str, ServiceKind]:
    """All installed services by the name of their section in the site file."""
    return {name: load() for name, load in _load(SERVICE_GROUP).items()}
