"""`owl alarm edit, rm`: the configuration of one item."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from iocs.alarm.cli.common import ItemArgument, ItemsArgument, Place, SystemOption, ask, expand, explained
from owlshift.commands.common import JsonOption, SiteOption, StateOption, YesOption, confirm, fail
from owlshift.commands.output import count_text, print_json

if TYPE_CHECKING:
    from iocs.alarm.client import AlarmClient
    from iocs.alarm.tree.items import Item

Form = dict[str, Any]


def edit(
    item: ItemArgument,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="One field, for example delay=5, priority=high, filter=\"'DEMO:Beam' > 0\". Several are possible.",
            show_default=False,
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="All of it as JSON, from this file (- is standard input).", show_default=False),
    ] = None,
    new: Annotated[
        bool, typer.Option("--new", help="Make it: ITEM is the path of an alarm that is not there yet.")
    ] = False,
    area: Annotated[bool, typer.Option("--area", help="With --new: make an area.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only say what would change.")] = False,
    as_json: JsonOption = False,
    system: SystemOption = None,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Change how an alarm or an area is configured: single fields (--set), or all of it in your $EDITOR."""
    from iocs.alarm.files.diff import plan
    from iocs.alarm.item_forms import item_form

    place = Place(site, state, system)
    old = _made(item, area) if new else ask(place, lambda client: _own(client, item))
    before = item_form(old)
    with explained():
        if settings:
            changed = _with_settings(before, settings)
        elif file is not None:
            changed = _from_text(before, sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes())
        elif new:
            changed = old
        else:
            changed = _edited(before)
        _check(changed)
    found = plan([] if new else [old], [changed])
    if not dry_run and not found.empty:
        ask(place, lambda client: client.put_items([changed]))
    if as_json:
        print_json(found.as_dict())
        return
    for line in found.lines()[:-1] or ["nothing was changed"]:
        typer.echo(line)


def _check(item: Item) -> None:
    """Say what is strange about an item; ConfigError with what is wrong with it."""
    from iocs.alarm.files.checks import check_item
    from iocs.alarm.tree.items import ConfigError

    found = check_item(item)
    for warning in found.warnings:
        typer.echo(f"owl: {warning}", err=True)
    if found.problems:
        raise ConfigError(found.problems)


async def _own(client: AlarmClient, item: str) -> Item:
    from iocs.alarm.client import NoSuchItemError

    path = await client.path_of(item)
    for one in await client.items(item):
        if one.path == path:
            return one
    raise NoSuchItemError(item)


def _made(path: str, area: bool) -> Item:
    from iocs.alarm.tree.items import AreaConfig, Item, LeafConfig
    from iocs.alarm.tree.paths import join_path, split_path

    try:
        return Item(join_path(split_path(path)), AreaConfig() if area else LeafConfig())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="ITEM") from None


def _with_settings(form: Form, settings: list[str]) -> Item:
    """The item with fields as `NAME=VALUE` says; ConfigError."""
    from iocs.alarm.item_forms import item_of

    form = {"kind": _kind(form), **form}
    parts = [form["config"], *([form["extras"]] if "extras" in form else [])]
    for setting in settings:
        name, equals, text = setting.partition("=")
        part = next((part for part in parts if name in part), None)
        if not equals or part is None:
            known = ", ".join(key for part in parts for key in part)
            raise typer.BadParameter(f"{setting!r} is not NAME=VALUE with one of {known}", param_hint="--set")
        part[name] = _value(text, part[name])
        if name == "disabled_until" and part[name]:
            form["config"]["enabled"] = False
        elif name == "enabled" and part[name]:
            form["config"]["disabled_until"] = None
    return item_of(form)


def _value(text: str, before: Any) -> Any:
    """A value of the command line: text where there was text, JSON otherwise (lists may be words with commas)."""
    import orjson

    if isinstance(before, str) or before is None:
        return text or (before if before is None else "")
    if isinstance(before, bool) and text.lower() in ("yes", "on", "no", "off"):
        return text.lower() in ("yes", "on")
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return [word.strip() for word in text.split(",") if word.strip()] if isinstance(before, list) else text


def _kind(form: Form) -> str:
    return "alarm" if "description" in form["config"] else "area"


def _from_text(before: Form, text: bytes) -> Item:
    """The item that a JSON text says, at the path of the one before; ConfigError."""
    import orjson

    from iocs.alarm.item_forms import item_of
    from iocs.alarm.tree.items import ConfigError

    try:
        form = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ConfigError([f"line {error.lineno}: not JSON: {error.msg}"]) from None
    if isinstance(form, dict):
        form = {"kind": _kind(before), "path": before["path"], **form}
        if form["path"] != before["path"]:
            raise ConfigError([f"{form['path']}: the path cannot be changed here; make a new one, and remove the old"])
    return item_of(form)


def _edited(before: Form) -> Item:
    import orjson

    from iocs.alarm.tree.items import ConfigError
    from owlshift.commands.editor import in_editor

    def problems_of(text: bytes) -> list[str]:
        try:
            _from_text(before, text)
        except ConfigError as error:
            return error.problems
        return []

    text = orjson.dumps(before, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    name = f"{before['path'].strip('/').replace(':', '_')}.json"
    return _from_text(before, in_editor(text, name, problems_of, "--set NAME=VALUE"))


def rm(
    items: ItemsArgument,
    yes: YesOption = False,
    system: SystemOption = None,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Remove alarms, or areas with all that is below them, from the tree. The log keeps what it knows of them.

    What an IOC declares as an alarm in its own catalogue is better disabled: it is the IOC that says it.
    """
    place = Place(site, state, system)

    async def look(client: AlarmClient) -> dict[str, int]:
        found = {}
        for item in await expand(client, items):
            found[await client.path_of(item)] = len(await client.items(item))
        return found

    found = ask(place, look)
    for path, count in found.items():
        typer.echo(f"- {path}{f' and {count - 1} below' if count > 1 else ''}", err=True)
    if not found:
        fail("nothing to remove")
    confirm(f"Remove {count_text(sum(found.values()), 'item')}?", yes)
    ask(place, lambda client: client.remove(found))
    typer.echo(f"removed {count_text(sum(found.values()), 'item')}")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (edit, rm):
        app.command()(command)
