"""`owl alarm ack, unack, shelve, unshelve, disable, enable, maintenance, mode, notify`: what operators do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from iocs.alarm.cli import complete
from iocs.alarm.cli.common import ItemsArgument, Place, SystemOption, ask, expand
from owlshift.commands.common import JsonOption, SiteOption, StateOption, fail
from owlshift.commands.moments import local_text, read_moment
from owlshift.commands.output import print_json

if TYPE_CHECKING:
    from iocs.alarm.client import AlarmClient

WhyOption = Annotated[str, typer.Option("--why", "-m", help="Why; kept in the log.", show_default=False)]
SwitchArgument = Annotated[
    str | None,
    typer.Argument(metavar="on|off", show_default=False, help="Nothing: say how it is.", autocompletion=complete.modes),
]


def ack(items: ItemsArgument, system: SystemOption = None, site: SiteOption = None, state: StateOption = None) -> None:
    """Acknowledge alarms: somebody knows and cares. What is over already, and latched, is gone with that."""
    _each(Place(site, state, system), items, "acknowledged", lambda client, item: client.acknowledge(item))


def unack(
    items: ItemsArgument, system: SystemOption = None, site: SiteOption = None, state: StateOption = None
) -> None:
    """Take acknowledgements back: somebody else is to care."""
    _each(Place(site, state, system), items, "waits again", lambda client, item: client.unacknowledge(item))


def shelve(
    items: ItemsArgument,
    why: WhyOption,
    span: Annotated[
        str | None, typer.Option("--for", "-f", help="For so long: 90s, 10m, 2h, 1d.", show_default=False)
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", "-u", help="Until then: 18:00, '2026-11-21 06:00', +2h.", show_default=False),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Until it is gone, whenever that is.")] = False,
    system: SystemOption = None,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Put alarms aside for a time: they do not count and are not announced until they come back by themselves."""
    if sum((span is not None, until is not None, once)) != 1:
        fail("say for how long: --for 10m, --until 18:00, or --once", 2)
    if not why.strip():
        fail("say why: -m TEXT", 2)
    end = _end(span, until)

    async def put(client: AlarmClient, item: str) -> None:
        await client.shelve(item, why, until=end, one_shot=once)

    done = "shelved until it is gone" if end is None else f"shelved until {local_text(end)}"
    _each(Place(site, state, system), items, done, put)


def _end(span: str | None, until: str | None) -> datetime | None:
    """When something is to end, as the command line says; a time that is none ends the command with exit code 2."""
    if span is None and until is None:
        return None
    option, text = ("--for", f"+{(span or '').lstrip('+')}") if span is not None else ("--until", until or "")
    now = datetime.now(UTC)
    try:
        end = read_moment(text, now)
    except ValueError as error:
        reason = f"{span!r} is no span; write 90s, 10m, 2h or 1d" if span is not None else str(error)
        raise typer.BadParameter(reason, param_hint=option) from None
    if end <= now and until is not None and ":" in until and "-" not in until:
        end += timedelta(days=1)  # 06:00, said in the evening
    if end <= now:
        raise typer.BadParameter("that is over already", param_hint=option)
    return end


def unshelve(
    items: ItemsArgument, system: SystemOption = None, site: SiteOption = None, state: StateOption = None
) -> None:
    """Bring alarms back from the shelf."""
    _each(Place(site, state, system), items, "back from the shelf", lambda client, item: client.unshelve(item))


def disable(
    items: ItemsArgument,
    until: Annotated[
        str | None,
        typer.Option("--until", "-u", help="Until then it stays so: 18:00, +2d; else for ever.", show_default=False),
    ] = None,
    system: SystemOption = None,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Take alarms out of service: their PVs are not looked at any more. `shelve` says why, and ends."""
    end = _end(None, until)

    async def put(client: AlarmClient, item: str) -> None:
        if end is None:
            await client.disable(item)
            return
        from iocs.alarm.tree.items import Item, LeafConfig

        found = await client.items(item)
        leaves = [one for one in found if isinstance(one.config, LeafConfig)]
        changed = []
        for one in leaves:
            if isinstance(one.config, LeafConfig):
                changed.append(Item(one.path, replace(one.config, enabled=False, disabled_until=end), one.extras))
        await client.put_items(changed)

    done = "disabled" if end is None else f"disabled until {local_text(end)}"
    _each(Place(site, state, system), items, done, put)


def enable(
    items: ItemsArgument, system: SystemOption = None, site: SiteOption = None, state: StateOption = None
) -> None:
    """Bring alarms back into service."""
    _each(Place(site, state, system), items, "enabled", lambda client, item: client.enable(item))


def maintenance(
    on: SwitchArgument = None,
    as_json: JsonOption = False,
    system: SystemOption = None,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Maintenance mode: alarms INVALID and UNDEFINED acknowledge themselves while somebody works on the hardware."""
    _switch("maintenance", "Maint", on, as_json, Place(site, state, system), lambda client, to: client.maintenance(to))


def notify(
    on: SwitchArgument = None,
    as_json: JsonOption = False,
    system: SystemOption = None,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Whether mails and the like are sent. Alarms are watched, shown and logged all the same."""
    _switch("notify", "Notify", on, as_json, Place(site, state, system), lambda client, to: client.notify(to))


def mode(
    text: Annotated[str | None, typer.Argument(metavar="MODE", show_default=False, help="Nothing: say it.")] = None,
    as_json: JsonOption = False,
    system: SystemOption = None,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """The operating mode, for example beam or access: alarms that are not for it do not count."""

    async def work(client: AlarmClient) -> str:
        if text is not None:
            await client.mode(text)
        return str((await client.status())["Mode"])

    found = ask(Place(site, state, system), work)
    if as_json:
        print_json({"mode": found})
    else:
        typer.echo(found or "none")


def _switch(
    name: str,
    pv: str,
    on: str | None,
    as_json: bool,
    place: Place,
    put: Callable[[AlarmClient, bool], Awaitable[None]],
) -> None:
    if on is not None and on.lower() not in ("on", "off"):
        raise typer.BadParameter(f"{on!r} is neither on nor off")

    async def work(client: AlarmClient) -> bool:
        if on is not None:
            await put(client, on.lower() == "on")
        return await client.switch(pv)

    found = ask(place, work)
    if as_json:
        print_json({name: found})
    else:
        typer.echo("on" if found else "off")


def _each(place: Place, items: list[str], done: str, put: Callable[[AlarmClient, str], Awaitable[Any]]) -> None:
    """Do it to every item; what is refused is said, the rest is done all the same, and the exit code is 1."""
    from iocs.alarm.client import AlarmError, NoServerError

    async def work(client: AlarmClient) -> list[str]:
        failures = []
        for item in await expand(client, items):
            try:
                await put(client, item)
            except NoServerError:
                raise
            except AlarmError as error:
                failures.append(f"{item}: {error}" if item not in str(error) else str(error))
            else:
                typer.echo(f"{item}: {done}")
        return failures

    if failures := ask(place, work):
        for failure in failures:
            typer.echo(f"owl: {failure}", err=True)
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (ack, unack, shelve, unshelve, disable, enable, maintenance, notify, mode):
        app.command()(command)
