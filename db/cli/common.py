"""What the sub-commands of `owl runkey` share: which databases they speak of, and how they fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from db.cli import complete
from owlshift.commands.common import fail, open_site

if TYPE_CHECKING:
    from db.store import Store

NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        show_default=False,
        help="A runkey; NAME@3 is its third revision; backend:NAME that of the backend.",
        autocompletion=complete.names,
    ),
]
EditedArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME", show_default=False, help="A runkey of the staging area.", autocompletion=complete.staged
    ),
]
PathArgument = Annotated[
    str,
    typer.Argument(
        metavar="PATH", show_default=False, help="For example /FELIX1/OB1/FE3.", autocompletion=complete.paths
    ),
]
RoleArgument = Annotated[
    str,
    typer.Argument(
        metavar="ROLE", show_default=False, help="For example config or pixels.", autocompletion=complete.roles
    ),
]
CommentOption = Annotated[str, typer.Option("--comment", "-m", help="Why; kept for ever.")]
BackendOption = Annotated[bool, typer.Option("--backend", help="Of the backend, not of the staging area.")]


@contextmanager
def explained() -> Iterator[None]:
    """What goes wrong is a line each on standard error, and the exit code."""
    from db.errors import BadInput, DbError

    try:
        yield
    except BadInput as error:
        for problem in error.problems:
            typer.echo(f"owl: {problem}", err=True)
        raise typer.Exit(2) from None
    except DbError as error:
        fail(str(error))
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        fail(f"{where}{(error.strerror or str(error)).lower()}")


@contextmanager
def opened(site: Path | None, state: Path | None) -> Iterator[Store]:
    """The databases of a site (of the demo without one), closed at the end."""
    with explained():
        from db.config import open_store
        from db.who import Who

        store = open_store(open_site(site, state), Who.me())
        try:
            yield store
        finally:
            store.close()
