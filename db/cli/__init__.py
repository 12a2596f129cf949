"""`owl runkey`: the configurations of a stand, from the command line. `db.cli.forms` says what --json prints."""

from __future__ import annotations

import typer

from db.cli import admin, care, edit, elsewhere, history, labels, look, measure, move, stand, topo

app = typer.Typer(
    no_args_is_help=True,
    help="Runkeys: the whole configuration of a stand, versioned; find, edit, compare and apply it.",
)

for _part in (look, stand, edit, history, move, labels, elsewhere, topo, care, admin, measure):
    _part.register(app)
