"""`owl archive add|pause|resume|change|delete|rename|alias`, and the commands of lists and tokens beside them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from archiver.commands.common import PvsArgument, SiteOption, UrlOption
from archiver.management import cli_tokens
from archiver.management.cli_common import TokenOption, archiver_of, show_done, show_rows
from archiver.management.cli_lists import audit, policies, report, state
from owlshift.commands.common import JsonOption, fail
from owlshift.commands.output import print_json, print_table

if TYPE_CHECKING:
    from archiver.management.remote import Remote

PeriodOption = Annotated[float | None, typer.Option("--period", help="Seconds between two samples, when scanned.")]
MethodOption = Annotated[str | None, typer.Option("--method", help="monitor (every event) or scan.")]
DeadbandOption = Annotated[float | None, typer.Option("--deadband", help="Smaller changes are not kept.")]
PolicyOption = Annotated[str | None, typer.Option("--policy", help="A policy of the site file.")]
ControlOption = Annotated[str | None, typer.Option("--controlling", help="Archive only while this PV is not 0.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `owl archive`."""
    for command in (add, pause, resume, change, delete, rename, alias, state, report, policies, audit):
        app.command()(command)
    app.add_typer(cli_tokens.app, name="token")


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
    with archiver_of(url, site, token) as remote:
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
    with archiver_of(url, site, token) as remote:
        _answers(remote.bulk("pauseArchivingPV", pvs), as_json)


def resume(
    pvs: PvsArgument,
    as_json: JsonOption = False,
    url: UrlOption = None,
    site: SiteOption = None,
    token: TokenOption = None,
) -> None:
    """Archive paused PVs again."""
    with archiver_of(url, site, token) as remote:
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
    with archiver_of(url, site, token) as remote:
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
    with archiver_of(url, site, token) as remote:
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
    with archiver_of(url, site, token) as remote:
        show_done(remote.call("renamePV", pv=old, newname=new), as_json)


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
    with archiver_of(url, site, token) as remote:
        if remove is not None:
            show_done(remote.call("removeAlias", aliasname=remove), as_json)
        elif name is not None:
            show_done(remote.call("addAlias", pv=pv, aliasname=name), as_json)
        else:
            show_rows(remote.call("getAllAliases"), as_json)
