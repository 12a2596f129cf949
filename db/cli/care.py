"""`owl runkey init, health, delete, gc, verify`: looking after the databases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from db.cli.common import (
    BackendOption,
    JsonOption,
    NameArgument,
    SiteOption,
    StateOption,
    YesOption,
    confirm,
    count_text,
    explained,
    opened,
    print_json,
    print_table,
    progress,
    size_text,
    span_text,
)

if TYPE_CHECKING:
    from db.database import Database
    from db.store import Store

AREAS = ("staging", "backend")


def init(
    demo: Annotated[bool, typer.Option("--demo", help="Also a runkey to play with.")] = False,
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Make both databases, or bring their tables up to date; what is in them stays. The same again does no harm."""
    from db.cli.plain import plain_health
    from db.config import shown

    with explained():
        from db.config import database_urls
        from db.database import Database
        from owlshift.commands.common import open_site

        for area, url in database_urls(open_site(site, state)).items():
            Database.open(url, create=True, name=area).close()
    with opened(site, state) as store:
        made = None
        if demo:
            from db.demo import make_demo

            made = make_demo(store.staging)
        if as_json:
            print_json({"databases": plain_health(store), "demo": made.plain() if made else None})
            return
        for area in AREAS:
            typer.echo(f"{area:8} {shown(getattr(store, area).database.url)}")
        if made is not None:
            typer.echo(f"the demo's runkey is {made.name!r}")


def health(as_json: JsonOption = False, site: SiteOption = None, state: StateOption = None) -> None:
    """Say whether both databases answer. Exit code 1 when one does not."""
    from db.cli.plain import plain_health
    from db.config import shown

    with opened(site, state) as store:
        rows = plain_health(store)
    if as_json:
        print_json({"databases": rows})
    else:
        for row in rows:
            answer = f"answers in {span_text(row['seconds'])}" if row["ok"] else f"does not answer: {row['reason']}"
            typer.echo(f"{row['where']:8} {answer}  ({shown(row['url'])})")
    if not all(row["ok"] for row in rows):
        raise typer.Exit(1)


def delete(
    name: NameArgument,
    backend: BackendOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Take a runkey's name away. What only it had is thrown away by the next `owl runkey gc`, not before."""
    from db.cli.names import resolve
    from db.errors import Forbidden

    with opened(site, state) as store:
        target = resolve(store, name, backend)
        if target.past:
            raise Forbidden(f"{name!r} is a past revision; the history of a runkey stays as long as the runkey")
        info = target.info
        what = "staging area" if target.runkeys is store.staging else "backend"
        confirm(f"Delete {info.name!r} (revision {info.number}, {info.digest[:8]}) of the {what}?", yes)
        target.runkeys.delete(info.name)
        if as_json:
            print_json({"runkey": info.plain()})
        else:
            typer.echo(f"deleted {info.name!r}, {info.digest[:8]}, from the {what}")


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only say what would go.")] = False,
    backend: BackendOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Throw away for ever what no runkey, tag or validity needs any more."""
    from db.gc import gc as collect

    with opened(site, state) as store:
        database = _database(store, backend)
        who = store.staging.who
        report = collect(database, who, dry_run=True)
        if not dry_run and (report.objects or report.payloads or report.blobs):
            gone = f"{count_text(report.objects, 'object')}, {count_text(report.payloads, 'payload')}"
            confirm(f"Throw away {gone}, {size_text(report.bytes)} of the {_area(backend)}, for ever?", yes)
            with progress("throwing away"):
                report = collect(database, who)
        if as_json:
            from dataclasses import asdict

            print_json({"dry_run": dry_run, "where": "backend" if backend else "staging", **asdict(report)})
            return
        parts = [
            count_text(getattr(report, f"{noun}s"), noun)
            for noun in ("revision", "object", "payload", "blob")
            if hasattr(report, f"{noun}s")
        ]
        verb = "would go" if dry_run else "went"
        typer.echo(f"{', '.join(parts)}, {size_text(report.bytes)} {verb}")


def verify(
    quick: Annotated[bool, typer.Option("--quick", help="Only references and digests, no contents.")] = False,
    backend: BackendOption = False,
    both: Annotated[bool, typer.Option("--all", help="Both databases.")] = False,
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Look at every hash and every reference of a database, and change nothing. Exit code 1 when something is wrong."""
    from db.verify import verify as look

    with opened(site, state) as store:
        found = []
        for area in AREAS if both else ("backend" if backend else "staging",):
            with progress(f"looking at {area}") as step:
                problems = look(getattr(store, area).database, deep=not quick, progress=step)
            found += [(area, problem) for problem in problems]
    if as_json:
        rows = [{"where": area, "severity": p.severity, "what": p.what, "place": p.where} for area, p in found]
        print_json({"ok": not found, "problems": rows})
    elif found:
        rows = [(area, p.severity, p.where, p.what) for area, p in found]
        print_table(("database", "severity", "where", "what"), rows)
    else:
        typer.echo("all is well")
    if found:
        raise typer.Exit(1)


def _database(store: Store, backend: bool) -> Database:
    return (store.backend if backend else store.staging).database


def _area(backend: bool) -> str:
    return "backend" if backend else "staging area"


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (init, health, delete, gc, verify):
        app.command()(command)
