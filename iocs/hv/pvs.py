"""The PVs of the high voltage: channel, board, line and the group of all channels."""

from __future__ import annotations

import enum
from typing import Protocol

from iocs.hv.config import BoardConfig, ChannelConfig, HvConfig
from iocs.hv.protocol import Status as Bit
from owlshift.ioc import Alarm, AlarmStatus, Archive, Config, Device, Severity, Text, command, readback, setpoint

MONITOR = Archive.MONITOR
SLOW = Archive.scan(60.0)
MINOR, MAJOR = Severity.MINOR, Severity.MAJOR


class OnOff(enum.IntEnum):
    """Power of a channel."""

    Off = 0
    On = 1


class PowerDown(enum.IntEnum):
    """How a channel goes off."""

    KILL = 0
    RAMP = 1


class CurrentRange(enum.IntEnum):
    """Range of the current monitor."""

    HIGH = 0
    LOW = 1


class Sign(enum.IntEnum):
    """Polarity of a channel."""

    Negative = 0
    Positive = 1


class InterlockMode(enum.IntEnum):
    """What the interlock input must be for the outputs to be on."""

    OPEN = 0
    CLOSED = 1
    DRIVEN = 2
    UNDRIVEN = 3


class ControlMode(enum.IntEnum):
    """Who may change settings."""

    LOCAL = 0
    REMOTE = 1


class ChannelState(enum.IntEnum):
    """The status word in one word: the gravest of its bits."""

    Off = 0
    On = 1
    RampUp = 2
    RampDown = 3
    OverCurrent = 4
    OverVoltage = 5
    UnderVoltage = 6
    MaxVoltage = 7
    Trip = 8
    OverPower = 9
    OverTemperature = 10
    Disabled = 11
    Kill = 12
    Interlock = 13
    NotCalibrated = 14


LIMITS = ("VMax", "ISet", "Trip")
"""What limits the voltage: it is in before VSet goes up, and stays until VSet has gone down."""
VOLTAGE = Config(
    after=(*LIMITS, "RUp", "RDwn", "PDwn", "IMonRange"),
    lower_first=LIMITS,
    blocked_by={"Sts:Ilk": "Yes", "Sts:Kill": "Yes", "Sts:Dis": "Yes"},
)
"""How a runkey writes VSet; an instance adds what its board says."""

BIT_SEVERITY = {
    Bit.OVC: MINOR,
    Bit.OVV: MAJOR,
    Bit.UNV: MINOR,
    Bit.MAXV: MINOR,
    Bit.TRIP: MAJOR,
    Bit.OVP: MAJOR,
    Bit.OVT: MAJOR,
    Bit.DIS: MINOR,
    Bit.KILL: MAJOR,
    Bit.ILK: MAJOR,
    Bit.NOCAL: MINOR,
}
"""Bits that are an alarm."""

_STATES = (
    (Bit.ILK, ChannelState.Interlock),
    (Bit.KILL, ChannelState.Kill),
    (Bit.OVT, ChannelState.OverTemperature),
    (Bit.OVP, ChannelState.OverPower),
    (Bit.TRIP, ChannelState.Trip),
    (Bit.DIS, ChannelState.Disabled),
    (Bit.OVC, ChannelState.OverCurrent),
    (Bit.MAXV, ChannelState.MaxVoltage),
    (Bit.OVV, ChannelState.OverVoltage),
    (Bit.RUP, ChannelState.RampUp),
    (Bit.RDW, ChannelState.RampDown),
    (Bit.UNV, ChannelState.UnderVoltage),
    (Bit.NOCAL, ChannelState.NotCalibrated),
    (Bit.ON, ChannelState.On),
)
_STATE_SEVERITY = {state: BIT_SEVERITY[bit] for bit, state in _STATES if bit in BIT_SEVERITY}


def _without_ramp(word: int) -> int:
    """Boards report OVV all the way down and may report UNV all the way up: on the way it says nothing."""
    if word & Bit.RDW:
        word &= ~Bit.OVV
    if word & Bit.RUP:
        word &= ~Bit.UNV
    return word


def state_of(word: int) -> ChannelState:
    """The gravest thing that a status word says."""
    word = _without_ramp(word)
    return next((state for bit, state in _STATES if word & bit), ChannelState.Off)


