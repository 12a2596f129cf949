"""`owl alarm`: what is in alarm, and what operators do about it."""

from __future__ import annotations

import typer

app = typer.Typer(
    help="Alarms: see them, acknowledge, shelve; their log and figures; their configuration.", no_args_is_help=True
)


@app.callback()
def alarm() -> None:
    """Alarms: see them, acknowledge, shelve; their log and figures; their configuration."""
