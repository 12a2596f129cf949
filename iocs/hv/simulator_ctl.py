"""`owl sim hv ctl`: make a running simulator fail, or look at it. A thin skin over the JSON control port."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from iocs.hv.simulator import Cable
from iocs.hv.simulator_faults import Distortion
from owlshift.commands.common import fail as fail_with
from owlshift.commands.common import open_site
from owlshift.kinds import read_simulator_place

ctl = typer.Typer(no_args_is_help=True, help="Make a running simulator fail, or look at it.")
cable = typer.Typer(no_args_is_help=True, help="Pull the cable, or plug it in again.")
ctl.add_typer(cable, name="cable")


def _address(text: str) -> tuple[str, int]:
    """Host and port of `[tcp://]host:port`; ValueError otherwise."""
    host, _, port = text.removeprefix("tcp://").rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} is no address; right: 127.0.0.1:1471")
    return host.strip("[]"), int(port)


class _OnOff(StrEnum):
    ON = "on"
    OFF = "off"


class _Power(StrEnum):
    CYCLE = "cycle"
    OFF = "off"
    ON = "on"


class _Part(StrEnum):
    POWER = "power"
    CLOCK = "clock"


@ctl.callback()
def _where(
    context: typer.Context,
    site: Annotated[
        Path | None, typer.Option(envvar="OWLSHIFT_SITE", help="The site whose simulator to reach.")
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(envvar="OWLSHIFT_STATE", help="The running site's state folder (default: the demo's)."),
    ] = None,
    system: Annotated[str, typer.Option(help="The IOC whose hardware is simulated.")] = "HV",
    control: Annotated[str | None, typer.Option(help="HOST:PORT of the control port, as `serve` printed it.")] = None,
) -> None:
    context.obj = (site, state, system, control)


def _find(context: typer.Context) -> tuple[str, int]:
    site, state, system, control = context.obj
    if control is None:
        if site is not None:
            state = open_site(site, state).state
        elif state is None:
            from owlshift.site import default_state

            state = default_state("demo")
        try:
            control = read_simulator_place(Path(state).expanduser(), system)["control"]
        except (ConnectionError, KeyError) as error:
            fail_with(f"{error}; is it running? `--control HOST:PORT` reaches one that was started alone")
    try:
        return _address(control)
    except ValueError as error:
        fail_with(str(error), 2)


def _ask(context: typer.Context, request: Mapping[str, Any]) -> dict[str, Any]:
    host, port = _find(context)
    try:
        with socket.create_connection((host, port), timeout=10) as connection:
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as stream:
                reply = json.loads(stream.readline())
    except (OSError, ValueError) as error:
        fail_with(f"no simulator answers on {host}:{port}: {error}")
    if not reply.get("ok"):
        fail_with(f"refused: {reply.get('error', reply)}")
    return reply


def _tell(context: typer.Context, request: Mapping[str, Any], done: str) -> None:
    _ask(context, request)
    typer.echo(done)


Target = Annotated[str, typer.Argument(help="An alias (L07), a channel (B1C2), a board (B1) or all.")]
BoardName = Annotated[str, typer.Argument(help="A board (B1) or all.")]


@cable.command("pull")
def cable_pull(
    context: typer.Context,
    silent: Annotated[bool, typer.Option("--silent", help="Keep connections, let nothing through.")] = False,
) -> None:
    """Pull it: connections are reset and refused until it is plugged."""
    state = Cable.SILENT if silent else Cable.PULLED
    _tell(context, {"do": "cable", "state": state.value}, f"the cable is {state.value}")


@cable.command("plug")
def cable_plug(context: typer.Context) -> None:
    """Plug it in."""
    _tell(context, {"do": "cable", "state": Cable.PLUGGED.value}, "the cable is plugged")


@ctl.command()
def slow(
    context: typer.Context,
    seconds: Annotated[float, typer.Argument(min=0.0, help="Delay of each reply; 0 = none.")],
    per_byte: Annotated[bool, typer.Option("--per-byte", help="Of each byte: 0.00104 is a line of 9600 baud.")] = False,
) -> None:
    """Delay all replies."""
    _tell(context, {"do": "slow", "seconds": seconds, "per_byte": per_byte}, f"replies take {seconds:g} s")


@ctl.command()
def spoil(
    context: typer.Context,
    how: Annotated[Distortion, typer.Argument(help="What happens to replies.")],
    probability: Annotated[float, typer.Option(min=0.0, max=1.0, help="Of each reply.")] = 1.0,
    count: Annotated[int | None, typer.Option(min=1, help="How many replies (default: until `clear`).")] = None,
    board: Annotated[str | None, typer.Option(help="Only this board's replies.")] = None,
) -> None:
    """Spoil replies.

    garbage: random bytes. half: cut short, without CR LF. cut: cut short, with CR LF. silence: nothing. wrong-board:
    under the next board's number. stale: always the reply before. duplicate: twice. merge: without CR LF.
    """
    request = {"do": "spoil", "how": how.value, "probability": probability, "count": count, "board": board}
    _tell(context, request, f"replies are spoiled: {how.value}")


@ctl.command()
def clear(context: typer.Context) -> None:
    """End `slow` and `spoil`."""
    _tell(context, {"do": "clear"}, "the line is healthy")


@ctl.command()
def power(
    context: typer.Context,
    board: BoardName,
    action: Annotated[_Power, typer.Argument(help="What to do.")] = _Power.CYCLE,
    boot: Annotated[float, typer.Option(min=0.0, help="Seconds until it answers again.")] = 2.0,
) -> None:
    """Switch a board's power: outputs gone, channels off, settings kept."""
    _tell(context, {"do": "power", "board": board, "action": action.value, "boot": boot}, f"{board}: {action.value}")


