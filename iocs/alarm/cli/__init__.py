"""`owl alarm`: what is in alarm, and what operators do about it. `iocs.alarm.forms` says what --json prints."""

from __future__ import annotations

import typer

from iocs.alarm.cli import act, check, edit, history, look, move, watch

app = typer.Typer(
    no_args_is_help=True,
    help="Alarms: what is wrong, who knows, what to do; acknowledge, shelve, look back, configure.",
)

for _part in (look, watch, act, history, edit, move, check):
    _part.register(app)
