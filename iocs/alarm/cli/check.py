"""`owl alarm check`: does everything work that must work before an alarm is seen?"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from iocs.alarm.cli.common import Place, SystemOption, explained, make_client
from owlshift.commands.common import JsonOption, SiteOption, StateOption
from owlshift.commands.output import print_json, progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from iocs.alarm.cli.findings import Finding

MARKS = {"ok": ("ok", "green"), "warn": ("note", "yellow"), "bad": ("WRONG", "bold red")}
FEW = 10
"""Details that are shown without --all."""
INPUT_TIME = 3.0
"""Seconds in which the PVs of filters must answer."""


def check(
    all_: Annotated[bool, typer.Option("--all", "-a", help="All details, not only the first ones.")] = False,
    as_json: JsonOption = False,
    system: SystemOption = None,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Look whether alarms can be relied upon: server, database, broker, PVs, configuration. Exit code 1: no."""
    place = Place(site, state, system)
    with progress("looking") as step:
        with explained():
            found = [*asyncio.run(_look(place, step)), _database(place)]
    good = all(one.grade != "bad" for one in found)
    if as_json:
        checks = [{"name": o.name, "state": o.grade, "text": o.text, "details": list(o.details)} for o in found]
        print_json({"ok": good, "checks": checks})
    else:
        for one in found:
            _say(one, len(one.details) if all_ else FEW)
    if not good:
        raise typer.Exit(1)


def _say(found: Finding, most: int) -> None:
    word, colour = MARKS[found.grade]
    mark = typer.style(f"{word:5}", fg=colour.removeprefix("bold "), bold=colour.startswith("bold"))
    typer.echo(f"{mark}  {found.name}: {found.text}")
    for line in found.details[:most]:
        typer.echo(f"         {line}")
    if len(found.details) > most:
        typer.echo(f"         and {len(found.details) - most} more (--all)")


async def _look(place: Place, step: Callable[..., None]) -> list[Finding]:
    from iocs.alarm.cli import findings
    from iocs.alarm.client import AlarmError, walk
    from iocs.alarm.config import AlarmConfig

    entry = place.open()[1]
    config = entry.config if isinstance(entry.config, AlarmConfig) else None
    async with make_client(place) as client:
        try:
            status = await client.status()
        except AlarmError as error:
            return [findings.Finding("server", "bad", str(error))]
        step(1, 4)
        found = [findings.Finding("server", "ok", f"answers at {client.prefix}"), *findings.of_server(status)]
        nodes = list(walk(await client.tree()))
        found += findings.of_tree(nodes, findings.today())
        step(2, 4)
        items = await client.items()
        found += findings.of_items(items, config)
        step(3, 4)
        inputs = findings.filter_inputs(items)
        silent = await client.silent(list(inputs), INPUT_TIME)
        return [*found, findings.of_inputs(inputs, silent)]


def _database(place: Place) -> Finding:
    """Whether the alarm log can be read from here."""
    from db.alarms.log import AlarmLog
    from db.config import open_alarms
    from db.errors import DbError
    from iocs.alarm.cli.findings import Finding

    try:
        database = open_alarms(place.open()[0])
        try:
            newest = AlarmLog(database).search(limit=1)
        finally:
            database.close()
    except DbError as error:
        return Finding("database", "bad", str(error))
    when = f"its newest entry is of {newest[0].time.astimezone():%Y-%m-%d %H:%M:%S}" if newest else "it is empty"
    return Finding("database", "ok", f"the log can be read; {when}")


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(check)
