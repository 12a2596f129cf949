"""Physics and time of one simulated N1470 output: no bytes, no sockets, no event loop.

Between two events (a ramp arrives, a limit is met, the trip counter runs out, a spark ends) an output voltage is a
straight line in time. `advance(dt)` goes from event to event, so a step of any length gives the same result.

Units: volts, microamperes, megohms, seconds, degrees Celsius, watts. Voltages and currents are magnitudes; the
polarity is a property of the channel.
"""

from __future__ import annotations

import enum
import math
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iocs.hv.model import Board

V_MAX, MAXV_MAX, I_MAX = 8000.0, 8100.0, 3000.0
RAMP_MIN, RAMP_MAX = 1.0, 500.0
TRIP_MAX = 1000.0
"""The trip time that means: constant current for ever."""
I_LOW_RANGE = 300.0
"""Full scale of the current monitor in its LOW range, uA."""
DEVIATION = 250.0
"""OVV and UNV: |VMON - VSET| above this."""
KILL_RATE = 10_000.0
"""V/s at which an output falls when it is cut off: 2 kV in 0.2 s."""
T_LIMIT, T_AMBIENT = 105.0, 30.0
T_PER_WATT, T_TAU = 5.0, 10.0
"""Heating of a channel by its own output, degC/W, and the time constant of heating and cooling, s."""
SPARK_ABOVE, SPARK_SECONDS = 100.0, 0.05
"""Random sparks need at least this output voltage, V; their mean length, s."""


class Status(enum.IntFlag):
    """The channel's STAT word."""

    ON = 1 << 0
    RUP = 1 << 1
    RDW = 1 << 2
    OVC = 1 << 3
    OVV = 1 << 4
    UNV = 1 << 5
    MAXV = 1 << 6
    TRIP = 1 << 7
    OVP = 1 << 8
    OVT = 1 << 9
    DIS = 1 << 10
    KILL = 1 << 11
    ILK = 1 << 12
    NOCAL = 1 << 13


_ON, _RUP, _RDW, _OVC, _OVV, _UNV, _MAXV, _TRIP, _OVP, _OVT, _DIS, _KILL, _ILK, _NOCAL = (int(bit) for bit in Status)
ALARM_BITS = _OVC | _OVV | _UNV | _MAXV | _TRIP | _OVP | _OVT | _KILL | _ILK | _NOCAL
"""What in STAT raises the channel's bit of BDALARM. DIS does not: it is a switch in its place."""


class Mask(enum.Enum):
    """When OVV and UNV are suppressed. The manuals do not say what an N1470 does."""

    NONE = "none"
    UP = "up"
    BOTH = "both"


@dataclass
class Noise:
    """Noise of the read-out and of the detector."""

    volts: float = 0.0
    """Standard deviation of VMON, V."""
    microamps: float = 0.0
    """Standard deviation of IMON, uA."""
    sparks: float = 0.0
    """Sparks per channel and second."""
    random: random.Random = field(default_factory=lambda: random.Random(1))
    """Of the read-out. Sparks have random numbers of their own, so that they come at the same model times however
    often the model is looked at."""


@dataclass(frozen=True)
class Load:
    """What hangs on an output: a resistor (0 is a short circuit, infinity nothing) and a leakage that grows with V."""

    megohms: float = 100.0
    leakage: float = 0.05
    """uA per kV."""

    @property
    def conductance(self) -> float:
        """UA per volt, never 0: a short circuit counts as 1 ohm, the insulation as 10^15 ohm."""
        return 1.0 / max(self.megohms, 1e-6) + self.leakage / 1000.0 + 1e-9


