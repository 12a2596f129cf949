"""`owl runkey bench`: what the database can do, measured here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from db.cli.common import explained
from owlshift.commands.common import JsonOption
from owlshift.commands.output import print_json, print_table, progress, span_text

if TYPE_CHECKING:
    from db.bench import Line, Report

UrlOption = Annotated[
    list[str] | None,
    typer.Option(
        "--url",
        metavar="STAGING,BACKEND",
        help="Two empty databases of a server, as SQLAlchemy's URLs with a comma between; may be repeated.",
    ),
]


def bench(
    fe: Annotated[
        int, typer.Option("--fe", min=2, max=45_000, help="Front-ends; the whole ITk pixel detector has 33,000.")
    ] = 33_000,
    url: UrlOption = None,
    servers: Annotated[
        bool, typer.Option("--servers", help="SQLite as well as the databases of --url, and the ratios.")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="2,000 different pixel maps, not one for each.")] = False,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Where the data lie meanwhile (about 7 GB).", exists=True)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure the database with a made-up detector: clone, tree, edit, commit, diff, load, chip files.

    The whole takes some minutes. The databases of --url are empty again at the end. Nothing of the site is touched.
    """
    pairs = []
    for word in url or ():
        staging, comma, backend = word.partition(",")
        if not comma or not staging or not backend:
            raise typer.BadParameter("should be two URLs with a comma between: STAGING,BACKEND", param_hint="--url")
        pairs.append((staging.strip(), backend.strip()))
    with explained():
        from db.bench import run

        with progress("measuring") as step:
            report = run(fe, pairs, sqlite=servers or not pairs, quick=quick, folder=folder, progress=step)
    if as_json:
        print_json(report.plain())
    else:
        _show(report)


def _show(report: Report) -> None:
    typer.echo(f"{report.front_ends:,} front-ends, {report.distinct:,} different pixel maps; {report.machine}")
    head = ["what"]
    for result in report.results:
        head += [result.dialect, *(["x SQLite"] if _compared(report, result) else [])]
    rows = []
    for line in report.results[0].lines:
        row = [line.what]
        for result in report.results:
            same = next((other for other in result.lines if other.key == line.key), None)
            row.append("" if same is None else _figure(same))
            if _compared(report, result):
                ratio = None if same is None else report.ratio(result, same)
                row.append("" if ratio is None else f"{ratio:.2g}")
        rows.append([*row, _wanted(line), _verdict(line), line.note])
    print_table([*head, "wanted", "", ""], rows, right=range(1, len(head) + 1))


def _compared(report: Report, result: object) -> bool:
    return report.results[0].dialect == "sqlite" and result is not report.results[0]


def _figure(line: Line) -> str:
    return span_text(line.measured) if line.unit == "s" else f"{line.measured:,.0f} {line.unit}"


def _wanted(line: Line) -> str:
    if line.wanted is None:
        return ""
    if line.unit == "s":
        return f"< {span_text(line.wanted)}"
    return f"> {line.wanted:,.0f} {line.unit}"


def _verdict(line: Line) -> str:
    return {True: "ok", False: "missed", None: ""}[line.reached]


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(bench)
