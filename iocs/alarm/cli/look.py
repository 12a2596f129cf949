"""`owl alarm active, tree, show, shelves`: what is in alarm, and what there is to know about it."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, Annotated, Any

import typer

from iocs.alarm.cli import complete
from iocs.alarm.cli.common import AreaArgument, ItemArgument, Place, SystemOption, ask
from owlshift.commands.common import JsonOption, SiteOption, StateOption
from owlshift.commands.output import print_facts, print_json, print_rich, print_table

if TYPE_CHECKING:
    from rich.tree import Tree

    from iocs.alarm.client import AlarmClient

SeverityOption = Annotated[
    str | None,
    typer.Option(
        "--severity",
        "-s",
        help="Only from this severity on: MINOR, MAJOR, INVALID or UNDEFINED.",
        autocompletion=complete.severities,
        show_default=False,
    ),
]
WaitingOption = Annotated[bool, typer.Option("--waiting", "-w", help="Only what nobody has acknowledged.")]


def severity_name(text: str | None) -> str | None:
    """A severity of the command line; exit code 2 when it is none."""
    if text is None or text.upper() in complete.SEVERITIES:
        return text and text.upper()
    raise typer.BadParameter(f"{text!r} is none of {', '.join(complete.SEVERITIES)}", param_hint="--severity")


def select(
    rows: list[dict[str, Any]], item: str = "", severity: str | None = None, waiting: bool = False
) -> list[dict[str, Any]]:
    """The rows of the table below an area (or of one alarm, or that fit a glob), from a severity on."""
    from iocs.alarm.tree.severity import AlarmSeverity

    def wanted(row: dict[str, Any]) -> bool:
        found = AlarmSeverity[row["severity"]]
        if waiting and not found.active:
            return False
        if severity is not None and found.unacknowledged < AlarmSeverity[severity]:
            return False
        if item in ("", "/", row["pv"], row["path"]) or row["path"].startswith(f"{item.rstrip('/')}/"):
            return True
        return fnmatch.fnmatchcase(row["pv"], item) or fnmatch.fnmatchcase(row["path"], item)

    return [row for row in rows if wanted(row)]


def active(
    item: AreaArgument = "",
    severity: SeverityOption = None,
    waiting: WaitingOption = False,
    as_json: JsonOption = False,
    system: SystemOption = None,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """List what is active, latched or acknowledged: the worst first, the newest first among equals."""
    least = severity_name(severity)
    found = ask(Place(site, state, system), lambda client: client.active())
    rows = select(found["alarms"], item, least, waiting)
    if as_json:
        print_json({**found, "alarms": rows})
        return
    _print_active(rows)
    if found["truncated"]:
        typer.echo("owl: there are more; these are the worst", err=True)


def _print_active(rows: list[dict[str, Any]]) -> None:
    from iocs.alarm.cli.drawing import active_table, counts_text

    if rows:
        print_rich(active_table(rows))
    typer.echo(counts_text(rows))


def tree(
    item: AreaArgument = "",
    depth: Annotated[int, typer.Option("--depth", "-d", min=0, help="So many levels; 0: all.")] = 0,
    alarms: Annotated[bool, typer.Option("--alarms", "-a", help="Only what is in alarm.")] = False,
    as_json: JsonOption = False,
    system: SystemOption = None,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Show the tree of areas and alarms, with severities and counts."""

    async def work(client: AlarmClient) -> dict[str, Any]:
        return await (client.tree() if item in ("", "/") else client.state(item))

    found = ask(Place(site, state, system), work)
    if as_json:
        print_json(found)
        return
    if (drawn := _draw(found, depth or 1000, alarms)) is None:
        typer.echo(f"{found['path']}: no alarm")
    else:
        print_rich(drawn)


def _draw(node: dict[str, Any], depth: int, alarms: bool) -> Tree | None:
    from rich.tree import Tree

    from iocs.alarm.cli.drawing import severity_text

    if alarms and node["severity"] == "OK":
        return None
    label = severity_text(node["severity"])
    label.append(f"  {node['path'] if depth >= 1000 and 'children' not in node else node['name']}", style="default")
    label.append(_remark(node), style="dim")
    drawn = Tree(label, guide_style="dim")
    for child in node.get("children", ()) if depth > 1 else ():
        if (below := _draw(child, depth - 1, alarms)) is not None:
            drawn.children.append(below)
    return drawn


def _remark(node: dict[str, Any]) -> str:
    from iocs.alarm.cli.drawing import state_text

    if node["kind"] == "alarm":
        words = [node["message"] if node["severity"] != "OK" else "", state_text(node).removeprefix("normal")]
        return "".join(f"  {word}" for word in words if word)
    counts = [
        (node["unacknowledged"], "waiting"),
        (node["acknowledged"], "acknowledged"),
        (node["suppressed"], "aside"),
    ]
    said = ", ".join(f"{count} {word}" for count, word in counts if count)
    return f"  {said + ' of ' if said else ''}{node['total']}"


def show(
    item: ItemArgument,
    as_json: JsonOption = False,
    system: SystemOption = None,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Tell everything about an alarm or an area: its state, what to do about it, and how it is configured."""

    async def work(client: AlarmClient) -> dict[str, Any]:
        from iocs.alarm.item_forms import item_form

        node = await client.state(item)
        items = await client.items(node["path"])
        own = next((one for one in items if one.path == node["path"]), None)
        return {**node, "configured": None if own is None else item_form(own)}

    found = ask(Place(site, state, system), work)
    if as_json:
        print_json(found)
        return
    from iocs.alarm.cli.page import page

    for heading, facts in page(found):
        if heading:
            typer.echo(f"\n{heading}")
        print_facts(facts)


def shelves(
    as_json: JsonOption = False, system: SystemOption = None, site: SiteOption = None, state: StateOption = None
) -> None:
    """List what is shelved: by whom, why, and until when."""
    found = ask(Place(site, state, system), lambda client: client.shelves())
    if as_json:
        print_json(found)
        return
    from iocs.alarm.cli.drawing import local_time

    rows = [
        (one["path"], one["by"], f"{local_time(one['until'])}{', or until gone' * one['one_shot']}", one["why"])
        for one in found["shelves"]
    ]
    if rows:
        print_table(("alarm", "by", "until", "why"), rows)
    else:
        typer.echo("nothing is shelved")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (active, tree, show, shelves):
        app.command()(command)
