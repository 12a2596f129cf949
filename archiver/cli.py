"""`owl archive`: read what is archived, look after it, and say what is to be archived."""

from __future__ import annotations

import typer

from archiver.commands import care, figures, lake, move, read
from archiver.management import cli as management

app = typer.Typer(no_args_is_help=True, help="Read what is archived, look after it, and say what is to be archived.")

for _part in (read, figures, lake, move, care, management):
    _part.register(app)
