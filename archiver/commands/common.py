"""What the sub-commands of `owl archive` share: which archive, which window, files that appear only when whole."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from owlshift.commands.common import fail, open_site
from owlshift.commands.output import print_facts as print_lines
from owlshift.commands.output import print_json

if TYPE_CHECKING:
    from archiver.client.access import Way
    from archiver.config import ArchiverConfig

DEFAULT_URL = "http://127.0.0.1:17665"
TIMES = "now, -10m, '2h ago', yesterday, 14:30, ISO 8601"

PvArgument = Annotated[str, typer.Argument(metavar="PV", show_default=False)]
PvsArgument = Annotated[list[str], typer.Argument(metavar="PV", help="Names, or globs of * and ?.")]
FromOption = Annotated[str, typer.Option("--from", "-f", help=f"{TIMES}.")]
ToOption = Annotated[str, typer.Option("--to", "-t", help="The same; without a zone it is local time.")]
UtcOption = Annotated[bool, typer.Option("--utc", help="Times of the table in UTC instead of local time.")]
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
StoreOption = Annotated[
    Path | None, typer.Option("--folder", help="The archive's folder; without it that of the site.")
]


def window(start: str, end: str) -> tuple[int, int]:
    """--from and --to in unix nanoseconds."""
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


def moment(text: str, option: str) -> int:
    """A time of the command line in unix nanoseconds."""
    from archiver.client.moments import parse_moment

    try:
        return parse_moment(text, time.time_ns())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


@contextmanager
def opened(pv: str, url: str | None, site: Path | None, folder: Path | None) -> Iterator[Way]:
    """The archive of a command; what goes wrong with it is one line (and names that are near) and exit code 1."""
    from archiver.client.access import ArchiveError, UnknownPv

    archive = None
    try:
        archive = _way(url, site, folder)
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
    finally:
        if archive is not None:
            archive.close()


def _way(url: str | None, site: Path | None, folder: Path | None) -> Way:
    from archiver.client.access import way_to

    return way_to(folder if folder is not None else address(url, site))


def address(url: str | None, site: Path | None) -> str:
    """Where the archiver is: as --url says, else the site file, else on this host."""
    if url is None and site is not None:
        url = f"http://{site_config(site, None)[0].http[0].replace('0.0.0.0', '127.0.0.1')}"
    url = url or DEFAULT_URL
    if not url.startswith(("http://", "https://")):
        raise typer.BadParameter(f"{url!r} is no address; write for example {DEFAULT_URL}", param_hint="--url")
    return url


def site_config(path: Path | None, state: Path | None) -> tuple[ArchiverConfig, Path]:
    """The [archiver] section of a site (of the demo without one), and the archive's folder."""
    from archiver.config import ArchiverConfig

    site = open_site(path, state)
    config = site.services.get("archiver")
    if not isinstance(config, ArchiverConfig):
        fail(f"{site.path} has no [archiver] section", 2)
    return config, config.archive_folder(site.state)


def store_folder(
    folder: Path | None, site: Path | None, state: Path | None, must_exist: bool = True
) -> tuple[Path, ArchiverConfig | None]:
    """The folder that a command is to look into, and the site's section when it was found by a site."""
    config = None
    if folder is None:
        config, folder = site_config(site, state)
    folder = folder.expanduser()
    if must_exist and not folder.is_dir():
        fail(f"there is no archive in {folder}; say which one you mean: --folder DIR, or --site FILE")
    return folder, config


def _near(archive: Way, pv: str) -> list[str]:
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


def expand(archive: Way, patterns: Iterable[str]) -> list[str]:
    """Names and globs as names; a glob that nothing fits is an error."""
    names: dict[str, None] = {}
    for pattern in patterns:
        if "*" not in pattern and "?" not in pattern:
            names[pattern] = None
            continue
        found = archive.names(pattern)
        if not found:
            fail(f"no archived PV fits {pattern!r} at {archive.place}")
        names.update(dict.fromkeys(found))
    return list(names)


def print_facts(facts: list[tuple[str, str]], as_json: bool = False) -> None:
    """Keys and values, one a line."""
    if as_json:
        print_json(dict(facts))
        return
    print_lines(facts)
