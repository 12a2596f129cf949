"""The live PV: a caproto ChannelData whose value, alarm, limits and puts follow EPICS rather than caproto's shortcuts.

Everything here is synchronous up to the putter: a value, its alarm and its time stamp change together, and no client
ever sees one without the others.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from caproto import AccessRights, AlarmStatus, ChannelAlarm, ChannelData, ChannelType, Forbidden, SubscriptionType

from . import fields
from .alarms import EPICS_EPOCH, GOOD, AlarmState, Stamp, judge_of, stamp
from .config import Config
from .declare import Alarm, Declaration, Pair, PutRefused, Severity
from .link import IOC_ITSELF, UNBOUND, Client, Link
from .server import has_monitors, publish
from .values import ENCODING, STRING_BYTES, Array, State, Text

if TYPE_CHECKING:
    from .device import Device

T = TypeVar("T")

VALUE = int(SubscriptionType.DBE_VALUE | SubscriptionType.DBE_LOG)
ALARM = int(SubscriptionType.DBE_ALARM)
PROPERTY = int(SubscriptionType.DBE_PROPERTY)
BIG = 1000
"""Elements from which a slow client may have only a few updates waiting."""


class Pv(ChannelData, Generic[T]):
    """One PV of one device. `name` is its full name once the device is part of an IOC, its attribute's name before."""

    _data: dict[str, Any]
    _alarm: Any
    orders_puts = True
    """For the server: puts may be handed over at once; `Ioc.put` keeps their order."""

    def __init__(self, declaration: Declaration[T], device: Device) -> None:
        self.declaration = declaration
        self.device = device
        self.type = declaration.type
        self.data_type = self.type.dbr
        self.name = declaration.attribute
        self.link: Link = UNBOUND
        self.limits = declaration.limits
        self.config: Config | None = declaration.config or None if declaration.config is not True else Config()
        """How it is written as a part of the stand's configuration; None: it is none."""
        self.alarm_info: Alarm | None = declaration.alarm_info
        """What makes it an alarm of the alarm tree; None: it is none."""
        self._fields: dict[str, ChannelData] = {}
        self._evaluate = judge_of(self.type, self.limits, declaration.severities)
        self._given = GOOD
        self._invalidated = False
        self.defined = False
        """It has had a value."""
        self._rights = AccessRights.READ if declaration.kind == "readback" else AccessRights.READ | AccessRights.WRITE
        initial = declaration.initial
        value = self.type.zero if initial is None else self.type.coerce(initial)
        super().__init__(
            alarm=ChannelAlarm(status=AlarmStatus.UDF, severity=Severity.INVALID, string_encoding=ENCODING),
            value=value,
            timestamp=0,
            max_length=self.type.count,
            string_encoding=ENCODING,
            reported_record_type=fields.record_type(declaration),
            max_subscription_backlog=4 if self.type.count > BIG else 100,
        )
        self._data["timestamp"] = stamp()
        if isinstance(self.type, State):
            self._data["enum_strings"] = self.type.labels
        elif self.type.numeric:
            self._data["units"] = declaration.units
            self._data["precision"] = declaration.precision
        self._apply_limits()
        if initial is not None:
            self._store(value, self._evaluate(value), self._data["timestamp"])

    # What the application uses

    @property
    def value(self) -> T:
        """The value as Python has it: float, int, bool, enum member, str, or a read-only array."""
        return self._data["value"]

    @property
    def severity(self) -> Severity:  # type: ignore[override]
        """The alarm severity that clients see."""
        return Severity(self._alarm.severity)

    @property
    def status(self) -> AlarmStatus:  # type: ignore[override]
        """The alarm status that clients see."""
        return AlarmStatus(self._alarm.status)

    @property
    def timestamp(self) -> float:
        """Unix seconds of the last value or invalidation."""
        seconds, nanoseconds = self._data["timestamp"]
        return EPICS_EPOCH + seconds + nanoseconds * 1e-9

    def preset(self, value: T) -> None:
        """Give this PV, before the IOC starts, its value from the start (as `initial=` does for all of a class).

        ValueError when it is none that the PV can have.
        """
        accepted = self.type.coerce(value)
        self._check_control(accepted)
        self._store(accepted, self._evaluate(accepted), stamp())

    def set_limits(
        self,
        *,
        control: Pair | None = None,
        display: Pair | None = None,
        warn: Pair | None = None,
        alarm: Pair | None = None,
    ) -> None:
        """Change the limits that are given, in the PV's units; clients get a PROPERTY event, the alarm is judged anew.

        `(None, None)` takes a pair away. ValueError when they make no sense.
        """
        given = {"control": control, "display": display, "warn": warn, "alarm": alarm}
        changed = {name: pair for name, pair in given.items() if pair is not None}
        limits = replace(self.limits, **changed)
        problems = limits.problems(self.type.kind == "long")
        if not self.type.numeric:
            problems.append(f"{self.type.kind} has no limits")
        if control is not None and self.declaration.kind == "readback":
            problems.append("a readback has no control limits")
        if problems:
            raise ValueError(f"{self.name}: " + "; ".join(problems))
        self.limits = limits
        self._apply_limits()
        self._emit(PROPERTY)
        if self.defined and not self._invalidated:
            value = self._data["value"]
            self._store(value, self._judge(value), self._data["timestamp"])
        self._refresh_fields(*self._fields)
        self.link.catalogue_changed()

    @property
    def monitored(self) -> bool:
        """Some client has subscribed to it."""
        return has_monitors(self)

    def set_config(self, **changes: Any) -> None:
        """Change fields of this PV's `Config`, before the IOC starts; it becomes configuration if it was none.

        ValueError when they make no sense by themselves; names are looked up when the IOC starts.
        """
        config = replace(self.config or Config(), **changes)
        problems = config.problems(self.type.numeric)
        if problems:
            raise ValueError(f"{self.name}: " + "; ".join(problems))
        self.config = config
        self.link.catalogue_changed()

    def set_alarm(self, **changes: Any) -> None:
        """Change fields of this PV's `Alarm`, before the IOC starts; it becomes an alarm if it was none."""
        self.alarm_info = replace(self.alarm_info or Alarm(), **changes)
        self.link.catalogue_changed()

    # What the IOC does with it

    def take(self, value: Any, when: Stamp, alarm: tuple[AlarmStatus, Severity] | None = None) -> None:
        """Publish a value of the IOC's own; ValueError when the PV cannot have it, and then nothing has changed.

        `alarm` is what the caller knows beyond the limits; the more severe of both counts.
        """
        accepted = self.type.coerce(value)
        self._given = GOOD if alarm is None else AlarmState(AlarmStatus(alarm[0]), Severity(alarm[1]))
        self._store(accepted, self._judge(accepted), when)

    def mark(self, status: AlarmStatus, severity: Severity, when: Stamp) -> None:
        """Keep the value and change the alarm, in one event; nothing when it is so already."""
        if (self._alarm.status, self._alarm.severity) == (status, severity):
            return
        self._invalidated = True
        self._data["timestamp"] = when
        self._set_alarm(AlarmState(status, severity))
        self._emit(ALARM)

    def restore(self, value: Any) -> None:
        """Take back a saved value: no putter runs. ValueError when it is none, or outside of the control limits."""
        self.preset(value)

    def _judge(self, value: Any) -> AlarmState:
        """The alarm of a value: of its limits or states, or what the IOC's code knows besides when that is worse."""
        found = self._evaluate(value)
        return self._given if self._given.severity > found.severity else found

    def _store(self, value: Any, alarm: AlarmState, when: Stamp) -> None:
        data = self._data
        flags = 0
        self._invalidated = False
        if not self.defined or not self.type.same(value, data["value"]):
            self.defined = True
            flags = VALUE
            data["value"] = value
            self._refresh_fields("NORD")
            if self.declaration.save:
                self.link.saved_changed(self)
        data["timestamp"] = when
        if self._set_alarm(alarm):
            flags |= ALARM
        if flags:
            self._emit(flags)

    def _set_alarm(self, alarm: AlarmState) -> bool:
        known = self._alarm._data  # noqa: SLF001 (its own write() is a coroutine, and publishes)
        if known["status"] == alarm.status and known["severity"] == alarm.severity:
            return False
        known["status"], known["severity"] = alarm
        if not known["must_acknowledge_transient"] or known["severity_to_acknowledge"] < alarm.severity:
            known["severity_to_acknowledge"] = int(alarm.severity)
        self._refresh_fields("STAT", "SEVR")
        return True

    def _refresh_fields(self, *names: str) -> None:
        if self._fields:
            for name in names:
                if name in self._fields:
                    fields.refresh(self, name, self._fields[name])

    def _emit(self, flags: int) -> None:
        self._content.clear()
        publish(self, flags)

    # Limits and alarms

    def _apply_limits(self) -> None:
        data, limits = self._data, self.limits
        self._evaluate = judge_of(self.type, limits, self.declaration.severities)
        if not self.type.numeric:
            return
        whole = self.type.kind == "long"
        unset = 0 if whole else float("nan")
        control = limits.closed("control", whole)
        display = limits.display or (control if control and all(np.isfinite(control)) else (0, 0))
        warn = limits.closed("warn", whole)
        alarm = limits.closed("alarm", whole)
        data["lower_disp_limit"], data["upper_disp_limit"] = display
        data["lower_ctrl_limit"], data["upper_ctrl_limit"] = control or display
        data["lower_warning_limit"], data["upper_warning_limit"] = warn or (unset, unset)
        data["lower_alarm_limit"], data["upper_alarm_limit"] = alarm or (unset, unset)

    def _check_control(self, value: Any) -> None:
        """ValueError when `value` is outside of the control limits."""
        if self.limits.control is None or not self.type.numeric:
            return
        low, high = self.limits.control
        units = f" {self.declaration.units}" if self.declaration.units else ""
        smallest, largest = value, value
        if isinstance(self.type, Array):
            if not len(value):
                return
            smallest, largest = value.min(), value.max()
        if low is not None and smallest < low:
            raise ValueError(f"{smallest:.12g}{units} is below the limit of {low:.12g}{units}")
        if high is not None and largest > high:
            raise ValueError(f"{largest:.12g}{units} is above the limit of {high:.12g}{units}")

    # What the server asks

    def preprocess_value(self, value: Any) -> Any:
        """Values are made by `type`: nothing is unpacked or wrapped here."""
        return value

    def calculate_length(self, value: Any) -> int:
        """The number of elements of a value, or of data on its way to the wire."""
        if isinstance(value, str) and isinstance(self.type, Text):
            return len(value.encode(ENCODING))
        return len(value) if hasattr(value, "__len__") and not isinstance(value, str) else 1

    @property
    def long_string_max_length(self) -> int:
        """Bytes that `NAME.VAL$` holds."""
        return self.type.count if isinstance(self.type, Text) else STRING_BYTES + 1

    @property
    def units(self) -> str:
        """Engineering units."""
        return self.declaration.units

    @property
    def enum_strings(self) -> tuple[str, ...] | None:
        """The labels of an enum."""
        return self._data.get("enum_strings")

    def get_field(self, name: str) -> ChannelData:
        """The record field `name`, made when first asked for; KeyError when there is none."""
        if name in ("", "VAL"):
            return self
        if name not in self._fields:
            self._fields[name] = fields.make(self, name)
        return self._fields[name]

    def check_access(self, hostname: str | None, username: str | None) -> AccessRights:
        """What this client may do with the PV, by kind of PV and by access security."""
        return self._rights & self.link.access(self.declaration.asg, username, hostname)

    async def auth_write(
        self,
        hostname: str | None,
        username: str | None,
        data: Any,
        data_type: ChannelType,
        metadata: Any,
        *,
        flags: int = 0,
        user_address: Any = None,
    ) -> None:
        """A client's put. Returns when it is done; Forbidden, PutRefused, or whatever the putter raised."""
        who = Client(username, hostname)
        if AccessRights.WRITE not in self.check_access(hostname, username):
            self.link.put_forbidden(self, who)
            raise Forbidden(f"{who} may not write {self.name}")
        if data_type in (ChannelType.PUT_ACKT, ChannelType.PUT_ACKS):
            await super().write_from_dbr(data, data_type, metadata)
            return
        try:
            if data_type > ChannelType.DOUBLE:
                raise ValueError(f"a put of type {ChannelType(data_type).name}")
            value = self.type.from_put(data, data_type)
            self._check_control(value)
        except (ValueError, TypeError, OverflowError) as error:
            self.link.put_refused(self, str(error), who)
            raise PutRefused(str(error)) from None
        await self.link.put(self, value, who)

    async def put(self, value: Any, who: Client = IOC_ITSELF) -> None:
        """What a client's put of `value` does: the checks and the putter; PutRefused when it is refused.

        Within a putter, a put to the same lane runs at once.
        """
        try:
            accepted = self.type.coerce(value)
            if accepted != accepted and not isinstance(self.type, Array):
                raise ValueError("NaN is no setting")
            self._check_control(accepted)
        except ValueError as error:
            self.link.put_refused(self, str(error), who)
            raise PutRefused(str(error)) from None
        await self.link.put(self, accepted, who)

    async def carry_out(self, value: Any) -> None:
        """Run the putter for a value that has been checked, and take what came of it."""
        function = self.declaration.function
        if self.declaration.kind == "command":
            if not value:
                return
            self._store(self.type.coerce(True), GOOD, stamp())
            try:
                await self._call(function, True)
            finally:
                self._store(self.type.coerce(False), GOOD, stamp())
            return
        if function is not None:
            result = await self._call(function, value)
            if result is not None:
                value = self.type.coerce(result)
        self._given = GOOD
        self._store(value, self._evaluate(value), stamp())

    async def _call(self, function: Any, value: Any) -> Any:
        arguments = (value, self) if self.declaration.wants_pv else (value,)
        if self.declaration.kind == "command" and function.__code__.co_argcount == 1:
            arguments = ()
        return await function(self.device, *arguments)

    async def write(self, value: Any, **_: Any) -> None:  # type: ignore[override]
        """As `Device.post`: a value of the IOC's own never runs the putter."""
        self.take(value, stamp())

    async def write_from_dbr(self, data: Any, data_type: ChannelType, metadata: Any, *, flags: int = 0) -> None:
        """As a client's put."""
        await self.put(self.type.from_put(data, data_type))

    def __repr__(self) -> str:
        return f"<Pv {self.name} = {self._data['value']!r} {self.severity.name}/{self.status.name}>"


class ComputedPv(Pv[T]):
    """A PV whose value is made whenever it is read."""

    async def read(self, data_type: ChannelType) -> Any:
        """Ask the getter, for the server, which answers afterwards."""
        reader = self.declaration.reader
        value = None if reader is None else await reader(self.device)
        if value is not None:
            self.take(value, stamp())


def make(declaration: Declaration[T], device: Device) -> Pv[T]:
    """The PV of a device that a declaration describes."""
    return Pv(declaration, device) if declaration.reader is None else ComputedPv(declaration, device)
