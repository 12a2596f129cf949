"""A client of a line of N1470 boards: keeps the connection, reads all boards, writes and verifies. No EPICS.

`Driver.run` connects, asks each board who it is, and then reads one board after the other, for ever. It tells a
`Listener` what it learns. A board that does not answer is left out and probed from time to time, so that it costs the
others little; when nobody answers any more, the connection is given up and made again.

Errors are those of `iocs.hv.protocol`: DeviceError > {Timeout, Disconnected, Rejected, BadReply}.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from iocs.hv.board import (
    MOVES,
    RANGED,
    BoardSpec,
    Identity,
    Range,
    Reading,
    Setting,
    believable,
    learn_widths,
    order,
    read_back,
    verify,
)
from iocs.hv.line import Complaints, Counters, Line, Priority
from iocs.hv.protocol import (
    PARAMETERS,
    BadReply,
    DeviceError,
    Disconnected,
    Kind,
    Rejected,
    Request,
    Status,
    Timeout,
    decode,
    mon,
)

__all__ = [
    "BadReply", "BoardSpec", "DeviceError", "Disconnected", "Driver", "Identity", "Listener", "Options", "Range",
    "Reading", "Rejected", "Setting", "Status", "Timeout",
]  # fmt: skip

MEASURED = ("VMON", "IMRANGE", "IMON", "BDCTR", "STAT", "BDILK", "BDALARM")
"""Read every period. Numbers and words take turns, so that a reply too many or too few never fits all the way."""
SETTINGS = ("PDWN", "VSET", "POL", "ISET", "BDILKM", "MAXV", "BDCTR", "RUP", "PDWN", "RDW", "BDILK", "TRIP")
"""Read every settings period, after the measured values."""

PROBE_PERIOD = 2.0
"""Seconds between probes of boards that do not answer."""
SWEEP_PERIOD = 0.1
"""The same, in the first round after a connect."""
SILENT_PROBES = 3
"""Probes without an answer, with no board known to be there, after which the connection is made anew."""
BACK_OFF = (0.2, 0.5, 1.0)
"""Seconds to wait after the first, second, ... failed connect."""
CONNECT_TIMEOUT = 1.0
_WRITE_RETRIES = 3
_READ_TRIES = 3
_BAD_POLLS = 4
"""Polls in a row without a usable answer after which a board is asked anew who it is."""


@dataclass(frozen=True)
class Options:
    """Times in seconds; see `iocs.hv.config.LineConfig`."""

    period: float = 0.5
    settings_period: float = 2.0
    timeout: float = 0.4
    pipeline: int = 24
    baud: int = 9600


class Listener(Protocol):
    """Who wants to know. All calls come from the event loop's tasks, one at a time for a board."""

    async def contact(self, board: str, identity: Identity, reading: Reading) -> None:
        """A board has answered for the first time, or again: who it is, and all its values."""
        ...

    async def reading(self, board: str, reading: Reading) -> None:
        """Values of a board, read in one go; not always all of them."""
        ...

    async def lost(self, boards: Sequence[str], error: DeviceError) -> None:
        """Nothing is known of boards any more (Timeout, Disconnected), or of their values (BadReply, Rejected)."""
        ...

    async def cycle(self, seconds: float) -> None:
        """All boards have been read, in `seconds`."""
        ...