def alarm_of(word: int) -> tuple[AlarmStatus, Severity] | None:
    """The alarm of a status word: the worst of its bits, None when there is none."""
    word = _without_ramp(word)
    worst = max((severity for bit, severity in BIT_SEVERITY.items() if word & bit), default=Severity.NO_ALARM)
    return (AlarmStatus.STATE, worst) if worst else None


def _bit(name: str, bit: Bit, doc: str, alarm_info: Alarm | None = None):
    severity = BIT_SEVERITY.get(bit)
    return readback(
        bool,
        name=f"Sts:{name}",
        severities={True: severity} if severity else {},
        archive=MONITOR,
        doc=doc,
        alarm_info=alarm_info,
    )


class Actions(Protocol):
    """What the PVs ask the IOC to do. Everything raises PutRefused with the reason when it cannot be done."""

    async def set_channel(self, channel: HvChannel, attribute: str, value: float | enum.IntEnum) -> float | None:
        """Write one setting of a channel and read it back; the value as the board has it."""
        ...

    async def set_interlock_mode(self, board: HvBoard, mode: InterlockMode) -> None:
        """Write BDILKM."""
        ...

    async def ramp(self, mult: float) -> None:
        """Send every channel to VDef times `mult`."""
        ...

    async def down(self) -> None:
        """Send every channel to 0 V and off, before anything else."""
        ...

    async def init(self) -> None:
        """Write the start settings to every channel."""
        ...

    async def clear(self, boards: list[HvBoard] | None = None) -> None:
        """Clear the alarms of these boards, or of all."""
        ...


