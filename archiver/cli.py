"""`owl archive`: read what is archived, and look after it."""

from __future__ import annotations

import typer

from archiver.commands import care, lake, move, read

app = typer.Typer(no_args_is_help=True, help="Read what is archived, and look after it.")

for _part in (read, lake, move, care):
    _part.register(app)
