"""How a device class says, once, what each of its PVs is.

    class HvChannel(Device):
        VMon = readback(float, units="V", precision=1, alarm=(None, 4100), doc="Measured output voltage")
        VSet = setpoint(float, units="V", precision=1, control=(0, 8000), save=True, doc="Requested output voltage")

        @VSet.putter
        async def _(self, value: float) -> None:
            await self.driver.set_voltage(value)

What is wrong with a declaration is found when the class is made: `DeclarationError` names file, line and attribute.
"""

from __future__ import annotations

import enum
import inspect
import math
import re
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypedDict, TypeVar, Unpack, overload

from .config import Config
from .values import ENCODING, INT_MAX, INT_MIN, UNITS_BYTES, Array, State, Text, ValueType, value_type

if TYPE_CHECKING:
    import numpy as np

    from .device import Device
    from .pv import Pv

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Awaitable[Any]])
R = TypeVar("R", bound=Callable[[Any], Awaitable[Any]])
Pair = tuple[float | None, float | None]

NAME = re.compile(r"[A-Za-z0-9_:-]+")
LIMITS = ("LOLO", "LOW", "HIGH", "HIHI")


class DeclarationError(TypeError):
    """A device class declares something that cannot be served."""


class PutRefused(Exception):  # noqa: N818 (it is an answer to an operator rather than an error)
    """Raised in a putter: the client's put fails with this reason, the PV keeps its value."""

    quiet = True
    """The server logs it without a traceback: `Ioc` has told the operator."""


class Severity(enum.IntEnum):
    """Alarm severities as EPICS numbers them."""

    NO_ALARM = 0
    MINOR = 1
    MAJOR = 2
    INVALID = 3


@dataclass(frozen=True)
class Archive:
    """How a PV is archived: every event (`Archive.MONITOR`), or one sample every n seconds (`Archive.scan(n)`)."""

    method: Literal["monitor", "scan", "none"]
    period: float = 1.0
    """Seconds. For `monitor` the shortest time between events that is expected."""

    MONITOR: ClassVar[Archive]
    NONE: ClassVar[Archive]

    @classmethod
    def scan(cls, period: float) -> Archive:
        """One sample every `period` seconds."""
        return cls("scan", period)


Archive.MONITOR = Archive("monitor")
Archive.NONE = Archive("none")


@dataclass(frozen=True)
class Alarm:
    """What an operator is told when the PV is in alarm; makes the PV a leaf of the alarm tree."""

    guidance: str = ""
    priority: Literal["low", "medium", "high"] = "medium"
    delay: float = 0.0
    """Seconds that it must last before it counts."""
    latching: bool = True
    display: str = ""
    """Name of a screen that helps."""
    masked_by: str = ""
    """A PV of this IOC, named as in `Config`: while that is in alarm this one is a consequence, and not announced.

    Empty: the IOC itself (`IOC:HEARTBEAT`), so that an IOC that is gone is one alarm. "-": nothing.
    """


@dataclass(frozen=True)
class Limits:
    """All limits of a numeric PV, in its units; None on an open side."""

    display: Pair | None = None
    control: Pair | None = None
    warn: Pair | None = None
    """(LOW, HIGH)"""
    alarm: Pair | None = None
    """(LOLO, HIHI)"""

    def closed(self, name: str, whole: bool) -> tuple[float, float] | None:
        """The pair `name` with its open sides at infinity, or at the ends of 32 bits when `whole`; None without one."""
        pair: Pair | None = getattr(self, name)
        if pair is None or pair == (None, None):
            return None
        low, high = (INT_MIN, INT_MAX) if whole else (-math.inf, math.inf)
        return (low if pair[0] is None else pair[0]), (high if pair[1] is None else pair[1])

    def problems(self, whole: bool) -> list[str]:
        """What is wrong with them, one sentence each."""
        found = []
        for name in ("display", "control", "warn", "alarm"):
            pair = getattr(self, name)
            if pair is None:
                continue
            if not isinstance(pair, tuple) or len(pair) != 2:
                found.append(f"{name}={pair!r} is no pair (low, high)")
                continue
            sides = [side for side in pair if side is not None]
            if any(isinstance(side, str | bytes) or not isinstance(side, int | float) for side in sides):
                found.append(f"{name}={pair!r} holds something that is not a number")
            elif any(math.isnan(side) for side in sides) or (len(sides) == 2 and not sides[0] < sides[1]):
                found.append(f"{name}={pair!r}: the low side must be below the high side")
            elif whole and any(side != int(side) or not INT_MIN <= side <= INT_MAX for side in sides):
                found.append(f"{name}={pair!r}: limits of an int PV are integers of 32 bits")
            elif name == "display" and None in pair:
                found.append(f"display={pair!r}: a display range has two sides")
        return found


