"""Completion of alarms in the shell: paths one level at a time, PVs all at once.

It must answer while somebody waits for the tab key; whatever goes wrong, nothing is offered and nothing is said.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import typer

from iocs.alarm.tree.paths import parent_path
from owlshift.commands.words import fitting, given

PATIENCE = 2.0
"""Seconds that the alarm server may take."""
SEVERITIES = ("MINOR", "MAJOR", "INVALID", "UNDEFINED")
KINDS = (
    "transition", "ack", "unack", "shelve", "unshelve", "disable", "enable", "config", "delete", "mode", "notify",
    "action", "announce", "server",
)  # fmt: skip


def items(ctx: typer.Context, incomplete: str) -> list[str]:
    """Areas and alarms."""
    with suppress(BaseException):
        nodes = _tree(ctx)
        if incomplete and not incomplete.startswith("/"):
            return fitting([node["pv"] for node in nodes if "pv" in node], incomplete)
        above = incomplete.rpartition("/")[0]
        found = []
        for node in nodes:
            if parent_path(node["path"]) == above:
                found += [node["path"], f"{node['path']}/"] if node["kind"] == "area" else [node["path"]]
        return fitting(found, incomplete)
    return []


def severities(incomplete: str) -> list[str]:
    """From which severity on."""
    return [name for name in SEVERITIES if name.startswith(incomplete.upper())]


def kinds(incomplete: str) -> list[str]:
    """Kinds of events in the log."""
    return [name for name in KINDS if name.startswith(incomplete)]


def modes(incomplete: str) -> list[str]:
    """On and off."""
    return [name for name in ("on", "off") if name.startswith(incomplete)]


def _tree(ctx: typer.Context) -> list[dict[str, Any]]:
    import asyncio
    import logging

    from iocs.alarm.cli.common import Place, make_client
    from iocs.alarm.client import walk

    async def read() -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE), make_client(place, PATIENCE) as client:
            return await client.tree()

    logging.disable()
    site, state = given(ctx, "site", "OWLSHIFT_SITE"), given(ctx, "state", "OWLSHIFT_STATE")
    system = ctx.params.get("system")
    place = Place(Path(site) if site else None, Path(state) if state else None, system)
    return list(walk(asyncio.run(read())))