class HvChannel(Device):
    """One high-voltage output."""

    VSet = setpoint(float, units="V", precision=1, control=(0, 8000), config=VOLTAGE, asg="OPERATOR", archive=MONITOR,
        doc="Requested output voltage")  # fmt: skip
    VSet_RBV = readback(float, units="V", precision=1, display=(0, 8000), archive=MONITOR, doc="VSet in the board")
    VMon = readback(float, units="V", precision=1, display=(0, 8000), archive=MONITOR, doc="Measured output voltage",
        alarm_info=Alarm(guidance="The output is above what this layer may have: lower Mult, or Down.", priority="high",
                         delay=1.0, display="hv_channel"))  # fmt: skip
    ISet = setpoint(float, units="uA", precision=2, control=(0, 3000), config=True, asg="EXPERT", archive=MONITOR,
        doc="Current limit")  # fmt: skip
    ISet_RBV = readback(float, units="uA", precision=2, display=(0, 3000), archive=MONITOR, doc="ISet in the board")
    IMon = readback(float, units="uA", precision=3, display=(0, 3000), archive=MONITOR,
        doc="Measured current, of the range in use",
        alarm_info=Alarm(guidance="The current comes near its limit: look at beam and gas, lower Mult if it lasts.",
                         delay=1.0, display="hv_channel"))  # fmt: skip
    IMonH = readback(float, units="uA", precision=2, display=(0, 3000), doc="Measured current; INVALID in LOW range")
    IMonL = readback(float, units="uA", precision=3, display=(0, 300), doc="Measured current; INVALID in HIGH range")
    IMonRange = setpoint(CurrentRange, config=True, asg="EXPERT", archive=MONITOR, doc="Range of the current monitor")
    IMonRange_RBV = readback(CurrentRange, archive=MONITOR, doc="IMonRange in the board")
    Pw = setpoint(OnOff, asg="OPERATOR", archive=MONITOR, doc="Channel on or off, as requested")
    Pw_RBV = readback(OnOff, archive=MONITOR, doc="Channel on or off")
    Trip = setpoint(float, units="s", precision=1, control=(0, 1000), config=True, asg="EXPERT", archive=MONITOR,
        doc="Time in over-current to trip; 1000=never")  # fmt: skip
    Trip_RBV = readback(float, units="s", precision=1, display=(0, 1000), archive=MONITOR, doc="Trip in the board")
    VMax = setpoint(float, units="V", precision=0, control=(0, 8100), config=True, asg="EXPERT", archive=MONITOR,
        doc="Voltage that the output never exceeds")  # fmt: skip
    VMax_RBV = readback(float, units="V", precision=0, display=(0, 8100), archive=MONITOR, doc="VMax in the board")
    RUp = setpoint(float, units="V/s", precision=0, control=(1, 500), config=True, asg="EXPERT", archive=MONITOR,
        doc="Ramp up; Mult sets it too")  # fmt: skip
    RUp_RBV = readback(float, units="V/s", precision=0, display=(0, 500), archive=MONITOR, doc="RUp in the board")
    RDwn = setpoint(float, units="V/s", precision=0, control=(1, 500), config=True, asg="EXPERT", archive=MONITOR,
        doc="Ramp down; Mult and Down set it too")  # fmt: skip
    RDwn_RBV = readback(float, units="V/s", precision=0, display=(0, 500), archive=MONITOR, doc="RDwn in the board")
    PDwn = setpoint(PowerDown, config=True, asg="EXPERT", archive=MONITOR, doc="How it goes off: at RDwn, or at once")
    PDwn_RBV = readback(PowerDown, archive=MONITOR, doc="PDwn in the board")
    Polarity = readback(Sign, archive=SLOW, doc="Polarity of the output")
    VDef = setpoint(float, units="V", precision=1, control=(0, 8000), save=True, config=True, asg="EXPERT",
        archive=MONITOR, doc="Voltage at Mult=1; 0: not moved by Mult")  # fmt: skip
    IDef = setpoint(float, units="uA", precision=2, control=(0, 3000), save=True, config=True, asg="EXPERT",
        archive=MONITOR, doc="Current limit that Init writes")  # fmt: skip
    Layer = readback(int, doc="Layer of the detector; -1: none")
    Place = readback(str, doc="Board and channel number")
    Status = readback(int, archive=MONITOR, doc="Status word, bits as in Sts:...")
    State = readback(ChannelState, severities=_STATE_SEVERITY, archive=MONITOR, doc="The gravest bit of the status")

    StsOn = _bit("On", Bit.ON, "On")
    StsRUp = _bit("RUp", Bit.RUP, "Ramping up")
    StsRDw = _bit("RDw", Bit.RDW, "Ramping down")
    StsOvC = _bit("OvC", Bit.OVC, "Over-current: IMon has reached ISet")
    StsOvV = _bit("OvV", Bit.OVV, "Over-voltage: VMon is far above VSet",
        Alarm(guidance="Normal on the way down. If it stays, switch the channel off.", delay=30.0,
              display="hv_channel"))  # fmt: skip
    StsUnV = _bit("UnV", Bit.UNV, "Under-voltage: VMon is far below VSet")
    StsMaxV = _bit("MaxV", Bit.MAXV, "The output is held at VMax")
    StsTrip = _bit("Trip", Bit.TRIP, "Tripped: too long in over-current",
        Alarm(guidance="Note layer, beam and time. Clear, wait a minute, then put Mult again to ramp this channel.",
              priority="high", delay=1.0, display="hv_channel"))  # fmt: skip
    StsOvP = _bit("OvP", Bit.OVP, "Over-power")
    StsOvT = _bit("OvT", Bit.OVT, "Over 105 degC",
        Alarm(guidance="Press Down, then look at the fans of the board.", priority="high", delay=1.0,
              display="hv_channel"))  # fmt: skip
    StsDis = _bit("Dis", Bit.DIS, "Disabled by its switch")
    StsKill = _bit("Kill", Bit.KILL, "Killed from the front panel",
        Alarm(guidance="Somebody holds the KILL input.", delay=1.0, display="hv_channel"))  # fmt: skip
    StsIlk = _bit("Ilk", Bit.ILK, "Off by interlock",
        Alarm(guidance="The interlock of the board was open: find out why before Pw or Mult is put again.",
              delay=1.0, display="hv_channel"))  # fmt: skip
    StsNoCal = _bit("NoCal", Bit.NOCAL, "Calibration lost")

    def __init__(self, actions: Actions, config: ChannelConfig, hv: HvConfig) -> None:
        self.actions, self.config = actions, config
        self.alias, self.board, self.number = config.alias, config.board, config.ch
        if config.vset_max is not None:
            self.VSet.set_limits(control=(0.0, config.vset_max))
            self.VDef.set_limits(control=(0.0, config.vset_max))
        self.VMon.set_limits(warn=(None, config.vmon_high), alarm=(None, config.vmon_hihi))
        high = hv.alarms.imon_high if config.imon_high is None else config.imon_high
        hihi = hv.alarms.imon_hihi if config.imon_hihi is None else config.imon_hihi
        self.IMon.set_limits(warn=(None, high), alarm=(None, hihi))
        self.VDef.preset(config.vdef)
        self.IDef.preset(hv.idef_of(config))
        local = {f"/{config.board}:Ctrl": ControlMode.LOCAL.name}
        for pv in self.pvs.values():
            if pv.config is not None and pv not in (self.VDef, self.IDef):
                pv.set_config(blocked_by={**pv.config.blocked_by, **local})
        self.VSet.set_config(after=(*VOLTAGE.after, f"/{config.board}:IlkMode"))
        # one board that is gone is one alarm, not seven for each channel; an open interlock is one, too
        for pv in self.pvs.values():
            if pv.alarm_info is not None:
                cause = "Ilk" if pv is self.StsIlk else "Connected"
                pv.set_alarm(masked_by=f"/{config.board}:{cause}")
        self.Layer.preset(config.layer)
        self.Place.preset(f"{config.board} channel {config.ch}")
        self.bits = tuple(zip((pv for name, pv in self.pvs.items() if name.startswith("Sts")), Bit, strict=True))
        constant = ("Layer", "Place")
        self.live = [pv for name, pv in self.pvs.items() if pv.declaration.kind == "readback" and name not in constant]

    @VSet.putter
    @ISet.putter
    @VMax.putter
    @Trip.putter
    @RUp.putter
    @RDwn.putter
    @PDwn.putter
    @IMonRange.putter
    @Pw.putter
    async def _(self, value, pv):
        return await self.actions.set_channel(self, pv.declaration.attribute, value)


