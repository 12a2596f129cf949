"""`owl runkey import, export, bundle, commit, fetch`: runkeys from and to files, and between the two databases."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from db.cli import complete
from db.cli.common import (
    CommentOption,
    JsonOption,
    NameArgument,
    OutputOption,
    SiteOption,
    StateOption,
    count_text,
    fail,
    opened,
    print_json,
    progress,
    size_text,
)

if TYPE_CHECKING:
    from db.exchange import Report
    from db.nodes import NewObject
    from db.runkeys import RunkeyInfo
    from db.store import Store


class Kind(StrEnum):
    """What files can hold a runkey."""

    FOLDER = "folder"
    YARR = "yarr"
    BUNDLE = "bundle"


KindOption = Annotated[Kind | None, typer.Option("--format", help="What it is, when it is not to be found out.")]


def import_(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            show_default=False,
            help="An exported folder, a bundle, a YARR folder, or YARR connectivity files.",
        ),
    ],
    name: Annotated[str, typer.Option("--name", "-n", help="Of the runkey; without it that of the file.")] = "",
    kind: KindOption = None,
    controller: Annotated[Path | None, typer.Option("--controller", help="YARR: the controller's file.")] = None,
    scans: Annotated[list[Path] | None, typer.Option("--scan", help="YARR: a scan's file; may be repeated.")] = None,
    into: Annotated[
        str | None,
        typer.Option("--into", help="Add it to this runkey instead of making one.", autocompletion=complete.staged),
    ] = None,
    below: Annotated[str, typer.Option("--below", help="With --into: the object that it goes below.")] = "/",
    replace: Annotated[bool, typer.Option("--replace", help="With --into: in the place of what has its name.")] = False,
    comment: CommentOption = "",
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Make a runkey of files: what they are is found out. All or nothing: what is wrong is said with file, place inside
    and reason, and then the database is as it was before."""
    from db.exchange import Report, import_below, import_runkey, kind_of

    missing = [path for path in [*sources, *([controller] if controller else []), *(scans or [])] if not path.exists()]
    if missing:
        fail(f"there is no file or folder {', '.join(map(str, missing))} (the runkey's name goes with --name)", 2)
    with opened(site, state) as store, progress("importing") as step:
        source = sources[0]
        comment = comment or f"import of {', '.join(path.name for path in sources)}"
        if len(sources) > 1 or controller or scans:
            if into is not None:
                fail("--into takes one file or folder", 2)
            notes: list[str] = []
            root = _yarr(sources, controller, scans or [], notes)
            info = store.staging.create(name or _name_of(source), root, comment, action="import")
            report = _counted(root, Report(notes=notes))
        elif into is not None:
            given = kind.value if kind else kind_of(source)
            info, report = import_below(
                store.staging, into, below, source, comment, kind=given, replace=replace, progress=_steps(step)
            )
        else:
            given = kind.value if kind else kind_of(source)
            wanted = name or _name_of(source)
            info, report = import_runkey(store.staging, source, wanted, comment, kind=given, progress=_steps(step))
        _say(info, report, as_json)


def _yarr(sources: Sequence[Path], controller: Path | None, scans: Sequence[Path], notes: list[str]) -> NewObject:
    from db.exchange.yarr import read_yarr

    return read_yarr(sources, controller=controller, scans=scans, notes=notes)


def _counted(root: NewObject, report: Report) -> Report:
    waiting: list[Any] = [root]
    while waiting:
        thing = waiting.pop()
        report.objects += 1
        report.payloads += len(thing.payloads)
        report.size += sum(len(payload.content) for payload in thing.payloads)
        waiting += [child.object for child in thing.children if not isinstance(child.object, str)]
    return report


def _name_of(source: Path) -> str:
    """The file's name without its ending; a bundle knows its own, which `db.exchange` looks for."""
    stem = source.resolve().name
    for ending in (".runkey.json", ".json"):
        stem = stem.removesuffix(ending)
    return stem


def _steps(step: Any) -> Any:
    return lambda done, total: step(done, total)


def _say(info: RunkeyInfo, report: Report, as_json: bool) -> None:

    if as_json:
        print_json({"runkey": info.plain(), **_plain(report)})
        return
    for note in report.notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"made {info.name!r}, revision {info.number}, {info.digest[:8]}: {_text(report)}")


