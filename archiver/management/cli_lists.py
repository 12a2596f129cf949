"""`owl archive state|report|policies|audit`: what management says of PVs, and who changed what."""

from __future__ import annotations

from typing import Annotated

import typer

from archiver.commands.common import PvsArgument, SiteOption, UrlOption
from archiver.management.cli_common import TokenOption, archiver_of, show_done, show_rows
from owlshift.commands.common import JsonOption, fail
from owlshift.commands.output import print_json, print_table

REPORTS = {
    "never-connected": "getNeverConnectedPVs",
    "disconnected": "getCurrentlyDisconnectedPVs",
    "silent": "getSilentPVsReport",
    "paused": "getPausedPVsReport",
    "event-rate": "getEventRateReport",
    "storage-rate": "getStorageRateReport",
    "storage": "getPVsByStorageConsumed",
    "dropped": "getDroppedEventsReport",
    "lost-connections": "getLostConnectionsReport",
    "added": "getRecentlyAddedPVs",
    "modified": "getRecentlyModifiedPVs",
    "waveforms": "getArchivedWaveforms",
    "time-span": "getTimeSpanReport",
}


def state(
    pvs: PvsArgument,
    as_json: JsonOption = False,
    url: UrlOption = None,
    site: SiteOption = None,
    token: TokenOption = None,
) -> None:
    """Say whether and how PVs are archived."""
    with archiver_of(url, site, token) as remote:
        rows = remote.bulk("getPVStatus", pvs)
    if as_json:
        print_json(rows)
        return
    if not rows:
        fail("no archived PV fits")
    body = [
        [
            row["pvName"],
            row["status"],
            {"true": "connected", "false": "disconnected"}.get(row.get("connectionState", ""), ""),
            {"true": "every event", "false": f"every {row.get('samplingPeriod')} s"}.get(
                row.get("isMonitored", ""), ""
            ),
            row.get("lastEvent", ""),
        ]
        for row in rows
    ]
    print_table(["PV", "status", "connection", "sampling", "last event"], body)


def report(
    name: Annotated[str | None, typer.Argument(metavar="REPORT", show_default=False, help="Which one.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", help="Rows at most; 0: all.")] = 50,
    as_json: JsonOption = False,
    url: UrlOption = None,
    site: SiteOption = None,
) -> None:
    """Print a report of PVs; without a name list the reports."""
    if name is None:
        if as_json:
            print_json(list(REPORTS))
        else:
            typer.echo("\n".join(REPORTS))
        return
    if name not in REPORTS:
        raise typer.BadParameter(f"there is no report {name!r}; there are {', '.join(REPORTS)}", param_hint="REPORT")
    with archiver_of(url, site, None) as remote:
        show_rows(remote.call(REPORTS[name], limit=limit), as_json)


def policies(
    apply: Annotated[list[str] | None, typer.Option("--apply", help="Look up the policies of these PVs again.")] = None,
    reset: Annotated[bool, typer.Option("--reset", help="And give up what users had set for them.")] = False,
    as_json: JsonOption = False,
    url: UrlOption = None,
    site: SiteOption = None,
    token: TokenOption = None,
) -> None:
    """List the policies, or apply them again (--apply GLOB)."""
    if reset and not apply:
        raise typer.BadParameter("say for which PVs: --apply GLOB --reset", param_hint="--reset")
    with archiver_of(url, site, token) as remote:
        if apply:
            show_done(remote.call("reapplyPolicies", apply, keepuser="false" if reset else "true"), as_json)
            return
        found = remote.call("getPolicyList")
        show_rows(found if as_json else [{"policy": key, "what": text} for key, text in found.items()], as_json)


def audit(
    pv: Annotated[str | None, typer.Option("--pv", help="Only of this PV.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="Only by this user.")] = None,
    refused: Annotated[bool, typer.Option("--refused", help="Only what was refused.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", help="Rows at most.")] = 50,
    as_json: JsonOption = False,
    url: UrlOption = None,
    site: SiteOption = None,
) -> None:
    """Say who changed what is archived, newest first."""
    import json

    with archiver_of(url, site, None) as remote:
        rows = remote.ask("/api/audit", pv=pv, user=user, limit=limit, refused="true" if refused else None)
    if as_json:
        print_json(rows)
        return
    body = []
    for row in rows:
        what = [json.dumps(row[key]) if row[key] is not None else "" for key in ("before", "after")]
        note = f"refused: {row['refused']}" if row["refused"] else " -> ".join(text for text in what if text)
        body.append([row["time"], f"{row['user']}@{row['host']}", row["what"], row["pv"] or "", note])
    print_table(["time", "who", "what", "PV", "before -> after"], body)
