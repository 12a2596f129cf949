"""`owl archive verify`: whether everything in an archive is as it should be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from archiver.commands.common import SiteOption, StoreOption, store_folder
from owlshift.commands.common import JsonOption, StateOption, fail
from owlshift.commands.output import print_json, progress, size_text

if TYPE_CHECKING:
    from pathlib import Path

    from archiver.config import ArchiverConfig
    from archiver.store.verify import VerifyReport


def verify(
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make the manifest anew from the files first; no engine may run.")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Only names and sizes, no contents.")] = False,
    as_json: JsonOption = False,
    site: SiteOption = None,
    state: StateOption = None,
    folder: StoreOption = None,
) -> None:
    """Look for every torn, missing, foreign or overlapping piece of the archive, and change nothing.

    It may run beside an engine. Exit code 0: all is well; 1: there are problems.
    """
    from archiver.lake.stores import store_folders
    from archiver.store import StoreError
    from archiver.store.verify import verify as look

    where, config = store_folder(folder, site, state)
    reports: dict[str, VerifyReport] = {}
    try:
        for store in store_folders(where):
            if rebuild:
                _rebuild(store, where, config)
            engine = store.name if store != where else ""
            with progress("looking") as bar:
                reports[engine] = look(store, config, not quick, lambda n, of, name: bar(n, of, name), engine)
    except StoreError as error:
        fail(str(error))
    except OSError as error:
        fail(f"the archive in {where} cannot be read: {(error.strerror or str(error)).lower()}")
    well = all(report.ok for report in reports.values())
    if as_json:
        print_json({"ok": well, "folder": str(where), "stores": {name: _plain(r) for name, r in reports.items()}})
    else:
        for engine, report in reports.items():
            _say(engine, report)
    if not well:
        raise typer.Exit(1)


def _rebuild(store: Path, where: Path, config: ArchiverConfig | None) -> None:
    from archiver.store.rebuild import rebuild_manifest
    from archiver.store.tiers import tiers_of

    tiers = tiers_of(config, store.name if store != where else "") if config is not None else None
    manifest = rebuild_manifest(store, list(tiers.places.values()) if tiers is not None else ())
    typer.echo(f"the manifest of {store} is made anew: {len(manifest.segments)} segments", err=True)


def _plain(report: VerifyReport) -> dict[str, object]:
    return {
        "segments": report.segments,
        "samples": report.samples,
        "logs": report.logs,
        "bytes": report.bytes,
        "problems": [{"severity": severity, "file": file, "what": what} for severity, file, what in report.problems],
    }


def _say(engine: str, report: VerifyReport) -> None:
    for severity, file, what in report.problems:
        typer.echo(f"{severity:8}{file}: {what}")
    counts: dict[str, int] = {}
    for severity, _, _ in report.problems:
        counts[severity] = counts.get(severity, 0) + 1
    found = ", ".join(f"{n} {severity}{'s' * (n > 1)}" for severity, n in counts.items())
    parts = ((report.segments, "segment"), (report.samples, "sample"), (report.logs, "log"))
    seen = ", ".join(f"{n:,} {what}{'s' * (n != 1)}" for n, what in parts) + f", {size_text(report.bytes)}"
    which = f"engine {engine}: " if engine else ""
    verdict = "all is well" if report.ok and not found else f"all is well ({found})" if report.ok else found
    typer.echo(f"{which}{verdict}; looked at {seen}")


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(verify)
