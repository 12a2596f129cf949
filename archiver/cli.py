"""`owl archive`: read what is archived."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from owlshift.commands.common import fail

if TYPE_CHECKING:
    from archiver.client.access import Archive

DEFAULT_URL = "http://127.0.0.1:17665"

app = typer.Typer(no_args_is_help=True, help="Read what is archived.")

PvArgument = Annotated[str, typer.Argument(metavar="PV", show_default=False)]
UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url", envvar="PYDM_ARCHIVER_URL", help=f"The archiver; without it the site's, or else {DEFAULT_URL}."
    ),
]
SiteOption = Annotated[
    Path | None,
    typer.Option(
        "--site", envvar="OWLSHIFT_SITE", help="The site file that says where the archiver is.", show_default=False
    ),
]
FolderOption = Annotated[
    Path | None, typer.Option("--folder", help="Read the archive's files in this folder, without any server.")
]


class Format(StrEnum):
    """How samples are printed."""

    TABLE = "table"
    CSV = "csv"
    PARQUET = "parquet"
    JSON = "json"


@app.command()
def get(
    pv: PvArgument,
    start: Annotated[
        str, typer.Option("--from", "-f", help="now, -10m, '2h ago', yesterday, 14:30, ISO 8601.")
    ] = "-1h",
    end: Annotated[str, typer.Option("--to", "-t", help="The same; without a zone it is local time.")] = "now",
    form: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.TABLE,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file.")] = None,
    utc: Annotated[bool, typer.Option("--utc", help="Times of the table in UTC instead of local time.")] = False,
    url: UrlOption = None,
    site: SiteOption = None,
    folder: FolderOption = None,
) -> None:
    """Print a PV's samples: the newest at or before --from, and all up to --to. `mean_60(PV)` and the like work too."""
    from archiver.client import tables

    start_ns, end_ns = _window(start, end)
    if form is Format.PARQUET and output is None and sys.stdout.isatty():
        raise typer.BadParameter("Parquet is no text: give a file with -o FILE", param_hint="--format")
    with _errors(pv, url, site, folder) as archive:
        if form is Format.JSON:
            _write(archive.json(pv, start_ns, end_ns), output)
            return
        reading = archive.read(pv, start_ns, end_ns)
        if form is Format.PARQUET:
            _write([tables.parquet_bytes(reading)], output)
        elif form is Format.CSV:
            _write((text.encode() for text in tables.csv_lines(reading)), output)
        else:
            _write((f"{line}\n".encode() for line in tables.table(reading, utc)), output)


@app.command()
def info(pv: PvArgument, url: UrlOption = None, site: SiteOption = None, folder: FolderOption = None) -> None:
    """Print what the archive knows of a PV, and its newest sample."""
    from archiver.client.moments import local_text

    with _errors(pv, url, site, folder) as archive:
        facts = dict(archive.metadata(pv))
        far = (1 << 62) * 2 - 1_000_000_000
        for rows in archive.read(pv, far, far).rows:
            if rows.time_ns:
                facts["newest sample"] = local_text(rows.time_ns[-1])
        _print_facts(list(facts.items()))


@app.command()
def pvs(
    pattern: Annotated[str, typer.Argument(metavar="GLOB", show_default=False)] = "*",
    url: UrlOption = None,
    site: SiteOption = None,
    folder: FolderOption = None,
) -> None:
    """List archived PVs. Exit code 1 when none fits."""
    with _errors("", url, site, folder) as archive:
        names = archive.names(pattern)
        if not names:
            fail(f"no archived PV fits {pattern!r} at {archive.place}")
        typer.echo("\n".join(names))


@app.command()
def status(url: UrlOption = None, site: SiteOption = None, folder: FolderOption = None) -> None:
    """Say whether the archiver answers, and how many PVs it has. Exit code 1 when it does not."""
    with _errors("", url, site, folder) as archive:
        _print_facts(archive.facts())


def _print_facts(facts: list[tuple[str, str]]) -> None:
    width = max(len(key) for key, _ in facts)
    for key, value in facts:
        typer.echo(f"{key:{width}}  {value}")


def _window(start: str, end: str) -> tuple[int, int]:
    from archiver.client.moments import parse_moment

    now_ns = time.time_ns()
    times = []
    for option, text in (("--from", start), ("--to", end)):
        try:
            times.append(parse_moment(text, now_ns))
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint=option) from None
    if times[1] < times[0]:
        raise typer.BadParameter(f"{end!r} is before --from {start!r}", param_hint="--to")
    return times[0], times[1]


@contextmanager
def _errors(pv: str, url: str | None, site: Path | None, folder: Path | None) -> Iterator[Archive]:
    """The archive of a command; what goes wrong with it is one line (and names that are near) and exit code 1."""
    from archiver.client.access import ArchiveError, UnknownPv

    archive = None
    try:
        archive = _archive(url, site, folder)
        yield archive
    except UnknownPv as error:
        near = _near(archive, pv) if archive is not None else []
        fail(f"{error}{'; did you mean ' + ', '.join(near) + '?' if near else ''}")
    except ArchiveError as error:
        fail(str(error))
    except BrokenPipeError:
        raise
    except OSError as error:
        fail(f"the archive cannot be read: {(error.strerror or str(error)).lower()}")


def _archive(url: str | None, site: Path | None, folder: Path | None) -> Archive:
    from archiver.client.access import FolderArchive, HttpArchive

    if folder is not None:
        return FolderArchive(folder)
    if url is None and site is not None:
        url = _url_of_site(site)
    url = url or DEFAULT_URL
    if not url.startswith(("http://", "https://")):
        raise typer.BadParameter(f"{url!r} is no address; write for example {DEFAULT_URL}", param_hint="--url")
    return HttpArchive(url)


def _url_of_site(path: Path) -> str:
    from archiver.config import ArchiverConfig
    from owlshift.commands.common import open_site

    config = open_site(path).services.get("archiver")
    if not isinstance(config, ArchiverConfig):
        fail(f"{path} has no [archiver] section", 2)
    return f"http://{config.http[0].replace('0.0.0.0', '127.0.0.1')}"


def _near(archive: Archive, pv: str) -> list[str]:
    """Up to five archived names like this one."""
    import difflib

    from archiver.client.access import ArchiveError

    name = pv.split("(", 1)[-1].rstrip(")")
    try:
        names = archive.names("*", 20_000)
    except ArchiveError:
        return []
    folded = {n.lower(): n for n in names}
    return [folded[n] for n in difflib.get_close_matches(name.lower(), list(folded), 5, 0.75)]


def _write(pieces: Iterable[bytes], output: Path | None) -> None:
    """To standard output, or to a file that appears only when it is whole."""
    if output is None:
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    part = None
    try:
        with tempfile.NamedTemporaryFile(dir=output.parent, prefix=f".{output.name}.", delete=False) as file:
            part = Path(file.name)
            for piece in pieces:
                file.write(piece)
        mask = os.umask(0)
        os.umask(mask)
        part.chmod(0o666 & ~mask)
        part.replace(output)
    except BaseException as error:
        if part is not None:
            part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            fail(f"cannot write {output}: {(error.strerror or str(error)).lower()}")
        raise