class Driver:
    """The line."""

    def __init__(
        self,
        address: Callable[[], str],
        boards: Sequence[BoardSpec],
        listener: Listener,
        options: Options | None = None,
    ) -> None:
        self.counters = Counters()
        self.boards = {board.name: board for board in boards}
        self._address, self._listener = address, listener
        self._options = options or Options()
        self._complaints = Complaints()
        self._line: Line | None = None
        self._identities: dict[str, Identity] = {}
        self._present: list[BoardSpec] = []
        self._absent: deque[BoardSpec] = deque(boards)
        self._why: dict[str, DeviceError] = {name: Disconnected("not connected yet") for name in self.boards}
        self._writes = dict.fromkeys(self.boards, 0)
        self._silent_probes = 0
        self._drops, self._dropped = 0, ""
        self._doubtful: set[str] = set()
        self._bad_polls = dict.fromkeys(self.boards, 0)

    # --- the connection

    async def run(self) -> None:
        """Keep the line connected and read, until cancelled."""
        failures = 0
        while True:
            try:
                line = await self._connect()
                await self._serve(line)
            except DeviceError as error:
                failures = 0 if self._present else failures + 1
                await self._all_lost(error)
            self.counters.reconnects += 1
            await asyncio.sleep(BACK_OFF[min(failures, len(BACK_OFF) - 1)])

    async def _connect(self) -> Line:
        try:
            line = await Line.connect(
                self._address(),
                depth=self._options.pipeline,
                timeout=self._options.timeout,
                connect_timeout=CONNECT_TIMEOUT,
                baud=self._options.baud,
                counters=self.counters,
                complaints=self._complaints,
            )
        except (ConnectionError, ValueError) as error:
            raise Disconnected(str(error)) from error
        line.marker = self._marker
        return line

    async def _serve(self, line: Line) -> None:
        """Use the connection until it ends; raises why it ended."""
        self._line = line
        exchange = asyncio.create_task(line.run(), name="hv line")
        poll = asyncio.create_task(self._poll(line), name="hv poll")
        try:
            await asyncio.wait((exchange, poll), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._line = None
            ended = poll if poll.done() else exchange
            exchange.cancel()
            poll.cancel()
            results = await asyncio.gather(exchange, poll, return_exceptions=True)
        for result in (results[1], results[0]):
            # a fault of the program is told before the Disconnected that it may have led to
            if isinstance(result, Exception) and not isinstance(result, DeviceError):
                raise result
        await ended

    async def _all_lost(self, error: DeviceError) -> None:
        for board in self._present:
            self._absent.append(board)
        self._present = []
        await self._lost(list(self.boards), error)

    async def _lost(self, names: Sequence[str], error: DeviceError) -> None:
        self._why.update(dict.fromkeys(names, error))
        await self._listener.lost(names, error)

    def _marker(self, suspect: int) -> tuple[tuple[Request, tuple[str, ...] | None], ...]:
        """Questions to a board that answered lately, other than `suspect` if there is one."""
        boards = [board for board in self._present if board.address != suspect] or self._present
        address = boards[0].address if boards else suspect
        name, count = ((boards[0].model,), (str(boards[0].channels),)) if boards else (None, None)
        return (mon(address, "BDNAME", 1), name), (mon(address, "BDNCH", 1), count)

    # --- reading

    async def _poll(self, line: Line) -> None:
        """Read all boards, period by period, and look for those that are not there."""
        loop = asyncio.get_running_loop()
        next_settings = next_probe = 0.0
        to_sweep = len(self._absent)
        while True:
            start = loop.time()
            settings = start >= next_settings
            for board in tuple(self._present):
                await self._poll_board(line, board, settings)
            if settings:
                # on a slow line the measured values are read more often all the same
                every = self._options.settings_period
                next_settings = start + max(every - self._options.period / 2, min(4 * (loop.time() - start), 5 * every))
            if self._present:
                await self._listener.cycle(loop.time() - start)
            if self._absent and start >= next_probe:
                to_sweep -= await self._probe(line, len(self._absent))
                next_probe = loop.time() + (SWEEP_PERIOD if to_sweep > 0 else PROBE_PERIOD)
            await asyncio.sleep(max(0.0, start + self._options.period - loop.time()))

    async def _poll_board(self, line: Line, board: BoardSpec, settings: bool) -> None:
        error: DeviceError | None = None
        settings = settings or board.name in self._doubtful
        silences = 0
        for left in reversed(range(_READ_TRIES)):
            writes = self._writes[board.name]
            try:
                reading = await self._read(line, board, settings)
            except Timeout as silence:
                error = silence
                silences += 1
                if silences == 2:
                    break
            except (BadReply, Rejected) as bad:
                error = bad
            else:
                if writes == self._writes[board.name]:
                    self._doubtful.discard(board.name)
                    self._bad_polls[board.name] = 0
                    await self._listener.reading(board.name, reading)
                    return
                # the settings read may be older than those written meanwhile
                if left:
                    continue
                self._doubtful.add(board.name)
                await self._listener.reading(board.name, {name: reading[name] for name in MEASURED})
                return
        if error is None:
            return
        self._doubtful.add(board.name)
        self._bad_polls[board.name] += 1
        if silences or self._bad_polls[board.name] >= _BAD_POLLS:
            self._bad_polls[board.name] = 0
            self._present.remove(board)
            self._absent.append(board)
        await self._lost([board.name], error)

    async def _read(self, line: Line, board: BoardSpec, settings: bool) -> Reading:
        identity = self._identities[board.name]
        parameters = MEASURED + SETTINGS if settings else MEASURED
        requests = [mon(board.address, name, board.channels) for name in parameters]
        # its answer is known: were a reply too many or too few, it would not come in this place
        requests.append(mon(board.address, "BDNAME", board.channels))
        *replies, name = await line.ask(requests, Priority.POLL)
        if name.values != (board.model,):
            raise BadReply(f"{board.name}: a reply too many or too few, or another board: BDNAME is {name.values}")
        return {
            request.parameter: believable(identity, request, reply)
            for request, reply in zip(requests, replies, strict=False)
        }

    async def _probe(self, line: Line, count: int) -> int:
        """Look for absent boards until one is silent; how many were looked for."""
        for number in range(1, count + 1):
            board = self._absent.popleft()
            try:
                await self._contact(line, board)
            except (Timeout, BadReply, Rejected) as error:
                self._absent.append(board)
                await self._lost([board.name], error)
                if isinstance(error, Rejected):
                    continue
                self._silent_probes += 1
                if not self._present and self._silent_probes >= min(SILENT_PROBES, len(self.boards)):
                    self._silent_probes = 0
                    raise Disconnected(f"no board answers ({error})") from error
                return number
            except BaseException:
                self._absent.append(board)
                raise
            self._silent_probes = 0
        return count

    async def _contact(self, line: Line, board: BoardSpec) -> None:
        """Ask a board who it is, and all its values. Rejected when it is not the one of the map."""
        (reply,) = await line.ask([mon(board.address, "BDNAME", 1)], Priority.POLL, probe=True)
        if reply.values != (board.model,):
            raise Rejected(
                f"{board.name}: board {board.address} is {'-'.join(reply.values or (str(reply.error),))!r}, "
                f"the map says {board.model!r}"
            )
        facts = ("BDNCH", "BDFREL", "BDSNUM", "BDNAME")
        replies = await line.ask([mon(board.address, name, 1) for name in facts], Priority.POLL, retries=1)
        if replies[0].values != (str(board.channels),):
            raise Rejected(f"{board.name}: the board has {replies[0].values} channels, the map says {board.channels}")
        firmware, serial = ("".join(reply.values or ()) for reply in replies[1:3])
        ranges, widths = await self._ranges(line, board), await self._widths(line, board)
        self._identities[board.name] = Identity(board.model, board.channels, firmware, serial, ranges, widths)
        reading = await self._read(line, board, settings=True)
        self._present.append(board)
        await self._listener.contact(board.name, self._identities[board.name], reading)

    async def _ranges(self, line: Line, board: BoardSpec) -> dict[str, tuple[Range, ...]]:
        result = {}
        for name in RANGED:
            parameter = PARAMETERS[name]
            names = (parameter.lowest, "BDNAME", parameter.highest, "BDCTR", parameter.decimals, "BDNAME")
            requests = [mon(board.address, str(each), board.channels) for each in names]
            replies = await line.ask(requests, Priority.POLL, retries=1)
            low, _, high, _, places, _ = (
                decode(request, reply) for request, reply in zip(requests, replies, strict=True)
            )
            result[name] = tuple(
                Range(float(lowest), float(highest), int(decimals))
                for lowest, highest, decimals in zip(low, high, places, strict=True)
            )
            if any(r.lowest >= r.highest or r.decimals > 4 for r in result[name]):
                raise BadReply(f"{board.name}: no range of {name}: {result[name]}")
        return result

    async def _widths(self, line: Line, board: BoardSpec) -> dict[str, int]:
        names = ("STAT", "BDNAME", "BDALARM", "VMON", "BDCTR", "IMON", *RANGED)
        requests = [mon(board.address, name, board.channels) for name in (*names, "BDNAME")]
        learned = [learn_widths(names, (await line.ask(requests, Priority.POLL, retries=1))[:-1]) for _ in range(2)]
        if learned[0] != learned[1]:
            raise BadReply(f"{board.name}: the numbers change their width")
        return {
            name: width for name, width in learned[0].items() if PARAMETERS[name].kind in (Kind.NUMBER, Kind.INTEGER)
        }

    # --- writing

    def drop_writes(self, reason: str) -> None:
        """All writes that are not urgent fail with Rejected(`reason`); what has not gone out yet never will."""
        self._dropped = reason
        self._drops += 1
        if self._line is not None:
            self._line.drop_writes(reason)

    async def write(self, settings: Sequence[Setting], *, urgent: bool = False) -> dict[Setting, DeviceError]:
        """Write `settings`, in order for each board, and read back what was written; what failed, and why.

        Empty: the boards have all of it, and the listener has been told. `urgent` goes ahead of every other write.
        """
        by_board: dict[str, list[Setting]] = {}
        for setting in settings:
            by_board.setdefault(setting.board, []).append(setting)
        results = await asyncio.gather(*(self._write_board(name, its, urgent) for name, its in by_board.items()))
        return {setting: error for result in results for setting, error in result.items()}

    async def _write_board(self, name: str, settings: list[Setting], urgent: bool) -> dict[Setting, DeviceError]:
        board = self.boards[name]
        line, identity = self._line, self._identities.get(name)
        if line is None or identity is None or board not in self._present:
            error = Disconnected(f"{name} is not connected: {self._why[name]}")
            return dict.fromkeys(settings, error)
        failed: dict[Setting, DeviceError] = {}
        orders: list[tuple[Setting, Request]] = []
        for setting in settings:
            try:
                orders.append((setting, order(board, identity, setting)))
            except Rejected as error:
                failed[setting] = error
        if not orders:
            return failed
        self._writes[name] += 1
        drops = self._drops
        checks = dict.fromkeys(c for setting, _ in orders if (c := read_back(setting)) is not None)
        checks |= dict.fromkeys(MOVES[check] for check in checks if check in MOVES)
        questions = [mon(board.address, each, board.channels) for each in (*checks, "BDNAME")]
        priority = Priority.URGENT if urgent else Priority.WRITE
        try:
            # two jobs: so the orders to all boards go out before the first is read back
            replies = await line.ask([request for _, request in orders], priority, retries=_WRITE_RETRIES)
            if drops != self._drops and not urgent:
                raise Rejected(self._dropped)
            answers = await line.ask(questions, priority, retries=_WRITE_RETRIES)
            back = {
                request.parameter: believable(identity, request, reply)
                for request, reply in zip(questions[:-1], answers, strict=False)
            }
        except DeviceError as error:
            return failed | dict.fromkeys((setting for setting, _ in orders), error)
        for (setting, request), reply in zip(orders, replies, strict=False):
            problem = verify(identity, setting, request, reply, back)
            if problem is not None:
                failed[setting] = problem
        if back:
            await self._listener.reading(name, back)
        return failed