class HvBoard(Device):
    """One board of the line."""

    Connected = readback(bool, initial=False, severities={False: MAJOR}, archive=MONITOR, doc="The board answers",
        alarm_info=Alarm(guidance="Is the board on, and its cable in? IOC:Msg says more.", delay=5.0, display="hv",
                         masked_by="/Line:Connected"))  # fmt: skip
    Address = readback(int, doc="Number of the board on the line")
    Channels = readback(Text(200), doc="Aliases of its channels, in order")
    Name = readback(str, archive=SLOW, doc="Model, as the board says")
    NCh = readback(int, doc="Number of channels, as the board says")
    FwRel = readback(str, archive=SLOW, doc="Firmware release")
    Serial = readback(str, archive=SLOW, doc="Serial number")
    Ilk = readback(bool, severities={True: MAJOR}, archive=MONITOR, doc="The interlock has switched off",
        alarm_info=Alarm(guidance="The interlock is open: its channels are off. Find out why before they go on again.",
                         priority="high", delay=1.0, display="hv", masked_by="Connected"))  # fmt: skip
    IlkMode = setpoint(InterlockMode, config=Config(blocked_by={"Ctrl": "LOCAL"}), asg="EXPERT", archive=MONITOR,
        doc="Off when the input is")  # fmt: skip
    IlkMode_RBV = readback(InterlockMode, archive=MONITOR, doc="IlkMode in the board")
    Ctrl = readback(ControlMode, severities={ControlMode.LOCAL: MINOR}, archive=MONITOR,
        doc="LOCAL: settings only from the panel")  # fmt: skip
    AlmPwFail = readback(bool, name="Alm:PwFail", severities={True: MAJOR}, archive=MONITOR, doc="Power failure",
        alarm_info=Alarm(guidance="Look at the crate's power supply, then Clear.", delay=1.0, display="hv",
                         masked_by="Connected"))  # fmt: skip
    AlmOvP = readback(bool, name="Alm:OvP", severities={True: MAJOR}, archive=MONITOR, doc="Over-power of the board",
        alarm_info=Alarm(guidance="The board gives more than it can: lower Mult, then Clear.", delay=1.0, display="hv",
                         masked_by="Connected"))  # fmt: skip
    AlmHvCk = readback(bool, name="Alm:HvCk", severities={True: MAJOR}, archive=MONITOR, doc="HV clock not 200 kHz",
        alarm_info=Alarm(guidance="The board is broken: Down, and change it.", delay=1.0, display="hv",
                         masked_by="Connected"))  # fmt: skip
    Alarm = readback(int, alarm=(None, 1), archive=MONITOR, doc="Alarm word: channels, PwFail, OvP, HvCk")
    Clear = command(asg="OPERATOR", doc="Clears the alarms of the board")

    def __init__(self, actions: Actions, config: BoardConfig, channels: list[HvChannel]) -> None:
        self.actions, self.config = actions, config
        self.Address.preset(config.address)
        self.Channels.preset(" ".join(channel.alias for channel in sorted(channels, key=lambda c: c.number)))
        constant = ("Connected", "Address", "Channels")
        self.live = [pv for name, pv in self.pvs.items() if pv.declaration.kind == "readback" and name not in constant]
        self.outputs = channels

    @IlkMode.putter
    async def _(self, value):
        await self.actions.set_interlock_mode(self, value)

    @Clear.putter
    async def _(self):
        await self.actions.clear([self])


