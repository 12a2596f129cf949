"""What the commands of management share: the archiver they ask, options, and how answers are shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from archiver.commands.common import address
from owlshift.commands.common import fail
from owlshift.commands.output import print_json, print_table

if TYPE_CHECKING:
    from archiver.management.remote import Remote

TokenOption = Annotated[
    str | None,
    typer.Option(
        "--token", envvar="OWLSHIFT_ARCHIVE_TOKEN", help="Who you are, where writing needs it.", show_default=False
    ),
]


@contextmanager
def archiver_of(url: str | None, site: Path | None, token: str | None) -> Iterator[Remote]:
    """The archiver of a command; what goes wrong with it is one line and exit code 1."""
    from archiver.management.remote import ManageError, Remote

    where = address(url, site)
    try:
        yield Remote(where, token)
    except ManageError as error:
        fail(str(error))


def show_done(answer: dict[str, str], as_json: bool) -> None:
    """What a call says that does one thing; exit code 1 when it was refused."""
    if as_json:
        print_json(answer)
    elif answer.get("status") == "ok":
        typer.echo(answer.get("desc", "ok"))
    if answer.get("status") != "ok":
        fail(answer.get("validation") or answer.get("desc") or "refused")


def show_rows(rows: Any, as_json: bool) -> None:
    """A table of what a call lists."""
    if as_json:
        print_json(rows)
        return
    rows = list(rows.values()) if isinstance(rows, dict) else rows
    if not rows:
        typer.echo("none")
        return
    keys = list(dict.fromkeys(key for row in rows for key in row))
    body = [[str(row.get(key, "")) for key in keys] for row in rows]
    right = [i for i, key in enumerate(keys) if key != "pvName" and all(_is_number(row[i]) for row in body)]
    print_table(keys, body, right)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
