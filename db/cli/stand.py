"""`owl runkey snapshot, compare, apply, abort, status`: the live stand, through the runkey IOC's PVs."""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from db.cli import complete
from db.cli.common import CommentOption
from owlshift.commands.common import JsonOption, SiteOption, StateOption, YesOption, confirm, fail
from owlshift.commands.output import print_facts, print_json, progress

if TYPE_CHECKING:
    from db.cli.stand_pvs import Outcome, Stand

WAIT = 5.0
"""Seconds that a PV may take to answer."""

RunkeyArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME",
        show_default=False,
        help="A runkey; without it the selected one.",
        autocompletion=complete.names,
    ),
]
SystemOption = Annotated[
    str | None, typer.Option("--system", help="The runkey IOC, where the site has several.", show_default=False)
]
TimeoutOption = Annotated[
    float, typer.Option("--timeout", "-w", min=0, help="Seconds it may take; then it is aborted. 0: any.")
]


def snapshot(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", show_default=False, help="Of the new runkey; without it the IOC makes one."),
    ] = None,
    comment: CommentOption = "",
    as_json: JsonOption = False,
    timeout: TimeoutOption = 0.0,
    system: SystemOption = None,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Store every setting of the live stand as a new runkey of the staging area, and select it."""

    async def work(stand: Stand) -> Outcome:
        await stand.put("SnapshotName", name or "")
        await stand.put("Comment", comment)
        return await stand.run("Snapshot", timeout)

    outcome = _on_stand(work, "snapshot", system, site, state)
    _finish(outcome, as_json, f"stored {outcome.selected!r}, {outcome.digest[:8]}")


def compare(
    name: RunkeyArgument = None,
    as_json: JsonOption = False,
    timeout: TimeoutOption = 0.0,
    system: SystemOption = None,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Say which settings of the live stand are not as a runkey has them. Exit code 1 when one is not."""

    async def work(stand: Stand) -> Outcome:
        await stand.select(name)
        return await stand.run("Compare", timeout)

    outcome = _on_stand(work, "comparing", system, site, state)
    _finish(outcome, as_json, "")
    if outcome.differences:
        raise typer.Exit(1)


def apply(
    name: RunkeyArgument = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Only say what would be written, in its order.")
    ] = False,
    yes: YesOption = False,
    comment: CommentOption = "",
    as_json: JsonOption = False,
    timeout: TimeoutOption = 0.0,
    system: SystemOption = None,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Bring the live stand to what a runkey says: in a safe order, each value verified; what fails is rolled back.

    It says what it will write and asks first. Ctrl-C aborts it and rolls back.
    """

    async def plan(stand: Stand) -> Outcome:
        await stand.select(name)
        return await stand.run("DryRun", timeout)

    async def work(stand: Stand) -> Outcome:
        await stand.select(chosen)
        await stand.put("Comment", comment)
        return await stand.run("Apply", timeout)

    chosen = name
    if dry_run or not yes:
        planned = _on_stand(plan, "planning", system, site, state)
        if dry_run:
            _finish(planned, as_json, planned.plan)
            return
        if not planned.ok:
            _finish(planned, as_json, "")
        chosen = planned.selected
        typer.echo(planned.plan, err=as_json)
        confirm(f"Apply {chosen!r} to the stand?", yes)
    outcome = _on_stand(work, "applying", system, site, state)
    _finish(outcome, as_json, "")


def abort(
    as_json: JsonOption = False, system: SystemOption = None, site: SiteOption = None, state: StateOption = None
) -> None:
    """End what the runkey IOC is doing; an apply is rolled back. Returns when that is done."""

    async def work(stand: Stand) -> Outcome:
        return await stand.run("Abort", 0.0)

    outcome = _on_stand(work, "aborting", system, site, state)
    _finish(outcome, as_json, outcome.message)


def status(
    as_json: JsonOption = False, system: SystemOption = None, site: SiteOption = None, state: StateOption = None
) -> None:
    """Say what is applied, what is selected and what is under way. Exit code 1: a failure, or no database."""
    from db.cli.stand_pvs import STATUS

    async def work(stand: Stand) -> dict[str, Any]:
        return await stand.read(*STATUS)

    found = _on_stand(work, "", system, site, state)
    bad = found["State"] in ("Failed", "Offline")
    if as_json:
        print_json(found)
    else:
        print_facts(_status_facts(found))
    if bad:
        raise typer.Exit(1)


def _status_facts(found: dict[str, Any]) -> list[tuple[str, str]]:
    done = f", {found['Progress']:.0f} %" if found["State"] not in ("Idle", "Failed", "Offline") else ""
    applied = f"{found['Applied']}, {str(found['AppliedHash'])[:8]}" if found["Applied"] else "none"
    valid = "" if found["AppliedValid"] == "Yes" else "not for now: "
    facts = [
        ("state", f"{found['State']}{done}"),
        ("mode", str(found["Mode"])),
        ("message", str(found["Msg"])),
        ("selected", f"{found['Selected']}, {str(found['SelectedHash'])[:8]}" if found["Selected"] else "none"),
        ("applied", applied),
        ("", f"{found['AppliedAt']} by {found['AppliedBy']}" if found["Applied"] else ""),
        ("", str(found["AppliedResult"])),
        ("", f"{valid}{found['AppliedValidity']}" if found["Applied"] else ""),
        ("databases", f"{found['DbConn']}, {found['DbLatency']:.1f} ms"),
        ("not committed", f"{found['StageDirty']}"),
    ]
    return [(key, value) for key, value in facts if value]


def _finish(outcome: Outcome, as_json: bool, text: str) -> None:
    """Say what came of a command; exit code 1 when it failed."""
    if as_json:
        print_json(outcome.plain())
    else:
        if outcome.report and outcome.command != "DryRun":
            typer.echo(outcome.report.rstrip("\n"), err=False)
        if outcome.ok and text:
            typer.echo(text)
    if not outcome.ok:
        fail(outcome.reason)


def _on_stand(work: Any, what: str, system: str | None, site: Path | None, state: Path | None) -> Any:
    """Run something with the stand's PVs; problems end the command with a line."""
    from owlshift.commands.common import open_site, use_site_environment

    found = open_site(site, state)
    use_site_environment(found)  # before a CA library is imported
    from db.cli.stand_pvs import Stand, StandError

    async def main() -> Any:
        from aioca import purge_channel_caches

        try:
            with progress(what) as step:
                return await work(Stand(prefix, step))
        finally:
            purge_channel_caches()

    prefix = _prefix(found, system)
    try:
        return _run(main())
    except StandError as error:
        fail(str(error))


def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    import asyncio

    return asyncio.run(coroutine)


def _prefix(site: Any, system: str | None) -> str:
    """What the runkey IOC's PVs begin with."""
    entries = [entry for entry in site.iocs if entry.kind == "runkey"]
    if system is not None:
        entries = [entry for entry in entries if entry.name == system.lower()]
    if len(entries) != 1:
        have = ", ".join(entry.system for entry in site.iocs if entry.kind == "runkey") or "none"
        fail(f"site {site.name} has {'several runkey IOCs' if entries else 'no such runkey IOC'} ({have})", 2)
    return entries[0].prefix


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (snapshot, compare, apply, abort, status):
        app.command()(command)
