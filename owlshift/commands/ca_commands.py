"""`owl get`, `owl put`, `owl monitor`, `owl pvs`: Channel Access for people, on stock libca (aioca)."""

from __future__ import annotations

import asyncio
import fnmatch
import json
import signal
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from owlshift.commands.common import SiteOption, fail, open_site, use_site_environment
from owlshift.commands.output import print_rich

SEVERITIES = ("", "MINOR", "MAJOR", "INVALID")

TimeoutOption = Annotated[float, typer.Option("--timeout", "-w", min=0.1, help="Seconds to wait.")]
NamesArgument = Annotated[list[str], typer.Argument(metavar="PV", show_default=False)]


def get(
    names: NamesArgument,
    site_file: SiteOption = None,
    timeout: TimeoutOption = 3.0,
    wide: Annotated[bool, typer.Option("--all", "-a", help="Also the time and the alarm.")] = False,
) -> None:
    """Print the values of PVs. Exit code 1 when one does not answer."""
    use_site_environment(open_site(site_file))
    from aioca import FORMAT_CTRL, FORMAT_TIME, caget

    async def read() -> tuple[list[Any], list[Any]]:
        values = await caget(names, format=FORMAT_TIME, timeout=timeout, throw=False)
        controls = await caget(names, format=FORMAT_CTRL, timeout=timeout, throw=False)
        return values, controls

    values, controls = _run(read())
    width = max(map(len, names))
    for value, control in zip(values, controls, strict=True):
        if value.ok:
            typer.echo(_line(value, control, width, wide))
        else:
            typer.echo(f"{value.name}: {_why(value, timeout)}", err=True)
    if not all(value.ok for value in values):
        raise typer.Exit(1)


def put(
    name: Annotated[str, typer.Argument(metavar="PV", show_default=False)],
    value: Annotated[str, typer.Argument(metavar="VALUE", show_default=False)],
    site_file: SiteOption = None,
    wait: Annotated[bool, typer.Option("--complete", "-c", help="Wait until the action is done.")] = False,
    timeout: TimeoutOption = 30.0,
) -> None:
    """Write a PV. Exit code 1, with the reason, when it is refused."""
    use_site_environment(open_site(site_file))
    from aioca import DBR_CHAR_STR, FORMAT_CTRL, FORMAT_TIME, CANothing, caget, caput

    async def write() -> None:
        before = await caget(name, format=FORMAT_CTRL, timeout=min(timeout, 5.0))
        long_text = _is_text(before)
        new = value if long_text else _parse(value, before)
        # A put is always with completion, so that a refusal is seen; without -c only the refusal is waited for.
        try:
            datatype = DBR_CHAR_STR if long_text else None
            await caput(name, new, datatype=datatype, wait=True, timeout=timeout if wait else min(timeout, 2.0))
        except CANothing as error:
            if not wait and error.errorcode == _ECA_TIMEOUT:
                typer.echo(f"{name}: sent; still working (use -c to wait)")
                return
            raise
        after = await caget(name, format=FORMAT_TIME, timeout=5.0)
        typer.echo(f"Old : {_line(before, before, len(name), False)}")
        typer.echo(f"New : {_line(after, before, len(name), False)}")

    try:
        _run(write())
    except CANothing as error:
        fail(f"{name}: {_why(error, timeout)}{_reason(name) if error.errorcode == _ECA_PUTFAIL else ''}")
    except ValueError as error:
        fail(f"{name}: {error}", 2)
    except Exception as error:
        if type(error).__name__ != "CAException":  # no write access is raised by libca's wrapper, in a class of its own
            raise
        fail(f"{name}: {error}")


_ECA_TIMEOUT, _ECA_PUTFAIL = 80, 160  # caerr.h of EPICS base


def _why(error: Any, timeout: float) -> str:
    """What aioca's error says, in an operator's words where libca's are none."""
    if error.errorcode == _ECA_TIMEOUT:
        return f"no answer within {timeout:g} s (no such PV, or its IOC is not running)"
    return str(error).removeprefix(f"{error.name}: ")


def monitor(names: NamesArgument, site_file: SiteOption = None) -> None:
    """Print PVs each time they change, until Ctrl-C."""
    use_site_environment(open_site(site_file))
    from aioca import FORMAT_CTRL, FORMAT_TIME, caget, camonitor

    async def watch() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        controls = dict(zip(names, await caget(names, format=FORMAT_CTRL, timeout=3.0, throw=False), strict=True))
        width = max(map(len, names))

        def show(value: Any) -> None:
            if value.ok:
                typer.echo(_line(value, controls[value.name], width, True))
            else:
                typer.echo(f"{value.name:{width}} {datetime.now():%Y-%m-%d %H:%M:%S.%f} *** disconnected")

        for name in names:
            camonitor(name, show, format=FORMAT_TIME, notify_disconnect=True, all_updates=True)
        await stop.wait()

    _run(watch())