Putter = Callable[..., Awaitable[Any]]
Reader = Callable[[Any], Awaitable[Any]]


@dataclass(eq=False)
class Declaration(Generic[T]):
    """One PV of a device class; on an instance, the attribute is the live `Pv`."""

    kind: Literal["readback", "setpoint", "command"]
    type: ValueType
    source: str
    """`package/module.py:line` of the declaration."""
    suffix: str | None = None
    doc: str = ""
    units: str = ""
    precision: int = 0
    limits: Limits = field(default_factory=Limits)
    severities: Mapping[Any, Severity] = field(default_factory=dict)
    initial: Any = None
    save: bool = False
    config: bool | Config = False
    asg: str = "DEFAULT"
    archive: Archive | None = None
    alarm_info: Alarm | None = None
    lane: str = ""
    attribute: str = ""
    function: Putter | None = None
    reader: Reader | None = None
    wants_pv: bool = False
    error: str = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.attribute = self.attribute or name
        if self.suffix is None:
            self.suffix = name

    @overload
    def __get__(self, device: None, owner: type) -> Declaration[T]: ...
    @overload
    def __get__(self, device: Device, owner: type) -> Pv[T]: ...
    def __get__(self, device: Device | None, owner: type) -> Declaration[T] | Pv[T]:
        if device is None:
            return self
        return device.pvs[self.attribute]

    def __set__(self, device: Device, value: Any) -> None:
        raise AttributeError(f"{self.attribute} is a PV: publish with `await self.post(self.{self.attribute}, value)`")

    def putter(self, function: F) -> F:
        """Decorate the coroutine function that carries out a put: `(self, value)`.

        It may be `(self, value, pv)`, so that one function decorated several times serves several PVs. `value` has
        passed the checks of type, NaN, control limits and state. What is returned (not None) replaces it.
        `PutRefused("reason")` refuses. Of a command it may be `(self)`.
        """
        if self.function is not None:
            self.error = "has two putters"
        self.function = function
        return function

    def getter(self, function: R) -> R:
        """Decorate the coroutine function `(self)` that gives the value at every read: of what is costly to make.

        What is returned (not None) is taken. A monitor begins with it, and then hears what is posted, as of any PV.
        """
        if self.reader is not None:
            self.error = "has two getters"
        elif not inspect.iscoroutinefunction(function):
            self.error = "the getter must be `async def`"
        self.reader = function
        return function

    def problems(self) -> list[str]:
        """What is wrong with the declaration, one sentence each."""
        found = [self.error] if self.error else []
        suffix = self.suffix or ""
        if not NAME.fullmatch(suffix):
            found.append(f"the name {suffix!r} has characters other than A-Z a-z 0-9 _ : -")
        if len(self.units.encode(ENCODING)) > UNITS_BYTES:
            found.append(f"units {self.units!r} take {len(self.units.encode(ENCODING))} bytes, {UNITS_BYTES} fit")
        whole = self.type.kind == "long"
        if not self.type.numeric and (self.limits != Limits() or self.units or self.precision):
            found.append(f"units, precision and limits make no sense for {self.type.kind}")
        found += self.limits.problems(whole)
        if self.kind == "readback" and self.limits.control is not None:
            found.append("a readback has no control limits: they would hide an excursion")
        if not 0 <= self.precision <= 15:
            found.append(f"precision={self.precision} is not within 0..15")
        found += self._severity_problems()
        if self.function is not None:
            found += self._putter_problems(self.function)
        elif self.kind == "command":
            found.append("a command needs a putter")
        if self.initial is not None:
            found += self._initial_problems()
        if self.save and self.kind != "setpoint":
            found.append(f"save=True makes no sense for a {self.kind}")
        if isinstance(self.config, Config):
            found += self.config.problems(self.type.numeric)
        elif not isinstance(self.config, bool):
            found.append(f"config={self.config!r} is neither a bool nor a Config")
        return found

    def _severity_problems(self) -> list[str]:
        found = []
        for key, value in self.severities.items():
            if not isinstance(value, Severity):
                found.append(f"severities[{key!r}] must be a Severity")
            elif isinstance(self.type, State):
                try:
                    self.type.coerce(key)
                except ValueError as error:
                    found.append(f"severities: {error}")
            elif key not in LIMITS:
                found.append(f"severities: {key!r} is none of {', '.join(LIMITS)}")
        return found

    def _putter_problems(self, function: Putter) -> list[str]:
        if self.kind == "readback":
            return ["a readback cannot have a putter"]
        if not inspect.iscoroutinefunction(function):
            return ["the putter must be `async def`"]
        code = inspect.unwrap(function).__code__
        count = code.co_argcount
        self.wants_pv = count == 3
        if count not in ((1, 2, 3) if self.kind == "command" else (2, 3)):
            return [f"the putter at line {code.co_firstlineno} must take (self, value) or (self, value, pv)"]
        return []

    def _initial_problems(self) -> list[str]:
        try:
            value = self.type.coerce(self.initial)
        except ValueError as error:
            return [f"initial: {error}"]
        control = self.limits.closed("control", self.type.kind == "long")
        if control and not isinstance(self.type, Array) and not control[0] <= value <= control[1]:
            return [f"initial={self.initial!r} is outside of control={self.limits.control}"]
        return []


