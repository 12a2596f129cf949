"""`owl alarm import, export`: alarm files of Phoebus, with our own extras beside them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iocs.alarm.cli.common import Place, SystemOption, ask, explained
from owlshift.commands.common import JsonOption, SiteOption, StateOption, YesOption, confirm, fail
from owlshift.commands.output import count_text, print_json, progress, write_file

if TYPE_CHECKING:
    from collections.abc import Iterable

    from iocs.alarm.client import AlarmClient
    from iocs.alarm.files.diff import Plan
    from iocs.alarm.tree.items import Item

CompatibleOption = Annotated[
    bool, typer.Option("--compatible", help="As Phoebus itself would: also where that loses something.")
]


def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.xml", show_default=False, help="An alarm file of Phoebus, or of `export`.")
    ],
    extras: Annotated[
        Path | None,
        typer.Option("--extras", help="Priorities and such; else FILE.toml, when it is there.", show_default=False),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Also remove what is in the tree and not in the file.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only say what would change.")] = False,
    compatible: CompatibleOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
    system: SystemOption = None,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Bring an alarm file into the tree. What is wrong in it is said with line and path, and then nothing is changed.

    It says what it will change and asks first. Alarms keep their state unless their own logic is changed.
    """
    place = Place(site, state, system)
    name = place.open()[0].name
    with explained():
        items, warnings = _read(file, extras, name, compatible)
    for warning in warnings:
        typer.echo(f"owl: {warning}", err=True)
    with progress("comparing"):
        old = ask(place, lambda client: client.items())
    found = _plan(old, items, replace)
    if dry_run or found.empty:
        _say(found, as_json)
        return
    for line in found.lines() if not yes else ():
        typer.echo(line, err=as_json)
    confirm(f"Change the alarms of {name} so?", yes)

    async def work(client: AlarmClient) -> None:
        put = [*found.added, *(change.item for change in found.changed)]
        await client.change(put, [item.path for item in found.removed])

    with progress("importing"):
        ask(place, work)
    if as_json:
        print_json(found.as_dict())
    else:
        typer.echo(f"imported: {found.summary()}")


def _read(file: Path, extras: Path | None, name: str, compatible: bool) -> tuple[list[Item], list[str]]:
    """Items and warnings; ConfigError with every problem of both files."""
    from iocs.alarm.files.extras import beside, read_extras, with_extras
    from iocs.alarm.files.xmlfile import read_xml
    from iocs.alarm.tree.items import ConfigError

    found = read_xml(file, name, compatible=compatible)
    if extras is None and beside(file).exists():
        extras = beside(file)
    if extras is None:
        return list(found.items), list(found.warnings)
    items, problems = with_extras(found.items, read_extras(extras, name))
    if problems:
        raise ConfigError(problems)
    return items, list(found.warnings)


def _plan(old: list[Item], new: list[Item], replace: bool) -> Plan:
    """What an import changes: all that differs, or, unless it replaces, only what the file speaks of.

    A PV is in the tree once: where the file has it in another place, it leaves its old one.
    """
    from iocs.alarm.files.checks import bare_name
    from iocs.alarm.files.diff import plan
    from iocs.alarm.tree.items import LeafConfig
    from iocs.alarm.tree.paths import parent_path, split_path

    old = _with_areas(old)
    if replace:
        root = [item for item in old if not parent_path(item.path)]  # it cannot be removed
        said = {item.path for item in new}
        return plan(old, [*(item for item in root if item.path not in said), *_with_areas(new)])

    def pvs(items: Iterable[Item]) -> dict[str, str]:
        return {
            item.path: bare_name(split_path(item.path)[-1]) for item in items if isinstance(item.config, LeafConfig)
        }

    paths = {item.path for item in new}
    moved = set(pvs(new).values())
    known = pvs(old)
    return plan([item for item in old if item.path in paths or known.get(item.path) in moved], new)


def _with_areas(items: list[Item]) -> list[Item]:
    """With the areas above them that no line speaks of."""
    from iocs.alarm.tree.items import AreaConfig, Item
    from iocs.alarm.tree.paths import parent_path

    found = {item.path: item for item in items}
    for item in items:
        path = parent_path(item.path)
        while parent_path(path) if path else "":
            found.setdefault(path, Item(path, AreaConfig()))
            path = parent_path(path)
    return list(found.values())


def _say(found: Plan, as_json: bool) -> None:
    if as_json:
        print_json(found.as_dict())
        return
    for line in found.lines():
        typer.echo(line)


def export(
    output: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE.xml", show_default=False, help="A file that is not there yet; without it, standard output."
        ),
    ] = None,
    compatible: CompatibleOption = False,
    system: SystemOption = None,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Write the tree as an alarm file that Phoebus reads; priorities and such go to FILE.toml beside it."""
    from iocs.alarm.files.extras import beside, write_extras
    from iocs.alarm.files.xmlfile import write_xml

    files = [] if output is None else [output, beside(output)]
    for file in files:
        if file.exists():
            fail(f"{file} is there already; nothing is overwritten", 2)
    place = Place(site, state, system)
    name = place.open()[0].name
    items = ask(place, lambda client: client.items())
    xml, extras = write_xml(items, name, compatible), write_extras(items)
    if output is None:
        sys.stdout.buffer.write(xml)
        sys.stdout.buffer.flush()
        if extras:
            typer.echo(
                "owl: priorities and such are not in it; with a file's name they are written beside it", err=True
            )
        return
    write_file(output, xml)
    if extras:
        write_file(files[1], extras)
    typer.echo(f"wrote {count_text(len(items), 'item')} to {' and '.join(map(str, files[: 2 if extras else 1]))}")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("import")(import_)
    app.command()(export)
