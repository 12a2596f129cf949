"""`owl archive get, at, info, pvs, status`: what is archived, as people and programs read it."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from archiver.commands.common import (
    FolderOption,
    FromOption,
    PvArgument,
    PvsArgument,
    SiteOption,
    ToOption,
    UrlOption,
    UtcOption,
    expand,
    moment,
    opened,
    print_facts,
    window,
)
from owlshift.commands.common import JsonOption, OutputOption, fail
from owlshift.commands.output import print_json, print_table, write


class Format(StrEnum):
    """How samples are printed."""

    TABLE = "table"
    CSV = "csv"
    PARQUET = "parquet"
    JSON = "json"


def get(
    pv: PvArgument,
    start: FromOption = "-1h",
    end: ToOption = "now",
    form: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.TABLE,
    output: OutputOption = None,
    utc: UtcOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    url: UrlOption = None,
    site: SiteOption = None,
    folder: FolderOption = None,
) -> None:
    """Print a PV's samples: the newest at or before --from, and all up to --to. `mean_60(PV)` and the like work too."""
    from archiver.client import tables

    start_ns, end_ns = window(start, end)
    form = Format.JSON if as_json else form
    if form is Format.PARQUET and output is None and sys.stdout.isatty():
        raise typer.BadParameter("Parquet is no text: give a file with -o FILE", param_hint="--format")
    with opened(pv, url, site, folder) as archive:
        if form is Format.JSON:
            write(archive.json(pv, start_ns, end_ns), output)
            return
        reading = archive.read(pv, start_ns, end_ns)
        for note in reading.notes:
            typer.echo(f"owl: {note}", err=True)
        if form is Format.PARQUET:
            write([tables.parquet_bytes(reading)], output)
        elif form is Format.CSV:
            write(tables.csv_lines(reading), output)
        else:
            write((f"{line}\n".encode() for line in tables.table(reading, utc)), output)


def at(
    time: Annotated[str, typer.Argument(metavar="TIME", help="now, -10m, yesterday, 14:30, ISO 8601.")],
    pvs: PvsArgument,
    utc: UtcOption = False,
    as_json: JsonOption = False,
    url: UrlOption = None,
    site: SiteOption = None,
    folder: FolderOption = None,
) -> None:
    """Print what PVs were at one time: of each the newest sample at or before it. Exit code 1 when none has any."""
    from archiver.client.moments import iso_text, local_text
    from archiver.client.tables import Shown, severity_name, status_name

    at_ns = moment(time, "TIME")
    with opened(pvs[0] if len(pvs) == 1 else "", url, site, folder) as archive:
        names = expand(archive, pvs)
        found = archive.at(names, at_ns)
        if as_json:
            print_json(
                {
                    name: {
                        "time": iso_text(s.time_ns),
                        "value": s.value,
                        "severity": severity_name(s.severity),
                        "status": status_name(s.status),
                        "units": s.metadata.get("EGU", ""),
                    }
                    for name, s in found.items()
                }
            )
        else:
            rows = []
            for name in names:
                sample = found.get(name)
                if sample is None:
                    rows.append([name, "no sample", "", "", ""])
                    continue
                value = Shown(sample.metadata)(sample.value)
                severity = severity_name(sample.severity) if sample.severity else ""
                alarm = f"{severity} {status_name(sample.status)}" if severity else ""
                rows.append([name, value, sample.metadata.get("EGU", ""), local_text(sample.time_ns, utc), alarm])
            print_table(["PV", "value", "unit", "since (UTC)" if utc else "since", "alarm"], rows, right=(1,))
        if not found:
            raise typer.Exit(1)


def info(
    pv: PvArgument,
    as_json: JsonOption = False,
    url: UrlOption = None,
    site: SiteOption = None,
    folder: FolderOption = None,
) -> None:
    """Print what the archive knows of a PV, and its newest sample."""
    from archiver.client.moments import iso_text, local_text

    with opened(pv, url, site, folder) as archive:
        facts = dict(archive.metadata(pv))
        far = (1 << 62) * 2 - 1_000_000_000
        for batch in archive.read(pv, far, far).batches:
            if len(batch):
                newest = batch.column("time").cast("int64")[-1].as_py()
                facts["newest sample"] = iso_text(newest) if as_json else local_text(newest)
        print_facts(list(facts.items()), as_json)


def pvs(
    pattern: Annotated[str, typer.Argument(metavar="GLOB", help="Names, with * and ?.")] = "*",
    as_json: JsonOption = False,
    url: UrlOption = None,
    site: SiteOption = None,
    folder: FolderOption = None,
) -> None:
    """List archived PVs. Exit code 1 when none fits."""
    with opened("", url, site, folder) as archive:
        names = archive.names(pattern)
        if not names:
            fail(f"no archived PV fits {pattern!r} at {archive.place}")
        if as_json:
            print_json(names)
        else:
            typer.echo("\n".join(names))


def status(
    as_json: JsonOption = False, url: UrlOption = None, site: SiteOption = None, folder: FolderOption = None
) -> None:
    """Say whether the archiver answers, and how many PVs it has. Exit code 1 when it does not."""
    with opened("", url, site, folder) as archive:
        print_facts(archive.facts(), as_json)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (get, at, info, pvs, status):
        app.command()(command)
