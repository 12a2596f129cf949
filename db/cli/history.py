"""`owl runkey log, blame, diff`: what changed, by whom, when and why."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from db.cli import complete
from db.cli.common import (
    BackendOption,
    JsonOption,
    NameArgument,
    PathArgument,
    SiteOption,
    StateOption,
    fail,
    opened,
    print_json,
    print_table,
    progress,
    write_file,
)
from db.cli.moments import local_text

if TYPE_CHECKING:
    from db.compare import RunkeyDiff

KeyArgument = Annotated[
    str,
    typer.Argument(
        metavar="KEY",
        show_default=False,
        help="A register (DiffTh1L), a PV, pixels:COL,ROW, edge:rx, meta:KEY, or a role.",
        autocompletion=complete.keys,
    ),
]


def log(
    name: NameArgument,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="So many at most; 0: all.")] = 0,
    backend: BackendOption = False,
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Say how a runkey came to be what it is: its revisions, newest first, on into what it was cloned from."""
    from db.cli.names import resolve
    from db.cli.plain import plain_revision

    with opened(site, state) as store:
        target = resolve(store, name, backend)
        revisions = target.log()[: limit or None]
        if as_json:
            rows = [plain_revision(r, target.info.where) for r in revisions]
            print_json({"runkey": target.info.plain(), "revisions": rows})
            return
    print_table(
        ("revision", "digest", "when", "by", "what", "comment"),
        [
            (
                f"{r.runkey}@{r.number}",
                r.digest[:8],
                local_text(r.created),
                r.author,
                r.action,
                " ".join(r.comment.split()),
            )
            for r in revisions
        ],
    )


def blame(
    name: NameArgument,
    path: PathArgument,
    key: KeyArgument,
    backend: BackendOption = False,
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Say who set one value, when and why: a register, a setpoint, a pixel, a connection."""
    from db.blame import blame_value
    from db.cli.keys import key_of, value_text
    from db.cli.names import place, resolve
    from db.cli.plain import plain_revision

    with opened(site, state) as store:
        target = resolve(store, name, backend)
        if target.past:
            fail(f"blame is of what a runkey is now; owl runkey log {shlex.quote(name)} says how it came to that", 2)
        node = target.node(path)
        full = key_of(target, node, key)
        revision = blame_value(target.runkeys, target.info.name, place(node), str(full))
        value = full.read(target, node)
        if as_json:
            found = plain_revision(revision, target.info.where)
            info = target.info.plain()
            print_json({"runkey": info, "path": node.path, "key": str(full), "value": value, "revision": found})
            return
    what = f"{node.path} {full.shown}"
    typer.echo(f"{what} = {value_text(value)}")
    typer.echo(f"set {local_text(revision.created)} by {revision.author} in {revision.runkey}@{revision.number}")
    if revision.comment:
        typer.echo(f"{revision.action}: {' '.join(revision.comment.split())}")


def diff(
    a: Annotated[str, typer.Argument(metavar="A", show_default=False, autocompletion=complete.names)],
    b: Annotated[str, typer.Argument(metavar="B", show_default=False, autocompletion=complete.names)],
    full: Annotated[bool, typer.Option("--full", help="Every register, setpoint and pixel map.")] = False,
    path: Annotated[str, typer.Option("--path", help="Details of what is here and below.", show_default=False)] = "/",
    picture: Annotated[
        Path | None,
        typer.Option("--picture", help="Write a PNG of the one pixel map that --path names; a folder gets all."),
    ] = None,
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Say what differs between two runkeys, or two revisions (NAME@3): counts, or all of it with --full.

    Exit code 1 when something does.
    """
    from db.cli.names import resolve
    from db.compare import describe
    from db.diff import diff_trees

    with opened(site, state) as store:
        one, other = resolve(store, a), resolve(store, b)
        with progress("comparing"):
            with one.runkeys.database.read() as before, other.runkeys.database.read() as after:
                found = diff_trees((before, one.info.root), (after, other.info.root))
            described = describe(found, one.runkeys, other.runkeys)
        if picture is not None:
            _pictures(described, path, picture)
        if as_json:
            heads = {"a": one.info.plain(), "b": other.info.plain(), "same": not described}
            print_json({**heads, **described.as_dict(path, full)})
        elif described:
            width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 120
            typer.echo(described.as_text(path, full, width).rstrip("\n"))
        else:
            typer.echo("they are the same")
        if described:
            raise typer.Exit(1)


def _pictures(described: RunkeyDiff, path: str, target: Path) -> None:
    """One PNG, or a folder of them with a page that shows them."""
    import tempfile

    if target.suffix.lower() != ".png":
        target.mkdir(parents=True, exist_ok=True)
        written = described.write_pictures(target)
        typer.echo(f"{len(written)} files in {target}", err=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        pictures = [p for p in described.write_pictures(Path(folder)) if p.suffix == ".png"]
        wanted = [p for p in pictures if path == "/" or p.stem == path.strip("/").replace("/", "_")]
        if len(wanted) != 1:
            fail(f"{len(pictures)} pixel maps differ; name one with --path, or give a folder for all of them", 2)
        write_file(target, wanted[0].read_bytes())


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (log, blame, diff):
        app.command()(command)
