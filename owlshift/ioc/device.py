"""A device: a class that declares PVs, and whose instances have them.

class Board(Device):
    Name = readback(str, doc="Model of the board")
    first = child(HvChannel, "CH0:")

    def __init__(self) -> None:
        self.more = [self.add(f"CH{i}:", HvChannel()) for i in range(1, 4)]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar, overload

from caproto import AlarmStatus

from .alarms import stamp
from .declare import NAME, Declaration, DeclarationError, Severity
from .pv import Pv, make

if TYPE_CHECKING:
    from .ioc import Ioc

D = TypeVar("D", bound="Device")
T = TypeVar("T")
Post = tuple[Pv[Any], Any] | tuple[Pv[Any], Any, tuple[AlarmStatus, Severity] | None]
RESERVED = {"name", "parent", "prefix", "log", "self", "start", "stop", "run", "spawn"}
"""Attribute names that a PV may not have, besides those that Device itself uses."""


class Child(Generic[D]):
    """A device inside of every instance of a device class; see `child`."""

    def __init__(self, cls: type[D], suffix: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.cls, self.suffix, self.args, self.kwargs = cls, suffix, args, kwargs
        self.attribute = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.attribute = name

    @overload
    def __get__(self, device: None, owner: type) -> Child[D]: ...
    @overload
    def __get__(self, device: Device, owner: type) -> D: ...
    def __get__(self, device: Device | None, owner: type) -> Child[D] | D:
        if device is None:
            return self
        made: Any = device.__dict__.get(self.attribute)
        if made is None:
            raise AttributeError(self.attribute)
        return made


def child(cls: type[D], suffix: str, *args: Any, **kwargs: Any) -> Child[D]:
    """Declare that every instance has a `cls(*args, **kwargs)` whose PVs' names begin with `suffix`."""
    return Child(cls, suffix, args, kwargs)


class Publisher:
    """What can publish values of PVs: a device, or a whole IOC."""

    async def post(
        self,
        pv: Pv[T],
        value: T,
        timestamp: float | None = None,
        *,
        alarm: tuple[AlarmStatus, Severity] | None = None,
    ) -> None:
        """Publish a value; see `post_many`."""
        await self.post_many([(pv, value, alarm)], timestamp)

    async def post_many(self, posts: Iterable[Post], timestamp: float | None = None) -> None:
        """Publish values of the IOC's own: `(pv, value)` or `(pv, value, (status, severity))`.

        Only what has changed, in value or alarm, becomes an event. Limits and state severities decide the alarm, or
        what is given when that is worse; an invalidation ends. No putter runs. All get one time stamp: `timestamp`
        (unix seconds) or now. A value that the PV cannot have (an unknown state, a number out of range) makes that PV
        READ/INVALID, with a line in the log.
        """
        when = stamp(timestamp)
        for pv, value, *alarm in posts:
            try:
                pv.take(value, when, alarm[0] if alarm else None)
            except (ValueError, TypeError, OverflowError) as error:
                pv.link.bad_value(pv, error)
                pv.mark(AlarmStatus.READ, Severity.INVALID, when)

    async def invalidate(
        self, pvs: Pv[Any] | Sequence[Pv[Any]], status: AlarmStatus = AlarmStatus.COMM, timestamp: float | None = None
    ) -> None:
        """Say that nobody can vouch for these values: they stay, INVALID, with a new time stamp, one event each."""
        when = stamp(timestamp)
        for pv in [pvs] if isinstance(pvs, Pv) else pvs:
            pv.mark(status, Severity.INVALID, when)


class Device(Publisher):
    """Base of everything that has PVs. A subclass's docstring is the description of the object."""

    declarations: ClassVar[dict[str, Declaration[Any]]] = {}
    """All PVs of the class, by attribute."""
    pvs: dict[str, Pv[Any]]
    """The live PVs of this instance, by attribute."""
    devices: list[tuple[str, Device]]
    """The devices inside of this one, with their suffixes."""
    ioc: Ioc
    """The IOC that serves it; set when the IOC is made."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = {name: value for name, value in vars(cls).items() if isinstance(value, Declaration)}
        taken = set(dir(Device)) | set(Device.__annotations__) | RESERVED
        problems = []
        suffixes: dict[str, str] = {}
        every = {**cls.declarations, **own}
        for name, declaration in every.items():
            where = f"{declaration.source}: {cls.__name__}.{name}"
            if name in own:
                problems += [f"{where}: {problem}" for problem in declaration.problems()]
                if name in taken:
                    problems.append(f"{where}: the attribute name {name!r} is taken by the framework")
            other = suffixes.setdefault(str(declaration.suffix), name)
            if other != name:
                problems.append(f"{where}: {other} has the PV name {declaration.suffix!r} already")
        if problems:
            raise DeclarationError("\n".join(problems))
        cls.declarations = every

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """The PVs are there before `__init__` runs, so that it need not call this class's."""
        self = super().__new__(cls)
        self.pvs = self._first_pvs()
        self.devices = []
        for base in reversed(cls.__mro__):
            for name, value in vars(base).items():
                if isinstance(value, Child) and getattr(cls, name) is value:
                    self.__dict__[name] = self.add(value.suffix, value.cls(*value.args, **value.kwargs))
        return self

    def _first_pvs(self) -> dict[str, Pv[Any]]:
        return {name: make(declaration, self) for name, declaration in self.declarations.items()}

    def add(self, suffix: str, device: D) -> D:
        """Make `device` a part of this one: its PVs' names are this one's prefix, `suffix`, and their own."""
        if suffix and not NAME.fullmatch(suffix):
            raise DeclarationError(f"the name {suffix!r} has characters other than A-Z a-z 0-9 _ : -")
        self.devices.append((suffix, device))
        return device

    def walk(self, prefix: str) -> Iterator[tuple[str, Pv[Any]]]:
        """All PVs of this device and of those inside, with their full names."""
        for pv in self.pvs.values():
            yield f"{prefix}{pv.declaration.suffix}", pv
        for suffix, device in self.devices:
            yield from device.walk(prefix + suffix)

    def everything(self, prefix: str) -> Iterator[tuple[str, Device]]:
        """This device and all inside of it, each with its prefix."""
        yield prefix, self
        for suffix, device in self.devices:
            yield from device.everything(prefix + suffix)