class Channel:
    """One output."""

    def __init__(self, board: Board, number: int, load: Load | None = None, positive: bool = True) -> None:
        self.board, self.number = board, number
        self.load = load or Load()
        self.conductance = self.load.conductance
        """UA per volt, now: with a spark it is more than the load's."""
        self.positive = positive
        self.vset, self.iset, self.maxv = 0.0, 100.0, MAXV_MAX
        self.rup, self.rdw = 50.0, 50.0
        self.trip = 10.0
        self.pdwn_ramp = False
        self.low_range = False
        self.on = self.tripped = False
        self.disabled = self.killed = self.nocal = self.overheated = False
        self.temperature = self.ambient = T_AMBIENT
        self.reference = 0.0
        """What the regulator aims at right now, V: it ramps. The output is below it in current limit."""
        self.trip_left = self.trip
        self.alarmed = False
        """Latched: there was an alarm since the last clear."""
        self.vmon = self.imon = 0.0
        self._fast = False
        self._random = random.Random(f"{board.number}/{number}")
        self._spark_left, self._next_spark, self._spark_rate = 0.0, math.inf, 0.0

    # --- the electrical state

    @property
    def limit_voltage(self) -> float:
        """The output voltage at which the current is ISET, V."""
        return self.iset / self.conductance

    @property
    def limited(self) -> bool:
        """True in constant-current mode. With ISET 0 that is at once: no output comes."""
        return self.reference >= self.limit_voltage and (self.reference > 0.0 or self.target > 0.0)

    @property
    def voltage(self) -> float:
        """True output voltage, V."""
        return min(self.reference, self.limit_voltage)

    @property
    def current(self) -> float:
        """True output current, uA; at most ISET."""
        return self.voltage * self.conductance

    @property
    def power(self) -> float:
        """Output power, W."""
        return self.voltage**2 * self.conductance * 1e-6

    @property
    def blocked(self) -> bool:
        """True while the channel cannot be on: interlock, disable, kill, over-temperature, no power."""
        board = self.board
        return self.disabled or self.killed or self.overheated or board.interlocked or board.power_fail

    @property
    def target(self) -> float:
        """Where the reference ramps to, V."""
        return min(self.vset, self.maxv) if self.on else 0.0

    @property
    def status(self) -> int:
        """The STAT word."""
        word = 0
        reference, target = self.reference, self.target
        limit = self.limit_voltage
        limited = reference >= limit and (reference > 0.0 or target > 0.0)
        voltage = limit if limited else reference
        up, down = reference < target, reference > target
        if self.on:
            word |= _ON
            mask = self.board.mask
            masked = (up and not limited and mask is not Mask.NONE) or (down and mask is Mask.BOTH)
            if not masked:
                if voltage - self.vset > DEVIATION:
                    word |= _OVV
                elif self.vset - voltage > DEVIATION:
                    word |= _UNV
            if self.vset > self.maxv and reference >= self.maxv:
                word |= _MAXV
        if up:
            word |= _RUP
        elif down:
            word |= _RDW
        if limited:
            word |= _OVC
        if self.tripped:
            word |= _TRIP
        if voltage > 1000.0 and self.over_power:  # 3 mA makes no 8 W below 1 kV
            word |= _OVP
        if self.overheated:
            word |= _OVT
        if self.disabled:
            word |= _DIS
        if self.killed:
            word |= _KILL
        if self.board.interlocked:
            word |= _ILK
        if self.nocal:
            word |= _NOCAL
        return word

    @property
    def over_power(self) -> bool:
        """More than 9.3 W up to 3 kV, more than 8.2 W above."""
        return self.power > (9.3 if self.voltage <= 3000.0 else 8.2)

    # --- what an operator does

    def set_vset(self, volts: float) -> None:
        """Aim at `volts`; above MAXV the output stays at MAXV and the MAXV bit says so."""
        self.reference = self.voltage
        self.vset = volts

    def set_iset(self, microamps: float) -> None:
        """Limit the current."""
        self.reference = self.voltage
        self.iset = microamps

    def set_low_range(self, low: bool) -> None:
        """Choose the current monitor's range."""
        self.low_range = low
        self.imon = min(self.current, I_LOW_RANGE) if low else self.current

    def set_maxv(self, volts: float) -> None:
        """Limit the output; a VSET above the new limit is lowered to it."""
        self.reference = self.voltage
        self.maxv = volts
        self.vset = min(self.vset, volts)

    def set_trip(self, seconds: float) -> None:
        """Write the trip time, which reloads the trip counter."""
        self.trip = self.trip_left = seconds

    def switch_on(self) -> None:
        """Start to ramp; clears the trip and reloads its counter. Nothing happens while the channel is blocked."""
        if self.blocked:
            return
        self.on = True
        self.tripped = self._fast = False
        self.trip_left = self.trip
        self.alarmed = False

    def switch_off(self) -> None:
        """Power down as PDWN says."""
        if self.on:
            self._power_down(fast=not self.pdwn_ramp)

    def cut_off(self) -> None:
        """Power down at the maximum rate, whatever PDWN says."""
        if self.on or self.reference > 0.0:
            self._power_down(fast=True)

    def clear_alarms(self) -> None:
        """Forget the trip and the latched alarm; reloads the trip counter."""
        self.tripped = self.alarmed = False
        self.trip_left = self.trip

    def spark(self, seconds: float = 0.1, factor: float = 10.0) -> None:
        """A spark: the load draws `factor` times its current for `seconds`."""
        self._spark_left, self.conductance = seconds, self.load.conductance * factor

    def heat(self, celsius: float) -> None:
        """Bring the channel and its surroundings to `celsius` at once."""
        self.ambient = self.temperature = celsius
        self._warm(0.0)

    def cool(self) -> None:
        """Let the air be as usual; the channel cools to it."""
        self.ambient = T_AMBIENT

    def set_load(self, megohms: float, leakage: float | None = None) -> None:
        """Hang something else on the output; `leakage` None leaves the leakage."""
        self.load = Load(megohms, self.load.leakage if leakage is None else leakage)
        self._spark_left, self.conductance = 0.0, self.load.conductance

    def set_disabled(self, disabled: bool) -> None:
        """The channel's enable switch."""
        self.disabled = disabled
        if disabled:
            self.cut_off()

    def set_killed(self, killed: bool) -> None:
        """The channel's KILL input."""
        self.killed = killed
        if killed:
            self.cut_off()

    def seed(self, seed: int) -> None:
        """Start the random numbers of this channel's sparks again."""
        self._random.seed(f"{seed}/{self.board.number}/{self.number}")
        self._draw_next_spark()

    def lose_power(self) -> None:
        """The board goes dark: output gone, volatile state forgotten, settings kept."""
        self.on = self.tripped = self.alarmed = self._fast = False
        self.reference = 0.0
        self.trip_left = self.trip
        self._spark_left, self.conductance = 0.0, self.load.conductance
        self.vmon = self.imon = 0.0

    @property
    def alarms(self) -> int:
        """The bits of STAT that count for BDALARM.

        OVV and UNV on the way do not: it latches, and every lowering of VSET would leave it set. The manuals don't say.
        """
        word = self.status
        return word & (ALARM_BITS & ~(_OVV | _UNV) if word & (_RUP | _RDW) else ALARM_BITS)

    def _power_down(self, fast: bool) -> None:
        self.reference = self.voltage
        self.on = False
        self._fast = fast

    # --- time

    def advance(self, dt: float, noise: Noise) -> None:
        """Let `dt` seconds pass, then convert VMON and IMON once."""
        if self.blocked:
            self.cut_off()
        if noise.sparks != self._spark_rate:
            self._spark_rate = noise.sparks
            self._draw_next_spark()
        while dt > 0.0:
            dt -= self._advance_to_event(dt)
        if self.alarms:
            self.alarmed = True
        self._convert(noise)

    def _advance_to_event(self, dt: float) -> float:
        """Go on by at most `dt`, up to the next event, and return how far it was."""
        reference, target, limit = self.reference, self.target, self.iset / self.conductance
        limited = reference >= limit and (reference > 0.0 or target > 0.0)
        step, arrival, slope, goal = dt, math.inf, 0.0, reference
        if reference > target:
            slope, goal = -(self.rdw if self.on or not self._fast else KILL_RATE), target
            if limited:  # the output leaves constant-current mode on its way down
                step = min(step, _just_after((limit - reference) / slope))
        elif reference < target and not limited:
            slope, goal = self.rup, min(target, limit)
        if slope:
            arrival = (goal - reference) / slope
            step = min(step, arrival)
        counting = limited and self.on and self.trip < TRIP_MAX
        if counting:
            step = min(step, self.trip_left)
        sparking = self._spark_left > 0.0
        arcing = not sparking and self._next_spark < math.inf and min(reference, limit) > SPARK_ABOVE
        if sparking:
            step = min(step, self._spark_left)
        elif arcing:
            step = min(step, self._next_spark)
        elif self._next_spark < math.inf and slope > 0.0 and reference <= SPARK_ABOVE < goal:
            step = min(step, _just_after((SPARK_ABOVE - reference) / slope))
        if abs(self.ambient + T_PER_WATT * self.power - self.temperature) > 0.5:
            step = min(step, 0.1)

        self.reference = goal if step >= arrival else reference + slope * step
        if limited:
            self.alarmed = True
        else:
            self.trip_left = self.trip
        if counting:
            self.trip_left -= step
            if self.trip_left <= 0.0:
                self.tripped = True
                self.switch_off()
        if sparking:
            self._spark_left = max(0.0, self._spark_left - step)
            if not self._spark_left:
                self.conductance = self.load.conductance
        elif arcing:
            self._next_spark -= step
            if self._next_spark <= 0.0:
                self._draw_next_spark()
                self.spark(self._random.expovariate(1 / SPARK_SECONDS))
        self._warm(step)
        return step

    def _draw_next_spark(self) -> None:
        self._next_spark = self._random.expovariate(self._spark_rate) if self._spark_rate > 0.0 else math.inf

    def _warm(self, dt: float) -> None:
        goal = self.ambient + T_PER_WATT * self.power
        if goal != self.temperature:
            self.temperature += (goal - self.temperature) * -math.expm1(-dt / T_TAU)
        hot = self.temperature > T_LIMIT
        if hot and not self.overheated:
            self.cut_off()
        self.overheated = hot

    def _convert(self, noise: Noise) -> None:
        volts, microamps = self.voltage, self.current
        if noise.volts and (self.on or volts):
            volts = max(0.0, volts + noise.random.gauss(0.0, noise.volts))
        if noise.microamps and (self.on or volts):
            microamps = max(0.0, microamps + noise.random.gauss(0.0, noise.microamps))
        self.vmon = volts
        self.imon = min(microamps, I_LOW_RANGE) if self.low_range else microamps


def _just_after(seconds: float) -> float:
    """A little past a threshold, so that the next look is beyond it in spite of rounding."""
    return seconds * (1 + 1e-9) + 1e-9
