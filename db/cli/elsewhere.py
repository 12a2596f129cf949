"""`owl runkey alias, ref`: what else a thing is called, in conventions and in other databases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from db.cli.common import BackendOption, NameArgument, PathArgument, opened
from db.cli.labels import OnPath, OnRunkey, thing_of
from owlshift.commands.common import JsonOption, SiteOption, StateOption, fail
from owlshift.commands.output import print_json, print_table

if TYPE_CHECKING:
    from db.store import Store

aliases = typer.Typer(no_args_is_help=True, help="Other names of things, in naming conventions.")
refs = typer.Typer(no_args_is_help=True, help="What other databases (LOCALDB, ITKDB, …) call things.")

ConventionArgument = Annotated[str, typer.Argument(metavar="CONVENTION", show_default=False)]
SystemArgument = Annotated[str, typer.Argument(metavar="SYSTEM", show_default=False, help="LOCALDB, ITKDB, …")]


@aliases.command("set")
def alias_set(
    name: NameArgument,
    path: PathArgument,
    convention: ConventionArgument,
    alias: Annotated[str, typer.Argument(metavar="ALIAS", show_default=False)],
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Give an object another name in a convention; it stays with the object through all edits."""
    with opened(site, state) as store:
        target, node = thing_of(store, name, path, None)
        target.runkeys.set_alias(node, convention, alias)
        typer.echo(f"{node.path} is {alias} in {convention}")


@aliases.command("drop")
def alias_drop(
    convention: ConventionArgument,
    alias: Annotated[str, typer.Argument(metavar="ALIAS", show_default=False)],
    backend: BackendOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Take an alias away."""
    with opened(site, state) as store:
        (store.backend if backend else store.staging).drop_alias(convention, alias)
        typer.echo(f"{convention} has no {alias} any more")


@aliases.command("list")
def alias_list(
    name: OnRunkey = None,
    path: OnPath = None,
    backend: BackendOption = False,
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """List the aliases of an object, of a whole runkey, or all."""
    with opened(site, state) as store:
        rows = _listed(store, name, path, backend, lambda runkeys, thing: runkeys.aliases(thing))
        if as_json:
            found = [{"convention": r.convention, "alias": r.alias, "lineage": r.lineage, "path": p} for r, p in rows]
            print_json({"aliases": found})
            return
    print_table(("convention", "alias", "object"), [(r.convention, r.alias, p or r.lineage) for r, p in rows])


@aliases.command("find")
def alias_find(
    convention: ConventionArgument,
    alias: Annotated[str, typer.Argument(metavar="ALIAS", show_default=False)],
    backend: BackendOption = False,
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Say what an alias is of, and in which runkeys that is."""
    with opened(site, state) as store:
        runkeys = store.backend if backend else store.staging
        lineage = runkeys.find_alias(convention, alias)
        _found(runkeys, [lineage], as_json)


@refs.command("add")
def ref_add(
    name: NameArgument,
    path: PathArgument,
    system: SystemArgument,
    key: Annotated[str, typer.Argument(metavar="KEY", show_default=False)],
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Say what another database calls an object; it stays with the object through all edits."""
    with opened(site, state) as store:
        target, node = thing_of(store, name, path, None)
        target.runkeys.add_ref(node, system, key)
        typer.echo(f"{node.path} is {key} in {system}")


@refs.command("drop")
def ref_drop(
    name: NameArgument,
    path: PathArgument,
    system: SystemArgument,
    key: Annotated[str, typer.Argument(metavar="KEY", show_default=False)],
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Take a reference away."""
    with opened(site, state) as store:
        target, node = thing_of(store, name, path, None)
        target.runkeys.drop_ref(node, system, key)
        typer.echo(f"{node.path} has no {system} {key} any more")


@refs.command("list")
def ref_list(
    name: OnRunkey = None,
    path: OnPath = None,
    backend: BackendOption = False,
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """List the references of an object, of a whole runkey, or all."""
    with opened(site, state) as store:
        rows = _listed(store, name, path, backend, lambda runkeys, thing: runkeys.refs(thing))
        if as_json:
            found = [{"system": r.system, "key": r.key, "lineage": r.lineage, "path": p} for r, p in rows]
            print_json({"refs": found})
            return
    print_table(("system", "key", "object"), [(r.system, r.key, p or r.lineage) for r, p in rows])


@refs.command("find")
def ref_find(
    system: SystemArgument,
    key: Annotated[str, typer.Argument(metavar="KEY", show_default=False)],
    backend: BackendOption = False,
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Say what another database's key is of, and in which runkeys that is."""
    with opened(site, state) as store:
        runkeys = store.backend if backend else store.staging
        lineages = [ref.lineage for ref in runkeys.refs(system=system, key=key)]
        if not lineages:
            fail(f"nothing is called {key!r} in {system}")
        _found(runkeys, lineages, as_json)


def _listed(store: Store, name: str | None, path: str | None, backend: bool, ask: Any) -> list[tuple[Any, str]]:
    """What `ask(runkeys, thing or None)` gives, with the path in the runkey that was named."""
    if name is None:
        return [(row, "") for row in ask(store.backend if backend else store.staging, None)]
    from db.cli.names import resolve

    target = resolve(store, name, backend)
    paths = {node.lineage: node.path for node in target.tree(None).walk()}
    if path is not None:
        wanted = target.node(path).lineage
        paths = {wanted: paths[wanted]}
    return [(row, paths[row.lineage]) for row in ask(target.runkeys, None) if row.lineage in paths]


def _found(runkeys: Any, lineages: list[str], as_json: bool) -> None:
    rows = [
        (info.name, node.path)
        for info in runkeys.list()
        for node in runkeys.tree(info.name, None).walk()
        if node.lineage in lineages
    ]
    if as_json:
        print_json({"lineages": lineages, "places": [{"runkey": n, "path": p} for n, p in rows]})
    elif rows:
        print_table(("runkey", "path"), rows)
    else:
        typer.echo(f"{', '.join(lineages)}: in no runkey of now")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(aliases, name="alias")
    app.add_typer(refs, name="ref")