class ReadbackOptions(TypedDict, total=False):
    """What `readback` takes besides the type."""

    name: str
    """The PV's suffix when it is not the attribute's name."""
    doc: str
    units: str
    precision: int
    labels: tuple[str, ...]
    """What clients see for the states of a bool or IntEnum, in their order (default: No, Yes; the members' names)."""
    display: Pair
    warn: Pair
    """(LOW, HIGH) in `units`; None leaves a side open."""
    alarm: Pair
    """(LOLO, HIHI)"""
    severities: Mapping[Any, Severity]
    """Of "HIHI", "HIGH", "LOW", "LOLO" (default MAJOR, MINOR, MINOR, MAJOR), or of the states of an enum."""
    initial: Any
    """The value that is good from the start."""
    config: bool | Config
    """It is part of the stand's configuration: runkeys keep it, and write it back in the order that a `Config` says."""
    asg: str
    """Access-security group."""
    archive: Archive | None
    alarm_info: Alarm | None


class SetpointOptions(ReadbackOptions, total=False):
    """What `setpoint` takes besides the type."""

    control: Pair
    """A put outside of it is refused."""
    save: bool
    """Keep the value over restarts."""
    lane: str
    """Puts of one lane run one after another in the order of arrival. Without a name: all puts to the same device."""


class CommandOptions(TypedDict, total=False):
    """What `command` takes."""

    name: str
    doc: str
    labels: tuple[str, str]
    asg: str
    archive: Archive | None
    alarm_info: Alarm | None
    lane: str


def _declare(kind: Any, dtype: Any, options: dict[str, Any]) -> Any:
    frame = sys._getframe(2)  # noqa: SLF001 (there is no public way to know one's caller)
    file = frame.f_code.co_filename.rsplit("/", 1)[-1]
    module = frame.f_globals.get("__name__", "__main__")
    if module != "__main__":
        package = module if file == "__init__.py" else module.rpartition(".")[0]
        file = "/".join([*filter(None, package.split(".")), file])
    error = ""
    try:
        value = value_type(dtype, options.pop("labels", None))
    except ValueError as problem:
        error, value = str(problem), value_type(float)
    limits = Limits(**{pair: options.pop(pair) for pair in ("display", "control", "warn", "alarm") if pair in options})
    options["severities"] = dict(options.pop("severities", {}))
    suffix = options.pop("name", None)
    return Declaration(kind, value, f"{file}:{frame.f_lineno}", suffix, limits=limits, error=error, **options)


@overload
def readback(dtype: type[T], **options: Unpack[ReadbackOptions]) -> Declaration[T]: ...
@overload
def readback(dtype: Text, **options: Unpack[ReadbackOptions]) -> Declaration[str]: ...
@overload
def readback(dtype: Array, **options: Unpack[ReadbackOptions]) -> Declaration[np.ndarray]: ...
def readback(dtype: Any, **options: Unpack[ReadbackOptions]) -> Any:
    """A PV that the IOC measures or computes, and that no client can write.

    `dtype`: float, int, bool, str (39 bytes), an `enum.IntEnum`, `Text(bytes)`, `Array(float or int, elements)`. It is
    UDF/INVALID until the first `post`, unless `initial` says what it is from the start.
    """
    return _declare("readback", dtype, dict(options))


@overload
def setpoint(dtype: type[T], **options: Unpack[SetpointOptions]) -> Declaration[T]: ...
@overload
def setpoint(dtype: Text, **options: Unpack[SetpointOptions]) -> Declaration[str]: ...
@overload
def setpoint(dtype: Array, **options: Unpack[SetpointOptions]) -> Declaration[np.ndarray]: ...
def setpoint(dtype: Any, **options: Unpack[SetpointOptions]) -> Any:
    """A PV that clients write, within `control`; its putter, if it has one, carries it out.

    It is UDF/INVALID until it has been put, posted or restored, unless it has an `initial` value.
    """
    return _declare("setpoint", dtype, dict(options))


def command(**options: Unpack[CommandOptions]) -> Declaration[bool]:
    """A PV that starts an action: a put of 1 runs the putter, shows 1 meanwhile, and goes back to 0.

    A put with completion returns when the action is done, and fails when the putter raises.
    """
    return _declare("command", bool, {"labels": ("Idle", "Run"), **options, "initial": False})
