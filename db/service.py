"""The `[db]` section of a site file, as the framework finds it. It runs no process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from owlshift.kinds import ProcessSpec, ServiceKind

if TYPE_CHECKING:
    from db.config import DbConfig
    from owlshift.site import Site

SERVICE = ServiceKind(
    name="db",
    title="Runkey database",
    config="db.config:DbConfig",
    processes="db.service:processes",
    summary="db.service:summary",
)


def processes(site: Site, config: DbConfig) -> list[ProcessSpec]:
    """None: a database is a file, or a server that somebody else runs."""
    return []


def summary(site: Site, config: DbConfig) -> list[str]:
    """Where runkeys are."""
    from db.config import shown

    places = config.places(site.state)
    return [f"Runkeys: {shown(places['staging'])} (staging), {shown(places['backend'])} (backend)"]
