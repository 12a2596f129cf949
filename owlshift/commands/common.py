"""What the sub-commands share: the site they speak of, and how they fail."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from owlshift.site import Site

SiteOption = Annotated[
    Path | None,
    typer.Option("--site", envvar="OWLSHIFT_SITE", help="The site file; without it, the demo's.", show_default=False),
]
StateOption = Annotated[
    Path | None,
    typer.Option("--state", envvar="OWLSHIFT_STATE", help="The folder for the site's state, instead of the file's."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
OutputOption = Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file.")]


def fail(message: str, code: int = 1) -> NoReturn:
    """Say one thing on standard error and end. `code` 1: it failed; 2: it was asked for wrongly."""
    typer.echo(f"owl: {message}", err=True)
    raise typer.Exit(code)


def open_site(path: Path | None, state: Path | None = None) -> Site:
    """The site of a command; ends the command with every problem of the file and exit code 2."""
    from owlshift.site import SiteError, demo_site_path, load_site

    try:
        return load_site(path or demo_site_path(), state)
    except SiteError as error:
        for problem in error.problems:
            typer.echo(problem, err=True)
        count = len(error.problems)
        fail(f"{count} problem{'s' * (count > 1)} in the site file; nothing was started", 2)


def use_site_environment(site: Site) -> None:
    """Point this process's CA clients at the site, unless the caller's environment points somewhere already.

    To be called before a CA library is imported.
    """
    if "EPICS_CA_ADDR_LIST" not in os.environ and "EPICS_CA_NAME_SERVERS" not in os.environ:
        os.environ.update(site.ca_environment())


def log_to_stderr(level: int = logging.INFO) -> None:
    """The log format that every process of a site has."""
    from owlshift.kinds import LOG_FORMAT

    logging.basicConfig(level=level, format=LOG_FORMAT, stream=sys.stderr)


def command_name() -> str:
    """How the user can call `owl` from where they are: by name when it is on the path, else by its file."""
    here = Path(sys.executable).parent / "owl"
    found = shutil.which("owl")
    if found and here.exists() and Path(found).samefile(here):
        return "owl"
    if here.exists():
        return str(here.relative_to(Path.cwd())) if here.is_relative_to(Path.cwd()) else str(here)
    return f"{sys.executable} -m owlshift"


def has_display() -> bool:
    """Whether a window can be opened from this shell."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def confirm(question: str, yes: bool) -> None:
    """Ask, unless --yes; ends the command when the answer is no, or when there is nobody to answer."""
    if yes:
        return
    if not sys.stdin.isatty():
        fail(f"{question} Nobody is here to answer; say --yes", 2)
    if not typer.confirm(question, err=True):
        fail("nothing was done")
