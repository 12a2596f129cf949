"""What the sub-commands of `owl alarm` share: which alarm IOC they speak of, how they fail, what items they mean."""

from __future__ import annotations

import asyncio
import fnmatch
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from iocs.alarm.cli import complete
from owlshift.commands.common import fail, open_site, use_site_environment

if TYPE_CHECKING:
    from db.alarms.log import AlarmLog
    from db.database import Database
    from iocs.alarm.client import AlarmClient
    from owlshift.site import IocEntry, Site

T = TypeVar("T")

SystemOption = Annotated[
    str | None,
    typer.Option(
        "--system", help="Which alarm IOC, when the site has several: its system, for example ALM.", show_default=False
    ),
]
ItemsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="ITEM",
        show_default=False,
        help="Alarms and areas: paths (/DEMO/HV/L07), PVs, or globs of alarms ('*:L07:*'); / is everything.",
        autocompletion=complete.items,
    ),
]
ItemArgument = Annotated[
    str,
    typer.Argument(
        metavar="ITEM",
        show_default=False,
        help="An alarm or an area: its path (/DEMO/HV/L07), or an alarm's PV.",
        autocompletion=complete.items,
    ),
]
AreaArgument = Annotated[
    str,
    typer.Argument(
        metavar="ITEM",
        show_default=False,
        help="Only below this area, or this alarm: a path, or an alarm's PV.",
        autocompletion=complete.items,
    ),
]


@dataclass(frozen=True)
class Place:
    """Which alarm IOC a command speaks of."""

    site: Path | None = None
    state: Path | None = None
    system: str | None = None

    def open(self) -> tuple[Site, IocEntry]:
        """The site and its alarm IOC; ends the command with exit code 2 when there is none."""
        site = open_site(self.site, self.state)
        entries = [entry for entry in site.iocs if entry.kind == "alarm"]
        chosen = [entry for entry in entries if self.system is None or entry.name == self.system.lower()]
        if len(chosen) != 1:
            have = ", ".join(entry.system for entry in entries) or "none"
            what = "several alarm IOCs; say which: --system" if chosen else "no such alarm IOC"
            fail(f"site {site.name} has {what} ({have})", 2)
        return site, chosen[0]


@contextmanager
def explained() -> Iterator[None]:
    """What goes wrong is a line each on standard error, and the exit code."""
    from iocs.alarm.client import AlarmError
    from iocs.alarm.tree.items import ConfigError

    try:
        yield
    except ConfigError as error:
        for problem in error.problems:
            typer.echo(f"owl: {problem}", err=True)
        raise typer.Exit(2) from None
    except AlarmError as error:
        fail(str(error))
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        fail(f"{where}{(error.strerror or str(error)).lower()}")


def make_client(place: Place, timeout: float = 0.0) -> AlarmClient:
    """A client of the place's alarm IOC, not started."""
    site, entry = place.open()
    use_site_environment(site)
    from iocs.alarm.client import TIMEOUT, AlarmClient
    from owlshift.ca import CaAddresses

    # no beacons: a command is over before one comes
    addresses = replace(CaAddresses.from_environment(), repeater_port=0)
    return AlarmClient(entry.prefix, addresses, timeout=timeout or TIMEOUT)


def ask(place: Place, work: Callable[[AlarmClient], Coroutine[Any, Any, T]]) -> T:
    """What `work` gets from the alarm server; what goes wrong ends the command."""

    async def main() -> T:
        async with make_client(place) as client:
            return await work(client)

    with explained():
        return asyncio.run(main())


@contextmanager
def opened_database(place: Place) -> Iterator[Database]:
    """The database of a place's alarms, closed at the end; what goes wrong with it ends the command."""
    from db.config import open_alarms
    from db.errors import BadInput, DbError

    site, _ = place.open()
    try:
        database = open_alarms(site)
        try:
            yield database
        finally:
            database.close()
    except BadInput as error:
        for problem in error.problems:
            typer.echo(f"owl: {problem}", err=True)
        raise typer.Exit(2) from None
    except DbError as error:
        fail(str(error))


@contextmanager
def logged(place: Place) -> Iterator[AlarmLog]:
    """The alarm log of a place."""
    with opened_database(place) as database:
        from db.alarms.log import AlarmLog

        yield AlarmLog(database)


async def expand(client: AlarmClient, items: Sequence[str]) -> list[str]:
    """Paths and PVs as they are, globs as the paths of all alarms that fit; AlarmError when none does."""
    from iocs.alarm.client import AlarmError

    found: dict[str, None] = {}
    alarms: list[tuple[str, str]] | None = None
    for item in items:
        if not is_glob(item):
            found[item] = None
            continue
        if alarms is None:
            alarms = [(node["path"], node["pv"]) for node in _alarms(await client.tree())]
        fitting = [path for path, pv in alarms if fnmatch.fnmatchcase(path, item) or fnmatch.fnmatchcase(pv, item)]
        if not fitting:
            raise AlarmError(f"no alarm fits {item!r}")
        found.update(dict.fromkeys(fitting))
    return list(found)


def is_glob(item: str) -> bool:
    """Whether it is a pattern and no name."""
    return any(letter in item for letter in "*?[")


def _alarms(tree: dict[str, Any]) -> Iterable[dict[str, Any]]:
    from iocs.alarm.client import walk

    return (node for node in walk(tree) if node["kind"] == "alarm")