@ctl.command()
def interlock(context: typer.Context, board: BoardName, on: _OnOff) -> None:
    """Let a board's interlock act, or release it."""
    _tell(context, {"do": "interlock", "board": board, "on": on is _OnOff.ON}, f"{board}: interlock {on.value}")


@ctl.command()
def local(context: typer.Context, board: BoardName, on: _OnOff) -> None:
    """Turn a board's front panel to LOCAL, or back to REMOTE."""
    _tell(context, {"do": "local", "board": board, "on": on is _OnOff.ON}, f"{board}: local {on.value}")


@ctl.command()
def fail(
    context: typer.Context,
    board: BoardName,
    what: _Part,
    on: Annotated[_OnOff, typer.Argument(help="Begin or end it.")] = _OnOff.ON,
) -> None:
    """Let a board's supply (PWFAIL) or HV clock (HVCKFAIL) fail."""
    request = {"do": "fail", "board": board, "what": what.value, "on": on is _OnOff.ON}
    _tell(context, request, f"{board}: {what.value} failure {on.value}")


@ctl.command()
def load(
    context: typer.Context,
    target: Target,
    megohms: Annotated[str, typer.Argument(help="Resistance in MOhm; 0 = short circuit, open = nothing connected.")],
    leakage: Annotated[float | None, typer.Option(min=0.0, help="Leakage in uA per kV.")] = None,
) -> None:
    """Change what hangs on a channel."""
    try:
        value = None if megohms == "open" else float(megohms)
    except ValueError:
        fail_with(f"{megohms!r} is no resistance; right: a number of MOhm, or open", 2)
    request = {"do": "load", "target": target, "megohms": value, "leakage": leakage}
    _tell(context, request, f"{target}: load {'open' if value is None else f'{value:g} MOhm'}")


@ctl.command()
def spark(
    context: typer.Context,
    target: Target,
    seconds: Annotated[float, typer.Option(min=0.0, help="How long it lasts.")] = 0.1,
    factor: Annotated[float, typer.Option(min=1.0, help="How many times the current it draws.")] = 10.0,
) -> None:
    """A spark now."""
    _tell(context, {"do": "spark", "target": target, "seconds": seconds, "factor": factor}, f"{target}: spark")


