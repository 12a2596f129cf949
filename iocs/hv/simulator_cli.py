"""`owl sim hv`: run the simulated line of N1470 boards, and make it fail on demand."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from iocs.hv.model import Board, Line
from iocs.hv.model_channel import Mask
from iocs.hv.simulator import Simulator
from iocs.hv.simulator_control import Control
from iocs.hv.simulator_ctl import ctl
from owlshift.commands.common import fail, log_to_stderr, open_site
from owlshift.kinds import read_simulator_place, simulator_place, write_simulator_place

app = typer.Typer(no_args_is_help=True, help="The simulated line of CAEN N1470 high-voltage boards.")
app.add_typer(ctl, name="ctl")


@dataclass
class _Plan:
    """The boards of a line and the names of its channels."""

    boards: list[Board]
    names: dict[str, int] | None = None
    aliases: dict[str, tuple[int, int]] = field(default_factory=dict)


def _plan_of_site(site: Any, system: str) -> _Plan:
    from iocs.hv.config import HvConfig

    try:
        entry = site.ioc(system)
    except KeyError as error:
        fail(str(error.args[0]), 2)
    config = entry.config
    if not isinstance(config, HvConfig):
        fail(f"{system} of site {site.name} is of kind {entry.kind}, not hv", 2)
    addresses = {board.name: board.address for board in config.boards}
    boards = {board.name: Board(board.address, channels=board.channels, name=board.model) for board in config.boards}
    for mapped in config.channels:  # boards keep their settings: these are found as the last Init left them
        channel = boards[mapped.board].channels[mapped.ch]
        channel.set_iset(config.idef_of(mapped))
        channel.set_trip(config.init.trip)
        channel.pdwn_ramp = config.init.pdwn == "RAMP"
    return _Plan(
        list(boards.values()),
        addresses,
        {channel.alias: (addresses[channel.board], channel.ch) for channel in config.channels},
    )


@app.command()
def serve(
    site: Annotated[Path | None, typer.Option(help="Take boards and aliases from this site file.")] = None,
    system: Annotated[str, typer.Option(help="The IOC of the site whose hardware this is.")] = "HV",
    state: Annotated[Path | None, typer.Option(help="Where to say where we listen (default: the site's).")] = None,
    host: Annotated[str, typer.Option(help="Interface to listen on.")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="TCP port, 0 = a free one (default 1470; with --site a free one)."),
    ] = None,
    control_port: Annotated[int, typer.Option(min=0, max=65535, help="Port for `ctl`, 0 = a free one.")] = 0,
    boards: Annotated[int, typer.Option(min=1, max=32, help="Boards on the line, without --site.")] = 6,
    pty: Annotated[bool, typer.Option("--pty", help="Serve on a pseudo-terminal instead of TCP.")] = False,
    seed: Annotated[int, typer.Option(help="Of the random numbers.")] = 1,
    speed: Annotated[float, typer.Option(min=0.0, max=1000.0, help="Model seconds per second.")] = 1.0,
    noise: Annotated[bool, typer.Option(help="Noise on VMON (0.05 V) and IMON (0.02 uA).")] = True,
    sparks: Annotated[float, typer.Option(min=0.0, max=100.0, help="Random sparks per channel and second.")] = 0.0,
    mask: Annotated[Mask, typer.Option(help="While ramping where OVV and UNV are not reported.")] = Mask.UP,
    padded: Annotated[bool, typer.Option(help="Send numbers with leading zeros (0012.5), as boards do.")] = True,
) -> None:
    """Serve the boards until SIGTERM or Ctrl-C.

    Prints `ready`, the line's address and the address for `ctl --control`. Speaks the N1470's ASCII protocol: try
    `printf '$BD:00,CMD:MON,CH:4,PAR:VMON\\r\\n' | nc -q1 127.0.0.1 1470`.
    """
    log_to_stderr()
    loaded = None if site is None else open_site(site, state)
    plan = _Plan([Board(number) for number in range(boards)]) if loaded is None else _plan_of_site(loaded, system)
    for board in plan.boards:
        board.mask = mask
    simulator = Simulator(Line(plan.boards), padded=padded, speed=speed)
    levels = simulator.line.noise
    levels.volts, levels.microamps, levels.sparks = (0.05, 0.02, sparks) if noise else (0.0, 0.0, sparks)
    simulator.line.seed(seed)
    simulator.faults.random.seed(seed)
    place = loaded.state if loaded is not None else state.expanduser() if state is not None else None
    line_port = port if port is not None else (0 if loaded is not None else 1470)
    control = Control(simulator, plan.aliases, plan.names)
    try:
        asyncio.run(_serve(simulator, control, host, None if pty else line_port, control_port, place, system))
    except OSError as error:
        fail(f"simulator: {error.strerror or error}")


async def _serve(
    simulator: Simulator,
    control: Control,
    host: str,
    port: int | None,
    control_port: int,
    state: Path | None,
    system: str,
) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        address = simulator.open_pty() if port is None else await simulator.listen(host, port)
        control_address = await control.listen("127.0.0.1", control_port)
        if state is not None:
            write_simulator_place(state, system, address, control_address)
        print(f"ready {address} control {control_address}", flush=True)
        run = asyncio.create_task(simulator.run())
        waiting = asyncio.create_task(stop.wait())
        await asyncio.wait({run, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        run.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await run
    finally:
        if state is not None:
            _forget_place(state, system)
        await control.close()
        await simulator.close()


def _forget_place(state: Path, system: str) -> None:
    """Take our place's file away, so that nobody calls a port that may be another's tomorrow."""
    with contextlib.suppress(ConnectionError, OSError):
        if read_simulator_place(state, system).get("pid") == os.getpid():
            simulator_place(state, system).unlink()


if __name__ == "__main__":
    app()