class HvGroup(Device):
    """All channels together."""

    # an order rather than a setting: what came of it is in VSet, RUp and RDwn
    Mult = setpoint(float, precision=4, control=(0, 1.2), initial=0.0, save=True, asg="OPERATOR", archive=MONITOR,
        doc="Every channel to VDef times this")  # fmt: skip
    Mult_RBV = readback(float, precision=4, display=(0, 1.2), archive=MONITOR, doc="Sum of VSet over sum of VDef")
    Down = command(asg="OPERATOR", lane="down", archive=MONITOR, doc="All to 0 V and off, before all else")
    DownFailed = readback(bool, initial=False, severities={True: MAJOR}, archive=MONITOR,
        doc="The last Down did not reach all channels",
        alarm_info=Alarm(guidance="Some channels may still be on: see IOC:Msg, switch off by hand.",
                         priority="high", delay=1.0, display="hv"))  # fmt: skip
    ScaleRamp = setpoint(bool, save=True, config=True, asg="EXPERT", archive=MONITOR,
        doc="Mult scales ramps: all arrive together")  # fmt: skip
    RampUpBase = setpoint(float, units="V/s", precision=0, control=(1, 500), save=True, config=True, asg="EXPERT",
        archive=MONITOR, doc="Mult: ramp up of the longest way")  # fmt: skip
    RampDownBase = setpoint(float, units="V/s", precision=0, control=(1, 500), save=True, config=True, asg="EXPERT",
        archive=MONITOR, doc="Mult: ramp down of the longest way; Down")  # fmt: skip
    Clear = command(asg="OPERATOR", doc="Clears the alarms of all boards")
    Init = command(asg="EXPERT", doc="Writes start settings to all channels")
    NOn = readback(int, archive=MONITOR, doc="Channels that are on")
    NRamping = readback(int, archive=MONITOR, doc="Channels on their way")
    NTripped = readback(int, alarm=(None, 1), archive=MONITOR, doc="Channels that have tripped")

    def __init__(self, actions: Actions, hv: HvConfig) -> None:
        self.actions = actions
        self.ScaleRamp.preset(hv.scale_ramp)
        self.RampUpBase.preset(hv.ramp_up)
        self.RampDownBase.preset(hv.ramp_down)
        self.live = [self.Mult_RBV, self.NOn, self.NRamping, self.NTripped]

    @Mult.putter
    async def _(self, value):
        await self.actions.ramp(value)

    @Down.putter
    async def _(self):
        await self.actions.down()

    @Clear.putter
    async def _(self):
        await self.actions.clear()

    @Init.putter
    async def _(self):
        await self.actions.init()


class HvLine(Device):
    """The way to the boards."""

    Connected = readback(bool, initial=False, severities={False: MAJOR}, archive=MONITOR, doc="Some board answers",
        alarm_info=Alarm(guidance="No board answers: is the crate on, and the line's cable in? IOC:Msg says more.",
                         priority="high", delay=5.0, display="hv"))  # fmt: skip
    Boards = readback(int, initial=0, archive=MONITOR, doc="Boards that answer")
    CycleTime = readback(float, units="s", precision=3, archive=SLOW, doc="Time to read all boards")
    Timeouts = readback(int, initial=0, archive=SLOW, doc="Questions without an answer")
    BadReplies = readback(int, initial=0, archive=SLOW, doc="Answers that were none")
    Reconnects = readback(int, initial=0, archive=SLOW, doc="Times the connection was made anew")