def _plain(report: Report) -> dict[str, Any]:
    counts = {"objects": report.objects, "payloads": report.payloads, "bytes": report.size}
    return {**counts, "notes": list(report.notes)}


def _text(report: Report) -> str:
    return f"{count_text(report.objects, 'object')}, {count_text(report.payloads, 'payload')}, {size_text(report.size)}"


def export(
    name: NameArgument,
    target: Annotated[Path, typer.Argument(metavar="TARGET", show_default=False, help="A folder or file to be made.")],
    kind: Annotated[
        Kind | None,
        typer.Option("--format", help="folder; yarr: as YARR reads it; bundle: one file (also by .json)."),
    ] = None,
    path: Annotated[
        str, typer.Option("--path", help="Only what is here and below.", autocompletion=complete.paths)
    ] = "/",
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Write a runkey to files: a folder (directory = object, file = payload), YARR's own files, or one bundle.

    It appears when it is whole, and never in the place of something else.
    """
    if kind is None:
        kind = Kind.BUNDLE if target.suffix == ".json" else Kind.FOLDER
    _export(name, target, kind, path, as_json, site, state)


def bundle(
    name: NameArgument,
    output: OutputOption = None,
    path: Annotated[
        str, typer.Option("--path", help="Only what is here and below.", autocompletion=complete.paths)
    ] = "/",
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Write a runkey as one JSON file, for mail; `owl runkey import` takes it."""
    target = output or Path(f"{name.replace(':', '-').replace(' ', '-')}.json")
    _export(name, target, Kind.BUNDLE, path, as_json, site, state)


def _export(
    name: str, target: Path, kind: Kind, path: str, as_json: bool, site: Path | None, state: Path | None
) -> None:
    from db.cli.names import resolve
    from db.exchange import export_runkey

    with opened(site, state) as store:
        found = resolve(store, name)
        with progress("exporting") as step:
            report = export_runkey(found.runkeys, found.key, target, kind.value, path, progress=_steps(step))
        if as_json:
            print_json({"runkey": found.info.plain(), "target": str(target), **_plain(report)})
            return
    for note in report.notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"{target}: {_text(report)}")


def commit(
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False, autocompletion=complete.staged)],
    comment: CommentOption = "",
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Copy a runkey of the staging area to the backend. From then on it never changes, here and there.

    The same again after a broken connection goes on where it was and changes nothing twice.
    """
    with opened(site, state) as store, progress("committing") as step:
        info = store.commit(_staged_name(store, name), comment, progress=lambda *given: _step(step, given))
        _moved(info, as_json, f"committed {info.name!r}, {info.digest[:8]}: it is in the backend and never changes")


def _staged_name(store: Store, name: str) -> str:
    from db.cli.names import resolve
    from db.errors import NotFound

    found = resolve(store, name)
    if found.past:
        fail(f"{name!r} is a past revision; clone it first: owl runkey clone {shlex.quote(name)} NEW", 2)
    if found.runkeys is not store.staging:
        raise NotFound(f"{name!r} is in the backend already, and not in the staging area")
    return found.info.name


def _step(step: Any, given: tuple[Any, ...]) -> None:
    numbers = [value for value in given if isinstance(value, (int, float))]
    words = [value for value in given if isinstance(value, str)]
    step(numbers[0] if numbers else 0, numbers[1] if len(numbers) > 1 else 0, words[0] if words else "")


def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False, autocompletion=complete.committed)],
    as_name: Annotated[str | None, typer.Option("--as", help="The name in the staging area.")] = None,
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Copy a runkey of the backend into the staging area, with what that lacks of it, to be edited there."""
    with opened(site, state) as store:
        with progress("fetching"):
            info = store.fetch(name.removeprefix("backend:"), as_name)
        _moved(info, as_json, f"fetched {info.name!r}, revision {info.number}, {info.digest[:8]}")


def _moved(info: RunkeyInfo, as_json: bool, text: str) -> None:

    if as_json:
        print_json({"runkey": info.plain()})
    else:
        typer.echo(text)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("import")(import_)
    for command in (export, bundle, commit, fetch):
        app.command()(command)
