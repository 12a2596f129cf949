"""`owl archive token add|remove|list`: in the file of tokens, where the archiver runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archiver.commands.common import SiteOption
from owlshift.commands.common import JsonOption, fail, open_site
from owlshift.commands.output import print_json

app = typer.Typer(no_args_is_help=True, help="Tokens: who may change what is archived, from where it needs one.")


def _tokens_file(site: Path | None) -> Path:
    from archiver.config import ArchiverConfig
    from archiver.management.context import tokens_path

    opened = open_site(site)
    config = opened.services.get("archiver")
    if not isinstance(config, ArchiverConfig):
        fail(f"{opened.path} has no [archiver] section", 2)
    path = tokens_path(opened, config)
    if path is None:
        fail(f'{opened.path} names no file of tokens; add to it: [archiver.access] tokens = "tokens"', 2)
    return path


@app.command("add")
def token_add(user: Annotated[str, typer.Argument(show_default=False)], site: SiteOption = None) -> None:
    """Make a token for a user and print it, this once; only its hash is kept."""
    from archiver.management.access import TokenFileError, add_token

    path = _tokens_file(site)
    try:
        token = add_token(path, user)
    except TokenFileError as error:
        fail(str(error))
    typer.echo(token)
    typer.echo(f"{user}'s token is known in {path}. It is not shown again.", err=True)


@app.command("remove")
def token_remove(user: Annotated[str, typer.Argument(show_default=False)], site: SiteOption = None) -> None:
    """Take all tokens of a user away."""
    from archiver.management.access import TokenFileError, remove_tokens

    path = _tokens_file(site)
    try:
        gone = remove_tokens(path, user)
    except TokenFileError as error:
        fail(str(error))
    if not gone:
        fail(f"{user} has no token in {path}")
    typer.echo(f"{gone} of {user}'s tokens removed")


@app.command("list")
def token_list(as_json: JsonOption = False, site: SiteOption = None) -> None:
    """List who has tokens."""
    from archiver.management.access import TokenFileError, read_tokens

    try:
        users = sorted(user for user, _ in read_tokens(_tokens_file(site)))
    except TokenFileError as error:
        fail(str(error))
    if as_json:
        print_json(users)
    else:
        typer.echo("\n".join(users) or "nobody")
