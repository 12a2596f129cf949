"""`owl alarm log, stats`: what happened, from the alarm log in SQL. They need no alarm server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from iocs.alarm.cli import complete
from iocs.alarm.cli.common import AreaArgument, Place, SystemOption, logged, opened_database
from iocs.alarm.cli.look import SeverityOption, severity_name
from owlshift.commands.common import JsonOption, OutputOption, SiteOption, StateOption, fail
from owlshift.commands.moments import EXAMPLES, moment_option
from owlshift.commands.output import print_json, print_rich, progress, write

if TYPE_CHECKING:
    from rich.table import Table

    from db.alarms.event import Event

FromOption = Annotated[str, typer.Option("--from", "-f", help=f"{EXAMPLES}.")]
ToOption = Annotated[str | None, typer.Option("--to", "-t", help="The same; without it: now.", show_default=False)]


def log(
    item: AreaArgument = "",
    since: FromOption = "-1d",
    until: ToOption = None,
    severity: SeverityOption = None,
    person: Annotated[
        str | None, typer.Option("--by", help="By whom: a user's name, or a glob.", show_default=False)
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            "-k",
            help=f"Only this: {', '.join(complete.KINDS)}. May be given several times.",
            autocompletion=complete.kinds,
            show_default=False,
        ),
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", help="A part of message, value, reason or path.", show_default=False)
    ] = None,
    raised: Annotated[bool, typer.Option("--raised", help="Only alarms that came up and counted.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="So many, the newest.")] = 100,
    after: Annotated[
        str | None, typer.Option("--after", help="Go on behind a page: its `next`.", show_default=False)
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="All that is found, the oldest first, as CSV.")] = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
    system: SystemOption = None,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Look into the alarm log: each alarm that came and went, and all that somebody did. The newest comes last."""
    from db.alarms.search import Search

    if unknown := [one for one in kind or () if one not in complete.KINDS]:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(complete.KINDS)}", param_hint="--kind")
    search = Search(
        since=moment_option(since, "--from"),
        until=moment_option(until, "--to"),
        pv=item if item and not item.startswith("/") else None,
        path=item if item.startswith("/") and _pattern(item) else None,
        area=item.rstrip("/") or None if item.startswith("/") and not _pattern(item) else None,
        severity=severity_name(severity),
        person=person,
        kind=kind or None,
        text=text,
        raised=True if raised else None,
        oldest_first=csv,
    )
    with logged(Place(site, state, system)) as found:
        if csv:
            write((piece.encode() for piece in found.csv(search)), output)
            return
        if output is not None:
            fail("--output is for --csv", 2)
        events = found.find(search, limit=limit, after=after)
    if as_json:
        more = events[-1].cursor if len(events) == limit else None
        print_json({"events": [event.as_dict() for event in events], "next": more})
    elif events:
        print_rich(_table(events[::-1]))
        if len(events) == limit:
            typer.echo(f"owl: these are the newest {limit}; --limit shows more, --csv all", err=True)
    else:
        fail("nothing of that in the log")


def _pattern(item: str) -> bool:
    return "*" in item or "?" in item


def _table(events: list[Event]) -> Table:
    from rich.table import Table
    from rich.text import Text

    from iocs.alarm.cli.drawing import local_time, severity_text

    table = Table(box=None, pad_edge=False)
    for heading in ("time", "event", "severity", "alarm or area", "what", "who"):
        table.add_column(heading, no_wrap=heading in ("time", "event", "severity"), overflow="fold")
    for event in events:
        row = event.as_dict()
        shown = row["severity"] if event.kind == "transition" else ""
        table.add_row(
            local_time(row["time"]),
            row["kind"] if event.kind != "transition" else ("raised" if event.raised else "changed"),
            severity_text(shown) if shown else Text(""),
            Text(event.pv or event.path),
            Text(_what(row)),
            Text(event.user),
        )
    return table


def _what(row: dict[str, Any]) -> str:
    from iocs.alarm.cli.drawing import STATES

    if row["kind"] != "transition":
        return str(row["detail"] or row["message"])
    message = row["message"] if row["severity"] != "OK" else ""
    words = [message, row["value"], "(first out)" * row["first_out"]]
    if row["state"] not in ("Normal", "Active"):
        words.append(f"({STATES.get(row['state'], row['state'])})")
    return " ".join(word for word in words if word)


def stats(
    since: FromOption = "-1d",
    until: ToOption = None,
    item: Annotated[
        str, typer.Option("--area", help="Only below this area.", autocompletion=complete.items, show_default=False)
    ] = "",
    operators: Annotated[
        int, typer.Option("--operators", min=1, help="So many share the alarms: targets are for each.")
    ] = 1,
    as_json: JsonOption = False,
    system: SystemOption = None,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """How good the alarms are, by the figures of ISA-18.2, with targets: how many, which most, floods, what stays."""
    from datetime import UTC, datetime

    begin = moment_option(since, "--from")
    end = moment_option(until, "--to") or datetime.now(UTC)
    if begin is None or begin >= end:
        raise typer.BadParameter(f"{since!r} is not before --to", param_hint="--from")
    with opened_database(Place(site, state, system)) as database, progress("reading the log"):
        from db.alarms.figures import figures

        found = figures(database, begin, end, area=item.rstrip("/") or None, operators=operators)
    if as_json:
        print_json(found.as_dict())
        return
    from iocs.alarm.cli.bars import report

    for line in report(found.as_dict()):
        typer.echo(line)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (log, stats):
        app.command()(command)