@ctl.command()
def temperature(
    context: typer.Context,
    target: Target,
    celsius: Annotated[str, typer.Argument(help="degC, or normal. Over 105 a channel switches off.")],
) -> None:
    """Heat channels, or let them cool."""
    try:
        value = None if celsius == "normal" else float(celsius)
    except ValueError:
        fail_with(f"{celsius!r} is no temperature; right: a number of degC, or normal", 2)
    _tell(context, {"do": "temperature", "target": target, "celsius": value}, f"{target}: {celsius} degC")


@ctl.command()
def disable(context: typer.Context, target: Target, on: _OnOff) -> None:
    """Set a channel's enable switch to DIS, or back."""
    _tell(context, {"do": "disable", "target": target, "on": on is _OnOff.ON}, f"{target}: disable {on.value}")


@ctl.command()
def kill(context: typer.Context, target: Target, on: _OnOff) -> None:
    """Hold a channel's KILL input, or release it."""
    _tell(context, {"do": "kill", "target": target, "on": on is _OnOff.ON}, f"{target}: kill {on.value}")


@ctl.command()
def nocal(context: typer.Context, target: Target, on: _OnOff) -> None:
    """Lose a channel's calibration, or find it."""
    _tell(context, {"do": "nocal", "target": target, "on": on is _OnOff.ON}, f"{target}: nocal {on.value}")


@ctl.command()
def noise(
    context: typer.Context,
    volts: Annotated[float | None, typer.Option(min=0.0, help="Standard deviation of VMON, V.")] = None,
    microamps: Annotated[float | None, typer.Option(min=0.0, help="Standard deviation of IMON, uA.")] = None,
    sparks: Annotated[float | None, typer.Option(min=0.0, help="Random sparks per channel and second.")] = None,
) -> None:
    """Set noise and random sparks; what is not given stays."""
    _tell(context, {"do": "noise", "volts": volts, "microamps": microamps, "sparks": sparks}, "noise is set")


@ctl.command()
def seed(context: typer.Context, number: int) -> None:
    """Start the random numbers again."""
    _tell(context, {"do": "seed", "seed": number}, f"seed {number}")


@ctl.command()
def speed(context: typer.Context, factor: Annotated[float, typer.Argument(min=0.0, max=1000.0)]) -> None:
    """Let the model's time run FACTOR times as fast as the clock."""
    _tell(context, {"do": "speed", "factor": factor}, f"speed {factor:g}")


@ctl.command()
def status(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="The whole answer as JSON.")] = False
) -> None:
    """Show boards, channels and active faults."""
    reply = _ask(context, {"do": "status"})
    if as_json:
        typer.echo(json.dumps(reply))
        return
    counters = reply["counters"]
    typer.echo(
        f"{reply['address']}  cable {reply['cable']}  clients {reply['clients']}  requests {counters['requests']}"
        f"  unanswered {counters['unanswered']}  errors {counters['errors']}  speed {reply['speed']:g}"
    )
    if reply["slow"]["seconds"]:
        typer.echo(f"slow: {reply['slow']['seconds']:g} s per {'byte' if reply['slow']['per_byte'] else 'reply'}")
    for rule in reply["spoil"]:
        typer.echo(f"spoil: {rule['how']}, probability {rule['probability']:g}, left {rule['count'] or 'all'}")
    for board in reply["boards"]:
        flags = [name for name in ("local", "interlocked") if board[name]] + ([] if board["running"] else ["no power"])
        typer.echo(f"{board['name']}  alarm {board['alarm']:05d}  {' '.join(flags)}".rstrip())
        for line in _channel_lines(board["channels"]):
            typer.echo(f"  {line}")


def _channel_lines(channels: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = []
    for c in channels:
        load_text = "open" if c["megohms"] is None else f"{c['megohms']:g} MOhm"
        lines.append(
            f"{c['name']:<6} {c['vmon']:8.1f} V of {c['vset']:6.1f}  {c['imon']:9.3f} uA of {c['iset']:7.2f}"
            f"  load {load_text}  {' '.join(c['bits'])}".rstrip()
        )
    return lines
