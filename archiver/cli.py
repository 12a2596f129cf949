"""`owl archive`: read what is archived, and look after it."""

from __future__ import annotations

import typer

from archiver.commands import care, lake, move, read
from archiver.management import cli as manage

app = typer.Typer(no_args_is_help=True, help="Read what is archived, and look after it.")

for _part in (read, manage, lake, move, care):
    _part.register(app)