def pvs(
    pattern: Annotated[str, typer.Argument(metavar="GLOB", help="Names, with * and ?.")] = "*",
    site_file: SiteOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="The whole declaration of each PV, as JSON.")] = False,
    names_only: Annotated[bool, typer.Option("--names", help="Just the names.")] = False,
) -> None:
    """List the PVs that the site's IOCs declare, from their catalogues. Exit code 1 when none matches."""
    site = open_site(site_file)
    use_site_environment(site)
    from aioca import DBR_CHAR_STR, caget

    prefixes = site.prefixes()

    async def read() -> list[Any]:
        names = [f"{prefix}IOC:Catalogue" for prefix in prefixes]
        return await caget(names, datatype=DBR_CHAR_STR, timeout=5.0, throw=False)

    found: list[dict[str, Any]] = []
    silent: list[str] = []
    for prefix, answer in zip(prefixes, _run(read()), strict=True):
        if answer.ok:
            found += json.loads(str(answer))["pvs"]
        else:
            silent.append(prefix)
    found = [pv for pv in found if fnmatch.fnmatchcase(pv["name"], pattern)]
    if as_json:
        typer.echo(json.dumps(found, indent=1))
    elif names_only:
        for pv in found:
            typer.echo(pv["name"])
    elif found:
        _print_pvs(found)
    for prefix in silent:
        typer.echo(f"owl: the IOC of {prefix} does not answer (is the site running? `owl status`)", err=True)
    if not found:
        if not silent:
            fail(f"no PV matches {pattern!r}")
        raise typer.Exit(1)
    if silent:
        raise typer.Exit(1)


def _print_pvs(found: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "kind", "type", "units", "limits", "description"):
        table.add_column(heading, no_wrap=heading == "name")
    for pv in found:
        limits = pv.get("control") or pv.get("display")
        shown = f"{limits[0]:g} … {limits[1]:g}" if limits and None not in limits else ""
        kind = pv["type"] if pv.get("count", 1) == 1 else f"{pv['type']}[{pv['count']}]"
        table.add_row(pv["name"], pv["kind"], kind, pv.get("units") or "", shown, pv.get("doc") or "")
    print_rich(table)


def _run(coroutine: Any) -> Any:
    from aioca import purge_channel_caches

    async def main() -> Any:
        try:
            return await coroutine
        finally:
            purge_channel_caches()

    return asyncio.run(main())


def _reason(name: str) -> str:
    """What the IOC itself says of a refusal: the text of its `IOC:Msg`, when it is there."""
    parts = name.split(":")
    from aioca import DBR_CHAR_STR, caget

    async def read() -> str:
        candidates = [":".join([*parts[:n], "IOC:Msg"]) for n in range(1, len(parts))]
        answers = await caget(candidates, datatype=DBR_CHAR_STR, timeout=1.0, throw=False)
        return next((f": {answer}" for answer in answers if answer.ok and str(answer)), "")

    return _run(read())


def _parse(text: str, current: Any) -> Any:
    """The value that `text` means for a PV whose present value is `current`; ValueError when it means none."""
    if getattr(current, "enums", None):
        if text in current.enums:
            return text
        if text.isdigit():
            return int(text)
        raise ValueError(f"{text!r} is no state of it; it has {', '.join(current.enums)}")
    if getattr(current, "dtype", None) is not None or isinstance(current, (int, float)):
        try:
            return float(text) if not text.lstrip("+-").isdigit() else int(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a number") from None
    return text


def _line(value: Any, control: Any, width: int, wide: bool) -> str:
    enums = getattr(control, "enums", None)
    number = _number(value)
    if enums and isinstance(number, int) and 0 <= number < len(enums):
        shown = enums[number]
    elif isinstance(number, float) and getattr(control, "precision", None) is not None:
        shown = f"{number:.{control.precision}f}"
    elif getattr(value, "size", 1) != 1:
        shown = _array_text(value)
    else:
        shown = str(value)
    units = getattr(control, "units", "")
    text = f"{shown} {units}".rstrip()
    if not wide:
        return f"{value.name:{width}} {text}"
    stamp = datetime.fromtimestamp(value.timestamp)
    alarm = SEVERITIES[value.severity] if 0 <= value.severity < len(SEVERITIES) else str(value.severity)
    return f"{value.name:{width}} {stamp:%Y-%m-%d %H:%M:%S.%f} {text} {alarm}".rstrip()


def _number(value: Any) -> int | float | None:
    return value if isinstance(value, (int, float)) else None


def _is_text(value: Any) -> bool:
    """Whether it is a char waveform: text of more than 39 bytes."""
    dtype = getattr(value, "dtype", None)
    return dtype is not None and dtype.kind in "iu" and dtype.itemsize == 1


def _array_text(value: Any) -> str:
    if _is_text(value):
        return bytes(value.tobytes()).split(b"\0", 1)[0].decode("utf-8", "replace")
    return f"{value.size} " + " ".join(str(item) for item in value)
