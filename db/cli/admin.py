"""`owl runkey user, audit`: who may do what, and who did what."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from db.cli.common import BackendOption, opened
from owlshift.commands.common import JsonOption, SiteOption, StateOption, fail
from owlshift.commands.moments import EXAMPLES, json_time, local_text, moment_option
from owlshift.commands.output import print_json, print_table

users = typer.Typer(no_args_is_help=True, help="Who may do what. While there are no users, everybody may.")

UserArgument = Annotated[str, typer.Argument(metavar="USER", show_default=False, help="A login name.")]
RolesOption = Annotated[
    list[str] | None,
    typer.Option("--role", "-r", help="observer, operator, expert or admin; each may what those before it may."),
]


@users.command("list")
def user_list(
    backend: BackendOption = False, as_json: JsonOption = False, site: SiteOption = None, state: StateOption = None
) -> None:
    """List the users and their roles."""
    from db.users import list_users

    with opened(site, state) as store:
        with _database(store, backend).read() as connection:
            found = list_users(connection)
    if as_json:
        print_json({"users": [_plain(user) for user in found]})
    elif not found:
        typer.echo("there are no users: everybody may do everything")
    else:
        rows = [
            (u.name, u.full_name, ", ".join(u.roles), "disabled" if u.disabled else "", local_text(u.created))
            for u in found
        ]
        print_table(("user", "full name", "roles", "", "since"), rows)


@users.command("add")
def user_add(
    name: UserArgument,
    roles: RolesOption = None,
    full_name: Annotated[str, typer.Option("--full-name", help="First and last name.")] = "",
    backend: BackendOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Add a user; the first must be an admin."""
    from db.users import add_user

    with opened(site, state) as store:
        with _database(store, backend).write() as connection:
            user = add_user(connection, store.staging.who, name, roles or (), full_name)
    typer.echo(f"{user.name}: {', '.join(user.roles) or 'no role'}")


@users.command("roles")
def user_roles(
    name: UserArgument,
    roles: RolesOption = None,
    backend: BackendOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Give a user exactly these roles."""
    from db.users import set_roles

    with opened(site, state) as store:
        with _database(store, backend).write() as connection:
            user = set_roles(connection, store.staging.who, name, roles or ())
    typer.echo(f"{user.name}: {', '.join(user.roles) or 'no role'}")


@users.command("disable")
def user_disable(
    name: UserArgument,
    undo: Annotated[bool, typer.Option("--undo", help="Give it back.")] = False,
    backend: BackendOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Take everything from a user; what they did stays."""
    from db.users import disable

    with opened(site, state) as store:
        with _database(store, backend).write() as connection:
            user = disable(connection, store.staging.who, name, not undo)
    typer.echo(f"{user.name} is {'disabled' if user.disabled else 'enabled'}")


def audit(
    subject: Annotated[
        str | None, typer.Argument(metavar="SUBJECT", help="A runkey, tag, user, device or PV; with * and ?.")
    ] = None,
    user: Annotated[str | None, typer.Option("--user", "-u", help="Who did it; with * and ?.")] = None,
    action: Annotated[str | None, typer.Option("--action", "-a", help="For example 'runkey.*'.")] = None,
    since: Annotated[str | None, typer.Option("--from", "-f", help=f"{EXAMPLES}; without a zone local.")] = None,
    until: Annotated[str | None, typer.Option("--to", "-t", help="The same.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="So many at most.")] = 50,
    backend: BackendOption = False,
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Say who did what and when, newest first. Exit code 1 when nothing fits."""
    from db.audit import search

    window = {"since": moment_option(since, "--from"), "until": moment_option(until, "--to")}
    with opened(site, state) as store:
        with _database(store, backend).read() as connection:
            found = search(connection, subject, user, action, limit=limit, **window)
    if as_json:
        rows: list[dict[str, Any]] = [
            {
                "time": json_time(e.time),
                "user": e.user,
                "host": e.host,
                "action": e.action,
                "subject": e.subject,
                "detail": e.detail,
            }
            for e in found
        ]
        print_json({"audit": rows})
    elif not found:
        fail("nothing fits that")
    else:
        lines = [(local_text(e.time), f"{e.user}@{e.host}", e.action, e.subject, _detail(e.detail)) for e in found]
        print_table(("when", "who", "what", "of", "how"), lines)


def _detail(detail: dict[str, Any]) -> str:
    """Short: hashes and ids with eight digits, no empty values."""
    words = []
    for key, value in detail.items():
        if value in ("", None, [], {}):
            continue
        text = value if isinstance(value, str) else str(value)
        if len(text) in (32, 64) and all(c in "0123456789abcdef" for c in text):
            text = text[:8] if len(text) == 64 else text[-8:]
        text = " ".join(text.split())
        words.append(f"{key}: {text if len(text) <= 60 else text[:59] + '…'}")
    return ", ".join(words)


def _plain(user: Any) -> dict[str, Any]:
    return {
        "name": user.name,
        "full_name": user.full_name,
        "roles": list(user.roles),
        "disabled": user.disabled,
        "created": json_time(user.created),
    }


def _database(store: Any, backend: bool) -> Any:
    return (store.backend if backend else store.staging).database


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(audit)
    app.add_typer(users, name="user")
