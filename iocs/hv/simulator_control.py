"""Faults on demand: a TCP port where each line is a JSON object, answered by one.

`{"do": "load", "target": "L07", "megohms": 5}` is answered with `{"ok": true}`, or with
`{"ok": false, "error": "why"}`.
A target is an alias (L07), a channel (B1C2), a board (B1: all its channels) or `all`.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import inspect
import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from iocs.hv.model import Board
from iocs.hv.model_channel import Channel, Status
from iocs.hv.simulator import Cable, Simulator
from iocs.hv.simulator_faults import Distortion, Rule

MAX_REQUEST = 65536
_Choice = TypeVar("_Choice", bound=enum.Enum)
_PLACE = re.compile(r"(.+?)C([0-9]+)", re.IGNORECASE)


class ControlError(Exception):
    """A request that makes no sense; its text says why."""


class Control:
    """Carries out requests on a simulator.

    `aliases` names channels (board number, channel number); `boards` names boards (default B0, B1, ... by number).
    """

    def __init__(
        self,
        simulator: Simulator,
        aliases: Mapping[str, tuple[int, int]] | None = None,
        boards: Mapping[str, int] | None = None,
    ) -> None:
        self._simulator = simulator
        self._aliases = dict(aliases or {})
        self._boards = dict(boards or {f"B{number}": number for number in simulator.line.boards})
        self._by_alias = {name.upper(): place for name, place in self._aliases.items()}
        self._by_board = {name.upper(): number for name, number in self._boards.items()}
        self._actions: dict[str, Callable[..., Any]] = {
            name.removeprefix("do_"): method
            for name, method in inspect.getmembers(self, inspect.ismethod)
            if name.startswith("do_")
        }
        self._server: asyncio.Server | None = None

    async def listen(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Serve requests and return the address `tcp://host:port`."""
        self._server = await asyncio.start_server(self._client, host, port, limit=MAX_REQUEST)
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"tcp://{host}:{port}"

    async def close(self) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.close()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ValueError, asyncio.CancelledError):  # ValueError: an endless line
            while line := await reader.readline():
                reply = await self.handle(line)
                writer.write(json.dumps(reply).encode() + b"\n")
                await writer.drain()
        writer.close()

    async def handle(self, line: bytes) -> dict[str, Any]:
        """Carry out one request; the answer has `ok`, and `error` when that is false."""
        try:
            return {"ok": True, **(await self._carry_out(line) or {})}
        except ControlError as error:
            return {"ok": False, "error": str(error)}

    async def _carry_out(self, line: bytes) -> dict[str, Any] | None:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ControlError(f"not JSON: {error}") from error
        if not isinstance(request, dict) or not isinstance(request.get("do"), str):
            raise ControlError('a request is an object with "do"')
        action = self._actions.get(request.pop("do"))
        if action is None:
            raise ControlError(f"no such request; there are: {', '.join(sorted(self._actions))}")
        try:
            inspect.signature(action).bind(**request)
        except TypeError as error:
            raise ControlError(str(error)) from error
        self._simulator.clock.advance(0.0)
        result = action(**request)
        return await result if inspect.isawaitable(result) else result

    # --- the line

    async def do_cable(self, state: Any) -> None:
        """Pull (`pulled`: refused; `silent`: unanswered) or plug (`plugged`) the cable."""
        await self._simulator.set_cable(_choice("state", state, Cable))

    def do_slow(self, seconds: Any, per_byte: Any = False) -> None:
        """Delay every reply, or every byte of it, by `seconds`."""
        faults = self._simulator.faults
        faults.delay, faults.per_byte = _number("seconds", seconds, 0, 600), _bool("per_byte", per_byte)

    def do_spoil(self, how: Any, probability: Any = 1.0, count: Any = None, board: Any = None) -> None:
        """Spoil `count` replies (default: all until `clear`) of `board` (default: all); `how` is a `Distortion`."""
        self._simulator.faults.rules.append(
            Rule(
                _choice("how", how, Distortion),
                _number("probability", probability, 0, 1),
                None if count is None else int(_number("count", count, 1, 1e9)),
                None if board is None else self._board(board).number,
            )
        )

    def do_clear(self) -> None:
        """Make the line healthy: no delay, nothing spoiled. The cable stays as it is."""
        self._simulator.faults.clear()

    # --- boards

    def do_power(self, board: Any, action: Any, boot: Any = 2.0) -> None:
        """Switch a board `off` or `on` or both (`cycle`); it answers `boot` model seconds after that."""
        seconds = _number("boot", boot, 0, 3600)
        if action not in ("off", "on", "cycle"):
            raise ControlError(f"action is off, on or cycle, not {action!r}")
        for one in self._boards_of(board):
            if action != "on":
                one.power_off()
            if action != "off":
                one.power_on(seconds)

    def do_interlock(self, board: Any, on: Any) -> None:
        """Let the interlock act, or release it."""
        active = _bool("on", on)
        for one in self._boards_of(board):
            one.set_interlock(active)

    def do_local(self, board: Any, on: Any) -> None:
        """Turn the front panel's switch to LOCAL, or to REMOTE."""
        local = _bool("on", on)
        for one in self._boards_of(board):
            one.local = local

    def do_fail(self, board: Any, what: Any, on: Any = True) -> None:
        """A failing supply (`power`: PWFAIL, outputs off) or HV clock (`clock`: HVCKFAIL), or its end."""
        failing = _bool("on", on)
        if what not in ("power", "clock"):
            raise ControlError(f"what is power or clock, not {what!r}")
        for one in self._boards_of(board):
            if what == "power":
                one.set_power_fail(failing)
            else:
                one.clock = 180.0 if failing else 200.0

    # --- channels

    def do_load(self, target: Any, megohms: Any, leakage: Any = None) -> None:
        """Change the load: `megohms`, null = nothing connected, 0 = short circuit; `leakage` in uA per kV."""
        resistance = math.inf if megohms is None else _number("megohms", megohms, 0, 1e12)
        leak = None if leakage is None else _number("leakage", leakage, 0, 1e6)
        for channel in self._channels(target):
            channel.set_load(resistance, leak)

    def do_spark(self, target: Any, seconds: Any = 0.1, factor: Any = 10.0) -> None:
        """A spark now: the load draws `factor` times its current for `seconds`."""
        duration, times = _number("seconds", seconds, 1e-6, 3600), _number("factor", factor, 1, 1e9)
        for channel in self._channels(target):
            channel.spark(duration, times)

    def do_temperature(self, target: Any, celsius: Any = None) -> None:
        """Heat channels to `celsius` and keep the air there; null: let them cool to the usual 30 degC."""
        value = None if celsius is None else _number("celsius", celsius, -40, 400)
        for channel in self._channels(target):
            if value is None:
                channel.cool()
            else:
                channel.heat(value)

    def do_disable(self, target: Any, on: Any) -> None:
        """Set the channel's enable switch to DIS, or back."""
        for channel in self._channels(target):
            channel.set_disabled(_bool("on", on))

    def do_kill(self, target: Any, on: Any) -> None:
        """Hold the channel's KILL input, or release it."""
        for channel in self._channels(target):
            channel.set_killed(_bool("on", on))

    def do_nocal(self, target: Any, on: Any) -> None:
        """Lose the channel's calibration, or find it."""
        for channel in self._channels(target):
            channel.nocal = _bool("on", on)

    # --- the world

    def do_noise(self, volts: Any = None, microamps: Any = None, sparks: Any = None) -> None:
        """Standard deviations of VMON and IMON, and sparks per channel and second; what is left out stays."""
        noise = self._simulator.line.noise
        if volts is not None:
            noise.volts = _number("volts", volts, 0, 1e4)
        if microamps is not None:
            noise.microamps = _number("microamps", microamps, 0, 1e4)
        if sparks is not None:
            noise.sparks = _number("sparks", sparks, 0, 100)

    def do_seed(self, seed: Any) -> None:
        """Start the random numbers of the model and of the faults again."""
        value = int(_number("seed", seed, -(2**53), 2**53))
        self._simulator.line.seed(value)
        self._simulator.faults.random.seed(value)

    def do_speed(self, factor: Any) -> None:
        """Model seconds per second."""
        self._simulator.clock.speed = _number("factor", factor, 0, 1000)

    def do_status(self) -> dict[str, Any]:
        """Everything there is to see."""
        simulator = self._simulator
        faults, counters, noise = simulator.faults, simulator.counters, simulator.line.noise
        names = {place: alias for alias, place in self._aliases.items()}
        board_names = {number: name for name, number in self._boards.items()}
        return {
            "address": simulator.address,
            "time": round(simulator.line.time, 3),
            "speed": simulator.clock.speed,
            "cable": simulator.cable.value,
            "clients": len(simulator.clients),
            "counters": dict(vars(counters)),
            "slow": {"seconds": faults.delay, "per_byte": faults.per_byte},
            "spoil": [
                {"how": r.distortion.value, "probability": r.probability, "count": r.left, "board": r.board}
                for r in faults.rules
            ],
            "noise": {"volts": noise.volts, "microamps": noise.microamps, "sparks": noise.sparks},
            "boards": [
                {
                    "name": board_names.get(board.number, f"B{board.number}"),
                    "number": board.number,
                    "running": board.running,
                    "local": board.local,
                    "interlocked": board.interlocked,
                    "alarm": board.alarm,
                    "channels": [_channel_status(c, names.get((board.number, c.number))) for c in board.channels],
                }
                for board in simulator.line.boards.values()
            ],
        }

    # --- names

    def _board(self, name: Any) -> Board:
        text = str(name).upper()
        number = self._by_board.get(text)
        if number is None and text.removeprefix("B").isdecimal():
            number = int(text.removeprefix("B"))
        board = None if number is None else self._simulator.line.boards.get(number)
        if board is None:
            raise ControlError(f"no board {name!r}; there are: {', '.join(self._boards)}")
        return board

    def _boards_of(self, name: Any) -> list[Board]:
        return list(self._simulator.line.boards.values()) if name == "all" else [self._board(name)]

    def _channels(self, name: Any) -> list[Channel]:
        if name == "all":
            return list(self._simulator.line.channels())
        text = str(name).upper()
        if text in self._by_alias:
            number, channel = self._by_alias[text]
            return [self._simulator.line.boards[number].channels[channel]]
        with contextlib.suppress(ControlError):
            return self._board(text).channels
        place = _PLACE.fullmatch(text)
        if place is not None:
            board = self._board(place[1])
            if int(place[2]) < len(board.channels):
                return [board.channels[int(place[2])]]
            raise ControlError(f"board {place[1]} has channels 0 to {len(board.channels) - 1}, not {place[2]}")
        known = ", ".join(self._aliases) or "no aliases here"
        raise ControlError(f"no channel {name!r}; name one as B0C3, or by its alias: {known}")


def _channel_status(channel: Channel, alias: str | None) -> dict[str, Any]:
    status = Status(channel.status)
    megohms = channel.load.megohms
    return {
        "name": alias or f"B{channel.board.number}C{channel.number}",
        "number": channel.number,
        "on": channel.on,
        "vset": channel.vset,
        "vmon": round(channel.vmon, 3),
        "iset": channel.iset,
        "imon": round(channel.imon, 4),
        "status": int(status),
        "bits": [bit.name for bit in status],
        "megohms": None if math.isinf(megohms) else megohms,
        "celsius": round(channel.temperature, 1),
    }


def _number(name: str, value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ControlError(f"{name} is a number from {low:g} to {high:g}, not {value!r}")
    return float(value)


def _bool(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ControlError(f"{name} is true or false, not {value!r}")
    return value


def _choice(name: str, value: Any, kind: type[_Choice]) -> _Choice:
    try:
        return kind(value)
    except ValueError:
        raise ControlError(f"{name} is one of {', '.join(str(one.value) for one in kind)}, not {value!r}") from None
