"""The IOC of a line of N1470 boards: readings become PVs, puts become settings. No bytes, no sockets.

What the device shows is in the `_RBV`s. A setpoint PV takes the device's value at the first contact after the start of
the IOC (nothing is written then), and afterwards keeps what was last asked for, itself or through Mult, Down or Init.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from iocs.hv.config import HvConfig
from iocs.hv.driver import (
    BadReply,
    BoardSpec,
    DeviceError,
    Driver,
    Identity,
    Options,
    Reading,
    Rejected,
    Setting,
    Status,
)
from iocs.hv.mapping import NUMBERS, apply_ranges, board_posts, channel_posts, first_setpoints, setting_of
from iocs.hv.protocol import bit_names
from iocs.hv.pvs import ControlMode, CurrentRange, HvBoard, HvChannel, HvGroup, HvLine, InterlockMode, OnOff, PowerDown
from iocs.hv.ramp import Way, arrival_rates
from owlshift.ioc import AlarmStatus, Ioc, IocState, PutRefused, Pv, Severity
from owlshift.site import IocEntry

DROPPED = "dropped: Down came in between"
STANDING = 5.0
"""V: a channel with less than this to go does not take part in the timing of a ramp."""
_arrived: ContextVar[int] = ContextVar("arrived")
"""The epoch in which the put arrived that is being carried out."""
_TELL = 8
"""Failures that are told one by one."""


def build(entry: IocEntry, address: Callable[[], str]) -> Ioc:
    """The IOC of an entry of the site file; `address()` says where the line is, before every connect."""
    config = entry.config
    if not isinstance(config, HvConfig):
        raise TypeError(f"{entry.system}: the configuration is no HvConfig")
    return HvIoc(entry.prefix, config, address, backend=entry.backend)


class HvIoc(Ioc):
    """High voltage: all boards of one line."""

    def __init__(self, prefix: str, config: HvConfig, address: Callable[[], str], *, backend: str = "") -> None:
        self.config = config
        self.group = HvGroup(self, config)
        self.line = HvLine()
        self.channels = [HvChannel(self, channel, config) for channel in config.channels]
        self.boards = {
            board.name: HvBoard(self, board, [c for c in self.channels if c.board == board.name])
            for board in config.boards
        }
        self.driver = Driver(
            address,
            [BoardSpec(board.name, board.address, board.model, board.channels) for board in config.boards],
            self,
            Options(**config.line.model_dump()),
        )
        self._known: set[str] = set()
        """Boards whose values are good now."""
        self._met: set[str] = set()
        """Boards that have answered since the start."""
        self._told: dict[str, str] = {}
        self._announced: dict[str, list[float]] = {}
        self._action: asyncio.Task[Any] | None = None
        self._downs = 0
        self._epoch = 0
        """Downs so far; a put that arrived in an earlier epoch is not carried out any more."""
        devices = [("", self.group), ("Line:", self.line)]
        devices += [(f"{name}:", board) for name, board in self.boards.items()]
        devices += [(f"{channel.alias}:", channel) for channel in self.channels]
        super().__init__(prefix, devices, backend=backend)

    async def start(self) -> None:
        """Begin to read; nothing is written."""
        self.spawn(self.driver.run(), "hv driver")

    # --- what the driver tells (iocs.hv.driver.Listener)

    async def contact(self, board: str, identity: Identity, reading: Reading) -> None:
        """Publish who a board is, its ranges, and all its values."""
        device = self.boards[board]
        await self.post_many(
            [
                (device.Name, identity.model),
                (device.NCh, identity.channels),
                (device.FwRel, identity.firmware),
                (device.Serial, identity.serial),
            ]
        )
        for channel in device.outputs:
            apply_ranges(channel, identity)
        await self.reading(board, reading)
        # the values first: what follows alarms must not find a board that is there with values that are not
        await self.post(device.Connected, True)
        if board not in self._met:
            self._met.add(board)
            await self.post_many(first_setpoints(device, reading))
        if board in self._told:
            del self._told[board]
            text = f"{board} answers again" if self._told or len(self.boards) == 1 else "all boards answer again"
            self._announce(text, text, logging.INFO)
        await self._count_boards()

    async def reading(self, board: str, reading: Reading) -> None:
        """Publish values of a board."""
        device = self.boards[board]
        if "VMON" in reading:  # all measured values, not only the read-back of a write
            self._known.add(board)
        for channel in device.outputs:
            await self.post_many(channel_posts(channel, reading))
            ranges = reading.get("IMRANGE")
            if ranges is not None:
                unused = channel.IMonH if ranges[channel.number] == "LOW" else channel.IMonL
                await self.invalidate(unused, AlarmStatus.DISABLE)
        await self.post_many(board_posts(device, reading))

    async def lost(self, boards: Sequence[str], error: DeviceError) -> None:
        """Nobody can vouch for the values of these boards."""
        garbled = isinstance(error, BadReply)
        status = AlarmStatus.READ if garbled else AlarmStatus.COMM
        # the same trouble again and again is told once; the numbers in its text may differ
        kind = str(error) if isinstance(error, Rejected) else "read" if garbled else "gone"
        news = [name for name in boards if self._told.get(name) != kind]
        for name in boards:
            device = self.boards[name]
            self._known.discard(name)
            await self.invalidate([*device.live, *(pv for channel in device.outputs for pv in channel.live)], status)
            if not garbled:
                await self.post(device.Connected, False)
            self._told[name] = kind
        await self._publish_group()
        if news:
            who = "all boards" if len(news) == len(self.boards) > 1 else " ".join(news)
            self._announce(who, f"{who}: {error}", logging.WARNING)
        await self._count_boards()

    def _announce(self, who: str, text: str, level: int) -> None:
        """Tell the operator; the log gets what comes of a flapping line twice a minute."""
        now = time.monotonic()
        times = [when for when in self._announced.get(who, []) if now - when < 60.0]
        if len(times) < 2:
            self._announced[who] = [*times, now]
            self.tell(text, level)
        else:
            self.tell(text, logging.DEBUG)

    async def cycle(self, seconds: float) -> None:
        """All boards have been read."""
        counters = self.driver.counters
        await self.post_many(
            [
                (self.line.Connected, any(board.Connected.value for board in self.boards.values())),
                (self.line.CycleTime, seconds),
                (self.line.Timeouts, counters.timeouts),
                (self.line.BadReplies, counters.bad_replies),
                (self.line.Reconnects, counters.reconnects),
            ]
        )
        await self._publish_group()

    async def _count_boards(self) -> None:
        connected = sum(board.Connected.value for board in self.boards.values())
        counters = self.driver.counters
        # the line is there again once all boards have had their turn: those that come with it are no news
        line = connected > 0 and (self.line.Connected.value or connected == len(self.boards))
        await self.post_many(
            [
                (self.line.Boards, connected),
                (self.line.Connected, line),
                (self.line.Timeouts, counters.timeouts),
                (self.line.BadReplies, counters.bad_replies),
                (self.line.Reconnects, counters.reconnects),
            ]
        )
        await self.set_state(IocState.Running if len(self._known) == len(self.boards) else IocState.Degraded)

    async def _publish_group(self) -> None:
        group = self.group
        alarm = None if len(self._known) == len(self.boards) else (AlarmStatus.COMM, Severity.INVALID)
        words = [channel.Status.value for channel in self.channels]
        defined = [channel for channel in self.channels if channel.VDef.value > 0]
        total = sum(channel.VDef.value for channel in defined)
        if total > 0:
            mult = sum(channel.VSet_RBV.value for channel in defined) / total
            await self.post_many([(group.Mult_RBV, mult, alarm)])
        else:
            await self.invalidate(group.Mult_RBV, AlarmStatus.UDF)
        await self.post_many(
            [
                (group.NOn, sum(bool(word & Status.ON) for word in words), alarm),
                (group.NRamping, sum(bool(word & (Status.RUP | Status.RDW)) for word in words), alarm),
                (group.NTripped, sum(bool(word & Status.TRIP) for word in words), alarm),
            ]
        )

    # --- what the PVs ask (iocs.hv.pvs.Actions)

    async def put(self, pv: Pv[Any], value: Any, who: Any) -> None:
        """Carry out a put; see `Ioc.put`."""
        _arrived.set(self._epoch)
        await super().put(pv, value, who)

    def _check_overtaken(self) -> None:
        """PutRefused when a Down has come since the put arrived that is being carried out, or is under way."""
        if self._downs or _arrived.get(self._epoch) != self._epoch:
            raise PutRefused(DROPPED)

    async def set_channel(self, channel: HvChannel, attribute: str, value: float | enum.IntEnum) -> float | None:
        """Write one setting of a channel and read it back; the value as the board has it."""
        self._check_overtaken()
        setting = setting_of(channel, attribute, value)
        await self._write([setting])
        return getattr(channel, f"{attribute}_RBV").value if attribute in NUMBERS else None

    async def set_interlock_mode(self, board: HvBoard, mode: InterlockMode) -> None:
        """Write BDILKM."""
        await self._write([Setting(board.config.name, "BDILKM", None, mode.name)])

    async def clear(self, boards: list[HvBoard] | None = None) -> None:
        """Clear the alarms of these boards, or of all."""
        names = list(self.boards) if boards is None else [board.config.name for board in boards]
        await self._write([Setting(name, "BDCLR") for name in names])
        await self.message(f"alarms of {', '.join(names)} cleared")

    async def ramp(self, mult: float) -> None:
        """Send every channel with a VDef to VDef times `mult`, so that all arrive together."""
        await self._exclusive(self._ramp(mult))
        await self.post(self.group.DownFailed, False)

    async def init(self) -> None:
        """Write the start settings to every channel."""
        await self._exclusive(self._init())

    async def down(self) -> None:
        """Send every channel to 0 V and off, before anything else. What was asked before and is not done is dropped."""
        self._epoch += 1
        self._downs += 1
        try:
            if self._action is not None:
                self._action.cancel()
            self.driver.drop_writes(DROPPED)
            await self._down()
        finally:
            self._downs -= 1

    async def _exclusive(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` so that Down can end it, and not beside Down."""
        try:
            self._check_overtaken()
        except PutRefused:
            work.close()
            raise
        self._action = task = asyncio.ensure_future(work)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise PutRefused(DROPPED) from None
            task.cancel()
            raise
        finally:
            self._action = None

    async def _write(self, settings: Iterable[Setting]) -> None:
        """Write and read back; PutRefused when anything of it failed."""
        failed = await self.driver.write(list(settings))
        if failed:
            raise PutRefused(_tell(failed))

    async def _write_and_show(self, settings: list[Setting], shown: Mapping[HvChannel, Mapping[str, Any]]) -> None:
        """As `_write`; then the setpoints `shown` (attribute -> value) of all channels that have theirs."""
        failed = await self.driver.write(settings)
        missed = {(setting.board, setting.channel) for setting in failed}
        done = [c for c in shown if not {(c.board, None), (c.board, c.number)} & missed]
        await self.post_many([(getattr(c, name), value) for c in done for name, value in shown[c].items()])
        if failed:
            raise PutRefused(_tell(failed))

    async def _ramp(self, mult: float) -> None:
        targets = {c: round(c.VDef.value * mult, 1) for c in self.channels if c.VDef.value > 0}
        if not targets:
            raise PutRefused("every VDef is 0: there is nothing to ramp")
        self._check_reachable(targets)
        rates = self._rates(targets)
        off = [channel for channel in targets if channel.Pw_RBV.value is OnOff.Off]
        # what moves nothing goes first: if a board refuses that, all stay where they are
        await self._write(
            [setting_of(c, attribute, rate) for c, (attribute, rate) in rates.items()]
            + [setting_of(c, "VSet", targets[c]) for c in off]
        )
        await self._write_and_show(
            [setting_of(c, "VSet", volts) for c, volts in targets.items() if c not in off] + self._switch_on(off),
            {c: {"VSet": volts, "Pw": OnOff.On, rates[c][0]: rates[c][1]} for c, volts in targets.items()},
        )
        await self.message(f"{len(targets)} channels go to {mult:g} of their VDef")

    def _check_reachable(self, targets: Mapping[HvChannel, float]) -> None:
        """PutRefused, before anything is written, when some channel could not follow."""
        problems = []
        for name in dict.fromkeys(channel.board for channel in targets):
            aliases = " ".join(channel.alias for channel in targets if channel.board == name)
            if name not in self._known:
                problems.append(f"{name} ({aliases}) does not answer")
            elif self.boards[name].Ctrl.value is ControlMode.LOCAL:
                problems.append(f"{name} ({aliases}) is in LOCAL mode")
        for channel, volts in targets.items():
            blocked = Status(channel.Status.value) & (Status.ILK | Status.KILL | Status.DIS)
            if blocked and channel.board in self._known:
                problems.append(f"{channel.alias} is blocked ({bit_names(blocked)})")
            high = (channel.VSet.limits.control or (None, None))[1]
            if high is not None and volts > high:
                problems.append(f"{channel.alias}: {volts:g} V is above its limit of {high:g} V")
        if problems:
            raise PutRefused("nothing was changed: " + "; ".join(problems))

    def _rates(self, targets: Mapping[HvChannel, float]) -> dict[HvChannel, tuple[str, float]]:
        """For each channel the attribute to set (RUp or RDwn) and its rate in V/s."""
        group = self.group
        attributes, ways, standing = [], [], []
        highest = max(channel.VDef.value for channel in targets)
        for channel, volts in targets.items():
            distance = volts - channel.VMon.value
            attribute = "RUp" if distance >= 0 else "RDwn"
            base = (group.RampUpBase if distance >= 0 else group.RampDownBase).value
            attributes.append(attribute)
            lowest = (getattr(channel, attribute).limits.control or (1.0, None))[0] or 1.0
            # a channel that is there already gets the rate of its share, for the next time
            share = Way(base * channel.VDef.value / highest, base, lowest).rate(1.0)
            standing.append(None if abs(distance) >= STANDING else share)
            ways.append(Way(abs(distance), base, lowest))
        if not group.ScaleRamp.value:
            rates = [way.base for way in ways]
        else:
            moving = iter(arrival_rates([w for w, share in zip(ways, standing, strict=True) if share is None]))
            rates = [next(moving) if share is None else share for share in standing]
        return dict(zip(targets, zip(attributes, rates, strict=True), strict=True))

    def _switch_on(self, channels: list[HvChannel]) -> list[Setting]:
        """ON for each channel, or once for a board of which all channels go on."""
        settings = []
        for name in dict.fromkeys(channel.board for channel in channels):
            wanted = [channel for channel in channels if channel.board == name]
            if len(wanted) == self.boards[name].config.channels:
                settings.append(Setting(name, "ON"))
            else:
                settings += [Setting(name, "ON", channel.number) for channel in wanted]
        return settings

    async def _down(self) -> None:
        rate = self.group.RampDownBase.value
        settings = []
        for name, board in self.boards.items():
            whole = len(board.outputs) == board.config.channels
            for number in [None] if whole else [channel.number for channel in board.outputs]:
                # off comes before 0 V: with the set value at 0 an output that is on would be in over-voltage
                settings += [
                    Setting(name, "RDW", number, rate),
                    Setting(name, "OFF", number),
                    Setting(name, "VSET", number, 0.0),
                ]
        failed = await self.driver.write(settings, urgent=True)
        lost = {setting.board for setting in failed}
        done = [channel for channel in self.channels if channel.board not in lost]
        shown = {"VSet": 0.0, "Pw": OnOff.Off, "RDwn": rate}
        await self.post_many([(getattr(c, name), value) for c in done for name, value in shown.items()])
        await self.post(self.group.DownFailed, bool(failed))
        if failed:
            raise PutRefused(f"Down did not reach {', '.join(sorted(lost))}: {_tell(failed)}")
        await self.post(self.group.Mult, 0.0)
        await self.message("Down: all channels go to 0 V and off", logging.WARNING)

    async def _init(self) -> None:
        init, group = self.config.init, self.group
        values: dict[str, Any] = {
            "IMonRange": CurrentRange[init.imrange],
            "Trip": init.trip,
            "RUp": group.RampUpBase.value,
            "RDwn": group.RampDownBase.value,
            "PDwn": PowerDown[init.pdwn],
        }
        wanted = {c: {**values, "ISet": c.IDef.value} for c in self.channels}
        settings = [setting_of(c, name, value) for c, own in wanted.items() for name, value in own.items()]
        await self._write_and_show(settings, wanted)
        await self.message("Init: all channels have their start settings")


def _tell(failed: Mapping[Setting, DeviceError]) -> str:
    """Failures for an operator: the same reason once."""
    texts = list(dict.fromkeys(str(error) for error in failed.values()))
    more = f"; and {len(texts) - _TELL} more" if len(texts) > _TELL else ""
    return "; ".join(texts[:_TELL]) + more
