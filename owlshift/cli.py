"""`owl`, the command line. Applications add sub-commands by entry point; the framework imports none of them."""

from __future__ import annotations

import os
import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated

import typer

from owlshift import __version__
from owlshift.kinds import COMMAND_GROUP


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"owlshift {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """An EPICS control system for detector test stands and small experiments."""


def build_app(only: EntryPoint | None = None) -> typer.Typer:
    """The whole command line, with what the installed applications add; or `only` the commands of one of them."""
    app = typer.Typer(
        name="owl",
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    if only is None:
        _add_own_commands(app)
    for point in [only] if only is not None else _applications():
        try:
            app.add_typer(point.load(), name=point.name)
        except Exception as error:  # one broken application must not take the others' commands away
            app.command(point.name, help=f"Not usable: {error}")(_unusable(point.name, error))
    return app


def _add_own_commands(app: typer.Typer) -> None:
    from owlshift.commands import ca_commands, ioc_commands, site_commands

    for name in ("up", "demo", "status", "down"):
        app.command(name)(getattr(site_commands, name))
    for name in ("pvs", "get", "put", "monitor"):
        settings = {"ignore_unknown_options": True} if name == "put" else None  # so that a value may be negative
        app.command(name, context_settings=settings)(getattr(ca_commands, name))
    iocs = typer.Typer(no_args_is_help=True, help="Run one IOC in the foreground.")
    simulators = typer.Typer(no_args_is_help=True, help="Simulated devices: serve one alone, or give it a fault.")
    ioc_commands.add_ioc_commands(iocs, simulators)
    app.add_typer(iocs, name="ioc")
    app.add_typer(simulators, name="sim")


def _applications() -> list[EntryPoint]:
    return sorted(entry_points(group=COMMAND_GROUP), key=lambda point: point.name)


def _called() -> EntryPoint | None:
    """The application that the command line, or the line that is to be completed, is about.

    Loading nothing else halves the time of its commands, and the tab key answers while somebody waits.
    """
    words, last = sys.argv, len(sys.argv) - 1
    if "_OWL_COMPLETE" in os.environ:
        words = os.environ.get("COMP_WORDS", os.environ.get("_TYPER_COMPLETE_ARGS", "")).split()
        last = len(words) - 1 if os.environ.get("COMP_CWORD") is None else int(os.environ["COMP_CWORD"])
    if len(words) < 2 or (last < 2 and "_OWL_COMPLETE" in os.environ):
        return None
    return next((point for point in _applications() if point.name == words[1]), None)


def _unusable(name: str, error: Exception):
    def explain() -> None:
        from owlshift.commands.common import fail

        fail(f"{name} can't be used: {error}")

    return explain


def main() -> None:
    """The entry point of `owl`."""
    try:
        build_app(_called())()
    except BrokenPipeError:  # `owl pvs | head` is no error
        sys.stderr.close()
        raise SystemExit(0) from None


if __name__ == "__main__":
    main()
