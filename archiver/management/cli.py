"""`owl archive add|pause|resume|change|delete|rename|alias|state|report|policies|audit|token`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from archiver.commands.common import (
    DEFAULT_URL,
    JsonOption,
    SiteOption,
    UrlOption,
    print_json,
    print_table,
    site_config,
)
from owlshift.commands.common import fail, open_site

if TYPE_CHECKING:
    from archiver.management.remote import Remote

TokenOption = Annotated[
    str | None,
    typer.Option(
        "--token", envvar="OWLSHIFT_ARCHIVE_TOKEN", help="Who you are, where writing needs it.", show_default=False
    ),
]
PvsArgument = Annotated[list[str], typer.Argument(metavar="PV", help="Names, or globs of * and ?.")]
PeriodOption = Annotated[float | None, typer.Option("--period", help="Seconds between two samples, when scanned.")]
MethodOption = Annotated[str | None, typer.Option("--method", help="monitor (every event) or scan.")]
DeadbandOption = Annotated[float | None, typer.Option("--deadband", help="Smaller changes are not kept.")]
PolicyOption = Annotated[str | None, typer.Option("--policy", help="A policy of the site file.")]
ControlOption = Annotated[str | None, typer.Option("--controlling", help="Archive only while this PV is not 0.")]

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
_token_app = typer.Typer(no_args_is_help=True, help="Tokens: who may change what is archived, from where it needs one.")


def register(app: typer.Typer) -> None:
    """Add the commands to `owl archive`."""
    for command in (add, pause, resume, change, delete, rename, alias, state, report, policies, audit):
        app.command()(command)
    app.add_typer(_token_app, name="token")


@contextmanager
def _remote(url: str | None, site: Path | None, token: str | None) -> Iterator[Remote]:
    """The archiver of a command; what goes wrong with it is one line and exit code 1."""
    from archiver.management.remote import ManageError, Remote

    if url is None and site is not None:
        url = f"http://{site_config(site, None)[0].http[0].replace('0.0.0.0', '127.0.0.1')}"
    url = url or DEFAULT_URL
    if not url.startswith(("http://", "https://")):
        raise typer.BadParameter(f"{url!r} is no address; write for example {DEFAULT_URL}", param_hint="--url")
    try:
        yield Remote(url, token)
    except ManageError as error:
        fail(str(error))


def _answers(answers: list[dict[str, str]], as_json: bool, good: tuple[str, ...] = ("ok",)) -> None:
    """What became of each PV; exit code 1 when something was refused."""

    def text(answer: dict[str, str]) -> str:
        return answer.get("validation") or answer.get("desc") or answer.get("status", "")

    if as_json:
        print_json(answers)
    elif len(answers) > 20 and all(answer.get("status") in good for answer in answers):
        typer.echo(f"{len(answers)} PVs: {text(answers[0]) if 'desc' not in answers[0] else 'ok'}")
    else:
        print_table(["PV", "answer"], [[answer.get("pvName", ""), text(answer)] for answer in answers])
    if not answers:
        fail("no archived PV fits")
    if any(answer.get("status") not in good for answer in answers):
        raise typer.Exit(1)


def add(
    pvs: Annotated[list[str] | None, typer.Argument(metavar="PV", help="Names.")] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="Names, one a line; or the list that exportConfig of an Archiver Appliance gives."),
    ] = None,
    period: PeriodOption = None,
    method: MethodOption = None,
    deadband: DeadbandOption = None,
    policy: PolicyOption = None,
    controlling: ControlOption = None,
    other: Annotated[str | None, typer.Option("--alias", help="Another name for the PV.")] = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    site: SiteOption = None,
    token: TokenOption = None,
) -> None:
    """Archive PVs from now on."""
    names, infos = list(pvs or ()), []
    if file is not None:
        more, infos = _read_list(file)
        names += more
    if not names and not infos:
        raise typer.BadParameter("name at least one PV, or a --file with names", param_hint="PV")
    if other is not None and len(names) != 1:
        raise typer.BadParameter("an alias stands for one PV", param_hint="--alias")
    options = {
        "samplingperiod": period,
        "samplingmethod": method,
        "deadband": deadband,
        "policy": policy,
        "controllingPV": controlling,
        "alias": other,
    }
    given = {key: str(value) for key, value in options.items() if value is not None}
    with _remote(url, site, token) as remote:
        if infos:
            _import(remote, infos, as_json)
        if names:
            answers = remote.bulk("archivePV", [{"pv": name, **given} for name in names])
            _answers(answers, as_json, ("Archive request submitted", "Already submitted"))


def _read_list(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """The names in a file, or its PVTypeInfo."""
    import json

    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}")
    if not text.lstrip().startswith("["):
        lines = (
            line.partition("#")[0].strip() if line.lstrip().startswith("#") else line.strip()
            for line in text.splitlines()
        )
        return [line for line in lines if line], []
    try:
        items = json.loads(text)
    except ValueError as error:
        fail(f"{path} is no JSON: {error}")
    if all(isinstance(item, str) for item in items):
        return items, []
    if not all(isinstance(item, dict) for item in items):
        fail(f"{path} is neither a list of names nor one of PVTypeInfo")
    return [], items


def _import(remote: Remote, infos: list[dict[str, Any]], as_json: bool) -> None:
    found = [remote.call("importConfig", infos[start : start + 5000]) for start in range(0, len(infos), 5000)]
    refused = [item for answer in found for item in answer["refused"]]
    if as_json:
        print_json(found)
    else:
        done, there = (sum(int(answer[key]) for answer in found) for key in ("imported", "present"))
        typer.echo(f"{done} PVs are archived from now on; {there} were before; {len(refused)} are refused.")
        if refused:
            print_table(["PV", "answer"], [[item["pvName"], item["status"]] for item in refused])
    if refused:
        raise typer.Exit(1)


def pause(
    pvs: PvsArgument,
    as_json: JsonOption = False,
    url: UrlOption = None,
    site: SiteOption = None,
    token: TokenOption = None,
) -> None:
    """Stop archiving PVs until they are resumed."""
    with _remote(url, site, token) as remote:
        _answers(remote.bulk("pauseArchivingPV", pvs), as_json)


def resume(
    pvs: PvsArgument,
    as_json: JsonOption = False,
    url: UrlOption = None,
    site: SiteOption = None,
    token: TokenOption = None,
) -> None:
    """Archive paused PVs again."""
    with _remote(url, site, token) as remote:
        _answers(remote.bulk("resumeArchivingPV", pvs), as_json)


def change(
    pvs: PvsArgument,
    period: PeriodOption = None,
    method: MethodOption = None,
    deadband: DeadbandOption = None,
    policy: PolicyOption = None,
    controlling: ControlOption = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    site: SiteOption = None,
    token: TokenOption = None,
) -> None:
    """Change how PVs are archived."""
    if all(option is None for option in (period, method, deadband, policy, controlling)):
        raise typer.BadParameter("give --period, --method, --deadband, --policy or --controlling")
    if method is not None and period is None and (deadband, policy, controlling) == (None, None, None):
        period = 1.0
    with _remote(url, site, token) as remote:
        answers = remote.bulk(
            "changeArchivalParameters",
            pvs,
            samplingperiod=period,
            samplingmethod=method,
            deadband=deadband,
            policy=policy,
            controllingPV=controlling,
        )
        _answers(answers, as_json)


def delete(
    pvs: PvsArgument,
    data: Annotated[bool, typer.Option("--data", help="Delete their data too, for ever.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    as_json: JsonOption = False,
    url: UrlOption = None,
    site: SiteOption = None,
    token: TokenOption = None,
) -> None:
    """Archive PVs no more. They must be paused first."""
    if data and not yes:
        if not sys.stdin.isatty():
            fail("deleting data needs --yes where nobody can be asked", 2)
        typer.confirm(f"Delete all data of {', '.join(pvs)}, for ever?", abort=True)
    with _remote(url, site, token) as remote:
        _answers(remote.bulk("deletePV", pvs, deleteData="true" if data else "false"), as_json)


def rename(
    old: Annotated[str, typer.Argument(show_default=False)],
    new: Annotated[str, typer.Argument(show_default=False)],
    as_json: JsonOption = False,
    url: UrlOption = None,
    site: SiteOption = None,
    token: TokenOption = None,
) -> None:
    """Give a paused PV another name; its history stays."""
    with _remote(url, site, token) as remote:
        _done(remote.call("renamePV", pv=old, newname=new), as_json)


def _done(answer: dict[str, str], as_json: bool) -> None:
    if as_json:
        print_json(answer)
    elif answer.get("status") == "ok":
        typer.echo(answer.get("desc", "ok"))
    if answer.get("status") != "ok":
        fail(answer.get("validation") or answer.get("desc") or "refused")


def alias(
    name: Annotated[str | None, typer.Argument(metavar="ALIAS", show_default=False, help="The other name.")] = None,
    pv: Annotated[str | None, typer.Argument(metavar="PV", show_default=False, help="What it stands for.")] = None,
    remove: Annotated[str | None, typer.Option("--remove", help="Take this alias away.")] = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    site: SiteOption = None,
    token: TokenOption = None,
) -> None:
    """Let ALIAS stand for PV; without arguments list all aliases."""
    if (name is None) != (pv is None) or (name is not None and remove is not None):
        raise typer.BadParameter("give ALIAS and PV, or --remove ALIAS, or nothing")
    with _remote(url, site, token) as remote:
        if remove is not None:
            _done(remote.call("removeAlias", aliasname=remove), as_json)
        elif name is not None:
            _done(remote.call("addAlias", pv=pv, aliasname=name), as_json)
        else:
            _rows(remote.call("getAllAliases"), as_json)


def _rows(rows: Any, as_json: bool) -> None:
    """A table of what a call lists."""
    if as_json:
        print_json(rows)
        return
    rows = list(rows.values()) if isinstance(rows, dict) else rows
    if not rows:
        typer.echo("none")
        return
    keys = list(dict.fromkeys(key for row in rows for key in row))
    body = [[str(row.get(key, "")) for key in keys] for row in rows]
    right = [i for i, key in enumerate(keys) if key != "pvName" and all(_is_number(row[i]) for row in body)]
    print_table(keys, body, right)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def state(
    pvs: PvsArgument,
    as_json: JsonOption = False,
    url: UrlOption = None,
    site: SiteOption = None,
    token: TokenOption = None,
) -> None:
    """Say whether and how PVs are archived."""
    with _remote(url, site, token) as remote:
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
    with _remote(url, site, None) as remote:
        _rows(remote.call(REPORTS[name], limit=limit), as_json)


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
    with _remote(url, site, token) as remote:
        if apply:
            _done(remote.call("reapplyPolicies", apply, keepuser="false" if reset else "true"), as_json)
            return
        found = remote.call("getPolicyList")
        _rows(found if as_json else [{"policy": key, "what": text} for key, text in found.items()], as_json)


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

    with _remote(url, site, None) as remote:
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


# tokens: in the file, where the archiver runs


def _tokens_file(site: Path | None) -> Path:
    from archiver.config import ArchiverConfig
    from archiver.management.context import tokens_path

    opened = open_site(site)
    config = opened.services.get("archiver")
    if not isinstance(config, ArchiverConfig):
        fail(f"{opened.path} has no [archiver] section", 2)
    path = tokens_path(opened, config)
    if path is None:
        fail(f'{opened.path} names no file of tokens; add to it: [archiver.access] tokens = "tokens"', 2)
    return path


@_token_app.command("add")
def token_add(user: Annotated[str, typer.Argument(show_default=False)], site: SiteOption = None) -> None:
    """Make a token for a user and print it, this once; only its hash is kept."""
    from archiver.management.access import TokenFileError, add_token

    path = _tokens_file(site)
    try:
        token = add_token(path, user)
    except TokenFileError as error:
        fail(str(error))
    typer.echo(token)
    typer.echo(f"{user}'s token is known in {path}. It is not shown again.", err=True)


@_token_app.command("remove")
def token_remove(user: Annotated[str, typer.Argument(show_default=False)], site: SiteOption = None) -> None:
    """Take all tokens of a user away."""
    from archiver.management.access import TokenFileError, remove_tokens

    path = _tokens_file(site)
    try:
        gone = remove_tokens(path, user)
    except TokenFileError as error:
        fail(str(error))
    if not gone:
        fail(f"{user} has no token in {path}")
    typer.echo(f"{gone} of {user}'s tokens removed")


@_token_app.command("list")
def token_list(as_json: JsonOption = False, site: SiteOption = None) -> None:
    """List who has tokens."""
    from archiver.management.access import TokenFileError, read_tokens

    try:
        users = sorted(user for user, _ in read_tokens(_tokens_file(site)))
    except TokenFileError as error:
        fail(str(error))
    if as_json:
        print_json(users)
    else:
        typer.echo("\n".join(users) or "nobody")
