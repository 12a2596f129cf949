"""`owl alarm watch`: the table of alarms, live, for as long as somebody looks."""

from __future__ import annotations

import asyncio
import signal
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from iocs.alarm.cli.common import AreaArgument, Place, SystemOption, explained, make_client
from iocs.alarm.cli.look import SeverityOption, WaitingOption, select, severity_name
from owlshift.commands.common import SiteOption, StateOption

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from iocs.alarm.client import AlarmClient

Form = dict[str, Any]
ForOption = Annotated[
    float | None, typer.Option("--for", min=0.0, help="Stop by itself after so many seconds.", show_default=False)
]


def watch(
    item: AreaArgument = "",
    severity: SeverityOption = None,
    waiting: WaitingOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document a line, for each change.")] = False,
    seconds: ForOption = None,
    system: SystemOption = None,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Show the table of alarms live, until Ctrl-C; through a restart of the server, too.

    Into a pipe or a file it prints a line for each change instead.
    """
    least = severity_name(severity)
    client = make_client(Place(site, state, system))

    def wanted(form: Form) -> Form:
        return {**form, "alarms": select(form["alarms"], item, least, waiting)}

    if as_json:
        work = _documents(client, wanted)
    elif sys.stdout.isatty():
        work = _live(client, wanted)
    else:
        work = _lines(client, wanted)
    with explained():
        asyncio.run(_until_stopped(work, seconds))


async def _until_stopped(work: Any, seconds: float | None) -> None:
    """Ctrl-C is how this ends, and no error."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    if seconds is not None:
        loop.call_later(seconds, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        return


async def _documents(client: AlarmClient, wanted: Callable[[Form], Form]) -> None:
    import orjson

    async for form in client.follow():
        document = {"server": form is not None, **({} if form is None else wanted(form))}
        typer.echo(orjson.dumps(document))


async def _lines(client: AlarmClient, wanted: Callable[[Form], Form]) -> None:
    before: dict[str, Form] = {}
    async for form in client.follow():
        if form is None:
            _say(f"the alarm server {client.prefix} does not answer")
            continue
        now = {row["path"]: row for row in wanted(form)["alarms"]}
        for line in changes(before, now):
            _say(line)
        before = now


def changes(before: dict[str, Form], now: dict[str, Form]) -> list[str]:
    """What happened between two tables (path -> row), a line each: the worst first, what is gone last."""
    lines = []
    for path, row in now.items():
        old = before.get(path)
        if old is None or (old["severity"], old["message"], old["state"]) != (
            row["severity"],
            row["message"],
            row["state"],
        ):
            who = row["acknowledged_by"] and f"  by {row['acknowledged_by']}"
            lines.append(f"{row['severity']:13} {row['pv']}  {row['message']}  {row['value']}{who}".rstrip())
    lines += [f"{'OK':13} {row['pv']}" for path, row in before.items() if path not in now]
    return lines


def _say(line: str) -> None:
    typer.echo(f"{datetime.now():%Y-%m-%d %H:%M:%S}  {line}")
    sys.stdout.flush()


async def _live(client: AlarmClient, wanted: Callable[[Form], Form]) -> None:
    from rich.live import Live

    last: Form | None = None
    away: datetime | None = None
    with Live(_screen(client.prefix, last, away, 24), screen=True, auto_refresh=False, redirect_stdout=False) as live:
        async for form in client.follow():
            if form is None:
                away = away or datetime.now()
            else:
                last, away = wanted(form), None
            live.update(_screen(client.prefix, last, away, live.console.height), refresh=True)


def _screen(prefix: str, form: Form | None, away: datetime | None, height: int) -> RenderableType:
    """The whole screen: a line of counts, the table as far as there is room, and whether it can be trusted."""
    from rich.console import Group
    from rich.text import Text

    from iocs.alarm.cli.drawing import active_table, counts_text, local_time

    if form is None:
        said = "does not answer yet" if away is not None else "…"
        return Text(f"{prefix} {said}; it is searched for, Ctrl-C ends this")
    rows = form["alarms"]
    head = Text(f"{prefix}  {counts_text(rows)}", style="bold")
    state = Text(f"as of {local_time(form['time'])}; Ctrl-C ends this", style="dim")
    if away is not None:
        old = f"what is above is old (as of {local_time(form['time'])})"
        state = Text(f"! THE ALARM SERVER IS AWAY since {away:%H:%M:%S}: {old}", style="bold reverse")
    room = max(height - 5, 1)
    parts: list[RenderableType] = [head, active_table(rows[:room]) if rows else Text("")]
    if len(rows) > room:
        parts.append(Text(f"… and {len(rows) - room} more", style="dim"))
    return Group(*parts, state)


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(watch)
